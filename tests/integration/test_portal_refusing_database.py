"""A database that answers and refuses statements: after a failover to a standby, a lock_timeout, or a lost right."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest
from tortoise.exceptions import OperationalError
from tortoise.transactions import in_transaction

from dss_broker.messages import ServiceAnnounced
from dss_portal import database
from dss_portal.models import Ticket
from support.portals import DESCRIPTOR, Portal, eventually, post, text

pytestmark = pytest.mark.stack

LATER = (503, "The database of this service takes no changes; please try again in a minute.")
ANNOUNCED = ServiceAnnounced(
    service=str(DESCRIPTOR["name"]), provider="dss", instance="test", descriptor=DESCRIPTOR
)


@asynccontextmanager
async def _changed(portal: Portal, change: str, back: str) -> AsyncIterator[None]:
    """While ``change`` holds for all connections of the portal, which are new."""
    url = portal.settings.database_url.get_secret_value()
    connection = await asyncpg.connect(
        url, server_settings={"default_transaction_read_only": "off"}
    )
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(change.format(name=name))
    await connection.execute(others)
    try:
        yield
    finally:
        await connection.execute(back.format(name=name))
        await connection.execute(others)
        await connection.close()


def _read_only(portal: Portal) -> AbstractAsyncContextManager[None]:
    setting = 'ALTER DATABASE "{name}" SET default_transaction_read_only = '
    return _changed(portal, f"{setting}on", f"{setting}off")


async def test_a_standby_makes_a_portal_unready_and_users_wait(portal: Portal) -> None:
    client = portal.app.test_client()
    async with _read_only(portal):
        await eventually(lambda: text(client, "/readyz"), lambda now: database.READ_ONLY in now)

        assert await post(client, "/api/login", token="guessed") == LATER

    await eventually(lambda: text(client, "/readyz"), lambda now: database.READ_ONLY not in now)


async def test_messages_wait_for_a_database_that_takes_changes(portal: Portal) -> None:
    async with _read_only(portal):
        portal.broker.publish(ANNOUNCED).result(10)
        await eventually(database.problem, lambda problem: problem == database.READ_ONLY)
        with portal.broker.dead_letters() as session:
            assert session.letters == []

    await eventually(lambda: _services(portal), lambda count: count == 1)


async def _services(portal: Portal) -> int:
    """Number of services, asked on a connection of its own, since those of the portal have just died."""
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    found: int = await connection.fetchval("SELECT count(*) FROM service")
    await connection.close()
    return found


async def test_a_refused_statement_leaves_no_connection_in_its_transaction(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    """Else asyncpg logs an error of its own, each second."""
    refused = await _deleted_read_only()

    assert isinstance(refused, OperationalError)
    assert database.is_away(refused)
    assert "Resetting connection with an active transaction" not in caplog.text


async def _deleted_read_only() -> Exception | None:
    try:
        async with in_transaction() as connection:
            await connection.execute_query("SET TRANSACTION READ ONLY")
            await connection.execute_query("DELETE FROM ticket")
    except Exception as error:
        return error
    return None


async def test_messages_wait_for_a_right_that_was_lost(portal: Portal) -> None:
    role = f"nobody_{uuid.uuid4().hex}"
    async with in_transaction() as connection:
        await connection.execute_query(f"CREATE ROLE {role}")
        await connection.execute_query(f"SET LOCAL ROLE {role}")
        with pytest.raises(OperationalError, match="permission denied") as refused:
            await Ticket.all().using_db(connection).count()
        await connection.rollback()

    assert await database.is_temporary(refused.value)


async def test_a_lock_that_is_not_had_in_time_is_asked_for_again(portal: Portal) -> None:
    async with in_transaction() as holder:
        await holder.execute_query("LOCK TABLE ticket")
        other = await asyncpg.connect(portal.settings.database_url.get_secret_value())
        with pytest.raises(asyncpg.LockNotAvailableError) as refused:
            await other.execute("SET lock_timeout = '50ms'; LOCK TABLE ticket")
        await other.close()

    assert database.is_away(refused.value)
