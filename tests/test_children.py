"""Every child: what it gets of the user's environment, what becomes of it, and files written whole."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest
from conftest import TOP, python, some_python

import proto_prime

TELL = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.parametrize("name, value", [
    ("PYTHONPATH", "/no/such/directory"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONWARNINGS", "error"),
    ("PIP_USER", "1"),
    ("LD_LIBRARY_PATH", "/no/such"),
    ("PYTHONSTARTUP", "/no/such"),
])
def test_E2_user_commands_keep_the_user_s_variables(plain, name, value):
    plain.env[name] = value
    told = json.loads(plain.prime("run", "python", "-c", TELL).stdout)
    assert told[name] == value


@pytest.mark.parametrize("name, value", [
    ("__PYVENV_LAUNCHER__", "/no/such/python"),
    ("PROTOPRIMER_PY_EXEC", "wild:/elsewhere"),
    ("PROTOPRIMER_PY_EXEC", "venv:/elsewhere"),
    ("PROTOPRIMER_PY_EXEC", "garbage"),
    ("VIRTUAL_ENV_PROMPT", "(other) "),
])
def test_E2_E5_what_binds_a_python_to_another_environment_never_reaches_user_code(plain, name, value):
    plain.env[name] = value
    for _ in range(2):
        told = json.loads(plain.prime("run", "python", "-c", TELL).stdout)
        assert name not in told
        plain.settle()


def test_E5_PY_EXEC_never_reaches_user_code_after_a_hop(plain):
    plain.config('required_python_version = "3.12"\npost_boot = [["python", "tell.py"]]')
    plain.write("tell.py", "import json, os; json.dump(dict(os.environ), open('told.json', 'w'))")
    plain.link("python3.12", python("3.12"))
    told = json.loads(plain.prime("run", "python", "-c", TELL, python=python("3.8")).stdout)
    assert "PROTOPRIMER_PY_EXEC" not in told
    assert "PROTOPRIMER_PY_EXEC" not in json.loads((plain.path / "told.json").read_text())


def test_E3_tools_run_without_what_would_send_an_install_elsewhere(repo, driver, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    repo.config('dependencies = ["six"]')
    pip_conf(repo, "[global]\nuser = true\n[install]\nuser = true\n")
    repo.env.update(PIP_USER="1", PIP_TARGET=elsewhere, PIP_PREFIX=elsewhere, PIP_DRY_RUN="1",
                    PIP_ROOT=elsewhere, PIP_REQUIRE_VIRTUALENV="1", UV_PYTHON="2.7",
                    UV_PROJECT_ENVIRONMENT=elsewhere, UV_SYSTEM_PYTHON="1",
                    VIRTUAL_ENV=elsewhere, CONDA_PREFIX=elsewhere)
    repo.prime()
    assert not os.path.exists(elsewhere)
    assert (repo.current / "bin" / "python").exists()
    assert next(repo.current.glob("lib/*/site-packages/six.py"))


def pip_conf(repo, text):
    (repo.home / ".config" / "pip").mkdir(parents=True)
    (repo.home / ".config" / "pip" / "pip.conf").write_text(text)


def test_children_have_no_stdin_and_a_process_group_of_their_own(plain):
    code = "import os, sys; open('told', 'w').write(repr((sys.stdin.read(), os.getpgrp() == os.getpid())))"
    plain.config("post_boot = [%s]" % json.dumps(["python", "-c", code]))
    process = plain.popen(stdin=subprocess.PIPE)
    process.communicate("data that is not theirs", timeout=60)
    assert (plain.path / "told").read_text() == "('', True)"


@pytest.mark.slow
def test_E4_modules_of_the_repo_are_not_taken_for_those_of_python(repo, driver):
    for name in ("types", "logging", "pip", "json", "re", "argparse", "subprocess", "venv", "signal",
                 "zipfile"):
        repo.write(name + ".py", "raise Exception('this is the %s of the repo')" % name)
    repo.config('dependencies = ["six"]')
    for cwd in (repo.path, repo.home):
        assert "of the repo" not in repo.prime("reset", cwd=str(cwd)).stderr


def test_run_restores_the_signals_that_python_ignores(plain):
    for _ in range(2):
        done = plain.prime("run", "sh", "-c", "yes | head -n 1; grep SigIgn /proc/self/status")
        assert done.stdout.startswith("y\n")
        if "SigIgn" in done.stdout:
            ignored = int(done.stdout.split()[-1], 16)
            assert not ignored & (1 << 12 | 1 << 24), "SIGPIPE and SIGXFSZ"
        plain.settle()


# -- run_child -------------------------------------------------------------------------------------


def test_run_child_returns_status_and_both_outputs():
    child = proto_prime.run_child(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (child.status, child.stdout, child.stderr, child.problem) == (3, b"out\n", b"err\n", "")
    assert str(child) == "failed: exit status 3: err"


def test_run_child_of_what_cannot_be_started():
    child = proto_prime.run_child(["/no/such/program"])
    assert child.status == 127 and child.problem
    assert proto_prime.run_child(["/"]).status == 126


def test_run_child_names_the_signal():
    assert str(proto_prime.run_child(["sh", "-c", "kill -9 $$"])) == "failed: signal 9 (SIGKILL)"


@pytest.mark.slow
def test_run_child_ends_at_the_time_limit_with_all_its_children(tmp_path):
    mark = tmp_path / "mark"
    script = 'trap "" TERM; (sleep 4; touch "$0") & sleep 100'
    child = proto_prime.run_child(["sh", "-c", script, str(mark)], timeout=1)
    assert child.problem == "gave no answer within 1 s"
    time.sleep(4)
    assert not mark.exists()


def test_run_child_does_not_wait_for_a_grandchild_that_holds_the_pipes():
    started = time.time()
    child = proto_prime.run_child(["sh", "-c", "echo done; sleep 60 &"])
    assert child.stdout == b"done\n"
    assert time.time() - started < 30


def test_run_child_takes_more_output_than_it_keeps():
    child = proto_prime.run_child([sys.executable, "-c", "print('x' * 10 ** 6 + 'end')"])
    assert child.status == 0
    assert child.stdout.endswith(b"xend\n")
    assert len(child.stdout) <= proto_prime.OUTPUT_CAP


# -- files -----------------------------------------------------------------------------------------


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "deep" / "er" / "file"
    proto_prime.write_atomic(str(path), b"old")
    with pytest.raises(TypeError):
        proto_prime.write_atomic(str(path), "no bytes")
    assert path.read_bytes() == b"old"
    assert os.listdir(str(path.parent)) == ["file"]


def test_signature_tells_a_file_that_was_replaced_by_one_of_equal_size_and_time(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("1")
    before = proto_prime.signature(str(path))
    other.write_text("2")
    st = os.stat(str(path))
    os.utime(str(other), ns=(st.st_atime_ns, st.st_mtime_ns))
    os.replace(str(other), str(path))
    assert proto_prime.signature(str(path)) != before
    assert proto_prime.signature(str(tmp_path / "none")) == "-"


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import proto_prime
with proto_prime.locked(sys.argv[2], "testing"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def hold(lock, seconds):
    """A process that holds a lock. Returns its Popen."""
    command = [str(some_python()), "-c", HOLD, str(TOP), str(lock), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_lock_is_dropped_when_its_holder_is_killed(tmp_path):
    holder = hold(tmp_path / "lock", 100)
    holder.kill()
    holder.wait()
    with proto_prime.locked(str(tmp_path / "lock"), "testing"):
        pass


def test_lock_says_for_whom_it_waits(tmp_path, capsys):
    holder = hold(tmp_path / "lock", 1)
    with proto_prime.locked(str(tmp_path / "lock"), "waiting"):
        assert capsys.readouterr().err == "prime: waiting for process %d on %s: testing\n" % (
            holder.pid, platform.node())
    holder.wait()


WHO_BLOCKS_SIGCHLD = """
import glob, re, threading, time
import proto_prime
worker = threading.Thread(target=proto_prime.run_child, args=(["sleep", "0.5"],))
worker.start()
time.sleep(0.2)
texts = [open(path).read() for path in glob.glob("/proc/self/task/*/status")]
masks = [int(re.search(r"SigBlk:\\s*(\\w+)", text).group(1), 16) for text in texts]
print(len(masks), sum(mask >> 16 & 1 for mask in masks))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc tells of threads here")
def test_threads_that_read_pipes_take_no_signal_from_the_main_thread(tmp_path):
    """One that did lost the end of a spawned command: the SIGCHLD that `run_as_child` waits for."""
    told = subprocess.check_output([str(some_python()), "-c", WHO_BLOCKS_SIGCHLD], cwd=str(TOP))
    assert told.split() == [b"4", b"2"]
