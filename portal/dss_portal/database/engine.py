"""Connects Tortoise to PostgreSQL with the address from the settings, also through PgBouncer in transaction mode."""

import logging
from collections.abc import Sequence
from typing import Any

import asyncpg
from tortoise.backends.base.client import TransactionContext

from dss_portal.database.address import DatabaseAddress
from dss_portal.database.hidden_values import HiddenValues
from dss_portal.database.pool import PromptPool
from dss_portal.database.transactions import CarefulTransaction, Transaction

log = logging.getLogger(__name__)


class DatabaseClient(HiddenValues):
    """Tortoise's database client, which hides values in errors and uses ``PromptPool`` and ``CarefulTransaction``.
    Tortoise's credentials must contain a DatabaseAddress as ``address``.
    """

    async def create_pool(self, **template: Any) -> asyncpg.Pool:
        address: DatabaseAddress = template["address"]
        smallest, largest = address.pool
        return await PromptPool(
            **await arguments(address), min_size=smallest, max_size=largest, loop=template["loop"]
        )

    async def execute_query_dict(
        self, query: str, values: list[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Execute one statement, and return its rows.  Overridden because it is called so often."""
        rows: list[dict[str, Any]] = await self._translate_exceptions(_fetch, query, values or ())
        return rows

    def _in_transaction(self) -> TransactionContext:
        return CarefulTransaction(Transaction(self), self._pool_init_lock)


async def _fetch(
    client: DatabaseClient, query: str, values: Sequence[object]
) -> list[dict[str, Any]]:
    if client._pool is None:  # noqa: SLF001 - see patches.CHECKED
        async with client.acquire_connection() as connection:
            return list(map(dict, await connection.fetch(query, *values)))
    pool = client._pool  # noqa: SLF001 - see patches.CHECKED
    connection = await pool.acquire()
    try:
        rows = await connection.fetch(query, *values)
    finally:
        await pool.release(connection)
    return list(map(dict, rows))


client_class = DatabaseClient
"""Tortoise finds the client class of this module under this name."""


async def arguments(address: DatabaseAddress) -> dict[str, Any]:
    """The arguments for ``asyncpg.connect``.  Unless the address says whether prepared statements are cached, connects
    once to find out whether they can be.

    With a pooler they cannot: it may give each transaction another server connection, which does not know them.
    """
    found = address.arguments()
    if address.statement_cache_size is None and await is_pooled(address):
        log.info("a pooler is between, so no prepared statements are kept")
        found["statement_cache_size"] = 0
    return found


async def is_pooled(address: DatabaseAddress) -> bool:
    """True if there is a pooler.  Then the process id that was given when connecting is not that of the server
    process that answers.
    """
    connection = await asyncpg.connect(**{**address.arguments(), "statement_cache_size": 0})
    try:
        return bool(
            await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid()
        )
    finally:
        await connection.close()
