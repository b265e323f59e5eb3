"""Both brokers behind one face, and what their tests wait with."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import quote
from uuid import uuid4

import pika  # no py.typed
import pytest

from dss_broker.broker import Broker
from dss_broker.envelope import Envelope
from dss_broker.memory import MemoryBroker
from dss_broker.memory.server import MemoryServer
from dss_broker.rabbit import RabbitBroker
from dss_broker.rabbit.unacked import envelope_of
from dss_broker.topology import DEAD_QUEUE, EXCHANGE
from support import loopback

QUEUES_SETTLE_S = 8.0
"""RabbitMQ 3.10 writes down late that a quorum queue exists: killed sooner, it may never have a leader again."""


def let_queues_settle() -> None:
    """Wait until RabbitMQ may be killed: nothing tells that it has written down its quorum queues."""
    time.sleep(QUEUES_SETTLE_S)


class Node(Protocol):
    """The part of ``dss_stack.rabbitmq.RabbitNode`` that these tests use."""

    user: str

    @property
    def password(self) -> str: ...

    @property
    def amqp_url(self) -> str: ...

    @property
    def console_url(self) -> str: ...


class Bench(Protocol):
    """A broker to which a test connects programs."""

    def program(self, name: str) -> Broker: ...

    def send_bytes(self, routing_key: str, type_name: str, body: bytes) -> None: ...

    def parked(self) -> list[Envelope]:
        """What was parked since the last call."""

    def close(self) -> None: ...


RETRY_S = 0.05


class MemoryBench:
    def __init__(self) -> None:
        self._server = MemoryServer()
        self._programs: list[MemoryBroker] = []
        self._seen = 0

    def program(self, name: str) -> Broker:
        self._programs.append(MemoryBroker(self._server))
        return self._programs[-1]

    def send_bytes(self, routing_key: str, type_name: str, body: bytes) -> None:
        envelope = Envelope(type_name=type_name, body=body, message_id=uuid4().hex)
        self._server.publish(EXCHANGE, routing_key, envelope)

    def parked(self) -> list[Envelope]:
        new = self._server.parked[self._seen :]
        self._seen += len(new)
        return new

    def close(self) -> None:
        for program in self._programs:
            program.close()


class RabbitBench:
    """Programs that try again after RETRY_S."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._programs: list[RabbitBroker] = []

    def program(self, name: str) -> RabbitBroker:
        instance = uuid4().hex[:6]
        broker = RabbitBroker(self._url, name, instance, retry_delays_s=(RETRY_S, RETRY_S))
        self._programs.append(broker)
        return broker

    def send_bytes(self, routing_key: str, type_name: str, body: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            properties = pika.BasicProperties(type=type_name)
            connection.channel().basic_publish(EXCHANGE, routing_key, body, properties)

    def parked(self) -> list[Envelope]:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            found = []
            while (got := channel.basic_get(DEAD_QUEUE, auto_ack=True))[0] is not None:
                found.append(envelope_of(got[1], got[2]))
            return found

    def close(self) -> None:
        for program in self._programs:
            program.close()


@contextmanager
def fresh_vhost(node: Node) -> Iterator[str]:
    """The AMQP address of an empty virtual host, deleted afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    with loopback.client(
        base_url=node.console_url, auth=(node.user, node.password), timeout=60
    ) as console:
        console.put(f"/api/vhosts/{name}").raise_for_status()
        console.put(
            f"/api/permissions/{name}/{quote(node.user)}",
            json={"configure": ".*", "write": ".*", "read": ".*"},
        ).raise_for_status()
        yield node.amqp_url.rpartition("/")[0] + f"/{name}"
        console.delete(f"/api/vhosts/{name}").raise_for_status()


@pytest.fixture
def url(rabbit: Node) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


@pytest.fixture
def bench(url: str) -> Iterator[RabbitBench]:
    bench = RabbitBench(url)
    yield bench
    bench.close()
