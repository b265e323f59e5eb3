"""Compares the schema of the database with the one that this program needs."""

import pkgutil
from collections.abc import Collection

import asyncpg
from tortoise import Tortoise
from tortoise.exceptions import OperationalError
from tortoise.transactions import in_transaction

from dss_portal import migrations

NOT_MIGRATED = "The database's schema is not up to date: run dss-portal migrate."


class SchemaTooNew(Exception):
    """A newer program has changed the schema so that this one cannot work with it; the text is a sentence for operators."""


_COLUMNS = """
SELECT table_name, column_name, is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AS needs_value
FROM information_schema.columns WHERE table_schema = current_schema()
"""


async def problem() -> str:
    """A sentence if this program cannot work with the schema; "" if it can.  Raises an error if the database cannot be
    asked.

    A newer schema is no problem as long as it has every column that this program reads, and needs no value that this
    program does not write.
    """
    known, applied = known_migrations(), await applied_migrations()
    if known - applied:
        return NOT_MIGRATED
    newer = applied - known
    return _too_new(newer, await _misfits()) if newer else ""


async def require_usable() -> list[str]:
    """The sorted names of applied migrations that this program does not know.  Raises SchemaTooNew if it cannot work
    with the schema, and as ``problem``.  All migrations of this program must have been applied.
    """
    if sentence := await problem():
        raise SchemaTooNew(sentence)
    return sorted(await applied_migrations() - known_migrations())


def known_migrations() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(migrations.__path__)}


async def applied_migrations() -> set[str]:
    """The names of the migrations that the database has; none if no migration was ever applied.  Raises an error if the
    database cannot be asked.
    """
    try:
        async with in_transaction() as connection:
            statement = "SELECT name FROM tortoise_migrations WHERE app = 'portal'"
            rows = await connection.execute_query_dict(statement)
    except OperationalError as error:
        if isinstance(error.__cause__, asyncpg.UndefinedTableError):
            return set()
        raise
    return {row["name"] for row in rows}


def _too_new(newer: Collection[str], misfits: list[str]) -> str:
    if not misfits:
        return ""
    return (
        f"The database's schema is too new for this program ({', '.join(misfits)}): install the release that has the "
        f"migration {max(newer)}, or restore a backup from before it."
    )


async def _misfits() -> list[str]:
    """The columns because of which this program cannot work with a newer schema, each with the reason."""
    async with in_transaction() as connection:
        rows = await connection.execute_query_dict(_COLUMNS)
    found = {(row["table_name"], row["column_name"]): row["needs_value"] for row in rows}
    ours = _columns_of_models()
    tables = {table for table, _ in ours}
    lacking = [f"{table}.{column} is missing" for table, column in sorted(ours - found.keys())]
    unknown = sorted(found.keys() - ours)
    needing = [
        f"{table}.{column} needs a value"
        for table, column in unknown
        if table in tables and found[table, column]
    ]
    return lacking + needing


def _columns_of_models() -> set[tuple[str, str]]:
    """Table and column of each field of the models."""
    return {
        (model._meta.db_table, column)  # noqa: SLF001 - Tortoise has no other way to a model's columns
        for model in Tortoise.apps["portal"].values()
        for column in model._meta.fields_db_projection.values()  # noqa: SLF001 - likewise
    }
