"""What a large site needs of portals, database and broker, simulated on measured costs, and what breaks first.

``python tests/bench/bench_site.py --measure``: measures the costs anew (some minutes on a quiet machine) and writes them to
``site_costs.json`` beside this file: of a ticket (``bench_tickets``), of a poll (``bench_dialogs``), of an announcement, and
of a portal that has nothing to do.  It also writes the figures that follow into the documentation; the list of what ends
first, below its table, is written by hand.  Without the option: compares the simulation (``support.site_simulation``) with the
real runs of that file, and prints the table.
"""

import asyncio
import json
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import bench_dialogs, bench_tickets
from bench.side_by_side import sides
from bench.side_by_side.sides import Side
from dss_broker.liveness import ANNOUNCE_S
from dss_broker.messages import WorkerAnnounced
from dss_broker.rabbit import RabbitBroker
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import commands
from support.site_simulation import Batch, Load, tickets_per_s, wait_p95_ms
from support.stacks import leave_nothing_running

COSTS = Path(__file__).with_name("site_costs.json")
PAGE = Path(__file__).parents[2] / "docs/pages/operators/operate.md"
DIALOGS, SECONDS, ANNOUNCED = 250, 12.0, 900
POLLS_S = 2 / bench_dialogs.PERIOD_S
"""Requests per second of an open dialog: list and detail."""
PEAK = 3.0
"""The busiest hour has so many times the tickets of a mean hour."""
BUSY = 0.6
"""Most of its time that a process may be busy, so that answers stay fast and one of several may fail."""
P95_MS = 1000.0
CONNECTIONS = 5
"""Most connections of a portal process to the database."""
WORDS = {
    "polls": "polls",
    "announcements": "announcements",
    "tickets": "tickets",
    "idle": "idle processes",
}
"""What the work of a portal is called in the documentation."""
SCALES = (
    (10, 1_000, 100),
    (100, 10_000, 1_000),
    (1_000, 100_000, 10_000),
    (10_000, 1_000_000, 100_000),
)
"""GPUs, tickets a day, open dialogs."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU milliseconds by program: of a ticket, of a poll, of an announcement; ``idle`` are those of a second of a
    portal process with a dialog open.
    """

    ticket: dict[str, float]
    messages: float
    transactions: float
    poll: dict[str, float]
    announcement: dict[str, float]
    idle: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a site of this size needs: processes of the portal, cores of the servers, and rates."""

    gpus: int
    portals: int
    p95_ms: float
    portal_cores: dict[str, float]
    postgres_cores: dict[str, float]
    rabbit_cores: float
    messages_s: float
    transactions_s: float
    connections: int


def bench(
    *,
    measure: Annotated[bool, typer.Option(help="Measure the costs anew first.")] = False,
    tickets: Annotated[int, typer.Option(help="Of each real run.")] = 100,
) -> None:
    if measure:
        leave_nothing_running()
        COSTS.write_text(json.dumps(_measured(tickets), indent=1) + "\n", encoding="utf-8")
        known = json.loads(COSTS.read_text(encoding="utf-8"))
        PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), known), encoding="utf-8")
    known = json.loads(COSTS.read_text(encoding="utf-8"))
    typer.echo(f"costs of {known['date']}, commit {known['commit']}")
    for programs, real, simulated in compared(known):
        typer.echo(
            f"{programs} dispatchers and workers: real {real:.2f} tickets/s, simulated {simulated:.2f} "
            f"({100 * (simulated / real - 1):+.0f} %)"
        )
    for need in (need_of(costs_in(known), *scale) for scale in SCALES):
        _tell(need)


def compared(known: dict[str, Any]) -> Iterator[tuple[int, float, float]]:
    """Programs, real and simulated tickets/s of each run but the first, whose costs the simulation takes."""
    first, *others = known["rows"]
    for row in others:
        batch = Batch(
            cpu_ms=first["cpu_ms"],
            cores=row["free_cores"],
            programs=row["programs"],
            tickets=known["tickets"],
            senders=known["senders"],
        )
        yield row["programs"], row["tickets_s"], tickets_per_s(batch)


def costs_in(known: dict[str, Any]) -> Costs:
    """The costs in a file that ``--measure`` wrote."""
    row = known["rows"][0]
    return Costs(
        ticket=row["cpu_ms"],
        messages=row["messages"],
        transactions=row["transactions"],
        poll=known["poll"],
        announcement=known["announcement"],
        idle=known["idle"],
    )


def need_of(costs: Costs, gpus: int, tickets_a_day: int, dialogs: int) -> Need:
    """The least number of portal processes that are busy for BUSY of their time and answer with a p95 under a second."""
    tickets_s = PEAK * tickets_a_day / 86_400
    polls_s, announced_s = dialogs * POLLS_S, 2 * gpus / ANNOUNCE_S
    shared = {"tickets": tickets_s, "polls": polls_s, "announcements": announced_s}
    ms = {
        "tickets": costs.ticket["portal"],
        "polls": costs.poll["portal"],
        "announcements": costs.announcement["portal"],
        "idle": costs.idle["portal"],
    }
    portals = 0
    while True:
        portals += 1 + portals // 50
        load = Load(per_s={**{n: r / portals for n, r in shared.items()}, "idle": 1.0}, ms=ms)
        if load.utilisation > BUSY:
            continue
        p95_ms = wait_p95_ms(load, 60.0)
        if p95_ms <= P95_MS:
            break
    rates = {**shared, "idle": float(portals)}
    kinds = {
        "tickets": costs.ticket,
        "polls": costs.poll,
        "announcements": costs.announcement,
        "idle": costs.idle,
    }

    def cores(program: str) -> dict[str, float]:
        return {name: rate * kinds[name].get(program, 0.0) / 1e3 for name, rate in rates.items()}

    return Need(
        gpus=gpus,
        portals=portals,
        p95_ms=p95_ms,
        portal_cores=cores("portal"),
        postgres_cores=cores("postgres"),
        rabbit_cores=sum(cores("rabbit").values()),
        messages_s=tickets_s * costs.messages + announced_s,
        transactions_s=tickets_s * costs.transactions + announced_s + 3.3 * portals,
        connections=portals * CONNECTIONS,
    )


def page_with(text: str, known: dict[str, Any]) -> str:
    """The page of the documentation, with what follows from these costs in place of its figures."""
    needs = [need_of(costs_in(known), *scale) for scale in SCALES]
    runs = list(compared(known))
    off = " and ".join(f"{abs(100 * (simulated / real - 1)):.0f} %" for _, real, simulated in runs)
    free = mean(row["free_cores"] for row in known["rows"][1:])
    parts = sorted(needs[-1].portal_cores.items(), key=lambda part: -part[1])
    *most, least = [f"{WORDS[name]} ({cores:.0f})" for name, cores in parts]
    figures = {
        r"measured on \S+ at commit \w+": f"measured on {known['date']} at commit {known['commit']}",
        r"on the [\d.]+ cores that": f"on the {free:.1f} cores that",
        r"with errors of \d+ % and \d+ %": f"with errors of {off}",
        r"cores go to [^.]+\.": f"cores go to {', '.join(most)} and {least}.",
    }
    for (gpus, tickets_a_day, dialogs), need in zip(SCALES, needs, strict=True):
        size = f"| {gpus:,}, {tickets_a_day:,}, {dialogs:,} |"
        figures[f"(?m)^{re.escape(size)}.*$"] = f"{size} {_cells(need)} |"
    for pattern, figure in figures.items():
        text, count = re.subn(pattern, figure, text)
        assert count == 1, f"{PAGE.name} has {count} places of {pattern!r}"
    return text


def _cells(need: Need) -> str:
    cores = (sum(need.portal_cores.values()), sum(need.postgres_cores.values()), need.rabbit_cores)
    return " | ".join(
        [
            *(str(need.portals), f"{need.p95_ms:.0f} ms"),
            *(f"{value:.1f}" for value in cores),
            *(f"{value:,.0f}" for value in (need.messages_s, need.transactions_s)),
            str(need.connections),
        ]
    )


def _tell(need: Need) -> None:
    def parts(cores: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.2f}" for name, value in cores.items())

    typer.echo(
        f"{need.gpus} GPUs: {need.portals} portal processes (p95 {need.p95_ms:.0f} ms), cores of the portals: "
        f"{parts(need.portal_cores)}; cores of PostgreSQL: {sum(need.postgres_cores.values()):.2f} "
        f"({parts(need.postgres_cores)}); of RabbitMQ: {need.rabbit_cores:.2f}; {need.messages_s:.0f} messages/s, "
        f"{need.transactions_s:.0f} transactions/s, {need.connections} connections"
    )


def _measured(tickets: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        bench_tickets.bench(tickets=tickets, programs=None, out=folder / "tickets.json")
        found = json.loads((folder / "tickets.json").read_text(encoding="utf-8"))
        rabbit, postgres = stack.enter_context(sides.servers(folder))
        side = stack.enter_context(sides.ours(folder / "ours", rabbit, postgres, 2000))
        before = _cpu_ms(side, rabbit, postgres)
        asyncio.run(bench_dialogs._hold(side, 1, SECONDS))
        whole_s = SECONDS + bench_dialogs.PERIOD_S + 1
        idle = _each(before, _cpu_ms(side, rabbit, postgres), whole_s)
        before = _cpu_ms(side, rabbit, postgres)
        began_s = time.monotonic()
        step = asyncio.run(bench_dialogs._hold(side, DIALOGS, SECONDS))
        took_s = time.monotonic() - began_s
        polls = step.requests_s * took_s
        poll = _each(before, _cpu_ms(side, rabbit, postgres), polls, idle, took_s)
        before, began_s = _cpu_ms(side, rabbit, postgres), time.monotonic()
        _announce(rabbit)
        took_s = time.monotonic() - began_s
        announcement = _each(before, _cpu_ms(side, rabbit, postgres), ANNOUNCED, idle, took_s)
    return {**found, "tickets": tickets, "poll": poll, "announcement": announcement, "idle": idle}


def _cpu_ms(side: Side, rabbit: RabbitNode, postgres: PostgresCluster) -> dict[str, float]:
    servers = {"rabbit": rabbit.process, "postgres": postgres.process}
    used = {n: bench_tickets.tree_s(p) * 1e3 for n, p in servers.items() if p is not None}
    return {"portal": side.cpu_s() * 1e3, **used}


def _each(
    before: dict[str, float],
    after: dict[str, float],
    count: float,
    idle: dict[str, float] | None = None,
    took_s: float = 0.0,
) -> dict[str, float]:
    """Milliseconds of each of ``count``, without what the programs use when they are idle."""
    own = {name: (idle or {}).get(name, 0.0) * took_s for name in before}
    return {n: round(max(0.0, after[n] - before[n] - own[n]) / count, 4) for n in before}


def _announce(rabbit: RabbitNode) -> None:
    """Publish what 100 workers announce, then leave the portal some seconds to handle it."""
    broker = RabbitBroker(rabbit.amqp_url, "inference", uuid.uuid4().hex[:6])
    for number in range(ANNOUNCED):
        alive = WorkerAnnounced(bundle="b", instance=f"w{number % 100}", device="cpu")
        broker.publish(alive).result(30)
    time.sleep(5)
    broker.close()


if __name__ == "__main__":
    commands.run(bench)
