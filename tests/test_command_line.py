"""The command line itself: options, their places, and what is said of a wrong one."""

import re
import subprocess

import pytest
from conftest import PYTHONS, TOP, ancient_python

COMMANDS = ["boot", "run", "info", "python", "use", "reset"]


@pytest.mark.parametrize("wild", sorted(PYTHONS))
def test_version(plain, wild):
    result = plain.prime("--version", python=PYTHONS[wild])
    assert re.match(r"proto_prime \d+\.\d+\.\d+\n$", result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("wild", sorted(PYTHONS))
def test_help_names_every_command(plain, option, wild):
    result = plain.prime(option, python=PYTHONS[wild])
    assert result.stdout.startswith("usage: " + plain.typed("").strip())
    assert all(re.search(r"^ +%s +\w" % name, result.stdout, re.MULTILINE) for name in COMMANDS)
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(plain, command):
    result = plain.prime(command, "-h")
    assert " ".join(result.stdout.split()).startswith("usage: " + plain.typed(command))
    assert not (plain.path / ".prime").exists()


def test_help_and_version_need_no_sound_config(plain):
    plain.config("no toml")
    plain.prime("--help")
    plain.prime("--version")


WRONG = {
    "unknown command": (["bogus"], "bogus"),
    "unknown option": (["--bogus"], "--bogus"),
    "unknown option of a command": (["info", "--bogus"], "--bogus"),
    "an argument too many": (["boot", "bogus"], "bogus"),
    "a name that is missing": (["use"], "NAME"),
    "a value that is missing": (["-e"], "-e"),
    "a directory that is missing": (["--root", "no/such/directory"], "no/such/directory"),
    "an environment that is not configured": (["-e", "docs", "info"], "docs"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_wrong_usage_is_status_2_and_says_what_was_wrong(plain, what):
    argv, word = WRONG[what]
    result = plain.prime(*argv, status=2)
    assert result.stdout == ""
    assert result.stderr.startswith("prime: error: ")
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert not (plain.path / ".prime").exists()


@pytest.mark.parametrize("argv", [["bogus"], ["--bogus"], ["info", "--bogus"], ["rollback", "2"]])
def test_wrong_usage_comes_with_a_hint_that_can_be_typed(plain, argv):
    result = plain.prime(*argv, status=2)
    hint = re.search(r"^  hint: %s(.*)$" % re.escape(plain.typed("")), result.stderr, re.MULTILINE).group(1)
    assert plain.prime(*hint.split()).stdout.startswith("usage: " + plain.typed("").strip())


def test_an_option_may_stand_before_the_command_or_behind_it(plain):
    plain.config("[env.docs]")
    assert plain.info("-e", "docs")["environment"] == "docs"
    assert plain.info("-edocs")["environment"] == "docs"
    assert '"environment": "docs"' in plain.prime("info", "-e", "docs", "--json", status=1).stdout
    assert "stage wild" in plain.prime("-v", "info", status=1).stderr
    assert "stage wild" in plain.prime("info", "-v", status=1).stderr


def test_options_before_run_are_ours_and_those_behind_it_the_command_s(plain):
    plain.config('[env.docs]\nenv_vars = {WHICH = "docs"}')
    echo = ["sh", "-c", 'echo $WHICH "$@"', "sh"]
    theirs = ["-e", "default", "-q"]
    assert plain.prime("-e", "docs", "run", *(echo + theirs)).stdout == "docs -e default -q\n"
    assert plain.prime("-edocs", "run", "--", *echo).stdout == "docs\n"
    assert plain.prime("--root", str(plain.path), "-q", "run", *echo, cwd="/").stdout == "\n"
    assert plain.prime("--root=" + str(plain.path), "-q", "run", *(echo + ["-v"]), cwd="/").stdout == "-v\n"


def test_command_that_is_called_as_one_of_ours_is_run(plain):
    plain.program("run", '#!/bin/sh\necho "ran $@"\n')
    assert plain.prime("run", "run", "info").stdout == "ran info\n"
    assert plain.prime("-q", "run", "--", "run", "--version").stdout == "ran --version\n"


def test_offline_as_an_option(plain):
    plain.prime("--offline", "-q", "info", status=1)
    plain.prime("boot", "--offline")
    assert "is current" in plain.prime("--offline").stderr


@pytest.mark.parametrize("argv", [[], ["-v"], ["info"], ["bogus"]])
def test_C7_entry_script_under_an_ancient_python_finds_a_newer_one(plain, argv):
    plain.link("python3", next(iter(PYTHONS.values())))
    result = plain.prime(*argv, python=ancient_python(), status=None)
    assert result.status == {"info": 1, "bogus": 2}.get("".join(argv), 0)
    assert "Traceback" not in result.stderr


def test_C7_entry_script_under_an_ancient_python_says_in_one_line_what_it_needs(plain):
    plain.env["PATH"] = str(plain.bin)
    result = plain.prime(python=ancient_python(), status=1)
    assert re.match("prime: error: .* 3\\.6 .*\n$", result.stderr)


def test_the_file_itself_can_be_started(plain):
    result = plain.prime("info", "--json", entry="proto_prime.py", status=1)
    assert '"root": "%s"' % plain.path in result.stdout


def test_main_called_with_arguments_returns_the_status_and_leaves_the_process_alone(plain):
    call = "proto_prime.main(['--root', sys.argv[1], 'info', '--json'])"
    code = "import proto_prime, sys; print(%s, sys.argv[0])" % call
    for wild in (PYTHONS[sorted(PYTHONS)[0]], PYTHONS[sorted(PYTHONS)[-1]]):
        done = subprocess.run([str(wild), "-B", "-c", code, str(plain.path)], cwd=str(TOP), env=plain.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        assert done.stdout.endswith("}\n1 -c\n"), done.stderr
