"""H10: a file that has no end, that never answers, or that was made to be slow to read ends nothing but its own use."""

import hashlib
import os
import random
import re
import socket
import subprocess
import sys

import pytest
from conftest import PYTHONS, TOP, python, uv_program
from serving import Session

sys.path.insert(0, str(TOP))
import proto_prime  # noqa: E402

COUNT = 200000
SECONDS = 20  # where the old ones took minutes, or for ever

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has neither fifos nor devices in a directory")


def put_fifo(path):
    os.mkfifo(str(path))


def put_zero(path):
    path.symlink_to("/dev/zero")


def put_directory(path):
    path.mkdir()


def put_socket(path):
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(str(path.parent))  # its path may be short only
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


def put_huge(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def put_kernel_messages(path):
    path.symlink_to("/proc/kmsg")  # a regular file by its mode, which waits for more


KINDS = {"fifo": put_fifo, "device": put_zero, "directory": put_directory, "socket": put_socket, "huge": put_huge,
         "kernel": put_kernel_messages}
FILES = ["proto_prime.toml", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".python-version",
         "uv.lock", "pylock.toml", "uv.toml", ".prime/use", ".prime/stamp/default", ".prime/held/default", ".venv",
         ".prime/envs/default-0123456789ab/proto-prime.json", "vendor/proto-prime-vendor.json"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_regular_file_is_not_read(repo, kind, name):
    if name not in ("proto_prime.toml", "pyproject.toml"):
        repo.config()
    path = repo.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](path)
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    limit = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
    code = limit + "os.execv(sys.executable, [sys.executable] + sys.argv[1:])"
    argv = [sys.executable, "-c", code, str(repo.path / "prime"), "info"]
    done = subprocess.run(argv, env=repo.env, cwd=str(repo.path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=SECONDS)
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr and "fault of prime" not in done.stderr, done.stderr


@pytest.mark.parametrize("command", [["boot"], ["run", "python", "-c", ""], ["python"], ["python", "--all"], ["clean"],
                                     ["lock"], ["run", "./a.py"], ["run", "./prog"], ["vendor"]], ids=str)
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_no_command_waits_for_what_is_no_regular_file(repo, kind, command):
    repo.link("uv", uv_program())
    repo.config()
    for name in ("setup.cfg", "pyvenv.cfg", ".python-version", "a.py", "prog", "uv.toml", "prime.cfg"):
        KINDS[kind](repo.path / name)
    result = repo.prime(*command, status=None, timeout=120)
    assert "Traceback" not in result.stderr and "fault of prime" not in result.stderr


@pytest.mark.parametrize("name", ["pyproject.toml", ".python-version", "uv.lock", "made"])
def test_server_answers_beside_a_fifo(plain, name):
    if name == "made":
        (plain.path / ".prime" / "made" / "x").mkdir(parents=True)
        name = ".prime/made/x/name"
    put_fifo(plain.path / name)
    session = Session(plain)
    try:
        answer = session.wait_for(session.begin("environment/list"), timeout=SECONDS)
        message = answer.get("error", {}).get("message", "")
        assert "result" in answer or name in message
    finally:
        session.close()


def test_config_that_cannot_be_read_says_so(repo):
    put_fifo(repo.path / "proto_prime.toml")
    assert "cannot read %s" % (repo.path / "proto_prime.toml") in repo.prime(status=2, timeout=SECONDS).stderr
    assert "it is no regular file" in repo.prime("info", status=2, timeout=SECONDS).stderr


def test_config_that_is_too_large_says_so(repo):
    (repo.path / "pyproject.toml").write_bytes(b"#" * (1 << 24) + b"\n")
    result = repo.prime("info", status=2, timeout=SECONDS)
    assert "pyproject.toml: it has more than 16 MiB" in result.stderr


def test_file_of_any_size_is_hashed_in_little_memory(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 27, 1 << 27)); " \
        "sys.path.insert(0, %r); import proto_prime; print(proto_prime.hash_file(%r))" % (str(TOP), str(path))
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, universal_newlines=True)
    assert found.stdout.strip() == hashlib.sha256(bytes(1 << 28)).hexdigest()


# -- patterns ---------------------------------------------------------------------------------------

LONG = {"blanks": " " * COUNT, "tabs": "\t" * COUNT, "blank lines": "\n" * COUNT, "brackets": "[" * COUNT,
        "closing brackets": "]" * COUNT, "quotes": '"' * COUNT, "digits": "1" * COUNT, "hashes": "#" * COUNT,
        "dashes": "-" * COUNT, "letters": "a" * COUNT, "joined lines": "\\\n" * COUNT, "comments": "#\n" * COUNT,
        "scripts": "# /// script\n" * (COUNT // 10), "names": "python" * (COUNT // 6), "braces": "{" * COUNT,
        "dots": "1." * COUNT, "apostrophes": "'" * COUNT, "assignments": "x=" * COUNT, "exponents": "1e" * COUNT}
PLACES = {
    "requirements": ("requirements.txt", "%s"),
    "a requirement": ("requirements.txt", "-e '%s["),
    "a named requirement": ("requirements.txt", "a @%s["),
    "options": ("requirements.txt", "a%sb -c"),
    "a config": ("proto_prime.toml", "%s"),
    "an unknown field": ("proto_prime.toml", "# %s\nunknown = 1\n"),
    "a header": ("proto_prime.toml", "[%s]\nunknown = 1\n"),
    "a value": ("proto_prime.toml", "env_vars = %s\n"),
    "a text": ("proto_prime.toml", "required_python_version = '''%s!'''\n"),
    "an array": ("proto_prime.toml", "dependencies = [%s"),
    "a project": ("pyproject.toml", "[project]\nname = 'a'\nversion = '1'\ndependencies = ['''%s''']\n"
                  "[tool.uv]\npackage = false\n"),
    "a version": (".python-version", "%s!"),
    "versions": (".python-version", "%s\n!"),
    "settings": ("setup.cfg", "[metadata]\nversion = file: %s"),
    "settings without a value": ("setup.cfg", "%s="),
    "a lock": ("pylock.toml", "%s"),
    "a lock's head": ("pylock.toml", "requires-python%s"),
}


@pytest.mark.parametrize("where", PLACES)
def test_long_text_is_read_in_little_time(repo, where):
    name, text = PLACES[where]
    if name not in ("proto_prime.toml", "pyproject.toml"):
        repo.write("pyproject.toml", '[project]\nname = "a"\nversion = "1"\n' if name == "setup.cfg" else "")
    for what, filling in LONG.items():
        repo.write(name, text % filling)
        try:
            result = repo.prime("info", status=None, timeout=SECONDS, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
        except subprocess.TimeoutExpired:
            pytest.fail("%s in %s take more than %d s" % (what, name, SECONDS))
        assert "Traceback" not in result.stderr and "fault of prime" not in result.stderr, (what, result.stderr[-999:])


@pytest.mark.parametrize("text", ["# /// script\n" * COUNT, "# /// script\n" + "#\n" * COUNT,
                                  ("# /// script\n" + "# a\n" * 9) * (COUNT // 10), "# /// script" + " " * COUNT + "x"],
                         ids=["begins", "no end", "begins and lines", "blanks"])
def test_long_metadata_of_a_script_is_read_in_little_time(plain, text):
    plain.write("a.py", text)
    result = plain.prime("run", "a.py", status=None, timeout=SECONDS * 2)
    assert "fault of prime" not in result.stderr and len(result.stderr) < 5000


@pytest.mark.parametrize("lines, blocks, is_open", [
    (["# /// script", "# a = 1", "#", "# ///"], ["a = 1\n\n"], False),
    (["# /// script \t", "# ///"], [], False), (["# /// script", "# ///"], [""], False),
    (["# /// script", "# a", "# ///", "# b", "# ///"], ["a\n///\nb\n"], False),
    (["# /// script", "# a", "#b", "# ///"], [], True),
    (["# /// script", "# ///", "", "# /// script", "# x", "# ///"], ["", "x\n"], False),
    ([" # /// script", "# ///"], [], False), (["# /// other", "# a", "# ///"], [], False),
    (["# /// other", "# /// script", "# a", "# ///"], [], False),
    (["# /// script", "# /// script", "# a", "# ///"], ["/// script\na\n"], False),
    (["# /// script", '# a = """', "# /// other", '# """', "# ///"], ['a = """\n/// other\n"""\n'], False),
    (["# /// script", "# a", "# ///", "# ", "# /// ", "# b"], ["a\n"], False),
    (["# /// script", "# a", "# ///", "# /// script", "# b"], ["a\n"], False),
    (["# a", "# /// script", "#", "# b", "# ///", "#"], ["\nb\n"], False),
    (["# ///", "# /// script", "# b", "# ///"], ["b\n"], False),
    (["# /// script", "# a", "# /// "], [], True),
    (["# /// other", "# a", "# /// script", "# b"], [], True),
    (["# /// other", "# ///", "# /// script", "# b"], [], True),
    (["# /// two words", "# /// script", "# b", "# ///"], ["b\n"], False),
    (["# /// script x", "# b", "# ///"], [], False)])
def test_R8_metadata_of_a_script_is_what_PEP_723_says(lines, blocks, is_open):
    for end in ("\n", "\r\n"):
        assert proto_prime.metadata_blocks(end.join(lines)) == (blocks, is_open)


PEP_723 = r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s^(?P<content>(^#(| .*)$\s)+)^# ///$"


def test_R8_metadata_of_a_script_is_what_the_reference_finds():
    choice = random.Random(723)
    lines = ["# /// script", "# /// other", "# ///", "# /// ", "#", "# a = 1", "# /// script ", "x", "", "#///", "#b"]
    for _ in range(3000):
        text = "\n".join(choice.choice(lines) for _ in range(choice.randint(1, 9)))
        text = text.replace("# /// script\n# ///", "# /// script\n#\n# ///")  # an empty one is uv's alone
        text = text.replace("# /// other\n# ///", "# /// other\n#\n# ///")
        contents = [match.group("content") for match in re.finditer(PEP_723, text) if match.group("type") == "script"]
        wanted = [re.sub("^# ?", "", content, flags=re.MULTILINE) for content in contents]
        assert proto_prime.metadata_blocks(text)[0] == wanted, text


@pytest.mark.parametrize("version", [each for each in ("3.6", "3.8", "3.12") if each in PYTHONS])
@pytest.mark.parametrize("number", ["1" * 10 ** 6, "0x" + "1" * 10 ** 6, "0b" + "1" * 10 ** 6, "1." + "1" * 10 ** 6,
                                    "1" * 10 ** 6 + "e5", "1e" + "9" * 10 ** 6, "1_" * 10 ** 5 + "1"],
                         ids=lambda each: each[:2] + each[-2:])
def test_number_of_a_million_digits_is_read_in_little_time(repo, version, number):
    repo.config("required_python_version = %s\n" % number)
    result = repo.prime("info", status=2, timeout=SECONDS, python=python(version))
    assert "proto_prime.toml" in result.stderr and "fault of prime" not in result.stderr and len(result.stderr) < 2000


@pytest.mark.parametrize("text", ["x = " + "[" * 100000, "x = " + "{a=" * 100000, "[tool" + ".a" * 100000 + "]\n",
                                  "env_vars" + ".a" * 100000 + " = 1\n", "[[" * 100000,
                                  'lock-version = "1.0"\n[[packages]]\nname' + ".a" * 100000 + " = 1\n",
                                  'lock-version = "1.0"\n[[packages]]\nname = "a"\nx' + ".a" * 100000 + " = 1\n"],
                         ids=["arrays", "tables", "header", "field", "headers", "name", "package"])
@pytest.mark.parametrize("name", ["proto_prime.toml", "pyproject.toml", "pylock.toml", "uv.lock"])
def test_deep_nesting_is_an_error_and_no_crash(repo, name, text):
    if name in ("pylock.toml", "uv.lock"):
        repo.config()
    repo.write(name, text)
    for command in ("info", "boot"):
        result = repo.prime(command, status=None, timeout=60, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
        assert result.status in (0, 1, 2) and "fault of prime" not in result.stderr and len(result.stderr) < 5000


def test_deep_nesting_in_what_a_generation_says_is_damage(plain):
    plain.prime()
    (plain.generations[0] / "proto-prime.json").write_text("[" * 100000)
    assert "fault of prime" not in plain.prime().stderr


def test_config_of_many_values_is_read_in_little_time(repo):
    rows = ["\"six ; os_name == '%d'\",\n" % count for count in range(30000)]
    repo.config("dependencies = [\n%s]\n" % "".join(rows))
    repo.prime("info", status=1, timeout=SECONDS)


def test_groups_that_include_each_other_twice_are_read_once(repo):
    groups = ["g%d = [{include-group = 'g%d'}, {include-group = 'g%d'}]" % (count, count + 1, count + 1)
              for count in range(2000)]
    repo.write("pyproject.toml", "[dependency-groups]\ndev = [{include-group = 'g0'}]\n%s\ng2000 = ['six']\n" %
               "\n".join(groups))
    repo.prime("info", status=1, timeout=SECONDS)


def test_extras_that_name_each_other_are_read_once(repo):
    extras = ["e%d = ['a[e%d,e%d]', 'a[e%d]']" % (count, count + 1, count + 2, count + 1) for count in range(2000)]
    repo.write("pyproject.toml", "[project]\nname = 'a'\nversion = '1'\n[project.optional-dependencies]\n%s\n"
               "[tool.uv]\npackage = false\n[tool.proto-prime]\nprojects = [{path = '.', extras = ['e0']}]\n" %
               "\n".join(extras))
    repo.prime("info", status=1, timeout=SECONDS)


# -- members of a workspace -------------------------------------------------------------------------

WORKSPACE = '[project]\nname = "a"\nversion = "1"\n[tool.uv.workspace]\nmembers = ["%s"]\n'


@pytest.mark.parametrize("pattern", ["../../../*/*/*", "/*/*/*/*", "/".join(["**"] * 12), "loop/*/*/*/*/*/*/*",
                                     "/proc/*/task/*/*/*"])
def test_members_of_a_workspace_are_looked_for_with_a_limit(repo, tmp_path, pattern):
    repo.write("pyproject.toml", WORKSPACE % pattern)
    for count in range(12000):
        (tmp_path / ("d%d" % count)).mkdir()
    (repo.path / "loop").mkdir()
    for place in (repo.path, repo.path / "loop"):
        for count in range(9):
            (place / ("again%d" % count)).symlink_to(place)
    result = repo.prime("info", status=2, timeout=SECONDS)
    assert "workspace members" in result.stderr and pattern in result.stderr and "pyproject.toml" in result.stderr


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*b", "../" * 5000 + "*", "[" * COUNT, "a" * COUNT, "x\\u0000*"],
                         ids=lambda each: each[:12])
def test_odd_pattern_for_members_is_no_matter(repo, pattern):
    repo.write("pyproject.toml", WORKSPACE % pattern)
    (repo.path / ("a" * 200)).mkdir()
    result = repo.prime("info", status=None, timeout=SECONDS)
    assert "fault of prime" not in result.stderr and len(result.stderr) < 3000


def test_members_of_a_workspace_are_those_of_its_patterns(tmp_path):
    for name in ("packages/a", "packages/b", "packages/.hidden", "other/c1", "other/d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "packages" / "file").write_text("")
    (tmp_path / "packages" / "link").symlink_to(tmp_path / "other")
    document = {"tool": {"uv": {"workspace": {"members": ["packages/*", "other/c[0-9]", "nowhere/*", "./other/d/"]}}}}
    found = [os.path.relpath(path, str(tmp_path)) for path in proto_prime.named_paths(document, str(tmp_path))]
    assert found == ["packages/a", "packages/b", "packages/link", "other/c1", "other/d"]


@pytest.mark.parametrize("lines, found", [
    ("a \\\nb\n", ["a b"]), ("# a \\\nb\n", ["", "b"]), ("a \\\n  # b\nc", ["a", "c"]), ("a \\\r\nb", ["a b"]),
    ("a#b # c", ["a#b"]), ("a\t# c", ["a"]), ("-e  'a b'", ["-e a b"]), ("-e 'a  b", ["-e 'a  b"]), ("a \\", ["a"]),
    ("a @ file:///x%20y", ["a @ /x y"]), ("a\n\nb", ["a", "", "b"])])
def test_lines_of_a_requirements_file_are_those_of_pip(tmp_path, lines, found):
    (tmp_path / "r.txt").write_bytes(lines.encode())
    assert proto_prime.requirement_lines(str(tmp_path / "r.txt")) == found
