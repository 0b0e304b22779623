"""The network down, the index failing: what needs neither goes on working, the rest ends soon and says why."""

import re
import shutil
import subprocess
import time
from collections import Counter

import pytest
from conftest import some_python
from helpers import Index

SOON = 60  # seconds: what takes longer tries on and on
EVER = 10 ** 9
OFF = "Temporary failure|Name or service|No address|nodename|Network is unreachable|Connection refused"
WORDS = {"503": "503", "dropped": "Remote end closed|[Cc]onnection (closed|reset)"}  # each tool has its own


class FailingIndex(Index):
    """An `Index` that fails as it is told to.

    fails  how often it fails for each path before it answers
    way    how: "503", or "dropped", the connection ended without an answer
    """

    def __init__(self, wheels):
        self.fails, self.way = 0, ""
        super().__init__(wheels)

    @property
    def counts(self):
        """{path: how often it was asked for}"""
        return Counter(path for path, _ in self.asked)

    def answer(self, request):
        if self.counts[request.path] >= self.fails:
            return super().answer(request)
        self.asked.append((request.path, False))
        return request.send_error(503) if self.way == "503" else None

    def fail(self, way, times=EVER):
        self.way, self.fails, self.asked = way, times, []

    def close(self):
        """From now on nobody listens at its port."""
        if self.thread.is_alive():
            super().close()


@pytest.fixture
def index(wheelhouse):
    index = FailingIndex(wheelhouse)
    yield index
    index.close()


@pytest.fixture
def client(repo, driver, index):
    """A `Repo` for each driver, whose packages come from the index and from nowhere else."""
    repo.may_ask(UV_CACHE_DIR=str(repo.home / "uv cache"))
    require(repo, "six", index.url())
    return repo


def require(repo, name, url):
    """Let it depend on this package of the index at `url`, or, if that is "", where the tool looks by itself."""
    repo.config('dependencies = ["%s"]\n%s' % (name, 'index_url = "%s"' % url if url else ""))


def loads(repo, name, **options):
    """Whether `prime run` gets to this module, without a word on stderr."""
    result = repo.prime("run", "python", "-c", "import %s; print(1)" % name, status=None, **options)
    return (result.status, result.stdout, result.stderr) == (0, "1\n", "")


def python_without_network(repo):
    """A python that has no network, and what it starts neither; skips where that cannot be arranged."""
    for options in ("-n", "-r -n"):
        command = ["unshare"] + options.split() + ["true"]
        if shutil.which("unshare") and not subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            script = '#!/bin/sh\nexec unshare %s "%s" "$@"\n' % (options, some_python())
            return repo.program("cut-off", script)
    pytest.skip("no network namespace to be had")
    return None


def failed_boot(repo, words, **options):
    """Boot, which must fail soon, with these words in the error and in the log, and change nothing."""
    old, envs, start = repo.current, sorted((repo.path / ".prime" / "envs").iterdir()), time.monotonic()
    result = repo.prime(status=1, **options)
    assert time.monotonic() - start < SOON
    error = result.stderr[result.stderr.index("prime: error: "):]
    assert re.search(words, error), error
    log = re.search(r"the whole log: (.*)", error).group(1)
    with open(log, encoding="utf-8") as file:
        assert re.search(words, file.read())
    assert repo.current == old
    assert sorted((repo.path / ".prime" / "envs").iterdir()) == envs
    assert subprocess.run([str(repo.path / ".venv" / "bin" / "python"), "-c", "import six"]).returncode == 0


# -- B8: the network is down -----------------------------------------------------------------------


@pytest.fixture(params=["no interface", "closed port"])
def cut_off(request, client, index):
    """A function that takes the network away. Returns the options under which `client` boots without."""

    def cut():
        if request.param == "no interface":
            return {"python": python_without_network(client)}
        index.close()
        return {}

    return cut


def test_B8_what_is_built_needs_no_network(client, index, cut_off):
    client.prime()
    six = client.current
    require(client, "idna", index.url())
    client.prime()
    down = cut_off()
    for _ in range(2):  # the long way, and from the stamp
        client.settle()
        assert "is current" in client.prime(**down).stderr
        assert loads(client, "idna", **down)
    require(client, "six", index.url())  # back on another branch
    back = client.prime(**down)
    assert "is current" in back.stderr and "building" not in back.stderr
    assert client.current == six
    assert loads(client, "six", **down)


def test_B8_install_without_network_says_so_and_leaves_the_old_environment(client, index, cut_off):
    client.prime()
    down = cut_off()
    require(client, "idna", "" if down else index.url())
    failed_boot(client, OFF, **down)
    require(client, "six", index.url())
    assert "is current" in client.prime(**down).stderr


# -- B9: the index is down -------------------------------------------------------------------------


@pytest.mark.parametrize("way", sorted(WORDS))
def test_B9_index_that_fails_at_first_is_asked_again(client, index, way):
    index.fail(way, times=1)
    assert "is ready" in client.prime().stderr
    assert loads(client, "six")
    assert index.counts["/simple/six/"] == 2
    assert min(index.counts.values()) == 2  # the wheel as well; of that uv asks for the metadata first


@pytest.mark.parametrize("way", sorted(WORDS))
def test_B9_index_that_goes_on_failing_is_said_and_leaves_the_old_environment(client, index, way):
    client.prime()
    require(client, "idna", index.url())
    index.fail(way)
    failed_boot(client, WORDS[way])
    assert list(index.counts.values()) == [3]


def test_B9_how_often_it_is_tried_is_for_the_user_to_say(client, index):
    client.env.update(PIP_RETRIES="0", UV_HTTP_RETRIES="0")
    index.fail("dropped")
    client.prime(status=1)
    assert list(index.counts.values()) == [1]
