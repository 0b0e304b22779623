"""What a person sees on a terminal: the bytes that it got, on the screen of a terminal emulator (pyte)."""

import json
import re
import shlex
import shutil
import subprocess
import time

import pytest
from conftest import python, some_python, uv_program
from helpers import READY, ROWS, Terminal

fcntl = pytest.importorskip("fcntl")  # not on Windows, as is the rest
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
pyte = pytest.importorskip("pyte")

LONG = "words-that-no-window-here-is-wide-enough-for-" * 4
WIDE = "日本語 🚀🎉 e\u0301\u0323 \U0001f468\u200d\U0001f469 ☀\ufe0f " * 4
EVIL = "\x1b[2J\x1b[H\r\t\b\x07\x0b\x0c\x7f\x9b2J"

# What a first boot with an empty config leaves on the screen.
BEGIN = """\
prime: building environment default: it was not built yet
prime: nothing to install: no [project], requirements.txt, or dependencies in the config
"""
END = "prime: .venv is ready (environment default, %s)\n" % READY
INTERRUPTED = "prime: error: interrupted by signal 2 (SIGINT); nothing is half-done\n  hint: to go on: python3 prime\n"


@pytest.fixture
def plain(plain):
    """`plain` with uv on PATH: else one has to be fetched, and others wait for it."""
    plain.link("uv", uv_program())
    return plain


@pytest.fixture
def terminal(plain):
    """A function that makes a `Terminal` of some width for the repo `plain`."""
    made = []

    def make(columns=80, repo=plain):
        made.append(Terminal(repo, columns))
        return made[-1]

    yield make
    for each in made:
        let_go(each.repo)
        each.close()


WAITS = """\
#!/bin/sh
while test -e {home}/hold; do sleep 0.05; done
{ending}
"""


def make_slow(repo, *words, ending=""):
    """Have the boot run `slow words…`, which waits until `let_go` and then does what `ending` says."""
    repo.config("post_boot = [%s]" % json.dumps(["slow"] + list(words), ensure_ascii=False).replace("\x7f", r"\u007f"))
    repo.program("slow", WAITS.format(home=shlex.quote(str(repo.home)), ending=ending))
    (repo.home / "hold").touch()


def let_go(repo):
    if (repo.home / "hold").exists():
        (repo.home / "hold").unlink()


def plain_bytes(terminal):
    """What came to a terminal, line ends as they were before the terminal itself made them \\r\\n."""
    return terminal.raw.replace(b"\r\n", b"\n")


# -- the live line ---------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_live_line_has_the_growing_time_in_one_row_and_leaves_nothing(plain, terminal, columns):
    make_slow(plain, LONG)
    window = terminal(columns).prime().until("^prime: post_b.* 0 s$").until("^prime: post_b.* 1 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)
    written = re.findall(rb"prime: post_b[^\r]*", window.raw)
    assert len(written) == len(set(written)), "it is written again though nothing has changed"


@pytest.mark.parametrize("version", ["3.6", "3.11", "3.13"])
def test_live_line_with_wide_and_combining_characters(plain, terminal, version):
    make_slow(plain, WIDE)
    window = terminal(40).prime(python=python(version)).until("^prime: post_boot: slow '日.* 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)


def test_live_line_shows_control_characters_and_does_not_send_them(plain, terminal):
    make_slow(plain, "a" + EVIL + "b", "c\nd")
    window = terminal(120).prime().until(r"^prime: post_boot: slow 'a\\x1b.*b' '...' 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)
    assert set(re.findall(rb"[\x00-\x1f\x7f]", plain_bytes(window).replace(b"\r\x1b[K", b""))) == {b"\n"}


def test_live_line_in_a_window_that_is_made_smaller_and_wider(plain, terminal):
    make_slow(plain, LONG)
    window = terminal().prime().until("^prime: post_boot.{50,} 0 s$")
    for columns, live in ((30, "^prime: post_boot.{2,10} [0-9] s$"), (100, "^prime: post_boot.{70,} [0-9] s$")):
        window.resize(columns)
        window.until(live)
    let_go(plain)
    window.finish()
    assert not window.shows("post_boot")
    assert all("post_boot" not in row for frame in window.frames for row in frame[:-1])


def test_live_line_where_the_width_is_not_known(plain, terminal):
    make_slow(plain, LONG)
    window = terminal(80)
    window.tell_size(0, 0)
    window.prime().until("^prime: post_boot.* 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)


def test_live_line_is_as_wide_as_the_window_whatever_COLUMNS_says(plain, terminal):
    make_slow(plain, LONG)
    window = terminal(40).prime(env={"COLUMNS": "200"}).until("^prime: post_boot.* 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)


def test_live_line_of_work_without_a_child(plain, terminal):
    plain.project(["six"])
    window = terminal().prime("vendor").finish()
    assert b"\r\x1b[Kprime: fetching six-" in window.raw
    assert not window.shows("fetching six-")


# -- colours and kinds of terminals ----------------------------------------------------------------


@pytest.mark.parametrize("variables, on_terminal, in_pipe", [
    ("NO_COLOR=1 FORCE_COLOR=1", False, False),
    ("NO_COLOR=0 FORCE_COLOR=1", False, False),
    ("NO_COLOR= FORCE_COLOR=0", True, True),
    ("NO_COLOR=0", False, False),
    ("TERM=dumb FORCE_COLOR=1", True, True),
    ("TERM=dumb FORCE_COLOR=1 NO_COLOR=1", False, False),
    ("TERM=", True, False),
])
def test_colours_where_variables_disagree(plain, terminal, variables, on_terminal, in_pipe):
    """As no-color.org and force-color.org say, and as python, pytest and uv do: "" is unset, NO_COLOR goes first."""
    plain.config("no toml")
    env = dict(word.split("=") for word in variables.split())
    window = terminal().prime(env=env).finish(status=2)
    assert (window.screen.buffer[0][len("prime: ")].fg == "red") == on_terminal
    assert (b"\x1b" in window.raw) == on_terminal
    assert ("\x1b[31m" in plain.prime(env=env, status=2).stderr) == in_pipe


def test_NO_COLOR_leaves_the_live_line(plain, terminal):
    make_slow(plain)
    window = terminal().prime(env={"NO_COLOR": "1"}).until("^prime: post_boot: slow 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)
    assert not re.search(rb"\x1b\[[\d;]*m", window.raw)


def test_dumb_terminal_gets_plain_lines(plain, terminal):
    make_slow(plain)
    window = terminal(200).prime(env={"TERM": "dumb"}).until("^prime: post_boot: slow$")
    let_go(plain)
    window.finish()
    assert b"\x1b" not in window.raw and b"\r" not in plain_bytes(window)
    assert [row for row in window.rows if "post_boot" in row] == ["prime: post_boot: slow"]


@pytest.mark.parametrize("term", [None, ""])
def test_terminal_without_a_name_has_a_live_line(plain, terminal, term):
    make_slow(plain)
    window = terminal().prime(env={"TERM": term}).until("^prime: post_boot: slow 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)


# -- pipes -----------------------------------------------------------------------------------------


def test_live_line_is_on_stderr_alone_where_stdout_is_a_pipe(plain, terminal):
    make_slow(plain, LONG)
    window = terminal(40).prime("run", "echo", "data", stdout=subprocess.PIPE).until("^prime: post_boot.* 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END)
    assert window.process.stdout.read() == b"data\n"


def test_stderr_that_is_a_pipe_gets_plain_lines_though_stdout_is_a_terminal(plain, terminal):
    make_slow(plain)
    let_go(plain)
    window = terminal().prime("run", "echo", "data", stderr=subprocess.PIPE).finish()
    assert window.raw == b"data\r\n"
    said = window.process.stderr.read()
    assert b"\nprime: post_boot: slow\n" in said
    assert b"\r" not in said and b"\x1b" not in said


def test_command_takes_the_terminal_over_in_a_clean_row(plain, terminal):
    make_slow(plain)
    window = terminal().prime("run", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size")
    window.until("^prime: post_boot: slow 0 s$")
    let_go(plain)
    window.finish().check(BEGIN + END + "%d 80\n" % ROWS)


# -- errors ----------------------------------------------------------------------------------------


def test_error_takes_the_place_of_the_live_line(plain, terminal):
    make_slow(plain, ending="echo first; echo last; exit 3")
    window = terminal(200).prime().until("^prime: post_boot: slow 0 s$")
    let_go(plain)
    window.finish(status=1)
    log, = plain.logs
    window.check(BEGIN + "prime: error: post_boot: slow failed: exit status 3\n  first\n  last\n"
                         "  hint: the whole log: %s\n" % log)
    assert b"\x1b" not in log.read_bytes()


def test_error_shows_the_tool_s_output_as_a_terminal_would_less_its_colours(plain):
    make_slow(plain, ending=r"printf '\033[1;31merror\033[0m: no\n 10%%\r 20%%\r100%%\n\033[2J\tdone\r\n'; exit 1")
    let_go(plain)
    said = plain.prime(status=1).stderr
    assert "\n  error: no\n  100%\n          done\n  hint: " in said


def test_error_shows_control_characters_in_a_path_and_does_not_send_them(make_repo, terminal):
    repo = make_repo("evil" + EVIL)
    repo.config("no toml")
    window = terminal(300, repo).prime().finish(status=2)
    assert window.rows[0].startswith("prime: error: ") and r"evil\x1b[2J\x1b[H\r\t\x08\x07" in window.rows[0]
    assert window.rows[1:] == ["  no toml", "     ^"]


# -- keys, jobs, and windows that are closed -------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 20])
def test_interrupt_key_leaves_the_error_alone_and_the_terminal_as_it_was(plain, terminal, columns):
    make_slow(plain, LONG)
    window = terminal(columns)
    before = termios.tcgetattr(window.device)
    window.prime().until("^prime: post_b.* 0 s$").type("\x03")
    window.finish(status=130).check(BEGIN + INTERRUPTED)
    assert termios.tcgetattr(window.device) == before


def test_job_that_was_stopped_goes_on_in_the_foreground(plain, terminal):
    make_slow(plain)
    window = terminal(100).sh()
    window.type("%s prime\n" % some_python())
    window.until(r"^prime: post_boot: slow \d s$").type("\x1a")
    window.until("Stopped").type("fg\n")
    window.until(r"^prime: post_boot: slow \d s$")
    let_go(plain)
    window.until(r"^prime: \.venv is ready").type("exit 5\n")
    window.finish(status=5)
    assert plain.current.is_dir()


def test_job_in_the_background_leaves_alone_what_is_typed(plain, terminal):
    make_slow(plain)
    window = terminal(100).sh()
    window.type("%s prime &\n" % some_python())
    window.until("prime: post_boot: slow$").type("echo this stays")
    window.until("echo this stays$").pause(0.5)
    assert window.rows[-1].endswith("echo this stays")
    let_go(plain)
    window.until(r"prime: \.venv is ready")
    assert not any(re.search(r"post_boot: slow \d+ s", row) for frame in window.frames for row in frame)


def test_job_in_the_background_that_may_not_write_waits_for_the_foreground(plain, terminal):
    make_slow(plain)
    let_go(plain)
    window = terminal(100).sh()
    window.type("stty tostop\n%s prime &\n" % some_python())
    for _ in range(100):
        window.type("jobs\n")
        if window.pause(0.1).shows("Stopped"):
            break
    window.type("fg\n")
    window.until(r"^prime: \.venv is ready").type("exit\n")
    window.finish()


def test_orphan_in_the_background_that_may_not_write_works_in_silence(plain, terminal):
    make_slow(plain)
    let_go(plain)
    window = terminal(100).sh()
    window.type("stty tostop\n(%s prime &)\n" % some_python())
    deadline = time.time() + 30
    while not (plain.path / ".venv").exists():
        window.pause(0.05)
        assert time.time() < deadline, window.rows
    assert not window.shows("^prime: ")


def test_boot_that_ignores_hangups_goes_on_without_its_terminal(plain, terminal):
    make_slow(plain)
    window = terminal().prime(ignores_hangup=True).until("^prime: post_boot: slow 0 s$")
    window.hang_up()
    time.sleep(0.3)
    let_go(plain)
    assert window.process.wait(timeout=30) == 0
    assert plain.current.is_dir()


# -- shells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish"])
def test_shell_keeps_terminal_and_variables_and_gives_its_status(plain, terminal, shell):
    path = shutil.which(shell)
    if not path:
        pytest.skip("no %s on this machine" % shell)
    (plain.home / ".zshrc").write_text("PROMPT='mine> '\n")
    (plain.home / ".bashrc").write_text("PS1='mine> '\n")
    window = terminal(120)
    before = termios.tcgetattr(window.device)
    window.prime("shell", env={"SHELL": path, "TERM": "vt220", "NO_COLOR": "1"})
    window.until(r"^\(a repo\) mine>" if shell in ("bash", "zsh") else r"^\(a repo\)")
    window.type('echo "<$TERM $NO_COLOR>"; tty -s; echo "tty $(stty size)"; exit 7\n')
    window.finish(status=7)
    notice = "prime: %s, in environment default; exit leaves it" % path
    assert notice in window.rows
    assert "<vt220 1>" in window.rows and "tty %d 120" % ROWS in window.rows
    assert b"\r\n" + notice.encode() + b"\r\n" in window.raw
    assert not window.shows("job control")
    assert termios.tcgetattr(window.device) == before


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish"])
def test_shell_in_a_shell_in_a_shell_reads_the_user_s_files_each_time(plain, terminal, shell):
    path = shutil.which(shell)
    if not path:
        pytest.skip("no %s on this machine" % shell)
    for name in (".bashrc", "own/.zshrc", "shrc", ".config/fish/config.fish"):
        file = plain.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("echo read\n")
    (plain.home / ".zshenv").write_text("ZDOTDIR=$HOME/own\n")  # after which zsh looks there
    (plain.home / "own" / ".zprofile").write_text("")
    window = terminal(120)
    window.prime("shell", env={"SHELL": path, "TERM": "vt220", "ENV": "$HOME/shrc"}).until(r"^\(a repo\)")
    for depth in range(2, 4):
        window.type("%s prime shell\n" % some_python())
        while sum(row == "read" for row in window.rows) < depth:
            window.until("read").pause(0.1)
        window.pause(0.3)
    window.type('echo "<$ENV|$ZDOTDIR>"\n')
    window.until(r"^<.*\|.*>")
    assert not window.shows("cache"), "\n".join(window.rows)
    for _ in range(3):
        window.type("exit 5\n")
        window.pause(0.3)
    window.finish(status=5)
