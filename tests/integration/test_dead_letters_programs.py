"""A message that kills its dispatchers, with real programs: parked, told, and put back by an operator."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import RabbitBroker
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.sites import Site, new_ticket
from support.stacks import Stack
from support.waiting import wait_until

pytestmark = pytest.mark.stack

SERVICE = "lung-segmentation"
KILLER = """
import os, sys, threading
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.rabbit import RabbitBroker
broker = RabbitBroker(sys.argv[1], "dispatch", "killed")
def claim_and_die(delivery):
    claim = m.ClaimTicket(
        ticket_id=0, service="lung-segmentation", provider="dss", instance="killed",
        delivery_id=delivery.message_id,
    )
    broker.request(claim).next(20)
    os._exit(9)
broker.consume(topology.dispatch("lung-segmentation"), claim_and_die)
threading.Event().wait(60)
"""
READER = """
import os, sys
from dss_broker.rabbit.dead_letters import open_session
with open_session(sys.argv[1]) as session:
    print(len(session.letters), flush=True)
    os._exit(9)
"""


@pytest.fixture
def site(rabbit: RabbitNode, postgres: PostgresCluster, tmp_path: Path) -> Iterator[Site]:
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, tmp_path)
        try:
            yield running
        finally:
            running.stack.stop()


def die_of(stack: Stack) -> None:
    """As many dispatchers as it takes."""
    for _ in range(topology.DEATH_LIMIT + 1):
        killed = subprocess.run(
            [sys.executable, "-c", KILLER, stack.amqp_url], check=False, timeout=60
        )
        assert killed.returncode == 9
    calm = RabbitBroker(stack.amqp_url, "dispatch", "calm")
    calm.consume(topology.dispatch(SERVICE), lambda _: None)
    wait_until(lambda: bool(letters(stack)), 30, stack.logs)
    calm.close()


def letters(stack: Stack) -> list[list[str]]:
    listed = stack.command("dead-letters", "list")
    return [line.split("\t") for line in listed.splitlines()]


def test_a_ticket_that_kills_its_dispatchers_fails_with_a_sentence_and_can_be_put_back(
    site: Site, tmp_path: Path
) -> None:
    stack = site.stack
    site.offer(tmp_path, "dss")
    away = RabbitBroker(stack.amqp_url, "dispatch", "first")
    away.consume(topology.dispatch(SERVICE), lambda _: None)  # so that the queue is there
    away.close()
    with site.program("ann@example.com") as ann:
        ticket = new_ticket(ann)
        die_of(stack)

        wait_until(lambda: status(ann, ticket) == "failed", 30, stack.logs)
        log = ann.get(f"/api/tickets/{ticket}/log").text
        assert "The ticket could not be processed. Please tell the operator its number." in log
        wait_until(lambda: len(letters(stack)) == 1, 30, stack.logs)
        (letter,) = letters(stack)
        assert letter[1:5] == [
            "TicketReady",
            str(ticket),
            "At least 4 programs died while they handled it.",
            f"dss.dispatch.{SERVICE}",
        ]
        assert (letter[7], letter[8]) == ("1", "6")

        said = stack.command("dead-letters", "requeue", letter[0])

        assert said == "1 message was requeued.\n"
        assert letters(stack) == []
        got = handled(stack)
        assert got == [ticket]
        assert status(ann, ticket) == "ready"


def status(client: httpx.Client, ticket: int) -> str:
    return client.get(f"/api/tickets/{ticket}/status").text


def handled(stack: Stack) -> list[int]:
    """What a dispatcher that works gets: everything that waits, until nothing more comes."""
    got: list[int] = []

    def note(delivery: Delivery) -> None:
        got.append(delivery.message.ticket_id)  # type: ignore[union-attr] # a TicketReady

    healthy = RabbitBroker(stack.amqp_url, "dispatch", "healthy")
    healthy.consume(topology.dispatch(SERVICE), note)
    wait_until(lambda: bool(got), 30, stack.logs)
    healthy.stop_consuming(10)
    healthy.close()
    return got


def test_letters_survive_an_operator_whose_program_dies_while_it_has_them(
    site: Site, tmp_path: Path
) -> None:
    stack = site.stack
    broker = RabbitBroker(stack.amqp_url, "dispatch", "breaks")

    def breaks(_: Delivery) -> None:
        raise RuntimeError("no such layer")

    broker.consume(topology.dispatch(SERVICE), breaks)
    for number in (1, 2, 3):
        ready = m.TicketReady(ticket_id=number, service=SERVICE, service_hash="h")
        broker.publish(ready, message_id=f"t{number}").result(15)
    wait_until(lambda: len(letters(stack)) == 3, 30, stack.logs)
    broker.close()

    for _ in range(3):
        dead = subprocess.run(
            [sys.executable, "-c", READER, stack.amqp_url],
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert (dead.returncode, dead.stdout) == (9, b"3\n")

    assert [letter[0] for letter in letters(stack)] == ["t1", "t2", "t3"]
    stack.command("dead-letters", "discard", "t2", "--yes")
    assert [letter[0] for letter in letters(stack)] == ["t1", "t3"]
