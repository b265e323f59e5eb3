"""What was measured of several sides, as a table with ratios and goals."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.side_by_side.loads import Measured

OURS, POOLED = "ours", "ours, PgBouncer"
REFERENCE, UWSGI = "reference", "reference, uWSGI 4x4"
MOST_GENERATOR = 0.5

Results = dict[str, dict[str, list[Measured]]]
"""By row and side."""

STATUS_OF_32, DETAIL_OF_32 = "status polls/s, 32 clients", "detail polls/s, 32 clients"
PEAK = "peak memory during downloads, MB"

MOST_OF_REFERENCE = {"others' p95 during an upload, ms": 1.0}
LEAST_OF_REFERENCE = {
    STATUS_OF_32: 10.0,
    DETAIL_OF_32: 6.0,
    "submissions/s, 8 clients": 3.0,
    "claims/s, 8 claimers": 2.5,
    "progress and log posts/s, 8": 4.0,
    "256 MB upload, MB/s": 0.9,
    "256 MB download by 1, MB/s": 4.0,
    "256 MB download by 4, MB/s": 12.0,
}
MOST = {"CPU of one ticket, ms": 15.0, PEAK: 150.0}
MOST_P99 = 0.1
LEAST_OF_FEW_TICKETS = 0.8


def lines(tickets: int, results: Results) -> Iterator[str]:
    """Medians; in brackets the range, the p99 and what the generator took of a core."""
    yield f"\n{tickets} tickets, commit {commit()}"
    for row, by_side in results.items():
        yield row
        for name, measured in by_side.items():
            yield _line(name, measured)
        if OURS in by_side:
            yield f"  {'':22}{_verdict(row, by_side)}"


def of_many(by_tickets: dict[int, Results]) -> Iterator[str]:
    """Detail polls with most tickets in the database, compared with those with fewest."""
    found = {
        tickets: _middle(results[DETAIL_OF_32][OURS])
        for tickets, results in by_tickets.items()
        if OURS in results.get(DETAIL_OF_32, {})
    }
    if len(found) > 1:
        few, many = min(found), max(found)
        ratio = found[many] / (found[few] or 1)
        goal = _goal("at least", LEAST_OF_FEW_TICKETS, is_reached=ratio >= LEAST_OF_FEW_TICKETS)
        yield f"\n{DETAIL_OF_32}: at {many} tickets {ratio:.2f} of those at {few}; {goal}"


def commit() -> str:
    """The commit, marked if files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return said.stdout.strip() or "unknown"


def _line(name: str, measured: list[Measured]) -> str:
    values = [m.value for m in measured]
    generator = median(m.generator for m in measured)
    mark = "  INVALID: the generator is the limit" if generator > MOST_GENERATOR else ""
    return (
        f"  {name:22}{median(values):9.1f} [{min(values):.1f}..{max(values):.1f}]"
        f"  p99 {_p99_ms(measured):8.1f} ms  generator {generator:.2f}"
        f"  errors {sum(m.errors for m in measured)}{mark}"
    )


def _verdict(row: str, by_side: dict[str, list[Measured]]) -> str:
    """Ours by each other side, and whether the goal is reached."""
    ours = _middle(by_side[OURS])
    ratios = {
        other: ours / (_middle(measured) or 1)
        for other, measured in by_side.items()
        if other != OURS
    }
    said = [f"{ratio:.2f} of {other}" for other, ratio in ratios.items()]
    if row in MOST:
        said.append(_goal("at most", MOST[row], is_reached=ours <= MOST[row]))
    elif REFERENCE in ratios:
        ratio = ratios[REFERENCE]
        if (least := LEAST_OF_REFERENCE.get(row)) is not None:
            said.append(_goal("at least", least, is_reached=ratio >= least))
        if (most := MOST_OF_REFERENCE.get(row)) is not None:
            said.append(_goal("at most", most, is_reached=ratio <= most))
        if row == STATUS_OF_32:
            p99 = _p99_ms(by_side[OURS]) / (_p99_ms(by_side[REFERENCE]) or 1)
            goal = _goal("at most", MOST_P99, is_reached=p99 <= MOST_P99)
            said.append(f"p99 {p99:.3f} of {REFERENCE}, {goal}")
    return ", ".join(said)


def _goal(word: str, value: float, *, is_reached: bool) -> str:
    return f"goal {word} {value:g}: {'reached' if is_reached else 'NOT REACHED'}"


def _middle(measured: list[Measured]) -> float:
    return median(m.value for m in measured)


def _p99_ms(measured: list[Measured]) -> float:
    return median(m.p99_ms for m in measured)
