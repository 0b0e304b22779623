"""A repo's first steps: the ways to start the file, `prime init`, and the package that brings both."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import trustme
from conftest import ENTRY_SCRIPT, PYTHONS, TOP, Result, python, snapshot, some_python, uv_program
from helpers import Index

ARGUMENTS = ["a b", "it's", '"', "new\nline", "--", "-v", "", "*", "$HOME", "\\", "\u00fc"]
TELLS = "import json, sys; print(json.dumps([sys.version_info[:2], sys.argv[1:]]))"

WAYS = {  # words of bash; $python is the wild one, "$@" the arguments
    "entry script": '"$python" ./prime "$@"',
    "file": '"$python" proto_prime.py "$@"',
    "pipe": '"$python" - "$@" < proto_prime.py',
    "substitution": '"$python" <(cat proto_prime.py) "$@"',
    "sh": 'sh proto_prime.py "$@"',
    "installed": '"$python" -m proto_prime "$@"',
}


def run(command, *argv, env, cwd, status=0):
    """Run words of bash with arguments, to the end. Returns a `Result`."""
    argv = [word.encode() for word in ["bash", "-c", command, "bash", *argv]]
    done = subprocess.run(argv, env=env, cwd=str(cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    told = Result(done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace"))
    assert told.status == status, told.stderr
    return told


# -- ways to start it ------------------------------------------------------------------------------


@pytest.mark.parametrize("wild", ["3.6", "3.9", "3.13"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_way_to_start_it(plain, way, wild):
    required = "%d.%d" % sys.version_info[:2]
    plain.config('required_python_version = "==%s.*"' % required)
    plain.link("python3", python(wild))
    plain.link("python" + required, some_python())
    env = dict(plain.env, python=str(python(wild)))
    words = ["run", "python", "-c", TELLS] + ARGUMENTS
    if way == "installed":
        env["PYTHONPATH"] = str(TOP)
    for is_first in (True, False):
        done = run(WAYS[way], *words, env=env, cwd=plain.path)
        assert json.loads(done.stdout) == [list(sys.version_info[:2]), ARGUMENTS]
        assert ("building environment default" in done.stderr) == is_first
        plain.settle()
    assert len(plain.generations) == 1
    told = run(WAYS[way], "info", "--json", env=env, cwd=plain.path)
    assert json.loads(told.stdout)["root"] == str(plain.path) and told.stderr == ""
    for words, status in ((["bogus"], 2), (["run", "no-such-program"], 127), (["run", "sh", "-c", "exit 42"], 42)):
        assert run(WAYS[way], *words, env=env, cwd=plain.path, status=status).stdout == ""


def test_variable_of_any_name_does_no_harm_to_sh(plain):
    victim = plain.write("victim/file", "mine").parent
    env = dict(plain.env, aside=str(victim), uv=str(victim), python=str(victim), cache=str(victim))
    assert "sh needs this as a file" in run("sh < proto_prime.py", env=env, cwd=plain.path, status=1).stderr
    assert (victim / "file").read_text() == "mine"


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "busybox sh"])
def test_entry_script_by_sh(plain, shell):
    if not shutil.which(shell.split()[0]):
        pytest.skip("no " + shell)
    plain.link("python3", some_python())
    for command in ('%s prime "$@"', 'cd / && %s "$OLDPWD/prime" "$@"'):
        told = run(command % shell, "run", "python", "-c", TELLS, *ARGUMENTS, env=plain.env, cwd=plain.path)
        assert json.loads(told.stdout)[1] == ARGUMENTS


def test_entry_script_alone_says_what_it_misses(plain):
    (plain.path / "proto_prime.py").unlink()
    refused = plain.prime(status=1).stderr
    assert refused.startswith("prime: error: %s is missing\n  hint: " % (plain.path / "proto_prime.py"))
    assert len(refused.splitlines()) == 2


# -- init ------------------------------------------------------------------------------------------

FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
PROJECT = '[project]\nname = "client"\nversion = "1"\ndescription = "A client"\ndependencies = ["six"]\n'
PACKAGE = '[build-system]\nrequires = ["setuptools", "wheel"]\nbuild-backend = "setuptools.build_meta"\n' + PROJECT
FILES, GIT = ["proto_prime.py", "prime", "prime.cmd"], [".gitattributes", ".gitignore"]
KINDS = {  # the files of a repo; what init adds; what can be imported then, of six and client
    "nothing": ({}, [*FILES, "proto_prime.toml", *GIT], []),
    "pyproject.toml": ({"pyproject.toml": FLIT + PROJECT, "client.py": '"""A client."""\n'},
                       [*FILES, *GIT], ["six", "client"]),
    "flat setuptools": ({"pyproject.toml": PACKAGE, "client.py": ""},
                        ["tools/" + name for name in FILES] + [*GIT], ["six", "client"]),
    "flat setuptools with tests": ({"pyproject.toml": PACKAGE, "client.py": "", "tests/__init__.py": ""},
                                   ["tools/" + name for name in FILES] + [*GIT], ["six", "client"]),
    "setuptools in src": ({"pyproject.toml": PACKAGE, "src/client/__init__.py": "", ".gitignore": ".venv"},
                          [*FILES, *GIT], ["six", "client"]),
    "project that nobody builds": ({"pyproject.toml": PROJECT, "main.py": "", "utils.py": ""},
                                   [*FILES, *GIT], ["six"]),
    "requirements.txt": ({"requirements.txt": "six\n", ".python-version": "%d.%d\n" % sys.version_info[:2]},
                         [*FILES, "proto_prime.toml", *GIT], ["six"]),
    "tools' settings and requirements.txt": ({"pyproject.toml": "[tool.black]\n", "requirements.txt": "six\n"},
                                             [*FILES, *GIT], ["six"]),
    "C": ({"main.c": "int main(void) { return 0; }\n", "Makefile": "all: main\n", ".gitignore": "*.o\n/.prime\n.venv/"},
          [*FILES, "proto_prime.toml", *GIT], []),
    "somebody's prime": ({"prime": "2 3 5 7\n"},
                         ["tools/" + name for name in FILES] + ["proto_prime.toml", *GIT], []),
    "somebody's prime, a directory": ({"prime/numbers.txt": "2 3 5 7\n"},
                                      ["tools/" + name for name in FILES] + ["proto_prime.toml", *GIT], []),
}


def init(repo, *argv, **options):
    """Run `init` by the file as it lies elsewhere, in a repo."""
    options.setdefault("cwd", str(repo.path))
    return repo.prime("init", *argv, entry=str(TOP / "proto_prime.py"), **options)


@pytest.fixture
def client(repo):
    """A repo without the file."""
    for name in ("proto_prime.py", "prime", "__pycache__"):
        (repo.path / name).unlink()
    repo.link("uv", uv_program())
    return repo


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_init_of_a_kind_of_repo_twice(client, kind):
    files, added, importable = KINDS[kind]
    for name, text in files.items():
        client.write(name, text)
    before = snapshot(client.path)
    first = init(client)
    after = snapshot(client.path)
    changed = {name for name in after if before.get(name) != after[name]} - {"tools"}
    assert changed == set(added)
    said = re.search(r"prime: commit (.*)\nprime: then run (\S+)\n$", first.stderr)
    assert set(shlex.split(said.group(1))) == set(added)
    ignored = (client.path / ".gitignore").read_text()
    assert ignored.startswith(files.get(".gitignore", ""))
    assert ignored.count(".prime") == 1  # as people wrote it, or we
    assert ".venv" in ignored.splitlines()  # .venv/ is not enough for a link

    assert init(client).stderr == "prime: all is there already\n"
    assert snapshot(client.path) == after

    env = dict(client.env)
    client.link("python3", some_python())
    told = run('"$@"', said.group(2), "run", "python", "-c", "import json\nfound = []\nfor name in ('six', 'client'):\n"
               "    try:\n        __import__(name)\n        found.append(name)\n    except ImportError:\n        pass\n"
               "print(json.dumps(found))", env=env, cwd=client.path)
    assert json.loads(told.stdout) == importable


def test_init_ignores_for_git_what_is_made(client):
    if not shutil.which("git"):
        pytest.skip("no git")
    git = ["git", "-C", str(client.path)]
    subprocess.run(git + ["init", "-q"], check=True)
    client.write("requirements.txt", "six\n")
    said = init(client).stderr
    client.prime("run", "python", "-c", "import six")
    told = subprocess.check_output(git + ["status", "--short", "-uall"], universal_newlines=True)
    named = shlex.split(re.search("prime: commit (.*)", said).group(1))
    assert sorted(told.split()[1::2]) == sorted(named + ["requirements.txt"])
    subprocess.run(git + ["add", "-A"], check=True)
    assert "100755" in subprocess.check_output(git + ["ls-files", "-s", "prime"], universal_newlines=True)


def test_init_again_changes_nothing_that_people_edited(client):
    init(client)
    edited = {"prime": ENTRY_SCRIPT + "# mine\n", "prime.cmd": "rem mine\n", "proto_prime.toml": "# mine\n",
              "proto_prime.py": "# mine\n"}
    for name, text in edited.items():
        client.write(name, text)
    client.write(".gitignore", "# mine\n")
    client.write(".gitattributes", "tools/prime -text")
    init(client)
    assert {name: (client.path / name).read_text() for name in edited} == edited
    assert (client.path / ".gitignore").read_text() == "# mine\n.prime/\n.venv\n.python-envs\n__pycache__/\n"
    assert (client.path / ".gitattributes").read_text() == (
        "tools/prime -text\n/tools/proto_prime.py text eol=lf\n/tools/prime.cmd text eol=crlf\n")


def test_init_puts_back_what_is_missing_alone(client):
    init(client)
    before = snapshot(client.path)
    (client.path / "prime.cmd").unlink()
    assert "prime: commit prime.cmd\n" in init(client).stderr
    after = snapshot(client.path)
    assert {name for name in after if before[name] != after[name]} == {"prime.cmd"}


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_init_writes_the_same_under_any_python(client, wild):
    init(client, python=PYTHONS[wild])
    assert (client.path / "prime").read_text() == ENTRY_SCRIPT
    assert (client.path / "proto_prime.py").read_bytes() == (TOP / "proto_prime.py").read_bytes()
    assert not (client.path / "proto_prime.py").is_symlink()
    assert stat.S_IMODE((client.path / "prime").stat().st_mode) == 0o755
    lines = (client.path / "prime.cmd").read_bytes().split(b"\n")
    assert all(line.endswith(b"\r") for line in lines[:-1]) and lines[-1] == b""


def test_init_of_another_directory(client):
    target = client.path / "not there" / "yet"
    init(client, str(target))
    assert sorted(os.listdir(str(target))) == sorted([*GIT, "proto_prime.toml", *FILES])
    assert "then run ./prime" in init(client, "other").stderr
    assert (client.path / "other" / "prime").exists()


def test_init_again_when_the_repo_became_a_project(client):
    init(client)
    (client.path / "proto_prime.toml").unlink()
    client.write("pyproject.toml", PACKAGE)
    client.write("client.py", "")
    assert init(client).stderr == "prime: all is there already\n"
    assert not (client.path / "tools").exists()


def test_H5_init_writes_through_no_link(client):
    shared = client.write("shared/ignored", "*.o\n")
    (client.path / ".gitignore").symlink_to(shared)
    refused = init(client, status=1).stderr
    assert ".gitignore leads to %s, and is not written through" % shared in refused
    assert (client.path / ".gitignore").is_symlink()
    assert shared.read_text() == "*.o\n"
    assert not (client.path / "prime").exists()


def test_init_of_a_flat_project_with_somebody_s_tools(client):
    client.write("pyproject.toml", PACKAGE)
    client.write("tools/prime", "somebody's")
    before = snapshot(client.path)
    refused = init(client, status=1).stderr
    assert "tools/prime is there already" in refused and "setuptools would take" in refused
    assert snapshot(client.path) == before


def test_init_where_it_cannot_be(client):
    client.write("file", "")
    assert "init: file is a file, and no directory" in init(client, "file", status=2).stderr
    refused = init(client, "--from", "none.py", status=1)
    assert re.search(r"there is no such file: .*none\.py'? \(--from\)", refused.stderr)
    client.write("prime", "somebody's")
    client.write("tools/prime", "somebody else's")
    before = snapshot(client.path)
    assert "tools/prime is there already, and not this file's" in init(client, status=1).stderr
    assert snapshot(client.path) == before


@pytest.mark.parametrize("way", ["pipe", "substitution"])
def test_init_by_what_came_through_a_pipe(client, way):
    env = dict(client.env, python=str(some_python()))
    command = WAYS[way].replace("proto_prime.py", shlex.quote(str(TOP / "proto_prime.py")))
    refused = run(command, "init", env=env, cwd=client.path, status=1)
    assert "no file to copy" in refused.stderr and "hint: add --from URL" in refused.stderr
    done = run(command, "init", "--from", (TOP / "proto_prime.py").as_uri(), env=env, cwd=client.path)
    assert "then run ./prime" in done.stderr
    assert (client.path / "proto_prime.py").read_bytes() == (TOP / "proto_prime.py").read_bytes()


def test_U4_init_beside_the_top_of_a_repo_says_so(client):
    inner = client.write("src/notes.txt", "").parent
    where = "prime: this is no git repo: git init makes it one\n"
    assert where in init(client).stderr
    (client.path / ".git").mkdir()
    for place, is_told in ((client.path, False), (inner, True)):
        said = init(client, str(place)).stderr
        assert ("prime: the top of this repo is ..: init serves only what is in this directory\n" in said) == is_told
        assert where not in said


@pytest.mark.parametrize("command", ["init", "update"])
def test_I4_what_is_no_such_file_is_not_even_run(client, command):
    harm = client.home / "harm"
    client.write("evil.py", "open(%r, 'w').close()\nprint('proto_prime 99')\n# def command_update(\n" % str(harm))
    if command == "update":
        init(client)
        client.prime("update", "--from", "evil.py", status=1)
    else:
        assert "hint" not in init(client, "--from", "evil.py", status=1).stderr
    assert not harm.exists()


def test_I4_init_from_what_is_no_such_file_leaves_none(client):
    client.write("page.html", "<html>")
    assert "is no proto_prime.py" in init(client, "--from", "page.html", status=1).stderr
    assert os.listdir(str(client.path)) == ["page.html"]


# -- the package -----------------------------------------------------------------------------------


def build_package(repo, version):
    """Build the distributions of the file as if it were of that version. Returns their directory."""
    source, target = repo.home / version / "source", repo.home / version / "dist"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "proto_prime.py"):
        shutil.copy(str(TOP / name), str(source))
    text = (source / "proto_prime.py").read_text()
    (source / "proto_prime.py").write_text(re.sub('(?m)^__version__ = ".*"', '__version__ = "%s"' % version, text))
    subprocess.run([uv_program(), "build", "-q", "--python", str(some_python()), "--out-dir", str(target), str(source)],
                   check=True, env=repo.env, stderr=subprocess.PIPE)
    return target


@pytest.mark.slow
def test_package_brings_a_command_that_inits_a_repo(client):
    dist = build_package(client, "3.2.1")
    wheel, sdist = dist / "proto_prime-3.2.1-py3-none-any.whl", dist / "proto_prime-3.2.1.tar.gz"
    assert {path.name for path in dist.iterdir() if path.name != ".gitignore"} == {wheel.name, sdist.name}
    modules = [name for name in zipfile.ZipFile(str(wheel)).namelist() if ".dist-info/" not in name]
    assert modules == ["proto_prime.py"]
    for number, package in enumerate((wheel, sdist)):
        place = client.home / ("clean %d" % number)
        subprocess.run([uv_program(), "venv", "-q", "--python", str(some_python()), str(place)], check=True,
                       env=client.env)
        subprocess.run([uv_program(), "pip", "install", "-q", "--python", str(place), str(package)], check=True,
                       env=client.env)
        repo = client.path / str(number)
        repo.mkdir()
        (repo / "requirements.txt").write_text("six\n")
        program = str(place / "bin" / "proto-prime")
        assert run('"$@"', program, "--version", env=client.env, cwd=repo).stdout == "proto_prime 3.2.1\n"
        module = run('"$@"', str(place / "bin" / "python"), "-m", "proto_prime", "--version", env=client.env, cwd=repo)
        assert module.stdout == "proto_prime 3.2.1\n"
        assert "then run ./prime" in run('"$@"', program, "init", env=client.env, cwd=repo).stderr
        words = ["run", "python", "-c", "import six, sys; print(sys.prefix)"]
        inside = run('"$@"', program, *words, env=client.env, cwd=repo).stdout
        assert inside.startswith(str(repo))
        client.link("python3", some_python()) if number == 0 else None
        assert run("./prime \"$@\"", *words, env=client.env, cwd=repo).stdout == inside
        refused = run('"$@"', program, "update", env=client.env, cwd=repo, status=1)
        assert "was installed as a package" in refused.stderr


# -- update from an index --------------------------------------------------------------------------


@pytest.fixture
def published(client, tmp_path):
    """An `Index` that has versions 8.0.0 and 9.0 of the package and a pre-release of 10.0, and a repo that knows it."""
    wheels = tmp_path / "published"
    wheels.mkdir()
    text = (TOP / "proto_prime.py").read_text()
    for version in ("8.0.0", "9.0", "10.0rc1"):  # of three lengths: bytecode tells files apart by second and size
        info = "proto_prime-%s.dist-info/" % version
        with zipfile.ZipFile(str(wheels / ("proto_prime-%s-py3-none-any.whl" % version)), "w") as archive:
            archive.writestr("proto_prime.py", re.sub('(?m)^__version__ = ".*"', '__version__ = "%s"' % version, text))
            archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: proto-prime\nVersion: %s\n" % version)
    init(client)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    index = Index(wheels, authority)
    client.env.update(PIP_NO_INDEX="0", PIP_INDEX_URL=index.url(), PIP_CERT=str(tmp_path / "authority.pem"))
    yield index
    index.close()


def version_of(repo):
    return repo.prime("--version").stdout.split()[1]


@pytest.mark.parametrize("entry", ["prime", "proto_prime.py"])
def test_update_takes_the_newest_of_the_index_or_the_one_that_is_named(client, published, entry):
    before = version_of(client)
    done = client.prime("update", entry=entry)
    assert re.search(r"proto_prime\.py: %s -> 9\.0 \(lines: \+1 -1\)\n$" % re.escape(before), done.stderr)
    assert version_of(client) == "9.0"
    assert "is that version already (9.0)" in client.prime("update", entry=entry).stderr
    assert ": 9.0 -> 8.0.0 " in client.prime("update", "8.0", entry=entry).stderr
    assert ": 8.0.0 -> 10.0rc1 " in client.prime("update", "10.0rc1", entry=entry).stderr
    assert version_of(client) == "10.0rc1"
    assert "is that version already" in client.prime("update", entry=entry).stderr  # never back by itself
    assert os.listdir(str(client.path)).count("proto_prime.py") == 1
    assert not [name for name in os.listdir(str(client.path)) if "aside" in name]


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_update_from_an_index_as_uv_names_it(client, published, name):
    client.env.pop("PIP_INDEX_URL")
    client.prime("update", env={name: ("corp=" if name == "UV_DEFAULT_INDEX" else "") + published.url()})
    assert version_of(client) == "9.0"


def test_update_to_a_version_that_the_index_does_not_have(client, published):
    before = snapshot(client.path)
    refused = client.prime("update", "7.0", status=1)
    assert "there is no version 7.0 of proto-prime in " + published.url() in refused.stderr
    assert snapshot(client.path) == before


@pytest.mark.parametrize("how", [Index.changed, Index.truncated, Index.html_page])
def test_I4_update_that_the_index_spoils_is_refused(client, published, how):
    published.spoiled = {"proto_prime-": how}
    before = snapshot(client.path)
    refused = client.prime("update", status=1)
    assert "prime: error: " in refused.stderr and "Traceback" not in refused.stderr
    assert snapshot(client.path) == before


def test_I4_update_from_the_index_by_the_hash_of_the_file(client, published):
    before = snapshot(client.path)
    assert "is not what it should be" in client.prime("update", "--sha256", "0" * 64, status=1).stderr
    assert snapshot(client.path) == before
    wheel = zipfile.ZipFile(str(published.wheels / "proto_prime-9.0-py3-none-any.whl"))
    (client.home / "wanted.py").write_bytes(wheel.read("proto_prime.py"))
    digest = subprocess.check_output(["sha256sum", str(client.home / "wanted.py")]).decode().split()[0]
    client.prime("update", "--sha256", digest.upper())
    assert version_of(client) == "9.0"


def test_example_of_the_readme_is_what_init_writes(client):
    """The README's table of an initialised repo names the files as they are."""
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    init(client)
    assert [name for name in os.listdir(str(client.path)) if name not in readme] == []
    assert Path(str(client.path / "prime")).read_text() == ENTRY_SCRIPT


def test_init_where_another_file_has_the_name_goes_to_tools(repo):
    place = repo.path / "other"
    place.mkdir()
    (place / "proto_prime.py").write_text("mine = 1\n")
    result = repo.prime("init", str(place))
    assert (place / "proto_prime.py").read_text() == "mine = 1\n"
    assert (place / "tools" / "prime").is_file() and "something else" in result.stderr
