"""Counters in RabbitMQ, one for each message of which a program may have died.

Each such message has two queues of marks.  A program publishes a mark to the queue "begun" when it starts to handle the
message, and a mark to the queue "ended" if it is still alive when the handling is over.  The difference of the queues'
lengths is the number of programs that died.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from uuid import uuid4

from pika import SelectConnection  # no py.typed
from pika.channel import Channel

from dss_broker.envelope import Envelope
from dss_broker.rabbit.declare import declare_deaths, declare_marks
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.publication import Publication
from dss_broker.rabbit.publisher import Publisher
from dss_broker.topology import DEATH_EXCHANGE, death_queue

log = logging.getLogger(__name__)

MARK = "Mark"
"""Message type of a mark, for an operator who looks into the queue."""

REFUSED_RETRY_S = 30.0

ChannelAction = Callable[[Channel], None]


class CannotCount(Exception):
    """The marks cannot be counted, because RabbitMQ refuses it, for instance because the user lacks the right."""


class Marks:
    """Publishes and counts the marks that one program leaves when it begins and ends the handling of a message.

    It has a channel of its own.  Every method runs on the link's thread.
    """

    def __init__(self, link: Link, publisher: Publisher) -> None:
        self._link, self._publisher = link, publisher
        self._channel: Channel | None = None
        self._refused = ""
        self._pending: dict[Future[int], ChannelAction] = {}

    def up(self, connection: SelectConnection) -> None:
        self._open_channel(connection)

    def down(self) -> None:
        """The connection is lost.  Counts in progress are repeated on the next channel."""
        self._channel = None

    def count(self, queue: str, message_id: str, deaths: "Future[int]") -> None:
        """Count the marks: ``deaths`` gets the number of programs that died handling the message, or CannotCount.
        Without a connection it waits for the next one.
        """
        if self._refused:
            deaths.set_exception(CannotCount(self._refused))
            return
        self._pending[deaths] = partial(self._count, queue, message_id, deaths)
        if self._channel is not None and self._channel.is_open:
            self._pending[deaths](self._channel)

    def begin(self, queue: str, message_id: str) -> "Future[None]":
        """Publish a mark that the program starts to handle the message.  ``count``, which declares the queue, must have
        been called before.  The future is done when RabbitMQ has the mark.
        """
        return self._publish_mark(death_queue(queue, message_id, "begun"))

    def end(self, queue: str, message_id: str) -> None:
        """Publish a mark that the program has survived the handling of the message."""
        self._publish_mark(death_queue(queue, message_id, "ended"))

    def forget(self, queue: str, message_id: str) -> None:
        """Delete the queues of marks of an acknowledged message.  Without an open channel they are left to expire."""
        if self._channel is None or not self._channel.is_open:
            return
        for kind in ("begun", "ended"):
            self._channel.queue_delete(death_queue(queue, message_id, kind))

    def _publish_mark(self, queue: str) -> "Future[None]":
        mark = Envelope(type_name=MARK, body=b"{}", message_id=uuid4().hex)
        publication = Publication(
            exchange=DEATH_EXCHANGE, routing_key=queue, envelope=mark, mandatory=False
        )
        return self._publisher.send_on_link_thread(publication)

    def _count(self, queue: str, message_id: str, deaths: "Future[int]", channel: Channel) -> None:
        begun: list[int] = []

        def counted(ended: int) -> None:
            if self._pending.pop(deaths, None) is not None:
                deaths.set_result(max(0, begun[0] - ended))

        declare_marks(channel, death_queue(queue, message_id, "begun"), begun.append)
        declare_marks(channel, death_queue(queue, message_id, "ended"), counted)

    def _open_channel(self, connection: SelectConnection) -> None:
        if connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        declare_deaths(channel, lambda _: self._ready(channel))

    def _ready(self, channel: Channel) -> None:
        self._channel, self._refused = channel, ""
        for action in list(self._pending.values()):
            action(channel)

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        self._channel = None
        if not channel.connection.is_open:
            return
        self._refused = repr(reason)
        facts = {"reason": self._refused, "retry_s": REFUSED_RETRY_S}
        log.error("deaths of programs cannot be counted", extra=facts)
        pending, self._pending = list(self._pending), {}
        for deaths in pending:
            deaths.set_exception(CannotCount(self._refused))
        self._link.call_later(REFUSED_RETRY_S, partial(self._open_channel, channel.connection))
