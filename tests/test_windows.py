"""On Windows itself: real CPythons for Windows and uv.exe under Wine. The rules one by one: test_windows_rules.py.

Not run unless PRIME_TEST_WINDOWS is set, for the root takes 2.5 GB and each boot some ten seconds.
"""

import json

import pytest
from windows import Windows, WindowsRepo

pytestmark = pytest.mark.slow
NO_LINK = ["-e", "default"]  # `run` of a named environment makes no link, which Wine has not
SHOW = ["python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
HARD = ["", " ", "a b", '"', '\\"', "a\\", "a b\\", "%PATH%", "^", "&", "|", "<", ">", "(", "!", "'", "$HOME", "*",
        "-v", "--", "gr\xfc\xdfe", "\u4f60", ";", ","]
MARKS = [word for word in HARD if word not in ("*", "gr\xfc\xdfe", "\u4f60")]  # what is in the code page of `cmd`


@pytest.fixture(scope="module")
def machine(tmp_path_factory, shared):
    found = Windows(tmp_path_factory.mktemp("windows"), tmp_path_factory.getbasetemp())
    yield found
    found.close()


@pytest.fixture
def windows_repo(machine, tmp_path, wheelhouse):
    """A function of a python and a driver that makes a repo on Windows."""

    def make(version, driver):
        return WindowsRepo(tmp_path / "a repo", machine, version, wheelhouse, driver)

    return make


@pytest.mark.parametrize("version, driver", [("3.13", "venv_uv"), ("3.8", "venv_uv"), ("3.13", "venv_pip"),
                                             ("3.11", "venv_pip")])
def test_W22_run_builds_once_and_passes_arguments_and_statuses_on(version, driver, windows_repo):
    repo = windows_repo(version, driver)
    repo.write("requirements.txt", "six\r\n")
    crash = ["python", "-c", "import ctypes; ctypes.windll.kernel32.ExitProcess(0xC0000005)"]
    six = ["run", "python", "-c", "import six, sys; print(six.__file__, sys.version_info[:2])"]
    first, again, words, crashed, unknown = repo.primes(
        NO_LINK + six, NO_LINK + six, NO_LINK + ["run"] + SHOW + HARD, NO_LINK + ["run"] + crash, ["-e", "aux"])
    assert first.status == 0, first.stderr
    assert "\\a repo\\.prime\\envs\\default-" in first.stdout
    assert str(tuple(map(int, version.split(".")))) in first.stdout
    assert "is ready" in first.stderr
    assert (again.status, again.stderr, again.stdout) == (0, "", first.stdout)
    assert json.loads(words.stdout) == HARD, words.stderr
    assert crashed.status == 0xC0000005
    assert unknown.status == 2 and 'no environment "aux"' in unknown.stderr and unknown.seconds < 60


def test_W12_arguments_of_a_batch_file_are_not_run(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.write("show.bat", "@echo off\r\npython show.py %*\r\n")
    repo.write("show.py", "import json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    evil = ['" & echo HACKED & "', '\\" & echo HACKED & \\"', "%PATHEXT%", "&echo HACKED", "x|echo HACKED"]
    marks, hacked, refused = repo.primes(
        *[NO_LINK + ["run", ".\\show.bat"] + words for words in (MARKS, evil, ["a\nb"])])
    assert json.loads(hacked.stdout) == evil, hacked.stderr
    assert json.loads(marks.stdout) == MARKS, marks.stderr
    assert refused.status == 2 and "is a batch file" in refused.stderr


def test_W3_W5_lock_of_a_requirements_file_holds_for_other_line_ends(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("requirements.txt", "six\n")
    repo.prime("lock")
    assert 'name = "six"' in (repo.path / "pylock.toml").read_text()
    repo.write("requirements.txt", "six\r\n")
    result = repo.prime(*NO_LINK + ["run", "python", "-c", "import six"])
    assert "other requirements" not in result.stderr


def test_U2_U3_tasks_and_the_variables_of_an_environment(windows_repo):
    """A string is split as POSIX does; what `env --shell cmd` prints is called as a batch file."""
    repo = windows_repo("3.13", "venv_uv")
    odd = "it's \"q\" %PATH% & echo HACKED | x > y < z ^ (a) end"
    show = "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.environ.get('ODD'), sys.prefix]))\n"
    repo.write("show.py", show)
    lines = "@python prime -e default env --shell cmd > out.cmd", "@call out.cmd", "@python show.py", ""
    repo.write("env.bat", "\r\n".join(lines))
    repo.write("proto_prime.toml", "env_vars = {ODD = %s}\nenv_file = \".env\"\n[tasks]\n"
               "show = {run = \"python show.py 'a  b' \\\"\\\"\", needs = [\"first\"]}\n"
               "first = \"python -c print(1)\"\n"
               "seven = {run = [\"cmd\", \"/c\", \"exit 7\"], cwd = \"..\"}\n" % json.dumps(odd))
    repo.write(".env", "ODD=x\r\nFILE='two\r\nlines'\r\n")
    first, again, seven, called = repo.primes(
        NO_LINK + ["show"] + MARKS, NO_LINK + ["show"] + MARKS, NO_LINK + ["seven"], NO_LINK + ["run", ".\\env.bat"])
    for result in (first, again):
        number, line = result.stdout.splitlines()
        assert number == "1" and json.loads(line)[:2] == [["a  b", ""] + MARKS, odd], result.stderr
    assert seven.status == 7
    words, value, prefix = json.loads(called.stdout.splitlines()[-1])
    assert (words, value) == ([], odd) and "\\envs\\default-" in prefix, called.stderr
    assert "FILE is left out: cmd cannot set it" in called.stderr
