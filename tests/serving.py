"""A client of `prime serve` in raw bytes, strict in what it takes: what is no frame on stdout is a failure."""

import json
import os
import queue
import re
import subprocess
import threading
import time

import pytest

HELLO = {"client_name": "tests", "client_protocol_version": "0.1.0"}
FENCE = {"id": "fence", "method": "is answered at once, in any state, for it is no request of JSON-RPC 2.0"}


def frame(message):
    """The frame of a message: bytes as they are, else a JSON value."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def request(method, params=None, **more):
    """A request, with an `id` in `more`; a notification without."""
    message = dict({"jsonrpc": "2.0", "method": method}, **more)
    return message if params is None else dict(message, params=params)


def brief(answer):
    """An answer as (id, code), where 0 stands for a result; the list of these of a batch. Its form is checked."""
    if isinstance(answer, list):
        return [brief(each) for each in answer]
    error = answer.get("error", {"code": 0, "message": ""})
    assert sorted(answer) == sorted(["id", "jsonrpc", "error" if error["code"] else "result"]), answer
    assert answer["jsonrpc"] == "2.0" and set(error) <= {"code", "message", "data"}, answer
    assert type(error["code"]) is int and bool(error["code"]) == bool(error["message"]), answer
    assert len(error["message"]) <= 500, answer
    return answer["id"], error["code"]


class Session:
    """A running server and its client. `argv` precedes `serve`, `options` are those of `Repo.popen`."""

    def __init__(self, repo, *argv, is_ready=True, **options):
        self.repo, self.last_id, self.noise, self.kept = repo, 0, b"", []
        self.log = repo.home / "serve.log"
        with self.log.open("wb") as stderr:
            self.process = repo.popen(*(argv + ("serve",)), stdin=subprocess.PIPE, stderr=stderr, **options)
        self.stdin, self.stdout = self.process.stdin.buffer, self.process.stdout.buffer
        self.answers = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        if is_ready:
            self.ask("initialize", HELLO)

    def listen(self):
        """Put each message on stdout into `answers`, at the end None; `noise` is what is no message."""
        data = bytearray()
        while True:
            chunk = self.stdout.read1(1 << 20)
            data += chunk
            while True:
                head = re.match(br"Content-Length: ([1-9][0-9]*)\r\n\r\n", data)
                if not head or len(data) < head.end() + int(head.group(1)):
                    break
                end = head.end() + int(head.group(1))
                self.answers.put(json.loads(data[head.end(): end].decode()))
                del data[:end]
            if not chunk:
                self.noise = bytes(data)
                return self.answers.put(None)

    def send(self, *messages):
        """Send frames at once: JSON values, or bytes for bodies."""
        self.send_bytes(b"".join(map(frame, messages)))

    def send_bytes(self, data):
        self.stdin.write(data)
        self.stdin.flush()

    def receive(self, timeout=60):
        """The next message, None at the end of stdout."""
        try:
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("no answer within %s s\n%s" % (timeout, self.stderr))
        if answer is None:
            self.answers.put(None)
        return answer

    def begin(self, method, params=None):
        """Send a request. Returns its id."""
        self.last_id += 1
        self.send(request(method, params, id=self.last_id))
        return self.last_id

    def wait_for(self, ident, timeout=60):
        """The answer to the request of an id; others are kept for theirs."""
        for answer in self.kept:
            if answer["id"] == ident:
                self.kept.remove(answer)
                return answer
        while True:
            answer = self.receive(timeout)
            assert answer, "the server ended\n%s" % self.stderr
            if answer["id"] == ident:
                return answer
            self.kept.append(answer)

    def ask(self, method, params=None):
        """The result of a request."""
        answer = self.wait_for(self.begin(method, params))
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method, params=None):
        """The error of a request."""
        answer = self.wait_for(self.begin(method, params))
        assert "error" in answer, answer
        return answer["error"]

    def said(self, data, count):
        """The answers to bytes, in brief: `count` of them, or all that are there before that to a fence behind."""
        self.send_bytes(data + frame(FENCE))
        answers = []
        while len(answers) < count + 1 or (FENCE["id"], -32600) not in answers:
            answers.append(brief(self.receive()))
        answers.remove((FENCE["id"], -32600))
        return answers

    @property
    def stderr(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, timeout=60):
        """Close stdin. Returns the exit status, when the server kept to its form until then."""
        if not self.stdin.closed:
            self.stdin.close()
        return self.wait(timeout)

    def wait(self, timeout=60):
        """The exit status, when the server kept to its form until the end. `kept` is what it still answered."""
        status = self.process.wait(timeout)
        self.kept += iter(self.receive, None)
        assert self.noise == b""
        assert "Traceback" not in self.stderr and "Fatal Python" not in self.stderr, self.stderr
        return status

    def close(self):
        """Let nothing behind, whatever the test came to."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Mark:
    """A variable by which a server's children are known, whoever started them and whatever became of their parents."""

    def __init__(self, text):
        if not os.path.isdir("/proc/self"):
            pytest.skip("no /proc")
        self.env = {"MARK_OF_TEST": "%s %d" % (text, os.getpid())}
        self.needle = b"\0MARK_OF_TEST=%s\0" % self.env["MARK_OF_TEST"].encode()

    def processes(self):
        """{process id: command line} of those that live."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as file:
                    is_ours = self.needle in b"\0" + file.read()
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    line = file.read().replace(b"\0", b" ")
            except OSError:
                continue
            if is_ours:
                found[int(pid)] = line.decode("utf-8", "replace")
        return found

    def left(self, seconds):
        """The processes that are left when they had some seconds to end."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.processes()


def wait_until(holds, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
