"""Machines that are not here, as far as a mount namespace can play them."""

import errno
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import TOP, python, some_python
from filelock import FileLock
from helpers import Handler, Server, preloaded

import proto_prime

INSIDE = """\
#!/bin/sh
exec {enter} /bin/sh -c 'cd "$0" && exec "$@"' "$PWD" {command} "$@"
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
        self.enter = "%s -t %d %s --" % (shutil.which("nsenter"), self.holder.pid, enter)
        self.root = "/proc/%d/root" % self.holder.pid
        self.python = self.program("python-inside", some_python())

    def program(self, name, *command, root="/"):
        """Make a program of the repo that runs a command in here, in another root if one is named. Returns its path."""
        enter = self.enter + ("" if root == "/" else " %s %s" % (shutil.which("chroot"), shlex.quote(str(root))))
        words = " ".join(shlex.quote(str(word)) for word in command)
        return self.repo.program(name, INSIDE.format(enter=enter, command=words))

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


# -- a machine of its own ------------------------------------------------------------------------

TOOLS = "chmod cut id mkdir mv rm sha256sum sleep uname".split()
LIBRARIES = [place for place in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") if os.path.isdir(place)]
HOME = "home/some body"  # as /etc/passwd has it, too
CACHE = "%s/.cache/proto_prime/uv" % HOME
UNSHARE = ["unshare", "-m"] if os.name == "posix" and os.geteuid() == 0 else ["unshare", "-Urm"]
ENTER = """set -e
root=$1 path=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin; shift
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; shift; done; shift
chroot=$(command -v chroot)
PATH=$path exec "$chroot" "$root" "$@"
"""


class Files(Server):
    """A server of `files`, {name: a path, or bytes}; `asked` is the names that it was asked for."""

    def __init__(self, files):
        self.files, self.asked = dict(files), []
        super().__init__(Handler)

    def url(self, name):
        return "http://%s/%s" % (self.place, name)

    def installer(self, name):
        """What lets an installer of uv be fetched from here: its URL, and the hash that http takes."""
        digest = proto_prime.hash_bytes(self.files[name]) if name in self.files else "0" * 64
        return {"PROTOPRIMER_UV_INSTALLER_URL": self.url(name), "PROTOPRIMER_UV_INSTALLER_SHA256": digest}

    def answer(self, request):
        name = request.path.lstrip("/")
        self.asked.append(name)
        body = self.files.get(name, b"")
        body = body.read_bytes() if isinstance(body, Path) else body
        lost = 100 if name.startswith("truncated") else 0
        request.give(200 if body else 404, body, Content_Length=str(len(body) + lost))


class Machine:
    """A directory, and what it takes to run programs in it as in the root of a machine.

    Skips the test where no file system may be mounted.
    """

    def __init__(self, root, server, shell):
        if not shutil.which("unshare") or subprocess.run(UNSHARE + ["true"], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no mount namespace to be had")
        self.root, self.path, self.server = root, root, server
        self.mounts = [place for place in LIBRARIES if not os.path.islink(place)] + ["/dev", "/proc"]
        for name in ("bin", "etc", "tmp", "repo/.git", HOME):
            (root / name).mkdir(parents=True)
        for place in filter(os.path.islink, LIBRARIES):
            (root / place[1:]).symlink_to(os.readlink(place))
        (root / "etc/passwd").write_text("root:x:0:0::/%s:/bin/sh\n" % HOME)
        self.env = {"HOME": "/" + HOME, "PATH": "/bin", "LANG": "C.UTF-8", "UV_HTTP_RETRIES": "0",
                    "UV_PYTHON_DOWNLOADS_JSON_URL": server.url("downloads.json"),
                    **server.installer("install.sh")}
        self.put("repo/proto_prime.py", (TOP / "proto_prime.py").read_bytes())
        self.install(shell, *([] if shell == "busybox" else TOOLS))
        applets = subprocess.check_output(["busybox", "--list"]).decode().split() if shell == "busybox" else ["sh"]
        for name in set(applets) - {shell}:
            (root / "bin" / name).symlink_to(shell)

    def put(self, name, data, mode=0o644):
        """Write a file, with the directories above it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()  # not what it leads to: a python of this machine
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(mode)

    def program(self, name, text):
        self.put("bin/" + name, text, mode=0o755)

    def install(self, *names):
        """Give it programs of this machine."""
        for name in names:
            if not shutil.which(name):
                pytest.skip("no %s" % name)
            shutil.copy(shutil.which(name), str(self.root / "bin" / name))

    def python(self, path, *names):
        """Give it a python of this machine, as /bin/NAME for each of the names."""
        self.mounts.append(str(path.parent.parent))
        for name in names:
            (self.root / "bin" / name).symlink_to(path)

    def command(self, *argv):
        """What runs `sh ARGV...` in /repo."""
        inside = ["sh", "-c", 'cd /repo && exec sh "$@"', "sh"] + list(argv)
        return UNSHARE + ["sh", "-c", ENTER, "sh", str(self.root)] + self.mounts + ["--"] + inside

    def environ(self, more):
        return {name: value for name, value in dict(self.env, **more).items() if value is not None}

    def prime(self, *argv, status=0, env=(), **options):
        """Run `sh proto_prime.py ARGV...` to its end, which must have this status. Returns (stdout, stderr)."""
        options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.command("proto_prime.py", *argv), env=self.environ(dict(env)), timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)
        assert done.returncode == status, "status %s\n%s\n%s" % (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def refused(self, *argv, env=()):
        """`prime` must fail, and leave nothing half-made. Returns its error."""
        stdout, stderr = self.prime(*argv, status=1, env=env)
        assert stdout == ""
        self.check_clean()
        return stderr[stderr.index("prime: error: "):]

    def check_clean(self):
        """Nothing is left of a uv that was not fetched."""
        assert [str(path) for path in self.root.rglob("aside*")] == []
        assert self.uvs == []

    @property
    def uvs(self):
        """What the cache keeps of uv."""
        return sorted(path.name for path in (self.root / CACHE).glob("*"))

    def asked(self):
        """What was asked of the server since the last time."""
        asked, self.server.asked = self.server.asked, []
        return asked


# -- a Mac -----------------------------------------------------------------------------------------

# macOS has no timeout, got `readlink -f` with 12.3 and realpath with 13.
MAC_TOOLS = "cat chmod cut dirname id ln mkdir mv pkill rm sh sleep uname".split()
BSD_READLINK = """#!{shell}
case $1 in
--) shift ;;
-*) echo "readlink: illegal option $1" >&2; exit 1 ;;
esac
exec {readlink} "$@"
"""
XCODE_STUB = """#!/bin/sh
echo "$0 $*" >>/tmp/dialogs
exec /bin/python3.12 "$@"
"""


def add_mac_tools(directory, shell="/bin/sh", hidden=None):
    """Give a directory the tools that an older Mac has.

    shell   str, path of the shell of its scripts
    hidden  directory for GNU's readlink, which stands behind that one; else it is this machine's
    """
    for name in MAC_TOOLS:
        if name != "sh" or not (directory / "sh").is_symlink():
            shutil.copy(shutil.which(name), str(directory / name))
    readlink = shutil.which("readlink")
    if hidden:
        shutil.copy(readlink, str(hidden / "gnu-readlink"))
        readlink = "/%s/gnu-readlink" % hidden.name
    (directory / "readlink").write_text(BSD_READLINK.format(shell=shell, readlink=readlink))
    (directory / "readlink").chmod(0o755)


class Mac(Machine):
    """A `Machine` with the tools of an older Mac: /usr/bin/python3 stands for Xcode, which may not be there.

    python3.12 is the only real python, unless a test gives it others.
    """

    def __init__(self, root, server, shell="bash"):
        super().__init__(root, server, shell)
        for path in (root / "bin").iterdir():
            if path.name not in (shell, "sh"):
                path.unlink()
        add_mac_tools(root / "bin", hidden=root / "etc")
        self.python(python("3.12"), "python3.12")
        self.put("usr/bin/python3", XCODE_STUB, mode=0o755)
        self.has_xcode(False)

    def has_xcode(self, value):
        self.put("usr/bin/xcode-select", "#!/bin/sh\nexit %d\n" % (0 if value else 2), mode=0o755)

    @property
    def dialogs(self):
        """The commands by which the stub was started."""
        path = self.root / "tmp/dialogs"
        return path.read_text().splitlines() if path.exists() else []
# Stands in the sitecustomize of a python, and plays another system in our own processes alone, not in pip's.
PERSONA = """\
import os, sys
if {"prime", "proto_prime.py"} & set(map(os.path.basename, sys.orig_argv[1:4])):
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
FRAMEWORK = """
import sysconfig
prefix = sys.base_prefix[:sys.base_prefix.index("/Python.framework")]
sysconfig.get_config_vars().update(PYTHONFRAMEWORK="Python", PYTHONFRAMEWORKDIR="Python.framework",
                                   PYTHONFRAMEWORKPREFIX=prefix)
""" + DARWIN + """
sys._framework = "Python"
sys.executable = os.environ["__PYVENV_LAUNCHER__"] = os.environ.pop("PLAYED_LAUNCHER", sys.executable)
"""
# What the file itself is warned of is an error, though it keeps warnings to itself (E2).
STRICT = """
import warnings
warnings.filterwarnings("error", module="__main__|proto_prime")
warnings.simplefilter = lambda *_: None
"""
PERSONAS = {"musl": MUSL, "framework": FRAMEWORK, "strict": STRICT}


def take_on(python, persona):
    """Let a python of its own, the path of its interpreter, play one of `PERSONAS`."""
    place = python.parent.parent / "lib" / python.resolve().name / "site-packages"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(PERSONA % PERSONAS[persona])


# What bin/python3.12 is in a framework: it starts the program of an app, which says by a variable by what path it was
# started (CPython's Mac/Tools/pythonw.c). Pythons up to 3.7 hand that on to their children (bpo-22490), as this does.
LAUNCHER = """\
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char self[PATH_MAX], app[2 * PATH_MAX], *found, *place;
    if (!strchr(argv[0], '/')) {
        found = strdup(getenv("PATH") ? getenv("PATH") : "");
        for (place = strtok(found, ":"); place; place = strtok(NULL, ":")) {
            snprintf(self, sizeof self, "%s/%s", place, argv[0]);
            if (!access(self, X_OK)) {
                argv[0] = strdup(self);
                break;
            }
        }
    }
    if (!realpath(argv[0], self))
        return 125;
    setenv("PLAYED_LAUNCHER", argv[0], 1);
    snprintf(app, sizeof app, "%.*s/../pyvenv.cfg", (int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
    if (access(app, F_OK))
        argv[0] = strdup(self); /* on macOS a python finds itself by its library, whatever link leads to it */
    setenv("__PYVENV_LAUNCHER__", argv[0], 1);
    *strrchr(self, '/') = 0;
    snprintf(app, sizeof app, "%s/../Resources/Python.app/Contents/MacOS/Python", self);
    execv(app, argv);
    return 126;
}
"""


def make_framework(python, place):
    """Make a python of its own, the path of its interpreter, a framework below a directory. Returns its new path."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    prefix = place / "Python.framework" / "Versions" / "3.12"
    prefix.parent.mkdir(parents=True)
    shutil.move(str(python.parent.parent), str(prefix))
    app, launcher = prefix / "Resources" / "Python.app" / "Contents" / "MacOS", prefix / "bin" / "python3.12"
    app.mkdir(parents=True)
    launcher.rename(app / "Python")
    (place / "launcher.c").write_text(LAUNCHER)
    subprocess.run([compiler, "-o", str(launcher), str(place / "launcher.c")], check=True)
    (prefix.parent / "Current").symlink_to("3.12")
    take_on(launcher, "framework")
    return launcher


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


class Disk:
    """A file system of a kind, of which a directory is the top; what is in that moves there.

    kind  "exfat", without links, locks of its own or permissions; "ntfs", where case does not matter
    """

    KINDS = {"exfat": ("mkfs.exfat", "mount.exfat-fuse -o noatime"),
             "ntfs": ("mkntfs -q -Q -F", "lowntfs-3g -o ignore_case,noatime")}

    def __init__(self, repo, mounts, kind="exfat", place=None):
        make, mount = self.KINDS[kind]
        for command in ("losetup", make, mount):
            if not shutil.which(command.split()[0]):
                pytest.skip("no %s" % command.split()[0])
        image, aside = repo.home / kind, repo.home / "aside"
        with open(str(image), "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(make.split() + [str(image)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = subprocess.run(["losetup", "--show", "-f", str(image)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               universal_newlines=True)
        if found.returncode:
            pytest.skip("no loop device: %s" % found.stderr.strip())
        self.device, self.mounts, self.place = found.stdout.strip(), mounts, place or repo.path
        shutil.copytree(str(self.place), str(aside), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(str(self.place))  # fuse mounts on no directory with files
        self.place.mkdir()
        if mounts.sh('%s "$1" "$2" >&2 || echo no' % mount, self.device, self.place):
            self.close()
            pytest.skip("%s cannot be mounted here" % kind)
        mounts.sh('cp -R "$1/." "$2"', aside, self.place)

    def write(self, name, data):
        with open("%s%s/%s" % (self.mounts.root, self.place, name), "wb") as file:
            file.write(data)

    def close(self):
        self.mounts.sh('umount "$1" 2>/dev/null || true', self.place)
        subprocess.run(["losetup", "-d", self.device], check=True)


# -- Debian's newest pythons -----------------------------------------------------------------------

SUITE, KEYS = "sid", "/usr/share/keyrings/debian-archive-keyring.gpg"
APT = """\
Dir::Etc::sourcelist "{place}/sources.list"; Dir::Etc::sourceparts "-"; Dir::State::lists "{place}/lists";
Dir::State::status "/dev/null"; Dir::Cache "{place}/cache"; APT::Sandbox::User "root"; Acquire::Languages "none";
APT::Architectures {{ "{machine}"; }}; APT::Install-Recommends "0";
"""
UNPACK = """set -e
for each in lists/partial cache/archives/partial root; do mkdir -p "$each"; done
export APT_CONFIG="$PWD/apt.conf"
apt-get update -q
pythons=$(apt-cache pkgnames python3.1 | grep '^python3.1[4-9]-venv$')
apt-get install -qy --download-only base-files coreutils dash $pythons
for each in cache/archives/base-files*.deb cache/archives/*.deb; do dpkg -x "$each" root; done
cat root/usr/share/ca-certificates/mozilla/*.crt >root/etc/ssl/certs/ca-certificates.crt  # as its installation does
"""


def newest_debian():
    """A root with the newest pythons of Debian, made once per machine (10 s, 120 MB in the user's cache).

    Its packages are unpacked, not installed. Skips the test, with a reason, where it cannot be made.
    """
    if not shutil.which("apt-get") or not os.path.exists(KEYS) or os.getuid():
        pytest.skip("Debian's newest pythons are unpacked by root, with apt-get and Debian's keys")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proto_prime-tests"
    base.mkdir(parents=True, exist_ok=True)
    made = base / ("debian-" + SUITE)
    with FileLock(str(base / "debian.lock")):
        if not made.exists():
            place = base / "debian.unfinished"
            shutil.rmtree(str(place), ignore_errors=True)
            place.mkdir()
            machine = subprocess.check_output(["dpkg", "--print-architecture"]).decode().strip()
            (place / "apt.conf").write_text(APT.format(place=place, machine=machine))
            (place / "sources.list").write_text(
                "deb [signed-by=%s] http://deb.debian.org/debian %s main\n" % (KEYS, SUITE))
            done = subprocess.run(["sh", "-c", UNPACK], cwd=str(place), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
            if done.returncode:
                pytest.skip("Debian's newest pythons cannot be fetched: %s" % done.stdout[-500:])
            (place / "root").rename(made)
            shutil.rmtree(str(place))
    return made


def enter_debian(mounts, *shared):
    """Let a `Mounts` have the root of `newest_debian`, where directories are at the same paths. Returns that root.

    Its pythons are strict with warnings.
    """
    root = newest_debian()
    mounts.sh("""root=$1; shift
mount -t overlay overlay -o "lowerdir=$root,upperdir=$(mktemp -d /mnt/XXXXXX),workdir=$(mktemp -d /mnt/XXXXXX)" "$root"
for each in /proc /dev "$@"; do mkdir -p "$root$each"; mount --rbind "$each" "$root$each"; done""", root, *shared)
    mounts.sh('for each in "$1"/etc/python3.*; do printf %s "$2" >"$each/sitecustomize.py"; done', root,
              PERSONA % PERSONAS["strict"])
    return root
