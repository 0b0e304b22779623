"""What the files at the ref root say, what is said of wrong ones, and where the rest comes from."""

import json
import os
import re
import subprocess

import pytest
from conftest import PYTHONS, TOP, python, some_python, uv_program

import proto_prime

# -- I1: what is wrong is said, with status 2, and nothing is made ----------------------------------


def refused(repo, *words, argv=(), **options):
    """What is said of a wrong config: an error with these words, no traceback, and nothing was made."""
    before = sorted(path.name for path in repo.path.iterdir() if path.name != "__pycache__")
    for command in ("boot", "info"):
        result = repo.prime(*(list(argv) + [command]), status=2, **options)
        assert result.stdout == ""
        assert result.stderr.startswith("prime: error: "), result.stderr
        for word in words:
            assert word in result.stderr, (word, result.stderr)
        assert "Traceback" not in result.stderr
    assert sorted(path.name for path in repo.path.iterdir() if path.name != "__pycache__") == before
    return result.stderr


@pytest.mark.parametrize("wild", sorted({min(PYTHONS, key=lambda v: int(v[2:])), "3.11"} & set(PYTHONS)))
@pytest.mark.parametrize("name", ["pyproject.toml", "proto_prime.toml"])
def test_I1_TOML_error_is_told_with_file_and_line(repo, name, wild):
    repo.write(name, 'a = 1\nb = 2\nc = = 3\n')
    refused(repo, str(repo.path / name), "line 3", python=PYTHONS[wild])


def test_I1_TOML_error_at_the_end_of_the_file(repo):
    repo.config('a = "')
    refused(repo, str(repo.path / "proto_prime.toml"), "line 1")


@pytest.mark.parametrize("text, line, near", [
    ('venv_driver = "auto"\ndependencis = []', 2, "dependencies"),
    ('\n\nrequired_pyton_version = "3"', 3, "required_python_version"),
    ('[env.docs]\nenv_var = {A = "1"}', 2, "env_vars"),
    ('"post-boot" = []', 1, "post_boot"),
    ('env.docs.depndencies = []', 1, "dependencies"),
])
def test_I1_unknown_field_is_told_with_line_and_nearest_name(repo, text, line, near):
    repo.config(text)
    refused(repo, 'unknown field "', "proto_prime.toml, line %d" % line, 'did you mean "%s"?' % near)


def test_I1_unknown_field_in_pyproject(repo):
    repo.project(more="\n[tool.proto-prime]\nvenv_drivr = 1")
    line = (repo.path / "pyproject.toml").read_text().splitlines().index("venv_drivr = 1") + 1
    place = "pyproject.toml, line %d" % line
    refused(repo, 'unknown field "venv_drivr"', place, 'did you mean "venv_driver"?')


def test_I1_unknown_field_that_is_near_nothing_lists_all_names(repo):
    repo.config("xyzzy = 1")
    refused(repo, 'unknown field "xyzzy"', "dependencies", "venv_driver")


def test_I1_default_env_does_not_belong_into_an_environment(repo):
    repo.config('[env.docs]\ndefault_env = "docs"')
    refused(repo, "default_env", "line 2")


WRONG_TYPES = {
    "required_python_version": ["3.12", "[]", "true"],
    "python_selector_file_rel_path": ["1", "[]"],
    "venv_driver": ['"uv"', '""', "1", '["auto"]', "{}"],
    "venv_dir_rel_path": ["1", "[]"],
    "projects": ['"."', "1", "[1]", "[{}]", '[{path = 1}]', '[{path = ".", extras = "x"}]',
                 '[{path = ".", editable = 1}]', '[{path = ".", groups = [1]}]',
                 '[{path = ".", extra = []}]'],
    "dependencies": ['"six"', "[1]", "{six = 1}", "1"],
    "requirements_files": ['"requirements.txt"', "[1]"],
    "constraints_file": ['["c.txt"]', "1"],
    "lock_file": ["1", "[]", "true"],
    "uv_version": ["1", "0.5", "[]"],
    "index_url": ["1", "[]"],
    "extra_index_urls": ['"http://x"', "[1]"],
    "find_links": ['"wheels"', "[1]"],
    "no_index": ['"yes"', "1", "[]"],
    "env_vars": ['"A=1"', "[]", "{A = 1}", "{A = true}"],
    "env_file": ["1", '[".env"]'],
    "tasks": ['"pytest"', "[]", "1"],
    "post_boot": ['"make"', '["make"]', "[[]]", "[[1]]"],
    "default_env": ["1", "[]"],
    "env": ['"docs"', "[]", '{docs = "x"}', "{docs = []}"],
}


@pytest.mark.parametrize("field", sorted(WRONG_TYPES))
def test_I1_wrong_type_is_told_with_field_and_line(repo, field):
    for value in WRONG_TYPES[field]:
        repo.config("# first\n%s = %s" % (field, value))
        result = repo.prime("info", status=2)
        assert field in result.stderr, value
        assert "proto_prime.toml" in result.stderr, value
        assert field == "env" or "line 2" in result.stderr, value
        assert result.stdout == "" and "Traceback" not in result.stderr, value
        if field not in ("env", "default_env", "tasks"):
            repo.config("[env.docs]\n%s = %s" % (field, value))
            result = repo.prime("info", status=2)
            assert "env.docs.%s" % field in result.stderr, value
    assert not (repo.path / ".prime").exists()


@pytest.mark.parametrize("value", ['tool = "x"', "[tool]\nproto-prime = 1", "project = 1",
                                   'dependency-groups = "dev"',
                                   "[project]\nname = 'x'\nrequires-python = 3.8", "tool = []",
                                   "[dependency-groups]\ndev = 'six'", "[dependency-groups]\ndev = 1",
                                   "[[project]]"])
def test_I1_pyproject_of_another_shape_is_told(repo, value):
    repo.write("pyproject.toml", value)
    refused(repo, "pyproject.toml")


def test_I1_both_config_files(repo):
    repo.config()
    repo.write("pyproject.toml", '[tool.proto-prime]\nvenv_driver = "auto"')
    refused(repo, "proto_prime.toml", "[tool.proto-prime]", "pyproject.toml", "hint: ")


def test_a_pyproject_without_our_table_beside_the_own_config_is_fine(repo):
    repo.project(dependencies=[])
    repo.config("projects = []")
    assert repo.info()["config"]["projects"]["value"] == []


def test_I1_unknown_environment_is_told_with_the_nearest_name(repo):
    repo.config("[env.docs]\n[env.gpu]")
    for options in ({"argv": ["-e", "dosc"]}, {"env": {"PROTOPRIMER_ENV": "dosc"}}):
        refused(repo, '"dosc"', 'did you mean "docs"?', **options)
    repo.config('default_env = "gpus"\n[env.docs]\n[env.gpu]')
    refused(repo, '"gpus"', 'did you mean "gpu"?', "proto_prime.toml, line 1")


@pytest.mark.parametrize("name", ['"../up"', '""', '"a b"', '"a/b"', '".."', '"."'])
def test_I1_environment_name_that_could_be_a_path_is_refused(repo, name):
    repo.config("[env.%s]" % name)
    refused(repo, "environment name")


@pytest.mark.parametrize("text", [">=three", "3.x", ">=3.8 <4", "==3.12.*.1"])
def test_I1_bad_requires_python(repo, text):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = "%s"' % text)
    refused(repo, "requires-python", text, "pyproject.toml")


@pytest.mark.parametrize("field, value", [
    ("requirements_files", ["no/such.txt"]), ("constraints_file", "no/such.txt"),
    ("lock_file", "no/such.toml")])
def test_I1_missing_file(repo, field, value):
    repo.config("%s = %s" % (field, json.dumps(value)))
    refused(repo, field, "no/such.t", "proto_prime.toml, line 1")


def test_I2_chain_of_includes_longer_than_calls_may_be_deep(repo):
    repo.config('requirements_files = ["0.txt"]')
    for number in range(1500):
        repo.write("%d.txt" % number, "-r %d.txt\n" % (number + 1))
    repo.write("1500.txt", "")
    assert repo.info()["reasons"] == ["it was not built yet"]


def test_I1_missing_file_that_a_requirements_file_includes(repo):
    repo.config('requirements_files = ["reqs.txt"]')
    repo.write("reqs.txt", "-r no/such.txt")
    result = repo.prime(status=None)
    assert result.status in (1, 2)
    assert "no/such.txt" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("path", ["sub", "no/such/directory", "prime"])
def test_I1_project_path_with_nothing_to_read(repo, path):
    (repo.path / "sub").mkdir()
    repo.config('\nprojects = ["%s"]' % path)
    refused(repo, "projects", '"%s"' % path, "proto_prime.toml, line 2")


def test_I1_unknown_group(repo):
    config = '[tool.proto-prime]\nprojects = [{path = ".", groups = ["lnit"]}]'
    repo.project(more="[dependency-groups]\nlint = []\n" + config)
    refused(repo, "lnit", "pyproject.toml", "lint")


def test_I1_group_include_cycle(repo):
    repo.project(more='[dependency-groups]\ndev = [{include-group = "a"}]\na = [{include-group = "B"}]\n'
                      'b = [{include-group = "dev"}]')
    refused(repo, "dependency group", "includes itself", "pyproject.toml")


def test_I1_group_that_holds_something_else(repo):
    repo.project(more="[dependency-groups]\ndev = [{set-phasers-to = 'stun'}]")
    refused(repo, "dependency group", "dev", "pyproject.toml")


@pytest.mark.parametrize("name", ["pyproject.toml", "proto_prime.toml", ".python-version"])
def test_E10_file_that_is_no_UTF_8(repo, name):
    repo.config()
    (repo.path / name).write_bytes(b'# caf\xe9\n')
    refused(repo, str(repo.path / name), "UTF-8")


@pytest.mark.parametrize("name", ["pyproject.toml", "proto_prime.toml"])
def test_config_that_is_a_directory(repo, name):
    (repo.path / name).mkdir()
    refused(repo, str(repo.path / name))


def test_I1_unknown_driver_in_the_environment(plain):
    refused(plain, "PROTOPRIMER_VENV_DRIVER", "uv", env={"PROTOPRIMER_VENV_DRIVER": "uv"})


# -- how files are read ----------------------------------------------------------------------------


@pytest.mark.parametrize("wild", sorted({min(PYTHONS, key=lambda v: int(v[2:])), "3.11"} & set(PYTHONS)))
def test_E10_BOM_and_CRLF(repo, wild):
    (repo.path / "proto_prime.toml").write_bytes(
        b'\xef\xbb\xbf# A config\r\nrequired_python_version = ">=3.6"\r\n[env_vars]\r\nA = """x\r\ny"""\r\n')
    told = repo.info(python=PYTHONS[wild])["config"]
    assert told["required_python_version"]["value"] == ">=3.6"
    assert told["env_vars"]["value"] == {"A": "x\ny"}


def test_no_config_at_all(repo):
    (repo.path / ".git").mkdir()  # a repo all the same (U4)
    told = repo.info()
    assert told["root"] == str(repo.path)
    assert told["config"]["projects"]["value"] == []
    assert told["reasons"] == ["it was not built yet"]
    repo.prime()
    assert "is current" in repo.prime().stderr


def test_bare_pyproject(repo):
    repo.project(dependencies=[], more="")
    told = repo.info()["config"]
    assert [project["path"] for project in told["projects"]["value"]] == [str(repo.path)]
    assert told["projects"]["value"][0]["editable"] is True
    assert told["projects"]["from"] == "default"


def test_defaults(repo):
    told = repo.info()["config"]
    values = {name: entry["value"] for name, entry in told.items()}
    assert {entry["from"] for entry in told.values()} == {"default"}
    assert values == {
        "required_python_version": "", "python_selector_file_rel_path": "", "venv_driver": "auto",
        "venv_dir_rel_path": ".venv", "projects": [], "dependencies": [], "requirements_files": [],
        "constraints_file": "", "lock_file": "", "platforms": [], "uv_version": "", "uv_sha256": [], "index_url": "",
        "extra_index_urls": [], "find_links": [], "no_index": False, "env_vars": {}, "env_file": "", "tasks": {},
        "post_boot": [], "default_env": "default",
    }


def test_default_project_is_the_root_if_it_has_a_setup_py(repo):
    repo.write("setup.py", "")
    assert [project["path"] for project in repo.info()["config"]["projects"]["value"]] == [str(repo.path)]


def test_default_group_is_dev_of_the_root_project_alone(repo):
    dev = '[dependency-groups]\ndev = ["six"]\nlint = ["idna"]'
    repo.project(more=dev)
    assert repo.info()["config"]["projects"]["value"][0]["groups"] == ["dev"]
    repo.write("sub/pyproject.toml", '[project]\nname = "sub"\nversion = "1"\n' + dev)
    repo.project(more=dev + '\n[tool.proto-prime]\nprojects = [".", "sub", {path = ".", groups = []}]')
    told = [project["groups"] for project in repo.info()["config"]["projects"]["value"]]
    assert told == [["dev"], [], []]


def test_default_requirements_txt_is_taken_only_where_there_is_no_project(repo):
    repo.write("requirements.txt", "six")
    assert repo.info()["config"]["requirements_files"]["value"] == ["requirements.txt"]
    repo.config("requirements_files = []")
    assert repo.info()["config"]["requirements_files"]["value"] == []
    repo.config()
    repo.project()
    assert repo.info()["config"]["requirements_files"]["value"] == []


def test_default_lock_file(repo):
    repo.config()
    repo.write("pylock.toml", "")
    assert repo.info()["config"]["lock_file"]["value"] == "pylock.toml"
    repo.write("uv.lock", "")
    assert repo.info()["config"]["lock_file"]["value"] == "uv.lock"
    repo.config('lock_file = ""')
    assert repo.info()["config"]["lock_file"]["value"] == ""


def test_a_file_that_appears_is_noticed(plain):
    plain.prime()
    plain.settle()
    plain.prime()
    plain.write("requirements.txt", "six")
    assert "building environment default" in plain.prime().stderr
    assert plain.inside("import six") == ""


# -- named environments ----------------------------------------------------------------------------

NAMED = """
dependencies = ["six"]
env_vars = {A = "1", B = "2"}
[env.docs]
dependencies = ["idna"]
[env.docs.env_vars]
A = "3"
[env.gpu-2]
required_python_version = "3.12"
"""


def test_named_environment_overrides_fields_and_says_where_from(repo):
    repo.config(NAMED)
    told = repo.info("-e", "docs")["config"]
    assert told["dependencies"] == {"value": ["idna"], "from": "proto_prime.toml: env.docs.dependencies"}
    assert told["env_vars"]["value"] == {"A": "3"}
    told = repo.info("-e", "gpu-2")
    assert told["config"]["dependencies"] == {"value": ["six"], "from": "proto_prime.toml: dependencies"}
    place = "proto_prime.toml: env.gpu-2.required_python_version"
    assert told["required"] == {"request": "3.12", "from": place}
    assert repo.info()["environment"] == "default"


def test_which_environment_option_before_variable_before_use_before_default_env(repo):
    repo.config('default_env = "a"\n[env.a]\n[env.b]\n[env.c]\n[env.d]')
    assert repo.info()["environment"] == "a"
    repo.prime("-q", "use", "b")
    assert repo.info()["environment"] == "b"
    assert repo.info(env={"PROTOPRIMER_ENV": "c"})["environment"] == "c"
    assert repo.info("-e", "d", env={"PROTOPRIMER_ENV": "c"})["environment"] == "d"
    for name in ("a", "default"):
        assert repo.info("-e", name)["environment"] == name
    assert repo.info(env={"PROTOPRIMER_ENV": ""})["environment"] == "b"
    assert "(environment b, " in repo.prime().stderr
    assert "(environment c, " in repo.prime(env={"PROTOPRIMER_ENV": "c"}).stderr


def test_default_env_is_what_a_boot_makes_and_remembers(repo):
    repo.config('default_env = "docs"\n[env.docs]\nenv_vars = {WHICH = "docs"}')
    for _ in range(3):
        assert "(environment docs, " in repo.prime().stderr
        assert repo.prime("run", "sh", "-c", "echo $WHICH").stdout == "docs\n"
        repo.settle()
    assert repo.current.name.startswith("docs-")


def test_venv_driver_of_the_environment_variable_wins(plain):
    plain.config('venv_driver = "venv_uv"')
    told = plain.info(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    assert told["config"]["venv_driver"] == {"value": "venv_pip", "from": "PROTOPRIMER_VENV_DRIVER"}
    plain.prime(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})
    assert plain.info(env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"})["driver"] == "venv_pip"
    assert plain.info()["reasons"] == ["PROTOPRIMER_VENV_DRIVER is not set any more"]


def test_venv_dir_rel_path(repo):
    repo.config('venv_dir_rel_path = "deep/er/env"')
    assert "deep/er/env is ready" in repo.prime().stderr
    assert os.path.realpath(str(repo.path / "deep" / "er" / "env")) == str(repo.generations[0])
    assert not os.path.lexists(str(repo.path / ".venv"))
    assert "deep/er/env is current" in repo.prime().stderr


@pytest.mark.parametrize("value", ["", ".", "..", "sub/..", "../.."])
def test_I1_venv_dir_that_is_the_root_or_above_it_is_refused(make_repo, value):
    repo = make_repo("somewhere/deep/a repo")
    repo.write("sub/mine.txt", "mine")
    repo.config("venv_dir_rel_path = %s" % json.dumps(value))
    result = repo.prime(status=2)
    assert "venv_dir_rel_path" in result.stderr
    assert (repo.path / "sub" / "mine.txt").read_text() == "mine"


# -- the required version --------------------------------------------------------------------------

VERSION_FILES = {
    "plain": "3.12\n",
    "comment first": "# the version\n3.12\n",
    "trailing comment": "3.12  # the version\n",
    "blank lines": "\n\n   \n3.12\n",
    "several versions": "3.12\n3.11\n",
    "system first": "system\n3.12\n",
    "a development version first": "3.12-dev\n3.12\n",
    "a name first": "my-virtualenv\n3.12\n",
    "CRLF": "# c\r\n3.12\r\n",
    "BOM": "\ufeff3.12\n",
    "no line end": "3.12",
    "leading blanks": "  3.12\n",
}


@pytest.mark.parametrize("what", sorted(VERSION_FILES))
def test_I3_python_version_file_first_usable_line(plain, what):
    (plain.path / ".python-version").write_bytes(VERSION_FILES[what].encode("utf-8"))
    told = plain.info()["required"]
    assert told == {"request": "3.12", "from": str(plain.path / ".python-version")}


def test_I3_passed_over_lines_are_told_with_v(plain):
    plain.write(".python-version", "system\n3.12\n")
    assert "system" in plain.prime("info", "-v", status=1).stderr
    assert "system" not in plain.prime("info", status=1).stderr


def test_I3_python_version_file_with_nothing_usable_is_no_opinion(plain):
    plain.write(".python-version", "# nothing\nsystem\n")
    assert plain.info()["required"]["request"] == ""


def test_I3_python_version_file_may_name_an_implementation_or_a_build(plain):
    for text in ("pypy3.10", "cpython@3.12", "3.13t", ">=3.11"):
        plain.write(".python-version", text + "\n")
        assert plain.info()["required"]["request"] == text


def test_python_version_file_is_searched_upwards_and_the_nearest_counts(plain):
    sub = plain.path / "sub" / "sub"
    sub.mkdir(parents=True)
    plain.write(".python-version", "3.11")
    assert plain.info("--root", str(sub))["required"]["request"] == "3.11"
    plain.write("sub/.python-version", "3.12")
    told = plain.info("--root", str(sub))["required"]
    assert told == {"request": "3.12", "from": str(plain.path / "sub" / ".python-version")}


def test_python_version_file_that_appears_is_noticed(plain):
    plain.prime()
    plain.settle()
    plain.prime()
    plain.link("python3.12", python("3.12"))
    plain.write(".python-version", "3.12")
    assert "building environment default" in plain.prime().stderr
    assert plain.inside("import sys; print(sys.version_info[:2])") == "(3, 12)"


def test_required_version_field_before_file_before_requires_python(repo):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.7"')
    told = repo.info()["required"]
    assert told == {"request": ">=3.7", "from": "pyproject.toml: requires-python"}
    repo.write(".python-version", "3.11")
    assert repo.info()["required"]["request"] == "3.11"
    repo.config('required_python_version = "3.12"')
    assert repo.info()["required"]["request"] == "3.12"


def test_python_that_breaks_requires_python_is_refused_before_anything_is_built(repo):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.13"')
    repo.write(".python-version", "3.12")
    repo.link("python3.12", python("3.12"))
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    result = repo.prime(status=1)
    assert 'no python satisfies both "3.12" (.python-version) and ">=3.13" (pyproject.toml: ' in result.stderr
    assert not (repo.path / ".prime" / "envs").exists()
    result = repo.prime(status=1, env={"PROTOPRIMER_PYTHON": str(python("3.12"))})
    assert "PROTOPRIMER_PYTHON" in result.stderr and ">=3.13" in result.stderr


# -- the ref root ----------------------------------------------------------------------------------


def test_root_option_before_variable_before_the_entry_script_s_place(make_repo):
    one, two, three = make_repo("one"), make_repo("two"), make_repo("three")
    for each in (one, two, three):
        each.config()
    assert one.info()["root"] == str(one.path)
    assert one.info(cwd="/")["root"] == str(one.path)
    assert one.info(env={"PROTOPRIMER_ROOT": str(two.path)})["root"] == str(two.path)
    assert one.info("--root", "../three", env={"PROTOPRIMER_ROOT": str(two.path)})["root"] == str(three.path)
    assert one.info("--root", "..")["root"] == str(one.path.parent)


def test_root_is_the_nearest_directory_with_a_config_going_up(plain):
    plain.write("tools/prime", (plain.path / "prime").read_text(), executable=True)
    (plain.path / "tools" / "proto_prime.py").symlink_to(plain.path / "proto_prime.py")
    assert plain.info(entry="tools/prime")["root"] == str(plain.path)
    plain.write("tools/proto_prime.toml", "")
    assert plain.info(entry="tools/prime")["root"] == str(plain.path / "tools")


def test_root_without_any_config_is_the_entry_script_s_directory(repo):
    repo.write("tools/prime", (repo.path / "prime").read_text())
    (repo.path / "tools" / "proto_prime.py").symlink_to(repo.path / "proto_prime.py")
    assert repo.info(entry="tools/prime")["root"] == str(repo.path / "tools")


def test_E9_entry_script_that_is_a_link_as_written_first_resolved_second(make_repo, tmp_path):
    real, other = make_repo("real"), make_repo("other")
    real.config()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "prime").symlink_to(real.path / "prime")
    assert real.info(entry=str(outside / "prime"))["root"] == str(real.path)
    other.config()
    (other.path / "linked").symlink_to(real.path / "prime")
    assert other.info(entry="linked")["root"] == str(other.path)


def test_E9_started_from_PATH_through_a_link(plain):
    plain.link("prime", plain.path / "prime")
    plain.link("python3", some_python())
    done = subprocess.run(["prime", "info", "--json"], env=plain.env, cwd="/", stdout=subprocess.PIPE)
    assert json.loads(done.stdout.decode())["root"] == str(plain.path)


def test_root_through_a_linked_directory_is_as_written(plain, tmp_path):
    link = tmp_path / "link to it"
    link.symlink_to(plain.path)
    assert plain.info(entry=str(link / "prime"))["root"] == str(link)
    assert plain.info("--root", str(link))["root"] == str(link)


@pytest.mark.parametrize("written, meant", [
    ("pypy3.9-7.3.11", "pypy@3.9"), ("pypy-3.9.16-linux-x86_64-gnu", "pypy@3.9.16"), ("python-3.10.13", "3.10.13"),
    ("cpython-3.10.13-linux-x86_64-gnu", "3.10.13"), ("3.10.13/envs/foo", "3.10.13"), ("3.12:3.10", "3.12"),
    ("3.12-dev", "3.12"), ("3.13+freethreaded", "3.13t"),
    ("cpython-3.13.0+freethreaded-linux-x86_64-gnu", "3.13.0t"),
    (">=3.9, <3.11  # both", ">=3.9, <3.11"), ("3.12.1 3.11.7", "3.12.1"),
])
def test_I3_python_version_file_has_names_as_pyenv_and_uv_give_them(plain, written, meant):
    plain.write(".python-version", written + "\n")
    assert plain.info()["required"]["request"] == meant


def test_I3_python_version_file_without_a_usable_line_is_noticed(plain):
    plain.write(".python-version", "my-virtualenv\n")
    assert "%s names no version that is understood" % (plain.path / ".python-version") in plain.prime().stderr
    plain.write(".python-version", "system\n")
    assert "understood" not in plain.prime().stderr


@pytest.mark.parametrize("text, line", [
    ('venv_driver = "venv_uv"\n[env.a]\nvenv_driver = "venv_pip"\n[env.b]\nvenv_driver = "bad"\n', 5),
    ('[env.a]\nno_index = true\n[env.b]\ndependencies = []\nno_index = 3\n', 5),
    ('dependencies = [\n  "six",\n]\nenv.b.no_index = 3\n', 4),
    ('dependencies = []\nenv = {b = {no_index = 3}}\n', 2),
    ('post_boot = [\n  ["a", "b"],\n]\nno_index = 3\n', 4),
    ('post_boot = [\n  ["make"],\n  ["make"]\n]\nno_index = 3\n', 5),
    ('dependencies = []\nenv = 3\n', 2),
    ('env_vars = {\n  no_index = "1", # TOML 1.1 (R9)\n}\nno_index = 3\n', 4),
    ('env_vars.X = """\nno_index = 1\n"""\nno_index = 3\n', 4),
    ('env = {\n  b = {\n    no_index = 3,\n  },\n}\n', 1),
])
@pytest.mark.parametrize("file", ["proto_prime.toml", "pyproject.toml"])
def test_I1_error_names_the_line_of_the_right_table(repo, text, line, file):
    if file == "pyproject.toml":
        text = "[tool.other]\nno_index = 3\n[tool.proto-prime]\n" + text.replace("[env", "[tool.proto-prime.env")
        line += 3
    repo.write(file, text)
    error = repo.prime(status=2).stderr
    assert "(%s, line %d)" % (file, line) in error or "env] is not a table" in error


@pytest.mark.parametrize("text, words", [
    ('uv_sha256 = ["x"]', "uv_sha256 must be a list of SHA-256 in hex"),
    ('venv_dir_rel_path = "prime"', "is a file of something else"),
    ('projects = ["sub"]', 'projects: "sub" has no [project], [build-system] or setup.py to install'),
    ('python_selector_file_rel_path = "no/such"', 'there is no file "no/such"'),
    ('uv_version = "x"', "proto_prime.toml: uv_version"),
])
def test_I1_value_that_leaves_nothing_to_do_is_an_error(repo, text, words):
    repo.write("sub/pyproject.toml", "[tool.ruff]\n")
    repo.config(text)
    assert words in repo.prime(status=2).stderr
    assert (repo.path / "prime").is_file() and not (repo.path / ".prime").exists()


@pytest.mark.parametrize("driver_name", ["venv_uv", "venv_pip"])
def test_I5_find_links_that_lead_nowhere_are_an_error(repo, driver_name):
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\nfind_links = ["nope"]')
    assert 'find_links: there is no "nope"' in repo.prime(status=2, env={"PROTOPRIMER_VENV_DRIVER": driver_name}).stderr


@pytest.mark.parametrize("table", ["tool.proto_prime", "tool.protoprime", "tool.Proto-Prime"])
def test_I1_table_that_is_spelled_otherwise_is_an_error(repo, table):
    repo.write("pyproject.toml", "[%s]\ndependencies = []\n" % table)
    assert "hint: did you mean [tool.proto-prime]?" in repo.prime(status=2).stderr


def test_I1_empty_table_beside_the_other_file_is_an_error_too(repo):
    repo.write("pyproject.toml", "[tool.proto-prime]\n")
    repo.config()
    assert "both proto_prime.toml and [tool.proto-prime]" in repo.prime(status=2).stderr


def test_ref_root_of_the_variable_that_is_no_directory_names_the_variable(plain):
    assert "(PROTOPRIMER_ROOT)" in plain.prime(status=2, env={"PROTOPRIMER_ROOT": "/no/such"}).stderr


def test_group_dev_is_the_default_however_it_is_spelled(repo):
    repo.write("pyproject.toml", '[dependency-groups]\nDev = ["six"]\n')
    assert repo.inside("import six; print(six.__name__)") == "six"


@pytest.mark.parametrize("name", ["graalpy-24.1.0", "pypy-7.3.12"])
def test_I3_python_version_file_with_the_version_of_an_implementation_is_passed_over(plain, name):
    plain.write(".python-version", name + "\n3.12\n")
    assert "@7" not in plain.info()["required"]["request"] and "@2" not in plain.info()["required"]["request"]


@pytest.mark.parametrize("request_, limits", [("3", ">=3.8,<3.15"), ("3.14", ">=3.14.1,<3.14.9"), ("3.12", ">=3.12.4")])
def test_request_that_requires_python_narrows_is_no_contradiction(repo, request_, limits):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = "%s"\n' % limits)
    repo.write(".python-version", request_ + "\n")
    repo.env["PROTOPRIMER_VENV_DRIVER"] = "venv_pip"
    error = repo.prime(status=None, env={"PATH": "/nowhere", "PYENV_ROOT": "/"}).stderr
    assert "no version is in all of them" not in error


@pytest.mark.parametrize("file", [".python-version", "proto_prime.toml"])
def test_request_that_requires_python_excludes_names_both_and_fetches_nothing(repo, file):
    repo.write("pyproject.toml", '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n')
    repo.program("uv", 'case "$*" in *install*) touch "%s/fetched";; --version) echo uv 99.0;; esac' % repo.home)
    repo.write(file, "3.10\n" if file == ".python-version" else 'required_python_version = "3.10"\n')
    error = repo.prime(status=1, env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"}).stderr
    place = file if file == ".python-version" else "proto_prime.toml: required_python_version"
    assert 'no python satisfies both "3.10" (%s) and ">=3.12" (pyproject.toml: requires-python)' % place in error
    assert "hint: no version is in all of them: change %s or pyproject.toml\n" % file in error
    assert not (repo.home / "fetched").exists()


def test_readme_names_each_field():
    lines = (TOP / "README.md").read_text(encoding="utf-8").split("\n")
    rows = [line.split("|")[1] for line in lines if line.startswith("|")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(proto_prime.FIELDS) <= listed


# -- R7: dependency groups are what uv and pip take them for ----------------------------------------

GROUPS = {
    "two spellings": 'lint = []\nLint = ["six"]',
    "two spellings of dev": 'dev = []\nDEV = []',
    "two spellings, by their signs": 'lint = []\n"a_b" = []\n"a.-b" = []',
    "an unknown key": 'lint = [{include-group = "b", optional = true}]\nb = []',
    "an unknown key alone": 'lint = [{include = "b"}]\nb = []',
    "an empty object": "lint = [{}]",
    "a list of names": 'lint = [{include-group = ["b"]}]\nb = []',
    "a path": 'lint = ["./lib"]',
    "a path without dots": 'lint = ["lib/pk"]',
    "an absolute path": 'lint = ["/lib"]',
    "a URL": 'lint = ["https://example.com/six.tar.gz"]',
    "a file of requirements": 'lint = ["-r requirements.txt"]',
    "two words": 'lint = ["six idna"]',
    "a wildcard": 'lint = ["six>=1.*"]',
    "a name with an end that is none": 'lint = ["six->=1"]',
    "a name that begins with a sign": 'lint = ["_six"]',
    "nothing behind @": 'lint = ["six @ "]',
    "nothing at all": 'lint = [""]',
    "an extra that is a path": 'lint = ["six[../a]"]',
    "an included group": 'lint = [{include-group = "b"}]\nb = ["./lib"]',
    "a text": 'lint = "six"',
}
SOUND_GROUPS = """\
lint = ["six", " six>=1,<2 ", "six[a, b]~=1.0 ; python_version > '3'", "six (>=1)", "six @ https://example.com/six.whl",
    "six[a]@file:///six.whl ; os_name == 'nt'", "A.b-c_d==1.0.*", "six === whatever", {include-group = "B_c"}]
b-c = [{include-group = "d"}, {include-group = "d"}]
D = ["idna"]
"""


def reads_group(text):
    """True if we read group lint of this [dependency-groups]; else the error has its one line."""
    try:
        proto_prime.expand_group(proto_prime.parse_toml(text), "lint", "pyproject.toml")
        return True
    except proto_prime.PrimeError as error:
        assert "dependency group" in str(error)
        return False


@pytest.mark.parametrize("what", sorted(GROUPS))
def test_R7_group_that_others_refuse_is_refused(what):
    resolver = pytest.importorskip("dependency_groups").DependencyGroupResolver
    with pytest.raises((ValueError, TypeError)):
        resolver(proto_prime.parse_toml(GROUPS[what])).resolve("lint" if "lint" in GROUPS[what] else "dev")
    assert not reads_group(GROUPS[what])


def test_R7_group_that_others_take_is_taken():
    resolver = pytest.importorskip("dependency_groups").DependencyGroupResolver
    groups = proto_prime.parse_toml(SOUND_GROUPS)
    theirs = {str(requirement).partition("=")[0] for requirement in resolver(groups).resolve("lint")}
    ours = proto_prime.expand_group(groups, "lint", "pyproject.toml")
    assert len(ours) == 9 and len(theirs) == len({each.replace(" ", "").partition("=")[0] for each in ours})


@pytest.mark.parametrize("text, words", [
    ('lint = ["six"]\nLINT = []', ["dependency group lint has two spellings: lint and LINT"]),
    ('dev = ["./lib"]', ["dependency group dev: './lib' is no requirement", "projects"]),
    ('dev = [{include-group = "b", x = 1}]\nb = []', ["dependency group dev: ", "is no requirement"]),
])
def test_R7_error_names_the_group_before_anything_is_made(repo, text, words):
    repo.project(more="[dependency-groups]\n" + text)
    refused(repo, "pyproject.toml", *words)


@pytest.mark.parametrize("wild", sorted({min(PYTHONS, key=lambda v: int(v[2:])), "3.11"} & set(PYTHONS)))
def test_R9_project_and_config_in_toml_1_1_are_read(repo, wild):
    lines = ["[tool.proto-prime]", "env_vars = {", "  # shown in the prompt", r'  MARK = "\x41\e",', "}",
             "[tool.other]", "at = 07:32", "projects = []"]
    repo.write("pyproject.toml", "\n".join(lines) + "\n")
    told = json.loads(repo.prime("info", "--json", python=python(wild), status=1).stdout)
    assert told["config"]["env_vars"]["value"] == {"MARK": "A\x1b"}
