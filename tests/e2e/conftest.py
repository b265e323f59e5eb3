"""One running service for all end-to-end tests: three processes, two servers; and one with a browser."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from conftest import SYSROOT, missing
from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.errors import ServerMissing
from dss_stack.postgres import PostgresCluster
from dss_stack.prometheus import PrometheusServer
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.browsers import chromium
from support.builders import write_image
from support.databases import migrated_database
from support.sites import Site
from support.stacks import PROGRAMS, Stack, free_port
from support.waiting import wait_until
from support.watchers import Quiet
from support.watching import LUNGS, Questions, Sending, Watched, quickened


@pytest.fixture(scope="module")
def own_stack(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """On a virtual host and database of its own; nothing is started yet."""
    with fresh_vhost(rabbit) as amqp_url:
        own = Stack(
            folder=tmp_path_factory.mktemp("e2e"),
            amqp_url=amqp_url,
            database_url=migrated_database(postgres.database_url, "e2e"),
        )
        try:
            yield own
        finally:
            own.stop()


@pytest.fixture(scope="module")
def stack(own_stack: Stack) -> Stack:
    """Everything is up and ``lung-segmentation`` is listed."""
    own_stack.start()
    wait_until(own_stack.is_complete, 90, own_stack.logs)
    return own_stack


@pytest.fixture(scope="module")
def watched(
    own_stack: Stack, rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """Portal and dispatcher run, and no worker yet; all three are looked at."""
    own_stack.settings["DSS_LEASE_S"] = "6"
    own_stack.health_ports = {program: free_port() for program in PROGRAMS}
    folder = tmp_path_factory.mktemp("prometheus")
    server = PrometheusServer(
        folder / "server", sysroot=SYSROOT, configuration=quickened(folder / "configuration")
    )
    targets = {name: [f"127.0.0.1:{port}"] for name, port in own_stack.health_ports.items()}
    targets["rabbitmq"] = [rabbit.metrics]
    try:
        server.start(targets)
        own_stack.start("portal")
        wait_until(own_stack.portal_ready, 60, own_stack.logs)
        own_stack.start_one("dispatch")  # now that somebody hears what it offers
        wait_until(lambda: LUNGS in own_stack.announced(), 90, own_stack.logs)
        yield Watched(server=server, targets=targets)
    except ServerMissing as error:
        missing(str(error))
    finally:
        server.stop()


@pytest.fixture
def watch(watched: Watched, own_stack: Stack) -> Questions:
    """Knows when the test began."""
    vhost = own_stack.amqp_url.rpartition("/")[2]
    return Questions(url=watched.server.url, vhost=vhost, began_s=time.time())


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    return write_image(tmp_path_factory.mktemp("scan") / "ct.nii.gz", phantom.ct)


@pytest.fixture
def sending(own_stack: Stack) -> Iterator[Sending]:
    """Sends a scan as a user does, and follows it to its end while the test goes on."""
    threads = []

    def begin(scan: Path) -> threading.Thread:
        threads.append(threading.Thread(target=_followed, args=(own_stack, scan)))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.join(300)


def _followed(stack: Stack, scan: Path) -> None:
    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))
        sent = send(client, scan, LUNGS, stack.folder / "results", Quiet())
    assert sent.status == "success", sent.log


@pytest.fixture
def work(own_stack: Stack, watch: Questions) -> None:
    """Everything runs, whatever a test before has ended."""
    for program in PROGRAMS:
        if program not in own_stack.running:
            own_stack.start_one(program)
    wait_until(lambda: watch.number("count(up == 1)") == watch.number("count(up)"), 60)
    wait_until(lambda: watch.number('sum(dss_ready{job!=""})') == len(PROGRAMS), 60)


@pytest.fixture
def user(own_stack: Stack, work: None) -> Iterator[ItkSnap]:
    """Signed in at the portal that is watched."""
    with ItkSnap(own_stack.url) as client:
        client.login(own_stack.token("ann@example.com", "--tier", "poweruser"))
        yield client


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
    with chromium() as launched:
        yield launched
