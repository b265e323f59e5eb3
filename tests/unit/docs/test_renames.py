"""The table of renames holds names that there are."""

import re

import pytest

from conftest import CHECKOUT

TABLE = CHECKOUT / "docs/renames.md"
FOLDERS = (
    "broker",
    "dispatch-consumers",
    "docs",
    "gpu-inference",
    "infra",
    "observability",
    "portal",
    "tests",
)
SUFFIXES = {".py", ".js", ".html", ".toml", ".yaml"}
ROW = re.compile(r"^\| (.+) \| (.+) \|$")


def words_of_the_code() -> set[str]:
    """Each word of the sources, and of their paths."""
    found = (path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*"))
    paths = [path for path in found if path.suffix in SUFFIXES]
    texts = [path.read_text("utf-8") for path in paths]
    places = [str(path.relative_to(CHECKOUT)) for path in paths]
    return {word for text in (*places, *texts) for word in re.findall(r"\w+", text)}


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    """The old and the new names of each row."""
    found = [ROW.match(line) for line in TABLE.read_text("utf-8").splitlines()]
    pairs = [(row[1], row[2]) for row in found if row]
    return [pair for pair in pairs if pair != ("old", "now")]


def test_each_name_of_now_is_in_the_code(rows: list[tuple[str, str]]) -> None:
    known = words_of_the_code()

    missing = {
        (old, word)
        for old, now in rows
        for name in re.findall(r"`([^`]+)`", now)
        for word in re.findall(r"\w+", name)
        if word not in known
    }

    assert len(rows) > 300
    assert missing == set()
