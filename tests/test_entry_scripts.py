"""Entry scripts of a repo's own, as the examples have them: what their function gets, and what it ends with."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from conftest import python
from helpers import follow_readme, run_git

SCRIPTS = {  # name of the example: its entry script and the module that this calls
    "boot_script": ("dns-name", "dns_name.py"),
    "start_script": ("commit-msg", "trailers.py"),
}
ARGUMENTS = ["a b", "it's", '"', "new\nline", "--", "-v", "boot", "", "*", "\u00fc"]


class Script:
    """The entry script of an example, whose function is replaced."""

    def __init__(self, repo, name, module):
        self.repo, self.name, self.module = repo, name, module
        self.path = repo.path / name

    def calls(self, *lines, head="import json, os, sys"):
        """Let the function do this."""
        self.repo.write(self.module, "%s\ndef main():\n    %s\n" % (head, "\n    ".join(lines)))

    def run(self, *argv, **options):
        """Run it to its end under `python`, from `cwd`, by the path `entry`. Returns a `Result`."""
        options.setdefault("entry", self.name)
        return self.repo.prime(*argv, **options)


@pytest.fixture
def booted(example):
    """The script of boot_script, whose environment is not made yet."""
    return Script(example("boot_script"), *SCRIPTS["boot_script"])


@pytest.fixture(params=sorted(SCRIPTS))
def script(request, example):
    """Each of the two in turn, with an environment that is there."""
    made = Script(example(request.param), *SCRIPTS[request.param])
    made.repo.prime()
    return made


@pytest.mark.parametrize("target", ["dns_name", "dns_name:", ":main", ""])
def test_target_that_names_no_function_is_an_error_before_anything_is_built(booted, target):
    booted.repo.write("dns-name", booted.path.read_text().replace("dns_name:main", target), executable=True)
    assert '"%s" names no function' % target in booted.run(status=2).stderr
    assert not (booted.repo.path / ".prime").exists()


def test_start_asks_for_an_environment_and_for_nothing_else(example):
    script = Script(example("start_script"), *SCRIPTS["start_script"])
    script.calls("print(sys.prefix)")
    script.repo.prime()
    script.repo.settle()
    script.repo.prime()
    script.repo.write("pyproject.toml", "[half of a")  # as while somebody edits it
    assert script.run().stdout.strip() == str(script.repo.current)


# -- The examples as they are ------------------------------------------------------------------------


def test_boot_script(example):
    printed = follow_readme(example("boot_script"))
    assert list(printed.values()) == ["xn--bcher-kva.example\nexample.org", "status 3", "status 1", "example.org"]


def test_boot_script_keeps_stdout_to_its_function_while_it_builds(booted):
    made = booted.run("b\u00fccher.example", env={"PROTOPRIMER_LOG_LEVEL": "debug"})
    assert made.stdout == "xn--bcher-kva.example\n"
    assert "building environment" in made.stderr
    assert booted.run(status=1).stderr == "usage: dns-name HOST...\n"


def test_start_script(example):
    repo = example("start_script")
    never_built = repo.prime("message.txt", entry="commit-msg", status=1)
    assert never_built.stderr == "prime: error: environment default was not built yet\n  hint: prime boot\n"
    assert not (repo.path / ".prime").exists()
    follow_readme(repo)
    refused = repo.prime("message.txt", entry="commit-msg", status=1)
    assert refused.stderr.startswith("commit-msg: no mail gets to example..org: ")


def test_start_script_is_a_hook_of_git_s(example):
    if not shutil.which("git", path="/usr/bin:/bin"):
        pytest.skip("no git")
    repo = example("start_script")

    def git(*words):
        return run_git(repo.path, *words, env=repo.env)

    git("init", "-q")
    os.makedirs(str(repo.path / ".git" / "hooks"), exist_ok=True)
    (repo.path / ".git" / "hooks" / "commit-msg").symlink_to("../../commit-msg")
    commit = ["commit", "-q", "--allow-empty", "-m"]
    assert "hint: prime boot" in git(*commit, "too early").stderr
    repo.prime()
    assert "no mail gets to" in git(*commit, "refused\n\nReported-by: A <a@example..org>").stderr
    assert git(*commit, "accepted\n\nReported-by: A <a@example.org>").returncode == 0
    assert git("log", "--format=%s").stdout == "accepted\n"


# -- What the function gets --------------------------------------------------------------------------


@pytest.mark.parametrize("wild", ["3.6", "3.9", "3.13"])
def test_arguments_arrive_as_they_were_typed_whatever_python_starts_it(script, wild):
    script.calls("print(json.dumps([sys.argv[1:], os.getcwd(), sys.prefix]))", "return 3")
    link = script.repo.home / "a link"
    link.symlink_to(script.path)
    places = [(script.name, script.repo.path), (script.name, script.repo.home), (link, "/")]
    for spawn in ("", "1"):
        for entry, cwd in places:
            result = script.run(*ARGUMENTS, python=python(wild), entry=entry, cwd=str(cwd), status=3,
                                env={"PROTOPRIMER_SPAWN": spawn})
            assert json.loads(result.stdout) == [ARGUMENTS, str(cwd), str(script.repo.current)]
            assert result.stderr == ""


@pytest.mark.parametrize("wild", ["3.6", "3.9", "3.13"])
def test_arguments_arrive_as_they_were_typed_through_a_first_boot(booted, wild):
    booted.repo.write("pyproject.toml", '[tool.proto-prime]\nrequired_python_version = "3.12"\ndependencies = ["idna"]')
    booted.repo.link("python3.12", python("3.12"))
    booted.calls("print(json.dumps([sys.argv[1:], sys.version_info[:2]]))", "return 3")
    result = booted.run(*ARGUMENTS, python=python(wild), cwd="/", status=3)
    assert json.loads(result.stdout) == [ARGUMENTS, [3, 12]]


def test_stdin_is_the_function_s(booted):
    booted.calls("print(sys.stdin.read())")
    for _ in ("first boot", "afterwards"):
        process = booted.repo.popen(entry=booted.name, stdin=subprocess.PIPE)
        assert process.communicate("typed early", timeout=60)[0] == "typed early\n"


def test_function_may_start_python_processes_of_its_own(script):
    script.calls("with multiprocessing.get_context('spawn').Pool(1) as pool:",
                 "    print(pool.map(abs, [-3]))", head="import multiprocessing")
    assert script.run(timeout=30).stdout == "[3]\n"


# -- What it ends with -------------------------------------------------------------------------------


ENDS = [  # what the function returns or does, the exit status, stderr
    ("None", 0, ""),
    ("0", 0, ""),
    ("3", 3, ""),
    ("'text'", 1, "text\n"),
    ("sys.exit()", 0, ""),
    ("sys.exit(5)", 5, ""),
    ("sys.exit('text')", 1, "text\n"),
    ("os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
]


@pytest.mark.parametrize("spawn", ["", "1"], ids=["replaced", "spawned"])
def test_what_the_function_ends_with_is_the_exit_status(script, spawn):
    script.calls("return eval(sys.argv[1])")
    for end, status, stderr in ENDS:
        assert script.run(end, status=status, env={"PROTOPRIMER_SPAWN": spawn}).stderr == stderr, end


def test_what_the_function_ends_with_under_the_environment_s_own_python(script):
    script.calls("return eval(sys.argv[1])")
    own = script.repo.path / ".venv" / "bin" / "python"
    for end, status, stderr in ENDS[:-1]:
        assert script.run(end, status=status, python=own).stderr == stderr, end


def test_error_of_the_function_s_own_is_a_traceback(script):
    script.calls("raise ValueError('mine')")
    stderr = script.run(status=1).stderr
    assert stderr.startswith("Traceback") and stderr.endswith("ValueError: mine\n")


def test_interrupt_of_the_function_is_python_s_own_under_the_environment_s_own_python(script):
    script.calls("try: os.kill(os.getpid(), 2)", "except KeyboardInterrupt: return 7")
    assert script.run(status=7).stderr == ""
    script.run(status=7, python=script.repo.path / ".venv" / "bin" / "python")


@pytest.mark.parametrize("value", ["venv:/another", "venv:", "venv:{root}"])
def test_E5_stale_progress_variable_never_lets_the_function_run_elsewhere(script, value):
    script.calls("print(sys.prefix)")
    env = {"PROTOPRIMER_PY_EXEC": value.format(root=script.repo.path)}
    result = script.run(env=env, python=python("3.6"), status=None)
    assert "Traceback" not in result.stderr
    assert result.stdout == "%s\n" % script.repo.current or "unset PROTOPRIMER_PY_EXEC" in result.stderr
