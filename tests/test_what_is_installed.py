"""What is installed of a repo as it is: what its own tools would install."""

import re
import subprocess
import sys

import pytest
from conftest import TOP, by_driver, some_python, uv_program

SETUPTOOLS = '[build-system]\nrequires = ["setuptools", "wheel"]\nbuild-backend = "setuptools.build_meta"\n'
FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
SETUP_PY = "import setuptools\nsetuptools.setup(name='client', version='1', py_modules=['client'], " \
    "install_requires=['six>=1'])\n"
SETUP_CFG = "[metadata]\nname = client\nversion = 1\n[options]\npy_modules = client\ninstall_requires = six\n"


def packages(repo, *argv):
    """The distributions in the environment of a repo, less those of the installer: a set of normalized names."""
    repo.prime(*argv)
    names = [path.name.split("-")[0] for path in repo.current.glob("lib/*/site-packages/*.dist-info")]
    return {name.lower().replace("_", "-") for name in names} - {"pip", "setuptools"}


# -- a project without [project] ---------------------------------------------------------------------

BUILDS = {  # the files of a project whose pyproject.toml has a [build-system] and no [project]
    "setup.cfg": {"pyproject.toml": SETUPTOOLS, "setup.cfg": SETUP_CFG},
    "metadata of the backend's own": {
        "pyproject.toml": FLIT + '[tool.flit.metadata]\nmodule = "client"\nauthor = "A"\nrequires = ["six"]\n'},
    "no backend named": {"pyproject.toml": '[build-system]\nrequires = ["setuptools", "wheel"]\n',
                         "setup.cfg": SETUP_CFG},
    "a group beside it": {"pyproject.toml": SETUPTOOLS + '[dependency-groups]\ntest = ["idna"]\n',
                          "setup.cfg": SETUP_CFG},
    "settings of ours beside it": {"pyproject.toml": SETUPTOOLS + "[tool.proto-prime]\nenv_vars = {A = '1'}\n",
                                   "setup.cfg": SETUP_CFG},
}


@pytest.mark.parametrize("what, driver", by_driver(sorted(BUILDS), ["metadata of the backend's own", "setup.cfg"]),
                         indirect=["driver"])
def test_R4_any_build_system_is_a_project(repo, driver, what):
    repo.write("client.py", '"""A client."""\n__version__ = "1"\n')
    for name, text in BUILDS[what].items():
        repo.write(name, text)
    assert packages(repo) == {"client", "six"}


SEEN = r"^prime: seen, but not used: (.*); to install it, add to (?:\[tool\.proto-prime\] in )?(\S+): (.*)$"
UNUSED = {  # what stands in a repo: its files, what the notice names, the line of config that takes it, and the result
    "requirements-dev.txt": ({"requirements-dev.txt": "six\n"}, "requirements-dev.txt",
                             'requirements_files = ["requirements-dev.txt"]', {"six"}),
    "dev-requirements.txt": ({"dev-requirements.txt": "six\n"}, "dev-requirements.txt",
                             'requirements_files = ["dev-requirements.txt"]', {"six"}),
    "a directory": ({"requirements/base.txt": "six\n", "requirements/dev.txt": "idna\n", "requirements/a.md": ""},
                    "requirements/base.txt, requirements/dev.txt",
                    'requirements_files = ["requirements/base.txt", "requirements/dev.txt"]', {"six", "idna"}),
    "beside an empty requirements.txt": ({"requirements.txt": "# none\n", "requirements-test.txt": "six\n"},
                                         "requirements-test.txt", 'requirements_files = ["requirements-test.txt"]',
                                         {"six"}),
    "beside settings of tools": ({"pyproject.toml": "[tool.black]\n", "requirements_dev.txt": "six\n"},
                                 "requirements_dev.txt", 'requirements_files = ["requirements_dev.txt"]', {"six"}),
    "a group": ({"pyproject.toml": '[dependency-groups]\ntest = ["six"]\n'}, "the dependency group test",
                'projects = [{path = ".", groups = ["test"]}]', {"six"}),
    "two groups": ({"pyproject.toml": '[dependency-groups]\nb = ["six"]\na = ["idna"]\n'},
                   "the dependency groups a, b", 'projects = [{path = ".", groups = ["a", "b"]}]', {"six", "idna"}),
    "a directory below": ({"backend/requirements.in": "six\n", "backend/requirements.txt": "six\n"},
                          "backend/requirements.txt", 'requirements_files = ["backend/requirements.txt"]', {"six"}),
    "rye's": ({"requirements-dev.lock": "six\n"}, "requirements-dev.lock",
              'requirements_files = ["requirements-dev.lock"]', {"six"}),
    "pylock.dev.toml": ({"pylock.dev.toml": 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n'},
                        "pylock.dev.toml", 'lock_file = "pylock.dev.toml"', set()),
    "setup.cfg": ({"setup.cfg": SETUP_CFG}, "setup.cfg", "[build-system]", None),
    "Pipfile beside what init wrote": ({"Pipfile": "", "proto_prime.toml": "dependencies = []\n"}, "Pipfile",
                                       "dependencies = [", None),
    "conda's in a directory": ({"conda/environment.yml": ""}, "conda/environment.yml", "dependencies = [", None),
    "hatch.toml": ({"hatch.toml": ""}, "hatch.toml", "dependencies = [", None),
    "what poetry does not build": (
        {"pyproject.toml": '[build-system]\nrequires = ["poetry-core"]\n[tool.poetry]\npackage-mode = false\n'
                           "[tool.poetry.dependencies]\nsix = '*'\n"}, "[tool.poetry.dependencies]", "dependencies = [",
        None),
    "Pipfile": ({"Pipfile": '[packages]\nsix = "*"\n'}, "Pipfile", "dependencies = [", None),
    "environment.yml": ({"environment.yml": "dependencies: [six]\n"}, "environment.yml", "dependencies = [", None),
    "conda's other spelling": ({"environment.yaml": ""}, "environment.yaml", "dependencies = [", None),
    "a file of conda's for developers": ({"environment-dev.yml": ""}, "environment-dev.yml", "dependencies = [", None),
    "pixi.toml": ({"pixi.toml": ""}, "pixi.toml", "dependencies = [", None),
    "[tool.pixi]": ({"pyproject.toml": "[tool.pixi.dependencies]\nsix = '*'\n"}, "[tool.pixi]", "dependencies = [",
                    None),
    "a project below": ({"libs/one/setup.py": SETUP_PY, "libs/one/client.py": "", "libs/one/docs/setup.py": ""},
                        "libs/one", 'projects = ["libs/one"]', {"client", "six"}),
    "[tool.poetry]": ({"pyproject.toml": "[tool.poetry]\nname = 'a'\n"}, "[tool.poetry]", "[build-system]", None),
}


@pytest.mark.parametrize("what, driver", by_driver(sorted(UNUSED), ["two groups"]), indirect=["driver"])
def test_R4_empty_environment_names_what_was_seen_and_the_line_that_takes_it(repo, driver, what):
    files, name, line, result = UNUSED[what]
    for path, text in files.items():
        repo.write(path, text)
    if not set(files) & {"pyproject.toml", "requirements.txt"}:
        repo.write(".python-version", "3\n")  # else it is no repo
    notice = repo.prime().stderr
    assert "prime: nothing to install: " in notice
    match = re.search(SEEN, notice, re.MULTILINE)
    assert match and match.group(1) == name and match.group(3).startswith(line), notice
    if result is not None:
        head = "[tool.proto-prime]\n" if match.group(2) == "pyproject.toml" else ""
        with (repo.path / match.group(2)).open("a") as file:
            file.write(head + match.group(3) + "\n")
        assert packages(repo) == result


def test_R4_empty_lock_or_requirements_file_is_not_silent(repo, driver):
    repo.write("requirements.txt", "six ; python_version < '3'\n")
    assert "prime: nothing to install: requirements.txt asks for no package here\n" in repo.prime().stderr
    (repo.path / "requirements.txt").unlink()
    repo.write("pylock.toml", 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
    assert "prime: nothing to install: pylock.toml asks for no package here\n" in repo.prime().stderr


def test_R4_what_is_configured_or_installed_needs_no_notice(repo):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.write("requirements-dev.txt", "idna\n")
    repo.config('dependencies = ["six"]')
    assert "seen" not in repo.prime().stderr


@pytest.mark.parametrize("name", ["poetry.lock", "pdm.lock", "Pipfile.lock"])
def test_R4_lock_of_another_tool_is_told(repo, name):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.write(name, "")
    repo.write("requirements.txt", "six\n")
    notice = "prime: seen, but not used: %s; %s\n" % (name, repo.typed("lock pins all versions"))
    assert notice in repo.prime().stderr
    repo.config('lock_file = ""')
    assert "seen" not in repo.prime("reset").stderr


# -- packages and applications -----------------------------------------------------------------------

APPLICATION = '[project]\nname = "client"\nversion = "1"\ndependencies = ["six"]\n'
EXTRA = '[project.optional-dependencies]\nx = ["idna"]\n'
MODULES = 'packages = ["client"]\n'
KINDS = {  # pyproject.toml, and what is installed of a flat repo with several packages at its top
    "nothing said": (APPLICATION, {"six"}),
    "a group dev": (APPLICATION + '[dependency-groups]\ndev = ["idna"]\n', {"six", "idna"}),
    "dynamic version": (APPLICATION.replace('version = "1"', 'dynamic = ["version"]'), {"six"}),
    "extras are chosen": (APPLICATION + EXTRA + '[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"]}]\n',
                          {"six", "idna"}),
    "groups are chosen": (APPLICATION + '[dependency-groups]\nx = ["idna"]\n[tool.proto-prime]\n'
                          'projects = [{path = ".", groups = ["x"]}]\n', {"six", "idna"}),
    "a group that names its extra": (APPLICATION + EXTRA + '[dependency-groups]\ndev = ["Client[X] ; python_version > '
                                     "'3'\", 'idna']\n", {"six", "idna"}),
    "package = false": (SETUPTOOLS + APPLICATION + "[tool.uv]\npackage = false\n", {"six"}),
    "package = false, and named": (APPLICATION + '[tool.uv]\npackage = false\n[tool.proto-prime]\nprojects = ["."]\n',
                                   {"six"}),
    "package-mode = false": ('[build-system]\nrequires = ["poetry-core"]\n' + APPLICATION + "[tool.poetry]\n"
                             "package-mode = false\n", {"six"}),
    "package = true": (APPLICATION + "[tool.uv]\npackage = true\n[tool.setuptools]\n" + MODULES, {"client", "six"}),
    "[build-system]": (SETUPTOOLS + APPLICATION + "[tool.setuptools]\n" + MODULES, {"client", "six"}),
    "named": (APPLICATION + '[tool.proto-prime]\nprojects = ["."]\n[tool.setuptools]\n' + MODULES, {"client", "six"}),
    "editable is said": (APPLICATION + EXTRA + '[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"], '
                         "editable = false}]\n[tool.setuptools]\n" + MODULES, {"client", "six", "idna"}),
    "dynamic dependencies": (
        '[project]\nname = "client"\nversion = "1"\ndynamic = ["dependencies"]\n[tool.setuptools]\n' + MODULES +
        '[tool.setuptools.dynamic]\ndependencies = {file = ["needs.txt"]}\n', {"client", "six"}),
}


@pytest.fixture
def flat(repo):
    """A repo with several packages and modules at its top."""
    for name in ("client/__init__.py", "accounts/__init__.py", "manage.py", "utils.py"):
        repo.write(name, "")
    repo.write("needs.txt", "six\n")
    return repo


@pytest.mark.parametrize("kind, driver", by_driver(sorted(KINDS), ["editable is said", "extras are chosen",
                                                                   "package = true"]), indirect=["driver"])
def test_R3_project_without_build_system_is_an_application(flat, driver, kind):
    text, result = KINDS[kind]
    flat.write("pyproject.toml", text)
    assert packages(flat) == result


@pytest.mark.slow
def test_R3_another_project_that_is_named_is_installed(flat, driver):
    flat.write("lib/pyproject.toml", APPLICATION.replace("client", "lib"))
    flat.write("lib/lib.py", "")
    flat.config('projects = ["lib"]')
    assert packages(flat) == {"lib", "six"}


def test_R3_application_is_locked_and_installed_from_its_lock(flat, driver):
    flat.link("uv", uv_program()) if driver == "venv_pip" else None
    flat.write("pyproject.toml", APPLICATION)
    flat.prime("lock")
    assert 'name = "six"' in (flat.path / "pylock.toml").read_text()
    assert packages(flat) == {"six"}


def test_R3_application_is_vendored(flat):
    flat.link("uv", uv_program())
    flat.write("pyproject.toml", APPLICATION)
    flat.prime("vendor")
    assert list((flat.path / "vendor").glob("six-*"))


@pytest.mark.slow
def test_R3_scripts_of_an_application_are_not_dropped_without_a_word(flat, driver):
    flat.write("pyproject.toml", APPLICATION + '[project.scripts]\nclient = "client:main"\n')
    assert "[project.scripts] are not installed; a [build-system]" in flat.prime().stderr
    flat.write("pyproject.toml", "[tool.setuptools]\n" + MODULES + SETUPTOOLS + APPLICATION +
               '[project.scripts]\nclient = "client:main"\n')
    assert "are not installed" not in flat.prime().stderr


def test_R3_application_without_dependencies_is_told(flat):
    flat.write("pyproject.toml", '[project]\nname = "client"\nversion = "1"\n')
    assert "prime: nothing to install: pyproject.toml asks for no package here\n" in flat.prime().stderr


@pytest.mark.parametrize("text, where", [
    (APPLICATION, "."), (APPLICATION + "[tool.uv]\npackage = false\n", "."),
    (SETUPTOOLS + APPLICATION + "[tool.uv]\npackage = false\n", "."), (SETUPTOOLS + APPLICATION, "tools"),
    (APPLICATION + "[tool.uv]\npackage = true\n", "tools"),
    (APPLICATION + '[tool.proto-prime]\nprojects = ["."]\n', "tools"), (SETUPTOOLS, "tools")])
def test_R3_init_puts_the_file_at_the_top_of_what_nobody_builds(repo, text, where):
    for name in ("proto_prime.py", "prime", "__pycache__"):
        (repo.path / name).unlink()
    repo.write("pyproject.toml", text)
    repo.write("main.py", "")
    repo.prime("init", entry=str(TOP / "proto_prime.py"))
    assert (repo.path / where / "proto_prime.py").exists()


# -- requirements.txt beside a project ---------------------------------------------------------------

METADATA = {  # what says itself what the project needs
    "setup.py": {"setup.py": SETUP_PY},
    "setup.py and settings of tools": {"setup.py": SETUP_PY, "pyproject.toml": "[tool.black]\n"},
    "setup.cfg": {"setup.cfg": SETUP_CFG, "pyproject.toml": SETUPTOOLS},
    "[project]": {"pyproject.toml": FLIT + APPLICATION + 'description = "A client"\n'},
    "an application": {"pyproject.toml": APPLICATION},
    "a group dev beside setup.py": {"setup.py": SETUP_PY, "pyproject.toml": '[dependency-groups]\ndev = ["six"]\n'},
}
NOT_TAKEN = "prime: seen, but not used: requirements.txt; to install it, add to "
TAKEN_BY = ': requirements_files = ["requirements.txt"]\n'


@pytest.mark.parametrize("what, driver", by_driver(sorted(METADATA), ["[project]", "setup.py"]), indirect=["driver"])
def test_R20_project_with_metadata_takes_requirements_txt_only_if_configured(repo, driver, what):
    for name, text in METADATA[what].items():
        repo.write(name, text)
    repo.write("client.py", '"""A client."""\n')
    repo.write("requirements.txt", "six<1\n")  # which conflicts
    notice = repo.prime().stderr
    assert NOT_TAKEN in notice and TAKEN_BY in notice and notice.count("requirements.txt;") == 1
    assert packages(repo) == {"six"} | ({"client"} if what != "an application" else set())
    repo.write("requirements.txt", "idna\n")
    head = "[tool.proto-prime]\n" if (repo.path / "pyproject.toml").exists() else ""
    name = "pyproject.toml" if head else "proto_prime.toml"
    repo.write(name, METADATA[what].get(name, "") + head + 'requirements_files = ["requirements.txt"]\n')
    assert "not used" not in repo.prime().stderr
    assert "idna" in packages(repo)


def test_R20_init_takes_no_requirements_txt_beside_a_setup_py(repo):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    for name, text in dict(METADATA["setup.py"], **{"client.py": "", "requirements.txt": "six<1\n"}).items():
        repo.write(name, text)
    repo.prime("init", cwd=str(repo.path))
    assert packages(repo) == {"client", "six"}


WITHOUT_NOTICE = {  # requirements.txt is used, or left aside on purpose: the files, and what is installed
    "a dynamic field": ({"pyproject.toml": SETUPTOOLS + '[project]\nname = "client"\nversion = "1"\ndynamic = '
                         '["dependencies"]\n[tool.setuptools]\npy-modules = []\n[tool.setuptools.dynamic]\n'
                         'dependencies = {file = ["requirements.txt"]}\n'}, {"client", "idna"}),
    "read by setup.py": ({"setup.py": SETUP_PY.replace("['six>=1']", "open('requirements.txt').read()")},
                         {"client", "idna"}),
    "configured": ({"setup.py": SETUP_PY, "proto_prime.toml": "requirements_files = []\n"}, {"client", "six"}),
    "a group dev alone": ({"pyproject.toml": '[dependency-groups]\ndev = ["six"]\n'}, {"six", "idna"}),
    "no project wanted": ({"setup.py": SETUP_PY, "proto_prime.toml": "projects = []\n"}, {"idna"}),
    "no project": ({}, {"idna"}),
}


@pytest.mark.parametrize("what, driver", by_driver(sorted(WITHOUT_NOTICE), ["configured", "no project"]),
                         indirect=["driver"])
def test_R20_requirements_txt_that_is_used_or_left_aside_on_purpose_needs_no_notice(repo, driver, what):
    files, result = WITHOUT_NOTICE[what]
    for name, text in files.items():
        repo.write(name, text)
    repo.write("client.py", '"""A client."""\n')
    repo.write("requirements.txt", "idna\n")
    assert "not used" not in repo.prime().stderr
    assert packages(repo) == result


# -- uv's default groups -----------------------------------------------------------------------------

GROUPS = '[dependency-groups]\ndev = ["six"]\ntest = ["idna"]\n[tool.uv]\n'
DEFAULTS = {  # pyproject.toml, and what is installed
    "one group": (GROUPS + 'default-groups = ["test"]\n', {"idna"}),
    "another spelling": (GROUPS.replace("test", "Test_It") + 'default-groups = ["test-it"]\n', {"idna"}),
    "two": (GROUPS + 'default-groups = ["dev", "test"]\n', {"six", "idna"}),
    "all": (GROUPS + 'default-groups = "all"\n', {"six", "idna"}),
    "none": (APPLICATION + '[dependency-groups]\ndev = ["idna"]\n[tool.uv]\ndefault-groups = []\n', {"six"}),
    "nothing said": (GROUPS, {"six"}),
    "dev-dependencies": ('[tool.uv]\ndev-dependencies = ["idna"]\n', {"idna"}),
    "dev-dependencies beside a group dev": (GROUPS.replace("idna", "six") + 'dev-dependencies = ["idna"]\n',
                                            {"six", "idna"}),
    "dev-dependencies among all": ('[dependency-groups]\ntest = ["idna"]\n[tool.uv]\ndefault-groups = "all"\n'
                                   'dev-dependencies = ["six"]\n', {"six", "idna"}),
    "overruled": (GROUPS + 'default-groups = "all"\n[tool.proto-prime]\nprojects = [{path = ".", groups = ["dev"]}]\n',
                  {"six"}),
    "not overruled by extras": (
        APPLICATION + '[project.optional-dependencies]\nx = []\n[dependency-groups]\ntest = ["idna"]\n[tool.uv]\n'
        'default-groups = ["test"]\n[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"]}]\n', {"six", "idna"}),
}


@pytest.mark.parametrize("what, driver", by_driver(sorted(DEFAULTS), [
    "dev-dependencies beside a group dev", "not overruled by extras", "one group"]), indirect=["driver"])
def test_R11_default_groups_of_uv_are_installed(repo, driver, what):
    text, result = DEFAULTS[what]
    repo.write("pyproject.toml", text)
    assert packages(repo) == result


def test_R11_python_that_a_group_demands_is_demanded_if_the_group_is_installed(repo):
    text = '[dependency-groups]\ndev = [{include-group = "new_er"}]\nNew-er = ["six"]\nlint = ["six"]\n' \
        '[tool.uv.dependency-groups]\nNEW-er = {requires-python = ">=3.97"}\nlint = {requires-python = ">=3.98"}\n'
    repo.write("pyproject.toml", text)
    error = repo.prime(status=1, env={"PROTOPRIMER_OFFLINE": "1"}).stderr
    assert '">=3.97" (pyproject.toml: tool.uv.dependency-groups.new-er.requires-python)' in error
    assert "3.98" not in error
    repo.write("pyproject.toml", text.replace("3.97", "3.6"))
    assert packages(repo) == {"six"}


@pytest.mark.parametrize("what", ["all", "dev-dependencies among all"])
def test_R11_default_groups_are_taken_from_a_uv_lock(repo, what):
    repo.link("uv", uv_program())
    text = DEFAULTS[what][0]
    head = '[project]\nname = "client"\nversion = "1"\nrequires-python = ">=%d.%d"\n' % sys.version_info[:2]
    repo.write("pyproject.toml", head + text)
    subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(repo.path),
                   env=repo.env, check=True, stderr=subprocess.DEVNULL)
    assert packages(repo) == {"six", "idna"}


@pytest.mark.parametrize("value, words", [
    ('["tset"]', "there is no dependency group tset"), ("5", "tool.uv.default-groups"),
    ('"dev"', "tool.uv.default-groups"), ("[5]", "tool.uv.default-groups")])
def test_R11_default_group_that_is_none_is_an_error(repo, value, words):
    repo.write("pyproject.toml", GROUPS + "default-groups = %s\n" % value)
    assert words in repo.prime(status=2).stderr
