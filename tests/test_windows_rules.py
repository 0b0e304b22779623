"""What Windows decides otherwise, one rule at a time, under the system that runs the tests.

The edges are fakes: `windows` plays the flag, the separators and the paths of Windows to a function of the file. The
same on a real Windows python: test_windows.py.
"""

import json
import ntpath
import os
import re
import signal
import subprocess
import sys
import types
import zipfile

import pytest
from conftest import python, some_python

import proto_prime


@pytest.fixture
def windows(monkeypatch):
    """A fake edge: this process has the flag of Windows, its separators and its way with paths."""
    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    fake = types.SimpleNamespace(**{name: getattr(os, name) for name in dir(os) if not name.startswith("__")})
    fake.path, fake.sep, fake.pathsep = ntpath, "\\", ";"
    monkeypatch.setattr(proto_prime, "os", fake)


# -- W1: pip ---------------------------------------------------------------------------------------


def as_on_windows(wheel, target):
    """A copy of a pip wheel that refuses to replace itself on every system, as it does on Windows."""
    with zipfile.ZipFile(str(wheel)) as source, zipfile.ZipFile(str(target), "w") as copy:
        for name in source.namelist():
            text = source.read(name)
            if name == "pip/_internal/utils/misc.py":
                text, count = re.subn(br"\bWINDOWS and\b", b"True and", text)
                assert count == 1
            copy.writestr(name, text)
    return target


@pytest.mark.parametrize("version, is_offline", [("3.6", False), ("3.9", False), ("3.13", False), ("3.13", True)])
def test_W1_pip_installs_pip_though_it_may_not_replace_itself(version, is_offline, tmp_path, monkeypatch):
    bundle = python(version).parent.parent / "lib" / ("python" + version) / "ensurepip" / "_bundled"
    wheel = next(bundle.glob("pip-*.whl"))
    program = proto_prime.pip_program(str(as_on_windows(wheel, tmp_path / wheel.name)))
    words = ["install", "--no-index", "--no-deps", "--no-compile", "--find-links", str(bundle), "--target"]
    words += [str(tmp_path / "target"), "pip"]
    monkeypatch.setenv("PROTOPRIMER_OFFLINE", "1" if is_offline else "")
    environ = dict(proto_prime.pip_environ(()), PIP_REQUIRE_VIRTUALENV="0")
    proto_prime.run_pip(str(python(version)), program, words, "installing", environ, os.sep, str(tmp_path))
    assert (tmp_path / "target" / "pip" / "__main__.py").exists()


# -- W3, W13: paths in the formats of others -------------------------------------------------------


@pytest.mark.parametrize("path, expected", [
    ("C:\\repo\\pkgs\\six", "./pkgs/six"),
    ("C:\\repo", "./."),
    ("C:\\elsewhere\\new", "C:/elsewhere/new"),
    ("D:\\other", "D:/other"),
    ("\\\\host\\share\\x", "//host/share/x"),
])
def test_W3_path_for_pip_and_uv_has_slashes(path, expected, windows):
    assert proto_prime.path_from("C:\\repo", path) == expected


def test_W3_line_of_a_requirements_file_has_no_backslash(windows):
    wanted = proto_prime.Requirements.__new__(proto_prime.Requirements)
    wanted.words = ["-r", "C:\\repo\\requirements.txt", "-e", "C:\\new\\tool", "six", "--group", "C:\\p.toml:dev"]
    lines, arguments = wanted.lines()
    assert lines == ["-r C:/repo/requirements.txt", "-e C:/new/tool", "six"]
    assert arguments == ["--group", "C:\\p.toml:dev"]  # no line, but an argument


def test_W3_toml_escapes_a_path():
    text = proto_prime.as_toml(["C:\\new\\tools"])
    assert proto_prime.parse_toml("a = " + text) == {"a": ["C:\\new\\tools"]}


def test_W3_file_url_in_a_requirements_file_is_a_path_with_its_drive(windows, tmp_path, monkeypatch):
    monkeypatch.setattr(proto_prime, "load_text", lambda *_: "six @ file:///C:/wheels/six.whl\n")
    monkeypatch.setattr(ntpath, "isfile", lambda path: True)
    assert proto_prime.requirement_lines("requirements.txt") == ["six @ C:/wheels/six.whl"]


@pytest.mark.parametrize("path, expected", [
    ("D:\\out", "D:/out"), ("C:\\repo\\out", "out"), ("C:\\out", "../out"), ("\\\\host\\share\\x", "//host/share/x"),
])
def test_W13_path_on_another_drive_stays_whole(path, expected, windows):
    assert proto_prime.path_below(path, "C:\\repo") == expected


@pytest.mark.parametrize("path, expected", [("D:\\lib", "D:\\lib"), ("C:\\repo\\lib\\one", "lib\\one")])
def test_W13_info_names_a_project_on_another_drive(path, expected, windows):
    class Environment(dict):
        root = "C:\\repo"

    project = {"path": path, "files": [], "extras": [], "groups": []}
    environment = Environment(lock_file="", projects=[project], requirements_files=[], dependencies=[])
    assert proto_prime.packages_from(environment) == [expected]


# -- W4, W15: programs that run --------------------------------------------------------------------


@pytest.fixture
def running(monkeypatch):
    """A fake edge: the files, a list of str, that Windows lets nobody write to, for they run."""
    paths = []

    def refuse(path, mode="r", *words, **options):
        if "+" in mode and str(path) in paths:
            raise PermissionError(13, "Permission denied", path)
        return open(path, mode, *words, **options)

    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setattr(proto_prime, "open", refuse, raising=False)
    return paths


def make_tree(top, *names):
    """Make a directory with these files. Returns their paths."""
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("")
    return [str(top / name) for name in names]


@pytest.mark.parametrize("program", ["Scripts/python.exe", "Scripts/tool.EXE", "Lib/site-packages/fast.cp313.pyd"])
def test_W4_generation_of_which_a_program_runs_stays_whole(program, tmp_path, running):
    names = ["proto-prime.json", "Scripts/python.exe", "Scripts/pythonw.exe", "Lib/site-packages/six.py", program]
    used, spare = tmp_path / "envs" / "default-000000000001", tmp_path / "envs" / "default-000000000002"
    whole = make_tree(used, *names)
    make_tree(spare, *names)
    running.append(str(used / program))
    assert proto_prime.discard([str(used), str(spare)]) == [str(spare)]
    assert all(map(os.path.exists, whole)) and not spare.exists()
    running.clear()
    assert proto_prime.discard([str(used)]) == [str(used)]


def test_W4_read_only_program_is_removed_and_what_is_half_removed_is_not_complete(tmp_path, running, monkeypatch):
    tree = tmp_path / "envs" / "default-000000000001"
    make_tree(tree, "proto-prime.json", "Scripts/python.exe", "Lib/six.py")
    (tree / "Scripts" / "python.exe").chmod(0o400)

    def refuse(path):
        raise PermissionError(13, "Access is denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(proto_prime, "remove_tree", refuse)  # such as a program that began in between
        assert proto_prime.discard([str(tree)]) == []
    assert not proto_prime.is_complete(str(tree))
    assert proto_prime.discard([str(tree)]) == [str(tree)]


@pytest.mark.parametrize("needs_link", [True, False])
def test_W15_foreign_environment_that_runs_is_told_before_anything_is_built(needs_link, tmp_path, running, monkeypatch):
    link = proto_prime.Link(str(tmp_path), str(tmp_path / ".venv"))
    program, _ = make_tree(tmp_path / ".venv", "Scripts/python.exe", "pyvenv.cfg")
    built = []
    environment = types.SimpleNamespace(root=str(tmp_path))
    monkeypatch.setattr(proto_prime, "link_of", lambda _: link)
    monkeypatch.setattr(proto_prime, "have_generation", lambda *_: built.append(1) or sys.exit("built"))
    running.append(program)
    with pytest.raises(proto_prime.PrimeError if needs_link else SystemExit) as caught:
        proto_prime.boot_environment(environment, "", needs_link=needs_link)
    assert bool(built) != needs_link
    if needs_link:
        assert program in str(caught.value) and "end that" in caught.value.hint
    running.clear()
    with pytest.raises(SystemExit):
        proto_prime.boot_environment(environment, "")


# -- W6: one directory, one place ------------------------------------------------------------------


@pytest.mark.parametrize("path, expected", [
    ("\\\\?\\C:\\repo", "C:\\repo"), ("\\\\?\\UNC\\host\\share\\repo", "\\\\host\\share\\repo"),
    ("\\\\host\\share\\repo", "\\\\host\\share\\repo"), ("C:\\repo", "C:\\repo"),
    ("\\\\?\\Volume{0a}\\repo", "\\\\?\\Volume{0a}\\repo")])
@pytest.mark.parametrize("named", ["variable", "script"])
def test_W6_root_has_no_prefix_that_venv_and_uv_do_not_take(path, expected, named, windows, monkeypatch):
    environ = {"PROTOPRIMER_ROOT": path} if named == "variable" else {}
    proto_prime.os.environ = environ
    monkeypatch.setattr(proto_prime, "script_path", lambda: path + "\\prime")
    monkeypatch.setattr(ntpath, "isdir", lambda each: True)
    monkeypatch.setattr(ntpath, "exists", lambda each: each.startswith(expected) or each.startswith(path))
    assert proto_prime.find_root() == expected


# -- W16: programs ---------------------------------------------------------------------------------

TOOLS = ["bin/tool.bat", "bin/tool", "bin/both.exe", "bin/both.cmd", "bin/script.py", "bin/run.js", "bin/x.y.exe"]


@pytest.mark.parametrize("endings, name, expected", [
    (".EXE;.BAT;.CMD", "tool", "tool.bat"),  # `tool` may be for sh
    (".EXE;.BAT;.CMD", "both", "both.exe"),
    (".BAT;.CMD;.EXE", "both", "both.cmd"),
    (".EXE", "both.exe", "both.exe"),
    (".EXE", "x.y", "x.y.exe"),
    ("", "tool", "tool.bat"),
    (None, "both", "both.exe"),
    (".EXE", "script", ""),
    (".EXE;.PY", "script", "script.py"),
    (".EXE;;.JS", "run", "run.js"),
])
@pytest.mark.parametrize("is_path", [False, True])
def test_W16_program_is_found_by_the_endings_of_PATHEXT(endings, name, expected, is_path, tmp_path, monkeypatch):
    make_tree(tmp_path, *TOOLS)
    for path in TOOLS:
        (tmp_path / path).chmod(0o755)
    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setenv("PATHEXT", endings or "")
    if endings is None:
        monkeypatch.delenv("PATHEXT")
    monkeypatch.chdir(tmp_path)
    if is_path:
        assert proto_prime.find_program("./bin/" + name) == "./bin/" + (expected or name)
    else:
        found = proto_prime.find_program(name, str(tmp_path / "bin"))
        assert found == (str(tmp_path / "bin" / expected) if expected else "")


@pytest.mark.parametrize("name, is_python", [("TOOL.PY", True), ("tool.py", True), ("script", True), ("tool", False)])
def test_W16_python_script_is_run_by_the_python_of_the_environment(name, is_python, tmp_path, monkeypatch):
    make_tree(tmp_path, "bin/script.py", "bin/tool.bat", "TOOL.PY", "tool.py")
    (tmp_path / "bin" / "script.py").chmod(0o755)
    (tmp_path / "bin" / "tool.bat").chmod(0o755)
    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setenv("PATHEXT", ".BAT;.PY")
    monkeypatch.chdir(tmp_path)
    argv = proto_prime.command_argv([name, "x"], str(tmp_path / "env"), str(tmp_path / "bin"))
    assert (argv[0] == proto_prime.environment_python(str(tmp_path / "env"))) == is_python and argv[-1] == "x"


def test_W16_what_windows_does_not_start_itself_is_told():
    problem = OSError(8, "%1 is not a valid Win32 application")
    problem.winerror = 193
    error = proto_prime.cannot_run("tool.js", problem)
    assert (str(error), error.status) == ("cannot run tool.js: it is no program of Windows", 126)
    assert "prime run node tool.js" in error.hint


# -- W5: line ends ---------------------------------------------------------------------------------

LOCKED = {
    "requirements.txt": ("six\n-r more/more.txt\n", 'dependencies = []\n'),
    "setup.py": ("from setuptools import setup\nsetup(install_requires=['six'])\n", 'projects = ["."]\n'),
    "constraints.txt": ("six<2\n# more\n", 'dependencies = ["six"]\nconstraints_file = "constraints.txt"\n'),
}


@pytest.mark.parametrize("name", LOCKED)
def test_W5_lock_holds_for_a_checkout_with_other_line_ends(name, repo):
    text, config = LOCKED[name]
    if name == "setup.py":
        repo.write("pyproject.toml", '[project]\nname = "client"\nversion = "1"\ndynamic = ["dependencies"]\n')
    (repo.path / "more").mkdir()
    for path, content in ((name, text), ("more/more.txt", "idna\n"), ("proto_prime.toml", config)):
        (repo.path / path).write_bytes(content.encode())
    hashes = []
    for end in (b"\n", b"\r\n", b"\r\n"):
        for path in (name, "more/more.txt", "proto_prime.toml"):
            data = (repo.path / path).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", end)
            (repo.path / path).write_bytes(data)
        environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
        hashes.append(proto_prime.lock_inputs(environment))
    assert len(set(hashes)) == 1
    (repo.path / name).write_bytes((text + "# another\n").encode())
    environment = proto_prime.load_environment(proto_prime.load_config(str(repo.path)))
    assert proto_prime.lock_inputs(environment) != hashes[0]


# -- W7: removing ----------------------------------------------------------------------------------

READ_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[1])
import proto_prime
tree = sys.argv[2]
os.makedirs(tree + "/objects/ab")
open(tree + "/objects/ab/cd", "w").close()
os.symlink(sys.argv[1], tree + "/objects/link")
os.chmod(tree + "/objects/ab", 0o555)
os.chmod(tree + "/objects", 0o555)
before = os.stat(sys.argv[1]).st_mode
proto_prime.remove(tree)
print(os.path.exists(tree), before == os.stat(sys.argv[1]).st_mode)
"""


def test_W7_directory_that_cannot_be_written_is_removed(other_user):
    top = os.path.dirname(os.path.abspath(proto_prime.__file__))
    place = other_user.place / "file"
    place.mkdir()
    (place / "proto_prime.py").write_bytes(open(os.path.join(top, "proto_prime.py"), "rb").read())
    work = other_user.place / "work"
    work.mkdir()
    other_user.give(place, work)
    done = other_user([other_user.python, "-B", "-c", READ_ONLY, place, work / "tree"])
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_W7_read_only_file_is_made_writable_before_it_is_removed_on_windows(tmp_path, monkeypatch):
    """A fake edge: os.remove refuses what has no permission to write, as Windows does."""
    real = os.remove

    def refuse(path, **options):
        if not options and not os.stat(path).st_mode & 0o200:
            raise PermissionError(13, "Access is denied", path)
        real(path, **options)

    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setattr(os, "remove", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    tree = tmp_path / "tree"
    tree.mkdir()
    for path in (tree / "object", tmp_path / "file", tmp_path / "stamp"):
        path.write_text("text")
        path.chmod(0o400)
    monkeypatch.setattr("shutil.rmtree", plain_rmtree)
    proto_prime.remove(str(tree))
    proto_prime.remove(str(tmp_path / "file"))
    proto_prime.remove_file(str(tmp_path / "stamp"))
    assert os.listdir(str(tmp_path)) == []


def plain_rmtree(path, ignore_errors=False):
    """shutil.rmtree by names, as it works on Windows."""
    try:
        for name in os.listdir(path):
            os.remove(os.path.join(path, name))
        os.rmdir(path)
    except OSError:
        if not ignore_errors:
            raise


def test_W7_clean_up_that_fails_hides_no_error_and_is_made_up_for(plain, monkeypatch):
    """A fake edge: nothing of the build that failed can be removed."""
    plain.config("post_boot = [['python', '-c', 'import sys; sys.exit(\"my own words\")']]\n")
    code = "import os, sys, proto_prime\nreal = proto_prime.remove\ndef refuse(path):\n" \
           "    if os.path.isdir(path): raise PermissionError(13, 'Access is denied', path)\n    real(path)\n" \
           "refuse.__name__ = 'remove'\nproto_prime.remove = refuse\nsys.exit(proto_prime.main(['-v']))"
    done = subprocess.run([str(some_python()), "-c", code], cwd=str(plain.path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True,
                          env=dict(plain.env, PYTHONPATH=str(plain.path), PROTOPRIMER_ROOT=str(plain.path)))
    assert done.returncode == 1
    error = done.stderr[done.stderr.index("prime: error:"):]
    assert "my own words" in error and "Access is denied" not in error, done.stderr
    assert re.search("prime: cannot remove .*: Access is denied", done.stderr)  # with -v
    left, = (plain.path / ".prime" / "envs").iterdir()
    plain.config("")
    assert "it was not built yet" in plain.prime().stderr
    assert not left.exists() and os.listdir(str(plain.path / ".prime" / "building")) == []


@pytest.mark.parametrize("system, times, expected", [("nt", 3, b"new"), ("posix", 1, b"old"), ("nt", 9999, b"old")])
def test_W23_file_that_another_process_reads_is_replaced_as_soon_as_it_can_be(
        system, times, expected, tmp_path, monkeypatch):
    """A fake edge: os.replace refuses so many times, as Windows does while the file is open elsewhere."""
    refusals, real = [0] * times, os.replace

    def replace(source, target):
        if refusals:
            refusals.pop()
            raise PermissionError(13, "Access is denied", source)
        real(source, target)

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(proto_prime, "WINDOWS", system == "nt")
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("time.sleep", lambda _: None)
    if expected == b"old":
        with pytest.raises(PermissionError) as caught:
            proto_prime.write_atomic(str(tmp_path / "file"), b"new")
        assert caught.value.filename == str(tmp_path / "file")
    else:
        proto_prime.write_atomic(str(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == expected and os.listdir(str(tmp_path)) == ["file"]


# -- W8: statuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 255, 0x7FFFFFFF, 0xC0000005, 0xC000013A, 0xFFFFFFFF])
def test_W8_status_fits_into_the_int_of_C(status):
    code = proto_prime.exit_code(status)
    assert -2 ** 31 <= code < 2 ** 31 and code % 2 ** 32 == status


def test_W8_crash_is_told_in_hex():
    assert str(proto_prime.Child(0xC0000005)) == "failed: exit status 0xC0000005"
    assert str(proto_prime.Child(255)) == "failed: exit status 255"


# -- W9, W10, W21: processes -----------------------------------------------------------------------


class System:
    """A fake edge: what Windows does when it is asked to start a process and to make a job object."""

    def __init__(self, monkeypatch):
        self.calls, self.status, self.refuses, self.version = [], 0, None, 10
        monkeypatch.setattr(proto_prime.own_job, "_job", None)
        monkeypatch.setitem(sys.modules, "_winapi", types.SimpleNamespace(
            CreateProcess=self.create, WaitForSingleObject=lambda *_: self.calls.append("wait"), INFINITE=-1,
            GetExitCodeProcess=lambda _: self.status))
        monkeypatch.setattr("_signal.SIGBREAK", signal.SIGHUP, raising=False)
        monkeypatch.setattr(proto_prime, "system_call", self.call)
        monkeypatch.setattr(subprocess, "Popen", None)

    def create(self, program, line, *options):
        if self.refuses:
            raise self.refuses
        self.calls.append(("create", program, line, options[3]))
        return 7, 0, 0, 0

    def call(self, library, name, *args):
        self.calls.append((name,) + args)
        return {"GetVersion": self.version, "OpenProcess": 9}.get(name, 5)


@pytest.fixture
def system(windows, monkeypatch):
    fake = System(monkeypatch)
    proto_prime.os._exit = sys.exit
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    yield fake
    for number, handler in zip((signal.SIGINT, signal.SIGHUP), before):
        signal.signal(number, handler)


def test_W10_program_is_in_its_job_before_it_begins_and_W9_what_it_starts_is_not(system):
    system.status = 0xC0000005
    with pytest.raises(SystemExit) as left:
        proto_prime.replace_process(["tool", "a b"], {}, "C:\\bin\\tool.exe")
    names = [call if isinstance(call, str) else call[0] for call in system.calls]
    assert names == ["GetVersion", "CreateJobObjectW", "OpenProcess", "AssignProcessToJobObject", "CloseHandle",
                     "SetInformationJobObject", "create", "CreateJobObjectW", "SetInformationJobObject",
                     "AssignProcessToJobObject", "NtResumeProcess", "SetInformationJobObject", "wait"]
    assert system.calls[6][1:] == ("C:\\bin\\tool.exe", 'tool "a b"', 4)  # suspended
    # It is born in a job that ends with its handle; then in one that has both kinds of breakaway, too.
    assert [system.calls[number][3][16:20] for number in (5, 8, 11)] == [
        b"\x00\x20\x00\x00", b"\x00\x38\x00\x00", b"\x00\x18\x00\x00"]
    assert [system.calls[number][1:] for number in (3, 9)] == [(5, 9), (5, 7)]
    assert left.value.code == 0xC0000005 - (1 << 32)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # the program gets it from the console


def test_W10_program_that_cannot_be_started_leaves_signals_as_they_were(system):
    system.refuses = PermissionError(13, "Access is denied")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(PermissionError):
        proto_prime.replace_process(["tool"], {}, "C:\\tool.exe")
    assert signal.getsignal(signal.SIGINT) == before
    assert system.calls[-1][3][16:20] == b"\x00\x18\x00\x00"  # what else is started is held by nothing


def test_W10_process_of_windows_7_is_in_one_job_alone(system):
    system.version = 0x0106  # 6.1
    with pytest.raises(SystemExit):
        proto_prime.replace_process(["tool"], {}, "C:\\tool.exe")
    assert [call[1:] for call in system.calls if call[0] == "AssignProcessToJobObject"] == [(5, 7)]


@pytest.mark.parametrize("argv", [
    [""], [" "], ["a b", "a\tb"], ['"'], ['\\"'], ["a\\"], ["a b\\"], ["a b\\\\"], ['a\\\\"b c'], ["%PATH%", "^", "&"],
    ["C:\\a b\\c.exe", "--x=C:\\a b\\"], ["gr\xfc\xdfe", "\u4f60"]], ids=json.dumps)
def test_W21_command_line_is_that_of_subprocess(argv):
    assert proto_prime.command_line(argv) == subprocess.list2cmdline(argv)


# -- W11: the start by cmd -------------------------------------------------------------------------


def test_W11_prime_cmd_is_short_and_gives_arguments_to_no_second_reading():
    lines = proto_prime.ENTRY_CMD.splitlines()
    assert len(lines) <= 40 and proto_prime.ENTRY_CMD.isascii()
    commands = [line for line in lines if "%*" in line]
    assert [line.split()[0] for line in commands] == ["endlocal", "%*", "set"]  # `call` would read them twice
    assert 'set "PYTHONHOME="' in commands[0] and commands[0].endswith('%python% "%~dp0prime" %*')


# -- W12: batch files ------------------------------------------------------------------------------

# A word, and how it stands on the command line. As Rust's standard library has them (its tests of CVE-2024-24576).
BATCH_WORDS = [
    ("plain", "plain"),
    ("", '""'),
    ("two words", '"two words"'),
    ("a\tb", '"a\tb"'),
    ("-o:C:\\dir\\file", "-o:C:\\dir\\file"),
    ("C:\\dir\\", '"C:\\dir\\\\"'),
    ('"', '""""'),
    ('say "hi"', '"say ""hi"""'),
    ('back\\"slash', '"back\\\\""slash"'),
    ('" & echo HACKED & "', '""" & echo HACKED & """'),
    ('\\" & echo HACKED & \\"', '"\\\\"" & echo HACKED & \\\\"""'),
    ("&calc", '"&calc"'),
    ("a|b", '"a|b"'),
    ("a>b", '"a>b"'),
    ("a^b", '"a^b"'),
    ("(a)", '"(a)"'),
    ("a;b,c=d", '"a;b,c=d"'),
    ("!PATH!", '"!PATH!"'),  # /v:OFF
    ("%PATHEXT%", '"%%cd:~,%PATHEXT%%cd:~,%"'),
    ("100%", '"100%%cd:~,%"'),
    ("`'~{}[]", '"`\'~{}[]"'),
    ("gr\xfc\xdfe", "gr\xfc\xdfe"),
    ("\x85", '"\x85"'),
]


@pytest.mark.parametrize("word, expected", BATCH_WORDS, ids=[json.dumps(word) for word, _ in BATCH_WORDS])
def test_W12_word_for_a_batch_file_is_quoted_as_cmd_reads_it(word, expected):
    assert proto_prime.quoted_for_cmd(word) == expected
    outside = re.sub(r'"[^"]*"', "", expected)  # to cmd each quote begins or ends what is inside
    assert '"' not in outside and not set(outside) & set("&|<>^()!%;,= \t"), outside


@pytest.mark.parametrize("program, is_batch", [
    ("show.bat", True), ("SHOW.CMD", True), ("show.bat. .", True), ("show.bat ", True), ("C:\\a.bat\\tool.exe", False),
    ("tool.exe", False), ("batch", False)])
def test_W12_batch_file_is_known_by_its_name_as_windows_reads_it(program, is_batch, windows):
    words, executable = proto_prime.windows_start([program, "&calc"])
    assert isinstance(words, str) == is_batch
    assert (executable or "").endswith("System32\\cmd.exe") == is_batch
    if is_batch:
        assert words == 'cmd.exe /e:ON /v:OFF /d /c ""%s" "&calc""' % program


@pytest.mark.parametrize("word", ["a\nb", "a\rb", "\r", "a\0b"])
def test_W12_line_end_is_refused(word, windows):
    with pytest.raises(proto_prime.PrimeError) as caught:
        proto_prime.windows_start([".\\show.bat", word])
    assert "show.bat is a batch file" in str(caught.value) and caught.value.status == 2


@pytest.mark.parametrize("start", ["replace_process", "start_child"])
def test_W12_both_ways_to_start_a_program_quote_for_cmd(start, system, monkeypatch):
    """A fake edge: the call that starts a process."""
    calls = []

    def popen(words, executable=None, **options):
        calls.append((words, executable))
        raise OSError("not started")

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr("_winapi.CreateProcess", lambda program, line, *_: popen(line, program))
    with pytest.raises(OSError, match="not started"):
        if start == "start_child":
            proto_prime.start_child([".\\show.bat", '" & calc'], {}, "C:\\")
        else:
            proto_prime.replace_process(["show", '" & calc'], {}, ".\\show.bat")
    assert calls[0][0].endswith(' ""\\show.bat" """ & calc""'.replace('""\\', '"".\\')) and "cmd.exe" in calls[0][1]


# -- W14: names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["con", "AUX", "nul", "com1", "LPT9", "aux.txt", "a:b", "a*b", "a?b", "a|b", "a<b",
                                  'a"b', "a.", "a ", "..", "a/b", "a\\b", "x" * 300])
def test_W14_name_that_is_no_file_name_everywhere_is_never_looked_for(name):
    """As files they are devices, other files or streams of other files; here they would be files like any."""
    assert not proto_prime.why_no_file_name(proto_prime.safe_name(name))
    assert not {name, "default"} & {proto_prime.safe_name(name)}


def test_W14_environment_named_like_a_device_is_unknown_and_nothing_is_opened(booted):
    for name in ("aux", "a:b", "a/b"):
        stamps = sorted((booted.path / ".prime" / "stamp").iterdir())
        result = booted.prime("-e", name, "run", "true", status=2)
        assert 'no environment "%s" is configured' % name in result.stderr
        assert sorted((booted.path / ".prime" / "stamp").iterdir()) == stamps
    booted.config('default_env = "nul"\n')
    assert 'no environment "nul"' in booted.prime(status=2).stderr
    booted.config("[env.com1]\n")
    assert "it is a device of Windows" in booted.prime(status=2).stderr


# -- W17: variables --------------------------------------------------------------------------------


def test_W17_variable_of_another_case_is_the_same_one(windows, monkeypatch):
    monkeypatch.setattr(proto_prime, "clean_environ", lambda: {"PATH": "C:\\bin", "FOO": "old"})
    environ = proto_prime.activated("C:\\env", {"Path": "D:\\mine", "Foo": "new"})
    assert environ == {"PATH": "C:\\env\\%s;D:\\mine" % proto_prime.BIN, "FOO": "new", "VIRTUAL_ENV": "C:\\env"}


def test_W17_elsewhere_they_are_two(booted):
    booted.config('[env_vars]\nFoo = "1"\nFOO = "2"\n')
    assert booted.inside("import os; print(os.environ['Foo'], os.environ['FOO'])") == "1 2"


# -- W18: consoles and pipes -----------------------------------------------------------------------


@pytest.mark.parametrize("errno, expected", [(22, BrokenPipeError), (28, OSError)])
def test_W18_pipe_that_nobody_reads_is_EINVAL(errno, expected, monkeypatch):
    """A fake edge: the stream."""

    class Stream:
        encoding = "utf-8"

        def flush(self):
            raise OSError(errno, "said by the system")

    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setattr(sys, "stdout", Stream())
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    with pytest.raises(OSError) as caught:
        proto_prime.emit("text")
    assert caught.type is expected


@pytest.mark.parametrize("takes", [True, False])
def test_W18_escapes_go_only_to_a_console_that_takes_them(takes, monkeypatch):
    """A fake edge: the kernel's answer."""
    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setattr(proto_prime, "console_takes_escapes", lambda: takes)
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("TERM", "")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert ("\x1b[" in proto_prime.report._painted("prime: error: x")) == takes


def test_W18_commands_are_shown_as_cmd_reads_them(windows):
    assert proto_prime.shown(["C:\\a b\\x.exe", ".\\prime", "a\nb"]) == '"C:\\a b\\x.exe" .\\prime ...'


@pytest.mark.parametrize("before, expected", [("", "(a$$b) $P$G"), ("$T$G", "(a$$b) $T$G")])
def test_W18_prompt_of_cmd_names_the_environment(before, expected):
    words, variables = proto_prime.shell_start("CMD.EXE", "C:\\env", "a$b", {"PROMPT": before} if before else {})
    assert (words, variables) == ([], {"PROMPT": expected})


@pytest.mark.parametrize("shell, expected", [
    ("", "cmd.exe"), ("C:/Program Files/Git/usr/bin/bash.exe", "cmd.exe"), ("pwsh", "pwsh.exe"),
    ("C:\\PS\\PowerShell.exe", "C:\\PS\\PowerShell.exe")])
def test_W18_shell_is_that_of_COMSPEC_or_a_powershell_and_its_prompt_names_the_environment(
        shell, expected, windows, monkeypatch):
    started = []
    proto_prime.os.environ = {"SHELL": shell, "COMSPEC": "cmd.exe", "PATH": "C:\\bin"}
    proto_prime.os.access = lambda *_: True
    monkeypatch.setattr(ntpath, "isfile", lambda path: path.endswith(".exe"))
    monkeypatch.setattr(ntpath, "samefile", lambda *_: False)
    for name, value in {"open_environment": lambda _: types.SimpleNamespace(name="it", prompt="it's"),
                        "environment_of_shell": lambda *_: ("C:\\env", {"PATH": "C:\\bin"}), "make_own": lambda _: None,
                        "writable_cache": lambda *_: "C:\\cache", "is_ours": lambda _: True,
                        "replace_process": lambda *words: started.append(words)}.items():
        monkeypatch.setattr(proto_prime, name, value)
    proto_prime.command_shell(types.SimpleNamespace(line=None))
    (program, *words), environ = started[0]
    assert program.endswith(expected)
    if expected == "cmd.exe":
        assert (words, environ["PROMPT"]) == ([], "(it's) $P$G")
    else:
        assert words[:3] == ["-NoLogo", "-NoExit", "-Command"] and "{ '(it''s) ' + (prime_prompt) }" in words[3]


# -- W19: locks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("errno, expected", [(13, False), (36, False), (0, False), (38, OSError), (None, True)])
def test_W19_lock_that_another_process_holds(errno, expected, monkeypatch, tmp_path):
    """A fake edge: the module msvcrt."""

    def locking(*_):
        if errno is not None:
            raise OSError(errno, "said by msvcrt")

    monkeypatch.setattr(proto_prime, "WINDOWS", True)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    with open(str(tmp_path / "lock"), "w+b") as file:
        if expected is OSError:
            with pytest.raises(OSError, match="said by msvcrt"):
                proto_prime.try_lock(file)
        else:
            assert proto_prime.try_lock(file) is expected


# -- W20: rollback ---------------------------------------------------------------------------------


def variant(repo, number, more=""):
    """Boot a repo whose inputs are those of this number. Returns the generation that is used."""
    repo.config('extra_index_urls = ["http://127.0.0.1:1/%d"]\n%s' % (number, more))
    repo.prime()
    repo.settle()
    return repo.current


def test_W20_rollback_leads_to_the_one_that_was_in_use_before(plain):
    first, second = variant(plain, 1), variant(plain, 2)
    assert variant(plain, 1) == first  # another branch, and back
    third = variant(plain, 3)
    assert len({first, second, third}) == 3
    plain.prime("rollback")
    assert plain.current == first
    plain.prime("rollback")
    assert plain.current == second
    assert "has no generation before" in plain.prime("rollback", status=1).stderr
    plain.prime("use", "default")
    assert plain.current == third


def test_W20_rollback_passes_over_a_python_that_is_not_required_any_more(plain):
    for version in ("3.8", "3.11"):
        plain.link("python" + version, python(version))
    mine = {version: variant(plain, 1, 'required_python_version = "%s"\n' % version) for version in ("3.8", "3.11")}
    assert mine["3.8"] != mine["3.11"] == plain.current
    assert "has no generation before" in plain.prime("rollback", status=1).stderr
    assert plain.current == mine["3.11"]
    plain.config('extra_index_urls = ["http://127.0.0.1:1/1"]\n')  # any python will do
    plain.prime()
    plain.prime("rollback")
    assert plain.current == mine["3.11"]


def test_W20_stamp_that_answers_counts_as_use(plain):
    """Back on inputs of before no config is read: the use is noted all the same."""
    first, second, third = (variant(plain, number) for number in (1, 2, 3))
    for number in (1, 2):
        plain.config('extra_index_urls = ["http://127.0.0.1:1/%d"]\n' % number)
        plain.prime("run", "true")
        plain.settle()
    assert plain.current == second
    plain.prime("rollback")
    assert plain.current == first
    plain.prime("rollback")
    assert plain.current == third


