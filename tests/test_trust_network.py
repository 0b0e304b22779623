"""What a network, a server or a machine may do to us, and what is never told: passwords."""

import time

import pytest

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
    "two pipes at once": "for byte in LINE + b'\\n': os.write(1, bytes([byte])); os.write(2, bytes([byte]))",
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
