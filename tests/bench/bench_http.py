"""Ours beside the reference server on the same disk, by the same client: polls, writes, files, CPU.

``python tests/bench/bench_http.py --quick``: under four minutes.  Prints a table with the ratios and writes
JSON.  wrk (the package of that name) does the polling.  On a busy machine only the ratios of one run say anything.
"""

import http.client
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import loads, sides, table
from bench.side_by_side.client import MB
from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import Side
from bench.side_by_side.table import PEAK, Results
from support import commands
from support.stacks import leave_nothing_running

Row = tuple[str, Measured]


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
    failures: list[str] = []
    for count in tickets or ([2000] if quick else [100, 2000, 100_000]):
        results = found.setdefault(count, {})
        try:
            for row in _measured(
                count,
                clients or ([32] if quick else [1, 8, 32, 128]),
                repeat,
                seconds,
                only,
                uwsgi=uwsgi,
                processes=processes,
            ):
                match row:
                    case str():
                        failures.append(row)
                    case label, side, measured:
                        results.setdefault(label, {}).setdefault(side, []).append(measured)
        finally:  # an hour of measuring is not lost to what ends it
            typer.echo("\n".join(table.lines(count, results)))
            table.write(out, found)
    typer.echo("\n".join(table.of_many(found)))
    if failures:
        raise SystemExit("\n".join(["Rows that could not be measured:", *failures]))


def _measured(
    tickets: int,
    clients: list[int],
    repeat: int,
    seconds: float,
    only: str,
    *,
    uwsgi: bool,
    processes: int,
) -> Iterator[tuple[str, str, Measured] | str]:
    """Row, side and value; a sentence for a load that failed.

    Side after side within each repetition, so that all see the same machine.
    """
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
                    try:
                        for label, one in load(side):
                            yield label, side.name, one
                    except (OSError, http.client.HTTPException, AssertionError) as error:
                        yield f"{row} of {side.name}, {tickets} tickets: {error!r}"


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
    side.forget_peak()
    for readers in (1, 4):
        yield f"256 MB download by {readers}, MB/s", loads.download(side, 256 * MB, readers)
    yield PEAK, Measured(value=side.peak_mb(), generator=0)


if __name__ == "__main__":
    commands.run(bench)
