"""What `prime serve` tells of a repo's environments, and how it makes, deletes and uses them."""

import json
import os
import sys
import time

import pytest
import serving
from conftest import python, snapshot, some_python
from serving import request

LIST, GET = "environment/list", "environment/get"
CREATE, DELETE, EXECUTE = "environment/create", "environment/delete", "environment/execute"
NO_ENVIRONMENT, NAME_TAKEN, NO_PYTHON, WORK_FAILED = -31001, -31002, -31003, -31004
HERE, FULL = "%d.%d" % sys.version_info[:2], "%d.%d.%d" % sys.version_info[:3]  # the python that starts the server
OTHER = "3.12" if HERE != "3.12" else "3.11"


def version_of(path):
    """The full version of an interpreter, from the name of its directory."""
    return path.parent.parent.name


def create(session, name="mine", version=HERE):
    return session.ask(CREATE, {"name": name, "python_version": version})


def run(session, *argv, **more):
    """The result of a command in the environment `default`, or in that of an id."""
    return session.ask(EXECUTE, dict({"id": "default", "argv": list(argv)}, **more))


def ids(session):
    return [row["id"] for row in session.ask(LIST)]


# -- list and get ------------------------------------------------------------------------------------


def test_list_has_all_that_is_configured_built_or_not(repo, serve):
    repo.config('required_python_version = ">=3.8"\n[env.docs]\n[env.Zoo]\nrequired_python_version = "3.12"')
    session = serve()
    before = snapshot(repo.path)
    rows = [("Zoo", "3.12"), ("default", FULL), ("docs", FULL)]
    assert session.ask(LIST) == [{"id": name, "name": name, "python_version": version} for name, version in rows]
    assert snapshot(repo.path) == before
    session.ask(GET, {"id": "docs"})
    assert [row["python_version"] for row in session.ask(LIST)] == ["3.12", FULL, FULL]


def test_get_makes_the_environment_current_first(repo, serve):
    repo.project(["idna"], "[tool.proto-prime]\nenv.docs.dependencies = []")
    session = serve()
    told = session.ask(GET, {"id": "default"})
    assert [told[each] for each in ("id", "name", "python_version")] == ["default", "default", FULL]
    assert {"client", "idna"} == {each["name"] for each in told["installed_packages"]} - {"pip", "setuptools"}
    assert all(sorted(each) == ["name", "version"] and each["version"] for each in told["installed_packages"])
    place = str(repo.generations[0])
    assert told["interpreter_path"] == os.path.join(place, "bin", "python")
    assert told["extra"].pop("driver") in ("venv_uv", "venv_pip")
    assert told["extra"] == {"root": str(repo.path), "generation": place, "current": True}

    repo.project(["idna", "six"])
    again = session.ask(GET, {"id": "default"})
    assert again["extra"]["generation"] != place
    assert "six" in [each["name"] for each in again["installed_packages"]]
    assert again == session.ask(GET, {"id": "default"})


def test_gets_at_once_build_it_once(plain, serve):
    session = serve()
    session.send([request(GET, {"id": "default"}, id=number) for number in range(4)])
    answers = session.receive()
    assert all(answer["result"] == answers[0]["result"] for answer in answers)
    assert len(plain.logs) == 1


def test_package_whose_metadata_is_not_utf_8_is_told_as_well(booted, serve):
    place = next(booted.current.glob("lib/*/site-packages")) / "old-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_bytes("Name: old\nVersion: 1.0\nAuthor: J\u00fcrgen\n".encode("latin-1"))
    told = serve().ask(GET, {"id": "default"})
    assert {"name": "old", "version": "1.0"} in told["installed_packages"]


def test_config_may_change_and_break_meanwhile(plain, serve):
    session = serve()
    plain.config("[env.docs]")
    assert ids(session) == ["default", "docs"]
    plain.config("[env.docs")
    error = session.refused(LIST)
    assert error["code"] == WORK_FAILED and "proto_prime.toml" in error["message"]
    plain.config("")
    assert ids(session) == ["default"]


def test_unknown_environment(serve):
    session = serve()
    for method, more in ((GET, {}), (DELETE, {}), (EXECUTE, {"argv": ["true"]})):
        for name in ("none", "", "../default", "DEFAULT", "\ud800", "a\0b")[:: 1 if method == GET else 3]:
            if name:
                error = session.refused(method, dict({"id": name}, **more))
                assert (error["code"], error["data"]) == (NO_ENVIRONMENT, {"id": name}), (method, name)


# -- create ------------------------------------------------------------------------------------------


def test_create_builds_what_is_configured(repo, serve):
    repo.config('[env.docs]\ndependencies = ["six"]\n[env.six]\nrequired_python_version = "%s"' % HERE)
    session = serve()
    assert "six" in [each["name"] for each in create(session, "docs")["installed_packages"]]
    for name in ("docs", "docs"):
        error = session.refused(CREATE, {"name": name, "python_version": HERE})
        assert error["code"] == NAME_TAKEN and name in error["message"] and error["data"] == {"name": name}
    error = session.refused(CREATE, {"name": "six", "python_version": "3.99"})
    assert error["code"] == NO_PYTHON, "it is configured with another version"
    assert create(session, "six", FULL)["id"] == "six"
    assert ids(session) == ["default", "docs", "six"]


def test_create_of_a_new_name_makes_an_environment_without_packages(plain, serve):
    plain.link("python" + OTHER, python(OTHER))
    session = serve()
    made = {name: create(session, name, version) for name, version in (
        ("mine", HERE), ("../\u00fc\n", OTHER), ("-e", version_of(python(OTHER))))}
    for name, told in made.items():
        assert (told["id"], told["name"]) == (name, name)
        assert {each["name"] for each in told["installed_packages"]} <= {"pip", "setuptools"}
        assert told["interpreter_path"].startswith(str(plain.path / ".prime") + os.sep)
        code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
        assert run(session, "python", "-c", code, id=name)["stdout"].strip() == told["python_version"]
    assert made["-e"]["python_version"] == made["../\u00fc\n"]["python_version"] == version_of(python(OTHER))
    assert not (plain.path / ".venv").exists()

    assert session.end() == 0
    later = serve()
    assert ids(later) == sorted(list(made) + ["default"])
    assert later.ask(GET, {"id": "mine"}) == made["mine"]
    assert later.refused(CREATE, {"name": "mine", "python_version": HERE})["code"] == NAME_TAKEN


def test_what_is_created_is_ignored_by_git(plain, serve):
    create(serve())
    assert (plain.path / ".prime" / ".gitignore").read_text() == "*\n"


def test_create_with_the_state_elsewhere(plain, serve):
    plain.env["PROTOPRIMER_STATE_DIR"] = str(plain.home / "state")
    before = snapshot(plain.path)
    session = serve()
    told = [create(session, name) for name in ("default", "mine")]
    assert all(each["interpreter_path"].startswith(str(plain.home / "state") + os.sep) for each in told)
    assert told == [session.ask(GET, {"id": each["id"]}) for each in told]
    assert len({each["interpreter_path"] for each in told}) == 2
    assert session.ask(DELETE, {"id": "mine"}) and ids(session) == ["default"]
    assert run(session, "python", "-c", "pass")["exit_code"] == 0
    assert snapshot(plain.path) == before


def test_creates_of_one_name_at_once_are_one(serve):
    session = serve()
    session.send([request(CREATE, {"name": "mine", "python_version": HERE}, id=number) for number in range(3)])
    codes = [answer.get("error", {"code": 0})["code"] for answer in session.receive()]
    assert sorted(codes) == [NAME_TAKEN, NAME_TAKEN, 0]


@pytest.mark.parametrize("version", ["3.99", "2.7", "3.8.99"])
def test_python_that_cannot_be_had(plain, serve, version):
    session = serve()
    error = session.refused(CREATE, {"name": "mine", "python_version": version})
    assert error["code"] == NO_PYTHON and version in error["message"]
    assert session.refused(GET, {"id": "mine"})["code"] == NO_ENVIRONMENT
    assert not list(plain.path.glob(".prime/made/*"))


def test_python_that_the_user_chose_is_not_the_one_asked_for(plain, serve):
    session = serve(env={"PROTOPRIMER_PYTHON": str(some_python())})
    for name in ("default", "mine"):
        assert session.refused(CREATE, {"name": name, "python_version": "3.99"})["code"] == NO_PYTHON, name


def test_required_python_that_cannot_be_had(repo, serve):
    repo.config('required_python_version = "3.99"')
    session = serve()
    for method, more in ((GET, {}), (EXECUTE, {"argv": ["true"]})):
        assert session.refused(method, dict({"id": "default"}, **more))["code"] == NO_PYTHON
    assert session.refused(CREATE, {"name": "default", "python_version": "3.99"})["code"] == NO_PYTHON


def test_python_that_was_mended_meanwhile_is_taken(repo, serve):
    chosen = repo.program("chosen", "#!/bin/sh\nexit 1\n")
    session = serve(env={"PROTOPRIMER_PYTHON": str(chosen)})
    assert "error" in session.wait_for(session.begin(CREATE, {"name": "default", "python_version": HERE}))
    repo.program("chosen", '#!/bin/sh\nexec %s "$@"\n' % some_python())
    assert create(session, "default")["id"] == "default"


def test_creates_at_once_may_ask_one_python_that_nobody_asked_before(repo, serve):
    repo.program("slow-python", '#!/bin/sh\nsleep 0.5\nexec %s "$@"\n' % some_python())
    repo.config("[env.a]\n[env.b]\n[env.c]")
    session = serve(env={"PROTOPRIMER_PYTHON": str(repo.bin / "slow-python")})
    session.send([request(CREATE, {"name": name, "python_version": HERE}, id=name) for name in "abc"])
    assert [answer.get("error") for answer in session.receive()] == [None] * 3


def test_work_that_fails(repo, serve):
    told = 'print("reason " * 200); raise SystemExit(3)'
    repo.config("[env.bad]\npost_boot = [%s]" % json.dumps(["python", "-c", told]))
    session = serve()
    for method, params in ((GET, {"id": "bad"}), (CREATE, {"name": "bad", "python_version": HERE})):
        error = session.refused(method, params)
        assert error["code"] == WORK_FAILED and "post_boot" in error["message"], error
        assert len(error["message"]) <= 500
        with open(error["data"]["log"], encoding="utf-8") as log:
            assert "reason " * 200 in log.read()
    assert ids(session) == ["bad", "default"]


def test_requests_are_answered_while_one_builds(repo, serve):
    repo.config("[env.slow]\npost_boot = [%s]" % json.dumps(
        ["sh", "-c", "while test ! -e %s; do sleep 0.05; done" % json.dumps(str(repo.home / "go on"))]))
    repo.prime()
    session = serve()
    slow = session.begin(CREATE, {"name": "slow", "python_version": HERE})
    assert ids(session) == ["default", "slow"]
    assert session.ask(GET, {"id": "default"})["id"] == "default"
    assert run(session, "python", "-c", "print(1)")["stdout"] == "1\n"
    assert session.refused(CREATE, {"name": "slow", "python_version": HERE})["code"] == NAME_TAKEN
    assert not session.kept
    (repo.home / "go on").touch()
    assert session.wait_for(slow)["result"]["id"] == "slow"


# -- delete ------------------------------------------------------------------------------------------


def test_delete_of_a_configured_environment(booted, serve):
    session = serve()
    assert session.ask(DELETE, {"id": "default"}) == {"id": "default"}
    assert booted.generations == [] and not os.path.lexists(str(booted.path / ".venv"))
    assert ids(session) == ["default"]
    assert session.ask(DELETE, {"id": "default"}) == {"id": "default"}
    assert create(session, "default")["id"] == "default"


def test_delete_of_one_that_was_created(booted, serve):
    session = serve()
    program = create(session)["interpreter_path"]
    assert session.ask(DELETE, {"id": "mine"}) == {"id": "mine"}
    assert not os.path.exists(program) and not list(booted.path.glob(".prime/made/*"))
    assert session.refused(DELETE, {"id": "mine"})["code"] == NO_ENVIRONMENT
    assert ids(session) == ["default"] and len(booted.generations) == 1
    assert create(session)["interpreter_path"] == program


def test_delete_of_one_that_is_in_use_is_refused(booted, serve):
    session = serve()
    slow = session.begin(EXECUTE, {"id": "default", "argv": ["python", "-c", WAIT, str(booted.home / "stop")]})
    serving.wait_until((booted.home / "stop").exists, "started")
    error = session.refused(DELETE, {"id": "default"})
    assert error["code"] == WORK_FAILED and "in use" in error["message"]
    (booted.home / "stop").unlink()
    assert session.wait_for(slow)["result"]["exit_code"] == 0
    assert session.ask(DELETE, {"id": "default"})


WAIT = "import os, sys, time; open(sys.argv[1], 'w'); f = os.path.exists\nwhile f(sys.argv[1]): time.sleep(0.05)"


# -- execute -----------------------------------------------------------------------------------------


def test_execute_gives_status_and_both_outputs(booted, serve):
    session = serve()
    assert run(session, "sh", "-c", "echo out; echo err >&2; exit 3") == {
        "exit_code": 3, "stdout": "out\n", "stderr": "err\n"}
    assert run(session, "sh", "-c", r"printf 'a\0\377\303\274\r\n'")["stdout"] == "a\0\ufffd\u00fc\r\n"
    assert run(session, "sh", "-c", "kill -9 $$")["exit_code"] == 128 + 9
    assert run(session, "cat") == {"exit_code": 0, "stdout": "", "stderr": ""}
    odd = ["a b", "it's", '"', "\n", "-c", "*", "\u00fc", "\udc80"]
    code = "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"
    assert run(session, "python", "-c", code, *odd)["stdout"] == "%s\n" % [
        word.encode("utf-8", "surrogateescape") for word in odd]
    assert run(session, "sh", "-c", "yes | head -n 1")["stdout"] == "y\n"


def test_execute_finds_programs_as_prime_run_does(booted, serve):
    session = serve()
    booted.write("tools/hello", "#!/bin/sh\npwd\n", executable=True)
    booted.write("tools/no_program", "text")
    assert run(session, "python", "-c", "import sys; print(sys.prefix)")["stdout"] == "%s\n" % booted.current
    assert run(session, "tools/hello")["stdout"] == "%s\n" % booted.path
    assert run(session, "./hello", cwd=str(booted.path / "tools"))["stdout"] == "%s\n" % (booted.path / "tools")
    assert run(session, "hello", cwd="/", env={"PATH": str(booted.path / "tools")})["stdout"] == "/\n"
    assert run(session, str(booted.path / "tools" / "hello"), cwd=None, env=None)["exit_code"] == 0
    for words, cwd in ((["no-such"], None), (["./hello"], None), (["tools/no_program"], None), (["tools"], None),
                       (["/"], None), (["true"], str(booted.path / "none")), (["true"], str(booted.path / "prime"))):
        error = session.refused(EXECUTE, {"id": "default", "argv": words, "cwd": cwd})
        assert error["code"] == WORK_FAILED and words[0] in error["message"], words
    assert run(session, "true")["exit_code"] == 0


def test_execute_gives_the_environment_that_prime_run_gives(booted, serve):
    booted.config('env_vars = { MINE = "configured", BOTH = "configured" }')
    given = {"LANG": None, "BOTH": "the caller's", "PROTOPRIMER_LOG_LEVEL": "error"}
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    expected = json.loads(booted.prime("run", "python", "-c", code, env=given).stdout)
    session = serve(env=given)
    assert json.loads(run(session, "python", "-c", code)["stdout"]) == expected
    told = json.loads(run(session, "python", "-c", code, env={"BOTH": "the client's", "\u00fc": "="})["stdout"])
    assert told == dict(expected, **{"BOTH": "the client's", "\u00fc": "="})


def test_execute_takes_10_MB_of_output(booted, serve):
    session = serve()
    code = "import sys; print('\u00fc' * 5 * 10 ** 6); print('x' * 10 ** 7, file=sys.stderr)"
    done = run(session, "python", "-X", "utf8", "-c", code)
    assert done["stdout"] == "\u00fc" * 5 * 10 ** 6 + "\n" and done["stderr"] == "x" * 10 ** 7 + "\n"
    assert session.end() == 0


def test_execute_is_over_when_its_program_is_and_leaves_none_behind(booted, serve):
    mark = serving.Mark("left behind")
    session = serve()
    started = time.monotonic()
    done = run(session, "sh", "-c", "sleep 1000 & setsid sleep 1000 & echo done", env=mark.env)
    assert done["stdout"] == "done\n" and time.monotonic() - started < 30
    assert mark.left(seconds=0) == {}


def test_slow_execute_keeps_nobody_waiting(booted, serve):
    session = serve()
    slow = session.begin(EXECUTE, {"id": "default", "argv": ["python", "-c", WAIT, str(booted.home / "stop")]})
    serving.wait_until((booted.home / "stop").exists, "started")
    session.send(request("$/cancelRequest", {"id": slow}))
    for _ in range(3):
        assert ids(session) == ["default"]
    assert run(session, "echo", "quick")["stdout"] == "quick\n"
    assert not session.kept
    (booted.home / "stop").unlink()
    assert session.wait_for(slow)["result"]["exit_code"] == 0
