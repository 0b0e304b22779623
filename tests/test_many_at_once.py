"""Many boots at once: of one fresh clone, and of many clones on one cold cache."""

import re
import shutil
import time

import pytest
from conftest import TOP, some_python
from helpers import index_as_pypi

MANY = 8  # in tests; tests/benchmark.py takes 64


def end(boots):
    """Wait for processes, none of which may fail. Returns what each wrote to stderr."""
    said = [boot.communicate(timeout=240)[1] for boot in boots]
    assert [boot.returncode for boot in boots] == [0] * len(boots), said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("words, driver", [([], "venv_pip"), (["run", "true"], "venv_uv")], ids=["boot", "run"],
                         indirect=["driver"])
def test_N6_of_many_boots_of_one_fresh_clone_one_builds_and_the_others_wait_at_little_cost(plain, driver, words):
    plain.config('dependencies = ["six"]')
    plain.settle()
    said = end([plain.popen(*words, env={"PYTHONPROFILEIMPORTTIME": "1"}) for _ in range(MANY)])
    assert sum(".venv is ready" in text for text in said) == 1
    assert plain.generations == [plain.current]
    assert sum(bool(re.search(r"\| +json$", text, re.MULTILINE)) for text in said) < MANY  # which the long way loads
    assert not list(plain.path.glob(".prime/*/*prime-tmp"))


@pytest.fixture
def fresh(plain):
    """A clone whose proto_prime.py no python has compiled yet."""
    (plain.path / "__pycache__").unlink()
    (plain.path / "proto_prime.py").unlink()
    shutil.copy(str(TOP / "proto_prime.py"), str(plain.path))
    return plain


def test_N6_of_many_starts_in_a_clone_without_bytecode_one_compiles_and_the_others_wait_for_it(fresh):
    said = end([fresh.popen("--version", env={"PYTHONVERBOSE": "1"}) for _ in range(MANY)])
    assert sum(bool(re.search(r"# code object from .*proto_prime\.py$", text, re.MULTILINE)) for text in said) == 1


@pytest.mark.parametrize("driver", ["venv_uv"], indirect=True)
def test_N6_of_many_boots_of_a_clone_without_bytecode_the_others_read_a_fifth_of_it(fresh, driver):
    fresh.settle()
    said = end([fresh.popen(env={"PYTHONPROFILEIMPORTTIME": "1"}) for _ in range(MANY)])
    assert 1 <= sum("| proto_prime\n" in text for text in said) < MANY
    assert sum(".venv is ready" in text for text in said) == 1


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "not kept"])
def test_N6_who_compiles_holds_its_turn_only_if_the_bytecode_could_be_kept(fresh, is_kept):
    """Else a selector that starts `prime` would make it wait."""
    pytest.importorskip("fcntl")
    try_lock = "import fcntl; fcntl.flock(open('proto_prime.py'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    selector = '#!/bin/sh\n"$STARTER" -c "%s" 2>/dev/null && touch free\necho "$STARTER"\n' % try_lock
    fresh.write("selector", selector, executable=True)
    fresh.config('python_selector_file_rel_path = "selector"\n')
    if not is_kept:
        (fresh.path / "__pycache__").write_text("no directory")
    fresh.prime(env={"STARTER": str(some_python())})
    assert (fresh.path / "free").exists() == (not is_kept)


@pytest.mark.slow
def test_N6_start_that_compiles_and_is_stopped_keeps_nobody_waiting_for_ever(fresh):
    fcntl = pytest.importorskip("fcntl")
    with open(str(fresh.path / "proto_prime.py")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert fresh.prime("--version", timeout=60).stdout.startswith("proto_prime ")


def test_N6_boot_that_a_selector_starts_waits_for_no_turn_of_the_boot_that_asks_it(repo):
    """It would wait for ever."""
    repo.config('python_selector_file_rel_path = "selector"\n[env.other]\npython_selector_file_rel_path = ""\n')
    repo.write("selector", '#!/bin/sh\n"$STARTER" prime -e other run true >&2 && echo "$STARTER"\n', executable=True)
    repo.prime(env={"STARTER": str(some_python())}, timeout=60)
    assert sorted(path.name.rpartition("-")[0] for path in repo.generations) == ["default", "other"]


def slowly(index, request, name, body):
    """Serve a file so that a second client may ask for it before the first has it."""
    time.sleep(1)
    request.give(200, body, Cache_Control="max-age=365000000, immutable, public")


@pytest.fixture
def index(wheelhouse, tmp_path):
    """An `Index` that takes its time."""
    index = index_as_pypi(wheelhouse, tmp_path)
    index.spoiled = {"": slowly}
    yield index
    index.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["venv_uv", "venv_pip"])
def test_N6_many_clones_on_one_cold_cache_fetch_what_one_fetches(make_repo, tmp_path, index, name):
    clones = [make_repo("clone %d" % number) for number in range(1 + MANY // 2)]
    asked = []
    for group in (clones[:1], clones[1:]):
        caches = tmp_path / ("caches of %d" % len(group))
        for clone in group:
            clone.may_ask(PROTOPRIMER_VENV_DRIVER=name, PIP_INDEX_URL=index.url(),
                          PIP_CERT=str(tmp_path / "authority.pem"), PROTOPRIMER_CACHE_DIR=str(caches / "prime"),
                          UV_CACHE_DIR=str(caches / "uv"), PIP_CACHE_DIR=str(caches / "pip"))
            clone.config('dependencies = ["six", "idna"]')
        end([clone.popen() for clone in group])
        asked.append(sorted(path for path, _ in index.asked if path.startswith("/files/")))
        index.asked.clear()
    assert all(len(clone.generations) == 1 for clone in clones)
    assert asked[0] == asked[1]
