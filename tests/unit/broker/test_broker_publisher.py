"""The publisher's book-keeping, against a channel that writes down what it is asked."""

import pytest

from dss_broker.errors import MessageRefused, Unroutable
from dss_broker.rabbit.publisher import Publisher
from support import fake_channels
from support.fake_channels import FakeConnection, FakeLink, send

link = fake_channels.link
publisher = fake_channels.publisher
broker = fake_channels.broker


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
