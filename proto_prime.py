#!/usr/bin/env python3
# proto_prime finds the python that a repo requires, makes an environment with its packages, and runs a command there.
#
# Three stages. Each replaces the process before it (os.execve); PROTOPRIMER_PY_EXEC names the one that runs:
#   wild      any python that started this file: reads the config, selects a python
#   required  the selected python: builds the environment with uv or pip, checks and publishes it
#   venv      the environment's python, or the program that the user asked for
#
# What happens, by function (chapter Stages):
#   nothing changed:  sh in ENTRY_SCRIPT, or main -> fast_path -> [run_task_at_once ->] Stamp.holds -> hand_over
#   back on inputs of before:  main -> fast_path -> return_to -> Link.move -> hand_over
#   else:             main -> fast_path -> parse_command_line -> open_environment -> have_generation
#                     -> select_interpreter -> [hop: this file again, under that python] -> build -> Link.publish
#                     -> write_stamp -> hand_over
#
# The nouns, each a class:
#   Config       what the files at the root say    Environment  a named target: all its fields, its inputs
#   Request      a python that is wanted           Interpreter  a python that answered
#   Candidate    a python that was judged          Lock         a pylock.toml
#   PipDriver, UvDriver  make and fill environments   Link  .venv and what it is made of
#   Generation   one complete build                Stamp        what the last boot saw
#
# On disk, in .prime of the repo (PROTOPRIMER_STATE_DIR): envs/NAME-KEY/ generations, building/ the unfinished ones,
#   stamp/, held/ and use what rollback and use chose, log/, lock, made/ environments of the server's clients. `.venv`
#   leads to a generation. In the user's cache: answers/ of pythons, uv/, pip/, shell/, scripts/, locks/, states/.
#
# The chapters, each built on those before it:
#   ground       Errors and the reporter, Files and hashes, Variables, Children and signals, Proof of origin, Places,
#                Locks, The link
#   wanted       TOML, Versions and requests, Config, The user's settings, Environments and their inputs
#   there        Asking a python, Where pythons are, Choosing a python
#   making       Downloads and the index, Tools, Lock files, Sources, pip, uv, Making environments, Programs,
#                Generations, Removing, Building, Bytecode, Shell stamps, Stamps
#   running      Stages
#   commands     Commands of every day, Running a command, Lock and vendor, Init and update, Workflow server,
#                Command line
#   from python  boot() and start(), switch_env()
#
# Who changes something here keeps to this: the fast path uses os and sys alone, and what WARM names. run_child starts
#   every child, but run_beside those that have our terminal; replace_process becomes every program, write_atomic
#   writes every file, ask_python asks every python. Config.look remembers a file before it is read. An error that a
#   user can mend is a PrimeError. Only what carries our mark is removed. Python 3.6 syntax. A new place of pythons:
#   LOCATIONS, and the start by sh. A new field: FIELDS, and if pip and uv get it index_options and SOURCE_FIELDS.
#   README lists both. Codes such as E7 name what must be survived (tests/faults.md): C pythons that lie, E the
#   caller's environment, B what breaks half-way, T time, I input, H hostility, R repos, M machines, U every day.
#
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
#
# In other repos this is nobody's code to mend. Linters and formatters leave it alone:
# ruff: noqa
# flake8: noqa
# pylint: skip-file
# isort: skip_file
# fmt: off
''':' #
# For sh, up to the last exec: `sh proto_prime.py` runs this, on machines that may have no python. For Python it is a
# string. A "#" at its end keeps a line right where git has made CRLF out of each line end (M15).
line= && { read -r line <"$0"; } 2>/dev/null #
problem="$0 has the line ends of Windows (CRLF), which git writes with core.autocrlf=true" #
hint="python3 $0 init writes a .gitattributes that keeps git from it; then remove this file and prime," #
hint="$hint and git checkout both" #
case $line in *python3?) echo "prime: error: $problem" >&2; echo "  hint: $hint" >&2; exit 1 ;; esac #
[ -z "${ZSH_VERSION-}" ] || emulate sh
unset PYTHONHOME __PYVENV_LAUNCHER__
aside=

fail() {
    echo "prime: error: $1" >&2
    echo "  hint: $2" >&2
    rm -rf "${aside:-/nowhere/at/all}"
    exit 1
}

interrupted() { # STATUS: end, for a signal came
    rm -rf "${aside:-/nowhere/at/all}"
    echo "prime: error: interrupted; nothing is half-done" >&2
    echo "  hint: the same command goes on" >&2
    exit "$1"
}

runs() { # PROGRAM: true if it is a python that can run this file. Status 0 does not tell: an empty file has it
    path=$(command -v "$1") || return 1
    if [ "$path" -ef /usr/bin/python3 ] && [ -x /usr/bin/xcode-select ]; then
        /usr/bin/xcode-select -p >/dev/null 2>&1 || return 1 # without Xcode, it opens a dialog, whatever its name (C8)
    fi
    exec "$1" -c 'import sys; sys.exit(42 * (sys.version_info >= (3, 6)))' </dev/null >/dev/null 2>&1 &
    asked=$!
    end_in_time </dev/null >/dev/null 2>&1 &
    wait "$asked" 2>/dev/null
    answer=$?
    kill "$!" 2>/dev/null
    [ "$answer" = 42 ]
}

end_in_time() { # end $asked and its children in 5 seconds: some pythons hang (C2), and a Mac has no `timeout`
    for _ in 1 2 3 4 5; do sleep 1 && kill -0 "$asked" || return; done
    kill -s STOP "$asked"
    pkill -9 -P "$asked"
    kill -9 "$asked"
}

fetch() { # URL FILE: by https or from a file, redirects too; by http only if a hash is given (H7)
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

is_secure() { # FILE, the messages of wget: true if each redirect led to https, and wget checked each certificate
    [ -z "${PROTOPRIMER_UV_INSTALLER_SHA256-}" ] || return 0
    while read -r line; do
        case $line in
        [Ll][Oo][Cc][Aa][Tt][Ii][Oo][Nn]:*)
            target=${line#*:}
            while [ "${target# }" != "$target" ]; do target=${target# }; done
            case $target in
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

agree() { # MESSAGE [ARGS]: announce a download; on a terminal, ask first
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

fetch_uv() { # [ARGS]: fetch uv into the user cache, by its stand-alone installer
    url=${PROTOPRIMER_UV_INSTALLER_URL:-https://astral.sh/uv/install.sh} aside=$cache/aside.$$
    shown=$url
    case $url in *@*) shown=${url%%//*}//***@${url##*@} ;; esac # H14
    agree "uv will be fetched with $shown into $cache, and fetch one" "$@"
    trap 'interrupted 129' HUP
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    [ ! -e "$cache" ] || [ -O "$cache" ] ||
        fail "$cache belongs to another user" "PROTOPRIMER_CACHE_DIR names another directory"
    (umask 077 && mkdir -p "$aside") || fail "cannot write to $cache" "PROTOPRIMER_CACHE_DIR names another directory"
    [ -z "${mark-}" ] || echo "$mark_text" >"$mark"
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

find_python() { # print a python that uv installed; a broken python, or a project's request, would stop uv
    (cd / && "$uv" python find --no-project --system --python-preference only-managed ">=3.6" 2>/dev/null)
}

is_foreign() { # DIRECTORY: true if it has files of others, and no mark of ours (H2)
    [ -d "$1" ] && [ ! -f "$1/.proto-prime" ] || return 1
    for entry in "$1"/* "$1"/.[!.]*; do
        case $entry in */.DS_Store | */._* | */.localized | */.directory | */Thumbs.db | */desktop.ini) continue ;; esac
        ! [ -e "$entry" ] && ! [ -h "$entry" ] || return 0
    done
    return 1
}

can_write() { # DIRECTORY: true if files can be made in it, or in the nearest one above it that exists
    at=$1
    while ! [ -e "$at" ]; do
        case $at in
        */*) at=${at%/*} at=${at:-/} ;;
        *) at=. ;;
        esac
    done
    [ -w "$at" ] && [ -x "$at" ]
}

use_private() { # set $cache to a directory below the temporary one (M12)
    private=${TMPDIR:-/tmp}/proto_prime-$(id -u)
    if ! [ -e "$private" ] && (umask 077 && mkdir "$private"); then
        echo "prime: the cache $cache cannot be written: $private is used" >&2
    fi
    [ -O "$private" ] && ! [ -h "$private" ] && can_write "$private/uv" ||
        fail "cannot write to $cache" "PROTOPRIMER_CACHE_DIR names another directory"
    cache=$private mark=$private/.proto-prime
}

lend_places() { # let uv keep in $cache what it cannot keep at home; the variables for that are $lent (M12)
    if [ -z "${UV_CACHE_DIR-}" ] && ! can_write "${XDG_CACHE_HOME:-$home/.cache}/uv"; then
        export UV_CACHE_DIR="$cache/tools/uv_cache_dir"
        lent="$lent UV_CACHE_DIR"
    fi
    if [ -z "${UV_PYTHON_INSTALL_DIR-}" ] && ! can_write "${XDG_DATA_HOME:-$home/.local/share}/uv/python"; then
        export UV_PYTHON_INSTALL_DIR="$cache/tools/uv_python_install_dir"
        lent="$lent UV_PYTHON_INSTALL_DIR"
    fi
    [ -z "$lent" ] || {
        (umask 077 && mkdir -p "$cache/tools") && echo "$mark_text" >"$cache/.proto-prime"
    } || fail "cannot write to $cache" "PROTOPRIMER_CACHE_DIR names another directory"
}

provide() { # [ARGS]: set $python to a python that uv has installed, or installs now
    cache=${PROTOPRIMER_CACHE_DIR-}
    while [ "${cache#:}" != "$cache" ]; do cache=${cache#:}; done
    named=${cache%%:*} # the others are for what runs under a python
    home=${HOME:-$(eval "echo ~$(id -un 2>/dev/null)")}
    case $home in /*) ;; *) home=/dev/null ;; esac # a user without an entry in /etc/passwd
    cache=${XDG_CACHE_HOME:-$home/.cache}/proto_prime
    [ "$(uname)" != Darwin ] || cache=$home/Library/Caches/proto_prime
    cache=${named:-$cache}
    case $cache in
    /*) ;;
    "~" | "~/"*) cache=$home${cache#"~"} ;;
    *) cache=$PWD/$cache ;;
    esac
    if [ -n "$named" ]; then
        while is_foreign "$cache"; do cache=$cache/proto_prime; done
        mark=$cache/.proto-prime
    fi
    can_write "$cache" || use_private
    lend_places
    cache=$cache/uv
    for uv in uv "$home/.local/bin/uv" "$home/.cargo/bin/uv" /opt/homebrew/bin/uv /usr/local/bin/uv \
        "$cache"/uv-[0-9]*; do
        case $uv in
        "$home"/* | "$cache"/*) [ -O "$uv" ] || { uv= && continue; } ;; # with `sudo -E`, $home is another user's (H8)
        esac
        "$uv" python find --no-project --system --help </dev/null >/dev/null 2>&1 && break # an old uv does not have it
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

export PROTOPRIMER_TYPED="${PROTOPRIMER_TYPED:-$0}"
lent= mark_text="Made by proto_prime.py, which may remove all that is in this directory."
[ -f "$0" ] || fail "sh needs this as a file" "save it first, then: sh proto_prime.py"
for python in python3 python python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 \
    python3.7 python3.6 pypy3 "${HOME-}"/.pyenv/versions/*/bin/python3 \
    "${HOME-}"/.local/share/mise/installs/python/*/bin/python3 "${HOME-}"/.asdf/installs/python/*/bin/python3 \
    "${HOME-}"/.local/share/hatch/pythons/*/*/bin/python3 "${HOME-}"/.local/share/pdm/python/*/bin/python3 \
    "${HOME-}"/.local/share/pypoetry/python/*/bin/python3 "${HOME-}"/*conda3/bin/python3 \
    /usr/local/bin/python3 /opt/homebrew/bin/python3 /opt/*/bin/python3; do
    runs "$python" && exec "$python" "$0" "$@"
done
provide "$@"
[ -z "$lent" ] || unset $lent
exec "$python" "$0" "$@"
'''
__doc__ = """Set up a repo's Python environment, and run commands in it, from one file in the repo.

Usage: ./prime -v, or python3 proto_prime.py -v. The map above the licence tells what happens, and where it stands.
"""

import _thread
import os
import sys

__version__ = "0.1.0"

SCHEMA = 1  # of generations and JSON output; part of every generation's key
STAGES = ("wild", "required", "venv")
OLDEST_PYTHON = (3, 6)  # that this file runs on, and that an environment may have
OLDEST_UV_PYTHON = (3, 8)  # that may deploy uv: its wheel says Requires-Python >= 3.8

PY_EXEC = "PROTOPRIMER_PY_EXEC"  # "<stage>:<ref root>", internal
SAID_VAR = "PROTOPRIMER_SAID"  # what the stage before has to say to the log, internal
ENVIRON_VAR = "PROTOPRIMER_ENVIRON"  # all variables as they came to `prime`, for sh changes some, internal
ENVIRON_CAP = 40000  # bytes of them at most, as `ENTRY_SCRIPT` has it; in hexadecimal the system takes 43690
TYPED_VAR = "PROTOPRIMER_TYPED"  # the file that was given to `sh`, internal
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
# An error that a user can mend is a `PrimeError`. All text for people goes through the one `report`.
# `masked` hides the passwords in every text that is shown or kept; no other chapter shows a URL without it.


class PrimeError(Exception):
    """An error that a user can cause and mend: printed as a few lines, never as a traceback.

    message  str, what failed, with the file or the value that it failed on
    where    str, the origin of that value, such as "pyproject.toml, line 3"; printed in parentheses
    tried    iterable of str, a line for each attempt
    hint     str, what to do about it
    status   int, exit status: 1 failed, 2 wrong usage or config, 126 and 127 as in a shell
    """

    def __init__(self, message, where="", tried=(), hint="", status=1):
        super().__init__(message)
        self.message, self.where, self.tried = message, where, list(tried)
        self.hint, self.status = hint, status

    def __str__(self):
        message, file = self.message, self.where.replace(":", ",").split(",")[0]
        if file and message.startswith(file + ": "):  # no place is told twice
            message = message[len(file) + 2:]
        return "%s (%s)" % (message, self.where) if self.where and "(%s)" % self.where not in message else message


class Mismatch(PrimeError):
    """A download has another hash or size than it must have. No caller goes on without it."""


class Interrupted(BaseException):
    """A signal of `end_signals` came. Not an Exception, like KeyboardInterrupt."""

    def __init__(self, signum):
        super().__init__(signum)
        self.signum = signum


class Reporter:
    """Writes all text for people to stderr and to the log, never to stdout.

    verbosity  int: -1 errors alone, 0 notices too, 1 decisions and commands too, 2 the children's output too
    log        the open log file, or None; `log_path` is its path
    unlogged   list of str, the text from before there was a log
    as_typed   function from a str to a str: names this program in a hint as the user started it
    live_line  str, the line that `tick` renews on a terminal
    waits_for  str, what the tool of a step said last, which the live line shows
    """

    def __init__(self):
        self.verbosity = 0
        self.log, self.log_path, self.unlogged = None, "", []  # type: ignore[var-annotated]
        self.step_title, self.step_start, self.is_live, self.live_line, self.waits_for = "", 0.0, False, "", ""
        self.patience, self.noted = 0, set()  # type: float, set
        self.as_typed = lambda text: text

    def note(self, text, lines=()):
        """Print a line, and indented ones below it, unless the user asked for quiet."""
        self._say("\n  ".join(map(one_line, ["prime: " + text, *lines])), 0)

    def note_once(self, text):
        """`note`, unless this process or the stage before it printed the same text."""
        before = "".join(self.unlogged) + os.environ.get(SAID_VAR, "")
        if text not in self.noted and one_line(text) not in before:
            self.note(text)
        self.noted.add(text)

    def detail(self, text):
        """Print a line with -v: a stage, a decision with its reason, a child command."""
        self._say("prime: " + one_line(text), 1)

    def error(self, error):
        """Print a PrimeError with its attempts and its hint."""
        lines = ["prime: error: %s" % error] + ["  " + line for line in error.tried]
        if error.hint:
            lines.append("  hint: " + self.as_typed(error.hint))
        self._say("\n".join(map(one_line, lines)), -1)

    def arrow(self):
        """What stands between an old value and a new one: ASCII if stderr can show nothing else."""
        try:
            "\u2192".encode(getattr(sys.stderr, "encoding", None) or "ascii")
            return "\u2192"
        except (UnicodeError, LookupError):
            return "->"

    def output(self, data):
        """Write a child's output to the log, with -vv to stderr too. data: bytes, whole lines, as `masked` needs."""
        self._write(masked(data.decode("utf-8", "backslashreplace")), 2)

    def step(self, title):
        """Announce long work: by a plain line, or on a terminal by a live line that stays until `done`."""
        self.wait(title, 0)
        if self.is_live:
            self.tick()
        else:
            self.note(title)

    def wait(self, title, patience=1):
        """Begin work that is seldom long: if it lasts longer than so many seconds, a terminal shows a live line."""
        import time

        self.step_title, self.step_start = "prime: " + one_line(masked(title)), time.monotonic()
        self.patience = patience
        self.is_live = self.verbosity == 0 and self._is_terminal() and is_foreground()

    def tick(self):
        """Renew the live line if it changed. Called some ten times a second while a child works."""
        if self.is_live and is_foreground():
            import time

            if time.monotonic() - self.step_start < self.patience:
                return
            room = columns() - 3  # an echoed ^C takes two columns, and some terminals wrap after the last one
            spent = " %d s" % (time.monotonic() - self.step_start)
            line = clipped(clipped(self._step_text(room), room - len(spent)) + spent, room)
            if line != self.live_line:
                self.live_line = line  # before it is shown, for an interrupt may come meanwhile
                self._show("\r\x1b[K" + line)

    def _step_text(self, room):
        """What a live line of so many columns shows: the step's title, and what it waits for; alone if few."""
        if not self.waits_for or room < 60:
            return self.waits_for or self.step_title
        return "%s: %s" % (clipped(self.step_title, room // 2), self.waits_for)

    def done(self):
        """Remove the live line, if there is one."""
        if self.live_line and is_foreground():
            self._show("\r\x1b[K")
        self.is_live, self.live_line, self.waits_for = False, "", ""

    def keep_log(self, path, file):
        """Write everything to this open binary file too: what was said before, and what comes."""
        self.log_path, self.log = path, file
        file.write("".join(self.unlogged).encode("utf-8", "backslashreplace"))

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
                self.unlogged.append(text)  # the log of a build begins with the decisions before it
        except OSError:
            self.log = None
        if self.verbosity >= level:
            self._show(painted or text)

    def _show(self, text):
        try:
            if sys.stderr is not None:  # E7: it may be closed
                sys.stderr.write(text)
                sys.stderr.flush()
        except OSError:  # closed or full: at its end python would fail once more, and change the exit status
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        except ValueError:
            pass

    def _is_terminal(self):
        is_shown = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        return is_shown and (not WINDOWS or console_takes_escapes())

    def _painted(self, text):
        """An error's text with colours, if they are wanted. NO_COLOR goes before FORCE_COLOR; "" counts as unset."""
        is_wanted = os.environ.get("FORCE_COLOR") or self._is_terminal()
        if os.environ.get("NO_COLOR") or not is_wanted or not text.startswith("prime: error:"):
            return text
        return text.replace("error:", "\x1b[31merror:\x1b[0m", 1).replace("\n  hint:", "\n  \x1b[36mhint:\x1b[0m")


report = Reporter()


def visible(text):
    """`text` with escapes for each character that a terminal would obey instead of showing it, except line ends."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
                   for char in text)


def one_line(text):
    """`visible` text with escapes for its line ends too, so that a value cannot add a line to a message (H13)."""
    return visible(text).replace("\n", "\\n")


def clipped(text, room):
    """The start of `text` that fits into so many columns of a terminal."""
    for index, char in enumerate(text):
        room -= 2 if char >= "\u1100" else 1  # the first wide character is U+1100
        if room < 0:
            return text[:index]
    return text


def width_of(text):
    """The number of columns that a text takes on a terminal, by the rule of `clipped`."""
    return len(text) + sum(char >= "\u1100" for char in text)


def room_on(file):
    """The columns for a table at a file descriptor: those of a terminal; elsewhere no line is broken."""
    return columns(file) if os.isatty(file) else sys.maxsize


def in_columns(rows, room):
    """Rows of texts as lines, a list of str. If one is too wide, the last text of each row stands below the others."""
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*rows)]
    lines, broken = [], []
    for *texts, last in rows:
        head = "  ".join(text + " " * (width - width_of(text)) for text, width in zip(texts, widths))
        lines.append("%s  %s" % (head, last))
        broken += [head.rstrip()] + ["      " + line for line in wrapped(last, room - 6)]
    return lines if max(map(width_of, lines), default=0) <= room else broken


def pointed(line, index):
    """Two lines for an error: a line of a file, and a caret below its character at `index`.

    Only what fits in a row of the terminal is shown of it, for the caret would stand below another row.
    """
    before, after, room = visible(line[:index]), visible(line[index:index + 500]), columns() - 8
    while width_of(before) > room - 8:
        before = "..." + before[len(before) // 4 + 4:]
    return [clipped(before + after, room), " " * width_of(before) + "^"] if line.strip() else []


def columns(file=2):
    """The width of the terminal at stderr, or at another file, in characters; 80 if it is none."""
    try:
        return os.get_terminal_size(file).columns or 80  # 0: the terminal does not know its width
    except OSError:  # it was closed, or is a pipe
        return 80


def console_takes_escapes():
    """Let the console of Windows at stderr obey escape sequences. True if it does: old ones show them (W18)."""
    import ctypes

    kernel, mode = ctypes.windll.kernel32, ctypes.c_ulong()  # type: ignore[attr-defined]
    handle = ctypes.c_void_p(kernel.GetStdHandle(-12) or None)  # STD_ERROR_HANDLE
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    return bool(mode.value & 4 or kernel.SetConsoleMode(handle, mode.value | 4))  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


def is_foreground():
    """True if the terminal at stderr is ours. While we run in the background, it shows the line of another program."""
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except (AttributeError, OSError):  # Windows, or stderr is not our terminal
        return True


def emit(text):
    """Write data to stdout; paths byte for byte as the file system has them, in any locale (E10)."""
    if sys.stdout is None:  # E7
        raise PrimeError("stdout is closed, and this command prints")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as problem:  # as in `Reporter._show`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if WINDOWS and problem.errno == 22:  # W18: what it says of a pipe that nobody reads any more
            raise BrokenPipeError(problem.errno, problem.strerror)
        if isinstance(problem, BrokenPipeError):
            raise
        raise PrimeError("cannot write to stdout: %s" % problem.strerror)  # such as a file on a full disk (M11)


def as_json(value):
    """A value as indented JSON text with a line end."""
    import json

    return json.dumps(value, indent=2, default=list).replace("\x7f", "\\u007f") + "\n"  # dumps does not escape DEL


NEAR_CAP = 100  # characters of a name that are compared; the time grows with their square (H10)


def nearest_name(name, names, likeness=0.6):
    """The one of the valid `names` that an unknown one was meant for; "" if none is that much like it, at most 1."""
    import difflib

    by_lower = {each.lower(): each for each in names if len(each) <= NEAR_CAP}
    near = difflib.get_close_matches(name[:NEAR_CAP].lower(), by_lower, 1, likeness)
    return by_lower[near[0]] if near else ""


def slip_of(word, names):
    """The first of `names` that is one slip from `word`: a letter more, less or another, or two swapped; else ""."""
    for name in names:
        at = len(os.path.commonprefix([word, name]))
        typed, meant = word[at:], name[at:]
        is_near = meant in (typed[1:], typed[1::-1] + typed[2:]) or meant[1:] in (typed, typed[1:])
        if is_near and min(len(word), len(name)) > 2:
            return name
    return ""


def nearest(name, names):
    """The hint for an unknown name: the nearest of the valid `names`, else all of them; "" if there are none."""
    near = nearest_name(name, names, 0.5)
    if near:
        return 'did you mean "%s"?' % near
    names = [each for each in names if len(each) <= NEAR_CAP]
    return "known: " + ", ".join(sorted(names)) if names else ""


def wrapped(text, room, indent=""):
    """`text` in lines of at most so many columns, which break between words alone, and not at U+00A0.

    indent  str, before all lines but the first
    """
    import textwrap

    lines = textwrap.wrap(text, max(room, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines] or [""]


def in_two_columns(rows, room):
    """Lines of labels, each with the text on its meaning to the right, in so many columns. rows: pairs of str."""
    lines, wide = [], min(max(len(label) for label, _ in rows), room // 3) if rows else 0
    for label, text in rows:
        texts = wrapped(text, room - wide - 4)
        if len(label) > wide:
            lines += wrapped("  " + label, room, "    ")
            label = ""
        lines += ["  %-*s  %s" % (wide, label if not number else "", line) for number, line in enumerate(texts)]
    return lines


def shown_value(value):
    """A value of a config or a lock file as an error shows it: at most its first 200 characters (H10)."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of more digits than python prints
        return "a value that is too large"
    return text if len(text) <= 200 else text[:200] + "..."


def tilde(path):
    """`path` with ~ for the home directory."""
    home = os.environ.get("HOME", "")
    return "~" + path[len(home):] if home.strip("/") and path.startswith(home + os.sep) else path


def user_name(uid):
    """The name of a user with the number: "mary (uid 1000)"."""
    try:
        import pwd

        return "%s (uid %d)" % (pwd.getpwuid(uid).pw_name, uid)
    except (ImportError, KeyError):
        return "uid %d" % uid


def host_name():
    """The name of this machine, as a str."""
    return os.environ.get("COMPUTERNAME", "") if WINDOWS else os.uname().nodename


def shown(argv):
    """A command on one line, quoted for the user's shell and without passwords."""
    if WINDOWS:
        return masked(command_line(word if "\n" not in word else "..." for word in argv))
    import shlex

    return masked(" ".join(shlex.quote(word) if "\n" not in word else "'...'" for word in argv))


def visible_word(word):
    """A word of a command line in a message: in quotes if there would be nothing to see."""
    return word if word.strip() else '"%s"' % word


def quoted_word(word, is_plain, quote='\\"'):
    """A word of a command line, in quotes unless it `is_plain`. The C library of Windows takes it apart again.

    quote  what stands for a quote in it; backslashes before one, or at its end, are doubled
    """
    parts = word.split('"')
    doubled = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in parts]
    return quote.join(doubled[:-1] + parts[-1:]) if is_plain else '"%s"' % quote.join(doubled)


def command_line(argv):
    """The command line of a program of Windows, as subprocess.list2cmdline makes it, whose import takes long (W21)."""
    return " ".join(quoted_word(word, word and not set(word) & set(" \t")) for word in argv)


def typed(*words):
    """A command of ours as the user types it, on one line."""
    return report.as_typed(shown(["prime", *words]))


# Where a URL begins: its "://", or "//" in front of a word; in JSON also with backslashes.
URL_SLASHES = r"((?::|(?<![\w/\\.:~)\]-]))(?:\\?/){2,})"
# What stands between the slashes and an "@" or "/" and is a host for sure: [IPv6], IPv4, localhost or nothing.
URL_ADDRESS = r"(\[[^]]*\]|(\d+\.){3}\d+|localhost|)(:\d*)?$"
# The start of a text that looks like a host.
LIKE_HOST = r"[\w-]+\.[\w.-]*[A-Za-z]|[\w.-]+:\d|localhost\b|(\d+\.){3}\d"
# user:password that a blank or the end of the text cuts before its "@"; not host:port with punctuation behind it.
CUT_PASSWORD = r"(?!((\d+\.){3}\d+|localhost):)[\w.%+~!$&*=-]+:\d*[^\d/?#\\)\]}>,;:'\"!.]"
# A revision of a checkout, or a version, behind an "@" in a path; never a host.
REVISION = r"(?!((\d+\.){3}\d+|localhost)(?![\w.+~-]))[\w.+~-]+(?![\w.+~/:@-])"


def masked(text):
    """`text` with *** for the user names and passwords of the URLs in it, however they are written (H14).

    Hides everything from the slashes of a URL up to its "@", even if there is a "/", "#" or "?", which no password
    of a URL may have. Shows an "@" in a path if a revision or a version follows it. Hides a URL that ends before
    its "@" comes. Takes linear time.
    """
    if "//" not in text and "\\/" not in text:  # `re` costs a warm boot 4 ms
        return text
    import re

    pieces = re.split(URL_SLASHES, text)
    parts = pieces[:1]
    for before, slashes, after in zip(pieces[::2], pieces[1::2], pieces[2::2]):
        length = secret_length(before[-40:], slashes, after)
        parts += [slashes, "***" if length else "", after[length:]]
    return "".join(parts)


def secret_length(before, slashes, text):
    """The number of characters at the start of `text` that are a secret of a URL.

    before   str, the end of the text in front of the slashes: maybe a quote and a scheme
    slashes  str, the slashes of the URL, maybe with a colon
    text     str, from there up to the slashes of the next URL
    """
    import re

    url = re.split("[\0\t-\r ]", text, maxsplit=1)[0]
    if "@" not in url and ":" not in url:
        return 0
    quote, scheme = re.findall(r"(['\"]?)([a-zA-Z0-9+.-]*)\Z", before)[0]
    if scheme.lower().endswith("file") and slashes.count("/") > 2:  # an absolute path
        return 0
    is_quoted = False
    if quote:
        url, *rest = re.split(quote + r"(?=[],:;)}]|$)", url, maxsplit=1)
        is_quoted = bool(rest)
    if "@" in url:
        return user_length(url, is_checkout="+" in scheme or scheme in ("ssh", "git"))
    if not re.match(CUT_PASSWORD, url):
        return 0
    at = re.split("[\n\r]", text, maxsplit=1)[0].find("@")  # behind a blank in the password
    return len(url) if is_quoted or at < 0 else at


def user_length(url, is_checkout):
    """The number of characters at the start of a URL, without scheme and slashes, that are a user and a password."""
    import re

    at = url.rfind("@")
    head = re.split(r"[/?#\\]", url, maxsplit=1)[0]
    revision = REVISION if is_checkout else r"(?=v?\d)" + REVISION
    if at > len(head) and re.match(revision, url[at + 1:]):
        at = max(url.rfind("@", 0, at), 0)
    if at < len(head):
        return at
    if re.match(URL_ADDRESS, head):
        return 0
    if not re.match(r"[\w.~-]*$", head):  # with a port it may be a user and a password
        return at
    return at if "." not in head and re.match(LIKE_HOST, url[at + 1:]) else 0


def masked_values(value, mask=masked):
    """A JSON value with `mask` applied to each string in it."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: masked_values(each, mask) for key, each in value.items()}
    return [masked_values(each, mask) for each in value] if isinstance(value, (list, tuple)) else value


# --------------------------------------------------------------------------------------------------
# Files and hashes
# --------------------------------------------------------------------------------------------------
# Reads regular files of a sane size, writes each file by one rename, checks names and texts that others wrote.
# The rest of the book compares the state of a file by its `signature`.

PARSE_CAP = 1 << 24  # bytes of a file that is read as a whole
HASH_CAP = 1 << 32  # bytes of a file that is hashed: some in /proc have no end
READ_SIZE = 1 << 16
# The open waits for no fifo and takes no terminal for ours, and no child inherits the file.
READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in (
    "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"))


def chunks_of(path, cap):
    """The bytes of a regular file, in chunks. OSError if it cannot be read, or has more than `cap` bytes (H10)."""
    check_regular(os.stat(path), path)  # before the open, for some devices act on that alone
    descriptor = os.open(path, READ_FLAGS)
    try:
        check_regular(os.fstat(descriptor), path)  # by now another file may stand there
        chunk, count = os.read(descriptor, READ_SIZE), 0
        while chunk:
            count += len(chunk)
            if count > cap:
                raise OSError(27, "it has more than %d MiB" % (cap >> 20), path)
            yield chunk
            chunk = os.read(descriptor, READ_SIZE)
    finally:
        os.close(descriptor)


def check_regular(st, path):
    """OSError unless `st`, a result of `stat`, is that of a regular file (H10)."""
    kind = st.st_mode & 0o170000  # as `stat.S_IFMT` has it
    if kind == 0o040000:
        raise IsADirectoryError(21, "it is a directory", path)
    if kind != 0o100000:
        raise OSError(22, "it is no regular file", path)
    if st.st_size > PARSE_CAP and getattr(st, "st_blocks", st.st_size) * 512 < st.st_size // 16:
        raise OSError(27, "it has more than %d MiB, which are not there" % (PARSE_CAP >> 20), path)  # such as kcore


def load_text(path, decode=bytes.decode):
    """The text of a file, without a byte order mark; PrimeError if it cannot be read.

    decode  function that makes a str of the bytes, for what is not in UTF-8
    """
    try:
        text = decode(b"".join(chunks_of(path, PARSE_CAP)))  # utf-8-sig is a module of its own
        return text[1:] if text[:1] == "\ufeff" else text
    except OSError as problem:
        raise PrimeError("cannot read %s: %s" % (path, problem.strerror), status=2)
    except UnicodeDecodeError as problem:
        number = problem.object.count(b"\n", 0, problem.start) + 1
        message = "cannot read %s: it is not UTF-8, by line %d" % (path, number)
        raise PrimeError(message, hint="save it as UTF-8", status=2)


def bytes_of(path):
    """A file's content; None if it cannot be read, is no regular file or is larger than `PARSE_CAP`."""
    try:
        return b"".join(chunks_of(path, PARSE_CAP))
    except (OSError, ValueError):
        return None


def loose_text(path, encoding="utf-8"):
    """A file's text, with what is not in this encoding replaced; "" where `bytes_of` is None."""
    return (bytes_of(path) or b"").decode(encoding, "replace")


def has_bytes(path, mark):
    """True if a file can be read and contains the bytes `mark`."""
    return mark in (bytes_of(path) or b"")


def is_script(path, begins=b"#!"):
    """True if a program is a script, such as a shim: then its answers depend on more than its file."""
    try:
        return next(chunks_of(path, READ_SIZE), b"").startswith(begins)
    except (OSError, ValueError):
        return False


def write_atomic(path, data):
    """Write bytes so that a reader, or a crash, leaves either the old file or the new one, whole.

    Replaces a link at `path`, never writes through it (H5).
    """
    make_directory(os.path.dirname(path))
    aside = temporary_path(path)
    try:
        with os.fdopen(create_file(aside), "wb") as file:
            file.write(data)
        put_in_place(aside, path)
    except BaseException as problem:
        tend(remove, aside)
        if isinstance(problem, OSError) and problem.filename in (None, aside):  # the user knows `path` alone
            problem.filename = path
        raise


def put_in_place(aside, path):
    """os.replace. Windows refuses it while another process has the file open, as readers and scanners do: try again."""
    import time

    for _ in range(200 * WINDOWS):
        try:
            return os.replace(aside, path)
        except PermissionError:
            time.sleep(0.01)
    os.replace(aside, path)


def create_file(path):
    """Create a file where there was none, and open it for writing. Returns the file descriptor.

    It is as open to others as its directory is, and never writable for all.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW
    return os.open(path, flags, 0o600 | 0o666 & openness(os.path.dirname(path)))


def tend(work, path, *words):
    """Call work(path, *words), book-keeping such as os.utime, or clearing away: that it fails is a detail (M11, W7)."""
    try:
        work(path, *words)
    except OSError as problem:
        report.detail("cannot %s %s: %s" % (work.__name__, path, problem.strerror or problem))


def make_directory(path, mode=None):
    """Make a directory, and those above it that are missing.

    mode  int; default: each is as open to others as the directory above it, and never writable for all
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
    """The permissions of a directory, as an int: without writing by others, and in one such as /tmp by its group."""
    mode = os.stat(directory or os.curdir).st_mode
    return mode & (0o755 if mode & 0o1000 else 0o775)


NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
LEFTOVER_SECONDS = 3600  # at this age a temporary file is that of a killed command


UNFINISHED = ".prime-tmp"  # the ending of what is not yet what it will be, and of what is made to try a directory


def temporary_path(path):
    """A new name beside `path` for its unfinished content. Removes the leftovers of killed commands there."""
    directory, name = os.path.split(path)
    remove_leftovers(directory, name + ".", UNFINISHED)
    return "%s.%s%s" % (path, random_name(), UNFINISHED)


def random_name():
    """A name that nobody can predict: 16 digits in hex."""
    return os.urandom(8).hex()


def is_hex(text):
    """True if a text has no other characters than hexadecimal digits in small letters."""
    return set(text) <= set("0123456789abcdef")


def remove_leftovers(directory, start, end):
    """Remove old files and links with names of our making: `start` + `random_name()` + `end` (H5)."""
    for name in names_if_there(directory):  # without `re`, for `return_to` comes here
        middle = name[len(start): len(start) + 16]
        if name == start + middle + end and len(middle) == 16 and is_hex(middle):
            path = os.path.join(directory, name)
            try:
                if is_old(path):
                    os.remove(path)
            except OSError:  # another process was faster, or it is a directory
                pass


def is_old(path):
    """True if a file or directory is so old that no running command works on it."""
    import time

    return time.time() - os.lstat(path).st_mtime >= LEFTOVER_SECONDS


def remove(path):
    """Remove a file, link or tree if it is there."""
    try:
        os.rmdir(path)  # an empty directory, or a junction, which python does not call a link
        return
    except OSError:
        pass
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    elif os.path.lexists(path):
        if WINDOWS and not os.path.islink(path):
            os.chmod(path, 0o600)
        os.remove(path)


def remove_tree(path):
    """Remove a directory with all that is in it, even what cannot be written, as the objects of git (W7).

    The system refuses that for files in read-only directories; Windows, for read-only files.
    """
    import shutil

    shutil.rmtree(path, ignore_errors=True)
    if not os.path.lexists(path):
        return
    os.chmod(path, 0o700)
    for directory, names, files in os.walk(path):
        for name in names + files * WINDOWS:
            entry = os.path.join(directory, name)
            if not is_link(entry):
                os.chmod(entry, 0o700)
    shutil.rmtree(path)


def remove_file(path):
    """Remove a file that has a name of our making. A directory or link of that name is not ours, and stays."""
    if is_file(path):
        try:
            remove(path)
        except FileNotFoundError:  # another process was faster
            pass


def is_file(path):
    """True if a path is a regular file, and no link to one."""
    return os.path.isfile(path) and not is_link(path)


def is_link(path):
    """True if a path is a symbolic link, or a junction, which python does not call a link."""
    try:
        entry = os.lstat(path)
    except (OSError, ValueError):
        return False
    tag = getattr(entry, "st_reparse_tag", None)  # on Windows, from 3.8 on
    if tag is not None:
        return tag == 0xA0000003 or os.path.islink(path)  # IO_REPARSE_TAG_MOUNT_POINT
    if getattr(entry, "st_file_attributes", 0) & 0x400:  # FILE_ATTRIBUTE_REPARSE_POINT, which cloud drives set as well
        directory, name = os.path.split(os.path.abspath(path))
        return real_path(path) != os.path.join(real_path(directory), name)
    return os.path.islink(path)


def real_path(path):
    """A path without links, as os.path.realpath has it, which before 3.8 follows no junction.

    "" if nobody tells: under these pythons for a junction that leads to what is gone.
    """
    real = os.path.realpath(path)
    if not WINDOWS or real != os.path.abspath(path):
        return real
    import nt

    try:
        return plain_path(nt._getfinalpathname(path))  # type: ignore[attr-defined]
    except OSError:
        return "" if os.path.lexists(path) else real


def plain_path(path):
    r"""A path of Windows without the prefix \\?\, by which some functions of Windows take and return it (W6).

    A python that is started by such a path says another `sys.prefix`, and venv, pip and uv do not understand it.
    """
    if path.startswith("\\\\?\\UNC\\"):
        return "\\\\" + path[8:]
    return path[4:] if path.startswith("\\\\?\\") and path[4:11] != "Volume{" else path


def entries_named(directory, pattern):
    """The names in a directory that match a regular expression as a whole, sorted; [] if it cannot be read."""
    import re

    try:
        return sorted(name for name in os.listdir(directory) if re.match("(?:%s)$" % pattern, name))
    except (OSError, ValueError):
        return []


def names_if_there(directory):
    """The names in a directory, a list; [] if there is none."""
    return os.listdir(directory) if os.path.isdir(directory) else []


def entries_of(directory):
    """The names in a directory, less the files that file managers leave in each that they show (M23); OSError."""
    return [name for name in os.listdir(directory) if name not in LITTER and not name.startswith("._")]


LITTER = (".DS_Store", ".localized", ".directory", "Thumbs.db", "desktop.ini")


def paths_named(directory, pattern):
    """`entries_named` as paths."""
    return [os.path.join(directory, name) for name in entries_named(directory, pattern)]


def unused(path):
    """The first of `path`, `path`.2, `path`.3, ... that does not exist."""
    name, count = path, 1
    while os.path.lexists(name):
        count += 1
        name = "%s.%d" % (path, count)
    return name


def hash_of(chunks):
    """SHA-256 of an iterable of bytes, in hex. Not from `hashlib`, which takes milliseconds to load OpenSSL."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found]
        except ImportError:  # PyPy
            from hashlib import sha256
    state = sha256()
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()


def hash_bytes(data):
    """SHA-256 of bytes, in hex."""
    return hash_of([data])


def hashed_name(text):
    """A name for what a text or a path names, which itself may be no name: 16 hex digits."""
    return hash_bytes(os.fsencode(text))[:16]


def hash_file(path):
    """SHA-256 of a file's bytes, in hex; "" if it cannot be read, or is larger than `HASH_CAP`."""
    try:
        return hash_of(chunks_of(path, HASH_CAP))
    except (OSError, ValueError):
        return ""


def hash_text(path):
    """SHA-256 of a text file, in hex, with LF for each line end: a checkout may have others (W5). "" as `hash_file`."""
    data = bytes_of(path)
    return hash_file(path) if data is None else hash_bytes(data.replace(b"\r\n", b"\n"))


def digest(value):
    """A hash of a JSON value: 12 hex digits, the same on every python."""
    import json

    return hash_bytes(json.dumps(value, sort_keys=True, default=list).encode())[:12]


def signature(path):
    """The state of a file by `stat`, as a str; "-" if there is no file. Equal signatures mean: unchanged.

    Inode and ctime show that a file was replaced by one of equal size and mtime (T7).
    """
    try:
        st = os.stat(path)
    except (OSError, ValueError):
        return "-"
    return "%d.%d.%d.%d" % (st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)


def with_links(paths):
    """These paths, and behind each one that is a link what it leads to, by its own text."""
    all_paths = []
    for path in paths:
        all_paths.append(path)
        for _ in range(40):  # as many as the system follows
            if not os.path.islink(path):
                break
            path = os.path.join(os.path.dirname(path), os.readlink(path))
            all_paths.append(path)
    return all_paths


def is_fresh(path):
    """True if a file, or a link, changed so lately that another change could leave its signature as it is (T7)."""
    import time

    try:
        st = os.lstat(path)
    except (OSError, ValueError):
        return False
    now = time.time() * 10 ** 9
    # Some file systems never change ctime. An mtime that is yet to come was set on purpose.
    for changed in [st.st_ctime_ns] + [st.st_mtime_ns] * (st.st_mtime_ns <= now):
        granularity = 5 * 10 ** 7 if changed % 10 ** 9 else 2 * 10 ** 9  # ns; some file systems count seconds
        if now - changed < granularity:
            return True
    return False


def consists_of(text, others):
    """True if a text has no characters but letters, digits and those of `others`."""
    return all(char.isalnum() or char in others for char in text)


def has_control(text):
    """True if a text has a character that ends a line somewhere, or that no line shows, except tabs (H15)."""
    return not text.isprintable() and any(
        char < " " and char != "\t" or "\x7f" <= char < "\xa0" or char in "\u2028\u2029" for char in text)


def check_text(text, field, file, is_requirement=False):
    """Check a value that becomes an argument of pip or uv, or a line of a file (H15).

    text            any value; field, file: where it stands
    is_requirement  no word of it may begin with "-": behind a requirement in a file that is an option, too
    Returns the text; PrimeError with status 2 if it is no string or could mean something else there.
    """
    kind = " is no requirement: it" if is_requirement else ""
    if not isinstance(text, str):
        raise PrimeError("%s: %s%s is no string" % (field, shown_value(text), kind), file, status=2)
    if has_control(text):
        reason = "has a line end or another control character"
    elif text.strip()[:1] == "-":  # an option of pip's
        reason = 'starts with "-"'
    elif is_requirement and any(word[:1] == "-" for word in text.split()):
        reason = 'has a word that starts with "-"'
    else:
        return text
    raise PrimeError('%s: "%s"%s %s' % (one_line(field), one_line(text[:200]), kind, reason), file, status=2)


def texts_in(value):
    """All strings in a value of lists and tables, keys included: pairs of a name and the string.

    The name is "TOP.KEY", even deep inside: with all keys between, it could be longer than the file (H10).
    """
    waiting = [("", value)]
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


# Names that mean a device on Windows, with any ending.
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    device + number for device in ("com", "lpt") for number in "0123456789\xb9\xb2\xb3"}


def why_no_file_name(text):
    """The reason why a text that others wrote cannot name a file on every platform; "" if it can (H4)."""
    if not isinstance(text, str) or text in ("", ".", ".."):
        return "it names no file"
    for is_wrong, reason in (
            (set(text) & set("/\\:"), "it names a place"),
            (has_control(text) or "\t" in text, "it has a control character"),
            (text[-1] in " .", "Windows drops its end"),
            (text.partition(".")[0].rstrip(" ").lower() in DEVICES, "it is a device of Windows"),
            (text.encode("utf-8", "ignore").decode() != text, "it is no text"),
            (len(text.encode("utf-8", "ignore")) > 255, "it is too long")):
        if is_wrong:
            return reason
    return ""


def file_name(text, origin):
    """`text`, which others wrote, as the name of a file; PrimeError with `origin` if it cannot be one (H4)."""
    reason = why_no_file_name(text)
    if reason:
        raise PrimeError("%s is not taken for the name of a file: %s" % (shown_value(text), reason), origin)
    return text


def safe_name(text):
    """`text`, which nobody checked, as the name of a file of ours: a hash of it if it cannot be one (W14).

    A file `aux` is a device under Windows: who opens it waits for ever.
    """
    is_safe = not why_no_file_name(text) and not set(text) & set('*?|<>"')
    return text if is_safe else "-" + hashed_name(text)


def slashed(path):
    """A path as other programs' formats have it: to most of them a "\\" is an escape (W3)."""
    return path.replace(os.sep, "/")


def path_below(path, start):
    """A path relative to the directory `start`, with slashes; as it is if it is on another drive (W13)."""
    try:
        return slashed(os.path.relpath(path, start))
    except ValueError:
        return slashed(path)


def is_inside(path, directory):
    """True if a path is below a directory, or the directory itself, by their texts."""
    return path == directory or path.startswith(os.path.join(directory, ""))


def is_url(text):
    """True if the text of a setting is a URL, and no path."""
    return "://" in text or text.startswith("file:")


def is_local(place):
    """True if a place of wheels, a path or a URL, is on this machine."""
    return not is_url(place) or place.startswith("file:")


def local_path(place):
    """The path of a place that `is_local`: a path, or a file URL."""
    if not is_url(place):
        return place
    import urllib.parse
    import urllib.request

    return urllib.request.url2pathname(urllib.parse.urlsplit(place).path)


def file_url(path):
    """The file URL of an absolute path."""
    import urllib.request

    return ("file:" if WINDOWS else "file://") + urllib.request.pathname2url(path)


def unquoted(url):
    """The last part of a URL's path, without %XX; for `file_name` to check."""
    import urllib.parse

    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])


LOG_NAME = r"\d{8}-\d{6}-\d+\.log"  # of the files that `open_log` makes


def open_log(directory):
    """Write everything that is reported to a new file in `directory` too; keep the newest five files."""
    import time

    path = os.path.join(directory, time.strftime("%Y%m%d-%H%M%S") + "-%d.log" % os.getpid())
    try:
        make_directory(directory)
        for old in list(filter(is_file, paths_named(directory, LOG_NAME)))[:-4]:
            tend(os.remove, old)
        report.keep_log(path, os.fdopen(create_file(path), "wb", buffering=0))  # B5: a full disk shows at once
    except OSError as problem:  # the build goes on without a log
        report.detail("no log: %s" % problem)


# --------------------------------------------------------------------------------------------------
# Variables
# --------------------------------------------------------------------------------------------------
# The environment variables that another program gets: those that point an interpreter to the files of another are not
# among them. Files of variables, and settings that mean yes.

# They point an interpreter to the environment or the files of another (bpo-35811).
FOREIGN_VARS = (PY_EXEC, SAID_VAR, TYPED_VAR, ENVIRON_VAR, "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "PYTHONHOME",
                "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")
# A pyenv shim sets these for the program that it starts. With them every other shim fails.
SHIM_VARS = ("PYENV_DIR", "PYENV_VERSION", "PYENV_HOOK_PATH")
# They would send an install elsewhere (E3).
TOOL_VARS = """CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_PYTHON PIP_REPORT
PIP_REQUIRE_VIRTUALENV UV_PROJECT UV_WORKING_DIR UV_WORKING_DIRECTORY UV_PYTHON UV_PYTHON_PREFERENCE
UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT UV_FROZEN UV_LOCKED
UV_BREAK_SYSTEM_PACKAGES UV_NO_SYNC UV_VENV_SEED UV_VENV_CLEAR""".split()
# Paths and URLs, for tools do not run where the caller stands (M6): one path, or several with what separates them.
PATH_VARS = """HOME TMPDIR TMP TEMP NETRC XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_BIN_HOME SSL_CERT_FILE
SSL_CERT_DIR SSL_CLIENT_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM PIP_CACHE_DIR
PIP_CONFIG_FILE PIP_CERT PIP_CLIENT_CERT PIP_LOG PIP_LOG_FILE PIP_SRC PIP_INDEX_URL UV_CACHE_DIR UV_CONFIG_FILE
UV_ENV_FILE UV_CREDENTIALS_DIR UV_TOOL_DIR UV_TOOL_BIN_DIR UV_PYTHON_INSTALL_DIR UV_PYTHON_BIN_DIR UV_PYTHON_CACHE_DIR
UV_PYTHON_DOWNLOADS_JSON_URL UV_DEFAULT_INDEX UV_INDEX_URL""".split()
PATHS_VARS = {"PIP_CONSTRAINT": None, "PIP_BUILD_CONSTRAINT": None, "PIP_REQUIREMENT": None, "PIP_FIND_LINKS": None,
              "PIP_EXTRA_INDEX_URL": None, "UV_CONSTRAINT": None, "UV_BUILD_CONSTRAINT": None, "UV_OVERRIDE": None,
              "UV_EXCLUDE": None, "UV_INDEX": None, "UV_EXTRA_INDEX_URL": None, "UV_FIND_LINKS": ","}
# What `git rev-parse --local-env-vars` lists. In a hook they name the repo and the index of the commit that is made:
# a git that pip or uv starts would write into these (M5).
GIT_VARS = """GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT GIT_OBJECT_DIRECTORY
GIT_DIR GIT_WORK_TREE GIT_IMPLICIT_WORK_TREE GIT_GRAFT_FILE GIT_INDEX_FILE GIT_NO_REPLACE_OBJECTS GIT_REPLACE_REF_BASE
GIT_PREFIX GIT_INTERNAL_SUPER_PREFIX GIT_SHALLOW_FILE GIT_COMMON_DIR""".split()


def clean_environ(for_tool=False):
    """A copy of os.environ for another interpreter.

    Leaves out `FOREIGN_VARS`; for tools and probes also `TOOL_VARS`, `GIT_VARS`, and every PYTHON*, since a bogus
    one ends the start in spite of -E and -I.
    """
    environ = dict(os.environ)
    dropped = list(FOREIGN_VARS)
    if "PYENV_DIR" in environ:
        dropped += SHIM_VARS
    if for_tool:
        dropped += TOOL_VARS + GIT_VARS + [name for name in environ if name.startswith("PYTHON")]
        environ.update({name: absolute_setting(name, value) for name, value in environ.items()})
    if environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8"):  # python sets it in the C locale (PEP 538)
        environ["LC_CTYPE"] = started_with("LC_CTYPE")
        if not environ["LC_CTYPE"]:
            dropped.append("LC_CTYPE")
    for name in dropped:
        environ.pop(name, None)
    return environ


def absolute_setting(name, value):
    """The value of a tool's variable, where it names paths from where the caller stands, with absolute ones (M6)."""
    if name in PATH_VARS:
        return os.path.abspath(value) if is_relative(name, value) else value
    if name not in PATHS_VARS:
        return value
    separator = PATHS_VARS[name]
    values = value.split(separator)
    relative = [each for each in values if is_relative(name, each)]
    if not relative:
        return value
    # As URLs, for a blank or a comma in a path would separate two.
    return (separator or " ").join(file_url(os.path.abspath(each)) if each in relative else each for each in values)


def is_relative(name, value):
    """True if the value of a tool's variable is a path that begins where the caller stands, and no URL.

    An index may be given by a name, so that its paths must begin with a dot.
    """
    if not value or value[0] == "~" or is_url(value) or os.path.isabs(value):
        return False
    return value[0] == "." or "INDEX" not in name


def started_with(name):
    """The value of a variable when this process started; its present value where the system does not tell."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0"))
        return os.fsdecode(entries.get(os.fsencode(name), b""))
    except OSError:
        return os.environ.get(name, "")


def activated(prefix, env_vars=(), env_file=""):
    """The variables of a user's command inside the environment directory `prefix`.

    env_vars  dict or pairs; they go before those that the caller has set
    env_file  str, the path of a file of variables; those of the caller go before them
    """
    environ = clean_environ()
    for name, value in read_env_file(env_file).items():
        environ.setdefault(variable_name(name), value)
    environ = with_variables(environ, env_vars)
    search = environ.get("PATH", os.defpath)
    environ["VIRTUAL_ENV"] = prefix
    environ["PATH"] = os.path.join(prefix, BIN) + (os.pathsep + search if search else "")
    return environ


def read_env_file(path):
    """The variables in a file of NAME=VALUE lines: a dict, empty if there is none. The fast path comes here.

    A line may begin with `export`. In a value nothing is replaced: it ends with the line or before " #". In quotes it
    may have several lines, and in double ones the escapes of `ENV_ESCAPES`.
    PrimeError with status 2 and the number of the line: what stands there may be secret.
    """
    if not path:
        return {}
    if not os.path.exists(path):
        for example in [path + end for end in (".example", ".sample", ".template")]:
            if os.path.exists(example):
                report.note_once("%s is missing; %s shows what it holds" % (tilde(path), os.path.basename(example)))
        return {}
    text = load_text(path, lambda data: data.decode("utf-8", "surrogateescape")).replace("\r\n", "\n")
    variables, pos = {}, 0  # type: dict, int
    while pos < len(text):
        pos = read_env_line(text, pos, path, variables)
    return {name: os.fsdecode(value.encode("utf-8", "surrogateescape"))
            for name, value in variables.items() if name not in FOREIGN_VARS}


ENV_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}


def read_env_line(text, pos, path, variables):
    """Read the line at a position of a file of variables into `variables`, a dict. Returns the position behind it."""
    end = text.find("\n", pos) % (len(text) + 1)  # -1 becomes the end of the text
    line = text[pos:end]
    if line.strip()[:1] in ("", "#"):
        return end + 1
    name, sign, value = line.partition("=")
    words = name.split()
    name = words[-1] if len(words) == 1 or words[:1] == ["export"] and len(words) == 2 else ""
    problem = "" if sign and name and consists_of(name, "_.-") else "is no NAME=VALUE"
    if not problem and value.strip()[:1] in ("'", '"'):
        value, begin = read_env_quoted(text, end - len(value.lstrip()))
        end = text.find("\n", begin) % (len(text) + 1)
        if not begin or text[begin:end].strip()[:1] not in ("", "#"):
            problem = "has more behind its quotes" if begin else "begins a value whose quote does not end"
    else:
        value = value.partition(" #")[0].partition("\t#")[0].strip()
    if problem or "\0" in value:
        number = text.count("\n", 0, pos) + 1
        raise PrimeError("%s, line %d: it %s" % (path, number, problem or "has a NUL"), status=2)
    variables[name] = value
    return end + 1


def read_env_quoted(text, pos):
    """The value in the quotes that begin at a position, and the position behind them; 0 if they do not end."""
    quote, parts = text[pos], []  # type: str, list
    pos += 1
    while True:
        end = text.find(quote, pos)
        escape = text.find("\\", pos, end) if quote == '"' else -1
        if end < 0:
            return "", 0
        if escape < 0:
            return "".join(parts) + text[pos:end], end + 1
        parts += [text[pos:escape], ENV_ESCAPES.get(text[escape + 1], text[escape:escape + 2])]
        pos = escape + 2


def variable_name(name):
    """The name of an environment variable as `os.environ` has it: to Windows Path and PATH are one (W17)."""
    return name.upper() if WINDOWS else name


def with_variables(environ, more):
    """A copy of a dict of environment variables with `more` of them, a dict or pairs."""
    return dict(environ, **{variable_name(name): value for name, value in dict(more).items()})


def is_on(variable):
    """True if an environment variable has a value that means yes."""
    return means_yes(os.environ.get(variable, ""))


def means_yes(value):
    """True if the text of a setting means yes."""
    return value.lower() not in ("", "0", "false", "no", "off", "n", "f")


def is_offline():
    """True if the user forbids network access."""
    return is_on(OFFLINE_VAR)


# --------------------------------------------------------------------------------------------------
# Children and signals
# --------------------------------------------------------------------------------------------------
# `run_child` starts every program that this process waits for, `replace_process` every one that it becomes.


def find_program(name, search=None):
    """The path of program `name` on the search path (default: PATH), `name` itself if it is a path; else ""."""
    if os.path.dirname(name):
        return next(filter(os.path.isfile, with_endings(name)), name)
    search = os.environ.get("PATH", os.defpath) if search is None else search
    for directory in search.split(os.pathsep):
        for path in with_endings(os.path.join(directory or os.curdir, name)):
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return ""


def with_endings(path):
    """The paths that the path of a program may mean: on Windows with each ending of PATHEXT, as `cmd` tries them (W16).

    First as it is, if it has such an ending, else last.
    """
    if not WINDOWS:
        return [path]
    endings = [each for each in os.environ.get("PATHEXT", "").lower().split(";") if each] or PROGRAM_ENDINGS
    paths = [path + ending for ending in endings]
    return [path] + paths if path.lower().endswith(tuple(endings)) else paths + [path]


PROGRAM_ENDINGS = (".com", ".exe", ".bat", ".cmd")  # what Windows starts itself


def running_python():
    """The path of the python that runs this file; "" if python does not know it.

    PYTHONEXECUTABLE and __PYVENV_LAUNCHER__ make sys.executable lie; Linux does not.
    """
    claimed, real = os.path.abspath(sys.executable or ""), os.path.realpath("/proc/self/exe")
    if WINDOWS and not os.path.lexists(claimed):  # W23
        import _winapi

        return _winapi.GetModuleFileName(0)  # type: ignore[attr-defined]
    if real != os.path.realpath(claimed) and "py" in os.path.basename(real):
        return real
    return claimed if sys.executable else ""


class Child:
    """The result of a child.

    status          int, its exit status; negative for a signal
    stdout, stderr  bytes
    problem         str, why it did not start or did not end by itself; "" if it did
    """

    def __init__(self, status, stdout=b"", stderr=b"", problem=""):
        self.status, self.stdout, self.stderr, self.problem = status, stdout, stderr, problem

    @property
    def has_failed(self):
        return bool(self.status or self.problem)

    @property
    def text(self):
        """What it printed on stdout, as a str."""
        return self.stdout.decode("utf-8", "replace")

    def tail(self, lines=12):
        """The last non-blank lines of stderr, or of stdout if there are none on stderr: a list of str."""
        import re

        data = self.stderr if self.stderr.strip() else self.stdout
        if len(data) >= OUTPUT_CAP:  # its start was cut away, maybe within a URL (H14)
            data = re.split(br"\s", data, maxsplit=1)[-1]
        return printed_lines(data)[-lines:]

    def __str__(self):
        if self.problem:
            return self.problem
        reason = signal_name(-self.status) if self.status < 0 else "exit status %d" % self.status
        if self.status > 0xFFFF:  # the crash of a program under Windows, which is known by its hex digits
            reason = "exit status 0x%X" % self.status
        lines = self.tail()  # a shell that finds no program says so first, a traceback ends with the error
        return ": ".join(["failed", reason] + (lines[:1] if self.status in (126, 127) else lines[-1:]))


def printed_lines(data):
    """The non-blank lines of a program's output as a terminal would show them: a list of str.

    data  bytes, whole lines, as `masked` needs
    """
    import re

    text = masked(data.strip().decode("utf-8", "backslashreplace"))
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)  # colours, which FORCE_COLOR brings
    lines = [line.rstrip().rpartition("\r")[2].expandtabs() for line in text.split("\n")]  # \r overwrites a line
    return [visible(line) for line in lines if line.strip()]


def signal_name(number):
    """A signal's number and name: "signal 15 (SIGTERM)"."""
    import signal

    names = {int(each): " (%s)" % each.name for each in signal.Signals}
    return "signal %d%s" % (number, names.get(number, ""))


def all_signals():
    """The signals that a mask may hold: a set of int. musl refuses some that glibc has (M18)."""
    import _signal  # type: ignore[import-not-found]  # built in, while `signal` imports enum

    if hasattr(_signal, "valid_signals"):  # from python 3.8 on
        return set(map(int, _signal.valid_signals()))
    return set(range(1, _signal.NSIG)) - {32, 33, 34}  # the C library uses these: musl all three


def end_signals():
    """The numbers of the signals that by default end a program."""
    import _signal

    names = "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK"
    return [getattr(_signal, name) for name in names if hasattr(_signal, name)]


class Output:
    """The output of a child on one pipe: `kept` is its end, at most `cap` bytes; `log`, if any, is called with all.

    A line waits for its end, for `masked` cannot recognize half a URL (H14).
    """

    def __init__(self, cap, log):
        self.kept, self.cap, self.log, self.waiting = bytearray(), cap, log, b""

    def add(self, chunk):
        self.kept += chunk
        del self.kept[:-self.cap]
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if len(self.waiting) > LINE_CAP:
            end = len(chunk)
        self.waiting += chunk[:end] or chunk
        if end:
            self.flush()
            self.waiting = chunk[end:]

    def flush(self):
        """Log what waits for the end of its line."""
        if self.log and self.waiting:
            self.log(self.waiting)
        self.waiting = b""


class unbroken:
    """Put off the signals that end us in `with`, where half a step would leave a child or a file behind (B2)."""

    depth, is_due = 0, False

    def __enter__(self):
        self.is_main = is_main_thread()  # signals reach no other thread
        if self.is_main:
            unbroken.depth += 1

    def __exit__(self, *_):
        if self.is_main:
            unbroken.depth -= 1
        if self.is_main and unbroken.is_due and not unbroken.depth:
            unbroken.is_due = False
            raise Interrupted(_stops[0])


def is_main_thread():
    """True in the thread that python handles signals in."""
    import threading

    return threading.current_thread() is threading.main_thread()


OUTPUT_CAP = 1 << 16  # bytes that are kept of each stream; the log has them all
LINE_CAP = 1 << 20  # bytes: a line longer than that is logged in parts
_live = set()  # type: set  # the children that run now
# The signals that came: after the first no child is started, after the second none is waited for.
_stops = []  # type: list


def check_stops():
    """Raise Interrupted in the main thread if a signal came: python may have lost it (`catch_signals`)."""
    if _stops and is_main_thread():
        raise Interrupted(_stops[0])


def catch_signals(is_over=False):
    """Turn the signals that end us into an exception, except those that are ignored, as by nohup.

    is_over  ignore them all: one came already, and only the end is left to do
    """
    import _signal

    def interrupt(signum, frame):
        _stops.append(signum)
        if len(_stops) == 1:  # another one must not break the work that follows the first
            unbroken.is_due = bool(unbroken.depth)
            if not unbroken.is_due:
                raise Interrupted(signum)

    def unraised(event):
        if not isinstance(event.exc_value, Interrupted):
            sys.__unraisablehook__(event)

    # In a callback, such as those of the import system, python prints an exception and goes on: `check_stops`
    # raises it anew.
    sys.unraisablehook = unraised
    for number in end_signals():
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_IGN if is_over else interrupt)
    if PY_EXEC in os.environ and not WINDOWS:  # `hop` held them back
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, end_signals())


def uncatch_signals():
    """Let the signals of `catch_signals` end this process at once: who handled one from now on would lose it."""
    import _signal

    for number in end_signals():
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)


def run_child(argv, environ=None, cwd=os.sep, timeout=None, until=b"", log=None, cap=OUTPUT_CAP, is_guarded=False,
              is_merged=False):
    """Run a program to its end, with stdin closed, in a process group of its own. Returns a `Child`.

    environ    dict; default: `clean_environ(for_tool=True)`
    timeout    seconds; then the group is killed, and the child has a `problem`
    until      bytes on stdout that end the answer. Then the group is killed, for the processes that a shim
               leaves behind would keep the pipe open
    log        a function such as `report.output`, which is given the output as it comes, in bytes, whole lines
    cap        bytes that are kept of each stream, from its end
    is_guarded neither the program nor its children outlive this process, however it ends (`GUARD`)
    is_merged  stderr goes to the pipe of stdout: what is printed stays in order
    A program that cannot be started gives status 126 or 127 and a `problem`.
    """
    import queue
    import time

    command = shown(argv)
    report.detail("run: " + command[:1000] + " ..." * (len(command) > 1000))  # `stat` gets hundreds of paths
    environ = clean_environ(for_tool=True) if environ is None else environ
    try:
        process = start_child(argv, environ, cwd, is_guarded, is_merged)
    except (OSError, ValueError) as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        return Child(status, problem="cannot be started: %s" % (getattr(error, "strerror", "") or error))
    printed = {pipe: Output(cap, log) for pipe in (process.stdout, process.stderr) if pipe}
    deadline, has_finished = time.monotonic() + (timeout or float("inf")), False
    chunks = queue.Queue()  # type: queue.Queue
    try:
        for pipe in printed:
            start_thread(_drain, pipe, chunks)
        has_finished = _follow(process, chunks, printed, deadline, until)
    finally:
        if not has_finished or until:
            end_group(process, grace=0 if until or timeout else 5)
        _forget(process, printed.values(), is_guarded)
    problem = "" if has_finished else "gave no answer within %d s" % timeout
    kept = [bytes(output.kept) for output in printed.values()] + [b""]
    return Child(process.wait(), kept[0], kept[1], problem)


def is_python_file(name):
    """True if a file is a python script by its name, which Windows reads in either case (W16)."""
    return (name.lower() if WINDOWS else name).endswith(".py")


# Characters that `cmd` leaves alone outside of quotes. Letters and digits are such, too.
PLAIN_TO_CMD = "#$*+-./:?@\\_"


def is_batch(program):
    """True if Windows runs a program by `cmd`: by its name, of which it drops blanks and dots at the end."""
    return program.rstrip(" .").lower().endswith((".bat", ".cmd"))


def batch_command(program, words):
    """The command line by which `cmd` runs a batch file with these words as its arguments, and nothing else (W12).

    subprocess quotes for programs; `cmd` reads these quotes otherwise, and would run what stands behind a "&"
    (CVE-2024-24576). So all is in quotes that `cmd` might know, a quote is two of them, and before each % stands a
    part of a variable that is always empty. PrimeError for a line end, where the command would end.
    Source: rust-lang/rust, library/std/src/sys/args/windows.rs, make_bat_command_line
    """
    for word in [program] + words:
        if set(word) & set("\r\n\0"):
            raise PrimeError('%s is a batch file, which cannot be given the line end in "%s"' % (
                program, one_line(word)), status=2)
    quoted = [quoted_for_cmd(word) for word in words]
    return 'cmd.exe /e:ON /v:OFF /d /c "%s"' % " ".join(['"%s"' % program.replace("%", PERCENT)] + quoted)


PERCENT = "%%cd:~,%"  # for `cmd`: a percent sign, and no character of the variable cd


def quoted_for_cmd(word):
    """A word of the command line of a batch file, as `cmd` and the programs that it calls read it."""
    is_plain = all(char.isalnum() and char < "\x80" or char in PLAIN_TO_CMD or char > "\x9f" for char in word)
    return quoted_word(word, is_plain and word[-1:] not in ("", "\\"), '""').replace("%", PERCENT)


def windows_start(argv, program=None):
    """The arguments `args` and `executable` of Popen that start a program under Windows.

    program  its path; None: argv[0]
    """
    if not is_batch(program or argv[0]):
        return argv, program
    cmd = os.path.join(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "cmd.exe")
    return batch_command((program or argv[0]).replace("/", "\\"), argv[1:]), cmd


def start_child(argv, environ, cwd, is_guarded=False, is_merged=False):
    """Start a program in a session of its own. Returns its Popen. A signal that comes meanwhile ends it."""
    import subprocess

    stdin, program = subprocess.DEVNULL, None
    if WINDOWS:
        argv, program = windows_start(argv)
    elif is_guarded:
        argv, stdin = [running_python(), "-I", "-S", "-B", "-c", GUARD] + argv, subprocess.PIPE
    with unbroken(), own_job():
        stderr = subprocess.STDOUT if is_merged else subprocess.PIPE
        process = subprocess.Popen(argv, executable=program, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
                                   cwd=cwd, env=environ, start_new_session=True, creationflags=SUSPENDED * WINDOWS)
        _live.add(process)
        if WINDOWS:
            process.job = begin_in_job(process._handle, JOB_ENDS)  # type: ignore[attr-defined]
    if _stops:  # a signal came during the start, maybe while another thread was at it
        end_group(process, grace=0)
        if is_main_thread():  # nobody will read them
            for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
                pipe.close()
        check_stops()
    return process


def start_thread(work, *args):
    """Call work(*args) in a new thread, which does not keep the process alive. PrimeError if it cannot start."""
    import threading

    def begin():
        if not WINDOWS:  # `run_as_child` would not see a signal that came to this thread
            import _signal

            _signal.pthread_sigmask(_signal.SIG_BLOCK, all_signals())
        work(*args)

    try:
        threading.Thread(target=begin, daemon=True).start()
    except (RuntimeError, MemoryError) as problem:  # H16
        raise PrimeError("no thread can be started: %s" % (problem or "out of memory"), hint=LIMIT_HINT)


LIMIT_HINT = "look at the limits of this user, or of this container: processes (ulimit -u), memory (ulimit -v), " \
    "open files (ulimit -n)"


def limit_hint(text):
    """`LIMIT_HINT` if a message says that files, processes or memory ran out (H16); else ""."""
    import errno

    signs = [os.strerror(number) for number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)]
    return LIMIT_HINT if any(sign in text for sign in signs + ["start new thread"]) else ""


# What a function does to the path that it is given, where its name does not tell. An OSError is explained by them.
ACTIONS = {"write_atomic": "write", "put_in_place": "write", "create_file": "create", "make_directory": "make",
           "make_own": "make", "openness": "look at", "remove_file": "remove", "rename_aside": "rename",
           "open_lock": "lock", "chunks_of": "read", "_replace": "make the link", "take_other": "replace",
           "discard": "remove"}


def unforeseen(problem):
    """The PrimeError for an OSError that nobody foresaw. It names the path and what was being done (M11).

    Functions here are named by what they do: the innermost one that was given a path tells it.
    """
    import re

    action, path, trace = "", "", problem.__traceback__
    while trace:
        frame, code = trace.tb_frame, trace.tb_frame.f_code
        given = [frame.f_locals.get(name) for name in code.co_varnames[:code.co_argcount]]
        given = [getattr(each, "path", each) for each in given]  # of a `Link`, a lock
        paths = [each for each in given if isinstance(each, str) and os.path.isabs(each)]
        if code.co_filename == unforeseen.__code__.co_filename and paths:
            action, path = ACTIONS.get(code.co_name, code.co_name.strip("_").replace("_", " ")), paths[0]
        trace = trace.tb_next
    words = problem.strerror or str(problem)
    place = problem.filename if isinstance(problem.filename, str) else path
    place = re.sub(r"\.[0-9a-f]{16}\.prime-tmp$", "", place)  # the user knows the file alone that it was to become
    return PrimeError("cannot %s %s: %s" % (action or "use", place, words) if place else words, hint=limit_hint(words))


def _drain(pipe, chunks):
    """Read a pipe to its end, and close it. Puts pairs of it and bytes into the queue `chunks`; the last are b""."""
    with pipe:
        for chunk in iter(lambda: os.read(pipe.fileno(), OUTPUT_CAP), b""):
            chunks.put((pipe, chunk))
    chunks.put((pipe, b""))


def _follow(process, chunks, printed, deadline, until):
    """Keep a child's output. True when the child has ended or has answered, False when its time is over."""
    import queue
    import time

    open_pipes, pause = len(printed), 0.0005  # seconds, at first: a child that closed both pipes is about to end
    while open_pipes or process.poll() is None:
        report.tick()
        check_stops()
        if time.monotonic() >= deadline:
            return False
        has_ended = process.poll() is not None
        try:
            pipe, chunk = chunks.get(timeout=0.1 if open_pipes else pause)
        except queue.Empty:
            if has_ended:  # and a grandchild holds its pipes
                break
            if not open_pipes:
                pause = min(2 * pause, 0.05)
            continue
        open_pipes -= not chunk
        printed[pipe].add(chunk)
        if until and until in printed[process.stdout].kept:
            break
    if process.stdin:
        process.stdin.close()
    return True


def _forget(process, outputs, is_guarded):
    """A child has ended, or is given up: keep the last of its output."""
    _live.discard(process)
    if WINDOWS:  # what an installer left in the background lives on, as elsewhere
        close_job(process.job, ends=is_guarded)
    for output in outputs:
        output.flush()


def exit_code(status):
    """What `sys.exit` must get to end with the status of a child.

    Of a program that crashed, Windows says an unsigned number. In sys.exit before python 3.13 that overflows (W8).
    """
    return status - (1 << 32) if status >> 31 == 1 else status


def end_group(process, grace):
    """End a child with all its children: by SIGTERM, and by SIGKILL after `grace` seconds or a second signal to us."""
    import signal
    import time

    if WINDOWS:
        if not system_call("kernel32", "TerminateJobObject", process.job, 1):  # it could not be put into one
            process.kill()
        process.wait()
        return
    if process.stdin:  # it is a guard, which ends the others when stdin closes
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


# A Python program that runs another one. When that ends, or when stdin closes since our process ended, it ends all
# processes that the other one started: SIGTERM, 5 s, SIGKILL. On Linux orphans become its children
# (PR_SET_CHILD_SUBREAPER).
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


# What Windows has in the place of execve and of process groups: a job object. When its last handle is closed, as at the
# end of this process, the system ends all that is in it. A child is started suspended, so that all that it starts is in
# the job as well; and inside `own_job`: one that is suspended when this process is killed would stay so for ever, and
# nobody could remove its program (W10). These functions use `_ctypes` and `_winapi`, for an import of ctypes and
# subprocess takes 60 ms (W21).

SUSPENDED = 4  # CREATE_SUSPENDED
JOB_ENDS, JOB_LETS_GO = 0x2000, 0x1800  # KILL_ON_JOB_CLOSE; SILENT_BREAKAWAY_OK and BREAKAWAY_OK


def system_call(library, name, *args):
    """Call a function of a library of Windows by numbers, bytes or None. Returns an int; a handle fits into one."""
    if sys.implementation.name != "cpython":
        import ctypes

        return getattr(ctypes.WinDLL(library), name)(*args)  # type: ignore[attr-defined]
    import _ctypes

    class Library:
        _handle = _ctypes.LoadLibrary(library)  # type: ignore[attr-defined]

    class Function(_ctypes.CFuncPtr):  # type: ignore[name-defined]
        _flags_ = _ctypes.FUNCFLAG_STDCALL  # type: ignore[attr-defined]

    return Function((name, Library))(*args)  # type: ignore[arg-type]


class own_job:
    """What is started inside `with` ends when this process does, even if that is killed before `begin_in_job` (W10).

    For that this process is in a job object itself, in which its children are born. Outside of `with` that job ends
    nothing and keeps nothing back. Nothing is done on other systems, nor before Windows 8, where a process can be in
    one job alone.
    Source: rust-lang/cargo, src/cargo/util/job.rs
    """

    _lock, _job = _thread.allocate_lock(), None  # type: ignore[var-annotated]  # its handle; 0 if there is none

    def __enter__(self):
        if WINDOWS:
            self._lock.acquire()
            if own_job._job is None:
                own_job._job = self._make()
            limit_job(own_job._job, JOB_ENDS)

    def __exit__(self, *_):
        if WINDOWS:
            limit_job(own_job._job, JOB_LETS_GO)
            self._lock.release()

    def _make(self):
        version = system_call("kernel32", "GetVersion")
        if (version & 255, version >> 8 & 255) < (6, 2):
            return 0
        job = system_call("kernel32", "CreateJobObjectW", None, None)
        me = system_call("kernel32", "OpenProcess", 0x101, 0, os.getpid())  # PROCESS_SET_QUOTA and _TERMINATE
        system_call("kernel32", "AssignProcessToJobObject", job, me)
        system_call("kernel32", "CloseHandle", me)
        return job


def begin_in_job(process, flags):
    """Put a process that was started `SUSPENDED` into a job object of its own, and let it go on.

    process  its handle
    flags    `JOB_ENDS` when its handle is closed, with `JOB_LETS_GO` without what the process starts
    Returns the handle of the job; 0 if the system makes none. Before Windows 8 a job within a job is refused.
    """
    job = system_call("kernel32", "CreateJobObjectW", None, None)
    limit_job(job, flags)
    system_call("kernel32", "AssignProcessToJobObject", job, int(process))
    system_call("ntdll", "NtResumeProcess", int(process))
    return job


def limit_job(job, flags):
    """Set the flags of a job object."""
    size, start = (144 if sys.maxsize > 2 ** 32 else 112), 16  # JOBOBJECT_EXTENDED_LIMIT_INFORMATION, its LimitFlags
    limits = bytes(start) + flags.to_bytes(4, "little") + bytes(size - start - 4)
    system_call("kernel32", "SetInformationJobObject", job, 9, limits, size)


def close_job(job, ends):
    """Close the handle of a job object, which `ends` what is left in it, or lets that live."""
    if not ends:
        limit_job(job, 0)
    system_call("kernel32", "CloseHandle", job)


def running_program(path):
    """A program or library that runs, at this path or in this directory, which Windows lets nobody write to (W4).

    Returns its path, "" if none does. It is taken for one if it cannot be told.
    """
    places = [os.path.split(path)] if os.path.isfile(path) else [
        (place, name) for place, _, names in os.walk(path) for name in names]
    for directory, name in places:
        file = os.path.join(directory, name)
        if name.lower().endswith((".exe", ".dll", ".pyd")) and os.access(file, os.W_OK):  # false if it is read-only
            try:
                open(file, "r+b").close()
            except FileNotFoundError:
                pass
            except OSError:
                return file
    return ""


def run_in_place(program, argv, environ):
    """What os.execve is elsewhere: run a program as a child, and end as it does. Does not return.

    It ends when this process does. What it left in the background lives on (W9), as elsewhere.
    OSError if it cannot be run.
    """
    import _signal
    import _winapi

    class startup:  # as subprocess.STARTUPINFO
        dwFlags = wShowWindow = 0
        hStdInput = hStdOutput = hStdError = lpAttributeList = None

    line, executable = windows_start(argv, program)
    if not isinstance(line, str):
        line = command_line(line)
    keys = _signal.SIGINT, _signal.SIGBREAK  # type: ignore[attr-defined]  # the console sends them to the child as well
    before = [_signal.signal(number, _signal.SIG_IGN) for number in keys]
    try:
        with own_job():
            process = _winapi.CreateProcess(  # type: ignore[attr-defined]
                executable, line, None, None, False, SUSPENDED, environ, None, startup)[0]
            begin_in_job(process, JOB_ENDS | JOB_LETS_GO)
    except OSError:
        for number, handler in zip(keys, before):
            _signal.signal(number, handler)
        raise
    _winapi.WaitForSingleObject(process, _winapi.INFINITE)  # type: ignore[attr-defined]
    os._exit(exit_code(_winapi.GetExitCodeProcess(process)))  # type: ignore[attr-defined]


_in_use = []  # type: list  # the lock files of the user's caches, while this process uses a program in them
_turns = []  # type: list  # the lock files that `take_turn` holds


def flush_output():
    """Write what stands in the buffers of stdout and stderr, which another program cannot."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def replace_process(argv, environ, program="", may_spawn=True):
    """Become another program (os.execve); on Windows run it as a child, and end as it does.

    program    its path; default: argv[0]
    may_spawn  obey PROTOPRIMER_SPAWN, as for the user's command: run the program as a child elsewhere, too
    OSError if it cannot be run.
    """
    program = program or argv[0]
    while _in_use or _turns:
        (_in_use or _turns).pop().close()
    flush_output()
    if WINDOWS:
        run_in_place(program, argv, environ)
    import _signal

    if may_spawn and is_on(SPAWN_VAR):
        if hasattr(_signal, "sigwaitinfo"):
            run_as_child(program, argv, environ)
        report.note("%s is not obeyed: this python has no signal.sigwaitinfo, as on macOS" % SPAWN_VAR)  # M23
    for number in _signal.SIGPIPE, _signal.SIGXFSZ:  # python ignores them, and the program would do so, too (bpo-1652)
        _signal.signal(number, _signal.SIG_DFL)
    uncatch_signals()
    os.execve(program, argv, environ)


def run_beside(argv, environ, program):
    """Run a program as a child that has our streams and our terminal, to its end. Returns its status as shells do.

    The terminal sends a signal by a key to the child as well; others are passed on. OSError if it cannot be run.
    """
    import subprocess

    report.detail("run: " + shown(argv))
    flush_output()
    words, executable = windows_start(argv, program) if WINDOWS else (argv, program)
    process = None  # type: subprocess.Popen | None
    try:
        with unbroken(), own_job():
            process = subprocess.Popen(words, executable=executable, env=environ, creationflags=SUSPENDED * WINDOWS)
            if WINDOWS:
                begin_in_job(process._handle, JOB_ENDS | JOB_LETS_GO)  # type: ignore[attr-defined]
        status = process.wait()
    except Interrupted as stop:
        if process and not (stop.signum == 2 and has_terminal()):
            process.send_signal(stop.signum)
        if process:
            process.wait()
        raise
    return status if status >= 0 else 128 - status


def has_terminal():
    """True if a terminal sends the signals of its keys to this process."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except (AttributeError, OSError):  # Windows, or there is no terminal
        return WINDOWS
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def run_as_child(program, argv, environ):
    """Run a program as a child, pass our signals on to it, stop and continue with it, end as it does.

    The terminal sends a signal by a key to the child as well; other signals reach this process alone.
    Does not return. OSError if it cannot be run.
    """
    import signal
    import subprocess

    faults = {getattr(signal, "SIG" + name) for name in "KILL STOP SEGV BUS FPE ILL TRAP ABRT".split()}
    ours = all_signals() - faults
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
        info = signal.sigwaitinfo(ours)
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFEXITED(status):
                os._exit(os.WEXITSTATUS(status))
            if pid:
                mirror_signal(os.WSTOPSIG(status) if os.WIFSTOPPED(status) else os.WTERMSIG(status))
                if not os.WIFSTOPPED(status):  # the first process of a container does not die of it
                    os._exit(128 + os.WTERMSIG(status))
                signal.pthread_sigmask(signal.SIG_BLOCK, ours)
        elif info.si_code <= 0 or info.si_signo not in keys:  # from a process, or not by a key of the terminal
            os.kill(process.pid, info.si_signo)


def mirror_signal(number):
    """Let a signal end or stop this process, as it did the child."""
    import resource
    import signal

    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))  # no second core file beside the child's
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    resource.setrlimit(resource.RLIMIT_CORE, limits)


# --------------------------------------------------------------------------------------------------
# Proof of origin
# --------------------------------------------------------------------------------------------------
# This file removes, overwrites or runs only things that carry our mark and lie there themselves, not behind a link
# (H1, H2, H8).
# `make_own` makes our directories, `own_directory` finds them, and `below` enters them and follows no link.

MARK = ".proto-prime"  # a file in each directory of ours
MARK_TEXT = b"Made by proto_prime.py, which may remove all that is in this directory.\n"
MARKER = "proto-prime.json"  # written last into a generation: with it, it is complete


def is_marked(directory):
    """True if `make_own` made a directory."""
    mark = os.path.join(directory, MARK)
    return os.access(mark, os.F_OK) and not os.path.islink(mark)


def make_own(directory, mode=None):
    """Make a directory that carries our mark; mode as for `make_directory`."""
    make_directory(directory, mode)
    if not is_marked(directory):
        write_atomic(os.path.join(directory, MARK), MARK_TEXT)


def is_complete(directory):
    """True if a directory has the marker of a complete generation."""
    return os.path.isfile(os.path.join(directory, MARKER))


def rename_aside(path):
    """Rename what stands where something of ours must be, and say so."""
    aside = unused(path + ".before-prime")
    os.rename(path, aside)
    report.note("%s was not made by prime: renamed to %s" % (path, os.path.basename(aside)))
    ignore = os.path.join(aside, ".gitignore")  # the repo's own .gitignore has the old name
    if os.path.isdir(aside) and not is_link(aside) and not os.path.lexists(ignore):
        try:
            write_atomic(ignore, IGNORE_ALL)
        except OSError:  # another user's
            pass


def own_directory(base, name, is_older):
    """The directory for our files, where a variable names one or a repo has one (H2).

    base      str, the named directory; used if it carries our mark, is empty, or does not exist
    name      str, the directory in it that is used otherwise, so that our files do not mix with those of others
    is_older  function of the directory and its entries: True if we made it before there was a mark (T8)
    """
    while not is_marked(base):
        try:
            entries = entries_of(base)
        except OSError:  # it does not exist, or cannot be read, which its first use will report
            break
        foreign = [entry for entry in entries if not entry.endswith(UNFINISHED)]  # which others make just now (B3)
        if not foreign or is_marked(base) or is_older(base, foreign):
            break
        base = below(base, [name])
    return base


STATE_NAMES = {"envs", "building", "stamp", "log", "held", "made", "lock", "use", "vendor", ".gitignore"}
IGNORE_ALL = b"*\n"  # the .gitignore of a directory of ours


def is_older_state(base, entries):
    """True if a directory with these entries is a state directory."""
    names = {entry[:1] + entry[1:].partition(".")[0] for entry in entries}  # without endings
    return names <= STATE_NAMES and bytes_of(os.path.join(base, ".gitignore")) == IGNORE_ALL


def mark_state(base):
    """`make_own` for a state directory. If it is older than marks and read-only, it is used without one (T8)."""
    try:
        make_own(base)
    except OSError as problem:
        if not os.path.isfile(os.path.join(base, ".gitignore")):
            raise
        report.detail("%s gets no mark: %s" % (base, problem.strerror))


def below(base, names):
    """The path of `names` below a directory of ours. PrimeError if a part of it is a link (H1)."""
    for name in names:
        base = os.path.join(base, name)
        if os.path.basename(base) != name or name in (os.curdir, os.pardir):
            raise PrimeError('"%s" is no name below %s' % (name, os.path.dirname(base)))
        if is_link(base):
            raise PrimeError("%s is a link, and nothing of prime's is looked for behind one" % base,
                             hint="remove it; to keep files elsewhere, set %s or %s" % (STATE_VAR, CACHE_VAR))
    return base


def is_ours(path):
    """True if a path is no link, belongs to this user or to root, and others cannot write to it (H8)."""
    if WINDOWS:  # without a look at its access lists
        return not is_link(path)
    try:
        entry = os.lstat(path)
    except (OSError, ValueError):
        return False
    return not is_link(path) and entry.st_uid in (os.geteuid(), 0) and not is_open(entry)


def is_open(entry):
    """True if a result of `stat` lets other users than the owner write.

    Its group does not count if this user is the only member, as is usual with umask 002.
    """
    return bool(entry.st_mode & 0o002 or entry.st_mode & 0o020 and not is_private_group(entry.st_gid))


def is_private_group(gid):
    """True if a group has the name of this user, and no other member."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def is_marked_itself(directory):
    """True if a directory carries our mark, and lies there itself."""
    return is_marked(directory) and not is_link(directory)


def own_entries(directory, pattern):
    """`paths_named` in a directory of ours, less what `is_marked_itself` does not hold for."""
    return list(filter(is_marked_itself, paths_named(directory, pattern)))


ASIDE_NAME = r"aside-[0-9a-f]{16}"


class aside_directory:
    """A directory of our own in `parent` for unfinished work, inside `with`, which removes it at the end (H5).

    The work may rename it. Directories that killed commands left behind are removed after an hour.
    """

    def __init__(self, parent):
        self.parent, self.path = parent, os.path.join(parent, "aside-" + random_name())

    def __enter__(self):
        for path in filter(is_old, own_entries(self.parent, ASIDE_NAME)):
            tend(remove, path)
        with unbroken():
            make_own(self.path, 0o700)
        return self.path

    def __exit__(self, *_):
        with unbroken():
            tend(remove, self.path)


# --------------------------------------------------------------------------------------------------
# Places
# --------------------------------------------------------------------------------------------------
# Where things are: the home directory, the user's cache, this file, the root of the repo, its state directory.
# A root is the directory that config paths are relative to; `kind_of_root` tells who made it.

PYPROJECT, OWN_CONFIG = "pyproject.toml", "proto_prime.toml"
THIS_FILE = globals().get("__file__") or ""  # "" if the source came through a pipe


MANIFEST = "proto-prime-vendor.json"  # in a vendored directory: the files that `prime vendor` put there


def vendor_dir(root, *names):
    """A path in the vendored directory of a repo, which a boot without network uses.

    That is .prime-vendor if `prime vendor` made it, else vendor, a name that other languages use, too (R19).
    """
    own = os.path.join(root, ".prime-vendor")
    if not os.path.isfile(os.path.join(own, MANIFEST)):
        own = os.path.join(root, "vendor")
    return os.path.join(own, *names)


def home_dir():
    """The user's home directory; without one os.devnull, below which nothing is found (M12)."""
    home = os.path.expanduser("~") if WINDOWS else os.environ.get("HOME", "")
    if not home:
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # as in many containers
            pass
    return home if os.path.isabs(home) else os.devnull


def xdg_dir(variable, *names):
    """The directory that a variable names; if it is unset, the one of these names below the home directory (XDG)."""
    return os.environ.get(variable) or os.path.join(home_dir(), *names)


def named_path(name):
    """The absolute path that a variable or an option of ours names. ~ is the home directory: no shell has seen what
    stands in quotes, behind a "=" or in the file of a service (M6).
    """
    if name == "~" or name.startswith(("~/", "~" + os.sep)):
        name = home_dir() + name[1:]
    return plain_path(os.path.abspath(name))


def private_dir(is_made=True):
    """Our directory below the temporary one, which only this user can write; if there is none, os.devnull.

    is_made  make it if it is missing
    """
    places = [os.environ.get(variable, "") for variable in ("TMPDIR", "TEMP", "TMP")] + ["/tmp", "/var/tmp"]
    base = next((each for each in places if os.path.isabs(each) and can_write(each)), os.devnull)
    user = getattr(os, "geteuid", int)()  # Windows has a temporary directory for each user
    path = os.path.join(base, "proto_prime-%d" % user)
    if is_made and not os.path.lexists(path):
        try:
            os.mkdir(path, 0o700)
        except OSError:  # another process was faster, or it cannot be made
            pass
    is_usable = os.path.isdir(path) and is_ours(path) and os.stat(path).st_uid == user  # not root's
    return path if is_usable else os.devnull


def can_write(directory):
    """True if files can be made in a directory, or in the nearest one above it that exists.

    Where it does not exist that is tried, for access() does not know all: not what is below /proc.
    """
    if os.path.isdir(directory):
        return os.access(directory, os.W_OK | os.X_OK)
    nearest = next(each for each in ancestors(os.path.abspath(directory)) if os.path.lexists(each))
    probe = os.path.join(nearest, random_name() + UNFINISHED)
    try:
        os.mkdir(probe, 0o700)
    except OSError as problem:
        return is_full(problem)  # which is no reason to go elsewhere
    tend(os.rmdir, probe)
    return True


def is_full(problem):
    """True if an OSError means that the disk is full, or the part of it that a user may fill (B5)."""
    import errno

    return problem.errno in (errno.ENOSPC, errno.EDQUOT)


# The directories in the user's cache. `tools` holds what pip and uv keep, where they have no place of their own.
CACHES = ("answers", "pip", "uv", "locks", "shell", "scripts", "states", "tools")
CACHE_ENTRIES = {"in-use", "CACHEDIR.TAG", *CACHES}  # all that is in one whose mark was lost: CI may keep no dot-files
CACHE_HINT = "%s names another cache directory" % CACHE_VAR
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by proto_prime.py: https://bford.info/cachedir/\n"


def cache_dir(*names):
    """A path in the user's cache (XDG base directories; on macOS and Windows their own)."""
    return cache_dirs(*names)[0]


def cache_dirs(*names):
    """The paths of `names` in each directory that is in use as the user's cache, a list of str: `open_cache`."""
    return [below(each, names) for each in caches_in_use()]


def writable_cache(*names):
    """`cache_dir` for what must be written. Where the cache cannot be, a private directory is made for it (M12)."""
    bases = caches_in_use()
    if not can_write(bases[0]):
        private = private_dir()
        if private != os.devnull:
            lack = "the cache %s cannot be written" % bases[0]
            if bases[0].startswith(os.devnull):
                lack = "there is no home directory"
            report.note_once("%s: %s is used" % (lack, private))
            bases.insert(0, private)
            mark_cache(private)
    return cache_dir(*names)


def users_caches(is_mac=sys.platform == "darwin"):
    """The directory of a user's caches (XDG base directories; on macOS and Windows their own)."""
    if WINDOWS:
        return os.environ.get("LOCALAPPDATA") or home_dir()
    if is_mac:
        return os.path.join(home_dir(), "Library", "Caches")
    return xdg_dir("XDG_CACHE_HOME", ".cache")


def caches_in_use():
    """The directories in use as the user's cache, a list of str: `open_cache` of the first that PROTOPRIMER_CACHE_DIR
    names, and those of the others from which we may read (N2).
    """
    named = os.environ.get(CACHE_VAR, "")
    if named not in _caches:
        bases = list(filter(None, named.split(os.pathsep))) or [os.path.join(users_caches(), "proto_prime")]
        bases = list(map(named_path, bases))
        _caches[named] = open_cache(bases[0])
        _caches[named] += [each for each in map(open_shared_cache, bases[1:]) if each and each not in _caches[named]]
    return _caches[named]


_caches = {}  # type: dict  # what the variable says to the directories in use


def open_cache(base):
    """The directories in use as the user's cache, a list of str; what is new comes to stand in the first.

    It is `base`; a private one if others may write to that (H8). If `base` cannot be written, and `writable_cache` made
    a private one, that comes first, and what is in `base` still counts (M11, M12).
    """
    is_own_name = not os.environ.get(CACHE_VAR)  # a directory that the user names may hold pip's and uv's caches
    base = own_directory(base, "proto_prime", lambda _, entries: is_own_name and set(entries) <= CACHE_ENTRIES)
    reason, bases = why_unsafe(base), [base]
    if reason:
        bases = [private_dir()]
        report.note("the cache %s is not used, for %s; %s is" % (base, reason, bases[0]))
    elif not can_write(base):
        bases.insert(0, private_dir(is_made=False))
        if bases[0] == os.devnull:
            return bases[1:]
    mark_cache(bases[0])
    return bases


def open_shared_cache(base):
    """The directory in use as a cache that is only read; "" if there is none, or others may write to it (N2, H8)."""
    base = own_directory(base, "proto_prime", lambda *_: False)
    reason = why_unsafe(base)
    if reason:
        report.note_once("the cache %s is not used, for %s" % (base, reason))
    return base if os.path.isdir(base) and not reason else ""


def mark_cache(base):
    """Make a directory the user's cache, as far as it can be written."""
    try:
        make_own(base, 0o700)
        if not os.path.lexists(os.path.join(base, "CACHEDIR.TAG")):
            write_atomic(os.path.join(base, "CACHEDIR.TAG"), CACHE_TAG)
    except OSError as problem:
        report.detail("the cache %s cannot be written: %s" % (base, problem.strerror))


def why_unsafe(cache):
    """The reason not to trust a cache (H8); "" if others can write neither to it nor to a directory in it."""
    real = os.path.realpath(cache)  # the user may have linked it to another disk
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
    """True if this file was installed as a package, instead of standing in a repo."""
    return os.path.basename(os.path.dirname(THIS_FILE)) in ("site-packages", "dist-packages")


def script_path():
    """The path of the started file, or else of this one; "" if the source came through a pipe."""
    if is_installed():  # the started file is a launcher then, which belongs to one python
        return THIS_FILE
    for path in (started_file(), THIS_FILE):
        if path and os.path.isfile(path):
            return path
    return ""


def started_file():
    """sys.argv[0]. For a program of an environment Windows' tools leave out .exe, though python runs it (W23)."""
    path = sys.argv[0] if sys.argv else ""
    return path + ".exe" if WINDOWS and not os.path.isfile(path) and os.path.isfile(path + ".exe") else path


def own_file():
    """The path of this file, with links resolved; "" if it came through a pipe."""
    return os.path.realpath(THIS_FILE) if os.path.isfile(THIS_FILE) else ""


def ancestors(directory):
    """`directory`, its parent, and so on up to the file system's root: a list of str."""
    paths = [directory]
    while os.path.dirname(paths[-1]) != paths[-1]:
        paths.append(os.path.dirname(paths[-1]))
    return paths


def is_same_place(path, other):
    """True if two paths lead to one directory: by a link, a bind mount, another case, another form of unicode (M4)."""
    try:
        return path == other or os.path.samefile(path, other)
    except OSError:
        return False


def config_paths(directory):
    """The paths of the files that make a directory a root, whether they exist or not."""
    return [os.path.join(directory, name) for name in (PYPROJECT, OWN_CONFIG)]


def find_root(option=""):
    """The ref root: `option`, else PROTOPRIMER_ROOT, else the nearest directory with a config.

    Goes up from the started file, first as its path is written, then with links resolved; without a config it is
    the directory of that file. If the source came through a pipe or is a package, it goes up from the current
    directory. Above the start, a config of another user does not count (H12).
    """
    named = option or os.environ.get(ROOT_VAR)
    script = "" if is_installed() else script_path()
    try:
        if named:
            root = named_path(named)
            if not os.path.isdir(root):
                raise PrimeError("ref root %s is not a directory" % named, "--root" if option else ROOT_VAR, status=2)
            return root
        if script:
            starts = [os.path.dirname(plain_path(os.path.abspath(script))), os.path.dirname(os.path.realpath(script))]
        else:
            starts = [os.getcwd()]
    except FileNotFoundError:  # E7
        raise PrimeError("the current directory does not exist", hint="cd to one that does")
    for directory in [each for start in starts for each in ancestors(start)]:
        configs = list(filter(os.path.exists, config_paths(directory)))
        if configs and directory in starts:
            return directory
        hint = "--root %s takes it" % directory
        if configs and not any(is_left_aside(path, script or starts[0], hint) for path in configs):
            return directory
    return starts[0]


# What makes a directory a repo, or one above it. Of pip's files any counts that begins and ends so.
REPO_DIRS = (".git", ".hg", ".jj", ".svn")
REPO_MARKS = {PYPROJECT, OWN_CONFIG, "setup.py", "setup.cfg", "pylock.toml", "uv.lock", ".python-version",
              "requirements", *REPO_DIRS}


def check_repo(root):
    """PrimeError if a ref root is a directory of anything, such as ~/Downloads: no environment is made there (U4)."""
    if kind_of_root(root) != "repo":
        return
    for directory in ancestors(root):
        try:
            names = os.listdir(directory)
        except OSError:  # a directory above that may not be read
            names = [name for name in REPO_MARKS if os.path.lexists(os.path.join(directory, name))]
        pips = [name for name in names if name.startswith("requirements") and name.endswith((".txt", ".in"))]
        if pips or REPO_MARKS & set(names):
            return
    hint = "prime init DIR sets up the repo in DIR; without DIR, the current directory"
    if not own_file():
        hint = "go to your repo; or save this as proto_prime.py, then: python3 proto_prime.py init"
    raise PrimeError("%s is no repo: no pyproject.toml, proto_prime.toml, requirements.txt, .python-version or .git is "
                     "there or above" % tilde(root), hint=hint, status=2)


def is_left_aside(path, beside, hint):
    """True if a file above the repo does not count, because it belongs to another user; says so once (H12).

    It counts if this user owns it, or root, or the owner of `beside`, a file or directory of the repo: that owner
    could have written it in the repo as well. A link and its target must both count.
    """
    if WINDOWS:
        return False
    for stat in (os.lstat, os.stat):
        try:
            owner = stat(path).st_uid
            if owner not in (0, os.geteuid(), os.stat(beside).st_uid):
                text = "%s is left aside, for it belongs to %s; %s, or chown it"
                report.note_once(text % (path, user_name(owner), hint))
                return True
        except OSError:  # a dangling link, which nobody reads
            pass
    return False


def kind_of_root(root):
    """Tell who made a ref root. Returns "script", "client" or "repo".

    script  this file, in the user cache, for a script with metadata (PEP 723)
    client  this file, in the state directory of a repo, for a client of the workflow server
    repo    people
    """
    parent = os.path.dirname(root)
    state, name = os.path.split(parent)
    if name == "scripts" and parent in cache_dirs("scripts"):
        return "script"
    if name == "made":
        named = named_state()
        if state == named or not named and os.path.basename(state) == ".prime":
            return "client"
    return "repo"


def named_state():
    """The state directory that PROTOPRIMER_STATE_DIR names; "" if it is unset."""
    named = os.environ.get(STATE_VAR)
    return own_directory(named_path(named), ".prime", is_older_state) if named else ""


def state_hint(root):
    """The hint where the state directory of a root cannot be where it is."""
    return place_hint(state_dir(root), CACHE_VAR if kind_of_root(root) == "script" else STATE_VAR)


def place_hint(directory, variable):
    """The hint where a directory of ours cannot be used: what gets it back from another user, the variable that moves
    it. Root's it is after `sudo ./prime`, or by a container in which the repo is mounted (M25).
    """
    hint = "%s names another place" % variable
    if WINDOWS or not os.path.isdir(directory):
        return hint
    owner, user = os.lstat(directory).st_uid, os.geteuid()
    if owner == user or os.stat(os.path.dirname(directory)).st_uid != user:
        return hint
    command = shown(["sudo", "chown", "-R", str(user), directory])
    return "it belongs to %s: %s; or %s" % (user_name(owner), command, hint)


def state_dir(root, *names):
    """A path in the state directory of a root, which holds everything that this file makes for it."""
    if os.environ.get(STATE_VAR) and kind_of_root(root) == "repo":
        return below(named_state(), names)
    base = _states.get(root) or os.path.join(root, ".prime")
    if is_link(base):
        raise PrimeError("%s is a link, which nothing is written through" % base,
                         hint="remove it; %s names another directory" % STATE_VAR)
    return below(own_directory(base, ".prime", is_older_state), names)


_states = {}  # type: dict  # a root to its state directory, if that is in the user cache
STATE_ROOT = "root"  # beside a state directory in the user cache: the root that it is of


def stamp_path(root, requested, key="", end=""):
    """The path of the stamp of an environment, by the name that -e or PROTOPRIMER_ENV gave it; "" for neither.

    key  str, of earlier inputs, for a stamp of these; end  str, of the name of a stamp in another form
    """
    return state_dir(root, "stamp", (key and key + ".") + safe_name(requested or "default") + end)


def root_of_state(place):
    """The root that a directory in the user cache holds the state of; "" if it does not tell."""
    return os.fsdecode(bytes_of(os.path.join(place, STATE_ROOT)) or b"")


def find_state(root):
    """Use the state directory of a root that is in the user cache from now on, if there is one (M13).

    Without `re`, for the fast path comes here. Returns whether there is one.
    """
    if root in _states:
        return True
    if os.environ.get(STATE_VAR) or kind_of_root(root) != "repo":
        return False
    bases, own = cache_dirs("states"), state_name(root)
    places = [os.path.join(base, name) for base in bases for name in names_if_there(base)]
    for place in sorted(places, key=lambda place: os.path.basename(place) != own):
        recorded = root_of_state(place)
        if recorded and is_marked(place) and is_ours(place) and is_same_place(recorded, root):
            _states[root] = os.path.join(place, ".prime")
            return True
    return False


def state_name(root):
    """The name of the directory in the user cache that holds the state of a root."""
    return hashed_name(root)


def place_state(root):
    """Keep the state of a root in the user cache from now on, if no environment can be where it is (M13).

    PrimeError if none can be there either, or if the user named the place.
    """
    base = state_dir(root)
    lack = why_no_links(base)
    if not lack:
        return
    problem = PrimeError("no environment can be made in %s, %s" % (base, lack), hint=state_hint(root))
    if root in _states or os.environ.get(STATE_VAR) or kind_of_root(root) != "repo":
        raise problem
    place = writable_cache("states", state_name(root))
    if why_no_links(place):
        problem.tried = ["%s, %s" % (place, why_no_links(place))]
        raise problem
    make_own(place)
    write_atomic(os.path.join(place, STATE_ROOT), os.fsencode(root))
    _states[root] = os.path.join(place, ".prime")
    report.note("%s: it is kept in %s (%s)" % (problem, tilde(_states[root]), state_hint(root)))


def forget_state(root):
    """Remove the state directory of a root in the user cache, unless something is in it that somebody may want."""
    base = _states.get(root, "")
    kept = names_if_there(os.path.join(base, "envs")) + names_if_there(os.path.join(base, "made"))
    if base and not kept and is_marked(os.path.dirname(base)):
        remove(os.path.dirname(base))
        del _states[root]


def why_no_environment(directory):
    """What keeps environments out of a directory by its name, a clause of a sentence; "" if nothing does (E8)."""
    if os.pathsep in directory:
        return 'has a "%s", so that PATH cannot name it' % os.pathsep
    try:
        os.fsencode(directory).decode()
    except UnicodeDecodeError:
        return "is not UTF-8, without which neither venv nor uv makes an environment"
    return ""


def why_no_links(directory):
    """Why no environment can be in a directory, a clause of a sentence: its lib64 and its python are symbolic links.

    "" if it can; where nothing can be written, which who writes there will say; and on Windows, where it has none.
    """
    nearest = next(each for each in ancestors(directory) if os.path.isdir(each))
    if WINDOWS or not can_write(nearest):
        return ""
    probe = temporary_path(os.path.join(nearest, ".prime-probe"))
    try:
        os.symlink(STATE_ROOT, probe)
    except OSError as problem:
        return "" if is_full(problem) else "where no links can be made (%s)" % problem.strerror
    tend(os.remove, probe)
    return ""


def file_system(directory):
    """The type of the file system that a directory is on, such as "ext4"; "" where the system does not tell."""
    import re

    real, place, kind = os.path.realpath(directory), "", ""
    for line in loose_text("/proc/self/mountinfo").splitlines():
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), (mount + 5 * " ").split(" ")[4])
        if len(point) >= len(place) and is_inside(real, point):
            place, kind = point, rest.partition(" ")[0]
    return kind


# --------------------------------------------------------------------------------------------------
# Locks
# --------------------------------------------------------------------------------------------------
# One process at a time builds, publishes or fetches. It holds a lock file, which the system frees when it dies.

LOCK_HEAD = b"process "  # the first bytes of a lock file of ours
PATIENCE_SECONDS = 60  # after this time a waiting process says how to end the wait


def lock_files(path):
    """The files that stand for the lock `path`: itself; if its file system has no locks, as some that machines share,
    one in the user cache; if that has none either, one of this machine alone (B4, N2).
    """
    yield path
    yield writable_cache("locks", hashed_name(path))
    yield os.path.join(private_dir(), "locks", hashed_name(path))


class locked:
    """Hold the lock file at `path` inside `with`; the system frees it when its holder dies.

    path     str; where the file system has no locks, one of `lock_files` stands for it
    purpose  str, what this process does with it, for the messages of others that wait
    reason   str, why, for the error if it cannot be locked
    Waits without limit, and says once for whom. Inside of it the same thread may lock the same once more.
    """

    _mine = set()  # type: set  # (path, thread) of what this process holds

    def __init__(self, path, purpose, reason=""):
        self.path, self.purpose, self.reason = path, purpose, reason

    def __enter__(self):
        self._key, problems = (self.path, _thread.get_ident()), []
        self.is_outer = self._key not in self._mine
        if not self.is_outer:
            return self
        for path in lock_files(self.path):
            try:
                return self._take(path)
            except OSError as problem:
                problems.append(problem)
                report.detail("cannot lock %s: %s" % (path, problem.strerror))
                if not is_lockless(problem):
                    break
        raise PrimeError("cannot lock %s: %s" % (self.path, problems[0].strerror),
                         tried=["%s: %s" % (self.purpose, self.reason)] if self.reason else [],
                         hint=place_hint(os.path.dirname(self.path), self._variable()))

    def __exit__(self, *_):
        if self.is_outer:
            self._mine.discard(self._key)
            self._write(b"")
            self.file.close()

    def _variable(self):
        """The name of the variable that moves the lock elsewhere."""
        return CACHE_VAR if any(self.path.startswith(each + os.sep) for each in cache_dirs()) else STATE_VAR

    def _take(self, path):
        self.file = open_lock(path)
        self._wait()
        if not self._is_at(path):  # it was removed during the wait, and another process may lock a new one
            self.file.close()
            return self._take(path)
        host = host_name()
        self._write(LOCK_HEAD + ("%d on %s: %s" % (os.getpid(), host, self.purpose)).encode())
        self._mine.add(self._key)
        return self

    def _wait(self):
        import time

        start, count = time.monotonic(), 0
        while not try_lock(self.file):
            check_stops()
            count += 1
            if count == 4:  # most waits are shorter
                report.note("waiting for %s" % holder_in(self.file))
            if time.monotonic() - start > PATIENCE_SECONDS:  # H19
                start = float("inf")
                report.note("still waiting for %s: end that process, or let %s name another place" % (
                    holder_in(self.file), self._variable()))
            time.sleep(0.05)

    def _is_at(self, path):
        """True if the open file is still the one at `path`."""
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.stat(path))
        except OSError:
            return False

    def _write(self, text):
        """Write the holder into the file, unless the content is not that of a lock of ours (H1)."""
        try:
            self.file.seek(0)
            if self.file.read(len(LOCK_HEAD)) in (b"", LOCK_HEAD):
                rewrite(self.file, text)
        except OSError:  # B5: a full disk; the lock works without
            pass


def holder_in(file):
    """The process that holds an open lock file, as it wrote into that."""
    file.seek(0)
    return file.read(200).decode("utf-8", "replace") or "another prime"


def rewrite(file, data):
    """Let an open file have these bytes, and no others."""
    file.truncate(0)
    file.seek(0)
    file.write(data)


def open_lock(path):
    """Open a lock file, or create it; not behind a link, nor for users who cannot write beside it (H19)."""
    make_directory(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    if not WINDOWS:
        entry = os.fstat(descriptor)
        mode = 0o660 if openness(os.path.dirname(path)) & 0o020 else 0o600
        if entry.st_uid == os.geteuid() and entry.st_mode & 0o777 != mode:
            tend(os.fchmod, descriptor, mode)
    return file


def try_lock(file, is_shared=False):
    """Lock an open lock file. True if it is locked, False if another process holds it; OSError if there are no locks.

    is_shared  together with others that lock it so. Windows has no such locks: it locks nothing then
    """
    if WINDOWS and is_shared:
        return True
    try:
        if WINDOWS:
            import msvcrt

            file.seek(1 << 20)  # beyond the text, so that others can read it
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            # This works across machines too: NFS makes it a lock of its server.
            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except OSError as problem:  # any other error means that there are no locks
        # W19: msvcrt says EACCES, or EDEADLK, which is 36; under Wine nothing.
        if problem.errno in (0, 13, 36) if WINDOWS else isinstance(problem, BlockingIOError):
            return False
        raise


def is_lockless(problem):
    """True if an OSError means that the file system has no locks."""
    import errno

    return problem.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def is_held(path):
    """True if some process holds the lock `path`, or if that cannot be told."""
    for file_path in lock_files(path):
        if not os.path.isfile(file_path):
            return False
        try:
            with open_lock(file_path) as file:
                return not try_lock(file)
        except OSError as problem:
            if not is_lockless(problem):
                return True
    return True


def use_cache():
    """Keep `clean --all` away from the user cache until this process ends or becomes another program (H18)."""
    import time

    if _in_use:
        return
    for number, path in enumerate(cache_dirs("in-use")):
        try:
            _in_use.append(open(path, "rb") if number else open_lock(path))  # only the first is written (N2)
            while not try_lock(_in_use[-1], is_shared=True):
                check_stops()
                time.sleep(0.01)
        except OSError as problem:  # a file system without locks
            report.detail("cannot lock %s: %s" % (path, problem.strerror))


# --------------------------------------------------------------------------------------------------
# The link
# --------------------------------------------------------------------------------------------------
# `.venv`, by which every tool finds the environment. Only this chapter knows what it is made of: a symbolic link, a
# junction on Windows, or, where none can be made, a line of a file beside it (PEP 832, M13, W2). Others ask a `Link`
# where it leads and whether it is right, and let it move or go. The fast path comes here: nothing is imported but where
# something fails. What is left beside `.venv` stands in `IGNORED`, too.
# `resolve_python` reads a `.venv` that is a file, as PEP 832 had it before; nothing writes one.

ENVS_FILE = ".python-envs"  # environments, a line each in UTF-8, relative to the file; the last one is the default


def environment_name(generation):
    """The name of the environment that a generation's directory, a path, is of; "" for ""."""
    return os.path.basename(generation).rpartition("-")[0]


class Link:
    """The link of an environment, `.venv`, which exists or not.

    root    str, the ref root
    path    str, where the link is or would be; "" if a boot is not to touch it
    target  str, what the link shall say; "" if it is not known yet, or if none is made (`is_wanted`)
    """

    def __init__(self, root, path, target=""):
        self.root, self.path, self.target = root, path, target

    def aim(self, directory):
        """Set the target so that it leads to this directory, or to "" where no link `is_wanted`. Returns the `Link`."""
        self.target = directory if self.path and self.is_wanted() else ""
        if self.target.startswith(self.root + os.sep) and not WINDOWS:
            self.target = os.path.relpath(directory, os.path.dirname(self.path))
        return self

    def is_right(self):
        """True if the link says its target. Without a target nothing is wrong, unless a boot leaves the link alone."""
        if not self.target:
            return bool(self.path)
        try:
            return os.path.samefile(self.path, self.target) if WINDOWS else os.readlink(self.path) == self.target
        except OSError:
            return self._is_listed()

    def why_wrong(self):
        """Why the link is not right, as a str; "" if it is (R14)."""
        name = self.path.replace(self.root + os.sep, "", 1)
        if self.is_right():
            return ""
        if not os.path.lexists(self.path):
            return "%s does not name it" % ENVS_FILE if self._lines() else "%s is missing" % name
        if not is_link(self.path):
            return "%s is no link" % name
        return "%s leads to %s" % (name, self._text())

    def destinations(self):
        """Where the link leads, or, without one, what is listed in its place: a set of real paths of directories."""
        if os.path.lexists(self.path):
            return {real_path(self.path)}
        return {os.path.realpath(self._directory(line)) for line in self._lines() if line.strip()}

    def leads_to(self, *directories):
        """True if the link leads to one of these directories, or if one is listed in its place."""
        real = [os.path.realpath(each) for each in directories]
        return any(is_same_place(destination, each) for destination in self.destinations() for each in real)

    def is_wanted(self):
        """False in a checkout that cannot be written: there no link is made, and none is missed.

        Whether the file system has links is not asked here.
        """
        nearest = next(each for each in ancestors(os.path.dirname(self.path)) if os.path.exists(each))
        return os.access(nearest, os.W_OK)

    def obstacle(self):
        """Why making the link would take something else away, as a str; "" if it would not."""
        state = state_dir(self.root)
        if self.path in ancestors(state):
            return "no link can be made at %s, for %s names it, or what is in it" % (self.path, STATE_VAR)
        if self.path in ancestors(self.root) or state in ancestors(self.path):
            return "no link can be made at %s" % self.path
        if os.path.basename(self.path) == ".venv" or os.path.exists(os.path.join(self.path, "pyvenv.cfg")):
            return ""
        if os.path.isfile(self.path):
            return "%s is a file of something else" % self.path
        if os.path.isdir(self.path) and not is_link(self.path) and entries_of(self.path):
            return "%s is a directory of something else" % self.path
        return ""

    def is_ours(self):
        """True if the link was made here. It may be from before the repo was moved, or dangle (T1, T4)."""
        text = self._text()
        return bool(text) and (self._is_build(text) or is_complete(self._directory(text)))

    def publish(self, directory, is_needed=True):
        """Let the link lead to this directory, unless it does so, or cannot, or has no path.

        is_needed  raise the error if it cannot, else say so; then this boot does not touch the link
        """
        wrong = self.aim(directory).target and self.why_wrong()
        if self.path and not self.target:
            report.detail("no link is made, for %s cannot be written" % os.path.dirname(self.path))
        if not wrong:
            return
        report.detail("publishing: " + wrong)
        try:
            self.move()
        except (OSError, PrimeError) as problem:
            if is_needed:
                raise
            report.note("%s does not lead to the environment: %s" % (self.path, problem))
            self.path = ""

    def move(self, expected_envs=""):
        """Make the link say its target, under the lock. What is there and not ours is renamed, never removed (T4).

        expected_envs  str, the `signature` that the directory of the generations must still have; "" for any
        PrimeError if it has another, or if neither a link can be made nor a line be written.
        """
        with locked(state_dir(self.root, "lock"), "publishing %s" % self.target):
            if expected_envs and signature(state_dir(self.root, "envs")) != expected_envs:
                raise PrimeError("the generations changed meanwhile")
            make_directory(os.path.dirname(self.path))
            aside = temporary_path(self.path)
            problem = self._make(aside)
            if problem:
                self._list_instead(problem)
            self._replace(aside, has_link=not problem)
        report.detail("published: %s -> %s" % (self.path, self.target))

    def _make(self, aside):
        """Make the link under another name. Returns None, or the OSError that says why none can be made.

        Each file system without links has an error of its own for it: ENOSYS, EPERM, EOPNOTSUPP, EROFS, EPROTO, ...
        """
        try:
            if WINDOWS:  # a junction takes no privilege
                import _winapi

                _winapi.CreateJunction(self.target, aside)  # type: ignore[attr-defined]
                if not os.path.samefile(aside, self.target):  # as on some mapped drives
                    raise OSError("a junction leads elsewhere there")
            else:
                os.symlink(self.target, aside)
        except OSError as problem:
            remove(aside)
            return problem
        return None

    def _replace(self, aside, has_link):
        """Put the link that was made `aside` in its place, in one step; without it make the place empty."""
        try:
            self.demand_movable()
            if os.path.lexists(self.path) and not self.is_ours():
                rename_aside(self.path)
            if is_link(self.path) and (WINDOWS or not has_link):  # a junction cannot replace another in one step
                remove(self.path)
            if has_link:
                os.replace(aside, self.path)
                self._write_lines(self._is_own_line)
        except (OSError, PrimeError):
            remove(aside)
            raise

    def demand_movable(self):
        """PrimeError if what stands at the link is to be renamed, and Windows refuses that, for it runs (W15)."""
        if WINDOWS and os.path.lexists(self.path) and not is_link(self.path) and not self.is_ours():
            program = running_program(self.path)
            if program:
                raise PrimeError("%s was not made by prime, and cannot be renamed while %s runs" % (self.path, program),
                                 hint="end that, or close the editor or the shell that uses it")

    def forget(self, gone, led_to=()):
        """Remove the link, or the lines in its place, if it leads to directories that are gone, or will be.

        led_to  those to which it led while they were there: under 3.7 a junction that dangles does not tell
        """
        if is_link(self.path) and (set(led_to) & set(gone) or self.leads_to(*gone)):
            remove(self.path)
        self._write_lines(lambda directory: directory in gone)

    def _text(self):
        """What the link says, a str; "" if it is none, or does not tell."""
        try:
            return plain_path(os.readlink(self.path))
        except ValueError:  # 3.6 and 3.7: it is a junction
            return real_path(self.path)
        except OSError:
            return ""

    def _directory(self, text):
        """The absolute path of the directory that a link or a line beside it means."""
        return os.path.normpath(os.path.join(os.path.dirname(self.path), text.strip("\ufeff\r")))

    def _is_build(self, text):
        """True if a link or line means a generation of this repo, by its name and place. It need not be there."""
        envs, name = os.path.split(self._directory(text))
        is_in_state = envs == state_dir(self.root, "envs")
        is_in_state = is_in_state or envs.endswith(os.path.join(os.sep, ".prime", "envs"))
        key = name.rpartition("-")[2].partition(".")[0]  # without `re`, for a boot that is back on known inputs
        return is_in_state and "-" in name and is_hex(key)

    def _is_own_line(self, directory):
        """True if the line that names this directory is ours: a generation of this repo, or one that is gone."""
        is_here = os.path.dirname(directory) == state_dir(self.root, "envs")
        return is_here or self._is_build(directory) and not os.path.lexists(directory)

    def list_file(self):
        """The path of the file that stands in for the link."""
        return os.path.join(os.path.dirname(self.path), ENVS_FILE)

    def _lines(self):
        """The lines of that file; [] if there is none, or one that is not followed (H5)."""
        data = bytes_of(self.list_file()) if is_file(self.list_file()) else None
        lines = (data or b"").decode("utf-8", "surrogateescape").split("\n")
        return lines if lines[-1] else lines[:-1]

    def _is_default(self):
        """True if the environment behind this link is the default, for which tools look: its line is the last."""
        return os.path.basename(self.path) == ".venv"

    def _is_listed(self):
        """True if a line of the file says the target, and nothing stands where the link would be, which goes first."""
        if os.path.lexists(self.path):
            return False
        directories = [self._directory(line) for line in self._lines() if line.strip()]
        return self._directory(self.target) in (directories[-1:] if self._is_default() else directories)

    def _list_instead(self, problem):
        """Let the file say the target, since a link cannot be made, which `problem` tells: an OSError.

        Of our lines one of each environment stays, if its generation is there. PrimeError if it cannot be written.
        """
        target, file = self._directory(self.target), self.list_file()
        was_listed = any(self._is_own_line(self._directory(each)) for each in self._lines())
        line = self.target
        if is_inside(target, self.root):
            line = os.path.relpath(target, os.path.dirname(self.path)).replace(os.sep, "/")
        reason = problem.strerror or str(problem)
        try:
            if "\n" in line or os.path.lexists(file) and (not is_file(file) or bytes_of(file) is None):
                raise PrimeError("%s cannot name it" % file)
            line.encode("utf-8")
            self._write_lines(lambda each: self._is_own_line(each) and not (
                os.path.isdir(each) and environment_name(each) != environment_name(target)), line)
        except (OSError, PrimeError, UnicodeError) as other:
            raise PrimeError("no link can be made at %s: %s" % (self.path, reason), tried=[str(other)],
                             hint="prime run does without it")
        (report.detail if was_listed else report.note)(
            "no link can be made at %s (%s): %s names the environment" % (self.path, reason, ENVS_FILE))

    def _write_lines(self, is_dropped, line=""):
        """Write the file anew: without the lines whose directory is dropped, and with one more.

        is_dropped  function of the absolute path of a directory
        A file without any line is removed.
        """
        lines = self._lines()
        kept = [each for each in lines if not (each.strip() and is_dropped(self._directory(each)))]
        if line:
            kept.insert(len(kept) if self._is_default() else 0, line)
        if kept and kept != lines:
            text = "".join(each + "\n" for each in kept)
            write_atomic(self.list_file(), text.encode("utf-8", "surrogateescape"))
        elif lines and not kept:
            remove_file(self.list_file())


# --------------------------------------------------------------------------------------------------
# TOML
# --------------------------------------------------------------------------------------------------
# Knows the grammar of TOML, and hands on `parse_toml`. A reader takes the source and a position in it; it returns the
# position behind what it read, and the value. Only TomlTable keeps state: earlier lines decide what a key may define.


class TomlError(ValueError):
    """Text that is not TOML: `message` says what is wrong, `line` and `column` (both from 1) say where.

    Made from the source and the position of the mistake in it; `source` is the text of that line.
    """

    def __init__(self, src, pos, message):
        self.message = message
        self.line = src.count("\n", 0, pos) + 1
        self.column = pos - src.rfind("\n", 0, pos)
        self.source = src[pos - self.column + 1:].partition("\n")[0]
        ValueError.__init__(self, message, self.line, self.column)

    def __str__(self):
        return "%s (line %d, column %d)" % (self.message, self.line, self.column)

    def as_error(self, file):
        """The PrimeError for a file that is not TOML: it shows the line, and a caret below the mistake."""
        return PrimeError("%s: %s" % (file, self), status=2, tried=pointed(self.source, self.column - 1))


def parse_toml(text, is_head=False):
    """Return what the TOML 1.1 document `text` holds: parse_toml("a = 1") is {"a": 1}.

    Not by `tomllib`, which Python has from 3.11 on, and which reads 1.1 only from 3.15 on: loading it takes about as
    long as starting Python. Besides, one reader gives one result, and one set of errors, on every Python.

    text: str, decoded and without a byte order mark.
    is_head: bool, read only the keys before the first table header, since a lock has thousands of lines behind it.
    Result: dict of str to str, int, float, bool, list, dict, and date, time, datetime of module `datetime`;
    equal to the result of Python 3.15's `tomllib.loads` in value, type and order.
    Error: TomlError, with the line and column of the first mistake.
    Source: https://toml.io/en/v1.1.0
    """
    src = text.replace("\r\n", "\n")
    root = section = TomlTable()
    pos = skip_lines(src, 0)
    while pos < len(src) and not (is_head and src.startswith("[", pos)):
        try:
            pos, section = read_statement(src, pos, root, section)
        except RecursionError:
            raise TomlError(src, pos, "a value is nested too deep") from None
        pos = skip_lines(src, pos)
    return root.values


def is_toml_text(text):
    """True if `text` is a whole TOML document."""
    try:
        parse_toml(text)
    except TomlError:
        return False
    return True


class TomlTable:
    """A table made by statements, not by a value: headers and dotted keys may still extend it.

    values: dict, handed to the caller.
    tables: dict, the TomlTable of each entry in `values` that statements made; of an array of tables the last one.
    Any other entry is a value and closed for good. That holds for inline tables and static arrays too.
    owner: the section (TomlTable of a header) that defined this table; None while it is only a parent.
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
        raise TomlError(src, pos, "expected the end of the line")
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
        raise TomlError(src, start, "%s is already defined" % ".".join(keys)) from None


def read_pair(src, pos, table):
    """Read a key and its value into `table`, return the position behind them."""
    start = pos
    pos, keys = read_keys(src, pos)
    pos = skip_token(src, pos, "=", "after a key")
    pos, value = read_value(src, skip_blank(src, pos))
    try:
        table.put(keys, value)
    except KeyError:
        raise TomlError(src, start, "%s is already defined" % ".".join(keys)) from None
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
        raise TomlError(src, pos, "expected a key")
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
    pos = skip_lines(src, pos + 1)
    while not src.startswith("}", pos):
        pos = skip_lines(src, read_pair(src, pos, table))
        if not src.startswith("}", pos):
            pos = skip_lines(src, skip_token(src, pos, ",", 'or "}" in an inline table'))
    return pos + 1, table.values


def read_string(src, pos):
    """Read a string of any of the four kinds."""
    quote = src[pos]
    if not src.startswith(quote * 3, pos):
        return read_text(src, pos + 1, quote)
    pos += 3
    return read_text(src, pos + src.startswith("\n", pos), quote * 3)


def read_text(src, pos, quotes):
    """Read the rest of a string, from behind its opening `quotes`."""
    parts = []
    while True:
        plain = match_toml(quotes, src, pos)
        parts.append(plain.group())
        pos = plain.end()
        if src.startswith(quotes, pos):
            return pos + len(quotes), "".join(parts)
        if not src.startswith("\\", pos):
            obstacle = repr(src[pos]) if pos < len(src) else "the end"
            raise TomlError(src, pos, "expected %s before %s" % (quotes, obstacle))
        pos, part = read_escape(src, pos, quotes)
        parts.append(part)


def read_escape(src, pos, quotes):
    """Read an escape sequence as the character it means, a backslash at the end of a line as nothing."""
    line_end = match_toml("escaped line end", src, pos)
    if line_end and quotes == '"""':
        return line_end.end(), ""
    escape = match_toml("escape", src, pos)
    if escape is None:
        raise TomlError(src, pos, "unknown escape sequence in a string")
    letter, digits = escape.group(1), escape.group(2) or escape.group(3) or escape.group(4)
    if letter:
        return escape.end(), dict(zip('btnfre"\\', '\b\t\n\f\r\x1b"\\'))[letter]
    code = int(digits, 16)
    if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        raise TomlError(src, pos, "escape sequence of what is not a Unicode character")
    return escape.end(), chr(code)


def read_scalar(src, pos):
    """Read a value without parts: a number, a boolean, a date or a time."""
    makers = (("date", make_date), ("time", make_time), ("float", float),
              ("integer", make_integer), ("boolean", lambda word: word == "true"))
    for kind, make in makers:
        match = match_toml(kind, src, pos)
        if match is None:
            continue
        try:
            return match.end(), make(*match.groups())
        except ValueError as error:
            raise TomlError(src, pos, "invalid %s: %s" % (kind, error)) from None
    raise TomlError(src, pos, "expected a value")


INTEGER_CAP = 4300  # digits, as in Python from 3.11 on: the time to convert them grows with their square (H10)


def make_integer(digits):
    """Return an int."""
    if len(digits) > INTEGER_CAP and len(digits.replace("_", "").lstrip("+-")) > INTEGER_CAP:
        raise ValueError("it has more than %d digits" % INTEGER_CAP)
    return int(digits, 0)


def make_date(year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes):
    """Return a date, or a datetime if there is an hour. The arguments are the groups of the pattern "date"."""
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
    """Return a time, cut to whole microseconds; None for `second` and `fraction` is 0."""
    import datetime
    return datetime.time(int(hour), int(minute), int(second or 0), int((fraction or "").ljust(6, "0")))


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
    raise TomlError(src, pos, 'expected "%s" %s' % (token, where))


def match_toml(kind, src, pos):
    """Return the match of the pattern `kind` at `pos`, or None."""
    if kind not in _TOML_COMPILED:
        import re
        _TOML_COMPILED[kind] = re.compile(list_toml_patterns()[kind])
    return _TOML_COMPILED[kind].match(src, pos)


_TOML_COMPILED = {}  # type: dict  # filled on first use: importing this file must not load `re`


def list_toml_patterns():
    """Return a dict of each kind of token to its regular expression; the kind of plain text is the quotes around it."""
    control = r"\x00-\x08\x0a-\x1f\x7f"
    control_but_newline = r"\x00-\x08\x0b-\x1f\x7f"
    comment = "#[^%s]*" % control
    digits = "[0-9](?:_?[0-9])*"
    decimal = "[+-]?(?:0|[1-9](?:_?[0-9])*)"
    exponent = "[eE][+-]?" + digits
    date = "([0-9]{4})-([0-9]{2})-([0-9]{2})"
    time = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]*)?)?"
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
        "escape": r'\\(?:([btnfre"\\])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))',
        "escaped line end": r"\\[ \t]*\n[ \t\n]*",
        "date": "%s(?:[Tt ]%s%s)?" % (date, time, zone),
        "time": time,
        "float": r"([+-]?(?:inf|nan)|%s(?:\.%s(?:%s)?|%s))" % (decimal, digits, exponent, exponent),
        "integer": "(0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*|%s)" % decimal,
        "boolean": "(true|false)",
    }


def is_bare(key):
    """True for a key that stands in TOML without quotes."""
    return bool(key) and all(char.isalnum() and char <= "z" or char in "-_" for char in key)


def as_toml(value):
    """A value of `parse_toml` as TOML on one line."""
    if isinstance(value, dict):
        keys = {key: key if is_bare(key) else as_toml(key) for key in value}
        return "{%s}" % ", ".join("%s = %s" % (keys[key], as_toml(each)) for key, each in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(as_toml, value))
    if isinstance(value, (str, bool)):
        import json

        # An escape may be a surrogate, which TOML does not have.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


# --------------------------------------------------------------------------------------------------
# Versions and requests
# --------------------------------------------------------------------------------------------------
# Knows PEP 440 and the spellings of uv and pyenv. Hands on a `Version`, and a `Request` for a python: clauses that its
# version must fulfil, or a path. No python is started here.

VERSION = r"""v? (?:(?P<epoch>\d+)!)? (?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>\d*))?
    (?:-(?P<dash_post>\d+) | [-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>\d*))?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$"""
PRE_PHASES = {"a": 0, "alpha": 0, "b": 1, "beta": 1}  # every other spelling means a release candidate
NO_POST_NO_DEV = (-1, float("inf"))  # the end of the `key` of a `Version` that is neither
OPERATORS = ("~=", "===", "==", "!=", "<=", ">=", "<", ">")
BLANKS = " \t\r\n\f\v"
IMPLEMENTATIONS = ("cpython", "pypy", "graalpy")
# What may stand before a version or specifiers, and the implementation that it names, for uv, virtualenv and tox (R10).
PREFIXES = {"cpython": "cpython", "cp": "cpython", "pypy": "pypy", "pp": "pypy", "graalpy": "graalpy", "gp": "graalpy",
            "python": "", "py": "", "any": ""}
REQUEST_FORMS = (
    'a version ("3", "3.12", "3.12.3", "312", "3.13t")',
    'specifiers (">=3.11,<3.14", "~=3.12", "==3.12.*")',
    'an implementation ("cpython", "pypy@3.11", "cpython>=3.11,<3.14")',
    'a version as uv, virtualenv and tox write it ("python3.12", "cp312", "cpython-3.12.1-linux-x86_64-gnu")',
    'a path, or the name of another program on PATH ("my-python")',
)


class Version:
    """A version by PEP 440; prints as it was written.

    release        tuple of int
    local          str, the part behind "+", normalized
    base           (epoch, release without trailing zeros): the same for its pre- and post-releases
    key            sorts as PEP 440 says, dev < pre < the release itself < post; local versions are equal
    is_prerelease  True for a pre- or dev release; `is_post` likewise
    phase          int: -1 of a dev release, 0 alpha, 1 beta, 2 candidate, 3 the release itself
    PrimeError if the text is not a version.
    """

    def __init__(self, text):
        import re

        is_sane = isinstance(text, str) and len(text) < 1000  # int() takes 4,300 digits at most
        match = is_sane and re.match(VERSION, text.strip(BLANKS).lower(), re.VERBOSE | re.ASCII)
        if not match:
            raise PrimeError('"%s" is not a version' % (text,), status=2)
        part = match.groupdict()
        self.text = text.strip(BLANKS)
        local = re.split("[-_.]", part["local"] or "")
        self.local = ".".join(str(int(word)) if word.isdigit() else word for word in local)
        self.release = tuple(map(int, part["release"].split(".")))
        self.is_prerelease = bool(part["pre"] or part["dev"])
        self.is_post = bool(part["post"] or part["dash_post"])
        significant = self.release
        while significant and not significant[-1]:
            significant = significant[:-1]
        self.base = int(part["epoch"] or 0), significant
        pre = (-1, 0) if part["dev"] and not self.is_post else (3, 0)
        if part["pre"]:
            pre = PRE_PHASES.get(part["pre"], 2), int(part["pre_n"] or 0)
        post = int(part["dash_post"] or part["post_n"] or 0) if self.is_post else NO_POST_NO_DEV[0]
        dev = int(part["dev_n"] or 0) if part["dev"] else NO_POST_NO_DEV[1]
        self.key = self.base, pre, post, dev
        self.phase = pre[0]

    def __str__(self):
        return self.text

    def final(self):
        """The final release X.Y.Z of this version, such as 3.14.0 of 3.14.0rc1."""
        numbers = self.release + (0,) * (3 - len(self.release))
        return Version(".".join(map(str, numbers)))

    def starts_with(self, epoch, prefix):
        """True if this is the epoch, and the release begins with the numbers `prefix`."""
        padded = self.release + (0,) * len(prefix)
        return self.base[0] == epoch and padded[: len(prefix)] == prefix


class Clause:
    """One comparison of a specifier, such as `>=3.8` or `==3.12.*` (PEP 440).

    operator   str, one of `OPERATORS`
    operand    str, the text behind the operator
    version    the `Version` in the operand; None if `===` compares with other text
    is_prefix  True for ".*" behind the version, which then is a release; `names_prerelease` likewise, for a
               pre-release in it
    PrimeError if the text is no comparison.
    """

    def __init__(self, text):
        self.text = text.strip(BLANKS)
        self.operator = next(filter(self.text.startswith, OPERATORS), "")
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
        return not (self.is_prefix and (version.is_prerelease or version.is_post))

    def contains(self, version):
        """True if a `Version` fulfils this comparison."""
        operator = self.operator
        mine = self.version
        if operator == "===":  # compares text, so that any text may stand there
            return version.text.lower() == self.operand.lower()
        if operator in ("==", "!="):
            return self._equals(version) == (operator == "==")
        if operator == "~=":
            return version.key >= mine.key and version.starts_with(mine.base[0], mine.release[:-1])
        if operator == "<":  # 3.9rc1 is not below 3.9, but 3.9rc1 is below 3.9.post1 (R12)
            bound = mine if mine.is_prerelease else Version(mine.text + ".dev0")
            return version.key < bound.key
        if operator == ">":  # 3.9.post1 is not above 3.9, nor 3.9rc1.post1 above 3.9rc1
            is_own_post = mine.key[2:] == NO_POST_NO_DEV and version.key[:2] == mine.key[:2]
            return version.key > mine.key and not is_own_post
        return version.key >= mine.key if operator == ">=" else version.key <= mine.key

    def _equals(self, version):
        mine = self.version
        if self.is_prefix:
            return version.starts_with(mine.base[0], mine.release)
        return version.key == mine.key and mine.local in ("", version.local)


def parse_clauses(text):
    """The `Clause`s of comma-separated specifiers, a list; empty ones are skipped, as `packaging` does."""
    return [Clause(part) for part in text.split(",") if part.strip(BLANKS)]


class Request:
    """Which python is wanted; prints as it was written.

    text              str, the request as written; "" accepts any python
    origin            str, where it was written, for errors
    clauses           list of `Clause`: the version must fulfil all of them
    implementation    "cpython", "pypy", ... or "" for any
    is_free_threaded  True if only a free-threaded build will do
    path              str, an interpreter, an environment directory or the name of a program, instead of all that
    names_prerelease  True if a pre-release is as good as any
    places            list of str, directories of the repo's own with pythons
    uv_text           str, the request as uv understands it
    """

    def __init__(self, text="", origin="", clauses=(), implementation="", is_free_threaded=False, path=""):
        self.text, self.origin = text, origin
        self.clauses, self.path = list(clauses), path
        self.implementation, self.is_free_threaded = implementation, is_free_threaded
        self.names_prerelease = bool(path) or any(clause.names_prerelease for clause in self.clauses)
        self.places = []  # type: list
        self.uv_text = text

    def __str__(self):
        return self.text or "any python"

    def failing(self, version):
        """The first clause that a `Version` does not fulfil, or None.

        Unless a clause names a pre-release, only X.Y.Z counts, as for uv: >=3.14 takes 3.14.0rc1.
        """
        compared = version if self.names_prerelease else version.final()
        return next((clause for clause in self.clauses if not clause.contains(compared)), None)


def parse_request(text, origin="", is_strict=False, base=""):
    """Understand a request in any of `REQUEST_FORMS`. Returns a `Request`.

    text       str, the request
    origin     str, where it was written
    is_strict  bool: "==3.12" means 3.12.0, as in PEP 440, and "any" is no version; else 3.12.*, as for uv
    base       str, the directory that a relative path starts from
    PrimeError that lists the forms if the text has none of them.
    """
    import re

    if not isinstance(text, str):
        raise malformed(text, origin, "it is no string")
    plain = text.strip(BLANKS)
    if plain.lower() in ("any", "default") and is_strict:
        raise malformed(text, origin)
    if plain.lower() in ("", "any", "default"):  # the last is uv's word
        return Request(text, origin)
    request = _parse_specifiers(text, plain, origin, is_strict) or _parse_version(text, plain, origin)
    if request:
        return request
    if os.path.dirname(plain):
        return Request(text, origin, path=os.path.join(base, os.path.expanduser(plain)))
    if re.match(r"[\w.+-]+$", plain) and ("python" in plain or "pypy" in plain):
        return Request(text, origin, path=plain)
    raise malformed(text, origin)


def _parse_specifiers(text, plain, origin, is_strict):
    """The `Request` for specifiers, maybe behind an implementation (cpython>=3.12,<3.13); None if there are none."""
    import re

    match = re.match(r"(?:(%s)(?:@| +)?)?((?:[<>=!,]|~=).*)$" % "|".join(PREFIXES), plain, re.IGNORECASE | re.DOTALL)
    if not match:
        return None
    prefix, specifiers = match.groups("")
    implementation = PREFIXES.get(prefix.lower(), "")
    if re.match(r"==\s*\d+(\.\d+)?$", specifiers, re.ASCII) and not is_strict:
        specifiers += ".*"
    try:
        request = Request(text, origin, parse_clauses(specifiers), implementation)
    except PrimeError as error:
        raise malformed(text, origin, str(error))
    if prefix:
        request.uv_text = "@".join(filter(None, (implementation, specifiers)))
    return request


def _parse_version(text, plain, origin):
    """The `Request` for a version or an implementation, such as 3.12, cp312, pypy@3.11, 3.13t; None if it is neither.

    As uv has it, IMPLEMENTATION-VERSION may go on with system, machine and libc, which do not count. In pypy-7.3.12
    the version is PyPy's own: that is none of these.
    """
    import re

    prefix = r"(?:(%s)(?:(?:@| +)(?=\d)|(-)(?=[23]\.|3\d*\b|any\b))?|v(?=\d))?" % "|".join(PREFIXES)
    version = r"(any|(\d)(\d*)((?:\.\d+){0,2}(?:(?:a|b|rc)\d+)?))?"
    match = re.match(prefix + version + r"(t|\+freethreaded|\+gil)?((?:-\w+){1,3})?$", plain.lower(), re.ASCII)
    if not match:
        return None
    prefix, dash, version, major, digits, rest, threads, platform = match.groups("")
    implementation = PREFIXES.get(prefix, "")
    if platform and not (dash and prefix in IMPLEMENTATIONS + ("any",)):
        return None
    if not version and (threads or not implementation):
        return None
    version = major + "." * (bool(digits) and rest[:1] != ".") + digits + rest  # 312 means 3.12, and 313rc2 3.13rc2
    is_exact = version.count(".") == 2 or not version.replace(".", "").isdigit()
    clauses = [Clause("==" + version + ("" if is_exact else ".*"))] if version else []
    is_free_threaded = threads not in ("", "+gil")
    request = Request(text, origin, clauses, implementation, is_free_threaded)
    request.uv_text = "@".join(filter(None, (implementation, version + "t" * is_free_threaded))) or "any"
    return request


def version_in_name(name):
    """The request in a name that pyenv or uv gave a python or an environment; `name` itself if it is another.

    So "cpython-3.12.1-linux-x86_64-gnu" is "3.12.1", and "pypy3.10-7.3.12" is "pypy@3.10".
    """
    import re

    pattern = r"(?:(?:c?python|(pypy|graalpy)(?=-?3\.))(-)?)?(\d+\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+)?t?)" \
        r"(\+freethreaded)?([-+/:].*)?$"
    match = re.match(pattern, name, re.ASCII)
    implementation, dash, version, threads, rest = match.groups("") if match else [""] * 5
    if not (dash or threads or rest):
        return name
    head = implementation + "@" if implementation else ""
    return head + version + "t" * bool(threads)


# Requests as other tools have them, as patterns, and what they are here.
REQUEST_SLIPS = (
    (r"=\s*([\d.]+)|(\d+(?:\.\d+)?)\.[x*]", r"==\1\2.*"),
    (r"([\d.]+)\s*(?:\+|or \w+)", r">=\1"),
    (r"\^\s*(3[\d.]*)", r">=\1,<4"),
    (r"([<>=!~]+\s*[\d.]+)\s+([<>=!~]+\s*[\d.]+)", r"\1,\2"),
)


def malformed(text, origin, reason=""):
    """The PrimeError for a text that is no request; it lists the forms of one, and names the one that was meant."""
    import re

    message = 'malformed request "%s"%s' % (text, reason and ": " + reason)
    slips = [(re.fullmatch(pattern, str(text).strip(), re.IGNORECASE), meant) for pattern, meant in REQUEST_SLIPS]
    near = next((match.expand(meant) for match, meant in slips if match), "")
    forms = ["  " + form for form in REQUEST_FORMS]
    return PrimeError(message, origin, ["a request is one of:"] + forms, near and 'did you mean "%s"?' % near, status=2)


def satisfies(request, version):
    """Tell whether a python version satisfies a request: satisfies("~=3.8", "3.9.1") is True.

    request  str: a version or PEP 440 specifiers, see `REQUEST_FORMS`; "==3.12" is 3.12.0 alone. Specifiers mean what
             `packaging` says, but that X.Y.Z alone counts of a pre-release unless the request names one, as for uv
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
    """The `Request` for a uv: "0.5.1", or specifiers; "" for any. PrimeError with `origin` if it is neither."""
    try:
        specifiers = text if text[:1] in "<>=!~" else "==" + text
        return Request(text, "uv_version", parse_clauses(specifiers))
    except (PrimeError, AttributeError, TypeError, KeyError):  # the last three if it is no string
        raise PrimeError('uv_version "%s" is neither a version nor specifiers' % (text,), origin, status=2)


# --------------------------------------------------------------------------------------------------
# Config
# --------------------------------------------------------------------------------------------------
# Knows the fields, each a row of `FIELDS`. Hands on a `Config`: what the files at the root say, read once and checked.

DRIVERS = ("auto", "venv_uv", "venv_pip")
# Each platform: its marker (PEP 508), the platform tag of its wheels, its name in uv's pythons.
PLATFORMS = {
    name: ("sys_platform == '%s' and platform_machine == '%s'" % (system, machine), "(%s)$" % tag, uv)
    for name, system, machine, tag, uv in (
        ("linux-x86_64", "linux", "x86_64", "(many)?linux.*_x86_64", "linux-x86_64-gnu"),
        ("linux-aarch64", "linux", "aarch64", "(many)?linux.*_aarch64", "linux-aarch64-gnu"),
        ("musl-x86_64", "linux", "x86_64", "musllinux.*_x86_64", "linux-x86_64-musl"),
        ("musl-aarch64", "linux", "aarch64", "musllinux.*_aarch64", "linux-aarch64-musl"),
        ("macos-x86_64", "darwin", "x86_64", "macosx.*_(x86_64|intel|fat32?|fat64|universal2?)", "macos-x86_64-none"),
        ("macos-arm64", "darwin", "arm64", "macosx.*_(arm64|universal2)", "macos-aarch64-none"),
        ("windows-x86_64", "win32", "AMD64", "win_amd64", "windows-x86_64-none"),
        ("windows-arm64", "win32", "ARM64", "win_arm64", "windows-aarch64-none"))
}
# Each field: kind, default, meaning (for readers of this file). Reading, errors, `info` and the inputs come from here.
# A test compares the README's table with it.
# `fill_defaults` replaces a default of None by what the repo holds.
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
    "env_file": ("text", "", "a file of NAME=VALUE lines, which set what the caller has not set"),
    "tasks": ("tasks", {}, "commands of the repo by name: ./prime NAME runs one in its environment"),
    "post_boot": ("commands", [], "commands run in each new generation before it is published"),
    "default_env": ("text", "default", "the environment that is meant when none is named"),
}  # type: dict
# Where packages come from, and by which tool: a script with metadata takes these over from the repo.
SOURCE_FIELDS = ("venv_driver", "uv_version", "uv_sha256", "index_url", "extra_index_urls", "find_links", "no_index")
# Changing one needs no rebuild; but a link of another name than usual is an input: a generation's scripts name it (M1).
RUNTIME_FIELDS = ("env_vars", "env_file", "tasks", "venv_dir_rel_path", "default_env", "platforms")
ROOT_FIELDS = ("default_env", "tasks")  # no environment has its own
FREE_FIELDS = ("env_vars", "tasks", "post_boot")  # any text: it is for the user's own programs
PARSED_FIELDS = ("required_python_version", "uv_version")  # `check_text` is skipped: their own parsers check them
PROJECT_KEYS = {"path": "text", "extras": "texts", "groups": "texts", "editable": "flag"}
TASKS_MEANT = {word: key for key, words in {
    "run": "cmd command script exec shell", "needs": "depends deps depends_on requires", "help": "description desc doc",
    "cwd": "dir directory working_dir workdir", "env_vars": "environ variables vars environment",
}.items() for word in words.split()}
TASK_KEYS = {"run": "command", "env": "text", "cwd": "text", "env_vars": "table", "needs": "texts", "help": "text"}


def is_texts(value):
    """True for a list of strings."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def is_variable(name, value):
    """True for what the environment of a process can hold."""
    return isinstance(value, str) and name and not set("=\0") & set(name) and "\0" not in value


def is_command(value):
    """True for a command: its words, or one string of them."""
    return bool(value) and (isinstance(value, str) or is_texts(value) and bool(value[0]))


def is_project(value):
    """True for an entry of `projects`."""
    if not isinstance(value, dict):
        return isinstance(value, str)
    return "path" in value and all(
        key in PROJECT_KEYS and KINDS[PROJECT_KEYS[key]][1](item) for key, item in value.items())


# Each kind of value: its name in errors, and the function that accepts it.
KINDS = {
    "text": ("a string", lambda value: isinstance(value, str)),
    "texts": ("a list of strings", is_texts),
    "hashes": ("a list of SHA-256 in hex",
               lambda value: is_texts(value) and all(len(each) == 64 and is_hex(each.lower()) for each in value)),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "platforms": ("a list of " + ", ".join(PLATFORMS),
                  lambda value: is_texts(value) and set(value) <= set(PLATFORMS)),
    "driver": ("one of " + ", ".join(DRIVERS), lambda value: value in DRIVERS),
    "table": ("a table of variables, without = in a name or NUL",
              lambda value: isinstance(value, dict) and all(is_variable(*item) for item in value.items())),
    "projects": ("a list of paths or of {path, extras, groups, editable}",
                 lambda value: isinstance(value, list) and all(map(is_project, value))),
    "command": ("a command: a string, or a list of its words", is_command),
    "tasks": ("a table of tasks", lambda value: isinstance(value, dict)),  # `read_tasks` checks each
    "commands": ("a list of commands, each a list of strings",
                 lambda value: isinstance(value, list) and all(is_texts(item) and item for item in value)),
}


def why_not_kind(name, kind, value):
    """The message that the value under a name is not of a kind, a key of `KINDS`; "" if it is."""
    expected, is_valid = KINDS[kind]
    return "" if is_valid(value) else "%s must be %s, not %s" % (name, expected, shown_value(value))


def normalized(name):
    """The form in which names of packages, extras and groups are compared (PEP 503, 685, 735)."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


def chosen_names(names, chosen):
    """Those of `names`, of extras or groups, that are in `chosen` in any spelling."""
    spellings = set(map(normalized, chosen))
    return [name for name in names if normalized(name) in spellings]


def left_of(names, taken):
    """Those of the `names` of extras or groups that are not `taken`, in any spelling."""
    taken = set(map(normalized, taken))
    return [name for name in names if normalized(name) not in taken]


def is_our_name(name):
    """True for `proto-prime` as the name of a table, in any spelling."""
    return normalized(name).replace("-", "") == "protoprime"


# What people write for a field, with - or _, and from other tools' files (U10).
MEANT = {word: field for field, words in {
    "required_python_version": "python python_version requires_python required_python target_python",
    "dependencies": "packages package deps requires requirements requirement install_requires install modules",
    "requirements_files": "requirements_file requirements_txt requirement_files",
    "constraints_file": "constraints constraint constraints_files",
    "env_vars": "environment environments envs environ variables vars set_env setenv environment_variables",
    "venv_dir_rel_path": "venv venv_dir venv_path venv_name env_dir",
    "venv_driver": "driver backend installer tool",
    "projects": "project extras groups dependency_groups path paths members",
    "lock_file": "lock lockfile",
    "index_url": "index indexes index_urls registry",
    "post_boot": "post_install post_create hooks commands",
    "default_env": "default default_environment",
    "tasks": "scripts task",
    "python_selector_file_rel_path": "selector python_selector",
    "uv_version": "uv",
}.items() for word in words.split()}
# Options of pip that people put where requirements stand, and the field for each.
OPTIONS_OF_PIP = {
    "-r": "requirements_files", "--requirement": "requirements_files", "-c": "constraints_file",
    "--constraint": "constraints_file", "-e": "projects", "--editable": "projects", "-i": "index_url",
    "--index-url": "index_url", "--extra-index-url": "extra_index_urls", "-f": "find_links",
    "--find-links": "find_links", "--no-index": "no_index",
}


def as_meant(field, kind, value, typed):
    """The value for a field that somebody meant by a value of another kind; None if that cannot be told.

    kind   str, a key of `KINDS`, which the field takes
    typed  str, how the value stands in the file
    """
    is_text = isinstance(value, str)
    if kind == "table" and is_texts(value) and all("=" in each for each in value):  # as for docker compose
        value = dict(each.split("=", 1) for each in value)
    if kind == "driver" and is_text:
        value = "venv_" + normalized(value).split("-")[0].replace("virtualenv", "pip").replace("venv", "pip")
    elif kind == "text" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = typed if typed[:1].isdigit() else str(value)
    elif kind == "flag" and is_text:
        value = means_yes(value)
    elif kind in ("texts", "projects", "platforms", "hashes") and is_text:
        value = [value]
    elif field == "dependencies" and isinstance(value, dict) and is_texts(list(value.values())):
        value = [name + as_specifier(version) for name, version in value.items()]  # as Poetry and Pipenv have it
    elif kind == "projects" and isinstance(value, dict):
        value = [value]
    elif kind == "commands" and (is_text or is_texts(value)):
        commands = [value] if is_text else value
        value = [[each] if set(each) & set("'\"\\") else each.split() for each in commands]
    elif kind == "table" and isinstance(value, dict):
        value = {name: str(each).lower() if isinstance(each, bool) else str(each) for name, each in value.items()}
    return value if KINDS[kind][1](value) else None


def as_specifier(version):
    """The specifier for what Poetry and Pipenv take for the version of a package."""
    if version == "*":
        return ""
    if version[:1] in "=<>!~":  # "", too
        return version
    return ">=" + version.lstrip("^") if version[:1] == "^" else "==" + version


def requirement_meant(text):
    """The requirement for a text such as flask=3, flask^3 and flask@3, which other tools take; "" if it is another."""
    import re

    match = re.match(r"\s*([\w.-]+)\s*([=^@\s])\s*v?(\d[\w.*]*)\s*$", text, re.ASCII)
    return match.group(1) + as_specifier(match.group(2).strip("=@ ") + match.group(3)) if match else ""


def hint_for_value(field, value, typed="", kind=""):
    """The hint for a value that a field does not take: the line that works; "" if none is near.

    Arguments as for `as_meant`; kind is by default that of a field of the config.
    """
    try:
        value = as_meant(field, kind or FIELDS[field][0], value, typed)
        return "" if value is None else "did you mean: %s = %s" % (field, shown_toml(value))
    except (RecursionError, ValueError):  # as in `shown_value`
        return ""


def shown_toml(value):
    """A value as TOML in a hint: short, with bare keys, or dots."""
    import re

    text = re.sub(r'"([A-Za-z0-9_-]+)" = ', r"\1 = ", as_toml(value))
    return text if len(text) <= 200 else "..."


def hint_for_field(config, key, value, typed):
    """The hint for a field that does not exist: the one that was meant; "" if that cannot be told (U10)."""
    name = key.replace("-", "_").lower()
    tool = next(iter(value), "") if key == "tool" and isinstance(value, dict) else ""
    if config.file == OWN_CONFIG and (is_our_name(tool) or is_our_name(key)):
        table = "tool." + tool if tool else key
        return "the fields stand at the top of %s: leave out [%s]" % (OWN_CONFIG, table)
    if config.file == OWN_CONFIG and tool:
        return "[tool.%s] belongs into %s" % (tool, PYPROJECT)
    if config.file == OWN_CONFIG and key in ("project", "build-system", "dependency-groups"):
        return "[%s] belongs into %s" % (key, PYPROJECT)
    field = MEANT.get(name, "")
    files = [value] if isinstance(value, str) else value
    if field == "dependencies" and files and is_texts(files) and all(each.endswith((".txt", ".in")) for each in files):
        field = "requirements_files"
    if name in ("extras", "groups", "dependency_groups"):
        value = {"path": ".", "extras" if name == "extras" else "groups": [value] if isinstance(value, str) else value}
    if field == "env_vars" and isinstance(value, dict) and any(isinstance(each, dict) for each in value.values()):
        return "did you mean: [env.%s]" % next(iter(value))
    if not field:
        return ""
    return hint_for_value(field, value, typed) or 'did you mean "%s"?' % field


def hint_for_option(text):
    """The hint for an option of pip in a list of requirements: the field for it; "" if there is none."""
    option, _, value = text.strip().replace("=", " ", text.startswith("--")).partition(" ")
    if option[:2] in ("-r", "-c", "-e", "-i", "-f") and len(option) > 2:
        option, value = option[:2], option[2:]
    field = OPTIONS_OF_PIP.get(option, "")
    return hint_for_value(field, value.strip() or "yes") if field and (value or field == "no_index") else ""


SCRIPT_METADATA = "the script's metadata, PEP 723"


class Config:
    """What the files at the ref root say.

    root       str, the ref root
    file       str, the name of the file that holds our table; "" if none does
    table      dict, our table; `load_config` checks its fields
    text       str, that file's text, for line numbers
    pyproject  dict, all of pyproject.toml; empty if there is none
    seen       dict, path to `signature` of every file that mattered, from before it was read: the stamp compares them
    documents  dict, path to (text, content) of every TOML file that was read
    aside      set, the paths of files that do not count, because another user owns them
    sources    dict, directory to what `sources_of` found for it
    tasks      dict, name to `Task`
    """

    def __init__(self, root):
        self.root = root
        self.file, self.text = "", ""
        self.seen, self.documents, self.aside, self.sources = {}, {}, set(), {}  # type: dict, dict, set, dict
        self.tasks = {}  # type: dict
        text, self.pyproject = self.read(os.path.join(root, PYPROJECT))
        own_text, own = self.read(os.path.join(root, OWN_CONFIG))
        self.table = table_in(self.pyproject, PYPROJECT, "tool", "proto-prime")
        tools = self.pyproject.get("tool", {})
        misspelt = ["tool." + name for name in filter(is_our_name, tools) if name != "proto-prime"]
        misspelt += filter(is_our_name, self.pyproject)
        if misspelt:
            raise PrimeError("[%s] is not known" % misspelt[0], PYPROJECT, status=2,
                             hint="did you mean [tool.proto-prime]?")
        if "proto-prime" in tools:
            if own_text is not None:
                raise PrimeError("both %s and [tool.proto-prime] in %s configure %s" % (OWN_CONFIG, PYPROJECT, root),
                                 hint="keep one of them", status=2)
            self.file, self.text = PYPROJECT, text
        elif own_text is not None and kind_of_root(root) == "script":  # nobody wrote that file: it has no line to name
            self.file, self.table = SCRIPT_METADATA, own
        elif own_text is not None:
            self.file, self.table, self.text = OWN_CONFIG, own, own_text

    def look(self, path):
        """Remember the signature of a file before it is read, for the stamp. Returns the path."""
        if path not in self.seen:
            self.seen[path] = signature(path)
        return path

    def read(self, path):
        """The text and the content of a TOML file; (None, {}) if it is missing. PrimeError if it is not TOML."""
        if path not in self.documents:
            text = load_text(path) if os.path.exists(self.look(path)) else None
            try:
                self.documents[path] = text, parse_toml(text or "")
            except TomlError as error:
                raise error.as_error(path)
        return self.documents[path]

    def project(self, directory):
        """The content of the pyproject.toml in a directory; {} if it is missing."""
        return self.read(os.path.join(directory, PYPROJECT))[1]

    def names(self):
        """The names of all environments, a set."""
        return set(self.table.get("env", {})) | {"default"}

    def error(self, key, message, names=(), at="", hint=""):
        """A PrimeError about the name `key`: with the line of it, or of `at`, and the nearest of the valid `names`."""
        return PrimeError(message, self.where(at or key), hint=hint or nearest(key, names), status=2)

    def typed_value(self, name):
        """What stands behind the name of a field in its line, a str: 3.10 is another number than 3.1; "" if in none."""
        number = self.where(name).rpartition(", line ")[2]
        line = self.text.split("\n")[int(number) - 1] if number.isdigit() else ""
        return line.partition("=")[2].partition("#")[0].strip()

    def where(self, name):
        """The file, and the line that defines a dotted name of our table, else the line of the table around it."""
        top = "tool.proto-prime" if self.file == PYPROJECT else ""
        wanted = bare_key((top + "." if top else "") + name) + "."
        header, nearest_key, nearest_line = "", top, 0
        lines = self.text.split("\n")
        for number, line in enumerate(lines, 1):
            key, is_header = defined_in(line)
            if not key:
                continue
            if is_header:
                header = key + "."
            else:
                key = header + key
            is_nearer = wanted.startswith(key + ".") and len(key) > len(nearest_key)
            if is_nearer and is_toml_text("\n".join(lines[:number - 1] + [""])):  # else inside of a value (R9)
                nearest_key, nearest_line = key, number
        return self.file + (", line %d" % nearest_line if nearest_line else "")


def defined_in(line):
    """The dotted name that a line of TOML defines, without blanks and quotes, or ""; and whether it is a header."""
    bare = line.strip()
    is_header = bare[:1] == "[" and "[" in line[:2]  # a row of a list stands further in
    text = bare.lstrip("[") if is_header else bare
    name, end, _ = text.partition("]" if is_header else "=")
    return bare_key(name) if end else "", is_header


def bare_key(text):
    """A dotted key without blanks and quotes."""
    return "".join(char for char in text if not char.isspace() and char not in "\"'")


def table_in(document, file, *names):
    """The table that a path of names leads to in a TOML document, {} if absent; PrimeError if it is no table."""
    for count, name in enumerate(names, 1):
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise PrimeError("%s: [%s] is not a table" % (file, ".".join(names[:count])), status=2)
    return document


def load_config(root):
    """Read and check the config of the ref root `root`, a str. Returns a `Config`; PrimeError with status 2."""
    config = Config(root)
    check_fields(config, config.table, set(FIELDS) | {"env"}, "")
    for name, table in table_in(config.table, config.file, "env").items():
        field = "env." + name
        if not isinstance(table, dict):
            hint = "variables stand in env_vars: env_vars = %s" % shown_toml({name: str(table)})
            if name in FIELDS:
                hint = "an environment has a name: [%senv.NAME]" % ("tool.proto-prime." * (config.file == PYPROJECT))
            raise config.error(field, "%s is not a table of fields" % field, hint=hint)
        if not name or not consists_of(name, "-_"):
            raise config.error(field, 'environment name "%s" has more than letters, digits, - and _' % name)
        if why_no_file_name(name):  # directories are named after it
            raise config.error(field, 'environment name "%s": %s' % (name, why_no_file_name(name)))
        check_fields(config, table, set(FIELDS) - set(ROOT_FIELDS), field + ".")
    config.tasks = read_tasks(config)
    return config


def check_fields(config, table, fields, prefix):
    """PrimeError for the first key of `table` that is none of `fields`, or whose value is not of its kind."""
    for key, value in table.items():
        field = prefix + key
        if key not in fields:
            hint = hint_for_field(config, key, value, config.typed_value(field))
            raise config.error(key, 'unknown field "%s"' % field, fields, field, hint)
        if key == "env":  # the named environments, which `load_config` checks
            continue
        problem = why_not_kind(field, FIELDS[key][0], value)
        if problem:
            raise config.error(field, problem, hint=hint_for_value(key, value, config.typed_value(field)))
        if "\\u0000" in as_json(value).replace("\\\\", ""):  # JSON for a NUL
            raise config.error(field, "%s has a NUL, which no path and no argument can have" % field)
        if key in FREE_FIELDS + PARSED_FIELDS:
            continue
        try:
            for _, text in texts_in(value):
                check_text(text, field, config.file, is_requirement=key == "dependencies")
        except PrimeError as error:
            error.where, error.hint = config.where(field), hint_for_option(text)
            raise
        for text in value if key == "dependencies" else ():
            meant = requirement_meant(text)
            if meant:
                problem = '%s: "%s" is no requirement' % (field, text)
                raise config.error(field, problem, hint='did you mean "%s"?' % meant)


class Task:
    """A command of the repo that has a name.

    name       str
    words      list of str, the command; empty for a task that only needs others
    env        str, the environment that it runs in; "" for the clone's own
    cwd        str, the directory that it runs in, relative to the ref root
    variables  dict, its `env_vars`
    needs      list of str, the names of the tasks that run before it
    help       str
    """

    def __init__(self, name, words, env="", cwd="", variables=None, needs=(), help=""):
        self.name, self.words, self.env, self.cwd = name, words, env, cwd
        self.variables, self.needs, self.help = variables or {}, list(needs), help

    def directory(self, root):
        """The directory that it runs in."""
        return os.path.normpath(os.path.join(root, self.cwd))

    def script(self, root):
        """Its program as a path, if it is written as one; else the name of it."""
        name = self.words[0]
        return os.path.join(self.directory(root), name) if os.path.dirname(name) or name.endswith(".py") else name

    def as_dict(self):
        """The task as `info --json` prints it."""
        return {"run": self.words, "env": self.env or None, "cwd": self.cwd, "env_vars": self.variables,
                "needs": self.needs, "help": self.help}

    def row(self):
        """All of a task that needs no other, as a str for a stamp; "" if it needs one, or no str can have it."""
        variables = ["%s=%s" % pair for pair in self.variables.items()]
        row = "\2".join([self.name, self.env, self.cwd, "\1".join(self.words), "\1".join(variables)])
        is_whole = row.count("\2") == 4 and row.count("\1") == len(self.words[1:]) + len(variables[1:])
        return row if is_whole and not self.needs else ""

    @classmethod
    def from_row(cls, row):
        """The task of a `row`."""
        name, env, cwd, words, variables = row.split("\2")
        pairs = dict(each.partition("=")[::2] for each in variables.split("\1") if each)
        return cls(name, words.split("\1"), env, cwd, pairs)


# What a shell would act on, and a program gets as a word.
SHELL_WORDS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"}


def read_tasks(config):
    """The tasks of a config: a dict of name to `Task`. PrimeError with status 2 for the first that cannot be run."""
    tasks, done = {}, {}  # type: dict, dict
    for name, value in config.table.get("tasks", {}).items():
        tasks[name] = read_task(config, name, value)
    for name in tasks:
        add_steps(config, tasks, name, done)
    return tasks


def read_task(config, name, value):
    """Check one task, and return it as a `Task`. PrimeError with status 2."""
    field = "tasks." + name
    if not consists_of(name, "-_.:") or name[:1] in ("", "-", ".", ":"):
        near = "".join(char if consists_of(char, "_.:") else "-" for char in name[:200]).strip("-.:")
        raise config.error(field, 'task name "%s" is not of letters, digits and -_.: alone' % one_line(name[:200]),
                           hint='did you mean "%s"?' % near if near else "")
    if name in FIELDS:  # the line was added below [tasks]
        hint = "move its line above [%stasks]" % ("tool.proto-prime." * (config.file == PYPROJECT))
        raise config.error(field, "%s: %s is a field, and no task" % (field, name), hint=hint)
    table = value if isinstance(value, dict) else {"run": value}
    for key, item in table.items():
        at = field + "." + key if table is value else field
        if key not in TASK_KEYS:
            meant = TASKS_MEANT.get(key)
            raise config.error(key, 'unknown field "%s"' % at, TASK_KEYS, at, meant and 'did you mean "%s"?' % meant)
        problem = why_not_kind(at, TASK_KEYS[key], item)
        if problem:
            raise config.error(at, problem, hint=hint_for_value(key, item, config.typed_value(at), TASK_KEYS[key]))
    if not table.get("run") and not table.get("needs"):
        raise config.error(field, '%s has no command: it takes run = "..."' % field)
    env = table.get("env", "")
    if env and env not in config.names():
        raise config.error(env, '%s.env: no environment "%s" is configured' % (field, env), config.names(), field)
    words = words_of(config, field, table.get("run", []))
    return Task(name, words, env, table.get("cwd", ""), table.get("env_vars"), table.get("needs", ()),
                table.get("help", ""))


def words_of(config, field, command):
    """The words of a task's command: a string is split as POSIX does on every system, and there is no shell.

    PrimeError with status 2 for a quote that does not end, or for what only a shell could do.
    """
    if not isinstance(command, str):
        return list(command)
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise config.error(field, "%s: %s: %s" % (field, problem, shown_value(command)))
    for word in command.split():
        if word in SHELL_WORDS and word in words:  # and not in quotes
            hint = 'needs = [...] runs other tasks before it; or name a shell: run = ["sh", "-c", "..."]'
            message = "%s: no shell runs this, and %s would be a word of the command" % (field, word)
            raise config.error(field, message, hint=hint)
    if not words or not words[0]:
        raise config.error(field, "%s: the command is empty" % field)
    name, sign, text = words[0].partition("=")
    if sign and name.isidentifier():
        raise config.error(field, "%s: no shell runs this, and %s is no program" % (field, words[0]),
                           hint="env_vars = {%s = %s} sets it" % (name, as_toml(text)))
    return words


def add_steps(config, tasks, name, done):
    """Add what runs for a task to `done`, a dict whose keys are names of tasks in their order: what it needs first.

    PrimeError with status 2 for a need that does not exist, or that needs itself.
    """
    waiting = [] if name in done else [(name, iter(tasks[name].needs))]
    chain = {name: None}  # of those that wait, in their order
    while waiting:  # no recursion, for a chain may be long (H10)
        current, needs = waiting[-1]
        need = next(needs, None)
        field = "tasks.%s.needs" % current
        if need is None:
            done[current] = None
            del chain[current]
            waiting.pop()
        elif need not in tasks:
            message = '%s: there is no task "%s"' % (" -> ".join(list(chain)[-3:] + [need]), need)
            others = [each for each in tasks if each not in chain]  # none that waits for this need
            raise config.error(need, message, others, field)
        elif need in chain:
            circle = list(chain)[list(chain).index(need):] + [need]
            message = "%s: each of these tasks waits for the next" % " -> ".join(circle[:20])
            raise config.error(need, message, (), field)
        elif need not in done:
            chain[need] = None
            waiting.append((need, iter(tasks[need].needs)))


# --------------------------------------------------------------------------------------------------
# The user's settings
# --------------------------------------------------------------------------------------------------
# What the user says to pip and uv by variables and files. Both drivers obey it: where the user tells uv nothing about
# indexes, it gets what pip is told (M9). What decides what is installed is an input of an environment (M10).

# The settings of pip that say how packages are reached, not which ones.
REACH = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy",
         "timeout", "retries", "cache-dir", "no-cache-dir", "keyring-provider")
# Those that decide what is installed, and the same of uv. Of files the content counts.
DECISIVE = tuple("""index-url extra-index-url find-links no-index constraint build-constraint requirement editable pre
only-binary no-binary prefer-binary no-deps upgrade-strategy no-build-isolation config-settings use-feature
require-hashes platform python-version implementation abi""".split())
DECISIVE_UV = """UV_DEFAULT_INDEX UV_INDEX_URL UV_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_INDEX_STRATEGY
UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_RESOLUTION UV_PRERELEASE UV_FORK_STRATEGY UV_EXCLUDE_NEWER
UV_NO_BINARY UV_NO_BINARY_PACKAGE UV_NO_BUILD UV_NO_BUILD_PACKAGE UV_NO_BUILD_ISOLATION UV_NO_SOURCES UV_TORCH_BACKEND
UV_NO_CONFIG UV_CONFIG_FILE""".split()
# The variables of uv for pip's settings of where packages come from.
INDEX_VARS = (("index-url", "UV_INDEX_URL"), ("extra-index-url", "UV_EXTRA_INDEX_URL"), ("find-links", "UV_FIND_LINKS"),
              ("no-index", "UV_NO_INDEX"))
INDEX_LABELS = ["UV_DEFAULT_INDEX", "UV_INDEX"] + [name for _, name in INDEX_VARS]  # of inputs
INDEX_LABELS += [setting + " of pip" for setting, _ in INDEX_VARS]


def pip_variable(setting):
    """The variable for a setting of pip, such as PIP_INDEX_URL for index-url."""
    return "PIP_" + setting.upper().replace("-", "_")


def pip_settings():
    """The user's settings for `pip install`, as pip finds them in its variables and, behind these, its files.

    Returns a dict of setting to (value, the variable or the path of the file).
    Source: pip._internal.configuration, https://pip.pypa.io/en/stable/topics/configuration/
    """
    chosen, files = {}, [(path, read_pip_file(path)) for path in pip_files() if os.path.isfile(path)]
    for section in ("global", "install"):  # whichever file it is in, that of the command goes before
        for path, settings in files:
            for (part, name), value in settings.items():
                if part == section and value:
                    chosen[name] = value, path
    for name in REACH + DECISIVE:
        variable = pip_variable(name)
        if os.environ.get(variable):
            chosen[name] = absolute_setting(variable, os.environ[variable]), variable
    return chosen


def pip_setting(name):
    """The value of one of the user's settings of pip, as a str; "" if there is none."""
    return pip_settings().get(name, ("", ""))[0]


def pip_files():
    """The files in which pip looks for settings, in its order: a list of paths, whether they exist or not."""
    named = os.environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    name, home = "pip.ini" if WINDOWS else "pip.conf", home_dir()
    if WINDOWS:
        bases = [os.environ.get("PROGRAMDATA", ""), os.path.join(home, "pip"), os.environ.get("APPDATA", "")]
        files = [os.path.join(bases[0], "pip", name), os.path.join(bases[1], name), os.path.join(bases[2], "pip", name)]
        system = 1
    else:
        dirs = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        files = [os.path.join(each, "pip", name) for each in dirs.split(os.pathsep) if each] + ["/etc/pip.conf"]
        library = os.path.join("Library", "Application Support", "pip", name)
        if sys.platform == "darwin":
            files = [os.path.join(os.sep, library)]
        system = len(files)
        files += [os.path.join(home, ".pip", name), os.path.join(xdg_dir("XDG_CONFIG_HOME", ".config"), "pip", name)]
        if sys.platform == "darwin" and os.path.isdir(os.path.join(home, os.path.dirname(library))):
            files[-1] = os.path.join(home, library)
    if named and os.path.exists(named):
        return files[:system] + [os.path.abspath(named)]
    return files


def read_pip_file(path):
    """The settings in a file of pip's: a dict of (section, setting) to value. What pip cannot read, it reports."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(loose_text(path, "utf-8-sig"))
    except configparser.Error:
        return {}
    return {(section, name.lower().replace("_", "-").lstrip("-")): value
            for section in parser.sections() for name, value in parser.items(section)}


UV_INDEX_KEYS = {"index", "index-url", "extra-index-url", "find-links", "no-index"}


def uv_files():
    """The files of the user's and the system's in which uv looks for settings: paths, whether they exist or not.

    Source: https://docs.astral.sh/uv/concepts/configuration-files/
    """
    if is_on("UV_NO_CONFIG"):
        return []
    if os.environ.get("UV_CONFIG_FILE"):
        return [os.path.abspath(os.environ["UV_CONFIG_FILE"])]
    bases = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep) + ["/etc"]
    if WINDOWS:
        bases = [os.environ.get("PROGRAMDATA", "")]
    return [users_uv_file()] + [os.path.join(base, "uv", "uv.toml") for base in bases if base]


def users_uv_file():
    """The file in which uv looks for the user's own settings: a path, whether it exists or not."""
    return os.path.join(xdg_dir("APPDATA" if WINDOWS else "XDG_CONFIG_HOME", ".config"), "uv", "uv.toml")


def uv_index_origin(root):
    """The variable or the file in which the user, or the repo, tells uv about indexes; "" if neither does."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"):
        if os.environ.get(name):
            return name
    files = uv_files()
    if not os.environ.get("UV_CONFIG_FILE") and files:
        files = [os.path.join(each, name) for each in ancestors(root) for name in ("uv.toml", PYPROJECT)] + files
    for path in files:
        try:
            settings = parse_toml(load_text(path)) if has_bytes(path, b"ind") else {}
        except PrimeError:  # uv reports it
            return path
        if os.path.basename(path) == PYPROJECT:
            settings = table_in(settings, path, "tool", "uv")
        for table in (settings, settings.get("pip")):
            if isinstance(table, dict) and any(counts_for_uv(table[key]) for key in UV_INDEX_KEYS & set(table)):
                return path
    return ""


def counts_for_uv(value):
    """True if a setting of uv's is more than indexes that only `sources` name."""
    tables = value if isinstance(value, list) else [value]
    return any(not (isinstance(table, dict) and table.get("explicit")) for table in tables)


def settings_for_uv(root, has_lock):
    """pip's settings as variables of uv: how to reach a network, and where packages come from (M9). A dict.

    The latter only where the user and the repo tell uv nothing about that, and no uv.lock does (`has_lock`). As pip
    has it, a further index need not have each version; but the first that has a fitting one is taken (H6).
    """
    values = {name: value for name, (value, _) in pip_settings().items()}
    is_told = has_lock or uv_index_origin(root)
    variables = {} if is_told else {name: values.get(setting, "") for setting, name in INDEX_VARS}
    for name, separator in (("UV_EXTRA_INDEX_URL", " "), ("UV_FIND_LINKS", ",")):
        variables[name] = separator.join(variables.get(name, "").split())
    variables["UV_INDEX_STRATEGY"] = variables["UV_EXTRA_INDEX_URL"] and "unsafe-first-match"
    variables["UV_NO_INDEX"] = "1" if means_yes(variables.get("UV_NO_INDEX", "")) else ""
    variables["UV_INSECURE_HOST"] = " ".join(values.get("trusted-host", "").split())
    variables["SSL_CERT_FILE"], variables["SSL_CLIENT_CERT"] = values.get("cert"), values.get("client-cert")
    if not any(os.environ.get(name) or os.environ.get(name.lower()) for name in PROXY_VARS):
        variables.update(dict.fromkeys(PROXY_VARS, values.get("proxy")))
    return {name: value for name, value in variables.items() if value and not os.environ.get(name)}


PROXY_VARS = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


def paths_in(setting):
    """The local files in a list of files and URLs, as a variable of pip or uv has it: a list of paths."""
    return [local_path(each) for each in setting.split() if is_local(each)]


def decisive_marks():
    """Checksums of the variables that decide what is installed: a str without secrets, the same while they are.

    The fast path comes here.
    """
    names = [name for name in DECISIVE_VARS if name in os.environ]
    return variable_marks(names) if names else ""


def are_same_marks(before, now):
    """True if marks, as `decisive_marks` makes them, are the same, but for indexes that are not set any more."""
    if before == now:
        return True
    gone, come = set(before.split()) - set(now.split()), set(now.split()) - set(before.split())
    names = INDEX_LABELS + [pip_variable(setting) for setting, _ in INDEX_VARS]
    return not come and {mark.partition(":")[0] for mark in gone} <= set(names)


def variable_marks(names):
    """The names of variables with checksums of their values, as a str; without `zlib`, for it is to be imported."""
    values = [os.fsencode(os.environ.get(name, "\0")) for name in names]
    return " ".join("%s:%x" % (name, int.from_bytes(value, "big") % 4294967291) for name, value in zip(names, values))


DECISIVE_VARS = [pip_variable(setting) for setting in DECISIVE] + DECISIVE_UV + ["PIP_CONFIG_FILE"]


# --------------------------------------------------------------------------------------------------
# Environments and their inputs
# --------------------------------------------------------------------------------------------------
# Knows which fields, files and variables decide what is installed. Hands on a named `Environment`: its fields, the
# python that it requires, and its inputs. Equal inputs share a generation. Every file read here goes into the stamp.


class Environment:
    """A named target with all its fields: `environment["field"]`.

    config, root  `Config` and str, the ref root
    name          str
    requested     str, the name as -e or PROTOPRIMER_ENV gave it; "" if neither did
    fields        dict, field name to value
    origins       dict, field name to where its value comes from, such as "proto_prime.toml: env.docs.index_url"
    required      `Request`: which python it needs
    also          list of `Request`: what requires-python of pyproject.toml, and of its groups, demands besides
    locked        list of `Request`: what requires-python of a pylock.toml demands besides
    inputs        dict, label to value: all that decides what is installed, except the python
    tried         list of `Candidate`: the pythons that were judged for it
    locks         dict, path of each pylock.toml that `read_lock` read, to its `Lock`
    """

    def __init__(self, config, name, requested=""):
        self.config, self.root = config, config.root
        self.name, self.requested = name, requested
        self.fields = {field: default for field, (_, default, _) in FIELDS.items()}
        self.origins = dict.fromkeys(FIELDS, "default")
        self.required = Request()
        self.also, self.locked, self.tried = [], [], []  # type: list, list, list
        self.inputs, self.locks = {}, {}  # type: dict, dict
        own = config.table.get("env", {}).get(name, {})
        for table, prefix in ((config.table, ""), (own, "env.%s." % name)):
            for field in set(table) - {"env"}:
                self.set(field, table[field], "%s: %s%s" % (config.file, prefix, field))

    def __getitem__(self, field):
        return self.fields[field]

    def set(self, field, value, origin):
        """Give a field a value, and say where it comes from."""
        self.fields[field], self.origins[field] = value, origin

    def error(self, field, message, about="", names=()):
        """A PrimeError about a field's value, or about a name `about` in it: with the nearest of the valid `names`."""
        at = self.origins[field].split(": ")[-1]
        return self.config.error(about or field, message, names, field if at == "default" else at)

    def path(self, relative):
        """A config path as an absolute one."""
        return os.path.normpath(os.path.join(self.root, os.path.expanduser(relative)))

    def has(self, relative):
        """True if a file of the repo exists; the stamp notices when that changes."""
        return os.path.exists(self.config.look(self.path(relative)))

    @property
    def is_script(self):
        """True if it is that of a script with metadata, not one of a repo."""
        return kind_of_root(self.root) == "script"

    @property
    def title(self):
        """How messages call it."""
        return "the script's environment" if self.is_script else "environment %s" % self.name

    @property
    def prompt(self):
        """How a shell's prompt calls it, less what a shell takes for more than text: venv and uv do not quote that."""
        name = os.path.basename(self.root) + ("" if self.name == "default" else "-" + self.name)
        return "".join(char for char in name if char.isalnum() or char in " ._-")

    @property
    def env_file(self):
        """The path of its file of variables; "" if it has none."""
        return self.path(self["env_file"]) if self["env_file"] else ""

    def environ(self, prefix, more=()):
        """The variables of a command in its directory `prefix`: `activated`, with `more` of them, a dict."""
        return activated(prefix, dict(self["env_vars"], **dict(more)), self.env_file)

    def wanted(self):
        """All `Request`s that its python must fulfil, a list."""
        return [self.required] + self.also + self.locked


def link_of(environment):
    """The `Link` of an environment."""
    return Link(environment.root, environment.path(environment["venv_dir_rel_path"]))


def links_of(environment):
    """The `Link`s of all environments of a repo."""
    table = environment.config.table
    default = table.get("venv_dir_rel_path", FIELDS["venv_dir_rel_path"][1])
    tables = [table] + list(table.get("env", {}).values())
    paths = {environment.path(each.get("venv_dir_rel_path", default)) for each in tables}
    return [Link(environment.root, path) for path in sorted(paths)]


def load_environment(config, name="", requested="", may_lack_lock=False):
    """Complete and check one environment of a config.

    config         `Config`
    name           str, of the environment; "" for the default one
    requested      str, as `Environment.requested`
    may_lack_lock  bool, a lock file may be missing, since it is about to be written
    Returns the `Environment`; PrimeError with status 2.
    """
    default = config.table.get("default_env", "default")
    name = name or default
    if name not in config.names():
        at = "default_env" if name == default else ""
        raise config.error(name, 'no environment "%s" is configured' % name, config.names(), at)
    environment = Environment(config, name, requested)
    driver = os.environ.get(DRIVER_VAR)
    if driver and driver not in DRIVERS:
        hint = hint_for_value("venv_driver", driver).replace("venv_driver = ", DRIVER_VAR + "=").replace('"', "")
        raise PrimeError("%s=%s is not one of %s" % (DRIVER_VAR, driver, ", ".join(DRIVERS)), hint=hint, status=2)
    if driver:
        environment.set("venv_driver", driver, DRIVER_VAR)
    fill_defaults(environment)
    obstacle = link_of(environment).obstacle()
    if obstacle:
        raise environment.error("venv_dir_rel_path", "venv_dir_rel_path: %s" % obstacle)
    parse_uv_version(environment["uv_version"], environment.origins["uv_version"])
    check_text(environment["uv_version"], "uv_version", environment.origins["uv_version"])
    check_files(environment, may_lack_lock)
    projects = [complete_project(environment, item) for item in environment["projects"]]
    environment.fields["projects"] = projects
    find_required(environment)
    environment.required.places = [vendor_dir(environment.root, "python")]
    environment.locked = locked_python(environment)
    environment.inputs = inputs_of(environment)
    return environment


def members_of_root(environment):
    """The projects of the uv workspace at the root, whose members uv installs all if it has no [project]: paths."""
    config, root = environment.config, environment.root
    if "workspace" not in table_in(config.pyproject, PYPROJECT, "tool", "uv"):
        return []
    members = workspace_members(config, root)[1:]
    for directory in set(map(os.path.dirname, members)) - {root}:
        config.look(directory)  # where another one may come
    files = [config.look(os.path.join(path, PYPROJECT)) for path in members]
    return [os.path.relpath(os.path.dirname(file), root) for file in files if os.path.isfile(file)]


def fill_defaults(environment):
    """Give values to the fields that the config leaves to what the repo holds."""
    fields = environment.fields
    document = environment.config.pyproject
    if fields["projects"] is None:
        has_project = bool({"project", "build-system"} & set(document) or default_groups(document))  # R4
        projects = ["."] if has_project or environment.has("setup.py") else []
        fields["projects"] = projects + ([] if "project" in document else members_of_root(environment))
    if fields["requirements_files"] is None:
        has_uv_lock = fields["lock_file"] is None and environment.has("uv.lock")
        is_used = environment.has("requirements.txt") and not has_own_metadata(environment) and not has_uv_lock
        fields["requirements_files"] = ["requirements.txt"] if is_used else []
    if fields["lock_file"] is None:
        fields["lock_file"] = find_lock(environment)
    if not fields["uv_version"]:
        version = table_in(document, PYPROJECT, "tool", "uv").get("required-version", "")
        origin = PYPROJECT + ": tool.uv.required-version"
        environment.set("uv_version", version, origin if version else "default")


def groups_in(groups, file):
    """Dependency groups, a dict, by their normalized names. PrimeError for two spellings of one name (PEP 735)."""
    contents, spellings = {}, {}  # type: dict, dict
    for name, content in groups.items():
        key = normalized(name)
        if key in spellings:  # R7
            raise PrimeError("dependency group %s has two spellings: %s and %s" % (key, spellings[key], name), file,
                             status=2)
        contents[key], spellings[key] = content, name
    return contents


def has_own_metadata(environment):
    """True if the root holds a project that says itself what it needs; then requirements.txt does not (R20).

    Other than a [project], a project that `projects` does not name does not count.
    """
    document = environment.config.pyproject
    if "project" in document:
        return True
    entries = [item if isinstance(item, str) else item["path"] for item in environment["projects"]]
    is_named = environment.root in map(environment.path, entries)
    return is_named and ("build-system" in document or environment.has("setup.py"))


def groups_of(document):
    """The dependency groups of a pyproject.toml, with uv's older dev-dependencies in "dev": dict of name to list."""
    groups = dict(table_in(document, PYPROJECT, "dependency-groups"))
    more = table_in(document, PYPROJECT, "tool", "uv").get("dev-dependencies")
    if more is None:
        return groups
    name = ([name for name in groups if normalized(name) == "dev"] + ["dev"])[0]
    content = groups.get(name, [])
    if not isinstance(more, list):
        raise PrimeError("tool.uv.dev-dependencies: %s is not a list" % shown_value(more), PYPROJECT, status=2)
    groups[name] = content + more if isinstance(content, list) else content  # `expand_group` says what is wrong
    return groups


def default_groups(document, root=None):
    """The names of the groups that `uv sync` installs of a pyproject.toml: default-groups of uv, else "dev" (R11).

    root  dict, the pyproject.toml of the workspace that the project is a member of, which alone says default-groups
    """
    groups = groups_of(document)
    known = groups_in(groups, PYPROJECT)
    is_member = root is not None
    names = table_in(root if is_member else document, PYPROJECT, "tool", "uv").get("default-groups", ["dev"])
    if names == "all":
        return list(groups)
    if not is_texts(names):
        raise PrimeError('tool.uv.default-groups: %s is neither a list of strings nor "all"' % shown_value(names),
                         PYPROJECT, status=2)
    return [name for name in names if normalized(name) in known or not is_member and normalized(name) != "dev"]


def find_lock(environment):
    """The name of the lock file for an environment that configures none; "" if the repo has none that fits."""
    names = ["pylock.%s.toml" % environment.name, "uv.lock", "pylock.toml"]
    above = workspace_of(environment.config, environment.root)
    file = os.path.join(above, "uv.lock")  # that of all its members
    if above not in ("", environment.root) and not is_left_aside(file, environment.root, "move the repo"):
        names.append(os.path.relpath(file, environment.root))
    locks = list(filter(environment.has, names))
    pylocks = [name for name in locks if not name.endswith("uv.lock")]
    has_no_project = environment["projects"] == [] and environment.origins["projects"] != "default"
    if has_no_project:  # a uv.lock would add nothing
        locks = pylocks
    elif environment["venv_driver"] == "venv_pip" or beside_projects(environment):  # pip needs uv for a uv.lock
        locks = pylocks or locks
    return (locks + [""])[0]


def unused_sources(environment, is_empty):
    """What at the root, or a directory below, may say what a repo needs, but counts only if the config says so (R4).

    is_empty  bool, whether nothing was installed; else only requirements.txt is looked for (R20)
    Returns a list of (its name, where a line would take it, that line): three str. What is configured has no default
    that could be missed.
    """
    import json
    import re

    config, document = environment.config, environment.config.pyproject
    table = OWN_CONFIG if config.file == OWN_CONFIG or not document else "[tool.proto-prime] in " + PYPROJECT
    names = files_near(environment.root) if is_empty else ["requirements.txt"]
    sources = []
    if environment.origins["requirements_files"] == "default":
        used = with_includes(environment, environment["requirements_files"])
        used += [path for project in environment["projects"] for path in project["files"]]
        files = [name for name in names if re.match(UNREAD_REQUIREMENTS, name)
                 and os.path.isfile(environment.path(name)) and environment.path(name) not in used]
        files = [name for name in files if os.path.splitext(name)[0] + ".txt" not in set(files) - {name}]  # made of it
        line = "requirements_files = %s" % json.dumps(files)
        sources += [(", ".join(files), table, line)] if files else []
    if not is_empty:
        return sources
    if environment.origins["projects"] == "default":
        chosen = [group for project in environment["projects"] for group in project["groups"]]
        groups = left_of(sorted(groups_of(document)), chosen)
        title = "the dependency group%s %s" % ("s"[len(groups) < 2:], ", ".join(groups))
        line = 'projects = [{path = ".", groups = %s}]' % json.dumps(groups)
        sources += [(title, table, line)] if groups else []
        below = projects_below(environment.root)
        sources += [(", ".join(below), table, "projects = %s" % json.dumps(below))] if below else []
    if environment.origins["lock_file"] == "default":
        locks = [name for name in names if re.match(r"pylock\.[^./]+\.toml$", name)]
        sources += [(name, table, "lock_file = %s" % json.dumps(name)) for name in locks]
    if not environment["dependencies"]:  # an empty list is what `init` wrote
        line = 'dependencies = ["NAME", "..."], the packages that it lists'
        sources += [(name, table, line) for name in unread_sources(environment, names)]
    return sources + projects_without_build(environment)


def files_near(root):
    """The files at the root of a repo, in order, and behind them those one directory below: relative paths."""
    import itertools

    names = sorted(itertools.islice(names_in(root), MEMBERS_CAP))
    for parent in [name for name in names if name[:1] != "." and os.path.isdir(os.path.join(root, name))]:
        below_it = itertools.islice(names_in(os.path.join(root, parent)), MEMBERS_CAP)
        names += [parent + "/" + name for name in sorted(below_it)]
    return [name for name in names if os.path.isfile(os.path.join(root, name))]


UNREAD_REQUIREMENTS = r"(([^/]+/)?[\w.-]*requirements[\w.-]*\.(txt|in|lock)|requirements/[\w.-]+\.(txt|in))$"
# Files of other tools, with packages.
UNREAD_FILES = r"([^/]+/)?(Pipfile|(pixi|hatch)\.toml|(conda-)?env(ironment)?([-_.]\w+)?\.ya?ml)$"
UNREAD_TABLES = (("poetry", "group"), ("poetry", "dev-dependencies"), ("pdm", "dev-dependencies"), ("hatch", "envs"),
                 ("pixi",), ("rye", "dev-dependencies"))
UNREAD_LOCKS = "poetry.lock", "pdm.lock", "Pipfile.lock"


def unread_sources(environment, names):
    """Which of the files `names`, and of the tables of other tools in pyproject.toml, list packages that nothing here
    reads: a list of their names.
    """
    import re

    names = [name for name in names if re.match(UNREAD_FILES, name)]
    tools = environment.config.pyproject.get("tool", {})
    is_unbuilt = table_in(environment.config.pyproject, PYPROJECT, "tool", "poetry").get("package-mode") is False
    for keys in UNREAD_TABLES + (("poetry", "dependencies"),) * is_unbuilt:
        table = tools
        for key in keys:
            table = table.get(key) if isinstance(table, dict) else None
        if table and re.search("dependencies", repr([keys, table])):
            names.append("[tool.%s]" % ".".join(keys))
    return names


def projects_below(root):
    """The projects of a repo without one at its root, up to two levels below: a list of relative paths."""
    found, budget = [], Budget()  # type: list, Budget
    for pattern in ("*", "*/*"):
        try:
            paths = members_of(root, pattern, budget)
        except PrimeError:  # too many to look for them
            break
        for path in paths:
            has_project = any(os.path.isfile(os.path.join(path, name)) for name in (PYPROJECT, "setup.py"))
            if has_project and not path.startswith(tuple(os.path.join(each, "") for each in found)):
                found.append(path)
    return sorted(path_below(path, root) for path in found)


def projects_without_build(environment):
    """Those `unused_sources` that describe a project, but lack the [build-system] that could read them."""
    document = environment.config.pyproject
    if {"build-system", "project"} & set(document) or os.path.exists(environment.path("setup.py")):
        return []
    line = '[build-system] with requires = ["%s"], build-backend = "%s"'
    sources = []
    if "poetry" in document.get("tool", {}):
        line_of_poetry = line % ("poetry-core", "poetry.core.masonry.api")
        sources.append(("[tool.poetry]", PYPROJECT, line_of_poetry))
    if has_bytes(environment.path("setup.cfg"), b"[metadata]"):
        sources.append(("setup.cfg", PYPROJECT, line % ("setuptools", "setuptools.build_meta")))
    return sources


def beside_projects(environment):
    """The fields with requirements that no uv.lock holds: a list of the names of those that are set."""
    return [field for field in ("dependencies", "requirements_files", "constraints_file") if environment[field]]


def check_files(environment, may_lack_lock):
    """PrimeError for the first field that names a missing file."""
    for field in ("requirements_files", "constraints_file", "lock_file", "python_selector_file_rel_path"):
        names = environment[field]
        for name in [names] if isinstance(names, str) else names:
            is_there = not name or os.path.isfile(environment.path(name))
            if not is_there and not (may_lack_lock and field == "lock_file"):
                error = environment.error(field, '%s: there is no file "%s"' % (field, name))
                near = os.path.basename(near_file(environment.path(name)))
                error.hint = near and 'did you mean "%s"?' % os.path.join(os.path.dirname(name), near)
                raise error


def locked_python(environment):
    """The `Request` for the python that a pylock.toml was made for: a list of one, or none."""
    lock = environment["lock_file"]
    if not lock.endswith(".toml") or not environment.has(lock):
        return []
    try:
        head = parse_toml(load_text(environment.path(lock)), is_head=True)
    except TomlError:  # `read_lock` says where; `prime lock` writes it anew
        return []
    specifiers = check_text(head.get("requires-python", ""), "requires-python", lock)
    origin = lock + ": requires-python"
    try:
        return [Request(specifiers, origin, parse_clauses(specifiers))] if specifiers else []
    except PrimeError as problem:
        raise PrimeError("malformed requires-python: %s" % problem, lock, status=2)


def find_required(environment):
    """Set the python that an environment requires.

    It is that of the config field, else of the nearest .python-version(s), else of requires-python, else any.
    requires-python must hold in any case, that of a group as well: they go into `also`.
    """
    specifiers = table_in(environment.config.pyproject, PYPROJECT, "project").get("requires-python", "")
    environment.also = python_demanded(specifiers, PYPROJECT, "requires-python") + pythons_of_groups(environment)
    field = "required_python_version"
    if not environment[field]:
        choices = [version_file_request(environment)] + environment.also
        environment.required = next(filter(None, choices), Request("", "nothing"))
        return
    try:
        environment.required = parse_request(environment[field], environment.origins[field], base=environment.root)
    except PrimeError as problem:
        problem.where = "%s: %s" % (environment.error(field, "").where, field)
        raise


def python_demanded(specifiers, file, field):
    """The `Request` of a requires-python, a list of one, or none; PrimeError with status 2 if it is malformed."""
    try:
        requests = [Request(specifiers, "%s: %s" % (file, field), parse_clauses(specifiers))] if specifiers else []
    except (PrimeError, AttributeError):  # the latter if it is no string
        is_version = isinstance(specifiers, str) and specifiers[:1].isdigit()
        raise PrimeError('malformed %s "%s"' % (field, specifiers), file, status=2,
                         hint='did you mean: requires-python = ">=%s"' % specifiers if is_version else "")
    check_text(specifiers or "", field, file)
    return requests


def pythons_of_groups(environment):
    """What uv's table dependency-groups demands of the python for the groups that an environment installs: `Request`s.

    As for uv, a group demands what those that it includes do.
    """
    requests = []  # type: list
    for project in environment["projects"]:
        document, file = environment.config.project(project["path"]), os.path.join(project["path"], PYPROJECT)
        table = groups_in(table_in(document, file, "tool", "uv", "dependency-groups"), file)
        contents, names = groups_in(groups_of(document), file) if table else {}, []  # type: dict, list
        names += map(normalized, project["groups"] if table else ())
        for name in names:  # grows meanwhile
            included = [item["include-group"] for item in contents[name] if isinstance(item, dict)]
            names += [each for each in map(normalized, included) if each not in names]
            settings = table.get(name, {})
            specifiers = settings.get("requires-python", "") if isinstance(settings, dict) else ""
            requests += python_demanded(specifiers, file, "tool.uv.dependency-groups.%s.requires-python" % name)
    return requests


def version_file_request(environment):
    """The `Request` in the nearest .python-version or .python-versions that has one; None without one."""
    root = environment.root
    for directory, name in [(directory, name) for directory in ancestors(root) for name in VERSION_FILES]:
        path = environment.config.look(os.path.join(directory, name))
        if not os.path.isfile(path):
            continue
        hint = "a .python-version of the repo's own goes before it"
        if directory != root and is_left_aside(path, root, hint):
            environment.config.aside.add(path)
            continue
        request = request_in(path)
        if request:
            return request
    return None


VERSION_FILES = (".python-version", ".python-versions")  # the second is uv's alone, for several pythons (R10)
VERSION_LINES = 100  # of a .python-version that are read (H10)


def request_in(path):
    """The `Request` in the first usable line of a .python-version; None without one, which is noted."""
    lines = [line.partition("#")[0].strip() for line in load_text(path).splitlines()]
    lines = list(filter(None, lines))
    for line in lines[:VERSION_LINES]:
        for words in (line, line.split()[0]):  # pyenv puts several into a line
            try:
                return parse_request(version_in_name(words), path, base=os.path.dirname(path))
            except PrimeError:
                pass
        report.detail('%s: "%s" is passed over, for it is no request' % (path, line))
    if set(lines) - {"system"}:  # pyenv's word for none of its own
        report.note_once("%s names no version that is understood" % path)
    return None


def complete_project(environment, item):
    """Check an entry of `projects`, and add what follows from it.

    Returns a dict: path (str, absolute), groups, extras (lists of str), editable, installable (bool), files (list of
    paths, see `files_of`), and requirements: those of its groups, and of an application, each a list of three str: a
    line, and the extra or the group that it belongs to.
    """
    project = {"path": item} if isinstance(item, str) else item
    name = project["path"]
    path = environment.path(name)
    file = os.path.join(path, PYPROJECT)
    has_pyproject, has_setup = environment.has(file), environment.has(os.path.join(path, "setup.py"))
    if not has_pyproject and not has_setup:
        raise environment.error("projects", 'projects: "%s" holds no pyproject.toml and no setup.py' % name)
    document = environment.config.project(path)
    chosen = project.get("groups", [])
    if "groups" not in project and path == environment.root:
        chosen = default_groups(document)
    elif environment.origins["projects"] == "default":  # a member of the workspace
        chosen = default_groups(document, environment.config.pyproject)
    requirements = []  # type: list
    for group in chosen:
        requirements += [[line, "", group] for line in expand_group(groups_of(document), group, file)]
    extras = chosen_extras(environment, document, project)
    is_package = is_named_package(environment, project, path)
    installable = is_installable(document, path, is_package)
    if is_application(document, is_package):
        requirements = without_itself(requirements, document, file) + dependencies_of(document, extras, file)
    elif not installable and not chosen:
        raise environment.error(
            "projects", 'projects: "%s" has no [project], [build-system] or setup.py to install' % name)
    return {"path": path, "groups": chosen, "extras": extras,
            "requirements": requirements, "editable": project.get("editable", True), "installable": installable,
            "files": files_of(environment.config, path)}


def without_itself(requirements, document, file):
    """The requirements of an application's groups, with those of its extras where a group names the application itself.

    Nobody installs that, and an index would be asked for it. All are as of `complete_project`.
    """
    own, found = project_name(document), []
    declared = table_in(document, file, "project", "optional-dependencies")
    for line, extra, group in requirements:
        name, extras, _, marker = requirement_parts(line)
        if name != own:
            found.append([line, extra, group])
            continue
        chosen = dependencies_of(document, chosen_names(declared, extras), file)
        found += [[with_marker(each, marker), of, ""] for each, of, _ in chosen if of]
    return found


def with_marker(line, marker):
    """A requirement that holds only where a further marker does."""
    own = requirement_parts(line)[3] if marker else ""
    line = line[:line.rindex(own)].rstrip().rstrip(";") if own else line
    markers = ["(%s)" % each for each in (own, marker) if each]
    return line + " ; " + " and ".join(markers) if marker else line


def chosen_extras(environment, document, project):
    """The extras that an entry of `projects` chooses, as its pyproject.toml `document` spells them: a list of str."""
    extras = project.get("extras", [])
    declared = table_in(document, PYPROJECT, "project", "optional-dependencies")
    spellings = {normalized(extra): extra for extra in declared}  # pip before 23.3 knows no other
    is_static = "project" in document and "optional-dependencies" not in dynamic_fields(document)
    for extra in extras:
        if is_static and normalized(extra) not in spellings:
            raise environment.error("projects", 'projects: "%s" has no extra "%s"' % (project["path"], extra),
                                    extra, spellings)
    return [spellings.get(normalized(extra), extra) for extra in extras]


def is_named_package(environment, project, path):
    """True if an entry of `projects`, a dict, names a project to be installed itself, with or without a [build-system].

    Not if it chooses extras and groups of the root project and no more, which may be an application (R3).
    """
    if environment.origins["projects"] == "default":
        return False
    return path != environment.root or "editable" in project or not {"extras", "groups"} & set(project)


def is_application(document, is_package):
    """True if what a project depends on is installed, but not itself: as for uv, one that nobody builds (R3).

    document    dict, its pyproject.toml, where `[tool.uv] package` decides, else `[tool.poetry] package-mode = false`,
                with which poetry builds nothing, else a [build-system]
    is_package  bool, whether without all of them it is none
    Not if its dependencies are dynamic: only a build says what they are.
    """
    settings = table_in(document, PYPROJECT, "tool", "uv")
    if "project" in document and has_computed_requirements(document):
        return False
    is_built = is_package or "build-system" in document or "project" not in document
    is_built = is_built and table_in(document, PYPROJECT, "tool", "poetry").get("package-mode") is not False
    return settings.get("package", is_built) is False


def is_installable(document, directory, is_package):
    """True if `directory`, with the pyproject.toml `document`, holds a project that can and should be installed.

    is_package  as in `is_application`
    """
    is_project = "project" in document or "build-system" in document
    is_project = is_project or os.path.isfile(os.path.join(directory, "setup.py"))
    return is_project and not is_application(document, is_package)


def project_name(document):
    """The name in the [project] of a pyproject.toml, normalized; "" if it has none."""
    return normalized(str(table_in(document, PYPROJECT, "project").get("name", "")))


def dynamic_fields(document):
    """The fields of [project] that its build backend computes: a set of str."""
    fields = table_in(document, PYPROJECT, "project").get("dynamic", [])
    return set(fields) if is_texts(fields) else set()


def has_computed_requirements(document):
    """True if what a project requires is not in its pyproject.toml `document`: only a build tells it."""
    return "project" not in document or bool({"dependencies", "optional-dependencies"} & dynamic_fields(document))


def read_requirement(line, file, field=""):
    """The normalized name and the extras of a PEP 508 requirement: str, list of str.

    PrimeError with `field` if it is none, as `requirement_parts` says. Its marker is not looked at.
    """
    parts = requirement_parts(line)
    if not parts:
        hint = "a directory goes into projects" if "/" in line else ""
        raise PrimeError("%s%s is no requirement" % (field and field + ": ", shown_value(line)), file, hint=hint,
                         status=2)
    return parts[:2]


def requirement_parts(line):
    """What a PEP 508 requirement says; None if its name or its versions are malformed, or if it is a path.

    Returns (str: its normalized name, list of str: its extras, list of `Clause`, str: its marker, as it stands).
    """
    import re

    match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([\w\s,.-]*)\])?(.*)", line, re.ASCII | re.DOTALL)
    name, extras, rest = match.groups("") if match else ("", "", "")
    rest = rest.strip()
    is_url = rest[:1] == "@" and rest != "@"
    versions, _, marker = rest.partition(" ;" if is_url else ";")  # a URL may hold a ";"
    versions = "" if is_url else versions.strip()
    if versions[:1] == "(" and versions[-1] == ")":
        versions = versions[1:-1]
    try:
        clauses = parse_clauses(versions)
    except PrimeError:
        return None
    if name[-1:] in "._-":  # "" is in each text
        return None
    return normalized(name), extras.replace(" ", "").split(","), clauses, marker.strip()


def dependencies_of(document, extras, file):
    """The requirements of a project with some of its extras: a list of [line, extra, ""], all str.

    A requirement of the project's own name, such as "me[docs]" in an extra "all", stands for those extras.
    """
    table = table_in(document, file, "project")
    declared = table_in(document, file, "project", "optional-dependencies")
    spellings = {}  # type: dict  # more than one extra may have the same normalized name
    for extra in declared:
        spellings.setdefault(normalized(extra), []).append(extra)
    own, requirements = project_name(document), []
    chosen = dict.fromkeys([""] + extras)  # "" for the project without extras
    waiting = list(chosen)
    for extra in waiting:  # grows meanwhile
        lines = declared.get(extra, []) if extra else table.get("dependencies", [])
        field = "project.optional-dependencies.%s" % extra if extra else "project.dependencies"
        for line in lines if is_texts(lines) else ():
            name, more = read_requirement(check_text(line, field, file, is_requirement=True), file)
            if name != own:
                requirements.append([line, extra, ""])
                continue
            named = [spelling for part in more for spelling in spellings.get(normalized(part), ())]
            waiting += [spelling for spelling in dict.fromkeys(named) if spelling not in chosen]
            chosen.update(dict.fromkeys(named))
    return requirements


def expand_group(groups, name, file):
    """The requirements of a dependency group and of the groups that it includes, each once (PEP 735): a list of str.

    Not by recursion, for a hostile file nests deeper than python does (H10).
    """
    contents = groups_in(groups, file)
    requirements = []
    begun, done = set(), set()  # type: set, set
    path = [""]  # the group that is read now, behind those that include it
    waiting = [{"include-group": name}]  # type: list  # what is still to be read, in reverse; None ends a group
    while waiting:
        item = waiting.pop()
        if item is None:
            done.add(path.pop())
        elif isinstance(item, str):
            field = "dependency group %s" % path[-1]
            requirements.append(check_text(item, field, file, is_requirement=True))
            read_requirement(item, file, field)
        elif isinstance(item, dict) and list(item) == ["include-group"] and isinstance(item["include-group"], str):
            group = normalized(item["include-group"])
            if group in done:
                continue
            if group in begun:
                raise PrimeError("dependency group %s includes itself" % group, file, status=2)
            if group not in contents:
                hint = nearest(group, contents)
                raise PrimeError("there is no dependency group %s" % group, file, hint=hint, status=2)
            if not isinstance(contents[group], list):
                raise PrimeError("dependency group %s is not a list" % group, file, status=2)
            begun.add(group)
            path.append(group)
            waiting += [None] + contents[group][::-1]
        else:
            raise PrimeError("dependency group %s: %s is no requirement" % (path[-1], shown_value(item)), file,
                             status=2)
    return requirements


def inputs_of(environment):
    """All that decides what an environment holds, except its python: a dict of label to value.

    Environments of equal inputs share a generation. The labels whose values differ say why an environment is not
    current.
    """
    inputs = {"schema": SCHEMA, "ref root": environment.root, "required python": environment.required.text,
              "requires-python": environment.also and ", ".join(request.text for request in environment.also),
              PYTHON_VAR: os.environ.get(PYTHON_VAR, "")}
    for field in set(FIELDS) - set(RUNTIME_FIELDS) - {"required_python_version"}:
        inputs[field] = environment[field]
    if environment["venv_dir_rel_path"] != FIELDS["venv_dir_rel_path"][1]:
        inputs["venv_dir_rel_path"] = environment["venv_dir_rel_path"]
    for path in input_files(environment):
        environment.config.look(path)
        inputs["file " + path] = hash_input(environment.config, path)
    inputs.update(setting_inputs(environment))
    inputs.update({"${%s}" % name: digest(masked_input(lines)) for name, lines in variables_in(environment).items()})
    return masked_input(inputs)


def hash_input(config, path):
    """`hash_file` of an input; of the file with our table, a hash of all else in it: who edits a task waits for no
    build (U2). The fields that decide are inputs themselves.
    """
    if config.file != PYPROJECT or path != os.path.join(config.root, PYPROJECT):
        return hash_file(path)
    import json

    tools = {name: tool for name, tool in config.pyproject["tool"].items() if name != "proto-prime"}
    others = dict(config.pyproject, tool=tools)
    return hash_bytes(json.dumps(others, sort_keys=True, default=str).encode())


def setting_inputs(environment):
    """The settings of pip and uv that decide what is installed (M10): a dict of label to value.

    The bytes of the files that they name count as well. Those of both tools do, for pip's reach uv, and a uv.lock pip.
    """
    inputs, files = {}, []  # type: dict, list
    for path in pip_files() + uv_files():
        environment.config.look(path)
    for name, (value, _) in pip_settings().items():
        if name in DECISIVE:
            inputs[name + " of pip"] = value
            files += paths_in(value) if name in ("constraint", "build-constraint", "requirement") else []
    files += filter(os.path.isfile, uv_files())
    for name in filter(os.environ.get, DECISIVE_UV):
        inputs[name] = os.environ[name]
        if name in ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE"):
            files += paths_in(absolute_setting(name, os.environ[name]))
    inputs.update({"file " + path: hash_file(path) for path in with_includes(environment, files)})
    return inputs


def variables_in(environment):
    """The variables that requirements files have, each with the lines that it changes: a dict of name to str (M10)."""
    import re

    variables = {}  # type: dict
    for path in requirement_tree(environment, environment["requirements_files"] + [environment["constraints_file"]]):
        text = load_text(path, decode_as_pip) if has_bytes(path, b"${") else ""
        for line in joined_lines(text):
            for name in set(re.findall(VARIABLE, line)) - {"PWD"}:
                variables.setdefault(name, []).append(with_values(line, environment.root))
    return variables


def masked_input(value):
    """A JSON value for storing and comparing: `masked`, with a hash of the rest where more than a user is hidden.

    Another password changes nothing, another path does (H14).
    """
    import re

    def mask(text):
        hidden = masked(text)
        plain = re.sub(r"//[^/?#@\s]*@", "//***@", text) if hidden != text else text
        return hidden if hidden == plain else "%s (%s)" % (hidden, digest(plain))

    return masked_values(value, mask)


def input_files(environment):
    """The files whose bytes decide what is installed: a list of paths, whether they exist or not."""
    paths = []  # type: list
    for project in environment["projects"]:
        paths += project["files"]
    paths += all_with_includes(environment)
    names = [environment["lock_file"], environment["python_selector_file_rel_path"], "uv.toml"]
    if table_in(environment.config.pyproject, PYPROJECT, "tool", "uv"):
        names.append(PYPROJECT)
    return paths + [environment.path(name) for name in names if name]


PROJECT_FILES = (PYPROJECT, "setup.py", "setup.cfg")


def files_of(config, directory, budget=None):
    """The files that decide what a project is and requires, and those of the projects that it names.

    budget  `Budget` for the members of workspaces
    Returns a list of paths, whether they exist or not.
    """
    budget = budget or Budget()
    projects = {os.path.normpath(directory): None}
    files, waiting = [], list(projects)  # type: list, list
    for project in waiting:  # grows meanwhile
        files += [os.path.join(project, name) for name in PROJECT_FILES]
        inherited = {place for place, _ in sources_of(config, project, budget).values()} - {project}
        for path in named_paths(config.project(project), project, budget=budget) + sorted(inherited):
            if not os.path.isdir(path):
                files.append(path)
            elif path not in projects:
                projects[path] = None
                waiting.append(path)
    return files


def named_paths(document, directory, skipped=("readme", "long_description"), budget=None):
    """The files and directories that a pyproject.toml, or a setup.cfg beside it, takes a part of the project from.

    document   dict, the pyproject.toml; `directory` is a str
    skipped    names of fields that do not count
    budget     `Budget` for the members of workspaces
    Returns a list of paths: of a version, of setuptools' dynamic fields, of uv's sources and workspace members.
    """
    import re

    tools = table_in(document, PYPROJECT, "tool")
    budget = budget or Budget()
    settings = loose_text(os.path.join(directory, "setup.cfg"))
    names = []  # type: list
    for key, value in re.findall(r"^[ \t]*([\w.-]+)[ \t]*=\s*file:(.*)$", settings, re.MULTILINE):
        if key not in skipped:
            names += map(str.strip, value.split(","))
    names += requirements_read(tools, directory)
    waiting = [tools.get("setuptools"), tools.get("uv")]
    for table in map(tools.get, ("hatch", "pdm")):
        waiting += [{"version": table.get("version")}] if isinstance(table, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        for key, item in value.items() if isinstance(value, dict) else ():
            texts = [item] if isinstance(item, str) else item
            if key in skipped:
                continue
            if key not in ("file", "path", "members") or not texts or not is_texts(texts):
                waiting.append(item)
            elif key == "members":
                for pattern in texts:
                    names += members_of(directory, pattern, budget)
            else:
                names += texts if key == "file" else [os.path.join(*texts)]
    return [os.path.normpath(os.path.join(directory, name)) for name in names if "\0" not in name]


READ_CAP = 100  # files that a setup.py names


def requirements_read(tools, directory):
    """The files of requirements that a setup.py in a directory, or a hook of hatch's, reads: a list of relative paths.

    They are found by their names, in quotes, which may lack the directory requirements/ before them.
    tools  dict, the [tool] of the pyproject.toml there
    """
    import re

    hooks = table_in({"tool": tools}, PYPROJECT, "tool", "hatch", "metadata")
    text = loose_text(os.path.join(directory, "setup.py")) + repr(hooks)
    quoted = list(dict.fromkeys(re.findall(r"""["']([\w./-]+\.(?:txt|in))["']""", text)))[:READ_CAP]
    names = [each for name in quoted for each in (name, "requirements/" + name)]
    return [name for name in names if re.search("req|dep", name.lower())
            and os.path.isfile(os.path.join(directory, name))]


SOURCE_KINDS = {"path", "git", "url", "index", "workspace"}


def sources_of(config, directory, budget=None):
    """What [tool.uv.sources] says for the project in a directory: of its own, else of the workspace that it is in (R1).

    Returns a dict of normalized name to (str: the directory that its paths are relative to, list of dict: the source
    for each marker, extra or group). PrimeError with status 2.
    """
    if directory in config.sources:
        return config.sources[directory]
    sources = {}
    for place in filter(None, (workspace_of(config, directory, budget), directory)):
        document, file = config.project(place), os.path.join(place, PYPROJECT)
        if table_in(document, file, "tool", "uv").get("no-sources") is True:
            continue
        for name, value in table_in(document, file, "tool", "uv", "sources").items():
            sources[normalized(name)] = place, source_rows(name, value, file)
    config.sources[directory] = sources
    return sources


def source_rows(name, value, file):
    """The tables of one of uv's sources, a list of dict. PrimeError with status 2 if one of them is no source."""
    rows, field = value if isinstance(value, list) else [value], "tool.uv.sources." + name
    if not all(isinstance(row, dict) and len(SOURCE_KINDS & set(row)) == 1 for row in rows):
        raise PrimeError("%s: %s is no source of one of the kinds %s" % (
            field, shown_value(value), ", ".join(sorted(SOURCE_KINDS))), file, status=2)
    for key, item in [pair for row in rows for pair in row.items()]:
        if key not in ("editable", "package", "workspace", "lfs"):
            check_text(item, "%s.%s" % (field, key), file)
    return rows


def workspace_of(config, directory, budget=None):
    """The directory of the uv workspace that the project in a directory belongs to; "" if it belongs to none."""
    for place in ancestors(directory):
        file = config.look(os.path.join(place, PYPROJECT))
        if not has_bytes(file, b"workspace"):
            continue
        if not is_inside(place, config.root) and is_left_aside(file, config.root, "move the repo"):
            continue
        if "workspace" in table_in(config.project(place), file, "tool", "uv"):
            return place if directory in workspace_members(config, place, budget) else ""
    return ""


def workspace_members(config, root, budget=None):
    """The directories of all projects in the uv workspace whose root is in a directory, that one first: a list."""
    table = table_in(config.project(root), os.path.join(root, PYPROJECT), "tool", "uv", "workspace")
    budget, named = budget or Budget(), {"members": [], "exclude": []}  # type: ignore[var-annotated]
    for key in named:
        for pattern in table.get(key, []) if is_texts(table.get(key)) else ():
            paths = members_of(root, pattern, budget)
            named[key] += [os.path.normpath(os.path.join(root, path)) for path in paths]
    return list(dict.fromkeys([root] + [path for path in named["members"] if path not in named["exclude"]]))


MEMBERS_CAP = 10000  # directory entries


class Budget:
    """Counts the directory entries that are read for the members of workspaces (H10)."""

    def __init__(self):
        self.left = MEMBERS_CAP

    def spend(self, pattern, directory):
        """Count one more; PrimeError if it is one too many."""
        self.left -= 1
        if self.left < 0:
            raise PrimeError("workspace members %s: more than %d files and directories would have to be looked at" % (
                shown_value(pattern), MEMBERS_CAP), os.path.join(directory, PYPROJECT), status=2,
                hint="name the members, or their common directory")


def members_of(directory, pattern, budget):
    """The directories that a pattern for workspace members names, relative to `directory`: a sorted list of paths.

    Like `glob`, but in a limited time: `**` means `*`, and a part between slashes has at most two of them.
    """
    import fnmatch

    members = [os.sep if pattern[:1] == "/" else directory]
    for part in filter(None, pattern.replace(os.sep, "/").split("/")):
        while "**" in part:
            part = part.replace("**", "*")
        if len(part) > 255:  # no file name is that long
            return []
        if part.count("*") > 2:
            raise PrimeError('workspace members %s: a name with more than two "*"' % shown_value(pattern),
                             os.path.join(directory, PYPROJECT), status=2, hint="name the members")
        paths = []  # type: list
        for parent in members:
            budget.spend(pattern, directory)
            if not set(part) & set("*?["):
                paths.append(os.path.join(parent, part))
                continue
            for name in names_in(parent):
                budget.spend(pattern, directory)
                if (name[:1] != "." or part[:1] == ".") and fnmatch.fnmatch(name, part):
                    paths.append(os.path.join(parent, name))
        members = list(filter(os.path.isdir, paths))
    return sorted(members)


def names_in(directory):
    """Yield the names in a directory, unsorted, without reading further than the caller; none if it is unreadable."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name
    except (OSError, ValueError):
        return


def near_file(path):
    """The path of the file, with the same ending, that was meant by `path`, which is not there; "" if none is near."""
    directory, name = os.path.split(path)
    end = os.path.splitext(name)[1]
    names = [each for each in names_in(directory or os.curdir) if each.endswith(end)]
    near = nearest_name(name, [each for each in names if os.path.exists(os.path.join(directory, each))])
    return near and os.path.join(directory, near)


def with_includes(environment, names):
    """The paths of requirements files, of those that they include by -r and -c, and of the local projects in them."""
    files, projects, budget = [], set(), Budget()  # type: list, set, Budget
    for path, lines in requirement_tree(environment, names).items():
        files.append(path)
        for project in (project_path(environment.root, line) for line in lines):
            if project and project not in projects:
                projects.add(project)
                is_tree = os.path.isdir(project)
                files += files_of(environment.config, project, budget) if is_tree else [project]
    return files


def all_with_includes(environment):
    """`with_includes` of all files in pip's format that an environment names."""
    return with_includes(environment, environment["requirements_files"] + [environment["constraints_file"]])


def requirement_tree(environment, names, options=("-r", "--requirement", "-c", "--constraint")):
    """Requirements files, and those that they include by `options`: a dict of path to its `requirement_lines`."""
    tree = {}  # type: dict
    waiting = [environment.path(name) for name in reversed(names) if name]
    while waiting:
        path = waiting.pop()
        if path in tree:
            continue
        tree[path] = requirement_lines(environment.config.look(path), environment.root)
        included = [value for option, value in map(option_of, tree[path]) if option in options]
        directory = os.path.dirname(path)
        waiting += [os.path.normpath(os.path.join(directory, name)) for name in reversed(included)
                    if name and "://" not in name]
    return tree


def option_of(line):
    """The option that a line of a requirements file begins with, and its value; "" and the line without an option."""
    import re

    option = re.match(r"(--[^\s=]*|-[rce])?", line).group()  # type: ignore[union-attr]
    return option, line[len(option) + option.startswith("--"):].strip() if option else line


def project_path(root, line):
    """The local project or file that a line of a requirements file names, as pip and uv read it; "" without one."""
    import re

    option, value = option_of(line)
    if option not in ("", "-e", "--editable"):
        return ""
    name = re.match(r"[\w.-]+(\[[^@]*|\s*)@", value)  # as in "six @ ./six"
    value = value[name.end():].strip() if name else value
    value = re.split(r"[;\[]|(?<=\s)--?[^\W_]", value, maxsplit=1)[0].rstrip()  # less marker, extras and options
    if not value or not (option or name or "/" in value or os.sep in value or value[:1] == "."):
        return ""
    path = os.path.normpath(os.path.join(root, value))
    return path if "\0" not in path and os.path.exists(path) else ""


VARIABLE = r"\$\{([A-Z0-9_]+)\}"  # in a requirements file


def with_values(line, root):
    """A line of a requirements file with the values of its variables. ${PWD} is the ref root, where pip reads it."""
    import re

    if "${" not in line:  # a copy of os.environ takes long
        return line
    values = dict(os.environ, PWD=root or os.environ.get("PWD", ""))
    return re.sub(VARIABLE, lambda name: values.get(name.group(1), name.group()), line)


def requirement_lines(path, root=""):
    """The lines of a requirements file as pip reads them: joined, without comments and quotes, ${VAR} replaced.

    root  str, the ref root, in which pip reads it, for ${PWD}
    A file URL is replaced by its path.
    """
    import re

    text = load_text(path, decode_as_pip).replace("\0", "") if os.path.isfile(path) else ""
    lines = []
    for line in joined_lines(text):
        line = with_values(line, root)
        line = re.split(r"(?<!\S)#", line, maxsplit=1)[0].strip()  # a comment begins behind a blank
        if line[:1] == "-":
            line = " ".join(shell_words(line))
        if "file:" in line:
            import urllib.parse

            drive = r"(/(?=[A-Za-z]:))?" if WINDOWS else ""
            line = urllib.parse.unquote(re.sub(r"\bfile:(//(localhost)?)?" + drive, "", line.partition("#")[0]))
        lines.append(line)
    return lines


def decode_as_pip(data):
    """The text of a requirements file in the encoding that pip takes it for (R5).

    That is by its byte order mark, as PowerShell writes one, a coding line as of PEP 263, UTF-8, or the locale. What
    is in none of them is replaced: the file is only looked into here, and the installer says what is wrong.
    """
    import locale
    import re

    marks = [(b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),  # before the shorter ones of UTF-16
             (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")]
    encodings = [encoding for mark, encoding in marks if data.startswith(mark)][:1]
    if not encodings:
        comments = [line for line in data.split(b"\n", 2)[:2] if line[:1] == b"#"]
        names = filter(None, [re.search(br"coding[:=]\s*([-\w.]+)", line) for line in comments])
        encodings = [name.group(1).decode("ascii") for name in names][:1]
    for encoding in encodings + ["utf-8", locale.getpreferredencoding(False)]:
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeError):
            pass
    return data.decode("utf-8", "replace")


def joined_lines(text):
    """The lines of a text, each joined with the next if it ends in a backslash and is no comment."""
    groups = [[]]  # type: list
    for line in text.splitlines():
        is_open = line.endswith("\\") and not line.lstrip().startswith("#")
        groups[-1].append(line[:-1] if is_open else line)
        if not is_open:
            groups.append([])
    return ["".join(parts) for parts in groups if parts]


def shell_words(line):
    """The words of a line as a shell splits it; split at blanks if a quote is open, or the line is long."""
    import shlex

    try:
        return shlex.split(line) if len(line) < 10000 else line.split()  # its time grows with the square (H10)
    except ValueError:
        return line.split(" ")


# --------------------------------------------------------------------------------------------------
# Asking a python
# --------------------------------------------------------------------------------------------------
# `ask_python` lets a python run a few lines and returns what they answer: the only way in which this file asks one.
# `interpreter_at` asks each python once what it is, and keeps the answer in the user cache: an `Interpreter`.

PROBE_SECONDS = 5
# What stands around the lines: for any python from 2.7 on. With -S nothing has imported `os` before.
QUESTION_HEAD = """
import sys
if sys.path and not sys.path[0]: del sys.path[0]
import os
"""
# The marks are split, so that an echo of the arguments is no answer. _exit saves the millisecond of an orderly end.
QUESTION_END = """
data = "\\0".join(["%s" + "%s"] + answer + ["%s" + "%s"])
os.write(1, os.fsencode(data) if hasattr(os, "fsencode") else data)
os._exit(0)
"""
# What a python says of itself: its path, then what `read_answer` takes.
PROBE = """
v = sys.version_info
level = {"alpha": "a%d", "beta": "b%d", "candidate": "rc%d"}.get(v[3], "").replace("%d", str(v[4]))
answer = [sys.executable or "", "%d.%d.%d" % v[:3] + level,
    sys.implementation.name if hasattr(sys, "implementation") else "cpython",
    "64" if sys.maxsize > 2 ** 32 else "32", "t" if "t" in getattr(sys, "abiflags", "") else "",
    os.path.dirname(os.__file__)]
"""


def ask_python(python, code, flags=("-I", "-B"), timeout=PROBE_SECONDS):
    """Let a python run a few lines and return their answer.

    python   str, the path of the executable
    code     str, lines that set `answer` to a list of str; `os` and `sys` are imported for them
    flags    list of str, the options of the interpreter; -I is unknown to 2.7
    timeout  int, seconds until it is killed; None for no limit
    Returns (answer, child): the list of str, [] without an answer, and the `Child`, which then says why.
    The answer stands between random marks, so that what else is printed is no matter (C3).
    """
    marks = tuple(os.urandom(6).hex() for _ in range(4))
    begin, end = (marks[0] + marks[1]).encode(), (marks[2] + marks[3]).encode()
    question = QUESTION_HEAD + code + QUESTION_END % marks
    child = run_child([python, *flags, "-c", question], timeout=timeout, until=end)
    printed, has_ended, _ = child.stdout.partition(end)
    if not has_ended:
        return [], child
    answer = os.fsdecode(printed.partition(begin)[2]).split("\0")[1:-1]
    return answer, Child(0, child.stdout, child.stderr)  # killed or not, it answered


class Interpreter:
    """A python that ran and reported what it is.

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

    def minor(self):
        """Its minor version, such as "3.12"."""
        return ".".join(self.version.split(".")[:2])

    def kind(self):
        """What a binary wheel must be for to be for it, such as "python 3.13t" or "pypy 3.11"."""
        name = "python" if self.implementation == "cpython" else self.implementation
        return "%s %s%s" % (name, self.minor(), "t" * self.is_free_threaded)

    def identity(self):
        """A dict of all that makes an environment of it stale when it changes (T2)."""
        real = os.path.realpath(self.path)
        return dict(vars(self), path=real, signature=signature(real))


def read_pyvenv_cfg(directory):
    """The keys of `directory`/pyvenv.cfg as a dict, empty if there is no such file."""
    text = loose_text(os.path.join(directory, "pyvenv.cfg"))
    pairs = [line.split("=", 1) for line in text.replace("\r", "\n").split("\n") if "=" in line]
    return {key.strip().lower(): value.strip().replace("\0", "?") for key, value in pairs}


def environment_python(directory):
    """The interpreter of a directory that has its bin/python: an environment, or an install by uv or pyenv."""
    path = os.path.join(directory, BIN, "python" + EXE)
    beside = os.path.join(directory, "python" + EXE)  # conda on Windows
    return beside if WINDOWS and not os.path.exists(path) and os.path.exists(beside) else path


def site_packages(directory):
    """The directory of an environment where packages are installed; "" if there is none."""
    library = os.path.join(directory, "Lib" if WINDOWS else "lib")
    names = os.listdir(library) if not WINDOWS and os.path.isdir(library) else [""]
    paths = (os.path.join(library, name, "site-packages") for name in names)
    return next(filter(os.path.isdir, paths), "")


def resolve_python(path):
    """The interpreter that a path stands for: itself, or that of an environment directory.

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
        if not target or "\0" in target:
            raise PrimeError("%s leads nowhere: its first line %s" % (path, "holds a NUL" if target else "is empty"),
                             hint="remove it, or write the path of an environment there")
        path = os.path.abspath(os.path.join(os.path.dirname(path), target))
    if os.path.isdir(path):
        if not any(os.path.exists(os.path.join(path, mark)) for mark in ("pyvenv.cfg", "conda-meta")):
            raise PrimeError("%s is a directory, and not that of an environment" % path)
        path = environment_python(path)
    if not os.path.lexists(path):
        raise PrimeError("%s does not exist" % given)
    return path


def base_python(path):
    """The interpreter that an environment's interpreter was made from; `path` itself outside of environments.

    Goes on until no environment is left: up to 3.10 a venv that was made from a venv names that one as its home.
    """
    for _ in range(8):
        directory = os.path.dirname(path)
        config = read_pyvenv_cfg(directory) or read_pyvenv_cfg(os.path.dirname(directory))
        home = config.get("home")
        if not home:
            break
        # By its version, for home may hold several; `executable` is there from 3.11 on.
        version = (config.get("version") or config.get("version_info") or "").split(".")[:2]
        names = ["python" + ".".join(version), os.path.basename(path), "python3", "python"]
        bases = [config.get("executable") or os.curdir]
        bases += [os.path.join(home, name.replace(EXE, "") + EXE) for name in names]
        path = next(filter(os.path.isfile, bases), bases[-1])
    return path


def is_stub(path):
    """True if starting `path` would open a dialog instead of running a python (C8)."""
    directory = os.path.dirname(path)
    if WINDOWS:  # an empty file; the installed ones stand below it, in directories of their own
        return os.path.basename(directory).lower() == "windowsapps" and not os.path.getsize(path)
    if sys.platform == "darwin" and is_same_place(os.path.dirname(os.path.realpath(path)), "/usr/bin"):
        return run_child(["/usr/bin/xcode-select", "-p"], timeout=PROBE_SECONDS).has_failed
    return False


_answers = {}  # type: dict  # path to Interpreter or PrimeError: this process asks each python once


def interpreter_at(path, wrappers=()):
    """Ask the python at `path` what it is; the python of an environment stands for its base.

    path      str, of an executable or an environment directory
    wrappers  tuple of str, the wrapper scripts that led here
    Returns an `Interpreter`; PrimeError, whose message is the reason, if it is broken.
    The user cache keeps the answer as long as size, mtime and inode of the file stay.
    """
    path = base_python(resolve_python(path))
    if path in wrappers:
        raise PrimeError("leads back to itself")
    if not _has_answer(path):
        try:
            _answers[path] = _probe(path, wrappers + (path,))
        except PrimeError as problem:
            _answers[path] = problem
    if isinstance(_answers[path], PrimeError):
        raise _answers[path]
    return _answers[path]


def _has_answer(path):
    """True if the python at `path` need not be asked: this process asked it, or the user cache has its answer."""
    if path not in _answers:
        interpreter = recall(path, read_answer)
        if interpreter:
            _answers[path] = interpreter
    return path in _answers


def _probe(path, wrappers):
    """Start the python at `path`. Returns its `Interpreter`; PrimeError if it is broken."""
    if not os.path.exists(path):
        raise PrimeError("is a dangling link" if os.path.islink(path) else "its base python is gone")
    if is_stub(path):
        raise PrimeError("a stub that would open a dialog, not started")
    answer, child = ask_python(path, PROBE, ("-E", "-s", "-S", "-B"))
    if not answer:
        raise PrimeError(str(child) if child.has_failed else "printed no answer")
    try:
        reported, *properties = answer
        interpreter = read_answer(path, *properties)
    except (ValueError, TypeError, PrimeError):
        raise PrimeError("its answer is mangled")
    if not reported or not os.path.exists(reported):
        return interpreter
    if os.path.realpath(reported) == os.path.realpath(path):  # else it is a shim, which depends on more than its file
        remember(path, properties)
    elif base_python(reported) != reported:  # C5 around C6
        return interpreter_at(reported, wrappers)
    else:
        interpreter.path = os.path.abspath(reported)
    return interpreter


def read_answer(path, version, implementation, bits, threads, stdlib):
    """The `Interpreter` at `path` from what it printed, all str; ValueError or PrimeError if that is no answer."""
    if Version(version).release < (2,) or int(bits) < 32:
        raise ValueError(version)
    return Interpreter(path, version, implementation, int(bits), bool(threads), stdlib)


def cached_answer(path, topic):
    """The names below the cache of what keeps an answer of the program at `path`, and how it begins while it holds."""
    question = path + topic
    return ["answers", hashed_name(question)], [str(SCHEMA), question, signature(path)]


def remember(path, answer, topic=""):
    """Keep in the user cache what the program at `path` said of itself, or of a topic: a list of str."""
    names, head = cached_answer(path, topic)
    try:
        write_atomic(cache_dir(*names), os.fsencode("\0".join(head + answer + ["."])))
    except OSError:  # a cache that cannot be written is none
        pass


def recall(path, make, topic=""):
    """make(path, *answer) with the answer that `remember` kept; None without one, or if the program's file changed."""
    names, head = cached_answer(path, topic)
    for file in cache_dirs(*names):
        try:
            kept = os.fsdecode(bytes_of(file) or b"").split("\0") if is_ours(file) else []
            if kept[:3] + kept[-1:] == head + ["."]:
                return make(path, *kept[3:-1])
        except (ValueError, TypeError, PrimeError):
            pass
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
# The sources of pythons in the order of preference; each gives paths, the newest first. A source that is a directory
# of a known layout is a row of `LOCATIONS`.

PYTHON_NAME = r"python3\.\d+(\.\d+)?t?(\.exe)?$"
ANY_NAME = r"(python|pypy|graalpy)3(\.\d+){0,2}t?(\.exe)?$"
UV_NAME = r"[a-z]+-\d"  # cpython-3.12.1-linux-x86_64-gnu
PYENV_NAME = r"(pypy|graalpy)?[-\d]"  # 3.12.1, pypy3.10-7.3.12, graalpy-24.1; no environments, no conda
AT_NAME = r"[a-z]+@\d"  # cpython@3.12.1
CONDA_METAS = "miniconda3|anaconda3|miniforge3|mambaforge|micromamba|conda|miniconda|anaconda/conda-meta"


def conda_python(path):
    """The python of the conda environment that has the file `path` in its conda-meta."""
    return environment_python(os.path.dirname(os.path.dirname(path)))


def uv_directories(request):
    """Where uv installs pythons unless UV_PYTHON_INSTALL_DIR says otherwise."""
    if WINDOWS:
        return [os.path.join(os.environ.get("APPDATA") or home_dir(), "uv", "data", "python")]
    usual = os.path.join(xdg_dir("XDG_DATA_HOME", ".local", "share"), "uv", "python")
    return [usual, cache_dir("tools", "uv_python_install_dir")]  # `tool_places`


def conda_directories(request):
    """The environments that conda keeps a list of."""
    data = bytes_of(os.path.join(home_dir(), ".conda", "environments.txt"))
    return os.fsdecode(data or b"").splitlines()  # paths may be in any encoding (R5)


# Where pythons stand, in the order of preference. For each source: its name; the names that count in its directories;
# the function that turns such a path into the python in it (environment_python gives bin/python, str the path itself);
# and a row for each kind of directory, which are searched together:
#   the variable that names the directory, "" for none
#   the directory if that is unset, "~" for the home directory; or a function of the request that returns a list
#   what is searched below either of the two: "" for itself, "installs/python", "*" for any name, "a|b" for both
# The start by sh, at the head of this file, tries these too: a new directory goes into its list, or into NOT_FOR_SH of
# tests/test_fresh_machine.py, which compares the two. The README lists the sources in this order.
LOCATIONS = (
    ("vendor", UV_NAME, environment_python, [("", lambda request: request.places, "")]),
    ("uv", UV_NAME, environment_python, [("UV_PYTHON_INSTALL_DIR", uv_directories, "")]),
    ("pyenv", PYENV_NAME, environment_python, [("PYENV_ROOT", "~/.pyenv", "versions")]),  # not its shims (C1)
    ("mise", PYENV_NAME, environment_python, [
        ("MISE_DATA_DIR", "~/.local/share/mise", "installs/python"),
        ("XDG_DATA_HOME", "", "mise/installs/python"),
        ("LOCALAPPDATA", "", "mise/installs/python"),
    ]),
    ("asdf", PYENV_NAME, environment_python, [("ASDF_DATA_DIR", "~/.asdf", "installs/python")]),
    ("hatch", r"python$|(pypy|graalpy)3", environment_python, [  # pythons/3.12/python
        ("HATCH_DATA_DIR", "~/.local/share/hatch", "pythons/*"),
        ("HATCH_DATA_DIR", "~/.local/share/hatch", "env/virtual/.pythons/*"),
        ("XDG_DATA_HOME", "", "hatch/pythons/*"),
        ("", "~/Library/Application Support", "hatch/pythons/*"),
        ("LOCALAPPDATA", "", "hatch/pythons/*"),
    ]),
    ("pdm", AT_NAME, environment_python, [
        ("XDG_DATA_HOME", "~/.local/share", "pdm/python"),
        ("", "~/Library/Application Support", "pdm/python"),
        ("LOCALAPPDATA", "", "pdm/pdm/python"),
    ]),
    ("poetry", AT_NAME, environment_python, [
        ("XDG_DATA_HOME", "~/.local/share", "pypoetry/python"),
        ("", "~/Library/Application Support", "pypoetry/python"),
        ("APPDATA", "", "pypoetry/python"),
    ]),
    ("conda", r"(python|pypy)-\d.*\.json$", conda_python, [  # conda-meta/python-3.12.1-….json
        ("CONDA_PREFIX", "", "conda-meta"),  # the active environment
        ("", conda_directories, "conda-meta"),
        ("", "~", CONDA_METAS),
        ("", "/opt", CONDA_METAS),
        ("PROGRAMDATA", "", CONDA_METAS),
    ]),
    ("local", ANY_NAME, str, [
        ("", "/opt/homebrew/bin", ""),  # on Apple silicon
        ("", "/home/linuxbrew/.linuxbrew/bin", ""),
        ("", "/usr/local/bin", ""),
        ("", "/opt/local/bin", ""),  # MacPorts
        ("", "/opt", "*/bin"),
        ("", "/Library/Frameworks/Python.framework/Versions", "*/bin"),  # of python.org, on macOS
    ]),
)


def sources(request):
    """Each source's name and paths, in the order of preference; a source is searched when its turn comes."""
    running = running_python()
    yield "wild", [base_python(running)] if running else []
    yield "PATH", path_candidates(request)
    for source, pattern, python_of, rows in LOCATIONS:
        directories = [directory for row in rows for directory in directories_of(request, *row)]
        yield source, map(python_of, newest_first(directories, pattern))
    if WINDOWS:
        yield "registry", registry_candidates()
        yield "py", launcher_candidates()
        yield "store", store_candidates()


def directories_of(request, variable, default, below):
    """The directories, existing or not, that a row of `LOCATIONS` leads to, as a list."""
    if os.environ.get(variable):
        directories = [os.environ[variable]]
    elif callable(default):
        directories = default(request)
    else:  # what begins with "/" is on POSIX alone
        is_usable = default and not (WINDOWS and default[0] == "/")
        directories = [default.replace("/", os.sep).replace("~", home_dir())] if is_usable else []
    directories = list(filter(None, directories))
    for level in filter(None, below.split("/")):
        if level == "*":
            directories = newest_first(directories, r"\w")
        else:
            directories = [os.path.join(each, name) for each in directories for name in level.split("|")]
    return directories


def newest_first(directories, pattern):
    """The paths in `directories` whose names begin as `pattern` says, those with the highest numbers in them first.

    Other implementations than CPython come last.
    """
    def rank(path):
        name = os.path.basename(path)
        return not name.startswith(IMPLEMENTATIONS[1:]), numbers_in(name)

    paths = [path for directory in directories for path in paths_named(directory, "(%s).*" % pattern)]
    return sorted(paths, key=rank, reverse=True)


def path_candidates(request):
    """On PATH: pythonX.Y.Z, pythonX.Y, pythonX, python, then every other python3.*."""
    is_other = request.implementation not in ("", "cpython")
    search = os.environ.get("PATH", os.defpath).split(os.pathsep)
    directories = [os.path.abspath(directory) for directory in search if directory]
    names = []
    for clause in request.clauses:
        numbers = clause.version.release if clause.operator == "==" else ()
        names += ["python" + ".".join(map(str, numbers[:size])) for size in range(len(numbers), 1, -1)]
    names = list(dict.fromkeys(names + ["python3", "python"]))
    if is_other:
        names = [name.replace("python", request.implementation) for name in names] + names
    for name in names:
        for directory in directories:
            path = os.path.join(directory, name + EXE)
            if os.path.lexists(path):
                yield path
    for directory in directories:
        yield from newest_first([directory], ANY_NAME if is_other else PYTHON_NAME)


def by_version(pairs):
    """The paths of (version, path) pairs, the newest first; a version that begins with no number comes last."""
    def key(pair):
        return numbers_in(str(pair[0])) if str(pair[0])[:1].isdigit() else []

    return [path for _, path in sorted(pairs, key=key, reverse=True) if isinstance(path, str) and path]


def registry_candidates():
    """Windows: what installers wrote into the registry (PEP 514), newest first."""
    winreg = __import__("winreg")  # not `import`, for the sake of mypy elsewhere
    views = ((winreg.HKEY_CURRENT_USER, 0), (winreg.HKEY_LOCAL_MACHINE, winreg.KEY_WOW64_64KEY),
             (winreg.HKEY_LOCAL_MACHINE, winreg.KEY_WOW64_32KEY))

    def subkeys(key):
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

    pythons = []
    for root, view in views:
        try:
            companies = subkeys(winreg.OpenKeyEx(root, r"Software\Python", 0, winreg.KEY_READ | view))
        except OSError:
            continue
        for tag, key in [tag for name, company in companies if name != "PyLauncher" for tag in subkeys(company)]:
            for install in [install for name, install in subkeys(key) if name == "InstallPath"]:
                directory = value(install, "")
                beside = directory.rstrip("\\") + "\\python.exe" if directory and isinstance(directory, str) else ""
                pythons.append((value(key, "SysVersion") or tag, value(install, "ExecutablePath") or beside))
    return by_version(pythons)


def launcher_candidates():
    """Windows: what the launcher `py`, or the install manager of the same name, lists, newest first."""
    launcher = find_program("py")
    if not launcher:
        return []
    import json
    import re

    environ = dict(clean_environ(for_tool=True), PYTHON_MANAGER_AUTOMATIC_INSTALL="false")
    child = run_child([launcher, "list", "--format=json"], environ, timeout=PROBE_SECONDS)
    try:
        versions = json.loads(child.text)["versions"]
        return by_version([(each["sort-version"], each["executable"]) for each in versions])
    except (ValueError, KeyError, TypeError):  # the older launcher: " -V:3.12 *  C:\\...\\python.exe"
        child = run_child([launcher, "-0p"], environ, timeout=PROBE_SECONDS)
        return by_version(re.findall(r"^\s*-(?:V:)?(\S+)(?:\s+\*)?\s+(\S.*?)\s*$", child.text, re.MULTILINE))


def store_candidates():
    """Windows: pythons of the Microsoft Store at their real place, newest first."""
    directory = os.path.join(os.environ.get("LOCALAPPDATA", ""), "Microsoft", "WindowsApps")
    packages = newest_first([directory], r"PythonSoftwareFoundation\.Python\.3")
    return [os.path.join(package, "python.exe") for package in packages]


# --------------------------------------------------------------------------------------------------
# Choosing a python
# --------------------------------------------------------------------------------------------------
# Judges each `Candidate` by the requests: the user's own choice, else the repo's selector, else the search.

SELECTOR_SECONDS = 60
ASKED_AT_ONCE = 16  # pythons: each takes up to 7 open files, and macOS allows a process 256 of them (M22)


class Candidate:
    """A path where a python was looked for, and the verdict on it.

    verdict  "selected", "matches", "mismatch", "broken" or "not-tried"; `reason` says why
    """

    def __init__(self, path, source, interpreter=None, verdict="not-tried"):
        self.path, self.source, self.interpreter, self.verdict = path, source, interpreter, verdict
        self.reason = ""

    def as_dict(self):
        """The form of `python --all --json`."""
        python = self.interpreter
        return {"path": self.path, "source": self.source, "verdict": self.verdict, "reason": self.reason,
                "version": python and python.version, "implementation": python and python.implementation}

    @property
    def version(self):
        """What `python --all` and errors call its version: "3.12.1", "pypy 3.10.14", "3.13.0t"; "" if it is broken."""
        python = self.interpreter
        if not python:
            return ""
        name = "" if python.implementation == "cpython" else python.implementation + " "
        return name + python.version + "t" * python.is_free_threaded

    def distance(self, requests):
        """How far it is from what is wanted, for sorting: a list of int.

        Of a broken one the name alone tells the version; it is near only if that is what is wanted.
        """
        python = self.interpreter
        if python:
            request, version = first_failing(python, requests)[0], Version(python.version)
            clause = request.failing(version) if request else None
            is_far = bool(request and request.implementation not in ("", python.implementation))
        else:
            numbers = numbers_in(os.path.basename(self.path)) or [99]
            version = Version(".".join(map(str, numbers)))
            clause = ([clause for request in requests for clause in request.clauses] + [None])[0]
            is_far = not clause or not clause.contains(version)
        wanted = clause.version.release if clause and clause.version else version.release
        pairs = zip((version.release + (0, 0))[:3], (wanted + (0, 0))[:3])
        return [int(is_far)] + [abs(mine - other) for mine, other in pairs]


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


def first_failing(interpreter, requests):
    """The first of `requests` that an interpreter does not fulfil, and why; (None, "") if it fulfils them all."""
    failing = ((request, why_not(request, interpreter)) for request in requests)
    return next((pair for pair in failing if pair[1]), (None, ""))


def candidates(request):
    """All paths where a python may be, as `Candidate`s in the order of preference, each file once."""
    if request.path:
        path = find_program(request.path) or request.path
        try:
            path = resolve_python(path)
        except PrimeError:  # `judge` raises it again, and keeps it as the reason
            pass
        yield Candidate(path, "request")
        return
    seen = set()
    for source, paths in sources(request):
        for path in paths:
            real = os.path.realpath(base_python(path))
            file = real if "py" in os.path.basename(real) else path  # else one program behind many shims
            if file not in seen:
                seen.add(file)
                yield Candidate(path, source)


def request_with_origin(request):
    """A request with the field and the file that it stands in."""
    file, _, field = request.origin.partition(": ")
    return '%s "%s" of %s' % (field, request, file)


def nearest_misses(tried, requests):
    """Of `Candidate`s that do not fulfil `requests` the three that come nearest, no two alike: a list."""
    misses = {}  # type: dict
    for candidate in sorted(tried, key=lambda each: each.distance(requests)):
        misses.setdefault((candidate.version or os.path.basename(candidate.path), candidate.reason), candidate)
    return list(misses.values())[:3]


def judge(candidate, requests):
    """Ask a candidate, and set its verdict and reason: does it fulfil all of `requests`? Returns the candidate."""
    try:
        candidate.interpreter = interpreter_at(candidate.path)
    except PrimeError as problem:
        candidate.verdict, candidate.reason = "broken", str(problem)
    else:
        request, candidate.reason = first_failing(candidate.interpreter, requests)
        candidate.verdict = "mismatch" if candidate.reason else "matches"
        if request and request is not requests[0]:
            candidate.reason += " for " + request_with_origin(request)
    verdict = candidate.reason or candidate.verdict
    report.detail("candidate %s (%s): %s" % (tilde(candidate.path), candidate.source, verdict))
    return candidate


def judge_all(tried, requests):
    """`judge` many candidates, those that must be asked side by side. Returns them as a list."""
    tried = list(tried)
    unknown = [candidate for candidate in tried if not _has_answer(base_python(candidate.path))]
    if unknown:
        import threading

        rest = iter(unknown)

        def work():
            for candidate in rest:
                if _stops:
                    return
                judge(candidate, requests)

        report.wait("asking %d pythons" % len(unknown))
        threads = [threading.Thread(target=work) for _ in unknown[:ASKED_AT_ONCE]]
        try:
            with unbroken():
                for thread in threads:
                    thread.start()
        except RuntimeError as problem:  # H16: the loop below asks the others, one after the other
            report.detail("asking one after the other: %s" % problem)
        for thread in threads:
            while thread.is_alive():  # a signal in the moment before a wait would be noticed after it
                thread.join(0.1)
        report.done()
    for candidate in tried:
        if candidate.verdict == "not-tried":
            judge(candidate, requests)
    return tried


def search_python(required="", tried=None, also=()):
    """Search this machine for a python that runs and fulfils a request.

    required  str or `Request`; PrimeError if it is malformed
    tried     a list, to which every `Candidate` that was looked at is appended
    also      further `Request`s that must hold, such as requires-python
    Returns an `Interpreter`, or None. A pre-release that the request does not name comes last, and of all pre-releases
    alphas and betas come after candidates (M23).
    """
    request = required if isinstance(required, Request) else parse_request(required)
    tried = [] if tried is None else tried
    chosen, best, enough = None, -2, 2 if request.names_prerelease else 3  # as of `Version.phase`
    for candidate in candidates(request):
        report.wait("asking %s" % tilde(candidate.path))
        tried.append(judge(candidate, (request,) + tuple(also)))
        report.done()
        if candidate.verdict != "matches":
            continue
        phase = Version(candidate.interpreter.version).phase
        if phase < enough:
            candidate.reason = "a pre-release" + ("" if enough == 2 else ", which the request does not name")
        if phase > best:
            chosen, best = candidate, phase
        if best >= enough:
            break
    if chosen is None:
        return None
    if best < enough == 3:
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
    if is_python_file(path):
        argv = [running_python(), "-I"] + argv
    elif not os.access(path, os.X_OK):
        raise PrimeError("python selector %s is not executable" % path, hint="chmod +x it", status=2)
    environ = dict(clean_environ(for_tool=True), PROTOPRIMER_REF_ROOT=root, PROTOPRIMER_ENV=name)
    report.wait("asking the python selector %s" % selector)
    child = run_child(argv, environ, cwd=root, timeout=SELECTOR_SECONDS)
    report.done()
    if child.has_failed:
        raise PrimeError("python selector %s %s" % (path, child), tried=child.tail())
    lines = [line.strip() for line in os.fsdecode(child.stdout).splitlines() if line.strip()]
    if not lines:
        report.detail("selector %s: no opinion" % path)
        return None
    try:
        interpreter = interpreter_at(os.path.join(root, lines[-1]))
    except PrimeError as problem:
        raise PrimeError("python selector %s chose %s: %s" % (path, lines[-1], problem), tried=child.tail())
    report.detail("selector %s: %s" % (path, interpreter))
    return interpreter


def demand(interpreter, requests, source):
    """PrimeError unless an interpreter fulfils all of `requests`; `source` says who chose it."""
    request, reason = first_failing(interpreter, requests)
    if request:
        raise PrimeError('%s: %s does not fulfil "%s" (%s): %s' % (
            source, interpreter, request, request.origin, reason))


def hint_for_choice(text):
    """The hint for a value of PROTOPRIMER_PYTHON that is no python: it is a path or a program, no request (U10)."""
    try:
        wanted = parse_request(text)
    except PrimeError:
        wanted = None
    if not wanted or wanted.path or text[:1] not in "0123456789<>=!~":
        return "it is the path of a Python, or the name of one on PATH"
    name = "python" + text
    typed = name if find_program(name) else '"$(prime python %s)"' % shown([text])
    return "it is a path, or a name on PATH: %s=%s" % (PYTHON_VAR, typed)


def probe_python(required="", selector="", root="", name="default", tried=None, also=()):
    """Select a python: PROTOPRIMER_PYTHON, else the selector, else the search.

    Arguments as for `select_python` (`selector` and `root` are str, "" if there is no selector) and
    `search_python`. Returns an `Interpreter` or None; a choice of
    the user or of the selector that does not fulfil the request is a PrimeError.
    """
    request = required if isinstance(required, Request) else parse_request(required)
    path = os.environ.get(PYTHON_VAR)
    chosen, source = None, "python selector " + selector
    if path:
        source = "%s=%s" % (PYTHON_VAR, path)
        try:
            chosen = interpreter_at(find_program(path) or path)
        except PrimeError as problem:
            reason = str(problem).replace(path + " ", "it ", 1)
            raise PrimeError("%s: %s" % (source, reason), hint=hint_for_choice(path))
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
# Fetches the few files that pip and uv do not fetch themselves, such as uv. Hands on their bytes.
# Every download uses https, a local file, or a given hash (H7), and has a limit of size and time (H16).

RETRIES = "2"  # of pip's and uv's downloads, unless the user's settings say otherwise: some seconds (B8, B9)
NET_SECONDS = 30  # without a byte
BODY_SECONDS = 600  # for a whole download, retries included (H16)
BODY_CAP = 512 << 20  # bytes of a download of unknown size, and of a file in a wheel
PAGE_CAP = 64 << 20  # bytes of a page of an index
DEFAULT_INDEX = "https://pypi.org/simple"  # pip's and uv's own
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691


def check_url(url, trust):
    """Raise PrimeError unless `url` may be fetched. Every fetch follows this one rule (H7).

    trust  str, which sources are believed:
           "https"     local files, and hosts with a certificate
           "loopback"  also an index on this machine by http, as pip accepts it (127.0.0.0/8, ::1, localhost)
           "hash"      any source, because the user or a committed file gives a SHA-256 to compare with
    """
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
    except ValueError as problem:
        raise PrimeError("cannot fetch %s: %s" % (masked(url), problem))
    schemes = {"https", "file"}
    if trust == "hash":
        schemes |= {"http", "ftp"}
    if trust == "loopback" and is_loopback(host):
        schemes.add("http")
    if parts.scheme not in schemes:
        hint = "give https; what uv_sha256 or a pylock.toml of the repo names may come otherwise"
        if trust == "https":
            hint = "give https, or --sha256"
        raise PrimeError("%s could be anybody's" % shown([url]), hint=hint, status=2)


def is_loopback(host):
    """True if the host of a URL is this machine, whatever a resolver says."""
    import re

    return host in ("localhost", "::1") or bool(re.match(r"127(\.\d{1,3}){3}$", host, re.ASCII))


def open_url(url, accept, trust):
    """Open a URL as pip and uv would: with the user's proxies and certificates, and the credentials in the URL.

    trust  as in `check_url`, which allowed this URL
    Returns the response of urllib, whose URL has no credentials. PrimeError if it cannot be opened.
    """
    import base64
    import urllib.parse
    import urllib.request

    if is_offline() and not url.lower().startswith("file:"):
        raise PrimeError("offline: %s is not fetched" % shown([url]))
    headers = {"User-Agent": "proto_prime/" + __version__, "Accept": accept}
    try:
        parts = urllib.parse.urlsplit(url)
        credentials, _, host = parts.netloc.rpartition("@")
        if credentials:
            user = urllib.parse.unquote(credentials).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(user).decode()
        check_port(parts)
        url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        request = urllib.request.Request(url, headers=headers)
        opener = urllib.request.build_opener(redirect_handler(trust), *net_handlers(parts.scheme))
        return opener.open(request, timeout=NET_SECONDS)
    except net_errors() as problem:
        reason = getattr(problem, "reason", "") or problem
        raise PrimeError("cannot fetch %s: %s" % (by_proxy(url), reason))


def by_proxy(url, environ=None):
    """A URL or host for a message, and the proxy, if it is asked by way of one; both without credentials (H14).

    environ  dict, the variables of the one who asks; default: ours
    """
    import urllib.parse
    import urllib.request

    try:
        parts, proxies = urllib.parse.urlsplit(url if "//" in url else "https://" + url), urllib.request.getproxies()
    except ValueError:  # such as an odd host (H16)
        return masked(url)
    proxy = (os.environ if environ is None else environ).get("PIP_PROXY")
    if not proxy and not urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        proxy = proxies.get(parts.scheme) or proxies.get("all")
    text = url + " by the proxy " + (proxy if "//" in proxy else "http://" + proxy) if proxy else url
    return masked(text)


def redirect_handler(trust):
    """The handler of urllib for redirects. It raises PrimeError for one that `trust` does not allow.

    It refuses redirects from https to anything else (I4), and all redirects to files.
    """
    import urllib.parse
    import urllib.request

    class Redirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            target = super().redirect_request(req, fp, code, msg, headers, newurl)
            if not target:
                return None
            step = "%s leads to %s" % (shown([req.full_url]), shown([newurl]))
            if req.type == "https" and target.type != "https":
                raise Mismatch(step + ", which is not https")
            if target.type not in ("http", "https"):
                raise Mismatch(step)
            check_url(target.full_url, trust)
            if urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
                target.headers.pop("Authorization", None)  # another server must not see it
            return target

    return Redirect()


def check_port(parts):
    """Raise ValueError if a split URL has an impossible port, or is the URL of a device or a directory (H16)."""
    import urllib.request

    try:
        is_right = parts.port is None or 0 < parts.port < 65536
    except ValueError:  # its message shows the port, which may be half a password (H14)
        is_right = False
    if not is_right:
        raise ValueError('what follows ":" is no port (in a password "/" is written as %2F, "#" as %23, "?" as %3F)')
    if parts.scheme == "file":
        path = urllib.request.url2pathname(parts.path)
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError("%s is no regular file" % path)


# Where systems keep the certificates that they trust; the last file is macOS', too.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/ssl/certs")


def trust_somebody(context):
    """Give this machine's certificates to an SSLContext that knows none, as in python.org's builds for macOS (M21).

    First the system's file, then what pip brings. PrimeError if there is neither.
    """
    import ssl

    hashed = ssl.get_default_verify_paths().capath  # OpenSSL looks into it when it needs one
    if context.cert_store_stats()["x509_ca"] or hashed and os.listdir(hashed):
        return
    for path in CERTIFICATES:
        if os.path.isfile(path):
            report.detail("python knows no certificates: taking those in %s" % path)
            return context.load_verify_locations(path)
    message = "%s knows no certificates, which https takes" % running_python()
    bundled = os.path.join(os.path.dirname(os.__file__), "ensurepip", "_bundled")
    for wheel in newest_first([bundled], r"pip-.*\.whl$"):
        with open(wheel, "rb") as file:
            content = file_in_wheel(file, "certifi/cacert.pem", message)
        report.detail("python knows no certificates: taking those in %s" % wheel)
        return context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    raise PrimeError(message, hint="SSL_CERT_FILE names a file with them; for python.org's python on macOS its "
                                   '"Install Certificates.command" installs them')


def net_handlers(scheme):
    """The handlers of urllib for the user's certificates, as pip and uv find them, and for pip's proxy."""
    import urllib.request

    handlers = []  # type: list
    if scheme == "https":
        settings = [os.environ.get("SSL_CERT_FILE"), pip_setting("cert"), os.environ.get("REQUESTS_CA_BUNDLE")]
        file = next(filter(None, settings), None)
        try:
            import ssl

            context = ssl.create_default_context(cafile=file)
            if not file:
                trust_somebody(context)
        except ImportError as problem:
            raise PrimeError("%s has no ssl, which https takes: %s" % (running_python(), problem))
        except OSError as problem:
            raise PrimeError("cannot read the certificates %s: %s" % (file, problem.strerror or problem))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    proxy = pip_setting("proxy")
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return handlers


def net_errors():
    """The exceptions for a network that fails and for a server that does not speak HTTP: a tuple (H16)."""
    import http.client

    return OSError, ValueError, OverflowError, EOFError, http.client.HTTPException


def fetch(url, accept="*/*", trust="https", cap=0):
    """Fetch a URL, trying again when the network fails (B9). Returns (its bytes, the URL after redirects).

    trust  as in `check_url`
    cap    int, the most bytes that it may have; 0 for `BODY_CAP`
    The work is done in a thread, because a name server, or a server that sends a byte now and then, may never end.
    """
    import threading
    import time

    check_url(url, trust)
    results = []  # type: list  # of the thread: one answer, or one exception
    is_done = threading.Event()
    stop = threading.Event()

    def work():
        try:
            results.append(fetch_patiently(url, accept, trust, cap or BODY_CAP, stop))
        except BaseException as problem:
            results.append(problem)
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
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def fetch_patiently(url, accept, trust, cap, stop):
    """Do the work of `fetch`, with `RETRIES`, until the event `stop` is set."""
    tries_left = int(RETRIES)
    while True:
        try:
            with open_url(url, accept, trust) as response:
                return read_body(response, cap, stop), response.geturl()
        except (PrimeError,) + net_errors() as problem:
            is_final = getattr(problem, "status", 1) == 2 or isinstance(problem, Mismatch)
            is_last = is_final or not tries_left or is_offline() or stop.is_set()
            if is_last and isinstance(problem, PrimeError):
                raise
            if is_last:
                raise PrimeError("cannot fetch %s: %s" % (shown([url]), problem))
            report.detail("once more: %s" % problem)
        tries_left -= 1
        stop.wait(0.5)


def read_body(response, cap, stop):
    """Read a response until its end or the event `stop`. Returns a bytearray.

    Mismatch if it has more than `cap` bytes, PrimeError if it has not as many as it says.
    """
    url = masked(response.geturl())
    length = body_length(response, url)
    if length is not None and length > cap:
        raise Mismatch("%s is %d bytes long; it may have %d" % (url, length, cap))
    data = bytearray()
    end = cap + 1 if length is None else length  # one byte beyond `cap` shows that there are too many
    try:
        while len(data) < end and not stop.is_set():
            chunk = response.read1(min(1 << 16, end - len(data)))
            if not chunk:
                break
            data += chunk
    except MemoryError:
        raise PrimeError("%s does not fit into memory" % url, hint=LIMIT_HINT)
    if len(data) > cap:
        raise Mismatch("%s has more than the %d bytes that it may have" % (url, cap))
    if length is not None and len(data) != length:
        raise PrimeError("%s: IncompleteRead: %d bytes came instead of %d" % (url, len(data), length))
    return data


def body_length(response, url):
    """The length that a response announces, None if it announces none; PrimeError if it is no number (H16)."""
    import re

    headers = response.headers.get_all("Content-Length") or ()
    lengths = [text.strip() for text in set(headers)]
    if not lengths or getattr(response, "chunked", False):
        return None
    if len(lengths) > 1 or not re.match(r"\d{1,18}$", lengths[0], re.ASCII):
        raise PrimeError("%s: the server says a length that is none: %s" % (url, ", ".join(lengths)))
    return int(lengths[0])


def download(url, target, sha256="", size=0, trust="https"):
    """Fetch a file, verify it, and move it to `target` by one rename. PrimeError if it is not what it must be.

    sha256  str in hex, "" for any
    size    int, bytes, 0 for any
    trust   as in `check_url`
    """
    data, final_url = fetch(url, trust=trust, cap=size)
    if size and len(data) != size:
        raise PrimeError("%s is %d bytes long instead of %d" % (masked(final_url), len(data), size))
    check_hash(data, sha256, final_url)
    write_atomic(target, data)


def check_hash(data, sha256, url):
    """Raise Mismatch unless the bytes from `url` have this SHA-256, a str in hex; "" for any."""
    if sha256 and hash_bytes(data) != sha256.lower():
        hashes = ["expected sha256 " + sha256, "found    sha256 " + hash_bytes(data)]
        raise Mismatch("%s is not what it should be" % masked(url), tried=hashes)


def chosen_index(index):
    """The URL of the index that pip and uv would ask: `index` of the config first. "" if they may ask none."""
    if means_yes(pip_setting("no-index")) or is_on("UV_NO_INDEX"):
        return ""
    return unnamed(index) or (users_indexes() + [DEFAULT_INDEX])[0]


def users_indexes():
    """The URLs of the indexes in pip's settings and uv's variables, pip's first."""
    settings = [pip_setting("index-url")] + [os.environ.get(name, "") for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")]
    return [unnamed(index) for index in settings if index]


def unnamed(index):
    """The URL in an index setting of uv, which is NAME=URL or URL."""
    name, _, url = index.partition("=")
    return url if "://" in url and "/" not in name and ":" not in name else index


def index_links(index, name, trust="https"):
    """The files of a project in a package index (PEP 503, 691): a list of (file name, URL, sha256 or "", size or 0).

    trust  as in `check_url`. Odd entries are passed over, because the user cannot mend an index (H16).
    """
    url = "%s/%s/" % (index.rstrip("/"), name)
    data, page_url = fetch(url, SIMPLE_JSON + ", text/html;q=0.1", trust, PAGE_CAP)
    text = data.decode("utf-8", "replace")
    links = []
    for entry in json_links(text) or html_links(text):
        link = index_link(page_url, index, entry)
        if link:
            links.append(link)
        else:
            report.detail("passed over in %s: %r" % (masked(page_url), entry))
    return links


def json_links(text):
    """The entries of an index page in JSON: a list of (URL, sha256, size) of any types; [] if it is no such page."""
    import json

    try:
        page = json.loads(text)
    except (ValueError, RecursionError):
        return []
    files = page.get("files") if isinstance(page, dict) else None
    links = []
    for file in files if isinstance(files, list) else ():
        hashes = (file.get("hashes") or {}) if isinstance(file, dict) else None
        if not isinstance(hashes, dict):
            links.append((None, file, 0))  # `index_link` passes it over
        elif not file.get("yanked"):
            links.append((file.get("url"), hashes.get("sha256", ""), file.get("size") or 0))
    return links


def html_links(text):
    """The entries of an index page in HTML: a list of (URL, sha256, 0)."""
    import html
    import re

    links = []
    for tag in re.finditer(r"""<a(?=\s)((?:[^<>"']|"[^"<]*"|'[^'<]*')*)>""", text, re.IGNORECASE):
        href = re.search(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", tag.group(1), re.IGNORECASE)
        if href:
            value = "".join(filter(None, href.groups()))
            url, _, fragment = html.unescape(value).partition("#")
            sha256 = fragment[len("sha256="):] if fragment.startswith("sha256=") else ""
            links.append((url, sha256, 0))
    return links


def index_link(page_url, index, entry):
    """A row of `index_links`; None if the entry is odd, or leads from a server to a file of this machine."""
    import re
    import urllib.parse

    relative, sha256, size = entry
    if not isinstance(relative, str) or not isinstance(sha256, str) or type(size) is not int or size < 0:
        return None
    if sha256 and not re.match(r"[0-9a-fA-F]{64}$", sha256):
        return None
    try:
        url = urllib.parse.urljoin(page_url, relative)
        schemes = "http", "https", urllib.parse.urlsplit(page_url).scheme
        if urllib.parse.urlsplit(url).scheme not in schemes or why_no_file_name(unquoted(url)):  # H4
            return None
        return unquoted(url), with_user(url, [index]), sha256, size
    except ValueError:  # such as an odd host
        return None


def trust_in(index, trust):
    """The trust for a link of an index: an index with https must link to https (H7)."""
    return "https" if trust == "loopback" and index.lower().startswith("https:") else trust


def wheel_version(name, project):
    """The `Version` in the file name of a wheel of this project (PEP 427); None if it is no such name (H16)."""
    import re

    match = re.match(r"%s-([\w.!+]+)(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl$" % re.escape(project), name, re.ASCII)
    try:
        return Version(match.group(1)) if match else None
    except PrimeError:
        return None


def with_user(url, indexes):
    """`url` with the credentials of the first of `indexes` on the same server, which asks for them again."""
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    for index in indexes:
        user, _, host = urllib.parse.urlsplit(index).netloc.rpartition("@")
        if user and host == parts.netloc:
            return urllib.parse.urlunsplit(parts._replace(netloc=user + "@" + host))
    return url


def this_platform():
    """The key of this machine in `PLATFORMS`; if it is not there, a name of the same form, such as "linux-riscv64"."""
    import platform

    machine = {"AMD64": "x86_64", "ARM64": "arm64"}.get(platform.machine(), platform.machine())
    system = {"darwin": "macos", "win32": "windows", "linux": "musl" if is_musl() else "linux"}.get(sys.platform)
    return "%s-%s" % (system or sys.platform, machine or "unknown")


def is_musl():
    """True if this python runs with musl: by its loader, else by the name of its ABI (M18).

    `platform.libc_ver()` gives glibc, "libc" or nothing there, and from 3.13 on "musl". Alpine's pythons up to 3.9
    have an ABI called gnu (bpo-43112), and one that is linked statically has no loader.
    """
    import sysconfig

    if not sys.platform.startswith("linux"):
        return False
    try:
        loader = loader_of(running_python())
    except Exception:  # such as no permission, or headers that are cut off
        loader = b""
    return b"/ld-musl-" in loader if loader else "musl" in (sysconfig.get_config_var("SOABI") or "")


def loader_of(program):
    """The loader that the headers of an ELF program name, as bytes; b"" if there is none. OSError or struct.error."""
    import struct

    with open(program, "rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF" or len(head) < 64:
            return b""
        is_wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        word = order + ("Q" if is_wide else "I")
        file.seek(struct.unpack_from(word, head, 32 if is_wide else 28)[0])
        size, count = struct.unpack_from(order + "HH", head, 54 if is_wide else 42)
        table = file.read(size * count)
        for start in range(0, len(table) - size + 1, size or 64):
            if struct.unpack_from(order + "I", table, start)[0] == 3:  # PT_INTERP
                file.seek(struct.unpack_from(word, table, start + (8 if is_wide else 4))[0])
                return file.read(struct.unpack_from(word, table, start + (32 if is_wide else 16))[0])
    return b""


def platform_row(name):
    """The row of `PLATFORMS` for a platform; for a machine that is not there one with pip's own tags (M18).

    Its name among uv's pythons is "" then, for uv knows where it runs.
    """
    if name in PLATFORMS or name != this_platform():
        return PLATFORMS[name]
    import platform
    import re

    system, _, machine = name.partition("-")
    tags = {"linux": "(many)?linux", "musl": "musllinux", "macos": "macosx", "windows": "win"}
    tag = "(%s.*_%s)$" % (tags.get(system) or re.sub(r"\d.*", "", system), re.escape(machine))
    return "sys_platform == '%s' and platform_machine == '%s'" % (sys.platform, platform.machine()), tag, ""


def fits(name, platforms, version=""):
    """True if a CPython of `version` may install the wheel of this file name on one of `platforms`.

    It does not look at the versions of the system's libraries, which only the installer knows.
    """
    import re

    match = re.match(r"[\w.]+-\d[\w.!+]*(?:-\d\w*)?-([\w.]+)-([\w.]+)-([\w.]+)\.whl$", name, re.ASCII)
    if not match:  # an odd name in an index (H4, H16)
        return False
    pythons, abis, tags = [part.split(".") for part in match.groups()]
    patterns = ["any$"] + [platform_row(platform)[1] for platform in platforms]
    if not any(re.match(pattern, tag) for pattern in patterns for tag in tags):
        return False
    if not version:
        return True
    major, minor = version.split(".")[:2]
    if {"py3", "py" + major + minor, "cp" + major + minor} & set(pythons):
        return True
    oldest = [int(tag[3:] or 0) for tag in pythons if re.match(r"cp3\d{0,3}$", tag, re.ASCII)]
    return "abi3" in abis and any(each <= int(minor) for each in oldest)


def file_in_wheel(wheel, ending, message):
    """The bytes of the file in an open wheel whose name ends so; PrimeError with `message` if there is none."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [each for each in archive.infolist() if each.filename.endswith(ending)]
            if not entries:
                raise PrimeError("%s: it has no %s" % (message, ending))
            entry = min(entries, key=lambda each: len(each.filename))
            if entry.file_size > BODY_CAP:  # zipfile reads no more than this size (H16)
                raise PrimeError("%s: %s has %d bytes" % (message, entry.filename, entry.file_size))
            return archive.read(entry)
    except (PrimeError, MemoryError):
        raise
    except Exception as problem:  # of zipfile, zlib, lzma, struct: there is no list of them
        raise PrimeError("%s: %s" % (message, problem))


# --------------------------------------------------------------------------------------------------
# Tools
# --------------------------------------------------------------------------------------------------
# What pip and uv share: how they run, what to do when they fail, and the options that an environment gives them.
# `Driver` describes the methods of both; the chapters pip and uv hold the two drivers.

VENDOR_HINT = "offline, packages come from vendor/ and find_links alone: where a network is, prime vendor gets them"
REQUIREMENT_HINT = "a requirement is NAME, NAME==VERSION, NAME>=VERSION, or as PEP 508 has it"
# Hints for a tool that failed: what its output holds (all of it), a pattern of the step's title, whether only offline.
TOOL_HINTS = (
    ((b"discovered in a flat-layout",), "", False,
     "an application that is not to be installed itself: [tool.uv] package = false"),
    ((b"Requesting extras requires a ",), "", False,
     "[tool.uv.pip] names extras, which uv takes for a file alone: name them in projects"),
    ((b"has no attribute 'build_editable'",), "", False,
     'setuptools is too old for that: editable = false in projects, or venv_driver = "venv_pip"'),
    ((b"/archive-v", b"(os error 2)"), "", False,
     "the cache of uv is not whole, such as one that CI restored in part: remove it"),
    ((), "^(installing|fetching|replacing)", True, VENDOR_HINT),
    ((), "^resolving", True, "offline, only find_links and vendor/ are asked; for an index leave out --offline"),
    ((b"Couldn't parse requirement",), "", False, REQUIREMENT_HINT),
    ((b"Invalid requirement",), "", False, REQUIREMENT_HINT),
)
TOOL_CAP = 1 << 22  # bytes of a tool's output that are kept
SHOWN_LINES = 15  # of them in an error, at most

# How installers (pip from 9 on, uv, setuptools, compilers) say why they failed, what tells most first: a pattern that
# the output must hold besides, one for a line, how many of the deeper indented lines below that one belong to it.
CAUSES = (
    ("", r"No space left on device", 0),
    ("", r"^warning: .*SSL_C(?:ERT|LIENT)", 0),
    ("", r"^(?:error: |  × )?(?:Request failed after|Failed to (?:fetch|download)\b)", 8),
    ("", r"^(?:error: |  × )?No solution found", 10),
    ("", r"\b[Bb]ecause .*(?:we can conclude|depends? on|requires?|available|not found)", 6),
    ("", r"^ *(?:ERROR: Cannot install |The conflict is caused by:|Double requirement given)", 9),
    ("", r"Could not find a version that|No matching distribution|requires a different [Pp]ython", 0),
    ("No matching distribution", r"Could not fetch URL ", 0),
    ("", r"DO NOT MATCH THE HASHES|[Hh]ash mismatch|--require-hashes mode", 6),
    ("", r"Failed to build |Failed building wheel for | for .* finished with status 'error'|^ *× ", 2),
    ("", r"fatal error: | error: |^ *error: |command not found|undefined reference|cannot find -l", 2),
    ("TOML parse error", r"^ *\| *\^+\n", 0),  # what it points at stands above, what is wrong below
    ("", r"^ *[\w.]*(?:Error|Exception|Exit)(?:: |$)", 2),
    ("", r"^ *hint: ", 2),
    ("", r"^ *(?:ERROR|CRITICAL): ", 2),
)
NOISE = r"^ *(?:error: [a-z-]+$|note: This |full command: |cwd: |│ exit code|╰─> (?:No available|See above)|" \
    r"Remov(?:ing|ed) |Cleaning up|hint: (?:This usual|See above|Packages were unavail)|" \
    r"ERROR: ResolutionImpossible|(?:Found|Skipping) link)"
BUILD_FAILED = r"finished with status 'error'|^ *× .* did not run|Command errored out|Command \".*\" failed with"
PIP_RUNS = r"^ *Running command "
PIP_STAGE = r"Processing |Collecting |Obtaining |(?:Building|Installing) .*packages:"
UV_QUOTES = r"^ *\[std(?:out|err)\]$"
WHEEL_OR_SDIST = r"(?:\S*/)?([\w.-]+?)-(\d[^-\s]*?)(?:-\S+\.whl|\.tar\.gz|\.zip)\S*"
# The lines by which they say what they work at.
WORKS_AT = r" *(?:Collecting|Download(?:ing|ed)|Using cached|Obtaining|Processing|Preparing|" \
    r"Getting requ\w+|Build(?:ing|t)|Running setup\.py|Installing|Cloning|Updat(?:ing|ed)|Resolved|Prepared) "

# How they say that they got no connection: a pattern that the output must hold besides, and one for the URL or host.
UNREACHED = (
    ("", r"error sending request for url \((\S+)\)(?!(?:\n *cause: .*)*certificate)"),
    ("No matching distribution", r"Could not fetch URL (\S+): (?:proxy )?(?:connection error|timed out)"),
    ("", r"× (?:Failed to connect to .* while fetching|Unable to fetch) (\S+)"),
    ("", r"^(?:ERROR|[\w.]+Error): (?!.*(?:SSLError|too many)).*ConnectionPool\(host='([^']+)'"),
    ("", r"fatal: unable to access '(\S+)': (?:Could not resolve|Failed to connect)"),
)
# The variables that name an index where index_url does not.
INDEX_URL_VARS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
NETWORK_HINT = "look at the network, at HTTPS_PROXY and NO_PROXY, and at %s"
FLAT_LAYOUT_HINT = "put proto_prime.py and prime into a directory such as tools/, or name your own modules: " \
    "[tool.setuptools] py-modules = [...]"


def tool_places(*rows):
    """Variables that give a tool directories that it can write, where its own cannot be written: a dict (M12).

    rows  the variable; the XDG variable and the directory at home where the tool has its own, and its name there
    """
    places = {}
    for variable, base, default, name in rows:
        usual = os.path.join(xdg_dir(base, default), name)
        if WINDOWS or os.environ.get(variable) or can_write(usual):
            continue
        own = writable_cache("tools", variable.lower())
        try:
            make_own(own)
            places[variable] = own
        except OSError as problem:  # then the tool says what it cannot do without
            report.detail("%s cannot be made: %s" % (own, problem.strerror))
    return places


def run_tool(argv, title, environ=None, cwd=os.sep, is_installer=True):
    """Run pip, uv, venv or a post_boot command as a step that people see; PrimeError if it fails."""
    report.step(title)
    environ = dict(clean_environ(for_tool=True) if environ is None else environ, PWD=cwd)  # ${PWD} in a file for pip
    log = log_of_installer if is_installer else log_of_command
    child = run_child(argv, environ, cwd=cwd, log=log, cap=TOOL_CAP, is_merged=True)
    report.done()
    if not child.has_failed:
        return
    status = "%s %s" % (argv[0], child.problem) if child.problem else str(child).split(": ")[1]
    output = child.tail(sys.maxsize)
    lines = causes(output) if is_installer else output[-12:]
    hints = tool_hints(title, child.stdout, cwd)
    if any("No space left on device" in line for line in output):
        places = [word for word in argv[1:] if word.startswith(cache_dir()) and not word.startswith(cache_dir("pip"))]
        hints = [CACHE_HINT if places else "prime clean removes builds that nothing uses"]
    place = "" if is_offline() or not is_installer else unreached(output)
    if place:
        status = "no network connection to %s" % by_proxy(place, environ)
        host = place.rpartition("//")[2].partition("/")[0].rpartition("@")[2]
        hints.insert(0, NETWORK_HINT % next((each for each in INDEX_URL_VARS if host in os.environ.get(each, "")),
                                            "index_url"))
    hints.insert(0, limit_hint("\n".join([status] + lines)))
    raise PrimeError("%s failed: %s" % (title, status), tried=lines, hint="; ".join(filter(None, hints)))


def log_of_installer(data):
    """`report.output` without what pip tells of each file in an index: thousands of lines. Shows what it works at."""
    import re

    data = re.sub(br"(?m)^ *(?:Found|Skipping) link.*\n", b"", data)
    lines = [line.strip() for line in printed_lines(data) if re.match(WORKS_AT, line)] if report.is_live else []
    if lines:
        report.waits_for = re.sub(WHEEL_OR_SDIST, r"\1 \2", lines[-1])
    report.output(data)


def log_of_command(data):
    """`report.output`; the last line is shown as what a command of the repo works at."""
    if report.is_live:
        report.waits_for = ([report.waits_for] + printed_lines(data))[-1]
    report.output(data)


def causes(output):
    """The lines of an installer's output, a list of str, that tell why it failed: at most `SHOWN_LINES` by `CAUSES`.

    Behind them stands the end of what the failed build printed; if nothing is known, the end of all output.
    """
    import re

    end = max([number for number, line in enumerate(output) if line == "Exception information:"], default=None)
    output = [line for line in output[:end] if not re.search(NOISE, line)]  # pip's own traceback tells nothing
    text, chosen = "\n".join(output), []  # type: str, list
    for needed, pattern, below in CAUSES:
        matches = re.finditer(pattern, text, re.MULTILINE) if re.search(needed, text) else ()
        for match in list(matches)[:3]:
            chosen += paragraph(output, text.count("\n", 0, match.end()), below)
    chosen += failed_build(output) or output[-12:] * (not chosen)
    lines = {}  # type: dict
    for line in chosen:
        lines.setdefault(line.strip(), line if len(line) < 500 else line[:300] + " ... " + line[-150:])
    return list(lines.values())[:SHOWN_LINES]


def paragraph(lines, start, below):
    """The line at index `start` and at most `below` lines that follow it deeper indented, less its indentation."""
    depths = [len(line) - len(line.lstrip(" \t×╰├─▶│>")) for line in lines[start:start + below + 1]]
    count = next((number for number, depth in enumerate(depths) if number and depth <= depths[0]), len(depths))
    margin = len(lines[start]) - len(lines[start].lstrip())
    return [line[margin:] if line[:margin].isspace() else line for line in lines[start:start + count]]


def failed_build(output):
    """The end of what the build that failed printed; before it the package that it is of, if pip says no more of it."""
    import re
    import textwrap

    end = next((number for number, line in enumerate(output) if re.search(BUILD_FAILED, line)), len(output))
    mark = PIP_RUNS if end < len(output) else UV_QUOTES
    starts = [number for number in range(end) if re.search(mark, output[number])]
    if not starts:
        return []
    stages = [line for line in output[:starts[-1]] if re.match(PIP_STAGE, line)]
    about = [line for line in stages[-1:] if "packages:" not in line]
    lines = [line for line in output[starts[-1 if mark == PIP_RUNS else 0] + 1:end] if not re.search(UV_QUOTES, line)]
    return about + textwrap.dedent("\n".join(lines[-8:])).split("\n")


def unreached(output):
    """The URL or host that an installer got no connection to, by its output, a list of str; "" if that is not why."""
    import re

    text = "\n".join(output)
    for needed, pattern in UNREACHED:
        match = re.search(pattern, text, re.MULTILINE) if re.search(needed, text) else None
        if match:
            return match.group(1)
    return ""


def tool_hints(title, output, root):
    """The hints of `TOOL_HINTS` for a step that failed and the bytes that it printed, and where the log is.

    root  str, the directory that may have vendored files
    """
    import re

    if re.search(b"flat-layout.*proto_prime", output):  # setuptools takes this file for a module
        return [FLAT_LAYOUT_HINT]
    hints = []
    for marks, step, needs_offline, hint in TOOL_HINTS:
        is_printed = all(mark in output for mark in marks)
        if is_printed and re.search(step, title) and (is_offline() or not needs_offline):
            hints.append(hint)
        if hint is VENDOR_HINT and hint in hints and not os.path.isdir(vendor_dir(root)):
            hints.insert(-1, "there is no vendor/ here")
    if report.log:
        hints.append("the whole log: %s" % report.log_path)
    return hints


def guard(directory):
    """PrimeError unless `directory` is an environment whose python installs there and nowhere else.

    Without a pyvenv.cfg uv and pip take the base python for their target, and change it.
    The answer is kept for each base python, because starting one takes 15 ms.
    """
    if not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        raise PrimeError("%s has no pyvenv.cfg: nothing is installed there" % directory)
    python = environment_python(directory)
    base, topic = os.path.realpath(python), "\nenvironment of " + read_pyvenv_cfg(directory).get("home", "")
    if recall(base, bool, topic):
        return
    answer, child = ask_python(python, "answer = [sys.prefix, sys.base_prefix]", timeout=None)
    prefix, base_prefix = answer or ["", ""]
    if child.has_failed or os.path.realpath(prefix) != os.path.realpath(directory) or prefix == base_prefix:
        lines = child.tail() or [str(child)] if child.has_failed else ["its prefix is %s" % prefix]
        raise PrimeError("nothing is installed with %s, not the python of its environment" % python, tried=lines,
                         hint=limit_hint("\n".join(lines)))
    if os.path.islink(python) and not is_script(base):  # a copy is a base of its own
        remember(base, [], topic)


class Driver:
    """What makes and fills environments: `PipDriver` and `UvDriver` have these fields and methods.

    name      str, as in the config: "venv_pip" or "venv_uv"
    is_anew   bool: ask the index and the local projects again, whatever a cache holds
    reader    `UvDriver` that reads a uv.lock for it; if there is a uv.lock, `driver_of` gives one to pip

    deploy(python)                       find or fetch the tool for an `Interpreter`, before all that follows
    create(python, directory, prompt)    make an empty environment
    install(requirements, directory, options=(), root=os.sep)
                                         install requirements, both lists as the tool's `install` takes them
    install_lock(environment, directory, lock)
                                         install what the lock file at the path `lock` pins
    check_lock(environment)              before anything is built: can it install from the lock file, or without one?
    requirements(environment, lock="", directory="")
                                         what it installs, less what the lock covers: a `Requirements`
    parts(environment, requirements)     the words of these as lists, each for one `install`
    install_script(environment, directory)
                                         install what a script with a [tool.uv] requires, and return True; else False

    All raise PrimeError if the tool cannot do it.
    """

    name = ""
    is_anew = False

    def check_lock(self, environment):
        """Accept any lock file."""

    def install_script(self, environment, directory):
        """Install it as everything else."""
        return False

    def parts(self, environment, requirements):
        """Install everything at once."""
        return [requirements]


# Runs pip where no socket may be opened, though a requirements file or a URL may name a server.
OFFLINE = """
import socket
def refuse(*_, **__): raise socket.gaierror(-3, "offline")
socket.getaddrinfo = socket.create_connection = refuse
"""


def is_closed(environment):
    """True if an environment is made of local files alone."""
    return is_offline() or environment["no_index"]


def index_and_origin(environment, driver):
    """The URL of the index that a driver, by its name, asks, without credentials, and where that is said: two str."""
    if is_closed(environment):
        return "", "%s is set" % OFFLINE_VAR if is_offline() else environment.origins["no_index"]
    if environment["index_url"]:
        return masked(environment["index_url"]), environment.origins["index_url"]
    origin = uv_index_origin(environment.root) if driver == "venv_uv" else ""
    if origin:
        url = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or ""
        return masked(unnamed(url)), origin
    settings = pip_settings()
    if means_yes(settings.get("no-index", [""])[0]):
        return "", settings["no-index"][1]
    url, origin = settings.get("index-url", (DEFAULT_INDEX, "pip's and uv's own"))
    return masked(url), origin


def index_options(environment):
    """Where packages come from: options that `pip install` and `download`, `uv pip install`, `sync` and `compile` take.

    Fetching uv, locking, vendoring and build backends get them, too; `uv sync` does not.
    """
    links = environment["find_links"]
    if is_offline():
        links = list(filter(is_local, links))
    links = [link if is_url(link) else environment.path(link) for link in links]
    if is_closed(environment):
        options = ["--no-index"]
        if os.path.isfile(vendor_dir(environment.root, MANIFEST)):
            links.append(vendor_dir(environment.root))
    else:
        options = ["--index-url", environment["index_url"]] if environment["index_url"] else []
        for url in environment["extra_index_urls"]:
            options += ["--extra-index-url", url]
    for link in dict.fromkeys(links):
        options += ["--find-links", link]
    return options


def places_of(options):
    """The places of wheels in a list of index options."""
    return [options[count + 1] for count, word in enumerate(options) if word == "--find-links"]


def read_manifest(target):
    """The names of the files that `prime vendor` put into a directory, a set, and the `Interpreter.kind` that these
    are for, "" if that is not known. PrimeError if it is no manifest (H3).
    """
    import json

    path = os.path.join(target, MANIFEST)
    hint = "remove it, and vendor once more"
    if not os.path.lexists(path):
        return set(), ""
    if is_link(path):
        raise PrimeError("%s is a link" % path, hint="remove it")
    try:
        manifest = json.loads(load_text(path))
        names, python = manifest["files"], manifest.get("python", "")
        if not (isinstance(names, list) and isinstance(python, str)):
            raise TypeError("files is no list, or python no text")
    except PrimeError as problem:
        raise PrimeError(str(problem), hint=hint)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise PrimeError("%s is no manifest: %s" % (path, problem), hint=hint)
    for name in names:
        file = os.path.join(target, file_name(name, path))
        if name.lower() == MANIFEST or os.path.lexists(file) and not is_file(file):
            raise PrimeError("%s names %s, which is no regular file" % (path, shown_value(name)),
                             hint="nothing was removed; look who wrote it")
    return set(names), python


def tell_of_vendored_python(directory, python):
    """Say so if a vendored directory is for another python than an `Interpreter`, of which it may lack wheels (R19)."""
    made_for = read_manifest(directory)[1]
    if made_for not in ("", python.kind()):
        report.note("%s is for %s, and may lack what %s needs: %s names another python; %s" % (
            tilde(directory), one_line(made_for), python.kind(), PYTHON_VAR,
            report.as_typed("prime vendor makes it for this one")))


def tell_of_unnamed_files(directory):
    """Say which files in a vendored directory pip and uv may take, though its manifest does not name them (R19)."""
    import re

    names = set(os.listdir(directory)) - read_manifest(directory)[0]
    names = sorted(name for name in names if re.search(r"\.(whl|egg|zip|tgz|tar\.\w+|html?)$", name, re.IGNORECASE))
    if names:
        report.note("prime vendor did not put these into %s, and they may be installed: %s" % (
            tilde(directory), one_line(", ".join(names))))


def project_words(path, extras, editable, root):
    """The words that let pip and uv install the project in a directory, with extras.

    With extras it stands there without them, too: else pips below 23.3 ask an index for it if another project requires
    it, and fetch a stranger's.
    """
    path = path_from(root, path)
    paths = [path, path + in_brackets(extras)] if extras else [path]
    return [word for each in paths for word in (["-e", each] if editable else [each])]


def path_from(root, path):
    """A path for pip and uv, relative if it is in the repo: they misread a "#" or "[" in the path of that (E8)."""
    return "./" + path_below(path, root) if is_inside(path, root) else slashed(path)


def in_brackets(extras):
    """The extras of a requirement as they stand behind its name."""
    return "[%s]" % ",".join(extras) if extras else ""


def uv_tables(environment):
    """The [tool.uv] that uv heeds at the root, two dicts at most: of the workspace that it is in, and its own."""
    places = filter(None, (workspace_of(environment.config, environment.root), environment.root))
    documents = map(environment.config.project, dict.fromkeys(places))
    return [table_in(document, PYPROJECT, "tool", "uv") for document in documents]


def script_settings(environment):
    """The [tool.uv] of the script that an environment is for, which holds for it alone (R2); {} without such."""
    return table_in(environment.config.pyproject, PYPROJECT, "tool", "uv") if environment.is_script else {}


def direct_requirement(name, url):
    """The requirement, for pip and uv, of a package from a URL."""
    if url.startswith("git+file:"):  # older pips want a host in a URL behind "@"
        return url + ("&" if "#" in url else "#") + "egg=" + name
    return "%s @ %s" % (name, url)


def chosen_parts(environment):
    """The extras and the dependency groups of the root project that an environment installs: two lists."""
    roots = [project for project in environment["projects"] if project["path"] == environment.root]
    extras = [extra for project in roots for extra in project["extras"]]
    groups = [group for project in roots for group in project["groups"]]
    return extras, groups


def own_extras(environment, project):
    """The extras that the groups of a project choose of the project itself: a list of str.

    uv takes no URL from an extra, nor a source, unless the extra is chosen where the project itself is named (R1).
    """
    own = project_name(environment.config.project(project["path"]))
    parts = [requirement_parts(line) for line, _, group in project["requirements"] if group]
    return [extra for name, extras, _, marker in filter(None, parts) for extra in extras
            if extra and not marker and name == own]


# Head of a program that finds its python beside it, also by links. Older macOS has no realpath, nor `readlink -f`.
LAUNCHER = b"""#!/bin/sh
'''':
file=$0
while target=$(readlink -- "$file"); do
    case $target in /*) file=$target ;; *) file=$(dirname -- "$file")/$target ;; esac
done
exec "$(dirname -- "$file")"/%s "$0" "$@"
'''
"""


def mend_launchers(directory):
    """Make the programs in an environment's bin/ find its python beside them, if its path would be misread.

    pip does not quote the path for the shell, nor for python, which reads the same lines; uv does, except for a
    line end (E8). Both take a tab for part of a name; the kernel ends the name there.
    """
    import re

    if WINDOWS or not set(directory) & set("\"'$`\\\n\t"):
        return
    programs = os.path.join(directory, BIN)
    head = b"#!(?:/bin/sh\n'''exec' )?\"?" + re.escape(os.fsencode(programs)) + \
        b"/(python[\\d.]*)\"?(?: .*\n' ''')?\n"
    for path in [os.path.join(programs, name) for name in os.listdir(programs)]:
        text = bytes_of(path) or b""
        match = re.match(head, text)
        if match:
            with open(path, "wb") as file:
                file.write(LAUNCHER % match.group(1) + text[match.end():])


# --------------------------------------------------------------------------------------------------
# Lock files
# --------------------------------------------------------------------------------------------------
# Reads a pylock.toml (PEP 751) once, as a `Lock`. A uv.lock is read by uv; only what it says of projects is read here.
# Checks that a lock, or the indexes where there is none, suit the environment and its driver.


class Lock:
    """A pylock.toml (PEP 751), as far as an environment needs it.

    packages        list of dict, all packages of the file
    created_by      str, the tool that made it
    inputs          str, what `lock_inputs` was when `prime lock` made the file, or ""
    extras, groups  lists of str: those of the file that the environment chose, and its default groups
    group_options   list of str, what tells uv of these groups; none if they are the default ones, which it knows
    limits          str, marker of the machines that it is for; "" for all
    pins            dict, line of a requirements file with its hashes, to the names of its files
    unpinned        list of (package, arguments of an install): directories and checkouts, which have no hash
    files           dict, file name to (URL, sha256 or "", size or 0)
    """

    def __init__(self, path, document, extras, groups):
        self.path = path
        self.packages = document.get("packages", [])
        self.created_by = document.get("created-by", "")
        self.inputs = table_in(document, path, "tool", "proto-prime").get("inputs", "")
        self.extras = chosen_names(document.get("extras", []), extras)
        defaults = document.get("default-groups", [])
        names = document.get("dependency-groups", []) + defaults  # R6: a default one need not stand before it
        self.groups = chosen_names(dict.fromkeys(names), list(groups) + defaults)
        is_default = set(self.groups) == set(defaults)
        self.group_options = [] if is_default else ["--group=" + name for name in self.groups]
        for field in ("extras", "dependency-groups", "default-groups", "environments"):
            for _, text in texts_in(document.get(field)):
                check_text(text, field, path, is_requirement=True)
        self.limits = " or ".join("(%s)" % marker for marker in document.get("environments", []))
        self.pins, self.unpinned, self.files = {}, [], {}  # type: dict, list, dict
        for package in self.packages:
            self._add(package)

    def _add(self, package):
        self._check(package)
        name = package["name"]
        names, hashes = self._add_files(package)
        directory, checkout, archive = (package.get(kind) for kind in ("directory", "vcs", "archive"))
        if directory:
            path = self.directory_of(directory)
            words = ["-e", path] if directory.get("editable") else ["%s @ %s" % (name, file_url(path))]
            self.unpinned.append((package, words))
        elif checkout:
            url = checkout.get("url") or file_url(self._absolute(checkout["path"]))
            source = "%s+%s@%s" % (checkout["type"], url, checkout["commit-id"])
            self.unpinned.append((package, [direct_requirement(name, source + subdirectory_in(checkout))]))
        elif not hashes:
            what = "hash that pip knows" if names else "wheel, sdist, archive, directory or checkout"
            raise PrimeError("%s: %s has no %s" % (self.path, name, what), status=2)
        else:
            source = self.url(archive) + subdirectory_in(archive) if archive else self._version(package)
            requirement = name + (" @ " if archive else "==") + source + self._marker(package)
            self.pins[" ".join([requirement] + hashes)] = names

    def _version(self, package):
        """The version of a package, a str; that of its first file if the lock names none (R6)."""
        import re

        if package.get("version"):
            return package["version"]
        name = self.file_of((package.get("wheels") or [package["sdist"]])[0])
        is_wheel, source = name.endswith(".whl"), re.sub(r"\.(zip|tar\.\w+)$", "", name)
        try:
            return Version(name.split("-", 2)[1] if is_wheel else source.rpartition("-")[2]).text
        except (PrimeError, IndexError):
            raise PrimeError("%s: no version of %s, nor in %s" % (self.path, package["name"], name), status=2)

    def check(self, python, required=(), remedy=""):
        """PrimeError unless all that this holds for an `Interpreter` can be installed into an environment of it (R6).

        That is as uv and pip see it: the lock is for its machine, no package is there twice or for other pythons.
        required  list of (requirement, where it stands), as `locked_requirements`: what must be in the lock (R17)
        remedy    str, what to do if something of that is not
        """
        values, names = self.values(python, lines=[line for line, _ in required]), {}  # type: dict, dict
        if not self.holds(self.limits, values):
            raise PrimeError("%s is not for this machine: %s" % (self.path, self.limits))
        for package in self.packages:
            if not self.holds(package.get("marker", ""), values):
                continue
            name, specifiers = normalized(package["name"]), package.get("requires-python", "")
            if name in names:
                raise PrimeError("%s: %s is there more than once for this python" % (self.path, name), status=2)
            names[name] = package
            demand(python, [Request(specifiers, name, parse_clauses(specifiers))], self.path)
        lacking = []
        for line, origin in required:
            problem = lack_of(line, values, names)
            if problem:
                lacking.append(one_line("%s (%s)%s" % (line, origin, problem)))
        if lacking:
            raise PrimeError("%s does not hold what is required" % self.path, tried=lacking, hint=remedy)

    def holds(self, marker, values):
        """`marker_holds` for a marker of the file; PrimeError if it is malformed."""
        try:
            return marker_holds(marker, values)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            raise PrimeError("%s has a malformed marker: %s" % (self.path, shown_value(marker)), status=2)

    def values(self, python, platform="", lines=()):
        """What the markers of the file, and of `lines`, mean for an `Interpreter`, or for one like it elsewhere.

        As `marker_values`; less these if there is no marker.
        """
        has_markers = self.limits or any("marker" in package for package in self.packages)
        has_markers = has_markers or any(";" in line for line in lines)
        values = marker_values(python, platform) if has_markers else {}
        return dict(values, extras=self.extras, dependency_groups=self.groups)

    def unpinned_words(self, directory):
        """Those of `unpinned` that an environment in a directory gets: arguments of an install.

        Their markers are evaluated here, for no pip takes one behind `-e`.
        """
        values = self.values(interpreter_at(environment_python(directory))) if self.unpinned else {}
        return [word for package, words in self.unpinned if self.holds(package.get("marker", ""), values)
                for word in words]

    def _add_files(self, package):
        """Add the wheels, sdist and archive of a package to `files`.

        Returns two lists of str: their names, and pip's options with their hashes.
        """
        names, options = [], []
        for artifact in package.get("wheels", []) + [package[kind] for kind in ("sdist", "archive") if kind in package]:
            hashes = artifact["hashes"]
            for algorithm, value in sorted(hashes.items()):
                if algorithm in ("sha256", "sha384", "sha512"):
                    options.append("--hash=%s:%s" % (algorithm, value.lower()))  # pip compares them as text
            size, sha256 = artifact.get("size", 0), hashes.get("sha256", "").lower()
            if not isinstance(size, int):
                raise TypeError("size %r" % (size,))
            names.append(self.file_of(artifact))
            self.files[names[-1]] = self.url(artifact), sha256, size
        return names, options

    def _check(self, package):
        """Raise PrimeError unless each text of a package is one argument, and one word of a line (H15)."""
        name = check_text(package["name"], "the name of a package", self.path)
        for field, text in texts_in({key: value for key, value in package.items() if key != "tool"}):
            key = field.rpartition(".")[2]
            check_text(text, 'package "%s": %s' % (name, field), self.path, is_requirement=key not in ("name", "path"))
            if key in ("url", "version", "commit-id", "type") and text.split() != [text]:
                raise PrimeError('package "%s": %s "%s" has a blank' % (name, field, text), self.path, status=2)
        if not name or set(name.lower()) - set("abcdefghijklmnopqrstuvwxyz0123456789._-"):
            raise PrimeError('"%s" is no name of a package' % one_line(name), self.path, status=2)
        try:
            parse_clauses(package.get("requires-python", ""))
        except PrimeError as problem:
            raise PrimeError('package "%s": malformed requires-python: %s' % (name, problem), self.path, status=2)

    def directory_of(self, source):
        """The absolute path of the project that a `directory` of the file names."""
        return self._absolute(source["path"], source.get("subdirectory", ""))

    def _absolute(self, *names):
        """The absolute path of a path in the file, which is relative to the file's directory."""
        return os.path.normpath(os.path.join(os.path.dirname(self.path), *names))

    def file_of(self, artifact):
        """The file name of an artifact. PrimeError if it is no file name, or if pip would make none of the URL (H4)."""
        import urllib.parse

        last = unquoted(self.url(artifact))
        name = file_name(artifact.get("name") or last, self.path)
        for text in filter(None, (last, urllib.parse.unquote(last))):
            file_name(text, self.path)
        return name

    def url(self, artifact):
        """The URL of an artifact; a file URL for one that the lock names by a path."""
        return artifact.get("url") or file_url(self._absolute(artifact.get("path", "")))

    def _marker(self, package):
        """The end of a requirement: its marker, or "". Extras and groups are evaluated, as no pip knows them."""
        import re

        def evaluate(match):
            names = self.extras if match.group(3) == "extras" else self.groups
            is_in = bool(chosen_names([match.group(1)], names))
            is_true = is_in != bool(match.group(2))
            return "os_name %s ''" % ("!=" if is_true else "==")

        pattern = r"""['"]([^'"]*)['"]\s*(not\s+)?in\s+(extras|dependency_groups)"""
        markers = [re.sub(pattern, evaluate, package.get("marker", "")), self.limits]
        text = " and ".join("(%s)" % marker for marker in markers if marker)
        return " ; %s " % text if text else ""

    def write(self, directory, is_closed):
        """Write the pins for an installer, and a page of links to the files: those at hand alone if `is_closed`.

        Returns two lists of options: those that name the pins, and those that name the page.
        """
        import html

        links = []
        for name, (url, sha256, _) in self.files.items():
            if is_local(url) or not is_closed:
                target = url + "#sha256=" + sha256 if sha256 else url
                links.append('<a href="%s">%s</a>\n' % (html.escape(target), html.escape(name)))
        page = os.path.join(directory, "links.html")
        write_atomic(page, "".join(links).encode())
        return pin_options(os.path.join(directory, "requirements.txt"), self.pins), ["--find-links", file_url(page)]

    def check_sizes(self, *directories):
        """Raise PrimeError if a local file, or one in these directories, has not the size in the lock."""
        for name, (url, _, size) in self.files.items():
            paths = [os.path.join(directory, name) for directory in directories]
            if url.startswith("file:"):
                paths.append(local_path(url))
            for path in filter(os.path.isfile, paths if size else ()):
                actual = os.path.getsize(path)
                if actual != size:
                    raise PrimeError("%s: %s is %d bytes long instead of %d" % (self.path, path, actual, size))


def lack_of(line, values, packages):
    """How the packages of a lock fail a requirement: text for an error; "" if they do not, or if that cannot be told.

    values, packages  dicts: `marker_values`, and the packages that are installed by their normalized names
    """
    name, _, clauses, marker = requirement_parts(line) or ("", [], [], "")
    package = packages.get(name, {})
    try:
        if not name or not marker_holds(marker, dict(values, extra="")):
            return ""
        # A directory or a checkout is as it is.
        version = Version(package["version"]) if {"wheels", "sdist"} & set(package) else None
    except (PrimeError, ValueError, LookupError, RecursionError):
        return ""
    if not package:
        return " is not in it"
    is_met = not version or all(clause.contains(version) for clause in clauses)
    return "" if is_met else ": it has %s" % version


def pin_options(path, lines):
    """Write pins into a requirements file. Returns the options that let pip and uv install them: list of str."""
    write_atomic(path, "".join(line + "\n" for line in lines).encode())
    return ["--require-hashes", "-r", path]


def subdirectory_in(source):
    """The end of the URL of a checkout or an archive: where in it the project is."""
    return "#subdirectory=" + source["subdirectory"] if "subdirectory" in source else ""


def read_lock(environment, path):
    """The `Lock` in a pylock.toml for an environment, which keeps it. PrimeError if the file is not as PEP 751 says."""
    import re

    if path not in environment.locks:
        try:
            document = parse_toml(load_text(path))
            version = document["lock-version"]
            if not isinstance(version, str) or not re.match(r"1(\.\d+)*$", version):
                raise PrimeError('%s: lock-version %s is not known; "1.0" is' % (path, shown_value(version)), status=2)
            for field, kind in (("created-by", str), ("packages", list)):  # R6
                if not isinstance(document[field], kind):
                    raise TypeError("%s = %s" % (field, shown_value(document[field])))
            environment.locks[path] = Lock(path, document, *chosen_parts(environment))
        except TomlError as error:
            raise error.as_error(path)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as problem:
            what = "%r" % problem if type(problem) is not KeyError else "no %s" % problem.args
            raise PrimeError("%s is not as PEP 751 says: %s" % (path, what), status=2)
    return environment.locks[path]


MARKER_NAMES = "os_name sys_platform platform_machine platform_python_implementation platform_release " \
    "platform_system platform_version python_full_version implementation_name python_version implementation_version"
MARKER_QUESTION = """
import platform
answer = [os.name, sys.platform, platform.machine(), platform.python_implementation(), platform.release(),
          platform.system(), platform.version(), platform.python_version(), sys.implementation.name,
          "%d.%d" % sys.version_info[:2], "%d.%d.%d" % sys.implementation.version[:3]]
"""


_markers = {}  # type: dict  # the path of a python to what it answered


def marker_values(python, platform=""):
    """What environment markers mean for an `Interpreter`, asked once (PEP 508): a dict of variable to str.

    platform  str, a key of `PLATFORMS`: as if it ran there, as far as the name tells; "" for where it runs
    """
    if python.path not in _markers:
        answer, child = ask_python(python.path, MARKER_QUESTION)
        if not answer:
            raise PrimeError("cannot ask %s for its platform: %s" % (python, child.problem))
        _markers[python.path] = dict(zip(MARKER_NAMES.split(), answer))
    values = dict(_markers[python.path])
    if platform and platform != this_platform():
        _, system, _, machine, _ = PLATFORMS[platform][0].split("'")
        kind = {"win32": ("nt", "Windows"), "darwin": ("posix", "Darwin")}.get(system, ("posix", "Linux"))
        values.update(sys_platform=system, platform_machine=machine, os_name=kind[0], platform_system=kind[1])
    return values


def marker_holds(text, values):
    """True if an environment marker holds, or is empty (PEP 508, 751).

    values  dict, variable to str; `extras` and `dependency_groups` are lists of str
    ValueError, LookupError or RecursionError if it is malformed.
    """
    import re

    tokens = re.findall(r"""'[^']*'|"[^"]*"|\w+|[<>=!~]+|\S""", text)[::-1]
    result = not tokens or any_holds(tokens, values)
    if tokens:
        raise ValueError(text)
    return result


def any_holds(tokens, values):
    """Read from the end of the list `tokens` what "or" joins: True if a part holds."""
    result = all_hold(tokens, values)
    while tokens[-1:] == ["or"]:
        tokens.pop()
        result = all_hold(tokens, values) or result
    return result


def all_hold(tokens, values):
    """Read from the end of the list `tokens` what "and" joins: True if all parts hold."""
    result = comparison_holds(tokens, values)
    while tokens[-1:] == ["and"]:
        tokens.pop()
        result = comparison_holds(tokens, values) and result
    return result


def comparison_holds(tokens, values):
    """Read one comparison, or a marker in parentheses, from the end of the list `tokens`: True if it holds."""
    first = tokens.pop()
    if first == "(":
        result = any_holds(tokens, values)
        if tokens.pop() != ")":
            raise ValueError("no ) behind it")
        return result
    operator = tokens.pop()
    if operator == "not":
        operator += " " + tokens.pop()
    left, right = [each[1:-1] if each[0] in "'\"" else values[each] for each in (first, tokens.pop())]
    if operator in ("in", "not in"):
        is_in = bool(chosen_names([left], right)) if isinstance(right, list) else left in right
        return is_in == (operator == "in")
    try:
        return Clause(operator + right).contains(Version(left))
    except PrimeError:  # texts have no order: "<=" is "==" for them, and "<" never holds
        is_equal = left == right
        return {"!=": not is_equal, "<": False, ">": False, "==": is_equal, "===": is_equal, "<=": is_equal,
                ">=": is_equal}[operator]


def lock_inputs(environment):
    """A hash of all that the lock of an environment is resolved from."""
    config, projects, inputs = environment.config, environment["projects"], []  # type: Config, list, list
    for project in projects:
        requires, extras, *computed = declared_requirements(config.project(project["path"]), project["path"])
        lines = [line for line, _, _ in project["requirements"]]
        inputs.append([requires, extras, project["extras"], lines, computed])
    others = set(directories_of_projects(environment)) - {project["path"] for project in projects}
    in_order = sorted(others, key=lambda place: path_below(place, environment.root))  # wherever the clone is
    inputs += [declared_requirements(config.project(place), place) for place in in_order]
    for path in dict.fromkeys([environment.root] + [project["path"] for project in projects]):
        sources = sources_of(config, path)
        if sources:
            inputs.append([[name, path_below(place, environment.root), rows]
                           for name, (place, rows) in sorted(sources.items())])
    files = [file for file in all_with_includes(environment) if os.path.basename(file) not in PROJECT_FILES]
    return digest([environment["dependencies"], list(map(hash_text, files)), inputs])


def directories_of_projects(environment):
    """The directories of all local projects that an environment installs, or may have to: a list of str."""
    files = [file for project in environment["projects"] for file in project["files"]] + all_with_includes(environment)
    return list(dict.fromkeys(os.path.dirname(file) for file in files if os.path.basename(file) == PYPROJECT))


# Where build backends of their own way have what a project requires: tables of [tool].
BACKEND_TABLES = (("poetry", "dependencies"), ("poetry", "extras"), ("flit", "metadata", "requires"),
                  ("flit", "metadata", "requires-extra"), ("hatch", "metadata"))
VERSION_LINE = r"(?m)^[ \t]*version[ \t]*=[ \t]*[\"']?[\w.+!-]*[\"']?,?[ \t]*\n"  # of a setup.py or setup.cfg


def declared_requirements(document, directory):
    """What the requirements of the project in a directory are resolved from, a JSON value; its version is not in it.

    If its pyproject.toml `document` leaves them to the build backend, that is the text of all files that may say them.
    """
    import json
    import re

    table = table_in(document, PYPROJECT, "project")
    declared = [table.get("dependencies"), table.get("optional-dependencies")]
    if not has_computed_requirements(document):
        return declared
    for keys in BACKEND_TABLES:
        value = table_in(document, PYPROJECT, "tool", *keys[:-1]).get(keys[-1])
        declared.append(json.dumps(value, sort_keys=True, default=str))  # TOML has dates
    names = named_paths(document, directory, ("readme", "long_description", "version"))
    for path in names + [os.path.join(directory, name) for name in PROJECT_FILES[1:]]:
        text = loose_text(path).replace("\r\n", "\n")
        declared.append(re.sub(VERSION_LINE, "", text) if os.path.isfile(path) else None)
    return declared


PACKAGE_HEADER = "[[package]]\n"
LOCAL_SOURCES = "editable", "virtual", "directory"  # what uv.lock calls a package that is a directory


def uv_lock_options(environment):
    """The options that let `uv sync` and `uv export` take an environment's part of its uv.lock.

    PrimeError if the environment has requirements or projects that are not in there.
    """
    lock = environment["lock_file"]
    path = environment.path(lock)
    projects = environment["projects"]
    fields = beside_projects(environment)
    if fields:
        hint = "prime lock writes pylock.toml, which does"
        if environment.origins["lock_file"] != "default":
            hint += '; then set lock_file = "pylock.toml"'
        raise PrimeError("%s does not hold what %s says" % (lock, fields[0]), environment.origins[fields[0]], hint=hint)
    options = ["--no-default-groups", "--project", os.path.dirname(path)]
    if [project["path"] for project in projects] != [os.path.dirname(path)]:  # else uv knows and checks it by itself
        options += ["--package=" + name for name in locked_members(path, projects)]
    for option, field in (("--extra=", "extras"), ("--group=", "groups")):
        names = dict.fromkeys(name for project in projects for name in project[field])
        options += [option + name for name in names]
    return options + ["--no-editable"] * (not all(project["editable"] for project in projects))


def parts_of_uv_lock(path):
    """Take a uv.lock apart. Returns (str: its head, a list of (text of a package, directory of it or "", its table)).

    Only the packages that are directories are parsed. PrimeError if the file is not as uv writes it.
    """
    head, *blocks = load_text(path).replace("\r\n", "\n").split(PACKAGE_HEADER)
    parts = []
    try:
        for block in blocks:
            directory, package = "", {}  # type: str, dict
            if any(kind in block for kind in LOCAL_SOURCES):
                package = parse_toml(PACKAGE_HEADER + block)["package"][0]
                check_text(package["name"], "package", path)
                for kind in set(LOCAL_SOURCES) & set(package["source"]):
                    directory = os.path.normpath(os.path.join(os.path.dirname(path), package["source"][kind]))
            parts.append((block, directory, package))
    except (TomlError, KeyError, TypeError, RecursionError) as problem:
        raise PrimeError("%s is no uv.lock that is understood: %r" % (path, problem), status=2)
    return head, parts


def with_own_versions(environment, path):
    """The text of a uv.lock as if the versions of the projects in the repo were in it as they are now (R15).

    Returns (str: that text, list of str: what differs, such as "client 1 -> 2"). A computed version is in no uv.lock.
    """
    import re

    head, parts = parts_of_uv_lock(path)
    texts, changes = [head], []
    for block, directory, package in parts:
        change = changed_version(package, environment.config.project(directory)) if directory else ()
        if change:
            changes.append("%s %s" % (package["name"], " -> ".join(version or "computed" for version in change)))
            start, mark, end = block.partition("source = ")
            start = re.sub("^version = .*\n", "", start, flags=re.MULTILINE)
            block = start + 'version = "%s"\n' % change[1] * bool(change[1]) + mark + end
        texts.append(block)
    return PACKAGE_HEADER.join(texts), changes


def changed_version(package, document):
    """Compare the version of a project in a uv.lock, `package`, with that in its pyproject.toml: two dicts.

    Returns (old, new), two str, "" for a computed version; () if they are equal, or if a version is none: uv says so.
    """
    texts = package.get("version", ""), table_in(document, PYPROJECT, "project").get("version", "")
    if not texts[1] and "version" not in dynamic_fields(document):
        return ()
    try:
        old, new = [text and Version(text) for text in texts]
    except PrimeError:
        return ()
    is_same = (old and (old.key, old.local)) == (new and (new.key, new.local))
    return () if is_same else (str(old), str(new))


def link_tree(root, directory, parents):
    """Show a repo in an empty directory, by links to what is in it: all but its uv.lock, environment and state.

    root     str, the directory of the uv.lock
    parents  int, how many of the directories above it are shown likewise, for paths such as "../lib"
    Returns the path that stands for the root. OSError where no links can be made.
    """
    skipped = {os.path.normpath(path) for path in (state_dir(root), os.path.join(root, ".prime"),
                                                   os.path.join(root, ".venv"), os.path.join(root, "uv.lock"))}
    chain = ancestors(root)[parents::-1]
    for above, below_it in zip(chain, chain[1:] + [""]):
        for name in names_in(above):
            path = os.path.join(above, name)
            if path != below_it and path not in skipped:
                os.symlink(path, os.path.join(directory, name), target_is_directory=os.path.isdir(path))
        if below_it:
            directory = os.path.join(directory, os.path.basename(below_it))
            os.mkdir(directory)
    return directory


def locked_members(path, projects):
    """The names in a uv.lock of those projects that are members of its workspace; PrimeError if it lacks a project."""
    head, parts = parts_of_uv_lock(path)
    names = {directory: package["name"] for _, directory, package in parts if directory}
    try:
        members = parse_toml(head).get("manifest", {}).get("members", [])  # only a workspace has members
    except (TomlError, AttributeError, RecursionError) as problem:
        raise PrimeError("%s is no uv.lock that is understood: %r" % (path, problem), status=2)
    for project in projects:
        if project["path"] not in names and project["installable"]:
            raise PrimeError("%s does not hold the project %s" % (path, project["path"]),
                             hint='let it be a member of the workspace, or set lock_file = ""')
    chosen = [names.get(project["path"]) for project in projects]
    return [name for name in chosen if name in members]


def check_sources(environment, driver, python):
    """Check what an environment is installed from, before it is built with a driver and an `Interpreter`.

    PrimeError if a directory of wheels is missing, if its lock suits neither driver nor python, or is out of date.
    """
    for link in environment["find_links"]:
        if not is_url(link) and not os.path.exists(environment.path(link)):
            raise environment.error("find_links", 'find_links: there is no "%s"' % link)
    for place in places_of(index_options(environment)):
        if os.path.isfile(os.path.join(place, MANIFEST)):
            tell_of_unnamed_files(place)
            tell_of_vendored_python(place, python)
    lock = environment["lock_file"]
    if lock.endswith("uv.lock"):
        uv_lock_options(environment)
    driver.check_lock(environment)
    if not lock.endswith(".toml"):
        return
    contents = read_lock(environment, environment.path(lock))
    made_from = contents.inputs
    demand(python, environment.locked, "the lock")
    remedy = "prime%s lock" % ("" if environment.name == "default" else " -e " + environment.name)
    if made_from and made_from != lock_inputs(environment):
        raise PrimeError("%s was made for other requirements than there are now" % lock, hint=remedy)
    if not made_from:  # else what is required is as it was
        remedy = "let %s write it anew, or %s" % (one_line(contents.created_by), remedy)
    contents.check(python, [] if made_from else locked_requirements(environment), remedy)


def locked_requirements(environment):
    """What a lock of another tool's must hold for an environment, as far as the files of the repo say it (R17).

    Returns a list of (requirement, where it stands), pairs of str. The projects themselves are not in it, nor what
    uv or pdm are told to take in other versions, or not at all. Of dynamic dependencies nothing is known.
    """
    import re

    config, projects, above = environment.config, environment["projects"], environment.root + os.sep
    lines = [(line, environment.origins["dependencies"]) for line in environment["dependencies"]]
    files = requirement_tree(environment, environment["requirements_files"], ("-r", "--requirement"))
    for path, texts in files.items():
        plain = [re.split(r"\s--?[^\W_]", text)[0] for text in texts if text[:1] != "-"]  # less options
        lines += [(text, path) for text in plain if not re.search(r"\.(whl|zip|tar\.\w+)$", text)]
    skipped = names_resolved_otherwise(config.pyproject)
    for project in projects:
        file, document = os.path.join(project["path"], PYPROJECT), config.project(project["path"])
        requirements = list(project["requirements"])
        if project["installable"]:
            requirements += dependencies_of(document, project["extras"], file)
        lines += [(line, file) for line, _, _ in requirements]
        tables = [table_in(document, file, *names) for names in (["project"], ["tool", "poetry"])]
        named = [table["name"] for table in tables if isinstance(table.get("name"), str)]
        if project["installable"] and not named and len(projects) > 1:  # any requirement of the others could mean it
            return []
        skipped |= set(map(normalized, named)) | names_resolved_otherwise(document)
        skipped |= set(sources_of(config, project["path"]))  # whatever version comes from there
    return [(line.strip(), origin[origin.startswith(above) and len(above):]) for line, origin in dict.fromkeys(lines)
            if (requirement_parts(line) or [""])[0] not in skipped]


def names_resolved_otherwise(document):
    """The packages that uv's and pdm's tables in a pyproject.toml override or leave out: a set of normalized names."""
    uv = table_in(document, PYPROJECT, "tool", "uv")
    pdm = table_in(document, PYPROJECT, "tool", "pdm", "resolution")
    lines = []  # type: list
    for names in (uv.get("override-dependencies"), uv.get("exclude-dependencies"), pdm.get("excludes"),
                  pdm.get("overrides")):
        lines += [name for name in names if isinstance(name, str)] if isinstance(names, (list, dict)) else []
    return {parts[0] for parts in map(requirement_parts, lines) if parts}


def package_sources(environment, for_pip=False):
    """The servers that uv or pip may take packages from: a list of URLs without credentials, the index first.

    They are those in the config, in requirements files, in uv's tables of pyproject.toml, in variables and in pip's
    files. The user's uv.toml is not read. With `for_pip` uv's tables do not count.
    """
    if is_closed(environment):
        return []
    indexes = [pip_setting("index-url") or DEFAULT_INDEX]
    uv_index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    if environment["index_url"]:
        indexes = [environment["index_url"]]
    elif uv_index:
        indexes.insert(0, uv_index)
    if means_yes(pip_setting("no-index")) and is_on("UV_NO_INDEX"):
        indexes = []
    indexes += environment["extra_index_urls"] + environment["find_links"]
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
        indexes += os.environ.get(name, "").replace(",", " ").split()
    indexes += (pip_setting("extra-index-url") + " " + pip_setting("find-links")).split()
    indexes += sources_in_files(environment, for_pip)
    urls = [masked(unnamed(index)).rstrip("/") for index in indexes if not is_local(index)]
    return list(dict.fromkeys(urls))


def sources_in_files(environment, for_pip=False):
    """The indexes and pages of wheels in requirements files and in uv's tables of pyproject.toml: a list of str."""
    import re

    option = re.compile(r"(?:--(?:extra-index-url|index-url|find-links)[\s=]\s*|-[if]\s*)(\S+)")
    sources = []  # type: list
    for path in all_with_includes(environment):
        try:
            matches = filter(None, map(option.match, requirement_lines(path)))
        except PrimeError:  # a wheel that one of the files requires
            continue
        sources += [match.group(1) for match in matches]
    table = {} if for_pip else table_in(environment.config.pyproject, PYPROJECT, "tool", "uv")
    for name in ("index", "index-url", "extra-index-url", "find-links"):
        values = table.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            sources.append(value.get("url") if isinstance(value, dict) else value)
    return [source for source in sources if isinstance(source, str)]


# --------------------------------------------------------------------------------------------------
# Sources
# --------------------------------------------------------------------------------------------------
# What an environment installs, as words for pip and uv. `[tool.uv.sources]` is uv's own: for pip it is translated here,
# so that nothing that has a source is asked of an index (R1).


# The keys of a source that pip can be told, too.
SOURCE_KEYS = {"path", "url", "git", "workspace", "editable", "marker", "extra", "group", "rev", "tag", "branch",
               "subdirectory"}


class Requirements:
    """What an environment installs, as arguments of pip and uv, with the sources of uv's translated (R1).

    environment  `Environment`
    directory    str, where its python is, which decides what markers mean; "" for every python
    root         str, the directory that its relative paths start from: the ref root
    own          dict, path of each project that is installed itself to whether it is editable
    words        list of str: requirements, and options for them
    constraints  dict, normalized name to the requirement of the URL that it comes from, if something requires it
    placed       dict, normalized name to the words of its source that are among `words`
    waiting      list of (path, extras, bool: it is installed itself): projects whose requirements are still to be added
    """

    def __init__(self, environment, directory=""):
        self.environment, self.directory = environment, directory
        self.config, self.root, self.values = environment.config, environment.root, {}  # type: Config, str, dict
        self.words, self.constraints, self.placed, self.waiting = [], {}, {}, []  # type: list, dict, dict, list
        projects = [project for project in environment["projects"] if project["installable"]]
        self.own = {project["path"]: project["editable"] for project in projects}

    def add_all(self, lock=""):
        """Add all that an environment installs, and what its projects require of a source. Returns self.

        lock  str, path of its lock file: what that covers is left out; "" for everything
        """
        for project in self.environment["projects"]:
            if project["installable"]:
                self.words += project_words(project["path"], project["extras"], project["editable"], self.root)
                self.wait_for(project["path"], project["extras"])
        self.add_loose(lock)
        for path, extras in self.local_projects() if not lock else ():
            self.wait_for(path, extras)
        for project in self.environment["projects"] if not lock else ():
            self.add(project["requirements"], project["path"])
        for path, extras, is_installed in self.waiting:  # grows meanwhile; a hostile chain is too long to recurse (H10)
            self.look_into(path, extras, is_installed, is_locked=bool(lock))
        return self

    def lines(self):
        """The words as `uv pip compile` takes them: lines of a requirements file, and arguments. Two lists of str."""
        lines, arguments = [], []  # type: list, list
        words = iter(self.words)
        for word in words:
            if word == "--group":
                arguments += [word, next(words)]
            elif word == "-r" or word == "-e":
                value = next(words)
                is_project = word == "-r" and os.path.basename(value) == PYPROJECT
                (arguments if is_project else lines).append(value if is_project else word + " " + slashed(value))
            else:
                (arguments if word[:2] == "--" else lines).append(word)
        return lines, arguments

    def constraint_options(self, path):
        """The options that let pip and uv heed the constraints, which are written into a file."""
        lines = [line + "\n" for name, line in self.constraints.items() if not self.placed.get(name)]
        if lines:
            write_atomic(path, "".join(lines).encode())
        return ["--constraint", path] if lines else []

    def wait_for(self, path, extras, is_installed=True):
        """Look into a project in a directory later, once."""
        if (path, extras, is_installed) not in self.waiting:
            self.waiting.append((path, extras, is_installed))

    def add_loose(self, lock):
        """Add what the config itself requires."""
        if not lock:
            self.add([[line, "", ""] for line in self.environment["dependencies"]], self.environment.root)
            for path in self.environment["requirements_files"]:
                self.words += ["-r", self.environment.path(path)]
            self.constrain(self.environment.root, self.lines_of_files())

    def local_projects(self):
        """The projects in directories that the config and its requirements files name: pairs of a path and extras."""
        import re

        lines = self.environment["dependencies"] + self.lines_of_files()
        for line in lines:
            path = project_path(self.environment.root, line)
            if path and os.path.isdir(path):
                extras = re.search(r"\[([\w\s,.-]+)\]", line)
                yield path, extras.group(1).replace(" ", "").split(",") if extras else []

    def lines_of_files(self):
        """The lines of the requirements files that an environment names, and of those that they include."""
        files = with_includes(self.environment, self.environment["requirements_files"])
        files = [path for path in files if os.path.basename(path) not in PROJECT_FILES]
        return [line for path in files for line in requirement_lines(path)]

    def add(self, requirements, directory, is_listed=True):
        """Add requirements, as those of `complete_project`, of the project in a directory.

        is_listed  False: only those that have a source, because the project is installed itself
        """
        is_looked_into = directory in self.own or bool(sources_of(self.config, directory))
        for line, extra, group in requirements:
            if not is_looked_into:
                self.words += [line] * is_listed
                continue
            name, extras = read_requirement(line, os.path.join(directory, PYPROJECT))
            place, row, holds = self.source(name, line, directory, extra, group)
            is_own = not row and directory in self.own and project_name(self.config.project(directory)) == name
            if is_own:  # a group may name its project
                place, row = directory, {"path": "."}
            if row and holds:
                words = self.translated(name, list(filter(None, extras)), place, row, line)
                if words not in self.placed.setdefault(name, []):
                    self.placed[name].append(words)
                    self.words += words
            elif is_listed and not row:
                self.words.append(line)

    def source(self, name, line, directory, extra="", group=""):
        """The source of a requirement: the directory that it is relative to, its table or None, and if it holds."""
        place, rows = sources_of(self.config, directory).get(name, ("", []))
        wanted = {"extra": normalized(extra), "group": normalized(group)}
        rows = [row for row in rows if all(normalized(row.get(key, wanted[key])) == wanted[key] for key in wanted)]
        marker = line.partition(" ;" if "@" in line else ";")[2].strip()
        if rows and not self.holds(marker, place):
            return place, rows[0], False
        return place, next((row for row in rows if self.holds(row.get("marker", ""), place)), None), True

    def holds(self, marker, place):
        """True if a marker of a requirement or a source holds, or is empty."""
        if not marker:
            return True
        file = os.path.join(place, PYPROJECT)
        if not self.directory:
            raise PrimeError("a source with the marker %s does not hold for dependencies of the config" % marker, file,
                             hint="put them into a dependency group", status=2)
        self.values = self.values or marker_values(interpreter_at(environment_python(self.directory)))
        try:
            return marker_holds(marker, dict(self.values, extra=""))
        except (ValueError, LookupError, RecursionError):
            raise PrimeError("malformed marker: %s" % marker, file, status=2)

    def translated(self, name, extras, place, row, line):
        """The words for a requirement that has a source, as that source says; PrimeError if neither tool has such."""
        path = self.path_in(name, place, row)
        if path and os.path.isdir(path):
            return self.directory_words(name, extras, path, row)
        if "index" in row and is_closed(self.environment):  # then the files at hand are all that there is
            return [line]
        return [direct_requirement(name + in_brackets(extras), self.url_of(name, place, row, path))]

    def path_in(self, name, place, row):
        """The file or directory that a source names; "" if it names none, PrimeError if there is none."""
        file = os.path.join(place, PYPROJECT)
        if "workspace" in row:
            for path in workspace_members(self.config, workspace_of(self.config, place) or place):
                if project_name(self.config.project(path)) == name:
                    return path
            raise PrimeError("tool.uv.sources.%s: the workspace has no member of that name" % name, file, status=2)
        if "path" not in row:
            return ""
        path = os.path.normpath(os.path.join(place, os.path.expanduser(row["path"])))
        if not os.path.exists(path):
            raise PrimeError('tool.uv.sources.%s: there is no "%s"' % (name, row["path"]), file, status=2)
        return os.path.join(path, row.get("subdirectory", "")).rstrip(os.sep) if os.path.isdir(path) else path

    def url_of(self, name, place, row, path):
        """The URL that a source means; PrimeError if pip has no such URLs."""
        if set(row) - SOURCE_KEYS:
            file = os.path.join(place, PYPROJECT)
            raise PrimeError("%s comes from a source that pip does not know: tool.uv.sources.%s = %s" % (
                name, name, shown_value(row)), file, hint='venv_driver = "venv_uv", or prime lock where uv is')
        url = row.get("url", "")
        if path:  # a lock is for other directories, too
            url = file_url(path) if self.directory else path_from(self.root, path)
        if "git" in row:
            url = ("" if row["git"].startswith("git+") else "git+") + row["git"]
            commit = [row[key] for key in ("rev", "tag", "branch") if key in row]
            url += "@" + commit[0] if commit else ""
        return url + ("" if path and os.path.isdir(path) else subdirectory_in(row))

    def directory_words(self, name, extras, path, row):
        """The words for a requirement whose source is a project in a directory, or for what that one requires."""
        document, file = self.config.project(path), os.path.join(path, PYPROJECT)
        declared = table_in(document, file, "project").get("name", "")
        if declared and project_name(document) != name:
            raise PrimeError("%s is the project %s, not %s as tool.uv.sources says" % (path, declared, name), status=2)
        is_installed = row.get("package") is not False and not is_application(document, is_package=True)
        self.wait_for(path, extras, is_installed)
        if not is_installed:
            return []
        if path in self.own:  # and listed as such; pip would still ask an index for "app[x]" beside "-e ."
            return project_words(path, extras, self.own[path], self.root) if extras else []
        if declared:
            return project_words(path, extras, row.get("editable", "workspace" in row), self.root)
        # For the tool to check the name.
        return [direct_requirement(name + in_brackets(extras), self.url_of(name, "", {}, path))]

    def look_into(self, path, extras, is_installed, is_locked):
        """Add what the project in a directory requires, if it is installed itself only what comes from a source.

        Where only a build tells what it requires, its sources become constraints.
        is_locked  True: a lock file says all but what it is built with
        """
        if is_installed and not sources_of(self.config, path):
            return
        document, file = self.config.project(path), os.path.join(path, PYPROJECT)
        if is_installed:
            self.check_build(path)
        if has_computed_requirements(document) and not is_locked:
            self.constrain(path)
        if "project" in document and not is_locked:
            declared = table_in(document, file, "project", "optional-dependencies")  # maybe in other spellings
            requirements = dependencies_of(document, chosen_names(declared, extras), file)
            self.add(requirements, path, is_listed=not is_installed)

    def check_build(self, path):
        """PrimeError if a project is built with something that has a source, for pip asks an index for that."""
        file = os.path.join(path, PYPROJECT)
        for line in build_system(self.environment, path)[0]:
            name = read_requirement(line, file)[0]
            place, row, holds = self.source(name, line, path)
            if row and holds and not ("index" in row and is_closed(self.environment)):
                raise PrimeError("build-system.requires: %s has a source, %s, and pip builds with what an index has" % (
                    name, shown_value(row)), file, hint='venv_driver = "venv_uv"')

    def constrain(self, directory, lines=None):
        """Let what a project may require come from its sources alone.

        lines  list of str, of requirements files: only what they name. An index as a source does not concern them, as
               for uv; None if only a build tells what the project requires
        """
        import re

        names = {normalized(re.match(r"[\w.-]*", line).group()) for line in lines or ()}  # type: ignore[union-attr]
        for name in sources_of(self.config, directory):
            if lines is not None and name not in names:
                continue
            place, row, _ = self.source(name, name, directory)
            if not row or "index" in row and (lines or is_closed(self.environment)):
                continue
            path = self.path_in(name, place, row)
            if path not in self.own:
                self.constraints[name] = direct_requirement(name, self.url_of(name, place, row, path))


def build_system(environment, project):
    """What the pyproject.toml in the directory `project` says of its build, with PEP 517's defaults.

    Returns (list of str: requires, str: build-backend, list of str: backend-path). PrimeError with status 2.
    """
    file = os.path.join(project, PYPROJECT)
    table = table_in(environment.config.project(project), PYPROJECT, "build-system")
    requires, paths = table.get("requires", ["setuptools", "wheel"]), table.get("backend-path", [])
    backend = table.get("build-backend", "setuptools.build_meta:__legacy__")
    for field, value in (("requires", requires), ("backend-path", paths), ("build-backend", [backend])):
        if not is_texts(value):
            raise PrimeError("build-system.%s: %s is not as PEP 517 says" % (field, shown_value(value)), file, status=2)
        for text in value:
            check_text(text, "build-system." + field, file, is_requirement=field == "requires")
    return requires, backend, paths


# --------------------------------------------------------------------------------------------------
# pip
# --------------------------------------------------------------------------------------------------
# The driver `venv_pip`: venv makes the environment, and a pip whose wheel is on this machine fills it.

OLDEST_PIP = (21, 3)  # the first to install an editable project without setup.py (PEP 660)
PIP_SECONDS = 30  # for its start, and to look at what is installed
ISOLATING_PIP = (23,)  # older ones build a setup.py with the setuptools of the environment
NEWER_PIP = "pip>=21.3,<22"  # replaces an older one; the last that runs under python 3.6


def bundled_wheel(interpreter, project="pip"):
    """The wheel of a project in an interpreter's ensurepip, or in its distribution's packages; "" if there is none."""
    directories = [os.path.join(interpreter.stdlib, "ensurepip", "_bundled")]
    if interpreter.stdlib.startswith("/usr/lib"):  # Debian's and Fedora's are made for their own pythons (M17)
        directories.append("/usr/share/python-wheels")
    wheels = [wheel for directory in directories for wheel in newest_first([directory], project + r"-.*\.whl$")]
    return wheels[0] if wheels else ""


def find_pip(python):
    """The pip wheel for an `Interpreter`: its own, else the newest on this machine that runs under it (C9).

    PrimeError if there is none. What does not stand in its own library must work once: pip 23.0 says that it runs
    under every python, and does not under 3.12 (M17).
    """
    own = bundled_wheel(python)
    if is_inside(own, python.stdlib):
        return own
    others = [judge(candidate, ()).interpreter for candidate in candidates(Request())]
    wheels = {bundled_wheel(other) for other in others if other} - {"", own}
    for wheel in [own] * bool(own) + sorted(wheels, key=lambda wheel: Version(pip_version(wheel)).key, reverse=True):
        if runs_under(wheel, python) and works_under(wheel, python):
            return wheel
    raise PrimeError("%s comes without pip" % python, tried=["there is no ensurepip in %s" % python.stdlib],
                     hint='install it (Debian: python3-venv), or set venv_driver = "venv_uv"')


def pip_version(wheel):
    """The version in the file name of a wheel."""
    return os.path.basename(wheel).split("-")[1]


def runs_under(wheel, python):
    """True if the Requires-Python in the metadata of a pip wheel admits an `Interpreter`."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read("pip-%s.dist-info/METADATA" % pip_version(wheel)).decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False
    field, version = "Requires-Python:", Version(python.version)
    specifiers = [line[len(field):] for line in metadata.splitlines() if line.startswith(field)]
    return all(Request(clauses=parse_clauses(each)).failing(version) is None for each in specifiers)


def works_under(wheel, python):
    """True if the pip of a wheel can tell an `Interpreter`'s packages; the user cache keeps the answer.

    Its `--version` proves nothing: pip 23.0 has one under 3.12, too.
    """
    topic = "pip %s %s" % (wheel, signature(wheel))
    problem = recall(python.path, lambda _, answer: answer, topic)
    if problem is None:
        environ = dict(pip_environ(()), PIP_REQUIRE_VIRTUALENV="0")
        child = run_child([python.path, "-I", pip_program(wheel), "freeze", "--all"], environ, timeout=PIP_SECONDS)
        problem = str(child) if child.has_failed else ""
        if not child.problem:  # a machine that was too busy is not remembered
            remember(python.path, [problem], topic)
    if problem:
        report.detail("pip passed over for %s: %s: %s" % (python, wheel, problem))
    return not problem


def pip_program(wheel):
    """Unpack a pip wheel into the user cache, under its hash, and whole (H9). Returns the path that python runs as pip.

    From the wheel itself pip would be compiled at each start, which takes a second. The metadata of the wheel is left
    out, because with it pip would count as installed.
    """
    import zipfile

    use_cache()
    places = cache_dirs("pip", "%s-%s" % (pip_version(wheel), hash_file(wheel)[:16]))
    target = places[0]
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [each for each in archive.infolist() if each.filename.startswith("pip/")]
            target = next((each for each in places if is_unpacked(members, each)), "")
            if not target:
                target = writable_cache("pip", os.path.basename(places[0]))
                with aside_directory(os.path.dirname(target)) as aside:
                    archive.extractall(aside, members)
                    if not is_unpacked(members, target):  # else another process was faster, and runs it by now
                        if os.path.lexists(target):  # a cleaner of temporary files took some of it
                            os.rename(target, os.path.join(aside, "old"))
                        os.rename(aside, target)
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as problem:  # type: ignore[attr-defined]
        if not os.path.isdir(target):  # else another process was faster
            raise PrimeError("cannot unpack %s into %s: %s" % (wheel, target, problem), hint=CACHE_HINT)
    return os.path.join(target, "pip")


def is_unpacked(members, directory):
    """True if a directory is ours and holds these members of a zip archive, a list of ZipInfo, byte for byte."""
    import zlib

    if not is_ours(directory):
        return False
    for member in members:
        content = bytes_of(os.path.join(directory, member.filename))
        if not member.filename.endswith("/") and (content is None or zlib.crc32(content) != member.CRC):
            return False
    return True


def pip_environ(settings=None):
    """The environment variables for a pip that installs into an environment, and nowhere else (E3).

    settings  names of those of the user's settings of pip that count; default: all. What a user wants for packages
              would break a step that installs pip or uv (M7)
    """
    environ = clean_environ(for_tool=True)
    users = pip_settings()
    if settings is not None:
        chosen = {pip_variable(name): value for name, (value, _) in users.items() if name in settings}
        environ = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
        environ.update(chosen, PIP_CONFIG_FILE=os.devnull)
    environ.update(PIP_REQUIRE_VIRTUALENV="1", PIP_USER="0", PIP_DRY_RUN="0", PIP_NO_INPUT="1",
                   PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_QUIET="0", PIP_VERBOSE="1")
    environ.setdefault("PIP_RETRIES", RETRIES)
    environ.update(tool_places(("PIP_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "pip")))
    if "keyring-provider" not in users:  # M8: without input pip asks no keyring by itself
        environ["PIP_KEYRING_PROVIDER"] = "subprocess"
    if "SSL_CERT_FILE" in environ and "REQUESTS_CA_BUNDLE" not in environ and "cert" not in users:  # as uv does
        environ["PIP_CERT"] = environ["SSL_CERT_FILE"]
    if is_offline():
        links = filter(is_local, environ.get("PIP_FIND_LINKS", "").split())
        environ.update(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS=" ".join(links))
    return environ


# Runs the pip in the directory argv[1]. As a module, for a pip that is started as `.../pip` takes itself for pip.exe,
# which on Windows cannot replace itself, and does not install pip (W1, pip issue 1299).
START_PIP = """
import runpy, sys
for stream in sys.stdout, sys.stderr:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
del sys.argv[0]
sys.path.insert(0, sys.argv[0])
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def run_pip(python, program, words, title, environ, root, directory):
    """Run pip as a step; PrimeError if it fails.

    python, program  str, paths of the interpreter and of pip, a directory
    words            list of str, pip's command and its arguments
    environ, root    dict and str, the environment variables and the working directory
    directory        str, where files may stand meanwhile
    """
    code, aside = START_PIP, os.path.join(directory, "offline")
    if is_offline():
        code = OFFLINE + code
        environ = dict(environ, PIP_RETRIES="0", GIT_ALLOW_PROTOCOL="file", PYTHONPATH=aside)
        write_atomic(os.path.join(aside, "sitecustomize.py"), OFFLINE.encode())  # for the pip that pip starts
    try:  # with PIP_VERBOSE: each build's output as it comes, and what the index answered to pip and the pips it starts
        run_tool([python, "-I", "-c", code, os.path.dirname(program)] + words + ["-v"], title, environ, root)
    finally:
        tend(remove, aside)


# What a script's [tool.uv] may say that pip can do, too: its option, and what stands behind it for each value.
PIP_SETTINGS = {"no-index": ("--no-index", "%.0s"), "no-build": ("--only-binary=:all:", "%.0s"),
                "no-binary": ("--no-binary=:all:", "%.0s"), "no-build-package": ("--only-binary=", "%s"),
                "no-binary-package": ("--no-binary=", "%s"), "index-url": ("--index-url=", "%s"),
                "find-links": ("--find-links=", "%s")}
# What does not change which packages are installed.
UV_ONLY_SETTINGS = {"required-version", "cache-dir", "cache-keys", "compile-bytecode", "concurrent-builds",
                    "concurrent-downloads", "concurrent-installs", "link-mode", "native-tls", "system-certs", "preview",
                    "python-preference", "python-downloads", "keyring-provider", "reinstall", "reinstall-package"}


# What uv alone knows of its settings that choose packages, but for those of `UV_INDEX_KEYS`.
UV_CHOICES = set("""build-constraint-dependencies constraint-dependencies dependency-metadata exclude-dependencies
exclude-newer exclude-newer-package extra-build-dependencies index-strategy no-binary no-binary-package no-build
no-build-isolation no-build-isolation-package no-build-package override-dependencies prerelease resolution""".split())


def unknown_to_pip(environment):
    """The keys of the repo's [tool.uv] that choose packages for uv, and for pip do not: a sorted list."""
    return sorted({key for table in uv_tables(environment) for key in (UV_CHOICES | UV_INDEX_KEYS) & set(table)
                   if table[key] and counts_for_uv(table[key])})


class PipDriver(Driver):
    """Makes environments with `venv`, fills them with `pip`."""

    name = "venv_pip"

    def __init__(self, reader=None):
        self.wheel = self.program = ""
        self.reader = reader

    def deploy(self, python):
        """Find a pip for `python`, an `Interpreter`. PrimeError if there is none."""
        self.wheel = find_pip(python)
        self.program = pip_program(self.wheel)

    def create(self, python, directory, prompt):
        """Make an environment of `python` with pip in it, which is seconds faster than by ensurepip."""
        # Not through a link: venv takes the link's directory for that of the base, which may have no library.
        base = os.path.realpath(python.path)
        run_tool([base, "-I", "-m", "venv", "--without-pip", "--prompt=" + prompt, directory],
                 "creating the environment with venv (python %s)" % python.version)
        wheels = [self.wheel]
        if Version(pip_version(self.wheel)).release < ISOLATING_PIP:  # `venv` adds both
            wheels += filter(None, [bundled_wheel(python, "setuptools")])
        words = ["--no-index", "--no-deps", "--only-binary=:all:"]
        for wheel in wheels:  # by name, as ensurepip does, for pip records what is asked for by path (R18)
            words += ["--find-links", os.path.dirname(wheel), "==".join(os.path.basename(wheel).split("-")[:2])]
        self._pip(directory, words, "adding pip", environ=pip_environ(()))  # as ensurepip (M7)

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `pip install` takes them, into `directory`."""
        self._renew(directory, options, root)
        self._pip(directory, list(options) + list(requirements), "installing with pip", root)

    def _renew(self, directory, options, root):
        """Replace a pip that is too old for editable projects."""
        version = pip_version(self.wheel)
        if Version(version).release < OLDEST_PIP and os.path.dirname(self.program) != site_packages(directory):
            title = "replacing pip %s by %s" % (version, NEWER_PIP)
            words = ["--upgrade", NEWER_PIP] + list(options)
            self._pip(directory, words, title, root, environ=pip_environ(REACH))
            self.program = os.path.join(site_packages(directory), "pip")

    def _pip(self, directory, arguments, title, root=os.sep, command=("install", "--no-compile"), environ=None):
        guard(directory)
        # Not compiled now, as by uv: each module is when it is first imported.
        words = list(command) + arguments
        run_pip(environment_python(directory), self.program, words, title, environ or pip_environ(), root, directory)

    def install_lock(self, environment, directory, lock):
        """Install what a pylock.toml pins. Its files are fetched first, by their hashes, because pip knows no sizes."""
        options, root = index_options(environment), environment.root
        self._renew(directory, options, root)
        contents = read_lock(environment, lock)
        aside = os.path.join(directory, "lock")
        pins, links = contents.write(aside, is_closed(environment))
        files = os.path.join(aside, "files")
        os.makedirs(files)
        if contents.pins:
            title = "fetching what %s names with pip" % os.path.basename(environment["lock_file"])
            self._pip(directory, pins + ["--dest", files] + options + links, title, root, ("download", "--no-deps"))
        contents.check_sizes(files)
        self._install_files(contents, directory, files, options, root)
        loose = contents.unpinned_words(directory)
        if loose:
            self._pip(directory, ["--no-deps"] + options + loose, "installing with pip", root)
        tend(remove, aside)

    def _install_files(self, contents, directory, files, options, root):
        """Install the pins of a `Lock` whose files are in the directory `files`, by name and version.

        By path, pip would record that path as what was asked for (R18). Only what is to be built needs an index.
        """
        sources = {name for name in os.listdir(files) if not name.endswith(".whl")}
        built = [line for line, names in contents.pins.items() if sources & set(names)]
        ready = [line for line in contents.pins if line not in built]
        for title, lines, places in (("ready", ready, ["--no-index"]), ("built", built, options)):
            pins = pin_options(files + "." + title, lines)
            words = ["--no-deps", "--find-links", file_url(files)] + places + pins
            if lines:
                self._pip(directory, words, "installing with pip", root)

    def check_lock(self, environment):
        """Refuse what a script asks of uv alone. Without a lock say which servers pip takes the best version from."""
        settings = script_settings(environment)
        refused = sorted(set(settings) - set(PIP_SETTINGS) - UV_ONLY_SETTINGS - {"sources"})
        if refused:  # R2
            raise PrimeError("pip cannot do what the script says: [tool.uv] %s" % ", ".join(refused), SCRIPT_METADATA,
                             hint='venv_driver = "venv_uv" does, and so does a lock of uv lock --script', status=2)
        left = sorted(set(settings) & UV_ONLY_SETTINGS)
        if left:
            report.note("the script's [tool.uv] %s mean%s nothing to pip" % (", ".join(left), "s"[len(left) > 1:]))
        if environment["lock_file"]:
            return
        left = unknown_to_pip(environment)
        if left and not settings:
            report.note('[tool.uv] %s mean%s nothing to pip: venv_driver = "venv_uv" heeds that, and so does a lock' % (
                ", ".join(left), "s"[len(left) > 1:]))
        sources = package_sources(environment, for_pip=not settings)
        if len(sources) > 1:  # H6
            report.note("without a lock pip takes the best version that any of these has, where uv takes the first of "
                        "them that has the package: %s" % ", ".join(sources))

    def requirements(self, environment, lock="", directory=""):
        """All with the sources of uv's translated, and what else of a script's [tool.uv] pip can do."""
        wanted = Requirements(environment, directory).add_all(lock)
        if not lock:
            for key, value in script_settings(environment).items():
                if key in PIP_SETTINGS:
                    option, form = PIP_SETTINGS[key]
                    values = value if isinstance(value, list) else [value]
                    wanted.words += [option + form % each for each in values if each]
        return wanted

    def parts(self, environment, requirements):
        """Install files with hashes first: pip takes no requirement without a hash beside them."""
        files = with_includes(environment, environment["requirements_files"]) if "-r" in requirements else []
        if not any("--hash=" in line for path in files for line in requirement_lines(path)):
            return [requirements]
        start = requirements.index("-r")
        end = start + 2 * requirements.count("-r")
        return [requirements[start:end], requirements[:start] + requirements[end:]]


# --------------------------------------------------------------------------------------------------
# uv
# --------------------------------------------------------------------------------------------------
# The driver `venv_uv`: a uv on this machine, or one that is fetched into the user's cache, does everything.

UV_SECONDS = 10
# The least uv for each use, as measured with its releases: an older one counts as absent (M16).
LEAST_UV = {
    "an environment": "0.4.4",  # uv venv --no-project
    "uv.lock": "0.5.31",  # uv sync --no-default-groups
    "a script's [tool.uv]": "0.6.0",  # uv sync --script --active
    "groups of a project with sources": "0.6.9",  # uv pip install --group FILE:NAME
    "pylock.toml": "0.6.15",  # to write one, too, which is how pip and vendored files get what a uv.lock holds
}
# Where Homebrew and others put it, which is not on the PATH of a program that macOS started from its desktop (M19).
UV_PLACES = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin", "/opt/local/bin")

def has_certificates():
    """True if the system has certificates that it trusts; always true where that is not Linux."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.path.isfile(path) or os.path.isdir(path) and os.listdir(path) for path in CERTIFICATES)


def uv_environ(root="", has_lock=False):
    """The environment variables for uv, with the settings of pip's that uv lacks (M9).

    root      str, the ref root, if uv works there: it looks for settings in the directories above, too
    has_lock  whether it works with a uv.lock, which names its places, and would count as old with others
    """
    environ = clean_environ(for_tool=True)
    environ.update(settings_for_uv(root, has_lock or not root))
    if root and "UV_CONFIG_FILE" not in environ and has_foreign_settings(root):
        own = os.path.abspath(users_uv_file())
        environ.update({"UV_CONFIG_FILE": own} if os.path.isfile(own) else {"UV_NO_CONFIG": "1"})
    environ.setdefault("UV_PYTHON_INSTALL_BIN", "0")
    environ.setdefault("UV_HTTP_RETRIES", RETRIES)
    environ.update(tool_places(("UV_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "uv"),
                               ("UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME", ".local/share", "uv/python")))
    environ.pop("PIP_PROXY", None)  # it asks no proxy that only pip knows
    if is_offline():
        environ.update(UV_OFFLINE="1", UV_NO_CACHE="1")  # another machine has not what this one's cache holds
    elif not os.path.isfile(environ.get("SSL_CERT_FILE", "")) and has_certificates():  # else uv uses its own
        environ.setdefault("UV_SYSTEM_CERTS", "1")  # reading these takes it some ms
        environ.setdefault("UV_NATIVE_TLS", "1")
    return environ


def has_foreign_settings(root):
    """True if uv would take its settings from a directory above the repo where another user put them (H12)."""
    for directory in ancestors(root):
        for name in ("uv.toml", PYPROJECT):
            path = os.path.join(directory, name)
            if name == PYPROJECT and not has_bytes(path, b"tool.uv") or not os.path.exists(path):
                continue
            hint = "a uv.toml of the repo's own goes before it"
            return directory != root and is_left_aside(path, root, hint)
    return False


def find_uv(wanted, hashes, use, passed=None):
    """Find a uv on PATH, where its installers put it, or in the user cache. Returns its path, "" if there is none.

    wanted  `Request` for its version
    hashes  list of str, SHA-256 of wheels: if there are any, only a uv that was fetched by one of them counts
    use     str, a key of `LEAST_UV`
    passed  a list, which gets a str for each uv that cannot be used: which one, and why
    """
    paths = []  # type: list
    if not hashes:
        search = os.environ.get("PATH", os.defpath).split(os.pathsep)
        paths += [os.path.join(directory, "uv" + EXE) for directory in search if directory]
        # With `sudo -E` the home directory is another user's, whose programs are not to be run (H8).
        homes = [os.path.join(home_dir(), name, "bin", "uv" + EXE) for name in (".local", ".cargo")]
        paths += [path for path in homes if is_ours(os.path.realpath(path))]
        paths += [os.path.join(directory, "uv") for directory in UV_PLACES if not WINDOWS]
    use_cache()
    ending = "-(%s)" % "|".join(sha256[:16].lower() for sha256 in hashes) if hashes else ""
    cached = filter(is_ours, newest_first(cache_dirs("uv"), r"uv-\d[^-]*%s%s$" % (ending, EXE)))
    # One that was fetched by the hash of its wheel must still be what was in that wheel (H8).
    paths += [path for path in cached if not hashes or bytes_of(path + ".sha256") == hash_file(path).encode()]
    for path in paths:
        if not os.path.isfile(path) or not os.access(path, os.X_OK):
            continue
        version = uv_version(path)
        is_old = version and version.key < Version(LEAST_UV[use]).key
        if version and not is_old and wanted.failing(version) is None:
            report.detail("uv %s: %s" % (version, path))
            return path
        reason = "%s takes %s" % (use, LEAST_UV[use]) if is_old else version and "uv_version is %s" % wanted
        problem = "%s, version %s%s" % (path, version, reason and ": " + reason or "")
        report.detail("uv passed over: " + problem)
        if passed is not None:
            passed.append(problem)
    return ""


def too_old(use, what):
    """The error for a uv that is too old for a use, a key of `LEAST_UV`; what: str, which one it is, and why (M16)."""
    return PrimeError("%s, and %s takes %s at least" % (what, use, LEAST_UV[use]),
                      hint="choose a newer one, or venv_driver = \"venv_pip\"")


def check_uv_version(wanted, use):
    """PrimeError if no uv that the config wants, a `Request`, is new enough for a use, a key of `LEAST_UV` (M16)."""
    least = Version(LEAST_UV[use])
    for clause in wanted.clauses:
        is_limit = clause.version and clause.operator in ("==", "===", "~=", "<", "<=")
        if is_limit and clause.version.key <= least.key and not clause.contains(least):
            raise too_old(use, "uv_version is %s" % wanted)


def uv_version(path):
    """The `Version` that a uv reports; None if it does not run."""
    cached = recall(path, lambda _, text: Version(text))
    if cached:
        return cached
    child = run_child([path, "--version"], uv_environ(), timeout=UV_SECONDS)
    words = child.text.split() + ["", ""]
    if child.has_failed or words[0] != "uv":
        return None
    try:
        version = Version(words[1])
    except PrimeError:
        return None
    if not is_script(path):
        remember(path, [version.text])
    return version


def fetch_uv(wanted, options, hashes=(), use="an environment"):
    """Fetch a uv from the package index into the user cache, once per machine. Returns its path.

    wanted   `Request` for its version
    options  list of str, the index settings
    hashes   list of str, the SHA-256 that its wheel may have; any if empty
    use      str, a key of `LEAST_UV`
    The pip of any python from 3.8 on fetches it; without such a pip it comes from the index directly.
    """
    if is_offline() and "--find-links" not in options:
        raise PrimeError("there is no uv on this machine, and none can be fetched offline",
                         hint='venv_driver = "venv_pip" does without' if use == "an environment" else "")
    requirement = "uv" + ",".join(clause.text for clause in wanted.clauses)
    with locked(writable_cache("uv", "lock"), "fetching uv"):
        path = find_uv(wanted, hashes, use)  # another process may have been faster
        if path:
            return path
        try:
            with aside_directory(cache_dir("uv")) as aside:
                wheel = fetch_uv_by_pip(requirement, aside, options)
                return keep_uv(wheel or fetch_uv_itself(wanted, aside, options, hashes), hashes, use)
        except OSError as problem:
            raise PrimeError("cannot keep uv in %s: %s" % (cache_dir("uv"), problem.strerror), hint=CACHE_HINT)


def keep_uv(wheel, hashes, use):
    """Take uv out of the wheel that was fetched, and move it into the user cache. Returns its path.

    hashes, use  as for `fetch_uv`
    """
    name, sha256 = os.path.basename(wheel), hash_file(wheel)
    if hashes and sha256 not in map(str.lower, hashes):
        raise Mismatch("%s is not what uv_sha256 says" % name, tried=["sha256 is " + sha256])
    program = os.path.join(os.path.dirname(wheel), "uv" + EXE)
    with open(wheel, "rb") as file:
        content = file_in_wheel(file, ".data/scripts/uv" + EXE, "%s is no wheel of uv" % name)
    with open(program, "wb") as file:
        file.write(content)
    tend(os.chmod, program, 0o755)
    version = uv_version(program)
    if version is None:
        raise PrimeError("the uv that was fetched does not run here")
    if version.key < Version(LEAST_UV[use]).key:
        raise too_old(use, "the uv that was fetched is %s" % version)
    path = cache_dir("uv", "uv-%s%s%s" % (version, "-" + sha256[:16] if hashes else "", EXE))
    if hashes:
        write_atomic(path + ".sha256", hash_file(program).encode())
    put_in_place(program, path)
    return path


def fetch_uv_by_pip(requirement, directory, options):
    """Fetch the wheel of a uv into a directory with a pip of this machine. Returns its path.

    "" if there is no python that can install uv, or no pip.
    """
    python = search_python(">=%d.%d" % OLDEST_UV_PYTHON)
    if not python:
        return ""
    try:
        pip_wheel = find_pip(python)
    except PrimeError as problem:
        report.detail("no pip to fetch uv with: %s" % problem)
        return ""
    pip = pip_program(pip_wheel)
    files = os.path.join(directory, "files")
    environ = dict(pip_environ(REACH), PIP_REQUIRE_VIRTUALENV="0")
    for index in users_indexes()[:1]:  # pip's own setting goes before it
        environ.setdefault("PIP_INDEX_URL", index)
    words = ["download", "--no-deps", "--only-binary=:all:", "--dest", files] + options + [requirement]
    os.makedirs(directory, exist_ok=True)
    run_pip(python.path, pip, words, "fetching %s" % requirement, environ, os.sep, directory)
    return os.path.join(files, os.listdir(files)[0])


def fetch_uv_itself(wanted, directory, options, hashes):
    """Fetch the wheel of a uv without pip, from a local directory or from the index. Arguments as for `fetch_uv`."""
    report.step("fetching uv from the index")
    links = local_links(options)
    index = chosen_index(options[options.index("--index-url") + 1] if "--index-url" in options else "")
    trust = "hash" if hashes else "loopback"  # H7
    if index and "--no-index" not in options:
        links += index_links(index, "uv", trust)
    fitting = []
    for link in links:
        version = wheel_version(link[0], "uv")
        if version and fits(link[0], [this_platform()]) and wanted.failing(version) is None:
            fitting += [] if version.is_prerelease else [(version, link)]
    report.done()
    if not fitting:
        raise PrimeError("there is no uv for %s" % this_platform(),
                         tried=["none of %d files fits" % len(links)], hint="put a uv on PATH")
    name, url, sha256, size = max(fitting, key=lambda pair: pair[0].key)[1]
    wheel = os.path.join(directory, name)
    download(url, wheel, sha256, size, trust_in(index, trust))
    return wheel


def local_links(options):
    """The files in the local directories of wheels, as rows of `index_links`.

    options  list of str, the index settings; pip's and uv's variables are read as well
    """
    settings = pip_setting("find-links") + " " + os.environ.get("UV_FIND_LINKS", "").replace(",", " ")
    links = []
    for directory in map(local_path, filter(is_local, places_of(options) + settings.split())):
        for name in names_if_there(directory):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not why_no_file_name(name):
                links.append((name, file_url(path), "", 0))
    return links


RESOLVING = {"constraint-dependencies", "override-dependencies", "exclude-dependencies"}  # keys of [tool.uv]
PIP_TABLE_CHOICES = {"no-deps", "python-platform", "python-version"}  # keys of [tool.uv.pip]


class UvDriver(Driver):
    """Makes and fills environments with `uv`, which also resolves, and installs pythons."""

    name = "venv_uv"

    def __init__(self, version="", options=(), hashes=(), use="an environment"):
        self.wanted, self.options, self.hashes = parse_uv_version(version), list(options), list(hashes)
        self.uv, self.reader, self.use = "", self, use

    def check_lock(self, environment):
        """Accept any lock file. Without one say which settings of `uv pip` change what is installed."""
        tables = [table_in(table, PYPROJECT, "pip") for table in uv_tables(environment)]
        keys = sorted({key for table in tables for key in PIP_TABLE_CHOICES & set(table) if table[key]})
        if keys and not environment["lock_file"]:
            report.note("[tool.uv.pip] %s counts here, as for uv pip install; uv sync passes over that" %
                        ", ".join(keys))

    def _run(self, words, title, root=os.sep, **variables):
        """Run uv in the directory `root` as a step that people see; PrimeError if it fails."""
        environ = uv_environ(root, has_lock=words[0] != "pip" and words[:2] != ["sync", "--script"])
        run_tool([self.uv] + words, title, dict(environ, **variables), root)

    def deploy(self, python=None):
        """Find a uv on this machine that fulfils the config, else fetch it. PrimeError if neither works."""
        check_uv_version(self.wanted, self.use)
        self.uv = self.uv or find_uv(self.wanted, self.hashes, self.use) or fetch_uv(
            self.wanted, self.options, self.hashes, self.use)

    def provide(self, request, directory=""):
        """Download a python: among uv's own, where the search finds it then, or into `directory`."""
        variables = {"UV_PYTHON_INSTALL_DIR": directory} if directory else {}
        title = "fetching python %s" if directory else "installing python %s with uv"
        self._run(["python", "install", request], title % request, **variables)

    def create(self, python, directory, prompt):
        """Make an empty environment of `python`, which is named by its absolute path: uv stops at a broken
        python on PATH, and reads a directory called v310 as a version."""
        words = ["venv", "--no-project", "--python", python.path, "--prompt=" + prompt, directory]
        self._run(words, "creating the environment with uv (python %s)" % python.version)

    def install(self, requirements, directory, options=(), root=os.sep):
        """Install `requirements` with `options`, both as `uv pip install` takes them, into `directory`."""
        guard(directory)
        words = ["pip", "install", "--python", environment_python(directory)]
        if self.is_anew and not is_offline():
            words.append("--refresh")
        self._run(words + list(options) + list(requirements), "installing with uv", root)

    def install_script(self, environment, directory):
        """Let uv install a script's requirements as it would itself, if the script has a [tool.uv] (R2).

        `uv pip install -r` reads no [tool.uv] of a script, and with UV_CONFIG_FILE none at all.
        """
        settings, path = script_settings(environment), os.path.join(directory, "script.py")
        if not settings:
            return False
        guard(directory)
        lines = ["dependencies = " + as_toml(environment["dependencies"]), "[tool]", "uv = " + as_toml(settings)]
        write_atomic(path, ("# /// script\n%s# ///\n" % "".join("# %s\n" % line for line in lines)).encode())
        words = ["sync", "--script", path, "--active"] + ["--refresh"] * (self.is_anew and not is_offline())
        self._run(words + index_options(environment), "installing with uv", environment.root, VIRTUAL_ENV=directory)
        tend(remove, path)
        return True

    def export_script(self, script, target):
        """Write what the lock beside a script pins as a pylock.toml (R2)."""
        self.deploy()
        aside = os.path.join(os.path.dirname(target), "pylock.aside.toml")
        words = ["export", "--script", script, "--locked", "--format", "pylock.toml", "--no-header", "--quiet"]
        try:
            title = "reading the .lock of the script with uv"
            self._run(words + ["--output-file", aside], title, os.path.dirname(target))
        except PrimeError as problem:
            if any("needs to be updated" in line for line in problem.tried):  # R15
                raise PrimeError("%s.lock was made for other requirements than there are now" % script,
                                 hint="%s renews it" % shown(["uv", "lock", "--script", script]))
            raise
        put_in_place(aside, target)

    def install_lock(self, environment, directory, lock):
        """Install what uv.lock or pylock.toml pins; from local files alone the latter by its hashes."""
        guard(directory)
        root = environment.root
        python = ["--python", environment_python(directory)]
        title = "installing from %s with uv" % os.path.basename(environment["lock_file"])
        if lock.endswith("uv.lock"):
            self._run_locked(["sync"], python[1], title, environment, UV_PROJECT_ENVIRONMENT=directory)
            return
        aside = os.path.join(directory, "lock")
        contents = read_lock(environment, lock)
        options = python + index_options(environment)
        contents.check_sizes(*places_of(options))  # uv checks those of downloads alone
        if is_closed(environment):
            words = ["pip", "install", "--no-deps"] + options
            pins, links = contents.write(aside, is_closed=True)
            loose = contents.unpinned_words(directory)
            if loose:  # apart, because beside hashes uv takes nothing without
                self._run(words + loose, title, root)
            is_bound = any(RESOLVING & set(table) for table in uv_tables(environment))
            self._run(words + links + pins, title, os.sep if is_bound else root)  # nor such settings
        else:
            words = ["pip", "sync", "--allow-empty-requirements"] + options + [lock]
            words += ["--extra=" + name for name in contents.extras] + contents.group_options
            self._run(words, title, root)
        tend(remove, aside)

    def requirements(self, environment, lock="", directory=""):
        """Groups and applications with sources go to uv by its own words, so that it applies all that it knows.

        Not from local files alone: for a source that is an index uv would not look into these.
        """
        wanted = Requirements(environment, directory)
        if lock.endswith("uv.lock") and not is_closed(environment):  # `uv sync` installs the projects, too
            return wanted
        paths = [environment.root] + [project["path"] for project in environment["projects"]]
        tables = [row for path in paths for _, rows in sources_of(environment.config, path).values() for row in rows]
        if directory and is_closed(environment) and not lock and any("index" in row for row in tables):
            wanted.add_all()
            wanted.words.append("--no-sources")
            return wanted
        wanted.add_loose(lock)
        for project in environment["projects"]:
            path = project["path"]
            if not lock and sources_of(environment.config, path):
                self._add_sourced(wanted, project, os.path.join(path_from(environment.root, path), PYPROJECT))
            elif not lock:
                wanted.words += [line for line, _, _ in project["requirements"]]
            if project["installable"]:
                extras = dict.fromkeys(project["extras"] + own_extras(environment, project))
                wanted.words += project_words(path, list(extras), project["editable"], environment.root)
        return wanted

    def _add_sourced(self, wanted, project, file):
        """Add the groups of a project with sources, and what an application requires; `file` is its pyproject.toml."""
        document, path = wanted.config.project(project["path"]), project["path"]
        lines = {line for line, _, group in project["requirements"] if group}
        if not project["installable"] and any(set(expand_group(groups_of(document), group, file)) - lines
                                              for group in project["groups"]):  # one names the application itself
            wanted.add(project["requirements"], path)
            return
        wanted.words += [word for group in project["groups"] for word in ("--group", file + ":" + group)]
        has_table = "project" in document
        if project["installable"] and not has_table:  # uv knows sources of a [project] alone
            wanted.constrain(path)
        if project["installable"] or not has_table:
            return
        wanted.words += ["-r", file]
        if len(wanted.environment["projects"]) == 1:
            wanted.words += ["--extra=" + extra for extra in project["extras"]]
        else:  # to uv an extra is one of all files
            wanted.add([row for row in project["requirements"] if row[1]], path)

    def renew(self, environment, python, is_upgrade):
        """Let `uv lock` renew the uv.lock of an environment; with `is_upgrade` it ignores the versions so far."""
        words = ["lock", "--python", python.path] + ["--upgrade"] * is_upgrade
        self._run(words, "renewing uv.lock with uv", environment.root)

    def export(self, environment, target, python):
        """Write what uv.lock holds for an environment as a pylock.toml, without the environment's projects.

        python  str, path of the interpreter that uv uses for it
        """
        words = ["export", "--format", "pylock.toml", "--no-header", "--quiet", "--output-file", target]
        for project in environment["projects"]:
            table = environment.config.project(project["path"]).get("project", {})
            if "name" in table:
                words.append("--no-emit-package=" + check_text(table["name"], "project.name", project["path"]))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        self._run_locked(words, python, "reading uv.lock with uv", environment)

    def _run_locked(self, words, python, title, environment, **variables):
        """Run uv, with the path of a python, for an environment's part of its uv.lock; PrimeError if that is old."""
        options = ["--python", python, self._how_locked(environment, python)] + uv_lock_options(environment)
        try:
            self._run(words + options, title, environment.root, **variables)
        except PrimeError as problem:
            marks = ["needs to be updated"] + ["when resolving dependencies"] * is_closed(environment)
            if any(mark in line for mark in marks for line in problem.tried):  # a lock that fits needs no resolving
                raise self._out_of_date(environment)
            raise

    def _how_locked(self, environment, python):
        """The option for a uv.lock: "--locked" lets uv refuse one that is out of date.

        If nothing but the versions of the repo's own projects is old, which pins nothing, it is "--frozen" (R15). What
        else is old uv tells of a uv.lock with the new versions, in a directory of links.
        """
        path = environment.path(environment["lock_file"])
        root = os.path.dirname(path)
        text, changes = with_own_versions(environment, path)
        if not changes:
            return "--locked"
        with aside_directory(state_dir(environment.root)) as aside:
            try:
                places = [os.path.relpath(place, root) for _, place, _ in parts_of_uv_lock(path)[1] if place]
                copy = link_tree(root, aside, max(place.split(os.sep).count(os.pardir) for place in places))
            except (OSError, ValueError) as problem:  # ValueError: another drive
                report.detail("cannot tell what is old in %s: %s" % (path, problem))
                return "--locked"
            write_atomic(os.path.join(copy, "uv.lock"), text.encode())
            argv = [self.uv, "lock", "--locked", "--python", python]
            if run_child(argv, uv_environ(environment.root), copy, log=report.output).has_failed:
                raise self._out_of_date(environment)
        report.note("only the repo's own versions are old in %s (%s): it is used; %s" % (
            environment["lock_file"], ", ".join(changes), report.as_typed("prime lock renews it")))
        return "--frozen"

    def _out_of_date(self, environment):
        """What is raised if a uv.lock does not hold what the projects require now."""
        return PrimeError("%s was made for other requirements than there are now" % environment["lock_file"],
                          hint="prime lock renews it")

    def resolve(self, requirements, target, python, options, root, oldest=""):
        """Resolve `requirements`, lines of a requirements file, into a pylock.toml for every platform.

        target  str, its path: what it pins already stays, if possible
        oldest  str, the oldest version of python; "" for that of `python`
        """
        for line in requirements:
            if has_control(line) or line.endswith("\\"):  # H15
                raise PrimeError('"%s" is no line of a requirements file' % one_line(line), status=2)
        words = ["pip", "compile", "--universal", "--generate-hashes", "--format", "pylock.toml", "--quiet"]
        words += ["--no-header", "--python", python.path, "--output-file", target]
        words += ["--refresh"] * (self.is_anew and not is_offline())
        if oldest:
            words += ["--python-version", oldest]
        aside = target + ".in"
        try:
            write_atomic(aside, "".join(line + "\n" for line in requirements).encode())
            title = "resolving with uv%s" % (oldest and " for python %s and later" % oldest)
            self._run(words + list(options) + [aside], title, root)
        finally:
            tend(remove, aside)


# --------------------------------------------------------------------------------------------------
# Making environments
# --------------------------------------------------------------------------------------------------
# Chooses one of the two drivers, and makes an empty environment with it.

SOURCES_HINT = 'prime lock, where uv is, settles what comes from where; venv_driver = "venv_pip" takes the best of all'


def choose_driver(wanted="auto", version="", options=(), hashes=(), sources=(), use="an environment"):
    """The driver that a config names; for "auto" uv if it can be found or fetched, else pip with a notice.

    wanted   str, one of `DRIVERS`
    version  str, the version of uv: specifiers
    options  list of str, the index settings, from where uv may be fetched
    hashes   list of str, the SHA-256 that the wheel of uv may have; any if empty
    sources  list of str, the servers that packages may come from if no lock says which. With several of them pip does
             not stand in for uv: somebody who keeps uv from us could then choose the packages (H6)
    use      str, a key of `LEAST_UV`
    """
    if wanted not in DRIVERS:
        raise PrimeError("%s is not one of %s" % (wanted, ", ".join(DRIVERS)), status=2)
    if wanted == "venv_pip":
        return PipDriver()
    driver = UvDriver(version, options, hashes, use)
    try:
        driver.deploy()
    except PrimeError as problem:
        if wanted == "venv_uv" or isinstance(problem, Mismatch):
            raise
        if len(sources) > 1:
            servers = "packages may come from %s" % ", ".join(sources)
            raise PrimeError("uv cannot be had, and with several indexes pip does not stand in for it: %s" % problem,
                             tried=[servers] + problem.tried, hint=SOURCES_HINT)
        report.note("going on with pip, for uv cannot be had: %s" % problem)
        return PipDriver()
    return driver


def use_of_uv(environment, wanted):
    """What an environment needs a uv for, a key of `LEAST_UV`; wanted: one of `DRIVERS`."""
    lock = environment["lock_file"]
    if lock:
        is_synced = lock.endswith("uv.lock") and wanted != "venv_pip" and not is_closed(environment)
        return "uv.lock" if is_synced else "pylock.toml"
    if script_settings(environment):
        return "a script's [tool.uv]"
    for project in environment["projects"]:
        if project["groups"] and sources_of(environment.config, project["path"]):
            return "groups of a project with sources"
    return "an environment"


def driver_of(environment, wanted, use=""):
    """`choose_driver` with the settings of an environment; wanted: one of `DRIVERS`.

    use  str, a key of `LEAST_UV`; default: what the environment needs a uv for
    For a uv.lock pip needs a uv, too (R16). PrimeError if none can be had, with "auto" as well.
    """
    lock = environment["lock_file"]
    settings = environment["uv_version"], index_options(environment), environment["uv_sha256"]
    use = use or use_of_uv(environment, wanted)
    if wanted == "venv_uv" or not lock.endswith("uv.lock"):
        sources = package_sources(environment) if wanted == "auto" and not lock else []
        return choose_driver(wanted, *settings, sources, use=use)
    try:
        uv = choose_driver("venv_uv", *settings, use=use)
    except Mismatch:
        raise
    except PrimeError as problem:
        other = "pylock.toml" if environment.has("pylock.toml") else ""
        raise PrimeError("%s is read by uv alone, and uv cannot be had: %s" % (lock, problem), tried=problem.tried,
                         hint='lock_file = "%s" in the config does without' % other)
    return uv if wanted == "auto" else PipDriver(reader=uv)


def lock_to_install(environment, driver, directory):
    """The path of the lock file that a driver installs from into `directory`; "" if there is none.

    A uv.lock becomes a pylock.toml in there, unless `uv sync` installs from it, which nothing tells of local files.
    """
    lock = environment["lock_file"] and environment.path(environment["lock_file"])
    if not lock.endswith("uv.lock") or driver.reader is driver and not is_closed(environment):
        return lock
    target = os.path.join(directory, "lock", "pylock.toml")
    python = environment_python(directory)
    driver.reader.export(environment, target, python)
    read_lock(environment, target).check(interpreter_at(python))
    return target


def create_venv_by_uv(python, directory, prompt=""):
    """`create_venv` with uv."""
    return create_venv(python, directory, "venv_uv", prompt)


def create_venv_by_pip(python, directory, prompt=""):
    """`create_venv` with venv and pip."""
    return create_venv(python, directory, "venv_pip", prompt)


def create_venv(python, directory, driver="auto", prompt=""):
    """Make an environment without any package of the repo: create_venv("python3.12", "/tmp/env").

    python     str or `Interpreter`: its base, whose version is the environment's
    directory  str, path where nothing is yet; if a tool fails, what it made stays there
    driver     str, one of `DRIVERS` ("auto" may fetch uv), or a `Driver`
    prompt     str, its name in a shell's prompt; default: that of the directory
    Returns the path of the environment's python. PrimeError if a tool fails.
    """
    if not isinstance(python, Interpreter):
        python = interpreter_at(find_program(python) or python)
    if isinstance(driver, str):
        driver = choose_driver(driver)
    directory = os.path.abspath(directory)  # tools run elsewhere
    if os.path.lexists(directory) and (not os.path.isdir(directory) or entries_of(directory)):
        raise PrimeError("%s is there already" % directory)
    driver.deploy(python)
    driver.create(python, directory, prompt or os.path.basename(directory))
    mend_launchers(directory)
    return environment_python(directory)


def sh_quote(text):
    """A text in single quotes, as each sh reads it: a quote in it stands between double ones."""
    return "'%s'" % text.replace("'", "'\"'\"'")


def csh_quote(text):
    """A text as csh reads it: as for sh, but "!" and a line end need a backslash even there."""
    return sh_quote(text).replace("!", "\\!").replace("\n", "\\\n")


def fish_quote(text):
    """A text in single quotes, as fish reads it."""
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def nu_quote(text):
    """A text in double quotes, as nushell reads it: in single ones nothing can be escaped."""
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# What names the directory in the activation scripts that venv and uv write: how their shell quotes, a pattern in which
# DIR is that directory, and what takes its place: `link` if it leads `here` as the script is read, else `here`. So
# post_boot, and who names an environment that has no link, get the generation itself. The last three go by the path of
# the script, like the rest of venv's Activate.ps1 (which is signed) and uv's activate_this.py.
ACTIVATORS = {
    "activate": (sh_quote, r"(VIRTUAL_ENV=(?:\$\(cygpath )?)DIR(\)?)",
                 '%(before)s%(link)s%(behind)s; [ "$VIRTUAL_ENV" -ef %(here)s ] || %(before)s%(here)s%(behind)s'),
    "activate.csh": (csh_quote, "setenv VIRTUAL_ENV DIR()()",
                     "setenv VIRTUAL_ENV %(link)s\ntest %(link)s -ef %(here)s || setenv VIRTUAL_ENV %(here)s"),
    "activate.fish": (fish_quote, "set -gx VIRTUAL_ENV DIR()()", "set -gx VIRTUAL_ENV %(link)s\n"
                      "command test %(link)s -ef %(here)s; or set -gx VIRTUAL_ENV %(here)s"),
    "activate.nu": (nu_quote, "(?:const|let) virtual_env = DIR()()", "let virtual_env = if (%(link)s | path expand) == "
                    "(%(here)s | path expand) { %(link)s } else { %(here)s }"),
    "activate.bat": (str, r"[^\n]*DIR()()[^\r\n]*", '@for %%%%i in ("%%~dp0..") do @set "VIRTUAL_ENV=%%%%~fi"'),
    "activate.xsh": (str, r"\brealpath\b()()", "abspath"),
    "activate.ps1": (str, "DIR()()", "(Split-Path $PSScriptRoot)"),
}  # type: dict


def follow_link(directory, link):
    """Make the activation scripts of an environment name the link that will lead to it, not its own directory (M1).

    directory  str, the environment; link  str, the path of the link
    A shell that was activated stays open while builds come and go: so it uses each from the moment it is published.
    Source: https://github.com/python/cpython/tree/main/Lib/venv/scripts, crates/uv-virtualenv/src/activator of uv
    """
    import re

    programs = os.path.join(directory, BIN)
    paths = {path for each in (directory, os.path.realpath(directory)) for path in (each, each.replace("%", "%%"))}
    spellings = [quoted for path in paths for quoted in ('"%s"' % path, sh_quote(path), path)]
    own = "(?:%s)" % "|".join(re.escape(each) for each in sorted(spellings, key=len, reverse=True))
    for name in filter(lambda name: name.lower() in ACTIVATORS, names_if_there(programs)):
        quote, pattern, template = ACTIVATORS[name.lower()]
        path, values = os.path.join(programs, name), {"link": quote(link), "here": quote(directory)}
        parts = re.split(pattern.replace("DIR", own), (bytes_of(path) or b"").decode("utf-8", "surrogateescape"))
        text = parts[0]
        for before, behind, rest in zip(parts[1::3], parts[2::3], parts[3::3]):
            text += template % dict(values, before=before, behind=behind) + rest
        write_atomic(path, text.encode("utf-8", "surrogateescape"))


NO_PIP = "there is no pip in this environment"


def where_to_add(environment, does="list it in"):
    """How a package is added, or what else is done with it, a clause for a hint; environment  may be None."""
    if not environment:
        place = "pyproject.toml or requirements.txt"
    elif environment["requirements_files"]:
        place = environment["requirements_files"][0]
    elif "project" in environment.config.pyproject:
        place = "dependencies of [project] in " + PYPROJECT
    else:
        table = "[tool.proto-prime] in " * (environment.config.file == PYPROJECT)
        place = "dependencies of " + table + (environment.config.file or OWN_CONFIG)
    has_lock = environment and environment["lock_file"]
    return "%s %s, then: %s" % (does, place, "prime lock and prime boot" if has_lock else "prime boot")


def stand_in_for_pip(directory, version, environment):
    """Put programs that refuse to run where an environment has no pip: a shell in it would take the machine's (M1).

    version  str, of its python. They say how a package is added. An install of pip replaces them. On Windows only
             `prime run pip` refuses.
    """
    if WINDOWS or os.path.lexists(os.path.join(directory, BIN, "pip")):
        return
    message = "prime: error: %s\n  hint: %s" % (NO_PIP, one_line(where_to_add(environment, "list packages in")))
    text = "#!/bin/sh\necho %s >&2\nexit 127\n" % sh_quote(message)
    for name in ("pip", "pip3", "pip" + ".".join(version.split(".")[:2])):
        path = os.path.join(directory, BIN, name)
        if not os.path.lexists(path):
            write_atomic(path, text.encode())
            mode = os.stat(path).st_mode
            os.chmod(path, mode | (mode & 0o444) >> 2)  # who may read it may run it


# --------------------------------------------------------------------------------------------------
# Programs
# --------------------------------------------------------------------------------------------------
# How a user's command starts in an environment, and what is said if it does not: no such program, no right to start it,
# or one that runs another python.


def has_metadata(name):
    """True if a command is a python script that may say what it needs (PEP 723)."""
    if not is_python_file(name) and not (os.path.dirname(name) and is_script(name)):
        return False
    content = bytes_of(name) or b""
    first_line = content.partition(b"\n")[0]
    is_python = is_python_file(name) or any(word in first_line for word in (b"python", b"prime", b"uv"))
    return is_python and b"# /// script" in content


def command_argv(command, prefix, search):
    """The argument list, its first a path, that runs a user's command in an environment.

    command  list of str: a program of the environment or of the search path, -m MODULE, a .py file, or - for
             the script on stdin
    PrimeError with status 127 if there is no such program.
    """
    name = command[0]
    if name in ("-m", "-") or is_python_file(name) and os.path.isfile(name) or has_metadata(name):
        return [environment_python(prefix)] + list(command)
    program = find_program(name, search)
    if WINDOWS and is_python_file(program):  # PATHEXT has .PY
        return [environment_python(prefix), program] + list(command[1:])
    is_outside = not program.startswith(prefix + os.sep) and not os.path.dirname(name)
    if is_outside and name.rstrip("0123456789.") == "pip":  # would be another python's
        raise PrimeError(NO_PIP, status=127)
    if not program:
        text = "there is no file %s" if is_python_file(name) else "no program %s in the environment or on PATH"
        raise no_program(name, search, text % visible_word(name))
    if is_outside and is_python_program(program):
        report.note_once("the environment has no %s: %s is run, a python program from outside" % (name, tilde(program)))
    return [program] + list(command[1:])


def programs_of(prefix):
    """The names of the programs in an environment, a list of str: without other names of its python, and activation."""
    directory = os.path.join(prefix, BIN)
    programs = set()
    for name in names_if_there(directory):
        path = os.path.join(directory, name)
        is_ours = name.lower().startswith(("activate", "deactivate", ".", "_")) or has_bytes(path, NO_PIP.encode())
        if os.path.isfile(path) and os.access(path, os.X_OK) and not is_ours:
            programs.add(name[:-len(EXE)] if EXE and name.lower().endswith(EXE) else name)
    return sorted(name for name in programs if name.rstrip("0123456789.") not in programs - {name})


def no_program(name, search, text, hint=""):
    """The PrimeError for a program that is not on the search path, or there without the right to start it (M23)."""
    for path in [os.path.join(directory or os.curdir, name) for directory in search.split(os.pathsep)]:
        if os.path.isfile(path):
            return cannot_run(path, PermissionError(0, "", path))
    return PrimeError(text, status=127, hint=hint)


PROGRAM_BEGINS = b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe"  # the last is a Mac's


def opened_by(path):
    """The hint for a file that is given as a program, and is none."""
    opens = "sh" if path.endswith(".sh") else "cat"
    return "it is a file, and no program: name what opens it, as in: prime %s" % shown(["run", opens, path])


def cannot_run(name, problem, hint=""):
    """The PrimeError for a program that the system does not start, with the status that a shell would return."""
    path, reason, status = problem.filename or name, problem.strerror, 126
    if os.path.isdir(path):
        reason = "it is a directory"
    elif os.path.isfile(path) and not os.access(path, os.X_OK):
        reason, is_program = "it is not executable", is_script(path, PROGRAM_BEGINS) or not os.access(path, os.R_OK)
        hint = hint or ("chmod +x " + shown([path]) if is_program else opened_by(path))
    elif isinstance(problem, FileNotFoundError) and os.path.isfile(path):
        reason = "the interpreter in its first line does not exist"
    elif isinstance(problem, FileNotFoundError):
        status = 127
    elif getattr(problem, "winerror", 0) == 193:  # ERROR_BAD_EXE_FORMAT: by its ending only a shell knows what runs it
        reason, hint = "it is no program of Windows", hint or "name what runs it, as in: prime run node tool.js"
    return PrimeError("cannot run %s: %s" % (name, reason), hint=hint, status=status)


SHIMS = ("pyenv", "asdf", "mise", "rtx")  # they start the program of a python that they choose
SHELL_NAMES = ("sh", "bash", "dash", "zsh", "ksh", "ash", "busybox")


def is_python_program(path):
    """True if a program is a python script, in any form, or a shim that starts one of another python (M2).

    A script names its python in its first line, or, where that would be too long, in an `exec` below (pip, uv). Only
    the first kilobytes of scripts are read.
    """
    if os.path.basename(path) in SHIMS:
        return False
    if os.path.basename(os.path.realpath(path)) in SHIMS:  # mise's shims are links to it
        return True
    try:
        head = next(chunks_of(path, PARSE_CAP), b"").decode("latin-1")
        if WINDOWS and path.lower().endswith(".exe"):  # pip's launchers end with a zip
            return os.path.getsize(path) < 1 << 20 and has_bytes(path, b"__main__.py")
    except OSError:
        return False
    first, *lines = head.split("\n")
    names = program_names(first) if first[:2] == "#!" else []
    if not is_batch(path) and not set(names) & set(SHELL_NAMES):
        lines = []
    for line in lines:
        words = program_names(line) if line.strip()[:1] != "#" else []
        if set(words) & set(SHIMS):
            return True
        names += words if "exec" in words else []
    return any(name.startswith(("python", "pypy")) for name in names)


def program_names(line):
    """The last parts of the words in a line of a script, which may be names of programs: a list of str."""
    for char in "'\"`()$;!":
        line = line.replace(char, " ")
    return [word.rpartition("/")[2] for word in line.split()]


# --------------------------------------------------------------------------------------------------
# Generations
# --------------------------------------------------------------------------------------------------
# One complete build of an environment is a `Generation`, immutable from the moment its marker is written.
# Tells which one is current, what is wrong with one, and why something is to be built.

KEPT = 3  # generations of each environment, at least


class Generation:
    """One complete build of an environment.

    path      str, its directory, the prefix of its python; `program` is that python
    name      str, of its environment
    built_at  str, where that directory was when it was built
    driver    str, the name of the driver that made it
    python    `Interpreter`, its base; `identity` is that one's at the time
    inputs    dict, those of its environment
    origins   dict, those of its environment; empty if the marker is from before they were kept, as `packages` is None
    listing   list of str, what stood in its site-packages
    packages  dict, as `packages_of`, what was installed
    created   float, seconds since the epoch
    machine   str, where it was built, as `this_machine` tells it; "" if that is not known
    seen_from  str, from where its build was seen, as `visible_processes` tells it; "" if that is not known
    is_new    bool, whether this process built it; `is_held`, whether a rollback chose it
    changes   list, as `package_changes`, since the generation before, if it is new; `seconds`, float, what that took
    stands_in_for  str, the damage of the generation that would go before it; "" if there is none
    """

    is_new = is_held = False
    changes, seconds = (), 0.0  # type: list | tuple, float
    stands_in_for = ""

    def __init__(self, path, meta):
        self.path, self.program = path, environment_python(path)
        self.name, self.driver = meta["name"], meta["driver"]
        self.python, self.identity = Interpreter(**meta["python"]), dict(meta["identity"])
        self.inputs, self.listing = dict(meta["inputs"]), list(meta["listing"])
        self.created, self.built_at = float(meta["created"]), meta.get("place", path)
        packages = meta.get("packages")
        self.packages = None if packages is None else {name: str(text) for name, text in packages.items()}
        self.origins = dict(meta.get("origins", {}))
        self.machine, self.seen_from = meta.get("machine", ""), meta.get("seen_from", "")


def generations(environment):
    """The complete generations of an environment, the newest first: a list of `Generation`."""
    return [each for each in all_generations(environment.root) if each.name == environment.name]


def all_generations(root):
    """The complete generations of all environments of a root, the newest first: a list of `Generation`."""
    import json

    complete = []
    for path in builds(root):
        try:
            meta = json.loads((bytes_of(os.path.join(path, MARKER)) or b"").decode())
            if meta["schema"] == SCHEMA:
                complete.append(Generation(path, meta))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # T5: incomplete, damaged, or another's
            continue
    return sorted(complete, key=lambda generation: generation.created, reverse=True)


def recorded_root(root):
    """The path by which the generations of a root know it, if that leads there today, else `root` (M4).

    So a second name of one directory is no move, for which all would be built again.
    """
    recorded = [str(each.inputs.get("ref root")) for each in all_generations(root)]
    return root if root in recorded else next((each for each in recorded if is_same_place(each, root)), root)


BUILD_NAME = r"[\w-]+-[0-9a-f]{12}(\.\d+)?"  # of the directory of a generation


def builds(root):
    """The directories of all builds of a repo, complete or not, of any environment: a list of paths.

    PrimeError if it cannot be told.
    """
    envs = state_dir(root, "envs")
    try:
        os.listdir(envs)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:  # else all would seem to be gone (M23)
        hint = limit_hint(problem.strerror) or place_hint(state_dir(root), STATE_VAR)
        raise PrimeError("cannot read %s: %s" % (envs, problem.strerror), hint=hint)
    return [path for path in paths_named(envs, BUILD_NAME) if is_build(path)]


def is_build(path):
    """True for the directory of a generation: it has the marker, or our record names it as unfinished (H2)."""
    record = build_record(path)
    is_recorded = is_file(record) and not is_link(os.path.dirname(record))
    return os.path.isdir(path) and not is_link(path) and (is_recorded or is_complete(path))


def build_record(directory):
    """The path of the file that says that a generation's directory is ours to remove before it is complete."""
    return os.path.join(os.path.dirname(os.path.dirname(directory)), "building", os.path.basename(directory))


def listing_of(directory):
    """The names in the site-packages of an environment, less bytecode: a sorted list."""
    packages = site_packages(directory)
    return sorted(set(os.listdir(packages)) - {"__pycache__"}) if packages else []


def packages_of(directory):
    """The packages installed in an environment directory: a dict of name to version, sorted by name.

    No python is started for that. What pip left of an interrupted uninstall, its name with a "~", is no package.
    """
    paths = paths_named(site_packages(directory), r"[^~].*\.(dist-info|egg-info|egg-link)")
    return dict(sorted(filter(None, map(package_at, paths)), key=lambda package: normalized(package[0])))


def package_at(path):
    """(name, version) from a .dist-info, .egg-info or .egg-link, directories or files; None if it lacks one of them."""
    name, end = os.path.splitext(os.path.basename(path))
    if end == ".egg-link":  # of `setup.py develop`: its first line is the directory with the .egg-info
        source = loose_text(path).partition("\n")[0].strip()
        infos = [info for info in paths_named(source, r".*\.egg-info")
                 if normalized(os.path.basename(info)[:-len(".egg-info")]) == normalized(name)]
        path = (infos + [path])[0]
    files = [os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO"), path]
    file = next(filter(os.path.isfile, files), "")
    text = loose_text(file).replace("\r\n", "\n")  # old tools did not always write UTF-8
    head = text.split("\n\n", 1)[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line and line[0] != " ")
    return (fields["Name"], fields["Version"]) if {"Name", "Version"} <= set(fields) else None


def package_changes(before, now):
    """What differs between two dicts of package name to version.

    Returns a list of (name, the version before, that of now), sorted by name; "" for a version where there is none.
    """
    names = {normalized(name): name for name in [*before, *now]}
    old, new = ({normalized(name): version for name, version in each.items()} for each in (before, now))
    rows = [(names[key], old.get(key, ""), new.get(key, "")) for key in sorted(names)]
    return [row for row in rows if row[1] != row[2]]


CHANGES_SHOWN = 10


def change_lines(changes, arrow="->"):
    """`package_changes` as lines for people, a list of str: "+ came 1", "~ is another 1 -> 2", "- went 1".

    Beyond `CHANGES_SHOWN` they are counted.
    """
    lines = []
    for name, before, now in changes[:CHANGES_SHOWN]:
        sign = "~" if before and now else "+" if now else "-"
        versions = (" %s " % arrow).join(filter(None, [before, now]))
        lines.append(" ".join([sign, name, versions]))
    rest = len(changes) - CHANGES_SHOWN
    return lines + ["and %d more" % rest] * (rest > 0)


def counted(number):
    """A number of packages in words: "1 package", "2 packages"."""
    return "%d package%s" % (number, "" if number == 1 else "s")


def is_same_python(generation, may_run=True):
    """True if the base python of a generation is what it was (T2).

    If its path, size and mtime are the old ones, but not its inode, it is asked: in a layer of a container image
    it is a copy of what it was, and a registry of images keeps whole seconds.
    may_run  False: it is not started, and then taken for the same
    """
    before, now = generation.identity, generation.python.identity()
    if before == now or before["path"] != now["path"]:
        return before == now
    try:
        if size_and_second(before) != size_and_second(now):
            return False
        return not may_run or vars(interpreter_at(generation.python.path)) == vars(generation.python)
    except PrimeError:
        return False


def size_and_second(identity):
    """The size of a python's file and its mtime in whole seconds, of a signature with nanoseconds: two str."""
    size, mtime = (identity["signature"] + ".").split(".")[:2]
    return size, mtime[:-9]


def has_moved(generation):
    """True if a generation is elsewhere than it was built: its programs name that directory (T1)."""
    return not is_same_place(generation.path, generation.built_at)


def may_be_elsewhere(generation):
    """True if a generation has not its path here, but may have it in a container or on another machine (M4).

    A process that is not seen here may use it. False if the repo was moved or copied here: nobody can use it then.
    """
    is_copy = is_complete(generation.built_at)
    was_moved = generation.machine == this_machine() and not os.path.lexists(generation.built_at)
    return has_moved(generation) and not is_copy and not was_moved


def this_machine():
    """What tells a machine or a container from others that may mount the same directories, as a str."""
    try:
        mounts = os.readlink("/proc/self/ns/mnt")
    except OSError:  # no Linux
        mounts = ""
    return "%s %s" % (host_name(), mounts)


def visible_processes():
    """What tells a machine or a container whose processes cannot be seen from others, as a str; "" if nothing does."""
    try:
        names, begun = os.readlink("/proc/self/ns/pid"), ""
        if "[4026531836]" not in names:  # PROC_PID_INIT_INO; the number of a container that ended is given to another
            begun = loose_text("/proc/1/stat").rpartition(")")[2].split(" ")[20]  # when its first process started
        return " ".join([host_name(), names, begun]).strip()
    except (OSError, LookupError):  # no Linux, or no /proc/1
        return ""


# The types of file systems that machines share over a network.
NETWORK_FILE_SYSTEMS = {"afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.sshfs",
                        "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "panfs", "smb3", "wekafs"}
UNSEEN_DAYS = 7  # for so long a generation that was replaced stays, where processes that use it cannot be seen


def is_for_us_alone(generation):
    """True if all processes that may use a generation can be seen here: neither did another machine or container build
    it, nor is it on a file system that machines share (N1).
    """
    is_seen = "" in (generation.seen_from, visible_processes()) or generation.seen_from == visible_processes()
    return is_seen and file_system(generation.path) not in NETWORK_FILE_SYSTEMS


def may_run_unseen(generation, complete):
    """True if a process that cannot be seen here may use a generation (N1).

    Nobody tells when that one ends: it counts as in use until `UNSEEN_DAYS` after the next one was built.
    complete  list of `Generation`, with the next one if there is one
    """
    import time

    if is_for_us_alone(generation):
        return False
    later = [each.created for each in complete if each.name == generation.name and each.created > generation.created]
    return not later or time.time() - min(later) < UNSEEN_DAYS * 24 * 3600


def damage_of(generation, may_run=True):
    """What is wrong with a generation that was complete once (T1, T2, T3), as a str; "" if nothing is.

    may_run  whether its python may be started to learn that, as in `is_same_python`
    """
    base = generation.python
    if has_moved(generation):
        return "it was moved or copied from %s" % generation.built_at
    try:
        os.stat(base.path)
    except PermissionError as problem:  # such as one in another user's home
        return "its base python %s cannot be used: %s" % (base.path, problem.strerror)
    except OSError:
        return "its base python %s is gone" % base.path
    if not is_same_python(generation, may_run):
        return "its base python %s was replaced" % base.path
    for path in (generation.program, os.path.join(generation.path, "pyvenv.cfg")):
        if not os.path.exists(path):
            return "%s is missing" % path
    missing = sorted(set(generation.listing) - set(listing_of(generation.path)))
    return "%s is missing in its site-packages" % missing[0] if missing else ""


def why_maybe_elsewhere(generation, complete):
    """Why a generation may be in use where that cannot be seen, a clause of a sentence; "" if it cannot be."""
    if may_be_elsewhere(generation):
        return "it is of another place of the repo, such as in a container"
    if may_run_unseen(generation, complete):
        return "another machine or container may use it, until %d days after the next build" % UNSEEN_DAYS
    return ""


def find_generation(environment, may_run=True):
    """The current generation of an environment, else the reasons why there is none.

    may_run  whether pythons may be started to learn that
    Returns (Generation, []) or (None, list of str). A generation that `prime rollback` chose comes first, until an
    input changes.
    """
    complete, choice = generations(environment), read_held(environment)
    for generation in complete:
        generation.is_held = [digest(environment.inputs), os.path.basename(generation.path)] == choice
    held = [generation for generation in complete if generation.is_held]
    same = [generation for generation in complete if are_same_inputs(generation.inputs, environment.inputs)]
    same.sort(key=lambda generation: generation.inputs != environment.inputs)
    damages = []
    for generation in held + same:
        damages.append(damage_of(generation, may_run))
        if not damages[-1]:
            generation.stands_in_for = damages[0]
            return generation, []
    if same:
        return None, [damages[len(held)]]
    if not may_run:
        return None, []
    return None, why_not_current(environment, complete)


def last_used(environment, complete):
    """The one of these generations that the link leads to, else the newest, else None."""
    link = link_of(environment)
    linked = [generation for generation in complete if link.leads_to(generation.path)]
    return (linked + complete + [None])[0]


def in_use(environment, complete):
    """`last_used` among the undamaged ones of these generations."""
    return last_used(environment, [generation for generation in complete if not damage_of(generation)])


def why_not_current(environment, complete):
    """Why none of its complete generations has the inputs of an environment, a list of str for people (R14).

    All that say why something is built, or should be, say it by this: boot, `info`, `run --no-boot`, the server.
    """
    lost, before = why_lost(environment, complete), last_used(environment, complete)
    if lost or not before:
        return [lost or "it was not built yet"]
    return differences(environment, before.inputs, environment.inputs, before)


def why_lost(environment, complete):
    """What became of the generation of an environment that was used last, as a str; "" if it is a `complete` one."""
    present = {generation.path for generation in complete}
    for path in last_prefixes(environment, is_built=bool(complete)):
        if path in present:
            return ""
        if not os.path.lexists(path):
            return "it was removed: %s is gone" % path
        if not os.access(path, os.R_OK | os.X_OK):
            return "it cannot be read: %s" % path
        if is_complete(path):
            return "it was damaged: %s says nothing that this version knows" % os.path.join(path, MARKER)
        return "it was %s: %s has no %s" % (
            "damaged" if os.path.isdir(path) and entries_of(path) else "emptied", path, MARKER)
    return ""


def last_prefixes(environment, is_built):
    """Where the last used generation of an environment is, or was: a list of paths, the likeliest first.

    Its link leads there, or its stamp names it. If no generation `is_built`, it may be any directory of its name that
    is not the leftover of a build.
    """
    envs = state_dir(environment.root, "envs")
    paths = [os.path.join(envs, os.path.basename(each)) for each in sorted(link_of(environment).destinations())
             if is_same_place(os.path.dirname(each), os.path.realpath(envs))]
    stamp = bytes_of(stamp_path(environment.root, environment.requested)) or b""
    paths += [part for part in stamp.decode("utf-8", "surrogateescape").split("\0") if os.path.dirname(part) == envs]
    if not is_built:
        paths += [path for path in paths_named(envs, BUILD_NAME) if not os.path.lexists(build_record(path))]
    return [path for path in paths if environment_name(path) == environment.name]


REPO_FIELDS = ("projects", "requirements_files", "lock_file")  # which by default follow from the files that are there


def are_same_inputs(before, now):
    """True if inputs are the same, but for settings of indexes that are not there any more.

    A build of an image or a CI job often has these for a while alone, and what it installed is right without them.
    """
    return {label: value for label, value in before.items() if label in now or label not in INDEX_LABELS} == now


def path_in_label(label):
    """The path in the label of an input that is a file; "" in that of another."""
    return label[len("file "):] if label.startswith("file ") else ""


def differences(environment, before, now, generation=None):
    """How the inputs `now` of an environment differ from those of before, as a list of str.

    generation  `Generation`, that was built of the inputs of before, if one was
    """
    if before.get("ref root") != now["ref root"]:
        return ["the repo was moved or copied from %s" % before.get("ref root")]
    labels = sorted(label for label in set(before) | set(now) if before.get(label) != now.get(label))
    origins, built = environment.origins, 0.0
    if generation:  # not `created`, which may be later than it was
        origins, built = generation.origins, os.path.getctime(os.path.join(generation.path, MARKER))
    # Whether a file that is not there is named or not tells nobody anything.
    telling = [each for each in labels if not path_in_label(each) or before.get(each) or now.get(each)]
    if any(map(path_in_label, telling)):  # which by default decide these fields
        telling = [each for each in telling if each not in REPO_FIELDS
                   or not {environment.origins[each], origins.get(each)} <= {"default", None}]
    reasons = []
    for label in telling or labels:
        if path_in_label(label):
            name = path_in_label(label).replace(now["ref root"] + os.sep, "", 1)
            reasons.append("%s %s" % (name, file_change(label, before, now, built)))
        elif label == PYTHON_VAR:
            reasons.append(variable_change(label, before.get(label), now.get(label)))
        else:
            by_variable = [each.get(label) == DRIVER_VAR for each in (origins, environment.origins)]
            reasons.append(variable_change(DRIVER_VAR, *by_variable) if any(by_variable) else "%s changed" % label)
    return reasons


def file_change(label, before, now, built):
    """What became of a file between two dicts of inputs; `built`: when a build had the first, in s since the epoch."""
    path = path_in_label(label)
    if label not in now and os.path.exists(path):
        return "is used no more"
    if not os.path.lexists(path):
        return "was removed"
    if label not in before:  # it is only new to us if it was there before
        return "is new" if os.path.getctime(path) >= built else "is used now"
    return "changed" if before[label] else "is new"


def variable_change(name, before, now):
    """How an environment variable changed, of which two values are known."""
    if bool(before) == bool(now):
        return "%s changed" % name
    return name + (" is set now" if now else " is not set any more")


def held_path(environment):
    """The path of the file that keeps what `prime rollback` chose for an environment."""
    return state_dir(environment.root, "held", environment.name)


def read_held(environment):
    """What `prime rollback` chose: the digest of the inputs, and the name of the generation; [] if nothing."""
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


USES_CAP = 50  # generations whose order of use is kept


def note_use(prefix):
    """Keep the order in which generations come into use, for `rollback` (W20).

    prefix  str, the directory of one that a boot is about to use. If a rollback chose it, the order stays: so the next
            rollback goes on from there
    """
    envs, name = os.path.split(prefix)
    state, environment = os.path.dirname(envs), environment_name(prefix)
    held = bytes_of(below(state, ["held", environment])) or b""
    path = below(state, ["held", environment + ".uses"])
    names = (bytes_of(path) or b"").split()
    own = os.fsencode(name)
    if names[-1:] == [own] or held.split()[1:] == [own]:
        return
    try:
        write_atomic(path, b"\n".join([each for each in names if each != own][1 - USES_CAP:] + [own]) + b"\n")
    except OSError as problem:
        report.detail("the order of use is not kept: %s" % problem)


def kept_python(environment):
    """The `Interpreter` of the newest generation while it is what it was and satisfies the request.

    None if there is no generation, or if the selector or the user's choice changed.
    """
    newest = generations(environment)[:1]
    if not newest or environment.required.path:  # the request names an executable
        return None
    python, before = newest[0].python, newest[0].inputs
    field = "python_selector_file_rel_path"
    choices = [PYTHON_VAR, field, "file " + environment.path(environment[field])]
    has_same_choices = all(before.get(label) == environment.inputs.get(label) for label in choices)
    is_wanted = not any(why_not(request, python) for request in environment.wanted())
    if not (has_same_choices and is_wanted and is_same_python(newest[0])):
        return None
    report.detail("python kept from the newest generation: %s" % python)
    return python


# --------------------------------------------------------------------------------------------------
# Removing
# --------------------------------------------------------------------------------------------------
# Which directories of generations nothing uses, nor builds in, and that these go as a whole.


def unfinished_prefix(root):
    """The unfinished generation whose build started this process, as a post_boot command is; else ""."""
    for prefix in filter(None, os.environ.get(BUILDING_VAR, "").split(os.pathsep)):
        find_state(root)
        is_of_root = os.path.isdir(prefix) and is_same_place(os.path.dirname(prefix), state_dir(root, "envs"))
        if is_of_root and not is_complete(prefix) and is_being_built(root, prefix):
            return prefix
    return ""


def is_being_built(root, directory):
    """True if the process that recorded that it builds this directory is the one that holds the lock (H17)."""
    lock, builder = state_dir(root, "lock"), bytes_of(build_record(directory))
    if not builder:
        return False
    is_holder = any((bytes_of(path) or b"").startswith(LOCK_HEAD + builder + b": ") for path in lock_files(lock))
    return is_holder and is_held(lock)


def free_directory(environment, key):
    """The directory for a new generation of this key. The leftovers of builds that died are removed.

    Never a directory that exists: children of a build that was killed may still write to it (B1).
    """
    directory = unused(state_dir(environment.root, "envs", "%s-%s" % (environment.name, key)))
    discard(path for path in builds(environment.root) if not is_complete(path) and not may_be_built(path))
    return directory


def may_be_built(directory):
    """True if another machine may be at work on a build, though we hold the lock: it may be one that it cannot see."""
    record = build_record(directory)
    host = (bytes_of(record) or b"").partition(b" on ")[2]
    return host not in (b"", host_name().encode()) and not is_old(record)


def discard(paths, tell=None):
    """Remove directories of ours that no running process uses. Returns the paths of those that are gone.

    tell  function of a str that says why one stays; default: a detail
    The marker of a generation goes first, so that none is taken for complete while it is removed.
    """
    paths = list(paths)
    if not paths:
        return []
    removable = sorted(set(paths) - used_by_processes(paths, tell))
    for path in removable:
        report.detail("removing %s" % path)
        try:
            if is_build(path):
                write_atomic(build_record(path), b"")
            remove(os.path.join(path, MARKER))
            remove_tree(path)
            remove(build_record(path))
        except OSError as problem:  # another user's, such as root's
            (tell or report.detail)("%s cannot be removed: %s" % (path, problem.strerror))
    return [path for path in removable if not os.path.lexists(path)]


def used_by_processes(paths, tell=None):
    """The directories among `paths` that another process uses, as a set; all, if it cannot be told what runs (M3).

    tell  function of a str that says so; default: a detail
    A process names one in its command or its environment, or has mapped a file of it. It may know the repo by another
    path, so that the end of a generation's path is enough (M4). In a checkout that several users share, the processes
    of others cannot be seen: then all of its directories may be in use (H18).
    """
    if WINDOWS:
        return set(filter(running_program, paths))
    marks = {}
    for path in paths:
        names = {path, os.path.realpath(path)}
        if os.path.basename(os.path.dirname(path)) == "envs":  # and the key is of this repo alone
            names.add(os.sep + os.path.join("envs", os.path.basename(path)))
        marks[path] = [os.fsencode(name) + end for name in names for end in (b"/", b"\0", b"\n", b" ", b":")]
    used, are_all_seen = set(), True  # type: set, bool
    try:
        for text, is_whole in process_texts():
            used.update(path for path in marks if any(mark in text for mark in marks[path]))
            are_all_seen = are_all_seen and is_whole
    except PrimeError as problem:
        (tell or report.detail)("it cannot be told what runs, so that all may be in use: %s" % problem)
        return set(paths)
    return used if are_all_seen else used.union(filter(is_shared, paths))


def is_shared(path):
    """True if others than this user may use a directory of ours, or may have made what is in it."""
    try:
        return os.stat(path).st_uid != os.geteuid() or is_open(os.stat(os.path.dirname(path)))
    except OSError:  # it is gone
        return False


def process_texts():
    """The texts that each other process of this machine shows of itself: pairs of bytes and whether they are whole.

    PrimeError if the machine does not show them.
    """
    if not os.path.isdir("/proc/self"):
        yield ps_text(), True
        return
    if not os.path.isdir("/proc/1"):  # mounted so that it hides what others run
        yield b"", False
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) != os.getpid():
            for name in ("cmdline", "environ", "maps"):
                yield process_text(os.path.join("/proc", pid), name)


def ps_text():
    """The commands and environments of all processes, as the `ps` of macOS and the BSDs tells them: bytes.

    PrimeError if it does not: those of busybox and toybox know no such option, and need /proc themselves.
    """
    command = ["ps", "axeww", "-o", "command="]
    child = run_child(command, cap=1 << 26)
    if child.has_failed or b"PATH=" not in child.stdout:
        reason = child if child.has_failed else "it shows no environments"
        raise PrimeError("there is no /proc, and `%s` does not tell: %s" % (shown(command), reason))
    return child.stdout


def process_text(directory, name):
    """The text of a file in a process's directory below /proc: bytes, and whether they are whole.

    PrimeError if the system has no such file (M3).
    """
    path = os.path.join(directory, name)
    try:
        with open(path, "rb") as file:
            return file.read() + b"\0", True
    except PermissionError:  # another user's; what root's do is no matter, for root sees all
        return b"", not is_strangers(directory)
    except OSError:
        if not os.path.lexists(path) and os.path.isdir(directory):  # it did not end in between
            raise PrimeError("%s is missing" % path)
        return b"", True


def is_strangers(path):
    """True if a file or directory belongs to a user that is neither this one nor root."""
    try:
        return os.stat(path).st_uid not in (os.geteuid(), 0)
    except OSError:
        return False


def collect(environment):
    """Remove the generations of an environment beyond the newest `KEPT`, and moved ones, that nothing uses."""
    complete = [each for each in generations(environment) if not may_be_elsewhere(each)]
    spare = [each.path for each in complete if each in complete[KEPT:] or has_moved(each)
             if not may_run_unseen(each, complete)]
    if not spare:
        return
    links = links_of(environment)
    linked = set().union(*(link.destinations() for link in links))
    with locked(state_dir(environment.root, "lock"), "removing old generations"):
        gone = discard(path for path in spare if os.path.realpath(path) not in linked)
        for link in links:
            link.forget(gone)


# --------------------------------------------------------------------------------------------------
# Building
# --------------------------------------------------------------------------------------------------
# Makes a new generation aside, fills and checks it, and writes its marker last.


def prepare_state(root):
    """Make the state directory, which git ignores through a file of its own.

    What stands in it where it cannot be used is renamed, never removed (T5).
    """
    base, ignore = state_dir(root), state_dir(root, ".gitignore")
    try:
        if os.path.lexists(base) and not os.path.isdir(base):
            if os.environ.get(STATE_VAR):  # it could be anything, such as /dev/null (M14)
                raise PrimeError("%s=%s is no directory" % (STATE_VAR, os.environ[STATE_VAR]), status=2)
            rename_aside(base)
        mark_state(base)
        for name in ("envs", "stamp", "log", "held", "building", "use", "lock"):
            path = state_dir(root, name)
            is_right = os.path.isfile if name in ("use", "lock") else os.path.isdir
            if os.path.lexists(path) and not is_right(path):
                rename_aside(path)
        if not os.path.lexists(ignore):
            write_atomic(ignore, IGNORE_ALL)
    except OSError as problem:
        raise PrimeError("cannot write to %s: %s" % (base, problem.strerror), hint=state_hint(root))


def build(environment, python, driver):
    """Build, check and complete a new generation; the lock is held. Returns a `Generation`.

    If anything goes wrong, the unfinished directory is removed and the error goes on.
    """
    identity = python.identity()
    key = digest([environment.inputs, driver.name, identity["path"], identity["version"], python.implementation])
    directory = free_directory(environment, key)
    meta = {
        "schema": SCHEMA,
        "name": environment.name,
        "key": key,
        "place": directory,
        "machine": this_machine(),
        "seen_from": visible_processes(),
        "driver": driver.name,
        "python": vars(python),
        "identity": identity,
        "inputs": environment.inputs,
        "origins": environment.origins,
    }
    outer = os.environ.get(BUILDING_VAR, "")
    try:
        # A prime that a setup.py runs would wait for our lock: `unfinished_prefix`.
        os.environ[BUILDING_VAR] = directory + os.pathsep + outer
        write_atomic(build_record(directory), ("%d on %s" % (os.getpid(), host_name())).encode())
        generation = build_in(directory, environment, python, driver, meta)
        tend(remove, build_record(directory))
        return generation
    except BaseException:
        with unbroken():
            tend(remove, directory)
            if not os.path.lexists(directory):  # else the next build removes it: a process keeps it open (W7)
                tend(remove, build_record(directory))
        raise
    finally:
        os.environ.pop(BUILDING_VAR, None)
        if outer:
            os.environ[BUILDING_VAR] = outer


def build_in(directory, environment, python, driver, meta):
    """`build` in a directory of its own; `meta` is what its marker says, less what is known only at the end."""
    import json
    import time

    start, before = time.monotonic(), packages_before(environment)
    make_directory(os.path.dirname(directory))
    check_sources(environment, driver, python)
    create_venv(python, directory, driver, environment.prompt)
    follow_link(directory, link_of(environment).path)
    install_in_turn(environment, driver, directory, python)
    stand_in_for_pip(directory, python.version, environment)
    for command in environment["post_boot"]:
        run_post_boot(command, directory, environment)
    # The newest even if the clock was set back (T7).
    created = max([time.time()] + [each.created + 1 for each in generations(environment)])
    meta.update(listing=listing_of(directory), packages=packages_of(directory), created=created)
    generation = Generation(directory, json.loads(as_json(meta)))
    generation.is_new = True
    if before is not None:
        generation.changes = package_changes(before, generation.packages)
    damage = damage_of(generation)
    if damage:
        raise PrimeError("the new generation is damaged: %s" % damage)
    changed = differences(environment, environment.inputs, inputs_of(environment))
    if changed:  # what was installed is neither the old nor the new
        raise PrimeError("while the environment was built, %s" % changed[0], hint="do it again")
    write_atomic(os.path.join(directory, MARKER), as_json(meta).encode())
    tend(os.utime, os.path.dirname(directory))  # for the stamps that were written while it was built
    generation.seconds = time.monotonic() - start
    return generation


def packages_before(environment):
    """The packages of the generation that was used last, with those of others, as `packages_of`; None if not known."""
    complete = generations(environment)
    before = last_used(environment, complete)
    if not before or why_lost(environment, complete):
        return None
    if damage_of(before, may_run=False):
        return before.packages
    return packages_of(before.path)


def cache_key(environment, python):
    """A name for what an environment depends on, the same on every machine of one platform, for a cache of CI (N3).

    python  `Interpreter` that it has or would get, or None
    No path counts by where it is: neither the root, nor the home directory, nor that of the python.
    """
    import re
    import urllib.parse

    root, parent, home = [slashed(os.path.join(path, "")) for path in (
        environment.root, os.path.dirname(environment.root), home_dir())]
    places = [pair for pair in ((root, ""), (parent, "../"), (home, "~/")) if len(pair[0]) > 1]
    places.sort(key=lambda pair: len(pair[0]), reverse=True)  # one may be inside of another

    def portable(text):
        text = slashed(urllib.parse.unquote(text)) + "/"  # that of a directory has none
        for place, name in places:  # not in the middle of a URL: https://example.org/app/ where the root is /app
            text = re.sub(r"(?<![\w.~\]-])" + re.escape(place), name, text)
        return text[:-1]

    fields, files = {}, []
    for label, value in environment.inputs.items():
        path = path_in_label(label)
        if not path:
            fields[label] = value
        elif value:  # one that is not there says nothing
            files.append([portable(path) if is_inside(path, environment.root) else os.path.basename(path), value])
    for label in ("ref root", PYTHON_VAR):
        del fields[label]
    fields.update({"${%s}" % name: masked_input(lines) for name, lines in variables_in(environment).items()})
    made_by = [python.implementation, python.version, python.bits, python.is_free_threaded] if python else []
    return "prime-%s-%s" % (this_platform(), digest([masked_values(fields, portable), sorted(files), made_by]))


def install_in_turn(environment, driver, directory, python):
    """`install`. Of many clones that need the same, and find nothing of it in the caches, one fetches it (N6).

    python  `Interpreter`, its base
    If it is killed the next one does. If it fails, all that waited try at once: an index that is down would let each
    of them wait for its time.
    """
    kind = digest([cache_key(environment, python), driver.name, os.environ.get("UV_CACHE_DIR", "")])
    done, file = cache_dir("answers", hashed_name(kind)), None
    try:
        if not os.path.isfile(done):
            file = open_lock(cache_dir("locks", os.path.basename(done)))
            wait_for_turn(file, done)
    except OSError as problem:  # a cache that cannot be written, or locked
        report.detail("packages may be fetched more than once: %s" % problem)
    try:
        install(environment, driver, directory)
        if not os.path.isfile(done):
            tend(write_atomic, done, b"")
    except PrimeError:
        if file and not file.closed:
            tend(rewrite, file, FAILED_TURN)
        raise
    finally:
        if file:
            file.close()


FAILED_TURN = b"failed"  # in the file of a turn: the last one that had it could not install


def wait_for_turn(file, done):
    """Wait until an open lock file is locked, or the file `done` exists, or who had it failed: then it is closed."""
    import time

    start, has_waited = time.monotonic(), False
    while not os.path.isfile(done) and not try_lock(file):
        if time.monotonic() - start > 1:
            start = float("inf")
            report.note("waiting for another clone, which installs the same: %s" % holder_in(file))
        has_waited = True
        check_stops()
        time.sleep(0.02)
    if os.path.isfile(done) or has_waited and holder_in(file) == FAILED_TURN.decode():
        file.close()
    else:
        rewrite(file, LOCK_HEAD + ("%d on %s" % (os.getpid(), host_name())).encode())


def install(environment, driver, directory):
    """Install what an environment requires; PrimeError if a tool fails, or if nothing arrives."""
    lock, before = lock_to_install(environment, driver, directory), listing_of(directory)
    if not lock and driver.install_script(environment, directory):
        mend_launchers(directory)
        return
    wanted = driver.requirements(environment, lock, directory)
    options = index_options(environment) + wanted.constraint_options(os.path.join(directory, "sources.txt"))
    if lock:
        driver.install_lock(environment, directory, lock)
    if lock.endswith(".toml"):
        options += ["--no-deps"]
    elif environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    for part in driver.parts(environment, wanted.words):
        if part:
            driver.install(part, directory, options, environment.root)
    tend(remove, os.path.join(directory, "sources.txt"))
    for project in environment["projects"]:
        table = environment.config.project(project["path"]).get("project", {})
        if "scripts" in table and not project["installable"]:  # R3
            report.note("%s: [project.scripts] are not installed; a [build-system], or [tool.uv] package = true, "
                        "does that" % os.path.join(project["path"], PYPROJECT))
    # A requirement with a marker may mean nothing, and so may a file.
    is_sure = any(";" not in requirement for requirement in environment["dependencies"])
    is_sure = is_sure or any(project["installable"] for project in environment["projects"])
    if is_sure and not lock and listing_of(directory) == before:
        raise PrimeError("nothing was installed into %s" % directory,
                         hint="look for target or prefix in the config of the tool")
    if not environment.is_script:
        note_unused(environment, is_empty=listing_of(directory) == before)
    mend_launchers(directory)


NOTHING_ASKS = "no [project], requirements.txt, or dependencies in the config"


def asking_files(environment):
    """The files that ask for packages of an environment, besides its config and a lock: a list of str."""
    return environment["requirements_files"] + [PYPROJECT] * bool(environment["projects"])


def note_unused(environment, is_empty):
    """Say why nothing was installed, if `is_empty`, and what the repo has that could be (R4, R20)."""
    lock = environment["lock_file"]
    locks = [name for name in UNREAD_LOCKS if os.path.isfile(environment.path(name))]
    if locks and environment.origins["lock_file"] == "default" and not lock:
        report.note("seen, but not used: %s; %s" % (", ".join(locks), report.as_typed("prime lock pins all versions")))
    if lock and not is_empty or not has_own_metadata(environment) and not is_empty:
        return
    files = [lock] if lock else asking_files(environment)
    reason = "%s asks for no package here" % ", ".join(files)
    if not files and not environment["dependencies"]:
        reason = NOTHING_ASKS
    elif not files:
        reason = "dependencies in the config ask for no package here"
    if is_empty:
        report.note("nothing to install: " + reason)
    for name, file, line in unused_sources(environment, is_empty):
        report.note("seen, but not used: %s; to install it, add to %s: %s" % (name, file, line))


def run_post_boot(command, directory, environment):
    """Run a command in a generation that is not published yet; PrimeError if it fails."""
    environ, title = activated(directory, environment["env_vars"]), "post_boot: %s" % shown(command)
    if os.path.isfile(environment.path(command[0])):  # else it would be looked for where the user is
        command = [environment.path(command[0])] + command[1:]
    try:
        argv = command_argv(command, directory, environ["PATH"])
    except PrimeError as problem:
        raise PrimeError("%s failed: %s" % (title, problem))
    run_tool(argv, title, environ, environment.root, is_installer=False)


# --------------------------------------------------------------------------------------------------
# Bytecode
# --------------------------------------------------------------------------------------------------
# To read the bytecode of this file takes longer than all else that a warm start does. So the fifth of it that a warm
# start needs is kept apart, for `prime` to try first.

# The functions and classes of this file that a warm start calls, beside their methods.
WARM = """
    activated active_generation ancestors are_same_marks as_typed begin_in_job below bytes_of catch_signals
    check_regular chunks_of clean_environ Cold cold command_argv command_line config_paths consists_of
    decisive_marks end_signals entry environment_python exit_code fail fast_path find_program find_root
    flush_output hand_over has_control has_metadata Interrupted is_batch is_file is_installed is_link is_marked
    is_on is_python_file is_python_program is_same_place is_script is_task_outside is_text isolate leave limit_job Link
    load_text main masked means_yes note_outlived one_line own_directory own_job pip_variable plain_path
    PrimeError program_in proven quoted_word read_env_file read_env_line read_env_quoted read_stamp
    replace_process Reporter restore_environ run_in_place run_task_at_once run_words safe_name script_path shown
    signal_name signature Stamp stamp_head stamp_path started_file started_with state_dir status_of system_call
    Task task_name uncatch_signals unfinished_prefix variable_marks variable_name visible why_no_file_name
    windows_start with_endings with_variables working_directory
""".split()


class Cold(BaseException):
    """A warm start needs more of this file than was loaded for it: `prime` loads all, and begins again."""


def cold(*words, **options):
    """Stands in a warm start for all functions that are not `WARM`."""
    uncatch_signals()
    raise Cold


def kept_bytecode():
    """The path at which python keeps the bytecode of this file, whether it is there or not; "" if it is no module."""
    return getattr(globals().get("__spec__"), "cached", None) or ""


def drop_cut_bytecode():
    """Remove what python kept of this file on a full disk: maybe a part alone, which no later start survives (B5).

    Such a part is some whole blocks. Source: https://github.com/python/cpython/issues/126606
    """
    import marshal

    path = kept_bytecode()
    try:
        if os.stat(path).st_size % 512 == 0:
            marshal.loads((bytes_of(path) or b"")[16 if sys.version_info >= (3, 7) else 12:])  # behind the head
    except (EOFError, TypeError, ValueError):
        tend(remove_file, path)
    except OSError:  # there is none
        pass


def keep_warm_bytecode():
    """Write the bytecode of a warm start apart, beside what python keeps of this file: `prime` reads that first.

    Nothing is written where python writes nothing either, and none of this file as a script, which is compiled anyway.
    Python 3.6 and 3.7 cannot replace a part of a code object.
    """
    import marshal

    bytecode = kept_bytecode()
    if __name__ == "__main__" or sys.dont_write_bytecode or sys.version_info < (3, 8) or not os.path.isfile(bytecode):
        return
    path = "%s/proto_prime.%s.warm" % (os.path.dirname(bytecode), sys.implementation.cache_tag)
    try:
        state = os.stat(THIS_FILE)
        head = ("%r %d %d\n" % (sys.version, state.st_mtime_ns, state.st_size)).encode()  # as in `ENTRY_SCRIPT`
        if has_bytes(path, head):
            return
        kept = bytes_of(bytecode) or b""
        numbers = [int.from_bytes(kept[at:at + 4], "little") for at in (4, 8, 12)]  # PEP 552: flags, mtime, size
        if numbers == [0, int(state.st_mtime) % 2 ** 32, state.st_size]:  # else it changed since it was loaded
            write_atomic(path, head + marshal.dumps(warm_part(marshal.loads(kept[16:]), WARM)))
    except (EOFError, OSError, PrimeError, TypeError, ValueError) as problem:
        report.detail("no bytecode of a warm start: %s" % problem)


def warm_part(code, names=()):
    """A module's code object in which all functions have the code of `cold`, but for the functions and classes named.

    Those that use variables from around them, such as the __class__ that super() uses, fit no other code and stay.
    """
    constants = []
    for each in code.co_consts:
        name = getattr(each, "co_name", "<constant>")  # a lambda's begins with "<", too
        if name[0] != "<" and name not in names and not each.co_freevars:
            is_function = each.co_flags & 1  # CO_OPTIMIZED of `inspect`; the body of a class is none
            each = cold.__code__ if is_function else warm_part(each)
        constants.append(each)
    return code.replace(co_consts=tuple(constants))


# --------------------------------------------------------------------------------------------------
# Shell stamps
# --------------------------------------------------------------------------------------------------
# A shell stamp says what a `Stamp` says as text that sh compares, in `ENTRY_SCRIPT`, without a python: above all what
# one call of `stat` prints. It stands beside the stamp. Where sh could not compare all that counts, there is none.

SHELL_MAGIC = "proto_prime shell stamp 2 for "  # stands in `ENTRY_SCRIPT` too: an older one leaves a newer stamp alone
SHELL_FILES = 300  # at most: more would take sh as long as python
SYSTEM_PATH = "/usr/bin:/bin"  # where sh looks for `stat`, whatever PATH says
SHELL_END = "`"  # of a field: of the variables of a shell before the stamp as well, few of which have one
# How `stat` is asked for inode, size, mtime and ctime with nanoseconds: of GNU, of busybox, of BSD and macOS.
STAT_FORMS = (("-c", "%i %s %.9Y %.9Z"), ("-c", "%i %s %y %z"), ("-f", "%i %z %Fm %Fc"))
# The variables that sh compares: those that decide, and those with which python has to look.
SHELL_SETTINGS = sorted([PYTHON_VAR, DRIVER_VAR] + DECISIVE_VARS)
SHELL_VARS = [ROOT_VAR, STATE_VAR, LOG_VAR, SPAWN_VAR, BUILDING_VAR, SHIM_VARS[0]] + SHELL_SETTINGS
SHELL_VARS += [name for name in FOREIGN_VARS if not name.startswith("VIRTUAL_ENV")]  # all begin with P, U or _
# No task is started by these: the keys of `COMMANDS`.
COMMAND_NAMES = "boot run shell env info python use reset rollback clean lock vendor init update serve".split()
# Variables that shells have values of their own for.
SHELL_OWN = {"IFS", "LINENO", "OLDPWD", "OPTIND", "PATH", "PPID", "PWD", "SHLVL", "_"}


class NotForShell(Exception):
    """Why sh cannot compare what a stamp says."""


def shell_stamp_path(root, requested):
    """The path of the shell stamp beside `stamp_path`."""
    return stamp_path(root, requested, end=".sh")


def write_shell_stamp(stamp, form=None):
    """Write the shell stamp of a `Stamp` that was just written; if sh cannot tell, remove the one that is there.

    form  one of `STAT_FORMS`; None to ask `stat`
    """
    path = shell_stamp_path(stamp.root, stamp.requested)
    try:
        try:
            write_atomic(path, shell_stamp(stamp, form))
        except NotForShell as problem:
            report.detail("no shell stamp: %s" % problem)
            remove_file(path)
    except OSError as problem:
        report.detail("no shell stamp: %s" % problem)


def form_before(root, requested):
    """The one of `STAT_FORMS` that the present shell stamp has, current or not; else None."""
    asked = os.fsdecode(bytes_of(shell_stamp_path(root, requested)) or b"").split(SHELL_END)[6:7]
    return next((form for form in STAT_FORMS for text in asked if text.startswith("\n".join(form) + "\n")), None)


def shell_stamp(stamp, form):
    """The bytes of the shell stamp for a stamp: fields, each a list of lines, as in `ENTRY_SCRIPT`.

    NotForShell if sh could not compare all of it.
    """
    place = os.path.dirname(os.path.abspath(THIS_FILE))
    has_state = kind_of_root(stamp.root) == "repo" and state_dir(stamp.root) == os.path.join(stamp.root, ".prime")
    if WINDOWS or not own_file() or not has_state or stamp.marks:
        raise NotForShell("this is no repo with a state directory and an entry script of its own")
    absent = configs_elsewhere(place, stamp.root)
    paths = in_stat_order(files_for_shell(stamp) + absent, os.path.join(stamp.prefix, MARKER))
    form = form or working_form(paths)
    answer = stat_text(paths, form)
    # Only now: what changed after it was read, and before `stat_text` saw it, has another signature.
    if not stamp.holds(not stamp.requested) or any(map(os.path.exists, absent)):
        raise NotForShell("a file changed meanwhile, or the entry script has another root")
    if not all(map(is_for_shell, dict(stamp.variables))):
        raise NotForShell("env_vars has names that mean something to shells")
    variables = ["%s=%s" % each for each in dict(stamp.variables, VIRTUAL_ENV=stamp.prefix).items()]
    message = visible(masked("prime: " + one_line(stamp.message)))
    if not message.isprintable() or max(message) > "~":  # python knows how to show it
        raise NotForShell("the message has more than ASCII")
    fields = [[SHELL_MAGIC + stamp.requested], [place], [" %s " % " ".join(SHELL_VARS)]] + settings_for_shell()
    short = [path[len(place) + 1:] if path.startswith(place + os.sep) else path for path in paths]
    fields += [list(form) + ["--"] + short, answer, [stamp.prefix], [" ".join(programs_for_shell(stamp))]]
    fields += [variables, tasks_for_shell(stamp, place), [message], ["end of stamp"]]
    if any(SHELL_END in text or "\n" in text for field in fields for text in field):
        raise NotForShell("a path or a value has a character that separates")
    return os.fsencode("".join(SHELL_END + "\n".join(field) for field in fields))


def is_for_shell(name):
    """True if `export` can set a variable of this name, and no shell has a use of its own for it."""
    return name.isidentifier() and max(name) <= "z" and name not in SHELL_OWN and name[:6] != "prime_"


def settings_for_shell():
    """The `SHELL_SETTINGS` that are set, as `set` prints them: with quotes, as dash does, and with as few as bash does.

    Two lists of lines, each with an empty one before. NotForShell if a value has quotes, or maybe a password (H14).
    """
    lists = [[], []]  # type: list
    for name, value in [(name, os.environ[name]) for name in SHELL_SETTINGS if name in os.environ]:
        if set(value) & set("'\\@") or not value.isprintable() or max(value + " ") > "~":
            raise NotForShell("a variable that decides has a character that shells quote, or a password")
        lists[0].append("%s='%s'" % (name, value))
        lists[1].append("%s=%s" % (name, value) if consists_of(value, "_./:=,+%-") else lists[0][-1])
    return [[""] * bool(lines) + lines for lines in lists]


def configs_elsewhere(place, root):
    """Where a config would lead a script in `place` to another root than this one, by `find_root`: a list of paths."""
    directories = ancestors(place)
    depth = next((number for number, each in enumerate(directories) if is_same_place(each, root)), -1)
    has_config = any(map(os.path.exists, config_paths(root)))
    if depth < 0 or depth and not has_config:
        raise NotForShell("the entry script in %s has another root" % place)
    nearer = directories[:depth]
    if not has_config:
        nearer = directories[1:] + ancestors(os.path.realpath(place))[1:]
    return [path for directory in dict.fromkeys(nearer) for path in config_paths(directory)]


def files_for_shell(stamp):
    """The paths whose state sh compares, for a stamp: `stat` looks behind no link, so these and what they lead to.

    Beside the stamp's own: the link and what may stand in for it, with the marker behind it, unless the stamp is that
    of `prime -e`, which leaves the link alone.
    """
    paths = [path for path, _, _ in stamp.files]
    if not stamp.requested:
        if not stamp.link.target:
            raise NotForShell("there is no link")
        paths += [stamp.link.path, os.path.join(stamp.link.path, MARKER), stamp.link.list_file()]
    if not all(map(os.path.isabs, paths)) or len(paths) > SHELL_FILES:
        raise NotForShell("a path is relative, or there are too many")
    return list(dict.fromkeys(with_links(paths)))


def in_stat_order(paths, marker):
    """Paths in the order in which `stat` is asked for them: first those that are there.

    Its answer has no names. But what is renamed to an absent one has its line elsewhere then: behind that of the
    environment's marker, which stays where it is.
    """
    return sorted(paths, key=lambda path: (not os.path.lexists(path), path == marker))


def working_form(paths):
    """The first of `STAT_FORMS` in which the system's `stat` prints `stat_text` of these paths."""
    environ = dict(clean_environ(), TZ="UTC0", LC_ALL="C", PATH=SYSTEM_PATH)
    for form in STAT_FORMS:
        child = run_child(["stat"] + list(form) + ["--"] + paths, environ, timeout=PROBE_SECONDS)
        if os.fsdecode(child.stdout).rstrip("\n").split("\n") == stat_text(paths, form):
            return form
    raise NotForShell("there is no stat with nanoseconds in %s" % SYSTEM_PATH)


def stat_text(paths, form):
    """What `stat` prints for paths in one of `STAT_FORMS`: a list of lines, none for a path that is absent."""
    lines = []
    for path in paths:
        try:
            st = os.lstat(path)
        except OSError:
            continue
        times = stat_time(st.st_mtime_ns, form), stat_time(st.st_ctime_ns, form)
        lines.append("%d %d %s %s" % ((st.st_ino, st.st_size) + times))
    return lines


def stat_time(time_ns, form):
    """A time in nanoseconds since 1970 as `stat` prints it in one of `STAT_FORMS`, with UTC as the time zone."""
    seconds, rest = divmod(time_ns, 10 ** 9)
    if form != STAT_FORMS[1]:
        return "%d.%09d" % (seconds, rest)
    import time

    return "%s.%09d +0000" % (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)), rest)


def tasks_for_shell(stamp, place):
    """The tasks of a stamp that sh may become, a line each, and an empty one before: the name, ";;", words with ";".

    They run at the root, if it has no other name and the entry script stands there, with no variables of their own.
    """
    lines = [""]
    for task in map(Task.from_row, stamp.tasks if place == stamp.root == os.path.realpath(place) else []):
        is_plain = all(word and word.isprintable() and not set(word) & set(";|") for word in task.words)
        is_here = not task.env and not task.variables and task.directory(place) == place
        if is_here and is_plain and task.name not in COMMAND_NAMES:
            lines.append("%s;;%s" % (task.name, ";".join(task.words)))
    return lines


def programs_for_shell(stamp):
    """The names of the programs of an environment that sh may become, and the path of its python: a list of str.

    These are programs that the system starts without a look by python: no .py file, no name of odd characters. If a
    file of variables must be read first, the list is ["-"], which names none.
    """
    programs, directory = [environment_python(stamp.prefix)], os.path.join(stamp.prefix, BIN)
    if stamp.env_file:
        return ["-"]
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not name.replace(".", "").replace("-", "").replace("_", "").isalnum() or name.endswith(".py"):
            continue
        if os.path.isfile(path) and os.access(path, os.X_OK) and not name.startswith("-"):
            head = next(chunks_of(path, READ_SIZE), b"")
            if head[:2] == b"#!" or head[:4] in PROGRAM_HEADS:
                programs.append(name)
    return programs


# The first bytes of programs: ELF, and those of macOS.
PROGRAM_HEADS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


# --------------------------------------------------------------------------------------------------
# Stamps
# --------------------------------------------------------------------------------------------------
# A `Stamp` says what a boot looked at when it last found an environment current. If all that is unchanged, by `stat`
# calls alone, the next boot is done. Stamps of earlier inputs are kept: a boot that is back on them is fast as well.

STAMP_MAGIC = "proto_prime stamp 5"  # the first and the last part of a stamp
STAMP_HEAD = 7  # parts of `stamp_head`


class Stamp:
    """What a boot looked at when it found an environment current.

    head       list of str, whose stamp it is, as `stamp_head` makes it
    prefix     str, the directory of the generation
    link       `Link`, as it was published; its path is "" if the boot did not touch the link
    message    str, what a boot says that has nothing to do
    marks      str, of the variables in requirements files, as `variable_marks` makes it
    env_file   str, the path of the file of variables of the environment; "" if it has none
    variables  list of (name, value), the `env_vars` of the environment
    tasks      list of str, the tasks as `Task.row` makes them
    files      list of (path, signature, hash): the hash is "" if the file must not be touched
    """

    def __init__(self, head, prefix, link, message, marks, env_file, variables, tasks, files):
        self.head, self.prefix, self.link, self.message = head, prefix, link, message
        self.marks, self.env_file, self.variables, self.tasks, self.files = marks, env_file, variables, tasks, files
        self.root, self.requested = head[2:4]

    @classmethod
    def load(cls, path, head=None):
        """Read a stamp. None if it is absent, garbage, of another version (T5), or has not this head.

        The root of the head may have another name than that by which the stamp, and all that it says, knows it.
        """
        parts = (bytes_of(path) or b"").decode("utf-8", "surrogateescape").split("\0")
        if parts[:1] + parts[-1:] != [STAMP_MAGIC] * 2 or len(parts) < STAMP_HEAD:
            return None
        if head and not (parts[:2] + parts[3:STAMP_HEAD - 1] == head[:2] + head[3:-1] and
                         is_same_place(parts[2], head[2]) and are_same_marks(parts[STAMP_HEAD - 1], head[-1])):
            return None
        begin = STAMP_HEAD + 8
        try:
            prefix, link, target, message, marks, env_file, count, more = parts[STAMP_HEAD:begin]
            middle = begin + 2 * int(count)
            end = middle + int(more)
        except ValueError:
            return None
        variables = list(zip(parts[begin:middle:2], parts[begin + 1:middle:2]))
        tasks, files = parts[middle:end], list(zip(parts[end:-1:3], parts[end + 1:-1:3], parts[end + 2:-1:3]))
        if head and marks and marks != variable_marks([mark.partition(":")[0] for mark in marks.split()]):
            return None
        link = Link(parts[2], link, target)
        return cls(parts[:STAMP_HEAD], prefix, link, message, marks, env_file, variables, tasks, files)

    def holds(self, moves_link):
        """True if every file has its signature, and with `moves_link` if the link is right."""
        if moves_link and not self.link.is_right():
            return False
        for path, before, _ in self.files:
            now = signature(path) if before != "-" or os.access(path, os.F_OK) else "-"  # access() is cheaper
            if now != before:
                return False
        return True

    def task(self, name):
        """The `Task` of this name, None if there is none that needs no other."""
        return next((Task.from_row(row) for row in self.tasks if row.startswith(name + "\2")), None)

    def environ(self, more=()):
        """The variables of a command in its environment: `activated`, with `more` of them, a dict."""
        return activated(self.prefix, dict(self.variables, **dict(more)), self.env_file)

    def is_usable(self):
        """True if its generation is there, current or not."""
        return is_complete(self.prefix) and os.path.exists(environment_python(self.prefix))

    def renew(self):
        """Take the signatures of now, if every file has the bytes that it had. Returns whether."""
        files = [(path, signature(path), content) for path, _, content in self.files]  # from before they are read
        for new, old in zip(files, self.files):
            if new != old and not (new[2] and hash_file(new[0]) == new[2]):
                return False
        self.files = files
        return True

    def write(self, path):
        """Write the stamp, unless a file or link is so fresh that a change to it could hide (T7). Returns whether."""
        try:
            files = [file for file, _, content in self.files if content] + [os.path.abspath(THIS_FILE)]
            if any(map(is_fresh, with_links(files))):
                remove_file(path)
                return False
            parts = self.head + [self.prefix, self.link.path, self.link.target]
            parts += [self.message, self.marks, self.env_file, str(len(self.variables)), str(len(self.tasks))]
            for entry in self.variables + [self.tasks] + self.files:
                parts += entry
            write_atomic(path, "\0".join(parts + [STAMP_MAGIC]).encode("utf-8", "surrogateescape"))
            return True
        except OSError as problem:  # without it boots are slower, no worse
            report.detail("no stamp: %s" % problem)
            return False


def stamp_head(root, requested):
    """The first parts of a stamp: its format, the platform, whose it is, and the variables that decide as well."""
    variables = [os.environ.get(name, "") for name in (PYTHON_VAR, DRIVER_VAR)]
    return [STAMP_MAGIC, sys.platform, root, requested] + variables + [decisive_marks()]


def read_stamp(root, requested):
    """The `Stamp` of the last boot of an environment, which need not hold any more; None if there is none."""
    stamp = Stamp.load(stamp_path(root, requested), stamp_head(root, requested))
    if stamp is None and find_state(root):
        stamp = Stamp.load(stamp_path(root, requested), stamp_head(root, requested))
    return stamp


def old_stamps(root, end=""):
    """The paths of the stamps of earlier inputs whose names end so: without `re`, for the fast path comes here."""
    directory = state_dir(root, "stamp")
    names = [name for name in names_if_there(directory) if name[12:13] == "." and is_hex(name[:12])]
    paths = [os.path.join(directory, name) for name in names if name.endswith(end)]
    return [path for path in paths if not is_link(path)]


def return_to(root, requested, moves_link):
    """If the inputs are byte for byte those of an older stamp again, publish its generation again.

    Returns that `Stamp`, else None.
    """
    envs = state_dir(root, "envs")  # a newer generation, as `reset` builds, is to be noticed
    before = signature(envs)
    for path in old_stamps(root, "." + os.path.basename(stamp_path(root, requested))):
        stamp = Stamp.load(path, stamp_head(root, requested))
        if not stamp or moves_link and not stamp.link.path or not stamp.renew():
            continue
        if moves_link and not stamp.link.is_right():
            if stamp.link.obstacle():
                return None
            stamp.link.move(before)
        stamp.files += [(envs, before, "")] + this_file_now()
        form = form_before(root, requested)
        if stamp.write(stamp_path(root, requested)) and form:  # `stat` is not asked here: that takes imports
            write_shell_stamp(stamp, form)
        note_use(stamp.prefix)
        keep_warm_bytecode()
        return stamp
    return None


def write_stamp(environment, generation, link):
    """Keep what this boot looked at for the next one, and for a later one that is back on these inputs.

    The signatures are from before the files were read.
    link  `Link`, as it was published; with the path "" if this boot does not touch it
    """
    requested, root, config = environment.requested, environment.root, environment.config
    note_use(generation.path)
    # H12: what is left aside would count with another owner, whatever its bytes.
    files = [(path, before, "" if path in config.aside else hash_file(path))
             for path, before in sorted(config.seen.items())]
    is_whole = all(signature(path) == before for path, before, _ in files)
    own = [generation.python.path, generation.program, site_packages(generation.path)]
    own += [os.path.join(generation.path, name) for name in ("pyvenv.cfg", MARKER)]
    files += [(path, signature(path), "") for path in own]
    stamp = Stamp(
        stamp_head(root, requested),
        generation.path,
        link,
        current_line(environment, generation),
        variable_marks(sorted(label[2:-1] for label in environment.inputs if label.startswith("${"))),
        environment.env_file,
        list(environment["env_vars"].items()),
        list(filter(None, (task.row() for task in config.tasks.values()))),
        files)
    key = digest([environment.name, environment.inputs])
    if generation.is_new:
        forget_stamps(root, key)
    envs = os.path.dirname(generation.path)
    stamp.files = files + [(envs, signature(envs), "")] + this_file_now()
    is_kept = stamp.write(stamp_path(root, requested))
    if is_kept:
        write_shell_stamp(stamp)
    if is_kept and is_whole:
        stamp.files = files
        stamp.write(stamp_path(root, requested, key))


def this_file_now():
    """This file as an entry of `Stamp.files`, for another version may judge otherwise (T8); [] if it is no file."""
    path = own_file() and os.path.abspath(THIS_FILE)
    return [(path, signature(path), "")] if path else []


def forget_stamps(root, key):
    """Remove the stamps of earlier inputs with this key, whose generation is replaced, and those of generations
    that are gone. With the key "" remove all of them.
    """
    for path in old_stamps(root):
        stamp = None if os.path.basename(path).startswith(key) else Stamp.load(path)
        if stamp and os.path.isdir(stamp.prefix):
            continue
        try:
            remove_file(path)
        except OSError as problem:
            report.detail("no stamp is removed: %s" % problem)


def current_line(environment, generation):
    """What a boot says if there is nothing to do."""
    name, version = name_in_use(environment, generation), generation.python.version
    how = ", rolled back to %s" % os.path.basename(generation.path) if generation.is_held else ""
    return "%s is current (environment %s, python %s%s)" % (name, environment.name, version, how)


def name_in_use(environment, generation):
    """How messages name a generation: by its link, if that leads there, else by its directory."""
    has_link = is_same_place(link_of(environment).path, generation.path)
    return environment["venv_dir_rel_path"] if has_link else tilde(generation.path)


def note_ready(environment, generation):
    """Say that a generation was built, how many packages it has, and which came, changed and went (R14)."""
    count = "%s in %.1f s" % (counted(len(generation.packages)), generation.seconds)
    name, about = environment.title, "python %s, %s" % (generation.python.version, count)
    if not environment.is_script:
        name, about = name_in_use(environment, generation), "%s, %s" % (environment.title, about)
    report.note("%s is ready (%s)" % (name, about), change_lines(generation.changes, report.arrow()))


# --------------------------------------------------------------------------------------------------
# Stages
# --------------------------------------------------------------------------------------------------
# From the wild python to the command: the fast path, else the selected python, a generation, and the hand-over.


# How each shell takes up an environment: what is typed, and what ends the name of its script.
ACTIVATIONS = {
    "fish": ("source", ".fish"), "csh": ("source", ".csh"), "tcsh": ("source", ".csh"), "pwsh": (".", ".ps1"),
    "nu": ("overlay use", ".nu"), "xonsh": ("source", ".xsh"), "bash": ("source", ""), "zsh": ("source", ""),
    "sh": (".", ""), "dash": (".", ""), "ash": (".", ""), "ksh": (".", ""), "busybox": (".", ""),
}


def activation(link, shell):
    """What is typed in a shell so that it uses the environment behind a link; "" if that has no script for it.

    link  str, its path; shell  str, the name of the shell, "" if it is not known
    """
    import shlex

    verb, end = ("", "") if WINDOWS else ACTIVATIONS.get(shell, ("source", ""))
    names = os.listdir(os.path.join(link, BIN))
    name = next((each for each in names if each.lower() == "activate" + end), "")
    here = os.getcwd()
    path = os.path.join(link, BIN, name)
    path = path[len(here.rstrip(os.sep)) + 1:] if link.startswith(os.path.join(here, "")) else path
    return name and ("%s %s" % (verb, shlex.quote(path)) if verb else path)


def calling_shell():
    """The name of the shell that started this process, else that of $SHELL; "" if there is neither."""
    parent = loose_text("/proc/%d/comm" % os.getppid()).strip()
    return parent if parent in ACTIVATIONS else os.path.basename(os.environ.get("SHELL", ""))


def active_generation(root):
    """The generation of this root that VIRTUAL_ENV names, or named before it was removed: a path, or "".

    A shell that was activated since scripts name the link has the link there.
    """
    active = os.environ.get("VIRTUAL_ENV", "")
    envs = os.path.dirname(active)
    is_build = os.path.basename(envs) == "envs" and environment_name(active)
    is_building = active in os.environ.get(BUILDING_VAR, "").split(os.pathsep)
    return active if is_build and not is_building and is_same_place(envs, state_dir(root, "envs")) else ""


def note_outlived(root, prefix=""):
    """Say so, with what is typed, if VIRTUAL_ENV names a generation of this root that is not current, or gone (M1).

    prefix  str, the directory of the generation that is current, as far as it is known
    """
    active = active_generation(root)
    if not active or is_same_place(active, prefix):
        return
    name, remedy = environment_name(active), "exit, then prime shell"
    current = prefix if environment_name(prefix) == name else ""
    try:
        environment = load_environment(load_config(root), name, may_lack_lock=True)
        link, complete = link_of(environment), generations(environment)
        held = [each.path for each in complete if os.path.basename(each.path) in read_held(environment)[1:]]
        linked = [each.path for each in complete if link.leads_to(each.path)]
        current = current or (linked + held + [each.path for each in complete] + [""])[0]
        typed = current and is_same_place(link.path, current) and activation(link.path, calling_shell())
        remedy = typed or "exit, then prime -e %s shell" % name
    except (PrimeError, OSError):  # the config is broken, which the command will say, or has no such environment
        pass
    problem = "no longer the current build of environment %s" % name
    if not is_complete(active):
        problem = "which is gone"
    elif not current or is_same_place(active, current):
        return
    remedy = report.as_typed(remedy)
    report.note_once("VIRTUAL_ENV names %s, %s; type: %s" % (os.path.basename(active), problem, remedy))


# Measured under Python 3.12 on Linux, where a bare start takes 10 ms: 1.9 ms to load what is `WARM` of this file (0.8
# ms of it to make its functions; all of the file takes 4 ms), 0.4 ms here: `isolate` 0.12, the stamp 0.17 for 26 files
# (a `stat` each, 3 to 5 us), `find_root` 0.04, `activated` 0.03. To take the interpreter apart would be 2.5 ms: exec
# does not, nor does `leave`. An import of `re`, `json`, `argparse` or `subprocess` takes 4 ms and more: hence none of
# them here.
def fast_path(argv, commands=()):
    """Answer `prime`, `prime run CMD...` and a task from the stamp alone, if it proves that nothing is to do.

    commands  the words that are no tasks
    Reads one file and calls `stat`, with `os` and `sys` alone. Returns the exit status; for `run` and a task it
    does not return at all; None when it cannot tell, and then the long way does.
    """
    command, name, named = [], "", ""
    if PY_EXEC in os.environ or LOG_VAR in os.environ:
        return None
    if argv[:1] in (["-e"], ["--env"]) and argv[1:]:
        named, argv = argv[1], argv[2:]
    try:
        if argv[:1] == ["run"]:
            boots, command = run_words(argv[1:])
            if not boots or command[0] == "-" or has_metadata(command[0]):
                return None
        elif argv not in ([], ["boot"]):
            name = task_name(argv[0], commands)
            if not name:
                return None
        root, requested = find_root(), named or os.environ.get(ENV_VAR, "")
        if unfinished_prefix(root):  # what a build starts means that one, whose lock is held
            return None
        if name:
            return run_task_at_once(root, name, named, argv[1:])
        moves_link = not command or not requested
        stamp = proven(read_stamp(root, requested), root, requested, moves_link)
        if stamp is None and take_turn(root):
            stamp = proven(read_stamp(root, requested), root, requested, moves_link)
        if stamp is None or command and is_task_outside(stamp, command[0]):
            return None
        if os.environ.get("VIRTUAL_ENV", stamp.prefix) != stamp.prefix:
            note_outlived(root, stamp.prefix)
        if command:
            hand_over(command, stamp.prefix, stamp.environ())
        report.note(stamp.message)
        return 0
    except (PrimeError, OSError, ValueError):
        return None


def is_task_outside(stamp, name):
    """True if `run` gets the name of a task that is no program of the environment, which `command_run` says."""
    return stamp.task(name) is not None and not os.path.lexists(os.path.join(stamp.prefix, BIN, name + EXE))


def task_name(word, commands):
    """The name of the task that a word of the command line means, whether it exists or not; "" if it means none.

    commands  the words that mean commands of ours. A task of such a name is `:NAME`, as any task is
    """
    return "" if word[:1] in ("", "-") or word in commands else word[1:] if word[0] == ":" else word


def proven(stamp, root, requested, moves_link):
    """`stamp` if it holds, else that of earlier inputs which are there again, else None."""
    return stamp if stamp and stamp.holds(moves_link) else return_to(root, requested, moves_link)


def run_task_at_once(root, name, named, words):
    """Become a task, if a stamp proves that nothing is to do; else return None.

    The stamp of any environment may say which one the task runs in; that one's proves it.
    named  str, the environment that -e names; "" for none
    words  list of str, the arguments of the task
    """
    here = named or os.environ.get(ENV_VAR, "")
    stamp = read_stamp(root, here)
    directory, hint = state_dir(root, "stamp"), stamp
    if not (stamp and stamp.task(name)):
        hints = (Stamp.load(os.path.join(directory, each)) for each in os.listdir(directory))
        hint = next((each for each in hints if each and each.task(name)), None)
    if not hint:
        return None
    requested = named or hint.task(name).env or here
    stamp = proven(stamp if requested == here else read_stamp(root, requested), root, requested, not requested)
    task = stamp and stamp.task(name)
    if not task or (named or task.env or here) != requested or has_metadata(task.script(root)):
        return None
    if os.environ.get("VIRTUAL_ENV", stamp.prefix) != stamp.prefix:
        note_outlived(root, stamp.prefix)
    return hand_over(task.words + words, stamp.prefix, stamp.environ(task.variables), task.directory(root))


TURN_SECONDS = 2


def take_turn(root):
    """Let one process at a time go the long way for a root where nothing is built yet. Others wait here, where that
    costs least, and find its work done: of 64 boots at once each would load all modules and read all files before it
    waited for the build (N6).

    Returns whether there was another. It is waited for no longer than `TURN_SECONDS`, unless it builds: a selector may
    have started this process, and wait for it. What is taken is held until `end_turn`, or the end of this process.
    """
    import time

    envs = state_dir(root, "envs")
    names = os.listdir(envs) if os.path.isdir(envs) else []
    if any(is_complete(os.path.join(envs, name)) for name in names):  # which may be current while another one is built
        return False
    file, lock, start = open_lock(cache_dir("locks", state_name(root))), state_dir(root, "lock"), time.monotonic()
    has_waited = False
    while not try_lock(file) and time.monotonic() - start < TURN_SECONDS:
        has_waited = True
        files = [path for _, path in zip(range(2), lock_files(lock))]  # the one in the cache, if the repo has no locks
        if any((bytes_of(path) or b"").startswith(LOCK_HEAD) for path in files):
            with locked(lock, "waiting for another prime"):
                file.close()
                return True
        check_stops()
        time.sleep(0.02)
    _turns.append(file)
    return has_waited


def hold_turn(file):
    """Hold what the entry script locked for the first that starts in a fresh clone, as the turn of `take_turn`.

    Not where its bytecode could not be kept: who is started meanwhile would wait, maybe by a selector.
    """
    if os.path.exists(kept_bytecode()):
        _turns.append(file)
    else:
        file.close()


def end_turn():
    """Let the next process go the long way: what this one starts now may run for long."""
    while _turns:
        _turns.pop().close()


RUN_USAGE = "prime run [--no-boot] [--] CMD..."


class NoCommand(PrimeError):
    """`run` stands alone, or a word is neither a command nor a task."""


def run_words(words):
    """Parse the words behind `run`. Returns whether it boots, and the command, a list of str that is not empty.

    PrimeError with status 2 if a word is an unknown option, or if there is no command.
    """
    boots = words[:1] != ["--no-boot"]
    command = words if boots else words[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    elif command and command[0][:1] == "-" and command[0] not in ("-m", "-"):
        raise PrimeError("run: unknown option %s" % command[0], status=2,
                         hint="%s; other options stand before run" % RUN_USAGE)
    if not command:
        raise NoCommand("run: no command is given", hint=RUN_USAGE, status=2)
    return boots, command


def hand_over(command, prefix, environ, cwd=""):
    """Become the user's command inside the environment directory `prefix`; with `cwd` in that directory.

    That is the generation, not the link: what runs keeps the packages that it began with, and whoever removes
    generations sees in its environment that it uses this one.
    """
    with working_directory(cwd, environ):
        replace_process(*program_in(command, prefix, environ))


def program_in(command, prefix, environ):
    """How a command starts in an environment: its argv, `environ`, and the path of the program."""
    argv = command_argv(command, prefix, environ["PATH"])
    is_as_typed = argv[1:] == list(command[1:])  # and it names itself so in its messages
    return [command[0]] + argv[1:] if is_as_typed else argv, environ, argv[0]


class working_directory:
    """Be in a directory in `with`, "" for where we are; `environ`, a dict, gets the variables that tell of it.

    The caller's directory is in INIT_CWD, as with npm and pixi. PrimeError if the directory cannot be entered.
    """

    def __init__(self, path, environ):
        self.path, self.environ, self.before = path, environ, ""

    def __enter__(self):
        if not self.path:
            return
        try:
            self.before = self.environ["INIT_CWD"] = os.getcwd()
        except OSError:  # E7
            pass
        try:
            os.chdir(self.path)
        except OSError as problem:
            raise PrimeError("cannot enter its cwd %s: %s" % (self.path, problem.strerror), status=2)
        if "PWD" in self.environ:
            self.environ["PWD"] = self.path

    def __exit__(self, *_):
        if self.before:
            os.chdir(self.before)


def take_stage(root):
    """The stage this process is in; the variable is taken away, so that no child sees it (E5)."""
    earlier = os.environ.pop(SAID_VAR, "")
    stage, _, stage_root = os.environ.pop(PY_EXEC, "").partition(":")
    if stage not in STAGES or stage_root != root:
        return "wild"
    lines = earlier.split("\n")
    if not lines[-1]:
        lines.pop()
    # So that the log of a build is whole; marked, for a variable may say anything (H13).
    report.unlogged.insert(0, "".join("wild| %s\n" % visible(line) for line in lines))
    return stage


def hop(python, root):
    """Start over in the stage `required`, under the interpreter at the path `python`; does not return."""
    report.detail("stage required: going on under %s" % python)
    messages = "".join(report.unlogged)[-20000:].replace("\0", "?")
    environ = dict(clean_environ(), **{PY_EXEC: "required:%s" % root, SAID_VAR: messages})
    if TYPED_VAR in os.environ:
        environ[TYPED_VAR] = os.environ[TYPED_VAR]
    active = active_generation(root)
    if active:  # for `note_outlived`; no foreign one, and tools get none (E1)
        environ["VIRTUAL_ENV"] = active
    if not WINDOWS:  # until the new process can say that it was interrupted
        import _signal

        _signal.pthread_sigmask(_signal.SIG_BLOCK, end_signals())
    replace_process([python, script_path()] + sys.argv[1:], environ, may_spawn=False)


def select_interpreter(environment, stage, is_anew):
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
        fetch_python(environment)
        python = probe_for(environment)
    if python is None:
        raise no_python(environment)
    return python


def fetch_python(environment):
    """Let uv download a python for an environment; PrimeError if it cannot."""
    try:
        if is_offline():
            raise PrimeError("offline, so that uv may not download it")
        driver_of(environment, "venv_uv", "an environment").provide(uv_request(environment))
    except PrimeError as problem:
        raise no_python(environment, problem)


def uv_request(environment):
    """All that an environment requires of its python, as uv understands it: a str."""
    text = environment.required.uv_text
    if text[:1] in ("", "<", ">", "=", "!", "~"):  # a specifier can name the other requests as well
        texts = [request.uv_text for request in environment.wanted() if request.text]
        text = ",".join(dict.fromkeys(texts))
    return text


def is_contradictory(environment):
    """True if no version at all fulfils the requests of an environment together, though it does each of them.

    The clauses change their mind at the versions that they name: those, and what is next to them, are tried.
    """
    requests = [request for request in environment.wanted() if request.clauses]
    versions = {}  # type: dict
    for version in [clause.version for request in requests for clause in request.clauses if clause.version]:
        major, minor, micro = (version.release + (0, 0))[:3]
        texts = [version.text] + ["%d.%d.%d" % numbers for numbers in (
            (major, minor, micro), (major, minor, micro + 1), (major, minor, max(micro - 1, 0)), (major, minor, 999),
            (major, minor + 1, 0), (major, max(minor - 1, 0), 999), (major + 1, 0, 0))]
        versions.update((text, Version(text)) for text in texts)
    fulfilled = [{text for text, version in versions.items() if request.failing(version) is None}
                 for request in requests]
    return len(requests) > 1 and all(fulfilled) and not set.intersection(*fulfilled)


def probe_for(environment):
    """`probe_python` with the fields and requests of an environment."""
    environment.tried = []
    selector = environment["python_selector_file_rel_path"]
    return probe_python(environment.required, selector, environment.root, environment.name,
                        environment.tried, environment.wanted()[1:])


def no_python(environment, problem=None):
    """The PrimeError for requests that no python satisfies: which they are, the nearest misses, and what to do.

    problem  `PrimeError`, why uv could not download one; None if it was not asked to
    """
    if is_contradictory(environment):
        return no_version(environment)
    required, tried = environment.required, environment.tried
    reasons = "".join(candidate.reason for candidate in tried)
    others = [request for request in environment.wanted() if request.text and request is not required]
    if required.text:
        others = [request for request in others if request_with_origin(request) in reasons]
    requests, origin = list(map(request_with_origin, others)), place_of((others + [required])[0], environment)
    if required.text or not others:
        field = "the request" if is_typed(required) else required.origin.partition(": ")[2].rpartition(".")[2]
        requests.insert(0, ('%s "%s"' % (field, required)).strip())
        origin = place_of(required, environment)
    misses = nearest_misses(tried, environment.wanted())
    rows = [(each.version or "-", tilde(each.path), each.reason or each.verdict) for each in misses]
    lines = in_columns(rows, room_on(2) - 2)
    if len(tried) > len(misses):
        words = ["-e", environment.requested, "python"] if environment.requested else ["python"]
        words += [required.text] if is_typed(required) or environment.is_script else []
        lines.append("and %d more: %s" % (len(tried) - len(misses), typed(*words, "--all")))
    lines += ["uv: %s" % problem] + problem.tried if problem else []
    hint = limit_hint(reasons) or hint_for_python(environment, misses, problem)
    return PrimeError("no python satisfies " + " and ".join(requests), origin, lines, hint)


def no_version(environment):
    """The PrimeError for requests that no version at all fulfils together."""
    wanted = [request for request in environment.wanted() if request.text]
    named = ['"%s" (%s)' % (request, place_of(request, environment)) for request in dict.fromkeys(wanted)]
    files = dict.fromkeys(place_of(request, environment).partition(": ")[0] for request in wanted)
    return PrimeError("no python satisfies %s %s" % ("both" if len(named) == 2 else "all of", " and ".join(named)),
                      hint="no version is in all of them: change %s" % " or ".join(files))


def is_typed(request):
    """True if a request is that of the command line."""
    return request.origin == "command line"


def place_of(request, environment):
    """Where a request stands, for people: a file, in the repo by its relative path, and maybe the field."""
    return tilde(request.origin.replace(environment.root + os.sep, "", 1))


def hint_for_python(environment, misses, problem):
    """What to do if no python fits, and the cause: which is there, what excludes it, or what keeps uv from a download.

    misses, problem  as in `no_python`: the list of `Candidate`s, and why uv failed
    """
    version = next((each for each in misses if each.version), None)
    cause = "no python was found that runs"
    if version:
        verb = "" if version.reason.startswith("is ") else "is "
        cause = "%s %s%s" % (version.version, verb, version.reason or version.verdict)
    elif environment.required.path:
        cause = environment.required.path + " is none"
    way = way_to_install(environment)
    locked = [request for request in environment.locked if version and request_with_origin(request) in version.reason]
    if locked:
        way = "prime lock makes %s anew for the python that is here; or %s" % (environment["lock_file"], way)
    elif is_offline():
        cause, way = "no network is allowed", "without --offline and %s uv may download it" % OFFLINE_VAR
    elif problem and "No download found" in "".join(problem.tried):
        cause, way = "uv knows no such python", "change the request in %s" % place_of(environment.required, environment)
    elif problem and "python-downloads" in "".join(problem.tried).replace("_", "-").lower():
        cause, way = "uv may not download pythons", "UV_PYTHON_DOWNLOADS=automatic lets it"
    elif problem:
        cause, way = "uv could not download it", problem.hint or way
    elif environment["venv_driver"] == "venv_pip" and not is_typed(environment.required):
        way += "; or %s=venv_uv lets uv download it" % DRIVER_VAR
    return "%s: %s" % (cause, way)


def way_to_install(environment):
    """What a user types to install a python that an environment requires."""
    text = uv_request(environment)
    if environment.required.path:
        return "name another" + ("" if is_typed(environment.required) else
                                 " in %s" % place_of(environment.required, environment))
    if find_program("uv"):
        return shown(["uv", "python", "install", text])
    if find_program("pyenv") and text.replace(".", "").isdigit():
        return "pyenv install " + text
    return "install python " + text


def have_generation(environment, stage, is_anew, finish):
    """The current generation of an environment, built if need be, maybe under another python.

    stage    str, where this process is; "" if it may not be replaced
    is_anew  build one even if there is one
    finish   function of the generation, whose result is returned. After a build it is called before the lock is free:
             who waits for it finds all done (N6)
    """
    generation, reasons = find_generation(environment)
    if generation and not is_anew:
        return finish(generation)
    if unfinished_prefix(environment.root):
        raise PrimeError("%s is being built by what started this" % environment.title)
    check_repo(environment.root)
    python = select_interpreter(environment, stage, is_anew)
    is_running = os.path.realpath(running_python()) == os.path.realpath(python.path)
    if stage == "wild" and script_path() and not (is_running and base_python(running_python()) == running_python()):
        hop(python.path, environment.root)
    if stage != "required":
        report.detail("stage required: skipped, %s builds with %s" % (running_python(), python))
    place_state(environment.root)
    for path in (state_dir(environment.root, "use"), held_path(environment)):
        environment.config.look(path)  # it may be another one by now
    lack = why_no_environment(state_dir(environment.root))
    if lack:
        raise PrimeError("%s %s" % (state_dir(environment.root), lack), hint=state_hint(environment.root))
    prepare_state(environment.root)
    reason = "a new one is asked for" if is_anew else "; ".join(reasons)
    with locked(state_dir(environment.root, "lock"), "building %s" % environment.title, reason):
        generation, _ = find_generation(environment)
        if not generation or is_anew:  # else it was built by the process that we waited for
            open_log(state_dir(environment.root, "log"))
            report.note("building %s: %s" % (environment.title, reason))
            driver = driver_of(environment, environment["venv_driver"])
            driver.is_anew = is_anew
            return finish(build(environment, python, driver))
    return finish(generation)


def boot_environment(environment, stage, is_anew=False, moves_link=True, needs_link=True):
    """`have_generation`, published and stamped. Returns the `Generation`.

    moves_link  whether `.venv` is to lead to it; needs_link  whether it is an error if that cannot be
    """
    link = link_of(environment) if moves_link else Link(environment.root, "")
    if needs_link:
        link.demand_movable()

    def finish(generation):
        try:
            prepare_state(environment.root)
        except PrimeError as problem:  # M11: there is an environment, and what cannot be kept beside it is no matter
            report.detail(str(problem))
        if is_anew:
            write_held(environment)
        link.publish(generation.path, needs_link)
        newest = find_generation(environment)[0]
        if newest and newest.path != generation.path:  # another process built it while we waited to publish
            generation = newest
            link.publish(generation.path, needs_link)
        write_stamp(environment, generation, link)
        return generation

    generation = have_generation(environment, stage, is_anew, finish)
    if generation.is_new:
        note_ready(environment, generation)
        collect(environment)
    if generation.stands_in_for:  # never of a new one
        report.note("another build of the same stands in: %s" % generation.stands_in_for)
    report.detail("stage venv: %s (%s)" % (generation.program, generation.python.version))
    note_outlived(environment.root, generation.path)
    end_turn()
    return generation


# --------------------------------------------------------------------------------------------------
# Commands of every day
# --------------------------------------------------------------------------------------------------
# boot, run, info, python, use, reset, rollback, clean.


def used_name(config):
    """The name of the environment that `prime use` chose for this clone; "" if none, or if it is configured no more."""
    path = config.look(state_dir(config.root, "use"))
    try:
        name = load_text(path).strip() if os.path.isfile(path) else ""
    except PrimeError:  # T5
        name = ""
    if name and name not in config.names():
        report.note('environment "%s", which prime use chose, is configured no more' % name)
        return ""
    return name


def open_environment(options, may_lack_lock=False):
    """The `Environment` that options, variables and `prime use` ask for."""
    config = load_config(options.root)
    if options.command in config.tasks:
        report.note_once("%s is a command of prime; the task of that name is :%s" % ((options.command,) * 2))
    requested = options.env or os.environ.get(ENV_VAR, "")
    return load_environment(config, requested or used_name(config), requested, may_lack_lock)


def peek(options):
    """What is there, without a build or an error: the `Environment`, or None; the directory of its build, or ""."""
    try:
        environment = open_environment(options, may_lack_lock=True)
        generation = in_use(environment, generations(environment))
        return environment, generation.path if generation else ""
    except (PrimeError, OSError):
        return None, ""


def command_boot(options, is_anew=False):
    """create or update the environment, .venv; the default"""
    environment = open_environment(options)
    generation = boot_environment(environment, options.stage, is_anew)
    if not generation.is_new:
        report.note(current_line(environment, generation))
    return 0


def prefix_of(environment, options, boots):
    """The directory of the environment that a command runs in. If `boots`, the environment is made current first."""
    prefix = unfinished_prefix(environment.root)
    if prefix:
        return prefix
    is_script = environment.is_script  # the stage belongs to the repo, not to it
    is_read = is_script and os.path.dirname(environment.root) != cache_dir("scripts")  # then `complete_script` found it
    if boots and not is_read:
        stage = "" if is_script else options.stage
        return boot_environment(environment, stage, moves_link=not environment.requested, needs_link=False).path
    hint = "run it without --no-boot" if is_script else "prime boot"
    generation, reasons = find_generation(environment)
    if not generation:
        complete = generations(environment)
        if not complete:
            raise PrimeError(reasons[0].replace("it", environment.title, 1), hint=hint)
        report.detail("%s is not current, and not built now: %s" % (environment.title, "; ".join(reasons)))
        generation = in_use(environment, complete) or complete[0]
    if not os.path.exists(generation.program):
        raise PrimeError("%s is missing" % generation.program, hint=hint)
    return generation.path


def command_info(options):
    """show what is configured, installed and out of date"""
    environment = open_environment(options)
    current, reasons = find_generation(environment)
    complete = generations(environment)
    generation = current or in_use(environment, complete)
    if current and not environment.requested:
        reasons = list(filter(None, [link_of(environment).aim(current.path).why_wrong()]))
    last = generation or last_used(environment, complete)  # which is damaged, if others took something out
    packages = packages_of(last.path) if last else {}
    changes = package_changes(last.packages, packages) if last and last.packages is not None else []
    selected = Candidate(current.python.path, "generation", current.python, "selected") if current else None
    selected = selected or candidate_for(environment, reasons)
    driver = generation.driver if generation else environment["venv_driver"]
    uv = uv_for_info(environment, driver)
    data = masked_values({
        "schema": SCHEMA,
        "root": environment.root,
        "config": {name: {"value": public_value(environment, name), "from": environment.origins[name]}
                   for name in FIELDS},
        "environment": environment.name,
        "environments": sorted(environment.config.names()),
        "driver": driver,
        "uv": uv,
        "index": dict(zip(("url", "from"), index_and_origin(environment, driver))),
        "required": {"request": environment.required.text, "from": environment.required.origin},
        "selected_python": selected and selected.as_dict(),
        "venv": generation and venv_for_info(environment, generation),
        "current": not reasons,
        "reasons": reasons,
        "tasks": {task.name: task.as_dict() for task in environment.config.tasks.values()},
        "packages": packages,
        "packages_from": packages_from(environment),
        "package_changes": [{"name": name, "built": before or None, "installed": now or None}
                            for name, before, now in changes],
        "cache_key": cache_key(environment, selected and selected.interpreter),
        "cache_paths": cache_paths(environment, selected and selected.interpreter, uv and (uv["path"] or "")),
    })
    emit(as_json(data) if options.json else info_text(environment, data))
    return 1 if reasons else 0


def public_value(environment, field):
    """The value of a field as a config would have it, less what `complete_project` adds; paths are absolute."""
    if field != "projects":
        return environment[field]
    return [{key: project[key] for key in PROJECT_KEYS} for project in environment["projects"]]


def packages_from(environment):
    """Where the packages of an environment are listed, for people: files, and maybe what of them is taken."""
    lock, places = environment["lock_file"], []
    for project in [] if lock else environment["projects"]:
        file = next(filter(os.path.isfile, project["files"]), project["path"])
        parts = ["%s%s %s" % (kind, "s" * (len(names) > 1), ", ".join(names))
                 for kind, names in (("extra", project["extras"]), ("group", project["groups"])) if names]
        file = path_below(file, environment.root).replace("/", os.sep)  # W13
        places.append(file + (" (%s)" % "; ".join(parts) if parts else ""))
    if not lock or lock.endswith("uv.lock"):
        places += environment["requirements_files"]
        places += [environment.origins["dependencies"]] if environment["dependencies"] else []
    return [lock] * bool(lock) + places


def candidate_for(environment, reasons):
    """The `Candidate` that a new generation would be built with, or None; `reasons`, a list, gets why not."""
    selected = None  # type: Candidate | None
    try:
        python = python_to_build(environment)
        selected = Candidate(python.path, "search", python, "selected")
    except PrimeError as problem:
        reasons.append(str(problem))
    return next((each for each in environment.tried if each.verdict == "selected"), selected)


def python_to_build(environment):
    """The `Interpreter` that a new generation would be built with: the kept one, or else what is selected.

    PrimeError if there is none.
    """
    python = kept_python(environment) or probe_for(environment)
    if python is None:
        raise no_python(environment)
    return python


def venv_for_info(environment, generation):
    """What a generation is, and the link that leads to it, or should: a dict."""
    return {
        "path": environment.path(environment["venv_dir_rel_path"]),
        "generation": generation.path,
        "python": generation.program,
        "version": generation.python.version,
        "held": generation.is_held,
    }


def uv_for_info(environment, driver):
    """Which uv on this machine a build would take, and why not another: a dict; None if it would take none (M16)."""
    if driver == "venv_pip" and not environment["lock_file"].endswith("uv.lock"):
        return None
    passed = []  # type: list
    wanted = parse_uv_version(environment["uv_version"])
    path = find_uv(wanted, environment["uv_sha256"], use_of_uv(environment, driver), passed)
    return {"path": path or None, "version": str(uv_version(path)) if path else None, "passed_over": passed}


def cache_paths(environment, python, uv):
    """What a job of CI keeps for the next one, which may stand elsewhere, a list of directories (N3).

    python  `Interpreter` that the environment has or would get; None if uv fetches one
    uv      str, the path of the uv that a build takes, "" if one is fetched; None if it takes none
    No environment is among them: its programs name the place where it is.
    """
    paths = [cache_dir()] + ([pip_cache()] if environment["venv_driver"] == "venv_pip" else [])
    if uv is not None:
        paths.append(uv_cache(uv, environment.root))
    if environment["venv_driver"] != "venv_pip":
        named = os.environ.get("UV_PYTHON_INSTALL_DIR")
        places = [os.path.abspath(named)] if named else uv_directories(environment.required)
        real = os.path.realpath(python.path) if python else ""
        paths += [each for each in places if is_inside(real, os.path.realpath(each))]
        paths += [] if python else places[:1]
    return [each for each in paths if each == paths[0] or not is_inside(each, paths[0])]


def pip_cache():
    """The directory in which pip keeps what it fetched, whether it exists or not."""
    named = pip_environ().get("PIP_CACHE_DIR") or pip_setting("cache-dir")  # the first may be lent by us (M12)
    return os.path.abspath(named or os.path.join(users_caches(), "pip", "cache" if WINDOWS else ""))


def uv_cache(uv, root):
    """The directory in which uv keeps what it fetched, as that uv says; "" stands for one yet to be fetched."""
    environ = uv_environ(root)
    child = run_child([uv, "cache", "dir"], environ, cwd=root, timeout=UV_SECONDS) if uv else None
    if child and not child.has_failed and child.stdout.strip():
        return os.path.join(root, os.fsdecode(child.stdout).strip())
    usual = os.path.join(users_caches(is_mac=False), "uv", "cache" if WINDOWS else "")
    return os.path.abspath(environ.get("UV_CACHE_DIR") or usual)


def info_text(environment, data):
    """The data of `info --json` as a table for people: labels, and beside each the lines that belong to it."""
    venv, uv, room = data["venv"], data["uv"], room_on(1)
    link = "none"
    if venv:
        link = shortened(environment, venv["generation"])
        if link_of(environment).leads_to(venv["generation"]):
            name = environment["venv_dir_rel_path"] if os.path.lexists(venv["path"]) else ENVS_FILE
            link = "%s -> %s" % (name, link)
    rows = [
        ("state", [state_text(environment, data)]),
        ("environment", [environment_text(environment)]),
        ("python", python_texts(environment, data)),
        ("packages", package_texts(data)),
        ("directory" if venv and " -> " not in link else "link", [link]),
        ("root", [data["root"]]),
        ("driver", [data["driver"]]),
        ("uv", ["; passed over: ".join([uv["path"] or "none here, one is fetched"] + uv["passed_over"])] if uv else []),
        ("index", ["%s (%s)" % (data["index"]["url"] or "see there", data["index"]["from"])]),
        ("tasks", [", ".join(data["tasks"])] if data["tasks"] else []),
        ("config", [environment.config.file or "none; all fields have their defaults"]),
    ]
    width, lines = max(len(label) for label, _ in rows), []
    for label, texts in rows:
        for text in texts:
            before, arrow, what = one_line(text).rpartition(" -> " if label in ("state", "link") else "\n")
            for line in wrapped(before + arrow + (what.replace(" ", "\xa0") if arrow else what), room - width - 2):
                lines.append("%-*s  %s" % (width, label, line))
                label = ""
    return "".join(line + "\n" for line in lines + ["  " + line for line in config_lines(environment)])


def shortened(environment, path):
    """A path for people: relative to the root if it is below that, else with ~ for the home directory."""
    start = os.path.join(environment.root, "")
    return path[len(start):] if path.startswith(start) else tilde(path)


def state_text(environment, data):
    """Whether an environment is current; if not, why not, and what to type."""
    option = ["-e", environment.requested] if environment.requested else []
    if not data["reasons"]:
        return "up to date" + (", held there by a rollback -> " + typed("use", environment.name)
                               if data["venv"]["held"] else "")
    reasons = [reason for reason in data["reasons"] if data["venv"] or reason != "it was not built yet"]
    state = ": ".join(filter(None, ["OUT OF DATE" if data["venv"] else "NOT BUILT", "; ".join(reasons)]))
    return "%s -> %s" % (state, typed(*option, *([] if data["selected_python"] else ["python", "--all"])))


def environment_text(environment):
    """The name of an environment, who chose it, and the others."""
    chosen = ""
    if environment.requested:
        chosen = ENV_VAR if os.environ.get(ENV_VAR) == environment.requested else "-e"
    elif environment.name != environment["default_env"]:
        chosen = "prime use"
    others = ", ".join(sorted(environment.config.names() - {environment.name}))
    return environment.name + (" (chosen by %s)" % chosen if chosen else "") + ("; others: " + others if others else "")


def python_texts(environment, data):
    """The python of an environment, and who asked for which: a list of lines."""
    selected, venv = data["selected_python"], data["venv"]
    lines = ["none fits"]
    if selected:
        name = "" if selected["implementation"] == "cpython" else selected["implementation"] + " "
        lines = ["%s%s  %s" % (name, selected["version"], tilde(selected["path"]))]
    if venv and (not selected or selected["version"] != venv["version"]):
        lines = ["%s now; next: %s" % (venv["version"], lines[0])]
    requests = [asked(each, environment) for each in dict.fromkeys(environment.wanted()) if each.text]
    return lines + ["asked for: " + each for each in requests or ["any python"]]


def package_texts(data):
    """How many packages there are, where they are listed, and what others did to them: a list of lines."""
    places = ", ".join(data["packages_from"])
    lines = ["%d%s" % (len(data["packages"]), ", from " + places if places else "; no file lists any")]
    changes = [(each["name"], each["built"], each["installed"]) for each in data["package_changes"]]
    if changes:
        lines.append("changed by others since the build: " + "; ".join(change_lines(changes)))
    return lines


def config_lines(environment):
    """The fields that are not as by default, as TOML, with a comment above those that are not from the config's top."""
    own = environment.config.table.get("env", {}).get(environment.name, {})
    lines, origin = [], environment.config.file
    fields = [field for field in FIELDS if environment.origins[field] != "default" and field != "tasks"]
    places = {field: environment.origins[field].replace("." + field, "").replace(": " + field, "") for field in fields}
    for field in sorted(fields, key=lambda field: (places[field] != origin, places[field])):
        if places[field] != origin:
            origin = places[field]
            lines.append("# " + origin)
        value = environment[field]
        if field == "projects":
            value = own.get(field, environment.config.table.get(field))
        lines.append("%s = %s" % (field, as_toml(value)))
    return [one_line(masked(line)) for line in lines]


def command_python(options):
    """print the path of the Python that is selected"""
    environment = open_environment(options)
    if options.request is not None:
        try:
            request = parse_request(options.request, "command line")
        except PrimeError as error:
            error.hint = error.hint or "prime python --all lists every Python"
            raise
        request.places = environment.required.places
        environment.required = request
        environment.also = environment.locked = []
    everything = judge_all(candidates(environment.required), environment.wanted()) if options.all else []
    python, problem = None, None  # type: Interpreter | None, PrimeError | None
    try:
        python = probe_for(environment)
    except PrimeError as error:  # the selector or the user's choice failed: --all lists the others nevertheless
        problem = error
    tried = {candidate.path for candidate in environment.tried}
    listed = environment.tried + [candidate for candidate in everything if candidate.path not in tried]
    if not options.all:
        listed = [candidate for candidate in listed if candidate.verdict == "selected"]
    if options.json:
        rows = [candidate.as_dict() for candidate in listed]
        emit(as_json({"schema": SCHEMA, "request": environment.required.text, "candidates": rows}))
    elif options.all:
        emit(pythons_text(environment, listed))
    elif python:
        emit(python.path + "\n")
    if python is None:
        problem = problem or no_python(environment)
        problem.tried = problem.tried if options.json or not options.all else []  # they are listed already
        raise problem
    return 0


def pythons_text(environment, pythons):
    """`Candidate`s as text for people: what was asked for, those that fulfil it, the others by why they do not."""
    room, lines = room_on(1), []
    for request in dict.fromkeys(environment.wanted()):
        lines += wrapped("asked for: %s" % asked(request, environment), room, "  ")
    good = [each for each in pythons if each.verdict in ("selected", "matches")]
    rows = [("*" if each.verdict == "selected" else " ", *row_of(each)) for each in good]
    lines += [""] * bool(good) + in_columns(rows, room)
    groups = {}  # type: dict
    for each in pythons:
        if each not in good:
            groups.setdefault(each.reason if each.verdict == "mismatch" else each.verdict, []).append(each)
    lines += [""] * bool(groups)
    for reason in sorted(groups, key=lambda reason: reason == "broken"):
        lines += lines_of_group(reason, groups[reason], room)
    return "".join(line + "\n" for line in lines)


def row_of(candidate):
    """The version, the source and the path of a `Candidate`, maybe with a remark: three str."""
    remark = "  (%s)" % candidate.reason if candidate.reason and candidate.verdict in ("selected", "matches") else ""
    return candidate.version or "-", candidate.source.partition("=")[0], tilde(candidate.path) + remark


def lines_of_group(reason, pythons, room):
    """Lines for `Candidate`s that are not taken for one reason: one line, with -v all that is known of each."""
    names = dict.fromkeys(each.version or os.path.basename(each.path) for each in pythons)
    if report.verbosity < 1:
        more = "; -v says why" if reason == "broken" else ""
        return wrapped(one_line("%s (%d%s): %s" % (reason, len(pythons), more, ", ".join(names))), room, "  ")
    lines = ["%s (%d):" % (one_line(reason), len(pythons))]
    for each in pythons:
        lines += ["  " + line for line in in_columns([row_of(each)], room - 2)]
        lines += ["      " + line for line in wrapped(one_line(each.reason), room - 6)] if reason == "broken" else []
    return lines


def asked(request, environment):
    """A request with the place where it stands, for people."""
    return "%s (%s)" % (request, place_of(request, environment)) if request.text else "any python"


def command_use(options):
    """switch this clone to another environment"""
    if not options.name:
        raise PrimeError("use: no environment is named", status=2)
    environment = load_environment(load_config(options.root), options.name)
    write_held(environment)
    generation = boot_environment(environment, options.stage, moves_link=False)
    write_atomic(state_dir(options.root, "use"), (options.name + "\n").encode())
    link_of(environment).publish(generation.path, is_needed=False)
    report.note("%s is this clone's environment from now on (python %s)" % (
        environment.name, generation.python.version))
    return 0


def command_reset(options):
    """rebuild from scratch, and pick Python again"""
    return command_boot(options, is_anew=True)


def generations_before(environment, current):
    """The sound generations that were in use before `current`, a `Generation` or None, the last one first (W20).

    Those whose python is not what is required now are left out.
    """
    names, required = (bytes_of(held_path(environment) + ".uses") or b"").split(), environment.required
    uses = {os.fsdecode(name): index for index, name in enumerate(names)}  # as `note_use` keeps them

    def place(generation):
        return uses.get(os.path.basename(generation.path), -1), generation.created

    def is_fit(generation):
        is_required = not required.path or generation.inputs.get("required python") == required.text
        return is_required and not any(why_not(request, generation.python) for request in environment.wanted())

    sound = [each for each in filter(is_fit, generations(environment)) if not damage_of(each)]
    before = [each for each in sound if current is None or place(each) < place(current)]
    return sorted(before, key=place, reverse=True)


def command_rollback(options):
    """undo the last rebuild, until dependencies change"""
    environment = open_environment(options)
    current, _ = find_generation(environment)
    older = generations_before(environment, current)
    if not older:
        name = os.path.basename(current.path) if current else "the one that is not built yet"
        raise PrimeError("environment %s has no generation before %s" % (environment.name, name))
    prepare_state(environment.root)
    write_held(environment, older[0])
    generation = boot_environment(environment, "", moves_link=not environment.requested)
    report.note(current_line(environment, generation))
    taker = report.as_typed("prime use %s" % environment.name)
    report.note("%s takes that back; so does any change of what is installed" % taker)
    return 0


DIGEST_NAME = "[0-9a-f]{12}"
SCRIPT_DAYS = 30  # `clean` removes the environment of a script that was not run for longer


def command_clean(options):
    """remove builds that nothing uses"""
    config = load_config(options.root)
    names = sorted(config.names())
    environments = [load_environment(config, name) for name in names]
    links = links_of(environments[0])
    prepare_state(options.root)
    with locked(state_dir(options.root, "lock"), "removing generations"):
        kept = set() if options.all else in_need(environments, links)
        spare = {path for path in builds(options.root) if not {path, os.path.realpath(path)} & kept}
        complete = all_generations(options.root)
        unseen = {each.path: why_maybe_elsewhere(each, complete) for each in complete if each.path in spare}
        led_to = [[path for path in spare if link.leads_to(path)] for link in links]
        gone = discard([path for path in spare if not unseen.get(path)], report.note)
        for link, before in zip(links, led_to):
            link.forget(gone, before)
    for path in gone:
        report.note("removed %s" % tilde(path))
    for path in sorted(spare.difference(gone)):
        reason = unseen.get(path) or "a running process uses it, or may, or it cannot be removed"
        report.note("%s stays, for %s" % (tilde(path), reason))
    if options.all:
        forget_stamps(options.root, "")
        for name in names:
            remove_file(stamp_path(options.root, name))
            remove_file(shell_stamp_path(options.root, name))
        clear_cache()
        forget_state(options.root)
    gone += discard_unused(0 if options.all else SCRIPT_DAYS)
    if not gone and not spare and not options.all:
        report.note("there is nothing to remove")
    return 0


def in_need(environments, links):
    """The directories of generations that a link leads to, or that are current: a set of paths.

    Runs nothing of the repo's for it, such as the python of a generation that came with the repo (H11).
    """
    current = [find_generation(each, may_run=False)[0] for each in environments]
    return set().union(*(link.destinations() for link in links)) | {each.path for each in current if each}


# What `clean --all` removes from the user cache, by the names that we give: files, and directories with our mark.
CACHE_FILES = (("answers", "[0-9a-f]{16}"), ("uv", r"uv-\d.*|lock"))
CACHE_TREES = (("pip", r"\d.*-[0-9a-f]{16}|" + ASIDE_NAME), ("shell", DIGEST_NAME), ("uv", ASIDE_NAME),
               ("tools", "(pip|uv)_cache_dir"))


def clear_cache():
    """Empty the user cache, unless a boot uses it. What is locked, or used by a running process, stays (H18)."""
    file, reason = None, "it cannot be written"
    try:
        if can_write(cache_dir()):
            file = open_lock(cache_dir("in-use"))
            reason = "" if try_lock(file) else "another prime uses it"
    except OSError as problem:  # a file system without locks, or another user's file
        reason = "another prime may use it: it cannot be locked (%s)" % problem.strerror
    if reason:
        report.note("the cache %s stays, for %s" % (tilde(cache_dir()), reason))
    else:
        clear_locked_cache()
    if file:
        file.close()


def clear_locked_cache():
    """`clear_cache` of one that no other process uses."""
    files = [path for name, pattern in CACHE_FILES for path in paths_named(cache_dir(name), pattern)]
    trees = [path for name, pattern in CACHE_TREES for path in own_entries(cache_dir(name), pattern)]
    locks = [path for path in paths_named(cache_dir("locks"), "[0-9a-f]{16}") if not is_held(path)]
    used = used_by_processes(files, report.note)
    for path in files + locks:
        if path not in used and is_file(path):
            remove(path)
    discard(trees)
    if files or trees:
        report.note("emptied the cache %s" % tilde(cache_dir()))


def discard_unused(days):
    """Remove from the user cache the environments of scripts that no process uses and that were not run for `days`.

    And those of repos that are gone, if nothing was built for them in that time (M13). Returns their paths.
    """
    import time

    def is_unused(place):
        is_all_seen = all(map(is_for_us_alone, all_generations(place)))
        last = time.time() - (days if is_all_seen else max(days, UNSEEN_DAYS)) * 24 * 3600
        return os.stat(place).st_mtime <= last and not is_held(os.path.join(place, ".prime", "lock"))

    states = own_entries(cache_dir("states"), "[0-9a-f]{16}")
    places = own_entries(cache_dir("scripts"), DIGEST_NAME)
    places += [each for each in states if not os.path.lexists(root_of_state(each))]
    gone = discard(filter(is_unused, places))
    for root in gone:
        report.note("removed %s" % tilde(root))
    return gone


# --------------------------------------------------------------------------------------------------
# Running a command
# --------------------------------------------------------------------------------------------------
# `run` and `shell` become a program in the environment. A script with metadata (PEP 723) runs in one of its own, which
# is that of a small repo in the user's cache.


def read_stdin():
    """The text of the script on stdin. Stdin starts over, for the python that will run the script."""
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


def complete_script(root, texts):
    """The `Environment` of a script in a cache that is only read, if it is complete there; else None (M11, N2).

    root   str, its directory there; texts  dict, the files that must be in it, by name
    """
    is_written = root == cache_dir("scripts", os.path.basename(root)) and os.access(root, os.W_OK)
    if not is_ours(root) or is_written or not os.path.isdir(state_dir(root, "envs")):
        return None
    if any(bytes_of(os.path.join(root, file)) != text.encode() for file, text in texts.items()):
        return None
    environment = load_environment(load_config(root))
    return environment if find_generation(environment)[0] else None


def script_environment(options, source, name):
    """The `Environment` of the script with this source text, in the user cache; None if it has no metadata (PEP 723).

    It belongs to a small repo in the cache, whose config joins the script's metadata and our index settings. What the
    lock of the script pins (`uv lock --script`) becomes that repo's pylock.toml, else its [tool.uv] is the script's.
    name  str, the path of the script; "" for stdin
    """
    metadata = script_metadata(source, name or "stdin")
    if metadata is None:
        return None
    required, dependencies, settings = metadata
    environment = open_environment(options)
    name = os.path.abspath(name or "-")
    lock = name + ".lock" if os.path.isfile(name + ".lock") else ""
    texts = {OWN_CONFIG: derived_config(environment, required, dependencies, "pylock.toml" if lock else "")}
    if settings and not lock:
        texts[PYPROJECT] = "[tool]\nuv = %s\n" % as_toml(from_directory(settings, os.path.dirname(name)))
    keys = sorted(texts.items()) + ([name, hash_file(lock)] if lock else [])
    for place in cache_dirs("scripts", digest(keys)):
        complete = complete_script(place, texts)
        if complete:
            return complete
    root = writable_cache("scripts", digest(keys))
    if os.path.lexists(root) and not is_ours(root):
        raise PrimeError("%s belongs to another user, or others may write to it" % root, hint=CACHE_HINT)
    make_own(root)
    for file, text in texts.items():
        if bytes_of(os.path.join(root, file)) != text.encode():
            write_atomic(os.path.join(root, file), text.encode())
    if lock and not os.path.exists(os.path.join(root, "pylock.toml")):
        driver_of(environment, "venv_uv", "pylock.toml").export_script(name, os.path.join(root, "pylock.toml"))
    tend(os.utime, root)  # `clean` removes those that were not run for long
    return load_environment(load_config(root))


def from_directory(settings, directory):
    """The [tool.uv] of a script with absolute paths where it has some that are relative to the script's directory."""
    settings = dict(settings)

    def absolute(text):
        return text if not isinstance(text, str) or is_url(text) else os.path.join(directory, text)

    def with_paths(value, key):
        if isinstance(value, list):
            return [with_paths(each, key) for each in value]
        return dict(value, **{key: absolute(value[key])}) if isinstance(value, dict) and key in value else value

    sources = table_in(settings, SCRIPT_METADATA, "sources")
    settings.update({"sources": {name: with_paths(each, "path") for name, each in sources.items()}} if sources else {})
    for key in {"find-links", "index-url", "extra-index-url"} & set(settings):
        value = settings[key]
        settings[key] = list(map(absolute, value)) if isinstance(value, list) else absolute(value)
    if "index" in settings:
        settings["index"] = with_paths(settings["index"], "url")
    return settings


def script_metadata(source, name):
    """What a script's metadata says (PEP 723): requires-python, a str, dependencies, a list, and [tool.uv], a dict.

    None without metadata. PrimeError with status 2, which has the script's `name`, if the metadata is malformed.
    """
    blocks, is_open = metadata_blocks(source)
    if len(blocks) > 1:
        raise PrimeError("%s has more than one block of metadata (PEP 723)" % name, status=2)
    if not blocks and is_open:
        raise PrimeError("%s: the script's metadata (PEP 723): \"# /// script\" has no \"# ///\" behind it" % name,
                         hint="each line between begins with \"# \", or is \"#\"", status=2)
    if not blocks:
        return None
    try:
        document = parse_toml(blocks[0])
    except TomlError as error:
        as_in_script(error, source, blocks[0])
        raise error.as_error("%s: the script's metadata (PEP 723)" % name)
    required, dependencies = document.get("requires-python", ""), document.get("dependencies", [])
    where = "%s of %s" % (SCRIPT_METADATA, name)
    check_script_keys(document, where)
    for key, kind, value in (("requires-python", "text", required), ("dependencies", "texts", dependencies)):
        problem = why_not_kind(key, kind, value)
        if problem:
            raise PrimeError(problem, where, status=2)
    for line in dependencies:
        if not requirement_parts(line):
            hint = "a directory is a source: [tool.uv.sources]" if "/" in line else ""
            raise PrimeError("dependencies: %s is no requirement" % shown_value(line), where, hint=hint, status=2)
    try:
        parse_clauses(required)  # R8: a script never names an executable
    except PrimeError as error:
        raise PrimeError("malformed requires-python: %s" % error, where, status=2,
                         hint='it is specifiers, such as ">=3.11"')
    return required, dependencies, table_in(document, where, "tool", "uv")


# The keys of a script's metadata, and the fields of ours that mean the same.
SCRIPT_KEYS = {"requires-python": "required_python_version", "dependencies": "dependencies", "tool": ""}


def check_script_keys(document, where):
    """PrimeError for a key in a script's metadata that was meant for one of `SCRIPT_KEYS`, else a notice (U10).

    The standard allows no others today, and uv passes over them: a script of tomorrow must run.
    """
    for key in set(document) - set(SCRIPT_KEYS):
        field = MEANT.get(key.replace("-", "_").lower())
        near = next((each for each in SCRIPT_KEYS if SCRIPT_KEYS[each] == field), "")
        near = near or nearest_name(key.lower(), list(SCRIPT_KEYS))
        if near:
            raise PrimeError('unknown key "%s"' % key, where, status=2, hint='did you mean "%s"?' % near)
        report.note_once('unknown key "%s" means nothing (%s)' % (key, where))


def as_in_script(error, source, block):
    """Let a `TomlError` in a block of metadata name the line and the column of the script itself."""
    lines, inner = source.replace("\r\n", "\n").split("\n"), block.split("\n")[:-1]
    error.line += next(number for number, line in enumerate(lines, 1) if line == SCRIPT_BEGIN
                       and [each[2:] for each in lines[number:number + len(inner)]] == inner)
    error.column, error.source = error.column + 2, "# " + error.source


SCRIPT_BEGIN = "# /// script"


def metadata_blocks(source):
    """The blocks of metadata in a script (PEP 723): a list of str, their TOML; and whether a block has no end.

    As the PEP's regular expression finds them, but in one pass, and empty ones too, as uv does. A block of any type
    begins at the first line that begins one, and ends with the last "# ///" of these comment lines: other such lines
    between them belong to it (R8).
    """
    import re

    blocks, is_open = [], False
    text = (source + "\n").replace("\r\n", "\n")
    for comment in re.finditer(r"(?:^#(?: .*)?\n)+", text, re.MULTILINE):
        lines = comment.group().split("\n")
        begins = [number for number, line in enumerate(lines) if re.match(r"# /// [a-zA-Z0-9-]+\Z", line)]
        ends = [number for number, line in enumerate(lines) if line == "# ///"]
        has_block = begins and ends and begins[0] < ends[-1]
        if has_block and lines[begins[0]] == SCRIPT_BEGIN:
            blocks.append("".join(line[2:] + "\n" for line in lines[begins[0] + 1:ends[-1]]))
        elif SCRIPT_BEGIN in lines[ends[-1] if has_block else 0:]:
            is_open = True
    return blocks, is_open


def derived_config(environment, required, dependencies=(), lock=""):
    """The text of a config for a repo of our making, whose packages come from where those of `environment` do."""
    fields = {name: environment[name] for name in SOURCE_FIELDS if environment.origins[name] != "default"}
    fields["find_links"] = [each if "://" in each else environment.path(each) for each in environment["find_links"]]
    fields.update(required_python_version=required, dependencies=list(dependencies))
    fields.update({"lock_file": lock} if lock else {})
    return "".join("%s = %s\n" % (name, as_toml(fields[name])) for name in sorted(fields))


def environment_to_run(options, name):
    """The `Environment` that a program runs in: that of a script with metadata is its own.

    name  str, the program or script; "-" for the script on stdin
    """
    source = ""
    if name == "-":
        source, name = read_stdin(), ""
    elif has_metadata(name):
        source = loose_text(name, "utf-8-sig")
    return script_environment(options, source, name) or open_environment(options)


def command_run(options):
    """update the environment, then run a program in it"""
    try:
        boots, words = run_words(options.words)
    except NoCommand as problem:
        problem.tried = what_runs(options, *peek(options))
        raise
    environment = environment_to_run(options, words[0])
    prefix = prefix_of(environment, options, boots)
    if words[0].rstrip("0123456789.") == "python" and is_python_file("".join(words[1:2])) and has_metadata(words[1]):
        # Seen here alone, where it costs nothing: the fast path does not look into scripts.
        report.note("python does not read the dependencies in %s; this does: %s" % (words[1], typed("run", words[1])))
    environ = environment.environ(prefix)
    program = find_program(words[0], environ["PATH"]) if words[0] in environment.config.tasks else ""
    if program and not program.startswith(prefix + os.sep):  # such as `run test`, as users of npm type it
        name = ":" * (words[0] in options.commands) + words[0]
        report.note("%s is a task: %s; this runs %s" % (name, typed(name, *words[1:]), program))
    try:
        hand_over(words, prefix, environ)
    except (OSError, PrimeError) as problem:
        raise no_start(problem, words, options, environment, prefix)


def no_start(problem, command, options, environment, prefix):
    """The PrimeError for a command that did not start because of a problem, an OSError or PrimeError: with a hint."""
    error = problem if isinstance(problem, PrimeError) else cannot_run(command[0], problem)
    if error.status == 127:
        error.hint = error.hint or hint_for(command, options, environment, prefix)
    return error


def what_runs(options, environment, prefix):
    """What `run` and tasks can run in an environment whose build is in the directory `prefix`: lines of text."""
    if not environment:
        return []
    text = "%s: %s" % (environment.title, ", ".join(programs_of(prefix)))
    if not prefix:
        text = "%s is not built yet: prime boot" % environment.title
    lines = wrapped(report.as_typed(text), columns() - 3, "  ")
    tasks = ", ".join(name for name, _ in task_rows(environment.config.tasks, options.commands))
    return lines + (wrapped("tasks, without run: " + tasks, columns() - 3, "  ") if tasks else [])


# Programs that people call by their names, whether the environment has them yet or not.
TOOLS = """pytest ruff mypy black isort flake8 pylint tox nox coverage ipython jupyter notebook flask django-admin
uvicorn gunicorn celery alembic pre-commit sphinx-build mkdocs twine hatch poetry pdm""".split()
ONE_WORD = "it is one word, with the blanks in it; several are: "
# What a shell does itself, without a program.
BUILTINS = ". alias cd eval export set source ulimit umask unset".split()


def hint_for(command, options, environment, prefix):
    """What to type instead of `run` with a program that is not there: one that is, or a task (U1)."""
    name, programs = command[0], programs_of(prefix)
    if len(command) == 1 and len(name.split()) > 1:
        return ONE_WORD + ("prime run " + name.strip() if options.command else as_toml(name.strip().split()))
    if os.path.isfile(name + ".py"):
        return meant_to_run([name + ".py", *command[1:]], options)
    if os.path.dirname(name) or is_python_file(name) or os.path.isfile(name):
        return hint_for_file(command, options, environment)
    if os.path.isdir(name):
        return "it is a directory"
    if name.rstrip("0123456789.") == "pip":
        return where_to_add(environment, "list packages in")
    if not options.command and name in environment.config.tasks:
        return "%s is a task: needs = [%s] runs it before" % (name, as_toml(name))
    if not options.command and name == "cd":
        return 'no shell runs this: cwd = "..." names the directory of a task'
    hint = hint_for_shell(command) if options.command else ""
    if hint:
        return hint
    is_task_near = options.command and name.lower() not in TOOLS  # what a task runs is no task, and pytest no `test`
    tasks = environment.config.tasks if is_task_near else ()
    near = nearest_name(name, [*tasks, *programs])
    if near in tasks and near not in programs:
        return "did you mean: prime %s" % shown([":" * (near in options.commands) + near, *command[1:]])
    if near:
        return meant_to_run([near, *command[1:]], options)
    return "if a package brings it, " + where_to_add(environment)


def hint_for_shell(command):
    """What to type instead of `run` with a word that only a shell knows; "" if it is none (U1)."""
    variable, sign, _ = command[0].partition("=")
    if sign and variable.isidentifier():
        return "variables stand before it: %s prime %s" % (shown(command[:1]), shown(["run", *command[1:]]))
    return "a shell knows it: prime shell -c " + shown([shown(command)]) if command[0] in BUILTINS else ""


def meant_to_run(command, options):
    """The hint that a command was meant: as `run` takes it, or the program for a task's line."""
    return "did you mean: prime %s" % shown(["run", *command]) if options.command else 'did you mean "%s"?' % command[0]


def hint_for_file(command, options, environment):
    """What to type instead of `run` with the name of a file that is not there, or that is no program (U1)."""
    name = command[0]
    if os.path.islink(name) and not os.path.exists(name):
        return "it is a link to %s, which is not there" % os.readlink(name)
    if not os.path.isfile(name):
        near = near_file(name)
        return meant_to_run([near, *command[1:]], options) if near else ""
    if os.access(command[0], os.X_OK):
        return meant_to_run([os.path.join(os.curdir, name), *command[1:]], options)
    if os.path.abspath(name) in map(environment.path, environment["requirements_files"]):
        return "prime boot installs what it lists"
    if is_script(name):
        return "chmod +x %s; then prime %s" % (shown([name]), shown(["run", os.path.join(os.curdir, name)]))
    return opened_by(name)


def command_task(options):
    """become a task of the config, after the tasks that it needs"""
    config, name = load_config(options.root), task_name(options.words[0], ())
    if name not in config.tasks:
        raise NoCommand("unknown command %s" % options.words[0], status=2)
    steps = {}  # type: dict
    add_steps(config, config.tasks, name, steps)
    tasks = [config.tasks[each] for each in steps]
    words = options.words[1:]
    if words and not tasks[-1].words:
        raise config.error("tasks." + name, "task %s takes no arguments: it has no command, only needs" % name)
    tasks = [each for each in tasks if each.words]
    if tasks[1:]:  # no stage may start all over, which would run them twice
        options.stage = ""
    for task in tasks[:-1]:
        status = run_task(task, options, run_beside)
        if status:
            raise PrimeError("task %s failed, so that %s does not run: exit status %d" % (task.name, name, status),
                             status=status)
    tasks[-1].words += words
    return run_task(tasks[-1], options, replace_process)


def run_task(task, options, start):
    """Make the environment of a task current, and start the task there by `start`, whose result is returned.

    An environment that -e names goes before that of the task; PROTOPRIMER_ENV and `use` do not.
    """
    import copy

    options = copy.copy(options)
    options.env = options.env or task.env
    environment = environment_to_run(options, task.script(options.root))
    prefix = prefix_of(environment, options, boots=True)
    environ = environment.environ(prefix, task.variables)
    report.detail("task %s: %s" % (task.name, shown(task.words)))
    try:
        with working_directory(task.directory(options.root), environ):
            try:
                return start(*program_in(task.words, prefix, environ))
            except (OSError, PrimeError) as problem:
                raise no_start(problem, task.words, options, environment, prefix)
    except PrimeError as error:
        where = load_config(options.root).where("tasks." + task.name)
        raise PrimeError("task %s: %s" % (task.name, error), where, error.tried, error.hint, error.status)


def task_rows(tasks, commands):
    """Tasks, a dict as in a `Config`, for people: a list of (what is typed, what it does).

    commands  the words that mean commands of ours: a task of such a name is typed with a colon
    """
    return [(":" * (name in commands) + name, task.help or shown(task.words) or "needs " + ", ".join(task.needs))
            for name, task in tasks.items()]


def environment_of_shell(environment, options):
    """The directory of the environment for a shell, made current, and the variables of the shell, a dict."""
    prefix = prefix_of(environment, options, boots=True)
    link = link_of(environment)
    if is_same_place(link.path, prefix):  # a shell outlives generations, and uses the one of the moment (M1)
        prefix = link.path
    return prefix, dict(environment.environ(prefix), VIRTUAL_ENV_PROMPT=environment.prompt)


def command_shell(options):
    """start your shell in the environment"""
    environment = open_environment(options)
    prefix, environ = environment_of_shell(environment, options)
    shell = os.environ.get("SHELL") or "/bin/sh"
    if WINDOWS and os.path.basename(shell).lower().partition(".")[0] not in POWERSHELLS:  # Git Bash sets it to its own
        shell = os.environ.get("COMSPEC", "cmd.exe")
    program = find_program(shell, environ["PATH"])
    name = os.path.basename(program).lower()
    if not program:
        raise no_program(shell, environ["PATH"], "there is no shell %s" % shell, hint="set SHELL")
    try:
        words, variables = shell_start(name, prefix, environment.prompt, environ)
    except OSError as problem:  # the prompt is a courtesy: the shell starts without it
        report.note("the shell is not told of the environment: %s" % problem)
        words, variables = [], {}
    if options.line is not None:  # fish and csh alone read files of the user's then, which could set another PATH
        words = [*words[:2 * (name == "fish")], "/c" if name == "cmd.exe" else "-c", options.line]
        variables = variables if "csh" in name else {}
    elif os.path.isfile(program) and os.access(program, os.X_OK):
        report.note("%s, in environment %s; exit leaves it" % (program, environment.name))
    try:
        replace_process([program] + words, dict(environ, **variables))
    except OSError as problem:
        raise cannot_run(program, problem, "SHELL names it")


# What makes each kind of shell show and use an environment: arguments, variables, and the files that it reads. These
# read the user's own files first, which may set PATH and prompt. `shell_start` fills in the values.
SHELLS = {
    "bash": (["--rcfile", "%(directory)s/bashrc"], {}, {"bashrc": "[ -f ~/.bashrc ] && . ~/.bashrc\n%(lines)s"}),
    # At the first prompt, after all files. Those in /etc name others in ZDOTDIR, which must be the user's by
    # then: /etc/zshrc_Apple_Terminal keeps the history there (M23). preexec, for a .zshrc may set precmd_functions.
    "zsh": ([], {"ZDOTDIR": "%(directory)s"}, {".zshenv": """\
%(ZDOTDIR)s[ -f "${ZDOTDIR:-$HOME}/.zshenv" ] && . "${ZDOTDIR:-$HOME}/.zshenv"
_prime_start() {
precmd_functions=("${precmd_functions[@]:#_prime_start}")
preexec_functions=("${preexec_functions[@]:#_prime_start}")
unfunction _prime_start
%(lines)s}
typeset -ga precmd_functions preexec_functions
precmd_functions+=(_prime_start) preexec_functions+=(_prime_start)
"""}),
    "fish": (["--init-command", "set -gx PATH %(programs)s $PATH; functions -c fish_prompt _prime_prompt; "
              "function fish_prompt; printf %%s %(label)s; _prime_prompt; end"], {}, {}),
    "sh": ([], {"ENV": "%(directory)s/rc"}, {"rc": "%(ENV)s%(own_rc)s%(lines)s"}),
    "yash": (["--rcfile=%(directory)s/yashrc"], {}, {"yashrc": "[ -f ~/.yashrc ] && . ~/.yashrc\n%(lines)s"}),
    # It has no option for it: it reads what is in the home directory, which is the user's again by the first line.
    "tcsh": ([], {"HOME": "%(directory)s"}, {".tcshrc": """\
%(HOME)sif ( -r ~/.tcshrc ) then
source ~/.tcshrc
else if ( -r ~/.cshrc ) then
source ~/.cshrc
endif
setenv PATH %(csh_programs)s:"$PATH"
if ( $?prompt ) set prompt = %(csh_label)s"$prompt:q"
"""}),
    "cmd.exe": ([], {"PROMPT": "%(prompt)s"}, {}),
    "pwsh": (["-NoLogo", "-NoExit", "-Command", "$function:prime_prompt = $function:prompt; "
              "function prompt { %(powershell_label)s + (prime_prompt) }"], {}, {}),
}  # type: dict
POWERSHELLS = "pwsh", "powershell"
SHELLS.update(dict.fromkeys(("dash", "ash", "ksh", "ksh93", "mksh", "busybox"), SHELLS["sh"]))
SHELLS["csh"] = SHELLS["tcsh"]  # most often it is the same program
# What ksh and mksh read where ENV is not set; the others read nothing then.
KSH_RC = """\
case ${KSH_VERSION-} in *MIRBSD*) ENV=~/.mkshrc ;; *93*) ENV=~/.kshrc ;; esac
[ ! -f "${ENV-}" ] || . "$ENV"
unset ENV
"""
SHELLS.update(dict.fromkeys(("pwsh.exe", "powershell.exe"), SHELLS["pwsh"]))


def shell_start(kind, prefix, name, environ):
    """How a shell starts with the environment's programs first on PATH, and its name in the prompt.

    kind     str, the name of the shell's program; one that `SHELLS` lacks starts as it always does
    prefix   str, the directory of the environment; name  str, for the prompt
    environ  dict, the variables that the shell gets
    Returns (list of str: its arguments, dict: more variables). OSError if the files cannot be written.
    """
    import shlex

    directory = writable_cache("shell", digest([prefix, name, *map(environ.get, ("ENV", "ZDOTDIR", "HOME"))]))
    make_own(directory)
    if not is_ours(directory):  # the shell would run what others put there
        raise PermissionError(13, "belongs to another user, or others may write to it", directory)
    values = {"directory": directory, "label": shlex.quote("(%s) " % name),
              "programs": shlex.quote(os.path.join(prefix, BIN)), "own_rc": KSH_RC}
    values.update(csh_label=csh_quote("(%s) " % name.replace("%", "%%")),
                  csh_programs=csh_quote(os.path.join(prefix, BIN)),
                  HOME="setenv HOME %s\nset home = \"$HOME\"\n" % csh_quote(home_dir()))
    values["lines"] = "PATH=%(programs)s:$PATH\nPS1=%(label)s\"$PS1\"\n" % values
    for variable in ("ENV", "ZDOTDIR"):  # as they were, for the user's own files and for shells in this one
        value = environ.get(variable)
        values[variable] = "%s=%s\n" % (variable, shlex.quote(value)) if value else "unset %s\n" % variable
    if environ.get("ENV"):
        values["own_rc"] = 'eval "[ ! -f \\"$ENV\\" ] || . \\"$ENV\\""\n'  # eval, for its value may hold a $HOME
    values["prompt"] = "(%s) %s" % (name.replace("$", "$$"), environ.get("PROMPT") or "$P$G")  # as cmd's own
    values["powershell_label"] = "'(%s) '" % name.replace("'", "''")
    words, variables, files = SHELLS.get(kind.lower(), ([], {}, {}))
    for file, text in files.items():
        write_atomic(os.path.join(directory, file), (text % values).encode("utf-8", "surrogateescape"))
    return [word % values for word in words], {variable: text % values for variable, text in variables.items()}


def command_env(options):
    """print what an active environment sets, for a shell, direnv or CI"""
    shell = options.shell or ("pwsh" if WINDOWS else "sh")
    missing = [name for name in GITHUB_FILES if shell == "github" and not os.environ.get(name)]
    if missing:
        raise PrimeError("%s is not set: --shell github is for a step of GitHub Actions" % missing[0], status=2)
    environment = open_environment(options)
    prefix, environ = environment_of_shell(environment, options)
    programs = os.path.join(prefix, BIN)
    environ["PATH"] = os.pathsep.join([programs] + search_of_shell(environment.root, environ["PATH"], programs))
    names = ["VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PATH"]
    names += map(variable_name, list(environment["env_vars"]) + list(read_env_file(environment.env_file)))
    values = {name: environ[name] for name in names}
    if shell == "json":
        emit(as_json({"schema": SCHEMA, "set": values, "unset": ["PYTHONHOME"], "path": [programs]}))
        return 0
    for name in [name for name in values if not is_settable(name, values[name], shell)]:
        report.note("%s is left out: %s cannot set it" % (visible(name), shell))
        del values[name]
    if shell == "github":
        write_for_github(values, programs)
    else:
        emit("".join(env_lines(values, shell)))
    return 0


def search_of_shell(root, search, programs):
    """The directories of a search path without those of this repo's environments, so that it may be evaluated twice.

    Without those, too, that a shim of pyenv put before the caller's: the shell would find no shim any more.
    programs  str, the directory that stands first on it
    """
    envs, pyenv = state_dir(root, "envs"), os.environ.get("PYENV_ROOT", "") if "PYENV_DIR" in os.environ else ""
    others = [each for each in search.split(os.pathsep)
              if each != programs and os.path.dirname(os.path.dirname(each)) != envs]
    begins = tuple(os.path.join(pyenv, name, "") for name in ("versions", "libexec", "plugins"))
    while pyenv and others and (others[0] + os.sep).startswith(begins):
        others.pop(0)
    return others


def is_settable(name, value, shell):
    """True if a shell has a way to set a variable to a value. A name that is more than letters could be a command."""
    is_plain = name.isidentifier() and name.encode("ascii", "ignore").decode() == name
    return is_plain and not (shell == "cmd" and set("\r\n") & set(value))


def pwsh_quote(text):
    """A text in single quotes, as PowerShell reads it: typographic ones end it as well."""
    return "'%s'" % "".join(char * 2 if char in "'\u2018\u2019\u201a\u201b" else char for char in text)


CMD_ESCAPES = str.maketrans(dict({char: "^" + char for char in '^&|<>()"!'}, **{"%": "%%"}))


def cmd_quote(text):
    """A text behind `set NAME=` in a batch file, as cmd reads it: outside of quotes, for one in it would end them."""
    return text.translate(CMD_ESCAPES)


# How a shell sets a variable, how it takes PYTHONHOME away, and how it quotes a value.
ENV_SHELLS = {
    "sh": ("export %s=%s;\n", "unset PYTHONHOME;\n", sh_quote),
    "fish": ("set -gx %s %s;\n", "set -e PYTHONHOME;\n", fish_quote),
    "pwsh": ("$env:%s = %s\n", "Remove-Item -ErrorAction Ignore Env:PYTHONHOME\n", pwsh_quote),
    "cmd": ("@set %s=%s\r\n", "@set PYTHONHOME=\r\n", cmd_quote),
}  # type: dict
GITHUB_FILES = ("GITHUB_ENV", "GITHUB_PATH")


def env_lines(values, shell):
    """The lines that set variables, a dict, in a shell of `ENV_SHELLS`."""
    line, unset, quote = ENV_SHELLS[shell]
    for name, value in values.items():
        is_list = shell == "fish" and name == "PATH"  # which an old fish does not split
        parts = [each for each in value.split(os.pathsep) if each] if is_list else [value]
        yield line % (name, " ".join(map(quote, parts)))
    yield unset


def write_for_github(values, programs):
    """Give variables, a dict, and the directory of programs to the later steps of a job of GitHub Actions.

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions#environment-files
    """
    lines = []
    for name, value in values.items():
        end = "end-" + random_name()  # none that a value could have
        is_simple = not set("\r\n") & set(value)
        lines.append("%s=%s\n" % (name, value) if is_simple else "%s<<%s\n%s\n%s\n" % (name, end, value, end))
    texts = "".join(line for line in lines if not line.startswith("PATH=")), programs + "\n"
    for variable, text in zip(GITHUB_FILES, texts):
        with open(os.environ[variable], "ab") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    report.note("later steps have %s, and %s first on PATH" % (", ".join(sorted(set(values) - {"PATH"})), programs))


# --------------------------------------------------------------------------------------------------
# Lock and vendor
# --------------------------------------------------------------------------------------------------
# `lock` writes a pylock.toml for every platform; `vendor` gathers all that a boot without network needs.


def tools_of(environment):
    """The driver `venv_uv`, which resolves for both, and an environment's `Interpreter`, whatever its lock says."""
    environment.locked = []
    python = python_to_build(environment)
    driver = driver_of(environment, "venv_uv", "pylock.toml")
    documents = map(environment.config.project, directories_of_projects(environment))
    driver.is_anew = any(map(has_computed_requirements, documents))  # uv's cache knows not which files a build reads
    return driver, python


def resolve(environment, driver, python, target):
    """Resolve what an environment requires into the file `target`, for each python that it may have.

    If nothing says which is the oldest, that is the oldest one with which all can be resolved, from 3.8 on (R17).
    """
    options = index_options(environment)
    if environment["constraints_file"]:
        options += ["--constraint", environment.path(environment["constraints_file"])]
    wanted = driver.requirements(environment)
    lines, more = wanted.lines()
    options += more + wanted.constraint_options(target + ".sources")
    clauses = [clause for request in environment.wanted() for clause in request.clauses]
    floors = [clause.version for clause in clauses if clause.operator in ("~=", ">=", "==", ">")]
    highest = max(floors, key=lambda version: version.key, default=None)
    if highest and len(highest.release) > 1:  # "3" names none
        oldest_ones = [".".join(map(str, highest.release[:3]))]
    else:
        release = Version(python.version).release
        minors = range(min(OLDEST_UV_PYTHON[1], release[1]), release[1] + 1)
        oldest_ones = ["%d.%d" % (release[0], minor) for minor in minors] + [python.version]
    try:
        for oldest in oldest_ones:
            try:
                return driver.resolve(lines, target, python, options, environment.root, oldest)
            except PrimeError as problem:
                if oldest == oldest_ones[-1] or not depends_on_python(problem):
                    raise
    finally:
        tend(remove, target + ".sources")


def depends_on_python(problem):
    """True if uv may have failed to resolve, as an error says, only because a package is not for so old a python.

    That of an old version without a wheel, which no longer builds, counts as well.
    """
    import re

    words = "(other|requested) Python version|not the current one|requires Python|[Ff]ailed to build `[^` ]+=="
    return bool(re.search(words, "\n".join(problem.tried)))


def command_lock(options):
    """pin all packages for every platform: pylock.toml, uv.lock"""
    environment = open_environment(options, may_lack_lock=True)
    check_repo(environment.root)
    driver, python = tools_of(environment)
    is_main = environment.name == environment["default_env"]
    name = "pylock.toml" if is_main else "pylock.%s.toml" % environment.name
    if environment.origins["lock_file"] != "default" and environment["lock_file"].endswith(".toml"):
        name = environment["lock_file"]
    target = environment.path(name)
    directory = os.path.dirname(target)
    is_of_uv = environment["lock_file"].endswith("uv.lock") and not beside_projects(environment)
    decisive = environment.path(environment["lock_file"]) if is_of_uv else target
    before = pins_of(decisive)
    for end in (".toml", ".toml.in", ".toml.sources"):
        remove_leftovers(directory, "pylock.aside-", end)
    aside = os.path.join(directory, "pylock.aside-%s.toml" % random_name())
    try:
        if is_of_uv:
            driver.renew(environment, python, options.upgrade)
            if not os.path.lexists(target):  # uv.lock is all that is read
                note_pins("%s is up to date; commit it" % environment["lock_file"], decisive, before)
                return 0
            driver.export(environment, aside, python.path)
        else:
            if not (os.path.lexists(target) or asking_files(environment) or environment["dependencies"]):
                raise PrimeError("nothing to lock: " + NOTHING_ASKS, hint=where_to_add(environment, "list packages in"))
            if before and not options.upgrade:
                write_atomic(aside, load_text(target).encode())  # so that uv keeps what it pins
            resolve(environment, driver, python, aside)
        text, count = lock_text(environment, load_text(aside))
    finally:
        tend(remove, aside)
    write_atomic(target, text.encode())
    says = "names %s; commit it" % counted(count) if count else "names no package, for none is asked for"
    note_pins("%s %s" % (name, says), decisive, before)
    return 0


def note_pins(text, path, before):
    """Say that a lock was written, and what it pins otherwise than `before`, as `pins_of`, did (R14)."""
    changes = [] if before is None else package_changes(before, pins_of(path) or {})
    report.note(text, change_lines(changes, report.arrow()))


def pins_of(path):
    """What a pylock.toml or a uv.lock pins: a dict of package name to its version, or to what it has instead of one.

    None if the file is not there or is no lock, as after an unfinished merge.
    """
    pins = {}  # type: dict
    try:
        document = parse_toml(load_text(path))
        for package in document.get("packages") or document.get("package") or []:
            commit, directory = (package.get(kind, {}) for kind in ("vcs", "directory"))
            version = package.get("version") or commit.get("commit-id", "")[:12] or directory.get("path", "")
            pins.setdefault(package["name"], set()).add(version)
        return {name: ", ".join(sorted(versions)) for name, versions in pins.items()}
    except (PrimeError, TomlError, AttributeError, KeyError, TypeError):
        return None


def lock_text(environment, text):
    """Complete the text of a pylock.toml: without the projects of the repo, and with the inputs that it was made from.

    Returns (str: the text, int: the number of its packages).
    """
    head, *blocks = text.split("[[packages]]\n")
    projects = [project["path"] for project in environment["projects"]]
    kept = []
    for block in blocks:
        directory = parse_toml("[[packages]]\n" + block)["packages"][0].get("directory", {})
        if environment.path(directory.get("path", os.sep)) not in projects:
            kept.append("[[packages]]\n" + block)
    if environment["platforms"] and "\nenvironments" not in head:
        markers = ["    %s,\n" % as_json(PLATFORMS[each][0]).strip() for each in environment["platforms"]]
        head = head.rstrip("\n") + "\nenvironments = [\n%s]\n\n" % "".join(markers)
    if not kept and "\npackages" not in head:  # PEP 751 requires it
        head = head.rstrip("\n") + "\npackages = []\n"
    body = (head + "".join(kept)).rstrip("\n")
    inputs = '[tool.proto-prime]\ninputs = "%s"\n' % lock_inputs(environment)
    return "# Made by `prime lock`.\n%s\n\n%s" % (body, inputs), len(kept)


class Vendoring:
    """What one `prime vendor` gathers, and what it needs for that.

    environment, driver, python  an `Environment`, the driver that resolves for both, and an `Interpreter`
    aside      str, a directory for unfinished work
    platforms  list of str, as in the config
    files      dict, as `Lock.files`: those that are gathered so far
    missing    list of str, what a boot without network will lack, and why
    trusted    set of str, the SHA-256 of files that a lock of the repo names: since these do not come from the server
               of the files, any server will do (H7)
    indexes    list of str, the URLs whose credentials their servers get
    """

    def __init__(self, environment, aside):
        self.environment, self.aside = environment, aside
        self.driver, self.python = tools_of(environment)
        self.platforms = environment["platforms"] or [this_platform()]
        self.files, self.missing, self.trusted = {}, [], set()  # type: dict, list, set
        self.indexes = [environment["index_url"], *environment["extra_index_urls"], *users_indexes()]
        self.locks = 0

    def resolve(self, lines, oldest=""):
        """Resolve requirements, a list of str, without those of the environment. Returns a `Lock`."""
        self.locks += 1
        path, options = os.path.join(self.aside, "pylock.%d.toml" % self.locks), index_options(self.environment)
        self.driver.resolve(lines, path, self.python, options, self.environment.root, oldest or self.python.version)
        return read_lock(self.environment, path)


def command_vendor(options):
    """download everything for an offline install"""
    environment = open_environment(options)
    root = environment.root
    check_repo(root)
    target = named_path(options.directory or vendor_dir(root))
    check_vendor_target(root, target)
    read_manifest(target)
    check_vendor_owner(root, target)
    prepare_state(root)
    with aside_directory(state_dir(root)) as aside:
        work = Vendoring(environment, aside)
        gather(work)
        vendor_files(work.files, target, work.trusted, work.indexes, work.python.kind())
    if options.python:
        pythons = os.path.join(target, "python")
        check_vendor_target(root, pythons)
        vendor_pythons(environment, work.driver, work.python, work.platforms, pythons)
    tell_of_unnamed_files(target)
    tell_of_ignored_files(target)
    holds = "%s holds %d files for %s on %s" % (
        tilde(target), len(work.files), work.python.kind(), ", ".join(work.platforms))
    if work.missing:  # R19
        raise PrimeError("%s, but a boot without network lacks more" % holds, tried=work.missing,
                         hint="require what has wheels, or put wheels into a directory that find_links names")
    hint = report.as_typed("prime --offline uses it")
    if target != vendor_dir(root):
        hint = 'find_links = ["%s"] with no_index = true uses it' % path_below(target, root)
    report.note("%s; %s" % (holds, hint))
    return 0


def gather(work):
    """Find the files of all that a boot without network needs: what is installed, what builds it, and uv."""
    environment, aside = work.environment, os.path.join(work.aside, "pylock.toml")
    path = environment["lock_file"]
    if path.endswith("uv.lock"):
        work.driver.export(environment, aside, work.python.path)
    elif not path:
        resolve(environment, work.driver, work.python, aside)
    lock = read_lock(environment, environment.path(path) if path.endswith(".toml") else aside)
    if path:
        work.trusted = {sha256 for _, sha256, _ in lock.files.values()}
    sources = add_packages(work, lock)
    directories = [lock.directory_of(package["directory"]) for package, _ in lock.unpinned if "directory" in package]
    add_uv(work)
    add_builders(work, sources, list(filter(os.path.isdir, directories)))
    wheel = bundled_wheel(work.python)
    if wheel and Version(pip_version(wheel)).release < OLDEST_PIP:
        add_packages(work, work.resolve([NEWER_PIP]))


def add_uv(work):
    """Gather the wheels of uv; nobody builds it."""
    lock = work.resolve(["uv==%s" % uv_version(work.driver.uv)], "%d.%d" % OLDEST_UV_PYTHON)
    names = [name for name in lock.files if fits(name, work.platforms, work.python.version)]
    work.files.update((name, lock.files[name]) for name in names)
    lacking = platforms_without(names, work.platforms, work.python.version)
    if lacking and work.environment["venv_driver"] == "venv_uv":
        work.missing.append("uv: it has no wheel for %s" % ", ".join(lacking))
    elif lacking:
        report.note("uv has no wheel for %s: a boot without network takes pip there" % ", ".join(lacking))


def platforms_without(names, platforms, version):
    """Those of `platforms` on which a CPython of `version` can install none of the wheels of these file names."""
    return [platform for platform in platforms if not any(fits(name, [platform], version) for name in names)]


def add_packages(work, lock):
    """Gather the files of a `Lock`: wheels, and where none fits one of the platforms, the sources.

    Returns a list of str: the names of those that are sources, new ones alone.
    """
    sources = []
    for package in lock.packages:
        platforms = [each for each in work.platforms if is_needed(lock, package, work.python, each)]
        wheels = [lock.file_of(each) for each in package.get("wheels", [])]
        names = [name for name in wheels if fits(name, platforms, work.python.version)]
        lacking = [platform for platform in platforms_without(names, platforms, work.python.version)
                   if lock.holds(package.get("marker", ""), lock.values(work.python, platform))]
        if lacking:
            reason = why_not_vendored(lock, package, lacking)
            work.missing += ["%s: %s" % (package["name"], reason)] if reason else []
            names += [lock.file_of(package[kind]) for kind in ("sdist", "archive") if package.get(kind)]
        sources += [name for name in names if not name.endswith(".whl") and name not in work.files]
        work.files.update((name, lock.files[name]) for name in names)
    return sources


def is_needed(lock, package, python, platform):
    """True if an `Interpreter`, or another of its minor version, may want a package of a `Lock` on a platform (R17)."""
    marker, values = package.get("marker", ""), lock.values(python, platform)
    if "extras" in marker or "dependency_groups" in marker:  # maybe by another environment
        return True
    versions = python.version, python.minor() + ".0", python.minor() + ".99"
    return any(lock.holds(marker, dict(values, python_full_version=version)) for version in versions)


def why_not_vendored(lock, package, platforms):
    """The reason why a package of a `Lock` that has no wheel for `platforms` cannot be vendored; "" if it can (R19)."""
    if package.get("vcs"):
        return "it is a checkout, of %s" % masked(package["vcs"].get("url") or package["vcs"]["path"])
    if package.get("archive") and not is_local(lock.url(package["archive"])):
        return "it is required by its URL, %s" % masked(lock.url(package["archive"]))
    if not set(package) & {"sdist", "archive", "directory"}:
        return "it has no wheel for %s, and no sources" % ", ".join(platforms)
    return ""


def add_builders(work, sources, directories):
    """Gather what builds the projects of the repo, and sources, and what builds that, and so on (R19).

    sources      list of str, names of files in `work.files`
    directories  list of str, projects that are built for sure beside those that `projects_built` names
    """
    own = [project["path"] for project in work.environment["projects"]]
    places = list(dict.fromkeys(projects_built(work.environment) + directories)) + sources
    done = []  # type: list
    for place in places:  # grows meanwhile
        try:
            needed = needed_to_build(work, place)
            if needed and needed not in done:
                done.append(needed)
                places += add_packages(work, work.resolve(needed))
        except PrimeError as problem:
            if place in own:
                raise
            if place in work.files or place in directories:
                work.missing.append("what builds %s: %s" % (place, "; ".join([str(problem)] + problem.tried[-1:])))
            else:
                report.note("not vendored: what builds %s, which maybe nothing does: %s" % (place, problem))


def vendor_pythons(environment, driver, python, platforms, target):
    """Let uv put a python for each platform into a directory: of its version, or the newest of its minor if allowed."""
    version, required = python.version, environment.required
    if not required.path and required.failing(Version(python.minor() + ".99")) is None:
        version = python.minor()
    for platform in platforms:
        driver.provide("-".join(filter(None, ["cpython", version, platform_row(platform)[2]])), target)
    ignore = os.path.join(target, ".gitignore")
    if (bytes_of(ignore) or b"").strip() == b"*":  # by uv, which does not expect its pythons to be committed
        write_atomic(ignore, GIT_FILES[".gitignore"])


# Asks a build backend what it requires besides what pyproject.toml says: PEP 517, PEP 660.
BACKEND_ASKS = """
import importlib, sys
answer, backend, *paths = sys.argv[1:]
sys.path[:0] = paths
module, _, name = backend.partition(":")
hooks = importlib.import_module(module)
for part in filter(None, name.split(".")):
    hooks = getattr(hooks, part)
wanted = []
for kind in "wheel", "editable":
    wanted += getattr(hooks, "get_requires_for_build_" + kind, list)()
with open(answer, "w", encoding="utf-8") as file:
    file.write("\\n".join(wanted))
"""


def needed_to_build(work, place):
    """What it takes to build a project, as its pyproject.toml and its build backend say: a sorted list of str.

    place  str, the directory of a project of the repo, or the name of an sdist in `work.files`
    """
    environment, aside = work.environment, work.aside
    is_sdist = place in work.files
    project = fetch_source(work, place) if is_sdist else place
    root = environment.root if is_sdist else project  # where uv finds its settings: not those of others
    requires, backend, paths = build_system(environment, project)
    words = lines = requires
    if not is_sdist:
        needed = Requirements(environment)
        needed.root = aside  # for absolute paths
        needed.add([[line, "", ""] for line in requires], project)
        words, lines = needed.words, needed.lines()[0]
    answer, directory = os.path.join(aside, "answer"), os.path.join(aside, "backend")
    argv = [environment_python(directory), "-I", "-c", BACKEND_ASKS, answer, backend]
    argv += [os.path.join(project, path) for path in paths]
    remove(directory)
    work.driver.create(work.python, directory, "backend")
    if words:
        work.driver.install(words, directory, index_options(environment), root)
    run_tool(argv, "asking the build backend of %s" % place, cwd=project)
    more, file = load_text(answer).splitlines(), os.path.join(project, PYPROJECT)
    return sorted({*lines, *(check_text(line, "what its build backend requires", file, True) for line in more)})


def fetch_source(work, name):
    """Fetch a file of sources in `work.files`, and unpack it. Returns the directory of the project in there."""
    url, sha256, size = work.files[name]
    path, directory = [os.path.join(work.aside, kind, name) for kind in ("sources", "unpacked")]
    fetch_file(url, sha256, size, path, work.trusted, work.indexes)
    work.files[name] = file_url(path), hash_file(path), size
    unpack_source(path, directory)
    names = entries_of(directory)
    return os.path.join(directory, names[0]) if len(names) == 1 else directory


def unpack_source(path, directory):
    """Unpack the regular files of an archive of sources into a directory, none beside it. PrimeError if that fails."""
    import shutil

    total = 0
    try:
        for name, size, source in files_in_archive(path):
            parts = os.path.normpath(name).split(os.sep)
            if any(map(why_no_file_name, parts)):
                continue
            total += size
            if total > BODY_CAP:  # H16
                raise PrimeError("it has more than %d MiB" % (BODY_CAP >> 20))
            target = os.path.join(directory, *parts)
            make_directory(os.path.dirname(target))
            with source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
    except (PrimeError, MemoryError):
        raise
    except Exception as problem:  # of zipfile, tarfile, zlib, lzma, struct: there is no list of them
        raise PrimeError("it cannot be unpacked: %s" % problem)
    if not total:
        raise PrimeError("it is empty")


def files_in_archive(path):
    """The regular files in a zip or a tar archive: yields their names, sizes, and themselves, open."""
    import tarfile
    import zipfile

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, archive.open(entry)
        return
    with tarfile.open(path) as bundle:
        for member in bundle:
            if member.isfile():
                yield member.name, member.size, bundle.extractfile(member)


def projects_built(environment):
    """The directories of the projects that an environment installs, named by itself or by another: a sorted list."""
    own = {project["path"]: project["installable"] for project in environment["projects"]}
    paths = {os.path.dirname(path) for path in input_files(environment) if os.path.basename(path) == "setup.py"}
    return sorted(path for path in paths
                  if own.get(path, is_installable(environment.config.project(path), path, is_package=True)))


def is_discovered(root):
    """True if setuptools looks for the packages and modules of a project by itself, at its top ("flat layout")."""
    if not os.path.isfile(os.path.join(root, PYPROJECT)):
        return False
    config = load_config(root)
    document = config.pyproject
    if is_application(document, is_package="projects" in config.table):  # R3
        return False
    settings = table_in(document, PYPROJECT, "tool", "setuptools")
    backend = table_in(document, PYPROJECT, "build-system").get("build-backend", "setuptools")
    is_named = "py-modules" in settings or "packages" in settings or os.path.isdir(os.path.join(root, "src"))
    older = bytes_of(os.path.join(root, "setup.cfg")) or b""
    is_named = is_named or b"packages" in older or b"py_modules" in older
    is_project = "project" in document or "build-system" in document and not os.path.exists(
        os.path.join(root, "setup.py"))
    return is_project and str(backend).startswith("setuptools") and not is_named


# In a vendored directory, for git: it keeps every file byte for byte, whatever the .gitattributes and the .gitignore
# above say (R19). "!" takes an attribute back where "-" would be a value: git dies of an encoding of that name.
GIT_FILES = {
    ".gitattributes": b"* -text !eol -filter -ident -export-subst !working-tree-encoding\n",
    ".gitignore": b"!*\n",
}


def vendor_files(files, target, committed=(), indexes=(), python=""):
    """Download files into a directory, each verified, and remove those of an earlier time that are not needed.

    files      dict, as `Lock.files`
    committed  set of str, as `Vendoring.trusted`; indexes  list of str, as there
    python     str, the `Interpreter.kind` that these are for
    What the manifest does not name is not ours: it is neither overwritten nor removed (H3). The manifest names each
    file before it is written, so that the next `prime vendor` knows those that a killed one leaves.
    """
    before, _ = read_manifest(target)
    hashes = {name: sha256 for name, (_, sha256, _) in files.items()}
    hashes.update((name, hash_bytes(data)) for name, data in GIT_FILES.items())
    for name, sha256 in hashes.items():
        check_vendor_file(target, name, sha256, is_ours=name in before)
    write_manifest(target, before | set(hashes), python)
    for name, data in GIT_FILES.items():
        write_atomic(os.path.join(target, name), data)
    for name, (url, sha256, size) in sorted(files.items()):
        fetch_file(url, sha256, size, os.path.join(target, name), committed, indexes)
    needed = {name.lower() for name in hashes}  # one file under both spellings, on some file systems
    for name in before:
        if name.lower() not in needed:
            remove(os.path.join(target, name))
    write_manifest(target, hashes, python)


def fetch_file(url, sha256, size, path, committed, indexes):
    """Fetch a file for `vendor_files` to `path`, unless it is there."""
    if sha256 and hash_file(path) == sha256.lower():
        return
    report.step("fetching %s" % os.path.basename(path))
    trust = "hash" if sha256 and sha256 in committed else "loopback"
    download(with_user(url, indexes), path, sha256, size, trust)
    report.done()


def check_vendor_target(root, target):
    """PrimeError if a directory for files of ours is a link, or is below one in the repo (H3)."""
    is_in_repo = target.startswith(root + os.sep)
    for path in ancestors(target):
        if is_link(path):
            raise PrimeError("vendor: %s is a link: nothing is written through it" % path,
                             hint="remove it, or name another directory")
        if path == root or not is_in_repo:
            break
    if os.path.lexists(target) and not os.path.isdir(target):
        raise PrimeError("vendor: %s is no directory" % target, hint="remove it, or name another directory")


# Where one of these stands, `vendor` belongs to Go, PHP or Ruby, which look into it (R19).
VENDORING = ("go.mod", "go.work", "composer.json", "Gemfile")


def check_vendor_owner(root, target):
    """PrimeError if a directory is called vendor and that is others': a language's, setuptools', the repo's (R19)."""
    directory, name = os.path.split(target)
    if name.lower() != "vendor":
        return
    others = [each for each in VENDORING if os.path.lexists(os.path.join(directory, each))]
    entries = entries_of(target) if os.path.isdir(target) else []
    if others:
        reason = "beside %s, vendor/ belongs to another language" % others[0]
    elif directory == root and is_discovered(root):
        reason = "setuptools would take vendor/ for a package of the project"
    elif entries and MANIFEST not in entries:
        reason = "%s was not made by prime vendor: it holds %s" % (tilde(target), shown_value(sorted(entries)[0]))
    else:
        return
    other = os.path.join(directory, ".prime-vendor")
    if os.getcwd() == directory:
        other = os.path.basename(other)
    raise PrimeError("vendor: " + reason, hint="prime vendor " + shown([other]))


def tell_of_ignored_files(target):
    """Say which line of a .gitignore keeps files of a vendored directory out of git: it hides the directory (R19)."""
    import re

    pythons = os.path.join(target, "python")
    names = os.listdir(target) + [os.path.join("python", name) for name in names_if_there(pythons)]
    argv = ["git", "-c", "core.quotePath=false", "check-ignore", "-v", "--"]
    child = run_child(argv + sorted(names), cwd=target)
    for line in child.text.splitlines():
        rule, _, name = line.partition("\t")
        match = re.match(r"(.*):(\d+):([^!].*)$", rule)
        if match:
            report.note("git will not take %s: it is ignored by line %s of %s: %s" % (
                tilde(os.path.join(target, name)), match.group(2), match.group(1), one_line(match.group(3))))
            return


def check_vendor_file(target, name, sha256, is_ours):
    """PrimeError if something that is not ours stands where a file will be vendored (H3)."""
    path = os.path.join(target, file_name(name, "what is to be vendored"))
    if name.lower() == MANIFEST:
        raise PrimeError("vendor: %s would take the place of the manifest" % name)
    if not os.path.lexists(path):
        return
    if not is_file(path):
        raise PrimeError("vendor: %s is no regular file" % path, hint="remove it")
    if not is_ours and (not sha256 or hash_file(path) != sha256.lower()):
        raise PrimeError("vendor: %s is there already, and %s does not name it" % (path, MANIFEST), hint="rename it")


def write_manifest(target, names, python):
    """Keep the names of the files that `prime vendor` puts into a directory, and the python that these are for."""
    path = os.path.join(target, MANIFEST)
    write_atomic(path, as_json({"schema": SCHEMA, "python": python, "files": sorted(names)}).encode())


# --------------------------------------------------------------------------------------------------
# Init and update
# --------------------------------------------------------------------------------------------------
# `init` puts this file and its entry script into a repo; `update` replaces the file by another version.

ENTRY_SCRIPT = r'''#!/bin/sh -f
""":" #
# Prime this repo: ./prime --help tells more. This part is for sh, up to the last `exec`; for Python it is a string.
# If nothing changed since the last boot, as a stamp tells, `warm` says so or becomes the command: no python starts.
# In all other cases python goes on. A "#" at its end keeps a line right where git has made CRLF out of it (M15).
case $- in *i*) echo "prime: error: this is to be started, not sourced; see ./prime shell" >&2; return 2 ;; esac #
prime_newline='
' #
#
# VARIABLES as `set` prints them, FIELDS of a stamp as shell_stamp() in proto_prime.py writes them, then ARGUMENTS.
# Returns if python has to look. The fields are data: they are compared, printed or exported; nothing of them is run.
warm() { #
    [ "$2,${14-}" = "proto_prime shell stamp 2 for $prime_env,end of stamp" ] && [ "$3" -ef "${0%/*}" ] || return #
    prime_root=$3 prime_set= IFS=$prime_newline # the variables that decide; shells differ in quoting their values
    for prime_line in $1; do case $prime_line$4 in [PU_]*" ${prime_line%%=*} "*) # P, U, _: a quick look first
        prime_set=$prime_set$IFS$prime_line ;; esac; done #
    [ "$prime_set" = "$5" ] || [ "$prime_set" = "$6" ] || return #
    [ "$(cd "$3" && LC_ALL=C TZ=UTC0 PATH=/usr/bin:/bin stat $7 2>/dev/null)" = "$8" ] || return # files that decide
    prime_prefix=$9 prime_programs=${10} prime_exports=${11} prime_tasks=${12} prime_message=${13} && shift 14 #
    case ${VIRTUAL_ENV-$prime_prefix} in "$prime_prefix") ;; */envs/* | envs/*) return 1 ;; esac # see M1
    if [ "${1-}" = -e ] && [ $# -gt 1 ]; then shift 2; fi #
    case $#,$prime_env,${1-} in 0,, | 1,,boot) trap '' PIPE && printf '%s\n' "$prime_message" >&2; exit 0 ;; esac #
    case $prime_tasks in *"$IFS${1-};;"*) # a task, where it runs: its words take the place of its name
        [ "$PWD" = "$prime_root" ] && prime_task=${prime_tasks#*"$IFS$1;;"} && shift || return #
        prime_exports=$prime_exports${IFS}INIT_CWD=$prime_root IFS=';' #
        set -- run ${prime_task%%"$prime_newline"*} "$@" && IFS=$prime_newline ;; esac #
    [ "${1-}" = run ] && shift && { [ "${1-}" != -- ] || shift; } || return #
    [ "${1-}" != -m ] || set -- "$prime_prefix/bin/python" "$@" #
    case " $prime_programs " in *" ${1-} "*) [ -x "$prime_prefix/bin/${1##*/}" ] || return ;; *) return 1 ;; esac #
    # The command gets each variable as it came. But shells drop odd names, and set variables of their own: most of them
    # so many that python goes on; dash and busybox those that are seen to here. A ` stands for a newline in a value.
    [ -z "${BASH_VERSION-}${KSH_VERSION-}${YASH_VERSION-}${ZSH_VERSION-}" ] && [ -r "/proc/$$/environ" ] || return #
    prime_environ=$IFS$(LC_ALL=C PATH=/usr/bin:/bin tr '\0\n' '\n`' <"/proc/$$/environ") #
    case $prime_environ in *'`'*) return 1 ;; *"${IFS}PATH="*) unset PWD SHLVL ;; *) return 1 ;; esac #
    for prime_line in $prime_environ; do case ${prime_line%%=*} in PWD | SHLVL) export "$prime_line" ;; #
        "" | [0-9]* | *[!A-Za-z0-9_]* | IFS | OPTIND | PPID | prime_*) return 1 ;; esac; done #
    for prime_line in $prime_exports; do export "$prime_line"; done #
    unset VIRTUAL_ENV_PROMPT && PATH=$prime_prefix/bin${PATH:+:$PATH} && exec "$@" #
} #
#
prime_env=${PROTOPRIMER_ENV-} prime_state=${0%/*}/.prime prime_file=$0 IFS='`' #
[ "${1-}" != -e ] || prime_env=${2:-$prime_env} #
[ -e "$prime_state" ] || prime_state=${0%/*}/../.prime; prime_stamp=$prime_state/stamp/${prime_env:-default}.sh #
for prime_at in "$0" "$prime_state" "$prime_state/stamp" "$prime_stamp"; do [ ! -L "$prime_at" ] || prime_stamp=; done #
case $-,${1-boot} in *f*,-e | *f*,[!-]*) # -f: by the first line, not by `sh prime`; a command of ours comes back
    [ -O "$prime_stamp" ] && warm $(IFS= && set && LC_ALL=C PATH=/usr/bin:/bin cat <"$prime_stamp") "$@" ;; esac #
export PROTOPRIMER_ENVIRON="$$ $(LC_ALL=C PATH=/usr/bin:/bin od -An -vtx1 -N40000 "/proc/$$/environ" 2>/dev/null)" #
PATH=${PATH:-/usr/bin:/bin} #
case $- in *f*) command -v python3 >/dev/null && exec python3 -E -S ${PYTHONDONTWRITEBYTECODE:+-B} "$0" "$@" ;; esac #
# `sh prime` is for machines where no python3 may be, or a broken one; nor may `readlink -f` be there.
case $0 in */*) ;; *) prime_file=./$0 ;; esac #
until prime_at=${prime_file%/*}/proto_prime.py && [ -f "$prime_at" ]; do #
    prime_line=$(readlink "$prime_file") || { echo "prime: error: $prime_at is missing, see git status" >&2; exit 1; } #
    case $prime_line in /*) ;; *) prime_line=${prime_file%/*}/$prime_line ;; esac; prime_file=$prime_line; done #
PROTOPRIMER_TYPED=$0 exec sh "$prime_at" "$@" #

Starts under any python from 2.7 on."""
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


def warm_start(directory):
    """Do all with the fifth of proto_prime.py's bytecode that a warm start needs; return where that lacks something.

    `keep_warm_bytecode` in that file writes it. To read the whole would be a fifth of the time.
    """
    if __name__ != "__main__" or "PROTOPRIMER_PY_EXEC" in os.environ:  # a later stage is no warm start
        return
    import marshal

    path = os.path.join(directory, "proto_prime.py")
    try:
        state = os.stat(path)
        head = ("%r %d %d\n" % (sys.version, state.st_mtime_ns, state.st_size)).encode()
        with open("%s/__pycache__/proto_prime.%s.warm" % (directory, sys.implementation.cache_tag), "rb") as file:
            code = file.read(len(head)) == head and file.read()
        if not code:
            return
        module = {"__name__": "proto_prime", "__file__": path}
        exec(marshal.loads(code), module)
    except (EOFError, OSError, TypeError, ValueError):
        return
    try:
        module["leave"](module["main"]())
    except module["Cold"]:
        pass


def wait_for_first(directory):
    """Of many that start at once in a fresh clone let one compile proto_prime.py, as long as ten starts take, and boot.
    The others wait for it some seconds, and then are warm.

    Returns a file that is locked until it is closed, for the one; None for those that waited, or that need not wait.
    """
    kept = "%s/__pycache__/proto_prime.%s.pyc" % (directory, sys.implementation.cache_tag)
    is_elsewhere = sys.dont_write_bytecode or getattr(sys, "pycache_prefix", None)
    try:
        if not is_elsewhere and os.access(directory, os.W_OK) and not os.path.exists(kept):
            import fcntl
            import time

            file, end = open(os.path.join(directory, "proto_prime.py")), time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not os.path.exists(kept):
                        return file
                    break
                except BlockingIOError:
                    time.sleep(0.02)
            file.close()
            warm_start(directory)
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass


try:
    top = os.path.dirname(os.path.realpath(__file__))
    warm_start(top)
    turn = wait_for_first(top)
    sys.path.insert(0, top)
    import proto_prime

    main, leave = proto_prime.main, proto_prime.leave
    if turn:
        proto_prime.hold_turn(turn)
except KeyboardInterrupt:
    sys.exit(130)
except Exception as problem:
    path = os.path.join(os.path.dirname(os.path.normpath(__file__)), "proto_prime.py")
    is_missing = isinstance(problem, ImportError) and not os.path.isfile(path)
    fault = "is missing" if is_missing else "does not work: %s" % problem
    sys.exit("prime: error: %s %s\n  hint: git checkout brings back what was committed" % (path, fault))

if __name__ == "__main__":
    leave(main())
'''
ENTRY_CMD = r'''@echo off
rem Prime this repo: `prime --help` tells more.
rem Any python from 3.6 on will do. Each is tried, for some are empty stubs or shims that know none.
setlocal
set "NoDefaultCurrentDirectoryInExePath=1"
set "PYTHON_MANAGER_AUTOMATIC_INSTALL=false"
set "PYTHONHOME="
set "__PYVENV_LAUNCHER__="
set "PATH=%PATH%;%USERPROFILE%\.local\bin;%USERPROFILE%\.cargo\bin"
set "dirs=%PATH:"=%"
call :try py -3 && goto run
for %%n in (python3 python) do for %%d in ("%dirs:;=" "%") do (
    if exist "%%~d\%%n.exe" for %%f in ("%%~d\%%n.exe") do if not "%%~zf"=="0" call :try "%%~f" && goto run
)
for %%r in ("%LOCALAPPDATA%\Programs\Python\Python3" "%LOCALAPPDATA%\Python\pythoncore-3" "%ProgramFiles%\Python3"
    "%SystemDrive%\Python3" "%USERPROFILE%\.pyenv\pyenv-win\versions\3" "%APPDATA%\uv\data\python\cpython-3"
    "%LOCALAPPDATA%\Microsoft\WindowsApps\PythonSoftwareFoundation.Python.3" "%USERPROFILE%\miniconda3"
) do for /f "delims=" %%d in ('dir /b /ad "%%~r*" 2^>nul') do call :try "%%~dpr%%d\python.exe" && goto run
if "%~1"=="--offline" set "PROTOPRIMER_OFFLINE=1"
uv --version >nul 2>nul || goto none
for %%w in (find install) do (
    if %%w==install if not defined PROTOPRIMER_OFFLINE uv python install 3
    for /f "delims=" %%p in ('uv python find --no-project --system 3 2^>nul') do call :try "%%p" && goto run
)
:none
>&2 echo prime: error: there is no python of at least 3.6 here; type: winget install Python.Python.3.13
exit /b 1
:run
endlocal & setlocal & set "PYTHONHOME=" & set "__PYVENV_LAUNCHER__=" & %python% "%~dp0prime" %*
exit /b %errorlevel%
:try
%* -c "import sys; sys.exit(42 * (sys.version_info >= (3, 6)))" >nul 2>nul
if not "%errorlevel%"=="42" exit /b 1
set python=%*
exit /b 0
'''
# The SHA-256 of entry scripts of earlier versions: `init` and `update` replace these, and none that was edited.
OLDER_ENTRIES = """
1e2f4428743c5e9873231017cfa7df8db10e31e583b21bc6bb785bb5d05c4d97
2e5f508403c9901a68509f9333cd84bee3b6b53e99b4a524926e90055458936a
3e0edbb934c5da9d330a3461a4234302dd380254ca21162ea1df192f5b2a0107
4e447f678ea86838f3ee00b34d269cb40e0bbadc0a3a6442c02804337403f7bd
63015388ec05afe5c0ac641ee532f7b7eb6df1ea10af3ec5ba1fa9f223c20a67
64996591e243520c9611af56953a9bb256353913b99781f04e100e2b862fa997
66eb6c3b1a52e4a2d60be503be94ae895b488621c363a2f1562970de6db3e8ff
6f77d6260de71923ab465f7cc654364fe2c20561176c06ac2d483d902890d117
7dd53011cf9ebd4ed7902c169e1c3b2e0db15436049cc25b864ac0ad94922b2c
9f0d9cd9b1e73e21b7551d1647026c11d4f148e02eed6e116d2fea293f4ea83e
a635407d81876b837dcdb25ebe2ba1b94a7bf57a7bf7cd5fadc8faf216d8ea60
aa5bd5f9ef21deaeabaf66047ce6d90f2ad75e7b25b31ebb4b3786c773c22231
b23d27e7f64af166ef246b2a84346f26c3bb6f522c47145ece33ab67b81b13f6
c8f94d82813ed0c86aa53fd8c47f55611f447508afe6a558ee242ce776b70659
c9dc75958a85f325ce7debeee25674b7df6420097400e427a96ddd05e29f4999
ced43e9b41589e9989b4cef69d2c9decab596580151d9568baac4eed0815aff1
e6fab70290fb9db1c1dd2d52aac5c141369a48aea984fdf065331aac54a38833
eea67b009ac181aa63e23076315fd9df621c4379017ed526aacf0e8f2eb6e304
fd171e048b40def14b400d28715ca4f786026517bba4583d6b09f86cd92b0a40
""".split()
IGNORED = (".prime/", ".venv", ENVS_FILE, "__pycache__/")  # .venv without a slash: to git a link is no directory


def command_init(options):
    """put proto_prime.py and prime into a repo"""
    root = named_path(options.directory or os.curdir)
    if os.path.isfile(root):
        raise PrimeError("init: %s is a file, and no directory" % shown([options.directory]), status=2)
    os.makedirs(root, exist_ok=True)
    directory, reason = home_of(root)
    own, prime = os.path.join(directory, "proto_prime.py"), os.path.join(directory, "prime")
    texts = {own: "", prime: ENTRY_SCRIPT, prime + ".cmd": ENTRY_CMD.replace("\n", "\r\n")}
    if not os.path.exists(os.path.join(root, PYPROJECT)):  # else that file says what the repo needs
        texts[os.path.join(root, OWN_CONFIG)] = starter_config(root)
    made = [path for path in texts if not os.path.exists(path) or is_older_entry(path, texts[path])]
    lines = {".gitignore": (IGNORED, ignores), ".gitattributes": (line_ends(root, directory), tells_line_end)}
    for name, (wanted, has) in lines.items():
        path = os.path.join(root, name)
        text = load_text(path, lambda data: data.decode("utf-8", "surrogateescape")) if os.path.isfile(path) else ""
        texts[path] = with_lines(text, wanted, has)
        made += [path] * (texts[path] != text)
    for path in made:
        check_init_target(root, path)
    for path, text in texts.items():
        if path not in made:
            report.detail("left as it is: %s" % path)
            continue
        if path == own:
            copy_of_this(options, path)
        else:
            write_atomic(path, text.encode("utf-8", "surrogateescape"))  # R5: a .gitignore is bytes
        if os.path.basename(path) not in lines:
            tend(os.chmod, path, 0o755 if path in (own, prime) else 0o644)
    note_left_aside(root)
    if not made:
        report.note("all is there already")
        return 0
    note_top(root)
    if reason:
        report.note("the entry script stands in tools/: %s" % reason)
    report.note("commit %s" % shown([os.path.relpath(path, root) for path in made]))
    report.note("then run %s" % shown([os.path.join(".", os.path.relpath(prime, root))]))
    return 0


def note_top(root):
    """Say if `root` is not the top of a repo: what is above it is not served, and nothing is there to commit to."""
    tops = [each for each in ancestors(root) for name in REPO_DIRS if os.path.exists(os.path.join(each, name))]
    if not tops:
        report.note("this is no git repo: git init makes it one")
    elif tops[0] != root:
        place = os.path.relpath(tops[0], root)
        report.note("the top of this repo is %s: init serves only what is in this directory" % place)


def is_older_entry(path, text):
    """True if a file is an entry script as some version wrote it, and not this text. Says so if it was edited.

    Or if it is this text with the ends of lines of Windows, with which no POSIX system starts it (M15).
    """
    if os.path.basename(path) not in ("prime", "prime.cmd") or not is_file(path):
        return False
    found = bytes_of(path) or b""
    content = found.replace(b"\r\n", b"\n")  # git may have changed the ends of lines
    if content == text.encode().replace(b"\r\n", b"\n"):
        return not WINDOWS and found != content and "\r\n" not in text
    if hash_bytes(content) in OLDER_ENTRIES or content in (ENTRY_SCRIPT.encode(), ENTRY_CMD.encode()):
        return True
    report.note("%s was edited, and is left as it is" % tilde(path))
    return False


def renew_entries(path):
    """Bring the entry scripts beside this file along with its new version at `path`, which has their texts."""
    import ast

    texts = {}
    for node in ast.parse(load_text(path)).body:
        name = getattr(node.targets[0], "id", "") if isinstance(node, ast.Assign) else ""
        if isinstance(node, ast.Assign) and name in ("ENTRY_SCRIPT", "ENTRY_CMD"):
            texts[name] = ast.literal_eval(node.value)
    for name, key, end in (("prime", "ENTRY_SCRIPT", "\n"), ("prime.cmd", "ENTRY_CMD", "\r\n")):
        entry = os.path.join(os.path.dirname(path), name)
        text = texts.get(key, "").replace("\n", end)
        if text and is_older_entry(entry, text):
            mode = os.stat(entry).st_mode & 0o7777
            write_atomic(entry, text.encode())
            os.chmod(entry, mode)
            report.note("%s: renewed" % tilde(entry))


def note_left_aside(root):
    """Say which extras, groups and requirements files of a repo no environment takes, and the line that takes them."""
    try:
        environment = load_environment(load_config(root), may_lack_lock=True)
        document = environment.config.pyproject
        extras = list(table_in(document, PYPROJECT, "project", "optional-dependencies"))
        own = ([each for each in environment["projects"] if each["path"] == root] + [{"extras": [], "groups": []}])[0]
        groups = {name: set(expand_group(groups_of(document), name, PYPROJECT)) for name in groups_of(document)}
        installed = set().union(*(groups[name] for name in left_of(groups, left_of(groups, own["groups"]))))
        taken = set(all_with_includes(environment))
        taken.update(file for project in environment["projects"] for file in project["files"])
    except (PrimeError, OSError):  # the first boot says what is wrong
        return
    others = [name for name in groups if not groups[name] <= installed]  # what is installed one includes
    left = {"extra": left_of(extras, own["extras"]), "group": left_of(others, own["groups"])}
    lines = []
    if any(left.values()):
        wanted = {"extras": own["extras"] + left["extra"], "groups": own["groups"] + left["group"]}
        project = {"path": ".", **{name: names for name, names in wanted.items() if names}}
        lines.append("projects = " + shown_toml([project]))
    files = [path for path in requirements_files_in(root) if environment.path(path) not in taken]
    if files:
        left["file"] = files
        lines.append("requirements_files = " + shown_toml(environment["requirements_files"] + files))
    unread = [] if environment["dependencies"] else unread_sources(environment, sorted(names_in(root)))
    if unread:
        left["package list"] = unread
        lines.append('dependencies = ["NAME", "..."]  # the packages of %s' % ", ".join(unread))
    kinds = ["%s %s" % (kind + "s" * (len(names) > 1), ", ".join(names)) for kind, names in left.items() if names]
    if kinds:
        is_project = os.path.exists(os.path.join(root, PYPROJECT))
        place = "[tool.proto-prime] of " + PYPROJECT if is_project else OWN_CONFIG
        report.note("left aside: %s; in %s this takes them:" % ("; ".join(kinds), place), lines)


def requirements_files_in(root):
    """The files of a repo that look like requirements for pip, as paths that are relative to the root."""
    files = []
    for directory in ("", "requirements"):
        place = os.path.join(root, directory)
        for name in sorted(names_if_there(place)):
            is_named = directory or "requirements" in name.lower()
            if is_named and name.endswith(".txt") and not name.startswith("constraints"):
                files.append(directory + "/" + name if directory else name)
    return files


def check_init_target(root, path):
    """PrimeError if what `init` writes to `path` would come to stand elsewhere, behind a link (H5)."""
    leads_to = os.path.realpath(path)
    if is_link(path) or not leads_to.startswith(os.path.join(os.path.realpath(root), "")):
        raise PrimeError("init: %s leads to %s, and is not written through" % (path, leads_to), hint="remove the link")


def copy_of_this(options, path):
    """Put this file, or the file that --from names, to `path`."""
    if options.source:
        take_other(options, path, 0o755)
    elif own_file():
        write_atomic(path, load_text(own_file()).replace("\r\n", "\n").encode())  # M15
    else:
        raise PrimeError("init: this came through a pipe, so that there is no file to copy",
                         hint="add --from URL, or save it as a file first")


def starter_config(root):
    """The text of a first proto_prime.toml for a repo without pyproject.toml."""
    names = ".python-version", "requirements.txt"
    has_version, has_requirements = (os.path.isfile(os.path.join(root, name)) for name in names)
    has_requirements = has_requirements and not os.path.isfile(os.path.join(root, "setup.py"))  # R20
    lines = [
        "# What ./prime makes for this repo. The README of proto_prime tells every field.",
        "# The python that is required stands in .python-version." if has_version else
        '# required_python_version = ">=3.9"',
        'requirements_files = ["requirements.txt"]' if has_requirements else "dependencies = []",
    ]
    return "\n".join(lines) + "\n"


def with_lines(text, wanted, has):
    """The text of a .gitignore or .gitattributes, completed by those of the lines `wanted` that it lacks.

    has  function that tells whether a line of the file stands for a wanted one
    """
    lines = list(filter(None, map(str.strip, text.splitlines())))
    missing = [line for line in wanted if not any(has(each, line) for each in lines)]
    if missing and text and text[-1] != "\n":
        text += "\n"
    return text + "".join(line + "\n" for line in missing)


def ignores(line, wanted):
    """True if a line of a .gitignore ignores what the line `wanted` does."""
    return line.lstrip("/") in (wanted, wanted.rstrip("/"))


def tells_line_end(line, wanted):
    """True if a line of a .gitattributes says what git does with the line ends of the file of the line `wanted`."""
    name, *attributes = line.split()
    return name.lstrip("/") == wanted.split()[0].lstrip("/") and any(
        each.startswith("eol=") or each in ("-text", "binary") for each in attributes)


def line_ends(root, directory):
    """The lines of a .gitattributes for what `init` puts into a directory: core.autocrlf would change it (M15)."""
    place = os.path.relpath(directory, root).replace(os.sep, "/")
    prefix = "/" if place == "." else "/%s/" % place
    ends = ("proto_prime.py", "lf"), ("prime", "lf"), ("prime.cmd", "crlf")
    return ["%s%s text eol=%s" % (prefix, name, end) for name, end in ends]


def home_of(root):
    """Where in a repo the file and the entry script go: its top, or tools/ with the reason why. Two str.

    A file `prime` that names proto_prime is an entry script of ours, edited or not.
    """
    tools, prime, file = (os.path.join(root, name) for name in ("tools", "prime", "proto_prime.py"))
    if os.path.lexists(prime) and not has_bytes(prime, b"proto_prime"):
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
    if os.path.lexists(prime) and not has_bytes(prime, b"proto_prime"):
        raise PrimeError("init: %s is there already, and not this file's" % prime, tried=[reason], hint="rename it")
    return tools, reason


def is_this_file(path):
    """True if a file is a version of this one, by its text."""
    return has_bytes(path, b"\ndef command_update(")


# Directories that setuptools takes for no package in a flat layout.
NO_PACKAGES = """ci bin doc docs documentation manpages news changelog test tests unit_test
unit_tests example examples scripts tools util utils python build benchmark benchmarks exercise exercises
htmlcov dist venv env requirements tasks fabfile site_scons""".split()


def is_flat(root):
    """True if setuptools would find proto_prime.py at the top of a project: where it finds no package."""
    names = set(os.listdir(root)) - set(NO_PACKAGES)
    has_package = any(os.path.isfile(os.path.join(root, name, "__init__.py")) for name in names)
    return is_discovered(root) and not has_package


def command_update(options):
    """replace proto_prime.py by another version"""
    import difflib

    path = own_file()
    if not path:
        raise PrimeError("update: there is no file to replace, for this came through a pipe")
    if is_installed():
        raise PrimeError("update: %s was installed as a package" % path, hint="let its installer update it")
    before = load_text(path).splitlines()
    version = take_other(options, path, os.stat(path).st_mode & 0o7777)
    if not version:
        report.note("%s is that version already (%s)" % (path, __version__))
        renew_entries(path)
        return 0
    marks = [line[:1] for line in difflib.unified_diff(before, load_text(path).splitlines(), n=0)][2:]
    report.note("%s: %s -> %s (lines: +%d -%d)" % (path, __version__, version, marks.count("+"), marks.count("-")))
    renew_entries(path)
    return 0


def take_other(options, path, mode):
    """Put another version of this file, from --from or from the index, to `path`, once it proved to be one.

    mode  int, the permissions that it gets
    Returns the version that it says it is; "" if there is none newer in the index, or `path` is the same already.
    """
    aside = temporary_path(path)
    try:
        source, trust = options.source, "hash" if options.sha256 else "https"  # H7
        if source:
            url = source if "://" in source else file_url(named_path(source))
            if url != source and not os.path.isfile(named_path(source)):
                raise PrimeError("there is no such file: %s" % shown([named_path(source)]), "--from")
            download(url, aside, options.sha256, trust=trust)
        else:
            source = fetch_release(options, aside, trust)
            if not source:
                return ""
        child = Child(1)  # what is not this file by its text is not even run
        if is_this_file(aside):
            child = run_child([running_python(), "-I", "-B", aside, "--version"], timeout=UV_SECONDS)
        words = child.text.split()
        if child.has_failed or words[:1] != ["proto_prime"]:
            raise PrimeError("%s is no proto_prime.py" % shown([source]), tried=child.tail(3),
                             hint="%s is left as it is" % path if os.path.exists(path) else "")
        load_text(aside)  # PrimeError if it is not UTF-8
        if hash_file(aside) == hash_file(path):
            return ""
        tend(os.chmod, aside, mode)
        put_in_place(aside, path)
        return words[1]
    finally:
        tend(remove, aside)


def wanted_release(options):
    """The `Version` of this file that `prime update` names; None for the newest. PrimeError if it is none."""
    try:
        return Version(options.release) if options.release else None
    except PrimeError as problem:  # `update six`, as other tools have it
        raise PrimeError(str(problem), status=2, hint="VERSION is one of proto_prime; for packages: prime reset")


def fetch_release(options, target, trust):
    """Fetch this file as the index has it: `options.release`, or the newest unless it is older than this one.

    trust  str, as in `check_url`
    Returns the URL of the wheel that it was taken from; "" if there is nothing newer.
    """
    import io

    wanted, environment = wanted_release(options), open_environment(options)
    index = "" if is_closed(environment) else chosen_index(environment["index_url"])
    if not index:
        raise PrimeError("no index may be asked for another version", hint="prime update --from FILE")
    try:
        links = index_links(index, "proto-prime", trust)
    except PrimeError as problem:  # an index need not have it
        problem.hint = problem.hint or "prime update --from FILE takes the version in FILE, a path or URL"
        raise
    offers = []
    for name, url, sha256, size in links:
        version = wheel_version(name, "proto_prime")
        if not version or not name.endswith("-py3-none-any.whl"):  # odd names are passed over (H16)
            continue
        is_right = not version.is_prerelease and version.key >= Version(__version__).key
        if wanted:
            is_right = version.key == wanted.key
        if is_right:
            offers.append((version.key, url, sha256, size))
    if not offers and wanted:
        raise PrimeError("there is no version %s of proto-prime in %s" % (options.release, masked(index)))
    if not offers:
        return ""
    _, url, sha256, size = max(offers, key=lambda offer: offer[0])
    wheel, origin = fetch(url, trust=trust_in(index, trust), cap=size or PAGE_CAP)
    check_hash(wheel, sha256, origin)
    data = file_in_wheel(io.BytesIO(wheel), "proto_prime.py", "%s is no wheel of proto-prime" % masked(origin))
    check_hash(data, options.sha256, origin)
    write_atomic(target, data)
    return origin


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


def work_failed(message):
    """The RpcError for work that failed without a log of its own."""
    return RpcError(WORK_FAILED, message, {"log": None})


def read_messages(chunks):
    """Yield the body of each frame in an iterable of bytes. A chunk may end anywhere in a frame."""
    buffer = bytearray()
    for chunk in chunks:
        buffer.extend(chunk)
        yield from iter(lambda: take_body(buffer), None)


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

    return isinstance(value, str) and bool(re.match(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){1,2}\Z", value))


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
        details = [{"field": name, "message": message} for name, message in wrong]
        raise RpcError(INVALID_PARAMS, "%s: %s" % (method, "; ".join(map(" ".join, wrong))), details)
    return {name: params[name] for name in checks if name in params}


WORKER_BYTES = 1 << 25  # free for a thread, whose stack is 8 MiB: without memory it would die unheard (H16)


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
            bytes(WORKER_BYTES)
            worker.start()
        except (RuntimeError, MemoryError) as problem:  # the system has no more threads, or memory for another one
            self.workers.discard(worker)
            reply_with(RpcError(INTERNAL_ERROR, str(problem) or "out of memory").outcome())

    def call_for(self, request):
        """A function without arguments that does what a request asks for.

        RpcError if the request is wrong; the checks stand in the order in which the protocol ranks their codes.
        """
        method, params = request.get("method"), request.get("params", {})
        if method == "exit":  # whatever comes with it: a server that stays would be worse
            params = {}
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
        packages = [{"name": name, "version": version} for name, version in packages_of(generation.path).items()]
        extra = {"root": self.root, "driver": generation.driver, "generation": generation.path, "current": True}
        return dict(self.summary(id, environment), python_version=generation.python.version,
                    interpreter_path=generation.program, installed_packages=packages, extra=extra)

    def create_(self, name, python_version):
        place_state(self.root)
        directory = state_dir(self.root, "made", digest(name))
        with self.naming:
            configured = self.environments().get(name)
            if name in self.creating or configured and generations(configured):
                raise RpcError(NAME_TAKEN, "environment %s is there already" % name, {"name": name})
            self.creating.add(name)
        try:
            if configured:
                self.check_python(configured, python_version)
            else:
                self.write_environment(directory, name, python_version)
            return self.get_(name)
        except BaseException:
            if not configured and is_marked_itself(directory):
                with unbroken():
                    tend(remove, directory)
            raise
        finally:
            self.creating.discard(name)

    def delete_(self, id):
        environment = self.environment(id)
        paths = [each.path for each in generations(environment)]
        if used_by_processes(paths):
            raise work_failed("environment %s is in use by a running process" % id)
        with locked(state_dir(environment.root, "lock"), "deleting environment %s" % id):
            link_of(environment).forget(paths)
            discard(paths)
        if environment.root != self.root and is_marked_itself(environment.root):
            remove(environment.root)
        return {"id": id}

    def execute_(self, id, argv, cwd=None, env=None):
        environment = self.environment(id)
        generation = self.make_current(id, environment)
        environ = with_variables(activated(generation.path, environment["env_vars"]), env or {})
        directory = cwd or self.root
        if not os.path.isdir(directory):
            raise work_failed("cannot run %s: there is no directory %s" % (argv[0], directory))
        program = find_program(argv[0], environ.get("PATH"))
        if program and not os.path.isabs(program):
            program = os.path.normpath(os.path.join(directory, program))
        if not os.path.isfile(program) or not os.access(program, os.X_OK):
            none = "cannot run %s: there is no such program" % argv[0]
            raise work_failed(str(no_program(program or argv[0], environ.get("PATH", ""), none)))
        child = run_child([program] + argv[1:], environ, directory, cap=sys.maxsize, is_guarded=True)
        if child.problem:
            raise work_failed("%s: %s" % (argv[0], child.problem))
        return {"exit_code": child.status, "stdout": child.text, "stderr": child.stderr.decode("utf-8", "replace")}

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
        for name in config.names():
            environments[name] = load_environment(config, name, name)
        return environments

    def environment(self, id):
        """The `Environment` with an id; RpcError if there is none."""
        environment = self.environments().get(id)
        if not environment:
            raise RpcError(NO_ENVIRONMENT, "there is no environment %s" % id, {"id": id})
        return environment

    def summary(self, id, environment):
        """An environment's entry in the list. Nothing is run for it: see `version_to_come`."""
        built = generations(environment)
        version = built[0].python.version if built else version_to_come(environment)
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
        options = ["--root", environment.root] + (["-e", id] if kind_of_root(environment.root) == "repo" else [])
        argv = [running_python(), os.path.abspath(script_path())] + options + list(words)
        environ = clean_environ()
        for name in (LOG_VAR, ROOT_VAR, ENV_VAR, "FORCE_COLOR"):
            environ.pop(name, None)
        return run_child(argv, dict(environ, NO_COLOR="1"), log=report.output, is_guarded=True)

    def make_current(self, id, environment):
        """The current `Generation` of an environment, which a child builds if need be. RpcError if the build fails."""
        generation, reasons = find_generation(environment)
        if generation:
            return generation
        report.detail("building environment %s: %s" % (id, "; ".join(reasons)))
        place_state(self.root)
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
            tend(make_directory, os.path.dirname(kept))
            tend(os.replace, log, kept)
        return RpcError(NO_PYTHON if has_no_python else WORK_FAILED, message or str(child), {"log": kept})


def version_to_come(environment):
    """The version of the python that an environment which is not built may get, X.Y or X.Y.Z, as far as files tell.

    That of the running python, if that will do, else the first that is named. No selector and no python is run.
    """
    running = "%d.%d.%d" % sys.version_info[:3]
    clauses = [clause for request in environment.wanted() for clause in request.clauses]
    lower = [clause for clause in clauses if clause.version and clause.operator not in ("!=", "<", "<=")]
    named = [clause.version.release for clause in lower]
    if is_dotted(environment.required.text):
        return environment.required.text
    if not named or all(clause.contains(Version(running)) for clause in clauses):
        return running
    return ".".join(map(str, (named[0] + (0,))[:max(2, len(named[0]))]))


def outcome_of(function):
    """{"result": what function() returns}, or {"error": ...} if it raises."""
    try:
        return {"result": function()}
    except RpcError as error:
        return error.outcome()
    except PrimeError as problem:
        return work_failed(str(problem)).outcome()
    except OSError as problem:
        return work_failed(str(unforeseen(problem))).outcome()
    except Interrupted:
        raise
    except Exception as problem:  # a fault of ours fails one request, not the session
        import traceback

        report.output(traceback.format_exc().encode("utf-8", "backslashreplace"))
        return RpcError(INTERNAL_ERROR, "%s: %s" % (type(problem).__name__, problem)).outcome()


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
    "env": command_env,
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
    "env": [(("--shell",), {"choices": [*ENV_SHELLS, "github", "json"], "metavar": "SHELL", "help":
                            "for whom: %s, json; or github, which adds to $GITHUB_ENV and $GITHUB_PATH; default: sh, "
                            "on Windows pwsh" % ", ".join(ENV_SHELLS)})],
    "shell": [(("-c",), {"dest": "line", "metavar": "CMD", "help": "run one line of the shell, and end"})],
    "info": [JSON_OPTION],
    "python": [
        (("request",), {"nargs": "?", "metavar": "REQUEST", "help": 'such as 3.12 or ">=3.10"; default: the repo\'s'}),
        (("--all",), {"action": "store_true", "help": "list every Python, and why it was not selected"}),
        JSON_OPTION,
    ],
    "use": [(("name",), {"metavar": "NAME", "help": "an environment of the config, or default"})],
    "lock": [(("--upgrade",), {"action": "store_true", "help": "ignore the versions pinned so far"})],
    "vendor": [
        (("directory",), {"nargs": "?", "metavar": "DIR", "help": "default: vendor, or .prime-vendor if it is one"}),
        (("--python",), {"action": "store_true", "help": "a Python for each of the platforms, too"}),
    ],
    "init": [
        (("directory",), {"nargs": "?", "metavar": "DIR", "help": "the repo; default: the current directory"}),
        (("--from",), {"dest": "source", "metavar": "URL-OR-FILE", "help": "the file to copy; default: this one"}),
        (("--sha256",), {"metavar": "HEX", "help": "its expected SHA-256"}),
    ],
    "update": [
        (("release",), {"nargs": "?", "metavar": "VERSION", "help": "default: the newest of the index"}),
        (("--from",), {"dest": "source", "metavar": "URL-OR-FILE", "help": "URL or file to copy from"}),
        (("--sha256",), {"metavar": "HEX", "help": "its expected SHA-256"}),
    ],
    "clean": [(("--all",), {"action": "store_true", "help": "every build, and the user's caches"})],
}  # type: dict
# Options of every command.
OPTIONS = [
    (("-e", "--env"), {"dest": "env", "metavar": "NAME", "help": "environment NAME"}),
    (("-v", "--verbose"), {"action": "count", "help": "say more; -vv says all"}),
    (("-q", "--quiet"), {"action": "store_true", "help": "only errors"}),
    (("--offline",), {"action": "store_true", "help": "no network: vendor/ instead"}),
    (("--root",), {"metavar": "DIR", "help": "the top of the repo"}),
    (("-V", "--version"), {"action": "version", "version": "proto_prime %s" % __version__, "help": "the version"}),
    (("-h", "--help"), {"action": "help", "help": "this text"}),
]
DAILY = ("boot", "run", "shell", "info")  # what most people need
# What `run` takes for a command, for its help.
FORMS = (
    ("PROGRAM [ARGS...]", "of the environment, such as pytest -q; else of PATH"),
    ("FILE.py [ARGS...]", "by the environment's Python; with metadata (PEP 723), in an environment of its own"),
    ("-m MODULE [ARGS...]", "as python -m does"),
    ("-", "the script on stdin"),
    ("(nothing)", "list the programs of the environment"),
    ("--no-boot", "before it: in the environment as it is, without an update"),
    ("--", "before it: what follows is the command, whatever it is called"),
)
# What people type who know other tools; what they type here instead, and what that does.
WORDS_OF_OTHERS = (
    ("install sync setup bootstrap venv virtualenv create prepare ensure deps build-env", "",
     "creates or updates .venv, with all that the repo asks for"),
    ("upgrade update-deps upgrade-deps update-all bump", "upgrade", ""),
    ("activate workon source console", "shell", "starts your shell in the environment; exit leaves it"),
    ("exec start x uvx pipx", "run CMD", "runs CMD in the environment"),
    ("list freeze show packages tree outdated status doctor envs config", "info", "shows packages, Python and config"),
    ("pin compile lockfile pip-compile", "lock", "pins all packages"),
    ("switch select checkout", "use NAME", "switches this clone to environment NAME"),
    ("undo revert back downgrade", "rollback", "undoes the last rebuild"),
    ("rebuild recreate refresh reinstall", "reset", "rebuilds the environment from scratch"),
    ("delete destroy purge prune gc rm", "clean --all", "removes what was built"),
    ("--reinstall --force-reinstall --force -f --no-cache", "reset", "rebuilds the environment from scratch"),
    ("--dry-run --check -n", "info", "tells what is out of date, and changes nothing"),
    ("--debug --trace", "-vv", "says all"),
    ("--python -p", "python", "prints the selected Python; required_python_version in the config chooses it"),
    ("self-update selfupdate", "update", "replaces proto_prime.py by another version"),
    ("which where interpreter pythons", "python --all", "lists every Python"),
    ("new", "init", "puts proto_prime.py and prime into a repo"),
    ("download bundle", "vendor", "downloads everything for an offline install"),
    ("version", "--version", "tells the version"),
    ("commands usage man tasks task", "help", "lists the commands and the tasks"),
)
MANAGERS = "uv poetry pdm pipenv conda mamba hatch rye pixi".split()  # with a word of theirs behind it
# Names that tasks often have, and what such a task runs.
USUAL_TASKS = {"test": "pytest -q", "tests": "pytest -q", "lint": "ruff check", "format": "ruff format"}
REMOVERS = {"remove", "uninstall", "rm"}
INSTALLERS = ("add", *REMOVERS, "require", "install", "pip", "pip3")  # with the name of a package behind it


OURS = (*COMMANDS, "help")  # the words that mean no task


class Options:
    """The options and arguments of a command line; these are the defaults."""

    command = "boot"  # "" for a task
    env = root = name = directory = source = sha256 = release = shell = ""
    verbose = 0
    quiet = offline = json = all = upgrade = python = False
    request = line = None  # type: str | None
    commands = OURS
    words = []  # type: list  # those behind `run`, or a task and those behind it


def parse_command_line(argv):
    """The `Options` of a command line; PrimeError with status 2 if it cannot be understood.

    The command is found first, because the words behind `run` belong to another program.
    """
    options = Options()
    index = command_index(argv)
    command, rest = argv[index: index + 1], argv[index + 1:]
    asked = command == ["help"]
    if asked:
        command, rest = [word for word in rest if word[:1] != "-" and word != "help"][:1], []
    if command:
        options.command = command[0] if command[0] in COMMANDS else ""  # a task, or nothing that is known (U2)
    if not options.command:
        options.words, command, rest = [*command, *rest], [], []
    rest += ["-h"] * asked
    if options.command == "python" and rest and (rest[0] in WORDS_OF_PYTHON or is_python_file(rest[0])):
        raise PrimeError("python: it prints the path of the Python that is selected, and runs nothing", status=2,
                         hint="did you mean: prime " + shown([*argv[:index], "run", "python", *rest]))
    if options.command == "run" and rest[:1] not in (["-h"], ["--help"]):
        check_order(argv[:index], rest)
        options.words, rest = rest, []
    arguments = argv[:index] + rest
    if arguments or options.command in ARGUMENTS:  # argparse takes as long as the rest of a quick boot
        make_parser("".join(command), options).parse_args(arguments, namespace=options)
        check_bare_words(options)
    report.verbosity = -1 if options.quiet else options.verbose or verbosity_from_environment()
    if options.offline:
        os.environ[OFFLINE_VAR] = "1"
    return options


WORDS_OF_PYTHON = ("-", "-c", "-m", "-V", "--version")  # with these behind it, `python` was meant to run


def check_order(before, words):
    """PrimeError if options of every command, or another tool's, stand behind `run` (U1).

    before  list of str, the words in front of it;  words  list of str, those behind it
    """
    index, known = command_index(words), {flag for flags, _ in OPTIONS for flag in flags} | {"-vv", "-qv"}
    hint = hint_of_others(None, words[0], ()) if index else ""
    if hint:
        raise PrimeError("run: unknown option %s" % words[0], hint=hint, status=2)
    if index and all(word.partition("=")[0] in known for word in words[:index] if word[:1] == "-"):
        raise PrimeError("run: option %s stands before run" % words[0], status=2,
                         hint="did you mean: prime " + shown([*before, *words[:index], "run", *words[index:]]))


def command_index(argv):
    """The index of a command line's first word that is neither an option nor the value of one."""
    index = 0
    while index < len(argv) and argv[index].startswith("-"):
        word = argv[index]
        is_long = word in ("--root", "--env")
        is_env = not word.startswith("--") and word.find("e") == len(word) - 1  # -e, or -ve
        index += 2 if is_long or is_env else 1
    return index


def check_bare_words(options):
    """PrimeError if the name of an option stands where a command takes another word: `vendor python` (U1)."""
    for (flag, *_), _ in ARGUMENTS.get(options.command, ()):
        word = flag[2:] if flag[:2] == "--" else ""
        if word and word in (options.request, options.directory, options.release) and not os.path.isdir(word):
            raise PrimeError("%s: %s is an option" % (options.command, word), status=2,
                             hint="did you mean: prime %s %s" % (options.command, flag))


LOG_LEVELS = {"error": -1, "warning": 0, "info": 1, "debug": 2}


def verbosity_from_environment():
    """The value of `Reporter.verbosity` that PROTOPRIMER_LOG_LEVEL asks for."""
    level = os.environ.get(LOG_VAR, "").lower() or "warning"
    if level not in LOG_LEVELS:
        report.note_once("%s=%s is not known; it is one of %s" % (LOG_VAR, level, ", ".join(LOG_LEVELS)))
    return LOG_LEVELS.get(level, 0)


def unknown_command(options, word, *rest):
    """The PrimeError for a word that is no command: what was meant, as far as that can be told (U1).

    options  `Options`, with the options before the word;  rest  str, the words behind it
    """
    environment, prefix = peek(options)
    tasks = [name for name, _ in task_rows(environment.config.tasks if environment else {}, OURS)]
    typed = [each for each in ("-e", options.env) if options.env]
    error = PrimeError("unknown command %s" % visible_word(word), hint="prime help", status=2)
    programs = programs_of(prefix)
    if word in MANAGERS and word not in programs and is_known_word(environment, rest, tasks):
        at = int(rest[0] == "run" and "".join(rest[1:2]) in tasks)  # where their `run` is for tasks
        word, rest = rest[at], rest[at + 1:]
    if word[:1] == ":":
        by_name = {name.lstrip(":"): name for name in tasks}
        near = nearest_name(word[1:], list(by_name))
        words, hint = [by_name[near]] if near else [], "the tasks: " + ", ".join(tasks) if tasks else ""
    elif not rest and len(word.split()) > 1:
        words, hint = [], ONE_WORD + "prime " + word.strip()
    else:
        words, hint = what_was_meant(environment, word, rest, tasks, programs)
    if words:
        hint = "did you mean: prime " + shown([*typed, *words, *rest])
    error.hint = hint or error.hint
    return error


def is_known_word(environment, rest, tasks):
    """True if the words behind the name of another tool mean something here: `uv sync`, `poetry run pytest`."""
    word = "".join(rest[:1])
    hint = hint_of_others(environment, word, rest[1:]) if word[:6] != "python" else ""
    return word in ("run", "shell", "lock", *tasks) or hint != ""


def what_was_meant(environment, word, rest, tasks, programs):
    """What to type instead of a word that is no command: a list of words that take its place, else a hint.

    Arguments as for `unknown_command`; tasks, programs  lists of str, the names of those that are there
    """
    if word in OURS or word in tasks:
        return [word], ""
    hint = hint_of_others(environment, word, rest)
    slip = "" if hint and word not in USUAL_TASKS else slip_of(word, tasks)
    is_path = os.path.isfile(word) and (word.endswith(".py") or os.path.dirname(word) != "")
    if word not in INSTALLERS and (is_path or word in [*programs, *TOOLS]):
        return ["run", word], ""
    if hint or slip:
        return [slip] * bool(slip), hint
    if os.path.isfile(word + ".py"):
        return ["run", word + ".py"], ""
    if not os.path.dirname(word) and find_program(word):
        return ["run", word], ""
    tools = [slip_of(word, TOOLS), *filter(find_program, TOOLS)]  # who types `lint` need not want to add pylint
    names, others = [*OURS, *tasks, *programs, *tools], " ".join(row[0] for row in WORDS_OF_OTHERS).split()
    hint = hint_of_others(environment, nearest_name(word, [likely_name(word, names + others)], 0.8), rest)
    near = "" if hint else likely_name(word, names)
    return [near] if near in OURS or near in tasks else ["run", near][:2 * len(near)], hint


def likely_name(word, names):
    """The one of `names` that is one slip from a word, or nearly the same; else ""."""
    return slip_of(word, names) or nearest_name(word, names, 0.7)


def hint_of_others(environment, word, rest):
    """The hint for a command of another tool; "" if the word is none. Arguments as for `unknown_command`."""
    if word in ("pip", "pip3") and "".join(rest[:1]) in ("list", "freeze", "show", "check"):
        word = "list"
    if word in USUAL_TASKS:
        own = not environment or environment.config.file != PYPROJECT
        place = "[tasks] of %s" % OWN_CONFIG if own else "[tool.proto-prime.tasks] of " + PYPROJECT
        name, runs = word if word != "tests" else "test", USUAL_TASKS[word]
        begin = "prime run pytest; or make it a task" if name == "test" else "make it a task"
        return '%s: %s = "%s" in %s' % (begin, name, runs, place)
    if word in INSTALLERS and (rest or word not in ("install", "rm")):
        removes = not REMOVERS.isdisjoint([word, *rest[:1]])
        if not removes and not {".", "-e", "--editable", "-r", "--requirement"}.isdisjoint(rest):
            return hint_of_others(environment, "sync", ())
        names = [each for each in rest if each[:1] != "-" and each not in INSTALLERS]
        if not (removes or names) and "install" in (word, *rest[:1]):
            return hint_of_others(environment, "sync", ())
        does = "take %s out of" if removes else "list %s in"
        return where_to_add(environment, does % ("it" if names else "packages"))
    if word.rstrip("0123456789.") in ("python", "py"):
        return "did you mean: prime " + shown(["run", "python", *rest])
    for words, typed, does in WORDS_OF_OTHERS:
        if word in words.split():
            if typed == "upgrade":
                has_lock = environment and environment["lock_file"]
                return "prime lock --upgrade ignores the versions pinned so far" if has_lock else \
                    "prime reset installs the newest versions that the repo allows"
            return " ".join(filter(None, ["prime", typed, does]))
    return ""


def make_parser(command, options):
    """The parser of a command's options and arguments, or, with "", of a command line without a command.

    options  `Options`, those that are parsed already when the help is printed
    """
    import argparse

    class Parser(argparse.ArgumentParser):
        def _get_option_tuples(self, word):
            """No abbreviations: `clean --al` is a slip. Without allow_abbrev, which takes -vq from 3.6 (bpo-26967)."""
            return [] if word[:2] == "--" else super()._get_option_tuples(word)

        def error(self, message):
            raise PrimeError(message, hint=hint_of_usage(command, message, self, options), status=2)

        def print_help(self, file=None):
            emit(help_of(command, options, min(columns(1), HELP_COLUMNS)))

        def _print_message(self, message, file=None):  # of --version
            emit(message)

    parser = Parser(prog=("prime %s" % command).strip(), argument_default=argparse.SUPPRESS, add_help=False,
                    formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80))  # else it loads shutil, bz2
    for names, settings in [*OPTIONS, *ARGUMENTS.get(command, ())]:
        parser.add_argument(*names, **settings)
    return parser


# What reads the output of `prime env --shell SHELL` besides SHELL itself, and what to source where nothing does.
SHELLS_ALIKE = {
    **dict.fromkeys(("bash", "zsh", "dash", "ash", "ksh", "mksh", "yash", "posix", "direnv"), "prime env --shell sh"),
    **dict.fromkeys(("powershell", "ps1", "ps"), "prime env --shell pwsh"), "cmd.exe": "prime env --shell cmd",
    "csh": "source .venv/bin/activate.csh", "tcsh": "source .venv/bin/activate.csh",
    "nu": "overlay use .venv/bin/activate.nu", "xonsh": "source .venv/bin/activate.xsh",
}  # type: dict


def hint_of_usage(command, message, parser, options):
    """The hint for what argparse says of a command line (U1)."""
    words = message.partition("unrecognized arguments: ")[2]
    word = words.split(" ")[0]
    flags = [each[2:] for each in parser._option_string_actions if each[:2] == "--"]
    shell = message.partition("invalid choice: '")[2].partition("'")[0] or word.strip("-") * (command == "env")
    alike = SHELLS_ALIKE.get(shell) or "prime env --shell " + shell * (shell in (*ENV_SHELLS, "github", "json"))
    if shell and not alike.endswith(" "):
        return "did you mean: " + alike
    if not command and word in ("-m", "-c"):
        return "did you mean: prime run " + ("-m MODULE" if word == "-m" else "python -c CODE")
    hint = hint_of_option(command, word, options) if word[:1] == "-" else ""
    near = nearest_name(word.strip("-"), flags) if word[:1] == "-" else word * (word in flags)
    if hint or near:
        return hint or "did you mean: %s --%s" % (parser.prog, near)
    if command == "boot" and word == "run":
        return "did you mean: prime " + words
    if command == "shell" and word:
        in_quotes = options.line is not None and shown(["shell", "-c", "%s %s" % (options.line, words)])
        return "did you mean: prime " + (in_quotes or "run " + words)
    try:
        names = load_config(find_root(options.root)).names()
    except (PrimeError, OSError):
        names = []
    if word in names and command != "use":
        return "did you mean: prime -e %s %s" % (word, command)
    if names and (command == "use" or not word and "-e/--env" in message):
        typed = "-e" if "-e/--env" in message else command
        return "prime %s NAME; the names: %s" % (typed, ", ".join(sorted(names)))
    return "%s --help" % parser.prog


def hint_of_option(command, word, options):
    """The hint for an option that is not known here: another tool's, one of a command, or none; "" if it is neither."""
    hint = hint_of_others(None, word, ())
    owners = [name for name, rows in ARGUMENTS.items() for flags, _ in rows if word in flags]
    if owners and not command and not hint:
        hint = "did you mean: " + ", ".join("prime %s %s" % (name, word) for name in owners)
    if word == "--no-boot":
        hint = RUN_USAGE
    if word == "--" and options.words:
        environment, _ = peek(options)
        is_task = environment and options.words[0] in environment.config.tasks
        hint = "did you mean: prime " + shown(["run"] * (not is_task) + options.words)
    return hint


HELP_COLUMNS, HELP_LINES, HELP_TASKS = 80, 24, 9  # of the help, where the terminal is that wide; lines on tasks


def label_of(names, settings):
    """An option or argument as help shows it: "--from FILE", "DIR"."""
    value = settings.get("metavar", "")
    return value if names[0][:1] != "-" else ("%s %s" % (names[0], value)).strip()


def help_of(command, options, width):
    """The text of help in lines of at most `width` columns: of a command, a task in `options`, or of all (U5)."""
    try:
        tasks = load_config(find_root(options.root)).tasks
    except (PrimeError, OSError):  # help is for those whose config is broken, too
        tasks = {}
    typed = entry().replace(" ", "\xa0")
    if command:
        lines = help_of_command(command, typed, width)
    elif not options.words:
        rows = [(name, one_line(text)) for name, text in task_rows(tasks, OURS)]
        lines = help_of_all(typed, rows, width)
    else:
        word = options.words[0]
        task = tasks.get(task_name(word, ()))
        if not task:
            options.root = find_root(options.root)
            load_config(options.root)  # a broken one says so: the word may be a task of it
            raise unknown_command(options, word)
        lines = help_of_task(task, typed + "\xa0" + word, width)
    return "\n".join(lines) + "\n"


def help_of_all(typed, tasks, width):
    """The lines of `prime -h`: what is done every day first.

    typed  str, how the user starts this; tasks  list of pairs of str, the names of the repo's tasks and their help
    """
    about = [(name, (function.__doc__ or "").split("\n")[0]) for name, function in COMMANDS.items()]
    daily = [row for row in about if row[0] in DAILY]
    rare = [row for row in about if row[0] not in DAILY]
    options = ["%s (%s)" % (label_of(*row), row[1]["help"]) for row in OPTIONS]
    usage = "usage:\xa0%s [OPTIONS] [COMMAND%s] [ARGS...]" % (typed, " | TASK" if tasks else "")
    head = wrapped(usage, width, "  ") + ["", "Every day:"] + in_two_columns(daily, width)
    foot = [""] + wrapped("Options, before the command: %s." % ", ".join(options), width, "  ")
    title = [""] + wrapped("Less often (%s\xa0help\xa0COMMAND tells more):" % typed, width, "  ")
    lines = in_two_columns(rare, width)
    if len(in_two_columns(tasks, HELP_COLUMNS)) > HELP_TASKS:
        head += wrapped("Tasks of this repo (%s\xa0help\xa0TASK tells more):" % typed, width, "  ")
        head += wrapped("  " + ", ".join(name for name, _ in tasks), width, "  ")
    elif tasks:
        head += ["Tasks of this repo:"] + in_two_columns(tasks, width)
    if tasks and len(head + title + lines + foot) > HELP_LINES:
        lines = wrapped("  " + ", ".join(name for name, _ in rare), width, "  ")
    return head + title + lines + foot


def help_of_command(command, typed, width):
    """The lines of `prime COMMAND -h`: what it does, its own options, those of every command."""
    own = ARGUMENTS.get(command, ())
    rows = [(label_of(*row), row[1]["help"]) for row in own] + (list(FORMS) if command == "run" else [])
    words = [label_of(*row) if row[0] == ("name",) else "[%s]" % label_of(*row) for row in own]
    usage = RUN_USAGE.partition(" ")[2] if command == "run" else " ".join([command, *words])
    lines = wrapped("usage:\xa0%s %s" % (typed, usage), width, "  ") + [""]
    lines += wrapped((COMMANDS[command].__doc__ or "").split("\n")[0], width)
    lines += [""] + in_two_columns(rows, width) if rows else []
    options = ", ".join(label_of(*row).replace(" ", "\xa0") for row in OPTIONS)
    return lines + [""] + wrapped("Options of every command: %s; %s\xa0-h tells more." % (options, typed), width, "  ")


def help_of_task(task, typed, width):
    """The lines of `prime help TASK`."""
    rows = [("runs", shown(task.words)), ("first", ", ".join(task.needs)), ("environment", task.env),
            ("directory", task.cwd)]
    lines = wrapped("usage:\xa0%s [ARGS...]" % typed, width, "  ") + [""]
    lines += wrapped(one_line(task.help), width) + [""] if task.help else []
    return lines + in_two_columns([(label, one_line(text)) for label, text in rows if text], width)


def entry():
    """How the user started this, words for a shell: "./prime", "sh prime", "python3 proto_prime.py"."""
    path, typed = sys.argv[0] if sys.argv else "", os.environ.get(TYPED_VAR, "")
    if typed:
        return "sh " + shown([typed])
    if not os.path.isfile(path):
        return "... | python3 -"
    if is_installed() and os.path.realpath(path) == own_file():
        return "python3 -m proto_prime"
    directory, name = os.path.split(path)
    if WINDOWS and os.path.isfile(path + ".cmd"):
        return shown([path])
    if not directory or not os.access(path, os.X_OK) or WINDOWS:
        return "python3 " + shown([path])
    return shown([name if find_program(name) == path else path])


def as_typed(text):
    """A hint, in which `prime COMMAND` is what the user types for it: see `entry`."""
    if "prime" not in text:  # H16: where files run out, nothing more can be imported
        return text
    import re

    return re.sub(r"(?<![\w./'-])prime(?= [-:\w]|$)", lambda _: entry(), text)


def restore_environ():
    """Take the variables as they came to `prime`: a shell drops some names, and sets variables of its own.

    The process id, and the -S with which `prime` starts a python, show that they came to this process (E5).
    """
    pid, _, digits = os.environ.pop(ENVIRON_VAR, "").partition(" ")
    if pid != str(os.getpid()) or not sys.flags.no_site:
        return
    given = bytes.fromhex("".join(digits.split()))
    if 0 < len(given) < ENVIRON_CAP:
        entries = [entry.partition("=") for entry in os.fsdecode(given).split("\0") if entry.find("=") > 0]
        before = {name: value for name, _, value in entries}
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


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
    if is_ours:
        report.as_typed = as_typed
    argv = sys.argv[1:] if argv is None else list(argv)

    def work():
        if is_ours:
            restore_environ()
            isolate()
            catch_signals()
        status = fast_path(argv, OURS)
        if status is not None:
            return status
        keep_warm_bytecode()
        options = parse_command_line(argv)
        if is_ours and options.command != "serve":  # collecting costs a first boot 1 ms, and its life is short
            import gc

            gc.disable()
        open_options(options)
        options.stage = options.stage if is_ours else ""
        note_outlived(options.root)
        try:
            return COMMANDS[options.command](options) if options.command else command_task(options)
        except PrimeError as problem:
            if isinstance(problem, NoCommand) and not options.command:
                raise unknown_command(options, *options.words)
            problem.hint = "; ".join(filter(None, [hint_for_submodule(problem, options.root), problem.hint]))
            raise

    return status_of(work)


def hint_for_submodule(problem, root):
    """What to type if a `PrimeError` names a directory of a submodule that git has not checked out, else "" (M26)."""
    import re
    import urllib.parse

    said = "\n".join([str(problem)] + problem.tried)
    said += urllib.parse.unquote(said)
    for top in ancestors(root):
        text = loose_text(os.path.join(top, ".gitmodules"))
        for name in re.findall(r"^\s*path\s*=\s*(.*\S)", text, re.MULTILINE):
            path = os.path.join(top, name)
            spellings = "|".join(map(re.escape, (path, path_below(path, root))))  # and no part of another word
            if not names_if_there(path) and re.search(r"(?<![\w-])(%s)(?![\w.-])" % spellings, said):
                return "%s is a submodule that is not checked out: git submodule update --init --recursive" % name
    return ""


def open_options(options):
    """Set the ref root and the stage of this process in `Options`, and return these."""
    root = find_root(options.root)
    find_state(root)
    options.root = recorded_root(root)
    find_state(options.root)
    options.stage = take_stage(options.root)
    report.detail("stage %s: %s (%s)" % (options.stage, running_python(), sys.version.split()[0]))
    report.detail("ref root: %s" % options.root)
    return options


def status_of(work):
    """Call work() and return its exit status. An error that it raises is reported, and gives the status."""
    try:
        if globals().get("__spec__"):  # else this is a script, or a warm start
            drop_cut_bytecode()
        return work()
    except PrimeError as error:
        return fail(error)
    except BrokenPipeError:  # `| head -1`
        return 128 + 13
    except OSError as problem:
        return fail(unforeseen(problem))
    except UnicodeError as problem:  # E10: python 3.6 in the C locale
        return fail(PrimeError("a path or a value has characters that this locale cannot say: %s" % problem))
    except Interrupted as stop:
        catch_signals(is_over=True)
        for process in list(_live):  # other threads wait for these
            end_group(process, grace=0)
        return fail(PrimeError("interrupted by %s; nothing is half-done" % signal_name(stop.signum),
                               hint="to go on: " + shown(["prime"] + sys.argv[1:]), status=128 + stop.signum))
    except MemoryError:  # H16
        return fail(PrimeError("there is not enough memory", hint=LIMIT_HINT))
    except Exception as problem:
        if isinstance(problem, (RuntimeError, ImportError)) and limit_hint(str(problem)):
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
    script = started_file()
    if not os.path.isfile(script):
        raise PrimeError("an entry script is a file: this came through a pipe, or from -c")
    if not all(target.partition(":")):
        raise PrimeError('"%s" names no function: it takes "module:function"' % target, status=2)
    root, requested = find_root(), os.environ.get(ENV_VAR, "")
    stage, _, stage_root = os.environ.get(PY_EXEC, "").partition(":")
    if stage == "venv" and stage_root == root:
        if not is_same_place(os.path.dirname(os.path.realpath(sys.prefix)), state_dir(root, "envs")):
            raise PrimeError("stage venv: %s is not in the environment" % sys.executable,
                             hint="unset %s, if that is stale" % PY_EXEC)
        del os.environ[PY_EXEC]
        return None
    isolate()
    catch_signals()
    report.verbosity = verbosity_from_environment()
    stamp = None if stage else read_stamp(root, requested)
    if stamp and (stamp.holds(not requested) if boots else stamp.is_usable()):
        prefix, env_vars, env_file = stamp.prefix, stamp.variables, stamp.env_file
    else:
        options = open_options(Options())
        environment = open_environment(options)
        prefix = prefix_of(environment, options, boots)
        env_vars, env_file = environment["env_vars"], environment.env_file
    environ = activated(prefix, env_vars, env_file)
    # Some variables act as python starts, so that they must be there already.
    names = list(dict(env_vars)) + list(read_env_file(env_file))
    has_variables = all(os.environ.get(name) == environ[variable_name(name)] for name in names)
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
flags = "t" if "t" in getattr(sys, "abiflags", "") else ""
answer = ["%s %d.%d%s" % ((sys.implementation.name,) + sys.version_info[:2] + (flags,)), sys.prefix, sys.exec_prefix]
answer += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
"""


def self_portrait(python):
    """Ask an environment's python for its prefix, its exec_prefix and its directories of packages: a list of str.

    PrimeError if it does not run, or is another implementation or version than the running one.
    """
    here = {"sys": sys}  # type: dict
    exec(SELF_PORTRAIT, here)
    answer, child = ask_python(python, SELF_PORTRAIT)
    if len(answer) < 4:
        raise PrimeError("%s is no usable python" % python, tried=child.tail())
    if answer[0] != here["answer"][0]:
        raise PrimeError("%s is %s, and this process runs %s" % (python, answer[0], here["answer"][0]),
                         hint="switch to an environment of the same version, or start another process")
    return answer[1:]


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
bare = list(sys.path)
import site
site.main()
answer = [path for path in sys.path if path not in bare]
"""


def site_places():
    """The entries of sys.path that are the running environment's: where it has packages, and what .pth files add."""
    if sys.prefix not in _added:
        flags = ["-E", "-S", "-B"] + (["-s"] if sys.flags.no_user_site else [])
        _added[sys.prefix], _ = ask_python(sys.executable or "", SITE_ADDS, flags)
    users = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    users += [] if sys.flags.isolated else sys.path[:1]  # the script's directory
    added = _added[sys.prefix]
    entries = [each for each in sys.path if each in added or each.endswith(("site-packages", "dist-packages"))]
    return [each for each in entries if each not in users]


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
