"""Databases of a test's own, in the cluster that the tests of a lane share."""

import asyncio
import uuid
from functools import cache
from typing import Any

import asyncpg

from dss_portal import database
from dss_portal.accounts import store as accounts


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, statement: str, *values: object) -> Any:
    """The first column of the first row that the statement answers."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def number_from(url: str, statement: str) -> int:
    """The number that a statement answers."""
    return int(await value(url, statement))


async def create_database(server_url: str, name: str, template: str = "") -> str:
    """The address of a new database.  ``server_url`` is the address of any database of the server."""
    base = server_url.rpartition("/")[0]
    copied = f'TEMPLATE "{template}"' if template else ""
    await execute(f"{base}/postgres", f'CREATE DATABASE "{name}" {copied}')
    return f"{base}/{name}"


def make_database(server_url: str, purpose: str) -> str:
    """The address of a new database without tables, whose name begins with ``purpose``."""
    return asyncio.run(create_database(server_url, f"{purpose}_{uuid.uuid4().hex}"))


def migrated_database(server_url: str, purpose: str) -> str:
    """The address of a new database with the latest schema and the tiers.  It is a copy of the database ``server_url``,
    which is migrated at the first call: that takes seconds.
    """
    migrate(server_url)
    template = server_url.rpartition("/")[2]
    return asyncio.run(create_database(server_url, f"{purpose}_{uuid.uuid4().hex}", template))


@cache
def migrate(url: str) -> None:
    """Bring the database to the latest schema, with the tiers; nobody is connected to it afterwards."""
    asyncio.run(_migrate(url))


async def _migrate(url: str) -> None:
    await database.migrate_to_latest(url)
    async with database.connected(url):
        await accounts.make_tiers()
