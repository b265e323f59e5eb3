"""A portal whose database is behind a PgBouncer that pools transactions: it migrates, and it serves."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dss_broker.memory import MemoryBroker
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.app import create_app
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments
from dss_portal.settings import Settings
from dss_stack.postgres import PostgresCluster
from support.databases import create_database
from support.poolers import pgbouncer
from support.portals import Portal, submitted_ticket, text

pytestmark = [pytest.mark.stack]


@pytest.fixture(params=["", "?statement_cache_size=0"], ids=["found out", "asked for"])
async def pooled(
    request: pytest.FixtureRequest, postgres: PostgresCluster, tmp_path: Path
) -> AsyncIterator[str]:
    """The address of an empty database through PgBouncer."""
    direct = await create_database(postgres.database_url, f"pooled_{uuid.uuid4().hex}")
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    with pgbouncer(direct, folder) as url:
        yield url + request.param


async def test_several_portals_may_migrate_at_once_and_again_through_a_pooler(pooled: str) -> None:
    steps = await asyncio.gather(
        *(asyncio.to_thread(asyncio.run, database.migrate_to_latest(pooled)) for _ in range(3))
    )

    assert sum(bool(made) for made in steps) == 1
    assert await database.migrate_to_latest(pooled) == []


async def test_many_users_are_served_at_once_through_a_pooler(pooled: str, tmp_path: Path) -> None:
    await asyncio.to_thread(asyncio.run, database.migrate_to_latest(pooled))
    settings = Settings(
        database_url=pooled,
        amqp_url="amqp://memory",
        datastore=tmp_path / "datastore",
        secret_key="k" * 32,
    )
    broker = MemoryBroker()
    app = create_app(settings, broker)
    async with app.test_app():
        await accounts.make_tiers()
        portal = Portal(app=app, broker=broker, settings=settings)
        await portal.announce_service()
        clients = [await portal.user(f"user{number}@example.com") for number in range(8)]
        tickets = await asyncio.gather(*(submitted_ticket(client) for client in clients))
        portal.serve()
        granted = await asyncio.gather(
            *(portal.granted(ticket, f"d{ticket}") for ticket in tickets)
        )
        assert {grant.ticket_id for grant in granted} == set(tickets)
        assert await text(clients[0], "/readyz") == "ok"
        pages = await asyncio.gather(
            *(text(client, "/api/tickets") for client in clients for _ in range(20))
        )
        assert all("claimed" in page for page in pages)
    broker.close()


async def test_only_a_pooler_costs_the_kept_statements(
    pooled: str, postgres: PostgresCluster
) -> None:
    assert (await arguments(parse(pooled)))["statement_cache_size"] == 0
    assert "statement_cache_size" not in await arguments(parse(postgres.database_url))
