"""Removes the values of a row from the errors of statements, because errors are logged."""

from typing import Any

from asyncpg import PostgresError
from tortoise.backends.asyncpg.client import AsyncpgDBClient


class HiddenValues(AsyncpgDBClient):
    """Removes PostgreSQL's DETAIL from errors, such as "Failing row contains (...)".

    Tortoise 1.1.9 (see ``patches.CHECKED``) passes every error of a statement through
    ``_translate_exceptions``.
    """

    async def _translate_exceptions(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._translate_exceptions(func, *args, **kwargs)
        except Exception as error:
            for shown in (error, error.__cause__):
                if isinstance(shown, PostgresError):
                    shown.detail = None
            raise
