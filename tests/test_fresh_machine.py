"""`sh proto_prime.py` on a machine without a python, or with none that will do.

The machine is a chroot in a mount namespace of its own: the libraries of this one, and a /bin with what the test puts
there. An installer of uv, uv itself and a python to download are served on 127.0.0.1.
"""

import fnmatch
import json
import os
import re
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme
from conftest import TOP, ancient_python, python, uv_program
from helpers import Terminal
from machines import CACHE, HOME, Files, Machine

import proto_prime

INSTALLER = """set -e
echo "uv goes to $UV_UNMANAGED_INSTALL"
target=$UV_UNMANAGED_INSTALL/uv
if command -v curl >&2; then curl -sSf -o "$target" {url}; else wget -qO "$target" {url}; fi
chmod 755 "$target"
"""
STOPS = "echo 'the installer stops here'; exit 3\n"  # as far as most tests have to go
TOLD = "prime: there is no python of at least 3.6 here: "


@pytest.fixture
def server(mirror):
    server = Files({"uv": Path(uv_program()), "stops.sh": STOPS.encode()})
    entries = json.loads(mirror.read_text())
    for entry in entries.values():
        name = os.path.basename(entry["url"])
        server.files[name], entry["url"] = mirror.parent / name, server.url(name)
    server.files["downloads.json"] = json.dumps(entries).encode()
    server.files["install.sh"] = INSTALLER.format(url=server.url("uv")).encode()
    yield server
    server.close()


@pytest.fixture
def make_machine(tmp_path, server):
    """A function that makes a `Machine` with a shell; skips the test where that cannot be had."""
    return lambda shell="dash": Machine(tmp_path / "root", server, shell)


@pytest.fixture
def bare(make_machine):
    """A machine with dash and curl, where the installer stops."""
    machine = make_machine()
    machine.install("curl")
    machine.env.update(machine.server.installer("stops.sh"))
    return machine


@pytest.fixture
def manned(make_machine):
    """A machine with a python 3.12, called just that."""
    machine = make_machine()
    machine.python(python("3.12"), "python3.12")
    return machine


def moved_python(machine):
    """What the python to download needs, since it was moved: its libpython, at the old place."""
    machine.mounts.append(str(python("3.12").parent.parent / "lib"))


# --- From nothing ---


@pytest.mark.slow  # it downloads uv and a python, and installs a project
@pytest.mark.parametrize("shell, fetcher", [("dash", "curl"), ("busybox", "busybox")])
def test_from_nothing_to_a_running_example_with_one_command(make_machine, wheelhouse, shell, fetcher):
    machine = make_machine(shell)
    machine.install(fetcher)
    moved_python(machine)
    machine.mounts.append(str(wheelhouse))
    machine.put("etc/uv.toml", "no-index = true\nfind-links = [%s]\n" % json.dumps(wheelhouse.as_uri()))
    machine.env["UV_CONFIG_FILE"] = "/etc/uv.toml"
    for name in ("hello.py", "pyproject.toml"):
        machine.put("repo/" + name, (TOP / "examples" / "hello" / name).read_bytes())

    stdout, stderr = machine.prime("run", "hello")
    assert re.match(r"hello from python 3\.12, with six [\d.]+\n$", stdout)
    assert stderr.startswith(TOLD + "uv will be fetched with %s into /%s, and fetch one\nuv goes to /%s/aside." % (
        machine.server.url("install.sh"), CACHE, CACHE))
    assert machine.asked()[:3] == ["install.sh", "uv", "downloads.json"]
    assert re.match(r"\['uv-\d+\.\d+\.\d+'\]$", str(machine.uvs))

    assert machine.prime("run", "hello") == (stdout, "")
    assert machine.asked() == []

    machine.put(HOME + "/Downloads/proto_prime.py", (machine.root / "repo/proto_prime.py").read_bytes())
    (machine.root / "repo/proto_prime.py").unlink()
    done = subprocess.run(machine.command("/%s/Downloads/proto_prime.py" % HOME, "init"), env=machine.environ({}),
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.stderr.endswith("prime: then run ./prime\n") and (machine.root / "repo/prime").is_file()


@pytest.mark.parametrize("shell, fetcher", [("dash", "curl"), ("dash", "wget"), ("busybox", "busybox")])
def test_installer_is_fetched_with_curl_or_wget(make_machine, shell, fetcher):
    machine = make_machine(shell)
    machine.install(fetcher)
    error = machine.refused(env=machine.server.installer("stops.sh"))
    assert error == "prime: error: the installer of uv failed\n  hint: install uv or a python\n"
    machine.server.files["truncated.sh"] = STOPS.encode()
    for name in ("truncated.sh", "none.sh"):
        error = machine.refused(env=machine.server.installer(name))
        assert "error: cannot fetch %s\n  hint: PROTOPRIMER_UV_INSTALLER_URL" % machine.server.url(name) in error
    assert machine.asked()[:2] == ["stops.sh", "truncated.sh"]


def test_neither_curl_nor_wget(make_machine):
    error = make_machine().refused()
    assert "error: there is no python here, and neither curl nor wget to fetch one\n  hint: install one" in error


def test_offline_nothing_is_fetched(bare):
    words = "error: there is no python of at least 3.6 here, and none is fetched offline\n  hint: install one\n"
    for argv, value in (["--offline"], None), (["-v", "boot", "--offline"], None), ([], "1"), ([], "true"):
        assert words in bare.refused(*argv, env={"PROTOPRIMER_OFFLINE": value})
    assert bare.asked() == []
    for value in ("", "0", "no", "false"):
        assert "the installer of uv failed" in bare.refused(env={"PROTOPRIMER_OFFLINE": value})


def test_I4_installer_is_what_its_hash_says_or_does_not_run(bare):
    right = proto_prime.hash_bytes(STOPS.encode())
    assert "the installer of uv failed" in bare.refused(env={"PROTOPRIMER_UV_INSTALLER_SHA256": right})
    _, stderr = bare.prime(status=1, env={"PROTOPRIMER_UV_INSTALLER_SHA256": "0" * 64})
    assert "the installer stops here" not in stderr
    assert "stops.sh is not what PROTOPRIMER_UV_INSTALLER_SHA256 says: its SHA-256 is " + right in stderr
    bare.check_clean()


class SecureFiles(Files):
    """`Files` by https. `moved` is {name: URL}, to which a redirect leads."""

    def __init__(self, files, authority):
        self.moved = {}
        super().__init__(files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def url(self, name):
        return "https://%s/%s" % (self.place, name)

    def answer(self, request):
        name = request.path.lstrip("/")
        if name in self.moved:
            return request.give(302, Location=self.moved[name])
        return super().answer(request)


@pytest.fixture
def secure(server):
    """A server by https of an installer that stops, and the certificate of who vouches for it."""
    authority = trustme.CA()
    secure = SecureFiles({"stops.sh": STOPS.encode()}, authority)
    secure.certificate = authority.cert_pem.bytes()
    yield secure
    secure.close()


def fetching_machine(make_machine, fetcher):
    """A machine with one of curl, wget and busybox, that trusts the certificate of nobody yet."""
    machine = make_machine("busybox" if fetcher == "busybox" else "dash")
    machine.install(fetcher)
    del machine.env["PROTOPRIMER_UV_INSTALLER_SHA256"]
    return machine


FETCHERS = pytest.mark.parametrize("fetcher", ["curl", "wget", "busybox"])


@FETCHERS
@pytest.mark.parametrize("form", ["http://{}", "HTTP://{}", "ftp://{}", "{}", "http://mary:s3/cret@{}"])
def test_H7_installer_by_http_without_a_hash_is_refused(make_machine, fetcher, form):
    machine = fetching_machine(make_machine, fetcher)
    error = machine.refused(env={"PROTOPRIMER_UV_INSTALLER_URL": form.format(machine.server.place + "/stops.sh")})
    assert "could be anybody's\n  hint: give https, or PROTOPRIMER_UV_INSTALLER_SHA256\n" in error
    assert "mary" not in error and "cret" not in error
    assert machine.asked() == []


@pytest.mark.parametrize("fetcher", ["curl", "wget"])
def test_H7_installer_by_https_needs_no_hash_and_a_redirect_stays_there(make_machine, secure, fetcher):
    machine = fetching_machine(make_machine, fetcher)
    machine.put("etc/ssl/certs/ca-certificates.crt", secure.certificate)
    secure.moved.update({"away.sh": secure.url("stops.sh"), "near.sh": "/stops.sh",
                         "open.sh": machine.server.url("stops.sh"), "twice.sh": secure.url("open.sh")})
    for name in ("stops.sh", "away.sh", "near.sh"):
        error = machine.refused(env={"PROTOPRIMER_UV_INSTALLER_URL": secure.url(name)})
        assert "the installer of uv failed" in error
    for name in ("open.sh", "twice.sh"):
        error = machine.refused(env={"PROTOPRIMER_UV_INSTALLER_URL": secure.url(name)})
        assert "the installer of uv failed" not in error
        assert "is not https" in error or "cannot fetch " + secure.url(name) in error


@FETCHERS
def test_H7_installer_of_an_unknown_host_is_refused(make_machine, secure, fetcher):
    machine = fetching_machine(make_machine, fetcher)
    error = machine.refused(env={"PROTOPRIMER_UV_INSTALLER_URL": secure.url("stops.sh")})
    assert "cannot fetch " in error or "does not look at certificates" in error


@pytest.mark.parametrize("fetcher", ["curl", "wget"])
def test_H7_installer_in_a_file_needs_no_hash(make_machine, fetcher):
    machine = fetching_machine(make_machine, fetcher)
    machine.install("cat")
    machine.put("tmp/stops.sh", STOPS)
    assert "installer of uv failed" in machine.refused(env={"PROTOPRIMER_UV_INSTALLER_URL": "file:///tmp/stops.sh"})


def test_H14_password_of_the_installer_is_not_told(bare):
    url = bare.server.url("stops.sh").replace("//", "//mary:s3cret@")
    for env in ({}, {"PROTOPRIMER_UV_INSTALLER_SHA256": "0" * 64}):
        _, stderr = bare.prime(status=1, env=dict(env, PROTOPRIMER_UV_INSTALLER_URL=url))
        assert "//***@" in stderr and "mary" not in stderr and "s3cret" not in stderr


INSTALLERS = {
    "an HTML page": ("<!DOCTYPE html><html><body>Please accept our terms</body></html>", "the installer of uv failed"),
    "one that fails half-way": (': > "$UV_UNMANAGED_INSTALL/uv"; exit 1', "the installer of uv failed"),
    "one that installs nothing": ("exit 0", "the uv that was fetched does not run"),
    "one for another system": ('echo text > "$UV_UNMANAGED_INSTALL/uv"', "the uv that was fetched does not run"),
}


@pytest.mark.parametrize("what", sorted(INSTALLERS))
def test_I4_installer_that_is_none(bare, what):
    text, words = INSTALLERS[what]
    bare.server.files["stops.sh"] = text.encode()
    bare.env.update(bare.server.installer("stops.sh"))
    assert "prime: error: %s\n  hint: " % words in bare.refused()


@pytest.mark.parametrize("answer, goes_on", [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_on_a_terminal_it_asks_first(bare, answer, goes_on):
    terminal = Terminal(bare, columns=200).run(*bare.command("proto_prime.py"), env={"TERM": "xterm"})
    terminal.until(r"Go on\? \[y/N\]").type(answer)
    terminal.finish(status=1)
    assert terminal.shows("the installer stops here") == goes_on
    assert terminal.shows("error: nothing was downloaded") != goes_on
    assert bool(bare.asked()) == goes_on
    bare.check_clean()


def test_B2_interrupted_installer_leaves_nothing_behind(bare):
    bare.server.files["stops.sh"] = b'echo "half a file" > "$UV_UNMANAGED_INSTALL/uv"; echo begun; sleep 60'
    bare.env.update(bare.server.installer("stops.sh"))
    terminal = Terminal(bare, columns=200).run(*bare.command("proto_prime.py"), stdin=subprocess.DEVNULL)
    terminal.until("^begun").type("\x03")
    terminal.finish(status=130)
    assert terminal.shows("prime: error: interrupted; nothing is half-done$")
    bare.check_clean()


CACHES = [
    ({"HOME": None}, CACHE),
    ({"XDG_CACHE_HOME": "/tmp/x y"}, "tmp/x y/proto_prime/uv"),
    ({"PROTOPRIMER_CACHE_DIR": "/tmp/it's a cache"}, "tmp/it's a cache/uv"),
    ({"PROTOPRIMER_CACHE_DIR": "a cache"}, "repo/a cache/uv"),
    ({"PROTOPRIMER_CACHE_DIR": ":/tmp/first of them:/tmp/second"}, "tmp/first of them/uv"),  # N2
    ({"HOME": "/etc/passwd"}, "tmp/proto_prime-0/uv"),
    ({"XDG_CACHE_HOME": "a/b", "XDG_DATA_HOME": "c"}, "repo/a/b/proto_prime/uv"),
]
IDS = ["no HOME", "XDG", "own", "relative", "several", "HOME no directory", "relative XDG"]


@pytest.mark.parametrize("env, place", CACHES, ids=IDS)
def test_uv_goes_where_the_file_itself_will_look_for_it(bare, env, place):
    _, stderr = bare.prime(status=1, env=env)
    assert " into /%s, and fetch one\n" % place in stderr
    assert list((bare.root / place).iterdir()) == []
    with_python = "import os, sys; sys.path.insert(0, '.'); import proto_prime; print(proto_prime.cache_dir('uv'))"
    bare.python(python("3.12"), "python3.12")
    command = bare.command("-c", 'python3.12 -B -c "$1"', "sh", with_python)
    assert subprocess.check_output(command, env=bare.environ(env)).decode() == "/%s\n" % place


def test_H2_directory_that_others_use_too_gets_one_of_ours(bare):
    bare.put("tmp/shared/uv/uv-1.0", "#!/bin/sh\necho ran >/tmp/trace\n", mode=0o755)
    env = {"PROTOPRIMER_CACHE_DIR": "/tmp/shared"}
    _, stderr = bare.prime(status=1, env=env)
    assert " into /tmp/shared/proto_prime/uv, and fetch one\n" in stderr
    _, stderr = bare.prime(status=1, env=env)
    assert " into /tmp/shared/proto_prime/uv, and fetch one\n" in stderr
    assert not (bare.root / "tmp/trace").exists()
    assert [path.name for path in (bare.root / "tmp/shared/uv").iterdir()] == ["uv-1.0"]
    assert (bare.root / "tmp/shared/proto_prime/.proto-prime").is_file()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files to another user")
@pytest.mark.parametrize("place", [HOME + "/.local/bin/uv", HOME + "/.cargo/bin/uv", CACHE + "/uv-1.0"])
def test_H8_uv_in_the_home_of_another_user_is_not_run(bare, place):
    bare.put(place, "#!/bin/sh\necho ran >/tmp/trace\n", mode=0o755)
    for path in [bare.root / place, (bare.root / place).parent]:
        os.chown(str(path), 12345, 12345)
    _, stderr = bare.prime(status=1)
    assert not (bare.root / "tmp/trace").exists()
    assert ("belongs to another user" in stderr) == (place.startswith(CACHE))


def test_M12_cache_that_cannot_be_written_and_none_that_is_private(bare):
    bare.put(HOME + "/.cache", "a file")
    bare.put("tmp/proto_prime-0", "a file")
    error = bare.refused()
    assert "error: cannot write to /%s\n  hint: PROTOPRIMER_CACHE_DIR names another directory" % CACHE[:-3] in error
    assert bare.asked() == []


# --- Something is there ---


def test_python_of_any_name_will_do(manned):
    assert manned.prime("python", "-v")[0] == "/bin/python3.12\n"
    assert manned.asked() == []


def list_of_sh():
    """The names and the paths that the start by sh tries, in its order; "~" for the home directory."""
    text = (TOP / "proto_prime.py").read_text(encoding="utf-8")
    words = re.search(r"\nfor python in (.*?); do\n", text, re.DOTALL).group(1).replace("\\\n", "")
    words = words.replace('"${HOME-}"', "~").split()
    return [word for word in words if "/" not in word], [word for word in words if "/" in word]


def paths_of(python_of, default, below):
    """The paths of the pythons that a row of the table leads to, with "*" for any name; none of a function."""
    paths = [default] if isinstance(default, str) and default else []
    for level in filter(None, below.split("/")):
        paths = ["%s/%s" % (path, name) for path in paths for name in level.split("|")]
    if python_of is proto_prime.conda_python:
        return [os.path.dirname(path) + "/bin/python3" for path in paths]
    return [path + ("/python3" if python_of is str else "/*/bin/python3") for path in paths]


# What the start by sh leaves to the table: a new row of `LOCATIONS` is in the list at the head of the file, or here.
NOT_FOR_SH = {
    "/Library/Frameworks/Python.framework/Versions/*/bin/python3",  # its installer links it into /usr/local/bin
    "/home/linuxbrew/.linuxbrew/bin/python3",  # needs to be on PATH for brew
    "~/miniforge3/bin/python3", "~/mambaforge/bin/python3", "~/micromamba/bin/python3", "~/conda/bin/python3",
    "~/miniconda/bin/python3", "~/anaconda/bin/python3",  # rare
    "~/Library/Application Support/hatch/pythons/*/*/bin/python3",  # on macOS /usr/bin/python3 is more likely
    "~/Library/Application Support/pdm/python/*/bin/python3",
    "~/Library/Application Support/pypoetry/python/*/bin/python3",
    "~/.local/share/hatch/env/virtual/.pythons/*/*/bin/python3",  # beside those that are to be found
}


def test_start_by_sh_and_the_table_of_locations_agree():
    _, tried = list_of_sh()
    located = {path for _, _, python_of, rows in proto_prime.LOCATIONS for _, default, below in rows
               for path in paths_of(python_of, default, below)}
    unknown = [word for word in tried if not any(fnmatch.fnmatch(path, word) for path in located)]
    assert tried and unknown == []  # sh tries nothing that a python that runs this file would not find
    untried = {path for path in located if not any(fnmatch.fnmatch(path, word) for word in tried)}
    assert untried == NOT_FOR_SH


def test_start_by_sh_and_the_entry_script_try_the_same_names():
    names, _ = list_of_sh()
    code = re.search(r"\n +for name in (.*):\n", proto_prime.ENTRY_SCRIPT).group(1)
    tried = [name for name in names if name.startswith("python3")]
    assert eval(code, {"range": range}) == tried
    assert tried[-1] == "python%d.%d" % proto_prime.OLDEST_PYTHON
    assert all(re.match(proto_prime.ANY_NAME, name) for name in set(names) - {"python"})
    head = (TOP / "proto_prime.py").read_text(encoding="utf-8").partition("\n__doc__")[0]
    for text in (proto_prime.ENTRY_SCRIPT, head):
        versions = set(re.findall(r"sys\.version_info >?<?=? ?(\(.*?\))", text))
        assert versions == {str(proto_prime.OLDEST_PYTHON)}


@pytest.mark.parametrize("place", list_of_sh()[1])
def test_python_off_PATH_is_found_by_sh(make_machine, place):
    machine = make_machine()
    machine.python(python("3.12"))
    name = place.replace("~", HOME).replace("*conda3", "miniconda3").replace("*", "3.12.1").lstrip("/")
    link = machine.root / name
    link.parent.mkdir(parents=True)
    link.symlink_to(python("3.12"))
    assert machine.prime("python", "-v")[0] == "/%s\n" % name
    assert machine.asked() == []


@pytest.mark.parametrize("text", [
    "", "#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 127\n", '#!/bin/sh\necho "$@"\n', "#!/no/such/program\n", "\x7fELF"])
def test_C4_broken_python_is_passed_over(manned, text):
    manned.program("python3", text)
    (manned.root / "bin/python").mkdir()
    (manned.root / "bin/python3.13").symlink_to("nowhere")
    assert manned.prime("--version") == ("proto_prime %s\n" % proto_prime.__version__, "")


def test_C3_python_that_prints_a_banner_will_do(manned):
    manned.program("python3", "#!/bin/sh\necho Welcome\nexec python3.12 \"$@\"\n")
    assert manned.prime("--version")[0] == "Welcome\nproto_prime %s\n" % proto_prime.__version__


def test_E2_PYTHONHOME_of_another_python_does_no_harm(manned):
    assert manned.prime("--version", env={"PYTHONHOME": "/nowhere"})[0].startswith("proto_prime ")


@pytest.mark.slow  # it downloads a python
def test_uv_alone_fetches_a_python_once(make_machine):
    machine = make_machine()
    moved_python(machine)
    machine.python(ancient_python(), "python", "python2.7", "python3")
    machine.program("uv", Path(uv_program()).read_bytes())
    stdout, stderr = machine.prime("python")
    assert re.match(r"/%s/\.local/share/uv/python/cpython-3\.12.*/bin/python3\.12\n$" % HOME, stdout)
    assert stderr.startswith(TOLD + "uv will fetch one\n")
    assert [name[:9] for name in machine.asked()] == ["downloads", "cpython-3"]

    machine.program("python3", "")  # uv stops at a python that is none, and at what a project requires of it
    machine.put("repo/.venv/pyvenv.cfg", "home = /nowhere")
    machine.put("repo/.venv/bin/python", "", mode=0o755)
    machine.put("repo/pyproject.toml", '[tool.uv]\nrequired-version = "==0.1"\n')
    places = ["bin/uv", HOME + "/.local/bin/uv", HOME + "/.cargo/bin/uv", CACHE + "/uv-1.2.3"]
    for before, place in zip(places, places[1:] + ["tmp/uv"]):
        assert machine.prime("python", ">=3.6") == (stdout, ""), before
        (machine.root / place).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / before).rename(machine.root / place)
    assert machine.asked() == []


@pytest.mark.slow  # it downloads a python
@pytest.mark.parametrize("more, cache", [
    ({}, "/tmp/proto_prime-0"), ({"PROTOPRIMER_CACHE_DIR": "/tmp/named"}, "/tmp/named")], ids=["no cache", "a cache"])
def test_M12_python_that_is_fetched_without_a_home_is_found_again(make_machine, more, cache):
    machine = make_machine()
    moved_python(machine)
    machine.program("uv", Path(uv_program()).read_bytes())
    machine.env.update(more, HOME="/etc/passwd")
    path, stderr = machine.prime("python")
    assert path.startswith("%s/tools/uv_python_install_dir/cpython-3.12" % cache), stderr
    said = "prime: the cache /etc/passwd/.cache/proto_prime cannot be written: %s is used\n" % cache
    assert stderr.startswith(said * (not more) + TOLD + "uv will fetch one\n") and stderr.count(cache + " is") < 2
    machine.asked()
    assert machine.prime("python") == (path, "")
    assert machine.asked() == []
    # The commands of the user do not get what was lent to uv.
    assert machine.prime("run", "sh", "-c", "echo $UV_CACHE_DIR$UV_PYTHON_INSTALL_DIR")[0] == "\n"


def test_uv_that_may_not_fetch_a_python(make_machine):
    machine = make_machine()
    machine.program("uv", Path(uv_program()).read_bytes())
    machine.server.files["downloads.json"] = b"<html>"
    _, stderr = machine.prime(status=1)
    assert "downloads.json" in stderr and stderr.endswith("prime: error: uv provides no python\n  hint: install one\n")
    assert "none is fetched offline" in machine.refused("--offline")
