"""One running service for all end-to-end tests: three processes, two servers."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from dss_client.itksnap import ItkSnap
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from stacks import Stack, wait_until


@pytest.fixture(scope="session")
def stack(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Everything is up and ``lung-segmentation`` is listed."""
    asyncio.run(_create_database(postgres.database_url, "e2e"))
    running = Stack(
        folder=tmp_path_factory.mktemp("e2e"),
        amqp_url=rabbit.amqp_url,
        database_url=f"{postgres.database_url.rpartition('/')[0]}/e2e",
    )
    running.start()
    try:
        wait_until(lambda: "lung-segmentation" in running.announced(), 90, running.logs)
        yield running
    finally:
        running.stop()


@pytest.fixture
def ann(stack: Stack) -> Iterator[ItkSnap]:
    """A user of ITK-SNAP who has signed in."""
    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))
        yield client


async def _create_database(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
