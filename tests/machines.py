"""Machines that are not here, as far as a mount namespace can play them."""

import errno
import shlex
import shutil
import subprocess

import pytest
from conftest import some_python
from helpers import preloaded

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


# System calls as a file system without them answers, for what is below the directories of $LACKING_AT. Each takes its
# path, relative to a directory or not, or an open file. What links are made of can be seen in /proc/self/fd.
LACKING = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>
#include <utime.h>

static int is_lacking(const char *call, int fd, const char *path)
{
    char calls[256], link[64], base[PATH_MAX + 1] = "", whole[2 * PATH_MAX + 2], *list, *place;
    snprintf(calls, sizeof calls, " %s ", getenv("LACKING") ? getenv("LACKING") : "");
    snprintf(link, sizeof link, " %s ", call);
    if (!strstr(calls, link) || !getenv("LACKING_AT"))
        return 0;
    if (!path || path[0] != '/') {
        if (fd == AT_FDCWD)
            strcpy(link, "/proc/self/cwd");
        else
            sprintf(link, "/proc/self/fd/%d", fd);
        if (readlink(link, base, PATH_MAX) < 0)
            return 0;
        snprintf(whole, sizeof whole, path && *path ? "%s/%s" : "%s", base, path);
    } else
        snprintf(whole, sizeof whole, "%s", path);
    list = strdup(getenv("LACKING_AT"));
    for (place = strtok(list, ":"); place; place = strtok(NULL, ":"))
        if (!strncmp(whole, place, strlen(place))) {
            errno = atoi(getenv("LACKING_ERRNO"));
            return 1;
        }
    free(list);
    return 0;
}

#define CALL(name, says, at, path, types, names) \\
    int name types \\
    { \\
        static int (*real) types; \\
        if (is_lacking(says, at, path)) \\
            return -1; \\
        if (!real) \\
            *(void **)&real = dlsym(RTLD_NEXT, #name); \\
        return real names; \\
    }

CALL(symlink, "symlink", AT_FDCWD, to, (const char *from, const char *to), (from, to))
CALL(symlinkat, "symlink", at, to, (const char *from, int at, const char *to), (from, at, to))
CALL(link, "link", AT_FDCWD, to, (const char *from, const char *to), (from, to))
CALL(linkat, "link", at, to, (int source, const char *from, int at, const char *to, int flags),
     (source, from, at, to, flags))
CALL(chmod, "chmod", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
CALL(fchmod, "chmod", fd, NULL, (int fd, mode_t mode), (fd, mode))
CALL(fchmodat, "chmod", at, path, (int at, const char *path, mode_t mode, int flags), (at, path, mode, flags))
CALL(utime, "utime", AT_FDCWD, path, (const char *path, const struct utimbuf *times), (path, times))
CALL(utimes, "utime", AT_FDCWD, path, (const char *path, const struct timeval times[2]), (path, times))
CALL(futimens, "utime", fd, NULL, (int fd, const struct timespec times[2]), (fd, times))
CALL(utimensat, "utime", at, path, (int at, const char *path, const struct timespec times[2], int flags),
     (at, path, times, flags))
CALL(flock, "flock", fd, NULL, (int fd, int operation), (fd, operation))
"""


def lacking(repo, calls, error, *places):
    """Take system calls away from all that a repo's commands start, below directories: pip and uv included.

    calls  str of words among symlink, link, chmod, utime, flock; error  the name of what they give, such as "EPERM"
    """
    repo.env.update(LD_PRELOAD=preloaded(repo.path.parent, LACKING), LACKING=calls,
                    LACKING_AT=":".join(map(str, places)), LACKING_ERRNO=str(getattr(errno, error)))


class ExFat:
    """An exFAT file system, of which a repo's directory is the top: without links, locks of its own or permissions."""

    def __init__(self, repo, mounts):
        for program in ("losetup", "mkfs.exfat", "mount.exfat-fuse"):
            if not shutil.which(program):
                pytest.skip("no %s" % program)
        image = repo.home / "exfat"
        with open(str(image), "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.exfat", str(image)], check=True, stdout=subprocess.DEVNULL)
        found = subprocess.run(["losetup", "--show", "-f", str(image)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               universal_newlines=True)
        if found.returncode:
            pytest.skip("no loop device: %s" % found.stderr.strip())
        self.device, self.mounts, self.place = found.stdout.strip(), mounts, repo.path
        files = {each.name: each.read_bytes() for each in repo.path.iterdir() if each.is_file()}
        for each in repo.path.iterdir():  # fuse mounts on no directory with files
            each.unlink()
        script = 'mount.exfat-fuse -o noatime "$1" "$2" >&2 || echo no'
        if mounts.sh(script, self.device, repo.path):
            self.close()
            pytest.skip("exFAT cannot be mounted here")
        for name, data in files.items():
            self.write(name, data)

    def write(self, name, data):
        with open("%s%s/%s" % (self.mounts.root, self.place, name), "wb") as file:
            file.write(data)

    def close(self):
        self.mounts.sh('umount "$1" 2>/dev/null || true', self.place)
        subprocess.run(["losetup", "-d", self.device], check=True)
