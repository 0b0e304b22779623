"""The one fixture of these tests, `repo`: a client repo in which the file is run as users run it."""

import json
import os
import platform
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from filelock import FileLock
from make_uv_python_mirror import make_mirror
from serving import Session

pytest.register_assert_rewrite("helpers")  # its asserts show their values, as those of tests do

TOP = Path(__file__).resolve().parent.parent
ANY_PYTHON = ["--no-deps", "--only-binary=:all:", "--python-version"]
SHARED_WHEELS = [["six", "idna", "flit_core>=3.4,<4", "setuptools", "wheel"], ANY_PYTHON + ["3.8", "uv"],
                 ANY_PYTHON + ["3.6", "pip<22", "six", "flit_core"]]
EXAMPLES = TOP / "examples"
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")

ENTRY_SCRIPT = (TOP / "examples" / "hello" / "prime").read_text()

PROJECT = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"

[project]
name = "{name}"
version = "1"
description = "A client repo"
dependencies = {dependencies}
{more}
"""


def project_text(name, dependencies, more):
    """The pyproject.toml of a project that can be installed."""
    return PROJECT.format(name=name, dependencies=json.dumps(list(dependencies)), more=more)


def installed_pythons():
    """{"3.12": path of its interpreter} for each python of pyenv's and the running one, oldest first."""
    found = {}
    for path in PYENV.glob("versions/*/bin/python3"):
        version = path.parent.parent.name
        if re.match(r"3\.\d+\.\d+$", version):
            found[".".join(version.split(".")[:2])] = path
    found.setdefault("%d.%d" % sys.version_info[:2], Path(os.path.realpath(sys.executable)))
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


PYTHONS = installed_pythons()


def python(version):
    """The path of a real interpreter; skips the test if this machine has none of that version."""
    if version not in PYTHONS:
        pytest.skip("no python %s in %s" % (version, PYENV))
    return PYTHONS[version]


def one_of_each_pip():
    """The versions of `PYTHONS` of which each has another pip beside it: of those with the same the newest."""
    found = {}
    for version, path in PYTHONS.items():
        bundled = path.parent.parent.glob("lib/python%s/ensurepip/_bundled/pip-*.whl" % version)
        found[next((wheel.name for wheel in bundled), version)] = version
    return list(found.values())


def ancient_python():
    """The path of a real python 2.7; skips the test if this machine has none."""
    found = sorted(PYENV.glob("versions/2.7.*/bin/python2.7"))
    if not found:
        pytest.skip("no python 2.7 in %s" % PYENV)
    return found[0]


def some_python():
    """The interpreter that is used where any will do."""
    return Path(os.path.realpath(sys.executable))


def pytest_xdist_auto_num_workers(config):
    """Twice as many as there are processors, for many tests wait."""
    return max(1, (os.cpu_count() or 1) * 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Let each of several workers begin with slow tests, so that none is left alone with one at the end.

    With `--dist worksteal` each gets such a piece of the list, and half the rest of another one's when it is done.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if count > 1 and item.get_closest_marker("slow")]
    quick = [item for item in items if count == 1 or not item.get_closest_marker("slow")]
    ends = [len(quick) * number // count for number in range(count + 1)]
    pieces = [slow[number::count] + quick[ends[number]:ends[number + 1]] for number in range(count)]
    items[:] = [item for piece in pieces for item in piece]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A directory for what all workers of one run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session", autouse=True)
def cache(shared):
    """The user cache of what a test calls in its own process is that of the repos."""
    os.environ["PROTOPRIMER_CACHE_DIR"] = str(shared / "cache")


@pytest.fixture(scope="session", autouse=True)
def signals_as_usual():
    """Children start with the usual signals, even if the tests run under `nohup` or in a shell's background.

    A signal that was ignored when the tests began still does nothing here: now by a handler, for a new program
    inherits what is ignored, but no handler.
    """
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP"):
        number = getattr(signal, name, None)  # Windows has two of them
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def wheelhouse(shared):
    """A directory of wheels, fetched once per run with the ordinary client; boots use nothing else."""
    target = shared / "wheelhouse"
    with FileLock(str(shared / "wheelhouse.lock")):
        if not (target / "complete").exists():
            fetch_wheels(target)
            (target / "complete").touch()
    return target


def fetch_wheels(target, wanted=SHARED_WHEELS):
    """Download wheels, by lists of words for `pip download`, with the environment's pip, or with one that uv runs."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pip = [uv_program(), "tool", "run", "--quiet", "--python", str(some_python()), "pip"]
    for words in wanted:
        environ = dict(os.environ, UV_SYSTEM_CERTS="1", UV_NATIVE_TLS="1")
        fetch = pip + ["download", "-q", "--dest", str(target)]
        subprocess.run(fetch + words, check=True, stdin=subprocess.DEVNULL, env=environ)


def uv_program():
    """The path of the uv that stands in the development environment."""
    beside = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        pytest.skip("no uv in the development environment (it needs python 3.8)")
    return found


@pytest.fixture(scope="session")
def mirror(shared):
    """The downloads.json of a mirror with a real CPython 3.12, for a uv without network."""
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        pytest.skip("the mirror is made for Linux with glibc")
    prefix, target = python("3.12").parent.parent, shared / "python mirror"
    with FileLock(str(shared / "python mirror.lock")):
        if not (target / "downloads.json").exists():
            make_mirror(target, [prefix])
    return target / "downloads.json"


@pytest.fixture
def spare_python(mirror, tmp_path):
    """The path of a real python 3.12 of its own, which a test may harm."""
    unpacked = mirror.parent.parent / "spare python"  # by whoever is the first: to copy it takes a tenth
    with FileLock(str(unpacked) + ".lock"):
        if not unpacked.exists():
            with tarfile.open(str(next(mirror.parent.glob("*.tar.gz")))) as archive:
                archive.extractall(str(unpacked) + ".part")
            os.rename(str(unpacked) + ".part", str(unpacked))
    shutil.copytree(str(unpacked), str(tmp_path / "spare"), symlinks=True)
    return tmp_path / "spare" / "python" / "bin" / "python3.12"


def snapshot(directory):
    """All below a directory, less bytecode, with what `stat` knows of it: equal means untouched."""
    found = {}
    for path in directory.rglob("*"):
        if "__pycache__" not in path.parts:
            st = os.lstat(str(path))
            inner = () if stat.S_ISDIR(st.st_mode) else (st.st_size, st.st_mtime_ns)
            found[str(path.relative_to(directory))] = (st.st_mode,) + inner
    return found


class Repo:
    """A client repo in a directory with a space in its name, with its own HOME and caches."""

    def __init__(self, path, home, shared, wheelhouse):
        self.path, self.home, self.bin = path, home, home / "bin"
        self.by_sh = False  # whether it is started as a program, by its first line, as `each_start` wants it
        self.bin.mkdir(parents=True)
        self.path.mkdir(parents=True)
        self.env = {
            "HOME": str(home),
            "PATH": os.pathsep.join([str(self.bin), "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "PROTOPRIMER_CACHE_DIR": str(shared / "cache"),
            "UV_CACHE_DIR": str(shared / "uv cache"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheelhouse.as_uri(),
            "UV_CONFIG_FILE": str(home / "uv.toml"),  # no variable turns uv's index off
            "UV_PYTHON_DOWNLOADS": "never",
        }
        (home / "uv.toml").write_text('no-index = true\nfind-links = [%s]\n' % json.dumps(wheelhouse.as_uri()))
        self.program("lsb_release", "#!/bin/sh\n")  # pip asks it at each start, and Debian has a slow one
        (path / "proto_prime.py").symlink_to(TOP / "proto_prime.py")
        (shared / "bytecode").mkdir(parents=True, exist_ok=True)  # for all: to compile it takes long
        (path / "__pycache__").symlink_to(shared / "bytecode")
        self.write("prime", ENTRY_SCRIPT, executable=True)

    def write(self, name, text, executable=False):
        """Write a file of the repo. Returns its path."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        if executable:
            target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return target

    def config(self, text=""):
        """Write proto_prime.toml, which is all that a repo without dependencies needs."""
        return self.write("proto_prime.toml", text)

    def may_ask(self, **variables):
        """Let its tools ask indexes, and none but those that these variables, or its config, name."""
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_CONFIG_FILE"):
            del self.env[name]
        self.env.update(PIP_CONFIG_FILE=os.devnull, UV_NO_CONFIG="1", **variables)

    def project(self, dependencies=("six",), more="", module="client"):
        """Make it a project that can be installed, with these dependencies."""
        self.write(module + ".py", '"""A client."""\n')
        return self.write("pyproject.toml", project_text("client", dependencies, more))

    def program(self, name, text):
        """Put a program on the repo's PATH, before everything else. Returns its path."""
        target = self.bin / name
        if target.is_symlink():
            target.unlink()
        target.write_text(text)
        target.chmod(0o755)
        return target

    def link(self, name, target):
        """Put a link to a real program on the repo's PATH."""
        (self.bin / name).symlink_to(target)

    def words(self, python=None, entry="prime"):
        """The words that start `prime`: under `python` (a path), or as a program."""
        return [str(self.path / entry)] if self.by_sh and not python else [
            str(python or some_python()), str(self.path / entry)]

    def popen(self, *argv, python=None, env=None, entry="prime", **options):
        """Start `prime argv…` under `python` (a path)."""
        environ = dict(self.env, **(env or {}))
        environ = {name: value for name, value in environ.items() if value is not None}
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("cwd", str(self.path))
        command = self.words(python, entry) + [str(word) for word in argv]
        if os.name == "posix":  # python 3.6 in the C locale cannot encode them itself
            command = [word.encode("utf-8", "surrogateescape") for word in command]
        return subprocess.Popen(command, env=environ, encoding="utf-8", errors="surrogateescape", **options)

    def prime(self, *argv, status=0, timeout=240, **options):
        """Run `prime argv…` to its end, which must have this status. Returns a `Result`."""
        process = self.popen(*argv, **options)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if status is not None:
            assert process.returncode == status, "status %s\n%s\n%s" % (process.returncode, stdout, stderr)
        return Result(process.returncode, stdout, stderr)

    def typed(self, words, entry="prime"):
        """What a hint says for `prime words`, started as `prime` does it here."""
        return "%s %s" % (shlex.quote(str(self.path / entry)), words)

    def info(self, *argv, **options):
        """`prime info --json` as data, whatever its status."""
        return json.loads(self.prime(*argv, "info", "--json", status=None, **options).stdout)

    def inside(self, code, **options):
        """What python code prints in the environment."""
        return self.prime("run", "python", "-c", code, **options).stdout.strip()

    @property
    def generations(self):
        """The complete generations on disk, as paths."""
        return sorted(marker.parent for marker in self.path.glob(".prime/envs/*/proto-prime.json"))

    @property
    def current(self):
        """The generation that .venv leads to."""
        return Path(os.path.realpath(str(self.path / ".venv")))

    @property
    def logs(self):
        """The log files, oldest first."""
        logs = self.path.glob(".prime/log/*.log")
        return sorted(logs, key=lambda log: (os.stat(str(log)).st_mtime_ns, log.name))

    def settle(self):
        """Wait until no file is so fresh that the stamp is not kept for its sake."""
        time.sleep(0.1)


class Result:
    def __init__(self, status, stdout, stderr):
        self.status, self.stdout, self.stderr = status, stdout, stderr


@pytest.fixture
def make_repo(tmp_path, shared, wheelhouse):
    """A function that makes a `Repo` of a given name."""
    return lambda name="a repo": Repo(tmp_path / name, tmp_path / ("home of " + name), shared, wheelhouse)


@pytest.fixture
def repo(make_repo):
    """An empty `Repo`, with the file and an entry script."""
    return make_repo()


@pytest.fixture
def plain(repo):
    """A `Repo` with an empty config, whose boot takes half a second."""
    repo.config()
    return repo


@pytest.fixture(params=["by python", "by sh"])
def each_start(request, repo):
    """`prime` is started by a python, and, once more, as a program: by sh, which needs no python if nothing changed."""
    repo.by_sh = request.param == "by sh"
    if repo.by_sh and os.name != "posix":
        pytest.skip("there is no sh")
    if repo.by_sh:
        repo.link("python3", some_python())


@pytest.fixture(params=["venv_pip", "venv_uv"])
def driver(request, repo):
    """Each driver in turn; uv is on PATH for its own."""
    if request.param == "venv_uv":
        repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = request.param
    return request.param


def by_driver(cases, pip):
    """What `parametrize` takes for "CASE, driver" with indirect=["driver"]: each case with uv, some with pip, too.

    For cases that are decided before a driver has its turn. A build with pip takes ten times as long.

    cases  all of them
    pip    those that are shown with pip as well
    """
    assert set(pip) <= set(cases), sorted(set(pip) - set(cases))
    return [(case, "venv_uv") for case in cases] + [
        pytest.param(case, "venv_pip", marks=pytest.mark.slow) for case in pip]


class OtherUser:
    """Another user of this machine, who runs programs: other_user([other_user.python, "prime"], env={}).

    uid     int, who it is; its group has the same number
    place   a directory that every user may enter, owned by root: what lies in it belongs to whom a test gives it
    python  the path of an interpreter that this user can start
    """

    uid = 12345

    def __init__(self, place, python):
        self.place, self.python = place, python

    def __call__(self, argv, env=None, uid=None, **options):
        """Run a program to its end as this user, or as `uid`. Returns its CompletedProcess, with text."""
        options.setdefault("cwd", str(self.place))
        options.setdefault("timeout", 240)
        environ = dict({"PATH": "/usr/bin:/bin", "HOME": str(self.place / "nobody"), "LANG": "C.UTF-8"}, **(env or {}))
        environ = {name: value for name, value in environ.items() if value is not None}
        who = str(self.uid if uid is None else uid)
        argv = ["setpriv", "--reuid=" + who, "--regid=" + who, "--clear-groups"] + [str(word) for word in argv]
        return subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, **options)

    def give(self, *paths, uid=None):
        """Let files and whole directories belong to this user, or to `uid`."""
        owner = self.uid if uid is None else uid
        for path in paths:
            for each in [path] + (list(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []):
                os.lchown(str(each), owner, owner)

    def checkout(self, wheelhouse, config="", uv=False):
        """A repo of this user, whose wheels every user may read. Returns its path, and the variables that it takes.

        uv  whether there is one on PATH; else it comes with the wheels
        """
        path, wheels = self.place / "checkout", self.place / "wheels"
        temporary = self.place / "tmp"
        for each in path, wheels, temporary:
            each.mkdir()
        for wheel in wheelhouse.glob("*.whl"):
            shutil.copy(str(wheel), str(wheels))
        if uv:
            shutil.copy(uv_program(), str(self.place / "uv"))
        shutil.copy(str(TOP / "proto_prime.py"), str(path))
        (path / "proto_prime.toml").write_text(config)
        self.give(path, temporary)
        (self.place / "uv.toml").write_text('no-index = true\nfind-links = [%s]\n' % json.dumps(wheels.as_uri()))
        return path, {
            "PATH": "%s:/usr/bin:/bin" % self.place, "TMPDIR": str(temporary), "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels.as_uri(), "UV_CONFIG_FILE": str(self.place / "uv.toml"),
            "UV_PYTHON_DOWNLOADS": "never"}


@pytest.fixture
def other_user():
    """An `OtherUser`; skips the test where there can be none."""
    if os.name != "posix" or os.getuid():
        pytest.skip("only root can run a program as another user")
    if not shutil.which("setpriv"):
        pytest.skip("this machine has no setpriv (util-linux) to run a program as another user")
    place = Path(tempfile.mkdtemp(prefix="prime-other-user-"))
    place.chmod(0o755)
    try:
        for path in [some_python(), Path("/usr/bin/python3"), Path("/usr/local/bin/python3")]:
            found = OtherUser(place, path)
            code = "import sys, venv; sys.exit(sys.version_info < (3, 6))"
            # By way of sh, for what setpriv starts by itself is still looked up with the rights of root.
            check = ["sh", "-c", 'exec "$@"', "sh", path, "-c", code]
            if path.exists() and not found(check).returncode:
                yield found
                return
        pytest.skip("this machine has no python that other users may start")
    finally:
        shutil.rmtree(str(place))


@pytest.fixture
def booted(plain):
    """A `Repo` with an empty config, and an environment."""
    plain.prime()
    return plain


@pytest.fixture
def mounts(repo):
    """The `Mounts` of a repo; skips the test where nothing can be mounted."""
    from machines import Mounts  # it imports this file

    found = Mounts(repo)
    yield found
    found.close()


@pytest.fixture
def mac_tools(tmp_path):
    """A function that makes a `Mac` with a shell; skips the test where that cannot be had."""
    from machines import Files, Mac

    server = Files({})
    yield lambda shell="bash": Mac(tmp_path / "mac", server, shell)
    server.close()


@pytest.fixture
def example(make_repo):
    """A function that copies an example, as a clone would have it. Returns the `Repo`."""

    def copy(name):
        repo = make_repo("a copy of " + name)
        shutil.rmtree(str(repo.path))
        made = shutil.ignore_patterns(".prime", ".venv", "__pycache__", "hosts", "hosts.h", "names.out", ".env")
        shutil.copytree(str(EXAMPLES / name), str(repo.path), ignore=made)  # proto_prime.py: no link any more
        repo.link("python3", some_python())
        repo.link("uv", uv_program())
        return repo

    return copy


@pytest.fixture
def local_index(wheelhouse):
    """An `Index` over the wheels: without password, certificate or proxy."""
    from helpers import Index  # at the top it would be a circle, for helpers.py imports this file

    index = Index(wheelhouse)
    yield index
    index.close()


@pytest.fixture
def net(wheelhouse, tmp_path):
    """A `Net`: an index with a certificate and a password, behind a proxy with a password."""
    from helpers import Net

    net = Net(wheelhouse, tmp_path)
    yield net
    net.close()


@pytest.fixture
def index_client(repo):
    """A `Repo` whose tools use no index but those that a test names, with caches of its own."""
    repo.may_ask(UV_CACHE_DIR=str(repo.home / "uv cache"), PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"),
                 PIP_RETRIES="0", UV_HTTP_RETRIES="0")
    repo.config()
    return repo


@pytest.fixture
def serve(repo):
    """A function that starts a server of `repo`, whose config is empty if it has none. Returns the `Session`."""
    sessions = []

    def start(*argv, **options):
        if not (repo.path / "pyproject.toml").exists() and not (repo.path / "proto_prime.toml").exists():
            repo.config()
        sessions.append(Session(repo, *argv, **options))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()
