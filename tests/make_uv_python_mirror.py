"""Make `uv python install X.Y.Z` work without network, from CPython prefixes of this machine.

usage: make_uv_python_mirror.py OUTDIR PREFIX [PREFIX...]

Writes OUTDIR/<key>.tar.gz (one directory, python/, as python-build-standalone's "install_only"), and
OUTDIR/downloads.json for UV_PYTHON_DOWNLOADS_JSON_URL. Linux with glibc only. UV_PYTHON_INSTALL_MIRROR must
stay unset: with it, uv takes only addresses that start with GitHub's.
"""

import gzip
import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile

LEFT_OUT = """__pycache__ test tests idlelib tkinter turtledemo lib2to3 idle_test include share
pkgconfig""".split()
PHASES = {"alpha": "a", "beta": "b", "candidate": "rc"}
ASK = "import sys; print(sys.implementation.name, *sys.version_info)"


def make_mirror(directory, prefixes):
    """Mirror the CPythons that stand at `prefixes` in `directory`. Returns the path of downloads.json."""
    directory = os.path.abspath(str(directory))
    os.makedirs(directory, exist_ok=True)
    listed = {}
    for prefix in prefixes:
        key, entry = pack(os.path.realpath(str(prefix)), directory)
        listed[key] = entry
    target = os.path.join(directory, "downloads.json")
    with open(target, "w") as file:
        json.dump(listed, file, indent=1)
    return target


def pack(prefix, directory):
    """Pack one prefix. Returns its key and its entry of downloads.json."""
    answer = subprocess.check_output([os.path.join(prefix, "bin", "python3"), "-ESs", "-c", ASK])
    name, major, minor, patch, phase, serial = answer.decode().split()
    assert name == "cpython", "%s is %s" % (prefix, name)
    prerelease = PHASES[phase] + serial if phase in PHASES else ""
    machine = platform.machine()
    key = "cpython-%s.%s.%s%s-linux-%s-gnu" % (major, minor, patch, prerelease, machine)
    archive = os.path.join(directory, key + ".tar.gz")
    write_archive(archive, prefix, "python%s.%s" % (major, minor))
    with open(archive, "rb") as file:
        checksum = hashlib.sha256(file.read()).hexdigest()
    return key, {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": int(major),
        "minor": int(minor),
        "patch": int(patch),
        "prerelease": prerelease,
        "url": "file://" + archive,
        "sha256": checksum,
        "variant": None,
        "build": "20990101",
    }


def write_archive(path, prefix, name):
    """The interpreter `name`, its library and its shared objects as python/ in a tar file."""
    libraries = os.listdir(os.path.join(prefix, "lib"))
    members = ["bin/" + name, "lib/" + name]
    members += ["lib/" + each for each in sorted(libraries) if each.startswith("libpython") and ".so" in each]
    with gzip.open(path, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for member in members:
            archive.add(os.path.join(prefix, member), "python/" + member, filter=keep)
        for alias in ("python3", "python"):
            link = tarfile.TarInfo("python/bin/" + alias)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, name, 0o777
            archive.addfile(link)


def keep(member):
    """The bare standard library: no tests, no bytecode, no installed packages; ensurepip stays."""
    parts = member.name.split("/")
    if any(part in LEFT_OUT or part.startswith("config-") for part in parts[1:]):
        return None
    if member.name.endswith((".a", ".pyc")) or "site-packages" in parts[:-1]:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    print(make_mirror(sys.argv[1], sys.argv[2:]))
