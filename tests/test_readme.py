"""What README.md says is so: its commands are run, the files of its recipes are read by those whom they are for.

A block of commands belongs to the heading above it; a block behind "`name`:" is the file of that name. What cannot be
had here (docker, GitHub, GitLab) is checked by its schema or linter, and its shell lines are run.
"""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TOP, fetch_wheels, some_python
from filelock import FileLock
from helpers import Index, namespaces, run_git
from record import DARK, LIGHT, PICTURE, drawn, record, text_of

import proto_prime

pytestmark = pytest.mark.slow
if sys.version_info < (3, 10):
    pytest.skip("the tools of the recipes need python 3.10", allow_module_level=True)

TEXT = (TOP / "README.md").read_text(encoding="utf-8")
TOOLS = [["pytest", "pre-commit", "ruff", "tox", "nox", "ipykernel"]]
BLOCK = re.compile(r"^#+ (?P<title>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([^`\n]+)`(?: \([^)]*\))?:\n\n\Z")
UNTESTED = {"text", "mermaid"}  # what programs print, and a drawing
COVERED = set()  # titles of sections


class Block:
    """Text between fences: its section, its language, the name of the file that it is or "", and itself."""

    def __init__(self, section, match):
        self.section, self.language, self.text = section, match.group("language"), match.group("text")
        name = NAMED.search(TEXT[:match.start()])
        self.name = name.group(1) if name else ""


def blocks():
    found, section = [], ""
    for match in BLOCK.finditer(TEXT):
        section = match.group("title") or section
        if match.group("language"):
            found.append(Block(section, match))
    return found


BLOCKS = blocks()


def covers(*sections):
    """Mark the test that does what is in these sections."""
    COVERED.update(sections)
    return lambda test: test


def the(section, language="", name=""):
    """The one block of a section that is of this language, or has this name."""
    [found] = [block for block in BLOCKS if block.section == section and language in (block.language, "")
               and name in (block.name, "")]
    return found


def quick_start():
    """The two blocks of commands of the quick start: the first build, and the first commit."""
    build, commit = [block for block in BLOCKS if (block.section, block.language) == ("Quick start", "sh")]
    return build, commit


# -- readers who do as they are told -----------------------------------------------------------------


@pytest.fixture(scope="session")
def tools(shared, wheelhouse):
    """A directory of wheels: those of every test, and the tools of the recipes for the running python."""
    target = shared / "wheels of the readme"
    with FileLock(str(target) + ".lock"):
        if not (target / "complete").exists():
            fetch_wheels(target, TOOLS)
            for path in wheelhouse.glob("*.whl"):
                shutil.copy(str(path), str(target))
            (target / "complete").touch()
    return target


class Reader:
    """Somebody with a git repo of his own and a proto_prime.py in ~/Downloads, who pastes what README.md says."""

    def __init__(self, repo, wheels):
        self.repo, self.path, self.home, self.env = repo, repo.path, repo.home, repo.env
        shutil.rmtree(str(self.path))
        self.path.mkdir()
        self.env["PIP_FIND_LINKS"] = wheels.as_uri()
        (self.home / "uv.toml").write_text("no-index = true\nfind-links = [%s]\n" % json.dumps(wheels.as_uri()))
        (self.home / "Downloads").mkdir()
        shutil.copy(str(TOP / "proto_prime.py"), str(self.home / "Downloads"))
        (self.home / ".gitconfig").write_text("[user]\nname = me\nemail = me@example.org\n")
        repo.link("python3", some_python())
        self.sh("git init -q .")

    def write(self, name, text):
        return self.repo.write(name, text)

    def sh(self, script, status=0, shell=("sh", "-eu", "-c"), **env):
        """Run lines of shell at the top of the repo. Returns what they print on both streams."""
        environ = {name: value for name, value in dict(self.env, **env).items() if value is not None}
        done = subprocess.run(list(shell) + [script], cwd=str(self.path), env=environ, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=240)
        assert status in (done.returncode, None), "%s\n%s" % (script, done.stdout)
        return done.stdout

    def follow(self, section, status=0, **env):
        """Do what a section says: write its files, run its commands. Returns what these print."""
        printed = []
        for block in BLOCKS:
            if block.section != section or block.language in UNTESTED:
                continue
            if block.language == "toml" and block.name in ("", "proto_prime.toml"):
                self.configure(block.text)
            elif block.name:
                self.write(block.name, block.text)
            else:
                assert block.language == "sh", block.text
                printed.append(self.sh(block.text, status=status, **env))
        return "".join(printed)

    def configure(self, text):
        """Put text into proto_prime.toml: keys at its top, tables instead of those of the same name."""
        path, parts = self.path / "proto_prime.toml", {}
        for source in path.read_text() if path.exists() else "", text:
            for part in re.split(r"^(?=\[)", source, flags=re.MULTILINE):
                head = part.split("\n")[0] if part.startswith("[") else ""
                parts[head] = part if head else parts.get("", "") + part
        path.write_text("\n".join(parts[head] for head in sorted(parts, key=bool)))

    def start(self, *requirements):
        """Do the quick start in a repo with these requirements, but build nothing yet."""
        self.write("requirements.txt", "".join(line + "\n" for line in requirements))
        self.write("test_app.py", "import six\n\n\ndef test_one():\n    assert six.ensure_text(b'a') == 'a'\n")
        lines = "".join(block.text for block in quick_start()).splitlines(True)
        self.sh("".join(line for line in lines if not line.startswith("./prime")))

    def packages(self, *options):
        return json.loads(self.sh(shlex.join(["./prime", *options, "-q", "info", "--json"]), status=None))["packages"]


@pytest.fixture
def reader(make_repo, tools):
    return Reader(make_repo("an app"), tools)


# -- the first minute, and every day ---------------------------------------------------------------


@covers("Quick start")
@pytest.mark.parametrize("kind", ["requirements", "project", "neither"])
def test_quick_start(reader, kind):
    if kind == "project":
        reader.write("pyproject.toml", '[project]\nname = "app"\nversion = "1"\ndependencies = ["six"]\n')
    elif kind == "requirements":
        reader.write("requirements.txt", "six\n")
    build, commit = quick_start()
    assert reader.sh(build.text).count("Python 3.") == 1
    reader.write("prime.json", "{}")  # of somebody else
    reader.sh(commit.text)
    (reader.path / "prime.json").unlink()
    committed = reader.sh("git ls-files").split()
    wanted = {"proto_prime.py", "prime", "prime.cmd", ".gitignore", ".gitattributes"}
    assert set(committed) == wanted | ({"proto_prime.toml"} if kind != "project" else set())
    assert "six" in reader.packages() or kind == "neither"
    left = reader.sh("git status --porcelain").split("\n")
    assert [line for line in left if "requirements" not in line and "pyproject" not in line] == [""]


@covers("Add, remove or upgrade a dependency", "Lock all versions", "Pin the Python", "Have a second environment",
        "Name your commands", "Undo", "Work in a shell", "See what is going on", "Update proto_prime, or leave it")
def test_every_day(reader):
    reader.start("six")
    reader.sh("./prime")
    reader.write("requirements.txt", "six\nidna\n")
    assert "+ idna" in reader.follow("Add, remove or upgrade a dependency")
    assert platform.python_version() in reader.follow("Pin the Python")
    reader.write("docs/requirements.txt", "idna\n")
    reader.follow("Have a second environment")
    assert "six" not in reader.packages("-e", "docs") and "six" in reader.packages()
    reader.write("app.py", "")
    reader.write("requirements.txt", "six\nidna\npytest\n")
    printed = reader.follow("Name your commands")
    assert printed.count("1 passed") == 2 and "NAME\n    idna" in printed and "all that must pass" in printed
    reader.write("requirements.txt", "six\nidna\n")
    reader.follow("Lock all versions")
    assert "pylock.docs.toml" in os.listdir(str(reader.path))
    reader.write("requirements.txt", "six\n")
    assert "prime lock" in reader.sh("./prime", status=1)
    reader.sh("./prime lock && ./prime")
    assert "idna" not in reader.packages()
    reader.sh("rm pylock.toml pylock.docs.toml && printf 'six\\nidna\\n' >requirements.txt && ./prime")
    undo, again = [block.text for block in BLOCKS if block.section == "Undo"]
    reader.sh(undo)
    assert "idna" not in reader.packages()
    reader.sh(again)
    assert "idna" in reader.packages()
    shell = the("Work in a shell", "sh").text
    printed = reader.sh(shell + "echo idna==3.4 >more.txt\n./prime -q\npython -c 'import idna, sys; print(sys.prefix)'")
    assert printed.rstrip().endswith(str(reader.path / ".venv"))
    reader.follow("See what is going on")
    reader.follow("Update proto_prime, or leave it")
    left = set(os.listdir(str(reader.path))) - {".git", "__pycache__", "docs", "more.txt", "app.py", ".pytest_cache"}
    assert left == {".gitattributes", ".gitignore", "requirements.txt", "test_app.py"}


# -- recipes ---------------------------------------------------------------------------------------


@pytest.fixture
def app(reader):
    """A reader who did the quick start, but for the first build, and whose application and tests are committed."""
    reader.write("app.py", "import six\n\nprint('the app, six', six.__version__)\n")
    reader.start("six", "pytest")
    reader.configure(the("Quick start", "toml").text)
    reader.sh("git add . && git commit -qm 'An app'")
    return reader


def data_of(text):
    """The value of a YAML document."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def check_schema(block, directory, schema):
    """Assert that a file is what those who read it take, by their own schema."""
    path = directory / Path(block.name).name
    path.write_text(block.text)
    program = str(Path(sys.executable).parent / "check-jsonschema")
    done = subprocess.run([program, "--builtin-schema", schema, str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


class LastingIndex(Index):
    """An index whose files never change, as PyPI says of its own."""

    def __init__(self, wheels):
        super().__init__(wheels)
        self.spoiled[""] = lambda index, request, name, body: request.give(
            200 if body else 404, body, Cache_Control="max-age=365000000, immutable")


@pytest.fixture
def index(tools):
    index = LastingIndex(tools)
    yield index
    index.close()


def fetched(index):
    """The files that an index gave since this was asked the last time."""
    names = [path for path, _ in index.asked if path.startswith("/files/") and not path.endswith(".metadata")]
    del index.asked[:]
    return names


def ci_machine(app, home, index):
    """The variables of a machine of a CI service: a HOME of its own, an index, and nothing else."""
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "PROTOPRIMER_CACHE_DIR": None, "UV_CACHE_DIR": None, "PIP_NO_INDEX": None,
            "PIP_FIND_LINKS": None, "UV_CONFIG_FILE": None, "PIP_INDEX_URL": index.url()}


@covers("GitHub Actions")
def test_github_workflow_runs_and_its_cache_saves_the_downloads(app, index, tmp_path):
    if not shutil.which("jq"):
        pytest.skip("no jq on this machine, which GitHub's have")
    block = the("GitHub Actions", name=".github/workflows/test.yml")
    check_schema(block, tmp_path, "vendor.github-workflows")
    workflow = data_of(block.text)
    steps = workflow["jobs"]["test"]["steps"]
    kept = []
    for machine in ("first", "second"):
        output = tmp_path / (machine + " output")
        env = dict(ci_machine(app, tmp_path / machine, index), GITHUB_OUTPUT=str(output))
        printed = []
        for step in steps:
            if "run" in step:
                printed.append(app.sh(step["run"], shell=("bash", "-e", "-o", "pipefail", "-c"), **env))
            elif step["uses"].startswith("actions/cache@"):
                [outputs] = re.findall(r"^key=(.*)\npaths<<END\n((?s:.*))END$", output.read_text())
                assert step["with"]["path"] == "${{ steps.prime.outputs.paths }}"
                assert step["with"]["key"] == "${{ steps.prime.outputs.key }}"
                assert outputs[0].startswith(step["with"]["restore-keys"])
                kept.append((outputs[0], outputs[1].splitlines()))
                for source, target in zip(kept[0][1], kept[-1][1] if machine == "second" else ()):
                    app.sh("mkdir -p %s && cp -a %s/. %s" % tuple(map(shlex.quote, (target, source, target))))
        assert "1 passed" in printed[-1]
        assert bool(fetched(index)) == (machine == "first")
        app.sh("git clean -qfdx")
    assert kept[0][0] == kept[1][0] and len(kept[0][1]) == len(kept[1][1]) > 1


@pytest.mark.parametrize("mistake", ["nonsense = 1", 'lock_file = "no.toml"', "["])
def test_github_workflow_fails_where_info_fails(reader, tmp_path, mistake):
    if not shutil.which("jq"):
        pytest.skip("no jq on this machine, which GitHub's have")
    reader.start("six")
    reader.configure(mistake)
    steps = data_of(the("GitHub Actions", name=".github/workflows/test.yml").text)["jobs"]["test"]["steps"]
    [script] = [step["run"] for step in steps if step.get("id") == "prime"]
    output = tmp_path / "output"
    printed = reader.sh(script, status=None, shell=("bash", "-e", "-c"), GITHUB_OUTPUT=str(output))
    assert "prime: error: " in printed and not output.exists()
    assert reader.sh(script + "\necho went on", status=1, shell=("bash", "-e", "-c"), GITHUB_OUTPUT=str(output))


def test_github_workflow_may_keep_the_environment(app, index, tmp_path):
    [block] = [block for block in BLOCKS if block.section == "GitHub Actions" and not block.name]
    [step] = data_of(block.text)
    assert step["with"]["key"] == "${{ steps.prime.outputs.key }}" and "restore-keys" not in step["with"]
    env = ci_machine(app, tmp_path / "home", index)
    app.sh("./prime", **env)
    assert fetched(index)
    for path in map(shlex.quote, step["with"]["path"].split()):
        app.sh("mkdir -p ../kept && cp -a %s ../kept" % path)
    app.sh("git clean -qfdx && cp -a ../kept/. .")
    env.update(ci_machine(app, tmp_path / "another home", index))
    assert "building" not in app.sh("./prime", **env) and index.asked == []
    app.sh("./prime test", **env)


@covers("GitLab")
def test_gitlab_job_runs_and_keeps_its_cache_in_the_project(app, index, tmp_path):
    block = the("GitLab", "yaml")
    check_schema(block, tmp_path, "vendor.gitlab-ci")
    job = data_of(block.text)["test"]
    assert all((app.path / name).is_file() for name in job["cache"]["key"]["files"])
    env = ci_machine(app, tmp_path / "home", index)
    env.update({name: value.replace("$CI_PROJECT_DIR", str(app.path)) for name, value in job["variables"].items()})
    assert "1 passed" in app.sh("\n".join(job["script"]), **env)
    assert fetched(index)
    kept = [app.path / place for place in job["cache"]["paths"]]
    assert [path.name for path in kept[0].iterdir()]
    app.sh("git clean -qfdx -e .cache")
    assert "1 passed" in app.sh("\n".join(job["script"]), **env)
    assert fetched(index) == []


@covers("Docker")
def test_dockerfile_installs_once_and_runs_without_network(app, tmp_path):
    block = the("Docker", "dockerfile")
    path = app.write("Dockerfile", block.text)
    program = Path(sys.executable).parent / "hadolint"
    if program.exists():
        done = subprocess.run([str(program), str(path)], stdout=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0, done.stdout
    context, env = tmp_path / "context", {}
    app.path.rename(context)  # what was the repo's place is the image now
    app.path.mkdir()
    for line in block.text.splitlines():
        name, rest = line.split(None, 1)
        if name == "COPY":
            for source in rest.split()[:-1]:
                subprocess.run(["cp", "-R", str(context / source) + ("/." if source == "." else ""), "."],
                               cwd=str(app.path), check=True)
        elif name == "RUN":
            assert ".venv is ready" in app.sh(rest)
            ignored = the("Docker", name=".dockerignore").text.split()
            subprocess.run(["rm", "-rf"] + [each.replace("**/", "") for each in ignored], cwd=str(context), check=True)
        elif name == "ENV":
            env.update(dict(word.split("=") for word in rest.split()))
        elif name == "CMD":
            printed = app.sh(shlex.join(namespaces() + json.loads(rest)), **env)
            assert printed.startswith("the app, six ")
    assert env["PROTOPRIMER_OFFLINE"] == "1"


@covers("Dev Container")
def test_devcontainer_makes_the_interpreter_that_its_editor_is_told(app):
    data = json.loads(the("Dev Container", "json").text)
    app.sh(data["postCreateCommand"])
    python = data["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    app.sh(shlex.quote(python.replace("${containerWorkspaceFolder}", str(app.path))) + " -c 'import six'")


@covers("pre-commit, and hooks of git")
def test_pre_commit_runs_the_hook_now_and_at_each_commit(app):
    app.write("requirements.txt", "six\npytest\npre-commit\nruff\n")
    app.sh("git add .")
    assert "Passed" in app.follow("pre-commit, and hooks of git")
    assert "All checks passed" in app.sh("./prime run ruff check --select E,UP,S,ANN,D proto_prime.py")
    app.sh("./prime run ruff format --check proto_prime.py")
    app.write("app.py", "import six, os\n")
    app.sh("git add .")
    assert "Failed" in app.sh("git commit -qm 'Not used'", status=1)
    app.write("requirements.txt", "six\npytest\npre-commit\nruff\nidna\n")  # the hook outlives a build
    app.write("app.py", "import six\n\nprint(six.MAXSIZE)\n")
    app.sh("./prime && git add . && git commit -qm 'Used'")


@covers("VS Code and PyCharm")
def test_settings_of_editors_lead_to_the_environment(app):
    path = json.loads(the("VS Code and PyCharm", "json").text)["python.defaultInterpreterPath"]
    app.sh("./prime")
    app.sh(shlex.quote(path.replace("${workspaceFolder}", str(app.path))) + " -c 'import six'")


KERNEL = """\
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="app")
client.execute_interactive("import six, sys; print(six.__version__, sys.prefix)")
manager.shutdown_kernel()
"""


@covers("Jupyter")
def test_jupyter_starts_the_kernel(app):
    block = the("Jupyter", "json")
    spec = json.loads(block.text.replace("/path/to/app", str(app.path)))
    assert block.name.endswith("/app/kernel.json")
    app.write("requirements.txt", "six\nipykernel\n")
    place = app.home / block.name[2:]
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(spec))
    printed = app.sh("./prime -q && cd / && %s -c %s" % (
        shlex.quote(str(app.path / ".venv/bin/python")), shlex.quote(KERNEL)))
    assert str(app.path / ".prime") in printed


@covers("direnv")
def test_direnv_loads_the_environment(app):
    if not shutil.which("direnv"):
        pytest.skip("no direnv on this machine")
    app.write(".envrc", the("direnv", "sh").text)
    app.sh("direnv allow .")
    printed = app.sh("direnv exec . python -c 'import six, sys; print(sys.prefix)'")
    assert printed.rstrip().endswith(("/.venv", os.path.realpath(str(app.path / ".venv"))))


@covers("Make")
def test_make_runs_the_tests_and_writes_a_header(app):
    app.write("Makefile", the("Make", "make").text)
    assert "1 passed" in app.sh("make test")
    app.write("table.py", "import nothing")
    app.sh("make table.h", status=2)
    assert not (app.path / "table.h").exists()
    app.write("table.py", "import six\nprint('#define SIZE %d' % six.MAXSIZE)\n")
    app.sh("make table.h")
    assert (app.path / "table.h").read_text().startswith("#define SIZE 9")


@covers("tox and nox")
def test_tox_and_nox_beside_it(app):
    app.write("requirements.txt", "six\ntox\nnox\n")
    printed = app.follow("tox and nox")
    assert "congratulations" in printed and "was successful" in printed


@covers("A package index and a proxy of your company")
def test_index_and_proxy_of_a_company(reader, net, tools):
    net.index.wheels = tools
    url, variables = net.settings()
    lines = the("A package index and a proxy of your company", "sh").text
    for old, new in ((r"https://user:token@pypi.example.com/simple", url),
                     ("/etc/ssl/certs/company.pem", variables["PIP_CERT"]),
                     ("http://proxy.example.com:3128", variables["https_proxy"])):
        assert old in lines
        lines = lines.replace(old, shlex.quote(new))
    reader.write("requirements.txt", "six\n")
    reader.sh("python3 ~/Downloads/proto_prime.py init")
    printed = reader.sh(lines, PIP_NO_INDEX=None, PIP_FIND_LINKS=None, UV_CONFIG_FILE=None,
                        PROTOPRIMER_CACHE_DIR=str(reader.home / "cache"), UV_CACHE_DIR=str(reader.home / "uv"))
    assert "PIP_INDEX_URL" in printed and net.proxy.passed


@covers("Machines without network")
def test_vendored_repo_on_a_machine_without_network(app, make_repo):
    here, there = [block.text for block in BLOCKS if block.section == "Machines without network"]
    app.write("requirements.txt", "six\n")  # for every python that may lock it, from the few wheels here
    app.sh(here + "git add . && git commit -qm 'Less'")
    clone = make_repo("on an island")
    shutil.rmtree(str(clone.path))
    run_git(app.path, "clone", "-q", str(app.path), str(clone.path), check=True)
    words = namespaces() + ["sh", "-eu", "-c", there + "./prime --offline run python app.py\n"]
    env = {"HOME": str(clone.home), "PATH": app.env["PATH"], "LANG": "C.UTF-8"}
    done = subprocess.run(words, cwd=str(clone.path), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert done.returncode == 0 and "the app, six" in done.stdout, done.stdout


@covers("Windows")
def test_commands_for_windows_are_ours():
    for line in the("Windows", "bat").text.splitlines():
        words = line.split()
        assert words[:2] == ["py", "proto_prime.py"] or words[0] == r".\prime", line
        check_command(words[2:] if words[0] == "py" else words[1:])


@covers("CI machines that keep their checkouts and serve many jobs")
def test_machine_of_many_jobs_builds_once(app):
    title = "CI machines that keep their checkouts and serve many jobs"
    assert "1 passed" in app.follow(title)
    assert (app.home / "prime-cache").is_dir()
    assert "building" not in app.follow(title)


# -- reference -------------------------------------------------------------------------------------


@covers("Start it")
def test_all_ways_to_start_it(app):
    app.sh("./prime")
    for line in the("Start it", "sh").text.splitlines():
        assert "root " in app.sh(line), line


@covers("Config")
def test_config_of_the_reference_is_understood(reader):
    reader.sh("python3 ~/Downloads/proto_prime.py init && rm proto_prime.toml")
    for name in "requirements.txt", "requirements-dev.txt", "constraints.txt", "docs/requirements.txt":
        reader.write(name, "")
    reader.write("pyproject.toml", the("Config", "toml").text)
    told = json.loads(reader.sh("./prime -q -e docs info --json", status=None))
    assert told["config"]["requirements_files"]["value"] == ["docs/requirements.txt"]
    assert told["required"]["request"] == "3.12"


@covers("Python API")
def test_script_of_ones_own(app):
    app.write("tools/app.py", "import sys\ndef main():\n    print(sys.argv[1:])\n    return 7\n")
    app.write("own", the("Python API", "python").text).chmod(0o755)
    assert app.sh("./own a 'b c'", status=7).endswith("['a', 'b c']\n")


# -- the whole -------------------------------------------------------------------------------------


def test_every_block_belongs_to_a_test():
    assert {block.section for block in BLOCKS if block.language not in UNTESTED} == COVERED


def test_blocks_can_be_pasted():
    """zsh takes no comments on its command line, unless it is told to."""
    for block in BLOCKS:
        if block.language == "sh":
            assert " #" not in block.text and "<" not in block.text.replace(" < ", ""), block.text


TASKS = set(re.findall(r"^(\w+) = ", "".join(
    block.text for block in BLOCKS if block.text.startswith("[tasks]")), re.MULTILINE)) | {"lint"}


def check_command(words):
    """Assert that a command line is understood."""
    if words[:1] and words[0] in TASKS:
        return
    level = proto_prime.report.verbosity
    try:
        proto_prime.parse_command_line(words)
    except SystemExit as ended:
        assert not ended.code, words
    finally:
        proto_prime.report.verbosity = level
        os.environ.pop(proto_prime.OFFLINE_VAR, None)


def commands_in_the_text():
    """The commands of ours that stand in the text and in tables, as lists of words; names alone are none."""
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`(?:\./|\.\\|sh )?prime ([^`]+)`", prose.replace("\n", " "))
    found = [re.split(r" (?:\\\||>) ", each)[0] for each in found]  # what a shell does with the rest
    return [shlex.split(each) for each in found if each not in proto_prime.COMMANDS]


def test_commands_in_the_text_are_understood():
    found = commands_in_the_text()
    assert len(found) > 15
    for words in found:
        check_command(words)


def test_size_that_is_told_is_about_that_of_the_file():
    told = int(re.search(r"some ([\d,]+) lines", TEXT).group(1).replace(",", ""))
    assert abs(told - len((TOP / "proto_prime.py").read_text(encoding="utf-8").splitlines())) < told / 10


def anchor(title):
    """What the sites that show it make of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_links_lead_somewhere():
    titles = {anchor(title) for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in titles, target
        elif not target.startswith("https://"):
            assert (TOP / target).exists(), target
    for name in re.findall(r"`((?:tests|examples)/[\w./]+)`", TEXT):
        assert (TOP / name).exists(), name
    for path in (TOP / "examples").iterdir():
        assert "](examples/%s)" % path.name in TEXT


def test_picture_is_what_a_terminal_shows(tools, tmp_path):
    picture = PICTURE.read_text(encoding="utf-8")
    again = drawn(record(tmp_path, tools))
    assert text_of(picture) == text_of(again)


def contrast(one, other):
    """The contrast of two colours (WCAG 2.2): from 1 to 21."""
    def luminance(colour):
        parts = [int(colour[start:start + 2], 16) / 255 for start in (1, 3, 5)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_picture_can_be_read(colours):
    assert min(contrast(colours[0], colour) for colour in colours[1:]) >= 4.5
