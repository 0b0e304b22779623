"""Versions and requests: what satisfies what, and which forms there are."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import PYTHONS, TOP
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

import proto_prime

ROWS = json.loads(Path(__file__).with_name("specifiers.json").read_text(encoding="utf-8"))


def verdict(row):
    """What `satisfies` says of a row of specifiers.json: a bool, or "invalid"."""
    try:
        return proto_prime.satisfies(row["specifier"], row.get("version", "3.12.1"))
    except proto_prime.PrimeError as error:
        assert error.status == 2
        return "invalid"


def expected(row):
    return "invalid" if row.get("invalid") else row["selects"]


def test_every_row_of_the_vectors():
    assert len(ROWS) > 1000
    assert [row for row in ROWS if verdict(row) != expected(row)] == []


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_every_row_of_the_vectors_under_every_python(version):
    code = "import json, sys, proto_prime\n" + "\n".join([
        "def verdict(row):",
        "    try: return proto_prime.satisfies(row['specifier'], row.get('version', '3.12.1'))",
        "    except proto_prime.PrimeError: return 'invalid'",
        "rows = json.load(open(sys.argv[1], encoding='utf-8'))",
        "def expected(row): return 'invalid' if row.get('invalid') else row['selects']",
        "print([row for row in rows if verdict(row) != expected(row)])",
    ])
    command = [str(PYTHONS[version]), "-B", "-c", code, str(Path(__file__).with_name("specifiers.json"))]
    done = subprocess.run(command, cwd=str(TOP), stdout=subprocess.PIPE, universal_newlines=True)
    assert done.stdout == "[]\n"


# -- against packaging -----------------------------------------------------------------------------

numbers = st.integers(0, 14)
releases = st.lists(numbers, min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
python_releases = st.tuples(st.just(3), numbers, numbers).map(lambda parts: "%d.%d.%d" % parts)
pre = st.sampled_from(["", "a1", "b2", "rc1", "rc10", ".alpha1", "-beta", "c3", "preview2"])
post = st.sampled_from(["", ".post1", ".post", "-1", "rev3"])
dev = st.sampled_from(["", ".dev0", ".dev2", "dev"])
versions = st.builds("{}{}{}{}{}".format, st.sampled_from(["", "0!", "1!", "v"]), releases, pre, post, dev)
operators = st.sampled_from([">=", "<=", ">", "<", "==", "!="])
near = st.tuples(st.just(3), numbers, numbers, st.sampled_from([1, 2, 3])).map(
    lambda parts: ".".join(map(str, parts[:3][: parts[3]])))
blank = st.sampled_from(["", " "])
plain_clauses = st.builds("{}{}{}{}".format, blank, operators, blank, near)
prefix_clauses = st.builds("{}{}.*".format, st.sampled_from(["==", "!="]), near)
compatible_clauses = st.builds("~={}".format, near.filter(lambda text: "." in text))
clauses = st.lists(plain_clauses | prefix_clauses | compatible_clauses, min_size=1, max_size=4).map(",".join)


@settings(max_examples=500, deadline=None)
@given(clauses, python_releases)
def test_ordinary_specifiers_mean_what_packaging_says(specifier, version):
    assert proto_prime.satisfies(specifier, version) == SpecifierSet(specifier).contains(version)


def verdict_of(read, *errors):
    """What `read` returns, or "invalid" if it raises one of `errors`."""
    try:
        return read()
    except errors:
        return "invalid"


def agrees(specifier, version):
    """Whether a `Clause` says of a version what packaging says, with pre-releases, "invalid" included."""
    ours = verdict_of(lambda: proto_prime.Clause(specifier).contains(proto_prime.Version(version)),
                      proto_prime.PrimeError)
    theirs = verdict_of(lambda: SpecifierSet(specifier).contains(version, prereleases=True), InvalidSpecifier)
    return ours == theirs


@pytest.mark.parametrize("specifier, version, verdict", [
    ("<1.0.post1", "1.0a1", True), ("<1.0.post1", "1.0.post1.dev0", False), ("<1.0", "1.0a1", False),
    ("<1.0", "1.0.post1.dev0", False), ("<1.0.post1", "1.0.post0.dev1", True), ("<1.0a1.post1", "1.0a1", True),
    (">1.0a1", "1.0a1.post1", False), (">1.0a1", "1.0.post1", True), (">1.0a1.dev1", "1.0a1", True),
    (">1.0.dev1", "1.0.post1", True), (">1.0", "1.0.post1.dev1", False), (">1.0.post1", "1.0.post2.dev0", True),
    ("==2.0a1.*", "2.0a1", "invalid"), ("==2.0.post1.*", "2.0.post1", "invalid"), ("!=2.0rc1.*", "2.0", "invalid"),
    ("==2.0-1.*", "2.0.post1", "invalid"), ("!=2.0r.*", "2.0", "invalid"), ("==2.0c.*", "2.0rc0", "invalid"),
    ("==2.0.dev.*", "2.0", "invalid"), ("==v2.*", "2.0a1", True), ("==1!2.*", "1!2.1", True),
    ("==1+deadbeef.00", "1+deadbeef.0", True), ("==1+deadbeef.0", "1+DEADBEEF-00", True),
    ("!=1+01", "1+1", False), ("==1+0x1", "1+0x01", False), ("==1+a", "1", False), ("==1", "1+a", True),
])
def test_R12_corners_of_specifiers(specifier, version, verdict):
    ours = verdict_of(lambda: proto_prime.Clause(specifier).contains(proto_prime.Version(version)),
                      proto_prime.PrimeError)
    assert ours == verdict
    assert agrees(specifier, version)


@pytest.mark.parametrize("specifier", ["==3.12.0a1.*", "==3.12.0.post1.*", "!=3.12rc1.*", ">=3.8,==3.12b1.*"])
def test_R12_prefix_of_a_pre_or_post_release_is_refused_everywhere(repo, specifier):
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.satisfies(specifier, "3.12.1")
    repo.config("required_python_version = %s" % json.dumps(specifier))
    assert 'malformed request "%s"' % specifier in repo.prime(status=2).stderr
    repo.config("")
    repo.write("proto_prime.toml", "uv_version = %s\n" % json.dumps(specifier))
    assert "is neither a version nor specifiers" in repo.prime(status=2).stderr


close_versions = st.builds(
    "{}{}{}{}{}{}".format, st.sampled_from(["", "1!"]), st.sampled_from(["1", "1.0", "1.0.0", "1.1", "0"]),
    st.sampled_from(["", "", "a0", "a1", "-rc.1"]), st.sampled_from(["", "", ".post0", "-1"]),
    st.sampled_from(["", "", ".dev0", "dev1"]), st.sampled_from(["", "", "+0", "+00", "+a.01", "+A-1", "+10"]))
any_specifiers = st.builds("{}{}{}".format, st.sampled_from(["<", ">", "<=", ">=", "==", "!=", "~="]),
                           close_versions | versions, st.sampled_from(["", "", ".*"]))


@settings(max_examples=1500, deadline=None)
@given(any_specifiers, close_versions | versions)
def test_R12_random_specifiers_and_versions_mean_what_packaging_says(specifier, version):
    assert agrees(specifier, version), (specifier, version)


@settings(max_examples=300, deadline=None)
@given(versions, versions)
def test_versions_sort_as_those_of_packaging(one, other):
    ours, theirs = proto_prime.Version(one).key, proto_prime.Version(other).key
    assert (ours < theirs) == (Version(one) < Version(other))
    assert (ours == theirs) == (Version(one) == Version(other))


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789.abcrvdeopst+-!_ *", max_size=12))
def test_versions_are_those_of_packaging(text):
    def is_version(make, error):
        try:
            return bool(make(text))
        except error:
            return False

    assert is_version(proto_prime.Version, proto_prime.PrimeError) == is_version(Version, ValueError)


# -- requests --------------------------------------------------------------------------------------

FORMS = [
    ("3", {"3.6.0", "3.12.1", "3.14.0rc1"}, {"2.7.18", "4.0.0"}),
    ("3.1", {"3.1.5"}, {"3.11.7", "3.10.1"}),
    ("3.12", {"3.12.0", "3.12.11"}, {"3.1.2", "3.11.7", "3.13.0", "3.120.0"}),
    ("3.12.3", {"3.12.3"}, {"3.12.0", "3.12.30"}),
    ("312", {"3.12.0", "3.12.11"}, {"3.1.2", "3.13.0"}),
    ("36", {"3.6.15"}, {"3.7.16"}),
    ("==3.12.*", {"3.12.4"}, {"3.13.0"}),
    ("~=3.12", {"3.12.0", "3.14.2"}, {"3.11.9", "4.0.0"}),
    (">=3.11,<3.14", {"3.11.0", "3.13.9"}, {"3.10.9", "3.14.0"}),
    ("!=3.12.1", {"3.12.2"}, {"3.12.1"}),
    ("", {"3.6.0", "2.7.18"}, set()),
    ("3.14.0rc1", {"3.14.0rc1"}, {"3.14.0", "3.14.0rc2"}),
]


@pytest.mark.parametrize("request_, yes, no", FORMS, ids=[form[0] or "nothing" for form in FORMS])
def test_form_of_a_request(request_, yes, no):
    assert {version for version in yes | no if proto_prime.satisfies(request_, version)} == yes


def understood(text):
    request = proto_prime.parse_request(text)
    return request.implementation, request.is_free_threaded, [clause.text for clause in request.clauses]


def test_forms_with_an_implementation_or_a_build():
    assert understood("cpython") == ("cpython", False, [])
    assert understood("pypy") == ("pypy", False, [])
    assert understood("cpython@3.12") == ("cpython", False, ["==3.12.*"])
    assert understood("pypy@3.11") == ("pypy", False, ["==3.11.*"])
    assert understood("pypy3.10") == ("pypy", False, ["==3.10.*"])
    assert understood("3.13t") == ("", True, ["==3.13.*"])
    assert understood("any") == understood("any-any-linux-any-any") == ("", False, [])
    assert understood("==3.12") == ("", False, ["==3.12.*"])  # as a request; as a specifier it is 3.12.0


# As uv, virtualenv and tox write them: what is written, what is meant, and how uv is asked for it.
R10_FORMS = [
    ("python3.12", "", "==3.12.*", "3.12"), ("python312", "", "==3.12.*", "3.12"), ("python3", "", "==3.*", "3"),
    ("python3.12.1", "", "==3.12.1", "3.12.1"), ("py312", "", "==3.12.*", "3.12"),
    ("python-3.12", "", "==3.12.*", "3.12"), ("cp312", "cpython", "==3.12.*", "cpython@3.12"),
    ("CPython3.12", "cpython", "==3.12.*", "cpython@3.12"),
    ("pp310", "pypy", "==3.10.*", "pypy@3.10"), ("v3.12", "", "==3.12.*", "3.12"),
    ("cpython>=3.12,<3.13", "cpython", ">=3.12,<3.13", "cpython@>=3.12,<3.13"),
    ("cpython@>=3.12, <3.13", "cpython", ">=3.12,<3.13", "cpython@>=3.12, <3.13"),
    ("python>=3.12", "", ">=3.12", ">=3.12"), ("pypy~=3.10", "pypy", "~=3.10", "pypy@~=3.10"),
    ("cpython-3.12.1-linux-x86_64-gnu", "cpython", "==3.12.1", "cpython@3.12.1"),
    ("cpython-3.12-any-any-any", "cpython", "==3.12.*", "cpython@3.12"),
    ("any-3.12-any-any-any", "", "==3.12.*", "3.12"),
    ("313rc2", "", "==3.13rc2", "3.13rc2"), ("python3.13.0rc2", "", "==3.13.0rc2", "3.13.0rc2"),
    ("3.13+gil", "", "==3.13.*", "3.13"), ("Python 3.12.1", "", "==3.12.1", "3.12.1"),
    ("cpython  3.12", "cpython", "==3.12.*", "cpython@3.12"), ("cpython >=3.12", "cpython", ">=3.12", "cpython@>=3.12"),
]


@pytest.mark.parametrize("text, implementation, clauses_, uv_text", R10_FORMS, ids=[form[0] for form in R10_FORMS])
def test_R10_forms_of_uv_virtualenv_and_tox_mean_a_version(text, implementation, clauses_, uv_text):
    assert understood(text) == (implementation, False, clauses_.split(","))
    assert proto_prime.parse_request(text).uv_text == uv_text
    assert proto_prime.satisfies(text, clauses_.strip("<>=~").split(",")[0].replace(".*", ".0"))


@pytest.mark.parametrize("text", ["3.13+freethreaded", "313t", "python3.13t", "cpython-3.13+freethreaded-any-any-any"])
def test_R10_free_threaded_builds_in_the_forms_of_uv(text):
    assert understood(text)[1:] == (True, ["==3.13.*"])


@pytest.mark.parametrize("name", ["python", "python3.12-dbg", "python3-config", "my-python", "python-3.12-mine",
                                  "pypy-c", "pypy-7.3.12"])
def test_R10_other_names_are_programs(name):
    assert proto_prime.parse_request(name).path == name


def test_path_forms(tmp_path, monkeypatch):
    program = tmp_path / "my-python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert proto_prime.parse_request("my-python").path == "my-python"
    assert proto_prime.parse_request(str(program)).path == str(program)
    assert proto_prime.parse_request("./my-python").path == "./my-python"
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.satisfies("my-python", "3.12.1")


MALFORMED = [">=", "3.x", "banana", "3.12,", "==3.12.*.1", "3.12.", ".3", "3..12", "3.12.1.2.3", "t", "3t.13",
             "cpython@", "pypy@banana", "@3.12", ">=3.8 <4", "3.12 3.13", "=3.8",
             "\u0663.\u0661\u0662", "-3.12",
             "v3.12x"]


@pytest.mark.parametrize("text", MALFORMED)
def test_I2_malformed_request_says_what_forms_there_are(repo, text):
    field = "proto_prime.toml, line 1: required_python_version"
    for argv, place in (([], field), (["python", "--", text], "command line")):
        repo.config("" if argv else "required_python_version = %s" % json.dumps(text))
        result = repo.prime(*argv, status=2)
        assert result.stdout == ""
        assert 'prime: error: malformed request "%s"' % text in result.stderr
        assert place in result.stderr.splitlines()[0]
        assert "a request is one of:" in result.stderr
        for form in ('"3.12"', '">=3.11,<3.14"', '"pypy@3.11"', '"3.13t"', "a path"):
            assert form in result.stderr
        assert "Traceback" not in result.stderr
        assert not (repo.path / ".prime").exists()
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.satisfies(text, "3.12.1")


@pytest.mark.parametrize("text", ["", "three", "3.12.x", "3.12.1.1.1.", "1 2"])
def test_malformed_version_is_refused(text):
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.satisfies("3.12", text)
