"""One subscription: its channel, the messages in hand, the threads that handle them."""

import logging
import threading
from concurrent.futures import Future
from functools import partial
from operator import attrgetter
from typing import assert_never
from uuid import uuid4

from pika import BasicProperties, SelectConnection, spec  # type: ignore[import-untyped] # no py.typed
from pika.channel import Channel  # type: ignore[import-untyped]

from dss_broker.dead_letters import content_id
from dss_broker.envelope import Envelope, for_parking, for_retry, ids
from dss_broker.errors import BrokerClosed
from dss_broker.handling import Handled, Handling, Parked, Postponed, Returned, Verdict
from dss_broker.rabbit.deaths import Deaths
from dss_broker.rabbit.declare import declare_bindings, declare_subscription
from dss_broker.rabbit.inbox import Inbox
from dss_broker.rabbit.link import Backoff, Link
from dss_broker.rabbit.publisher import Publication, Publisher
from dss_broker.rabbit.refusal import refusal
from dss_broker.rabbit.unacked import Hand, Hands, envelope_of
from dss_broker.topology import DEAD_EXCHANGE, Sharing, Subscription, own_queue, retry_exchange

log = logging.getLogger(__name__)


class Consumer:
    """Public methods say which thread may call them; the others run on the link's.

    A message that kills its program takes those down that are in hand beside it.  So a program that has
    just started takes a redelivered message alone, and only then as many as its subscription says.
    """

    def __init__(
        self,
        subscription: Subscription,
        handling: Handling,
        *,
        link: Link,
        publisher: Publisher,
        deaths: Deaths,
        program: str,
        instance: str,
    ) -> None:
        self._subscription, self._handling = subscription, handling
        self._link, self._publisher, self._deaths = link, publisher, deaths
        self._program, self._instance = program, instance
        self._queue = subscription.queue
        self._tag = ""
        self._alone = subscription.sharing is Sharing.WORK
        self._channel: Channel | None = None
        self._backoff = Backoff()
        ordered = subscription.sharing is Sharing.ORDERED
        self._inbox: Inbox[Hand] = Inbox(line=attrgetter("ticket")) if ordered else Inbox()
        self._hands = Hands()
        self._stopped = False
        self.refusal = ""
        self._idle = threading.Event()
        self.ready: Future[None] = Future()

    def start(self) -> None:
        """Any thread."""
        for number in range(self._subscription.threads):
            name = f"{self._subscription.queue} {number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def up(self, connection: SelectConnection) -> None:
        """Link's thread."""
        self._backoff.reset()
        self._open_channel(connection)

    def down(self) -> None:
        """Link's thread.  What nobody has begun with will be delivered again, to whomever."""
        self._channel = None
        for hand in self._inbox.empty():
            self._hands.drop(hand)
        for hand in self._hands:
            self._deaths.survived(hand)
        self._note_idle()

    def bind(self, channel: Channel) -> None:
        """Link's thread: again, in case that somebody has removed a binding."""
        if self._channel is not None:
            declare_bindings(channel, self._subscription, self._queue)

    def stop(self) -> None:
        """Link's thread: begin with nothing new.  The rest goes back when the last handler has ended."""
        if self._stopped:
            return
        self._stopped = True
        if not self.ready.done():
            self.ready.set_exception(BrokerClosed("Consuming was stopped before it began"))
        self._handling.stop()
        self._deaths.stop()
        not_begun = self._inbox.empty()
        self._inbox.close()
        if self._subscription.sharing is not Sharing.ORDERED:  # nobody may overtake there
            self._leave_to_others(not_begun)
        for hand in not_begun:
            self._hands.drop(hand)
        self._note_idle()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Any thread, after ``stop``: False if a handler still runs."""
        return self._idle.wait(timeout_s)

    def abandon(self) -> None:
        """Link's thread: the broker is being closed.  What is still in hand goes back."""
        self.stop()
        for hand in self._hands:
            self._deaths.survived(hand)

    def _work(self) -> None:
        """A thread of this subscription."""
        while (hand := self._inbox.take()) is not None:
            verdict = self._deaths.begin(hand) or self._handled(hand)
            self._link.call(partial(self._settle, hand, verdict))
            self._inbox.done(hand)

    def _handled(self, hand: Hand) -> Verdict:
        try:
            return self._handling.verdict(hand.envelope, redelivered=hand.redelivered)
        finally:
            self._deaths.end(hand)

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
        prefetch = 1 if self._alone else self._subscription.prefetch
        self._tag = f"{self._queue} {prefetch}"
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(
            self._queue,
            self._delivered,
            consumer_tag=self._tag,
            callback=self._subscribed,
        )

    def _take_more(self) -> None:
        """Called with a message in hand: so none is on its way to the subscription that ends."""
        if not self._alone:
            return
        self._alone = False
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
        self.refusal = ""
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
        hand = Hand(
            envelope=envelope_of(properties, body),
            redelivered=method.redelivered,
            deliveries=[(channel, method.delivery_tag)],
            name=properties.message_id or content_id(body),
        )
        if (known := self._hands.adopt(hand)) is not None:
            facts = {"id": hand.key[0], **ids(hand.envelope)}
            log.info("message came again while it is being handled", extra=facts)
            self._deaths.came_again(known)
        elif self._stopped:
            return  # goes back with the channel
        elif self._hands.was_done(hand):
            hand.acknowledge()
        else:
            self._hands.add(hand)
            self._inbox.put(hand)
            if not hand.redelivered:
                self._take_more()

    def _settle(self, hand: Hand, verdict: Verdict) -> None:
        match verdict:
            case Handled():
                self._acknowledge(hand)
            case Returned(failed=True):
                self._reject(hand)
            case Returned():
                self._deaths.survived(hand)
                self._drop(hand)  # goes back with the channel
            case Postponed(delay_s=delay_s):
                retried = for_retry(hand.envelope, suspect=hand.counted)
                self._deaths.postponed(hand)
                self._move(hand, retry_exchange(delay_s), retried)
            case Parked():
                self._move(hand, DEAD_EXCHANGE, self._parked(hand.envelope, verdict))
            case _:
                assert_never(verdict)

    def _parked(self, envelope: Envelope, verdict: Parked) -> Envelope:
        return for_parking(
            envelope,
            reason=verdict.reason,
            attempt=verdict.attempt,
            queue=self._subscription.queue,
            program=self._program,
            instance=self._instance,
        )

    def _move(self, hand: Hand, exchange: str, envelope: Envelope) -> None:
        """Acknowledge only when the broker has the copy: better twice than never."""
        copy = Publication(
            exchange=exchange,
            routing_key=self._subscription.queue,
            envelope=envelope,
            mandatory=True,
        )
        self._publisher.send(copy).add_done_callback(partial(self._moved, hand))

    def _moved(self, hand: Hand, copy: "Future[None]") -> None:
        error = copy.exception()
        if error is None:
            self._acknowledge(hand)
        elif not isinstance(error, BrokerClosed):
            facts = {"id": hand.key[0], "reason": str(error), **ids(hand.envelope)}
            log.error("message could not be moved", extra=facts)
            self._deaths.survived(hand)
            self._reject(hand)

    def _acknowledge(self, hand: Hand) -> None:
        self._take_more()
        hand.acknowledge()
        self._deaths.forget(hand)
        self._hands.remember(hand)
        self._drop(hand)

    def _reject(self, hand: Hand) -> None:
        hand.reject()
        self._drop(hand)

    def _drop(self, hand: Hand) -> None:
        self._hands.drop(hand)
        self._note_idle()

    def _leave_to_others(self, not_begun: list[Hand]) -> None:
        if self._channel is not None and self._channel.is_open:
            self._channel.basic_cancel(self._tag)
        for hand in not_begun:
            hand.hand_back()

    def _note_idle(self) -> None:
        if self._hands or not self._stopped:
            return
        if self._channel is not None and self._channel.is_open:
            self._channel.close()
        self._idle.set()
