"""Tickets from submission to result with a bundle that only copies: what the system itself costs.

``python tests/bench/bench_tickets.py``: with 1, 2 and 4 dispatchers and as many workers.  Prints tickets/s, the CPU
time of a ticket by program, the transactions of the database for a ticket (all are the portal's: no other program asks
the database) and the messages that RabbitMQ took for it.
``bench_site.py`` computes from these what a large site needs.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import asyncpg
import httpx
import psutil
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.side_by_side import sides
from bench.side_by_side.sides import cpu_s
from bench.side_by_side.table import MOST_GENERATOR
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import commands
from support.builders import MAIN, segmentation, workspace_xml, write_image
from support.databases import make_database
from support.stacks import Stack, leave_nothing_running
from support.waiting import wait_until

SERVICE = "lung-segmentation"
NOOP_WORKER = Path(__file__).with_name("noop_worker.py")
DISPATCH = ("dss_dispatch", "serve", SERVICE)
GOAL_S, AIM_S = 20.0, 60.0
"""Tickets a second, on two cores that nothing else uses."""
SENDERS = 8
"""Clients that submit at a time, as in the row of submissions of ``bench_http.py``."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """``cpu_ms`` of a ticket by program; ``cores`` is what each program took of a core, ``free_cores`` what other
    programs of the machine left.
    """

    programs: int
    tickets_s: float
    cpu_ms: dict[str, float]
    cores: dict[str, float]
    transactions: float
    messages: float
    free_cores: float

    @property
    def busiest(self) -> str:
        return max(self.cores, key=lambda name: self.cores[name])

    @property
    def possible_s(self) -> float:
        """Tickets a second that the CPU times would allow if no core were ever idle and no other program ran."""
        return 1e3 * (os.cpu_count() or 1) / sum(self.cpu_ms.values())


def bench(
    *,
    tickets: Annotated[int, typer.Option(help="For each number of programs.")] = 100,
    most_s: Annotated[
        float, typer.Option(help="For these, at most; the others do not count.")
    ] = 120.0,
    programs: Annotated[list[int] | None, typer.Option(help="Dispatchers and workers.")] = None,
    out: Annotated[Path, typer.Option(help="JSON.")] = Path("bench-tickets.json"),
) -> None:
    leave_nothing_running()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name, ExitStack() as stack:
        rabbit, postgres = stack.enter_context(sides.servers(Path(name)))
        site = stack.enter_context(_site(Path(name), rabbit, postgres))
        for count in programs or [1, 2, 4]:
            row = _measured(site, (rabbit, postgres), count, tickets, most_s)
            rows.append(row)
            cpu = ", ".join(f"{program} {ms:.0f}" for program, ms in row.cpu_ms.items())
            typer.echo(
                f"{count} dispatchers and workers: {row.tickets_s:.1f} tickets/s; CPU ms of a ticket: {cpu}; "
                f"{row.transactions:.0f} transactions, {row.messages:.0f} messages ({row.messages * row.tickets_s:.0f} of them a second); "
                f"sender {row.cores['sender']:.2f} of a core; busiest: {row.busiest} ({row.cores[row.busiest]:.2f} of a core)"
            )
    best = max(rows, key=lambda row: row.tickets_s)
    result = "reached" if best.tickets_s >= GOAL_S else "NOT REACHED"
    if best.tickets_s >= GOAL_S and best.cores["sender"] > MOST_GENERATOR:
        result = "NOT SHOWN, the sender is the limit"
    typer.echo(
        f"{best.tickets_s:.1f} tickets/s; goal {GOAL_S:g}: {result}; aim {AIM_S:g}. The CPU times would allow "
        f"{best.possible_s:.0f}; other programs of the machine left {best.free_cores:.1f} cores"
    )
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "cores": os.cpu_count(),
        "senders": SENDERS,
    }
    found = {**facts, "rows": [asdict(row) for row in rows]}
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()


@contextmanager
def _site(folder: Path, rabbit: RabbitNode, postgres: PostgresCluster) -> Iterator[Stack]:
    site = Stack(
        folder=folder,
        amqp_url=rabbit.amqp_url,
        database_url=make_database(postgres.database_url, "bench"),
        settings={"DSS_REQUESTS_PER_MINUTE": "0"},
    )
    site.start("portal")
    try:
        yield site
    finally:
        site.stop()


def _measured(
    site: Stack,
    servers: tuple[RabbitNode, PostgresCluster],
    count: int,
    tickets: int,
    most_s: float,
) -> Row:
    """``tickets`` wait already when the programs begin to be measured: those that are done before do not count."""
    rabbit, postgres = servers
    names = [name for n in range(count) for name in (f"dispatch{n}", f"worker{n}")]
    for n in range(count):
        site.start_one(f"dispatch{n}", *DISPATCH, DSS_INSTANCE=f"dispatch{n}")
        site.start_one(
            f"worker{n}",
            "bench.noop_worker",
            DSS_INSTANCE=f"worker{n}",
            PYTHONPATH=str(NOOP_WORKER.parents[1]),
        )
    wait_until(lambda: SERVICE in site.announced(), 120, site.logs)
    with httpx.Client(base_url=site.url, timeout=60) as client:
        client.post(
            "/api/login", data={"token": site.token(f"u{count}@example.com", "--tier", "xnat")}
        )
        _submit(client, site.folder, 2)
        _wait_for(site, count, 2, 120)
        began_s, before = time.monotonic(), _cpu(site, rabbit, postgres)
        transactions, messages, busy_s = _transactions(site), _messages(rabbit), _machine_s()
        _submit(client, site.folder, tickets)
        tickets = _wait_for(site, count, tickets + 2, began_s + most_s - time.monotonic()) - 2
        assert tickets > 0, site.logs()
    took_s, after = time.monotonic() - began_s, _cpu(site, rabbit, postgres)
    used = {program: after[program] - before[program] for program in before}
    others = max(0.0, _machine_s() - busy_s - sum(used.values())) / took_s
    row = Row(
        programs=count,
        tickets_s=tickets / took_s,
        cpu_ms={program: seconds / tickets * 1e3 for program, seconds in used.items()},
        cores={program: seconds / took_s for program, seconds in used.items()},
        transactions=(_transactions(site) - transactions) / tickets,
        messages=(_messages(rabbit) - messages) / tickets,
        free_cores=(os.cpu_count() or 1) - others,
    )
    for name in names:
        site.running[name].terminate()
        site.running.pop(name).wait(60)
    return row


def _submit(client: httpx.Client, folder: Path, tickets: int) -> None:
    """Send ``tickets`` tickets, SENDERS at a time."""
    volume = write_image(folder / "image.nii.gz", segmentation((1,))).read_bytes()
    with ThreadPoolExecutor(SENDERS) as threads:
        for _ in threads.map(lambda _: _submit_one(client, volume), range(tickets)):
            pass


def _submit_one(client: httpx.Client, volume: bytes) -> None:
    number = int(client.post("/api/tickets", data={"name": SERVICE}).raise_for_status().text)
    path = f"/api/tickets/{number}/files/input"
    for name, data in ((MAIN.file_name, volume), ("ticket.itksnap", workspace_xml())):
        client.post(path, files={"myfile": (name, data)}).raise_for_status()
    client.post(f"/api/tickets/{number}/status", data={"status": "ready"}).raise_for_status()


def _wait_for(site: Stack, count: int, tickets: int, most_s: float) -> int:
    """Wait until so many are done, or ``most_s`` are over; returns how many are."""
    statement = (
        "SELECT count(*) FILTER (WHERE status = 'success') AS done, count(*) FILTER (WHERE status = 'failed') AS failed "
        "FROM ticket JOIN user_account ON user_account.id = ticket.user_id WHERE email = $1"
    )
    ends_s = time.monotonic() + most_s
    while True:
        ((done, failed),) = asyncio.run(
            _fetch(site.database_url, statement, f"u{count}@example.com")
        )
        assert not failed, site.logs()
        if done >= tickets or time.monotonic() >= ends_s:
            return int(done)
        time.sleep(0.1)


def _cpu(site: Stack, rabbit: RabbitNode, postgres: PostgresCluster) -> dict[str, float]:
    """CPU seconds so far, all processes of one kind together; ``sender`` is this one."""
    kinds = {"portal": 0.0, "dispatch": 0.0, "worker": 0.0}
    for name, process in site.running.items():
        kinds[name.rstrip("0123456789")] += cpu_s(process.pid)
    servers = {"rabbit": rabbit.process, "postgres": postgres.process}
    return {
        **kinds,
        **{name: tree_s(process) for name, process in servers.items() if process is not None},
        "sender": time.process_time(),
    }


def tree_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children, also of those that have ended."""
    whole = process.cpu_times()
    ended = whole.children_user + whole.children_system
    return cpu_s(process.pid) + ended + sum(cpu_s(child.pid) for child in process.children())


def _machine_s() -> float:
    """CPU seconds that all programs of the machine have used so far."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _messages(rabbit: RabbitNode) -> int:
    """Published so far."""
    text = httpx.get(f"http://{rabbit.metrics}/metrics", timeout=30).text
    return sum(
        int(float(line.split()[-1]))
        for line in text.splitlines()
        if line.startswith("rabbitmq_global_messages_received_total{")
    )


def _transactions(site: Stack) -> int:
    """Committed ones of the whole database so far."""
    statement = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    ((count,),) = asyncio.run(_fetch(site.database_url, statement))
    return int(count)


async def _fetch(url: str, statement: str, *values: object) -> list[tuple[int, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


if __name__ == "__main__":
    commands.run(bench)
