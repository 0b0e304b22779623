"""A pylock.toml that another tool made: what is recorded of its packages."""

import hashlib
import json
import subprocess
import tarfile
from urllib.parse import unquote

import pytest
from conftest import PYTHONS, python, uv_program
from helpers import make_checkout, make_tree, make_wheel, pylock

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


def test_R18_only_what_was_asked_for_by_url_is_recorded_so(repo, files, driver):
    repo.config()
    repo.write("pylock.toml", pylock(packages_of(files)))
    repo.prime()
    check_records(repo, files)


def test_R18_from_local_files_alone_the_same_is_recorded(repo, files, wheelhouse, driver):
    repo.config('find_links = [%s]\nno_index = true' % json.dumps(str(wheelhouse)))
    repo.write("pylock.toml", pylock(packages_of(files)))
    repo.prime("--offline")
    check_records(repo, files)


@pytest.mark.slow
@pytest.mark.parametrize("version", list(PYTHONS))
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
