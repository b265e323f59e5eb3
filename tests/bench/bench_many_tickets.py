"""Polls of our portal with few and with many tickets in the database, in turns, so that other programs disturb both.

``python tests/bench/bench_many_tickets.py``: under four minutes, most of them for filling the databases.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import loads, sides, table
from bench.side_by_side.done import Done, Step
from bench.side_by_side.table import DETAIL_OF_32, OURS
from support import commands
from support.stacks import leave_nothing_running

CLIENTS = 32


def bench(
    *,
    few: Annotated[int, typer.Option(help="Tickets, each with ten lines of log.")] = 100,
    many: Annotated[int, typer.Option(help="The larger number of such tickets.")] = 100_000,
    repeat: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 4.0,
    out: Annotated[Path, typer.Option(help="JSON.")] = Path("bench-many-tickets.json"),
) -> None:
    leave_nothing_running()
    done = Done(by_tickets={few: {}, many: {}}, steps=set())
    cpu_us: dict[int, list[float]] = {few: [], many: []}
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        rabbit, postgres = stack.enter_context(sides.servers(folder))
        portals = {
            count: stack.enter_context(sides.ours(folder / f"{count}", rabbit, postgres, count))
            for count in (few, many)
        }
        for repetition in range(repeat):
            for count, side in portals.items():
                before_s = side.cpu_s()
                measured = loads.poll(side, "detail", CLIENTS, seconds)
                cpu_us[count].append((side.cpu_s() - before_s) / measured.value / seconds * 1e6)
                step = Step(tickets=count, repetition=repetition, row=DETAIL_OF_32, side=OURS)
                done.add(step, [(DETAIL_OF_32, measured)])
    for count, results in done.by_tickets.items():
        typer.echo("\n".join(table.lines(count, results)))
    typer.echo("\n".join(table.of_many(done.by_tickets)))
    for count, used in cpu_us.items():
        typer.echo(f"CPU of the portal for a poll with {count} tickets: {median(used):.0f} us")
    done.write(out)


if __name__ == "__main__":
    commands.run(bench)
