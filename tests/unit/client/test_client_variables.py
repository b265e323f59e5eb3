"""``dss`` warns of a misspelt environment variable, and of no other program's variable."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import dss_client
import dss_provider
from conftest import CHECKOUT
from dss_client.__main__ import main
from dss_client.command_group import VARIABLES
from support.setting_classes import COMPOSE, KINDS

OWN_MARK = "DSS_WORK"
"""Set by ``dss service`` for the processes of an algorithm; the user never sets it."""


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, words, env=environment)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("DSS_SERVR", "DSS_SERVER"),
        ("DSS_SEVRER", "DSS_SERVER"),
        ("dss_server", "DSS_SERVER"),
        ("DSS_TOKNE", "DSS_TOKEN"),
        ("DSS_CONTAINER_ENGIN", "DSS_CONTAINER_ENGINE"),
    ],
)
def test_a_misspelt_variable_is_told_on_standard_error(given: str, meant: str) -> None:
    done = run("--version", **{given: "http://127.0.0.1:9"})

    assert done.stderr == f"{given} is no setting and has no effect; did you mean {meant}?\n"
    assert done.stdout.startswith("dss ")


def test_output_for_programs_stays_json(tmp_path: Path) -> None:
    done = run("images", str(tmp_path), "--json", DSS_SERVR="http://127.0.0.1:9")

    assert "DSS_SERVR" in done.stderr
    assert json.loads(done.stdout) == []


def test_its_own_variables_and_those_of_a_site_are_not_told() -> None:
    settings = [f"DSS_{field.upper()}" for kind in KINDS for field in kind.model_fields]
    names = [*VARIABLES, *settings, *(f"{name}_FILE" for name in settings), *COMPOSE, OWN_MARK]

    assert run("--version", **dict.fromkeys(names, "1")).stderr == ""


def test_every_variable_that_its_code_reads_is_known() -> None:
    found = {
        text
        for package in (dss_client, dss_provider)
        for path in Path(package.__path__[0]).rglob("*.py")
        for text in _names_in(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert found - {OWN_MARK} == set(VARIABLES)


def test_the_reference_has_a_row_for_each_variable() -> None:
    page = (CHECKOUT / "docs/pages/reference/commands.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^\| `(DSS_\w+)` \|", page, re.MULTILINE)) == sorted(VARIABLES)


def _names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
            if name.startswith("DSS_") and name.isascii() and name.isidentifier():
                yield name
