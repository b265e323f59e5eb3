"""Messages that are postponed, and messages that are parked, with either broker."""

import pytest

from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.envelope import PARKED_QUEUE, parked_reason
from dss_broker.errors import TryAgainLater
from support.brokers import Bench
from support.contracts import SOON_S, Recorder, next_parked, refuse, ticket
from support.waiting import wait_until

LUNG = topology.dispatch("lung")


def fail(_: Delivery) -> None:
    raise RuntimeError("no such layer")


def test_a_postponed_message_comes_back_with_the_same_id_and_the_next_attempt(
    bench: Bench,
) -> None:
    def refuse_once(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise TryAgainLater("The portal is away")

    recorder, broker = Recorder(refuse_once), bench.program("dispatch")
    broker.consume(LUNG, recorder)

    broker.publish(ticket(), message_id="one").result(SOON_S)

    wait_until(lambda: len(recorder.deliveries) == 2)
    facts = [(d.message, d.message_id, d.attempt) for d in recorder.deliveries]
    assert facts == [(ticket(), "one", 1), (ticket(), "one", 2)]


def test_other_messages_pass_a_postponed_one(bench: Bench) -> None:
    def refuse_first(delivery: Delivery) -> None:
        if delivery.message == ticket(1) and delivery.attempt == 1:
            raise TryAgainLater("Not yet")

    recorder, broker = Recorder(refuse_first), bench.program("dispatch")
    broker.consume(LUNG, recorder)

    broker.publish(ticket(1)).result(SOON_S)
    broker.publish(ticket(2)).result(SOON_S)

    wait_until(lambda: len(recorder.messages) == 3)
    assert recorder.messages == [ticket(1), ticket(2), ticket(1)]


def test_a_message_that_is_postponed_too_often_is_parked(bench: Bench) -> None:
    recorder, broker = Recorder(refuse), bench.program("dispatch")
    broker.consume(LUNG, recorder)
    told = Recorder()
    bench.program("portal").consume(topology.PORTAL_PARKED, told)

    broker.publish(ticket()).result(SOON_S)

    wait_until(lambda: told.deliveries)
    tries = len(recorder.deliveries)
    assert [d.attempt for d in recorder.deliveries] == list(range(1, tries + 1))
    assert told.deliveries[0].parked_reason == f"Given up after {tries} tries: The database is away"


def test_a_message_whose_handler_fails_is_parked_with_the_reason(bench: Bench) -> None:
    broker = bench.program("dispatch")
    broker.consume(LUNG, fail)

    broker.publish(ticket(), message_id="one").result(SOON_S)

    parked = next_parked(bench)
    assert (parked.message_id, parked.headers[PARKED_QUEUE]) == ("one", LUNG.queue)
    assert parked_reason(parked) == "RuntimeError: no such layer"


def test_the_portal_is_told_which_message_was_parked_and_why(bench: Bench) -> None:
    told, portal = Recorder(), bench.program("portal")
    portal.consume(topology.PORTAL_PARKED, told)
    bench.program("dispatch").consume(LUNG, fail)

    portal.publish(ticket()).result(SOON_S)

    wait_until(lambda: told.deliveries)
    assert told.messages == [ticket()]
    assert told.deliveries[0].parked_reason == "RuntimeError: no such layer"


def test_a_parked_message_is_not_parked_again_when_its_reader_fails_too(bench: Bench) -> None:
    told, portal = Recorder(fail), bench.program("portal")
    portal.consume(topology.PORTAL_PARKED, told)
    portal.consume(LUNG, fail)

    portal.publish(ticket(1)).result(SOON_S)
    portal.publish(ticket(2)).result(SOON_S)

    wait_until(lambda: len(told.messages) == 2)
    assert portal.stop_consuming(SOON_S)
    assert len(bench.parked()) == 2


def test_a_reader_of_parked_messages_still_knows_the_reason_at_its_second_try(
    bench: Bench,
) -> None:
    def refuse_once(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise TryAgainLater("The database is away")

    told, portal = Recorder(refuse_once), bench.program("portal")
    portal.consume(topology.PORTAL_PARKED, told)
    portal.consume(LUNG, fail)

    portal.publish(ticket()).result(SOON_S)

    wait_until(lambda: len(told.deliveries) == 2)
    assert [d.parked_reason for d in told.deliveries] == ["RuntimeError: no such layer"] * 2


@pytest.mark.parametrize(
    ("type_name", "body"),
    [("TicketReady", b"{"), ("TicketReady", b'{"ticket_id": "x"}'), ("NoSuchMessage", b"{}")],
)
def test_a_malformed_message_is_parked_and_the_next_one_is_handled(
    bench: Bench, type_name: str, body: bytes
) -> None:
    recorder, broker = Recorder(), bench.program("dispatch")
    broker.consume(LUNG, recorder)
    broker.consume(topology.PORTAL_PARKED, Recorder())

    bench.send_bytes("ticket.ready.lung", type_name, body)
    broker.publish(ticket()).result(SOON_S)

    wait_until(lambda: recorder.messages == [ticket()])
    parked = next_parked(bench)
    assert parked.body == body
    assert str(parked_reason(parked)).startswith("Malformed: ")
