"""What the publisher sends again when its channel is closed, silent or refuses everything."""

import pytest
from pika.exceptions import ChannelClosedByBroker

from dss_broker.errors import BrokerClosed, MessageRefused
from dss_broker.rabbit.publisher import Publisher
from support import fake_channels
from support.fake_channels import FakeConnection, FakeLink, send

link = fake_channels.link
publisher = fake_channels.publisher
broker = fake_channels.broker


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


def test_a_message_that_is_not_confirmed_while_others_are_is_sent_on_another_channel(
    publisher: Publisher,
    broker: FakeConnection,
    link: FakeLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue of "a" has no leader, that of the others has one."""
    moment = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    sent = send(publisher, "a")
    for tag in range(2, 11):
        send(publisher, "other")
        broker.ack(tag)
        moment[0] += 1.0
        publisher.check_confirms()
    assert broker.published.count("a") == 1

    moment[0] += 1.1
    publisher.check_confirms()
    link.later.pop()()

    assert broker.published[-1] == "a"
    moment[0] += 19.0
    send(publisher, "other")
    broker.ack(2)
    publisher.check_confirms()
    assert link.later == []  # it is given more time now
    broker.ack(1)
    assert sent.done()


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
