"""The TOML reader against `tomli`, Python 3.15's `tomllib` for older pythons: same documents, values and types (R9)."""
import datetime
import glob
import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toml_corpus import INVALID, VALID, typed

import proto_prime

tomllib = pytest.importorskip("tomli", minversion="2.4", reason="tomli reads TOML 1.1 from 2.4 on")

HERE = os.path.dirname(os.path.abspath(__file__))
THERE = os.path.dirname(os.path.abspath(proto_prime.__file__))
PYENV_ROOT = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
INTERPRETERS = sorted(glob.glob(os.path.join(PYENV_ROOT, "versions", "3.*", "bin", "python3")))

CHILD = """
import json, sys
sys.path[:0] = %r
import proto_prime
from toml_corpus import INVALID, VALID, typed
def read(text):
    try:
        return typed(proto_prime.parse_toml(text))
    except proto_prime.TomlError as error:
        return ["error", error.line, error.column, isinstance(error.message, str)]
json.dump({"valid": {name: read(text) for name, text in VALID.items()},
           "invalid": {name: read(text) for name, text in INVALID.items()}}, sys.stdout)
"""


def outcome(read, text):
    """Return the typed value that `read` makes of `text`, or None when it refuses it."""
    try:
        return typed(read(text))
    except (ValueError, RecursionError):
        return None


def assert_agrees(text):
    expected = outcome(tomllib.loads, text)
    assert outcome(proto_prime.parse_toml, text) == expected


def refuse(read, text):
    with pytest.raises(proto_prime.TomlError) as caught:
        read(text)
    return caught.value


# The corpus


def test_corpus_size():
    assert len(VALID) >= 170
    assert len(INVALID) >= 120


@pytest.mark.parametrize("name", sorted(VALID))
def test_valid(name):
    expected = typed(tomllib.loads(VALID[name]))
    assert typed(proto_prime.parse_toml(VALID[name])) == expected


@pytest.mark.parametrize("name", sorted(VALID))
def test_valid_with_crlf(name):
    text = VALID[name].replace("\r\n", "\n").replace("\n", "\r\n")
    assert typed(proto_prime.parse_toml(text)) == typed(tomllib.loads(text))


@pytest.mark.parametrize("name", sorted(INVALID))
def test_invalid(name):
    text = INVALID[name]
    with pytest.raises((tomllib.TOMLDecodeError, RecursionError)):
        tomllib.loads(text)
    error = refuse(proto_prime.parse_toml, text)
    assert 1 <= error.line <= text.count("\n") + 1
    assert 1 <= error.column <= len(text) + 1
    assert str(error) == "%s (line %d, column %d)" % (error.message, error.line, error.column)


@pytest.mark.parametrize("name", sorted(name for name in VALID if len(VALID[name]) < 500))
def test_every_prefix(name):
    for end in range(len(VALID[name])):
        assert_agrees(VALID[name][:end])


# Errors


@pytest.mark.parametrize("text, message", [
    ("a = 1\n\n  ab c", 'expected "=" after a key (line 3, column 6)'),
    ("a = [1 2]", 'expected "," or "]" in an array (line 1, column 8)'),
    ("a = {b = 1", 'expected "," or "}" in an inline table (line 1, column 11)'),
    ("[a\n", 'expected "]" at the end of a table header (line 1, column 3)'),
    ("[[a]", 'expected "]]" at the end of a table header (line 1, column 4)'),
    ("a = 1 2", "expected the end of the line (line 1, column 7)"),
    ("a = 1\r\nb = 'x\r\n", "expected ' before '\\n' (line 2, column 7)"),
    ('a = """x\n', 'expected """ before the end (line 2, column 1)'),
    ('a = "\x01"', "expected \" before '\\x01' (line 1, column 6)"),
    ("a = 1\nb = 2021-02-30", "invalid date: day is out of range for month (line 2, column 5)"),
    ("a = 1\nb = 0\n a = 2", "a is already defined (line 3, column 2)"),
    ("[a.b]\n[a.b]", "a.b is already defined (line 2, column 2)"),
    ("[a]\nb = [\n {c = 1, c = 2}]", "c is already defined (line 3, column 10)"),
    ('a = "x\\q"', "unknown escape sequence in a string (line 1, column 7)"),
    ("a = ", "expected a value (line 1, column 5)"),
    ("\n*", "expected a key (line 2, column 1)"),
])
def test_message(text, message):
    assert str(refuse(proto_prime.parse_toml, text)) == message


def test_error_attributes():
    error = proto_prime.TomlError("a = 1\nb = 2\nc = [x]", 17, "no")
    assert isinstance(error, ValueError)
    assert (error.message, error.line, error.column, str(error)) == ("no", 3, 6, "no (line 3, column 6)")


@pytest.mark.parametrize("text, line, column", [
    ("a = 1\nb c", 2, 3),
    ("a = 1\nb =", 2, 4),
    ("a = 1\nb = [\n", 3, 1),
    ("a", 1, 2),
])
def test_place(text, line, column):
    error = refuse(proto_prime.parse_toml, text)
    assert (error.line, error.column) == (line, column)
    assert "(at " not in error.message


def test_nesting_too_deep_is_located():
    error = refuse(proto_prime.parse_toml, "a = 1\nb = 2\n c = " + "[" * 50000)
    assert str(error) == "a value is nested too deep (line 3, column 2)"


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="no limit for digits")
def test_too_many_digits():
    error = refuse(proto_prime.parse_toml, "a = 1\nb = " + "1" * (sys.get_int_max_str_digits() + 1))
    assert (error.line, error.column) == (2, 5)


# Values


def test_some_values():
    text = "a = 1979-05-27 07:32:00.1234567-07:30\nb = 1979-05-27\nc = 07:32:00\nd = -nan\ne = [0xf]"
    values = proto_prime.parse_toml(text)
    zone = datetime.timezone(-datetime.timedelta(hours=7, minutes=30))
    assert values["a"] == datetime.datetime(1979, 5, 27, 7, 32, 0, 123456, tzinfo=zone)
    assert type(values["b"]) is datetime.date
    assert values["c"] == datetime.time(7, 32)
    assert math.isnan(values["d"])
    assert values["e"] == [15]


def test_results_are_independent():
    first, second = proto_prime.parse_toml("a = [{}]"), proto_prime.parse_toml("a = [{}]")
    first["a"][0]["b"] = 1
    assert second == {"a": [{}]}


@pytest.mark.parametrize("text", [
    "a = '" + "x" * 200000 + "'",
    "a = '''" + "x'y''z" * 50000,
    'a = """' + '""x\\"' * 50000,
    "a = [" + "1, # c\n\n" * 20000 + "]",
    "# c\n" * 50000 + "x",
    "a = [" + "{b.c = [1, 2], d = 'x'}, " * 5000 + "]",
], ids=["literal", "apostrophes", "quotes", "array", "comments", "inline"])
def test_large(text):
    assert_agrees(text)


def test_import_loads_nothing():
    code = ("import os, sys; before = set(sys.modules); sys.path.insert(0, %r); import proto_prime; "
            "print(sorted(set(sys.modules) - before))" % THERE)
    output = subprocess.check_output([sys.executable, "-I", "-S", "-c", code]).decode()
    assert output.strip() == "['proto_prime']"


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.split(os.sep)[-3])
def test_other_interpreters(python):
    output = subprocess.check_output([python, "-B", "-W", "error", "-c", CHILD % ([THERE, HERE],)])
    results = json.loads(output.decode())
    for name, text in VALID.items():
        assert results["valid"][name] == typed(tomllib.loads(text)), name
    for name, text in INVALID.items():
        kind, line, column, has_message = results["invalid"][name]
        assert kind == "error" and 1 <= line <= text.count("\n") + 1 and column >= 1 and has_message, name


# Random documents

EXAMPLES = int(os.environ.get("TOML_EXAMPLES", "300"))
SHORT = sorted(text for text in list(VALID.values()) + list(INVALID.values()) if len(text) < 3000)
LINES = sorted({line for text in SHORT for line in text.splitlines()})
PIECES = sorted(set("[]{}=.,\"'\\# \t\n\r_+-:019aeEfintTuUxobZz\x00\x0b\x7f\x85\xe9\ufeff\u0661\ud800")) + [
    "\r\n", '"""', "'''", "[[", "]]", "\\\n", "\\u00e9", "\\ud800", "\\U0001F40D", "inf", "nan", "true",
    "0x", "1e5", "2021-02-29", "07:32:00", "T07:32:00.5", "+01:00", "[a]\n", "[[a]]\n",
    "a.b = 1\n", "a = {b = 1}\n", "# c\n"]
KEYS = ["a", "b", "a.b", "a.c", "b.a", "a.b.c", "a.b.d", "'a'", '"".a']
VALUES = ["1", "{}", "[]", "[{}]", "{a = 1}", "{a.b = 1}", "{a.b = 1, a.c = 2}",
          "{a = {}, a.b = 1}", "[{a = []}]"]
STATEMENTS = (["[%s]" % key for key in KEYS] + ["[[%s]]" % key for key in KEYS] +
              ["%s = %s" % (key, value) for key in KEYS for value in VALUES])


@st.composite
def mutants(draw):
    """A document of the corpus with some characters or lines deleted, inserted, repeated or replaced."""
    text = draw(st.sampled_from(SHORT))
    for _ in range(draw(st.integers(1, 4))):
        by_line = draw(st.booleans())
        parts = text.splitlines(True) if by_line else list(text)
        start = draw(st.integers(0, len(parts)))
        end = min(len(parts), start + draw(st.integers(0, 3)))
        new = draw(st.sampled_from([line + "\n" for line in LINES] if by_line else PIECES))
        middle = draw(st.sampled_from([[], [new], parts[start:end] + [new], parts[start:end] * 2]))
        text = "".join(parts[:start] + middle + parts[end:])
    return text


@settings(max_examples=EXAMPLES, deadline=None)
@given(mutants())
def test_mutants(text):
    assert_agrees(text)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=7))
def test_random_statements(statements):
    assert_agrees("\n".join(statements))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(st.sampled_from(sorted("0123456789_+-.:eExobTZz infa")), min_size=1, max_size=14))
def test_random_scalars(text):
    assert_agrees("a = " + text)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(["'", '"', "'''", '"""']),
       st.text(st.sampled_from(sorted("'\"\\ \t\n\ru0Uadn")), max_size=14))
def test_random_strings(quotes, text):
    assert_agrees("a = " + quotes + text + quotes)
