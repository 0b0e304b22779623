"""A uv.lock is what both drivers install from: pip gets it from a uv that is here or can be fetched."""

import json
import os
import subprocess
import sys

import pytest
from conftest import project_text, python, some_python, uv_program
from helpers import kept_in, make_checkout, make_tree, make_wheel

DRIVERS = ("venv_uv", "venv_pip")
OWN = "only the repo's own versions are old in uv.lock"
STALE = "prime: error: uv.lock was made for other requirements than there are now\n  hint: "
# Name and version, and by PEP 610 the path or the commit that it came from, if that is recorded.
INSTALLED = """
import json
from importlib import metadata
found = {}
for each in metadata.distributions():
    record = json.loads(each.read_text("direct_url.json") or "{}")
    place = record.get("vcs_info", {}).get("commit_id") or record.get("dir_info", {}).get("editable", False)
    found[each.metadata["Name"].lower()] = [each.version, place]
found.pop("pip", None)
print(json.dumps(found))
"""


def uv_lock(repo, *words):
    subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())] + list(words),
                   cwd=str(repo.path), env=repo.env, check=True, stderr=subprocess.PIPE)
    return repo.path / "uv.lock"


def boot(repo, **options):
    """Boot; returns what is installed, dict of name to [version, commit or whether editable], and the messages."""
    messages = repo.prime(**options).stderr
    return json.loads(repo.inside(INSTALLED, **options)), messages


def replace(repo, name, *pairs):
    """Replace a text in a file of a repo."""
    text = (repo.path / name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return repo.write(name, text)


@pytest.fixture
def locked(repo):
    """A workspace of a root and a member that it depends on, with a library beside the repo, all in its uv.lock."""
    repo.link("uv", uv_program())
    make_tree(repo.path.parent / "lib", "lib")
    repo.write("parts/one/one.py", '"""A part."""\n')
    repo.write("parts/one/pyproject.toml", project_text("one", ["six"], ""))
    repo.project(["idna", "one", "lib"], "\n".join([
        '[tool.uv.workspace]', 'members = ["parts/*"]', "[tool.uv.sources]", "one = { workspace = true }",
        'lib = { path = "../lib", editable = true }']))
    uv_lock(repo)
    return repo


# -- R15: what is old in it ------------------------------------------------------------------------------

VERSION = ('version = "1"', 'version = "2.0"')
OWN_VERSIONS = {  # file with an own version, and how that changes after the lock was made
    "root": ("pyproject.toml", VERSION, ("client", "2.0")),
    "member": ("parts/one/pyproject.toml", VERSION, ("one", "2.0")),
    "outside": ("../lib/pyproject.toml", VERSION, ("lib", "2.0")),
    "computed from now on": ("pyproject.toml", ('version = "1"', 'dynamic = ["version"]'), ("client", "3")),
}


@pytest.mark.parametrize("driver, what", [("venv_uv", what) for what in OWN_VERSIONS] + [("venv_pip", "outside")])
def test_R15_lock_in_which_only_own_versions_are_old_is_used(locked, driver, what):
    file, change, (name, version) = OWN_VERSIONS[what]
    locked.env["PROTOPRIMER_VENV_DRIVER"] = driver
    locked.write("client.py", '"""A client."""\n__version__ = "3"\n')
    replace(locked, file, change)
    before = (locked.path / "uv.lock").read_bytes()
    found, messages = boot(locked)
    assert messages.count(OWN) == 1 and "%s 1 -> " % name in messages and locked.typed("lock renews it") in messages
    assert found[name][0] == version and set(found) == {"client", "one", "lib", "idna", "six"}
    assert (locked.path / "uv.lock").read_bytes() == before and not (locked.path / "pylock.toml").exists()
    assert OWN not in locked.prime("run", "python", "-c", "").stderr
    assert not list(locked.path.glob(".prime/aside-*"))


def test_R15_version_that_was_computed_is_no_change_either(locked):
    replace(locked, "pyproject.toml", ('version = "1"', 'dynamic = ["version"]'))
    locked.write("client.py", '"""A client."""\n__version__ = "3"\n')
    uv_lock(locked)
    assert OWN not in locked.prime().stderr
    locked.write("client.py", '"""A client."""\n__version__ = "4"\n')
    replace(locked, "pyproject.toml", ('dynamic = ["version"]', 'version = "5"'))
    found, messages = boot(locked)
    assert "client computed -> 5" in messages and found["client"][0] == "5"


STALES = {
    "a dependency": [('"idna"', '"idna", "packaging"')],
    "a dependency and the version": [('"idna"', '"idna", "packaging"'), VERSION],
    "one that is in there, and the version": [('"idna"', '"idna", "six"'), VERSION],
    "requires-python and the version": [VERSION, ("description", 'requires-python = ">=3.8"\ndescription')],
    "an override and the version": [VERSION, ("[tool.uv.sources]", '[tool.uv]\noverride-dependencies = ["six<2"]\n'
                                                                   "[tool.uv.sources]")],
}


@pytest.mark.parametrize("driver, what", [("venv_uv", what) for what in STALES] + [
    ("venv_pip", "a dependency"), ("venv_pip", "a dependency and the version")])
def test_R15_lock_of_other_requirements_is_one_error_with_one_hint(locked, driver, what):
    locked.env["PROTOPRIMER_VENV_DRIVER"] = driver
    replace(locked, "pyproject.toml", *STALES[what])
    before = (locked.path / "uv.lock").read_bytes()
    messages = locked.prime(status=1).stderr
    assert STALE + locked.typed("lock renews it") in messages and messages.count("hint:") == 1 and OWN not in messages
    assert locked.generations == [] and (locked.path / "uv.lock").read_bytes() == before


@pytest.mark.parametrize("name", DRIVERS)
def test_R15_lock_of_the_workspace_above_is_that_of_a_member(locked, name):
    locked.env["PROTOPRIMER_VENV_DRIVER"] = name
    member = ["--root", str(locked.path / "parts" / "one")]
    notice = locked.prime(*member).stderr
    assert "uv.lock with uv" in notice
    found = json.loads(locked.prime(*member, "run", "python", "-c", INSTALLED).stdout)
    assert set(found) == {"one", "six"}  # as by `uv sync` there
    replace(locked, "parts/one/pyproject.toml", ('"six"', '"six", "packaging"'))
    assert "error: ../../uv.lock was made for other requirements" in locked.prime(*member, status=1).stderr
    locked.write("parts/one/pylock.toml", 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')  # its own
    assert "pylock.toml does not hold what is required" in locked.prime(*member, status=1).stderr


def test_R15_offline_both_are_told_apart_as_well(locked, wheelhouse):
    locked.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    replace(locked, "pyproject.toml", ("[tool.uv.workspace]", "[tool.proto-prime]\nfind_links = [%s]\n"
                                       "[tool.uv.workspace]" % json.dumps(str(wheelhouse))), VERSION)
    messages = locked.prime("--offline").stderr
    assert messages.count(OWN) == 1
    replace(locked, "pyproject.toml", ('"idna"', '"idna", "packaging"'))
    assert STALE + locked.typed("lock renews it") in locked.prime("--offline", status=1).stderr


def test_R15_lock_renews_the_uv_lock_and_leaves_no_pylock_that_nobody_reads(locked):
    replace(locked, "pyproject.toml", ('"idna"', '"idna", "packaging"'), VERSION)
    messages = locked.prime("lock").stderr
    assert "uv.lock is up to date; commit it" in messages and not (locked.path / "pylock.toml").exists()
    found, messages = boot(locked)
    assert "packaging" in found and OWN not in messages


def test_R15_pylock_that_pip_takes_is_renewed_with_the_uv_lock(locked):
    locked.write("pylock.toml", 'lock-version = "1.0"\n')
    replace(locked, "pyproject.toml", ('"idna"', '"idna", "packaging"'))
    assert "pylock.toml names " in locked.prime("lock").stderr
    assert 'name = "packaging"' in (locked.path / "pylock.toml").read_text()
    told = [locked.info(env={"PROTOPRIMER_VENV_DRIVER": driver})["config"]["lock_file"]["value"] for driver in DRIVERS]
    assert told == ["uv.lock", "pylock.toml"]


# -- R16: pip installs from it ---------------------------------------------------------------------------


@pytest.fixture
def rich(repo, tmp_path):
    """A repo with a uv.lock of sources of each kind, extras, groups, markers, and a member that is not installed."""
    repo.link("uv", uv_program())
    make_tree(repo.path / "lib", "lib")
    make_tree(repo.path / "edited", "edited")
    make_checkout(tmp_path / "remote", "remote")
    make_wheel(repo.write("files/arched-1.0-py3-none-any.whl", ""), "arched", "1.0")
    for name, needs in (("one", ["six"]), ("two", ["packaging"])):
        repo.write("parts/%s/%s.py" % (name, name), '"""A part."""\n')
        repo.write("parts/%s/pyproject.toml" % name, project_text(name, needs, ""))
    repo.project(["one", "lib", "edited", "remote", "arched", 'packaging; sys_platform == "win32"'], "\n".join([
        "[project.optional-dependencies]", 'more = ["idna<1"]', 'other = ["setuptools"]',
        "[dependency-groups]", 'dev = ["setuptools"]', 'test = ["wheel", { include-group = "deep" }]', 'deep = ["one"]',
        "[tool.uv]", 'default-groups = ["test"]', 'override-dependencies = ["idna"]',
        "[tool.uv.workspace]", 'members = ["parts/*"]',
        "[tool.uv.sources]", "one = { workspace = true }", 'lib = { path = "lib" }',
        'edited = { path = "edited", editable = true }', 'arched = { path = "files/arched-1.0-py3-none-any.whl" }',
        "remote = { git = %s }" % json.dumps((tmp_path / "remote").as_uri()),
        "[tool.proto-prime]", 'projects = [{ path = ".", extras = ["more"] }]',
        "[tool.proto-prime.env.fixed]", 'projects = [{ path = ".", editable = false }]']))
    uv_lock(repo)
    return repo


@pytest.mark.parametrize("name", ["default", "fixed"])
def test_R16_pip_installs_from_a_uv_lock_what_uv_does(rich, name):
    rich.env["PROTOPRIMER_ENV"] = name
    by_uv, _ = boot(rich, env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    by_pip, messages = boot(rich, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    assert "fetching what uv.lock names with pip" in messages
    assert by_pip == by_uv
    names = {"client", "one", "six", "lib", "edited", "remote", "arched", "wheel"} | {"packaging"} & set(by_uv)
    assert set(by_uv) == names | ({"idna"} if name == "default" else set())
    assert len(by_uv["remote"][1]) == 40 and not by_uv["lib"][1]
    assert by_uv["edited"][1] == by_uv["client"][1] == (name == "default")
    assert rich.info(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})["current"]


def test_R16_changed_uv_lock_is_installed_by_pip(repo):
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.project(["six"])
    uv_lock(repo)
    assert set(boot(repo)[0]) - {"setuptools"} == {"client", "six"}
    repo.project(["idna"])
    uv_lock(repo)
    assert any("uv.lock changed" in reason for reason in repo.info()["reasons"])
    assert set(boot(repo)[0]) - {"setuptools"} == {"client", "idna"}


def test_R16_oldest_python(repo):
    repo.link("uv", uv_program())
    repo.project(["six"], "")
    replace(repo, "pyproject.toml", ("description", 'requires-python = ">=3.6"\ndescription'))
    uv_lock(repo)
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_pip", PROTOPRIMER_PYTHON=str(python("3.6")))
    assert "reading uv.lock with uv" in repo.prime(python=python("3.6")).stderr
    assert repo.inside("import client, six, sys; print(sys.version_info[1])") == "6"


def test_R16_uv_for_it_is_fetched_as_for_the_uv_driver(repo):
    repo.project(["six"], "")
    uv_lock(repo)
    cache = repo.home / "cache"
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_pip", PROTOPRIMER_CACHE_DIR=str(cache), PATH="/usr/bin:/bin")
    assert "fetching uv" in repo.prime().stderr
    assert len(kept_in(cache)) == 1
    assert repo.inside("import client, six") == ""


@pytest.mark.parametrize("driver", ["venv_pip", "auto"])
def test_R16_without_any_uv_the_error_says_why_and_what_does_without(repo, driver):
    repo.project(["six"], "[tool.proto-prime]\n")
    uv_lock(repo)
    repo.env.update(PROTOPRIMER_VENV_DRIVER=driver, PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"),
                    PATH="/usr/bin:/bin", PIP_FIND_LINKS="", UV_CONFIG_FILE=os.devnull)
    messages = repo.prime(status=1).stderr
    assert "error: uv.lock is read by uv alone, and uv cannot be had: " in messages
    assert 'hint: lock_file = "" in the config does without' in messages and "going on with pip" not in messages
    assert repo.generations == []
    messages = repo.prime("--offline", status=1).stderr
    assert "there is no uv on this machine, and none can be fetched offline" in messages
    assert 'lock_file = ""' in messages


def test_R16_lock_for_other_machines_is_refused_with_pip_as_with_uv(repo):
    repo.link("uv", uv_program())
    other = "win32" if sys.platform != "win32" else "linux"
    repo.project(["six"], "[tool.uv]\nenvironments = [\"sys_platform == '%s'\"]" % other)
    uv_lock(repo)
    for driver in DRIVERS:
        repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": driver})
    assert repo.generations == []
