"""`[tool.uv.sources]`: what has a source comes from there, and no index is ever asked for it."""

import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import project_text, uv_program
from helpers import Index, make_checkout, make_tree, make_wheel, run_git  # noqa

APPLICATION = '[project]\nname = "app"\nversion = "1"\ndependencies = %s\n'
FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'


@pytest.fixture
def strangers(wheelhouse, tmp_path):
    """An index that has packages of strangers, by the names of those that the repos have themselves."""
    wheels = tmp_path / "strangers"
    wheels.mkdir()
    for path in wheelhouse.glob("*.whl"):
        os.link(str(path), str(wheels / path.name))
    for name in ("pk", "my_lib", "deep"):
        make_wheel(wheels / (name + "-99-py3-none-any.whl"), name, "99")
    index = Index(wheels)
    yield index
    index.close()


@pytest.fixture
def owner(index_client, strangers):
    """A repo that has packages itself, and takes others from the strangers' index."""
    (index_client.path / "proto_prime.toml").unlink()
    for name in ("pk", "my_lib", "deep"):
        make_tree(index_client.path / "lib" / name, name, "7")
    index_client.env.update(PIP_INDEX_URL=strangers.url(), UV_DEFAULT_INDEX=strangers.url())
    return index_client


def depend(repo, name, dependencies, more=""):
    """Let one of the repo's own packages depend on others."""
    text = project_text(name, dependencies, more).replace('version = "1"', 'version = "7"')
    (repo.path / "lib" / name / "pyproject.toml").write_text(text)


def installed(repo, *words, **options):
    """The versions of what is installed, by name, less pip and what an old pip needs."""
    code = "import json; from importlib.metadata import distributions as all; " \
        "print(json.dumps({one.metadata['Name'].lower(): one.version for one in all()}))"
    versions = json.loads(repo.inside(code, **options))
    return {name.replace("_", "-"): version for name, version in versions.items() if name not in ("pip", "setuptools")}


def asked(index):
    """The names of the packages that an index was asked for."""
    return {path.strip("/").split("/")[1].lower().replace("_", "-") for path, _ in index.asked
            if path.startswith("/simple/")}


def is_editable(repo, name):
    path = next(repo.current.glob("lib/python*/site-packages/%s-*.dist-info/direct_url.json" % name))
    return json.loads(path.read_text()).get("dir_info", {}).get("editable", False)


PK = '[tool.uv.sources]\npk = { path = "lib/pk" }\n'
WORKSPACE = '[tool.uv.sources]\npk = { workspace = true }\n[tool.uv.workspace]\nmembers = ["lib/*"]\n'
SHAPES = {
    "groups": '[dependency-groups]\ndev = [{include-group = "x"}, "six"]\nx = ["Pk>=9"]\n' + PK,
    "project": FLIT + APPLICATION % '["pk>=7"]' + 'description = "-"\n[project.optional-dependencies]\nt = ["six"]\n'
               '[dependency-groups]\ndev = ["app[t]", "pk", "pk"]\n' + PK,
    "group that chooses an extra of its project": FLIT + APPLICATION % '["six"]' + 'description = "-"\n'
        '[project.optional-dependencies]\nt = ["app[u]"]\nu = ["pk"]\n[dependency-groups]\ndev = ["App[t]"]\n' + PK,
    "package = false": FLIT + APPLICATION % '["six", "pk"]' + '[tool.uv]\npackage = false\n' + PK,
    "extra, and marker": APPLICATION % '["six"]' + '[project.optional-dependencies]\nx = ["pk"]\n[tool.uv.sources]\n'
        'pk = [{path = "none", marker = "sys_platform == \'no\'"}, {path = "lib/pk", extra = "x"}]\n'
        '[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"]}]\n',
    "dependencies of the config": PK + '[tool.proto-prime]\ndependencies = ["pk", "six"]\n',
    "workspace": APPLICATION % '["six", "pk"]' + WORKSPACE,
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_R1_what_has_a_source_comes_from_there(owner, strangers, driver, shape):
    owner.write("app.py", '"""An application."""\n')
    owner.write("pyproject.toml", SHAPES[shape])
    owner.prime()
    versions = installed(owner)
    if "app" in versions:
        assert versions.pop("app") == "1" and is_editable(owner, "app")
    assert set(versions) == {"pk", "six"} and versions["pk"] == "7"
    assert asked(strangers) - {"flit-core", "setuptools", "wheel"} == {"six"}
    assert is_editable(owner, "pk") == ("workspace" in shape)


KINDS = {  # of sources for my_lib: with pip a stranger's was installed
    "editable": '{ path = "lib/my_lib", editable = true }',
    "wheel": '{ path = "my_lib-7-py3-none-any.whl" }',
    "url": '{ url = "%(files)s/my_lib-7-py3-none-any.whl" }',
    "git": '{ git = "%(checkout)s", rev = "%(commit)s" }',
    "branch and subdirectory": '{ git = "%(checkout)s", branch = "other", subdirectory = "below" }',
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_R1_pip_gets_each_kind_of_source(owner, strangers, kind):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    make_wheel(owner.path / "my_lib-7-py3-none-any.whl", "my_lib", "7")
    strangers.files["my_lib-7-py3-none-any.whl"] = (owner.path / "my_lib-7-py3-none-any.whl").read_bytes()
    checkout = owner.home / "checkout"
    values = {"files": strangers.url("files"), "checkout": checkout.as_uri()}
    if "git" in KINDS[kind]:
        values["commit"] = make_checkout(checkout, "my_lib")
        run_git(checkout, "checkout", "-qb", "other", check=True)
        make_tree(checkout / "below", "my_lib", "7")
        run_git(checkout, "add", ".", check=True)
        run_git(checkout, "commit", "-qm", "Two", check=True)
        run_git(checkout, "checkout", "-q", values["commit"], check=True)
    source = KINDS[kind] % values
    owner.write("pyproject.toml", '[dependency-groups]\ndev = ["My.Lib"]\n[tool.uv.sources]\nmy-lib = %s\n' % source)
    owner.prime()
    assert installed(owner) == {"my-lib": "1" if kind == "git" else "7"}
    assert "my-lib" not in asked(strangers)
    assert is_editable(owner, "my_lib") == (kind == "editable")


def test_R1_sources_of_sources_hold(owner, strangers, driver):
    """An own project in `projects` and a member of a workspace have sources themselves, inherited ones too."""
    depend(owner, "pk", ["my-lib"])  # of the workspace's sources
    depend(owner, "my_lib", ["deep"], '[tool.uv.sources]\ndeep = { path = "../deep" }\n')
    owner.write("pyproject.toml", '[tool.uv.workspace]\nmembers = ["lib/pk", "lib/my_lib"]\n[tool.uv.sources]\n'
                'My_Lib = { workspace = true }\n[tool.proto-prime]\nprojects = ["lib/pk"]\n')
    owner.prime()
    assert installed(owner) == {"pk": "7", "my-lib": "7", "deep": "7"}
    assert not asked(strangers) & {"pk", "my-lib", "deep"}


def test_R1_workspace_above_the_repo_gives_its_sources(owner, strangers, driver):
    depend(owner, "pk", [], '[dependency-groups]\ndev = ["my-lib"]\n')
    owner.write("pyproject.toml", '[tool.uv.workspace]\nmembers = ["lib/*"]\n[tool.uv.sources]\n'
                'my-lib = { workspace = true }\n')
    at = ["--root", str(owner.path / "lib" / "pk")]
    owner.prime(*at)
    names = {path.name.split("-")[0] for path in (owner.path / "lib" / "pk" / ".venv").glob("lib/*/*/*.dist-info")}
    assert {"pk", "my_lib"} <= names and not asked(strangers) & {"pk", "my-lib"}
    owner.write("pyproject.toml", (owner.path / "pyproject.toml").read_text() + "# changed\n")
    assert "building environment" in owner.prime(*at).stderr


@pytest.mark.parametrize("text", [
    '[project]\nname = "app"\nversion = "1"\ndynamic = ["dependencies"]\n[tool.setuptools]\npy-modules = []\n'
    '[tool.setuptools.dynamic]\ndependencies = {file = "needs.txt"}\n', ""], ids=["dynamic", "setup.py"])
def test_R1_source_of_what_only_a_build_tells_holds(owner, strangers, driver, text):
    owner.write("setup.py", "from setuptools import setup\nsetup(%s)\n" % (
        "" if text else 'name="app", version="1", py_modules=[], install_requires=["pk"]'))
    owner.write("needs.txt", "pk\n")
    owner.write("pyproject.toml", text + PK)
    owner.prime()
    assert installed(owner) == {"app": "1", "pk": "7"} and "pk" not in asked(strangers)


def test_R1_projects_that_a_requirements_file_names_have_sources(owner, strangers):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    depend(owner, "pk", [], '[project.optional-dependencies]\nx = ["my-lib"]\n[tool.uv.sources]\n'
           'my-lib = { path = "../my_lib" }\n')
    owner.write("requirements.txt", "-e ./lib/pk[x]\nsix\ndeep\n")
    owner.write("pyproject.toml", '[tool.uv.sources]\ndeep = { path = "lib/deep" }\nsix = { index = "a" }\n')
    owner.prime()
    assert set(installed(owner)) == {"pk", "my-lib", "six", "deep"} and not asked(strangers) & {"my-lib", "deep"}


def test_R1_extra_is_that_of_one_application(owner, strangers, driver):
    extra = '[project.optional-dependencies]\nx = ["%s"]\n[tool.uv.sources]\npk = { path = "%slib/pk" }\n'
    owner.write("pyproject.toml", APPLICATION % '["pk"]' + extra % ("idna", "") + '[tool.proto-prime]\nprojects = '
                '[{path = ".", extras = []}, {path = "other", extras = ["x"]}]\n')
    owner.write("other/pyproject.toml", APPLICATION % '["six"]' + "[tool.uv]\npackage = false\n" +
                extra % ("pk", "../"))
    owner.prime()
    assert set(installed(owner)) == {"pk", "six"} and "pk" not in asked(strangers)


def test_R1_index_as_a_source_is_no_obstacle_to_files_at_hand(owner, strangers, driver):
    (owner.path / "files").mkdir()
    make_wheel(owner.path / "files" / "my_lib-8-py3-none-any.whl", "my_lib", "8")
    for path in strangers.wheels.glob("flit_core*"):
        os.link(str(path), str(owner.path / "files" / path.name))
    owner.write("pyproject.toml", APPLICATION % '["my-lib", "pk"]' + '[tool.uv.sources]\nmy-lib = { index = "a" }\n'
                'pk = { path = "lib/pk" }\n[[tool.uv.index]]\nname = "a"\nurl = "%s"\n'
                '[tool.proto-prime]\nno_index = true\nfind_links = ["files"]\n' % strangers.url())
    owner.prime()
    assert installed(owner) == {"my-lib": "8", "pk": "7"} and not strangers.asked


REFUSED = {
    "index": ('["six", "pk"]', 'pk = { index = "other" }', "pk comes from a source that pip does not know.*other"),
    "no such path": ('["pk"]', 'pk = { path = "none" }', 'there is no "none"'),
    "no member": ('["pk"]', "pk = { workspace = true }", "no member of that name"),
    "another name": ('["pk"]', 'pk = { path = "lib/my_lib" }', "is the project my_lib, not pk"),
    "no kind": ('["pk"]', 'pk = { editable = true }', "no source of one of the kinds"),
    "build": ('["six"]', 'flit-core = { path = "lib/pk" }\n' + FLIT, "build-system.requires: flit-core has a source"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_R1_source_that_pip_cannot_have_is_an_error(owner, strangers, name):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    dependencies, source, words = REFUSED[name]
    owner.write("app.py", '"""An application."""\n')
    owner.write("pyproject.toml", APPLICATION % dependencies + 'description = "-"\n[tool.uv.sources]\n' + source)
    error = owner.prime(status=None).stderr
    assert re.search(words, error) and error.count("prime: error: ") == 1 and "Traceback" not in error
    assert "pk" not in asked(strangers) and not owner.generations


@pytest.mark.parametrize("settings, words", [
    ('constraint-dependencies = ["six<9"]\nno-build = false\n', "constraint-dependencies means"),
    ('index-url = "http://x.test"\nresolution = "lowest"\n', "index-url, resolution mean"),
    ('default-groups = []\n[[tool.uv.index]]\nname = "x"\nurl = "http://x.test"\nexplicit = true\n', ""),
])
def test_R1_setting_of_uv_that_chooses_packages_is_told_to_mean_nothing_to_pip(owner, settings, words):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    owner.write("pyproject.toml", APPLICATION % '["six"]' + "[tool.uv]\n" + settings)
    notice = owner.prime().stderr
    assert "[tool.uv] %s nothing to pip: " % words in notice if words else "nothing to pip" not in notice
    assert "x.test" not in notice


@pytest.mark.parametrize("settings, words", [
    ("no-deps = true\npython-version = '3.9'", "[tool.uv.pip] no-deps, python-version counts here"),
    ("extra = ['x']", "hint: [tool.uv.pip] names extras"), ("no-deps = false\nlink-mode = 'copy'", "")])
def test_R1_setting_for_uv_pip_alone_is_told(owner, settings, words):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    owner.link("uv", uv_program())
    owner.env.pop("UV_NO_CONFIG", None)  # with it uv reads no settings of pyproject.toml
    owner.project(["six"], "[tool.uv.pip]\n" + settings)
    notice = owner.prime(status=None).stderr
    assert words in notice if words else "uv.pip" not in notice


def test_R1_setting_of_the_workspace_above_is_told_to_mean_nothing_to_pip(owner):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    owner.write("pyproject.toml", '[tool.uv]\nconstraint-dependencies = ["six<9"]\n[tool.uv.workspace]\n'
                'members = ["lib/*"]\n')
    depend(owner, "pk", [], "")
    notice = owner.prime("--root", str(owner.path / "lib" / "pk")).stderr
    assert "[tool.uv] constraint-dependencies means nothing to pip: " in notice


def test_R1_source_for_another_extra_or_machine_is_no_obstacle(owner, strangers):
    owner.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    owner.write("pyproject.toml", APPLICATION % '["six", "pk; sys_platform == \'no\'"]' + '[tool.uv.sources]\n'
                'pk = { index = "a" }\nidna = { index = "a" }\nsix = [{ index = "a", extra = "x" }, '
                '{ index = "b", marker = "sys_platform == \'no\'" }]\n')
    owner.prime()
    assert set(installed(owner)) == {"six"}


def test_R1_lock_and_vendored_directory_take_sources(owner, strangers):
    owner.link("uv", uv_program())
    depend(owner, "my_lib", ["deep"], '[tool.uv.sources]\ndeep = { path = "../deep" }\n')
    text = APPLICATION % '["six", "pk"]' + '[dependency-groups]\ndev = ["my-lib"]\n[tool.uv.sources]\n' \
        'pk = { path = "lib/pk" }\nmy-lib = { path = "lib/my_lib", editable = true }\n'
    owner.write("pyproject.toml", text)
    owner.prime("vendor")
    assert [path.name.split("-")[0] for path in (owner.path / "vendor").glob("six-*")] == ["six"]
    assert not list((owner.path / "vendor").glob("*-99-*"))
    everything = {"six", "pk", "my-lib", "deep"}
    for driver in ("venv_uv", "venv_pip"):
        owner.prime("--offline", env={"PROTOPRIMER_VENV_DRIVER": driver})
        assert set(installed(owner)) == everything
    shutil.rmtree(str(owner.path / "vendor"))
    owner.prime("lock")
    assert "99" not in re.findall(r'version = "(.*)"', (owner.path / "pylock.toml").read_text())
    for driver in ("venv_uv", "venv_pip"):
        owner.prime(env={"PROTOPRIMER_VENV_DRIVER": driver})
        assert set(installed(owner)) == everything and is_editable(owner, "my_lib")
    assert asked(strangers) & {"six", "pk", "my-lib", "deep"} == {"six"}
    owner.write("pyproject.toml", text.replace("lib/pk", "lib/../lib/pk"))
    assert "pylock.toml was made for other requirements" in owner.prime(status=1).stderr


# -- scripts -----------------------------------------------------------------------------------------

SCRIPT = """\
# /// script
# dependencies = ["pk", "six"]
# [tool.uv]
%s# sources = { pk = { path = "lib/pk" } }
# ///
from importlib.metadata import version
print(version("pk"), version("six"))
"""


def run(owner, more="", status=0, **options):
    owner.write("script.py", SCRIPT % "".join("# %s\n" % line for line in more.splitlines()))
    return owner.prime("run", "script.py", status=status, **options)


def test_R2_sources_of_a_script_hold(owner, strangers, driver):
    assert run(owner).stdout.startswith("7 ")
    assert "pk" not in asked(strangers)
    assert run(owner).stderr == ""


def test_R2_settings_of_a_script_hold_with_uv_and_are_refused_by_pip(owner, strangers):
    owner.link("uv", uv_program())
    make_wheel(strangers.wheels / "six-1.2-py3-none-any.whl", "six", "1.2")
    lines = 'override-dependencies = ["six==1.2"]\nlink-mode = "copy"'
    assert run(owner, lines, env={"UV_NO_CONFIG": "1"}).stdout == "7 1.2\n"
    pip = {"PROTOPRIMER_VENV_DRIVER": "venv_pip"}
    error = run(owner, lines, env=pip, status=2).stderr
    assert "pip cannot do what the script says: [tool.uv] override-dependencies (" in error
    result = run(owner, 'find-links = ["more"]\nno-index = true\nlink-mode = "copy"', env=pip, status=1)
    assert "link-mode means nothing to pip" in result.stderr
    (owner.path / "more").mkdir()
    for name in ("six-1.2-py3-none-any.whl",) + tuple(path.name for path in strangers.wheels.glob("flit_core*")):
        os.link(str(strangers.wheels / name), str(owner.path / "more" / name))
    before = list(strangers.asked)
    for variables in (pip, {}):
        assert run(owner, 'find-links = ["more"]\nno-index = true', env=variables).stdout == "7 1.2\n"
    assert strangers.asked == before


def test_R2_setting_that_means_nothing_to_pip_may_be_a_number(owner):
    result = run(owner, "concurrent-builds = 4", env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    assert result.stdout.startswith("7 ") and "concurrent-builds means nothing to pip" in result.stderr


def test_R2_lock_of_a_script_is_used(owner, strangers):
    owner.link("uv", uv_program())
    make_wheel(strangers.wheels / "six-1.2-py3-none-any.whl", "six", "1.2")
    owner.write("script.py", SCRIPT % '# constraint-dependencies = ["six<1.3"]\n')
    environ = dict(owner.env, UV_DEFAULT_INDEX=strangers.url())
    subprocess.run([uv_program(), "lock", "--script", "script.py"], cwd=str(owner.path), env=environ, check=True)
    for driver in ("venv_uv", "venv_pip"):
        result = owner.prime("run", "script.py", env={"PROTOPRIMER_VENV_DRIVER": driver})
        assert result.stdout == "7 1.2\n"
    assert "pk" not in asked(strangers)
    assert owner.prime("run", "script.py", env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}).stderr == ""
    owner.write("script.py", SCRIPT.replace('"six"', '"six", "idna"') % "")
    error = owner.prime("run", "script.py", status=1).stderr
    assert "script.py.lock was made for other requirements than there are now\n" in error
    assert error.count("hint:") == 1 and "hint: uv lock --script '%s' renews it" % (owner.path / "script.py") in error
