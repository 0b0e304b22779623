"""The screens that are read most, as a person sees them at 80 and at 40 columns, and as a pipe gets them."""

import os
import re
import signal
import time
import zipfile

import pytest
from conftest import uv_program
from helpers import Index, Terminal, make_wheel, wait_for

pytest.importorskip("fcntl")  # not on Windows, as is the rest
pytest.importorskip("pyte")

WIDTHS = [80, 40]


@pytest.fixture
def terminal(repo):
    """A function that makes a `Terminal` of some width for `repo`."""
    made = []

    def make(columns=80):
        made.append(Terminal(repo, columns))
        return made[-1]

    yield make
    for each in made:
        each.close()


# -- U9: long steps, interrupts, mistakes in TOML --------------------------------------------------


def make_wait(repo, *lines):
    """Have the boot run a command that prints lines and waits until the file `hold` in the home is gone."""
    hold = repo.home / "hold"
    hold.touch()
    echo = "".join("echo '%s'\n" % line for line in lines)
    repo.program("slow", "#!/bin/sh\n%swhile test -e '%s'; do sleep 0.05; done\n" % (echo, hold))
    repo.config('post_boot = [["slow"]]')
    repo.link("uv", uv_program())
    return hold


@pytest.mark.parametrize("columns, live", [
    (80, "^prime: post_boot: slow: compiling the second of 2 files 0 s$"),
    (40, "^compiling the second of 2 files 0 s$"),
])
def test_U9_live_line_shows_what_a_command_said_last(repo, terminal, columns, live):
    hold = make_wait(repo, "compiling the first", "\033[1mcompiling the second of 2 files\033[0m", "  ")
    window = terminal(columns).prime().until(live).until(live.replace("0 s", "1 s"))
    hold.unlink()
    window.finish()
    assert not window.shows("compiling")


def test_U9_pipe_gets_the_step_alone(repo):
    make_wait(repo, "compiling").unlink()
    said = repo.prime().stderr
    assert "prime: post_boot: slow\n" in said and "compiling" not in said


@pytest.fixture
def slow_index(index_client, tmp_path):
    """A client of an index that gives away half of a wheel of 3 MB, and then waits while the file `hold` is there."""
    wheels, hold = tmp_path / "slow wheels", tmp_path / "hold"
    wheels.mkdir()
    make_wheel(wheels / "slowpoke-1.2-py3-none-any.whl", "slowpoke", "1.2")
    with zipfile.ZipFile(str(wheels / "slowpoke-1.2-py3-none-any.whl"), "a") as archive:
        archive.writestr("slowpoke.bin", os.urandom(3 << 20))

    def slowly(index, request, _, body):
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[:len(body) // 2])
            while hold.exists():
                time.sleep(0.05)
            request.wfile.write(body[len(body) // 2:])

    index = Index(wheels)
    index.spoiled["slowpoke"] = slowly
    index_client.config('dependencies = ["slowpoke"]\nindex_url = "%s"' % index.url())
    index_client.link("uv", uv_program())
    hold.touch()
    yield hold
    if hold.exists():
        hold.unlink()
    index.close()


@pytest.mark.parametrize("columns, driver, live", [
    (80, "venv_uv", r"^prime: installing with uv: Downloading slowpoke \(3\.0MiB\) \d+ s$"),
    (40, "venv_uv", r"^Downloading slowpoke \(3\.0MiB\) \d+ s$"),
    (80, "venv_pip", r"^prime: installing with pip: Downloading slowpoke 1\.2 \(3\.1 MB\) \d+ s$"),
    (40, "venv_pip", r"^Downloading slowpoke 1\.2 \(3\.1 MB\) \d+ s$"),
])
def test_U9_live_line_shows_the_package_that_is_downloaded_and_its_size(slow_index, terminal, columns, driver, live):
    window = terminal(columns).prime(env={"PROTOPRIMER_VENV_DRIVER": driver}).until(live)
    slow_index.unlink()
    window.finish()
    assert not window.shows("Downloading")


@pytest.mark.parametrize("columns", WIDTHS)
def test_U9_interrupt_key_says_that_nothing_is_half_done_and_how_to_go_on(repo, terminal, columns):
    hold = make_wait(repo)
    window = terminal(columns).prime("run", "true").until("^prime: post_boot: slow 0 s$")
    window.type("\x03")
    window.finish(status=130)
    text = "".join(row.ljust(columns) for row in window.rows)
    assert "prime: error: interrupted by signal 2 (SIGINT); nothing is half-done" in text
    assert window.rows[-1].endswith("run true") and "hint: to go on: " in window.rows[-1]
    hold.unlink()
    assert repo.generations == [] and repo.prime("run", "true").status == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_U9_signal_says_so_in_a_pipe_and_names_the_command(repo, name):
    make_wait(repo)
    boot = repo.popen("-e", "default")
    assert wait_for(lambda: repo.logs and "post_boot: slow" in repo.logs[-1].read_text())
    boot.send_signal(getattr(signal, name))
    said = boot.communicate(timeout=60)[1]
    error, hint = said.splitlines()[-2:]
    assert re.match(r"prime: error: interrupted by signal \d+ \(%s\); nothing is half-done$" % name, error)
    assert re.match("  hint: to go on: .*prime -e default$", hint)


MISTAKES = {  # a config, and the lines below the error
    "a missing quote": ('venv_driver = "auto\n', ['venv_driver = "auto', "                   ^"]),
    "a second =": ("[env_vars]\n\tA == 1\n", [r"\tA == 1", "     ^"]),
    "wide characters": ("env_vars = {A = '日本'} x\n", ["env_vars = {A = '日本'} x", "                        ^"]),
}


@pytest.mark.parametrize("text, lines", MISTAKES.values(), ids=list(MISTAKES))
def test_U9_mistake_in_a_config_is_shown_with_its_line_and_a_caret(repo, terminal, text, lines):
    repo.config(text)
    assert repo.prime(status=2).stderr.splitlines()[1:3] == ["  " + line for line in lines]
    for columns in WIDTHS:
        rows = terminal(columns).prime().finish(status=2).rows
        assert [row.replace("日 本 ", "日本") for row in rows[-2:]] == ["  " + line for line in lines]


@pytest.mark.parametrize("columns", WIDTHS)
def test_U9_caret_stands_below_the_mistake_in_a_line_that_is_too_long(repo, terminal, columns):
    repo.config("dependencies = [%s nonsense, %s]" % ('"six", ' * 100, '"idna", ' * 1000))
    line, caret = terminal(columns).prime().finish(status=2).rows[-2:]
    assert line[len(caret) - 1:].startswith("nonsense") and line.startswith("  ...")


@pytest.mark.parametrize("name", ["pyproject.toml", "pylock.toml", "some script"])
def test_U9_mistake_in_any_toml_is_shown(repo, name):
    repo.config()
    repo.write(name, "lock-version = = 1\n")
    argv = []
    if name == "some script":
        repo.write("script.py", "# /// script\n# dependencies = = 1\n# ///\n")
        argv = ["run", "script.py"]
    lines = repo.prime(*argv, status=2).stderr.splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("prime: error"))
    assert re.search(r"= = 1$", lines[number + 1]) and lines[number + 2].strip() == "^"
