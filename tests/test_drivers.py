"""Both drivers: what they install, from where, and that they never touch a base python."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import by_driver, project_text, python, snapshot, some_python, uv_program
from helpers import boot_without_wheels, make_checkout, real_uv_version, run_git

import proto_prime


def sub_project(repo, directory, name, dependencies=(), more=""):
    """Write a project that can be installed into a directory of the repo."""
    module = '"""A part."""\nfrom pathlib import Path\nwhere = Path(__file__)\n'
    repo.write("%s/%s.py" % (directory, name), module)
    return repo.write(directory + "/pyproject.toml", project_text(name, dependencies, more))


def importable(repo, *names):
    """Those of the modules that can be imported in the environment."""
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    return repo.prime("run", "python", "-c", code, *names).stdout.strip()


# -- trap 1: nothing is ever installed into a base python -------------------------------------------


def make_venv(path, base=None):
    subprocess.run([str(base or some_python()), "-m", "venv", "--without-pip", str(path)], check=True)
    return path


def test_guard_takes_a_sound_environment(tmp_path):
    proto_prime.guard(str(make_venv(tmp_path / "env")))
    (tmp_path / "link").symlink_to(tmp_path / "env")
    proto_prime.guard(str(tmp_path / "link"))


def test_guard_refuses_an_environment_without_pyvenv_cfg(tmp_path):
    env = make_venv(tmp_path / "env")
    (env / "pyvenv.cfg").unlink()
    with pytest.raises(proto_prime.PrimeError, match="has no pyvenv.cfg"):
        proto_prime.guard(str(env))


def test_guard_refuses_a_python_whose_prefix_is_elsewhere(tmp_path):
    env, other = make_venv(tmp_path / "env"), make_venv(tmp_path / "other")
    target = env / "bin" / "python"
    target.unlink()
    target.write_text('#!/bin/sh\nexec "%s" "$@"\n' % (other / "bin" / "python"))
    target.chmod(0o755)
    with pytest.raises(proto_prime.PrimeError, match="nothing is installed") as caught:
        proto_prime.guard(str(env))
    assert str(other) in "\n".join(caught.value.tried)


def test_guard_refuses_a_base_python(tmp_path):
    prefix = some_python().parent.parent
    with pytest.raises(proto_prime.PrimeError, match="has no pyvenv.cfg"):
        proto_prime.guard(str(prefix))
    fake = tmp_path / "fake"
    (fake / "bin").mkdir(parents=True)
    (fake / "pyvenv.cfg").write_text("")
    (fake / "bin" / "python").write_text('#!/bin/sh\nexec "%s" "$@"\n' % some_python())
    (fake / "bin" / "python").chmod(0o755)
    with pytest.raises(proto_prime.PrimeError, match="nothing is installed"):
        proto_prime.guard(str(fake))


def test_guard_refuses_what_does_not_run(tmp_path):
    env = make_venv(tmp_path / "env")
    (env / "bin" / "python").unlink()
    with pytest.raises(proto_prime.PrimeError, match="nothing is installed"):
        proto_prime.guard(str(env))


GUARDS = " -I -B -c '...'\n"  # how the log shows that an environment's python is asked


@pytest.mark.slow
def test_guard_asks_one_environment_of_a_base(repo, driver):
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    repo.link("python3.12", python("3.12"))
    repo.config('required_python_version = "3.12"\ndependencies = ["six"]\n')
    assert repo.prime("-vv").stderr.count(GUARDS) == 1
    repo.config('required_python_version = "3.12"\ndependencies = ["six>=1"]\n')
    done = repo.prime("-vv")
    assert "building environment" in done.stderr and GUARDS not in done.stderr


def test_guard_asks_a_script_each_time(tmp_path):
    env, target, script = make_venv(tmp_path / "env"), tmp_path / "target", tmp_path / "script"
    script.write_text('#!/bin/sh\nexec "$(cat "%s")" "$@"\n' % target)
    script.chmod(0o755)
    (env / "bin" / "python").unlink()
    (env / "bin" / "python").symlink_to(script)
    (env / "bin" / "real").symlink_to(some_python())
    target.write_text(str(env / "bin" / "real"))
    proto_prime.guard(str(env))
    target.write_text(str(some_python()))
    with pytest.raises(proto_prime.PrimeError, match="nothing is installed"):
        proto_prime.guard(str(env))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pyvenv.cfg", "bin/python"])
def test_base_python_is_untouched_when_an_environment_is_damaged_before_an_install(repo, driver, what):
    code = "import os, sys; os.remove(os.path.join(sys.prefix, %r))" % what
    repo.link("python3.12", python("3.12"))
    base = python("3.12").parent.parent / "lib" / "python3.12" / "site-packages"
    before = snapshot(base)
    repo.config('required_python_version = "3.12"\npost_boot = [%s]' % json.dumps(["python", "-c", code]))
    repo.prime(status=1)
    repo.config('required_python_version = "3.12"\ndependencies = ["six"]')
    repo.prime()
    (repo.current / what).unlink()
    repo.prime("run", "python", "-c", "import six")
    assert snapshot(base) == before


# -- create_venv ------------------------------------------------------------------------------------

def test_uv_is_told_of_the_system_s_certificates_where_it_may_need_them(monkeypatch, tmp_path):
    certificates = tmp_path / "certificates.pem"
    certificates.write_text("")
    monkeypatch.setattr(proto_prime, "CERTIFICATES", (str(certificates),))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("SSL_CERT_FILE", "PIP_CERT", "PROTOPRIMER_OFFLINE", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):
        monkeypatch.delenv(name, raising=False)
    assert proto_prime.uv_environ()["UV_SYSTEM_CERTS"] == "1"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))  # which uv passes over
    assert proto_prime.uv_environ()["UV_SYSTEM_CERTS"] == "1"
    for name, value in ("SSL_CERT_FILE", str(certificates)), ("PROTOPRIMER_OFFLINE", "1"):
        monkeypatch.setenv(name, value)
        assert "UV_SYSTEM_CERTS" not in proto_prime.uv_environ()
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CERT", str(certificates))
    assert proto_prime.uv_environ()["SSL_CERT_FILE"] == str(certificates)
    certificates.unlink()
    monkeypatch.delenv("PIP_CERT")
    assert "UV_SYSTEM_CERTS" not in proto_prime.uv_environ() or not sys.platform.startswith("linux")



@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_create_venv_returns_the_python_of_a_new_environment(driver, tmp_path, monkeypatch, repo, version):
    for name, value in repo.env.items():
        monkeypatch.setenv(name, value)
    base, directory = python(version), tmp_path / "an env"
    program = proto_prime.create_venv(str(base), str(directory), driver)
    assert program == str(directory / "bin" / "python")
    code = "import sys; print(sys.prefix, '%d.%d' % sys.version_info[:2], sep='|')"
    told = subprocess.run([program, "-c", code], stdout=subprocess.PIPE, universal_newlines=True).stdout
    assert told == "%s|%s\n" % (directory, version)


@pytest.mark.slow
def test_pip_of_the_oldest_python_is_replaced_by_one_that_can_do_editable_installs(repo):
    sub_project(repo, ".", "client", ["six"], '[tool.proto-prime]\nrequired_python_version = "3.6"')
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.link("python3.6", python("3.6"))
    result = repo.prime()
    assert "replacing pip 18.1" in result.stderr
    assert importable(repo, "six", "client") == "['six', 'client']"


# -- what is installed ------------------------------------------------------------------------------


@pytest.mark.slow
def test_requirements_files_with_includes_and_constraints(repo, driver):
    repo.config('requirements_files = ["reqs/all.txt"]\nconstraints_file = "reqs/limits.txt"')
    repo.write("reqs/all.txt", "# all\n-r more/six.txt\n-c other-limits.txt\nidna\n")
    repo.write("reqs/more/six.txt", "six  # here\n")
    repo.write("reqs/limits.txt", "idna>1\n")
    repo.write("reqs/other-limits.txt", "")
    assert importable(repo, "six", "idna") == "['six', 'idna']"
    for name in ("reqs/more/six.txt", "reqs/other-limits.txt", "reqs/limits.txt", "reqs/all.txt"):
        before = (repo.path / name).read_text()
        repo.write(name, "# another\n" + before)
        assert repo.info()["reasons"] == ["%s changed" % name]
        repo.write(name, before)
        assert repo.info()["current"] is True
    repo.write("reqs/limits.txt", "idna<1\n")
    result = repo.prime(status=1)
    assert "idna" in result.stderr.split("error: ", 1)[1]


@pytest.mark.slow
def test_extras_and_groups_by_normalised_names(repo, driver):
    sub_project(repo, ".", "client", more="\n".join([
        "[project.optional-dependencies]", 'with-six = ["six"]',
        "[dependency-groups]", 'Type_Check = ["idna"]', 'all = [{include-group = "type.check"}, "packaging"]',
        "[tool.proto-prime]", 'projects = [{path = ".", extras = ["with_six"], groups = ["type-check"]}]',
        "[tool.proto-prime.env.all]", 'projects = [{path = ".", groups = ["ALL"]}]']))
    assert importable(repo, "client", "six", "idna", "packaging") == "['client', 'six', 'idna']"
    repo.env["PROTOPRIMER_ENV"] = "all"
    assert importable(repo, "client", "six", "idna", "packaging") == "['client', 'idna', 'packaging']"


def test_dev_group_is_installed_and_its_absence_too(repo):
    repo.write("pyproject.toml", '[dependency-groups]\ndev = ["six"]\n'
               '[tool.proto-prime.env.bare]\nprojects = []')
    assert importable(repo, "six", "idna") == "['six']"
    assert importable_in(repo, "bare", "six") == "[]"


def importable_in(repo, name, *names):
    repo.env["PROTOPRIMER_ENV"] = name
    try:
        return importable(repo, *names)
    finally:
        del repo.env["PROTOPRIMER_ENV"]


@pytest.mark.slow
def test_monorepo_projects_that_need_each_other(repo, driver):
    sub_project(repo, "parts/one", "one", ["two"])
    sub_project(repo, "parts/two", "two", ["six"])
    repo.config('projects = ["parts/one", {path = "parts/two", editable = false}]')
    repo.prime()
    code = "import one, two, six; print(one.where, two.where, sep='|')"
    one, two = repo.inside(code).split("|")
    assert one == str(repo.path / "parts" / "one" / "one.py")
    assert two.startswith(str(repo.current))
    sub_project(repo, "parts/two", "two", ["six", "idna"])
    assert repo.info()["reasons"] == ["parts/two/pyproject.toml changed"]
    repo.prime()
    assert importable(repo, "idna") == "['idna']"


@pytest.mark.slow
def test_find_links_and_no_index(repo, driver, wheelhouse):
    (repo.path / "wheels").mkdir()
    for wheel in wheelhouse.glob("six-*.whl"):
        shutil.copy(str(wheel), str(repo.path / "wheels"))
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_NO_INDEX", "UV_FIND_LINKS", "UV_CONFIG_FILE"):
        repo.env.pop(name, None)
    repo.env.update(PIP_INDEX_URL="http://127.0.0.1:9/simple", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    repo.config('dependencies = ["six"]\nno_index = true\nfind_links = ["wheels"]\n'
                '[env.uri]\nfind_links = ["%s"]' % (repo.path / "wheels").as_uri())
    assert importable(repo, "six") == "['six']"
    assert importable_in(repo, "uri", "six") == "['six']"
    repo.config('dependencies = ["six", "idna"]\nno_index = true\nfind_links = ["wheels"]')
    assert "idna" in repo.prime(status=1).stderr.split("error: ", 1)[1]  # I5


@pytest.mark.slow
def test_dependency_that_starts_with_a_dash_is_refused(repo):
    repo.config('dependencies = ["--index-url=http://example.invalid"]')
    result = repo.prime(status=2)
    assert "dependencies" in result.stderr and "proto_prime.toml, line 1" in result.stderr


ODD_NAMES = ["it's so", "tri'''ple quotes", "a $(id) b", '"two" words', "ünïcode 日本", "$HOME `id` %s",
             "back\\slash", "#1", "[six]", "two\nlines", "a" * 150]


@pytest.fixture(params=ODD_NAMES)
def odd_repo(request, make_repo, driver):
    """A repo whose directory has an odd name, with each driver."""
    repo = make_repo(request.param)
    if driver == "venv_uv":
        repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    return repo


@pytest.mark.slow
def test_E8_repo_path_with_odd_characters(odd_repo, driver):
    odd_repo.config('dependencies = ["wheel"]\npost_boot = [["python", "-c", "import wheel"]]')
    assert odd_repo.prime("run", "wheel", "version").stdout.startswith("wheel ")
    if driver == "venv_pip":
        assert odd_repo.prime("run", "pip", "--version").stdout.startswith("pip ")
    program = odd_repo.path / ".venv" / "bin" / "wheel"
    assert subprocess.run([str(program), "version"], stdout=subprocess.DEVNULL).returncode == 0
    odd_repo.settle()
    for _ in range(2):
        assert "is current" in odd_repo.prime().stderr
    assert odd_repo.info()["root"] == str(odd_repo.path)


@pytest.mark.slow
@pytest.mark.parametrize("name, driver", [("$HOME x", "venv_pip"), ("two\nlines", "venv_uv")], indirect=["driver"])
def test_E8_programs_from_a_lock_and_without_requirements(make_repo, name, driver):
    repo = make_repo(name)
    repo.link("uv", uv_program())
    repo.config('dependencies = ["wheel"]')
    repo.prime("lock")
    assert repo.prime("run", "wheel", "version", env={"PROTOPRIMER_VENV_DRIVER": driver}).stdout.startswith("wheel ")
    repo.config()
    (repo.path / "pylock.toml").unlink()
    assert repo.prime("run", "pip", "--version", env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}).stdout.startswith("pip ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's \"quoted\"", "$HOME %s", "#1", "ünïcode"])
def test_E8_editable_project_at_a_path_with_odd_characters(make_repo, name):
    repo = make_repo(name)
    repo.link("uv", uv_program())
    sub_project(repo, "part", "part")
    repo.config('projects = ["part"]')
    assert repo.inside("import part; print(part.where)") == str(repo.path / "part" / "part.py")


def test_offline_installs_from_wheels_at_hand(repo, driver):
    repo.config('dependencies = ["six"]')
    repo.prime("--offline")
    assert importable(repo, "six") == "['six']"


# -- uv.lock ----------------------------------------------------------------------------------------


@pytest.fixture
def locked_repo(repo):
    """A repo with a uv.lock that real uv made of the wheels at hand."""
    repo.link("uv", uv_program())
    sub_project(repo, ".", "client", ["six"], "\n".join([
        "[project.optional-dependencies]", 'more = ["idna"]', "[dependency-groups]", 'lint = ["packaging"]',
        "[tool.proto-prime.env.all]", 'projects = [{path = ".", extras = ["more"], groups = ["lint"]}]']))
    command = [uv_program(), "lock", "--offline", "--python", str(some_python())]
    subprocess.run(command, cwd=str(repo.path), env=repo.env, check=True, stderr=subprocess.DEVNULL)
    return repo


def test_uv_lock_is_installed_with_the_uv_driver(locked_repo):
    repo = locked_repo
    result = repo.prime()
    assert "installing from uv.lock with uv" in result.stderr
    names = ("client", "six", "idna", "packaging")
    assert importable(repo, *names) == "['client', 'six']"
    assert importable_in(repo, "all", *names) == "['client', 'six', 'idna', 'packaging']"
    assert repo.inside("import client; print(client.where)") == str(repo.path / "client.py")
    before = snapshot(repo.path / ".prime" / "envs")
    repo.settle()
    assert "is current" in repo.prime().stderr
    assert snapshot(repo.path / ".prime" / "envs") == before


def test_uv_lock_that_does_not_fit_the_project_any_more_is_refused(locked_repo):
    repo = locked_repo
    repo.prime()
    old, lock = repo.current, (repo.path / "uv.lock").read_bytes()
    text = (repo.path / "pyproject.toml").read_text().replace('["six"]', '["six", "packaging"]')
    repo.write("pyproject.toml", text)
    result = repo.prime(status=1)
    assert "uv.lock" in result.stderr
    assert repo.current == old
    assert (repo.path / "uv.lock").read_bytes() == lock


def test_pylock_with_the_uv_driver(locked_repo):
    repo = locked_repo
    command = [uv_program(), "export", "--offline", "--format", "pylock.toml", "--no-emit-project"]
    subprocess.run(command + ["-o", "pylock.toml"], cwd=str(repo.path), env=repo.env, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (repo.path / "uv.lock").unlink()
    assert "installing from pylock.toml with uv" in repo.prime().stderr
    assert importable(repo, "client", "six", "idna") == "['client', 'six']"


# -- which uv ---------------------------------------------------------------------------------------


def fake_uv(repo, version):
    """A uv on PATH that says it is of another version, and does nothing else."""
    return repo.program("uv", '#!/bin/sh\n[ "$1" = --version ] && echo "uv %s"\n' % version)


@pytest.fixture
def fresh_cache(plain):
    """A repo whose cache is empty, so that no uv of another test is found there."""
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(plain.home / "cache")
    plain.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    uv_program()
    return plain


@pytest.mark.slow
def test_uv_is_fetched_once_per_machine_if_there_is_none(fresh_cache):
    assert "fetching uv" in fresh_cache.prime().stderr
    kept = list((fresh_cache.home / "cache" / "uv").glob("uv-*"))
    assert len(kept) == 1
    assert "fetching uv" not in fresh_cache.prime("reset").stderr
    assert fresh_cache.info()["driver"] == "venv_uv"
    assert sorted((fresh_cache.home / "cache" / "uv").iterdir()) == sorted(
        kept + [fresh_cache.home / "cache" / "uv" / "lock"])


@pytest.mark.slow
def test_uv_is_fetched_once_by_two_repos_at_once(fresh_cache, make_repo):
    other = make_repo("another repo")
    other.config()
    other.env = dict(fresh_cache.env)
    boots = [repo.popen() for repo in (fresh_cache, other)]
    said = [boot.communicate(timeout=120)[1] for boot in boots]
    assert [boot.returncode for boot in boots] == [0, 0], said
    assert sum("prime: fetching uv" in text for text in said) == 1


@pytest.mark.parametrize("form", ["{}", "=={}", ">={}"])
def test_pinned_uv_version_that_is_not_the_one_on_PATH_is_fetched(fresh_cache, form):
    fake_uv(fresh_cache, "0.1.0")
    fresh_cache.config("uv_version = %s" % json.dumps(form.format(real_uv_version())))
    result = fresh_cache.prime("-v")
    assert "uv passed over: %s, version 0.1.0" % (fresh_cache.bin / "uv") in result.stderr
    assert fresh_cache.inside("print(1)") == "1"


def test_uv_version_of_tool_uv(fresh_cache):
    fake_uv(fresh_cache, "0.1.0")
    (fresh_cache.path / "proto_prime.toml").unlink()
    fresh_cache.write("pyproject.toml", '[tool.uv]\nrequired-version = ">=0.4"')
    fresh_cache.prime()
    assert list((fresh_cache.home / "cache" / "uv").glob("uv-*"))


def test_pinned_uv_version_that_is_not_to_be_had_is_said(fresh_cache):
    fresh_cache.link("uv", uv_program())
    fresh_cache.config('uv_version = "0.99.1"')
    result = fresh_cache.prime(status=1)
    assert "0.99.1" in result.stderr.split("error: ", 1)[1]
    assert "the whole log: " in result.stderr


def test_malformed_uv_version_is_a_wrong_config(plain):
    plain.config('uv_version = ">="')
    result = plain.prime(status=2)
    assert "uv_version" in result.stderr


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 2\n", "", "#!/bin/sh\necho uv banana\n"])
def test_broken_uv_on_PATH_is_passed_over(fresh_cache, text):
    fresh_cache.program("uv", text)
    fresh_cache.prime()
    assert fresh_cache.inside("print(1)") == "1"


@pytest.mark.slow
def test_auto_goes_on_with_pip_if_no_uv_is_to_be_had_and_says_so(fresh_cache, wheelhouse):
    del fresh_cache.env["PROTOPRIMER_VENV_DRIVER"]
    (fresh_cache.home / "wheels").mkdir()
    for wheel in wheelhouse.glob("six-*.whl"):
        shutil.copy(str(wheel), str(fresh_cache.home / "wheels"))
    fresh_cache.env["PIP_FIND_LINKS"] = (fresh_cache.home / "wheels").as_uri()
    fresh_cache.config('dependencies = ["six"]')
    result = fresh_cache.prime()
    assert "going on with pip, for uv cannot be had: " in result.stderr
    assert importable(fresh_cache, "six") == "['six']"
    assert fresh_cache.info()["driver"] == "venv_pip"
    assert not [path for path in (fresh_cache.home / "cache" / "uv").iterdir() if path.name != "lock"]


def test_auto_offline_without_uv_goes_on_with_pip(fresh_cache):
    del fresh_cache.env["PROTOPRIMER_VENV_DRIVER"]
    result = fresh_cache.prime("--offline")
    assert "going on with pip" in result.stderr
    result = fresh_cache.prime("--offline", "reset", status=1, env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    assert "no uv on this machine" in result.stderr


@pytest.mark.slow
def test_uv_driver_under_a_python_too_old_for_uv_takes_another_to_deploy_it(fresh_cache):
    fresh_cache.link("python3", some_python() if sys.version_info >= (3, 8) else python("3.12"))
    fresh_cache.config('required_python_version = "3.7"')
    fresh_cache.link("python3.7", python("3.7"))
    fresh_cache.prime(python=python("3.6"))
    assert fresh_cache.inside("import sys; print(sys.version_info[:2])") == "(3, 7)"
    assert os.listdir(str(fresh_cache.home / "cache" / "uv"))


# -- C9: a python that comes without pip -------------------------------------------------------------


@pytest.fixture
def pipless(repo, spare_python):
    """A repo for the driver venv_pip, whose python 3.12 has no ensurepip, and nothing else on PATH."""
    shutil.rmtree(str(spare_python.parent.parent / "lib" / "python3.12" / "ensurepip"))
    repo.link("python3.12", spare_python)
    repo.env.update(PATH=str(repo.bin), PROTOPRIMER_VENV_DRIVER="venv_pip")
    repo.config('required_python_version = "3.12"\ndependencies = ["six"]')
    return repo


@pytest.mark.slow
def test_C9_python_without_ensurepip_takes_the_pip_of_another_python(pipless):
    for version in ("3.9", "3.11"):  # the pip of 3.9 does not run under 3.12
        pipless.link("python" + version, python(version))
    done = boot_without_wheels(pipless, spare_wild(pipless))
    assert done.returncode == 0, done.stderr
    told = pipless.inside("import six, pip, sys; print(sys.version_info[:2], pip.__version__)")
    assert told == "(3, 12) 23.2.1"


def test_C9_no_pip_on_this_machine_is_an_error_that_names_the_package(pipless):
    done = boot_without_wheels(pipless, spare_wild(pipless))
    assert done.returncode == 1
    assert "comes without pip" in done.stderr and "python3-venv" in done.stderr
    assert pipless.generations == []


@pytest.mark.slow
@pytest.mark.parametrize("has_venv", [True, False])
def test_C9_with_uv_a_python_without_ensurepip_or_venv_will_do(pipless, has_venv):
    if not has_venv:
        shutil.rmtree(str(Path(spare_wild(pipless)).parent.parent / "lib" / "python3.12" / "venv"))
    pipless.link("uv", uv_program())
    pipless.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    done = boot_without_wheels(pipless, spare_wild(pipless))
    assert done.returncode == 0, done.stderr
    code = "import six, sys; print(sys.version_info[:2], sys.prefix != sys.base_prefix)"
    assert pipless.inside(code) == "(3, 12) True"
    assert pipless.info()["driver"] == "venv_uv"


def spare_wild(repo):
    """The python without pip itself, so that no other takes part."""
    return os.path.realpath(str(repo.bin / "python3.12"))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.6", "3.7"])
def test_setup_py_is_built_by_the_pip_of_an_old_python(repo, version):
    for name in ("lib", "copied"):
        repo.write(name + "/%s.py" % name, "")
        repo.write(name + "/setup.py", "import setuptools as s; s.setup(name='%s', py_modules=['%s'])" % (name, name))
    repo.config('projects = ["lib", {path = "copied", editable = false}]')
    options = {"python": python(version), "env": {"PROTOPRIMER_VENV_DRIVER": "venv_pip"}}
    assert repo.inside("import lib, copied; print(lib.__name__, copied.__name__)", **options) == "lib copied"


def test_requirements_file_that_names_a_wheel(repo, wheelhouse, driver):
    wheel = next(wheelhouse.glob("six-*.whl"))
    shutil.copy(str(wheel), str(repo.path))
    repo.write("requirements.txt", "./%s\n" % wheel.name)
    repo.config()
    env = {"PROTOPRIMER_VENV_DRIVER": driver}
    assert repo.inside("import six; print(six.__name__)", env=env) == "six"
    repo.settle()
    assert "is current" in repo.prime(env=env).stderr
    os.utime(str(repo.path / wheel.name), (1, 1))
    (repo.path / wheel.name).write_bytes(wheel.read_bytes() + b"\0")
    assert "%s changed" % wheel.name in repo.prime(env=env, status=None).stderr


@pytest.mark.slow
def test_pip_takes_a_file_with_hashes_beside_a_project(repo, wheelhouse, driver):
    import hashlib
    wheel = next(wheelhouse.glob("six-*.whl"))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    repo.write("more.txt", "six==%s --hash=sha256:%s\n" % (wheel.name.split("-")[1], sha256))
    repo.write("r.txt", "-r more.txt\n")
    repo.project(["idna"], '[tool.proto-prime]\nrequirements_files = ["r.txt"]\ndependencies = ["packaging"]')
    env = {"PROTOPRIMER_VENV_DRIVER": driver}
    if driver == "venv_uv":  # which takes both at once, and a hash for all or for none
        repo.project(["idna"], '[tool.proto-prime]\nrequirements_files = ["r.txt"]')
    assert repo.inside("import client, idna, six; print(six.__name__)", env=env) == "six"
    repo.write("more.txt", "six==%s --hash=sha256:%s\n" % (wheel.name.split("-")[1], "0" * 64))
    repo.prime(status=1, env=env)


# -- the caller's git ------------------------------------------------------------------------------


@pytest.mark.parametrize("words, driver", by_driver([("-a",), ("wanted.txt",)], [("-a",)]), indirect=["driver"])
def test_M5_build_in_a_git_hook_leaves_the_commit_alone(repo, driver, tmp_path, words):
    make_checkout(tmp_path / "lib", "lib")
    url = "git+" + (tmp_path / "lib").as_uri()
    repo.config('requirements_files = ["wanted.txt"]')
    repo.write("wanted.txt", "")
    repo.write("staged.txt", "before")

    def git(*words):
        done = run_git(repo.path, *words, env=repo.env, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "One")
    repo.write(".git/hooks/pre-commit", "#!/bin/sh\nexec ./prime boot >&2\n", executable=True)
    repo.write("wanted.txt", "%s#egg=lib\n" % url)  # Debian's pip takes no name before it
    tracked = git("ls-files")
    git("commit", "-qm", "Two", *words)
    assert git("ls-tree", "-r", "--name-only", "HEAD") == tracked
    assert git("status", "--porcelain", "--untracked-files=no") == ""
    assert importable(repo, "lib") == "['lib']"


@pytest.mark.parametrize("name, is_kept", [
    ("GIT_INDEX_FILE", False), ("GIT_DIR", False), ("GIT_WORK_TREE", False), ("GIT_OBJECT_DIRECTORY", False),
    ("GIT_CONFIG_PARAMETERS", False), ("GIT_SSH_COMMAND", True), ("GIT_ASKPASS", True), ("GIT_CONFIG_GLOBAL", True),
    ("GIT_SSL_CAINFO", True),
])
def test_M5_tools_get_of_git_s_variables_what_belongs_to_no_repo(monkeypatch, name, is_kept):
    monkeypatch.setenv(name, "/no/such")
    assert (name in proto_prime.clean_environ(for_tool=True)) == is_kept
    assert proto_prime.clean_environ()[name] == "/no/such"  # a user's command keeps them all


def test_M5_variables_are_those_that_git_lists():
    listed = subprocess.run(["git", "rev-parse", "--local-env-vars"], check=True, universal_newlines=True,
                            stdout=subprocess.PIPE).stdout.split()
    assert not set(listed) - set(proto_prime.GIT_VARS)
