"""One way through all that a user does, on machines that are not here: each played as far as can be, both drivers."""

import itertools
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import TOP, Repo, python, uv_program
from machines import Disk, add_mac_tools, enter_debian, lacking, make_framework, take_on
from serving import Session

if os.name != "posix":
    pytest.skip("these are machines with POSIX", allow_module_level=True)

WHERE = "import six, sys; print(sys.prefix)"
ENDS = "import six, sys; print(sys.argv[1:]); sys.exit(7)"


class Persona:
    """A machine that is played, with a repo on it.

    repo     `Repo`; python: the path of what starts the repo's entry script; entries: that script, by each of its names
    cwd      the directory where commands are started; root: what leads to the machine's `/` from here
    notices  list of str: what the lines of a command without work may say besides
    sees     whether it can be told there what runs
    happens  None, or a function: what happens to that machine after the first boot
    cache    the user cache, below the home, if it is not the one of all tests; config: more lines of it
    """

    def __init__(self, repo, python=None, entries=("prime",), cwd=None, root="", notices=(), sees=True,
                 happens=None, cache="",
                 config=""):
        self.repo, self.python, self.entries, self.cwd, self.root = repo, python, list(entries), cwd, root
        self.notices, self.sees, self.happens, self.cache, self.config = notices, sees, happens, cache, config
        if cache:
            repo.env["PROTOPRIMER_CACHE_DIR"] = None  # it is where that machine has it

    def take(self, driver):
        """Have a driver build from now on; uv is on PATH for its own."""
        self.repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
        uv, aside = self.repo.bin / "uv", self.repo.bin / "no uv"
        if driver == "venv_pip" and uv.exists():
            uv.rename(aside)
        if driver == "venv_uv" and not uv.exists():
            aside.rename(uv) if aside.exists() else self.repo.link("uv", uv_program())

    def options(self):
        self.entries.append(self.entries.pop(0))  # each name in turn
        return {"python": self.python, "entry": str(self.entries[-1]), "cwd": str(self.cwd or self.repo.path)}

    def prime(self, *argv, **more):
        """Run `prime ARGV...`, which must have its status and say nothing that is a fault of ours."""
        done = self.repo.prime(*argv, **dict(self.options(), **more))
        assert not re.search("Traceback|Warning|ld.so|Error in sitecustomize", done.stderr), done.stderr
        return done

    def write(self, name, text):
        (self.path / name).write_text(text, encoding="utf-8")

    @property
    def path(self):
        """The repo's directory, as it is seen from here."""
        return Path(self.root + str(self.repo.path))

    def generations(self):
        """The complete generations, wherever they are."""
        states = [self.path] + list((self.repo.home / self.cache).glob("states/*"))
        found = [marker.parent for state in states for marker in state.glob(".prime/envs/*/proto-prime.json")]
        return sorted(str(path)[len(self.root) if str(path).startswith(self.root) else 0:] for path in found)

    def leads_to(self):
        """Where `.venv` leads, or the last line of `.python-envs`; None if there is neither."""
        link, listed = self.path / ".venv", self.path / ".python-envs"
        if listed.exists():
            return listed.read_text(encoding="utf-8").splitlines()[-1]
        return os.path.join(str(self.repo.path), os.readlink(str(link))) if link.is_symlink() else None

    def inside(self):
        """The environment in which commands run, where the link leads, too."""
        prefix = self.prime("run", "python", "-c", WHERE).stdout.strip()
        assert prefix == self.leads_to() and prefix in self.generations()
        return prefix

    def shell(self, text, **more):
        """Let `prime shell` read a script."""
        script = self.repo.home / "typed"
        script.write_text(text)
        with script.open() as stdin:
            return self.prime("shell", stdin=stdin, env={"SHELL": "/bin/sh"}, **more)


def go_through(persona, driver):
    """Boot, no-op, run, shell, reset, rollback, clean, lock, serve: each with its status, and with what it leaves.

    What `driver` builds is reset by the other one, and a lock is installed by `driver` again.
    """
    prime, other = persona.prime, "venv_pip" if driver == "venv_uv" else "venv_uv"
    persona.write("proto_prime.toml", 'dependencies = ["six"]\n' + persona.config)
    done = prime()
    assert "building environment default: it was not built yet" in done.stderr and done.stdout == ""
    begun = persona.inside()
    first = begun if persona.happens is None else renewed(persona, begun)
    before = persona.generations()
    done = prime()
    assert done.stdout == "" and persona.generations() == before
    lines = done.stderr.splitlines()
    others = [line for line in lines[1:] if not any(notice in line for notice in persona.notices)]
    assert " is current (environment default, python 3." in lines[0] and others == [], done.stderr

    assert prime("run", "python", "-c", ENDS, "a b", "", status=7).stdout == "['a b', '']\n"
    assert prime("run", "sh", "-c", "echo ${__PYVENV_LAUNCHER__-unset}").stdout == "unset\n"
    done = persona.shell('python -c "%s"\nexit 3\n' % WHERE.replace("prefix", "base_prefix == sys.prefix"), status=3)
    assert done.stdout == "False\n" and "in environment default; exit leaves it" in done.stderr

    persona.take(other)
    done = prime("reset")
    assert "a new one is asked for" in done.stderr and "installing with " + other[len("venv_"):] in done.stderr
    second = persona.inside()
    assert second != first and set(persona.generations()) == set(before) | {second}
    assert "rolled back to " + os.path.basename(first) in prime("rollback").stderr
    assert persona.inside() == first
    persona.take(driver)
    done = prime("clean")
    if persona.sees:
        assert "/%s\n" % os.path.basename(second) in done.stderr and persona.generations() == [first]
    else:
        assert "it cannot be told what runs" in done.stderr and second in persona.generations()

    assert "pylock.toml names 1 package; commit it" in prime("lock").stderr
    assert re.search(r'^name = "six"$', (persona.path / "pylock.toml").read_text(), re.M)
    assert "building environment default: pylock.toml is new" in prime().stderr
    third = persona.inside()
    assert third not in (first, second)

    check_server(persona, third)
    assert not persona.cache or (persona.repo.home / persona.cache).is_dir()
    done = prime("clean", "--all")
    if persona.sees:
        assert persona.generations() == [] and persona.leads_to() is None
    else:
        assert third in persona.generations() and persona.leads_to() == third
    left = {path.name for path in persona.path.iterdir()} - {".prime", "__pycache__"}
    assert left == {"prime", "proto_prime.py", "proto_prime.toml", "pylock.toml"} | (
        set() if persona.sees else {".venv"})


def renewed(persona, begun):
    """What is built by the next command when the machine has changed."""
    persona.happens()
    assert "building environment default" in persona.prime("run", "true").stderr
    first = persona.inside()
    assert first != begun
    return first


def check_server(persona, prefix):
    """A server has the environment as it is, runs commands in it, and ends."""
    session = Session(persona.repo, **persona.options())
    try:
        row, = session.ask("environment/list")
        assert (row["id"], row["name"]) == ("default", "default") and re.match(r"3\.\d+\.\d+", row["python_version"])
        told = session.ask("environment/get", {"id": "default"})
        assert "six" in [each["name"] for each in told["installed_packages"]]
        done = session.ask("environment/execute", {"id": "default", "argv": ["python", "-c", WHERE]})
        assert (done["exit_code"], done["stdout"]) == (0, prefix + "\n"), done
        assert session.end() == 0
        assert session.log.read_text().count("building") == 0
    finally:
        session.close()


# -- the personas ----------------------------------------------------------------------------------


def without_proc(request, repo):
    """It cannot be told what runs: /proc is empty, and there is no ps."""
    mounts = request.getfixturevalue("mounts")
    mounts.sh("mount -t tmpfs none /proc")
    repo.link("sh", shutil.which("sh"))
    repo.env["PATH"] = str(repo.bin)
    return Persona(repo, mounts.python, sees=False)


def two_mounts(request, repo):
    """A directory that is mounted a second time."""
    mounts, second = request.getfixturevalue("mounts"), repo.path.parent / "second"
    mounts.sh('mkdir "$2"; mount --bind "$1" "$2"', repo.path, second)
    return Persona(repo, mounts.python, [repo.path / "prime", second / "prime"], repo.home)


def case_insensitive(request, repo):
    """NTFS as Windows and macOS see a disk: each name in the case that somebody types."""
    mounts = request.getfixturevalue("mounts")
    place = repo.path.parent / "disk"
    place.mkdir()
    repo.path.rename(place / "Repo")
    repo.path = place / "Repo"
    disk = Disk(repo, mounts, "ntfs", place)
    request.addfinalizer(disk.close)
    return Persona(repo, mounts.python, [place / "Repo" / "prime", place / "REPO" / "Prime"], repo.home, mounts.root)


def no_links(request, repo):
    """A network share that has no links, no modes, no times and no locks."""
    lacking(repo, "symlink link chmod utime flock", "EPERM", repo.path)
    return Persona(repo, cache=".cache/proto_prime")


def exfat(request, repo):
    """A stick."""
    mounts = request.getfixturevalue("mounts")
    disk = Disk(repo, mounts)
    request.addfinalizer(disk.close)
    return Persona(repo, mounts.python, root=mounts.root, cache=".cache/proto_prime")


def musl(request, repo):
    """A python for which signals 32 to 34 are none; commands are started as where nothing can be replaced."""
    found = request.getfixturevalue("spare_python")
    take_on(found, "musl")
    repo.env.update(PROTOPRIMER_PYTHON=str(found), PROTOPRIMER_SPAWN="1")
    return Persona(repo, found)


def framework(request, repo):
    """A python of python.org's installer for macOS, which lacks what that system does."""
    found = make_framework(request.getfixturevalue("spare_python"), repo.home / "Library" / "Frameworks")
    repo.env["PROTOPRIMER_PYTHON"] = str(found)
    return Persona(repo, found, cache="Library/Caches/proto_prime")


def mac(request, repo):
    """All of it: that python alone on PATH, started by sh, with the tools of an older Mac, its ps and no /proc."""
    mounts = request.getfixturevalue("mounts")
    persona = framework(request, repo)
    repo.link("python3", persona.python)
    repo.program("ps", "#!/bin/sh\necho '/sbin/launchd PATH=/bin caf\\M-C\\M-)=1'\n")
    add_mac_tools(repo.bin)
    repo.env["PATH"] = str(repo.bin)
    mounts.sh("mount -t tmpfs none /proc")
    return Persona(repo, mounts.program("sh-inside", "/bin/sh"), cache=persona.cache)


def homebrew(request, repo):
    """A python of Homebrew, which is upgraded after the first boot: what it was is gone then."""
    found, cellar = request.getfixturevalue("spare_python"), repo.home / "Cellar" / "python@3.12"
    cellar.mkdir(parents=True)
    opt = repo.home / "opt" / "python@3.12"
    opt.parent.mkdir()
    shutil.move(str(found.parent.parent), str(cellar / "3.12.1"))

    def lead_to(version):
        for link, target in (opt, "../Cellar/python@3.12/" + version), (
                repo.bin / "python3.12", "../Cellar/python@3.12/%s/bin/python3.12" % version):
            if link.is_symlink():
                link.unlink()
            link.symlink_to(target)

    def upgrade():
        (cellar / "3.12.1").rename(cellar / "3.12.2")
        os.utime(str(cellar / "3.12.2" / "bin" / "python3.12"))
        lead_to("3.12.2")

    lead_to("3.12.1")
    repo.env["PYENV_ROOT"] = "/nowhere"
    return Persona(repo, python("3.11"), happens=upgrade, config='required_python_version = "==3.12.*"\n')


def other_user(request, repo):
    """A user in a checkout of his own, whose commands root starts."""
    other = request.getfixturevalue("other_user")
    house = other.place / "wheels"
    shutil.copytree(repo.env["PIP_FIND_LINKS"][len("file://"):], str(house))
    found = Repo(other.place / "a repo", other.place / "home", other.place / "shared", house)
    found.env["PROTOPRIMER_VENV_DRIVER"] = repo.env["PROTOPRIMER_VENV_DRIVER"]
    (found.path / "proto_prime.py").unlink()
    shutil.copy(str(TOP / "proto_prime.py"), str(found.path))
    shutil.copy(uv_program(), str(found.bin / "uv"))
    other.give(*other.place.iterdir())
    words = ["setpriv", "--reuid=%d" % other.uid, "--regid=%d" % other.uid, "--clear-groups"]
    text = "#!/bin/sh\nexec %s sh -c 'exec \"$@\"' sh %s \"$@\"\n"
    start = found.program("as-other", text % (" ".join(words), shlex.quote(str(other.python))))
    return Persona(found, start)


FITTING = [without_proc, two_mounts, case_insensitive, no_links, exfat, musl, framework, mac, homebrew,
           other_user]


@pytest.mark.slow
@pytest.mark.parametrize("play, driver", [
    pytest.param(play, driver, id="%s-%s" % (play.__name__, driver))
    for play, driver in zip(FITTING, itertools.cycle(["venv_uv", "venv_pip"]))], indirect=["driver"])
def test_whole_way_on_a_machine(request, repo, driver, play):
    go_through(play(request, repo), driver)


# -- pythons that are newer than any here ----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("wild, required, driver", [("3.14", "3.15", "venv_uv"), ("3.15", "3.14", "venv_pip")],
                         indirect=["driver"])
def test_whole_way_with_the_newest_pythons_of_debian(repo, shared, driver, mounts, wild, required):
    root = enter_debian(mounts, shared, TOP, Path(uv_program()).resolve().parent)
    for version in wild, required:
        if not (root / "usr/bin" / ("python" + version)).exists():
            pytest.skip("there is no python %s in Debian's newest suite" % version)
    repo.env["PROTOPRIMER_PYTHON"] = "/usr/bin/python" + required
    start = mounts.program("python-" + wild, "/usr/bin/python" + wild, root=root)
    go_through(Persona(repo, start), driver)
