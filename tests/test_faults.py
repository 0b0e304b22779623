"""The table in faults.md has a row for each fault code that the file or a test names, and tests for each row.

And no file of tests is built upon another one.
"""

import ast
import functools
import io
import re
import tokenize

import pytest
from conftest import TOP

TESTS = TOP / "tests"
LETTERS = "CEBTIHRMWUNL"
CODE = re.compile(r"\b[%s][1-9][0-9]?\b" % LETTERS)
CODE_IN_NAME = re.compile(r"(?<![A-Za-z0-9])[%s][1-9][0-9]?(?=_|$)" % LETTERS)
ROW = re.compile(r"\| ([%s][1-9][0-9]?) \|" % LETTERS)
LETTER_ROW = re.compile(r"\| ([A-Z]) \| \S")


def cells(line):
    """The cells of a row of a table in Markdown."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows_of(text):
    """[(code, case, expected, tests)] of all tables of faults, in their order."""
    return [tuple(cells(line)) for line in text.splitlines() if ROW.match(line)]


def comments_and_docstrings(source):
    """What people wrote into a python file: comments, and strings that stand alone (also the head for `sh`)."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            if isinstance(value, str):
                yield value


def codes_of(source):
    """The fault codes that a python file names."""
    return {code for text in comments_and_docstrings(source) for code in CODE.findall(text)}


@functools.lru_cache(maxsize=None)
def existing_tests():
    """The names of all tests, as "file::function" or "file::class::function"."""
    names = set()
    for path in TESTS.glob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                names.add("%s::%s" % (path.name, node.name))
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                names.update("%s::%s::%s" % (path.name, node.name, each.name) for each in node.body
                             if isinstance(each, ast.FunctionDef) and each.name.startswith("test"))
    return names


TABLE = (TESTS / "faults.md").read_text(encoding="utf-8")
ROWS = rows_of(TABLE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row_has_a_case_what_is_expected_and_tests_that_exist(row):
    assert len(row) == 4 and all(row), row
    tests = row[3].split("<br>")
    assert all(re.match(r"`[^`]+`$", test) for test in tests), "%s: no test, or not as `file::function`" % row[0]
    missing = [test for test in tests if test.strip("`") not in existing_tests()]
    assert not missing, "%s names tests that do not exist" % row[0]


def test_rows_are_in_order_and_each_letter_is_explained():
    codes = [row[0] for row in ROWS]
    sections = "".join(dict.fromkeys(code[0] for code in codes))
    for letter in sections:
        numbers = [int(code[1:]) for code in codes if code[0] == letter]
        assert numbers == sorted(set(numbers))
        assert letter in "RMWUN" or numbers == list(range(1, len(numbers) + 1))  # these come with what they show
    assert [code[0] for code in codes] == sorted((code[0] for code in codes), key=sections.index)
    explained = [match.group(1) for match in map(LETTER_ROW.match, TABLE.splitlines()) if match]
    assert "".join(explained) == sections


def test_each_code_in_the_file_has_a_row():
    used = codes_of((TOP / "proto_prime.py").read_text(encoding="utf-8"))
    assert used - {row[0] for row in ROWS} == set()
    assert {"C1", "E7", "B5", "T7", "I4"} <= used


def test_each_code_in_the_name_of_a_test_has_a_row():
    used = {code for name in existing_tests() for code in CODE_IN_NAME.findall(name)}
    assert used - {row[0] for row in ROWS} == set()
    assert {row[0] for row in ROWS} & used


@pytest.mark.parametrize("source, codes", [
    ("x = 1  # E7: it may be closed\n", {"E7"}),
    ('def f():\n    """Do it (C5, T2 and B10)."""\n', {"C5", "T2", "B10"}),
    ("''':'\n# for sh: C8\nexec\n'''\n", {"C8"}),
    ('x = "E7"  # T0 is none, nor PEP484, E100, xE7, E7_\n', set()),
])
def test_codes_are_found_in_comments_and_docstrings_alone(source, codes):
    assert codes_of(source) == codes


# -- what several files of tests use ---------------------------------------------------------------


def imported_test_files(source):
    """The names of the test files that a python file imports, or imports something from."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names.update((node.module or "").split("."))
        if isinstance(node, ast.ImportFrom) and (node.level or node.module == "tests"):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.Import):
            names.update(part for alias in node.names for part in alias.name.split("."))
    return {name for name in names if (TESTS / (name + ".py")).exists() and name.startswith("test_")}


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_no_file_imports_from_a_test_file(path):
    imported = imported_test_files(path.read_text(encoding="utf-8"))
    assert not imported, "move what both need to helpers.py, and fixtures to conftest.py"


@pytest.mark.parametrize("source, imported", [
    ("from test_index import Proxy, net\n", {"test_index"}),
    ("def f():\n    import test_index, test_locks as locks\n", {"test_index", "test_locks"}),
    ("from tests.test_index import net\nimport tests.test_locks\n", {"test_index", "test_locks"}),
    ("from . import test_index\nfrom .test_locks import pylock\nfrom tests import test_run\n",
     {"test_index", "test_locks", "test_run"}),
    ("import test.support\nfrom helpers import test_index\nfrom conftest import Repo  # not test_index\n", set()),
])
def test_imports_of_test_files_are_found_wherever_they_stand(source, imported):
    assert imported_test_files(source) == imported
