"""The state machine of a ticket: the events, and what state each leads to.  It decides every change of state, without
input or output.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from dss_portal.models import Status

OPEN = frozenset({Status.INIT, Status.READY, Status.CLAIMED})
FINISHED = frozenset({Status.SUCCESS, Status.FAILED, Status.TIMEOUT})


@dataclass(frozen=True, kw_only=True)
class TicketState:
    """The part of a ticket that decides about changes of state.  ``attempt`` counts from 1.  ``claim_id`` is the
    current claim or, if no claim is current, the last one; None if there was none since the ticket was submitted or
    retried.
    """

    status: Status
    attempt: int = 1
    claim_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The user has uploaded all files and submitted the ticket."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A dispatcher or an external provider has been granted the claim ``claim_id``."""

    claim_id: str


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The holder of the claim has delivered the results."""

    claim_id: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The holder of the claim has reported that it cannot process the ticket, and why."""

    claim_id: str


@dataclass(frozen=True, kw_only=True)
class LeaseLapsed:
    """The lease of the claim has expired.  The ticket is queued again or, after ``max_attempts`` attempts, times out."""

    claim_id: str
    max_attempts: int


@dataclass(frozen=True, kw_only=True)
class RunOverdue:
    """The attempt has taken longer than a run may take.  The ticket is queued again or, after ``max_attempts``
    attempts, times out.
    """

    claim_id: str
    max_attempts: int


@dataclass(frozen=True, kw_only=True)
class StageOverdue:
    """The ticket has been in ``stage`` (``init`` or ``ready``) for too long, so it times out."""

    stage: Status


@dataclass(frozen=True, kw_only=True)
class Abandoned:
    """A message from or to the holder of the claim was moved to the dead letters, so the ticket fails."""

    claim_id: str


@dataclass(frozen=True, kw_only=True)
class HolderRemoved:
    """The holder of the claim has lost the right to serve the service.  The ticket is queued again, and the attempt
    does not count.
    """

    claim_id: str


@dataclass(frozen=True, kw_only=True)
class Retried:
    """The user or an operator wants to restart a ticket that failed or timed out."""


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """A sysadmin submits a ticket, or restarts one that has neither succeeded nor been deleted, even if it is claimed."""


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """The user or an admin has deleted the ticket."""


Event: TypeAlias = (
    Submitted
    | Claimed
    | Succeeded
    | Failed
    | LeaseLapsed
    | RunOverdue
    | StageOverdue
    | Abandoned
    | HolderRemoved
    | Retried
    | Requeued
    | Deleted
)


class IllegalAction(Exception):
    """A user's action is not allowed in the ticket's state."""


def apply(ticket: TicketState, event: Event) -> TicketState:
    """The state of the ticket after ``event``.  If the event changes nothing, ``ticket`` itself is returned, so the
    caller has nothing to save.

    Raises IllegalAction for a user's action (Submitted, Retried, Requeued) that is not allowed in the state.  Any other
    event that does not fit the state, such as one of a claim that is no longer current, changes nothing.
    """
    match event:
        case Submitted():
            return _submitted(ticket)
        case Claimed():
            return _claimed(ticket, event)
        case Succeeded():
            return _ended(ticket, event.claim_id, Status.SUCCESS)
        case Failed() | Abandoned():
            return _ended(ticket, event.claim_id, Status.FAILED)
        case LeaseLapsed() | RunOverdue():
            return _attempt_over(ticket, event)
        case HolderRemoved():
            return _given_back(ticket, event)
        case StageOverdue():
            return _given_up(ticket, event)
        case Retried():
            return _retried(ticket)
        case Requeued():
            return _requeued(ticket)
        case Deleted():
            return _deleted(ticket)
        case _:
            assert_never(event)


def is_current(ticket: TicketState, claim_id: str) -> bool:
    """True if ``claim_id`` is the ticket's current claim; only its holder may write to the ticket."""
    return ticket.status is Status.CLAIMED and ticket.claim_id == claim_id


def _submitted(ticket: TicketState) -> TicketState:
    if ticket.status is not Status.INIT:
        raise IllegalAction(f"A ticket in state {ticket.status} cannot be submitted.")
    return replace(ticket, status=Status.READY)


def _retried(ticket: TicketState) -> TicketState:
    if ticket.status not in {Status.FAILED, Status.TIMEOUT}:
        raise IllegalAction(f"A ticket in state {ticket.status} cannot be retried.")
    return TicketState(status=Status.READY)


def _deleted(ticket: TicketState) -> TicketState:
    """The ticket after a deletion.  Idempotent, because a client that lost the response repeats the request."""
    return ticket if ticket.status is Status.DELETED else replace(ticket, status=Status.DELETED)


def claim_to_withdraw(before: TicketState, after: TicketState, event: Event) -> str | None:
    """The id of the claim that ``event`` has ended, if its holder must be told to stop; otherwise None.

    None if no claim was current, or if the holder itself has ended it.  Also None for a deletion, because then
    TicketWithdrawn is published for the ticket as a whole.
    """
    ended_by_holder = isinstance(event, Succeeded | Failed)
    if before.status is not Status.CLAIMED or ended_by_holder or after.status is Status.DELETED:
        return None
    return before.claim_id


def _requeued(ticket: TicketState) -> TicketState:
    if ticket.status in {Status.SUCCESS, Status.DELETED}:
        raise IllegalAction(f"A ticket in state {ticket.status} does not change any more.")
    return TicketState(status=Status.READY)


def _claimed(ticket: TicketState, event: Claimed) -> TicketState:
    # A claimed ticket may get a new claim, because the caller has checked that the old holder has lost its message.
    if ticket.status not in {Status.READY, Status.CLAIMED}:
        return ticket
    return replace(ticket, status=Status.CLAIMED, claim_id=event.claim_id)


def _ended(ticket: TicketState, claim_id: str, status: Status) -> TicketState:
    return replace(ticket, status=status) if is_current(ticket, claim_id) else ticket


def _given_up(ticket: TicketState, event: StageOverdue) -> TicketState:
    if ticket.status is not event.stage or event.stage not in {Status.INIT, Status.READY}:
        return ticket
    return replace(ticket, status=Status.TIMEOUT)


def _given_back(ticket: TicketState, event: HolderRemoved) -> TicketState:
    return replace(ticket, status=Status.READY) if is_current(ticket, event.claim_id) else ticket


def _attempt_over(ticket: TicketState, event: LeaseLapsed | RunOverdue) -> TicketState:
    if not is_current(ticket, event.claim_id):
        return ticket
    if ticket.attempt >= event.max_attempts:
        return replace(ticket, status=Status.TIMEOUT)
    return replace(ticket, status=Status.READY, attempt=ticket.attempt + 1)
