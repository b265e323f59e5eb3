"""A transaction that leaves nothing behind when its connection dies.

Tortoise 1.1.9 keeps the connection out of the pool if a transaction cannot be begun, and in the
caller's context if it can neither be begun nor given back; every later query there would meet it.
"""

from typing import Any

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContextPooled
from tortoise.connection import get_connections

from dss_portal.database import commits


def install() -> None:
    """From now on every outermost transaction is a CarefulTransaction.  May be repeated."""
    AsyncpgDBClient._in_transaction = _begin  # type: ignore[assignment,method-assign]  # noqa: SLF001


class CarefulTransaction(TransactionContextPooled):
    """Gives its connection back and takes it out of the context, however it ends; tells of its commit."""

    __slots__ = ("_commit",)

    async def __aenter__(self) -> TransactionalDBClient:
        try:
            client = await super().__aenter__()
        except BaseException:
            if self._in_context():
                await self._give_back()
            raise
        self._commit = commits.begin()
        return client

    async def __aexit__(self, *reason: Any) -> None:
        committed = False
        try:
            await super().__aexit__(*reason)
            committed = reason[0] is None
        finally:
            self._forget()
            self._commit.end(committed=committed)

    async def _give_back(self) -> None:
        parent, connection = self.client._parent, self.client._connection  # noqa: SLF001
        try:
            await parent._pool.release(connection)  # noqa: SLF001
        finally:
            self._forget()

    def _in_context(self) -> bool:
        token = getattr(self, "token", None)
        return token is not None and not token._used  # noqa: SLF001

    def _forget(self) -> None:
        if self._in_context():
            get_connections().reset(self.token)


def _begin(client: AsyncpgDBClient) -> CarefulTransaction:
    return CarefulTransaction(TransactionWrapper(client), client._pool_init_lock)  # noqa: SLF001
