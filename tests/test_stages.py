"""From any python to the required one, stage by stage, whatever the caller's environment says."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PYTHONS, TOP, by_driver, python, snapshot, some_python, uv_program

WILD, REQUIRED = "3.11", "3.12"  # the first starts `prime`, the second is what the repo wants
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@pytest.fixture
def staged(repo):
    """A repo that needs a hop: it requires 3.12, which is on PATH, and is started by another python."""
    repo.env["PATH"] = os.pathsep.join([str(repo.bin), "/usr/bin", "/bin"])
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.link("python" + REQUIRED, python(REQUIRED))
    configure(repo)
    return repo


def configure(repo, *lines):
    """Require the version, and configure more."""
    repo.write("proto_prime.toml", "\n".join(('required_python_version = "%s"' % REQUIRED,) + lines) + "\n")


@pytest.fixture
def quick(staged):
    """As `staged`, but set up with uv: for what is no matter of a driver."""
    staged.link("uv", uv_program())
    staged.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    return staged


def with_six(repo):
    configure(repo, 'dependencies = ["six"]')


def environ_inside(repo, **options):
    """The environment variables that user code sees."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return json.loads(repo.prime("run", "python", "-c", code, **options).stdout)


def assert_right(repo, **options):
    """The environment is the required one, whole, and its programs run; started as `options` say."""
    options.setdefault("python", python(WILD))
    assert repo.inside(VERSION, **options) == REQUIRED
    assert repo.inside("import sys; print(sys.prefix)", **options) == str(repo.generations[0])
    assert len(repo.generations) == 1
    result = repo.prime(**options)
    assert "is current" in result.stderr
    assert result.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("wild, driver", by_driver(list(PYTHONS), [list(PYTHONS)[0], list(PYTHONS)[-1]]),
                         indirect=["driver"])
def test_any_wild_python_ends_in_the_required_one(repo, driver, wild):
    repo.project(more='[tool.proto-prime]\nrequired_python_version = "3.12"')
    repo.link("python3.12", python("3.12"))
    result = repo.prime("-v", python=PYTHONS[wild])
    assert result.stdout == ""
    assert "stage wild: %s" % PYTHONS[wild] in result.stderr
    assert "stage required" in result.stderr
    assert "stage venv: " in result.stderr
    assert repo.inside("import six, client; " + VERSION, python=PYTHONS[wild]) == "3.12"


# --- Hops ---


def executed(repo, *argv, **options):
    """The programs that one `prime argv…` became in turn, by strace; children are not counted."""
    strace, trace = shutil.which("strace"), repo.home / "trace"
    if not strace:
        pytest.skip("no strace on this machine")
    command = [strace, "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", str(trace)]
    command += [str(options["python"]), str(repo.path / "prime")] + list(argv)
    status = subprocess.call(command, env=repo.env, cwd=str(repo.path), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    if not trace.exists() or "execve" not in trace.read_text():
        pytest.skip("strace may not trace here")
    assert status == 0
    return re.findall(r'execve\("([^"]*)".* = 0$', trace.read_text(), re.MULTILINE)


def test_first_run_takes_two_hops_and_a_warm_one_takes_one(staged):
    wild = str(python(WILD))
    first = executed(staged, "run", "python", "-V", python=wild)
    program = str(staged.generations[0] / "bin" / "python")
    assert (first[0], first[2:]) == (wild, [program])
    assert os.path.realpath(first[1]) == os.path.realpath(str(python(REQUIRED)))
    staged.settle()
    assert executed(staged, "run", "python", "-V", python=wild) == [wild, program]
    true = shutil.which("true", path=staged.env["PATH"])
    assert executed(staged, "run", "--", "true", python=wild) == [wild, true]


def test_warm_boot_takes_no_hop(staged):
    staged.prime(python=python(WILD))
    assert executed(staged, python=python(WILD)) == [str(python(WILD))]


def test_stage_that_is_not_needed_is_skipped(staged):
    first = executed(staged, "run", "python", "-V", python=python(REQUIRED))
    assert first == [str(python(REQUIRED)), str(staged.generations[0] / "bin" / "python")]


def test_verbose_names_each_stage_with_its_executable(staged):
    told = staged.prime("-v", python=python(WILD)).stderr
    wild, required, venv = (told.index(text) for text in (
        "stage wild: %s" % python(WILD),
        "stage required: ",
        "stage venv: %s" % (staged.generations[0] / "bin" / "python"),
    ))
    assert wild < required < venv
    assert re.search(r"stage required: .*python3\.12 \(3\.12\.", told[required:venv])


def test_progress_variable_never_reaches_user_code_nor_post_boot(staged):
    code = "import os; open('seen', 'a').write(','.join(n for n in os.environ if 'PY_EXEC' in n) + '.')"
    configure(staged, "post_boot = %s" % json.dumps([["python", "-c", code]]))
    for _ in ("built", "current", "by the stamp"):
        assert "PROTOPRIMER_PY_EXEC" not in environ_inside(staged, python=python(WILD))
    stale = {"PROTOPRIMER_PY_EXEC": "required:/another/root"}
    assert "PROTOPRIMER_PY_EXEC" not in environ_inside(staged, python=python(WILD), env=stale)
    assert (staged.path / "seen").read_text() == "."


def test_user_code_sees_the_environment_as_if_it_was_activated(staged):
    mine = {"MINE": "kept", "PIP_USER": "1", "VIRTUAL_ENV": "/another"}
    told = environ_inside(staged, python=python(WILD), env=mine)
    generation = str(staged.generations[0])
    assert told["VIRTUAL_ENV"] == generation
    assert told["PATH"] == os.path.join(generation, "bin") + os.pathsep + staged.env["PATH"]
    assert (told["MINE"], told["PIP_USER"]) == ("kept", "1")


# --- Environment of the caller ---


@pytest.mark.parametrize("wild", ["its python", "another python"])
def test_E1_environment_of_another_project_is_left_alone(staged, tmp_path, driver, wild):
    other = tmp_path / "other project" / ".venv"
    subprocess.check_call([str(python(REQUIRED)), "-m", "venv", "--without-pip", str(other)])
    before = snapshot(other)
    with_six(staged)
    staged.env["VIRTUAL_ENV"] = str(other)
    staged.env["PATH"] = str(other / "bin") + os.pathsep + staged.env["PATH"]
    assert_right(staged, python=other / "bin" / "python" if wild == "its python" else python(WILD))
    assert staged.inside("import six; print(six.__file__)").startswith(str(staged.generations[0]))
    assert snapshot(other) == before


def hostile_modules(directory, names=("types", "logging", "pip", "typing", "re", "json")):
    """Put modules that nobody may import into a directory. Returns it."""
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / (name + ".py")).write_text("raise SystemExit('imported the wrong %s')\n" % name)
    return directory


E2_VARIABLES = {
    "PYTHONHOME": lambda repo: python(WILD).parent.parent,
    "PYTHONPATH": lambda repo: repo.write("modules/sitecustomize.py", "").parent,
    "PYTHONSTARTUP": lambda repo: repo.write("startup.py", "raise SystemExit('started')"),
    "PYTHONWARNINGS": lambda repo: "error",
    "PYTHONVERBOSE": lambda repo: "1",
    "PYTHONINSPECT": lambda repo: "",
    "PYTHONUNBUFFERED": lambda repo: "1",
    "PYTHONNOUSERSITE": lambda repo: "1",
    "PYTHONSAFEPATH": lambda repo: "1",
    "__PYVENV_LAUNCHER__": lambda repo: "/nowhere/bin/python",
    "PYTHONEXECUTABLE": lambda repo: "/nowhere/bin/python",
}
NEVER_PASSED_ON = ("PYTHONHOME", "__PYVENV_LAUNCHER__", "PYTHONEXECUTABLE")


@pytest.mark.parametrize("variable", sorted(E2_VARIABLES))
def test_E2_variable_of_the_callers_python_does_no_harm(staged, variable):
    with_six(staged)
    value = str(E2_VARIABLES[variable](staged))
    env = {variable: value}
    result = staged.prime(python=python(WILD), env=env)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    code = "import os, six, sys; print('%%d.%%d' %% sys.version_info[:2], os.environ.get(%r))" % variable
    for _ in ("current", "by the stamp"):
        seen = "None" if variable in NEVER_PASSED_ON else value
        assert staged.inside(code, python=python(WILD), env=env) == ("%s %s" % (REQUIRED, seen)).strip()
        staged.settle()


@pytest.mark.parametrize("variable", ["__PYVENV_LAUNCHER__", "PYTHONEXECUTABLE"])
def test_E2_python_that_is_lied_to_about_its_path_serves_a_repo_that_takes_any(repo, variable):
    repo.env.update({"PATH": "/nowhere", "PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    repo.write("proto_prime.toml", "")
    repo.prime(python=python(WILD), env={variable: "/nowhere/bin/python"})
    assert repo.inside(VERSION) == WILD


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_E2_modules_on_pythonpath_are_not_imported(staged, relative):
    names = ("json", "logging", "pip")  # not re: where a .pth imports much, python itself would not start
    modules = hostile_modules(staged.path / "modules", names)
    env = {"PYTHONPATH": "modules" if relative else str(modules)}
    options = {"python": python(WILD), "env": env}
    assert "is ready" in staged.prime(**options).stderr
    assert staged.info(**options)["current"]
    assert staged.prime("run", "python", "-I", "-c", VERSION, **options).stdout.strip() == REQUIRED


E3_VARIABLES = [
    "PIP_USER=1", "PIP_REQUIRE_VIRTUALENV=1", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN=1",
]
E3_SETTINGS = [
    "[global]\nuser = true", "[install]\nuser = yes", "[global]\nrequire-virtualenv = true",
    "[install]\ndry-run = true",
]


@pytest.mark.slow
@pytest.mark.parametrize("setting", E3_VARIABLES + E3_SETTINGS, ids=lambda text: text.replace("\n", " "))
def test_E3_installs_land_in_the_environment(staged, tmp_path, setting):
    with_six(staged)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if setting in E3_VARIABLES:
        name, _, value = setting.partition("=")
        staged.env[name] = value or str(elsewhere)
    else:
        setting = setting + str(elsewhere) if setting.endswith("= ") else setting
        config = staged.home / ".config" / "pip" / "pip.conf"
        config.parent.mkdir(parents=True)
        config.write_text(setting + "\n")
    staged.prime(python=python(WILD))
    path = staged.inside("import six; print(six.__file__)", python=python(WILD))
    assert path.startswith(str(staged.generations[0]) + os.sep)
    assert list(elsewhere.iterdir()) == []
    assert not (staged.home / ".local").exists()


@pytest.mark.parametrize("setting", ["[global]\ntarget = ", "[install]\nprefix = ", "[install]\nroot = "])
def test_E3_config_that_sends_installs_elsewhere_is_an_error(staged, tmp_path, setting):
    config = staged.home / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text(setting + str(tmp_path / "elsewhere") + "\n")
    with_six(staged)
    result = staged.prime(python=python(WILD), status=1)
    assert "nothing was installed" in result.stderr and "target or prefix" in result.stderr
    assert staged.generations == []


def test_environment_made_with_pip_holds_pip(staged):
    staged.prime(python=python(WILD))
    path = staged.inside("import pip; print(pip.__file__)", python=python(WILD))
    assert path.startswith(str(staged.generations[0]) + os.sep)
    result = staged.prime("run", "pip", "--version", python=python(WILD))
    assert str(staged.generations[0]) in result.stdout


@pytest.mark.parametrize("variable, value", [
    ("UV_SYSTEM_PYTHON", "1"), ("UV_PYTHON", "3.6"), ("UV_PROJECT_ENVIRONMENT", "elsewhere"),
    ("UV_PYTHON_PREFERENCE", "only-managed"), ("UV_PROJECT", "/nowhere"), ("UV_WORKING_DIR", "/nowhere"),
])
def test_E3_variable_of_uvs_does_no_harm(staged, variable, value):
    with_six(staged)
    staged.link("uv", uv_program())
    staged.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    staged.prime(python=python(WILD), env={variable: value})
    assert staged.inside("import six; print(six.__file__)").startswith(str(staged.generations[0]))


@pytest.mark.slow
def test_E4_modules_of_the_repo_root_are_not_imported(repo, driver):
    hostile_modules(repo.path)
    repo.project(more='[tool.proto-prime]\nrequired_python_version = "%s"' % REQUIRED)
    repo.link("python" + REQUIRED, python(REQUIRED))
    for wild in (python(WILD), python("3.6")):
        repo.prime(python=wild)
        assert repo.info(python=wild)["current"]
        code = "import six, client, sys; print('%d.%d' % sys.version_info[:2])"
        result = repo.prime("run", "python", "-I", "-c", code, python=wild)
        assert result.stdout.strip() == REQUIRED


def test_E4_modules_of_the_repo_root_are_not_imported_through_a_link(staged, tmp_path):
    hostile_modules(staged.path)
    (tmp_path / "link").symlink_to(staged.path / "prime")
    for arguments in ([], ["info", "--json"], ["run", "--", "python", "-I", "-c", VERSION]):
        done = start([str(python(WILD)), str(tmp_path / "link")] + arguments, staged, tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == REQUIRED


def test_E4_modules_of_the_current_directory_are_not_imported(staged, tmp_path):
    elsewhere = hostile_modules(tmp_path / "elsewhere")
    staged.prime(python=python(WILD), cwd=str(elsewhere))
    assert staged.info(python=python(WILD), cwd=str(elsewhere))["current"]


STALE = ["required:/another", "venv:/another", "wild:/another", "garbage", ":", "", "required:"]


@pytest.mark.parametrize("value", STALE)
def test_E5_stale_progress_variable_is_ignored(quick, value):
    assert_right(quick, env={"PROTOPRIMER_PY_EXEC": value})
    assert "PROTOPRIMER_PY_EXEC" not in environ_inside(quick, env={"PROTOPRIMER_PY_EXEC": value})


def test_E5_progress_variable_of_this_repo_under_the_wrong_python_is_an_error_and_no_loop(staged):
    for stage in ("wild", "required", "venv"):
        value = {"PROTOPRIMER_PY_EXEC": "%s:%s" % (stage, staged.path)}
        result = staged.prime(python=python(WILD), env=value, status=None, timeout=60)
        assert "Traceback" not in result.stderr
        if result.status:
            assert result.status == 1
            assert result.stderr.count("prime: error: ") == 1
            assert "unset PROTOPRIMER_PY_EXEC" in result.stderr
            assert staged.generations == []
        else:
            assert staged.inside(VERSION) == REQUIRED
            shutil.rmtree(str(staged.path / ".prime"))


def test_E5_progress_variable_of_this_repo_does_no_harm_once_it_is_built(staged):
    staged.prime(python=python(WILD))
    for stage in ("wild", "required", "venv"):
        assert_right(staged, env={"PROTOPRIMER_PY_EXEC": "%s:%s" % (stage, staged.path)})


def test_E6_prime_inside_prime_run_of_another_repo(quick, make_repo):
    inner = make_repo("another repo")
    inner.write("proto_prime.toml", 'required_python_version = "%s"' % WILD)
    quick.link("python" + WILD, python(WILD))
    code = "import os, sys; print(sys.prefix); print(os.environ['VIRTUAL_ENV'])"
    for _ in ("built", "current", "by the stamp"):
        nested = [inner.path / "prime", "run", "python", "-c", code]
        result = quick.prime("run", "python", *nested, python=python(WILD))
        assert result.stdout.splitlines() == [str(inner.generations[0])] * 2
    assert quick.inside("import sys; print(sys.prefix)") == str(quick.generations[0])
    config = (inner.generations[0] / "pyvenv.cfg").read_text()
    assert str(quick.path) not in config, "made from the outer environment's python"


def test_E6_prime_inside_prime_run_of_the_same_repo(quick):
    code = "import os, sys; print(sys.prefix); print(os.environ['PATH'].split(os.pathsep)[0])"
    for _ in ("built", "current", "by the stamp"):
        result = quick.prime("run", "python", "prime", "run", "python", "-c", code, python=python(WILD))
        generation = str(quick.generations[0])
        assert result.stdout.splitlines() == [generation, os.path.join(generation, "bin")]
    assert len(quick.generations) == 1
    quick.prime("run", "python", "prime", "reset", python=python(WILD))
    assert quick.inside(VERSION) == REQUIRED


# --- Ways to start it ---


def start(command, repo, cwd, stdin=None):
    return subprocess.run(command, env=repo.env, cwd=str(cwd), input=stdin or "", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=120)


def by_absolute_path(repo, arguments):
    return start([str(python(WILD)), str(repo.path / "prime")] + arguments, repo, "/")


def by_relative_path(repo, arguments):
    path = os.path.join("..", repo.path.name, "prime")
    return start([str(python(WILD)), path] + arguments, repo, repo.home)


def by_relative_path_inside(repo, arguments):
    return start([str(python(WILD)), "prime"] + arguments, repo, repo.path)


def by_link(repo, arguments):
    link = repo.home / "link to prime"
    if not link.exists():
        link.symlink_to(repo.path / "prime")
    return start([str(python(WILD)), str(link)] + arguments, repo, "/")


def by_own_name(repo, arguments):
    return start([str(python(WILD)), str(repo.path / "proto_prime.py")] + arguments, repo, "/")


def by_shebang(repo, arguments):
    repo.env["PATH"] = os.pathsep.join([str(repo.home / "wild"), repo.env["PATH"]])
    (repo.home / "wild").mkdir(exist_ok=True)
    if not (repo.home / "wild" / "python3").exists():
        (repo.home / "wild" / "python3").symlink_to(python(WILD))
    return start([str(repo.path / "prime")] + arguments, repo, "/")


def by_stdin(repo, arguments):
    source = (TOP / "proto_prime.py").read_text(encoding="utf-8")
    return start([str(python(WILD)), "-"] + arguments, repo, repo.path, stdin=source)


def by_process_substitution(repo, arguments):
    if not shutil.which("bash"):
        pytest.skip("no bash")
    script = 'source=$1; shift; exec "$0" <(cat "$source") "$@"'
    command = [shutil.which("bash"), "-c", script, str(python(WILD)), str(TOP / "proto_prime.py")]
    return start(command + arguments, repo, repo.path)


def by_import(repo, arguments):
    code = "import proto_prime, sys; sys.exit(proto_prime.main())"
    return start([str(python(WILD)), "-c", code] + arguments, repo, repo.path)


def by_module(repo, arguments):
    return start([str(python(WILD)), "-m", "proto_prime"] + arguments, repo, repo.path)


STARTS = [
    by_absolute_path, by_relative_path, by_relative_path_inside, by_link, by_own_name, by_shebang, by_stdin,
    by_process_substitution, by_import, by_module,
]


@pytest.mark.parametrize("way", STARTS, ids=lambda way: way.__name__)
def test_E9_result_is_the_same_however_it_is_started(quick, way):
    first = way(quick, [])
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    assert "is ready" in first.stderr
    assert len(quick.generations) == 1
    told = json.loads(way(quick, ["info", "--json"]).stdout)
    assert (told["root"], told["current"]) == (str(quick.path), True)
    assert told["venv"]["version"].startswith(REQUIRED + ".")
    again = way(quick, [])
    assert (again.returncode, again.stdout) == (0, "")
    assert "is current" in again.stderr
    code = "import sys; print(sys.prefix); sys.exit(7)"
    ran = way(quick, ["run", "python", "-c", code])
    assert (ran.returncode, ran.stdout.strip()) == (7, str(quick.generations[0])), ran.stderr
    failed = way(quick, ["python", "3.99"])
    assert (failed.returncode, failed.stdout) == (1, "")
    assert Path(os.path.realpath(str(quick.path / ".venv"))) == quick.generations[0]


@pytest.mark.parametrize("way", [by_stdin, by_process_substitution, by_import], ids=lambda way: way.__name__)
def test_E9_run_builds_what_is_missing_however_it_is_started(quick, way):
    ran = way(quick, ["run", "python", "-c", VERSION])
    assert (ran.returncode, ran.stdout.strip()) == (0, REQUIRED), ran.stderr


def test_E9_wild_python_of_all_these_is_another_than_the_required_one():
    assert os.path.realpath(str(python(WILD))) != os.path.realpath(str(python(REQUIRED)))
    assert some_python().exists()
