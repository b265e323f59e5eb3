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
        """True if a consumer, perhaps this one, may have had the message before; always for a retry."""

    @property
    def attempt(self) -> int:
        """Number of the attempt: 1 for the first one, one more for each retry after TryAgainLater."""

    @property
    def deliveries(self) -> int:
        """A number that increases with each redelivery and retry of the message.

        Of two deliveries of one message, the one with the higher number is the later.
        """

    @property
    def age_s(self) -> float | None:
        """Seconds since the message was sent, at least 0; None if the message does not say when it was sent, as the
        copy of a message for a retry or of a parked message.

        It is this machine's clock minus the sender's, so it is wrong if the clocks differ.
        """

    @property
    def parked_reason(self) -> str | None:
        """Why the message was parked, if it is the copy in PORTAL_PARKED of a parked message; otherwise None."""

    def reply(self, message: Message) -> "Future[None]":
        """Answer the requester; the future is done when the broker has stored the reply.

        A reply to a process that has ended is dropped without an error.  Raises ValueError if the message is no
        request.
        """


Handler: TypeAlias = Callable[[Delivery], None]
"""A function that handles the deliveries of a subscription.  It is called in a thread of the subscription, not on the
I/O thread.

If it returns, the message is acknowledged.  If it raises TryAgainLater, the message is retried after a delay, a bounded
number of times, and is then parked in ``dss.dead``.  (With the sharing ORDERED or EVERYONE, the thread waits for the
delay, so that later messages of the ticket are handled after this one.)  If it raises ReturnToQueue, which only a
stopping program may do, the message is requeued when the subscription has stopped.  If it raises another Exception, the
message is parked at once, with the reason.  Messages of PORTAL_PARKED are never parked.

Delivery is at least once: a handler may run twice for one message, and must be idempotent.  If five programs have died
while they handled a message, it is parked; orderly stops and lost connections do not count as deaths.
"""


class Conversation(Protocol):
    """The replies to one request, in the order in which they were sent."""

    def next(self, timeout_s: float) -> Message:
        """Wait up to ``timeout_s`` for the next reply.

        Raises ReplyTimeout if no reply comes in time; Unroutable if no queue is bound for the request; MessageRefused
        if the broker refused the request; BrokerClosed if the broker or this conversation was closed.
        """

    def close(self) -> None:
        """Forget the request; later replies are dropped."""


class Broker(Protocol):
    """A program's connection to the broker, which reconnects by itself.  Methods may be called from any thread."""

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
        broker refuses it, BrokerClosed if the broker was closed first.  The future cannot be cancelled; its callbacks
        must not block.  Raises ValueError if the message is too large or is a reply.
        """

    def consume(self, subscription: Subscription, handler: Handler) -> None:
        """Declare what ``subscription`` needs, and call ``handler`` with its messages from now on.

        Returns when the broker has confirmed the subscription, which is renewed at each reconnection.  Raises
        BrokerClosed if the broker is closed, or consuming stopped, before that.
        """

    def request(self, message: Message) -> Conversation:
        """Publish ``message`` as a request, and return the conversation that receives its replies.

        Raises ValueError if the message is too large or is a reply.
        """

    def dead_letters(self) -> AbstractContextManager[DeadLetterSession]:
        """A context in which the caller alone can requeue or discard the parked messages.

        It blocks, and uses a connection of its own.  If the program dies in the context, the messages stay parked.
        Raises BrokerAway, or DeadLettersBusy if another operator holds the messages for too long.
        """

    def stop_consuming(self, timeout_s: float) -> bool:
        """Start no more handlers, of any subscription, and wait for the running ones.  False if a handler still runs
        after ``timeout_s``.  Publishing goes on.
        """

    def close(self) -> None:
        """Close the connection.  Unacknowledged messages are requeued; the futures of messages that the broker has not
        stored raise BrokerClosed.
        """
