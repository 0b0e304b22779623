"""From any python to the required one, stage by stage."""

import pytest
from conftest import PYTHONS, python


@pytest.mark.slow
@pytest.mark.parametrize("wild", sorted(PYTHONS, key=lambda version: int(version.split(".")[1])))
def test_any_wild_python_ends_in_the_required_one(repo, driver, wild):
    repo.project(more='[tool.proto-prime]\nrequired_python_version = "3.12"')
    repo.link("python3.12", python("3.12"))
    result = repo.prime("-v", python=PYTHONS[wild])
    assert result.stdout == ""
    assert "stage wild: %s" % PYTHONS[wild] in result.stderr
    assert "stage required" in result.stderr
    assert "stage venv: " in result.stderr
    assert repo.inside("import six, client, sys; print(sys.version_info[:2])", python=PYTHONS[wild]) == "(3, 12)"
