"""Implements ``broker.Broker`` on RabbitMQ."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from uuid import uuid4

from pika import SelectConnection  # no py.typed
from pika.channel import Channel

from dss_broker.broker import Handler
from dss_broker.conversations import Conversations, OpenConversation
from dss_broker.dead_letters import DeadLetterSession
from dss_broker.envelope import Envelope, new_envelope
from dss_broker.errors import BrokerClosed
from dss_broker.handling import Handling
from dss_broker.messages import Message
from dss_broker.rabbit.consumer import Consumer
from dss_broker.rabbit.dead_letters import open_session
from dss_broker.rabbit.deaths import DeathCounter
from dss_broker.rabbit.declare import declare_shared
from dss_broker.rabbit.instance_lock import InstanceLock
from dss_broker.rabbit.link import Link
from dss_broker.rabbit.marks import Marks
from dss_broker.rabbit.publication import Publication
from dss_broker.rabbit.publisher import Publisher
from dss_broker.rabbit.replies import Replies
from dss_broker.spans import begin_publish_span
from dss_broker.topology import (
    EXCHANGE,
    REPLY_EXCHANGE,
    RETRY_DELAYS_S,
    Subscription,
    is_mandatory,
    reply_queue,
    routing_key,
)
from dss_observability.serving import BROKER_AWAY
from dss_observability.tracing import end_when_done

CHECK_S = 1.0
NOT_SUBSCRIBED = "RabbitMQ does not deliver messages to this program yet."
BIND_S = 20.0
"""Seconds between two declarations of the exchanges and bindings, in case an operator has removed one."""


class RabbitBroker:
    """A ``broker.Broker`` with one connection and one I/O thread; handlers run in threads of their subscriptions.

    ``instance`` distinguishes the processes of one ``program``: of two processes with the same instance, only one
    consumes.
    """

    def __init__(
        self,
        url: str,
        program: str,
        instance: str,
        *,
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        """Start to connect, without waiting for it.

        ``url`` is ``amqp://user:password@host:port/vhost``, or the addresses of a cluster's nodes, separated by commas.
        """
        self._url, self._program, self._instance = url, program, instance
        self._retry_delays_s = retry_delays_s
        self._consumers: list[Consumer] = []
        self._stopping = False
        self._connection: SelectConnection | None = None
        self._conversations = Conversations()
        self._replies = Replies(
            lambda: reply_queue(program, instance, uuid4().hex[:8]),
            self._conversations,
            on_replaced=self._repeat_requests,
        )
        name = f"{program} {instance}"
        self._link = Link(url, name, on_up=self._up, on_down=self._down, on_close=self._abandon)
        self._publisher = Publisher(self._link, self._declare)
        self._marks, self._suspect_lock = Marks(self._link, self._publisher), threading.Lock()
        self._instance_lock = InstanceLock(self._link, program, instance)
        self._served: set[Consumer] = set()
        self._link.start()

    @property
    def connected(self) -> bool:
        return self._publisher.ready

    @property
    def problem(self) -> str:
        problems = [self._link.refusal, self._publisher.refusal]
        problems += [consumer.refusal for consumer in self._consumers]
        problems += [self._instance_lock.problem, "" if self.connected else BROKER_AWAY]
        problems += [consumer.no_leader for consumer in self._consumers]
        problems += [
            "" if consumer.is_subscribed else NOT_SUBSCRIBED for consumer in self._consumers
        ]
        return next((sentence for sentence in problems if sentence), "")

    def publish(self, message: Message, *, message_id: str | None = None) -> "Future[None]":
        envelope = new_envelope(message, message_id=message_id)
        return self._send(message, envelope)

    def consume(self, subscription: Subscription, handler: Handler) -> None:
        handling = Handling(
            subscription, handler, send_reply=self._send_reply, retry_delays_s=self._retry_delays_s
        )
        deaths = DeathCounter(
            subscription,
            handling,
            link=self._link,
            marks=self._marks,
            suspect_lock=self._suspect_lock,
        )
        consumer = Consumer(
            subscription,
            handling,
            link=self._link,
            publisher=self._publisher,
            deaths=deaths,
            program=self._program,
            instance=self._instance,
        )
        if not self._link.call(partial(self._add, consumer)):
            raise BrokerClosed("The broker was closed before it subscribed")
        consumer.ready.result()

    def request(self, message: Message) -> OpenConversation:
        request_id = uuid4().hex
        self._link.call(self._replies.want)
        conversation = self._conversations.open(request_id, message)
        try:
            self._send_request(request_id, conversation, message_id=request_id)
        except ValueError:
            conversation.close()
            raise
        return conversation

    def dead_letters(self) -> AbstractContextManager[DeadLetterSession]:
        return open_session(self._url)

    def stop_consuming(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        stopped: Future[list[Consumer]] = Future()
        if not self._link.call(partial(self._stop, stopped)):
            return not self._consumers
        try:
            consumers = stopped.result(timeout_s)
        except TimeoutError:
            return False
        return all(
            consumer.wait_until_idle(max(0.0, deadline - time.monotonic()))
            for consumer in consumers
        )

    def close(self) -> None:
        self._link.close()

    def _send(self, message: Message, envelope: Envelope) -> "Future[None]":
        return self._publish(
            EXCHANGE, routing_key(message), envelope, mandatory=is_mandatory(message)
        )

    def _send_request(
        self, request_id: str, conversation: OpenConversation, *, message_id: str
    ) -> None:
        envelope = new_envelope(
            conversation.request,
            message_id=message_id,
            correlation_id=request_id,
            reply_to=self._replies.queue,
        )
        conversation.watch(self._send(conversation.request, envelope))

    def _repeat_requests(self) -> None:
        """Publish the open requests again with the new reply queue, each under a new message id: a program does not
        handle a message again that it has acknowledged.
        """
        for request_id, conversation in self._conversations.all_open():
            self._send_request(request_id, conversation, message_id=uuid4().hex)

    def _send_reply(self, queue: str, reply: Envelope) -> "Future[None]":
        return self._publish(REPLY_EXCHANGE, queue, reply, mandatory=False)

    def _publish(
        self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool
    ) -> "Future[None]":
        envelope, span = begin_publish_span(envelope, exchange, key)
        publication = Publication(
            exchange=exchange, routing_key=key, envelope=envelope, mandatory=mandatory
        )
        sent = self._publisher.send(publication)
        end_when_done(span, sent)
        return sent

    def _declare(self, channel: Channel) -> None:
        declare_shared(channel, self._retry_delays_s)
        self._replies.renew(channel)

    def _up(self, connection: SelectConnection) -> None:
        self._connection = connection
        self._publisher.up(connection)
        self._marks.up(connection)
        if self._consumers:
            self._instance_lock.acquire(connection, self._consume)
        self._link.call_later(CHECK_S, partial(self._check_confirms, connection))
        self._link.call_later(BIND_S, partial(self._bind_again, connection))

    def _check_confirms(self, connection: SelectConnection) -> None:
        """Replace a publishing channel whose confirms are overdue; repeats itself every CHECK_S on this connection."""
        if self._connection is connection:
            self._publisher.check_confirms()
            self._link.call_later(CHECK_S, partial(self._check_confirms, connection))

    def _bind_again(self, connection: SelectConnection) -> None:
        """Declare the exchanges and bindings again, in case an operator has removed one; repeats itself every BIND_S.

        Each declaration has a channel of its own, because RabbitMQ closes the channel to refuse a declaration.
        """
        is_current = self._connection is connection
        if not is_current or not connection.is_open:
            return
        shared = partial(declare_shared, retry_delays_s=self._retry_delays_s)
        served = [consumer.bind for consumer in self._served]
        declares: list[Callable[[Channel], None]] = [shared, self._replies.bind, *served]
        for declare in declares:
            connection.channel(on_open_callback=partial(_declare_and_close, declare))
        self._link.call_later(BIND_S, partial(self._bind_again, connection))

    def _down(self) -> None:
        self._connection = None
        self._publisher.down()
        self._marks.down()
        self._served.clear()
        for consumer in self._consumers:
            consumer.down()

    def _add(self, consumer: Consumer) -> None:
        if self._stopping:
            consumer.abandon()
            return
        self._consumers.append(consumer)
        consumer.start()
        if self._connection is not None:
            self._instance_lock.acquire(self._connection, self._consume)

    def _stop(self, stopped: "Future[list[Consumer]]") -> None:
        """Stop all subscriptions and put them into ``stopped``.

        Runs on the link's thread, like ``_add``: a subscription that is added later is refused.
        """
        self._stopping = True
        for consumer in self._consumers:
            consumer.stop()
        stopped.set_result(list(self._consumers))

    def _consume(self) -> None:
        """Begin to consume each subscription that this connection does not consume yet.  The instance lock is held."""
        for consumer in self._consumers:
            if self._connection is not None and consumer not in self._served:
                self._served.add(consumer)
                consumer.up(self._connection)

    def _abandon(self) -> None:
        for consumer in self._consumers:
            consumer.abandon()
        self._publisher.abandon()
        self._conversations.close()


def _declare_and_close(declare: Callable[[Channel], None], channel: Channel) -> None:
    declare(channel)
    channel.close()
