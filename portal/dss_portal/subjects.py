"""Reads from a message the number of the ticket and the id of the claim that it is about, without a query."""

from typing import Protocol, runtime_checkable

from dss_broker.messages import Message


@runtime_checkable
class _AboutTicket(Protocol):
    ticket_id: int


@runtime_checkable
class _AboutClaim(Protocol):
    claim_id: str


def ticket_of(message: Message) -> int | None:
    """The ticket's number; None for a message that is not about one ticket."""
    return message.ticket_id if isinstance(message, _AboutTicket) else None


def claim_of(message: Message) -> str | None:
    """The claim's id; None for a message that is not about one claim."""
    return message.claim_id if isinstance(message, _AboutClaim) else None
