"""Programs that die while they handle a message, and what is published for them."""

import subprocess
import sys

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.dead_letters import DeadLetter
from dss_broker.rabbit import link as rabbit_link
from dss_broker.topology import Subscription
from support.brokers import RabbitBench

SOON_S = 30.0
DEATHS = topology.DEATH_LIMIT + 1
LUNG = topology.dispatch("lung")
RUN = m.RunInference(
    ticket_id=1, claim_id="c", bundle="lung", image_path="i", output_dir="o", parameters={}
)


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


def beat(number: int = 1) -> m.ClaimHeartbeat:
    return m.ClaimHeartbeat(ticket_id=1, claim_id="c", pause_s=number)


QUEUES: dict[str, tuple[Subscription, m.Message]] = {
    "inference": (topology.inference("lung"), RUN),
    "dispatch": (LUNG, ticket()),
    "claims": (
        topology.PORTAL_CLAIMS,
        m.ClaimTicket(ticket_id=1, service="lung", provider="p", instance="i", delivery_id="d"),
    ),
    "events": (topology.PORTAL_EVENTS, beat()),
}
every_queue = pytest.mark.parametrize("queue", QUEUES)

MORTAL = """
import os, signal, sys, threading
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.rabbit import RabbitBroker
url, queue, prefetch = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinds = {
    "dss.inference.lung": topology.inference("lung", prefetch),
    "dss.dispatch.lung": topology.dispatch("lung", prefetch),
    "dss.portal.claims": topology.PORTAL_CLAIMS,
    "dss.portal.events": topology.PORTAL_EVENTS,
    "dss.portal.parked": topology.PORTAL_PARKED,
}
both = threading.Event()
def handle(delivery):
    print(delivery.message_id, flush=True)
    if delivery.message_id == "killer":
        both.wait(0.5)  # so that what is in hand beside it has begun
        os.kill(os.getpid(), signal.SIGKILL)
    both.set()
    threading.Event().wait(1 if prefetch > 1 else 0)
broker = RabbitBroker(url, "mortal", str(os.getpid()))
broker.consume(kinds[queue], handle)
threading.Event().wait(60)
"""
"""Dies of the message "killer", in the middle of what is in hand beside it."""


def letters(bench: RabbitBench) -> list[DeadLetter]:
    with bench.program("operator").dead_letters() as session:
        return list(session.letters)


def in_queue(bench: RabbitBench, queue: str, *messages: m.Message) -> None:
    """Published with nobody there; the first is the "killer", the others are "beside" it."""
    subscription, _ = QUEUES.get(queue, (topology.PORTAL_PARKED, None))
    away = bench.program("away")
    away.consume(subscription, lambda _: None)
    assert away.stop_consuming(SOON_S)
    away.close()
    sender = bench.program("sender")
    for number, message in enumerate(messages):
        sender.publish(message, message_id=f"beside {number}" if number else "killer").result(
            SOON_S
        )


def die(url: str, subscription: Subscription, prefetch: int = 1) -> list[str]:
    """One program, until its death; the messages that it began with."""
    command = [sys.executable, "-c", MORTAL, url, subscription.queue, str(prefetch)]
    died = subprocess.run(command, check=False, timeout=60, capture_output=True, encoding="utf-8")
    assert died.returncode == -9, died.stderr
    return died.stdout.splitlines()


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program connects again at once."""
    monkeypatch.setattr(rabbit_link, "LONGEST_RETRY_S", rabbit_link.FIRST_RETRY_S)
