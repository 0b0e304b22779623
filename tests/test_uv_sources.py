"""`[tool.uv.sources]`: what has a source comes from there, and no index is ever asked for it."""

import json
import os

import pytest
from conftest import project_text, python, uv_program
from helpers import Index, make_checkout, make_tree, make_wheel, run_git  # noqa

APPLICATION = '[project]\nname = "app"\nversion = "1"\ndependencies = %s\n'
FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'


@pytest.fixture
def strangers(wheelhouse, tmp_path):
    """An index that has packages of strangers, by the names of those that the repos have themselves."""
    wheels = tmp_path / "strangers"
    wheels.mkdir()
    for path in wheelhouse.glob("*.whl"):
        os.link(str(path), str(wheels / path.name))
    for name in ("pk", "my_lib", "deep"):
        make_wheel(wheels / (name + "-99-py3-none-any.whl"), name, "99")
    index = Index(wheels)
    yield index
    index.close()


@pytest.fixture
def owner(index_client, strangers):
    """A repo that has packages itself, and takes others from the strangers' index."""
    (index_client.path / "proto_prime.toml").unlink()
    for name in ("pk", "my_lib", "deep"):
        make_tree(index_client.path / "lib" / name, name, "7")
    index_client.env.update(PIP_INDEX_URL=strangers.url(), UV_DEFAULT_INDEX=strangers.url())
    index_client.link("uv", uv_program())
    return index_client


def depend(repo, name, dependencies, more=""):
    """Let one of the repo's own packages depend on others."""
    text = project_text(name, dependencies, more).replace('version = "1"', 'version = "7"')
    (repo.path / "lib" / name / "pyproject.toml").write_text(text)


def installed(repo, *words, **options):
    """The versions of what is installed, by name, less pip and what an old pip needs."""
    code = "import json; from importlib.metadata import distributions as all; " \
        "print(json.dumps({one.metadata['Name'].lower(): one.version for one in all()}))"
    versions = json.loads(repo.inside(code, **options))
    return {name.replace("_", "-"): version for name, version in versions.items() if name not in ("pip", "setuptools")}


def asked(index):
    """The names of the packages that an index was asked for."""
    return {path.strip("/").split("/")[1].lower().replace("_", "-") for path, _ in index.asked
            if path.startswith("/simple/")}


def is_editable(repo, name):
    path = next(repo.current.glob("lib/python*/site-packages/%s-*.dist-info/direct_url.json" % name))
    return json.loads(path.read_text()).get("dir_info", {}).get("editable", False)


PK = '[tool.uv.sources]\npk = { path = "lib/pk" }\n'
WORKSPACE = '[tool.uv.sources]\npk = { workspace = true }\n[tool.uv.workspace]\nmembers = ["lib/*"]\n'
SHAPES = {
    "group": '[dependency-groups]\ndev = ["Pk>=9", "six"]\n' + PK,
    "group with include": '[dependency-groups]\ndev = [{include-group = "x"}, "six"]\nx = ["pk"]\n' + PK,
    "group of a project": FLIT + APPLICATION % '["six"]' + 'description = "-"\n[tool.flit.module]\nname = "app"\n'
                          '[dependency-groups]\ndev = ["pk"]\n' + PK,
    "project": FLIT + APPLICATION % '["six", "pk"]' + 'description = "-"\n[tool.flit.module]\nname = "app"\n' + PK,
    "application": APPLICATION % '["six", "pk"]' + PK,
    "package = false": FLIT + APPLICATION % '["six", "pk"]' + '[tool.uv]\npackage = false\n' + PK,
    "extra": APPLICATION % '["six"]' + '[project.optional-dependencies]\nx = ["pk"]\n' + PK +
             '[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"]}]\n',
    "dependencies of the config": PK + '[tool.proto-prime]\ndependencies = ["pk", "six"]\n',
    "workspace": APPLICATION % '["six", "pk"]' + WORKSPACE,
    "group and workspace": '[dependency-groups]\ndev = ["pk", "six"]\n' + WORKSPACE,
    "marker": APPLICATION % '["six", "pk"]' + '[tool.uv.sources]\npk = [{path = "none", marker = "sys_platform == \'no\'"'
              '}, {path = "lib/pk", marker = "sys_platform != \'no\'"}]\n',
    "extra of the source": APPLICATION % '["six"]' + '[project.optional-dependencies]\nx = ["pk"]\n[tool.uv.sources]\n'
                           'pk = { path = "lib/pk", extra = "x" }\n[tool.proto-prime]\n'
                           'projects = [{path = ".", extras = ["x"]}]\n',
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_R1_what_has_a_source_comes_from_there(owner, strangers, driver, shape):
    owner.write("app.py", '"""An application."""\n')
    owner.write("pyproject.toml", SHAPES[shape])
    owner.prime()
    versions = installed(owner)
    assert versions.pop("app", "1") == "1"
    assert set(versions) == {"pk", "six"} and versions["pk"] == "7"
    assert asked(strangers) - {"flit-core", "setuptools", "wheel"} == {"six"}
    assert is_editable(owner, "pk") == ("workspace" in shape)
