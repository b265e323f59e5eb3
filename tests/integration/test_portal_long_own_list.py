"""The pages of one user's list of 100,000 waiting tickets: what they read and make does not grow with the list, except
that a place in the queue is counted once along an index.
"""

import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import asyncpg
import pytest
from tortoise.models import Model

from dss_portal.models import Service, User
from dss_portal.tickets.pages import SHOWN
from support.portals import Portal, text

pytestmark = pytest.mark.stack

TICKETS = 100_000
_FILL = """
INSERT INTO ticket (user_id, service_id, status, created_at, queued_at, announced_at, announcements)
    SELECT $1, $2, 'ready', now() - interval '1 d', now() - interval '1 d' + i * interval '0.5 s', now(), 6
    FROM generate_series(1, $3::int) AS i
"""
_HISTORY = """
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, state, now() - interval '1 d' FROM ticket, unnest(ARRAY['init', 'ready']) AS state ORDER BY id
"""
ROWS_OF_A_TICKET = 12
"""Rows that a page may read for each ticket that it shows, of all tables together."""
OBJECTS = 60
"""Objects of models that a page may make: the user, the session, services and programs, but no tickets."""


@pytest.fixture
async def newest(portal: Portal) -> int:
    """The number of the newest of ann's tickets."""
    await portal.announce_service()
    await portal.user()
    service, user = await Service.get(current=True), await User.get(email="ann@example.com")
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    try:
        await connection.execute("SET session_replication_role = replica")  # without triggers
        await connection.execute(_FILL, user.id, service.id, TICKETS)
        await connection.execute(_HISTORY)
        await connection.execute("VACUUM ANALYZE")
        return int(await connection.fetchval("SELECT max(id) FROM ticket"))
    finally:
        await connection.close()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


@pytest.mark.parametrize("newer", [0, 1000, TICKETS // 2, TICKETS - 2 * SHOWN])
async def test_a_page_of_a_long_list_reads_little(
    portal: Portal, newest: int, newer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await portal.user()
    asked: ContextVar[list[tuple[str, tuple[object, ...]]] | None] = ContextVar(
        "asked", default=None
    )
    made: list[str] = []
    fetch, init = asyncpg.Connection.fetch, Model._init_from_db.__func__  # type: ignore[attr-defined] # a classmethod

    async def noted(self: asyncpg.Connection, query: str, *values: object) -> object:
        if (seen := asked.get()) is not None:  # not a background task of the portal
            seen.append((query, values))
        return await fetch(self, query, *values)

    def counted(cls: type[Model], /, **values: object) -> object:
        if asked.get() is not None:
            made.append(cls.__name__)
        return init(cls, **values)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    monkeypatch.setattr(Model, "_init_from_db", classmethod(counted))
    statements: list[tuple[str, tuple[object, ...]]] = []
    asked.set(statements)
    page = await text(ann, f"/tickets?before={newest + 1 - newer}" if newer else "/tickets")
    asked.set(None)

    assert page.count('id="ticket-') == SHOWN
    assert f"place {TICKETS - newer} in the queue" in page
    assert len(made) <= OBJECTS, made
    deep, others = await _reads(portal, statements)
    assert deep <= TICKETS + ROWS_OF_A_TICKET * SHOWN
    assert others <= ROWS_OF_A_TICKET * SHOWN


async def _reads(
    portal: Portal, statements: list[tuple[str, tuple[object, ...]]]
) -> tuple[float, float]:
    """The number of rows that the statements read: along the index of waiting tickets alone, and in other ways."""
    nodes: list[dict[str, Any]] = []
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    try:
        for query, values in statements:
            if query.lstrip().upper().startswith(("SELECT", "WITH")):
                told = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
                nodes += _nodes(json.loads(told)[0]["Plan"])
    finally:
        await connection.close()
    read = [node for node in nodes if "Relation Name" in node or "Index Name" in node]
    deep = [node for node in read if node.get("Index Name") == "ticket_waiting"]
    counts = [sum(n["Actual Rows"] * n["Actual Loops"] for n in found) for found in (deep, read)]
    return counts[0], counts[1] - counts[0]
