"""Ours beside the reference server on the same disk, by the same client: polls, writes, files, CPU.

``python tests/bench/bench_http.py --quick``: under four minutes.  Prints a table with the ratios and writes
JSON.  wrk (the package of that name) does the polling.  On a busy machine only the ratios of one run say anything.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import loads, sides
from bench.side_by_side.client import MB
from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import Side
from support.stacks import leave_nothing_running

MOST_GENERATOR = 0.5
LESS_IS_BETTER = {"others' p95 during an upload, ms", "CPU of one ticket, ms"}

Row = tuple[str, Measured]
Results = dict[str, dict[str, list[Measured]]]


def bench(
    *,
    quick: Annotated[bool, typer.Option(help="2,000 tickets, 32 clients, one repetition.")] = False,
    tickets: Annotated[list[int] | None, typer.Option(help="In the database.")] = None,
    clients: Annotated[list[int] | None, typer.Option(help="Of the polls.")] = None,
    repeat: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each row.")] = 5.0,
    uwsgi: Annotated[bool, typer.Option(help="The reference by uWSGI as well.")] = True,
    processes: Annotated[int, typer.Option(help="Of our portal.")] = 1,
    only: Annotated[str, typer.Option(help="Rows that begin so.")] = "",
    out: Annotated[Path, typer.Option(help="JSON.")] = Path("bench-http.json"),
) -> None:
    leave_nothing_running()
    if quick:
        repeat, seconds = 1, 2.0
    found: dict[int, Results] = {}
    for count in tickets or ([2000] if quick else [100, 2000, 100_000]):
        found[count] = _measure(
            count,
            clients or ([32] if quick else [1, 8, 32, 128]),
            repeat,
            seconds,
            only,
            uwsgi=uwsgi,
            processes=processes,
        )
        _show(count, found[count])
    written = {
        count: {
            row: {side: [asdict(m) for m in ms] for side, ms in by.items()}
            for row, by in rows.items()
        }
        for count, rows in found.items()
    }
    out.write_text(
        json.dumps({"commit": _commit(), "tickets": written}, indent=1), encoding="utf-8"
    )


def _measure(
    tickets: int,
    clients: list[int],
    repeat: int,
    seconds: float,
    only: str,
    *,
    uwsgi: bool,
    processes: int,
) -> Results:
    """Side after side within each repetition, so that all see the same machine."""
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        rabbit, postgres = stack.enter_context(sides.servers(folder))
        measured = [
            stack.enter_context(sides.reference(folder / "reference", tickets)),
            stack.enter_context(sides.ours(folder / "ours", rabbit, postgres, tickets, processes)),
        ]
        if uwsgi:
            measured.append(
                stack.enter_context(sides.reference(folder / "uwsgi", tickets, uwsgi=True))
            )
        for side in measured:
            typer.echo(f"{side.name}: {side.promises}")
        for _ in range(repeat):
            for row, load in _rows(clients, seconds):
                if not row.startswith(only):
                    continue
                for side in measured:
                    for label, one in load(side):
                        results.setdefault(label, {}).setdefault(side.name, []).append(one)
    return results


def _rows(
    clients: list[int], seconds: float
) -> Iterator[tuple[str, Callable[[Side], Iterator[Row]]]]:
    for what in ("status", "detail"):
        for count in clients:
            yield f"{what} polls/s", _polls(what, count, seconds)
    yield "writes", lambda side: _writes(side, seconds)
    yield "files", _files
    yield "CPU", lambda side: iter([("CPU of one ticket, ms", loads.one_ticket(side, 10))])


def _polls(what: str, count: int, seconds: float) -> Callable[[Side], Iterator[Row]]:
    return lambda side: iter(
        [(f"{what} polls/s, {count} clients", loads.poll(side, what, count, seconds))]
    )


def _writes(side: Side, seconds: float) -> Iterator[Row]:
    yield "submissions/s, 8 clients", loads.submit(side, seconds)
    given: dict[int, list[int]] = {}
    yield "claims/s, 8 claimers", loads.claim(side, seconds, given)
    yield "progress and log posts/s, 8", loads.report(side, seconds, given)


def _files(side: Side) -> Iterator[Row]:
    sent, others = loads.upload(side, 256 * MB)
    yield "256 MB upload, MB/s", sent
    yield "others' p95 during an upload, ms", others
    for readers in (1, 4):
        yield f"256 MB download by {readers}, MB/s", loads.download(side, 256 * MB, readers)


def _show(tickets: int, results: Results) -> None:
    """Medians; in brackets the range, the p99 and what the generator took of a core."""
    typer.echo(f"\n{tickets} tickets, commit {_commit()}")
    for row, by_side in results.items():
        typer.echo(row)
        for name, measured in by_side.items():
            values = [m.value for m in measured]
            ratio = _ratio(row, by_side, name)
            generator = median(m.generator for m in measured)
            mark = "  INVALID: the generator is the limit" if generator > MOST_GENERATOR else ""
            typer.echo(
                f"  {name:22}{median(values):9.1f} [{min(values):.1f}..{max(values):.1f}]"
                f"  p99 {median(m.p99_ms for m in measured):8.1f} ms  generator {generator:.2f}"
                f"  errors {sum(m.errors for m in measured)}  {ratio}{mark}"
            )


def _ratio(row: str, by_side: dict[str, list[Measured]], name: str) -> str:
    if name != "ours":
        return ""
    ours = median(m.value for m in by_side[name])
    ratios = [
        f"{ours / (median(m.value for m in measured) or 1):.2f} of {other}"
        for other, measured in by_side.items()
        if other != name
    ]
    return ", ".join(ratios) + (" (less is better)" if row in LESS_IS_BETTER else "")


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return said.stdout.strip()


if __name__ == "__main__":
    typer.run(bench)
