"""What a program may ask of a broker.  Kept by ``rabbit.RabbitBroker`` and ``memory.MemoryBroker`` alike."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from dss_broker.dead_letters import DeadLetterSession
from dss_broker.messages import Message
from dss_broker.topology import Subscription


class Delivery(Protocol):
    """A message in hand, acknowledged when its handler returns."""

    @property
    def message(self) -> Message: ...

    @property
    def message_id(self) -> str:
        """The sender's id of the message: the same for every redelivery and retry."""

    @property
    def redelivered(self) -> bool:
        """True if somebody may have had this message before."""

    @property
    def attempt(self) -> int:
        """1 for the first try, one more for each delayed retry."""

    @property
    def deliveries(self) -> int:
        """Grows with every redelivery and retry of the message: of two hands, whose is the later."""

    @property
    def age_s(self) -> float | None:
        """Since it was sent, by two machines' clocks; None for a retry, whose sending is forgotten."""

    @property
    def parked_reason(self) -> str | None:
        """Why nobody could handle the message, if it comes from PORTAL_PARKED; otherwise None."""

    def reply(self, message: Message) -> "Future[None]":
        """Answer the requester; the future is done once the broker has the reply.

        A requester that is gone gets nothing, which is no error.  Raises ValueError if nobody asked.
        """


Handler: TypeAlias = Callable[[Delivery], None]
"""Called in a thread of its own subscription, never on the I/O thread.

Returns: the message is acknowledged.  Raises TryAgainLater: it comes back after a delay, a bounded
number of times, and is then parked in ``dss.dead``.  (ORDERED and EVERYONE wait the delay in place:
later messages of the ticket wait too, so the order holds.)  Raises ReturnToQueue, which only a stopping program may: it
goes back when the broker is closed.  Raises anything else: it is parked at once, with the reason.  A
handler may run twice for one message.  A message of which five programs died is parked, too; stops and
lost connections do not count.
"""


class Conversation(Protocol):
    """The replies to one request, in the order they were sent."""

    def next(self, timeout_s: float) -> Message:
        """The next reply, waiting up to ``timeout_s`` for it.

        Raises ReplyTimeout if none comes in time, Unroutable if no queue wanted the request,
        BrokerClosed if the broker or this conversation was closed.
        """

    def close(self) -> None:
        """Forget the request; later replies are dropped."""


class Broker(Protocol):
    """A connection that mends itself.  Every method may be called from any thread."""

    @property
    def connected(self) -> bool:
        """True if the broker is there and takes messages."""

    @property
    def problem(self) -> str:
        """What keeps the program from the broker, a sentence for operators; "" if nothing does."""

    def publish(self, message: Message, *, message_id: str | None = None) -> "Future[None]":
        """Send ``message`` to whoever subscribes to its routing key.

        The future is done once the broker has stored it, however many reconnections that takes; it
        raises Unroutable if no queue wants the message (``topology.is_mandatory``), MessageRefused if
        the broker never takes it, BrokerClosed if the broker was closed first.  It cannot be cancelled; its callbacks must not block.
        Raises ValueError if the message is too large or is a reply.
        """

    def consume(self, subscription: Subscription, handler: Handler) -> None:
        """Declare what ``subscription`` needs and hand its messages to ``handler`` from now on.

        Returns when the broker has confirmed the subscription; it is renewed at each reconnection.
        Raises BrokerClosed if the broker is closed, or consuming stopped, before that.
        """

    def request(self, message: Message) -> Conversation:
        """Publish ``message`` with a way to answer it."""

    def dead_letters(self) -> AbstractContextManager[DeadLetterSession]:
        """Take what was parked in hand, one operator at a time; blocks, and uses a connection of its own.

        Nothing is lost if the program dies within.  Raises BrokerAway, or DeadLettersBusy if another
        operator does not finish soon.
        """

    def stop_consuming(self, timeout_s: float) -> bool:
        """Take no new messages; wait for the handlers in progress.  False if some still run."""

    def close(self) -> None:
        """Close the connection.  Unacknowledged messages go back to their queues."""
