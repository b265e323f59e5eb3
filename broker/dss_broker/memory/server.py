"""The server of ``memory.MemoryBroker``: its queues are lists, and several brokers of one process may share it."""

import threading
import time
from dataclasses import dataclass, field, replace
from uuid import uuid4

from dss_broker.conversations import Conversations
from dss_broker.envelope import Envelope, after_requeue, ids
from dss_broker.handling import Handling
from dss_broker.topology import DEAD_EXCHANGE, Sharing, Subscription


@dataclass(kw_only=True, eq=False)
class StoredMessage:
    """A message in a queue.  It is not delivered before ``not_before``, in seconds of ``time.monotonic``.

    ``deaths`` counts the handlers that were interrupted while they handled the redelivered message, as if their program
    had died; the first delivery does not count.
    """

    envelope: Envelope
    redelivered: bool = False
    not_before: float = 0.0
    deaths: int = 0

    @property
    def is_suspect(self) -> bool:
        return self.redelivered or self.envelope.is_suspect

    @property
    def ticket(self) -> int | str | None:
        """The number of the ticket that the message is about; None if there is none."""
        return ids(self.envelope).get("ticket")


@dataclass(kw_only=True, eq=False)
class Queue:
    """One queue with its waiting messages."""

    subscription: Subscription
    stored: list[StoredMessage] = field(default_factory=list)
    readers: list["MemorySubscription"] = field(default_factory=list)

    def take(self, reader: "MemorySubscription") -> StoredMessage | None:
        """Remove and return the next message for ``reader``; None if it has to wait.

        In an ORDERED queue only one reader gets messages, and none for a ticket of which it already handles a message.
        """
        active = next((r for r in self.readers if r.unacked or not r.stopped), None)
        ordered = self.subscription.sharing is Sharing.ORDERED
        if ordered and reader is not active:
            return None
        now = time.monotonic()
        busy = {s.ticket for s in reader.unacked} if ordered else set()
        due = next((s for s in self.stored if s.not_before <= now and s.ticket not in busy), None)
        if due is not None:
            self.stored.remove(due)
        return due


@dataclass(kw_only=True, eq=False)
class MemorySubscription:
    """One program's subscription to a queue, with the messages that it has not acknowledged."""

    queue: Queue
    handling: Handling
    unacked: list[StoredMessage] = field(default_factory=list)
    stopped: bool = False

    def put_back(self, stored: StoredMessage, *, failed: bool = False) -> None:
        deaths = stored.deaths + (failed and stored.is_suspect)
        envelope = after_requeue(stored.envelope)
        again = replace(stored, envelope=envelope, redelivered=True, deaths=deaths)
        self.queue.stored.insert(0, again)


class MemoryServer:
    """The queues that MemoryBrokers share.  ``parked`` has the parked messages, ``replies`` the open requests of each
    broker by the name of its reply queue.  ``changed`` guards all attributes, and is notified of each new message.
    """

    def __init__(self) -> None:
        self.parked: list[Envelope] = []
        self.replies: dict[str, Conversations] = {}
        self.changed = threading.Condition()
        self._queues: dict[str, Queue] = {}

    def publish(self, exchange: str, key: str, envelope: Envelope) -> bool:
        """Add the message to each queue that is bound to ``exchange`` for ``key``.  False if there is none."""
        with self.changed:
            queues = [q for q in self._queues.values() if _wants(q.subscription, exchange, key)]
            for queue in queues:
                queue.stored.append(StoredMessage(envelope=envelope))
            self.changed.notify_all()
        return bool(queues)

    def put(self, queue_name: str, envelope: Envelope) -> bool:
        """Add the message to the queue ``queue_name`` only.  False if the queue does not exist."""
        with self.changed:
            queue = self._queues.get(queue_name)
            if queue is not None:
                queue.stored.append(StoredMessage(envelope=envelope))
            self.changed.notify_all()
        return queue is not None

    def queue(self, subscription: Subscription) -> Queue:
        """The queue of the subscription, which is made if it does not exist; for EVERYONE, a new one each time."""
        name = subscription.queue
        if subscription.sharing is Sharing.EVERYONE:
            name += uuid4().hex
        with self.changed:
            return self._queues.setdefault(name, Queue(subscription=subscription))

    def forget(self, queue: Queue) -> None:
        """Delete the queue of an EVERYONE subscription."""
        with self.changed:
            self._queues = {name: q for name, q in self._queues.items() if q is not queue}

    def park(self, envelope: Envelope) -> None:
        with self.changed:
            self.parked.append(envelope)
        self.publish(DEAD_EXCHANGE, "", envelope)


def _wants(subscription: Subscription, exchange: str, key: str) -> bool:
    return subscription.exchange == exchange and any(_matches(k, key) for k in subscription.keys)


def _matches(pattern: str, key: str) -> bool:
    """True if a topic pattern of AMQP matches ``key``: ``*`` stands for one word; ``#`` alone matches every key."""
    words, wanted = key.split("."), pattern.split(".")
    if wanted == ["#"]:
        return True
    pairs = zip(wanted, words, strict=False)
    return len(words) == len(wanted) and all(w in ("*", word) for w, word in pairs)
