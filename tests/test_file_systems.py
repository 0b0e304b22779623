"""No space (B5), files that may not grow (B5), a state directory that cannot be written or locked (B4)."""

import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PYTHONS, python, uv_program
from machines import lacking

resource = pytest.importorskip("resource")  # not on Windows

NO_SPACE = "(?i)no space left on device"
TOO_LARGE = "(?i)file too large|SIGXFSZ"
# The newest python says what others keep to themselves.
WILD = sorted({"%d.%d" % sys.version_info[:2], list(PYTHONS)[-1]})


def check_failure(result, words):
    """Assert that a boot failed as it must: one error, with these words, and no traceback."""
    assert result.status == 1, result.stderr
    assert result.stderr.count("prime: error: ") == 1, result.stderr
    assert re.search(words, result.stderr[result.stderr.index("prime: error: "):]), result.stderr
    check_voice(result)


def check_voice(result):
    assert "Traceback" not in result.stderr and "Exception ignored" not in result.stderr, result.stderr


def state_of(repo, root=""):
    """What must be the same after a boot that failed. `root`: below which the mounts of the repo are seen."""
    place = Path(root + str(repo.path))
    envs = sorted(each.name for each in (place / ".prime" / "envs").iterdir())
    asides = sorted(str(each) for each in place.rglob("*.tmp"))
    return {"envs": envs, "link": os.readlink(str(repo.path / ".venv")), "asides": asides}


def has(repo, module):
    """Whether the environment that .venv leads to can be used without more ado, and has a module."""
    command = [str(repo.path / ".venv" / "bin" / "python"), "-c", "import " + module]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


# -- no space --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_B5_no_space_in_the_state_directory(repo, driver, mounts):
    state = repo.path / ".prime"
    mounts.tmpfs(state, 64 << 10)
    repo.config('dependencies = ["six"]')
    mounts.prime()
    old, before = state_of(repo, mounts.root), mounts.tell(state, "used")
    repo.config('dependencies = ["idna"]')
    mounts.prime()
    needed = mounts.tell(state, "used") - before
    levels = [10, needed // 2, needed - 20, needed - 4, needed + 8]
    if driver == "venv_uv":  # which is fast: to the very end, where the marker, the stamp and the log are written
        levels = [0, 10, 100, needed // 2] + [needed + more for more in range(-32, 16, 4)]
    seen = []
    for free in levels:
        forget_newest(repo, mounts, old)
        mounts.leave(state, free)
        result = mounts.prime(status=None)
        seen.append(result.status)
        if result.status == 0:
            check_voice(result)
            assert mounts.has("idna")
            assert state_of(repo, mounts.root)["asides"] == []
            continue
        check_failure(result, NO_SPACE)
        assert "error: No space left on device\n" not in result.stderr, "of what?"
        assert "PROTOPRIMER_CACHE_DIR" not in result.stderr, "which has room"
        assert state_of(repo, mounts.root) == old, "%d KiB free" % free
        assert mounts.has("six")
    assert seen.count(1) > 2 and seen[-1] == 0, seen
    mounts.leave(state, 64 << 10)
    mounts.prime()
    assert mounts.has("idna")


def forget_newest(repo, mounts, old):
    """As if what was built after a state had never been."""
    for each in set(state_of(repo, mounts.root)["envs"]) - set(old["envs"]):
        mounts.sh('rm -rf "$1"', repo.path / ".prime" / "envs" / each)
    (repo.path / ".venv").unlink()
    (repo.path / ".venv").symlink_to(old["link"])


def test_B5_no_space_for_the_very_first_boot(repo, driver, mounts):
    mounts.tmpfs(repo.path / ".prime", 64 << 10)
    mounts.leave(repo.path / ".prime", 0)
    repo.config('dependencies = ["six"]')
    check_failure(mounts.prime(status=None), NO_SPACE)
    assert not os.path.lexists(str(repo.path / ".venv"))
    mounts.leave(repo.path / ".prime", 64 << 10)
    mounts.prime()
    assert mounts.has("six")


def test_B5_no_more_files_in_the_state_directory(repo, driver, mounts):
    state = repo.path / ".prime"
    mounts.tmpfs(state, 64 << 10)
    repo.config('dependencies = ["six"]')
    mounts.prime()
    old = state_of(repo, mounts.root)
    repo.config('dependencies = ["idna"]')
    for free in (0, 3, 20):
        mounts.leave_files(state, free)
        check_failure(mounts.prime(status=None), NO_SPACE)
        assert state_of(repo, mounts.root) == old
        assert mounts.has("six")


def boot_with_uv(repo):
    """Make an environment with six, by the uv of the development environment. Returns `state_of` it."""
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    repo.config('dependencies = ["six"]')
    repo.prime()
    return state_of(repo)


# Into the cache a pip is unpacked, which takes some 10 MiB, and then a uv is fetched, which takes more.
@pytest.mark.parametrize("driver_name, free", [
    ("venv_pip", 0), ("venv_pip", 500), ("venv_uv", 0), ("venv_uv", 500), ("venv_uv", 20 << 10)])
def test_B5_no_space_in_the_cache(repo, mounts, driver_name, free):
    old, cache = boot_with_uv(repo), repo.home / "small cache"
    (repo.bin / "uv").unlink()
    mounts.tmpfs(cache, 64 << 10)
    mounts.leave(cache, free)
    repo.env.update(PROTOPRIMER_CACHE_DIR=str(cache), PROTOPRIMER_VENV_DRIVER=driver_name)
    repo.config('dependencies = ["idna"]')
    result = mounts.prime(status=None)
    check_failure(result, NO_SPACE)
    assert "hint: PROTOPRIMER_CACHE_DIR names another" in result.stderr
    assert mounts.sh('cd "$1"; find . -name "*.tmp" -o -name aside', cache) == ""
    assert state_of(repo) == old
    assert has(repo, "six")


def test_B5_no_space_in_the_cache_is_no_matter_with_uv_at_hand(repo, mounts):
    boot_with_uv(repo)
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "small cache")
    mounts.tmpfs(repo.home / "small cache", 100)
    mounts.leave(repo.home / "small cache", 0)
    repo.config('dependencies = ["idna"]')
    check_voice(mounts.prime())
    assert has(repo, "idna")


@pytest.mark.parametrize("free", [0, 10, 100])
def test_B5_no_space_in_the_cache_of_uv(repo, mounts, free):
    old = boot_with_uv(repo)
    repo.env["UV_CACHE_DIR"] = str(repo.home / "small cache")
    mounts.tmpfs(repo.home / "small cache", 1 << 10)
    mounts.leave(repo.home / "small cache", free)
    repo.config('dependencies = ["idna"]')
    check_failure(mounts.prime(status=None), NO_SPACE)
    assert state_of(repo) == old
    assert has(repo, "six")


@pytest.mark.parametrize("wild", WILD)
def test_B5_no_space_for_what_is_said_changes_no_exit_status(plain, wild):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    plain.link("uv", uv_program())
    with open("/dev/full", "w") as full:
        for argv, status in (([], 0), ([], 0), (["run", "true"], 0), (["-v", "run", "sh", "-c", "exit 3"], 3),
                             (["no-such-command"], 2), (["reset"], 0)):
            plain.prime(*argv, stderr=full, status=status, python=python(wild))
        plain.config('post_boot = [["false"]]')
        plain.prime(stderr=full, status=1, python=python(wild))


@pytest.mark.parametrize("words", [["--version"], ["-h"], ["info"], ["python"], ["env"]])
def test_M11_no_space_for_what_a_command_prints_is_one_line(plain, words):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    plain.prime()
    with open("/dev/full", "w") as full:
        said = plain.prime(*words, stdout=full, status=1).stderr
    assert said == "prime: error: cannot write to stdout: No space left on device\n"
    closed = plain.prime(*words, status=1, preexec_fn=lambda: os.close(1)).stderr
    assert closed == "prime: error: stdout is closed, and this command prints\n"


# -- files that may not grow -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("wild", WILD)
def test_B5_files_that_may_not_grow(repo, driver, wild):
    repo.config('dependencies = ["six"]')
    repo.prime(python=python(wild))
    old = state_of(repo)
    repo.config('dependencies = ["idna"]')
    for size in (0, 10, 1000, 20000):
        def limit(size=size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        # Copied, for a link to a file of the cache writes nothing.
        result = repo.prime(status=None, preexec_fn=limit, python=python(wild), env={"UV_LINK_MODE": "copy"})
        check_failure(result, TOO_LARGE)
        assert state_of(repo) == old, size
        assert has(repo, "six")
    repo.prime(python=python(wild))
    assert has(repo, "idna")


# -- what cannot be written ------------------------------------------------------------------------


@pytest.fixture
def read_only(repo, mounts):
    """A `Repo` with an environment and a stamp, whose .prime cannot be written, not even by root."""
    boot_with_uv(repo)
    repo.settle()
    repo.prime()
    mounts.sh('mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', repo.path / ".prime")
    return repo


def test_B4_read_only_state_of_an_environment_that_is_current(read_only, mounts):
    before = state_of(read_only)
    for argv in ([], ["-v"], ["info"], ["run", "python", "-c", "import six"], ["-v", "run", "true"]):
        check_voice(mounts.prime(*argv))
    os.utime(str(read_only.path / "proto_prime.toml"))
    for argv in ([], ["run", "python", "-c", "import six"]):  # at once, and when the stamp could be renewed
        check_voice(mounts.prime(*argv))
        read_only.settle()
    assert state_of(read_only) == before


def test_B4_read_only_state_of_an_environment_that_is_stale(read_only, mounts):
    before = state_of(read_only)
    read_only.config('dependencies = ["idna"]')
    for argv in ([], ["run", "true"], ["reset"]):
        result = mounts.prime(*argv, status=None, timeout=30)
        check_failure(result, "(?i)read-only file system")
        assert str(read_only.path / ".prime") in result.stderr
        assert "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr
    assert state_of(read_only) == before
    assert has(read_only, "six")
    mounts.prime(env={"PROTOPRIMER_STATE_DIR": str(read_only.home / "state")})
    assert has(read_only, "idna")


def test_B4_read_only_checkout_says_where_its_environment_is(repo, mounts):
    boot_with_uv(repo)
    (repo.path / ".venv").unlink()
    mounts.sh('mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', repo.path)
    env = {"PROTOPRIMER_STATE_DIR": str(repo.home / "state")}
    for words in ("is ready", "is current"):
        said = mounts.prime(env=env).stderr.splitlines()[-1]
        assert re.match("prime: .*/state/envs/default-[^/ ]* %s " % words, said)
    told = mounts.prime("info", env=env).stdout
    assert "/state/envs/default-" in told and ".venv" not in told


def test_B4_read_only_state_and_no_link(read_only, mounts):
    (read_only.path / ".venv").unlink()
    result = mounts.prime(status=None, timeout=30)
    if result.status:
        check_failure(result, "(?i)read-only file system")
        assert "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr
    else:
        assert has(read_only, "six")


# -- what cannot be locked -------------------------------------------------------------------------

@pytest.fixture
def lockless(repo):
    """A function that takes the locks from the file systems of directories: flock gives the error of this name."""
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    return lambda name, *places: lacking(repo, "flock", name, *places)


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP", "ENOSYS"])
def test_B4_file_system_without_locks_is_built_on_by_one_at_a_time(repo, lockless, name):
    repo.config('post_boot = [["sleep", "2"]]')
    lockless(name, repo.path)
    boots = [repo.popen() for _ in range(2)]
    said = [boot.communicate(timeout=60)[1] for boot in boots]
    assert [boot.returncode for boot in boots] == [0, 0], said
    assert sum("prime: building environment" in text for text in said) == 1, said
    assert sum("prime: waiting for " in text for text in said) == 1, said
    assert repo.generations == [repo.current]
    repo.settle()
    assert "is current" in repo.prime().stderr


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP", "ENOSYS"])
def test_B4_no_locks_anywhere(repo, lockless, tmp_path, name):
    repo.config('dependencies = ["six"]')
    repo.prime()
    before = state_of(repo)
    lockless(name, repo.path, repo.home)
    repo.env["TMPDIR"] = str(repo.home)
    assert "is current" in repo.prime("-v").stderr
    repo.config('dependencies = ["idna"]')
    lock, reason = repo.path / ".prime" / "lock", os.strerror(getattr(errno, name))
    for argv in ([], ["run", "true"]):
        result = repo.prime(*argv, status=None, timeout=30)
        check_failure(result, re.escape("cannot lock %s: %s" % (lock, reason)))
        assert "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr
    assert state_of(repo) == before
    assert has(repo, "six")
    repo.prime(env={"PROTOPRIMER_STATE_DIR": str(tmp_path / "state")})
    assert has(repo, "idna")


def test_B4_no_locks_and_no_cache(repo, lockless):
    repo.config()
    lockless("ENOLCK", repo.path)
    (repo.home / ("proto_prime-%d" % os.geteuid())).write_text("where a private one would be (M12)")
    env = {"PROTOPRIMER_CACHE_DIR": "/proc/no-such-cache", "TMPDIR": str(repo.home)}
    result = repo.prime(status=None, timeout=30, env=env)
    check_failure(result, "cannot lock .*: " + re.escape(os.strerror(errno.ENOLCK)))
    assert "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr


@pytest.mark.parametrize("name", ["EACCES", "EPERM", "EIO"])
def test_B4_lock_that_is_refused_is_no_lock_to_wait_for(repo, lockless, name):
    repo.config()
    lockless(name, repo.path)
    boot, end = repo.popen(), time.time() + 5
    while boot.poll() is None and time.time() < end:
        time.sleep(0.05)
    if boot.poll() is None:
        boot.terminate()
    said = boot.communicate(timeout=30)[1]
    assert boot.returncode in (0, 1), said
    assert boot.returncode == 0 or "prime: error: cannot lock " in said, said


def test_B4_cache_that_cannot_be_locked_is_not_taken_for_the_state_directory(repo, lockless):
    """uv would be fetched into it, under a lock of its own."""
    (repo.bin / "uv").unlink()
    repo.config()
    lockless("ENOLCK", repo.home)
    result = repo.prime(status=None, timeout=60, env={"TMPDIR": str(repo.home)})
    check_failure(result, re.escape("cannot lock %s" % (repo.home / "cache" / "uv" / "lock")))
    assert "hint: PROTOPRIMER_CACHE_DIR names another" in result.stderr
