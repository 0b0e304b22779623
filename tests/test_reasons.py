"""What a build brought, why there was one, and what others changed since then."""

import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import python, uv_program
from helpers import make_wheel, pylock, six_package

READY = re.compile(r"prime: (.*) is ready \((?:(.*), )?python 3[\d.]+, (\d+) packages? in \d+\.\d s\)\n((?:  .*\n)*)$")


@pytest.fixture
def index(repo, tmp_path):
    """A function that adds an empty wheel to the only wheels that there are for `repo`."""
    place = tmp_path / "some wheels"
    place.mkdir()
    repo.env["PIP_FIND_LINKS"] = place.as_uri()
    (repo.home / "uv.toml").write_text("no-index = true\nfind-links = [%s]\n" % json.dumps(place.as_uri()))

    def add(*releases):
        for name, version in (release.split("==") for release in releases):
            make_wheel(place / ("%s-%s-py3-none-any.whl" % (name, version)), name, version)

    return add


def depend(repo, *requirements):
    repo.config("dependencies = %s\n" % json.dumps(requirements))


def with_uv(repo):
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"


def ready(result):
    """What the notice at the end of a build says: what is ready, of which environment, the count, the lines below."""
    match = READY.search(result.stderr)
    assert match, result.stderr
    return match.group(1), match.group(2), int(match.group(3)), [line.strip() for line in match.group(4).splitlines()]


# -- packages ----------------------------------------------------------------------------------------


def test_R14_build_tells_how_many_packages_and_what_came_changed_and_went(repo, index, driver):
    index("click==8.1", "click==8.3", "attrs==23.1", "Idna_x==3", "six==1.17.0")
    depend(repo, "click==8.1", "attrs", "idna-x")
    extra = {"venv_pip": 1, "venv_uv": 0}[driver]  # pip itself
    assert ready(repo.prime()) == (".venv", "environment default", 3 + extra, [])
    depend(repo, "click==8.3", "six", "idna-x")
    lines = ["- attrs 23.1", "~ click 8.1 \u2192 8.3", "+ six 1.17.0"]
    assert ready(repo.prime("run", "true")) == (".venv", "environment default", 3 + extra, lines)
    assert ready(repo.prime("reset"))[3] == []
    depend(repo, "six")
    assert repo.prime("-q").stderr == ""


def test_R14_changes_are_ten_lines_and_a_count(repo, index):
    with_uv(repo)
    names = ["p%02d" % number for number in range(12)]
    index(*["%s==1" % name for name in names])
    repo.config()
    repo.prime()
    depend(repo, *names)
    assert ready(repo.prime())[2:] == (12, ["+ %s 1" % name for name in names[:10]] + ["and 2 more"])


def test_R14_arrow_is_ascii_where_stderr_can_show_no_other(repo, index):
    with_uv(repo)
    index("six==1", "six==2")
    depend(repo, "six==1")
    repo.prime()
    depend(repo, "six==2")
    assert ready(repo.prime(env={"PYTHONIOENCODING": "ascii"}))[3] == ["~ six 1 -> 2"]


def test_R14_environment_that_the_link_does_not_lead_to_is_told_by_its_place(repo, index):
    with_uv(repo)
    repo.config("[env.docs]\n")
    name, about, _, _ = ready(repo.prime("-e", "docs", "run", "true"))
    assert (name, about) == (str(repo.generations[0]), "environment docs")
    script = repo.write("script.py", '# /// script\n# dependencies = []\n# ///\nprint("done")\n')
    result = repo.prime("run", str(script))
    assert result.stdout == "done\n" and ready(result)[:2] == ("the script's environment", None)


def test_R14_lock_tells_what_differs_from_the_lock_before(repo, index):
    with_uv(repo)
    index("click==8.1", "attrs==23.1", "six==1.17.0")
    depend(repo, "click", "attrs")
    assert repo.prime("lock").stderr.endswith("prime: pylock.toml names 2 packages; commit it\n")
    depend(repo, "click", "six")
    index("click==8.3")
    assert repo.prime("lock").stderr.endswith("commit it\n  - attrs 23.1\n  + six 1.17.0\n")
    assert repo.prime("lock", "--upgrade").stderr.endswith("commit it\n  ~ click 8.1 \u2192 8.3\n")
    assert repo.prime("lock").stderr.endswith("commit it\n")
    repo.write("pylock.toml", "<<<<<<< mine\n")
    assert repo.prime("lock").stderr.endswith("names 2 packages; commit it\n")


def test_R14_lock_tells_what_differs_in_uv_lock(repo, index):
    with_uv(repo)
    index("six==1", "flit_core==3.9")
    repo.project(["six"], more="[tool.uv]\npackage = false")
    for words in ("lock", "lock", "lock --upgrade"):
        subprocess.run([uv_program(), "lock", "-q"], check=True, cwd=str(repo.path), env=repo.env)
        index("six==2")
        result = repo.prime(*words.split())
        assert result.stderr.endswith("commit it\n" + "  ~ six 1 \u2192 2\n" * ("--upgrade" in words))


# -- what others installed ---------------------------------------------------------------------------


def uv_pip(repo, *words):
    """What a user does who knows uv, in the environment that .venv leads to."""
    command = [uv_program(), "pip", words[0], "-q", "--python", str(repo.current / "bin" / "python")]
    subprocess.run(command + list(words[1:]), check=True, cwd=str(repo.path), env=repo.env)


def test_R14_info_names_what_others_installed_changed_or_took_out(repo, index, driver):
    index("six==1", "six==2", "idna==3", "attrs==23.1")
    depend(repo, "six==1", "idna")
    repo.prime()
    told = repo.info()
    assert told["schema"] == 1 and told["current"] and told["package_changes"] == []
    pip = {"pip": told["packages"].get("pip")} if driver == "venv_pip" else {}
    assert told["packages"] == dict({"idna": "3", "six": "1"}, **pip)
    uv_pip(repo, "install", "attrs")
    told = repo.info()
    assert told["current"] and told["packages"]["attrs"] == "23.1"
    assert told["package_changes"] == [{"name": "attrs", "built": None, "installed": "23.1"}]
    assert "others since the build: + attrs 23.1\n" in repo.prime("info").stdout
    uv_pip(repo, "install", "six==2")
    uv_pip(repo, "uninstall", "idna")
    text = repo.prime("info", status=1).stdout
    assert "others since the build: + attrs 23.1; - idna 3; ~ six 1 -> 2\n" in text
    depend(repo, "six==1", "idna", "attrs")
    assert "dependencies changed" in repo.prime().stderr


def test_R14_build_tells_what_of_others_it_does_not_take_along(repo, index):
    with_uv(repo)
    index("six==1", "idna==3", "attrs==23.1")
    depend(repo, "six")
    repo.prime()
    uv_pip(repo, "install", "attrs")
    depend(repo, "six", "idna")
    assert ready(repo.prime())[3] == ["- attrs 23.1", "+ idna 3"]


def test_R14_packages_are_read_in_all_their_forms(repo):
    """A project without pyproject.toml is installed by an old pip as an .egg-link."""
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_pip", PROTOPRIMER_PYTHON=str(python("3.6")))
    repo.write("setup.py", "from setuptools import setup\nsetup(name='my-client', version='1.5', py_modules=['m'])\n")
    repo.write("m.py", "")
    repo.prime()
    packages = next((repo.current / "lib").glob("python*/site-packages"))
    assert list(packages.glob("*.egg-link")), "another version of pip is needed for this test"
    for name in ("~ix-1.0.dist-info", "Old_One-2.egg-info"):
        (packages / name).mkdir()
        (packages / name / "PKG-INFO").write_text("Name: Old.One\r\nVersion: 2\r\n\r\nVersion: 3\n")
    (packages / "flat-3.egg-info").write_text("Metadata-Version: 1.0\nName: flat\nVersion: 3\n")
    told = repo.info()
    assert told["packages"]["my-client"] == "1.5"
    assert [(each["name"], each["installed"]) for each in told["package_changes"]] == [("flat", "3"), ("Old.One", "2")]


def test_R14_generation_of_a_version_that_kept_no_packages_stays_current(booted):
    marker = booted.current / "proto-prime.json"
    told = json.loads(marker.read_text())
    assert told.pop("packages") == booted.info()["packages"] and told.pop("origins")
    marker.write_text(json.dumps(told))
    assert booted.info()["current"] and booted.info()["package_changes"] == []
    booted.config('index_url = "https://example.org/simple"')
    assert ready(booted.prime())[3] == []


# -- reasons -----------------------------------------------------------------------------------------


def check_reason(repo, reason, **options):
    """Assert that `info` and the build give this reason, whose %s is the generation of before."""
    reason = reason.replace("%s", str(repo.current))
    assert "; ".join(repo.info(**options)["reasons"]) == reason
    assert "prime: building environment default: %s\n" % reason in repo.prime(**options).stderr


LOSSES = {
    ".venv/": (["rm", "-rf", ".venv/"], "it was emptied: %s has no proto-prime.json"),
    "the generation": (["rm", "-rf", "%s"], "it was removed: %s is gone"),
    ".prime": (["rm", "-rf", ".prime"], "it was removed: %s is gone"),
    "the marker": (["rm", "%s/proto-prime.json"], "it was damaged: %s has no proto-prime.json"),
    "what the marker says": (["truncate", "-s", "9", "%s/proto-prime.json"],
                             "it was damaged: %s/proto-prime.json says nothing that this version knows"),
}


@pytest.mark.parametrize("what, has_another", [(what, False) for what in sorted(LOSSES)] + [("the generation", True)])
def test_R14_generation_that_was_removed_is_not_one_that_was_never_built(booted, what, has_another):
    if has_another:  # which says nothing about the one that is gone
        booted.config('index_url = "https://example.org/simple"')
        booted.prime()
    command, reason = LOSSES[what]
    lost = str(booted.current)
    subprocess.run([word.replace("%s", lost) for word in command], cwd=str(booted.path), check=True)
    if not has_another:
        result = booted.prime("run", "--no-boot", "true", status=1)
        assert result.stderr.startswith("prime: error: environment default %s\n" % reason[3:].replace("%s", lost))
    check_reason(booted, reason)
    assert ready(booted.prime("reset"))[3] == []


def test_R14_environment_without_a_link_that_was_removed_is_not_one_that_was_never_built(plain):
    plain.config("[env.docs]\n")
    plain.prime("-e", "docs", "run", "true")
    plain.settle()
    plain.prime("-e", "docs", "run", "true")
    assert plain.info()["reasons"] == ["it was not built yet"]
    assert "environment docs: it was not built" not in plain.prime("use", "docs").stderr
    generation, = plain.generations
    for name in os.listdir(str(generation)):
        subprocess.run(["rm", "-rf", str(generation / name)], check=True)
    assert plain.info("-e", "docs")["reasons"] == ["it was emptied: %s has no proto-prime.json" % generation]
    generation.rmdir()
    assert plain.info("-e", "docs")["reasons"] == ["it was removed: %s is gone" % generation]
    (plain.path / ".venv").unlink()
    assert plain.info("-e", "docs")["reasons"] == ["it was removed: %s is gone" % generation]
    assert plain.info("-e", "default")["reasons"] == ["it was not built yet"]
    plain.prime("clean", "--all")
    assert plain.info("-e", "docs")["reasons"] == ["it was not built yet"]


def test_R14_reason_of_a_wrong_link_says_what_is_there(booted):
    link, generation = booted.path / ".venv", booted.current
    assert booted.info()["reasons"] == []
    link.unlink()
    assert booted.info()["reasons"] == [".venv is missing"]
    link.mkdir()
    assert booted.info()["reasons"] == [".venv is no link"]
    assert "prime: publishing: .venv is no link\n" in booted.prime("-v").stderr
    shutil.rmtree(str(booted.path / ".venv.before-prime"))
    link.unlink()
    link.symlink_to("/usr")
    assert booted.info()["reasons"] == [".venv leads to /usr"]
    booted.prime()
    assert booted.current == generation


def test_R14_reason_says_what_became_of_a_file(repo, wheelhouse):
    with_uv(repo)
    repo.write("requirements.txt", "six\n")
    repo.config()
    repo.prime()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    check_reason(repo, "pylock.toml is new")
    (repo.path / "pylock.toml").unlink()
    assert "is current" in repo.prime().stderr  # the one of before
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    repo.prime("reset")
    (repo.path / "requirements.txt").unlink()
    assert repo.info()["reasons"] == ["requirements.txt was removed"]
    repo.write("requirements.txt", "idna\n")
    (repo.path / "pylock.toml").unlink()
    assert sorted(repo.info()["reasons"]) == ["pylock.toml was removed", "requirements.txt changed"]
    repo.write("more.txt", "six\n")
    repo.write("requirements.txt", "-r more.txt\n")
    repo.prime()
    repo.write("requirements.txt", "idna\n")
    assert repo.info()["reasons"] == ["more.txt is used no more", "requirements.txt changed"]
    repo.write("requirements.txt", "")
    repo.prime()
    repo.write("requirements.txt", "-r more.txt\n")
    repo.write("fresh.txt", "")
    repo.config('constraints_file = "fresh.txt"')
    assert repo.info()["reasons"] == [
        "constraints_file changed", "fresh.txt is new", "more.txt is used now", "requirements.txt changed"]


def test_R14_reason_names_no_file_that_never_was(repo):
    with_uv(repo)
    for name in ("one", "two"):
        repo.write(name + "/pyproject.toml", '[project]\nname = "%s"\nversion = "1"\n' % name)
    repo.config('projects = ["one"]')
    repo.prime()
    repo.config('projects = ["one", "two"]')
    check_reason(repo, "two/pyproject.toml is used now; projects changed")
    repo.config("")
    assert repo.info()["reasons"] == [
        "one/pyproject.toml is used no more", "two/pyproject.toml is used no more", "projects changed"]


@pytest.mark.parametrize("name, value", [("PROTOPRIMER_VENV_DRIVER", "venv_pip"), ("PROTOPRIMER_PYTHON", None)])
def test_R14_reason_is_the_variable_that_was_set(plain, name, value):
    with_uv(plain)
    plain.env.pop("PROTOPRIMER_VENV_DRIVER")
    plain.config('venv_driver = "venv_uv"')
    value = value or str(python("3.12"))
    plain.prime()
    check_reason(plain, "%s is set now" % name, env={name: value})
    plain.config('venv_driver = "venv_uv"\nuv_version = ">=0"')
    assert sorted(plain.info()["reasons"]) == ["%s is not set any more" % name, "uv_version changed"]
    plain.env[name] = value
    assert plain.info()["reasons"] == ["uv_version changed"]
