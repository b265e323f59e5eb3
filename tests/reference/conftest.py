"""The reference server and ours, side by side."""

from collections.abc import Iterator

import httpx
import pytest

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.sites import Site


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Our portal as a process, which takes repositories of this machine and any number of requests."""
    with pytest.MonkeyPatch.context() as environment, fresh_vhost(rabbit) as amqp_url:
        environment.setenv("DSS_GIT_SCHEMES", "https,file")
        environment.setenv("DSS_REQUESTS_PER_MINUTE", "0")
        environment.setenv("DSS_FAILED_LOGINS_PER_MINUTE", "0")
        running = sites.start(amqp_url, postgres, tmp_path_factory.mktemp("site"))
        try:
            yield running
        finally:
            running.stack.stop()


@pytest.fixture(scope="module")
def ann(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A user of a portal that offers a service without an address."""
    site.offer(tmp_path_factory.mktemp("offer"), "hospital")
    with site.program("ann@example.com", "--tier", "poweruser") as client:
        yield client


@pytest.fixture
def ticket(ann: httpx.Client) -> str:
    """The address of a new one of hers."""
    return f"/api/tickets/{ann.post('/api/tickets', data={'name': 'lung-segmentation'}).text}"
