"""SIGINT, SIGTERM and SIGHUP in each step (B2): its children end, one line says so, nothing half-made is used."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PYTHONS, TOP, some_python, uv_program
from helpers import preloaded, wait_for

fcntl = pytest.importorskip("fcntl")  # not on Windows, as is the rest
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

# Takes its time while it is asked to, with a child of its own. Tells both process ids.
SLOW = """\
#!/bin/sh
test -e {home}/slow || exit 0
{trap}
sleep 1000 &
echo $$ $! > {home}/pids.tmp
mv {home}/pids.tmp {home}/pids
wait
"""

BACKEND = """\
import os
import subprocess
import zipfile

subprocess.call([{slow!r}])


def build_editable(directory, *_):
    with zipfile.ZipFile(os.path.join(directory, "late-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("late.py", "")
        info = "late-1.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: late\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "late-1-py3-none-any.whl"
"""


@pytest.fixture
def slow(plain):
    """A `Repo` with an environment, and a program `slow` that is part of what is tried then."""
    return make_slow(plain)


def make_slow(repo, trap=""):
    repo.config('dependencies = ["six"]')
    repo.prime()
    (repo.home / "slow").touch()
    repo.slow = str(repo.program("slow", SLOW.format(home=shlex.quote(str(repo.home)), trap=trap)))
    return repo


def wrapper(repo, program, when="*"):
    """The text of a program that is slow if its first argument is `when`, and then becomes another one."""
    return '#!/bin/sh\ncase "$1" in %s) %s ;; esac\nexec %s "$@"\n' % (
        when, shlex.quote(repo.slow), shlex.quote(str(program)))


# -- the steps -------------------------------------------------------------------------------------
# Each makes a step of the next boot slow, and yields a function that tells whether the boot is there.


def is_slow(repo):
    return (repo.home / "pids").exists()


@contextmanager
def probe(repo):
    repo.program("slow-python", wrapper(repo, some_python()))
    repo.config('required_python_version = "slow-python"\ndependencies = ["idna"]')
    yield is_slow
    (repo.home / "slow").unlink()


@contextmanager
def selector(repo):
    repo.write("pick", "#!/bin/sh\n%s\necho %s\n" % (shlex.quote(repo.slow), some_python()), executable=True)
    repo.config('python_selector_file_rel_path = "pick"\ndependencies = ["idna"]')
    yield is_slow
    (repo.home / "slow").unlink()


@contextmanager
def lock(repo):
    repo.config('dependencies = ["idna"]')
    with open(str(repo.path / ".prime" / "lock"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lambda repo: "prime: waiting for " in told(repo)


@contextmanager
def create(repo):
    if repo.env["PROTOPRIMER_VENV_DRIVER"] == "venv_uv":
        repo.program("uv", wrapper(repo, uv_program(), "venv"))
    else:
        repo.env["PROTOPRIMER_PYTHON"] = str(python_with_slow_venv(repo))
    repo.config('dependencies = ["idna"]')
    yield is_slow
    (repo.home / "slow").unlink()


def python_with_slow_venv(repo):
    """A python that differs from the usual one in its module venv, and shares all others with it."""
    code = "import sys, sysconfig as s; print(sys.prefix, s.get_path('stdlib'), s.get_path('platstdlib'), sep='|')"
    told = subprocess.run([str(some_python()), "-I", "-c", code], stdout=subprocess.PIPE).stdout
    prefix, *libraries = told.decode().strip().split("|")
    target = repo.home / "prefix"
    for library in sorted(set(libraries)):
        place = target / Path(library).relative_to(prefix)
        place.mkdir(parents=True, exist_ok=True)
        for path in Path(library).iterdir():
            if path.name not in ("venv", "__pycache__"):
                (place / path.name).symlink_to(path)
    venv = target / Path(libraries[0]).relative_to(prefix) / "venv"
    venv.mkdir()
    for path in (Path(libraries[0]) / "venv").glob("*.py"):
        before = "import subprocess\nsubprocess.call([%r])\n" % repo.slow if path.name == "__main__.py" else ""
        (venv / path.name).write_text(before + path.read_text())
    (venv / "scripts").symlink_to(Path(libraries[0]) / "venv" / "scripts")
    (target / "bin").mkdir()
    program = target / "bin" / some_python().name
    program.write_bytes(some_python().read_bytes())
    program.chmod(0o755)
    return program


@contextmanager
def install(repo):
    repo.write("late/pyproject.toml", "\n".join([
        "[build-system]", "requires = []", 'build-backend = "backend"', 'backend-path = ["."]',
        "[project]", 'name = "late"', 'version = "1"']))
    repo.write("late/backend.py", BACKEND.format(slow=repo.slow))
    repo.config('projects = ["late"]')
    yield is_slow
    (repo.home / "slow").unlink()


@contextmanager
def post_boot(repo):
    repo.config('post_boot = [["slow"]]')
    yield is_slow
    (repo.home / "slow").unlink()


@contextmanager
def fetch(repo):
    """An index that never answers; the cache is new, so that no uv is found there."""
    usual = dict(repo.env)
    if (repo.bin / "uv").is_symlink():
        (repo.bin / "uv").unlink()
    repo.env["PROTOPRIMER_CACHE_DIR"] = usual["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    repo.config('dependencies = ["idna"]')
    with socket.socket() as index:
        index.bind(("127.0.0.1", 0))
        index.listen(8)
        index.settimeout(0)
        repo.env["PIP_INDEX_URL"] = "http://127.0.0.1:%d/simple" % index.getsockname()[1]
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            repo.env.pop(name)
        heard = []

        def is_fetching(repo):
            try:
                heard.append(index.accept()[0])
                return True
            except BlockingIOError:
                return False

        yield is_fetching
        for each in heard:
            each.close()
    assert os.listdir(repo.env["PROTOPRIMER_CACHE_DIR"] + "/uv") == ["lock"]
    repo.env.clear()
    repo.env.update(usual)


# -- helpers ---------------------------------------------------------------------------------------


def told(repo):
    """What the boot said so far."""
    return (repo.home / "stderr").read_text(encoding="utf-8")


def start(repo, is_there, *argv, **options):
    """Boot until a step is reached. Returns the process, whose stderr `told` has."""
    if (repo.home / "pids").exists():
        (repo.home / "pids").unlink()
    with open(str(repo.home / "stderr"), "w") as stderr:
        boot = repo.popen(*argv, stderr=stderr, start_new_session=True, **options)
    assert wait_for(lambda: is_there(repo) or boot.poll() is not None) and boot.poll() is None, told(repo)
    return boot


def running(repo):
    """The processes that the boot started and that are still there, by id."""
    home, found = os.fsencode("HOME=%s\0" % repo.home), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.update([path.parent.name] if home in path.read_bytes() else [])
        except OSError:
            continue
    pids = (repo.home / "pids").read_text().split() if (repo.home / "pids").exists() else ()
    return found.union(filter(is_running, pids))


def is_running(pid):
    try:
        os.kill(int(pid), 0)
        state = Path("/proc", pid, "stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def state_of(repo):
    """What must be the same after a boot that was interrupted."""
    envs = sorted(path.name for path in (repo.path / ".prime" / "envs").iterdir())
    works = subprocess.run([str(repo.path / ".venv" / "bin" / "python"), "-c", "import six"]).returncode == 0
    asides = sorted(str(path) for path in repo.path.rglob("*.tmp"))
    return {"envs": envs, "link": os.readlink(str(repo.path / ".venv")), "works": works, "asides": asides}


def check_end(repo, boot, names, before):
    """Assert that a boot ended as it must which got signals of these names."""
    try:
        boot.wait(timeout=30)
    except subprocess.TimeoutExpired:
        boot.kill()
        boot.wait()
        pytest.fail("it does not end\n" + told(repo))
    finally:
        check_nothing_runs(repo)
    said = told(repo)
    assert boot.returncode in [STATUS[name] for name in names], said
    lines = said.splitlines()
    errors = [line for line in lines if "error:" in line]
    numbers = "|".join(str(int(getattr(signal, name))) for name in names)
    first = r"prime: error: interrupted by signal (%s) \(\w+\); nothing is half-done$" % numbers
    assert re.match(first, lines[-2]), said
    assert errors == lines[-2:-1] and lines[-1].startswith("  hint: to go on: "), said
    assert "Traceback" not in said and "Exception ignored" not in said, said
    assert state_of(repo) == before


def check_nothing_runs(repo):
    """Assert that within 10 s no child or grandchild of a boot is left; those that are do not outlive the test."""
    wait_for(lambda: not running(repo), 10)
    left = running(repo)
    for pid in filter(is_running, left):
        os.kill(int(pid), signal.SIGKILL)
    assert not left, told(repo)


def check_interrupts(repo, step, **options):
    before = state_of(repo)
    with step(repo) as is_there:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            boot = start(repo, is_there, **options)
            boot.send_signal(getattr(signal, name))
            check_end(repo, boot, [name], before)
        boot = start(repo, is_there, **options)
        os.killpg(boot.pid, signal.SIGINT)
        check_end(repo, boot, ["SIGINT"], before)
    repo.prime(**options)
    after = state_of(repo)
    assert after["link"] != before["link"]
    assert len(after["envs"]) == len(before["envs"]) + 1
    assert (repo.current / "proto-prime.json").exists()


# -- each signal in each step ----------------------------------------------------------------------


@pytest.mark.parametrize("step", [probe, selector, lock, post_boot])
def test_B2_signal_in_a_step_that_is_the_same_with_both_drivers(slow, step):
    check_interrupts(slow, step)


@pytest.mark.slow
@pytest.mark.parametrize("step", [create, install])
def test_B2_signal_while_a_driver_works(repo, driver, step):
    check_interrupts(make_slow(repo), step)


@pytest.mark.slow
def test_B2_signal_while_uv_is_fetched(slow):
    slow.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    check_interrupts(slow, fetch)


@pytest.mark.slow
def test_B2_signal_in_the_required_stage(slow):
    others = [path for path in PYTHONS.values() if path != some_python()]
    if not others:
        pytest.skip("one python alone is installed: there is no other to come from")
    check_interrupts(slow, post_boot, python=others[-1])


@pytest.mark.parametrize("count", [1, 3])
def test_B2_signal_while_candidates_are_asked_side_by_side(slow, count):
    for number in range(90, 99):
        slow.program("python3.%d" % number, wrapper(slow, some_python()))
    before = state_of(slow)
    for name in sorted(STATUS):
        boot, started = start(slow, is_slow, "python", ">=3.90", "--all"), time.time()
        for _ in range(count):
            if boot.poll() is None:
                boot.send_signal(getattr(signal, name))
            time.sleep(0.02)
        check_end(slow, boot, [name], before)
        assert time.time() - started < 4, "no need to wait for an answer"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_B2_signal_while_one_stage_replaces_the_other(slow, name):
    others = [path for path in PYTHONS.values() if path != some_python()]
    if not others:
        pytest.skip("one python alone is installed: there is no other to come from")
    before = state_of(slow)
    with post_boot(slow):
        for delay in range(0, 60, 6):
            boot = start(slow, lambda repo: "going on under" in told(repo), "-v", python=others[-1])
            time.sleep(delay / 1000)
            boot.send_signal(getattr(signal, name))
            check_end(slow, boot, [name], before)


def test_B2_signal_that_is_ignored_as_by_nohup_changes_nothing(slow):
    before = state_of(slow)
    with post_boot(slow) as is_there:
        boot = start(slow, is_there, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        boot.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert boot.poll() is None
        for pid in (slow.home / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        boot.wait(timeout=30)
    assert state_of(slow) == before
    assert "interrupted" not in told(slow) and "post_boot: slow failed: signal 9" in told(slow)


# Tells that a program is about to start, and lets it start half a second later.
LATE_START = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int (*real)(const char *, char *const *, char *const *);

__attribute__((constructor)) static void find(void) { *(void **)&real = dlsym(RTLD_NEXT, "execve"); }

int execve(const char *path, char *const argv[], char *const envp[])
{
    if (getenv("LATE") && !strcmp(path, getenv("LATE"))) {
        close(open(getenv("LATE_STARTS"), O_CREAT | O_WRONLY, 0600));
        usleep(500000);
    }
    return real(path, argv, envp);
}
"""


def test_B2_signal_at_the_moment_a_child_starts(slow, tmp_path):
    starts = tmp_path / "starts"
    slow.env.update(LD_PRELOAD=preloaded(tmp_path, LATE_START), LATE=slow.slow, LATE_STARTS=str(starts))
    before = state_of(slow)
    with post_boot(slow):
        boot = start(slow, lambda repo: starts.exists())
        boot.send_signal(signal.SIGTERM)
        check_end(slow, boot, ["SIGTERM"], before)
    slow.prime()


# -- as a terminal does it -------------------------------------------------------------------------


def start_on_terminal(repo):
    """A boot that has a terminal of its own. Returns it and the other end of the terminal."""
    master, terminal = pty.openpty()
    boot = repo.popen(stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(terminal)
    assert wait_for(lambda: is_slow(repo))
    return boot, master


def read_all(master):
    """What was written to a terminal that nobody holds any more."""
    said = b""
    try:
        for chunk in iter(lambda: os.read(master, 1 << 16), b""):
            said += chunk
    except OSError:  # EIO, its end on Linux
        pass
    return said.decode()


def test_B2_interrupt_key(slow):
    before = state_of(slow)
    with post_boot(slow):
        boot, master = start_on_terminal(slow)
        os.write(master, b"\x03")
        assert boot.wait(timeout=30) == 130
        said = read_all(master)
        os.close(master)
    assert said.count("error") == said.count("interrupted by signal 2") == 1
    assert "Traceback" not in said
    check_nothing_runs(slow)
    assert state_of(slow) == before


def test_B2_terminal_that_is_closed(slow):
    before = state_of(slow)
    with post_boot(slow):
        boot, master = start_on_terminal(slow)
        os.close(master)
        assert boot.wait(timeout=30) == 129
    check_nothing_runs(slow)
    assert state_of(slow) == before


LOST = """
import os, signal, sys, weakref
import proto_prime

class Thing:
    pass

def callback(_):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        pass

proto_prime.catch_signals()
thing = Thing()
reference = weakref.ref(thing, callback)
del thing
try:
    proto_prime.run_child(["sleep", "30"])
except proto_prime.Interrupted as problem:
    print(problem.signum)
"""


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_B2_signal_in_a_callback_is_not_lost(wild):
    done = subprocess.run([str(PYTHONS[wild]), "-c", LOST], cwd=str(TOP), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=20)
    assert done.stdout == b"15\n", done.stderr
    if wild not in ("3.6", "3.7"):  # which have no sys.unraisablehook
        assert done.stderr == b""


# -- children that do not end, people who do not wait -----------------------------------------------


@pytest.fixture
def stubborn(plain):
    """A `Repo` as `slow`, but no SIGTERM ends its program."""
    return make_slow(plain, trap='trap "" TERM')


@pytest.mark.slow
def test_B2_child_that_ignores_SIGTERM_is_killed_after_5_seconds(stubborn):
    before = state_of(stubborn)
    with post_boot(stubborn) as is_there:
        boot, started = start(stubborn, is_there), time.time()
        boot.send_signal(signal.SIGINT)
        time.sleep(3)
        assert boot.poll() is None, "no grace"
        check_end(stubborn, boot, ["SIGINT"], before)
        assert 4.5 < time.time() - started < 20


def test_B2_second_signal_ends_at_once_a_child_that_ignores_SIGTERM(stubborn):
    before = state_of(stubborn)
    with post_boot(stubborn) as is_there:
        for names in (["SIGINT", "SIGINT"], ["SIGTERM", "SIGINT"], ["SIGHUP", "SIGTERM"]):
            boot, started = start(stubborn, is_there), time.time()
            for name in names:
                boot.send_signal(getattr(signal, name))
                time.sleep(0.3)
            check_end(stubborn, boot, names, before)
            assert time.time() - started < 3.5
    stubborn.prime()


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0, 0.001, 0.02])
def test_B2_many_signals_leave_no_children_and_nothing_half_made(stubborn, pause):
    before = state_of(stubborn)
    with post_boot(stubborn) as is_there:
        for _ in range(3):
            boot = start(stubborn, is_there)
            for name in ["SIGINT", "SIGTERM", "SIGHUP"] * 10:
                if boot.poll() is None:
                    boot.send_signal(getattr(signal, name))
                time.sleep(pause)
            check_end(stubborn, boot, sorted(STATUS), before)
    stubborn.prime()


# -- at any moment ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_B2_signal_at_any_moment_of_a_boot(repo, driver):
    """From when it is in control until it has published: the old environment, or the new one."""
    make_slow(repo)
    before, ends, delay = state_of(repo), [], 0.0
    repo.config('dependencies = ["idna"]\npost_boot = [["true"]]')
    while not ends or ends[-1] == 143:
        boot = start(repo, lambda repo: "prime: stage wild" in told(repo), "-v")
        time.sleep(delay)
        boot.send_signal(signal.SIGTERM)
        ends.append(boot.wait(timeout=30))
        said = told(repo)
        is_over = "prime: .venv is ready" in said  # and python itself ends
        assert ends[-1] in (0, 143) or is_over, "after %.3f s: %s" % (delay, said)
        assert "Traceback" not in said and "Exception ignored" not in said, said
        check_nothing_runs(repo)
        now = state_of(repo)
        envs = {path.parent.name for path in (repo.path / ".prime" / "envs").glob("*/proto-prime.json")}
        assert set(now["envs"]) == envs, "half-made, after %.3f s" % delay
        if now["link"] == before["link"]:
            assert dict(now, envs=before["envs"]) == before, "after %.3f s" % delay
        delay += 0.04 if driver == "venv_uv" else 0.25
    assert 143 in ends
    assert repo.inside("import idna") == ""
