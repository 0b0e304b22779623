"""What people see: notices, errors, live lines, colours, and the log."""

import json
import os
import re
import subprocess

import pytest
from conftest import some_python

pty = pytest.importorskip("pty")

ESCAPE = "\x1b["


def on_terminal(repo, *argv, env=None, status=0):
    """What `prime argv...` prints on stderr if that is a terminal, and on stdout, which is none."""
    ours, theirs = pty.openpty()
    try:
        environ = dict(dict(repo.env, TERM="xterm"), **(env or {}))
        process = subprocess.Popen([str(some_python()), str(repo.path / "prime")] + list(argv), env=environ,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
                                   cwd=str(repo.path))
    finally:
        os.close(theirs)
    said = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the last one on the other side is gone
            break
        if not chunk:
            break
        said += chunk
    os.close(ours)
    stdout = process.communicate()[0]
    text = said.decode("utf-8")
    assert process.returncode == status, text
    return text, stdout.decode("utf-8")


# -- how much --------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [["-q"], None])
def test_quiet_prints_errors_alone(plain, told):
    env = {} if told else {"PROTOPRIMER_LOG_LEVEL": "error"}
    plain.config('post_boot = [["echo", "noise"]]')
    for _ in range(2):
        result = plain.prime(*(told or []), env=env)
        assert (result.stdout, result.stderr) == ("", "")
    plain.config('dependencies = ["no-such-thing-at-all"]')
    result = plain.prime(*(told or []), env=env, status=1)
    assert result.stderr.startswith("prime: error: ")


@pytest.mark.parametrize("told", ["-v", "info"])
def test_verbose_prints_stages_decisions_and_commands_but_not_the_children_s_output(repo, told):
    repo.config('dependencies = ["six"]\npost_boot = [["echo", "noise", "of mine"]]')
    result = repo.prime("-v") if told == "-v" else repo.prime(env={"PROTOPRIMER_LOG_LEVEL": told})
    assert result.stdout == ""
    for word in ("stage wild: %s" % some_python(), "stage required", "stage venv: ", "candidate ", "matches",
                 "prime: run: ", "ref root: %s" % repo.path, "published: "):
        assert word in result.stderr, word
    assert not re.search("^noise of mine", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("told", ["-vv", "debug"])
def test_very_verbose_prints_the_children_s_output_as_well(plain, told):
    plain.config('post_boot = [["echo", "noise", "of mine"]]')
    result = plain.prime("-vv") if told == "-vv" else plain.prime(env={"PROTOPRIMER_LOG_LEVEL": told})
    assert result.stdout == ""
    assert re.search("^noise of mine$", result.stderr, re.MULTILINE)


def test_options_win_over_the_log_level_of_the_environment(plain):
    plain.prime()
    assert plain.prime("-q", env={"PROTOPRIMER_LOG_LEVEL": "debug"}).stderr == ""
    assert "stage wild" in plain.prime("-v", env={"PROTOPRIMER_LOG_LEVEL": "error"}).stderr


def test_unknown_log_level_is_no_matter(plain):
    assert "is ready" in plain.prime(env={"PROTOPRIMER_LOG_LEVEL": "loud"}).stderr


def test_very_verbose_adds_the_traceback_of_an_error(plain):
    plain.config("no toml")
    assert "Traceback" not in plain.prime("-v", status=2).stderr
    assert "Traceback" in plain.prime("-vv", status=2).stderr


# -- errors ----------------------------------------------------------------------------------------


def test_error_says_what_was_asked_what_was_tried_and_what_to_do(plain):
    plain.config('required_python_version = ">=3.99"\nvenv_driver = "venv_pip"')
    lines = plain.prime(status=1).stderr.splitlines()
    first = 'prime: error: no python satisfies required_python_version ">=3.99" (proto_prime.toml'
    assert lines[0].startswith(first)
    assert any(str(some_python()) in line and "too old" in line for line in lines[1:-1])
    assert all(line.startswith("  ") for line in lines[1:])
    assert lines[-1].startswith("  hint: ")


def test_failure_shows_the_end_of_the_tool_s_output_and_where_the_rest_is(plain):
    code = "import sys\nfor number in range(1000): print('line %d' % number, file=sys.stderr)\nsys.exit(9)"
    plain.config("post_boot = [%s]" % json.dumps(["python", "-c", code]))
    result = plain.prime(status=1)
    assert "  line 999\n" in result.stderr
    assert "line 500" not in result.stderr
    log = re.search("the whole log: (.*)", result.stderr).group(1)
    with open(log, encoding="utf-8") as file:
        text = file.read()
    assert "\nline 0\n" in text and "\nline 500\n" in text and "\nline 999\n" in text


def test_output_that_is_no_UTF_8_is_shown_all_the_same(plain):
    code = "import os, sys; os.write(2, b'caf\\xe9 \\xff\\n'); sys.exit(1)"
    plain.config("post_boot = [%s]" % json.dumps(["python", "-c", code]))
    result = plain.prime(status=1)
    assert "caf\\xe9 \\xff" in result.stderr


def test_passwords_in_index_urls_are_not_shown(plain):
    plain.config('index_url = "http://me:secret@localhost:9/simple"\ndependencies = ["six"]\nno_index = true')
    result = plain.prime("-v", status=None)
    assert "secret" not in result.stderr
    assert all("secret" not in log.read_text(encoding="utf-8") for log in plain.logs)


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_E10_errors_and_data_under_another_locale(make_repo, locale):
    repo = make_repo("ein Ärger mit 日本")
    repo.config('required_python_version = "Ünsinn"')
    repo.env.update(LANG=locale, LC_ALL=locale)
    assert repo.prime(status=2).stderr.startswith("prime: error: malformed request")
    repo.config('env_vars = {GREETING = "Grüße"}')
    repo.prime()
    assert json.loads(repo.prime("info", "--json").stdout)["root"] == str(repo.path)
    assert "GREETING" in repo.prime("info").stdout
    assert repo.prime("run", "sh", "-c", "echo $GREETING").stdout == "Grüße\n"


# -- colours and live lines ------------------------------------------------------------------------


def test_no_colours_in_a_pipe_unless_FORCE_COLOR(plain):
    plain.config("no toml")
    assert ESCAPE not in plain.prime(status=2).stderr
    assert ESCAPE in plain.prime(status=2, env={"FORCE_COLOR": "1"}).stderr
    assert ESCAPE not in plain.prime(status=2, env={"FORCE_COLOR": ""}).stderr


def test_colours_on_a_terminal_unless_NO_COLOR(plain):
    plain.config("no toml")
    assert ESCAPE + "31m" in on_terminal(plain, status=2)[0]
    assert ESCAPE not in on_terminal(plain, status=2, env={"NO_COLOR": "1"})[0]
    assert ESCAPE + "31m" in on_terminal(plain, status=2, env={"NO_COLOR": ""})[0]
    assert ESCAPE not in on_terminal(plain, status=2, env={"TERM": "dumb"})[0]


def test_long_steps_show_a_live_line_with_the_time_on_a_terminal(plain):
    plain.config('post_boot = [["sleep", "1.2"]]')
    said, stdout = on_terminal(plain)
    assert stdout == ""
    assert re.search(r"\r\x1b\[Kprime: post_boot: sleep 1\.2 [01] s", said)
    shown = [line.split("\x1b[K")[-1].strip() for line in said.split("\n")]
    assert [line for line in shown if "post_boot" in line] == []  # the line is gone when the step is done
    assert "building environment default" in shown[0]
    assert ".venv is ready" in said


def test_long_steps_are_plain_lines_elsewhere(plain):
    plain.config('post_boot = [["echo", "noise"]]')
    said = plain.prime().stderr
    assert "\nprime: post_boot: echo noise\n" in said
    assert "\r" not in said and ESCAPE not in said


def test_verbose_and_quiet_have_no_live_line(plain):
    plain.config('post_boot = [["echo", "noise"]]')
    assert "\x1b[K" not in on_terminal(plain, "-v")[0]
    assert on_terminal(plain, "-q", "reset")[0] == ""


# -- the log ---------------------------------------------------------------------------------------


def test_each_build_leaves_its_full_log(repo):
    repo.config('dependencies = ["six"]\npost_boot = [["echo", "noise", "of mine"]]')
    repo.prime("-q")
    log, = repo.logs
    text = log.read_text(encoding="utf-8")
    for word in ("building environment default: it was not built yet", "prime: run: ", "six",
                 "\nnoise of mine\n", "published: ", ".venv is ready"):
        assert word in text, word
    assert ESCAPE not in text


def test_the_newest_five_logs_are_kept(plain):
    for number in range(8):
        plain.config('post_boot = [["echo", "boot number %d"]]' % number)
        plain.prime()
        assert any("boot number %d" % number in log.read_text(encoding="utf-8") for log in plain.logs)
    assert len(plain.logs) == 5
    told = [re.findall(r"boot number (\d)", log.read_text(encoding="utf-8"))[-1] for log in plain.logs]
    assert told == ["3", "4", "5", "6", "7"]


def test_files_in_the_log_directory_that_are_no_logs_of_ours_stay(plain):
    for number in range(7):
        plain.write(".prime/log/%d.txt" % number, "mine")
    plain.prime()
    assert len(list(plain.path.glob(".prime/log/*.txt"))) == 7


def test_a_log_that_cannot_be_written_is_no_matter(plain):
    plain.write(".prime/log", "a file")
    plain.prime()
    assert plain.inside("print(1)") == "1"
