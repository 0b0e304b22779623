"""Homes and caches as they are: of nobody, not there, not to be written (M12), or filled by another user (M11)."""

import os
import shutil
import stat
import subprocess

import pytest
from conftest import TOP

import proto_prime

pytestmark = pytest.mark.skipif(os.name != "posix", reason="users and modes as POSIX has them")

# -- a user without a home (M12) -------------------------------------------------------------------

HOMES = {"none": None, "empty": "", "the root of the file system": "/", "not there": "/nonexistent",
         "of another user": "/root"}


def names_below(directory):
    """The names in a directory, "" if it is not there."""
    return sorted(os.listdir(str(directory))) if directory.exists() else []


@pytest.mark.parametrize("how", ["venv_pip", "venv_uv", "fetched"])
@pytest.mark.parametrize("home", list(HOMES))
def test_M12_user_without_a_home_that_he_can_write(other_user, wheelhouse, home, how):
    if how == "fetched" and home != "the root of the file system":
        pytest.skip("where uv comes from is no matter of the home")
    path, env = other_user.checkout(wheelhouse, 'dependencies = ["six"]\n', uv=how == "venv_uv")
    env.update(HOME=HOMES[home], PROTOPRIMER_VENV_DRIVER="venv_pip" if how == "venv_pip" else "venv_uv")
    prime = [other_user.python, path / "proto_prime.py"]
    before = names_below(other_user.place), os.listdir("/")
    done = other_user(prime, env)
    assert done.returncode == 0, done.stderr
    own = other_user.place / "tmp" / ("proto_prime-%d" % other_user.uid)
    assert done.stderr.count("%s is" % own) == 1, done.stderr
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    done = other_user(prime + ["run", "python", "-c", "import six"], env, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert names_below(other_user.place / "tmp") == [own.name], "the caches of the tools stand in ours"
    assert (names_below(other_user.place), os.listdir("/")) == before
    done = other_user(prime + ["clean", "--all"], env)
    assert done.returncode == 0 and not (own / "tools" / "uv_cache_dir").exists(), done.stderr
