"""Publishes messages to RabbitMQ with confirms: many are in flight, and each is repeated until RabbitMQ confirms or
refuses it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import takewhile

from pika import BasicProperties, SelectConnection, spec  # no py.typed
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from pika.frame import Method

from dss_broker.envelope import ids
from dss_broker.errors import MessageRefused
from dss_broker.rabbit.link import Backoff, Link
from dss_broker.rabbit.publication import (
    Publication,
    closed_before_sending,
    count_outcome,
    is_about,
    properties_of,
    resolve,
)
from dss_broker.rabbit.refusal import ACCESS_REFUSED, refusal
from dss_observability import metrics

log = logging.getLogger(__name__)

NACKED_RETRY_S = 0.2

CONFIRM_TIMEOUT_S = 3.0
"""Seconds without a confirm after which a channel with messages in flight is replaced; they double each time, up to
LONGEST_CONFIRM_TIMEOUT_S.
"""
LONGEST_CONFIRM_TIMEOUT_S = 80.0

REFUSED_RETRY_S = 5.0
"""Longest pause between attempts to open the channel, in seconds, while RabbitMQ refuses the user a right: until an
operator grants the right, or the first portal has created the retry queues.
"""


class Publisher:
    """Publishes on one channel with confirms.  ``send`` may be called from any thread, the others on the link's thread.

    RabbitMQ refuses a message by closing the channel, and does not name the message.  Then all messages in flight are
    *suspects* and are published one at a time; the message at which the channel is closed again is refused.
    """

    def __init__(self, link: Link, on_channel: Callable[[Channel], None]) -> None:
        """``on_channel`` is called with each new channel before anything is published; it declares the exchanges."""
        self._link, self._on_channel = link, on_channel
        self._channel: Channel | None = None  # only while it takes messages
        self._blocked = False
        self.refusal = ""
        self._waiting: deque[Publication] = deque()
        self._in_flight: dict[int, Publication] = {}
        self._last_tag = 0
        self._last_confirm_s = 0.0
        self._confirm_timeout_s = CONFIRM_TIMEOUT_S
        self._backoff, self._refusals = Backoff(), Backoff(REFUSED_RETRY_S)
        self._logged_refusal = ""

    @property
    def ready(self) -> bool:
        """True if messages are published at once: the channel is open, and RabbitMQ does not block the connection."""
        return self._channel is not None and not self._blocked

    def send(self, publication: Publication) -> "Future[None]":
        """Publish from any thread.  Returns the future ``publication.confirmed``; it raises BrokerClosed if the link is
        closed.
        """
        publication.confirmed.set_running_or_notify_cancel()
        if not self._link.call(partial(self._accept, publication)):
            publication.confirmed.set_exception(closed_before_sending())
        return publication.confirmed

    def send_on_link_thread(self, publication: Publication) -> "Future[None]":
        """Publish from the link's thread, even while the link is being closed.  Returns ``publication.confirmed``."""
        publication.confirmed.set_running_or_notify_cancel()
        self._accept(publication)
        return publication.confirmed

    def up(self, connection: SelectConnection) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        self._backoff.reset()
        self._refusals.reset()
        self._open_channel(connection)

    def down(self) -> None:
        """Keep unconfirmed messages, in their order, for the next channel."""
        self._channel = None
        metrics.BROKER_CONNECTED.set(0)
        unconfirmed = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting = deque(unconfirmed)

    def check_confirms(self) -> None:
        """Replace the channel if confirms are overdue; to be called every second.

        A channel of RabbitMQ 3.10 that publishes just when a queue's leader dies stays without the confirms of that
        queue, because it waits for the dead leader, although it confirms messages to other queues; another channel
        finds the new one.
        """
        now_s = time.monotonic()
        silence_s = now_s - self._last_confirm_s
        idle = not self._in_flight and not self._waiting
        if self._channel is None or self._blocked or idle or not self._channel.is_open:
            return
        overdue = [sent for sent in self._in_flight.values() if sent.is_overdue(now_s)]
        if silence_s <= self._confirm_timeout_s and not overdue:
            return
        facts = {"in_flight": len(self._in_flight), "overdue": len(overdue)}
        log.warning(
            "RabbitMQ does not confirm, publishing again",
            extra=facts | {"silence_s": round(silence_s, 1)},
        )
        self._confirm_timeout_s = _doubled(self._confirm_timeout_s)
        for publication in overdue:
            publication.confirm_timeout_s = _doubled(publication.confirm_timeout_s)
        self._channel.close()

    def abandon(self) -> None:
        """The broker is being closed: make the futures of unconfirmed messages raise BrokerClosed."""
        self.down()
        while self._waiting:
            self._waiting.popleft().confirmed.set_exception(closed_before_sending())

    def _open_channel(self, connection: SelectConnection) -> None:
        if connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        self._on_channel(channel)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Channel) -> None:
        self._channel, self._last_tag, self.refusal, self._logged_refusal = channel, 0, "", ""
        self._refusals.reset()
        self._last_confirm_s = time.monotonic()
        metrics.BROKER_CONNECTED.set(1)
        self._flush()

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        was_ready = channel is self._channel
        self.refusal = refusal(reason, getattr(channel.connection, "params", None))
        self._find_refused(reason)
        self.down()
        if channel.connection.is_open:
            is_refused = bool(self.refusal) and not was_ready
            delay_s = (self._refusals if is_refused else self._backoff).next_s()
            self._tell(self.refusal if is_refused else "", reason, delay_s)
            self._link.call_later(delay_s, partial(self._open_channel, channel.connection))

    def _tell(self, sentence: str, reason: BaseException, delay_s: float) -> None:
        """Log that the channel is closed.  ``sentence`` is the refusal, "" if there is none.

        A repeated refusal is logged as DEBUG until a channel is ready again.
        """
        facts = {"reason": sentence or repr(reason), "retry_s": round(delay_s, 2)}
        if not sentence:
            log.error("publishing channel closed by RabbitMQ", extra=facts)
        else:
            level = logging.DEBUG if sentence == self._logged_refusal else logging.WARNING
            log.log(level, "RabbitMQ refuses this program, trying again", extra=facts)
        self._logged_refusal = sentence

    def _find_refused(self, reason: BaseException) -> None:
        """Find the message for which RabbitMQ closed the channel: make all messages in flight suspects or, if the only
        one in flight is a suspect already, refuse it, unless RabbitMQ closed the channel for another reason.
        """
        in_flight = list(self._in_flight.values())
        if not isinstance(reason, ChannelClosedByBroker) or not in_flight:
            return
        if not in_flight[0].suspect:
            for publication in in_flight:
                publication.suspect = True
        elif is_about(in_flight[0], reason):
            self._in_flight.clear()
            may_change = reason.reply_code == ACCESS_REFUSED
            _refuse(in_flight[0], reason.reply_text, may_change=may_change)

    def _accept(self, publication: Publication) -> None:
        if not self._in_flight and not self._waiting:
            self._last_confirm_s = time.monotonic()  # confirms are due from now on
        self._waiting.append(publication)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and not self._blocked and self._channel and self._channel.is_open:
            if self._must_wait(self._waiting[0]):
                return
            self._publish(self._channel, self._waiting.popleft())

    def _must_wait(self, publication: Publication) -> bool:
        """True if ``publication`` must not be sent yet, because suspects (messages that RabbitMQ may have refused) are
        sent one at a time: a suspect is in flight, or ``publication`` is a suspect and any message is in flight.
        """
        first = next(iter(self._in_flight.values()), None)
        return first is not None and (first.suspect or publication.suspect)

    def _publish(self, channel: Channel, publication: Publication) -> None:
        publication.returned, publication.sent_s = False, time.monotonic()
        try:
            channel.basic_publish(
                publication.exchange,
                publication.routing_key,
                publication.envelope.body,
                properties_of(publication.envelope),
                mandatory=publication.mandatory,
            )
        except Exception as error:
            _refuse(publication, f"It cannot be written: {error!r}", may_change=False)
            return
        self._last_tag += 1
        self._in_flight[self._last_tag] = publication

    def _returned(
        self, _: Channel, method: spec.Basic.Return, properties: BasicProperties, __: bytes
    ) -> None:
        """Note which message RabbitMQ has returned, because it reached no queue.

        RabbitMQ returns messages in the order of publishing, each before its confirm.
        """
        sent = (properties.message_id, method.exchange, method.routing_key)
        for publication in self._in_flight.values():
            key = (publication.envelope.message_id, publication.exchange, publication.routing_key)
            if key == sent and publication.mandatory and not publication.returned:
                publication.returned = True
                return

    def _confirmed(self, frame: Method) -> None:
        method = frame.method
        if not isinstance(method, spec.Basic.Nack):
            self._last_confirm_s, self._confirm_timeout_s = time.monotonic(), CONFIRM_TIMEOUT_S
        tags = [method.delivery_tag]
        if method.multiple:
            tags = list(takewhile(lambda tag: tag <= method.delivery_tag, self._in_flight))
        for publication in [self._in_flight.pop(tag) for tag in tags]:
            if isinstance(method, spec.Basic.Nack):
                metrics.MESSAGES_REFUSED.inc()
                self._waiting.append(publication)
                self._link.call_later(NACKED_RETRY_S, self._flush)
            else:
                resolve(publication)
                if publication.suspect:
                    self._flush()

    def _block(self, _: SelectConnection, __: Method) -> None:
        log.warning("RabbitMQ takes no messages: its memory or disk is short")
        self._blocked = True

    def _unblock(self, _: SelectConnection, __: Method) -> None:
        log.info("RabbitMQ takes messages again")
        self._blocked = False
        for publication in self._in_flight.values():
            publication.sent_s = time.monotonic()
        self._flush()


def _doubled(timeout_s: float) -> float:
    return min(2 * timeout_s, LONGEST_CONFIRM_TIMEOUT_S)


def _refuse(publication: Publication, reason: str, *, may_change: bool) -> None:
    count_outcome(publication, "refused")
    facts = {
        "type": publication.envelope.type_name,
        "key": publication.routing_key,
        "reason": reason,
    }
    log.error("message refused", extra={**facts, **ids(publication.envelope)})
    publication.confirmed.set_exception(MessageRefused(reason, may_change=may_change))
