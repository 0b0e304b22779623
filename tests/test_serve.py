"""`prime serve` speaks JSON-RPC 2.0 in frames: life cycle, codes, ids, batches; what is broken does not break it."""

import json
import os
import signal
import socket
import subprocess

import pytest
from conftest import python, some_python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import HELLO, Session, brief, frame, request

import proto_prime

LIST, GET = "environment/list", "environment/get"
CREATE, DELETE, EXECUTE = "environment/create", "environment/delete", "environment/execute"
METHODS = sorted(["initialize", "shutdown", "exit", LIST, GET, CREATE, DELETE, EXECUTE])
PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, NOT_INITIALIZED = -32700, -32600, -32601, -32602, -32002


# -- Life cycle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wild", ["3.6", "3.9", "3.13"])
def test_whole_session_under_any_wild_python(plain, serve, wild):
    plain.link("python3.9", python("3.9"))
    session = serve(python=python(wild), is_ready=False)
    assert session.ask("initialize", HELLO) == {"methods": METHODS, "protocol_version": "0.1.0"}
    assert [row["id"] for row in session.ask(LIST)] == ["default"]
    made = session.ask(CREATE, {"name": "mine", "python_version": "3.9"})
    assert made == session.ask(GET, {"id": "mine"})
    done = session.ask(EXECUTE, {"id": "mine", "argv": ["python", "-c", "import sys; print(sys.prefix, '\u00fc')"]})
    assert done["stdout"] == os.path.dirname(os.path.dirname(made["interpreter_path"])) + " \u00fc\n", done
    assert session.ask(DELETE, {"id": "mine"}) == {"id": "mine"}
    assert session.ask("shutdown") is None
    session.send(request("exit"))
    assert session.wait() == 0


def test_before_initialize_all_else_is_refused(serve):
    session = serve(is_ready=False)
    for method in METHODS + ["no/such"]:
        if method not in ("initialize", "exit"):
            assert session.refused(method, {"id": 1})["code"] == NOT_INITIALIZED, method
    assert session.refused("initialize", {})["code"] == INVALID_PARAMS
    assert session.refused(LIST)["code"] == NOT_INITIALIZED, "the initialize before has failed"
    session.ask("initialize", HELLO)
    assert session.refused("initialize", HELLO)["code"] == INVALID_REQUEST
    assert session.refused("initialize")["code"] == INVALID_REQUEST
    assert session.ask(LIST)


def test_after_shutdown_all_but_exit_is_refused(serve):
    session = serve()
    session.ask("shutdown")
    for method in METHODS + ["no/such"]:
        if method != "exit":
            assert session.refused(method)["code"] == INVALID_REQUEST, method
    session.send(request("exit"))
    assert session.wait() == 0


def test_initialize_and_shutdown_count_as_notifications_too(serve):
    session = serve(is_ready=False)
    session.send(request("initialize", HELLO))
    assert session.ask(LIST)
    session.send(request("shutdown"))
    assert session.refused(LIST)["code"] == INVALID_REQUEST


@pytest.mark.parametrize("before, status", [([], 1), ([request("initialize", HELLO, id=1)], 1), (
    [request("initialize", HELLO, id=1), request("shutdown", id=2)], 0)], ids=["at once", "initialized", "shut down"])
def test_exit_ends_it_with_a_status_that_says_whether_shutdown_came(serve, before, status):
    session = serve(is_ready=False)
    session.send(*(before + [request("exit"), request(LIST, id="too late")]))
    assert session.wait() == status
    assert [answer["id"] for answer in session.kept] == [message["id"] for message in before]


def test_end_of_stdin_ends_it(plain):
    session = json.dumps([request("initialize", HELLO, id=1), request(LIST, id=2)]).encode()
    for data, count in ((b"", 0), (frame(session), 2), (frame(session) + b"Content-Length: 9\r\n\r\n{", 2)):
        process = plain.popen("serve", stdin=subprocess.PIPE)
        stdout, stderr = process.communicate(data.decode(), timeout=60)
        assert (process.returncode, stderr, stdout.count('"result"')) == (0, "", count)


@pytest.mark.parametrize("signum, status", [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signal_ends_it(serve, signum, status):
    session = serve()
    session.process.send_signal(signum)
    assert session.wait() == status


def test_it_says_nothing_on_stderr_unless_it_is_asked_to(booted, serve):
    for options, words in (([], ""), (["-v"], "prime: client 'tests', protocol '0.1.0'\n")):
        session = serve(*options)
        session.ask(GET, {"id": "default"})
        session.ask("shutdown")
        assert session.end() == 0
        assert words in session.stderr
        assert bool(words) == bool(session.stderr)


@pytest.mark.parametrize("shut", ["<&-", ">&-"])
def test_E7_without_stdin_or_stdout_it_says_so(plain, shut):
    command = ["sh", "-c", 'exec "$0" prime serve ' + shut, str(some_python())]
    done = subprocess.run(command, cwd=str(plain.path), env=plain.env, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"prime: error: serve: stdin and stdout must be open\n")


# -- Conformance, in bytes ---------------------------------------------------------------------------


READY = [  # what is sent, less the version; the answers as (id, code), where 0 is a result; those of a batch a list
    # ids come back as they came
    ('{$, "id": 7, "method": "environment/list"}', [(7, 0)]),
    ('{$, "id": "", "method": "environment/list"}', [("", 0)]),
    ('{$, "id": "\u00fc \\u0000 \\ud83d\\ude00", "method": "environment/list"}', [("\u00fc \0 \U0001f600", 0)]),
    ('{$, "id": "\\udc80", "method": "environment/list"}', [("\udc80", 0)]),
    ('{$, "id": null, "method": "environment/list"}', [(None, 0)]),
    ('{$, "id": -1, "method": "environment/list"}', [(-1, 0)]),
    ('{$, "id": 340282366920938463463374607431768211456, "method": "environment/list"}', [(1 << 128, 0)]),
    # ids that are none
    ('{$, "id": 1.5, "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    ('{$, "id": 1.0, "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    ('{$, "id": 1e999, "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    ('{$, "id": true, "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    ('{$, "id": {}, "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    ('{$, "id": [1], "method": "environment/list"}', [(None, INVALID_REQUEST)]),
    # forms of params
    ('{$, "id": 1, "method": "environment/list", "params": null}', [(1, 0)]),
    ('{$, "id": 1, "method": "environment/list", "params": {}}', [(1, 0)]),
    ('{$, "id": 1, "method": "environment/list", "params": []}', [(1, 0)]),
    ('{$, "id": 1, "method": "environment/list", "params": [1]}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "environment/list", "params": {"id": "default"}}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "environment/get", "params": ["default"]}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "environment/get", "params": []}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "environment/get", "params": null}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "environment/get"}', [(1, INVALID_PARAMS)]),
    ('{$, "id": 1, "method": "shutdown", "params": {"now": true}}', [(1, INVALID_PARAMS)]),
    # the priority of the codes: each is wrong in all that follows as well
    ('{$, "id": 1, "method": "environment/get", "params": {}', [(None, PARSE_ERROR)]),
    ('{"jsonrpc": "1.0", "id": 1, "method": "no/such", "params": {}}', [(1, INVALID_REQUEST)]),
    ('{"jsonrpc": 2.0, "id": 1, "method": "environment/get", "params": {}}', [(1, INVALID_REQUEST)]),
    ('{"id": 1, "method": "no/such", "params": {}}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1, "method": "no/such", "params": "text"}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1, "method": "environment/get", "params": 1}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1, "method": 1}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1, "method": "initialize"}', [(1, INVALID_REQUEST)]),
    ('{$, "id": 1, "method": "no/such", "params": {"id": 1}}', [(1, UNKNOWN_METHOD)]),
    ('{$, "id": 1, "method": "list"}', [(1, UNKNOWN_METHOD)]),
    ('{$, "id": 1, "method": "__init__"}', [(1, UNKNOWN_METHOD)]),
    ('{$, "id": 1, "method": ""}', [(1, UNKNOWN_METHOD)]),
    # no message at all
    ("", [(None, PARSE_ERROR)]),
    ("nonsense", [(None, PARSE_ERROR)]),
    ('{$, "id": 1, "method": "environment/list"} {}', [(None, PARSE_ERROR)]),
    ('{$, "id": NaN, "method": "environment/list"}', [(None, PARSE_ERROR)]),
    ('{$, "id": 1, "method": "environment/list", "params": {"a": -Infinity}}', [(None, PARSE_ERROR)]),
    ("[" * 100000, [(None, PARSE_ERROR)]),
    ('{"a":' * 100000, [(None, PARSE_ERROR)]),
    ("\ufeff{}", [(None, PARSE_ERROR)]),
    ("null", [(None, INVALID_REQUEST)]),
    ("1", [(None, INVALID_REQUEST)]),
    ('"environment/list"', [(None, INVALID_REQUEST)]),
    ("{}", [(None, INVALID_REQUEST)]),
    # notifications are never answered
    ('{$, "method": "environment/list"}', []),
    ('{$, "method": "no/such", "params": [1, {"a": null}]}', []),
    ('{$, "method": "$/cancelRequest", "params": {"id": 1}}', []),
    ('{$, "method": "environment/get", "params": {"id": 1}}', []),
    ('{$, "method": "environment/get", "params": {"id": "none"}}', []),
    ('{$, "method": "environment/get", "params": "text"}', []),
    ('{$, "method": "initialize"}', []),
    # batches are answered by one array, in order
    ('[{$, "id": 1, "method": "environment/list"}]', [[(1, 0)]]),
    ('[{$, "id": 3, "method": "environment/list"}, {$, "id": 2, "method": "no/such"}, {$, "method": "no/such"},'
     ' {$, "id": "1", "method": "environment/get", "params": {"id": "none"}}]',
     [[(3, 0), (2, UNKNOWN_METHOD), ("1", -31001)]]),
    ('[{$, "id": 1, "method": "environment/list"}, {$, "id": 1, "method": "x"}]', [[(1, 0), (1, UNKNOWN_METHOD)]]),
    ("[]", [(None, INVALID_REQUEST)]),
    ("[1, null, {}, [], \"a\"]", [[(None, INVALID_REQUEST)] * 5]),
    ('[[{$, "id": 1, "method": "environment/list"}]]', [[(None, INVALID_REQUEST)]]),
    ('[{$, "id": 1.5, "method": "no/such"}, {$, "id": 2, "method": "environment/list"}]',
     [[(None, INVALID_REQUEST), (2, 0)]]),
    ('[{$, "method": "environment/list"}, {$, "method": "no/such"}]', []),
    ('[{$, "id": 1, "method": "environment/list"}', [(None, PARSE_ERROR)]),
]


def test_conformance(serve):
    session = serve()
    for text, answers in READY:
        data = frame(text.replace("{$", '{"jsonrpc": "2.0"').encode())
        assert session.said(data, len(answers)) == answers, text[:100]
    for data in (b"\xff", b'{"jsonrpc": "2.0", "id": "\xe4", "method": "environment/list"}', b"\0", b"{\0}\0"):
        assert session.said(frame(data), 1) == [(None, PARSE_ERROR)], data
    assert session.end() == 0


def test_life_of_a_session_in_one_batch(serve):
    session = serve(is_ready=False)
    session.send([request(LIST, id=1), request("initialize", HELLO, id=2), request(LIST, id=3),
                  request("shutdown", id=4), request(LIST, id=5), request("exit")])
    assert brief(session.receive()) == [(1, NOT_INITIALIZED), (2, 0), (3, 0), (4, 0), (5, INVALID_REQUEST)]
    assert session.wait() == 0


def test_batch_waits_for_its_slowest_and_nobody_else_does(booted, serve):
    session = serve()
    sleep = {"id": "default", "argv": ["sleep", "1"]}
    session.send([request(EXECUTE, sleep, id="slow"), request(LIST, id="quick")], request(LIST, id="alone"))
    assert brief(session.receive()) == ("alone", 0)
    assert brief(session.receive()) == [("slow", 0), ("quick", 0)]


def test_many_requests_at_once_are_all_answered(serve):
    session = serve()
    session.send([request(LIST, id=number) for number in range(300)])
    session.send(*[request(LIST, id=number) for number in range(300)])
    answers = [session.receive() for _ in range(301)]
    batch = next(answer for answer in answers if isinstance(answer, list))
    answers.remove(batch)
    assert [answer["id"] for answer in batch] == list(range(300))
    assert sorted(answer["id"] for answer in answers) == list(range(300))
    assert all(answer["result"] == batch[0]["result"] for answer in batch + answers)


VIOLATIONS = [  # method, params, the fields that are told to be wrong
    ("initialize", {}, ["client_name", "client_protocol_version"]),
    ("initialize", {"client_name": "", "client_protocol_version": "1"}, ["client_name"]),
    ("initialize", {"client_name": "a" * 256, "client_protocol_version": "1" * 65},
     ["client_name", "client_protocol_version"]),
    ("initialize", {"client_name": 1, "client_protocol_version": None}, ["client_name", "client_protocol_version"]),
    ("initialize", {"client_name": "\u00fc" * 255, "client_protocol_version": "1" * 64, "more": 1}, None),
    (GET, {"id": ""}, ["id"]),
    (GET, {"id": "a" * 129}, ["id"]),
    (GET, {"id": ["default"]}, ["id"]),
    (DELETE, {"id": None}, ["id"]),
    (DELETE, {"name": "default"}, ["id"]),
    (CREATE, {"name": "a" * 65, "python_version": "3"}, ["name", "python_version"]),
    (CREATE, {"name": "a", "python_version": ">=3.8"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "3.8.1.2"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "3.8\n"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "3.09"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "03.9"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "3.9.00"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": "\u0663.8"}, ["python_version"]),
    (CREATE, {"name": "a", "python_version": 3.8}, ["python_version"]),
    (CREATE, {}, ["name", "python_version"]),
    (EXECUTE, {}, ["id", "argv"]),
    (EXECUTE, {"id": "default", "argv": []}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": "ls"}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": ["ls", ""]}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": ["ls", 1]}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": ["a\0b"]}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": ["\ud800"]}, ["argv"]),
    (EXECUTE, {"id": "default", "argv": ["ls"], "cwd": "relative"}, ["cwd"]),
    (EXECUTE, {"id": "default", "argv": ["ls"], "cwd": "/a\0b", "env": {"A": 1}}, ["cwd", "env"]),
    (EXECUTE, {"id": "default", "argv": ["ls"], "env": {"A=B": "1"}}, ["env"]),
    (EXECUTE, {"id": "default", "argv": ["ls"], "env": {"": "1"}}, ["env"]),
    (EXECUTE, {"id": "default", "argv": ["ls"], "env": ["A=1"]}, ["env"]),
    (EXECUTE, {"id": "x" * 129, "argv": [[[]]], "cwd": {}, "env": "A=1"}, ["id", "argv", "cwd", "env"]),
]


def test_invalid_params_are_answered_with_what_is_wrong_of_each(serve):
    session = serve(is_ready=False)
    for method, params, fields in VIOLATIONS:
        if fields is None:
            session.ask(method, params)
            continue
        error = session.refused(method, params)
        assert error["code"] == INVALID_PARAMS, (method, params)
        assert [each["field"] for each in error["data"]] == fields, (method, params)
        assert all(field in error["message"] for field in fields), error


def test_messages_are_of_500_characters_at_most(serve):
    session = serve()
    for method, params in (("m" * 10000, None), (GET, {"id": "\u00fc" * 128}),
                           (EXECUTE, {"id": "default", "argv": ["no-such-program" * 1000]})):
        session.send(request(method, params, id=1))
        brief(session.receive())


def test_fault_of_the_server_s_own_is_an_internal_error(capsys):
    assert proto_prime.outcome_of(lambda: 1 // 0)["error"]["code"] == -32603


# -- Frames ------------------------------------------------------------------------------------------


def test_frames_cut_at_every_byte(serve):
    data = b"".join(map(frame, [request("initialize", HELLO, id=1), [request(LIST, id="\u00fc")], request("x", id=2)]))
    for place in range(len(data) + 1):
        assert len(list(proto_prime.read_messages([data[:place], data[place:]]))) == 3, place
    session = serve(is_ready=False)
    for place in range(len(data)):
        session.send_bytes(data[place: place + 1])
    answers = [brief(session.receive()) for _ in range(3)]
    assert sorted(answers, key=str) == [(1, 0), (2, UNKNOWN_METHOD), [("\u00fc", 0)]]
    assert session.end() == 0


def test_client_may_send_much_before_it_reads_through_a_pipe_that_does_not_wait(plain):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    process = plain.popen("serve", stdin=theirs, stdout=theirs)
    theirs.close()
    ours.settimeout(60)
    ours.sendall(frame(request("initialize", HELLO, id=1)) + frame(request("x", id="x" * 100000)) * 30)
    said = b""
    while said.count(b"jsonrpc") < 31 or not said.endswith(b"}"):
        said += ours.recv(1 << 20)
    answers = [brief(json.loads(body.decode())) for body in proto_prime.read_messages([said])]
    assert answers == [(1, 0)] + [("x" * 100000, UNKNOWN_METHOD)] * 30
    ours.close()
    assert process.wait(60) == 0


FORMS = [  # all of them frames; %d is the length
    b"Content-Length: %d\r\n\r\n", b"content-length: %d\r\n\r\n", b"CONTENT-LENGTH:%d\r\n\r\n",
    b"Content-Length: %d\n\n", b"Content-Length: %d\r\n\n", b"Content-Length: %d\n\r\n",
    b"Content-Length: \t %d \t\r\n\r\n", b"Content-Length: 000%d\r\n\r\n",
    b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
    b"Content-Length: %d\r\nContent-Type: text/plain\r\nX-Content-Length: 3\r\nx:\r\n\r\n",
    b"X: " + b"x" * 10000 + b"\r\nContent-Length: %d\r\n\r\n",
]


def test_forms_of_a_header(serve):
    session = serve()
    data = json.dumps(request(LIST, id="\u00fc"), ensure_ascii=False).encode()
    for form in FORMS:
        assert session.said(form % len(data) + data, 1) == [("\u00fc", 0)], form
    assert session.stderr == ""


NEVER = json.dumps(request("x", id="never")).encode()
LENGTH = b"%d" % len(NEVER)
BROKEN = {  # bytes in front of a frame that is taken all the same
    "no length": b"Content-Type: text/plain\r\n\r\n" + NEVER,
    "an empty header": b"\r\n\r\n" + NEVER,
    "two lengths": b"Content-Length: 5\r\nContent-Length: " + LENGTH + b"\r\n\r\n" + NEVER,
    "the same length twice": (b"Content-Length: " + LENGTH + b"\r\n") * 2 + b"\r\n" + NEVER,
    "a negative length": b"Content-Length: -5\r\n\r\n" + NEVER,
    "a length with a sign": b"Content-Length: +" + LENGTH + b"\r\n\r\n" + NEVER,
    "a length that is no number": b"Content-Length: five\r\n\r\n" + NEVER,
    "a length in hex": b"Content-Length: 0x10\r\n\r\n" + NEVER,
    "a length in other digits": "Content-Length: \u0663\r\n\r\n".encode() + NEVER,
    "no number": b"Content-Length:\r\n\r\n" + NEVER,
    "two numbers": b"Content-Length: 5, 5\r\n\r\n" + NEVER,
    "a huge length": b"Content-Length: 999999999999999999999999\r\n\r\n" + NEVER,
    "4 GiB": b"Content-Length: 4294967296\r\n\r\n" + NEVER,
    "a huge number": b"Content-Length: " + b"9" * 100000 + b"\r\n\r\n" + NEVER,
    "a space before the colon": b"Content-Length : " + LENGTH + b"\r\n\r\n" + NEVER,
    "a folded line": b"Content-Length:\r\n " + LENGTH + b"\r\n\r\n" + NEVER,
    "a line that is no field": b"hello\r\nContent-Type: text/plain\r\n\r\n" + NEVER,
    "a request line": b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + NEVER,
    "garbage": b"garbage",
    "a line of garbage": b"garbage\r\n",
    "an empty line": b"\r\n",
    "a message without a header": NEVER,
    "a message on a line": NEVER + b"\n",
    "bytes of all kinds": bytes(range(256)) * 3,
    "much garbage": b"x" * 100000,
    "many lines of garbage": b"garbage\n" * 10000,
    "a header without an end": b"x: y\r\n" * 10000,
    "zeros": bytes(50000),
}


def test_broken_frames_are_skipped_and_said_on_stderr(serve):
    session = serve()
    for name, data in BROKEN.items():
        before = session.stderr.count("prime: a broken frame is skipped: ")
        assert session.said(data + frame(request("x", id=name)), 1) == [(name, UNKNOWN_METHOD)], name
        assert session.stderr.count("prime: a broken frame is skipped: ") > before, name
    assert session.end() == 0


def test_frame_behind_any_length_of_garbage_is_found():
    message = frame(b" " * 12345)
    for length in list(range(1, 64)) + list(range(16300, 16450)) + list(range(32650, 32800)):
        chunks = [b"x" * length + message[:9], message[9:]]
        assert len(list(proto_prime.read_messages(chunks))) == 1, length


# -- 500 frames, random and mutated ------------------------------------------------------------------

SOUND = [request("initialize", HELLO, id=1), request(LIST, id=2), request(LIST, []),
         request(GET, {"id": "none"}, id="3"),
         request(CREATE, {"name": "default", "python_version": "0.0"}, id=4), request(DELETE, {"id": "none"}, id=None),
         request(EXECUTE, {"id": "none", "argv": ["true"], "cwd": "/", "env": {"A": "b"}}, id=-5),
         [request(LIST, id=6), request("no/such"), 7, request(GET, {"id": "\u00fc"}, id="8")]]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["2.0", LIST, GET]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "name"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=12)


@st.composite
def changed(draw):
    """A sound frame in which some bytes are others, more, or fewer."""
    data = bytearray(frame(draw(st.sampled_from(SOUND))))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        piece = st.binary(max_size=2) | st.sampled_from([b'"', b"\r\n", b"0"])
        data[place: place + draw(st.integers(0, 3))] = draw(piece)
    return bytes(data)


@st.composite
def mixed(draw):
    """A sound request, a member of which is anything, maybe under a false length."""
    message = dict(draw(st.sampled_from(SOUND[:-1])))
    message[draw(st.sampled_from(sorted(message) + ["id", "params"]))] = draw(JSON)
    data = json.dumps(message).encode()
    length = draw(st.sampled_from([len(data)] * 5 + [0, len(data) - 1, len(data) + 1, -1, 1 << 40]))
    return b"Content-Length: %d\r\n\r\n%s" % (length, data)


FRAMES = changed() | mixed() | st.binary(max_size=60) | st.binary(max_size=60).map(frame) | JSON.map(frame)


@pytest.mark.slow  # twenty servers, for each of which the search for the smallest failure may start more
@settings(max_examples=20, deadline=None, database=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture])
@given(st.lists(FRAMES, min_size=25, max_size=25), st.randoms(use_true_random=False))
def test_no_frame_breaks_it_or_the_form_of_its_answers(booted, frames, chance):
    session = Session(booted, is_ready=False)
    try:
        data = b"".join(frames)
        if chance.random() < 0.8:
            data = frame(SOUND[0]) + data
        cuts = sorted(chance.randrange(len(data)) for _ in range(5))
        for start, end in zip([0] + cuts, cuts + [len(data)]):
            session.send_bytes(data[start:end])
        session.send_bytes(b"x" * 100000 + b"\r\n\r\n" + frame(request("x", id="alive")))  # the last may claim more
        assert "alive" in (brief(answer)[0] for answer in iter(session.receive, None))
        assert session.end() == 0
    finally:
        session.close()
