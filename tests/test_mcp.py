"""A client of the Model Context Protocol starts the server of an example through prime, and talks to it."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
from conftest import PYTHONS, some_python, uv_program
from filelock import FileLock
from helpers import follow_readme

if not importlib.util.find_spec("mcp"):  # not imported here, which costs each worker a second
    pytest.skip("package mcp needs python 3.10", allow_module_level=True)
pytestmark = pytest.mark.slow  # a server that takes a second to start, after an installation of thirty packages


@pytest.fixture(scope="session")
def mcp_wheels(shared):
    """A directory of wheels: mcp and all that it needs, for the running python, fetched once per run."""
    target = shared / "mcp wheels"
    with FileLock(str(shared / "mcp wheels.lock")):
        if not (target / "complete").exists():
            pip = [uv_program(), "tool", "run", "--quiet", "--python", str(some_python()), "pip"]
            fetch = pip + ["download", "-q", "--dest", str(target), "mcp>=2,<3", "flit_core>=3.4,<4"]
            environ = dict(os.environ, UV_SYSTEM_CERTS="1", UV_NATIVE_TLS="1")
            subprocess.run(fetch, check=True, stdin=subprocess.DEVNULL, env=environ)
            (target / "complete").touch()
    return target


@pytest.fixture
def server(example, mcp_wheels):
    """A clone of the example, with all that a client passes on: HOME and PATH, where an old python comes first."""
    if sys.version_info < (3, 11):
        pytest.skip("the example needs python 3.11")
    repo = example("mcp_server")
    (repo.bin / "python3").unlink()
    repo.link("python3", next(iter(PYTHONS.values())))
    config = repo.home / ".config"
    for name, text in (("pip/pip.conf", "[global]\nno-index = true\nfind-links = %s\n" % mcp_wheels.as_uri()),
                       ("uv/uv.toml", "no-index = true\nfind-links = [%s]\n" % json.dumps(mcp_wheels.as_uri()))):
        (config / name).parent.mkdir(parents=True)
        (config / name).write_text(text)
    repo.env = {"HOME": str(repo.home), "PATH": repo.env["PATH"], "PROTOPRIMER_PYTHON": str(some_python())}
    return repo


class Conversation:
    """What a client saw of a session: the answers to its requests, what is no message on stdout, and stderr."""

    def __init__(self, repo, cwd, **env):
        import anyio
        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client

        readme = (repo.path / "README.md").read_text(encoding="utf-8")
        config = json.loads(re.search("```json\n(.*?)```", readme, re.DOTALL).group(1))["mcpServers"]["example"]
        config["command"] = config["command"].replace("/path/to", str(repo.path))
        start = StdioServerParameters(env=dict(repo.env, **env), cwd=str(cwd), **config)
        self.noise = []

        async def listen(message):
            self.noise += [message] if isinstance(message, Exception) else []

        async def talk(stderr):
            with anyio.fail_after(240):
                async with stdio_client(start, errlog=stderr) as streams, \
                        ClientSession(*streams, message_handler=listen) as session:
                    self.name = (await session.initialize()).server_info.name
                    self.tools = [tool.name for tool in (await session.list_tools()).tools]
                    counted = await session.call_tool("count", {"text": "strawberry", "part": "r"})
                    self.count = counted.structured_content["result"]
                    self.python = (await session.call_tool("python")).structured_content["result"]

        log = repo.home / "client.log"
        with log.open("w", encoding="utf-8") as stderr:
            anyio.run(talk, stderr)
        self.stderr = log.read_text(encoding="utf-8")


@pytest.mark.parametrize("driver, spawn", [("venv_uv", ""), ("venv_uv", "1"), ("venv_pip", "")])
def test_client_talks_to_the_server_while_it_is_made_and_afterwards(server, driver, spawn):
    server.env.update({"PROTOPRIMER_VENV_DRIVER": driver, "PROTOPRIMER_SPAWN": spawn})
    server.write("elsewhere/server.py", "raise SystemExit('not this one')")
    cold = Conversation(server, "/", PROTOPRIMER_LOG_LEVEL="debug")
    assert "building environment" in cold.stderr
    assert {"venv_uv": "+ mcp==", "venv_pip": "Successfully installed "}[driver] in cold.stderr
    server.settle()
    warm = Conversation(server, server.path / "elsewhere")
    assert "prime: " not in warm.stderr
    for seen in (cold, warm):
        assert (seen.name, seen.tools, seen.count) == ("example", ["count", "python"], 3)
        assert seen.python.endswith(" in %s" % server.current)
        assert seen.noise == []
    assert len(server.generations) == 1


def test_mcp_server_does_what_its_readme_says(server):
    printed = follow_readme(server)
    assert set(printed.values()) == {""}
