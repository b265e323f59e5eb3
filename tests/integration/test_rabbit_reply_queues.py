"""What becomes of a program's reply queue when RabbitMQ, or the node that has the queue, is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import SYSROOT
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker
from dss_stack.rabbitmq import RabbitNode
from dss_stack.rabbitmq_cluster import RabbitCluster
from support import brokers
from support.brokers import RabbitBench
from support.waiting import wait_until

pytestmark = pytest.mark.stack

SOON_S = 60.0
url = brokers.url
bench = brokers.bench

REQUEST = m.ClaimTicket(
    ticket_id=1, service="lung", provider="LAB", instance="one", delivery_id="delivered"
)
ANSWER = m.ClaimRefused(ticket_id=1, reason="the ticket is finished")


def answer(delivery: Delivery) -> None:
    delivery.reply(ANSWER)


def test_requests_are_answered_although_rabbitmq_was_killed_after_the_program_had_begun(
    bench: RabbitBench, rabbit: RabbitNode
) -> None:
    bench.program("portal").consume(topology.PORTAL_CLAIMS, answer)
    brokers.let_queues_settle()
    dispatch = bench.program("dispatch")
    assert dispatch.request(REQUEST).next(SOON_S) == ANSWER

    try:
        rabbit.kill()
    finally:
        rabbit.start()

    assert dispatch.request(REQUEST).next(SOON_S) == ANSWER


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RabbitCluster]:
    cluster = RabbitCluster(tmp_path / "cluster", sysroot=SYSROOT)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_an_open_request_is_answered_although_the_node_with_its_reply_queue_is_killed(
    cluster: RabbitCluster,
) -> None:
    first, *others = cluster.nodes.values()
    elsewhere = ",".join(node.amqp_url for node in others)
    portal = RabbitBroker(elsewhere, "portal", "one")
    dispatch = RabbitBroker(f"{first.amqp_url},{elsewhere}", "dispatch", "one")
    asked: list[Delivery] = []
    try:
        portal.consume(topology.PORTAL_CLAIMS, asked.append)
        brokers.let_queues_settle()
        conversation = dispatch.request(REQUEST)
        wait_until(lambda: asked)

        first.kill()
        wait_until(lambda: len(asked) == 2)
        for delivery in asked:
            delivery.reply(ANSWER)

        assert conversation.next(SOON_S) == ANSWER
    finally:
        portal.stop_consuming(SOON_S)
        for broker in (portal, dispatch):
            broker.close()
