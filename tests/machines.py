"""Machines that are not here, as far as a mount namespace can play them."""

import shlex
import subprocess

import pytest
from conftest import some_python

INSIDE = """\
#!/bin/sh
exec {enter} sh -c 'cd "$0" && exec "$@"' "$PWD" {python} "$@"
"""


class Mounts:
    """A mount namespace: what is mounted in it is seen by what is started through it, and by nobody else."""

    def __init__(self, repo):
        self.repo = repo
        script = "mount -t tmpfs none /mnt && echo ready && exec cat"
        for kind in "-m", "-Urm":  # as root, and else
            command = ["unshare", kind, "--propagation", "private", "sh", "-c", script]
            try:
                self.holder = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except OSError as problem:
                pytest.skip("no unshare: %s" % problem)
            if self.holder.stdout.readline():
                break
            said = self.holder.communicate(b"")[1].decode().strip()
        else:
            pytest.skip("no file system may be mounted: %s" % said)
        enter = "-m" if kind == "-m" else "-U --preserve-credentials -m"
        self.enter = "nsenter -t %d %s --" % (self.holder.pid, enter)
        self.root = "/proc/%d/root" % self.holder.pid
        self.python = repo.program("python-inside", INSIDE.format(
            enter=self.enter, python=shlex.quote(str(some_python()))))

    def sh(self, script, *words):
        """Run a script of sh in here, with $1 and so on. Returns what it prints."""
        command = shlex.split(self.enter) + ["sh", "-ec", script, "sh"] + [str(word) for word in words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tmpfs(self, path, size):
        """Mount an empty file system of some KiB, for some thousand files."""
        self.sh('mkdir -p "$1"; mount -t tmpfs -o size=$2k,nr_inodes=8000 none "$1"', path, size)

    def tell(self, path, what):
        """What df says of a file system: avail, used, iavail."""
        return int(self.sh('df -k --output=$2 "$1" | tail -n 1', path, what))

    def leave(self, path, free):
        """Fill a file system but for some KiB."""
        self.sh('rm -f "$1/fill"', path)
        count = max(0, self.tell(path, "avail") - free)
        self.sh('head -c $2 /dev/zero > "$1/fill"', path, count * 1024)

    def leave_files(self, path, free):
        """Fill a file system but for that many files."""
        self.sh('rm -rf "$1/files"; mkdir "$1/files"', path)
        self.sh('cd "$1/files"; seq $2 | xargs touch', path, self.tell(path, "iavail") - free)

    def prime(self, *argv, **options):
        return self.repo.prime(*argv, python=self.python, **options)

    def has(self, module):
        """`has`, in here."""
        # -B: python leaves a cut-off .pyc on a full disk, and stumbles over it then (gh-126606)
        return self.sh('"$1/.venv/bin/python" -B -c "import $2" 2>&1 || echo missing', self.repo.path, module) == ""

    def close(self):
        self.holder.communicate(b"")


# Stands in the sitecustomize of a python, and plays another system in our own processes alone, not in pip's.
PERSONA = """\
import os, sys
with open("/proc/self/cmdline", "rb") as file:
    words = file.read().split(bytes(1))
if {b"prime", b"proto_prime.py"} & set(map(os.path.basename, words[1:4])):
    exec(%r)
"""
DARWIN = """
import _signal, select, types
sys.platform = "darwin"
for module, names in ((os, "pipe2 posix_fadvise posix_fallocate sched_getaffinity memfd_create O_TMPFILE O_PATH "
                           "getrandom listxattr getxattr setxattr getresuid sendfile"),
                      (_signal, "sigwaitinfo sigtimedwait SIGPOLL SIGPWR SIGRTMIN SIGRTMAX SIGSTKFLT"),
                      (select, "epoll")):
    for name in names.split():
        module.__dict__.pop(name, None)
sys.modules["_scproxy"] = types.ModuleType("_scproxy")
sys.modules["_scproxy"]._get_proxy_settings = sys.modules["_scproxy"]._get_proxies = dict
"""
MUSL = """
import _signal, warnings
mask, valid = _signal.pthread_sigmask, set(range(1, 65)) - {32, 33, 34}

def pthread_sigmask(how, signals):
    for number in set(map(int, signals)) - valid:
        print("RuntimeWarning: invalid signal number %d, please use valid_signals()" % number, file=sys.stderr)
    return mask(how, set(signals) & valid)

_signal.pthread_sigmask = pthread_sigmask
_signal.valid_signals = lambda: set(valid)
"""
PERSONAS = {"darwin": DARWIN, "musl": MUSL}


def take_on(python, persona):
    """Let a python of its own, the path of its interpreter, play one of `PERSONAS`."""
    place = python.parent.parent / "lib" / python.resolve().name / "site-packages"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(PERSONA % PERSONAS[persona])
