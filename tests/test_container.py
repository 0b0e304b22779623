"""The example Dockerfile, its instructions carried out one by one in namespaces in place of docker's.

An image is a directory with what its instructions wrote. A container is a chroot into it, in a mount namespace in
which the system's directories can only be read and the base image's python stands at /usr/local.
"""

import fnmatch
import json
import os
import shlex
import shutil
import subprocess

import pytest
from conftest import TOP

pwd = pytest.importorskip("pwd")

DOCKERFILE = TOP / "examples" / "container" / "Dockerfile"
SYSTEM = ("bin", "etc", "lib", "lib64", "sbin", "usr")
# The python is one that was moved: the variable tells it where its libpython is.
BASE_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/usr/local/lib"}
ENTER = """set -e
root=$1; shift
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; shift 2; done
shift
for each in dev proc; do mount --rbind "/$each" "$root/$each"; done
exec chroot "$@"
"""


def instructions():
    """The Dockerfile as [(name of an instruction, its arguments)]."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in "\n".join(lines).replace("\\\n", " ").splitlines()]


def command_of(text):
    """The arguments of RUN, CMD or ENTRYPOINT as a list, from either form."""
    return json.loads(text) if text.startswith("[") else ["/bin/sh", "-c", text]


def is_sent(path):
    """Whether a path in the context gets past the example's .dockerignore: the last pattern counts."""
    sent = True
    for line in (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines():
        pattern, parts = line.lstrip("!").split("/"), path.split("/")
        is_rule = line and not line.startswith("#") and len(parts) >= len(pattern)
        if is_rule and all(fnmatch.fnmatchcase(*pair) for pair in zip(parts, pattern)):
            sent = line.startswith("!")
    return sent


class Image:
    """What the instructions of one stage made, starting from a base image, a directory with a python in it."""

    def __init__(self, root, base):
        self.root, self.base, self.env, self.workdir, self.user = root, base, dict(BASE_ENV), "/", "root"
        self.entrypoint, self.command = [], []
        for name in ("dev", "proc", "mnt", "opt", "root", "tmp"):
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        for name in SYSTEM:
            if os.path.islink("/" + name):
                (root / name).symlink_to(os.readlink("/" + name))
            elif os.path.isdir("/" + name):
                (root / name).mkdir()

    def run(self, command, settings=(), mnt=None, network=True):
        """Run a command in a container of this image. Returns the CompletedProcess."""
        mounts = [("/" + name, "/" + name) for name in SYSTEM if not os.path.islink("/" + name)]
        mounts += [(str(self.base), "/usr/local")] + ([(str(mnt), "/mnt")] if mnt else [])
        argv = ["unshare", "-m"] + ([] if network else ["-n"]) + ["sh", "-c", ENTER, "sh", str(self.root)]
        argv += [word for pair in mounts if os.path.isdir(pair[0]) for word in pair] + ["--"]
        argv += ["--userspec=" + self.user, str(self.root), "env", "-i", "-C", self.workdir]
        environ = dict({"HOME": pwd.getpwnam(self.user).pw_dir}, **dict(self.env, **dict(settings)))
        argv += ["%s=%s" % pair for pair in environ.items()]
        return subprocess.run(argv + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=120)

    def start(self, *command):
        """`docker run --network none IMAGE COMMAND...`."""
        return self.run(self.entrypoint + (list(command) or self.command), network=False)

    def copy(self, words, stages):
        """COPY: contents, modes and times stay, inodes are new, and all belongs to root."""
        *sources, target = [word for word in words if not word.startswith("--")]
        stage = next((word.split("=")[1] for word in words if word.startswith("--from=")), "")
        place = self.root / os.path.join(self.workdir, target).lstrip("/")
        for source in sources:
            assert stage or is_sent(source), "%s is kept back by .dockerignore" % source
            path = (stages[stage].root if stage else TOP) / source.lstrip("/")
            assert not path.is_symlink(), "%s would be copied as a link" % source
            is_into = path.is_dir() or target.endswith("/")
            (place if is_into else place.parent).mkdir(parents=True, exist_ok=True)
            what = str(path) + "/." if path.is_dir() else str(path)
            subprocess.run(["cp", "-a", "--no-preserve=ownership", what, str(place)], check=True)

    def state(self):
        """All that is in it, with what `stat` knows of it: the same text means that nothing was written."""
        form = "%p %y %m %U %i %s %T@ %C@ %l\\n"
        return sorted(subprocess.check_output(["find", str(self.root), "-printf", form]).decode().splitlines())


def follow(directory, base, settings, mnt):
    """Carry out the Dockerfile from a base image. Returns the `Image` of its last stage."""
    stages = {}
    for name, rest in instructions():
        words = shlex.split(rest)
        if name == "FROM":
            label = words[2] if words[1:2] == ["AS"] else str(len(stages))
            image = stages[label] = Image(directory / label, base)
        elif name == "COPY":
            image.copy(words, stages)
        elif name == "ENV":
            image.env.update(word.split("=", 1) for word in words)
        elif name == "RUN":
            done = image.run(command_of(rest), settings, mnt)
            assert done.returncode == 0, "RUN %s\n%s%s" % (rest, done.stdout, done.stderr)
        elif name == "WORKDIR":
            image.workdir = os.path.join(image.workdir, rest)
            (image.root / image.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            image.user = rest
        elif name == "ENTRYPOINT":
            image.entrypoint = command_of(rest)
        elif name == "CMD":
            image.command = command_of(rest)
        else:
            raise AssertionError("%s is not known here" % name)
    return image


@pytest.fixture
def base(spare_python):
    """What python:3.12-slim has at /usr/local; skips the test where no container can be imitated."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("it takes root and unshare to imitate a container")
    command = ["unshare", "-m", "-n", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount and network namespaces to be had")
    os.utime(str(spare_python), ns=(1600000000123456789, 1600000000123456789))
    return spare_python.parent.parent


@pytest.fixture
def build_image(tmp_path, wheelhouse):
    """A function that builds the example with a driver. Returns its `Image`."""

    def build(base, driver="venv_uv"):
        wheels = tmp_path / "wheels"
        wheels.mkdir()
        for wheel in wheelhouse.glob("*.whl"):
            if driver == "venv_uv" or not wheel.name.startswith("uv-"):  # it is fetched, if it is to be had
                os.link(str(wheel), str(wheels / wheel.name))
        settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt", "UV_FIND_LINKS": "/mnt", "UV_OFFLINE": "1"}
        image = follow(tmp_path / "images", base, settings, wheels)
        marker = next(image.root.glob("opt/app/state/envs/*/proto-prime.json"))
        assert json.loads(marker.read_text())["driver"] == driver
        return image

    return build


def check_runtime(image):
    """The image does its work, and leaves no trace."""
    before = image.state()
    for _ in range(2):
        done = image.start()
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert done.stdout.startswith("hello you, from python 3.12.")
    assert image.start("greet", "everybody").stdout.startswith("hello everybody, ")
    told = image.start("run", "python", "-c", "import os, sys; print(sys.prefix); sys.exit(os.getuid())")
    assert told.returncode == pwd.getpwnam("nobody").pw_uid % 256
    assert told.stdout.startswith("/opt/app/state/envs/default-")
    assert image.state() == before
    socket = "import socket; socket.create_connection(('1.1.1.1', 53), 1)"
    assert "unreachable" in image.start("run", "python", "-c", socket).stderr  # so much for the test itself
    assert "denied" in image.start("run", "sh", "-c", "echo >> /opt/app/src/greet.py").stderr


def test_builder_gets_what_is_copied_and_nothing_else():
    wanted = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    there = list(TOP.iterdir()) + list(DOCKERFILE.parent.iterdir())
    sent = [path.relative_to(TOP).as_posix() for path in there if is_sent(path.relative_to(TOP).as_posix())]
    assert sorted(sent) == sorted(sum(wanted, []))
    assert not is_sent("examples/container/.prime/lock") and not is_sent(".git/config")


def test_both_stages_start_from_the_same_image():
    first, last = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert first == last


@pytest.mark.slow
@pytest.mark.parametrize("driver_name", ["venv_pip", "venv_uv"])
def test_image_runs_its_program_without_network_and_writes_nothing(base, build_image, driver_name):
    check_runtime(build_image(base, driver_name))


@pytest.mark.slow
def test_N4_layer_of_the_environment_stays_when_the_sources_change_and_prime_adds_little(base, build_image):
    image = build_image(base)
    sizes = [os.lstat(str(path)).st_size for path in (image.root / "opt/app").rglob("*")
             if "site-packages" not in path.parts]
    assert sum(sizes) < 3e6  # as the Dockerfile tells
    built = image.root.parent / "build"
    assert not (built / "opt/app/src/greet.py").exists()
    before = image.state()
    greet = image.root / "opt/app/src/greet.py"
    greet.write_text(greet.read_text().replace("hello", "good day"))
    done = image.start()
    assert done.stdout.startswith("good day you, ") and done.stderr == ""
    changed = set(before) ^ set(image.state())
    assert all(" %s " % str(greet) in line or line.startswith(str(greet) + " ") for line in changed), changed


def pulled(image, directory, keeps_fractions):
    """The image as another machine has it: equal bytes, other inodes; registries keep whole seconds of times."""
    directory.mkdir()
    for place in (image.root, image.base):
        copy = directory / place.name
        subprocess.run(["cp", "-a", str(place), str(copy)], check=True)
        for path in [] if keeps_fractions else copy.rglob("*"):
            st = os.lstat(str(path))
            os.utime(str(path), (int(st.st_atime), int(st.st_mtime)), follow_symlinks=False)
    base = directory / image.base.name
    old, new = [os.stat(str(each / "bin" / "python3.12")) for each in (image.base, base)]
    assert old.st_ino != new.st_ino and old.st_ctime_ns != new.st_ctime_ns
    assert (old.st_mtime_ns == new.st_mtime_ns) == keeps_fractions
    image.root, image.base = directory / image.root.name, base


@pytest.mark.slow
@pytest.mark.parametrize("keeps_fractions", [
    pytest.param(True, id="equal times"),
    pytest.param(False, id="whole seconds")])
def test_T2_image_runs_where_all_files_are_copies(base, build_image, tmp_path, keeps_fractions):
    image = build_image(base)
    pulled(image, tmp_path / "another machine", keeps_fractions)
    check_runtime(image)


@pytest.mark.slow
def test_T2_image_on_another_python_says_so_and_writes_nothing(base, build_image):
    image = build_image(base)
    with open(str(base / "bin" / "python3.12"), "ab") as program:
        program.write(b"patched")
    before = image.state()
    done = image.start()
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert image.state() == before
    assert "was replaced" in done.stderr, done.stderr
