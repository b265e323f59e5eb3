"""Declares and consumes the queue for the replies to one process."""

import logging
from collections.abc import Callable

from pika import BasicProperties, spec  # no py.typed
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from dss_broker.codec import decode
from dss_broker.conversations import Conversations
from dss_broker.errors import MalformedMessage
from dss_broker.rabbit.declare import declare_replies
from dss_broker.topology import REPLY_EXCHANGE

log = logging.getLogger(__name__)

NOT_FOUND = 404
"""Reply code with which RabbitMQ refuses a classic queue whose node is down."""


class Replies:
    """Declares and consumes the reply queue on the publishing channel, so that the queue exists before the request that
    names it.

    Nothing is declared before the first request.  If the node of a RabbitMQ cluster that has the queue goes down, a
    queue of another name replaces it.  Every method runs on the link's thread.
    """

    def __init__(
        self,
        new_queue: Callable[[], str],
        conversations: Conversations,
        on_replaced: Callable[[], None],
    ) -> None:
        """``new_queue`` returns a new name for a reply queue.  ``on_replaced`` is called when ``queue`` has changed:
        replies to the requests that are open may be lost.
        """
        self.queue = new_queue()
        self._new_queue, self._on_replaced = new_queue, on_replaced
        self._conversations = conversations
        self._channel: Channel | None = None
        self._wanted = False

    def want(self) -> None:
        """Declare the reply queue at the first call, now or as soon as there is a channel.  The caller is about to
        publish a request.
        """
        first, self._wanted = not self._wanted, True
        if first and self._channel is not None and self._channel.is_open:
            self._subscribe(self._channel)

    def renew(self, channel: Channel) -> None:
        """Use the new publishing channel ``channel`` from now on, and declare the reply queue on it if it is needed."""
        self._channel = channel
        if self._wanted:
            self._subscribe(channel)

    def bind(self, channel: Channel) -> None:
        """Declare the binding of the reply queue on ``channel`` again, in case an operator has removed it."""
        if self._wanted and self._channel is not None:
            channel.queue_bind(self.queue, REPLY_EXCHANGE, self.queue)

    def _subscribe(self, channel: Channel) -> None:
        channel.add_on_cancel_callback(lambda _: channel.close())  # the queue is gone
        channel.add_on_close_callback(self._closed)
        declare_replies(channel, self.queue)
        channel.basic_consume(self.queue, self._arrived)

    def _closed(self, _: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker) or reason.reply_code != NOT_FOUND:
            return
        if f"'{self.queue}'" in reason.reply_text:
            log.warning("reply queue lost, using another", extra={"reason": reason.reply_text})
            self.queue = self._new_queue()
            self._on_replaced()

    def _arrived(
        self,
        channel: Channel,
        method: spec.Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        try:
            reply = decode(properties.type, body)
        except MalformedMessage as error:
            log.error("malformed reply dropped", extra={"reason": str(error)})  # noqa: TRY400 - no fault of the code
        else:
            self._conversations.deliver(properties.correlation_id, reply)
        channel.basic_ack(method.delivery_tag)
