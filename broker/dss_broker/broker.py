"""The interface of a broker.  ``rabbit.RabbitBroker`` and ``memory.MemoryBroker`` implement it."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from dss_broker.dead_letters import DeadLetterSession
from dss_broker.messages import Message
from dss_broker.topology import Subscription


class Delivery(Protocol):
    """A delivered message.  It is acknowledged when its handler returns."""

    @property
    def message(self) -> Message: ...

    @property
    def message_id(self) -> str:
        """The sender's id of the message: the same for every redelivery and retry."""

    @property
    def redelivered(self) -> bool:
        """True if another consumer may have had this message before."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt, one more for each delayed retry."""

    @property
    def deliveries(self) -> int:
        """Increases with each redelivery and retry of the message: the higher of two is the later delivery."""

    @property
    def age_s(self) -> float | None:
        """Seconds since it was sent, by the clocks of two machines; None for a retry."""

    @property
    def parked_reason(self) -> str | None:
        """Why the message was parked, if it comes from PORTAL_PARKED; otherwise None."""

    def reply(self, message: Message) -> "Future[None]":
        """Answer the requester; the future is done when the broker has stored the reply.

        A reply to a process that has ended is dropped without an error.  Raises ValueError if the message is no
        request.
        """


Handler: TypeAlias = Callable[[Delivery], None]
"""Called in a thread of its subscription, not on the I/O thread.

If it returns, the message is acknowledged.  If it raises TryAgainLater, the message is retried after a delay, a bounded
number of times, and is then parked in ``dss.dead``.  (ORDERED and EVERYONE wait for the delay in place, so that later
messages of the ticket stay behind.)  If it raises ReturnToQueue, which only a stopping program may do, the message is
requeued when the broker is closed.  If it raises anything else, the message is parked at once, with the reason.

Delivery is at least once: a handler may run twice for one message, and must be idempotent.  A message of which five
programs have died is parked; orderly stops and lost connections do not count as deaths.
"""


class Conversation(Protocol):
    """The replies to one request, in the order in which they were sent."""

    def next(self, timeout_s: float) -> Message:
        """Wait up to ``timeout_s`` for the next reply.

        Raises ReplyTimeout if none comes in time, Unroutable if no queue wanted the request,
        BrokerClosed if the broker or this conversation was closed.
        """

    def close(self) -> None:
        """Forget the request; later replies are dropped."""


class Broker(Protocol):
    """A connection that reconnects by itself.  Every method may be called from any thread."""

    @property
    def connected(self) -> bool:
        """True if the broker is connected and accepts messages."""

    @property
    def problem(self) -> str:
        """Why the program cannot use the broker, a sentence for operators; "" if it can."""

    def publish(self, message: Message, *, message_id: str | None = None) -> "Future[None]":
        """Send ``message`` to the subscribers of its routing key.

        The future is done when the broker has stored the message, after any number of reconnections.  It raises
        Unroutable if no queue is bound for a mandatory message (``topology.is_mandatory``), MessageRefused if the
        broker refuses it, BrokerClosed if the broker was closed first.  It cannot be cancelled; its callbacks must
        not block.  Raises ValueError if the message is too large or is a reply.
        """

    def consume(self, subscription: Subscription, handler: Handler) -> None:
        """Declare what ``subscription`` needs, and call ``handler`` with its messages from now on.

        Returns when the broker has confirmed the subscription, which is renewed at each reconnection.  Raises
        BrokerClosed if the broker is closed, or consuming stopped, before that.
        """

    def request(self, message: Message) -> Conversation:
        """Publish ``message``; the conversation has its replies."""

    def dead_letters(self) -> AbstractContextManager[DeadLetterSession]:
        """Hold the parked messages for one operator at a time, on a connection of its own.  Blocks.

        If the program dies in the block, all messages stay parked.  Raises BrokerAway, or DeadLettersBusy if another
        operator holds them for too long.
        """

    def stop_consuming(self, timeout_s: float) -> bool:
        """Start no more handlers; wait for those that run.  False if one still runs after ``timeout_s``."""

    def close(self) -> None:
        """Close the connection.  Unacknowledged messages are requeued."""
