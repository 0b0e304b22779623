"""`prime env`, what an active environment sets; and `env_file`, a file of variables for what runs in it."""

import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import PYTHONS, python

import proto_prime

ODD = "it's \"q\" $HOME `x` $(x) %PATH% ! !! \\ \\n ^&|<> \u4f60 \U0001f600 \nsecond\r\n\t end "
SHOW = "import json, os, sys; print(json.dumps([dict(os.environ), sys.prefix]))"
SHELLS = {"sh": [], "bash": ["--norc"], "dash": [], "zsh": ["-f"], "mksh": [], "busybox": ["sh"],
          "fish": ["--no-config"]}


@pytest.fixture
def filed(plain):
    """A function that writes a config with `env_file`, and the file, boots, and returns the repo."""

    def write(text, more=""):
        plain.config('env_file = ".env"\n' + more)
        if text is not None:
            plain.write(".env", text)
        plain.prime()
        plain.settle()
        plain.prime()
        return plain

    return write


def variables(repo, *argv, **options):
    """The variables that a command in the environment finds."""
    return json.loads(repo.prime(*argv, "run", "python", "-c", SHOW, **options).stdout)[0]


# --- env ---


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_U3_shell_that_evaluates_it_has_the_environment(filed, shell):
    program = shutil.which(shell)
    if not program:
        pytest.skip("no %s on this machine" % shell)
    repo = filed("B='from the\nfile' # not this\n", "env_vars = {ODD = %s}\n" % json.dumps(ODD, ensure_ascii=False))
    ours, line = "./prime env", 'eval "$(./prime env)"'
    if shell == "fish":
        ours, line = "./prime env --shell fish", "./prime env --shell fish | source"
    script = "set -e; %s; %s; exec python -c '%s'" % (line, line, SHOW)  # twice: it does not grow
    script = script[8:] if shell == "fish" else script
    found = subprocess.run([program] + SHELLS[shell] + ["-c", script], cwd=str(repo.path), universal_newlines=True,
                           env=dict(repo.env, PYTHONHOME="/usr", PYTHONUTF8="1"), stdout=subprocess.PIPE)
    environ, prefix = json.loads(found.stdout)
    link = str(repo.path / ".venv")
    assert (environ["ODD"], environ["B"]) == (ODD, "from the\nfile"), ours
    assert (environ["VIRTUAL_ENV"], environ["VIRTUAL_ENV_PROMPT"]) == (link, "a repo")
    assert environ["PATH"] == os.pathsep.join([link + "/bin", repo.env["PATH"]])
    assert "PYTHONHOME" not in environ and os.path.realpath(prefix) == str(repo.current)


def test_U3_direnv_takes_it(filed):
    direnv = shutil.which("direnv")
    if not direnv:
        pytest.skip("no direnv on this machine")
    repo = filed("SECRET=1\n")
    repo.write(".envrc", 'eval "$(./prime env)"\nwatch_file .env\n')
    env = dict(repo.env, PATH=os.pathsep.join([repo.env["PATH"], os.path.dirname(direnv)]), SHELL="/usr/bin/fish")
    subprocess.run([direnv, "allow"], cwd=str(repo.path), env=env, check=True, stderr=subprocess.DEVNULL)
    for value in "12":
        repo.write(".env", "SECRET=%s\n" % value)
        told = subprocess.run([direnv, "exec", ".", "python", "-c", SHOW], cwd=str(repo.path), env=env,
                              stdout=subprocess.PIPE, check=True)
        environ, prefix = json.loads(told.stdout.decode())
        assert environ["SECRET"] == value and os.path.realpath(prefix) == str(repo.current)


def test_U3_json_names_what_is_set_and_what_is_not(filed):
    repo = filed("B=2\n", 'env_vars = {A = "1", "odd-name;x" = "3"}\n')
    told = json.loads(repo.prime("env", "--shell", "json").stdout)
    link = str(repo.path / ".venv")
    assert told["schema"] == 1 and told["unset"] == ["PYTHONHOME"] and told["path"] == [link + "/bin"]
    assert told["set"] == {"VIRTUAL_ENV": link, "VIRTUAL_ENV_PROMPT": "a repo", "A": "1", "odd-name;x": "3", "B": "2",
                           "PATH": os.pathsep.join([link + "/bin", repo.env["PATH"]])}


@pytest.mark.parametrize("shell", ["sh", "fish", "pwsh", "cmd"])
def test_U3_name_that_a_shell_cannot_set_is_left_out_and_said(filed, shell):
    repo = filed("", 'env_vars = {"odd-name;touch x" = "3", "\u00e4" = "1", A = "1"}\n')
    result = repo.prime("env", "--shell", shell)
    assert "touch" not in result.stdout and "\u00e4" not in result.stdout and "A" in result.stdout
    assert "odd-name;touch x is left out: %s cannot set it" % shell in result.stderr


def test_U3_for_github_the_files_of_the_step_are_added_to(filed):
    repo = filed("B=2\n", "env_vars = {ODD = %s}\n" % json.dumps(ODD, ensure_ascii=False))
    files = {name: repo.write(name, "BEFORE=1\n") for name in ("GITHUB_ENV", "GITHUB_PATH")}
    result = repo.prime("env", "--shell", "github", env={name: str(path) for name, path in files.items()})
    link = str(repo.path / ".venv")
    assert result.stdout == "" and "later steps have B, ODD, VIRTUAL_ENV, VIRTUAL_ENV_PROMPT, and" in result.stderr
    text = files["GITHUB_ENV"].read_bytes().decode()
    assert text.startswith("BEFORE=1\nVIRTUAL_ENV=%s\nVIRTUAL_ENV_PROMPT=a repo\n" % link) and text.endswith("\nB=2\n")
    end, value = re.search(r"^ODD<<(\S{12,})\n(.*)\n\1\n", text, re.MULTILINE | re.DOTALL).groups()
    assert value == ODD and end not in value and "PATH=" not in text
    assert files["GITHUB_PATH"].read_text() == "BEFORE=1\n%s/bin\n" % link
    other = repo.write("other", "")
    repo.prime("env", "--shell", "github", env={"GITHUB_ENV": str(other), "GITHUB_PATH": str(other)})
    assert end not in other.read_bytes().decode()
    assert "GITHUB_ENV is not set" in repo.prime("env", "--shell", "github", status=2).stderr


def test_U3_it_makes_the_environment_first_and_stdout_has_nothing_else(repo):
    repo.config('dependencies = ["six"]\nenv.docs = {}\n')
    result = repo.prime("env")
    assert "is ready" in result.stderr and (repo.path / ".venv").exists()
    assert all(re.match(r"(export \w+='.*'|unset \w+);$", line) for line in result.stdout.splitlines())
    other = repo.prime("-e", "docs", "env").stdout
    assert re.search("^export VIRTUAL_ENV='.*/envs/docs-", other, re.MULTILINE)
    assert "--shell" in repo.prime("env", "--shell", "csh", status=2).stderr
    repo.config('dependencies = ["no-such-package-at-all"]\n')
    assert repo.prime("env", status=1).stdout == ""


def test_U3_what_a_shim_of_pyenv_put_on_PATH_is_not_kept(booted):
    root = booted.home / "pyenv"
    shims = [str(root / each) for each in ("versions/3.12/bin", "libexec", "plugins/x/bin")]
    path = os.pathsep.join(shims + [str(root / "shims"), booted.env["PATH"]])
    told = booted.prime("env", "--shell", "json", env={"PYENV_ROOT": str(root), "PYENV_DIR": "/", "PATH": path}).stdout
    assert json.loads(told)["set"]["PATH"].split(os.pathsep)[1:3] == [str(root / "shims"), str(booted.bin)]


def test_U3_quotes_of_the_shells_that_are_not_here():
    """PowerShell: about_Quoting_Rules; a typographic quote ends a text, too. cmd: what stands outside of quotes."""
    assert proto_prime.pwsh_quote("a'b\u2019c$x`\n") == "'a''b\u2019\u2019c$x`\n'"
    assert proto_prime.cmd_quote('100% "a" & b|c>d<e^f(g)!') == \
        '100%% ^"a^" ^& b^|c^>d^<e^^f^(g^)^!'


# --- env_file ---

LINES = {
    "A=1": "1",
    " A = 1 ": "1",
    "export A=1": "1",
    "\texport  A=b c": "b c",
    "A=": "",
    "A=1 # not this": "1",
    "A=1#this": "1#this",
    "A=#this": "#this",
    "A= # not this": "",
    "A='1 # \"this\" $X \\n' # not this": '1 # "this" $X \\n',
    'A="1 # \\"this\\" $X ${X} $(x) `x` \\n\\t\\\\ \\$ \\x"': '1 # "this" $X ${X} $(x) `x` \n\t\\ $ \\x',
    "A=$X ${X} $(touch y) `touch y`": "$X ${X} $(touch y) `touch y`",
    "A='two\nlines'": "two\nlines",
    'A="two\r\nlines"\r': "two\nlines",
    "A='it'\nA=\"\"": "",
    "\ufeffA=1": "1",
    "A=a=b": "a=b",
    "A=it's": "it's",
    "# A=0\n\n  # A=2\nA=1\n": "1",
    "A=\u4f60 \U0001f600": "\u4f60 \U0001f600",
}


@pytest.mark.parametrize("line", sorted(LINES))
def test_U3_line_of_a_file_of_variables(line, tmp_path):
    path = tmp_path / ".env"
    path.write_bytes(line.encode())
    assert proto_prime.read_env_file(str(path)) == {"A": LINES[line]}


@pytest.mark.parametrize("line, number, problem", [
    ("B=1\nsecret", 2, "is no NAME=VALUE"), ("=secret", 1, "is no NAME=VALUE"), ("A B=secret", 1, "is no NAME=VALUE"),
    ("A='secret", 1, "begins a value whose quote does not end"), ('\n\nA="secret\\"\n\n', 3, "quote does not end"),
    ('A="x" secret', 1, "has more behind its quotes"), ("A=secret\0", 1, "has a NUL"), ("A;x=secret", 1, "is no NAME"),
])
def test_U3_line_that_is_none_is_told_by_its_number_alone(filed, line, number, problem):
    repo = filed("A=1\n")
    repo.write(".env", line)
    for command in (["run", "true"], ["env"], ["-vv", "run", "true"]):
        result = repo.prime(*command, status=2)
        assert re.search(r"\.env, line %d: it .*%s" % (number, problem), result.stderr), result.stderr
        assert "secret" not in result.stderr + result.stdout


@pytest.mark.parametrize("wild", list(PYTHONS))
def test_U3_changed_file_is_seen_at_once_on_the_fast_path(filed, wild):
    repo = filed("A=0\n")
    repo.prime(python=PYTHONS[wild])
    for value in "123":
        stat = os.stat(str(repo.path / ".env"))
        repo.write(".env", "A=%s\n" % value)
        os.utime(str(repo.path / ".env"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
        result = repo.prime("run", "sh", "-c", "echo $A", python=PYTHONS[wild], env={"PYTHONVERBOSE": "1"})
        assert result.stdout == value + "\n"
        assert not re.search("import '(json|argparse)'", result.stderr)
    assert len(repo.generations) == 1 and "building" not in result.stderr


def test_U3_what_goes_before_what(filed):
    repo = filed("A=file\nB=file\nC=file\nD=file\nE=file\nVIRTUAL_ENV=/x\nPATH=/x\nPROTOPRIMER_PY_EXEC=x\n",
                 'env_vars = {B = "config", C = "config"}\n'
                 '[tasks]\nshow = {run = ["python", "-c", %s], env_vars = {C = "task"}}\n' % json.dumps(SHOW))
    caller = {"A": "caller", "C": "caller", "D": ""}
    for _ in range(2):
        found = json.loads(repo.prime("show", env=caller).stdout)[0]
        assert [found[name] for name in "ABCDE"] == ["caller", "config", "task", "", "file"]
        assert found["VIRTUAL_ENV"] == str(repo.current) and "/x" not in found["PATH"].split(os.pathsep)
        assert "PROTOPRIMER_PY_EXEC" not in found
        assert variables(repo)["C"] == "config"
        repo.settle()


def test_U3_missing_file_is_no_error_and_an_example_beside_it_is_named(filed):
    repo = filed(None)
    assert repo.prime("run", "true").stderr == ""
    repo.write(".env.example", "A=example\n")
    for command in (["run", "true"], ["-v", "run", "true"]):
        assert ".env is missing; .env.example shows what it holds" in repo.prime(*command).stderr
    assert "A" not in variables(repo)
    repo.write(".env", "A=1\n")
    assert variables(repo)["A"] == "1"
    (repo.path / ".env").unlink()
    (repo.path / ".env").mkdir()
    assert ".env: it is a directory" in repo.prime("run", "true", status=2).stderr


def test_U3_file_of_an_environment_and_below_the_root(filed):
    repo = filed("A=1\n", '[env.docs]\nenv_file = "sub/docs.env"\n')
    repo.write("sub/docs.env", "A=docs\n")
    for _ in range(2):
        assert variables(repo)["A"] == "1"
        assert variables(repo, "-e", "docs", cwd=str(repo.home))["A"] == "docs"
        repo.settle()


def test_U3_shell_has_the_variables_of_the_file(filed):
    repo = filed("A='x y'\n")
    process = repo.popen("shell", env={"SHELL": "/bin/sh"}, stdin=subprocess.PIPE)
    assert process.communicate('echo "$A"\n')[0] == "x y\n"


def test_U3_values_are_nowhere_on_disk_and_in_no_message(filed):
    secret = "hunter2-is-secret"
    repo = filed("A=%s\n" % secret, '[tasks]\nshow = {run = "true", needs = ["other"]}\nother = "true"\n')
    texts = [repo.prime("-vv", *words, status=None) for words in (
        ["reset"], ["run", "true"], ["show"], ["info"], ["info", "--json"], ["run", "no-such-program"])]
    assert not any(secret in text.stdout + text.stderr for text in texts)
    for directory, _, names in os.walk(str(repo.path / ".prime")):
        for name in names:
            path = os.path.join(directory, name)
            assert not os.path.isfile(path) or secret.encode() not in open(path, "rb").read(), path


def test_U3_bytes_of_a_value_stay_in_any_locale(filed):
    repo = filed("")
    (repo.path / ".env").write_bytes(b"A=\xe4\xbd\xa0 \xff\n")
    command = [str(python("3.6")), "prime", "run", "sh", "-c", "printf %s \"$A\""]
    for _ in range(2):
        for locale in ("C", "C.UTF-8"):
            found = subprocess.run(command, cwd=str(repo.path), env=dict(repo.env, LANG=locale), stdout=subprocess.PIPE)
            assert found.stdout == b"\xe4\xbd\xa0 \xff"


def test_U3_entry_script_of_the_repo_has_the_variables_of_the_file(filed):
    repo = filed("A=file\n")
    repo.write("app.py", "import os, sys\n\ndef main():\n    print(os.environ['A'], sys.prefix)\n")
    repo.write("tool", "#!/usr/bin/env python3\nimport proto_prime\n\nif __name__ == '__main__':\n"
                       "    proto_prime.boot('app:main')\n")
    for _ in range(2):
        assert repo.prime(entry="tool").stdout == "file %s\n" % repo.current
