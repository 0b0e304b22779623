"""What python a repo requires, and which executable is selected for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PYENV, PYTHONS, ancient_python, python, snapshot, some_python, uv_program

import proto_prime

CANDIDATE_KEYS = ["implementation", "path", "reason", "source", "verdict", "version"]
INFO_KEYS = [
    "cache_key", "cache_paths", "config", "current", "driver", "environment", "environments", "index",
    "package_changes", "packages", "packages_from", "reasons", "required", "root", "schema", "selected_python",
    "tasks", "uv", "venv",
]


def wild_version():
    """The X.Y of the python that starts `prime` here unless a test says otherwise."""
    return "%d.%d" % sys.version_info[:2]


def other_version():
    """An X.Y that can be required, and that the wild python does not have."""
    return "3.12" if wild_version() != "3.12" else "3.11"


def minor_of(path):
    """The X.Y of the python at `path`, as it says itself."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.check_output([str(path), "-c", code], universal_newlines=True).strip()


def make_venv(version, directory):
    """An environment directory of a real python, made by its venv."""
    subprocess.check_call([str(python(version)), "-m", "venv", "--without-pip", str(directory)])
    return directory


@pytest.fixture
def alone(repo):
    """A repo that has its own programs on PATH and nothing else, and is set up with pip."""
    repo.env["PATH"] = str(repo.bin)
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.write("proto_prime.toml", "")
    return repo


def require(repo, request, *lines):
    """Configure a required version, and more."""
    lines = ("required_python_version = " + json.dumps(request),) + lines
    repo.write("proto_prime.toml", "\n".join(lines))


def listed(repo, *request, **options):
    """`prime python --all --json` as {path: candidate}."""
    told = json.loads(repo.prime("python", *request, "--all", "--json", status=None, **options).stdout)
    return {candidate["path"]: candidate for candidate in told["candidates"]}


def assert_error(result, *parts, status=1):
    """One error in the form of the manual that says all the `parts`, and nothing on stdout."""
    assert result.status == status, result.stderr
    assert result.stdout == ""
    assert len([line for line in result.stderr.splitlines() if line.startswith("prime: error: ")]) == 1
    assert "Traceback" not in result.stderr
    for part in parts:
        assert str(part) in result.stderr


# --- Required version ---


def by_config_field(repo):
    require(repo, other_version())
    return "proto_prime.toml: required_python_version"


def by_table_in_pyproject(repo):
    repo.write("pyproject.toml", '[tool.proto-prime]\nrequired_python_version = "%s"' % other_version())
    return "pyproject.toml: required_python_version"


def by_environments_own_field(repo):
    require(repo, wild_version(), "[env.default]", 'required_python_version = "%s"' % other_version())
    return "proto_prime.toml: env.default.required_python_version"


def by_python_version_in_parent_directory(repo):
    repo.write("proto_prime.toml", "")
    file = repo.path.parent / ".python-version"
    file.write_text("# ours\n\nsystem\n%s  # and why\n3.6\n" % other_version())
    return str(file)


def by_requires_python(repo):
    repo.write("pyproject.toml", '[project]\nname = "c"\nrequires-python = "==%s.*"' % other_version())
    return "pyproject.toml: requires-python"


def by_nothing(repo):
    repo.write("proto_prime.toml", "")
    return "nothing"


WAYS = [
    by_config_field, by_table_in_pyproject, by_environments_own_field, by_python_version_in_parent_directory,
    by_requires_python, by_nothing,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_required_version_is_found_and_said_where(repo, way):
    repo.env["PATH"] = str(repo.bin)
    repo.link("python" + other_version(), python(other_version()))
    origin = way(repo)
    told = repo.info()
    assert told["required"]["from"] == origin
    expected = wild_version() if way is by_nothing else other_version()
    assert told["selected_python"]["version"].startswith(expected + ".")
    assert told["selected_python"]["verdict"] == "selected"
    assert not told["current"]
    assert told["venv"] is None


@pytest.mark.parametrize("way", [by_config_field, by_python_version_in_parent_directory, by_nothing],
                         ids=lambda way: way.__name__)
def test_environment_is_built_with_the_required_version(alone, way):
    alone.link("python" + other_version(), python(other_version()))
    (alone.path / "proto_prime.toml").unlink()
    way(alone)
    alone.prime()
    told = alone.info()
    expected = wild_version() if way is by_nothing else other_version()
    assert told["current"]
    assert told["venv"]["version"].startswith(expected + ".")
    assert told["selected_python"]["version"] == told["venv"]["version"]
    assert minor_of(told["venv"]["python"]) == minor_of(alone.path / ".venv" / "bin" / "python") == expected


def test_config_field_goes_before_python_version_and_that_before_requires_python(repo):
    repo.link("python" + other_version(), python(other_version()))
    repo.write("pyproject.toml", '[project]\nname = "c"\nrequires-python = ">=3.6"')
    assert repo.info()["required"] == {"request": ">=3.6", "from": "pyproject.toml: requires-python"}
    repo.write(".python-version", wild_version())
    assert repo.info()["required"]["request"] == wild_version()
    require(repo, other_version())
    assert repo.info()["required"]["request"] == other_version()


def test_python_that_breaks_requires_python_is_refused_before_anything_is_built(alone):
    alone.write("pyproject.toml", '[project]\nname = "c"\nrequires-python = "!=%s.*"' % wild_version())
    require(alone, wild_version())
    result = alone.prime(status=None)
    assert_error(result, 'both "%s" (proto_prime.toml: ' % wild_version(),
                 '"!=%s.*" (pyproject.toml: ' % wild_version())
    assert alone.generations == []


def test_info_json_has_the_keys_of_the_manual(alone):
    for _ in ("before", "after"):
        told = alone.info()
        assert sorted(told) == INFO_KEYS
        assert told["schema"] == 1
        assert sorted(told["selected_python"]) == CANDIDATE_KEYS
        assert sorted(told["required"]) == ["from", "request"]
        alone.prime()
    assert sorted(told["venv"]) == ["generation", "held", "path", "python", "version"]
    assert told["config"]["venv_dir_rel_path"] == {"value": ".venv", "from": "default"}


# --- Required version absent ---


def test_absent_version_lists_each_candidate_with_its_reason(alone):
    require(alone, "==3.99.*")
    alone.link("python3", python("3.6"))
    broken = alone.program("python3.99", "#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    result = alone.prime(status=None)
    field = "required_python_version"
    first = 'no python satisfies %s "==3.99.*" (proto_prime.toml: %s)' % (field, field)
    assert_error(result, first, "hint: ")
    lines = result.stderr.splitlines()
    for path, reason in (
        (some_python(), "too old"),
        (alone.bin / "python3", "too old"),
        (broken, "failed: exit status 127: python3.99: command not found"),
    ):
        shown = str(path).replace(str(alone.home), "~")
        said = [line for line in lines if re.match(r"  \S+ +%s  " % re.escape(shown), line)]
        assert len(said) == 1, result.stderr
        assert said[0].endswith(reason)
    version = "%d.%d.%d" % sys.version_info[:3]
    assert [line for line in lines if str(some_python()) in line and version in line]
    assert alone.generations == []
    assert not (alone.path / ".venv").exists()
    assert list(alone.path.glob(".prime/envs/*")) == []


@pytest.mark.parametrize("words", [["boot"], ["run", "true"], ["python"]], ids=" ".join)
def test_absent_version_is_an_error_of_status_1_with_nothing_on_stdout(alone, words):
    require(alone, "3.99")
    assert_error(alone.prime(*words, status=None), "no python satisfies", "too old")


@pytest.fixture
def downloading(alone, mirror):
    """A repo whose uv may download a python 3.12, from a real mirror on disk; none is on PATH."""
    if wild_version() == "3.12":
        pytest.skip("started by the version that is to be downloaded")
    alone.link("uv", uv_program())
    require(alone, "3.12")
    alone.env.update({
        "PROTOPRIMER_VENV_DRIVER": "venv_uv",
        "UV_PYTHON_DOWNLOADS": "automatic",
        "UV_PYTHON_DOWNLOADS_JSON_URL": str(mirror),
        "UV_PYTHON_INSTALL_DIR": str(alone.home / "uv pythons"),
        "UV_PYTHON_INSTALL_BIN": "0",
    })
    return alone


@pytest.mark.slow
def test_absent_version_is_installed_by_uv(downloading):
    result = downloading.prime()
    assert result.stdout == ""
    assert "installing python 3.12 with uv" in result.stderr
    told = downloading.info()
    assert told["venv"]["version"].startswith("3.12.")
    assert Path(told["selected_python"]["path"]).parents[2] == downloading.home / "uv pythons"
    assert minor_of(downloading.path / ".venv" / "bin" / "python") == "3.12"
    again = listed(downloading, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})  # whoever it was installed by
    assert [each["source"] for each in again.values() if each["verdict"] == "selected"] == ["uv"]


def test_installed_match_is_taken_before_a_download(downloading):
    downloading.link("python3", python("3.12"))
    downloading.prime()
    assert not (downloading.home / "uv pythons").exists()
    assert downloading.info()["selected_python"]["version"].startswith("3.12.")


@pytest.mark.parametrize("option", ["PROTOPRIMER_VENV_DRIVER", "PROTOPRIMER_OFFLINE"])
def test_nothing_is_downloaded_with_pip_or_offline(downloading, option):
    downloading.env[option] = "venv_pip" if option == "PROTOPRIMER_VENV_DRIVER" else "1"
    result = downloading.prime(status=None)
    assert_error(result, 'no python satisfies required_python_version "3.12"', "too old")
    assert not (downloading.home / "uv pythons").exists()


@pytest.mark.slow
def test_download_with_a_wrong_hash_is_refused(downloading, mirror, tmp_path):
    entries = json.loads(mirror.read_text())
    for entry in entries.values():
        entry["sha256"] = "0" * 64
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(entries))
    result = downloading.prime(status=None, env={"UV_PYTHON_DOWNLOADS_JSON_URL": str(wrong)})
    assert_error(result, 'no python satisfies required_python_version "3.12"', "ash mismatch")
    assert downloading.generations == []
    assert list((downloading.home / "uv pythons").glob("cpython-3.12*")) == []
    downloading.prime()  # with the right hash the same repo goes on
    assert downloading.info()["current"]


def test_download_list_that_is_no_json_is_an_error_that_shows_uvs_words(downloading, tmp_path):
    (tmp_path / "bad.json").write_text("<html>not found</html>")
    result = downloading.prime(status=None, env={"UV_PYTHON_DOWNLOADS_JSON_URL": str(tmp_path / "bad.json")})
    assert_error(result, "no python satisfies", "bad.json")


# --- Selector ---

SHELL = "#!/bin/sh\n"


@pytest.fixture
def choosing(alone):
    """A repo with a selector, `choose`; a python that the search would find is on PATH."""
    alone.link("python" + other_version(), python(other_version()))
    require(alone, ">=3.6", 'python_selector_file_rel_path = "tools/choose"')
    return alone


def choose(repo, script, executable=True):
    repo.write("tools/choose", SHELL + script, executable)


def selected(repo, **options):
    return repo.prime("python", **options).stdout.rstrip("\n")


def test_C10_selector_gives_an_executable(choosing):
    choose(choosing, "echo %s\n" % (choosing.bin / ("python" + other_version())))
    assert selected(choosing) == str(choosing.bin / ("python" + other_version()))
    choosing.prime()
    assert choosing.info()["venv"]["version"].startswith(other_version() + ".")


def test_C10_choice_of_the_selector_is_shown_by_info_and_json(choosing):
    choose(choosing, "echo %s\n" % python(other_version()))
    told = choosing.info()
    assert told["selected_python"] is not None, "info does not show what the selector chose"
    assert told["selected_python"]["path"] == str(python(other_version()))
    assert told["selected_python"]["verdict"] == "selected"
    told = json.loads(choosing.prime("python", "--json").stdout)
    assert [each["path"] for each in told["candidates"]] == [str(python(other_version()))]
    verdicts = [each["path"] for each in listed(choosing).values() if each["verdict"] == "selected"]
    assert verdicts == [str(python(other_version()))]


@pytest.mark.parametrize("form", ["environments/it", "./environments/it/bin/python"])
def test_C10_selector_gives_an_environment_relative_to_the_ref_root(choosing, form):
    make_venv(other_version(), choosing.path / "environments" / "it")
    choose(choosing, "cd /; echo %s\n" % form)
    path = selected(choosing, cwd="/")
    assert os.path.realpath(path) == os.path.realpath(str(python(other_version())))
    assert "environments" not in path


def test_C10_selector_gives_a_relative_executable(choosing):
    choosing.write("links/here", "")
    (choosing.path / "links" / "python3").symlink_to(python(other_version()))
    choose(choosing, "echo links/python3\n")
    assert selected(choosing, cwd="/") == str(choosing.path / "links" / "python3")


@pytest.mark.parametrize("script", ["exit 0\n", "echo; echo '  '\n", "echo only to stderr >&2\n"])
def test_C10_selector_that_prints_nothing_has_no_opinion(choosing, script):
    choose(choosing, script)
    assert selected(choosing) == str(some_python())


def test_C10_selector_that_fails_shows_its_stderr(choosing):
    choose(choosing, "echo /nowhere; echo 'no module system here' >&2\nexit 3\n")
    result = choosing.prime(status=None)
    assert_error(result, "tools/choose failed: exit status 3", "no module system here")
    assert choosing.generations == []


def test_C10_last_line_of_the_selector_counts(choosing):
    real = python(other_version())
    choose(choosing, "echo loading modules\necho /nowhere/python\necho '%s'\necho\n" % real)
    assert selected(choosing) == str(python(other_version()))


@pytest.mark.parametrize("choice", ["/nowhere/python3", "tools", "tools/choose.txt"])
def test_C10_selector_that_gives_what_does_not_run_shows_its_stderr(choosing, choice):
    choosing.write("tools/choose.txt", "")
    choose(choosing, "echo 'I tried' >&2; echo %s\n" % choice)
    assert_error(choosing.prime(status=None), "python selector", choice, "I tried")


def test_C10_selector_whose_choice_breaks_the_requirement_is_refused(choosing):
    require(choosing, other_version(), 'python_selector_file_rel_path = "tools/choose"')
    choose(choosing, "echo %s\n" % some_python())
    assert_error(choosing.prime(status=None), "python selector", some_python(), other_version())


def test_C10_selector_that_is_not_executable_is_said(choosing):
    choose(choosing, "exit 0\n", executable=False)
    assert_error(choosing.prime(status=None), "tools/choose is not executable", "hint: chmod +x", status=2)


def test_C10_selector_that_is_missing_is_said(choosing):
    assert_error(choosing.prime(status=None), 'there is no file "tools/choose" (proto_prime.toml, line 2)', status=2)


def test_C10_selector_that_is_no_program_is_said(choosing):
    choosing.write("tools/choose", "\x7fELF\x00\x00", executable=True)
    assert_error(choosing.prime(status=None), "tools/choose")


TELLING_SELECTOR = """\
import json
import os
import sys

told = {"argv": sys.argv[1:], "isolated": sys.flags.isolated, "path": sys.path, "cwd": os.getcwd()}
told["environ"] = {name: os.environ.get(name) for name in ("PROTOPRIMER_REF_ROOT", "PROTOPRIMER_ENV", "MINE")}
told["internal"] = os.environ.get("PROTOPRIMER_PY_EXEC")
with open(os.path.join(os.environ["PROTOPRIMER_REF_ROOT"], "told.json"), "w") as file:
    json.dump(told, file)
"""


def test_C10_python_selector_runs_isolated_with_the_request_as_its_argument(alone):
    require(alone, ">=3.6, <4", 'python_selector_file_rel_path = "tools/choose.py"', "[env.docs]")
    alone.write("tools/choose.py", TELLING_SELECTOR)
    alone.write("tools/json.py", "raise SystemExit('not isolated')")
    other = alone.write("elsewhere/json.py", "raise SystemExit('not isolated')").parent
    alone.prime("-e", "docs", "python", env={"PYTHONPATH": str(other), "MINE": "kept"}, cwd="/")
    told = json.loads((alone.path / "told.json").read_text())
    assert told["argv"] == [">=3.6, <4"]
    assert told["isolated"] == 1
    assert told["environ"] == {
        "PROTOPRIMER_REF_ROOT": str(alone.path), "PROTOPRIMER_ENV": "docs", "MINE": "kept"}
    assert told["internal"] is None
    assert not [path for path in told["path"] if path.startswith(str(alone.path))]


HASTY = "import sys, proto_prime\nproto_prime.SELECTOR_SECONDS = 3\nsys.exit(proto_prime.main())\n"


def test_C10_selector_that_hangs_is_killed_with_its_children(choosing):
    assert proto_prime.SELECTOR_SECONDS == 60  # what README says, but a test shall not wait for it
    choose(choosing, "PATH=/usr/bin:/bin\nsleep 300 &\necho $! >grandchild\necho started >&2\nwait\n")
    choosing.write("hasty", HASTY)
    assert_error(choosing.prime(status=None, entry="hasty"), "gave no answer within 3 s", "started")
    with pytest.raises(ProcessLookupError):
        wait_for_end(int((choosing.path / "grandchild").read_text()))


def wait_for_end(pid):
    """Returns while a process lives on for seconds; ProcessLookupError when it has ended."""
    import time

    for _ in range(50):
        os.kill(pid, 0)
        state = Path("/proc/%d/stat" % pid)
        if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            raise ProcessLookupError("ended, not yet reaped by its new parent")
        time.sleep(0.1)


# --- Candidates that lie ---


@pytest.fixture
def searching(alone):
    """A repo that requires a version that only `good/pythonX.Y` has; `bin/` comes first on PATH."""
    good = alone.home / "good"
    good.mkdir()
    alone.good = good / ("python" + other_version())
    alone.good.symlink_to(python(other_version()))
    alone.env["PATH"] = os.pathsep.join([str(alone.bin), str(good)])
    require(alone, other_version())
    return alone


def assert_passed_over(repo, path, reason="", verdict="broken"):
    """The candidate at `path` is named with its reason, and the good python is selected."""
    found = listed(repo)
    assert found[str(path)]["verdict"] == verdict, found
    assert reason in found[str(path)]["reason"]
    assert found[str(path)]["reason"]
    assert found[str(repo.good)]["verdict"] == "selected"
    assert selected(repo) == str(repo.good)


@pytest.fixture
def shims():
    """pyenv's real shims, with a version active that is not the one that is looked for."""
    shim = PYENV / "shims" / ("python" + other_version())
    if not shim.exists() or not shutil.which("bash"):
        pytest.skip("no pyenv shims on this machine")
    active = python(wild_version()).parent.parent.name
    path = os.pathsep.join([str(shim.parent), str(Path(shutil.which("bash")).parent), "/usr/bin", "/bin"])
    return {"PATH": path, "PYENV_VERSION": active, "PYENV_ROOT": str(PYENV)}


def test_C1_shim_whose_version_is_not_active_is_passed_over_for_pyenvs_versions(alone, shims):
    require(alone, python(other_version()).parent.parent.name)
    found = listed(alone, env=shims)
    shim = found[str(PYENV / "shims" / ("python" + other_version()))]
    assert shim["verdict"] == "broken"
    assert "127" in shim["reason"]
    assert "command not found" in shim["reason"], "the reason is not the one that pyenv gives"
    chosen = [each for each in found.values() if each["verdict"] == "selected"]
    assert [each["source"] for each in chosen] == ["pyenv"]
    assert os.path.realpath(chosen[0]["path"]) == os.path.realpath(str(python(other_version())))


def test_C1_shim_of_the_active_version_gives_the_real_path(alone, shims):
    require(alone, other_version())
    env = dict(shims, PYENV_VERSION=python(other_version()).parent.parent.name, PYENV_ROOT="/nowhere")
    assert os.path.realpath(selected(alone, env=env)) == os.path.realpath(str(python(other_version())))


def test_C1_started_by_a_shim_the_versions_are_found_all_the_same(alone, shims):
    require(alone, other_version())
    shim = PYENV / "shims" / "python3"
    result = alone.prime("python", python=shim, env=shims)
    assert os.path.realpath(result.stdout.strip()) == os.path.realpath(str(python(other_version())))
    alone.prime(python=shim, env=shims)
    assert alone.info(python=shim, env=shims)["venv"]["version"].startswith(other_version() + ".")


@pytest.mark.slow
def test_C2_python_that_hangs_is_passed_over_and_killed_with_its_children(searching):
    hanging = searching.program("python" + other_version(), SHELL + (
        "PATH=/usr/bin:/bin\nsleep 300 & echo $! >'%s'\nwait\n" % (searching.home / "pid")))
    assert_passed_over(searching, hanging, "gave no answer within")
    with pytest.raises(ProcessLookupError):
        wait_for_end(int((searching.home / "pid").read_text()))


@pytest.mark.parametrize("noise", [
    "echo Welcome to this machine",
    "echo no newline at the end | tr -d '\\n'",
    "echo to stderr >&2",
    "head -c 200000 /dev/zero | tr '\\0' 'x'",
])
def test_C3_python_that_prints_a_banner_is_understood(searching, noise):
    wrapper = SHELL + "PATH=/usr/bin:/bin\n%s\nexec '%s' \"$@\"\n" % (noise, searching.good)
    searching.program("python" + other_version(), wrapper)
    searching.env["PATH"] = str(searching.bin)
    assert os.path.realpath(selected(searching)) == os.path.realpath(str(searching.good))


def test_C3_python_with_a_leftover_child_that_keeps_the_pipe_open_is_understood(searching):
    wrapper = SHELL + "PATH=/usr/bin:/bin\nsleep 300 &\n'%s' \"$@\"\n" % searching.good
    searching.program("python" + other_version(), wrapper)
    searching.env["PATH"] = str(searching.bin)
    assert os.path.realpath(selected(searching, timeout=60)) == os.path.realpath(str(searching.good))


def print_at_every_start(path):
    """Give a python that may be harmed a sitecustomize.py, as distributions and admins do."""
    (path.parent.parent / "lib" / "python3.12" / "sitecustomize.py").write_text("print('welcome')\n")


def test_C3_environment_is_made_with_a_python_whose_sitecustomize_prints(alone, spare_python):
    print_at_every_start(spare_python)
    require(alone, "3.12", 'dependencies = ["six"]')
    alone.env["PATH"] = str(spare_python.parent)
    assert selected(alone) == str(spare_python)
    alone.prime()
    assert alone.inside("import six; print(six.__name__)").split() == ["welcome", "six"]
    assert alone.info()["current"]


def test_C3_uv_cannot_use_a_python_whose_sitecustomize_prints_and_says_so(alone, spare_python):
    print_at_every_start(spare_python)  # `uv venv` itself does not understand it
    require(alone, "3.12")
    alone.env["PATH"] = os.pathsep.join([str(alone.bin), str(spare_python.parent)])
    alone.link("uv", uv_program())
    result = alone.prime(status=None, env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    assert result.status == 1
    assert "prime: error: creating the environment with uv" in result.stderr
    assert alone.generations == []


def test_environment_of_a_python_that_is_linked_from_elsewhere_has_its_own_library(alone, spare_python):
    alone.link("python3.12", spare_python)  # as ~/.local/bin/python3.12 leads to a python of uv's
    require(alone, "3.12")
    alone.prime()
    assert Path(alone.inside("import sys; print(sys.base_prefix)")) == spare_python.parent.parent


def put_dangling_link(path):
    path.symlink_to("/nowhere/python3")


def put_link_to_itself(path):
    path.symlink_to(path)


def put_directory(path):
    path.mkdir()


def put_file_without_exec_bit(path):
    path.write_text("#!/bin/sh\n")


def put_binary_of_another_machine(path):
    """A real program's ELF file whose header names a machine that is not this one."""
    data = bytearray(some_python().read_bytes()[:4096])
    if data[:4] != b"\x7fELF":
        pytest.skip("no ELF here")
    data[18:20] = b"\x15\x00" if data[5] == 1 else b"\x00\x15"  # EM_PPC64
    path.write_bytes(bytes(data))
    path.chmod(0o755)


def put_truncated_binary(path):
    path.write_bytes(some_python().read_bytes()[:40])
    path.chmod(0o755)


def put_empty_file(path):
    path.write_text("")
    path.chmod(0o755)


def put_script_of_a_missing_interpreter(path):
    path.write_text("#!/nowhere/python3\n")
    path.chmod(0o755)


def put_fifo(path):
    os.mkfifo(str(path), 0o755)


def put_program_that_is_no_python(path):
    path.write_text(SHELL + "echo Python 3.12.1\n")
    path.chmod(0o755)


def put_echo_of_its_arguments(path):
    path.write_text(SHELL + 'echo "$@"\n')
    path.chmod(0o755)


def put_one_that_dies_of_a_signal(path):
    path.write_text(SHELL + "kill -SEGV $$\n")
    path.chmod(0o755)


BROKEN = [
    put_dangling_link, put_link_to_itself, put_directory, put_file_without_exec_bit,
    put_binary_of_another_machine, put_truncated_binary, put_empty_file,
    put_script_of_a_missing_interpreter, put_fifo, put_program_that_is_no_python, put_echo_of_its_arguments,
    put_one_that_dies_of_a_signal,
]


@pytest.mark.parametrize("put", BROKEN, ids=lambda put: put.__name__[len("put_"):])
def test_C4_broken_python_is_passed_over(searching, put):
    path = searching.bin / ("python" + other_version())
    put(path)
    assert_passed_over(searching, path)


def test_C4_boot_goes_past_all_broken_pythons_at_once(searching):
    for number, put in enumerate(BROKEN):
        directory = searching.home / ("broken %d" % number)
        directory.mkdir()
        put(directory / ("python" + other_version()))
        searching.env["PATH"] = str(directory) + os.pathsep + searching.env["PATH"]
    searching.link("uv", uv_program())
    searching.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    assert minor_of(searching.path / ".venv" / "bin" / "python") == other_version()


def test_C5_wrapper_is_taken_with_the_real_path_it_reports(alone):
    require(alone, other_version())
    real = python(other_version())
    wrapper = alone.program("python3", SHELL + "export WRAPPED=1\nexec '%s' \"$@\"\n" % real)
    assert os.path.realpath(selected(alone)) == os.path.realpath(str(real))
    assert listed(alone)[str(wrapper)]["verdict"] == "selected"
    alone.prime()
    told = alone.info()
    home = dict(line.split(" = ", 1) for line in (
        (Path(told["venv"]["generation"]) / "pyvenv.cfg").read_text().splitlines()))["home"]
    assert os.path.realpath(home) == os.path.realpath(str(real.parent))


def test_C5_wrapper_around_a_python_in_a_venv_gives_the_base(alone, tmp_path):
    require(alone, other_version())
    venv = make_venv(other_version(), tmp_path / "their venv")
    alone.program("python3", SHELL + "exec '%s' \"$@\"\n" % (venv / "bin" / "python"))
    assert not selected(alone).startswith(str(tmp_path))
    assert os.path.realpath(selected(alone)) == os.path.realpath(str(python(other_version())))


@pytest.mark.parametrize("version, active, nested", [
    ("3.9", True, False), ("3.9", False, True), ("3.12", True, True), ("3.12", False, False)])  # each two of them meet
def test_C6_python_in_somebodys_venv_gives_its_base(alone, tmp_path, version, active, nested):
    venv = make_venv(version, tmp_path / "theirs")
    if nested:
        parent, venv = venv, tmp_path / "made from theirs"
        subprocess.check_call([str(parent / "bin" / "python"), "-m", "venv", "--without-pip", str(venv)])
    before = snapshot(venv)
    require(alone, version)
    alone.env["PATH"] = os.pathsep.join([str(venv / "bin"), str(alone.bin)])
    if active:
        alone.env["VIRTUAL_ENV"] = str(venv)
    for wild in (some_python(), venv / "bin" / "python"):
        path = selected(alone, python=wild)
        assert not path.startswith(str(tmp_path)), "a python in a venv was selected"
        assert os.path.realpath(path) == os.path.realpath(str(python(version)))
    alone.prime(python=venv / "bin" / "python")
    assert alone.inside("import sys; print(sys.prefix)") == alone.info()["venv"]["generation"]
    assert snapshot(venv) == before


def test_C6_venv_whose_base_is_gone_is_passed_over(searching, tmp_path):
    venv = make_venv(other_version(), tmp_path / "theirs")
    config = (venv / "pyvenv.cfg").read_text().replace(str(python(other_version()).parent), "/nowhere/bin")
    (venv / "pyvenv.cfg").write_text(config)
    searching.env["PATH"] = str(venv / "bin") + os.pathsep + searching.env["PATH"]
    assert_passed_over(searching, venv / "bin" / ("python" + other_version()), "base python")


def test_C7_python_2_is_passed_over_and_named(alone):
    alone.link("python", ancient_python())
    alone.link("python2.7", ancient_python())
    require(alone, ">=2.7")
    found = listed(alone)[str(alone.bin / "python")]
    assert (found["verdict"], found["version"], found["implementation"]) == ("mismatch", "2.7.18", "cpython")
    assert found["reason"] == "too old: 3.6 is the least"
    assert selected(alone) == str(some_python())
    assert_error(alone.prime("python", "2.7", status=None), "2.7.18", "too old: 3.6 is the least")


def test_C7_python_3_5_is_passed_over_and_named(alone):
    answer = "import sys; sys.version_info = (3, 5, 10, 'final', 0); sys.executable = ''; exec(sys.argv[1])"
    wrapper = SHELL + 'for code; do :; done\nexec "%s" -c "%s" "$code"\n' % (some_python(), answer)
    path = alone.program("python3.5", wrapper)
    require(alone, "==3.5.*")
    found = listed(alone)[str(path)]
    assert (found["verdict"], found["version"]) == ("mismatch", "3.5.10")
    assert found["reason"] == "too old: 3.6 is the least"


def test_C7_entry_script_started_by_python_2_goes_on_with_a_newer_one(alone):
    alone.link("python3.9", python("3.9"))
    result = alone.prime("python", "3.9", python=ancient_python())
    assert os.path.realpath(result.stdout.strip()) == os.path.realpath(str(python("3.9")))
    alone.prime(python=ancient_python())
    assert alone.inside("import sys; print(sys.version_info[:2])", python=ancient_python()) == "(3, 9)"


def test_C7_entry_script_started_by_python_2_goes_past_a_broken_python3(alone):
    alone.program("python3", SHELL + "echo 'pyenv: python3: command not found'; exit 127\n")
    alone.link("python3.9", python("3.9"))
    result = alone.prime("python", python=ancient_python())
    assert result.stdout.rstrip("\n") == str(alone.bin / "python3.9")
    assert result.stderr == ""


def test_C7_entry_script_started_by_python_2_alone_says_what_it_needs_in_one_line(alone):
    alone.link("python3", ancient_python())
    result = alone.prime(python=ancient_python(), status=1)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("prime: error: ")
    assert "2.7" in result.stderr
    assert "3.6" in result.stderr


# --- The user's own choice ---


def test_users_own_python_goes_before_selector_and_search(choosing):
    choose(choosing, "exit 1\n")
    assert selected(choosing, env={"PROTOPRIMER_PYTHON": str(python("3.9"))}) == str(python("3.9"))
    choosing.prime(env={"PROTOPRIMER_PYTHON": str(python("3.9"))})
    assert minor_of(choosing.path / ".venv" / "bin" / "python") == "3.9"


def test_users_own_python_is_shown_by_info_and_json(alone):
    env = {"PROTOPRIMER_PYTHON": str(python("3.9"))}
    told = alone.info(env=env)
    assert told["selected_python"] is not None, "info does not show what PROTOPRIMER_PYTHON chose"
    assert told["selected_python"]["path"] == str(python("3.9"))
    told = json.loads(alone.prime("python", "--json", env=env).stdout)
    candidate, = told["candidates"]
    assert (candidate["path"], candidate["verdict"]) == (str(python("3.9")), "selected")


def test_users_own_python_may_be_an_environment_directory(alone, tmp_path):
    venv = make_venv("3.9", tmp_path / "theirs")
    before = snapshot(venv)
    for form in (venv, venv / "bin" / "python"):
        path = selected(alone, env={"PROTOPRIMER_PYTHON": str(form)})
        assert os.path.realpath(path) == os.path.realpath(str(python("3.9")))
        assert not path.startswith(str(tmp_path))
    assert snapshot(venv) == before


@pytest.mark.parametrize("put", BROKEN, ids=lambda put: put.__name__[len("put_"):])
def test_users_own_python_that_is_broken_is_an_error(alone, put, tmp_path):
    path = tmp_path / "python3"
    put(path)
    result = alone.prime(status=None, env={"PROTOPRIMER_PYTHON": str(path)})
    assert_error(result, "PROTOPRIMER_PYTHON=%s" % path)
    assert alone.generations == []


def test_users_own_python_that_does_not_match_is_refused(alone):
    require(alone, other_version())
    result = alone.prime(status=None, env={"PROTOPRIMER_PYTHON": str(some_python())})
    assert_error(result, "PROTOPRIMER_PYTHON", some_python(), other_version(), "proto_prime.toml")
    assert alone.generations == []


# --- prime python ---


@pytest.fixture
def many(alone):
    """A repo with several pythons on PATH."""
    for version in ("3.6", "3.9", "3.12"):
        alone.link("python" + version, python(version))
    return alone


@pytest.mark.parametrize("request_text, version", [
    ("3.9", "3.9"),
    ("39", "3.9"),
    ("312", "3.12"),
    ("3.9.18", "3.9"),
    (" 3.9 ", "3.9"),
    (">=3.12,<3.13", "3.12"),
    ("~=3.9.1", "3.9"),
    ("==3.9.*", "3.9"),
    ("==3.9", "3.9"),
    ("<3.9", "3.6"),
    ("cpython@3.9", "3.9"),
    ("cpython3.12", "3.12"),
    ("python3.9", "3.9"),
])
def test_python_prints_the_path_of_what_a_request_selects(many, request_text, version):
    if request_text == "3.9.18" and python("3.9").parent.parent.name != request_text:
        pytest.skip("another patch release is installed")
    result = many.prime("python", request_text)
    assert result.stdout == str(many.bin / ("python" + version)) + "\n"
    assert result.stderr == ""


@pytest.mark.parametrize("request_text", ["3", "", ">=3.6", "cpython", "!=3.12.0"])
def test_python_that_runs_this_is_taken_first_if_it_matches(many, request_text):
    assert many.prime("python", request_text).stdout == str(some_python()) + "\n"


def test_newest_match_wins_inside_a_source(many, tmp_path):
    root = tmp_path / "pyenv"
    for name in ("3.9.1", "3.10.2", "3.6.15"):
        (root / "versions" / name / "bin").mkdir(parents=True)
    for name, version in (("3.9.1", "3.9"), ("3.10.2", "3.10"), ("3.6.15", "3.6")):
        (root / "versions" / name / "bin" / "python").symlink_to(python(version))
    env = {"PYENV_ROOT": str(root), "PATH": ""}
    assert many.prime("python", ">=3.6,<3.11", env=env).stdout.split("/")[-3] == "3.10.2"


def test_python_of_a_path_or_an_environment_directory(many, tmp_path):
    venv = make_venv("3.9", tmp_path / "theirs")
    link = str(many.bin / "python3.9")
    assert many.prime("python", link).stdout == link + "\n"
    for form in (str(venv), str(venv / "bin" / "python"), "./theirs"):
        path = many.prime("python", form, cwd=str(tmp_path)).stdout.strip()
        assert os.path.realpath(path) == os.path.realpath(str(python("3.9")))
        assert not path.startswith(str(tmp_path))


@pytest.mark.parametrize("request_text, said", [
    ("3.99", "too old"), ("pypy", "not pypy"), ("pypy@3.11", "not pypy"), ("3.12t", "not free-threaded"),
    ("/nowhere/python3", "does not exist"), ("./empty", "not that of an environment"),
])
def test_python_that_is_not_to_be_had_is_an_error_of_status_1(many, request_text, said):
    (many.path / "empty").mkdir()
    assert_error(many.prime("python", request_text, status=None), "no python satisfies", request_text, said)


@pytest.mark.parametrize("request_text", [">=", "3.x", "banana", "3.12,", "==3.12.*.1", "cpython@"])
def test_I2_malformed_request_says_what_forms_there_are(many, request_text):
    result = many.prime("python", request_text, status=None)
    assert_error(result, 'malformed request "%s"' % request_text, "a request is one of", "3.12.3", status=2)


def test_error_for_a_request_of_the_command_line_does_not_speak_of_the_config(many):
    result = many.prime("python", "3.99", status=None)
    assert_error(result, '"3.99"', "command line")
    assert "required_python_version" not in result.stderr.splitlines()[0]


def test_all_json_names_every_candidate(many):
    dangling = many.bin / "python3.13"
    dangling.symlink_to("/nowhere/python3.13")
    told = json.loads(many.prime("python", "3.9", "--all", "--json").stdout)
    assert sorted(told) == ["candidates", "request", "schema"]
    assert (told["schema"], told["request"]) == (1, "3.9")
    by_path = {each["path"]: each for each in told["candidates"]}
    assert len(by_path) == len(told["candidates"]), "a candidate is listed twice"
    for each in told["candidates"]:
        assert sorted(each) == CANDIDATE_KEYS
        assert each["verdict"] in ("selected", "matches", "mismatch", "broken", "not-tried")
    verdicts = {name: by_path[str(many.bin / name)]["verdict"] for name in (
        "python3.6", "python3.9", "python3.12", "python3.13")}
    assert verdicts == {
        "python3.6": "mismatch", "python3.9": "selected", "python3.12": "mismatch", "python3.13": "broken"}
    wild = by_path[str(some_python())]
    assert (wild["source"], wild["verdict"], wild["implementation"]) == ("wild", "mismatch", "cpython")
    assert by_path[str(many.bin / "python3.9")]["source"] == "PATH"
    assert by_path[str(dangling)]["version"] is None


def test_all_json_says_which_others_match_too(many):
    by_path = listed(many, ">=3.9")
    assert by_path[str(some_python())]["verdict"] == "selected"
    assert by_path[str(many.bin / "python3.12")]["verdict"] == "matches"
    assert by_path[str(many.bin / "python3.6")]["reason"] == "too old"


def test_all_prints_a_line_for_each_candidate(many):
    lines = many.prime("python", "3.9", "--all").stdout.splitlines()
    assert lines[0] == "asked for: 3.9 (command line)"
    assert [line.split()[2:] for line in lines if line.startswith("*")] == [["PATH", "~/bin/python3.9"]]
    assert next(line for line in lines if line.startswith("too new")).endswith(proto_prime.what_version(python("3.12")))
    lines = many.prime("python", "3.9", "--all", "-v").stdout.splitlines()
    below = lines[lines.index(next(line for line in lines if line.startswith("too new"))) + 1:]
    assert next(line for line in below if line.endswith("~/bin/python3.12")).split()[1] == "PATH"


def test_all_lists_the_candidates_when_nothing_matches(many):
    result = many.prime("python", "3.99", "--all", "--json", status=1)
    assert {each["verdict"] for each in json.loads(result.stdout)["candidates"]} == {"mismatch"}
    assert "no python satisfies" in result.stderr


def test_json_without_all_tells_of_the_selected_python_alone(many):
    told = json.loads(many.prime("python", "3.9", "--json").stdout)
    assert [(each["path"], each["verdict"]) for each in told["candidates"]] == [
        (str(many.bin / "python3.9"), "selected")]


def test_python_without_a_request_takes_what_the_repo_requires(many):
    require(many, "3.9")
    assert many.prime("python").stdout == str(many.bin / "python3.9") + "\n"
    assert json.loads(many.prime("python", "--json").stdout)["request"] == "3.9"


def test_python_reads_nothing_from_stdin_and_writes_nothing_into_the_repo(many):
    before = snapshot(many.path)
    process = many.popen("python", "3.9", stdin=subprocess.PIPE)  # stays open
    assert process.wait(60) == 0
    process.communicate()
    assert snapshot(many.path) == before


def test_interpreter_is_asked_once_until_its_file_changes(alone):
    count = alone.home / "count"
    path = alone.program("counting", SHELL + (  # answers as a python that stands at its own path
        "printf x >>'%s'\nfor code; do :; done\n"
        "exec '%s' -c 'import sys; sys.executable = sys.argv[1]; exec(sys.argv[2])' \"$0\" \"$code\"\n"
    ) % (count, python("3.9")))
    for _ in range(3):
        assert alone.prime("python", path).stdout == str(path) + "\n"
    assert count.read_text() == "x"
    path.write_text(path.read_text() + "# changed\n")
    alone.prime("python", path)
    assert count.read_text() == "xx"


@pytest.mark.parametrize("home", [True, False], ids=["by PYENV_ROOT", "in HOME"])
def test_pyenvs_versions_are_searched(alone, home):
    root = alone.home / ".pyenv"
    if home:
        root, alone.env["PYENV_ROOT"] = alone.home / "elsewhere", str(alone.home / "elsewhere")
    (root / "versions" / "3.9.18" / "bin").mkdir(parents=True)
    (root / "versions" / "3.9.18" / "bin" / "python").symlink_to(python("3.9"))
    assert alone.prime("python", "3.9").stdout == "%s/versions/3.9.18/bin/python\n" % root


# --- Python API ---


@pytest.fixture
def here(monkeypatch, tmp_path):
    """This process, with a PATH and caches of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.9").symlink_to(python("3.9"))
    for name in ("PROTOPRIMER_PYTHON", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("code", [
    "answer = ['a b', '']",
    "os.write(1, b'noise\\0' * 9000); answer = ['a b', '']",  # C3
    "sys.stdout.write('noise'); sys.stdout = None; answer = ['a b', '']",
    "import atexit; atexit.register(os.write, 1, b'noise'); answer = ['a b', '']",
    "import subprocess; subprocess.Popen(['sleep', '60']); answer = ['a b', '']",
])
def test_answer_of_a_python_is_what_it_was_asked_for(code):
    answer, child = proto_prime.ask_python(str(python("3.12")), code)
    assert answer == ["a b", ""] and not child.has_failed


@pytest.mark.parametrize("text, problem", [
    ("exit 0", ""),
    ("exit 3", "failed: exit status 3"),
    ('echo "$@"', ""),
    ("sleep 60", "gave no answer within 1 s"),
])
def test_python_without_an_answer_says_why(tmp_path, text, problem):
    path = tmp_path / "python3"
    path.write_text("#!/bin/sh\n%s\n" % text)
    path.chmod(0o755)
    answer, child = proto_prime.ask_python(str(path), "answer = ['']", timeout=1)
    assert answer == [] and (str(child) == problem if problem else not child.has_failed)


def test_what_version_and_what_path_ask_the_interpreter(here):
    venv = make_venv("3.9", here / "venv")
    expected = subprocess.check_output([str(python("3.9")), "-V"], universal_newlines=True).split()[1]
    for form in (python("3.9"), venv, venv / "bin" / "python"):
        assert proto_prime.what_version(str(form)) == expected
        assert os.path.realpath(proto_prime.what_path(str(form))) == os.path.realpath(str(python("3.9")))
    for wrong in ("/nowhere/python", str(here)):
        with pytest.raises(proto_prime.PrimeError):
            proto_prime.what_version(wrong)
        with pytest.raises(proto_prime.PrimeError):
            proto_prime.what_path(wrong)


def test_search_python_finds_or_returns_none(here):
    tried = []
    found = proto_prime.search_python("3.9", tried)
    assert found.path == str(here / "bin" / "python3.9")
    assert found.version.startswith("3.9.")
    assert found.implementation == "cpython"
    assert [each.verdict for each in tried][-1] == "selected"
    assert proto_prime.search_python(">=3.99") is None
    with pytest.raises(proto_prime.PrimeError) as caught:
        proto_prime.search_python("banana")
    assert caught.value.status == 2


def test_select_python_and_probe_python(here):
    script = "import sys\nprint(%r if sys.argv[1] == '3.9' else '')" % str(python("3.9"))
    (here / "choose.py").write_text(script)
    assert proto_prime.select_python("3.9", "choose.py", str(here)).path == str(python("3.9"))
    assert proto_prime.select_python("3.10", "choose.py", str(here)) is None
    assert proto_prime.probe_python("3.9", "choose.py", str(here)).path == str(python("3.9"))
    assert proto_prime.probe_python("3.9").path == str(here / "bin" / "python3.9")
    assert proto_prime.probe_python(">=3.99", "choose.py", str(here)) is None
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.select_python("3.9", "missing.py", str(here))


def test_probe_python_asks_the_user_first(here, monkeypatch):
    monkeypatch.setenv("PROTOPRIMER_PYTHON", str(python("3.10")))
    assert proto_prime.probe_python("", "missing.py", str(here)).version.startswith("3.10.")
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.probe_python("3.9")


def test_satisfies():
    assert proto_prime.satisfies("~=3.8", "3.9.1") is True
    assert proto_prime.satisfies("~=3.8.1", "3.9.0") is False
    assert proto_prime.satisfies("3.12", "3.12.4") is True
    assert proto_prime.satisfies(">=3.14", "3.14.0rc1") is True
    for wrong in ("banana", ">=", "/usr/bin/python3"):
        with pytest.raises(proto_prime.PrimeError):
            proto_prime.satisfies(wrong, "3.9.1")
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.satisfies(">=3.8", "new")


def test_redirect_file_is_followed(here):
    venv = make_venv("3.9", here / "venv")
    (here / "repo").mkdir()
    (here / "repo" / ".venv").write_text("../venv\n")
    assert proto_prime.resolve_python(str(here / "repo" / ".venv")) == str(venv / "bin" / "python")
    assert proto_prime.resolve_python(str(venv)) == str(venv / "bin" / "python")


def test_every_installed_python_tells_its_version(here):
    for version, path in PYTHONS.items():
        assert proto_prime.what_version(str(path)).startswith(version + ".")
