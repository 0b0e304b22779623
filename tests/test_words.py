"""What newcomers type, and what they are told: help, words of other tools, mistakes in the config."""

import json
import os
import re
import shlex
import shutil
import subprocess

import pytest
from conftest import PYTHONS, TOP, python, some_python
from helpers import Terminal

import proto_prime

COLUMNS = [80, 40]


@pytest.fixture
def shown_on(plain):
    """A function that runs `prime argv…` on a terminal that is so wide: the rows that it shows, none of them broken."""
    pytest.importorskip("pty")

    def show(columns, *argv, status=0):
        window = Terminal(plain, columns)
        rows = window.prime(*argv).finish(status).raw.decode().split("\r\n")
        window.close()
        return [re.sub("\x1b\\[[0-9;]*m", "", row) for row in rows[:-1]]

    return show


@pytest.fixture
def hint(plain):
    """A function that returns the hint that `prime argv…` prints, as if it was typed as ./prime."""
    def ask(*argv, status=2, **options):
        said = plain.prime(*argv, status=status, **options).stderr
        return said.partition("  hint: ")[2].replace(plain.typed("").strip(), "./prime").rstrip("\n")

    return ask


def add_program(repo, name):
    """Put a program into the environment of a repo."""
    path = repo.current / "bin" / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def add_tool(repo, name):
    """Put a program into the directory `tools` of a repo, for PATH."""
    repo.write("tools/" + name, "#!/bin/sh\n", executable=True)


# -- U1: words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["help"], ["-h"], ["--help"], ["help", "-v"]])
def test_U1_help_of_all_by_any_word_and_with_a_broken_config(plain, words):
    plain.config("no toml")
    result = plain.prime(*words)
    assert "Every day:" in result.stdout and result.stderr == ""


def test_U1_help_of_a_command_or_a_task_by_any_order(plain, hint):
    plain.config('[tasks]\ncheck = {run = "pytest -q", help = "run the tests", needs = ["build"]}\nbuild = "make"\n')
    wanted = plain.prime("run", "-h").stdout
    assert all(plain.prime(*words).stdout == wanted for words in (["help", "run"], ["--help", "run"], ["-h", "run"]))
    for words in (["help", "check"], ["--help", "check"]):
        shown = " ".join(plain.prime(*words).stdout.split())
        assert all(each in shown for each in ("check [ARGS...]", "run the tests", "pytest -q", "build"))
    assert hint("help", "chekc") == "did you mean: ./prime check"
    assert not (plain.path / ".prime").exists()


def test_U1_options_have_long_names(plain):
    plain.config('[env.docs]\nenv_vars = {WHICH = "docs"}')
    for words in (["--env", "docs"], ["--env=docs"]):
        for _ in range(2):
            assert plain.prime(*words, "run", "sh", "-c", "echo $WHICH").stdout == "docs\n"
    assert "stage wild" in plain.prime("--verbose").stderr
    assert plain.prime("--quiet").stderr == ""
    assert plain.prime("-V").stdout == plain.prime("--version").stdout != ""


MEANT = [  # what is typed, and the hint
    ("pytest -q", "did you mean: ./prime run pytest -q"),
    ("pytset 'a b'", "did you mean: ./prime run pytest 'a b'"),
    ("rnu x", "did you mean: ./prime run x"),
    ("shel", "did you mean: ./prime shell"),
    ("chekc", "did you mean: ./prime check"),
    ("-e docs chekc", "did you mean: ./prime -e docs check"),
    ("ls -l", "did you mean: ./prime run ls -l"),
    ("./tool.py x", "did you mean: ./prime run ./tool.py x"),
    ("install", "./prime creates or updates .venv, with all that the repo asks for"),
    ("sync", "./prime creates or updates .venv, with all that the repo asks for"),
    ("setup", "./prime creates or updates .venv, with all that the repo asks for"),
    ("instal", "./prime creates or updates .venv, with all that the repo asks for"),
    ("install six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("add six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("pip install six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("uninstall six", "take it out of dependencies of proto_prime.toml, then: ./prime boot"),
    ("pip uninstall six", "take it out of dependencies of proto_prime.toml, then: ./prime boot"),
    ("pip list", "./prime info shows packages, Python and config"),
    ("update-deps", "./prime reset installs the newest versions that the repo allows"),
    ("activate", "./prime shell starts your shell in the environment; exit leaves it"),
    ("python3.11 -V", "did you mean: ./prime run python -V"),
    ("tests", './prime run pytest; or make it a task: test = "pytest -q" in [tasks] of proto_prime.toml'),
    ("verison", "./prime --version tells the version"),
    ("--verison", "did you mean: ./prime --version"),
    ("info --jsno", "did you mean: ./prime info --json"),
    ("shell ls", "did you mean: ./prime run ls"),
    ("lint", 'make it a task: lint = "ruff check" in [tasks] of proto_prime.toml'),
    ("pylnt x", "did you mean: ./prime run pylint x"),
    ("python app.py -x", "did you mean: ./prime run python app.py -x"),
    ("-e docs python -m six", "did you mean: ./prime -e docs run python -m six"),
    ("xyzzy", "./prime help"),
    ("--verbos", "did you mean: ./prime --verbose"),
    ("--ro docs info", "did you mean: ./prime --root"),
    ("clean --al", "did you mean: ./prime clean --all"),
    ("clean all", "did you mean: ./prime clean --all"),
    ("reset docs", "did you mean: ./prime -e docs reset"),
    ("use", "./prime use NAME; the names: default, docs"),
    ("env fish", "did you mean: ./prime env --shell fish"),
    ("env --shell zsh", "did you mean: ./prime env --shell sh"),
    ("env --shell tcsh", "did you mean: source .venv/bin/activate.csh"),
    ("boot run ls", "did you mean: ./prime run ls"),
    ("-m pytest", "did you mean: ./prime run -m MODULE"),
    ("RUN x", "did you mean: ./prime run x"),
    ("HELP", "did you mean: ./prime help"),
    ("./nowhere", "./prime help"),
    ("'run ls -l'", "it is one word, with the blanks in it; several are: ./prime run ls -l"),
    ("dev", "./prime help"),
    ("self update", "./prime help"),
    ("path", "./prime help"),
    (":chekc x", "did you mean: ./prime check x"),
    (":info", "the tasks: check"),
    ("tool x", "did you mean: ./prime run tool.py x"),
    ("uv sync", "./prime creates or updates .venv, with all that the repo asks for"),
    ("uv pip install six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("uv lock", "did you mean: ./prime lock"),
    ("poetry run pytest -q", "did you mean: ./prime run pytest -q"),
    ("poetry add six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("conda activate", "./prime shell starts your shell in the environment; exit leaves it"),
    ("conda env list", "./prime help"),
    ("pip", "list packages in dependencies of proto_prime.toml, then: ./prime boot"),
    ("help pip", "list packages in dependencies of proto_prime.toml, then: ./prime boot"),
    ("pip install -r requirements.txt", "./prime creates or updates .venv, with all that the repo asks for"),
    ("install -e .", "./prime creates or updates .venv, with all that the repo asks for"),
    ("install --dev", "./prime creates or updates .venv, with all that the repo asks for"),
    ("install .", "./prime creates or updates .venv, with all that the repo asks for"),
    ("rm six", "take it out of dependencies of proto_prime.toml, then: ./prime boot"),
    ("rm", "./prime clean --all removes what was built"),
    ("update six", 'VERSION is one of proto_prime; for packages: ./prime reset'),
    ("tasks", "./prime help lists the commands and the tasks"),
    ("help tasks", "./prime help lists the commands and the tasks"),
    ("run -e docs ls -l", "did you mean: ./prime -e docs run ls -l"),
    ("-v run -q --offline ls", "did you mean: ./prime -v -q --offline run ls"),
    ("run -x ls", "./prime run [--no-boot] [--] CMD...; other options stand before run"),
    ("--no-boot run ls", "./prime run [--no-boot] [--] CMD..."),
    ("-- ls -l", "did you mean: ./prime run ls -l"),
    ("--json", "did you mean: ./prime info --json, ./prime python --json"),
    ("--upgrade", "did you mean: ./prime lock --upgrade"),
    ("--debug", "./prime -vv says all"),
    ("--dry-run", "./prime info tells what is out of date, and changes nothing"),
    ("reset --force", "./prime reset rebuilds the environment from scratch"),
    ("--reinstall", "./prime reset rebuilds the environment from scratch"),
    ("-e", "./prime -e NAME; the names: default, docs"),
    ("env --json", "did you mean: ./prime env --shell json"),
    ("shell -c 'echo a' b", "did you mean: ./prime shell -c 'echo a b'"),
    ("python all", "did you mean: ./prime python --all"),
    ("vendor python", "did you mean: ./prime vendor --python"),
    ("init from", "did you mean: ./prime init --from"),
    ("-- check x", "did you mean: ./prime check x"),
    ("pdm run check x", "did you mean: ./prime check x"),
    ("pdm check x", "did you mean: ./prime check x"),
    ("use docs default", "./prime use NAME; the names: default, docs"),
    ("run -vv ls", "did you mean: ./prime -vv run ls"),
    ("run --python 3.12 ls",
     "./prime python prints the selected Python; required_python_version in the config chooses it"),
    ("python xyzzy", "./prime python --all lists every Python"),
    ("python -V", "did you mean: ./prime run python -V"),
]


@pytest.mark.parametrize("typed, meant", MEANT)
def test_U1_unknown_word_gets_what_was_meant(plain, hint, typed, meant):
    plain.config('[tasks]\ncheck = "true"\n[env.docs]\n')
    plain.write("tool.py", "")
    assert hint(*shlex.split(typed)) == meant
    assert not (plain.path / ".prime").exists()


def test_U1_what_is_nothing_is_shown_in_quotes(plain):
    for word in ("", " "):
        assert 'unknown command "%s"' % word in plain.prime(word, status=2).stderr
        assert 'no program "%s" in' % word in plain.prime("-q", "run", word, status=127).stderr


def test_U1_help_of_a_task_with_a_broken_config_says_what_is_broken(plain):
    plain.config("[tasks]\ncheck = 3\n")
    assert "tasks.check" in plain.prime("help", "check", status=2).stderr


def test_U1_run_of_a_task_that_is_another_program_too_is_said(plain):
    """`run test` is what users of npm type, and a program of every machine: it says nothing, and fails."""
    plain.config('[tasks]\ntest = "echo tested"\ntrue = "echo mine"\n')
    plain.prime()
    plain.settle()
    for _ in range(2):
        said = plain.prime("run", "test", "", status=1).stderr
        assert "prime: test is a task: %s; this runs /" % plain.typed("test ''") in said and "/test\n" in said
        assert "is a task" in plain.prime("run", "--", "true").stderr
        assert plain.prime("-q", "run", "true").stderr == plain.prime("run", "echo").stderr == ""
    add_program(plain, "true")
    assert "is a task" not in plain.prime("run", "true").stderr


def test_U1_program_of_the_environment_and_place_of_packages(plain, hint):
    plain.write("requirements.txt", "")
    plain.config('requirements_files = ["requirements.txt"]\nlock_file = ""')
    plain.prime()
    add_program(plain, "frobnicate")
    assert hint("frobnicate", "x") == "did you mean: ./prime run frobnicate x"
    assert hint("frobnicat") == "did you mean: ./prime run frobnicate"
    assert hint("add", "six") == "list it in requirements.txt, then: ./prime boot"
    assert hint("run", "frobincate", "-q", status=127) == "did you mean: ./prime run frobnicate -q"
    assert hint("run", "frobnicate -q", status=127) == (
        "it is one word, with the blanks in it; several are: ./prime run frobnicate -q")
    assert hint("run", "xyzzy", status=127) == (
        "if a package brings it, list it in requirements.txt, then: ./prime boot")
    assert hint("run", "./xyzzy", status=127) == ""
    assert hint("run", "pip", "install", "six", status=127) == (
        "list packages in requirements.txt, then: prime boot")


@pytest.mark.parametrize("typed", ["tests -x", "tst -x", "tes -x", "tset -x", "tast -x", "ttest -x"])
def test_U1_slip_in_the_name_of_a_task_goes_before_programs_and_words_of_others(plain, hint, typed):
    plain.config('[tasks]\nzip = "true"\ntest = "true"\nlint = "true"\n')
    add_tool(plain, "tset")
    assert hint(*typed.split(), env={"PATH": "%s:%s" % (plain.path / "tools", plain.env["PATH"])}) == (
        "did you mean: ./prime test -x")


@pytest.mark.parametrize("typed, meant", [
    ("pip install six", "list it in dependencies of proto_prime.toml, then: ./prime boot"),
    ("list", "./prime info shows packages, Python and config"),
    ("ls", "did you mean: ./prime run ls"),
])
def test_U1_words_of_others_and_short_ones_are_no_slips(plain, hint, typed, meant):
    plain.config('[tasks]\nzip = "true"\nlint = "true"\nls2 = "true"\n')
    assert hint(*typed.split()) == meant


def test_U1_run_of_a_file_that_is_not_there_or_no_program(plain, hint):
    plain.write("requirements.txt", "")
    plain.write("notes.txt", "")
    plain.write("app.py", "")
    plain.write("sub/tool.sh", "#!/bin/sh\n", executable=True)
    plain.write("go.sh", "#!/bin/sh\n", executable=True)
    plain.write("plain.sh", "#!/bin/sh\n")
    (plain.path / "dead").symlink_to("nowhere")
    (plain.path / "src").mkdir()
    plain.config('requirements_files = ["requirements.txt"]\nlock_file = ""\n[tasks]\nzzz = "true"\n')
    said = plain.prime("run", "zzz.py", status=127).stderr
    assert "prime: error: there is no file zzz.py\n" in said and "hint" not in said
    for typed, meant in (("apps.py x", "did you mean: ./prime run app.py x"),
                         ("./sub/tol.sh", "did you mean: ./prime run ./sub/tool.sh"),
                         ("go.sh", "did you mean: ./prime run ./go.sh"),
                         ("requirements.txt", "./prime boot installs what it lists"),
                         ("notes.txt", "it is a file, and no program: name what opens it, as in: "
                          "./prime run cat notes.txt"),
                         ("app x", "did you mean: ./prime run app.py x"),
                         ("plain.sh", "chmod +x plain.sh; then ./prime run ./plain.sh"),
                         ("./dead", "it is a link to nowhere, which is not there"), ("./daed", ""),
                         ("src", "it is a directory")):
        assert hint("run", *typed.split(), status=127) == meant
    for typed, meant in (("./notes.txt", "it is a file, and no program: name what opens it, as in: "
                          "./prime run cat ./notes.txt"), ("./plain.sh", "chmod +x ./plain.sh")):
        assert hint("run", typed, status=126) == meant


@pytest.mark.parametrize("typed, meant", [
    ("cd src", "a shell knows it: ./prime shell -c 'cd src'"),
    ("source .venv/bin/activate", "a shell knows it: ./prime shell -c 'source .venv/bin/activate'"),
    ("A=1 ls -l", "variables stand before it: A=1 ./prime run ls -l"),
])
def test_U1_run_of_a_word_of_the_shell(plain, hint, typed, meant):
    assert hint("run", *typed.split(), status=127) == meant


@pytest.mark.parametrize("columns", COLUMNS)
def test_U1_run_alone_lists_programs_and_tasks_at_any_width(plain, shown_on, columns):
    plain.config('[tasks]\ncheck = "true"\ninfo = "true"\n')
    rows = shown_on(columns, "run", status=2)
    assert "is not built yet: python3 prime boot" in " ".join(" ".join(rows).split())
    plain.prime()
    names = ["a-program-%d" % number for number in range(9)]
    for name in names:
        add_program(plain, name)
    rows = shown_on(columns, "run", status=2)[1:-1]  # between the error and its hint
    assert all(len(row) <= columns for row in rows)
    words = " ".join(rows).split()
    assert [word.strip(",") for word in words if word.startswith("a-program")] == names
    assert words[words.index("tasks,"):][:5] == ["tasks,", "without", "run:", "check,", ":info"]
    assert not {"activate", "python3", "activate.fish"} & set(words)
    piped = plain.prime("run", status=2)
    assert piped.stdout == "" and "a-program-8" in piped.stderr


def test_U1_run_of_what_is_nearly_a_task(plain, hint):
    plain.config('[tasks]\ncheck = "true"\ninfo = "true"\n')
    assert hint("run", "chekc", "-x", status=127) == "did you mean: ./prime check -x"
    plain.config('[tasks]\ntest = "true"\n')  # which is near pytest, but who types that means it
    assert "list it in" in hint("run", "pytest", "-x", status=127)


ENTRIES = {  # words of a shell, what they are for a hint
    "the entry script": ("./prime", "./prime"),
    "from elsewhere": ("cd / && \"$OLDPWD/tools/prime\"", "'%s/tools/prime'"),
    "tools": ("./tools/prime", "./tools/prime"),
    "sh": ("sh prime", "sh prime"),
    "sh with a path": ("cd .. && sh 'a repo/tools/prime'", "sh 'a repo/tools/prime'"),
    "sh of the file": ("sh proto_prime.py", "sh proto_prime.py"),
    "python": ("python3 prime", "python3 prime"),
    "the file": ("python3 proto_prime.py", "python3 proto_prime.py"),
    "on PATH": ("PATH=$PWD:$PATH; cd / && prime", "prime"),
    "a link": ("ln -s prime p; ./p", "./p"),
}


@pytest.mark.parametrize("how", sorted(ENTRIES))
def test_U1_hints_name_the_entry_script_as_it_was_typed(plain, how):
    words, named = ENTRIES[how]
    plain.link("python3", python("3.6"))  # and the environment has another: a hop stands between
    plain.config('required_python_version = "%s"\nvenv_driver = "venv_pip"' % ("3.11" if "3.11" in PYTHONS else "3.9"))
    plain.write("tools/prime", (plain.path / "prime").read_text(), executable=True)
    (plain.path / "tools" / "proto_prime.py").symlink_to(TOP / "proto_prime.py")
    for argv, meant in (("pytset", "did you mean: %s run pytest"), ("run pythno", "did you mean: %s run python"),
                        ("sync", "%s creates or updates .venv, with all that the repo asks for"),
                        ("add x", "list it in dependencies of proto_prime.toml, then: %s boot")):
        done = subprocess.run(["sh", "-c", "%s %s" % (words, argv)], cwd=str(plain.path), env=plain.env,
                              stderr=subprocess.PIPE, universal_newlines=True)
        entry = named % plain.path if "%" in named else named
        assert "hint: %s\n" % (meant % entry) in done.stderr
    code = "%s run python -c 'import os; print([name for name in os.environ if \"PROTOPRIMER_TYPED\" in name])'" % words
    told = subprocess.check_output(["sh", "-c", code], cwd=str(plain.path), env=plain.env, universal_newlines=True)
    assert told == "[]\n"


def test_U1_hints_of_a_piped_start(plain):
    with open(str(plain.path / "proto_prime.py")) as source:
        done = subprocess.run([str(some_python()), "-", "pytset"], stdin=source, cwd=str(plain.path), env=plain.env,
                              stderr=subprocess.PIPE, universal_newlines=True)
    assert "hint: did you mean: ... | python3 - run pytest\n" in done.stderr


def test_U1_what_is_done_every_day_imports_nothing_for_it(plain):
    plain.prime("run", "true")
    plain.settle()
    for argv in ([], ["run", "true"], ["--env", "default", "run", "true"]):
        plain.prime(*argv)
        said = plain.prime(*argv, env={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
        assert "import time:" in said
        assert not re.search(r"\| +(difflib|textwrap|argparse|shlex)$", said, re.MULTILINE)


# -- U4: no repo -----------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["run", "ls"], ["shell"], ["reset"], ["lock"], ["vendor"],
                                  ["--root", ".", "boot"]])
def test_U4_directory_that_is_no_repo_gets_no_environment_but_init(repo, argv):
    before = sorted(os.listdir(str(repo.path)))
    said = repo.prime(*argv, status=2).stderr
    assert re.match("prime: error: .* is no repo: ", said) and repo.typed("init DIR") in said
    assert sorted(os.listdir(str(repo.path))) == before
    assert repo.prime("info", status=1).stdout and repo.prime("python").stdout


def test_U4_piped_start_the_same_and_init_makes_it_a_repo(repo):
    (repo.path / "empty").mkdir()
    with open(str(TOP / "proto_prime.py")) as source:
        done = subprocess.run([str(some_python()), "-"], stdin=source, cwd=str(repo.path / "empty"), env=repo.env,
                              stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 2 and "is no repo" in done.stderr and "proto_prime.py init" in done.stderr
    assert os.listdir(str(repo.path / "empty")) == []
    repo.prime("init", str(repo.path / "empty"), cwd="/")
    assert "is ready" in repo.prime(entry="empty/prime").stderr


@pytest.mark.parametrize("mark", ["pyproject.toml", "proto_prime.toml", "setup.py", "setup.cfg", "requirements.txt",
                                  "requirements-dev.txt", "requirements/base.txt", "uv.lock", ".python-version",
                                  ".git/HEAD"])
@pytest.mark.parametrize("place", ["", "above"])
def test_U4_any_file_of_a_repo_makes_it_one_from_above_too(tmp_path, mark, place):
    root = tmp_path / "downloads"
    root.mkdir()
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.check_repo(str(root))
    file = (tmp_path if place else root) / mark
    file.parent.mkdir(exist_ok=True)
    file.touch()
    proto_prime.check_repo(str(root))


def test_U4_script_with_metadata_needs_no_repo(repo):
    repo.write("hello.py", "# /// script\n# dependencies = []\n# ///\nprint('hello')\n")
    assert repo.prime("run", "hello.py").stdout == "hello\n"
    assert not (repo.path / ".prime").exists()


# -- U5: screens of help ---------------------------------------------------------------------------

TASKS = "[tasks]\n" + "".join('task-%d = {run = "true", help = "do the work of number %d"}\n' % (each, each)
                              for each in range(6))


@pytest.mark.parametrize("config", ["", TASKS])
def test_U5_help_has_24_lines_of_80_columns_with_what_is_done_every_day_first(plain, shown_on, config):
    plain.config(config)
    rows = shown_on(80, "-h")
    assert len(rows) <= 24 and max(map(len, rows)) <= 80
    text = "\n".join(rows)
    tasks = ["task-%d" % each for each in range(6)] if config else []
    names = ["boot", "run", "shell", "info", *tasks, "python", "lock"]
    places = [re.search(r"^ +(.*, )?%s\b" % name, text, re.MULTILINE).start() for name in names]
    assert places == sorted(places) and all(re.search(r"\b%s\b" % name, text) for name in proto_prime.COMMANDS)
    argv = [str(some_python()), "prime", "-h"]
    piped = subprocess.check_output(argv, cwd=str(plain.path), env=plain.env, universal_newlines=True)
    assert piped.splitlines() == rows


@pytest.mark.parametrize("count, has_help", [(9, True), (10, False), (40, False)])
def test_U5_help_names_more_tasks_than_there_is_room_for(plain, shown_on, count, has_help):
    plain.config("[tasks]\n" + "".join('task-%d = {run = "true", help = "do it"}\n' % each for each in range(count)))
    rows = shown_on(80, "-h")
    assert len(rows) <= 24 and max(map(len, rows)) <= 80
    words = " ".join(rows).replace(",", "").split()
    assert all("task-%d" % each in words for each in range(count)) and ("do it" in " ".join(rows)) == has_help


@pytest.mark.parametrize("argv", [["-h"], ["run", "-h"], ["python", "-h"], ["init", "-h"], ["help", "task-0"]])
def test_U5_at_40_columns_nothing_breaks_inside_words(plain, shown_on, argv):
    plain.config(TASKS)
    wide, narrow = shown_on(80, *argv), shown_on(40, *argv)
    assert max(map(len, wide)) <= 80 and max(map(len, narrow)) <= 40
    if argv != ["-h"]:  # where commands have a line each at 40 columns, for it has more than 24 lines anyway
        assert " ".join(narrow).split() == " ".join(wide).split()
    assert set(" ".join(wide).split()) - set(" ".join(narrow).split()) <= {each + "," for each in proto_prime.COMMANDS}


def test_U5_help_of_a_command_has_its_own_options_first(plain):
    shown = plain.prime("python", "-h").stdout
    assert shown.index("REQUEST ") < shown.index("--all ") < shown.index("Options of every command")
    shown = plain.prime("help", "run").stdout
    for form in ("PROGRAM", "FILE.py", "-m MODULE", "(nothing)", "--no-boot", "--"):
        assert re.search(r"^  %s " % re.escape(form), shown, re.MULTILINE), form


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("config, argv, status", [
    ("", ["add", "six"], 2), (None, [], 2), ('[tasks]\nt = {cmd = "x"}\n', ["t"], 2),
    ('venv_driver = "uv"\n', ["info"], 2), ('[tasks]\nt = "xyzzy"\n', ["t"], 127),
])
def test_U1_U2_U4_U10_error_on_a_terminal_is_that_of_a_pipe(plain, shown_on, columns, config, argv, status):
    """Each line is whole, however narrow the terminal is: what is to be typed can be copied."""
    if config is None:
        (plain.path / "proto_prime.toml").unlink()
    else:
        plain.config(config)
        plain.prime("reset", status=None)
    rows = shown_on(columns, *argv, status=status)
    piped = subprocess.run([str(some_python()), "prime", *argv], cwd=str(plain.path), env=plain.env,
                           stderr=subprocess.PIPE, universal_newlines=True).stderr
    assert "  hint: " in piped and rows == piped.splitlines()


# -- U10: mistakes in the config -------------------------------------------------------------------

AT_THE_TOP = "the fields stand at the top of proto_prime.toml: leave out "
MISTAKES = [  # a config, and the hint
    ('requirements_files = ["sub/requirements_dev.txt"]', 'did you mean "sub/requirements-dev.txt"?'),
    ('[tool.proto-prime]\npython = "3.12"', AT_THE_TOP + "[tool.proto-prime]"),
    ('[proto_prime]\npython = "3.12"', AT_THE_TOP + "[proto_prime]"),
    ('venv_driver = "uv"', 'did you mean: venv_driver = "venv_uv"'),
    ('venv_driver = "pip"', 'did you mean: venv_driver = "venv_pip"'),
    ('python = "3.12"', 'did you mean: required_python_version = "3.12"'),
    ('requires-python = ">=3.9"', 'did you mean: required_python_version = ">=3.9"'),
    ('required_python_version = 3.10  # new', 'did you mean: required_python_version = "3.10"'),
    ('[env.docs]\npython = 3.10', 'did you mean: required_python_version = "3.10"'),
    ('dependencies = ["-r x.txt"]', 'did you mean: requirements_files = ["x.txt"]'),
    ('dependencies = ["six", "--requirement=x.txt"]', 'did you mean: requirements_files = ["x.txt"]'),
    ('dependencies = ["-cx.txt"]', 'did you mean: constraints_file = "x.txt"'),
    ('dependencies = ["-e ."]', 'did you mean: projects = ["."]'),
    ('requirements_files = ["-r x.txt"]', 'did you mean: requirements_files = ["x.txt"]'),
    ('packages = "six"', 'did you mean: dependencies = ["six"]'),
    ('[dependencies]\nsix = "^1"\nidna = "*"', 'did you mean: dependencies = ["six>=1", "idna"]'),
    ('extras = "docs"', 'did you mean: projects = [{path = ".", extras = ["docs"]}]'),
    ('env = {A = "b"}', 'variables stand in env_vars: env_vars = {A = "b"}'),
    ('env_vars = {A = 1, B = true}', 'did you mean: env_vars = {A = "1", B = "true"}'),
    ('env_vars = ["A=1", "B=x=y"]', 'did you mean: env_vars = {A = "1", B = "x=y"}'),
    ('[tasks]\nt = {run = "x", env_vars = {A = 1}}', 'did you mean: env_vars = {A = "1"}'),
    ('[environments.docs]\npython = "3"', "did you mean: [env.docs]"),
    ('post_boot = ["pip check"]', 'did you mean: post_boot = [["pip", "check"]]'),
    ('no_index = "yes"', "did you mean: no_index = true"),
    ('lock = "uv.lock"', 'did you mean: lock_file = "uv.lock"'),
    ('env.docs = {python = 3}', 'did you mean: required_python_version = "3"'),
    ('scripts = {check = "true"}', 'did you mean: tasks = {check = "true"}'),
    ('[project]\nname = "x"', "[project] belongs into pyproject.toml"),
    ('[tool.poetry]\nname = "x"', "[tool.poetry] belongs into pyproject.toml"),
    ('[env]\ndependencies = ["six"]', "an environment has a name: [env.NAME]"),
    ('requirements = "sub/requirements-dev.txt"', 'did you mean: requirements_files = ["sub/requirements-dev.txt"]'),
    ('dependencies = ["idna", "six=1.16"]', 'did you mean "six==1.16"?'),
    ('dependencies = ["six ^1.16"]', 'did you mean "six>=1.16"?'),
    ('dependencies = ["six 1.16"]', 'did you mean "six==1.16"?'),
    ('dependencies = ["six@1.16"]', 'did you mean "six==1.16"?'),
    ('required_python_version = ">=3.9 <4"', 'did you mean ">=3.9,<4"?'),
    ('required_python_version = "^3.9"', 'did you mean ">=3.9,<4"?'),
    ('required_python_version = "3.9+"', 'did you mean ">=3.9"?'),
    ('required_python_version = "3.9 or newer"', 'did you mean ">=3.9"?'),
    ('required_python_version = "=3.9"', 'did you mean "==3.9.*"?'),
    ('required_python_version = "3.9.x"', 'did you mean "==3.9.*"?'),
    ('required_python_version = "3.x"', 'did you mean "==3.*"?'),
    ('[tasks]\nt = {cmd = "x"}', 'did you mean "run"?'),
    ('[tasks]\nt = {run = "x", description = "y"}', 'did you mean "help"?'),
]


@pytest.mark.parametrize("text, meant", MISTAKES)
def test_U10_mistake_in_the_config_gets_the_line_that_works(plain, hint, text, meant):
    plain.write("sub/requirements-dev.txt", "")
    plain.config(text)
    assert hint("info") == meant
    said = plain.prime("info", status=2).stderr.splitlines()[0]
    assert said.count("proto_prime.toml") == 1
    line = meant.partition("did you mean: ")[2]
    if line[:1] not in ("", "["):  # what is proposed is good
        plain.config("%s\n%s" % ("[env.docs]\n" * text.startswith("[env"), line))
        proto_prime.load_config(str(plain.path))


def test_U10_config_in_another_encoding_is_told_with_its_line(plain, hint):
    (plain.path / "proto_prime.toml").write_bytes("# one\n# caf\u00e9\n".encode("latin-1"))
    assert hint("info") == "save it as UTF-8"
    assert "proto_prime.toml: it is not UTF-8, by line 2\n" in plain.prime("info", status=2).stderr


def test_U10_requests_that_are_proposed_are_good():
    for text in (">=3.9 <4", "^3.9", "3.9+", "3.9 or newer", "=3.9", "3.9.x", "3.x"):
        with pytest.raises(proto_prime.PrimeError) as caught:
            proto_prime.parse_request(text)
        assert proto_prime.satisfies(caught.value.hint.split('"')[1], "3.9.7"), text


@pytest.mark.parametrize("driver", ["venv_uv", "venv_pip"])
def test_U10_requirement_of_a_file_that_is_none_says_how_they_are_written(plain, hint, driver):
    plain.write("requirements.txt", "six=1\n")
    plain.config('requirements_files = ["requirements.txt"]\nvenv_driver = "%s"' % driver)
    assert hint(status=1).startswith("a requirement is NAME, NAME==VERSION, NAME>=VERSION, or as PEP 508 has it; ")


@pytest.mark.parametrize("line, meant", [
    ('"lint fix" = "x"', 'did you mean "lint-fix"?'), ('"../a/b" = "x"', 'did you mean "a-b"?'),
    ('"build:css" = {runs = "x"}', 'did you mean "run"?'),
])
def test_U10_task_is_told_with_its_line_whatever_its_name_is(plain, hint, line, meant):
    plain.config('[tasks]\ngood = "x"\n%s\n' % line)
    assert hint("info") == meant
    assert "(proto_prime.toml, line 3)" in plain.prime("info", status=2).stderr


@pytest.mark.parametrize("text", ["[proto-prime]\n", "[tool.protoprime]\n", "[tool.proto_prime]\n"])
def test_U10_table_of_another_name_in_pyproject(repo, text):
    repo.write("pyproject.toml", text)
    said = repo.prime("info", status=2).stderr
    assert "hint: did you mean [tool.proto-prime]?" in said and said.count("pyproject.toml") == 1


def test_U10_version_for_requires_python(repo):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = "3.9"\n')
    said = repo.prime("info", status=2).stderr
    assert 'hint: did you mean: requires-python = ">=3.9"' in said and said.count("pyproject.toml") == 1


@pytest.mark.parametrize("setting, meant", [
    ("PROTOPRIMER_PYTHON=3.11", "it is a path, or a name on PATH: PROTOPRIMER_PYTHON=python3.11"),
    ("PROTOPRIMER_PYTHON=3.99", 'it is a path, or a name on PATH: PROTOPRIMER_PYTHON="$(./prime python 3.99)"'),
    ("PROTOPRIMER_PYTHON=/no/python", "it is the path of a Python, or the name of one on PATH"),
    ("PROTOPRIMER_VENV_DRIVER=uv", "did you mean: PROTOPRIMER_VENV_DRIVER=venv_uv"),
])
def test_U10_mistake_in_a_variable_gets_the_word_that_works(plain, hint, setting, meant):
    name, _, value = setting.partition("=")
    plain.link("python3.11", some_python())
    assert hint(env={name: value}, status=None) == meant
    said = plain.prime(env={name: value}, status=None).stderr
    assert said.splitlines()[0].count(value) == 1 + (name.endswith("DRIVER"))  # venv_uv


def test_U10_unknown_log_level_is_told_once_and_no_matter(plain):
    for level, count in (("loud", 1), ("warning", 0), ("", 0)):
        said = plain.prime(env={"PROTOPRIMER_LOG_LEVEL": level}).stderr
        assert said.count("PROTOPRIMER_LOG_LEVEL=loud is not known; it is one of error, warning, info, debug") == count


GROUPS = """\
[project]
name = "x"
version = "1"
[project.optional-dependencies]
Docs_x = []
[dependency-groups]
dev = ["tiny", {include-group = "Types_x"}]
Types_x = ["idna"]
lint = ["six"]
"""
LEFT = {
    "a project": ({"pyproject.toml": GROUPS, "requirements.txt": "six\n"},
                  "left aside: extra Docs_x; group lint; file requirements.txt; in [tool.proto-prime] of",
                  'projects = [{path = ".", extras = ["Docs_x"], groups = ["dev", "lint"]}]\n'
                  'requirements_files = ["requirements.txt"]'),
    "lists of other tools": ({"pyproject.toml": GROUPS.partition("[project.o")[0] + "[tool.hatch.envs.lint]\n"
                              "dependencies = ['six']\n[tool.poetry.group.dev.dependencies]\n", "environment.yml": ""},
                             "left aside: package lists environment.yml, [tool.poetry.group], [tool.hatch.envs]; in",
                             'dependencies = ["NAME", "..."]  # the packages of environment.yml, [tool.poetry.group], '
                             "[tool.hatch.envs]"),
    "requirements": ({"requirements.txt": "-r base.txt\n", "base.txt": "six\n", "requirements-dev.txt": "idna\n",
                      "requirements/ci.txt": "idna\n"},
                     "left aside: files requirements-dev.txt, requirements/ci.txt; in proto_prime.toml",
                     'requirements_files = ["requirements.txt", "requirements-dev.txt", "requirements/ci.txt"]'),
    "files that a project reads": (
        {"pyproject.toml": "[tool.black]\n", "requirements.txt": "six\n", "requirements-dev.txt": "idna\n",
         "setup.py": "import setuptools\nsetuptools.setup(install_requires=open('requirements.txt').read())\n"},
        "left aside: file requirements-dev.txt; in", 'requirements_files = ["requirements-dev.txt"]'),
    "requirements beside setup.py": (
        {"setup.py": "import setuptools\nsetuptools.setup()\n", "requirements.txt": "six<1\n"},
        "left aside: file requirements.txt; in proto_prime.toml", 'requirements_files = ["requirements.txt"]'),
}


@pytest.mark.parametrize("what", sorted(LEFT))
def test_U10_init_names_what_it_leaves_aside_with_the_line_that_takes_it(repo, what):
    files, words, line = LEFT[what]
    for name, text in files.items():
        repo.write(name, text)
    said = repo.prime("init", cwd=str(repo.path)).stderr
    assert words in said and "\n  " + line.replace("\n", "\n  ") in said
    own = repo.path / "proto_prime.toml"
    if own.exists():
        own.write_text(line)
    else:
        repo.write("pyproject.toml", files["pyproject.toml"] + "[tool.proto-prime]\n" + line)
    assert "left aside" not in repo.prime("init", cwd=str(repo.path)).stderr


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_U10_shell_runs_one_line(plain, shell):
    if not shutil.which(shell):
        pytest.skip("no %s on this machine" % shell)
    plain.config('env_vars = {WHICH = "mine"}')
    env = {"SHELL": shutil.which(shell)}
    code = 'python -c "import sys; print(sys.prefix)"; echo $WHICH; exit 3'
    result = plain.prime("-q", "shell", "-c", code, env=env, status=3)
    assert result.stdout == "%s\nmine\n" % (plain.path / ".venv") and result.stderr == ""
    assert json.loads(plain.prime("shell", "-c", "echo 1", env=env).stdout) == 1
