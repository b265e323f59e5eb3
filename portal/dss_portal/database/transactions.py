"""Transactions that always return their connection to the pool, and that report their end to ``database.commits``.

Tortoise 1.1.9 (see ``patches.CHECKED``) does not return the connection to the pool if a transaction cannot begin.
If the connection cannot be returned either, it stays in the caller's context, and every later query there fails.
"""

from typing import Any

from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.backends.base.client import (
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections

from dss_portal.database import commits
from dss_portal.database.hidden_values import HiddenValues


class CarefulTransaction(TransactionContextPooled):
    """An outermost transaction.  When it ends or cannot begin, its connection returns to the pool and leaves the caller's
    context.

    After a commit, the functions that were given to ``database.commits.after_commit`` are called; after a rollback, or
    if the commit fails, they are dropped.
    """

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
        parent, connection = self.client._parent, self.client._connection  # noqa: SLF001 - Tortoise has no public name for it
        try:
            await parent._pool.release(connection)  # noqa: SLF001 - the same
        finally:
            self._forget()

    def _in_context(self) -> bool:
        token = getattr(self, "token", None)
        return token is not None and not token._used  # noqa: SLF001 - Tortoise has no public name for it

    def _forget(self) -> None:
        if self._in_context():
            get_connections().reset(self.token)


class Transaction(HiddenValues, TransactionWrapper):
    """The connection inside a transaction; hides values in errors.  Nested transactions use the same class."""

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(Transaction(self))
