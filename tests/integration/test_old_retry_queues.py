"""Retry queues of older programs, named in seconds: what lies in them arrives, and they are gone."""

from collections.abc import Iterator
from queue import Empty, SimpleQueue
from urllib.parse import quote

import httpx
import pika  # no py.typed
import pytest
from pika.exceptions import ChannelClosedByBroker

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.envelope import ATTEMPT, for_retry, new_envelope
from dss_broker.rabbit import RabbitBroker, old_retry_queues
from dss_broker.rabbit.declare import NEVER_LOST, QUORUM
from dss_broker.rabbit.old_retry_queues import start_emptying
from dss_broker.rabbit.publication import properties_of
from dss_broker.rights import USERS, definitions
from dss_stack.rabbitmq import RabbitNode
from support.brokers import RETRY_S, fresh_vhost

pytestmark = pytest.mark.stack

SOON_S = 60.0
OLD = "dss.retry.120s"
"""Of the four, the one from which nothing would come by itself while a test waits."""
READY = m.TicketReady(ticket_id=7, service="lung", service_hash="h")
PASSWORDS = {user: f"of {user}" for user in USERS}


@pytest.fixture
def urls(rabbit: RabbitNode) -> Iterator[dict[str, str]]:
    """An address for each user with least rights."""
    with fresh_vhost(rabbit) as admin:
        vhost = admin.rpartition("/")[2]
        auth = (rabbit.user, rabbit.password)
        with httpx.Client(base_url=rabbit.console_url, auth=auth, timeout=60) as console:
            console.post("/api/definitions", json=definitions(PASSWORDS, vhost)).raise_for_status()
        place = admin.rpartition("@")[2]
        yield {user: f"amqp://{user}:{quote(PASSWORDS[user])}@{place}" for user in USERS}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_retry_queues, "RETRY_DELAYS_S", (RETRY_S,))
    monkeypatch.setattr(
        old_retry_queues, "retry_exchange", lambda _: topology.retry_exchange(RETRY_S)
    )
    monkeypatch.setattr(old_retry_queues, "QUIET_S", 0.3)
    monkeypatch.setattr(old_retry_queues, "TRY_AGAIN_S", 0.1)


@pytest.fixture
def delivered(urls: dict[str, str]) -> Iterator[SimpleQueue[tuple[m.Message, int]]]:
    """Messages and attempts, as a dispatcher of today gets them; a portal has made the queues before."""
    got: SimpleQueue[tuple[m.Message, int]] = SimpleQueue()
    portal = RabbitBroker(urls["dss-portal"], "portal", "1")
    portal.consume(topology.PORTAL_EVENTS, lambda _: None)
    broker = RabbitBroker(urls["dss-dispatch"], "dispatch", "1")
    broker.consume(topology.dispatch("lung"), lambda d: got.put((d.message, d.attempt)))
    yield got
    broker.close()
    portal.close()


def leave_in_an_old_queue(url: str) -> None:
    """As a dispatcher of before 2026-11-29 did after its first attempt."""
    envelope = for_retry(new_envelope(READY))
    assert envelope.headers[ATTEMPT] == 2
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(OLD, "fanout", durable=True)
        expiry = {"x-message-ttl": 120_000, "x-dead-letter-exchange": ""}
        channel.queue_declare(OLD, durable=True, arguments=QUORUM | expiry | NEVER_LOST)
        channel.queue_bind(OLD, OLD)
        properties = properties_of(envelope)
        channel.basic_publish(OLD, "dss.dispatch.lung", envelope.body, properties, mandatory=True)


def is_there(url: str, queue: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare(queue, passive=True)
        except ChannelClosedByBroker:
            return False
        return True


def test_a_message_in_an_old_retry_queue_arrives_once_and_the_queue_goes(
    urls: dict[str, str], delivered: SimpleQueue[tuple[m.Message, int]]
) -> None:
    leave_in_an_old_queue(urls["dss-portal"])

    portals = [start_emptying(urls["dss-portal"]) for _ in range(2)]

    assert delivered.get(timeout=SOON_S) == (READY, 2)
    for portal in portals:
        portal.join(SOON_S)
        assert not portal.is_alive()
    assert not is_there(urls["dss-portal"], OLD)
    with pytest.raises(Empty):
        delivered.get(timeout=10 * RETRY_S)


def test_a_site_without_old_retry_queues_is_done_at_once(urls: dict[str, str]) -> None:
    portal = start_emptying(urls["dss-portal"])

    portal.join(SOON_S)

    assert not portal.is_alive()
    assert not is_there(urls["dss-portal"], OLD)
