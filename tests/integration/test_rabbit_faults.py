"""What the real broker does when RabbitMQ itself, or a program, misbehaves."""

import subprocess
import sys
import threading
from concurrent.futures import Future
from urllib.parse import urlsplit

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.envelope import parked_reason
from dss_broker.rabbit import RabbitBroker
from dss_stack.rabbitmq import RabbitNode
from support import brokers, loopback
from support.brokers import RabbitBench
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.stack

LUNG = topology.dispatch("lung")
SOON_S = 60.0
IN_FLIGHT = 64

KILLER = """
import os, sys, threading
from dss_broker import topology
from dss_broker.rabbit import RabbitBroker
broker = RabbitBroker(sys.argv[1], "dispatch", "killed")
broker.consume(topology.dispatch("lung"), lambda delivery: os._exit(9))
threading.Event().wait(60)
"""

url = brokers.url
bench = brokers.bench


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


def delete(rabbit: RabbitNode, url: str, what: str, name: str) -> None:
    """As an operator in the management console."""
    vhost = urlsplit(url).path.strip("/")
    loopback.delete(
        f"{rabbit.console_url}/api/{what}/{vhost}/{name}", auth=(rabbit.user, rabbit.password)
    ).raise_for_status()


def test_a_message_that_kills_its_readers_is_parked_and_the_portal_is_told(
    bench: RabbitBench, url: str
) -> None:
    told: list[Delivery] = []
    portal = bench.program("portal")
    portal.consume(topology.PORTAL_PARKED, told.append)
    away = bench.program("dispatch")
    away.consume(LUNG, told.append)
    away.close()
    portal.publish(ticket(), message_id="killer").result(SOON_S)

    for _ in range(topology.DEATH_LIMIT + 1):
        killed = subprocess.run([sys.executable, "-c", KILLER, url], check=False, timeout=60)
        assert killed.returncode == 9
    bench.program("dispatch").consume(LUNG, told.append)

    wait_until(lambda: told)
    assert [(d.message, d.message_id) for d in told] == [(ticket(), "killer")]
    assert told[0].parked_reason == "At least 4 programs died while they handled it."
    assert [envelope.message_id for envelope in bench.parked()] == ["killer"]


def test_a_program_goes_on_to_the_next_node_that_its_address_names(url: str) -> None:
    got: list[Delivery] = []
    dead = f"amqp://nobody:nothing@127.0.0.1:{free_port()}/none"
    broker = RabbitBroker(f"{dead},{url}", "dispatch", "cluster")
    try:
        broker.consume(LUNG, got.append)
        broker.publish(ticket()).result(SOON_S)

        wait_until(lambda: got)
        with broker.dead_letters() as session:
            assert session.letters == []
    finally:
        broker.stop_consuming(SOON_S)
        broker.close()


def test_a_subscription_is_renewed_when_its_queue_was_deleted(
    bench: RabbitBench, rabbit: RabbitNode, url: str
) -> None:
    got: list[Delivery] = []
    broker = bench.program("dispatch")
    broker.consume(LUNG, got.append)

    delete(rabbit, url, "queues", LUNG.queue)

    def arrives() -> bool:
        broker.publish(ticket()).exception(SOON_S)
        return bool(got)

    wait_until(arrives)


def test_parking_survives_a_deleted_exchange(
    bench: RabbitBench, rabbit: RabbitNode, url: str
) -> None:
    def fail(_: Delivery) -> None:
        raise RuntimeError("no such layer")

    broker = bench.program("dispatch")
    broker.consume(LUNG, fail)

    delete(rabbit, url, "exchanges", topology.DEAD_EXCHANGE)
    broker.publish(ticket()).result(SOON_S)

    reasons: list[str | None] = []

    def parked() -> bool:
        reasons.extend(parked_reason(envelope) for envelope in bench.parked())
        return bool(reasons)

    wait_until(parked)
    assert reasons == ["RuntimeError: no such layer"]


def test_a_killed_node_loses_no_confirmed_message_and_every_publish_completes(
    bench: RabbitBench, rabbit: RabbitNode
) -> None:
    got: set[int] = set()
    portal, dispatch = bench.program("portal"), bench.program("dispatch")
    dispatch.consume(LUNG, lambda _: None)
    assert dispatch.stop_consuming(SOON_S)
    brokers.let_queues_settle()
    stream = Stream(portal)
    wait_until(lambda: stream.confirmed() > 200)

    try:
        rabbit.kill()
        wait_until(lambda: len(stream.sent) == stream.confirmed() + IN_FLIGHT)
        stream.stop()
    finally:
        rabbit.start()
    wait_until(lambda: stream.confirmed() == len(stream.sent), within_s=60)

    many = topology.dispatch("lung", prefetch=32)
    bench.program("dispatch").consume(many, lambda delivery: got.add(number_of(delivery)))
    wait_until(lambda: len(got) == len(stream.sent), within_s=60)


class Stream:
    """Publishes tickets one after the other from a thread of its own, IN_FLIGHT of them unconfirmed."""

    def __init__(self, broker: RabbitBroker) -> None:
        self.sent: list[Future[None]] = []
        self._broker = broker
        self._room = threading.Semaphore(IN_FLIGHT)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def confirmed(self) -> int:
        return sum(future.done() for future in list(self.sent))

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(SOON_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._room.acquire(timeout=0.1):
                self.sent.append(self._broker.publish(ticket(len(self.sent))))
                self.sent[-1].add_done_callback(lambda _: self._room.release())


def number_of(delivery: Delivery) -> int:
    assert isinstance(delivery.message, m.TicketReady)
    return delivery.message.ticket_id
