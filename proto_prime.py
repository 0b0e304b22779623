#!/usr/bin/env python3
# MIT License
#
# Copyright (c) 2026 the proto_prime contributors
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
# associated documentation files (the "Software"), to deal in the Software without restriction,
# including without limitation the rights to use, copy, modify, merge, publish, distribute,
# sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
# furnished to do so, subject to the following conditions:
#
# The above copyright notice and this permission notice shall be included in all copies or
# substantial portions of the Software.
#
# THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
# NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
# NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
# DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
# OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""Take a repo from any python to the python and the dependencies that it requires.

Usage: ./prime -v, or python3 proto_prime.py -v. What it does, stage by stage:

    wild       whatever python started this file: reads the config, selects an executable
    required   the selected python: makes the environment with uv or with pip, publishes it
    venv       the environment's python, or the program that was asked for, takes over

Each stage replaces the process before it (os.execve), and PROTOPRIMER_PY_EXEC tells this file that it
runs in a later one. A stage that is not needed is skipped: a repo with nothing to do takes one hop, from
wild to the command.
The chapters below stand in the order in which they need each other; the command line comes last.
"""

import os
import sys

__version__ = "0.1.0"

SCHEMA = 1  # of stamps, generations and JSON output; part of every generation's key
STAGES = ("wild", "required", "venv")
OLDEST_PYTHON = (3, 6)  # that this file runs on, and that an environment may have
OLDEST_UV_PYTHON = (3, 8)  # that may deploy uv: its wheel says Requires-Python >= 3.8

PY_EXEC = "PROTOPRIMER_PY_EXEC"  # "<stage>:<ref root>", internal
ENV_VAR = "PROTOPRIMER_ENV"
ROOT_VAR = "PROTOPRIMER_ROOT"
PYTHON_VAR = "PROTOPRIMER_PYTHON"
DRIVER_VAR = "PROTOPRIMER_VENV_DRIVER"
CACHE_VAR = "PROTOPRIMER_CACHE_DIR"
STATE_VAR = "PROTOPRIMER_STATE_DIR"
OFFLINE_VAR = "PROTOPRIMER_OFFLINE"
SPAWN_VAR = "PROTOPRIMER_SPAWN"
LOG_VAR = "PROTOPRIMER_LOG_LEVEL"

WINDOWS = os.name == "nt"
BIN = "Scripts" if WINDOWS else "bin"
EXE = ".exe" if WINDOWS else ""


# --------------------------------------------------------------------------------------------------
# Errors and reporting
# --------------------------------------------------------------------------------------------------


class PrimeError(Exception):
    """What a user can cause and mend: printed as a few lines, never as a traceback.

    message  what failed, with the file or the value it failed on
    where    where that came from, such as "pyproject.toml, line 3"; printed in parentheses
    tried    lines that say what was tried
    hint     what to do about it
    status   exit status: 1 failed, 2 wrong usage or config, 126 and 127 as in a shell
    """

    def __init__(self, message, where="", tried=(), hint="", status=1):
        super().__init__(message)
        self.message, self.where, self.tried = message, where, list(tried)
        self.hint, self.status = hint, status

    def __str__(self):
        return "%s (%s)" % (self.message, self.where) if self.where else self.message


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came; like KeyboardInterrupt not an Exception."""

    def __init__(self, signum):
        super().__init__(signum)
        self.signum = signum


class Reporter:
    """The one voice: what is for people goes to stderr and to the log, never to stdout."""

    def __init__(self):
        self.verbosity = 0  # -1 errors alone, 0 notices, 1 decisions and commands, 2 the children's output
        self.log, self.unlogged = None, []  # type: ignore[var-annotated]
        self.step_title, self.step_start, self.is_live = "", 0.0, False

    def note(self, text):
        """A line for everybody who did not ask for quiet."""
        self._say("prime: " + text, 0)

    def detail(self, text):
        """A line for -v: a stage, a decision with its reason, a child command."""
        self._say("prime: " + text, 1)

    def error(self, error):
        """A PrimeError, with what was tried and a hint."""
        lines = ["prime: %s %s" % (self._paint("error:", "31"), error)]
        lines += ["  " + line for line in error.tried]
        lines += ["  %s %s" % (self._paint("hint:", "36"), error.hint)] if error.hint else []
        self._say("\n".join(lines), -1)

    def output(self, data):
        """Bytes that a child printed: to the log always, to stderr with -vv."""
        self._write(data.decode("utf-8", "backslashreplace"), 2)

    def step(self, title):
        """Announce long work: with a plain line, on a terminal with a live one until `done`."""
        import time

        self.step_title, self.step_start = title, time.time()
        self.is_live = self.verbosity == 0 and self._is_terminal()
        if not self.is_live:
            self.note(title)

    def tick(self):
        """Renew the live line; called some ten times a second while a child works."""
        if self.is_live:
            import shutil
            import time

            line = "prime: %s %.0f s" % (self.step_title, time.time() - self.step_start)
            self._show("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])

    def done(self):
        """End the live line, if there is one."""
        if self.is_live:
            self._show("\r\x1b[K")
            self.is_live = False

    def open_log(self, directory):
        """Send all that follows to a new file in `directory` too, and keep the newest five."""
        import time

        name = time.strftime("%Y%m%d-%H%M%S") + "-%d.log" % os.getpid()
        try:
            os.makedirs(directory, exist_ok=True)
            for old in sorted(each for each in os.listdir(directory) if each.endswith(".log"))[:-4]:
                os.remove(os.path.join(directory, old))
            self.log = open(os.path.join(directory, name), "a", encoding="utf-8", errors="backslashreplace")
            self.log.write("".join(self.unlogged))
        except OSError as problem:  # a log is a courtesy: work goes on without
            self.detail("no log: %s" % problem)

    def _say(self, text, level):
        if self.verbosity >= level:
            self.done()
        self._write(text + "\n", level)

    def _write(self, text, level):
        try:
            if self.log:
                self.log.write(text)
                self.log.flush()
            else:
                self.unlogged.append(text)  # what led to a build is part of its log
        except OSError:
            self.log = None
        if self.verbosity >= level:
            self._show(text)

    def _show(self, text):
        try:
            if sys.stderr is not None:  # E7: it may be closed
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            pass

    def _is_terminal(self):
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _paint(self, text, colour):
        is_wanted = not os.environ.get("NO_COLOR") and self._is_terminal()
        return "\x1b[%sm%s\x1b[0m" % (colour, text) if os.environ.get("FORCE_COLOR") or is_wanted else text


report = Reporter()


def emit(text):
    """Write data to stdout, paths byte for byte as the file system gave them (E10: any locale)."""
    if sys.stdout is None:  # E7
        raise PrimeError("stdout is closed, and this command prints")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError:  # closed or full: what is left would be written, and fail, once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise


def as_json(value):
    """Indented JSON text of a value, with a line end."""
    import json

    return json.dumps(value, indent=2, default=list) + "\n"


def tilde(path):
    """`path` as people write it: what is below the home directory with ~."""
    home = os.environ.get("HOME", "")
    return "~" + path[len(home):] if home.strip("/") and path.startswith(home + os.sep) else path


# --------------------------------------------------------------------------------------------------
# Files and children
# --------------------------------------------------------------------------------------------------


def load_text(path):
    """The text of a UTF-8 file, less a byte order mark; PrimeError if it cannot be had."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8-sig")
    except OSError as problem:
        raise PrimeError("cannot read %s: %s" % (path, problem.strerror), status=2)
    except UnicodeDecodeError as problem:
        raise PrimeError("cannot read %s: it is not UTF-8 (%s)" % (path, problem), status=2)


def write_atomic(path, data):
    """Write bytes so that a reader, or a crash, finds the old file or the new one, whole."""
    aside = "%s.%d.tmp" % (path, os.getpid())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.replace(aside, path)
    except BaseException:
        remove(aside)
        raise


def remove(path):
    """Remove a file, link or tree if it is there."""
    try:
        os.rmdir(path)  # an empty directory, or a junction, which is no link to python
        return
    except OSError:
        pass
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def hash_bytes(data):
    """SHA-256 of bytes, in hex. Not from `hashlib`, which takes milliseconds to load OpenSSL."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found]
        except ImportError:  # PyPy
            from hashlib import sha256
    return sha256(data).hexdigest()


def hash_file(path):
    """SHA-256 of a file's bytes in hex; "" if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hash_bytes(file.read())
    except OSError:
        return ""


def digest(value):
    """A short hash of a JSON value, the same on every python."""
    import json

    return hash_bytes(json.dumps(value, sort_keys=True, default=list).encode())[:12]


def signature(path):
    """What `stat` knows of a file's content, as a str; "-" if there is no file. Equal means unchanged.

    Inode and ctime tell a file that was replaced by one of equal size and mtime (T7).
    """
    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return "-"
    return "%d.%d.%d.%d" % (st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)


class locked:
    """Hold the lock file at `path` inside `with`; the system drops it when its holder dies.

    Waits without limit, and says once for whom; `purpose` is what others are told of us.
    """

    def __init__(self, path, purpose):
        self.path, self.purpose = path, purpose

    def __enter__(self):
        import time

        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.file = open(self.path, "a+b", buffering=0)
            has_told = False
            while not self._try():
                if not has_told:
                    self.file.seek(0)
                    report.note("waiting for %s" % (self.file.read(200).decode("utf-8", "replace") or "another prime"))
                has_told = True
                time.sleep(0.05)
        except OSError as problem:  # B4
            raise PrimeError("cannot lock %s: %s" % (self.path, problem.strerror),
                             hint="%s names another place for what this repo keeps" % STATE_VAR)
        self.file.truncate(0)
        self.file.write(("process %d: %s" % (os.getpid(), self.purpose)).encode())
        return self

    def __exit__(self, *_):
        self.file.truncate(0)
        self.file.close()

    def _try(self):
        try:
            if WINDOWS:
                import msvcrt

                self.file.seek(1 << 20)  # beyond the text, so that others can read it
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            return False


# What binds an interpreter to another one's environment or files (bpo-35811; facts, trap 2).
FOREIGN_VARS = (PY_EXEC, "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "PYTHONHOME", "VIRTUAL_ENV",
                "VIRTUAL_ENV_PROMPT")
# A pyenv shim sets these for what it starts, and every other shim fails of them (facts, trap 4).
SHIM_VARS = ("PYENV_DIR", "PYENV_VERSION", "PYENV_HOOK_PATH")
# What would send an install elsewhere (E3).
TOOL_VARS = """CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_PYTHON PIP_REPORT
PIP_REQUIRE_VIRTUALENV UV_PROJECT UV_WORKING_DIR UV_WORKING_DIRECTORY UV_PYTHON UV_PYTHON_PREFERENCE
UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT UV_FROZEN UV_LOCKED
UV_BREAK_SYSTEM_PACKAGES UV_NO_SYNC UV_VENV_SEED UV_VENV_CLEAR""".split()


def clean_environ(for_tool=False):
    """A copy of the environment that is fit for another interpreter.

    For the user's commands only `FOREIGN_VARS` are left out. For tools and probes `TOOL_VARS` go as
    well, and every PYTHON*, since a bogus one kills the start in spite of -E and -I (facts, trap 2).
    """
    environ = dict(os.environ)
    dropped = list(FOREIGN_VARS) + list(SHIM_VARS if "PYENV_DIR" in environ else ())
    if for_tool:
        dropped += TOOL_VARS + [name for name in environ if name.startswith("PYTHON")]
    for name in dropped:
        environ.pop(name, None)
    return environ


def activated(prefix, env_vars=()):
    """The environment of a user's command inside the environment directory `prefix`."""
    environ = clean_environ()
    search = environ.get("PATH", os.defpath)
    environ["VIRTUAL_ENV"] = prefix
    environ["PATH"] = os.path.join(prefix, BIN) + (os.pathsep + search if search else "")
    environ.update(env_vars)
    return environ


class Child:
    """What became of a child: `status` (negative for a signal), bytes, `problem` if it was cut short."""

    def __init__(self, status, stdout=b"", stderr=b"", problem=""):
        self.status, self.stdout, self.stderr, self.problem = status, stdout, stderr, problem

    @property
    def has_failed(self):
        return bool(self.status or self.problem)

    def tail(self, lines=12):
        """The last non-blank lines that it printed, on stderr rather than on stdout."""
        text = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "backslashreplace")
        text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    def __str__(self):
        if self.problem:
            return self.problem
        how = "signal %d" % -self.status if self.status < 0 else "exit status %d" % self.status
        said = self.tail()  # a traceback says it last, a shell that finds nothing says it first
        return ": ".join(["failed", how] + (said[:1] if self.status in (126, 127) else said[-1:]))


OUTPUT_CAP = 1 << 16  # bytes kept of each stream; the log has the rest
_live = set()  # type: set  # the children that run now


def run_child(argv, environ=None, cwd=os.sep, timeout=None, until=b"", is_logged=False):
    """Run a program to its end, stdin closed, in a process group of its own. Returns a `Child`.

    environ    dict; default: a clean one for tools
    timeout    seconds, after which the group is killed and the child's `problem` says so
    until      bytes on stdout that end the answer: the group is killed then, for what a shim leaves
               behind would keep the pipe open
    is_logged  its output goes to the log as it comes
    What cannot be started has status 126 or 127 and a `problem`.
    """
    import queue
    import subprocess
    import threading
    import time

    report.detail("run: " + shown(argv))
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            env=clean_environ(for_tool=True) if environ is None else environ, start_new_session=True)
    except (OSError, ValueError) as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        return Child(status, problem="cannot be started: %s" % (getattr(error, "strerror", "") or error))
    _live.add(process)
    chunks, kept = queue.Queue(), {process.stdout: b"", process.stderr: b""}  # type: queue.Queue, dict
    for pipe in kept:
        threading.Thread(target=_drain, args=(pipe, chunks), daemon=True).start()
    deadline, has_finished = time.monotonic() + (timeout or float("inf")), False
    try:
        has_finished = _follow(process, chunks, kept, deadline, until, is_logged)
    finally:
        if not has_finished or until:
            end_group(process, grace=0 if until or timeout else 5)
        _live.discard(process)
    problem = "" if has_finished else "gave no answer within %d s" % timeout
    return Child(process.wait(), kept[process.stdout], kept[process.stderr], problem)


def _drain(pipe, chunks):
    """Read a pipe to its end, which b"" tells."""
    chunk = b"-"
    while chunk:
        chunk = os.read(pipe.fileno(), OUTPUT_CAP)
        chunks.put((pipe, chunk))


def _follow(process, chunks, kept, deadline, until, is_logged):
    """Keep what a child prints. True when it has ended or has answered, False when its time is over."""
    import queue
    import time

    open_pipes = len(kept)
    while open_pipes or not until and process.poll() is None:
        report.tick()
        if time.monotonic() >= deadline:
            return False
        has_ended = process.poll() is not None
        try:
            pipe, chunk = chunks.get(timeout=0.1 if open_pipes else 0.002)
        except queue.Empty:
            if has_ended:  # and a grandchild holds its pipes
                break
            continue
        if is_logged:
            report.output(chunk)
        open_pipes -= not chunk
        kept[pipe] = (kept[pipe] + chunk)[-OUTPUT_CAP:]
        if until and until in kept[process.stdout]:
            break
    return True


def end_group(process, grace):
    """End a child with all its children: SIGTERM, `grace` seconds, SIGKILL."""
    import signal
    import subprocess

    if WINDOWS:
        process.kill()
        return
    for signum in ([signal.SIGTERM] if grace else []) + [signal.SIGKILL]:
        try:
            os.killpg(process.pid, signum)
            process.wait(grace)
        except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            pass


def shown(argv):
    """A command as a POSIX shell would need it, on one line and without passwords."""
    import re
    import shlex

    words = (shlex.quote(word) if "\n" not in word else "'...'" for word in argv)
    return re.sub(r"://[^/@\s]+@", "://***@", " ".join(words))


def replace_process(argv, environ):
    """Become another program (os.execve); where that is not to be had, run it and end as it does.

    `argv[0]` is a path. OSError if it cannot be run.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if not WINDOWS and not is_on(SPAWN_VAR):
        import _signal  # type: ignore[import-not-found]  # built in, while `signal` imports enum

        # Python ignores these two, and what is ignored stays so across execve (bpo-1652).
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
        os.execve(argv[0], argv, environ)
    import signal
    import subprocess

    process = subprocess.Popen(argv, env=environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child as well
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda signum, _: process.send_signal(signum))
    status = process.wait()
    if status < 0:  # end by the same signal, so that our parent sees what it would have seen
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def find_program(name, search=None):
    """The path of program `name` on the search path (default: PATH), `name` itself if a path; else ""."""
    if os.path.dirname(name):
        return name
    suffixes = os.environ.get("PATHEXT", EXE).lower().split(os.pathsep) + [""] if WINDOWS else [""]
    for directory in (os.environ.get("PATH", os.defpath) if search is None else search).split(os.pathsep):
        for suffix in suffixes:
            found = os.path.join(directory or os.curdir, name + suffix)
            if os.path.isfile(found) and os.access(found, os.X_OK):
                return found
    return ""


def home_dir():
    """The user's home directory; without one a place below the temporary directory (E7)."""
    try:
        home = os.path.expanduser("~")
    except KeyError:  # 3.6, a user without an entry
        home = ""
    return home if os.path.isabs(home) else os.path.join(os.environ.get("TMPDIR", "/tmp"), "home-%d" % os.getuid())


def cache_dir(*names):
    """A path in the user's cache (XDG base directories; on macOS and Windows their own)."""
    home, base = home_dir(), os.environ.get(CACHE_VAR)
    if not base:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
        if WINDOWS:
            base = os.environ.get("LOCALAPPDATA") or home
        elif sys.platform == "darwin":
            base = os.path.join(home, "Library", "Caches")
        base = os.path.join(base, "proto_prime")
    return os.path.join(os.path.abspath(base), *names)


def is_on(variable):
    """Whether an environment variable is set to what means yes."""
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


def is_offline():
    """Whether the user asked that no socket be opened."""
    return is_on(OFFLINE_VAR)


# --------------------------------------------------------------------------------------------------
# TOML
# --------------------------------------------------------------------------------------------------
# A reader takes the source and a position in it, and returns the position behind what it read, and the value.
# Only TomlTable keeps state, since the lines before decide what a key may still define.


class TomlError(ValueError):
    """Text that is not TOML: `message` says what is wrong, `line` and `column` (both from 1) say where."""

    def __init__(self, message, line, column):
        ValueError.__init__(self, message, line, column)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self):
        return "%s (line %d, column %d)" % (self.message, self.line, self.column)


def parse_toml(text):
    """Return what the TOML document `text` holds, read by `tomllib` where Python has it (3.11 and later).

    Argument, result, error and source are those of `read_toml`: parse_toml("a = 1") is {"a": 1}.
    """
    try:
        import tomllib
    except ImportError:
        return read_toml(text)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return read_toml(text)  # which says what is wrong and where, in the same words on every python


def read_toml(text):
    """Return what the TOML document `text` holds, without the help of `tomllib`.

    text: str, decoded and without a byte order mark.
    Result: dict of str to str, int, float, bool, list, dict, and date, time, datetime of module `datetime`;
    equal to the result of `tomllib.loads` in value, type and order.
    Error: TomlError, with the line and column of the first mistake.
    Source: https://toml.io/en/v1.0.0
    """
    src = text.replace("\r\n", "\n")
    root = section = TomlTable()
    pos = skip_lines(src, 0)
    while pos < len(src):
        try:
            pos, section = read_statement(src, pos, root, section)
        except RecursionError:
            raise locate_toml_error(src, pos, "a value is nested too deep") from None
        pos = skip_lines(src, pos)
    return root.values


def locate_toml_error(src, pos, message):
    """Return the TomlError for a mistake at `pos`."""
    return TomlError(message, src.count("\n", 0, pos) + 1, pos - src.rfind("\n", 0, pos))


class TomlTable:
    """A table that statements, not a value, made: headers and dotted keys may still extend it.

    values: the dict handed to the caller.
    tables: the TomlTable of each entry in `values` that statements made, for an array of tables its last one.
    Any other entry is a value and closed for good, which holds for inline tables and static arrays too.
    owner: the section (TomlTable of a header) that defined this table, None while it is but a parent.
    The methods raise KeyError for what TOML forbids.
    """

    def __init__(self):
        self.values = {}
        self.tables = {}
        self.owner = None

    def enter(self, key):
        """Return the table under `key`, made when missing."""
        if key not in self.values:
            self.tables[key] = TomlTable()
            self.values[key] = self.tables[key].values
        return self.tables[key]

    def define(self, key):
        """Return the table under `key` for the section that a header [key] begins."""
        table = self.enter(key)
        if table.owner is not None:
            raise KeyError(key)
        table.owner = table
        return table

    def append(self, key):
        """Return a new table at the end of the array under `key`, for the section that [[key]] begins."""
        if key not in self.values:
            self.values[key] = []
        elif key not in self.tables or not isinstance(self.values[key], list):
            raise KeyError(key)
        table = self.tables[key] = TomlTable()
        table.owner = table
        self.values[key].append(table.values)
        return table

    def put(self, keys, value):
        """Store `value` under the dotted key `keys`, a statement of the section that this table is."""
        table = self
        for key in keys[:-1]:
            table = table.enter(key)
            if table.owner not in (None, self):
                raise KeyError(key)
            table.owner = self
        if keys[-1] in table.values:
            raise KeyError(keys[-1])
        table.values[keys[-1]] = value


def read_statement(src, pos, root, section):
    """Read a line with a header or a key and its value; return the section that the next line is in."""
    if src.startswith("[", pos):
        pos, section = read_header(src, pos, root)
    else:
        pos = read_pair(src, pos, section)
    pos = match_toml("comment", src, pos).end()
    if src[pos:pos + 1] not in ("", "\n"):
        raise locate_toml_error(src, pos, "expected the end of the line")
    return pos, section


def read_header(src, pos, root):
    """Read [table] or [[array of tables]]; return the section that it begins."""
    is_array = src.startswith("[[", pos)
    start = skip_blank(src, pos + 1 + is_array)
    pos, keys = read_keys(src, start)
    pos = skip_token(src, pos, "]]" if is_array else "]", "at the end of a table header")
    try:
        table = root
        for key in keys[:-1]:
            table = table.enter(key)
        return pos, table.append(keys[-1]) if is_array else table.define(keys[-1])
    except KeyError:
        raise locate_toml_error(src, start, "%s is already defined" % ".".join(keys)) from None


def read_pair(src, pos, table):
    """Read a key and its value into `table`, return the position behind them."""
    start = pos
    pos, keys = read_keys(src, pos)
    pos = skip_token(src, pos, "=", "after a key")
    pos, value = read_value(src, skip_blank(src, pos))
    try:
        table.put(keys, value)
    except KeyError:
        raise locate_toml_error(src, start, "%s is already defined" % ".".join(keys)) from None
    return pos


def read_keys(src, pos):
    """Read a dotted key as a list of str, and the blanks behind it."""
    keys = []  # type: list
    while not keys or src.startswith(".", pos):
        pos, key = read_key(src, skip_blank(src, pos + bool(keys)))
        keys.append(key)
        pos = skip_blank(src, pos)
    return pos, keys


def read_key(src, pos):
    """Read one part of a key, bare or quoted, as a str."""
    if src.startswith(('"', "'"), pos):
        return read_text(src, pos + 1, src[pos])
    bare = match_toml("bare key", src, pos)
    if bare is None:
        raise locate_toml_error(src, pos, "expected a key")
    return bare.end(), bare.group()


def read_value(src, pos):
    """Read any value: a str, int, float, bool, list, dict, or an object of `datetime`."""
    readers = {'"': read_string, "'": read_string, "[": read_array, "{": read_inline_table}
    return readers.get(src[pos:pos + 1], read_scalar)(src, pos)


def read_array(src, pos):
    """Read an array as a list."""
    values = []
    pos = skip_lines(src, pos + 1)
    while not src.startswith("]", pos):
        pos, value = read_value(src, pos)
        values.append(value)
        pos = skip_lines(src, pos)
        if not src.startswith("]", pos):
            pos = skip_lines(src, skip_token(src, pos, ",", 'or "]" in an array'))
    return pos + 1, values


def read_inline_table(src, pos):
    """Read an inline table as a dict."""
    table = TomlTable()
    pos = skip_blank(src, pos + 1)
    if src.startswith("}", pos):
        return pos + 1, table.values
    while True:
        pos = skip_blank(src, read_pair(src, pos, table))
        if src.startswith("}", pos):
            return pos + 1, table.values
        pos = skip_blank(src, skip_token(src, pos, ",", 'or "}" in an inline table'))


def read_string(src, pos):
    """Read a string of any of the four kinds."""
    quote = src[pos]
    if not src.startswith(quote * 3, pos):
        return read_text(src, pos + 1, quote)
    pos += 3
    return read_text(src, pos + src.startswith("\n", pos), quote * 3)


def read_text(src, pos, quotes):
    """Read what is left of a string behind its opening `quotes`."""
    parts = []
    while True:
        plain = match_toml(quotes, src, pos)
        parts.append(plain.group())
        pos = plain.end()
        if src.startswith(quotes, pos):
            return pos + len(quotes), "".join(parts)
        if not src.startswith("\\", pos):
            found = repr(src[pos]) if pos < len(src) else "the end"
            raise locate_toml_error(src, pos, "expected %s before %s" % (quotes, found))
        pos, part = read_escape(src, pos, quotes)
        parts.append(part)


def read_escape(src, pos, quotes):
    """Read an escape sequence as the character it means, a backslash at the end of a line as nothing."""
    line_end = match_toml("escaped line end", src, pos)
    if line_end and quotes == '"""':
        return line_end.end(), ""
    escape = match_toml("escape", src, pos)
    if escape is None:
        raise locate_toml_error(src, pos, "unknown escape sequence in a string")
    letter, digits = escape.group(1), escape.group(2) or escape.group(3)
    if letter:
        return escape.end(), dict(zip('btnfr"\\', '\b\t\n\f\r"\\'))[letter]
    code = int(digits, 16)
    if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        raise locate_toml_error(src, pos, "escape sequence of what is not a Unicode character")
    return escape.end(), chr(code)


def read_scalar(src, pos):
    """Read a value without parts: a number, a boolean, a date or a time."""
    makers = (("date", make_date), ("time", make_time), ("float", float),
              ("integer", lambda digits: int(digits, 0)), ("boolean", lambda word: word == "true"))
    for kind, make in makers:
        found = match_toml(kind, src, pos)
        if found is None:
            continue
        try:
            return found.end(), make(*found.groups())
        except ValueError as error:
            raise locate_toml_error(src, pos, "invalid %s: %s" % (kind, error)) from None
    raise locate_toml_error(src, pos, "expected a value")


def make_date(year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes):
    """Return a date, or a datetime if there is an hour."""
    import datetime
    date = datetime.date(int(year), int(month), int(day))
    if hour is None:
        return date
    time = make_time(hour, minute, second, fraction)
    if zone:
        offset = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        time = time.replace(tzinfo=datetime.timezone(-offset if sign == "-" else offset))
    return datetime.datetime.combine(date, time)


def make_time(hour, minute, second, fraction):
    """Return a time; what is finer than a microsecond is cut off."""
    import datetime
    return datetime.time(int(hour), int(minute), int(second), int((fraction or "").ljust(6, "0")))


def skip_blank(src, pos):
    """Return the position behind spaces and tabs."""
    return match_toml("blank", src, pos).end()


def skip_lines(src, pos):
    """Return the position behind blanks, line ends and comments."""
    return match_toml("lines", src, pos).end()


def skip_token(src, pos, token, where):
    """Return the position behind `token`, which must be at `pos`."""
    if src.startswith(token, pos):
        return pos + len(token)
    raise locate_toml_error(src, pos, 'expected "%s" %s' % (token, where))


def match_toml(kind, src, pos):
    """Return the match of the pattern `kind` at `pos`, or None."""
    if not _TOML_COMPILED:
        import re
        _TOML_COMPILED.update({name: re.compile(pattern) for name, pattern in list_toml_patterns().items()})
    return _TOML_COMPILED[kind].match(src, pos)


_TOML_COMPILED = {}  # type: dict  # filled on first use: importing this file must not load `re`


def list_toml_patterns():
    """Return the regular expression for each kind of token; plain text is named by the quotes around it."""
    control = r"\x00-\x08\x0a-\x1f\x7f"
    control_but_newline = r"\x00-\x08\x0b-\x1f\x7f"
    comment = "#[^%s]*" % control
    digits = "[0-9](?:_?[0-9])*"
    decimal = "[+-]?(?:0|[1-9](?:_?[0-9])*)"
    exponent = "[eE][+-]?" + digits
    date = "([0-9]{4})-([0-9]{2})-([0-9]{2})"
    time = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6})[0-9]*)?"
    zone = "([Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
    # The last three quotes of up to five close a string, those before them belong to its text.
    inner_quote = "{0}(?!{0}{0}(?!{0})|{0}{{5}})"
    return {
        "blank": r"[ \t]*",
        "lines": r"(?:[ \t\n]+|%s)*" % comment,
        "comment": r"[ \t]*(?:%s)?" % comment,
        "bare key": "[A-Za-z0-9_-]+",
        "'": "[^'%s]*" % control,
        '"': r'[^"\\%s]*' % control,
        "'''": "(?:[^'%s]+|%s)*" % (control_but_newline, inner_quote.format("'")),
        '"""': r'(?:[^"\\%s]+|%s)*' % (control_but_newline, inner_quote.format('"')),
        "escape": r'\\(?:([btnfr"\\])|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))',
        "escaped line end": r"\\[ \t]*\n[ \t\n]*",
        "date": "%s(?:[Tt ]%s%s)?" % (date, time, zone),
        "time": time,
        "float": r"([+-]?(?:inf|nan)|%s(?:\.%s(?:%s)?|%s))" % (decimal, digits, exponent, exponent),
        "integer": "(0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*|%s)" % decimal,
        "boolean": "(true|false)",
    }


# --------------------------------------------------------------------------------------------------
# Versions and requests
# --------------------------------------------------------------------------------------------------

VERSION = r"""v? (?:(?P<epoch>\d+)!)? (?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>\d*))?
    (?:-(?P<dash_post>\d+) | [-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>\d*))?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$"""
PRE_PHASES = {"a": 0, "alpha": 0, "b": 1, "beta": 1}  # every other spelling means a release candidate
OPERATORS = ("~=", "===", "==", "!=", "<=", ">=", "<", ">")
BLANKS = " \t\r\n\f\v"
IMPLEMENTATIONS = ("cpython", "pypy", "graalpy")
REQUEST_FORMS = (
    'a version ("3", "3.12", "3.12.3", "312", "3.13t")',
    'specifiers (">=3.11,<3.14", "~=3.12", "==3.12.*")',
    'an implementation ("cpython", "pypy@3.11")',
    'a path, or the name of a python on PATH ("python3.12")',
)


class Version:
    """A version by PEP 440; prints as it was written.

    release        tuple of int
    base           (epoch, release without trailing zeros): what its pre- and post-releases share
    key            sorts as PEP 440 says, dev < pre < the release itself < post; local versions are equal
    is_prerelease  whether it is a pre- or dev release; `is_post` likewise
    """

    def __init__(self, text):
        import re

        match = re.match(VERSION, text.strip(BLANKS).lower(), re.VERBOSE | re.ASCII)
        if not match:
            raise PrimeError('"%s" is not a version' % text, status=2)
        part = match.groupdict()
        self.text, self.local = text.strip(BLANKS), (part["local"] or "").replace("-", ".").replace("_", ".")
        self.release = tuple(int(number) for number in part["release"].split("."))
        self.is_prerelease = bool(part["pre"] or part["dev"])
        self.is_post = bool(part["post"] or part["dash_post"])
        stripped = self.release
        while stripped and not stripped[-1]:
            stripped = stripped[:-1]
        self.base = int(part["epoch"] or 0), stripped
        pre = (-1, 0) if part["dev"] and not self.is_post else (3, 0)
        if part["pre"]:
            pre = PRE_PHASES.get(part["pre"], 2), int(part["pre_n"] or 0)
        post = int(part["dash_post"] or part["post_n"] or 0) if self.is_post else -1
        self.key = self.base, pre, post, int(part["dev_n"] or 0) if part["dev"] else float("inf")

    def __str__(self):
        return self.text

    def final(self):
        """The release X.Y.Z that this is, or will become."""
        return Version(".".join(map(str, self.release + (0,) * (3 - len(self.release)))))

    def starts_with(self, epoch, prefix):
        """Whether epoch and first numbers are these."""
        padded = self.release + (0,) * len(prefix)
        return self.base[0] == epoch and padded[: len(prefix)] == prefix


class Clause:
    """One comparison of a specifier, such as `>=3.8` or `==3.12.*` (PEP 440)."""

    def __init__(self, text):
        self.text = text.strip(BLANKS)
        self.operator = next((op for op in OPERATORS if self.text.startswith(op)), "")
        self.operand = self.text[len(self.operator):].strip(BLANKS)
        self.is_prefix = self.operator in ("==", "!=") and self.operand.endswith(".*")
        self.version = None  # type: Version  # type: ignore[assignment]
        try:
            self.version = Version(self.operand[:-2] if self.is_prefix else self.operand)
        except PrimeError:
            pass
        if self.operator != "===" and not self._is_sound() or len(self.operand.split()) > 1:
            raise PrimeError('"%s" is not a version specifier' % self.text, status=2)
        self.names_prerelease = self.version is not None and self.version.is_prerelease

    def _is_sound(self):
        version = self.version
        if not self.operator or version is None or self.operator == "~=" and len(version.release) < 2:
            return False
        if version.local:
            return self.operator in ("==", "!=") and not self.is_prefix
        return not (self.is_prefix and "dev" in self.operand)

    def contains(self, version):
        """Whether a `Version` fulfils this comparison."""
        operator, mine = self.operator, self.version
        if operator == "===":  # compares text, so that anything may stand there
            return version.text.lower() == self.operand.lower()
        if operator in ("==", "!="):
            return self._equals(version) == (operator == "==")
        if operator == "~=":
            return version.key >= mine.key and version.starts_with(mine.base[0], mine.release[:-1])
        if operator == "<":  # excludes the pre-releases of what it names
            is_early = version.is_prerelease and not mine.is_prerelease and version.base == mine.base
            return version.key < mine.key and not is_early
        if operator == ">":
            is_late = version.is_post and not mine.is_post and version.base == mine.base
            return version.key > mine.key and not is_late
        return version.key >= mine.key if operator == ">=" else version.key <= mine.key

    def _equals(self, version):
        mine = self.version
        if self.is_prefix:
            same_pre = not mine.is_prerelease or mine.key[1] == version.key[1]
            return same_pre and version.starts_with(mine.base[0], mine.release)
        return version.key == mine.key and mine.local in ("", version.local)


def parse_clauses(text):
    """The clauses of comma-separated specifiers; empty ones are skipped, as `packaging` does."""
    return [Clause(part) for part in text.split(",") if part.strip(BLANKS)]


class Request:
    """What python is asked for, as `parse_request` understood it; prints as it was written.

    text              the request as written; "" accepts anything
    origin            where it was written
    clauses           `Clause`s that the version must fulfil, all of them
    implementation    "cpython", "pypy", ... or "" for any
    is_free_threaded  whether a free-threaded build is asked for
    path              an interpreter, an environment directory or a program's name, instead of all that
    """

    def __init__(self, text="", origin="", clauses=(), implementation="", is_free_threaded=False, path=""):
        self.text, self.origin, self.clauses = text, origin, list(clauses)
        self.implementation, self.is_free_threaded, self.path = implementation, is_free_threaded, path
        self.names_prerelease = bool(path) or any(clause.names_prerelease for clause in self.clauses)

    def __str__(self):
        return self.text or "any python"

    def failing(self, version):
        """The first clause that a `Version` does not fulfil, or None.

        Unless a clause names a pre-release, X.Y.Z alone counts, as for uv: >=3.14 takes 3.14.0rc1.
        """
        seen = version if self.names_prerelease else version.final()
        return next((clause for clause in self.clauses if not clause.contains(seen)), None)


def parse_request(text, origin="", is_strict=False, base=""):
    """Understand any of `REQUEST_FORMS`. Returns a `Request`; PrimeError with those forms if it is none.

    text, origin  str; where the text was written goes into errors
    is_strict     "==3.12" means 3.12.0, as in PEP 440; else 3.12.*, as for uv
    base          str, the directory that a relative path is relative to
    """
    import re

    if not isinstance(text, str):
        raise malformed(text, origin, "it is no string")
    plain = text.strip(BLANKS)
    if not plain or plain[0] in "<>=!," or plain.startswith("~="):
        try:
            clauses = parse_clauses(plain)
        except PrimeError as error:
            raise malformed(text, origin, str(error))
        if re.match(r"==\s*\d+(\.\d+)?$", plain, re.ASCII) and not is_strict:
            clauses = [Clause(plain + ".*")]
        return Request(text, origin, clauses)
    request = _parse_version(text, plain, origin)
    if request is None and os.path.dirname(plain):
        request = Request(text, origin, path=os.path.join(base, os.path.expanduser(plain)))
    elif request is None and re.match(r"[\w.+-]*(python|pypy)[\w.+-]*$", plain):
        request = Request(text, origin, path=plain)
    if request is None:
        raise malformed(text, origin)
    return request


def _parse_version(text, plain, origin):
    """The `Request` of a version or an implementation, such as 3.12, 312, pypy@3.11, 3.13t; or None."""
    import re

    pattern = r"(?:(%s)(?:@(?=\d))?)?(\d+(?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?)?(t?)$" % "|".join(IMPLEMENTATIONS)
    match = re.match(pattern, plain, re.ASCII)
    implementation, version, threads = match.groups("") if match else ("", "", "")
    if not match or not version and (threads or not implementation):
        return None
    if version.isdigit() and len(version) > 1:  # 312 means 3.12
        version = version[0] + "." + version[1:]
    is_exact = version.count(".") == 2 or not version.replace(".", "").isdigit()
    clauses = [Clause("==" + version + ("" if is_exact else ".*"))] if version else []
    return Request(text, origin, clauses, implementation, bool(threads))


def malformed(text, origin, reason=""):
    """The PrimeError for what is no request."""
    return PrimeError('malformed request "%s"%s' % (text, reason and ": " + reason), origin,
                      ["a request is one of:"] + ["  " + form for form in REQUEST_FORMS], status=2)


def satisfies(request, version):
    """Whether a python version satisfies a request: satisfies("~=3.8", "3.9.1") is True.

    request  str: a version or PEP 440 specifiers, see `REQUEST_FORMS`; "==3.12" is 3.12.0 alone
    version  str: a full version such as "3.12.1" or "3.14.0rc1"
    PrimeError if either is malformed, or if the request is a path or a name.
    """
    parsed = parse_request(request, is_strict=True)
    if parsed.path:
        raise malformed(request, "", "it names a program, not a version")
    return parsed.failing(Version(version)) is None


# --------------------------------------------------------------------------------------------------
# Interpreters
# --------------------------------------------------------------------------------------------------

PROBE_SECONDS = 5
SELECTOR_SECONDS = 60

# Runs under any python from 2.7 on. The marks are split, so that an echo of the arguments is no answer.
PROBE = """
import sys
if sys.path and not sys.path[0]: del sys.path[0]
import os
v = sys.version_info
level = {"alpha": "a%%d", "beta": "b%%d", "candidate": "rc%%d"}.get(v[3], "").replace("%%d", str(v[4]))
answer = ["%s" + "%s", sys.executable or "", "%%d.%%d.%%d" %% v[:3] + level,
    sys.implementation.name if hasattr(sys, "implementation") else "cpython",
    "64" if sys.maxsize > 2 ** 32 else "32", "t" if "t" in getattr(sys, "abiflags", "") else "",
    os.path.dirname(os.__file__), "%s" + "%s"]
data = "\\0".join(answer)
out = getattr(sys.stdout, "buffer", sys.stdout)
out.write(os.fsencode(data) if hasattr(os, "fsencode") else data)
out.flush()
"""


class Interpreter:
    """A python that ran and told of itself.

    path              str, absolute: the executable to start, never one inside a venv
    version           str, such as "3.12.1"
    implementation    str, such as "cpython" or "pypy"
    bits              int, 32 or 64
    is_free_threaded  bool
    stdlib            str, the directory of its standard library
    """

    def __init__(self, path, version, implementation, bits, is_free_threaded, stdlib):
        self.path, self.version, self.implementation = path, version, implementation
        self.bits, self.is_free_threaded, self.stdlib = bits, is_free_threaded, stdlib

    def __str__(self):
        return "%s (%s %s)" % (tilde(self.path), self.implementation, self.version)

    def identity(self):
        """What makes an environment of it stale when it changes (T2), as a dict."""
        real = os.path.realpath(self.path)
        return dict(vars(self), path=real, signature=signature(real))


class Candidate:
    """A place where a python was looked for, and what came of it.

    verdict  "selected", "matches", "mismatch", "broken" or "not-tried"; `reason` says why
    """

    def __init__(self, path, source, interpreter=None, verdict="not-tried"):
        self.path, self.source, self.interpreter, self.verdict = path, source, interpreter, verdict
        self.reason = ""

    def as_dict(self):
        found = self.interpreter
        return {"path": self.path, "source": self.source, "verdict": self.verdict, "reason": self.reason,
                "version": found and found.version, "implementation": found and found.implementation}

    def __str__(self):
        version = self.interpreter.version if self.interpreter else "-"
        return "%-40s %-9s %s" % (tilde(self.path), version, self.reason or self.verdict)


def read_pyvenv_cfg(directory):
    """The keys of `directory`/pyvenv.cfg as a dict, empty if there is no such file."""
    try:
        with open(os.path.join(directory, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            pairs = [line.split("=", 1) for line in file if "=" in line]
    except OSError:
        return {}
    return {key.strip().lower(): value.strip().replace("\0", "?") for key, value in pairs}


def environment_python(directory):
    """The interpreter of an environment directory (venv, virtualenv, conda)."""
    path = os.path.join(directory, BIN, "python" + EXE)
    beside = os.path.join(directory, "python" + EXE)  # conda on Windows
    return beside if WINDOWS and not os.path.exists(path) and os.path.exists(beside) else path


def site_packages(directory):
    """The directory of an environment where packages are installed; "" if there is none."""
    lib = os.path.join(directory, "Lib" if WINDOWS else "lib")
    places = [lib] if WINDOWS or not os.path.isdir(lib) else [os.path.join(lib, name) for name in os.listdir(lib)]
    found = (os.path.join(place, "site-packages") for place in places)
    return next(filter(os.path.isdir, found), "")


def resolve_python(path):
    """Turn what a user may give, an interpreter or an environment directory, into an interpreter.

    path  str; a `.venv` that is a redirect file (PEP 832: its first line, relative to the file) is
          followed; symlinks are not resolved
    Returns an absolute path; PrimeError if it is neither.
    """
    given, path = path, os.path.abspath(os.path.expanduser(path))
    if os.path.basename(path) == ".venv" and os.path.isfile(path):
        target = (load_text(path).splitlines() or [""])[0].strip()
        path = os.path.abspath(os.path.join(os.path.dirname(path), target))
    if os.path.isdir(path):
        if not any(os.path.exists(os.path.join(path, mark)) for mark in ("pyvenv.cfg", "conda-meta")):
            raise PrimeError("%s is a directory, and not that of an environment" % path)
        path = environment_python(path)
    if not os.path.lexists(path):
        raise PrimeError("%s does not exist" % given)
    return path


def base_python(path):
    """The interpreter that an environment's interpreter was made from; `path` itself if it is in none.

    Goes on from a venv's base to that one's, for up to 3.10 a venv made from a venv names it as home.
    """
    for _ in range(8):
        directory = os.path.dirname(path)
        config = read_pyvenv_cfg(directory) or read_pyvenv_cfg(os.path.dirname(directory))
        if not config.get("home"):
            break
        # By its version, for home may hold several; `executable` is there from 3.11 on.
        version = (config.get("version") or config.get("version_info") or "").split(".")[:2]
        names = ["python" + ".".join(version), os.path.basename(path), "python3", "python"]
        homes = [config.get("executable") or os.curdir]
        homes += [os.path.join(config["home"], name.replace(EXE, "") + EXE) for name in names]
        path = next((each for each in homes if os.path.isfile(each)), homes[-1])
    return path


def is_stub(path):
    """Whether starting it would open a dialog instead of running a python (C8)."""
    if WINDOWS:  # an empty file; below it, in directories of their own, stand those that are installed
        return os.path.basename(os.path.dirname(path)).lower() == "windowsapps" and not os.path.getsize(path)
    if sys.platform == "darwin" and os.path.dirname(path) == "/usr/bin":
        return run_child(["/usr/bin/xcode-select", "-p"], timeout=PROBE_SECONDS).has_failed
    return False


_answers = {}  # type: dict  # path to Interpreter or PrimeError: each is asked once in a process


def interpreter_at(path):
    """Ask the python at `path` what it is, through its base if it is that of an environment.

    The answer is kept in the user cache under path, size, mtime and inode.
    Returns an `Interpreter`; PrimeError, whose message is the reason, if it is broken.
    """
    path = base_python(resolve_python(path))
    if path not in _answers:
        _answers[path] = PrimeError("leads back to itself")  # until it is known to lead elsewhere
        try:
            _answers[path] = recall(path, read_answer) or _ask(path)
        except PrimeError as problem:
            _answers[path] = problem
    if isinstance(_answers[path], PrimeError):
        raise _answers[path]
    return _answers[path]


def _ask(path):
    """Start the python at `path` and let it answer; facts.md of the project tells why these flags."""
    if not os.path.exists(path):
        raise PrimeError("is a dangling link" if os.path.islink(path) else "its base python is gone")
    if is_stub(path):
        raise PrimeError("a stub that would open a dialog, not started")
    marks = tuple(os.urandom(6).hex() for _ in range(4))
    begin, end = (marks[0] + marks[1]).encode(), (marks[2] + marks[3]).encode()
    argv = [path, "-E", "-s", "-S", "-B", "-c", PROBE % marks]
    child = run_child(argv, timeout=PROBE_SECONDS, until=end)
    if begin not in child.stdout or end not in child.stdout:
        raise PrimeError(str(child) if child.has_failed and end not in child.stdout else "printed no answer")
    try:
        reported, *answer = os.fsdecode(child.stdout.split(begin, 1)[1].split(end, 1)[0]).split("\0")[1:-1]
        found = read_answer(path, *answer)
    except (ValueError, TypeError, PrimeError):
        raise PrimeError("its answer is mangled")
    is_known = bool(reported) and os.path.exists(reported)
    is_wrapped = is_known and os.path.realpath(reported) != os.path.realpath(path)
    if is_wrapped and base_python(reported) != reported:  # C5 around C6
        return interpreter_at(reported)
    if is_wrapped:
        found.path = os.path.abspath(reported)
    elif is_known:  # what a shim answers depends on more than its file
        remember(path, answer)
    return found


def read_answer(path, version, implementation, bits, threads, stdlib):
    """The `Interpreter` at `path` from what it printed, all str; ValueError or PrimeError if that is no answer."""
    if Version(version).release < (2,) or int(bits) < 32:
        raise ValueError(version)
    return Interpreter(path, version, implementation, int(bits), bool(threads), stdlib)


def cached_answer(path):
    """Where what the program at `path` said is kept, and what its file begins with while it holds."""
    return cache_dir("answers", hash_bytes(os.fsencode(path))[:16]), [str(SCHEMA), path, signature(path)]


def remember(path, answer):
    """Keep in the user cache what the program at `path` said of itself, a list of str."""
    place, head = cached_answer(path)
    try:
        write_atomic(place, os.fsencode("\0".join(head + answer + ["."])))
    except OSError:  # a cache that cannot be written is none
        pass


def recall(path, make):
    """make(path, *answer) of what was kept of the program at `path`; None if its file changed since."""
    place, head = cached_answer(path)
    try:
        with open(place, "rb") as file:
            kept = os.fsdecode(file.read()).split("\0")
        return make(path, *kept[3:-1]) if kept[:3] + kept[-1:] == head + ["."] else None
    except (OSError, ValueError, TypeError, PrimeError):
        return None


def what_version(python):
    """The full version, such as "3.12.1", that an interpreter, or an environment's base, reports.

    python  str, a path; PrimeError if it does not run
    """
    return interpreter_at(python).version


def what_path(python):
    """The real executable behind an interpreter, a wrapper, a shim or an environment directory.

    python  str, a path; PrimeError if it does not run
    """
    return interpreter_at(python).path


def why_not(request, interpreter):
    """Why an interpreter does not fulfil a request; "" if it does."""
    version = Version(interpreter.version)
    if version.release < OLDEST_PYTHON:
        return "too old: %d.%d is the least" % OLDEST_PYTHON
    if request.path:
        return ""
    if request.implementation not in ("", interpreter.implementation):
        return "is %s, not %s" % (interpreter.implementation, request.implementation)
    if request.is_free_threaded != interpreter.is_free_threaded:
        return "is a free-threaded build" if interpreter.is_free_threaded else "is not free-threaded"
    clause = request.failing(version)
    if clause is None:
        return ""
    if clause.version and clause.operator in ("==", "~=", ">", ">=") and version.key < clause.version.key:
        return "too old"
    if clause.version and clause.operator in ("==", "~=", "<", "<="):
        return "too new"
    return "excluded by %s" % clause.text


PYTHON_NAME = r"(python|pypy|graalpy)3\.\d+(\.\d+)?t?(\.exe)?$"
CONDA_NAMES = "miniconda3 anaconda3 miniforge3 mambaforge micromamba conda miniconda anaconda".split()


def numbers_in(name):
    """The numbers in a name, as a list of int, for sorting."""
    import re

    return [int(number) for number in re.findall(r"\d+", name)]


def newest_first(directories, pattern):
    """The paths in `directories` whose names match, those with the highest numbers in the name first."""
    import re

    found = []
    for directory in directories:
        try:
            names = [name for name in os.listdir(directory) if re.match(pattern, name)]
        except (OSError, ValueError):
            continue
        found += [os.path.join(directory, name) for name in names]
    return sorted(found, key=lambda path: numbers_in(os.path.basename(path)), reverse=True)


def running_python():
    """The path of the python that runs this, "" if it cannot be told.

    PYTHONEXECUTABLE and __PYVENV_LAUNCHER__ make sys.executable lie (facts, trap 2); Linux does not.
    """
    told, real = os.path.abspath(sys.executable or ""), os.path.realpath("/proc/self/exe")
    if real != os.path.realpath(told) and "py" in os.path.basename(real):
        return real
    return told if sys.executable else ""


def wild_candidates(request):
    """The python that runs this."""
    return [base_python(running_python())] if running_python() else []


def path_candidates(request):
    """On PATH: pythonX.Y.Z, pythonX.Y, pythonX, python, then every other python3.*."""
    search = os.environ.get("PATH", os.defpath).split(os.pathsep)
    directories, names = [os.path.abspath(each) for each in search if each], []
    for clause in request.clauses:
        numbers = clause.version.release if clause.operator == "==" else ()
        names += ["python" + ".".join(map(str, numbers[:size])) for size in range(len(numbers), 1, -1)]
    names = list(dict.fromkeys(names + ["python3", "python"]))
    if request.implementation not in ("", "cpython"):
        names = [name.replace("python", request.implementation) for name in names] + names
    for name in names:
        for directory in directories:
            path = os.path.join(directory, name + EXE)
            if os.path.lexists(path):
                yield path
    for directory in directories:
        yield from newest_first([directory], PYTHON_NAME)


def uv_candidates(request):
    """Pythons that uv installed, newest first."""
    home = home_dir()
    data = os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"), "uv")
    if WINDOWS:
        data = os.path.join(os.environ.get("APPDATA") or home, "uv", "data")
    directory = os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "python")
    return map(environment_python, newest_first([directory], r"[a-z]+-\d"))


def pyenv_candidates(request):
    """pyenv's own versions, newest first; its shims answer for the active ones alone (C1)."""
    root = os.environ.get("PYENV_ROOT") or os.path.join(home_dir(), ".pyenv")
    return map(environment_python, newest_first([os.path.join(root, "versions")], r"(pypy|graalpy)?[-\d]"))


def conda_candidates(request):
    """The active conda environment, those that conda keeps a list of, and installs; newest first.

    What python one holds stands in the name of a file: conda-meta/python-3.12.1-….json.
    """
    home, prefixes = home_dir(), [os.environ.get("CONDA_PREFIX", "")]
    try:
        prefixes += load_text(os.path.join(home, ".conda", "environments.txt")).splitlines()
    except PrimeError:
        pass
    for place in (home, os.sep + "opt", os.environ.get("PROGRAMDATA") or home):
        prefixes += [os.path.join(place, name) for name in CONDA_NAMES]
    metas = [os.path.join(prefix, "conda-meta") for prefix in dict.fromkeys(prefixes) if prefix]
    found = newest_first(metas, r"(python|pypy)-\d.*\.json$")
    return [environment_python(os.path.dirname(os.path.dirname(path))) for path in found]


def local_candidates(request):
    """Homebrew's, MacPorts', /usr/local's and /opt's pythons and macOS framework builds, newest first."""
    if WINDOWS:
        return []
    places = ["/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin", "/usr/local/bin", "/opt/local/bin"]
    framework = "/Library/Frameworks/Python.framework/Versions"
    for place in ("/opt", framework):
        places += [os.path.join(each, "bin") for each in newest_first([place], r"\w")]
    return newest_first(places, PYTHON_NAME)


def by_version(found):
    """The paths of (version, path) pairs, the newest first; what begins with no number comes last."""
    import re

    def key(pair):
        return numbers_in(str(pair[0])) if re.match(r"\d", str(pair[0])) else []

    return [path for _, path in sorted(found, key=key, reverse=True) if isinstance(path, str) and path]


def registry_candidates(request):
    """Windows: what installers wrote into the registry (PEP 514), newest first."""
    if not WINDOWS:
        return []
    winreg = __import__("winreg")  # not `import`, for the sake of mypy elsewhere

    def entries(key):
        for number in range(winreg.QueryInfoKey(key)[0]):
            name = winreg.EnumKey(key, number)
            try:
                yield name, winreg.OpenKeyEx(key, name)
            except OSError:
                continue

    def value(key, name):
        try:
            return winreg.QueryValueEx(key, name)[0]
        except OSError:
            return None

    found = []
    for root, view in ((winreg.HKEY_CURRENT_USER, 0), (winreg.HKEY_LOCAL_MACHINE, winreg.KEY_WOW64_64KEY),
                       (winreg.HKEY_LOCAL_MACHINE, winreg.KEY_WOW64_32KEY)):
        try:
            companies = entries(winreg.OpenKeyEx(root, r"Software\Python", 0, winreg.KEY_READ | view))
        except OSError:
            continue
        for tag, key in [tag for name, company in companies if name != "PyLauncher" for tag in entries(company)]:
            for place in [place for name, place in entries(key) if name == "InstallPath"]:
                beside = value(place, "")
                beside = beside.rstrip("\\") + "\\python.exe" if beside and isinstance(beside, str) else ""
                found.append((value(key, "SysVersion") or tag, value(place, "ExecutablePath") or beside))
    return by_version(found)


def launcher_candidates(request):
    """Windows: what the launcher `py`, or the install manager of the same name, lists, newest first."""
    launcher = find_program("py") if WINDOWS else ""
    if not launcher:
        return []
    import json
    import re

    environ = dict(clean_environ(for_tool=True), PYTHON_MANAGER_AUTOMATIC_INSTALL="false")
    child = run_child([launcher, "list", "--format=json"], environ, timeout=PROBE_SECONDS)
    try:
        listed = json.loads(child.stdout.decode("utf-8", "replace"))["versions"]
        return by_version([(each["sort-version"], each["executable"]) for each in listed])
    except (ValueError, KeyError, TypeError):  # the older launcher: " -V:3.12 *  C:\\...\\python.exe"
        child = run_child([launcher, "-0p"], environ, timeout=PROBE_SECONDS)
        text = child.stdout.decode("utf-8", "replace")
        return by_version(re.findall(r"^\s*-(?:V:)?(\S+)(?:\s+\*)?\s+(\S.*?)\s*$", text, re.MULTILINE))


def store_candidates(request):
    """Windows: pythons of the Microsoft Store at their real place, newest first."""
    place = os.path.join(os.environ.get("LOCALAPPDATA", ""), "Microsoft", "WindowsApps")
    found = newest_first([place], r"PythonSoftwareFoundation\.Python\.3") if WINDOWS else []
    return [os.path.join(path, "python.exe") for path in found]


SOURCES = (
    ("wild", wild_candidates),
    ("PATH", path_candidates),
    ("uv", uv_candidates),
    ("pyenv", pyenv_candidates),
    ("conda", conda_candidates),
    ("local", local_candidates),
    ("registry", registry_candidates),
    ("py", launcher_candidates),
    ("store", store_candidates),
)


def candidates(request):
    """Every place to look for a python, as `Candidate`s in the order of preference, each file once."""
    if request.path:
        yield Candidate(find_program(request.path) or request.path, "request")
        return
    seen = set()
    for source, paths in SOURCES:
        for path in paths(request):
            real = os.path.realpath(base_python(path))
            file = real if "py" in os.path.basename(real) else path  # else one program behind many shims
            if file not in seen:
                seen.add(file)
                yield Candidate(path, source)


def judge(candidate, requests):
    """Ask a candidate, and set its verdict and reason: does it fulfil all of `requests`?"""
    try:
        candidate.interpreter = interpreter_at(candidate.path)
    except PrimeError as problem:
        candidate.verdict, candidate.reason = "broken", str(problem)
    else:
        reasons = [why_not(request, candidate.interpreter) for request in requests]
        candidate.reason = next(filter(None, reasons), "")
        candidate.verdict = "mismatch" if candidate.reason else "matches"
    where = tilde(candidate.path), candidate.source, candidate.reason or candidate.verdict
    report.detail("candidate %s (%s): %s" % where)
    return candidate


def judge_all(found, requests):
    """`judge` many candidates, side by side. Returns them as a list."""
    import threading

    found = list(found)
    threads = [threading.Thread(target=judge, args=(candidate, requests)) for candidate in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def search_python(required="", tried=None, also=()):
    """Search this machine for a python that runs and fulfils a request.

    required  str or `Request`; PrimeError if it is malformed
    tried     a list, to which every `Candidate` that was looked at is appended
    also      further `Request`s that must hold, such as requires-python
    Returns an `Interpreter`, or None. A pre-release that the request does not name comes last.
    """
    request = required if isinstance(required, Request) else parse_request(required)
    tried = [] if tried is None else tried
    chosen = None
    for candidate in candidates(request):
        tried.append(judge(candidate, (request,) + tuple(also)))
        if candidate.verdict != "matches":
            continue
        if request.names_prerelease or not Version(candidate.interpreter.version).is_prerelease:
            chosen = candidate
            break
        candidate.reason = "a pre-release, which the request does not name"
        chosen = chosen or candidate
    if chosen is None:
        return None
    if chosen.reason:
        report.note("only a pre-release fulfils %s: %s" % (request, chosen.interpreter))
    chosen.verdict = "selected"
    return chosen.interpreter


def select_python(required, selector, root, name="default"):
    """Let the repo's own selector pick the executable.

    required  str or `Request`, the selector's one argument
    selector  str, path of the script; relative to `root` if relative; it has 60 s
    root      str, the ref root, absolute; it and `name`, the environment's, reach the selector as
              PROTOPRIMER_REF_ROOT and PROTOPRIMER_ENV
    Returns an `Interpreter`, which is not compared with the request, or None if the selector has no
    opinion (prints nothing, exit 0).
    PrimeError if it fails, hangs, or names what does not run.
    """
    path = os.path.join(root, selector)
    if not os.path.isfile(path):
        raise PrimeError("python selector %s does not exist" % path, status=2)
    argv = [path, str(getattr(required, "text", required))]
    if path.endswith(".py"):
        argv = [running_python(), "-I"] + argv
    elif not os.access(path, os.X_OK):
        raise PrimeError("python selector %s is not executable" % path, hint="chmod +x it", status=2)
    environ = dict(clean_environ(for_tool=True), PROTOPRIMER_REF_ROOT=root, PROTOPRIMER_ENV=name)
    child = run_child(argv, environ, cwd=root, timeout=SELECTOR_SECONDS)
    if child.has_failed:
        raise PrimeError("python selector %s %s" % (path, child), tried=child.tail())
    lines = [line.strip() for line in os.fsdecode(child.stdout).splitlines() if line.strip()]
    if not lines:
        report.detail("selector %s: no opinion" % path)
        return None
    try:
        found = interpreter_at(os.path.join(root, lines[-1]))
    except PrimeError as problem:
        raise PrimeError("python selector %s chose %s: %s" % (path, lines[-1], problem), tried=child.tail())
    report.detail("selector %s: %s" % (path, found))
    return found


def demand(interpreter, requests, source):
    """PrimeError unless an interpreter fulfils all of `requests`; `source` says who chose it."""
    for request in requests:
        reason = why_not(request, interpreter)
        if reason:
            raise PrimeError('%s: %s does not fulfil "%s" (%s): %s' % (
                source, interpreter, request, request.origin, reason))


def probe_python(required="", selector="", root="", name="default", tried=None, also=()):
    """Select a python: PROTOPRIMER_PYTHON, else the selector, else the search.

    Arguments as for `select_python` (`selector` and `root` are str, "" if there is no selector) and
    `search_python`. Returns an `Interpreter` or None; a choice of
    the user or of the selector that does not fulfil the request is a PrimeError.
    """
    request = required if isinstance(required, Request) else parse_request(required)
    told, chosen, source = os.environ.get(PYTHON_VAR), None, "python selector " + selector
    if told:
        source = "%s=%s" % (PYTHON_VAR, told)
        try:
            chosen = interpreter_at(find_program(told) or told)
        except PrimeError as problem:
            raise PrimeError("%s: %s" % (source, problem))
    elif selector:
        chosen = select_python(request, selector, root, name)
    if chosen is None:
        return search_python(request, tried, also)
    demand(chosen, [request] + list(also), source)
    if tried is not None:
        tried.append(Candidate(chosen.path, source, chosen, "selected"))
    return chosen


# --------------------------------------------------------------------------------------------------
# Config
# --------------------------------------------------------------------------------------------------

PYPROJECT, OWN_CONFIG = "pyproject.toml", "proto_prime.toml"
DRIVERS = ("auto", "venv_uv", "venv_pip")

# Every field: kind, default, help. Reading, errors, `info` and the README's table come from here.
# A default of None is filled in by what stands in the repo.
FIELDS = {
    "required_python_version": ("text", "", "a request: which python the repo needs"),
    "python_selector_file_rel_path": ("text", "", "a script of the repo that picks the executable"),
    "venv_driver": ("driver", "auto", '"venv_uv", "venv_pip", or "auto": uv if it can be had, else pip'),
    "venv_dir_rel_path": ("text", ".venv", "where tools look for the environment"),
    "projects": ("projects", None, "what is installed: paths, or {path, extras, groups, editable}"),
    "dependencies": ("texts", [], "PEP 508 requirements"),
    "requirements_files": ("texts", None, "files in pip's format"),
    "constraints_file": ("text", "", "a file in pip's format"),
    "lock_file": ("text", None, 'uv.lock or pylock.toml; "" for none'),
    "uv_version": ("text", "", "the uv to use: a version, or specifiers"),
    "index_url": ("text", "", "the package index, instead of the user's own"),
    "extra_index_urls": ("texts", [], "further indexes"),
    "find_links": ("texts", [], "directories or pages with wheels"),
    "no_index": ("flag", False, "use find_links alone"),
    "env_vars": ("table", {}, "set for commands run in the environment"),
    "post_boot": ("commands", [], "commands run in each new generation before it is published"),
    "default_env": ("text", "default", "the environment that is meant when none is named"),
}  # type: dict
RUNTIME_FIELDS = ("env_vars", "venv_dir_rel_path", "default_env")  # they change nothing that is installed
PROJECT_KEYS = {"path": "text", "extras": "texts", "groups": "texts", "editable": "flag"}


def is_texts(value):
    """Whether a value is a list of strings."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def is_project(item):
    """Whether a value is an entry of `projects`."""
    if isinstance(item, dict):
        return "path" in item and all(key in PROJECT_KEYS and KINDS[PROJECT_KEYS[key]][1](value)
                                      for key, value in item.items())
    return isinstance(item, str)


# What each kind of value is called in an error, and how it is told.
KINDS = {
    "text": ("a string", lambda value: isinstance(value, str)),
    "texts": ("a list of strings", is_texts),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "driver": ("one of " + ", ".join(DRIVERS), lambda value: value in DRIVERS),
    "table": ("a table of variables, without = in a name or NUL", lambda value: isinstance(value, dict) and all(
        isinstance(text, str) and name and not set("=\0") & set(name) and "\0" not in text
        for name, text in value.items())),
    "projects": ("a list of paths or of {path, extras, groups, editable}",
                 lambda value: isinstance(value, list) and all(map(is_project, value))),
    "commands": ("a list of commands, each a list of strings",
                 lambda value: isinstance(value, list) and all(is_texts(each) and each for each in value)),
}


def script_path():
    """The file that was started, or else this one; "" if the source came through a pipe."""
    for path in (sys.argv[0] if sys.argv else "", globals().get("__file__") or ""):
        if path and os.path.isfile(path):
            return path
    return ""


def ancestors(directory):
    """`directory`, its parent, and so on up to the file system's root."""
    found = [directory]
    while os.path.dirname(found[-1]) != found[-1]:
        found.append(os.path.dirname(found[-1]))
    return found


def find_root(option=""):
    """The ref root: `option`, else PROTOPRIMER_ROOT, else the nearest directory with a config.

    Goes up from the started file as it was written, then from where its symlinks lead, else takes its
    directory; when the source came through a pipe, the same from the current directory.
    """
    told, script = option or os.environ.get(ROOT_VAR), script_path()
    if told and not os.path.isdir(told):
        raise PrimeError("ref root %s is not a directory" % told, status=2)
    try:
        if told:
            return os.path.abspath(told)
        starts = [os.path.dirname(written(script)) if script else os.getcwd()
                  for written in (os.path.abspath, os.path.realpath)]
    except FileNotFoundError:  # E7
        raise PrimeError("the current directory does not exist", hint="cd to one that does")
    for directory in ancestors(starts[0]) + ancestors(starts[1]):
        for name in (PYPROJECT, OWN_CONFIG):
            if os.path.exists(os.path.join(directory, name)):
                return directory
    return starts[0]


def state_dir(root, *names):
    """A path in the directory where everything that this file makes for a repo is kept."""
    base = os.environ.get(STATE_VAR)
    return os.path.join(os.path.abspath(base) if base else os.path.join(root, ".prime"), *names)


class Config:
    """What the files at the ref root say.

    root       str, the ref root
    file       str, the name of the file that holds our table; "" if none does
    table      dict, our table; its fields are known and of the right type
    text       str, that file's text, for line numbers
    pyproject  dict, all of pyproject.toml; empty if there is none
    seen       dict, each path that was looked at, to its signature before that
    """

    def __init__(self, root):
        self.root, self.seen = root, {}  # type: str, dict
        self.file = self.text = ""
        text, self.pyproject = self.read(os.path.join(root, PYPROJECT))
        own_text, own = self.read(os.path.join(root, OWN_CONFIG))
        self.table = table_in(self.pyproject, PYPROJECT, "tool", "proto-prime")
        if self.table:
            self.file, self.text = PYPROJECT, text
        if own_text is None:
            return
        if self.table:
            both = OWN_CONFIG, PYPROJECT, root
            raise PrimeError("both %s and [tool.proto-prime] in %s configure %s" % both,
                             hint="keep one of them", status=2)
        self.file, self.table, self.text = OWN_CONFIG, own, own_text

    def look(self, path):
        """Remember the state of a file from before it is read. Returns the path."""
        if path not in self.seen:
            self.seen[path] = signature(path)
        return path

    def read(self, path):
        """The text and the content of a TOML file; (None, {}) if there is none."""
        if not os.path.exists(self.look(path)):
            return None, {}
        text = load_text(path)
        try:
            return text, parse_toml(text)
        except TomlError as error:
            raise PrimeError("%s: %s" % (path, error), status=2)

    def error(self, key, message, known=(), at=""):
        """A PrimeError about a name, with the line of it (or of `at`) and the nearest of the known names."""
        import difflib
        import re

        pattern = re.compile(r"""\s*\[*[\w."'-]*?["']?%s["']?\s*[]=]""" % re.escape(at or key))
        text = self.text.splitlines()
        starts = [number for number, line in enumerate(text) if re.match(r"\s*\[+tool\.proto-prime", line)]
        lines = [number for number, line in enumerate(text, 1) if pattern.match(line) and number > (starts or [0])[0]]
        near = difflib.get_close_matches(key, known, 1, 0.5)
        hint = 'did you mean "%s"?' % near[0] if near else known and "known: " + ", ".join(sorted(known))
        return PrimeError(message, self.file + (", line %d" % lines[0] if lines else ""), hint=hint, status=2)


def table_in(document, file, *names):
    """A nested table of a TOML document, {} if absent; PrimeError if something else stands there."""
    for count, name in enumerate(names, 1):
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise PrimeError("%s: [%s] is not a table" % (file, ".".join(names[:count])), status=2)
    return document


def load_config(root):
    """Read and check the config of a ref root. Returns a `Config`; PrimeError with status 2."""
    config = Config(root)
    check_fields(config, config.table, set(FIELDS) | {"env"}, "")
    for name, table in table_in(config.table, config.file, "env").items():
        if not isinstance(table, dict):
            raise config.error(name, "env.%s is not a table of fields" % name)
        if not all(char.isalnum() or char in "-_" for char in name) or not name:
            raise config.error(name, 'environment name "%s" has more than letters, digits, - and _' % name)
        check_fields(config, table, set(FIELDS) - {"default_env"}, "env.%s." % name)
    return config


def check_fields(config, table, known, prefix):
    """PrimeError for the first unknown field or value of a wrong type in `table`."""
    for key, value in table.items():
        if key not in known:
            raise config.error(key, 'unknown field "%s%s"' % (prefix, key), known)
        if key == "env":  # the named environments, checked by themselves
            continue
        expected, is_valid = KINDS[FIELDS[key][0]]
        if not is_valid(value):
            raise config.error(key, "%s%s must be %s, not %r" % (prefix, key, expected, value))
        for text in value if is_texts(value) else ():
            if text.startswith("-"):  # would be an option of pip's
                raise config.error(key, '%s%s: "%s" starts with "-"' % (prefix, key, text))


def parse_uv_version(text):
    """The `Request` for a uv: "0.5.1", or specifiers; "" for any. PrimeError if it is neither."""
    try:
        return Request(text, "uv_version", parse_clauses(text if text[:1] in "<>=!~" else "==" + text))
    except (PrimeError, AttributeError, TypeError):
        raise PrimeError('uv_version "%s" is neither a version nor specifiers' % (text,), status=2)


class Environment:
    """A named target with all its fields: `environment["field"]`.

    config, root  `Config` and str, the ref root
    name          str
    requested     str, the name as -e or PROTOPRIMER_ENV gave it; "" if neither did
    fields        dict, field name to value; `origins` to where that comes from
    required      `Request`: which python it needs
    also          list of `Request`: what must hold as well, from requires-python
    inputs        dict, label to value: all that decides what is installed, but for the python
    tried         list of `Candidate`: those that were looked at on its behalf
    """

    def __init__(self, config, name, requested=""):
        self.config, self.root, self.name, self.requested = config, config.root, name, requested
        self.fields = {field: default for field, (_, default, _) in FIELDS.items()}
        self.origins = dict.fromkeys(FIELDS, "default")
        self.required, self.also, self.inputs, self.tried = Request(), [], {}, []
        own = config.table.get("env", {}).get(name, {})
        for table, prefix in ((config.table, ""), (own, "env.%s." % name)):
            for field in set(table) - {"env"}:
                self.set(field, table[field], "%s: %s%s" % (config.file, prefix, field))

    def __getitem__(self, field):
        return self.fields[field]

    def set(self, field, value, origin):
        """Give a field a value, and say where it comes from."""
        self.fields[field], self.origins[field] = value, origin

    def path(self, relative):
        """A config path as an absolute one."""
        return os.path.normpath(os.path.join(self.root, os.path.expanduser(relative)))

    def has(self, relative):
        """Whether a file of the repo exists; the stamp will tell when that changes."""
        return os.path.exists(self.config.look(self.path(relative)))

    def wanted(self):
        """All `Request`s that its python must fulfil."""
        return [self.required] + self.also


def load_environment(config, name="", requested=""):
    """The environment `name` of a config, complete and checked. PrimeError with status 2."""
    default = config.table.get("default_env", "default")
    name, known = name or default, set(config.table.get("env", {})) | {"default"}
    if name not in known:
        at = "default_env" if name == default else ""
        raise config.error(name, 'no environment "%s" is configured' % name, known, at)
    environment, driver = Environment(config, name, requested), os.environ.get(DRIVER_VAR)
    if driver and driver not in DRIVERS:
        raise PrimeError("%s=%s is not one of %s" % (DRIVER_VAR, driver, ", ".join(DRIVERS)), status=2)
    if driver:
        environment.set("venv_driver", driver, DRIVER_VAR)
    has, is_project = environment.has, "project" in config.pyproject
    has_dev = "dev" in table_in(config.pyproject, PYPROJECT, "dependency-groups")
    locks = [lock for lock in ("uv.lock", "pylock.toml") if has(lock)]
    for field, found in (
            ("projects", ["."] if has("setup.py") or is_project or has_dev else []),
            ("requirements_files", ["requirements.txt"] if has("requirements.txt") and not is_project else []),
            ("lock_file", (locks + [""])[0])):
        if environment[field] is None:
            environment.fields[field] = found
    check_link(environment, environment.path(environment["venv_dir_rel_path"]))
    if not environment["uv_version"]:
        told = table_in(config.pyproject, PYPROJECT, "tool", "uv").get("required-version", "")
        environment.set("uv_version", told, PYPROJECT + ": tool.uv.required-version" if told else "default")
    parse_uv_version(environment["uv_version"])
    for field in ("requirements_files", "constraints_file", "lock_file"):
        for path in environment[field] if is_texts(environment[field]) else [environment[field]]:
            if path and not os.path.isfile(environment.path(path)):
                raise config.error(field, '%s: there is no file "%s"' % (field, path))
    environment.fields["projects"] = [complete_project(environment, item) for item in environment["projects"]]
    find_required(environment)
    environment.inputs = inputs_of(environment)
    return environment


def check_link(environment, link):
    """PrimeError if `link` is where no link can be made without taking something else away."""
    config = environment.config
    if link in ancestors(environment.root) or state_dir(environment.root) in ancestors(link):
        raise config.error("venv_dir_rel_path", "venv_dir_rel_path: no link can be made at %s" % link)
    is_venv = os.path.basename(link) == ".venv" or os.path.exists(os.path.join(link, "pyvenv.cfg"))
    if not is_venv and os.path.isdir(link) and not os.path.islink(link) and os.listdir(link):
        raise config.error("venv_dir_rel_path", "%s is a directory of something else" % link)


def complete_project(environment, item):
    """An entry of `projects` as a dict with path, extras, groups, editable, and what follows from them."""
    config = environment.config
    project = {"path": item} if isinstance(item, str) else dict(item)
    path = environment.path(project["path"])
    names = [name for name in (PYPROJECT, "setup.py") if environment.has(os.path.join(path, name))]
    if not names:
        raise config.error("projects", 'projects: "%s" holds no pyproject.toml and no setup.py' % project["path"])
    document = config.pyproject if path == config.root else config.read(os.path.join(path, PYPROJECT))[1]
    groups = table_in(document, PYPROJECT, "dependency-groups")
    chosen = project.get("groups", ["dev"] if path == environment.root and "dev" in groups else [])
    requirements = []  # type: list
    for group in chosen:
        requirements += expand_group(groups, group, os.path.join(path, PYPROJECT))
    declared = table_in(document, PYPROJECT, "project", "optional-dependencies")
    spelling = {normalized(extra): extra for extra in declared}  # pip before 23.3 knows no other
    is_static = "project" in document and "optional-dependencies" not in document["project"].get("dynamic", [])
    for extra in project.get("extras", []) if is_static else ():
        if normalized(extra) not in spelling:
            raise config.error(extra, 'projects: "%s" has no extra "%s"' % (project["path"], extra), spelling)
    return {"path": path, "groups": chosen,
            "extras": [spelling.get(normalized(extra), extra) for extra in project.get("extras", [])],
            "group_requirements": requirements, "editable": project.get("editable", True),
            "installable": bool({"project", "build-system"} & set(document)) or "setup.py" in names}


def normalized(name):
    """The name of an extra or a group as others are compared with it (PEP 503, 685, 735)."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


def expand_group(groups, name, file, parents=()):
    """The requirements of a dependency group, its includes expanded (PEP 735). A list of str."""
    known, name = {normalized(group): content for group, content in groups.items()}, normalized(name)
    if name in parents:
        raise PrimeError("dependency group %s includes itself" % name, file, status=2)
    if name not in known:
        hint = "known: " + ", ".join(known)
        raise PrimeError("there is no dependency group %s" % name, file, hint=hint, status=2)
    requirements = []
    if not isinstance(known[name], list):
        raise PrimeError("dependency group %s is not a list" % name, file, status=2)
    for item in known[name]:
        if isinstance(item, str) and not item.startswith("-"):  # would be an option of pip's
            requirements.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            requirements += expand_group(groups, item["include-group"], file, parents + (name,))
        else:
            raise PrimeError("dependency group %s: %r is no requirement" % (name, item), file, status=2)
    return requirements


def find_required(environment):
    """Set the required python: config field, nearest .python-version, requires-python, or nothing."""
    specifiers = table_in(environment.config.pyproject, PYPROJECT, "project").get("requires-python", "")
    origin = PYPROJECT + ": requires-python"
    try:
        environment.also = [Request(specifiers, origin, parse_clauses(specifiers))] if specifiers else []
    except (PrimeError, AttributeError):
        raise PrimeError('malformed requires-python "%s"' % specifiers, PYPROJECT, status=2)
    field = "required_python_version"
    if environment[field]:
        environment.required = parse_request(environment[field], environment.origins[field], base=environment.root)
    else:
        found = version_file_request(environment)
        environment.required = found or (environment.also or [Request("", "nothing")])[0]


def version_file_request(environment):
    """The `Request` of the first usable line of the nearest .python-version, or None."""
    for directory in ancestors(environment.root):
        path = environment.config.look(os.path.join(directory, ".python-version"))
        for line in load_text(path).splitlines() if os.path.isfile(path) else ():
            word = (line.split() or ["#"])[0]
            if word.startswith("#"):
                continue
            try:
                return parse_request(word, path, base=directory)
            except PrimeError:
                report.detail('%s: "%s" is passed over, for it is no request' % (path, word))
    return None


def inputs_of(environment):
    """All that decides what an environment holds, but for its python: a dict of label to value.

    Environments of equal inputs share a generation; labels that differ tell why one is not current.
    """
    inputs = {"schema": SCHEMA, "ref root": environment.root, "required python": environment.required.text,
              "requires-python": environment.also and environment.also[0].text,
              PYTHON_VAR: os.environ.get(PYTHON_VAR, "")}
    for field in set(FIELDS) - set(RUNTIME_FIELDS) - {"required_python_version"}:
        inputs[field] = environment[field]
    for path in input_files(environment):
        environment.config.look(path)
        inputs["file " + path] = hash_file(path)
    return inputs


def input_files(environment):
    """The files whose bytes decide what is installed, present or not: a list of paths."""
    paths = []  # type: list
    for project in environment["projects"]:
        paths += [os.path.join(project["path"], name) for name in (PYPROJECT, "setup.py", "setup.cfg")]
    for name in environment["requirements_files"] + [environment["constraints_file"]]:
        add_with_includes(environment.path(name) if name else "", paths, environment.config)
    for field in ("lock_file", "python_selector_file_rel_path"):
        paths += [environment.path(environment[field])] if environment[field] else []
    return paths


def add_with_includes(path, paths, config):
    """Add a requirements file, and what it includes by -r and -c, to a list of paths."""
    import re

    if not path or path in paths:
        return
    paths.append(config.look(path))
    for line in load_text(path).splitlines() if os.path.isfile(path) else ():
        included = re.match(r"\s*(?:-[rc]\s*|--(?:requirement|constraint)[\s=]\s*)(\S.*?)(?:\s+#.*)?$", line)
        if included and "://" not in included.group(1):
            beside = os.path.join(os.path.dirname(path), included.group(1).strip("\"'"))
            add_with_includes(os.path.normpath(beside), paths, config)


# --------------------------------------------------------------------------------------------------
# Drivers
# --------------------------------------------------------------------------------------------------

OLDEST_PIP = (21, 3)  # the first to install an editable project without setup.py (PEP 660)
UV_SECONDS = 10


def run_tool(argv, title, environ=None, cwd=os.sep):
    """Run pip, uv, venv or a post_boot command as a step that people see; PrimeError if it fails."""
    report.step(title)
    child = run_child(argv, environ, cwd=cwd, is_logged=True)
    report.done()
    if child.has_failed:
        hint = "the whole log: %s" % report.log.name if report.log else ""
        if b"flat-layout" in child.stderr and b"proto_prime" in child.stderr:
            hint = "put proto_prime.py and prime into a directory such as tools/, or name your own modules: " \
                   "[tool.setuptools] py-modules = [...]"
        how = child.problem or str(child).split(": ")[1]
        raise PrimeError("%s failed: %s" % (title, how), tried=child.tail(), hint=hint)


def guard(directory):
    """PrimeError unless `directory` is an environment whose python installs there and nowhere else.

    Without a pyvenv.cfg uv and pip take the base python for their target, and change it (facts, trap 1).
    """
    if not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        raise PrimeError("%s has no pyvenv.cfg: nothing is installed there" % directory)
    python = environment_python(directory)
    code = "import sys; sys.stdout.write(chr(0).join(['', sys.prefix, sys.base_prefix, '']))"
    child = run_child([python, "-I", "-c", code])
    prefix, base = (os.fsdecode(child.stdout).split("\0") + ["", ""])[1:3]  # C3: noise around it
    if child.has_failed or os.path.realpath(prefix) != os.path.realpath(directory) or prefix == base:
        said = child.tail() if child.has_failed else ["its prefix is %s" % prefix]
        raise PrimeError("nothing is installed with %s, not the python of its environment" % python, tried=said)


def bundled_pip(interpreter):
    """The pip wheel that came with an interpreter (ensurepip), or with Debian's packages; "" if none."""
    places = os.path.join(interpreter.stdlib, "ensurepip", "_bundled"), "/usr/share/python-wheels"
    return next((wheel for place in places for wheel in newest_first([place], r"pip-.*\.whl$")), "")


def find_pip(python):
    """The pip wheel for `python`: its own, else the newest of this machine that runs under it (C9).

    PrimeError if there is none.
    """
    if bundled_pip(python):
        return bundled_pip(python)
    others = [judge(candidate, ()).interpreter for candidate in candidates(Request())]
    wheels = {bundled_pip(other) for other in others if other} - {""}
    for wheel in sorted(wheels, key=lambda wheel: Version(pip_version(wheel)).key, reverse=True):
        if runs_under(wheel, python):
            return wheel
    raise PrimeError("%s comes without pip" % python, tried=["there is no ensurepip in %s" % python.stdlib],
                     hint='install it (Debian: python3-venv), or set venv_driver = "venv_uv"')


def pip_version(wheel):
    """The version in a wheel's name."""
    return os.path.basename(wheel).split("-")[1]


def runs_under(wheel, python):
    """Whether the Requires-Python of a wheel's metadata admits an `Interpreter`."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read("pip-%s.dist-info/METADATA" % pip_version(wheel)).decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False
    told = [line.split(":", 1)[1] for line in metadata.splitlines() if line.startswith("Requires-Python:")]
    return all(Request(clauses=parse_clauses(each)).failing(Version(python.version)) is None for each in told)


def pip_program(wheel):
    """What python runs as pip: the unpacked wheel in the user cache.

    From the wheel itself pip would be compiled anew at each start, which takes a second. Its metadata
    stays behind, for pip would take itself for installed.
    """
    import zipfile

    target = cache_dir("pip", pip_version(wheel))
    aside = "%s.%d.tmp" % (target, os.getpid())
    try:
        if not os.path.isdir(target):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(aside, [name for name in archive.namelist() if name.startswith("pip/")])
            os.rename(aside, target)
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as problem:  # type: ignore[attr-defined]
        if not os.path.isdir(target):  # else another process was faster
            raise PrimeError("cannot unpack %s into %s: %s" % (wheel, target, problem),
                             hint="%s names another cache directory" % CACHE_VAR)
    finally:
        remove(aside)
    return os.path.join(target, "pip")


def pip_environ():
    """The environment for a pip that installs into an environment, and into nothing else (E3)."""
    environ = dict(clean_environ(for_tool=True), PIP_REQUIRE_VIRTUALENV="1", PIP_USER="0", PIP_DRY_RUN="0",
                   PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    return dict(environ, PIP_NO_INDEX="1") if is_offline() else environ


class PipDriver:
    """Makes environments with `venv`, fills them with `pip`."""

    name = "venv_pip"

    def __init__(self):
        self.wheel = self.program = ""

    def deploy(self, python):
        """Have a pip for `python`, an `Interpreter`. PrimeError if there is none to be had."""
        self.wheel = find_pip(python)
        self.program = pip_program(self.wheel)

    def create(self, python, directory, prompt):
        """An environment of `python` with pip in it: seconds faster so than by ensurepip."""
        # Not by way of a link: venv takes its directory for the base's, which may have no library.
        base = os.path.realpath(python.path)
        run_tool([base, "-I", "-m", "venv", "--without-pip", "--prompt", prompt, directory],
                 "creating the environment with venv (python %s)" % python.version)
        self._pip(directory, ["--no-index", "--no-deps", self.wheel], "adding pip")
        if not os.path.isdir(os.path.join(site_packages(directory), "pip")):
            raise PrimeError("pip installs elsewhere than into %s" % directory,
                             hint="look for target, prefix or root in `pip config list`")

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `pip install` takes them, into `directory`."""
        version = pip_version(self.wheel)
        if Version(version).release < OLDEST_PIP:
            newer = "pip>=%d.%d" % OLDEST_PIP
            title = "replacing pip %s by %s" % (version, newer)
            self._pip(directory, ["--upgrade", newer] + list(options), title, root)
            self.program = os.path.join(site_packages(directory), "pip")
        self._pip(directory, list(options) + list(requirements), "installing with pip", root)

    def _pip(self, directory, arguments, title, root=os.sep):
        guard(directory)
        # Not compiled now, as by uv: each module is when it is first imported.
        argv = [environment_python(directory), "-I", self.program, "install", "--no-compile"]
        run_tool(argv + arguments, title, pip_environ(), root)

    def install_lock(self, environment, directory):
        """Not to be had with pip: PrimeError."""
        raise PrimeError("the driver venv_pip does not install from %s" % environment["lock_file"],
                         hint='set venv_driver = "venv_uv", or lock_file = "" to leave the lock aside')


def uv_environ():
    """The environment for uv, which is to trust the certificates that pip and the system trust."""
    environ = clean_environ(for_tool=True)
    if "SSL_CERT_FILE" not in environ and "PIP_CERT" in environ:
        environ["SSL_CERT_FILE"] = environ["PIP_CERT"]
    for name, value in (("UV_SYSTEM_CERTS", "1"), ("UV_NATIVE_TLS", "1"), ("UV_PYTHON_INSTALL_BIN", "0")):
        environ.setdefault(name, value)
    if is_offline():
        environ["UV_OFFLINE"] = "1"
    return environ


def find_uv(wanted):
    """The path of a uv that fulfils `wanted`, a `Request`: on PATH, where its installers put it, or in
    the user cache. "" if there is none.
    """
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place]
    places += [os.path.join(home_dir(), name, "bin") for name in (".local", ".cargo")]
    paths = [os.path.join(place, "uv" + EXE) for place in places]
    for path in paths + newest_first([cache_dir("uv")], r"uv-\d[^-]*$"):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            version = uv_version(path)
            if version and wanted.failing(version) is None:
                report.detail("uv %s: %s" % (version, path))
                return path
            report.detail("uv passed over: %s, version %s" % (path, version))
    return ""


def uv_version(path):
    """The `Version` that a uv reports, or None if it does not run."""
    known = recall(path, lambda _, text: Version(text))
    if known:
        return known
    child = run_child([path, "--version"], uv_environ(), timeout=UV_SECONDS)
    words = child.stdout.decode("utf-8", "replace").split() + ["", ""]
    try:
        version = Version(words[1]) if not child.has_failed and words[0] == "uv" else None
        with open(path, "rb") as file:
            is_shim = file.read(2) == b"#!"  # what it answers depends on more than its file
    except (PrimeError, OSError):
        return None
    if version and not is_shim:
        remember(path, [version.text])
    return version


def fetch_uv(wanted, options):
    """Install uv from the package index into the user cache, once per machine. Returns its path.

    options  list of str, the index settings
    Takes any python from 3.8 on with any pip; the program itself needs no python (facts, uv).
    """
    tried = []  # type: list
    oldest = ">=%d.%d" % OLDEST_UV_PYTHON
    python = search_python(oldest, tried)
    if python is None:
        raise PrimeError("no python to deploy uv with", tried=map(str, tried),
                         hint="it takes a python %s, or a uv on PATH" % oldest)
    if is_offline():
        raise PrimeError("there is no uv on this machine, and none can be fetched offline")
    pip = pip_program(find_pip(python))
    argv = [python.path, "-I", pip, "install", "--no-deps", "--only-binary=:all:"]
    requirement, aside = "uv" + ",".join(clause.text for clause in wanted.clauses), cache_dir("uv", "aside")
    with locked(cache_dir("uv", "lock"), "fetching uv"):
        found = find_uv(wanted)  # another process may have been faster
        if found:
            return found
        remove(aside)
        environ = dict(pip_environ(), PIP_REQUIRE_VIRTUALENV="0")
        try:
            run_tool(argv + options + ["--target", aside, requirement], "fetching %s" % requirement, environ)
            program = os.path.join(aside, "bin", "uv" + EXE)
            version = uv_version(program)
            if version is None:
                raise PrimeError("the uv that was fetched does not run here")
            path = cache_dir("uv", "uv-%s%s" % (version, EXE))
            os.replace(program, path)
        finally:
            remove(aside)
    return path


class UvDriver:
    """Makes and fills environments with `uv`."""

    name = "venv_uv"

    def __init__(self, version="", options=()):
        self.wanted, self.options, self.uv = parse_uv_version(version), list(options), ""

    def deploy(self, python=None):
        """Have a uv: one on this machine that will do, else fetch it. PrimeError if neither works."""
        self.uv = self.uv or find_uv(self.wanted) or fetch_uv(self.wanted, self.options)

    def provide(self, text):
        """Let uv download the python of a request; the search finds it then."""
        run_tool([self.uv, "python", "install", text], "installing python %s with uv" % text, uv_environ())

    def create(self, python, directory, prompt):
        """An empty environment of `python`, named by its absolute path (facts, traps 3 and 5)."""
        argv = [self.uv, "venv", "--no-project", "--python", python.path, "--prompt", prompt, directory]
        run_tool(argv, "creating the environment with uv (python %s)" % python.version, uv_environ())

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `uv pip install` takes them, into `directory`."""
        guard(directory)
        argv = [self.uv, "pip", "install", "--python", environment_python(directory)]
        run_tool(argv + list(options) + list(requirements), "installing with uv", uv_environ(), root)

    def install_lock(self, environment, directory):
        """Install what uv.lock or pylock.toml says."""
        guard(directory)
        lock, python = environment.path(environment["lock_file"]), environment_python(directory)
        environ = dict(uv_environ(), UV_PROJECT_ENVIRONMENT=directory)
        argv = [self.uv, "pip", "sync", "--python", python, lock]
        if lock.endswith("uv.lock"):
            argv = [self.uv, "sync", "--locked", "--no-default-groups", "--python", python]
            argv += ["--project", os.path.dirname(lock)]
            for project in environment["projects"]:
                if project["path"] == environment.root:
                    argv += [] if project["editable"] else ["--no-editable"]
                    argv += ["--extra=" + extra for extra in project["extras"]]
                    argv += ["--group=" + group for group in project["groups"]]
        run_tool(argv, "installing from %s with uv" % environment["lock_file"], environ, environment.root)


def index_options(environment):
    """The index settings of an environment, as pip and uv both take them."""
    options = ["--index-url", environment["index_url"]] if environment["index_url"] else []
    for url in environment["extra_index_urls"]:
        options += ["--extra-index-url", url]
    for place in environment["find_links"]:
        local = environment.path(place)
        options += ["--find-links", local if os.path.isdir(local) else place]
    return options + (["--no-index"] if environment["no_index"] else [])


def install_requirements(environment):
    """What an environment installs, as pip and uv both take it, less what its lock file covers."""
    requirements = list(environment["dependencies"])
    for path in environment["requirements_files"]:
        requirements += ["-r", environment.path(path)]
    for project in environment["projects"]:
        if environment["lock_file"].endswith("uv.lock") and project["path"] == environment.root:
            continue
        requirements += [] if environment["lock_file"] else project["group_requirements"]
        if project["installable"]:
            # Relative, so that no "#" or "[" in the path of the repo is taken for more than that (E8).
            path = project["path"]
            if path == environment.root or path.startswith(environment.root + os.sep):
                path = os.path.join(os.curdir, os.path.relpath(path, environment.root))
            extras = "[%s]" % ",".join(project["extras"]) if project["extras"] else ""
            requirements += (["-e"] if project["editable"] else []) + [path + extras]
    return requirements


def choose_driver(wanted="auto", version="", options=()):
    """The driver that a config names; for "auto" uv if it can be had, else pip with a notice.

    wanted   str, one of `DRIVERS`
    version  str, what uv is asked for
    options  list of str, the index settings, where a uv may have to come from
    """
    if wanted == "venv_pip":
        return PipDriver()
    driver = UvDriver(version, options)
    try:
        driver.deploy()
    except PrimeError as problem:
        if wanted == "venv_uv":
            raise
        report.note("going on with pip, for uv cannot be had: %s" % problem)
        return PipDriver()
    return driver


def create_venv_by_uv(python, directory, prompt=""):
    """`create_venv` with uv."""
    return create_venv(python, directory, "venv_uv", prompt)


def create_venv_by_pip(python, directory, prompt=""):
    """`create_venv` with venv and pip."""
    return create_venv(python, directory, "venv_pip", prompt)


def create_venv(python, directory, driver="auto", prompt=""):
    """Make an environment that holds nothing of the repo's yet: create_venv("python3.12", "/tmp/env").

    python     str or `Interpreter`: its base, whose version is the environment's
    directory  str, path of what does not exist yet; if a tool fails, what it made stays there
    driver     str, one of `DRIVERS` ("auto" may fetch uv), or a driver
    prompt     str, its name in a shell's prompt; default: that of the directory
    Returns the path of the environment's python. PrimeError if a tool fails.
    """
    python = python if isinstance(python, Interpreter) else interpreter_at(find_program(python) or python)
    driver = choose_driver(driver) if isinstance(driver, str) else driver
    driver.deploy(python)
    driver.create(python, directory, prompt or os.path.basename(directory))
    return environment_python(directory)


# --------------------------------------------------------------------------------------------------
# Generations
# --------------------------------------------------------------------------------------------------

MARKER = "proto-prime.json"  # written last into a generation: with it, it is complete
STAMP_MAGIC = "proto_prime stamp %d" % SCHEMA


class Generation:
    """One complete build of an environment.

    path      str, its directory, the prefix of its python; `program` is that python
    driver    str, the name of the driver that made it
    python    `Interpreter`, its base; `identity` is that one's at the time
    inputs    dict, those of its environment
    listing   list of str, what stood in its site-packages
    created   float, seconds since the epoch
    is_new    bool, whether this process built it
    """

    is_new = False

    def __init__(self, path, meta):
        self.path, self.program, self.driver = path, environment_python(path), meta["driver"]
        self.python, self.identity = Interpreter(**meta["python"]), dict(meta["identity"])
        self.inputs, self.listing = dict(meta["inputs"]), list(meta["listing"])
        self.created = float(meta["created"])


def generations(environment):
    """The complete generations of an environment, the newest first."""
    import json

    found, directory = [], state_dir(environment.root, "envs")
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        try:
            with open(os.path.join(directory, name, MARKER), "rb") as file:
                meta = json.loads(file.read().decode())
            if (meta["schema"], meta["name"]) == (SCHEMA, environment.name):
                found.append(Generation(os.path.join(directory, name), meta))
        except (OSError, ValueError, KeyError, TypeError):  # T5: incomplete, damaged, or another's
            continue
    return sorted(found, key=lambda generation: generation.created, reverse=True)


def listing_of(directory):
    """What stands in the site-packages of an environment, less bytecode: a sorted list of names."""
    place = site_packages(directory)
    return sorted(set(os.listdir(place)) - {"__pycache__"}) if place else []


def damage_of(generation):
    """What is wrong with a generation that was complete once (T2, T3); "" if nothing is."""
    base = generation.python
    if not os.path.exists(base.path):
        return "its base python %s is gone" % base.path
    if base.identity() != generation.identity:
        return "its base python %s was replaced" % base.path
    for path in (generation.program, os.path.join(generation.path, "pyvenv.cfg")):
        if not os.path.exists(path):
            return "%s is missing" % path
    missing = sorted(set(generation.listing) - set(listing_of(generation.path)))
    return "%s is missing in its site-packages" % missing[0] if missing else ""


def find_generation(environment):
    """The generation that is current, and otherwise the reasons why none is.

    Returns (Generation, []) or (None, list of str).
    """
    known = generations(environment)
    same = [each for each in known if each.inputs == environment.inputs]
    for generation in same:
        if not damage_of(generation):
            return generation, []
    if same:
        return None, [damage_of(same[0])]
    return None, differences(known[0].inputs, environment.inputs) if known else ["it was not built yet"]


def differences(before, now):
    """What differs between the inputs of two generations, as a list of str."""
    if before.get("ref root") != now["ref root"]:
        return ["the repo was moved or copied from %s" % before.get("ref root")]
    labels = sorted(label for label in set(before) | set(now) if before.get(label) != now.get(label))
    return ["%s changed" % label.replace("file " + now["ref root"] + os.sep, "") for label in labels]


def kept_python(environment):
    """The `Interpreter` of the newest generation while it is what it was and satisfies the request.

    None if there is none, or if the selector or the user's choice changed.
    """
    for generation in generations(environment)[:1]:
        python, before = generation.python, generation.inputs
        field = "python_selector_file_rel_path"
        choices = [PYTHON_VAR, field, "file " + environment.path(environment[field])]
        is_same = all(before.get(each) == environment.inputs.get(each) for each in choices)
        is_wanted = not any(why_not(each, python) for each in environment.wanted())
        is_free = not environment.required.path  # else the request names an executable
        if is_free and is_same and is_wanted and python.identity() == generation.identity:
            report.detail("python kept from the newest generation: %s" % python)
            return python
    return None


def prepare_state(root):
    """Make the state directory, which git ignores through a file of its own."""
    ignore = state_dir(root, ".gitignore")
    try:
        if not os.path.exists(ignore):
            write_atomic(ignore, b"*\n")
    except OSError as problem:
        raise PrimeError("cannot write to %s: %s" % (os.path.dirname(ignore), problem.strerror),
                         hint="%s names another place" % STATE_VAR)


def build(environment, python, driver):
    """Build, check and complete a new generation; the lock is held. Returns a `Generation`.

    Whatever goes wrong, what was half-made is removed and the error goes on.
    """
    import json
    import time

    identity = python.identity()
    key = digest([environment.inputs, driver.name, identity["path"], identity["version"], python.implementation])
    directory = free_directory(environment, key)
    prompt = os.path.basename(environment.root)
    prompt += "" if environment.name == "default" else "-" + environment.name
    try:
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        create_venv(python, directory, driver, prompt)
        if environment["lock_file"]:
            driver.install_lock(environment, directory)
        install(environment, driver, directory)
        for command in environment["post_boot"]:
            run_post_boot(command, directory, environment)
        meta = {"schema": SCHEMA, "name": environment.name, "key": key, "driver": driver.name,
                "python": vars(python), "identity": identity, "inputs": environment.inputs,
                "listing": listing_of(directory),
                # The newest even if the clock was set back (T7).
                "created": max([time.time()] + [each.created + 1 for each in generations(environment)])}
        generation = Generation(directory, json.loads(as_json(meta)))
        generation.is_new = True
        if damage_of(generation):
            raise PrimeError("the new generation is damaged: %s" % damage_of(generation))
        changed = differences(environment.inputs, inputs_of(environment))
        if changed:  # what was installed is neither the old nor the new
            raise PrimeError("while the environment was built, %s" % changed[0], hint="do it again")
        write_atomic(os.path.join(directory, MARKER), as_json(meta).encode())
    except BaseException:
        remove(directory)
        raise
    return generation


def install(environment, driver, directory):
    """Install what an environment requires; PrimeError if a tool fails, or if nothing arrives."""
    requirements = install_requirements(environment)
    options, before = index_options(environment), listing_of(directory)
    if environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    if requirements:
        driver.install(requirements, directory, options, environment.root)
    elif not environment["lock_file"]:
        report.note("nothing to install: no [project], requirements.txt, or dependencies in the config")
    # A requirement with a marker may mean nothing, and so may a file.
    is_sure = any(";" not in each for each in environment["dependencies"])
    is_sure = is_sure or any(each["installable"] for each in environment["projects"])
    if is_sure and not environment["lock_file"] and listing_of(directory) == before:
        raise PrimeError("nothing was installed into %s" % directory,
                         hint="look for target or prefix in the config of the tool")


def run_post_boot(command, directory, environment):
    """Run a command in a generation that is not published yet; PrimeError if it fails."""
    environ, title = activated(directory, environment["env_vars"]), "post_boot: %s" % shown(command)
    if os.path.isfile(environment.path(command[0])):  # else it would be looked for where the user is
        command = [environment.path(command[0])] + command[1:]
    try:
        argv = command_argv(command, directory, environ["PATH"])
    except PrimeError as problem:
        raise PrimeError("%s failed: %s" % (title, problem))
    run_tool(argv, title, environ, environment.root)


def unfinished_prefix(root):
    """The generation that is being built and whose post_boot command started this process; else ""."""
    prefix = os.environ.get("VIRTUAL_ENV", "")
    is_ours = os.path.dirname(prefix) == state_dir(root, "envs")
    return prefix if is_ours and not os.path.exists(os.path.join(prefix, MARKER)) else ""


def command_argv(command, prefix, search):
    """The argument list, its first a path, that runs a user's command in an environment.

    command  list of str: a program of the environment or of the search path, -m MODULE, or a .py file
    PrimeError with status 127 if there is no such program.
    """
    if command[0] == "-m" or (command[0].endswith(".py") and os.path.isfile(command[0])):
        return [environment_python(prefix)] + list(command)
    program = find_program(command[0], search)
    if command[0] in ("pip", "pip3") and not program.startswith(prefix + os.sep):  # would be another python's
        raise PrimeError("there is no pip in this environment", status=127,
                         hint="list what you need in the config; with uv made, it has no pip of its own")
    if not program:
        raise PrimeError("no program %s in the environment or on PATH" % command[0], status=127)
    return [program] + list(command[1:])


def free_directory(environment, key):
    """Where a new generation of this key is built, less the leftovers of builds that died.

    Never where there is something: children of a build that was killed may still write to it (B1).
    """
    import shutil

    base = state_dir(environment.root, "envs", "%s-%s" % (environment.name, key))
    directory = unused(base)
    for left in [base] + ["%s.%d" % (base, count) for count in range(2, 100)]:
        if os.path.isdir(left) and not os.path.exists(os.path.join(left, MARKER)):
            shutil.rmtree(left, ignore_errors=True)
    return directory


def unused(path):
    """The first of `path`, `path`.2, `path`.3, ... where there is nothing."""
    name, count = path, 1
    while os.path.lexists(name):
        count += 1
        name = "%s.%d" % (path, count)
    return name


def link_to(environment, generation):
    """The link that tools look for, `.venv`, and where it leads when `generation` is published: two str."""
    link, target = environment.path(environment["venv_dir_rel_path"]), generation.path
    if target.startswith(environment.root + os.sep) and not WINDOWS:
        target = os.path.relpath(target, os.path.dirname(link))
    return link, target


def publish(environment, generation):
    """Let the link lead to a generation, by one rename. Returns what `link_to` does.

    What stands there and is not ours is renamed to .venv.before-prime, never removed (T4).
    """
    link, target = link_to(environment, generation)
    if not leads_to(link, target):
        with locked(state_dir(environment.root, "lock"), "publishing environment %s" % environment.name):
            set_aside(environment, link)
            replace_link(target, link)
        report.detail("published: %s -> %s" % (link, target))
    return link, target


def leads_to(link, target):
    """Whether `link` is a link with this target."""
    try:
        return os.path.samefile(link, target) if WINDOWS else os.readlink(link) == target
    except OSError:
        return False


def set_aside(environment, link):
    """Rename what stands at `link`, unless it is a link that was made here."""
    if not os.path.lexists(link):
        return
    try:
        target = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:  # no link
        target = ""
    ours = state_dir(environment.root, "envs"), os.path.join(".prime", "envs")
    if os.path.dirname(target).endswith(ours) or os.path.exists(os.path.join(target, MARKER)):
        return
    aside = unused(link + ".before-prime")
    os.rename(link, aside)
    report.note("%s was not made by prime: renamed to %s" % (link, os.path.basename(aside)))


def replace_link(target, link):
    """Make a link, or lead the one that is there elsewhere, in one step."""
    aside = "%s.%d.tmp" % (link, os.getpid())
    os.makedirs(os.path.dirname(link), exist_ok=True)
    remove(aside)
    if WINDOWS:  # a junction takes no privilege, but cannot replace another in one step
        import _winapi

        _winapi.CreateJunction(target, aside)  # type: ignore[attr-defined]
        if os.path.lexists(link):
            os.rmdir(link)
        os.rename(aside, link)
    else:
        os.symlink(target, aside)
        os.replace(aside, link)


def stamp_path(root, requested):
    """Where the stamp is: what was looked at when an environment was last found current."""
    return state_dir(root, "stamp", requested or "default")


def stamp_head(root, requested):
    """What a stamp begins with: whose it is, of which place, and made under which variables."""
    told = [os.environ.get(name, "") for name in (PYTHON_VAR, DRIVER_VAR)]
    return [STAMP_MAGIC, sys.platform, root, requested] + told


def read_stamp(root, requested, moves_link):
    """The fast answer, if all is as the stamp of an environment says, the link too if that matters.

    Returns (prefix of its python, list of (name, value) of its variables, what there is to say), or None:
    something changed, or the stamp is absent, garbage or another's (T5).
    """
    head = stamp_head(root, requested)
    try:
        with open(stamp_path(root, requested), "rb") as file:
            parts = file.read().decode("utf-8", "surrogateescape").split("\0")
        if parts[: len(head)] != head or parts[-1] != STAMP_MAGIC:
            return None
        prefix, link, target, said, count = parts[len(head): len(head) + 5]
        pairs = list(zip(parts[len(head) + 5: -1: 2], parts[len(head) + 6: -1: 2]))
        holds = not moves_link or leads_to(link, target)
        holds = holds and all(signature(path) == known for path, known in pairs[int(count):])
        return (prefix, pairs[: int(count)], said) if holds else None
    except (OSError, ValueError):
        return None


def write_stamp(environment, generation, published):
    """Keep what was looked at for the next boot, with signatures from before the files were read.

    published  (link, target), or ("", "") if this boot leaves the link alone
    No stamp is kept while a file is so fresh that a change to it could hide.
    """
    seen, path = environment.config.seen, stamp_path(environment.root, environment.requested)
    if any(is_fresh(each) for each in seen):
        remove(path)
        return
    ours = [generation.program, site_packages(generation.path), os.path.dirname(generation.path)]
    ours += [os.path.join(generation.path, name) for name in ("pyvenv.cfg", MARKER)]
    watched = dict(seen, **{each: signature(each) for each in ours})
    env_vars = environment["env_vars"]
    parts = stamp_head(environment.root, environment.requested) + [generation.path, *published]
    parts += [current_line(environment, generation), str(len(env_vars))]
    for pair in list(env_vars.items()) + sorted(watched.items()):
        parts += pair
    try:
        write_atomic(path, "\0".join(parts + [STAMP_MAGIC]).encode("utf-8", "surrogateescape"))
    except OSError as problem:  # without it boots are slower, no worse
        report.detail("no stamp: %s" % problem)


def is_fresh(path):
    """Whether a file changed so lately that another change could leave its `stat` as it is (T7)."""
    import time

    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return False
    changed = st.st_mtime_ns if WINDOWS else st.st_ctime_ns
    granularity = 5 * 10 ** 7 if changed % 10 ** 9 else 2 * 10 ** 9  # ns; some file systems count seconds
    return time.time() * 10 ** 9 - changed < granularity


def current_line(environment, generation):
    """What is said when there is nothing to do."""
    place, version = environment["venv_dir_rel_path"], generation.python.version
    return "%s is current (environment %s, python %s)" % (place, environment.name, version)


# --------------------------------------------------------------------------------------------------
# Stages
# --------------------------------------------------------------------------------------------------


def fast_path(argv):
    """Answer `prime` and `prime run CMD...` from the stamp alone, if it proves that nothing is to do.

    Reads one file and calls `stat`, with `os` and `sys` alone. Returns the exit status; for `run` it
    does not return at all; None when it cannot tell, and then the long way does.
    """
    command, requested = None, os.environ.get(ENV_VAR, "")
    if argv[:1] == ["-e"] and argv[1:]:
        requested, argv = argv[1], argv[2:]
    if argv[:1] == ["run"]:
        command = argv[2:] if argv[1:2] == ["--"] else argv[1:]
        if not command or command[0][:1] == "-" and command[0] != "-m":
            return None
    elif argv not in ([], ["boot"]):
        return None
    if PY_EXEC in os.environ or LOG_VAR in os.environ:
        return None
    try:
        known = read_stamp(find_root(), requested, moves_link=command is None or not requested)
        if known is None:
            return None
        prefix, env_vars, said = known
        if command is not None:
            hand_over(command, prefix, env_vars)
        report.note(said)
        return 0
    except (PrimeError, OSError, ValueError):
        return None


def hand_over(command, prefix, env_vars):
    """Become the user's command inside the environment directory `prefix`."""
    environ = activated(prefix, env_vars)
    replace_process(command_argv(command, prefix, environ["PATH"]), environ)


def take_stage(root):
    """The stage this process is in; the variable is taken away, so that no child sees it (E5)."""
    stage, _, place = os.environ.pop(PY_EXEC, "").partition(":")
    return stage if stage in STAGES and place == root else "wild"


def hop(python, root):
    """Start over in the stage `required`, under the interpreter at the path `python`; does not return."""
    report.detail("stage required: going on under %s" % python)
    environ = dict(clean_environ(), **{PY_EXEC: "required:%s" % root})
    replace_process([python, os.path.abspath(script_path())] + sys.argv[1:], environ)


def select_interpreter(environment, stage, is_anew=False):
    """The `Interpreter` for a new generation: the running one in the stage `required`, the kept one, or
    what `probe_python` selects, after a download by uv if need be. PrimeError if there is none.
    """
    if stage == "required":
        python = interpreter_at(running_python())
        # Not a loop back to the wild stage, for a python that lies would come here for ever.
        demand(python, environment.wanted(), "stage required (unset %s, if that is stale)" % PY_EXEC)
        return python
    python = None if is_anew else kept_python(environment)
    python = python or probe_for(environment)
    if python is None and not environment.required.path and environment["venv_driver"] != "venv_pip":
        text = environment.required.text or ",".join(each.text for each in environment.also)
        try:
            if is_offline():
                raise PrimeError("offline, so that uv may not download it")
            driver = choose_driver("venv_uv", environment["uv_version"], index_options(environment))
            driver.provide(text)
        except PrimeError as problem:
            raise no_python(environment, ["uv: %s" % problem] + problem.tried)
        python = probe_for(environment)
    if python is None:
        raise no_python(environment)
    return python


def probe_for(environment):
    """`probe_python` with all that an environment says of it."""
    environment.tried = []
    selector = environment["python_selector_file_rel_path"]
    return probe_python(environment.required, selector, environment.root, environment.name,
                        environment.tried, environment.also)


def no_python(environment, more=()):
    """The PrimeError that says what was asked for, what was tried, and why none of it will do."""
    required = environment.required
    field = "requires-python" if required in environment.also else "required_python_version"
    hint = "install it"
    if required.origin == "command line":
        field = "the request"
    elif environment["venv_driver"] == "venv_pip":
        hint += ', or set venv_driver = "venv_uv" and allow downloads'
    return PrimeError('no python satisfies %s "%s"' % (field, required), required.origin,
                      [str(each) for each in environment.tried] + list(more), hint)


def have_generation(environment, stage, is_anew=False):
    """The current generation of an environment, built if need be, maybe under another python.

    stage    str, where this process is; "" if it may not be replaced
    is_anew  build one even if there is one
    """
    generation, reasons = find_generation(environment)
    if generation and not is_anew:
        return generation
    python = select_interpreter(environment, stage, is_anew)
    is_running = os.path.realpath(running_python()) == os.path.realpath(python.path)
    if stage == "wild" and script_path() and not (is_running and sys.prefix == sys.base_prefix):
        hop(python.path, environment.root)
    if stage != "required":
        report.detail("stage required: skipped, %s builds with %s" % (running_python(), python))
    prepare_state(environment.root)
    if unfinished_prefix(environment.root):
        raise PrimeError("environment %s is being built by what started this" % environment.name)
    with locked(state_dir(environment.root, "lock"), "building environment %s" % environment.name):
        generation, _ = find_generation(environment)
        if generation and not is_anew:  # built by the process that we waited for
            return generation
        report.open_log(state_dir(environment.root, "log"))
        reason = "a new one is asked for" if is_anew else "; ".join(reasons)
        report.note("building environment %s: %s" % (environment.name, reason))
        driver = choose_driver(environment["venv_driver"], environment["uv_version"], index_options(environment))
        return build(environment, python, driver)


def boot_environment(environment, stage, is_anew=False, moves_link=True):
    """`have_generation`, published and stamped. Returns the `Generation`."""
    generation = have_generation(environment, stage, is_anew)
    prepare_state(environment.root)
    write_stamp(environment, generation, publish(environment, generation) if moves_link else ("", ""))
    report.detail("stage venv: %s (%s)" % (generation.program, generation.python.version))
    return generation


# --------------------------------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------------------------------


def used_name(config):
    """The environment that `prime use` made this clone's; "" if none, or if it is configured no more."""
    path = config.look(state_dir(config.root, "use"))
    name = load_text(path).strip() if os.path.isfile(path) else ""
    if name and name not in set(config.table.get("env", {})) | {"default"}:
        report.note('environment "%s", which prime use chose, is configured no more' % name)
        return ""
    return name


def open_environment(options):
    """The `Environment` that options, variables and `prime use` ask for."""
    config = load_config(options.root)
    requested = options.env or os.environ.get(ENV_VAR, "")
    return load_environment(config, requested or used_name(config), requested)


def command_boot(options, is_anew=False):
    """make the environment current: build what is missing"""
    environment = open_environment(options)
    generation = boot_environment(environment, options.stage, is_anew)
    line = current_line(environment, generation)
    report.note(line.replace(" is current", " is ready") if generation.is_new else line)
    return 0


RUN_USAGE = "prime run [--no-boot] [--] CMD..."


def command_run(options):
    """become a command in the environment"""
    words, boots = list(options.words), True
    if words[:1] == ["--no-boot"]:
        words, boots = words[1:], False
    if words[:1] == ["--"]:
        words = words[1:]
    elif words and words[0][:1] == "-" and words[0] != "-m":
        raise PrimeError("run: unknown option %s" % words[0], status=2,
                         hint="%s; other options stand before run" % RUN_USAGE)
    if not words:
        raise PrimeError("run: no command is given", hint=RUN_USAGE, status=2)
    environment = open_environment(options)
    prefix = unfinished_prefix(environment.root)
    if boots and not prefix:
        prefix = boot_environment(environment, options.stage, moves_link=not environment.requested).path
    elif not prefix:
        known = generations(environment)
        if not known:
            raise PrimeError("environment %s was not built yet" % environment.name, hint="prime boot")
        prefix = (find_generation(environment)[0] or known[0]).path
    try:
        hand_over(words, prefix, environment["env_vars"])
    except OSError as problem:
        status = 127 if isinstance(problem, FileNotFoundError) else 126
        raise PrimeError("cannot run %s: %s" % (words[0], problem.strerror), status=status)


def command_info(options):
    """what is configured, from where, and whether the environment is current"""
    environment = open_environment(options)
    generation, reasons = find_generation(environment)
    selected = None  # type: Candidate | None
    if generation and not environment.requested and not leads_to(*link_to(environment, generation)):
        reasons = ["%s is missing, or leads elsewhere" % environment["venv_dir_rel_path"]]
    if generation:
        selected = Candidate(generation.python.path, "generation", generation.python, "selected")
    else:
        try:
            python = kept_python(environment) or probe_for(environment)
            selected = python and Candidate(python.path, "search", python, "selected")
        except PrimeError as problem:
            reasons = reasons + [str(problem)]
        selected = next((each for each in environment.tried if each.verdict == "selected"), selected)
    told = {
        "schema": SCHEMA,
        "root": environment.root,
        "config": {name: {"value": environment[name], "from": environment.origins[name]} for name in FIELDS},
        "environment": environment.name,
        "driver": generation.driver if generation else environment["venv_driver"],
        "required": {"request": environment.required.text, "from": environment.required.origin},
        "selected_python": selected and selected.as_dict(),
        "venv": generation and {
            "path": environment.path(environment["venv_dir_rel_path"]),
            "generation": generation.path,
            "python": generation.program,
            "version": generation.python.version,
        },
        "current": not reasons,
        "reasons": reasons,
    }
    emit(as_json(told) if options.json else info_text(told))
    return 1 if reasons else 0


def info_text(told):
    """What `info --json` says, for people."""
    selected, venv, required = told["selected_python"], told["venv"], told["required"]
    rows = [
        ("root", told["root"]),
        ("environment", told["environment"]),
        ("driver", told["driver"]),
        ("required", "%s (%s)" % (required["request"] or "any python", required["from"])),
        ("selected", "%s (%s)" % (selected["path"], selected["version"]) if selected else "none"),
        ("venv", "%s -> %s" % (venv["path"], venv["generation"]) if venv else "none"),
        ("current", "yes" if told["current"] else "no: " + "; ".join(told["reasons"])),
    ]
    rows += [(name, "%s (%s)" % (entry["value"], entry["from"]))
             for name, entry in told["config"].items() if entry["from"] != "default"]
    width = max(len(name) for name, _ in rows)
    return "".join("%-*s  %s\n" % (width, name, text) for name, text in rows)


def command_python(options):
    """the path of the python that a request selects"""
    environment = open_environment(options)
    if options.request is not None:
        environment.required, environment.also = parse_request(options.request, "command line"), []
    everything = judge_all(candidates(environment.required), environment.wanted()) if options.all else []
    python = probe_for(environment)
    known = {candidate.path for candidate in environment.tried}
    listed = environment.tried + [each for each in everything if each.path not in known]
    if not options.all:
        listed = [each for each in listed if each.verdict == "selected"]
    if options.json:
        told = [candidate.as_dict() for candidate in listed]
        emit(as_json({"schema": SCHEMA, "request": environment.required.text, "candidates": told}))
    elif options.all:
        emit("".join("%-9s %-6s %s\n" % (each.verdict, each.source, each) for each in listed))
    elif python:
        emit(python.path + "\n")
    if python is None:
        raise no_python(environment)
    return 0


def command_use(options):
    """make an environment this clone's from now on"""
    if not options.name:
        raise PrimeError("use: no environment is named", status=2)
    environment = load_environment(load_config(options.root), options.name)
    generation = boot_environment(environment, options.stage, moves_link=False)
    write_atomic(state_dir(options.root, "use"), (options.name + "\n").encode())
    publish(environment, generation)
    report.note("%s is this clone's environment from now on (python %s)" % (
        environment.name, generation.python.version))
    return 0


def command_reset(options):
    """a new generation from scratch; the old one stays until the new one works"""
    return command_boot(options, is_anew=True)


# --------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------

COMMANDS = {
    "boot": command_boot,
    "run": command_run,
    "info": command_info,
    "python": command_python,
    "use": command_use,
    "reset": command_reset,
}


class Options:
    """What a command line asks for; the defaults."""

    command, env, root, name = "boot", "", "", ""
    verbose, quiet, offline, json, all = 0, False, False, False, False
    request, words = None, ()


def parse_command_line(argv):
    """The `Options` of a command line. PrimeError with status 2 for what it does not understand.

    The words behind `run` are taken out first, for they are another program's.
    """
    options, place = Options(), 0
    while place < len(argv) and argv[place][:1] == "-":
        word = argv[place]
        place += 2 if word == "--root" or word[:2] != "--" and word.endswith("e") else 1
    if argv[place: place + 1] == ["run"] and argv[place + 1: place + 2] not in (["-h"], ["--help"]):
        argv, options.words = argv[: place + 1], argv[place + 1:]
        options.command = "run"
    if argv not in ([], ["boot"], ["run"]):  # argparse takes as long as all the rest of a quick boot
        make_parser().parse_args(argv, namespace=options)
    levels = {"error": -1, "info": 1, "debug": 2}
    report.verbosity = options.verbose or levels.get(os.environ.get(LOG_VAR, "").lower(), 0)
    if options.quiet:
        report.verbosity = -1
    if options.offline:
        os.environ[OFFLINE_VAR] = "1"
    return options


def make_parser():
    """The parser of the command line; an option may stand before the command or behind it."""
    import argparse

    def formatter(prog):  # made for each argument, and one without a width loads shutil
        return argparse.HelpFormatter(prog, width=100)

    class Parser(argparse.ArgumentParser):
        def __init__(self, **options):
            super().__init__(argument_default=argparse.SUPPRESS, formatter_class=formatter, **options)

        def error(self, message):
            raise PrimeError(message, hint="%s --help" % self.prog, status=2)

    def new_parser(make, *names, **rest):
        parser = make(*names, **rest)
        parser.add_argument("-v", dest="verbose", action="count", help="say more; -vv says all")
        parser.add_argument("-q", dest="quiet", action="store_true", help="print errors alone")
        parser.add_argument("-e", dest="env", metavar="NAME", help="the environment, not the clone's own")
        parser.add_argument("--root", metavar="DIR", help="the ref root, not the one that is found")
        parser.add_argument("--offline", action="store_true", help="open no socket")
        return parser

    parser = new_parser(Parser, prog="prime", description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version="proto_prime %s" % __version__)
    commands, parsers = parser.add_subparsers(metavar="COMMAND", prog="prime"), {}
    for name, function in COMMANDS.items():
        about = function.__doc__
        if name == "run":  # what follows it is another program's
            commands.add_parser(name, help=about, description=about, usage=RUN_USAGE)
            continue
        parsers[name] = new_parser(commands.add_parser, name, help=about, description=about)
        parsers[name].set_defaults(command=name)
    for name in ("info", "python"):
        parsers[name].add_argument("--json", action="store_true", help="as JSON")
    parsers["python"].add_argument("--all", action="store_true", help="every candidate, and the verdict on it")
    parsers["python"].add_argument("request", nargs="?", metavar="REQUEST", help="default: the repo's own")
    parsers["use"].add_argument("name", metavar="NAME")
    return parser


def isolate():
    """Keep the repo's types.py or logging.py out of our imports (E4), and our warnings to ourselves (E2)."""
    try:
        cwd = os.getcwd()
    except OSError:  # E7: it was deleted
        cwd = os.sep

    def absolute(path):
        return os.path.normpath(os.path.join(cwd, path))

    scripts = [absolute(path) for path in (script_path(), sys.argv[0]) if path]
    own = [os.path.dirname(place) for path in scripts for place in (path, os.path.realpath(path))]
    places = set(map(absolute, own + [""] + os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    sys.path[:] = [path for path in sys.path if absolute(path) not in places]
    if sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")


def catch_signals():
    """Turn SIGINT, SIGTERM and SIGHUP into an exception, unless they are ignored, as by nohup."""
    import _signal

    def interrupt(signum, frame):
        raise Interrupted(signum)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(_signal, name, None)
        if number and _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, interrupt)


def main(argv=None):
    """The command line. Returns the exit status; `run` replaces the process instead.

    argv  list of str, the arguments less the program's name; default: those of this process, whose
          signal handlers and sys.path are then set, and which is replaced where a stage takes another
          python. SystemExit for --help and --version, by argparse
    """
    is_ours = argv is None
    argv = sys.argv[1:] if argv is None else list(argv)
    if is_ours:
        isolate()
    status = fast_path(argv)
    if status is not None:
        return status
    try:
        if is_ours:
            catch_signals()
        options = parse_command_line(argv)
        options.root = find_root(options.root)
        options.stage = take_stage(options.root)
        report.detail("stage %s: %s (%s)" % (options.stage, running_python(), sys.version.split()[0]))
        report.detail("ref root: %s" % options.root)
        options.stage = options.stage if is_ours else ""
        return COMMANDS[options.command](options)
    except PrimeError as error:
        return fail(error)
    except BrokenPipeError:  # `| head -1`
        return 128 + 13
    except OSError as problem:
        return fail(PrimeError(problem.strerror or str(problem), problem.filename or ""))
    except UnicodeError as problem:  # E10: 3.6 in the C locale
        return fail(PrimeError("a path has characters that this locale cannot say: %s" % problem))
    except Interrupted as stop:
        for process in list(_live):  # those that other threads wait for
            end_group(process, grace=0)
        return fail(PrimeError("interrupted by signal %d" % stop.signum, status=128 + stop.signum))


def fail(error):
    """Report an error, at -vv with where it comes from. Returns its exit status."""
    report.error(error)
    if report.verbosity >= 2:
        import traceback

        report.output(traceback.format_exc().encode("utf-8", "backslashreplace"))
    return error.status


if __name__ == "__main__":
    sys.exit(main())
