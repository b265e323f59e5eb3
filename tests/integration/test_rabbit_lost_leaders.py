"""A quorum queue that was declared just before RabbitMQ 3.10 was killed: programs say how it gets a leader again.

The node writes down half a second later that it is a member of a new queue.  The test takes that file away.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import RABBIT_ROOT, SYSROOT
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker, consumer
from dss_stack.rabbitmq import RabbitNode
from support.rabbitmq_tools import run_tool
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

SERVICE = topology.dispatch("lung")
READY = m.TicketReady(ticket_id=7, service="lung", service_hash="h")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def node(folder: Path) -> Iterator[RabbitNode]:
    if RABBIT_ROOT is not None:
        pytest.skip("It was seen on RabbitMQ 3.10 only.")
    node = RabbitNode(folder, sysroot=SYSROOT)
    try:
        node.start()
        yield node
    finally:
        node.kill()
        node.stop()


def test_the_command_that_a_program_tells_gives_a_queue_its_leader(
    folder: Path,
    node: RabbitNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(consumer, "UNANSWERED_S", 3.0)
    heard: list[int] = []

    def hear(delivery: Delivery) -> None:
        assert isinstance(delivery.message, m.TicketReady)
        heard.append(delivery.message.ticket_id)

    with closing(RabbitBroker(node.amqp_url, "portal", "1")) as dispatcher:
        wait_until(lambda: dispatcher.connected, 60)
        dispatcher.consume(SERVICE, hear)
        node.kill()
        (members,) = folder.glob("mnesia/*/quorum/*/names.dets")
        members.unlink()
        node.start()
        wait_until(lambda: SERVICE.queue in dispatcher.problem, 120, lambda: dispatcher.problem)
        logged = [getattr(record, "reason", "") for record in caplog.records]
        assert dispatcher.problem in logged
        told = re.search(r'rabbitmqctl eval ".*"', dispatcher.problem)
        assert told is not None

        run_tool(node, *shlex.split(told[0]))

        wait_until(lambda: not dispatcher.problem, 120, lambda: dispatcher.problem)
        dispatcher.publish(READY).result(60)
        wait_until(lambda: heard == [7], 60)
