"""What ``broker.DeadLetterSession`` promises, kept by the real broker and the in-memory one alike."""

from datetime import UTC, datetime, timedelta

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Broker, Delivery
from dss_broker.dead_letters import DeadLetter
from dss_broker.errors import Unroutable
from dss_observability.tracing import current_traceparent
from support.brokers import Bench
from support.waiting import wait_until

LUNG = topology.dispatch("lung")
SOON_S = 60.0


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


class Handler:
    """Fails until it is mended; keeps what it gets."""

    def __init__(self) -> None:
        self.mended = False
        self.got: list[tuple[m.Message, str, int, str | None]] = []

    def __call__(self, delivery: Delivery) -> None:
        trace = current_traceparent.get()
        self.got.append((delivery.message, delivery.message_id, delivery.attempt, trace))
        if not self.mended:
            raise RuntimeError("no such layer")


def letters(broker: Broker) -> list[DeadLetter]:
    with broker.dead_letters() as session:
        return list(session.letters)


def parks(bench: Bench, *numbers: int) -> tuple[Broker, Handler]:
    """A program whose handler has failed with these tickets."""
    broker, handler = bench.program("dispatch"), Handler()
    broker.consume(LUNG, handler)
    for number in numbers:
        broker.publish(ticket(number), message_id=f"t{number}").result(SOON_S)
    wait_until(lambda: len(letters(broker)) == len(numbers))
    return broker, handler


def test_a_dead_letter_tells_its_story(bench: Bench) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    current_traceparent.set(trace)
    broker, _ = parks(bench, 7)
    current_traceparent.set(None)

    (letter,) = letters(broker)

    assert (letter.id, letter.type_name, letter.ticket_id) == ("t7", "TicketReady", 7)
    assert (letter.queue, letter.reason) == (LUNG.queue, "RuntimeError: no such layer")
    assert letter.program
    assert letter.instance
    assert (letter.attempt, letter.deliveries) == (1, 1)
    assert letter.traceparent == trace
    assert letter.parked_at is not None
    assert abs(datetime.now(UTC) - letter.parked_at) < timedelta(minutes=1)


def test_looking_changes_neither_the_letters_nor_their_order(bench: Bench) -> None:
    broker, _ = parks(bench, 1, 2, 3)

    for _ in range(3):
        assert [letter.id for letter in letters(broker)] == ["t1", "t2", "t3"]


def test_a_requeued_letter_goes_back_to_its_queue_as_if_it_were_new(bench: Bench) -> None:
    broker, handler = parks(bench, 1, 2)
    handler.mended = True

    with broker.dead_letters() as session:
        session.requeue(session.letters[0])

    wait_until(lambda: len(handler.got) == 3)
    assert handler.got[-1][:3] == (ticket(1), "t1", 1)
    assert [letter.id for letter in letters(broker)] == ["t2"]


def test_a_letter_that_fails_again_is_a_letter_again(bench: Bench) -> None:
    broker, handler = parks(bench, 1)

    with broker.dead_letters() as session:
        session.requeue(session.letters[0])

    wait_until(lambda: len(handler.got) == 2)
    wait_until(lambda: [letter.id for letter in letters(broker)] == ["t1"])


def test_a_discarded_letter_is_gone_and_the_others_stay(bench: Bench) -> None:
    broker, handler = parks(bench, 1, 2, 3)

    with broker.dead_letters() as session:
        session.discard(session.letters[1])

    assert [letter.id for letter in letters(broker)] == ["t1", "t3"]
    assert len(handler.got) == 3


def test_a_malformed_letter_still_names_its_ticket(bench: Bench) -> None:
    broker, _ = parks(bench)
    bench.send_bytes("ticket.ready.lung", "TicketReady", b'{"ticket_id": 9, "service": 1}')
    bench.send_bytes("ticket.ready.lung", "TicketReady", b"\xff\x00")

    wait_until(lambda: len(letters(broker)) == 2)

    named, nameless = letters(broker)
    assert (named.ticket_id, nameless.ticket_id) == (9, None)
    assert named.reason.startswith("Malformed: ")
    assert named.id != nameless.id


def test_a_letter_stays_if_its_queue_is_gone(bench: Bench) -> None:
    broker, _ = parks(bench, 1)

    with broker.dead_letters() as session:
        (letter,) = session.letters
        object.__setattr__(letter, "queue", "dss.dispatch.gone")
        with pytest.raises(Unroutable):
            session.requeue(letter)

    assert [letter.id for letter in letters(broker)] == ["t1"]
