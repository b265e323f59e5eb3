"""From ``ready`` to ``claimed``: our events against a daemon that polls the reference server.

``python tests/bench/bench_claims.py``: both sides run on this machine, one after the other, with
servers of their own.  The polling daemons of the old system ask every 10 s (IBM's) or 15 s (the
Python client's default).
"""

import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import asyncpg
import httpx
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from dss_client.itksnap import ItkSnap
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import commands, reference_server
from support.reference_server import Provider
from support.stacks import Stack, leave_nothing_running
from support.waiting import wait_until


def bench(
    tickets: Annotated[int, typer.Option(help="For our side.", min=2)] = 50,
    polled: Annotated[int, typer.Option(help="For the polling side.", min=2)] = 6,
    every_s: Annotated[float, typer.Option(help="The daemon's polling interval.")] = 10.0,
) -> None:
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name:
        with _stack(Path(name)) as stack:
            ours_s = _ours(stack, tickets)
        theirs_s = _theirs(Path(name), polled, every_s)
    typer.echo(f"{'':22}{'tickets':>8}{'median':>12}{'worst':>12}")
    for side, seconds in (("events", ours_s), (f"polling every {every_s:g} s", theirs_s)):
        typer.echo(
            f"{side:22}{len(seconds):8}{median(seconds) * 1e3:9.0f} ms{max(seconds) * 1e3:9.0f} ms"
        )
    typer.echo(f"events, 95 of 100: {quantiles(ours_s, n=20)[-1] * 1e3:.0f} ms")
    typer.echo(f"ratio of the medians: {median(theirs_s) / median(ours_s):.0f}")


def _ours(stack: Stack, count: int) -> list[float]:
    """Seconds between the two lines of each ticket's history, as the portal wrote them."""
    with ItkSnap(stack.url) as client:
        client.login(stack.token("bench@example.com", "--tier", "xnat"))
        for _ in range(count):
            ticket = client.create_ticket("lung-segmentation")
            client.submit(ticket)  # without files: it fails, after it was claimed
            for _detail in client.wait(ticket, every_s=0.05):
                pass
    return asyncio.run(_from_ready_to_claimed(stack.database_url))


async def _from_ready_to_claimed(url: str) -> list[float]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT extract(epoch FROM min(c.at) - min(r.at)) AS s FROM ticket_history r "
            "JOIN ticket_history c USING (ticket_id) "
            "WHERE r.status = 'ready' AND c.status = 'claimed' GROUP BY ticket_id"
        )
    finally:
        await connection.close()
    return [float(row["s"]) for row in rows]


def _theirs(folder: Path, count: int, every_s: float) -> list[float]:
    """Seconds from the answer to ``ready`` to the claim by a daemon that polls."""
    work = folder / "reference"
    repository = folder / "service"
    work.mkdir()
    repository.mkdir()
    with (
        reference_server.running(reference_server.installed(), work) as address,
        httpx.Client(base_url=address, timeout=30) as http,
    ):
        provider = reference_server.register(http, repository)
        claimed: dict[int, float] = {}
        with _daemon(provider, every_s, claimed), ItkSnap(address) as client:
            client.login(provider.token())
            return [_wait_for_daemon(client, claimed, every_s) for _ in range(count)]


def _wait_for_daemon(client: ItkSnap, claimed: dict[int, float], every_s: float) -> float:
    time.sleep(random.uniform(0, every_s))
    ticket = client.create_ticket("lung-segmentation")
    client.submit(ticket)
    began_s = time.monotonic()
    wait_until(lambda: ticket in claimed, 2 * every_s + 5)
    client.delete(ticket)
    return claimed[ticket] - began_s


@contextmanager
def _daemon(provider: Provider, every_s: float, claimed: dict[int, float]) -> Iterator[None]:
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(every_s):
            try:
                claimed[provider.claim()] = time.monotonic()
            except (IndexError, ValueError):
                continue  # nothing is ready

    thread = threading.Thread(target=poll)
    thread.start()
    yield
    stop.set()
    thread.join()


@contextmanager
def _stack(folder: Path) -> Iterator[Stack]:
    rabbit, postgres = RabbitNode(folder / "rabbit"), PostgresCluster(folder / "postgres")
    try:
        rabbit.start()
        postgres.start()
        (folder / "stack").mkdir()
        stack = Stack(
            folder=folder / "stack",
            amqp_url=rabbit.amqp_url,
            database_url=postgres.database_url,
        )
        stack.start()
        try:
            wait_until(lambda: "lung-segmentation" in stack.announced(), 60, stack.logs)
            yield stack
        finally:
            stack.stop()
    finally:
        rabbit.kill()
        rabbit.stop()
        postgres.stop()


if __name__ == "__main__":
    commands.run(bench)
