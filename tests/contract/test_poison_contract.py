"""Messages that nobody can read are parked one by one; neither broker, reader nor operator is held by one."""

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import MalformedMessage
from support.brokers import Bench
from support.waiting import wait_until

POISON = (
    b"",
    b"\xff\xfe",
    b'{"ticket_id": 7, "claim_id": "\xff"}',
    b'{"a":' * 20_000,
    b"[" * 20_000,
    b'{"ticket_id": 1e400}',
    b'{"ticket_id": 99999999999999999999, "claim_id": "c", "pause_s": 0}',
    b'{"ticket_id": "\xff"}',
)
EVENTS = topology.Subscription(
    queue="dss.portal.events",
    keys=("claim.event.*",),
    sharing=topology.Sharing.ORDERED,
    prefetch=64,
)
LUNG = topology.dispatch("lung", prefetch=2)


@pytest.mark.parametrize(
    ("subscription", "key"),
    [(EVENTS, "claim.event.ClaimHeartbeat"), (LUNG, "ticket.ready.lung")],
    ids=["ordered", "work"],
)
def test_what_nobody_can_read_is_parked_and_the_next_is_handled(
    bench: Bench, subscription: topology.Subscription, key: str
) -> None:
    heard: list[m.Message] = []

    def hear(delivery: Delivery) -> None:
        if delivery.message != good:
            raise MalformedMessage("a number that no ticket has")
        heard.append(delivery.message)

    good: m.Message = m.ClaimHeartbeat(ticket_id=7, claim_id="c")
    if subscription is LUNG:
        good = m.TicketReady(ticket_id=7, service="lung", service_hash="h")
    reader, sender = bench.program("portal"), bench.program("dispatch")
    reader.consume(subscription, hear)

    for body in POISON * 2:
        bench.send_bytes(key, type(good).__name__, body)
    sender.publish(good).result(15)

    def parked() -> int:
        with sender.dead_letters() as session:
            return len(session.letters)

    wait_until(lambda: heard)
    wait_until(lambda: parked() >= 2 * len(POISON))  # other threads may still be parking
    with sender.dead_letters() as session:
        letters = list(session.letters)
        assert len(letters) == 2 * len(POISON)
        for letter in letters:
            session.discard(letter)
    assert {letter.ticket_id for letter in letters} <= {None, 7}
