"""The connection to PostgreSQL and the schema's migrations."""

import asyncio
import errno
import pkgutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from socket import gaierror

import asyncpg
from tortoise import Tortoise
from tortoise.exceptions import DBConnectionError, OperationalError
from tortoise.migrations.api import migrate
from tortoise.transactions import in_transaction

from dss_portal import migrations
from dss_portal.database import clock
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments
from dss_portal.patches import tortoise_clock

ANSWER_S = 3.0
TURN_S = 0.3
CLOCK_S = 1.0

NOT_FOR_EVER = "set_config('idle_in_transaction_session_timeout', '20s', true)"
"""SQL to run before locking a row or table that other portals wait for: PostgreSQL then ends the transaction if this
portal freezes.
"""


_UNREACHABLE = (errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)

_AWAY = (
    DBConnectionError,
    ConnectionError,
    TimeoutError,
    gaierror,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up
    asyncpg.TransactionRollbackError,  # a deadlock, of which one side has to begin again
    asyncpg.InsufficientResourcesError,  # of disk, memory or connections
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

MIGRATION_LOCK = 0x647373  # "dss"; any number that all portals agree on
_MIGRATION_TURN = f"""
SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})
FROM set_config('idle_in_transaction_session_timeout', '0', true)
"""  # noqa: S608 - a number of ours


def config(database_url: str) -> dict[str, object]:
    """Tortoise's configuration; the migrations live in ``dss_portal.migrations``.  Raises AddressInvalid."""
    address = parse(database_url)
    credentials = {"database": address.database, "user": address.user, "address": address}
    return {
        "connections": {
            "default": {"engine": "dss_portal.database.engine", "credentials": credentials},
        },
        "apps": {
            "portal": {
                "models": ["dss_portal.models"],
                "migrations": "dss_portal.migrations",
                "default_connection": "default",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


DESIGN_TIME = config("postgres://nobody@127.0.0.1/none")
"""Configuration for ``make migration``, which compares models with migrations without a database."""


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[None]:
    # The fallback lets request handlers, which run in contexts of their own, find the connection.
    context = await Tortoise.init(config(database_url), _enable_global_fallback=True)
    tortoise_clock.install(clock.now)
    with suppress(Exception):  # a database that is away is compared later
        await asyncio.wait_for(clock.look(), CLOCK_S)
    try:
        yield
    finally:
        await context.close_connections()


def is_away(error: BaseException) -> bool:
    """True if the database cannot work now, but may later; False if it refused the statement."""
    # asyncpg's error for values that fit no column is an InterfaceError, too.
    return (isinstance(error, _AWAY) and not isinstance(error, ValueError)) or _is_unreachable(
        error
    )


def _is_unreachable(error: BaseException) -> bool:
    """True for the plain OSErrors of a missing socket, a host without a route, or several addresses of a name."""
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    several = str(error).startswith("Multiple exceptions:")
    return several or isinstance(error, ssl.SSLError) or error.errno in _UNREACHABLE


def is_missing_table(error: BaseException) -> bool:
    """True if a table, column or function is not in the schema: a migration may be missing."""
    cause = error.__cause__ or error
    return isinstance(
        cause,
        asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError | asyncpg.UndefinedFunctionError,
    )


def has_full_disk(error: BaseException) -> bool:
    """True if the database is away because its disk is full."""
    return isinstance(error, asyncpg.DiskFullError)


def exc_info_of(error: Exception) -> Exception | None:
    """The value for ``exc_info``: None for an outage or a schema that is not there, which need no trace."""
    return None if is_away(error) or is_missing_table(error) else error


async def ping() -> None:
    """Query the database.  Raises an error if it does not answer."""
    async with in_transaction() as connection:
        await connection.execute_query("SELECT 1")


async def answers() -> bool:
    """True if the database answers within ANSWER_S."""
    try:
        await asyncio.wait_for(ping(), ANSWER_S)
    except Exception:  # whatever it is, it is no answer
        return False
    return True


async def is_temporary(error: Exception) -> bool:
    """True if a later try may succeed: the database is away, does not answer, or lacks our schema.

    A database that dies during a statement causes many kinds of errors, so it is asked.
    """
    return is_away(error) or not await answers() or await misses_migrations(error)


async def misses_migrations(error: Exception) -> bool:
    """True if ``error`` is caused by a schema of another version."""
    return is_missing_table(error) and not await is_current()


async def is_current() -> bool:
    """True if all migrations of this program have been applied."""
    ours = {module.name for module in pkgutil.iter_modules(migrations.__path__)}
    try:
        async with in_transaction() as connection:
            statement = "SELECT name FROM tortoise_migrations WHERE app = 'portal'"
            rows = await connection.execute_query_dict(statement)
    except OperationalError as error:
        if is_missing_table(error):  # none was ever made
            return False
        raise
    return ours <= {row["name"] for row in rows}


async def migrate_to_latest(database_url: str) -> list[str]:
    """Bring the schema up to date, one portal at a time; returns the names of the steps taken."""
    steps: dict[str, None] = {}  # in order, each once: Tortoise tells of the begin and the end
    lock = await asyncpg.connect(**await arguments(parse(database_url)))
    try:
        async with _migrating_alone(lock):
            await migrate(
                config=config(database_url),
                progress=lambda _state, _app, name: steps.setdefault(name),
            )
    finally:
        await lock.close()
        await Tortoise.close_connections()
    return list(steps)


@asynccontextmanager
async def _migrating_alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction that holds the migration lock; a pooler does not keep sessions, so a session could not hold it.

    A portal that does not get the lock asks again later: several that waited in transactions would take all connections
    of a pooler.
    """
    while True:
        async with connection.transaction():
            if await connection.fetchval(_MIGRATION_TURN):
                yield
                return
        await asyncio.sleep(TURN_S)
