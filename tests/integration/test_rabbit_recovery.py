"""What the real broker does when connections break: nothing is lost, nothing is done twice."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial

import pytest
from pika import SelectConnection  # no py.typed

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.errors import BrokerClosed
from dss_broker.rabbit import RabbitBroker
from dss_broker.rabbit import link as rabbit_link
from dss_broker.rabbit.broker import NOT_SUBSCRIBED
from dss_broker.rabbit.consumer import Consumer
from support.brokers import Node, RabbitBench, fresh_vhost
from support.waiting import wait_until
from support.wire import Wire

pytestmark = pytest.mark.stack

LUNG = topology.dispatch("lung")
SOON_S = 60.0


@pytest.fixture
def vhost(rabbit: Node) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


@pytest.fixture
def wire(vhost: str) -> Iterator[Wire]:
    wire = Wire(vhost)
    yield wire
    wire.close()


@pytest.fixture
def near(wire: Wire) -> Iterator[RabbitBench]:
    """Programs behind the wire."""
    bench = RabbitBench(wire.url)
    yield bench
    wire.mend()
    bench.close()


@pytest.fixture
def far(vhost: str) -> Iterator[RabbitBench]:
    """Programs with an undisturbed connection."""
    bench = RabbitBench(vhost)
    yield bench
    bench.close()


def ticket(number: int = 1) -> m.TicketReady:
    return m.TicketReady(ticket_id=number, service="lung", service_hash="h")


class Held:
    """A handler that begins, and ends when it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._let = threading.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.begun.append(delivery.message_id)
        assert self._let.wait(60)
        self.ended.append(delivery.message_id)

    def let_end(self) -> None:
        self._let.set()


def nothing_is_left(broker: RabbitBroker) -> bool:
    """True if a new consumer gets its own message and no older one."""
    got: list[m.Message] = []
    broker.consume(LUNG, lambda delivery: got.append(delivery.message))
    broker.publish(ticket(999)).result(SOON_S)
    wait_until(lambda: ticket(999) in got)
    return got == [ticket(999)]


def test_a_message_that_comes_again_while_it_is_handled_is_handled_once(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    handler, broker = Held(), near.program("dispatch")
    broker.consume(topology.dispatch("lung", prefetch=2), handler)
    broker.publish(ticket(), message_id="one").result(SOON_S)
    wait_until(lambda: handler.begun)

    wire.cut()
    wait_until(lambda: not broker.connected)
    wire.mend()
    broker.publish(ticket(), message_id="marker").result(SOON_S)
    wait_until(lambda: "marker" in handler.begun)
    handler.let_end()

    assert broker.stop_consuming(SOON_S)
    assert handler.begun == ["one", "marker"]
    broker.close()
    assert nothing_is_left(far.program("dispatch"))


def test_a_message_done_while_the_connection_was_away_is_not_done_again(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    handler, broker = Held(), near.program("dispatch")
    broker.consume(LUNG, handler)
    broker.publish(ticket(), message_id="one").result(SOON_S)
    wait_until(lambda: handler.begun)

    wire.cut()
    wait_until(lambda: not broker.connected)
    handler.let_end()
    wait_until(lambda: handler.ended)
    wire.mend()
    broker.publish(ticket(), message_id="marker").result(SOON_S)

    wait_until(lambda: "marker" in handler.ended)
    assert handler.begun == ["one", "marker"]
    assert broker.stop_consuming(SOON_S)
    broker.close()
    assert nothing_is_left(far.program("dispatch"))


def test_what_is_published_without_a_connection_arrives_with_the_next_one(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    got: list[m.Message] = []
    far.program("dispatch").consume(LUNG, lambda delivery: got.append(delivery.message))
    portal = near.program("portal")
    wait_until(lambda: portal.connected)

    wire.cut()
    wait_until(lambda: not portal.connected)
    sent = [portal.publish(ticket(number)) for number in range(10)]
    wire.mend()

    assert [future.result(SOON_S) for future in sent] == [None] * 10
    wait_until(lambda: len(got) == 10)
    assert got == [ticket(number) for number in range(10)]


def test_a_program_may_start_before_its_broker(near: RabbitBench, wire: Wire) -> None:
    got: list[Delivery] = []
    wire.cut()
    broker = near.program("dispatch")
    waiting = threading.Thread(target=broker.consume, args=(LUNG, got.append))

    waiting.start()
    wire.mend()

    waiting.join(SOON_S)
    broker.publish(ticket()).result(SOON_S)
    wait_until(lambda: got)


class SlowList(list[Consumer]):
    """Waits at its first item, until that may go on."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def append(self, item: Consumer) -> None:
        self.has_begun.set()
        self.may_end.wait(SOON_S)
        super().append(item)


def test_a_subscription_that_begins_while_consuming_stops_is_refused(
    near: RabbitBench, wire: Wire
) -> None:
    wire.cut()
    broker = near.program("dispatch")
    broker._consumers = slow = SlowList()
    with ThreadPoolExecutor(2) as threads, closing(broker):
        begun = threads.submit(broker.consume, LUNG, lambda _: None)
        slow.has_begun.wait(SOON_S)

        stopped = threads.submit(broker.stop_consuming, SOON_S)
        wait([stopped], 0.5)  # without the defence it has overlooked the subscription by then
        slow.may_end.set()

        with pytest.raises(BrokerClosed):
            begun.result(SOON_S)
        assert stopped.result(SOON_S)


def test_a_program_whose_subscription_has_not_begun_says_so(
    near: RabbitBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = Consumer.up
    late: list[Callable[[], None]] = []

    def up(consumer: Consumer, connection: SelectConnection) -> None:
        late.append(partial(began, consumer, connection))

    monkeypatch.setattr(Consumer, "up", up)
    broker = near.program("dispatch")
    waiting = threading.Thread(target=broker.consume, args=(LUNG, lambda _: None))
    waiting.start()
    wait_until(lambda: bool(late) and broker.connected)
    assert broker.problem == NOT_SUBSCRIBED

    broker._link.call(late.pop())

    waiting.join(SOON_S)
    assert broker.problem == ""


def test_a_reply_waits_for_a_requester_that_has_lost_its_connection(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    handler = Held()
    answered = m.ClaimRefused(ticket_id=1, reason="It was deleted.")

    def answer(delivery: Delivery) -> None:
        handler(delivery)
        delivery.reply(answered).result(SOON_S)

    portal, dispatch = far.program("portal"), near.program("dispatch")
    portal.consume(topology.PORTAL_CLAIMS, answer)
    conversation = dispatch.request(
        m.ClaimTicket(ticket_id=1, service="lung", provider="p", instance="i", delivery_id="d")
    )
    wait_until(lambda: handler.begun)

    wire.cut()
    handler.let_end()
    assert portal.stop_consuming(SOON_S)
    wire.mend()

    assert conversation.next(SOON_S) == answered


def test_withdrawals_are_heard_again_after_a_reconnection(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    got: list[m.Message] = []
    broker, portal = near.program("dispatch"), far.program("portal")
    broker.consume(topology.withdrawn("dispatch"), lambda delivery: got.append(delivery.message))

    wire.cut()
    wait_until(lambda: not broker.connected)
    wire.mend()

    def heard() -> bool:
        portal.publish(m.TicketWithdrawn(ticket_id=1, service="lung")).result(SOON_S)
        return bool(got)

    wait_until(heard)


def test_a_connection_that_has_fallen_silent_is_given_up(
    near: RabbitBench, far: RabbitBench, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_link, "HEARTBEAT_S", 1)
    got: list[m.Message] = []
    far.program("dispatch").consume(LUNG, lambda delivery: got.append(delivery.message))
    portal = near.program("portal")
    wait_until(lambda: portal.connected)

    wire.silence()
    sent = portal.publish(ticket())

    sent.result(SOON_S)
    wait_until(lambda: got == [ticket()])


def test_heartbeats_go_on_while_a_handler_works(
    near: RabbitBench, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_link, "HEARTBEAT_S", 1)
    handler, broker = Held(), near.program("dispatch")
    broker.consume(LUNG, handler)
    broker.publish(ticket()).result(SOON_S)
    wait_until(lambda: handler.begun)

    threading.Timer(4.0, handler.let_end).start()  # two heartbeats missed would be 2 s
    wait_until(lambda: handler.ended)

    assert broker.connected
    assert wire.made == 1


def test_a_hundred_messages_are_acknowledged_once_each_through_cuts(
    near: RabbitBench, far: RabbitBench, wire: Wire
) -> None:
    done: list[m.Message] = []
    broker, portal = near.program("dispatch"), far.program("portal")
    broker.consume(
        topology.dispatch("lung", prefetch=8), lambda delivery: done.append(delivery.message)
    )

    for number in range(100):
        portal.publish(ticket(number)).result(SOON_S)
        if number % 25 == 10:
            wire.cut()
            wire.mend()

    wait_until(lambda: len(done) >= 100)
    wait_until(lambda: broker.connected)
    assert broker.stop_consuming(SOON_S)
    assert sorted(done, key=str) == sorted(map(ticket, range(100)), key=str)
    broker.close()
    assert nothing_is_left(far.program("dispatch"))


def test_a_program_that_has_just_started_takes_alone_what_came_back(far: RabbitBench) -> None:
    """It may have killed the program before, and would take down what is in hand beside it."""
    three = topology.dispatch("lung", prefetch=3)
    killed, first = Held(), far.program("killed")
    first.consume(three, killed)
    for number in (1, 2, 3):
        first.publish(ticket(number)).result(SOON_S)
    wait_until(lambda: len(killed.begun) == 3)
    first.close()
    again, second = Held(), far.program("started again")

    second.consume(three, again)
    wait_until(lambda: again.begun)
    time.sleep(1)

    assert len(again.begun) == 1
    again.let_end()
    wait_until(lambda: len(again.ended) == 3)
    killed.let_end()


def test_when_what_came_back_is_done_as_many_as_usual_are_taken(far: RabbitBench) -> None:
    killed, first = Held(), far.program("killed")
    first.consume(LUNG, killed)
    first.publish(ticket()).result(SOON_S)
    wait_until(lambda: killed.begun)
    first.close()
    second, together = far.program("started again"), threading.Barrier(2)
    done: list[m.Message] = []

    def handle(delivery: Delivery) -> None:
        if delivery.message != ticket():
            together.wait(SOON_S)
        done.append(delivery.message)

    second.consume(topology.dispatch("lung", prefetch=2), handle)
    for number in (2, 3):
        second.publish(ticket(number)).result(SOON_S)

    wait_until(lambda: len(done) == 3)
    assert done[0] == ticket()
    killed.let_end()
