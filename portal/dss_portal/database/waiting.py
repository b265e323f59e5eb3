"""Waits for PostgreSQL and for the migrations of the database, while a whole site starts."""

import asyncio
import logging
import time
from collections.abc import Callable

import asyncpg

from dss_portal import database
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments
from dss_portal.database.explanations import explain
from dss_portal.database.server_version import require_new_enough

log = logging.getLogger(__name__)

POLL_S = 1.0
LOG_INTERVAL_S = 60.0
"""Interval between the log lines of a long wait, in seconds."""


async def for_server(database_url: str, wait_s: float, say: Callable[[str], object]) -> None:
    """Wait at most ``wait_s`` seconds until PostgreSQL accepts a connection.  ``say`` gets a sentence if the first
    attempt fails.

    Raises the last error if none is accepted in that time.  An error that waiting cannot cure, such as a wrong password
    or a server that is too old, is raised at once.
    """
    ends_s, is_logged = time.monotonic() + wait_s, False
    while True:
        try:
            connection = await asyncpg.connect(**await arguments(parse(database_url)))
        except Exception as error:
            if not database.is_away(error) or time.monotonic() >= ends_s:
                raise
            if not is_logged:
                say(f"Waiting up to {wait_s:g} s for PostgreSQL: {error}.")
            is_logged = True
        else:
            try:
                await require_new_enough(connection)
            finally:
                await connection.close()
            return
        await asyncio.sleep(POLL_S)


async def for_migrations() -> None:
    """Wait until PostgreSQL is new enough and has a schema that this program can work with.  While it waits, it logs the
    reason each minute.
    """
    logged_s = -LOG_INTERVAL_S
    while reason := await _problem():
        if time.monotonic() - logged_s >= LOG_INTERVAL_S:
            log.warning("waiting for the database", extra={"reason": reason})
            logged_s = time.monotonic()
        await asyncio.sleep(POLL_S)


async def for_schema(error: Exception) -> bool:
    """Wait for the migrations and return True if ``error`` comes from a missing or outdated schema.  Otherwise return
    False, also if the database cannot be asked.
    """
    try:
        is_missing = await database.misses_migrations(error)
    except Exception:  # the database has become unavailable
        return False
    if is_missing:
        await for_migrations()
    return is_missing


async def _problem() -> str:
    try:
        async with asyncio.timeout(database.ANSWER_S):
            return await database.version_problem()
    except Exception as error:
        return explain(error) or f"It does not answer: {error!r}."
