"""However `prime serve` ends, and whatever it does then: no child is left, no lock held, nothing half-made used."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import some_python
from serving import HELLO, Mark, Session, frame, request, wait_until

import proto_prime

LIST, GET = "environment/list", "environment/get"
CREATE, EXECUTE = "environment/create", "environment/execute"
HERE = "%d.%d" % sys.version_info[:2]

# Has children of every kind: one of its own, one in a session of its own, an orphan in another. None of them ends of
# SIGTERM. Takes its time while the file `slow` is there.
SLOW = """\
#!/bin/sh
cd {home}
test -e slow || exit 0
trap "" TERM
sleep 1000 &
setsid sleep 1000 &
(setsid sleep 1000 &)
touch at-work
wait
"""


def slow_program(repo):
    """A program of the repo that has not ended when the server does."""
    (repo.home / "slow").touch()
    return str(repo.program("slow", SLOW.format(home="'%s'" % repo.home)))


# -- What the server does ----------------------------------------------------------------------------
# Each lets the server begin something slow; the config was set before.


def execute(repo):
    return EXECUTE, {"id": "default", "argv": ["slow"]}


def build(repo):
    """The last step of a build."""
    repo.config('[env.more]\npost_boot = [["slow"]]')
    return CREATE, {"name": "more", "python_version": HERE}


def select(repo):
    """The selection of a python."""
    repo.write("pick", "#!/bin/sh\n. '%s/slow'\necho '%s'\n" % (repo.home / "bin", some_python()), executable=True)
    repo.config('[env.more]\npython_selector_file_rel_path = "pick"')
    return CREATE, {"name": "more", "python_version": HERE}


DOES = [execute, build, select]

# -- How it ends -------------------------------------------------------------------------------------


def by_signal(signum):
    return lambda session: session.process.send_signal(signum)


def by_group(session):
    os.killpg(session.process.pid, signal.SIGKILL)


def by_end_of_stdin(session):
    session.stdin.close()


def by_exit(session):
    session.send(request("exit"))


ENDS = {  # how, the exit status
    "SIGKILL": (by_signal(signal.SIGKILL), -signal.SIGKILL),
    "SIGKILL of its group": (by_group, -signal.SIGKILL),
    "SIGTERM": (by_signal(signal.SIGTERM), 0),
    "SIGINT": (by_signal(signal.SIGINT), 130),
    "end of stdin": (by_end_of_stdin, 0),
    "exit": (by_exit, 1),
}


class Case:
    """A server that has begun something slow in a repo of its own."""

    def __init__(self, repo, does, name):
        self.repo, self.name = repo, name
        self.mark = Mark("%s, %s" % (does.__name__, name))
        repo.config()
        repo.prime()
        repo.env["PATH"] = os.pathsep.join([str(repo.bin), repo.env["PATH"]])
        slow_program(repo)
        self.asked = does(repo)

    def start(self):
        self.session = Session(self.repo, env=self.mark.env, start_new_session=True)
        self.session.begin(*self.asked)

    def is_whole(self):
        """Assert that all is well behind the server's back."""
        repo = self.repo
        assert self.mark.left(seconds=15) == {}, self.name
        assert subprocess.call([str(repo.path / ".venv" / "bin" / "python"), "-c", ""]) == 0, self.name
        repo.prime("info")
        (repo.home / "slow").unlink()
        later = Session(repo, env=self.mark.env)
        method, params = self.asked
        later.ask(method, params)
        assert later.end() == 0, self.name
        assert "waiting for" not in later.stderr
        assert self.mark.left(seconds=0) == {}, self.name


@pytest.mark.slow  # 5 s of patience for what is at work, and 5 s between SIGTERM and SIGKILL
@pytest.mark.parametrize("does", DOES, ids=[does.__name__ for does in DOES])
def test_no_child_outlives_the_server_and_all_is_whole(make_repo, does):
    cases = [Case(make_repo(name), does, name) for name in ENDS]
    try:
        for case in cases:
            case.start()
        for case in cases:
            wait_until((case.repo.home / "at-work").exists, case.name)
            ENDS[case.name][0](case.session)
        for case in cases:
            assert case.session.process.wait(30) == ENDS[case.name][1], case.name
        for case in cases:
            case.is_whole()
    finally:
        for case in cases:
            case.session.close()
            for pid in case.mark.processes():
                os.kill(pid, signal.SIGKILL)


def test_server_that_was_killed_while_it_made_an_environment_is_no_matter_to_the_next(booted, serve):
    mark = Mark("made")
    session = serve(env=mark.env)
    session.begin(CREATE, {"name": "mine", "python_version": HERE})
    wait_until(lambda: list(booted.path.glob(".prime/made/*/proto_prime.toml")), "begun")
    session.process.kill()
    assert mark.left(seconds=15) == {}
    later = serve()
    rows = [row["id"] for row in later.ask(LIST)]
    if "mine" not in rows:  # else it was quicker
        assert rows == ["default"]
        assert later.refused(GET, {"id": "mine"})["code"] == -31001
        later.ask(CREATE, {"name": "mine", "python_version": HERE})
    assert later.ask(EXECUTE, {"id": "mine", "argv": ["python", "-c", "pass"]})["exit_code"] == 0
    assert len(list(booted.path.glob(".prime/made/*"))) == 1


def test_requests_that_the_system_has_no_threads_for_are_answered(booted, serve):
    resource = pytest.importorskip("resource")
    mark = Mark("threads")
    session = serve(env=mark.env)
    with open("/proc/%d/statm" % session.process.pid) as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.prlimit(session.process.pid, resource.RLIMIT_AS, (size + (1 << 27),) * 2)
    count = 40
    session.send(*[request(EXECUTE, {"id": "default", "argv": ["sleep", "2"]}, id=number) for number in range(count)])
    answers = [session.receive() or {"id": None} for _ in range(count)]
    assert sorted(answer["id"] for answer in answers) == list(range(count)), session.stderr
    assert any("error" in answer for answer in answers) and session.ask(LIST)
    assert mark.left(seconds=10).keys() <= {session.process.pid}
    assert session.end() == 0


# -- What its children and its client see of the end -------------------------------------------------


def test_child_may_end_by_itself_and_is_answered(booted, serve):
    session = serve()
    code = "trap 'echo ended; exit 3' TERM; touch at-work; while :; do sleep 0.1; done"
    slow = session.begin(EXECUTE, {"id": "default", "argv": ["sh", "-c", code]})
    wait_until((booted.path / "at-work").exists, "started")
    session.send(request("shutdown", id="over"), request("exit"))
    assert session.wait() == 0
    over, done = sorted(session.kept, key=lambda answer: str(answer["id"]), reverse=True)
    assert over["id"] == "over" and done["id"] == slow
    assert (done["result"]["exit_code"], done["result"]["stdout"]) == (3, "ended\n")


def test_end_of_stdin_leaves_time_to_what_is_at_work(booted, serve):
    session = serve()
    slow = session.begin(EXECUTE, {"id": "default", "argv": ["sh", "-c", "sleep 1; echo done"]})
    assert session.end() == 0
    assert session.wait_for(slow)["result"]["stdout"] == "done\n"


class Deaf:
    """A client that reads nothing of ten megabytes."""

    def __init__(self, repo):
        self.process = repo.popen("serve", stdin=subprocess.PIPE)
        mark = repo.home / ("at-work of %d" % self.process.pid)
        command = "touch '%s'; yes | head -c 10000000; sleep 0.2" % mark
        self.send(request("initialize", HELLO, id=1),
                  request(EXECUTE, {"id": "default", "argv": ["sh", "-c", command]}, id=2))
        wait_until(mark.exists, "started")

    def send(self, *messages):
        self.process.stdin.buffer.write(b"".join(map(frame, messages)))
        self.process.stdin.buffer.flush()

    def wait(self):
        """The exit status, and stderr."""
        return self.process.wait(60), self.process.stderr.read()


def test_client_that_is_gone_is_no_error(booted):
    client = Deaf(booted)
    client.process.stdout.close()
    client.process.stdin.close()
    assert client.wait() == (0, "")


def test_signal_in_the_middle_of_an_answer_leaves_it_whole(booted):
    process = booted.popen("serve", stdin=subprocess.PIPE)
    sleep = {"id": "default", "argv": ["sleep", "1.5"]}
    process.stdin.buffer.write(b"".join(map(frame, [
        request("initialize", HELLO, id=1), request(EXECUTE, sleep, id="done"), request("x", id="x" * 1000000)])))
    process.stdin.buffer.flush()
    time.sleep(1)  # until the answer to the last stands before a full pipe
    process.terminate()
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    answers = [json.loads(body.decode()) for body in proto_prime.read_messages([stdout.encode()])]
    assert [len(str(answer["id"])) for answer in answers] == [1, 1000000, 4]


@pytest.mark.slow  # 5 s of patience for the answer that nobody reads
def test_client_that_does_not_read_does_not_keep_it(booted):
    clients = [Deaf(booted), Deaf(booted)]
    clients[0].process.stdin.close()
    clients[1].send(*[request("x", id=number) for number in range(200)])
    clients[1].process.terminate()
    assert [client.wait() for client in clients] == [(0, "")] * 2
