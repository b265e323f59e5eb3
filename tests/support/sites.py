"""A portal process with its pages, a browser, and the people who use them."""

import asyncio
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from playwright.sync_api import Browser, Page, expect

from dss_stack.postgres import PostgresCluster
from support import loopback
from support.brokers import Node, fresh_vhost
from support.builders import result_files
from support.databases import migrated_database
from support.stacks import Stack, free_port
from support.waiting import wait_until

ROOT = "root@example.com"
TIMEOUT_MS = 90_000
"""A busy machine takes long; a test that passes does not wait."""
expect.set_options(timeout=TIMEOUT_MS)
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
]
DESCRIPTOR = {
    "name": "lung-segmentation",
    "version": "1.0.0",
    "shortdesc": "Lungs",
    "longdesc": "Left and right lung.",
    "tags": [{"name": "CT", "type": "MainImage", "hint": "A chest CT", "required": True}],
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """A portal and what a test may do around it."""

    stack: Stack

    @property
    def url(self) -> str:
        return self.stack.url

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What a statement answers; for what no program of ours would do."""
        # A thread of its own, because a browser's event loop may run in this one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._sql(statement, values)).result()

    async def _sql(self, statement: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(self.stack.database_url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    @contextmanager
    def program(self, email: str, *options: str) -> Iterator[httpx.Client]:
        """Signed in as scripts and ITK-SNAP do."""
        token = self.stack.token(email, *options)
        with loopback.client(base_url=self.url, timeout=30) as client:
            answer = client.post("/api/login", data={"token": token})
            assert answer.status_code == httpx.codes.OK
            yield client

    def offer(self, folder: Path, provider: str, **changes: object) -> None:
        """Register a service and the provider who offers it."""
        file = folder / f"{uuid.uuid4().hex}.json"
        file.write_text(json.dumps({**DESCRIPTOR, **changes}), encoding="utf-8")
        self.stack.command("providers", "add", provider)
        self.stack.command("services", "add", provider, str(file))


def browse(browser: Browser, client: httpx.Client, **options: Any) -> Page:
    """A browser with the session of ``client``; ``options`` are Playwright's of a context."""
    (cookie,) = [c for c in client.cookies.jar if c.name == "webpy_session_id"]
    context = browser.new_context(base_url=str(client.base_url), **options)
    context.set_default_timeout(TIMEOUT_MS)
    address = str(client.base_url)
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": address}])
    return context.new_page()


def said(page: Page) -> str:
    """What the page says of the last thing done, or why it was not done."""
    return page.locator("[role=status], [role=alert]").inner_text()


def unfold(page: Page) -> None:
    """What is folded on it."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def new_ticket(client: httpx.Client, service: str = "lung-segmentation") -> int:
    """Created, filled and submitted; its number."""
    number = int(client.post("/api/tickets", data={"name": service}).text)
    _send(client, f"/api/tickets/{number}/files/input", "a.itksnap", b"<registry/>")
    client.post(f"/api/tickets/{number}/status", data={"status": "ready"})
    return number


def serve(site: Site, root: httpx.Client, folder: Path, service: str) -> None:
    """Offer ``service`` by the provider ``told``, whose user ``told@example.com`` may claim."""
    site.offer(folder, "told", name=service)
    site.stack.token("told@example.com")
    answer = root.post("/api/admin/providers/told/users", data={"email": "told@example.com"})
    assert answer.is_success, answer.text


def claim(provider: httpx.Client, name: str, service: str) -> int:
    """The next ticket of that service, as an external provider takes it."""

    def hashes() -> list[str]:
        listed = provider.get("/api/services?format=json").json()["result"]
        return [row["githash"] for row in listed if row["name"] == service]

    wait_until(hashes, 30)  # a portal learns within a second of what another process has registered
    (githash,) = hashes()
    answer = provider.post(f"/api/pro/services/{githash}/claims", data={"provider": name})
    return int(answer.text)


def finish(
    provider: httpx.Client, ticket: int, status: str, files: dict[str, bytes] | None = None
) -> None:
    """End the ticket; a success gets results, ``files`` or those of ``result_files``."""
    for name, data in (files or result_files()).items() if status == "success" else ():
        _send(provider, f"/api/pro/tickets/{ticket}/files/results", name, data)
    answer = provider.post(f"/api/pro/tickets/{ticket}/status", data={"status": status})
    assert answer.text == status, answer.text


def attach(provider: httpx.Client, ticket: int, name: str, data: bytes, description: str) -> None:
    _send(provider, f"/api/pro/tickets/{ticket}/attachments", name, data, desc=description)


def _send(client: httpx.Client, path: str, name: str, data: bytes, **fields: str) -> None:
    answer = client.post(path, files={"myfile": (name, io.BytesIO(data))}, data=fields)
    assert answer.status_code == httpx.codes.OK, answer.text


@contextmanager
def whole_stack(
    rabbit: Node, postgres: PostgresCluster, folder: Path, port: int = 0, /, **extra: str
) -> Iterator[Stack]:
    """Everything is up and ``lung-segmentation`` is listed; on a virtual host and database of its own.

    ``port`` is the portal's; 0 is any.
    """
    database_url = migrated_database(postgres.database_url, "e2e")
    with fresh_vhost(rabbit) as amqp_url:
        running = Stack(
            folder=folder,
            amqp_url=amqp_url,
            database_url=database_url,
            settings=extra,
            port=port or free_port(),
        )
        running.start()
        try:
            wait_until(running.is_complete, 90, running.logs)
            yield running
        finally:
            running.stop()


def portal_alone(
    amqp_url: str, postgres: PostgresCluster, folder: Path, settings: dict[str, str], port: int
) -> Stack:
    """A portal that answers at that port, with a database of its own; stop it in the end."""
    stack = Stack(
        folder=folder,
        amqp_url=amqp_url,
        database_url=migrated_database(postgres.database_url, "site"),
        settings=settings,
        port=port,
    )
    stack.start("portal")
    wait_until(stack.portal_ready, 60, stack.logs)
    return stack


def start(amqp_url: str, postgres: PostgresCluster, folder: Path, **settings: str) -> Site:
    """A portal that answers, with a database and a checker of its own; stop its stack in the end."""
    stack = Stack(
        folder=folder,
        amqp_url=amqp_url,
        database_url=migrated_database(postgres.database_url, "site"),
        settings={"DSS_TRUSTED_PROXIES": "127.0.0.1", **settings},
    )
    stack.start("portal")
    stack.start_one("check", "dss_dispatch", "check-results")
    wait_until(lambda: _answers(stack.url) and _checks(stack), 60, stack.logs)
    return Site(stack=stack)


def _checks(stack: Stack) -> bool:
    return "checking results" in (stack.folder / "check.log").read_text(encoding="utf-8")


def _answers(url: str) -> bool:
    try:
        return loopback.get(f"{url}/readyz").text == "ok"
    except httpx.TransportError:
        return False
