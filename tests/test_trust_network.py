"""What a network, a server or a machine may do to us, and what is never told: passwords."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import zipfile

import pytest
from conftest import TOP, python, some_python, uv_program
from helpers import FETCH, Proxy, Vendored, check_no_fetch

import proto_prime

# Texts, and what people may see of them: neither user names nor passwords, and all else.
SPELLINGS = [
    ("http://user:pw@host/simple", "http://***@host/simple"),
    ("https://token@host", "https://***@host"),
    ("https://:pw@host/", "https://***@host/"),
    ("https://user:@host/", "https://***@host/"),
    ("https://user:p@ss@host/simple", "https://***@host/simple"),
    ("https://user:pa/ss@host.org/simple", "https://***@host.org/simple"),
    ("https://user:p@s/s@host.org/simple", "https://***@host.org/simple"),
    ("https://user:pa#ss@host/simple", "https://***@host/simple"),
    ("https://user:pa?ss@host/simple", "https://***@host/simple"),
    ("https://user:12/34@host.org/simple", "https://***@host.org/simple"),
    ("https://john.doe:12/ab@host.org/simple", "https://***@host.org/simple"),
    ("https://user:/x@host/simple", "https://***@host/simple"),
    ("https://user:a//b@host/simple", "https://***@host/simple"),
    ("https://to/ken@pypi.org/simple", "https://***@pypi.org/simple"),
    ("https://user:p%2Fs%40@host/simple", "https://***@host/simple"),
    ("https://user%3Apw@host/simple", "https://***@host/simple"),
    ("https://user:p'w@host", "https://***@host"),
    ('https://user:p"w@host', "https://***@host"),
    ("'https://user:p'\"'\"'w@host'", "'https://***@host'"),
    ("https://user:p\\w@host", "https://***@host"),
    ("https://user:p[w]@host", "https://***@host"),
    ("https://user:p w@host/x", "https://***@host/x"),
    ("HTTPS://User:PW@Host/", "HTTPS://***@Host/"),
    ("git+https://user:pw@host/o/r.git@v1.0#egg=x", "git+https://***@host/o/r.git@v1.0#egg=x"),
    ("git+https://token@github.com/o/r@main", "git+https://***@github.com/o/r@main"),
    ("git+https://user:p/w@host.org/o/r@0123abcd", "git+https://***@host.org/o/r@0123abcd"),
    ("ssh://git@github.com/o/r", "ssh://***@github.com/o/r"),
    ("git+ssh://git:pw@github.com:22/o/r@v2", "git+ssh://***@github.com:22/o/r@v2"),
    ("ftp://user:pw@host", "ftp://***@host"),
    ("//user:pw@host/x", "//***@host/x"),
    ("see //user:pw@host/x", "see //***@host/x"),
    ("postgres://user:pw@[::1]:5432/db", "postgres://***@[::1]:5432/db"),
    ("https:\\/\\/user:pw@host\\/x", "https:\\/\\/***@host\\/x"),
    ("a http://u:p@h b https://v:q@i/x c", "a http://***@h b https://***@i/x c"),
    ("http://u:p@h,https://v:q@i;ftp://w@j", "http://***@h,https://***@i;ftp://***@j"),
    ('{"url":"https://u:p@h/x","mail":"me@home.org"}', '{"url":"https://***@h/x","mail":"me@home.org"}'),
    ('["http://u:p@h", "http://h/"]', '["http://***@h", "http://h/"]'),
    ("(http://u:p@h)", "(http://***@h)"),
    ("<http://u:p@h>", "<http://***@h>"),
    ("PIP_INDEX_URL=http://u:p@h/simple", "PIP_INDEX_URL=http://***@h/simple"),
    ("--index-url=http://u:p@h/simple", "--index-url=http://***@h/simple"),
    ("corp=http://u:p@h/simple", "corp=http://***@h/simple"),
    ("http://user:secret", "http://***"),
    ("fetching http://user:se/cret\nnext", "fetching http://***\nnext"),
    ("http://user:http://x@host", "http://***://***@host"),
    ("\x1b[1mhttp://u:p@h\x1b[0m", "\x1b[1mhttp://***@h\x1b[0m"),
    ("http://u:p@h\rhttp://v:q@i", "http://***@h\rhttp://***@i"),
]

READABLE = [
    "git+https://host/o/r@v1.0", "git+https://github.com/o/r@main", "git+https://github.com/o/r@feature/x",
    "http://host:8080/path@1.0", "http://host:8080/simple/", "https://host/a@b", "http://127.0.0.1:8080/a@b/c",
    "https://example.org/@scope/package", "https://example.org/?mail=me@home.org", "http://[::1]:8080/x@y",
    "file:///home/me@work.org/x", "file:///C:/me@work.org/x", "a // comment for me@home.org", "me@home.org",
    "git@github.com:o/r", "/a//b@c", "http://host:8080", "http://localhost:99/x", "six @ https://host.org/six.whl",
    '{"url":"https://host.org/x","mail":"me@home.org"}', "1 // 2 @ 3", "", "://", "https://", "@", "//",
    "cannot fetch http://127.0.0.1:port/x: nonsense", "see https://host.org/x: me@home.org wrote it",
]


@pytest.mark.parametrize("text, seen", SPELLINGS)
def test_H14_page_of_spellings(text, seen):
    assert proto_prime.masked(text) == seen
    assert proto_prime.masked(seen) == seen  # nothing happens to what is masked already
    assert proto_prime.masked("before %s after" % text).startswith("before ")


@pytest.mark.parametrize("text", READABLE)
def test_H14_what_has_no_password_stays_readable(text):
    assert proto_prime.masked(text) == text


@pytest.mark.parametrize("piece", [
    "://", "//", "a", "@", ":", "/", "a://", "a://b@", "://@", "://a:b", ":@/", "'", '"://a\'', " ", "\n", "\\/", "%",
    "http://u:p ", "http://u:p\t@", "http://h:1/a@", "git+https://a@b@", "//'", "http://'", '"http://a"'])
def test_H14_masking_takes_linear_time(piece):
    text, start = piece * ((1 << 20) // len(piece)), time.process_time()
    proto_prime.masked(text)
    assert time.process_time() - start < 5


# -- H14: in what children print, and in what is kept ----------------------------------------------

SECRET = "s3cret/w#rd"  # as no URL may have it
PLACE = "http://mary:%s@127.0.0.1:9/simple" % SECRET


def check_kept(repo, *texts):
    """Assert that neither what was printed, nor anything that is kept of a boot, has the password or its owner."""
    kept = [path for path in repo.path.glob(".prime/**/*") if path.is_file() and not path.is_symlink()]
    kept = [path for path in kept if path.suffix == ".log" or path.name == "proto-prime.json" or "stamp" in path.parts]
    assert kept
    for text in list(texts) + [path.read_bytes().decode("utf-8", "replace") for path in kept]:
        for secret in ("mary", "s3cret", "w#rd"):
            assert secret not in text, text


PRINTS = {
    "whole": "os.write(2, LINE + b'\\n')",
    "in halves": "for byte in LINE + b'\\n': os.write(2, bytes([byte])); time.sleep(.002)",
    "carriage returns": "os.write(2, 9 * (LINE + b'\\r'))",
    "no line end": "os.write(2, LINE)",
    "on stdout": "os.write(1, LINE + b'\\n')",
    "begin cut away": "os.write(2, LINE + b' ' + b'x' * (65536 - len(LINE) + 12) + b'\\n')",
    "two streams in turn": "for byte in LINE + b'\\n': os.write(1 + byte % 2, bytes([byte]))",
}


@pytest.mark.parametrize("how", sorted(PRINTS))
def test_H14_what_children_print_is_masked(plain, how):
    code = "import os, sys, time\nLINE = b'fetching %s of late'\n%s\nsys.exit(3)\n" % (PLACE, PRINTS[how])
    plain.write("speak.py", code)
    plain.config('post_boot = [["python", "speak.py"]]')
    result = plain.prime("-vv", status=1)
    assert "fetching http://***@127.0.0.1:9/simple of late" in result.stderr
    check_kept(plain, result.stderr, result.stdout)


def test_H14_a_line_without_an_end_is_shown_in_time(plain):
    plain.write("speak.py", "import os\nfor _ in range(40): os.write(2, b'x' * 65536)\n")
    plain.config('post_boot = [["python", "speak.py"]]')
    assert plain.prime("-vv").stderr.count("x") > 40 * 65536


def test_H14_what_is_kept_of_a_build_has_no_password_and_another_password_builds_nothing(plain, wheelhouse):
    text = 'index_url = "https://mary:%s@127.0.0.1:9/simple"\nextra_index_urls = ["https://s3cret@127.0.0.1:9/x"]\n'
    plain.config(text % "s3cret")
    result = plain.prime("-vv")
    check_kept(plain, result.stderr, result.stdout, *[plain.prime("info", *argv).stdout for argv in ([], ["--json"])])
    generation = plain.current
    plain.config(text % "other")
    assert "is current" in plain.prime().stderr and plain.current == generation
    plain.config(text.replace("127.0.0.1:9/simple", "127.0.0.1:9/other") % "other")
    assert "index_url changed" in plain.prime().stderr and plain.current != generation


@pytest.mark.parametrize("before, after", [
    ("git+https://u:p@127.0.0.1:9/o/r@a/b", "git+https://u:p@127.0.0.1:9/o/other@a/b"),
    ("https://index.test:9/o@x/r", "https://index.test:9/p@x/r")])
def test_H14_another_path_is_another_input_however_much_of_it_is_hidden(before, after):
    assert proto_prime.masked_input(before) != proto_prime.masked_input(after)
    assert proto_prime.masked_input({"a": [before]}) != proto_prime.masked_input({"a": [after]})


def test_H14_errors_have_no_password(plain):
    for argv in (["update", "--from", PLACE], ["update", "--from", PLACE, "--sha256", "0" * 64], [PLACE],
                 ["python", PLACE], ["-e", PLACE]):
        result = plain.prime(*argv, status=None)
        assert result.status
        for secret in ("mary", "s3cret", "w#rd"):
            assert secret not in result.stdout + result.stderr, result.stderr


# -- H7: what is fetched comes by https, from a file, or has a hash of the user's --------------------


def proto_wheel(version="99.1"):
    """A wheel of this file, whose version is another one; and that file."""
    text = (TOP / "proto_prime.py").read_text(encoding="utf-8")
    code = text.replace('__version__ = "%s"' % proto_prime.__version__, '__version__ = "%s"' % version)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("proto_prime.py", code)
    return "proto_prime-%s-py3-none-any.whl" % version, data.getvalue(), code.encode()


@pytest.fixture
def vendored(index_client):
    return Vendored(index_client)


def serve_page(index, name, *links):
    """Let the index have a page of a project at /files/NAME, with these (URL, SHA-256)."""
    page = {"files": [{"url": url, "hashes": {"sha256": sha256} if sha256 else {}} for url, sha256 in links]}
    index.files[name] = json.dumps(page).encode()


def test_H7_update_from_an_index_by_http_takes_a_hash(vendored, local_index):
    name, wheel, code = proto_wheel()
    local_index.files[name] = wheel
    serve_page(local_index, "proto-prime", (local_index.url("files/" + name), proto_prime.hash_bytes(wheel)))
    env = {"PIP_INDEX_URL": local_index.url("files")}
    vendored.check_refusal("could be anybody's(.|\n)*hint: give https, or --sha256", env=env, status=2)
    assert local_index.asked == []
    vendored.check_refusal("is not what it should be", "--sha256", "0" * 64, env=env)
    vendored.repo.prime("update", "--sha256", proto_prime.hash_bytes(code), env=env)
    assert vendored.file.read_bytes() == code


def test_H7_links_of_an_index_by_https_that_lead_elsewhere_are_not_followed(vendored, net, local_index):
    name, wheel, _ = proto_wheel()
    local_index.files[name], net.index.user = wheel, ""
    (vendored.repo.home / name).write_bytes(wheel)
    env = {"PIP_CERT": str(net.certificate), "PIP_INDEX_URL": net.index.url("files")}
    serve_page(net.index, "proto-prime", (local_index.url("files/" + name), proto_prime.hash_bytes(wheel)))
    vendored.check_refusal("could be anybody's", env=env, status=2)
    serve_page(net.index, "proto-prime", ((vendored.repo.home / name).as_uri(), proto_prime.hash_bytes(wheel)))
    result = vendored.repo.prime("update", "-v", env=env)  # passed over: there is nothing newer
    assert "passed over in https://" in result.stderr and vendored.look() == vendored.state
    serve_page(net.index, "proto-prime", (net.index.url("files/" + name), ""))
    net.index.files[name] = wheel
    vendored.repo.prime("update", env=env)
    assert vendored.repo.prime("--version").stdout == "proto_prime 99.1\n"
    assert local_index.asked == []


def test_H7_uv_from_an_index_by_https_is_not_taken_by_http(index_client, net, local_index, wheelhouse):
    name = next(wheelhouse.glob("uv-*.whl")).name
    net.index.user = ""
    serve_page(net.index, "uv", (local_index.url("files/" + name), ""))
    env = {"PIP_CERT": str(net.certificate)}
    code = FETCH.replace("fail(error))", "fail(error) and 1)")
    check_no_fetch(index_client, "could be anybody's", "--index-url", net.index.url("files"), env=env, code=code)
    assert local_index.asked == []


@pytest.mark.parametrize("url", ["http://index.test/simple", "http://127.0.0.1.evil.test/simple", "ftp://127.0.0.1/x",
                                 "http://localhost.test/simple", "http://127.0.0.1@evil.test/simple"])
def test_H7_uv_from_an_index_of_another_machine_by_http_is_refused(index_client, local_index, url):
    proxy = Proxy(local_index)
    try:
        code = FETCH.replace("fail(error))", "fail(error) and 1)")
        check_no_fetch(index_client, "could be anybody's", "--index-url", url, env={"http_proxy": proxy.url()},
                       code=code, versions=["3.6"])
        assert proxy.passed == local_index.asked == []
    finally:
        proxy.close()


def test_H7_one_rule_for_every_url():
    def may(url, trust):
        try:
            proto_prime.check_url(url, trust)
            return True
        except proto_prime.PrimeError:
            return False

    for url in ("https://h/x", "HTTPS://h/x", "file:///x"):
        assert all(may(url, trust) for trust in ("https", "loopback", "hash")), url
    for url in ("http://127.0.0.1/x", "http://127.9.9.9:1/x", "http://[::1]/x", "HTTP://LOCALHOST/x"):
        assert [may(url, trust) for trust in ("https", "loopback", "hash")] == [False, True, True], url
    for url in ("http://h/x", "http://127.0.0.1.h/x", "http://localhost@h/x", "http://1270.0.0.1/x", "ftp://[::1]/x"):
        assert [may(url, trust) for trust in ("https", "loopback", "hash")] == [False, False, True], url
    for url in ("data:text/plain,x", "x", "", "gopher://h", "//h/x", "http:h", "http://[h"):
        assert url == "http:h" or not may(url, "hash"), url
        assert not may(url, "https") and not may(url, "loopback"), url


# -- H16: what a server, an index or a machine may do ------------------------------------------------

CALL = """\
import sys
sys.path.insert(0, sys.argv[1])
import proto_prime
proto_prime.BODY_SECONDS, proto_prime.BODY_CAP, proto_prime.RETRIES = 3, 1 << 20, "0"

def work():
    %s
    return 0

sys.exit(proto_prime.status_of(work))
"""


def call(repo, code, *argv, version="", env=None, before=""):
    """Run code that calls proto_prime in a child. Returns its status and stderr, which must be no fault of ours."""
    start = time.monotonic()
    program = str(python(version) if version else some_python())
    command = [program, "-B", "-c", CALL % code, str(repo.path)] + [str(word) for word in argv]
    if before:
        command = ["sh", "-c", before + '; exec "$@"', "sh"] + command
    done = subprocess.run(command, env=dict(repo.env, **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert "Traceback" not in done.stderr and "fault of prime" not in done.stderr, done.stderr
    assert time.monotonic() - start < 30
    return done.returncode, done.stderr


class Raw:
    """A server that says some bytes, `pieces`, to each who connects, and whatever they ask; a number is a pause."""

    def __init__(self, pieces):
        self.pieces, self.socket = pieces, socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(5)
        self.url = "http://127.0.0.1:%d/x" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                connection = self.socket.accept()[0]
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()
        except OSError:
            pass

    def answer(self, connection):
        try:
            connection.recv(1 << 16)
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    connection.sendall(piece.replace(b"HERE", self.url.encode()))
                else:
                    time.sleep(piece)
            connection.close()
        except OSError:
            pass


def endless(*pieces):
    while True:
        yield from pieces


def after(first, rest):
    yield first
    yield from rest


OK = b"HTTP/1.1 200 OK\r\n"
SERVERS = {
    "length of letters": ([OK + b"Content-Length: 12abc\r\n\r\nhello"], "a length that is none: 12abc"),
    "negative length": ([OK + b"Content-Length: -5\r\n\r\nhello"], "a length that is none: -5"),
    "length with a sign": ([OK + b"Content-Length: +5\r\n\r\nhello"], "a length that is none"),
    "length in other digits": ([OK + b"Content-Length: \xb2\r\n\r\nhello"], "a length that is none"),
    "huge length": ([OK + b"Content-Length: 99999999999999\r\n\r\nhello"], "it may have 1048576"),
    "length of 5000 digits": ([OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"], "a length that is none"),
    "two lengths": ([OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"], "a length that is none"),
    "too short": ([OK + b"Content-Length: 50\r\n\r\nhello"], "5 bytes came instead of 50"),
    "endless body": (lambda: after(OK + b"\r\n", endless(b"x" * 65536)), "has more than the 1048576 bytes"),
    "endless chunks": (lambda: after(OK + b"Transfer-Encoding: chunked\r\n\r\n",
                                     endless(b"8000\r\n" + b"x" * 32768 + b"\r\n")), "has more than the 1048576 bytes"),
    "slow drip": (lambda: after(OK + b"\r\n", endless(b"x", 0.1)), "within 3 s"),
    "slow head": (lambda: after(OK + b"X: ", endless(b"x", 0.1)), "within 3 s"),
    "slow status": (lambda: endless(b"H", 0.1), "within 3 s"),
    "silence": (lambda: endless(0.5), "within 3 s"),
    "endless head": (lambda: after(OK, endless(b"X: y\r\n" * 999)), "got more than|too many|headers"),
    "endless line": (lambda: after(OK + b"X: ", endless(b"x" * 65536)), "header line|too long|more than"),
    "endless 100 Continue": (lambda: endless(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), "within 3 s"),
    "endless trailer": (lambda: after(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", endless(b"X: y\r\n", 0.01)),
                        "within 3 s"),
    "bad chunks": ([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello"], "cannot fetch .*IncompleteRead"),
    "negative chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello"], "cannot fetch"),
    "garbage": ([b"\x00\xff\xfe garbage\r\n\r\n"], "cannot fetch"),
    "status of letters": ([b"HTTP/1.1 abc OK\r\n\r\n"], "cannot fetch"),
    "nothing": ([], "cannot fetch"),
    "redirect to itself": ([b"HTTP/1.1 302 Found\r\nLocation: HERE\r\nContent-Length: 0\r\n\r\n"], "infinite loop"),
    "redirect to a file": ([b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"], "file"),
    "redirect to ftp": ([b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n"], "leads to ftp"),
    "redirect to nonsense": ([b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n"], "cannot fetch"),
    "redirect to a port": ([b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999999/\r\n\r\n"], "cannot fetch"),
    "redirect to a host": ([b"HTTP/1.1 302 Found\r\nLocation: http://h\xff.test/\r\n\r\n"], "cannot fetch"),
}


@pytest.mark.parametrize("version", ["3.6", "3.13"])
@pytest.mark.parametrize("what", sorted(SERVERS))
def test_H16_server_that_does_what_none_should(plain, what, version):
    pieces, words = SERVERS[what]

    class Pieces:
        def __iter__(self):
            return iter(pieces() if callable(pieces) else pieces)

    server = Raw(Pieces())
    try:
        status, stderr = call(plain, "proto_prime.fetch(sys.argv[2], trust='hash')", server.url, version=version)
    finally:
        server.socket.close()
    assert status == 1
    assert re.search("^prime: error: (.|\n)*(%s)" % words, stderr), stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc/", "http://127.0.0.1:99999999/", "http://127.0.0.1:-1/",
                                 "http://\u2100.test/", "http://\u00e4\u00f6.test:1/", "https://x..y/",
                                 "http://" + "a" * 70000,
                                 "http://127.0.0.1:0/", "https://[::1", "https://", "file://", "file:///dev/zero",
                                 "http://127.0.0.1:1/\n", "http://127.0.0.1:1/a b", "http://127.0.0.1:1/\u20ac"])
def test_H16_odd_urls_are_errors(plain, url):
    status, stderr = call(plain, "proto_prime.fetch(sys.argv[2], trust='hash')", url)
    assert status in (1, 2) and stderr.startswith("prime: error: "), stderr


ODD_NAMES = ["uv-1.whl", "uv-banana-py3-none-any.whl", "uv-.whl", "uv.whl", "uv-1-py3-none.whl", "uv--py3-none-any.whl",
             "..whl", "", "uv-%s-py3-none-any.whl" % ("9" * 5000)]
ODD_FILES = [None, 1, "x", [], {}, {"url": 1, "hashes": {}}, {"url": "x", "hashes": []},
             {"url": "uv-9.9.9-py3-none-any.whl", "hashes": {"sha256": 5}},
             {"url": "uv-9.9.9-py3-none-any.whl", "hashes": {"sha256": "zz"}},
             {"url": "http://[/uv-9.9.9-py3-none-any.whl", "hashes": {}},
             {"url": "uv-9.whl", "hashes": {}, "size": "x"}]


@pytest.mark.parametrize("form", ["JSON", "HTML"])
def test_H16_odd_files_of_an_index_are_passed_over(plain, local_index, wheelhouse, form):
    real = next(wheelhouse.glob("uv-*.whl"))
    files = [{"url": name, "hashes": {}} for name in ODD_NAMES] + (ODD_FILES if form == "JSON" else [])
    files += [{"url": local_index.url("files/" + real.name), "hashes": {"sha256": proto_prime.hash_file(str(real))}}]
    page = json.dumps({"files": files}) if form == "JSON" else "<html><a><a href><a href=''><![x[<!--" + "".join(
        "<a data-x='>' href=\"%s\">x</a>" % each["url"] for each in files)
    local_index.files["uv"] = page.encode()
    code = "proto_prime.BODY_CAP <<= 9; proto_prime.fetch_uv_itself(proto_prime.parse_uv_version(''), sys.argv[3], " \
           "['--index-url', sys.argv[2]], ())"
    (plain.home / "uv").mkdir()
    env = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
    status, stderr = call(plain, code, local_index.url("files"), plain.home / "uv", env=env)
    assert status == 0, stderr
    assert proto_prime.hash_file(str(plain.home / "uv" / real.name)) == proto_prime.hash_file(str(real))


@pytest.mark.parametrize("page", [b"[]", b"null", b'{"files": 5}', b'{"files": {"a": 1}}', b"[" * 100000,
                                  b"\xff\xfe", b"",
                                  b"<a " * 100000, b"<a href='" * 100000,
                                  b'<a "\'' * 100000])
def test_H16_pages_of_an_index_that_are_none(plain, local_index, page):
    local_index.files["uv"] = page
    status, stderr = call(plain, "print(proto_prime.index_links(sys.argv[2], 'uv', 'loopback'), file=sys.stderr)",
                          local_index.url("files"))
    assert (status, stderr) == (0, "[]\n") or "cannot fetch" in stderr, stderr


def bomb(name, size):
    """A wheel with a file of so many bytes, all of them zero."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * size)
    return data.getvalue()


def test_H16_wheels_that_are_bombs(plain):
    code = "proto_prime.file_in_wheel(open(sys.argv[2], 'rb'), 'uv', 'x is no wheel of uv')"
    data = bomb("uv", 2 << 20)
    lying = data.replace((2 << 20).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    locked = bytearray(data)
    locked[6] |= 1
    locked[data.rindex(b"PK\1\2") + 8] |= 1  # encrypted
    for number, content in enumerate((data, lying, bytes(locked), data[:-5], b"", b"PK\5\6" + b"\xff" * 18)):
        wheel = plain.home / ("%d.whl" % number)
        wheel.write_bytes(content)
        status, stderr = call(plain, code, wheel)
        assert status == 1 and stderr.startswith("prime: error: x is no wheel of uv: "), stderr


def test_H16_system_without_threads(plain):
    code = "import _thread, threading; threading._start_new_thread = threading._start_joinable_thread = " \
           "lambda *_, **__: (_ for _ in ()).throw(RuntimeError(\"can't start new thread\"))\n    %s"
    for work in ("proto_prime.run_child(['/bin/echo'])", "proto_prime.fetch('file:///etc/passwd')",
                 "threading.Thread(target=print).start()"):
        status, stderr = call(plain, code % work, before="ulimit -u 99999")
        assert status == 1 and "start new thread" in stderr and "hint: look at the limits" in stderr, stderr


def test_H16_user_without_processes(tmp_path):
    """A second user, whose processes are counted, and who may have a few of them."""
    if os.geteuid() or not shutil.which("setpriv") or not shutil.which("bash"):
        pytest.skip("no second user to be had (root, setpriv, bash)")
    user, repo = 54321, tmp_path / "repo"
    program = next((each for each in ("/usr/bin/python3", "/usr/local/bin/python3") if os.path.exists(each)), "")
    probe = ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups"]
    repo.mkdir()
    for name in ("proto_prime.py", "examples/hello/prime"):
        shutil.copy(str(TOP / name), str(repo))
    (repo / "proto_prime.toml").write_text("")
    for place in [repo] + list(repo.parents)[:-2]:
        os.chmod(str(place), 0o755)
    for place in [repo] + list(repo.iterdir()):
        os.chown(str(place), user, user)
    reads = probe + [program, "-c", "open('%s/prime')" % repo]
    if not program or subprocess.run(reads, stderr=subprocess.PIPE).returncode:
        pytest.skip("no python that another user may run")
    env = {"HOME": str(repo), "PATH": "/usr/bin:/bin", "PROTOPRIMER_VENV_DRIVER": "venv_pip"}
    for limit in (1, 2, 3):
        argv = probe + ["bash", "-c", 'ulimit -u %d; exec "$@"' % limit, "bash", program, str(repo / "prime"), "reset"]
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, timeout=120)
        assert done.returncode == 1 and "Traceback" not in done.stderr and "fault of prime" not in done.stderr
        assert "ulimit -u" in done.stderr, done.stderr


def test_H16_system_without_memory(plain):
    status, stderr = call(plain, "raise MemoryError")
    assert status == 1 and "not enough memory" in stderr and "hint: look at the limits" in stderr


@pytest.mark.parametrize("limit", list(range(4, 13)))
def test_H16_few_open_files(plain, limit):
    def run(*argv):
        command = ["sh", "-c", 'ulimit -n %d; exec "$@"' % limit, "sh", str(python("3.12"))] + list(argv)
        return subprocess.run(command, env=plain.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=120, cwd=str(plain.path))

    if run("-c", "pass").returncode:
        pytest.skip("this python does not start with so few files")
    for argv in ([], ["info"]):
        done = run(str(plain.path / "prime"), *argv)
        assert "Traceback" not in done.stderr and "fault of prime" not in done.stderr, done.stderr
        assert not done.returncode or "ulimit -n" in done.stderr or argv, done.stderr  # info's 1: not built yet


# -- H6: several indexes -----------------------------------------------------------------------------


@pytest.fixture
def several(index_client, local_index):
    """A client whose uv cannot be had, for its index has none."""
    index_client.env.update(PATH="/usr/bin:/bin", PROTOPRIMER_VENV_DRIVER="auto")
    local_index.spoiled["uv"] = lambda self, request, *_: request.give(404)
    index_client.config('index_url = "%s"\n' % local_index.url())
    return index_client


MORE_INDEXES = {
    "extra_index_urls": ('extra_index_urls = ["http://mary:s3cret@127.0.0.1:9/x"]\n', {}),
    "PIP_EXTRA_INDEX_URL": ("", {"PIP_EXTRA_INDEX_URL": "http://127.0.0.1:9/x"}),
    "UV_INDEX": ("", {"UV_INDEX": "corp=http://127.0.0.1:9/x"}),
    "UV_EXTRA_INDEX_URL": ("", {"UV_EXTRA_INDEX_URL": "http://127.0.0.1:9/x"}),
    "find_links": ('find_links = ["http://127.0.0.1:9/x"]\n', {}),
    "requirements": ('requirements_files = ["r.txt"]\n', {}),
}


@pytest.mark.parametrize("where", sorted(MORE_INDEXES))
def test_H6_with_several_indexes_and_no_lock_pip_does_not_stand_in_for_uv(several, local_index, where):
    several.write("r.txt", "--extra-index-url=http://127.0.0.1:9/x\n")
    text, env = MORE_INDEXES[where]
    config = several.config('index_url = "%s"\n%s' % (local_index.url(), text))
    result = several.prime(status=1, env=env)
    assert "with several indexes pip does not stand in for it" in result.stderr
    assert "%s, http://" % local_index.url() in result.stderr and "s3cret" not in result.stderr
    assert re.search(r"hint: .*prime' lock, .*venv_driver = \"venv_pip\"", result.stderr)
    assert several.generations == []
    result = several.prime(env=dict(env, PROTOPRIMER_VENV_DRIVER="venv_pip"), status=None)
    assert result.stderr.count("without a lock pip takes the best version") == 1 and "s3cret" not in result.stderr
    assert config.exists()


def test_H6_with_one_index_pip_stands_in_for_uv(several, local_index, wheelhouse):
    more = 'extra_index_urls = ["%s/"]\nfind_links = [%s]\n' % (local_index.url(), json.dumps(str(wheelhouse)))
    several.config('index_url = "%s"\n%s' % (local_index.url(), more))
    (several.path / "none").mkdir()
    several.config('index_url = "%s"\nextra_index_urls = ["%s/"]\nfind_links = ["none"]\n' % (2 * (local_index.url(),)))
    result = several.prime()
    assert "going on with pip, for uv cannot be had" in result.stderr and "without a lock" not in result.stderr
    assert "without a lock" not in several.prime().stderr


@pytest.mark.slow
def test_H6_with_a_lock_it_matters_not(several, local_index):
    several.link("uv", uv_program())
    text = 'index_url = "%s"\nextra_index_urls = ["%s"]\ndependencies = ["six"]\n' % (
        local_index.url(), local_index.url("away"))
    several.config('index_url = "%s"\ndependencies = ["six"]\n' % local_index.url())
    several.prime("lock", env={"PATH": "%s:/usr/bin:/bin" % several.bin})
    several.config(text)
    result = several.prime()
    assert "going on with pip" in result.stderr and "without a lock" not in result.stderr


def test_H16_odd_wheels_fit_nowhere():
    for name in ODD_NAMES + ["six-1-cp3x-abi3-any.whl", "six-1-cp3\u0663-abi3-any.whl", "six-1-cp39999-abi3-any.whl"]:
        assert not proto_prime.fits(name, ["linux-x86_64"], "3.12.1") or name.endswith("-py3-none-any.whl")
    assert proto_prime.fits("six-1-cp38-abi3-any.whl", ["linux-x86_64"], "3.12.1")
