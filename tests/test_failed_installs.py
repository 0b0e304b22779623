"""An install or a build that failed: the error shows why, its log is whole, and a dead network is said first."""

import json
import re
import shutil
import socket
import time

import pytest
from conftest import python
from helpers import fetch_itself

import proto_prime

SETUP = "from setuptools import setup, Extension\nsetup(name=%r, version='1', %s)\n"


@pytest.fixture
def dead():
    """A port of this machine at which nobody listens, as HOST:PORT."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without `listen` it refuses all
        yield "127.0.0.1:%d" % taken.getsockname()[1]


@pytest.fixture
def online(repo, driver):
    """A `Repo` for each driver that may ask an index, and is told of none."""
    repo.may_ask(UV_CACHE_DIR=str(repo.home / "uv cache"), PIP_RETRIES="0", UV_HTTP_RETRIES="0")
    return repo


def packages(repo, **sources):
    """Write packages with a setup.py. Each source is what its setup.py holds, "" for a package that builds."""
    for name, source in sources.items():
        repo.write("%s/%s.py" % (name, name), "")
        repo.write(name + "/setup.py", source or SETUP % (name, "py_modules=[%r]" % name))


def failure(repo, **options):
    """Boot, which must fail. Returns (the first line of the error, the lines below it, the text of the log)."""
    error = repo.prime(status=1, **options).stderr.split("prime: error: ")[1]
    first, *lines = error.rstrip("\n").split("\n")
    hint = lines.pop()
    assert hint.startswith("  hint: ")
    log = re.search("the whole log: (.*)", hint).group(1)
    with open(log, encoding="utf-8") as file:
        text = file.read()
    assert 0 < len(lines) <= 15
    assert "Exception information" not in error and "Found link" not in text
    return first, [line[2:] for line in lines], text


def places(text, *words):
    """Where each of these stands in a text; all must."""
    found = [text.find(word) for word in words]
    assert -1 not in found, (words, text)
    return found


def check_order(text, *words):
    found = places(text, *words)
    assert found == sorted(found), (words, text)


MISSING = "fatal error: no_such_header.h"


def write_extension(repo):
    extension = SETUP % ("cext", "ext_modules=[Extension('cext', ['cext.c'])]")
    packages(repo, ahead="", cext=extension)
    repo.write("cext/cext.c", "#include <no_such_header.h>\n")


def check_extension(repo):
    _, lines, log = failure(repo)
    shown = "\n".join(lines)
    assert re.search("(Fail(ed|ing)|install for|wheel for).* .?cext", "\n".join(lines[:3]))
    assert MISSING in "\n".join(lines[:9])
    assert "ahead" not in shown
    check_order(log, "building 'cext' extension", MISSING, "compilation terminated")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_R13_header_that_a_compiler_misses_is_shown(repo, driver):
    write_extension(repo)
    repo.config('projects = [%s]' % ", ".join(
        '{path = "%s", editable = false}' % name for name in ("ahead", "cext")))
    check_extension(repo)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
@pytest.mark.parametrize("version", ["3.6", "3.7", "3.13"])  # with pip 18.1, 22.0.4 and 24.2
def test_R13_header_that_a_compiler_misses_is_shown_with_each_pip(repo, version):
    write_extension(repo)
    repo.link("python" + version, python(version))
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    repo.write("requirements.txt", "./ahead\n./cext\n")
    repo.config('required_python_version = "%s"' % version)
    check_extension(repo)


def test_R13_words_of_the_setup_py_that_failed_are_shown_and_no_others(repo, driver):
    packages(repo, ahead="", broken="import sys\nprint('looking for frobnicate')\nsys.exit('no frobnicate')\n", last="")
    repo.config('projects = ["ahead", "broken", "last"]')
    _, lines, log = failure(repo)
    shown = "\n".join(lines)
    check_order(shown, "looking for frobnicate", "no frobnicate")
    check_order(log, "looking for frobnicate", "no frobnicate")
    assert "last" not in shown and "egg_info" not in shown.replace("setup.py egg_info", "")
    assert "broken" in shown or driver == "venv_uv"  # uv names no directory


def test_R13_conflict_is_explained_first(repo, driver):
    packages(repo, one=SETUP % ("one", "py_modules=['one'], install_requires=['six>=1.16']"),
             two=SETUP % ("two", "py_modules=['two'], install_requires=['six<1']"))
    repo.config('projects = ["one", "two"]')
    _, lines, log = failure(repo)
    if driver == "venv_uv":
        assert "No solution found" in lines[0] and "ecause" in lines[1]
        places(lines[1] + lines[2], "six<1", "we can conclude")
    else:
        check_order("\n".join(lines[:5]), "ERROR: Cannot install ", "The conflict is caused by:",
                    "one 1 depends on six>=1.16", "two 1 depends on six<1")
    assert "\n".join(lines[:1]) in log


def test_R13_version_that_is_not_there_is_said_first(repo, driver):
    repo.config('dependencies = ["idna", "six>99"]')
    _, lines, _ = failure(repo)
    assert re.search("Could not find a version .*six>99|No solution found", lines[0])
    assert re.search("No matching distribution found for six>99|ecause only six.* you require six>99", lines[1])


def test_R13_network_that_is_dead_is_said_first_with_the_index(online, dead):
    online.config('dependencies = ["six"]\nindex_url = "http://me:secret@%s/simple"' % dead)
    first, lines, log = failure(online)
    assert re.search(r"failed: no network connection to http://\*\*\*@%s/simple/six/$|"
                     r"failed: no network connection to http://%s/simple/six/$" % (dead, dead), first), first
    assert "Connection refused" in "\n".join(lines)
    assert "secret" not in first + "\n".join(lines) + log


def test_R13_hint_names_where_the_index_that_cannot_be_reached_was_set(online, dead):
    online.env["PIP_INDEX_URL"] = "http://me:secret@%s/simple" % dead
    online.config('dependencies = ["six"]')
    assert "NO_PROXY, and at PIP_INDEX_URL; " in online.prime(status=1).stderr
    online.env["PIP_INDEX_URL"] = "http://index.invalid/simple"
    online.config('dependencies = ["six"]\nindex_url = "http://%s/simple"' % dead)
    assert "NO_PROXY, and at index_url; " in online.prime(status=1).stderr


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_R13_proxy_that_is_dead_is_said_first(online, dead, variable):
    online.env[variable] = "http://me:secret@" + dead
    online.config('dependencies = ["six"]\nindex_url = "https://index.invalid/simple"')
    first, lines, log = failure(online)
    assert first.endswith("failed: no network connection to https://index.invalid/simple/six/ "
                          "by the proxy http://***@" + dead)
    assert "secret" not in first + "\n".join(lines) + log


@pytest.mark.parametrize("driver", ["venv_pip"], indirect=True)
def test_R13_network_that_failed_for_a_while_is_not_to_blame_for_a_build(online, dead, wheelhouse):
    online.write("broken/pyproject.toml", '[build-system]\nrequires = ["six"]\nbuild-backend = "own"\n'
                 'backend-path = ["."]\n')
    online.write("broken/own.py", "import sys\nsys.exit('no frobnicate')\n")
    config = 'projects = ["broken"]\nindex_url = "http://%s/simple"\n' % dead
    online.config(config)
    assert failure(online)[0].endswith(": no network connection to http://%s/simple/six/" % dead)
    online.config(config + 'find_links = ["%s"]' % wheelhouse.as_uri())
    first, lines, log = failure(online)
    assert "Could not fetch URL http://%s/simple/six/" % dead in log
    assert first == "installing with pip failed: exit status 1" and "no frobnicate" in "\n".join(lines)


def test_R13_uv_that_cannot_be_fetched_names_index_and_proxy(online, dead, driver):
    online.env.update(PROTOPRIMER_VENV_DRIVER="venv_uv", PROTOPRIMER_CACHE_DIR=str(online.home / "cache"),
                      HTTPS_PROXY="http://me:secret@" + dead, PIP_INDEX_URL="https://index.invalid/simple")
    if driver == "venv_uv":
        (online.bin / "uv").unlink()
    online.config("")
    first, _, _ = failure(online)
    place = "https://index.invalid/simple/uv/ by the proxy http://***@" + dead
    assert first == "fetching uv failed: no network connection to " + place
    online.env["PROTOPRIMER_VENV_DRIVER"] = "auto"
    assert "uv cannot be had: fetching uv failed: no network connection to " + place in online.prime().stderr
    for fetch in fetch_itself(online, versions=["3.13"]):
        assert "error: cannot fetch %s: " % place in fetch.stderr and "secret" not in fetch.stderr


def test_R13_command_that_fails_after_the_install_shows_both_outputs_in_order(plain):
    code = "echo first; echo second >&2; echo error: third; exit 3"
    plain.config("post_boot = [%s]" % json.dumps(["sh", "-c", code]))
    first, lines, log = failure(plain)
    assert first.endswith("failed: exit status 3")
    assert lines == ["first", "second", "error: third"]
    assert "\nfirst\nsecond\nerror: third\n" in log


OTHERS = {  # what other versions print, which do not stand on every machine
    "pip 9": ("""\
Processing ./broken
    Running command python setup.py egg_info
    no frobnicate
    Running command python setup.py egg_info
    still no frobnicate
Cleaning up...
  Removing source in /tmp/pip-x
Command "python setup.py egg_info" failed with error code 1 in /tmp/pip-x/
Exception information:
Traceback (most recent call last):
pip.exceptions.InstallationError: Command "python setup.py egg_info" failed with error code 1 in /tmp/pip-x/
""", ["Processing ./broken", "still no frobnicate"], ""),
    "pip 23, which did not get a file": ("""\
Collecting six
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': /packages/six.whl
ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='files.test', port=443): Max retries
""", ["ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='files.test', port=443): "
      "Max retries"], "files.test"),
    "pip 26": ("""\
error: proxy-connection-failed

× Failed to connect to proxy 127.0.0.1 while fetching https://files.test/six.whl
╰─> Unable to connect to proxy
""", ["× Failed to connect to proxy 127.0.0.1 while fetching https://files.test/six.whl",
      "╰─> Unable to connect to proxy"], "https://files.test/six.whl"),
    "uv 0.13, of a field that it does not know": ("""\
warning: Failed to parse `pyproject.toml` during settings discovery:
error: TOML parse error at line 3, column 6
  |
3 | uv = {banana = "allow"}
  |      ^^^^^^^^^^^^^^^^^^
unknown field `banana`
""", ["error: TOML parse error at line 3, column 6", "  |", "unknown field `banana`"], ""),
    "uv 0.4": ("""\
Using Python 3.11.7
  × No solution found when resolving dependencies:
  ╰─▶ Because only six<=1.17 is available and you require six>99, we can
      conclude that your requirements are unsatisfiable.
""", ["× No solution found when resolving dependencies:",
      "╰─▶ Because only six<=1.17 is available and you require six>99, we can",
      "    conclude that your requirements are unsatisfiable."], ""),
}


@pytest.mark.parametrize("what", sorted(OTHERS))
def test_R13_what_other_versions_print_is_understood(what):
    text, lines, place = OTHERS[what]
    output = proto_prime.Child(1, text.encode()).tail(1000)
    assert proto_prime.causes(output) == lines
    assert proto_prime.unreached(output) == place


def test_R13_long_output_is_searched_in_little_time():
    line = "  gcc -Wall -I/usr/include/some/where -c https://me@example.test/%d.c -o build/some/where.o\n"
    data = "".join(line % number for number in range(50000)).encode()
    start = time.process_time()
    output = proto_prime.Child(1, data).tail(10 ** 6)
    assert len(proto_prime.causes(output)) == 12 and not proto_prime.unreached(output)
    assert time.process_time() - start < 5


# -- a clone without its submodules (M26) ------------------------------------------------------------

EMPTY = {
    "project": {"proto_prime.toml": 'projects = ["libs/mylib"]\n'},
    "requirements": {"proto_prime.toml": 'requirements_files = ["libs/mylib/requirements.txt"]\n'},
    "editable": {"requirements.txt": "-e ./libs/mylib\n", "proto_prime.toml": ""},
    "source": {"pyproject.toml": '[project]\nname = "app"\nversion = "1"\ndependencies = ["mylib"]\n'
                                 '[tool.uv.sources]\nmylib = {path = "libs/mylib"}\n'},
}


@pytest.mark.parametrize("files", EMPTY.values(), ids=list(EMPTY))
def test_M26_submodule_that_is_not_checked_out_is_named(repo, driver, files):
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    for name, text in files.items():
        repo.write(name, text)
    names = ["other", "e", "libs/mylib"]  # one that the error does not name, and one that is in most of its words
    repo.write(".gitmodules", "".join('[submodule "%s"]\n\tpath = %s\n' % (name, name) for name in names))
    hint = "hint: libs/mylib is a submodule that is not checked out: git submodule update --init --recursive"
    for words in ([], ["run", "true"]):
        assert hint in repo.prime(*words, status=None).stderr
    repo.write("libs/mylib/README", "checked out, and yet no project")
    done = repo.prime(status=None)
    assert done.status and "is a submodule" not in done.stderr
