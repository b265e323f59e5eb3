from typing import Any

from dss_broker.conversations import Conversations
from dss_broker.rabbit.replies import Replies


class FakeChannel:
    is_open = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def add_on_cancel_callback(self, _: object) -> None: ...

    def queue_declare(self, queue: str, **_: Any) -> None:
        self.asked.append(f"declare {queue}")

    def queue_bind(self, queue: str, exchange: str, _: str) -> None:
        self.asked.append(f"bind {queue} to {exchange}")

    def basic_consume(self, queue: str, _: object) -> None:
        self.asked.append(f"consume {queue}")


SUBSCRIBED = [
    "declare dss.replies.x",
    "bind dss.replies.x to dss.replies",
    "consume dss.replies.x",
]


def test_a_program_that_asks_nothing_has_no_reply_queue() -> None:
    channel, replies = FakeChannel(), Replies("dss.replies.x", Conversations())

    replies.renew(channel)

    assert channel.asked == []


def test_the_reply_queue_is_there_before_the_first_request_even_while_the_channel_is_set_up() -> (
    None
):
    channel, replies = FakeChannel(), Replies("dss.replies.x", Conversations())
    replies.renew(channel)

    replies.want()
    replies.want()

    assert channel.asked == SUBSCRIBED


def test_the_reply_queue_is_subscribed_again_on_the_next_channel() -> None:
    channel, replies = FakeChannel(), Replies("dss.replies.x", Conversations())
    replies.want()

    replies.renew(channel)

    assert channel.asked == SUBSCRIBED
