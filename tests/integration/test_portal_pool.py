"""The portal's connections to PostgreSQL: how they return to the pool, and in what state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tortoise.connection import get_connection

from dss_portal import database
from support.portals import eventually

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Any]:
    """The portal's database client, with one connection."""
    async with database.connected(f"{database_url}?minsize=1&maxsize=1"):
        yield get_connection("default")


async def value(client: Any, expression: str) -> Any:
    (row,) = await client.execute_query_dict(f"SELECT {expression} AS value")
    return row["value"]


async def test_a_statement_starts_no_task(client: Any) -> None:
    await value(client, "1")
    loop = asyncio.get_running_loop()
    begun: list[object] = []

    def noted(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> "asyncio.Task[Any]":
        begun.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **more)

    loop.set_task_factory(noted)
    found = await value(client, "1")
    loop.set_task_factory(None)

    assert (found, begun) == (1, [])


async def test_statements_wait_for_the_connection_that_another_one_uses(client: Any) -> None:
    found = await asyncio.gather(*(value(client, str(n)) for n in range(20)))

    assert found == list(range(20))


async def test_the_connection_of_a_cancelled_statement_is_used_again(client: Any) -> None:
    before = await value(client, "pg_backend_pid()")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await value(client, "pg_sleep(60)")

    async with asyncio.timeout(10):
        assert await value(client, "pg_backend_pid()") == before


async def test_a_transaction_that_was_left_open_ends_with_the_use_of_the_connection(
    client: Any,
) -> None:
    before = await value(client, "pg_current_xact_id()::text::bigint")
    async with client.acquire_connection() as connection:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        await connection.execute("BEGIN; SELECT pg_current_xact_id()")

    numbers = [await value(client, "pg_current_xact_id()::text::bigint") for _ in range(2)]

    assert before < numbers[0] < numbers[1]


async def test_a_connection_that_the_server_has_ended_is_replaced(
    client: Any, database_url: str
) -> None:
    number = int(await value(client, "pg_backend_pid()"))
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", number)
    await other.close()

    async def present() -> int:
        try:
            return int(await value(client, "pg_backend_pid()"))
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError):
            return number  # the client has not noticed yet

    assert await eventually(present, lambda found: found != number)


async def test_an_error_shows_no_values_of_the_row(client: Any) -> None:
    with pytest.raises(Exception, match="not-null") as raised:
        await client.execute_query_dict(
            "INSERT INTO tier (name, max_tickets) VALUES ('Smith', NULL)"
        )

    cause = raised.value.__cause__
    assert isinstance(cause, asyncpg.NotNullViolationError)
    assert cause.detail is None
    assert "Smith" not in repr(cause.as_dict())
