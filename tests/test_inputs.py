"""Every file that decides what is installed is an input; what is not there yet, is moved or nested is no trap."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import project_text, python, some_python, uv_program
from helpers import make_tree, six_package

import proto_prime

DYNAMIC = '[project]\nname = "%s"\nversion = "1"\ndynamic = ["dependencies"]\n' \
    '[tool.setuptools.dynamic]\ndependencies = {file = ["reqs.txt"]}\n'


def inputs(repo):
    """The input files of a repo's environment."""
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    return [os.path.relpath(path, str(repo.path)) for path in proto_prime.input_files(environment)]


LINES = {
    "blanks behind it": ("-r other.txt   ", "other.txt"),
    "a comment behind it": ("-r other.txt  # why", "other.txt"),
    "an escaped blank": ("--requirement=other\\ file.txt", "other file.txt"),
    "quotes": ("-c 'other file.txt'", "other file.txt"),
    "a variable": ("-r ${MINE}/other.txt", "other.txt"),
    "a file URL": ("--constraint file://%(root)s/other.txt", "other.txt"),
    "two lines": ("-r \\\n  other.txt", "other.txt"),
    "a directory without ./": ("libs/foo", "libs/foo/pyproject.toml"),
    "an editable directory": ("-e libs", "libs/setup.py"),
    "a file of its dynamic field": ("./libs[extra] ; python_version > '3'", "libs/reqs.txt"),
    "a directory with options": ("./libs --config-settings=a=b", "libs/setup.py"),
    "a wheel with its hash": ("./a.whl --hash=sha256:abc", "a.whl"),
    "a line below a comment": ("# old \\\n-r other.txt", "other.txt"),
    "an editable URL": ("-e file://%(root)s/libs#egg=libs", "libs/setup.py"),
    "a relative URL": ("libs @ file:libs", "libs/setup.py"),
    "NUL": ("a/\0b\n./libs", "libs/setup.py"),
    "a directory by URL": ("foo @ file://%(root)s/libs/foo", "libs/foo/setup.cfg"),
}


@pytest.mark.parametrize("what", sorted(LINES))
def test_what_a_requirements_file_names_is_an_input(repo, monkeypatch, what):
    line, name = LINES[what]
    monkeypatch.setenv("MINE", str(repo.path))
    repo.write("requirements.txt", line.replace("file://%(root)s", repo.path.as_uri()))
    repo.write("libs/foo/pyproject.toml", "")
    repo.write("libs/pyproject.toml", DYNAMIC % "libs")
    repo.write("a.whl", "")
    assert name in inputs(repo)


def test_name_of_a_package_is_no_directory(repo):
    repo.write("requirements.txt", "six\n")
    repo.write("six/pyproject.toml", "")
    assert "six/pyproject.toml" not in inputs(repo)


def test_sources_of_sources_are_inputs(repo):
    source = '[project]\nname = "%s"\nversion = "1"\n[tool.uv.sources]\n%s = {path = "../%s"}\n'
    repo.write("pyproject.toml", source.replace("../", "") % ("root", "foo", "foo"))
    repo.write("foo/pyproject.toml", source % ("foo", "bar", "bar"))
    repo.write("bar/pyproject.toml", source % ("bar", "foo", "foo"))  # a circle
    assert {"foo/setup.py", "bar/pyproject.toml", "bar/setup.cfg"} <= set(inputs(repo))


NAMED = {
    "a file of a dynamic field": ("", "needed.txt"),
    "a local project in a requirements file": ('requirements_files = ["r.txt"]', "lib/setup.py"),
    "a member of the workspace": ("", "parts/one/pyproject.toml"),
    "a source of uv's": ("", "beside/setup.cfg"),
    "uv's settings": ("", "uv.toml"),
}


@pytest.mark.parametrize("what", sorted(NAMED))
def test_file_that_decides_the_install_without_being_told_of_is_an_input(repo, what):
    more, name = NAMED[what]
    repo.write("pyproject.toml", "\n".join([
        "[project]", 'name = "demo"', 'version = "1"', 'dynamic = ["dependencies"]',
        "[tool.setuptools.dynamic]", 'dependencies = {file = ["needed.txt"]}',
        "[tool.uv.sources]", 'beside = {path = "beside"}', "[tool.uv.workspace]", 'members = ["parts/*"]',
        "[tool.proto-prime]", more]))
    repo.write("r.txt", "# -e ./none\n-e ./lib\n")
    for place in ("lib", "parts/one", "beside"):
        repo.write(place + "/pyproject.toml", "")
    assert name in inputs(repo)


FILES = {
    "setup.cfg": ("setup.cfg", "[options]\ninstall_requires = file: reqs.txt, more.txt\n", "more.txt"),
    "setup.cfg, version": ("setup.cfg", "[metadata]\nversion = file: VERSION\n", "VERSION"),
    "uv's settings": ("pyproject.toml", '[tool.uv]\nconstraint-dependencies = ["six<1.17"]\n', "pyproject.toml"),
    "hatch's version": ("pyproject.toml", '[project]\nname = "a"\ndynamic = ["version"]\n'
                        '[tool.hatch.version]\npath = "a/__about__.py"\n', "a/__about__.py"),
}


@pytest.mark.parametrize("what", sorted(FILES))
def test_what_a_project_takes_a_part_from_is_an_input(repo, what):
    place, text, name = FILES[what]
    repo.write("setup.py", "")
    repo.write(place, text)
    repo.write("README.md", "")
    assert name in inputs(repo)


def test_file_beside_the_members_of_a_workspace_is_no_input(repo):
    repo.write("pyproject.toml", '[project]\nname = "a"\nversion = "1"\n[tool.uv.workspace]\nmembers = ["parts/*"]\n')
    repo.write("parts/one/pyproject.toml", "")
    repo.write("parts/README.md", "")
    assert "parts/README.md" not in inputs(repo) and "parts/one/setup.py" in inputs(repo)


def test_long_description_is_no_input(repo):
    repo.write("setup.py", "")
    repo.write("setup.cfg", "[metadata]\nlong_description = file: README.md\n")
    assert "README.md" not in inputs(repo)


# -- reset ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_reset_asks_anew_what_a_local_project_requires(repo, driver):
    repo.write("lib/pyproject.toml", project_text("lib", [], ""))
    repo.write("lib/lib.py", '"""A library."""\nvalue = 1\n')
    repo.write("requirements.txt", "./lib\n")
    repo.config()
    assert repo.inside("import lib; print(lib.value)") == "1"
    repo.write("lib/lib.py", '"""A library."""\nvalue = 2\n')
    repo.prime("reset")
    assert repo.inside("import lib; print(lib.value)") == "2"


# -- a build that starts prime ----------------------------------------------------------------------

BACKEND = """\
from flit_core.buildapi import *
from flit_core import buildapi
import os, subprocess

def build_editable(*args, **options):
    told = subprocess.run([%r, %r, "-v"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    with open(%r, "wb") as file:
        file.write(b"%%d " %% told.returncode + told.stderr)
    return buildapi.build_editable(*args, **options)
"""


@pytest.mark.parametrize("command", [["python3", "proto_prime.py"], ["env", "-u", "VIRTUAL_ENV", "python", "prime"],
                                     ["/usr/bin/python3", "prime", "reset"]], ids=lambda words: words[-1])
def test_boot_within_a_post_boot_command_does_not_wait_for_itself(repo, command):
    if command[0].startswith("/") and not os.path.exists(command[0]):
        pytest.skip("no " + command[0])
    repo.config("post_boot = [%s]" % json.dumps(command))
    assert "environment default is being built by what started this" in repo.prime(status=1, timeout=60).stderr


def test_boot_within_a_build_backend_does_not_wait_for_itself(repo, driver):
    repo.project([])
    text = (repo.path / "pyproject.toml").read_text()
    repo.write("pyproject.toml", text.replace('"flit_core.buildapi"', '"backend"\nbackend-path = ["build"]'))
    repo.write("build/backend.py", BACKEND % (str(some_python()), str(repo.path / "prime"), str(repo.home / "told")))
    repo.prime(timeout=60)
    assert "is being built by what started this" in (repo.home / "told").read_text()
    assert (repo.home / "told").read_text().startswith("1 ")


def test_boot_of_another_repo_within_a_build_hides_it_not(repo, make_repo):
    inner = make_repo("inner")
    inner.config()
    words = [str(some_python()), str(inner.path / "prime"), "run", str(some_python()), str(repo.path / "prime")]
    repo.config("post_boot = [%s]" % json.dumps(words))
    for _ in range(2):  # the first builds the inner one
        assert "environment default is being built by what started this" in repo.prime(status=1, timeout=60).stderr


def test_environment_that_is_gone_is_not_one_that_is_being_built(repo):
    repo.config()
    repo.prime()
    env = {"VIRTUAL_ENV": str(repo.path / ".prime/envs/default-gone"),
           "PROTOPRIMER_BUILDING": str(repo.path / ".prime/envs/default-gone")}
    assert repo.prime("run", "python", "-c", "print(1)", env=env).stdout == "1\n"
    shutil.rmtree(str(repo.path / ".prime"))
    repo.prime(env=env)


# -- which generation is meant ----------------------------------------------------------------------


def test_generation_in_use_is_the_one_that_the_link_leads_to(repo):
    for name in ("six", "idna", "six"):
        repo.config('dependencies = ["%s"]' % name)
        repo.prime()
        repo.settle()
    used = repo.current
    repo.config('dependencies = ["six", "idna"]')
    told = repo.info()
    assert told["venv"]["generation"] == str(used) and not told["current"]
    assert told["reasons"] == ["dependencies changed"]
    tell = "import sys; print(sys.prefix)"
    assert repo.prime("run", "--no-boot", "python", "-c", tell).stdout.strip() == str(used)


def test_base_that_is_another_python_behind_its_link_is_a_change(repo, driver):
    base = repo.home / "base"
    base.symlink_to(python("3.11"))
    repo.config('required_python_version = "%s"' % base)
    repo.prime()
    repo.settle()
    assert "is current" in repo.prime().stderr
    base.unlink()
    base.symlink_to(python("3.12"))
    assert "is ready (environment default, python 3.12" in repo.prime().stderr


def cut_off(repo):
    """Take the wheels away that other boots have instead of an index."""
    del repo.env["PIP_FIND_LINKS"], repo.env["UV_CONFIG_FILE"]


def test_T2_build_that_stands_in_for_a_damaged_one_is_told_of(plain):
    plain.prime()
    plain.settle()
    plain.prime("reset")
    (plain.current / "bin" / "python").unlink()
    told = plain.prime().stderr
    assert "another build of the same stands in: " in told and "bin/python is missing" in told


# -- locks ------------------------------------------------------------------------------------------


def test_lock_that_the_config_names_is_made(repo):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\nlock_file = "locks/pylock.toml"')
    assert 'there is no file "locks/pylock.toml"' in repo.prime(status=2).stderr
    assert "locks/pylock.toml names 1 package" in repo.prime("lock").stderr
    repo.prime()
    (repo.path / "locks/pylock.toml").write_text("<<<<<<< ours\nlock-version = \"1.0\"\n=======\n>>>>>>> theirs\n")
    assert "names 1 package" in repo.prime("lock").stderr


def test_new_version_leaves_a_lock_as_good_as_it_was(repo):
    repo.link("uv", uv_program())
    repo.write("pyproject.toml", '[build-system]\nrequires = ["setuptools", "wheel"]\n'
               '[project]\nname = "a"\ndynamic = ["version"]\ndependencies = ["six"]\n'
               '[tool.setuptools]\npy-modules = []\n[tool.setuptools.dynamic]\nversion = {file = "VERSION"}\n')
    repo.write("VERSION", "1.0\n")
    repo.prime("lock")
    repo.prime()
    repo.write("VERSION", "1.1\n")
    assert "VERSION changed" in repo.prime().stderr


@pytest.fixture
def workspace(repo):
    """A workspace whose root requires a member, locked by uv, which is on PATH."""
    repo.link("uv", uv_program())
    repo.project(["part"], '[tool.uv.workspace]\nmembers = ["parts/*"]\n[tool.uv.sources]\npart = {workspace = true}')
    repo.write("parts/part/pyproject.toml", project_text("part", ["six"], ""))
    repo.write("parts/part/part.py", '"""A part."""\n')
    subprocess.run([uv_program(), "lock", "--offline", "--python", str(some_python())], cwd=str(repo.path),
                   env=repo.env, check=True, stderr=subprocess.DEVNULL)
    return repo


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["venv_pip", "venv_uv"])
def test_lock_of_a_workspace_holds_its_members(workspace, driver):
    workspace.env["PROTOPRIMER_VENV_DRIVER"] = driver
    assert "uv.lock is up to date" in workspace.prime("lock").stderr
    assert not (workspace.path / "pylock.toml").exists()
    assert workspace.inside("import client, part, six; print(1)") == "1"


@pytest.mark.slow
def test_vendor_of_a_workspace_is_all_that_its_members_need(workspace):
    text = (workspace.path / "pyproject.toml").read_text()  # whose backend is another one than the member's
    text = text.replace('"flit_core"', '"setuptools"').replace("flit_core.buildapi", "setuptools.build_meta")
    workspace.write("pyproject.toml", text + '[tool.setuptools]\npy-modules = ["client"]\n')
    workspace.prime("vendor")
    cut_off(workspace)
    workspace.prime("--offline")
    assert workspace.inside("import client, part, six; print(1)") == "1"


ASKING = """\
from flit_core.buildapi import *
from flit_core import buildapi

def get_requires_for_build_editable(settings=None):
    return ["idna"]

def build_editable(*args, **options):
    import idna
    return buildapi.build_editable(*args, **options)
"""


@pytest.mark.slow
def test_vendor_asks_the_build_backends(repo, driver):
    repo.link("uv", uv_program()) if driver == "venv_pip" else None
    repo.project(["six"])
    text = (repo.path / "pyproject.toml").read_text()
    repo.write("pyproject.toml", text.replace('"flit_core.buildapi"', '"backend"\nbackend-path = ["build"]'))
    repo.write("build/backend.py", ASKING)
    repo.prime("vendor")
    assert list((repo.path / "vendor").glob("idna-*.whl"))
    cut_off(repo)
    repo.prime("--offline")


def test_offline_takes_nothing_from_the_cache_of_uv(repo):
    repo.link("uv", uv_program())
    repo.project(["six"])
    repo.prime()
    cut_off(repo)
    assert "failed" in repo.prime("--offline", "reset", status=1).stderr


def test_application_that_uv_does_not_install_has_its_dependencies(repo, driver):
    repo.write("pyproject.toml", '[project]\nname = "site"\nversion = "1"\ndependencies = ["six"]\n'
               '[project.optional-dependencies]\nnames = ["idna"]\n[tool.uv]\npackage = false\n'
               '[tool.proto-prime]\nprojects = [{path = ".", extras = ["names"]}]\n')
    for name in ("app", "static", "migrations"):
        repo.write(name + "/__init__.py", "")
    assert repo.inside("import six, idna; print(1)") == "1"
    assert not list(repo.current.glob("lib/*/site-packages/site-*"))


def test_application_that_uv_does_not_install_names_its_own_extras(repo, driver):
    repo.write("pyproject.toml", '[project]\nname = "requests"\nversion = "1"\n[project.optional-dependencies]\n'
               'all = ["Requests[some, more]"]\nsome = ["six"]\nmore = ["idna"]\n[tool.uv]\npackage = false\n'
               '[tool.proto-prime]\nprojects = [{path = ".", extras = ["all"]}]\n')
    assert repo.inside("import six, idna; print(1)") == "1"
    repo.write("pyproject.toml", '[project]\nname = "a"\nversion = "1"\ndependencies = ["--dry-run"]\n'
               '[tool.uv]\npackage = false\n')
    assert '"--dry-run" is no requirement' in repo.prime(status=2).stderr


def test_vendor_asks_no_backend_of_what_is_not_built(repo):
    repo.link("uv", uv_program())
    repo.write("pyproject.toml", '[project]\nname = "a"\nversion = "1"\ndependencies = ["six"]\n'
               '[tool.uv]\npackage = false\n')
    for name in ("app", "data"):
        repo.write(name + "/__init__.py", "")
    repo.prime("vendor", ".vendor")
    repo.write("pyproject.toml", '[tool.uv]\nindex-strategy = "first-index"\n[tool.proto-prime]\n'
               'projects = []\ndependencies = ["six"]\n')
    repo.prime("vendor", ".vendor")


def test_vendor_asks_the_backend_of_what_is_installed_for_its_sources(repo):
    repo.link("uv", uv_program())
    repo.project(["lib"], '[tool.uv]\npackage = false\n[tool.uv.sources]\nlib = {path = "lib"}')
    make_tree(repo.path / "lib", "lib")
    repo.prime("vendor")
    assert list((repo.path / "vendor").glob("flit_core-*.whl"))


# -- bad input --------------------------------------------------------------------------------------

BAD = {
    "dynamic": ('[project]\nname = "a"\nversion = "1"\ndynamic = 5\n[tool.proto-prime]\n'
                'projects = [{path = ".", extras = ["x"]}]\n', 'has no extra "x"'),
    "uv's version": ("[tool.uv]\nrequired-version = {a = 1}\n", "is neither a version nor specifiers"),
    "requires-python": ('[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.%s"\n' % ("1" * 5000),
                        "malformed requires-python"),
    "NUL in a path": ('[tool.proto-prime]\nvenv_dir_rel_path = "a\\u0000b"\n', "venv_dir_rel_path has a NUL"),
    "NUL in a list": ('[tool.proto-prime]\nrequirements_files = ["a\\u0000b"]\n', "requirements_files has a NUL"),
    "NUL in a project": ('[tool.proto-prime]\nprojects = [{path = "a\\u0000b"}]\n', "projects has a NUL"),
}


@pytest.mark.parametrize("version", ["3.6", "3.13"])
@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_value_is_named_in_one_error(repo, what, version):
    text, said = BAD[what]
    repo.write("pyproject.toml", text)
    told = repo.prime(status=2, python=python(version)).stderr
    assert said in told and told.count("prime: error: ") == 1 and "Traceback" not in told


def test_text_that_speaks_of_NUL_holds_none(repo):
    repo.config("env_vars = {PATTERN = '[^\\u0000-\\u007f]'}")
    assert repo.inside("import os; print(os.environ['PATTERN'])") == "[^\\u0000-\\u007f]"


def test_malformed_url_is_an_error(repo):
    told = repo.prime("update", "--from", "https://[x", status=1).stderr
    assert "prime: error: cannot fetch https://[x: " in told and "Traceback" not in told


@pytest.mark.parametrize("field", ["dependencies = [2020-01-01]", "requires-python = nan", "dependencies = {a = 1}"])
def test_script_with_metadata_of_a_wrong_type_is_refused(repo, field):
    repo.config()
    repo.write("script.py", "# /// script\n# %s\n# ///\n" % field)
    told = repo.prime("run", "script.py", status=2).stderr
    assert "prime: error: %s must be a " % field.split(" ")[0] in told and "metadata, PEP 723" in told


@pytest.mark.parametrize("words, count", [(["info"], 0), (["-vv", "info"], 1)], ids=["info", "-vv info"])
def test_what_nobody_thought_of_is_one_error(repo, words, count):
    code = "import sys, proto_prime as p; p.COMMANDS['info'] = lambda options: 1 / 0; sys.exit(p.main(%r))" % words
    done = subprocess.run([str(some_python()), "-c", code], cwd=str(repo.path), env=repo.env, stderr=subprocess.PIPE)
    assert done.returncode == 1 and done.stderr.count(b"Traceback") == count
    assert b"prime: error: ZeroDivisionError: " in done.stderr and b"this is a fault of prime" in done.stderr


# -- where it is started ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.6", "3.12"])
def test_E4_standard_library_as_the_current_directory_or_on_PYTHONPATH(plain, version):
    base = str(python(version).parent.parent / "lib" / ("python" + version))
    plain.prime("-v", "--root", plain.path, cwd=base, python=python(version))
    plain.prime("-v", env={"PYTHONPATH": os.pathsep.join([base, base + "/lib-dynload"])}, python=python(version))


def test_E8_script_with_metadata_in_a_repo_with_an_emoji_in_its_path(make_repo):
    repo = make_repo("emoji \U0001f600")
    repo.link("uv", uv_program())
    repo.config('find_links = ["wheels"]')
    repo.write("wheels/none", "")
    repo.write("script.py", "# /// script\n# dependencies = []\n# ///\nprint(1)\n")
    assert repo.prime("run", "script.py").stdout == "1\n"


@pytest.mark.parametrize("name", ["report", "report.py"])
def test_script_with_metadata_that_names_prime_in_its_first_line(plain, name):
    plain.link("uv", uv_program())
    plain.write("scripts/" + name, "#!/usr/bin/env -S %s %s run\n# /// script\n# dependencies = ['idna']\n# ///\n"
                "import idna, sys\nprint(sys.argv[1:])\n" % (some_python(), "./prime"), executable=True)
    for _ in range(2):
        done = subprocess.run([str(plain.path / "scripts" / name), "a b"], cwd=str(plain.path), env=plain.env,
                              stdout=subprocess.PIPE, timeout=60)
        assert done.stdout == b"['a b']\n"
    assert plain.prime("run", "scripts/" + name, "c").stdout == "['c']\n"


def test_script_of_another_language_that_speaks_of_metadata(plain):
    script = plain.write("some.sh", "#!/bin/sh\ncat <<'X'\n# /// script\n# ///\nX\necho done\n", executable=True)
    assert plain.prime("run", "./some.sh").stdout.endswith("\ndone\n"), script


def test_sh_prime_of_links_has_the_ref_root_of_the_links(plain, tmp_path):
    real = tmp_path / "shared"
    real.mkdir()
    for name in ("prime", "proto_prime.py"):
        shutil.copy(str(plain.path / name), str(real))
        (plain.path / name).unlink()
        (plain.path / name).symlink_to(real / name)
    done = subprocess.run(["sh", "prime", "info"], cwd=str(plain.path), env=plain.env, stdout=subprocess.PIPE)
    assert str(plain.path).encode() + b"\n" in done.stdout


def test_sh_prime_through_a_link(plain, tmp_path):
    (tmp_path / "p").symlink_to(plain.path / "prime")
    done = subprocess.run(["sh", str(tmp_path / "p"), "--version"], env=plain.env, stdout=subprocess.PIPE)
    assert done.stdout.startswith(b"proto_prime ")


def test_C2_hanging_python_is_passed_over_by_sh(plain):
    if not shutil.which("timeout"):
        pytest.skip("no timeout")
    plain.program("python3", "#!/bin/sh\nexec sleep 300\n")
    plain.link("python", some_python())
    done = subprocess.run(["sh", str(plain.path / "prime"), "--version"], env=plain.env, stdout=subprocess.PIPE,
                          timeout=60)
    assert done.stdout.startswith(b"proto_prime ")


def test_empty_name_of_an_environment_is_none(plain):
    env = {"PROTOPRIMER_ENV": "docs"}
    for words in (["-e", ""], ["-q", "-e", ""]):
        assert 'no environment "docs"' in plain.prime(*words, status=2, env=env).stderr


def test_T5_garbage_in_use_is_none(plain):
    plain.prime()
    (plain.path / ".prime" / "use").write_bytes(b"\xff\xfe")
    plain.prime("-v")


def test_what_was_renamed_aside_is_ignored_by_git(plain):
    if not shutil.which("git"):
        pytest.skip("no git")
    subprocess.run(["git", "init", "-q"], cwd=str(plain.path), check=True)
    plain.write(".gitignore", ".venv\n.prime/\n")
    subprocess.run([str(some_python()), "-m", "venv", "--without-pip", ".venv"], cwd=str(plain.path), check=True)
    plain.prime()
    assert (plain.path / ".venv.before-prime").is_dir()
    told = subprocess.run(["git", "status", "--short", "-uall"], cwd=str(plain.path), stdout=subprocess.PIPE).stdout
    assert b"before-prime" not in told


def test_clean_in_a_fresh_clone_leaves_nothing_that_git_sees(plain):
    plain.prime("clean")
    assert [path.name for path in plain.path.glob(".prime/.gitignore")] == [".gitignore"]


def test_link_that_a_killed_boot_left_is_replaced(plain):
    left = plain.path / ".venv.0123456789abcdef.prime-tmp"
    left.symlink_to("nowhere")
    os.utime(str(left), (0, 0), follow_symlinks=False)
    plain.prime()
    assert not list(plain.path.glob(".venv.*"))


def test_password_with_an_at_sign_is_not_told():
    assert proto_prime.masked("https://user:p@ss@host/simple") == "https://***@host/simple"
    assert proto_prime.masked("https://host/a@b") == "https://host/a@b"


def test_environment_at_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    made = proto_prime.create_venv(str(some_python()), "env", "venv_pip")
    assert made == str(tmp_path / "env" / "bin" / "python") and os.path.exists(made)


def test_wrappers_of_one_environment_are_judged_alike_at_once(repo):
    env = repo.home / "env"
    subprocess.run([str(some_python()), "-m", "venv", "--without-pip", str(env)], check=True)
    for name in ("python3", "python"):
        repo.program(name, "#!/bin/sh\nexec '%s' \"$@\"\n" % (env / "bin" / "python3"))
    repo.config()
    for count in range(8):
        cache = {"PROTOPRIMER_CACHE_DIR": str(repo.home / str(count))}
        assert "leads back" not in repo.prime("python", "--all", env=cache).stdout


@pytest.fixture
def open_place():
    """A directory that every user may write to."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        yield Path(place)


def test_M12_private_directory_that_is_another_users(open_place):
    if os.geteuid():
        pytest.skip("not root: no other user to be")
    (open_place / "proto_prime-54321").mkdir()
    code = "import os; os.setgroups([]); os.setgid(54321); os.setuid(54321); import sys; sys.path.insert(0, %r)\n" \
        "import proto_prime; print(proto_prime.private_dir())"
    shutil.copy(proto_prime.__file__, str(open_place))
    env = {"TMPDIR": str(open_place), "PATH": "/usr/bin:/bin"}
    command = ["/usr/bin/python3", "-I", "-B", "-c", code % str(open_place)]
    said = subprocess.check_output(command, env=env)
    assert said == b"/dev/null\n"
    (open_place / "proto_prime-54321").rmdir()
    said = subprocess.check_output(command, env=env)
    assert said.decode() == "%s/proto_prime-54321\n" % open_place
    assert (open_place / "proto_prime-54321").stat().st_mode & 0o777 == 0o700


# -- the python of a lock ---------------------------------------------------------------------------

HEADS = {
    "plain": ('requires-python = ">=3.8"', ">=3.8"),
    "a comment with the header of a package": ('# no [[packages]] here\nrequires-python = ">=3.8"', ">=3.8"),
    "a quoted key": ('"requires-python" = ">=3.8"', ">=3.8"),
    "a long string": ('requires-python = """\\\n  >=3.8"""', ">=3.8"),
    "an escape": ('requires-python = "\\u003e=3.8"', ">=3.8"),
    "a line of another string": ('environments = [\'\'\'\nrequires-python = "==2.7"\'\'\']', None),
    "an array of arrays": ('x = [\n["[[packages]]"],\n]\nrequires-python = ">=3.8"', ">=3.8"),
    "a table of another tool": ('[tool.x]\nrequires-python = "==2.7"', None),
    "a merge that is not done": ('<<<<<<< HEAD\nrequires-python = "==2.7"', None),
    "nothing": ("", None),
}


@pytest.mark.parametrize("what", sorted(HEADS))
def test_python_of_a_lock_is_what_its_head_says(repo, what):
    head, expected = HEADS[what]
    repo.config()
    repo.write("pylock.toml", 'lock-version = "1.0"\n%s\n[[packages]]\nname = "a"\nrequires-python = "==2.6"\n' % head)
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    assert [request.text for request in environment.locked] == ([expected] if expected else [])
    assert str(repo.path / "pylock.toml") in environment.config.seen


@pytest.mark.parametrize("value", ["3.8", "['>=3.8']", "'>=x'", "'-e .'", '">=3.8\\n,<9"'])
def test_malformed_python_of_a_lock_is_an_error_of_the_lock(repo, value):
    repo.config()
    repo.write("pylock.toml", 'lock-version = "1.0"\nrequires-python = %s\npackages = []\n' % value)
    result = repo.prime("info", status=2)
    assert "Traceback" not in result.stderr and "(pylock.toml)" in result.stderr


# -- R5: a file is read as its tool reads it ---------------------------------------------------------

ENCODED = {
    "UTF-8 with BOM": "".encode("utf-8-sig") + "# café\n-r more.txt\n".encode(),
    "UTF-16 of PowerShell": "-r more.txt\r\n# café\r\n".encode("utf-16"),
    "UTF-16, the other end": b"\xfe\xff" + "-r more.txt\n".encode("utf-16-be"),
    "UTF-32": "-r more.txt\n".encode("utf-32"),
    "UTF-32, the other end": b"\0\0\xfe\xff" + "-r more.txt\n".encode("utf-32-be"),
    "coding line": "# -*- coding: latin-1 -*-\n# café\n-r more.txt\n".encode("latin-1"),
    "coding in the second line": "# café\n# vim: set fileencoding=latin-1:\n-r more.txt\n".encode("latin-1"),
    "coding that is none": b"# coding: no-such\n-r more.txt\n",
    "coding that is no text": b"# coding: hex\n-r more.txt\n",
    "neither": b"# caf\xe9 \x81\n-r more.txt\n",
}


@pytest.mark.parametrize("what", sorted(ENCODED))
def test_R5_requirements_in_another_encoding_name_their_inputs(repo, what):
    (repo.path / "requirements.txt").write_bytes(ENCODED[what])
    repo.write("more.txt", "")
    assert "more.txt" in inputs(repo)


def test_R5_coding_line_in_the_third_line_is_a_comment(repo):
    (repo.path / "requirements.txt").write_bytes("six\n\n# coding: latin-1\n-r caf\u00e9.txt\n".encode())
    assert "caf\u00e9.txt" in inputs(repo)


def test_R5_frozen_by_PowerShell_is_installed(repo, driver):
    (repo.path / "requirements.txt").write_bytes("six\r\nidna\r\n".encode("utf-16"))
    assert repo.inside("import six, idna; print(1)") == "1"


def test_R5_hashes_in_UTF_16_stand_apart_from_what_has_none(repo, wheelhouse):
    name, sha256 = re.search(r"/(six-[^/\"]*)\".*sha256 = \"(\w+)\"", six_package(wheelhouse)).groups()
    text = "six==%s --hash=sha256:%s\r\n" % (name.split("-")[1], sha256)
    (repo.path / "requirements.txt").write_bytes(text.encode("utf-16"))
    repo.config('dependencies = ["idna"]\nrequirements_files = ["requirements.txt"]')
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    assert repo.inside("import six, idna; print(1)") == "1"


def test_R5_requirements_in_Latin_1_are_those_of_pip(repo):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    (repo.path / "requirements.txt").write_bytes("# coding: latin-1\nsix # caf\u00e9\n".encode("latin-1"))
    assert repo.inside("import six; print(1)") == "1"


def test_R5_gitignore_in_Latin_1_is_completed(repo):
    (repo.path / ".gitignore").write_bytes(b"caf\xe9\n")
    repo.prime("init", str(repo.path))
    assert (repo.path / ".gitignore").read_bytes().startswith(b"caf\xe9\n.prime/\n")


def test_R5_list_of_conda_s_with_a_name_in_Latin_1_still_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_bytes(b"/caf\xe9\n/opt/conda\n")
    assert "/opt/conda" in proto_prime.conda_directories(proto_prime.Request())
