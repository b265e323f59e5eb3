"""Connects Tortoise to PostgreSQL with the address from the settings, also through PgBouncer in transaction mode."""

import logging
from typing import Any

import asyncpg
from tortoise.backends.base.client import TransactionContext

from dss_portal.database.address import DatabaseAddress
from dss_portal.database.hidden_values import HiddenValues
from dss_portal.database.transactions import CarefulTransaction, Transaction

log = logging.getLogger(__name__)


class UnresetConnection(asyncpg.Connection):
    """A connection that is not reset when it returns to the pool, because our sessions keep no state beyond a
    transaction.
    """

    def get_reset_query(self) -> str:
        return ""


class DatabaseClient(HiddenValues):
    """Tortoise's database client, which hides values in errors and uses ``CarefulTransaction``.  Tortoise's credentials
    must contain a DatabaseAddress as ``address``.
    """

    async def create_pool(self, **template: Any) -> asyncpg.Pool:
        address: DatabaseAddress = template["address"]
        smallest, largest = address.pool
        return await asyncpg.create_pool(
            **await arguments(address),
            min_size=smallest,
            max_size=largest,
            connection_class=UnresetConnection,
            loop=template["loop"],
        )

    def _in_transaction(self) -> TransactionContext:
        return CarefulTransaction(Transaction(self), self._pool_init_lock)


client_class = DatabaseClient
"""Tortoise finds the client class of this module under this name."""


async def arguments(address: DatabaseAddress) -> dict[str, Any]:
    """The arguments for ``asyncpg.connect``.  Unless the address says whether prepared statements are cached, connects
    once to find out whether they can be.

    With a pooler they cannot: it may give each transaction another server connection, which does not know them.
    """
    found = address.arguments()
    if address.statement_cache_size is None and await _is_pooled(found):
        log.info("a pooler is between, so no prepared statements are kept")
        found["statement_cache_size"] = 0
    return found


async def _is_pooled(found: dict[str, Any]) -> bool:
    """True if there is a pooler.  Then the process id that was given when connecting is not that of the server
    process that answers.
    """
    connection = await asyncpg.connect(**{**found, "statement_cache_size": 0})
    try:
        return bool(
            await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid()
        )
    finally:
        await connection.close()
