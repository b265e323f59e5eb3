"""The publisher's book-keeping, against a channel that writes down what it is asked."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest
from pika import BasicProperties, spec  # type: ignore[import-untyped] # no py.typed
from pika.exceptions import ChannelClosedByBroker  # type: ignore[import-untyped]
from pika.frame import Method  # type: ignore[import-untyped]

from dss_broker.envelope import Envelope
from dss_broker.errors import BrokerClosed, MessageRefused, Unroutable
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.publisher import Publication, Publisher


class FakeLink:
    """Runs everything at once; keeps what is to run later."""

    def __init__(self) -> None:
        self.closed = False
        self.later: list[Callable[[], None]] = []

    def call(self, action: Callable[[], None]) -> bool:
        if not self.closed:
            action()
        return not self.closed

    def call_later(self, _: float, action: Callable[[], None]) -> None:
        self.later.append(action)


class FakeConnection:
    """A connection whose only channel is itself."""

    is_open = True

    def close(self) -> None:
        self.close_channel()

    def __init__(self) -> None:
        self.published: list[str] = []
        self.connection = self

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        on_open_callback(self)

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        self._closed = callback

    def add_on_return_callback(self, callback: Callable[..., None]) -> None:
        self._returned = callback

    def add_on_connection_blocked_callback(self, callback: Callable[..., None]) -> None:
        self._blocked = callback

    def add_on_connection_unblocked_callback(self, callback: Callable[..., None]) -> None:
        self._unblocked = callback

    def close_channel(self, reason: Exception | None = None) -> None:
        self._closed(self, reason or RuntimeError("closed by the broker"))

    def block(self) -> None:
        self._blocked(self, None)

    def unblock(self) -> None:
        self._unblocked(self, None)

    def confirm_delivery(self, confirmed: Callable[..., None], callback: Any) -> None:
        self._confirmed = confirmed
        callback(None)

    def basic_publish(
        self, _: str, key: str, __: bytes, properties: BasicProperties, *, mandatory: bool
    ) -> None:
        if key == "unwritable":
            raise ValueError("too long for AMQP")
        self.published.append(properties.message_id)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self._confirmed(Method(1, spec.Basic.Ack(tag, multiple)))

    def nack(self, tag: int) -> None:
        self._confirmed(Method(1, spec.Basic.Nack(tag, False)))

    def give_back(self, message_id: str) -> None:
        method = spec.Basic.Return(312, "NO_ROUTE", "dss.tickets", "key")
        self._returned(self, method, BasicProperties(message_id=message_id), b"")


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def publisher(link: FakeLink) -> Publisher:
    return Publisher(cast("Link", link), lambda _: None)


@pytest.fixture
def broker(publisher: Publisher) -> FakeConnection:
    broker = FakeConnection()
    publisher.up(broker)
    return broker


def send(
    publisher: Publisher, message_id: str, *, key: str = "key", mandatory: bool = True
) -> "Future[None]":
    envelope = Envelope(type_name="ClaimHeartbeat", body=b"{}", message_id=message_id)
    publication = Publication(
        exchange="dss.tickets", routing_key=key, envelope=envelope, mandatory=mandatory
    )
    return publisher.send(publication)


def test_a_multiple_confirm_settles_all_up_to_its_tag(
    publisher: Publisher, broker: FakeConnection
) -> None:
    sent = [send(publisher, name) for name in "abcd"]

    broker.ack(3, multiple=True)

    assert [future.done() for future in sent] == [True, True, True, False]


def test_a_broker_that_takes_no_messages_is_as_good_as_away(
    publisher: Publisher, broker: FakeConnection
) -> None:
    """Else the outbox would be sent again and again, and silent claims be called dead."""
    broker.block()
    assert not publisher.ready

    broker.unblock()
    assert publisher.ready


def test_a_single_confirm_settles_only_its_own(
    publisher: Publisher, broker: FakeConnection
) -> None:
    sent = [send(publisher, name) for name in "abc"]

    broker.ack(2)

    assert [future.done() for future in sent] == [False, True, False]


def test_a_refused_message_is_sent_again_after_a_while(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = send(publisher, "a")

    broker.nack(1)
    assert broker.published == ["a"]
    link.later.pop()()
    broker.ack(2)

    assert broker.published == ["a", "a"]
    assert sent.result(0) is None


def test_a_returned_message_is_unroutable_and_its_neighbours_are_not(
    publisher: Publisher, broker: FakeConnection
) -> None:
    sent = [send(publisher, name) for name in "abc"]

    broker.give_back("b")
    broker.ack(3, multiple=True)

    assert [future.exception(0) is None for future in sent] == [True, False, True]
    with pytest.raises(Unroutable):
        sent[1].result(0)


def test_what_was_not_confirmed_is_sent_again_in_order_on_the_next_connection(
    publisher: Publisher, broker: FakeConnection
) -> None:
    for name in "abc":
        send(publisher, name)
    broker.ack(1)

    publisher.down()
    send(publisher, "d")
    again = FakeConnection()
    publisher.up(again)

    assert again.published == ["b", "c", "d"]


def test_a_channel_closed_by_the_broker_is_opened_again(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = send(publisher, "a")

    broker.close_channel()
    assert not publisher.ready
    link.later.pop()()
    broker.ack(1)

    assert broker.published == ["a", "a"]
    assert sent.result(0) is None


def test_nothing_is_sent_while_the_broker_is_short_of_memory(
    publisher: Publisher, broker: FakeConnection
) -> None:
    broker.block()
    send(publisher, "a")
    assert broker.published == []

    broker.unblock()

    assert broker.published == ["a"]


def test_a_message_that_amqp_cannot_write_fails_alone(
    publisher: Publisher, broker: FakeConnection
) -> None:
    unwritable = send(publisher, "a", key="unwritable")
    sent = send(publisher, "b")
    broker.ack(1)

    assert sent.result(0) is None
    with pytest.raises(MessageRefused, match="too long"):
        unwritable.result(0)


def test_a_caller_cannot_cancel_what_may_have_been_sent(publisher: Publisher) -> None:
    assert not send(publisher, "a").cancel()


def test_closing_fails_what_was_not_confirmed(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = [send(publisher, "a")]

    link.closed = True
    publisher.abandon()
    sent.append(send(publisher, "b"))

    assert [type(future.exception(0)) for future in sent] == [BrokerClosed, BrokerClosed]


def test_a_channel_that_confirms_nothing_is_replaced_and_all_is_sent_again(
    publisher: Publisher,
    broker: FakeConnection,
    link: FakeLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    sent = [send(publisher, "a"), send(publisher, "b")]
    moment[0] += 2.9
    publisher.check_confirms()
    assert broker.published == ["a", "b"]

    moment[0] += 0.2
    publisher.check_confirms()
    link.later.pop()()

    assert broker.published == ["a", "b", "a", "b"]
    broker.ack(2, multiple=True)
    assert [future.done() for future in sent] == [True, True]
    moment[0] += 100
    publisher.check_confirms()
    assert link.later == []  # nothing is in flight, so nothing is missing


def test_a_broker_that_is_merely_slow_is_given_more_time_each_time(
    publisher: Publisher,
    broker: FakeConnection,
    link: FakeLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    send(publisher, "a")
    moment[0] += 3.1
    publisher.check_confirms()
    link.later.pop()()

    moment[0] += 5.9
    publisher.check_confirms()

    assert broker.published == ["a", "a"]


def test_a_channel_that_refuses_everything_is_replaced_too(
    publisher: Publisher,
    broker: FakeConnection,
    link: FakeLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    sent = send(publisher, "a")
    for tag in range(1, 4):
        moment[0] += 1.1
        broker.nack(tag)
        link.later.pop()()

    publisher.check_confirms()
    link.later.pop()()

    assert broker.published == ["a"] * 5
    broker.ack(1)
    assert sent.done()


TOO_LARGE = ChannelClosedByBroker(
    406, "PRECONDITION_FAILED - message size 9 larger than configured max size 4"
)


def close_and_reopen(broker: FakeConnection, link: FakeLink, reason: Exception) -> None:
    broker.close_channel(reason)
    link.later.pop()()


def test_the_message_with_which_rabbitmq_closes_the_channel_is_refused_and_holds_no_other(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = {name: send(publisher, name) for name in "abc"}

    close_and_reopen(broker, link, TOO_LARGE)
    assert broker.published == [*"abc", "a"]  # from now on one at a time
    broker.ack(1)
    close_and_reopen(broker, link, TOO_LARGE)
    broker.ack(1)
    sent["d"], sent["e"] = send(publisher, "d"), send(publisher, "e")
    broker.ack(3, multiple=True)

    assert broker.published == [*"abc", *"ab", *"cde"]
    refused = sent.pop("b").exception(0)
    assert isinstance(refused, MessageRefused)
    assert "message size" in str(refused)
    assert not refused.may_change
    assert all(future.exception(0) is None for future in sent.values())


def test_what_closes_the_channel_beside_a_message_is_not_blamed_on_it(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = send(publisher, "a")
    locked = ChannelClosedByBroker(405, "RESOURCE_LOCKED - locked queue 'dss.replies.dispatch.1'")

    for _ in range(3):
        close_and_reopen(broker, link, locked)
    broker.ack(1)

    assert sent.result(0) is None


def test_a_right_that_is_missing_may_be_given(
    publisher: Publisher, broker: FakeConnection, link: FakeLink
) -> None:
    sent = send(publisher, "a")
    reason = "ACCESS_REFUSED - access to topic 'key' in exchange 'dss.tickets' refused"

    for _ in range(2):
        close_and_reopen(broker, link, ChannelClosedByBroker(403, reason))

    refused = sent.exception(0)
    assert isinstance(refused, MessageRefused)
    assert refused.may_change
