"""`prime run` is the command itself: from outside all is as if there was no `prime`.

Every test runs four ways: the bare command, `prime run` that becomes it, one that does so without a python, and one
that runs it as a child.
"""

import os
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import Repo, python, some_python
from helpers import preloaded, wait_for

fcntl = pytest.importorskip("fcntl")  # not on Windows, as is the rest
pty = pytest.importorskip("pty")
resource = pytest.importorskip("resource")
termios = pytest.importorskip("termios")

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc to see it in")

# Commands of the user's, written by name below. Each says when it is ready.
PROGRAMS = {
    # Waits for the signals of these names, says which came within 0.1 s, ends with status 7.
    "hear": """\
import os, signal, sys, time
receiver, sender = os.pipe()
os.set_blocking(sender, False)
signal.set_wakeup_fd(sender)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda number, frame: None)
print("ready", flush=True)
heard = os.read(receiver, 9)
time.sleep(0.1)
os.write(sender, b"\\0")
heard += os.read(receiver, 9)
print(" ".join(signal.Signals(number).name for number in heard if number))
sys.exit(7)
""",
    # Ignores the signals of these names, ends with status 5 when its stdin ends.
    "ignore": """\
import signal, sys
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
sys.exit(5)
""",
    # Waits for what ends it; in pieces, since python sleeps over a signal that comes just before it does.
    "linger": """\
import time
print("ready", flush=True)
for _ in range(1000):
    time.sleep(0.1)
""",
    # Prints a number every 20 ms.
    "count": """\
import time
for number in range(10000):
    print("number %d" % number, flush=True)
    time.sleep(0.02)
""",
    # As an editor or a pager: keys as they are typed, the window's size now and whenever it changes.
    "screen": """\
import os, select, signal, sys, termios, tty

def show(*_):
    os.write(1, b"%d columns, %d rows; " % tuple(os.get_terminal_size(0)))

before = termios.tcgetattr(0)
tty.setraw(0)
signal.signal(signal.SIGWINCH, show)
show()
key = b""
while key != b"q":
    while not select.select([0], [], [], 0.1)[0]:
        pass
    key = os.read(0, 1)
    os.write(1, b"key %d; " % ord(key))
termios.tcsetattr(0, termios.TCSADRAIN, before)
sys.exit(6)
""",
}


@pytest.fixture(scope="module")
def warm(tmp_path_factory, shared, wheelhouse):
    """A `Repo` whose environment is current, with the programs above."""
    top = tmp_path_factory.mktemp("run")
    repo = Repo(top / "a repo", top / "home", shared, wheelhouse)
    repo.config()
    repo.prime()
    add_programs(repo, repo.current / "bin")  # `run` names python programs from outside (M2)
    for name in ("sh", "cat", "env", "yes", "bash"):  # sh becomes what stands in the environment alone
        if shutil.which(name):
            (repo.current / "bin" / name).symlink_to(shutil.which(name))
    repo.link("python3", some_python())
    repo.settle()
    repo.prime()
    return repo


def add_programs(repo, directory):
    for name, text in PROGRAMS.items():
        repo.program(name, "#!/usr/bin/env python\n" + text).rename(directory / name)


class Way:
    """A way to start a command in a repo's environment: "bare", "exec", "sh" or "spawn"."""

    def __init__(self, name, repo, wild=None, patience=20):
        self.name, self.repo, self.patience = name, repo, patience
        self.prefix = [] if name == "bare" else [str(wild or some_python()), str(repo.path / "prime"), "run"]
        if name == "sh":
            self.prefix = self.prefix[1:]

    @property
    def env(self):
        """The environment of the caller; where there is no `prime`, one with the repo's environment active."""
        if self.name == "bare":
            inside = str(self.repo.current)
            path = os.path.join(inside, "bin") + os.pathsep + self.repo.env["PATH"]
            return dict(self.repo.env, VIRTUAL_ENV=inside, PATH=path)
        return dict(self.repo.env, PROTOPRIMER_SPAWN="1") if self.name == "spawn" else dict(self.repo.env)

    def start(self, *command, env=None, **options):
        """Start a command, pipes for its stdout and stderr. Returns its Popen, in bytes."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("cwd", str(self.repo.path))
        return subprocess.Popen(self.prefix + list(command), env=env or self.env, bufsize=0, **options)

    def start_ready(self, *command, **options):
        """Start a command and wait until it says that it is ready."""
        process = self.start(*command, **options)
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        return process

    def end(self, process, status, data=None):
        """Assert that a command ends with this status and leaves no process. Returns its stdout and stderr."""
        try:
            stdout, stderr = process.communicate(data, timeout=self.patience)
        except subprocess.TimeoutExpired:
            pytest.fail("it does not end, or leaves a process that holds its pipes")
        assert process.returncode == status, (stdout, stderr)
        self.check_nothing_runs()
        return stdout, stderr

    def run(self, *command, status=0, data=None, **options):
        """Run a command to its end. Returns its stdout and stderr."""
        if data is not None:
            options["stdin"] = subprocess.PIPE
        return self.end(self.start(*command, **options), status, data)

    def becomes_it(self):
        """Skip the test where the command is another process than the one that was started."""
        if self.name == "spawn":
            pytest.skip("nobody hears of it but the process itself, which is the parent")

    def typed(self, *command):
        """The command as it is typed in a shell."""
        return " ".join(shlex.quote(word) for word in self.prefix + list(command))

    def running(self):
        """The ids of the processes that were started in the repo."""
        mark, found = os.fsencode("HOME=%s\0" % self.repo.home), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                found += [int(path.parent.name)] if mark in path.read_bytes() else []
            except OSError:
                continue
        return found

    def check_nothing_runs(self, but=()):
        """Assert that no process is left over, given time to end on a machine that has other work."""
        assert wait_for(lambda: not set(self.running()) - set(but), 10), "it leaves a process"

    def kill_all(self):
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["bare", "exec", "sh", "spawn"])
def way(request, warm):
    """Each `Way` in turn."""
    way = Way(request.param, warm)
    yield way
    way.kill_all()


def bash():
    """The path of bash; skips the test if there is none."""
    found = shutil.which("bash")
    if not found:
        pytest.skip("no bash")
    return found


# -- how it ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status(way, status):
    assert way.run("sh", "-c", "exit %d" % status, status=status) == (b"", b"")


@pytest.mark.parametrize("name", "HUP INT QUIT KILL USR1 SEGV PIPE ALRM TERM RTMIN".split())
def test_death_by_a_signal(way, name):
    number = int(getattr(signal, "SIG" + name))
    assert way.run("sh", "-c", "kill -%d $$" % number, status=-number) == (b"", b"")


@needs_proc
def test_death_by_a_signal_in_a_container_of_its_own(warm):
    alone = ["unshare", "-pf", "--mount-proc"] if os.geteuid() == 0 else ["unshare", "-Urpf", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.call(alone + ["true"], stderr=subprocess.DEVNULL):
        pytest.skip("no process namespace is to be had")
    way = Way("spawn", warm)
    way.prefix = alone + way.prefix  # the first process does not die of signals
    for name in ("TERM", "KILL"):
        way.run("sh", "-c", "kill -%s $$" % name, status=128 + getattr(signal, "SIG" + name))


def test_closed_pipe(way):
    process = way.start("yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(20) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    way.check_nothing_runs()


def test_closed_pipe_of_a_shell(way):
    script = "set -o pipefail; %s | head -n 1; echo ${PIPESTATUS[@]}" % way.typed("yes", "it is so")
    done = subprocess.run([bash(), "-c", script], env=way.env, cwd=str(way.repo.path), stdout=subprocess.PIPE)
    assert done.stdout == b"it is so\n141 0\n"


def test_exit_status_under_a_caller_that_ignores_its_children(way):
    way.run("sh", "-c", "exit 42", status=42, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))


# -- what flows through it -------------------------------------------------------------------------


def test_100_megabytes_through_stdin_and_stdout(way):
    block, count = os.urandom(1 << 20), 100
    process = way.start("cat", stdin=subprocess.PIPE)

    def feed():
        for _ in range(count):
            process.stdin.write(block)
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(process.stdout.fileno(), "rb", closefd=False) as stdout:
        assert all(stdout.read(len(block)) == block for _ in range(count))
        assert stdout.read() == b""
    feeder.join()
    assert process.wait(20) == 0
    assert process.stderr.read() == b""
    way.check_nothing_runs()


def test_stdin_that_was_written_before_the_start_arrives_whole(way):
    data = bytes(range(256)) * 200  # what a pipe holds
    receiver, sender = os.pipe()
    os.write(sender, data)
    os.close(sender)
    with open(receiver, "rb") as stdin:
        assert way.run("cat", stdin=stdin) == (data, b"")


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_stdin_that_the_command_does_not_read_is_left_to_the_next_one(way, tmp_path, kind):
    (tmp_path / "input").write_text("first\nsecond\nthird\n")
    script = "read line; %s; cat" % way.typed("sh", "-c", 'read line; echo "got $line"')
    source = "cat %s | (%s)" if kind == "pipe" else "(exec < %s; %s)"
    script = source % (shlex.quote(str(tmp_path / "input")), script)
    done = subprocess.run(["sh", "-c", script], env=way.env, cwd=str(way.repo.path), stdout=subprocess.PIPE)
    assert done.stdout == b"got second\nthird\n"


def test_dialogue_line_by_line(way):
    process = way.start("cat", stdin=subprocess.PIPE)
    for line in (b'{"id": 1}\n', b"\0\xff\r\n", b"\n"):
        process.stdin.write(line)
        assert process.stdout.readline() == line
    assert way.end(process, 0) == (b"", b"")


def test_stdout_and_stderr_are_the_command_s_alone(way):
    assert way.run("sh", "-c", "printf out; printf err >&2; exit 3", status=3) == (b"out", b"err")


@needs_proc
@pytest.mark.parametrize("closed, left", [("<&-", "1 2"), (">&-", "0 2"), ("2>&-", "0 1"), ("<&- >&- 2>&-", "")])
def test_streams_that_are_closed_stay_closed(way, tmp_path, closed, left):
    look = 'for n in 0 1 2; do test -e /proc/$$/fd/$n && open="$open $n"; done; echo $open > "$0"'
    script = way.typed("sh", "-c", look, str(tmp_path / "told")) + " " + closed
    subprocess.run(["sh", "-c", script], env=way.env, cwd=str(way.repo.path), stdin=subprocess.DEVNULL)
    assert (tmp_path / "told").read_text() == left + "\n"


# -- what it inherits ------------------------------------------------------------------------------


@needs_proc
def test_descriptors_that_are_handed_on_and_no_other(way, tmp_path):
    with open(str(tmp_path / "extra"), "w+") as extra:
        extra.write("what it holds")
        extra.seek(5)
        number = extra.fileno()
        script = "ls /proc/$$/fd; cat <&%d; echo and more >&%d" % (number, number)
        stdout, _ = way.run(bash(), "-c", script, pass_fds=[number])
    assert set(stdout.decode().split()) == {"0", "1", "2", str(number), "it", "holds"}
    assert (tmp_path / "extra").read_text() == "what it holdsand more\n"


LOCALES = [{"LANG": "C.UTF-8"}, {"LANG": "C"}, {}, {"LC_CTYPE": "C.UTF-8"}, {"LC_ALL": "POSIX"}]


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(sum(locale.items(), ())) or "none")
def test_environment(way, locale):
    ours = {name: value for name, value in way.env.items() if name != "LANG"}
    env = dict(ours, **locale, ODD="two\nlines = \udcff", EMPTY="")
    stdout, _ = way.run("env", "-0", env=env)
    told = dict(each.split("=", 1) for each in os.fsdecode(stdout).split("\0")[:-1])
    inside = str(way.repo.current)
    path = os.path.join(inside, "bin") + os.pathsep + way.repo.env["PATH"]
    assert told == dict(env, VIRTUAL_ENV=inside, PATH=path)


@pytest.mark.parametrize("name", ["exec", "sh", "spawn"])
def test_locale_as_the_caller_gave_it(warm, name):
    way = Way(name, warm)
    for given in ({"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LANG": "C"}, {"LC_ALL": "C"}):
        env = {key: value for key, value in way.env.items() if key != "LANG"}
        told = way.run("env", env=dict(env, **given))[0].decode().splitlines()
        kept = dict(line.split("=", 1) for line in told if line.startswith(("LC_", "LANG=")))
        assert kept == given


def test_current_directory_umask_limits_and_priority(way, tmp_path):
    def narrow():
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (123, 234))

    stdout, _ = way.run("sh", "-c", "pwd; umask; nice; ulimit -Sn; ulimit -Hn", cwd=str(tmp_path), preexec_fn=narrow)
    assert stdout.decode().split() == [str(tmp_path), "0027", str(os.nice(0) + 3), "123", "234"]


def test_name_that_it_is_called_by(way):
    assert way.run("sh", "-c", "echo $0") == (b"sh\n", b"")


def test_process_id_group_and_session(way):
    code = "import os; print(os.getpgrp(), os.getsid(0), os.getpid(), os.getppid())"
    process = way.start("python", "-c", code, start_new_session=True)
    stdout, _ = way.end(process, 0)
    told, its = [int(word) for word in stdout.split()], process.pid
    assert told[:2] == [its, its]
    assert told[2:] == [its, os.getpid()] or way.name == "spawn" and told[3] == its


def dispositions(ignored=(), blocked=()):
    """What to do before a command starts: all signals as usual but these."""
    def prepare():
        for number in set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
            signal.signal(number, signal.SIG_DFL)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return prepare


JOB_CONTROL = [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU]
CALLERS = {
    "as usual": ([], []),
    "as by nohup": ([signal.SIGHUP], []),
    "as in the background": ([signal.SIGINT, signal.SIGQUIT], []),
    "as in a container": ([signal.SIGTERM, signal.SIGUSR1] + JOB_CONTROL, []),
    "children ignored": ([signal.SIGCHLD], []),
    "some held back": ([], [signal.SIGUSR1, signal.SIGCHLD]),
    "those that end it held back": ([], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]),
}


@needs_proc
@pytest.mark.parametrize("caller", sorted(CALLERS))
def test_signals_that_are_ignored_and_held_back(way, caller):
    ignored, blocked = CALLERS[caller]
    prepare = dispositions(ignored, blocked)
    stdout, _ = way.run("cat", "/proc/self/status", preexec_fn=prepare, restore_signals=False)
    told = {name: int(mask, 16) for name, mask in re.findall(r"(Sig[BIC]\w+):\s*(\w+)", stdout.decode())}
    if way.name == "sh" and caller == "children ignored":
        ignored = []  # no shell can wait for its children then, so that each takes that back
    assert told == {"SigBlk": mask_of(blocked), "SigIgn": mask_of(ignored), "SigCgt": 0}


def mask_of(numbers):
    return sum(1 << number - 1 for number in numbers)


# -- signals that are sent to it alone -------------------------------------------------------------


@pytest.mark.parametrize("name", "INT TERM HUP QUIT USR1 USR2 ALRM WINCH CONT RTMIN".split())
def test_signal_reaches_the_command_once(way, name):
    process = way.start_ready("hear", "SIG" + name)
    process.send_signal(getattr(signal, "SIG" + name))
    assert way.end(process, 7) == (b"SIG%s\n" % name.encode(), b"")


@pytest.mark.parametrize("name", "INT TERM HUP QUIT USR1 KILL".split())
def test_signal_ends_the_command(way, name):
    if name == "KILL":
        way.becomes_it()
    process = way.start_ready("sh", "-c", "echo ready; exec sleep 100")
    process.send_signal(getattr(signal, "SIG" + name))
    way.end(process, -getattr(signal, "SIG" + name))


@pytest.mark.parametrize("name", "INT TERM HUP QUIT USR1".split())
def test_signal_that_the_command_ignores_does_not_end_it(way, name):
    process = way.start_ready("ignore", "SIG" + name, stdin=subprocess.PIPE)
    process.send_signal(getattr(signal, "SIG" + name))
    time.sleep(0.05)
    assert process.poll() is None
    assert way.end(process, 5) == (b"", b"")


def test_signal_that_is_ignored_by_nohup_does_not_end_it(way):
    command = ["nohup"] + way.prefix + ["sh", "-c", "echo ready; read line; exit 4"]
    process = subprocess.Popen(command, env=way.env, cwd=str(way.repo.path), bufsize=0,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.05)
    assert process.poll() is None
    assert way.end(process, 4, b"\n") == (b"", b"")


@pytest.mark.parametrize("name", "TERM INT HUP".split())
def test_signal_to_the_process_group_reaches_the_command(way, name):
    process = way.start_ready("hear", "SIG" + name, start_new_session=True)
    os.killpg(process.pid, getattr(signal, "SIG" + name))
    stdout, stderr = way.end(process, 7)
    heard = stdout.decode().split()
    if way.name == "spawn":  # once from its parent too, which cannot know who else was meant
        heard = heard[:1]
    assert (heard, stderr) == (["SIG" + name], b"")


@pytest.mark.parametrize("name", ["SIGTSTP", "SIGSTOP"])
def test_stop_and_continue(way, name):
    if name == "SIGSTOP":
        way.becomes_it()
    # In a group of its own: that is not orphaned, for these tests are of the same session and no member of the group.
    process = way.start("count", preexec_fn=lambda: os.setpgid(0, 0))
    assert process.stdout.readline() == b"number 0\n"
    process.send_signal(getattr(signal, name))
    assert stop_of(process) == getattr(signal, name)
    os.set_blocking(process.stdout.fileno(), False)
    time.sleep(0.1)
    process.stdout.read(1 << 16)
    time.sleep(0.1)
    assert not process.stdout.read(1 << 16), "it goes on"
    process.send_signal(signal.SIGCONT)
    assert wait_for(lambda: process.stdout.read(1 << 16), 20), "it does not go on"
    process.send_signal(signal.SIGTERM)
    os.set_blocking(process.stdout.fileno(), True)
    way.end(process, -signal.SIGTERM)


def stop_of(process):
    """The signal that stops a process, within seconds; it is still to be waited for."""
    seen = []

    def is_stopped():
        pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
        seen[:] = [status] if pid else []
        return seen
    assert wait_for(is_stopped, 20), "it is not stopped"
    assert os.WIFSTOPPED(seen[0])
    return os.WSTOPSIG(seen[0])


def test_command_that_stops_itself(way):
    process = way.start("sh", "-c", "kill -STOP $$; echo went on; exit 9")
    assert stop_of(process) == signal.SIGSTOP
    process.send_signal(signal.SIGCONT)
    assert way.end(process, 9) == (b"went on\n", b"")


def test_signal_at_any_moment_of_its_start(way):
    for step in range(30):
        process = way.start("sleep", "100")
        time.sleep(step * 0.0015)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=way.patience)
        assert process.returncode in (-signal.SIGTERM, 143)
        way.check_nothing_runs()


# Sends SIGTERM to `prime` when it is about to become the command, or its child is.
LAST_MOMENT = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int (*real)(const char *, char *const *, char *const *);

__attribute__((constructor)) static void find(void) { *(void **)&real = dlsym(RTLD_NEXT, "execve"); }

int execve(const char *path, char *const argv[], char *const envp[])
{
    if (strstr(path, "/sleep"))
        kill(getenv("PROTOPRIMER_SPAWN") ? getppid() : getpid(), SIGTERM);
    return real(path, argv, envp);
}
"""


def test_signal_at_the_moment_it_becomes_the_command_is_not_lost(way, tmp_path):
    if way.name == "bare":
        pytest.skip("it is the command from the start")
    process = way.start("sleep", "100", env=dict(way.env, LD_PRELOAD=preloaded(tmp_path, LAST_MOMENT)))
    process.communicate(timeout=way.patience)
    assert process.returncode in (-signal.SIGTERM, 143)
    way.check_nothing_runs()


# -- on a terminal ---------------------------------------------------------------------------------


class Terminal:
    """A terminal of its own with a command in its foreground, which leads its session."""

    def __init__(self, command, way):
        self.master, slave = pty.openpty()
        self.resize(24, 80)
        self.unread, self.settings = "", termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            command, env=dict(way.env, TERM="dumb", PS1="$ ", PS2=""), cwd=str(way.repo.path), start_new_session=True,
            stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave, self.is_open = slave, True

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern):
        """Read until a pattern is there, within seconds. Returns all up to its end."""
        end = time.time() + 20
        while not re.search(pattern, self.unread):
            ready = select.select([self.master], [], [], max(0, end - time.time()))[0]
            assert ready, "%r is not in %r" % (pattern, self.unread)
            self.unread += os.read(self.master, 1 << 16).decode()
        place = re.search(pattern, self.unread).end()
        said, self.unread = self.unread[:place], self.unread[place:]
        return said

    def close(self):
        """Hang up."""
        if self.is_open:
            self.is_open = False
            os.close(self.slave)
            os.close(self.master)


@pytest.fixture
def terminal(way):
    """A function that starts a command line on a `Terminal` of its own."""
    made = []

    def start(*command):
        made.append(Terminal(list(command), way))
        return made[-1]

    yield start
    way.kill_all()
    for each in made:
        each.close()
        each.process.wait()


@pytest.fixture
def shell(way):
    """A bash with job control on a `Terminal`."""
    shell = Terminal([bash(), "--norc", "--noprofile", "--noediting", "-i"], way)
    shell.until(r"\$ ")
    yield shell
    way.kill_all()
    shell.close()
    shell.process.wait()


INTERRUPT, QUIT, SUSPEND, END_OF_FILE = "\x03", "\x1c", "\x1a", "\x04"
KEYS = pytest.mark.parametrize("key, name", [(INTERRUPT, "SIGINT"), (QUIT, "SIGQUIT")], ids=["INT", "QUIT"])


@KEYS
def test_key_ends_the_command(way, terminal, key, name):
    it = terminal(*way.prefix, "linger")
    it.until("ready")
    it.type(key)
    assert it.process.wait(20) == -getattr(signal, name)
    way.check_nothing_runs()


@KEYS
def test_key_reaches_a_command_that_handles_it_once(way, terminal, key, name):
    it = terminal(*way.prefix, "hear", name)
    it.until("ready\r\n")
    it.type(key)
    assert it.until(r"\r\n").count(name) == 1
    assert it.process.wait(20) == 7
    way.check_nothing_runs()


@KEYS
def test_key_that_the_command_ignores(way, terminal, key, name):
    it = terminal(*way.prefix, "ignore", name)
    it.until("ready")
    it.type(key)
    time.sleep(0.05)
    it.type(END_OF_FILE)
    assert it.process.wait(20) == 5
    way.check_nothing_runs()


def test_hangup_reaches_the_command(way, terminal):
    log = way.repo.home / "heard"
    script = "trap 'echo HUP >> \"$0\"; exit 6' HUP; echo ready; while :; do sleep 0.02; done"
    it = terminal(*way.prefix, "sh", "-c", script, str(log))
    it.until("ready")
    it.close()
    assert it.process.wait(20) == 6
    way.check_nothing_runs()
    assert log.read_text() == "HUP\n"
    log.unlink()


def test_screen_program(way, terminal):
    it = terminal(*way.prefix, "screen")
    it.until("80 columns, 24 rows; ")
    it.resize(50, 132)
    it.until("132 columns, 50 rows; ")
    for key in (INTERRUPT, SUSPEND, QUIT, END_OF_FILE, "\r", "x"):
        it.type(key)
        it.until("key %d; " % ord(key))
    it.type("q")
    assert it.process.wait(20) == 6
    assert termios.tcgetattr(it.slave) == it.settings
    way.check_nothing_runs()


def test_suspend_jobs_and_foreground(way, shell):
    shell.type(way.typed("count") + "\n")
    shell.until(r"number 2\r\n")
    shell.type(SUSPEND)
    shell.until(r"\[1\]\+ +Stopped .*\r\n\$ ")
    time.sleep(0.1)
    shell.type("jobs\n")
    assert "number" not in shell.until(r"\[1\]\+ +Stopped .*\r\n\$ ")
    shell.type("fg\n")
    shell.until(r"number \d+\r\n")
    shell.type(INTERRUPT)
    shell.until(r"\$ ")
    shell.type("echo status $?\n")
    shell.until(r"\nstatus 130\r\n")
    way.check_nothing_runs(but=[shell.process.pid])


def test_suspend_background_and_kill(way, shell):
    shell.type(way.typed("count") + "\n")
    shell.until(r"number 2\r\n")
    shell.type(SUSPEND)
    shell.until(r"\[1\]\+ +Stopped .*\r\n\$ ")
    shell.type("bg\n")
    shell.until(r"number \d+\r\n")
    shell.type("kill %1; wait %1; echo status $?\n")
    shell.until(r"\nstatus 143\r\n")
    way.check_nothing_runs(but=[shell.process.pid])


def test_command_in_the_background_that_wants_to_read(way, shell):
    shell.type(way.typed("cat") + " &\n")
    shell.type('until [ -n "$(jobs -s)" ]; do sleep 0.02; done; echo stopped\n')
    shell.until(r"(?<!echo )stopped\r\n(.*\r\n)*\$ ")  # the shell's notice may follow, or a blank line and it
    shell.type("fg\n")
    shell.until(r"fg\r\n.*cat\r\n")
    shell.type("a line\n")
    shell.until(r"a line\r\na line\r\n")
    shell.type(END_OF_FILE)
    shell.until(r"\$ ")
    way.check_nothing_runs(but=[shell.process.pid])


def test_command_that_suspends_itself(way, shell):
    shell.type(way.typed("sh", "-c", "kill -TSTP $$; exit 9") + "\n")
    shell.until(r"\[1\]\+ +Stopped .*\r\n\$ ")
    shell.type("fg; echo status $?\n")
    shell.until(r"\nstatus 9\r\n")


LOOP = "for turn in 1 2 3; do %s; echo turn $turn is over; done; echo all is over"


def test_interrupt_ends_a_shell_s_loop_of_commands_that_die_of_it(way, terminal):
    it = terminal(bash(), "-c", LOOP % way.typed("linger"))
    it.until("ready")
    it.type(INTERRUPT)
    assert it.process.wait(20) == -signal.SIGINT
    assert "over" not in it.unread
    way.check_nothing_runs()


def test_interrupt_does_not_end_a_shell_s_loop_of_commands_that_handle_it(way, terminal):
    it = terminal(bash(), "-c", LOOP % way.typed("hear", "SIGINT"))
    for turn in (1, 2, 3):
        it.until("ready")
        it.type(INTERRUPT)
        it.until("turn %d is over" % turn)
    it.until("all is over")
    assert it.process.wait(20) == 0
    way.check_nothing_runs()


# -- after a first boot ----------------------------------------------------------------------------


@pytest.fixture(params=["exec", "spawn"])
def cold(request, plain):
    """Each `Way` in turn, where the environment is still to be made."""
    add_programs(plain, plain.bin)
    cold = Way(request.param, plain, patience=120)
    yield cold
    cold.kill_all()


def require_another_python(cold):
    """Make `prime` go through another python than the one that starts it."""
    cold.repo.config('required_python_version = "3.12"')
    cold.repo.link("python3.12", python("3.12"))
    cold.prefix[0] = str(python("3.11"))


@pytest.mark.parametrize("pythons", ["one python", "two pythons"])
def test_first_boot_leaves_stdin_and_stdout_to_the_command(cold, pythons):
    if pythons == "two pythons":
        require_another_python(cold)
    data = os.urandom(1 << 20)
    stdout, stderr = cold.run("sh", "-c", "cat; echo said >&2; exit 42", data=data, status=42)
    assert stdout == data
    lines = stderr.decode().splitlines()
    assert lines[-1] == "said"
    assert lines[:-1] and all(line.startswith("prime: ") for line in lines[:-1])


@needs_proc
def test_first_boot_of_two_pythons_leaves_descriptors_and_signals_to_the_command(cold, tmp_path):
    require_another_python(cold)
    script = """\
cd /proc/$$/fd; echo *
while read name value; do
    case $name in Sig[BI]*) echo $name $value ;; esac
done < ../status
exec hear SIGTERM"""
    told = {}
    with open(str(tmp_path / "extra"), "w") as extra:
        for way in (cold, Way("bare", cold.repo)):
            process = way.start("sh", "-c", script, pass_fds=[extra.fileno()], preexec_fn=dispositions(),
                                restore_signals=False)
            told[way.name] = list(iter(process.stdout.readline, b"ready\n"))
            process.send_signal(signal.SIGTERM)
            assert way.end(process, 7)[0] == b"SIGTERM\n"
    assert told[cold.name] == told["bare"]


def test_first_boot_of_two_pythons_ends_by_the_signal_that_ends_the_command(cold):
    require_another_python(cold)
    cold.run("sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)
