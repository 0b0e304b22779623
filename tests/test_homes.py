"""Homes and caches as they are: of nobody, not there, not to be written (M12), or filled by another user (M11)."""

import os
import shutil
import stat
import subprocess

import pytest
from conftest import TOP, by_driver, some_python, uv_program

import proto_prime

pytestmark = pytest.mark.skipif(os.name != "posix", reason="users and modes as POSIX has them")

# -- a user without a home (M12) -------------------------------------------------------------------

HOMES = {"none": None, "empty": "", "the root of the file system": "/", "not there": "/nonexistent",
         "of another user": "/root"}


def names_below(directory):
    """The names in a directory, [] if it is not there."""
    return sorted(os.listdir(str(directory))) if directory.exists() else []


CASES = by_driver(list(HOMES), ["none", "not there"]) + [("not there", "fetched")]


@pytest.mark.parametrize("home, how", CASES)
def test_M12_user_without_a_home_that_he_can_write(other_user, wheelhouse, home, how):
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


def test_M12_python_that_uv_fetches_is_kept_where_it_is_looked_for(other_user, wheelhouse):
    path, env = other_user.checkout(wheelhouse)
    code = "from proto_prime import *; print(uv_environ()['UV_PYTHON_INSTALL_DIR'] in uv_directories(None))"
    for home in None, "/":
        done = other_user([other_user.python, "-c", code], dict(env, HOME=home), cwd=str(path))
        assert done.stdout == "True\n", done.stderr


def test_M12_what_the_user_says_and_a_home_that_can_be_written_stay(repo, monkeypatch):
    for name, value in dict(repo.env, UV_CACHE_DIR="/nowhere/of/mine").items():
        monkeypatch.setenv(name, value)
    (repo.home / ".local" / "share").mkdir(parents=True)
    environ = proto_prime.uv_environ()
    assert environ["UV_CACHE_DIR"] == "/nowhere/of/mine" and "UV_PYTHON_INSTALL_DIR" not in environ
    assert "PIP_CACHE_DIR" not in proto_prime.pip_environ()
    assert sorted(os.listdir(str(repo.home))) == [".local", "bin", "uv.toml"]


# -- a `.prime` of root's, as `sudo ./prime` and containers leave it (M25) -------------------------


@pytest.mark.parametrize("words", [[], ["run", "true"], ["reset"], ["clean"], ["use", "default"]], ids=" ".join)
def test_M25_state_of_root_is_told_with_what_gives_it_back(other_user, wheelhouse, words):
    path, env = other_user.checkout(wheelhouse, uv=True)
    prime, state = [other_user.python, path / "proto_prime.py"], path / ".prime"
    made = other_user(prime, env, uid=0)
    assert made.returncode == 0, made.stderr
    (path / "proto_prime.toml").write_text('dependencies = ["six"]\n')
    done = other_user(prime + words, env)
    hint = "hint: it belongs to root (uid 0): sudo chown -R %d %s; or PROTOPRIMER_STATE_DIR names another place"
    assert done.returncode == 1 and hint % (other_user.uid, state) in done.stderr, done.stderr
    other_user.give(state)
    done = other_user(prime + words, env)
    assert done.returncode == 0, done.stderr
    other_user.give(path, state, uid=0)  # nor is the checkout this user's: others keep it
    (path / "proto_prime.toml").write_text('dependencies = ["idna"]\n')
    done = other_user(prime + words, env)
    assert done.returncode == 1 and "chown" not in done.stderr, done.stderr
    assert "hint: PROTOPRIMER_STATE_DIR names another place" in done.stderr, done.stderr


# -- a cache of another user's (M11) ---------------------------------------------------------------

SCRIPT = """\
# /// script
# dependencies = ["six"]
# ///
import six
print(six.__name__)
"""


def make_readable(directory):
    for each in [directory] + list(directory.rglob("*")):
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() or os.access(str(each), os.X_OK) else 0o644)


@pytest.mark.parametrize("named", [True, False], ids=["named", "at home"])
@pytest.mark.parametrize("how", ["venv_pip", "venv_uv"])
def test_M11_script_runs_from_a_cache_that_only_root_can_write(other_user, wheelhouse, how, named):
    path, env = other_user.checkout(wheelhouse, uv=how == "venv_uv")
    (path / "script.py").write_text(SCRIPT)
    cache = other_user.place / "home" / ".cache" / "proto_prime"
    env.update(PROTOPRIMER_VENV_DRIVER=how, HOME=str(other_user.place / "home"))
    if named:
        env["PROTOPRIMER_CACHE_DIR"] = str(cache)
    prime = [other_user.python, path / "proto_prime.py"]
    made = other_user(prime + ["run", path / "script.py"], env, uid=0)
    assert made.stdout == "six\n", made.stderr
    make_readable(other_user.place / "home")
    done = other_user(prime + ["run", path / "script.py"], env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "six\n", "")
    # What is not there yet comes to stand elsewhere.
    (path / "script.py").write_text(SCRIPT.replace('"six"', '"six", "idna"'))
    done = other_user(prime + ["run", path / "script.py"], env)
    assert (done.returncode, done.stdout) == (0, "six\n"), done.stderr
    assert len(list(other_user.place.glob("tmp/proto_prime-*/scripts/*/.prime/envs/*"))) == 1
    other_user.give(cache, uid=12399)
    done = other_user(prime + ["run", path / "script.py"], env)
    assert (done.returncode, done.stdout) == (0, "six\n"), done.stderr
    assert "belongs to another user; %s" % (other_user.place / "tmp") in done.stderr


@pytest.mark.parametrize("driver", ["venv_pip", "venv_uv"], indirect=True)
def test_M11_what_is_complete_runs_from_a_file_system_that_is_read_only(repo, mounts, tmp_path, driver):
    """All of it: repo, home and cache. What has to be made comes to stand in the temporary directory."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    repo.env.update(TMPDIR=str(temporary), PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"))
    script = repo.write("script.py", SCRIPT)
    repo.config()
    mounts.prime()
    assert mounts.prime("run", script).stdout == "six\n"
    for path in repo.home, repo.path:
        mounts.sh('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', path)
    for _ in range(2):
        done = mounts.prime("run", script)
        assert (done.stdout, done.stderr) == ("six\n", "")
    assert mounts.prime("run", "python", "-c", "print(1)").stdout == "1\n"
    assert "is current" in mounts.prime().stderr
    assert names_below(temporary) == []
    script = tmp_path / "another.py"
    script.write_text(SCRIPT.replace("six", "idna"))
    done = mounts.prime("run", script)
    assert done.stdout == "idna\n"
    private = temporary / ("proto_prime-%d" % os.geteuid())
    assert "the cache %s cannot be written: %s is used" % (repo.home / "cache", private) in done.stderr
    done = mounts.prime("clean", "--all", status=None)
    assert "Traceback" not in done.stderr and "Read-only file system" in done.stderr, done.stderr


# -- what fails, and does not matter (M11) ---------------------------------------------------------

REFUSE = """\
import os, sys
def refuse(*args, **options):
    raise PermissionError(13, "Permission denied")
for name in %r:
    setattr(os, name, refuse)
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
import proto_prime
sys.exit(proto_prime.main())
"""


@pytest.fixture
def refusing(repo):
    """A function that runs `prime` where some functions of `os` refuse everything."""
    copy = repo.write("lib/proto_prime.py", (TOP / "proto_prime.py").read_text())

    def run(names, *argv, status=0, **options):
        code = repo.write("lib/refuse.py", REFUSE % (tuple(names),))
        done = repo.prime(copy, *argv, entry=code.relative_to(repo.path), status=status, **options)
        assert "Traceback" not in done.stderr
        return done

    return run


BOOK_KEEPING = ["utime", "chmod", "fchmod", "truncate", "ftruncate"]
CLEARING = ["remove", "unlink", "rmdir"]


@pytest.mark.parametrize("names", [BOOK_KEEPING, CLEARING], ids=["book-keeping", "clearing away"])
def test_M11_book_keeping_is_never_fatal(repo, refusing, names):
    repo.config('venv_driver = "venv_pip"\n')
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    root = ["--root", repo.path]
    script = repo.write("script.py", SCRIPT)
    for _ in range(2):
        refusing(names, *root, "boot")
        refusing(names, *root, "reset")
        assert refusing(names, *root, "run", script).stdout == "six\n"
    refusing(names, "init", repo.path / "other")
    assert os.path.isfile(str(repo.path / "other" / "prime"))
    update = ["update", "--from", repo.path / "newer.py"]
    repo.write("newer.py", (TOP / "proto_prime.py").read_text() + "# newer\n")
    refusing(names, *root, *update)
    assert (repo.path / "lib" / "proto_prime.py").read_text().endswith("# newer\n")


@pytest.mark.parametrize("name, argv, told", [
    ("mkdir", ["boot"], "cannot write to {root}/.prime: Permission denied"),
    ("symlink", ["boot"], "no environment can be made in {root}/.prime, where no links can be made (Permission "),
    ("replace", ["use", "default"], "cannot write to {root}/.prime: Permission denied"),
    ("replace", ["init", "{root}/other"], "cannot write {root}/other/proto_prime.py: Permission denied"),
    ("replace", ["update", "--from", "{root}/newer.py"], "cannot write {root}/lib/proto_prime.py: Permission denied"),
])
def test_M11_error_of_the_system_names_the_path_and_what_was_done(repo, refusing, name, argv, told):
    repo.config()
    repo.write("newer.py", (TOP / "proto_prime.py").read_text() + "# newer\n")
    words = [word.format(root=repo.path) for word in argv]
    done = refusing([name], *([] if words[0] == "init" else ["--root", repo.path]), *words, status=1)
    assert "prime: error: %s" % told.format(root=repo.path) in done.stderr, done.stderr


def test_M11_base_python_that_another_user_may_not_reach_is_not_gone(other_user):
    repo, closed = other_user.place / "repo", other_user.place / "closed"
    closed.mkdir()
    (closed / "python3").symlink_to(some_python())
    repo.mkdir()
    (repo / "proto_prime.toml").write_text("")
    shutil.copy(str(TOP / "proto_prime.py"), str(repo))
    env = {"PATH": "%s:/usr/bin:/bin" % os.path.dirname(uv_program()), "HOME": str(other_user.place / "of root")}
    subprocess.run([str(closed / "python3"), str(repo / "proto_prime.py"), "-q"], env=env, check=True)
    closed.chmod(0o700)
    said = other_user([other_user.python, repo / "proto_prime.py", "info"]).stdout
    assert "its base python %s cannot be used: Permission denied" % (closed / "python3") in " ".join(said.split())
