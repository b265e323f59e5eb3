"""What benchmarks say at their end: each goal with its result, and the reason of an early end."""

import subprocess
import sys
from pathlib import Path

from bench.side_by_side import table
from bench.side_by_side.done import Done, Step
from bench.side_by_side.loads import Measured

TESTS = Path(__file__).parents[1]

BROKEN = """
from support import commands

def bench() -> None:
    raise BrokenPipeError(32, "Broken pipe")

commands.run(bench)
"""


def _sides(ours: float, theirs: float, *, p99_ms: float = 1.0) -> dict[str, list[Measured]]:
    return {
        "reference": [Measured(value=theirs, generator=0.1, p99_ms=100)],
        "ours": [Measured(value=ours, generator=0.1, p99_ms=p99_ms)],
    }


def test_a_row_says_whether_its_goal_is_reached() -> None:
    results = {
        "submissions/s, 8 clients": _sides(290, 100),
        "claims/s, 8 claimers": _sides(260, 100),
        "others' p95 during an upload, ms": _sides(5, 20),
        "CPU of one ticket, ms": _sides(16, 100),
    }

    said = [line.strip() for line in table.lines(2000, results)]

    assert "2.90 of reference, goal at least 3: NOT REACHED" in said
    assert "2.60 of reference, goal at least 2.5: reached" in said
    assert "0.25 of reference, goal at most 1: reached" in said
    assert "0.16 of reference, goal at most 15: NOT REACHED" in said


def test_a_row_whose_generator_was_the_limit_or_that_had_errors_shows_no_goal() -> None:
    row, theirs = "claims/s, 8 claimers", [Measured(value=100, generator=0.1, errors=7)]
    busy = {**_sides(260, 100), "reference": [Measured(value=100, generator=0.6)]}
    wrong = {"reference": theirs, "ours": [Measured(value=260, generator=0.1, errors=3)]}
    slow = {"reference": theirs, "ours": [Measured(value=100, generator=0.1, errors=3)]}

    said = ["\n".join(table.lines(2000, {row: sides})) for sides in (busy, wrong, slow)]

    assert "goal at least 2.5: NOT SHOWN, the generator is the limit" in said[0]
    assert "goal at least 2.5: NOT SHOWN, 3 errors" in said[1]
    assert "goal at least 2.5: NOT REACHED" in said[2]
    assert not any("2.5: reached" in text for text in said)


def test_a_row_that_writes_says_what_is_on_disk() -> None:
    said = "\n".join(table.lines(2000, {"claims/s, 8 claimers": _sides(260, 100)}))

    assert said.count("(rows are fsynced, files are not)") == 1
    assert said.count("(rows and files are fsynced)") == 1


def test_status_polls_must_be_quick_in_the_tail_too() -> None:
    said = "\n".join(table.lines(2000, {table.STATUS_OF_32: _sides(2000, 100, p99_ms=11)}))

    assert (
        "goal at least 10: reached, p99 0.110 of reference, goal at most 0.1: NOT REACHED" in said
    )


def test_many_tickets_are_compared_with_few() -> None:
    few, many = ({table.DETAIL_OF_32: _sides(value, 10)} for value in (100, 85))

    (said,) = table.of_many({100: few, 100_000: many})

    assert "at 100000 tickets 0.85 of those at 100; goal at least 0.8: reached" in said


def test_a_row_without_the_reference_has_no_goal() -> None:
    results = {"claims/s, 8 claimers": {"ours": [Measured(value=260, generator=0.1)]}}

    assert "goal" not in "\n".join(table.lines(100, results))


def test_a_benchmark_goes_on_with_what_it_has_measured(tmp_path: Path) -> None:
    done = Done(by_tickets={}, steps=set())
    step = Step(tickets=100, repetition=1, row="writes", side="ours")
    done.add(step, [("claims/s, 8 claimers", Measured(value=260, generator=0.1))])

    done.write(tmp_path / "found.json")

    assert Done.read(tmp_path / "found.json") == done


def test_what_another_commit_has_measured_does_not_count(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    Done(by_tickets={100: {}}, steps=set()).write(found)
    found.write_text(found.read_text("utf-8").replace(table.commit(), "another"), "utf-8")

    assert Done.read(found).by_tickets == {}
    assert Done.read(tmp_path / "none.json").by_tickets == {}


def test_a_benchmark_that_loses_its_connection_says_so() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN],
        cwd=TESTS,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert ended.returncode == 1
    assert "A connection was closed by its other side." in ended.stderr
