"""Retry queues of older programs, named in seconds: what lies in them arrives, and they are gone."""

import logging
import socket
import threading
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
from dss_portal.background import Background
from dss_process import supervision
from dss_stack.rabbitmq import RabbitNode
from support.brokers import RETRY_S, fresh_vhost
from support.waiting import wait_until

pytestmark = pytest.mark.stack

SOON_S = 60.0
OLD = tuple(f"dss.retry.{delay_s}s" for delay_s in (1, 5, 30, 120))
EXPIRY_MS = 120_000
"""Of the longest, for all: nothing comes by itself while a test waits."""
READY = [m.TicketReady(ticket_id=7 + n, service="lung", service_hash="h") for n in range(len(OLD))]
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
    monkeypatch.setattr(supervision, "FIRST_DELAY_S", 0.3)


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


def leave_in_old_queues(url: str) -> None:
    for queue, message in zip(OLD, READY, strict=True):
        leave(url, queue, message)


def leave(url: str, queue: str, message: m.Message) -> None:
    """As a dispatcher of before 2026-11-29 did after its first attempt."""
    envelope = for_retry(new_envelope(message))
    assert envelope.headers[ATTEMPT] == 2
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(queue, "fanout", durable=True)
        expiry = {"x-message-ttl": EXPIRY_MS, "x-dead-letter-exchange": ""}
        channel.queue_declare(queue, durable=True, arguments=QUORUM | expiry | NEVER_LOST)
        channel.queue_bind(queue, queue)
        properties = properties_of(envelope)
        channel.basic_publish(queue, "dss.dispatch.lung", envelope.body, properties, mandatory=True)


def is_there(url: str, queue: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare(queue, passive=True)
        except ChannelClosedByBroker:
            return False
        return True


def test_a_message_in_each_old_retry_queue_arrives_once_and_the_queues_go(
    urls: dict[str, str], delivered: SimpleQueue[tuple[m.Message, int]]
) -> None:
    leave_in_old_queues(urls["dss-portal"])

    portals = [start_emptying(urls["dss-portal"], threading.Event())[1] for _ in range(2)]

    arrived = [delivered.get(timeout=SOON_S) for _ in READY]
    assert sorted(arrived, key=lambda each: getattr(each[0], "ticket_id")) == [  # noqa: B009 - a TicketReady
        (message, 2) for message in READY
    ]
    for portal in portals:
        portal.join(SOON_S)
        assert not portal.is_alive()
    assert [queue for queue in OLD if is_there(urls["dss-portal"], queue)] == []
    with pytest.raises(Empty):
        delivered.get(timeout=10 * RETRY_S)


def test_a_site_without_old_retry_queues_is_done_at_once(urls: dict[str, str]) -> None:
    _, portal = start_emptying(urls["dss-portal"], threading.Event())

    portal.join(SOON_S)

    assert not portal.is_alive()
    assert [queue for queue in OLD if is_there(urls["dss-portal"], queue)] == []


def test_an_unforeseen_error_is_told_and_the_work_begun_again(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave_in_old_queues(urls["dss-portal"])
    move, failed = old_retry_queues._move, list[int]()

    def fails_once(connection: pika.BlockingConnection, delay_s: int) -> int:
        if not failed:
            failed.append(delay_s)
            raise ZeroDivisionError
        return move(connection, delay_s)

    monkeypatch.setattr(old_retry_queues, "_move", fails_once)
    background = Background()

    supervisor, portal = start_emptying(urls["dss-portal"], threading.Event())
    background.report(supervisor)

    wait_until(lambda: background.problems() != [], SOON_S)
    assert background.problems() == [
        "The task 'old retry queues' ended with ZeroDivisionError and is begun again; its log says why."
    ]
    portal.join(SOON_S)
    assert background.problems() == []
    assert [queue for queue in OLD if is_there(urls["dss-portal"], queue)] == []
    assert [r.levelname for r in caplog.records if "ended unforeseen" in r.message] == ["ERROR"]


def test_a_server_that_cannot_be_reached_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def said() -> list[str]:
        return [r.levelname for r in caplog.records if "empty old retry" in r.message]

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    stop = threading.Event()
    _, portal = start_emptying(f"amqp://127.0.0.1:{port}/", stop)

    wait_until(lambda: len(said()) > 2, SOON_S)
    stop.set()
    portal.join(SOON_S)
    assert not portal.is_alive()
    assert said()[:3] == ["WARNING", "DEBUG", "DEBUG"]
