"""Places that several users, repos or boots share at once."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import TOP, uv_program
from serving import Session

import proto_prime


def text_of(path):
    return path.read_text() if path.is_file() else None


# -- boots beside clean --all (H18) ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["venv_uv", "venv_pip"])
def test_H18_no_boot_fails_beside_clean_all(make_repo, tmp_path, wheelhouse, driver):
    """Each boot builds anew, with the uv or the pip that stands in the user cache alone."""
    repos = [make_repo("repo %d" % number) for number in range(6)]
    for repo in repos:
        repo.config('[env.docs]\n')
        repo.env.update(PROTOPRIMER_CACHE_DIR=str(tmp_path / "one cache"), PROTOPRIMER_VENV_DRIVER=driver)
    for _ in range(2):
        boots = [repo.popen("reset") for repo in repos]
        cleaners = [repo.popen("clean", "--all") for repo in repos[:2]]
        while any(boot.poll() is None for boot in boots):
            cleaners.append(repos[0].popen("clean", "--all"))
            cleaners[-1].wait(60)
        for process in boots + cleaners:
            _, told = process.communicate(timeout=120)
            assert process.returncode == 0, told
    assert all(repo.inside("print(1)") == "1" for repo in repos)


def test_H18_clean_all_leaves_the_environment_that_a_command_runs_in(plain):
    process = plain.popen("run", "python", "-c", "print('runs', flush=True); input(); import json; print('still')",
                          stdin=subprocess.PIPE)
    assert process.stdout.readline() == "runs\n"
    plain.prime("clean", "--all")
    stdout, stderr = process.communicate("\n", timeout=60)
    assert (process.returncode, stdout) == (0, "still\n"), stderr
    plain.prime("clean", "--all")
    assert not plain.generations


# -- a checkout that a group shares ----------------------------------------------------------------


@pytest.fixture
def checkout(other_user):
    """A checkout of two users of one group, setgid and writable for it: a function that runs prime as one of them."""
    path = other_user.place / "checkout"
    path.mkdir()
    shutil.copy(str(TOP / "proto_prime.py"), str(path))
    (path / "proto_prime.toml").write_text("")
    shutil.copy(uv_program(), str(other_user.place / "uv"))
    other_user.give(path)
    path.chmod(0o2775)

    def run(uid, *words, umask="002", **options):
        home = other_user.place / ("home %d" % uid)
        if not home.exists():
            home.mkdir()
            other_user.give(home, uid=uid)
        env = {"HOME": str(home), "PATH": "%s:/usr/bin:/bin" % other_user.place, "PROTOPRIMER_VENV_DRIVER": "venv_uv",
               "LANG": "C.UTF-8"}
        argv = ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--groups=%d" % other_user.uid, "sh", "-c",
                'umask %s; exec "$@"' % umask, "sh", str(other_user.python), str(path / "proto_prime.py")]
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(argv + list(words), env=env, cwd=str(path), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True, **options)

    run.path = path
    return run


def end(process):
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stdout, stderr


FIRST, SECOND = 12345, 12399


def test_second_user_of_a_shared_checkout_boots_builds_and_leaves_what_the_first_runs(checkout):
    end(checkout(FIRST))
    [built] = (checkout.path / ".prime" / "envs").iterdir()
    assert "is current" in end(checkout(SECOND))[1]
    runs = checkout(FIRST, "run", "python", "-c", "print('runs', flush=True); input()", stdin=subprocess.PIPE)
    assert runs.stdout.readline() == "runs\n"
    end(checkout(SECOND, "reset"))
    assert "stays" in end(checkout(SECOND, "clean", "--all"))[1]
    assert (built / "proto-prime.json").is_file()
    assert runs.communicate("\n", timeout=60)[1] == "" and runs.returncode == 0
    end(checkout(FIRST, "reset"))
    mode = os.stat(str(checkout.path / ".prime" / "lock")).st_mode
    assert stat.S_IMODE(mode) == 0o660


# -- places of before ------------------------------------------------------------------------------


def unmark(directory):
    """What a version from before there was a mark left: the same without marks and records."""
    (directory / ".proto-prime").unlink()
    shutil.rmtree(str(directory / "building"))


@pytest.mark.parametrize("left", ["", "vendor", "envs.before-prime", ".gitignore.123.tmp", "use.77.tmp"])
@pytest.mark.parametrize("place", [".prime", "elsewhere"])
def test_T8_state_directory_of_before_is_used_on(plain, tmp_path, place, left):
    state = plain.path / ".prime"
    if place != ".prime":
        state = tmp_path / place
        plain.env["PROTOPRIMER_STATE_DIR"] = str(state)
    plain.prime()
    before = plain.current
    unmark(state)
    if left:
        (state / left).write_text("")
    plain.write("proto_prime.toml", "# touched\n")
    plain.prime("run", "true")
    assert plain.current == before
    plain.prime("reset")
    plain.prime("rollback")
    assert plain.current == before
    assert not (state / ".prime").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_state_directory_of_before_that_is_read_only_still_runs(other_user):
    path = other_user.place / "checkout"
    path.mkdir()
    shutil.copy(str(TOP / "proto_prime.py"), str(path))
    (path / "proto_prime.toml").write_text("")
    (other_user.place / "nobody").mkdir()
    other_user.give(other_user.place / "nobody", path)
    shutil.copy(uv_program(), str(other_user.place / "uv"))
    prime = [other_user.python, path / "proto_prime.py"]
    env = {"PROTOPRIMER_VENV_DRIVER": "venv_uv", "PATH": "%s:/usr/bin:/bin" % other_user.place}
    assert other_user(prime, env=env).returncode == 0
    for is_of_before in (False, True):
        if is_of_before:
            unmark(path / ".prime")
        other_user.give(path, uid=0)
        done = other_user(prime + ["run", "python", "-c", "print('runs')"], env=env)
        assert (done.returncode, done.stdout) == (0, "runs\n"), done.stderr


# -- marks that are being made ---------------------------------------------------------------------


@pytest.mark.parametrize("left", [".proto-prime.0123456789abcdef.prime-tmp", ".proto-prime.fedcba9876543210.prime-tmp"])
def test_B1_boot_that_was_killed_while_it_marked_its_directory_leaves_it_ours(plain, left):
    plain.write(".prime/" + left, "")
    plain.prime()
    assert plain.generations and not (plain.path / ".prime" / ".prime").exists()


def test_state_and_cache_may_be_one_directory(plain, tmp_path):
    one = str(tmp_path / "one")
    plain.env.update(PROTOPRIMER_STATE_DIR=one, PROTOPRIMER_CACHE_DIR=one)
    plain.link("uv", uv_program())
    for words in ([], ["reset"], ["clean", "--all"], ["run", "true"]):
        plain.prime(*words, timeout=60)


def test_H17_variable_of_a_dead_build_is_not_believed_while_another_builds(plain, tmp_path):
    plain.prime()
    half = plain.path / ".prime" / "envs" / "default-0123456789ab"
    shutil.copytree(str(plain.current), str(half), symlinks=True)
    (half / "proto-prime.json").unlink()
    plain.write(".prime/building/" + half.name, "1")
    before = plain.current
    gate = tmp_path / "gate"
    os.mkfifo(str(gate))
    plain.config('[env.docs]\npost_boot = [["sh", "-c", "read line < %s"]]\n' % gate)
    env = {"PROTOPRIMER_BUILDING": str(half)}
    plain.prime()
    builds = plain.popen("-e", "docs", "boot")
    with gate.open("w") as opened:  # it is in its post_boot, and holds the lock
        told = plain.inside("import sys; print(sys.prefix)", env=env)
        opened.write("\n")
    assert builds.wait(60) == 0
    assert told == str(before) != str(half)


# -- groups of one user (H8, H18) ------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix" or os.getuid(), reason="root's group is root's alone")
def test_H8_cache_that_only_ones_own_group_may_write_to_is_used(plain, tmp_path):
    cache = tmp_path / "cache"
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(cache)
    plain.prime()
    for path in (cache, cache / "answers"):
        os.chown(str(path), 0, 0)
        path.chmod(0o775)
    assert "is not used" not in plain.prime("reset").stderr
    os.chown(str(cache), 0, 12345)
    assert "is not used, for others may write to %s" % cache in plain.prime("reset").stderr


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_H8_directories_of_ours_in_one_such_as_tmp_are_for_us_alone_to_write(plain, tmp_path):
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o1777)
    plain.env["PROTOPRIMER_STATE_DIR"] = str(public / "state")
    before = os.umask(0)
    try:
        plain.prime()
    finally:
        os.umask(before)
    modes = {path: os.stat(str(path)).st_mode & 0o022 for path in [public / "state", public / "state" / "envs"]}
    assert set(modes.values()) == {0}, modes


# -- what stands where something of ours would (H1, H5) --------------------------------------------


@pytest.mark.parametrize("name", ["stamp/default", "stamp/0123456789ab.default", "held/default",
                                  "log/20200101-000000-1.log"])
def test_H1_directory_under_the_name_of_a_file_of_ours_is_left(plain, name):
    plain.prime()
    if (plain.path / ".prime" / name).exists():
        (plain.path / ".prime" / name).unlink()
    data = plain.write(".prime/%s/data" % name, "mine")
    for words in ("reset", "reset", "rollback", "use default", "clean", "clean --all", "boot"):
        plain.prime(*words.split())
    aside = Path(str(data.parent) + ".before-prime") / "data"
    assert "mine" in (text_of(data), text_of(aside))


def test_H1_links_among_the_logs_are_left(plain, tmp_path):
    plain.prime()
    (tmp_path / "precious").write_text("precious")
    links = [plain.path / ".prime" / "log" / ("20200101-000000-%d.log" % number) for number in range(6)]
    for link in links:
        link.symlink_to(tmp_path / "precious")
    plain.prime("reset")
    assert all(os.path.islink(str(link)) for link in links)


@pytest.mark.parametrize("target", ["../precious/.prime/envs/mine", "../precious/envs/default-0123456789ab"])
def test_T4_link_to_somewhere_else_is_renamed_also_if_it_looks_like_ours(plain, tmp_path, target):
    (plain.path / ".venv").symlink_to(target)
    plain.prime()
    assert os.readlink(str(plain.path / ".venv.before-prime")) == target


def test_H1_environment_of_a_client_that_is_a_link_is_none(plain, tmp_path):
    """What a clone brings below .prime/made, so that `serve` deletes elsewhere."""
    other = tmp_path / "other"
    plain.prime()
    shutil.copytree(str(plain.path), str(other), symlinks=True)
    (other / "name").write_text("mine")
    (plain.path / ".prime" / "made").mkdir()
    (plain.path / ".prime" / "made" / "0123456789ab").symlink_to(other)
    session = Session(plain)
    assert [row["id"] for row in session.ask("environment/list")] == ["default"]
    assert session.refused("environment/delete", {"id": "mine"})
    session.send({"jsonrpc": "2.0", "method": "exit"})
    session.process.wait(60)
    assert list((other / ".prime" / "envs").glob("*/proto-prime.json"))


def test_H1_directory_where_a_client_wants_an_environment_is_renamed_or_left(plain):
    place = plain.path / ".prime" / "made" / proto_prime.digest("mine")
    plain.prime()
    data = plain.write(str(place.relative_to(plain.path) / "data"), "precious")
    session = Session(plain)
    session.refused("environment/create", {"name": "mine", "python_version": "9.9"})
    session.ask("environment/list")
    session.send({"jsonrpc": "2.0", "method": "exit"})
    session.process.wait(60)
    aside = Path(str(place) + ".before-prime") / "data"
    assert "precious" in (text_of(data), text_of(aside))


# -- another user (H8) -----------------------------------------------------------------------------

TRAP = "#!/bin/sh\necho ran >> '%s'\necho uv 99.0.0\n"


@pytest.fixture
def victim(plain, other_user):
    """A `Repo` of root's whose HOME and cache are another user's, with planted programs that leave a trace."""
    home = other_user.place / "their home"
    trap = TRAP % (other_user.place / "trace")
    for name in (".cache/proto_prime/uv/uv-99.0.0", ".local/bin/uv", ".cargo/bin/uv"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(trap)
        (home / name).chmod(0o755)
    for name in ("answers", "locks", "pip", "shell", "scripts"):
        (home / ".cache" / "proto_prime" / name).mkdir()
    other_user.give(home)
    del plain.env["PROTOPRIMER_CACHE_DIR"]
    plain.env.update(HOME=str(home), TMPDIR=str(other_user.place), PIP_FIND_LINKS=plain.env["PIP_FIND_LINKS"])
    plain.home, plain.trace = home, other_user.place / "trace"
    return plain


@pytest.mark.parametrize("driver", ["venv_uv", "venv_pip", "auto"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_H8_root_with_the_home_of_a_user_runs_nothing_that_the_user_planted(victim, other_user, driver, is_marked):
    cache = victim.home / ".cache" / "proto_prime"
    if is_marked:
        (cache / ".proto-prime").write_text("")
        other_user.give(cache)
    victim.env["PROTOPRIMER_VENV_DRIVER"] = driver
    before = sorted(path for path in victim.home.rglob("*"))
    for words in ([], ["run", "true"], ["shell"], ["info"], ["reset"], ["clean", "--all"]):
        told = victim.prime(*words, env={"SHELL": "/bin/true"}, status=None).stderr
    assert not victim.trace.exists()
    assert "belongs to another user" in told
    assert sorted(path for path in victim.home.rglob("*")) == before
    private = other_user.place / "proto_prime-0"
    assert stat.S_IMODE(os.stat(str(private)).st_mode) == 0o700


def test_H8_private_cache_that_somebody_else_made_first_is_not_used(victim, other_user):
    planted = other_user.place / "proto_prime-0" / "uv" / "uv-99.0.0"
    planted.parent.mkdir(parents=True)
    shutil.copy(str(victim.home / ".local" / "bin" / "uv"), str(planted))
    other_user.give(other_user.place / "proto_prime-0")
    victim.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    victim.link("uv", uv_program())
    victim.prime()
    victim.prime("reset")
    assert not victim.trace.exists()
