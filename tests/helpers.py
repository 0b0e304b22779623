"""What the tests of several chapters use: processes, wheels and locks, examples, servers, and a terminal."""

import base64
import hashlib
import html
import http.server
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import zipfile

import pytest
import trustme
from conftest import project_text, python, some_python, uv_program

import proto_prime

try:
    import fcntl
    import pty
    import termios
except ImportError:  # Windows, where no test with a `Terminal` runs
    pass

# -- processes -------------------------------------------------------------------------------------


def wait_for(condition, seconds=60):
    """Whether a condition comes true in that time."""
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            return False
        time.sleep(0.005)
    return True


def preloaded(directory, source):
    """Compile C source to what LD_PRELOAD takes. Returns its path."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no LD_PRELOAD")
    library = directory / "preloaded.so"
    (directory / "preloaded.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(directory / "preloaded.c"), "-ldl"],
                   check=True)
    return str(library)


# -- machines without network ----------------------------------------------------------------------


def namespaces():
    """How a command is run without network; skips the test where that is not allowed."""
    for argv in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        try:
            if not subprocess.run(argv + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                return argv
        except OSError:
            pass
    pytest.skip("this machine allows no network namespace (unshare -n)")


def away(repo, make_repo, driver, *argv, status=0, python=None):
    """Run `prime argv...` in a fresh clone of `repo`, on a machine without network and with empty caches.

    python  the interpreter that starts it, by default `some_python`
    The clone is a copy, or a real clone of what is committed, if there is a git repository. Returns what ended, and a
    `Repo`.
    """
    clone = make_repo("a clone of " + driver)
    shutil.rmtree(str(clone.path))
    if (repo.path / ".git").exists():
        run_git(repo.path, "clone", "-q", str(repo.path), str(clone.path), check=True)
    else:
        shutil.copytree(str(repo.path), str(clone.path), symlinks=True,
                        ignore=shutil.ignore_patterns(".prime", ".venv"))
    env = {"HOME": str(clone.home), "PATH": "/usr/bin:/bin", "PROTOPRIMER_VENV_DRIVER": driver, "LANG": "C.UTF-8"}
    command = namespaces() + [str(python or some_python()), str(clone.path / "prime")] + list(argv)
    done = subprocess.run(command, env=env, cwd=str(clone.path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=240)
    assert done.returncode == status, done.stderr
    return done, clone


# -- wheels, locks and uv --------------------------------------------------------------------------


def wheel(wheelhouse, name):
    return next(wheelhouse.glob(name + "-*.whl"))


def make_wheel(path, name, version, more=""):
    """Write a wheel with nothing in it but its metadata, which may have `more` lines."""
    place = "%s-%s.dist-info/" % (name, version)
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr(place + "METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: %s\n%s" % (name, version, more))
        archive.writestr(place + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(place + "RECORD", "")


def make_tree(directory, name, version="1"):
    """Write a project that flit builds. Returns its directory."""
    directory.mkdir(parents=True)
    (directory / (name + ".py")).write_text('"""A library."""\n')
    text = project_text(name, [], "").replace('version = "1"', 'version = "%s"' % version)
    (directory / "pyproject.toml").write_text(text)
    return directory


def make_sdist(path, files):
    """Write the sources of a project to NAME-VERSION.tar.gz: `files`, a dict of name to text, with a PKG-INFO."""
    top = path.name[:-len(".tar.gz")]
    name, _, version = top.rpartition("-")
    files = dict({"PKG-INFO": "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)}, **files)
    with tarfile.open(str(path), "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(top + "/" + file)
            member.size, member.mtime = len(text.encode()), 1600000000
            archive.addfile(member, io.BytesIO(text.encode()))


def run_git(directory, *words, **options):
    """Run git in a directory as somebody who has a name. Returns the process that ended, with its output as text."""
    own = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    return subprocess.run(own + list(words), cwd=str(directory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, **options)


def make_checkout(directory, name):
    """Write a git repository of a project. Returns its commit."""
    make_tree(directory, name)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "One"]):
        run_git(directory, *words, check=True)
    return run_git(directory, "rev-parse", "HEAD", check=True).stdout.strip()


def pylock(packages, head=""):
    """The text of a pylock.toml with these packages, each lines of TOML."""
    return 'lock-version = "1.0"\ncreated-by = "test"\n%s\n' % head + "".join(
        "[[packages]]\n" + package + "\n" for package in packages)


def six_package(wheelhouse, more="", **changes):
    """The entry of six, from the wheel at hand."""
    path = wheel(wheelhouse, "six")
    told = dict({"url": path.as_uri(), "size": path.stat().st_size,
                 "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}, **changes)
    version = path.name.split("-")[1]
    return 'name = "six"\nversion = "%s"\n%s\nwheels = [{ url = "%s", size = %d, hashes = { sha256 = "%s" } }]' % (
        version, more, told["url"], told["size"], told["sha256"])


def real_uv_version():
    told = subprocess.run([uv_program(), "--version"], stdout=subprocess.PIPE, universal_newlines=True).stdout
    return told.split()[1]


WITHOUT_WHEELS = "/bin/mount -t tmpfs none /usr/share/python-wheels && exec \"$@\""  # those of Debian's packages


def boot_without_wheels(repo, wild):
    """Boot where no pip wheel of Debian's is to be seen; skips where that cannot be arranged."""
    if os.path.isdir("/usr/share/python-wheels"):
        hide = [shutil.which("unshare") or "unshare", "-m", "/bin/sh", "-c", WITHOUT_WHEELS, "sh"]
        if not shutil.which("unshare") or subprocess.run(hide + ["/bin/true"], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no mount namespace to be had, to hide the pip wheels of this machine in")
    else:
        hide = []
    return subprocess.run(hide + [str(wild), str(repo.path / "prime")], env=repo.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, universal_newlines=True)


# -- examples --------------------------------------------------------------------------------------


def follow_readme(repo):
    """Run the commands of the README, its indented lines, in order. Returns {command: its stdout}."""
    printed = {}
    for line in (repo.path / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            command = line.split("  #")[0].strip()
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=str(repo.path),
                env=repo.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert done.returncode == 0, "%s\n%s" % (command, done.stderr.decode("utf-8", "replace"))
            printed[command] = done.stdout.decode("utf-8").strip()
    return printed


# -- servers ---------------------------------------------------------------------------------------

JSON = "application/vnd.pypi.simple.v1+json"
SECRET = "it's a/secret@"
QUOTED = urllib.parse.quote(SECRET, safe="")
USER = "mary:" + QUOTED
CODED = base64.b64encode(("mary:" + SECRET).encode()).decode()
FAR = "127.0.0.1:1"  # where nobody listens; the proxy alone knows the way to the index from there


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A server on 127.0.0.1, in a thread of its own, as long as the test runs."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.place = "127.0.0.1:%d" % self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.answer(self)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

    def give(self, status, body=b"", **headers):
        """Answer; `length` is what it says of the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")


def index_as_pypi(wheels, place):
    """An `Index` with https, without which pip keeps nothing, and files that may be kept for a year.

    place  Path of a directory, which gets the certificate of its authority: authority.pem
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place / "authority.pem"))
    index = Index(wheels, authority)
    index.is_cached = True
    return index


class Index(Server):
    """A package index (PEP 503) over a directory of wheels, and whatever else is put into `files`.

    user         `USER`, for whom alone it is then, or "" for everybody
    speaks_json  whether it answers in JSON (PEP 691) who accepts that
    has_hashes   whether its pages say the SHA-256 of what they lead to
    spoiled      {start of a file's name: how, a method of this class}
    elsewhere    a URL, where redirects lead to; below /away/ there is nothing else
    files        {name: bytes} below /files/ and /other/, besides the wheels
    asked        list of (path, whether with a password)
    is_cached    whether its files may be kept for long, as PyPI's
    """

    def __init__(self, wheels, ca=None):
        self.wheels, self.user, self.speaks_json, self.has_hashes, self.is_cached = wheels, "", False, True, False
        self.spoiled, self.elsewhere, self.files, self.asked = {}, "", {}, []
        super().__init__(Handler)
        self.scheme = "https" if ca else "http"
        if ca:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ca.issue_cert("127.0.0.1").configure_cert(context)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def url(self, path="simple", user="", place=""):
        return "%s://%s%s/%s" % (self.scheme, user and user + "@", place or self.place, path)

    def answer(self, request):
        said = request.headers.get("Authorization", "")
        self.asked.append((request.path, bool(said)))
        if self.user and said != "Basic " + CODED:
            return request.give(401, WWW_Authenticate='Basic realm="index"')
        kind, name = urllib.parse.unquote(request.path).strip("/").split("/")
        if kind == "simple":
            return self.page(request, name, self.speaks_json and JSON in request.headers.get("Accept", ""))
        if kind == "away":
            return self.away(request, name, b"")
        body = self.body(name)
        how = [how for start, how in self.spoiled.items() if name.startswith(start) and kind == "files"]
        kept = {"Cache_Control": "max-age=365000000, immutable, public"} if self.is_cached else {}
        return how[0](self, request, name, body) if how else request.give(200 if body else 404, body, **kept)

    def body(self, name):
        path = self.wheels / name
        return self.files[name] if name in self.files else path.read_bytes() if path.exists() else b""

    def page(self, request, project, is_json):
        wheels = sorted(path.name for path in self.wheels.glob(project.replace("-", "_") + "-*.whl"))
        files = [{"filename": name, "url": "/files/" + urllib.parse.quote(name), "hashes": {}} for name in wheels]
        for each in files if self.has_hashes else ():
            each["hashes"]["sha256"] = proto_prime.hash_bytes(self.body(each["filename"]))
        if is_json:
            text = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files})
            return request.give(200, text.encode(), Content_Type=JSON)
        lines = ['<a href="%s%s">%s</a><br>\n' % (
            html.escape(each["url"]), "".join("#sha256=" + value for value in each["hashes"].values()),
            each["filename"]) for each in files]
        return request.give(200 if lines else 404, "".join(lines).encode(), Content_Type="text/html")

    def changed(self, request, _, body):
        """Another byte in the middle."""
        middle = len(body) // 2
        request.give(200, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:])

    def truncated(self, request, _, body):
        """Half of it, and then the line is dead."""
        request.give(200, body[:len(body) // 2], Content_Length=str(len(body)))

    def html_page(self, request, *_):
        """What the network of a hotel answers, to everything."""
        request.give(200, b"<!DOCTYPE html><html><body>Please accept our terms</body></html>",
                     Content_Type="text/html")

    def away(self, request, name, _):
        """A redirect."""
        request.give(302, Location=self.elsewhere + "/other/" + urllib.parse.quote(name))


class Proxy(Server):
    """A forward proxy, which knows the way from `FAR` to an index.

    user    as of `Index`
    passed  list of (method, host and port), what passed
    """

    def __init__(self, index):
        self.index, self.user, self.passed = index, "", []

        class ProxyHandler(Handler):
            def do_CONNECT(self):
                self.server.answer(self)

        super().__init__(ProxyHandler)

    def url(self, user=""):
        return "http://%s%s" % (user and user + "@", self.place)

    def answer(self, request):
        said = request.headers.get("Proxy-Authorization", "")
        if self.user and said != "Basic " + CODED:
            return request.give(407, Proxy_Authenticate='Basic realm="proxy"')
        is_tunnel = request.command == "CONNECT"
        target = urllib.parse.urlsplit("//" + request.path if is_tunnel else request.path)
        self.passed.append((request.command, target.netloc))
        if target.netloc != FAR:
            return request.give(502)
        with socket.create_connection(self.index.server_address) as upstream:
            if is_tunnel:
                request.send_response(200)
                request.end_headers()
                threading.Thread(target=pump, args=(request.connection, upstream), daemon=True).start()
            else:
                words = ["%s %s HTTP/1.0" % (request.command, target.path)]
                words += ["%s: %s" % pair for pair in request.headers.items()
                          if pair[0].lower() not in ("connection", "proxy-connection")]
                upstream.sendall("\r\n".join(words + ["", ""]).encode())
            pump(upstream, request.connection)
        return None


def pump(source, target):
    """Pass on what comes, until the end."""
    try:
        data = b"-"
        while data:
            data = source.recv(1 << 16)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Net:
    """An index with a certificate and a password of its own, behind a proxy with a password."""

    def __init__(self, wheels, directory):
        authority = trustme.CA()
        self.certificate = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(self.certificate))
        self.index = Index(wheels, authority)
        self.proxy = Proxy(self.index)
        self.index.user = self.proxy.user = USER

    def close(self):
        self.proxy.close()
        self.index.close()

    def settings(self, user=USER, proxy=USER, certificate=""):
        """What it takes: the URL of the index, and a dict of variables. None for a part leaves that away."""
        variables = {} if proxy is None else {"https_proxy": self.proxy.url(proxy)}
        if certificate is not None:
            variables["PIP_CERT"] = certificate or str(self.certificate)
        return self.index.url(user=user or "", place=FAR), variables


# -- fetches and updates, and the passwords that they must not show ---------------------------------


def kept_in(cache):
    """What a user cache holds of uv, less the hashes of pinned ones, and what was left half done: relative paths."""
    kept = [path for path in (cache / "uv").rglob("*") if path.name != "lock" and path.suffix != ".sha256"]
    kept += list(cache.rglob("*-tmp"))
    return sorted(str(path.relative_to(cache)) for path in kept)


def check_secrecy(repo, *texts):
    """Assert that no password stands in what was printed, nor in any log."""
    for text in list(texts) + [log.read_text(encoding="utf-8") for log in repo.logs]:
        for secret in (SECRET, QUOTED, CODED):
            assert secret not in text, text


FETCH = """\
import sys
sys.path.insert(0, sys.argv[1])
import proto_prime
proto_prime.OLDEST_UV_PYTHON = (4, 0)  # as where no python may run pip for it
try:
    print(proto_prime.fetch_uv(proto_prime.parse_uv_version(""), sys.argv[2:]))
except proto_prime.PrimeError as error:
    sys.exit(proto_prime.fail(error))
"""
ENDS = ["3.6", "3.13"]  # the oldest and the newest that this file is tested with


class Fetch:
    """What became of a fetch straight from the index under one python: status, output, and what is kept."""

    def __init__(self, repo, version, words, env, code):
        self.cache = repo.home / ("cache " + version)
        environ = dict(repo.env, PATH=str(repo.bin), PROTOPRIMER_CACHE_DIR=str(self.cache), **(env or {}))
        self.process = subprocess.Popen(
            [str(python(version)), "-B", "-c", code, str(repo.path)] + list(words), env=environ,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)

    def end(self, repo):
        self.stdout, self.stderr = self.process.communicate(timeout=120)
        self.status, self.kept = self.process.returncode, kept_in(self.cache)
        check_secrecy(repo, self.stdout, self.stderr)
        assert "Traceback" not in self.stderr, self.stderr
        return self


def fetch_itself(repo, *words, env=None, versions=ENDS, code=FETCH):
    """Fetch a uv straight from the index, under several pythons at once. Returns a list of `Fetch`."""
    begun = [Fetch(repo, version, words, env, code) for version in versions]
    return [fetch.end(repo) for fetch in begun]


def check_no_fetch(repo, words, *options, **more):
    """Assert that a fetch straight from the index fails with `words`, and leaves nothing."""
    for fetch in fetch_itself(repo, *options, **more):
        assert fetch.status == 1
        assert re.search(words, fetch.stderr[fetch.stderr.index("prime: error: "):]), fetch.stderr
        assert fetch.kept == []


class Vendored:
    """A repo with a copy of the file, as a client has it, and what stands beside it."""

    def __init__(self, repo):
        self.repo, self.file = repo, repo.path / "proto_prime.py"
        self.old = self.file.read_bytes()
        self.file.unlink()
        self.file.write_bytes(self.old)
        self.file.chmod(0o750)
        self.version = proto_prime.__version__
        self.new = self.old.replace(b'__version__ = "%s"' % self.version.encode(), b'__version__ = "99.1"')
        assert self.new != self.old
        self.state = self.look()

    def look(self):
        st = os.stat(str(self.file))
        names = set(os.listdir(str(self.repo.path))) - {"__pycache__"}
        return self.file.read_bytes(), st.st_mode, st.st_ino, names

    def check_refusal(self, words, *argv, status=1, **options):
        """Assert that an update is refused with `words`, and the file is the same one in every respect."""
        result = self.repo.prime("update", *argv, status=status, **options)
        error = result.stderr[result.stderr.index("prime: error: "):]
        assert re.search(words, error), error
        assert "Traceback (" not in result.stderr and result.stdout == ""
        check_secrecy(self.repo, result.stderr)
        assert self.look() == self.state

    def check_update(self, *argv, **options):
        """Assert that an update to `new` is one rename, and keeps the mode."""
        result = self.repo.prime("update", *argv, **options)
        assert result.stderr == "prime: %s: %s -> 99.1 (lines: +1 -1)\n" % (self.file, self.version)
        data, mode, inode, names = self.look()
        assert (data, mode, names) == (self.new, self.state[1], self.state[3])
        assert inode != self.state[2]
        assert self.repo.prime("--version").stdout == "proto_prime 99.1\n"


# -- a terminal ------------------------------------------------------------------------------------

ROWS = 40
READY = "python %s, %s packages in %s s"  # in the text for `Terminal.check`: what is another at each build


class Terminal:
    """A pseudo-terminal of some width with one program on it, and the screen that shows what it writes."""

    def __init__(self, repo, columns=80):
        self.repo, self.raw, self.frames, self.process = repo, b"", [], None
        self.keyboard, self.device = pty.openpty()
        pyte = pytest.importorskip("pyte")
        self.screen = pyte.Screen(columns, ROWS)
        self.screen.write_process_input = self.type  # the answers to what fish asks
        self.stream = pyte.ByteStream(self.screen)
        self.tell_size(columns)

    def tell_size(self, columns, rows=ROWS):
        """Have the system say that the window is of this size."""
        fcntl.ioctl(self.device, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def resize(self, columns):
        """Make the window so wide, as its user may at any time."""
        while self._show(0):
            pass
        self.tell_size(columns)
        self.screen.resize(columns=columns)

    def type(self, text):
        os.write(self.keyboard, text.encode())

    def run(self, *command, env=None, ignores_hangup=False, **streams):
        """Start a program whose terminal this is; `streams` are those that lead elsewhere."""
        def take_terminal():
            fcntl.ioctl(self.device, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores_hangup else signal.SIG_DFL)

        environ = dict(dict(self.repo.env, TERM="xterm"), **(env or {}))
        environ = {name: value for name, value in environ.items() if value is not None}
        for name in ("stdin", "stdout", "stderr"):
            streams.setdefault(name, self.device)
        self.process = subprocess.Popen(command, env=environ, cwd=str(self.repo.path), start_new_session=True,
                                        preexec_fn=take_terminal, **streams)
        return self

    def prime(self, *argv, python=None, **options):
        """Start `prime argv…`."""
        return self.run(str(python or some_python()), "prime", *argv, **options)

    def sh(self):
        """Start a shell, whose jobs are what is typed."""
        return self.run("sh", "-i", env={"PS1": "$ ", "ENV": None}).until(r"^\$")

    @property
    def rows(self):
        """What the screen shows, less the blank rest."""
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip().split("\n")

    def shows(self, pattern):
        """Whether that is found in a row now."""
        return any(re.search(pattern, row) for row in self.rows)

    def _show(self, seconds):
        """Show what comes within that time, if anything does, and keep the state of the screen."""
        is_there = bool(select.select([self.keyboard], [], [], seconds)[0])
        if is_there:
            data = os.read(self.keyboard, 1 << 16)
            self.raw += data
            self.stream.feed(data)
            self.frames.append(self.rows[:self.screen.cursor.y + 1])
        return is_there

    def until(self, pattern):
        """Follow until a row shows that."""
        deadline = time.time() + 30
        while not self.shows(pattern):
            has_ended = self.process.poll() is not None
            assert self._show(0.05) or not has_ended and time.time() < deadline, "\n".join(self.rows)
        return self

    def pause(self, seconds):
        """Follow for that long."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            self._show(0.05)
        return self

    def finish(self, status=0):
        """Follow to the program's end, which must have this status."""
        deadline, has_ended = time.time() + 30, False
        while self._show(0.05) or not has_ended:
            has_ended = self.process.poll() is not None
            assert time.time() < deadline, "\n".join(self.rows)
        assert self.process.returncode == status, "\n".join(self.rows)
        return self

    def check(self, text):
        """Assert that the screen shows this text at the end, and that each row of it stayed as it was written.

        The row of the cursor alone may have been another, a live line: so none was wrapped, or left behind.
        """
        ready = re.search(r"python [\d.]+, \d+ packages? in [\d.]+ s", self.raw.decode("utf-8", "replace"))
        width, lines = self.screen.columns, text.replace(READY, ready.group() if ready else "").splitlines()
        wanted = [line[start:start + width].rstrip() for line in lines for start in range(0, len(line), width)]
        assert self.rows == wanted
        for frame in self.frames:
            assert frame[:-1] == wanted[:len(frame) - 1]

    def hang_up(self):
        """Close the window."""
        for end in (self.keyboard, self.device):
            os.close(end)
        self.keyboard = None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        if self.keyboard:
            self.hang_up()
