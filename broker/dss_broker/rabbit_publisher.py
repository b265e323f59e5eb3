"""Publishing with confirms: many messages in flight, each sent until the broker has it."""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

from pika import BasicProperties, SelectConnection, spec  # type: ignore[import-untyped] # no py.typed
from pika.channel import Channel  # type: ignore[import-untyped]
from pika.frame import Method  # type: ignore[import-untyped]

from dss_broker.envelope import Envelope
from dss_broker.errors import BrokerClosed, Unroutable
from dss_broker.rabbit_link import Backoff, Link
from dss_observability import metrics

log = logging.getLogger(__name__)

NACKED_RETRY_S = 0.2
PERSISTENT = 2

SILENCE_S = 3.0
"""A channel that confirms nothing for so long, with messages in flight, is replaced; twice as long each time."""
LONGEST_SILENCE_S = 80.0


@dataclass(kw_only=True, eq=False)
class Posting:
    """An envelope on its way to ``exchange``; ``mandatory``: it is an error if no queue takes it."""

    exchange: str
    routing_key: str
    envelope: Envelope
    mandatory: bool
    confirmed: "Future[None]" = field(default_factory=Future)
    returned: bool = False
    began_s: float = field(default_factory=time.monotonic)


class Publisher:
    """One confirm channel.  ``send`` from any thread, everything else on the link's."""

    def __init__(self, link: Link, on_channel: Callable[[Channel], None]) -> None:
        """``on_channel`` declares what is published to; it sees each new channel first."""
        self._link, self._on_channel = link, on_channel
        self._channel: Channel | None = None  # only while it takes messages
        self._blocked = False
        self._waiting: deque[Posting] = deque()
        self._in_flight: dict[int, Posting] = {}
        self._last_tag = 0
        self._heard_s = 0.0
        self._patience_s = SILENCE_S
        self._backoff = Backoff()

    @property
    def ready(self) -> bool:
        """True if what is sent now goes out now: RabbitMQ is there, and has memory and disk space."""
        return self._channel is not None and not self._blocked

    def send(self, posting: Posting) -> "Future[None]":
        posting.confirmed.set_running_or_notify_cancel()
        if not self._link.call(partial(self._accept, posting)):
            posting.confirmed.set_exception(_closed())
        return posting.confirmed

    def up(self, connection: SelectConnection) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        self._backoff.reset()
        self._open_channel(connection)

    def down(self) -> None:
        """Keep what was not confirmed for the next channel, in its order."""
        self._channel = None
        metrics.BROKER_CONNECTED.set(0)
        unconfirmed = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting = deque(unconfirmed)

    def look(self) -> None:
        """Every second or so.

        A channel of RabbitMQ 3.10 that publishes just when a queue's leader has died refuses everything
        for ever, because it asks the dead one; another channel finds the new leader.
        """
        silence_s = time.monotonic() - self._heard_s
        idle = not self._in_flight and not self._waiting
        if self._channel is None or self._blocked or idle:
            return
        if silence_s > self._patience_s and self._channel.is_open:
            facts = {"in_flight": len(self._in_flight), "silence_s": round(silence_s, 1)}
            log.warning("RabbitMQ confirms nothing, publishing again", extra=facts)
            self._patience_s = min(2 * self._patience_s, LONGEST_SILENCE_S)
            self._channel.close()

    def abandon(self) -> None:
        """The broker is being closed: nothing more will be sent."""
        self.down()
        while self._waiting:
            self._waiting.popleft().confirmed.set_exception(_closed())

    def _open_channel(self, connection: SelectConnection) -> None:
        if connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        self._on_channel(channel)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Channel) -> None:
        self._channel, self._last_tag = channel, 0
        self._heard_s = time.monotonic()
        metrics.BROKER_CONNECTED.set(1)
        self._flush()

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        self.down()
        if channel.connection.is_open:
            delay_s = self._backoff.next_s()
            facts = {"reason": repr(reason), "retry_s": round(delay_s, 2)}
            log.error("publishing channel closed by RabbitMQ", extra=facts)
            self._link.call_later(delay_s, partial(self._open_channel, channel.connection))

    def _accept(self, posting: Posting) -> None:
        if not self._in_flight and not self._waiting:
            self._heard_s = time.monotonic()  # from now on something is missing
        self._waiting.append(posting)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and not self._blocked and self._channel and self._channel.is_open:
            self._publish(self._channel, self._waiting.popleft())

    def _publish(self, channel: Channel, posting: Posting) -> None:
        posting.returned = False
        try:
            channel.basic_publish(
                posting.exchange,
                posting.routing_key,
                posting.envelope.body,
                properties_of(posting.envelope),
                mandatory=posting.mandatory,
            )
        except Exception as error:  # for instance a name longer than AMQP can write
            _count(posting, "failed")
            posting.confirmed.set_exception(error)
            return
        self._last_tag += 1
        self._in_flight[self._last_tag] = posting

    def _returned(
        self, _: Channel, method: spec.Basic.Return, properties: BasicProperties, __: bytes
    ) -> None:
        """No queue took it.  RabbitMQ says so before it confirms, in the order of publishing."""
        sent = (properties.message_id, method.exchange, method.routing_key)
        for posting in self._in_flight.values():
            key = (posting.envelope.message_id, posting.exchange, posting.routing_key)
            if key == sent and posting.mandatory and not posting.returned:
                posting.returned = True
                return

    def _confirmed(self, frame: Method) -> None:
        method = frame.method
        if not isinstance(method, spec.Basic.Nack):
            self._heard_s, self._patience_s = time.monotonic(), SILENCE_S
        tags = [method.delivery_tag]
        if method.multiple:
            tags = list(takewhile(lambda tag: tag <= method.delivery_tag, self._in_flight))
        for posting in [self._in_flight.pop(tag) for tag in tags]:
            if isinstance(method, spec.Basic.Nack):
                metrics.MESSAGES_REFUSED.inc()
                self._waiting.append(posting)
                self._link.call_later(NACKED_RETRY_S, self._flush)
            else:
                _settle(posting)

    def _block(self, _: SelectConnection, __: Method) -> None:
        log.warning("RabbitMQ takes no messages: its memory or disk is short")
        self._blocked = True

    def _unblock(self, _: SelectConnection, __: Method) -> None:
        log.info("RabbitMQ takes messages again")
        self._blocked = False
        self._flush()


def _settle(posting: Posting) -> None:
    _count(posting, "unroutable" if posting.returned else "confirmed")
    metrics.CONFIRM_SECONDS.observe(time.monotonic() - posting.began_s)
    if posting.returned:
        error = Unroutable(f"No queue wants {posting.routing_key!r}")
        posting.confirmed.set_exception(error)
    else:
        posting.confirmed.set_result(None)


def _count(posting: Posting, outcome: str) -> None:
    metrics.MESSAGES_PUBLISHED.labels(posting.envelope.type_name, outcome).inc()


def properties_of(envelope: Envelope) -> BasicProperties:
    return BasicProperties(
        type=envelope.type_name,
        content_type="application/json",
        delivery_mode=PERSISTENT,
        message_id=envelope.message_id,
        correlation_id=envelope.correlation_id,
        reply_to=envelope.reply_to,
        headers=dict(envelope.headers),
    )


def _closed() -> BrokerClosed:
    return BrokerClosed("The broker was closed before RabbitMQ had the message")
