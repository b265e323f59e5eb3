"""A publisher that is killed forgets none of its tickets, and two publishers never work on the same one."""

from pathlib import Path

import pytest

from dss_provider.held import HeldTickets, held_in


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"held-{i}.json" for i in range(3)]


def killed(held: HeldTickets) -> None:
    """Its lock goes with the process, its file stays."""
    held.close()


def test_tickets_of_an_earlier_run_stay_until_they_have_ended(paths: list[Path]) -> None:
    first = held_in(paths)
    first.add(1)
    first.add(2)
    killed(first)

    second = held_in(paths)
    assert second.before() == [1, 2]
    second.add(2)  # it goes on with one of them, and is killed, too
    killed(second)

    third = held_in(paths)
    assert third.before() == [1, 2]
    third.remove(1)
    killed(third)
    assert held_in(paths).before() == [2]


def test_a_second_publisher_leaves_the_tickets_of_the_first_alone(paths: list[Path]) -> None:
    first = held_in(paths)
    first.add(1)

    second = held_in(paths)

    assert second.before() == []
    second.add(2)
    assert first.before() == [1]


def test_a_restart_takes_over_from_all_that_were_killed(paths: list[Path]) -> None:
    first, second = held_in(paths), held_in(paths)
    first.add(1)
    second.add(2)
    killed(first)
    killed(second)

    found = held_in(paths)

    assert found.before() == [1, 2]
    assert held_in(paths).before() == [], "they were taken over"


def test_a_damaged_file_is_an_empty_one(paths: list[Path]) -> None:
    paths[0].write_text('{"half', encoding="utf-8")

    assert held_in(paths).before() == []


def test_more_publishers_than_files_are_refused(paths: list[Path]) -> None:
    kept = [held_in(paths) for _ in paths]

    with pytest.raises(BlockingIOError):
        held_in(paths)
    assert len(kept) == 3
