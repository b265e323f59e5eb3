"""Consumes one subscription from RabbitMQ, with a channel and threads of its own.

More than 300 lines: one class with a short method for each event of the channel, because all of them share its state.
"""

import logging
import threading
from concurrent.futures import Future
from functools import partial
from operator import attrgetter
from typing import assert_never
from uuid import uuid4

from pika import BasicProperties, SelectConnection, spec  # no py.typed
from pika.channel import Channel

from dss_broker.dead_letters import content_id
from dss_broker.envelope import Envelope, for_parking, for_retry, ids
from dss_broker.errors import BrokerClosed
from dss_broker.handling import DeliveryOutcome, Handled, Handling, Parked, Postponed, Returned
from dss_broker.rabbit.deaths import DeathCounter
from dss_broker.rabbit.declare import declare_bindings, declare_subscription
from dss_broker.rabbit.inbox import Inbox
from dss_broker.rabbit.link import Backoff, Link
from dss_broker.rabbit.publication import Publication
from dss_broker.rabbit.publisher import Publisher
from dss_broker.rabbit.refusal import no_leader, refusal
from dss_broker.rabbit.unacked import UnackedMessage, UnackedMessages, envelope_of
from dss_broker.topology import DEAD_EXCHANGE, Sharing, Subscription, own_queue, retry_exchange

log = logging.getLogger(__name__)

UNANSWERED_S = 30.0
"""Seconds without an answer to ``basic.consume`` after which the queue is taken for one without a leader.  RabbitMQ 3.10
closes the connection after 65 seconds."""


class Consumer:
    """Consumes one subscription.  Public methods say which thread may call them; the others run on the link's thread.

    A poison message kills the program, and so interrupts the messages that are handled at the same time.  Therefore a
    program starts with a prefetch of 1, and raises it to that of the subscription after its first message that is not a
    redelivery.
    """

    def __init__(
        self,
        subscription: Subscription,
        handling: Handling,
        *,
        link: Link,
        publisher: Publisher,
        deaths: DeathCounter,
        program: str,
        instance: str,
    ) -> None:
        self._subscription, self._handling = subscription, handling
        self._link, self._publisher, self._deaths = link, publisher, deaths
        self._program, self._instance = program, instance
        self._queue = subscription.queue
        self._tag = ""
        self._one_at_a_time = subscription.sharing is Sharing.WORK
        self._channel: Channel | None = None
        self._backoff = Backoff()
        ordered = subscription.sharing is Sharing.ORDERED
        self._inbox: Inbox[UnackedMessage] = (
            Inbox(order_key=attrgetter("ticket")) if ordered else Inbox()
        )
        self._unacked = UnackedMessages()
        self._stopped = False
        self.refusal = self.no_leader = ""
        self.is_subscribed = False
        self._idle = threading.Event()
        self.ready: Future[None] = Future()

    def start(self) -> None:
        """Any thread: start the threads of the subscription."""
        for number in range(self._subscription.threads):
            name = f"{self._subscription.queue} {number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def up(self, connection: SelectConnection) -> None:
        """Link's thread: consume on the new connection."""
        self._backoff.reset()
        self._open_channel(connection)

    def down(self) -> None:
        """Link's thread: the connection or the channel is lost.  RabbitMQ will redeliver unacknowledged messages, so
        those that no handler has started are dropped here; running handlers go on.
        """
        self._channel, self.is_subscribed = None, False
        for unacked in self._inbox.take_back():
            self._unacked.remove(unacked)
        for unacked in self._unacked:
            self._deaths.survived(unacked)
        self._close_if_idle()

    def bind(self, channel: Channel) -> None:
        """Link's thread: declare the bindings again on ``channel``, in case an operator has removed one.  Does nothing
        while the subscription has no channel of its own.
        """
        if self._channel is not None:
            declare_bindings(channel, self._subscription, self._queue)

    def stop(self) -> None:
        """Link's thread: start no more handlers; RabbitMQ requeues the messages that none has started.  The channel is
        closed, and ``wait_until_idle`` returns, when the last running handler has ended.
        """
        if self._stopped:
            return
        self._stopped = True
        if not self.ready.done():
            self.ready.set_exception(BrokerClosed("Consuming was stopped before it began"))
        self._handling.stop()
        self._deaths.stop()
        not_started = self._inbox.take_back()
        self._inbox.close()
        if self._subscription.sharing is not Sharing.ORDERED:  # a later message must not overtake
            self._return_to_queue(not_started)
        for unacked in not_started:
            self._unacked.remove(unacked)
        self._close_if_idle()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Any thread, after ``stop``: wait until no handler runs.  False if one still runs after ``timeout_s``."""
        return self._idle.wait(timeout_s)

    def abandon(self) -> None:
        """Link's thread: stop, because the broker is being closed.  RabbitMQ then requeues unacknowledged messages."""
        self.stop()
        for unacked in self._unacked:
            self._deaths.survived(unacked)

    def _work(self) -> None:
        """Handle messages until the subscription stops.  Runs in each of the subscription's threads."""
        while (unacked := self._inbox.take()) is not None:
            outcome = self._deaths.begin(unacked) or self._handle(unacked)
            self._link.call(partial(self._apply, unacked, outcome))
            self._inbox.done(unacked)

    def _handle(self, unacked: UnackedMessage) -> DeliveryOutcome:
        try:
            return self._handling.handle(unacked.envelope, redelivered=unacked.redelivered)
        finally:
            self._deaths.end(unacked)

    def _open_channel(self, connection: SelectConnection) -> None:
        if not self._stopped and connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(lambda _: channel.close())  # the queue is gone
        self._queue = self._queue_name()
        declare_subscription(channel, self._subscription, self._queue)
        self._channel = channel
        self._subscribe(channel)

    def _subscribe(self, channel: Channel) -> None:
        if self._stopped or not channel.is_open:
            return
        prefetch = 1 if self._one_at_a_time else self._subscription.prefetch
        self._tag = f"{self._queue} {prefetch}"
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(
            self._queue,
            self._delivered,
            consumer_tag=self._tag,
            callback=self._subscribed,
        )
        if self._subscription.sharing is not Sharing.EVERYONE:  # a quorum queue
            self._link.call_later(UNANSWERED_S, partial(self._check_answer, channel))

    def _check_answer(self, channel: Channel) -> None:
        """Say that the queue may have no leader if RabbitMQ has not answered on ``channel`` yet."""
        is_current = self._channel is channel
        if not is_current or self.is_subscribed or self._stopped:
            return
        reason = no_leader(self._queue, getattr(channel.connection, "params", None))
        log.error("no answer from RabbitMQ for a queue", extra={"reason": reason})
        self.no_leader = reason  # last: when /readyz shows it, the log has the line

    def _raise_prefetch(self) -> None:
        """Replace the prefetch of 1 by that of the subscription, which needs a new consumer of the queue.

        Called while the only message that the prefetch allows is unacknowledged, so RabbitMQ is sending no other one.
        """
        if not self._one_at_a_time:
            return
        self._one_at_a_time = False
        channel = self._channel
        if self._subscription.prefetch > 1 and channel is not None and channel.is_open:
            channel.basic_cancel(self._tag, callback=lambda _: self._subscribe(channel))

    def _queue_name(self) -> str:
        queue = self._subscription.queue
        if self._subscription.sharing is not Sharing.EVERYONE:
            return queue
        # New for each connection: RabbitMQ may not have noticed yet that the last one is dead.
        return f"{own_queue(queue, self._program, self._instance)}.{uuid4().hex[:6]}"

    def _subscribed(self, _: object) -> None:
        self.refusal, self.no_leader, self.is_subscribed = "", "", True
        self._backoff.reset()
        if not self.ready.done():
            self.ready.set_result(None)

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        self.refusal = refusal(reason, getattr(channel.connection, "params", None))
        self.down()
        if self._stopped or not channel.connection.is_open:
            return
        delay_s = self._backoff.next_s()
        facts = {
            "queue": self._queue,
            "reason": repr(reason),
            "retry_s": round(delay_s, 2),
        }
        log.error("subscription lost, renewing it", extra=facts)
        self._link.call_later(delay_s, partial(self._open_channel, channel.connection))

    def _delivered(
        self,
        channel: Channel,
        method: spec.Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        unacked = UnackedMessage(
            envelope=envelope_of(properties, body),
            redelivered=method.redelivered,
            deliveries=[(channel, method.delivery_tag)],
            stable_id=properties.message_id or content_id(body),
        )
        if (known := self._unacked.add_redelivery(unacked)) is not None:
            facts = {"id": unacked.key[0], **ids(unacked.envelope)}
            log.info("message came again while it is being handled", extra=facts)
            self._deaths.redelivered(known)
        elif self._stopped:
            return  # requeued when the channel closes
        elif self._unacked.was_acknowledged(unacked):
            unacked.acknowledge()
        else:
            self._unacked.add(unacked)
            self._inbox.put(unacked)
            if not unacked.redelivered:
                self._raise_prefetch()

    def _apply(self, unacked: UnackedMessage, outcome: DeliveryOutcome) -> None:
        match outcome:
            case Handled():
                self._acknowledge(unacked)
            case Returned(failed=True):
                self._reject(unacked)
            case Returned():
                self._deaths.survived(unacked)
                self._remove(unacked)  # requeued when the channel closes
            case Postponed(delay_s=delay_s):
                retried = for_retry(unacked.envelope, suspect=unacked.counted)
                self._deaths.postponed(unacked)
                self._move(unacked, retry_exchange(delay_s), retried)
            case Parked():
                self._move(unacked, DEAD_EXCHANGE, self._parked(unacked.envelope, outcome))
            case _:
                assert_never(outcome)

    def _parked(self, envelope: Envelope, outcome: Parked) -> Envelope:
        return for_parking(
            envelope,
            reason=outcome.reason,
            attempt=outcome.attempt,
            queue=self._subscription.queue,
            program=self._program,
            instance=self._instance,
        )

    def _move(self, unacked: UnackedMessage, exchange: str, envelope: Envelope) -> None:
        """Publish ``envelope`` to ``exchange``, and acknowledge the message when RabbitMQ has confirmed that; if
        RabbitMQ refuses it, requeue the message.

        After a crash in between, both exist (at least once).
        """
        copy = Publication(
            exchange=exchange,
            routing_key=self._subscription.queue,
            envelope=envelope,
            mandatory=True,
        )
        self._publisher.send(copy).add_done_callback(partial(self._moved, unacked))

    def _moved(self, unacked: UnackedMessage, copy: "Future[None]") -> None:
        error = copy.exception()
        if error is None:
            self._acknowledge(unacked)
        elif not isinstance(error, BrokerClosed):
            facts = {"id": unacked.key[0], "reason": str(error), **ids(unacked.envelope)}
            log.error("message could not be moved", extra=facts)
            self._deaths.survived(unacked)
            self._reject(unacked)

    def _acknowledge(self, unacked: UnackedMessage) -> None:
        self._raise_prefetch()
        unacked.acknowledge()
        self._deaths.forget(unacked)
        self._unacked.remember_acknowledged(unacked)
        self._remove(unacked)

    def _reject(self, unacked: UnackedMessage) -> None:
        unacked.reject()
        self._remove(unacked)

    def _remove(self, unacked: UnackedMessage) -> None:
        self._unacked.remove(unacked)
        self._close_if_idle()

    def _return_to_queue(self, not_started: list[UnackedMessage]) -> None:
        if self._channel is not None and self._channel.is_open:
            self._channel.basic_cancel(self._tag)
        for unacked in not_started:
            unacked.nack()

    def _close_if_idle(self) -> None:
        if self._unacked or not self._stopped:
            return
        if self._channel is not None and self._channel.is_open:
            self._channel.close()
        self._idle.set()
