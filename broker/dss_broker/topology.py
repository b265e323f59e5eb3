"""The names of exchanges, queues and routing keys, and the subscriptions of all programs, as data.

The consumer of a queue declares it.  Every durable queue is a quorum queue, except those of ``reply_queue`` and
``death_queue``.  The queue of a subscription has a delivery limit and, unless it gets parked messages, a dead-letter
exchange.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import assert_never
from urllib.parse import quote

from dss_broker import messages as m

EXCHANGE = "dss.tickets"
"""Topic exchange for every message that is not a reply."""

REPLY_EXCHANGE = "dss.replies"
"""Topic exchange for replies; the routing key is the name of the requester's reply queue.  RabbitMQ's default exchange
is not used, because a user who may publish to it may publish to every queue."""

DEAD_EXCHANGE = "dss.dead"
"""Fanout exchange for messages that could not be handled (parked messages)."""

DEAD_QUEUE = "dss.dead"
"""Queue in which parked messages wait for an operator."""

RETRY_DELAYS_S = (1, 5, 30, 120)
"""Delays in seconds before the second, third, ... attempt of a message whose handler raised TryAgainLater."""

DEATH_EXCHANGE = "dss.deaths"
"""Topic exchange for the marks that programs leave before they handle a redelivered message (``rabbit.marks``)."""

DEATH_LIMIT = 4
"""A redelivered message is parked when this number of programs have died while they handled it.

The first delivery leaves no mark, so a message that kills every program is parked after five deaths.
"""

DELIVERY_LIMIT = 10_000
"""Number of requeues of a message, for any reason, after which RabbitMQ itself dead-letters it.

A last resort, since RabbitMQ counts orderly stops and lost connections as well: a connection that is lost every two
seconds reaches the limit after five hours.
"""

ORDERED_THREADS = 4
"""Most threads of an ORDERED subscription.  There are few, because the portal must also answer its users meanwhile."""

REPLY_QUEUE_EXPIRY_S = 3600
"""Seconds after which RabbitMQ deletes a reply queue without a consumer."""


LONGEST_WORD = 237
"""Most bytes of the word (see ``word``) for a service or bundle: AMQP allows 255 for a routing key, queue name or
consumer tag, and the longest text before the word is ``service.announced.``."""

LONGEST_INSTANCE = 200
"""Most bytes of the word for an instance.  They are fewer, because longer texts stand before it in names of queues."""

_READABLE_CHARS, _HASH_DIGITS = 60, 32


class Sharing(StrEnum):
    """How the consumers of one subscription share its messages.

    WORK: each message goes to one of them.  ORDERED: all messages go to one of them, and after its death to another;
    those of each ticket are handled in order.  EVERYONE: each message goes to every process that runs.
    """

    WORK = "work"
    ORDERED = "ordered"
    EVERYONE = "everyone"


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A queue and its consumers: ``queue`` receives the messages of ``exchange`` whose routing key matches one of
    ``keys``.

    In each process, at most ``prefetch`` messages are unacknowledged at a time, and ``threads`` threads handle them.
    """

    queue: str
    keys: tuple[str, ...]
    sharing: Sharing = Sharing.WORK
    prefetch: int = 1
    exchange: str = EXCHANGE

    @property
    def threads(self) -> int:
        """Number of threads that handle messages: ``prefetch``.  For ORDERED at most ORDERED_THREADS, because most
        messages wait for an earlier message of their ticket.
        """
        return (
            min(self.prefetch, ORDERED_THREADS)
            if self.sharing is Sharing.ORDERED
            else self.prefetch
        )


def word(name: str, longest: int = LONGEST_WORD) -> str:
    """``name`` as one word of a routing key or queue name.  Different names have different words.

    A name whose word would be empty, or longer than ``longest`` bytes, has a word that ends with ``+`` and
    a hash of the name.  No other word has a ``+``.
    """
    encoded = quote(name, safe="", errors="surrogatepass").replace(".", "%2E")
    if 0 < len(encoded) <= longest:
        return encoded
    digits = sha256(encoded.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{encoded[:_READABLE_CHARS]}+{digits}"


def retry_exchange(delay_s: float) -> str:
    """Name of the exchange, and of its queue, in which a message waits ``delay_s`` for its next attempt."""
    return f"dss.retry.{round(delay_s * 1000)}ms"


def dispatch(service: str, prefetch: int = 1) -> Subscription:
    """The subscription to the ready tickets of one service; each ticket goes to one of its dispatchers."""
    key = word(service)
    return Subscription(
        queue=f"dss.dispatch.{key}", keys=(f"ticket.ready.{key}",), prefetch=prefetch
    )


def withdrawn(program: str) -> Subscription:
    """The subscription of every process of ``program`` (``dispatch`` or ``inference``) to every TicketWithdrawn."""
    return Subscription(
        queue=f"dss.{program}.withdrawn", keys=("ticket.withdrawn.*",), sharing=Sharing.EVERYONE
    )


def workers(program: str, bundle: str) -> Subscription:
    """The subscription of every process of ``program`` to every WorkerAnnounced for ``bundle``."""
    return Subscription(
        queue=f"dss.{program}.workers",
        keys=(f"worker.announced.{word(bundle)}",),
        sharing=Sharing.EVERYONE,
    )


def inference(bundle: str, prefetch: int = 1) -> Subscription:
    """The subscription to the requests for inference with one bundle; each request goes to one of its workers."""
    key = word(bundle)
    return Subscription(
        queue=f"dss.inference.{key}", keys=(f"inference.run.{key}",), prefetch=prefetch
    )


PORTAL_CLAIMS = Subscription(queue="dss.portal.claims", keys=("claim.requested.*",), prefetch=8)
"""Requests of dispatchers to claim a ticket.  Each goes to one of the portals, which answers it."""

PORTAL_EVENTS = Subscription(
    queue="dss.portal.events",
    keys=(
        "claim.event.*",
        "service.announced.*",
        "worker.announced.*",
        "upload.event.*",
        "reader.announced",
    ),
    sharing=Sharing.ORDERED,
    prefetch=64,
)
"""Events of tickets, in order for each ticket, and announcements of programs.  One portal at a time gets them all."""

PORTAL_PARKED = Subscription(
    queue="dss.portal.parked", keys=("#",), prefetch=4, exchange=DEAD_EXCHANGE
)
"""A copy of every parked message, so that the portal can tell it in the ticket's log.  The copy is never parked."""


RESULT_CHECKS = Subscription(queue="dss.check", keys=("results.check",))
"""Requests of portals to check the results of a provider over HTTP.  Each goes to one dispatcher, of any service."""


UPLOADS = Subscription(queue="dss.uploads", keys=("upload.read",))
"""Requests of portals to read the images that a browser has uploaded.  Each goes to one dispatcher, of any service."""


def death_queue(queue: str, message_id: str, kind: str) -> str:
    """Name of the queue of marks (``rabbit.marks``) for one message of ``queue``; ``kind`` is "begun" or "ended".

    It contains a hash of the message and the second word of ``queue``, such as ``portal``: the patterns of
    ``rights`` give each RabbitMQ user access by that word.
    """
    part = queue.split(".")[1]
    of_message = sha256(f"{queue} {message_id}".encode()).hexdigest()[:32]
    return f"{DEATH_EXCHANGE}.{part}.{of_message}.{kind}"


def reply_queue(program: str, instance: str, process: str) -> str:
    """Name of the reply queue of one process; ``process`` is unique for each start of the program."""
    return f"dss.replies.{word(program)}.{word(instance, LONGEST_INSTANCE)}.{process}"


def own_queue(queue: str, program: str, instance: str) -> str:
    """First part of the name of a process's queue for an EVERYONE subscription.  The caller adds a random part, which
    is new for each channel that consumes the queue.
    """
    return f"{queue}.{word(program)}.{word(instance, LONGEST_INSTANCE)}"


def is_mandatory(message: m.Message) -> bool:
    """True if a message that reaches no queue is an error.  False for TicketWithdrawn: perhaps no program works on the
    ticket.
    """
    return not isinstance(message, m.TicketWithdrawn)


def routing_key(message: m.Message) -> str:  # noqa: PLR0912 - a branch for each message
    """The routing key of ``message``.  Raises ValueError for a reply, whose key is the requester's queue."""
    if isinstance(message, m.Reply):
        raise ValueError(  # noqa: TRY004 - a reply is a valid message, but has no key
            f"{type(message).__name__} is a reply and has no routing key"
        )
    if isinstance(message, m.ClaimEvent | m.LeaseOverdue):
        return f"claim.event.{type(message).__name__}"
    match message:
        case m.TicketReady():
            return f"ticket.ready.{word(message.service)}"
        case m.TicketWithdrawn():
            return f"ticket.withdrawn.{word(message.service)}"
        case m.ClaimTicket():
            return f"claim.requested.{word(message.service)}"
        case m.CheckResults():
            return "results.check"
        case m.ReadUpload():
            return "upload.read"
        case m.UploadRead() | m.UploadRefused():
            return f"upload.event.{type(message).__name__}"
        case m.ReaderAnnounced():
            return "reader.announced"
        case m.RunInference():
            return f"inference.run.{word(message.bundle)}"
        case m.ServiceAnnounced():
            return f"service.announced.{word(message.service)}"
        case m.WorkerAnnounced():
            return f"worker.announced.{word(message.bundle)}"
        case _:
            assert_never(message)
