"""On Windows itself: real CPythons for Windows and uv.exe under Wine. The rules one by one: test_windows_rules.py.

Not run unless PRIME_TEST_WINDOWS is set, for the root takes 2.5 GB and each boot some ten seconds.
"""

import ast
import json
import re
import shutil
import subprocess

import pytest
from conftest import EXAMPLES, fetch_wheels
from windows import INSIDE, Windows, WindowsRepo, windows_path

import proto_prime

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
results = [run(sys.executable, spellings[4] + "\\\\prime")]
results += [run(sys.executable, os.path.join(each, "prime"), *words) for each in spellings
            for words in ([], ["run", "python", "-c", "import sys; print(sys.prefix)"])]
answer(short.value != here, spellings, results, os.listdir(".prime/envs"))
"""


def test_W6_directory_of_many_names_is_built_once(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    share = repo.machine.share(repo.path.parent)
    has_short, spellings, (first, *others), builds = repo.inside(NAMES, share + "\\" + repo.path.name)
    assert has_short and len(builds) == 1, builds
    assert first[0] == 0 and "is ready" in first[2], first
    for status, stdout, stderr in others:
        assert status == 0 and "building" not in stderr, (spellings, stderr)
        assert stdout.strip() in ("", windows_path(repo.path) + "\\.prime\\envs\\" + builds[0])


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

PROCESSES = r'''
import ctypes
sys.path.insert(0, os.getcwd())
import proto_prime
write("leave.py", "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2); '\n"
      "    'open(%r, \"w\").close()' % sys.argv[2]], creationflags=int(sys.argv[1]))\n")
write("beat.py", "import time\nwhile True:\n    open('beat', 'w').close()\n    time.sleep(0.2)\n")
statuses = [prime("run", "python", "leave.py", "0", "of run")[0],
            prime("run", "python", "leave.py", str(0x01000000), "breaks away")[0]]
for name in ("of server", "of installer"):
    proto_prime.run_child([sys.executable, "leave.py", "0", name], cwd=os.getcwd(), is_guarded=name == "of server")
write("dies.py", """
import os, sys
sys.path.insert(0, os.getcwd())
import proto_prime

def die(process, flags):
    with open("pid", "w") as file:
        file.write(str(proto_prime.system_call("kernel32", "GetProcessId", int(process))))
    os.kill(os.getpid(), 9)

proto_prime.begin_in_job = die
words = [sys.executable, "-c", "pass"]
starts = {"child": lambda: proto_prime.run_child(words), "beside": lambda: proto_prime.run_beside(words, {}, words[0]),
          "in place": lambda: proto_prime.replace_process(words, dict(os.environ))}
starts[sys.argv[1]]()
""")
frozen = []
for way in ("child", "beside", "in place"):  # killed as soon as it has started another
    status = subprocess.call([sys.executable, "dies.py", way])
    with open("pid") as file:
        handle = ctypes.windll.kernel32.OpenProcess(0x100000, 0, int(file.read()))  # SYNCHRONIZE
    if status != 9 or handle and ctypes.windll.kernel32.WaitForSingleObject(handle, 5000):
        frozen.append(way)
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
answer(statuses, slow.problem, began, frozen, [name for name in names if os.path.exists(name)])
'''


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_W9_W10_what_run_leaves_lives_on_and_what_is_ended_takes_its_children_along(version, windows_repo):
    repo = windows_repo(version, "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.prime()
    statuses, slow, began, frozen, living = repo.inside(PROCESSES)
    assert statuses == [0, 0] and began and "no answer" in slow
    assert frozen == []
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
open("go", "w").close()
boots = [subprocess.Popen([sys.executable, "prime"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
         for _ in range(6)]
said = [boot.communicate(timeout=200)[0].decode("utf-8", "replace") for boot in boots]
answer([boot.returncode for boot in boots], said, os.listdir(".prime/envs"), os.listdir(".prime/building"),
       prime("run", "python", "-c", "import six"))
"""


def test_W23_six_boots_at_once_after_boots_that_were_killed_build_once(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    # Else one could be ready before it is killed.
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)"
    repo.write("proto_prime.toml", "dependencies = ['six']\npost_boot = [%s]\n" % json.dumps(["python", "-c", wait]))
    statuses, said, builds, unfinished, run = repo.inside(KILLED)
    assert statuses == [0] * 6 and run[0] == 0, (said, run)
    assert sum("is ready" in each for each in said) == 1 and len(builds) == 1, (said, builds)
    assert not [name for name in unfinished if name in builds], unfinished


def test_W21_run_that_has_nothing_to_do_imports_neither_subprocess_nor_ctypes(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.prime()
    repo.prime()
    for words in [], ["run", "python", "-S", "-c", "pass"]:
        result, = repo.machine.run("3.13", [["-X", "importtime", "prime"] + words], repo.path, repo.env)
        assert result.status == 0
        lines = [line for line in result.stderr.splitlines() if line.startswith("import time")]
        imported = {line.rpartition("|")[2].strip() for line in lines}
        assert not imported & {"subprocess", "ctypes", "signal", "threading", "re", "json", "enum"}
        assert "proto_prime" not in imported, "`WARM` lacks something"
    assert {"_winapi", "_ctypes"} <= imported


# -- commands --------------------------------------------------------------------------------------

EVERY_DAY = """
results = {"boot": prime(), "again": prime()}
for name, words in {
    "module": ["run", "-m", "six"], "without boot": ["run", "--no-boot", "python", "-c", "import six"],
    "info": ["info", "--json"], "python": ["python", "--all"], "use": ["use", "docs"],
    "used": ["run", "python", "-c", "import idna; print(idna.__name__)"], "back": ["use", "default"],
    "reset": ["reset"], "rollback": ["rollback"], "clean": ["clean"],
}.items():
    results[name] = prime(*words)
results["stdin"] = prime("run", "-", input=b"import sys; print('stdin', sys.prefix != sys.base_prefix)")
write("meta.py", "# /// script\\r\\n# dependencies = ['idna']\\r\\n# ///\\r\\nimport idna; print(idna.__name__)\\r\\n")
results["script"] = prime("run", "meta.py")
if os.environ["PROTOPRIMER_VENV_DRIVER"] == "venv_uv":
    results["lock"] = prime("lock")
    results["locked"] = prime("run", "python", "-c", "import six")
    results["vendor"] = prime("vendor", env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})  # the wheels have no uv.exe
    write("empty.toml", "")
    alone = {"UV_CONFIG_FILE": os.path.abspath("empty.toml"), "PIP_FIND_LINKS": "", "PIP_NO_INDEX": ""}
    results["offline"] = prime("--offline", "reset", env=alone)
with open("proto_prime.py", "rb") as file:
    text = file.read().decode()
write("other.py", text.replace('__version__ = "', '__version__ = "9', 1))
results["update"] = prime("update", "--from", "other.py")
results["version"] = prime("--version")
results["init"] = prime("init", "fresh dir")
results["fresh"] = run("cmd", "/d", "/c", "prime.cmd", "run", "python", "-c", "print(2)", cwd="fresh dir",
                       env={"PATH": os.environ["PATH"] + ";" + os.path.dirname(sys.executable)})
results["clean all"] = prime("clean", "--all")
answer(results, os.listdir(".prime/envs"), os.listdir("fresh dir"))
"""


@pytest.mark.parametrize("version, driver", [("3.12", "venv_uv"), ("3.11", "venv_pip")])
def test_W23_commands_of_every_day(version, driver, windows_repo):
    repo = windows_repo(version, driver)
    repo.write("proto_prime.toml", "dependencies = ['six']\r\n[env.docs]\r\ndependencies = ['idna']\r\n")
    results, left, made = repo.inside(EVERY_DAY, timeout=560)
    assert not {name: result for name, result in results.items() if result[0]}
    assert "is ready" in results["boot"][2] and "is current" in results["again"][2]
    assert json.loads(results["info"][1])["current"] is True
    assert re.search(r"3\.\d+\.\d+ +wild ", results["python"][1])
    assert results["used"][1].strip() == results["script"][1].strip() == "idna"
    assert results["stdin"][1].strip() == "stdin True"
    assert results["version"][1].split()[-1].startswith("9")
    assert results["fresh"][1].strip() == "2"
    assert left == [] and {"prime", "prime.cmd", "proto_prime.py", ".gitattributes"} <= set(made)


SERVER = """
process = subprocess.Popen([sys.executable, "prime", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for number, (method, params) in enumerate([
        ("initialize", {"client_name": "tests", "client_protocol_version": "0.1.0"}), ("environment/list", {}),
        ("environment/execute", {"id": "default", "argv": ["python", "-c", "print(7)"]})]):
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
    process.stdin.write(b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    process.stdin.flush()
    time.sleep(1)
data, rest = b"", []
reader = process.stdout
while len(rest) < 3:
    head = reader.readline(), reader.readline()
    rest.append([head[0].decode(), head[1].decode(), json.loads(reader.read(int(head[0].split()[1])).decode())])
process.stdin.close()
answer(rest, process.wait(60), reader.read().decode())
"""


def test_W18_answers_of_the_server_are_the_bytes_that_were_meant(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.prime()
    answers, status, more = repo.inside(SERVER)
    assert (status, more, [each[1] for each in answers]) == (0, "", ["\r\n"] * 3)
    results = {answer["id"]: answer.get("result", answer) for _, _, answer in answers}
    assert results[2]["exit_code"] == 0 and results[2]["stdout"] == "7\r\n", results



# -- switch_env() ----------------------------------------------------------------------------------

WORKSHEET = r"""
import colour, json, multiprocessing, os, shutil, site, subprocess, sys, sysconfig
from proto_prime import PrimeError, switch_env

def state():
    names = "prefix", "exec_prefix", "executable", "base_prefix", "path", "meta_path"
    return [{name: repr(getattr(sys, name)) for name in names}, dict(os.environ), dict(sysconfig.get_config_vars()),
            site.PREFIXES, sys.modules["colour"].__file__]

def seen():
    import colour, more
    python = shutil.which("python")
    code = "import colour, sys; print(sys.prefix, colour.version)"
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        spawned = pool.apply(sysconfig.get_path, ("purelib",))
    return [colour.version, more.version, sys.prefix, sys.executable, os.environ["VIRTUAL_ENV"], python,
            subprocess.check_output([python, "-c", code]).decode().strip(), sysconfig.get_path("purelib"), spawned]

if __name__ == "__main__":
    two = os.path.abspath("two env")
    with switch_env(two):  # loads what it needs of the standard library
        pass
    before, told = state(), []
    for where in (two, two + r"\Scripts\python.exe", two.upper() + r"\scripts\PYTHON.EXE", two.replace("\\", "/")):
        with switch_env(where):
            told.append(seen())
        told[-1] += [state() == before, colour.version, sys.modules["colour"] is colour]
    for where in ("other", "none"):
        try:
            switch_env(where)
        except PrimeError as problem:
            told.append([str(problem), state() == before])
    print(json.dumps(told))
"""
SWITCH = r"""
uv = [r"Z:\windows\uv\uv.exe", "venv", "--no-project", "--python"]
made = [run(sys.executable, "-m", "venv", "--without-pip", "one"), run(*uv, sys.executable, "two env"),
        run(*uv, r"Z:\windows\cp312\python.exe", "other")]
for version, name in ((1, "one"), (2, "two env")):
    write(name + "/Lib/site-packages/colour.py", "version = %d\n" % version)
    write(name + "/Lib/site-packages/path.pth", os.path.abspath("more of " + name) + "\n")
    write("more of %s/more.py" % name, "version = %d\n" % version)
answer(made, run(r"one\Scripts\python.exe", "worksheet.py"))
"""


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_W23_process_goes_on_while_the_environment_under_it_changes(version, windows_repo):
    repo = windows_repo(version, "venv_uv")
    repo.write("worksheet.py", WORKSHEET)
    made, (status, stdout, stderr) = repo.inside(SWITCH)
    assert status == 0 and not stderr, (made, stderr)
    *switches, other, none = json.loads(stdout)
    two = windows_path(repo.path / "two env")
    python, packages = two + "\\Scripts\\python.exe", two + "\\Lib\\site-packages"
    for told in switches:
        assert told[:2] == [2, 2] and told[-3:] == [True, 1, True]
        expected = [two, python, two, python, two + " 2", packages, packages]
        assert [each.replace("/", "\\").lower() for each in told[2:-3]] == [each.lower() for each in expected]
    assert "is cpython 3.12, and this process runs cpython" in other[0] and other[1] is True
    assert "none" in none[0] and none[1] is True


# -- environments that start it ----------------------------------------------------------------------

WILD = r"""
uv = [r"Z:\windows\uv\uv.exe"]
made = [run(r"Z:\windows\cp312\python.exe", "-m", "venv", "--without-pip", "by venv"),
        run(*uv, "venv", "--no-project", "--python", r"Z:\windows\cp311\python.exe", "by uv"),
        run(*uv, "pip", "install", "--python", "by uv", "-e", "client")]
show = "import os, sys; print([sys.prefix, sys.base_prefix, sys.executable, '__PYVENV_LAUNCHER__' in os.environ])"
results = []
for name, program in (("a", r"by venv\Scripts\python.exe"), ("b", r"by uv\Scripts\python.exe"),
                      ("c", r"by uv\Scripts\tool.exe")):
    results.append(run(program, "prime", "-v", "-e", name, "run", "python", "-c", show))
for name, launcher in (("d", r"by uv\Scripts\python.exe"), ("e", r"C:\gone\python.exe")):
    results.append(run(sys.executable, "prime", "-v", "-e", name, "run", "python", "-c", show,
                       env={"__PYVENV_LAUNCHER__": os.path.abspath(launcher)}))
made.append(prime())
own, = [name for name in os.listdir(".prime/envs") if name.startswith("default")]
results.append(run(os.path.join(".prime", "envs", own, r"Scripts\tool.exe"), "boots", "a b"))
answer(made, results)
"""
TOOL = """
import os, subprocess, sys

def main():
    if sys.argv[1] != "boots":
        sys.exit(subprocess.call([sys.executable] + sys.argv[1:]))
    sys.path.insert(0, os.getcwd())
    import proto_prime
    proto_prime.boot("tool:told")

def told():
    print([sys.prefix, sys.argv[1:]])
"""
CLIENT = """
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "tool"
version = "1"
description = "A program"
scripts = {tool = "tool:main"}
"""


def test_W23_programs_of_environments_start_it_and_the_base_of_their_python_is_taken(windows_repo):
    """Each is a launcher of its own, which tells python by __PYVENV_LAUNCHER__ what to be."""
    repo = windows_repo("3.13", "venv_uv")
    (repo.path / "client").mkdir()
    repo.write("client/tool.py", TOOL)
    repo.write("client/pyproject.toml", CLIENT)
    others = ["[env.%s]\nprojects = []\n" % name for name in "abcde"]
    repo.write("proto_prime.toml", "projects = ['client']\n" + "".join(others))
    made, results = repo.inside(WILD)
    assert [status for status, _, _ in made + results] == [0] * len(made + results), (made, results)
    *told, own = [ast.literal_eval(result[1]) for result in results]
    for name, base, (prefix, base_prefix, executable, is_passed_on) in zip("abcde", (312, 311, 311, 311, 313), told):
        assert prefix.startswith(windows_path(repo.path) + "\\.prime\\envs\\%s-" % name) and not is_passed_on
        assert (base_prefix, executable) == ("Z:\\windows\\cp%s" % base, prefix + "\\Scripts\\python.exe")
    assert own[1] == ["boots", "a b"] and "\\envs\\default-" in own[0]


# -- what it is for: a server of MCP, a machine without network ----------------------------------------

FOR_WINDOWS = ["--platform", "win_amd64", "--only-binary=:all:"]
CLIENT_OF_MCP = """
import json, os, sys
import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def talk():
    words = [os.path.abspath("prime"), "run", "python", "-m", "server"]
    start = StdioServerParameters(command=sys.argv[1], args=words, cwd="C:\\\\", env=dict(os.environ))
    with anyio.fail_after(120):
        async with stdio_client(start) as streams, ClientSession(*streams) as session:
            name = (await session.initialize()).server_info.name
            counted = await session.call_tool("count", {"text": "strawberry", "part": "r"})
            where = await session.call_tool("python")
            print(json.dumps([name, counted.structured_content["result"], where.structured_content["result"]]))

anyio.run(talk)
"""


def test_W23_client_of_mcp_talks_to_a_server_that_it_starts(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    for name in ("server.py", "pyproject.toml"):
        shutil.copy(str(EXAMPLES / "mcp_server" / name), str(repo.path))
    house = repo.path.parent / "wheelhouse"
    fetch_wheels(house, [FOR_WINDOWS + ["--python-version", "3.13", "mcp>=2,<3"],  # markers are those of this machine
                         FOR_WINDOWS + ["--python-version", "3.13", "--no-deps", "pywin32", "colorama", "tzdata"]])
    repo.write("client.py", CLIENT_OF_MCP)
    (status, stdout, stderr), (again, said, _) = repo.inside(
        "answer(*[prime('run', 'python', 'client.py', sys.executable) for _ in range(2)])")
    assert status == again == 0, stderr
    name, count, where = json.loads(stdout.splitlines()[-1])
    assert (name, count) == ("example", 3) and "3.13.2 in %s\\.prime\\envs\\" % windows_path(repo.path) in where
    assert said == stdout


VENDOR = r"""
vendored = prime("vendor")
write("empty.toml", "")
alone = {"UV_CONFIG_FILE": os.path.abspath("empty.toml"), "PIP_FIND_LINKS": "", "PIP_NO_INDEX": "",
         "PATH": r"C:\windows\system32;C:\windows", "UV_CACHE_DIR": os.path.abspath("no cache"),
         "PROTOPRIMER_CACHE_DIR": os.path.abspath("no cache of prime")}
answer(vendored, os.listdir("vendor"), prime("--offline", "-v", "reset", env=alone),
       prime("--offline", "run", "python", "-c", "import six; print(six.__name__)", env=alone))
"""


def test_W23_vendored_uv_builds_where_there_is_no_network_and_no_uv(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    fetch_wheels(repo.path.parent / "wheelhouse", [FOR_WINDOWS + ["--no-deps", "uv"]])
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    repo.prime("lock")
    vendored, files, reset, run = repo.inside(VENDOR)
    assert vendored[0] == reset[0] == run[0] == 0, (vendored, reset, run)
    assert any(re.match("uv-.*win_amd64.whl$", name) for name in files), files
    assert re.search(r"no cache of prime\\uv\\uv-[\d.]+\.exe\W+venv", reset[2]) and run[1].strip() == "six", reset


# -- pythons ---------------------------------------------------------------------------------------

REGISTRY = """
import atexit, winreg
HERE, MACHINE = winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE
WIDE, NARROW = winreg.KEY_WOW64_64KEY, winreg.KEY_WOW64_32KEY
for root, view, tag, values in [
        (HERE, 0, "PythonCore\\\\3.12", {"": "Z:\\\\windows\\\\cp312\\\\"}),
        (MACHINE, WIDE, "PythonCore\\\\3.11", {"": "C:\\\\gone",
                                                "ExecutablePath": "Z:\\\\windows\\\\cp311\\\\python.exe"}),
        (MACHINE, NARROW, "Acme\\\\3.8", {"": "Z:\\\\windows\\\\cp38"}),
        (MACHINE, NARROW, "Acme\\\\odd", {"": "Z:\\\\gone"}), (HERE, 0, "PyLauncher\\\\3.8", {"": "Z:\\\\never"}),
        (HERE, 0, "Acme\\\\3.9", {})]:
    path = "Software\\\\Python\\\\%s\\\\InstallPath" % tag
    atexit.register(winreg.DeleteKeyEx, root, path, view)  # the other tests have the same machine
    with winreg.CreateKeyEx(root, path, 0, winreg.KEY_WRITE | view) as key:
        for name, value in values.items():
            winreg.SetValueEx(key, name, 0, winreg.REG_SZ, value)
wanted = [prime("python", version) for version in ("3.8", "3.11", "3.12")]
required = prime("-e", "old", "run", "python", "-c", "import sys; print(sys.version_info[:2])")

def start(path, **env):
    env.setdefault("LOCALAPPDATA", "C:\\\\none")
    system = "C:\\\\windows\\\\system32;C:\\\\windows;"
    code = "import os, sys; print(sys.argv[1:], {'PYTHON', 'DIRS'} & set(os.environ)); sys.exit(7)"
    return run("cmd", "/d", "/c", "prime.cmd", "-v", "run", "python", "-c", code, "a b", "x",
               env=dict(env, PATH=system + path))

with open("prime.cmd", "w", newline="") as file:
    sys.path.insert(0, os.getcwd())
    import proto_prime
    file.write(proto_prime.ENTRY_CMD.replace("\\n", "\\r\\n"))
for name in ("python.exe", "python3.exe"):
    write("WindowsApps/" + name, "")
write("shim/python.bat", "@echo ran>shim.ran\\r\\n@exit /b 1\\r\\n")
write("shim/python3.exe", "no program")
here = os.getcwd()
before = here + "\\\\WindowsApps;" + here + "\\\\shim;"
starts = [start(before + '"Z:\\\\windows\\\\cp38"'), start(before, LOCALAPPDATA=here + "\\\\local"),
          start(before), start("Z:\\\\windows\\\\uv")]
answer(json.loads(prime("python", "--all", "--json")[1]), wanted, required, starts, os.path.exists("shim.ran"))
"""


def test_W11_W23_pythons_of_the_registry_and_the_start_by_cmd(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "[env.old]\nrequired_python_version = '3.8'\n")
    repo.prime()
    programs = repo.path / "local" / "Programs" / "Python"
    programs.mkdir(parents=True)
    (programs / "Python311").symlink_to("/windows/cp311")
    listed, wanted, required, starts, was_shim_run = repo.inside(REGISTRY, timeout=400)
    found = {each["path"]: (each["verdict"], each["version"]) for each in listed["candidates"]
             if each["source"] == "registry"}
    pythons = ["Z:\\windows\\cp%s\\python.exe" % each for each in ("38", "311", "312")]
    assert found.pop("Z:\\gone\\python.exe")[0] == "broken"
    assert found == {path: ("matches", each) for path, each in zip(pythons, ("3.8.10", "3.11.9", "3.12.9"))}
    assert [each[1].strip() for each in wanted] == pythons
    assert required[1].strip() == "(3, 8)", required
    for number, names in ((0, "cp38"), (1, "Python311|cp311"), (3, "cp312|cp311|cp38")):  # uv takes any
        status, stdout, stderr = starts[number]
        assert (status, stdout.strip()) == (7, "['a b', 'x'] set()"), stderr
        assert re.search(r"stage wild: \S.*\\(%s)\\python.exe" % names, stderr), stderr
    assert starts[2][0] == 1 and starts[2][2].count("\n") == 1 and "type: winget install" in starts[2][2], starts[2]
    assert not was_shim_run


# A `py` that is a program, as Windows has it: up to 3.10, from 3.11 on, and the install manager. STYLE says which.
LAUNCHER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

int main(int count, char **words) {
    const char *style = getenv("STYLE"), *first = count > 1 ? words[1] : "";
    int is_manager = !strcmp(style, "manager");
    const char *installs = getenv("PYTHON_MANAGER_AUTOMATIC_INSTALL");
    if (!strcmp(first, "-3")) {
        char line[8192] = "Z:\\windows\\cp312\\python.exe ";
        PROCESS_INFORMATION process;
        STARTUPINFOA startup = {sizeof(startup)};
        DWORD status = 1;
        strcat(line, strstr(GetCommandLineA(), "-3 ") + 3);
        if (CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) {
            WaitForSingleObject(process.hProcess, INFINITE);
            GetExitCodeProcess(process.hProcess, &status);
        }
        return status;
    }
    if (is_manager && !strcmp(first, "list") && count == 3 && !strcmp(words[2], "--format=json")) {
        if (!installs || strcmp(installs, "false")) return 9;
        puts("{\"versions\": [{\"sort-version\": \"3.11.9\", \"executable\": \"Z:\\\\windows\\\\cp311\\\\python.exe\"},"
             "{\"sort-version\": \"3.8.10\", \"executable\": \"Z:\\\\windows\\\\cp38\\\\python.exe\"}]}");
    } else if (!strcmp(style, "old") && !strcmp(first, "-0p")) {
        fputs("Installed Pythons found by py Launcher for Windows", stderr);
        fputs("\n -3.8-64\tZ:\\windows\\cp38\\python.exe", stdout);
        fputs("\n -3.11-64\tZ:\\windows\\cp311\\python.exe", stdout);
        fputs(" *", stderr);
        fputs("\n\n", stderr);
    } else if (!strcmp(style, "new") && !strcmp(first, "-0p")) {
        puts(" -V:Acme/3.8      Z:\\windows\\cp38\\python.exe\n -V:3.11 *        Z:\\windows\\cp311\\python.exe");
    } else {
        fprintf(stderr, "can't open file '%s'\n", first);
        return 2;
    }
    return 0;
}
"""
LISTS = r"""
results, show = [], "import sys; print(sys.argv[1:]); sys.exit(7)"
for style in ("old", "new", "manager"):
    more = {"STYLE": style, "PATH": os.path.abspath("programs") + ";" + os.environ["PATH"]}
    listed = json.loads(prime("python", "--all", "--json", env=more)[1])["candidates"]
    start = run("cmd", "/d", "/c", "prime.cmd", "-v", "run", "python", "-c", show, "a b",
                env=dict(more, LOCALAPPDATA=r"C:\none"))
    results.append([[[each["path"], each["version"]] for each in listed if each["source"] == "py"],
                    prime("python", "3.8", env=more), start])
answer(*results)
"""


def test_W23_pythons_of_the_launcher_in_its_three_styles(windows_repo):
    compiler = shutil.which("x86_64-w64-mingw32-gcc")
    if not compiler:
        pytest.skip("no compiler for Windows programs: apt-get install gcc-mingw-w64-x86-64-posix")
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "")
    repo.write("prime.cmd", proto_prime.ENTRY_CMD.replace("\n", "\r\n"))
    repo.write("py.c", LAUNCHER)
    (repo.path / "programs").mkdir()
    subprocess.run([compiler, "-O1", "-o", "programs/py.exe", "py.c"], check=True, cwd=str(repo.path))
    for listed, wanted, start in repo.inside(LISTS):
        assert listed == [["Z:\\windows\\cp311\\python.exe", "3.11.9"], ["Z:\\windows\\cp38\\python.exe", "3.8.10"]]
        assert (wanted[0], wanted[1].strip()) == (0, "Z:\\windows\\cp38\\python.exe"), wanted
        assert (start[0], start[1].strip()) == (7, "['a b']") and "stage wild: Z:\\windows\\cp312\\" in start[2], start


# -- consoles and paths ----------------------------------------------------------------------------

CATCHES = "import time\nprint('began', flush=True)\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n" \
          "    print('caught', flush=True)\n    time.sleep(1)\n    raise SystemExit(5)\n"


def test_W18_W23_console_shows_colours_and_passes_keys_on(windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    repo.write("catches.py", CATCHES)

    def console(*words, **options):
        return repo.machine.console("3.13", ("prime",) + words, repo.path, repo.env, **options)

    status, shown = console(keys=[(b"installing", b"\x03")])
    assert (status, b"interrupted" in shown) == (130, True), shown
    status, shown = console()
    assert status == 0 and b"is ready" in shown.replace(b"\r", b"").replace(b"\n", b""), shown
    assert b"\r\x1b[Kprime: installing with uv" in shown, shown  # a live line
    status, shown = console("-e", "nosuch")
    assert status == 2 and b"\x1b[31merror:\x1b[0m no environment" in shown, shown
    status, shown = console("run", "python", "catches.py", keys=[(b"began", b"\x03")])
    assert status == 5 and b"caught" in shown, shown
    status, shown = console("shell", keys=[(b"leaves it", b"echo [%VIRTUAL_ENV%]\r"), (b"default-", b"exit 3\r")])
    assert status == 3 and b"a repo\\.prime\\envs\\default-" in shown, shown


BREAK = """
import ctypes

def begin(*words, driver="venv_uv"):
    return subprocess.Popen([sys.executable, "prime", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
                            env=dict(os.environ, PROTOPRIMER_VENV_DRIVER=driver))

def end_after(process, mark):
    seen = ""
    while mark not in seen:
        seen = process.stdout.readline().decode("utf-8", "replace") or mark
    ctypes.windll.kernel32.GenerateConsoleCtrlEvent(0, process.pid)
    said = process.communicate(timeout=60)[0].decode("utf-8", "replace")
    return [process.returncode, said]

builds = [end_after(begin(driver=driver), step)
          for driver, step in (("venv_pip", "creating the"), ("venv_uv", "installing"))]
complete = [name for name in os.listdir(".prime/envs") if os.path.exists(".prime/envs/%s/proto-prime.json" % name)]
booted, left = prime(), [os.listdir(".prime/envs"), os.listdir(".prime/building")]
commands = [end_after(begin("run", "python", "breaks.py", *words), "began") for words in (["catches"], [])]
with open("answer.json", "w") as file:
    json.dump([builds, complete, booted, left, commands], file)
"""
BREAKS = "import signal, sys, time\nif sys.argv[1:]:\n" \
         "    signal.signal(signal.SIGBREAK, lambda *_: sys.exit('caught'))\n" \
         "print('began', flush=True)\nfor _ in range(300):\n    time.sleep(0.2)\n"


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_W23_ctrl_break_ends_a_build_and_reaches_what_run_started(version, windows_repo):
    """A fake edge: Wine asks no handlers of Ctrl-Break, so that Ctrl-C stands in for it."""
    repo = windows_repo(version, "venv_uv")
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    repo.write("breaks.py", BREAKS)
    repo.write("inside.py", INSIDE + BREAK)
    with repo.machine.ctrl_break():
        status, shown = repo.machine.console(version, ["inside.py"], repo.path, repo.env)
    assert status == 0, shown
    builds, complete, booted, left, (caught, died) = json.loads((repo.path / "answer.json").read_text())
    assert [status for status, _ in builds] == [149, 149] and complete == [], builds
    assert all("by signal 21 (SIGBREAK); nothing is half-done" in said for _, said in builds), builds
    assert booted[0] == 0 and "it was not built yet" in booted[2] and list(map(len, left)) == [1, 0], (booted, left)
    assert (caught, died) == ([1, "caught\r\n"], [0xC000013A, ""])


ODD = """
results = []
for name in sys.argv[1:]:
    for file in ("prime", "proto_prime.py", "proto_prime.toml"):
        with open(file, "rb") as source:
            write(os.path.join("odd", name, file), source.read().decode())
    there = os.path.join(os.getcwd(), "odd", name)
    code = "import os, six, sys; print(ascii(os.path.dirname(os.path.dirname(os.path.dirname(sys.prefix)))))"
    for page in ("437", "1252", "65001") if name == sys.argv[1] else ("437",):
        results.append([run("cmd", "/d", "/c", "chcp %s>nul & python prime run python -c pass" % page, cwd=there),
                        run(sys.executable, os.path.join(there, "prime"), "run", "python", "-c", code), ascii(there)])
answer(*results)
"""


@pytest.mark.parametrize("driver", ["venv_uv", "venv_pip"])
def test_W23_repo_whose_path_has_odd_characters(driver, windows_repo):
    repo = windows_repo("3.13", driver)
    repo.env["PATH"] += r";Z:\windows\cp313"
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    names = ["gr\xfc\xdfe \u4f60", "a & b (1) ^ 100% !x! 'q'"] + ["L" * 60] * (driver == "venv_uv")
    for by_name, by_path, there in repo.inside(ODD, *names, timeout=500):
        assert by_name[0] == 0 and by_path[:2] == [0, by_path[1]] and by_path[1].strip() == there, (by_name, by_path)


LONG = r"""
more = len(os.getcwd()) + 1
there = os.path.join(os.getcwd(), "d" * (int(sys.argv[1]) - more - 61), "e" * 60)
for file in ("prime", "proto_prime.py", "proto_prime.toml"):
    with open(file, "rb") as source:
        write(os.path.join(there, file), source.read().decode())
code = ("import os, six, sys; print(max(len(os.path.join(at, name)) for at, _, names in os.walk(sys.prefix)"
        " for name in names))")
answer(*[run(sys.executable, os.path.join(there, "prime"), *words)
         for words in ([], ["run", "python", "-c", code], ["reset"], ["clean", "--all"])])
"""


@pytest.mark.parametrize("length", [200, 300])
def test_W23_repo_whose_packages_or_itself_are_beyond_260_characters(length, windows_repo):
    repo = windows_repo("3.13", "venv_uv")
    repo.write("proto_prime.toml", "dependencies = ['six']\n")
    boot, longest, reset, clean = repo.inside(LONG, str(length))
    if length == 300:
        assert boot[0] == 1 and boot[2].startswith("prime: error: ") and "Traceback" not in boot[2], boot
        pytest.skip("a repo beyond 260 characters: Wine's realpath says ERROR_MORE_DATA there, Windows' does not")
    assert boot[0] == longest[0] == reset[0] == clean[0] == 0, (boot, longest, reset, clean)
    assert int(longest[1]) > 260


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
        ["show"] + MARKS, ["show"] + MARKS, ["seven"], ["run", ".\\env.bat"])
    for result in (first, again):
        number, line = result.stdout.splitlines()
        assert number == "1" and json.loads(line)[:2] == [["a  b", ""] + MARKS, odd], result.stderr
    assert seven.status == 7
    words, value, prefix = json.loads(called.stdout.splitlines()[-1])
    assert (words, value) == ([], odd) and "\\envs\\default-" in prefix, called.stderr
    assert "FILE is left out: cmd cannot set it" in called.stderr
