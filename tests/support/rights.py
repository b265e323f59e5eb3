"""RabbitMQ users with the product's rights, and messages that they exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker
from dss_broker.rights import USERS, definitions
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.brokers import fresh_vhost

SOON_S = 60.0
PASSWORDS = {user: f"of {user}" for user in USERS}
Urls = dict[str, str]
Brokers = dict[str, RabbitBroker]


def load_rights(rabbit: RabbitNode, admin: str) -> Urls:
    """Load the definitions into the virtual host of the address ``admin``, and return each user's address."""
    vhost = admin.rpartition("/")[2]
    with loopback.client(
        base_url=rabbit.console_url, auth=(rabbit.user, rabbit.password)
    ) as console:
        console.post("/api/definitions", json=definitions(PASSWORDS, vhost)).raise_for_status()
    place = admin.rpartition("@")[2]
    return {user: f"amqp://{user}:{quote(PASSWORDS[user])}@{place}" for user in USERS}


def grants(delivery: Delivery) -> None:
    delivery.reply(m.ClaimGranted(ticket_id=7, claim_id="c", attempt=1, lease_s=60))


def fails(delivery: Delivery) -> None:
    delivery.reply(m.InferenceFailed(ticket_id=7, claim_id="c", reason="no lung")).result(SOON_S)


@contextmanager
def three_programs(urls: Urls) -> Iterator[Brokers]:
    """The three programs, subscribed to all that theirs are; the portal comes first."""
    found: Brokers = {}
    portal = found["portal"] = RabbitBroker(urls["dss-portal"], "portal", "1")
    portal.consume(topology.PORTAL_CLAIMS, grants)
    portal.consume(topology.PORTAL_EVENTS, lambda _: None)
    portal.consume(topology.PORTAL_PARKED, lambda _: None)
    inference = found["inference"] = RabbitBroker(urls["dss-inference"], "inference", "1")
    inference.consume(topology.withdrawn("inference"), lambda _: None)
    inference.consume(topology.inference("lung"), fails)
    found["dispatch"] = RabbitBroker(urls["dss-dispatch"], "dispatch", "1")
    yield found
    for broker in found.values():
        broker.close()


@pytest.fixture(scope="module")
def urls(rabbit: RabbitNode) -> Iterator[Urls]:
    """An address for each user of a virtual host with the definitions that an operator would load."""
    with fresh_vhost(rabbit) as admin:
        yield load_rights(rabbit, admin)


@pytest.fixture(scope="module")
def brokers(urls: Urls) -> Iterator[Brokers]:
    with three_programs(urls) as found:
        yield found
