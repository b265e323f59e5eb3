"""Dead letters: parked messages, which an operator lists, requeues or discards."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import msgspec

from dss_broker import envelope as e
from dss_broker.codec import DECODE_ERRORS
from dss_broker.envelope import Envelope, parked_reason
from dss_broker.topology import DELIVERY_LIMIT

T = TypeVar("T", int, str)

NO_REASON = "No reason is known."

MAX_TIMESTAMP_MS = 253_402_300_800_000
"""End of the year 9999, the last that ``datetime`` supports, in milliseconds since 1970."""

MAX_LETTERS = 1000
"""Most letters that one session holds."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A parked message and the facts about its failure.

    ``queue`` is the queue that the message came from ("" if unknown); ``program`` and ``instance`` name the process
    that parked it ("" if RabbitMQ did); ``attempt`` is the number of attempts, ``deliveries`` the number of deliveries
    in the last attempt; ``parked_at`` is in UTC, None if unknown.  ``ticket_id`` is read from the body even if other
    fields of the body are malformed.
    """

    id: str
    type_name: str
    ticket_id: int | None
    claim_id: str | None
    reason: str
    queue: str
    program: str
    instance: str
    attempt: int
    deliveries: int
    parked_at: datetime | None
    traceparent: str | None
    envelope: Envelope


class DeadLetterSession(Protocol):
    """The dead letters while one operator holds them.  Those that are neither requeued nor discarded stay parked."""

    @property
    def letters(self) -> list[DeadLetter]:
        """The letters that the session held at its beginning, at most MAX_LETTERS, the oldest first."""

    def requeue(self, letter: DeadLetter) -> None:
        """Send the letter to the queue that it came from, as if for the first time, and delete it here.

        Raises Unroutable if that queue does not exist, MessageRefused if the broker refuses the message, BrokerAway if
        it does not answer; then the letter stays parked.
        """

    def discard(self, letter: DeadLetter) -> None:
        """Delete the letter for ever."""


def dead_letter(envelope: Envelope) -> DeadLetter:
    """Read the headers and the body of a parked message.  Does not raise; facts that are missing get defaults."""
    body = _body(envelope)
    death = _death(envelope)
    headers = envelope.headers
    return DeadLetter(
        id=envelope.message_id,
        type_name=envelope.type_name or "",
        ticket_id=_ticket_id(body),
        claim_id=_of(body.get("claim_id"), str),
        reason=parked_reason(envelope) or NO_REASON,
        queue=_of(headers.get(e.PARKED_QUEUE), str) or _of(death.get("queue"), str) or "",
        program=_of(headers.get(e.PARKED_PROGRAM), str) or "",
        instance=_of(headers.get(e.PARKED_INSTANCE), str) or "",
        attempt=_of(headers.get(e.PARKED_ATTEMPT), int) or envelope.attempt,
        deliveries=_of(headers.get(e.PARKED_DELIVERIES), int) or DELIVERY_LIMIT + 1,
        parked_at=_parked_at(envelope, death),
        traceparent=envelope.traceparent,
        envelope=envelope,
    )


def content_id(body: bytes) -> str:
    """An id computed from the body of a message that has no id.  It is the same for each delivery."""
    return sha256(body).hexdigest()[:32]


def _ticket_id(body: dict[str, Any]) -> int | None:
    """The field ``ticket_id`` of a message; None if it is missing or cannot be the number of a ticket."""
    number = _of(body.get("ticket_id"), int)
    return number if number is not None and 0 < number < 2**31 else None


def _body(envelope: Envelope) -> dict[str, Any]:
    try:
        return msgspec.json.decode(envelope.body, type=dict[str, Any])
    except DECODE_ERRORS:
        return {}


def _death(envelope: Envelope) -> dict[str, object]:
    """The newest entry of RabbitMQ's ``x-death`` header; {} without one."""
    deaths = envelope.headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else {}
    return newest if isinstance(newest, dict) else {}


def _parked_at(envelope: Envelope, death: dict[str, object]) -> datetime | None:
    at_ms = envelope.headers.get(e.PARKED_AT_MS)
    if isinstance(at_ms, int) and 0 <= at_ms < MAX_TIMESTAMP_MS:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    at = death.get("time")  # RabbitMQ writes UTC and does not say so
    return at.replace(tzinfo=UTC) if isinstance(at, datetime) else None


def _of(value: object, kind: type[T]) -> T | None:
    return (
        kind(value) if isinstance(value, kind) else None
    )  # pika's integers are of a class of its own
