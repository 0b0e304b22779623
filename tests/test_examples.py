"""Each example, copied elsewhere, does what its README says."""

import os
import shutil

import pytest
from conftest import EXAMPLES, PYENV, PYTHONS, python, some_python
from helpers import follow_readme


def test_every_example_is_a_client_repo():
    prime = (EXAMPLES / "hello" / "prime").read_bytes()
    for path in EXAMPLES.iterdir():
        assert os.readlink(str(path / "proto_prime.py")) == "../../proto_prime.py", path
        assert (path / "prime").read_bytes() == prime, path
        assert os.access(str(path / "prime"), os.X_OK), path
        assert len((path / "README.md").read_text(encoding="utf-8").splitlines()) < 20, path


def test_hello(example):
    printed = follow_readme(example("hello"))
    assert printed["./prime -v"] == ""
    assert printed["./prime run hello"].startswith("hello from python ")


def test_selector(example):
    repo = example("selector")
    supported = [path for version, path in PYTHONS.items() if int(version.split(".")[1]) >= 8 and PYENV in path.parents]
    if not supported:
        pytest.skip("no python in %s" % PYENV)
    repo.env.update({"PYENV_ROOT": str(PYENV), "TOOLCHAIN": str(repo.home / "toolchain")})
    toolchain = repo.home / "toolchain" / "bin" / "python3"
    toolchain.parent.mkdir(parents=True)
    toolchain.symlink_to(supported[0])
    repo.write("hooks/pythons.txt", "fixed = %s\n" % some_python())

    printed = follow_readme(repo)
    assert os.path.realpath(repo.info()["selected_python"]["path"]) == str(some_python())
    newest, oldest = supported[-1].parent.parent.name, supported[0].parent.parent.name
    assert printed["./prime -e pyenv run python -V"] == "Python " + newest
    assert printed["./prime -e toolchain run python -V"] == "Python " + oldest
    assert printed['./prime -e pyenv python ">=3.8"'].startswith(str(PYENV / "versions" / newest))


def test_selectors_without_an_opinion_leave_it_to_the_search(example):
    repo = example("selector")
    repo.env.update({"PYENV_ROOT": str(repo.home / "none"), "TOOLCHAIN": str(repo.home / "none")})
    repo.write("hooks/pythons.txt", "# nothing\n")
    for name in ("fixed", "pyenv", "toolchain"):
        found = repo.prime("-e", name, "python").stdout.strip()
        assert os.path.realpath(found) == str(some_python()), name


@pytest.mark.slow
def test_two_environments(example):
    repo = example("two_environments")
    for version in ("3.8", "3.12"):
        repo.link("python" + version, python(version))
    printed = follow_readme(repo)
    assert printed["./prime run python -V"].startswith("Python 3.8.")
    assert len(repo.generations) == 2
    assert repo.inside("import versioned; print(versioned.version())") == "3.12"


def test_monorepo(example):
    printed = follow_readme(example("monorepo"))
    assert printed["./prime run web b\u00fccher.example"] == "hello xn--bcher-kva.example"
    assert printed["./prime run python -m tool"].split()[::3] == ["core", "web", "idna", "wheel"]


def test_monorepo_is_editable(example):
    repo = example("monorepo")
    repo.prime()
    core = repo.path / "core" / "core.py"
    core.write_text(core.read_text().replace("hello", "good day"))
    assert repo.prime("run", "web", "example.org").stdout == "good day example.org\n"


def test_container_example_without_a_container(example):
    printed = follow_readme(example("container"))
    assert printed["./prime greet"].startswith("hello you, from python ")


def test_not_python(example):
    for tool in ("make", "cc"):
        if not shutil.which(tool, path="/usr/bin:/bin"):
            pytest.skip("no " + tool)
    printed = follow_readme(example("not_python"))
    assert printed["./hosts"].split() == ["xn--bcher-kva.example", "example.org"]


def test_tasks(example):
    printed = follow_readme(example("tasks"))
    assert printed["./prime show"].split() == ["xn--bcher-kva.example", "xn--mnchen-3ya.example"]
    assert printed["./prime all"].split() == ["True", "xn--bcher-kva.test", "xn--mnchen-3ya.test"]
    assert printed["SUFFIX=.org ./prime show"].split() == ["xn--bcher-kva.org", "xn--mnchen-3ya.org"]
    assert "export SUFFIX='.test';" in printed["./prime env"].splitlines()
