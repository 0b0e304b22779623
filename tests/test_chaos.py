"""Boots that are killed at any moment, and boots that come all at once."""

import json
import re
import time

import pytest
from chaos import incomplete, kill_boots
from conftest import PYTHONS, some_python

WAITING = re.compile(r"^prime: waiting for (another prime|.*: building environment )", re.MULTILINE)
BUILDING = re.compile(r"^prime: building environment (\S+): ", re.MULTILINE)
SLOW_CONFIG = """\
dependencies = ["six", "six!=0.%d"]
post_boot = [["python", "-c", "import os, time\\nwhile not os.path.exists('go'): time.sleep(0.02)"]]
"""


@pytest.mark.slow
def test_B1_boot_killed_at_any_moment_breaks_neither_what_runs_nor_the_next_boot(repo, driver):
    summary = kill_boots(repo, 10 if driver == "venv_uv" else 6)  # tests/chaos.py tries more of them
    assert not summary.failures, "\n".join(summary.lines())


def boot_at_once(repo, argvs, pythons=()):
    """Boot by all of these arguments at once; the first build goes on from post_boot when all others wait.

    Returns (list of what each said, the generation in use when all waited).
    """
    boots, directory = [], repo.home / "said"
    directory.mkdir()
    for count, argv in enumerate(argvs):
        with open(str(directory / str(count)), "w") as file:
            wild = pythons[count % len(pythons)] if pythons else some_python()
            boots.append(repo.popen(*argv, python=wild, stderr=file))

    def said():
        return [(directory / str(count)).read_text(encoding="utf-8") for count in range(len(argvs))]

    def is_ready():
        return (sum(bool(WAITING.search(text)) for text in said()) >= len(argvs) - 1
                and any("prime: post_boot: " in text for text in said()))

    deadline = time.monotonic() + 60
    while not is_ready() and time.monotonic() < deadline:
        time.sleep(0.05)
    still = repo.current
    repo.write("go", "")
    for boot in boots:
        boot.communicate(timeout=120)
    assert [boot.returncode for boot in boots] == [0] * len(boots), said()
    return said(), still


def check_built_once(repo, said, names, before=()):
    """Check that of each of these environments one boot built a generation, and that the others waited.

    before  names of the environments that were built before
    """
    assert sorted(name for text in said for name in BUILDING.findall(text)) == names, said
    for text in said:  # who built may have to wait as well, to publish
        assert ("is ready" in text) if BUILDING.search(text) else WAITING.search(text), said
        assert "is ready" in text or "is current" in text, said
    logs = [log.read_text(encoding="utf-8") for log in repo.logs]
    assert sorted(name for log in logs for name in BUILDING.findall(log)) == sorted(names + list(before))
    assert incomplete(repo) == []
    assert repo.current in repo.generations


@pytest.mark.slow
def test_B3_eight_boots_at_once_of_a_fresh_clone_build_one_generation(repo, driver):
    repo.config(SLOW_CONFIG % 1)
    said, _ = boot_at_once(repo, [[]] * 8)
    check_built_once(repo, said, ["default"])
    assert repo.generations == [repo.current]
    assert repo.inside("import six") == ""


@pytest.mark.slow
def test_B3_eight_boots_at_once_of_a_stale_one_build_one_generation(repo):
    repo.config(SLOW_CONFIG % 1)
    repo.write("go", "")
    repo.prime()
    old = repo.current
    (repo.path / "go").unlink()
    repo.config(SLOW_CONFIG % 2)
    said, still = boot_at_once(repo, [[]] * 8, list(PYTHONS.values()))  # most of them have a hop
    check_built_once(repo, said, ["default"], before=["default"])
    assert still == old, "published before it was built"
    assert repo.current != old
    assert repo.generations == sorted([old, repo.current])
    assert repo.inside("import six") == ""


@pytest.mark.slow
def test_B3_two_boots_at_once_of_each_of_four_environments_build_one_generation_each(plain):
    names = ["docs", "lint", "test", "type"]
    plain.config(SLOW_CONFIG % 1 + "".join("[env.%s]\n" % name for name in names))
    said, _ = boot_at_once(plain, [["-e", name] for name in names * 2])
    check_built_once(plain, said, names)
    markers = [json.loads((path / "proto-prime.json").read_text()) for path in plain.generations]
    assert sorted(marker["name"] for marker in markers) == names
    for name in names:
        assert plain.prime("-e", name, "run", "python", "-c", "import six").stderr == ""
