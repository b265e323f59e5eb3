"""Exchanges, queues and routing keys, as data.  Whoever consumes a queue declares it.

Everything durable is a quorum queue with a delivery limit and a dead-letter exchange, but for the marks of
``death_queue``, and is valid on RabbitMQ 3.10 to 4.x alike.
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
"""Topic exchange for replies, by the name of the requester's queue.  RabbitMQ's default exchange would do,
but leads to every queue, so that whoever may answer could also tell the portal what he likes."""

DEAD_EXCHANGE = "dss.dead"
"""Fanout exchange that takes messages which nobody could handle (parked messages)."""

DEAD_QUEUE = "dss.dead"
"""Where parked messages wait for an operator."""

RETRY_DELAYS_S = (1, 5, 30, 120)
"""Waiting times before the second, third, ... try of a message whose handler said "try again later"."""

DEATH_EXCHANGE = "dss.deaths"
"""Topic exchange for the marks that programs leave before they begin with a message that has come again."""

DEATH_LIMIT = 4
"""Programs that may die of a message that had come again; it is parked instead of killing the next.

The one that got it first leaves no mark, so a message that kills everyone is parked after five deaths.
"""

DELIVERY_LIMIT = 10_000
"""Times that RabbitMQ may take a message back before it parks it by itself, whatever the reason.

The last resort only: RabbitMQ counts orderly stops and lost connections, too.  A connection that is lost
every two seconds reaches it after five hours.
"""

ORDERED_THREADS = 4
"""So many tickets' events are handled at a time: a program that also answers users takes turns at each step."""

REPLY_QUEUE_EXPIRY_S = 3600
"""A reply queue whose program has not come back for so long is removed by the broker."""


LONGEST_WORD = 237
"""Bytes of a service's or bundle's word: AMQP writes no routing key, queue name or consumer tag of more than
255 bytes, and the longest prefix is ``service.announced.``."""

LONGEST_INSTANCE = 200
"""Likewise of an instance's word, which stands behind longer prefixes."""

_READABLE_CHARS, _HASH_DIGITS = 60, 32


class Sharing(StrEnum):
    """How the consumers of one subscription share its messages."""

    WORK = "work"  # each message to one of them
    ORDERED = "ordered"  # all to one of them, each ticket's in order; another follows when it dies
    EVERYONE = "everyone"  # each message to every process; none is kept while a process is away


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """``queue`` receives the messages of ``exchange`` whose routing key matches one of ``keys``.

    At most ``prefetch`` messages are in hand at a time, handled by ``threads``.
    """

    queue: str
    keys: tuple[str, ...]
    sharing: Sharing = Sharing.WORK
    prefetch: int = 1
    exchange: str = EXCHANGE

    @property
    def threads(self) -> int:
        """One for each message in hand; ORDERED, few: most of what is in hand waits for its turn."""
        return (
            min(self.prefetch, ORDERED_THREADS)
            if self.sharing is Sharing.ORDERED
            else self.prefetch
        )


def word(name: str, longest: int = LONGEST_WORD) -> str:
    """``name`` as one word of a routing key or queue name: readable, and different names stay different.

    A name whose word would be empty, or longer than ``longest`` bytes, has a word that ends with ``+`` and
    a hash of the name.  No other word has a ``+``.
    """
    encoded = quote(name, safe="", errors="surrogatepass").replace(".", "%2E")
    if 0 < len(encoded) <= longest:
        return encoded
    digits = sha256(encoded.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{encoded[:_READABLE_CHARS]}+{digits}"


def retry_exchange(delay_s: float) -> str:
    """Name of the exchange, and of its queue, whose messages come back after ``delay_s``."""
    return f"dss.retry.{round(delay_s * 1000)}ms"


def dispatch(service: str, prefetch: int = 1) -> Subscription:
    """The tickets of one service, shared by its dispatchers."""
    key = word(service)
    return Subscription(
        queue=f"dss.dispatch.{key}", keys=(f"ticket.ready.{key}",), prefetch=prefetch
    )


def withdrawn(program: str) -> Subscription:
    """Every withdrawal, to every process of ``program`` (``dispatch`` or ``inference``)."""
    return Subscription(
        queue=f"dss.{program}.withdrawn", keys=("ticket.withdrawn.*",), sharing=Sharing.EVERYONE
    )


def workers(program: str, bundle: str) -> Subscription:
    """Every sign of life of a bundle's workers, to every process of ``program``."""
    return Subscription(
        queue=f"dss.{program}.workers",
        keys=(f"worker.announced.{word(bundle)}",),
        sharing=Sharing.EVERYONE,
    )


def inference(bundle: str, prefetch: int = 1) -> Subscription:
    """The requests for one bundle, shared by its workers."""
    key = word(bundle)
    return Subscription(
        queue=f"dss.inference.{key}", keys=(f"inference.run.{key}",), prefetch=prefetch
    )


PORTAL_CLAIMS = Subscription(queue="dss.portal.claims", keys=("claim.requested.*",), prefetch=8)
"""Who may work on which ticket: asked by dispatchers, answered by any portal."""

PORTAL_EVENTS = Subscription(
    queue="dss.portal.events",
    keys=("claim.event.*", "service.announced.*", "worker.announced.*"),
    sharing=Sharing.ORDERED,
    prefetch=64,
)
"""What happens to claimed tickets, for each in order, to one portal at a time."""

PORTAL_PARKED = Subscription(
    queue="dss.portal.parked", keys=("#",), prefetch=4, exchange=DEAD_EXCHANGE
)
"""A copy of every parked message, so that its ticket can be told.  Never parked a second time."""


RESULT_CHECKS = Subscription(queue="dss.check", keys=("results.check",))
"""What providers over HTTP returned: asked by portals, judged by any program of the dispatchers."""


def death_queue(queue: str, message_id: str, kind: str) -> str:
    """Where the marks of one message lie; ``kind`` is "begun" or "ended".

    Named after the part of the system that ``queue`` belongs to, as its users' rights are, and short
    whatever the names within are.
    """
    part = queue.split(".")[1]
    of_message = sha256(f"{queue} {message_id}".encode()).hexdigest()[:32]
    return f"{DEATH_EXCHANGE}.{part}.{of_message}.{kind}"


def reply_queue(program: str, instance: str, process: str) -> str:
    """Where the answers to one process's requests wait for it; no other ``process`` may read them there."""
    return f"dss.replies.{word(program)}.{word(instance, LONGEST_INSTANCE)}.{process}"


def own_queue(queue: str, program: str, instance: str) -> str:
    """The queue of one process of an EVERYONE subscription, as far as its name is the same each time."""
    return f"{queue}.{word(program)}.{word(instance, LONGEST_INSTANCE)}"


def is_mandatory(message: m.Message) -> bool:
    """False if it is no error that nobody listens to ``message``, because nobody works on it."""
    return not isinstance(message, m.TicketWithdrawn)


def routing_key(message: m.Message) -> str:
    """The key under which ``message`` is published.  Replies have none: they go to their requester."""
    match message:
        case m.TicketReady():
            return f"ticket.ready.{word(message.service)}"
        case m.TicketWithdrawn():
            return f"ticket.withdrawn.{word(message.service)}"
        case m.ClaimTicket():
            return f"claim.requested.{word(message.service)}"
        case (
            m.ClaimProgressed()
            | m.ClaimLogged()
            | m.ClaimHeartbeat()
            | m.ClaimSucceeded()
            | m.ClaimFailed()
            | m.LeaseOverdue()
        ):
            return f"claim.event.{type(message).__name__}"
        case m.CheckResults():
            return "results.check"
        case m.RunInference():
            return f"inference.run.{word(message.bundle)}"
        case m.ServiceAnnounced():
            return f"service.announced.{word(message.service)}"
        case m.WorkerAnnounced():
            return f"worker.announced.{word(message.bundle)}"
        case (
            m.ClaimGranted()
            | m.ClaimRefused()
            | m.ResultsAccepted()
            | m.ResultsRefused()
            | m.InferenceProgressed()
            | m.InferenceFinished()
            | m.InferenceFailed()
        ):
            raise ValueError(f"{type(message).__name__} is a reply and has no routing key")
        case _:
            assert_never(message)
