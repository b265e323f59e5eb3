"""What was measured of several sides, as a table with ratios and goals."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import PROMISES

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
    "256 MB download by 1, MB/s": 5.0,
    "256 MB download by 4, MB/s": 12.0,
}
MOST = {"CPU of one ticket, ms": 15.0, PEAK: 150.0}
MOST_P99 = 0.1
WRITES = ("submissions", "claims", "progress", "256 MB upload", "CPU of one ticket")
"""How the names of rows begin that write: beside them stands what is on disk by then."""
CLOSES = "  (wrk counts each connection that the server closes)"
LEAST_OF_FEW_TICKETS = 0.8


def lines(tickets: int, results: Results) -> Iterator[str]:
    """Medians; in brackets the range, the p99 and what the generator took of a core."""
    yield f"\n{tickets} tickets, commit {commit()}"
    for row, by_side in results.items():
        yield row
        for name, measured in by_side.items():
            yield _line(name, measured) + _remark(row, name, measured)
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
        doubts = [_doubt(by_tickets[count][DETAIL_OF_32]) for count in (few, many)]
        least = LEAST_OF_FEW_TICKETS
        goal = _goal("at least", least, is_reached=ratio >= least, doubt=max(doubts))
        yield f"\n{DETAIL_OF_32}: at {many} tickets {ratio:.2f} of those at {few}; {goal}"


def commit() -> str:
    """The commit, marked if files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return said.stdout.strip() or "unknown"


def _line(name: str, measured: list[Measured]) -> str:
    values = [m.value for m in measured]
    generator = _generator(measured)
    mark = "  INVALID: the generator is the limit" if generator > MOST_GENERATOR else ""
    return (
        f"  {name:22}{median(values):9.1f} [{min(values):.1f}..{max(values):.1f}]"
        f"  p99 {_p99_ms(measured):8.1f} ms  generator {generator:.2f}"
        f"  errors {sum(m.errors for m in measured)}{mark}"
    )


def _remark(row: str, name: str, measured: list[Measured]) -> str:
    if row.startswith(WRITES):
        return f"  ({PROMISES[name]})"
    return CLOSES if name == UWSGI and any(m.errors for m in measured) else ""


def _verdict(row: str, by_side: dict[str, list[Measured]]) -> str:
    """Ours by each other side, and whether the goal is reached; "NOT SHOWN" if the row cannot tell that."""
    ours = _middle(by_side[OURS])
    ratios = {
        other: ours / (_middle(measured) or 1)
        for other, measured in by_side.items()
        if other != OURS
    }
    said = [f"{ratio:.2f} of {other}" for other, ratio in ratios.items()]
    doubt = _doubt(by_side)
    if row in MOST:
        said.append(_goal("at most", MOST[row], is_reached=ours <= MOST[row], doubt=doubt))
    elif REFERENCE in ratios:
        ratio = ratios[REFERENCE]
        if (least := LEAST_OF_REFERENCE.get(row)) is not None:
            said.append(_goal("at least", least, is_reached=ratio >= least, doubt=doubt))
        if (most := MOST_OF_REFERENCE.get(row)) is not None:
            said.append(_goal("at most", most, is_reached=ratio <= most, doubt=doubt))
        if row == STATUS_OF_32:
            p99 = _p99_ms(by_side[OURS]) / (_p99_ms(by_side[REFERENCE]) or 1)
            goal = _goal("at most", MOST_P99, is_reached=p99 <= MOST_P99, doubt=doubt)
            said.append(f"p99 {p99:.3f} of {REFERENCE}, {goal}")
    return ", ".join(said)


def _doubt(by_side: dict[str, list[Measured]]) -> str:
    """Why a good result would not count; "" if it does."""
    compared = [by_side[name] for name in (OURS, REFERENCE) if name in by_side]
    if any(_generator(measured) > MOST_GENERATOR for measured in compared):
        return "the generator is the limit"
    errors = sum(m.errors for m in by_side[OURS])
    return f"{errors} errors" if errors else ""


def _goal(word: str, value: float, *, is_reached: bool, doubt: str = "") -> str:
    result = "reached" if is_reached else "NOT REACHED"
    return f"goal {word} {value:g}: {f'NOT SHOWN, {doubt}' if is_reached and doubt else result}"


def _middle(measured: list[Measured]) -> float:
    return median(m.value for m in measured)


def _generator(measured: list[Measured]) -> float:
    return median(m.generator for m in measured)


def _p99_ms(measured: list[Measured]) -> float:
    return median(m.p99_ms for m in measured)
