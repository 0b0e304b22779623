"""Tasks: commands of the repo that have a name, `./prime NAME`."""

import json
import os
import re
import signal
import subprocess

import pytest
from conftest import PYTHONS, python
from helpers import Terminal, wait_for

# Where it runs, in which environment, with which arguments and variables.
SHOW = """\
import json, os, sys
names = ("INIT_CWD", "PWD", "A", "B")
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid(), "prefix": sys.prefix,
                  **{name: os.environ.get(name) for name in names}}))
"""


@pytest.fixture
def tasked(plain):
    """A function that writes a config with a program `show.py`, which a task may run, and boots."""
    plain.write("show.py", SHOW)

    def write(text, boots=True):
        plain.config(text)
        if boots:
            plain.prime()
            plain.settle()
            plain.prime()
        return plain

    return write


def shown(result):
    """What `show.py` printed."""
    return json.loads(result.stdout)


def test_U2_task_runs_in_the_environment_with_its_arguments_and_its_status(tasked):
    repo = tasked('[tasks]\nshow = "python show.py \'one word\' --"\nseven = ["sh", "-c", "exit 7"]\n', boots=False)
    told = shown(repo.prime("show", "a b", "--help", "-e", ""))
    assert told["argv"] == ["one word", "--", "a b", "--help", "-e", ""]
    assert told["prefix"] == str(repo.current)
    repo.prime("seven", status=7)
    repo.settle()
    repo.prime("seven", status=7)
    assert shown(repo.prime("show"))["argv"] == ["one word", "--"]


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_U2_task_becomes_the_process_and_imports_nothing(tasked, wild):
    repo = tasked('[tasks]\nself = "sh -c \'echo $$\'"\n')
    repo.prime("self", python=PYTHONS[wild])
    process = repo.popen("self", python=PYTHONS[wild], env={"PYTHONVERBOSE": "1"})
    stdout, stderr = process.communicate()
    assert int(stdout) == process.pid
    assert not any("import 'argparse'" in line or "import 'json'" in line for line in stderr.splitlines())


def test_U2_task_in_an_environment_of_its_own_is_as_fast_whether_the_default_one_exists_or_not(tasked):
    repo = tasked('env.lint = {}\n[tasks]\nwhere = {run = "python show.py", env = "lint"}\n', boots=False)
    for _ in range(2):
        for _ in range(3):
            told = shown(repo.prime("where"))
            assert os.path.basename(told["prefix"]).startswith("lint-")
            repo.settle()
        assert "import 'argparse'" not in repo.prime("where", env={"PYTHONVERBOSE": "1"}).stderr
        assert not (repo.path / ".venv").exists() or repo.current.name.startswith("default-")
        repo.prime()
        repo.settle()


def test_U2_option_e_goes_before_the_environment_of_the_task_and_the_variable_does_not(tasked):
    repo = tasked('env.lint = {}\nenv.docs = {}\n[tasks]\nown = {run = "python show.py", env = "lint"}\n'
                  'any = "python show.py"\n', boots=False)

    def name(*argv, **options):
        return os.path.basename(shown(repo.prime(*argv, **options))["prefix"]).rpartition("-")[0]

    variable = {"PROTOPRIMER_ENV": "docs"}
    for _ in range(2):  # by the long way, and from the stamp
        assert [name("own"), name("-e", "docs", "own"), name("own", env=variable)] == ["lint", "docs", "lint"]
        assert [name("any"), name("-e", "docs", "any"), name("any", env=variable)] == ["default", "docs", "docs"]
        repo.settle()
    repo.prime("use", "docs")
    assert [name("own"), name("any")] == ["lint", "docs"]


def test_U2_options_of_ours_stand_before_the_task(tasked):
    repo = tasked('[tasks]\nshow = "python show.py"\n')
    result = repo.prime("-v", "show", "-v")
    assert shown(result)["argv"] == ["-v"] and "stage venv" in result.stderr


def test_U2_directory_is_the_root_and_the_callers_is_in_INIT_CWD(tasked):
    repo = tasked('[tasks]\nroot = "python show.py"\nsub = {run = "python ../show.py", cwd = "sub"}\n'
                  'none = {run = "true", cwd = "nowhere"}\nlost = {run = "no-such-program", cwd = "sub"}\n')
    here = repo.path / "sub" / "deeper"
    here.mkdir(parents=True)
    for _ in range(2):
        told = shown(repo.prime("root", cwd=str(here), env={"PWD": str(here)}))
        assert (told["cwd"], told["INIT_CWD"], told["PWD"]) == (str(repo.path), str(here), str(repo.path))
        told = shown(repo.prime("sub", cwd=str(here)))
        assert (told["cwd"], told["INIT_CWD"], told["PWD"]) == (str(repo.path / "sub"), str(here), None)
        said = repo.prime("none", status=2).stderr
        assert "task none: cannot enter its cwd %s: " % (repo.path / "nowhere") in said
        assert "(proto_prime.toml, line" in said
        assert "no-such-program" in repo.prime("lost", status=127, cwd=str(here)).stderr
        repo.settle()


def test_U2_variables_of_the_task_go_before_those_of_the_environment(tasked):
    repo = tasked('env_vars = {A = "env", B = "env"}\n[tasks]\n'
                  'show = {run = "python show.py", env_vars = {A = "x=\\u0027\\n"}}\n')
    for _ in range(2):
        told = shown(repo.prime("show", env={"A": "caller"}))
        assert (told["A"], told["B"]) == ("x='\n", "env")
        repo.settle()


def test_U2_needs_run_before_and_once_each(tasked):
    repo = tasked('env.other = {}\n[tasks]\n'
                  'top = {run = "sh -c \'echo top $0\'", needs = ["left", "right"]}\n'
                  'left = {run = "echo left", needs = ["base"]}\nright = {run = "echo right", needs = ["base"]}\n'
                  'base = {run = "sh -c \'echo base ${VIRTUAL_ENV##*/}\'", env = "other"}\n'
                  'all = {needs = ["left", "top"]}\n', boots=False)
    lines = repo.prime("top", "word").stdout.split("\n")
    assert lines[0].startswith("base other-") and lines[1:] == ["left", "right", "top word", ""]
    assert repo.prime("all").stdout.split("\n")[1:] == ["left", "right", "top sh", ""]
    assert "all takes no arguments" in repo.prime("all", "word", status=2).stderr


def test_U2_needs_with_another_python_each_run_once(tasked):
    old, new = python("3.8"), python("3.12")
    repo = tasked('[env.old]\nrequired_python_version = "3.8"\n[env.new]\nrequired_python_version = "3.12"\n[tasks]\n'
                  'old = {run = "python -V", env = "old"}\n'
                  'new = {run = "python -V", env = "new", needs = ["old"]}\n', boots=False)
    repo.link("python3.8", old)
    repo.link("python3.12", new)
    lines = repo.prime("new", python=python("3.6")).stdout.split("\n")
    assert [line[:10] for line in lines] == ["Python 3.8", "Python 3.1", ""]


def test_U2_need_that_fails_ends_it_with_its_status(tasked):
    repo = tasked('[tasks]\ntop = {run = "echo top", needs = ["bad", "next"]}\nbad = "sh -c \'exit 3\'"\n'
                  'next = "echo next"\ndies = "sh -c \'kill -9 $$\'"\nafter = {run = "echo top", needs = ["dies"]}\n')
    result = repo.prime("top", status=3)
    assert result.stdout == "" and "task bad failed, so that top does not run" in result.stderr
    assert repo.prime("after", status=137).stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_U2_signal_ends_the_need_that_runs(tasked, number):
    repo = tasked('[tasks]\ntop = {run = "echo top", needs = ["long"]}\n'
                  'long = "sh -c \'echo $$ >pid.part; mv pid.part pid; exec sleep 60\'"\n')
    process = repo.popen("top")
    pid = repo.path / "pid"
    wait_for(pid.exists)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 128 + number and stdout == "", stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_U2_key_of_the_terminal_reaches_the_need_once(tasked):
    count = "import signal, sys, time\nkeys = []\nsignal.signal(signal.SIGINT, lambda *_: keys.append(1))\n" \
        "open('ready', 'w').close()\ntime.sleep(1)\nopen('keys', 'w').write(str(len(keys)))\nsys.exit(5)\n"
    repo = tasked('[tasks]\ntop = {run = "echo top", needs = ["long"]}\nlong = "python count.py"\n')
    repo.write("count.py", count)
    terminal = Terminal(repo).prime("top")
    wait_for((repo.path / "ready").exists)
    terminal.type("\x03")
    assert terminal.process.wait(timeout=20) == 130
    assert (repo.path / "keys").read_text() == "1"


WRONG = {
    "type": ("test = 3", "tasks.test.*a command"),
    "no words": ("test = []", "tasks.test.*a command"),
    "word": ('test = ["a", 1]', "tasks.test.*a command"),
    "blank": ('test = " "', "tasks.test: the command is empty"),
    "no command": ('test = {help = "x"}', "tasks.test has no command"),
    "field": ('test = {run = "x", evn = "y"}', 'unknown field "tasks.test.evn".*\n.*"env"'),
    "type of a field": ('test = {run = "x", needs = "y"}',
                        "tasks.test.needs must be a list of strings, not 'y' .*\\n.*needs = ..y"),
    "variables": ('test = {run = "x", env_vars = {A = 1}}', "tasks.test.env_vars must be a table of variables"),
    "environment": ('test = {run = "x", env = "lnt"}', 'no environment "lnt".*\n.*"lint"'),
    "quote": ("test = \"it's\"", "tasks.test: No closing quotation"),
    "shell": ('test = "ruff && pytest"', 'no shell runs this, and &&.*\n.*needs'),
    "assignment": ('test = "A=1 pytest"', 'A=1 is no program.*\n.*env_vars = {A = "1"}'),
    "name": ('"a b" = "x"', 'task name "a b"'),
    "option as name": ('"-v" = "x"', 'task name "-v"'),
    "field of ours": ('test = "x"\ndependencies = ["six"]', 'dependencies is a field.*line 4.*\n.*above .tasks.'),
    "unknown need": ('test = {run = "x", needs = ["biuld"]}\nbuild = "x"',
                     'test -> biuld: there is no task "biuld".*line 3.*\n.*"build"'),
    "unknown need and no other task": ('test = {run = "x", needs = ["xyz"]}', 'there is no task "xyz" .*line 3.$'),
    "cycle": ('a = {run = "x", needs = ["b"]}\nb = {run = "x", needs = ["c"]}\nc = {run = "x", needs = ["b"]}',
              'b -> c -> b: each of these tasks waits for the next .*line 5'),
    "itself": ('a = {run = "x", needs = ["a"]}', "a -> a: "),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_U2_task_that_cannot_be_run_is_told_with_file_and_what_to_do(plain, what):
    text, expected = WRONG[what]
    plain.config("env.lint = {}\n[tasks]\n%s\n" % text)
    result = plain.prime("info", status=2)
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert "proto_prime.toml, line " in result.stderr
    assert re.search(expected, result.stderr), result.stderr


@pytest.mark.parametrize("program, message, hint", [
    ("frobnicat -q", "task test: no program frobnicat in the environment or on PATH", 'did you mean "frobnicate"?'),
    ("apps.py", "task test: there is no file apps.py", 'did you mean "app.py"?'),
    ("./app.sh", "task test: cannot run ./app.sh: it is not executable", "chmod +x ./app.sh"),
    ("taks", "task test: no program taks in the environment or on PATH", "if a package brings it, list it in "),
    ("task -x", "task test: no program task in the environment or on PATH", 'task is a task: needs = ["task"] runs it'),
    ("'app -x'", "task test: no program app -x in the environment or on PATH",
     'it is one word, with the blanks in it; several are: ["app", "-x"]'),
    ("cd sub", "task test: no program cd in the environment or on PATH", 'no shell runs this: cwd = "..." names the '),
])
def test_U2_program_of_a_task_that_is_not_there_is_told_with_the_task_and_its_line(tasked, program, message, hint):
    repo = tasked('[tasks]\ntask = "true"\ntest = "%s"\n' % program)
    repo.write("app.py", "")
    repo.write("app.sh", "#!/bin/sh\n")
    path = repo.current / "bin" / "frobnicate"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    said = repo.prime("test", status=126 if "chmod" in hint else 127).stderr
    assert "prime: error: %s (proto_prime.toml, line 3)\n  hint: %s" % (message, hint) in said


def test_U2_what_is_quoted_needs_no_shell(tasked):
    repo = tasked('[tasks]\nshow = "python show.py \'&&\' \\"a | b\\" $HOME"\n')
    assert shown(repo.prime("show"))["argv"] == ["&&", "a | b", "$HOME"]


def test_U2_command_goes_before_a_task_of_its_name_which_a_colon_names(tasked):
    repo = tasked('[tasks]\npython = "echo the task"\nlater = "echo later"\n')
    for _ in range(2):
        result = repo.prime("python")
        assert os.path.isabs(result.stdout.strip())
        assert "python is a command of prime; the task of that name is :python" in result.stderr
        assert repo.prime(":python").stdout == "the task\n"
        assert repo.prime(":later", "x").stdout == "later x\n"
    help = repo.prime("-h").stdout
    assert "\n  :python  echo the task\n" in help and "\n  later    echo later\n" in help


def test_U2_word_that_is_neither_command_nor_task_is_an_error(tasked):
    repo = tasked('[tasks]\nshow = "true"\n')
    for word in ("shwo", ":shwo", ":", "", "::"):
        assert "unknown command %s" % word in repo.prime(word, status=2).stderr


def test_U2_help_lists_the_tasks_and_survives_a_broken_config(tasked, make_repo):
    repo = tasked('[tasks]\nshow = {run = "true", help = "say it"}\nall = {needs = ["show"]}\n', boots=False)
    help = repo.prime("-h").stdout
    assert "\nTasks of this repo:\n  show  say it\n  all   needs show\n" in help
    assert "say it" not in repo.prime("info", "-h").stdout
    other = make_repo("another")
    other.config('[tasks]\nother = "true"\n')
    assert "\n  other  true\n" in repo.prime("--root", str(other.path), "-h").stdout
    repo.config('[tasks]\nshow = 1\n')
    assert "Tasks of this repo" not in repo.prime("-h").stdout


def test_U2_info_tells_of_tasks(tasked):
    repo = tasked('env.lint = {}\n[tasks]\nb = {run = "x \'y z\'", env = "lint", needs = ["a"]}\na = ["x"]\n')
    none = {"env": None, "cwd": "", "env_vars": {}, "needs": [], "help": ""}
    assert repo.info()["tasks"] == {"b": dict(none, run=["x", "y z"], env="lint", needs=["a"]),
                                    "a": dict(none, run=["x"])}
    assert "\ntasks  " in repo.prime("info").stdout


def test_U2_task_that_is_a_script_with_metadata_has_its_own_environment(tasked):
    repo = tasked('[tasks]\nscript = {run = "./script.py x", cwd = "sub"}\n')
    repo.write("sub/script.py", "#!/usr/bin/env python3\n# /// script\n# dependencies = ['six']\n# ///\n"
                                "import six, sys; print(six.__name__, sys.argv[1:])\n", executable=True)
    for _ in range(2):
        assert repo.prime("script", "y", cwd=str(repo.home)).stdout == "six ['x', 'y']\n"


def test_U2_changed_task_is_seen_at_once_and_needs_no_build(repo):
    config = repo.project()
    text = config.read_text()
    config.write_text(text + '[tool.proto-prime]\n[tool.proto-prime.tasks]\nhi = "echo 0"\n')
    repo.prime()
    built = repo.current
    for number in "123":
        config.write_text(text + '[tool.proto-prime]\n[tool.proto-prime.tasks]\nhi = "echo %s"\n' % number)
        result = repo.prime("hi")
        assert (result.stdout, result.stderr) == (number + "\n", "")
        assert repo.current == built
    config.write_text(config.read_text().replace('["six"]', '["six", "idna"]'))
    assert "pyproject.toml changed" in repo.prime("hi").stderr


def test_U2_task_of_a_repo_that_was_never_built_builds_what_it_needs(repo, driver):
    repo.project(more='[tool.proto-prime.tasks]\nsix = "python -c \'import six, client; print(client.__doc__)\'"\n')
    result = repo.prime("six")
    assert result.stdout == "A client.\n" and "building environment default" in result.stderr


def test_U2_task_from_a_repo_that_has_no_script_file(tasked):
    repo = tasked('[tasks]\nshow = "python show.py"\n')
    with open(str(repo.path / "proto_prime.py"), "rb") as source:
        done = subprocess.run([str(python("3.12")), "-", "show", "a"], stdin=source, env=repo.env, cwd=str(repo.path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert json.loads(done.stdout)["argv"] == ["a"], done.stderr
