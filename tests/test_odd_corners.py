"""Corners of everyday commands: programs without the right to run, files that nobody made on purpose, odd answers."""

import errno
import json
import os
import shutil

import pytest
from conftest import TOP, uv_program

import proto_prime

# -- programs --------------------------------------------------------------------------------------


def plain_text(path):
    path.write_text("#!/bin/sh\necho ran\n")
    path.chmod(0o644)


@pytest.mark.parametrize("words", [["tool"], ["./tool"], ["--no-boot", "tool"]], ids=" ".join)
def test_M23_program_without_the_right_to_run_is_126(booted, words):
    plain_text(booted.bin / "tool")
    plain_text(booted.path / "tool")
    path = booted.path / "tool" if words[-1] == "./tool" else booted.bin / "tool"
    shown = "./tool" if words[-1] == "./tool" else str(path)
    expected = "prime: error: cannot run %s: it is not executable\n  hint: chmod +x %s\n" % (
        shown, proto_prime.shown([str(path) if shown != "./tool" else shown]))
    assert booted.prime("run", *words, status=126).stderr == expected
    path.chmod(0o755)
    assert booted.prime("run", *words).stdout == "ran\n"


def test_M23_first_program_that_may_run_is_taken(booted):
    plain_text(booted.current / "bin" / "tool")
    booted.program("tool", "#!/bin/sh\necho ran\n")
    assert booted.prime("run", "tool").stdout == "ran\n"


def test_M23_directories_and_programs_without_their_interpreter(booted):
    (booted.path / "tool").mkdir()
    assert "cannot run ./tool: it is a directory\n" in booted.prime("run", "./tool", status=126).stderr
    (booted.bin / "tool").mkdir()
    assert "no program tool in the environment" in booted.prime("run", "tool", status=127).stderr
    booted.program("other", "#!/no/such/shell\n")
    assert "the interpreter in its first line" in booted.prime("run", "other", status=126).stderr
    assert "cannot run ./none: No such file" in booted.prime("run", "./none", status=127).stderr


def test_M23_shell_without_the_right_to_run_is_126(booted):
    plain_text(booted.bin / "mysh")
    for shell in ("mysh", str(booted.bin / "mysh")):
        stderr = booted.prime("shell", status=126, env={"SHELL": shell}).stderr
        assert "cannot run %s: it is not executable\n  hint: " % (booted.bin / "mysh") in stderr
    assert "there is no shell nosh\n" in booted.prime("shell", status=127, env={"SHELL": "nosh"}).stderr


@pytest.mark.slow
def test_M23_tab_in_the_path_of_the_repo(make_repo, driver):
    repo = make_repo("a\ttab")
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    repo.project(["wheel"], more='[project.scripts]\nclient = "client:main"\n')
    repo.write("client.py", '"""A client."""\n\n\ndef main():\n    print("it works")\n')
    repo.config('post_boot = [["wheel", "version"]]')
    assert repo.prime("run", "wheel", "version").stdout.startswith("wheel ")
    assert repo.prime("run", "client").stdout == "it works\n"
    if driver == "venv_pip":
        assert repo.prime("run", "pip", "--version").stdout.startswith("pip ")
    repo.settle()
    assert "is current" in repo.prime().stderr


def test_M23_PROTOPRIMER_SPAWN_that_cannot_be_obeyed_is_told(booted):
    without = booted.home / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text("import _signal\ndel _signal.sigwaitinfo\n")
    env = {"PROTOPRIMER_SPAWN": "1", "PYTHONPATH": str(without)}
    said = "prime: PROTOPRIMER_SPAWN is not obeyed: this python has no signal.sigwaitinfo, as on macOS\n"
    for words in (["run"], ["run", "--no-boot"]):
        result = booted.prime(*words, "sh", "-c", "echo ran", env=env)
        assert (result.stdout, result.stderr) == ("ran\n", said)
    assert booted.prime("run", "true", env={"PROTOPRIMER_SPAWN": "1"}).stderr == ""
    assert booted.prime("run", "true", env={"PYTHONPATH": str(without)}).stderr == ""


# -- files and directories -------------------------------------------------------------------------

LITTER = [".DS_Store", "._.DS_Store", "Thumbs.db"]


def litter(*directories):
    """Put what file managers leave into directories, which are made if need be."""
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
        for name in LITTER:
            (directory / name).write_bytes(b"\0\0\0\1Bud1")


def test_M23_state_and_cache_with_a_file_of_a_file_manager_are_ours(plain):
    state, cache = plain.home / "state", plain.home / "cache"
    litter(plain.path / ".prime", state, cache)
    plain.prime()
    assert not (plain.path / ".prime" / ".prime").exists() and len(plain.generations) == 1
    plain.prime(env={"PROTOPRIMER_STATE_DIR": str(state), "PROTOPRIMER_CACHE_DIR": str(cache)})
    for place in (state, cache):
        assert (place / ".proto-prime").is_file()
        assert not [path for path in place.iterdir() if "prime" in path.name and path.is_dir()]


def test_M23_file_of_a_file_manager_is_no_generation(plain):
    plain.prime()
    state = plain.path / ".prime"
    litter(state, state / "envs", state / "log", state / "stamp", state / "made", state / "building", plain.current)
    before = plain.current
    assert "is current" in plain.prime().stderr
    assert plain.info()["current"] is True
    plain.prime("reset")
    plain.prime("rollback")
    plain.prime("clean")
    assert plain.current == before
    shutil.rmtree(str(before))
    litter(before)
    assert "it was emptied: %s has no " % before in plain.prime().stderr
    assert plain.inside("print(1)") == "1"


def test_M23_directories_with_a_file_of_a_file_manager_alone_may_be_taken(plain):
    plain.config('[env.docs]\nvenv_dir_rel_path = "docs-venv"\n')
    litter(plain.path / "docs-venv", plain.path / "vendor")
    plain.prime("use", "docs")
    assert (plain.path / "docs-venv" / "bin" / "python").exists()
    plain.prime("vendor")
    assert "proto-prime" in json.dumps([path.name for path in (plain.path / "vendor").iterdir()])


def test_M23_state_that_cannot_be_read_says_so(other_user):
    repo = other_user.place / "repo"
    envs = repo / ".prime" / "envs"
    generation = envs / "default-0123456789ab"
    generation.mkdir(parents=True)
    shutil.copy(str(TOP / "proto_prime.py"), str(repo))
    (repo / "proto_prime.toml").write_text("")
    (repo / ".prime" / ".proto-prime").write_text("")
    other_user.give(repo)
    prime = [other_user.python, repo / "proto_prime.py"]
    for closed in (repo / ".prime", envs):
        closed.chmod(0)
        for words in ([], ["info"], ["run", "true"], ["clean"], ["rollback"]):
            done = other_user(prime + words)
            assert done.returncode == 1, words
            assert done.stderr == "prime: error: cannot read %s: Permission denied\n" \
                "  hint: PROTOPRIMER_STATE_DIR names another place\n" % envs, words
        closed.chmod(0o755)
    (repo / ".venv").symlink_to(generation)
    generation.chmod(0)
    assert "it cannot be read: %s" % generation in other_user(prime + ["info"]).stdout


def test_M23_error_of_a_file_system_without_locks(monkeypatch):
    monkeypatch.setattr(errno, "EOPNOTSUPP", 102)  # as on macOS, where it is not ENOTSUP
    assert proto_prime.is_lockless(OSError(102, "Operation not supported on socket"))
    assert not proto_prime.is_lockless(OSError(errno.EACCES, os.strerror(errno.EACCES)))
