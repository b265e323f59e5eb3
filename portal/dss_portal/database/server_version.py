"""The oldest PostgreSQL that the portal's SQL runs on."""

import asyncpg
from tortoise.transactions import in_transaction

OLDEST = 13
"""Major version.  The change feed needs ``xid8`` and ``pg_current_xact_id`` of PostgreSQL 13; nothing needs a newer one."""

_QUERY = "SELECT current_setting('server_version_num') AS number"

_TWO_PARTS = 100_000
"""The number of PostgreSQL 10.0, since which a version has two parts and not three."""


class ServerTooOld(Exception):
    """PostgreSQL is older than OLDEST; the text is a sentence for operators."""


def too_old(number: int) -> str:
    """A sentence if PostgreSQL is older than OLDEST; otherwise "".  ``number`` is its ``server_version_num``, such as
    150014 for 15.14 and 90624 for 9.6.24.
    """
    if number >= OLDEST * 10_000:
        return ""
    return (
        f"DSS_DATABASE_URL leads to PostgreSQL {_shown(number)}, which is too old: PostgreSQL {OLDEST} or newer is "
        "needed."
    )


async def require_new_enough(connection: asyncpg.Connection) -> None:
    """Raises ServerTooOld if the server of ``connection`` is older than OLDEST."""
    if sentence := too_old(int(await connection.fetchval(_QUERY))):
        raise ServerTooOld(sentence)


async def problem() -> str:
    """The sentence of ``too_old`` for the server of the portal's connection.  Raises an error if the database does not
    answer.
    """
    async with in_transaction() as connection:
        (row,) = await connection.execute_query_dict(_QUERY)
    return too_old(int(row["number"]))


def _shown(number: int) -> str:
    if number >= _TWO_PARTS:
        return f"{number // 10_000}.{number % 10_000}"
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
