"""A handler of the portal waits for a database that is away, and goes on when it is back."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from tortoise.transactions import in_transaction

from dss_portal import database, events
from dss_portal.models import Ticket
from portals import Portal, eventually

pytestmark = pytest.mark.stack

MORE_THAN_THE_POOL_HAS = 30


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress"),
        OSError(28, "No space left on device"),
    ],
)
async def test_an_outage_of_the_database_or_the_disk_is_waited_out(
    portal: Portal, error: Exception
) -> None:
    assert await events.passes(error)


async def test_a_mistake_of_ours_is_not_waited_out(portal: Portal) -> None:
    assert not await events.passes(KeyError("mistake"))


async def test_connections_that_die_before_a_transaction_begins_are_replaced(
    portal: Portal,
) -> None:
    unexpected = []
    for _ in range(MORE_THAN_THE_POOL_HAS):
        with ThreadPoolExecutor(1) as thread:  # this loop does not notice that its connections died
            thread.submit(asyncio.run, _terminate_others(portal)).result()
        try:
            async with in_transaction():
                await Ticket.all().count()
        except Exception as error:
            unexpected += [] if await database.passes(error) else [error]

    assert unexpected == []
    await eventually(database.answers, bool)
    async with asyncio.timeout(10), in_transaction():
        assert await Ticket.all().count() == 0


async def _terminate_others(portal: Portal) -> None:
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
