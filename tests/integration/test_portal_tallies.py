"""What the database keeps about tickets and files is what one would count."""

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.migrations.api import migrate

from dss_portal import database, tallies
from dss_portal.models import Status
from dss_stack.postgres import PostgresCluster

pytestmark = pytest.mark.stack

TICKETS, FILES, USERS = 100_000, 100_000, 50
MOST_BLOCKS = 100
"""Blocks of 8 kB.  All tickets have some 1,500, all files some 1,100."""

_PEOPLE = """
INSERT INTO tier (name, max_tickets, max_stored_bytes) VALUES ('guest', 10, 1000000) ON CONFLICT DO NOTHING;
INSERT INTO user_account (id, email, tier_id, sysadmin, disabled, created_at)
    SELECT i, i || '@example.com', 'guest', false, false, now() FROM generate_series(1, 50) AS i;
INSERT INTO service (id, githash, name, version, shortdesc, descriptor)
    SELECT i, i::text, 'service ' || i % 2, i::text, 's', '{}' FROM generate_series(1, 3) AS i;
"""
_COUNTED = """
SELECT service.name, ticket.status, count(*) AS tickets
FROM ticket JOIN service ON service.id = ticket.service_id GROUP BY service.name, ticket.status
"""
_STORED = """
SELECT user_account.id,
    (SELECT coalesce(sum(size_bytes), 0) FROM ticket_file JOIN ticket ON ticket.id = ticket_file.ticket_id
        WHERE user_id = user_account.id)
    + (SELECT coalesce(sum(size_bytes), 0) FROM attachment JOIN ticket ON ticket.id = attachment.ticket_id
        WHERE user_id = user_account.id) AS bytes,
    (SELECT count(*) FROM ticket_file JOIN ticket ON ticket.id = ticket_file.ticket_id
        WHERE user_id = user_account.id) AS files
FROM user_account ORDER BY id
"""
_ROOM = "SELECT * FROM room_of_user($1, 0, 'input', '', 0, $2, '')"
_HEARD = datetime(2026, 1, 1, tzinfo=UTC)

_CHANGES = (
    "INSERT INTO ticket (id, user_id, service_id, status, created_at) VALUES ({new}, {user}, {service}, 'init', now())",
    "UPDATE ticket SET status = '{status}' WHERE id = {ticket}",
    "UPDATE ticket SET status = '{status}' WHERE id % 3 = {service} - 1",
    "UPDATE ticket SET service_id = {service} WHERE id = {ticket}",
    "UPDATE ticket SET user_id = {user} WHERE id = {ticket}",
    "UPDATE ticket SET title = 'x', status = status WHERE id = {ticket}",
    (
        "INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes) SELECT id, 'input', {new}, '{new}', {size} "
        "FROM ticket WHERE id = {ticket}"
    ),
    (
        "INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes) SELECT id, 'results', {new}, 'same', {size} "
        "FROM ticket WHERE id = {ticket} ON CONFLICT (ticket_id, area, name) DO UPDATE SET size_bytes = excluded.size_bytes"
    ),
    "UPDATE ticket_file SET size_bytes = {size} WHERE ticket_id = {ticket}",
    "DELETE FROM ticket_file WHERE ticket_id = {ticket} AND size_bytes < 500",
    (
        "INSERT INTO attachment (ticket_id, public_id, description, mime_type, file_name, size_bytes) "
        "SELECT id, '{new}', '', '', '', {size} FROM ticket WHERE id = {ticket}"
    ),
    "DELETE FROM attachment WHERE ticket_id = {ticket}",
    "DELETE FROM ticket WHERE id = {ticket}",
    "SELECT fold_tallies({service})",
)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    found = await asyncpg.connect(database_url)
    await found.execute(_PEOPLE)
    yield found
    await found.close()


async def _agree(connection: asyncpg.Connection, url: str) -> None:
    counted = {
        (r["name"], Status(r["status"])): r["tickets"] for r in await connection.fetch(_COUNTED)
    }
    async with database.connected(url):
        assert await tallies.tickets() == counted
    for row in await connection.fetch(_STORED):
        held = await connection.fetchrow(_ROOM, row["id"], _HEARD)
        assert held is not None
        assert (held["stored_bytes"], held["files"]) == (row["bytes"], row["files"])


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_changes_the_tallies_are_what_one_would_count(
    connection: asyncpg.Connection, database_url: str, seed: int
) -> None:
    dice = random.Random(seed)
    for new in range(1, 401):
        change = dice.choices(_CHANGES, [6, *[2] * 6, *[1] * 7])[0]
        values: dict[str, Any] = {
            "new": new,
            "ticket": dice.randint(1, new),
            "user": dice.randint(1, 5),
            "service": dice.randint(1, 3),
            "status": dice.choice(list(Status)).value,
            "size": dice.randint(0, 1000),
        }
        await connection.execute(change.format(**values))

    await _agree(connection, database_url)
    await connection.execute("SELECT fold_tallies(1)")
    await _agree(connection, database_url)
    assert (
        await connection.fetchval(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM stored_tally GROUP BY user_id) AS s"
        )
        == 1
    )


@pytest.mark.parametrize("commits", [True, False])
async def test_tallies_are_folded_beside_changes_that_are_not_committed_yet(
    connection: asyncpg.Connection, database_url: str, *, commits: bool
) -> None:
    other = await asyncpg.connect(database_url)
    await connection.execute(_CHANGES[0].format(new=1, user=1, service=1))
    changing = other.transaction()
    await changing.start()
    for new in range(2, 30):
        await other.execute(_CHANGES[0].format(new=new, user=1, service=1))
        await other.execute(_CHANGES[6].format(new=new, ticket=new, size=100))

    async with asyncio.timeout(10):  # neither waits for the other
        await connection.execute("SELECT fold_tallies(0)")
    await (changing.commit() if commits else changing.rollback())
    await other.close()

    await _agree(connection, database_url)
    await connection.execute("SELECT fold_tallies(0)")
    await _agree(connection, database_url)


async def test_a_migration_counts_what_is_there(postgres: PostgresCluster) -> None:
    base, name = postgres.database_url.rpartition("/")[0], f"tallied_{uuid.uuid4().hex}"
    server = await asyncpg.connect(f"{base}/postgres")
    url = f"{base}/{name}"
    try:
        await server.execute(f"CREATE DATABASE {name}")
        await migrate(
            config=database.config(url),
            app_labels=["portal"],
            target="portal.0032_publisher_versions",
        )
        await Tortoise.close_connections()
        connection = await asyncpg.connect(url)
        await connection.execute(_PEOPLE)
        for new in range(1, 20):
            values = {
                "new": new,
                "ticket": new % 7 + 1,
                "user": new % 3 + 1,
                "service": new % 3 + 1,
                "size": new,
            }
            for number in (0, 6, 10):
                await connection.execute(_CHANGES[number].format(**values))

        await database.migrate_to_latest(url)

        await _agree(connection, url)
        await connection.close()
    finally:
        await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await server.close()


_FILL = f"""
SET session_replication_role = replica;
INSERT INTO ticket (id, user_id, service_id, status, created_at)
    SELECT i, i % {USERS} + 1, i % 3 + 1, 'success', now() FROM generate_series(1, {TICKETS}) AS i;
INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes)
    SELECT i, 'input', 0, 'a', 10 FROM generate_series(1, {FILES}) AS i;
INSERT INTO resumable_upload (id, ticket_id, name, length_bytes, heard_at, finished)
    SELECT i, i, 'a', 10, now(), i % 1000 <> 0 FROM generate_series(1, 20000) AS i;
INSERT INTO ticket_tally SELECT service_id, status, count(*) FROM ticket GROUP BY service_id, status;
INSERT INTO stored_tally SELECT i, 20000, 2000 FROM generate_series(1, {USERS}) AS i;
SET session_replication_role = origin;
"""


async def test_nobody_reads_all_tickets_or_files_to_know_their_number(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(_FILL)
    await connection.execute("ANALYZE")

    for statement, values in ((_ROOM, (7, _HEARD)), (tallies._TICKETS, ()), (tallies._FOLD, (20,))):
        for _ in range(2):  # the first plans
            told = await connection.fetchrow(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values
            )
        assert told is not None
        plan = json.loads(told[0])[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BLOCKS, statement
