"""Two portals, each in a process of its own, on one database: what their polls answer after a change, and without a feed."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dss_portal.changes.watcher import CURRENT_S
from support import loopback
from support.brokers import Node, fresh_vhost
from support.databases import execute
from support.stacks import Stack, free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

log = logging.getLogger(__name__)

SERVICE = '{"name": "s", "version": "1.0.0", "shortdesc": "S", "longdesc": "", "tags": []}'
FEED_DOWN = "feed of changes is down"


@pytest.fixture
def stack(rabbit: Node, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Runs one portal, and has a service "s"."""
    with fresh_vhost(rabbit) as amqp_url:
        stack = Stack(
            folder=tmp_path,
            amqp_url=amqp_url,
            database_url=database_url,
            settings={"DSS_REQUESTS_PER_MINUTE": "0"},
        )
        stack.datastore.mkdir()
        stack.start_one("portal")
        (stack.folder / "service.json").write_text(SERVICE, encoding="utf-8")
        stack.command("providers", "add", "p")
        stack.command("services", "add", "p", str(stack.folder / "service.json"))
        wait_until(stack.portal_ready, 60, stack.logs)
        yield stack
        stack.stop()


@pytest.fixture
def first(stack: Stack) -> Iterator[httpx.Client]:
    """A signed-in user at the portal that answers the changes."""
    with loopback.client(base_url=stack.url, timeout=60) as client:
        client.post("/api/login", data={"token": stack.token()}).raise_for_status()
        yield client


@contextmanager
def another(stack: Stack, first: httpx.Client, **settings: str) -> Iterator[httpx.Client]:
    """The same user at a second portal."""
    port = free_port()
    stack.start_one("other", "dss_portal", "serve", DSS_BIND=f"127.0.0.1:{port}", **settings)
    wait_until(lambda: _is_ready(stack), 60, stack.logs)
    url = f"http://127.0.0.1:{port}"
    with loopback.client(base_url=url, cookies=first.cookies, timeout=60) as client:
        yield client


def _is_ready(stack: Stack) -> bool:
    with suppress(httpx.TransportError):
        return stack.ready("other")
    return False


def said(client: httpx.Client, path: str) -> str:
    return client.get(path).raise_for_status().text


def status_at(client: httpx.Client, number: int) -> tuple[str, str, bool]:
    """As three polls of a dialog tell it: of the ticket, of its detail, and whether it is in the list with that word."""
    path = f"/api/tickets/{number}"
    status = said(client, f"{path}/status")
    detail = client.get(f"{path}/detail").raise_for_status().json()["result"]["status"]
    return status, detail, f"{number},s,{status}" in said(client, "/api/tickets")


def new_ticket(client: httpx.Client) -> int:
    return int(client.post("/api/tickets", data={"name": "s"}).raise_for_status().text)


def make_ready(client: httpx.Client, number: int) -> None:
    files = {"myfile": ("a.bin", b"x")}
    client.post(f"/api/tickets/{number}/files/input", files=files).raise_for_status()
    path = f"/api/tickets/{number}/status"
    client.post(path, data={"status": "ready"}).raise_for_status()


def delete(client: httpx.Client, number: int) -> None:
    client.get(f"/api/tickets/{number}/delete").raise_for_status()


def stays_behind_s(client: httpx.Client, number: int, status: str) -> float:
    """How long after this call the last look began that did not show the ticket with ``status``.

    A look that begins CURRENT_S or more after it shows the change, however slow the machine is: else this fails.
    """
    answered_s, stale_s = time.monotonic(), 0.0
    while True:
        began_s = time.monotonic() - answered_s
        with suppress(httpx.HTTPStatusError):  # the ticket is not known there yet
            if status_at(client, number) == (status, status, True):
                return stale_s
        stale_s = began_s
        assert began_s < CURRENT_S, f"not {status} yet"
        time.sleep(0.01)


def test_the_portal_that_answered_a_change_never_shows_an_older_state(
    stack: Stack, first: httpx.Client
) -> None:
    """While others poll the same ticket there, and another portal runs."""
    with another(stack, first):
        for _ in range(5):
            number = new_ticket(first)
            assert status_at(first, number) == ("init", "init", True)
            with polling(stack, first, number):
                make_ready(first, number)
                assert status_at(first, number) == ("ready", "ready", True)
                delete(first, number)
                assert said(first, f"/api/tickets/{number}/status") == "deleted"
                assert f"{number}," not in said(first, "/api/tickets")


@contextmanager
def polling(stack: Stack, first: httpx.Client, number: int) -> Iterator[None]:
    """Four more clients ask for the ticket and the list all the time."""
    ends = threading.Event()

    def poll() -> None:
        with loopback.client(base_url=stack.url, cookies=first.cookies, timeout=60) as client:
            while not ends.is_set():
                client.get(f"/api/tickets/{number}/status")
                client.get("/api/tickets")

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_another_portal_is_at_most_a_second_behind(stack: Stack, first: httpx.Client) -> None:
    stale_s = []
    with another(stack, first) as second:
        for _ in range(5):
            number = new_ticket(first)
            stale_s.append(stays_behind_s(second, number, "init"))
            make_ready(first, number)
            stale_s.append(stays_behind_s(second, number, "ready"))
    log.info("at most %.3f s behind", max(stale_s))
    assert max(stale_s) < CURRENT_S


def test_a_portal_whose_feed_broke_asks_the_database_for_every_request(
    stack: Stack, first: httpx.Client
) -> None:
    """The second portal has a role of its own, which may no longer read the changes."""
    with limited_role(stack) as (role, url), another(stack, first, DSS_DATABASE_URL=url) as second:
        number = new_ticket(first)
        stays_behind_s(second, number, "init")
        assert FEED_DOWN not in stack.logs()

        asyncio.run(execute(stack.database_url, f'REVOKE SELECT ON change FROM "{role}"'))
        wait_until(lambda: FEED_DOWN in stack.logs(), 60, stack.logs)

        for status in ("ready", "claimed", "failed") * 3:
            statement = f"UPDATE ticket SET status = '{status}' WHERE id = {number}"
            asyncio.run(execute(stack.database_url, statement))
            assert status_at(second, number) == (status, status, True)
        asyncio.run(execute(stack.database_url, "DELETE FROM session"))
        assert second.get("/api/tickets").status_code == httpx.codes.UNAUTHORIZED


@contextmanager
def limited_role(stack: Stack) -> Iterator[tuple[str, str]]:
    """A role that may read and write all tables, and the address of the database with it."""
    role, parts = f"portal_{uuid.uuid4().hex}", urlsplit(stack.database_url)
    grants = "".join(
        f'GRANT ALL ON ALL {kind} IN SCHEMA public TO "{role}";'
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
    )
    create = f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'x';"
    asyncio.run(execute(stack.database_url, create + grants))
    try:
        yield role, parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        stack.kill("other")
        drop = f'DROP OWNED BY "{role}"; DROP ROLE "{role}"'
        asyncio.run(execute(stack.database_url, drop))
