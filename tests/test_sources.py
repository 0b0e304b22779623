"""Where pythons are looked for and in what order; what was not run on Windows and macOS goes through fakes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from conftest import PYTHONS, ancient_python, python, uv_program

import proto_prime

WILD = "3.6"  # starts `prime` here, for most requests want something newer
SHELL = "#!/bin/sh\nPATH=/usr/bin:/bin\n"


def pathed(*directories):
    return os.pathsep.join(map(str, directories))


def release(path):
    """The X.Y of the installed python behind a path."""
    real = os.path.realpath(str(path))
    return next((version for version, each in PYTHONS.items() if os.path.realpath(str(each)) == real), real)


@pytest.fixture
def quiet(repo):
    """A repo with nothing on PATH, which is set up with pip."""
    repo.config()
    repo.env.update({"PATH": "", "PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    return repo


def ask(repo, *words, **options):
    """What `prime python` prints, started by the oldest python."""
    options.setdefault("python", python(WILD))
    return repo.prime("python", *words, **options).stdout.rstrip("\n")


def listed(repo, *words, **options):
    """The candidates of `prime python --all --json`, in the order tried."""
    return json.loads(ask(repo, *words, "--all", "--json", **options))["candidates"]


def from_source(repo, source, request=">=3.7", **options):
    """The paths that a source gave, in the order tried."""
    return [each["path"] for each in listed(repo, request, **options) if each["source"] == source]


def link(path, version):
    """Put a link to a real python of that version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(python(version))
    return path


def fake(path, version, code):
    """Put a python that says of itself what `code` makes of `sys`, and stands at its own path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tampering = "import sys; sys.executable = sys.argv[1]; %s; exec(sys.argv[2])" % code
    text = "for code; do :; done\nexec '%s' -S -c \"%s\" \"$0\" \"$code\"\n"
    path.write_text(SHELL + text % (python(version), tampering))
    path.chmod(0o755)
    return path


# --- The same choice as uv's ---


@pytest.fixture
def one(quiet):
    """All installed pythons in one directory of PATH; `python3` and `python` are the 3.9."""
    for version in PYTHONS:
        link(quiet.bin / ("python" + version), version)
    for name in ("python3", "python"):
        link(quiet.bin / name, "3.9")
    quiet.env["PATH"] = str(quiet.bin)
    return quiet


@pytest.fixture
def two(quiet):
    """Two directories of PATH: 3.9 and 3.11 in the first, 3.12 in the second."""
    for name, version in (("a/python3", "3.9"), ("a/python3.9", "3.9"), ("a/python3.11", "3.11"),
                          ("b/python3", "3.12"), ("b/python3.12", "3.12")):
        link(quiet.home / name, version)
    quiet.env["PATH"] = pathed(quiet.home / "a", quiet.home / "b")
    return quiet


def uvs_choice(repo, request):
    """The X.Y of the python that uv finds for a request; "" if none."""
    (repo.home / "uv pythons").mkdir(exist_ok=True)
    env = dict(repo.env, UV_PYTHON_INSTALL_DIR=str(repo.home / "uv pythons"), UV_PYTHON_DOWNLOADS="never")
    command = [uv_program(), "python", "find", "--no-project", "--no-config", "--system", request]
    found = subprocess.run(command, env=env, cwd=str(repo.home), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, universal_newlines=True)
    return release(found.stdout.strip()) if found.returncode == 0 else ""


def our_choice(repo, request):
    """The X.Y of the python that we find for a request; "" if none."""
    result = repo.prime("python", request, python=python(WILD), status=None)
    assert result.status == 0 or "no python satisfies" in result.stderr, result.stderr
    return release(result.stdout.strip()) if result.status == 0 else ""


def exact(version):
    """The full version of an installed python, such as 3.12.1."""
    return python(version).parent.parent.name


SAME_AS_UV = [
    "3.12", "312", "{3.12}", "3.9", "{3.9}", "3.99", "3.12.99", " 3.12 ",
    ">=3.8,<3.11", "~=3.9", "~=3.9.1", "==3.12.*", "==3.12", "=={3.12}", "==3.12.99", "==={3.12}", ">3.8",
    ">3.9,!=3.10.*", ">=3.9,!={3.9},<3.12", ">=3.13", ">=3.13.0a1", ">=3.8,<=3.9", ">=3.99",
    "cpython@3.12", "cpython3.12", "cpython@{3.9}", "cpython@3.99", "python3.12", "python3.10",
    "pypy@3.9", "pypy", "pypy3.9", "3.13t",
]


def filled(request):
    return re.sub(r"{(.*?)}", lambda match: exact(match.group(1)), request)


@pytest.mark.parametrize("request_text", SAME_AS_UV)
def test_choice_is_that_of_uv_in_one_directory(one, request_text):
    request_text = filled(request_text)
    assert our_choice(one, request_text) == uvs_choice(one, request_text)


NAME_FIRST = "ours goes through the directories name by name, uv through the names directory by directory"
DIFFERENT_IN_TWO = {  # request: the version of our choice, of uv's, and why
    ">=3.10": ("3.12", "3.11", NAME_FIRST),
    ">=3.10,!={3.10}": ("3.12", "3.11", NAME_FIRST),
    "~=3.10": ("3.12", "3.11", NAME_FIRST),
}


@pytest.mark.parametrize("request_text", sorted(set(SAME_AS_UV + list(DIFFERENT_IN_TWO))))
def test_choice_is_that_of_uv_in_two_directories_but_for_the_order_of_names(two, request_text):
    ours, uvs, why = DIFFERENT_IN_TWO.get(request_text, ("", "", ""))
    filled_text = filled(request_text)
    if why:
        assert (our_choice(two, filled_text), uvs_choice(two, filled_text)) == (ours, uvs)
    else:
        assert our_choice(two, filled_text) == uvs_choice(two, filled_text)


@pytest.mark.parametrize("request_text", ["3", "cpython", ">=3.6", "<3.9", "<3.8", "!={3.9}", "3.6"])
def test_choice_is_the_python_that_runs_this_where_uv_goes_by_PATH(one, request_text):
    assert our_choice(one, filled(request_text)) == WILD
    assert uvs_choice(one, filled(request_text))


@pytest.mark.parametrize("form", ["an executable", "an environment", "an executable of an environment"])
def test_choice_of_a_path_is_that_of_uv(one, form, tmp_path):
    venv = tmp_path / "theirs"
    subprocess.check_call([str(python("3.11")), "-m", "venv", "--without-pip", str(venv)])
    paths = {"an executable": python("3.11"), "an environment": venv,
             "an executable of an environment": venv / "bin" / "python"}
    assert our_choice(one, str(paths[form])) == uvs_choice(one, str(paths[form])) == "3.11"


def test_name_on_PATH_is_taken_as_it_is(quiet):
    link(quiet.home / "b" / "our-python", "3.11")
    quiet.env["PATH"] = pathed(quiet.home / "a", quiet.home / "b")
    assert release(ask(quiet, "our-python")) == uvs_choice(quiet, "our-python") == "3.11"
    assert quiet.prime("python", "their-python", status=None).status in (1, 2)
    quiet.program("no-python", SHELL + "exit 1\n")
    assert "failed: exit status 1" in quiet.prime("python", "no-python", status=1, env={
        "PATH": str(quiet.bin)}).stderr


# --- PATH ---


@pytest.mark.parametrize("request_text, order", [
    ("3.12", ["b/python3.12", "c/python3.12", "c/python3", "a/python", "a/python3.13", "b/python3.11"]),
    ("{3.12}", ["a/python{3.12}", "b/python3.12", "c/python3.12", "c/python3", "a/python", "a/python3.13"]),
    ("==3.12.*", ["b/python3.12", "c/python3.12", "c/python3", "a/python", "a/python3.13"]),
    (">=3.8", ["c/python3", "a/python", "a/python3.13", "b/python3.12", "b/python3.11", "c/python3.12"]),
])
def test_names_on_PATH_are_tried_in_the_order_of_the_manual(quiet, request_text, order):
    for number, name in enumerate(("a/python", "a/python3.13", "a/python" + exact("3.12"), "b/python3.12",
                                   "b/python3.11", "b/python3.12-config", "b/python3.12m", "c/python3",
                                   "c/python3.12", "c/pythonw", "c/ipython3")):
        path = quiet.home / name  # each a file of its own, and broken: none is known under another name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SHELL + "exit %d\n" % number)
        path.chmod(0o755)
    quiet.env["PATH"] = pathed(*(quiet.home / name for name in "abc"))
    words = "python", filled(request_text), "--all", "--json"
    result = quiet.prime(*words, python=python(WILD), status=None)
    tried = [each["path"] for each in json.loads(result.stdout)["candidates"] if each["source"] == "PATH"]
    order = [str(quiet.home / filled(name)) for name in order]
    assert [path for path in tried if path in order] == order
    assert not [path for path in tried if path.endswith(("config", "pythonw", "ipython3"))]


def test_python_that_is_named_by_its_full_version_is_found_for_specifiers(quiet):
    path = link(quiet.bin / ("python" + exact("3.12")), "3.12")
    quiet.env["PATH"] = str(quiet.bin)
    assert ask(quiet, ">=3.8") == str(path)


def test_odd_entries_of_PATH_are_passed_over(quiet):
    good = link(quiet.home / "good" / "python3.12", "3.12")
    (quiet.home / "a file").write_text("")
    (quiet.home / "closed").mkdir(mode=0)
    (quiet.home / "ring").symlink_to("ring")
    quiet.env["PATH"] = pathed("", "/nowhere", quiet.home / "a file", quiet.home / "closed", quiet.home / "ring",
                               "~/nothing", "x" * 300, "", good.parent, good.parent, str(good.parent) + "/", "")
    assert ask(quiet, "3.12") == str(good)
    assert from_source(quiet, "PATH", "3.12") == [str(good)]


def test_python_of_a_relative_entry_of_PATH_is_told_by_its_whole_path(quiet):
    good = link(quiet.path / "tools" / "python3.12", "3.12")
    quiet.env["PATH"] = "tools"
    assert ask(quiet, "3.12") == str(good)
    assert from_source(quiet, "PATH", "3.12") == [str(good)]


def test_one_python_under_many_names_is_tried_once(one):
    for name in ("python3.12.1", "pypy3.12", "python3.14"):
        link(one.bin / name, "3.12")
    reals = [os.path.realpath(path) for path in from_source(one, "PATH")]
    assert len(reals) == len(set(reals))


# --- uv, pyenv, conda ---


def test_pythons_of_uv_are_found_newest_first(quiet):
    root = quiet.home / "uv pythons"
    for name, version in (("cpython-3.9.18-linux-x86_64-gnu", "3.9"), ("cpython-3.12.1-linux-x86_64-gnu", "3.12"),
                          ("cpython-3.10.13-linux-x86_64-gnu", "3.10")):
        link(root / name / "bin" / "python", version)
    (root / "cpython-3.12-linux-x86_64-gnu").symlink_to("cpython-3.12.1-linux-x86_64-gnu")  # uv makes these
    (root / "cpython-3.13.9-linux-x86_64-gnu").mkdir()  # an install that did not end
    for name in (".lock", ".gitignore"):
        (root / name).write_text("")
    (root / ".temp" / "cpython-3.13.1").mkdir(parents=True)
    env = {"UV_PYTHON_INSTALL_DIR": str(root)}
    found = [path for path in from_source(quiet, "uv", env=env) if "3.13.9" not in path]
    assert [release(path) for path in found] == ["3.12", "3.10", "3.9"]
    assert all(path.startswith(str(root)) for path in found)
    assert release(ask(quiet, ">=3.8,<3.11", env=env)) == "3.10"
    assert release(ask(quiet, ">=3.8", env=env)) == "3.12"


@pytest.mark.parametrize("place", ["home", "XDG_DATA_HOME"])
def test_pythons_of_uv_are_found_where_it_puts_them_by_default(quiet, place):
    base = quiet.home / ".local" / "share"
    if place == "XDG_DATA_HOME":
        base = quiet.home / "data"
        quiet.env["XDG_DATA_HOME"] = str(base)
    path = link(base / "uv" / "python" / "cpython-3.12.1-linux-x86_64-gnu" / "bin" / "python", "3.12")
    assert ask(quiet, "3.12") == str(path)


def test_versions_of_pyenv_are_found_newest_first_and_its_other_directories_are_not(quiet):
    versions = quiet.home / ".pyenv" / "versions"
    for name, version in (("3.9.18", "3.9"), ("3.12.1", "3.12"), ("3.10.13", "3.10"), ("3.8-dev", "3.8")):
        link(versions / name / "bin" / "python", version)
    (versions / "my-environment").symlink_to("3.9.18/envs/my-environment")
    (versions / "3.11.99").mkdir()
    found = [path for path in from_source(quiet, "pyenv") if "3.11.99" not in path]
    names = "3.12.1", "3.10.13", "3.9.18", "3.8-dev"
    assert found == [str(versions / name / "bin" / "python") for name in names]
    broken = [each for each in listed(quiet, "3.12") if "3.11.99" in each["path"]]
    assert {each["verdict"] for each in broken} <= {"broken"}


def conda_environment(prefix, version, name="python"):
    """A directory as conda leaves it, with a real python in it."""
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / "history").write_text("")
    (prefix / "conda-meta" / "python_abi-3.12-4_cp312.json").write_text("{}")
    (prefix / "conda-meta" / ("%s-%s-h1234_0.json" % (name, exact(version)))).write_text("{}")
    return link(prefix / "bin" / "python", version)


def test_conda_is_searched_newest_first_in_all_its_places(quiet):
    active = conda_environment(quiet.home / "somewhere" / "active", "3.9")
    kept = conda_environment(quiet.home / "my envs" / "kept", "3.12")
    install = conda_environment(quiet.home / "miniforge3", "3.10")
    (quiet.home / ".conda").mkdir()
    lines = quiet.home / "gone", "", kept.parents[1], quiet.home / "empty", install.parents[1]
    (quiet.home / ".conda" / "environments.txt").write_text("\n".join(map(str, lines)) + "\n")
    (quiet.home / "empty" / "conda-meta").mkdir(parents=True)  # an environment without a python
    env = {"CONDA_PREFIX": str(active.parents[1])}
    assert from_source(quiet, "conda", env=env) == [str(kept), str(install), str(active)]
    assert ask(quiet, ">=3.8,<3.12", env=env) == str(install)
    assert ask(quiet, "3.9", env=env) == str(active)
    assert ask(quiet, "3.12") == str(kept)
    quiet.prime(env=dict(env, PYTHONPATH=None))
    assert from_source(quiet, "conda") == [str(kept), str(install)]


@pytest.mark.parametrize("content", [b"\xff\xfe\n/nowhere\n", b"\0\n", b"relative/path\n", b"\n\n"])
def test_list_of_conda_environments_that_is_garbage_is_no_matter(quiet, content):
    (quiet.home / ".conda").mkdir()
    install = conda_environment(quiet.home / "miniconda3", "3.12")
    (quiet.home / ".conda" / "environments.txt").write_bytes(content)
    assert ask(quiet, "3.12") == str(install)


def test_conda_environment_is_accepted_where_a_path_is(quiet):
    path = conda_environment(quiet.home / "theirs", "3.12")
    for form in (path.parents[1], path):
        assert ask(quiet, str(form)) == str(path)
        assert ask(quiet, "3.12", env={"PROTOPRIMER_PYTHON": str(form)}) == str(path)
    quiet.write("choose", SHELL + "echo '%s'\n" % path.parents[1], executable=True)
    quiet.config('python_selector_file_rel_path = "choose"')
    assert ask(quiet) == str(path)


def test_venv_made_from_a_conda_environment_gives_that_one(quiet):
    base = conda_environment(quiet.home / "theirs", "3.12")
    venv = quiet.home / "venv"
    link(venv / "bin" / "python", "3.12")
    (venv / "pyvenv.cfg").write_text("home = %s\nversion = 3.12.1\n" % base.parent)
    assert ask(quiet, str(venv)) == str(base)


def test_sources_go_in_the_order_of_the_manual(quiet):
    conda_environment(quiet.home / "miniconda3", "3.13")
    link(quiet.home / ".pyenv" / "versions" / "3.12.1" / "bin" / "python", "3.12")
    link(quiet.home / ".local/share/uv/python/cpython-3.11.7-linux-x86_64-gnu/bin/python", "3.11")
    link(quiet.bin / "python3.10", "3.10")
    quiet.env["PATH"] = str(quiet.bin)
    sources = [each["source"] for each in listed(quiet, ">=3.6")]
    assert [each for each in sources if each != "local"] == ["wild", "PATH", "uv", "pyenv", "conda"]
    for request, source in ((">=3.10", "PATH"), (">=3.11", "uv"), (">=3.12", "pyenv"), (">=3.13", "conda")):
        chosen = [each for each in listed(quiet, request) if each["verdict"] == "selected"]
        assert [each["source"] for each in chosen] == [source]


# --- Pre-releases, free-threaded builds, PyPy ---

ALPHA = "sys.version_info = (3, 15, 0, 'alpha', 1)"


@pytest.fixture
def early(quiet):
    """A 3.15.0a1 and, behind it, a 3.12."""
    fake(quiet.home / "a" / "python3.15", "3.12", ALPHA)
    link(quiet.home / "b" / "python3.12", "3.12")
    quiet.env["PATH"] = pathed(quiet.home / "a", quiet.home / "b")
    return quiet


@pytest.mark.parametrize("request_text", [
    "3.15.0a1", "==3.15.0a1", ">=3.15.0a1", ">=3.13.0a0", "cpython@3.15.0a1"])
def test_prerelease_is_taken_without_a_notice_where_it_is_named(early, request_text):
    result = early.prime("python", request_text, python=python(WILD))
    assert result.stdout.strip() == str(early.home / "a" / "python3.15")
    assert result.stderr == ""


@pytest.mark.parametrize("request_text", ["3.15", "315", ">=3.15", ">=3.13", "==3.15.*", "~=3.15.0", "3.15.0"])
def test_prerelease_is_taken_with_a_notice_where_nothing_else_matches(early, request_text):
    result = early.prime("python", request_text, python=python(WILD))
    assert result.stdout.strip() == str(early.home / "a" / "python3.15")
    assert len(result.stderr.splitlines()) == 1
    assert "pre-release" in result.stderr
    assert "3.15.0a1" in result.stderr
    assert early.prime("-q", "python", request_text, python=python(WILD)).stderr == ""


def test_prerelease_that_is_not_named_comes_after_all_others(early):
    found = {each["path"]: each for each in listed(early, ">=3.8")}
    early_one = found[str(early.home / "a" / "python3.15")]
    assert (early_one["verdict"], early_one["version"]) == ("matches", "3.15.0a1")
    assert "pre-release" in early_one["reason"]
    assert found[str(early.home / "b" / "python3.12")]["verdict"] == "selected"
    assert early.prime("python", ">=3.8", python=python(WILD)).stderr == ""


@pytest.mark.parametrize("request_text", ["3.15.0a2", "3.15.0b1", ">=3.15.0a2", "<3.15,>=3.13"])
def test_prerelease_that_is_too_early_is_a_mismatch(early, request_text):
    assert "3.15.0a1" in early.prime("python", request_text, python=python(WILD), status=1).stderr


STAGES = {"a7": ("alpha", 7), "b1": ("beta", 1), "rc1": ("candidate", 1), "rc2": ("candidate", 2)}


@pytest.mark.parametrize("request_text", [">=3.14", "3.14", ">=3.14.0a1"])
@pytest.mark.parametrize("offered, best", [
    ("a7 rc2", 1), ("a7 b1", 1), ("b1 rc1 rc2", 1), ("rc1 rc2 a7", 0), ("a7 b1 a7", 1)])
def test_M23_of_many_prereleases_the_first_of_the_latest_stage_is_taken(quiet, request_text, offered, best):
    places = [quiet.home / str(number) for number, _ in enumerate(offered.split())]
    for place, stage in zip(places, offered.split()):
        fake(place / "python3.14", "3.12", "sys.version_info = (3, 14, 0, %r, %d)" % STAGES[stage])
    quiet.env["PATH"] = pathed(*places)
    result = quiet.prime("python", request_text, python=python(WILD))
    assert result.stdout.strip() == str(places[best] / "python3.14")
    assert ("(cpython 3.14.0%s)\n" % offered.split()[best] in result.stderr) == ("a1" not in request_text)


def test_M23_alpha_of_pyenv_does_not_win_over_a_candidate_or_the_release(quiet):
    versions = quiet.home / ".pyenv" / "versions"
    places = {stage: versions / ("3.14.0" + stage) / "bin" / "python" for stage in ("a7", "rc2", "")}
    for stage, path in places.items():
        version = STAGES.get(stage, ("final", 0))
        fake(path, "3.12", "sys.version_info = (3, 14, 0, %r, %d)" % version)
    assert ask(quiet, ">=3.14") == str(places[""])
    shutil.rmtree(str(places[""].parent))
    assert ask(quiet, ">=3.14") == ask(quiet, ">=3.14.0a1") == str(places["rc2"])
    shutil.rmtree(str(places["rc2"].parent))
    assert ask(quiet, ">=3.14") == ask(quiet, ">=3.14.0a1") == str(places["a7"])


def test_version_of_a_development_build_is_that_of_its_version_info(quiet):
    code = "sys.version = '3.15.0a1+ (heads/main:abc, Jan 1 2026) [GCC]'; " + ALPHA
    path = fake(quiet.home / "python3.15", "3.12", code)
    told = json.loads(ask(quiet, str(path), "--json"))["candidates"]
    assert [each["version"] for each in told] == ["3.15.0a1"]


def test_free_threaded_build_is_taken_only_where_it_is_asked_for(quiet):
    threaded = fake(quiet.home / "a" / "python3.13t", "3.13", "sys.abiflags = 't'")
    plain = link(quiet.home / "b" / "python3.13", "3.13")
    quiet.env["PATH"] = pathed(threaded.parent, plain.parent)
    assert ask(quiet, "3.13") == str(plain)
    assert ask(quiet, ">=3.8") == str(plain)
    assert ask(quiet, "3.13t") == ask(quiet, "cpython@3.13t") == str(threaded)
    quiet.env["PATH"] = str(threaded.parent)
    result = quiet.prime("python", "3.13", python=python(WILD), status=1)
    assert "is a free-threaded build" in result.stderr


def test_free_threaded_build_under_a_plain_name_is_found(quiet):
    path = fake(quiet.home / "a" / "python3", "3.13", "sys.abiflags = 't'")
    quiet.env["PATH"] = str(path.parent)
    assert ask(quiet, "3.13t") == str(path)


PYPY = "sys.implementation.name = 'pypy'"


@pytest.mark.parametrize("name", ["pypy3", "pypy3.9", "pypy", "python3"])
def test_pypy_is_found_under_its_names(quiet, name):
    path = fake(quiet.home / "a" / name, "3.9", PYPY)
    plain = link(quiet.home / "b" / "python3.9", "3.9")
    quiet.env["PATH"] = pathed(path.parent, plain.parent)
    for request_text in ("pypy", "pypy@3.9", "pypy3.9", "pypy39"):
        assert ask(quiet, request_text) == str(path)
    assert ask(quiet, "cpython@3.9") == str(plain)
    assert "too old" in quiet.prime("python", "pypy@3.11", python=python(WILD), status=1).stderr


def test_pypy_of_pyenv_is_found(quiet):
    path = fake(quiet.home / ".pyenv" / "versions" / "pypy3.9-7.3.11" / "bin" / "python", "3.9", PYPY)
    assert ask(quiet, "pypy@3.9") == str(path)
    told = [each for each in listed(quiet, "pypy") if each["source"] == "pyenv"]
    assert [(each["implementation"], each["verdict"]) for each in told] == [("pypy", "selected")]


@pytest.mark.slow
def test_pypy_that_is_installed_is_selected_and_gives_an_environment(quiet):
    pypy = shutil.which("pypy3")
    if not pypy:
        pytest.skip("no pypy3 on this machine (Debian: apt-get install pypy3)")
    quiet.env["PATH"] = str(Path(pypy).parent)
    assert os.path.realpath(ask(quiet, "pypy")) == os.path.realpath(pypy)
    quiet.config('required_python_version = "pypy"')
    quiet.prime(python=python(WILD))
    assert quiet.inside("import sys; print(sys.implementation.name)") == "pypy"


# --- All pythons at once ---


@pytest.fixture
def ten(one, tmp_path):
    """Ten different pythons in one directory, and an empty cache."""
    link_to_2 = one.bin / "python2.7"
    link_to_2.symlink_to(ancient_python())
    (one.bin / "python").unlink()
    (one.bin / "python").symlink_to(ancient_python())
    shutil.copy(os.path.realpath(str(python("3.12"))), str(one.bin / "python3.20"))
    one.env["PROTOPRIMER_CACHE_DIR"] = str(tmp_path / "cache")
    return one


def test_all_asks_each_of_ten_pythons_once_and_then_none(ten):
    def run(*words):
        started = time.time()
        result = ten.prime("-v", "python", *words, "--all", python=python(WILD))
        lines = [line for line in result.stderr.splitlines() if "run: " in line]
        return len(lines), result.stdout, time.time() - started

    children, first, seconds = run(">=3.8")
    assert seconds < 15
    assert len(first.splitlines()) >= 9
    assert 9 <= children <= len(first.splitlines()) + 1
    children, second, seconds = run(">=3.8")
    assert seconds < 15
    assert (children, second) == (0, first)
    assert run("3.12")[0] == 0


def test_python_asks_no_more_candidates_than_it_must(ten):
    result = ten.prime("-v", "python", "3.12", python=python(WILD))
    asked = [line for line in result.stderr.splitlines() if "run: " in line]
    assert len(asked) <= 2, "the python that runs this, and the first match"


@pytest.mark.parametrize("what", ["garbage", "of another schema", "a directory"])
def test_damaged_cache_of_answers_is_as_if_there_were_none(ten, what):
    assert release(ask(ten, "3.12")) == "3.12"
    files = list((Path(ten.env["PROTOPRIMER_CACHE_DIR"]) / "answers").iterdir())
    assert files
    for file in files:
        if what == "a directory":
            file.unlink()
            file.mkdir()
        elif what == "garbage":
            file.write_bytes(b"\xff\0{[")
        else:
            file.write_text(file.read_text().replace('"schema": 1', '"schema": 999').replace("3.12", "3.99"))
    assert release(ask(ten, "3.12")) == "3.12"


def test_cache_that_cannot_be_written_is_no_matter(ten):
    Path(ten.env["PROTOPRIMER_CACHE_DIR"]).write_text("a file stands where the cache should be")
    assert release(ask(ten, "3.12")) == "3.12"
    assert len(listed(ten, "3.12")) >= 9


# --- An environment keeps its python ---


def version_inside(repo):
    return repo.inside("import sys; print('%d.%d' % sys.version_info[:2])")


@pytest.mark.slow
def test_environment_keeps_its_python_while_it_satisfies_whatever_starts_the_next_boot(quiet):
    quiet.config('required_python_version = ">=3.8"')
    link(quiet.bin / "python3.10", "3.10")
    quiet.env["PATH"] = pathed(quiet.bin, "/usr/bin", "/bin")
    quiet.prime(python=python("3.10"))
    kept = quiet.current
    for wild in ("3.12", WILD):
        quiet.prime(python=python(wild))
        assert quiet.current == kept
    quiet.config('required_python_version = ">=3.8"\ndependencies = ["six"]')  # another build, the same python
    quiet.prime(python=python("3.12"))
    assert quiet.current != kept
    assert version_inside(quiet) == "3.10"


def test_reset_selects_the_python_anew(quiet):
    quiet.config('required_python_version = ">=3.8"')
    quiet.env["PATH"] = "/usr/bin:/bin"
    quiet.prime(python=python("3.10"))
    quiet.prime("reset", python=python("3.12"))
    assert version_inside(quiet) == "3.12"
    quiet.prime(python=python("3.10"))
    assert version_inside(quiet) == "3.12"


def test_environment_gets_another_python_once_its_own_satisfies_no_more(quiet):
    quiet.config('required_python_version = ">=3.8"')
    quiet.env["PATH"] = "/usr/bin:/bin"
    quiet.prime(python=python("3.10"))
    quiet.config('required_python_version = ">=3.11"')
    quiet.prime(python=python("3.12"))
    assert version_inside(quiet) == "3.12"


# --- .python-version ---

VERSION_FILES = {
    "tabs and form feeds": b"\t3.12\t\n",
    "words behind it": b"3.12 3.11\n",
    "comment without a blank": b"#3.11\n3.12\n",
    "old Mac line ends": b"# c\r3.12\r",
    "specifiers that are malformed": b"3.x\n>=\n3.12,\n3.12\n",
    "a path that is not there, first a name": b"nonsense\n3.12\n3.11\n",
    "a long line": b"x" * 100000 + b"\n3.12\n",
    "unicode digits": "\u0663.\u0661\u0662\n3.12\n".encode(),
    "NULs": b"\0\n3.12\n",
}


@pytest.mark.parametrize("what", sorted(VERSION_FILES))
def test_I3_odd_python_version_file_gives_its_first_usable_line(quiet, what):
    (quiet.path / ".python-version").write_bytes(VERSION_FILES[what])
    assert quiet.info()["required"]["request"] == "3.12"


def test_I3_python_version_file_may_name_a_program_a_path_or_a_build(quiet):
    path = link(quiet.home.parent / "pythons" / "python3.12", "3.12")  # without a blank: a word of a line counts
    quiet.env["PATH"] = str(path.parent)
    for text in ("python3.12", str(path), "cpython@3.12"):
        (quiet.path / ".python-version").write_text(text + "\n")
        assert quiet.info()["required"]["request"] == text
        assert ask(quiet) == str(path)


R10_FORMS = ["python3.12", "python312", "cp312", "py312", "cpython>=3.12,<3.13", "cpython-3.12.1-linux-x86_64-gnu",
             "python>=3.12,<3.13"]


@pytest.mark.parametrize("where", ["command line", "config", ".python-version", ".python-versions"])
@pytest.mark.parametrize("form", R10_FORMS)
def test_R10_form_selects_the_version_and_no_liar_on_PATH(quiet, form, where):
    path = quiet.home.parent / "path"
    for name in ("python3.12", "python312", "cp312", "py312", form.replace("/", "")):
        if not (path / name).exists():
            link(path / name, "3.11")  # says that it is another
    right = link(path / "python3", "3.12")
    quiet.env["PATH"] = str(path)
    if where == "command line":
        assert ask(quiet, form) == str(right)
        return
    if where == "config":
        quiet.config("required_python_version = %s" % json.dumps(form))
    else:
        (quiet.path / where).write_text(form + "\n")
    assert ask(quiet) == str(right)


def test_R10_name_of_a_version_that_is_not_there_takes_no_program_of_that_name(quiet):
    path = quiet.home.parent / "path"
    link(path / "python3.12", "3.11")
    quiet.env["PATH"] = str(path)
    error = quiet.prime("python", "python3.12", status=1).stderr
    assert 'no python satisfies the request "python3.12"' in error and "too old" in error


def test_R10_python_versions_is_read_where_no_python_version_has_a_request(quiet):
    (quiet.path / ".python-versions").write_text("# all that we test\nnonsense\n3.12\n3.11\n")
    assert quiet.info()["required"] == {"request": "3.12", "from": str(quiet.path / ".python-versions")}
    (quiet.path / ".python-version").write_text("nonsense\n")
    assert quiet.info()["required"]["request"] == "3.12"
    (quiet.path / ".python-version").write_text("3.11\n")
    assert quiet.info()["required"] == {"request": "3.11", "from": str(quiet.path / ".python-version")}


def test_R10_nearest_directory_counts_before_the_name_of_the_file(quiet):
    sub = quiet.path / "sub"
    sub.mkdir()
    (quiet.path / ".python-version").write_text("3.11\n")
    (sub / ".python-versions").write_text("3.12\n")
    assert quiet.info("--root", str(sub))["required"]["request"] == "3.12"


PINNED = R10_FORMS[:3] + [
    "cpython>=3.12,<3.13", "cpython-3.12.1-linux-x86_64-gnu", "cpython-3.12", "any-3.12", "cpython@3.12", "3.12",
    "==3.12.*", "cpython@==3.12.1", "~=3.12.0", "3.12+gil", "313rc2", "3.13t", "pp310", "cpython-3.13+freethreaded",
    "any", "cpython-any-linux", "default", ">=3.8", "cpython"]


@pytest.mark.parametrize("text", ["cpython 3.12", "Python 3.12.1", "cpython >=3.12"])
def test_R10_implementation_stands_before_a_version_in_python_version(quiet, text):
    quiet.write(".python-version", text + "\n")  # as uv reads it; pyenv has several requests in a line
    assert quiet.info()["required"]["request"] == text


@pytest.mark.parametrize("form", PINNED)
def test_R10_what_uv_pins_is_understood(quiet, form):
    environ = dict(quiet.env, UV_PYTHON_DOWNLOADS="never", UV_CACHE_DIR=str(quiet.home / "uv"))
    words = [uv_program(), "python", "pin", "--no-project", form]
    subprocess.run([str(word) for word in words], cwd=str(quiet.path), env=environ, check=True, stderr=subprocess.PIPE)
    required = quiet.info()["required"]
    assert required["from"] == str(quiet.path / ".python-version")
    written = proto_prime.parse_request(required["request"])
    wanted = proto_prime.parse_request(form)
    assert not written.path and written.is_free_threaded == wanted.is_free_threaded
    versions = ["3.10.4", "3.12.1", "3.12.7", "3.13.0rc2", "3.13.0"]
    assert [written.failing(proto_prime.Version(version)) is None for version in versions] == \
        [wanted.failing(proto_prime.Version(version)) is None for version in versions]


@pytest.mark.parametrize("what", ["a directory", "a dangling link", "empty"])
def test_I3_python_version_that_is_no_file_with_text_is_no_opinion(quiet, what):
    path = quiet.path / ".python-version"
    if what == "a directory":
        path.mkdir()
    elif what == "empty":
        path.write_text("")
    else:
        path.symlink_to("/nowhere/.python-version")
    assert quiet.info()["required"] == {"request": "", "from": "nothing"}


# --- Windows, through fakes ---


@pytest.fixture
def windows(monkeypatch, tmp_path):
    """This process as if on Windows, but for the paths: no PATH, a home and a cache of its own."""
    for name in ("CONDA_PREFIX", "PROTOPRIMER_PYTHON", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "PROGRAMDATA",
                 "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name.lower()))
    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setattr(proto_prime, "BIN", "Scripts")
    monkeypatch.setattr(proto_prime, "EXE", ".exe")
    monkeypatch.setattr(proto_prime, "SUSPENDED", 0)  # a child of this system begins at once, and in no job
    monkeypatch.setattr(subprocess.Popen, "_handle", 0, raising=False)
    monkeypatch.setattr(proto_prime, "system_call", lambda *_: 0)
    use_registry(monkeypatch, {})
    return tmp_path


class FakeRegistry(types.ModuleType):
    """`winreg` as far as PEP 514 needs it, over {(root, view): {path: {value name: value}}}.

    A value `DENIED` for a path is a key that may not be opened.
    """

    HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE = "HKCU", "HKLM"
    KEY_READ, KEY_WOW64_64KEY, KEY_WOW64_32KEY, KEY_ENUMERATE_SUB_KEYS = 0x20019, 0x100, 0x200, 8
    REG_SZ = 1

    def __init__(self, views):
        super().__init__("winreg")
        self.views = views

    def OpenKeyEx(self, key, sub_key, reserved=0, access=KEY_READ):
        if isinstance(key, str):
            view = "HKCU" if key == "HKCU" else key + (" 32" if access & self.KEY_WOW64_32KEY else " 64")
            key = (view, "")
        view, path = key
        path = (path + "\\" + sub_key).strip("\\")
        keys = self.views.get(view, {})
        if keys.get(path) is DENIED:
            raise PermissionError(13, "Access is denied")
        if not any((each + "\\").startswith(path + "\\") for each in keys):
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return FakeKey((view, path))

    OpenKey = OpenKeyEx

    def children(self, key):
        view, path = key
        below = [each[len(path) + 1:] for each in self.views[view] if each.startswith(path + "\\")]
        return sorted({each.split("\\")[0] for each in below})

    def QueryInfoKey(self, key):
        return len(self.children(key)), len(self.values(key)), 0

    def EnumKey(self, key, index):
        children = self.children(key)
        if index >= len(children):
            raise OSError(259, "No more data is available")
        return children[index]

    def values(self, key):
        return self.views[key[0]].get(key[1]) or {}

    def QueryValueEx(self, key, name):
        if name not in self.values(key):
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return self.values(key)[name], self.REG_SZ

    def CloseKey(self, key):
        pass


class FakeKey(tuple):
    """A handle of the registry: (view, path)."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


DENIED = "denied"
CORE = "Software\\Python\\PythonCore\\"
ANACONDA = "Software\\Python\\ContinuumAnalytics\\Anaconda38-64"  # its number is no version


def use_registry(monkeypatch, views):
    monkeypatch.setitem(sys.modules, "winreg", FakeRegistry(views))


def offered(source, request=""):
    """The paths that a source offers on this machine, as strings with one kind of separator."""
    found = [each for each in proto_prime.candidates(proto_prime.parse_request(request)) if each.source == source]
    return [each.path.replace("/", "\\") for each in found]


def test_registry_is_read_in_three_views_newest_first(windows, monkeypatch):
    use_registry(monkeypatch, {
        "HKCU": {CORE + "3.12\\InstallPath": {"ExecutablePath": "C:\\user\\python.exe"},
                 CORE + "3.9\\InstallPath": {"": "C:\\Py39\\"}},
        "HKLM 64": {CORE + "3.12\\InstallPath": {"ExecutablePath": "C:\\all\\python.exe", "": "C:\\other"},
                    ANACONDA: {"SysVersion": "3.8"}, ANACONDA + "\\InstallPath": {"": "C:\\conda"}},
        "HKLM 32": {CORE + "3.13-32\\InstallPath": {"ExecutablePath": "C:\\py32\\python.exe"},
                    CORE + "3.12\\InstallPath": {"ExecutablePath": "C:\\all32\\python.exe"}},
    })
    assert offered("registry") == [
        "C:\\py32\\python.exe", "C:\\user\\python.exe", "C:\\all\\python.exe", "C:\\all32\\python.exe",
        "C:\\Py39\\python.exe", "C:\\conda\\python.exe"]


def test_registry_counts_3_10_as_newer_than_3_9(windows, monkeypatch):
    use_registry(monkeypatch, {"HKCU": {CORE + tag + "\\InstallPath": {"": "C:\\" + tag}
                                        for tag in ("3.9", "3.10", "3.8-32", "2.7")}})
    tags = [path.split("\\")[1] for path in offered("registry")]
    assert tags == ["3.10", "3.9", "3.8-32", "2.7"]


BROKEN_KEYS = {
    "company PyLauncher": {"Software\\Python\\PyLauncher\\3.12\\InstallPath": {"": "C:\\launcher"}},
    "company without tags": {"Software\\Python\\Empty": {}},
    "tag without InstallPath": {CORE + "3.11": {"SysVersion": "3.11"}},
    "InstallPath without values": {CORE + "3.11\\InstallPath": {}},
    "empty values": {CORE + "3.11\\InstallPath": {"ExecutablePath": "", "": ""}},
    "company that may not be opened": {"Software\\Python\\Closed\\3.12\\InstallPath": {"": "C:\\closed"},
                                       "Software\\Python\\Closed": DENIED},
    "tag that may not be opened": {CORE + "3.11\\InstallPath": DENIED},
    "value that is no string": {CORE + "3.11\\InstallPath": {"ExecutablePath": 5}},
    "value that was never set": {CORE + "3.11\\InstallPath": {"": None}},
}


@pytest.mark.parametrize("what", sorted(BROKEN_KEYS))
def test_broken_key_of_the_registry_is_passed_over(windows, monkeypatch, what):
    keys = dict(BROKEN_KEYS[what])
    keys[CORE + "3.10\\InstallPath"] = {"ExecutablePath": "C:\\good\\python.exe"}
    use_registry(monkeypatch, {"HKLM 64": keys})
    assert offered("registry") == ["C:\\good\\python.exe"]


def test_registry_without_any_python_is_no_matter(windows):
    assert offered("registry") == []
    assert proto_prime.search_python("3.99") is None


def test_python_of_the_registry_is_selected(windows, monkeypatch):
    use_registry(monkeypatch, {"HKCU": {
        CORE + "3.13\\InstallPath": {"ExecutablePath": "/nowhere/python.exe"},
        CORE + "3.12\\InstallPath": {"ExecutablePath": str(python("3.12"))},
        CORE + "3.9\\InstallPath": {"ExecutablePath": str(python("3.9"))},
    }})
    tried = []
    assert proto_prime.search_python("3.12", tried).path == str(python("3.12"))
    assert [(each.source, each.verdict) for each in tried][-2:] == [
        ("registry", "broken"), ("registry", "selected")]


# What `py -0p` prints: up to 3.10 (headline and star on stderr), from 3.11 on, the install manager.
OLD_LAUNCHER = """\
{ printf 'Installed Pythons found by py Launcher for Windows'; } >&2
printf '\\r\\n -3.9-64        C:\\\\Py39\\\\python.exe'; printf ' *' >&2
printf '\\r\\n -3.10-32       C:\\\\Program Files (x86)\\\\Py310\\\\python.exe'
printf '\\r\\n -2.7-64        C:\\\\Python27\\\\python.exe'; printf '\\r\\n\\r\\n' >&2
"""
NEWER_LAUNCHER = """\
printf '  *               C:\\\\venv\\\\Scripts\\\\python.exe\\r\\n'
printf ' -V:3.10 *        C:\\\\Program Files (x86)\\\\Py310\\\\python.exe\\r\\n'
printf ' -V:3.9-64        C:\\\\Py39\\\\python.exe\\r\\n'
printf ' -V:ContinuumAnalytics/py27-64 C:\\\\Python27\\\\python.exe\\r\\n'
"""
LISTED = ["C:\\Program Files (x86)\\Py310\\python.exe", "C:\\Py39\\python.exe", "C:\\Python27\\python.exe"]


def put_launcher(windows, text):
    """Put a real program `py` on PATH; without arguments of its own it is taken for a script."""
    path = windows / "path" / "py.exe"
    path.write_text(SHELL + "printf '%%s\\n' \"$*\" >>'%s'\n" % (windows / "calls") + text)
    path.chmod(0o755)


@pytest.mark.parametrize("text", [OLD_LAUNCHER, NEWER_LAUNCHER], ids=["up to 3.10", "from 3.11 on"])
def test_list_of_the_launcher_is_understood(windows, text):
    error = "echo \"can't open file 'list': [Errno 2] No such file or directory\" >&2; exit 2"
    put_launcher(windows, 'if [ "$1" = list ]; then %s; fi\n%s' % (error, text))
    assert [path for path in offered("py") if "venv" not in path] == LISTED


def test_list_of_the_install_manager_is_understood(windows):
    versions = [
        {"schema": 1, "id": "__active-virtual-env", "sort-version": "0.0", "company": "---", "tag": "(venv)",
         "default": True, "unmanaged": 1, "executable": "C:\\venv\\Scripts\\python.exe"},
        {"schema": 1, "id": "pythoncore-3.9-64", "sort-version": "3.9.13", "company": "PythonCore",
         "tag": "3.9-64", "prefix": "C:\\Py39", "executable": "C:\\Py39\\python.exe"},
        {"schema": 1, "id": "pythoncore-3.10-32", "sort-version": "3.10.11", "company": "PythonCore",
         "tag": "3.10-32", "executable": LISTED[0], "display-name": "Python 3.10"},
    ]
    (windows / "list.json").write_text(json.dumps({"versions": versions}))
    put_launcher(windows, "test \"$PYTHON_MANAGER_AUTOMATIC_INSTALL\" = false || exit 9\ncat '%s'\n" % (
        windows / "list.json"))
    assert [path for path in offered("py") if "venv" not in path] == LISTED[:2]
    assert (windows / "calls").read_text() == "list --format=json\n"


@pytest.mark.parametrize("text", [
    "exit 1", "echo 'No installed Pythons found!'", "printf '\\377\\376'", "echo '{\"versions\": []}'",
    "echo '{}'", "echo '[]'", "echo '{\"versions\": null}'", "echo '{\"versions\": [{\"id\": \"x\"}]}'",
    "echo '{\"versions\": [{\"sort-version\": \"3.12\", \"executable\": null}]}'",
    "echo '{\"versions\": [{\"sort-version\": 3, \"executable\": \"C:/python.exe\"}]}'",
], ids=["fails", "nothing", "garbage", "no versions", "no list", "a list", "null", "no executable",
        "executable null", "version no string"])
def test_launcher_that_lists_nothing_of_use_is_no_matter(windows, text):
    put_launcher(windows, text + "\n")
    assert offered("py") in ([], ["C:\\python.exe"])


def test_launcher_that_is_not_there_is_no_matter(windows):
    assert offered("py") == []


def test_python_of_the_launcher_is_selected(windows):
    put_launcher(windows, "test \"$1\" = -0p || exit 2\nprintf ' -V:3.12 *        %s\\r\\n'\n" % python("3.12"))
    tried = []
    assert proto_prime.search_python("3.12", tried).path == str(python("3.12"))
    assert tried[-1].source == "py"


@pytest.fixture
def no_children(monkeypatch):
    """Lets no child be started. The list of what was tried to start."""
    started = []

    def refuse(argv, *_, **__):
        started.append(argv)
        return proto_prime.Child(2, problem="cannot be started")

    monkeypatch.setattr(proto_prime, "run_child", refuse)
    return started


def test_C8_alias_of_the_windows_store_is_never_started(windows, no_children):
    for name in ("Microsoft/WindowsApps/python3.exe", "microsoft/windowsapps/python.exe"):
        path = windows / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        with pytest.raises(proto_prime.PrimeError) as caught:
            proto_prime.what_version(str(path))
        assert "stub" in str(caught.value)
    assert no_children == []


def store_python(windows):
    """A python of the Store stands where its alias, an empty file to all who ask, has a directory of its own."""
    name = "PythonSoftwareFoundation.Python.3.12_qbz5n2kfra8p0"
    path = windows / "home" / "localappdata" / "Microsoft" / "WindowsApps" / name / "python.exe"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path


def test_python_of_the_windows_store_is_no_stub(windows, no_children):
    path = store_python(windows)
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.what_version(str(path))
    assert [argv[0] for argv in no_children] == [str(path)]


def test_python_of_the_windows_store_is_looked_for_at_its_real_place(windows, no_children):
    path = store_python(windows)
    found = [each.path for each in proto_prime.candidates(proto_prime.parse_request(""))]
    assert str(path) in found


def test_windows_places_of_uv_and_conda(windows, monkeypatch):
    home = windows / "home"
    for path in (home / "appdata/uv/data/python/cpython-3.12.1-windows-x86_64-none/python.exe",
                 home / "programdata/miniconda3/python.exe"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    (home / "programdata" / "miniconda3" / "conda-meta").mkdir()
    (home / "programdata" / "miniconda3" / "conda-meta" / "python-3.11.0-h1_0.json").write_text("{}")
    monkeypatch.setenv("PROGRAMDATA", str(home / "programdata"))
    assert [path.split("\\")[-2:] for path in offered("uv")] == [
        ["cpython-3.12.1-windows-x86_64-none", "python.exe"]]
    assert [path.split("\\")[-2:] for path in offered("conda")] == [["miniconda3", "python.exe"]]


# --- macOS, through fakes ---


@pytest.mark.parametrize("has_tools, program", [(True, "env"), (False, "id")])
def test_C8_stub_of_macos_is_started_only_with_developer_tools(monkeypatch, tmp_path, has_tools, program):
    path = "/usr/bin/" + program  # stands for /usr/bin/python3, which is not everywhere
    started = []

    def run_child(argv, *_, **__):
        started.append(argv)
        return proto_prime.Child(0 if has_tools and argv[0] == "/usr/bin/xcode-select" else 2)

    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(proto_prime, "run_child", run_child)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(proto_prime.PrimeError) as caught:
        proto_prime.what_version(path)
    assert started[0] == ["/usr/bin/xcode-select", "-p"]
    assert [argv[0] for argv in started[1:]] == ([path] if has_tools else [])
    assert ("stub" in str(caught.value)) == (not has_tools)


def test_C8_python_elsewhere_on_macos_is_started_without_asking(monkeypatch, tmp_path, no_children):
    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "darwin")
    path = link(tmp_path / "python3", "3.12")
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.what_version(str(path))
    assert [argv[0] for argv in no_children] == [str(path)]


LOCAL_PLACES = {
    "/opt/homebrew/bin": ["python3.12", "python3.12-config", "python3", "pip3.12", "python3.9"],
    "/usr/local/bin": ["python3.11", "python3.11-config", "ipython3", "2to3"],
    "/opt": ["local", "pypy3.10", "python-3.13", ".hidden", "homebrew"],
    "/opt/python-3.13/bin": ["python3", "python3.13", "python3.13t"],
    "/opt/pypy3.10/bin": ["pypy3.10", "pypy3"],
    "/Library/Frameworks/Python.framework/Versions": ["3.10", "3.14", "Current"],
    "/Library/Frameworks/Python.framework/Versions/3.10/bin": ["python3.10", "python3"],
    "/Library/Frameworks/Python.framework/Versions/3.14/bin": ["python3.14", "python3.14t"],
}


def test_homebrew_usr_local_opt_and_framework_builds_are_found_newest_first(monkeypatch, tmp_path):
    really = os.listdir

    def listdir(path="."):
        if str(path).startswith(("/opt", "/usr/local", "/home/linuxbrew", "/Library")):
            if str(path) not in LOCAL_PLACES:
                raise FileNotFoundError(2, "No such file or directory", path)
            return list(LOCAL_PLACES[str(path)])
        return really(path)

    monkeypatch.setattr(os, "listdir", listdir)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = offered("local")
    names = [path.replace("\\", "/") for path in found]
    versions = [proto_prime.numbers_in(os.path.basename(name)) for name in names]
    ranks = [("pypy" not in name.rpartition("/")[2], version) for name, version in zip(names, versions)]
    assert ranks == sorted(ranks, reverse=True)
    for name in ("/Library/Frameworks/Python.framework/Versions/3.14/bin/python3.14",
                 "/Library/Frameworks/Python.framework/Versions/3.10/bin/python3.10",
                 "/opt/homebrew/bin/python3.12", "/opt/homebrew/bin/python3.9", "/usr/local/bin/python3.11",
                 "/opt/python-3.13/bin/python3.13", "/opt/python-3.13/bin/python3.13t",
                 "/opt/pypy3.10/bin/pypy3.10"):
        assert name in names
    assert not [name for name in names if "config" in name or "pip" in name or "ipython" in name]


def test_other_implementations_come_after_CPython(tmp_path, monkeypatch):
    places = {"versions": ["3.9.2", "pypy3.9-7.3.11", "3.10.1"], "uv": ["pypy-3.9.16-x", "cpython-3.8.18-x"]}
    for name, directories in places.items():
        for each in directories:
            (tmp_path / name / each / "bin").mkdir(parents=True)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(proto_prime, "running_python", lambda: "")
    for name in ("pypy3.9", "python3.8"):
        (tmp_path / "path").mkdir(exist_ok=True)
        (tmp_path / "path" / name).touch()
    parts = {source: [path.split("\\")[-3] for path in offered(source)] for source in ("pyenv", "uv")}
    assert parts == {"pyenv": ["3.10.1", "3.9.2", "pypy3.9-7.3.11"], "uv": ["cpython-3.8.18-x", "pypy-3.9.16-x"]}
    assert [path.split("\\")[-1] for path in offered("PATH", "3.9")] == ["python3.8"]
    assert "pypy3.9" in [path.split("\\")[-1] for path in offered("PATH", "pypy@3.9")]
