"""On Windows itself: real CPythons for Windows and uv.exe under Wine. The rules one by one: test_windows_rules.py.

Not run unless PRIME_TEST_WINDOWS is set, for the root takes 2.5 GB and each boot some ten seconds.
"""

import json

import pytest
from windows import Windows, WindowsRepo

pytestmark = pytest.mark.slow
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
        six, six, ["run"] + SHOW + HARD, ["run"] + crash, ["-e", "aux"])
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
        *[["run", ".\\show.bat"] + words for words in (MARKS, evil, ["a\nb"])])
    assert json.loads(hacked.stdout) == evil, hacked.stderr
    assert json.loads(marks.stdout) == MARKS, marks.stderr
    assert refused.status == 2 and "is a batch file" in refused.stderr


def test_W3_W5_lock_of_a_requirements_file_holds_for_other_line_ends(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("requirements.txt", "six\n")
    repo.prime("lock")
    assert 'name = "six"' in (repo.path / "pylock.toml").read_text()
    repo.write("requirements.txt", "six\r\n")
    result = repo.prime("run", "python", "-c", "import six")
    assert "other requirements" not in result.stderr


# -- one place, one command ------------------------------------------------------------------------

NAMES = """
import ctypes
here, short = os.getcwd(), ctypes.create_unicode_buffer(999)
ctypes.windll.kernel32.GetShortPathNameW(here, short, 999)
spellings = [here.lower(), here.upper(), here[0].lower() + here[1:], short.value, "\\\\\\\\?\\\\" + here,
             here.replace("\\\\", "/"), sys.argv[1]]
results = [run(sys.executable, sys.argv[1] + "\\\\prime")]
results += [run(sys.executable, os.path.join(each, "prime"), *words) for each in spellings
            for words in ([], ["run", "python", "-c", "import sys; print(sys.prefix)"])]
answer(short.value != here, spellings, results, os.listdir(".prime/envs"))
"""


def test_W6_directory_of_many_names_is_built_once(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    share = repo.machine.share(repo.path.parent)
    has_short, spellings, (first, *others), builds = repo.inside(NAMES, share + "\\" + repo.path.name)
    assert has_short and len(builds) == 1, builds
    assert first[0] == 0 and "is ready" in first[2], first
    for status, stdout, stderr in others:
        assert status == 0 and "building" not in stderr, (spellings, stderr)
        assert stdout.strip() in ("", share + "\\" + repo.path.name + "\\.prime\\envs\\" + builds[0])


PROGRAMS = """
write("tool.bat", "@echo off\\r\\necho bat %*\\r\\nexit /b 7\\r\\n")
for name in ("SCRIPT.PY", "bin/onpath.py"):
    write(name, "import sys; print('py', sys.prefix != sys.base_prefix, sys.argv[1:])\\n")
for name in ("odd.js", "bin/odd.js"):
    write(name, "WScript.Echo(1)\\n")
more = {"PATH": os.path.abspath("bin") + ";" + os.environ["PATH"], "PATHEXT": ".COM;.EXE;.BAT;.CMD;.PY;.JS"}
commands = [
    ([".\\\\tool", "a b"], {}), (["SCRIPT.PY", "a b"], {}), ([".\\\\script", "a b"], more), (["onpath", "a b"], more),
    (["python", "-c", "print(1)"], {"PATHEXT": ""}), (["odd"], more), ([".\\\\odd.js"], {}), ([".\\\\none"], {}),
    (["onpath"], {})]
answer(*[prime("run", *words, env=env) for words, env in commands])
"""


def test_W16_programs_are_found_and_started_as_windows_does_it(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    tool, script, path, found, default, odd, odd_path, none, unknown = repo.inside(PROGRAMS)
    assert (tool[0], tool[1].strip()) == (7, 'bat "a b"')
    assert {result[1].strip() for result in (script, path, found)} == {"py True ['a b']"}, (script, path, found)
    assert default[1].strip() == "1"
    assert odd[0] == odd_path[0] == 126 and "it is no program of Windows" in odd[2] and "run node" in odd_path[2]
    assert none[0] == unknown[0] == 127


# -- processes -------------------------------------------------------------------------------------

PROCESSES = """
sys.path.insert(0, os.getcwd())
import proto_prime
write("leave.py", "import subprocess, sys\\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2); '\\n"
      "    'open(%r, \\"w\\").close()' % sys.argv[2]], creationflags=int(sys.argv[1]))\\n")
write("beat.py", "import time\\nwhile True:\\n    open('beat', 'w').close()\\n    time.sleep(0.2)\\n")
statuses = [prime("run", "python", "leave.py", "0", "of run")[0],
            prime("run", "python", "leave.py", str(0x01000000), "breaks away")[0]]
for name in ("of server", "of installer"):
    proto_prime.run_child([sys.executable, "leave.py", "0", name], cwd=os.getcwd(), is_guarded=name == "of server")
code = "import subprocess, sys, time; subprocess.Popen([sys.executable, 'leave.py', '0', 'too late']); time.sleep(60)"
slow = proto_prime.run_child([sys.executable, "-c", code], cwd=os.getcwd(), timeout=1.5)
command = subprocess.Popen([sys.executable, "prime", "run", "python", "beat.py"])
began = wait_for(lambda: os.path.exists("beat"))
command.kill()
command.wait()
time.sleep(0.6)
os.remove("beat")
time.sleep(3)
names = ["of run", "breaks away", "of server", "of installer", "too late", "beat"]
answer(statuses, slow.problem, began, [name for name in names if os.path.exists(name)])
"""


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_W9_W10_what_run_leaves_lives_on_and_what_is_ended_takes_its_children_along(version, windows_repo):
    repo = windows_repo(version, "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.prime()
    statuses, slow, began, living = repo.inside(PROCESSES)
    assert statuses == [0, 0] and began and "no answer" in slow
    assert living == ["of run", "breaks away", "of installer"]


IN_USE = """
first = prime()
command = [sys.executable, "prime", "run", "python", "-c",
           "import sys; print('began', flush=True); sys.stdin.read(); import six; print(six.__name__)"]
running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
running.stdout.readline()
old, = os.listdir(".prime/envs")
for number in range(4):
    write("proto_prime.toml", "dependencies = ['six']\\n[env_vars]\\nA = '%d'\\n" % number)
    write("requirements.txt", "six\\nidna\\n" if number % 2 else "six\\n")
    os.utime(".prime/envs/" + old)
    reset = prime("reset")
cleaned = prime("clean", "--all")
stayed = os.listdir(".prime/envs")
told = running.communicate(b"\\n")[0].decode().split()
again = prime("clean", "--all")
answer(old, first[2], reset, cleaned, stayed, told, os.path.exists(".prime/envs/" + old), again)
"""


def test_W4_generation_of_which_a_program_runs_is_not_removed(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    old, _, reset, cleaned, stayed, told, is_there, again = repo.inside(IN_USE)
    assert reset[0] == cleaned[0] == 0, (reset, cleaned)
    assert stayed == [old] and "for a running process uses it" in cleaned[2], cleaned[2]
    assert told == ["six"]
    assert not is_there, again


FOREIGN = """
made = run(sys.executable, "-m", "venv", "--without-pip", ".venv")
running = subprocess.Popen([".venv\\\\Scripts\\\\python.exe", "-c", "print('began', flush=True); input()"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
running.stdout.readline()
boot, command = prime(), prime("run", "python", "-c", "import sys; print(sys.prefix)")
running.communicate(b"\\n")
answer(made, boot, command, os.listdir("."), prime(), os.listdir("."))
"""


def test_W15_foreign_environment_that_runs_is_told_before_the_build(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    made, boot, command, before, then, after = repo.inside(FOREIGN)
    assert made[0] == 0 and boot[0] == 1 and "building" not in boot[2], (made, boot)
    assert "cannot be renamed while" in boot[2] and "Scripts\\python.exe runs" in boot[2]
    assert command[0] == 0 and ".prime" in command[1] and "cannot be renamed" in command[2]
    assert ".venv" in before and ".venv.before-prime" not in before
    assert then[0] == 0 and ".venv.before-prime" in after, then


KILLED = """
results = []
for seconds in (0.4, 1.0, 1.6):
    process = subprocess.Popen([sys.executable, "prime"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(seconds)
    process.kill()
    process.wait()
boots = [subprocess.Popen([sys.executable, "prime"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
         for _ in range(6)]
said = [boot.communicate(timeout=200)[0].decode("utf-8", "replace") for boot in boots]
answer([boot.returncode for boot in boots], said, os.listdir(".prime/envs"), os.listdir(".prime/building"),
       prime("run", "python", "-c", "import six"))
"""


def test_W23_six_boots_at_once_after_boots_that_were_killed_build_once(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("requirements.txt", "six\n")
    statuses, said, builds, unfinished, run = repo.inside(KILLED)
    assert statuses == [0] * 6 and run[0] == 0, (said, run)
    assert sum("is ready" in each for each in said) == 1 and len(builds) == 1, (said, builds)
    assert not [name for name in unfinished if name in builds], unfinished


def test_W21_run_that_has_nothing_to_do_imports_neither_subprocess_nor_ctypes(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.prime()
    result, = repo.machine.run("3.13", [["-X", "importtime", "prime", "run", "python", "-S", "-c", "pass"]], repo.path,
                               repo.env)
    assert result.status == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert {"_winapi", "_ctypes", "proto_prime"} <= imported
    assert not imported & {"subprocess", "ctypes", "signal", "threading", "re", "json", "enum"}
