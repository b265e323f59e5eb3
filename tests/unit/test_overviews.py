"""The list of a program's commands needs no import of the program, and says the same as the whole program."""

from importlib import import_module

import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.slow

WIDE = {"COLUMNS": "200"}
"""A line of help is not wrapped, which rich does otherwise for one paragraph than for several."""


@pytest.mark.parametrize("program", ["dss_portal", "dss_dispatch", "dss_inference"])
@pytest.mark.parametrize("words", [[], ["--help"], ["--version"]])
def test_the_overview_prints_what_the_whole_program_prints(program: str, words: list[str]) -> None:
    start, whole = import_module(f"{program}.start"), import_module(f"{program}.__main__").main
    name, runner = program.replace("_", "-"), CliRunner()
    light = start.program(words)

    shown = runner.invoke(light, words, prog_name=name, env=WIDE)

    assert light is not whole
    expected = runner.invoke(whole, words, prog_name=name, env=WIDE)
    assert (shown.exit_code, shown.output) == (expected.exit_code, expected.output)
    assert shown.output.strip()


@pytest.mark.parametrize("program", ["dss_dispatch", "dss_inference"])
@pytest.mark.parametrize("words", [["serve"], ["serve", "--help"], ["unknown"]])
def test_everything_else_is_the_whole_program(program: str, words: list[str]) -> None:
    whole = import_module(f"{program}.__main__").main

    assert import_module(f"{program}.start").program(words) is whole
