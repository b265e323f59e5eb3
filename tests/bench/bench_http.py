"""Ours beside the reference server on the same disk, by the same client: polls, writes, files, CPU.

``python tests/bench/bench_http.py --quick``: under four minutes.  Prints a table with the ratios and writes
JSON.  wrk (the package of that name) does the polling.  On a busy machine only the ratios of one run say anything.
"""

import http.client
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import loads, sides, table
from bench.side_by_side.client import MB
from bench.side_by_side.done import Done, Step
from bench.side_by_side.loads import Measured
from bench.side_by_side.sides import Side
from bench.side_by_side.table import PEAK
from support import commands
from support.stacks import leave_nothing_running

Row = tuple[str, Measured]
Load = Callable[[Side], Iterator[Row]]

WRITES = 3
"""Rows of writes that are measured one after the other."""
FIXED_S = {"files": 15.0, "CPU": 3.0}
"""What rows take whose length ``--seconds`` does not set."""
STARTING_S, FILLING_S = 25.0, 0.0025
"""To start and seed one side, and for each ticket in its database."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.  A row is measured if its name begins with one of ``only``."""

    tickets: Sequence[int]
    clients: Sequence[int]
    repeat: int
    seconds: float
    only: Sequence[str]
    uwsgi: bool
    pgbouncer: bool
    processes: int

    @property
    def side_names(self) -> list[str]:
        more = {table.POOLED: self.pgbouncer, table.UWSGI: self.uwsgi}
        return [table.REFERENCE, table.OURS, *(name for name, wanted in more.items() if wanted)]

    def rows(self) -> list[tuple[str, Load]]:
        every = _rows(self.clients, self.seconds)
        return [(name, load) for name, load in every if name.startswith(tuple(self.only))]

    def expected_s(self) -> float:
        """About how long all of it takes on two idle cores."""
        of_rows = sum(
            FIXED_S.get(name, self.seconds * (WRITES if name == "writes" else 1))
            for name, _ in self.rows()
        )
        of_starts = sum(STARTING_S + count * FILLING_S for count in self.tickets)
        return len(self.side_names) * (of_starts + len(self.tickets) * self.repeat * of_rows)


def bench(
    *,
    quick: Annotated[bool, typer.Option(help="2,000 tickets, 32 clients, one repetition.")] = False,
    tickets: Annotated[
        str, typer.Option(help="In the database; several numbers with commas.")
    ] = "",
    clients: Annotated[str, typer.Option(help="Of the polls; several with commas.")] = "",
    repeat: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each row.")] = 5.0,
    uwsgi: Annotated[bool, typer.Option(help="The reference by uWSGI as well.")] = True,
    pgbouncer: Annotated[
        bool | None,
        typer.Option(
            help="Ours with the database behind PgBouncer as well.", show_default="not if --quick"
        ),
    ] = None,
    processes: Annotated[int, typer.Option(help="Of our portal.")] = 1,
    only: Annotated[
        str, typer.Option(help="Rows that begin so: status, detail, writes, files, CPU.")
    ] = "",
    resume: Annotated[bool, typer.Option(help="Go on with what --out has of this commit.")] = False,
    out: Annotated[Path, typer.Option(help="JSON, written after each row.")] = Path(
        "bench-http.json"
    ),
) -> None:
    """Measure the portal beside the reference server.  All of it takes more than half an hour, --quick four minutes."""
    leave_nothing_running()
    plan = Plan(
        tickets=_numbers(tickets) or ([2000] if quick else [100, 2000, 100_000]),
        clients=_numbers(clients) or ([32] if quick else [1, 8, 32, 128]),
        repeat=1 if quick else repeat,
        seconds=2.0 if quick else seconds,
        only=only.split(","),
        uwsgi=uwsgi,
        pgbouncer=not quick if pgbouncer is None else pgbouncer,
        processes=processes,
    )
    typer.echo(f"This takes about {plan.expected_s() / 60:.0f} minutes on two idle cores.")
    done = Done.read(out) if resume else Done(by_tickets={}, steps=set())
    failures: list[str] = []
    for count in plan.tickets:
        try:
            failures += _measure(plan, count, done, out)
        finally:
            typer.echo("\n".join(table.lines(count, done.by_tickets.get(count, {}))))
    typer.echo("\n".join(table.of_many(done.by_tickets)))
    if failures:
        raise SystemExit("\n".join(["Rows that could not be measured:", *failures]))


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def _measure(plan: Plan, tickets: int, done: Done, out: Path) -> list[str]:
    """Measure what is not done yet with so many tickets; returns a sentence for each load that failed.

    Side after side within each repetition, so that all see the same machine.
    """
    steps = [
        (Step(tickets=tickets, repetition=n, row=row, side=side), load)
        for n in range(plan.repeat)
        for row, load in plan.rows()
        for side in plan.side_names
    ]
    left = [(step, load) for step, load in steps if step not in done.steps]
    if not left:
        return []
    failures = []
    with _started(plan, tickets) as servers:
        for step, load in left:
            try:
                measured = list(load(servers[step.side]))
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(f"{step.row} of {step.side}, {tickets} tickets: {error!r}")
                continue
            done.add(step, measured)
            done.write(out)
    return failures


@contextmanager
def _started(plan: Plan, tickets: int) -> Iterator[dict[str, Side]]:
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        rabbit, postgres = stack.enter_context(sides.servers(folder))
        ours = partial(
            sides.ours,
            rabbit=rabbit,
            postgres=postgres,
            tickets=tickets,
            processes=plan.processes,
        )
        found = {
            table.REFERENCE: stack.enter_context(sides.reference(folder / "reference", tickets)),
            table.OURS: stack.enter_context(ours(folder / "ours")),
        }
        if plan.pgbouncer:
            found[table.POOLED] = stack.enter_context(ours(folder / "pooled", is_pooled=True))
        if plan.uwsgi:
            found[table.UWSGI] = stack.enter_context(
                sides.reference(folder / "uwsgi", tickets, uwsgi=True)
            )
        yield found


def _rows(clients: Sequence[int], seconds: float) -> Iterator[tuple[str, Load]]:
    for what in ("status", "detail"):
        for count in clients:
            yield f"{what} polls/s, {count} clients", _polls(what, count, seconds)
    yield "writes", lambda side: _writes(side, seconds)
    yield "files", _files
    yield "CPU", lambda side: iter([("CPU of one ticket, ms", loads.one_ticket(side, 30))])


def _polls(what: str, count: int, seconds: float) -> Load:
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
