"""The user's settings of pip and uv: relative paths (M6), steps that they would break (M7), keyrings (M8), pip's for uv
(M9), and which of them decide what is installed (M10).
"""

import json
import os
import sys

import pytest
from conftest import uv_program
from helpers import SECRET, USER, Index, check_secrecy, make_wheel

VERSION = "import importlib.metadata as found; print(found.version('pk'))"


@pytest.fixture
def wheels(tmp_path):
    """A directory with a package `pk` of versions 1 and 2, whose path has a blank."""
    path = tmp_path / "some wheels"
    path.mkdir()
    for version in "12":
        make_wheel(path / ("pk-%s-py3-none-any.whl" % version), "pk", version)
    return path


@pytest.fixture
def index(wheels):
    found = Index(wheels)
    yield found
    found.close()


@pytest.fixture
def client(index_client, driver, wheels):
    """A `Repo` whose tools have no settings, and which requires `pk`."""
    for name in ("PIP_CONFIG_FILE", "UV_NO_CONFIG"):
        del index_client.env[name]
    index_client.config('dependencies = ["pk"]')
    index_client.tool = "PIP" if driver == "venv_pip" else "UV"
    return index_client


def version_in(repo, **options):
    return repo.inside(VERSION, **options)


def pip_conf(repo, text):
    path = repo.home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# -- relative paths (M6) ---------------------------------------------------------------------------


@pytest.mark.slow
def test_M6_relative_values_mean_what_they_mean_where_the_caller_stands(client, wheels):
    here = client.path / "a sub directory"
    here.mkdir()
    (here / "constraints.txt").write_text("pk<2\n")
    os.rename(str(wheels), str(here / "wheels"))
    client.env.update({client.tool + "_CACHE_DIR": ".cache of it", client.tool + "_CONSTRAINT": "constraints.txt",
                       client.tool + "_FIND_LINKS": "wheels", client.tool + "_NO_INDEX": "1"})
    assert version_in(client, cwd=str(here)) == "1"
    assert client.tool == "PIP" or (here / ".cache of it").is_dir()  # pip keeps no local file
    assert not os.path.exists("/.cache of it")
    assert not (client.path / ".cache of it").exists()
    client.env["HOME"] = os.path.relpath(str(client.home), str(here))
    client.prime("reset", cwd=str(here))
    assert not [name for name in os.listdir(str(here)) if name not in ("wheels", "constraints.txt", ".cache of it")]


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["venv_pip", "venv_uv"])
def test_M6_PWD_in_a_requirements_file_is_the_root(make_repo, driver, wheels):
    repo = make_repo("repo")  # a blank would have to be written as %20
    os.rename(str(wheels), str(repo.path / "wheels"))
    repo.write("requirements.txt", "pk @ file://${PWD}/wheels/pk-1-py3-none-any.whl\n")
    repo.config('venv_driver = "%s"' % driver)
    elsewhere = repo.path.parent
    assert version_in(repo, cwd=str(elsewhere), env={"PWD": str(elsewhere)}) == "1"
    assert "is current" in repo.prime(env={"PWD": "/"}).stderr


# -- settings that break the steps which install pip and uv (M7) -----------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["PIP_REQUIRE_HASHES=1", "PIP_CONSTRAINT=/no/such/file", "PIP_EDITABLE=/no/such",
                                     "PIP_PLATFORM=win32", "PIP_REQUIREMENT=/no/such", "PIP_ONLY_BINARY=:none:",
                                     "PIP_NO_BINARY=:all:", "PIP_REPORT=-"])
def test_M7_step_that_adds_pip_reads_no_setting(plain, setting):
    name, _, value = setting.partition("=")
    pip_conf(plain, "[install]\n%s = %s\n" % (name[len("PIP_"):].lower().replace("_", "-"), value))
    plain.env.update({"PROTOPRIMER_VENV_DRIVER": "venv_pip", name: value})
    assert "ready" in plain.prime().stderr


@pytest.mark.slow
def test_M7_step_that_fetches_uv_reads_the_settings_of_the_network_alone(index_client, wheelhouse):
    conf = pip_conf(index_client, "[global]\nno-index = true\nfind-links = %s\nrequire-hashes = true\n"
                    "constraint = /no/such/file\n" % wheelhouse.as_uri())
    index_client.env.update(PIP_PLATFORM="win32", PIP_CONFIG_FILE=str(conf), PROTOPRIMER_VENV_DRIVER="venv_uv")
    assert "ready" in index_client.prime().stderr


# -- keyrings (M8) ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 9), reason="the pip of this python asks no keyring program")
def test_M8_index_whose_password_a_keyring_has(index_client, index):
    index.user = USER
    name = USER.partition(":")[0]
    index_client.program("keyring", '#!/bin/sh\n[ "$3" = %s ] && echo "%s"\n' % (name, SECRET))
    index_client.config('dependencies = ["pk"]')
    index_client.env.update(PROTOPRIMER_VENV_DRIVER="venv_pip", PIP_INDEX_URL=index.url(user=name))
    assert version_in(index_client) == "2"
    index_client.env["PIP_KEYRING_PROVIDER"] = "disabled"  # as the user wishes
    assert "401" in index_client.prime("reset", status=1).stderr


# -- pip's settings for uv (M9) --------------------------------------------------------------------


@pytest.fixture
def by_uv(index_client):
    """A `Repo` that requires `pk`, of a user who has settings of pip, and none of uv."""
    index_client.link("uv", uv_program())
    index_client.env.update(PROTOPRIMER_VENV_DRIVER="venv_uv")
    del index_client.env["PIP_CONFIG_FILE"], index_client.env["UV_NO_CONFIG"]
    index_client.config('dependencies = ["pk"]')
    return index_client


WAYS = {
    "variable": lambda repo, name, value: repo.env.update({"PIP_" + name.upper().replace("-", "_"): value}),
    "pip.conf": lambda repo, name, value: pip_conf(repo, "[global]\n%s = %s\n" % (name, value)),
    "command's section": lambda repo, name, value: pip_conf(
        repo, "[global]\n%s = /no/such\n[install]\n%s = %s\n" % (name, name.replace("-", "_"), value)),
    "PIP_CONFIG_FILE": lambda repo, name, value: repo.env.update(
        PIP_CONFIG_FILE=str(repo.write("its.conf", "[global]\n%s = %s\n" % (name, value)))),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", list(WAYS))
def test_M9_index_of_pip_is_asked_by_uv_and_told_without_its_password(by_uv, index, way):
    index.user = USER
    WAYS[way](by_uv, "index-url", index.url(user=USER))
    result = by_uv.prime("-vv")
    assert version_in(by_uv) == "2"
    check_secrecy(by_uv, result.stdout, result.stderr)
    said = by_uv.info()["index"]
    assert said["url"] == index.url(user="***")
    assert said["from"].endswith({"variable": "PIP_INDEX_URL", "PIP_CONFIG_FILE": "its.conf"}.get(way, "pip.conf"))
    assert "index" in by_uv.prime("info").stdout
    WAYS[way](by_uv, "index-url", index.url(user="mary:another"))
    assert "is current" in by_uv.prime().stderr
    WAYS[way](by_uv, "index-url", index.url("simple/", user=USER))
    assert "index-url of pip changed" in by_uv.prime().stderr


@pytest.mark.slow
def test_M9_further_settings_of_pip_reach_uv(by_uv, index, wheels, net):
    pip_conf(by_uv, "[global]\nno-index = true\nfind-links =\n  %s\n" % wheels.as_uri())
    assert version_in(by_uv) == "2"
    url, variables = net.settings()  # with a certificate, behind a proxy
    by_uv.config('dependencies = ["six"]')
    pip_conf(by_uv, "[global]\nindex-url = %s\nextra-index-url = %s\ncert = %s\nproxy = %s\n" % (
        url, url, variables["PIP_CERT"], variables["https_proxy"]))
    result = by_uv.prime("-v")
    assert by_uv.inside("import six; print(1)") == "1"
    check_secrecy(by_uv, result.stdout, result.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["variable", "uv.toml", "pyproject.toml", "the config"])
def test_M9_what_uv_is_told_goes_before_pip_s(by_uv, index, way):
    by_uv.env["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
    text = '[[tool.uv.index]]\nname = "own"\nurl = "%s"\ndefault = true\n' % index.url()
    if way == "variable":
        by_uv.env["UV_DEFAULT_INDEX"] = index.url()
    elif way == "uv.toml":
        by_uv.write("../home of a repo/.config/uv/uv.toml", text.replace("tool.uv.", ""))
    elif way == "pyproject.toml":
        by_uv.write("pyproject.toml", text)
    else:
        by_uv.config('dependencies = ["pk"]\nindex_url = "%s"' % index.url())
    assert version_in(by_uv) == "2"
    origin = {"variable": "UV_DEFAULT_INDEX", "the config": "index_url"}.get(way, way)
    assert by_uv.info()["index"]["from"].endswith(origin)


# -- what decides what is installed (M10) ----------------------------------------------------------


@pytest.mark.slow
def test_M10_variable_in_a_requirements_file(client, wheels):
    client.env.update({client.tool + "_NO_INDEX": "1", "VER": "1", "WHERE": wheels.as_uri()})
    client.write("requirements.txt", "pk @ ${WHERE}/pk-${VER}-py3-none-any.whl\n")
    client.config("")
    assert version_in(client) == "1"
    assert version_in(client, env={"VER": "2"}) == "2"
    client.settle()
    assert "is current" in client.prime(env={"VER": "2"}).stderr
    assert "${VER} changed" in client.prime("info", "--json", status=1, env={"VER": "3"}).stdout
    assert version_in(client, env={"VER": "1"}) == "1"
    assert len(client.generations) == 2


@pytest.mark.slow
def test_M10_constraints_of_the_user_s_by_content(client, wheels, tmp_path):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("pk<2\n")
    name = client.tool + "_CONSTRAINT"
    client.env.update({client.tool + "_FIND_LINKS": wheels.as_uri(), client.tool + "_NO_INDEX": "1"})
    assert version_in(client) == "2"
    assert version_in(client, env={name: str(constraints)}) == "1"
    client.settle()
    assert "is current" in client.prime(env={name: str(constraints)}).stderr
    constraints.write_text("pk<3\n")
    assert version_in(client, env={name: str(constraints)}) == "2"
    assert version_in(client) == "2"


DECIDING = {
    "PIP": ["PIP_PRE=1", "PIP_NO_DEPS=1", "PIP_INDEX_URL=http://127.0.0.1:9/simple", "PIP_NO_BINARY=nothing"],
    "UV": ["UV_OVERRIDE=overrides.txt", "UV_RESOLUTION=lowest", "UV_EXCLUDE_NEWER=2099-01-01", "UV_PRERELEASE=allow",
           "UV_INDEX=http://127.0.0.1:9/simple"],
}


@pytest.mark.slow
def test_M10_variables_that_decide_and_others(client, wheels):
    client.write("overrides.txt", "pk==1\n")
    client.env.update({client.tool + "_FIND_LINKS": wheels.as_uri(), client.tool + "_NO_INDEX": "1"})
    client.prime()
    client.settle()
    for setting in DECIDING[client.tool]:
        env = dict([setting.split("=")])
        reasons = json.loads(client.prime("info", "--json", env=env, status=1).stdout)["reasons"]
        assert any(name in " ".join(reasons) for name in (setting.split("=")[0], " of pip changed")), setting
    for env in ({"PIP_TIMEOUT": "9"}, {"UV_HTTP_TIMEOUT": "9"}, {"PIP_PROGRESS_BAR": "off"}):
        assert "is current" in client.prime(env=env).stderr
    if client.tool == "UV":
        assert version_in(client, env={"UV_OVERRIDE": "overrides.txt"}) == "1"


@pytest.mark.slow
def test_M10_index_that_was_there_for_the_build_alone(client, index):
    """As in the layers of an image, and in a CI job."""
    name = {"PIP": "PIP_INDEX_URL", "UV": "UV_DEFAULT_INDEX"}[client.tool]
    assert version_in(client, env={name: index.url()}) == "2"
    client.settle()
    client.prime(env={name: index.url()})
    for _ in range(2):
        assert "is current" in client.prime(env={name: None}).stderr
    assert "changed" in client.prime("info", status=1, env={name: index.url("other")}).stdout


@pytest.mark.slow
def test_M10_another_file_of_settings_is_named(client, wheels, tmp_path):
    make_wheel(tmp_path / "pk-3-py3-none-any.whl", "pk", "3")
    conf = {}
    for name, place in (("one", wheels), ("other", tmp_path)):
        conf[name] = str(client.write(name + ".conf", "[global]\nno-index = 1\nfind-links = %s\n" % place.as_uri()))
    assert version_in(client, env={"PIP_CONFIG_FILE": conf["one"]}) == "2"
    client.settle()
    for name, version in (("one", "2"), ("other", "3"), ("one", "2"), ("one", "2")):
        assert version_in(client, env={"PIP_CONFIG_FILE": conf[name]}) == version
        client.prime("info", env={"PIP_CONFIG_FILE": conf[name]})  # status 0: it is current
    assert len(client.generations) == 2
