"""Where no link can be made, in the place of `.venv` or for an environment at all (M13), Windows' junctions (W2)."""

import os
import sys
import types
from pathlib import Path

import pytest
from conftest import PYTHONS, python, uv_program
from machines import Disk, lacking

import proto_prime

MODULES = 'import sys; print(sys.prefix); import six'
LISTED = "prime: no link can be made at "
PLACED = "prime: no environment can be made in "


def lines(repo, root=""):
    """The lines of .python-envs."""
    return Path(root + str(repo.path / ".python-envs")).read_text(encoding="utf-8").splitlines()


def without_stderr_of_loader(result):
    assert "ld.so" not in result.stderr and "Traceback" not in result.stderr, result.stderr
    return result.stderr


@pytest.fixture
def own_cache(repo):
    """The repo's own user cache, as a path."""
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    return repo.home / "cache"


TWO = 'dependencies = ["six"]\n[env.docs]\ndependencies = ["six", "idna"]\n'


@pytest.fixture
def no_links(repo, own_cache):
    """A `Repo` with two environments, on a file system that refuses all that many network shares do."""
    repo.link("uv", uv_program())
    repo.config(TWO)
    lacking(repo, "symlink link chmod utime flock", "EPERM", repo.path)
    return repo


@pytest.fixture
def no_link(repo):
    """A `Repo` where an environment can be, and no link to it at .venv: as of another file system below .prime."""
    repo.config('[env.docs]\nenv_vars = {A = "b"}\ndependencies = []\npost_boot = [["true"]]\n')
    lacking(repo, "symlink", "ENOSYS", repo.path / ".venv")
    return repo


# -- where no environment can be -------------------------------------------------------------------


@pytest.mark.parametrize("driver_name, calls, error", [
    ("venv_uv", "symlink", "ENOSYS"), ("venv_uv", "symlink link flock", "EOPNOTSUPP"),
    ("venv_pip", "symlink link chmod utime flock", "EPERM")])
def test_M13_environment_of_a_file_system_without_links_is_in_the_cache(
        no_links, own_cache, driver_name, calls, error):
    no_links.env["PROTOPRIMER_VENV_DRIVER"] = driver_name
    lacking(no_links, calls, error, no_links.path)
    first = without_stderr_of_loader(no_links.prime())
    assert first.count(PLACED) == first.count(LISTED) == 1, first
    generation, = own_cache.glob("states/*/.prime/envs/default-*")
    assert lines(no_links) == [str(generation)] and not os.path.lexists(str(no_links.path / ".venv"))
    assert not (no_links.path / ".prime").exists()
    no_links.settle()
    assert without_stderr_of_loader(no_links.prime("boot")) == no_links.prime().stderr
    assert no_links.inside(MODULES) == str(generation)
    info = no_links.info()
    assert (info["current"], info["reasons"], info["venv"]["generation"]) == (True, [], str(generation))
    for argv in (["reset"], ["rollback"], ["clean"], ["use", "docs"]):
        said = without_stderr_of_loader(no_links.prime(*argv))
        assert PLACED not in said and LISTED not in said, said
    assert no_links.inside("import idna, sys; print(sys.prefix)") == lines(no_links)[-1]
    no_links.prime("clean", "--all")
    assert not (no_links.path / ".python-envs").exists() and not list(own_cache.glob("states/*"))
    assert PLACED in no_links.prime().stderr


def test_M13_exFAT(repo, mounts, own_cache):
    repo.config('dependencies = ["six"]\n')
    repo.link("uv", uv_program())
    disk = Disk(repo, mounts)
    try:
        first = mounts.prime().stderr
        assert first.count(PLACED) == first.count(LISTED) == 1, first
        generation, = own_cache.glob("states/*/.prime/envs/default-*")
        assert lines(repo, mounts.root) == [str(generation)]
        for argv in ([], ["run", "python", "-c", "import six"], ["info"]):
            result = mounts.prime(*argv)
            assert LISTED not in result.stderr and "building" not in result.stderr, result.stderr
        disk.write("proto_prime.toml", b'dependencies = ["six", "idna"]\n')
        found = mounts.prime("run", "python", "-c", "import sys, idna; print(sys.prefix)").stdout
        assert found.splitlines() == lines(repo, mounts.root)
        mounts.prime("clean", "--all")
        left = mounts.sh('ls -A "$1"', repo.path).split()
        assert left == ["__pycache__", "prime", "proto_prime.py", "proto_prime.toml"]
    finally:
        disk.close()


@pytest.mark.parametrize("wild", [list(PYTHONS)[0], list(PYTHONS)[-1]])
def test_M13_what_is_in_the_cache_is_answered_for_without_much_ado(plain, own_cache, wild):
    lacking(plain, "symlink", "EPERM", plain.path)
    plain.prime(python=python(wild))
    plain.settle()
    plain.prime(python=python(wild))
    for argv in ([], ["run", "true"]):
        said = plain.prime(*argv, python=python(wild), env={"PYTHONVERBOSE": "1"}).stderr
        assert "import 'argparse'" not in said and "import 're'" not in said


def test_M13_second_name_of_the_repo_has_the_same_state(plain, own_cache):
    lacking(plain, "symlink", "EPERM", plain.path)
    plain.prime()
    plain.path.parent.joinpath("second").symlink_to(plain.path, target_is_directory=True)
    assert "is current" in plain.prime(entry=str(plain.path.parent / "second" / "prime")).stderr
    assert len(list(own_cache.glob("states/*"))) == 1


def test_M13_post_boot_that_runs_prime_means_the_environment_that_is_built(plain, own_cache):
    lacking(plain, "symlink", "EPERM", plain.path)
    plain.config('post_boot = [["python3", "prime", "run", "python", "-c", "import sys; print(sys.prefix)"]]')
    plain.prime("-vv", timeout=60)
    assert len(list(own_cache.glob("states/*/.prime/envs/*"))) == 1


def test_M13_use_in_the_first_command_is_noticed_by_the_next(no_links):
    no_links.prime()
    no_links.settle()
    no_links.prime()
    no_links.prime("use", "docs")
    assert no_links.inside("import idna; print(1)") == "1"


@pytest.mark.parametrize("variable", ["PROTOPRIMER_STATE_DIR", "PROTOPRIMER_CACHE_DIR"])
def test_M13_place_that_the_user_named_is_refused(plain, variable):
    place = plain.home / "elsewhere"
    place.mkdir()
    lacking(plain, "symlink", "EPERM", place, plain.path)
    result = plain.prime(status=1, env={variable: str(place)})
    assert PLACED.replace("prime: ", "prime: error: ") in result.stderr
    assert str(place) in result.stderr and "hint: PROTOPRIMER_STATE_DIR names another place" in result.stderr


def test_M13_state_of_a_repo_that_is_gone_is_removed(plain, own_cache, make_repo):
    lacking(plain, "symlink", "EPERM", plain.path)
    plain.prime()
    place, = own_cache.glob("states/*")
    other = make_repo("another repo")
    other.config()
    other.env.update(PROTOPRIMER_CACHE_DIR=str(own_cache))
    other.prime("clean", "--all")
    assert place.exists()
    os.rename(str(plain.path), str(plain.path) + " elsewhere")
    other.prime("clean")
    assert place.exists()
    os.utime(str(place), (0, 0))
    other.prime("clean")
    assert not place.exists()


def test_M13_server_uses_and_deletes_what_is_in_the_cache(no_links, own_cache, serve):
    no_links.prime()
    session = serve()
    found = session.ask("environment/get", {"id": "default"})
    assert found["extra"]["generation"] == lines(no_links)[-1]
    session.ask("environment/create", {"name": "more", "python_version": "%d.%d" % sys.version_info[:2]})
    more, = own_cache.glob("states/*/.prime/made/*/.prime/envs/*")
    said = session.ask("environment/execute", {"id": "more", "argv": ["python", "-c", "import sys; print(sys.prefix)"]})
    assert said["stdout"].strip() == str(more)
    for id in ("more", "default"):
        session.ask("environment/delete", {"id": id})
    assert not (no_links.path / ".python-envs").exists() and not more.exists()


# -- where the link alone cannot be ----------------------------------------------------------------


def test_M13_file_names_each_environment_and_the_default_last(no_link):
    no_link.prime()
    default, = (str(each.relative_to(no_link.path)) for each in no_link.generations)
    assert lines(no_link) == [default]
    assert LISTED not in no_link.prime("use", "docs").stderr
    first, docs = lines(no_link)
    assert (first, docs[:20]) == (default, ".prime/envs/docs-" + docs[17:20])
    no_link.prime("use", "default")
    assert lines(no_link) == [docs, default]
    no_link.prime("reset")
    assert lines(no_link)[0] == docs and lines(no_link)[1] not in (docs, default)
    no_link.prime("rollback")
    assert lines(no_link) == [docs, default]
    assert "is current" in no_link.prime().stderr
    no_link.prime("clean", "--all")
    assert not (no_link.path / ".python-envs").exists()


OTHERS = "\ufeffother/env\r\n\n# of others\n../elsewhere/.prime/envs/default-0123456789ab\n"


def test_M13_lines_of_others_stay(no_link):
    (no_link.path.parent / "elsewhere" / ".prime" / "envs" / "default-0123456789ab").mkdir(parents=True)
    file = no_link.path / ".python-envs"
    file.write_bytes(OTHERS.encode() + b"\xff/not/UTF-8")  # without the end of its line
    no_link.prime()
    assert file.read_bytes().startswith(OTHERS.encode() + b"\xff/not/UTF-8\n.prime/envs/default-")
    with file.open("ab") as appended:
        appended.write(b"another\n")
    no_link.prime()
    assert file.read_bytes().split(b"\n")[-3:-1] == [b"another", str(
        no_link.generations[0].relative_to(no_link.path)).encode()]
    no_link.prime("clean", "--all")
    assert file.read_bytes() == OTHERS.encode() + b"\xff/not/UTF-8\nanother\n"


def test_M13_link_replaces_the_file_as_soon_as_it_can_be_made(no_link):
    file = no_link.path / ".python-envs"
    file.write_text("other\n")
    no_link.prime()
    assert len(lines(no_link)) == 2
    del no_link.env["LD_PRELOAD"]
    no_link.prime("reset")
    assert no_link.current in no_link.generations
    assert lines(no_link) == ["other"]


@pytest.mark.parametrize("kind", ["redirect file", "directory"])
def test_M13_what_stands_at_the_link_is_renamed_for_it_would_go_first(no_link, kind):
    place = no_link.path / ".venv"
    if kind == "directory":
        place.mkdir()
        (place / "mine").write_text("mine\n")
    else:
        place.write_text("other/env\n")
    no_link.prime()
    assert not os.path.lexists(str(place)) and len(lines(no_link)) == 1
    aside = no_link.path / ".venv.before-prime"
    assert (aside / "mine" if kind == "directory" else aside).read_text() in ("mine\n", "other/env\n")


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_M13_nothing_but_boot_needs_link_or_file(no_link, kind):
    """The file cannot be written either. A link is not read, for who made it may have it lead to secrets."""
    file, secret = no_link.path / ".python-envs", no_link.home / "secret"
    secret.write_text("secret\n")
    file.mkdir() if kind == "directory" else file.symlink_to(secret)
    result = no_link.prime(status=1)
    assert "prime: error: no link can be made at %s: " % (no_link.path / ".venv") in result.stderr
    assert result.stderr.count("error") == 1 and "Traceback" not in result.stderr
    for argv in (["run", "true"], ["use", "default"]):
        assert "does not lead to the environment: no link can be made" in no_link.prime(*argv).stderr
    assert no_link.info()["venv"]["generation"] == str(no_link.generations[0])
    assert secret.read_text() == "secret\n" and len(no_link.generations) == 1


def test_M13_checkout_that_cannot_be_written_but_for_its_state_needs_no_link(plain, mounts):
    (plain.path / ".prime").mkdir()
    mounts.sh('mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; mount -t tmpfs none "$1/.prime"', plain.path)
    for argv in ([], [], ["run", "true"], ["info"]):
        assert "error" not in mounts.prime(*argv).stderr


def test_M13_shell_of_an_environment_without_link_has_the_generation(no_link):
    no_link.env["SHELL"] = str(no_link.program("shell", "#!/bin/sh\necho $VIRTUAL_ENV\n"))
    for _ in range(2):
        assert no_link.prime("shell").stdout == "%s\n" % (no_link.path / lines(no_link)[0])


# -- Windows, by fakes at the edge -----------------------------------------------------------------


class Junctions:
    """What Windows does with junctions, by symbolic links of absolute paths: fakes of `_winapi`, `nt` and of `os`."""

    def __init__(self, monkeypatch, is_old):
        self.fails, self.lost, self.is_old = None, "", is_old
        self.lstat, self.readlink, self.rmdir = os.lstat, os.readlink, os.rmdir
        modules = {"_winapi": {"CreateJunction": self.create}, "nt": {"_getfinalpathname": self.final},
                   "msvcrt": {"LK_NBLCK": 0, "locking": lambda *_: None}}
        for name, content in modules.items():
            monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
        monkeypatch.setattr(proto_prime, "WINDOWS", True)
        for function, fake in (("lstat", self.look), ("rmdir", self.remove), ("readlink", self.read)):
            monkeypatch.setattr(os, function, fake)
        monkeypatch.setattr(os.path, "islink", lambda path: False)
        monkeypatch.setattr(os.path, "realpath", os.path.abspath if is_old else self.end)

    def create(self, target, path):
        if self.fails:
            os.mkdir(path)  # Windows leaves it behind
            raise self.fails
        os.symlink(self.lost or target, path)

    def is_junction(self, path):
        try:
            return (self.lstat(path).st_mode & 0o170000) == 0o120000
        except OSError:
            return False

    def look(self, path, **words):
        found = self.lstat(path, **words)
        if words:  # of `shutil.rmtree`
            return found
        values = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        values["st_file_attributes"] = 0x400 * self.is_junction(path)
        if not self.is_old:
            values["st_reparse_tag"] = 0xA0000003 * self.is_junction(path)
        return types.SimpleNamespace(**values)

    def read(self, path):
        text = self.readlink(path)
        if self.is_old:
            raise ValueError("not a symbolic link")
        return "\\\\?\\" + text

    def remove(self, path, **words):
        os.remove(path) if self.is_junction(path) else self.rmdir(path, **words)

    def end(self, path):
        return self.readlink(path) if self.is_junction(path) else os.path.abspath(path)

    def final(self, path):
        if not os.path.exists(path):
            raise OSError("it leads to nothing")
        return "\\\\?\\" + self.end(path)


@pytest.fixture(params=["3.6 and 3.7", "3.8 and later"])
def junctions(request, monkeypatch, tmp_path):
    """`Junctions`, for what pythons of two ages see of them."""
    if os.name == "nt":
        pytest.skip("this is Windows itself")
    return Junctions(monkeypatch, is_old=request.param.startswith("3.6"))


@pytest.fixture
def link(tmp_path):
    """A `Link` of a root with two complete generations, which stand in `link.found`."""
    root = tmp_path.resolve() / "root"
    link = proto_prime.Link(str(root), str(root / ".venv"))
    link.found = [str(root / ".prime" / "envs" / ("default-%012x" % number)) for number in (1, 2)]
    for path in link.found:
        os.makedirs(path)
        Path(path, "proto-prime.json").write_text("{}")
    (root / ".prime" / ".proto-prime").touch()
    return link


def names(link):
    return sorted(os.listdir(link.root))


def test_W2_junction_is_a_link_that_is_made_replaced_and_removed(link, junctions):
    for path in link.found:
        link.publish(path)
        assert link.is_right() and link.is_ours() and proto_prime.is_link(link.path) and link.leads_to(path)
    assert names(link) == [".prime", ".venv"]
    assert link.why_wrong() == ""
    link.forget(link.found[:1])
    assert names(link) == [".prime", ".venv"]
    link.forget(link.found[1:])
    assert names(link) == [".prime"]


def test_W2_junction_to_what_clean_removed_is_removed(link, junctions):
    link.publish(link.found[0])
    before = [path for path in link.found if link.leads_to(path)]
    for path in link.found:
        proto_prime.remove(path)
    link.forget(link.found, before)
    assert names(link) == [".prime"]


@pytest.mark.parametrize("kind", ["not supported", "leads nowhere"])
def test_W2_junction_that_cannot_be_made_or_leads_nowhere_is_none(link, junctions, capfd, kind):
    if kind == "not supported":
        junctions.fails = OSError(22, "Request not supported")
    else:
        junctions.lost = link.root + "/nowhere"
    link.publish(link.found[0])
    assert names(link) == [".prime", ".python-envs"]
    assert Path(link.root, ".python-envs").read_text() == ".prime/envs/default-000000000001\n"
    assert link.is_right() and link.leads_to(link.found[0]) and not link.leads_to(link.found[1])
    said = capfd.readouterr().err
    assert said.count("no link can be made") == 1
    link.publish(link.found[1])
    assert Path(link.root, ".python-envs").read_text() == ".prime/envs/default-000000000002\n"
    assert capfd.readouterr().err == ""
    junctions.fails, junctions.lost = None, ""
    link.publish(link.found[0])
    assert names(link) == [".prime", ".venv"]


def test_W2_junction_of_others_is_renamed(link, junctions, tmp_path):
    (tmp_path / "mine").mkdir()
    junctions.create(str(tmp_path / "mine"), link.path)
    link.publish(link.found[0])
    assert names(link) == [".prime", ".venv", ".venv.before-prime"]
    assert (tmp_path / "mine").is_dir() and link.is_right()
