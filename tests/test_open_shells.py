"""Shells that stay open while builds come and go, and programs that are not the environment's."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from conftest import PYTHONS, python, some_python, uv_program
from helpers import Terminal

import proto_prime

if os.name != "posix":
    pytest.skip("these are POSIX shells", allow_module_level=True)

ODD = "a 'b\" $HOME `id` !d \\e;\u00fc%f&"  # each shell quotes another of these
# The script that each shell reads, how it is quoted there, and the word before it.
SHELLS = {
    "bash": ("activate", proto_prime.sh_quote, "source"),
    "dash": ("activate", proto_prime.sh_quote, "."),
    "zsh": ("activate", proto_prime.sh_quote, "source"),
    "fish": ("activate.fish", proto_prime.fish_quote, "source"),
    "tcsh": ("activate.csh", proto_prime.csh_quote, "source"),
    "nu": ("activate.nu", proto_prime.nu_quote, "overlay use"),
}
TOLD = "import os, sys; print(sys.prefix, os.environ['VIRTUAL_ENV'], sep='|')"


def argv_of(shell, directory, code, folder):
    """The arguments that let a shell activate the environment `directory` and run code; None where there is none."""
    script, quote, verb = SHELLS[shell]
    path = os.path.join(str(directory), "bin", script)
    if not shutil.which(shell) or not os.path.exists(path):
        return None
    file = folder / ("code for " + shell)
    begin = "set prompt = x\n" * (shell == "tcsh")  # venv's script takes for granted that there is one
    file.write_text("%s%s %s\n%s\n" % (begin, verb, quote(path), code), encoding="utf-8")
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"], "tcsh": ["-f"], "nu": ["-n"]}.get(shell, [])
    return [shutil.which(shell)] + flags + [str(file)]


def told_by(shell, directory, folder, env=None):
    """What python says of itself in a shell that activated `directory`; "" where that cannot be asked."""
    argv = argv_of(shell, directory, 'python -c "%s"' % TOLD, folder)
    return argv and subprocess.run(argv, env=env or {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"},
                                   stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout.strip("\n")


def build_again(repo, number, more=""):
    """Boot with other inputs, so that there is another generation."""
    repo.config('post_boot = [["true", "%d"]]\n%s' % (number, more))
    return repo.prime(status=0)


@pytest.mark.parametrize("kind", ["venv_pip", "venv_uv"])
def test_M1_open_shell_uses_what_later_builds_bring(make_repo, tmp_path, kind):
    repo = make_repo(ODD)
    repo.env["PROTOPRIMER_VENV_DRIVER"] = kind
    repo.link("uv", uv_program())
    for name in ("pip", "pip3"):
        repo.program(name, "#!/bin/sh\necho pip of the machine\n")
    build_again(repo, 1)
    first, go, open_shells = repo.current, tmp_path / "go", {}
    code = ('sh -c "touch ready.$1; until [ -e %s ]; do sleep 0.05; done"\npython -c "import six; %s"\n'
            'sh -c "pip --version; pip3 --version; true"' % (go, TOLD))
    for shell in ("bash", "dash", "zsh", "fish", "tcsh"):
        argv = argv_of(shell, repo.path / ".venv", code.replace("$1", shell), tmp_path)
        if argv:
            open_shells[shell] = subprocess.Popen(argv, cwd=str(tmp_path), env=repo.env, encoding="utf-8",
                                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.time() + 30
    while not all((tmp_path / ("ready." + shell)).exists() for shell in open_shells):
        assert time.time() < deadline, [each.communicate()[0] for each in open_shells.values() if each.poll()]
        time.sleep(0.05)
    for number in range(2, 5 if kind == "venv_uv" else 2):  # with pip each takes long
        build_again(repo, number)
    build_again(repo, 5, 'dependencies = ["six"]')
    if kind == "venv_pip":
        repo.prime("clean")
    assert not first.exists()
    go.touch()
    link = str(repo.path / ".venv")
    for shell, process in open_shells.items():
        said = process.communicate(timeout=60)[0]
        assert "%s|%s" % (link, link) in said, (shell, said)
        assert "of the machine" not in said, (shell, said)
        assert said.count("there is no pip in this environment" if kind == "venv_uv" else link[:-5]) >= 2, (shell, said)


@pytest.mark.parametrize("version", sorted(PYTHONS) + ["uv"])
def test_M1_scripts_of_every_venv_name_the_link_as_long_as_it_leads_there(tmp_path, version):
    directory, link = str(tmp_path / ODD / "envs" / "default-1"), str(tmp_path / ODD / ".venv")
    os.makedirs(os.path.dirname(directory))
    make = [uv_program(), "venv", "--quiet", "--no-project", "--python", str(some_python())] if version == "uv" else \
        [str(python(version)), "-m", "venv", "--without-pip"]
    subprocess.run(make + ["--prompt=p", directory], check=True, stdout=subprocess.DEVNULL)
    proto_prime.follow_link(directory, link)
    for target, wanted in ((directory, link), ("elsewhere", directory)):
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(target, link)
        told = {shell: told_by(shell, directory, tmp_path) for shell in SHELLS}
        assert {shell: text for shell, text in told.items() if text} == {
            shell: "%s|%s" % (wanted, wanted) for shell, text in told.items() if text}
        assert told["dash"], "not even sh was asked"


def test_M1_scripts_without_a_shell_here_go_by_their_own_path(plain):
    plain.link("uv", uv_program())
    plain.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    names = ("activate.bat", "activate.xsh", "activate.ps1")
    texts = {name: (plain.current / "bin" / name).read_text() for name in names}
    assert '\n@for %%i in ("%~dp0..") do @set "VIRTUAL_ENV=%%~fi"\n' in texts["activate.bat"]
    assert "dirname(dirname(abspath(__file__)))" in texts["activate.xsh"]
    assert not any(str(plain.path) in text or "realpath" in text for text in texts.values())
    code = "import os, runpy, sys; runpy.run_path(sys.argv[1]); print(sys.prefix, os.environ['VIRTUAL_ENV'])"
    script = plain.path / ".venv" / "bin" / "activate_this.py"
    told = subprocess.run([str(some_python()), "-c", code, str(script)], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    assert told == "{0} {0}\n".format(plain.path / ".venv")


def test_M1_what_is_built_and_what_has_no_link_is_activated_itself(plain, tmp_path):
    code = 'echo "$VIRTUAL_ENV" >>told; . "$VIRTUAL_ENV/bin/activate"; echo "$VIRTUAL_ENV" >>told'
    for number in "12":
        plain.config("post_boot = [['sh', '-c', '''%s''', '%s']]\n[env.docs]\npost_boot = []" % (code, number))
        plain.prime()
    first, again, second, too = (plain.path / "told").read_text().splitlines()
    assert first == again != second == too
    plain.prime("-e", "docs", "run", "true")
    docs = next(path for path in plain.generations if path.name.startswith("docs-"))
    assert told_by("dash", docs, tmp_path) == "{0}|{0}".format(docs)
    plain.prime("use", "docs")
    assert told_by("dash", docs, tmp_path) == "{0}|{0}".format(plain.path / ".venv")


def test_M1_moved_repo_and_another_name_of_the_link_are_named(make_repo, tmp_path):
    repo = make_repo("before")
    repo.config()
    repo.prime()
    repo.path.rename(tmp_path / "after")
    repo.path = tmp_path / "after"
    repo.prime()
    assert told_by("dash", repo.path / ".venv", tmp_path) == "{0}|{0}".format(repo.path / ".venv")
    repo.config('venv_dir_rel_path = "env"')
    assert "venv_dir_rel_path changed" in repo.prime().stderr
    assert told_by("dash", repo.path / "env", tmp_path) == "{0}|{0}".format(repo.path / "env")


def test_M1_shell_of_an_environment_without_link_has_the_generation(plain):
    plain.config("[env.docs]\n")
    plain.write("commands", "python -c '%s'\n" % TOLD.replace("'", '"'))
    told = {}
    for name in ("default", "docs"):
        with open(str(plain.path / "commands")) as stdin:
            told[name] = plain.prime("-e", name, "shell", stdin=stdin, env={"SHELL": "/bin/sh"}).stdout
        plain.prime()
    docs = next(path for path in plain.generations if path.name.startswith("docs-"))
    assert told == {"default": "{0}|{0}\n".format(told["default"].split("|")[0]), "docs": "{0}|{0}\n".format(docs)}
    with open(str(plain.path / "commands")) as stdin:
        link = plain.path / ".venv"
        assert plain.prime("shell", stdin=stdin, env={"SHELL": "/bin/sh"}).stdout == "{0}|{0}\n".format(link)


# -- VIRTUAL_ENV of before ---------------------------------------------------------------------------


def test_M1_every_command_tells_who_is_left_behind_what_to_type(plain):
    plain.config("[env.docs]\n")
    plain.prime()
    old = plain.current
    env = {"VIRTUAL_ENV": str(old), "SHELL": "/bin/bash"}
    for argv in ((), ("run", "true"), ("info",), ("-e", "docs", "run", "true")):
        assert "VIRTUAL_ENV" not in plain.prime(*argv, env=env).stderr
    plain.config("post_boot = [['true']]\n[env.docs]\n")
    said = ("prime: VIRTUAL_ENV names %s, no longer the current build of environment default; "
            "type: source .venv/bin/activate\n") % old.name
    assert plain.prime(env=env).stderr.count(said) == 1  # the one that builds
    plain.settle()
    for argv in ((), (), ("run", "true"), ("info",), ("python",), ("-e", "docs", "run", "true"), ("use", "default"),
                 ("clean",)):
        assert plain.prime(*argv, env=env, status=None).stderr.count(said) == 1, argv
        assert plain.prime("-q", *argv, env=env, status=None).stderr == ""
    for name, typed in (("default", "source .venv/bin/activate"),
                        ("docs", "exit, then " + plain.typed("-e docs shell")),
                        ("other", "exit, then " + plain.typed("shell"))):
        value = str(old.parent / (name + "-0123456789ab"))
        result = plain.prime(env=dict(env, VIRTUAL_ENV=value))
        assert "which is gone; type: %s\n" % typed in result.stderr
    for value in (str(plain.path / ".venv"), str(plain.current), "/somebody/envs/default-0123456789ab", ""):
        assert "VIRTUAL_ENV" not in plain.prime(env=dict(env, VIRTUAL_ENV=value)).stderr


def test_M1_under_another_python_it_is_told_as_well(plain):
    other = next(version for version in PYTHONS if PYTHONS[version] != some_python())
    plain.link("python" + other, PYTHONS[other])
    plain.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    old = plain.current
    plain.config('required_python_version = "%s"' % other)
    env = {"VIRTUAL_ENV": str(old), "PROTOPRIMER_VENV_DRIVER": "venv_pip"}
    assert plain.prime(env=env).stderr.count("VIRTUAL_ENV names %s, no longer" % old.name) == 1


@pytest.mark.parametrize("shell, typed", [
    ("fish", "source .venv/bin/activate.fish"), ("tcsh", "source .venv/bin/activate.csh"),
    ("dash", ". .venv/bin/activate"), ("zsh", "source .venv/bin/activate")])
def test_M1_what_is_typed_is_said_as_the_calling_shell_takes_it(plain, shell, typed):
    if not shutil.which(shell):
        pytest.skip("no %s on this machine" % shell)
    plain.prime()
    env = dict(plain.env, VIRTUAL_ENV=str(plain.path / ".prime" / "envs" / "default-0123456789ab"), SHELL="/bin/other")
    code = '"%s" prime; true' % some_python()  # not the last: it would take the shell's place
    said = subprocess.run([shell, "-c", code], cwd=str(plain.path), env=env, stderr=subprocess.PIPE,
                          universal_newlines=True).stderr
    assert "type: %s\n" % typed in said


def test_M1_without_link_the_shell_is_left_and_started_again(plain):
    plain.config("[env.docs]\n")
    plain.prime()
    plain.prime("-e", "docs", "run", "true")
    old = next(path for path in plain.generations if path.name.startswith("docs-"))
    plain.config("[env.docs]\npost_boot = [['true']]\n")
    for argv in (("-e", "docs", "run", "true"), ("info",)):
        said = plain.prime(*argv, env={"VIRTUAL_ENV": str(old)}).stderr
        assert "%s, no longer the current build of environment docs; type: " % old.name in said
        assert "type: exit, then %s\n" % plain.typed("-e docs shell") in said


# -- zsh and the files in /etc -----------------------------------------------------------------------

# What matters of macOS' /etc/zshrc and /etc/zshrc_Apple_Terminal.
APPLE = r"""
HISTFILE=${ZDOTDIR:-$HOME}/.zsh_history
SHELL_SESSION_DIR="${ZDOTDIR:-$HOME}/.zsh_sessions"
mkdir -m 700 -p "$SHELL_SESSION_DIR"
SHELL_SESSION_HISTFILE_SHARED="$HISTFILE"
HISTFILE="$SHELL_SESSION_DIR/$TERM_SESSION_ID.historynew"
SAVEHIST=1000 HISTSIZE=2000
shell_session_save_history() {
    fc -AI
    cat "$HISTFILE" >>"$SHELL_SESSION_HISTFILE_SHARED"
}
autoload -Uz add-zsh-hook
add-zsh-hook zshexit shell_session_save_history
"""


@pytest.mark.parametrize("own", [False, True])
def test_M23_zsh_keeps_its_history_where_the_user_has_it(plain, tmp_path, own):
    unshare = ["unshare", "-m", "--propagation", "private"]
    if not shutil.which("zsh") or not os.path.isfile("/etc/zsh/zshrc"):
        pytest.skip("no zsh with an /etc/zsh/zshrc on this machine")
    if os.geteuid() or subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("it takes root and unshare to have another /etc/zsh/zshrc")
    plain.prime()
    place = plain.home / "own" if own else plain.home
    place.mkdir(exist_ok=True)
    if own:
        (plain.home / ".zshenv").write_text("ZDOTDIR=$HOME/own\n")
    (place / ".zshrc").write_text("PROMPT='mine> '\nPATH=/usr/bin:/bin:$PATH\nprecmd_functions=()\n" if own else
                                  "PROMPT='mine> '\nPATH=/usr/bin:/bin:$PATH\n")
    (tmp_path / "zshrc").write_text(APPLE)
    window = Terminal(plain, 120)
    try:
        code = 'mount --bind "$1" /etc/zsh/zshrc && exec "$2" prime shell'
        window.run(*unshare, "sh", "-c", code, "sh", str(tmp_path / "zshrc"), str(some_python()),
                   env={"SHELL": shutil.which("zsh"), "TERM_SESSION_ID": "s1"})
        window.until("mine> *$" if own else r"^\(a repo\) mine>")
        window.type("echo told; whence -p python | sed s/^/at:/\n")
        window.until("^at:%s" % (plain.path / ".venv" / "bin" / "python"))
        window.until(r"^\(a repo\) mine>")
        window.type("exit\n")
        window.finish()
    finally:
        window.close()
    assert "echo told" in (place / ".zsh_history").read_text()
    assert sorted(path.name for path in (place / ".zsh_sessions").iterdir()) == ["s1.historynew"]


@pytest.mark.parametrize("shell, file", [("ksh93", ".kshrc"), ("mksh", ".mkshrc"), ("yash", ".yashrc"),
                                         ("tcsh", ".tcshrc"), ("tcsh", ".cshrc")])
def test_M1_shell_reads_the_files_of_the_user_and_has_the_environment(make_repo, shell, file):
    if not shutil.which(shell):
        pytest.skip("no %s on this machine" % shell)
    repo = make_repo("a 'repo'!")
    repo.config()
    repo.prime()
    is_csh = shell == "tcsh"
    lines = "setenv MINE mine\nsetenv PATH /usr/bin:/bin\nset prompt='mine> '\n" if is_csh else \
        "export MINE=mine PATH=/usr/bin:/bin\nPS1='mine> '\n"
    (repo.home / file).write_text(lines)
    env, typed = {"SHELL": shutil.which(shell)}, "python -c 'import sys; print(sys.prefix)'"
    window = Terminal(repo, 200)
    try:
        window.prime("shell", env=env)
        window.until(r"^\(a repo\) mine>")
        window.type("echo $MINE at $HOME; %s\n" % typed)
        window.until("^mine at %s" % repo.home)
        window.until("^%s$" % (repo.path / ".venv"))
        window.type("exit\n")
        window.finish()
    finally:
        window.close()
    line = repo.prime("shell", "-c", "echo $HOME; " + typed, env=env).stdout
    assert line == "%s\n%s\n" % (repo.home, repo.path / ".venv")


# -- programs from outside ---------------------------------------------------------------------------

OUTSIDE = {
    "env": "#!/usr/bin/env python3\nprint('ran')\n",
    "split": "#!/usr/bin/env -S python3 -u\nprint('ran')\n",
    "path": "#!%s\nprint('ran')\n" % some_python(),
    "pip": "#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''\nprint('ran')\n" % some_python(),
    "relocatable": """#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python3' "$0" "$@"
' '''
print('ran')
""",
    "pyenv": """#!/usr/bin/env bash
set -e
exec "echo" ran "/home/me/.pyenv/libexec/pyenv" exec "$program" "$@"
""",
    "asdf": "#!/usr/bin/env bash\n# asdf-plugin: python 3.12.1\nexec echo ran /opt/asdf/bin/asdf exec tool \"$@\"\n",
    "wrapper": "#!/bin/bash\n# starts it\nexec %s -c 'print(\"ran\")'\n" % some_python(),
}
NO_PYTHON = {
    "sh": "#!/bin/sh\n# for pyenv and python\necho ran\n",
    "name": "#!/bin/sh\nPATH=/opt/promise/python:$PATH; echo ran\n",
    "perl": "#!/usr/bin/perl\nprint 'ran'; # exec python mise\n",
}


def test_M2_python_program_from_outside_is_named(plain):
    plain.prime()
    plain.settle()
    plain.link("python3", some_python())
    said = "prime: the environment has no tool: ~/bin/tool is run, a python program from outside\n"
    for kind, text in sorted(OUTSIDE.items()) + sorted(NO_PYTHON.items()):
        program = plain.program("tool", text)
        result = plain.prime("run", "tool")
        assert result.stdout.startswith("ran"), kind
        assert result.stderr == (said if kind in OUTSIDE else ""), kind
    plain.program("tool", OUTSIDE["env"])
    assert said in plain.prime("-v", "run", "tool").stderr  # the long way
    assert plain.prime("-q", "run", "tool").stderr == ""
    assert plain.prime("run", str(program)).stderr == ""  # a path is what its user means


def test_M2_mise_and_plain_binaries(plain):
    shutil.copy("/bin/echo", str(plain.home / "mise"))
    plain.link("tool", plain.home / "mise")
    plain.link("plain", "/bin/echo")
    assert "a python program from outside" in plain.prime("run", "tool", "ran").stderr
    assert "from outside" not in plain.prime("run", "plain", "ran").stderr
    plain.link("mise", plain.home / "mise")
    assert "from outside" not in plain.prime("run", "mise", "ran").stderr


def test_M2_programs_of_the_environment_need_no_notice(plain):
    plain.prime()
    plain.program("tool", OUTSIDE["env"])
    shutil.copy(str(plain.bin / "tool"), str(plain.current / "bin" / "tool"))
    assert "from outside" not in plain.prime("run", "tool").stderr


def test_M1_pip_that_is_missing_is_refused_and_can_be_installed(plain):
    plain.link("uv", uv_program())
    env = {"PROTOPRIMER_VENV_DRIVER": "venv_uv"}
    plain.prime(env=env)
    assert subprocess.run([str(plain.path / ".venv" / "bin" / "pip"), "--version"]).returncode == 127
    for name in ("pip", "pip3", "pip%d.%d" % sys.version_info[:2]):
        result = plain.prime("run", name, "--version", env=env, status=127)
        assert "there is no pip in this environment" in result.stderr
    plain.prime("run", "uv", "pip", "install", "pip", env=env)
    assert "there is no pip" not in (plain.current / "bin" / "pip").read_text()
