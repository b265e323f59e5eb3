"""A command imports what it needs, and no server: that would take most of its time."""

import subprocess
import sys

import pytest

from dss_portal.__main__ import main
from dss_portal.start import program

pytestmark = pytest.mark.slow

SERVER = {
    "quart",
    "hypercorn",
    "authlib",
    "werkzeug",
    "jinja2",
    "dss_portal.app",
    "dss_broker.rabbit",
}

_RUN = """
import sys
from dss_portal.start import program
try:
    program(sys.argv[1:])(sys.argv[1:])
finally:
    print("imported", *sys.modules, sep="\\n")
"""


@pytest.mark.parametrize("words", [["users", "add"], ["tiers", "list"], ["tokens", "list"]])
def test_a_command_about_people_imports_no_server(words: list[str]) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _RUN, *words, "--help"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout

    help_text, _, imported = said.partition("imported\n")
    assert "Usage:" in help_text
    assert not SERVER & set(imported.splitlines())


def test_every_other_command_is_the_whole_programs() -> None:
    for words in (["serve"], ["serve", "--help"], ["unknown"]):
        assert program(words) is main


def test_every_group_has_the_commands_that_the_whole_program_has() -> None:
    whole = {group.name: group.typer_instance for group in main.registered_groups}

    for name in ("users", "tiers", "tokens", "providers", "services"):
        (found,) = program([name]).registered_groups
        assert (found.name, found.typer_instance) == (name, whole[name])
