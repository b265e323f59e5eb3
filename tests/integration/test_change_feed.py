"""The feed of changes: each commit of any program is told once, however late it comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import asyncpg
import pytest

from dss_portal import database
from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.changes import feed as feed_module
from dss_portal.changes import watcher
from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Change, ChangeReader, Subject, forget
from dss_portal.changes.watcher import CURRENT_S, PERIOD_S
from dss_portal.models import Service, Status, Ticket
from support.portals import eventually

pytestmark = pytest.mark.stack

Known = dict[str, int]

_LINE = "INSERT INTO ticket_log (ticket_id, at, category, message) VALUES ($1, now(), 'info', 'x')"


@pytest.fixture
async def known(database_url: str) -> Known:
    """Numbers of a user, a service and a ticket."""
    async with database.connected(database_url):
        user = await accounts.save_user("ann@example.com")
        await accounts.open_session(user)
        await api_tokens.create(user, "t", ["tickets"], None)
        service = await Service.create(
            githash="h", name="lungs", version="1", shortdesc="Lungs", descriptor={}
        )
        ticket = await Ticket.create(user=user, service=service, status=Status.INIT)
        return {"user": user.id, "service": service.id, "ticket": ticket.id}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    found = await asyncpg.connect(database_url)
    yield found
    await found.close()


@pytest.mark.parametrize(
    ("subject", "kind", "statement"),
    [
        (Subject.STATE, "ticket", "UPDATE ticket SET status = 'ready' WHERE id = $1"),
        (Subject.STATE, "ticket", "DELETE FROM ticket WHERE id = $1"),
        (Subject.TICKET, "ticket", _LINE),
        (
            Subject.TICKET,
            "ticket",
            "INSERT INTO ticket_progress (ticket_id, chunk_start, chunk_end, progress) VALUES ($1, 0, 1, 0.5)",
        ),
        (
            Subject.TICKET,
            "ticket",
            "INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes) VALUES ($1, 'input', 0, 'a', 1)",
        ),
        (Subject.USER, "user", "UPDATE user_account SET sysadmin = true WHERE id = $1"),
        (Subject.USER, "user", "UPDATE session SET revoked_at = now() WHERE user_id = $1"),
        (Subject.USER, "user", "DELETE FROM session WHERE user_id = $1"),
        (Subject.USER, "user", "UPDATE api_token SET revoked_at = now() WHERE user_id = $1"),
        (Subject.USER, "user", "DELETE FROM api_token WHERE user_id = $1"),
        (Subject.SERVICE, "service", "UPDATE service SET current = false WHERE id = $1"),
    ],
)
async def test_a_change_by_any_statement_is_told(
    known: Known, connection: asyncpg.Connection, subject: Subject, kind: str, statement: str
) -> None:
    reader = ChangeReader()
    await reader.read(connection)

    await connection.execute(statement, known[kind])

    assert (subject, known[kind]) in [(c.subject, c.number) for c in await reader.read(connection)]
    assert await reader.read(connection) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ticket SET announcements = 7, uploaded_at = now() WHERE id = $1",
        "UPDATE service SET heard_at = now() WHERE $1 > 0",
    ],
)
async def test_what_no_client_is_shown_is_no_change(
    known: Known, connection: asyncpg.Connection, statement: str
) -> None:
    reader = ChangeReader()
    await reader.read(connection)

    await connection.execute(statement, known["ticket"])

    assert await reader.read(connection) == []


async def test_a_change_tells_the_owner_of_the_ticket(
    known: Known, connection: asyncpg.Connection
) -> None:
    reader = ChangeReader()
    await reader.read(connection)

    await connection.execute(_LINE, known["ticket"])

    (change,) = await reader.read(connection)
    assert change.owner == known["user"]


async def test_a_transaction_that_commits_late_is_not_missed(
    known: Known, connection: asyncpg.Connection, database_url: str
) -> None:
    """Its number is smaller than those that were told before."""
    reader, slow = ChangeReader(), await asyncpg.connect(database_url)
    await reader.read(connection)
    begun = slow.transaction()
    await begun.start()
    await slow.execute(_LINE, known["ticket"])
    await connection.execute("UPDATE service SET current = false")
    assert [c.subject for c in await reader.read(connection)] == [Subject.SERVICE]

    await begun.commit()

    assert [c.subject for c in await reader.read(connection)] == [Subject.TICKET]
    await slow.close()


async def test_old_changes_are_forgotten(known: Known, connection: asyncpg.Connection) -> None:
    await connection.execute(_LINE, known["ticket"])
    await connection.execute("UPDATE change SET at = at - interval '6 minutes'")
    await connection.execute("UPDATE service SET current = false")

    await forget(connection)

    assert await connection.fetchval("SELECT array_agg(subject) FROM change") == ["service"]


async def test_a_feed_tells_its_followers_and_says_when_it_cannot(
    known: Known, connection: asyncpg.Connection, database_url: str
) -> None:
    feed, told = Feed(database_url), asyncio.Queue[Sequence[Change] | None]()
    feed.follow(told.put_nowait)
    running = asyncio.create_task(feed.run())
    try:
        assert await told.get() is None  # whatever was known before
        assert feed.is_current()
        await connection.execute(_LINE, known["ticket"])
        assert await feed.wait_until_current()
        changes = await told.get()
        assert changes is not None
        assert [change.number for change in changes] == [known["ticket"]]

        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert not await feed.wait_until_current()
        assert await told.get() is None
        assert not feed.is_current()
        assert await eventually(feed.wait_until_current, bool)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_feed_stays_current_while_the_event_loop_stands_still(
    known: Known, connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each request would ask the database just when the portal is overloaded."""
    for module in (feed_module, watcher):
        monkeypatch.setattr(module, "CURRENT_S", 0.4)
    monkeypatch.setattr(watcher, "PERIOD_S", 0.02)
    feed, told = Feed(database_url), list[Change]()
    running = asyncio.create_task(feed.run())
    assert await feed.wait_until_current(10)
    feed.follow(lambda changes: told.extend(changes or ()))
    await connection.execute(_LINE, known["ticket"])

    time.sleep(0.8)  # noqa: ASYNC251 - the loop is to be late

    assert feed.is_current()
    assert [change.number for change in told] == [known["ticket"]]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_feed_that_stands_still_is_not_current(database_url: str) -> None:
    feed = Feed(database_url)
    running = asyncio.create_task(feed.run())
    assert await feed.wait_until_current(10)
    running.cancel()

    await asyncio.sleep(CURRENT_S)

    assert not feed.is_current()


async def test_a_feed_that_is_begun_again_polls_as_before(
    known: Known, connection: asyncpg.Connection, database_url: str
) -> None:
    feed, told = Feed(database_url), asyncio.Queue[Sequence[Change] | None]()
    for _ in range(2):
        running = asyncio.create_task(feed.run())
        assert await feed.wait_until_current(10)
        await asyncio.sleep(2 * PERIOD_S)  # it has waited between two polls
        unfollow = feed.follow(told.put_nowait)
        await connection.execute(_LINE, known["ticket"])
        assert await feed.wait_until_current()
        changes = await told.get()
        assert changes is not None  # or: anything may have changed
        assert [change.number for change in changes] == [known["ticket"]]
        unfollow()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
