"""A migrated database for each test, copied from a template."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.memory import MemoryBroker
from dss_portal.app import create_app
from dss_portal.settings import Settings
from dss_stack.postgres import PostgresCluster
from support.databases import execute, migrate, migrated_database
from support.layered import Both, both_of
from support.portals import Portal, answer_posts_as_served
from support.s3_servers import S3Server


@pytest.fixture(scope="session")
def migrated(postgres: PostgresCluster) -> str:
    """The address of a migrated database that nobody is connected to."""
    migrate(postgres.database_url)
    return postgres.database_url


@pytest.fixture
def database_url(migrated: str) -> Iterator[str]:
    """A database of the test's own."""
    url = migrated_database(migrated, "test")
    yield url
    base, _, name = url.rpartition("/")
    asyncio.run(execute(f"{base}/postgres", f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    """A broker in memory, for tests of dispatchers; other tests define a ``broker`` of their own."""
    opened = MemoryBroker()
    yield opened
    opened.stop_consuming(0)
    opened.close()


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    """With the datastore in a folder, or in a bucket: ``parametrize("settings", DATASTORES, indirect=True)``."""
    kind = getattr(request, "param", os.environ.get("DSS_TEST_DATASTORE", "folder"))
    place: dict[str, Any] = {"datastore": tmp_path / "datastore"}
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3")
        bucket = server.new_bucket()
        place = {
            "datastore_url": f"s3://{bucket.place.bucket}/{bucket.place.prefix}",
            "s3_endpoint": server.endpoint,
            "scratch": tmp_path / "scratch",
        }
    return Settings(
        database_url=database_url,
        amqp_url="amqp://memory",
        secret_key="k" * 32,
        upload_silence_s=5,
        **place,
    )


@pytest.fixture
async def portal(settings: Settings) -> AsyncIterator[Portal]:
    """A portal that serves."""
    broker = MemoryBroker()
    app = create_app(settings, broker)
    answer_posts_as_served(app)
    async with app.test_app():
        yield Portal(app=app, broker=broker, settings=settings)
    broker.close()


@pytest.fixture
async def ann(portal: Portal) -> Client:
    """A user of a portal that offers a service."""
    await portal.announce_service()
    return await portal.user()


@pytest.fixture
async def both(portal: Portal) -> AsyncIterator[Both]:
    async with both_of(portal) as both:
        yield both
