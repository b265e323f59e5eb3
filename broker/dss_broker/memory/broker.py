"""A ``broker.Broker`` inside one process: threads and lists, no sockets."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import assert_never
from uuid import uuid4

from dss_broker.broker import Handler
from dss_broker.codec import decode
from dss_broker.conversations import Conversations, OpenConversation
from dss_broker.dead_letters import MAX_LETTERS, DeadLetter, DeadLetterSession, dead_letter
from dss_broker.envelope import Envelope, for_parking, for_requeueing, for_retry, new_envelope
from dss_broker.errors import BrokerClosed, Unroutable
from dss_broker.handling import DeliveryOutcome, Handled, Handling, Parked, Postponed, Returned
from dss_broker.memory.server import MemoryServer, MemorySubscription, StoredMessage
from dss_broker.messages import Message
from dss_broker.spans import begin_publish_span
from dss_broker.topology import (
    EXCHANGE,
    RETRY_DELAYS_S,
    Sharing,
    Subscription,
    is_mandatory,
    routing_key,
)
from dss_observability.serving import BROKER_AWAY
from dss_observability.tracing import end_when_done

SHORT_RETRY_S = 0.02


class MemoryBroker:
    """A ``broker.Broker`` whose queues are in ``server``, a new one by default.

    Brokers with the same server exchange messages, like programs.  Several programs may also share one MemoryBroker.
    """

    def __init__(
        self,
        server: MemoryServer | None = None,
        *,
        retry_delays_s: Sequence[float] = (SHORT_RETRY_S,) * len(RETRY_DELAYS_S),
    ) -> None:
        self.server = server or MemoryServer()
        self._retry_delays_s = retry_delays_s
        self._readers: list[MemorySubscription] = []
        self._conversations = Conversations()
        self._reply_to = f"replies.{uuid4().hex}"
        self.server.replies[self._reply_to] = self._conversations
        self._closed = False

    @property
    def connected(self) -> bool:
        return not self._closed

    @property
    def problem(self) -> str:
        return BROKER_AWAY if self._closed else ""

    @property
    def parked(self) -> list[Envelope]:
        """The parked messages of the server; ``envelope.parked_reason`` says why a message was parked."""
        with self.server.changed:
            return list(self.server.parked)

    def publish(self, message: Message, *, message_id: str | None = None) -> "Future[None]":
        return self._send(message, new_envelope(message, message_id=message_id))

    def consume(self, subscription: Subscription, handler: Handler) -> None:
        if self._closed:
            raise BrokerClosed("The broker was closed before it subscribed")
        handling = Handling(
            subscription, handler, send_reply=self._send_reply, retry_delays_s=self._retry_delays_s
        )
        reader = MemorySubscription(queue=self.server.queue(subscription), handling=handling)
        with self.server.changed:
            reader.queue.readers.append(reader)
            self._readers.append(reader)
        for number in range(subscription.threads):
            name = f"{subscription.queue} {number}"
            threading.Thread(target=self._work, args=(reader,), name=name, daemon=True).start()

    def request(self, message: Message) -> OpenConversation:
        request_id = uuid4().hex
        envelope = new_envelope(
            message, message_id=request_id, correlation_id=request_id, reply_to=self._reply_to
        )
        conversation = self._conversations.open(request_id, message)
        conversation.watch(self._send(message, envelope))
        return conversation

    @contextmanager
    def dead_letters(self) -> Iterator[DeadLetterSession]:
        yield MemoryDeadLetterSession(self.server)

    def stop_consuming(self, timeout_s: float) -> bool:
        with self.server.changed:
            self._stop_readers()
            return self.server.changed.wait_for(
                lambda: not any(reader.unacked for reader in self._readers), timeout_s
            )

    def close(self) -> None:
        """Stop consuming, requeue the unacknowledged messages, as when a process dies, and end all conversations."""
        with self.server.changed:
            self._closed = True
            self._stop_readers()
            for reader in self._readers:
                for stored in reversed(reader.unacked):
                    reader.put_back(stored)
                reader.unacked.clear()
        self.server.replies.pop(self._reply_to, None)
        self._conversations.close()

    def _stop_readers(self) -> None:
        for reader in self._readers:
            reader.stopped = True
            reader.handling.stop()
            if reader.queue.subscription.sharing is Sharing.EVERYONE:
                self.server.forget(reader.queue)
        self.server.changed.notify_all()

    def _send(self, message: Message, envelope: Envelope) -> "Future[None]":
        sent: Future[None] = Future()
        key = routing_key(message)
        envelope, span = begin_publish_span(envelope, EXCHANGE, key)
        if self._closed:
            sent.set_exception(BrokerClosed("The broker was closed before it had the message"))
        elif self.server.publish(EXCHANGE, key, envelope) or not is_mandatory(message):
            sent.set_result(None)
        else:
            sent.set_exception(Unroutable(f"No queue wants {key!r}"))
        end_when_done(span, sent)
        return sent

    def _send_reply(self, reply_to: str, reply: Envelope) -> "Future[None]":
        requester = self.server.replies.get(reply_to)
        if requester is not None:
            requester.deliver(reply.correlation_id, decode(reply.type_name, reply.body))
        sent: Future[None] = Future()
        sent.set_result(None)
        return sent

    def _work(self, reader: MemorySubscription) -> None:
        """Take and handle the messages of a subscription until consuming stops or the broker is closed.  Runs in each
        of the subscription's threads.
        """
        while (stored := self._take(reader)) is not None:
            poison = reader.handling.poison_outcome(stored.envelope, stored.deaths)
            outcome = poison or reader.handling.handle(
                stored.envelope, redelivered=stored.redelivered
            )
            with self.server.changed:
                if stored in reader.unacked:  # otherwise the broker was closed meanwhile
                    self._apply(reader, stored, outcome)
                    reader.unacked.remove(stored)
                    self.server.changed.notify_all()

    def _take(self, reader: MemorySubscription) -> StoredMessage | None:
        with self.server.changed:
            while not reader.stopped:
                stored = reader.queue.take(reader)
                if stored is not None:
                    reader.unacked.append(stored)
                    return stored
                self.server.changed.wait(SHORT_RETRY_S if reader.queue.stored else None)
        return None

    def _apply(
        self, reader: MemorySubscription, stored: StoredMessage, outcome: DeliveryOutcome
    ) -> None:
        match outcome:
            case Handled():
                pass
            case Returned(failed=failed):
                reader.put_back(stored, failed=failed)
            case Postponed(delay_s=delay_s):
                due = time.monotonic() + delay_s
                retried = for_retry(stored.envelope, suspect=stored.is_suspect)
                again = StoredMessage(envelope=retried, not_before=due, deaths=stored.deaths)
                reader.queue.stored.append(again)
            case Parked():
                self.server.park(_parked(reader, stored, outcome))
            case _:
                assert_never(outcome)


class MemoryDeadLetterSession:
    """Implements ``dead_letters.DeadLetterSession`` with the parked messages of a MemoryServer."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        with server.changed:
            self.letters = [dead_letter(envelope) for envelope in server.parked[:MAX_LETTERS]]

    def requeue(self, letter: DeadLetter) -> None:
        if not self._server.put(letter.queue, for_requeueing(letter.envelope)):
            raise Unroutable(f"There is no queue {letter.queue!r}")
        self.discard(letter)

    def discard(self, letter: DeadLetter) -> None:
        with self._server.changed:
            self._server.parked.remove(letter.envelope)


def _parked(reader: MemorySubscription, stored: StoredMessage, outcome: Parked) -> Envelope:
    return for_parking(
        stored.envelope,
        reason=outcome.reason,
        attempt=outcome.attempt,
        queue=reader.queue.subscription.queue,
        program="memory",
        instance="memory",
    )
