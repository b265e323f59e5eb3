"""Live pages: from a commit to the page that shows it, and what open pages cost the portal.

``python tests/bench/bench_live.py``: a portal with servers of its own, and as many users as there are pages.  Each page
holds a stream, and asks for itself when it is told of its ticket, and when it is as old as its ``data-live-s``, as
``live.js`` does.  A change is a line of a ticket's
log that is committed by SQL; it counts as visible when the page that has it has been read to its end.
"""

import asyncio
import math
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import asyncpg
import httpx
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import commands, loopback, sites
from support.brokers import fresh_vhost
from support.sites import new_ticket
from support.stacks import Stack, leave_nothing_running
from support.waiting import wait_until

LEAST_S = 0.7
"""Between two requests of a page (``LEAST_MS`` of ``live.js``)."""
AGAIN_S = 2.0
"""A browser connects again after this time (``retry`` of the stream)."""
WARM_S = 5.0
WAIT_S = 15.0


@dataclass
class Page:
    """An open page of one user.  ``seen_s``: when it first showed the changes, by their number.  ``read_s``: when it was
    last asked for; ``renew_s``: the age at which it asks again.
    """

    number: int
    session: str
    seen_s: dict[int, float] = field(default_factory=dict)
    read_s: float = 0.0
    renew_s: float = math.inf
    loads: int = 0
    cuts: int = 0


def bench(
    pages: Annotated[int, typer.Option(help="Open pages.", min=1)] = 200,
    rate: Annotated[float, typer.Option(help="Changes a second, of all tickets.")] = 2.0,
    last_s: Annotated[float, typer.Option(help="How long tickets change.")] = 60.0,
) -> None:
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name:
        folder = Path(name)
        for part in ("rabbit", "postgres", "site"):
            (folder / part).mkdir()
        node, cluster = RabbitNode(folder / "rabbit"), PostgresCluster(folder / "postgres")
        try:
            node.start()
            cluster.start()
            with fresh_vhost(node) as amqp_url:
                site = sites.start(amqp_url, cluster, folder / "site")
                try:
                    site.offer(folder, "bench", name="bench")
                    shown = [_opened(site.stack, number) for number in range(pages)]
                    asyncio.run(_measured(site.stack, shown, rate, last_s))
                finally:
                    site.stack.stop()
        finally:
            cluster.stop()
            node.kill()
            node.stop()


def _opened(stack: Stack, number: int) -> Page:
    """The page of a ticket of a user of its own."""
    with loopback.client(base_url=stack.url, timeout=30) as client:
        token = stack.token(f"live{number}@example.com")
        client.post("/api/login", data={"token": token}).raise_for_status()
        if number == 0:
            wait_until(lambda: "bench" in client.get("/api/services").text, 10)
        ticket = new_ticket(client, "bench")
        (session,) = [c.value for c in client.cookies.jar if c.name == "webpy_session_id"]
    return Page(number=ticket, session=session or "")


async def _measured(stack: Stack, shown: list[Page], rate: float, last_s: float) -> None:
    connection = await asyncpg.connect(stack.database_url)
    pid = stack.running["portal"].pid
    none = await _share(pid, asyncio.sleep(last_s / 4))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(connection.close)
        for page in shown:
            await opened.enter_async_context(_following(stack.url, page))
        await _all_open(shown)
        idle = await _share(pid, asyncio.sleep(last_s / 2))
        loads_before = sum(page.loads for page in shown)
        committed: dict[int, tuple[Page, float]] = {}
        busy = await _share(pid, _changed(connection, shown, rate, last_s, committed))
        await _all_seen(committed)
        loads = sum(page.loads for page in shown) - loads_before
        alone = await _share(pid, _loaded(stack.url, shown, loads, last_s))
    late_s = [page.seen_s[change] - at for change, (page, at) in committed.items()]
    typer.echo(
        f"{len(shown)} open pages, {len(committed)} changes in {last_s:g} s, {loads} pages read, "
        f"{sum(page.cuts for page in shown)} streams cut"
    )
    hundredths = quantiles(late_s, n=100)
    typer.echo(
        f"from commit to visible: median {median(late_s):.2f} s, 99 of 100 {hundredths[98]:.2f} s, "
        f"worst {max(late_s):.2f} s; goal: 99 of 100 within 2 s"
    )
    typer.echo(
        f"the portal's share of a core: {none:.1%} without pages, {idle:.1%} with all of them open, "
        f"{busy:.1%} with the changes; goal: at most 5 %"
    )
    typer.echo(f"of that, as many page requests without changes take {alone - idle:.1%}")


async def _all_open(shown: list[Page]) -> None:
    """Until each page has been read, and WARM_S more."""
    await _until(lambda: all(page.loads for page in shown))
    await asyncio.sleep(WARM_S)


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - a list of pages has no event
        await asyncio.sleep(0.1)


async def _all_seen(committed: dict[int, tuple[Page, float]]) -> None:
    until_s = time.monotonic() + WAIT_S
    while any(change not in page.seen_s for change, (page, _) in committed.items()):
        if time.monotonic() > until_s:
            missed = [n for n, (page, _) in committed.items() if n not in page.seen_s]
            raise SystemExit(f"never shown: changes {missed}")
        await asyncio.sleep(0.1)


async def _changed(
    connection: "asyncpg.Connection[asyncpg.Record]",
    shown: list[Page],
    rate: float,
    last_s: float,
    committed: dict[int, tuple[Page, float]],
) -> None:
    chance = random.Random(1)
    began_s = time.monotonic()
    for change in range(int(rate * last_s)):
        await asyncio.sleep(max(0.0, began_s + change / rate - time.monotonic()))
        page = chance.choice(shown)
        await connection.execute(
            "INSERT INTO ticket_log (ticket_id, at, category, message) VALUES ($1, now(), 'info', $2)",
            page.number,
            f"change {change}.",
        )
        committed[change] = page, time.monotonic()


@asynccontextmanager
async def _following(url: str, page: Page) -> AsyncIterator[None]:
    task = asyncio.create_task(_follow(url, page))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _client(url: str, page: Page) -> httpx.AsyncClient:
    cookies = {"webpy_session_id": page.session}
    return httpx.AsyncClient(base_url=url, cookies=cookies, timeout=30, trust_env=False)


async def _follow(url: str, page: Page) -> None:
    """Listen, again if the stream is cut."""
    async with _client(url, page) as client:
        while True:
            renewing = asyncio.create_task(_renew(client, page))
            try:
                with suppress(httpx.TransportError):
                    await _listen(client, page)
            finally:
                renewing.cancel()
            page.cuts += 1
            await asyncio.sleep(AGAIN_S)


async def _listen(client: httpx.AsyncClient, page: Page) -> None:
    """Read the page when the stream begins or names its ticket, not more often than every LEAST_S."""
    reasons = {f"ticket-{page.number}", "hello", "everything"}
    async with client.stream("GET", "/live") as stream:
        async for line in stream.aiter_lines():
            if not line.startswith("data: ") or not reasons & set(line.split()):
                continue
            await asyncio.sleep(max(0.0, page.read_s + LEAST_S - time.monotonic()))
            await _read(client, page)


async def _renew(client: httpx.AsyncClient, page: Page) -> None:
    while True:
        await asyncio.sleep(1)
        if time.monotonic() - page.read_s >= page.renew_s:
            with suppress(httpx.TransportError):
                await _read(client, page)


async def _read(client: httpx.AsyncClient, page: Page) -> None:
    page.read_s = time.monotonic()
    answer = await client.get(f"/tickets/{page.number}", headers={"Accept": "text/html"})
    now_s = time.monotonic()
    page.loads += 1
    page.renew_s = min(
        map(float, re.findall(r'data-live-s="(\d+)"', answer.text)), default=math.inf
    )
    for piece in answer.raise_for_status().text.split("change ")[1:]:
        number, _, _ = piece.partition(".")
        page.seen_s.setdefault(int(number), now_s)


async def _loaded(url: str, shown: list[Page], count: int, last_s: float) -> None:
    """The same number of page requests, evenly, without any change."""
    chance = random.Random(2)
    began_s = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began_s + number * last_s / count - time.monotonic()))
        page = chance.choice(shown)
        async with _client(url, page) as client:
            await _read(client, page)


async def _share(pid: int, work: Awaitable[None]) -> float:
    """Processor time of the portal while ``work`` lasts, as a share of one core."""
    used_s, began_s = _processor_s(pid), time.monotonic()
    await work
    return (_processor_s(pid) - used_s) / (time.monotonic() - began_s)


def _processor_s(pid: int) -> float:
    """CPU seconds of the process and its children, from ``/proc``."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text("utf-8").rpartition(")")[2].split()
            if pid in {int(path.parent.name), int(fields[1])}:
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    commands.run(bench)
