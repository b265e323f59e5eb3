"""What ``broker.Broker`` promises, kept by the real broker and the in-memory one alike."""

import threading
from collections.abc import Callable

import pytest

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.envelope import PARKED_QUEUE, Envelope, parked_reason
from dss_broker.errors import BrokerClosed, ReplyTimeout, TryAgainLater, Unroutable
from dss_observability.tracing import current_traceparent
from support.brokers import Bench
from support.waiting import wait_until

LUNG = topology.dispatch("lung")
SOON_S = 15.0


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


def claim(number: int = 1) -> m.ClaimTicket:
    return m.ClaimTicket(
        ticket_id=number, service="lung", provider="p", instance="i", delivery_id="d"
    )


def heartbeat(number: int, ticket_id: int = 7) -> m.ClaimHeartbeat:
    return m.ClaimHeartbeat(ticket_id=ticket_id, claim_id="c", pause_s=number)


def granted(number: int = 1) -> m.ClaimGranted:
    return m.ClaimGranted(ticket_id=number, claim_id="c", attempt=1, lease_s=60)


class Recorder:
    """A handler that keeps what it gets; ``then`` runs afterwards, still in the handler."""

    def __init__(self, then: Callable[[Delivery], None] = lambda _: None) -> None:
        self.deliveries: list[Delivery] = []
        self._then = then

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._then(delivery)

    @property
    def messages(self) -> list[m.Message]:
        return [delivery.message for delivery in self.deliveries]


class Gate:
    """Holds handlers until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, _: Delivery) -> None:
        assert self._open.wait(SOON_S)

    def open(self) -> None:
        self._open.set()


def refuse(_: Delivery) -> None:
    raise TryAgainLater("The database is away")


def fail(_: Delivery) -> None:
    raise RuntimeError("no such layer")


def next_parked(bench: Bench) -> Envelope:
    parked: list[Envelope] = []

    def found() -> bool:
        parked.extend(bench.parked())
        return bool(parked)

    wait_until(found)
    return parked[0]


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


def test_ordered_messages_of_a_ticket_come_in_order(bench: Bench) -> None:
    recorder, portal = Recorder(), bench.program("portal")
    portal.consume(topology.PORTAL_EVENTS, recorder)

    sent = [heartbeat(number, ticket_id=number % 3) for number in range(210)]
    for message in sent:
        portal.publish(message)

    wait_until(lambda: len(recorder.messages) == 210)
    for ticket_id in range(3):
        of_ticket = [one for one in recorder.messages if one.ticket_id == ticket_id]  # type: ignore[union-attr]
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


def test_closing_ends_the_waiting_for_replies(bench: Bench) -> None:
    bench.program("portal").consume(topology.PORTAL_CLAIMS, Recorder())
    dispatch = bench.program("dispatch")
    conversation = dispatch.request(claim())
    closer = threading.Timer(0.05, dispatch.close)
    closer.start()

    with pytest.raises(BrokerClosed):
        conversation.next(SOON_S)
    closer.join()


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
