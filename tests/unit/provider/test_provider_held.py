"""A publisher that is killed forgets none of its tickets, and two publishers never work on the same one."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from dss_provider import held
from dss_provider.errors import ServiceInvalid
from dss_provider.held import HeldTickets, open_first_free


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"held-{i}.json" for i in range(3)]


def killed(publisher: HeldTickets) -> None:
    """Its lock goes with the process, its file stays."""
    publisher.close()


def test_tickets_of_an_earlier_run_stay_until_they_have_ended(paths: list[Path]) -> None:
    first = open_first_free(paths)
    first.add(1)
    first.add(2)
    killed(first)

    second = open_first_free(paths)
    assert second.before() == [1, 2]
    second.add(2)  # it goes on with one of them, and is killed, too
    killed(second)

    third = open_first_free(paths)
    assert third.before() == [1, 2]
    third.remove(1)
    killed(third)
    assert open_first_free(paths).before() == [2]


def test_what_is_held_is_on_the_disk_before_it_has_its_name(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("flushed")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append("renamed")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    open_first_free(paths).add(1)

    assert done[:2] == ["flushed", "renamed"]


def test_a_second_publisher_leaves_the_tickets_of_the_first_alone(paths: list[Path]) -> None:
    first = open_first_free(paths)
    first.add(1)

    second = open_first_free(paths)

    assert second.before() == []
    second.add(2)
    assert first.before() == [1]


def test_a_restart_takes_over_from_all_that_were_killed(paths: list[Path]) -> None:
    first, second = open_first_free(paths), open_first_free(paths)
    first.add(1)
    second.add(2)
    killed(first)
    killed(second)

    found = open_first_free(paths)

    assert found.before() == [1, 2]
    assert open_first_free(paths).before() == [], "they were taken over"


def test_a_damaged_file_is_an_empty_one(paths: list[Path]) -> None:
    paths[0].write_text('{"half', encoding="utf-8")

    assert open_first_free(paths).before() == []


def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(paths: list[Path]) -> None:
    paths[1].mkdir()  # the administrator may read every file, but no folder
    first = open_first_free(paths[:1])

    with pytest.raises(ServiceInvalid, match=r"held-1\.json, cannot be read"):
        open_first_free(paths)

    paths[1].rmdir()
    first.close()
    assert open_first_free(paths).before() == []


def test_more_publishers_than_files_are_refused(paths: list[Path]) -> None:
    kept = [open_first_free(paths) for _ in paths]

    with pytest.raises(ServiceInvalid, match="3 programs publish this folder"):
        open_first_free(paths)
    assert len(kept) == 3


def test_a_publisher_that_hangs_at_its_start_is_told(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "OPENING_S", 0.0)

    opening = paths[0].with_suffix(".opening")

    with held._alone(opening), pytest.raises(ServiceInvalid, match="hangs at its start"):
        open_first_free(paths)


def test_tickets_in_two_files_go_to_one_of_two_publishers(paths: list[Path]) -> None:
    """As a publisher leaves them that is killed while it takes over a file."""
    for path in paths[:2]:
        path.write_text('{"tickets": [7], "keys": ["one-key"]}', encoding="utf-8")

    first, second = open_first_free(paths), open_first_free(paths)

    assert (first.before(), first.keys()) == ([7], ["one-key"])
    assert (second.before(), second.keys()) == ([], [])


PUBLISHER = """
import sys, time
from pathlib import Path
from dss_provider.held import open_first_free

folder = Path(sys.argv[1])
mine = open_first_free([folder / f"held-{i}.json" for i in range(6)])
print(*mine.before(), flush=True)
time.sleep(60)
"""


def test_publishers_that_start_at_once_share_what_killed_ones_have_left(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"held-{i}.json").write_text(f'{{"tickets": [{i}, 9]}}', encoding="utf-8")
    command = [sys.executable, "-c", PUBLISHER, str(tmp_path)]

    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8"))
            for _ in range(5)
        ]
        for one in running:
            stack.callback(one.kill)
        lines = [one.stdout.readline().split() for one in running if one.stdout]

    assert sorted(number for line in lines for number in line) == ["0", "1", "2", "3", "9"]
