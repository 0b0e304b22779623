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

Each stage replaces the one before (os.execve) and is named in PROTOPRIMER_PY_EXEC; a stage that is
not needed is skipped, so that a repo with nothing to do takes one hop from wild to the command.
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
        self.message, self.where, self.tried = message, where, tuple(tried)
        self.hint, self.status = hint, status

    def __str__(self):
        return "%s (%s)" % (self.message, self.where) if self.where else self.message

    def lines(self):
        """All that there is to say, a line each."""
        return [str(self)] + ["  " + line for line in self.tried]


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came; like KeyboardInterrupt not an Exception."""

    def __init__(self, signum):
        super().__init__(signum)
        self.signum = signum


class Reporter:
    """The one voice: everything for people goes to stderr and to the log, never to stdout."""

    def __init__(self):
        self.verbosity = 0  # -1 quiet, 0 notices, 1 decisions and commands, 2 the children's output
        self.log = None
        self.step_title, self.step_start, self.live = "", 0.0, False

    def note(self, text):
        """A line that everybody sees who did not ask for quiet."""
        self._say("prime: " + text, 0)

    def detail(self, text):
        """A line for -v: a stage, a decision with its reason, a child command."""
        self._say("prime: " + text, 1)

    def output(self, data):
        """Bytes that a child printed: in the log always, on stderr with -vv."""
        text = data.decode("utf-8", "backslashreplace")
        self._write_log(text)
        if self.verbosity >= 2:
            self._write(text)

    def error(self, error):
        """A PrimeError, with what was tried and a hint."""
        first = error.lines()
        self._say("prime: %s %s" % (self._paint("error:", "31"), first[0]), -1)
        for line in first[1:]:
            self._say(line, -1)
        if error.hint:
            self._say("  %s %s" % (self._paint("hint:", "36"), error.hint), -1)

    def step(self, title):
        """Announce long work: a plain line, or on a terminal a live one until `done`."""
        import time

        self.step_title, self.step_start = title, time.time()
        self.live = self._is_terminal() and self.verbosity == 0
        if self.live:
            self._write_log("prime: %s\n" % title)
            self.tick()
        else:
            self.note(title)

    def tick(self):
        """Renew the live line; called some ten times a second while a child works."""
        if self.live:
            import shutil
            import time

            line = "prime: %s %.0f s" % (self.step_title, time.time() - self.step_start)
            self._write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])

    def done(self):
        """End the live line, if there is one."""
        if self.live:
            self._write("\r\x1b[K")
        self.live = False

    def open_log(self, directory):
        """Send all that follows to a new file in `directory` too, and keep the newest five."""
        import time

        try:
            os.makedirs(directory, exist_ok=True)
            for old in sorted(name for name in os.listdir(directory) if name.endswith(".log"))[:-4]:
                os.remove(os.path.join(directory, old))
            name = time.strftime("%Y%m%d-%H%M%S") + "-%d.log" % os.getpid()
            self.log = open(
                os.path.join(directory, name), "a", encoding="utf-8", errors="backslashreplace"
            )
        except OSError as problem:  # a log is a courtesy: work goes on without
            self.detail("no log: %s" % problem)

    def _say(self, text, level):
        self.done()
        self._write_log(text + "\n")
        if self.verbosity >= level:
            self._write(text + "\n")

    def _write(self, text):
        try:
            if sys.stderr is not None:  # E7: stderr may be closed
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            pass

    def _write_log(self, text):
        try:
            if self.log:
                self.log.write(text)
                self.log.flush()
        except OSError:
            self.log = None

    def _is_terminal(self):
        return bool(sys.stderr) and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _paint(self, text, colour):
        wanted = os.environ.get("FORCE_COLOR") or (
            not os.environ.get("NO_COLOR") and self._is_terminal()
        )
        return "\x1b[%sm%s\x1b[0m" % (colour, text) if wanted else text


report = Reporter()


def emit(text):
    """Write data to stdout, byte for byte what the file system gave (E10: any locale)."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def tilde(path):
    """`path` as people write it: below the home directory with ~."""
    home = os.path.expanduser("~")
    inside = home != "/" and path.startswith(home + os.sep)
    return "~" + path[len(home) :] if inside else path


# --------------------------------------------------------------------------------------------------
# Files and children
# --------------------------------------------------------------------------------------------------


def load_text(path):
    """The text of a UTF-8 file, less a byte-order mark; PrimeError if that is not what it is."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not UTF-8: %s" % problem
        raise PrimeError("cannot read %s: %s" % (path, reason), status=2)


def write_atomic(path, data):
    """Write bytes so that a reader, or a crash, sees the old file or the new one, whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.replace(aside, path)
    except BaseException:
        remove(aside)
        raise


def remove(path):
    """Remove a file, link or tree if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def hash_file(path):
    """SHA-256 of a file's bytes in hex, or "" if there is no such file."""
    import hashlib

    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def signature(path):
    """What `stat` knows of a file's content; "-" if there is none. Equal means unchanged.

    The inode and ctime tell a file replaced by one of equal size and mtime (T7).
    """
    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return "-"
    return "%d.%d.%d.%d" % (st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)


class locked:
    """Hold the lock file at `path` inside `with`; the system drops it when its holder dies.

    Waits without limit, and says once for whom. `purpose` is what others are told of us.
    """

    def __init__(self, path, purpose):
        self.path, self.purpose, self.file = path, purpose, None

    def __enter__(self):
        import time

        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.file = open(self.path, "a+b", buffering=0)
            told = False
            while not self._try():
                if not told:
                    report.note("waiting for %s" % self._holder())
                    told = True
                time.sleep(0.05)
        except OSError as problem:  # B4
            raise PrimeError(
                "cannot lock %s: %s" % (self.path, problem.strerror),
                hint="%s names another place for what this repo keeps" % STATE_VAR,
            )
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
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            return False

    def _holder(self):
        self.file.seek(0)
        return self.file.read(200).decode("utf-8", "replace") or "another prime"


# What pip and uv take from the environment that would send an install elsewhere (E3).
TOOL_VARS = """VIRTUAL_ENV VIRTUAL_ENV_PROMPT CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT
PIP_DRY_RUN PIP_PYTHON PIP_REQUIRE_VIRTUALENV PIP_REPORT UV_PROJECT UV_WORKING_DIR UV_PYTHON
UV_WORKING_DIRECTORY UV_PYTHON_PREFERENCE UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON UV_SYSTEM_PYTHON
UV_PROJECT_ENVIRONMENT UV_BREAK_SYSTEM_PACKAGES UV_FROZEN UV_LOCKED UV_NO_SYNC UV_VENV_SEED
UV_VENV_CLEAR""".split()


def clean_environ(for_tool=False):
    """A copy of the environment that is fit for another interpreter.

    For the user's commands only what would bind that interpreter to this one is left out:
    PYTHONHOME, and __PYVENV_LAUNCHER__ (bpo-35811). For tools and probes every PYTHON* goes as well,
    since a bogus one kills the start (facts: -E does not neutralise them all), and `TOOL_VARS`.
    """
    environ = dict(os.environ)
    dropped = [PY_EXEC, "PYTHONHOME", "__PYVENV_LAUNCHER__"]
    if "PYENV_DIR" in environ:  # set by a shim, with a PYENV_VERSION that breaks every other shim
        dropped += ["PYENV_DIR", "PYENV_VERSION", "PYENV_HOOK_PATH"]
    if for_tool:
        dropped += TOOL_VARS + [name for name in environ if name.startswith("PYTHON")]
    for name in dropped:
        environ.pop(name, None)
    return environ


def activated(prefix, env_vars=()):
    """The environment of a user's command inside the environment directory `prefix`."""
    environ = clean_environ()
    environ["VIRTUAL_ENV"] = prefix
    environ.pop("VIRTUAL_ENV_PROMPT", None)
    search = environ.get("PATH", os.defpath)
    environ["PATH"] = os.path.join(prefix, BIN) + (os.pathsep + search if search else "")
    environ.update(env_vars)
    return environ


class Child:
    """What became of a child: `status` (negative for a signal), bytes, `problem` if it was cut."""

    def __init__(self, status, stdout=b"", stderr=b"", problem=""):
        self.status, self.stdout, self.stderr, self.problem = status, stdout, stderr, problem

    def tail(self, lines=12):
        """The last non-blank lines of what it printed, stderr rather than stdout."""
        text = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "backslashreplace")
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    def __str__(self):
        if self.problem:
            return self.problem
        how = "signal %d" % -self.status if self.status < 0 else "exit status %d" % self.status
        return ": ".join(["failed", how] + self.tail(1))


OUTPUT_CAP = 1 << 16  # bytes kept of each stream; the log has the rest


def run_child(argv, environ=None, cwd=os.sep, timeout=None, until=b"", logged=False):
    """Run a program to its end, stdin closed, in a process group of its own.

    timeout  seconds, after which the group is killed and `problem` says so
    until    bytes on stdout after which the answer is complete: the group is killed at once, for a
             shim's leftovers would keep the pipe open
    logged   its output goes to the log as it comes
    Returns a `Child`; one that cannot be started has status 127 or 126 and a `problem`.
    """
    import subprocess
    import threading
    import time

    report.detail("run: " + " ".join(quoted(word) for word in argv))
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environ(for_tool=True) if environ is None else environ,
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as problem:
        status = 127 if isinstance(problem, FileNotFoundError) else 126
        return Child(status, problem="cannot be started: %s" % problem)
    changed, buffers = threading.Condition(), (bytearray(), bytearray())
    pipes = [process.stdout, process.stderr]  # those that are still open
    readers = [
        threading.Thread(target=_drain, args=(pipe, buffer, pipes, changed, logged), daemon=True)
        for pipe, buffer in zip(tuple(pipes), buffers)
    ]
    for reader in readers:
        reader.start()
    deadline = time.time() + timeout if timeout else None
    finished = False
    try:
        finished = _await(process, pipes, buffers[0], changed, deadline, until)
    finally:
        if not finished or until:
            end_group(process, grace=0 if until or timeout else 5)
        for reader in readers:
            reader.join(0.5)
    problem = "" if finished else "gave no answer within %.0f s" % timeout
    return Child(process.wait(), bytes(buffers[0]), bytes(buffers[1]), problem)


def _drain(pipe, buffer, pipes, changed, logged):
    """Copy a pipe to its end, keeping the last bytes; tells whoever waits on `changed`."""
    while True:
        try:
            chunk = os.read(pipe.fileno(), OUTPUT_CAP)
        except (OSError, ValueError):
            chunk = b""
        if logged and chunk:
            report.output(chunk)
        with changed:
            buffer.extend(chunk)
            del buffer[:-OUTPUT_CAP]
            if not chunk:
                pipes.remove(pipe)
            changed.notify()
        if not chunk:
            return


def _await(process, pipes, stdout, changed, deadline, until):
    """True when the child has ended or has answered, False when the time is over."""
    import time

    with changed:
        while pipes and not (until and until in stdout):
            if process.poll() is not None:  # ended; a grandchild may still hold the pipes
                changed.wait(0.1)
                break
            if deadline and time.time() >= deadline:
                return False
            changed.wait(0.1)
            report.tick()
    if not until:
        process.wait()
    return True


def end_group(process, grace):
    """End a child with all its children: SIGTERM, `grace` seconds, SIGKILL."""
    import signal
    import subprocess

    def send(signum):
        try:
            os.killpg(process.pid, signum)
        except (ProcessLookupError, PermissionError):
            pass

    if WINDOWS:
        process.kill()
        return
    if grace:
        send(signal.SIGTERM)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            pass
    send(signal.SIGKILL)


def quoted(word):
    """A word as a POSIX shell would need it."""
    import shlex

    return shlex.quote(word)


def replace_process(argv, environ):
    """Become another program (os.execve); where that is not to be had, run it and end as it did.

    `argv[0]` is a path. OSError if it cannot be run.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if not WINDOWS and not os.environ.get(SPAWN_VAR):
        import _signal  # built in; `signal` would cost an import of enum

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
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def find_program(name, search):
    """The path of program `name` on the search path, or `name` itself if it is a path; else ""."""
    if os.path.dirname(name):
        return name
    for directory in search.split(os.pathsep):
        path = os.path.join(directory or os.curdir, name)
        for found in (path, path + EXE) if EXE else (path,):
            if os.path.isfile(found) and os.access(found, os.X_OK):
                return found
    return ""


def cache_dir(*names):
    """A path in the user's cache (XDG base directories; on macOS and Windows their own)."""
    base = os.environ.get(CACHE_VAR)
    if not base:
        home = os.path.expanduser("~")
        if WINDOWS:
            base = os.environ.get("LOCALAPPDATA") or home
        elif sys.platform == "darwin":
            base = os.path.join(home, "Library", "Caches")
        else:
            base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
        base = os.path.join(base, "proto_prime")
    return os.path.join(os.path.abspath(base), *names)


def is_offline():
    """Whether the user asked that no socket be opened."""
    return os.environ.get(OFFLINE_VAR, "").lower() not in ("", "0", "false", "no")


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

    Argument, result, error and source are those of `read_toml`; the messages of the two readers differ.
    """
    try:
        import tomllib
    except ImportError:
        return read_toml(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise convert_toml_error(text, str(error)) from None
    except (ValueError, RecursionError):
        # Too long a number or too deep a nesting: tomllib does not say where, our own reader does.
        return read_toml(text)


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


def convert_toml_error(text, report):
    """Return the TomlError for a `report` of tomllib, which ends in "(at line 3, column 7)" or such."""
    import re
    message, _, place = report.rpartition(" (at ")
    numbers = re.findall("[0-9]+", place)
    if len(numbers) == 2:
        return TomlError(message, int(numbers[0]), int(numbers[1]))
    return locate_toml_error(text, len(text), message or report)


class TomlTable(object):
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
    keys = []
    while not keys or src.startswith(".", pos):
        pos, key = read_key(src, skip_blank(src, pos + bool(keys)))
        keys.append(key)
        pos = skip_blank(src, pos)
    return pos, keys


def read_key(src, pos):
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


_TOML_COMPILED = {}  # filled on first use: importing this file must not load `re`


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
    (?:-(?P<post_dash>\d+) | [-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>\d*))?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"""
PRE_PHASES = {"a": 0, "alpha": 0, "b": 1, "beta": 1}  # every other spelling means rc
OPERATORS = ("~=", "===", "==", "!=", "<=", ">=", "<", ">")
IMPLEMENTATIONS = ("cpython", "pypy", "graalpy")
REQUEST_FORMS = (
    'a version ("3", "3.12", "3.12.3", "312", "3.13t")',
    'specifiers (">=3.11,<3.14", "~=3.12", "==3.12.*")',
    'an implementation ("cpython", "pypy@3.11")',
    "a path, or the name of a program on PATH",
)


class Version:
    """A version by PEP 440, comparable through `key`; prints as it was written."""

    def __init__(self, text):
        import re

        self.text = text
        match = re.match(VERSION + "$", text.strip().lower(), re.VERBOSE | re.ASCII)
        if not match or text.strip() != text.strip("\n"):
            raise PrimeError('"%s" is not a version' % text, status=2)
        part = match.groupdict()
        self.epoch = int(part["epoch"] or 0)
        self.release = tuple(int(number) for number in part["release"].split("."))
        self.pre = part["pre"] and (PRE_PHASES.get(part["pre"], 2), int(part["pre_n"] or 0))
        post = part["post_dash"] or (part["post"] and (part["post_n"] or "0"))
        self.post = int(post) if post else None
        self.dev = int(part["dev_n"] or 0) if part["dev"] else None
        self.local = tuple(
            (1, int(piece), "") if piece.isdigit() else (0, 0, piece)
            for piece in (part["local"] or "").replace("-", ".").replace("_", ".").split(".")
            if piece
        )

    def __str__(self):
        return self.text

    @property
    def is_prerelease(self):
        return self.pre is not None or self.dev is not None

    @property
    def base(self):
        """(epoch, release without trailing zeros): what a pre- or post-release belongs to."""
        release = self.release
        while release and release[-1] == 0:
            release = release[:-1]
        return self.epoch, release

    @property
    def public_key(self):
        """Sorts as PEP 440 says: dev < pre < the release itself < post."""
        pre = self.pre or ((-1, 0) if self.dev is not None and self.post is None else (3, 0))
        post = -1 if self.post is None else self.post
        dev = float("inf") if self.dev is None else self.dev
        return self.base, pre, post, dev

    def final(self):
        """The release X.Y.Z that this is, or will become."""
        numbers = (self.release + (0, 0))[: max(3, len(self.release))]
        return Version(".".join(map(str, numbers)))


class Clause:
    """One comparison of a specifier, such as `>=3.8` or `==3.12.*` (PEP 440)."""

    def __init__(self, text):
        self.text = text = text.strip(" \t\r\n\f\v")
        self.operator = next((op for op in OPERATORS if text.startswith(op)), "")
        operand = text[len(self.operator) :].strip(" \t\r\n\f\v")
        self.operand = operand
        self.wildcard = operand.endswith(".*") and self.operator in ("==", "!=")
        if self.operator == "===" and not operand.split()[1:]:
            self.version = None  # compares text, so that anything may stand here
            return
        try:
            self.version = Version(operand[:-2] if self.wildcard else operand)
        except PrimeError:
            self.version = None
        if not self.operator or self.version is None or not self._is_sound():
            raise PrimeError('"%s" is not a version specifier' % text, status=2)

    def _is_sound(self):
        version = self.version
        if self.wildcard and (version.dev is not None or version.local):
            return False
        if version.local and self.operator not in ("==", "!="):
            return False
        return self.operator != "~=" or len(version.release) > 1

    @property
    def is_partial(self):
        """Whether this is `==3` or `==3.12`."""
        plain = self.operator == "==" and not self.wildcard and self.operand.replace(".", "").isdigit()
        return plain and self.operand.count(".") < 2

    @property
    def names_prerelease(self):
        if self.version is None:
            try:
                return Version(self.operand).is_prerelease
            except PrimeError:
                return False
        return self.version.is_prerelease

    def contains(self, version):
        """Whether a `Version` fulfils this comparison."""
        operator, mine = self.operator, self.version
        if operator == "===":
            return str(version).lower() == self.operand.lower()
        if operator in ("==", "!="):
            return self._equals(version) == (operator == "==")
        if operator == "~=":
            prefix = mine.release[:-1]
            return version.public_key >= mine.public_key and self._has_prefix(version, prefix)
        if operator == "<=":
            return version.public_key <= mine.public_key
        if operator == ">=":
            return version.public_key >= mine.public_key
        same_base = version.base == mine.base
        if operator == "<":  # excludes the pre-releases of what it names
            early = version.is_prerelease and not mine.is_prerelease and same_base
            return version.public_key < mine.public_key and not early
        late = version.post is not None and mine.post is None and same_base
        return version.public_key > mine.public_key and not late

    def _equals(self, version):
        mine = self.version
        if self.wildcard:
            exact_pre = mine.pre is None or (mine.pre == version.pre)
            return self._has_prefix(version, mine.release) and exact_pre
        same = version.public_key == mine.public_key
        return same and (not mine.local or mine.local == version.local)

    def _has_prefix(self, version, prefix):
        padded = version.release + (0,) * len(prefix)
        return version.epoch == self.version.epoch and padded[: len(prefix)] == prefix


def parse_clauses(text):
    """The clauses of comma-separated specifiers; empty ones are skipped, as `packaging` does."""
    return [Clause(part) for part in text.split(",") if part.strip(" \t\r\n\f\v")]


class Request:
    """What python is asked for. Made by `parse`; prints as it was written.

    text            the request as written; "" accepts anything
    origin          where it was written
    clauses         `Clause`s that the version must fulfil, all of them
    implementation  "cpython", "pypy", … or "" for any
    free_threaded   whether a free-threaded build is asked for
    path            an interpreter, an environment directory or a program's name, instead of all that
    """

    def __init__(self, text="", origin="", clauses=(), implementation="", path=""):
        self.text, self.origin, self.clauses = text, origin, list(clauses)
        self.implementation, self.path = implementation, path
        self.free_threaded = False

    def __str__(self):
        return self.text or "any python"

    @classmethod
    def parse(cls, text, origin="", strict=False):
        """Understand any of `REQUEST_FORMS`; PrimeError with those forms if it is none.

        A request "==3.12" means 3.12.*, as for uv; if `strict` it means 3.12.0, as in PEP 440.
        """
        if not isinstance(text, str):
            raise PrimeError("a request is a string, not %r" % (text,), origin, status=2)
        plain = text.strip()
        if not plain or plain[0] in "<>=!~,":
            try:
                clauses = parse_clauses(plain)
            except PrimeError as error:
                raise cls._malformed(text, origin, str(error))
            if not strict and len(clauses) == 1 and clauses[0].is_partial:
                clauses = [Clause(clauses[0].text + ".*")]
            return cls(text, origin, clauses)
        request = cls._parse_version(text, plain, origin)
        if request:
            return request
        is_path = os.path.dirname(plain) or plain.startswith("~")
        if is_path or find_program(plain, os.environ.get("PATH", "")):
            return cls(text, origin, path=os.path.expanduser(plain))
        raise cls._malformed(text, origin)

    @classmethod
    def _parse_version(cls, text, plain, origin):
        import re

        names = "|".join(IMPLEMENTATIONS)
        pattern = r"(?:(%s)(?:@|(?=\d)|$))?(\d+(?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?)?(t?)$" % names
        match = re.match(pattern, plain, re.ASCII)
        if not match or plain == "t" or plain.endswith("@"):
            return None
        implementation, version, threads = match.groups()
        if threads and not version:
            return None
        if version and version.isdigit() and len(version) > 1:  # 312 means 3.12
            version = version[0] + "." + version[1:]
        clauses = []
        if version:
            exact = version.count(".") == 2 or not version.replace(".", "").isdigit()
            clauses = [Clause("==" + version + ("" if exact else ".*"))]
        request = cls(text, origin, clauses, implementation or "")
        request.free_threaded = bool(threads)
        return request

    @staticmethod
    def _malformed(text, origin, reason=""):
        return PrimeError(
            'malformed request "%s"%s' % (text, ": " + reason if reason else ""),
            origin,
            ["a request is one of:"] + ["  " + form for form in REQUEST_FORMS],
            status=2,
        )

    @property
    def names_prerelease(self):
        return any(clause.names_prerelease for clause in self.clauses)

    def contains(self, version):
        """Whether a `Version` fulfils every clause.

        Unless a clause names a pre-release, X.Y.Z alone counts, as for uv: >=3.14 takes 3.14.0rc1.
        """
        return not self.failing(version)

    def failing(self, version):
        """The first clause that a `Version` does not fulfil, or None."""
        seen = version if self.names_prerelease else version.final()
        return next((clause for clause in self.clauses if not clause.contains(seen)), None)


def satisfies(request, version):
    """Whether a python version satisfies a request: satisfies("~=3.8", "3.9.1") is True.

    request  str: a version or PEP 440 specifiers, see `REQUEST_FORMS`
    version  str: a full version such as "3.12.1" or "3.14.0rc1"
    PrimeError if either is malformed, or if the request is a path or a name.
    """
    parsed = Request.parse(request, strict=True)
    if parsed.path:
        raise Request._malformed(request, "", "it names a program, not a version")
    return parsed.contains(Version(version))


# --------------------------------------------------------------------------------------------------
# Interpreters
# --------------------------------------------------------------------------------------------------

PROBE_SECONDS = 5
SELECTOR_SECONDS = 60

# Runs under any python from 2.7 on. The marks are split so that an echo of the arguments is no answer.
PROBE = """
import sys
if sys.path and not sys.path[0]: del sys.path[0]
import os
v = sys.version_info
name = sys.implementation.name if hasattr(sys, "implementation") else "cpython"
answer = ["%s" + "%s", sys.executable or "", os.path.dirname(os.__file__), name,
    "%%d.%%d.%%d" %% v[:3] + {"alpha": "a%%d", "beta": "b%%d", "candidate": "rc%%d"}.get(v[3], "")
    .replace("%%d", str(v[4])), str(64 if sys.maxsize > 2 ** 32 else 32),
    "1" if "t" in getattr(sys, "abiflags", "") else "", "%s" + "%s"]
data = "\\0".join(answer)
out = getattr(sys.stdout, "buffer", sys.stdout)
out.write(os.fsencode(data) if hasattr(os, "fsencode") else data)
out.flush()
"""


class Interpreter:
    """A python that ran and told of itself.

    path             str, absolute, the executable to start; never one inside a venv
    version          str, such as "3.12.1"
    implementation   str, such as "cpython" or "pypy"
    bits             int, 32 or 64
    free_threaded    bool
    stdlib           str, the directory of its standard library
    """

    FIELDS = ("path", "version", "implementation", "bits", "free_threaded", "stdlib")

    def __init__(self, **fields):
        for name in self.FIELDS:
            setattr(self, name, fields[name])

    def __str__(self):
        return "%s (%s %s)" % (tilde(self.path), self.implementation, self.version)

    def as_dict(self):
        return {name: getattr(self, name) for name in self.FIELDS}

    def identity(self):
        """What makes an environment of it stale when it changes (T2): the real file and its stat."""
        real = os.path.realpath(self.path)
        return {"real_path": real, "signature": signature(real), "version": self.version,
                "implementation": self.implementation, "free_threaded": self.free_threaded}

    def version_tuple(self):
        """(major, minor)"""
        return tuple(int(number) for number in self.version.split(".")[:2])


class Candidate:
    """A place where a python was looked for, and what came of it.

    verdict  "selected", "matches", "mismatch", "broken" or "not-tried"; `reason` says why
    """

    def __init__(self, path, source):
        self.path, self.source = path, source
        self.interpreter, self.verdict, self.reason = None, "not-tried", ""

    def as_dict(self):
        found = self.interpreter
        return {
            "path": self.path,
            "source": self.source,
            "version": found and found.version,
            "implementation": found and found.implementation,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    def line(self):
        """For a table in an error: path, version, reason."""
        version = self.interpreter.version if self.interpreter else ""
        return "%-40s %-10s %s" % (tilde(self.path), version, self.reason or self.verdict)


def read_pyvenv_cfg(directory):
    """The keys of `directory`/pyvenv.cfg as a dict, or None if there is no such file."""
    try:
        with open(os.path.join(directory, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            pairs = [line.split("=", 1) for line in file if "=" in line]
    except OSError:
        return None
    return {key.strip().lower(): value.strip() for key, value in pairs}


def environment_python(directory):
    """The interpreter of an environment directory (venv, virtualenv, conda)."""
    name = "python" + EXE
    for path in (os.path.join(directory, BIN, name), os.path.join(directory, name)):
        if os.path.lexists(path):
            return path
    return os.path.join(directory, BIN, name)


def resolve_python(path):
    """Turn what a user may give, an interpreter or an environment directory, into an interpreter.

    path  str; a `.venv` that is a redirect file (PEP 832: its first line, relative to the file) is
          followed; symlinks are not resolved
    PrimeError if it is neither.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.basename(path) == ".venv" and os.path.isfile(path):
        target = (load_text(path).splitlines() or [""])[0].strip()
        return resolve_python(os.path.join(os.path.dirname(path), target))
    if os.path.isdir(path):
        if any(os.path.exists(os.path.join(path, m)) for m in ("pyvenv.cfg", "conda-meta")):
            return environment_python(path)
        raise PrimeError("%s is a directory, and not that of an environment" % path)
    if not os.path.lexists(path):
        raise PrimeError("%s does not exist" % path)
    return path


def base_python(path):
    """The interpreter that an environment's interpreter was made from; `path` if it is in none.

    A venv made from a venv names its parent as home up to 3.10, hence the loop (facts).
    """
    for _ in range(8):
        directory = os.path.dirname(path)
        config = read_pyvenv_cfg(directory) or read_pyvenv_cfg(os.path.dirname(directory))
        if not config or not config.get("home"):
            break
        names = (os.path.basename(path), "python3" + EXE, "python" + EXE)
        homes = [os.path.join(config["home"], name) for name in names]
        path = next((home for home in homes if os.path.exists(home)), homes[0])
    return path


def is_stub(path):
    """Whether starting it would open a dialog instead of running a python (C8)."""
    if WINDOWS:  # the Store's aliases are empty files
        aliases = os.path.join("Microsoft", "WindowsApps").lower()
        return aliases in path.lower() and os.path.getsize(path) == 0
    if sys.platform == "darwin" and os.path.dirname(path) == "/usr/bin":
        return run_child(["/usr/bin/xcode-select", "-p"], timeout=PROBE_SECONDS).status != 0
    return False


_probed = {}  # path: Interpreter or PrimeError; each candidate is asked once in a process


def interpreter_at(path):
    """Ask the python at `path` what it is, through its base if it is that of an environment.

    Asked once: the answer is kept in the user cache under path, size, mtime and inode.
    Returns an `Interpreter`; PrimeError, whose message is the reason, if it is broken.
    """
    path = base_python(resolve_python(path))
    if path not in _probed:
        try:
            _probed[path] = _recall(path) or _probe(path)
        except PrimeError as problem:
            _probed[path] = problem
    if isinstance(_probed[path], PrimeError):
        raise _probed[path]
    return _probed[path]


def _probe(path):
    """Start the python at `path` and let it answer; see PROBE and facts.md for the flags."""
    if not os.path.exists(path):
        raise PrimeError("dangling link or missing base python: %s" % path)
    if is_stub(path):
        raise PrimeError("a stub that would open a dialog, not started")
    marks = [os.urandom(6).hex() for _ in range(4)]
    begin, end = (marks[0] + marks[1]).encode(), (marks[2] + marks[3]).encode()
    argv = [path, "-E", "-s", "-S", "-B", "-c", PROBE % tuple(marks)]
    child = run_child(argv, timeout=PROBE_SECONDS, until=end)
    if begin not in child.stdout or end not in child.stdout:
        raise PrimeError(str(child) if child.status or child.problem else "printed no answer")
    answer = os.fsdecode(child.stdout.split(begin, 1)[1].split(end, 1)[0])
    _, reported, stdlib, implementation, version, bits, threads, _ = answer.split("\0")
    real = bool(reported) and os.path.exists(reported)
    wrapped = real and os.path.realpath(reported) != os.path.realpath(path)
    if wrapped and base_python(reported) != reported:  # a wrapper around a venv's python (C5, C6)
        return interpreter_at(reported)
    found = Interpreter(
        path=os.path.abspath(reported) if wrapped else path,
        version=version,
        implementation=implementation,
        bits=int(bits),
        free_threaded=bool(threads),
        stdlib=stdlib,
    )
    if real and not wrapped:  # what a shim answers depends on more than its file
        _remember(found)
    return found


def _probe_cache(path):
    import hashlib

    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return cache_dir("interpreters", name + ".json")


def _remember(interpreter):
    import json

    answer = dict(interpreter.as_dict(), schema=SCHEMA, signature=signature(interpreter.path))
    try:
        write_atomic(_probe_cache(interpreter.path), json.dumps(answer).encode())
    except OSError:  # a cache that cannot be written is no cache
        pass


def _recall(path):
    import json

    try:
        with open(_probe_cache(path), "rb") as file:
            answer = json.loads(file.read().decode())
        if (answer["schema"], answer["path"], answer["signature"]) == (SCHEMA, path, signature(path)):
            return Interpreter(**{name: answer[name] for name in Interpreter.FIELDS})
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def what_version(python):
    """The full version, such as "3.12.1", that an interpreter or environment directory reports.

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
    if request.implementation and request.implementation != interpreter.implementation:
        return "is %s, not %s" % (interpreter.implementation, request.implementation)
    if request.free_threaded != interpreter.free_threaded:
        return "is a free-threaded build" if interpreter.free_threaded else "is not free-threaded"
    clause = request.failing(version)
    if clause is None:
        return ""
    if clause.version and clause.operator in ("==", "~=", ">", ">=") and (
        version.public_key < clause.version.public_key
    ):
        return "too old"
    if clause.version and clause.operator in ("==", "~=", "<", "<="):
        return "too new"
    return "excluded by %s" % clause.text


def path_candidates(request):
    """On PATH: pythonX.Y.Z, pythonX.Y, pythonX, python, then every other python3.*."""
    directories = [d for d in os.environ.get("PATH", os.defpath).split(os.pathsep) if d]
    names = []
    for clause in request.clauses:
        release = clause.version.release if clause.version and clause.operator != "!=" else ()
        names += [".".join(map(str, release[:size])) for size in range(len(release), 1, -1)]
    names = ["python" + name for name in dict.fromkeys(names)] + ["python3", "python"]
    if request.implementation not in ("", "cpython"):
        names = [n.replace("python", request.implementation) for n in names] + names
    for name in names:
        for directory in directories:
            path = os.path.join(directory, name + EXE)
            if os.path.lexists(path):
                yield path
    for directory in directories:
        for path in _newest_first(directory, r"python3\.\d+t?(\.exe)?$"):
            if os.path.basename(path) not in names:
                yield path


def uv_candidates(request):
    """Pythons that uv installed, newest first."""
    home = os.path.expanduser("~")
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    if WINDOWS:
        data = os.environ.get("APPDATA") or home
    default = os.path.join(data, "uv", "data", "python") if WINDOWS else os.path.join(data, "uv", "python")
    return _newest_first(os.environ.get("UV_PYTHON_INSTALL_DIR") or default, r"[a-z]+-\d", True)


def pyenv_candidates(request):
    """pyenv's own versions, newest first; its shims answer for the active ones alone (C1)."""
    root = os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv")
    return _newest_first(os.path.join(root, "versions"), r"(pypy)?\d", True)


def _newest_first(directory, pattern, is_prefix=False):
    """Paths in `directory` whose names match, the highest numbers in the name first.

    is_prefix  the names are those of installations, whose interpreter is meant
    """
    import re

    try:
        names = [name for name in os.listdir(directory) if re.match(pattern, name)]
    except OSError:
        return
    names.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)], reverse=True)
    for name in names:
        path = os.path.join(directory, name)
        yield environment_python(path) if is_prefix else path


def wild_candidates(request):
    """The python that runs this, if it says where it is."""
    if sys.executable:
        yield base_python(os.path.abspath(sys.executable))


SOURCES = (
    ("wild", wild_candidates),
    ("PATH", path_candidates),
    ("uv", uv_candidates),
    ("pyenv", pyenv_candidates),
)


def candidates(request):
    """Every place to look for a python, as `Candidate`s in the order of preference, each once."""
    if request.path:
        path = request.path
        if not os.path.dirname(path):
            path = find_program(path, os.environ.get("PATH", ""))
        yield Candidate(path, "request")
        return
    seen = set()
    for source, paths in SOURCES:
        for path in paths(request):
            if path not in seen:
                seen.add(path)
                yield Candidate(path, source)


def judge(candidate, requests):
    """Ask a candidate, and set its verdict and reason: does it fulfil all of `requests`?"""
    try:
        candidate.interpreter = interpreter_at(candidate.path)
    except PrimeError as problem:
        candidate.verdict, candidate.reason = "broken", str(problem)
        return candidate
    reasons = (why_not(request, candidate.interpreter) for request in requests)
    candidate.reason = next((reason for reason in reasons if reason), "")
    candidate.verdict = "mismatch" if candidate.reason else "matches"
    return candidate


def search_python(required="", tried=None, also=()):
    """Search this machine for a python that runs and fulfils a request.

    required  str or `Request`
    tried     a list to which every `Candidate` that was looked at is appended
    also      further `Request`s that must hold, such as requires-python
    Returns an `Interpreter`, or None. A pre-release that the request does not name comes last.
    """
    request = required if isinstance(required, Request) else Request.parse(required)
    tried = [] if tried is None else tried
    spare = None
    for candidate in candidates(request):
        tried.append(judge(candidate, (request,) + tuple(also)))
        report.detail("candidate %s (%s): %s" % (
            tilde(candidate.path), candidate.source, candidate.reason or candidate.verdict))
        if candidate.verdict != "matches":
            continue
        if not Version(candidate.interpreter.version).is_prerelease or request.names_prerelease:
            candidate.verdict = "selected"
            return candidate.interpreter
        candidate.reason = "a pre-release, which the request does not name"
        spare = spare or candidate
    if spare:
        report.note("only a pre-release fulfils %s: %s" % (request, spare.interpreter))
        spare.verdict = "selected"
    return spare and spare.interpreter


def select_python(required, selector, root, name="default"):
    """Let the repo's own selector pick the executable.

    required  str or `Request`, the selector's one argument
    selector  str, path of the script; relative to `root` if relative
    root      str, the ref root; `name` is the environment's name: both reach the selector as
              PROTOPRIMER_REF_ROOT and PROTOPRIMER_ENV
    Returns an `Interpreter`, or None if the selector has no opinion (prints nothing, exit 0).
    PrimeError if it fails, hangs, or names what does not run.
    """
    path = os.path.join(root, selector)
    if not os.path.isfile(path):
        raise PrimeError("python selector %s does not exist" % path, status=2)
    argv = [path, str(getattr(required, "text", required))]
    if path.endswith(".py"):
        argv = [sys.executable, "-I"] + argv
    elif not os.access(path, os.X_OK):
        raise PrimeError("python selector %s is not executable" % path, hint="chmod +x it", status=2)
    environ = clean_environ(for_tool=True)
    environ.update({"PROTOPRIMER_REF_ROOT": root, ENV_VAR: name})
    child = run_child(argv, environ, cwd=root, timeout=SELECTOR_SECONDS)
    if child.status or child.problem:
        what = child.problem or str(child).split(":")[1].strip()
        raise PrimeError("python selector %s failed: %s" % (path, what), tried=child.tail())
    lines = [line for line in os.fsdecode(child.stdout).splitlines() if line.strip()]
    if not lines:
        report.detail("selector %s: no opinion" % path)
        return None
    chosen = os.path.join(root, lines[-1].strip())
    try:
        found = interpreter_at(chosen)
    except PrimeError as problem:
        raise PrimeError("python selector %s chose %s: %s" % (path, chosen, problem), tried=child.tail())
    report.detail("selector %s: %s" % (path, found))
    return found


def probe_python(required="", selector="", root="", name="default", tried=None, also=()):
    """Select a python: PROTOPRIMER_PYTHON, else the selector, else the search.

    Arguments as for `select_python` and `search_python`. Returns an `Interpreter` or None; a choice
    of the user or of the selector that does not fulfil the request is a PrimeError.
    """
    request = required if isinstance(required, Request) else Request.parse(required)
    chosen, source = None, ""
    if os.environ.get(PYTHON_VAR):
        source = PYTHON_VAR
        try:
            chosen = interpreter_at(os.environ[PYTHON_VAR])
        except PrimeError as problem:
            raise PrimeError("%s=%s: %s" % (PYTHON_VAR, os.environ[PYTHON_VAR], problem))
    elif selector:
        source = "python selector " + selector
        chosen = select_python(request, selector, root, name)
    if chosen is None:
        return search_python(request, tried, also)
    for wanted in (request,) + tuple(also):
        reason = why_not(wanted, chosen)
        if reason:
            raise PrimeError("%s: %s breaks %s: %s" % (source, chosen, wanted, reason), wanted.origin)
    return chosen


# --------------------------------------------------------------------------------------------------
# Config
# --------------------------------------------------------------------------------------------------

PYPROJECT, OWN_CONFIG = "pyproject.toml", "proto_prime.toml"

# Every field: kind, default, help. Reading, errors, `info` and the README's table come from here.
FIELDS = {
    "required_python_version": ("text", "", "a request: what python this repo needs"),
    "python_selector_file_rel_path": ("text", "", "a script of the repo that picks the executable"),
    "venv_driver": ("driver", "auto", '"venv_uv", "venv_pip", or "auto": uv if it can be had'),
    "venv_dir_rel_path": ("text", ".venv", "where tools look for the environment"),
    "projects": ("projects", None, "paths, or {path, extras, groups, editable}"),
    "dependencies": ("texts", (), "PEP 508 requirements"),
    "requirements_files": ("texts", None, "files in pip's format"),
    "constraints_file": ("text", "", "a file in pip's format"),
    "lock_file": ("text", None, "uv.lock or pylock.toml; \"\" for none"),
    "uv_version": ("text", "", "the uv to use: a version, or specifiers"),
    "index_url": ("text", "", "the package index, instead of the user's own"),
    "extra_index_urls": ("texts", (), "further indexes"),
    "find_links": ("texts", (), "directories or pages with wheels"),
    "no_index": ("flag", False, "use find_links alone"),
    "env_vars": ("table", {}, "set for commands run in the environment"),
    "post_boot": ("commands", (), "run in each new generation before it is published"),
    "default_env": ("text", "default", "the environment meant when none is named"),
}
DRIVERS = ("auto", "venv_uv", "venv_pip")
PROJECT_KEYS = {"path": "text", "extras": "texts", "groups": "texts", "editable": "flag"}


def _are_texts(value):
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_project(item):
    if isinstance(item, str):
        return True
    return isinstance(item, dict) and "path" in item and all(
        key in PROJECT_KEYS and KINDS[PROJECT_KEYS[key]][1](value) for key, value in item.items()
    )


# What each kind of field is called in an error, and how it is known.
KINDS = {
    "text": ("a string", lambda value: isinstance(value, str)),
    "texts": ("a list of strings", _are_texts),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "driver": ("one of " + ", ".join('"%s"' % d for d in DRIVERS), lambda value: value in DRIVERS),
    "table": ("a table of strings", lambda value: isinstance(value, dict) and _are_texts(list(value.values()))),
    "projects": (
        "a list of paths or of {path, extras, groups, editable}",
        lambda value: isinstance(value, list) and all(map(_is_project, value)),
    ),
    "commands": (
        "a list of commands, each a list of strings",
        lambda value: isinstance(value, list) and all(map(_are_texts, value)) and all(value),
    ),
}


def script_path():
    """The file that was started, or else this one; "" if the source came through a pipe."""
    for path in (sys.argv[0] if sys.argv else "", globals().get("__file__") or ""):
        if path and os.path.isfile(path):
            return path
    return ""


def find_root(option=""):
    """The ref root: `option`, else PROTOPRIMER_ROOT, else the nearest directory with a config.

    Goes up from the started file as it was written, then from where its symlinks lead, else takes
    its directory; when the source came through a pipe, from the current directory.
    """
    told = option or os.environ.get(ROOT_VAR)
    try:
        if told:
            if not os.path.isdir(told):
                raise PrimeError("ref root %s is not a directory" % told, status=2)
            return os.path.abspath(told)
        script = script_path()
        if script:
            starts = [os.path.dirname(os.path.abspath(script)), os.path.dirname(os.path.realpath(script))]
        else:
            starts = [os.getcwd()]
    except FileNotFoundError:  # E7
        raise PrimeError("the current directory does not exist", hint="cd to one that does")
    for start in starts:
        for directory in ancestors(start):
            if any(os.path.exists(os.path.join(directory, name)) for name in (PYPROJECT, OWN_CONFIG)):
                return directory
    return starts[0]


def ancestors(directory):
    """`directory`, its parent, and so on up to the file system's root."""
    found = [directory]
    while os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
        found.append(directory)
    return found


def state_dir(root, *names):
    """A path in the directory where everything that this file makes for a repo is kept."""
    base = os.environ.get(STATE_VAR)
    return os.path.join(os.path.abspath(base) if base else os.path.join(root, ".prime"), *names)


class Config:
    """What the files at the ref root say.

    root       str, the ref root
    file       str, name of the file that holds our table; "" if none does
    table      dict, our table
    text       str, that file's text, for line numbers
    pyproject  dict, all of pyproject.toml; empty if there is none
    seen       dict, each path that was looked at to its signature before that
    """

    def __init__(self, root, seen=None):
        self.root, self.file, self.table, self.text = root, "", {}, ""
        self.seen = {} if seen is None else seen
        text, self.pyproject = self._read(PYPROJECT)
        self.table = table_in(self.pyproject, PYPROJECT, "tool", "proto-prime")
        if self.table:
            self.file, self.text = PYPROJECT, text
        own_text, own = self._read(OWN_CONFIG)
        if own_text is not None:
            if self.table:
                raise PrimeError(
                    "both %s and [tool.proto-prime] in %s configure %s" % (OWN_CONFIG, PYPROJECT, root),
                    hint="keep one of them",
                    status=2,
                )
            self.file, self.table, self.text = OWN_CONFIG, own, own_text

    def look(self, path):
        """Remember the state of a file from before it is read. Returns the path."""
        if path not in self.seen:
            self.seen[path] = signature(path)
        return path

    def _read(self, name):
        path = self.look(os.path.join(self.root, name))
        if not os.path.exists(path):
            return None, {}
        text = load_text(path)
        try:
            return text, parse_toml(text)
        except TomlError as error:
            raise PrimeError("%s: %s" % (path, error), status=2)

    def where(self, key):
        """The file and, where it can be found, the line that says `key`."""
        import re

        pattern = re.compile(r"\s*[\"']?%s[\"']?\s*=" % re.escape(key))
        for number, line in enumerate(self.text.splitlines(), 1):
            if pattern.match(line) or ("." + key + "]") in line.replace('"', ""):
                return "%s, line %d" % (self.file, number)
        return self.file

    def error(self, key, message, known=()):
        """A PrimeError about `key`, with the nearest of the `known` names as a hint."""
        import difflib

        near = difflib.get_close_matches(key, known, 1, 0.5)
        hint = 'did you mean "%s"?' % near[0] if near else ""
        if known and not near:
            hint = "known: " + ", ".join(sorted(known))
        return PrimeError(message, self.where(key), hint=hint, status=2)


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
    named = config.table.get("env", {})
    for name, table in named.items() if isinstance(named, dict) else [("env", None)]:
        if not isinstance(table, dict):
            raise config.error(name, "env.%s must be a table of fields" % name)
        if not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise config.error(name, 'environment name "%s" is more than letters, digits, - _ .' % name)
        check_fields(config, table, set(FIELDS) - {"default_env"}, "env.%s." % name)
    return config


def check_fields(config, table, known, prefix):
    """PrimeError for the first unknown field or value of a wrong type in `table`."""
    for key, value in table.items():
        if key not in known:
            raise config.error(key, 'unknown field "%s%s"' % (prefix, key), known)
        if key == "env":
            continue
        expected, is_valid = KINDS[FIELDS[key][0]]
        if not is_valid(value):
            raise config.error(key, "%s%s must be %s, not %r" % (prefix, key, expected, value))
        for text in value if FIELDS[key][0] == "texts" else ():
            if text.startswith("-"):  # would be an option of pip's
                raise config.error(key, '%s%s: "%s" starts with "-"' % (prefix, key, text))


class Environment:
    """A named target with all its fields.

    root, name      str, the ref root and the environment's name
    requested       str, the name as -e or PROTOPRIMER_ENV gave it; "" if neither did
    config          `Config`
    fields          dict, field name to value; `environment["field"]` reads it
    origins         dict, field name to where its value comes from
    required        `Request`: what python it needs, and `also`: the requests that must hold as well
    """

    def __init__(self, config, name, requested=""):
        self.config, self.root, self.name, self.requested = config, config.root, name, requested
        self.fields, self.origins = {}, {}
        for field, (_, default, _) in FIELDS.items():
            self.fields[field], self.origins[field] = default, "default"
        own = config.table.get("env", {}).get(name, {})
        for table, prefix in ((config.table, ""), (own, "env.%s." % name)):
            for field in set(table) - {"env"}:
                self.fields[field] = table[field]
                self.origins[field] = "%s: %s%s" % (config.file, prefix, field)

    def __getitem__(self, field):
        return self.fields[field]

    def path(self, relative):
        """A config path as an absolute one."""
        return os.path.normpath(os.path.join(self.root, os.path.expanduser(relative)))

    def fill(self, field, value, origin):
        """Give a field that the config leaves open its value."""
        if self.fields[field] is None:
            self.fields[field], self.origins[field] = value, origin


def load_environment(config, name="", requested=""):
    """The environment `name` of a config, complete and checked. PrimeError with status 2."""
    name = name or config.table.get("default_env", "default")
    known = set(config.table.get("env", {})) | {"default", config.table.get("default_env", "default")}
    if name not in known:
        raise config.error(name, 'no environment "%s" is configured' % name, known)
    environment = Environment(config, name, requested)
    if os.environ.get(DRIVER_VAR):
        driver = os.environ[DRIVER_VAR]
        if driver not in DRIVERS:
            raise PrimeError('%s="%s" is not one of %s' % (DRIVER_VAR, driver, ", ".join(DRIVERS)), status=2)
        environment.fields["venv_driver"], environment.origins["venv_driver"] = driver, DRIVER_VAR
    _fill_projects(environment)
    is_project = "project" in config.pyproject
    lists = os.path.exists(config.look(environment.path("requirements.txt"))) and not is_project
    environment.fill("requirements_files", ["requirements.txt"] if lists else [], "default")
    locks = [lock for lock in ("uv.lock", "pylock.toml") if os.path.exists(config.look(environment.path(lock)))]
    environment.fill("lock_file", locks[0] if locks else "", "default")
    for field in ("requirements_files", "constraints_file", "lock_file"):
        value = environment[field]
        for path in [value] if isinstance(value, str) else value:
            if path and not os.path.isfile(environment.path(path)):
                raise config.error(field, '%s: there is no file "%s"' % (field, path))
    _fill_required(environment)
    return environment


def _fill_projects(environment):
    """Complete `projects`: dicts with path, extras, groups and editable; groups are checked."""
    config, projects = environment.config, environment["projects"]
    if projects is None:
        has_dev = "dev" in table_in(config.pyproject, PYPROJECT, "dependency-groups")
        is_project = "project" in config.pyproject or os.path.exists(config.look(environment.path("setup.py")))
        projects = ["."] if is_project or has_dev else []
    environment.fields["projects"] = complete = []
    for item in projects:
        project = {"path": item} if isinstance(item, str) else dict(item)
        path = environment.path(project["path"])
        names = [name for name in (PYPROJECT, "setup.py") if os.path.exists(os.path.join(path, name))]
        if not names:
            raise config.error("projects", 'projects: "%s" holds no pyproject.toml and no setup.py' % project["path"])
        document = config.pyproject if path == environment.root else Config(path, config.seen).pyproject
        groups = table_in(document, PYPROJECT, "dependency-groups")
        default = ["dev"] if path == environment.root and "dev" in groups else []
        requirements = []
        for group in project.get("groups", default):
            requirements += expand_group(groups, group, os.path.join(path, PYPROJECT))
        complete.append({
            "path": path,
            "extras": project.get("extras", []),
            "groups": project.get("groups", default),
            "group_requirements": requirements,
            "editable": project.get("editable", True),
            "installable": bool({"project", "build-system"} & set(document)) or "setup.py" in names,
        })


def normalized(name):
    """A name of a project, an extra or a group as PEP 503 compares it."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


def expand_group(groups, name, file, parents=()):
    """The requirements of a dependency group, its includes expanded (PEP 735)."""
    known = {normalized(group): content for group, content in groups.items()}
    if normalized(name) in parents:
        raise PrimeError("dependency group %s includes itself" % name, file, status=2)
    if normalized(name) not in known:
        raise PrimeError('no dependency group "%s"' % name, file, hint="known: " + ", ".join(groups), status=2)
    requirements = []
    for item in known[normalized(name)]:
        if isinstance(item, str):
            requirements.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            requirements += expand_group(groups, item["include-group"], file, parents + (normalized(name),))
        else:
            raise PrimeError("dependency group %s: %r is no requirement" % (name, item), file, status=2)
    return requirements


def _fill_required(environment):
    """Find the required version: config field, nearest .python-version, requires-python, nothing."""
    config = environment.config
    specifiers = table_in(config.pyproject, PYPROJECT, "project").get("requires-python")
    origin = "%s: requires-python" % PYPROJECT
    try:
        environment.also = (
            [Request(specifiers, origin, parse_clauses(specifiers))] if specifiers is not None else []
        )
    except (PrimeError, AttributeError):
        raise PrimeError('malformed requires-python "%s"' % specifiers, PYPROJECT, status=2)
    if environment["required_python_version"]:
        environment.required = Request.parse(
            environment["required_python_version"], environment.origins["required_python_version"]
        )
        return
    environment.required = (
        version_file_request(environment)
        or (environment.also or [Request("", "nothing")])[0]
    )


def version_file_request(environment):
    """The first usable line of the nearest .python-version, from the ref root upwards; or None."""
    for directory in ancestors(environment.root):
        path = os.path.join(directory, ".python-version")
        if not os.path.isfile(environment.config.look(path)):
            continue
        for line in load_text(path).splitlines():
            word = (line.split() or [""])[0]
            if not word or word.startswith("#"):
                continue
            try:
                return Request.parse(word, path)
            except PrimeError:
                report.detail('%s: "%s" is passed over, not a request' % (path, word))
    return None


# --------------------------------------------------------------------------------------------------
# Drivers
# --------------------------------------------------------------------------------------------------

OLDEST_PIP = (21, 3)  # the first that installs an editable project without setup.py (PEP 660)
UV_ANSWER_SECONDS = 10


def run_tool(argv, title, environ=None, cwd=os.sep):
    """Run pip, uv or venv as a step that people see. Returns its `Child`; PrimeError if it fails."""
    report.step(title)
    child = run_child(argv, environ, cwd=cwd, logged=True)
    report.done()
    if child.status or child.problem:
        how = child.problem or ("exit status %d" % child.status)
        log = "the whole log: %s" % report.log.name if report.log else ""
        raise PrimeError("%s failed: %s" % (title, how), tried=child.tail(), hint=log)
    return child


def guard(directory):
    """PrimeError unless `directory` is an environment whose python installs into it and nowhere else.

    Without pyvenv.cfg, uv and pip take the base python for the target and change it (facts, trap 1).
    """
    python = environment_python(directory)
    code = "import sys; sys.stdout.write('\\0'.join([sys.prefix, sys.base_prefix]))"
    if not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        raise PrimeError("%s has no pyvenv.cfg: nothing is installed there" % directory)
    child = run_child([python, "-I", "-S", "-c", "import site; site.main(); " + code])
    prefix, _, base = os.fsdecode(child.stdout).partition("\0")
    if child.status or os.path.realpath(prefix) != os.path.realpath(directory) or prefix == base:
        raise PrimeError(
            "%s is not the python of its environment: nothing is installed there" % python,
            tried=child.tail() or ["its prefix is %s" % prefix],
        )


def unpack_wheel(wheel, kind, member=""):
    """Unpack a wheel, to run what is in it, into the user cache, once. Returns the directory."""
    import zipfile

    target = cache_dir(kind, os.path.basename(wheel)[: -len(".whl")])
    if os.path.isdir(target):
        return target
    aside = "%s.%d.tmp" % (target, os.getpid())
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(aside)
        os.rename(aside, target)
    except (OSError, zipfile.BadZipFile) as problem:
        if not os.path.isdir(target):  # else another process was faster
            raise PrimeError("cannot unpack %s into %s: %s" % (wheel, target, problem),
                             hint="%s names another cache directory" % CACHE_VAR)
    finally:
        remove(aside)
    return target


def bundled_pips(interpreter):
    """The pip wheels that came with an interpreter (ensurepip), or with Debian's packages."""
    for directory in (os.path.join(interpreter.stdlib, "ensurepip", "_bundled"), "/usr/share/python-wheels"):
        yield from _newest_first(directory, r"pip-.*\.whl$")


class Pip:
    """A pip that can be run: `command` under an interpreter, and the wheel it came from."""

    def __init__(self, wheel):
        self.wheel = wheel
        self.program = os.path.join(unpack_wheel(wheel, "pip"), "pip")

    def command(self, python, *arguments):
        """The argument list that runs it under `python`, a path, isolated from the repo (E4)."""
        return [python, "-I", self.program] + list(arguments)

    def version(self):
        return Version(os.path.basename(self.wheel).split("-")[1]).release[:2]


def find_pip(python, tried=()):
    """A `Pip` that runs under `python`: its own, else one of another python of this machine (C9).

    Run from the user cache, since from the wheel itself each start would compile it anew. One too old
    for editable installs fetches a newer one, once per machine. PrimeError if there is none.
    """
    others = [candidate.interpreter for candidate in tried if candidate.interpreter]
    for owner in [python] + [other for other in others if other.version_tuple() <= python.version_tuple()]:
        for wheel in bundled_pips(owner):
            pip = Pip(wheel)
            return pip if pip.version() >= OLDEST_PIP or is_offline() else newer_pip(pip, python)
    raise PrimeError(
        "%s comes without pip" % python,
        tried=["no ensurepip in %s" % python.stdlib],
        hint='install it (Debian: python3-venv), or set venv_driver = "venv_uv"',
    )


def newer_pip(old, python):
    """The newest pip that an old one can fetch for its python, kept in the user cache."""
    directory = cache_dir("pip", "for-%s-%d.%d" % ((python.implementation,) + python.version_tuple()))
    if not os.path.isdir(directory):
        aside = "%s.%d.tmp" % (directory, os.getpid())
        try:
            run_tool(
                old.command(python.path, "download", "--no-deps", "--dest", aside, "pip>=%d.%d" % OLDEST_PIP),
                "fetching a newer pip for python %s" % python.version,
            )
            os.rename(aside, directory)
        except OSError as problem:
            if not os.path.isdir(directory):
                raise PrimeError("cannot keep pip in %s: %s" % (directory, problem))
        finally:
            remove(aside)
    return Pip(next(_newest_first(directory, r"pip-.*\.whl$")))


class PipDriver:
    """Makes environments with `venv`, fills them with `pip`."""

    name = "venv_pip"

    def __init__(self, uv_version=""):
        self.pip = None

    def deploy(self, python, tried=()):
        """Have a pip for `python`, an `Interpreter`. PrimeError if there is none to be had."""
        self.pip = self.pip or find_pip(python, tried)

    def create(self, python, directory, prompt):
        """An environment of `python` with pip in it; pip unpacked beats ensurepip by seconds."""
        self.deploy(python)
        run_tool(
            [python.path, "-I", "-m", "venv", "--without-pip", "--prompt", prompt, directory],
            "creating the environment with venv (python %s)" % python.version,
        )
        self.install([self.pip.wheel], directory, options=["--no-index", "--no-deps"], title="adding pip")

    def install(self, requirements, directory, options=(), root=os.sep, title="installing with pip"):
        """Install `requirements` and `options`, as `pip install` takes them, into `directory`."""
        guard(directory)
        environ = clean_environ(for_tool=True)
        environ.update({
            "PIP_REQUIRE_VIRTUALENV": "1",
            "PIP_USER": "0",  # E3: pip.conf may say otherwise
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        })
        if is_offline():
            environ["PIP_NO_INDEX"] = "1"
        # Not compiled here: as with uv, each module is compiled when it is first imported.
        arguments = ["install", "--no-compile", "--no-warn-script-location"] + list(options) + list(requirements)
        run_tool(self.pip.command(environment_python(directory), *arguments), title, environ, root)

    def install_lock(self, environment, directory):
        """Not to be had with pip: PrimeError."""
        raise PrimeError(
            "the driver venv_pip does not install from %s" % environment["lock_file"],
            environment.origins["lock_file"],
            hint='set venv_driver = "venv_uv", or lock_file = "" to leave the lock aside',
        )


def uv_environ():
    """The environment for uv: a tool's, trusting the certificates that pip and the system trust."""
    environ = clean_environ(for_tool=True)
    if not any(name in environ for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        if environ.get("PIP_CERT"):
            environ["SSL_CERT_FILE"] = environ["PIP_CERT"]
        for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):  # the second is the name before 0.10
            environ.setdefault(name, "1")
    environ.setdefault("UV_PYTHON_INSTALL_BIN", "0")  # nothing outside its own directories
    if is_offline():
        environ["UV_OFFLINE"] = "1"
    return environ


def uv_candidates_on_disk():
    """Paths where a uv may be: PATH, where its installers put it, then the user cache."""
    home = os.path.expanduser("~")
    yield find_program("uv", os.environ.get("PATH", ""))
    yield os.path.join(home, ".local", "bin", "uv" + EXE)
    yield os.path.join(home, ".cargo", "bin", "uv" + EXE)
    yield from _newest_first(cache_dir("uv"), r"uv-\d[\d.]*%s$" % EXE.replace(".", r"\."))


def uv_version_of(path):
    """The `Version` that a uv reports, or None if it does not run."""
    child = run_child([path, "--version"], uv_environ(), timeout=UV_ANSWER_SECONDS)
    words = child.stdout.decode("utf-8", "replace").split()
    try:
        return Version(words[1]) if child.status == 0 and words[0] == "uv" else None
    except (IndexError, PrimeError):
        return None


def find_uv(wanted):
    """The path of a uv on this machine whose version fulfils `wanted`, a `Request`; or None."""
    for path in uv_candidates_on_disk():
        if not path or not os.path.isfile(path):
            continue
        version = uv_version_of(path)
        will_do = version is not None and wanted.contains(version)
        report.detail("uv %s: %s" % (path, version if will_do else "passed over, version %s" % version))
        if will_do:
            return path
    return None


def fetch_uv(wanted):
    """Download uv from the package index, once per machine, into the user cache. Returns its path.

    Any python from 3.8 on with any pip can: the wheel needs no python to run (facts, uv).
    """
    import shutil

    tried = []
    python = search_python(">=%d.%d" % OLDEST_UV_PYTHON, tried)
    if python is None:
        raise PrimeError(
            "no python to deploy uv with",
            tried=[candidate.line() for candidate in tried],
            hint="it takes a python of at least %d.%d, or a uv on PATH" % OLDEST_UV_PYTHON,
        )
    if is_offline():
        raise PrimeError("there is no uv on this machine, and offline none can be fetched")
    aside = cache_dir("uv", "fetch.%d.tmp" % os.getpid())
    with locked(cache_dir("uv", "lock"), "fetching uv"):
        found = find_uv(wanted)  # another process may have been faster
        if found:
            return found
        try:
            os.makedirs(aside)
            requirement = "uv" + ",".join(clause.text for clause in wanted.clauses)
            run_tool(
                find_pip(python, tried).command(
                    python.path, "download", "--no-deps", "--only-binary=:all:", "--dest", aside, requirement
                ),
                "fetching %s" % requirement,
            )
            wheel = next(_newest_first(aside, r"uv-.*\.whl$"))
            version = os.path.basename(wheel).split("-")[1]
            member = "uv-%s.data/scripts/uv%s" % (version, EXE)
            import zipfile

            program, path = os.path.join(aside, "uv" + EXE), cache_dir("uv", "uv-%s%s" % (version, EXE))
            with zipfile.ZipFile(wheel) as archive, open(program, "wb") as file:
                shutil.copyfileobj(archive.open(member), file)
            os.chmod(program, 0o755)
            if uv_version_of(program) is None:
                raise PrimeError("the uv that was fetched does not run: %s" % os.path.basename(wheel))
            os.replace(program, path)
        finally:
            remove(aside)
    return path


class UvDriver:
    """Makes and fills environments with `uv`."""

    name = "venv_uv"

    def __init__(self, uv_version=""):
        self.wanted = Request.parse(uv_version)
        self.uv = None

    def deploy(self, python=None, tried=()):
        """Have a uv: one on this machine that will do, else fetch it. PrimeError if neither works."""
        self.uv = self.uv or find_uv(self.wanted) or fetch_uv(self.wanted)

    def provide(self, request, also=()):
        """Let uv download a python that fulfils `request`; the search finds it then."""
        self.deploy()
        text = request.text or ",".join(each.text for each in also) or ">=%d.%d" % OLDEST_UV_PYTHON
        run_tool([self.uv, "python", "install", text], "installing python %s with uv" % text, uv_environ())

    def create(self, python, directory, prompt):
        """An empty environment of `python`, named by its absolute path (facts, traps 3 and 5)."""
        self.deploy()
        run_tool(
            [self.uv, "venv", "--no-project", "--python", python.path, "--prompt", prompt, directory],
            "creating the environment with uv (python %s)" % python.version,
            uv_environ(),
        )

    def install(self, requirements, directory, options=(), root=os.sep, title="installing with uv"):
        """Install `requirements` and `options`, as `uv pip install` takes them, into `directory`."""
        guard(directory)
        command = [self.uv, "pip", "install", "--python", environment_python(directory)]
        run_tool(command + list(options) + list(requirements), title, uv_environ(), root)

    def install_lock(self, environment, directory):
        """Install what uv.lock or pylock.toml says, and nothing that it does not."""
        guard(directory)
        python, lock = environment_python(directory), environment.path(environment["lock_file"])
        environ, title = uv_environ(), "installing from %s with uv" % environment["lock_file"]
        if not lock.endswith("uv.lock"):
            run_tool([self.uv, "pip", "sync", "--python", python, lock], title, environ, environment.root)
            return
        environ["UV_PROJECT_ENVIRONMENT"] = directory
        command = [self.uv, "sync", "--locked", "--no-default-groups", "--project", os.path.dirname(lock)]
        command += ["--python", python]
        for project in environment["projects"]:
            if project["path"] == environment.root:
                command += [] if project["editable"] else ["--no-editable"]
                command += ["--extra=" + extra for extra in project["extras"]]
                command += ["--group=" + group for group in project["groups"]]
        run_tool(command, title, environ, environment.root)


def install_options(environment):
    """The index settings of an environment, as pip and uv both take them."""
    options = []
    if environment["index_url"]:
        options += ["--index-url", environment["index_url"]]
    for url in environment["extra_index_urls"]:
        options += ["--extra-index-url", url]
    for place in environment["find_links"]:
        local = environment.path(place)
        options += ["--find-links", local if os.path.isdir(local) else place]
    if environment["no_index"]:
        options.append("--no-index")
    if environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    return options


def install_requirements(environment):
    """What an environment installs, as pip and uv both take it; less what its lock file covers."""
    lock = environment["lock_file"]
    requirements = list(environment["dependencies"])
    for path in environment["requirements_files"]:
        requirements += ["-r", environment.path(path)]
    for project in environment["projects"]:
        if lock.endswith("uv.lock") and project["path"] == environment.root:
            continue
        requirements += [] if lock else project["group_requirements"]
        if project["installable"]:
            extras = "[%s]" % ",".join(project["extras"]) if project["extras"] else ""
            requirements += (["-e"] if project["editable"] else []) + [project["path"] + extras]
    return requirements


def choose_driver(environment):
    """The driver that `venv_driver` names; for "auto" uv if it can be had, else pip with a notice."""
    wanted = environment["venv_driver"]
    if wanted == "venv_pip":
        return PipDriver()
    driver = UvDriver(environment["uv_version"] or uv_version_in(environment.config.pyproject))
    try:
        driver.deploy()
    except PrimeError as problem:
        if wanted == "venv_uv":
            raise
        report.note("going on with pip, for uv cannot be had: %s" % problem)
        return PipDriver()
    return driver


def uv_version_in(pyproject):
    """[tool.uv] required-version of a pyproject.toml, "" if absent."""
    return str(table_in(pyproject, PYPROJECT, "tool", "uv").get("required-version", ""))


def create_venv_by_uv(python, directory, driver=None, prompt=""):
    """Make an empty environment of `python` (an `Interpreter`) in `directory`, with uv."""
    (driver or UvDriver()).create(python, directory, prompt or os.path.basename(directory))


def create_venv_by_pip(python, directory, driver=None, prompt=""):
    """Make an environment of `python` (an `Interpreter`) in `directory`, with venv and pip."""
    (driver or PipDriver()).create(python, directory, prompt or os.path.basename(directory))


def create_venv(python, directory, driver, prompt=""):
    """Make an environment of `python` (an `Interpreter`) in `directory`, which must not exist.

    driver  a `UvDriver` or a `PipDriver`
    PrimeError if the tool fails.
    """
    by = create_venv_by_uv if isinstance(driver, UvDriver) else create_venv_by_pip
    by(python, directory, driver, prompt)


# --------------------------------------------------------------------------------------------------
# Generations
# --------------------------------------------------------------------------------------------------

MARKER = "proto-prime.json"  # written last into a generation: with it, it is complete
STAMP_MAGIC = "proto_prime stamp %d" % SCHEMA
INSTALL_FIELDS = set(FIELDS) - {"env_vars", "venv_dir_rel_path", "default_env"}


class Generation:
    """One complete build of an environment.

    path    str, its directory, the prefix of its python
    meta    dict, what its marker says: name, key, driver, python, inputs, created, listing, …
    """

    def __init__(self, path, meta):
        self.path, self.meta = path, meta
        self.name, self.key, self.inputs = meta["name"], meta["key"], meta["inputs"]
        self.python = Interpreter(**meta["python"])

    @property
    def program(self):
        """Its python."""
        return environment_python(self.path)


def generations(environment):
    """The complete generations of an environment, the newest first."""
    import json

    found, directory = [], state_dir(environment.root, "envs")
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        path = os.path.join(directory, name)
        try:
            with open(os.path.join(path, MARKER), "rb") as file:
                generation = Generation(path, json.loads(file.read().decode()))
            if generation.name == environment.name and generation.meta["schema"] == SCHEMA:
                found.append(generation)
        except (OSError, ValueError, KeyError, TypeError):  # T5: incomplete, damaged or not ours
            continue
    return sorted(found, key=lambda generation: generation.meta["created"], reverse=True)


def requirement_includes(path, seen):
    """A requirements file with all that it includes by -r and -c, each path once."""
    if path in seen:
        return seen
    seen.append(path)
    for line in load_text(path).splitlines() if os.path.isfile(path) else ():
        words = line.strip().replace("=", " ", 1).split(None, 1)
        if len(words) == 2 and words[0] in ("-r", "-c", "--requirement", "--constraint"):
            included = words[1].split(" #")[0].strip()
            if "://" not in included:
                requirement_includes(os.path.join(os.path.dirname(path), included), seen)
    return seen


def input_files(environment):
    """The files whose bytes decide what is installed, present or not."""
    paths = []
    for project in environment["projects"]:
        paths += [os.path.join(project["path"], name) for name in (PYPROJECT, "setup.py", "setup.cfg")]
    for name in environment["requirements_files"]:
        requirement_includes(environment.path(name), paths)
    if environment["constraints_file"]:
        requirement_includes(environment.path(environment["constraints_file"]), paths)
    for field in ("lock_file", "python_selector_file_rel_path"):
        if environment[field]:
            paths.append(environment.path(environment[field]))
    return paths


def inputs_of(environment):
    """All that decides what an environment holds, less its python: dict of label to value.

    Two environments of equal inputs may share a generation; the labels that differ are the reason
    why a generation is not current.
    """
    inputs = {
        "schema": SCHEMA,
        "ref root": environment.root,
        "required python": environment.required.text,
        PYTHON_VAR: os.environ.get(PYTHON_VAR, ""),
    }
    for field in INSTALL_FIELDS - {"required_python_version"}:
        inputs[field] = environment[field]
    for path in input_files(environment):
        environment.config.look(path)
        inputs[os.path.relpath(path, environment.root)] = hash_file(path)
    return inputs


def digest(value):
    """A short hash of a JSON value, the same on every python."""
    import hashlib
    import json

    text = json.dumps(value, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def damage_of(generation):
    """What is wrong with a generation that was complete once; "" if nothing is (T2, T3)."""
    python = generation.python
    if not os.path.exists(generation.meta["identity"]["real_path"]):
        return "its base python %s is gone" % python.path
    if python.identity() != generation.meta["identity"]:
        return "its base python %s was replaced" % python.path
    if not os.path.exists(generation.program):
        return "its python is missing"
    if not os.path.isfile(os.path.join(generation.path, "pyvenv.cfg")):
        return "its pyvenv.cfg is missing"
    missing = set(generation.meta["listing"]) - set(listing_of(generation.path))
    return "%s is missing from it" % sorted(missing)[0] if missing else ""


def site_packages(directory):
    """The directory of an environment where packages are installed; "" if there is none."""
    import glob

    pattern = os.path.join(glob.escape(directory), "[Ll]ib", "site-packages")
    if not WINDOWS:
        pattern = os.path.join(glob.escape(directory), "lib", "*", "site-packages")
    return (sorted(glob.glob(pattern)) or [""])[0]


def listing_of(directory):
    """What stands in its site-packages, less bytecode."""
    place = site_packages(directory)
    return sorted(set(os.listdir(place)) - {"__pycache__"}) if place else []


def find_generation(environment, inputs):
    """The generation that is current for these inputs, and otherwise the reasons why none is.

    Returns (Generation or None, list of str).
    """
    known, reasons = generations(environment), []
    for generation in known:
        if digest(generation.inputs) == digest(inputs):
            damage = damage_of(generation)
            if not damage:
                return generation, []
            reasons.append(damage)
    if reasons:
        return None, reasons[:1]
    if not known:
        return None, ["it was not built yet"]
    return None, differences(known[0].inputs, inputs)


def differences(before, now):
    """What differs between the inputs of two generations, a line each."""
    if before.get("ref root") != now["ref root"]:
        return ["the repo was moved or copied here from %s" % before.get("ref root")]
    labels = sorted(set(before) | set(now))
    return ["%s changed" % label for label in labels if digest(before.get(label)) != digest(now.get(label))]


def kept_python(environment, inputs):
    """The python of the newest generation, while it is what it was and satisfies the request."""
    for generation in generations(environment)[:1]:
        python, before = generation.python, generation.inputs
        asked = [PYTHON_VAR, "python_selector_file_rel_path", environment["python_selector_file_rel_path"]]
        same = all(digest(before.get(label)) == digest(inputs.get(label)) for label in asked)
        wanted = [environment.required] + environment.also
        if same and python.identity() == generation.meta["identity"]:
            if not environment.required.path and not any(why_not(each, python) for each in wanted):
                report.detail("python kept from generation %s: %s" % (generation.key, python))
                return python
    return None


def build(environment, inputs, python, driver):
    """Build, check and complete a new generation; the lock is held. Returns a `Generation`.

    Whatever goes wrong, what was half-made is removed and the error goes on.
    """
    import json
    import time

    identity = python.identity()
    key = digest([inputs, driver.name, {k: v for k, v in identity.items() if k != "signature"}])
    directory = _free_directory(environment, key)
    prompt = os.path.basename(environment.root) + ("" if environment.name == "default" else "-" + environment.name)
    try:
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        create_venv(python, directory, driver, prompt)
        if environment["lock_file"]:
            driver.install_lock(environment, directory)
        requirements = install_requirements(environment)
        if requirements:
            options = install_options(environment) + (["--no-deps"] if environment["lock_file"] else [])
            driver.install(requirements, directory, options, environment.root)
        for command in environment["post_boot"]:
            environ = activated(directory, environment["env_vars"])
            argv = command_argv(command, directory, environ["PATH"])
            run_tool(argv, "post_boot: " + " ".join(command), environ, environment.root)
        guard(directory)
        meta = {
            "schema": SCHEMA,
            "name": environment.name,
            "key": key,
            "driver": driver.name,
            "python": python.as_dict(),
            "identity": identity,
            "inputs": inputs,
            "listing": listing_of(directory),
            "created": time.time(),
        }
        write_atomic(os.path.join(directory, MARKER), json.dumps(meta, default=list).encode())
    except BaseException:
        remove(directory)
        raise
    return Generation(directory, json.loads(json.dumps(meta, default=list)))


def _free_directory(environment, key):
    """Where a new generation of this key is built: leftovers of a build that died are removed."""
    base = state_dir(environment.root, "envs", "%s-%s" % (environment.name, key))
    directory, count = base, 1
    while os.path.exists(os.path.join(directory, MARKER)):
        count += 1
        directory = "%s.%d" % (base, count)
    remove(directory)
    return directory


def prepare_state(root):
    """Make the state directory, which git ignores through a file of its own."""
    ignore = state_dir(root, ".gitignore")
    try:
        if not os.path.exists(ignore):
            write_atomic(ignore, b"*\n")
    except OSError as problem:
        raise PrimeError(
            "cannot write to %s: %s" % (os.path.dirname(ignore), problem.strerror),
            hint="%s names another place" % STATE_VAR,
        )


def publish(environment, generation):
    """Let the link, `.venv`, lead to a generation, by one rename.

    What stands there and is not ours is renamed to .venv.before-prime, never removed.
    """
    link = environment.path(environment["venv_dir_rel_path"])
    inside = generation.path.startswith(environment.root + os.sep)
    target = os.path.relpath(generation.path, os.path.dirname(link)) if inside else generation.path
    if not leads_to(link, target):
        with locked(state_dir(environment.root, "lock"), "publishing %s" % environment.name):
            _set_aside(environment, link)
            _replace_link(target, link)
            report.detail("published: %s -> %s" % (link, target))
    return link, target


def leads_to(link, target):
    """Whether `link` is a link to `target`, as text."""
    try:
        return os.readlink(link) == target
    except OSError:
        return False


def _set_aside(environment, link):
    """Rename what stands at `link` unless it is a link of ours into the state directory."""
    if not os.path.lexists(link):
        return
    if os.path.islink(link):
        parent = os.path.dirname(os.path.join(os.path.dirname(link), os.readlink(link)))
        ours = state_dir(environment.root, "envs")
        if os.path.normpath(parent) == ours or parent.endswith(os.path.join(".prime", "envs")):
            return
    count, aside = 1, link + ".before-prime"
    while os.path.lexists(aside):
        count += 1
        aside = "%s.before-prime.%d" % (link, count)
    os.rename(link, aside)
    report.note("%s was not made by prime: renamed to %s" % (link, os.path.basename(aside)))


def _replace_link(target, link):
    aside = "%s.%d.tmp" % (link, os.getpid())
    remove(aside)
    if WINDOWS:  # a junction needs no privilege; it cannot replace another in one step
        import _winapi

        _winapi.CreateJunction(os.path.join(os.path.dirname(link), target), aside)
        if os.path.lexists(link):
            os.rmdir(link)
        os.rename(aside, link)
    else:
        os.symlink(target, aside)
        os.replace(aside, link)


class Stamp:
    """What was looked at when an environment was last found current, for the fast answer.

    prefix    str, the generation's path
    link      str, where `.venv` is, "" if this boot did not move it; `target` is where it leads
    said      str, what to say when nothing is to be done
    env_vars  list of (name, value)
    watched   list of (path, signature)
    """

    def __init__(self, prefix, link, target, said, env_vars, watched):
        self.prefix, self.link, self.target, self.said = prefix, link, target, said
        self.env_vars, self.watched = env_vars, watched

    def holds(self):
        """Whether all is as it was."""
        if self.link and not leads_to(self.link, self.target):
            return False
        for path, known in self.watched:
            if signature(path) != known:
                return False
        return True


def stamp_path(root, requested):
    return state_dir(root, "stamp", requested or "default")


def stamp_head(root, requested):
    """What a stamp must begin with to be one of this file, this place and these variables."""
    told = [os.environ.get(name, "") for name in (PYTHON_VAR, DRIVER_VAR)]
    return [STAMP_MAGIC, sys.platform, root, requested] + told


def read_stamp(root, requested):
    """The `Stamp` of an environment as it was requested, or None: absent, garbage, another's (T5)."""
    try:
        with open(stamp_path(root, requested), "rb") as file:
            parts = file.read().decode("utf-8", "surrogateescape").split("\0")
        head = stamp_head(root, requested)
        if parts[: len(head)] != head or parts[-1] != STAMP_MAGIC:
            return None
        prefix, link, target, said, count = parts[len(head) : len(head) + 5]
        rest = parts[len(head) + 5 : -1]
        split = 2 * int(count)
        env_vars = list(zip(rest[:split:2], rest[1:split:2]))
        return Stamp(prefix, link, target, said, env_vars, list(zip(rest[split::2], rest[split + 1 :: 2])))
    except (OSError, ValueError):
        return None


def write_stamp(environment, generation, published):
    """Keep what was looked at for the next boot; not if a file is so new that a change may hide.

    Signatures were taken before the files were read, so a change in between shows.
    published  (link, target), or None if this boot leaves the link alone
    """
    config = environment.config
    path = stamp_path(environment.root, environment.requested)
    if any(is_fresh(each) for each in config.seen):
        remove(path)
        return
    ours = [generation.path, "pyvenv.cfg"], [generation.path, MARKER], [generation.program], [
        site_packages(generation.path)]
    watched = dict(config.seen)
    watched.update((path, signature(path)) for path in (os.path.join(*parts) for parts in ours))
    link, target = published or ("", "")
    env_vars = environment["env_vars"]
    parts = stamp_head(environment.root, environment.requested)
    parts += [generation.path, link, target, current_line(environment, generation), str(len(env_vars))]
    for pair in list(env_vars.items()) + sorted(watched.items()):
        parts += pair
    data = "\0".join(parts + [STAMP_MAGIC]).encode("utf-8", "surrogateescape")
    try:
        write_atomic(path, data)
    except OSError as problem:  # without it boots are slower, no worse
        report.detail("no stamp: %s" % problem)


def is_fresh(path):
    """Whether a file changed so lately that another change could leave its `stat` the same (T7)."""
    import time

    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return False
    changed = st.st_mtime_ns if WINDOWS else st.st_ctime_ns
    granularity = 50 * 10 ** 6 if changed % 10 ** 9 else 2 * 10 ** 9  # some file systems count seconds
    return time.time() * 10 ** 9 - changed < granularity


def current_line(environment, generation):
    """What is said when nothing is to be done."""
    return "%s is current (environment %s, python %s)" % (
        environment["venv_dir_rel_path"], environment.name, generation.python.version)


# --------------------------------------------------------------------------------------------------
# Stages
# --------------------------------------------------------------------------------------------------


def fast_path(argv):
    """Answer `prime` and `prime run CMD…` from the stamp alone, if it proves that nothing is to do.

    Reads one file and calls `stat`, using `os` and `sys` only. Returns the exit status, or None when
    it cannot tell, which is never wrong: the long way finds the same answer. For `run` it does not
    return at all.
    """
    command = None
    if argv[:1] == ["run"]:
        command = argv[2:] if argv[1:2] == ["--"] else argv[1:]
        if not command or (command[0][:1] == "-" and command[0] != "-m"):
            return None
    elif argv not in ([], ["boot"]):
        return None
    if PY_EXEC in os.environ or LOG_VAR in os.environ:
        return None
    try:
        root = find_root()
        stamp = read_stamp(root, os.environ.get(ENV_VAR, ""))
        if stamp is None or not stamp.holds():
            return None
        if command is None:
            report.note(stamp.said)
            return 0
        hand_over(command, stamp.prefix, stamp.env_vars)
    except (PrimeError, OSError):
        return None


def command_argv(command, prefix, search):
    """The argument list, its first a path, that runs a user's command in an environment.

    command  list of str: a program of the environment or of the search path, -m MODULE, or a .py file
    PrimeError with status 127 if there is no such program.
    """
    if command[0] == "-m" or (command[0].endswith(".py") and os.path.isfile(command[0])):
        return [environment_python(prefix)] + command
    program = find_program(command[0], search)
    if not program:
        raise PrimeError("no program %s in the environment or on PATH" % command[0], status=127)
    return [program] + command[1:]


def hand_over(command, prefix, env_vars):
    """Become the user's command inside the environment directory `prefix`."""
    environ = activated(prefix, env_vars)
    replace_process(command_argv(command, prefix, environ["PATH"]), environ)


def current_stage(root):
    """The stage this process is in; the variable is taken away, so that no child sees it (E5)."""
    stage, _, place = os.environ.pop(PY_EXEC, "").partition(":")
    return stage if stage in STAGES and place == root else "wild"


def hop(python, stage, before, root):
    """Start over in another python, in a later stage.

    python         str, path of the interpreter
    stage, before  where this goes, and where it is; going back or in circles is a PrimeError
    """
    if STAGES.index(stage) <= STAGES.index(before):
        raise PrimeError("came to the stage %s twice, now with %s" % (stage, sys.executable))
    report.detail("stage %s -> %s: %s" % (before, stage, python))
    environ = clean_environ()
    environ[PY_EXEC] = "%s:%s" % (stage, root)
    replace_process([python, os.path.abspath(script_path())] + sys.argv[1:], environ)


def may_hop(python, stage):
    """Whether the build should go on under `python`, and can: there is a file to start again."""
    if stage != "wild" or not script_path() or not sys.executable:
        return False
    in_base = sys.prefix == sys.base_prefix
    return not (in_base and os.path.realpath(sys.executable) == os.path.realpath(python.path))


class Boot:
    """One run of this file for one environment: its options, and what was found on the way."""

    def __init__(self, environment, stage, can_hop=True):
        self.environment, self.stage, self.can_hop = environment, stage, can_hop
        self.tried = []  # candidates
        self.inputs = inputs_of(environment)

    def current(self):
        """(Generation or None, reasons)"""
        return find_generation(self.environment, self.inputs)

    def select(self, anew=False):
        """The `Interpreter` for a new generation, and the driver if it had to be asked for one."""
        environment = self.environment
        if self.stage == "required":  # selected in the stage before, and running
            python = interpreter_at(sys.executable)
            for wanted in [environment.required] + environment.also:
                if why_not(wanted, python):
                    raise PrimeError("stage required runs %s, which is %s for %s" % (
                        python, why_not(wanted, python), wanted), hint="unset %s" % PY_EXEC)
            return python, None
        python = None if anew else kept_python(environment, self.inputs)
        python = python or self._probe()
        driver = None
        if python is None:
            driver = choose_driver(environment)
            if isinstance(driver, UvDriver) and not is_offline() and not environment.required.path:
                try:
                    driver.provide(environment.required, environment.also)
                    python = self._probe()
                except PrimeError as problem:
                    raise self._no_python("uv could not install it either: %s" % problem, problem.tried)
        if python is None:
            raise self._no_python()
        return python, driver

    def _probe(self):
        environment = self.environment
        return probe_python(
            environment.required,
            environment["python_selector_file_rel_path"],
            environment.root,
            environment.name,
            self.tried,
            environment.also,
        )

    def _no_python(self, note="", more=()):
        required = self.environment.required
        field = "required_python_version" if "requires-python" not in required.origin else "requires-python"
        lines, seen = [], set()
        for candidate in self.tried:
            if candidate.path not in seen:
                seen.add(candidate.path)
                lines.append(candidate.line())
        hint = "" if note else 'set venv_driver = "venv_uv" and allow downloads'
        return PrimeError(
            'no python satisfies %s "%s"' % (field, required.text),
            required.origin,
            lines + ([note] if note else []) + list(more),
            hint="install it" + (", or " + hint if hint else ""),
        )

    def make(self, anew=False):
        """Have a current generation: the one there is, or a new one. May hop to another python."""
        environment = self.environment
        generation, reasons = (None, ["a new one was asked for"]) if anew else self.current()
        if generation:
            return generation
        python, driver = self.select(anew)
        if self.can_hop and may_hop(python, self.stage):
            hop(python.path, "required", self.stage, environment.root)
        if self.stage == "wild":
            report.detail("stage required: skipped, %s goes on with %s" % (sys.executable, python))
        prepare_state(environment.root)
        report.open_log(state_dir(environment.root, "log"))
        with locked(state_dir(environment.root, "lock"), "building environment %s" % environment.name):
            if not anew:
                generation, _ = self.current()  # built by the process that we waited for
            if generation is None:
                report.note("building environment %s: %s" % (environment.name, reasons[0]))
                for reason in reasons[1:]:
                    report.detail("also: " + reason)
                driver = driver or choose_driver(environment)
                generation = build(environment, self.inputs, python, driver)
        return generation

    def finish(self, generation, move_link=True):
        """Publish a generation and keep a stamp of what was looked at."""
        prepare_state(self.environment.root)
        published = publish(self.environment, generation) if move_link else None
        write_stamp(self.environment, generation, published)
        report.detail("stage venv: %s (%s)" % (generation.program, generation.python.version))


# --------------------------------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------------------------------


def used_name(config):
    """The environment that `prime use` made this clone's; "" if none, or if it is not configured."""
    path = config.look(state_dir(config.root, "use"))
    name = load_text(path).strip() if os.path.isfile(path) else ""
    if name and name != "default" and name not in config.table.get("env", {}):
        report.note('environment "%s", chosen by prime use, is not configured any more' % name)
        return ""
    return name


def open_environment(options):
    """The environment that the options and variables ask for. Returns an `Environment`."""
    config = load_config(options.root)
    requested = options.env or os.environ.get(ENV_VAR, "")
    return load_environment(config, requested or used_name(config), requested)


def command_boot(options):
    """make the environment current: build what is missing"""
    boot = Boot(open_environment(options), options.stage, options.can_hop)
    generation, _ = boot.current()
    built = generation is None
    generation = generation or boot.make()
    boot.finish(generation)
    line = current_line(boot.environment, generation)
    report.note(line.replace(" is current", " is ready") if built else line)
    return 0


def command_run(options):
    """run a program in the environment: run [--no-boot] [--] CMD…"""
    words, no_boot = list(options.words), False
    while words and words[0] == "--no-boot":
        no_boot = bool(words.pop(0))
    if words[:1] == ["--"]:
        words.pop(0)
    if not words:
        raise PrimeError("run: no command given", hint="prime run [--no-boot] [--] CMD…", status=2)
    environment = open_environment(options)
    boot = Boot(environment, options.stage, options.can_hop)
    if no_boot:
        known = generations(environment)
        if not known:
            raise PrimeError("environment %s was not built yet" % environment.name, hint="run `prime` first")
        generation = boot.current()[0] or known[0]
    else:
        generation = boot.make()
        boot.finish(generation, move_link=not environment.requested)
    try:
        hand_over(words, generation.path, environment["env_vars"])
    except OSError as problem:
        status = 127 if isinstance(problem, FileNotFoundError) else 126
        raise PrimeError("cannot run %s: %s" % (words[0], problem.strerror), status=status)


def command_info(options):
    """what is configured, from where, and whether the environment is current"""
    environment = open_environment(options)
    boot = Boot(environment, options.stage, False)
    generation, reasons = boot.current()
    config = {
        field: {"value": environment[field], "from": environment.origins[field]} for field in FIELDS
    }
    if generation:
        selected = Candidate(generation.python.path, "generation")
        selected.interpreter, selected.verdict = generation.python, "selected"
    else:
        boot._probe()
        selected = next((each for each in boot.tried if each.verdict == "selected"), None)
    link = environment.path(environment["venv_dir_rel_path"])
    told = {
        "schema": SCHEMA,
        "root": environment.root,
        "config": config,
        "environment": environment.name,
        "driver": generation.meta["driver"] if generation else environment["venv_driver"],
        "required": {"request": environment.required.text, "from": environment.required.origin},
        "selected_python": selected.as_dict() if selected else None,
        "venv": generation and {
            "path": link,
            "generation": generation.path,
            "python": generation.program,
            "version": generation.python.version,
        },
        "current": generation is not None,
        "reasons": reasons,
    }
    emit(as_json(told) if options.json else info_text(told))
    return 0 if generation else 1


def as_json(value):
    import json

    return json.dumps(value, indent=2, default=list) + "\n"


def info_text(told):
    """The same as `info --json`, for people."""
    selected, venv = told["selected_python"], told["venv"]
    rows = [
        ("root", told["root"]),
        ("environment", told["environment"]),
        ("driver", told["driver"]),
        ("required", "%s (%s)" % (told["required"]["request"] or "any python", told["required"]["from"])),
        ("selected", "%s (%s)" % (selected["path"], selected["version"]) if selected else "none"),
        ("venv", "%s -> %s" % (venv["path"], venv["generation"]) if venv else "none"),
        ("current", "yes" if told["current"] else "no: " + "; ".join(told["reasons"])),
    ]
    for field, entry in told["config"].items():
        if entry["from"] != "default":
            rows.append((field, "%s (%s)" % (entry["value"], entry["from"])))
    return "".join("%-24s %s\n" % row for row in rows)


def command_python(options):
    """the path of the python that a request selects"""
    environment = open_environment(options)
    if options.request is not None:
        environment.required, environment.also = Request.parse(options.request, "command line"), []
    boot = Boot(environment, options.stage, False)
    python = boot._probe()
    if options.all:
        known = {candidate.path for candidate in boot.tried}
        for candidate in candidates(environment.required):
            if candidate.path not in known:
                boot.tried.append(judge(candidate, [environment.required] + environment.also))
    if options.json:
        listed = boot.tried if options.all else [each for each in boot.tried if each.verdict == "selected"]
        emit(as_json({
            "schema": SCHEMA,
            "request": environment.required.text,
            "candidates": [candidate.as_dict() for candidate in listed],
        }))
    elif options.all:
        emit("".join("%-8s %-8s %s\n" % (each.verdict, each.source, each.line()) for each in boot.tried))
    elif python:
        emit(python.path + "\n")
    if python is None:
        raise boot._no_python()
    return 0


def command_use(options):
    """make an environment this clone's from now on: use NAME"""
    config = load_config(options.root)
    environment = load_environment(config, options.name)
    boot = Boot(environment, options.stage, options.can_hop)
    generation = boot.make()
    prepare_state(options.root)
    write_atomic(state_dir(options.root, "use"), (options.name + "\n").encode())
    config.seen[state_dir(options.root, "use")] = signature(state_dir(options.root, "use"))
    boot.finish(generation)
    report.note(current_line(environment, generation))
    return 0


def command_reset(options):
    """a new generation from scratch; the old one stays until the new one works"""
    boot = Boot(open_environment(options), options.stage, options.can_hop)
    generation = boot.make(anew=True)
    boot.finish(generation)
    report.note(current_line(boot.environment, generation).replace(" is current", " is new"))
    return 0


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


def make_parser():
    """The parser of the command line (argparse)."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            raise PrimeError(message, hint="%s --help" % self.prog, status=2)

    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("-v", dest="verbose", action="count", help="say more; -vv says all")
    common.add_argument("-q", dest="quiet", action="store_true", help="print errors alone")
    common.add_argument("-e", dest="env", metavar="NAME", help="the environment, instead of the clone's own")
    common.add_argument("--root", metavar="DIR", help="the ref root, instead of the one that is found")
    common.add_argument("--offline", action="store_true", help="open no socket")
    parser = Parser(prog="prime", parents=[common], description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="store_true", help="print the version of this file")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    parsers = {
        name: commands.add_parser(name, parents=[common], help=function.__doc__, description=function.__doc__)
        for name, function in COMMANDS.items()
        if name != "run"
    }
    commands.add_parser("run", help=command_run.__doc__, add_help=False, prefix_chars="\0").add_argument(
        "words", nargs="*"
    )
    parsers["info"].add_argument("--json", action="store_true", help="as JSON")
    parsers["python"].add_argument("request", nargs="?", metavar="REQUEST", help="default: what the repo requires")
    parsers["python"].add_argument("--all", action="store_true", help="every candidate, and why it was passed over")
    parsers["python"].add_argument("--json", action="store_true", help="as JSON")
    parsers["use"].add_argument("name", metavar="NAME")
    return parser


def parse_command_line(argv):
    """The options of a command line, with the ref root and the stage. PrimeError with status 2."""
    parser = make_parser()
    options = parser.parse_args(argv)
    for name, default in (("verbose", 0), ("quiet", False), ("env", ""), ("root", ""), ("offline", False)):
        if not hasattr(options, name):
            setattr(options, name, default)
    levels = {"error": -1, "info": 1, "debug": 2}
    report.verbosity = options.verbose or levels.get(os.environ.get(LOG_VAR, "").lower(), 0)
    if options.quiet:
        report.verbosity = -1
    if options.offline:
        os.environ[OFFLINE_VAR] = "1"
    return options


def isolate():
    """Keep the repo's own types.py or logging.py out of our imports (E4), and warnings out of sight."""
    own = {os.path.dirname(os.path.abspath(path)) for path in (script_path(), sys.argv[0]) if path}
    own |= set(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))) | {""}
    sys.path[:] = [path for path in sys.path if path not in own]
    if sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")  # E2: PYTHONWARNINGS=error is meant for the user's code


def catch_signals():
    """Turn SIGTERM and SIGHUP into an exception, as python does with SIGINT."""
    import signal

    def interrupt(signum, frame):
        raise Interrupted(signum)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)


def main(argv=None):
    """The command line. Returns the exit status; `run` replaces the process instead.

    argv  list of str, the arguments less the program's name; default: those of this process
    """
    can_hop = argv is None  # else the process is somebody else's, and stays
    argv = sys.argv[1:] if argv is None else list(argv)
    status = fast_path(argv)
    if status is not None:
        return status
    isolate()
    try:
        catch_signals()
        options = parse_command_line(argv)
        if options.version:
            emit("proto_prime %s\n" % __version__)
            return 0
        options.root = find_root(options.root)
        options.stage, options.can_hop = current_stage(options.root), can_hop
        report.detail("stage %s: %s (%s)" % (options.stage, sys.executable, sys.version.split()[0]))
        report.detail("ref root: %s" % options.root)
        return COMMANDS[options.command or "boot"](options)
    except PrimeError as error:
        report.error(error)
        _trace()
        return error.status
    except OSError as problem:
        place = " (%s)" % problem.filename if problem.filename else ""
        report.error(PrimeError("%s%s" % (problem.strerror or problem, place)))
        _trace()
        return 1
    except (KeyboardInterrupt, Interrupted) as stop:
        signum = getattr(stop, "signum", 2)
        report.error(PrimeError("interrupted by signal %d" % signum))
        return 128 + signum


def _trace():
    if report.verbosity >= 2:
        import traceback

        report.output(traceback.format_exc().encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    sys.exit(main())
