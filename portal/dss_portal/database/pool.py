"""Connections to PostgreSQL with less work for each statement than asyncpg and Tortoise do: some twenty statements are
executed for each ticket.
"""

from typing import Any, cast

import asyncpg
from asyncpg import protocol
from asyncpg.pool import PoolConnectionProxy

MOST_STATEMENTS = 50_000
"""Number of statements after which a connection is replaced; the default of asyncpg."""
IDLE_S = 300.0
"""Time in seconds after which an unused connection is closed; the default of asyncpg."""


class UnresetConnection(asyncpg.Connection):
    """A connection that is not reset when it returns to the pool, because our sessions keep no state beyond a
    transaction.
    """

    def get_reset_query(self) -> str:
        return ""


class PromptPool(asyncpg.Pool):
    """A pool of UnresetConnection.  A connection that needs no clearing up returns to the pool at once; asyncpg would
    start a task for that, also if there is nothing to do.
    """

    __slots__ = ()

    def __init__(self, *, min_size: int, max_size: int, loop: Any, **arguments: Any) -> None:
        super().__init__(
            min_size=min_size,
            max_size=max_size,
            max_queries=MOST_STATEMENTS,
            max_inactive_connection_lifetime=IDLE_S,
            loop=loop,
            connection_class=UnresetConnection,
            record_class=protocol.Record,
            **arguments,
        )

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's name
        """Return ``connection`` to the pool, as asyncpg's method does."""
        if not self._is_clean(connection):
            await super().release(connection, timeout=timeout)
            return
        holder = connection._holder  # noqa: SLF001 - see patches.CHECKED
        connection._con._on_release()  # noqa: SLF001 - see patches.CHECKED
        holder._release()  # noqa: SLF001 - see patches.CHECKED
        holder._setup_inactive_callback()  # noqa: SLF001 - see patches.CHECKED

    def _is_clean(self, proxy: Any) -> bool:
        """True if asyncpg would do nothing with this connection but put it back into this pool: it is open, has neither
        a transaction nor a cancelled statement, and need not be replaced.
        """
        kind: type = type(proxy)
        if kind is not PoolConnectionProxy or proxy._con is None:  # noqa: SLF001 - see patches.CHECKED
            return False
        connection, holder, pool = proxy._con, proxy._holder, cast("Any", self)  # noqa: SLF001 - see patches.CHECKED
        if connection.is_closed() or pool._closed or holder._pool is not self:  # noqa: SLF001 - see patches.CHECKED
            return False
        state = connection._protocol  # noqa: SLF001 - see patches.CHECKED
        return not (
            state.is_in_transaction()
            or connection._top_xact is not None  # noqa: SLF001 - see patches.CHECKED
            or state._is_cancelling()  # noqa: SLF001 - see patches.CHECKED
            or state.queries_count >= MOST_STATEMENTS
            or holder._generation != pool._generation  # noqa: SLF001 - see patches.CHECKED
        )
