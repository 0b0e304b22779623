"""A cache that many share: PROTOPRIMER_CACHE_DIR names several directories, and file systems have no locks."""

import os
import shutil
import sys

import pytest
from conftest import snapshot, uv_program
from machines import lacking

SCRIPT = '# /// script\n# dependencies = ["six"]\n# ///\nimport six, sys\nprint(sys.prefix)\n'
TRAP = "#!/bin/sh\necho ran >> '%s'\necho uv 99.0.0\n"


@pytest.fixture
def fill(make_repo, tmp_path):
    """A function that makes a cache and fills it by a boot of another clone with a driver. Returns its path."""

    def make(driver, *argv):
        place, filler = tmp_path / "shared cache", make_repo("filler")
        filler.env.update(PROTOPRIMER_CACHE_DIR=str(place), PROTOPRIMER_VENV_DRIVER=driver)
        filler.config('dependencies = ["six"]')
        filler.write("script.py", SCRIPT)
        filler.prime(*argv)
        return place

    return make


def sharing(repo, *places):
    """Let the cache of a repo be a new one, behind which others are read. Returns its path."""
    own = repo.home / "own cache"
    repo.env["PROTOPRIMER_CACHE_DIR"] = os.pathsep.join(["", str(own)] + [str(place) for place in places])
    return own


@pytest.mark.parametrize("name, what", [("venv_uv", "uv/uv-*"), ("venv_pip", "pip/*/pip")])
def test_N2_first_cache_is_written_and_the_others_are_read(repo, fill, name, what):
    repo.config('dependencies = ["six"]')
    shared_cache = fill(name, "reset")
    own = sharing(repo, repo.home / "none", shared_cache)
    before = snapshot(shared_cache)
    assert list(shared_cache.glob(what))
    repo.prime(env={"PROTOPRIMER_VENV_DRIVER": name})
    assert repo.inside("import six; print(six.__name__)") == "six"
    assert list(own.glob(what)) == [] and (own / "answers").is_dir()
    assert snapshot(shared_cache) == before
    assert not (repo.home / "none").exists()
    repo.prime("clean", "--all")
    assert snapshot(shared_cache) == before


@pytest.mark.skipif(os.name != "posix", reason="another way to share")
def test_N2_environment_of_a_script_is_taken_from_a_cache_that_is_read(repo, fill):
    repo.config()
    shared_cache = fill("venv_pip", "run", "script.py")
    sharing(repo, shared_cache)
    same = str(repo.home.parent / "home of filler" / "uv.toml")  # a machine has its settings in one place
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_pip", UV_CONFIG_FILE=same)
    repo.write("script.py", SCRIPT)
    before = snapshot(shared_cache)
    assert repo.prime("run", "script.py").stdout.startswith(str(shared_cache / "scripts"))
    assert snapshot(shared_cache) == before


@pytest.mark.skipif(os.name != "posix" or os.getuid(), reason="modes as POSIX has them, and another owner")
@pytest.mark.parametrize("owner, mode, reason", [(12345, 0o755, "belongs to another user"),
                                                 (0, 0o777, "others may write to ")])
def test_N2_cache_in_which_others_can_plant_programs_is_not_read(repo, tmp_path, owner, mode, reason):
    place, trace = tmp_path / "planted", tmp_path / "trace"
    (place / "uv").mkdir(parents=True)
    (place / ".proto-prime").write_text("")
    (place / "uv" / "uv-99.0.0").write_text(TRAP % trace)
    (place / "uv" / "uv-99.0.0").chmod(0o755)
    place.chmod(mode)
    os.chown(str(place), owner, owner)
    repo.config()
    sharing(repo, place)
    said = repo.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"}).stderr
    assert reason in said and not trace.exists()


@pytest.mark.parametrize("name", ["venv_uv", "venv_pip"])
def test_N2_root_and_cache_without_locks_are_built_on_by_one_at_a_time(repo, name):
    """As a network file system without its lock daemon: a lock of this machine stands in."""
    repo.link("uv", uv_program())
    repo.config('post_boot = [["sleep", "2"]]')
    repo.env.update(PROTOPRIMER_VENV_DRIVER=name, PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"))
    lacking(repo, "flock", "ENOLCK", repo.path, repo.home)
    boots = [repo.popen() for _ in range(2)]
    said = [boot.communicate(timeout=60)[1] for boot in boots]
    assert [boot.returncode for boot in boots] == [0, 0], said
    assert sum("prime: building environment" in text for text in said) == 1, said
    assert repo.generations == [repo.current]
    repo.prime("reset")
    repo.prime("clean")


@pytest.mark.slow
@pytest.mark.parametrize("places", [["a repo"], ["home of a repo"], ["a repo", "home of a repo"]],
                         ids=["root", "cache", "root and cache"])
def test_N2_every_command_works_where_locks_are_missing(repo, serve, places):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\n[env.docs]\ndependencies = ["idna"]\n[tasks]\ntask = "true"\n')
    repo.write("script.py", SCRIPT)
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_uv", PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"),
                    SHELL="/bin/true")
    lacking(repo, "flock", "ENOLCK", *[repo.path.parent / place for place in places])
    for words in ("", "run true", "task", "reset", "rollback", "use docs", "use default", "run script.py", "shell",
                  "env", "info", "python", "lock", "boot", "vendor", "clean", "boot", "clean --all", "run true"):
        repo.prime(*words.split())
    said = repo.prime("clean", "--all").stderr
    assert ("cache stays, for another prime may use it: it cannot be locked" in said) == ("home of a repo" in places)
    session = serve()
    session.ask("environment/create", {"name": "mine", "python_version": "%d.%d" % sys.version_info[:2]})
    session.ask("environment/delete", {"id": "mine"})


def test_N2_what_another_machine_may_be_building_stays(plain):
    """Where their locks are not the same, each builds for itself."""
    plain.prime()
    half = plain.path / ".prime" / "envs" / "default-0123456789ab"
    for record, age, stays in (("77 on elsewhere", 0, True), ("77 on elsewhere", 2 * 3600, False), ("77", 0, False),
                               ("77 on " + os.uname().nodename, 0, False)):
        shutil.copytree(str(plain.current), str(half), symlinks=True)
        (half / "proto-prime.json").unlink()
        written = plain.write(".prime/building/" + half.name, record)
        os.utime(str(written), (written.stat().st_mtime - age,) * 2)
        plain.prime("reset")
        assert half.exists() == stays, record
        shutil.rmtree(str(half), ignore_errors=True)
