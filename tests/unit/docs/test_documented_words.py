"""Commands that the documentation names in its text exist, with the options that it gives them."""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import click
import pytest
from typer.main import get_command

from conftest import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "docs"))
generated, hooks = import_module("generated"), import_module("hooks")

FILES = sorted(
    {*(CHECKOUT / "docs/pages").rglob("*.md"), CHECKOUT / "README.md"}
    | {CHECKOUT / name for name in hooks.INCLUDED}
)
INLINE = re.compile(r"`((?:dss|dss-portal|dss-dispatch|dss-inference|make) [^`\n]+)`")
BLOCK = re.compile(r"^ *```[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(
    r"^\s*(?:\$ )?((?:dss|dss-portal|dss-dispatch|dss-inference|make) [^\n]+)$", re.MULTILINE
)
HISTORY = {"DECISIONS.md"}
"""Tells of commands as they were."""


def named(text: str) -> Iterator[str]:
    yield from (found[1] for found in INLINE.finditer(text))
    for block in BLOCK.finditer(text):
        yield from (found[1] for found in LINE.finditer(block[1]))


def words_of(line: str) -> list[str]:
    """The words of the first command of the line."""
    found = shlex.split(line.replace("...", " "), comments=True)
    ends = [n for n, word in enumerate(found) if word in {"|", "&&", ">", "2>", ";", "||"}]
    return found[: ends[0]] if ends else found


CASES = [
    pytest.param(line, id=f"{path.name}: {line}")
    for path in FILES
    if path.name not in HISTORY
    for line in sorted(set(named(path.read_text(encoding="utf-8"))))
]


def program(name: str) -> Any:
    """The command of click, or of the click that typer brings."""
    main = import_module(generated.PROGRAMS[name]).main
    return main if isinstance(main, click.Command) else get_command(main)


def inner_of(command: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = generated._inner(command)
    return found


def missing(command: Any, words: Sequence[str]) -> str:
    """What in ``words`` the command does not know; "" if it knows all."""
    if (commands := inner_of(command)) and words and not words[0].startswith("-"):
        inner = commands.get(words[0])
        if inner is None:
            return words[0] if words[0].islower() else ""  # NAME stands for any
        return missing(inner, words[1:])
    if command.context_settings.get("ignore_unknown_options"):
        return ""  # they are those of a program that it runs
    known = {"--help", "-h", "--version"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((word for word in given if word not in known), "")


@pytest.mark.parametrize("line", CASES)
def test_a_command_of_the_documentation_exists(line: str) -> None:
    name, *words = words_of(line)
    if name == "make":
        targets = re.findall(
            r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE
        )
        assert [w for w in words if re.fullmatch("[a-z-]+", w) and w not in targets][:1] == []
        return

    assert missing(program(name), words) == ""


def test_there_are_commands() -> None:
    assert len(CASES) > 100
