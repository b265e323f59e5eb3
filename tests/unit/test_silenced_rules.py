"""A line that silences a rule or the type checker says which one and why."""

import re
from collections.abc import Iterator
from pathlib import Path

from conftest import CHECKOUT

SILENCED = re.compile(
    r"# (?:noqa\b|type: ignore\b)(?P<code>: [A-Z0-9, ]+|\[[\w, -]+\])?(?P<reason>.*)$"
)
PROGRAMS = (
    "broker",
    "portal",
    "dispatch-consumers",
    "gpu-inference",
    "observability",
    "infra",
)


def silenced(folder: str) -> Iterator[tuple[Path, int, re.Match[str]]]:
    """File, number and match of each silenced line."""
    for path in sorted((CHECKOUT / folder).rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if (found := SILENCED.search(line)) and "re.compile" not in line:
                yield path, number, found


def has_reason(found: re.Match[str]) -> bool:
    return bool(found["code"] and found["reason"].strip(" #-()"))


def test_every_silenced_line_of_the_tests_has_its_code_and_a_reason() -> None:
    bare = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path, number, found in silenced("tests")
        if not has_reason(found)
    ]

    assert bare == []


def test_every_silenced_line_of_the_programs_has_its_code_and_a_reason() -> None:
    """The reason of a line counts for the lines after it that silence the same."""
    bare, told = [], (Path(), 0, "")
    for folder in PROGRAMS:
        for path, number, found in silenced(folder):
            is_told = has_reason(found) or told == (path, number - 1, (found["code"] or "").strip())
            told = (path, number, (found["code"] or "").strip()) if is_told else (Path(), 0, "")
            if not is_told:
                bare.append(f"{path.relative_to(CHECKOUT)}:{number}")

    assert bare == []
