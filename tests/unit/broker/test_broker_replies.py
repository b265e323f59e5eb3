from collections.abc import Callable
from itertools import count
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from dss_broker.conversations import Conversations
from dss_broker.rabbit.replies import Replies


class FakeChannel:
    is_open = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed: Callable[[FakeChannel, BaseException], None] | None = None

    def add_on_cancel_callback(self, _: object) -> None: ...

    def add_on_close_callback(
        self, callback: "Callable[[FakeChannel, BaseException], None]"
    ) -> None:
        self.closed = callback

    def close_for(self, code: int, text: str) -> None:
        assert self.closed is not None
        self.closed(self, ChannelClosedByBroker(code, text))

    def queue_declare(self, queue: str, **_: Any) -> None:
        self.asked.append(f"declare {queue}")

    def queue_bind(self, queue: str, exchange: str, _: str) -> None:
        self.asked.append(f"bind {queue} to {exchange}")

    def basic_consume(self, queue: str, _: object) -> None:
        self.asked.append(f"consume {queue}")


class Named:
    """Names of reply queues, and how many times the requests were repeated."""

    def __init__(self) -> None:
        names = count(1)
        self.repeated = 0
        self.replies = Replies(
            lambda: f"dss.replies.{next(names)}", Conversations(), on_replaced=self._repeat
        )

    def _repeat(self) -> None:
        self.repeated += 1


SUBSCRIBED = [
    "declare dss.replies.1",
    "bind dss.replies.1 to dss.replies",
    "consume dss.replies.1",
]


def test_a_program_that_asks_nothing_has_no_reply_queue() -> None:
    channel, replies = FakeChannel(), Named().replies

    replies.renew(channel)

    assert channel.asked == []


def test_the_reply_queue_is_there_before_the_first_request_even_while_the_channel_is_set_up() -> (
    None
):
    channel, replies = FakeChannel(), Named().replies
    replies.renew(channel)

    replies.want()
    replies.want()

    assert channel.asked == SUBSCRIBED


def test_the_reply_queue_is_subscribed_again_on_the_next_channel() -> None:
    channel, replies = FakeChannel(), Named().replies
    replies.want()

    replies.renew(channel)

    assert channel.asked == SUBSCRIBED


def test_a_reply_queue_whose_node_is_down_is_replaced_and_the_requests_are_repeated() -> None:
    named, channel = Named(), FakeChannel()
    named.replies.want()
    named.replies.renew(channel)

    channel.close_for(
        404,
        "NOT_FOUND - home node 'dss2@host' of durable queue 'dss.replies.1' in vhost '/' is down",
    )

    assert (named.replies.queue, named.repeated) == ("dss.replies.2", 1)
    another = FakeChannel()
    named.replies.renew(another)
    assert another.asked == [line.replace("replies.1", "replies.2") for line in SUBSCRIBED]


def test_a_channel_closed_for_another_reason_leaves_the_reply_queue() -> None:
    named, channel = Named(), FakeChannel()
    named.replies.want()
    named.replies.renew(channel)

    channel.close_for(404, "NOT_FOUND - no exchange 'dss.tickets' in vhost '/'")
    channel.close_for(403, "ACCESS_REFUSED - access to queue 'dss.replies.1' refused")

    assert (named.replies.queue, named.repeated) == ("dss.replies.1", 0)
