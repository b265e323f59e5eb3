"""A message with its ids and headers, as every implementation of ``broker.Broker`` transports it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import uuid4

import msgspec

from dss_broker.codec import DECODE_ERRORS, encode
from dss_broker.messages import Message
from dss_broker.topology import DELIVERY_LIMIT
from dss_observability.tracing import TRACEPARENT, current_traceparent

ATTEMPT = "dss-attempt"
SENT_AT_MS = "dss-sent-at-ms"
PARKED_REASON = "dss-parked-reason"
PARKED_QUEUE = "dss-parked-queue"
PARKED_ATTEMPT = "dss-parked-attempt"
PARKED_PROGRAM = "dss-parked-program"
PARKED_INSTANCE = "dss-parked-instance"
PARKED_AT_MS = "dss-parked-at-ms"
PARKED_DELIVERIES = "dss-parked-deliveries"
SUSPECT = "dss-suspect"
"""Header of a retry.  It says that the message was redelivered before, and so may be a poison message."""
DELIVERY_COUNTS = ("x-acquired-count", "x-delivery-count")
"""RabbitMQ's headers for the number of earlier deliveries: ``x-acquired-count`` from RabbitMQ 4.3 on, before that
``x-delivery-count``.
"""

MAX_REASON_CHARS = 2000
"""Limit for the reason in a header: all headers of a message are sent in one AMQP frame, 128 kB by default."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message as it is sent.

    ``correlation_id`` is set in requests and replies, ``reply_to`` (the queue for the replies) only in requests.
    """

    type_name: str | None
    body: bytes
    message_id: str
    correlation_id: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)

    @property
    def attempt(self) -> int:
        """1 for the first attempt, one more for each delayed retry."""
        attempt = self.headers.get(ATTEMPT)
        return int(attempt) if isinstance(attempt, int) else 1

    @property
    def is_suspect(self) -> bool:
        """True for the copy, for a delayed retry, of a message that was redelivered before."""
        return bool(self.headers.get(SUSPECT))

    @property
    def traceparent(self) -> str | None:
        value = self.headers.get(TRACEPARENT)
        return value if isinstance(value, str) else None

    @property
    def age_s(self) -> float | None:
        """Seconds since the message was sent, at least 0: this machine's clock minus the sender's.

        None if it does not say when it was sent, as a copy (for a retry, or of a parked message).
        """
        sent_at_ms = self.headers.get(SENT_AT_MS)
        return max(0.0, time.time() - sent_at_ms / 1000) if isinstance(sent_at_ms, int) else None


def new_envelope(
    message: Message,
    *,
    message_id: str | None = None,
    correlation_id: str | None = None,
    reply_to: str | None = None,
) -> Envelope:
    """The envelope of a message that is sent now, with the time and the current trace in its headers.

    By default the message id is random.  Raises ValueError if ``message`` is too large, or has a value that JSON does
    not have, such as NaN.
    """
    type_name, body = encode(message)
    headers: dict[str, object] = {SENT_AT_MS: time.time_ns() // 1_000_000}
    if traceparent := current_traceparent.get():
        headers[TRACEPARENT] = traceparent
    return Envelope(
        type_name=type_name,
        body=body,
        message_id=message_id or uuid4().hex,
        correlation_id=correlation_id,
        reply_to=reply_to,
        headers=headers,
    )


class _Ids(msgspec.Struct):
    ticket_id: int | None = None
    claim_id: str | None = None


def ids(envelope: Envelope) -> dict[str, int | str]:
    """The ids of the ticket and of the claim that a message is about, for log lines, as ``ticket`` and ``claim``.

    An id that the message does not have is left out; {} for a malformed message.
    """
    try:
        found = msgspec.json.decode(envelope.body, type=_Ids)
    except DECODE_ERRORS:
        return {}
    facts = {"ticket": found.ticket_id, "claim": found.claim_id}
    return {name: value for name, value in facts.items() if value is not None}


def for_retry(envelope: Envelope, *, suspect: bool = False) -> Envelope:
    """A copy of the message for a retry, with its attempt increased by one, and without the time when it was sent.

    ``suspect``: the message was redelivered before, and so may be a poison message.
    """
    headers = _kept(envelope) | {ATTEMPT: envelope.attempt + 1}
    if suspect:
        headers[SUSPECT] = True
    if reason := parked_reason(envelope):
        headers[PARKED_REASON] = reason
    return replace(envelope, headers=headers)


def for_parking(
    envelope: Envelope, *, reason: str, queue: str, attempt: int, program: str, instance: str
) -> Envelope:
    """A copy of the message for the dead-letter queue, with the facts about its failure in its headers.

    ``reason`` is cut after MAX_REASON_CHARS.  Its attempts count from 1 again if an operator requeues it.
    """
    facts = {
        PARKED_REASON: reason[:MAX_REASON_CHARS],
        PARKED_QUEUE: queue,
        PARKED_ATTEMPT: attempt,
        PARKED_PROGRAM: program,
        PARKED_INSTANCE: instance,
        PARKED_AT_MS: time.time_ns() // 1_000_000,
        PARKED_DELIVERIES: deliveries(envelope),
    }
    return replace(envelope, headers=_kept(envelope) | facts)


def for_requeueing(envelope: Envelope) -> Envelope:
    """A parked message without the facts about its failure, as if it were sent for the first time."""
    return replace(envelope, headers=_kept(envelope))


def deliveries(envelope: Envelope) -> int:
    """How often the message was delivered from its present queue, including this delivery.

    A quorum queue counts the earlier deliveries in a header; other queues count none.
    """
    counts = (envelope.headers.get(name) for name in DELIVERY_COUNTS)
    return 1 + max((int(count) for count in counts if isinstance(count, int)), default=0)


def after_requeue(envelope: Envelope) -> Envelope:
    """The envelope as a quorum queue delivers it after a requeue: its count of deliveries is one higher."""
    counted = {DELIVERY_COUNTS[-1]: deliveries(envelope)}
    return replace(envelope, headers={**envelope.headers, **counted})


def parked_reason(envelope: Envelope) -> str | None:
    """Why a message was parked: the reason of a handler's failure, or the broker's delivery limit; None if its headers
    say neither.
    """
    reason = envelope.headers.get(PARKED_REASON)
    if isinstance(reason, str):
        return reason
    if "delivery_limit" in _death_reasons(envelope):
        return f"RabbitMQ took it back {DELIVERY_LIMIT + 1} times before it was done."
    return None


def _kept(envelope: Envelope) -> dict[str, object]:
    """The headers that a copy keeps: only the traceparent, because the others describe this attempt or its queue."""
    traceparent = envelope.traceparent
    return {TRACEPARENT: traceparent} if traceparent else {}


def _death_reasons(envelope: Envelope) -> list[object]:
    """The reasons for which RabbitMQ itself dead-lettered the message (its ``x-death`` header)."""
    deaths = envelope.headers.get("x-death")
    if not isinstance(deaths, list):
        return []
    return [death.get("reason") for death in deaths if isinstance(death, dict)]
