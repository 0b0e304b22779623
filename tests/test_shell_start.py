"""`./prime` is for sh first: where a shell stamp shows that nothing changed, no python starts to learn that."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
from conftest import ENTRY_SCRIPT, Result, python, some_python
from helpers import run_git

import proto_prime

if os.name != "posix":
    pytest.skip("there is no sh", allow_module_level=True)

SHELLS = {"as it is": [], "dash": ["dash", "-f"], "bash": ["bash", "--posix", "-f"],
          "zsh": ["zsh", "--emulate", "sh", "-f"], "busybox": ["busybox", "ash", "-f"], "mksh": ["mksh", "-f"],
          "ksh": ["ksh", "-f"]}
DUMP = "import os; os.write(1, b''.join(b'%s=%s\\0' % each for each in sorted(os.environb.items())))"
SHOW = ["run", "python", "-c", DUMP]
CURRENT = "prime: .venv is current (environment default, python "


class Started:
    """A `Repo` whose `prime` is run as a program, and a note of each python that this starts by its name."""

    def __init__(self, repo):
        self.repo, self.note = repo, repo.home / "pythons"
        repo.program("python3", '#!/bin/sh\necho "$@" >> %s\nexec %s "$@"\n' % (
            shlex.quote(str(self.note)), shlex.quote(str(some_python()))))

    def __call__(self, *argv, shell=(), env=None, status=0, entry="./prime", **options):
        """Run `prime` in a shell, or as the system does. Returns a `Result`, and whether no python had to start."""
        if self.note.exists():
            self.note.unlink()
        environ = dict(self.repo.env, **(env or {}))
        environ = {name: value for name, value in environ.items() if value is not None}
        if shell and not shutil.which(shell[0]):
            pytest.skip("no " + shell[0])
        options.setdefault("cwd", str(self.repo.path))
        command = [shutil.which(word) for word in shell[:1]] + list(shell[1:]) + [entry] + list(argv)
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=240, **options)
        assert status is None or done.returncode == status, done.stderr
        result = Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
        result.is_warm = not self.note.exists()
        return result

    def settle(self):
        """Boot until a shell stamp stands. Returns its path."""
        self("boot")
        self.repo.settle()
        self("boot")
        stamp = self.repo.path / ".prime" / "stamp" / "default.sh"
        assert stamp.exists() and self().is_warm
        return stamp


@pytest.fixture
def prime(plain):
    return Started(plain)


@pytest.fixture
def warm(prime):
    prime.settle()
    return prime


def test_L5_shell_of_the_entry_script_is_short_and_evaluates_nothing():
    head = ENTRY_SCRIPT.split('"""')[0] + '""":"' + ENTRY_SCRIPT.split('"""')[1]
    lines = head.split("\n\nStarts under")[0].split("\n")
    code = [line for line in lines if line != "#" and not line.startswith("# ") and not line.startswith("    # ")]
    assert len(code) <= 45
    assert max(map(len, lines)) <= 120
    assert not re.search(r"\beval\b|\bsource\b|^ *\. ", "\n".join(code), re.MULTILINE)
    assert all(line.endswith((" #", "'")) or " # " in line for line in code[1:]) and "" not in lines  # M15
    assert proto_prime.SHELL_MAGIC in head


def as_busybox_has_it(repo):
    """Let the stamp say what the system's `stat` would print if that were busybox', as it is to busybox' own shell."""
    stamp, form = repo.path / ".prime" / "stamp" / "default.sh", proto_prime.STAT_FORMS[1]
    fields = os.fsdecode(stamp.read_bytes()).split("`")
    paths = fields[6].split("\n")[3:]
    answer = proto_prime.stat_text([os.path.join(str(repo.path), path) for path in paths], form)
    fields[6:8] = "\n".join(form + ("--",) + tuple(paths)), "\n".join(answer)
    stamp.write_bytes(os.fsencode("`".join(fields)))


@pytest.mark.parametrize("shell", list(SHELLS))
def test_L1_nothing_to_do_starts_no_python(warm, shell):
    if shell == "busybox":
        as_busybox_has_it(warm.repo)
    for argv in ([], ["boot"]):
        done = warm(*argv, shell=SHELLS[shell])
        assert done.is_warm
        assert done.stdout == "" and done.stderr.startswith(CURRENT) and done.stderr.count("\n") == 1
    assert warm("--version", shell=SHELLS[shell]).stdout.startswith("proto_prime ")


@pytest.mark.parametrize("shell", list(SHELLS))
def test_L1_run_becomes_the_command_and_starts_no_python(warm, shell):
    is_quick = shell in ("as it is", "dash", "busybox")
    if shell == "busybox":
        as_busybox_has_it(warm.repo)
    code = "import os, sys; print([sys.argv[1:], os.getppid(), sys.prefix]); sys.exit(7)"
    words = ["a b", "*", "", "--", "-e", "new\nline"]
    told = "%r\n" % [words, os.getpid(), str(warm.repo.current)]
    for argv in (["run"], ["run", "--"]):
        done = warm(*argv, "python", "-c", code, *words, shell=SHELLS[shell], status=7)
        assert (done.stdout, done.stderr) == (told, "")
        assert done.is_warm == is_quick
    done = warm("run", "-m", "sysconfig", shell=SHELLS[shell])
    assert "Platform:" in done.stdout and done.is_warm == is_quick


WORDS = [["-q"], ["-v"], ["info"], [""], ["boot", "x"], ["run:x", "true"], ["run"], ["run", "--"], ["run", "-x"],
         ["run", "no-such-program"], ["run", "--no-boot", "python", "-V"], ["run", ""], ["-e"], ["-e", "other"],
         ["run", "true"], ["run", "hi.py"], ["run", "./hi.py"], ["run", "pip python"]]



@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_L1_what_sh_does_not_know_is_python_s(warm, words):
    warm.repo.write("hi.py", "#!/usr/bin/env python\nprint('hi')\n", executable=True)
    by_python = warm(*words, shell=[str(some_python())], status=None)
    by_sh = warm(*words, status=by_python.status)
    assert not by_sh.is_warm
    assert by_sh.stdout == by_python.stdout
    if words != ["-v"]:
        assert by_sh.stderr == by_python.stderr


VARIABLES = {"PROTOPRIMER_PY_EXEC": "", "PROTOPRIMER_LOG_LEVEL": "info", "PROTOPRIMER_SPAWN": "1",
             "PROTOPRIMER_BUILDING": "/x", "PROTOPRIMER_VENV_DRIVER": "venv_uv", "PIP_PRE": "1", "UV_INDEX": "x",
             "PIP_FIND_LINKS": None, "PROTOPRIMER_ROOT": ".", "PIP_NO_INDEX": "1;"}


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_L2_variable_that_counts_is_python_s(warm, name):
    assert not warm(env={name: VARIABLES[name]}, status=None if name == "PROTOPRIMER_VENV_DRIVER" else 0).is_warm


# -- the environment of the command ------------------------------------------------------------------

ODD = [{}, {"PWD": "{repo}"}, {"PWD": "/nonsense"}, {"SHLVL": "5", "_": "x", "OLDPWD": "/usr"}, {"SHLVL": "many"},
       {"IFS": "x"}, {"OPTIND": "7", "LINENO": "3", "PPID": "4"}, {"a.b": "3", "c-d": "4", "1": "2"},
       {"BASH_FUNC_x%%": "() {  :\n}", "B": "two\nlines\n", "C": "\udcff"},
       {"PYENV_DIR": "x", "PYENV_VERSION": "3", "PYENV_HOOK_PATH": "y"}, {"PYENV_VERSION": "3"},
       {"VIRTUAL_ENV": "/somebody's", "VIRTUAL_ENV_PROMPT": "x"}, {"VIRTUAL_ENV": "{repo}/.venv"},
       {"PROTOPRIMER_SAID": "1", "PYTHONEXECUTABLE": "2", "__PYVENV_LAUNCHER__": "3"}, {"LANG": None},
       {"LC_CTYPE": "C.UTF-8"}, {"PATH": "/usr/bin:/bin"}, {"A": "a`b|c"},
       {"PYTHONPATH": "/x", "PYTHONDONTWRITEBYTECODE": ""}]


@pytest.mark.parametrize("shell", list(SHELLS))
def test_L3_environment_is_the_same_to_the_byte(plain, shell):
    plain.config('env_vars = {ANSWER = "a  b\'\\"$x|*", EMPTY = ""}')
    prime = Started(plain)
    prime("boot")
    plain.settle()
    prime("boot")
    warm, is_quick = 0, shell in ("as it is", "dash")
    for odd in ODD if is_quick else ODD[1::3] + ODD[8:9]:
        env = {name: value and value.replace("{repo}", str(plain.path)) for name, value in odd.items()}
        by_sh, by_python = prime(*SHOW, shell=SHELLS[shell], env=env), plain.prime(*SHOW, env=env)
        assert by_sh.stdout == by_python.stdout, odd
        assert by_sh.stderr == by_python.stderr
        warm += by_sh.is_warm
    assert warm >= 10 if is_quick else warm <= 1 or shell == "busybox"


def test_L7_pythonhome_and_broken_site_do_not_matter(warm):
    assert warm("info", env={"PYTHONHOME": "/nonsense"}).stdout
    site = warm.repo.home / ".local" / "lib" / ("python%s" % python_version()) / "site-packages"
    site.mkdir(parents=True)
    (site / "broken.pth").write_text("import no_such_module\n")
    assert warm("-q").stderr == ""


def python_version():
    return subprocess.check_output([str(some_python()), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                                   universal_newlines=True).strip()


# -- what is noticed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["written", "replaced", "removed", "added", "linked"])
def test_T7_changed_inputs_are_noticed(warm, way):
    repo, config = warm.repo, warm.repo.path / "proto_prime.toml"
    st = os.stat(str(config))
    if way == "written":
        config.write_text('env_vars = {A = "1"}')
        os.utime(str(config), ns=(st.st_atime_ns, st.st_mtime_ns))
    elif way == "replaced":
        other = repo.write("other.toml", "")
        os.utime(str(other), ns=(st.st_atime_ns, st.st_mtime_ns))
        os.replace(str(other), str(config))
    elif way == "removed":
        config.unlink()
    elif way == "added":
        repo.write("requirements.txt", "")
    else:
        config.rename(repo.path / "other.toml")
        config.symlink_to("other.toml")
    assert not warm().is_warm
    warm.settle()


def test_T7_config_behind_a_link(prime):
    config = prime.repo.path / "proto_prime.toml"
    config.rename(prime.repo.home / "a.toml")
    (prime.repo.home / "b.toml").symlink_to("a.toml")
    config.symlink_to(prime.repo.home / "b.toml")
    prime.settle()
    (prime.repo.home / "a.toml").write_text('env_vars = {ANSWER = "1"}')
    done = prime("run", "python", "-c", "import os; print(os.environ['ANSWER'])")
    assert done.stdout == "1\n" and not done.is_warm


@pytest.mark.parametrize("what", ["bin/python", "pyvenv.cfg", "lib/*/site-packages", "proto-prime.json", "."])
def test_T3_what_is_missing_from_the_environment_is_noticed(warm, what):
    harmed = warm.repo.current if what == "." else next(warm.repo.current.glob(what))
    shutil.rmtree(str(harmed)) if harmed.is_dir() else harmed.unlink()
    done = warm("run", "python", "-c", "print(1)")
    assert done.stdout == "1\n" and not done.is_warm
    assert "building" in done.stderr or what.startswith("lib")  # nothing was installed


@pytest.mark.parametrize("way", ["moved", "copied", "copied by links"])
def test_T1_moved_or_copied_repo_is_noticed(warm, way):
    there = warm.repo.path.parent / "an other place"
    command = {"moved": ["mv"], "copied": ["cp", "-a"], "copied by links": ["cp", "-al"]}[way]
    subprocess.run(command + [str(warm.repo.path), str(there)], check=True)
    done = warm(cwd=str(there))
    assert "the repo was moved or copied from" in done.stderr and not done.is_warm


def test_T2_another_base_python_is_noticed(plain, tmp_path):
    base = tmp_path / "base"
    base.symlink_to(python("3.12").parent.parent)
    plain.env["PROTOPRIMER_PYTHON"] = str(base / "bin" / "python3")
    prime = Started(plain)
    prime.settle()
    (tmp_path / "other").symlink_to(python("3.13").parent.parent)
    os.replace(str(tmp_path / "other"), str(base))
    done = prime("run", "python", "-c", "import sys; print(sys.version_info[:2])")
    assert done.stdout == "(3, 13)\n" and not done.is_warm


@pytest.mark.parametrize("way", ["gone", "file", "directory", "elsewhere", "same place"])
def test_T4_link_that_is_not_right_is_noticed(warm, way):
    link, current = warm.repo.path / ".venv", warm.repo.current
    link.unlink()
    if way == "file":
        link.write_text("mine")
    elif way == "directory":
        shutil.copytree(str(current), str(link), symlinks=True)
    elif way != "gone":
        link.symlink_to("elsewhere" if way == "elsewhere" else current)
    assert not warm().is_warm
    assert warm.repo.current == current and not os.path.isabs(os.readlink(str(link)))


DAMAGE = {
    "empty": lambda text: b"",
    "garbage": lambda text: bytes(range(256)) * 8,
    "truncated": lambda text: text[:len(text) // 2],
    "without its end": lambda text: text[:-1],
    "twice": lambda text: text + text,
    "of a newer version": lambda text: text.replace(b"stamp 2 for", b"stamp 3 for", 1),
    "of another format": lambda text: text.replace(b"`-c\n%i", b"`-t\n%i", 1),
    "with commands": lambda text: text.replace(b"`end", b"$(touch harm);touch harm`end", 1),
}


@pytest.mark.parametrize("way", sorted(DAMAGE))
def test_L4_damaged_stamp_is_none_and_nothing_of_it_is_run(warm, way):
    stamp = warm.repo.path / ".prime" / "stamp" / "default.sh"
    stamp.write_bytes(DAMAGE[way](stamp.read_bytes()))
    done = warm("run", "python", "-c", "print(1)")
    assert (done.stdout, done.stderr, done.is_warm) == ("1\n", "", way == "with commands")
    assert "is current" in warm().stderr
    assert not (warm.repo.path / "harm").exists()


@pytest.mark.parametrize("name", [".prime", ".prime/stamp", ".prime/stamp/default.sh"])
def test_L4_stamp_behind_a_link_is_none(warm, name):
    path = warm.repo.path / name
    path.rename(warm.repo.home / "moved")
    path.symlink_to(warm.repo.home / "moved")
    assert not warm(status=None if name == ".prime/stamp/default.sh" else 1).is_warm


def test_T6_back_on_a_branch_needs_one_python(warm):
    repo = warm.repo
    repo.config('env_vars = {A = "1"}')
    repo.settle()
    warm("boot")
    repo.settle()
    warm("boot")
    assert warm().is_warm
    repo.config()
    repo.settle()
    assert not warm().is_warm
    assert warm().is_warm


def test_T8_another_version_of_the_file_is_asked_once(warm):
    file = warm.repo.path / "proto_prime.py"
    text = file.read_text(encoding="utf-8")
    file.unlink()
    file.write_text(text + "# newer\n", encoding="utf-8")
    warm.repo.settle()
    done = warm()
    assert not done.is_warm and "building" not in done.stderr
    assert warm().is_warm


def test_E9_nearer_config_and_other_ways_to_start(prime):
    repo = prime.repo
    for name in ("prime", "proto_prime.py", "__pycache__"):
        (repo.path / "tools").mkdir(exist_ok=True)
        (repo.path / name).rename(repo.path / "tools" / name)
    for _ in range(2):
        prime(entry="tools/prime")
        repo.settle()
    starts = ("tools/prime", repo.path), ("./prime", repo.path / "tools"), (repo.path / "tools" / "prime", "/")
    for entry, cwd in starts:
        assert prime(entry=str(entry), cwd=str(cwd)).is_warm
    (repo.home / "prime").symlink_to(repo.path / "tools" / "prime")
    assert prime(entry=str(repo.home / "prime")).stderr.startswith(CURRENT)
    repo.write("tools/proto_prime.toml", "")
    assert "building" in prime(entry="tools/prime").stderr


def test_L2_environments_of_a_name(prime):
    repo = prime.repo
    repo.config('env_vars = {A = "1"}\n[env.docs]\nenv_vars = {A = "2"}\n')
    show = ["run", "python", "-c", "import os; print(os.environ['A'])"]
    for _ in range(2):
        prime("-e", "docs", *show)
        repo.settle()
    prime.settle()
    prime("-e", "docs", *show)  # the generations changed since
    for argv, env, answer in ((show, {}, "1"), (["-e", "docs"] + show, {}, "2"),
                              (show, {"PROTOPRIMER_ENV": "docs"}, "2")):
        done = prime(*argv, env=env)
        assert (done.stdout, done.is_warm) == (answer + "\n", True)
    prime("use", "docs")
    assert prime(*show).stdout == "2\n"


def test_M1_whoever_is_left_behind_is_told(warm):
    old = str(warm.repo.current)
    assert warm(env={"VIRTUAL_ENV": old}).is_warm
    warm("reset")
    warm.settle()
    assert "VIRTUAL_ENV names" in warm(env={"VIRTUAL_ENV": old}).stderr


def test_L2_no_password_stands_in_the_stamp(plain):
    plain.env["UV_INDEX"] = "http://mary:secret@127.0.0.1:1/"
    prime = Started(plain)
    for _ in range(3):
        prime()
        plain.settle()
    assert not list(plain.path.glob(".prime/stamp/*.sh"))


def test_E7_closed_streams_and_a_closed_pipe(warm):
    for closed in ("2>&-", "<&- >&- 2>&-"):
        assert subprocess.call("exec ./prime " + closed, shell=True, env=warm.repo.env, cwd=str(warm.repo.path)) == 0
    reader, writer = os.pipe()
    os.close(reader)
    assert subprocess.call(["./prime"], env=warm.repo.env, cwd=str(warm.repo.path), stderr=writer) == 0
    os.close(writer)


def test_L2_stat_of_PATH_is_not_asked(plain):
    prime = Started(plain)
    plain.program("stat", "#!/bin/sh\ntouch %s\n" % shlex.quote(str(plain.home / "asked")))
    prime.settle()
    assert not (plain.home / "asked").exists()


def test_L2_no_stamp_without_nanoseconds(plain, monkeypatch, tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("#!/bin/sh\nshift 3\nexec /usr/bin/stat -c '%i %s %Y %Z' \"$@\"\n")
    stat.chmod(0o755)
    paths = [str(plain.path / "prime")]
    assert proto_prime.working_form(paths) in proto_prime.STAT_FORMS
    monkeypatch.setattr(proto_prime, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(proto_prime.NotForShell):
        proto_prime.working_form(paths)


def test_L2_no_stamp_of_more_than_300_files(plain):
    prime = Started(plain)
    plain.write("requirements.txt", "".join("-r parts/%d.txt\n" % number for number in range(300)))
    for number in range(300):
        plain.write("parts/%d.txt" % number, "")
    plain.config('requirements_files = ["requirements.txt"]')
    for _ in range(2):
        plain.settle()
        assert "default" in prime("boot").stderr
    assert (plain.path / ".prime" / "stamp" / "default").exists()
    assert not list(plain.path.glob(".prime/stamp/*.sh"))


@pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox")
def test_L2_stat_of_busybox_prints_what_is_expected(plain, monkeypatch, tmp_path):
    (tmp_path / "stat").symlink_to(shutil.which("busybox"))
    monkeypatch.setattr(proto_prime, "SYSTEM_PATH", str(tmp_path))
    assert proto_prime.working_form([str(plain.path / "prime")]) == proto_prime.STAT_FORMS[1]


def test_L2_file_that_is_renamed_has_its_line_elsewhere(warm):
    """The answer of `stat` has no names, and not every file system changes the ctime of what is renamed."""
    stamp = warm.repo.path / ".prime" / "stamp" / "default.sh"
    paths = os.fsdecode(stamp.read_bytes()).split("`")[6].split("\n")[3:]
    is_there = [os.path.lexists(str(warm.repo.path / path)) for path in paths]
    assert 10 < sum(is_there) < len(paths) and is_there == sorted(is_there, reverse=True)
    marker = paths[sum(is_there) - 1]
    assert marker.startswith(".prime/envs/default-") and marker.endswith("/proto-prime.json")


def test_L2_variables_that_count_begin_with_a_letter_that_sh_looks_at_first():
    first = re.search(r"\$prime_line\$4 in (\[.*?\])", ENTRY_SCRIPT).group(1)
    assert all(re.match(first, name) for name in proto_prime.SHELL_VARS)


# -- where it is started -----------------------------------------------------------------------------

ODD_NAMES = {"it's a \"repo\"": True, "d$HOME$(x);*?[a]|": True, "na\u00efve \u2603": True, "-n -e \\n": True,
             "a`b`": False, "new\nline": False}


@pytest.mark.parametrize("name", list(ODD_NAMES))
def test_L1_directory_with_an_odd_name(make_repo, name):
    repo = make_repo("home")
    repo.path.rename(repo.path.parent / name)
    repo.path = repo.path.parent / name
    repo.config()
    prime = Started(repo)
    for _ in range(2):
        prime("boot")
        repo.settle()
    done = prime("run", "python", "-c", "import sys; print(sys.prefix)")
    assert (done.stdout, done.stderr) == (str(repo.current) + "\n", "")
    assert (done.is_warm, prime().is_warm) == (ODD_NAMES[name],) * 2


def test_L1_found_on_PATH_and_behind_links(warm):
    repo = warm.repo
    env = {"PATH": "%s:%s" % (repo.path, repo.env["PATH"])}
    assert warm(entry="prime", env=env, cwd="/").is_warm
    assert warm(entry="../%s/./prime" % repo.path.name).is_warm
    (repo.home / "link").symlink_to(repo.path / "prime")
    (repo.home / "clone").symlink_to(repo.path)
    assert warm(entry=str(repo.home / "link"), cwd="/").stderr.startswith(CURRENT)
    assert warm(entry=str(repo.home / "clone" / "prime"), cwd="/").is_warm


def test_L1_bare_environment(plain):
    plain.env = {"PATH": "%s:/usr/bin:/bin" % plain.bin, "PROTOPRIMER_CACHE_DIR": plain.env["PROTOPRIMER_CACHE_DIR"]}
    prime = Started(plain)
    prime.settle()
    assert prime(env={"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "dumb"}).is_warm
    told = prime("run", "python", "-c", DUMP)
    assert told.is_warm and told.stdout == plain.prime("run", "python", "-c", DUMP).stdout
    assert prime(env={"PATH": None}).stderr.startswith(CURRENT)  # no python3 but that of the system


TASKS = """[tasks]
show = ["python", "-c", "print(__import__('os').getcwd(), __import__('sys').argv[1:])", "a b", "*"]
dump = "python dump.py"
info = ["python", "-c", "print('the task')"]
module = "-m sysconfig"
semicolon = ["python", "-c", "print(1); print(2)"]
outside = "echo"
last = ["python", "-c", "print(3)", ""]
inside = {run = "python -c print(4)", cwd = "sub"}
variable = {run = "python -c print(5)", env_vars = {A = "1"}}
needs = {run = "python -c print(6)", needs = ["last"]}
"""


def test_L6_task_starts_no_python(prime):
    repo = prime.repo
    (repo.path / "sub").mkdir()
    repo.write("dump.py", DUMP)
    repo.config(TASKS)
    prime.settle()
    for name, is_warm in (("show", True), ("dump", True), ("module", True), ("info", False), ("semicolon", False),
                          ("outside", False), ("last", False), ("inside", False), ("variable", False),
                          ("needs", False), (":show", False), ("show;;python", False)):
        status = None if name in ("show;;python", "info") else 0
        by_sh, by_python = prime(name, "x;y", status=status), repo.prime(name, "x;y", status=status)
        assert (by_sh.stdout, by_sh.is_warm) == (by_python.stdout, is_warm), name
    assert prime("dump", env={"PWD": None, "OLDPWD": "/x"}).stdout == repo.prime(
        "dump", env={"PWD": None, "OLDPWD": "/x"}).stdout
    assert prime("show", cwd=str(repo.path / "sub"), entry="../prime").stdout == "%s ['a b', '*']\n" % repo.path
    assert prime("-e", "default", "show", "--", status=0).stdout == "%s ['a b', '*', '--']\n" % repo.path
    repo.config('[tasks]\nshow = "python -c print(7)"\n')
    assert prime("show").stdout == "7\n"


def test_L1_file_of_variables_is_read_by_python(prime):
    prime.repo.write(".env", "ANSWER=1\n")
    prime.repo.config('env_file = ".env"\n[tasks]\nshow = "python show.py"\n')
    prime.repo.write("show.py", "import os; print(os.environ['ANSWER'])")
    prime.settle()
    for answer in "23":
        prime.repo.write(".env", "ANSWER=%s\n" % answer)
        for words in (["run", "python", "show.py"], ["show"]):
            done = prime(*words)
            assert (done.stdout, done.is_warm) == (answer + "\n", False)
    assert prime().is_warm


def test_L6_names_of_commands_are_no_tasks():
    assert list(proto_prime.COMMANDS) == proto_prime.COMMAND_NAMES


def test_L4_stamp_of_another_user_is_none(warm):
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(str(warm.repo.path / ".prime" / "stamp" / "default.sh"), 12345, -1)
    done = warm()
    assert done.stderr.startswith(CURRENT) and not done.is_warm


def test_L3_stale_list_of_variables_is_ignored(plain):
    stale = "%d %s" % (os.getpid(), b"A=stale\0".hex())
    for start in plain.prime, Started(plain):
        done = start(*SHOW, env={"PROTOPRIMER_ENVIRON": stale, "A": "mine"})
        assert "A=mine\0" in done.stdout and "PROTOPRIMER_ENVIRON" not in done.stdout


def test_L3_environment_too_long_for_a_variable(plain):
    done = Started(plain)(*SHOW, env={"LONG": "x" * 60000, "a.b": "1"})
    assert "LONG=%s\0" % ("x" * 60000) in done.stdout


# -- without python, with an older prime -------------------------------------------------------------


def test_L1_without_python3_on_PATH_it_goes_on_as_sh_prime(warm):
    (warm.repo.bin / "python3").rename(warm.repo.bin / "python3.13")
    bare = warm.repo.home / "programs"
    bare.mkdir()
    for name in ("sh", "sleep", "dirname", "readlink", "id", "uname"):
        (bare / name).symlink_to(shutil.which(name))
    done = warm("info", env={"PATH": "%s:%s" % (warm.repo.bin, bare)})
    assert "default" in done.stdout


def test_L1_sh_prime_passes_over_a_python3_that_does_not_answer(plain):
    plain.program("python3", "#!/bin/sh\nexit 3\n")
    plain.link("python3.13", some_python())
    done = subprocess.run(["sh", "prime", "--version"], cwd=str(plain.path), env=plain.env, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout.startswith(b"proto_prime ")


def older_text():
    """The text of an entry script of an earlier version, from the history; skips the test without one."""
    log = run_git(os.path.dirname(__file__), "log", "--format=%h", "--", "../examples/hello/prime").stdout.split()
    for commit in log:
        text = run_git(os.path.dirname(__file__), "show", commit + ":examples/hello/prime").stdout
        if proto_prime.hash_bytes(text.encode()) in proto_prime.OLDER_ENTRIES:
            return text
    pytest.skip("no history of this repo")


@pytest.mark.parametrize("command", ["init", "update"])
def test_L8_older_entry_script_is_brought_along_and_an_edited_one_is_not(plain, command):
    file = plain.path / "proto_prime.py"
    text = file.read_text(encoding="utf-8")
    file.unlink()
    file.write_text(text, encoding="utf-8")
    words = ["init"] if command == "init" else ["update", "--from", str(plain.write("new.py", text + "# newer\n"))]
    older = older_text()
    plain.write("prime", older)
    done = plain.prime(*words, entry="proto_prime.py")
    assert (plain.path / "prime").read_text() == ENTRY_SCRIPT
    assert os.access(str(plain.path / "prime"), os.X_OK)
    assert ("commit prime" if command == "init" else "prime: renewed") in done.stderr
    plain.write("prime", older + "# mine\n")
    words[-1:] = [str(plain.write("new.py", text + "# newest\n"))] if command == "update" else words[-1:]
    assert "prime was edited, and is left as it is" in plain.prime(*words, entry="proto_prime.py").stderr
    assert (plain.path / "prime").read_text() == older + "# mine\n"
    (plain.path / "prime").write_bytes(ENTRY_SCRIPT.replace("\n", "\r\n").encode())  # which no sh starts
    words[-1:] = [str(plain.write("new.py", text + "# last\n"))] if command == "update" else words[-1:]
    plain.prime(*words, entry="proto_prime.py")
    assert (plain.path / "prime").read_bytes() == ENTRY_SCRIPT.encode()


# -- what the script says where it cannot begin ----------------------------------------------------


@pytest.mark.parametrize("start", ["program", "python", "sh"])
def test_file_that_is_missing_is_said_in_a_line(plain, start):
    (plain.path / "proto_prime.py").unlink()
    words = {"program": ["./prime"], "python": [str(some_python()), "prime"], "sh": ["sh", "prime"]}[start]
    plain.link("python3", some_python())
    process = subprocess.run(words, cwd=str(plain.path), env=plain.env, stderr=subprocess.PIPE, encoding="utf-8")
    assert process.returncode == 1
    assert "proto_prime.py is missing" in process.stderr and "git" in process.stderr
    assert "/./" not in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD\n", "import no_such_module\n", "main = leave = 1 / 0\n"])
def test_file_that_is_damaged_is_said_in_a_line(plain, text):
    (plain.path / "proto_prime.py").unlink()
    plain.write("proto_prime.py", text)
    result = plain.prime(status=1)
    assert re.match(r"prime: error: .*proto_prime\.py does not work: .*\n  hint: git .*\n$", result.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "dash", "mksh"])
def test_shell_that_sources_it_stays(plain, shell):
    if not shutil.which(shell):
        pytest.skip("no %s here" % shell)
    command = [shell, "-i", "-c", ". ./prime; echo still here"]
    process = subprocess.run(command, cwd=str(plain.path), env=plain.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True)
    assert process.stdout == "still here\n"
    assert "prime: error: this is to be started, not sourced; see ./prime shell\n" in process.stderr


@pytest.mark.parametrize("path", [None, ""])
def test_path_that_is_empty_or_unset_is_the_systems(plain, path):
    """PATH= ./prime said four times that something was not found."""
    plain.by_sh = True
    result = plain.prime("--version", env={"PATH": path})
    assert result.stderr == ""
