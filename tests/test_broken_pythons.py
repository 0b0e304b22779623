"""Broken, lying, slow and odd pythons, each alone before a good one on PATH (faults C1 to C7)."""

import json
import os
import shutil
import socket
import time
import uuid
from pathlib import Path

import pytest
from conftest import ancient_python, python
from filelock import FileLock

WILD = ["3.6", "3.9", "3.13"]  # that start `prime`; none of them fulfils the request
REQUEST = "3.12"
NAME = "python" + REQUEST
SECONDS = 25  # for one run; a hanging candidate may cost 6 of them, and the machine may be busy

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the candidates are shell scripts")


class Cage:
    """A directory with one candidate in it, which a wild python of its own looks at."""

    def __init__(self, repo, number, wild):
        self.repo, self.wild = repo, wild
        self.home = repo.home / ("cage %d" % number)
        self.path = self.home / "bin" / NAME
        self.path.parent.mkdir(parents=True)
        self.mark = uuid.uuid4().hex

    def script(self, text):
        """Make the candidate a script; {real}, {old}, {new}, {self}, {home} are paths."""
        words = {"real": python(REQUEST), "old": python("3.10"), "new": python("3.13"), "self": self.path,
                 "home": self.home}
        for word, value in words.items():
            text = text.replace("{%s}" % word, "'%s'" % value)
        self.path.write_text(text if text.startswith("#!") else "#!/bin/sh\nPATH=/usr/bin:/bin\n" + text)
        self.path.chmod(0o755)

    def start(self):
        """Start `prime python --all`; what it starts inherits the mark."""
        env = {"PATH": os.pathsep.join([str(self.path.parent), str(self.repo.good.parent)]), "ZOO": self.mark}
        words = "python", REQUEST, "--all", "--json"
        self.process = self.repo.popen(*words, python=python(self.wild), env=env)
        return self

    def finish(self):
        """The verdict on the candidate, once `prime` has ended. Nothing may be left over."""
        try:
            stdout, stderr = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
            left = self.leftovers()
        assert "Traceback" not in stderr, stderr
        assert self.process.returncode == 0, stderr
        assert left == []
        found = {each["path"]: each for each in json.loads(stdout)["candidates"]}
        candidate, good = found.pop(str(self.path)), found.get(str(self.repo.good))
        if candidate["verdict"] == "selected":
            assert good is None or good["verdict"] == "matches"
        else:
            assert good["verdict"] == "selected"
            assert candidate["reason"]
        assert (candidate["version"] is None) == (candidate["verdict"] == "broken")
        return candidate

    def leftovers(self):
        """The command lines of the processes that carry the mark, given a moment to end. Ends them."""
        deadline, alive = time.time() + 10, None
        while alive is None or alive and time.time() < deadline:
            alive = [path.parent for path in Path("/proc").glob("[0-9]*/environ") if self.mark in read(path)]
        for path in alive:
            os.kill(int(path.name), 9)
        return ["%s under %s" % (read(path / "cmdline").replace("\0", " "), self.wild) for path in alive]


def read(path):
    """The text of a file of /proc; "" when its process has ended."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@pytest.fixture
def zoo(repo, shared):
    """A repo that is set up with pip; `good`, a real python of the version that is asked for, one for all tests."""
    repo.config()
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.good = shared / "good" / NAME
    with FileLock(str(shared / "good.lock")):
        if not repo.good.exists():
            repo.good.parent.mkdir()
            repo.good.symlink_to(python(REQUEST))
            repo.prime("python", REQUEST, env={"PATH": str(repo.good.parent)})  # is known from here on
    return repo


def shown_to_all(repo, put):
    """The verdicts on a candidate, which `put` makes, of the oldest and the newest wild python at once."""
    cages = [Cage(repo, number, wild) for number, wild in enumerate([WILD[0], WILD[-1]])]
    for cage in cages:
        put(cage)
    started = time.time()
    for cage in cages:
        cage.start()
    verdicts = [cage.finish() for cage in cages]
    assert time.time() - started < SECONDS
    return cages, verdicts


# --- Files that are no programs ---


def dangling_link(cage):
    cage.path.symlink_to("/nowhere/python3")


def relative_dangling_link(cage):
    cage.path.symlink_to("../lib/python3")


def link_to_itself(cage):
    cage.path.symlink_to(cage.path.name)


def ring_of_links(cage):
    other = cage.path.parent / "other"
    cage.path.symlink_to(other)
    other.symlink_to(cage.path)


def link_through_a_file(cage):
    cage.path.symlink_to("/etc/passwd/python3")


def directory(cage):
    cage.path.mkdir()


def directory_with_a_python_in_it(cage):
    (cage.path / "bin").mkdir(parents=True)
    (cage.path / "bin" / "python").symlink_to(python(REQUEST))


def fifo(cage):
    os.mkfifo(str(cage.path), 0o755)


def unix_socket(cage):
    here = os.getcwd()
    os.chdir(str(cage.path.parent))  # the name of a socket may have 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(NAME)
    finally:
        os.chdir(here)


def device(cage):
    cage.path.symlink_to("/dev/null")


def no_exec_bit(cage):
    cage.script("exec {real} \"$@\"\n")
    cage.path.chmod(0o644)


def empty(cage):
    cage.script("#!")
    cage.path.write_bytes(b"")


def text_without_shebang(cage):
    cage.script("#!")
    cage.path.write_text("import sys\nprint(sys.version)\n")


def shebang_alone(cage):
    cage.script("#!\n")


def shebang_of_a_missing_interpreter(cage):
    cage.script("#!/nowhere/python3\n")


def shebang_with_CRLF(cage):
    cage.script("#!")
    cage.path.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")


def shebang_of_itself(cage):
    cage.script("#!" + str(cage.path).replace(" ", "?") + "\n")


def shebang_of_a_directory(cage):
    cage.script("#!/usr/bin\n")


def shebang_of_a_program_that_env_does_not_find(cage):
    cage.script("#!/usr/bin/env nowhere-python3\n")


def shebang_with_a_byte_order_mark(cage):
    cage.script("#!")
    cage.path.write_bytes(b"\xef\xbb\xbf#!/bin/sh\nexit 0\n")


def elf(name, change):
    """A function of this name that makes the candidate a changed copy of a real program."""
    def put(cage):
        data = Path(os.path.realpath(shutil.which("true"))).read_bytes()
        if data[:4] != b"\x7fELF":
            pytest.skip("no ELF here")
        cage.path.write_bytes(change(data))
        cage.path.chmod(0o755)
    put.__name__ = name
    return put


def other_machine(data):
    number = b"\x15\x00" if data[5] == 1 else b"\x00\x15"  # EM_PPC64
    return data[:18] + number + data[20:]


def missing_loader(data):
    if b"/ld-linux" not in data:
        pytest.skip("not linked as with glibc")
    return data.replace(b"/ld-linux", b"/ld-minix")


def library_of_another_version(cage):
    """Its landmark is there, the rest of its standard library is not."""
    shutil.copy(os.path.realpath(str(python(REQUEST))), str(cage.path))
    (cage.home / "lib" / NAME / "lib-dynload").mkdir(parents=True)
    (cage.home / "lib" / NAME / "os.py").write_text("")


def venv_whose_base_is_gone(cage):
    cage.path.symlink_to(python(REQUEST))
    (cage.home / "pyvenv.cfg").write_text("home = /nowhere/bin\nversion = 3.12.1\n")


def venv_whose_config_is_garbage(cage):
    cage.path.symlink_to(python(REQUEST))
    (cage.home / "pyvenv.cfg").write_bytes(b"home = \xff\xfe\0/bin\n\0\0")


def wrapper_around_a_venv_that_was_made_from_the_wrapper(cage):
    venv = cage.home / "their venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / NAME).symlink_to(python(REQUEST))
    (venv / "pyvenv.cfg").write_text("home = %s\n" % cage.path.parent)
    cage.script("exec '%s' \"$@\"\n" % (venv / "bin" / NAME))


NO_PROGRAMS = [
    (dangling_link, "is a dangling link"),
    (relative_dangling_link, "is a dangling link"),
    (link_to_itself, "link"),
    (ring_of_links, "link"),
    (link_through_a_file, "link"),
    (directory, "is a directory"),
    (directory_with_a_python_in_it, "is a directory"),
    (fifo, "cannot be started: Permission denied"),
    (unix_socket, "cannot be started: Permission denied"),
    (device, "cannot be started: Permission denied"),
    (no_exec_bit, "cannot be started: Permission denied"),
    (empty, "cannot be started: Exec format error"),
    (text_without_shebang, "cannot be started: Exec format error"),
    (shebang_alone, "cannot be started: Exec format error"),
    (shebang_of_a_missing_interpreter, "cannot be started: No such file"),
    (shebang_with_CRLF, "cannot be started: No such file"),
    (shebang_of_itself, "cannot be started: "),
    (shebang_of_a_directory, "cannot be started: Permission denied"),
    (shebang_of_a_program_that_env_does_not_find, "failed: exit status 127: "),
    (shebang_with_a_byte_order_mark, "cannot be started: Exec format error"),
    (elf("header of an ELF file", lambda data: data[:40]), "cannot be started: Exec format error"),
    (elf("half an ELF file", lambda data: data[:len(data) // 2]), "fail"),
    (elf("ELF file of another machine", other_machine), "cannot be started: Exec format error"),
    (elf("ELF file without its loader", missing_loader), "cannot be started: No such file"),
    (library_of_another_version, "failed: "),
    (venv_whose_base_is_gone, "its base python is gone"),
    (venv_whose_config_is_garbage, ""),
    (wrapper_around_a_venv_that_was_made_from_the_wrapper, ""),
]


@pytest.mark.parametrize("put, reason", NO_PROGRAMS, ids=[put.__name__ for put, _ in NO_PROGRAMS])
def test_C4_what_is_no_program_is_passed_over(zoo, put, reason):
    for candidate in shown_to_all(zoo, put)[1]:
        assert candidate["verdict"] == "broken", candidate
        assert reason in candidate["reason"]


# --- Programs that are no python ---

NO_PYTHONS = {
    "ends with 0": ("exit 0", "printed no answer"),
    "ends with 1": ("exit 1", "failed: exit status 1"),
    "ends with 127": ("exit 127", "failed: exit status 127"),
    "closes its pipes and ends later with 127": ("exec >&- 2>&-; sleep 0.2; exit 127", "failed: exit status 127"),
    "ends as if by SIGSEGV": ("exit 139", "failed: exit status 139"),
    "dies of SIGSEGV": ("kill -SEGV $$", "failed: signal 11 (SIGSEGV)"),
    "dies of SIGKILL": ("kill -KILL $$", "failed: signal 9 (SIGKILL)"),
    "dies of SIGTERM": ("kill $$", "failed: signal 15 (SIGTERM)"),
    "kills its whole group": ("kill -KILL 0", "failed: signal 9 (SIGKILL)"),
    "says its version": ("echo Python 3.12.1", "printed no answer"),
    "shim of a version that is not active": (
        "echo 'pyenv: python3.12: command not found' >&2; echo; echo 'The command exists elsewhere' >&2; exit 127",
        "failed: exit status 127: pyenv: python3.12: command not found"),
    "program of many names that has not this one": (
        'case ${0##*/} in ls) ls;; *) echo "${0##*/}: applet not found" >&2; exit 127;; esac',
        "failed: exit status 127: python3.12: applet not found"),
    "echo of its arguments": ('echo "$@"', "printed no answer"),
    "echo of its arguments, each on a line": ('printf "%s\\n" "$@"', "printed no answer"),
    "copy of its stdin": ("cat", "printed no answer"),
    "waits for a line on stdin": ("read line || exit 3", "failed: exit status 3"),
    "needs a terminal": ("test -t 0 || { echo 'no terminal' >&2; exit 1; }", "failed: exit status 1: no terminal"),
    "asks on the terminal": ("read line </dev/tty", "failed: "),
    "first mark alone": ('{real} "$@" | head -c 24', "printed no answer"),
    "half an answer": ('{real} "$@" | head -c 40', "printed no answer"),
    "half an answer, then dies": ('{real} "$@" | head -c 40; kill -SEGV $$', "failed: signal 11 (SIGSEGV)"),
    "answer without its first mark": ('{real} "$@" | tail -c +25', "printed no answer"),
    "answer backwards": ('{real} "$@" | tac -s "" | rev', "printed no answer"),
    "answer without its NULs": ('{real} "$@" | tr -d "\\000"', ""),
    "answer through the shell, which drops NULs": ('answer=$({real} "$@"); echo "$answer"', ""),
    "answer with another kind of version": ('{real} "$@" | tr . ,', ""),
    "answer without digits of the version": ('{real} "$@" | sed "s/3[.]12[.]/x.y./g"', ""),
    "answer with more fields": ('{real} "$@" | sed "s/cpython/c\\x00python/"', ""),
    "answer on stderr": ('exec {real} "$@" >&2', "printed no answer"),
    "answer into a file": ('exec {real} "$@" >{home}/answer', "printed no answer"),
    "arguments that were split": ("exec {real} $*", "failed: exit status 1"),
    "arguments that were dropped": ("exec {real}", "printed no answer"),
    "option that does not exist": ('exec {real} --nonsense "$@"', "failed: exit status 2"),
    "relative path": ('exec ./python "$@"', "failed: exit status 127"),
    "ten megabytes of noise": ("head -c 10000000 /dev/zero | tr '\\0' x", "printed no answer"),
    "ten megabytes of complaints": (
        "head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1", "failed: exit status 1"),
    "NULs": ("head -c 100000 /dev/zero", "printed no answer"),
    "invalid UTF-8": ("printf '\\377\\376\\200'; exit 1", "failed: exit status 1: "),
    "complaint in invalid UTF-8": ("printf 'caf\\351\\n' >&2; exit 1", "failed: exit status 1: caf"),
    "complaint in unicode": ("echo 'nicht verfügbar' >&2; exit 1", "failed: exit status 1: nicht verfügbar"),
    "closes its pipes and goes on": ("exec >&- 2>&-; sleep 300", "gave no answer within 5 s"),
    "ends, a child keeps the pipes open": ("sleep 300 & exit 0", "printed no answer"),
    "ends, a stubborn child keeps the pipes open": (
        "(trap '' TERM HUP INT; sleep 300; sleep 300) & exit 1", "failed: exit status 1"),
    "PYTHONHOME that is not there": ("shift; PYTHONHOME=/nowhere exec {real} \"$@\"", "failed: "),
    "library of another python": ("shift; PYTHONHOME=$(dirname $(dirname {old})) exec {real} \"$@\"", "failed: "),
}


@pytest.mark.parametrize("name", sorted(NO_PYTHONS))
def test_C4_program_that_is_no_python_is_passed_over(zoo, name):
    text, reason = NO_PYTHONS[name]
    for candidate in shown_to_all(zoo, lambda cage: cage.script(text + "\n"))[1]:
        assert candidate["verdict"] == "broken", candidate
        assert reason in candidate["reason"]
        assert len(candidate["reason"].splitlines()) <= 1


def test_C4_complaint_of_a_broken_python_does_not_reach_the_terminal_as_it_is(zoo):
    zoo.program(NAME, "#!/bin/sh\nprintf '\\033[2Jgone\\a\\n' >&2; exit 1\n")
    env = {"PATH": str(zoo.bin)}
    for words in (["python", REQUEST], ["python", REQUEST, "--all", "-v"]):
        result = zoo.prime(*words, env=env, status=1)
        said = result.stdout + result.stderr
        assert "gone" in said
        assert not [letter for letter in said if ord(letter) < 32 and letter != "\n"]


# --- Pythons that are odd, and good ---

ODD = {
    "wrapper": 'exec {real} "$@"',
    "wrapper that stays": '{real} "$@"',
    "wrapper with an option": 'exec {real} -I "$@"',
    "wrapper that is talkative": 'exec {real} -v "$@"',
    "wrapper that goes on asking": 'exec {real} -i "$@"',
    "wrapper that leaves its directory": 'cd /usr/bin; exec {real} "$@"',
    "wrapper with an empty environment": 'exec env -i ZOO=$ZOO {real} "$@"',
    "wrapper with its own PYTHONPATH": 'export PYTHONPATH=/nowhere; exec {real} "$@"',
    "wrapper around a wrapper": 'exec sh -c \'exec "$0" "$@"\' {real} "$@"',
    "wrapper that ends with 1": '{real} "$@"; exit 1',
    "wrapper that dies afterwards": '{real} "$@"; kill -SEGV $$',
    "program of many names that has this one": 'case ${0##*/} in python3.12) exec {real} "$@";; esac; exit 127',
    "banner": 'echo "Welcome to the cluster"; exec {real} "$@"',
    "banner in invalid UTF-8": 'printf "caf\\351"; exec {real} "$@"',
    "banner of a megabyte": 'head -c 1000000 /dev/zero | tr "\\0" x; exec {real} "$@"',
    "banner afterwards": '{real} "$@"; echo "Good bye"',
    "noise on both sides": 'echo one; echo two >&2; {real} "$@"; echo three; echo four >&2',
    "answer twice": '{real} "$@"; {real} "$@"',
    "answer through a pipe": '{real} "$@" | cat',
    "answer, then a megabyte": '{real} "$@"; head -c 1000000 /dev/zero | tr "\\0" x',
    "answer, then noise for ever": '{real} "$@"; yes',
    "answer, and at once noise for ever": '{real} "$@" >{home}/answer; exec cat {home}/answer /dev/zero',
    "answer, then silence": '{real} "$@"; sleep 300',
    "answer, then stubborn silence": 'trap "" TERM HUP INT; {real} "$@"; sleep 300; sleep 300',
    "answer, and a child that survives": 'sleep 300 & {real} "$@"',
    "echo, then an answer": 'echo "$@"; exec {real} "$@"',
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_C5_odd_python_is_taken(zoo, name):
    cages, candidates = shown_to_all(zoo, lambda cage: cage.script(ODD[name] + "\n"))
    for cage, candidate in zip(cages, candidates):
        assert candidate["verdict"] == "selected", "%s under %s" % (candidate, cage.wild)
        assert candidate["version"].startswith("3.12.")
        assert candidate["implementation"] == "cpython"


@pytest.mark.parametrize("name", [NAME, "{self}", "/nowhere/python3", "-python", ""])
def test_C5_wrapper_that_starts_it_under_another_name_is_taken(zoo, name):
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("`exec -a` is bash's")
    text = "#!%s\nexec -a %s {real} \"$@\"\n" % (bash, name if name == "{self}" else "'%s'" % name)
    for candidate in shown_to_all(zoo, lambda cage: cage.script(text))[1]:
        assert candidate["verdict"] == "selected", candidate


def chain_of_links(cage):
    for number in range(10):
        (cage.path.parent / ("link%d" % number)).symlink_to("link%d" % (number + 1))
    (cage.path.parent / "link10").symlink_to(python(REQUEST))
    cage.path.symlink_to("link0")


def copied_binary_without_its_library(cage):
    """CPython goes on with the library where it was built."""
    shutil.copy(os.path.realpath(str(python(REQUEST))), str(cage.path))


def venv_of_the_good_one(cage):
    cage.path.symlink_to(python(REQUEST))
    (cage.home / "pyvenv.cfg").write_text("home = %s\n" % python(REQUEST).parent)


@pytest.mark.parametrize("put", [chain_of_links, copied_binary_without_its_library, venv_of_the_good_one],
                         ids=lambda put: put.__name__)
def test_C6_odd_place_of_a_good_python_is_taken(zoo, put):
    for candidate in shown_to_all(zoo, put)[1]:
        assert candidate["verdict"] == "selected", candidate


# --- Pythons of another version than their name says ---

OTHERS = {
    "wrapper around an older one": ('exec {old} "$@"', "3.10.", "too old"),
    "wrapper around a newer one": ('exec {new} "$@"', "3.13.", "too new"),
    "older one, then the right one": ('{old} "$@"; {real} "$@"', "3.10.", "too old"),
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_C5_python_that_is_not_what_its_name_says_is_a_mismatch(zoo, name):
    text, version, reason = OTHERS[name]
    for candidate in shown_to_all(zoo, lambda cage: cage.script(text + "\n"))[1]:
        assert (candidate["verdict"], candidate["reason"]) == ("mismatch", reason), candidate
        assert candidate["version"].startswith(version)


@pytest.mark.parametrize("version, reason", [("3.10", "too old"), ("2.7", "too old: 3.6 is the least")])
def test_C7_link_to_a_python_of_another_version_is_a_mismatch(zoo, version, reason):
    target = ancient_python() if version == "2.7" else python(version)
    for candidate in shown_to_all(zoo, lambda cage: cage.path.symlink_to(target))[1]:
        assert (candidate["verdict"], candidate["reason"]) == ("mismatch", reason), candidate
        assert candidate["version"].startswith(version + ".")


# --- Candidates that hang ---

HANGING = {
    "sleeps": "sleep 300",
    "sleeps in children": "sleep 300 & sleep 300 & wait",
    "does not heed signals": "trap '' TERM HUP INT QUIT; sleep 300; sleep 300; sleep 300",
    "stops itself": "kill -STOP $$; sleep 300",
    "half an answer, then silence": '{real} "$@" | head -c 40; sleep 300',
    "first mark, then silence": '{real} "$@" | head -c 24; sleep 300',
    "closes stdout and sleeps": "exec >&-; sleep 300",
    "opens a fifo": "mkfifo {home}/fifo; read line <{home}/fifo",
}
BUSY = {
    "noise for ever": "yes",
    "complaints for ever": "yes >&2",
    "endless loop": "while :; do :; done",
}


@pytest.mark.slow
@pytest.mark.parametrize("wild", WILD)
def test_C2_python_that_hangs_is_passed_over_and_killed(zoo, wild):
    scripts = dict(HANGING, **(BUSY if wild == "3.9" else {}))
    started, cages = time.time(), {}
    for number, (name, text) in enumerate(sorted(scripts.items())):
        cages[name] = Cage(zoo, number, wild)
        cages[name].script(text + "\n")
        cages[name].start()
    for name, cage in cages.items():
        candidate = cage.finish()
        assert candidate["verdict"] == "broken", name
        assert candidate["reason"] == "gave no answer within 5 s", name
    assert time.time() - started < SECONDS


@pytest.mark.slow
def test_C2_pythons_that_hang_cost_their_time_once(zoo):
    directories = []
    for number in range(6):
        cage = Cage(zoo, number, "3.6")
        cage.script("sleep 300\n")
        directories.append(str(cage.path.parent))
    started = time.time()
    env = {"PATH": os.pathsep.join(directories + [str(zoo.good.parent)])}
    told = json.loads(zoo.prime("python", REQUEST, "--all", "--json", env=env).stdout)
    assert time.time() - started < SECONDS
    verdicts = [each["verdict"] for each in told["candidates"] if each["source"] == "PATH"]
    assert verdicts == ["broken"] * 6 + ["selected"]


@pytest.mark.slow
def test_C2_slow_python_is_waited_for(zoo):
    put = lambda cage: cage.script('sleep 2; exec {real} "$@"\n')  # noqa: E731
    for candidate in shown_to_all(zoo, put)[1]:
        assert candidate["verdict"] == "selected", candidate


def test_C2_child_that_made_itself_a_daemon_does_not_delay_the_answer(zoo):
    """It left session and group, as real daemons do: nothing of ours can find it again."""
    if not shutil.which("setsid"):
        pytest.skip("no setsid")
    pid = zoo.home / "pid"
    text = "setsid sh -c 'echo $$ >\"%s\"; exec sleep 20' &\nsleep 0.1\n" % pid
    zoo.program(NAME, "#!/bin/sh\nPATH=/usr/bin:/bin\n" + text)
    env = {"PATH": os.pathsep.join([str(zoo.bin), str(zoo.good.parent)])}
    started = time.time()
    found = zoo.prime("python", REQUEST, env=env).stdout.strip()
    assert time.time() - started < 5
    assert found == str(zoo.good)
    os.kill(int(pid.read_text()), 9)
