"""The file as a book: its map says what it holds, and each chapter needs only those before it."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import TOP

TEXT = (TOP / "proto_prime.py").read_text(encoding="utf-8")
TREE = ast.parse(TEXT)
BANNER = re.compile(r"^# -{90,}\n# (.+)\n# -{90,}$", re.MULTILINE)


def map_lines():
    """The comment block behind the first line, which ends before the licence."""
    head = TEXT.split("# MIT License\n")[0].split("\n")
    return [line for line in head[1:] if line.startswith("#")]


def chapters():
    """[(title, first line, definitions)] in the order of the file."""
    marks = [(match.group(1), TEXT.count("\n", 0, match.start()) + 1) for match in BANNER.finditer(TEXT)]
    ends = [line for _, line in marks[1:]] + [TEXT.count("\n") + 1]
    rows = []
    for (title, start), end in zip(marks, ends):
        rows.append((title, start, [node for node in TREE.body if start <= node.lineno < end]))
    return rows


def names_of(node):
    """The module-level names that a statement of the module defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]


HOMES = {name: number for number, (_, _, nodes) in enumerate(chapters()) for node in nodes for name in names_of(node)}


def test_map_is_a_screen_long_and_stands_before_the_licence():
    assert 30 <= len(map_lines()) <= 45


def test_map_names_the_chapters_in_their_order():
    text = re.sub(r"\n# +", " ", "\n".join(map_lines()))
    listed = text.split("The chapters,", 1)[1].split(" Who changes something")[0]
    titles = [title for title, _, _ in chapters()]
    places = [re.search(r" %s(?=,|\s|$)" % re.escape(title), listed) for title in titles]
    missing = [title for title, match in zip(titles, places) if match is None]
    assert not missing
    assert [match.start() for match in places] == sorted(match.start() for match in places)


def test_functions_and_classes_that_the_map_names_exist():
    text = "\n".join(map_lines())
    flow = text.split("What happens,")[1].split("The nouns,")[0]
    named = set(re.findall(r"\b([a-z]+(?:_[a-z]+)+|[A-Z][a-zA-Z]+\.[a-z_]+|main|build|hop)\b", flow)) - {"os.execve"}
    named |= {"run_child", "replace_process", "write_atomic", "ask_python"}
    nouns = text.split("each a class:")[1].split("On disk,")[0]
    named |= set(re.findall(r"(?<!`)\b[A-Z][a-z]+(?:[A-Z][a-z]+)?\b(?=,|  )", nouns))
    assert {"Config", "UvDriver", "Stamp"} <= named and len(named) > 20
    for name in named:
        owner, _, method = name.partition(".")
        assert owner in HOMES, name
        if method:
            [node] = [node for node in TREE.body if getattr(node, "name", "") == owner]
            assert method in [each.name for each in node.body if isinstance(each, ast.FunctionDef)], name


@pytest.mark.parametrize("number", range(len(chapters())), ids=[title for title, _, _ in chapters()])
def test_chapter_needs_only_those_before_it(number):
    title, start, nodes = chapters()[number]
    intro = TEXT.split("\n")[start + 2:start + 6]
    assert intro[0].startswith("# "), "each chapter says under its banner what it knows"
    titles = [each for each, _, _ in chapters()]
    wrong = set()
    for node in nodes:
        names = [leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Name)]
        own = {leaf.id for leaf in names if isinstance(leaf.ctx, ast.Store)}
        own |= {leaf.arg for leaf in ast.walk(node) if isinstance(leaf, ast.arg)}
        for leaf in names:
            home = HOMES.get(leaf.id) if leaf.id not in own else None
            if home is not None and home > number:
                wrong.add("%s needs %s of %s" % ((names_of(node) or ["?"])[0], leaf.id, titles[home]))
    assert not wrong


def test_functions_are_below_forty_lines():
    long = [node.name for node in ast.walk(TREE) if isinstance(node, ast.FunctionDef)
            and node.end_lineno - node.lineno + 1 > 40]
    assert not long


def test_linters_of_other_repos_pass_over_the_file_and_ours_reads_it():
    pytest.importorskip("ruff")
    check = [sys.executable, "-m", "ruff", "check", "proto_prime.py"]
    for more in (["--select", "E,UP,S,ANN,D"], ["--ignore-noqa"]):
        done = subprocess.run(check + more, cwd=str(TOP), stdout=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0, done.stdout
