"""The error of the estimates of time, for tickets of mixed sizes through a real stack.

``python tests/bench/bench_estimates.py --minutes 60``: three users send phantoms at random times to two services,
which share one worker.  Each estimate is asked for right after the submission, and compared with the end that the
portal has noted.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import sides
from dss_client.itksnap import ItkSnap
from dss_client.records import Enveloped, TicketEstimate, decode
from dss_client.sending import Stopwatch, chosen, submit
from dss_client.steps import Ask, Steps, good
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_submission.preparing import Source
from support import commands
from support.builders import write_image
from support.sites import whole_stack
from support.stacks import Stack, leave_nothing_running
from support.waiting import wait_until
from support.watchers import Quiet

LUNGS, NODULES = "lung-segmentation", "nodule-detection"
SIDES = (96, 128, 160, 192, 224)
SHARE, SECONDS = 0.3, 10.0
FIRST = 2
"""Tickets of each service that are sent one after the other, before anything is judged."""
END_S = 1200.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """The estimate at a ticket's submission: seconds until its end, None for unknown."""

    ticket: int
    service: str
    ends_s: float | None


def bench(
    minutes: Annotated[float, typer.Option(help="How long tickets are sent.", min=0.5)] = 60.0,
    every_s: Annotated[float, typer.Option(help="Mean time between two tickets.")] = 20.0,
    seed: int = 1,
) -> None:
    leave_nothing_running()
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, _stack(Path(name)) as stack:
        scans = [_phantom(Path(name), side) for side in SIDES]
        with ExitStack() as opened:
            users = [opened.enter_context(_user(stack, number)) for number in range(3)]
            for service in (LUNGS, NODULES) * FIRST:
                _wait(stack, [_sent(users[0], dice.choice(scans), service).ticket])
            told = _day(users, scans, minutes * 60, every_s, dice)
        _wait(stack, [each.ticket for each in told])
        _show(told, asyncio.run(_totals(stack.database_url)))


def _phantom(folder: Path, side: int) -> Path:
    spec = PhantomSpec(size=(side, side, side), spacing_mm=(384 / side,) * 3)
    return write_image(folder / f"ct{side}.nii.gz", make_phantom(spec, Runner("cpu")).ct)


@contextmanager
def _user(stack: Stack, number: int) -> Iterator[ItkSnap]:
    with ItkSnap(stack.url) as client:
        client.login(stack.token(f"user{number}@example.com", "--tier", "xnat"))
        yield client


def _day(
    users: list[ItkSnap], scans: list[Path], seconds: float, every_s: float, dice: random.Random
) -> list[Told]:
    end_s, told = time.monotonic() + seconds, []
    while time.monotonic() < end_s:
        time.sleep(dice.expovariate(1 / every_s))
        told.append(_sent(dice.choice(users), dice.choice(scans), dice.choice((LUNGS, NODULES))))
        typer.echo(f"{told[-1].service} {told[-1].ticket}: {told[-1].ends_s}", err=True)
    return told


def _sent(user: ItkSnap, scan: Path, service: str) -> Told:
    source = Source(path=scan)
    ticket = submit(user, source, chosen(user, service), Quiet(), Stopwatch())
    ends_s = user.run(_estimate(ticket))
    return Told(ticket=ticket, service=service, ends_s=ends_s)


def _estimate(ticket: int) -> Steps[float | None]:
    body = good((yield Ask(path="api/tickets/estimates?format=json")))
    rows = decode(body, Enveloped[list[TicketEstimate]]).result
    return next((row.ends_s for row in rows if row.id == ticket), None)


def _wait(stack: Stack, tickets: list[int]) -> None:
    """Until all have ended."""

    def are_over() -> bool:
        return set(tickets) <= asyncio.run(_totals(stack.database_url)).keys()

    wait_until(are_over, END_S, stack.logs)


async def _totals(url: str) -> dict[int, float]:
    """Seconds from the submission to the success of each ticket, as the portal wrote them."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT ticket_id, extract(epoch FROM max(at) - min(at) FILTER (WHERE status = 'ready')) AS s "
            "FROM ticket_history GROUP BY ticket_id HAVING bool_or(status = 'success')"
        )
    finally:
        await connection.close()
    return {int(row["ticket_id"]): float(row["s"]) for row in rows}


def _show(told: list[Told], totals: dict[int, float]) -> None:
    known = [(each, each.ends_s) for each in told if each.ends_s is not None]
    wrong = [(totals[each.ticket], abs(ends_s - totals[each.ticket])) for each, ends_s in known]
    right = sum(off_s <= max(SHARE * total_s, SECONDS) for total_s, off_s in wrong)
    near = sum(off_s <= SHARE * total_s for total_s, off_s in wrong)
    for each in told:
        estimate = "unknown" if each.ends_s is None else f"{each.ends_s:7.1f}"
        typer.echo(f"{each.service:20}{estimate:>10} s {totals[each.ticket]:9.1f} s")
    typer.echo(f"tickets: {len(told)}, unknown: {len(told) - len(known)}")
    if known:
        typer.echo(f"within {SHARE:.0%} or {SECONDS:g} s: {right / len(known):.0%}")
        typer.echo(f"within {SHARE:.0%}: {near / len(known):.0%}")


@contextmanager
def _stack(folder: Path) -> Iterator[Stack]:
    with (
        sides.servers(folder) as (rabbit, postgres),
        whole_stack(rabbit, postgres, folder) as stack,
    ):
        stack.start_one("nodules", "dss_dispatch", "serve", NODULES)
        wait_until(lambda: NODULES in stack.announced(), 60, stack.logs)
        yield stack


if __name__ == "__main__":
    commands.run(bench)
