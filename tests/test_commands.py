"""Each command: what it prints on stdout, how it ends, and what it leaves behind."""

import json
import os
import re
import signal
import sys

import pytest
from conftest import python, some_python, uv_program

SHOW = "import sys; print(repr(sys.argv[1:]))"


@pytest.fixture(params=["slow path", "fast path", "spawned"])
def booted(request, plain):
    """A repo to run commands in: without and with a stamp that answers, and where exec is not to be had."""
    plain.prime()
    plain.settle()
    plain.prime()
    if request.param == "slow path":
        plain.env["PROTOPRIMER_LOG_LEVEL"] = "info"
    if request.param == "spawned":
        plain.env["PROTOPRIMER_SPAWN"] = "1"
    return plain


# -- run: how it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 2, 42, 126, 255])
def test_run_ends_with_the_status_of_the_command(booted, status):
    booted.prime("run", "python", "-c", "import sys; sys.exit(%d)" % status, status=status)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGABRT", "SIGHUP"])
def test_run_dies_of_the_signal_that_the_command_died_of(booted, name):
    number = int(getattr(signal, name))
    booted.prime("run", "sh", "-c", "kill -%d $$" % number, status=-number)


def test_run_of_what_is_not_found_is_127(booted):
    for command in ("no-such-program", "./no-such-file", "no/such.py"):
        result = booted.prime("run", command, status=127)
        assert result.stdout == ""
        assert "prime: error: " in result.stderr and command in result.stderr
        assert "Traceback" not in result.stderr


def test_run_of_what_cannot_be_executed_is_126(booted):
    booted.write("text", "echo no")
    booted.write("no-shebang", "echo no", executable=True)
    (booted.path / "directory").mkdir()
    for command in ("./text", "./no-shebang", "./directory"):
        result = booted.prime("run", command, status=126)
        assert result.stdout == ""
        assert "prime: error: cannot run %s: " % command in result.stderr
        assert "Traceback" not in result.stderr


def test_run_of_a_script_whose_interpreter_is_missing_says_so(booted):
    booted.write("script", "#!/no/such/interpreter\n", executable=True)
    result = booted.prime("run", "./script", status=None)
    assert result.status in (126, 127)
    assert "prime: error: cannot run ./script: " in result.stderr


def test_run_of_an_empty_name_is_127(booted):
    result = booted.prime("run", "", status=127)
    assert "prime: error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_run_without_a_command_is_wrong_usage(plain):
    for argv in ([], ["--"], ["--no-boot"], ["--no-boot", "--"], ["--nonsense", "x"]):
        result = plain.prime("run", *argv, status=2)
        assert result.stdout == ""
        assert "prime: error: run: " in result.stderr
        assert "hint: " in result.stderr
    assert not (plain.path / ".prime").exists()


# -- run: what it runs -----------------------------------------------------------------------------


ARGUMENTS = [
    ["two words", "", " ", "'single'", '"double"', "back\\slash", "$HOME", "`id`", "*", "a;b",
     "über", "日本"],
    ["two\nlines", "tab\there"],
    ["--", "--no-boot", "-e", "docs", "-v", "--help", "-m"],
    ["run", "--", "run"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=["shell", "blanks", "options", "itself"])
def test_run_hands_over_every_argument_as_it_is(booted, arguments):
    booted.write("show.py", SHOW)
    for command in (["python", "-c", SHOW], ["python", "show.py"], ["show.py"], ["-m", "show"],
                    ["./show.py"]):
        assert booted.prime("run", *(command + arguments)).stdout == repr(arguments) + "\n", command
        assert booted.prime("run", "--", *(command + arguments)).stdout == repr(arguments) + "\n", command


def test_run_prefers_the_environment_s_programs_to_those_of_PATH(booted):
    booted.program("python", "#!/bin/sh\necho wrong\n")
    code = "import sys; print(sys.prefix)"
    assert booted.prime("run", "python", "-c", code).stdout == "%s\n" % booted.current
    booted.program("hello", "#!/bin/sh\necho hello from PATH\n")
    assert booted.prime("run", "hello").stdout == "hello from PATH\n"
    booted.current.joinpath("bin", "hello").write_text("#!/bin/sh\necho hello from the environment\n")
    booted.current.joinpath("bin", "hello").chmod(0o755)
    assert booted.prime("run", "hello").stdout == "hello from the environment\n"


def test_run_of_a_module_and_of_a_file_takes_the_environment_s_python(booted):
    booted.write("tools/where.py", "import sys; print(sys.prefix)")
    for command in (["-m", "tools.where"], ["tools/where.py"], ["--", "-m", "tools.where"]):
        assert booted.prime("run", *command).stdout == "%s\n" % booted.current, command


def test_run_stays_in_the_user_s_directory(booted):
    booted.write("sub/where.py", "import os; print(os.getcwd())")
    place = str(booted.path / "sub")
    for command in (["where.py"], ["-m", "where"], ["python", "where.py"], ["pwd"]):
        assert booted.prime("run", *command, cwd=place).stdout == place + "\n", command


def test_run_sets_env_vars_and_activates_the_environment(booted):
    booted.config('env_vars = {ANSWER = "4 2", PATHLIKE = "a:b"}')
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    before = booted.env["PATH"]
    environ = {"MINE": "1", "VIRTUAL_ENV": "/other"}
    told = json.loads(booted.prime("run", "python", "-c", code, env=environ).stdout)
    assert (told["ANSWER"], told["PATHLIKE"], told["MINE"]) == ("4 2", "a:b", "1")
    assert told["VIRTUAL_ENV"] == str(booted.current)
    assert told["PATH"] == os.pathsep.join([str(booted.current / "bin"), before])
    assert "PROTOPRIMER_PY_EXEC" not in told


def test_run_in_another_environment_leaves_the_link_alone(plain):
    plain.config('[env.docs]\nenv_vars = {WHICH = "docs"}')
    plain.prime()
    default = plain.current
    result = plain.prime("-e", "docs", "run", "sh", "-c", "echo $WHICH")
    assert result.stdout == "docs\n"
    assert plain.prime("run", "sh", "-c", "echo $WHICH", env={"PROTOPRIMER_ENV": "docs"}).stdout == "docs\n"
    assert plain.prime("run", "sh", "-c", "echo $WHICH").stdout == "\n"
    assert plain.current == default
    assert len(plain.generations) == 2


def test_run_builds_what_is_missing_and_stdout_is_the_command_s_alone(plain):
    plain.config('post_boot = [["echo", "noise"]]')
    result = plain.prime("run", "echo", "data")
    assert result.stdout == "data\n"
    assert "building environment default" in result.stderr


def test_run_with_no_boot_in_an_environment_without_its_python_says_so(plain):
    plain.prime()
    (plain.current / "bin" / "python").unlink()
    plain.write("x.py", "")
    for words in (["python", "-c", "1"], ["x.py"], ["-m", "this"]):
        result = plain.prime("run", "--no-boot", *words, status=1)
        assert "%s is missing" % (plain.current / "bin" / "python") in result.stderr
        assert "hint: %s" % plain.typed("boot") in result.stderr


@pytest.mark.parametrize("first_line", ["#!/no/such/interpreter", "#!/bin/sh\r"])
def test_run_of_a_program_without_its_interpreter_says_so(plain, first_line):
    plain.write("program", first_line + "\n", executable=True)
    result = plain.prime("run", "./program", status=126)
    assert "cannot run ./program: the interpreter in its first line does not exist" in result.stderr


@pytest.mark.parametrize("name", ["pip", "pip3", "pip3.12"])
def test_run_never_takes_another_python_s_pip(plain, name):
    plain.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    plain.link("uv", uv_program())
    plain.program(name, "echo another")
    assert "there is no pip in this environment" in plain.prime("run", name, status=127).stderr


def test_programs_of_the_environment_come_before_a_PATH_of_the_config(plain):
    plain.config('env_vars = {PATH = "/usr/bin:/bin"}\npost_boot = [["python", "-c", "1"]]')
    assert plain.inside("import sys; print(sys.prefix)") == str(plain.current)
    assert plain.prime("run", "printenv", "PATH").stdout == "%s/bin:/usr/bin:/bin\n" % plain.current


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip"])
def test_repo_whose_path_PATH_cannot_name_is_an_error(make_repo, tmp_path, driver_name):
    repo = make_repo("co:lon")
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver_name
    repo.link("uv", uv_program())
    repo.config()
    result = repo.prime("run", "python", "-c", "1", status=1)
    assert 'has a ":", so that PATH cannot name it' in result.stderr and "PROTOPRIMER_STATE_DIR" in result.stderr
    elsewhere = str(tmp_path / "state")
    assert repo.inside("import sys; print(sys.prefix)", env={"PROTOPRIMER_STATE_DIR": elsewhere}).startswith(elsewhere)


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip"])
def test_E8_repo_whose_path_is_not_UTF_8_is_an_error(make_repo, tmp_path, driver_name):
    repo = make_repo(os.fsdecode(b"caf\xe9"))
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver_name
    repo.link("uv", uv_program())
    repo.config()
    for words in ([], ["run", "python", "-c", "1"]):
        result = repo.prime(*words, status=1)
        assert "is not UTF-8, without which neither venv nor uv makes an environment\n" in result.stderr
        assert "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr and "building" not in result.stderr
    elsewhere = str(tmp_path / "state")
    assert repo.inside("import sys; print(sys.prefix)", env={"PROTOPRIMER_STATE_DIR": elsewhere}).startswith(elsewhere)


def test_run_with_no_boot_builds_nothing(plain):
    result = plain.prime("run", "--no-boot", "true", status=1)
    assert "environment default was not built yet" in result.stderr
    assert not (plain.path / ".prime").exists()
    plain.prime()
    old = plain.current
    plain.config('dependencies = ["no-such-thing-at-all"]')
    result = plain.prime("run", "--no-boot", "--", "python", "-c", "import sys; print(sys.prefix)")
    assert result.stdout == "%s\n" % old
    assert plain.generations == [old]


def test_run_gives_the_command_the_user_s_stdin_untouched(plain):
    plain.config('post_boot = [["cat"]]')
    data = "first line\nsecond line\n" * 5000
    for _ in range(3):  # with a build, on the slow path, on the fast one
        process = plain.popen("run", "cat", stdin=-1)
        stdout, stderr = process.communicate(data, timeout=60)
        assert process.returncode == 0, stderr
        assert stdout == data
        plain.settle()


def test_run_of_run(booted):
    command = [sys.executable, str(booted.path / "prime"), "run", "python", "-c", SHOW, "a b"]
    assert booted.prime("run", *command).stdout == "['a b']\n"


# -- info ------------------------------------------------------------------------------------------

FIELDS = """required_python_version python_selector_file_rel_path venv_driver venv_dir_rel_path projects
dependencies requirements_files constraints_file lock_file uv_version index_url extra_index_urls find_links
no_index env_vars env_file tasks post_boot default_env""".split()


def test_info_json_of_what_was_not_built_yet(plain):
    plain.config('required_python_version = ">=3.8"\nenv_vars = {A = "1"}')
    result = plain.prime("info", "--json", status=1)
    told = json.loads(result.stdout)
    assert told["schema"] == 1
    assert told["root"] == str(plain.path)
    assert told["environment"] == "default"
    assert set(FIELDS) <= set(told["config"])
    assert all(set(entry) >= {"value", "from"} for entry in told["config"].values())
    assert told["config"]["env_vars"] == {"value": {"A": "1"}, "from": "proto_prime.toml: env_vars"}
    assert told["config"]["no_index"] == {"value": False, "from": "default"}
    assert told["required"] == {"request": ">=3.8", "from": "proto_prime.toml: required_python_version"}
    keys = {"path", "source", "version", "implementation", "verdict", "reason"}
    assert set(told["selected_python"]) >= keys
    assert told["selected_python"]["verdict"] == "selected"
    assert told["venv"] is None
    assert told["current"] is False
    assert told["reasons"] == ["it was not built yet"]
    assert not (plain.path / ".prime").exists()
    assert not (plain.path / ".venv").exists()


def test_info_json_of_what_is_current(plain):
    plain.prime()
    told = json.loads(plain.prime("info", "--json", status=0).stdout)
    assert told["current"] is True
    assert told["reasons"] == []
    assert told["driver"] in ("venv_uv", "venv_pip")
    assert told["venv"] == {
        "path": str(plain.path / ".venv"),
        "generation": str(plain.current),
        "python": str(plain.current / "bin" / "python"),
        "version": told["selected_python"]["version"],
        "held": False,
    }


def test_info_says_why_it_is_not_current(plain):
    plain.prime()
    plain.config('dependencies = ["six"]')
    told = json.loads(plain.prime("info", "--json", status=1).stdout)
    assert told["reasons"] == ["dependencies changed"]
    result = plain.prime("info", status=1)
    assert re.match(r"state +OUT OF DATE: dependencies changed -> .*prime'?\n", result.stdout)
    assert result.stderr == ""


def test_info_sees_that_the_link_was_removed_or_leads_elsewhere(plain):
    plain.prime()
    (plain.path / ".venv").unlink()
    told = json.loads(plain.prime("info", "--json", status=1).stdout)
    assert told["current"] is False
    assert ".venv" in " ".join(told["reasons"])


def test_info_is_a_table_of_names_and_values(plain):
    plain.config('env_vars = {A = "1"}')
    plain.prime()
    result = plain.prime("info")
    rows = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert rows["root"] == str(plain.path)
    assert rows["environment"] == "default"
    assert rows["state"] == "up to date"
    assert rows["config"] == "proto_prime.toml"
    assert rows["env_vars"] == '= {A = "1"}'
    assert result.stderr == ""


def test_info_without_any_python_that_fits(plain):
    plain.config('required_python_version = ">=3.99"\nvenv_driver = "venv_pip"')
    told = json.loads(plain.prime("info", "--json", status=1).stdout)
    assert told["selected_python"] is None
    assert told["current"] is False


# -- python ----------------------------------------------------------------------------------------


def test_python_prints_one_path(plain):
    plain.link("python3.12", python("3.12"))
    result = plain.prime("python", "3.12")
    assert result.stdout == "%s\n" % (plain.bin / "python3.12")
    assert result.stderr == ""
    assert not (plain.path / ".prime").exists()


def test_python_that_is_not_there_is_an_error_and_nothing_on_stdout(plain):
    result = plain.prime("python", "3.99", status=1)
    assert result.stdout == ""
    assert 'prime: error: no python satisfies the request "3.99" (command line)' in result.stderr


# -- use -------------------------------------------------------------------------------------------


def test_use_makes_an_environment_this_clone_s_from_now_on(plain):
    plain.config('[env.docs]\nenv_vars = {WHICH = "docs"}')
    plain.prime()
    default = plain.current
    used = plain.prime("use", "docs")
    assert used.stdout == ""
    assert "docs" in used.stderr.splitlines()[-1]
    docs = plain.current
    assert docs != default
    for _ in range(3):
        assert ".venv is current (environment docs, " in plain.prime().stderr
        assert plain.prime("run", "sh", "-c", "echo $WHICH").stdout == "docs\n"
        plain.settle()
    assert plain.info()["environment"] == "docs"
    assert plain.info("-e", "default")["environment"] == "default"
    assert plain.current == docs
    plain.prime("use", "default")
    assert plain.current == default
    assert "(environment default, " in plain.prime().stderr


def test_use_of_an_unknown_environment_changes_nothing(plain):
    plain.config("[env.docs]")
    plain.prime("use", "docs")
    result = plain.prime("use", "dosc", status=2)
    assert 'no environment "dosc" is configured' in result.stderr
    assert 'did you mean "docs"?' in result.stderr
    assert plain.info()["environment"] == "docs"


def test_use_that_fails_changes_nothing(plain):
    plain.config('[env.docs]\ndependencies = ["no-such-thing-at-all"]')
    plain.prime()
    default = plain.current
    plain.prime("use", "docs", status=1)
    assert plain.info()["environment"] == "default"
    assert plain.current == default


def test_used_environment_that_is_configured_no_more_is_said(plain):
    plain.config("[env.docs]")
    plain.prime("use", "docs")
    plain.config()
    result = plain.prime()
    assert 'environment "docs", which prime use chose, is configured no more' in result.stderr
    assert "(environment default, " in result.stderr


def test_boot_of_another_environment_leads_the_link_there(plain):
    plain.config("[env.docs]")
    plain.prime()
    default = plain.current
    assert "(environment docs, " in plain.prime("-e", "docs").stderr
    assert plain.current != default
    assert "(environment default, " in plain.prime().stderr
    assert plain.current == default


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["boot"], ["reset"], ["use", "default"], ["-vv", "reset"], ["run", "true"]])
def test_stdout_carries_no_word_of_ours_or_of_the_tools(repo, argv):
    repo.config('dependencies = ["six"]\npost_boot = [["echo", "noise"]]')
    assert repo.prime(*argv).stdout == ""


def test_info_does_not_say_that_the_link_leads_where_it_does_not(plain):
    plain.config('[env.dev]\nenv_vars = { A = "b" }')
    plain.prime()
    plain.prime("-e", "dev")
    told = plain.prime("info", status=1).stdout
    assert ".venv ->" not in told and "default-" in told
    assert ".venv -> " in plain.prime("-e", "dev", "info").stdout


def test_repo_in_a_directory_whose_name_begins_with_a_dash(make_repo, driver):
    repo = make_repo("-dash")
    repo.config('venv_driver = "%s"' % driver)
    repo.link("uv", uv_program())
    assert repo.inside("print(1)") == "1"


def test_info_of_an_environment_that_is_not_current_shows_what_is_there(plain):
    plain.prime()
    plain.config('dependencies = ["six"]')
    told = plain.info()
    assert not told["current"] and told["reasons"] == ["dependencies changed"]
    assert told["venv"]["generation"] == str(plain.current)
    plain.config('required_python_version = "3.99"')
    reasons = plain.info(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})["reasons"]
    assert any("no python satisfies" in each for each in reasons)


def test_python_of_an_environment_directory_is_a_program_in_json_too(plain):
    plain.prime()
    [told] = json.loads(plain.prime("python", "./.venv", "--json").stdout)["candidates"]
    assert told["path"] == str(plain.path / ".venv" / "bin" / "python")


def test_python_all_lists_what_there_is_though_the_user_s_choice_fails(plain):
    result = plain.prime("python", "--all", status=1, env={"PROTOPRIMER_PYTHON": "/no/such"})
    assert "PROTOPRIMER_PYTHON=/no/such" in result.stderr and "wild  %s\n" % some_python() in result.stdout
