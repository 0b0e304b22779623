"""Machines as they are: what runs cannot be seen (M3), one directory has two names (M4)."""

import json
import os
import shlex
import shutil
import subprocess

import pytest
from conftest import some_python, uv_program

HOLD = "print('runs', flush=True); input(); import json, this; print('still')"


class Running:
    """A command that runs in the environment of now, and imports what it needs at its end."""

    def __init__(self, repo, **options):
        self.process = repo.popen("run", "python", "-c", HOLD, stdin=subprocess.PIPE, **options)
        assert self.process.stdout.readline() == "runs\n"

    def check_it_lives(self):
        stdout, stderr = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, stdout.endswith("still\n")) == (0, True), stderr


def change(repo, *steps, **options):
    """Boot once for each step, with another config each time."""
    for step in steps:
        repo.config('env_vars = {STEP = "%s"}\n[env.e%s]\n' % (step, step))
        repo.prime("reset", **options)


# -- what runs cannot be seen (M3) -----------------------------------------------------------------

# What `ps` is there, by its text. The last one is that of macOS, and sees nothing of this repo.
PS = {
    "procps, which needs /proc": None,
    "none": "",
    "busybox, which has no such option": "echo \"ps: invalid option -- 'x'\" >&2; exit 1",
    "one that shows no environments": "echo /sbin/launchd; echo python -c pass",
    "one that fails in the middle": "echo /sbin/launchd PATH=/bin; exit 3",
    "macOS": r"echo '/sbin/launchd PATH=/bin caf\M-C\M-)=1'",
}


@pytest.fixture(params=list(PS))
def without_proc(request, plain, mounts):
    """A machine whose /proc is empty; the name of its `ps`. What that one prints in addition stands in `ps-more`."""
    mounts.sh("mount -t tmpfs none /proc")
    text = PS[request.param]
    if text:
        plain.program("ps", "#!/bin/sh\ncat '%s/ps-more' 2>/dev/null\n%s\n" % (plain.home, text))
    elif text is not None:
        for name in ("sh", "env"):
            plain.link(name, shutil.which(name))
        plain.env["PATH"] = str(plain.bin)
    return request.param


def test_M3_without_proc_what_runs_keeps_its_environment(plain, mounts, without_proc):
    plain.prime()
    first, running = plain.current, Running(plain)
    if without_proc == "macOS":
        text = "python -c x PATH=/bin VIRTUAL_ENV=%s HOME=/caf\\M-C\\M-)" % str(first).replace("é", r"\M-C\M-)")
        (plain.home / "ps-more").write_text(text + "\n")
    change(plain, *"abcd", python=mounts.python)  # the collector
    said = plain.prime("clean", "--all", python=mounts.python).stderr
    assert first.is_dir()
    assert "%s stays, for a running process uses it" % first.name in said
    assert ("it cannot be told what runs" in said) == (without_proc != "macOS"), said
    assert "Traceback" not in said
    running.check_it_lives()


def test_M3_without_proc_and_with_the_ps_of_macos_what_nothing_uses_goes(plain, mounts):
    mounts.sh("mount -t tmpfs none /proc")
    plain.program("ps", "#!/bin/sh\necho '/sbin/launchd PATH=/bin'\n")
    plain.prime()
    plain.prime("clean", "--all", python=mounts.python)
    assert not plain.generations


def test_M3_processes_without_environ(plain, mounts):
    """As in some sandboxes, whose /proc has only a part of the files."""
    plain.prime()
    mounts.sh("mkdir -p /mnt/proc/self /mnt/proc/1; touch /mnt/proc/1/cmdline; mount --bind /mnt/proc /proc")
    said = plain.prime("clean", "--all", python=mounts.python).stderr
    assert len(plain.generations) == 1
    assert "it cannot be told what runs, so that all may be in use: /proc/1/environ is missing" in said


# -- one directory has two names (M4) --------------------------------------------------------------


@pytest.fixture(params=["bind mount", "link", "folded case"])
def second_name(request, plain, mounts):
    """A function that runs prime by another path of the repo's directory, of this kind."""
    other = plain.path.parent / "second"
    if request.param == "link":
        other.symlink_to(plain.path, target_is_directory=True)
        return lambda *argv, **options: plain.prime(*argv, entry=str(other / "prime"), **options)
    name = {"bind mount": "second", "folded case": plain.path.name.upper()}[request.param]
    mounts.sh('mkdir -p "$2"; mount --bind "$1" "$2"', plain.path, plain.path.parent / name)
    entry = str(plain.path.parent / name / "prime")
    return lambda *argv, **options: plain.prime(*argv, python=mounts.python, entry=entry, **options)


def test_M4_second_name_of_the_repo_is_no_move(plain, second_name):
    plain.prime()
    before, running = plain.current, Running(plain)
    for prime in (second_name, plain.prime) * 2:
        said = prime().stderr
        assert "is current" in said
        assert prime("run", "python", "-c", "import sys; print(sys.prefix)").stdout == "%s\n" % before
    assert plain.generations == [before]
    change(plain, "a")
    assert "is current" in second_name().stderr
    plain.config('env_vars = {STEP = "b"}')
    assert "moved" not in second_name().stderr
    assert "is current" in plain.prime().stderr
    running.check_it_lives()


def test_M4_second_name_alone_answers_from_the_stamp(plain, second_name):
    plain.prime()
    plain.settle()
    plain.prime()
    said = second_name(env={"PYTHONVERBOSE": "1"}).stderr
    assert "is current" in said
    assert "import 'argparse'" not in said


def test_M4_collector_keeps_what_another_machine_or_container_may_use(plain, mounts):
    """The repo is at another path there: neither is rebuilt, nor does one lose what the other's processes use."""
    work = plain.path.parent / "work"
    mounts.sh('mkdir -p "$2"; mount --bind "$1" "$2"; mount -t tmpfs none "$1"', plain.path, work)
    entry = str(work / "prime")

    def inside(*argv, **options):
        return plain.prime(*argv, python=mounts.python, entry=entry, cwd=str(plain.path.parent), **options)

    plain.prime()
    first = plain.current
    assert "the repo was moved or copied from" in inside().stderr
    second = plain.current
    assert second != first
    for prime, prefix in ((plain.prime, first), (inside, second)) * 2:
        assert "building" not in prime().stderr
        assert plain.current == prefix
    for step in "abcde":
        plain.config('env_vars = {STEP = "%s"}' % step)
        inside("reset")
    assert first.is_dir()
    said = inside("clean", "--all").stderr
    assert first.is_dir()
    assert "%s stays, for it is of another place of the repo" % first.name in said
    assert not second.is_dir()


# -- machines and containers that share a checkout (N1) --------------------------------------------


@pytest.fixture
def container(plain):
    """The path of a python that runs in a container of its own each time: it sees no processes of others."""
    words = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--pid", "--fork", "--mount-proc"]
    try:
        said = subprocess.run(words + ["true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as problem:
        pytest.skip("no unshare: %s" % problem)
    if said.returncode:
        pytest.skip("processes can be hidden from none: %s" % said.stdout.decode())
    command = [shutil.which("unshare")] + words[1:] + [str(some_python())]
    return plain.program("python-inside", '#!/bin/sh\nexec %s "$@"\n' % " ".join(map(shlex.quote, command)))


def test_N1_worker_of_another_container_keeps_its_environment_however_often_it_is_replaced(plain, container):
    plain.prime(python=container)
    first, running = plain.current, Running(plain, python=container)
    change(plain, *"abcd", python=container)  # the collector
    said = plain.prime("clean", python=container).stderr
    assert "%s stays, for another machine or container may use it" % first.name in said
    plain.prime("clean", "--all", python=container)
    running.check_it_lives()


def replaced_long_ago(repo):
    """As if all builds of a repo were 8 days old."""
    for path in repo.generations:
        marker = json.loads((path / "proto-prime.json").read_text())
        marker["created"] -= 8 * 24 * 3600
        (path / "proto-prime.json").write_text(json.dumps(marker))


def test_N1_what_another_container_built_is_removed_a_week_after_it_was_replaced(plain, container):
    plain.prime(python=container)
    first = plain.current
    change(plain, "a")
    replaced_long_ago(plain)
    plain.prime("clean", python=container)
    assert plain.generations == [plain.current] != [first]


def test_N1_environment_of_a_script_that_another_container_built_stays_for_a_week(plain, container):
    plain.link("uv", uv_program())
    plain.env.update(PROTOPRIMER_CACHE_DIR=str(plain.home / "cache"), PROTOPRIMER_VENV_DRIVER="venv_uv")
    plain.write("script.py", "# /// script\n# dependencies = []\n# ///\nprint(1)\n")
    plain.prime("run", "script.py", python=container)
    [place] = (plain.home / "cache" / "scripts").iterdir()
    plain.prime("clean", "--all")
    assert place.is_dir()
    os.utime(str(place), (place.stat().st_mtime - 8 * 24 * 3600,) * 2)
    plain.prime("clean", "--all")
    assert not place.exists()


@pytest.mark.parametrize("kind, stays", [("nfs4", True), ("fuse.sshfs", True), ("ext4", False)])
def test_N1_what_was_replaced_on_a_file_system_that_machines_share_stays_for_a_week(plain, mounts, kind, stays):
    """A worker on another machine cannot be seen, even if all builds are made on this one."""
    table = plain.home / "mountinfo"
    rows = ("/", "ext4"), (str(plain.path).replace(" ", r"\040"), kind)
    table.write_text("".join("1 0 0:1 / %s rw - %s none rw\n" % row for row in rows))
    script = 'mount --bind "$0" /proc/$$/mountinfo && exec "$@"'
    there = mounts.program("python-there", "sh", "-c", script, table, some_python())
    plain.prime(python=there)
    first = plain.current
    (first / "first").touch()  # another one may get its name
    change(plain, *"abcd", python=there)
    said = plain.prime("clean", python=there).stderr
    assert (first / "first").exists() == stays
    assert ("%s stays, for another machine" % first.name in said) == stays
    replaced_long_ago(plain)
    plain.prime("clean", python=there)
    assert plain.generations == [plain.current]


# -- what stands in the place of the link (M14) ----------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_M14_nothing_is_lost_whatever_the_current_directory(plain, kind):
    plain.prime()
    inside, link = plain.current, plain.path / ".venv"
    link.unlink()
    if kind == "file":
        link.write_text("mine\n")
    else:
        link.mkdir()
        (link / "mine").write_text("mine\n")
    for argv in (["reset"], ["-e", "default"], []):
        plain.prime(*argv, cwd=str(inside))
    aside = plain.path / ".venv.before-prime"
    assert (aside if kind == "file" else aside / "mine").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["a file", "a pipe", ".venv", ".venv/state"])
def test_M14_state_directory_that_is_something_else_stays_as_it_is(plain, name):
    place = plain.path / name
    if name == "a pipe":
        os.mkfifo(str(place))
    elif name == "a file":
        place.write_text("mine\n")
    before = sorted(os.listdir(str(plain.path)))
    for words in ([], ["run", "true"], ["use", "default"]):
        said = plain.prime(*words, status=2, env={"PROTOPRIMER_STATE_DIR": str(place)}).stderr
        assert "PROTOPRIMER_STATE_DIR" in said and name.partition("/")[0] in said
    assert sorted(os.listdir(str(plain.path))) == before


def test_M6_tilde_that_no_shell_has_seen_is_the_home_directory(plain):
    env = {"PROTOPRIMER_STATE_DIR": "~/state", "PROTOPRIMER_CACHE_DIR": "~/cache", "PROTOPRIMER_ROOT": "~/here"}
    (plain.home / "here").symlink_to(plain.path)
    assert plain.prime("run", "sh", "-c", "echo $VIRTUAL_ENV", env=env).stdout.startswith(str(plain.home / "state"))
    assert (plain.home / "cache" / "answers").is_dir() and not (plain.path / "~").exists()
    assert plain.prime("--root=~/here", "info", env=dict(env, PROTOPRIMER_ROOT=None)).stdout.startswith("state ")
    said = plain.prime("update", "--from=~/new.py", status=1).stderr
    assert str(plain.home / "new.py") in said
    plain.prime("init", "~/made")
    assert (plain.home / "made" / "prime").exists()
    said = plain.prime(env={"PROTOPRIMER_PYTHON": "~/here"}, status=1).stderr
    assert "hint: it is the path of a Python, or the name of one on PATH" in said


