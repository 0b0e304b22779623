"""The small repos in corpus/, one of each shape: what is installed is what their own tools install.

In their files http://index.test is the index, http://other.test another one, and file:///here the repo itself.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import TOP, fetch_wheels, some_python, uv_program
from filelock import FileLock
from helpers import Index, make_wheel

CORPUS = TOP / "tests" / "corpus"


def both(words):
    """The same words for `uv pip` and for pip."""
    return "uv pip " + words, "pip " + words


SYNC = "uv sync", "pip install -e ."
OF_GROUP_DEV = "uv sync", "pip install -e . --group dev"
WITH_PK = "uv sync", "pip install -e . ./lib/pk"
EXPORTED = "pip install -r exported.txt"

# The reference: what each repo's own tools are told, with uv and with pip, for a new environment. None: it cannot.
REFERENCES = {
    "c_extension": both("install -e ."),
    "constraints": both("install -e . -r dev.txt -c constraints.txt"),
    "default_groups": ("uv sync", "pip install -e . --group test --group docs"),
    "django": both("install -r requirements.txt"),
    "django_project": ("uv sync", "pip install banana --group dev"),
    "dynamic_dependencies": ("uv sync --extra test", "pip install -e .[test]"),
    "extras_dev_test": ("uv sync --extra dev --extra test", "pip install -e .[dev,test]"),
    "flat": SYNC,
    "flit": SYNC,
    "groups_includes": OF_GROUP_DEV,
    "groups_only": both("install --group dev"),
    "hatch": OF_GROUP_DEV,
    "hatch_vcs": SYNC,
    "monorepo": both("install -e services/api ./libs/pk -e libs/two[full] --group libs/two/pyproject.toml:test"),
    "namespace": both("install -e . -e plugins/two"),
    "package_false": ("uv sync", "pip install banana --group dev"),
    "pdm": SYNC,
    "poetry": both("install -e ."),
    "poetry_project": OF_GROUP_DEV,
    "pylock": ("uv pip sync pylock.toml && uv pip install --no-deps -e .",
               "pip install -r pylock.toml && pip install --no-deps -e ."),
    "pylock_only": ("uv pip sync pylock.toml", "pip install -r pylock.toml"),
    "requirements": both("install -r requirements.txt"),
    "requirements_dir": both("install -r requirements/dev.txt -r requirements/docs.txt"),
    "requirements_editable": both("install -r requirements-dev.txt"),
    "requirements_local": both("install -r requirements.txt"),
    "requirements_nested": both("install -r requirements.txt"),
    "requirements_utf16": both("install -r requirements.txt"),
    "script": ("uv run script.py", "pip install cherry[jam] apple<2"),
    "script_lock": ("uv run script.py", "pip install banana==1.0"),
    "script_settings": ("uv run script.py", None),
    "script_sources": ("uv run script.py", "pip install ./lib/pk"),
    "setup_cfg": both("install -e ."),
    "setup_py": both("install -e ."),
    "setup_py_requirements": both("install -e ."),
    "source_application": ("uv sync", "pip install -e ./lib/pk apple --group dev"),
    "source_direct": SYNC,
    "source_editable": ("uv sync", "pip install -e . -e ./lib/pk"),
    "source_git": ("uv sync", "pip install -e . git+file:///here/lib@v1.5#subdirectory=pk"),
    "source_in_extra": ("uv sync --extra own", "pip install -e .[own] ./lib/pk"),
    "source_in_group": ("uv sync", "pip install -e . ./lib/pk -e ./lib/two"),
    "source_index": ("uv sync", None),
    "source_marker": WITH_PK,
    "source_path": WITH_PK,
    "source_url": ("uv sync", "pip install -e . http://other.test/files/pk-1.5-py3-none-any.whl"),
    "src": SYNC,
    "uv_build": OF_GROUP_DEV,
    "uv_lock": ("uv sync", EXPORTED),
    "uv_settings": SYNC,
    "workspace": ("uv sync", "pip install -e . -e packages/pk -e packages/two --group dev"),
    "workspace_lock": ("uv sync", EXPORTED),
    "workspace_of_members": ("uv sync", "pip install -e packages/pk -e packages/two elder date<2"),
}
LOCK = "uv lock -P apple==1.5 -P date==1.0 && uv export --no-hashes --no-annotate --no-header -o exported.txt"
PREPARED = {  # what their authors did before: what is too long or too fickle to be kept here
    "hatch_vcs": "git init && git add . && git commit -m One && git tag v1.2",
    "pylock": "uv lock -P apple==1.5 && uv export --no-emit-project -o pylock.toml && rm uv.lock",
    "pylock_only": "uv pip compile needs.in --resolution lowest-direct --format pylock.toml -o pylock.toml",
    "script_lock": "uv lock --script script.py -P banana==1.0",
    "source_git": "git -C lib init && git -C lib add . && git -C lib commit -m One && git -C lib tag v1.5",
    "uv_lock": LOCK,
    "workspace_lock": LOCK,
}
IMPORTED = {"c_extension": "import native", "namespace": "import acme.one, acme.two", "src": "import layout"}
REFUSED = {"source_index": r"pk\b.*\bindex", "script_settings": "constraint-dependencies"}  # by pip, with these words
# With uv alone, for with pip each would show what another one does: pip reads files of requirements, as `requirements`,
# and builds a project in an environment for that whatever the backend, as `hatch`, `setup_py` and `monorepo`.
LIKE_ANOTHER = {"c_extension", "django", "django_project", "flat", "flit", "hatch_vcs", "namespace", "pdm", "poetry",
                "poetry_project", "requirements_dir", "setup_cfg", "src", "uv_build"}
# The same, for what tests of one thing show with pip: sources in test_uv_sources.py, the others in test_drivers.py and
# test_what_is_installed.py.
LIKE_ANOTHER |= {"constraints", "default_groups", "extras_dev_test", "groups_includes", "package_false",
                 "requirements_nested", "source_editable", "source_git", "source_path", "source_url"}

# -- the indexes -------------------------------------------------------------------------------------

NEEDS = "Requires-Dist: "
WHEELS = {  # {name: [(version, further lines of its metadata)]}
    "apple": [("1.0", ""), ("1.5", ""), ("2.0", "")],
    "banana": [("1.0", ""), ("2.0", NEEDS + "apple\n")],
    "cherry": [("1.0", "Provides-Extra: jam\n" + NEEDS + "sugar ; extra == 'jam'\n")],
    "date": [("1.0", ""), ("2.0", "")],
    "elder": [("1.0", "")],
    "fig": [("1.0", "")],
    "plum": [("1.0", ""), ("2.0b1", "")],
    "sugar": [("1.0", "")],
    "pk": [("99", "")],  # a stranger's: in the corpus what has this name has a source
    "pk_two": [("99", "")],
}
BACKENDS = ["setuptools", "wheel", "flit_core", "hatchling", "hatch-vcs", "poetry-core", "pdm-backend", "uv_build",
            "editables", "pip"]


@pytest.fixture(scope="session")
def wheels(shared):
    """The directories of the index and of the other one: small wheels, and the build backends as they are."""
    target, other = shared / "corpus" / "wheels", shared / "corpus" / "other"
    with FileLock(str(shared / "corpus.lock")):
        if not (other / "complete").exists():
            fetch_wheels(target, [BACKENDS])
            for name, versions in WHEELS.items():
                for version, more in versions:
                    make_wheel(target / ("%s-%s-py3-none-any.whl" % (name, version)), name, version, more)
            other.mkdir()
            for version in ("1.0", "1.5"):
                make_wheel(other / ("pk-%s-py3-none-any.whl" % version), "pk", version, NEEDS + "banana\n")
            (other / "complete").touch()
    return target, other


@pytest.fixture(scope="module")
def indexes(wheels):
    """The index, and another one: each an `Index`."""
    both = [Index(directory) for directory in wheels]
    yield both
    for index in both:
        index.close()


# -- the reference -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def newest_pip(shared, wheels):
    """A directory with the newest pip and the build backends, for PYTHONPATH.

    So the reference's pip needs no environment for each build, which takes twice as long.
    """
    place = shared / "corpus" / "pip"
    with FileLock(str(shared / "corpus.lock")):
        if not place.exists():
            words = ["pip", "install", "-q", "--python", str(some_python()), "--no-index", "--no-config",
                     "--find-links", str(wheels[0]), "--target", str(place)]
            subprocess.run([uv_program()] + words + BACKENDS, check=True)  # many times as fast as by pip
    return place


class Shape:
    """A repo of the corpus: as its authors have it, ours, and a copy in which its own tools work.

    origin       what they have; where git's sources come from
    repo         the `Repo` that is ours
    theirs       the copy in which the tools work
    environment  what the tools fill
    """

    def __init__(self, name, repo, shared, newest_pip, indexes):
        self.repo, self.pip, self.indexes = repo, newest_pip, indexes
        self.origin, self.theirs, self.environment = (
            repo.home / "origin", repo.home / "theirs", repo.home / "their environment")
        for variable in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_CONFIG_FILE"):
            del repo.env[variable]
        (repo.home / "uv.toml").unlink()  # or uv would find it above `theirs`
        repo.env.update(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=indexes[0].url(), UV_DEFAULT_INDEX=indexes[0].url(),
                        PIP_CACHE_DIR=str(shared / "corpus" / "pip cache"), PIP_NO_COMPILE="1")
        shutil.copytree(str(CORPUS / name), str(self.origin))
        for path in self.origin.rglob("*"):
            if path.suffix in (".py", ".toml", ".txt") and path.is_file():
                path.write_bytes(self.filled(path.read_bytes().decode("latin-1")).encode("latin-1"))
        subprocess.run([str(some_python()), "-m", "venv", "--without-pip", str(self.environment)], check=True)
        self.run(PREPARED.get(name, "true"), self.origin)
        self.copy_to_ours()

    def copy_to_ours(self):
        """Make the repo ours as `init` would, with the file in tools/."""
        files = ["proto_prime.py", "prime", "__pycache__"]
        tools = self.repo.home / "tools"
        tools.mkdir()
        for name in files:
            (self.repo.path / name).rename(tools / name)
        self.repo.path.rmdir()
        shutil.copytree(str(self.origin), str(self.repo.path))
        tools.rename(self.repo.path / "tools")
        if not [name for name in ("pyproject.toml", "proto_prime.toml") if (self.repo.path / name).exists()]:
            self.repo.config()

    def filled(self, text):
        """A text of the corpus, with the places as they are here."""
        for index, name in zip(self.indexes, ("index.test", "other.test")):
            text = text.replace("http://" + name, "http://" + index.place)
        return text.replace("file:///here", self.origin.as_uri())

    def run(self, line, where):
        """Run commands of the tools as they would be typed. Returns what the last one printed."""
        git = [shutil.which("git"), "-c", "user.name=me", "-c", "user.email=me@example.org"]
        target = str(self.environment / "bin" / "python")
        pip = [target, "-m", "pip", "-q"]
        programs = {"uv": [uv_program()], "git": git, "pip": pip}
        environ = dict(self.repo.env, UV_PROJECT_ENVIRONMENT=str(self.environment), UV_PYTHON=target,
                       PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_BUILD_ISOLATION="0")
        for command in line.split(" && "):
            words = self.filled(command).split()
            if words[0] == "pip":
                environ.update(PYTHONPATH=str(self.pip), PATH=str(self.pip / "bin") + os.pathsep + environ["PATH"])
            words[:1] = programs.get(words[0], words[:1])
            done = subprocess.run(words, cwd=str(where), env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, universal_newlines=True)
            assert done.returncode == 0, "%s\n%s" % (command, done.stderr)
        return done.stdout

    def ours(self, *argv, **options):
        """Boot, or run `argv…`. Returns the path of the environment."""
        result = self.repo.prime(*argv, entry="tools/prime", **options)
        assert "Traceback" not in result.stderr, result.stderr
        return Path(result.stdout.strip()) if argv else self.repo.current

    def refuses(self, words, *argv):
        """Assert that it is an error, with these words."""
        error = self.repo.prime(*argv, entry="tools/prime", status=None).stderr
        assert re.search(r"^prime: error: .*%s" % words, error, re.MULTILINE), error

    def reference(self, line):
        """Have the repo's own tools install it. Returns the path of the environment."""
        shutil.copytree(str(self.origin), str(self.theirs))
        printed = self.run(line, self.theirs)
        return Path(printed.strip()) if line.startswith("uv run") else self.environment


CONTENTS = """
import importlib.metadata, json, os, re, sys
found = {}
for each in importlib.metadata.distributions():
    record = json.loads(each.read_text("direct_url.json") or "{}")
    found.setdefault(re.sub("[-_.]+", "-", each.metadata["Name"]).lower(), (each.version, record))
print(json.dumps([found, os.listdir(os.path.join(sys.prefix, "bin"))]))
"""
OF_EACH_ENVIRONMENT = re.compile(r"(de)?activate|python|pip|pydoc", re.IGNORECASE)


def contents(environment, here):
    """What an environment holds: ({name: (version, where from if not from an index)}, programs)."""
    done = subprocess.run([str(environment / "bin" / "python"), "-I", "-c", CONTENTS], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True)
    found, programs = json.loads(done.stdout)
    packages = {name: (version, origin_of(record, here)) for name, (version, record) in found.items()
                if name not in ("pip", "setuptools")}
    return packages, sorted(name for name in programs if not OF_EACH_ENVIRONMENT.match(name))


def origin_of(record, here):
    """What a direct_url.json says, whoever wrote it: None, or (URL, part of it, commit, editable)."""
    if not record:
        return None
    url = record["url"].replace(here.as_uri(), "file:///here").rstrip("/")
    commit = record.get("vcs_info", {}).get("commit_id")
    return url, record.get("subdirectory"), commit, record.get("dir_info", {}).get("editable", False)


# -- the corpus --------------------------------------------------------------------------------------


def cases():
    """Each repo with each driver, less what would show the same once more."""
    found = []
    for name, driver in sorted((name, driver) for name in REFERENCES for driver in ("venv_pip", "venv_uv")):
        if driver == "venv_pip" and name in LIKE_ANOTHER:
            continue
        marks = [pytest.mark.slow] if driver == "venv_pip" else []
        found.append(pytest.param(name, driver, marks=marks, id="%s-%s" % (name, driver[5:])))
    return found


@pytest.mark.parametrize("name, driver", cases())
def test_repo_holds_what_its_own_tools_install(name, driver, repo, shared, newest_pip, indexes):
    if name == "c_extension" and not shutil.which("cc"):
        pytest.skip("no C compiler")
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    repo.link("uv", uv_program())
    shape = Shape(name, repo, shared, newest_pip, indexes)
    command = REFERENCES[name][driver == "venv_pip"]
    argv = ["run", "script.py"] if name.startswith("script") else []
    del indexes[0].asked[:]
    ours = shape.ours(*argv) if command else shape.refuses(REFUSED[name], *argv)
    assert not [path for path, _ in indexes[0].asked if path.startswith("/simple/pk")]
    if command:
        assert contents(ours, repo.path) == contents(shape.reference(command), shape.theirs)
        subprocess.run([str(ours / "bin" / "python"), "-I", "-c", IMPORTED.get(name, "")], check=True)


def test_each_repo_has_a_reference():
    assert sorted(REFERENCES) == sorted(path.name for path in CORPUS.iterdir())
