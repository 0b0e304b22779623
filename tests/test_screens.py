"""The screens that are read most, as a person sees them at 80 and at 40 columns, and as a pipe gets them."""

import os
import re
import signal
import subprocess
import time
import zipfile

import pytest
from conftest import python, uv_program
from helpers import Index, Terminal, make_wheel, wait_for

import proto_prime

pytest.importorskip("fcntl")  # not on Windows, as is the rest
pytest.importorskip("pyte")

WIDTHS = [80, 40]


@pytest.fixture
def terminal(repo):
    """A function that makes a `Terminal` of some width for `repo`."""
    made = []

    def make(columns=80):
        made.append(Terminal(repo, columns))
        return made[-1]

    yield make
    for each in made:
        each.close()


# -- U9: long steps, interrupts, mistakes in TOML --------------------------------------------------


def make_wait(repo, *lines):
    """Have the boot run a command that prints lines and waits until the file `hold` in the home is gone."""
    hold = repo.home / "hold"
    hold.touch()
    echo = "".join("echo '%s'\n" % line for line in lines)
    repo.program("slow", "#!/bin/sh\n%swhile test -e '%s'; do sleep 0.05; done\n" % (echo, hold))
    repo.config('post_boot = [["slow"]]')
    repo.link("uv", uv_program())
    return hold


@pytest.mark.parametrize("columns, live", [
    (80, "^prime: post_boot: slow: compiling the second of 2 files 0 s$"),
    (40, "^compiling the second of 2 files 0 s$"),
])
def test_U9_live_line_shows_what_a_command_said_last(repo, terminal, columns, live):
    hold = make_wait(repo, "compiling the first", "\033[1mcompiling the second of 2 files\033[0m", "  ")
    window = terminal(columns).prime().until(live).until(live.replace("0 s", "1 s"))
    hold.unlink()
    window.finish()
    assert not window.shows("compiling")


def test_U9_pipe_gets_the_step_alone(repo):
    make_wait(repo, "compiling").unlink()
    said = repo.prime().stderr
    assert "prime: post_boot: slow\n" in said and "compiling" not in said


@pytest.fixture
def slow_index(index_client, tmp_path):
    """A client of an index that gives away half of a wheel of 3 MB, and then waits while the file `hold` is there."""
    wheels, hold = tmp_path / "slow wheels", tmp_path / "hold"
    wheels.mkdir()
    make_wheel(wheels / "slowpoke-1.2-py3-none-any.whl", "slowpoke", "1.2")
    with zipfile.ZipFile(str(wheels / "slowpoke-1.2-py3-none-any.whl"), "a") as archive:
        archive.writestr("slowpoke.bin", os.urandom(3 << 20))

    def slowly(index, request, _, body):
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[:len(body) // 2])
            while hold.exists():
                time.sleep(0.05)
            request.wfile.write(body[len(body) // 2:])

    index = Index(wheels)
    index.spoiled["slowpoke"] = slowly
    index_client.config('dependencies = ["slowpoke"]\nindex_url = "%s"' % index.url())
    index_client.link("uv", uv_program())
    hold.touch()
    yield hold
    if hold.exists():
        hold.unlink()
    index.close()


@pytest.mark.parametrize("columns, driver, live", [
    (80, "venv_uv", r"^prime: installing with uv: Downloading slowpoke \(3\.0MiB\) \d+ s$"),
    (40, "venv_uv", r"^Downloading slowpoke \(3\.0MiB\) \d+ s$"),
    (80, "venv_pip", r"^prime: installing with pip: Downloading slowpoke 1\.2 \(3\.1 MB\) \d+ s$"),
    (40, "venv_pip", r"^Downloading slowpoke 1\.2 \(3\.1 MB\) \d+ s$"),
])
def test_U9_live_line_shows_the_package_that_is_downloaded_and_its_size(slow_index, terminal, columns, driver, live):
    window = terminal(columns).prime(env={"PROTOPRIMER_VENV_DRIVER": driver}).until(live)
    slow_index.unlink()
    window.finish()
    assert not window.shows("Downloading")


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("argv, live", [
    (["python", "3.9"], r"^prime: asking ~/bin/python3\.9 1 s$"),
    (["python", "--all"], r"^prime: asking \d+ pythons 1 s$"),
    (["-e", "by-selector", "python"], "^prime: asking the python selector"),
])
def test_U9_live_line_names_the_python_that_is_asked_for_long(repo, terminal, columns, argv, live):
    repo.program("python3.9", "#!/bin/sh\nexec sleep 3\n")
    repo.write("slow.py", "import time\ntime.sleep(1.5)\n")
    repo.config('[env.by-selector]\npython_selector_file_rel_path = "slow.py"\n')
    repo.env["PROTOPRIMER_CACHE_DIR"] = str(repo.home / "cache")
    terminal(columns).prime(*argv).until(live).process.kill()


@pytest.mark.parametrize("columns", WIDTHS)
def test_U9_interrupt_key_says_that_nothing_is_half_done_and_how_to_go_on(repo, terminal, columns):
    hold = make_wait(repo)
    window = terminal(columns).prime("run", "true").until("^prime: post_boot: slow 0 s$")
    window.type("\x03")
    window.finish(status=130)
    text = "".join(row.ljust(columns) for row in window.rows)
    assert "prime: error: interrupted by signal 2 (SIGINT); nothing is half-done" in text
    assert window.rows[-1].endswith("run true") and "hint: to go on: " in window.rows[-1]
    hold.unlink()
    assert repo.generations == [] and repo.prime("run", "true").status == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_U9_signal_says_so_in_a_pipe_and_names_the_command(repo, name):
    make_wait(repo)
    boot = repo.popen("-e", "default")
    assert wait_for(lambda: repo.logs and "post_boot: slow" in repo.logs[-1].read_text())
    boot.send_signal(getattr(signal, name))
    said = boot.communicate(timeout=60)[1]
    error, hint = said.splitlines()[-2:]
    assert re.match(r"prime: error: interrupted by signal \d+ \(%s\); nothing is half-done$" % name, error)
    assert re.match("  hint: to go on: .*prime'? -e default$", hint)


MISTAKES = {  # a config, and the lines below the error
    "a missing quote": ('venv_driver = "auto\n', ['venv_driver = "auto', "                   ^"]),
    "a second =": ("[env_vars]\n\tA == 1\n", [r"\tA == 1", "     ^"]),
    "wide characters": ("env_vars = {A = '日本'} x\n", ["env_vars = {A = '日本'} x", "                        ^"]),
}


@pytest.mark.parametrize("text, lines", MISTAKES.values(), ids=list(MISTAKES))
def test_U9_mistake_in_a_config_is_shown_with_its_line_and_a_caret(repo, terminal, text, lines):
    repo.config(text)
    assert repo.prime(status=2).stderr.splitlines()[1:3] == ["  " + line for line in lines]
    for columns in WIDTHS:
        rows = terminal(columns).prime().finish(status=2).rows
        assert [row.replace("日 本 ", "日本") for row in rows[-2:]] == ["  " + line for line in lines]


@pytest.mark.parametrize("columns", WIDTHS)
def test_U9_caret_stands_below_the_mistake_in_a_line_that_is_too_long(repo, terminal, columns):
    repo.config("dependencies = [%s nonsense, %s]" % ('"six", ' * 100, '"idna", ' * 1000))
    line, caret = terminal(columns).prime().finish(status=2).rows[-2:]
    assert line[len(caret) - 1:].startswith("nonsense") and line.startswith("  ...")


@pytest.mark.parametrize("name", ["pyproject.toml", "pylock.toml", "some script"])
def test_U9_mistake_in_any_toml_is_shown(repo, name):
    repo.config()
    repo.write(name, "lock-version = = 1\n")
    argv = []
    if name == "some script":
        repo.write("script.py", "# /// script\n# dependencies = = 1\n# ///\n")
        argv = ["run", "script.py"]
    lines = repo.prime(*argv, status=2).stderr.splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("prime: error"))
    assert re.search(r"= = 1$", lines[number + 1]) and lines[number + 2].strip() == "^"


# -- U6: info --------------------------------------------------------------------------------------


def check_screens(repo, terminal, *argv, status=0):
    """Assert that no line is broken within a word, or drops one. Returns {columns: lines}; at 0 those of a pipe.

    A line may be wider than the screen only if one word of it is, or if it is TOML, which can be pasted.
    """
    said = repo.prime(*argv, status=status).stdout.replace("'%s'" % (repo.path / "prime"), "python3 prime")
    screens = {0: said.splitlines()}
    for columns in WIDTHS:
        window = terminal(columns).prime(*argv, stderr=subprocess.DEVNULL).finish(status=status)
        lines = screens[columns] = window.raw.decode().replace("\r\n", "\n").splitlines()
        assert " ".join(lines).split() == " ".join(screens[0]).split()
        wide = [line for line in lines if len(line) > columns and not re.match("  [a-z_]+ = ", line)]
        assert all(len(line) - len(line.split()[-1]) <= 16 for line in wide), wide
    return screens


INFO = r"""state        OUT OF DATE: requirements\.txt changed -> .*prime'?
environment  default; others: docs, lint
python       3\.\d+\.\d+  \S+
             asked for: >=3\.6 \(proto_prime\.toml: required_python_version\)
packages     1, from requirements\.txt, proto_prime\.toml: dependencies
link         \.venv -> \.prime/envs/default-[0-9a-f]+
root         .*/a repo
driver       venv_uv
uv           .*/uv
index        .*
config       proto_prime\.toml
  required_python_version = ">=3\.6"
  venv_driver = "venv_uv"
  dependencies = \["six"\]
  env_vars = {A = "b c", "x\.y" = "1"}
"""


@pytest.fixture
def stale(repo):
    """A repo with three environments, whose requirements.txt has changed since it was built."""
    repo.link("uv", uv_program())
    repo.write("requirements.txt", "six\n")
    repo.config('required_python_version = ">=3.6"\ndependencies = ["six"]\nvenv_driver = "venv_uv"\n'
                'env_vars = { A = "b c", "x.y" = "1" }\n'
                '[env.docs]\ndependencies = []\n[env.lint]\nvenv_driver = "auto"\n')
    repo.prime()
    repo.write("requirements.txt", "six\n# and no more\n")
    return repo


def test_U6_info_is_read_from_the_state_down(stale, terminal):
    screens = check_screens(stale, terminal, "info", status=1)
    assert re.match(INFO + "$", "".join(row + "\n" for row in screens[0])), "\n".join(screens[0])
    assert screens[40][:3] == ["state        OUT OF DATE:", "             requirements.txt changed ->",
                               "             python3 prime"]
    for columns in WIDTHS:  # what follows a label stands in its column
        assert all(row[:13].strip() == "" or re.match(r"\w+ +$|  \w", row[:13]) for row in screens[columns]
                   if row.startswith(" " * 9) or re.match(r"\w+ {2,}", row))
    stale.prime()
    assert stale.prime("info").stdout.startswith("state        up to date\n")


def test_U6_fields_are_toml_with_the_place_that_they_come_from(stale):
    text = stale.prime("-e", "docs", "info", status=1, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}).stdout
    assert re.match(r"state +NOT BUILT -> .*prime'? -e docs\n"
                    r"environment +docs \(chosen by -e\); others: default, lint\n", text)
    lines = text[text.index("config "):].splitlines()[1:]
    assert [line for line in lines if "#" in line] == ["  # PROTOPRIMER_VENV_DRIVER", "  # proto_prime.toml: env.docs"]
    assert proto_prime.parse_toml("\n".join(lines)) == {
        "required_python_version": ">=3.6", "venv_driver": "venv_pip", "dependencies": [],
        "env_vars": {"A": "b c", "x.y": "1"}}


def test_U6_json_says_what_the_config_says_and_shows_nothing_of_the_inside(repo):
    repo.project(["six"], '[dependency-groups]\ndev = ["idna"]\n[project.optional-dependencies]\nmore = ["attrs"]\n'
                          '[tool.proto-prime]\nprojects = [{path = ".", extras = ["more"]}]\n')
    told = repo.info()
    assert told["config"]["projects"]["value"] == [
        {"path": str(repo.path), "extras": ["more"], "groups": ["dev"], "editable": True}]
    assert told["environments"] == ["default"]
    assert told["packages_from"] == ["pyproject.toml (extra more; group dev)"]
    text = repo.prime("info", status=1).stdout
    assert '  projects = [{path = ".", extras = ["more"]}]\n' in text and "{'" not in text


def test_U6_no_python_that_fits_is_looked_for_by_the_command_that_it_names(repo):
    repo.config('required_python_version = "3.99"\nvenv_driver = "venv_pip"')
    lines = repo.prime("info", status=1).stdout.splitlines()
    assert re.match(r'state +NOT BUILT: no python satisfies .*"3\.99".* -> .*prime\'? python --all$', lines[0])
    assert re.match("python +none fits$", lines[2]) and lines[3].endswith("required_python_version)")


# -- U7: python --all ------------------------------------------------------------------------------


@pytest.fixture
def many(repo):
    """A repo with pythons: two that fit, one of them far down, two that are too old, and two that are broken."""
    repo.config('required_python_version = ">=3.9"')
    deep = repo.home / "a-directory-with-a-rather-long-name" / "and-another-one-below-it" / "bin"
    deep.mkdir(parents=True)
    (deep / "python3.12").symlink_to(python("3.12"))
    for version in ("3.6", "3.8", "3.9"):
        repo.link("python" + version, python(version))
    (repo.bin / "python3.13").symlink_to("/nowhere/python3.13")
    repo.program("python3.14", "#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    repo.env["PATH"] = os.pathsep.join([str(repo.bin), str(deep)])
    return repo


def test_U7_table_has_the_request_the_good_ones_and_a_line_for_the_others(many, terminal):
    screens = check_screens(many, terminal, "python", "--all")
    assert screens[0][:2] == ["asked for: >=3.9 (proto_prime.toml: required_python_version)", ""]
    good = screens[0][2:screens[0].index("", 2)]
    assert re.match(r"\*  3\.\d+\.\d+ +wild +/", good[0]) and not [row for row in good[1:] if row.startswith("*")]
    assert [row for row in good if row.endswith("/python3.12")] and [row for row in good if row.endswith("/python3.9")]
    assert len({row.index("/", 16) if "~" not in row else row.index("~") for row in good}) == 1, "not in one column"
    rest = screens[0][screens[0].index("", 2) + 1:]
    old = [proto_prime.what_version(str(python(version))) for version in ("3.6", "3.8")]
    assert rest == ["too old (2): %s" % ", ".join(reversed(old)), "broken (2; -v says why): python3.14, python3.13"]
    for columns in WIDTHS:
        row = next(number for number, row in enumerate(screens[columns]) if "a-directory" in row)
        assert screens[columns][row].startswith("      ~/a-dir")
        assert re.match("   3.12.* PATH$", screens[columns][row - 1])


def test_U7_causes_are_told_with_v(many):
    lines = many.prime("python", "--all", "-v").stdout.splitlines()
    broken = lines[lines.index("broken (2):") + 1:]
    assert [line.split()[-1] for line in broken[::2]] == ["~/bin/python3.14", "~/bin/python3.13"]
    assert broken[1] == "      failed: exit status 3: no such thing" and "dangling link" in broken[3]
    assert [line.split()[1:] for line in lines if line.endswith("~/bin/python3.6")] == [["PATH", "~/bin/python3.6"]]


def test_U7_nothing_that_fits_is_a_table_and_an_error_that_does_not_repeat_it(many):
    result = many.prime("python", "3.99", "--all", status=1)
    assert result.stdout.startswith("asked for: 3.99 (command line)\n\ntoo old (")
    assert len(result.stderr.splitlines()) == 2


# -- U8: no python fits ----------------------------------------------------------------------------


def error_of(repo, *argv, **options):
    """The lines of the error that a command ends with."""
    said = repo.prime(*argv, status=1, **options).stderr
    return said[said.index("prime: error: "):].splitlines()


@pytest.mark.parametrize("driver", ["venv_pip", "venv_uv"])
def test_U8_three_nearest_and_how_to_see_the_others(many, driver):
    many.link("uv", uv_program())
    many.config('required_python_version = "3.99"\nvenv_driver = "%s"' % driver)
    lines = error_of(many)
    assert lines[0] == 'prime: error: no python satisfies required_python_version "3.99" ' \
        "(proto_prime.toml: required_python_version)"
    newest = proto_prime.what_version(str(python("3.12")))
    assert lines[1].split()[0] == newest and lines[1].endswith("  too old")
    assert [line.rsplit("  ", 1)[1] for line in lines[1:4]] == ["too old"] * 3
    assert re.match(r"  and [34] more: .*prime'? python --all$", lines[4])
    hints = {"venv_pip": newest + " is too old: uv python install 3.99; or PROTOPRIMER_VENV_DRIVER=venv_uv lets uv",
             "venv_uv": "uv knows no such python: change the request in proto_prime.toml: required"}
    assert lines[-1].startswith("  hint: " + hints[driver])


CAUSES = {  # options, variables, a version that is not here, and the hint
    "offline": (["--offline"], {}, "3.99", "no network is allowed: without --offline and PROTOPRIMER_OFFLINE uv may"),
    "offline by the variable": ([], {"PROTOPRIMER_OFFLINE": "1"}, "3.99", "no network is allowed: without --offline"),
    "never": ([], {}, "3.10.0", "uv may not download pythons: UV_PYTHON_DOWNLOADS=automatic lets it"),
    "no such version": ([], {"UV_PYTHON_DOWNLOADS": "automatic"}, "3.99",
                        "uv knows no such python: change the request in .python-version"),
}


@pytest.mark.parametrize("argv, env, version, hint", CAUSES.values(), ids=list(CAUSES))
def test_U8_hint_has_the_cause(repo, argv, env, version, hint):
    repo.link("uv", uv_program())
    repo.config('venv_driver = "venv_uv"')
    repo.write(".python-version", version + "\n")
    lines = error_of(repo, *argv, env=env)
    assert lines[0] == 'prime: error: no python satisfies "%s" (.python-version)' % version
    assert lines[-1].startswith("  hint: " + hint)


def test_U8_broken_one_of_the_name_that_is_wanted_is_the_nearest(many):
    lines = error_of(many, "python", "3.14")
    assert re.match(r"  -  +~/bin/python3\.14 +failed: exit status 3: no such thing$", lines[1])
    assert re.match(r"  and 4 more: .*prime'? python 3\.14 --all$", lines[4])


@pytest.mark.parametrize("files", [
    {".python-version": "3.7", "pyproject.toml": ">=3.8"},
    {"proto_prime.toml": ">=3.12", "pyproject.toml": "<3.10"},
    {"proto_prime.toml": ">=3.8,<3.9", "pyproject.toml": "!=3.8.*"},
])
@pytest.mark.parametrize("driver", ["venv_pip", "venv_uv"])
def test_U8_contradiction_names_both_files_and_their_values(repo, files, driver):
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    heads = {".python-version": "%s\n", "proto_prime.toml": 'required_python_version = "%s"\n',
             "pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = "%s"\n'}
    for name, value in files.items():
        repo.write(name, heads[name] % value)
    lines = error_of(repo)
    assert len(lines) == 2
    for name, value in files.items():
        assert '"%s" (%s' % (value, name) in lines[0]
    assert lines[1] == "  hint: no version is in all of them: change %s or pyproject.toml" % list(files)[0]


def test_U8_python_that_another_file_excludes_names_that_file(many):
    many.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.13"\n')
    many.config('required_python_version = ">=3.12"\nvenv_driver = "venv_pip"')
    lines = error_of(many)
    assert 'required_python_version ">=3.12" and requires-python ">=3.13" of pyproject.toml' in lines[0]
    assert re.match(r'  hint: 3\.12\.\d+ is too old for requires-python ">=3\.13" of pyproject\.toml: ', lines[-1])


@pytest.mark.parametrize("columns", WIDTHS)
def test_U8_reason_stands_below_where_the_row_has_no_room(many, terminal, columns):
    rows = terminal(columns).prime("python", "3.14").finish(status=1).rows
    number = next(number for number, row in enumerate(rows) if row.endswith("~/bin/python3.14"))
    assert rows[number].split()[0] == "-"
    below = " ".join(row.strip() for row in rows[number + 1:number + 3])
    assert below.startswith("failed: exit status 3: no such thing")
