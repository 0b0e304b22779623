"""Nothing that is not ours: what is removed, overwritten, run or believed carries our mark and lies there itself."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile

import pytest
from conftest import TOP, python, snapshot, some_python, uv_program

import proto_prime

DAY = 24 * 3600


def git(directory, *words):
    environ = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull)
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git"] + who + list(words), cwd=str(directory), env=environ, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def precious_tree(tmp_path):
    """A directory of somebody's, with names that could be taken for ours, and what must be left of it."""
    precious = tmp_path / "precious"
    logs = ["20200101-000000-%d.log" % number for number in range(6)]
    for name in ["default-0123456789ab/proto-prime.json", "default-0123456789ab/data", "mine/data",
                 "0123456789ab.default", "default"] + logs:
        (precious / name).parent.mkdir(parents=True, exist_ok=True)
        (precious / name).write_text("{}")
    return precious


# -- links (H1) ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["envs", "log", "stamp", "held", "building", "lock", "use"])
@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "bare"])
def test_H1_links_that_a_clone_brings_are_not_followed(plain, tmp_path, name, is_marked):
    precious = precious_tree(tmp_path)
    target = precious / "default" if name in ("lock", "use") else precious
    origin = tmp_path / "origin"
    shutil.copytree(str(plain.path), str(origin), symlinks=True)
    (origin / ".prime").mkdir()
    (origin / ".prime" / name).symlink_to(os.path.join("..", "..", os.path.relpath(str(target), str(tmp_path))))
    if is_marked:
        (origin / ".prime" / ".proto-prime").write_text("")
    git(origin, "init", "-q")
    git(origin, "add", "-A", "-f")
    git(origin, "commit", "-qm", "all")
    shutil.rmtree(str(plain.path))
    git(tmp_path, "clone", "-q", str(origin), str(plain.path))
    before = snapshot(precious)
    for command in ("", "run true", "clean", "clean --all", "reset", "rollback", "info", "use default"):
        plain.prime(*command.split(), status=None)
        assert snapshot(precious) == before, command
    assert os.path.islink(str(plain.path / ".prime" / name))
    if is_marked:
        told = plain.prime(status=1).stderr
        assert "%s is a link" % (plain.path / ".prime" / name) in told and "PROTOPRIMER_STATE_DIR" in told
    else:  # what others put there is left alone, and the work goes on beside it
        plain.prime()
        assert plain.inside("print(1)") == "1"


@pytest.mark.parametrize("command", ["boot", "run true", "info", "clean", "reset", "rollback", "use default", "lock",
                                     "vendor", "shell", "python"])
def test_H1_state_directory_that_is_a_link_is_refused(plain, tmp_path, command):
    (tmp_path / "elsewhere").mkdir()
    (plain.path / ".prime").symlink_to(tmp_path / "elsewhere")
    told = plain.prime(*command.split(), status=None, env={"SHELL": "/bin/true"})
    if command != "python":  # which needs none
        assert told.status == 1
        assert "%s is a link" % (plain.path / ".prime") in told.stderr and "PROTOPRIMER_STATE_DIR" in told.stderr
    assert not list((tmp_path / "elsewhere").iterdir())


def test_H1_a_link_among_the_generations_is_none(plain, tmp_path):
    plain.prime()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(str(plain.current), str(elsewhere), symlinks=True)
    (plain.path / ".prime" / "envs" / "default-0123456789ab").symlink_to(elsewhere)
    before = snapshot(elsewhere)
    plain.prime("reset")
    plain.prime("clean", "--all")
    assert snapshot(elsewhere) == before


def test_H1_lock_of_somebody_else_is_not_truncated(plain):
    plain.prime()
    lock = plain.path / ".prime" / "lock"
    lock.write_text("precious")
    plain.prime("reset")
    assert lock.read_text() == "precious"


# -- places that others use, too (H2) --------------------------------------------------------------


def foreign_place(directory):
    """A directory with what others made, under names that are ours elsewhere."""
    for name in ("envs/mine/data", "envs/default-0123456789ab/data", "log/old.log", "log/20200101-000000-1.log",
                 "vendor/data", "scripts/0123456789ab/data", "scripts/backup.sh", "uv/archive/data", "uv/uv-1.0",
                 "pip/http/data", "answers/0123456789abcdef", "locks/0123456789abcdef", "shell/rc",
                 "stamp/0123456789ab.default", "lock", "use"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
        os.utime(str((directory / name).parent), (0, 0))
    return snapshot(directory)


@pytest.mark.parametrize("variable", ["PROTOPRIMER_STATE_DIR", "PROTOPRIMER_CACHE_DIR"])
def test_H2_directory_that_others_use_too_keeps_what_they_have(plain, tmp_path, variable):
    shared = tmp_path / "shared place"
    before = foreign_place(shared)
    plain.env[variable] = str(shared)
    for number in range(1, 7):
        plain.config('env_vars = {A = "1"}\ndependencies = []\nextra_index_urls = ["http://127.0.0.1:%d/"]\n' % number)
        plain.prime()
    for command in (["clean"], ["clean", "--all"], []):
        plain.prime(*command)
    now = snapshot(shared)
    assert {name: now.get(name) for name in before if name not in ("envs", "log")} == \
        {name: state for name, state in before.items() if name not in ("envs", "log")}
    assert plain.inside("print(1)") == "1"


def test_H2_repo_as_cache_keeps_its_directories(plain):
    plain.write("scripts/build.sh", "mine")
    plain.write("uv/uv-1", "mine")
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(plain.path)
    plain.prime()
    plain.prime("clean", "--all")
    assert (plain.path / "scripts" / "build.sh").read_text() == "mine" == (plain.path / "uv" / "uv-1").read_text()


@pytest.mark.parametrize("name", [".proto-prime.0123456789abcdef", ".prime-probe.0123456789abcdef", "0123456789abcdef"])
def test_B3_state_that_another_boot_makes_just_now_is_no_foreign_directory(plain, name):
    (plain.path / ".prime").mkdir()
    (plain.path / ".prime" / (name + ".prime-tmp")).touch()  # what it writes or tries before the mark is there
    plain.prime()
    assert (plain.path / ".prime" / "lock").is_file() and not (plain.path / ".prime" / ".prime").exists()


def test_H2_directories_of_ours_are_marked(plain, tmp_path):
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(tmp_path / "own cache")
    plain.env["PROTOPRIMER_STATE_DIR"] = str(tmp_path / "own state")
    (tmp_path / "own state").mkdir()  # empty, such as a volume
    plain.prime()
    assert (tmp_path / "own state" / ".proto-prime").is_file() and (tmp_path / "own state" / "envs").is_dir()
    assert (tmp_path / "own cache" / ".proto-prime").is_file()
    tag = (tmp_path / "own cache" / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_T8_state_directory_from_before_there_was_a_mark_is_used_on(plain):
    plain.prime()
    shutil.rmtree(str(plain.path / ".prime" / "building"))
    (plain.path / ".prime" / ".proto-prime").unlink()
    first = plain.current
    assert "is current" in plain.prime().stderr and plain.current == first
    plain.prime("reset")
    assert (plain.path / ".prime" / ".proto-prime").is_file() and plain.current.parent == first.parent


# -- temporary files and targets (H5) --------------------------------------------------------------


def test_H5_planted_temporary_names_are_not_written_through(repo, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    code = 'for name in prime proto_prime.py proto_prime.toml .gitignore .gitattributes; do ' \
           'ln -s "$1" "$name.$$.tmp"; done; shift; exec "$@"'
    target = tmp_path / "hostile"
    target.mkdir()
    subprocess.run(["sh", "-c", code, "sh", str(victim), str(some_python()), str(TOP / "proto_prime.py"), "init"],
                   cwd=str(target), env=repo.env, check=True, stderr=subprocess.DEVNULL)
    assert victim.read_text() == "precious"
    assert not (target / "prime").is_symlink() and os.access(str(target / "prime"), os.X_OK)


@pytest.mark.parametrize("name", ["prime", "prime.cmd", "proto_prime.py", "proto_prime.toml", ".gitignore",
                                  ".gitattributes", "tools"])
def test_H5_init_refuses_targets_that_lead_elsewhere(repo, tmp_path, name):
    outside, target = tmp_path / "outside", tmp_path / "hostile"
    outside.mkdir()
    target.mkdir()
    if name == "tools":
        (target / "prime").write_text("mine")  # so that tools/ is chosen
    (target / name).symlink_to(outside if name == "tools" else outside / name)
    result = repo.prime("init", str(target), entry=str(TOP / "proto_prime.py"), status=None)
    assert not list(outside.iterdir())
    if name in ("prime", "proto_prime.py"):  # something else, it seems: ours go to tools/
        assert (target / "tools" / "proto_prime.py").is_file()
    else:
        assert result.status == 1 and "is not written through" in result.stderr and str(outside) in result.stderr


def test_H5_leftovers_of_killed_commands_are_removed_by_their_name_and_age(repo):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]')
    old, young = "0123456789abcdef", "fedcba9876543210"
    names = ["pylock.aside-%s.toml", "pylock.aside-%s.toml.in", "pylock.toml.%s.prime-tmp"]
    for name in names:
        repo.write(name % young, "half")
        path = repo.write(name % old, "half")
        os.utime(str(path), (time.time() - DAY, time.time() - DAY))
    for name in ("pylock.aside-mine.toml", "pylock.toml.mine.prime-tmp"):
        path = repo.write(name, "mine")
        os.utime(str(path), (0, 0))
    repo.prime("lock")
    left = {path.name for path in repo.path.iterdir() if path.name.startswith("pylock")}
    kept = {name % young for name in names}
    assert left == {"pylock.toml", "pylock.aside-mine.toml", "pylock.toml.mine.prime-tmp"} | kept


# -- a cache that others may write to (H8, H9) ------------------------------------------------------


@pytest.mark.parametrize("name", ["", "uv", "answers", "pip"])
def test_H8_cache_that_others_may_write_to_is_not_used(plain, tmp_path, name):
    cache, private = tmp_path / "cache", tmp_path / "temporary"
    private.mkdir()
    env = {"PROTOPRIMER_CACHE_DIR": str(cache), "TMPDIR": str(private)}
    plain.prime(env=env)
    (cache / name).mkdir(exist_ok=True)
    (cache / name).chmod(0o777)
    planted = cache / "uv" / "uv-99.0"
    planted.parent.mkdir(exist_ok=True)
    planted.write_text("#!/bin/sh\ntouch '%s/run'\necho uv 99.0\n" % tmp_path)
    planted.chmod(0o755)
    result = plain.prime("reset", env=env)
    assert "the cache %s is not used, for others may write to" % cache in result.stderr
    assert result.stderr.count("is not used") == 1
    assert not (tmp_path / "run").exists()
    assert stat.S_IMODE(os.stat(str(private / ("proto_prime-%d" % os.getuid()))).st_mode) == 0o700


def test_H8_program_in_the_cache_that_others_may_write_to_is_not_run(plain, tmp_path):
    cache = tmp_path / "cache"
    env = {"PROTOPRIMER_CACHE_DIR": str(cache), "PROTOPRIMER_VENV_DRIVER": "auto"}
    plain.prime(env=env)
    planted = cache / "uv" / "uv-99.0"
    planted.parent.mkdir(mode=0o700, exist_ok=True)
    planted.write_text("#!/bin/sh\ntouch '%s/run'\necho uv 99.0\n" % tmp_path)
    planted.chmod(0o777)
    plain.prime("reset", env=env)
    assert not (tmp_path / "run").exists()
    planted.chmod(0o755)  # as it would be without that
    plain.prime("reset", env=env, status=None)
    assert (tmp_path / "run").exists()


def test_H8_directories_and_locks_are_for_us_alone_whatever_the_umask(plain, tmp_path):
    cache = tmp_path / "cache"
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(cache)
    before = os.umask(0)
    try:
        plain.prime()
        plain.write("tool.py", '# /// script\n# dependencies = []\n# ///\nprint("ran")\n')
        assert plain.prime("run", "tool.py").stdout == "ran\n"
    finally:
        os.umask(before)
    for path in [cache] + [path for path in cache.rglob("*") if path.is_dir()]:
        if not {".prime", ".venv", "pip"} & set(path.parts):  # what pip, venv and uv make is behind these
            assert stat.S_IMODE(os.stat(str(path)).st_mode) & 0o077 == 0, path
    for lock in list(cache.rglob("lock")) + [plain.path / ".prime" / "lock"]:
        assert stat.S_IMODE(os.stat(str(lock)).st_mode) == 0o600, lock
    assert not stat.S_IMODE(os.stat(str(plain.path / ".prime")).st_mode) & 0o002


def test_H8_pinned_uv_is_checked_again_against_the_hash_of_what_was_fetched(repo, wheelhouse, tmp_path):
    import hashlib

    wheel = next(wheelhouse.glob("uv-*.whl"))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    version = wheel.name.split("-")[1]
    repo.config('venv_driver = "venv_uv"\nuv_version = "%s"\nuv_sha256 = ["%s"]\n' % (version, sha256))
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(tmp_path / "cache")
    repo.prime()
    program = tmp_path / "cache" / "uv" / ("uv-%s-%s" % (version, sha256[:16]))
    original = program.read_bytes()
    program.write_text("#!/bin/sh\ntouch '%s/run'\necho uv %s\n" % (tmp_path, version))
    repo.prime("reset")
    assert not (tmp_path / "run").exists()
    assert program.read_bytes() == original


def unpacked_pips(cache):
    return [path for path in (cache / "pip").iterdir() if path.is_dir()]


@pytest.mark.parametrize("harm", ["removed", "emptied", "edited"])
def test_H9_unpacked_pip_that_lacks_something_is_unpacked_anew(repo, tmp_path, harm):
    repo.project([])
    repo.env.update(PROTOPRIMER_CACHE_DIR=str(tmp_path / "cache"), PROTOPRIMER_VENV_DRIVER="venv_pip")
    repo.prime()
    [pip] = unpacked_pips(tmp_path / "cache")
    victim = pip / "pip" / "_internal" / "cli" / "main.py"
    before = victim.read_bytes()
    if harm == "removed":
        victim.unlink()
    else:
        victim.write_bytes(b"" if harm == "emptied" else before.replace(b"def main(", b"raise 1#n("))
    repo.prime("reset")
    assert victim.read_bytes() == before
    assert unpacked_pips(tmp_path / "cache") == [pip]


def test_H9_another_pip_of_the_same_version_is_not_run(repo, tmp_path):
    repo.project([])
    repo.env.update(PROTOPRIMER_CACHE_DIR=str(tmp_path / "cache"), PROTOPRIMER_VENV_DRIVER="venv_pip")
    repo.prime()
    [pip] = unpacked_pips(tmp_path / "cache")
    version = pip.name.split("-")[0]
    other = pip.parent / version  # where a pip of this version was kept whatever wheel it came from
    shutil.copytree(str(pip), str(other))
    (other / "pip" / "__main__.py").write_text("open(%r, 'w')\n" % str(tmp_path / "run"))
    repo.prime("reset")
    assert not (tmp_path / "run").exists()


def test_H9_pip_that_another_boot_unpacked_meanwhile_stays_where_it_is(tmp_path, monkeypatch):
    """That boot runs it: between two renames its python found no pip."""
    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(proto_prime, "_caches", {})
    monkeypatch.setattr(proto_prime, "_in_use", [])
    wheel = str(next((some_python().parent.parent / "lib").glob("python3*/ensurepip/_bundled/pip-*.whl")))
    extract, meanwhile = zipfile.ZipFile.extractall, []

    def extract_slowly(archive, *words):
        extract(archive, *words)
        if not meanwhile:
            meanwhile.append("")
            meanwhile[:] = [os.stat(proto_prime.pip_program(wheel)).st_ino]

    monkeypatch.setattr(zipfile.ZipFile, "extractall", extract_slowly)
    assert [os.stat(proto_prime.pip_program(wheel)).st_ino] == meanwhile
    assert len(unpacked_pips(tmp_path / "cache")) == 1
    for file in proto_prime._in_use:
        file.close()


# -- what runs nothing (H11) -----------------------------------------------------------------------


@pytest.fixture
def trapped(plain, tmp_path):
    """A repo with a selector, a vendored python and a generation's python that leave a trace when they are run."""
    trace = "#!/bin/sh\ntouch '%s/run'\necho /nonexistent\n" % tmp_path
    plain.write("selector", trace, executable=True)
    plain.write("vendor/python/cpython-3.99.0/bin/python", trace, executable=True)
    plain.prime()
    marker = plain.current / "proto-prime.json"
    meta = json.loads(marker.read_text())
    shipped = plain.write("shipped", trace, executable=True)
    entry = os.stat(str(shipped))
    meta["python"]["path"] = meta["identity"]["path"] = str(shipped)
    meta["identity"]["signature"] = "%d.%d.1.1" % (entry.st_size, entry.st_mtime_ns)
    marker.write_text(json.dumps(meta))
    plain.config('python_selector_file_rel_path = "selector"')
    shutil.rmtree(str(plain.path / ".prime" / "stamp"))
    return plain


@pytest.mark.parametrize("command", ["clean", "clean --all", "--version", "-h", "init", "serve"])
def test_H11_commands_that_run_nothing_of_the_repo(trapped, tmp_path, command):
    options = {}
    if command == "serve":
        client = {"client_name": "x", "client_protocol_version": "1"}
        bodies = [{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client},
                  {"jsonrpc": "2.0", "id": 2, "method": "environment/list"}]
        text = "".join("Content-Length: %d\r\n\r\n%s" % (len(json.dumps(body)), json.dumps(body)) for body in bodies)
        (tmp_path / "requests").write_text(text)
        options["stdin"] = open(str(tmp_path / "requests"))
    result = trapped.prime(*command.split(), **options)
    assert command != "serve" or '"name": "default"' in result.stdout
    assert not (tmp_path / "run").exists()


# -- builds that died, locks that are held (H17, H18, H19) -------------------------------------------


def test_H17_variable_of_a_build_that_died_is_not_believed(plain):
    plain.prime()
    half = plain.path / ".prime" / "envs" / "default-0123456789ab"
    shutil.copytree(str(plain.current), str(half), symlinks=True)
    (half / "proto-prime.json").unlink()
    plain.write(".prime/building/" + half.name, "")
    env = {"PROTOPRIMER_BUILDING": str(half)}
    assert plain.inside("import sys; print(sys.prefix)", env=env) == str(plain.current)
    plain.prime("reset", env=env)
    assert not half.exists()


def test_H17_variable_of_a_build_that_lives_is_believed(plain):
    plain.config('post_boot = [["./prime", "run", "python", "-c", "import sys; open(%r, \'w\').write(sys.prefix)"]]'
                 % str(plain.path / "inner"))
    plain.prime()
    assert (plain.path / "inner").read_text() == str(plain.current)


HOLD = """
import sys, proto_prime
with proto_prime.locked(sys.argv[1], "holding it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(plain):
    """A function that lets another process hold the lock at a path, until the test ends."""
    processes = []

    def start(path):
        process = subprocess.Popen([str(some_python()), "-c", HOLD, str(path)], cwd=str(TOP), env=plain.env,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_H18_clean_all_leaves_what_is_held(plain, tmp_path, hold):
    cache = tmp_path / "cache"
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(cache)
    plain.write("tool.py", '# /// script\n# dependencies = []\n# ///\nprint("ran")\n')
    plain.prime("run", "tool.py")
    [script] = (cache / "scripts").iterdir()
    (cache / "uv").mkdir(mode=0o700, exist_ok=True)
    (cache / "uv" / "uv-1.0").write_text("")
    hold(script / ".prime" / "lock")
    held = hold(cache / "in-use")
    told = plain.prime("clean", "--all").stderr
    assert "the cache %s stays, for another prime uses it" % cache in told
    assert script.exists() and (cache / "uv" / "uv-1.0").exists()
    held.communicate()
    plain.prime("clean", "--all")
    assert script.exists() and not (cache / "uv" / "uv-1.0").exists()


def test_H18_clean_leaves_generations_whose_users_cannot_be_seen(other_user):
    """In a checkout that a group shares; the other user's processes are hidden from who cleans."""
    checkout = other_user.place / "checkout"
    checkout.mkdir()
    shutil.copy(str(TOP / "proto_prime.py"), str(checkout))
    (checkout / "proto_prime.toml").write_text("")
    (checkout / ".python-version").write_text("")
    other_user.give(checkout)
    checkout.chmod(0o775)
    shutil.copy(uv_program(), str(other_user.place / "uv"))
    env = {"PROTOPRIMER_CACHE_DIR": str(other_user.place / "nobody" / "cache"), "PROTOPRIMER_VENV_DRIVER": "venv_uv",
           "PATH": "%s:/usr/bin:/bin" % other_user.place}
    (other_user.place / "nobody").mkdir()
    other_user.give(other_user.place / "nobody")
    prime = [other_user.python, checkout / "proto_prime.py"]
    umask = ["sh", "-c", 'umask 002; exec "$@"', "sh"]
    first = other_user(umask + prime, env=env)
    assert first.returncode == 0, first.stderr
    stranger = subprocess.Popen(["setpriv", "--reuid=12399", "--regid=12399", "--clear-groups", "sleep", "60"])
    try:
        result = other_user(umask + prime + ["clean", "--all"], env=env)
    finally:
        stranger.kill()
        stranger.wait()
    assert result.returncode == 0 and "stays, for a running process uses it, or may" in result.stderr
    assert list((checkout / ".prime" / "envs").glob("*/proto-prime.json"))


def test_H19_who_waits_long_for_a_lock_is_told_the_way_out(plain, hold):
    plain.prime()
    lock = plain.path / ".prime" / "lock"
    hold(lock)
    code = "import sys, proto_prime; proto_prime.PATIENCE_SECONDS = 1; sys.argv[1:] = ['reset']; " \
           "sys.exit(proto_prime.main())"
    process = subprocess.Popen([str(some_python()), "-c", code], cwd=str(plain.path), stderr=subprocess.PIPE,
                               env=dict(plain.env, PROTOPRIMER_ROOT=str(plain.path)))
    told = b""
    while b"still waiting" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.terminate()
    process.communicate()
    assert b"waiting for process" in told and b"holding it" in told and b"PROTOPRIMER_STATE_DIR" in told


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_H19_lock_cannot_be_held_by_who_may_not_write(plain):
    before = os.umask(0o022)
    try:
        plain.prime()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(str(plain.path / ".prime" / "lock")).st_mode) == 0o600
    (plain.path / ".prime" / "lock").chmod(0o644)  # as it was made before
    plain.prime("reset", python=python("3.6"))
    assert stat.S_IMODE(os.stat(str(plain.path / ".prime" / "lock")).st_mode) == 0o600


def test_roots_that_this_file_made_are_told_from_repos_of_the_same_name(tmp_path, monkeypatch):
    state = str(tmp_path / "state")
    monkeypatch.setenv("PROTOPRIMER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PROTOPRIMER_STATE_DIR", raising=False)
    kind_of_root = proto_prime.kind_of_root
    assert kind_of_root(proto_prime.cache_dir("scripts", "x")) == "script"
    assert kind_of_root("/repo/.prime/made/x") == "client"
    for root in ("/repo", "/scripts/x", "/repo/.prime/scripts/x", "/made/x", "/repo/made/x", state + "/made/x", "/"):
        assert kind_of_root(root) == "repo", root
    monkeypatch.setenv("PROTOPRIMER_STATE_DIR", state)
    assert kind_of_root(state + "/made/x") == "client"
    assert proto_prime.state_dir(state + "/made/x", "envs") == state + "/made/x/.prime/envs"
    assert proto_prime.state_dir(proto_prime.cache_dir("scripts", "x")).startswith(str(tmp_path / "cache"))
    assert kind_of_root("/repo/.prime/made/x") == "repo"
    assert proto_prime.state_dir("/repo", "envs") == state + "/envs"
