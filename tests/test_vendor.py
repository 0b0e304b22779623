"""A vendored directory is all that a boot without network needs; `prime update` replaces the file itself."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import PYTHONS, TOP, python, some_python, uv_program
from helpers import away

DRIVERS = ("venv_uv", "venv_pip")


@pytest.fixture
def project(repo):
    """A project with a dependency; uv is on PATH."""
    repo.link("uv", uv_program())
    repo.project(["six"])
    return repo


def names(repo, directory="vendor"):
    return sorted(path.name.split("-")[0] for path in (repo.path / directory).glob("*.whl"))


KIND = "python %d.%d" % sys.version_info[:2]  # of `some_python`
TELL = ["--offline", "run", "python", "-c", "import client, six, sys; print(sys.prefix)"]


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("lock", ["no lock", "pylock.toml", "uv.lock"])
def test_fresh_clone_without_network_boots_from_a_vendored_directory(project, make_repo, driver, lock):
    if lock == "pylock.toml":
        project.prime("lock")
    if lock == "uv.lock":
        subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(project.path),
                       env=project.env, check=True, stderr=subprocess.DEVNULL)
    result = project.prime("vendor")
    assert re.search("vendor holds \\d+ files for %s on " % KIND, result.stderr)
    assert project.typed("--offline uses it") in result.stderr
    assert names(project) == ["flit_core", "six", "uv"]
    done, clone = away(project, make_repo, driver, *TELL)
    assert done.stdout.startswith(str(clone.path / ".prime" / "envs"))
    assert "may lack" not in done.stderr
    assert ("creating the environment with uv" in done.stderr) == (driver == "venv_uv")


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_clone_under_another_python_than_the_vendored_one_says_so(project, make_repo, driver):
    other = next(version for version in ("3.13", "3.12") if version not in KIND)
    project.prime("vendor")
    done, _ = away(project, make_repo, driver, *TELL, python=python(other))
    assert "vendor is for %s, and may lack what python %s needs: " % (KIND, other) in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_vendored_directory_of_another_name_by_find_links_and_no_index(project, make_repo, driver):
    result = project.prime("vendor", "third party/wheels")
    assert 'find_links = ["third party/wheels"] with no_index = true uses it' in result.stderr
    text = (project.path / "pyproject.toml").read_text()
    project.write("pyproject.toml", text + '[tool.proto-prime]\nfind_links = ["third party/wheels"]\nno_index = true\n')
    done, clone = away(project, make_repo, driver, *TELL[1:])
    assert done.stdout.startswith(str(clone.path / ".prime" / "envs"))


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_tampered_wheel_in_a_vendored_directory_is_refused_by_a_lock(project, make_repo, wheelhouse, driver):
    project.prime("lock")
    project.prime("vendor")
    wheel = next((project.path / "vendor").glob("six-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"more")
    text = (project.path / "pylock.toml").read_text()  # so that no wheel is taken from where it came from
    project.write("pylock.toml", text.replace(wheelhouse.as_uri(), "https://127.0.0.1:1"))
    done, clone = away(project, make_repo, driver, "--offline", status=1)
    assert "six" in done.stderr and "Traceback" not in done.stderr
    assert not list(clone.path.glob(".prime/envs/*"))


@pytest.mark.parametrize("driver", DRIVERS)
def test_I5_wheel_that_a_vendored_directory_lacks_is_named(project, make_repo, driver):
    project.prime("vendor")
    next((project.path / "vendor").glob("six-*.whl")).unlink()
    done, _ = away(project, make_repo, driver, "--offline", status=1)
    assert "six" in done.stderr and "Traceback" not in done.stderr
    assert "offline, packages come from vendor/ and find_links alone" in done.stderr
    assert "there is no vendor/ here" not in done.stderr


@pytest.mark.parametrize("driver", DRIVERS)
def test_I5_offline_without_any_vendored_file_says_where_packages_come_from(repo, driver):
    repo.config('venv_driver = "%s"\ndependencies = ["no-such-package"]' % driver)
    repo.link("uv", uv_program())
    said = repo.prime("--offline", status=1).stderr
    assert "hint: there is no vendor/ here; offline, packages come from vendor/ and find_links alone" in said


def test_offline_without_a_vendored_directory_says_what_is_missing(project, make_repo):
    done, _ = away(project, make_repo, "venv_uv", "--offline", status=1)
    assert "there is no uv on this machine, and none can be fetched offline" in done.stderr


def test_vendor_again_removes_what_is_needed_no_more_and_leaves_what_is_not_its_own(project):
    project.prime("vendor")
    project.write("vendor/mine.txt", "mine")
    text = (project.path / "pyproject.toml").read_text()
    project.write("pyproject.toml", text.replace('"six"', '"idna"'))
    project.prime("vendor")
    assert names(project) == ["flit_core", "idna", "uv"]
    assert (project.path / "vendor" / "mine.txt").read_text() == "mine"


def test_vendor_again_repairs_a_damaged_file(project):
    project.prime("vendor")
    wheel = next((project.path / "vendor").glob("six-*.whl"))
    good = wheel.read_bytes()
    wheel.write_bytes(b"damaged")
    project.prime("vendor")
    assert wheel.read_bytes() == good


def test_vendor_that_fails_leaves_the_directory_as_it_was(project):
    project.prime("vendor")
    before = names(project)
    text = (project.path / "pyproject.toml").read_text()
    project.write("pyproject.toml", text.replace('"six"', '"no-such-package"'))
    assert "no-such-package" in project.prime("vendor", status=1).stderr
    assert names(project) == before
    assert not list(project.path.glob(".prime/vendor"))


def test_directory_of_that_name_that_prime_did_not_make_is_not_used(project):
    project.write("vendor/README", "modules of another language")
    result = project.prime("-v", "--offline")
    assert "--find-links" not in result.stderr


def test_vendor_takes_wheels_for_the_platforms_that_the_config_names(project):
    text = (project.path / "pyproject.toml").read_text()
    project.write("pyproject.toml", text + '[tool.proto-prime]\nplatforms = ["windows-x86_64"]\n')
    result = project.prime("vendor")
    assert "for windows-x86_64" in result.stderr
    assert names(project) == ["flit_core", "six"]  # no wheel of uv at hand is for that


@pytest.mark.slow
def test_vendored_python_is_found_where_there_is_no_other(project, make_repo, mirror):
    text = (project.path / "pyproject.toml").read_text()
    project.write("pyproject.toml", text + '[tool.proto-prime]\nrequired_python_version = "3.12"\n')
    project.env.update(PROTOPRIMER_PYTHON=str(PYTHONS["3.12"]), UV_PYTHON_DOWNLOADS="manual",
                       UV_PYTHON_DOWNLOADS_JSON_URL=str(mirror))
    project.prime("vendor", "--python")
    clone = make_repo("elsewhere")
    shutil.rmtree(str(clone.path))
    shutil.copytree(str(project.path), str(clone.path), symlinks=True,
                    ignore=shutil.ignore_patterns(".prime", ".venv"))
    env = {"HOME": str(clone.home), "PATH": "/no/such/directory", "PYENV_ROOT": str(clone.home)}
    wild = PYTHONS["3.11"]
    done = subprocess.run([str(wild), str(clone.path / "prime"), "--offline", "run", "python", "-c",
                           "import sys, six; print(sys.base_prefix)"], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.stdout.startswith(str(clone.path / "vendor" / "python")), done.stderr
    assert (project.path / "vendor" / "python" / ".gitignore").read_text() == "!*\n"  # R19: uv writes "*"


@pytest.mark.parametrize("modules", [{"client/__init__.py": ""}, {"client.py": ""}])
def test_vendor_puts_nothing_where_setuptools_would_take_it_for_a_package(repo, modules):
    repo.link("uv", uv_program())
    for name, text in modules.items():
        repo.write(name, text)
    project = '[build-system]\nrequires = ["setuptools", "wheel"]\n' \
        '[project]\nname = "client"\nversion = "1"\ndependencies = ["six"]\n'
    repo.write("pyproject.toml", project)
    refused = repo.prime("vendor", status=1).stderr
    assert "setuptools would take vendor/ for a package" in refused
    assert "hint: " + repo.typed("vendor .prime-vendor") in refused
    assert not (repo.path / "vendor").exists()
    (repo.path / "proto_prime.py").unlink()  # as init would have it: in tools/
    (repo.path / "tools").mkdir()
    (repo.path / "tools" / "proto_prime.py").symlink_to(TOP / "proto_prime.py")
    (repo.path / "prime").rename(repo.path / "tools" / "prime")
    said = repo.prime("vendor", ".prime-vendor", entry="tools/prime").stderr
    assert repo.typed("--offline uses it", "tools/prime") in said
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "UV_CONFIG_FILE"):
        repo.env.pop(name)
    repo.env["UV_CACHE_DIR"] = str(repo.home / "none")
    repo.prime("--offline", "run", "python", "-c", "import six, client", entry="tools/prime", cwd="/")


# -- update ----------------------------------------------------------------------------------------


@pytest.fixture
def vendored(plain):
    """A repo with a copy of the file, as vendored ones are."""
    (plain.path / "proto_prime.py").unlink()
    shutil.copy(str(TOP / "proto_prime.py"), str(plain.path))
    return plain


def newer(repo, name="some newer.py", version="99.0"):
    """A newer version of the file. Returns its path."""
    text = (TOP / "proto_prime.py").read_text()
    return repo.write(name, re.sub('__version__ = ".*"', '__version__ = "%s"' % version, text, count=1))


def test_update_from_a_file_replaces_it_and_says_what_changed(vendored):
    target = vendored.path / "proto_prime.py"
    target.chmod(0o750)
    source = newer(vendored)
    result = vendored.prime("update", "--from", str(source))
    assert re.search(r"proto_prime\.py: \d+\.\d+\.\d+ -> 99\.0 \(lines: \+1 -1\)$", result.stderr, re.MULTILINE)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o750
    assert "is that version already (99.0)" in vendored.prime("update", "--from", str(source)).stderr
    assert not list(vendored.path.glob("*.tmp"))


@pytest.mark.parametrize("text", ["<html>Not Found</html>", "", "print('proto_prime 3.0')", "import no_such_module"])
def test_I4_update_by_what_is_no_such_file_is_refused(vendored, text):
    before = (vendored.path / "proto_prime.py").read_bytes()
    source = vendored.write("other.py", text)
    result = vendored.prime("update", "--from", str(source), status=1)
    assert "is no proto_prime.py" in result.stderr
    assert (vendored.path / "proto_prime.py").read_bytes() == before
    assert not list(vendored.path.glob("*.tmp"))


def test_I4_update_with_a_wrong_hash_is_refused(vendored):
    before = (vendored.path / "proto_prime.py").read_bytes()
    result = vendored.prime("update", "--from", str(newer(vendored)), "--sha256", "0" * 64, status=1)
    assert "is not what it should be" in result.stderr
    assert "expected sha256 " + "0" * 64 in result.stderr
    assert (vendored.path / "proto_prime.py").read_bytes() == before


def test_update_without_a_source(vendored):
    hint = vendored.typed("update --from FILE")
    told = "prime: error: no index may be asked for another version\n  hint: %s\n" % hint
    for env in ({}, {"PROTOPRIMER_OFFLINE": "1"}, {"PIP_NO_INDEX": None, "UV_NO_INDEX": "1"}):
        assert vendored.prime("update", status=1, env=env).stderr == told
    vendored.config("no_index = true")
    assert vendored.prime("update", status=1, env={"PIP_NO_INDEX": None}).stderr == told


def test_update_from_nowhere(vendored):
    result = vendored.prime("update", "--from", "http://127.0.0.1:1/x.py", status=2)
    assert "hint: give https, or --sha256" in result.stderr
    result = vendored.prime("update", "--from", "no such file.py", status=1)
    assert "no such file" in result.stderr.lower()


def test_vendored_manifest_tells_what_was_put_there(project):
    project.prime("vendor")
    told = json.loads((project.path / "vendor" / "proto-prime-vendor.json").read_text())
    assert (told["schema"], told["python"]) == (1, KIND)
    assert told["files"] == sorted(set(os.listdir(str(project.path / "vendor"))) - {"proto-prime-vendor.json"})
