"""The long files of the suite begin first."""

from dataclasses import dataclass
from pathlib import Path

from support.lanes import LONGEST, TESTS, longest_first


@dataclass
class Item:
    path: Path
    name: str


def items_of(file: str) -> list[Item]:
    return [Item(TESTS / file, name) for name in ("test_b", "test_a")]


def test_each_long_file_is_there_and_named_once() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_long_files_begin_first_and_the_rest_keeps_its_order() -> None:
    first, second = items_of(LONGEST[0]), items_of(LONGEST[1])
    short, shorter = items_of("unit/test_lanes.py"), items_of("unit/test_decisions.py")

    begun = longest_first([*short, *second, *shorter, *first])

    assert begun == [*first, *second, *short, *shorter]
