"""What ``broker.Broker`` promises, kept by the real broker and the in-memory one alike."""

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import BrokerClosed, Unroutable
from dss_observability.tracing import current_traceparent
from support.brokers import Bench
from support.contracts import SOON_S, Gate, Recorder, claim, granted, heartbeat, refuse, ticket
from support.waiting import wait_until

LUNG = topology.dispatch("lung")


def test_each_message_of_a_work_queue_goes_to_one_consumer(bench: Bench) -> None:
    first, second, sender = Recorder(), Recorder(), bench.program("portal")
    bench.program("dispatch").consume(LUNG, first)
    bench.program("dispatch").consume(LUNG, second)

    sent = [ticket(n) for n in range(20)]
    for message in sent:
        sender.publish(message).result(SOON_S)

    wait_until(lambda: len(first.messages + second.messages) == 20)
    assert sorted(first.messages + second.messages, key=str) == sorted(sent, key=str)


def test_as_many_handlers_run_at_once_as_are_prefetched(bench: Bench) -> None:
    gate, broker = Gate(), bench.program("dispatch")
    recorder = Recorder(gate)
    broker.consume(topology.dispatch("lung", prefetch=3), recorder)

    for number in range(5):
        broker.publish(ticket(number)).result(SOON_S)

    wait_until(lambda: len(recorder.deliveries) == 3)
    gate.open()
    wait_until(lambda: len(recorder.deliveries) == 5)


def test_everyone_gets_a_withdrawal(bench: Bench) -> None:
    recorders = [Recorder(), Recorder(), Recorder()]
    bench.program("dispatch").consume(topology.withdrawn("dispatch"), recorders[0])
    bench.program("dispatch").consume(topology.withdrawn("dispatch"), recorders[1])
    bench.program("inference").consume(topology.withdrawn("inference"), recorders[2])
    withdrawn = m.TicketWithdrawn(ticket_id=1, service="lung")

    bench.program("portal").publish(withdrawn).result(SOON_S)

    wait_until(lambda: all(r.messages == [withdrawn] for r in recorders))


def test_a_withdrawal_that_nobody_hears_is_no_error(bench: Bench) -> None:
    sent = bench.program("portal").publish(m.TicketWithdrawn(ticket_id=1, service="lung"))

    assert sent.result(SOON_S) is None


def test_a_message_that_no_queue_wants_is_unroutable(bench: Bench) -> None:
    sent = bench.program("portal").publish(ticket())

    with pytest.raises(Unroutable, match=r"ticket\.ready\.lung"):
        sent.result(SOON_S)


def test_a_message_over_the_limit_is_refused_at_once(bench: Bench) -> None:
    huge = m.TicketReady(ticket_id=1, service="lung", service_hash="h" * 70_000)

    with pytest.raises(ValueError, match="65536 at most"):
        bench.program("portal").publish(huge)


def test_an_unfinished_message_goes_to_somebody_else_when_its_program_ends(bench: Bench) -> None:
    gate, first, second = Gate(), bench.program("dispatch"), bench.program("dispatch")
    begun, recorder = Recorder(gate), Recorder()
    first.consume(LUNG, begun)
    first.publish(ticket(), message_id="one").result(SOON_S)
    wait_until(lambda: begun.deliveries)
    second.consume(LUNG, recorder)

    first.close()

    wait_until(lambda: recorder.deliveries)
    facts = [(d.message_id, d.redelivered, d.attempt) for d in begun.deliveries]
    assert facts == [("one", False, 1)]
    assert (recorder.deliveries[0].message_id, recorder.deliveries[0].redelivered) == ("one", True)
    gate.open()


def test_later_hands_are_told_from_earlier_ones(bench: Bench) -> None:
    """Whether the message was taken back from them or put off by them."""
    gate, first, second = Gate(), bench.program("dispatch"), bench.program("dispatch")
    begun, recorder = Recorder(gate), Recorder(refuse)
    first.consume(LUNG, begun)
    first.publish(ticket()).result(SOON_S)
    wait_until(lambda: begun.deliveries)
    second.consume(LUNG, recorder)

    first.close()

    wait_until(lambda: len(recorder.deliveries) > 1)
    numbers = [d.deliveries for d in (*begun.deliveries, *recorder.deliveries[:2])]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1
    gate.open()


def test_messages_wait_while_their_consumer_is_away(bench: Bench) -> None:
    away = bench.program("dispatch")
    away.consume(LUNG, Recorder())
    away.close()
    recorder = Recorder()

    bench.program("portal").publish(ticket()).result(SOON_S)
    bench.program("dispatch").consume(LUNG, recorder)

    wait_until(lambda: recorder.messages == [ticket()])


def test_stopping_waits_for_the_handlers_in_progress(bench: Bench) -> None:
    gate, broker = Gate(), bench.program("dispatch")
    recorder = Recorder(gate)
    broker.consume(LUNG, recorder)
    broker.publish(ticket()).result(SOON_S)
    wait_until(lambda: recorder.deliveries)

    assert not broker.stop_consuming(0.05)
    gate.open()
    assert broker.stop_consuming(SOON_S)


def test_nothing_new_is_handled_after_stopping(bench: Bench) -> None:
    recorder, other = Recorder(), Recorder()
    stopped, running = bench.program("dispatch"), bench.program("dispatch")
    stopped.consume(LUNG, recorder)

    assert stopped.stop_consuming(SOON_S)
    stopped.publish(ticket()).result(SOON_S)
    running.consume(LUNG, other)

    wait_until(lambda: other.messages == [ticket()])
    assert recorder.messages == []


def test_nothing_can_be_done_with_a_closed_broker(bench: Bench) -> None:
    broker = bench.program("dispatch")
    broker.close()

    with pytest.raises(BrokerClosed):
        broker.publish(ticket()).result(SOON_S)
    with pytest.raises(BrokerClosed):
        broker.request(claim()).next(SOON_S)
    with pytest.raises(BrokerClosed):
        broker.consume(LUNG, Recorder())
    assert not broker.connected


def test_what_a_handler_publishes_belongs_to_the_trace_of_its_message(bench: Bench) -> None:
    traces: list[str | None] = []
    broker = bench.program("dispatch")

    def answer(delivery: Delivery) -> None:
        delivery.reply(granted())
        broker.publish(heartbeat(1))

    broker.consume(topology.PORTAL_EVENTS, lambda _: traces.append(current_traceparent.get()))
    broker.consume(topology.PORTAL_CLAIMS, answer)

    token = current_traceparent.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    broker.request(claim())
    current_traceparent.reset(token)

    wait_until(lambda: traces)
    assert traces == ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
