"""A pylock.toml that another tool made: what is recorded of its packages, and whether it holds what is required."""

import hashlib
import json
import re
import subprocess
import tarfile
from urllib.parse import unquote

import pytest
from conftest import one_of_each_pip, project_text, python, uv_program
from helpers import make_checkout, make_tree, make_wheel, pylock, six_package

import proto_prime

RECORDS = """
import json, os, sysconfig
found = {}
place = sysconfig.get_path("purelib")
for name in os.listdir(place):
    record = os.path.join(place, name, "direct_url.json")
    if name.endswith(".dist-info"):
        found[name.split("-")[0]] = json.load(open(record)) if os.path.exists(record) else None
print(json.dumps(found))
"""


def records(repo):
    """What the environment says of where each package came from (PEP 610): None, or what direct_url.json holds."""
    return json.loads(repo.inside(RECORDS))


def freeze(repo):
    """The lines of `pip freeze`, less pip and setuptools, after `pip check`; uv stands in for a pip of any age."""
    environment = str(repo.current / "bin" / "python")
    uv = [uv_program(), "pip"]
    subprocess.run(uv + ["check", "-q", "--python", environment], check=True)
    done = subprocess.run(uv + ["freeze", "-q", "--python", environment], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True)
    return sorted(line for line in done.stdout.splitlines() if line.split("==")[0] not in ("pip", "setuptools"))


def entry(path, name, version, more="", kind="wheels", place="path"):
    """The entry of a package whose file is at a path: as a wheel, an sdist or an archive."""
    where = path.as_uri() if place == "url" else str(path)
    file = '{ %s = "%s", size = %d, hashes = { sha256 = "%s" } }' % (
        place, where, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    lines = ['name = "%s"' % name, 'version = "%s"' % version if kind != "archive" else "", more]
    return "\n".join(lines + ["%s = %s" % (kind, "[%s]" % file if kind == "wheels" else file)])


def make_sdist(directory, name, version):
    """Write the sources of a project as an archive. Returns its path."""
    tree = make_tree(directory / ("tree of " + name) / name, name, version)
    (tree / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
    path = directory / ("%s-%s.tar.gz" % (name, version))
    with tarfile.open(str(path), "w:gz") as archive:
        archive.add(str(tree), "%s-%s" % (name, version))
    return path


# -- R18: what is recorded -------------------------------------------------------------------------------


@pytest.fixture
def files(repo, tmp_path):
    """A directory of packages of every kind, and the lock that names them."""
    files = tmp_path / "some #files"
    files.mkdir()
    for name, version in (("torchy", "1.0+cu118"), ("My.Odd_Name", "2.0"), ("twice", "1.0"), ("twice", "2.0"),
                          ("arched", "1.0")):
        make_wheel(files / ("%s-%s-py3-none-any.whl" % (name, version)), name, version)
    make_sdist(files, "sources", "3.0")
    make_sdist(files, "packed", "4.0")
    make_tree(repo.path / "lib dir", "lib")
    make_tree(repo.path / "edited", "edited")
    return files


def packages_of(files):
    """The entries for `files`."""
    return [
        entry(files / "torchy-1.0+cu118-py3-none-any.whl", "torchy", "1.0+cu118", place="url"),
        entry(files / "My.Odd_Name-2.0-py3-none-any.whl", "my-odd-name", "2.0", place="url"),
        entry(files / "twice-1.0-py3-none-any.whl", "twice", "1.0", "marker = \"os_name == 'nt'\""),
        entry(files / "twice-2.0-py3-none-any.whl", "twice", "2.0", "marker = \"os_name != 'nt'\""),
        entry(files / "sources-3.0.tar.gz", "sources", "3.0", kind="sdist"),
        entry(files / "arched-1.0-py3-none-any.whl", "arched", "1.0", kind="archive"),
        entry(files / "packed-4.0.tar.gz", "packed", "4.0", kind="archive"),
        'name = "lib"\ndirectory = { path = "lib dir" }',
        'name = "edited"\ndirectory = { path = "edited", editable = true }',
        'name = "nowhere"\nmarker = "os_name == \'nt\'"\ndirectory = { path = "nowhere", editable = true }',
    ]


FROZEN = ["my-odd-name==2.0", "sources==3.0", "torchy==1.0+cu118", "twice==2.0"]


def check_records(repo, files):
    """Assert that the packages of `files` are installed, and only what was asked for by URL says so."""
    lines = [line for line in freeze(repo) if " @ " not in line and not line.startswith("-e")]
    lines = [line.lower().replace("my.odd_name", "my-odd-name").replace("my_odd_name", "my-odd-name") for line in lines]
    assert lines == FROZEN
    found = {name.lower(): record for name, record in records(repo).items()}
    urls = {name: record["url"] for name, record in found.items() if record}
    assert sorted(urls) == ["arched", "edited", "lib", "packed"]
    assert urls["arched"] == (files / "arched-1.0-py3-none-any.whl").as_uri()
    assert urls["packed"] == (files / "packed-4.0.tar.gz").as_uri()
    assert urls["lib"].rstrip("/") == (repo.path / "lib dir").as_uri()
    assert urls["edited"].rstrip("/") == (repo.path / "edited").as_uri()
    assert found["edited"]["dir_info"]["editable"] is True
    assert "archive_info" in found["arched"] and "archive_info" in found["packed"]


@pytest.mark.slow
def test_R18_only_what_was_asked_for_by_url_is_recorded_so(repo, files, driver):
    repo.config()
    repo.write("pylock.toml", pylock(packages_of(files)))
    repo.prime()
    check_records(repo, files)


@pytest.mark.slow
def test_R18_from_local_files_alone_the_same_is_recorded(repo, files, wheelhouse, driver):
    repo.config('find_links = [%s]\nno_index = true' % json.dumps(str(wheelhouse)))
    repo.write("pylock.toml", pylock(packages_of(files)))
    repo.prime("--offline")
    check_records(repo, files)


@pytest.mark.slow
@pytest.mark.parametrize("version", one_of_each_pip())
def test_R18_every_pip_records_the_same(repo, files, version):
    repo.env.update(PROTOPRIMER_PYTHON=str(python(version)), PROTOPRIMER_VENV_DRIVER="venv_pip")
    repo.config()
    repo.write("pylock.toml", pylock(packages_of(files)))
    repo.prime()
    check_records(repo, files)


def test_R18_checkout_is_recorded_with_its_commit(repo):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    commit = make_checkout(repo.path / "deps/my lib", "lib")
    repo.config()
    url = (repo.path / "deps/my lib").as_uri()
    repo.write("pylock.toml", pylock(['name = "lib"\nvcs = { type = "git", url = "%s", commit-id = "%s" }' % (
        url, commit)]))
    repo.prime()
    record = records(repo)["lib"]
    assert (unquote(record["url"]), record["vcs_info"]["commit_id"]) == (unquote(url), commit)


@pytest.mark.slow
def test_R18_pip_itself_is_not_recorded_as_asked_for_by_url(repo):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.config()
    repo.prime(env={"PIP_NO_BINARY": ":all:"})
    assert records(repo)["pip"] is None
    assert "error" not in repo.prime("run", "python", "-m", "pip", "check").stderr


def test_R18_file_that_changed_since_it_was_locked_is_refused(repo, files, driver):
    repo.config()
    text = pylock(packages_of(files))
    repo.write("pylock.toml", text.replace(hashlib.sha256(
        (files / "packed-4.0.tar.gz").read_bytes()).hexdigest(), "0" * 64))
    assert "packed" in repo.prime(status=1).stderr
    assert repo.generations == []


def test_R18_another_file_of_the_index_is_not_taken_for_the_locked_one(repo, tmp_path):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    locked, others = tmp_path / "locked", tmp_path / "others"
    for directory in (locked, others):
        directory.mkdir()
        make_wheel(directory / "twice-1.0-py3-none-any.whl", "twice", "1.0")
    with open(str(others / "twice-1.0-py3-none-any.whl"), "ab") as file:
        file.write(b"another")
    repo.config('find_links = [%s]' % json.dumps(str(others)))
    repo.write("pylock.toml", pylock([entry(locked / "twice-1.0-py3-none-any.whl", "twice", "1.0")]))
    repo.prime()
    assert freeze(repo) == ["twice==1.0"]


# -- R17: what is required must be in it ------------------------------------------------------------------

PROJECT = project_text("client", [], "")


def requires(lines, more=""):
    """A pyproject.toml with these dependencies."""
    return project_text("client", lines, more)


@pytest.mark.parametrize("files, lines", [
    ({"pyproject.toml": requires(["six", "idna>=2"])}, ["idna>=2 (pyproject.toml) is not in it"]),
    ({"pyproject.toml": requires(["SIX<1", "z.z", "a_a; os_name == 'posix'"])},
     ["SIX<1 (pyproject.toml): it has VERSION", "z.z (pyproject.toml) is not in it",
      "a_a; os_name == 'posix' (pyproject.toml) is not in it"]),
    ({"pyproject.toml": requires(["six (<1)"])}, ["six (<1) (pyproject.toml): it has VERSION"]),
    ({"pyproject.toml": requires(["other"])}, ["other (pyproject.toml) is not in it"]),  # there for Windows alone
    ({"pyproject.toml": requires([], '[dependency-groups]\ndev = [{include-group = "a"}]\na = ["idna"]')},
     ["idna (pyproject.toml) is not in it"]),
    ({"pyproject.toml": requires([], '[project.optional-dependencies]\nm = ["idna"]'),
      "proto_prime.toml": 'projects = [{path = ".", extras = ["m"]}]'}, ["idna (pyproject.toml) is not in it"]),
    ({"pyproject.toml": '[project]\nname = "app"\nversion = "1"\ndependencies = ["idna"]\n'},
     ["idna (pyproject.toml) is not in it"]),
    ({"proto_prime.toml": 'dependencies = ["idna", "six"]'}, ["idna (proto_prime.toml: dependencies) is not in it"]),
    ({"requirements.txt": "six==1.0 --hash=sha256:%s\n-r in/more.txt\n-c c.txt\n./lib\n" % ("0" * 64),
      "in/more.txt": "idna >= 2 # why\nhttps://example.org/x.whl\n--pre\n", "c.txt": "attrs>2\n"},
     ["six==1.0 (requirements.txt): it has VERSION", "idna >= 2 (in/more.txt) is not in it"]),
])
def test_R17_lock_that_lacks_what_is_required_is_refused_by_both_drivers(repo, wheelhouse, files, lines):
    repo.link("uv", uv_program())
    for name, text in files.items():
        repo.write(name, text)
    other = six_package(wheelhouse, "marker = \"os_name == 'nt'\"").replace('"six"', '"other"')
    repo.write("pylock.toml", pylock([six_package(wheelhouse), other]))
    version = next(wheelhouse.glob("six-*.whl")).name.split("-")[1]
    for driver in ("venv_pip", "venv_uv"):
        error = repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": driver}).stderr
        assert error.splitlines()[1:] == [
            "prime: error: %s does not hold what is required" % (repo.path / "pylock.toml")
        ] + ["  " + line.replace("VERSION", version) for line in lines] + [
            "  hint: let test write it anew, or " + repo.typed("lock")]


def test_R17_lock_that_holds_what_is_required_in_its_own_way_is_taken(repo, wheelhouse, driver):
    lines = ["client[more]", "Six>=1,<99", "idna; python_version < '3'", "lib>=7", "off<1", "gone", "p_p==9", "grouped",
             "tree @ file:///no;where ; os_name != 'a'"]
    repo.project(lines, "\n".join([
        "[project.optional-dependencies]", 'more = ["six"]', "[dependency-groups]", 'dev = ["six"]', "[tool.uv]",
        'override-dependencies = ["off>=1"]', 'exclude-dependencies = ["gone"]', "[tool.pdm.resolution.overrides]",
        '"p-p[x]" = "1"']))
    for name in ("lib", "tree"):
        make_tree(repo.path / name, name)
    wheel = repo.home / "grouped-1-py3-none-any.whl"
    make_wheel(wheel, "grouped", "1")
    repo.write("pylock.toml", pylock([
        six_package(wheelhouse), 'name = "client"\ndirectory = { path = ".", editable = true }',
        'name = "lib"\ndirectory = { path = "lib" }', 'name = "tree"\ndirectory = { path = "tree" }',
        entry(wheel, "grouped", "1", "marker = \"'default' in dependency_groups\"")  # as pdm writes it
    ], 'dependency-groups = ["default"]\ndefault-groups = ["default"]'))
    repo.prime()
    assert sorted(set(records(repo)) - {"pip"}) == ["client", "grouped", "lib", "six", "tree"]


@pytest.mark.parametrize("files, config", [
    ({"setup.py": "import setuptools"}, ""),
    ({"pyproject.toml": '[project]\nname = "a"\ndynamic = ["dependencies"]\n[build-system]\nrequires = []'}, ""),
    ({"one/pyproject.toml": project_text("one", ["two"], ""), "two/setup.py": "import setuptools"},
     'projects = ["one", "two"]'),
    ({"requirements.txt": "./lib\nmine.zip\nhttps://example.org/a.whl\n-e lib\n--pre\n", "lib/setup.py": ""}, ""),
])
def test_R17_of_what_no_file_says_nothing_is_demanded(repo, files, config):
    repo.config(config)
    for name, text in files.items():
        repo.write(name, text)
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    names = [proto_prime.requirement_parts(line) for line, _ in proto_prime.locked_requirements(environment)]
    assert list(filter(None, names)) == []


# -- R17: for which pythons `prime lock` resolves ------------------------------------------------------------


@pytest.mark.parametrize("required, request_, floor, versions", [
    ("free", "", ">=3.8", ["1"]),
    ("forked", "", ">=3.8", ["1", "2"]),
    ("newer", "", ">=3.10", ["1"]),
    ("exact", "", ">=%s", ["1"]),
    ("forked; python_version >= '3.10'", "<4", ">=3.8", ["2"]),
    ("forked", "3", ">=3.8", ["1", "2"]),
    ("forked", ">3.9", ">=3.9", ["1", "2"]),
    ("packed", "", ">=3.10", ["2"]),  # its version 1 is for older pythons, and builds no more
])
def test_R17_lock_for_any_python_is_not_narrowed_to_this_one(repo, tmp_path, required, request_, floor, versions):
    repo.link("uv", uv_program())
    path = python("3.11")
    exact = proto_prime.interpreter_at(str(path)).version
    for name, version, oldest in (("free", "1", "3.6"), ("forked", "1", "3.6"), ("forked", "2", "3.10"),
                                  ("newer", "1", "3.10"), ("exact", "1", exact), ("packed", "2", "3.10")):
        make_wheel(tmp_path / ("%s-%s-py3-none-any.whl" % (name, version)), name, version,
                   "Requires-Python: >=%s\n" % oldest)
    (tmp_path / "setup.py").write_text("raise SystemExit(1)")
    with tarfile.open(str(tmp_path / "packed-1.tar.gz"), "w:gz") as archive:
        archive.add(str(tmp_path / "setup.py"), "packed-1/setup.py")
    repo.config("dependencies = [%s]\nfind_links = [%s]\nrequired_python_version = %s" % tuple(
        map(json.dumps, (required, str(tmp_path), request_))))
    repo.env["PROTOPRIMER_PYTHON"] = str(path)
    repo.prime("lock")
    text = (repo.path / "pylock.toml").read_text()
    assert re.findall('^requires-python = "(.*)"', text, re.MULTILINE) == [floor.replace("%s", exact)]
    assert re.findall('^version = "(.*)"', text, re.MULTILINE) == versions
    repo.prime()
    assert freeze(repo) == ["%s==%s" % (required.split(";")[0], versions[-1])]


@pytest.mark.parametrize("platform, version, vendored", [
    ("linux-x86_64", "3.11", ["2"]), ("linux-x86_64", "3.9", ["1"]), ("windows-arm64", "3.9", ["1", "3"])])
def test_R17_vendor_takes_what_its_python_needs_of_a_lock_for_all(repo, tmp_path, platform, version, vendored):
    wheels = []
    for number, marker in (("1", "python_full_version < '3.10'"), ("2", "python_version >= '3.10'"),
                           ("3", "sys_platform == 'win32' and os_name == 'nt' and platform_machine == 'ARM64'")):
        wheels.append(tmp_path / ("a-%s-py3-none-any.whl" % number))
        make_wheel(wheels[-1], "a", number)
        wheels[-1] = entry(wheels[-1], "a", number, 'marker = "%s"' % marker)
    repo.write("pylock.toml", pylock(wheels))
    config = proto_prime.load_config(str(repo.path))
    lock = proto_prime.read_lock(proto_prime.load_environment(config), str(repo.path / "pylock.toml"))
    chosen = proto_prime.interpreter_at(str(python(version)))
    needed = [package for package in lock.packages if proto_prime.is_needed(lock, package, chosen, platform)]
    assert [package["version"] for package in needed] == vendored


def test_R17_package_that_is_nowhere_is_looked_for_once(repo):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["no-such-package"]')
    error = repo.prime("lock", status=1).stderr
    assert error.count("prime: resolving") == 1, error
