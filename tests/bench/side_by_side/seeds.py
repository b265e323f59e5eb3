"""The same users and tickets in both databases, written by SQL.

Every user has POLLED claimed tickets that are polled; all other tickets were done two days ago, so that no portal looks
for their leftovers, apart from WAITING ones that are there to be claimed.  Each ticket has LINES lines of log.
"""

import hashlib
import sqlite3
from dataclasses import dataclass

import asyncpg

POLLED = 5
WAITING = 3000
LINES = 10


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """Services by name; the claimed tickets by e-mail address."""

    githashes: dict[str, str]
    tickets: dict[str, list[int]]


def _shares(count: int, tickets: int) -> list[tuple[str, int]]:
    """Status and number of tickets for each of ``count`` users."""
    done = max(0, tickets // count - POLLED)
    return [("success", done), ("ready", WAITING // count), ("claimed", POLLED)]


def fill_sqlite(
    connection: sqlite3.Connection,
    tokens: dict[str, str],
    githash: str,
    provider: str,
    tickets: int,
) -> dict[str, list[int]]:
    """The numbers of the claimed tickets, by e-mail address."""
    found = {}
    for email, token in tokens.items():
        user = "INSERT INTO users (email, passwd, dispname, tier) VALUES (?, ?, ?, 'xnat')"
        user_id = connection.execute(user, (email, token, email)).lastrowid
        connection.execute("INSERT INTO provider_access VALUES (?, ?, 0)", (user_id, provider))
        for status, count in _shares(len(tokens), tickets):
            row = (user_id, githash, status)
            statement = "INSERT INTO tickets (user_id, service_githash, status) VALUES (?, ?, ?)"
            connection.executemany(statement, [row] * count)
        claimed = "SELECT id FROM tickets WHERE user_id = ? AND status = 'claimed'"
        found[email] = [row[0] for row in connection.execute(claimed, (user_id,))]
    connection.execute(
        "INSERT INTO ticket_log (ticket_id, category, message) SELECT tickets.id, 'info', 'A line of the log' "
        "FROM tickets, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n)",
        (LINES,),
    )
    connection.execute(
        "INSERT INTO ticket_history (ticket_id, status) SELECT id, status FROM tickets"
    )
    connection.commit()
    return found


async def fill_postgres(url: str, tokens: dict[str, str], provider: str, tickets: int) -> Seeded:
    """All tickets are of the service that was added first."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            services = await connection.fetch("SELECT id, name, githash FROM service ORDER BY id")
            service = services[0]["id"]
            found = {}
            for email, token in tokens.items():
                user = await connection.fetchval(
                    "INSERT INTO user_account (email, tier_id, created_at) VALUES ($1, 'xnat', now()) RETURNING id",
                    email,
                )
                await _make_user(connection, user, token, provider)
                for status, count in _shares(len(tokens), tickets):
                    numbers = await _make_tickets(connection, user, service, status, count)
                found[email] = numbers
        await connection.execute("ANALYZE")
        return Seeded(githashes={row["name"]: row["githash"] for row in services}, tickets=found)
    finally:
        await connection.close()


async def _make_user(connection: asyncpg.Connection, user: int, token: str, provider: str) -> None:
    await connection.execute(
        "INSERT INTO provider_access (provider_id, user_id) SELECT id, $2 FROM provider WHERE name = $1",
        provider,
        user,
    )
    await connection.execute(
        "INSERT INTO login_token (sha256, user_id, expires_at) VALUES ($1, $2, now() + interval '1 day')",
        hashlib.sha256(token.encode()).hexdigest(),
        user,
    )


async def _make_tickets(
    connection: asyncpg.Connection, user: int, service: int, status: str, count: int
) -> list[int]:
    rows = await connection.fetch(
        "INSERT INTO ticket (user_id, service_id, status, attempt, created_at, queued_at, announced_at, announcements) "
        "SELECT $1, $2, $3, 1, now(), now(), now(), 20 FROM generate_series(1, $4) RETURNING id",
        user,
        service,
        status,
        count,
    )
    numbers = [row["id"] for row in rows]
    await connection.execute(
        "INSERT INTO ticket_history (ticket_id, status, at) SELECT unnest($1::int[]), $2::varchar, "
        "now() - CASE WHEN $2::varchar = 'success' THEN interval '2 days' ELSE interval '0' END",
        numbers,
        status,
    )
    await connection.execute(
        "INSERT INTO ticket_log (ticket_id, at, category, message) SELECT id, now(), 'info', 'A line of the log' "
        "FROM unnest($1::int[]) AS id, generate_series(1, $2)",
        numbers,
        LINES,
    )
    return numbers
