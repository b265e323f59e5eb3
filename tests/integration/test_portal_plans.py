"""What is asked all the time reads no whole table and sorts no whole table, on a site of 100,000 tickets."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from dss_portal import gauges
from dss_portal.changes import reading
from dss_portal.estimates import reading as site
from dss_portal.estimates import runs
from dss_portal.notifications import outbox as notifications
from dss_portal.outbox import relay
from dss_portal.polls import callers, snapshots
from dss_portal.providers import claiming, writing
from dss_portal.services import statistics
from dss_portal.tickets import creation, creation_keys, queue, queue_places, reservation

pytestmark = pytest.mark.stack

TICKETS = 100_000
USERS = 50
LARGE = {
    "ticket",
    "claim",
    "ticket_log",
    "ticket_progress",
    "attachment",
    "session",
    "api_token",
    "change",
    "run",
    "outbox",
    "ticket_key",
    "ticket_file",
    "ticket_history",
    "upload",
    "resumable_upload",
    "stored_tally",
}
FEW_ROWS = 2 * TICKETS // USERS
"""Rows of one user or of one answer may be read or sorted.  Estimates from a sample vary by some per cent."""

# Triggers and foreign keys are asked nothing, which is ten times faster.
_FILL = f"""
SET session_replication_role = replica;
INSERT INTO user_account (id, email, tier_id, created_at)
    SELECT i, i || '@example.com', 'guest', now() FROM generate_series(1, {USERS}) AS i;
INSERT INTO session (sha256, user_id, created_at)
    SELECT md5(i::text), i % {USERS} + 1, now() FROM generate_series(1, 20000) AS i;
INSERT INTO api_token (sha256, user_id, name, scopes, created_at)
    SELECT md5(i::text), i % {USERS} + 1, 't', 'tickets', now() FROM generate_series(1, 5000) AS i;
INSERT INTO service (id, githash, name, version, shortdesc, descriptor)
    SELECT i, i::text, 'service ' || i, '1', 's', '{{}}' FROM generate_series(1, 5) AS i;
INSERT INTO provider (id, name) VALUES (1, 'p');
INSERT INTO provider_service (provider_id, service_id) SELECT 1, i FROM generate_series(1, 5) AS i;
INSERT INTO provider_access (provider_id, user_id) SELECT 1, i FROM generate_series(1, {USERS}) AS i;
INSERT INTO ticket (id, user_id, service_id, status, claim_id, created_at)
    SELECT i, i % {USERS} + 1, i % 5 + 1,
        CASE WHEN i % 10 = 0 THEN 'ready' WHEN i % 10 = 1 THEN 'claimed' ELSE 'success' END,
        CASE WHEN i % 10 = 0 THEN NULL ELSE i::text END, now() - i * interval '1 s'
    FROM generate_series(1, {TICKETS}) AS i;
INSERT INTO claim (id, ticket_id, provider, instance, user_id, lease_s, granted_at, expires_at)
    SELECT i::text, i, 'p', 'i', i % {USERS} + 1, 60, now(), now() FROM generate_series(1, 30000) AS i;
INSERT INTO ticket_log (ticket_id, at, category, message)
    SELECT i % {TICKETS} + 1, now(), 'info', 'x' FROM generate_series(1, {TICKETS}) AS i;
INSERT INTO ticket_progress (ticket_id, chunk_start, chunk_end, progress)
    SELECT i, 0, 1, 0.5 FROM generate_series(1, 30000) AS i;
INSERT INTO attachment (ticket_id, log_id, public_id, description, mime_type, file_name, size_bytes)
    SELECT i, i, md5(i::text), '', '', '', 1 FROM generate_series(1, 20000) AS i;
INSERT INTO change (xid, subject, number)
    SELECT i::text::xid8, 'ticket', i FROM generate_series(1, 20000) AS i;
INSERT INTO run (service, device, size_bytes, seconds, ended_at)
    SELECT 'service ' || i % 5 + 1, 'cpu', i, i, now() FROM generate_series(1, 20000) AS i;
INSERT INTO outbox (message_id, type_name, body, created_at, ticket_id, set_aside_at)
    SELECT i::text, 'TicketReady', '', now(), i, CASE WHEN i % 20 = 0 THEN now() END FROM generate_series(1, 20000) AS i;
INSERT INTO ticket_key (user_id, key, sha256, ticket_id, created_at)
    SELECT i % {USERS} + 1, i::text, '', i, now() - interval '2 days' FROM generate_series(1, 20000) AS i;
SET session_replication_role = origin;
"""

_FILES = f"""
SET session_replication_role = replica;
INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes)
    SELECT i, 'input', 0, 'a', 1 FROM generate_series(1, {TICKETS}) AS i;
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, changed.status, created_at
    FROM ticket, LATERAL (VALUES ('init'), ('ready'), (ticket.status)) changed (status);
INSERT INTO upload (user_id, reserved_bytes, heard_at)
    SELECT i % {USERS} + 1, 1, now() FROM generate_series(1, 20000) AS i;
INSERT INTO resumable_upload (id, ticket_id, area, name, length_bytes, received_bytes, sha256, holder, heard_at,
        finished, claim_id, description, mime_type)
    SELECT i::text, i, 'input', 'b', 1, 1, '', '', now(), true, '', '', '' FROM generate_series(1, 20000) AS i;
INSERT INTO stored_tally (user_id, bytes, files)
    SELECT i % {USERS} + 1, 1, 1 FROM generate_series(1, 20000) AS i;
SELECT setval(pg_get_serial_sequence('ticket', 'id'), {TICKETS});
UPDATE tier SET max_tickets = 1000, max_files = 100000, max_stored_bytes = 1000000;
SET session_replication_role = origin;
"""

# Every ticket ended today; one in five failed.
_ONE_DAY = """
UPDATE ticket SET status = CASE WHEN id % 5 = 0 THEN 'failed' ELSE 'success' END, user_id = 7, service_id = 1,
    claimed_at = now() - interval '9 h', queued_at = now() - interval '10 h';
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, changed.status, now() - interval '10 h' + changed.hour * interval '1 h'
    FROM ticket, LATERAL (VALUES ('init', 0), ('ready', 0), ('claimed', 1), (ticket.status, 2)) changed (status, hour);
"""
MOST_LOOPS = 8
"""A part of a plan may run once for each worker of a parallel plan, but not once for each ticket."""

_TELL_PLANS = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
SET auto_explain.log_format = json; SET auto_explain.log_level = notice;
"""

STATEMENTS: dict[str, tuple[str, list[object]]] = {
    "who polls, by cookie": (callers._BY_SESSION, ["x"]),
    "who polls, by token": (callers._OF_BEARER, ["x"]),
    "a ticket": (snapshots._TICKET, [77]),
    "a user's list": (snapshots._LIST, [7]),
    "lines since the last": (snapshots._LINES, [77, 5]),
    "what has changed": (reading._SINCE, ["19990"]),
    "the next ticket": (queue._FIRST_LOCKED, [[1], ["service 1"]]),
    "a ticket's place": (queue_places._of_versions(queue_places._PLACE, 1), ["service 1", [10], 1]),
    "a list's places": (queue_places._of_versions(queue_places._PLACES, 2), ["s", [10, 60], 1, 2]),
    "the first in a queue": (queue_places._of_versions(queue_places._FIRST, 2), ["s", 300, 1, 2]),
    "who waits": (queue_places._USERS_WAITING, []),
    "a line of a provider's": (writing._LINE, [11, 12, None, "info", "x", "a key"]),
    "a progress of a provider's": (writing._PROGRESS, [11, 12, 0.0, 1.0, 0.5, None, None, True]),
    "messages that were sent": (relay._SENT, [[11, 12], [11, 12]]),
    "runs of two services": (runs._NEWEST, [["service 1", "service 2"], runs.NEWEST]),
    "keys of deleted tickets": (creation_keys._FORGET, [77, datetime.now(UTC), 1000]),
    "a provider's rights": (claiming._RIGHTS, [[7]]),
    "notifications that wait": (notifications._WAITING, []),
    "the longest waits": (gauges._WAITING_SINCE, []),
}

NOW, LONG_AGO = datetime.now(UTC), datetime(2020, 1, 1, tzinfo=UTC)
CALLS: dict[str, tuple[str, list[object]]] = {
    "a new ticket": (creation._CREATE_BY_HASH, [7, "1", NOW, LONG_AGO]),
    "a new ticket with a key": (creation._CREATE_KEYED_BY_HASH, [7, "1", NOW, LONG_AGO, "k", "h"]),
    "room for a file": (reservation._RESERVE, [6, "input", "b", 1, 1, NOW, NOW, LONG_AGO]),
    "a file that is kept": (reservation._KEEP, [6, ["success"], "b", 1, 0, NOW, NOW]),
}
"""Functions of the database, which plan the statements in them when they are executed."""


@pytest.fixture(scope="module")
def plans(migrated: str) -> dict[str, list[dict[str, Any]]]:
    """The nodes of the plan of each statement."""
    return asyncio.run(_plans(migrated))


async def _plans(migrated: str) -> dict[str, list[dict[str, Any]]]:
    async with _database(migrated) as connection:
        await connection.execute(_FILL + _FILES)
        await connection.execute("ANALYZE")
        found = {what: await _plan(connection, *asked) for what, asked in STATEMENTS.items()}
        return found | {what: await _within(connection, *call) for what, call in CALLS.items()}


@asynccontextmanager
async def _database(migrated: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database of its own."""
    base, _, template = migrated.rpartition("/")
    name, server = f"plans_{uuid.uuid4().hex}", await asyncpg.connect(f"{base}/postgres")
    await server.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
    connection = await asyncpg.connect(f"{base}/{name}")
    try:
        yield connection
    finally:
        await connection.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def _of_one_day(migrated: str) -> list[dict[str, Any]]:
    async with _database(migrated) as connection:
        await connection.execute(_FILL + _ONE_DAY)
        await connection.execute("ANALYZE")
        since = datetime.now(UTC) - statistics.WINDOW
        told = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statistics._COUNTS}", since
        )
    return list(_nodes(json.loads(told)[0]["Plan"]))


async def _plan(
    connection: asyncpg.Connection, statement: str, values: list[object]
) -> list[dict[str, Any]]:
    told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)
    return list(_nodes(json.loads(told)[0]["Plan"]))


async def _within(
    connection: asyncpg.Connection, call: str, values: list[object]
) -> list[dict[str, Any]]:
    """The nodes of the plans of all statements that ``call`` executes, those of triggers among them."""
    told: list[str] = []

    def listen(_: object, message: Any) -> None:
        told.append(str(message.message))

    await connection.execute(_TELL_PLANS)
    connection.add_log_listener(listen)
    undone = connection.transaction()
    await undone.start()
    found = await connection.fetch(call, *values)
    await undone.rollback()
    connection.remove_log_listener(listen)
    await connection.execute("SET auto_explain.log_min_duration = -1")
    assert found[0][0] is not None, "it was refused before it wrote"
    plans = [json.loads(text.partition("plan:")[2])["Plan"] for text in told if "plan:" in text]
    assert len(plans) > 1, "only the call was explained"
    return [node for plan in plans for node in _nodes(plan)]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


@pytest.mark.parametrize("what", [*STATEMENTS, *CALLS])
def test_no_large_table_is_read_or_sorted_as_a_whole(
    plans: dict[str, list[dict[str, Any]]], what: str
) -> None:
    read = [n["Relation Name"] for n in plans[what] if n["Node Type"] == "Seq Scan"]
    rows = [n["Plan Rows"] for n in plans[what] if "Sort" in n["Node Type"]]

    assert not LARGE & set(read)
    assert max(rows, default=0) <= FEW_ROWS


async def test_the_ends_of_one_day_are_counted_in_one_pass(migrated: str) -> None:
    """The statement before this one looked up each ticket's claim: 2 to 5 s for the first page of a portal."""
    nodes = await _of_one_day(migrated)

    read = [n["Relation Name"] for n in nodes if "Relation Name" in n]
    assert read.count("ticket_history") == 1
    assert max(n["Actual Loops"] for n in nodes) <= MOST_LOOPS
    assert max((n["Actual Rows"] for n in nodes if "Sort" in n["Node Type"]), default=0) <= FEW_ROWS


# All tickets wait for one service.  A larger number is an older ticket, and 50 users have the same number of them.
_ALL_WAIT = """
UPDATE ticket SET status = 'ready', claim_id = NULL, queued_at = created_at, service_id = 1;
"""
FIRST_OF_A_USER, LAST_OF_A_USER = TICKETS - 1, 49
READ_FOR_A_TURN = 8 * USERS
LONG_QUEUE: dict[str, tuple[str, list[object], int]] = {
    "the next ticket": (*STATEMENTS["the next ticket"], READ_FOR_A_TURN),
    "who waits": (*STATEMENTS["who waits"], READ_FOR_A_TURN),
    "the longest waits": (*STATEMENTS["the longest waits"], READ_FOR_A_TURN),
    "the place of a first ticket": (
        queue_places._of_versions(queue_places._PLACE, 1),
        ["service 1", [FIRST_OF_A_USER], 1],
        READ_FOR_A_TURN,
    ),
    "the place of a last ticket": (
        queue_places._of_versions(queue_places._PLACE, 1),
        ["service 1", [LAST_OF_A_USER], 1],
        3 * TICKETS,
    ),
    "those that are estimated": (
        queue_places._of_versions(queue_places._FIRST, 1),
        ["service 1", site.MOST, 1],
        4 * (site.MOST + USERS) + READ_FOR_A_TURN,
    ),
}
"""By statement, its values, and the most rows of tickets that it may read."""


@pytest.fixture(scope="module")
def long_queue(migrated: str) -> dict[str, list[dict[str, Any]]]:
    """The nodes of each statement's execution while 100,000 tickets wait."""
    return asyncio.run(_of_a_long_queue(migrated))


async def _of_a_long_queue(migrated: str) -> dict[str, list[dict[str, Any]]]:
    found = {}
    async with _database(migrated) as connection:
        await connection.execute(_FILL + _ALL_WAIT)
        await connection.execute("VACUUM ANALYZE")
        for what, (statement, values, _) in LONG_QUEUE.items():
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            told = await connection.fetchval(explain, *values)
            found[what] = list(_nodes(json.loads(told)[0]["Plan"]))
    return found


@pytest.mark.parametrize("what", LONG_QUEUE)
def test_a_long_queue_is_not_sorted_and_read_only_as_far_as_the_place_demands(
    long_queue: dict[str, list[dict[str, Any]]], what: str
) -> None:
    """The statements before these sorted all waiting tickets, which took 0.5 s for each page or poll."""
    nodes = long_queue[what]

    read = [n for n in nodes if n.get("Relation Name") == "ticket"]
    assert sum(n["Actual Rows"] * n["Actual Loops"] for n in read) <= LONG_QUEUE[what][2]
    assert max((n["Actual Rows"] for n in nodes if "Sort" in n["Node Type"]), default=0) <= FEW_ROWS
    many = [n for n in read if n["Actual Rows"] * n["Actual Loops"] > FEW_ROWS]
    assert {n["Node Type"] for n in many} <= {"Index Only Scan"}
