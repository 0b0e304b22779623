"""`switch_env`: a process that goes on while the environment under it changes.

All of it happens in children. Each has two environments of its own python at hand: it runs in `old`, where the package
`colour` has version 1, and `new` has version 2.
"""

import os
import shutil
import subprocess
import sys
import threading

import pytest
from conftest import TOP, python, some_python, uv_program
from helpers import follow_readme

VERSIONS = ["3.6", "3.8", "3.11", "3.13"]

# What each child begins with. `assert_is(before)` holds if all that a switch may change is as it
# was; modules of the standard library may have come.
PRELUDE = """\
import importlib, os, site, subprocess, sys, sysconfig
if {home!r} not in sys.path:
    sys.path.insert(0, {home!r})
import proto_prime
from proto_prime import PrimeError, switch_env
old, new, home = {old!r}, {new!r}, {home!r}

def state():
    lists = {{"sys.path": sys.path, "sys.meta_path": sys.meta_path, "sys.path_hooks": sys.path_hooks,
             "site.PREFIXES": site.PREFIXES}}
    found = {{name: (id(each), list(each)) for name, each in lists.items()}}
    names = "prefix", "exec_prefix", "executable", "base_prefix", "base_exec_prefix"
    found.update({{"sys." + name: getattr(sys, name) for name in names}})
    found.update({{"os.environ": dict(os.environ), "cwd": os.getcwd(), "sys.modules": dict(sys.modules),
                  "paths": sysconfig.get_paths(), "config": dict(sysconfig.get_config_vars())}})
    return found

def assert_is(before):
    now, modules = state(), before["sys.modules"]
    told = [name for name, each in before.items() if name != "sys.modules" and now[name] != each]
    assert not told, told
    assert not [name for name, module in modules.items() if sys.modules.get(name) is not module]
    more = set(sys.modules) - set(modules) - {{"__mp_main__"}}
    files = [getattr(sys.modules[name], "__file__", None) or os.__file__ for name in more]
    library = os.path.dirname(os.path.realpath(os.__file__))
    assert not [file for file in files if not os.path.realpath(file).startswith(library)
                or "site-packages" in file], files

def told(code):
    "What a python process that is started now, by its name, says."
    return subprocess.run(["python", "-c", code], stdout=-1, check=True, universal_newlines=True).stdout.strip()

with switch_env(new):  # loads what it needs of the standard library
    pass
"""

BACKENDS = {"flit": "flit_core.buildapi", "found": "setuptools.build_meta"}
PROJECT = """\
[build-system]
requires = ["{module}"]
build-backend = "{backend}"
[project]
name = "{name}"
version = "{version}"
description = "One of two versions"
[tool.setuptools]
packages = ["found", "space.part"]
package-dir = {{"space.part" = "part"}}
"""


class Environments:
    """The environments `old` and `new` of one python, and whatever else a test makes beside them."""

    def __init__(self, path, interpreter):
        self.path, self.interpreter = path, str(interpreter)
        path.mkdir(parents=True)
        (path / "home").mkdir()
        (path / "home" / "proto_prime.py").symlink_to(TOP / "proto_prime.py")
        self.old, self.new = self.make("old", 1), self.make("new", 2)

    def make(self, name, version, *options):
        """An environment of this python with this version of `colour`."""
        made = self.path / name
        venv = [self.interpreter, "-m", "venv", "--without-pip", str(made)] + list(options)
        subprocess.run(venv, check=True, env=self.environ)
        install(made, version)
        return made

    @property
    def environ(self):
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.path), "LANG": "C.UTF-8",
                "PROTOPRIMER_CACHE_DIR": str(self.path / "cache")}

    def run(self, code, *options, under=None, env=None, **names):
        """Run code below the prelude, in `old` or under another environment or interpreter. Returns its stdout."""
        given = dict({"old": str(self.old), "new": str(self.new)}, **{name: str(each) for name, each in names.items()})
        under = str(under or self.old / "bin" / "python")
        text = PRELUDE.format(home=str(self.path / "home"), old=given["old"], new=given["new"])
        text += "".join("%s = %r\n" % pair for pair in given.items()) + code
        script = self.path / "home" / ("worksheet%d.py" % threading.get_ident())
        script.write_text(text, encoding="utf-8")
        done = subprocess.run([under] + list(options) + [str(script)], env=dict(self.environ, **(env or {})),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, timeout=60, cwd=str(self.path))
        if done.returncode:
            pytest.fail(done.stderr, pytrace=False)
        assert done.stderr == ""
        return done.stdout


def site_packages(environment):
    """The directory of packages of an environment."""
    return next(environment.glob("lib/*/site-packages"))


def install(environment, version, name="colour"):
    """Put a package into an environment as an installer would: its files and its metadata."""
    place = site_packages(environment)
    metadata = place / ("%s-%s.dist-info" % (name, version)) / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))
    (metadata.parent / "RECORD").write_text("")
    (place / name).mkdir()
    later = "def find():\n    from %s import late\n    return late.version\n" % name
    for file, more in (("__init__.py", "from %s import shade\n" % name), ("shade.py", later), ("late.py", "")):
        (place / name / file).write_text("version = %s\n%s" % (version, more))
    (place / ("only_in_%s.py" % version)).write_text("")


@pytest.fixture(scope="module", params=VERSIONS)
def each_python(request, tmp_path_factory):
    """The `Environments` of each python in turn, which no test changes."""
    return Environments(tmp_path_factory.mktemp("switch") / "a place", python(request.param))


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory):
    """The `Environments` of some python, which no test changes."""
    return Environments(tmp_path_factory.mktemp("switch") / "a place", some_python())


@pytest.fixture
def place(tmp_path):
    """`Environments` of some python that a test may change."""
    return Environments(tmp_path / "a place", some_python())


# -- Forth and back ----------------------------------------------------------------------------------


FORTH_AND_BACK = """
import colour
before = state()
for number in range(times):
    assert colour is sys.modules["colour"] and colour.version == colour.shade.version == 1
    with switch_env(new if number % 2 else os.path.join(new, "bin", "python")):
        import colour as other, only_in_2
        assert other.version == other.shade.version == other.shade.find() == 2
        assert other.__file__.startswith(new + os.sep)
        try:
            import only_in_1
        except ImportError:
            continue
        assert False, only_in_1.__file__
    assert "only_in_2" not in sys.modules
assert_is(before)
assert colour.shade.find() == 1
"""


def test_one_package_in_two_versions_forth_and_back(each_python):
    each_python.run("times = 3\n" + FORTH_AND_BACK)


def test_one_package_in_two_versions_forth_and_back_fifty_times(shared_place):
    shared_place.run("times = 50\n" + FORTH_AND_BACK)


def test_process_says_that_it_is_in_the_new_environment(each_python):
    each_python.run("""
inside = "print(__import__('sys').prefix, __import__('colour').version)"
os.environ.update(VIRTUAL_ENV=old, PATH=os.path.join(old, "bin") + os.pathsep + os.environ["PATH"])
before, path = state(), list(sys.path)
switch = switch_env(new)
assert sys.prefix == sys.exec_prefix == switch.prefix == os.environ["VIRTUAL_ENV"] == new
assert sys.executable == switch.python == os.path.join(new, "bin", "python")
assert not [each for each in sys.path + os.environ["PATH"].split(os.pathsep) if each.startswith(old + os.sep)]
assert [each.replace(new, old) for each in sys.path] == path
assert sysconfig.get_path("purelib").startswith(new) and sysconfig.get_path("scripts") == os.path.join(new, "bin")
assert sysconfig.get_path("stdlib") == before["paths"]["stdlib"]
assert site.getsitepackages()[0].startswith(new)
assert told(inside) == new + " 2"
assert subprocess.check_output([sys.executable, "-c", inside]).decode().strip() == new + " 2"
switch.rollback()
assert_is(before)
assert told(inside) == old + " 1"
switch.rollback()
assert_is(before)
""")


def test_metadata_is_that_of_the_new_environment(each_python):
    if "/3.6" in each_python.interpreter:
        pytest.skip("importlib.metadata came with 3.8")
    each_python.run("""
from importlib.metadata import version
for _ in range(3):
    assert version("colour") == "1"
    with switch_env(new):
        assert version("colour") == "2"
""")


def test_switches_are_nested_and_the_outer_one_takes_back_the_inner_ones(each_python):
    third = each_python.path / "third"
    if not third.exists():
        each_python.make("third", 3)
    each_python.run("""
import colour
before = state()
with switch_env(new):
    second, middle = importlib.import_module("colour"), state()
    with switch_env(third):
        assert importlib.import_module("colour").version == 3
        with switch_env(old):
            assert importlib.import_module("colour").version == 1
    assert_is(middle)
    assert importlib.import_module("colour") is second
assert_is(before)

outer, inner = switch_env(new), switch_env(third)
outer.rollback()
assert_is(before)
again = switch_env(third)
inner.rollback()  # which is over
assert importlib.import_module("colour").version == 3
again.rollback()
assert_is(before)
""", third=third)


# -- All or nothing ----------------------------------------------------------------------------------


def test_failure_after_any_step_leaves_all_as_it_was(each_python):
    each_python.run("""
import colour
steps = list(proto_prime.Switch.STEPS)
def fail(self, state):
    raise problem("here")
for outer in (old, new):
    with switch_env(outer):
        import colour
        before = state()
        for number in range(len(steps) + 1):
            for problem in (ValueError, KeyboardInterrupt):
                proto_prime.Switch.STEPS = steps[:number] + [fail] + steps[number:]
                try:
                    switch_env(new)
                except problem as error:
                    assert str(error) == "here"
                assert_is(before)
                assert importlib.import_module("colour") is colour
        proto_prime.Switch.STEPS = steps
""")


# Runs a function and raises KeyboardInterrupt at its n-th line in this chapter of the file; True if it has so many.
INTERRUPT = """
mine = {"switch_env", "unload_modules", "change_path", "change_prefix", "change_environ", "clear_import_caches",
        "rollback", "restore"}

def interrupted(function, count):
    seen = set()  # each line once, however often it is run
    def at_line(frame, event, _):
        seen.add((frame.f_code.co_name, frame.f_lineno))
        if len(seen) == count:
            sys.settrace(None)
            raise KeyboardInterrupt
        return at_line
    def at_call(frame, event, _):
        is_mine = frame.f_code.co_filename == proto_prime.__file__ and frame.f_code.co_name in mine
        return at_line if is_mine else None
    sys.settrace(at_call)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False

answer = proto_prime.self_portrait(os.path.join(new, "bin", "python"))
proto_prime.self_portrait = lambda python: answer
import colour
before = state()
"""


def test_interrupt_at_any_line_leaves_all_as_it_was(each_python):
    each_python.run(INTERRUPT + """
switches, number = [], 1
while interrupted(lambda: switches.append(switch_env(new)), number):
    assert_is(before)
    assert not proto_prime._switches, number
    number += 1
assert number > 30 and importlib.import_module("colour").version == 2
switches[0].rollback()
assert_is(before)
""")


def test_interrupted_rollback_is_completed_by_the_next(each_python):
    each_python.run(INTERRUPT + """
number, goes_on = 1, True
while goes_on:
    switch = switch_env(new)
    import colour as other
    goes_on = interrupted(switch.rollback, number)
    switch.rollback()
    assert_is(before)
    number += 1
assert number > 5
""")


def test_error_in_the_block_is_passed_on_and_all_is_as_before(shared_place):
    shared_place.run("""
before = state()
for problem in (ValueError, KeyboardInterrupt, SystemExit):
    try:
        with switch_env(new), switch_env(old):
            import colour
            raise problem("mine")
    except problem as error:
        assert str(error) == "mine"
    assert_is(before)
""")


def test_what_happens_in_the_block_is_taken_back(shared_place):
    shared_place.run("""
import colour
before = state()
with switch_env(new):
    import colour as other, json.tool
    sys.path[:] = ["/elsewhere"]
    sys.path_hooks.append(None)
    os.environ.clear()
    del sys.modules["colour.shade"]
    sys.prefix = "/elsewhere"
assert_is(before)
""")


@pytest.mark.parametrize("gone", ["new", "old", "both"])
def test_environment_that_is_gone_before_the_rollback(place, gone):
    place.run("""
import shutil, colour
before = state()
switch = switch_env(new)
import colour as other
for each in {"both": (old, new)}.get(gone) or (dict(old=old, new=new)[gone],):
    shutil.rmtree(each)
switch.rollback()
assert_is(before)
assert colour.version == 1 and other.version == 2
""", gone=gone)


# -- What is refused, before anything changes --------------------------------------------------------

REFUSED = """
import colour
before = state()
try:
    switch_env(path)
except PrimeError as error:
    print(error)
assert_is(before)
assert not proto_prime._switches
"""


def test_another_version_is_refused(shared_place):
    other = "3.12" if sys.version_info[:2] != (3, 12) else "3.11"
    answer = shared_place.run(REFUSED, path=python(other))
    assert answer == "%s is cpython %s, and this process runs cpython %d.%d\n" % ((python(other), other)
                                                                                 + sys.version_info[:2])


def test_another_implementation_is_refused(tmp_path):
    pypy = shutil.which("pypy3", path="/usr/bin:/usr/local/bin")
    if not pypy:
        pytest.skip("no pypy3")
    print_version = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([pypy, "-c", print_version]).decode().strip()
    answer = Environments(tmp_path / "a place", python(version)).run(REFUSED, path=pypy)
    assert answer == "%s is pypy %s, and this process runs cpython %s\n" % (pypy, version, version)


@pytest.mark.parametrize("build, tampering", [
    ("cpython %d.%dt" % sys.version_info[:2], "sys.abiflags = 't'"),
    ("cpython 2.7", "sys.version_info = (2, 7, 18, 'final', 0)"),
])
def test_build_that_loads_no_extension_module_of_ours_is_refused(place, build, tampering):
    fake = place.path / "python3"
    code = "import sys; %s; exec(sys.argv[1])" % tampering
    fake.write_text("#!/bin/sh\nfor code; do :; done\nexec '%s' -c \"%s\" \"$code\"\n" % (sys.executable, code))
    fake.chmod(0o755)
    assert place.run(REFUSED, path=fake).startswith("%s is %s, and this process runs cpython" % (fake, build))


def test_path_that_is_no_environment_is_refused(place):
    broken, silent, empty = place.path / "broken", place.path / "silent" / "python3", place.path / "empty"
    empty.mkdir()
    shutil.copytree(str(place.new), str(broken), symlinks=True)
    (broken / "bin" / "python").unlink()
    (broken / "bin" / "python").symlink_to("/nowhere/python")
    silent.parent.mkdir()
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    assert place.run(REFUSED, path=place.path / "none") == "%s does not exist\n" % (place.path / "none")
    assert "not that of an environment" in place.run(REFUSED, path=empty)
    assert "is no usable python" in place.run(REFUSED, path=broken)
    assert "is no usable python" in place.run(REFUSED, path=silent)
    assert "is no usable python" in place.run(REFUSED, path=place.path / "home" / "proto_prime.py")


# -- Layouts of environments -------------------------------------------------------------------------

ENTERS = """
import colour
before = state()
with switch_env(path):
    assert importlib.import_module("colour").version == 2
    assert "VIRTUAL_ENV" in os.environ and sys.prefix == os.environ["VIRTUAL_ENV"] == directory, sys.prefix
    assert os.environ["PATH"].split(os.pathsep)[0] == os.path.join(directory, "bin")
assert_is(before)
"""


def test_path_may_be_relative_or_start_at_home_or_be_a_link(shared_place):
    link = shared_place.path / "link"
    link.symlink_to(shared_place.new)
    for path in ("new", "new/", "./new/bin/python", "~/new", "~/new/bin/python3"):
        shared_place.run(ENTERS, path=path, directory=shared_place.new)
    shared_place.run(ENTERS, path=link, directory=link)


def test_redirect_file(shared_place):
    redirect = shared_place.path / ".venv"
    redirect.write_text("new\nanything\n", encoding="utf-8")
    shared_place.run(ENTERS, path=redirect, directory=shared_place.new)


def test_environment_of_virtualenv_s(place):
    pytest.importorskip("virtualenv")
    made = place.path / "made"
    command = [sys.executable, "-m", "virtualenv", "-q", "--no-seed", "-p", place.interpreter, str(made)]
    subprocess.run(command, check=True, env=place.environ)
    install(made, 2)
    place.run(ENTERS, path=made, directory=made)
    place.run(ENTERS.replace("== 2", "== 1"), path=place.old, directory=place.old, under=made / "bin" / "python")


def test_environment_of_conda_s(place):
    base = os.path.dirname(os.path.dirname(place.interpreter))
    made, lib = place.path / "made", "python%d.%d" % sys.version_info[:2]
    (made / "conda-meta").mkdir(parents=True)
    (made / "bin").mkdir()
    (made / "lib" / lib / "site-packages").mkdir(parents=True)
    shutil.copy2(place.interpreter, str(made / "bin" / "python"))
    for entry in os.scandir(os.path.join(base, "lib", lib)):
        if entry.name != "site-packages":
            (made / "lib" / lib / entry.name).symlink_to(entry.path)
    install(made, 2)
    libraries = {"LD_LIBRARY_PATH": os.path.join(base, "lib")}
    place.run("""
import colour
os.environ.update(VIRTUAL_ENV=old, CONDA_DEFAULT_ENV="left")
before = state()
with switch_env(made):
    assert importlib.import_module("colour").version == 2
    assert os.environ["CONDA_PREFIX"] == sys.prefix == made and "VIRTUAL_ENV" not in os.environ
    with switch_env(new):
        assert os.environ["VIRTUAL_ENV"] == sys.prefix == new and "CONDA_PREFIX" not in os.environ
        assert made not in os.environ["PATH"]
assert_is(before)
""", made=made, env=libraries)


def test_base_interpreter_is_in_no_environment(each_python):
    each_python.run("""
os.environ["VIRTUAL_ENV"] = old
before = state()
with switch_env(base):
    assert sys.prefix == sys.base_prefix and sys.executable == base
    assert "VIRTUAL_ENV" not in os.environ and "CONDA_PREFIX" not in os.environ, os.environ
    try:
        import colour
    except ImportError:
        colour = None
    assert not colour
    with switch_env(new):
        assert importlib.import_module("colour").version == 2
assert_is(before)
""", base=each_python.interpreter)


def test_process_of_a_base_interpreter_enters_an_environment(each_python):
    each_python.run("""
import importlib
before = state()
with switch_env(new):
    assert importlib.import_module("colour").version == 2 and sys.prefix == new
assert_is(before)
""", under=each_python.interpreter)


@pytest.mark.parametrize("option", ["-S", "-I", "-E", "-s", "-OO"])
def test_python_with_options(shared_place, option):
    shared_place.run("""
path = list(sys.path)
before = state()
with switch_env(new):
    assert importlib.import_module("colour").version == 2 and sys.prefix == new
    assert [each for each in sys.path if each in path] == [each for each in path if not each.startswith(old)]
assert_is(before)
""", option)


def test_packages_of_the_system_behind_those_of_the_environment(place):
    open_new = place.make("open", 2, "--system-site-packages")
    place.run("""
before = state()
with switch_env(new):
    closed = list(sys.path)
with switch_env(open_new):
    more = [each for each in sys.path if each.replace(open_new, new) not in closed]
    assert more and all(each.startswith(sys.base_prefix) for each in more), more
    assert sys.path[-len(more):] == more and importlib.import_module("colour").version == 2
assert_is(before)
""", open_new=open_new)


@pytest.mark.parametrize("mine", ["/mine", "/mine/site-packages"])
def test_variables_that_the_user_set_stay(shared_place, mine):
    shared_place.run("""
before = state()
assert sys.path[1] == mine
with switch_env(new):
    assert sys.path[1] == mine and os.environ["PYTHONPATH"] == mine and os.environ["MINE"] == "1"
    assert os.environ["PATH"] == os.path.join(new, "bin")  # an empty one more would be the current directory
assert_is(before)
""", env={"PYTHONPATH": mine, "MINE": "1", "PATH": ""}, mine=mine)


@pytest.mark.parametrize("loaded", ["before", "inside"])
def test_processes_of_multiprocessing_s(each_python, loaded):
    each_python.run("""
before = state()
if loaded == "before":
    import multiprocessing.spawn
with switch_env(new):
    import multiprocessing.spawn
    assert os.fsdecode(multiprocessing.spawn.get_executable()) == os.path.join(new, "bin", "python")
assert os.fsdecode(multiprocessing.spawn.get_executable()) == sys.executable
assert_is(before)
""", loaded=loaded)


# -- What stands in an environment -------------------------------------------------------------------


def test_pth_files_of_both_environments(place):
    for version, environment in ((1, place.old), (2, place.new)):
        sources = place.path / ("sources %d" % version)
        for name in ("plain", "slash", "relative", "spaces", "coded"):
            (sources / name).mkdir(parents=True)
            (sources / name / (name + ".py")).write_text("version = %d" % version)
        packages = site_packages(environment)
        lines = [str(sources / "plain"), str(sources / "slash") + "/", str(sources / "spaces") + "  ", "# a comment",
                 os.path.relpath(str(sources / "relative"), str(packages)),
                 "import sys; sys.path.insert(0, %r)" % str(sources / "coded")]
        (packages / "a.pth").write_text("\n".join(lines) + "\n")
    place.run("""
names = ["plain", "slash", "spaces", "relative", "coded"]
def versions():
    return [importlib.import_module(name).version for name in names]
assert versions() == [1] * 5
before = state()
for _ in range(2):
    with switch_env(new):
        assert [each for each in sys.path if "sources 1" in each] == []
        assert versions() == [2] * 5
        with switch_env(old):
            assert [each for each in sys.path if "sources 2" in each] == []
            assert versions() == [1] * 5
    assert_is(before)
""")


def test_pth_file_that_ends_the_process(place):
    line = "import colour, os, sys; sys.path_hooks.append(None); os.environ['ANSWER'] = '1'; sys.exit(3)\n"
    (site_packages(place.new) / "a.pth").write_text(line)
    place.run("""
answer = [broken, broken, os.path.join(broken, sysconfig.get_path("purelib")[len(sys.prefix) + 1:])]
proto_prime.self_portrait = lambda python: answer
before = state()
try:
    switch_env(broken)
    assert False
except SystemExit:
    assert_is(before)
""", new=place.old, broken=place.new)


def test_finder_that_fails_when_it_is_asked(place):
    (site_packages(place.new) / "odd.py").write_text("""\
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        raise ValueError(name)
sys.meta_path.append(Finder())
""")
    place.run("""
before = state()
with switch_env(new):
    import odd
    assert isinstance(sys.meta_path[-1], odd.Finder)
    with switch_env(old):
        assert importlib.import_module("colour").version == 1
        assert not isinstance(sys.meta_path[-1], odd.Finder)
assert_is(before)
""")


def test_package_that_was_installed_a_moment_ago(place):
    place.run("""
from importlib.machinery import PathFinder
def install(environment, name):
    packages = os.path.join(environment, sysconfig.get_path("purelib")[len(sys.prefix) + 1:])
    times = os.stat(packages)
    assert not PathFinder.find_spec(name, [packages])  # so that its finder knows what is there
    open(os.path.join(packages, name + ".py"), "w").close()
    os.utime(packages, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not PathFinder.find_spec(name, [packages])
install(new, "fresh")
with switch_env(new):
    import fresh
    install(old, "fresher")
import fresher
""")


def test_namespace_packages(place):
    for version, environment in ((1, place.old), (2, place.new)):
        (site_packages(environment) / "space").mkdir()
        (site_packages(environment) / "space" / "part.py").write_text("version = %d" % version)
        (site_packages(environment) / "space" / ("only%d.py" % version)).write_text("")
    (place.path / "home" / "space").mkdir()
    (place.path / "home" / "space" / "mine.py").write_text("")
    place.run("""
import space.part, space.only1, space.mine
first, before = space, state()
for _ in range(3):
    with switch_env(new):
        import space.part, space.only2, space.mine
        assert space is not first and space.part.version == 2 and list(first.__path__)
        try:
            import space.only1
            assert False
        except ImportError:
            pass
    assert_is(before)
    import space.part
    assert space is first and space.part.version == 1 and len(list(space.__path__)) == 2
    import space.only1
""")


def test_module_that_makes_its_submodules_itself(place, wheelhouse):
    for environment in (place.old, place.new):
        shutil.unpack_archive(str(next(wheelhouse.glob("six-*.whl"))), str(site_packages(environment)), "zip")
    place.run("""
import six.moves.urllib.parse
first, before = six, state()
with switch_env(new):
    assert "six.moves.urllib" not in sys.modules
    import six.moves.urllib.parse
    assert six is not first and sys.modules["six.moves"] is six.moves
    assert len([each for each in sys.meta_path if type(each).__name__ == "_SixMetaPathImporter"]) == 1
assert_is(before)
""")


def test_extension_module_of_each_environment(place):
    source = place.path / "speed.c"
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    source.write_text("""\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "speed", 0, 0, 0};
PyMODINIT_FUNC PyInit_speed(void) {
    PyObject *made = PyModule_Create(&module);
    PyModule_AddIntConstant(made, "version", VERSION);
    return made;
}
""")
    include = "import sysconfig; print(sysconfig.get_path('include'), sysconfig.get_config_var('EXT_SUFFIX'))"
    headers, suffix = subprocess.check_output([place.interpreter, "-c", include]).decode().split()
    if not os.path.exists(os.path.join(headers, "Python.h")):
        pytest.skip("no headers of python's")
    for version, environment in ((1, place.old), (2, place.new)):
        made = str(site_packages(environment) / ("speed" + suffix))
        subprocess.run(["cc", "-shared", "-fPIC", "-I" + headers, "-DVERSION=%d" % version, str(source), "-o", made],
                       check=True)
    place.run("""
import speed
before = state()
for _ in range(3):
    assert importlib.import_module("speed").version == 1
    with switch_env(new):
        assert importlib.import_module("speed").version == 2
assert_is(before)
assert importlib.import_module("speed") is speed
""")


@pytest.mark.slow  # the real installs, each by its build backend
def test_editable_installs(repo):
    repo.link("uv", uv_program())
    for version in "12":  # flit's is a path; setuptools' a finder, and a second one for the namespace package
        for name in ("flit", "found"):
            backend, module = BACKENDS[name], BACKENDS[name].partition(".")[0]
            text = PROJECT.format(name=name, version=version, backend=backend, module=module)
            repo.write("%s-%s/pyproject.toml" % (name, version), text)
        for module in ("flit-%s/flit", "found-%s/found/__init__", "found-%s/found/sub", "found-%s/part/__init__"):
            repo.write(module % version + ".py", "version = %s\n" % version)
    repo.config('''venv_driver = "venv_uv"
projects = ["flit-1", "found-1"]
env.new.projects = ["flit-2", "found-2"]
''')
    where = ["run", "python", "-c", "import sys; print(sys.prefix)"]
    old, new = (repo.prime(*words).stdout.strip() for words in (where, ["-e", "new"] + where))
    code = PRELUDE.format(home=str(repo.path), old=old, new=new) + """
def versions():
    import flit, found, found.sub, space.part
    return [flit.version, found.version, found.sub.version, space.part.version]
assert versions() == [1] * 4
before = state()
for _ in range(2):
    with switch_env(new):
        assert versions() == [2] * 4
        with switch_env(old):
            assert versions() == [1] * 4
        assert versions() == [2] * 4
    assert versions() == [1] * 4
    assert_is(before)
"""
    done = subprocess.run([os.path.join(old, "bin", "python"), "-c", code], env=repo.env, stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stderr) == (0, "")


# -- In a process that goes on -----------------------------------------------------------------------


def test_kept_packages_stay_loaded(each_python):
    each_python.run("""
import colour, only_in_1
before = state()
with switch_env(new, keep=["colour"]):
    assert importlib.import_module("colour") is colour and "only_in_1" not in sys.modules
    assert colour.shade.find() == 1  # a package's own modules come from where it is
    del sys.modules["colour.late"], colour.late
assert_is(before)
""")


def test_kept_package_that_was_not_loaded_is_that_of_each_environment(shared_place):
    shared_place.run("""
before = state()
with switch_env(new, keep=["colour"]):
    assert importlib.import_module("colour").version == 2
assert_is(before)
assert importlib.import_module("colour").version == 1
""")


def test_cells_that_hold_modules_across_switches(each_python):
    each_python.run('''
cells = {"__name__": "__main__"}
def cell(text):
    exec(text, cells)
cell("import colour\\ndef ask():\\n    return colour.version, colour.shade.version")
cell("def late():\\n    import colour as now\\n    return now.version")
cell("assert ask() == (1, 1) and late() == 1")
with switch_env(new):
    cell("assert ask() == (1, 1) and late() == 2")
    cell("held = colour\\nimport colour\\nassert colour is not held and ask() == (2, 2)")
cell("assert ask() == (2, 2) and late() == 1")
cell("import colour\\nassert colour is held and ask() == (1, 1)")
''')


def test_threads_that_run_what_they_imported_are_safe(shared_place):
    shared_place.run("""
import threading, colour
go_on, seen = threading.Event(), set()
def work(module):
    while not go_on.is_set():
        seen.add((module.version, module.shade.version))
thread = threading.Thread(target=work, args=(colour,))
thread.start()
for _ in range(5):
    with switch_env(new):
        importlib.import_module("colour")
go_on.set()
thread.join()
assert seen == {(1, 1)}
""")


def test_first_switch_of_a_process_leaves_nothing_but_modules_of_the_standard_library(shared_place):
    code = PRELUDE.partition("with switch_env")[0].format(home=str(shared_place.path / "home"), old="",
                                                          new=str(shared_place.new))
    code += """
before = state()
with switch_env(new):
    pass
assert_is(before)
"""
    subprocess.run([str(shared_place.old / "bin" / "python"), "-c", code], env=shared_place.environ, check=True)


def test_kernel(example):
    repo = example("kernel")
    printed = follow_readme(repo)
    assert printed["./prime run python kernel.py < worksheet.txt"].splitlines() == [
        "'#0000ff'", "(135, 206, 235)", "'#0000ff'", "False", "'#0000ff'"]
    process = repo.popen("run", "python", "kernel.py", stdin=subprocess.PIPE)
    stdout, stderr = process.communicate("import palette\n%env nowhere\n1/0\npalette.colour('sky')\n", timeout=60)
    assert stdout.splitlines()[-2:] == ["ZeroDivisionError: division by zero", "'#0000ff'"]
    assert "nowhere" in stderr and stdout.startswith("no environment nowhere: ")
