"""Whatever lies about, files, links and directories of others: each command leaves it as it was.

What may change lies in a directory that carries our mark, under a name of our own making; besides, things may be
added, and renamed to *.before-prime. PRIME_TREES=500 tries that many random trees, else it is 50.
"""

import os
import re
import shutil
import stat
from pathlib import Path

import pytest
from conftest import TOP, Repo, uv_program
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from serving import HELLO, frame, request

TREES = int(os.environ.get("PRIME_TREES", "50"))
PARTS = 10  # tests, so that several workers share the trees
MARK, MARKER = ".proto-prime", "proto-prime.json"

# -- what others may have put there ----------------------------------------------------------------

STATE = """
. .proto-prime .gitignore notes.txt CACHEDIR.TAG lock lock/x use use/x vendor/six.whl aside-0123456789abcdef
aside-0123456789abcdef/x aside-0123456789abcdef/.proto-prime .prime .prime/envs/default-0123456789ab/proto-prime.json
envs envs/mine envs/default-0123456789ab envs/default-0123456789ab/proto-prime.json envs/default-0123456789ab/data
envs/default-0123456789ab/bin/python envs/default-0123456789ab.2 envs/docs-0123456789ac envs/docs-0123456789ac/late
building building/default-0123456789ab building/docs-0123456789ac building/mine
log log/mine.log log/20200101-000000-1.log log/20200101-000000-2.log log/20200101-000000-3.log
log/20200101-000000-4.log log/20200101-000000-5.log log/20200101-000000-6.log/x
stamp stamp/default stamp/default/x stamp/docs stamp/0123456789ab.default stamp/0123456789ab.docs/x stamp/mine
held held/default held/default/x held/mine
made made/0123456789ab made/0123456789ab/name made/0123456789ab/proto_prime.toml made/0123456789ab/.proto-prime
made/0123456789ab/.prime made/0123456789ab/.prime/envs/default-0123456789ab/proto-prime.json made/mine/name
""".split() + ["odd \u00fc name\n"]
CACHE = """
. .proto-prime CACHEDIR.TAG lock proto_prime proto_prime/uv/uv-1 proto_prime/answers/0123456789abcdef notes.txt
uv uv/uv-1.2.3 uv/uv-99.0.0 uv/uv-99.0.0.sha256 uv/lock in-use uv/aside/x uv/archive/data uv/aside-0123456789abcdef/x
pip pip/26.0 pip/26.0-0123456789abcdef pip/26.0-0123456789abcdef/pip/x pip/26.0-0123456789abcdef/.proto-prime pip/http
answers answers/0123456789abcdef answers/mine answers/0123456789abcdef/x locks locks/0123456789abcdef locks/mine
scripts scripts/build.sh scripts/0123456789ab/proto_prime.toml scripts/0123456789ab/.proto-prime
shell shell/rc shell/0123456789ab/.bashrc shell/0123456789ab/.proto-prime
""".split()
REPO = """
.venv .venv/pyvenv.cfg .venv/bin/python .venv/data .venv.before-prime .venv.before-prime/data .gitignore .gitignore/x
.prime tools tools/prime tools/proto_prime.py prime.cmd vendor vendor/mine.whl vendor/six-1.17.0-py2.py3-none-any.whl
vendor/proto-prime-vendor.json vendor/modules.txt vendor/python/bin/python pylock.toml pylock.aside-1.toml
pylock.aside-0123456789abcdef.toml .venv.0123456789abcdef.prime-tmp proto_prime.py.aside proto_prime.py.1.tmp
proto_prime env/data docs-env script.py.lock
""".split()
OUTSIDE = """
precious/data precious/bin/python precious/default precious/default-0123456789ab/proto-prime.json
precious/envs/mine/data precious/envs/default-0123456789ab/proto-prime.json precious/envs/default-0123456789ab/data
precious/.prime/envs/default-0123456789ab/proto-prime.json precious/building/default-0123456789ab
precious/lock precious/use precious/log/20200101-000000-1.log precious/log/20200101-000000-2.log
precious/log/20200101-000000-3.log
precious/log/20200101-000000-4.log precious/log/20200101-000000-5.log precious/log/20200101-000000-6.log
precious/stamp/0123456789ab.default precious/stamp/default precious/held/default precious/made/0123456789ab/name
precious/made/0123456789ab/.proto-prime precious/made/0123456789ab/proto_prime.toml precious/uv/uv-1.2.3
precious/pip/26.0-0123456789abcdef/.proto-prime precious/pip/26.0-0123456789abcdef/data
precious/answers/0123456789abcdef
precious/scripts/0123456789ab/.proto-prime precious/scripts/0123456789ab/data precious/locks/0123456789abcdef
precious/shell/0123456789ab/.proto-prime precious/shell/0123456789ab/data
""".split()  # where links lead to
LINKED = "envs log stamp building held made lock use uv pip answers scripts shell locks".split()  # to their like
TEXTS = ["mine\n", "", "*\n", "{}", '{"schema": 1, "files": ["mine.whl", "six-1.17.0-py2.py3-none-any.whl"]}',
         '{"schema": 1, "files": ["..", "../precious/data", "python"]}', "process 1 on x: y", "default\n",
         '{"schema": 1, "name": "default"}', "#!/bin/sh\nrm -rf ../../../precious\n"]
KINDS = ["file"] * 6 + ["program", "directory", "directory", "link", "link", "absolute link", "dangling link"]
TARGETS = [""] * 7 + [
    "precious", "precious", "precious/data", "precious/envs", "precious/default", "precious/missing",
           "precious/.prime/envs/default-0123456789ab", "precious/default-0123456789ab", "precious/bin/python"]

PLANT = st.tuples(st.sampled_from(KINDS), st.sampled_from(TEXTS), st.sampled_from(TARGETS),
                  st.sampled_from([0o600, 0o644, 0o664, 0o444]))


def plants(names, most):
    """A strategy for a list of (name, plant)."""
    return st.lists(st.tuples(st.sampled_from(names), PLANT), max_size=most)


TREE = st.fixed_dictionaries({
    "links": st.lists(st.sampled_from(LINKED), max_size=2),
    "repo": plants(REPO, 5), "state": plants(STATE, 8), "cache": plants(CACHE, 6),
    "state place": st.sampled_from(["", "", "", "", "state", "state", "precious", "home", "repo", "repo/vendor"]),
    "cache place": st.sampled_from(["cache", "cache", "cache", "home/.cache", "repo", "precious", ""]),
    "is booted": st.sampled_from([True, False, False]),  # before the others come
    "has mark": st.sampled_from([True, True, False]),
    "driver": st.sampled_from(["venv_uv"] * 5 + ["venv_pip"]),
    "commands": st.lists(st.sampled_from("""
        boot run script info info-json python python-all use use-docs reset reset rollback clean clean clean-all
        clean-all lock vendor vendor-dir init init-dir update shell serve serve-closed env docs""".split()),
        min_size=2, max_size=5)})


def plant(path, kind, text, target, mode, base):
    """Put a file, directory or link of somebody else's to a path, unless the way there is barred."""
    if path == base or os.path.lexists(str(path)):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind in ("link", "dangling link"):
            way = os.path.relpath(str(base / target), os.path.realpath(str(path.parent)))
            path.symlink_to(way if kind == "link" else way + "-gone")
        elif kind == "absolute link":
            path.symlink_to(base / target)
        elif kind == "directory":
            path.mkdir()
        else:
            path.write_text(text)
            path.chmod(0o755 if kind == "program" else mode)
        times = None if "aside-" in path.name or "tmp" in path.name else (1, 1)  # what was left long ago is removed
        os.utime(str(path), times, follow_symlinks=False)
    except OSError:  # below a file
        pass


# -- what of it is ours to change ------------------------------------------------------------------


def state_of(base):
    """{path: what is there} for all below a directory: a link's target, or mode and content."""
    found = {}
    for directory, names, files in os.walk(str(base)):
        for name in names + files:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[path] = "link", os.readlink(path)
            elif stat.S_ISREG(mode):
                found[path] = stat.S_IMODE(mode), Path(path).read_bytes()
            else:
                found[path] = stat.S_IMODE(mode), "directory"
    return found


HEX = "[0-9a-f]"
OUR_FILES = r"""lock|use|\.gitignore|\.proto-prime|CACHEDIR\.TAG|log/\d{8}-\d{6}-\d+\.log|stamp/(default|docs)(\.sh)?
|stamp/HEX{12}\.(default|docs)|held/(default|docs)(\.uses)?|building/[\w-]+-HEX{12}(\.\d+)?
|uv/uv-\d.*|uv/lock|in-use|answers/HEX{16}|locks/HEX{16}""".replace("HEX", HEX).replace("\n", "")
OUR_TREES = r"""made/HEX{12}|aside-HEX{16}|uv/aside-HEX{16}|pip/aside-HEX{16}|pip/\d.*-HEX{16}|scripts/HEX{12}
|shell/HEX{12}""".replace("HEX", HEX).replace("\n", "")
OUR_BUILDS = r"envs/[\w-]+-HEX{12}(\.\d+)?".replace("HEX", HEX)
OUR_LINK = r"(.*/)?\.prime/envs/[\w-]+-HEX{12}(\.\d+)?".replace("HEX", HEX)  # where it leads


def is_plain(path):
    return os.path.isfile(path) and not os.path.islink(path)


def has_mark(directory):
    mark = os.path.join(directory, MARK)
    return os.path.exists(mark) and not os.path.islink(mark)


def may_change(path, base, named):
    """Whether a path is ours to change or remove: below a directory with our mark, and by its own name and proof.

    named  the paths of directories that are taken for ours by their name alone
    """
    if os.path.islink(path) and os.path.basename(path) in (".venv", "docs-env"):
        leads_to = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        return bool(re.fullmatch(OUR_LINK, leads_to)) or os.path.exists(os.path.join(leads_to, MARKER))
    names = os.path.relpath(path, base).split(os.sep)
    for count in range(1, len(names)):
        top = os.path.join(base, *names[:count])
        if os.path.islink(top):
            return False
        rest = names[count:]
        if not has_mark(top) and not is_older(top) and top not in named:
            continue
        if re.fullmatch(OUR_FILES, "/".join(rest)) and is_plain(path):
            return True
        for depth in range(1, len(rest) + 1):
            name, tree = "/".join(rest[:depth]), os.path.join(top, *rest[:depth])
            if os.path.islink(tree):
                break
            if re.fullmatch(OUR_TREES, name) and has_mark(tree):
                return True
            is_recorded = is_plain(os.path.join(top, "building", rest[depth - 1])) and os.path.isdir(tree)
            has_marker = os.path.isfile(os.path.join(tree, MARKER))
            if re.fullmatch(OUR_BUILDS, name) and (is_recorded or has_marker):
                return True
    return False


def is_older(directory):
    """Whether it is a state directory from before there was a mark."""
    ours = {"envs", "stamp", "log", "lock", "use", "held", "made", "vendor", ".gitignore"}
    ignore = Path(directory, ".gitignore")
    names = {name.partition(".")[0] or name for name in os.listdir(directory)}
    return is_plain(str(ignore)) and ignore.read_bytes() == b"*\n" and names <= ours | {"building"}


def changes(before, kept, base):
    """What is not as it was, of paths that must be: a list of str."""
    now, found = state_of(base), []
    for path in kept:
        if now.get(path) != before[path] and not is_renamed(path, before, now, base):
            found.append("%r: %.200r -> %.200r" % (path, before[path], now.get(path)))
    return found


def is_renamed(path, before, now, base):
    """Whether what was at a path is there whole, below something that was renamed to *.before-prime."""
    names = os.path.relpath(path, base).split(os.sep)
    for count in range(1, len(names) + 1):
        for end in (".before-prime", ".before-prime.2", ".before-prime.3"):
            aside = os.path.join(base, *names[:count]) + end
            other = os.path.join(aside, *names[count:])
            if aside not in before and now.get(other) == before[path]:
                return True
    return False


MANIFEST = "proto-prime-vendor.json"


def is_written_by(command, path, before, repo):
    """Whether a file in the repo is what a command is there to write."""
    directory, name = os.path.split(path)
    if command == "lock" and directory == str(repo.path):
        return name == "pylock.toml"
    if command in ("init", "init-dir") and name in (".gitignore", ".gitattributes"):  # which is added to, where it is
        return is_plain(path) and Path(path).read_bytes().startswith(before[path][1])
    if command in ("vendor", "vendor-dir"):  # a manifest names what is ours
        manifest = before.get(os.path.join(directory, MANIFEST), ("", ""))[1]
        is_named = isinstance(manifest, bytes) and b'"%s"' % name.encode() in manifest
        return is_plain(path) and (name == MANIFEST or is_named) or not os.path.lexists(path) and is_named
    return False


# -- the commands ----------------------------------------------------------------------------------

SCRIPT = "# /// script\n# dependencies = []\n# ///\nprint('runs')\n"


def serve(repo):
    """Let a server list, make and delete environments."""
    requests = [("initialize", HELLO), ("environment/list", None), ("environment/get", {"id": "default"}),
                ("environment/create", {"name": "mine", "python_version": "9.9"}),
                ("environment/delete", {"id": "default"}), ("environment/delete", {"id": "mine"})]
    sent = b"".join(frame(request(method, params, id=count)) for count, (method, params) in enumerate(requests))
    process = repo.popen("serve", stdin=-1)
    _, told = process.communicate(sent.decode(), timeout=120)
    return told


def execute(repo, command, base):
    """Run a command to its end, whatever its status. Returns what it says on stderr."""
    if command == "serve":
        return serve(repo)
    words = {"run": ["run", "true"], "script": ["run", str(repo.home / "script.py")], "info-json": ["info", "--json"],
             "python-all": ["python", "--all"], "use": ["use", "default"], "use-docs": ["use", "docs"],
             "clean-all": ["clean", "--all"], "vendor-dir": ["vendor", str(base / "precious")],
             "init-dir": ["init", str(base / "precious")], "serve-closed": ["serve"], "docs": ["-e", "docs"],
             "update": ["update", "--from", str(repo.home / "bad.py")]}.get(command, [command])
    return repo.prime(*words, status=None, timeout=120, env={"SHELL": "/bin/true"}).stderr


def make_tree(tree, base, shared, wheelhouse):
    """Make a repo among what others put there. Returns it as a `Repo`."""
    repo = Repo(base / "repo", base / "home", shared, wheelhouse)
    (repo.path / "proto_prime.py").unlink()
    shutil.copy2(str(TOP / "proto_prime.py"), str(repo.path / "proto_prime.py"))
    repo.config('dependencies = []\n[env.docs]\nvenv_dir_rel_path = "docs-env"\n')
    repo.link("uv", uv_program())
    (repo.home / "bad.py").write_text("print('no file of ours')\n")
    (repo.home / "script.py").write_text(SCRIPT)
    repo.env["PROTOPRIMER_VENV_DRIVER"] = tree["driver"]
    repo.env.pop("PROTOPRIMER_CACHE_DIR")
    state = base / (tree["state place"] or "repo/.prime")
    cache = base / (tree["cache place"] or "home/.cache/proto_prime")
    if tree["state place"]:
        repo.env["PROTOPRIMER_STATE_DIR"] = str(state)
    if tree["cache place"]:
        repo.env["PROTOPRIMER_CACHE_DIR"] = str(cache)
    if tree["is booted"]:
        repo.prime(status=None)
    elif tree["has mark"]:
        for place in (state, cache):
            plant(place / MARK, "file", "", "", 0o644, base)
    for name in OUTSIDE:
        plant(base / name, "file", "mine\n", "", 0o644, base)
    for name in tree["links"]:
        for place in (state, cache):
            plant(place / name, "link", "", "precious/" + name, 0, base)
    for where, place in (("repo", repo.path), ("state", state), ("cache", cache)):
        for name, (kind, text, target, mode) in tree[where]:
            target = target or "precious/" + name  # one of its kind
            plant(Path(os.path.normpath(str(place / name))), kind, text, target, mode, base)
    return repo


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the trees hold links and modes as POSIX has them")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_command_leaves_what_others_made(part, tmp_path, shared, wheelhouse):
    phases = [Phase.generate] + ([Phase.shrink] if "PRIME_SHRINK" in os.environ else [])

    @seed(part + int(os.environ.get("PRIME_SEED", "0")))
    @settings(max_examples=max(1, TREES // PARTS), deadline=None, database=None, phases=phases,
              suppress_health_check=list(HealthCheck))
    @given(tree=TREE)
    def check(tree):
        base = tmp_path / "tree"
        if base.exists():
            shutil.rmtree(str(base))
        repo = make_tree(tree, base, shared, wheelhouse)
        before = state_of(base)
        named = {str(base / "home" / ".cache" / "proto_prime")} - {repo.env.get("PROTOPRIMER_CACHE_DIR")}
        kept = [path for path in before if not may_change(path, str(base), named)]
        for command in tree["commands"]:
            said = execute(repo, command, base)
            note("%s: %s" % (command, said))
            assert "Traceback" not in said and "fault of prime" not in said
            kept = [path for path in kept if not is_written_by(command, path, before, repo)]
            found = changes(before, kept, str(base))
            assert not found, "%s changed what is not ours:\n%s" % (command, "\n".join(found))

    check()
