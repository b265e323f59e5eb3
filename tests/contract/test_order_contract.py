"""Messages of one ticket keep their order, with either broker."""

import threading

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import TryAgainLater
from support.brokers import Bench
from support.contracts import SOON_S, Gate, Recorder, heartbeat
from support.waiting import wait_until


def test_ordered_messages_of_a_ticket_come_in_order(bench: Bench) -> None:
    recorder, portal = Recorder(), bench.program("portal")
    portal.consume(topology.PORTAL_EVENTS, recorder)

    sent = [heartbeat(number, ticket_id=number % 3) for number in range(210)]
    for message in sent:
        portal.publish(message)

    wait_until(lambda: len(recorder.messages) == 210)
    for ticket_id in range(3):
        of_ticket = [one for one in recorder.messages if one.ticket_id == ticket_id]  # type: ignore[union-attr]  # messages of tickets alone
        assert of_ticket == sent[ticket_id::3]


def test_ordered_messages_of_a_ticket_do_not_wait_for_those_of_another(bench: Bench) -> None:
    def hold_the_first(delivery: Delivery) -> None:
        if delivery.message == heartbeat(0):
            gate(delivery)

    gate, portal, recorder = Gate(), bench.program("portal"), Recorder(hold_the_first)
    portal.consume(topology.PORTAL_EVENTS, recorder)

    for message in (heartbeat(0), heartbeat(1), heartbeat(2, ticket_id=8)):
        portal.publish(message).result(SOON_S)

    wait_until(lambda: heartbeat(2, ticket_id=8) in recorder.messages)
    assert heartbeat(1) not in recorder.messages
    gate.open()
    wait_until(lambda: heartbeat(1) in recorder.messages)


def test_ordered_messages_keep_their_order_when_one_is_tried_again(bench: Bench) -> None:
    first_try = threading.Event()

    def away_once(delivery: Delivery) -> None:
        if delivery.message == heartbeat(1) and not first_try.is_set():
            first_try.set()
            raise TryAgainLater("The database is away")
        done.append((delivery.message, delivery.attempt))

    done: list[tuple[m.Message, int]] = []
    portal = bench.program("portal")
    portal.consume(topology.PORTAL_EVENTS, away_once)

    for number in range(3):
        portal.publish(heartbeat(number))

    wait_until(lambda: len(done) == 3)
    assert done == [(heartbeat(0), 1), (heartbeat(1), 2), (heartbeat(2), 1)]


def test_ordered_messages_move_over_when_their_consumer_goes(bench: Bench) -> None:
    first, second, sender = bench.program("portal"), bench.program("portal"), bench.program("x")
    to_first, to_second = Recorder(), Recorder()
    first.consume(topology.PORTAL_EVENTS, to_first)
    second.consume(topology.PORTAL_EVENTS, to_second)
    sender.publish(heartbeat(1)).result(SOON_S)
    wait_until(lambda: to_first.messages == [heartbeat(1)])

    assert first.stop_consuming(SOON_S)
    first.close()
    sender.publish(heartbeat(2)).result(SOON_S)

    wait_until(lambda: to_second.messages == [heartbeat(2)])


def test_ordered_messages_do_not_overtake_the_one_in_progress_when_they_move_over(
    bench: Bench,
) -> None:
    gate, first, second = Gate(), bench.program("portal"), bench.program("portal")
    done: list[m.Message] = []

    def finish_late(delivery: Delivery) -> None:
        gate(delivery)
        done.append(delivery.message)

    begun = Recorder(finish_late)
    first.consume(topology.PORTAL_EVENTS, begun)
    second.consume(topology.PORTAL_EVENTS, lambda delivery: done.append(delivery.message))
    for number in range(5):
        first.publish(heartbeat(number)).result(SOON_S)
    wait_until(lambda: begun.deliveries)

    assert not first.stop_consuming(0.05)
    assert done == []
    gate.open()

    wait_until(lambda: len(done) == 5)
    assert done == [heartbeat(number) for number in range(5)]
