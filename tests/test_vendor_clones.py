"""R19: what `prime vendor` promises holds in a clone on a cold machine without network, or it says what is missing."""

import io
import json
import re
import tarfile
import zipfile

import pytest
from conftest import uv_program
from helpers import away, make_checkout, make_sdist, make_tree, make_wheel, run_git

import proto_prime

BACKEND = """\
from flit_core import buildapi
from flit_core.buildapi import build_sdist

def get_requires_for_build_wheel(settings=None):
    return ["idna"]

def build_wheel(*args, **options):
    import idna
    return buildapi.build_wheel(*args, **options)

def build_editable(*args, **options):
    import idna
    return buildapi.build_editable(*args, **options)

get_requires_for_build_editable = get_requires_for_build_wheel
"""
SOURCE = """\
[build-system]
requires = [{requires}]
build-backend = "{backend}"
[project]
name = "{name}"
version = "1"
description = "From sources"
dependencies = [{dependencies}]
"""
OLD_SETUP = "from setuptools import setup\nsetup(name='older', version='1', py_modules=['older'], " \
    "setup_requires=['idna'])\n"


def source(name, requires='"tiny_backend"', backend="tiny_backend", dependencies=""):
    return SOURCE.format(name=name, requires=requires, backend=backend, dependencies=dependencies)


@pytest.fixture
def shelf(repo, wheelhouse, tmp_path):
    """A directory of packages, which uv finds beside the wheels: sources, that need sources to be built."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    places = json.dumps([wheelhouse.as_uri(), shelf.as_uri()])
    (repo.home / "uv.toml").write_text("no-index = true\nfind-links = %s\n" % places)
    make_sdist(shelf / "tiny_backend-1.tar.gz", {
        "pyproject.toml": source("tiny_backend", '"flit_core"', "flit_core.buildapi", '"flit_core"'),
        "tiny_backend.py": '"""A build backend."""\n' + BACKEND})
    make_sdist(shelf / "young-1.tar.gz", {"pyproject.toml": source("young"), "young.py": '"""A library."""\n'})
    make_sdist(shelf / "older-1.tar.gz", {"setup.py": OLD_SETUP, "older.py": ""})
    repo.link("uv", uv_program())
    return shelf


def commit(repo, attributes="", ignored=""):
    """Commit everything in a repo whose git files say this."""
    repo.write(".gitattributes", attributes)
    repo.write(".gitignore", "/.prime/\n/.venv\n__pycache__\n" + ignored)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"]):
        run_git(repo.path, *words, check=True)


HOSTILE = "* text eol=lf ident\n*.whl filter=none-such working-tree-encoding=UTF-16\n*.gz filter=none-such\n"


@pytest.mark.slow
@pytest.mark.parametrize("driver, has_lock", [("venv_uv", False), ("venv_pip", True)])
def test_R19_clone_builds_sources_without_network(repo, shelf, make_repo, driver, has_lock):
    repo.project(["young", "older", "six"])
    repo.write("pyproject.toml", source("client", dependencies='"young", "older", "six"'))
    if has_lock:
        repo.prime("lock")
    result = repo.prime("vendor")
    assert repo.typed("--offline uses it") in result.stderr and "git will not" not in result.stderr
    names = {path.name.split("-")[0] for path in (repo.path / "vendor").iterdir()}
    assert {"flit_core", "idna", "older", "setuptools", "six", "tiny_backend", "uv", "wheel", "young"} <= names
    crlf = [path for path in (repo.path / "vendor").glob("*.whl") if b"\r\n" in path.read_bytes()]
    assert crlf  # as git would change
    make_wheel(shelf / "young-2-py3-none-any.whl", "young", "2")  # which was not there
    commit(repo, HOSTILE, "*.whl\n*.tar.gz\n.*\n")
    done, clone = away(repo, make_repo, driver, "--offline", "run", "python", "-c",
                       "import client, older, young, six; print('all')")
    assert done.stdout == "all\n"
    for path in (repo.path / "vendor").iterdir():
        assert (clone.path / "vendor" / path.name).read_bytes() == path.read_bytes()


def test_R19_builders_that_exclude_each_other_are_all_vendored(repo, shelf):
    library = make_tree(repo.path / "library", "library")
    text = (library / "pyproject.toml").read_text()
    (library / "pyproject.toml").write_text(text.replace('["flit_core"]', '["flit_core", "tool<2"]'))
    for version in "123":
        make_wheel(shelf / ("tool-%s-py3-none-any.whl" % version), "tool", version)
    make_sdist(shelf / "newer-1.tar.gz", {"pyproject.toml": source("newer", '"flit_core", "tool==2"',
                                                                   "flit_core.buildapi"), "newer.py": '"""New."""\n'})
    repo.write("requirements.txt", "newer\nsix\n./library\n")
    repo.config()
    result = repo.prime("vendor")
    assert repo.typed("--offline uses it") in result.stderr
    tools = {path.name.split("-")[1] for path in (repo.path / "vendor").glob("tool-*")}
    assert tools == {"1", "2"}


def test_R19_sources_are_unpacked_nowhere_else(tmp_path):
    place = tmp_path / "place"
    make_sdist(tmp_path / "a-1.tar.gz", {"ok.py": "1", "../../up.py": "2", "sub/../fine.py": "3"})
    with tarfile.open(str(tmp_path / "b.tar"), "w") as archive:
        for name, kind, text in (("link", tarfile.SYMTYPE, b""), ("link/x", tarfile.REGTYPE, b"x"),
                                 ("/rooted", tarfile.REGTYPE, b"x"), ("pipe", tarfile.FIFOTYPE, b"")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, str(tmp_path), len(text)
            archive.addfile(member, io.BytesIO(text))
    with zipfile.ZipFile(str(tmp_path / "c.zip"), "w") as archive:
        archive.writestr("../up.py", "1")
        archive.writestr("c-1/setup.py", "2")
    for name in ("a-1.tar.gz", "b.tar", "c.zip"):
        proto_prime.unpack_source(str(tmp_path / name), str(place / "in" / name))
    found = sorted(str(path.relative_to(str(place / "in"))) for path in place.rglob("*") if not path.is_dir())
    assert found == ["a-1.tar.gz/a-1/PKG-INFO", "a-1.tar.gz/a-1/fine.py", "a-1.tar.gz/a-1/ok.py", "b.tar/link/x",
                     "c.zip/c-1/setup.py"]
    assert not (tmp_path / "up.py").exists() and not (tmp_path / "x").exists()
    (tmp_path / "d.tar.gz").write_bytes(b"no archive")
    with pytest.raises(proto_prime.PrimeError, match="it cannot be unpacked"):
        proto_prime.unpack_source(str(tmp_path / "d.tar.gz"), str(place))


def lacking(repo, *requirements):
    """What `prime vendor` says of requirements that it does not get all files for."""
    repo.config("dependencies = %s\n" % json.dumps(requirements))
    result = repo.prime("vendor", status=1)
    assert "but a boot without network lacks more" in result.stderr and "uses it" not in result.stderr
    assert "Traceback" not in result.stderr
    assert list((repo.path / "vendor").glob("six-*.whl"))  # what there is, is there
    return result.stderr


def test_R19_what_cannot_be_vendored_is_named(repo, shelf, tmp_path):
    make_sdist(shelf / "orphan-1.tar.gz", {"pyproject.toml": source("orphan", '"no-such-backend"'), "orphan.py": ""})
    make_sdist(shelf / "broken-1.tar.gz", {"pyproject.toml": source("broken", '"flit_core"', "nothing_there")})
    make_wheel(shelf / "elsewhere-1-cp39-cp39-win_amd64.whl", "elsewhere", "1")
    commit_id = make_checkout(tmp_path / "checkout", "checked")
    checkout = "checked @ git+%s@%s" % ((tmp_path / "checkout").as_uri(), commit_id)
    said = lacking(repo, "six", "orphan", "broken", checkout)
    assert re.search("what builds orphan-1.tar.gz: .*no-such-backend", said)
    assert re.search("what builds broken-1.tar.gz: .*nothing_there", said)
    assert "checked: it is a checkout, of file://" in said


def test_R19_platform_without_wheel_or_sources_is_named(repo, shelf):
    make_wheel(shelf / "elsewhere-1-py3-none-win_amd64.whl", "elsewhere", "1")
    make_wheel(shelf / "here-1-py3-none-manylinux_2_17_x86_64.whl", "here", "1")
    wanted = ["six", "elsewhere ; sys_platform == 'win32'", "here ; sys_platform == 'linux'"]
    repo.config('platforms = ["linux-x86_64", "windows-x86_64"]\ndependencies = %s\n' % json.dumps(wanted))
    assert "uv has no wheel for windows-x86_64" in repo.prime("vendor").stderr
    wanted[1] = "elsewhere ; python_version > '3'"
    repo.config('platforms = ["linux-x86_64", "windows-x86_64"]\ndependencies = %s\n' % json.dumps(wanted))
    assert "elsewhere: it has no wheel for linux-x86_64, and no sources" in repo.prime("vendor", status=1).stderr


def test_R19_ignored_directory_is_told_with_the_line(repo):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\n')
    repo.write(".gitignore", "x\nvendor/\n")
    run_git(repo.path, "init", "-q", check=True)
    result = repo.prime("vendor")
    assert re.search(r"git will not take .*vendor/.*: it is ignored by line 2 of .*\.gitignore: vendor/", result.stderr)
    assert "uses it" in result.stderr
    repo.write(".gitignore", "*.whl\n")
    assert "git will not" not in repo.prime("vendor").stderr


@pytest.mark.parametrize("name", ["go.mod", "go.work", "composer.json", "Gemfile", "vendor/modules.txt",
                                  "vendor/six-1-py3-none-any.whl"])
def test_R19_vendor_of_others_is_left_alone(repo, name):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\n')
    repo.write(name, "theirs")
    commit(repo)
    result = repo.prime("vendor", status=1)
    assert "hint: " + repo.typed("vendor .prime-vendor") in result.stderr and name.rpartition("/")[2] in result.stderr
    assert run_git(repo.path, "status", "--porcelain", check=True).stdout == ""


@pytest.mark.slow
def test_R19_prime_vendor_is_looked_into_by_itself(repo, make_repo):
    repo.link("uv", uv_program())
    repo.project(["six"])
    repo.write("vendor/six-99-py3-none-any.whl", "theirs")
    assert repo.typed("--offline uses it") in repo.prime("vendor", ".prime-vendor").stderr
    repo.write("pyproject.toml", (repo.path / "pyproject.toml").read_text().replace('"six"', '"idna"'))
    assert ".prime-vendor holds" in repo.prime("vendor").stderr  # the next time, too
    commit(repo)
    done, _ = away(repo, make_repo, "venv_pip", "--offline", "run", "python", "-c",
                   "import client, idna; print('all')")
    assert done.stdout == "all\n"


def test_R19_wheel_of_others_in_a_vendored_directory_is_named_and_kept(repo, shelf, make_repo):
    repo.config('dependencies = ["six"]\n')
    repo.prime("vendor")
    other = repo.path / "vendor" / "theirs-1-py3-none-any.whl"
    make_wheel(other, "theirs", "1")
    told = "prime vendor did not put these into "
    assert re.search(told + ".*: theirs-1-py3-none-any.whl\n", repo.prime("vendor").stderr) and other.exists()
    done, _ = away(repo, make_repo, "venv_uv", "--offline")
    assert re.search(told + ".*: theirs-1-py3-none-any.whl\n", done.stderr)
