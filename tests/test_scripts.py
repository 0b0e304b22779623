"""Scripts that say what they need (PEP 723), shells, and entry scripts of a repo's own."""

import os
import shutil
import subprocess

import pytest
from conftest import PYTHONS, some_python, uv_program

SCRIPT = """\
# /// script
# requires-python = ">=3.6"
# dependencies = ["%s"]
# ///
import sys
import %s
print(sys.prefix, sys.argv[1:], %s.__name__)
"""


@pytest.fixture
def own_cache(plain):
    """A repo with a user cache of its own, where environments of scripts go; uv is on PATH."""
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(plain.home / "own cache")
    plain.link("uv", uv_program())
    return plain


def script(repo, module, name="a script.py"):
    return str(repo.write(name, SCRIPT % (module, module, module)))


# -- PEP 723 -----------------------------------------------------------------------------------------


def test_U1_python_that_leaves_metadata_alone_is_said_where_it_costs_nothing(own_cache):
    plain_one = str(own_cache.write("plain.py", "# no metadata\n"))
    path = os.path.basename(script(own_cache, "json", "it.py"))
    said = "prime: python does not read the dependencies in it.py; this does: " + own_cache.typed("run it.py")
    assert said in own_cache.prime("run", "python", path).stderr.splitlines()
    assert "metadata" not in own_cache.prime("reset").stderr + own_cache.prime("run", "python", plain_one).stderr
    own_cache.settle()
    own_cache.prime()
    assert own_cache.prime("run", "python", path).stderr == ""  # the fast path looks into no script


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip"])
def test_script_runs_in_an_environment_of_its_own_that_is_kept(own_cache, driver_name):
    own_cache.env["PROTOPRIMER_VENV_DRIVER"] = driver_name
    path = script(own_cache, "six")
    first = own_cache.prime("run", path, "a b", "--x")
    assert "building the script's environment" in first.stderr
    assert "the script's environment is ready (python " in first.stderr
    assert first.stdout.startswith(str(own_cache.home / "own cache" / "scripts"))
    assert first.stdout.endswith("['a b', '--x'] six\n")
    assert not (own_cache.path / ".venv").exists()
    second = own_cache.prime("run", path, "a b", "--x")
    assert (second.stdout, second.stderr) == (first.stdout, "")


def test_scripts_of_equal_needs_share_an_environment_and_others_do_not(own_cache):
    told = [own_cache.prime("run", script(own_cache, module, name)).stdout.split(" [")[0]
            for module, name in (("six", "one.py"), ("six", "two.py"), ("idna", "three.py"))]
    assert told[0] == told[1] != told[2]


def test_script_on_stdin(own_cache):
    path = script(own_cache, "six")
    with open(path) as stdin:
        result = own_cache.prime("run", "-", "x", stdin=stdin)
    assert result.stdout.endswith("['x'] six\n")
    own_cache.write("plain.py", "import sys; print(sys.prefix, sys.argv)")
    with open(str(own_cache.path / "plain.py")) as stdin:
        result = own_cache.prime("run", "-", "y", stdin=stdin)
    assert result.stdout.startswith(str(own_cache.path / ".prime")) and "['-', 'y']" in result.stdout


def test_script_without_metadata_runs_in_the_repo_s_environment(own_cache):
    path = str(own_cache.write("plain.py", "import sys; print(sys.prefix)"))
    assert own_cache.prime("run", path).stdout.startswith(str(own_cache.path / ".prime"))


def test_script_chooses_its_python(own_cache):
    other = next(version for version in PYTHONS if PYTHONS[version] != some_python())
    own_cache.link("python" + other, PYTHONS[other])
    own_cache.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    text = '# /// script\n# requires-python = "==%s.*"\n# ///\nimport sys; print("%%d.%%d" %% sys.version_info[:2])\n'
    path = str(own_cache.write("old.py", text % other))
    assert own_cache.prime("run", path).stdout == other + "\n"


@pytest.mark.parametrize("text, word", [
    ("# /// script\n# dependencies = [\n# ///\n", "PEP 723"),
    ("# /// script\n# dependencies = 3\n# ///\n", "dependencies must be a list of strings"),
    ('# /// script\n# requires-python = "banana"\n# ///\n', "banana"),
    ('# /// script\n# requires-python = "python3.12"\n# ///\n', "malformed requires-python"),
    ('# /// script\n# requires-python = "./python"\n# ///\n', "malformed requires-python"),
    ('# /// script\n# requires-python = "3.12"\n# ///\n', "malformed requires-python"),
    ('# /// script\n# requires-python = "cpython"\n# ///\n', "malformed requires-python"),
    ('# /// script\n# requires-python = "any"\n# ///\n', "malformed requires-python"),
    ("# /// script\n# ///\n" + "\n# /// script\n# dependencies = []\n# ///\n" * 2, "more than one block"),
    ('# /// script\n# dependencies = ["six", "./lib"]\n# ///\n', "dependencies: './lib' is no requirement"),
    ("# /// script\n# dependencies = []\nprint(1)\n", 'has no "# ///" behind it'),
    ("# /// script\n#\tdependencies = []\n# ///\n", 'has no "# ///" behind it'),
])
def test_broken_metadata_is_an_error(own_cache, text, word):
    result = own_cache.prime("run", str(own_cache.write("broken.py", text)), status=2)
    assert word in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("key, meant", [
    ("dependency", "dependencies"), ("Dependencies", "dependencies"), ("deps", "dependencies"),
    ("requires_python", "requires-python"), ("python", "requires-python"), ("tools", "tool")])
def test_U10_mistyped_key_in_the_metadata_of_a_script_is_an_error(own_cache, key, meant):
    own_cache.write("report.py", "# /// script\n# %s = ['six']\n# ///\n" % key)
    said = own_cache.prime("run", "report.py", status=2).stderr
    assert 'error: unknown key "%s" (the script\'s metadata, PEP 723 of report.py)' % key in said
    assert '  hint: did you mean "%s"?' % meant in said


def test_U10_key_that_the_metadata_of_scripts_does_not_have_is_told(own_cache):
    own_cache.write("report.py", "# /// script\n# licence = 'MIT'\n# ///\nprint('ran')\n")
    result = own_cache.prime("run", "report.py")
    assert result.stdout == "ran\n" and 'unknown key "licence" means nothing' in result.stderr


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_U10_mistake_in_the_metadata_of_a_script_is_told_with_the_line_of_the_file(own_cache, end):
    lines = ["#!/usr/bin/env python3", "# A note", "", "# /// script", "#", "# dependencies = ['six' 'x']", "# ///", ""]
    (own_cache.path / "report.py").write_bytes(end.join(lines).encode())
    said = own_cache.prime("run", "report.py", status=2).stderr
    assert "error: report.py: the script's metadata (PEP 723): " in said and "(line 6, column 25)" in said
    assert "\n  # dependencies = ['six' 'x']\n  %s^\n" % (" " * 24) in said


def test_R8_program_that_a_script_names_is_never_started(own_cache):
    own_cache.program("python-evil", "#!/bin/sh\ntouch '%s/started'\n" % own_cache.home)
    own_cache.write("evil.py", '# /// script\n# requires-python = "python-evil"\n# ///\n')
    result = own_cache.prime("run", "evil.py", status=2)
    assert "malformed requires-python" in result.stderr and not (own_cache.home / "started").exists()


@pytest.mark.parametrize("text", [
    '# /// script\n# dependencies = []\n# ///\n# \n# /// \n# a note\n',
    '# /// other\n# /// script\n# not toml\n# ///\n\n# /// script\n# dependencies = []\n# ///\n',
    '# /// script\n# [tool.x]\n# doc = """\n# /// script\n# """\n# ///\n'])
def test_R8_comments_that_look_like_metadata_are_none(own_cache, text):
    path = own_cache.write("notes.py", text + "import sys; print(sys.prefix)\n")
    assert own_cache.prime("run", str(path)).stdout.startswith(str(own_cache.home / "own cache" / "scripts"))


def test_metadata_ends_with_the_last_line_that_may_end_it(own_cache):
    text = '# /// script\n# dependencies = []\n# [tool.x]\n# doc = """\n# ///\n# """\n# ///\nprint("ok")\n'
    assert own_cache.prime("run", str(own_cache.write("embedded.py", text))).stdout == "ok\n"


@pytest.mark.parametrize("start", ["# /// script\n# ///\n", "\ufeff# /// script\n# dependencies = []\n# ///\n"])
def test_script_with_empty_metadata_or_a_byte_order_mark_has_an_environment_of_its_own(own_cache, start):
    path = own_cache.write("bare.py", start + "import sys; print(sys.prefix)\n")
    scripts = str(own_cache.home / "own cache" / "scripts")
    assert own_cache.prime("run", str(path)).stdout.startswith(scripts)
    with open(str(path), "rb") as stdin:
        assert own_cache.prime("run", "-", stdin=stdin).stdout.startswith(scripts)


def test_script_in_another_encoding_that_names_metadata_in_a_text_is_run(plain):
    text = '# coding: latin-1\ntext = "# /// script"\nprint(len("\u00fc"))\n'
    (plain.path / "latin.py").write_bytes(text.encode("latin-1"))
    assert plain.prime("run", "latin.py").stdout == "1\n"


def test_clean_removes_environments_of_scripts_that_were_not_run_for_long(own_cache):
    path = script(own_cache, "six")
    own_cache.prime("run", path)
    root = next((own_cache.home / "own cache" / "scripts").iterdir())
    own_cache.prime("clean")
    assert root.exists()
    os.utime(str(root), (1, 1))
    assert "removed" in own_cache.prime("clean").stderr
    assert not root.exists()
    own_cache.prime("run", path)
    own_cache.prime("clean", "--all")
    assert not root.exists()


# -- shells ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish"])
def test_shell_has_the_environment_active_and_its_status_is_returned(plain, shell):
    path = shutil.which(shell)
    if not path:
        pytest.skip("no %s on this machine" % shell)
    plain.config('env_vars = {WHO = "me"}')
    plain.write("commands", "python -c 'import os, sys; print(sys.prefix, os.environ[\"WHO\"])'\nexit 3\n")
    with open(str(plain.path / "commands")) as stdin:
        result = plain.prime("shell", stdin=stdin, status=3, env={"SHELL": path})
    assert result.stdout == "%s me\n" % (plain.path / ".venv")


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish"])
def test_shell_on_a_terminal_names_the_environment_in_its_prompt(plain, shell):
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    path = shutil.which(shell)
    if not path:
        pytest.skip("no %s on this machine" % shell)
    plain.prime()
    (plain.home / ".zshrc").write_text("PROMPT='mine> '\n")
    (plain.home / ".bashrc").write_text("PS1='mine> '; PATH=/usr/bin:/bin\n")
    ours, theirs = pty.openpty()
    process = plain.popen("shell", stdin=theirs, stdout=theirs, stderr=theirs, env={"SHELL": path, "TERM": "xterm"},
                          start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    os.write(ours, b"command -v python; exit\n")
    said = b""
    try:
        while True:
            said += os.read(ours, 4096)
    except OSError:  # it ended
        pass
    os.close(ours)
    process.wait()
    assert b"(a repo) " in said, said
    assert str(plain.path / ".venv" / "bin" / "python").encode() in said.replace(b"\r\n", b""), said


def test_shell_that_is_not_there_is_an_error(plain):
    assert "there is no shell no-such-shell" in plain.prime("shell", status=127, env={"SHELL": "no-such-shell"}).stderr
    for shell, status in (("/no/such/shell", 127), ("/bin/bash -l", 127), ("/tmp", 126), ("/etc/passwd", 126)):
        result = plain.prime("shell", status=status, env={"SHELL": shell})
        assert "cannot run %s: " % shell in result.stderr and "hint: SHELL names it" in result.stderr
        assert "exit leaves it" not in result.stderr


def test_shell_starts_without_its_prompt_where_the_cache_cannot_be_written(plain):
    plain.prime()
    (plain.home / "file").touch()
    env = {"SHELL": "/bin/sh", "PROTOPRIMER_CACHE_DIR": str(plain.home / "file")}
    plain.write("commands", "command -v python\n")
    with open(str(plain.path / "commands")) as stdin:
        assert plain.prime("shell", stdin=stdin, env=env).stdout == "%s/.venv/bin/python\n" % plain.path


# -- entry scripts -----------------------------------------------------------------------------------

APP = """\
import os
import sys
import six
def main():
    print(sys.argv[1:], sys.prefix, os.environ["WHO"], os.environ.get("PROTOPRIMER_PY_EXEC"))
    return %r
"""


@pytest.fixture
def app(repo):
    """A repo with two entry scripts of its own, `app` and `quick`."""
    repo.config('dependencies = ["six"]\nenv_vars = {WHO = "me"}')
    repo.write("my_tools/app.py", APP % 7)
    for name, function in (("app", "boot"), ("quick", "start")):
        repo.write(name, "import proto_prime\nproto_prime.%s('my_tools.app:main')\n" % function)
    return repo


def test_boot_makes_the_environment_and_calls_the_function_in_it(app, driver):
    first = app.prime("a b", "--", "-v", entry="app", status=7)
    assert first.stdout == "['a b', '--', '-v'] %s me None\n" % app.current
    assert "building environment" in first.stderr
    app.settle()
    for _ in range(2):
        assert app.prime(entry="app", status=7).stderr == ""


def test_boot_goes_on_under_the_required_python(app):
    other = next(version for version in PYTHONS if PYTHONS[version] != some_python())
    app.link("python" + other, PYTHONS[other])
    app.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    app.config('required_python_version = "%s"\ndependencies = ["six"]\nenv_vars = {WHO = "me"}' % other)
    assert app.prime("x", entry="app", status=7).stdout.startswith("['x'] %s" % app.path)


def test_boot_under_the_environment_s_own_python_calls_at_once(app):
    app.prime()
    result = app.prime("x", entry="app", status=7, python=app.path / ".venv" / "bin" / "python")
    assert result.stdout.startswith("['x'] ") and " me None" in result.stdout


def test_start_switches_to_what_is_there_and_builds_nothing(app):
    assert "was not built yet" in app.prime(entry="quick", status=1).stderr
    app.prime()
    app.config('dependencies = ["six", "no-such-package"]\nenv_vars = {WHO = "me"}')
    result = app.prime("y", entry="quick", status=7)
    assert result.stdout == "['y'] %s me None\n" % app.current
    assert "building" not in result.stderr


@pytest.mark.parametrize("value, status", [(None, 0), (0, 0), (255, 255), ("said", 1)])
def test_what_the_function_returns_is_the_exit_status(app, value, status):
    app.write("my_tools/app.py", APP % value)
    result = app.prime(entry="app", status=status)
    assert ("said" in result.stderr) == (value == "said")


def test_entry_script_that_came_through_a_pipe_is_an_error(app):
    code = "import proto_prime; proto_prime.boot('my_tools.app:main')"
    done = subprocess.run([str(some_python()), "-c", code], cwd=str(app.path), env=app.env, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"this came through a pipe, or from -c" in done.stderr


def test_errors_of_a_script_name_its_metadata(plain):
    for told, words in (("requires-python = '>=3.99'", 'no python satisfies required_python_version ">=3.99"'),
                        ("requires-python = 3", "requires-python must be a string, not 3")):
        plain.write("script.py", "# /// script\n# %s\n# ///\n" % told)
        error = plain.prime("run", "script.py", status=None).stderr
        assert words in error and "(the script's metadata, PEP 723" in error
        assert "proto_prime.toml" not in error
