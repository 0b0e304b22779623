"""Clients that nobody here wrote drive `prime serve`: python-lsp-jsonrpc, that of pygls, npm's vscode-jsonrpc; and the
one of an example.
"""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest
from conftest import some_python
from filelock import FileLock
from helpers import follow_readme
from serving import HELLO, wait_until

LIST, GET = "environment/list", "environment/get"
CREATE, DELETE, EXECUTE = "environment/create", "environment/delete", "environment/execute"


class Refused(Exception):
    """An error that a client was answered with."""

    def __init__(self, code, message, data=None):
        super().__init__(code, message, data)
        self.code, self.message, self.data = code, message, data


class Client:
    """What each of them can do. `begin` returns a future of concurrent.futures; the error it ends with has a `code`."""

    def ask(self, method, params=None):
        return self.result(self.begin(method, params))

    def result(self, future):
        return future.result(timeout=60)

    def code(self, method, params=None):
        """The code of the error that a request is answered with, 0 if it is none."""
        try:
            self.ask(method, params)
        except Exception as error:
            return error.code
        return 0


class PythonLspJsonrpc(Client):
    """The `Endpoint` of python-lsp-jsonrpc, which sends a header Content-Type, and here ids that are integers."""

    def __init__(self, command, **options):
        endpoint = pytest.importorskip("pylsp_jsonrpc.endpoint")
        streams = pytest.importorskip("pylsp_jsonrpc.streams")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        writer = streams.JsonRpcStreamWriter(self.process.stdin)
        ids = itertools.count()
        self.endpoint = endpoint.Endpoint({}, writer.write, id_generator=lambda: next(ids))
        reader = streams.JsonRpcStreamReader(self.process.stdout)
        threading.Thread(target=reader.listen, args=(self.endpoint.consume,), daemon=True).start()
        self.begin, self.tell = self.endpoint.request, self.endpoint.notify

    def cancel(self, future):
        waiting = self.endpoint._server_request_futures
        self.tell("$/cancelRequest", {"id": next(ident for ident in waiting if waiting[ident] is future)})

    def wait(self):
        return self.process.wait(60)


class Pygls(Client):
    """The `JsonRPCClient` of pygls, whose ids are strings, and whose params are null if there are none."""

    def __init__(self, command, **options):
        client = pytest.importorskip("pygls.client")
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client, self.problems = client.JsonRPCClient(), []
        self.client.report_server_error = lambda error, source: self.problems.append(error)
        self.on_loop(self.client.start_io(*command, **options))

    def on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=60)

    def begin(self, method, params=None):
        async def send():
            return self.client.protocol.send_request(method, params)

        return self.on_loop(send())

    def result(self, future):
        def as_json(value):  # objects come as named tuples
            if isinstance(value, list):
                return [as_json(each) for each in value]
            if hasattr(value, "_asdict"):
                return {name: as_json(each) for name, each in value._asdict().items()}
            return value

        return as_json(super().result(future))

    def tell(self, method, params=None):
        async def send():
            self.client.protocol.notify(method, params)

        self.on_loop(send())

    def cancel(self, future):
        waiting = self.client.protocol._request_futures
        self.tell("$/cancelRequest", {"id": next(ident for ident in waiting if waiting[ident] is future)})

    def wait(self):
        self.on_loop(self.client.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        assert self.problems == []
        return self.client._server.returncode


BRIDGE = """\
const rpc = require('vscode-jsonrpc/node');
const [command, ...argv] = process.argv.slice(2);
const server = require('child_process').spawn(command, argv, {stdio: ['pipe', 'pipe', 'inherit']});
const connection = rpc.createMessageConnection(
    new rpc.StreamMessageReader(server.stdout), new rpc.StreamMessageWriter(server.stdin));
const tokens = {};
const say = (answer) => console.log(JSON.stringify(answer));
connection.onError(([error]) => say({problem: String(error)}));
connection.onUnhandledNotification((message) => say({problem: message}));
server.on('exit', (status) => say({status}));
connection.listen();
require('readline').createInterface({input: process.stdin}).on('line', (line) => {
    const {number, method, params, cancelled} = JSON.parse(line);
    const words = params === undefined ? [method] : [method, params];
    if (cancelled !== undefined) tokens[cancelled].cancel();
    else if (number === undefined) connection.sendNotification(...words);
    else {
        tokens[number] = new rpc.CancellationTokenSource();
        connection.sendRequest(...words, tokens[number].token).then(
            (result) => say({number, result}),
            ({code, message, data}) => say({number, error: {code, message, data}}));
    }
}).on('close', () => process.exit());
"""


class VscodeJsonrpc(Client):
    """The message connection of vscode-jsonrpc, behind a bridge to node of a line for each message."""

    def __init__(self, command, modules=None, **options):
        argv = ["node", "-e", BRIDGE, "bridge"] + list(command)
        options["env"] = dict(options["env"], NODE_PATH=str(modules), PATH=os.environ["PATH"])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.futures, self.problems, self.status = {}, [], Future()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            told = json.loads(line.decode())
            if "status" in told:
                self.status.set_result(told["status"])
            elif "error" in told:
                self.futures[told["number"]].set_exception(Refused(**told["error"]))
            elif "number" in told:
                self.futures[told["number"]].set_result(told["result"])
            else:
                self.problems.append(told["problem"])

    def say(self, **message):
        text = json.dumps({name: value for name, value in message.items() if value is not None})
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def begin(self, method, params=None):
        future = Future()
        self.futures[len(self.futures)] = future
        self.say(number=len(self.futures) - 1, method=method, params=params)
        return future

    def tell(self, method, params=None):
        self.say(method=method, params=params)

    def cancel(self, future):
        self.say(cancelled=next(number for number, each in self.futures.items() if each is future))

    def wait(self):
        status = self.status.result(timeout=60)
        assert self.problems == []
        self.process.stdin.close()
        self.process.wait(60)
        return status


@pytest.fixture(scope="session")
def node_modules(shared):
    """A directory with vscode-jsonrpc, installed once per run."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip("no " + program)
    target = shared / "npm"
    with FileLock(str(shared / "npm.lock")):
        if not (target / "complete").exists():
            install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(target)]
            subprocess.run(install + ["vscode-jsonrpc@10"], check=True, stdin=subprocess.DEVNULL)
            (target / "complete").touch()
    return target / "node_modules"


@pytest.fixture(params=[PythonLspJsonrpc, Pygls, VscodeJsonrpc], ids=lambda kind: kind.__name__)
def client(request, plain):
    """Each client in turn, with a server that it has started in a repo."""
    more = {"modules": request.getfixturevalue("node_modules")} if request.param is VscodeJsonrpc else {}
    command = ["sh", "-c", 'exec "$@" 2> "$0"', plain.home / "stderr", some_python(), plain.path / "prime", "serve"]
    made = request.param(list(map(str, command)), env=plain.env, cwd="/", **more)
    made.repo = plain
    return made


HERE = "%d.%d" % sys.version_info[:2]
MINE = {"name": "mine", "python_version": HERE}
STORY = [  # method, params, the code, or what is in the result
    (LIST, None, -32002),
    ("initialize", {"client_name": "", "client_protocol_version": "0.1.0"}, -32602),
    ("initialize", HELLO, {"protocol_version": "0.1.0"}),
    ("initialize", HELLO, -32600),
    ("environment/none", {}, -32601),
    (LIST, {}, [{"id": "default", "name": "default", "python_version": "%d.%d.%d" % sys.version_info[:3]}]),
    (GET, {"id": "none"}, -31001),
    (GET, {}, -32602),
    (CREATE, MINE, {"id": "mine", "name": "mine"}),
    (CREATE, MINE, -31002),
    (CREATE, {"name": "old", "python_version": "2.7"}, -31003),
    (GET, {"id": "mine"}, {"id": "mine", "name": "mine"}),
    (EXECUTE, {"id": "mine", "argv": ["echo", "\u00fc"]}, {"exit_code": 0, "stdout": "\u00fc\n", "stderr": ""}),
    (EXECUTE, {"id": "mine", "argv": ["pwd"], "cwd": "/", "env": {"A": "b"}}, {"exit_code": 0, "stdout": "/\n"}),
    (EXECUTE, {"id": "mine", "argv": ["no-such-program"]}, -31004),
    (DELETE, {"id": "mine"}, {"id": "mine"}),
    (DELETE, {"id": "mine"}, -31001),
    ("shutdown", None, None),
    (LIST, None, -32600),
]


def test_client_goes_through_a_whole_session(client):
    for method, params, expected in STORY:
        if isinstance(expected, int):
            assert client.code(method, params) == expected, (method, params)
            continue
        result = client.ask(method, params)
        if isinstance(expected, dict):
            result = {name: value for name, value in result.items() if name in expected}
        assert result == expected, (method, params)
    client.tell("exit")
    assert client.wait() == 0
    assert (client.repo.home / "stderr").read_bytes() == b""


def test_client_is_answered_while_a_request_takes_its_time_and_when_it_is_cancelled(client):
    client.ask("initialize", HELLO)
    client.ask(GET, {"id": "default"})
    wait = 'touch at-work; while test -e at-work; do sleep 0.05; done; head -c 10000000 /dev/zero | tr "\\0" x'
    slow = client.begin(EXECUTE, {"id": "default", "argv": ["sh", "-c", wait]})
    wait_until((client.repo.path / "at-work").exists, "started")
    client.cancel(slow)
    assert [row["id"] for row in client.ask(LIST)] == ["default"]
    assert client.code("no/such") == -32601
    assert not slow.done()
    (client.repo.path / "at-work").unlink()
    assert len(client.result(slow)["stdout"]) == 10 ** 7
    client.ask("shutdown")
    client.tell("exit")
    assert client.wait() == 0


# -- The example -------------------------------------------------------------------------------------


def test_editor(example):
    repo = example("editor")
    printed = follow_readme(repo)
    lines = ["%-10s python %d.%d.%d" % ((name,) + sys.version_info[:3]) for name in ("default", "six")]
    assert printed["./editor.py"].splitlines() == lines
    assert printed["./editor.py default"].startswith(str(repo.path / ".prime" / "envs" / "default-"))
    assert "\n  idna " in printed["./editor.py default"]
    assert printed["./editor.py six python -m this"].startswith("The Zen of Python")
    assert printed['./editor.py no-such || echo "status $?"'] == "status 1"


def test_editor_passes_on_what_a_command_says_and_ends_with(example):
    repo = example("editor")
    words = ["default", "sh", "-c", "pwd; echo err >&2; exit 3"]
    done = repo.prime(*words, entry="editor.py", cwd="/", status=3)
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("/\n", "err")
