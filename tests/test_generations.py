"""What was built is kept, found again, swapped in one rename, and healed when it was harmed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import PYTHONS, TOP, project_text, python, snapshot, some_python, uv_program

IMPORT_LINE = re.compile(r"^import '?([\w.]+)'? ", re.MULTILINE)
WATCHER = """
import os, sys
program, stop = sys.argv[1:]
looks = misses = 0
while not os.path.exists(stop):
    looks += 1
    misses += not os.path.exists(program)
print(looks, misses)
"""


def imported(stderr):
    """The modules that a python loaded which ran under PYTHONVERBOSE."""
    return set(IMPORT_LINE.findall(stderr))


def boot_and_settle(repo):
    """Boot, and again, so that a stamp is kept. Returns the first `Result`."""
    result = repo.prime()
    repo.settle()
    repo.prime()
    return result


# -- nothing to do ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_start")
def test_second_boot_builds_nothing_and_says_so(plain):
    first = plain.prime()
    assert "building environment default: it was not built yet" in first.stderr
    assert ".venv is ready (environment default, python " in first.stderr
    plain.settle()
    plain.prime()
    before, logs = snapshot(plain.path / ".prime"), plain.logs
    second = plain.prime()
    assert second.stdout == ""
    line = r"prime: \.venv is current \(environment default, python 3\.[\d.]+\)\n"
    assert re.match(line + "$", second.stderr), second.stderr
    assert snapshot(plain.path / ".prime") == before
    assert plain.logs == logs


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_nothing_to_do_is_answered_without_an_import(plain, wild):
    plain.prime()
    plain.settle()
    plain.prime(python=PYTHONS[wild])  # keeps its bytecode, too
    verbose = {"PYTHONVERBOSE": "1"}
    bare = subprocess.run([str(PYTHONS[wild]), "-c", "pass"], env=dict(plain.env, **verbose),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    for argv in ([], ["boot"], ["run", "true"], ["run", "--", "true"]):
        warm = plain.prime(*argv, python=PYTHONS[wild], env=verbose)
        assert imported(warm.stderr) - imported(bare.stderr) <= {"proto_prime"}, argv
        assert ("is current" in warm.stderr) == (argv[:1] != ["run"])


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_import_of_the_file_loads_no_other_module(wild):
    code = "import sys; seen = set(sys.modules); import proto_prime; print(sorted(set(sys.modules) - seen))"
    done = subprocess.run([str(PYTHONS[wild]), "-B", "-c", code], cwd=str(TOP), stdout=subprocess.PIPE)
    assert done.stdout.decode().strip() == "['proto_prime']"


@pytest.mark.usefixtures("each_start")
def test_a_stamp_of_another_environment_variable_does_not_answer(plain):
    boot_and_settle(plain)
    result = plain.prime(env={"PROTOPRIMER_PYTHON": str(python("3.12"))})
    assert "building environment default: PROTOPRIMER_PYTHON is set now" in result.stderr
    assert plain.inside("import sys; print(sys.version_info[:2])",
                        env={"PROTOPRIMER_PYTHON": str(python("3.12"))}) == "(3, 12)"


# -- something changed -----------------------------------------------------------------------------


@pytest.mark.slow
def test_changed_dependency_gives_a_new_generation_in_one_rename(repo, tmp_path):
    repo.config('dependencies = ["six"]')
    repo.prime()
    old = repo.current
    stop = tmp_path / "stop"
    command = [sys.executable, "-S", "-c", WATCHER, str(repo.path / ".venv" / "bin" / "python"), str(stop)]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, universal_newlines=True)
    try:
        repo.config('dependencies = ["idna"]')
        result = repo.prime()
        new = repo.current
        for _ in range(4):  # from now on both are known: nothing but swaps
            repo.config('dependencies = ["six"]')
            repo.prime()
            assert repo.current == old
            repo.config('dependencies = ["idna"]')
            swapped = repo.prime()
            assert repo.current == new
    finally:
        stop.touch()
        looks, misses = watcher.communicate()[0].split()
    assert int(looks) > 100
    assert misses == "0"
    assert "building environment default: dependencies changed" in result.stderr
    assert "building" not in swapped.stderr
    assert repo.generations == sorted([old, new])
    assert len(repo.logs) == 2
    assert repo.inside("import idna") == ""
    repo.prime("run", "python", "-c", "import six", status=1)


@pytest.mark.usefixtures("each_start")
def test_T6_changed_and_changed_back_is_one_swap(plain):
    plain.prime()
    old = plain.current
    plain.config('index_url = "http://localhost/simple"')
    plain.prime()
    assert plain.current != old
    plain.config()
    back = plain.prime()
    assert "building" not in back.stderr
    assert ".venv is current" in back.stderr
    assert plain.current == old
    assert len(plain.logs) == 2


@pytest.mark.parametrize("wild", ["3.6", "3.13"])
def test_T6_away_and_back_is_answered_from_what_is_remembered(plain, wild):
    def change(text):
        plain.config(text)
        plain.settle()

    def imports_of(*argv, env=None):
        return imported(plain.prime(*argv, python=python(wild), env=dict(env or {}, PYTHONVERBOSE="1")).stderr)

    texts = ["", 'extra_index_urls = ["http://127.0.0.1:1/"]\n']
    built = []
    for text in texts:
        change(text)
        plain.prime(python=python(wild))
        plain.settle()
        built.append((plain.prime(python=python(wild)) and plain.current))
    for text, generation in zip(texts * 2, built * 2):
        change(text)
        assert not {"re", "json", "argparse"} & imports_of()
        assert plain.current == generation
        assert imports_of("run", "true") <= imports_of()  # and noted: no more than when nothing changed
    logs = len(plain.logs)
    plain.prime("reset")
    newest = plain.current
    assert newest not in built and len(plain.logs) == logs + 1
    for text, generation in ((texts[0], built[0]), (texts[1], newest)):  # never the one that was replaced
        change(text)
        plain.prime()
        assert plain.current == generation


def test_T6_back_to_a_generation_that_was_damaged_heals_it(plain):
    plain.project(["six"])
    boot_and_settle(plain)
    first = plain.current
    plain.project(["idna"])
    boot_and_settle(plain)
    shutil.rmtree(str(next(first.glob("lib/python*/site-packages/six*-info"))))
    plain.project(["six"])
    plain.settle()
    assert "six" in plain.prime().stderr
    assert plain.current != first
    assert plain.inside("import six") == ""


@pytest.mark.usefixtures("each_start")
def test_T6_touched_but_not_changed_is_no_rebuild(plain):
    boot_and_settle(plain)
    before = plain.current
    config = plain.path / "proto_prime.toml"
    os.utime(str(config))
    plain.settle()
    result = plain.prime()
    assert "building" not in result.stderr
    assert ".venv is current" in result.stderr
    assert plain.generations == [before]
    plain.settle()
    warm = plain.prime(env={"PYTHONVERBOSE": "1"})
    assert "argparse" not in imported(warm.stderr), "the stamp was not renewed"


@pytest.mark.usefixtures("each_start")
@pytest.mark.parametrize("way", ["written in place", "replaced"])
def test_T7_change_of_equal_size_in_the_same_second_is_noticed(plain, way):
    config = plain.config('env_vars = {ANSWER = "0"}')
    plain.prime()
    for number in "12345":
        st = os.stat(str(config))
        text = 'env_vars = {ANSWER = "%s"}' % number
        if way == "replaced":
            other = plain.write("other.toml", text)
            os.utime(str(other), ns=(st.st_atime_ns, st.st_mtime_ns))
            os.replace(str(other), str(config))
        else:
            config.write_text(text)
            os.utime(str(config), ns=(st.st_atime_ns, st.st_mtime_ns))
        assert plain.prime("run", "sh", "-c", "echo $ANSWER").stdout == number + "\n"


@pytest.mark.usefixtures("each_start")
def test_T7_change_under_a_clock_set_back_is_noticed(plain):
    config = plain.config('env_vars = {ANSWER = "0"}')
    boot_and_settle(plain)
    config.write_text('env_vars = {ANSWER = "1"}')
    os.utime(str(config), (10 ** 9, 10 ** 9))
    assert plain.prime("run", "sh", "-c", "echo $ANSWER").stdout == "1\n"


# -- time passes -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", ["moved", "copied"])
def test_T1_repo_that_was_moved_or_copied_is_noticed_in_one_line(repo, driver, way):
    repo.config('dependencies = ["wheel"]')
    boot_and_settle(repo)
    before, there = repo.path, repo.path.parent / "an other place"
    if way == "moved":
        os.rename(str(before), str(there))
    else:
        shutil.copytree(str(before), str(there), symlinks=True)
    repo.path = there
    result = repo.prime()
    said = "building environment default: the repo was moved or copied from %s" % before
    assert result.stderr.count("moved or copied") == 1
    assert said in result.stderr
    assert repo.prime("run", "wheel", "version").stdout.startswith("wheel ")
    program = repo.path / ".venv" / "bin" / "wheel"
    assert subprocess.run([str(program), "version"], stdout=subprocess.DEVNULL).returncode == 0
    assert repo.inside("import sys; print(sys.prefix)") == str(repo.current)
    assert str(repo.current).startswith(str(there))
    if way == "copied":
        repo.path = before
        assert "is current" in repo.prime().stderr
        assert repo.inside("import sys; print(sys.prefix)") == str(repo.current)


@pytest.mark.usefixtures("each_start")
def test_T2_base_python_that_was_replaced_by_another_version_is_noticed(plain, tmp_path):
    base, other = tmp_path / "base", tmp_path / "other"
    base.symlink_to(python("3.12").parent.parent)
    other.symlink_to(python("3.13").parent.parent)
    plain.env["PROTOPRIMER_PYTHON"] = str(base / "bin" / "python3")
    boot_and_settle(plain)
    os.replace(str(other), str(base))
    result = plain.prime()
    assert result.stderr.count("building environment default: ") == 1
    assert "was replaced" in result.stderr or "is gone" in result.stderr
    assert plain.inside("import sys; print(sys.version_info[:2])") == "(3, 13)"


@pytest.mark.usefixtures("each_start")
def test_T2_base_python_that_was_removed_is_noticed(plain, tmp_path):
    plain.config('required_python_version = "3.12"')
    for name in ("first", "second"):
        (tmp_path / name).symlink_to(python("3.12").parent.parent)
    plain.env["PATH"] = os.pathsep.join([str(tmp_path / name / "bin") for name in ("first", "second")] + [
        plain.env["PATH"]])
    boot_and_settle(plain)
    (tmp_path / "first").unlink()
    result = plain.prime()
    assert result.stderr.count("building environment default: ") == 1
    assert plain.inside("import sys; print(sys.version_info[:2])") == "(3, 12)"


HARM = {
    "its python": "bin/python",
    "its pyvenv.cfg": "pyvenv.cfg",
    "a package": "lib/*/site-packages/idna",
    "all packages": "lib/*/site-packages",
    "its marker": "proto-prime.json",
    "all of it": ".",
}


@pytest.mark.usefixtures("each_start")
@pytest.mark.parametrize("what", sorted(HARM))
def test_T3_what_is_missing_from_the_environment_is_noticed(repo, what):
    repo.config('dependencies = ["idna"]')
    boot_and_settle(repo)
    harmed = repo.current if HARM[what] == "." else next(repo.current.glob(HARM[what]))
    shutil.rmtree(str(harmed)) if harmed.is_dir() else harmed.unlink()
    result = repo.prime("run", "python", "-c", "import idna; print(1)")
    assert result.stdout == "1\n"
    assert result.stderr.count("building environment default: ") == 1
    assert "is current" in repo.prime().stderr


def test_T3_reset_heals_what_boot_cannot_see(repo):
    repo.config('dependencies = ["idna"]')
    boot_and_settle(repo)
    next(repo.current.glob("lib/*/site-packages/idna/core.py")).unlink()
    assert "is current" in repo.prime().stderr
    repo.prime("reset")
    assert repo.inside("import idna.core") == ""


def make_directory(link):
    link.mkdir()
    (link / "mine.txt").write_text("mine")


def make_file(link):
    link.write_text("mine")


def make_dangling(link):
    link.symlink_to("no-such-thing")


def make_foreign(link):
    place = link.parent.parent / "somebody's venv"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    link.symlink_to(place)


@pytest.mark.parametrize("is_first", [True, False], ids=["fresh clone", "known"])
@pytest.mark.parametrize("make", [make_directory, make_file, make_dangling, make_foreign])
def test_T4_what_stands_at_venv_and_is_not_ours_is_renamed_and_never_lost(plain, make, is_first):
    link, aside = plain.path / ".venv", plain.path / ".venv.before-prime"
    if not is_first:
        boot_and_settle(plain)
        link.unlink()
    make(link)
    result = plain.prime()
    assert ("building" in result.stderr) == is_first
    assert "renamed to .venv.before-prime" in result.stderr
    assert plain.generations == [plain.current]
    assert os.path.lexists(str(aside))
    if make is make_dangling:
        assert os.readlink(str(aside)) == "no-such-thing"
    else:
        assert (aside if make is make_file else aside / "mine.txt").read_text() == "mine"


def test_T4_a_file_named_as_our_marker_in_the_current_directory_makes_no_directory_ours(plain):
    plain.write("proto-prime.json", "{}")
    make_directory(plain.path / ".venv")
    assert "renamed to .venv.before-prime" in plain.prime(cwd=plain.path).stderr
    assert (plain.path / ".venv.before-prime" / "mine.txt").read_text() == "mine"


def test_T4_a_second_one_is_not_lost_either(plain):
    plain.prime()
    for number in "12":
        (plain.path / ".venv").unlink()
        (plain.path / ".venv").write_text(number)
        plain.prime()
    kept = [path.read_text() for path in plain.path.glob(".venv.before-prime*")]
    assert sorted(kept) == ["1", "2"]


@pytest.mark.usefixtures("each_start")
@pytest.mark.parametrize("target", [None, ".prime/envs/default-000000000000"])
def test_T4_a_link_of_ours_that_is_gone_or_dangles_is_put_right_silently(plain, target):
    boot_and_settle(plain)
    link = plain.path / ".venv"
    link.unlink()
    if target:
        link.symlink_to(target)
    result = plain.prime()
    assert "building" not in result.stderr
    assert "renamed" not in result.stderr
    assert plain.generations == [plain.current]
    assert not list(plain.path.glob(".venv.before-prime*"))


def newer(stamp):
    return re.sub(b"^proto_prime stamp [0-9]+", b"proto_prime stamp 999", stamp)


DAMAGE = {
    "garbage": lambda stamp: bytes(range(256)) * 8,
    "empty": lambda stamp: b"",
    "of a newer version": newer,
    "truncated": lambda stamp: stamp[: len(stamp) // 2],
    "truncated at a field": lambda stamp: stamp[: stamp.rindex(b"\0")],
    "zeroed": lambda stamp: b"\0" * len(stamp),
    "twice": lambda stamp: stamp + stamp,
}


@pytest.mark.usefixtures("each_start")
@pytest.mark.parametrize("way", sorted(DAMAGE))
def test_T5_damaged_stamp_is_as_if_there_were_none(plain, way):
    boot_and_settle(plain)
    stamp, before = plain.path / ".prime" / "stamp" / "default", plain.current
    good = stamp.read_bytes()
    stamp.write_bytes(DAMAGE[way](good))
    assert plain.prime("run", "python", "-c", "import sys; print(sys.prefix)").stdout == "%s\n" % before
    stamp.write_bytes(DAMAGE[way](good))
    result = plain.prime()
    assert "building" not in result.stderr
    assert ".venv is current" in result.stderr
    assert plain.generations == [before]


def test_T5_empty_prime_directory_is_as_if_there_were_none(plain):
    boot_and_settle(plain)
    shutil.rmtree(str(plain.path / ".prime"))
    (plain.path / ".prime").mkdir()
    result = plain.prime()
    assert "building environment default: it was removed: " in result.stderr  # the link is still there
    assert plain.generations == [plain.current]
    assert (plain.path / ".prime" / ".gitignore").read_text() == "*\n"


def without(field):
    def damage(marker):
        told = json.loads(marker.decode())
        del told[field]
        return json.dumps(told).encode()
    return damage


MARKER_DAMAGE = {
    "garbage": lambda marker: bytes(range(256)),
    "empty": lambda marker: b"",
    "truncated": lambda marker: marker[: len(marker) // 2],
    "a list": lambda marker: b"[]",
    "null": lambda marker: b"null",
    "of a newer schema": lambda marker: marker.replace(b'"schema": 1', b'"schema": 999', 1),
    "an empty object": lambda marker: b"{}",
}
MARKER_DAMAGE.update({"without its " + name: without(name) for name in (
    "python", "identity", "inputs", "listing", "created")})


@pytest.mark.parametrize("way", sorted(MARKER_DAMAGE))
def test_T5_damaged_marker_means_another_build(plain, way):
    boot_and_settle(plain)
    marker = plain.current / "proto-prime.json"
    marker.write_bytes(MARKER_DAMAGE[way](marker.read_bytes()))
    result = plain.prime()
    assert "Traceback" not in result.stderr
    assert "building environment default" in result.stderr
    assert plain.inside("print(1)") == "1"


def test_T5_what_stands_in_the_place_of_the_prime_directory_is_renamed(plain):
    plain.write(".prime", "mine")
    result = plain.prime()
    assert "%s was not made by prime: renamed to .prime.before-prime\n" % (plain.path / ".prime") in result.stderr
    assert (plain.path / ".prime.before-prime").read_text() == "mine"
    assert plain.inside("print(1)") == "1"


@pytest.mark.parametrize("name", ["envs", "stamp", "log", "held", "lock", "use"])
def test_T5_what_stands_in_the_place_of_a_part_of_it_is_renamed(plain, name):
    plain.prime()
    place = plain.path / ".prime" / name
    shutil.rmtree(str(place), ignore_errors=True)
    if name in ("lock", "use"):
        if place.exists():
            place.unlink()
        (place / "mine").mkdir(parents=True)
    else:
        place.write_text("mine")
    plain.config('env_vars = {NEW = "1"}')
    plain.prime()
    assert plain.inside("import os; print(os.environ['NEW'])") == "1"
    aside = plain.path / ".prime" / (name + ".before-prime")
    assert (aside / "mine").exists() if aside.is_dir() else aside.read_text() == "mine"


# -- things that break half-way --------------------------------------------------------------------


@pytest.mark.slow
def test_B3_eight_boots_at_once_build_one_generation(plain):
    plain.config('post_boot = [["python", "-c", "import time; time.sleep(2)"]]')
    boots = [plain.popen() for _ in range(8)]
    said = [boot.communicate(timeout=120)[1] for boot in boots]
    assert [boot.returncode for boot in boots] == [0] * 8, said
    builders = [boot.pid for boot, text in zip(boots, said) if "prime: building environment" in text]
    assert len(builders) == 1, said
    assert len(plain.generations) == 1
    logs = [log.read_text(encoding="utf-8") for log in plain.logs]
    assert sum("prime: building environment" in log for log in logs) == 1
    assert any("waiting for process %d on " % builders[0] in text for text in said)
    assert all("is ready" in text or "is current" in text for text in said)


def test_B3_two_environments_of_a_repo_at_once_are_both_built(plain):
    plain.config("[env.docs]\n[env.lint]\n")
    boots = [plain.popen("-e", name, "run", "python", "-c", "import sys; print(sys.prefix)")
             for name in ("docs", "lint")]
    prefixes = [boot.communicate(timeout=120)[0].strip() for boot in boots]
    assert sorted(prefixes) == sorted(str(path) for path in plain.generations)
    assert len(set(prefixes)) == 2


def envs(repo):
    """The names of all that stands where generations are built."""
    directory = repo.path / ".prime" / "envs"
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


BROKEN = {
    "a dependency that does not exist": ('dependencies = ["no-such-thing-at-all"]', "no-such-thing-at-all"),
    "dependencies that conflict": ('dependencies = ["six>1", "six<1"]', "six<1"),
    "a project that does not build": ('projects = ["broken"]', "boom 42"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_B6_failed_install_tells_the_tools_words_and_leaves_the_old_environment(repo, driver, what):
    config, words = BROKEN[what]
    repo.write("broken/pyproject.toml", "\n".join([
        "[build-system]", "requires = []", 'build-backend = "backend"', 'backend-path = ["."]',
        "[project]", 'name = "broken"', 'version = "1"']))
    repo.write("broken/backend.py", 'raise Exception("boom %d" % 42)\n')
    repo.config(config)
    first = repo.prime(status=1)
    assert words in first.stderr
    assert envs(repo) == []
    assert not os.path.lexists(str(repo.path / ".venv"))
    repo.config()
    repo.prime()
    old, before = repo.current, envs(repo)
    repo.config(config)
    for argv in ([], ["reset"], ["run", "true"])[: 3 if driver == "venv_uv" else 1]:
        failed = repo.prime(*argv, status=1)
        assert failed.stdout == ""
        error = failed.stderr[failed.stderr.index("prime: error: "):]
        assert words in error
        log = re.search(r"the whole log: (.*)", error).group(1)
        with open(log, encoding="utf-8") as file:
            assert words in file.read()
        assert repo.current == old
        assert envs(repo) == before
    assert subprocess.run([str(repo.path / ".venv" / "bin" / "python"), "-c", "pass"]).returncode == 0
    repo.config()
    assert "is current" in repo.prime().stderr


SLOWLY = 'post_boot = [["sh", "-c", "touch going; while [ -e wait ]; do sleep 0.02; done"]]\n'


def reset_meanwhile(repo, act):
    """Reset, and do something in the middle of the build. Returns what `act` returns."""
    (repo.path / "going").unlink()
    (repo.path / "wait").touch()
    reset = repo.popen("reset")
    while not (repo.path / "going").exists():
        time.sleep(0.01)
    done = act()
    (repo.path / "wait").unlink()
    assert reset.wait() == 0, reset.communicate()
    return done


@pytest.mark.parametrize("argv", [[], ["-v"]])
def test_B4_reset_is_not_undone_by_a_boot_that_waits_for_it(plain, argv):
    plain.config(SLOWLY)
    boot_and_settle(plain)
    old = plain.current
    (plain.path / ".venv").unlink()  # so that each of the two publishes

    def boot():
        other = plain.popen(*argv)
        time.sleep(1)  # it waits then, or is done
        return other

    other = reset_meanwhile(plain, boot)
    assert other.wait() == 0
    assert plain.current != old
    assert plain.info()["current"]
    plain.settle()
    plain.prime()
    assert plain.current != old and len(plain.generations) == 2


def test_B4_answer_from_the_middle_of_a_reset_is_not_remembered(plain):
    plain.config('default_env = "dev"\n' + SLOWLY + "[env.dev]\n")
    boot_and_settle(plain)
    tell = ["-e", "dev", "run", "python", "-c", "import sys; print(sys.prefix)"]
    plain.prime(*tell)
    old = plain.current

    def ask():
        return [(plain.settle(), plain.prime(*tell).stdout.strip())[1] for _ in range(2)]

    assert reset_meanwhile(plain, ask) == [str(old)] * 2
    assert plain.current != old
    assert plain.prime(*tell).stdout.strip() == str(plain.current)


def test_post_boot_command_that_runs_prime_runs_in_what_is_being_built(plain):
    tell = "%s run python -c 'import sys; print(sys.prefix)' >> told" % shlex.quote(str(plain.path / "prime"))
    plain.config("post_boot = [%s]" % json.dumps(["sh", "-c", "exec python " + tell]))
    boot_and_settle(plain)
    for is_missing in (False, True):
        if is_missing:
            (plain.path / ".venv").unlink()
        plain.prime("reset", timeout=60)
        boot_and_settle(plain)
    told = (plain.path / "told").read_text().split("\n")[:-1]
    assert len(set(told)) == 3 and sorted(told) == sorted(map(str, plain.generations))


def test_T4_directory_where_the_link_was_is_not_renamed_on_the_way_back(plain):
    plain.config('venv_dir_rel_path = "env"')
    boot_and_settle(plain)
    (plain.path / "env").unlink()
    plain.write("env/data", "mine")
    assert "is a directory of something else" in plain.prime(status=2).stderr
    assert (plain.path / "env" / "data").read_text() == "mine"


def test_B7_failed_post_boot_is_not_published(plain):
    plain.prime()
    old = plain.current
    fail = "import sys; print('so it goes', file=sys.stderr); sys.exit(3)"
    plain.config("post_boot = [%s]" % json.dumps(["python", "-c", fail]))
    result = plain.prime(status=1)
    assert "so it goes" in result.stderr
    assert "exit status 3" in result.stderr
    assert "the whole log: " in result.stderr
    assert plain.current == old
    assert envs(plain) == [old.name]
    plain.config()
    assert "is current" in plain.prime().stderr


def test_B7_post_boot_without_its_program_is_a_failure_as_any_other(plain):
    plain.config('post_boot = [["no-such-program"]]')
    result = plain.prime(status=1)
    assert "no-such-program" in result.stderr
    assert "post_boot" in result.stderr
    assert envs(plain) == []


def test_post_boot_runs_once_in_the_root_with_the_environment_active(plain):
    told = "'|'.join([os.getcwd(), sys.prefix, os.environ['VIRTUAL_ENV']])"
    code = "import os, sys; open('seen', 'a').write(%s)" % told
    plain.config("post_boot = [%s]" % json.dumps(["python", "-c", code]))
    assert plain.prime().stdout == ""
    plain.settle()
    plain.prime()
    assert (plain.path / "seen").read_text() == "%s|%s|%s" % (plain.path, plain.current, plain.current)


@pytest.mark.slow
def test_post_boot_that_primes_the_same_repo_does_not_wait_for_itself(plain):
    plain.config("post_boot = [%s]" % json.dumps([str(some_python()), "prime", "-q", "run", "true"]))
    boot = plain.popen(start_new_session=True)
    try:
        said = boot.communicate(timeout=15)[1]
    except subprocess.TimeoutExpired:
        pytest.fail("it waits for itself, for ever")
    finally:
        if boot.poll() is None:
            boot.send_signal(signal.SIGTERM)
            boot.communicate()
    assert "prime: error: " in said or boot.returncode == 0


# -- reset -----------------------------------------------------------------------------------------


def test_reset_gives_a_new_generation_while_the_old_one_stays(plain):
    plain.prime()
    old = plain.current
    result = plain.prime("reset")
    assert result.stdout == ""
    assert "building environment default: a new one is asked for" in result.stderr
    new = plain.current
    assert new != old
    assert plain.generations == sorted([old, new])
    assert "is current" in plain.prime().stderr
    assert plain.current == new
    plain.prime("reset")
    assert len(plain.generations) == 3


def test_reset_that_fails_keeps_the_old_generation(plain):
    plain.config('post_boot = [["python", "check.py"]]')
    plain.write("check.py", "")
    boot_and_settle(plain)
    old = plain.current
    plain.write("check.py", "raise SystemExit('not today')")
    result = plain.prime("reset", status=1)
    assert "not today" in result.stderr
    assert plain.generations == [plain.current] == [old]
    assert envs(plain) == [old.name]
    assert "is current" in plain.prime().stderr


def test_what_runs_keeps_its_files_when_the_link_moves_and_holds_no_lock(plain):
    code = "import sys; print(sys.prefix, flush=True); sys.stdin.read(); import this"
    runs = plain.popen("run", "python", "-c", code, stdin=subprocess.PIPE)
    prefix = runs.stdout.readline().strip()
    assert prefix == str(plain.current)
    plain.prime("reset", timeout=60)
    assert prefix != str(plain.current)
    assert runs.communicate(timeout=60)[0].startswith("The Zen of Python")


# -- the environment of the caller -----------------------------------------------------------------


def start_in_shell(repo, script, *argv):
    """Run `prime argv…` by a line of sh, in which "$@" stands for it. Returns the CompletedProcess."""
    command = repo.words() + list(argv)
    return subprocess.run(["sh", "-c", script, "sh"] + command, env=repo.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                          cwd=str(repo.path), timeout=120)


@pytest.mark.usefixtures("each_start")
@pytest.mark.parametrize("closing", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_E7_closed_streams(repo, closing):
    repo.config('dependencies = ["six"]\nenv_vars = {ANSWER = "42"}')
    for _ in range(3):
        done = start_in_shell(repo, 'exec "$@" ' + closing)
        assert done.returncode == 0, done.stderr
        repo.settle()
    assert repo.generations == [repo.current]
    log = repo.logs[-1].read_text(encoding="utf-8")
    assert "prime: building environment default" in log and "Traceback" not in log
    code = "import os, six; open('answer', 'w').write(os.environ['ANSWER'])"
    done = start_in_shell(repo, 'exec "$@" ' + closing, "run", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert (repo.path / "answer").read_text() == "42"


def test_E7_closed_stdout_is_said_by_a_command_that_prints(plain):
    plain.prime()
    done = start_in_shell(plain, 'exec "$@" 1>&-', "info")
    assert done.returncode == 1
    assert "stdout is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_E7_reader_of_stdout_that_went_away_causes_no_traceback(plain):
    plain.prime()
    done = start_in_shell(plain, '{ sleep 0.5; "$@"; } | true', "info")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip"])
def test_E7_umask_077(repo, driver_name):
    repo.config('venv_driver = "%s"\ndependencies = ["six"]' % driver_name)
    for _ in range(2):
        done = start_in_shell(repo, 'umask 077; exec "$@"')
        assert done.returncode == 0, done.stderr
    assert repo.inside("import six") == ""


@pytest.mark.usefixtures("each_start")
def test_E7_no_HOME(plain):
    plain.env.pop("HOME")
    plain.prime()
    assert plain.inside("print(1)") == "1"


def test_M12_home_and_temporary_directory_that_cannot_be_written_are_said_where_it_matters(plain, tmp_path):
    (tmp_path / ("proto_prime-%d" % os.geteuid())).write_text("a file of that name")
    plain.env.update(HOME="/proc/no-such-home", PROTOPRIMER_VENV_DRIVER="venv_pip", TMPDIR=str(tmp_path))
    plain.env.pop("PROTOPRIMER_CACHE_DIR")
    result = plain.prime(status=1)
    assert "/proc/no-such-home" in result.stderr
    assert "hint: PROTOPRIMER_CACHE_DIR names another cache directory" in result.stderr
    assert "Traceback" not in result.stderr
    plain.link("uv", uv_program())
    plain.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    plain.prime("reset", env={"PROTOPRIMER_CACHE_DIR": str(plain.home / "cache")})


@pytest.mark.usefixtures("each_start")
def test_E7_current_directory_deleted(plain):
    gone = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    for argv in ([], [], ["run", "echo", "here"]):
        done = start_in_shell(plain, gone, *argv)
        assert done.returncode == 0, done.stderr
        plain.settle()
    assert done.stdout == "here\n"


def test_E7_current_directory_deleted_before_a_start_by_a_relative_path(plain):
    command = "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" ../prime"
    made = subprocess.run(["sh", "-c", command, str(some_python())], cwd=str(plain.path), env=plain.env,
                          stderr=subprocess.PIPE)
    assert made.returncode == 1
    assert b"prime: error: " in made.stderr and b"Traceback" not in made.stderr


def test_E7_current_directory_deleted_is_said_where_it_matters(plain):
    done = start_in_shell(plain, 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "--root", "sub")
    assert done.returncode in (1, 2)
    assert "prime: error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("each_start")
def test_state_directory_outside_the_tree(plain, tmp_path):
    plain.env["PROTOPRIMER_STATE_DIR"] = str(tmp_path / "state")
    boot_and_settle(plain)
    assert not (plain.path / ".prime").exists()
    assert plain.current.parent == tmp_path / "state" / "envs"
    assert plain.inside("import sys; print(sys.prefix)") == str(plain.current)
    before = plain.current
    plain.prime("reset")
    assert plain.current != before
    assert not list(plain.path.glob(".venv.before-prime*"))


def test_change_of_a_local_project_in_a_requirements_file_builds_anew(repo):
    repo.link("uv", uv_program())
    repo.write("lib/pyproject.toml", project_text("lib", [], ""))
    repo.write("lib/lib.py", '"""A library."""\n')
    repo.config('requirements_files = ["r.txt"]')
    repo.write("r.txt", "-e ./lib\n")
    repo.prime()
    repo.settle()
    assert "is current" in repo.prime().stderr
    repo.write("lib/pyproject.toml", project_text("lib", ["six"], ""))
    assert "lib/pyproject.toml changed" in repo.prime().stderr
    assert repo.inside("import six; print(six.__name__)") == "six"
