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
''':'
# For sh, from here to exec: `sh proto_prime.py`, where maybe no python is. Python takes it for a string.
[ -z "${ZSH_VERSION-}" ] || emulate sh
unset PYTHONHOME __PYVENV_LAUNCHER__
aside=

fail() {
    echo "prime: error: $1" >&2
    echo "  hint: $2" >&2
    rm -rf "${aside:-/nowhere/at/all}"
    exit 1
}

runs() { # whether it is a python that can run this file; an empty one ends well, and is none
    if [ -x /usr/bin/xcode-select ] && [ "$(command -v "$1")" = /usr/bin/python3 ]; then
        xcode-select -p >/dev/null 2>&1 || return 1 # it opens a dialog
    fi
    case $($limit "$1" -c 'import sys; print("it %s" % (sys.version_info >= (3, 6)))' </dev/null 2>/dev/null) in
    *"it True"*) ;;
    *) return 1 ;;
    esac
}

fetch() { # a URL, to a file: from https or a file, also after redirects, unless a hash tells what it must be (H7)
    protocols="=https"
    case $1 in
    https://*) ;;
    file://*) protocols="=file" ;;
    *)
        [ -n "${PROTOPRIMER_UV_INSTALLER_SHA256-}" ] ||
            fail "$shown could be anybody's" "give https, or PROTOPRIMER_UV_INSTALLER_SHA256"
        protocols="=http,https"
        ;;
    esac
    if command -v curl >/dev/null 2>&1; then
        curl -LsSf --proto "$protocols" --proto-redir "$protocols" -o "$2" "$1"
    elif [ "$protocols" = "=file" ]; then
        cat "${1#file://}" >"$2"
    elif command -v wget >/dev/null 2>&1; then
        wget -t 2 -S -qO "$2" "$1" 2>"$2.head" && is_secure "$2.head"
    else
        fail "there is no python here, and neither curl nor wget to fetch one" "install one of the three"
    fi
}

is_secure() { # whether all that wget says it was led to is https, and every certificate was looked at
    [ -z "${PROTOPRIMER_UV_INSTALLER_SHA256-}" ] || return 0
    while read -r line; do
        case $line in
        [Ll][Oo][Cc][Aa][Tt][Ii][Oo][Nn]:*)
            place=${line#*:}
            while [ "${place# }" != "$place" ]; do place=${place# }; done
            case $place in
            https://* | /*) ;;
            *) fail "$shown leads to what is not https" "PROTOPRIMER_UV_INSTALLER_URL names another place" ;;
            esac
            ;;
        *"certificate validation not implemented"*)
            fail "this wget does not look at certificates" "install curl, or give PROTOPRIMER_UV_INSTALLER_SHA256"
            ;;
        esac
    done <"$1"
}

sha256() {
    { sha256sum "$1" || shasum -a 256 "$1" || openssl dgst -r -sha256 "$1"; } 2>/dev/null | cut -d" " -f1
}

agree() { # to a download: asked where a terminal is, said where none is
    case ${PROTOPRIMER_OFFLINE-} in
    "" | 0 | false | no) ;;
    *) set -- "$@" --offline ;;
    esac
    case " $* " in
    *" --offline "*) fail "there is no python of at least 3.6 here, and none is fetched offline" "install one" ;;
    esac
    echo "prime: there is no python of at least 3.6 here: $1" >&2
    [ -t 0 ] && [ -t 2 ] || return 0
    printf "Go on? [y/N] " >&2
    read -r answer
    case $answer in
    [yY]*) ;;
    *) fail "nothing was downloaded" "install a python" ;;
    esac
}

fetch_uv() { # into the user cache, by its stand-alone installer
    url=${PROTOPRIMER_UV_INSTALLER_URL:-https://astral.sh/uv/install.sh} aside=$cache/aside.$$
    shown=$url
    case $url in *@*) shown=${url%%//*}//***@${url##*@} ;; esac # H14
    agree "uv will be fetched with $shown into $cache, and fetch one" "$@"
    trap 'rm -rf "$aside"; exit 129' HUP
    trap 'rm -rf "$aside"; exit 130' INT
    trap 'rm -rf "$aside"; exit 143' TERM
    [ ! -e "$cache" ] || [ -O "$cache" ] ||
        fail "$cache belongs to another user" "PROTOPRIMER_CACHE_DIR names another directory"
    (umask 077 && mkdir -p "$aside") || fail "cannot write to $cache" "PROTOPRIMER_CACHE_DIR names another directory"
    [ -z "${mark-}" ] || echo "Made by proto_prime.py, which may remove all that is in this directory." >"$mark"
    fetch "$url" "$aside/install.sh" || fail "cannot fetch $shown" "PROTOPRIMER_UV_INSTALLER_URL names another place"
    sum=$(sha256 "$aside/install.sh")
    [ "${PROTOPRIMER_UV_INSTALLER_SHA256:-$sum}" = "$sum" ] ||
        fail "$shown is not what PROTOPRIMER_UV_INSTALLER_SHA256 says: its SHA-256 is $sum" \
            "look at it before you run it"
    UV_UNMANAGED_INSTALL=$aside UV_NO_MODIFY_PATH=1 sh "$aside/install.sh" </dev/null >&2 ||
        fail "the installer of uv failed" "install uv or a python"
    version=$("$aside/uv" --version) || fail "the uv that was fetched does not run" "install a python"
    version=${version#uv }
    uv=$cache/uv-${version%% *}
    mv -f "$aside/uv" "$uv" && rm -rf "$aside"
}

find_python() { # among those that uv installed: it stops at a broken one elsewhere, and at what a project requires
    (cd / && "$uv" python find --no-project --system --python-preference only-managed ">=3.6" 2>/dev/null)
}

is_foreign() { # whether a directory holds what others made, and no mark of ours (H2)
    [ -d "$1" ] && [ ! -f "$1/.proto-prime" ] || return 1
    for entry in "$1"/* "$1"/.[!.]*; do
        ! [ -e "$entry" ] && ! [ -h "$entry" ] || return 0
    done
    return 1
}

provide() { # a python by uv
    home=${HOME-$(eval "echo ~$(id -un)")}
    cache=${XDG_CACHE_HOME:-$home/.cache}/proto_prime
    [ "$(uname)" != Darwin ] || cache=$home/Library/Caches/proto_prime
    cache=${PROTOPRIMER_CACHE_DIR:-$cache}
    case $cache in
    /*) ;;
    *) cache=$PWD/$cache ;;
    esac
    if [ -n "${PROTOPRIMER_CACHE_DIR-}" ]; then
        while is_foreign "$cache"; do cache=$cache/proto_prime; done
        mark=$cache/.proto-prime
    fi
    cache=$cache/uv
    for uv in uv "$home/.local/bin/uv" "$home/.cargo/bin/uv" "$cache"/uv-[0-9]*; do
        case $uv in */*) [ -O "$uv" ] || { uv= && continue; } ;; esac # with `sudo -E` they are another user's (H8)
        "$uv" python find --help </dev/null >/dev/null 2>&1 && break # old ones cannot
        uv=
    done
    if [ -z "$uv" ]; then
        fetch_uv "$@"
    elif ! find_python >/dev/null; then
        agree "uv will fetch one" "$@"
    fi
    python=$(find_python) || {
        (cd / && UV_PYTHON_INSTALL_BIN=0 "$uv" python install 3 </dev/null >&2) && python=$(find_python)
    } || fail "uv provides no python" "install one"
}

limit=
! command -v timeout >/dev/null || limit="timeout 5" # seconds, for one that hangs
[ -f "$0" ] || fail "sh needs this as a file" "save it first, then: sh proto_prime.py"
for python in python3 python python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 \
    python3.7 python3.6 pypy3 "${HOME-}"/.pyenv/versions/*/bin/python3 "${HOME-}"/*conda3/bin/python3 \
    /usr/local/bin/python3 /opt/homebrew/bin/python3 /opt/*/bin/python3; do
    runs "$python" && exec "$python" "$0" "$@"
done
provide "$@"
exec "$python" "$0" "$@"
'''
__doc__ = """Take a repo from any python to the python and the dependencies that it requires.

Usage: ./prime -v, or python3 proto_prime.py -v. What it does, stage by stage:

    wild       whatever python started this file: reads the config, selects an executable
    required   the selected python: makes the environment with uv or with pip, publishes it
    venv       the environment's python, or the program that was asked for, takes over

Each stage replaces the process before it (os.execve), and PROTOPRIMER_PY_EXEC tells this file that it
runs in a later one. A stage that is not needed is skipped: a repo with nothing to do takes one hop, from
wild to the command.
The chapters below stand in the order in which they need each other; what is called from outside comes last.
"""

import os
import sys

__version__ = "0.1.0"

SCHEMA = 1  # of generations and JSON output; part of every generation's key
STAGES = ("wild", "required", "venv")
OLDEST_PYTHON = (3, 6)  # that this file runs on, and that an environment may have
OLDEST_UV_PYTHON = (3, 8)  # that may deploy uv: its wheel says Requires-Python >= 3.8

PY_EXEC = "PROTOPRIMER_PY_EXEC"  # "<stage>:<ref root>", internal
SAID_VAR = "PROTOPRIMER_SAID"  # what the stage before has to say to the log, internal
BUILDING_VAR = "PROTOPRIMER_BUILDING"  # the directories of the generations that are being built, internal
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
# Errors and the reporter
# --------------------------------------------------------------------------------------------------
# What goes wrong for a user is a `PrimeError`. What is said to people goes through the one `report`.
# No password leaves this chapter: `masked` hides them in every text that is shown or kept.


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


class Mismatch(PrimeError):
    """What was fetched is not what it must be: nothing goes on without it."""


class Interrupted(BaseException):
    """A signal of `end_signals` came; like KeyboardInterrupt not an Exception."""

    def __init__(self, signum):
        super().__init__(signum)
        self.signum = signum


class Reporter:
    """The one voice: what is for people goes to stderr and to the log, never to stdout."""

    def __init__(self):
        self.verbosity = 0  # -1 errors alone, 0 notices, 1 decisions and commands, 2 the children's output
        self.log, self.log_path, self.unlogged = None, "", []  # type: ignore[var-annotated]
        self.step_title, self.step_start, self.is_live, self.live_line = "", 0.0, False, ""

    def note(self, text):
        """A line for everybody who did not ask for quiet."""
        self._say("prime: " + one_line(text), 0)

    def detail(self, text):
        """A line for -v: a stage, a decision with its reason, a child command."""
        self._say("prime: " + one_line(text), 1)

    def error(self, error):
        """A PrimeError, with what was tried and a hint."""
        lines = ["prime: error: %s" % error] + ["  " + line for line in error.tried]
        lines += ["  hint: " + error.hint] if error.hint else []
        self._say("\n".join(map(one_line, lines)), -1)

    def output(self, data):
        """Bytes that a child printed, whole lines for `masked`'s sake: to the log always, to stderr with -vv."""
        self._write(masked(data.decode("utf-8", "backslashreplace")), 2)

    def step(self, title):
        """Announce long work: with a plain line, on a terminal with a live one until `done`."""
        import time

        self.step_title, self.step_start = "prime: " + one_line(masked(title)), time.monotonic()
        self.is_live = self.verbosity == 0 and self._is_terminal() and is_foreground()
        if self.is_live:
            self.tick()
        else:
            self.note(title)

    def tick(self):
        """Renew the live line, if it has changed; called some ten times a second while a child works."""
        if self.is_live and is_foreground():
            import time

            room = columns() - 3  # an echoed ^C takes two, and the last one is left alone: some would wrap after it
            spent = " %d s" % (time.monotonic() - self.step_start)
            line = clipped(clipped(self.step_title, room - len(spent)) + spent, room)
            if line != self.live_line:
                self.live_line = line  # first, for an interrupt may come while it is shown
                self._show("\r\x1b[K" + line)

    def done(self):
        """End the live line, if there is one."""
        if self.live_line and is_foreground():
            self._show("\r\x1b[K")
        self.is_live, self.live_line = False, ""

    def open_log(self, directory):
        """Send all that follows to a new file in `directory` too, and keep the newest five."""
        import time

        self.log_path = os.path.join(directory, time.strftime("%Y%m%d-%H%M%S") + "-%d.log" % os.getpid())
        try:
            make_directory(directory)
            for old in [path for path in paths_named(directory, LOG_NAME) if is_file(path)][:-4]:
                os.remove(old)
            self.log = os.fdopen(create_file(self.log_path), "wb", buffering=0)  # B5: told at once
            self.log.write("".join(self.unlogged).encode("utf-8", "backslashreplace"))
        except OSError as problem:  # a log is a courtesy: work goes on without
            self.detail("no log: %s" % problem)

    def _say(self, text, level):
        if self.verbosity >= level:
            self.done()
        text = visible(masked(text)) + "\n"  # H14
        self._write(text, level, self._painted(text))

    def _write(self, text, level, painted=""):
        try:
            if self.log:
                self.log.write(text.encode("utf-8", "backslashreplace"))
            else:
                self.unlogged.append(text)  # what led to a build is part of its log
        except OSError:
            self.log = None
        if self.verbosity >= level:
            self._show(painted or text)

    def _show(self, text):
        try:
            if sys.stderr is not None:  # E7: it may be closed
                sys.stderr.write(text)
                sys.stderr.flush()
        except OSError:  # closed or full: what is left would fail once more at the end, and change the status
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        except ValueError:
            pass

    def _is_terminal(self):
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _painted(self, text):
        """An error's text with colours, if they are wanted: NO_COLOR goes before FORCE_COLOR, "" is unset."""
        is_wanted = os.environ.get("FORCE_COLOR") or self._is_terminal()
        if os.environ.get("NO_COLOR") or not is_wanted or not text.startswith("prime: error:"):
            return text
        return text.replace("error:", "\x1b[31merror:\x1b[0m", 1).replace("\n  hint:", "\n  \x1b[36mhint:\x1b[0m")


report = Reporter()
LOG_NAME = r"\d{8}-\d{6}-\d+\.log"  # of the files that `Reporter.open_log` makes
_noted = set()  # type: set  # what `note_once` said


def note_once(text):
    """`report.note`, unless this process or the stage before it said the same."""
    before = "".join(report.unlogged) + os.environ.get(SAID_VAR, "")
    if text not in _noted and one_line(text) not in before:
        report.note(text)
    _noted.add(text)


def visible(text):
    """`text` with escapes for what a terminal would obey instead of showing it, line ends excepted."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
                   for char in text)


def one_line(text):
    """`text` with escapes for its line ends, too: a value that is told makes no line of its own (H13)."""
    return visible(text).replace("\n", "\\n")


def clipped(text, room):
    """The start of `text` that takes at most so many columns of a terminal."""
    for place, char in enumerate(text):
        room -= 2 if char >= "\u1100" else 1  # no character before that one is wide
        if room < 0:
            return text[:place]
    return text


def columns():
    """How wide the terminal at stderr is."""
    try:
        return os.get_terminal_size(2).columns or 80  # 0: nobody told it
    except OSError:  # it was closed
        return 80


def is_foreground():
    """Whether the terminal at stderr is ours: one that runs us in the background has another line there."""
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except (AttributeError, OSError):  # Windows, or no terminal that we belong to
        return True


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

    return json.dumps(value, indent=2, default=list).replace("\x7f", "\\u007f") + "\n"  # it leaves that one alone


NEAR_CAP = 100  # characters of names that are compared, which takes their square (H10)


def nearest(name, known):
    """The hint for an unknown name: the known one that comes nearest, else all of them; "" if there are none."""
    import difflib

    known = [each for each in known if len(each) <= NEAR_CAP]
    near = difflib.get_close_matches(name[:NEAR_CAP], known, 1, 0.5)
    return 'did you mean "%s"?' % near[0] if near else "known: " + ", ".join(sorted(known)) if known else ""


def shown_value(value):
    """A value of a config or a lock as an error shows it: its start, if it is a long one (H10)."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of more digits than python prints
        return "a value that is too large"
    return text if len(text) <= 200 else text[:200] + "..."


def tilde(path):
    """`path` as people write it: what is below the home directory with ~."""
    home = os.environ.get("HOME", "")
    return "~" + path[len(home):] if home.strip("/") and path.startswith(home + os.sep) else path


def user_name(uid):
    """What the user of a number is called: "mary (uid 1000)"."""
    try:
        import pwd

        return "%s (uid %d)" % (pwd.getpwuid(uid).pw_name, uid)
    except (ImportError, KeyError):
        return "uid %d" % uid


def shown(argv):
    """A command as a POSIX shell would need it, on one line and without passwords."""
    import shlex

    return masked(" ".join(shlex.quote(word) if "\n" not in word else "'...'" for word in argv))


def masked(text):
    """A text without the user names and passwords of the URLs in it, however they are written (H14).

    What stands behind the slashes up to an "@" is hidden even where it has a "/", "#" or "?", which no password of a
    URL may have; what follows an "@" in a path stays, if it can be told from that: a revision, a version. An URL
    that ends before its "@" comes is hidden as well. Takes linear time.
    """
    if "//" not in text and "\\/" not in text:  # `re` costs a warm boot 4 ms
        return text
    import re

    slashes = re.compile(r"(?::|(?<![\w/\\.:~)\]-]))(?:\\?/){2,}")
    parts, end, match = [], 0, slashes.search(text)
    while match:
        following = slashes.search(text, match.end())
        until = hidden_until(text, match, following.start() if following else len(text))
        if until > match.end():
            parts += [text[end:match.end()], "***"]
            end = until
        match = following
    return "".join(parts) + text[end:]


def masked_values(value, mask=masked):
    """A JSON value with each text in it `masked`."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: masked_values(each, mask) for key, each in value.items()}
    return [masked_values(each, mask) for each in value] if isinstance(value, (list, tuple)) else value


def masked_input(value):
    """A JSON value as it is kept and compared: `masked`, and where more is hidden than a URL's user, with a hash of it.

    So another password alone changes nothing, while another path does (H14).
    """
    import re

    def mask(text):
        shown = masked(text)
        plain = re.sub(r"//[^/?#@\s]*@", "//***@", text) if shown != text else text
        return shown if shown == plain else "%s (%s)" % (shown, digest(plain))

    return masked_values(value, mask)


URL_BLANK, URL_LINE_END = "[\0\t-\r ]", "[\n\r]"
SCHEME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-"
URL_ADDRESS = r"\[.*|(\d+\.){3}\d+$|localhost$|$"  # what is a host, and no user name


def hidden_until(text, slashes, limit):
    """Up to where `masked` hides what follows the slashes of a URL, a match in `text`. limit: where the next are."""
    import re

    start = slashes.end()
    blank = re.compile(URL_BLANK).search(text, start, limit)
    end = blank.start() if blank else limit
    if text.find("@", start, end) < 0 and text.find(":", start, end) < 0:
        return start
    before = text[max(0, slashes.start() - 40):slashes.start()]
    scheme = before[len(before.rstrip(SCHEME_CHARS)):]
    if scheme.lower().endswith("file") and slashes.group().count("/") > 2:  # a path
        return start
    quote = before[:len(before) - len(scheme)][-1:]
    closing = quote in ("'", '"') and re.compile(quote + r"(?=[],:;)}]|$)").search(text, start, end)
    end = closing.start() if closing else end
    url = text[start:end]
    if "@" not in url and is_cut(url):  # within a password, or at a blank in one
        line_end = re.compile(URL_LINE_END).search(text, end, limit)
        at = text.find("@", end, line_end.start() if line_end else limit)
        return at if at >= 0 and not closing else end
    return start + user_length(url, scheme)


def user_length(url, scheme):
    """How many characters at the start of a URL, less its scheme and slashes, are a user name and a password."""
    import re

    head, at = re.split(r"[/?#\\]", url, maxsplit=1)[0], url.rfind("@")
    if at > len(head) and is_revision(url[at + 1:], "+" in scheme or scheme in ("ssh", "git")):
        at = url.rfind("@", 0, at)
    if at < 0:
        return 0
    host = re.match(r"(\[[^]]*\]|[\w.~-]*)(:\d*)?$", head)
    if at < len(head) or not host:
        return at
    if re.match(URL_ADDRESS, host.group(1)):
        return 0
    is_host = re.match(r"[\w-]+\.[\w.-]*[A-Za-z]|[\w.-]+:\d|localhost\b|(\d+\.){3}\d", url[at + 1:])
    return at if host.group(2) or is_host and "." not in host.group(1) else 0  # with a port it may be a password


def is_revision(text, is_checkout):
    """Whether what follows an "@" in a URL's path is a revision of a checkout, or a version."""
    import re

    word = text[:len(text) - len(re.sub(r"^[\w.+~-]*", "", text))]
    is_other = text[len(word):][:1] in ("/", ":", "@") or re.match(r"(\d+\.){3}\d+$|localhost$", word)
    return bool(word) and not is_other and (is_checkout or bool(re.match(r"v?\d", word)))


def is_cut(url):
    """Whether a URL, less its scheme and slashes, has something else than a port behind its first ":"."""
    import re

    match = re.match(r"([\w.%+~!$&*=-]+):\d*([^\d/?#\\])", url)
    if not match or re.match(URL_ADDRESS, match.group(1)):
        return False
    return match.group(2) not in ")]}>,;:'\"!."  # what stands behind a URL in a text


# --------------------------------------------------------------------------------------------------
# Files and hashes
# --------------------------------------------------------------------------------------------------
# Reads regular files of a sane size, writes each file by one rename, makes names and texts of others fit to be used.
# What the rest of the book knows of a file's state is its `signature`.

PARSE_CAP = 1 << 24  # bytes of a file that is read as a whole
HASH_CAP = 1 << 32  # bytes of a file that is hashed: some in /proc have no end
READ_SIZE = 1 << 16
# Not to be waited for as a fifo is, nor our terminal, nor for children.
READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in (
    "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"))


def open_regular(path):
    """A descriptor to read a regular file by; OSError for a directory, device, fifo or socket (H10).

    A device is not even opened, for that alone does something to some.
    """
    check_regular(os.stat(path), path)
    descriptor = os.open(path, READ_FLAGS)
    try:
        check_regular(os.fstat(descriptor), path)  # it may be another one by now
        return descriptor
    except OSError:
        os.close(descriptor)
        raise


def check_regular(st, path):
    """OSError unless a result of `stat` is that of a regular file."""
    kind = st.st_mode & 0o170000  # as `stat.S_IFMT` has it
    if kind == 0o040000:
        raise IsADirectoryError(21, "it is a directory", path)
    if kind != 0o100000:
        raise OSError(22, "it is no regular file", path)
    if st.st_size > PARSE_CAP and getattr(st, "st_blocks", st.st_size) * 512 < st.st_size // 16:
        raise OSError(27, "it has more than %d MiB, which are not there" % (PARSE_CAP >> 20), path)  # such as kcore


def chunks_of(path, cap):
    """The bytes of a regular file, in chunks; OSError if it cannot be read, or has more than `cap` of them (H10)."""
    descriptor, left = open_regular(path), cap
    try:
        chunk = os.read(descriptor, READ_SIZE)
        while chunk:
            left -= len(chunk)
            if left < 0:
                raise OSError(27, "it has more than %d MiB" % (cap >> 20), path)
            yield chunk
            chunk = os.read(descriptor, READ_SIZE)
    finally:
        os.close(descriptor)


def load_text(path):
    """The text of a UTF-8 file, less a byte order mark; PrimeError if it cannot be had."""
    try:
        text = b"".join(chunks_of(path, PARSE_CAP)).decode("utf-8")  # utf-8-sig is a module of its own
        return text[1:] if text[:1] == "\ufeff" else text
    except OSError as problem:
        raise PrimeError("cannot read %s: %s" % (path, problem.strerror), status=2)
    except UnicodeDecodeError as problem:
        raise PrimeError("cannot read %s: it is not UTF-8 (%s)" % (path, problem), status=2)


def bytes_of(path):
    """A file's content; None if it cannot be read, is no regular file or larger than `PARSE_CAP`."""
    try:
        return b"".join(chunks_of(path, PARSE_CAP))
    except (OSError, ValueError):
        return None


def has_bytes(path, mark):
    """Whether a file can be read and has these bytes somewhere."""
    return mark in (bytes_of(path) or b"")


def is_script(path):
    """Whether a program is a script, such as a shim: what it answers depends on more than its file."""
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError):
        return False
    try:
        return os.read(descriptor, 2) == b"#!"
    except OSError:
        return False
    finally:
        os.close(descriptor)


def write_atomic(path, data):
    """Write bytes so that a reader, or a crash, finds the old file or the new one, whole.

    A link at `path` is replaced, never written through (H5).
    """
    make_directory(os.path.dirname(path))
    aside = temporary_path(path)
    try:
        with os.fdopen(create_file(aside), "wb") as file:
            file.write(data)
        os.replace(aside, path)
    except BaseException as problem:
        remove(aside)
        if isinstance(problem, OSError) and problem.filename in (None, aside):  # no space, and for what?
            problem.filename = path
        raise


def create_file(path):
    """Create a file that was not there, and open it for writing. Returns the file descriptor.

    It is as open to others as its directory is, and never writable for all.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW
    return os.open(path, flags, 0o600 | 0o666 & openness(os.path.dirname(path)))


def make_directory(path, mode=None):
    """Make a directory and those above it that are missing.

    mode  int; default: each is as open to others as the one that it stands in, and never writable for all
    """
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700 | openness(os.path.dirname(path)) if mode is None else mode)
    except FileExistsError:  # another process was faster
        if not os.path.isdir(path):
            raise


def openness(directory):
    """The permissions of a directory, as an int, less that for others to write, in one such as /tmp for its group."""
    mode = os.stat(directory or os.curdir).st_mode
    return mode & (0o755 if mode & 0o1000 else 0o775)


NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
LEFTOVER_SECONDS = 3600  # the age from which a temporary file is that of a killed command


def temporary_path(path):
    """A name of our own for an unfinished `path`, beside it. What killed commands left there is removed."""
    directory, name = os.path.split(path)
    remove_leftovers(directory, name + ".", ".prime-tmp")
    return "%s.%s.prime-tmp" % (path, random_name())


def random_name():
    """A name that nobody foresees: 16 digits in hex."""
    return os.urandom(8).hex()


def remove_leftovers(directory, start, end):
    """Remove files and links with names of our making, `start` + `random_name()` + `end`, that are old enough (H5)."""
    for name in os.listdir(directory):  # without `re`: a boot that is back on known inputs comes here
        middle = name[len(start): len(start) + 16]
        if name == start + middle + end and len(middle) == 16 and set(middle) <= set("0123456789abcdef"):
            path = os.path.join(directory, name)
            try:
                if is_old(path):
                    os.remove(path)
            except OSError:  # another process was faster, or it is a directory
                pass


def is_old(path):
    """Whether something was left so long ago that no running command works on it."""
    import time

    return time.time() - os.lstat(path).st_mtime >= LEFTOVER_SECONDS


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


def remove_file(path):
    """Remove a file that is named as one of ours; what else stands there, such as a directory, is not ours."""
    if is_file(path):
        try:
            os.remove(path)
        except FileNotFoundError:  # another process was faster
            pass


def is_file(path):
    """Whether a path is a regular file, and no link to one."""
    return os.path.isfile(path) and not is_link(path)


def is_link(path):
    """Whether a path is a symbolic link, or a junction, which python does not call one."""
    try:
        entry = os.lstat(path)
    except (OSError, ValueError):
        return False
    is_junction = getattr(entry, "st_reparse_tag", 0) == 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
    return is_junction or os.path.islink(path)


def entries_named(directory, pattern):
    """The names in a directory that match a pattern as a whole, sorted; [] if it cannot be read."""
    import re

    try:
        return sorted(name for name in os.listdir(directory) if re.match("(?:%s)$" % pattern, name))
    except OSError:
        return []


def paths_named(directory, pattern):
    """The paths in a directory whose names match a pattern as a whole, sorted."""
    return [os.path.join(directory, name) for name in entries_named(directory, pattern)]


def unused(path):
    """The first of `path`, `path`.2, `path`.3, ... where there is nothing."""
    name, count = path, 1
    while os.path.lexists(name):
        count += 1
        name = "%s.%d" % (path, count)
    return name


def new_hash(data=b""):
    """What computes a SHA-256. Not from `hashlib`, which takes milliseconds to load OpenSSL."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found]
        except ImportError:  # PyPy
            from hashlib import sha256
    return sha256(data)


def hash_bytes(data):
    """SHA-256 of bytes, in hex."""
    return new_hash(data).hexdigest()


def hash_file(path):
    """SHA-256 of a file's bytes in hex; "" if it cannot be read, or has more of them than `HASH_CAP`."""
    sha256 = new_hash()
    try:
        for chunk in chunks_of(path, HASH_CAP):
            sha256.update(chunk)
    except (OSError, ValueError):
        return ""
    return sha256.hexdigest()


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


def has_control(text):
    """Whether a text has a character that ends a line somewhere, or that no line shows; a tab is a blank (H15)."""
    return not text.isprintable() and any(
        char < " " and char != "\t" or "\x7f" <= char < "\xa0" or char in "\u2028\u2029" for char in text)


def check_text(text, field, file, is_requirement=False):
    """A text that becomes an argument of pip or uv, or a line of a file; PrimeError with status 2 if it cannot (H15).

    text            what stands in the field of the file, any value
    is_requirement  no word of it may begin with "-": behind a requirement in a file that is an option, too
    Returns the text.
    """
    kind, reason = " is no requirement: it" if is_requirement else "", ""
    if not isinstance(text, str):
        raise PrimeError("%s: %s%s is no string" % (field, shown_value(text), kind), file, status=2)
    if has_control(text):
        reason = "has a line end or another control character"
    elif text.strip()[:1] == "-":  # would be an option of pip's
        reason = 'starts with "-"'
    elif is_requirement and any(word[:1] == "-" for word in text.split()):
        reason = 'has a word that starts with "-"'
    if reason:
        raise PrimeError('%s: "%s"%s %s' % (one_line(field), one_line(text[:200]), kind, reason), file, status=2)
    return text


def texts_in(value, name=""):
    """All strings in a value of lists and tables, keys included: pairs of a name and the string.

    The name is that of what it is in at the top, a dot, and its own: all between could be longer than the file (H10).
    """
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, (list, tuple)):
            waiting += [(name, each) for each in value]
        elif isinstance(value, dict):
            top = name.partition(".")[0]
            waiting += [("%s.%s" % (top, key) if top else key, each) for key, each in value.items()]
            waiting += [(name, key) for key in value]


# What Windows takes for a device, with any ending.
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    device + number for device in ("com", "lpt") for number in "0123456789\xb9\xb2\xb3"}


def why_no_file_name(text):
    """Why a text from elsewhere is no name of a file on every platform; "" if it is one (H4)."""
    if not isinstance(text, str) or text in ("", ".", ".."):
        return "it names no file"
    if "/" in text or "\\" in text or ":" in text:
        return "it names a place"
    if has_control(text) or "\t" in text:
        return "it has a control character"
    if text[-1] in " .":
        return "Windows drops its end"
    if text.partition(".")[0].rstrip(" ").lower() in DEVICES:
        return "it is a device of Windows"
    try:
        is_long = len(text.encode("utf-8")) > 255
    except UnicodeError:
        return "it is no text"
    return "it is too long" if is_long else ""


def file_name(text, origin):
    """`text`, which was read from elsewhere, as the name of a file; PrimeError with `origin` if it is none (H4)."""
    reason = why_no_file_name(text)
    if reason:
        raise PrimeError("%s is not taken for the name of a file: %s" % (shown_value(text), reason), origin)
    return text


def file_url(path):
    """The file URL of an absolute path."""
    import urllib.request

    return "file:" + urllib.request.pathname2url(path) if WINDOWS else "file://" + urllib.request.pathname2url(path)


def unquoted(url):
    """What stands at the end of a URL, which `file_name` may take for the name of a file."""
    import urllib.parse

    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])


# --------------------------------------------------------------------------------------------------
# Children and signals
# --------------------------------------------------------------------------------------------------
# Every program that is started goes through `run_child`; every one that this process becomes, through `replace_process`.
# Both get an environment that binds no interpreter to another one's files.

# What binds an interpreter to another one's environment or files (bpo-35811; facts, trap 2).
FOREIGN_VARS = (PY_EXEC, SAID_VAR, "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "PYTHONHOME", "VIRTUAL_ENV",
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
    if environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8"):  # python sets it in the C locale (PEP 538)
        environ["LC_CTYPE"] = started_with("LC_CTYPE")
        dropped += [] if environ["LC_CTYPE"] else ["LC_CTYPE"]
    for name in dropped:
        environ.pop(name, None)
    return environ


def started_with(name):
    """The value of a variable as the caller gave it; as it is now where that cannot be told."""
    try:
        with open("/proc/self/environ", "rb") as file:
            told = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0"))
        return os.fsdecode(told.get(os.fsencode(name), b""))
    except OSError:
        return os.environ.get(name, "")


def activated(prefix, env_vars=()):
    """The environment of a user's command inside the environment directory `prefix`."""
    environ = dict(clean_environ(), **dict(env_vars))
    search = environ.get("PATH", os.defpath)
    environ["VIRTUAL_ENV"] = prefix
    environ["PATH"] = os.path.join(prefix, BIN) + (os.pathsep + search if search else "")
    return environ


def is_on(variable):
    """Whether an environment variable is set to what means yes."""
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


def is_offline():
    """Whether the user asked that no socket be opened."""
    return is_on(OFFLINE_VAR)


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


class Child:
    """What became of a child: `status` (negative for a signal), bytes, `problem` if it was cut short."""

    def __init__(self, status, stdout=b"", stderr=b"", problem=""):
        self.status, self.stdout, self.stderr, self.problem = status, stdout, stderr, problem

    @property
    def has_failed(self):
        return bool(self.status or self.problem)

    def tail(self, lines=12):
        """The last non-blank lines that it printed, on stderr rather than on stdout."""
        import re

        data = self.stderr if self.stderr.strip() else self.stdout
        if len(data) >= OUTPUT_CAP:  # its begin was cut away, maybe within a URL (H14)
            data = re.split(br"\s", data, maxsplit=1)[-1]
        text = masked(data.strip().decode("utf-8", "backslashreplace"))
        text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)  # colours, which FORCE_COLOR brings
        said = [line.rstrip().rpartition("\r")[2].expandtabs() for line in text.split("\n")]  # what came to stand there
        return [visible(line) for line in said if line.strip()][-lines:]

    def __str__(self):
        if self.problem:
            return self.problem
        how = signal_name(-self.status) if self.status < 0 else "exit status %d" % self.status
        said = self.tail()  # a traceback says it last, a shell that finds nothing says it first
        return ": ".join(["failed", how] + (said[:1] if self.status in (126, 127) else said[-1:]))


def signal_name(number):
    """What a signal is called: "signal 15 (SIGTERM)"."""
    import signal

    known = {int(each): " (%s)" % each.name for each in signal.Signals}
    return "signal %d%s" % (number, known.get(number, ""))


def end_signals():
    """The numbers of the signals that end a program which does not expect them."""
    import _signal  # type: ignore[import-not-found]  # built in, while `signal` imports enum

    return [getattr(_signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(_signal, name)]


class Output:
    """What a child prints on one pipe: `kept` is the end of it, at most `cap` bytes; its lines go to the log or not."""

    def __init__(self, cap, is_logged):
        self.kept, self.cap, self.is_logged, self.waiting = bytearray(), cap, is_logged, b""

    def add(self, chunk):
        """Take what came. A line waits for its end: `masked` cannot know a URL by a half (H14)."""
        self.kept += chunk
        del self.kept[:-self.cap]
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if len(self.waiting) > LINE_CAP:
            end = len(chunk)
        if end:
            self.tell(self.waiting + chunk[:end])
        self.waiting = chunk[end:] if end else self.waiting + chunk

    def tell(self, lines):
        if self.is_logged and lines:
            report.output(lines)

    def end(self):
        """No more will be taken."""
        self.tell(self.waiting)
        self.waiting = b""


class unbroken:
    """Put off the signals that end us in `with`, where half a step would leave a child or a file behind (B2)."""

    depth, is_due = 0, False

    def __enter__(self):
        self.is_main = is_main_thread()  # the only one that signals reach
        if self.is_main:
            unbroken.depth += 1

    def __exit__(self, *_):
        if self.is_main:
            unbroken.depth -= 1
        if self.is_main and unbroken.is_due and not unbroken.depth:
            unbroken.is_due = False
            raise Interrupted(_stops[0])


def is_main_thread():
    """Whether this runs in the thread that python handles signals in."""
    import threading

    return threading.current_thread() is threading.main_thread()


OUTPUT_CAP = 1 << 16  # bytes kept of each stream; the log has the rest
LINE_CAP = 1 << 20  # bytes of a line that are waited for
_live = set()  # type: set  # the children that run now
# The signals that came: after the first no child is started, after the second none is waited for.
_stops = []  # type: list


def check_stops():
    """Raise Interrupted if a signal came, in the thread that they reach: python may have lost it (`catch_signals`)."""
    if _stops and is_main_thread():
        raise Interrupted(_stops[0])


def catch_signals(is_over=False):
    """Turn the signals that end us into an exception, unless they are ignored, as by nohup.

    is_over  ignore them all, for one came already, and what is left to do is to end
    """
    import _signal

    def interrupt(signum, frame):
        _stops.append(signum)
        if len(_stops) == 1:  # the others would break what follows of the first
            unbroken.is_due = bool(unbroken.depth)
            if not unbroken.is_due:
                raise Interrupted(signum)

    def unraised(told):
        if not isinstance(told.exc_value, Interrupted):
            sys.__unraisablehook__(told)

    # Raised in a callback, such as the import system has, it would be printed and lost: `check_stops` raises it anew.
    sys.unraisablehook = unraised
    for number in end_signals():
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_IGN if is_over else interrupt)
    if PY_EXEC in os.environ and not WINDOWS:  # `hop` held them back
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, end_signals())


def run_child(argv, environ=None, cwd=os.sep, timeout=None, until=b"", is_logged=False, cap=OUTPUT_CAP,
              is_guarded=False):
    """Run a program to its end, stdin closed, in a process group of its own. Returns a `Child`.

    environ    dict; default: a clean one for tools
    timeout    seconds, after which the group is killed and the child's `problem` says so
    until      bytes on stdout that end the answer: the group is killed then, for what a shim leaves
               behind would keep the pipe open
    is_logged  its output goes to the log as it comes
    cap        bytes that are kept of each stream, from its end
    is_guarded neither it nor what it starts outlives this process, whatever ends that (`GUARD`)
    What cannot be started has status 126 or 127 and a `problem`.
    """
    import collections
    import threading
    import time

    report.detail("run: " + shown(argv))
    try:
        process = start_child(argv, clean_environ(for_tool=True) if environ is None else environ, cwd, is_guarded)
    except (OSError, ValueError) as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        return Child(status, problem="cannot be started: %s" % (getattr(error, "strerror", "") or error))
    printed = {pipe: Output(cap, is_logged) for pipe in (process.stdout, process.stderr)}
    deadline, has_finished = time.monotonic() + (timeout or float("inf")), False
    chunks, news = collections.deque(), threading.Event()  # type: collections.deque, threading.Event
    try:
        for pipe in printed:
            start_thread(_drain, pipe, chunks, news)
        has_finished = _follow(process, chunks, news, printed, deadline, until)
    finally:
        if not has_finished or until:
            end_group(process, grace=0 if until or timeout else 5)
        _live.discard(process)
        for output in printed.values():
            output.end()
    problem = "" if has_finished else "gave no answer within %d s" % timeout
    return Child(process.wait(), bytes(printed[process.stdout].kept), bytes(printed[process.stderr].kept), problem)


def start_child(argv, environ, cwd, is_guarded=False):
    """Start a program in a session of its own; returns its Popen. It is not left behind when a signal comes now."""
    import subprocess

    if is_guarded and not WINDOWS:
        argv = [running_python(), "-I", "-S", "-B", "-c", GUARD] + argv
    with unbroken():
        stdin = subprocess.PIPE if is_guarded and not WINDOWS else subprocess.DEVNULL
        process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=cwd, env=environ, start_new_session=True)
        _live.add(process)
        if is_guarded and WINDOWS:
            end_with_us(process)
    if _stops:  # which came while it was about to start, in another thread for one
        end_group(process, grace=0)
        check_stops()
    return process


def start_thread(work, *args):
    """Call work(*args) in a thread of its own, which does not keep the process alive. PrimeError if there is none."""
    import threading

    def begin():
        if not WINDOWS:  # a signal is the main thread's: one that came here would be lost to `run_as_child`
            import _signal

            _signal.pthread_sigmask(_signal.SIG_BLOCK, set(range(1, _signal.NSIG)) - {32, 33})
        work(*args)

    try:
        threading.Thread(target=begin, daemon=True).start()
    except (RuntimeError, MemoryError) as problem:  # H16
        raise PrimeError("no thread can be started: %s" % (problem or "out of memory"), hint=LIMIT_HINT)


LIMIT_HINT = "look at the limits of this user, or of this container: processes (ulimit -u), memory (ulimit -v), " \
    "open files (ulimit -n)"


def limit_hint(text):
    """`LIMIT_HINT` if a message tells that the machine gives no more files, processes or memory (H16); else ""."""
    import errno

    signs = [os.strerror(number) for number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)]
    return LIMIT_HINT if any(sign in text for sign in signs + ["start new thread"]) else ""


def _drain(pipe, chunks, news):
    """Read a pipe to its end, which b"" tells."""
    chunk = b"-"
    while chunk:
        chunk = os.read(pipe.fileno(), OUTPUT_CAP)
        chunks.append((pipe, chunk))
        news.set()


def _follow(process, chunks, news, printed, deadline, until):
    """Keep what a child prints. True when it has ended or has answered, False when its time is over."""
    import time

    open_pipes, pause = len(printed), 0.0005  # seconds, to begin with: who closes both pipes is about to end
    while open_pipes or process.poll() is None:
        report.tick()
        check_stops()
        if time.monotonic() >= deadline:
            return False
        has_ended = process.poll() is not None
        if not chunks:
            if not news.wait(0.1 if open_pipes else pause) and has_ended:  # and a grandchild holds its pipes
                break
            news.clear()
            pause = pause if open_pipes else min(2 * pause, 0.05)
            continue
        pipe, chunk = chunks.popleft()
        open_pipes -= not chunk
        printed[pipe].add(chunk)
        if until and until in printed[process.stdout].kept:
            break
    return True


def end_group(process, grace):
    """End a child with all its children: SIGTERM, `grace` seconds or until we are interrupted once more, SIGKILL."""
    import signal
    import time

    if WINDOWS:
        process.kill()
        return
    if process.stdin:  # a guard, which does that
        process.stdin.close()
        process.wait()
        return
    for signum in ([signal.SIGTERM] if grace else []) + [signal.SIGKILL]:
        try:
            os.killpg(process.pid, signum)
        except (ProcessLookupError, PermissionError):
            pass
        deadline = time.monotonic() + (grace if signum == signal.SIGTERM else 0)
        while process.poll() is None and time.monotonic() < deadline and len(_stops) < 2:
            time.sleep(0.01)
    process.wait()


# Runs a program, and when that ends, or when the process that holds the other end of stdin does, ends all that
# the program started: SIGTERM, 5 s, SIGKILL. On Linux orphans become its children (PR_SET_CHILD_SUBREAPER).
GUARD = """
import _signal, os, select, sys, time
try:
    import ctypes
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
except (ImportError, OSError, AttributeError):
    pass
wake, poke = os.pipe()
os.set_blocking(poke, False)
group = os.fork()
if not group:
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in _signal.SIGPIPE, _signal.SIGXFSZ:
        _signal.signal(number, _signal.SIG_DFL)
    try:
        os.execv(sys.argv[1], sys.argv[1:])
    except OSError as problem:
        os.write(2, ("cannot run %s: %s" % (sys.argv[1], problem.strerror)).encode())
    os._exit(126)
_signal.signal(_signal.SIGCHLD, lambda *_: None)
_signal.set_wakeup_fd(poke)

def stop(number):
    for pid in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        try:
            with open("/proc/%s/stat" % pid) as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    os.kill(int(pid), number)
        except (OSError, ValueError):
            pass
    try:
        os.killpg(group, number)
        return True
    except OSError:
        return False

code, deadline = None, None
while True:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        if not stop(0):
            break
        pid = 0
    if pid:
        if pid == group:
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        continue
    if code is not None and not deadline:
        deadline = time.monotonic() + 5
        stop(_signal.SIGTERM)
    if deadline and time.monotonic() > deadline:
        stop(_signal.SIGKILL)
    ready = select.select([wake] + [0] * (not deadline), [], [], 0.05 if deadline else None)[0]
    if wake in ready:
        os.read(wake, 99)
    if 0 in ready and not os.read(0, 99):
        deadline = time.monotonic() + 5
        stop(_signal.SIGTERM)
os._exit(code or 0)
"""


def end_with_us(process):
    """Let Windows end a child and all that it starts when this process ends, by a job object that closes then."""
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    limits = ctypes.create_string_buffer(144 if sys.maxsize > 2 ** 32 else 112)  # JOBOBJECT_EXTENDED_LIMIT_INFORMATION
    limits[17] = b"\x20"  # LimitFlags: JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0x2000
    kernel.SetInformationJobObject(job, 9, limits, len(limits))
    kernel.AssignProcessToJobObject(job, ctypes.c_void_p(int(process._handle)))  # the handle stays open on purpose


_in_use = []  # type: list  # the lock file of the user cache, while this process uses a program in there


def replace_process(argv, environ, program="", may_spawn=True):
    """Become another program (os.execve); where that is not to be had, run it and end as it does.

    program    its path; default: argv[0]
    may_spawn  PROTOPRIMER_SPAWN counts, as it does for the user's command
    OSError if it cannot be run.
    """
    program = program or argv[0]
    while _in_use:
        _in_use.pop().close()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if WINDOWS:
        import signal
        import subprocess

        process = subprocess.Popen(argv, executable=program, env=environ)
        end_with_us(process)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console sends it to the child as well
        sys.exit(process.wait())
    import _signal  # type: ignore[import-not-found]  # built in, while `signal` imports enum

    if may_spawn and is_on(SPAWN_VAR) and hasattr(_signal, "sigwaitinfo"):  # not on macOS
        run_as_child(program, argv, environ)
    # Python ignores these two, and what is ignored stays so across execve (bpo-1652). A signal that came to
    # a handler of ours in this moment would be lost with it.
    ours = [number for number in end_signals() if _signal.getsignal(number) != _signal.SIG_IGN]
    for number in [_signal.SIGPIPE, _signal.SIGXFSZ] + ours:
        _signal.signal(number, _signal.SIG_DFL)
    os.execve(program, argv, environ)


def run_as_child(program, argv, environ):
    """Run a program as a child, pass on to it the signals that we get, stop and go on with it, end as it does.

    A key of the terminal reaches the child without us; what is sent to this process alone does not.
    Does not return. OSError if it cannot be run.
    """
    import signal
    import subprocess

    faults = {getattr(signal, "SIG" + name) for name in "KILL STOP SEGV BUS FPE ILL TRAP ABRT".split()}
    ours = set(range(1, signal.NSIG)) - {32, 33} - faults  # those two are the C library's
    before, on_child = signal.pthread_sigmask(signal.SIG_BLOCK, ours), signal.getsignal(signal.SIGCHLD)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, the system would forget the child's status

    def as_before():
        signal.signal(signal.SIGCHLD, on_child)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        process = subprocess.Popen(argv, executable=program, env=environ, close_fds=False, preexec_fn=as_before)
    except OSError:
        as_before()
        raise
    keys = {getattr(signal, "SIG" + name) for name in "INT QUIT TSTP TTIN TTOU WINCH".split()}
    while True:
        told = signal.sigwaitinfo(ours)
        if told.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFEXITED(status):
                os._exit(os.WEXITSTATUS(status))
            if pid:
                mirror_signal(os.WSTOPSIG(status) if os.WIFSTOPPED(status) else os.WTERMSIG(status))
                if not os.WIFSTOPPED(status):  # the first process of a container does not die of it
                    os._exit(128 + os.WTERMSIG(status))
                signal.pthread_sigmask(signal.SIG_BLOCK, ours)
        elif told.si_code <= 0 or told.si_signo not in keys:  # from a process, or not from the terminal's keys
            os.kill(process.pid, told.si_signo)


def mirror_signal(number):
    """Let a signal do to this process what it did to the child: end it, or stop it until it is to go on."""
    import resource
    import signal

    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))  # the core that counts is the child's
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    resource.setrlimit(resource.RLIMIT_CORE, limits)


# --------------------------------------------------------------------------------------------------
# Proof of origin
# --------------------------------------------------------------------------------------------------
# Only what carries our mark, and lies there itself, is removed, overwritten or run (H1, H2, H8).
# Directories of ours are made by `make_own`, found by `own_place`, and entered by `below`, which follows no link.

# Proof of origin: what this file removes, overwrites or runs carries this mark, and lies there itself (H1, H2, H8).
MARK = ".proto-prime"  # a file in each directory of ours
MARK_TEXT = b"Made by proto_prime.py, which may remove all that is in this directory.\n"


def is_marked(directory):
    """Whether a directory is one that `make_own` made."""
    mark = os.path.join(directory, MARK)
    return os.access(mark, os.F_OK) and not os.path.islink(mark)


def make_own(directory, mode=None):
    """Make a directory that carries our mark; mode as for `make_directory`."""
    make_directory(directory, mode)
    if not is_marked(directory):
        write_atomic(os.path.join(directory, MARK), MARK_TEXT)


def own_place(base, name, is_older):
    """Where our files are kept if a directory is named for them (H2).

    base  str, the directory; it is used if it carries our mark, is empty, or is not there
    name  str, of the directory in it that is used else, so that nothing of ours is mixed with what others made
    is_older  function of the directory and its entries: whether it is ours from before there was a mark (T8)
    """
    while not is_marked(base):
        try:
            entries = os.listdir(base)
        except OSError:  # it is not there; if it cannot be read, its use will say so
            break
        foreign = [entry for entry in entries if not entry.startswith(MARK + ".")]  # what a mark is before it is whole
        if not foreign or is_marked(base) or is_older(base, foreign):
            break
        base = below(base, [name])
    return base


STATE_NAMES = {"envs", "building", "stamp", "log", "held", "made", "lock", "use", "vendor", ".gitignore"}
IGNORE_ALL = b"*\n"  # the .gitignore of a directory of ours


def is_older_state(base, entries):
    """Whether a directory with these entries is a state directory."""
    names = {"." + entry[1:].split(".")[0] if entry[:1] == "." else entry.split(".")[0] for entry in entries}
    return names <= STATE_NAMES and bytes_of(os.path.join(base, ".gitignore")) == IGNORE_ALL


def mark_state(base):
    """`make_own` for a state directory. One from before there was a mark may be read-only: it is used as it is (T8)."""
    try:
        make_own(base)
    except OSError as problem:
        if not os.path.isfile(os.path.join(base, ".gitignore")):
            raise
        report.detail("%s gets no mark: %s" % (base, problem.strerror))


def below(base, names):
    """The path `names` below a directory of ours, where nothing is followed that is a link (H1)."""
    for name in names:
        base = os.path.join(base, name)
        if os.path.basename(base) != name or name in (os.curdir, os.pardir):
            raise PrimeError('"%s" is no name below %s' % (name, os.path.dirname(base)))
        if is_link(base):
            raise PrimeError("%s is a link, and nothing of prime's is looked for behind one" % base,
                             hint="remove it; to keep files elsewhere, set %s or %s" % (STATE_VAR, CACHE_VAR))
    return base


def is_ours(path):
    """Whether a path is no link, belongs to this user or to root, and cannot be written by others (H8)."""
    if WINDOWS:  # its access lists are not asked
        return not is_link(path)
    try:
        entry = os.lstat(path)
    except (OSError, ValueError):
        return False
    return not is_link(path) and entry.st_uid in (os.geteuid(), 0) and not is_open(entry)


def is_open(entry):
    """Whether more users may write to something than its owner, from its `stat`.

    Its group does not count if it has no member but this user, as where umask 002 is usual.
    """
    return bool(entry.st_mode & 0o002 or entry.st_mode & 0o020 and not is_private_group(entry.st_gid))


def is_private_group(gid):
    """Whether a group is that of this user alone: named as the user, and without other members."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def own_entries(directory, pattern):
    """The paths in a directory of ours that have a name of our making, are no links, and carry our mark."""
    return [path for path in paths_named(directory, pattern) if not is_link(path) and is_marked(path)]


ASIDE_NAME = r"aside-[0-9a-f]{16}"


class aside_directory:
    """A directory of our own in `parent` for unfinished work, inside `with`; what is left of it is removed (H5).

    It may be renamed meanwhile. Those that killed commands left behind are removed after an hour.
    """

    def __init__(self, parent):
        self.parent, self.path = parent, os.path.join(parent, "aside-" + random_name())

    def __enter__(self):
        for path in filter(is_old, own_entries(self.parent, ASIDE_NAME)):
            remove(path)
        with unbroken():
            make_own(self.path, 0o700)
        return self.path

    def __exit__(self, *_):
        with unbroken():
            remove(self.path)


# --------------------------------------------------------------------------------------------------
# Places
# --------------------------------------------------------------------------------------------------
# Where things are: the home directory, the user's cache, this file, the root of the repo, its state directory.
# A root is the directory that config paths are relative to.

PYPROJECT, OWN_CONFIG = "pyproject.toml", "proto_prime.toml"


def vendor_dir(root, *names):
    """A path in the directory that a boot without network looks into by itself."""
    return os.path.join(root, "vendor", *names)


def home_dir():
    """The user's home directory; without one a place below the temporary directory (E7)."""
    try:
        home = os.path.expanduser("~")
    except KeyError:  # 3.6, a user without an entry
        home = ""
    return home if os.path.isabs(home) else private_dir("home")


def private_dir(name):
    """A directory of this user's alone below the temporary one; where it cannot be had, what nothing can be below."""
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), "%s-%d" % (name, os.getuid()))
    try:
        os.mkdir(path, 0o700)
    except OSError:  # it is there, or cannot be made
        pass
    return path if os.path.isdir(path) and is_ours(path) else os.devnull


CACHES = ("answers", "pip", "uv", "locks", "shell", "scripts")  # the directories in the user's cache
CACHE_HINT = "%s names another cache directory" % CACHE_VAR
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by proto_prime.py: https://bford.info/cachedir/\n"


def cache_dir(*names):
    """A path in the user's cache (XDG base directories; on macOS and Windows their own)."""
    home, base = home_dir(), os.environ.get(CACHE_VAR, "")
    if not base:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
        if WINDOWS:
            base = os.environ.get("LOCALAPPDATA") or home
        elif sys.platform == "darwin":
            base = os.path.join(home, "Library", "Caches")
        base = os.path.join(base, "proto_prime")
    base = os.path.abspath(base)
    if base not in _caches:
        _caches[base] = open_cache(base)
    return below(_caches[base], names)


_caches = {}  # type: dict  # what is asked for, to what is used


def open_cache(base):
    """The directory that is used as the user's cache: `base`, or a private one if others may write to that (H8)."""
    is_named_so = not os.environ.get(CACHE_VAR)  # by us; a directory that the user names may hold pip's and uv's caches
    base = own_place(base, "proto_prime", lambda _, entries: is_named_so and set(entries) <= {"in-use", *CACHES})
    reason = why_unsafe(base)
    if reason:
        private = private_dir("proto_prime")
        report.note("the cache %s is not used, for %s; %s is" % (base, reason, private))
        base = private
    try:
        make_own(base, 0o700)
        if not os.path.lexists(os.path.join(base, "CACHEDIR.TAG")):
            write_atomic(os.path.join(base, "CACHEDIR.TAG"), CACHE_TAG)
    except OSError as problem:
        report.detail("the cache %s cannot be written: %s" % (base, problem.strerror))
    return base


def why_unsafe(cache):
    """Why a cache is not to be trusted (H8); "" if it, and each directory in it, is ours alone to write."""
    real = os.path.realpath(cache)  # which the user may have linked to another disk
    for path in [real] + [os.path.join(real, name) for name in CACHES]:
        if not os.path.lexists(path) or is_ours(path):
            continue
        if is_link(path):
            return "%s is a link" % path
        if os.lstat(path).st_uid not in (os.geteuid(), 0):
            return "%s belongs to another user" % path
        return "others may write to %s (chmod go-w ends that)" % path
    return ""


def is_installed():
    """Whether this file was installed as a package, and stands in no repo."""
    return os.path.basename(os.path.dirname(globals().get("__file__") or "")) in ("site-packages", "dist-packages")


def script_path():
    """The file that was started, or else this one; "" if the source came through a pipe."""
    if is_installed():  # then a launcher was, which is of one python alone
        return __file__
    for path in (sys.argv[0] if sys.argv else "", globals().get("__file__") or ""):
        if path and os.path.isfile(path):
            return path
    return ""


def own_file():
    """The path of this file, no link; "" if it came through a pipe."""
    path = os.path.realpath(globals().get("__file__") or "")
    return path if globals().get("__file__") and os.path.isfile(path) else ""


def ancestors(directory):
    """`directory`, its parent, and so on up to the file system's root."""
    found = [directory]
    while os.path.dirname(found[-1]) != found[-1]:
        found.append(os.path.dirname(found[-1]))
    return found


def find_root(option=""):
    """The ref root: `option`, else PROTOPRIMER_ROOT, else the nearest directory with a config.

    Goes up from the started file as it was written, then from where its symlinks lead, else takes its
    directory; when the source came through a pipe or is a package, the same from the current directory.
    Above where it begins only a config counts that no other user wrote (H12).
    """
    told, script = option or os.environ.get(ROOT_VAR), script_path()
    if told and not os.path.isdir(told):
        raise PrimeError("ref root %s is not a directory" % told, "--root" if option else ROOT_VAR, status=2)
    try:
        if told:
            return os.path.abspath(told)
        starts = [os.path.dirname(written(script)) if script and not is_installed() else os.getcwd()
                  for written in (os.path.abspath, os.path.realpath)]
    except FileNotFoundError:  # E7
        raise PrimeError("the current directory does not exist", hint="cd to one that does")
    beside = script if script and not is_installed() else starts[0]
    for directory in ancestors(starts[0]) + ancestors(starts[1]):
        paths = [os.path.join(directory, name) for name in (PYPROJECT, OWN_CONFIG)]
        paths = [path for path in paths if os.path.exists(path)]
        if paths and (directory in starts or not any(
                is_left_aside(path, beside, "--root %s takes it" % directory) for path in paths)):
            return directory
    return starts[0]


def is_left_aside(path, beside, hint):
    """Whether a file above the repo counts for nothing, which is said once: it is another user's (H12).

    Neither ours, nor root's, nor of the owner of the file or directory `beside`, who could have written that as well.
    What a link belongs to counts like what it leads to.
    """
    if WINDOWS:
        return False
    for look in (os.lstat, os.stat):
        try:
            owner = look(path).st_uid
            if owner not in (0, os.geteuid(), os.stat(beside).st_uid):
                note_once("%s is left aside, for it belongs to %s; %s, or chown it" % (path, user_name(owner), hint))
                return True
        except OSError:  # a dangling link, which nobody reads
            pass
    return False


def state_dir(root, *names):
    """A path in the directory where everything that this file makes for a repo is kept."""
    named = os.environ.get(STATE_VAR)
    if named and not is_script_root(root):
        base = own_place(os.path.abspath(named), ".prime", is_older_state)
        if os.path.dirname(root) != os.path.join(base, "made"):  # a repo of our making
            return below(base, names)
    base = os.path.join(root, ".prime")
    if is_link(base):
        raise PrimeError("%s is a link, which nothing is written through" % base,
                         hint="remove it; %s names another directory" % STATE_VAR)
    return below(own_place(base, ".prime", is_older_state), names)


def is_script_root(root):
    """Whether a ref root is one that was made in the user cache for a script (PEP 723)."""
    place = os.path.dirname(root)
    return os.path.basename(place) == "scripts" and place == cache_dir("scripts")


# --------------------------------------------------------------------------------------------------
# Locks
# --------------------------------------------------------------------------------------------------
# One process at a time builds, publishes or fetches: it holds a lock file, which the system frees when it dies.

LOCKLESS = ("ENOLCK", "ENOTSUP", "ENOSYS", "EINVAL")  # what a file system without locks answers
LOCK_HEAD = b"process "  # what a lock file of ours begins with
PATIENCE_SECONDS = 60  # after which one who waits for a lock is told the way out


def lock_files(path):
    """The files that stand for the lock `path`: itself, or one in the user cache where the file system has no locks."""
    yield path
    yield cache_dir("locks", hash_bytes(os.fsencode(path))[:16])


class locked:
    """Hold the lock file at `path` inside `with`; the system drops it when its holder dies.

    Waits without limit, and says once for whom; `purpose` is what others are told of us, `reason` what the
    error says if it cannot be had. Where the file system has no locks, a file in the user cache stands for
    it (B4).
    """

    def __init__(self, path, purpose, reason=""):
        self.path, self.purpose, self.reason = path, purpose, reason

    def __enter__(self):
        import errno

        lockless, problem = [getattr(errno, name) for name in LOCKLESS], OSError()
        for path in lock_files(self.path):
            try:
                return self._take(path)
            except OSError as error:
                problem = problem if problem.errno else error
                report.detail("cannot lock %s: %s" % (path, error.strerror))
                if error.errno not in lockless:
                    break
        raise PrimeError("cannot lock %s: %s" % (self.path, problem.strerror),
                         tried=["%s: %s" % (self.purpose, self.reason)] if self.reason else [],
                         hint="%s names another place" % self._variable())

    def __exit__(self, *_):
        write_lock(self.file, b"")
        self.file.close()

    def _variable(self):
        return CACHE_VAR if self.path.startswith(cache_dir() + os.sep) else STATE_VAR

    def _take(self, path):
        import time

        self.file, start, count = open_lock(path), time.monotonic(), 0
        while not try_lock(self.file):
            check_stops()
            count += 1
            if count == 4:  # not for one who is done in a moment
                report.note("waiting for %s" % holder_of(self.file))
            if time.monotonic() - start > PATIENCE_SECONDS:  # H19
                start = float("inf")
                report.note("still waiting for %s: end that process, or let %s name another place" % (
                    holder_of(self.file), self._variable()))
            time.sleep(0.05)
        if not is_same_file(self.file, path):  # it was removed while we waited, and another may be locked now
            self.file.close()
            return self._take(path)
        host = os.environ.get("COMPUTERNAME", "") if WINDOWS else os.uname().nodename
        write_lock(self.file, LOCK_HEAD + ("%d on %s: %s" % (os.getpid(), host, self.purpose)).encode())
        return self


def open_lock(path):
    """Open a lock file, made if it is missing: not behind a link, nor for users who cannot write beside it (H19)."""
    make_directory(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    if not WINDOWS:
        state = os.fstat(descriptor)
        mode = 0o660 if openness(os.path.dirname(path)) & 0o020 else 0o600
        if state.st_uid == os.geteuid() and state.st_mode & 0o777 != mode:
            os.fchmod(descriptor, mode)
    return file


def try_lock(file, is_shared=False):
    """Lock an open lock file unless another process holds it. Returns whether; OSError where there are no locks.

    is_shared  together with others that lock it so; on Windows, which has no such locks, nothing is locked then
    """
    held = PermissionError if WINDOWS else BlockingIOError  # what else comes is no lock at all
    try:
        if WINDOWS and is_shared:
            return True
        if WINDOWS:
            import msvcrt

            file.seek(1 << 20)  # beyond the text, so that others can read it
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            # Across machines too: NFS turns it into a lock of its server's.
            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except held:
        return False


def holder_of(file):
    """Who holds an open lock file, as it says itself."""
    file.seek(0)
    return file.read(200).decode("utf-8", "replace") or "another prime"


def write_lock(file, text):
    """Say in a lock file who holds it. What is no lock of ours is left as it is (H1)."""
    try:
        file.seek(0)
        if file.read(len(LOCK_HEAD)) in (b"", LOCK_HEAD):
            file.truncate(0)
            file.seek(0)
            file.write(text)
    except OSError:  # a courtesy; B5: no space to say so
        pass


def is_same_file(file, path):
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def is_held(path):
    """Whether some process holds the lock `path`. Where that cannot be told, it is held."""
    import errno

    for each in lock_files(path):
        if not os.path.isfile(each):
            return False
        try:
            with open_lock(each) as file:
                return not try_lock(file)
        except OSError as problem:
            if errno.errorcode.get(problem.errno or 0, "") not in LOCKLESS:
                return True
    return True


def use_cache():
    """Keep `clean --all` away from the user cache until this process ends or becomes another program (H18)."""
    import time

    if _in_use:
        return
    try:
        _in_use.append(open_lock(cache_dir("in-use")))
        while not try_lock(_in_use[0], is_shared=True):
            check_stops()
            time.sleep(0.01)
    except OSError as problem:  # a file system without locks
        report.detail("cannot lock %s: %s" % (cache_dir("in-use"), problem.strerror))


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
    """Return what the TOML document `text` holds: parse_toml("a = 1") is {"a": 1}.

    Not by `tomllib`, which Python has from 3.11 on: to load it takes about as long as to start Python, and
    one reader gives one result, and one set of errors, on every Python.

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
              ("integer", make_integer), ("boolean", lambda word: word == "true"))
    for kind, make in makers:
        found = match_toml(kind, src, pos)
        if found is None:
            continue
        try:
            return found.end(), make(*found.groups())
        except ValueError as error:
            raise locate_toml_error(src, pos, "invalid %s: %s" % (kind, error)) from None
    raise locate_toml_error(src, pos, "expected a value")


DIGITS = 4300  # of an integer, at most, as Python has it from 3.11 on: to read more takes their square (H10)


def make_integer(digits):
    """Return an int."""
    if len(digits) > DIGITS and len(digits.replace("_", "").lstrip("+-")) > DIGITS:
        raise ValueError("it has more than %d digits" % DIGITS)
    return int(digits, 0)


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
    if kind not in _TOML_COMPILED:
        import re
        _TOML_COMPILED[kind] = re.compile(list_toml_patterns()[kind])
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
# A `Version` is PEP 440's, a `Request` says which python is wanted: by clauses on its version, or by a path.

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

        is_sane = isinstance(text, str) and len(text) < 1000  # int() takes 4,300 digits at most
        match = is_sane and re.match(VERSION, text.strip(BLANKS).lower(), re.VERBOSE | re.ASCII)
        if not match:
            raise PrimeError('"%s" is not a version' % (text,), status=2)
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
    places            directories in which pythons are looked for as well
    """

    def __init__(self, text="", origin="", clauses=(), implementation="", is_free_threaded=False, path=""):
        self.text, self.origin, self.clauses = text, origin, list(clauses)
        self.implementation, self.is_free_threaded, self.path = implementation, is_free_threaded, path
        self.names_prerelease = bool(path) or any(clause.names_prerelease for clause in self.clauses)
        self.places = []  # type: list  # directories of the repo's own with pythons

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
    elif request is None and re.match(r"[\w.+-]+$", plain) and ("python" in plain or "pypy" in plain):
        request = Request(text, origin, path=plain)
    if request is None:
        raise malformed(text, origin)
    return request


def _parse_version(text, plain, origin):
    """The `Request` of a version or an implementation, such as 3.12, 312, pypy@3.11, 3.13t; or None."""
    import re

    pattern = r"(?:(%s)(?:@(?=\d))?)?(\d+(?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?)?(t?)$" % "|".join(IMPLEMENTATIONS)
    match = re.match(pattern, plain.lower(), re.ASCII)
    implementation, version, threads = match.groups("") if match else ("", "", "")
    if not match or not version and (threads or not implementation):
        return None
    if version.isdigit() and len(version) > 1:  # 312 means 3.12
        version = version[0] + "." + version[1:]
    is_exact = version.count(".") == 2 or not version.replace(".", "").isdigit()
    clauses = [Clause("==" + version + ("" if is_exact else ".*"))] if version else []
    return Request(text, origin, clauses, implementation, bool(threads))


def known_version(name):
    """What pyenv and uv call what they installed, and environments in it, as a request; `name` if it is none such."""
    import re

    pattern = r"(?:(?:c?python|(pypy|graalpy)(?=-?3\.))(-)?)?(\d+\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+)?t?)" \
        r"(\+freethreaded)?([-+/:].*)?$"
    match = re.match(pattern, name, re.ASCII)
    if not match or not match.group(2) and not match.group(4) and not match.group(5):
        return name
    return (match.group(1) + "@" if match.group(1) else "") + match.group(3) + "t" * bool(match.group(4))


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


def numbers_in(name):
    """The numbers in a name, as a list of int, for sorting."""
    import re

    return [int(number) for number in re.findall(r"\d+", name)]


def parse_uv_version(text, origin=""):
    """The `Request` for a uv: "0.5.1", or specifiers; "" for any. PrimeError if it is neither."""
    try:
        return Request(text, "uv_version", parse_clauses(text if text[:1] in "<>=!~" else "==" + text))
    except (PrimeError, AttributeError, TypeError, KeyError):  # of what is no text
        raise PrimeError('uv_version "%s" is neither a version nor specifiers' % (text,), origin, status=2)


# --------------------------------------------------------------------------------------------------
# Config
# --------------------------------------------------------------------------------------------------
# Reads and checks what the files at the root say: a `Config`. Every field is a row of `FIELDS`.

DRIVERS = ("auto", "venv_uv", "venv_pip")
# Each platform: the marker that tells it (PEP 508), the platform tag of its wheels, its name in uv's pythons.
PLATFORMS = {
    name: ("sys_platform == '%s' and platform_machine == '%s'" % (system, machine), "(%s)$" % tag, uv)
    for name, system, machine, tag, uv in (
        ("linux-x86_64", "linux", "x86_64", "(many)?linux.*_x86_64", "linux-x86_64-gnu"),
        ("linux-aarch64", "linux", "aarch64", "(many)?linux.*_aarch64", "linux-aarch64-gnu"),
        ("musl-x86_64", "linux", "x86_64", "musllinux.*_x86_64", "linux-x86_64-musl"),
        ("musl-aarch64", "linux", "aarch64", "musllinux.*_aarch64", "linux-aarch64-musl"),
        ("macos-x86_64", "darwin", "x86_64", "macosx.*_(x86_64|universal2)", "macos-x86_64-none"),
        ("macos-arm64", "darwin", "arm64", "macosx.*_(arm64|universal2)", "macos-aarch64-none"),
        ("windows-x86_64", "win32", "AMD64", "win_amd64", "windows-x86_64-none"),
        ("windows-arm64", "win32", "ARM64", "win_arm64", "windows-aarch64-none"))
}
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
    "platforms": ("platforms", [], "that a lock and a vendored directory are for; default: any, and this one"),
    "uv_version": ("text", "", "the uv to use: a version, or specifiers"),
    "uv_sha256": ("hashes", [], "of the wheels that a pinned uv may come from, one for each platform"),
    "index_url": ("text", "", "the package index, instead of the user's own"),
    "extra_index_urls": ("texts", [], "further indexes"),
    "find_links": ("texts", [], "directories or pages with wheels"),
    "no_index": ("flag", False, "use find_links alone"),
    "env_vars": ("table", {}, "set for commands run in the environment"),
    "post_boot": ("commands", [], "commands run in each new generation before it is published"),
    "default_env": ("text", "default", "the environment that is meant when none is named"),
}  # type: dict
RUNTIME_FIELDS = ("env_vars", "venv_dir_rel_path", "default_env", "platforms")  # they change nothing that is installed
FREE_FIELDS = ("env_vars", "post_boot")  # any text: it is for the user's own programs
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
    "hashes": ("a list of SHA-256 in hex", lambda value: is_texts(value) and all(
        len(text) == 64 and not set(text.lower()) - set("0123456789abcdef") for text in value)),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "platforms": ("a list of " + ", ".join(PLATFORMS), lambda value: is_texts(value) and set(value) <= set(PLATFORMS)),
    "driver": ("one of " + ", ".join(DRIVERS), lambda value: value in DRIVERS),
    "table": ("a table of variables, without = in a name or NUL", lambda value: isinstance(value, dict) and all(
        isinstance(text, str) and name and not set("=\0") & set(name) and "\0" not in text
        for name, text in value.items())),
    "projects": ("a list of paths or of {path, extras, groups, editable}",
                 lambda value: isinstance(value, list) and all(map(is_project, value))),
    "commands": ("a list of commands, each a list of strings",
                 lambda value: isinstance(value, list) and all(is_texts(each) and each for each in value)),
}


def normalized(name):
    """The name of an extra or a group as others are compared with it (PEP 503, 685, 735)."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


class Config:
    """What the files at the ref root say.

    root       str, the ref root
    file       str, the name of the file that holds our table; "" if none does
    table      dict, our table; its fields are known and of the right type
    text       str, that file's text, for line numbers
    pyproject  dict, all of pyproject.toml; empty if there is none
    seen       dict, each path that was looked at, to its signature before that
    known      dict, the path of each TOML file that was read, to its text and content
    aside      set, the paths of files that do not count for the sake of their owner
    """

    def __init__(self, root):
        self.root, self.seen, self.known = root, {}, {}  # type: str, dict, dict
        self.file, self.text, self.aside = "", "", set()  # type: str, str, set
        text, self.pyproject = self.read(os.path.join(root, PYPROJECT))
        own_text, own = self.read(os.path.join(root, OWN_CONFIG))
        self.table, tools = table_in(self.pyproject, PYPROJECT, "tool", "proto-prime"), self.pyproject.get("tool", {})
        for name in tools:
            if normalized(name).replace("-", "") == "protoprime" and name != "proto-prime":
                raise PrimeError("%s: [tool.%s] is not known" % (PYPROJECT, name), PYPROJECT, status=2,
                                 hint="did you mean [tool.proto-prime]?")
        if "proto-prime" in tools:
            self.file, self.text = PYPROJECT, text
        if own_text is None:
            return
        if "proto-prime" in tools:
            both = OWN_CONFIG, PYPROJECT, root
            raise PrimeError("both %s and [tool.proto-prime] in %s configure %s" % both,
                             hint="keep one of them", status=2)
        self.file, self.table, self.text = OWN_CONFIG, own, own_text
        if is_script_root(root):  # and not written by people
            self.file, self.text = "the script's metadata, PEP 723", ""

    def look(self, path):
        """Remember the state of a file from before it is read. Returns the path."""
        if path not in self.seen:
            self.seen[path] = signature(path)
        return path

    def read(self, path):
        """The text and the content of a TOML file; (None, {}) if there is none."""
        if path not in self.known:
            text = load_text(path) if os.path.exists(self.look(path)) else None
            try:
                self.known[path] = text, parse_toml(text or "")
            except TomlError as error:
                raise PrimeError("%s: %s" % (path, error), status=2)
        return self.known[path]

    def project(self, directory):
        """The content of the pyproject.toml in a directory, {} if there is none."""
        return self.read(os.path.join(directory, PYPROJECT))[1]

    def error(self, key, message, known=(), at=""):
        """A PrimeError about a name, with the line of it (or of `at`) and the nearest of the known names."""
        return PrimeError(message, self.where(at or key), hint=nearest(key, known), status=2)

    def where(self, name):
        """The file, and the line that defines a dotted name of our table, or else what it is in."""
        wanted = "tool.proto-prime." * (self.file == PYPROJECT) + name + "."
        header, found = "", ("tool.proto-prime" if self.file == PYPROJECT else "", 0)
        for number, line in enumerate(self.text.split("\n"), 1):
            key, is_header = defined_in(line)
            if not key:
                continue
            header, key = (key + ".", key) if is_header else (header, header + key)
            if wanted.startswith(key + ".") and len(key) > len(found[0]):
                found = key, number
        return self.file + (", line %d" % found[1] if found[1] else "")


def defined_in(line):
    """The dotted name that a line of TOML defines, without blanks and quotes, and whether it is a header; or ""."""
    bare = line.strip()
    is_header = bare[:1] == "[" and "[" in line[:2]  # a row of a list stands further in
    name = bare.partition("#")[0].rstrip().strip("[]") if is_header else bare.partition("=")[0]
    if is_header and not bare.partition("#")[0].rstrip().endswith("]") or not is_header and "=" not in bare:
        return "", is_header
    name = "".join(char for char in name if not char.isspace() and char not in "\"'")
    is_plain = all(char.isalnum() or char in "_.-" for char in name)
    return name if is_plain else "", is_header


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
            raise config.error("env." + name, "env.%s is not a table of fields" % name)
        if not all(char.isalnum() or char in "-_" for char in name) or not name:
            raise config.error("env." + name, 'environment name "%s" has more than letters, digits, - and _' % name)
        if why_no_file_name(name):  # which it becomes, with more behind it
            raise config.error("env." + name, 'environment name "%s": %s' % (name, why_no_file_name(name)))
        check_fields(config, table, set(FIELDS) - {"default_env"}, "env.%s." % name)
    return config


def check_fields(config, table, known, prefix):
    """PrimeError for the first unknown field or value of a wrong type in `table`."""
    for key, value in table.items():
        if key not in known:
            raise config.error(key, 'unknown field "%s%s"' % (prefix, key), known, prefix + key)
        if key == "env":  # the named environments, checked by themselves
            continue
        expected, is_valid = KINDS[FIELDS[key][0]]
        if not is_valid(value):
            told = prefix, key, expected, shown_value(value)
            raise config.error(prefix + key, "%s%s must be %s, not %s" % told)
        if "\\u0000" in as_json(value).replace("\\\\", ""):  # as JSON has a NUL
            raise config.error(prefix + key, "%s%s has a NUL, which no path and no argument can have" % (prefix, key))
        try:
            for _, text in () if key in FREE_FIELDS else texts_in(value):
                check_text(text, prefix + key, config.file, is_requirement=key == "dependencies")
        except PrimeError as problem:
            problem.where = config.where(prefix + key)
            raise


# --------------------------------------------------------------------------------------------------
# Environments and their inputs
# --------------------------------------------------------------------------------------------------
# A named `Environment` has all its fields, what python it requires, and its inputs: all that decides what is installed.
# Equal inputs share a generation; a file that is looked at on the way is remembered for the stamp.


class Environment:
    """A named target with all its fields: `environment["field"]`.

    config, root  `Config` and str, the ref root
    name          str
    requested     str, the name as -e or PROTOPRIMER_ENV gave it; "" if neither did
    fields        dict, field name to value; `origins` to where that comes from
    required      `Request`: which python it needs
    also          list of `Request`: what must hold as well, from requires-python; `locked` the same, of a pylock.toml
    inputs        dict, label to value: all that decides what is installed, but for the python
    tried         list of `Candidate`: those that were looked at on its behalf
    """

    def __init__(self, config, name, requested=""):
        self.config, self.root, self.name, self.requested = config, config.root, name, requested
        self.fields = {field: default for field, (_, default, _) in FIELDS.items()}
        self.origins = dict.fromkeys(FIELDS, "default")
        self.required, self.inputs = Request(), {}  # type: Request, dict
        self.also, self.locked, self.tried = [], [], []  # type: list, list, list
        own = config.table.get("env", {}).get(name, {})
        for table, prefix in ((config.table, ""), (own, "env.%s." % name)):
            for field in set(table) - {"env"}:
                self.set(field, table[field], "%s: %s%s" % (config.file, prefix, field))

    def __getitem__(self, field):
        return self.fields[field]

    def set(self, field, value, origin):
        """Give a field a value, and say where it comes from."""
        self.fields[field], self.origins[field] = value, origin

    def error(self, field, message, about="", known=()):
        """A PrimeError about the value of a field, or of `about`, a name in it; with the nearest of the known ones."""
        at = self.origins[field].split(": ")[-1]
        return self.config.error(about or field, message, known, field if at == "default" else at)

    def path(self, relative):
        """A config path as an absolute one."""
        return os.path.normpath(os.path.join(self.root, os.path.expanduser(relative)))

    def has(self, relative):
        """Whether a file of the repo exists; the stamp will tell when that changes."""
        return os.path.exists(self.config.look(self.path(relative)))

    @property
    def title(self):
        """What people are told that it is."""
        return "the script's environment" if is_script_root(self.root) else "environment %s" % self.name

    def wanted(self):
        """All `Request`s that its python must fulfil."""
        return [self.required] + self.also + self.locked


def load_environment(config, name="", requested="", may_lack_lock=False):
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
    has_dev = "dev" in map(normalized, table_in(config.pyproject, PYPROJECT, "dependency-groups"))
    for field, found in (
            ("projects", ["."] if has("setup.py") or is_project or has_dev else []),
            ("requirements_files", ["requirements.txt"] if has("requirements.txt") and not is_project and not (
                environment["lock_file"] is None and has("uv.lock")) else [])):
        if environment[field] is None:
            environment.fields[field] = found
    if environment["lock_file"] is None:
        environment.fields["lock_file"] = find_lock(environment)
    check_link(environment, environment.path(environment["venv_dir_rel_path"]))
    if not environment["uv_version"]:
        told = table_in(config.pyproject, PYPROJECT, "tool", "uv").get("required-version", "")
        environment.set("uv_version", told, PYPROJECT + ": tool.uv.required-version" if told else "default")
    parse_uv_version(environment["uv_version"], environment.origins["uv_version"])
    check_text(environment["uv_version"], "uv_version", environment.origins["uv_version"])
    for field in ("requirements_files", "constraints_file", "lock_file", "python_selector_file_rel_path"):
        for path in environment[field] if is_texts(environment[field]) else [environment[field]]:
            if path and not os.path.isfile(environment.path(path)) and not (may_lack_lock and field == "lock_file"):
                raise environment.error(field, '%s: there is no file "%s"' % (field, path))
    environment.fields["projects"] = [complete_project(environment, item) for item in environment["projects"]]
    find_required(environment)
    environment.required.places = [vendor_dir(environment.root, "python")]
    environment.locked = locked_python(environment)
    environment.inputs = inputs_of(environment)
    return environment


def find_lock(environment):
    """The name of the lock file of an environment that configures none; "" if there is none for it."""
    names = "pylock.%s.toml" % environment.name, "uv.lock", "pylock.toml"
    found = list(filter(environment.has, names))
    others = [name for name in found if name != "uv.lock"]
    if environment["projects"] == [] and environment.origins["projects"] != "default":  # nothing of what a uv.lock has
        return (others + [""])[0]
    if environment["venv_driver"] == "venv_pip" or beside_projects(environment):  # which need the other
        found = others or found
    return (found + [""])[0]


def beside_projects(environment):
    """The names of the fields with requirements that no uv.lock holds, as far as they are set."""
    return [field for field in ("dependencies", "requirements_files", "constraints_file") if environment[field]]


def locked_python(environment):
    """The `Request`s for the python that a pylock.toml was made for: a list of one, or none."""
    import re

    lock = environment["lock_file"]
    has_told = lock.endswith(".toml") and environment.has(lock)
    head = load_text(environment.path(lock)).partition("[[packages]]")[0] if has_told else ""
    told = re.search(r"""^requires-python\s*=\s*["']([^"']*)""", head, re.MULTILINE)
    try:
        return [Request(told.group(1), lock + ": requires-python", parse_clauses(told.group(1)))] if told else []
    except PrimeError as problem:
        raise PrimeError("malformed requires-python: %s" % problem, lock, status=2)


def check_link(environment, link):
    """PrimeError if `link` is where no link can be made without taking something else away."""
    field = "venv_dir_rel_path"
    if link in ancestors(environment.root) or state_dir(environment.root) in ancestors(link):
        raise environment.error(field, "%s: no link can be made at %s" % (field, link))
    is_venv = os.path.basename(link) == ".venv" or os.path.exists(os.path.join(link, "pyvenv.cfg"))
    if not is_venv and os.path.isdir(link) and not os.path.islink(link) and os.listdir(link):
        raise environment.error(field, "%s: %s is a directory of something else" % (field, link))
    if not is_venv and os.path.isfile(link):
        raise environment.error(field, "%s: %s is a file of something else" % (field, link))


def find_required(environment):
    """Set the required python: config field, nearest .python-version, requires-python, or nothing."""
    specifiers = table_in(environment.config.pyproject, PYPROJECT, "project").get("requires-python", "")
    origin = PYPROJECT + ": requires-python"
    try:
        environment.also = [Request(specifiers, origin, parse_clauses(specifiers))] if specifiers else []
    except (PrimeError, AttributeError):
        raise PrimeError('malformed requires-python "%s"' % (specifiers,), PYPROJECT, status=2)
    check_text(specifiers or "", "requires-python", PYPROJECT)
    field = "required_python_version"
    if environment[field]:
        try:
            environment.required = parse_request(environment[field], environment.origins[field], base=environment.root)
        except PrimeError as problem:
            problem.where = "%s: %s" % (environment.error(field, "").where, field)
            raise
    else:
        found = version_file_request(environment)
        environment.required = found or (environment.also or [Request("", "nothing")])[0]


VERSION_LINES = 100  # of a .python-version that are looked at (H10)


def version_file_request(environment):
    """The `Request` of the first usable line of the nearest .python-version, or None."""
    for directory in ancestors(environment.root):
        path = environment.config.look(os.path.join(directory, ".python-version"))
        is_file, hint = os.path.isfile(path), "a .python-version of the repo's own goes before it"
        if is_file and directory != environment.root and is_left_aside(path, environment.root, hint):
            environment.config.aside.add(path)
            continue
        text = load_text(path) if is_file else ""
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        for text in list(filter(None, lines))[:VERSION_LINES]:
            for words in (text, text.split()[0]):  # pyenv puts several into a line
                try:
                    return parse_request(known_version(words), path, base=directory)
                except PrimeError:
                    pass
            report.detail('%s: "%s" is passed over, for it is no request' % (path, text))
        if set(lines) - {"", "system"}:  # pyenv's word for none of its own
            report.note("%s names no version that is understood" % path)
    return None


def complete_project(environment, item):
    """An entry of `projects` as a dict with path, extras, groups, editable, and what follows from them."""
    config = environment.config
    project = {"path": item} if isinstance(item, str) else dict(item)
    path = environment.path(project["path"])
    names = [name for name in (PYPROJECT, "setup.py") if environment.has(os.path.join(path, name))]
    if not names:
        raise environment.error("projects", 'projects: "%s" holds no pyproject.toml and no setup.py' % project["path"])
    document = config.project(path)
    groups = table_in(document, PYPROJECT, "dependency-groups")
    has_dev = path == environment.root and "dev" in map(normalized, groups)
    chosen = project.get("groups", ["dev"] if has_dev else [])
    requirements = []  # type: list
    for group in chosen:
        requirements += expand_group(groups, group, os.path.join(path, PYPROJECT))
    declared, file = table_in(document, PYPROJECT, "project", "optional-dependencies"), os.path.join(path, PYPROJECT)
    spelling = {normalized(extra): extra for extra in declared}  # pip before 23.3 knows no other
    is_static = "project" in document and "optional-dependencies" not in dynamic_fields(document)
    for extra in project.get("extras", []) if is_static else ():
        if normalized(extra) not in spelling:
            raise environment.error("projects", 'projects: "%s" has no extra "%s"' % (project["path"], extra),
                                    extra, spelling)
    installable = is_installable(document, path)
    extras = [spelling.get(normalized(extra), extra) for extra in project.get("extras", [])]
    if is_application(document):
        requirements += dependencies_of(document, extras, file)
    elif not installable and not chosen:
        raise environment.error("projects", 'projects: "%s" has no [project], [build-system] or setup.py to install'
                                % project["path"])
    return {"path": path, "groups": chosen, "extras": extras,
            "group_requirements": requirements, "editable": project.get("editable", True),
            "installable": installable, "files": files_of(config, path)}


def is_application(document):
    """Whether what a project depends on is installed, and itself not; else pip and uv must know uv's sources of it."""
    settings = table_in(document, PYPROJECT, "tool", "uv")
    return settings.get("package") is False and not settings.get("sources")


def is_installable(document, directory):
    """Whether a directory holds a project that can be installed, and is to be."""
    has_one = {"project", "build-system"} & set(document) or os.path.isfile(os.path.join(directory, "setup.py"))
    return bool(has_one) and not is_application(document)


def dynamic_fields(document):
    """The fields of [project] that are told elsewhere: a set."""
    told = table_in(document, PYPROJECT, "project").get("dynamic", [])
    return set(told) if is_texts(told) else set()


def dependencies_of(document, extras, file):
    """What a project requires with these extras, those included that its extras name by its own name: a list of str."""
    import re

    told = table_in(document, file, "project")
    own, declared = normalized(str(told.get("name", ""))), table_in(document, file, "project", "optional-dependencies")
    spellings, found, names = {}, [], dict.fromkeys([""] + extras)  # type: dict, list, dict
    for each in declared:
        spellings.setdefault(normalized(each), []).append(each)
    waiting = list(names)
    for name in waiting:  # which grows
        lines = declared.get(name, []) if name else told.get("dependencies", [])
        for line in lines if is_texts(lines) else ():
            check_text(line, 'project.optional-dependencies.%s' % name if name else "project.dependencies", file, True)
            match = re.match(r"\s*(\w[\w.-]*)\s*(?:\[([^\]]*)\])?", line)
            if not match:
                raise PrimeError("%s is no requirement" % shown_value(line), file, status=2)
            if normalized(match.group(1)) != own:
                found.append(line)
                continue
            wanted = (match.group(2) or "").replace(" ", "").split(",")
            more = [each for extra in wanted for each in spellings.get(normalized(extra), ()) if each not in names]
            names.update(dict.fromkeys(more))
            waiting += more
    return found


def expand_group(groups, name, file):
    """The requirements of a dependency group, its includes expanded, each once (PEP 735). A list of str."""
    known, requirements = {normalized(group): content for group, content in groups.items()}, []  # type: dict, list
    path, seen, done = [], set(), set()  # type: list, set, set  # the group that is read now, behind those around it

    def enter(name):
        if name in seen:
            raise PrimeError("dependency group %s includes itself" % name, file, status=2)
        if name not in known:
            raise PrimeError("there is no dependency group %s" % name, file, hint=nearest(name, known), status=2)
        if not isinstance(known[name], list):
            raise PrimeError("dependency group %s is not a list" % name, file, status=2)
        path.append((name, iter(known[name])))
        seen.add(name)

    enter(normalized(name))
    while path:
        name, items = path[-1]
        item = next(items, None)
        if item is None:
            done.add(name)
            path.pop()
        elif isinstance(item, str):
            requirements.append(check_text(item, "dependency group %s" % name, file, is_requirement=True))
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            if normalized(item["include-group"]) not in done:
                enter(normalized(item["include-group"]))
        else:
            raise PrimeError("dependency group %s: %s is no requirement" % (name, shown_value(item)), file, status=2)
    return requirements


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
    return masked_input(inputs)


def input_files(environment):
    """The files whose bytes decide what is installed, present or not: a list of paths."""
    paths = []  # type: list
    for project in environment["projects"]:
        paths += project["files"]
    paths += with_includes(environment, environment["requirements_files"] + [environment["constraints_file"]])
    for field in ("lock_file", "python_selector_file_rel_path"):
        paths += [environment.path(environment[field])] if environment[field] else []
    has_uv = bool(table_in(environment.config.pyproject, PYPROJECT, "tool", "uv"))
    return paths + [environment.path(name) for name in ["uv.toml"] + [PYPROJECT] * has_uv]


def files_of(config, directory, members=None):
    """The files that decide what a project is and requires, and the projects that it names; present or not.

    members  `Budget` of the directory entries that are looked at for members of workspaces
    """
    places, files, budget = {os.path.normpath(directory): None}, [], members or Budget()  # type: dict, list, Budget
    waiting = list(places)
    for place in waiting:  # which grows
        files += [os.path.join(place, name) for name in (PYPROJECT, "setup.py", "setup.cfg")]
        for path in named_paths(config.project(place), place, members=budget):
            if not os.path.isdir(path):
                files.append(path)
            elif path not in places:
                places[path] = None
                waiting.append(path)
    return files


def named_paths(document, directory, skipped=("readme", "long_description"), members=None):
    """The paths that a pyproject.toml, or a setup.cfg beside it, takes a part from, but for the skipped fields.

    They are those of a version, of setuptools' dynamic fields, of uv's sources and members of a workspace.
    """
    import re

    tools, budget = table_in(document, PYPROJECT, "tool"), members or Budget()
    settings = (bytes_of(os.path.join(directory, "setup.cfg")) or b"").decode("utf-8", "replace")
    told = re.findall(r"^[ \t]*([\w.-]+)[ \t]*=\s*file:(.*)$", settings, re.MULTILINE)
    found = [os.path.join(directory, name.strip()) for key, names in told if key not in skipped
             for name in names.split(",")]
    waiting = [tools.get("setuptools"), tools.get("uv")]
    for table in map(tools.get, ("hatch", "pdm")):
        waiting += [{"version": table.get("version")}] if isinstance(table, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        for key, item in value.items() if isinstance(value, dict) else ():
            paths = [item] if isinstance(item, str) else item if is_texts(item) else []
            if key in skipped:
                continue
            if key == "file" and paths:
                found += [os.path.join(directory, path) for path in paths]
            elif key == "path" and paths:
                found.append(os.path.join(directory, *paths))
            elif key == "members" and paths:
                for pattern in paths:
                    found += members_of(directory, pattern, budget)
            else:
                waiting.append(item)
    return [os.path.normpath(path) for path in found if "\0" not in path]


class Budget:
    """How many directory entries may still be looked at for the members of workspaces (H10)."""

    def __init__(self):
        self.left = MEMBERS_CAP

    def spend(self, pattern, directory):
        """Look at one more; PrimeError if it is one too many."""
        self.left -= 1
        if self.left < 0:
            raise PrimeError("workspace members %s: more than %d files and directories would have to be looked at" % (
                shown_value(pattern), MEMBERS_CAP), os.path.join(directory, PYPROJECT), status=2,
                hint="name the members, or their common directory")


MEMBERS_CAP = 10000


def members_of(directory, pattern, budget):
    """The directories that a pattern for workspace members names, relative to `directory`: a sorted list of paths.

    As `glob` has it, whose patterns may take ever longer to match: `**` is `*`, and a name takes two of them at most.
    """
    import fnmatch

    found = [os.sep if pattern[:1] == "/" else directory]
    for part in filter(None, pattern.replace(os.sep, "/").split("/")):
        following = []  # type: list
        while "**" in part:
            part = part.replace("**", "*")
        if len(part) > 255:  # as no name is
            return []
        if part.count("*") > 2:
            raise PrimeError('workspace members %s: a name with more than two "*"' % shown_value(pattern),
                             os.path.join(directory, PYPROJECT), status=2, hint="name the members")
        for place in found:
            budget.spend(pattern, directory)
            if not set(part) & set("*?["):
                following.append(os.path.join(place, part))
                continue
            for name in names_in(place):
                budget.spend(pattern, directory)
                if (name[:1] != "." or part[:1] == ".") and fnmatch.fnmatch(name, part):
                    following.append(os.path.join(place, name))
        found = [path for path in following if os.path.isdir(path)]
    return sorted(found)


def names_in(directory):
    """The names in a directory one by one, in no order, as many as are asked for; none if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name
    except (OSError, ValueError):
        return


def with_includes(environment, names):
    """The paths of requirements files, of what they include by -r and -c, and of local projects in them."""
    paths, read, places, budget = [], set(), set(), Budget()  # type: list, set, set, Budget
    waiting = [environment.path(name) for name in reversed(names) if name]
    while waiting:
        path = waiting.pop()
        if path in read:
            continue
        read.add(path)
        paths.append(environment.config.look(path))
        included = []
        for line in requirement_lines(path):
            option, value = option_of(line)
            if option in ("-r", "--requirement", "-c", "--constraint"):
                included += [value] if value and "://" not in value else []
                continue
            place = project_path(environment.root, line)
            if place and place not in places:
                places.add(place)
                paths += files_of(environment.config, place, budget) if os.path.isdir(place) else [place]
        waiting += [os.path.normpath(os.path.join(os.path.dirname(path), name)) for name in reversed(included)]
    return paths


def option_of(line):
    """The option that a line of a requirements file begins with, and its value; ("", the line) if it is none."""
    if line[:2] == "--":
        name = line.replace("=", " ", 1).split(None, 1)[0] if line.split() else ""
        return name, line[len(name) + 1:].strip()
    if line[:2] in ("-r", "-c", "-e"):
        return line[:2], line[2:].strip()
    return "", line


def project_path(root, line):
    """The directory or file here that a line of a requirements file requires, as pip and uv take it; "" if none."""
    option, value = option_of(line)
    if option not in ("", "-e", "--editable"):
        return ""
    name, at, after = value.partition("@")
    name = name.strip().partition("[")[0]
    is_named = bool(at) and bool(name) and all(char.isalnum() or char in "_.-" for char in name)
    value = after.strip() if is_named else value
    value = value.partition(";")[0].partition("[")[0].rstrip()
    words = less_options(value)
    is_path = bool(option) or is_named or "/" in words or words[:1] == "."
    place = os.path.normpath(os.path.join(root, words)) if words and is_path else ""
    return place if place and "\0" not in place and os.path.exists(place) else ""


def requirement_lines(path):
    """The lines of a requirements file as pip takes them: joined, less comments and quotes, with ${VAR} replaced.

    What is named by a file URL is named by its path.
    """
    import re

    text = load_text(path).replace("\0", "") if os.path.isfile(path) else ""
    found = []
    for line in joined_lines(text):
        line = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda told: os.environ.get(told.group(1), told.group()), line)
        line = less_comment(line).strip()
        line = " ".join(shell_words(line)) if line[:1] == "-" else line
        if "file:" in line:
            import urllib.parse

            line = urllib.parse.unquote(re.sub(r"\bfile:(//(localhost)?)?", "", line.partition("#")[0]))
        found.append(line)
    return found


def joined_lines(text):
    """The lines of a text, those joined of which the first ends in a backslash; a comment ends in none."""
    found, parts = [], []  # type: list, list
    for line in text.splitlines():
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1])
        else:
            found.append("".join(parts + [line]))
            parts = []
    return found + ["".join(parts)] * bool(parts)


def less_comment(line):
    """A line up to the first "#" that stands at its begin or behind a blank."""
    end = line.find("#")
    while end > 0 and not line[end - 1].isspace():
        end = line.find("#", end + 1)
    return line if end < 0 else line[:end]


def less_options(text):
    """A text up to the first word that is an option."""
    end = text.find("-", 1)
    while end > 0:
        letter = end + (2 if text.startswith("--", end) else 1)
        if text[end - 1].isspace() and text[letter: letter + 1].isalnum():
            return text[:end].rstrip()
        end = text.find("-", end + 1)
    return text


def shell_words(line):
    """The words of a line as a shell has them; as they are where a quote is open, or where there are too many."""
    import shlex

    try:
        return shlex.split(line) if len(line) < 10000 else line.split()  # it takes the square of that (H10)
    except ValueError:
        return line.split(" ")


# --------------------------------------------------------------------------------------------------
# Asking a python
# --------------------------------------------------------------------------------------------------
# Each python is asked itself what it is, once, with a time limit, and its answer is kept: an `Interpreter`.

PROBE_SECONDS = 5
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


def read_pyvenv_cfg(directory):
    """The keys of `directory`/pyvenv.cfg as a dict, empty if there is no such file."""
    text = (bytes_of(os.path.join(directory, "pyvenv.cfg")) or b"").decode("utf-8", "replace")
    pairs = [line.split("=", 1) for line in text.replace("\r", "\n").split("\n") if "=" in line]
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
    path = os.fspath(path)
    if not path or "\0" in path:
        raise PrimeError('"%s" is no path' % path.replace("\0", "\\0"))
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


def running_python():
    """The path of the python that runs this, "" if it cannot be told.

    PYTHONEXECUTABLE and __PYVENV_LAUNCHER__ make sys.executable lie (facts, trap 2); Linux does not.
    """
    told, real = os.path.abspath(sys.executable or ""), os.path.realpath("/proc/self/exe")
    if real != os.path.realpath(told) and "py" in os.path.basename(real):
        return real
    return told if sys.executable else ""


_answers = {}  # type: dict  # path to Interpreter or PrimeError: each is asked once in a process


def interpreter_at(path, asked=()):
    """Ask the python at `path` what it is, through its base if it is that of an environment.

    The answer is kept in the user cache under path, size, mtime and inode. asked  the paths that led here
    Returns an `Interpreter`; PrimeError, whose message is the reason, if it is broken.
    """
    path = base_python(resolve_python(path))
    if path in asked:
        raise PrimeError("leads back to itself")
    if not _is_known(path):
        try:
            _answers[path] = _ask(path, asked + (path,))
        except PrimeError as problem:
            _answers[path] = problem
    if isinstance(_answers[path], PrimeError):
        raise _answers[path]
    return _answers[path]


def _is_known(path):
    """Whether the python at `path` need not be asked: this process did, or the user cache has its answer."""
    if path not in _answers:
        found = recall(path, read_answer)
        if found:
            _answers[path] = found
    return path in _answers


def _ask(path, asked):
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
        return interpreter_at(reported, asked)
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


def cached_answer(path, topic):
    """Where what the program at `path` said is kept, and what its file begins with while it holds."""
    asked = path + topic
    return cache_dir("answers", hash_bytes(os.fsencode(asked))[:16]), [str(SCHEMA), asked, signature(path)]


def remember(path, answer, topic=""):
    """Keep in the user cache what the program at `path` said of itself, or of a topic: a list of str."""
    place, head = cached_answer(path, topic)
    try:
        write_atomic(place, os.fsencode("\0".join(head + answer + ["."])))
    except OSError:  # a cache that cannot be written is none
        pass


def recall(path, make, topic=""):
    """make(path, *answer) of what was kept of the program at `path`; None if its file changed since."""
    place, head = cached_answer(path, topic)
    try:
        kept = os.fsdecode(bytes_of(place) or b"").split("\0") if is_ours(place) else []
        return make(path, *kept[3:-1]) if kept[:3] + kept[-1:] == head + ["."] else None
    except (ValueError, TypeError, PrimeError):
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


# --------------------------------------------------------------------------------------------------
# Where pythons are
# --------------------------------------------------------------------------------------------------
# The places where pythons are looked for, in the order of preference: each gives paths, the newest first.

PYTHON_NAME = r"python3\.\d+(\.\d+)?t?(\.exe)?$"
ANY_NAME = r"(python|pypy|graalpy)3(\.\d+){0,2}t?(\.exe)?$"
CONDA_NAMES = "miniconda3 anaconda3 miniforge3 mambaforge micromamba conda miniconda anaconda".split()


def newest_first(directories, pattern):
    """The paths in `directories` whose names match, those with the highest numbers in the name first.

    Other implementations than CPython come last.
    """
    import re

    found = []
    for directory in directories:
        try:
            names = [name for name in os.listdir(directory) if re.match(pattern, name)]
        except (OSError, ValueError):
            continue
        found += [os.path.join(directory, name) for name in names]

    def rank(path):
        name = os.path.basename(path)
        return not name.startswith(IMPLEMENTATIONS[1:]), numbers_in(name)

    return sorted(found, key=rank, reverse=True)


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
    is_other = request.implementation not in ("", "cpython")
    for directory in directories:
        yield from newest_first([directory], ANY_NAME if is_other else PYTHON_NAME)


def uv_candidates(request):
    """Pythons that uv installed, newest first."""
    home = home_dir()
    data = os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"), "uv")
    if WINDOWS:
        data = os.path.join(os.environ.get("APPDATA") or home, "uv", "data")
    directory = os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "python")
    return map(environment_python, newest_first([directory], r"[a-z]+-\d"))


def vendored_candidates(request):
    """Pythons that `prime vendor` put into the repo, newest first."""
    return map(environment_python, newest_first(request.places, r"[a-z]+-\d"))


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
    return newest_first(places, ANY_NAME)


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
    ("vendor", vendored_candidates),
    ("uv", uv_candidates),
    ("pyenv", pyenv_candidates),
    ("conda", conda_candidates),
    ("local", local_candidates),
    ("registry", registry_candidates),
    ("py", launcher_candidates),
    ("store", store_candidates),
)


# --------------------------------------------------------------------------------------------------
# Choosing a python
# --------------------------------------------------------------------------------------------------
# Judges each `Candidate` by the requests: the user's own choice, else the repo's selector, else the search.

SELECTOR_SECONDS = 60


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


def candidates(request):
    """Every place to look for a python, as `Candidate`s in the order of preference, each file once."""
    if request.path:
        path = find_program(request.path) or request.path
        try:
            path = resolve_python(path)
        except PrimeError:  # which `judge` says
            pass
        yield Candidate(path, "request")
        return
    seen = set()
    for source, paths in SOURCES:
        for path in paths(request):
            real = os.path.realpath(base_python(path))
            file = real if "py" in os.path.basename(real) else path  # else one program behind many shims
            if file not in seen:
                seen.add(file)
                yield Candidate(path, source)


def as_told(request):
    """A request with the field and the file that it stands in."""
    file, _, field = request.origin.partition(": ")
    return '%s "%s" of %s' % (field, request, file)


def judge(candidate, requests):
    """Ask a candidate, and set its verdict and reason: does it fulfil all of `requests`?"""
    try:
        candidate.interpreter = interpreter_at(candidate.path)
    except PrimeError as problem:
        candidate.verdict, candidate.reason = "broken", str(problem)
    else:
        reasons = [why_not(request, candidate.interpreter) for request in requests]
        reasons[1:] = [reason and "%s for %s" % (reason, as_told(request))
                       for reason, request in zip(reasons[1:], requests[1:])]
        candidate.reason = next(filter(None, reasons), "")
        candidate.verdict = "mismatch" if candidate.reason else "matches"
    where = tilde(candidate.path), candidate.source, candidate.reason or candidate.verdict
    report.detail("candidate %s (%s): %s" % where)
    return candidate


def judge_all(found, requests):
    """`judge` many candidates, those that must be asked side by side. Returns them as a list."""
    found = list(found)
    unknown = [candidate for candidate in found if not _is_known(base_python(candidate.path))]
    if unknown:
        import threading

        threads = [threading.Thread(target=judge, args=(candidate, requests)) for candidate in unknown]
        try:
            with unbroken():
                for thread in threads:
                    thread.start()
        except RuntimeError as problem:  # H16: what was not asked is asked below, one after the other
            report.detail("asking one after the other: %s" % problem)
        for thread in threads:
            while thread.is_alive():  # a signal in the moment before a wait would be noticed after it
                thread.join(0.1)
    for candidate in found:
        if candidate.verdict == "not-tried":
            judge(candidate, requests)
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
# Downloads and the index
# --------------------------------------------------------------------------------------------------
# For what no tool can fetch: pip and uv bring all that they install by themselves.
# What is fetched comes by https, from a file, or is known by its hash (H7), and has a size and a time (H16).

RETRIES = "2"  # of pip's and uv's downloads, unless the user's settings say otherwise: some seconds (B8, B9)
NET_SECONDS = 30  # without a byte
BODY_SECONDS = 600  # for all of a download, from the first try to the last byte of the last one (H16)
BODY_CAP = 512 << 20  # bytes of a download whose size nobody said, and of a file in a wheel
PAGE_CAP = 64 << 20  # bytes of the page of an index
DEFAULT_INDEX = "https://pypi.org/simple"  # pip's and uv's own
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691


def check_url(url, trust):
    """PrimeError unless a URL may be fetched: the one rule of all that this file fetches (H7).

    trust  str, whom its bytes are believed from:
           "https"     a file that was asked for, and whoever has the certificate of a host
           "loopback"  an index of the user's on this machine as well, by http as pip takes it (127.0.0.0/8, ::1,
                       localhost)
           "hash"      anybody, for they are compared with a SHA-256 that the user, or a committed file, gives
    """
    import urllib.parse

    try:
        place = urllib.parse.urlsplit(url)
        host = place.hostname or ""
    except ValueError as problem:
        raise PrimeError("cannot fetch %s: %s" % (masked(url), problem))
    is_near = trust == "loopback" and place.scheme == "http" and is_loopback(host)
    is_known = trust == "hash" and place.scheme in ("http", "ftp")
    if place.scheme not in ("https", "file") and not is_near and not is_known:
        hint = "give https, or --sha256" if trust == "https" else \
            "give https; what uv_sha256 or a pylock.toml of the repo names may come otherwise"
        raise PrimeError("%s could be anybody's" % shown([url]), hint=hint, status=2)


def is_loopback(host):
    """Whether a host of a URL is this machine, whatever a resolver says."""
    import re

    return host in ("localhost", "::1") or bool(re.match(r"127(\.\d{1,3}){3}$", host, re.ASCII))


def open_url(url, accept="*/*", trust="https"):
    """Open a URL as pip and uv would: proxies, credentials in the URL, certificates of the user's choice.

    trust  as in `check_url`
    Returns (response of urllib, str: the URL less its credentials, after redirects). PrimeError if it cannot be
    had, or may not; a redirect from https to something else is refused (I4), and any to a file.
    """
    import base64
    import urllib.parse
    import urllib.request

    check_url(url, trust)
    if is_offline() and not url.lower().startswith("file:"):
        raise PrimeError("offline: %s is not fetched" % shown([url]))

    class Redirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            made = super().redirect_request(req, fp, code, msg, headers, newurl)
            if made and req.type == "https" and made.type != "https":
                raise Mismatch("%s leads to %s, which is not https" % (shown([req.full_url]), shown([newurl])))
            if made and made.type not in ("http", "https"):
                raise Mismatch("%s leads to %s" % (shown([req.full_url]), shown([newurl])))
            if made:
                check_url(made.full_url, trust)
            if made and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
                made.headers.pop("Authorization", None)  # which is not for others
            return made

    headers = {"User-Agent": "proto_prime/" + __version__, "Accept": accept}
    try:
        place = urllib.parse.urlsplit(url)
        user, _, host = place.netloc.rpartition("@")
        if user:
            words = urllib.parse.unquote(user).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(words).decode()
        check_port(place)
        url = urllib.parse.urlunsplit(place._replace(netloc=host))
        request = urllib.request.Request(url, headers=headers)
        opener = urllib.request.build_opener(Redirect(), *net_handlers(place.scheme))
        response = opener.open(request, timeout=NET_SECONDS)
    except net_errors() as problem:
        raise PrimeError("cannot fetch %s: %s" % (masked(url), getattr(problem, "reason", "") or problem))
    return response, response.geturl()


def check_port(place):
    """ValueError unless a split URL has a port that there can be; one of a file, unless it is a regular one (H16)."""
    import urllib.request

    try:
        is_right = place.port is None or 0 < place.port < 65536
    except ValueError:  # which names it, and it may be half a password (H14)
        is_right = False
    if not is_right:
        raise ValueError('what follows ":" is no port (in a password "/" is written as %2F, "#" as %23, "?" as %3F)')
    if place.scheme == "file":
        path = urllib.request.url2pathname(place.path)
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError("%s is no regular file" % path)


def net_handlers(scheme):
    """The handlers of urllib for the user's certificates, as pip and uv take them, and for pip's proxy."""
    import urllib.request

    handlers = []  # type: list
    if scheme == "https":
        told = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")]
        file = next(filter(None, told), None)
        try:
            import ssl

            trusted = ssl.create_default_context(cafile=file)
        except ImportError as problem:
            raise PrimeError("%s has no ssl, which https takes: %s" % (running_python(), problem))
        except OSError as problem:
            raise PrimeError("cannot read the certificates %s: %s" % (file, problem.strerror or problem))
        handlers.append(urllib.request.HTTPSHandler(context=trusted))
    if os.environ.get("PIP_PROXY"):
        handlers.append(urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), os.environ["PIP_PROXY"])))
    return handlers


def net_errors():
    """The exceptions of a network that fails, and of a server that does not speak HTTP: a tuple (H16)."""
    import http.client

    return OSError, ValueError, OverflowError, EOFError, http.client.HTTPException


def fetch(url, accept="*/*", trust="https", cap=0):
    """The bytes behind a URL, and the URL after redirects; tried again when the network fails (B9).

    trust  as in `check_url`; cap  int, bytes, what it may have at most; 0 for `BODY_CAP`
    It works in a thread of its own, for neither a name server nor a server that sends a byte now and then knows an end.
    """
    import threading
    import time

    check_url(url, trust)
    answer, is_done, stop = [], threading.Event(), threading.Event()  # type: list, threading.Event, threading.Event

    def work():
        try:
            answer.append(fetch_patiently(url, accept, trust, cap or BODY_CAP, stop))
        except BaseException as problem:
            answer.append(problem)
        is_done.set()

    start_thread(work)
    deadline = time.monotonic() + BODY_SECONDS
    try:
        while not is_done.wait(0.1):
            report.tick()
            check_stops()
            if time.monotonic() > deadline:
                raise PrimeError("cannot fetch %s: it did not come within %d s" % (shown([url]), BODY_SECONDS))
    finally:
        stop.set()
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def fetch_patiently(url, accept, trust, cap, stop):
    """`fetch`, until the event `stop` comes."""
    left = int(RETRIES)
    while True:
        try:
            response, place = open_url(url, accept, trust)
            with response:
                return read_body(response, place, cap, stop), place
        except (PrimeError,) + net_errors() as problem:
            is_final = getattr(problem, "status", 1) == 2 or isinstance(problem, Mismatch)
            if not left or is_final or is_offline() or stop.is_set():
                raise problem if isinstance(problem, PrimeError) else PrimeError(
                    "cannot fetch %s: %s" % (shown([url]), problem))
            report.detail("once more: %s" % problem)
        left -= 1
        stop.wait(0.5)


def read_body(response, place, cap, stop):
    """The bytes of a response, at most `cap`, in a bytearray; PrimeError if it has more, or not as many as it says."""
    length, data = body_length(response, place), bytearray()
    if length is not None and length > cap:
        raise Mismatch("%s is %d bytes long; it may have %d" % (masked(place), length, cap))
    try:
        while length is None or len(data) < length:
            chunk = response.read1(1 << 16 if length is None else min(1 << 16, length - len(data)))
            data += chunk
            if len(data) > cap:
                raise Mismatch("%s has more than the %d bytes that it may have" % (masked(place), cap))
            if not chunk or stop.is_set():
                break
    except MemoryError:
        raise PrimeError("%s does not fit into memory" % masked(place), hint=LIMIT_HINT)
    if length is not None and len(data) != length:
        raise PrimeError("%s: IncompleteRead: %d bytes came instead of %d" % (masked(place), len(data), length))
    return data


def body_length(response, place):
    """How many bytes a response says that it has, None if it says nothing; PrimeError if that is no number (H16)."""
    lengths = set(response.headers.get_all("Content-Length") or ())
    if not lengths or getattr(response, "chunked", False):
        return None
    text = lengths.pop().strip()
    if lengths or not text.isdigit() or not text.isprintable() or len(text) > 18 or ascii(text) != repr(text):
        raise PrimeError("%s: the server says a length that is none: %s" % (masked(place), ", ".join([text, *lengths])))
    return int(text)


def download(url, target, sha256="", size=0, trust="https"):
    """Fetch a file, verify it, and put it to `target` by one rename. PrimeError if anything is wrong with it.

    sha256  str in hex, or ""; size  int, bytes, or 0: what it must be; trust  as in `check_url`
    """
    data, place = fetch(url, trust=trust, cap=size)
    if size and len(data) != size:
        raise PrimeError("%s is %d bytes long instead of %d" % (masked(place), len(data), size))
    check_hash(data, sha256, place)
    write_atomic(target, data)


def check_hash(data, sha256, place):
    """Mismatch unless bytes have this SHA-256, str in hex or ""; `place` is where they came from."""
    if sha256 and hash_bytes(data) != sha256.lower():
        raise Mismatch("%s is not what it should be" % masked(place), tried=[
            "expected sha256 " + sha256, "found    sha256 " + hash_bytes(data)])


def chosen_index(index=""):
    """The URL of the index that pip and uv would ask, `index` from the config first; "" if they may ask none."""
    if is_on("PIP_NO_INDEX") or is_on("UV_NO_INDEX"):
        return ""
    return next(filter(None, [unnamed(index)] + users_indexes()), DEFAULT_INDEX)


def users_indexes():
    """The URLs of the indexes that pip's and uv's variables name, pip's first."""
    told = [os.environ.get(name, "") for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")]
    return [unnamed(index) for index in told if index]


def unnamed(index):
    """The URL of an index as uv takes it: NAME=URL, or URL."""
    name, _, url = index.partition("=")
    return url if "://" in url and "/" not in name and ":" not in name else index


def index_links(index, name, trust="https"):
    """The files of a project in a package index (PEP 503, 691): a list of (file name, URL, sha256 or "", size or 0).

    trust  as in `check_url`. What is odd is passed over, for an index is no fault of the user's (H16).
    """
    data, place = fetch("%s/%s/" % (index.rstrip("/"), name), SIMPLE_JSON + ", text/html;q=0.1", trust, PAGE_CAP)
    text, links = data.decode("utf-8", "replace"), []
    for entry in json_links(text) or html_links(text):
        link = index_link(place, index, entry)
        if link:
            links.append(link)
        else:
            report.detail("passed over in %s: %r" % (masked(place), entry))
    return links


def json_links(text):
    """What the page of an index says in JSON: a list of (URL, sha256, size), of any types; [] if it is no such page."""
    import json

    try:
        page = json.loads(text)
    except (ValueError, RecursionError):
        return []
    files = page.get("files") if isinstance(page, dict) else None
    links = []
    for each in files if isinstance(files, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("hashes", {}), dict):
            links.append((each, "", 0))
        elif not each.get("yanked"):
            links.append((each.get("url"), each.get("hashes", {}).get("sha256", ""), each.get("size") or 0))
    return links


def html_links(text):
    """What the page of an index says in HTML: a list of (URL, sha256, 0)."""
    import html
    import re

    links = []
    for tag in re.finditer(r"""<a(?=\s)((?:[^<>"']|"[^"<]*"|'[^'<]*')*)>""", text, re.IGNORECASE):
        href = re.search(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", tag.group(1), re.IGNORECASE)
        if href:
            url, _, fragment = html.unescape("".join(filter(None, href.groups()))).partition("#")
            links.append((url, fragment[7:] if fragment.startswith("sha256=") else "", 0))
    return links


def index_link(place, index, entry):
    """A row of `index_links`; None if it is odd, or leads from a server to a file of this machine."""
    import re
    import urllib.parse

    relative, sha256, size = entry
    if not isinstance(relative, str) or not isinstance(sha256, str) or type(size) is not int or size < 0:
        return None
    try:
        url = urllib.parse.urljoin(place, relative)
        scheme, base = urllib.parse.urlsplit(url).scheme, urllib.parse.urlsplit(place).scheme
        is_other = scheme not in ("http", "https", base) or why_no_file_name(unquoted(url))  # H4
        is_hash = not sha256 or re.match(r"[0-9a-fA-F]{64}$", sha256)
        return None if is_other or not is_hash else (unquoted(url), with_user(url, [index]), sha256, size)
    except ValueError:  # such as an odd host
        return None


def trust_in(index, trust):
    """What a link of an index is trusted as: one of an index with https must be https too (H7)."""
    return trust if trust == "hash" or not index.lower().startswith("https:") else "https"


def wheel_version(name, project):
    """The `Version` in a file name, if it is one of a wheel of this project as PEP 427 says; else None (H16)."""
    import re

    match = re.match(r"%s-([\w.!+]+)(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl$" % re.escape(project), name, re.ASCII)
    try:
        return Version(match.group(1)) if match else None
    except PrimeError:
        return None


def with_user(url, indexes):
    """A URL with the credentials of the first of `indexes` that is on the same server, for it asks again."""
    import urllib.parse

    place = urllib.parse.urlsplit(url)
    for index in indexes:
        user, _, host = urllib.parse.urlsplit(index).netloc.rpartition("@")
        if user and host == place.netloc:
            return urllib.parse.urlunsplit(place._replace(netloc=user + "@" + host))
    return url


def this_platform():
    """The key in `PLATFORMS` of this machine; "" if there is none."""
    import platform

    machine = {"AMD64": "x86_64", "ARM64": "arm64"}.get(platform.machine(), platform.machine())
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    if system == "linux" and not platform.libc_ver()[0]:
        system = "musl"
    return system + "-" + machine if system + "-" + machine in PLATFORMS else ""


def fits(name, platforms, version=""):
    """Whether a wheel of this file name may be installed on one of `platforms` by a CPython of `version`.

    Lenient where only the installer knows: the versions of the system's libraries.
    """
    import re

    if not name.endswith(".whl") or name.count("-") < 4:  # an odd one of an index is none (H16)
        return False
    pythons, abis, tags = [part.split(".") for part in name[:-4].split("-")[-3:]]
    numbers = version.split(".")[:2]
    own = "cp" + "".join(numbers)
    runs = not version or "py3" in pythons or own in pythons or "py" + "".join(numbers) in pythons
    minors = [int(tag[3:] or 0) for tag in pythons if re.match(r"cp3\d{0,3}$", tag, re.ASCII)]
    runs = runs or "abi3" in abis and any(minor <= int(numbers[1]) for minor in minors)
    return runs and any(tag == "any" or re.match(PLATFORMS[each][1], tag) for each in platforms for tag in tags)


def file_in_wheel(wheel, ending, message):
    """The bytes of the file in a wheel, an open one, whose name ends so; PrimeError with `message` if there is none."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [each for each in archive.infolist() if each.filename.endswith(ending)]
            if not entries:
                raise PrimeError("%s: it has no %s" % (message, ending))
            entry = min(entries, key=lambda each: len(each.filename))
            if entry.file_size > BODY_CAP:  # zipfile takes no more than it says (H16)
                raise PrimeError("%s: %s has %d bytes" % (message, entry.filename, entry.file_size))
            return archive.read(entry)
    except (PrimeError, MemoryError):
        raise
    except Exception as problem:  # of zipfile, zlib, lzma, struct: it has no list
        raise PrimeError("%s: %s" % (message, problem))


# --------------------------------------------------------------------------------------------------
# Tools
# --------------------------------------------------------------------------------------------------
# What pip and uv have in common: how they are run, where they install, and what an environment tells them.

MANIFEST = "proto-prime-vendor.json"  # in a vendored directory: what `prime vendor` put there


def run_tool(argv, title, environ=None, cwd=os.sep):
    """Run pip, uv, venv or a post_boot command as a step that people see; PrimeError if it fails."""
    report.step(title)
    child = run_child(argv, environ, cwd=cwd, is_logged=True)
    report.done()
    if child.has_failed:
        hints = ["the whole log: %s" % report.log_path] if report.log else []
        if b"needs to be updated" in child.stderr and "uv.lock" in title:
            hints.insert(0, "prime lock renews it")
        if is_offline() and title.startswith(("installing", "fetching", "replacing")):
            hints.insert(0, "where a network is, prime vendor gets what is missing")
        full = [line for line in child.tail(sys.maxsize) if "No space left on device" in line][:1]
        if b"has no attribute 'build_editable'" in child.stderr:
            hints.insert(0, 'setuptools is too old for that: editable = false in projects, or venv_driver = "venv_pip"')
        if b"flat-layout" in child.stderr and b"proto_prime" in child.stderr:
            hints = ["put proto_prime.py and prime into a directory such as tools/, or name your own modules: "
                     "[tool.setuptools] py-modules = [...]"]
        elif b"flat-layout" in child.stderr:
            hints.insert(0, "an application that is not to be installed itself: [tool.uv] package = false")
        if full and cache_dir() in " ".join(argv[1:]):
            hints = [CACHE_HINT]
        how = child.problem or str(child).split(": ")[1]
        hints[:0] = filter(None, [limit_hint("\n".join([how] + child.tail()))])
        raise PrimeError("%s failed: %s" % (title, how), tried=list(dict.fromkeys(full + child.tail())),
                         hint="; ".join(hints))


def guard(directory):
    """PrimeError unless `directory` is an environment whose python installs there and nowhere else.

    Without a pyvenv.cfg uv and pip take the base python for their target, and change it (facts, trap 1).
    A base whose environments are right is remembered: the start of a python costs 15 ms.
    """
    if not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        raise PrimeError("%s has no pyvenv.cfg: nothing is installed there" % directory)
    python = environment_python(directory)
    base, topic = os.path.realpath(python), "\nenvironment of " + read_pyvenv_cfg(directory).get("home", "")
    if recall(base, bool, topic):
        return
    code = "import os, sys; os.write(1, os.fsencode(chr(0).join(['', sys.prefix, sys.base_prefix, '']))); os._exit(0)"
    child = run_child([python, "-I", "-c", code])  # _exit: to take an interpreter apart costs a millisecond
    prefix, base_prefix = (os.fsdecode(child.stdout).split("\0") + ["", ""])[1:3]  # C3: noise around it
    if child.has_failed or os.path.realpath(prefix) != os.path.realpath(directory) or prefix == base_prefix:
        said = child.tail() if child.has_failed else ["its prefix is %s" % prefix]
        raise PrimeError("nothing is installed with %s, not the python of its environment" % python, tried=said)
    if os.path.islink(python) and not is_script(base):  # a copy is a base of its own
        remember(base, [], topic)


# Runs pip where no socket may be opened: a requirements file or a URL may name a place nevertheless.
OFFLINE = """
import socket
def refuse(*_, **__): raise socket.gaierror(-3, "offline")
socket.getaddrinfo = socket.create_connection = refuse
"""


def is_local(place):
    """Whether a place of wheels is a directory, by path or by file URL, and takes no socket."""
    return "://" not in place or place.startswith("file:")


def is_closed(environment):
    """Whether an environment is made of the files at hand alone."""
    return is_offline() or environment["no_index"]


def index_options(environment):
    """The index settings of an environment, as pip and uv both take them."""
    if is_closed(environment):
        places = [environment.path(place) if is_local(place) and "://" not in place else place
                  for place in environment["find_links"] if is_local(place) or not is_offline()]
        if os.path.isfile(vendor_dir(environment.root, MANIFEST)):
            places.append(vendor_dir(environment.root))
        return ["--no-index"] + [word for place in dict.fromkeys(places) for word in ("--find-links", place)]
    options = ["--index-url", environment["index_url"]] if environment["index_url"] else []
    for url in environment["extra_index_urls"]:
        options += ["--extra-index-url", url]
    for place in environment["find_links"]:
        local = environment.path(place)
        options += ["--find-links", local if os.path.isdir(local) else place]
    return options


def places_of(options):
    """The places of wheels that index options name."""
    return [options[count + 1] for count, word in enumerate(options) if word == "--find-links"]


def install_requirements(environment, lock=""):
    """What an environment installs, as pip and uv both take it, less what its lock file, or `lock`, covers."""
    requirements = [] if lock else list(environment["dependencies"])
    for path in environment["requirements_files"] if not lock else ():
        requirements += ["-r", environment.path(path)]
    for project in environment["projects"]:
        if lock.endswith("uv.lock") and not is_closed(environment):
            continue
        requirements += [] if lock else project["group_requirements"]
        if project["installable"]:
            # Relative, so that no "#" or "[" in the path of the repo is taken for more than that (E8).
            path = project["path"]
            if path == environment.root or path.startswith(environment.root + os.sep):
                path = os.path.join(os.curdir, os.path.relpath(path, environment.root))
            extras = "[%s]" % ",".join(project["extras"]) if project["extras"] else ""
            requirements += (["-e"] if project["editable"] else []) + [path + extras]
    return requirements


def chosen_parts(environment):
    """The extras and the dependency groups of the root project that an environment installs: two lists."""
    own = [each for each in environment["projects"] if each["path"] == environment.root]
    return [extra for each in own for extra in each["extras"]], [group for each in own for group in each["groups"]]


def mend_launchers(directory):
    """Let the programs in an environment's bin/ find its python beside them, where its path would be misread.

    pip does not quote it for the shell, nor for python, which reads the same lines; uv does, but for a line
    end (E8).
    """
    import re

    if WINDOWS or not set(directory) & set("\"'$`\\\n"):
        return
    place = os.path.join(directory, BIN)
    pattern = b"#!(?:/bin/sh\n'''exec' )?\"?" + re.escape(os.fsencode(place)) + b"/(python[\\d.]*)\"?(?: .*\n' ''')?\n"
    launcher = b"""#!/bin/sh\n'''exec' "$(dirname -- "$(realpath -- "$0")")"/%s "$0" "$@"\n' '''\n"""
    for path in filter(os.path.isfile, [os.path.join(place, name) for name in os.listdir(place)]):
        text = bytes_of(path) or b""
        match = re.match(pattern, text)
        if match:
            with open(path, "wb") as file:
                file.write(launcher % match.group(1) + text[match.end():])


# --------------------------------------------------------------------------------------------------
# Lock files
# --------------------------------------------------------------------------------------------------
# A pylock.toml (PEP 751) is a `Lock`; of a uv.lock uv itself reads all but the names of the projects in it.


class Lock:
    """A pylock.toml (PEP 751), as much of it as an environment asks for.

    packages        list of dict, all of them
    inputs          str, what `lock_inputs` said when it was made here, or ""
    extras, groups  lists of str: what the file knows of what the environment chose
    pins            list of str, lines of a requirements file, each with its hashes
    unpinned        list of str, arguments of an install: directories and checkouts, which have no hash
    files           dict, file name to (URL, sha256 or "", size or 0)
    """

    def __init__(self, path, document, extras, groups):
        self.path, self.packages = path, document.get("packages", [])
        self.inputs = table_in(document, path, "tool", "proto-prime").get("inputs", "")
        self.extras = [each for each in document.get("extras", []) if normalized(each) in map(normalized, extras)]
        self.groups = [each for each in document.get("dependency-groups", [])
                       if normalized(each) in map(normalized, list(groups) + document.get("default-groups", []))]
        for field in ("extras", "dependency-groups", "default-groups", "environments"):
            for _, text in texts_in(document.get(field)):
                check_text(text, field, path, is_requirement=True)
        self.limits = " or ".join("(%s)" % each for each in document.get("environments", []))
        self.pins, self.unpinned, self.files = [], [], {}  # type: list, list, dict
        for package in self.packages:
            self._add(package)

    def _add(self, package):
        self._check(package)
        name, marker = package["name"], self._marker(package)
        archive, vcs, tree = (package.get(key) for key in ("archive", "vcs", "directory"))
        artifacts = package.get("wheels", []) + [package[key] for key in ("sdist", "archive") if key in package]
        hashes = []
        for each in artifacts:
            url = self.url(each)
            hashes += ["--hash=%s:%s" % pair for pair in sorted(each["hashes"].items())
                       if pair[0] in ("sha256", "sha384", "sha512")]
            size, sha256 = each.get("size", 0), each["hashes"].get("sha256", "")
            if not isinstance(size, int) or not isinstance(sha256, str):
                raise TypeError("size %r, sha256 %r" % (size, sha256))
            self.files[self.file_of(each)] = url, sha256, size
        if tree:
            place = os.path.join(os.path.dirname(self.path), tree["path"], tree.get("subdirectory", ""))
            place = os.path.normpath(place)
            self.unpinned += ["-e", place] if tree.get("editable") else ["%s @ %s%s" % (name, file_url(place), marker)]
        elif vcs:
            place = vcs.get("url") or "file://" + os.path.join(os.path.dirname(self.path), vcs["path"])
            within = "#subdirectory=" + vcs["subdirectory"] if "subdirectory" in vcs else ""
            self.unpinned.append("%s @ %s+%s@%s%s%s" % (name, vcs["type"], place, vcs["commit-id"], within, marker))
        elif not hashes:
            raise PrimeError("%s: %s has no hash that pip knows" % (self.path, name), status=2)
        else:
            within = "#subdirectory=" + archive["subdirectory"] if archive and "subdirectory" in archive else ""
            what = "%s==%s" % (name, package["version"]) if not archive else \
                "%s @ %s%s" % (name, self.url(archive), within)
            self.pins.append(" ".join([what + marker] + hashes))

    def _check(self, package):
        """PrimeError unless each text of a package stays one argument, and one word of a line (H15)."""
        name = check_text(package["name"], "the name of a package", self.path)
        for field, text in texts_in({key: value for key, value in package.items() if key != "tool"}):
            is_place = field.rpartition(".")[2] in ("name", "path")
            check_text(text, 'package "%s": %s' % (name, field), self.path, is_requirement=not is_place)
            if field.rpartition(".")[2] in ("url", "version", "commit-id", "type") and text.split() != [text]:
                raise PrimeError('package "%s": %s "%s" has a blank' % (name, field, text), self.path, status=2)
        if not name or set(name.lower()) - set("abcdefghijklmnopqrstuvwxyz0123456789._-"):
            raise PrimeError('"%s" is no name of a package' % one_line(name), self.path, status=2)

    def file_of(self, artifact):
        """The file name of an artifact. PrimeError if it is none, or what pip makes of the URL is none (H4)."""
        import urllib.parse

        at_end = unquoted(self.url(artifact))
        name = file_name(artifact.get("name") or at_end, self.path)
        for text in filter(None, (at_end, urllib.parse.unquote(at_end))):
            file_name(text, self.path)
        return name

    def url(self, artifact):
        beside = os.path.join(os.path.dirname(self.path), artifact.get("path", ""))
        return artifact.get("url") or file_url(os.path.normpath(beside))

    def _marker(self, package):
        """What stands behind a requirement: the marker, with extras and groups told, for no pip knows these."""
        import re

        def tell(match):
            parts = self.extras if match.group(3) == "extras" else self.groups
            is_in = normalized(match.group(1)) in map(normalized, parts)
            return "os_name %s ''" % ("!=" if is_in != bool(match.group(2)) else "==")

        pattern = r"""['"]([^'"]*)['"]\s+(not\s+)?in\s+(extras|dependency_groups)"""
        told = [each for each in (re.sub(pattern, tell, package.get("marker", "")), self.limits) if each]
        return " ; " + " and ".join("(%s)" % each for each in told) + " " if told else ""

    def write(self, directory, is_closed):
        """Write the pins for an installer. Returns its options: those that name the pins, those that name files."""
        import html

        pins, page = os.path.join(directory, "requirements.txt"), os.path.join(directory, "links.html")
        write_atomic(pins, "".join(line + "\n" for line in self.pins).encode())
        links = ['<a href="%s">%s</a>\n' % (html.escape(url + ("#sha256=" + sha256) * bool(sha256)), html.escape(name))
                 for name, (url, sha256, _) in self.files.items() if is_local(url) or not is_closed]
        write_atomic(page, "".join(links).encode())
        return ["--require-hashes", "-r", pins], ["--find-links", file_url(page)]

    def check_sizes(self, *directories):
        """PrimeError if a file of this machine, or in one of `directories`, is not as long as it should be."""
        import urllib.parse
        import urllib.request

        for name, (url, _, size) in self.files.items():
            paths = [os.path.join(directory, name) for directory in directories]
            if url.startswith("file:"):
                paths.append(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
            for path in filter(os.path.isfile, paths):
                if size and size != os.path.getsize(path):
                    raise PrimeError("%s: %s is %d bytes long instead of %d" % (
                        self.path, path, os.path.getsize(path), size))


def read_lock(environment, path):
    """The `Lock` in a pylock.toml for an environment; PrimeError if it is none, or for other pythons."""
    try:
        document = parse_toml(load_text(path))
        if str(document["lock-version"]).split(".")[0] != "1":
            raise PrimeError("%s: lock-version %s is not known" % (path, document["lock-version"]), status=2)
        return Lock(path, document, *chosen_parts(environment))
    except TomlError as error:
        raise PrimeError("%s: %s" % (path, error), status=2)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as problem:
        raise PrimeError("%s is not as PEP 751 says: %r" % (path, problem), status=2)


def lock_inputs(environment):
    """A hash of all that a lock of an environment is resolved from."""
    projects = []
    for project in environment["projects"]:
        document = environment.config.project(project["path"])
        told, dynamic = document.get("project", {}), []  # type: dict, list
        if {"dependencies", "optional-dependencies"} & dynamic_fields(document):
            dynamic = named_paths(document, project["path"], ("readme", "long_description", "version"))
            dynamic.append(os.path.join(project["path"], "setup.py"))
        projects.append([told.get("dependencies"), told.get("optional-dependencies"), project["extras"],
                         project["group_requirements"], list(map(hash_file, dynamic))])
    files = with_includes(environment, environment["requirements_files"] + [environment["constraints_file"]])
    return digest([environment["dependencies"], list(map(hash_file, files)), projects])


def uv_lock_words(environment):
    """What uv is told of an environment's part of a uv.lock: packages of the workspace, extras and groups.

    PrimeError if it has requirements that are not in there.
    """
    lock, path = environment["lock_file"], environment.path(environment["lock_file"])
    beside, chosen = beside_projects(environment), environment["projects"]
    if beside:
        hint = "prime lock writes pylock.toml, which does"
        hint += "" if environment.origins["lock_file"] == "default" else '; then set lock_file = "pylock.toml"'
        raise PrimeError("%s does not hold what %s says" % (lock, beside[0]), environment.origins[beside[0]], hint=hint)
    words = []
    if [each["path"] for each in chosen] != [os.path.dirname(path)]:  # else every uv understands, and checks, it itself
        words = ["--package=" + name for name in locked_members(path, chosen)]
    extras = dict.fromkeys(extra for each in chosen for extra in each["extras"])
    groups = dict.fromkeys(group for each in chosen for group in each["groups"])
    return words + ["--extra=" + extra for extra in extras] + ["--group=" + group for group in groups]


def locked_members(path, projects):
    """The names that projects have in a uv.lock, those of a workspace's members alone; PrimeError if it lacks one."""
    try:
        document = parse_toml(load_text(path))
        members = document.get("manifest", {}).get("members", [])  # there are some in a workspace alone
        names = {os.path.normpath(os.path.join(os.path.dirname(path), each["source"][kind])): each["name"]
                 for each in document.get("package", []) for kind in ("editable", "virtual", "directory")
                 if kind in each["source"]}
    except (TomlError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise PrimeError("%s is no uv.lock that is understood: %r" % (path, problem), status=2)
    for project in projects:
        if project["path"] not in names and project["installable"]:
            raise PrimeError("%s does not hold the project %s" % (path, project["path"]),
                             hint='let it be a member of the workspace, or set lock_file = ""')
    chosen = [names[each["path"]] for each in projects if names.get(each["path"]) in members]
    return [check_text(name, "package", path) for name in chosen]


def check_sources(environment, driver, python):
    """PrimeError if a place of wheels is missing, or the lock not for this driver, for this python, or out of date."""
    for place in environment["find_links"]:
        if "://" not in place and not place.startswith("file:") and not os.path.exists(environment.path(place)):
            raise environment.error("find_links", 'find_links: there is no "%s"' % place)
    sources = [] if environment["lock_file"] or driver.name == "venv_uv" else sources_of(environment)
    if len(sources) > 1:  # H6
        report.note("without a lock pip takes the best version that any of these has, where uv takes the first of them "
                    "that has the package: %s" % ", ".join(sources))
    if environment["lock_file"].endswith("uv.lock"):
        uv_lock_words(environment)
    if environment["lock_file"].endswith("uv.lock") and driver.name == "venv_pip":
        raise PrimeError("the driver venv_pip cannot install from %s" % environment["lock_file"],
                         hint="prime lock writes pylock.toml, which both drivers read")
    if environment["lock_file"].endswith(".toml"):
        lock = read_lock(environment, environment.path(environment["lock_file"]))
        demand(python, environment.locked, "the lock")
        if lock.inputs and lock.inputs != lock_inputs(environment):
            hint = "" if environment.name == "default" else " -e " + environment.name
            raise PrimeError("%s was made for other requirements than there are now" % environment["lock_file"],
                             hint="prime%s lock" % hint)


def sources_of(environment):
    """The places that what an environment installs may come from, by uv or by pip: a list of URLs, the first the index.

    As far as config, requirements files, uv's tables in pyproject.toml and variables tell: pip.conf and uv.toml of the
    user are not read. Directories do not count, nor credentials.
    """
    if is_closed(environment):
        return []
    uv_index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    by_pip = os.environ.get("PIP_INDEX_URL") or DEFAULT_INDEX  # it is what the user named, or all that pip knows
    main = [environment["index_url"]] if environment["index_url"] else [uv_index, by_pip] if uv_index else [by_pip]
    main = [] if is_on("PIP_NO_INDEX") and is_on("UV_NO_INDEX") else main
    more = environment["extra_index_urls"] + environment["find_links"]
    for name in ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_FIND_LINKS"):
        more += os.environ.get(name, "").replace(",", " ").split()
    urls = [masked(unnamed(url)).rstrip("/") for url in main + more + places_required(environment) if not is_local(url)]
    return list(dict.fromkeys(urls))


def places_required(environment):
    """The indexes and pages of wheels that requirements files and uv's tables in pyproject.toml name: a list of str."""
    import re

    option = re.compile(r"(?:--(?:extra-index-url|index-url|find-links)[\s=]\s*|-[if]\s*)(\S+)")
    files = with_includes(environment, environment["requirements_files"] + [environment["constraints_file"]])
    matches = [option.match(line) for path in files for line in requirement_lines(path)]
    places = [match.group(1) for match in matches if match]
    table = table_in(environment.config.pyproject, PYPROJECT, "tool", "uv")
    tables = table.get("index", [])
    texts = [each.get("url") for each in (tables if isinstance(tables, list) else []) if isinstance(each, dict)]
    for name in ("index-url", "extra-index-url", "find-links"):
        value = table.get(name, [])
        texts += value if isinstance(value, list) else [value]
    return places + [text for text in texts if isinstance(text, str)]


# --------------------------------------------------------------------------------------------------
# pip
# --------------------------------------------------------------------------------------------------
# The driver `venv_pip`: environments by venv, packages by pip, which comes from a wheel on this machine.

OLDEST_PIP = (21, 3)  # the first to install an editable project without setup.py (PEP 660)
ISOLATING_PIP = (23,)  # older ones build a setup.py with the setuptools of the environment
NEWER_PIP = "pip>=21.3,<22"  # what takes the place of an older one; the last that runs under python 3.6


def bundled_wheel(interpreter, project="pip"):
    """The wheel of a project that came with an interpreter (ensurepip), or with Debian's packages; "" if none."""
    places = os.path.join(interpreter.stdlib, "ensurepip", "_bundled"), "/usr/share/python-wheels"
    return next((wheel for place in places for wheel in newest_first([place], project + r"-.*\.whl$")), "")


def find_pip(python):
    """The pip wheel for `python`: its own, else the newest of this machine that runs under it (C9).

    PrimeError if there is none.
    """
    if bundled_wheel(python):
        return bundled_wheel(python)
    others = [judge(candidate, ()).interpreter for candidate in candidates(Request())]
    wheels = {bundled_wheel(other) for other in others if other} - {""}
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
    """What python runs as pip: the wheel, unpacked in the user cache under its hash, and whole (H9).

    From the wheel itself pip would be compiled anew at each start, which takes a second. Its metadata
    stays behind, for pip would take itself for installed.
    """
    import zipfile

    use_cache()
    target = cache_dir("pip", "%s-%s" % (pip_version(wheel), hash_file(wheel)[:16]))
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [each for each in archive.infolist() if each.filename.startswith("pip/")]
            if not is_unpacked(members, target):
                with aside_directory(cache_dir("pip")) as aside:
                    archive.extractall(aside, members)
                    if os.path.lexists(target):  # a cleaner of temporary files took some of it
                        os.rename(target, os.path.join(aside, "old"))
                    os.rename(aside, target)
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as problem:  # type: ignore[attr-defined]
        if not os.path.isdir(target):  # else another process was faster
            raise PrimeError("cannot unpack %s into %s: %s" % (wheel, target, problem),
                             hint=CACHE_HINT)
    return os.path.join(target, "pip")


def is_unpacked(members, directory):
    """Whether a directory is ours and holds these members of a zip archive, a list of ZipInfo, byte for byte."""
    import zlib

    if not is_ours(directory):
        return False
    for member in members:
        content = bytes_of(os.path.join(directory, member.filename))
        if not member.filename.endswith("/") and (content is None or zlib.crc32(content) != member.CRC):
            return False
    return True


def pip_environ():
    """The environment for a pip that installs into an environment, and into nothing else (E3)."""
    environ = dict(clean_environ(for_tool=True), PIP_REQUIRE_VIRTUALENV="1", PIP_USER="0", PIP_DRY_RUN="0",
                   PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    environ.setdefault("PIP_RETRIES", RETRIES)
    if "SSL_CERT_FILE" in environ and "REQUESTS_CA_BUNDLE" not in environ:  # as uv does
        environ.setdefault("PIP_CERT", environ["SSL_CERT_FILE"])
    if is_offline():
        links = [link for link in environ.pop("PIP_FIND_LINKS", "").split() if is_local(link)]
        environ.update(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS=" ".join(links))
    return environ


OFFLINE_PIP = OFFLINE + """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0])
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def run_pip(python, program, words, title, environ, root, log):
    """Run pip, a directory, as a step; PrimeError if it fails, with what stands in its own log alone."""
    start, aside = [program], os.path.join(os.path.dirname(log), "offline")
    if is_offline():
        start = ["-c", OFFLINE_PIP, os.path.dirname(program)]
        environ = dict(environ, PIP_RETRIES="0", GIT_ALLOW_PROTOCOL="file", PYTHONPATH=aside)
        write_atomic(os.path.join(aside, "sitecustomize.py"), OFFLINE.encode())  # for the pip that pip starts
    try:
        run_tool([python, "-I"] + start + words + ["--log", log], title, environ, root)
    except PrimeError as problem:  # such as what an index answered, or what a build lacks
        told = (bytes_of(log) or b"").decode("utf-8", "replace").splitlines()
        told = [line.split(" ", 1)[-1].strip() for line in told]  # less the time
        lines = [line for line in told if "Could not fetch URL" in line or line.startswith("ERROR: ")]
        begin = max([count for count, line in enumerate(told) if line.startswith("Running command")] or [len(told)])
        ends = [count for count, line in enumerate(told)
                if "finished with status" in line or line.startswith("ERROR: ")]
        for end in [count for count in ends if count > begin][:1]:
            lines[:0] = filter(None, told[max(begin, end - 12): end])  # what a build said
        missed = [line for line in dict.fromkeys(lines) if line not in map(str.strip, problem.tried)]
        report.output("\n".join(missed).encode())
        problem.tried[:0] = missed
        raise
    finally:
        remove(log)
        remove(aside)


class PipDriver:
    """Makes environments with `venv`, fills them with `pip`."""

    name, is_anew = "venv_pip", False

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
        run_tool([base, "-I", "-m", "venv", "--without-pip", "--prompt=" + prompt, directory],
                 "creating the environment with venv (python %s)" % python.version)
        wheels = [self.wheel]
        if Version(pip_version(self.wheel)).release < ISOLATING_PIP:  # `venv` adds both
            wheels += filter(None, [bundled_wheel(python, "setuptools")])
        self._pip(directory, ["--no-index", "--no-deps"] + wheels, "adding pip")
        if not os.path.isdir(os.path.join(site_packages(directory), "pip")):
            raise PrimeError("pip installs elsewhere than into %s" % directory,
                             hint="look for target, prefix or root in `pip config list`")

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `pip install` takes them, into `directory`."""
        self._renew(directory, options, root)
        self._pip(directory, list(options) + list(requirements), "installing with pip", root)

    def _renew(self, directory, options, root):
        """Replace a pip that is too old for editable projects."""
        version = pip_version(self.wheel)
        if Version(version).release < OLDEST_PIP and os.path.dirname(self.program) != site_packages(directory):
            title = "replacing pip %s by %s" % (version, NEWER_PIP)
            self._pip(directory, ["--upgrade", NEWER_PIP] + list(options), title, root)
            self.program = os.path.join(site_packages(directory), "pip")

    def _pip(self, directory, arguments, title, root=os.sep, command=("install", "--no-compile")):
        guard(directory)
        # Not compiled now, as by uv: each module is when it is first imported.
        words, log = list(command) + arguments, os.path.join(directory, "pip.log")
        run_pip(environment_python(directory), self.program, words, title, pip_environ(), root, log)

    def install_lock(self, environment, directory, lock):
        """Install what a pylock.toml says: fetched by their hashes first, for pip knows no sizes."""
        options, root = index_options(environment), environment.root
        self._renew(directory, options, root)
        contents = read_lock(environment, lock)
        aside = os.path.join(directory, "lock")
        pins, links = contents.write(aside, is_closed(environment))
        title = "fetching what %s names with pip" % os.path.basename(lock)
        files = os.path.join(aside, "files")
        os.makedirs(files)
        if contents.pins:
            self._pip(directory, pins + ["--dest", files] + options + links, title, root, ("download", "--no-deps"))
        contents.check_sizes(files)
        fetched = [os.path.join(files, name) for name in sorted(os.listdir(files))] + contents.unpinned
        if fetched:
            self._pip(directory, ["--no-deps"] + options + fetched, "installing with pip", root)
        remove(aside)


# --------------------------------------------------------------------------------------------------
# uv
# --------------------------------------------------------------------------------------------------
# The driver `venv_uv`: a uv that is on this machine, or that is fetched into the user's cache, does all.

UV_SECONDS = 10
# Where Linux distributions keep the certificates that they trust.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/ssl/certs")


def has_certificates():
    """Whether the system has certificates that it trusts; where that is not Linux, it has."""
    return not sys.platform.startswith("linux") or any(
        os.path.isfile(place) or os.path.isdir(place) and os.listdir(place) for place in CERTIFICATES)


def uv_environ(root=""):
    """The environment for uv, which is to trust the certificates that pip and the system trust.

    root  str, the ref root, if uv works there: it looks for settings in the directories above, too
    """
    environ = clean_environ(for_tool=True)
    if root and "UV_CONFIG_FILE" not in environ and has_foreign_settings(root):
        own = os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home_dir(), ".config"), "uv", "uv.toml")
        environ.update({"UV_CONFIG_FILE": own} if os.path.isfile(own) else {"UV_NO_CONFIG": "1"})
    if "SSL_CERT_FILE" not in environ and "PIP_CERT" in environ:
        environ["SSL_CERT_FILE"] = environ["PIP_CERT"]
    settings = [("UV_PYTHON_INSTALL_BIN", "0"), ("UV_HTTP_RETRIES", RETRIES)]
    if is_offline():
        environ.update(UV_OFFLINE="1", UV_NO_CACHE="1")  # what is in a cache is on this machine alone
    elif not os.path.isfile(environ.get("SSL_CERT_FILE", "")) and has_certificates():  # else uv goes by its own
        settings += [("UV_SYSTEM_CERTS", "1"), ("UV_NATIVE_TLS", "1")]  # to read these takes it some ms
    for name, value in settings:
        environ.setdefault(name, value)
    return environ


def has_foreign_settings(root):
    """Whether uv would take its settings from a directory above the repo where another user put them (H12)."""
    for directory in ancestors(root):
        for name in ("uv.toml", PYPROJECT):
            path = os.path.join(directory, name)
            if name == PYPROJECT and not has_bytes(path, b"tool.uv") or not os.path.exists(path):
                continue
            hint = "a uv.toml of the repo's own goes before it"
            return directory != root and is_left_aside(path, root, hint)
    return False


def find_uv(wanted, hashes=()):
    """The path of a uv that fulfils `wanted`, a `Request`: on PATH, where its installers put it, or in
    the user cache; if its wheel must have one of `hashes`, only one that was fetched so. "" if there is none.
    """
    paths = [os.path.join(place, "uv" + EXE) for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place]
    # With `sudo -E` the home directory is another user's, whose programs are not to be run (H8).
    homes = [os.path.join(home_dir(), name, "bin", "uv" + EXE) for name in (".local", ".cargo")]
    paths += [path for path in homes if is_ours(os.path.realpath(path))]
    use_cache()
    endings = "|".join(each[:16].lower() for each in hashes)
    paths = [] if hashes else paths
    pattern = r"uv-\d[^-]*%s%s$" % ("-(%s)" % endings if endings else "", EXE)
    cached = [path for path in newest_first([cache_dir("uv")], pattern) if is_ours(path)]
    for path in paths + [path for path in cached if not hashes or is_as_fetched(path)]:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            version = uv_version(path)
            if version and wanted.failing(version) is None:
                report.detail("uv %s: %s" % (version, path))
                return path
            report.detail("uv passed over: %s, version %s" % (path, version))
    return ""


def is_as_fetched(path):
    """Whether a uv that was fetched by the hash of its wheel is still what was in that (H8)."""
    return bytes_of(path + ".sha256") == hash_file(path).encode()


def uv_version(path):
    """The `Version` that a uv reports, or None if it does not run."""
    known = recall(path, lambda _, text: Version(text))
    if known:
        return known
    child = run_child([path, "--version"], uv_environ(), timeout=UV_SECONDS)
    words = child.stdout.decode("utf-8", "replace").split() + ["", ""]
    try:
        version = Version(words[1]) if not child.has_failed and words[0] == "uv" else None
    except PrimeError:
        return None
    if version and not is_script(path):
        remember(path, [version.text])
    return version


def fetch_uv(wanted, options, hashes=()):
    """Have a uv from the package index in the user cache, once per machine. Returns its path.

    options  list of str, the index settings
    hashes   list of str, what SHA-256 its wheel must have, one of these; any if empty
    By the pip of any python from 3.8 on, else, or if that fails to be found, from the index itself.
    """
    if is_offline() and "--find-links" not in options:
        raise PrimeError("there is no uv on this machine, and none can be fetched offline")
    requirement = "uv" + ",".join(clause.text for clause in wanted.clauses)
    with locked(cache_dir("uv", "lock"), "fetching uv"):
        found = find_uv(wanted, hashes)  # another process may have been faster
        if found:
            return found
        try:
            with aside_directory(cache_dir("uv")) as aside:
                program, sha256 = fetch_uv_by_pip(requirement, aside, options, hashes)
                if not program:
                    program, sha256 = fetch_uv_itself(wanted, aside, options, hashes)
                return keep_uv(program, sha256)
        except OSError as problem:
            raise PrimeError("cannot keep uv in %s: %s" % (cache_dir("uv"), problem.strerror), hint=CACHE_HINT)


def keep_uv(program, sha256):
    """Move a uv that was fetched to its place in the user cache. Returns its path.

    sha256  str, of its wheel, if that was enforced; else ""
    """
    version = uv_version(program)
    if version is None:
        raise PrimeError("the uv that was fetched does not run here")
    path = cache_dir("uv", "uv-%s%s%s" % (version, sha256 and "-" + sha256[:16], EXE))
    if sha256:
        write_atomic(path + ".sha256", hash_file(program).encode())
    os.replace(program, path)
    return path


def fetch_uv_by_pip(requirement, directory, options, hashes):
    """Install uv into a directory with the pip of this machine. Returns (its path, the hash that was enforced).

    ("", "") if there is no python that may deploy it, or no pip.
    """
    python = search_python(">=%d.%d" % OLDEST_UV_PYTHON)
    try:
        wheel = find_pip(python) if python else ""
    except PrimeError as problem:
        report.detail("no pip to fetch uv with: %s" % problem)
        wheel = ""
    if not python or not wheel:
        return "", ""
    pip = pip_program(wheel)
    files, environ = os.path.join(directory, "files"), dict(pip_environ(), PIP_REQUIRE_VIRTUALENV="0")
    for index in users_indexes()[:1]:  # pip's own setting goes before it
        environ.setdefault("PIP_INDEX_URL", index)
    words = ["download", "--no-deps", "--only-binary=:all:", "--dest", files] + options + [requirement]
    os.makedirs(directory, exist_ok=True)
    run_pip(python.path, pip, words, "fetching %s" % requirement, environ, os.sep, os.path.join(directory, "pip.log"))
    wheel = os.path.join(files, os.listdir(files)[0])
    return unpack_uv(wheel, directory, hashes)


def fetch_uv_itself(wanted, directory, options, hashes):
    """`fetch_uv_by_pip` without pip: by a file at hand, else straight from the index."""
    import urllib.request

    report.step("fetching uv from the index")
    own = [os.environ.get("PIP_FIND_LINKS", ""), os.environ.get("UV_FIND_LINKS", "").replace(",", " ")]
    places = places_of(options) + " ".join(own).split()
    places = [urllib.request.url2pathname(place[5:]) if place.startswith("file:") else place for place in places]
    paths = [os.path.join(place, name) for place in places if os.path.isdir(place) for name in os.listdir(place)]
    links = [(os.path.basename(path), file_url(path), "", 0) for path in paths
             if os.path.isfile(path) and not why_no_file_name(os.path.basename(path))]
    index = chosen_index(options[options.index("--index-url") + 1] if "--index-url" in options else "")
    trust = "hash" if hashes else "loopback"  # H7
    if index and "--no-index" not in options:
        links += index_links(index, "uv", trust)
    fitting = [(wheel_version(link[0], "uv"), link) for link in links if fits(link[0], [this_platform()])]
    fitting = [(version, link) for version, link in fitting
               if version and wanted.failing(version) is None and not version.is_prerelease]
    report.done()
    if not fitting:
        raise PrimeError("there is no uv for %s" % (this_platform() or sys.platform),
                         tried=["none of %d files fits" % len(links)], hint="put a uv on PATH")
    name, url, sha256, size = max(fitting, key=lambda each: each[0].key)[1]
    wheel = os.path.join(directory, name)
    download(url, wheel, sha256, size, trust_in(index, trust))
    return unpack_uv(wheel, directory, hashes)


def unpack_uv(wheel, directory, hashes):
    """Take uv out of its wheel. Returns (its path, the hash that was enforced)."""
    sha256 = hash_file(wheel)
    if hashes and sha256 not in map(str.lower, hashes):
        raise Mismatch("%s is not what uv_sha256 says" % os.path.basename(wheel), tried=["sha256 is " + sha256])
    program = os.path.join(directory, "uv" + EXE)
    with open(wheel, "rb") as file:
        content = file_in_wheel(file, ".data/scripts/uv" + EXE, "%s is no wheel of uv" % os.path.basename(wheel))
    with open(program, "wb") as file:
        file.write(content)
    os.chmod(program, 0o755)
    return program, sha256 if hashes else ""


class UvDriver:
    """Makes and fills environments with `uv`."""

    name, is_anew = "venv_uv", False  # is_anew: what the cache knows of the index and of local projects is asked anew

    def __init__(self, version="", options=(), hashes=()):
        self.wanted, self.options, self.uv = parse_uv_version(version), list(options), ""
        self.hashes = list(hashes)

    def deploy(self, python=None):
        """Have a uv: one on this machine that will do, else fetch it. PrimeError if neither works."""
        self.uv = self.uv or find_uv(self.wanted, self.hashes) or fetch_uv(self.wanted, self.options, self.hashes)

    def provide(self, text):
        """Let uv download the python of a request; the search finds it then."""
        run_tool([self.uv, "python", "install", text], "installing python %s with uv" % text, uv_environ())

    def create(self, python, directory, prompt):
        """An empty environment of `python`, named by its absolute path (facts, traps 3 and 5)."""
        argv = [self.uv, "venv", "--no-project", "--python", python.path, "--prompt=" + prompt, directory]
        run_tool(argv, "creating the environment with uv (python %s)" % python.version, uv_environ())

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `uv pip install` takes them, into `directory`."""
        guard(directory)
        argv = [self.uv, "pip", "install", "--python", environment_python(directory)]
        argv += ["--refresh"] if self.is_anew and not is_offline() else []
        run_tool(argv + list(options) + list(requirements), "installing with uv", uv_environ(root), root)

    def install_lock(self, environment, directory, lock):
        """Install what uv.lock or pylock.toml says; from the files at hand what both name by its hashes."""
        guard(directory)
        python, aside = environment_python(directory), os.path.join(directory, "lock")
        title = "installing from %s with uv" % os.path.basename(lock)
        if lock.endswith("uv.lock") and is_closed(environment):
            self.export(environment, os.path.join(aside, "pylock.toml"))
            lock = os.path.join(aside, "pylock.toml")
        argv = [self.uv, "pip", "sync", "--allow-empty-requirements", "--python", python] + index_options(environment)
        if lock.endswith("uv.lock"):
            argv = [self.uv, "sync", "--locked", "--no-default-groups", "--python", python]
            argv += ["--project", os.path.dirname(lock)] + uv_lock_words(environment)
            argv += [] if all(each["editable"] for each in environment["projects"]) else ["--no-editable"]
        else:
            contents = read_lock(environment, lock)
            contents.check_sizes(*places_of(index_options(environment)))  # uv checks those of downloads alone
            argv.append(lock)
            argv += ["--extra=" + each for each in contents.extras] + ["--group=" + each for each in contents.groups]
        if is_closed(environment):
            pins, _ = contents.write(aside, is_closed=True)
            argv = [self.uv, "pip", "install", "--no-deps", "--python", python] + index_options(environment)
            if contents.unpinned:  # apart, for beside hashes uv takes nothing without
                run_tool(argv + contents.unpinned, title, uv_environ(environment.root), environment.root)
            argv += pins
        run_tool(argv, title, dict(uv_environ(environment.root), UV_PROJECT_ENVIRONMENT=directory), environment.root)
        remove(aside)

    def export(self, environment, target):
        """Write what uv.lock holds for an environment as a pylock.toml, less the environment's projects."""
        argv = [self.uv, "export", "--locked", "--format", "pylock.toml", "--no-header", "--quiet"]
        for project in environment["projects"]:
            told = environment.config.project(project["path"]).get("project", {})
            argv += ["--no-emit-package=" + check_text(told["name"], "project.name", project["path"])] \
                if "name" in told else []
        argv += ["--no-default-groups", "--output-file", target]
        argv += ["--project", os.path.dirname(environment.path(environment["lock_file"]))] + uv_lock_words(environment)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        run_tool(argv, "reading uv.lock with uv", uv_environ(environment.root), environment.root)

    def resolve(self, requirements, target, python, options, root, oldest=""):
        """Resolve `requirements`, lines of a requirements file, into a pylock.toml for every platform.

        What `target` pins already stays as it is, if it can. oldest  str, the least version of python, or ""
        """
        aside = target + ".in"
        for line in requirements:
            if has_control(line) or line.endswith("\\"):  # H15
                raise PrimeError('"%s" is no line of a requirements file' % one_line(line), status=2)
        argv = [self.uv, "pip", "compile", "--universal", "--generate-hashes", "--format", "pylock.toml", "--quiet"]
        argv += ["--no-header", "--python", python.path, "--output-file", target]
        argv += ["--python-version", oldest] if oldest else []
        try:
            write_atomic(aside, "".join(line + "\n" for line in requirements).encode())
            run_tool(argv + list(options) + [aside], "resolving with uv", uv_environ(root), root)
        finally:
            remove(aside)


# --------------------------------------------------------------------------------------------------
# Making an environment
# --------------------------------------------------------------------------------------------------
# Chooses one of the two drivers, which have the same methods, and makes an environment with it.


def choose_driver(wanted="auto", version="", options=(), hashes=(), sources=()):
    """The driver that a config names; for "auto" uv if it can be had, else pip with a notice.

    wanted   str, one of `DRIVERS`
    version  str, what uv is asked for
    options  list of str, the index settings, where a uv may have to come from
    hashes   list of str, the SHA-256 that the wheel of uv must have, one of these; any if empty
    sources  list of str, the indexes that packages may come from where no lock says which: with several pip does not
             stand in for uv, for who keeps uv from us would choose the packages (H6)
    """
    if wanted not in DRIVERS:
        raise PrimeError("%s is not one of %s" % (wanted, ", ".join(DRIVERS)), status=2)
    if wanted == "venv_pip":
        return PipDriver()
    driver = UvDriver(version, options, hashes)
    try:
        driver.deploy()
    except PrimeError as problem:
        if wanted == "venv_uv" or isinstance(problem, Mismatch):
            raise
        if len(sources) > 1:
            places = "packages may come from %s" % ", ".join(sources)
            raise PrimeError("uv cannot be had, and with several indexes pip does not stand in for it: %s" % problem,
                             tried=[places] + problem.tried, hint=SOURCES_HINT)
        report.note("going on with pip, for uv cannot be had: %s" % problem)
        return PipDriver()
    return driver


SOURCES_HINT = 'prime lock, where uv is, settles what comes from where; venv_driver = "venv_pip" takes the best of all'


def driver_of(environment, wanted):
    """`choose_driver` with all that an environment says of uv, and of where packages come from."""
    sources = sources_of(environment) if wanted == "auto" and not environment["lock_file"] else []
    options = index_options(environment)
    return choose_driver(wanted, environment["uv_version"], options, environment["uv_sha256"], sources)


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
    directory = os.path.abspath(directory)  # tools run elsewhere
    if os.path.lexists(directory) and (not os.path.isdir(directory) or os.listdir(directory)):
        raise PrimeError("%s is there already" % directory)
    driver.deploy(python)
    driver.create(python, directory, prompt or os.path.basename(directory))
    mend_launchers(directory)
    return environment_python(directory)


# --------------------------------------------------------------------------------------------------
# Generations
# --------------------------------------------------------------------------------------------------
# One complete build of an environment is a `Generation`, immutable from the moment its marker is written.
# Builds, checks and completes them, says what is wrong with one, and removes those that nothing uses.

KEPT = 3  # generations of each environment, at least
MARKER = "proto-prime.json"  # written last into a generation: with it, it is complete


class Generation:
    """One complete build of an environment.

    path      str, its directory, the prefix of its python; `program` is that python
    place     str, where that directory was when it was built
    driver    str, the name of the driver that made it
    python    `Interpreter`, its base; `identity` is that one's at the time
    inputs    dict, those of its environment
    listing   list of str, what stood in its site-packages
    created   float, seconds since the epoch
    is_new    bool, whether this process built it; `is_held`, whether a rollback chose it
    stands_in_for  str, what is damaged of the one that would go before it; "" if nothing is
    """

    is_new = is_held = False
    stands_in_for = ""

    def __init__(self, path, meta):
        self.path, self.program, self.driver = path, environment_python(path), meta["driver"]
        self.python, self.identity = Interpreter(**meta["python"]), dict(meta["identity"])
        self.inputs, self.listing = dict(meta["inputs"]), list(meta["listing"])
        self.created, self.place = float(meta["created"]), meta.get("place", path)


def generations(environment):
    """The complete generations of an environment, the newest first."""
    import json

    found = []
    for path in builds(environment.root):
        try:
            meta = json.loads((bytes_of(os.path.join(path, MARKER)) or b"").decode())
            if (meta["schema"], meta["name"]) == (SCHEMA, environment.name):
                found.append(Generation(path, meta))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # T5: incomplete, damaged, or another's
            continue
    return sorted(found, key=lambda generation: generation.created, reverse=True)


BUILD_NAME = r"[\w-]+-[0-9a-f]{12}(\.\d+)?"  # of the directory of a generation


def build_record(directory):
    """The file that says of a generation's directory that it is ours to remove, though it is not complete."""
    return os.path.join(os.path.dirname(os.path.dirname(directory)), "building", os.path.basename(directory))


def builds(root):
    """The directories of all builds of a repo, complete or not, of any environment: a list of paths."""
    envs = state_dir(root, "envs")
    return [path for path in paths_named(envs, BUILD_NAME) if is_build(path)]


def is_build(path):
    """Whether a directory is a generation by its marker, or an unfinished one that our record names (H2)."""
    record = build_record(path)
    is_recorded = is_file(record) and not is_link(os.path.dirname(record))
    return not is_link(path) and os.path.isdir(path) and (is_recorded or os.path.isfile(os.path.join(path, MARKER)))


def listing_of(directory):
    """What stands in the site-packages of an environment, less bytecode: a sorted list of names."""
    place = site_packages(directory)
    return sorted(set(os.listdir(place)) - {"__pycache__"}) if place else []


def is_same_python(generation, may_run=True):
    """Whether the base python of a generation is what it was (T2).

    One with the old size and mtime is asked: in a layer of a container image it is a copy of what it was,
    and a registry of images keeps whole seconds. may_run  whether it may; else it is taken for the same
    """
    before, now = generation.identity, generation.python.identity()
    if before == now or before["path"] != now["path"]:
        return before == now
    try:
        sizes, times = zip(*(map(int, each["signature"].split(".")[:2]) for each in (before, now)))
        is_copy = sizes[0] == sizes[1] and times[0] // 10 ** 9 == times[1] // 10 ** 9
        if not is_copy or not may_run:
            return is_copy
        return vars(interpreter_at(generation.python.path)) == vars(generation.python)
    except (PrimeError, ValueError):
        return False


def has_moved(generation):
    """Whether a generation is elsewhere than it was built: its programs name that place (T1)."""
    return os.path.realpath(generation.path) != os.path.realpath(generation.place)


def damage_of(generation, may_run=True):
    """What is wrong with a generation that was complete once (T1, T2, T3); "" if nothing is.

    may_run  whether its python may be started to learn that, as in `is_same_python`
    """
    base = generation.python
    if has_moved(generation):
        return "it was moved or copied from %s" % generation.place
    if not os.path.exists(base.path):
        return "its base python %s is gone" % base.path
    if not is_same_python(generation, may_run):
        return "its base python %s was replaced" % base.path
    for path in (generation.program, os.path.join(generation.path, "pyvenv.cfg")):
        if not os.path.exists(path):
            return "%s is missing" % path
    missing = sorted(set(generation.listing) - set(listing_of(generation.path)))
    return "%s is missing in its site-packages" % missing[0] if missing else ""


def find_generation(environment, may_run=True):
    """The generation that is current, and otherwise the reasons why none is.

    may_run  whether pythons may be started to learn that
    Returns (Generation, []) or (None, list of str). One that `prime rollback` chose comes first, until an
    input changes.
    """
    known, held = generations(environment), read_held(environment)
    same = [each for each in known if each.inputs == environment.inputs]
    for generation in known:
        generation.is_held = [digest(environment.inputs), os.path.basename(generation.path)] == held
    damages = []
    for generation in [each for each in known if each.is_held] + same:
        damages.append(damage_of(generation, may_run))
        if not damages[-1]:
            generation.stands_in_for = damages[0]
            return generation, []
    if same:
        return None, [damage_of(same[0], may_run)]
    if not may_run:
        return None, []
    before = in_use(environment, known) or (known + [None])[0]
    return None, differences(before.inputs, environment.inputs) if before else ["it was not built yet"]


def in_use(environment, known):
    """Of its `generations` the one that the link of an environment leads to, else the newest; None if none is sound."""
    sound = [each for each in known if not damage_of(each)]
    target = os.path.realpath(environment.path(environment["venv_dir_rel_path"]))
    return next((each for each in sound if os.path.realpath(each.path) == target), (sound + [None])[0])


def differences(before, now):
    """What differs between the inputs of two generations, as a list of str."""
    if before.get("ref root") != now["ref root"]:
        return ["the repo was moved or copied from %s" % before.get("ref root")]
    labels = sorted(label for label in set(before) | set(now) if before.get(label) != now.get(label))
    return ["%s changed" % label.replace("file " + now["ref root"] + os.sep, "") for label in labels]


def held_path(environment):
    """Where it is kept what `prime rollback` chose for an environment."""
    return state_dir(environment.root, "held", environment.name)


def read_held(environment):
    """What `prime rollback` chose: for which inputs, and the name of the generation; [] if nothing."""
    try:
        return load_text(environment.config.look(held_path(environment))).splitlines()
    except PrimeError:
        return []


def write_held(environment, generation=None):
    """Hold an environment at a generation until its inputs change; None takes that back."""
    path = held_path(environment)
    if generation:
        if os.path.isdir(path):
            rename_aside(path)
        lines = digest(environment.inputs), os.path.basename(generation.path)
        write_atomic(path, os.fsencode("\n".join(lines) + "\n"))
    else:
        remove_file(path)
    environment.config.seen[path] = signature(path)


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
        if is_free and is_same and is_wanted and is_same_python(generation):
            report.detail("python kept from the newest generation: %s" % python)
            return python
    return None


def prepare_state(root):
    """Make the state directory, which git ignores through a file of its own.

    What stands in it where it cannot be used is renamed, never removed (T5).
    """
    base, ignore = state_dir(root), state_dir(root, ".gitignore")
    try:
        if os.path.lexists(base) and not os.path.isdir(base):
            rename_aside(base)
        mark_state(base)
        for name, is_right in (("envs", os.path.isdir), ("stamp", os.path.isdir), ("log", os.path.isdir),
                               ("held", os.path.isdir), ("building", os.path.isdir), ("use", os.path.isfile),
                               ("lock", os.path.isfile)):
            path = state_dir(root, name)
            if os.path.lexists(path) and not is_right(path):
                rename_aside(path)
        if not os.path.lexists(ignore):
            write_atomic(ignore, IGNORE_ALL)
    except OSError as problem:
        raise PrimeError("cannot write to %s: %s" % (base, problem.strerror),
                         hint="%s names another place" % STATE_VAR)


def rename_aside(path):
    """Rename what stands where something of ours must be, and say so."""
    aside = unused(path + ".before-prime")
    os.rename(path, aside)
    report.note("%s was not made by prime: renamed to %s" % (path, os.path.basename(aside)))
    ignore = os.path.join(aside, ".gitignore")  # that of the repo knows the name that it had
    if os.path.isdir(aside) and not os.path.islink(aside) and not os.path.lexists(ignore):
        try:
            write_atomic(ignore, IGNORE_ALL)
        except OSError:  # another user's
            pass


def build(environment, python, driver):
    """Build, check and complete a new generation; the lock is held. Returns a `Generation`.

    Whatever goes wrong, what was half-made is removed and the error goes on.
    """
    import json

    identity = python.identity()
    key = digest([environment.inputs, driver.name, identity["path"], identity["version"], python.implementation])
    directory = free_directory(environment, key)
    record = build_record(directory)
    prompt = os.path.basename(environment.root) + ("" if environment.name == "default" else "-" + environment.name)
    outer = os.environ.get(BUILDING_VAR, "")
    tell_building(directory + os.pathsep + outer)
    try:
        write_atomic(record, b"%d" % os.getpid())
        make_directory(os.path.dirname(directory))
        check_sources(environment, driver, python)
        create_venv(python, directory, driver, prompt)
        install(environment, driver, directory)
        for command in environment["post_boot"]:
            run_post_boot(command, directory, environment)
        meta = {"schema": SCHEMA, "name": environment.name, "key": key, "place": directory, "driver": driver.name,
                "python": vars(python), "identity": identity, "inputs": environment.inputs,
                "listing": listing_of(directory), "created": next_time(environment)}
        generation = Generation(directory, json.loads(as_json(meta)))
        generation.is_new = True
        if damage_of(generation):
            raise PrimeError("the new generation is damaged: %s" % damage_of(generation))
        changed = differences(environment.inputs, inputs_of(environment))
        if changed:  # what was installed is neither the old nor the new
            raise PrimeError("while the environment was built, %s" % changed[0], hint="do it again")
        write_atomic(os.path.join(directory, MARKER), as_json(meta).encode())
        os.utime(os.path.dirname(directory))  # for the stamps that were written while it was built
        remove(record)
    except BaseException:
        with unbroken():
            remove(directory)
            remove(record)
        raise
    finally:
        tell_building(outer)
    return generation


def next_time(environment):
    """When a generation of now was created, in s: it is the newest even if the clock was set back (T7)."""
    import time

    return max([time.time()] + [each.created + 1 for each in generations(environment)])


def install(environment, driver, directory):
    """Install what an environment requires; PrimeError if a tool fails, or if nothing arrives."""
    lock = environment["lock_file"] and environment.path(environment["lock_file"])
    requirements, before = install_requirements(environment, lock), listing_of(directory)
    options = index_options(environment)
    if lock:
        driver.install_lock(environment, directory, lock)
        is_limited = lock.endswith(".toml") and read_lock(environment, lock).limits
        if is_limited and listing_of(directory) == before:
            raise PrimeError("%s is not for this machine: %s" % (lock, is_limited))
    if lock.endswith(".toml"):
        options += ["--no-deps"]
    elif environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    for part in in_parts(environment, requirements) if driver.name == "venv_pip" else [requirements]:
        if part:
            driver.install(part, directory, options, environment.root)
    if not requirements and not lock and not is_script_root(environment.root):
        report.note("nothing to install: no [project], requirements.txt, or dependencies in the config")
    # A requirement with a marker may mean nothing, and so may a file.
    is_sure = any(";" not in each for each in environment["dependencies"])
    is_sure = is_sure or any(each["installable"] for each in environment["projects"])
    if is_sure and not lock and listing_of(directory) == before:
        raise PrimeError("nothing was installed into %s" % directory,
                         hint="look for target or prefix in the config of the tool")
    mend_launchers(directory)


def in_parts(environment, requirements):
    """The requirements for one pip after the other: files with hashes first, for beside these it takes no others."""
    files = with_includes(environment, environment["requirements_files"])
    if "-r" not in requirements or not any(has_bytes(file, b"--hash=") for file in files):
        return [requirements]
    place = requirements.index("-r")
    end = place + 2 * requirements.count("-r")
    return [requirements[place:end], requirements[:place] + requirements[end:]]


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


def command_argv(command, prefix, search):
    """The argument list, its first a path, that runs a user's command in an environment.

    command  list of str: a program of the environment or of the search path, -m MODULE, a .py file, or - for
             the script on stdin
    PrimeError with status 127 if there is no such program.
    """
    if command[0] in ("-m", "-") or command[0].endswith(".py") and os.path.isfile(command[0]) or \
            has_metadata(command[0]):
        return [environment_python(prefix)] + list(command)
    program = find_program(command[0], search)
    is_pip = command[0].rstrip("0123456789.") == "pip"
    if is_pip and not program.startswith(prefix + os.sep):  # would be another python's
        raise PrimeError("there is no pip in this environment", status=127,
                         hint="list what you need in the config; with uv made, it has no pip of its own")
    if not program:
        raise PrimeError("no program %s in the environment or on PATH" % command[0], status=127)
    return [program] + list(command[1:])


def tell_building(places):
    """Tell what is started from now on what is being built: a prime that a setup.py runs would wait for us."""
    os.environ.pop(BUILDING_VAR, None)
    if places:
        os.environ[BUILDING_VAR] = places


def unfinished_prefix(root):
    """The generation that is being built by what started this process, such as a post_boot command; else ""."""
    for prefix in filter(None, os.environ.get(BUILDING_VAR, "").split(os.pathsep)):
        is_of_root = os.path.isdir(prefix) and os.path.dirname(prefix) == state_dir(root, "envs")
        if is_of_root and not os.path.exists(os.path.join(prefix, MARKER)) and is_being_built(root, prefix):
            return prefix
    return ""


def is_being_built(root, directory):
    """Whether the process that records that it builds this directory is the one that holds the lock (H17)."""
    lock, pid = state_dir(root, "lock"), bytes_of(build_record(directory))
    if not pid:
        return False
    is_holder = any((bytes_of(path) or b"").startswith(LOCK_HEAD + pid + b" on ") for path in lock_files(lock))
    return is_holder and is_held(lock)


def free_directory(environment, key):
    """Where a new generation of this key is built, less the leftovers of builds that died.

    Never where there is something: children of a build that was killed may still write to it (B1).
    """
    directory = unused(state_dir(environment.root, "envs", "%s-%s" % (environment.name, key)))
    discard(path for path in builds(environment.root) if not os.path.exists(os.path.join(path, MARKER)))
    return directory


def discard(paths):
    """Remove directories of ours that no running process uses. Returns the paths of those that are gone.

    What makes a generation complete goes first, so that none is ever taken for one while it is removed.
    """
    paths = list(paths)
    if not paths:
        return []
    import shutil

    gone = sorted(set(paths) - used_by_processes(paths))
    for path in gone:
        report.detail("removing %s" % path)
        try:
            if is_build(path):
                write_atomic(build_record(path), b"")
            remove(os.path.join(path, MARKER))
            shutil.rmtree(path, ignore_errors=True)
            if not os.path.lexists(path):
                remove(build_record(path))
        except OSError as problem:  # another user's, such as root's
            report.detail("it cannot be removed: %s" % problem.strerror)
    return [path for path in gone if not os.path.lexists(path)]


def used_by_processes(paths):
    """Those of `paths`, directories, that another process names in its command or environment, or has
    mapped a file of: a set. In a checkout that several users share, what another user runs cannot be seen, so that
    all of it may be in use (H18).
    """
    ends = (b"/", b"\0", b"\n", b" ", b":")
    names = {path: [os.fsencode(name) + end for name in {path, os.path.realpath(path)} for end in ends]
             for path in paths}
    used, are_all_seen = set(), True  # type: set, bool
    for text, is_whole in process_texts():
        used.update(path for path in names if any(name in text for name in names[path]))
        are_all_seen = are_all_seen and is_whole
    return used if are_all_seen else used.union(filter(is_shared, paths))


def is_shared(path):
    """Whether others than this user may use or have made what is in a directory of ours."""
    try:
        return os.stat(path).st_uid != os.geteuid() or is_open(os.stat(os.path.dirname(path)))
    except OSError:  # it is gone
        return False


def process_texts():
    """What each other process of this machine shows of itself: pairs of bytes, and whether that is all.

    Not on Windows, where a program that runs cannot be removed.
    """
    has_proc = os.path.isdir("/proc/self")
    if has_proc and not os.path.isdir("/proc/1"):  # mounted so that it hides what others run
        yield b"", False
    for pid in filter(str.isdigit, os.listdir("/proc") if has_proc else ()):
        if int(pid) != os.getpid():
            yield process_text("/proc/" + pid)
    if not WINDOWS and not has_proc:
        yield run_child(["ps", "axeww", "-o", "command="], cap=1 << 24).stdout, True


def process_text(directory):
    """What a process shows of itself in its directory below /proc: bytes, and whether that is all."""
    text, is_whole = b"", True
    for name in ("cmdline", "environ", "maps"):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                text += file.read() + b"\0"
        except PermissionError:  # another user's; what root's do is no matter, for root sees all
            is_whole = is_whole and not is_strangers(directory)
        except OSError:  # it ended
            pass
    return text, is_whole


def is_strangers(path):
    """Whether something belongs to a user that is neither this one nor root."""
    try:
        return os.stat(path).st_uid not in (os.geteuid(), 0)
    except OSError:
        return False


def collect(environment):
    """Remove the generations of an environment beyond the newest `KEPT`, and moved ones, that nothing uses."""
    known = generations(environment)
    spare = [each.path for each in known if each in known[KEPT:] or has_moved(each)]
    if not spare:
        return
    linked = set(map(os.path.realpath, links_of(environment)))
    with locked(state_dir(environment.root, "lock"), "removing old generations"):
        discard(path for path in spare if os.path.realpath(path) not in linked)


# --------------------------------------------------------------------------------------------------
# The link
# --------------------------------------------------------------------------------------------------
# `.venv`, by which every tool finds the environment: where it leads, whether it is ours, how it is moved in one step.


def links_of(environment):
    """Where the links of a repo's environments are: a list of paths."""
    table = environment.config.table
    tables = [table] + list(table.get("env", {}).values())
    default = table.get("venv_dir_rel_path", FIELDS["venv_dir_rel_path"][1])
    return sorted({environment.path(each.get("venv_dir_rel_path", default)) for each in tables})


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
    if not is_linkable(link):
        report.detail("no link is made, for %s cannot be written" % os.path.dirname(link))
        return link, ""
    if not leads_to(link, target):
        lead_to(environment.root, link, target)
    return link, target


def lead_to(root, link, target, envs=""):
    """Let a link lead to a generation, under the lock; PrimeError unless that of `envs` is still its signature."""
    with locked(state_dir(root, "lock"), "publishing %s" % target):
        if envs and signature(state_dir(root, "envs")) != envs:
            raise PrimeError("the generations changed meanwhile")
        set_aside(root, link)
        replace_link(target, link)
    report.detail("published: %s -> %s" % (link, target))


def is_linkable(link):
    """Whether a link can be made; it need not be where the state of a read-only checkout is kept elsewhere."""
    if not os.environ.get(STATE_VAR):
        return True
    place = next(each for each in ancestors(os.path.dirname(link)) if os.path.exists(each))
    return os.access(place, os.W_OK)


def leads_to(link, target):
    """Whether `link` is a link with this target; "" as one that could not be made."""
    if not target:
        return bool(link)
    try:
        return os.path.samefile(link, target) if WINDOWS else os.readlink(link) == target
    except OSError:
        return False


def set_aside(root, link):
    """Rename what stands at `link`, unless it is a link that was made here."""
    if not os.path.lexists(link):
        return
    try:
        target = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:  # no link
        target = ""
    if not is_our_target(root, target):
        rename_aside(link)


def is_our_target(root, target):
    """Whether a link that leads there was made here; it may be of before the repo was moved, or be dangling."""
    envs, name = os.path.split(target)
    is_of_ours = envs == state_dir(root, "envs") or envs.endswith(os.path.join(os.sep, ".prime", "envs"))
    is_build = "-" in name and set(name.rpartition("-")[2].partition(".")[0]) <= set("0123456789abcdef")
    return is_of_ours and is_build or os.path.exists(os.path.join(target, MARKER))


def replace_link(target, link):
    """Make a link, or lead the one that is there elsewhere, in one step."""
    make_directory(os.path.dirname(link))
    aside = temporary_path(link)
    if WINDOWS:  # a junction takes no privilege, but cannot replace another in one step
        import _winapi

        _winapi.CreateJunction(target, aside)  # type: ignore[attr-defined]
        if os.path.lexists(link):
            os.rmdir(link)
        os.rename(aside, link)
        return
    os.symlink(target, aside)
    try:
        os.replace(aside, link)
    except OSError:
        os.remove(aside)
        raise


# --------------------------------------------------------------------------------------------------
# Stamps
# --------------------------------------------------------------------------------------------------
# What was looked at when an environment was last found current, so that the next boot answers from `stat` calls alone.

STAMP_MAGIC = "proto_prime stamp 2"


def stamp_path(root, requested):
    """Where the stamp is: what was looked at when an environment was last found current."""
    return state_dir(root, "stamp", requested or "default")


def stamp_head(root, requested):
    """What a stamp begins with: whose it is, of which place, and made under which variables."""
    told = [os.environ.get(name, "") for name in (PYTHON_VAR, DRIVER_VAR)]
    return [STAMP_MAGIC, sys.platform, root, requested] + told


def load_stamp(path, head=None):
    """What a stamp says: (prefix, link, target, what there is to say, variables, files), the variables as
    (name, value), the files as path, signature, hash, path, ... None if it is absent, garbage or another's (T5).
    """
    parts = (bytes_of(path) or b"").decode("utf-8", "surrogateescape").split("\0")
    first = len(head or stamp_head("", ""))
    if parts[:1] + parts[-1:] != [STAMP_MAGIC] * 2 or head and parts[:first] != head:
        return None
    start = first + 5
    try:
        prefix, link, target, said, count = parts[first:start]
        middle = start + 2 * int(count)
    except ValueError:
        return None
    variables = list(zip(parts[start: middle: 2], parts[start + 1: middle: 2]))
    return prefix, link, target, said, variables, parts[middle:-1]


def read_stamp(root, requested, moves_link, is_checked=True):
    """The fast answer, if all is as the stamp of an environment says, the link too if that matters.

    is_checked  else the environment need only be there
    Returns (prefix of its python, list of (name, value) of its variables, what there is to say), or None.
    """
    stamp = load_stamp(stamp_path(root, requested), stamp_head(root, requested))
    if not stamp:
        return None
    prefix, link, target, said, variables, files = stamp
    holds = not moves_link or leads_to(link, target)
    if is_checked:
        holds = holds and all(  # where nothing was, there is less to ask for
            signature(path) == known if known != "-" else not os.access(path, os.F_OK)
            for path, known in zip(files[::3], files[1::3]))
    else:
        holds = holds and all(map(os.path.exists, (os.path.join(prefix, MARKER), environment_python(prefix))))
    return (prefix, variables, said) if holds else None


def return_to(root, requested, moves_link):
    """The answer of `read_stamp` for inputs that are back, word for word: their generation is published again."""
    head = stamp_head(root, requested)
    envs = state_dir(root, "envs")  # a newer generation, as `reset` builds, is to be noticed
    before = signature(envs)
    for path in old_stamps(root):
        stamp = load_stamp(path, head) if path.endswith("." + (requested or "default")) else None
        if not stamp or moves_link and not stamp[1]:
            continue
        prefix, link, target, said, variables, files = stamp
        files = list(zip(files[::3], files[1::3], files[2::3]))
        now = [(each, signature(each), known) for each, _, known in files]  # from before they are read
        if all(new == old or new[2] and hash_file(new[0]) == new[2] for new, old in zip(now, files)):
            if moves_link and target and not leads_to(link, target):
                if os.path.lexists(link) and not (os.path.islink(link) or WINDOWS):
                    return None  # whose it is `check_link` says
                lead_to(root, link, target, before)
            keep_stamp(stamp_path(root, requested), head, stamp[:5] + (now + [(envs, before, "")],))
            return prefix, variables, said
    return None


def write_stamp(environment, generation, published):
    """Keep what was looked at for the next boot, with signatures from before the files were read.

    published  (link, target), or ("", "") if this boot leaves the link alone
    """
    requested, root = environment.requested, environment.root
    ours = [generation.python.path, generation.program, site_packages(generation.path)]
    ours += [os.path.join(generation.path, name) for name in ("pyvenv.cfg", MARKER)]
    aside = environment.config.aside  # H12: with another owner they would count, as they are
    files = [(path, known, "" if path in aside else hash_file(path))
             for path, known in sorted(environment.config.seen.items())]
    is_whole = all(signature(path) == known for path, known, _ in files)
    files += [(path, signature(path), "") for path in ours]
    head, said = stamp_head(root, requested), current_line(environment, generation)
    stamp = (generation.path,) + tuple(published) + (said, list(environment["env_vars"].items()))
    key = digest([environment.name, environment.inputs])
    if generation.is_new:
        forget_stamps(root, key)
    envs = os.path.dirname(generation.path)
    if keep_stamp(stamp_path(root, requested), head, stamp + (files + [(envs, signature(envs), "")],)) and is_whole:
        keep_stamp(state_dir(root, "stamp", "%s.%s" % (key, requested or "default")), head, stamp + (files,))


def forget_stamps(root, key):
    """Remove the remembered stamps of one key, whose generation is replaced, and of generations that are gone."""
    for path in old_stamps(root):
        if os.path.basename(path).startswith(key) or not os.path.isdir((load_stamp(path) or [""])[0]):
            try:
                remove_file(path)
            except OSError as problem:
                report.detail("no stamp is removed: %s" % problem)


def old_stamps(root):
    """The paths of the stamps of earlier inputs: without `re`, for a boot that is back on them is a fast one."""
    directory, digits = state_dir(root, "stamp"), set("0123456789abcdef")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    names = [name for name in names if name[12:13] == "." and set(name[:12]) <= digits]
    return [path for path in (os.path.join(directory, name) for name in names) if not is_link(path)]


def keep_stamp(path, head, stamp):
    """Write a stamp, unless a file is so fresh that a change to it could hide. Returns whether."""
    prefix, link, target, said, variables, files = stamp
    try:
        if any(is_fresh(name) for name, _, known in files if known):
            remove_file(path)
            return False
        parts = head + [prefix, link, target, said, str(len(variables))]
        for entry in variables + files:
            parts += entry
        write_atomic(path, "\0".join(parts + [STAMP_MAGIC]).encode("utf-8", "surrogateescape"))
        return True
    except OSError as problem:  # without it boots are slower, no worse
        report.detail("no stamp: %s" % problem)
        return False


def current_line(environment, generation):
    """What is said when there is nothing to do."""
    place, version = environment["venv_dir_rel_path"], generation.python.version
    if not is_linkable(environment.path(place)):
        place = tilde(generation.path)
    how = ", rolled back to %s" % os.path.basename(generation.path) if generation.is_held else ""
    return "%s is current (environment %s, python %s%s)" % (place, environment.name, version, how)


# --------------------------------------------------------------------------------------------------
# Stages
# --------------------------------------------------------------------------------------------------
# From the wild python to the command: the fast path, else the selected python, a generation, and the hand-over.


# Measured under Python 3.12 on Linux, where a bare start takes 10 ms: 2.7 ms to import this file (1.6 ms of it to
# read its bytecode), 0.4 ms here: `isolate` 0.12, `read_stamp` 0.17 for 26 files (a `stat` each, 3 to 5 us),
# `find_root` 0.04, `activated` 0.03. To take the interpreter apart would be 2.5 ms: exec does not, nor does `leave`.
# An import of `re`, `json`, `argparse` or `subprocess` takes 4 ms and more: hence none of them here.
def fast_path(argv):
    """Answer `prime` and `prime run CMD...` from the stamp alone, if it proves that nothing is to do.

    Reads one file and calls `stat`, with `os` and `sys` alone. Returns the exit status; for `run` it
    does not return at all; None when it cannot tell, and then the long way does.
    """
    command, requested = None, os.environ.get(ENV_VAR, "")
    if argv[:1] == ["-e"] and argv[1:]:
        requested, argv = argv[1] or requested, argv[2:]
    if argv[:1] == ["run"]:
        command = argv[2:] if argv[1:2] == ["--"] else argv[1:]
        if not command or command[0][:1] == "-" and command[0] != "-m":
            return None
        if command[0] == "-" or has_metadata(command[0]):
            return None
    elif argv not in ([], ["boot"]):
        return None
    if PY_EXEC in os.environ or LOG_VAR in os.environ:
        return None
    try:
        root, moves_link = find_root(), command is None or not requested
        if unfinished_prefix(root):  # what a build starts means that one, whose lock is held
            return None
        known = read_stamp(root, requested, moves_link) or return_to(root, requested, moves_link)
        if known is None:
            return None
        prefix, env_vars, said = known
        if command is not None:
            hand_over(command, prefix, env_vars)
        report.note(said)
        return 0
    except (PrimeError, OSError, ValueError):
        return None


def has_metadata(word):
    """Whether a command is a python script that may say what it needs (PEP 723)."""
    if not word.endswith(".py") and not (os.path.dirname(word) and is_script(word)):
        return False
    content = bytes_of(word) or b""
    starter = content.partition(b"\n")[0]
    is_python = word.endswith(".py") or any(name in starter for name in (b"python", b"prime", b"uv"))
    return is_python and b"# /// script" in content


def hand_over(command, prefix, env_vars):
    """Become the user's command inside the environment directory `prefix`."""
    environ = activated(prefix, env_vars)
    argv = command_argv(command, prefix, environ["PATH"])
    is_as_typed = argv[1:] == list(command[1:])  # and it names itself so in its messages
    replace_process([command[0]] + argv[1:] if is_as_typed else argv, environ, argv[0])


def take_stage(root):
    """The stage this process is in; the variable is taken away, so that no child sees it (E5)."""
    said = os.environ.pop(SAID_VAR, "")
    stage, _, place = os.environ.pop(PY_EXEC, "").partition(":")
    if stage not in STAGES or place != root:
        return "wild"
    # So that the log of a build is whole; told apart, for a variable may say anything (H13).
    lines = said.split("\n")[:-1] if said.endswith("\n") else said.split("\n") * bool(said)
    report.unlogged.insert(0, "".join("wild| %s\n" % visible(line) for line in lines))
    return stage


def hop(python, root):
    """Start over in the stage `required`, under the interpreter at the path `python`; does not return."""
    report.detail("stage required: going on under %s" % python)
    said = "".join(report.unlogged)[-20000:].replace("\0", "?")
    environ = dict(clean_environ(), **{PY_EXEC: "required:%s" % root, SAID_VAR: said})
    if not WINDOWS:  # until the new process can say that it was interrupted
        import _signal

        _signal.pthread_sigmask(_signal.SIG_BLOCK, end_signals())
    replace_process([python, script_path()] + sys.argv[1:], environ, may_spawn=False)


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
    may_fetch = not environment.required.path and environment["venv_driver"] != "venv_pip"
    if python is None and may_fetch and not is_contradictory(environment):
        text = environment.required.text
        if text[:1] in ("", "<", ">", "=", "!", "~"):  # so that what comes fulfils the others, too
            text = ",".join(dict.fromkeys(each.text for each in environment.wanted() if each.text))
        try:
            if is_offline():
                raise PrimeError("offline, so that uv may not download it")
            driver = driver_of(environment, "venv_uv")
            driver.provide(text)
        except PrimeError as problem:
            raise no_python(environment, ["uv: %s" % problem] + problem.tried)
        python = probe_for(environment)
    if python is None:
        raise no_python(environment)
    return python


def is_contradictory(environment):
    """Whether requires-python excludes all that a plain request such as 3.12 names."""
    named = [clause.operand.replace(".*", "") for clause in environment.required.clauses if clause.operator == "=="]
    plain = [text for text in named if text.replace(".", "").isdigit()]
    ends = [(each.failing(Version(text)), each.failing(Version(text + ".99")))
            for text in plain for each in environment.also]
    return any(low is not None and low is high for low, high in ends)  # two clauses may leave some between them


def probe_for(environment):
    """`probe_python` with all that an environment says of it."""
    environment.tried = []
    selector = environment["python_selector_file_rel_path"]
    return probe_python(environment.required, selector, environment.root, environment.name,
                        environment.tried, environment.wanted()[1:])


def no_python(environment, more=()):
    """The PrimeError that says what was asked for, what was tried, and why none of it will do."""
    required, is_contrary = environment.required, is_contradictory(environment)
    said = "".join(each.reason for each in environment.tried)
    others = [each for each in environment.wanted()[1:] if each is not required and
              (not required.text or as_told(each) in said or is_contrary)]
    field = "requires-python" if required in environment.also else "required_python_version"
    field = "the request" if required.origin == "command line" else field
    told = ['%s "%s"' % (field, required)] if required.text or not others else []
    hint = "install it"
    if is_contrary:
        hint = "they exclude each other: change one of them"
    elif environment["venv_driver"] == "venv_pip" and field != "the request":
        hint += ', or set venv_driver = "venv_uv" and allow downloads'
    if set(others) & set(environment.locked):
        hint += "; or let prime lock make %s anew, for another python" % environment["lock_file"]
    origin = required.origin if required.text or not others else others[0].origin
    hint = limit_hint(said) or hint
    return PrimeError("no python satisfies " + " and ".join(told + list(map(as_told, others))), origin,
                      [str(each) for each in environment.tried] + list(more), hint)


def have_generation(environment, stage, is_anew=False):
    """The current generation of an environment, built if need be, maybe under another python.

    stage    str, where this process is; "" if it may not be replaced
    is_anew  build one even if there is one
    """
    generation, reasons = find_generation(environment)
    if generation and not is_anew:
        return generation
    if unfinished_prefix(environment.root):
        raise PrimeError("%s is being built by what started this" % environment.title)
    python = select_interpreter(environment, stage, is_anew)
    is_running = os.path.realpath(running_python()) == os.path.realpath(python.path)
    if stage == "wild" and script_path() and not (is_running and sys.prefix == sys.base_prefix):
        hop(python.path, environment.root)
    if stage != "required":
        report.detail("stage required: skipped, %s builds with %s" % (running_python(), python))
    if os.pathsep in state_dir(environment.root):
        raise PrimeError('%s has a "%s", so that PATH cannot name it' % (state_dir(environment.root), os.pathsep),
                         hint="%s names another place" % (CACHE_VAR if is_script_root(environment.root) else STATE_VAR))
    prepare_state(environment.root)
    reason = "a new one is asked for" if is_anew else "; ".join(reasons)
    with locked(state_dir(environment.root, "lock"), "building %s" % environment.title, reason):
        generation, _ = find_generation(environment)
        if generation and not is_anew:  # built by the process that we waited for
            return generation
        report.open_log(state_dir(environment.root, "log"))
        report.note("building %s: %s" % (environment.title, reason))
        driver = driver_of(environment, environment["venv_driver"])
        driver.is_anew = is_anew
        return build(environment, python, driver)


def boot_environment(environment, stage, is_anew=False, moves_link=True):
    """`have_generation`, published and stamped. Returns the `Generation`."""
    generation = have_generation(environment, stage, is_anew)
    prepare_state(environment.root)
    if is_anew:
        write_held(environment)
    published = publish(environment, generation) if moves_link else ("", "")
    newest = find_generation(environment)[0]
    if newest and newest.path != generation.path:  # another process built it while we waited to publish
        generation = newest
        published = publish(environment, generation) if moves_link else published
    write_stamp(environment, generation, published)
    if generation.stands_in_for:
        report.note("another build of the same stands in: %s" % generation.stands_in_for)
    if generation.is_new:
        collect(environment)
    report.detail("stage venv: %s (%s)" % (generation.program, generation.python.version))
    return generation


# --------------------------------------------------------------------------------------------------
# Commands of every day
# --------------------------------------------------------------------------------------------------
# boot, run, info, python, use, reset, rollback, clean.


def used_name(config):
    """The environment that `prime use` made this clone's; "" if none, or if it is configured no more."""
    path = config.look(state_dir(config.root, "use"))
    try:
        name = load_text(path).strip() if os.path.isfile(path) else ""
    except PrimeError:  # T5
        name = ""
    if name and name not in set(config.table.get("env", {})) | {"default"}:
        report.note('environment "%s", which prime use chose, is configured no more' % name)
        return ""
    return name


def open_environment(options, may_lack_lock=False):
    """The `Environment` that options, variables and `prime use` ask for."""
    config = load_config(options.root)
    requested = options.env or os.environ.get(ENV_VAR, "")
    return load_environment(config, requested or used_name(config), requested, may_lack_lock)


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
    elif words and words[0][:1] == "-" and words[0] not in ("-m", "-"):
        raise PrimeError("run: unknown option %s" % words[0], status=2,
                         hint="%s; other options stand before run" % RUN_USAGE)
    if not words:
        raise PrimeError("run: no command is given", hint=RUN_USAGE, status=2)
    environment = None
    if words[0] == "-":
        environment = script_environment(options, read_stdin())
    elif has_metadata(words[0]):
        text = (bytes_of(words[0]) or b"").decode("utf-8", "replace")
        environment = script_environment(options, text[1:] if text[:1] == "\ufeff" else text)
    environment = environment or open_environment(options)
    prefix = prefix_of(environment, options, boots)
    try:
        hand_over(words, prefix, environment["env_vars"])
    except OSError as problem:
        raise cannot_run(words[0], problem)


def cannot_run(name, problem, hint=""):
    """The PrimeError for a program that the system does not start, with the status that a shell has for it."""
    reason, status = problem.strerror, 127 if isinstance(problem, FileNotFoundError) else 126
    if status == 127 and os.path.isfile(problem.filename or name):
        reason, status = "the interpreter in its first line does not exist", 126
    return PrimeError("cannot run %s: %s" % (name, reason), hint=hint, status=status)


def prefix_of(environment, options, boots):
    """The directory of the environment that a command runs in, booted if `boots`."""
    prefix = unfinished_prefix(environment.root)
    if prefix:
        return prefix
    is_script = environment.root != options.root  # which no stage knows of
    hint = "run it without --no-boot" if is_script else "prime boot"
    if boots:
        stage = "" if is_script else options.stage
        return boot_environment(environment, stage, moves_link=not environment.requested).path
    known = generations(environment)
    if not known:
        raise PrimeError("%s was not built yet" % environment.title, hint=hint)
    generation = find_generation(environment)[0] or in_use(environment, known) or known[0]
    if not os.path.exists(generation.program):
        raise PrimeError("%s is missing" % generation.program, hint=hint)
    return generation.path


def command_info(options):
    """what is configured, from where, and whether the environment is current"""
    environment = open_environment(options)
    current, reasons = find_generation(environment)
    generation = current or in_use(environment, generations(environment))
    selected = None  # type: Candidate | None
    link, target = link_to(environment, generation) if generation else ("", "")
    if current and not environment.requested and is_linkable(link) and not leads_to(link, target):
        reasons = ["%s is missing, or leads elsewhere" % environment["venv_dir_rel_path"]]
    if current:
        selected = Candidate(current.python.path, "generation", current.python, "selected")
    else:
        try:
            python = kept_python(environment) or probe_for(environment)
            selected = python and Candidate(python.path, "search", python, "selected")
            reasons = reasons + ([] if python else [str(no_python(environment))])
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
            "held": generation.is_held,
        },
        "current": not reasons,
        "reasons": reasons,
    }
    told = masked_values(told)
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
        ("venv", "none" if not venv else "%s -> %s" % (venv["path"], venv["generation"])
         if os.path.realpath(venv["path"]) == os.path.realpath(venv["generation"]) else venv["generation"]),
        ("current", "no: " + "; ".join(told["reasons"]) if told["reasons"] else
         "yes, held there by a rollback" if venv["held"] else "yes"),
    ]
    rows += [(name, "%s (%s)" % (entry["value"], entry["from"]))
             for name, entry in told["config"].items() if entry["from"] != "default"]
    width = max(len(name) for name, _ in rows)
    return "".join("%-*s  %s\n" % (width, name, one_line(text)) for name, text in rows)


def command_python(options):
    """the path of the python that a request selects"""
    environment = open_environment(options)
    if options.request is not None:
        places = environment.required.places
        environment.required = parse_request(options.request, "command line")
        environment.required.places = places
        environment.also = environment.locked = []
    everything = judge_all(candidates(environment.required), environment.wanted()) if options.all else []
    python, problem = None, None  # type: Interpreter | None, PrimeError | None
    try:
        python = probe_for(environment)
    except PrimeError as error:  # of the selector or the user's choice: what else there is, is told
        problem = error
    known = {candidate.path for candidate in environment.tried}
    listed = environment.tried + [each for each in everything if each.path not in known]
    if not options.all:
        listed = [each for each in listed if each.verdict == "selected"]
    if options.json:
        told = [candidate.as_dict() for candidate in listed]
        emit(as_json({"schema": SCHEMA, "request": environment.required.text, "candidates": told}))
    elif options.all:
        emit("".join("%-9s %-6s %s\n" % (each.verdict, each.source, one_line(str(each))) for each in listed))
    elif python:
        emit(python.path + "\n")
    if python is None:
        raise problem or no_python(environment)
    return 0


def command_use(options):
    """make an environment this clone's from now on"""
    if not options.name:
        raise PrimeError("use: no environment is named", status=2)
    environment = load_environment(load_config(options.root), options.name)
    write_held(environment)
    generation = boot_environment(environment, options.stage, moves_link=False)
    write_atomic(state_dir(options.root, "use"), (options.name + "\n").encode())
    publish(environment, generation)
    report.note("%s is this clone's environment from now on (python %s)" % (
        environment.name, generation.python.version))
    return 0


def command_reset(options):
    """a new generation from scratch; the old one stays until the new one works"""
    return command_boot(options, is_anew=True)


def command_rollback(options):
    """back to the generation before, until an input changes"""
    environment = open_environment(options)
    current, _ = find_generation(environment)
    sound = [each for each in generations(environment) if not damage_of(each)]
    before = [each for each in sound if current is None or each.created < current.created]
    if not before:
        raise PrimeError("environment %s has no generation before %s" % (
            environment.name, os.path.basename(current.path) if current else "the one that is not built yet"))
    prepare_state(environment.root)
    write_held(environment, before[0])
    generation = boot_environment(environment, "", moves_link=not environment.requested)
    report.note(current_line(environment, generation))
    report.note("prime use %s takes that back; so does any change of what is installed" % environment.name)
    return 0


DIGEST_NAME = "[0-9a-f]{12}"
SCRIPT_DAYS = 30  # after which `clean` removes the environment of a script that was not run


def command_clean(options):
    """remove generations that nothing refers to"""
    config = load_config(options.root)
    names = sorted(set(config.table.get("env", {})) | {"default"})
    environments = [load_environment(config, name) for name in names]
    links = links_of(environments[0])
    prepare_state(options.root)
    with locked(state_dir(options.root, "lock"), "removing generations"):
        kept = set() if options.all else in_need(environments, links)
        spare = [path for path in builds(options.root) if not {path, os.path.realpath(path)} & kept]
        gone = discard(spare)
        for link in links if options.all else ():
            if os.path.islink(link) and os.path.realpath(link) in map(os.path.realpath, gone):
                remove(link)
    for path in gone:
        report.note("removed %s" % tilde(path))
    stays = sorted(set(spare) - set(gone))
    for path in stays:
        report.note("%s stays, for a running process uses it, or may, or it cannot be removed" % tilde(path))
    if options.all:
        forget_stamps(options.root, "")
        for name in names:
            remove_file(stamp_path(options.root, name))
        clear_cache()
    gone += discard_scripts(0 if options.all else SCRIPT_DAYS)
    if not gone and not stays and not options.all:
        report.note("there is nothing to remove")
    return 0


def in_need(environments, links):
    """The directories of generations that a link leads to, or that are current: a set.

    Nothing of the repo's is run for it, such as a python that a generation names which came with the repo (H11).
    """
    current = [find_generation(each, may_run=False)[0] for each in environments]
    return {os.path.realpath(link) for link in links} | {each.path for each in current if each}


# What `clean --all` removes from the user cache: names of our making, of files, and of directories with our mark.
CACHE_FILES = (("answers", "[0-9a-f]{16}"), ("uv", r"uv-\d.*|lock"))
CACHE_TREES = (("pip", r"\d.*-[0-9a-f]{16}|" + ASIDE_NAME), ("shell", DIGEST_NAME), ("uv", ASIDE_NAME))


def clear_cache():
    """Empty the user cache, unless a boot uses it, but for what is locked or a running process uses (H18)."""
    with open_lock(cache_dir("in-use")) as file:
        if not try_lock(file):
            report.note("the cache %s stays, for another prime uses it" % tilde(cache_dir()))
            return
        files = [path for name, pattern in CACHE_FILES for path in paths_named(cache_dir(name), pattern)]
        trees = [path for name, pattern in CACHE_TREES for path in own_entries(cache_dir(name), pattern)]
        locks = [path for path in paths_named(cache_dir("locks"), "[0-9a-f]{16}") if not is_held(path)]
        used = used_by_processes(files)
        for path in files + locks:
            if path not in used and not is_link(path) and os.path.isfile(path):
                remove(path)
        discard(trees)
    report.detail("emptied the user cache %s" % cache_dir())


def discard_scripts(days):
    """Remove the environments of scripts that were not run for some days, and that no process uses."""
    import time

    last = time.time() - days * 24 * 3600
    roots = own_entries(cache_dir("scripts"), DIGEST_NAME)
    roots = [root for root in roots if os.stat(root).st_mtime <= last and not is_held(state_dir(root, "lock"))]
    gone = discard(roots)
    for root in gone:
        report.note("removed %s" % tilde(root))
    return gone


# --------------------------------------------------------------------------------------------------
# Scripts and shells
# --------------------------------------------------------------------------------------------------
# A script with metadata (PEP 723) has an environment of its own, in the user's cache; a shell has the repo's.


def read_stdin():
    """The text of the script on stdin, which is put back for the python that will run it."""
    import tempfile

    if sys.stdin is None:  # E7
        raise PrimeError("stdin is closed, and - means the script on it")
    file = tempfile.TemporaryFile()
    data = sys.stdin.buffer.read()
    file.write(data)
    file.flush()
    os.dup2(file.fileno(), 0)
    os.lseek(0, 0, os.SEEK_SET)
    return data.decode("utf-8-sig", "replace")


SOURCE_FIELDS = ("venv_driver", "uv_version", "uv_sha256", "index_url", "extra_index_urls", "find_links", "no_index")


def script_environment(options, text):
    """The `Environment` of a script that says what it needs (PEP 723), in the user cache; None if it does not.

    It is one of a repo of its own, whose config is written from the script's and from where wheels come from here.
    """
    blocks, is_open = metadata_blocks(text)
    if len(blocks) > 1:
        raise PrimeError("the script has more than one block of metadata (PEP 723)", status=2)
    if not blocks and is_open:
        raise PrimeError("the script's metadata (PEP 723): \"# /// script\" has no \"# ///\" behind it", status=2,
                         hint="each line between begins with \"# \", or is \"#\"")
    if not blocks:
        return None
    try:
        told = parse_toml(blocks[0])
    except TomlError as error:
        raise PrimeError("the script's metadata (PEP 723): %s" % error, status=2)
    required, dependencies = told.get("requires-python", ""), told.get("dependencies", [])
    for name, kind, value in (("requires-python", "text", required), ("dependencies", "texts", dependencies)):
        if not KINDS[kind][1](value):
            raise PrimeError("%s must be %s, not %s" % (name, KINDS[kind][0], shown_value(value)),
                             "the script's metadata, PEP 723", status=2)
    config = derived_config(open_environment(options), required, dependencies)
    root = cache_dir("scripts", digest(config))
    if os.path.lexists(root) and not is_ours(root):
        raise PrimeError("%s belongs to another user, or others may write to it" % root, hint=CACHE_HINT)
    make_own(root)
    if bytes_of(os.path.join(root, OWN_CONFIG)) != config.encode():
        write_atomic(os.path.join(root, OWN_CONFIG), config.encode())
    os.utime(root)  # for `clean`
    return load_environment(load_config(root))


def metadata_blocks(text):
    """The TOML of each block of metadata in a script (PEP 723), a list of str; and whether one has no end.

    A block ends with the last "# ///" of the comment lines that follow its begin.
    """
    blocks, is_open = [], False
    lines = [line[:-1] if line.endswith("\r") else line for line in text.split("\n")]
    place = 0
    while place < len(lines):
        if lines[place].rstrip(" \t") != "# /// script":
            place += 1
            continue
        begin = place = place + 1
        end = -1
        while place < len(lines) and (lines[place] == "#" or lines[place].startswith("# ")):
            end = place if lines[place].rstrip(" \t") == "# ///" else end
            place += 1
        is_open = is_open or end < 0
        if end >= 0:
            blocks.append("".join(line[2:] + "\n" for line in lines[begin:end]))
            place = end + 1
    return blocks, is_open


def derived_config(environment, required, dependencies=()):
    """The text of a config for a repo of our making, whose packages come from where those of `environment` do."""
    import json

    fields = {name: environment[name] for name in SOURCE_FIELDS if environment.origins[name] != "default"}
    fields["find_links"] = [each if "://" in each else environment.path(each) for each in environment["find_links"]]
    fields.update(required_python_version=required, dependencies=dependencies)
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in fields.items()}  # TOML has no surrogates
    return "".join("%s = %s\n" % (name, texts[name].replace("\x7f", "\\u007f")) for name in sorted(texts))


def command_shell(options):
    """become your shell, with the environment active"""
    environment = open_environment(options)
    prefix = prefix_of(environment, options, boots=True)
    shell = os.environ.get("COMSPEC", "cmd.exe") if WINDOWS else os.environ.get("SHELL") or "/bin/sh"
    name = os.path.basename(environment.root) + ("" if environment.name == "default" else "-" + environment.name)
    environ = dict(activated(prefix, environment["env_vars"]), VIRTUAL_ENV_PROMPT=name)
    program = find_program(shell, environ["PATH"])
    if not program:
        raise PrimeError("there is no shell %s" % shell, hint="set SHELL", status=127)
    try:
        words, more = shell_start(os.path.basename(program), prefix, name, environ)
    except OSError as problem:  # its prompt is a courtesy
        report.note("the shell is not told of the environment: %s" % problem)
        words, more = [], {}
    if os.path.isfile(program) and os.access(program, os.X_OK):
        report.note("%s, in environment %s; exit leaves it" % (program, environment.name))
    try:
        replace_process([program] + words, dict(environ, **more))
    except OSError as problem:
        raise cannot_run(program, problem, "SHELL names it")


def shell_start(kind, prefix, name, environ):
    """How a shell of this kind starts with the environment's programs first and its name in the prompt.

    Returns (list of str: its arguments, dict: more variables). The user's own files are read first, for they
    may set PATH and prompt; what cannot be told to a shell is left as it is.
    """
    import shlex

    place = cache_dir("shell", digest([prefix, name, environ.get("ENV"), environ.get("ZDOTDIR")]))
    label = "(%s) " % "".join(char for char in name if char.isalnum() or char in " ._-")
    make_own(place)
    if not is_ours(place):  # the shell would run what others put there
        raise PermissionError(13, "belongs to another user, or others may write to it", place)
    start = "PATH=%s:$PATH\n" % shlex.quote(os.path.join(prefix, BIN)) + "PS1=%s\"$PS1\"\n" % shlex.quote(label)

    def before(variable):  # as it was, for the user's own files and for shells in this one
        told = environ.get(variable)
        return "%s=%s\n" % (variable, shlex.quote(told)) if told else "unset %s\n" % variable

    def write(file, text):
        write_atomic(os.path.join(place, file), text.encode("utf-8", "surrogateescape"))
        return os.path.join(place, file)

    if kind == "bash":
        return ["--rcfile", write("bashrc", "[ -f ~/.bashrc ] && . ~/.bashrc\n" + start)], {}
    if kind == "zsh":
        own = '[ -f "${ZDOTDIR:-$HOME}/%s" ] && . "${ZDOTDIR:-$HOME}/%s"\n'
        write(".zshenv", before("ZDOTDIR") + own % (".zshenv", ".zshenv") +
              "_prime_own=${ZDOTDIR-}\nZDOTDIR=%s\n" % shlex.quote(place))
        history = '[ "${HISTFILE-}" != %s ] || HISTFILE=${ZDOTDIR:-$HOME}/.zsh_history\n'  # as macOS sets it in /etc
        write(".zshrc", 'ZDOTDIR=$_prime_own\n[ -n "$ZDOTDIR" ] || unset ZDOTDIR\nunset _prime_own\n' +
              history % shlex.quote(os.path.join(place, ".zsh_history")) +
              own % (".zshrc", ".zshrc") + start)
        return [], {"ZDOTDIR": place}
    if kind == "fish":
        command = "set -gx PATH %s $PATH; functions -c fish_prompt _prime_prompt; function fish_prompt; " \
                  "printf %%s %s; _prime_prompt; end" % (shlex.quote(os.path.join(prefix, BIN)), shlex.quote(label))
        return ["--init-command", command], {}
    if kind in ("sh", "dash", "ash", "ksh", "busybox"):
        own = 'eval "[ ! -f \\"$ENV\\" ] || . \\"$ENV\\""\n' if environ.get("ENV") else ""  # which may hold a $HOME
        return [], {"ENV": write("rc", before("ENV") + own + start)}
    return [], {}


# --------------------------------------------------------------------------------------------------
# Lock and vendor
# --------------------------------------------------------------------------------------------------
# `lock` writes a pylock.toml for every platform; `vendor` gathers all that a boot without network needs.


def tools_of(environment):
    """A uv, which resolves for either driver, and the `Interpreter` of an environment, whatever was locked before."""
    environment.locked = []
    python = kept_python(environment) or probe_for(environment)
    if python is None:
        raise no_python(environment)
    return driver_of(environment, "venv_uv"), python


def resolve(environment, driver, python, target):
    """Resolve what an environment requires into the file `target`, for each python that it may have."""
    options = index_options(environment)
    clauses = [clause for request in environment.wanted() for clause in request.clauses]
    floor = [clause for clause in clauses if clause.operator in ("~=", ">=", "==")]
    if environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    words, lines = install_requirements(environment), []
    words.reverse()
    while words:  # an option and its value are a line
        word = words.pop()
        lines.append(word + " " + words.pop() if word in ("-e", "-r") else word)
    numbers = max(floor, key=lambda clause: clause.version.key).version.release[:3] if floor else ()
    driver.resolve(lines, target, python, options, environment.root, ".".join(map(str, numbers)))


def command_lock(options):
    """write pylock.toml (PEP 751): what is required, resolved for every platform, with hashes"""
    environment = open_environment(options, may_lack_lock=True)
    driver, python = tools_of(environment)
    is_main = environment.name == environment.config.table.get("default_env", "default")
    name = "pylock.toml" if is_main else "pylock.%s.toml" % environment.name
    if environment.origins["lock_file"] != "default" and environment["lock_file"].endswith(".toml"):
        name = environment["lock_file"]
    target = environment.path(name)
    for end in (".toml", ".toml.in"):
        remove_leftovers(os.path.dirname(target), "pylock.aside-", end)
    aside = os.path.join(os.path.dirname(target), "pylock.aside-%s.toml" % random_name())
    try:
        if environment["lock_file"].endswith("uv.lock") and not beside_projects(environment):
            argv = [driver.uv, "lock", "--python", python.path] + (["--upgrade"] if options.upgrade else [])
            run_tool(argv, "renewing uv.lock with uv", uv_environ(environment.root), environment.root)
            driver.export(environment, aside)
        else:
            if os.path.exists(target) and not options.upgrade and is_toml(target):
                write_atomic(aside, load_text(target).encode())
            resolve(environment, driver, python, aside)
        text, count = lock_text(environment, load_text(aside))
    finally:
        remove(aside)
    write_atomic(target, text.encode())
    report.note("%s names %d package%s; commit it" % (name, count, "" if count == 1 else "s"))
    return 0


def is_toml(path):
    """Whether a file is one, which a lock after an unfinished merge is not."""
    try:
        return bool(parse_toml(load_text(path)))
    except (PrimeError, TomlError):
        return False


def lock_text(environment, text):
    """The text of a pylock.toml less the projects of the repo, with what it was made for; and its packages' number."""
    head, *blocks = text.split("[[packages]]\n")
    paths = [project["path"] for project in environment["projects"]]
    kept = []
    for block in blocks:
        tree = parse_toml("[[packages]]\n" + block)["packages"][0].get("directory", {})
        if environment.path(tree.get("path", os.sep)) not in paths:
            kept.append("[[packages]]\n" + block)
    if environment["platforms"] and "\nenvironments" not in head:
        markers = ["    %s,\n" % as_json(PLATFORMS[each][0]).strip() for each in environment["platforms"]]
        head = head.rstrip("\n") + "\nenvironments = [\n%s]\n\n" % "".join(markers)
    if not kept and "\npackages" not in head:  # PEP 751 requires it
        head = head.rstrip("\n") + "\npackages = []\n"
    told = '[tool.proto-prime]\ninputs = "%s"\n' % lock_inputs(environment)
    return "# Made by `prime lock`.\n%s\n\n%s" % ((head + "".join(kept)).rstrip("\n"), told), len(kept)


def command_vendor(options):
    """all that a boot without network needs, put into a directory"""
    environment = open_environment(options)
    root, target = environment.root, os.path.abspath(options.directory or vendor_dir(environment.root))
    if target == vendor_dir(root) and is_discovered(root):
        raise PrimeError("vendor: setuptools would take vendor/ for a package of the project",
                         hint='prime vendor .vendor, then find_links = [".vendor"] in the config')
    check_target(root, target)
    read_manifest(target)
    platforms = environment["platforms"] or [this_platform()]
    driver, python = tools_of(environment)
    lock = environment["lock_file"]
    prepare_state(root)
    with aside_directory(state_dir(root)) as aside:
        locks = [environment.path(lock) if lock.endswith(".toml") else os.path.join(aside, "pylock.toml")]
        if lock.endswith("uv.lock"):
            driver.export(environment, locks[0])
        elif not lock:
            resolve(environment, driver, python, locks[0])
        needed = build_requirements(environment, driver, python, aside)
        for name, lines, oldest in (("uv", ["uv==%s" % uv_version(driver.uv)], "%d.%d" % OLDEST_UV_PYTHON),
                                    ("tools", needed, python.version)):
            locks.append(os.path.join(aside, "pylock.%s.toml" % name))
            driver.resolve(lines, locks[-1], python, index_options(environment), root, oldest)
        files = {}  # type: dict
        locked = read_lock(environment, locks[0])
        for path in locks:
            files.update(files_for(read_lock(environment, path), platforms, python.version))
    indexes = [environment["index_url"], *environment["extra_index_urls"], *users_indexes()]
    committed = {sha256 for _, sha256, _ in files_for(locked, platforms, python.version).values()} if lock else set()
    files = {name: (with_user(entry[0], indexes),) + entry[1:] for name, entry in files.items()}
    vendor_files(files, target, committed - {""})
    if options.python:
        check_target(root, os.path.join(target, "python"))
        vendor_pythons(environment, driver, python.version, platforms, os.path.join(target, "python"))
    hint = "prime --offline uses it" if target == vendor_dir(root) else \
        'find_links = ["%s"] with no_index = true uses it' % os.path.relpath(target, root)
    report.note("%s holds %d files for %s; %s" % (tilde(target), len(files), ", ".join(platforms), hint))
    return 0


def vendor_pythons(environment, driver, version, platforms, target):
    """Let uv put a python of this version, or the newest of its minor if that will do, into a directory."""
    minor, required = ".".join(version.split(".")[:2]), environment.required
    will_do = not required.path and required.failing(Version(minor + ".99")) is None
    for platform in platforms:
        wanted = "cpython-%s-%s" % (minor if will_do else version, PLATFORMS[platform][2])
        environ = dict(uv_environ(), UV_PYTHON_INSTALL_DIR=target)
        run_tool([driver.uv, "python", "install", wanted], "fetching python %s" % wanted, environ)


# Asks a build backend what it wants besides what pyproject.toml says: PEP 517, PEP 660.
BACKEND_ASKS = """
import importlib, sys
answer, backend, *places = sys.argv[1:]
sys.path[:0] = places
module, _, name = backend.partition(":")
found = importlib.import_module(module)
for part in filter(None, name.split(".")):
    found = getattr(found, part)
wanted = []
for kind in "wheel", "editable":
    wanted += getattr(found, "get_requires_for_build_" + kind, list)()
with open(answer, "w", encoding="utf-8") as file:
    file.write("\\n".join(wanted))
"""


def build_requirements(environment, driver, python, aside):
    """What a boot needs besides uv and what it installs: build backends, and a pip for the oldest pythons."""
    lines, answer, directory = [], os.path.join(aside, "answer"), os.path.join(aside, "backend")  # type: list, str, str
    own = [project["path"] for project in environment["projects"]]
    for place in places_built(environment):
        system = table_in(environment.config.project(place), PYPROJECT, "build-system")
        requires, file = system.get("requires", ["setuptools", "wheel"]), os.path.join(place, PYPROJECT)
        backend, paths = system.get("build-backend", "setuptools.build_meta:__legacy__"), system.get("backend-path", [])
        for field, value in (("requires", requires), ("backend-path", paths), ("build-backend", [backend])):
            if not is_texts(value):
                raise PrimeError("build-system.%s: %s is not as PEP 517 says" % (field, shown_value(value)), file,
                                 status=2)
            for text in value:
                check_text(text, "build-system." + field, file, is_requirement=field == "requires")
        argv = [environment_python(directory), "-I", "-c", BACKEND_ASKS, answer, backend]
        argv += [os.path.join(place, path) for path in paths]
        try:
            remove(directory)
            driver.create(python, directory, "backend")
            driver.install(requires, directory, index_options(environment), place)
            run_tool(argv, "asking the build backend of %s" % place, cwd=place)
            lines += requires + [check_text(line, "what its build backend requires", file, is_requirement=True)
                                 for line in load_text(answer).splitlines()]
        except PrimeError as problem:
            if place in own:
                raise
            report.note("not vendored: what builds %s, which maybe nothing does: %s" % (place, problem))
    wheel = bundled_wheel(python)
    is_old = wheel and Version(pip_version(wheel)).release < OLDEST_PIP
    return lines + ([NEWER_PIP] if is_old else [])


def places_built(environment):
    """The directories of the projects that an environment installs, named by itself or by another: a list."""
    places = {os.path.dirname(path) for path in input_files(environment) if os.path.basename(path) == "setup.py"}
    return sorted(place for place in places if is_installable(environment.config.project(place), place))


def files_for(lock, platforms, version):
    """The files of a `Lock` for some platforms: its wheels, and where none fits, its sources. As `Lock.files`."""
    chosen = {}  # type: dict
    for package in lock.packages:
        names = [lock.file_of(each) for each in package.get("wheels", [])]
        names = [name for name in names if fits(name, platforms, version)]
        names = names or [lock.file_of(each) for each in (package.get("sdist"), package.get("archive")) if each]
        chosen.update((name, lock.files[name]) for name in names)
    return chosen


def vendor_files(files, target, committed=()):
    """Download files into a directory, each verified, and remove those of an earlier time that are not needed.

    committed  set of str, the SHA-256 that a lock of the repo gives: they do not come from the server of the files (H7)
    What the manifest does not name is not ours: it is neither overwritten nor removed (H3). The manifest names
    what may be there before that is written, so that what a killed one leaves is known to the next.
    """
    before = read_manifest(target)
    for name, (_, sha256, _) in files.items():
        check_vendored(target, name, sha256, is_ours=name in before)
    write_manifest(target, before | set(files))
    for name, (url, sha256, size) in sorted(files.items()):
        path = os.path.join(target, name)
        if not sha256 or hash_file(path) != sha256.lower():
            report.step("fetching %s" % name)
            download(url, path, sha256, size, "hash" if sha256 in committed else "loopback")
            report.done()
    needed = {name.lower() for name in files}  # one file under both spellings, on some file systems
    for name in before:
        if name.lower() not in needed:
            remove(os.path.join(target, name))
    write_manifest(target, files)


def check_target(root, target):
    """PrimeError if a directory for files of ours is a link, or is below one in the repo (H3)."""
    inside = target.startswith(root + os.sep)
    for path in ancestors(target):
        if is_link(path):
            raise PrimeError("vendor: %s is a link: nothing is written through it" % path,
                             hint="remove it, or name another directory")
        if not inside or path == root:
            break
        inside = path != root
    if os.path.lexists(target) and not os.path.isdir(target):
        raise PrimeError("vendor: %s is no directory" % target, hint="remove it, or name another directory")


def check_vendored(target, name, sha256, is_ours):
    """PrimeError if at the name of a file that is to be vendored something stands that is not ours (H3)."""
    path = os.path.join(target, file_name(name, "what is to be vendored"))
    if name.lower() == MANIFEST:
        raise PrimeError("vendor: %s would take the place of the manifest" % name)
    if not os.path.lexists(path):
        return
    if is_link(path) or not os.path.isfile(path):
        raise PrimeError("vendor: %s is no regular file" % path, hint="remove it")
    if not is_ours and (not sha256 or hash_file(path) != sha256.lower()):
        raise PrimeError("vendor: %s is there already, and %s does not name it" % (path, MANIFEST), hint="rename it")


def read_manifest(target):
    """The names of the files that `prime vendor` put into a directory, a set; PrimeError if it is no manifest (H3)."""
    import json

    path = os.path.join(target, MANIFEST)
    if not os.path.lexists(path):
        return set()
    if is_link(path):
        raise PrimeError("%s is a link" % path, hint="remove it")
    try:
        told = json.loads(load_text(path))
        names = told["files"]
    except PrimeError as problem:
        raise PrimeError(str(problem), hint="remove it, and vendor once more")
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise PrimeError("%s is no manifest: %s" % (path, problem), hint="remove it, and vendor once more")
    if not isinstance(names, list):
        raise PrimeError("%s is no manifest: files is no list" % path, hint="remove it, and vendor once more")
    for name in names:
        place = os.path.join(target, file_name(name, path))
        if name.lower() == MANIFEST or is_link(place) or os.path.lexists(place) and not os.path.isfile(place):
            raise PrimeError("%s names %s, which is no regular file" % (path, shown_value(name)),
                             hint="nothing was removed; look who wrote it")
    return set(names)


def write_manifest(target, names):
    """Keep the names of the files that `prime vendor` puts into a directory."""
    path = os.path.join(target, MANIFEST)
    write_atomic(path, as_json({"schema": SCHEMA, "files": sorted(names)}).encode())


# --------------------------------------------------------------------------------------------------
# Init and update
# --------------------------------------------------------------------------------------------------
# `init` puts this file and its entry script into a repo; `update` replaces the file by another version.

ENTRY_SCRIPT = '''\
#!/usr/bin/env python3
""":"
place=$(dirname "$0"); [ -f "$place/proto_prime.py" ] || place=$(dirname "$(readlink -f "$0")")
exec sh "$place/proto_prime.py" "$@" # sh prime: where maybe no python is

Prime this repo: ./prime --help tells more. Starts under any python from 2.7 on."""
import os
import sys

if sys.version_info < (3, 6):
    import subprocess

    check = "import sys; sys.exit(sys.version_info < (3, 6))"
    with open(os.devnull, "w") as null:
        for name in ["python3"] + ["python3.%d" % minor for minor in range(15, 5, -1)]:
            try:
                if subprocess.call([name, "-c", check], stdout=null, stderr=null) == 0:
                    os.execvp(name, [name] + sys.argv)
            except OSError:
                pass
    sys.exit("prime: error: this is python %d.%d, and no python3 of at least 3.6 is on PATH" % sys.version_info[:2])

try:
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    import proto_prime
except (ImportError, OSError) as problem:
    sys.exit("prime: error: proto_prime.py should stand beside %s: %s" % (__file__, problem))
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    proto_prime.leave(proto_prime.main())
'''
ENTRY_CMD = '''\
@echo off
rem Prime this repo: `prime --help` tells more.
where py >nul 2>nul
if errorlevel 1 goto python
py -3 "%~dp0prime" %*
exit /b %errorlevel%
:python
python "%~dp0prime" %*
exit /b %errorlevel%
'''
IGNORED = (".prime/", ".venv", "__pycache__/")  # a link is no directory to git: no slash behind .venv


def command_init(options):
    """put this file, an entry script and what they need into a repo"""
    root = os.path.abspath(options.directory or os.curdir)
    os.makedirs(root, exist_ok=True)
    place, reason = home_of(root)
    files = [(os.path.join(place, "prime"), ENTRY_SCRIPT),
             (os.path.join(place, "prime.cmd"), ENTRY_CMD.replace("\n", "\r\n"))]
    if not os.path.exists(os.path.join(root, PYPROJECT)):  # which says by itself what is needed
        files.append((os.path.join(root, OWN_CONFIG), starter_config(root)))
    for path in [os.path.join(place, "proto_prime.py")] + [path for path, _ in files]:
        if not os.path.exists(path):  # else it is left as it is
            check_init_target(root, path)
    if missing_in_gitignore(root):
        check_init_target(root, os.path.join(root, ".gitignore"))
    made = [copy_of_this(options, os.path.join(place, "proto_prime.py"))]
    for path, text in files:
        if os.path.lexists(path):
            report.detail("left as it is: %s" % path)
            continue
        write_atomic(path, text.encode())
        os.chmod(path, 0o755 if text is ENTRY_SCRIPT else 0o644)
        made.append(path)
    made = [os.path.relpath(path, root) for path in made + [add_ignored(root)] if path]
    if not made:
        report.note("all is there already")
        return 0
    if reason:
        report.note("the entry script stands in tools/: %s" % reason)
    report.note("commit %s" % shown(made))
    report.note("then run %s" % shown([os.path.join(".", os.path.relpath(os.path.join(place, "prime"), root))]))
    return 0


def check_init_target(root, path):
    """PrimeError if what `init` writes to `path` would come to stand elsewhere, behind a link (H5)."""
    leads_to = os.path.realpath(path)
    if is_link(path) or not leads_to.startswith(os.path.join(os.path.realpath(root), "")):
        raise PrimeError("init: %s leads to %s, and is not written through" % (path, leads_to), hint="remove the link")


def copy_of_this(options, path):
    """Put this file, or what --from names, to `path`. Returns `path`; "" if there is one already."""
    if os.path.lexists(path):
        report.detail("left as it is: %s" % path)
        return ""
    if options.source:
        aside = temporary_path(path)
        try:
            fetch_other(options, path, aside)
            os.replace(aside, path)
        finally:
            remove(aside)
    elif own_file():
        with open(own_file(), "rb") as file:
            write_atomic(path, file.read())
    else:
        raise PrimeError("init: this came through a pipe, so that there is no file to copy",
                         hint="add --from URL, or save it as a file first")
    os.chmod(path, 0o755)
    return path


def starter_config(root):
    """The text of a first proto_prime.toml for a repo without pyproject.toml."""
    def has(name):
        return os.path.isfile(os.path.join(root, name))

    lines = ["# What ./prime makes for this repo. The README of proto_prime tells every field."]
    lines += ["# The python that is required stands in .python-version."] if has(".python-version") else \
        ['# required_python_version = ">=3.9"']
    lines += ['requirements_files = ["requirements.txt"]'] if has("requirements.txt") else ["dependencies = []"]
    return "".join(line + "\n" for line in lines)


def missing_in_gitignore(root):
    """Those of `IGNORED` that a repo's .gitignore lacks: a list of str."""
    path = os.path.join(root, ".gitignore")
    text = load_text(path) if os.path.isfile(path) else ""
    known = {line.strip().lstrip("/") for line in text.splitlines()}
    return [each for each in IGNORED if not {each, each.rstrip("/")} & known]


def add_ignored(root):
    """Let git ignore what is made here. Returns the path of .gitignore; "" if it knows already."""
    path, missing = os.path.join(root, ".gitignore"), missing_in_gitignore(root)
    if not missing:
        return ""
    text = load_text(path) if os.path.isfile(path) else ""
    gap = "" if text[-1:] in ("", "\n") else "\n"
    write_atomic(path, (text + gap + "".join(each + "\n" for each in missing)).encode())
    return path


def home_of(root):
    """Where in a repo the file and the entry script go: its top, or tools/ with the reason why."""
    tools, prime, file = (os.path.join(root, name) for name in ("tools", "prime", "proto_prime.py"))
    if os.path.lexists(prime) and not is_entry_script(prime):
        reason = "%s is something else" % prime
    elif os.path.isfile(os.path.join(tools, "proto_prime.py")):
        return tools, ""
    elif os.path.lexists(file) and not is_this_file(file):
        reason = "%s is something else" % file
    elif os.path.lexists(prime) and os.path.isfile(file):
        return root, ""
    elif is_flat(root):
        reason = "setuptools would take proto_prime.py for a module of the project"
    else:
        return root, ""
    prime = os.path.join(tools, "prime")
    if os.path.lexists(prime) and not is_entry_script(prime):
        raise PrimeError("init: %s is there already, and not this file's" % prime, tried=[reason], hint="rename it")
    return tools, reason


def is_entry_script(path):
    """Whether a file starts ours, edited or not."""
    return has_bytes(path, b"proto_prime")


def is_this_file(path):
    """Whether a file is another version of this one, by its text."""
    return has_bytes(path, b"\ndef command_update(")


# Directories that setuptools takes for no package in a flat layout.
NO_PACKAGES = """ci bin doc docs documentation manpages news changelog test tests unit_test
unit_tests example examples scripts tools util utils python build benchmark benchmarks exercise exercises
htmlcov dist venv env requirements tasks fabfile site_scons""".split()


def is_discovered(root):
    """Whether setuptools looks for the packages and modules of a project by itself, at its top ("flat layout")."""
    path = os.path.join(root, PYPROJECT)
    document = load_config(root).pyproject if os.path.isfile(path) else {}
    told = table_in(document, PYPROJECT, "tool", "setuptools")
    backend = table_in(document, PYPROJECT, "build-system").get("build-backend", "setuptools")
    is_set = "py-modules" in told or "packages" in told or os.path.isdir(os.path.join(root, "src"))
    return "project" in document and str(backend).startswith("setuptools") and not is_set


def is_flat(root):
    """Whether setuptools would find proto_prime.py at the top of a project: where it finds no package."""
    packages = [name for name in os.listdir(root) if os.path.isfile(os.path.join(root, name, "__init__.py"))
                and name not in NO_PACKAGES]
    return is_discovered(root) and not packages


def command_update(options):
    """replace this file by another version, verified, or leave it untouched"""
    import difflib
    import stat

    path = own_file()
    if not path:
        raise PrimeError("update: there is no file to replace, for this came through a pipe")
    if is_installed():
        raise PrimeError("update: %s was installed as a package" % path, hint="let its installer update it")
    aside = temporary_path(path)
    try:
        version = fetch_other(options, path, aside)
        if not version or hash_file(aside) == hash_file(path):
            report.note("%s is that version already (%s)" % (path, __version__))
            return 0
        before, now = (load_text(each).splitlines() for each in (path, aside))
        lines = [line[:1] for line in difflib.unified_diff(before, now, n=0)][2:]
        os.chmod(aside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(aside, path)
    finally:
        remove(aside)
    report.note("%s: %s -> %s (lines: +%d -%d)" % (path, __version__, version, lines.count("+"), lines.count("-")))
    return 0


def fetch_other(options, path, aside):
    """Fetch another version of this file, from --from or from the index, to `aside`; it is to take the place of `path`.

    Returns what version it says it is, once it proved to be one; "" if there is none newer in the index.
    """
    source, trust = options.source, "hash" if options.sha256 else "https"
    if source:
        url = source if "://" in source else file_url(os.path.abspath(source))
        download(url, aside, options.sha256, trust=trust)
    else:
        source = fetch_release(options, aside)
        if not source:
            return ""
    argv = [running_python(), "-I", "-B", aside, "--version"]
    child = run_child(argv, timeout=UV_SECONDS) if is_this_file(aside) else Child(1)  # else it is not even run
    words = child.stdout.decode("utf-8", "replace").split()
    if child.has_failed or words[:1] != ["proto_prime"]:
        raise PrimeError("%s is no proto_prime.py" % shown([source]), tried=child.tail(3),
                         hint="%s is left as it is" % path if os.path.exists(path) else "")
    return words[1]


def fetch_release(options, target):
    """Fetch this file as the index has it: `options.release`, or the newest unless it is older than this one.

    Returns the URL of the wheel that it was taken from; "" if there is nothing newer.
    """
    import io

    environment = open_environment(options)
    index = "" if is_closed(environment) else chosen_index(environment["index_url"])
    if not index:
        raise PrimeError("no index may be asked for another version", hint="prime update --from FILE")
    trust = "hash" if options.sha256 else "https"  # H7
    links = [(wheel_version(link[0], "proto_prime"),) + link[1:]
             for link in index_links(index, "proto-prime", trust) if link[0].endswith("-py3-none-any.whl")]
    links = [each for each in links if each[0]]  # odd names are passed over (H16)
    wanted = Version(options.release) if options.release else None
    links = [each for each in links if each[0].key == wanted.key] if wanted else \
        [each for each in links if not each[0].is_prerelease and each[0].key >= Version(__version__).key]
    if not links and wanted:
        raise PrimeError("there is no version %s of proto-prime in %s" % (options.release, masked(index)))
    if not links:
        return ""
    _, url, sha256, size = max(links, key=lambda each: each[0].key)
    wheel, place = fetch(url, trust=trust_in(index, trust), cap=size or PAGE_CAP)
    check_hash(wheel, sha256, place)
    data = file_in_wheel(io.BytesIO(wheel), "proto_prime.py", "%s is no wheel of proto-prime" % masked(place))
    check_hash(data, options.sha256, place)
    write_atomic(target, data)
    return place


# --------------------------------------------------------------------------------------------------
# Workflow server
# --------------------------------------------------------------------------------------------------
# The Workflow Server Protocol: JSON-RPC 2.0 on stdin and stdout, framed as in LSP. Each request that may take time has
# a thread of its own; builds and the client's commands run in guarded children.

PROTOCOL = "0.1.0"
MESSAGE_CAP = 1 << 28  # bytes; a frame that announces a longer body is broken
HEAD_CAP = 1 << 14  # bytes in which a header must have ended
PATIENCE = 5  # seconds that unfinished requests get when stdin ends
PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
NOT_INITIALIZED, NO_ENVIRONMENT, NAME_TAKEN, NO_PYTHON, WORK_FAILED = -32002, -31001, -31002, -31003, -31004


class RpcError(Exception):
    """A request failed: the code and message of the error that is sent, and its data, a JSON value or None."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code, self.data = code, data

    def outcome(self):
        """The part of a response that reports this error, as a dict."""
        error = {"code": self.code, "message": masked(str(self))[:500]}
        if self.data is not None:
            error["data"] = self.data
        return {"error": error}


def work_failed(message, log=None):
    """The RpcError for work that failed; `log` is the path of its log, if it wrote one."""
    return RpcError(WORK_FAILED, message, {"log": log})


def read_messages(chunks):
    """Yield the body of each frame in an iterable of bytes. A chunk may end anywhere in a frame."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        body = take_body(buffer)
        while body is not None:
            yield body
            body = take_body(buffer)


def take_body(buffer):
    """Take the first complete frame off the front of a bytearray. Returns its body, or None if more bytes must come.

    A broken frame is reported on stderr and skipped up to the next header.
    """
    import re

    while True:
        head = re.search(b"\r?\n\r?\n", buffer[:HEAD_CAP])
        if not head and len(buffer) < HEAD_CAP:
            return None
        length = content_length(bytes(buffer[: head.start()])) if head else None
        if head and length is not None and length >= 0:
            end = head.end() + length
            if len(buffer) < end:
                return None
            body = bytes(buffer[head.end(): end])
            del buffer[:end]
            return body
        report.note("a broken frame is skipped: %.60r" % bytes(buffer[:60]))
        del buffer[: broken_size(buffer, head, length)]


def broken_size(buffer, head, length):
    """How many bytes to skip at the front of a buffer because no frame begins there.

    head    the match of the blank line that ends the header; None if there is none within `HEAD_CAP`
    length  what `content_length` says of that header
    """
    skipped = bytes(buffer[: head.end() if head else HEAD_CAP]).lower()
    if length is None:  # noise: a header may begin in it
        start = skipped.find(b"content-length", 1)
        if start > 0:
            return start
    return len(skipped) if head else HEAD_CAP - len("content-lengt")  # the next header may have begun


FIELD_START = b"[-!#$%&'*+.^_`|~0-9A-Za-z]+:"  # of a line of a header


def content_length(head):
    """The Content-Length in a frame's header: -1 if it is no sound number, None if `head` is no header or has none."""
    import re

    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    if not all(re.match(FIELD_START, line) for line in lines):
        return None
    values = [line.partition(b":")[2].strip(b" \t") for line in lines if line.lower().startswith(b"content-length:")]
    if not values:
        return None
    is_number = len(values) == 1 and values[0].isdigit() and len(values[0]) < 12
    return int(values[0]) if is_number and int(values[0]) <= MESSAGE_CAP else -1


def parse_message(body):
    """The JSON value in a message's bytes; RpcError if they are not JSON."""
    import json

    def refuse(name):
        raise ValueError("%s is not JSON" % name)

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as problem:
        raise RpcError(PARSE_ERROR, "no JSON: %s" % problem)


def is_clean(text):
    """True if the system can pass `text` to a program: a string that can be encoded and has no NUL."""
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeError:
        return False


def is_text(most):
    """A check: the value is a string of 1 to `most` characters."""
    return lambda value: isinstance(value, str) and 1 <= len(value) <= most


def is_dotted(value):
    """True for a version X.Y or X.Y.Z."""
    import re

    return isinstance(value, str) and bool(re.match(r"[0-9]{1,3}(\.[0-9]{1,3}){1,2}\Z", value))


def is_argv(value):
    """True for a list of words that can be run."""
    return isinstance(value, list) and bool(value) and all(word and is_clean(word) for word in value)


def is_env(value):
    """True for null or an object that can be a program's environment."""
    return value is None or isinstance(value, dict) and all(
        name and "=" not in name and is_clean(name) and is_clean(text) for name, text in value.items())


ID = "a string of 1 to 128 characters", is_text(128)
# Each method's parameters: the words for what is right, and the check. Those in `OPTIONAL` may be absent.
METHODS = {
    "initialize": {
        "client_name": ("a string of 1 to 255 characters", is_text(255)),
        "client_protocol_version": ("a string of 1 to 64 characters", is_text(64))},
    "shutdown": {},
    "exit": {},
    "environment/list": {},
    "environment/get": {"id": ID},
    "environment/create": {
        "name": ("a string of 1 to 64 characters", is_text(64)),
        "python_version": ("X.Y or X.Y.Z", is_dotted)},
    "environment/delete": {"id": ID},
    "environment/execute": {
        "id": ID,
        "argv": ("a list of non-empty strings", is_argv),
        "cwd": ("an absolute path, or null", lambda value: value is None or is_clean(value) and os.path.isabs(value)),
        "env": ("an object of strings, or null", is_env)},
}  # type: dict
OPTIONAL = ("cwd", "env")


def check_params(method, params):
    """The parameters of a call as a dict; RpcError unless they are what the method takes."""
    checks = METHODS[method]
    if not isinstance(params, dict):
        if params or checks:
            raise RpcError(INVALID_PARAMS, "%s takes an object" % method,
                           [{"field": "params", "message": "is no object"}])
        params = {}
    wrong = [(name, "is missing") for name in checks if name not in params and name not in OPTIONAL]
    wrong += [(name, "is not " + words) for name, (words, is_right) in checks.items()
              if name in params and not is_right(params[name])]
    if not checks:
        wrong = [(name, "is not known") for name in params]
    if wrong:
        raise RpcError(INVALID_PARAMS, "%s: %s" % (method, "; ".join("%s %s" % pair for pair in wrong)),
                       [{"field": name, "message": message} for name, message in wrong])
    return {name: params[name] for name in checks if name in params}


class Server:
    """Answers the messages of one client.

    state     "new" until `initialize`, then "ready", "over" after `shutdown`
    status    int, the exit status
    workers   set of the threads that answer a request now
    creating  set of the names of the environments that `environment/create` makes now
    """

    def __init__(self, root):
        import queue
        import threading

        self.root, self.state = root, "new"
        self.status, self.is_ended = 0, False
        self.workers, self.creating = set(), set()  # type: set, set
        self.naming, self.outbox = threading.Lock(), queue.Queue()  # type: ignore[var-annotated]
        self.writer = threading.Thread(target=self.write, daemon=True)  # no signal comes between the bytes of a frame
        report.log = open(os.devnull, "wb")  # without a log the reporter keeps all lines for the next build's log
        self.stdout = os.dup(1)  # for frames alone: whatever else prints to stdout goes to stderr
        for pipe in () if WINDOWS else (0, 1):  # the client may have made its pipes non-blocking
            os.set_blocking(pipe, True)
        os.dup2(2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY), 1)

    def serve(self):
        """Answer messages until the client ends the session. Returns the exit status."""
        import signal

        stop = None
        if not WINDOWS:
            self.woken, waker = os.pipe()
            os.set_blocking(waker, False)
            signal.set_wakeup_fd(waker)
        self.writer.start()
        try:
            for body in read_messages(iter(self.read, b"")):
                self.answer_message(body)
                if self.is_ended:
                    break
        except Interrupted as problem:
            stop = problem
        self.finish(0 if self.is_ended else PATIENCE)
        if stop and stop.signum != signal.SIGTERM:
            raise stop
        return self.status

    def read(self):
        """The next bytes on stdin; b"" at its end."""
        import select

        if not WINDOWS:  # python would notice a signal just before the read only after it
            select.select([0, self.woken], [], [])
        return os.read(0, 1 << 16)

    def finish(self, patience):
        """Give the workers some seconds, then end their children."""
        import time

        deadline = time.monotonic() + patience
        for worker in list(self.workers):
            worker.join(max(0.0, deadline - time.monotonic()))
        live = list(_live)
        for process in live:
            if process.stdin:  # closing it ends a guard: all guards at once
                process.stdin.close()
        for process in live:
            end_group(process, grace=0)
        for worker in list(self.workers):
            worker.join(1)
        self.outbox.put(b"")
        self.writer.join(PATIENCE)

    def send(self, answer):
        """Queue a JSON value for the thread that writes."""
        import json

        body = json.dumps(answer).encode()
        self.outbox.put(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def write(self):
        """Write the queued frames. If the client has gone, go on: the end of stdin ends the server."""
        for data in iter(self.outbox.get, b""):
            try:
                while data:
                    data = data[os.write(self.stdout, data):]
            except OSError as problem:
                report.detail("the client is gone: %s" % problem)

    def answer_message(self, body):
        """Answer the requests of one message, in this thread or in others, all answers of a batch at once."""
        import threading

        try:
            message = parse_message(body)
            if message == []:
                raise RpcError(INVALID_REQUEST, "an empty batch")
        except RpcError as error:
            return self.send(dict({"jsonrpc": "2.0", "id": None}, **error.outcome()))
        is_batch = isinstance(message, list)
        requests = message if is_batch else [message]
        answers, lock = {}, threading.Lock()  # type: dict, threading.Lock

        def put(index, answer):  # None for a notification
            with lock:
                answers[index] = answer
                if len(answers) < len(requests):
                    return
            batch = [answers[key] for key in sorted(answers) if answers[key] is not None]
            if batch:
                self.send(batch if is_batch else batch[0])

        for index, request in enumerate(requests):
            self.answer_request(request, lambda answer, index=index: put(index, answer))

    def answer_request(self, request, reply):
        """Answer one request by calling reply(dict), or reply(None) if it is a notification."""
        import threading

        request = request if isinstance(request, dict) else {}
        is_notification = "id" not in request and isinstance(request.get("method"), str)
        ident = request.get("id")
        if isinstance(ident, bool) or not isinstance(ident, (str, int, type(None))):
            ident, request = None, {}

        def reply_with(outcome):
            reply(None if is_notification else dict({"jsonrpc": "2.0", "id": ident}, **outcome))

        def work():
            reply_with(outcome_of(call))
            self.workers.discard(threading.current_thread())

        try:
            call = self.call_for(request)
        except RpcError as error:
            return reply_with(error.outcome())
        if request["method"] in ("initialize", "shutdown", "exit"):
            return work()
        worker = threading.Thread(target=work, daemon=True)
        self.workers.add(worker)
        try:
            worker.start()
        except RuntimeError as problem:  # the system has no more threads
            self.workers.discard(worker)
            reply_with(RpcError(INTERNAL_ERROR, str(problem)).outcome())

    def call_for(self, request):
        """A function without arguments that does what a request asks for.

        RpcError if the request is wrong; the checks stand in the order in which the protocol ranks their codes.
        """
        method, params = request.get("method"), request.get("params", {})
        if request.get("jsonrpc") != "2.0" or not isinstance(method, str) or \
                not isinstance(params, (dict, list, type(None))):
            raise RpcError(INVALID_REQUEST, "not a request of JSON-RPC 2.0")
        if self.state == "new" and method not in ("initialize", "exit"):
            raise RpcError(NOT_INITIALIZED, "initialize comes first")
        if self.state == "over" and method != "exit":
            raise RpcError(INVALID_REQUEST, "%.100s after shutdown" % method)
        if self.state == "ready" and method == "initialize":
            raise RpcError(INVALID_REQUEST, "initialize for a second time")
        if method not in METHODS:
            raise RpcError(UNKNOWN_METHOD, "there is no method %.100s" % method)
        arguments = check_params(method, params)
        function = getattr(self, method.replace("environment/", "") + "_")
        return lambda: function(**arguments)

    # The methods of the protocol: each has its name there, and an underscore.

    def initialize_(self, client_name, client_protocol_version):
        report.detail("client %r, protocol %r" % (client_name, client_protocol_version))
        self.state = "ready"
        return {"methods": sorted(METHODS), "protocol_version": PROTOCOL}

    def shutdown_(self):
        self.state = "over"

    def exit_(self):
        self.status = 0 if self.state == "over" else 1
        self.is_ended = True

    def list_(self):
        return [self.summary(name, environment) for name, environment in sorted(self.environments().items())]

    def get_(self, id):
        environment = self.environment(id)
        generation = self.make_current(id, environment)
        extra = {"root": self.root, "driver": generation.driver, "generation": generation.path, "current": True}
        return dict(self.summary(id, environment), python_version=generation.python.version,
                    interpreter_path=generation.program, installed_packages=packages_in(generation.path), extra=extra)

    def create_(self, name, python_version):
        directory = state_dir(self.root, "made", digest(name))
        with self.naming:
            configured = self.environments().get(name)
            if name in self.creating or configured and generations(configured):
                raise RpcError(NAME_TAKEN, "environment %s is there already" % name)
            self.creating.add(name)
        try:
            if configured:
                self.check_python(configured, python_version)
            else:
                self.write_environment(directory, name, python_version)
            return self.get_(name)
        except BaseException:
            if not configured and is_marked(directory) and not is_link(directory):
                with unbroken():
                    remove(directory)
            raise
        finally:
            self.creating.discard(name)

    def delete_(self, id):
        environment = self.environment(id)
        paths = [each.path for each in generations(environment)]
        if used_by_processes(paths):
            raise work_failed("environment %s is in use by a running process" % id)
        with locked(state_dir(environment.root, "lock"), "deleting environment %s" % id):
            link = environment.path(environment["venv_dir_rel_path"])
            if os.path.islink(link) and os.path.realpath(link) in map(os.path.realpath, paths):
                remove(link)
            discard(paths)
        if environment.root != self.root and is_marked(environment.root) and not is_link(environment.root):
            remove(environment.root)
        return {"id": id}

    def execute_(self, id, argv, cwd=None, env=None):
        environment = self.environment(id)
        generation = self.make_current(id, environment)
        environ = activated(generation.path, environment["env_vars"])
        environ.update(env or {})
        directory = cwd or self.root
        if not os.path.isdir(directory):
            raise work_failed("cannot run %s: there is no directory %s" % (argv[0], directory))
        program = find_program(argv[0], environ.get("PATH"))
        if program and not os.path.isabs(program):
            program = os.path.normpath(os.path.join(directory, program))
        if not os.path.isfile(program) or not os.access(program, os.X_OK):
            raise work_failed("cannot run %s: there is no such program" % argv[0])
        child = run_child([program] + argv[1:], environ, directory, cap=sys.maxsize, is_guarded=True)
        if child.problem:
            raise work_failed("%s: %s" % (argv[0], child.problem))
        return {"exit_code": child.status, "stdout": child.stdout.decode("utf-8", "replace"),
                "stderr": child.stderr.decode("utf-8", "replace")}

    # What the methods share.

    def environments(self):
        """{id: `Environment`}: those of the config, and those that clients made."""
        config, environments = load_config(self.root), {}
        made = state_dir(self.root, "made")
        for entry in entries_named(made, DIGEST_NAME):
            directory = os.path.join(made, entry)
            if is_link(directory):  # H1
                continue
            try:
                data = b"".join(chunks_of(os.path.join(directory, "name"), PARSE_CAP))
                name = data.decode("utf-8", "surrogatepass")
                environment = load_environment(load_config(directory))
            except (OSError, PrimeError, UnicodeError) as problem:
                report.note("%s is no environment: %s" % (directory, problem))
                continue
            if name in self.creating or generations(environment):  # else a server was killed while it made this one
                environments[name] = environment
        for name in set(config.table.get("env", {})) | {"default"}:
            environments[name] = load_environment(config, name, name)
        return environments

    def environment(self, id):
        """The `Environment` with an id; RpcError if there is none."""
        environment = self.environments().get(id)
        if not environment:
            raise RpcError(NO_ENVIRONMENT, "there is no environment %s" % id, {"id": id})
        return environment

    def summary(self, id, environment):
        """An environment's entry in the list. Until it is built, its version is the one that it requires."""
        built = generations(environment)
        version = built[0].python.version if built else environment.required.text
        return {"id": id, "name": id, "python_version": version}

    def check_python(self, environment, version):
        """RpcError if the python selected for an environment is not of the version X.Y or X.Y.Z."""
        import json

        child = self.run_prime(environment, environment.name, "python", "--json")
        if child.has_failed:  # the build will fail, too, and report why
            return
        selected = json.loads(child.stdout.decode("utf-8", "surrogateescape"))["candidates"][-1]
        if not satisfies(version, selected["version"]):
            raise RpcError(NO_PYTHON, "environment %s requires python %s" % (environment.name, environment.required))

    def write_environment(self, directory, name, version):
        """Write the config of an environment that a client makes, in a directory of its own."""
        config = derived_config(load_environment(load_config(self.root)), version)
        prepare_state(self.root)
        if os.path.lexists(directory) and not is_marked(directory):
            rename_aside(directory)
        make_own(directory)
        write_atomic(os.path.join(directory, "name"), name.encode("utf-8", "surrogatepass"))
        write_atomic(os.path.join(directory, OWN_CONFIG), config.encode())

    def run_prime(self, environment, id, *words):
        """Run this file in a guarded child: builds, pythons and selectors that it starts end with the server."""
        options = ["--root", environment.root] + (["-e", id] if environment.root == self.root else [])
        argv = [running_python(), os.path.abspath(script_path())] + options + list(words)
        environ = clean_environ()
        for name in (LOG_VAR, ROOT_VAR, ENV_VAR, "FORCE_COLOR"):
            environ.pop(name, None)
        return run_child(argv, dict(environ, NO_COLOR="1"), is_logged=True, is_guarded=True)

    def make_current(self, id, environment):
        """The current `Generation` of an environment, which a child builds if need be. RpcError if the build fails."""
        generation, reasons = find_generation(environment)
        if generation:
            return generation
        report.detail("building environment %s: %s" % (id, "; ".join(reasons)))
        log_directory = state_dir(environment.root, "log")
        old_logs = paths_named(log_directory, ".*")
        child = self.run_prime(environment, id, "run", "--", "python", "-c", "")
        if not child.has_failed:
            generation = find_generation(self.environment(id))[0]
        if not generation:
            new_logs = [path for path in paths_named(log_directory, ".*") if path not in old_logs]
            raise self.build_error(child, new_logs[-1:])
        return generation

    def build_error(self, child, logs):
        """The RpcError for a build that failed in `child`; `logs` is a list with the path of its log, or empty."""
        message = child.stderr.decode("utf-8", "replace").rpartition("prime: error: ")[2].strip()
        has_no_python = message.startswith("no python satisfies") or " does not fulfil " in message.split("\n")[0]
        kept = None
        for log in logs:  # it would be removed with an environment that cannot be made
            kept = state_dir(self.root, "log", os.path.basename(log))
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            os.replace(log, kept)
        return RpcError(NO_PYTHON if has_no_python else WORK_FAILED, message or str(child), {"log": kept})


def outcome_of(function):
    """{"result": what function() returns}, or {"error": ...} if it raises."""
    try:
        return {"result": function()}
    except RpcError as error:
        return error.outcome()
    except (PrimeError, OSError) as problem:
        return work_failed(str(problem)).outcome()
    except Interrupted:
        raise
    except Exception as problem:  # a fault of ours fails one request, not the session
        import traceback

        report.output(traceback.format_exc().encode("utf-8", "backslashreplace"))
        return RpcError(INTERNAL_ERROR, "%s: %s" % (type(problem).__name__, problem)).outcome()


def packages_in(prefix):
    """The packages installed in an environment directory: a list of {"name", "version"}, sorted by name."""
    directory = site_packages(prefix)
    entries = os.listdir(directory) if directory else []
    packages = [package_at(os.path.join(directory, entry)) for entry in entries
                if entry.endswith((".dist-info", ".egg-info"))]
    return sorted(filter(None, packages), key=lambda package: normalized(package["name"]))


def package_at(path):
    """{"name", "version"} from a .dist-info or .egg-info, a directory or a file; None if it lacks one of them."""
    files = [os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO"), path]
    file = next(filter(os.path.isfile, files), "")
    text = (bytes_of(file) or b"").decode("utf-8", "replace")  # old tools did not always write UTF-8
    head = text.replace("\r\n", "\n").split("\n\n", 1)[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line and line[0] != " ")
    if "Name" in fields and "Version" in fields:
        return {"name": fields["Name"], "version": fields["Version"]}
    return None


def command_serve(options):
    """answer a workflow client: JSON-RPC on stdin and stdout"""
    if sys.stdin is None or sys.stdout is None:  # E7
        raise PrimeError("serve: stdin and stdout must be open")
    if not script_path():
        raise PrimeError("serve: this came through a pipe, and stdin is the client's")
    return Server(options.root).serve()


# --------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------
# Parses the arguments, runs a command, and turns every error into an exit status.

COMMANDS = {
    "boot": command_boot,
    "run": command_run,
    "shell": command_shell,
    "info": command_info,
    "python": command_python,
    "use": command_use,
    "reset": command_reset,
    "rollback": command_rollback,
    "clean": command_clean,
    "lock": command_lock,
    "vendor": command_vendor,
    "init": command_init,
    "update": command_update,
    "serve": command_serve,
}
JSON_OPTION = ("--json",), {"action": "store_true", "help": "as JSON"}
ARGUMENTS = {
    "info": [JSON_OPTION],
    "python": [
        JSON_OPTION,
        (("--all",), {"action": "store_true", "help": "every candidate, and the verdict on it"}),
        (("request",), {"nargs": "?", "metavar": "REQUEST", "help": "default: the repo's own"}),
    ],
    "use": [(("name",), {"metavar": "NAME"})],
    "lock": [(("--upgrade",), {"action": "store_true", "help": "leave what was pinned before"})],
    "vendor": [
        (("directory",), {"nargs": "?", "metavar": "DIR", "help": "default: vendor"}),
        (("--python",), {"action": "store_true", "help": "a python for each of the platforms, too"}),
    ],
    "init": [
        (("directory",), {"nargs": "?", "metavar": "DIR", "help": "default: the current directory"}),
        (("--from",), {"dest": "source", "metavar": "URL-OR-FILE", "help": "where the file is; default: this one"}),
        (("--sha256",), {"metavar": "HEX", "help": "what it must be"}),
    ],
    "update": [
        (("release",), {"nargs": "?", "metavar": "VERSION", "help": "default: the newest of the index"}),
        (("--from",), {"dest": "source", "metavar": "URL-OR-FILE", "help": "where the other version is"}),
        (("--sha256",), {"metavar": "HEX", "help": "what it must be"}),
    ],
    "clean": [(("--all",), {"action": "store_true", "help": "every generation, and the user's caches"})],
}  # type: dict


class Options:
    """The options and arguments of a command line; these are the defaults."""

    command = "boot"
    env = root = name = directory = source = sha256 = release = ""
    verbose = 0
    quiet = offline = json = all = upgrade = python = False
    request = None  # type: str | None
    words = []  # type: list  # those behind `run`


def parse_command_line(argv):
    """The `Options` of a command line; PrimeError with status 2 if it cannot be understood.

    The command is found first, because the words behind `run` belong to another program.
    """
    options = Options()
    index = command_index(argv)
    command, rest = argv[index: index + 1], argv[index + 1:]
    if command:
        if command[0] not in COMMANDS:
            raise PrimeError("unknown command %s" % command[0], hint="prime --help", status=2)
        options.command = command[0]
    if options.command == "run" and rest[:1] not in (["-h"], ["--help"]):
        options.words, rest = rest, []
    arguments = argv[:index] + rest
    if arguments or options.command in ARGUMENTS:  # argparse takes as long as the rest of a quick boot
        make_parser(*command).parse_args(arguments, namespace=options)
    report.verbosity = options.verbose or verbosity_told()
    if options.quiet:
        report.verbosity = -1
    if options.offline:
        os.environ[OFFLINE_VAR] = "1"
    return options


def command_index(argv):
    """The index of a command line's first word that is neither an option nor the value of one."""
    index = 0
    while index < len(argv) and argv[index].startswith("-"):
        word = argv[index]
        is_root = word.startswith("--r") and "=" not in word  # argparse takes --ro for --root
        is_env = not word.startswith("--") and word.find("e") == len(word) - 1  # -e, or -ve
        index += 2 if is_root or is_env else 1
    return index


def verbosity_told():
    """The value of `Reporter.verbosity` that PROTOPRIMER_LOG_LEVEL asks for."""
    return {"error": -1, "info": 1, "debug": 2}.get(os.environ.get(LOG_VAR, "").lower(), 0)


def make_parser(command=""):
    """The parser of a command's options and arguments, or of a command line without a command."""
    import argparse

    def formatter(prog):  # made for each argument, and one without a width loads shutil
        return argparse.RawDescriptionHelpFormatter(prog, width=100)

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            raise PrimeError(message, hint="%s --help" % self.prog, status=2)

    rows = ["  %-8s  %s" % (name, function.__doc__) for name, function in COMMANDS.items()]
    parser = Parser(
        prog=("prime %s" % command).strip(), argument_default=argparse.SUPPRESS, formatter_class=formatter,
        usage={"": "prime [options] [COMMAND ...]", "run": RUN_USAGE}.get(command),
        description=COMMANDS[command].__doc__ if command else __doc__.split("\n")[0],
        epilog=None if command else "\n".join(["commands, boot if none is given:"] + rows))
    parser.add_argument("-v", dest="verbose", action="count", help="say more; -vv says all")
    parser.add_argument("-q", dest="quiet", action="store_true", help="print errors alone")
    parser.add_argument("-e", dest="env", metavar="NAME", help="the environment, not the clone's own")
    parser.add_argument("--root", metavar="DIR", help="the ref root, not the one that is found")
    parser.add_argument("--offline", action="store_true", help="open no socket")
    parser.add_argument("--version", action="version", version="proto_prime %s" % __version__)
    for names, settings in ARGUMENTS.get(command, ()):
        parser.add_argument(*names, **settings)
    return parser


def isolate():
    """Keep the repo's types.py or logging.py out of our imports (E4), and our warnings to ourselves (E2)."""
    try:
        cwd = os.getcwd()
    except OSError:  # E7: it was deleted
        cwd = os.sep

    def absolute(path):
        return os.path.normpath(os.path.join(cwd, path))

    foreign = [""] + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    for script in filter(None, {script_path(), sys.argv[0]}):
        script = absolute(script)
        foreign += [os.path.dirname(script), os.path.dirname(os.path.realpath(script))]
    stdlib = absolute(os.path.dirname(os.__file__))
    dropped = set(map(absolute, foreign)) - {stdlib, os.path.join(stdlib, "lib-dynload")}
    sys.path[:] = [path for path in sys.path if absolute(path) not in dropped]
    if sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")


def main(argv=None):
    """Run a command line. Returns the exit status, an int; `run` replaces the process instead.

    argv  list of str, the arguments without the program's name. By default those of this process: then its
          signal handlers, sys.path and garbage collector are set, and a stage that needs another python
          replaces it
    Errors are reported and give the status. SystemExit for --help and --version, by argparse.
    """
    is_ours = argv is None
    argv = sys.argv[1:] if argv is None else list(argv)

    def work():
        if is_ours:
            isolate()
            catch_signals()
        status = fast_path(argv)
        if status is not None:
            return status
        options = parse_command_line(argv)
        if is_ours and options.command != "serve":  # collecting costs a first boot 1 ms, and its life is short
            import gc

            gc.disable()
        open_options(options)
        options.stage = options.stage if is_ours else ""
        return COMMANDS[options.command](options)

    return status_of(work)


def open_options(options):
    """Set the ref root and the stage of this process in `Options`, and return these."""
    options.root = find_root(options.root)
    options.stage = take_stage(options.root)
    report.detail("stage %s: %s (%s)" % (options.stage, running_python(), sys.version.split()[0]))
    report.detail("ref root: %s" % options.root)
    return options


def status_of(work):
    """Call work() and return its exit status. An error that it raises is reported, and gives the status."""
    try:
        return work()
    except PrimeError as error:
        return fail(error)
    except BrokenPipeError:  # `| head -1`
        return 128 + 13
    except OSError as problem:
        words = problem.strerror or str(problem)
        return fail(PrimeError(words, problem.filename or "", hint=limit_hint(words)))
    except UnicodeError as problem:  # E10: python 3.6 in the C locale
        return fail(PrimeError("a path or a value has characters that this locale cannot say: %s" % problem))
    except Interrupted as stop:
        catch_signals(is_over=True)
        for process in list(_live):  # other threads wait for these
            end_group(process, grace=0)
        return fail(PrimeError("interrupted by %s" % signal_name(stop.signum), status=128 + stop.signum))
    except MemoryError:  # H16
        return fail(PrimeError("there is not enough memory", hint=LIMIT_HINT))
    except Exception as problem:
        if isinstance(problem, RuntimeError) and limit_hint(str(problem)):
            return fail(PrimeError(str(problem), hint=LIMIT_HINT))
        return fail(PrimeError("%s: %s" % (type(problem).__name__, problem),
                               hint="this is a fault of prime; -vv tells where it is"))


def fail(error):
    """Report a `PrimeError`, at -vv with a traceback. Returns its exit status."""
    report.error(error)
    if report.verbosity >= 2:
        import traceback

        report.output(traceback.format_exc().encode("utf-8", "backslashreplace"))
    return error.status


def leave(status):
    """End this process at once: the interpreter's own shutdown takes milliseconds. Does not return.

    status  int, the exit status, as `main` returns it
    Waits for threads that are not daemons, as python does: they end the children that they start.
    """
    threading = sys.modules.get("threading")
    for thread in threading.enumerate()[1:] if threading else []:  # the first is this one
        if not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = status or 1
    os._exit(status)


# --------------------------------------------------------------------------------------------------
# boot() and start()
# --------------------------------------------------------------------------------------------------
# For a repo's own entry scripts: make the environment, then call a function of the repo in it.


def boot(target):
    """Make the environment current, then call a function of the repo in it. Does not return.

        #!/usr/bin/env python3
        import proto_prime

        if __name__ == "__main__":
            proto_prime.boot("tools.app:main")

    target  str, "module:function"; the module is imported from the ref root or the script's directory
    The function finds sys.argv as the user typed it. What it returns is the exit status, as sys.exit takes it.
    An error is printed and ends the process with the error's status.
    """
    sys.exit(call_in_environment(target, boots=True))


def start(target):
    """The same as `boot` in an environment that was built before, and faster: it does not ask whether that is current.

    target  str, "module:function"
    An environment that was never built is an error.
    """
    sys.exit(call_in_environment(target, boots=False))


def call_in_environment(target, boots):
    """Call a function of the repo under the environment's python, and return its result.

    target  str, "module:function"
    boots   True to make the environment current first
    Under another python this process starts over. Returns the exit status if that fails.
    """
    restore = saved_settings()
    status = status_of(lambda: restart_in_environment(target, boots))
    if status is not None:
        return status
    restore()
    import importlib

    module, _, function = target.partition(":")
    sys.path.insert(1, find_root())
    return getattr(importlib.import_module(module), function)()


def saved_settings():
    """A function that sets sys.path, signal handlers, warnings and hooks as they are now, for the repo's function."""
    import _signal

    path = list(sys.path)
    handlers = {number: _signal.getsignal(number) for number in end_signals()}
    filters = list(sys.modules["warnings"].filters) if "warnings" in sys.modules else []
    hook = vars(sys).get("unraisablehook")  # from 3.8 on

    def restore():
        sys.path[:] = path
        for number, handler in handlers.items():
            _signal.signal(number, handler)
        if hook:
            vars(sys).update(unraisablehook=hook)
        else:
            vars(sys).pop("unraisablehook", None)
        if filters:
            sys.modules["warnings"].filters[:] = filters

    return restore


def restart_in_environment(target, boots):
    """Start this script over under the environment's python. Returns None if this process runs under it already."""
    script = sys.argv[0] if sys.argv else ""
    if not os.path.isfile(script):
        raise PrimeError("an entry script is a file: this came through a pipe, or from -c")
    if not all(target.partition(":")):
        raise PrimeError('"%s" names no function: it takes "module:function"' % target, status=2)
    root, requested = find_root(), os.environ.get(ENV_VAR, "")
    stage, _, stage_root = os.environ.get(PY_EXEC, "").partition(":")
    if stage == "venv" and stage_root == root:
        if os.path.dirname(os.path.realpath(sys.prefix)) != os.path.realpath(state_dir(root, "envs")):
            raise PrimeError("stage venv: %s is not in the environment" % sys.executable,
                             hint="unset %s, if that is stale" % PY_EXEC)
        del os.environ[PY_EXEC]
        return None
    isolate()
    catch_signals()
    report.verbosity = verbosity_told()
    known = None if stage else read_stamp(root, requested, boots and not requested, is_checked=boots)
    if known:
        prefix, env_vars, _ = known
    else:
        options = open_options(Options())
        environment = open_environment(options)
        prefix, env_vars = prefix_of(environment, options, boots), environment["env_vars"]
    environ = activated(prefix, env_vars)
    # Some variables act as python starts, so that they must be there already.
    has_variables = all(os.environ.get(name) == environ[name] for name in dict(env_vars))
    if has_variables and os.path.realpath(sys.prefix) == os.path.realpath(prefix):
        os.environ.clear()
        os.environ.update(environ)
        return None
    environ[PY_EXEC] = "venv:%s" % root
    return replace_process([environment_python(prefix), script] + sys.argv[1:], environ)


# --------------------------------------------------------------------------------------------------
# switch_env()
# --------------------------------------------------------------------------------------------------
# Moves the running process into another environment and back, each time as one transaction.

_switches = []  # type: list  # the `Switch`es in force, the innermost last


def switch_env(path, keep=()):
    """Make this process use another environment from now on, without a restart.

        with proto_prime.switch_env("envs/new"):
            import package  # the one that is installed there

    path  str, an interpreter or an environment directory: of venv, virtualenv or conda
    keep  names of packages that stay loaded, such as a notebook's kernel; they import from the new environment
    Returns a `Switch`. PrimeError, before anything changes, if the environment is broken, or if its python has
    another implementation or another major.minor than the running one.

    It changes sys.path, with the entries that .pth files add, sys.prefix, sys.exec_prefix, sys.executable, the values
    that `site` and `sysconfig` derive from them, VIRTUAL_ENV, CONDA_PREFIX and PATH. It takes the modules of the old
    environment out of sys.modules. The standard library stays. On any failure all is as before.
    Threads: all of this belongs to the process. Switch while no other thread imports, starts a process or switches.
    Threads that only run code imported before are safe.
    """
    import importlib

    python = resolve_python(path)
    prefix, exec_prefix, *sites = self_portrait(python)
    importlib.invalidate_caches()  # loads modules of its own, before `state` notes which are loaded
    switch = Switch(python, prefix, exec_prefix, sites, set(keep) | {"__main__", __name__.partition(".")[0]})
    state = ProcessState()
    try:
        for step in Switch.STEPS:
            step(switch, state)
        clear_import_caches()
        switch.state = state
        _switches.append(switch)
        return switch  # within `try`: an interrupt on the way out is a failure, too
    except BaseException:
        _switches[:] = [each for each in _switches if each is not switch]
        state.restore()
        sys.modules.update(state.modules)
        for name in set(sys.modules) - set(state.modules):
            del sys.modules[name]
        raise


# What an environment's python says of itself: what must not differ, its prefixes, where it has packages.
SELF_PORTRAIT = """
import sys
flags = "t" if "t" in getattr(sys, "abiflags", "") else ""
told = ["%s %d.%d%s" % ((sys.implementation.name,) + sys.version_info[:2] + (flags,)), sys.prefix, sys.exec_prefix]
told += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
"""


def self_portrait(python):
    """The prefix, the exec_prefix and the places of packages that an environment's python tells, as a list of str.

    PrimeError if it does not run, or is another implementation or version than the running one.
    """
    here = {}  # type: dict
    exec(SELF_PORTRAIT, here)
    code = SELF_PORTRAIT + "sys.stdout.write(chr(0).join([''] + told + ['']))"
    child = run_child([python, "-I", "-B", "-c", code], timeout=PROBE_SECONDS)
    told = os.fsdecode(child.stdout).split("\0")[1:-1]  # C3: noise around it
    if child.has_failed or len(told) < 4:
        raise PrimeError("%s is no usable python" % python, tried=child.tail())
    if told[0] != here["told"][0]:
        raise PrimeError("%s is %s, and this process runs %s" % (python, told[0], here["told"][0]),
                         hint="switch to an environment of the same version, or start another process")
    return told[1:]


def start_children_with(python):
    """Make `multiprocessing` start its children with this interpreter; it remembers the one it was loaded under."""
    if "multiprocessing.spawn" in sys.modules:
        sys.modules["multiprocessing.spawn"].set_executable(python)


def clear_import_caches():
    """Make the import system forget which files it saw."""
    import importlib

    sys.path_importer_cache.clear()
    importlib.invalidate_caches()


class ProcessState:
    """All that a switch changes in this process, as it was before."""

    def __init__(self):
        import site
        import sysconfig

        self.config = sysconfig.get_config_vars()
        self.prefixes = site.PREFIXES
        self.path = list(sys.path)
        lists = [sys.path, sys.meta_path, sys.path_hooks, self.prefixes]  # type: list
        self.lists = [(each, list(each)) for each in lists]
        self.dicts = [(each, dict(each)) for each in (os.environ, self.config)]  # type: list
        self.names = {name: getattr(sys, name) for name in ("prefix", "exec_prefix", "executable")}
        self.modules = dict(sys.modules)
        spawn = sys.modules.get("multiprocessing.spawn")
        self.starter = spawn.get_executable() if spawn else None

    def restore(self):
        """Put everything back except sys.modules."""
        for each, before in self.lists:
            each[:] = before
        for each, before in self.dicts:
            for name in set(each) - set(before):
                del each[name]
            each.update({name: value for name, value in before.items() if each.get(name) != value})
        for name, value in self.names.items():
            setattr(sys, name, value)
        start_children_with(self.starter or sys.executable)
        clear_import_caches()


class Switch:
    """A switch to another environment: a context manager whose exit calls `rollback`.

    python, prefix, exec_prefix  str, of the new environment
    sites    list of str, its directories of packages
    keep     set of str, names of packages that stay loaded
    left     list of str, the old environment's entries of sys.path
    entries  list of str, the new environment's entries of sys.path
    dropped  {name: module} of the old environment's modules
    stale    set of str, the names of modules that a rollback takes out
    """

    def __init__(self, python, prefix, exec_prefix, sites, keep):
        self.python, self.prefix, self.exec_prefix = python, prefix, exec_prefix
        self.sites, self.keep = sites, keep
        self.left, self.entries = [], []  # type: list, list
        self.dropped = {}  # type: dict
        self.stale = set()  # type: set
        self.state = None  # type: ProcessState | None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.rollback()

    def rollback(self):
        """Restore the process as it was before. Later switches are rolled back first. A second call does nothing."""
        while self in _switches:
            last = _switches[-1]
            last.stale = last.stale or modules_of(last.entries, last.keep)
            for name in last.stale:
                sys.modules.pop(name, None)
            sys.modules.update(last.dropped)
            last.state.restore()
            _switches.remove(last)  # at the end: a rollback that is interrupted can be repeated

    def unload_modules(self, state):
        """Take the old environment's modules out of sys.modules, and its finders out of the import system."""
        self.left = _switches[-1].entries if _switches else site_places()
        self.keep = {name for name in self.keep if name in sys.modules}  # what comes later is the environment's
        names = modules_of(self.left, self.keep)
        self.dropped = {name: sys.modules.pop(name) for name in names}
        finder_lists = [sys.meta_path, sys.path_hooks]  # type: list
        for finders in finder_lists:
            finders[:] = [each for each in finders if getattr(each, "__module__", "") not in names]

    def change_path(self, state):
        """Put the new environment's entries of sys.path, .pth files included, where the old one's stood."""
        import site

        others = [entry for entry in sys.path if entry not in self.left]
        sys.path[:] = others
        for directory in self.sites:
            site.addsitedir(directory)
        self.entries = [entry for entry in sys.path if entry not in others]
        is_left = [entry in self.left for entry in state.path]
        index = is_left.index(True) if True in is_left else len(is_left)
        sys.path[:] = state.path[:index] + self.entries + [each for each in state.path[index:] if each not in self.left]

    def change_prefix(self, state):
        """Set what python says about where it runs."""
        sys.prefix, sys.exec_prefix, sys.executable = self.prefix, self.exec_prefix, self.python
        start_children_with(self.python)
        state.prefixes[:] = [self.prefix, self.exec_prefix]
        state.config.update(prefix=self.prefix, base=self.prefix, exec_prefix=self.exec_prefix,
                            platbase=self.exec_prefix)

    def change_environ(self, state):
        """Set the variables by which child processes find the new environment."""
        active = [os.environ[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if name in os.environ]
        left = [os.path.join(prefix, BIN) for prefix in active]
        search = os.environ.get("PATH", os.defpath)
        others = [directory for directory in search.split(os.pathsep) if directory not in left] if search else []
        for name in ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "CONDA_PREFIX", "PYTHONHOME"):
            os.environ.pop(name, None)
        if os.path.isdir(os.path.join(self.prefix, "conda-meta")):
            os.environ["CONDA_PREFIX"] = self.prefix
        elif os.path.isfile(os.path.join(self.prefix, "pyvenv.cfg")):  # a base python is no environment
            os.environ["VIRTUAL_ENV"] = self.prefix
        os.environ["PATH"] = os.pathsep.join([os.path.dirname(self.python)] + others)

    STEPS = [unload_modules, change_path, change_prefix, change_environ]


_added = {}  # type: dict  # a prefix to what `site` added to sys.path there, by lines of code as well
SITE_ADDS = """
import sys
bare = list(sys.path)
import site
site.main()
sys.stdout.write(chr(0).join([""] + [path for path in sys.path if path not in bare] + [""]))
"""


def site_places():
    """The entries of sys.path that are the running environment's: where it has packages, and what .pth files add."""
    if sys.prefix not in _added:
        flags = ["-E", "-S", "-B"] + (["-s"] if sys.flags.no_user_site else [])
        child = run_child([sys.executable or "", *flags, "-c", SITE_ADDS], timeout=PROBE_SECONDS)
        _added[sys.prefix] = os.fsdecode(child.stdout).split("\0")[1:-1]
    users = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    users += [] if sys.flags.isolated else sys.path[:1]  # the script's directory
    added = _added[sys.prefix]
    found = [each for each in sys.path if each in added or each.endswith(("site-packages", "dist-packages"))]
    return [each for each in found if each not in users]


def origin(finder, name):
    """The file in which a finder of the import system finds a module; "" if it finds none, or fails."""
    try:
        return getattr(finder.find_spec(name, None), "origin", None) or ""
    except Exception:  # finders belong to packages, and may raise anything
        return ""


def module_files(module):
    """The file that a module was loaded from, or a namespace package's directories; [] for neither."""
    attributes = getattr(module, "__dict__", {})
    if attributes.get("__file__"):
        return [attributes["__file__"]]
    return list(attributes.get("__path__") or ())


def modules_of(entries, keep):
    """The names of the loaded modules that belong to an environment, as a set.

    entries  list of str, the environment's entries of sys.path
    keep     set of str, names of packages to leave out
    """
    all_entries = {entry for entry in set(sys.path).union(entries) if entry}

    def owner(path):
        above = [entry for entry in all_entries if (path + os.sep).startswith(entry + os.sep)]
        return max(above, key=len, default="")

    names = set()
    for name, module in list(sys.modules.items()):
        if any(isinstance(file, str) and owner(file) in entries for file in module_files(module)):
            names.add(name)
    finders = [finder for finder in sys.meta_path
               if getattr(finder, "__module__", "") in names and hasattr(finder, "find_spec")]
    for name in set(sys.modules) - names:  # an editable project: its finder maps the name to the sources
        file = getattr(sys.modules[name], "__file__", None)
        if file and any(origin(finder, name) == file for finder in finders):
            names.add(name)
    for name in sorted(sys.modules):  # modules without a file, such as six.moves
        if name.rpartition(".")[0] in names:
            names.add(name)
    return {name for name in names if name.partition(".")[0] not in keep}


if __name__ == "__main__":
    leave(main())
