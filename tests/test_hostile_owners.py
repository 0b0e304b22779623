"""H12: what stands above the repo and belongs to another user is not obeyed."""

import os
import shutil

import pytest
from conftest import ENTRY_SCRIPT, TOP, uv_program

MALLORY = 23456  # another user still, who wants something of whoever runs prime


def shared_directory(other_user, *names):
    """A repo of `other_user` in a directory where Mallory writes too. Returns the repo's path."""
    repo = other_user.place / "common" / "repo"
    repo.mkdir(parents=True)
    shutil.copy(str(TOP / "proto_prime.py"), str(repo))
    (repo / "prime").write_text(ENTRY_SCRIPT)
    other_user.give(repo)
    for name, text in names:
        (repo.parent / name).write_text(text)
        other_user.give(repo.parent / name, uid=MALLORY)
    return repo


def told(other_user, repo, *argv, **env):
    cache = other_user.place / "cache"
    if not cache.exists():
        cache.mkdir()
        other_user.give(cache)
    env = dict({"PROTOPRIMER_CACHE_DIR": str(cache), "PROTOPRIMER_VENV_DRIVER": "venv_pip"}, **env)
    return other_user([other_user.python, repo / "prime"] + list(argv or ["info"]), env)


@pytest.mark.parametrize("name, text", [
    ("proto_prime.toml", 'post_boot = [["sh", "-c", "echo pwned"]]\n'),
    ("pyproject.toml", '[tool.proto-prime]\npost_boot = [["sh", "-c", "echo pwned"]]\n'),
    ("pyproject.toml", "no TOML\n"),
])
def test_config_of_another_user_in_a_parent_directory_is_left_aside(other_user, name, text):
    repo = shared_directory(other_user, (name, text))
    done = told(other_user, repo)
    assert "pwned" not in done.stdout and "root         %s\n" % repo in done.stdout
    path = repo.parent / name
    assert done.stderr.count("%s is left aside, for it belongs to uid %d" % (path, MALLORY)) == 1
    assert "--root %s takes it, or chown it" % repo.parent in done.stderr


@pytest.mark.parametrize("whose", ["his own", "root's", "the script's owner's"])
def test_config_of_the_same_user_or_of_root_in_a_parent_directory_counts(other_user, whose):
    repo = shared_directory(other_user, ("proto_prime.toml", 'default_env = "default"\n'))
    uid = {"his own": other_user.uid, "root's": 0, "the script's owner's": MALLORY}[whose]
    other_user.give(repo.parent / "proto_prime.toml", uid=uid)
    other_user.give(repo, uid=uid or other_user.uid)
    done = told(other_user, repo)
    assert "root         %s\n" % repo.parent in done.stdout and "left aside" not in done.stderr


def test_config_of_another_user_that_is_named_counts(other_user):
    repo = shared_directory(other_user, ("proto_prime.toml", ""))
    done = told(other_user, repo, "--root", repo.parent, "info")
    assert "root         %s\n" % repo.parent in done.stdout and "left aside" not in done.stderr


def test_config_behind_another_users_directory_is_the_next_that_counts(other_user):
    repo = shared_directory(other_user, ("proto_prime.toml", ""))
    (other_user.place / "proto_prime.toml").write_text("")
    done = told(other_user, repo)
    assert "root         %s\n" % other_user.place in done.stdout and "left aside" in done.stderr


@pytest.mark.parametrize("whose", ["the link", "the file"])
def test_link_to_a_config_counts_only_if_both_are_no_other_users(other_user, whose):
    repo = shared_directory(other_user)
    target, link = other_user.place / "real.toml", repo.parent / "proto_prime.toml"
    target.write_text("")
    link.symlink_to(target)
    other_user.give(link if whose == "the link" else target, uid=MALLORY)
    assert "root         %s\n" % repo in told(other_user, repo).stdout


def test_one_foreign_file_beside_a_config_spoils_it(other_user):
    repo = shared_directory(other_user, ("proto_prime.toml", ""))
    (repo.parent / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\n')
    other_user.give(repo.parent / "pyproject.toml")
    assert "root         %s\n" % repo in told(other_user, repo).stdout


def test_root_does_not_obey_a_user_above_his_own_repo(other_user):
    repo = shared_directory(other_user, ("proto_prime.toml", ""))
    other_user.give(repo, uid=0)
    env = {"PROTOPRIMER_VENV_DRIVER": "venv_pip"}
    done = other_user([other_user.python, repo / "prime", "info"], env, uid=0)
    assert "root         %s\n" % repo in done.stdout and "left aside" in done.stderr


def test_version_file_of_another_user_in_a_parent_directory_is_left_aside(other_user):
    repo = shared_directory(other_user, (".python-version", "2.6\n"))
    (repo / "proto_prime.toml").write_text("")
    other_user.give(repo)
    done = told(other_user, repo)
    assert "2.6" not in done.stdout
    assert done.stderr.count(".python-version is left aside, for it belongs to uid %d" % MALLORY) == 1
    other_user.give(repo.parent / ".python-version")
    done = told(other_user, repo)
    assert 'no python satisfies "2.6" (%s)' % (repo.parent / ".python-version") in done.stdout
    assert "left aside" not in done.stderr


def test_version_file_that_changes_hands_is_noticed_by_the_next_boot(other_user):
    repo = shared_directory(other_user, (".python-version", "2.6\n"))
    (repo / "proto_prime.toml").write_text("")
    other_user.give(repo)
    done = told(other_user, repo, "run", "python", "-c", "print(1)")
    assert done.stdout == "1\n", done.stderr
    assert done.stderr.count("left aside") == 1
    other_user.give(repo.parent / ".python-version")
    assert "no python satisfies" in told(other_user, repo, "boot").stderr


def test_settings_of_uv_of_another_user_in_a_parent_directory_are_left_aside(repo, tmp_path):
    if os.name != "posix" or os.getuid():
        pytest.skip("only root can give a file to another user")
    repo.link("uv", uv_program())
    repo.config('dependencies = ["six"]\n')
    del repo.env["UV_CONFIG_FILE"]
    repo.env.update(PROTOPRIMER_VENV_DRIVER="venv_uv", UV_NO_INDEX="1", UV_FIND_LINKS=repo.env["PIP_FIND_LINKS"])
    settings = tmp_path / "uv.toml"
    settings.write_text("no TOML")
    os.chown(str(settings), MALLORY, MALLORY)
    assert "uv.toml is left aside" in repo.prime().stderr
    assert repo.inside("import six; print(1)") == "1"
