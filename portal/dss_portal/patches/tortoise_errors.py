"""What is said of a statement that PostgreSQL refused, without the values of the row."""

from typing import Any

from asyncpg import PostgresError
from tortoise.backends.asyncpg.client import AsyncpgDBClient

_translate: Any = AsyncpgDBClient._translate_exceptions  # noqa: SLF001 - see install


def install() -> None:
    """From now on no error of a statement has PostgreSQL's DETAIL, such as "Failing row contains (...)".

    It would be logged with the trace: somebody's address, a message, whatever was sent.  May be
    repeated.  Tortoise 1.1.9 passes every error of a statement through this one method.
    """
    AsyncpgDBClient._translate_exceptions = _translate_hidden  # type: ignore[assignment,method-assign]  # noqa: SLF001


async def _translate_hidden(
    client: AsyncpgDBClient, statement: Any, *args: Any, **kwargs: Any
) -> Any:
    try:
        return await _translate(client, statement, *args, **kwargs)
    except Exception as error:
        for told in (error, error.__cause__):
            if isinstance(told, PostgresError):
                told.detail = None
        raise
