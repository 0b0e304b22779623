"""Which generations are kept, which one is gone back to, and what is removed."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import PYTHONS, TOP, python, snapshot, some_python


def build(repo, *numbers):
    """Boot once for each number, each time with other inputs. Returns the generations, oldest first."""
    built = []
    for number in numbers:
        repo.config('extra_index_urls = ["http://127.0.0.1:1/%s"]\n[env.docs]\n' % number)
        repo.prime()
        built.append(repo.current)
    assert len(set(built)) == len(numbers)
    return built


def sleeper(repo, *argv):
    """Start a program that runs until its stdin ends, and wait until it runs."""
    code = "import sys; print('runs', flush=True); sys.stdin.read()"
    process = subprocess.Popen(list(argv) + ["-c", code], env=repo.env, cwd=str(repo.path),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"runs\n"
    return process


# -- the limit of generations ----------------------------------------------------------------------


def test_the_newest_three_generations_of_an_environment_are_kept(plain):
    plain.prime("-e", "default", "boot")
    built = build(plain, 1, 2, 3, 4, 5)
    assert set(plain.generations) == set(built[-3:])
    assert plain.current == built[-1]


def test_generations_of_other_environments_are_not_counted(plain):
    plain.config("[env.docs]\n")
    plain.prime("-e", "docs", "run", "true")
    docs = plain.generations
    built = build(plain, 1, 2, 3, 4)
    assert set(plain.generations) == set(docs + built[-3:])


@pytest.mark.parametrize("way", ["prime run", "its own path", "a mapped file"])
def test_a_generation_that_a_process_uses_is_kept_until_the_process_ends(plain, way):
    first = build(plain, 1)[0]
    argv = {"prime run": [str(some_python()), "prime", "run", "python"],
            "its own path": [str(first / "bin" / "python")],
            "a mapped file": [str(plain.path / ".venv" / "bin" / "copy")]}[way]
    if way == "a mapped file":  # started by the link, which will lead elsewhere
        shutil.copy(str(some_python()), str(first / "bin" / "copy"))
    process = sleeper(plain, *argv)
    try:
        build(plain, 2, 3, 4, 5)
        assert first in plain.generations
        assert len(plain.generations) == 4
    finally:
        process.communicate()
    build(plain, 6)
    assert first not in plain.generations
    assert not first.exists()


def test_a_generation_that_another_link_leads_to_is_kept(plain):
    plain.config('[env.docs]\nvenv_dir_rel_path = "docs-venv"\n')
    plain.prime("-e", "docs")
    (plain.path / ".venv").symlink_to(os.readlink(str(plain.path / "docs-venv")))
    kept = plain.generations[0]
    for number in range(4):
        plain.config('[env.docs]\nvenv_dir_rel_path = "docs-venv"\ndependencies = []\nextra_index_urls = '
                     '["http://127.0.0.1:1/%d"]\n' % number)
        plain.prime("-e", "docs", "run", "true")  # moves no link
    assert kept in plain.generations
    assert len(plain.generations) == 4


def leave_half_a_build(repo, name="other-0123456789ab"):
    """What a build that was killed leaves behind: its directory, and the record that it is ours."""
    repo.write(".prime/building/" + name, "")
    return repo.write(".prime/envs/%s/late" % name, "half")


def test_B1_leftovers_of_builds_that_died_are_removed_by_the_next_build(plain):
    plain.prime()
    left = leave_half_a_build(plain)
    foreign = plain.write(".prime/envs/other-0123456789ac/late", "of somebody else")
    plain.prime("reset")
    assert not left.parent.exists()
    assert not list((plain.path / ".prime" / "building").iterdir())
    assert foreign.read_text() == "of somebody else"


def test_B1_leftovers_that_a_process_still_writes_to_are_left_to_a_later_build(plain):
    plain.prime()
    left = leave_half_a_build(plain)
    process = subprocess.Popen(["sh", "-c", "read line; : %s/late" % left.parent], stdin=subprocess.PIPE)
    try:
        plain.prime("reset")
        assert left.exists()
    finally:
        process.communicate()
    plain.prime("reset")
    assert not left.parent.exists()


# -- rollback --------------------------------------------------------------------------------------


def test_rollback_leads_back_and_holds_until_an_input_changes(plain):
    first, second = build(plain, 1, 2)
    result = plain.prime("rollback")
    assert plain.current == first
    assert "rolled back to %s" % first.name in result.stderr
    plain.settle()
    for _ in range(3):
        assert "rolled back to %s" % first.name in plain.prime().stderr
        assert plain.inside("import sys; print(sys.prefix)") == str(first)
    told = plain.info()
    assert told["current"] and told["venv"]["generation"] == str(first) and told["venv"]["held"]
    first_row = "state +up to date, held there by a rollback -> .*prime'? use default\n"
    assert re.match(first_row, plain.prime("info").stdout)
    third = build(plain, 3)[0]
    assert plain.current == third not in (first, second)
    assert "rolled back" not in plain.prime().stderr


def test_rollback_after_reset_leads_to_the_same_inputs_as_they_were_resolved_before(plain):
    first = build(plain, 1)[0]
    plain.prime("reset")
    assert plain.current != first
    plain.prime("rollback")
    assert plain.current == first
    plain.prime("reset")
    assert plain.current not in (first, None)
    assert len(plain.generations) == 3
    os.utime(str(plain.path / "proto_prime.toml"))  # so that not the stamp answers
    assert "rolled back" not in plain.prime().stderr


def test_rollback_goes_back_step_by_step_and_use_takes_it_back(plain):
    built = build(plain, 1, 2, 3)
    plain.prime("rollback")
    assert plain.current == built[1]
    plain.prime("rollback")
    assert plain.current == built[0]
    result = plain.prime("rollback", status=1)
    assert "has no generation before %s" % built[0].name in result.stderr
    assert plain.current == built[0]
    plain.prime("use", "default")
    assert plain.current == built[2]


def test_rollback_without_any_generation_is_an_error_that_changes_nothing(plain):
    before = snapshot(plain.path)
    assert "has no generation before" in plain.prime("rollback", status=1).stderr
    assert snapshot(plain.path) == before


def test_rollback_from_a_config_that_cannot_be_built_leads_to_the_newest_that_could(repo, driver):
    repo.config('dependencies = ["six"]')
    repo.prime()
    first = repo.current
    repo.config('dependencies = ["six", "no-such-package"]')
    repo.prime(status=1)
    repo.prime("rollback")
    assert repo.current == first
    assert repo.inside("import six; print(1)") == "1"


def test_rollback_of_a_damaged_generation_is_passed_over(plain):
    built = build(plain, 1, 2, 3)
    (built[1] / "bin" / "python").unlink()
    plain.prime("rollback")
    assert plain.current == built[0]


def test_rolled_back_generation_that_is_damaged_later_is_healed_by_the_next_boot(plain):
    first, second = build(plain, 1, 2)
    plain.prime("rollback")
    (first / "bin" / "python").unlink()
    assert "rolled back" not in plain.prime().stderr
    assert plain.current == second


def test_rollback_of_a_named_environment_leaves_the_link_alone(plain):
    for number in (1, 2):
        plain.config('[env.docs]\nextra_index_urls = ["http://127.0.0.1:1/%d"]\n' % number)
        plain.prime("-e", "docs", "run", "true")
    plain.prime()
    before = plain.current
    docs = [path for path in plain.generations if path.name.startswith("docs-")]
    now = plain.inside("import sys; print(sys.prefix)", env={"PROTOPRIMER_ENV": "docs"})
    plain.prime("-e", "docs", "rollback")
    back = plain.inside("import sys; print(sys.prefix)", env={"PROTOPRIMER_ENV": "docs"})
    assert {now, back} == set(map(str, docs))
    assert plain.current == before


# -- clean -----------------------------------------------------------------------------------------


def test_clean_removes_what_nothing_refers_to_and_says_what(plain):
    first, second = build(plain, 1, 2)
    result = plain.prime("clean")
    assert plain.generations == [second]
    assert result.stdout == ""
    assert re.search("^prime: removed .*%s$" % first.name, result.stderr, re.MULTILINE)
    assert "there is nothing to remove" in plain.prime("clean").stderr
    assert plain.inside("print(1)") == "1"


def test_clean_keeps_what_is_current_in_each_environment_and_what_is_linked(plain):
    plain.config("[env.docs]\n")
    plain.prime("-e", "docs", "run", "true")
    plain.prime()
    both = plain.generations
    plain.prime("clean")
    assert plain.generations == both
    plain.config("")  # docs is configured no more
    plain.prime("clean")
    assert plain.generations == [plain.current]


def test_clean_keeps_what_a_process_uses(plain):
    first = build(plain, 1)[0]
    process = sleeper(plain, str(first / "bin" / "python"))
    try:
        build(plain, 2)
        plain.prime("clean")
        assert first in plain.generations
        result = plain.prime("clean", "--all", env={"PROTOPRIMER_CACHE_DIR": str(plain.home / "own cache")})
        assert plain.generations == [first]
        assert "%s stays, for a running process uses it" % first.name in result.stderr
    finally:
        process.communicate()


def test_clean_all_removes_every_generation_and_the_caches_and_the_next_boot_makes_them_anew(plain):
    plain.env["PROTOPRIMER_CACHE_DIR"] = str(plain.home / "own cache")
    plain.write("../home of a repo/own cache/mine", "not ours")
    build(plain, 1, 2)
    plain.prime("clean", "--all")
    assert not plain.generations
    assert not os.path.lexists(str(plain.path / ".venv"))
    left = {path.name for path in (plain.home / "own cache").rglob("*") if path.is_file()}
    assert left == {"mine", ".proto-prime", "CACHEDIR.TAG", "in-use"}
    plain.prime()
    assert plain.inside("print(1)") == "1"


def test_clean_in_a_fresh_clone_removes_nothing(plain):
    assert "there is nothing to remove" in plain.prime("clean").stderr


# -- time passes -----------------------------------------------------------------------------------


def test_T1_state_directory_that_was_moved_is_noticed(plain, tmp_path):
    plain.env["PROTOPRIMER_STATE_DIR"] = str(tmp_path / "state")
    plain.prime()
    (tmp_path / "state").rename(tmp_path / "moved")
    result = plain.prime(env={"PROTOPRIMER_STATE_DIR": str(tmp_path / "moved")})
    assert "it was moved or copied from %s" % (tmp_path / "state") in result.stderr
    assert plain.current.parent.parent == tmp_path / "moved"
    assert len(list((tmp_path / "moved" / "envs").iterdir())) == 1


def test_T1_generations_of_the_place_that_a_repo_was_moved_from_do_not_stay(plain):
    build(plain, 1, 2)
    moved = plain.path.parent / "moved"
    plain.path.rename(moved)
    plain.path = moved
    plain.prime()
    assert [path.parent.parent.parent for path in plain.generations] == [moved]


def test_T2_base_python_of_equal_bytes_and_times_is_the_same(plain, spare_python):
    plain.env["PROTOPRIMER_PYTHON"] = str(spare_python)
    plain.prime()
    before = plain.current
    aside = spare_python.with_name("copy")
    shutil.copy2(str(spare_python), str(aside))  # as in a layer of a container image
    aside.replace(spare_python)
    result = plain.prime()
    assert "building" not in result.stderr
    assert plain.current == before


def test_T2_base_python_with_other_times_is_another(plain, spare_python):
    plain.env["PROTOPRIMER_PYTHON"] = str(spare_python)
    plain.prime()
    before = plain.current
    os.utime(str(spare_python), (1, 1))
    assert "was replaced" in plain.prime().stderr
    assert plain.current != before


def test_T8_newer_version_of_the_file_takes_the_generations_of_the_older_one(plain):
    text = (TOP / "proto_prime.py").read_text()
    (plain.path / "proto_prime.py").unlink()
    plain.write("proto_prime.py", text)
    plain.prime()
    before = plain.current
    plain.write("proto_prime.py", re.sub('__version__ = ".*"', '__version__ = "99.0"', text, count=1))
    plain.settle()
    for _ in range(2):
        assert "building" not in plain.prime().stderr
        assert plain.current == before
    assert plain.prime("--version").stdout == "proto_prime 99.0\n"


def test_T8_generations_of_a_version_that_keeps_them_otherwise_are_left_alone(plain):
    plain.prime()
    newer = plain.write(".prime/envs/default-ffffffffffff/proto-prime.json", '{"schema": 99}')
    build(plain, 1, 2, 3, 4)
    assert newer.exists()


def test_log_of_a_boot_that_hops_begins_with_what_the_first_stage_decided(plain):
    other = next(version for version in PYTHONS if PYTHONS[version] != some_python())
    plain.config('required_python_version = "%s"' % other)
    plain.link("python" + other, python(other))
    plain.prime()
    log = plain.logs[-1].read_text(encoding="utf-8")
    assert re.search("stage wild: .*candidate .*stage required: .*building environment", log, re.DOTALL)
    assert plain.inside("import os; print('PROTOPRIMER_SAID' in os.environ)") == "False"
