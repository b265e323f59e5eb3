"""DECISIONS.md can be read by subject, and says which entry supersedes which."""

import re

import pytest

from conftest import CHECKOUT

TEXT = (CHECKOUT / "DECISIONS.md").read_text("utf-8")
TITLES = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
INDEX = TEXT.partition("\n## ")[0]
LINES = re.findall(r"^\* (.+?)(?: \*\((superseded(?: in part)?)\)\*)?$", INDEX, flags=re.MULTILINE)
MARKED = re.findall(
    r"^## (.+)\n\n\*(Superseded(?: in part)?) by (.+)\.\*$", TEXT, flags=re.MULTILINE
)


@pytest.mark.parametrize("title", TITLES)
def test_every_entry_is_named_once_in_the_index(title: str) -> None:
    assert [named for named, _ in LINES].count(title) == 1, f"Add a line to the index: * {title}"


def test_the_index_names_nothing_else() -> None:
    assert {named for named, _ in LINES} == set(TITLES)


def test_the_index_marks_what_is_superseded() -> None:
    assert MARKED
    assert {named: mark.capitalize() for named, mark in LINES if mark} == {
        older: how for older, how, _ in MARKED
    }


def test_what_supersedes_an_entry_is_a_later_entry() -> None:
    assert all(TITLES.index(newer) > TITLES.index(older) for older, _, newer in MARKED)
