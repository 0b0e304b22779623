"""Tools and platforms as they are: line ends (M15), old uvs (M16), pips of a distribution (M17), platforms that few
have (M18), places of tools and pythons (M19), pythons without certificates (M21), and many of them (M22).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
import trustme
from conftest import TOP, fetch_wheels, project_text, python, some_python, uv_program
from filelock import FileLock
from helpers import Index, run_git

import proto_prime

# -- line ends (M15) -------------------------------------------------------------------------------

TEXTS = {  # of a .gitattributes that is there; whether it decides about our files itself
    "none": (b"", False),
    "everything CRLF": (b"* text=auto eol=crlf\n", False),
    "no line end, another encoding": (b"# caf\xe9\n*.py text", False),
    "CRLF itself": (b"*.py text\r\nprime text\r\n", False),
    "somebody's own": (b"/proto_prime.py text eol=lf\nprime -text\nprime.cmd binary\n", True),
}


def committed(repo):
    """Commit all of a repo. Returns the directory of a clone with core.autocrlf=true."""
    run_git(repo.path, "init", "-q")
    run_git(repo.path, "add", "-A")
    run_git(repo.path, "commit", "-q", "-m", "all")
    clone = repo.path.parent / "clone"
    run_git(repo.path, "-c", "core.autocrlf=true", "clone", "-q", str(repo.path), str(clone))
    return clone


@pytest.fixture
def client(repo):
    """A repo in which `init` puts all that it takes."""
    for name in ("proto_prime.py", "prime", "__pycache__"):
        (repo.path / name).unlink()
    repo.init = lambda: repo.prime("init", entry=TOP / "proto_prime.py").stderr
    repo.link("python3", some_python())
    return repo


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_M15_line_ends_stay_in_a_checkout_with_autocrlf(client, kind):
    text, is_enough = TEXTS[kind]
    attributes = client.path / ".gitattributes"
    if text:
        attributes.write_bytes(text)
    assert (".gitattributes" in client.init()) == (not is_enough)
    assert attributes.read_bytes().startswith(text) and "all is there already" in client.init()
    before = {name: (client.path / name).read_bytes() for name in ("prime", "proto_prime.py", "prime.cmd")}
    clone = committed(client)
    assert {name: (clone / name).read_bytes() for name in before} == before
    assert b"\r\n" in (clone / "proto_prime.toml").read_bytes()  # all else is as the user wants it
    told = subprocess.run(["./prime", "--version"], env=client.env, cwd=str(clone), stdout=subprocess.PIPE)
    assert told.stdout == b"proto_prime %s\n" % proto_prime.__version__.encode()


def test_M15_line_ends_of_what_stands_in_tools(client):
    client.write("prime", "somebody's")
    client.init()
    lines = ["/tools/proto_prime.py text eol=lf", "/tools/prime text eol=lf", "/tools/prime.cmd text eol=crlf"]
    assert (client.path / ".gitattributes").read_text().splitlines() == lines


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "busybox sh"])
def test_M15_sh_says_what_happened_to_a_checkout_and_what_helps(client, shell):
    if not shutil.which(shell.split()[0]):
        pytest.skip("no " + shell)
    client.init()
    (client.path / ".gitattributes").unlink()
    clone = committed(client)
    assert all(b"\n" not in (clone / name).read_bytes().replace(b"\r\n", b"") for name in ("prime", "proto_prime.py"))
    for name in ("prime", "proto_prime.py"):
        done = subprocess.run([*shell.split(), name, "info"], env=client.env, cwd=str(clone), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        assert (done.returncode, done.stdout) == (1, "")
        first, second = done.stderr.splitlines()
        assert first.startswith("prime: error: ") and "has the line ends of Windows (CRLF)" in first
        assert "proto_prime.py init writes a .gitattributes" in second
    subprocess.run([some_python(), "proto_prime.py", "init"], env=client.env, cwd=str(clone), check=True,
                   stderr=subprocess.DEVNULL)
    for name in ("prime", "proto_prime.py"):
        (clone / name).unlink()
        run_git(clone, "-c", "core.autocrlf=true", "checkout", name)
        assert (clone / name).read_bytes() == (client.path / name).read_bytes()


def test_M15_init_by_a_file_with_CRLF_writes_none(client, tmp_path):
    other = tmp_path / "proto_prime.py"
    other.write_bytes((TOP / "proto_prime.py").read_bytes().replace(b"\n", b"\r\n"))
    client.prime("init", entry=other)
    for name in ("prime", "proto_prime.py"):
        assert b"\r" not in (client.path / name).read_bytes()


# -- old uvs (M16) ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def old_uv(shared):
    """A function that gives the path of a real uv of a version, which is fetched once per run."""
    def get(version):
        target = shared / "old uvs" / version
        with FileLock(str(shared / ("uv-%s.lock" % version))):
            if not (target / "uv").exists():
                fetch_wheels(target, [["--no-deps", "--only-binary=:all:", "uv==" + version]])
                with zipfile.ZipFile(str(next(target.glob("uv-*.whl")))) as archive:
                    [name] = [name for name in archive.namelist() if name.endswith(".data/scripts/uv")]
                    (target / "new").write_bytes(archive.read(name))
                (target / "new").chmod(0o755)
                (target / "new").rename(target / "uv")
        return target / "uv"

    return get


@pytest.fixture
def with_uv(repo, old_uv):
    """A function that puts a real uv of a version on the PATH of a repo for the driver venv_uv, without cached ones."""
    def put(version):
        repo.link("uv", old_uv(version))
        return repo

    repo.env.update(PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"), PROTOPRIMER_VENV_DRIVER="venv_uv")
    return put


@pytest.mark.slow
def test_M16_old_uv_on_PATH_counts_as_absent_and_one_is_fetched(with_uv):
    repo = with_uv("0.1.45")
    repo.config('dependencies = ["six"]')
    passed = "%s, version 0.1.45: an environment takes 0.4.4" % (repo.bin / "uv")
    assert repo.info()["uv"] == {"path": None, "version": None, "passed_over": [passed]}
    assert re.search("(?m)^uv +none here, one is fetched; passed over: " + re.escape(passed) + "$",
                     repo.prime("info", status=1).stdout)
    told = repo.prime("-v").stderr
    assert "uv passed over: %s\n" % passed in told and "prime: fetching uv\n" in told
    assert repo.inside("import six; print(six.__name__)") == "six"
    fetched = repo.info()["uv"]
    assert fetched["path"].startswith(str(repo.home / "cache")) and fetched["passed_over"] == [passed]


@pytest.mark.slow
def test_M16_each_use_has_a_least_uv_of_its_own(with_uv):
    repo = with_uv("0.4.30")
    repo.config('dependencies = ["six"]')
    assert "fetching uv" not in repo.prime().stderr
    assert repo.info()["uv"]["version"] == "0.4.30"
    told = repo.prime("lock").stderr  # with another one, which is fetched
    assert "fetching uv" in told
    (repo.home / "cache" / "uv").rename(repo.home / "put away")
    assert "pylock.toml takes 0.6.15" in repo.info()["uv"]["passed_over"][0]
    assert "fetching uv" in repo.prime("run", "python", "-c", "import six").stderr
    (repo.home / "cache" / "uv").rename(repo.home / "put away, too")
    repo.write("a.py", '# /// script\n# dependencies = ["six"]\n# [tool.uv]\n# no-build = true\n# ///\nimport six\n')
    told = repo.prime("-v", "run", "a.py").stderr
    assert "a script's [tool.uv] takes 0.6.0" in told and "fetching uv" in told


@pytest.mark.slow
def test_M16_least_uv_for_groups_and_for_uv_lock(with_uv):
    repo = with_uv("0.5.0")
    repo.project(["six"], '[dependency-groups]\ndev = ["other"]\n[tool.uv.sources]\nother = {path = "other"}\n')
    repo.write("other/pyproject.toml", project_text("other", (), ""))
    repo.write("other/other.py", '"""Another one."""\n')
    told = repo.prime("-v", "run", "python", "-c", "import six, other").stderr
    assert "groups of a project with sources takes 0.6.9" in told
    environ = dict(repo.env, UV_PYTHON=str(some_python()))
    subprocess.run([uv_program(), "lock", "-q"], cwd=str(repo.path), env=environ, check=True)
    told = repo.prime("-v", "run", "python", "-c", "import six, other").stderr
    assert "uv passed over: %s, version 0.5.0: uv.lock takes 0.5.31" % (repo.bin / "uv") in told


def test_M16_sources_of_groups_are_looked_for_in_the_repo_from_any_directory(repo):
    repo.project(["six"], '[dependency-groups]\ndev = ["idna"]\n')
    repo.prime(cwd=str(repo.home))
    stamps = [path.read_bytes() for path in (repo.path / ".prime" / "stamp").iterdir() if path.suffix != ".sh"]
    paths = {part for stamp in stamps for part in stamp.split(b"\0") if part.endswith(b"pyproject.toml")}
    assert os.fsencode(str(repo.path / "pyproject.toml")) in paths
    assert all(map(os.path.isabs, paths))


def test_M16_without_a_new_one_auto_goes_on_with_pip_and_says_why(with_uv):
    repo = with_uv("0.1.45")
    repo.config('dependencies = ["six"]')
    repo.env.update(PROTOPRIMER_VENV_DRIVER="auto", PROTOPRIMER_OFFLINE="1")
    told = repo.prime("-v").stderr
    assert "version 0.1.45: an environment takes 0.4.4\n" in told and "going on with pip" in told


@pytest.mark.parametrize("wanted, is_possible", [
    ("0.4.0", False), ("<0.4.4", False), ("<=0.4.0", False), ("==0.3.*", False), ("~=0.3.1", False), ("0.4.4", True),
    ("<0.5", True), ("~=0.4.1", True), ("==0.4.*", True), ("!=0.4.0", True), (">=0.1", True), ("", True)])
def test_M16_uv_version_that_is_too_old_is_an_error_that_names_the_least(wanted, is_possible):
    request = proto_prime.parse_uv_version(wanted) if wanted else proto_prime.Request()
    if is_possible:
        return proto_prime.check_uv_version(request, "an environment")
    with pytest.raises(proto_prime.PrimeError, match="uv_version is .*, and an environment takes 0.4.4 at least"):
        proto_prime.check_uv_version(request, "an environment")


# -- pips of a distribution (M17) ------------------------------------------------------------------


@pytest.fixture
def pipless(repo, mounts, spare_python):
    """A repo for the driver venv_pip, whose python 3.12 has no pip; in a mount namespace, and nothing else on PATH."""
    shutil.rmtree(str(spare_python.parent.parent / "lib" / "python3.12" / "ensurepip"))
    for name in ("sh", "env"):
        repo.link(name, shutil.which(name))
    repo.env.update(PATH=str(repo.bin), PROTOPRIMER_VENV_DRIVER="venv_pip", PROTOPRIMER_PYTHON=str(spare_python),
                    PROTOPRIMER_CACHE_DIR=str(repo.home / "cache"))
    repo.config('dependencies = ["six"]')
    mounts.sh("mkdir -p /usr/share/python-wheels; mount -t tmpfs none /usr/share/python-wheels")
    return repo


def old_pip():
    """A pip 23.0.1, which says that it runs under every python, and does not under 3.12."""
    bundled = python("3.10").parent.parent / "lib" / "python3.10" / "ensurepip" / "_bundled"
    return next(bundled.glob("pip-23.0.1-*.whl"))


@pytest.mark.slow
def test_M17_pip_of_the_distribution_is_not_for_another_python(pipless, mounts):
    mounts.sh('cp "$1" /usr/share/python-wheels', old_pip())
    pipless.link("python3.11", python("3.11"))  # whose pip runs under 3.12
    told = mounts.prime("-v").stderr
    assert "/usr/share/python-wheels" not in told
    code = "import six, pip, sys; print(sys.version_info[:2], pip.__version__)"
    assert pipless.inside(code, python=mounts.python) == "(3, 12) 23.2.1"


@pytest.mark.slow
def test_M17_pip_of_another_python_that_does_not_work_is_passed_over(pipless, mounts):
    pipless.link("python3.10", python("3.10"))
    for _ in range(2):  # the second time from the user cache
        told = mounts.prime("-v", status=1).stderr
        assert "%s: failed: exit status 2: AttributeError: module 'pkgutil' has no attribute " % old_pip() in told
        assert "(cpython 3.12.1) comes without pip\n" in told and "Debian: python3-venv" in told
    assert " freeze " not in told


# -- platforms (M18) -------------------------------------------------------------------------------


def with_loader(path, loader):
    """A copy of this python's program that names another loader."""
    data, old = some_python().read_bytes(), proto_prime.loader_of(str(some_python()))
    path.write_bytes(data.replace(old, loader.ljust(len(old), b"\0")))
    return str(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="loaders of Linux")
@pytest.mark.parametrize("loader, abi, libc_ver, name", [
    (b"/lib/ld-musl-x86_64.so.1", "cpython-38-x86_64-linux-gnu", ("glibc", "2.9"), "musl"),  # Alpine's python 3.8
    (b"/lib/ld-musl-x86_64.so.1", "cpython-313-x86_64-linux-musl", ("musl", "1.2.5"), "musl"),
    (b"", "cpython-313-x86_64-linux-musl", ("musl", "1.2.5"), "musl"),  # linked statically
    (b"", "cpython-313-x86_64-linux-gnu", ("", ""), "linux"),  # a wrapper
    (b"/lib64/ld-linux-x86-64.so.2", "cpython-312-x86_64-linux-gnu", ("", ""), "linux"),
])
def test_M18_musl_is_known_by_the_loader_or_the_abi(tmp_path, monkeypatch, loader, abi, libc_ver, name):
    program = with_loader(tmp_path / "python3", loader) if loader else __file__
    monkeypatch.setattr(proto_prime, "running_python", lambda: program)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: abi)
    monkeypatch.setattr("platform.libc_ver", lambda *_: libc_ver)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert proto_prime.this_platform() == name + "-x86_64"
    for tag, kind in ("musllinux_1_1_x86_64", "musl"), ("manylinux_2_17_x86_64", "linux"):
        assert proto_prime.fits("uv-0.9.1-py3-none-%s.whl" % tag, [proto_prime.this_platform()]) == (kind == name)


@pytest.mark.parametrize("loader", [b"", b"\x7fELF", b"\x7fELF\2\1" + b"\xff" * 58])
def test_M18_headers_that_are_cut_off_or_wild_name_no_loader(tmp_path, monkeypatch, loader):
    (tmp_path / "python3").write_bytes(loader)
    monkeypatch.setattr(proto_prime, "running_python", lambda: str(tmp_path / "python3"))
    assert proto_prime.this_platform() == "linux-" + os.uname().machine


@pytest.mark.parametrize("system, machine, name, fitting, other", [
    ("linux", "riscv64", "linux-riscv64", "manylinux_2_31_riscv64", "manylinux_2_17_x86_64"),
    ("linux", "armv7l", "linux-armv7l", "linux_armv7l", "manylinux_2_17_aarch64"),
    ("freebsd14", "amd64", "freebsd14-amd64", "freebsd_14_1_release_amd64", "manylinux_2_17_x86_64"),
    ("linux", "", "linux-unknown", None, "manylinux_2_17_x86_64"),
])
def test_M18_platform_that_is_not_in_the_table(monkeypatch, system, machine, name, fitting, other):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert proto_prime.this_platform() == name
    assert not proto_prime.fits("k-1-cp312-cp312-%s.whl" % other, [name], "3.12.1")
    assert fitting is None or proto_prime.fits("k-1-cp312-cp312-%s.whl" % fitting, [name], "3.12.1")
    assert proto_prime.fits("k-1-py3-none-any.whl", [name], "3.12.1")


@pytest.mark.slow
def test_M18_vendor_on_a_platform_that_is_not_in_the_table(repo, mirror):
    repo.link("uv", uv_program())
    repo.link("python3.12", python("3.12"))
    repo.config('dependencies = ["six"]\nrequired_python_version = "==3.12.*"')
    code = "import platform\nplatform.machine = lambda: 'riscv64'\n"
    wild = repo.write("riscv", code + repo.path.joinpath("prime").read_text())
    told = repo.prime("vendor", "--python", entry=wild.name, python=python("3.12"), env={
        "UV_PYTHON_DOWNLOADS_JSON_URL": str(mirror), "UV_PYTHON_DOWNLOADS": "manual"}).stderr
    assert "uv has no wheel for linux-riscv64" in told
    assert re.search("1 files for python [0-9.]+ on linux-riscv64", told)
    assert list(repo.path.glob("vendor/python/cpython-3.12.*")) and list(repo.path.glob("vendor/six-*"))


# -- places of tools and pythons (M19) -------------------------------------------------------------


@pytest.mark.parametrize("place", ["/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin"])
def test_M19_uv_where_homebrew_puts_it(repo, mounts, place):
    repo.config('dependencies = ["six"]')
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    mounts.sh('mount -t tmpfs none "/$(echo "$1" | cut -d/ -f2)"; mkdir -p "$1"; ln -s "$2" "$1/uv"'
              if not place.startswith("/usr") else 'mount -t tmpfs none "$1"; ln -s "$2" "$1/uv"', place, uv_program())
    assert ": %s/uv\n" % place in mounts.prime("-v").stderr


PLACES = {
    "mise": ".local/share/mise/installs/python/3.12.1",
    "asdf": ".asdf/installs/python/3.12.1",
    "hatch": ".local/share/hatch/pythons/3.12/python",
    "pdm": ".local/share/pdm/python/cpython@3.12.1",
    "poetry": ".local/share/pypoetry/python/cpython@3.12.1",
}


@pytest.mark.parametrize("source", sorted(PLACES))
def test_M19_pythons_of_version_managers_are_found(repo, spare_python, source):
    repo.config('required_python_version = "==3.12.*"')
    target = repo.home / PLACES[source]
    target.parent.mkdir(parents=True)
    shutil.move(str(spare_python.parent.parent), str(target))
    repo.env["PYENV_ROOT"] = "/nowhere"
    told = repo.prime("python", "--all", "--json", python=python("3.11")).stdout
    found = {each["path"]: each["source"] for each in json.loads(told)["candidates"]}
    assert found[str(target / "bin" / "python")] == source
    words = ["/bin/sh", "proto_prime.py", "run", "python", "-c", "import sys; print(sys.base_prefix)"]
    done = subprocess.run(words, env=dict(repo.env, PATH="/nowhere"), cwd=str(repo.path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.stdout, done.returncode) == (str(target) + "\n", 0), done.stderr


# -- pythons without certificates (M21) ------------------------------------------------------------


@pytest.fixture
def published(plain, mounts):
    """What `update` takes by https, from a server whose authority one file of this machine names."""
    authority = trustme.CA()
    plain.env["PIP_CONFIG_FILE"] = os.devnull  # that of a machine may name certificates
    plain.certificate = plain.home / "authority.pem"
    authority.cert_pem.write_to_path(str(plain.certificate))
    index = Index(plain.home, authority)
    text = (TOP / "proto_prime.py").read_text(encoding="utf-8")
    index.files["proto_prime.py"] = text.replace('__version__ = "', '__version__ = "9.', 1).encode()
    (plain.path / "proto_prime.py").unlink()
    plain.write("proto_prime.py", text)
    # OpenSSL's own directory is empty, as after the installation of python.org's python on macOS
    mounts.sh("mount -t tmpfs none /usr/lib/ssl")
    plain.url = index.url("files/proto_prime.py")
    yield plain
    index.close()


@pytest.mark.parametrize("path", ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"])
def test_M21_certificates_of_the_system_where_python_knows_none(published, mounts, path):
    mounts.sh('mount -t tmpfs none /etc/ssl; mkdir -p "$(dirname "$1")"; cp "$2" "$1"', path, published.certificate)
    told = mounts.prime("-v", "update", "--from", published.url).stderr
    assert "python knows no certificates: taking those in %s\n" % path in told and "-> 9." in told


@pytest.mark.slow
def test_M21_certificates_of_pip_else_a_hint(published, mounts, spare_python):
    mounts.sh("mount -t tmpfs none /etc/ssl")
    told = mounts.prime("-v", "update", "--from", published.url, status=1).stderr
    assert "python knows no certificates: taking those in " in told and "/_bundled/pip-" in told
    assert "CERTIFICATE_VERIFY_FAILED" in told  # for this authority is not among them
    shutil.rmtree(str(spare_python.parent.parent / "lib" / "python3.12" / "ensurepip"))
    mounts.python.write_text(mounts.python.read_text().replace(str(some_python()), str(spare_python)))
    told = mounts.prime("update", "--from", published.url, status=1).stderr
    assert "knows no certificates, which https takes\n  hint: SSL_CERT_FILE names a file with them" in told
    told = mounts.prime("update", "--from", published.url, env={"SSL_CERT_FILE": str(published.certificate)}).stderr
    assert "-> 9." in told


# -- many pythons (M22) ----------------------------------------------------------------------------


@pytest.mark.slow
def test_M22_many_candidates_with_few_open_files(plain):
    place = plain.home / ".pyenv" / "versions"
    for number in range(150):
        target = place / ("3.6.%d" % number) / "bin" / "python"
        target.parent.mkdir(parents=True)
        target.write_text('#!/bin/sh\nsleep 0.2\nexec "%s" "$@"\n' % some_python())
        target.chmod(0o755)
    plain.env.update(PYENV_ROOT=str(place.parent), PROTOPRIMER_CACHE_DIR=str(plain.home / "cache"))
    words = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", str(some_python()), "prime", "python", "--all"]
    done = subprocess.run(words, cwd=str(plain.path), env=plain.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "/versions/3.6." in line]
    assert len(lines) == 150 and not [line for line in lines if "cannot be started" in line]
