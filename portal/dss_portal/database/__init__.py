"""The connection to PostgreSQL, the kinds of its errors, and the migrations of the schema."""

import asyncio
import errno
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import gaierror

import asyncpg
from tortoise import Tortoise
from tortoise.exceptions import DBConnectionError
from tortoise.migrations.api import migrate
from tortoise.transactions import in_transaction

from dss_portal.database import clock, schema, server_version
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments
from dss_portal.patches import tortoise_clock

ANSWER_S = 3.0
POLL_S = 0.3
CLOCK_S = 1.0

IDLE_LIMIT = "set_config('idle_in_transaction_session_timeout', '20s', true)"
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
    asyncpg.TransactionRollbackError,  # a deadlock; the transaction can be repeated
    asyncpg.InsufficientResourcesError,  # of disk, memory or connections
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_REFUSED_FOR_NOW = (
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,  # lock_timeout has passed
)
"""Errors that Tortoise replaces by its own, for statements that the database takes at another time."""

NO_ANSWER = "The database does not answer."
READ_ONLY = (
    "The database takes no changes: DSS_DATABASE_URL leads to a standby, or to a server that was made read-only. "
    "Where it names several hosts, target_session_attrs=read-write finds the right one."
)

MIGRATION_TRIES = 40
"""Largest number of attempts at a migration, each of which a deadlock may stop.  PostgreSQL detects a deadlock after a
second, so they take about a minute.
"""

MIGRATION_LOCK = 0x647373  # "dss": the same number in all portals
_MIGRATION_TURN = f"""
SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})
FROM set_config('idle_in_transaction_session_timeout', '0', true)
"""  # noqa: S608 - a number of ours


def config(database_url: str) -> dict[str, object]:
    """Tortoise's configuration.  The migrations are in ``dss_portal.migrations``.  Raises AddressInvalid."""
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


MIGRATION_CONFIG = config("postgres://nobody@127.0.0.1/none")
"""Configuration for ``make migration``, which compares models with migrations without a database."""


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[None]:
    # Request handlers run in contexts of their own; the fallback lets them find the connection.
    context = await Tortoise.init(config(database_url), _enable_global_fallback=True)
    tortoise_clock.install(clock.now)
    with suppress(Exception):  # if the database is away, the clocks are compared later
        await asyncio.wait_for(clock.measure(), CLOCK_S)
    try:
        yield
    finally:
        await context.close_connections()


def is_away(error: BaseException) -> bool:
    """True if the database cannot work now, but may work later; False if it refused the statement."""
    if isinstance(error.__cause__ or error, _REFUSED_FOR_NOW):
        return True
    # asyncpg raises an InterfaceError also for values that do not fit a column.
    return (isinstance(error, _AWAY) and not isinstance(error, ValueError)) or _is_unreachable(
        error
    )


def _is_unreachable(error: BaseException) -> bool:
    """True for a plain OSError of a failed connection: the socket file is missing, no route leads to the host,
    encryption fails, or all addresses of a host name fail.
    """
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


def is_read_only(error: BaseException) -> bool:
    """True if the database takes no changes."""
    return isinstance(error.__cause__ or error, asyncpg.ReadOnlySQLTransactionError)


def exc_info_of(error: Exception) -> Exception | None:
    """The value of ``exc_info`` for a log call: None for an outage or a missing schema, which need no traceback."""
    return None if is_away(error) or is_missing_table(error) else error


async def ping() -> None:
    """Query the database.  Raises an error if it does not answer."""
    async with in_transaction() as connection:
        await connection.execute_query("SELECT 1")


async def answers() -> bool:
    """True if the database answers within ANSWER_S."""
    try:
        await asyncio.wait_for(ping(), ANSWER_S)
    except Exception:  # any error means that there is no answer
        return False
    return True


async def problem() -> str:
    """A sentence if the database does not answer within ANSWER_S, or takes no changes; "" if it does both."""
    try:
        takes_changes = await asyncio.wait_for(_takes_changes(), ANSWER_S)
    except Exception:  # any error means that there is no answer
        return NO_ANSWER
    return "" if takes_changes else READ_ONLY


async def version_problem() -> str:
    """A sentence if the server is too old, or if this program cannot work with the schema; otherwise "".  Raises an error
    if the database cannot be asked.
    """
    return await server_version.problem() or await schema.problem()


async def _takes_changes() -> bool:
    """False for a standby, and for a server or a database that was made read-only."""
    async with in_transaction() as connection:
        query = "SELECT current_setting('transaction_read_only') AS read_only"
        (row,) = await connection.execute_query_dict(query)
    return bool(row["read_only"] == "off")


async def is_temporary(error: Exception) -> bool:
    """True if a later attempt may succeed: the database is unavailable, does not answer, or lacks our schema, or its
    user lacks a right, which an operator has to grant.

    If the database dies during a statement, errors of many kinds occur; then a query tests whether it answers.
    """
    lacks_right = isinstance(error.__cause__ or error, asyncpg.InsufficientPrivilegeError)
    return is_away(error) or lacks_right or not await answers() or await misses_migrations(error)


async def misses_migrations(error: Exception) -> bool:
    """True if the schema is of another version, and so has caused ``error``.  Raises an error if the database does not
    answer this question.
    """
    return is_missing_table(error) and bool(await schema.problem())


async def migrate_to_latest(database_url: str) -> list[str]:
    """Apply the missing migrations; if several portals call this at once, one after the other.  Returns the names of
    the applied steps.
    """
    steps: dict[str, None] = {}  # an ordered set, because Tortoise reports each step twice
    lock = await asyncpg.connect(**await arguments(parse(database_url)))
    try:
        async with _migrating_alone(lock):
            await _migrate(database_url, lambda _state, _app, name: steps.setdefault(name))
    finally:
        await lock.close()
        await Tortoise.close_connections()
    return list(steps)


async def _migrate(database_url: str, progress: Callable[[str, str, str], object]) -> None:
    """Apply the missing migrations while portals work.  If a deadlock with a portal's locks stops a migration, it is
    rolled back and tried again, at most MIGRATION_TRIES times in all.  Any other error is raised.
    """
    for left in reversed(range(MIGRATION_TRIES)):
        try:
            await migrate(config=config(database_url), progress=progress)
        except Exception as error:
            cause = error.__cause__ or error
            if not isinstance(cause, asyncpg.TransactionRollbackError) or not left:
                raise
        else:
            return
        await asyncio.sleep(random.uniform(1, 4) * POLL_S)  # noqa: S311 - no secret


@asynccontextmanager
async def _migrating_alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A context that begins when this program has the lock on migrations, in a transaction that holds the lock.  A
    session could not hold it, because a pooler does not keep sessions.

    While another program has the lock, this one tries again at intervals: programs that wait inside transactions would
    take all connections of a pooler.
    """
    while True:
        async with connection.transaction():
            if await connection.fetchval(_MIGRATION_TURN):
                yield
                return
        await asyncio.sleep(POLL_S)
