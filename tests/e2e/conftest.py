"""One running service for all end-to-end tests: three processes, two servers; and one with a browser."""

import asyncio
import shutil
import uuid
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

import sites
from conftest import missing
from contract.brokers import fresh_vhost
from dss_client.itksnap import ItkSnap
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from sites import Site
from stacks import Stack, wait_until


@pytest.fixture(scope="module")
def own_stack(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """On a virtual host and database of its own; nothing is started yet."""
    name = f"e2e_{uuid.uuid4().hex[:8]}"
    asyncio.run(sites.create_database(postgres.database_url, name))
    with fresh_vhost(rabbit) as amqp_url:
        own = Stack(
            folder=tmp_path_factory.mktemp("e2e"),
            amqp_url=amqp_url,
            database_url=f"{postgres.database_url.rpartition('/')[0]}/{name}",
        )
        try:
            yield own
        finally:
            own.stop()


@pytest.fixture(scope="module")
def stack(own_stack: Stack) -> Stack:
    """Everything is up and ``lung-segmentation`` is listed."""
    own_stack.start()
    wait_until(lambda: "lung-segmentation" in own_stack.announced(), 90, own_stack.logs)
    return own_stack


@pytest.fixture
def ann(stack: Stack) -> Iterator[ItkSnap]:
    """A user of ITK-SNAP who has signed in."""
    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))
        yield client


@pytest.fixture(scope="session")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A portal of its own, without dispatchers: only what a test puts there is listed."""
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, tmp_path_factory.mktemp("site"))
        try:
            yield running
        finally:
            running.stack.stop()


@pytest.fixture(scope="session")
def root(site: Site) -> Iterator[httpx.Client]:
    """A sysadmin's session."""
    with site.program(sites.ROOT, "--sysadmin") as client:
        yield client


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """Only for a module, because its event loop is in the way of asynchronous tests."""
    program = shutil.which("chromium")
    if program is None:
        missing("Chromium is not installed.")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=sites.CHROMIUM)
