"""A warm start reads a fifth of proto_prime.py's bytecode, and goes on with all of it where that lacks something."""

import ast
import functools
import json
import marshal
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import PYTHONS, TOP, python, some_python

# Run main() for each command line of argv[2], with this file as a module; print the lines at which its functions
# that were called begin.
TRACE = r"""
import json, os, sys

class Ended(BaseException):
    pass

def end(*words):
    raise Ended

def note(frame, event, arg):
    if event == "call" and os.path.basename(frame.f_code.co_filename) == "proto_prime.py":
        lines.add(frame.f_code.co_firstlineno)

lines, top = set(), os.path.dirname(os.path.abspath(sys.argv[1]))
sys.path.insert(0, top)
execve, os.execve, os._exit = os.execve, end, end
command_lines, sys.argv = json.loads(sys.argv[2]), sys.argv[1:2]
sys.setprofile(note)
import proto_prime
proto_prime.__spec__ = None  # as in a warm start
for words in command_lines:
    sys.argv[1:] = words
    try:
        proto_prime.leave(proto_prime.main())
    except Ended:
        pass
try:
    proto_prime.cold()
except proto_prime.Cold:
    pass
proto_prime.fast_path = lambda *words: proto_prime.catch_signals() or os.kill(os.getpid(), 15)
print(proto_prime.main(), file=sys.stderr)
sys.setprofile(None)
print(json.dumps(sorted(lines)))
"""

# Those of Windows, and of where there are no links: `test_W21_run_that_has_nothing_to_do…` shows that they suffice.
ON_WINDOWS = set("""begin_in_job command_line exit_code is_file limit_job own_job quoted_word run_in_place system_call
windows_start""".split())


@pytest.fixture
def warm(plain):
    """A repo with a current environment and a task, with bytecode of its own."""
    plain.config('env_file = ".env"\n[tasks]\ntest = "python -c pass"\n'
                 'lint = {run = "python -c pass", cwd = "sub", env_vars = {A = "b"}}\n')
    plain.write(".env", "A=1\nexport B='2'\nC=\"3\"\n")
    (plain.path / "sub").mkdir()
    (plain.path / "__pycache__").unlink()
    (plain.path / "proto_prime.py").unlink()
    shutil.copy(str(TOP / "proto_prime.py"), str(plain.path))
    plain.prime()
    plain.settle()
    plain.prime()
    return plain


def kept(repo):
    """The path of the bytecode that a warm start reads."""
    return next(repo.path.glob("__pycache__/*.warm"), None)


def loads_all(repo, *words, python=None, **options):
    """Whether `prime words` imports proto_prime.py as a whole."""
    command = [str(python or some_python()), "-X", "importtime", str(repo.path / "prime")] + list(words)
    process = subprocess.run(command, cwd=str(repo.path), env=repo.env, stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, encoding="utf-8", timeout=60, **options)
    assert process.returncode == 0, process.stderr
    return "| proto_prime\n" in process.stderr


def test_names_of_a_warm_start_are_those_that_it_calls(warm):
    programs = ["python", "-V"], ["--", "python"], ["-m", "this"], ["true"], ["./tool"]
    warm_starts = [[], ["boot"], ["test"], ["lint"]] + [["run"] + list(words) for words in programs]
    warm.write("tool", "#!/bin/sh\n", executable=True)
    trace = [str(some_python()), "-c", TRACE, str(warm.path / "prime"), json.dumps(warm_starts)]
    environ = dict(warm.env, VIRTUAL_ENV="/elsewhere", LC_CTYPE="C.UTF-8")
    process = subprocess.run(trace, cwd=str(warm.path), env=environ, stdout=subprocess.PIPE, timeout=60, check=True)
    lines = set(json.loads(process.stdout.decode()))
    tree, called, wanted = ast.parse((TOP / "proto_prime.py").read_text(encoding="utf-8")), set(), set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first = min([node.lineno] + [each.lineno for each in node.decorator_list])
            inside = set(range(first + isinstance(node, ast.ClassDef), node.end_lineno + 1))
            called.update([node.name] * bool(lines & inside))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "WARM":
            wanted = set(node.value.func.value.value.split())
    assert called - wanted == set(), "to be added to WARM"
    assert wanted - called == {"Cold"} | ON_WINDOWS, "not needed in WARM"


@pytest.mark.parametrize("words", [[], ["run", "python", "-c", "pass"], ["test"]], ids=" ".join)
def test_warm_start_does_not_load_the_whole_file(warm, words):
    assert not loads_all(warm, *words)
    kept(warm).unlink()
    assert loads_all(warm, *words)


def test_other_commands_load_the_whole_file_and_do_as_ever(warm):
    for words in ["info", "--json"], ["-h"], ["python"], ["run", "--no-boot", "python", "-c", "pass"]:
        assert loads_all(warm, *words)


@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_has_bytecode_of_its_own_if_it_can(warm, version):
    kept(warm).unlink()
    warm.prime("info", python=python(version))
    can = [int(part) for part in version.split(".")] >= [3, 8]
    assert bool(kept(warm)) is can
    if version != "3.6":  # has no -X importtime
        assert loads_all(warm, python=python(version)) is not can


def test_changed_file_is_never_run_by_bytecode_of_before(warm):
    file = warm.path / "proto_prime.py"
    before = file.read_text(encoding="utf-8")
    after = before.replace("report.note(stamp.message)", 'report.note("anew: " + stamp.message)')
    file.write_text(after, encoding="utf-8")
    assert "anew: " in warm.prime().stderr
    assert not loads_all(warm)
    file.write_text(before, encoding="utf-8")
    assert "anew: " not in warm.prime().stderr + warm.prime().stderr
    assert not loads_all(warm)


SPOILT = {
    "empty": lambda head, code: b"",
    "half a head": lambda head, code: head[:10],
    "head alone": lambda head, code: head,
    "half of the code": lambda head, code: head + code[:5000],
    "text": lambda head, code: head + b"no bytecode",
    "no code": lambda head, code: head + b"N",
    "of another python": lambda head, code: head.replace(b"3.", b"4.") + code,
    "of another time": lambda head, code: head.replace(b" ", b" 1") + code,
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=list(SPOILT))
def test_bytecode_that_is_spoilt_counts_as_none(warm, spoilt):
    head, _, code = kept(warm).read_bytes().partition(b"\n")
    kept(warm).write_bytes(spoilt(head + b"\n", code))
    assert warm.prime().stderr.startswith("prime: .venv is current (environment default, python 3.")
    assert loads_all(warm)


@pytest.mark.parametrize("version", ["3.6", "3.13"])
def test_B5_bytecode_that_a_full_disk_cut_off_stops_no_later_start(warm, version):
    for path in warm.path.glob("__pycache__/*"):
        path.unlink()
    command = [str(python(version)), str(warm.path / "prime"), "--version"]
    for size in (300 << 10, 0):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))  # as a full disk does
        subprocess.run(command, env=warm.env, preexec_fn=limit, stdout=subprocess.PIPE, check=True)
        assert not list(warm.path.glob("__pycache__/*.pyc"))
    subprocess.run(command, env=warm.env, check=True)
    assert len(list(warm.path.glob("__pycache__/*.pyc"))) == 1


def test_bytecode_of_another_time_is_written_anew_where_it_can_be(warm):
    before = kept(warm).read_bytes()
    kept(warm).write_bytes(b"")
    warm.prime("info")
    assert kept(warm).read_bytes() == before
    path = kept(warm)
    path.unlink()
    path.mkdir()
    warm.prime("info")
    assert path.is_dir() and loads_all(warm)


def test_nothing_is_written_where_python_writes_no_bytecode(warm):
    kept(warm).unlink()
    warm.prime("info", env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert kept(warm) is None
    shutil.rmtree(str(warm.path / "__pycache__"))
    warm.prime("info", env={"PYTHONPYCACHEPREFIX": str(warm.home / "bytecode")})
    assert kept(warm) is None


def test_signal_ends_a_warm_start_as_any_other(warm):
    """`WARM` holds all that an interrupt needs. Else it would be lost where the whole file is loaded."""
    code = kept(warm).read_bytes().partition(b"\n")[2]
    module = {"__name__": "proto_prime", "__file__": str(warm.path / "proto_prime.py")}
    exec(marshal.loads(code), module)
    module["report"].verbosity = 0
    module["fast_path"] = lambda *words: os.kill(os.getpid(), signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in module["end_signals"]()}
    argv, path = sys.argv, sys.path[:]
    sys.argv = [str(warm.path / "prime")]
    try:
        assert module["main"]() == 128 + signal.SIGTERM
    finally:
        sys.argv, sys.path[:] = argv, path
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_what_is_not_loaded_leaves_signals_as_they_were(warm):
    """Else one that comes while the whole file is loaded would be taken by a handler that nobody waits for."""
    code = kept(warm).read_bytes().partition(b"\n")[2]
    program = ("import marshal, signal, sys; module = {'__name__': 'proto_prime', '__file__': sys.argv[1]}\n"
               "exec(marshal.loads(sys.stdin.buffer.read()), module)\n"
               "module['catch_signals'](); print(signal.getsignal(15) == signal.SIG_DFL)\n"
               "try: module['parse_command_line']([])\n"
               "except module['Cold']: print(signal.getsignal(15) == signal.SIG_DFL)")
    argv = [str(some_python()), "-c", program, str(warm.path / "proto_prime.py")]
    assert subprocess.check_output(argv, input=code).split() == [b"False", b"True"]
