"""Corners of everyday commands: programs without the right to run, files that nobody made on purpose, odd answers."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from conftest import TOP, python, some_python, uv_program
from helpers import preloaded

import proto_prime

HERE, FULL = "%d.%d" % sys.version_info[:2], "%d.%d.%d" % sys.version_info[:3]  # the python that starts prime here

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


@pytest.mark.parametrize("text, what", [
    ("", "is empty"), ("\n../venv\n", "is empty"), (" \t\n", "is empty"),
    ("a\0b\n", "holds a NUL"), ("\ufeff", "is empty")])
def test_M24_redirect_file_that_leads_nowhere_says_so(booted, text, what):
    place = booted.home / "project"
    place.mkdir()
    (place / ".venv").write_text(text, encoding="utf-8")
    expected = "%s leads nowhere: its first line %s" % (place / ".venv", what)
    for version in ("3.6", "3.11"):
        stderr = booted.prime("python", str(place / ".venv"), python=python(version), status=None).stderr
        assert expected in stderr and "Traceback" not in stderr
    with pytest.raises(proto_prime.PrimeError) as caught:
        proto_prime.switch_env(str(place / ".venv"))
    assert expected in str(caught.value) and caught.value.hint


# stat() and lstat() of a file system below $COARSE: it never changes ctime, and counts seconds in twos, as FAT does.
COARSE = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int coarse(const char *path, struct stat *st, int result)
{
    const char *place = getenv("COARSE");
    if (!result && place && path && !strncmp(path, place, strlen(place))) {
        st->st_ctim.tv_sec = 1000000000;
        st->st_ctim.tv_nsec = 10000000;
        st->st_mtim.tv_sec -= st->st_mtim.tv_sec % 2;
        st->st_mtim.tv_nsec = 0;
    }
    return result;
}

int stat(const char *path, struct stat *st) { return coarse(path, st, fstatat(AT_FDCWD, path, st, 0)); }
int stat64(const char *path, struct stat64 *st) { return stat(path, (struct stat *)st); }
int __xstat(int version, const char *path, struct stat *st) { return stat(path, st); }
int __xstat64(int version, const char *path, struct stat64 *st) { return stat64(path, st); }
int lstat(const char *path, struct stat *st)
{
    return coarse(path, st, fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW));
}
int lstat64(const char *path, struct stat64 *st) { return lstat(path, (struct stat *)st); }
int __lxstat(int version, const char *path, struct stat *st) { return lstat(path, st); }
int __lxstat64(int version, const char *path, struct stat64 *st) { return lstat64(path, st); }
"""


def test_M24_edit_of_equal_size_is_seen_by_coarse_times(repo, tmp_path):
    config = repo.config('env_vars = {ANSWER = "0"}')
    repo.env.update(LD_PRELOAD=preloaded(tmp_path, COARSE), COARSE=str(repo.path))
    repo.prime()
    assert repo.inside("import os; print(os.stat(%r).st_ctime)" % str(config)) == "1000000000.01"
    for number in "1234":
        config.write_text('env_vars = {ANSWER = "%s"}' % number)
        assert repo.prime("run", "sh", "-c", "echo $ANSWER").stdout == number + "\n"
    time.sleep(2.1)
    repo.prime()
    assert (repo.path / ".prime" / "stamp" / "default").exists(), "the stamp is not kept for ever without need"


# -- children and wheels ---------------------------------------------------------------------------

LEAVES_PIPES = """
import gc, sys
sys.path.insert(0, %r)
import proto_prime
for guarded in (False, True):
    for argv, timeout in ((["echo", "x"], None), (["sleep", "60"], 0.3), (["no-such-program"], None),
                          (["sh", "-c", "sleep 1 & exec echo x"], None)):
        child = proto_prime.run_child(argv, timeout=timeout, is_guarded=guarded)
        gc.collect()
proto_prime.run_child(["sh", "-c", "echo x; sleep 60"], until=b"x")
proto_prime._stops.append(15)
try:
    proto_prime.run_child(["sleep", "60"])
except proto_prime.Interrupted:
    print("interrupted")
gc.collect()
"""


@pytest.mark.parametrize("version", ["3.7", "3.11", "3.13"])
def test_M24_pipes_of_children_are_closed(repo, version):
    options = [str(python(version)), "-X", "dev", "-W", "error::ResourceWarning"]
    done = subprocess.run(options + ["-c", LEAVES_PIPES % str(TOP)], env=repo.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_M24_builds_and_servers_close_what_they_open(repo, serve, driver):
    repo.env.update(PYTHONDEVMODE="1", PYTHONWARNINGS="error::ResourceWarning")
    repo.config('dependencies = ["six"]')
    for words in ([], ["lock"], ["vendor"], ["info"], ["python", "--all"], ["run", "--no-boot", "true"]):
        stderr = repo.prime(*words, python=some_python(), status=None).stderr
        assert "ResourceWarning" not in stderr, words
    session = serve()
    session.ask("environment/create", {"name": "mine", "python_version": "%d.%d" % sys.version_info[:2]})
    session.ask("environment/execute", {"id": "mine", "argv": ["true"]})
    session.end()
    assert "ResourceWarning" not in session.stderr


MACS = {  # platform tags to the machines that pip and uv take them for
    "macosx_10_9_x86_64": "x86_64", "macosx_10_6_intel": "x86_64", "macosx_10_6_fat64": "x86_64",
    "macosx_10_4_fat32": "x86_64", "macosx_10_6_universal": "x86_64", "macosx_10_9_universal2": "x86_64 arm64",
    "macosx_11_0_arm64": "arm64", "macosx_10_4_fat": "", "macosx_10_6_fat3": "x86_64", "macosx_10_6_i386": "",
    "macosx_10_4_ppc": "", "macosx_10_6_universal3": "", "linux_x86_64": "",
    "macosx_10_6_intel.macosx_11_0_arm64": "x86_64 arm64",
}


@pytest.mark.parametrize("tag", sorted(MACS))
def test_M24_wheels_of_macos_fit_as_pip_and_uv_say(tag):
    name = "native-1.0-cp312-cp312-%s.whl" % tag
    fitting = [machine for machine in ("x86_64", "arm64") if proto_prime.fits(name, ["macos-" + machine], "3.12")]
    assert fitting == MACS[tag].split()
    if "." not in tag:
        accepted = {each for machine in ("x86_64", "arm64") for each in packaging_tags(machine)}
        assert fitting or tag not in accepted


def packaging_tags(machine):
    """The tags that packaging, which pip holds, gives a macOS of that machine."""
    tags = pytest.importorskip("packaging.tags")
    return set(tags.mac_platforms((14, 0), machine))


# -- serve -----------------------------------------------------------------------------------------

REQUIRED = {  # what is configured, and what the list says before it is built
    ">=3.8": FULL, "": FULL, "cpython@%s" % HERE: FULL, HERE: HERE, sys.executable: FULL, "!=3.7": FULL,
    ">=3.99": "3.99", "==4.*": "4.0", "~=3.99.1": "3.99.1", "<3.6": FULL, "/no/such/python": FULL,
}


@pytest.mark.parametrize("required", sorted(REQUIRED))
def test_M24_list_gives_a_version_whatever_is_required_and_runs_nothing(repo, serve, required):
    repo.config("required_python_version = %s\npython_selector_file_rel_path = 'choose'" % json.dumps(required)
                if required else "python_selector_file_rel_path = 'choose'")
    repo.write("choose", "#!/bin/sh\ntouch ran\n", executable=True)
    assert [row["python_version"] for row in serve().ask("environment/list")] == [REQUIRED[required]]
    assert not (repo.path / "ran").exists()


@pytest.mark.parametrize("params", [{"now": True}, [1], 5, "text", None, False])
@pytest.mark.parametrize("ident", [{}, {"id": 7}], ids=["notification", "request"])
def test_M24_exit_ends_whatever_its_params(serve, params, ident):
    session = serve()
    session.send(dict({"jsonrpc": "2.0", "method": "exit", "params": params}, **ident))
    assert session.wait() == 1
    assert [each["result"] for each in session.kept] == [None] * len(ident)


def test_M24_exit_in_a_batch_after_shutdown_ends_with_0(serve):
    session = serve()
    session.ask("shutdown")
    session.send([{"jsonrpc": "2.0", "method": "exit", "params": {"code": 3}}])
    assert session.wait() == 0


def test_M24_name_that_is_taken_is_in_the_data(serve):
    session = serve()
    params = {"name": "mine", "python_version": HERE}
    session.ask("environment/create", params)
    error = session.refused("environment/create", params)
    assert (error["code"], error["data"]) == (-31002, {"name": "mine"})


def test_M23_command_of_a_client_without_the_right_to_run(repo, serve):
    session = serve()
    session.ask("environment/get", {"id": "default"})
    plain_text(repo.bin / "tool")
    plain_text(repo.path / "tool")
    for argv, path in ((["tool"], repo.bin / "tool"), (["./tool"], repo.path / "tool")):
        error = session.refused("environment/execute", {"id": "default", "argv": argv})
        assert error["code"] == -31004 and error["message"] == "cannot run %s: it is not executable" % path
