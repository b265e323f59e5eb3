"""Removes the values of a row from the errors of statements, because errors are logged."""

from typing import Any, NoReturn

from asyncpg import (
    ConnectionDoesNotExistError,
    InternalClientError,
    PostgresError,
    ReadOnlySQLTransactionError,
)
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.exceptions import OperationalError


class HiddenValues(AsyncpgDBClient):
    """Removes PostgreSQL's DETAIL from errors, such as "Failing row contains (...)".

    Tortoise 1.1.9 (see ``patches.CHECKED``) passes every error of a statement through
    ``_translate_exceptions``.
    """

    async def _translate_exceptions(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await func(self, *args, **kwargs)
        except Exception as error:
            await self._raise_translated(error)

    async def _raise_translated(self, error: Exception) -> NoReturn:
        """Raise ``error`` without its values, as Tortoise's class for it if there is one.

        A statement that a read-only database refused is an OperationalError, as for other errors: after a
        TransactionManagementError Tortoise rolls nothing back, and returns the connection in its failed transaction.
        A statement on a connection that the server is just ending is an internal error for asyncpg; it is raised as the
        lost connection that it is.
        """
        if isinstance(error, InternalClientError):
            error = ConnectionDoesNotExistError("PostgreSQL has ended the connection")
        try:
            await super()._translate_exceptions(_raise, error)
        except Exception as translated:
            for shown in (translated, translated.__cause__):
                if isinstance(shown, PostgresError):
                    shown.detail = None
            if isinstance(translated.__cause__, ReadOnlySQLTransactionError):
                raise OperationalError(translated.__cause__) from translated.__cause__
            raise
        raise AssertionError from error


async def _raise(_: AsyncpgDBClient, error: Exception) -> None:
    raise error
