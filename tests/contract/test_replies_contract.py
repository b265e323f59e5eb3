"""Requests and their replies, with either broker."""

import threading

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.envelope import parked_reason
from dss_broker.errors import BrokerClosed, ReplyTimeout, Unroutable
from support.brokers import Bench
from support.contracts import SOON_S, Gate, Recorder, claim, granted, next_parked, ticket
from support.waiting import wait_until

LUNG = topology.dispatch("lung")


def test_replies_come_in_the_order_they_were_sent(bench: Bench) -> None:
    def answer(delivery: Delivery) -> None:
        for number in range(10):
            delivery.reply(granted(number))

    bench.program("portal").consume(topology.PORTAL_CLAIMS, answer)

    conversation = bench.program("dispatch").request(claim())

    assert [conversation.next(SOON_S) for _ in range(10)] == [granted(n) for n in range(10)]


def test_each_requester_gets_its_own_replies(bench: Bench) -> None:
    def answer(delivery: Delivery) -> None:
        assert isinstance(delivery.message, m.ClaimTicket)
        delivery.reply(granted(delivery.message.ticket_id))

    bench.program("portal").consume(topology.PORTAL_CLAIMS, answer)
    one, other = bench.program("dispatch"), bench.program("dispatch")

    asked = [(one.request(claim(1)), 1), (other.request(claim(2)), 2), (one.request(claim(3)), 3)]

    assert all(conversation.next(SOON_S) == granted(n) for conversation, n in asked)


def test_a_request_that_nobody_answers_times_out(bench: Bench) -> None:
    bench.program("portal").consume(topology.PORTAL_CLAIMS, Recorder())

    conversation = bench.program("dispatch").request(claim())

    with pytest.raises(ReplyTimeout):
        conversation.next(0.05)


def test_a_request_that_no_queue_wants_is_unroutable(bench: Bench) -> None:
    conversation = bench.program("dispatch").request(claim())

    with pytest.raises(Unroutable):
        conversation.next(SOON_S)


def test_replies_to_a_closed_conversation_are_dropped(bench: Bench) -> None:
    gate, portal = Gate(), bench.program("portal")
    answered: list[object] = []

    def answer_late(delivery: Delivery) -> None:
        gate(delivery)
        answered.append(delivery.reply(granted()).result(SOON_S))

    portal.consume(topology.PORTAL_CLAIMS, answer_late)
    conversation = bench.program("dispatch").request(claim())

    conversation.close()
    gate.open()

    wait_until(lambda: answered == [None])
    with pytest.raises(BrokerClosed):
        conversation.next(0.05)


def test_a_reply_to_a_requester_that_is_gone_is_no_error(bench: Bench) -> None:
    gate = Gate()
    answered: list[object] = []

    def answer_late(delivery: Delivery) -> None:
        gate(delivery)
        answered.append(delivery.reply(granted()).result(SOON_S))

    recorder = Recorder(answer_late)
    bench.program("portal").consume(topology.PORTAL_CLAIMS, recorder)
    requester = bench.program("dispatch")
    requester.request(claim())
    wait_until(lambda: recorder.deliveries)

    requester.close()
    gate.open()

    wait_until(lambda: answered == [None])


def test_an_event_cannot_be_answered(bench: Bench) -> None:
    broker = bench.program("dispatch")

    def answer(delivery: Delivery) -> None:
        delivery.reply(granted())

    broker.consume(LUNG, answer)

    broker.publish(ticket()).result(SOON_S)

    assert "Nobody waits" in str(parked_reason(next_parked(bench)))


def test_closing_ends_the_waiting_for_replies(bench: Bench) -> None:
    bench.program("portal").consume(topology.PORTAL_CLAIMS, Recorder())
    dispatch = bench.program("dispatch")
    conversation = dispatch.request(claim())
    closer = threading.Timer(0.05, dispatch.close)
    closer.start()

    with pytest.raises(BrokerClosed):
        conversation.next(SOON_S)
    closer.join()
