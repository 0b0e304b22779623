"""What a job of CI keeps for the next one: `info --json` names it, and on another machine nothing is fetched again."""

import os
import shutil

import pytest
from conftest import python, some_python, uv_program
from helpers import index_as_pypi


@pytest.fixture
def index(wheelhouse, tmp_path):
    index = index_as_pypi(wheelhouse, tmp_path)
    yield index
    index.close()


@pytest.fixture
def machine(make_repo, index, tmp_path, driver_name):
    """A function that makes a clone on a machine of its own: another root, another HOME, the same python."""

    def make(name):
        clone = make_repo(name)
        for variable in ("PROTOPRIMER_CACHE_DIR", "UV_CACHE_DIR"):
            del clone.env[variable]
        clone.may_ask(PROTOPRIMER_VENV_DRIVER=driver_name, PIP_INDEX_URL=index.url(),
                      PIP_CERT=str(tmp_path / "authority.pem"))
        clone.project(["six"])
        return clone

    return make


def fetched(index):
    """The files, less pages, that were asked of the index."""
    return [path for path, _ in index.asked if not path.startswith("/simple/")]


def save(clone, place):
    """Keep what `info --json` names, as a job of CI does at its end. Returns the key."""
    told = clone.info()
    for number, path in enumerate(told["cache_paths"]):
        kept = place / told["cache_key"] / str(number)
        if os.path.isdir(path) and not kept.exists():
            shutil.copytree(path, str(kept), symlinks=True)
    return told["cache_key"]


def restore(clone, place):
    """Put back what was kept under the key of this clone, if anything was. Returns the key."""
    told = clone.info()
    for number, path in enumerate(told["cache_paths"]):
        kept = place / told["cache_key"] / str(number)
        if kept.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(str(kept), path, symlinks=True)
    return told["cache_key"]


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip", "auto"])
def test_N3_restored_cache_serves_a_clone_elsewhere_without_a_download(machine, index, tmp_path, driver_name):
    first = machine("first")
    key = restore(first, tmp_path / "kept")
    first.prime()
    assert any("six-" in path for path in fetched(index))
    assert any("uv-" in path for path in fetched(index)) == (driver_name != "venv_pip")
    assert save(first, tmp_path / "kept") == key
    index.asked.clear()
    second = machine("another root")
    assert restore(second, tmp_path / "kept") == key
    second.prime()
    assert fetched(index) == []
    assert second.inside("import six, client; print(client.__file__)").startswith(str(second.path))
    assert not any(str(first.path) in path or str(first.home) in path for path in second.info()["cache_paths"])


@pytest.mark.parametrize("driver_name", ["venv_uv"])
def test_N3_cache_that_was_kept_without_dot_files_serves_as_well(machine, index, tmp_path, driver_name):
    """As GitHub keeps artifacts."""
    first, second = machine("first"), machine("second")
    first.prime()
    key = save(first, tmp_path / "kept")
    marks = list((tmp_path / "kept" / key).rglob(".proto-prime"))
    assert marks
    for mark in marks:
        mark.unlink()
    restore(second, tmp_path / "kept")
    index.asked.clear()
    second.prime()
    assert fetched(index) == []


@pytest.mark.parametrize("driver_name", ["venv_uv"])
def test_N3_error_of_uv_whose_cache_was_restored_in_part_says_what_to_do(machine, index, tmp_path, driver_name):
    first, second = machine("first"), machine("second")
    first.prime()
    key = save(first, tmp_path / "kept")
    for path in (tmp_path / "kept" / key).rglob("archive-v*/*/six-*/*"):
        path.unlink()
    restore(second, tmp_path / "kept")
    said = second.prime(status=1).stderr
    assert "hint: the cache of uv is not whole" in said
    shutil.rmtree(str(second.home / ".cache" / "uv"))
    second.prime()


@pytest.mark.parametrize("driver_name", ["venv_uv"])
def test_N3_caches_inside_of_the_clone_are_kept_as_well(machine, index, tmp_path, driver_name):
    """As GitLab wants it, which keeps nothing that is elsewhere."""
    for name in ("first", "second"):
        clone = machine(name)
        places = {"PROTOPRIMER_CACHE_DIR": "prime", "UV_CACHE_DIR": "uv"}
        clone.env.update((variable, str(clone.path / ".cache" / place)) for variable, place in places.items())
        restore(clone, tmp_path / "kept")
        index.asked.clear()
        clone.prime()
        assert bool(fetched(index)) == (name == "first")
        assert sorted(clone.info()["cache_paths"]) == [str(clone.path / ".cache" / place) for place in ("prime", "uv")]
        save(clone, tmp_path / "kept")


@pytest.mark.parametrize("driver_name", ["venv_uv"])
def test_N3_environment_that_is_restored_at_its_path_is_current(machine, index, tmp_path, driver_name):
    """The fastest of all, where each machine has the clone in one place; elsewhere it is built again."""
    first = machine("first")
    first.prime()
    for name in (".prime", ".venv"):
        shutil.move(str(first.path / name), str(tmp_path / name))
    for path in first.path.glob("*.*"):
        os.utime(str(path))  # as a new clone of the same
    for name in (".prime", ".venv"):
        shutil.move(str(tmp_path / name), str(first.path / name))
    shutil.rmtree(str(first.home))
    index.asked.clear()
    assert ".venv is current" in first.prime().stderr
    assert index.asked == []
    second = machine("second")
    shutil.copytree(str(first.path / ".prime"), str(second.path / ".prime"), symlinks=True)
    assert "prime: building environment default: " in second.prime().stderr
    assert second.inside("import six, sys; print(sys.prefix)").startswith(str(second.path))


def test_N5_model_counts_what_a_day_costs():
    fleet = pytest.importorskip("fleet")  # it needs `resource`, which Windows does not have
    costs = {"index_bytes": 2e6, "cache_bytes": 1e6, "core_seconds": 3.6, "wall_seconds": 2}
    row = {"case": "a case", "by": "uv", "miss": costs, "hit": dict.fromkeys(costs, 0)}
    told = fleet.model(row, jobs=10000, hits=0.75)
    assert told["day"] == {"index_gigabytes": 5, "cache_gigabytes": 2.5, "core_hours": pytest.approx(2.5)}
    assert fleet.cells(told) == ("a case", "0.0", "0.0", "0.00", "0.00", "5", "2", "2.5")


def key_of(repo, text, variables):
    """The key of a repo, where {root}, {home} and {first} stand for directories, as in /home/me or as in a URL."""
    places = {"root": repo.path, "home": repo.home, "first": repo.path.parent / "first"}
    quoted = {name: place.as_uri()[len("file://"):] for name, place in places.items()}
    repo.write("requirements.txt", "--find-links ${WHEELS}\nsix\n")
    repo.config(text.format(**places))
    env = {name: value.format(**quoted) for name, value in dict({"WHEELS": "wheels"}, **variables).items()}
    return repo.info(env=env)["cache_key"]


@pytest.mark.parametrize("text, variables", [
    ('find_links = ["{root}/wheels", "{home}/wheels"]', {}),
    ("", {"PIP_FIND_LINKS": "file://{home}/wheels file://{root}/wheels"}),
    ("", {"WHEELS": "file://{home}/wheels"}),
    ("", {"PIP_INDEX_URL": "https://example.org{first}/simple"}),  # a path in a URL is no path here
    ('index_url = "https://[::1]{first}/simple"', {}),
], ids=["config", "variable", "variable in a file", "URL in a variable", "URL in the config"])
def test_N3_key_is_the_same_wherever_the_clone_and_the_home_directory_are(make_repo, text, variables):
    keys = {key_of(make_repo(name), text, variables) for name in ("first", "another root", "100% third")}
    assert len(keys) == 1
    assert keys != {key_of(make_repo("fourth"), "", {})}


def test_N3_key_depends_on_no_order_and_on_nothing_that_runs_later(repo):
    more = {"PIP_PRE": "1", "PIP_NO_BINARY": "six", "UV_RESOLUTION": "lowest"}
    repo.config('dependencies = ["six"]\n')
    key = repo.info(env=more)["cache_key"]
    for name in more:
        assert repo.info(env=dict(more, **{name: None}))["cache_key"] != key
    repo.env = dict(reversed(list(dict(repo.env, **more).items())))
    repo.config('env_vars = {A = "b"}\ndependencies = ["six"]\n[tasks]\ntest = "true"\n')
    repo.write(".env", "A=b\n")
    assert repo.info(env={"USER": "me", "CI": "1", "PROTOPRIMER_OFFLINE": "1", "LANG": "C"})["cache_key"] == key


def test_N3_key_is_another_where_something_else_would_be_installed(repo):
    repo.project(["six"])
    keys = [repo.info()["cache_key"]]
    repo.write("client.py", '"""Other sources."""\n')
    repo.write("README.md", "A text\n")
    assert repo.info(env={"TMPDIR": str(repo.home), "PROTOPRIMER_PYTHON": str(some_python())})["cache_key"] == keys[0]
    repo.prime()
    assert repo.info()["cache_key"] == keys[0]
    keys.append(repo.info(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})["cache_key"])
    keys.append(repo.info(env={"PIP_INDEX_URL": "https://example.org/simple"})["cache_key"])
    for version in ("3.8", "3.13"):
        keys.append(repo.info(env={"PROTOPRIMER_PYTHON": str(python(version))})["cache_key"])
    repo.project(["six", "idna"])
    keys.append(repo.info()["cache_key"])
    extra = '[project.optional-dependencies]\nx = ["idna"]\n'
    for more in (extra, extra + '[[tool.proto-prime.projects]]\npath = "."\nextras = ["x"]\n',
                 '[dependency-groups]\ndev = ["idna"]\n', '[dependency-groups]\ndev = ["idna<9"]\n'):
        repo.project(["six"], more)
        keys.append(repo.info()["cache_key"])
    for pin in ("six==1.16.0", "six==1.17.0"):
        repo.project(["six"], '[tool.proto-prime]\nconstraints_file = "pins.txt"\n')
        repo.write("pins.txt", pin + "\n")
        keys.append(repo.info()["cache_key"])
    assert len(set(keys)) == len(keys)


def test_N3_python_that_uv_installs_is_kept_before_and_after(repo, mirror):
    repo.link("uv", uv_program())
    repo.config('required_python_version = "==%s.*"' % "3.12")
    for name in ("UV_PYTHON_DOWNLOADS", "PROTOPRIMER_CACHE_DIR"):
        del repo.env[name]
    repo.env.update(UV_PYTHON_DOWNLOADS_JSON_URL=str(mirror), PYENV_ROOT=str(repo.home))
    place = str(repo.home / ".local" / "share" / "uv" / "python")
    told = repo.info(python=python("3.11"))
    if told["selected_python"]:
        pytest.skip("this machine has another python 3.12: " + told["selected_python"]["path"])
    assert place in told["cache_paths"]
    repo.prime(python=python("3.11"))
    assert repo.info(python=python("3.11"))["cache_paths"] == told["cache_paths"]
