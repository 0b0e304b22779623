"""A lock file says what is installed: the same with either driver, its hashes and sizes enforced."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import one_of_each_pip, project_text, python, some_python, uv_program
from helpers import make_wheel, pylock, six_package, wheel

import proto_prime

DRIVERS = ("venv_uv", "venv_pip")
INSTALLED = "import json, sys; from importlib import metadata as m; print(json.dumps(sorted(" \
    "(d.metadata['Name'], d.version) for d in m.distributions() if d.metadata['Name'] != 'pip')))"


def installed(repo, driver, **options):
    """What is installed by a driver: a list of [name, version], less pip, which uv does not bring."""
    env = {"PROTOPRIMER_VENV_DRIVER": driver}
    repo.prime(env=env, **options)
    return json.loads(repo.inside(INSTALLED, env=env))


@pytest.fixture
def project(repo):
    """A project with an extra, a group, and a dependency for one platform alone; uv is on PATH."""
    repo.link("uv", uv_program())
    repo.project(["six", 'setuptools; sys_platform == "win32"'], "\n".join([
        "[project.optional-dependencies]", 'more = ["idna"]', "[dependency-groups]", 'lint = ["packaging"]',
        "[tool.proto-prime.env.all]", 'projects = [{path = ".", extras = ["more"], groups = ["lint"]}]']))
    return repo


def lock(repo, *argv):
    """`prime lock`; returns the file's text."""
    repo.prime(*(argv + ("lock",)))
    return (repo.path / ("pylock.%s.toml" % argv[1] if argv else "pylock.toml")).read_text()


# -- prime lock -------------------------------------------------------------------------------------


def test_U10_lock_of_nothing_writes_nothing_and_says_where_packages_are_listed(plain):
    plain.link("uv", uv_program())
    said = plain.prime("lock", status=1).stderr
    assert "nothing to lock: no [project], requirements.txt, or dependencies in the config" in said
    assert "list packages in dependencies of proto_prime.toml" in said
    assert not list(plain.path.glob("pylock*"))
    plain.write("requirements.txt", "")
    assert "pylock.toml names no package, for none is asked for" in plain.prime("lock").stderr


@pytest.mark.slow
def test_lock_of_a_project_gives_the_same_environment_with_either_driver(project):
    text = lock(project)
    assert 'name = "client"' not in text
    assert re.search(r'hashes = \{ sha256 = "[0-9a-f]{64}"', text)
    both = [installed(project, driver) for driver in DRIVERS]
    assert both[0] == both[1]
    assert [name for name, _ in both[0]] == ["client", "six"]
    assert project.inside("import client; print(client.__file__)") == str(project.path / "client.py")


@pytest.mark.slow
def test_lock_of_a_named_environment_is_a_file_of_its_own(project):
    text = lock(project, "-e", "all")
    assert all('name = "%s"' % name in text for name in ("six", "idna", "packaging"))
    project.env["PROTOPRIMER_ENV"] = "all"
    both = [installed(project, driver) for driver in DRIVERS]
    assert both[0] == both[1]
    assert [name for name, _ in both[0]] == ["client", "idna", "packaging", "six"]


def test_lock_keeps_what_was_pinned_until_it_is_upgraded(repo, wheelhouse, tmp_path):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["pip"]')  # of which the wheelhouse may hold several
    versions = sorted({path.name.split("-")[1] for path in wheelhouse.glob("pip-*.whl")})
    old = tmp_path / "old wheels"
    old.mkdir()
    shutil.copy(str(next(wheelhouse.glob("pip-%s-*.whl" % versions[0]))), str(old))
    (repo.home / "uv.toml").write_text('no-index = true\nfind-links = [%s]\n' % json.dumps(old.as_uri()))
    assert '"%s"' % versions[0] in lock(repo)
    newer = old / "pip-99.0-py3-none-any.whl"
    make_wheel(newer, "pip", "99.0")
    assert '"%s"' % versions[0] in lock(repo)
    repo.prime("lock", "--upgrade")
    assert '"99.0"' in (repo.path / "pylock.toml").read_text()


def test_lock_of_requirements_files_with_constraints_and_spaces(repo, wheelhouse):
    repo.link("uv", uv_program())
    version = wheel(wheelhouse, "six").name.split("-")[1]
    repo.write("req files/some more.txt", "idna\n")
    repo.write("req files/main.txt", "six\n-r some%20more.txt\n".replace("%20", "_"))
    repo.write("req files/some_more.txt", "idna\n")
    repo.write("constraints.txt", "six==%s\n" % version)
    repo.config('requirements_files = ["req files/main.txt"]\nconstraints_file = "constraints.txt"\n')
    lock(repo)
    assert [name for name, _ in installed(repo, "venv_pip")] == ["idna", "six"]


@pytest.mark.slow
def test_lock_of_projects_that_need_each_other_names_neither(repo):
    repo.link("uv", uv_program())
    for name, needs in (("one", '["six", "two"]'), ("two", '["idna"]')):
        repo.write("my pkgs/%s/%s.py" % (name, name), '"""A project."""\n')
        repo.write("my pkgs/%s/pyproject.toml" % name,
                   '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n[project]\n'
                   'name = "%s"\nversion = "1"\ndescription = "x"\ndependencies = %s\n' % (name, needs))
    repo.config('projects = ["my pkgs/one", {path = "my pkgs/two", editable = false}]')
    text = lock(repo)
    assert re.findall('^name = "(.*)"', text, re.MULTILINE) == ["idna", "six"]
    both = [installed(repo, driver) for driver in DRIVERS]
    assert both[0] == both[1]
    assert [name for name, _ in both[0]] == ["idna", "one", "six", "two"]


def test_lock_names_the_platforms_that_the_config_names(repo):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\nplatforms = ["windows-x86_64", "macos-arm64"]')
    text = lock(repo)
    assert '"sys_platform == \'win32\' and platform_machine == \'AMD64\'"' in text
    assert '"sys_platform == \'darwin\' and platform_machine == \'arm64\'"' in text
    for driver in DRIVERS:
        result = repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": driver})
        assert "Traceback" not in result.stderr
        assert re.search("not for this machine|not supported by the lockfile", result.stderr), result.stderr


def test_lock_of_an_unknown_platform_is_refused(repo):
    repo.config('platforms = ["amiga"]')
    assert "platforms must be a list of linux-x86_64, " in repo.prime("lock", status=2).stderr


def test_lock_that_fails_leaves_the_old_one(project):
    before = lock(project)
    pyproject = project.path / "pyproject.toml"
    project.write("pyproject.toml", pyproject.read_text().replace('"six"', '"no-such-package"'))
    result = project.prime("lock", status=1)
    assert "no-such-package" in result.stderr
    assert (project.path / "pylock.toml").read_text() == before
    assert sorted(path.name for path in project.path.glob("pylock*")) == ["pylock.toml"]


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_lock_that_was_made_for_other_requirements_is_refused(project, driver):
    lock(project)
    installed(project, driver)
    old = project.current
    pyproject = project.path / "pyproject.toml"
    project.write("pyproject.toml", pyproject.read_text().replace('"six"', '"six", "idna"'))
    env = {"PROTOPRIMER_VENV_DRIVER": driver}
    result = project.prime(status=1, env=env)
    assert "pylock.toml was made for other requirements than there are now" in result.stderr
    assert "hint: " + project.typed("lock") in result.stderr
    assert project.current == old
    lock(project)
    assert [name for name, _ in installed(project, driver)] == ["client", "idna", "six"]


SETUPTOOLS = '[build-system]\nrequires = ["setuptools", "wheel"]\nbuild-backend = "setuptools.build_meta"\n'
FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
SETUP_PY = "import setuptools\nsetuptools.setup(\n    name='client',\n    version='1',\n    py_modules=['client'],\n" \
    "    install_requires=%s)\n"
SETUP_CFG = "[metadata]\nname = client\nversion = 1\n[options]\npy_modules = client\ninstall_requires =\n  six\n"
DYNAMIC = SETUPTOOLS + '[project]\nname = "client"\nversion = "1"\ndynamic = ["dependencies"]\n'
WORKSPACE = '[project]\nname = "root"\nversion = "1"\ndependencies = ["pk"]\n[tool.uv.workspace]\n' \
    'members = ["libs/*"]\n[tool.uv.sources]\npk = {workspace = true}\n'
READS = SETUP_PY % "open('requirements.txt').read().split()"
DECLARED = {  # where a repo says that it needs six: its files, and which of them, where, says that it needs idna, too
    "setup.py": ({"setup.py": SETUP_PY % "['six']"}, "setup.py", "'six'", "'six', 'idna'"),
    "a file that setup.py reads": ({"setup.py": READS, "requirements.txt": "six\n"}, "requirements.txt", "six",
                                   "six\nidna"),
    "a file of a dynamic field": (
        {"pyproject.toml": DYNAMIC + '[tool.setuptools]\npy-modules = []\n[tool.setuptools.dynamic]\ndependencies = '
         '{file = ["needs.txt"]}\n', "needs.txt": "six\n"}, "needs.txt", "six", "six\nidna"),
    "setup.cfg": ({"pyproject.toml": SETUPTOOLS, "setup.cfg": SETUP_CFG}, "setup.cfg", "  six", "  six\n  idna"),
    "setup.cfg beside a [project]": ({"pyproject.toml": DYNAMIC, "setup.cfg": SETUP_CFG}, "setup.cfg", "  six",
                                     "  six\n  idna"),
    "a table of the backend's": (
        {"pyproject.toml": FLIT + '[tool.flit.metadata]\nmodule = "client"\nauthor = "A"\nrequires = ["six"]\n'},
        "pyproject.toml", '"six"', '"six", "idna"'),
    "a member of the workspace": (
        {"pyproject.toml": WORKSPACE, "libs/pk/pyproject.toml": project_text("pk", ["six"], ""),
         "libs/pk/pk.py": '"""A library."""\n'}, "libs/pk/pyproject.toml", '"six"', '"six", "idna"'),
}


def test_R17_lock_of_a_version_before_is_not_old_where_nothing_changed(repo):
    """What `prime lock` recorded for these at commit 4fcc9ee."""
    repo.project(more='[project.optional-dependencies]\nmore = ["idna"]\n[dependency-groups]\ndev = ["wheel"]\n')
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    assert proto_prime.lock_inputs(environment) == "97f82d82897d"
    (repo.path / "pyproject.toml").unlink()
    repo.write("requirements.txt", "six\n")
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    assert proto_prime.lock_inputs(environment) == "5362dbe814e8"


@pytest.mark.parametrize("what", sorted(DECLARED))
def test_R17_lock_is_old_wherever_a_project_says_what_it_needs(repo, what):
    files, name, old, new = DECLARED[what]
    repo.link("uv", uv_program())
    repo.write("proto_prime.toml", "") if "pyproject.toml" not in files else None
    repo.write("client.py", '"""A client."""\n__version__ = "1"\n')
    for file, text in files.items():
        repo.write(file, text)
    lock(repo)
    text = files[name].replace("version='1'", "version='2'").replace("version = 1", "version = 2")
    repo.write(name, text)  # another version of it needs nothing else
    assert "six" in [each for each, _ in installed(repo, "venv_uv")]
    repo.write(name, text.replace(old, new))
    assert "made for other requirements than there are now" in repo.prime(status=1).stderr
    lock(repo)
    assert {"six", "idna"} <= {each for each, _ in installed(repo, "venv_uv")}


@pytest.mark.parametrize("kind", ["pylock.toml", "uv.lock"])
def test_R19_settings_that_a_lock_was_resolved_with_do_not_hinder_it_without_an_index(repo, wheelhouse, kind):
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    repo.project(["six"], "[tool.uv]\nconstraint-dependencies = ['six<9']\noverride-dependencies = ['idna<9']\n"
                 "[tool.proto-prime]\nno_index = true\nfind_links = [%s]" % json.dumps(str(wheelhouse)))
    if kind == "uv.lock":
        subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(repo.path),
                       env=repo.env, check=True, stderr=subprocess.PIPE)
    else:
        lock(repo)
    assert [name for name, _ in installed(repo, "venv_uv")] == ["client", "six"]


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_comment_in_the_project_does_not_make_its_lock_out_of_date(project, driver):
    lock(project)
    pyproject = project.path / "pyproject.toml"
    project.write("pyproject.toml", pyproject.read_text() + "# more\n")
    assert [name for name, _ in installed(project, driver)] == ["client", "six"]


@pytest.mark.slow
def test_lock_of_a_uv_lock_holds_the_same(project):
    subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(project.path),
                   env=project.env, check=True, stderr=subprocess.DEVNULL)
    by_uv = installed(project, "venv_uv")
    project.write("pylock.toml", "")  # without it uv.lock alone is renewed
    lock(project)
    assert installed(project, "venv_pip") == by_uv
    assert [name for name, _ in by_uv] == ["client", "six"]


# -- a pylock.toml that others made -----------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("what", ["hash", "size"])
def test_wrong_hash_or_size_is_refused_and_the_old_environment_stays(repo, wheelhouse, driver, what):
    repo.link("uv", uv_program())
    repo.config()
    repo.prime(env={"PROTOPRIMER_VENV_DRIVER": driver})
    old = repo.current
    wrong = {"hash": {"sha256": "0" * 64}, "size": {"size": 12}}[what]
    repo.write("pylock.toml", pylock([six_package(wheelhouse, **wrong)]))
    result = repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": driver, "UV_CACHE_DIR": str(repo.home / "uv")})
    assert "six" in result.stderr
    assert "Traceback" not in result.stderr
    assert repo.current == old
    assert list((repo.path / ".prime" / "envs").iterdir()) == [old]


def entry(directory, name, more="", changes=()):
    """The entry of a package whose wheel is made in a directory, with `more` lines, and (old, new) `changes` in it."""
    path = directory / (name + "-1-py3-none-any.whl")
    if not path.exists():
        make_wheel(path, name, "1")
    text = 'name = "%s"\nversion = "1"\n%s\nwheels = [{ url = "%s", hashes = { sha256 = "%s" } }]' % (
        name, more, path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())
    for old, new in changes:
        text = re.sub(old, new, text)
    return text


MARKERS = [  # and whether it holds in the environments `default` and `all`, which has the extra and the group
    ("'more' in extras", False, True), ("'more' not in extras", True, False),
    ("'lint' in dependency_groups", False, True), ("python_version < '3'", False, False),
    ("'lint' not in dependency_groups and python_version > '3'", True, False)]


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_marker_extras_and_groups_decide_what_is_installed(project, tmp_path, driver):
    text = (project.path / "pyproject.toml").read_text()
    for line in ("dependencies = ", "more = ", "lint = "):  # all that is required would have to be in the lock
        text = re.sub("(?m)^%s.*$" % line, line + "[]", text)
    project.write("pyproject.toml", text)
    packages = [entry(tmp_path, "m%d" % number, 'marker = "%s"' % row[0]) for number, row in enumerate(MARKERS)]
    project.write("pylock.toml", pylock(packages, 'extras = ["more"]\ndependency-groups = ["lint"]\n'))
    for column, environment in (1, "default"), (2, "all"):
        project.env["PROTOPRIMER_ENV"] = environment
        names = [name for name, _ in installed(project, driver)]
        holds = ["m%d" % number for number, row in enumerate(MARKERS) if row[column]]
        assert names == ["client"] + holds, environment


@pytest.mark.parametrize("driver", DRIVERS)
def test_lock_for_other_pythons_is_refused(repo, wheelhouse, driver):
    repo.link("uv", uv_program())
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)], 'requires-python = ">=3.99"'))
    result = repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": driver})
    assert 'no python satisfies requires-python ">=3.99" of pylock.toml (pylock.toml: ' in result.stderr
    assert repo.typed("lock") in result.stderr


def test_lock_says_which_of_the_pythons_is_taken(repo, wheelhouse):
    newest = python("3.13")
    repo.config()
    repo.link("python3.13", newest)
    repo.write("pylock.toml", pylock([six_package(wheelhouse)], 'requires-python = ">=3.13"'))
    code = "import sys; print(*sys.version_info[:2])"
    assert repo.inside(code, python=python("3.9")) == "3 13"


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_directory_and_path_entries_are_installed(repo, wheelhouse, driver):
    repo.link("uv", uv_program())
    repo.config()
    shutil.copy(str(wheel(wheelhouse, "six")), str(repo.path))
    name = wheel(wheelhouse, "six").name
    repo.write("some lib/lib.py", '"""A library."""\n')
    repo.write("some lib/pyproject.toml", '[build-system]\nrequires = ["flit_core"]\nbuild-backend = '
               '"flit_core.buildapi"\n[project]\nname = "lib"\nversion = "3"\ndescription = "x"\n')
    package = six_package(wheelhouse).replace(wheel(wheelhouse, "six").as_uri(), name).replace("url =", "path =")
    repo.write("pylock.toml", pylock([package, 'name = "lib"\ndirectory = { path = "some lib" }']))
    assert [name for name, _ in installed(repo, driver)] == ["lib", "six"]


HEAD = 'lock-version = "1.0"\ncreated-by = "x"\n'


@pytest.mark.parametrize("text, word", [
    ("no toml", "pylock.toml"),
    ('lock-version = "2.0"', "2.0"),
    ('created-by = "x"', "PEP 751"),
    (HEAD + '[[packages]]\nversion = "1"', "PEP 751"),
    (HEAD + '[[packages]]\nname = "six"\nversion = "1"', "six has no wheel, sdist, archive"),
    (HEAD + "packages = 3", "PEP 751"),
    (HEAD, "packages"),
    ('lock-version = "1.0"\npackages = []', "created-by"),
    ('lock-version = "1.0"\ncreated-by = 3\npackages = []', "created-by"),
    ('lock-version = 1.0\ncreated-by = "x"\npackages = []', "lock-version"),
    ('lock-version = "1.x"\ncreated-by = "x"\npackages = []', "1.x"),
    ('lock-version = "10.0"\ncreated-by = "x"\npackages = []', "10.0"),
])
def test_broken_lock_is_an_error_that_names_it(repo, text, word):
    repo.config()
    repo.write("pylock.toml", text)
    result = repo.prime(status=2)
    assert word in result.stderr and "pylock.toml" in result.stderr
    assert "Traceback" not in result.stderr


# -- R6: a lock is taken or refused as by uv and by pip ----------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_R6_lock_that_the_PEP_allows_is_installed(repo, tmp_path, driver):
    repo.link("uv", uv_program())
    repo.config()
    repo.write("pylock.toml", pylock([
        entry(tmp_path, "grouped", "marker = \"'main' in dependency_groups\""),
        entry(tmp_path, "unversioned", changes=[("version = .*\n", "")]),
        entry(tmp_path, "capitals", changes=[("[0-9a-f]{64}", lambda found: found.group().upper())]),
        entry(tmp_path, "blankless", "marker = \"'main'in dependency_groups and 'x'not in extras\""),
        entry(tmp_path, "otherwise", "requires-python = \"<3\"\nmarker = \"python_version<'3'\""),
        entry(tmp_path, "otherwise"),
        entry(tmp_path, "twice", "marker = \"os_name=='posix'\""),
        entry(tmp_path, "twice", "marker = \"os_name=='nt'\""),
    ], 'default-groups = ["main"]\n'))
    assert [name for name, _ in installed(repo, driver)] == [
        "blankless", "capitals", "grouped", "otherwise", "twice", "unversioned"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("more, words", [
    (['requires-python = "<3"'], 'does not fulfil "<3" (six)'),
    (['requires-python = "<x"'], "malformed"),
    (["", ""], "six is there more than once"),
    (["marker = \"python_version > '3'\"", "marker = \"os_name in 'posix nt'\""], "six is there more than once"),
    (["marker = \"'a' not in extras\"", "marker = \"'b' not in dependency_groups\""], "six is there more than once"),
    (["marker = \"no_such == 'a'\""], "malformed marker: \"no_such == 'a'\""),
    (["marker = \"os_name == 'a' or (\""], "malformed marker: \"os_name == 'a' or (\""),
    (["marker = \"os_name == 'a' 'b'\""], "malformed marker: \"os_name == 'a' 'b'\""),
])
def test_R6_lock_that_cannot_be_meant_is_refused_before_anything_is_made(repo, wheelhouse, driver, more, words):
    repo.link("uv", uv_program())
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse, each) for each in more]))
    error = repo.prime(status=None, env={"PROTOPRIMER_VENV_DRIVER": driver}).stderr
    assert "pylock.toml" in error and words in error and "creating the environment" not in error, error
    assert "Traceback" not in error and "fault of prime" not in error


@pytest.mark.parametrize("text, words", [
    ('lock-version = "1.0"\npackages = []\n', "is not as PEP 751 says: no created-by\n"),
    ('lock-version = "1.0"\ncreated-by = "x"\n', "is not as PEP 751 says: no packages\n"),
    ('created-by = "x"\npackages = []\n', "is not as PEP 751 says: no lock-version\n"),
    ('lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "six"\n',
     "six has no wheel, sdist, archive, directory or checkout\n"),
])
def test_R6_error_names_what_a_lock_lacks(repo, text, words):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.config()
    repo.write("pylock.toml", text)
    assert words in repo.prime(status=2).stderr


def test_R6_checkout_may_have_a_path_relative_to_the_lock(repo):
    repo.write("deps/my lib/lib.py", '"""A library."""\n')
    repo.write("deps/my lib/pyproject.toml", project_text("lib", [], ""))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(repo.path / "deps/my lib")]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "One"]):
        subprocess.run(git + words, check=True)
    commit = subprocess.run(git + ["rev-parse", "HEAD"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    repo.config('lock_file = "locks/pylock.toml"')
    package = 'name = "lib"\nmarker = "os_name != \'a\'"\nvcs = { type = "git", path = "../deps/my lib", ' \
        'commit-id = "%s" }' % commit
    repo.write("locks/pylock.toml", pylock([package]))
    assert [name for name, _ in installed(repo, "venv_pip")] == ["lib"]


@pytest.mark.parametrize("marker", [
    "python_version >= '3.6'", "python_version<'3.10'", "'3.10' <= python_version", "python_full_version == '3.*'",
    "sys_platform == 'win32' or os_name=='posix' and python_version > '3'", "sys_platform != 'win32'",
    "(sys_platform == 'win32' or os_name == 'posix') and python_version < '3'", "platform_machine in 'x86_64 AMD64'",
    "'linux' in sys_platform", "'Lin' not in platform_system", "python_version ~= '3.6'", "implementation_name<'d'",
    "python_version not in '3.6 3.7'", "'x' in extras", "'A.B' in extras", "'a' not  in dependency_groups",
    "((python_version > '3'))", "platform_release >= '2'", 'platform_python_implementation == "CPython"'])
def test_R6_marker_means_what_packaging_says(marker):
    markers = pytest.importorskip("packaging.markers")
    python = proto_prime.interpreter_at(str(some_python()))
    values = dict(proto_prime.marker_values(python), extras=["a-b"], dependency_groups=["a"])
    theirs = markers.Marker(marker).evaluate({"extras": {"a-b"}, "dependency_groups": {"a"}}, context="lock_file")
    assert proto_prime.marker_holds(marker, values) == theirs


@pytest.mark.slow
@pytest.mark.parametrize("version", [version for version in one_of_each_pip() if version != "3.6"])
def test_pip_of_every_python_installs_a_lock(repo, wheelhouse, version):
    repo.env["PROTOPRIMER_PYTHON"] = str(python(version))
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    repo.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    assert repo.inside("import six; print(1)", env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}) == "1"


@pytest.mark.slow
def test_pip_of_the_oldest_python_installs_a_lock(repo, wheelhouse):
    repo.env.update(PROTOPRIMER_PYTHON=str(python("3.6")), PROTOPRIMER_VENV_DRIVER="venv_pip")
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    assert "replacing pip 18.1" in repo.prime().stderr
    assert repo.inside("import six; print(1)") == "1"


def test_nothing_of_the_lock_s_making_stays_in_the_environment(repo, wheelhouse):
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    for driver in DRIVERS:
        installed(repo, driver)
        assert not (repo.current / "lock").exists()
        assert set(os.listdir(str(repo.current))) <= {
            "bin", "include", "lib", "lib64", "pyvenv.cfg", "share", ".gitignore", ".lock", "CACHEDIR.TAG",
            "proto-prime.json"}


@pytest.mark.parametrize("driver", ["venv_uv", "venv_pip"])
def test_lock_of_a_project_without_dependencies(repo, driver):
    repo.link("uv", uv_program())
    repo.project([])
    assert "pylock.toml names no package" in repo.prime("lock").stderr
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    assert repo.inside("import client") == ""


def test_lock_renews_a_uv_lock_that_is_out_of_date(repo):
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    repo.project(["six"])
    subprocess.run([uv_program(), "lock", "-q", "--python", str(some_python())], check=True, cwd=str(repo.path),
                   env=repo.env)
    repo.project(["six", "idna"])
    assert "hint: " + repo.typed("lock renews it") in repo.prime(status=1).stderr
    repo.prime("lock")
    assert repo.inside("import idna, six") == ""


def uv_lock(repo):
    subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(repo.path),
                   env=repo.env, check=True, stderr=subprocess.PIPE)


@pytest.mark.parametrize("field", ['dependencies = ["packaging"]', 'requirements_files = ["r.txt"]',
                                   'constraints_file = "r.txt"'])
def test_uv_lock_that_cannot_hold_a_field_is_refused_until_there_is_one_that_does(repo, field):
    repo.link("uv", uv_program())
    repo.write("r.txt", "packaging\n")
    repo.project(["six"], "[tool.proto-prime]\n" + field)
    uv_lock(repo)
    error = repo.prime(status=1).stderr
    assert "uv.lock does not hold what %s says" % field.split()[0] in error and repo.typed("lock") in error
    repo.prime("lock")
    names = [name for name, _ in installed(repo, "venv_uv")]
    assert names == ["client", "six"] if "constraints" in field else ["client", "packaging", "six"]


def test_uv_lock_is_no_matter_to_an_environment_without_projects(repo):
    repo.link("uv", uv_program())
    repo.project(["six"], '[tool.proto-prime.env.tools]\nprojects = []\ndependencies = ["packaging"]')
    uv_lock(repo)
    repo.env["PROTOPRIMER_ENV"] = "tools"
    assert [name for name, _ in installed(repo, "venv_uv")] == ["packaging"]


@pytest.fixture
def workspace(repo):
    """A uv.lock of a root and two members, with an extra and groups; the root alone has idna."""
    repo.link("uv", uv_program())
    for name in ("one", "two"):
        repo.write("parts/%s/%s.py" % (name, name), '"""A part."""\n')
        repo.write("parts/%s/pyproject.toml" % name, project_text(name, ["six"], "\n".join([
            "[project.optional-dependencies]", 'more = ["packaging"]'])))
    repo.project(["idna"], '[tool.uv.workspace]\nmembers = ["parts/*"]\n[tool.proto-prime]\nprojects = []')
    uv_lock(repo)
    return repo


@pytest.mark.slow
@pytest.mark.parametrize("projects, names", [
    ('["parts/one"]', ["one", "six"]),
    ('["parts/one", {path = "parts/two", extras = ["more"]}]', ["one", "packaging", "six", "two"]),
    ('[".", "parts/two"]', ["client", "idna", "six", "two"]),
])
def test_members_of_a_workspace_are_installed_from_uv_lock(workspace, projects, names):
    text = (workspace.path / "pyproject.toml").read_text()
    workspace.write("pyproject.toml", text.replace("projects = []", "projects = " + projects))
    by_uv = installed(workspace, "venv_uv")
    assert [name for name, _ in by_uv] == names
    assert installed(workspace, "venv_pip") == by_uv


def test_path_dependency_is_installed_with_the_project_that_uv_lock_holds(repo):
    repo.link("uv", uv_program())
    repo.write("ext/ext.py", '"""A library."""\n')
    repo.write("ext/pyproject.toml", project_text("ext", ["six"], ""))
    repo.project(["ext"], '[tool.uv.sources]\next = {path = "ext", editable = true}\n'
                          '[tool.proto-prime]\nprojects = [".", "ext"]')
    uv_lock(repo)
    assert [name for name, _ in installed(repo, "venv_uv")] == ["client", "ext", "six"]


def test_requirements_txt_beside_a_uv_lock_is_left_alone(repo):
    repo.link("uv", uv_program())
    repo.write("pkg/pkg.py", '"""A part."""\n')
    repo.write("pkg/pyproject.toml", project_text("pkg", ["idna"], ""))
    repo.write("pyproject.toml", '[tool.uv.workspace]\nmembers = ["pkg"]\n[dependency-groups]\ndev = ["six"]\n')
    uv_lock(repo)
    repo.write("requirements.txt", "packaging\n")
    assert "six" in [name for name, _ in installed(repo, "venv_uv")]


@pytest.mark.parametrize("text", ["requires-python = 3", "[[package]]\nname = 3", '[[package]]\nsource = "editable+."'])
def test_uv_lock_of_another_form_is_an_error(repo, text):
    repo.link("uv", uv_program())
    repo.project(["six"])
    repo.write("uv.lock", text + "\n")
    result = repo.prime(status=None)
    assert result.status in (1, 2) and "Traceback" not in result.stderr and "uv.lock" in result.stderr


def test_pylock_with_a_malformed_requires_python_names_the_file(repo):
    repo.config()
    repo.write("pylock.toml", 'lock-version = "1.0"\nrequires-python = ">=x"\npackages = []\n')
    assert "(pylock.toml)" in repo.prime(status=2).stderr


def test_project_that_is_not_in_uv_lock_is_refused(workspace):
    workspace.write("other/pyproject.toml", project_text("other", [], ""))
    text = (workspace.path / "pyproject.toml").read_text()
    workspace.write("pyproject.toml", text.replace("projects = []", 'projects = [".", "other"]'))
    assert "uv.lock does not hold the project %s" % (workspace.path / "other") in workspace.prime(status=1).stderr
