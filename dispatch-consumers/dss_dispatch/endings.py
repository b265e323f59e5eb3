"""Decides what becomes of a claim whose processing raised an error: it fails, is retried later, or just ends."""

import logging

from dss_broker.broker import Delivery
from dss_broker.errors import BrokerClosed, TryAgainLater
from dss_broker.messages import ClaimGranted
from dss_broker.topology import RETRY_DELAYS_S
from dss_datastore.access import SharedDatastore, WorkEnded
from dss_datastore.volume import is_away
from dss_dispatch.claim_events import ClaimEvents
from dss_dispatch.errors import NoInference, ResultRefused, TicketError, Withdrawn
from dss_dispatch.result.files import is_full

log = logging.getLogger(__name__)

NO_ROOM = "The service has no room on its disk."


HANDLED = (ResultRefused, TicketError, Withdrawn, NoInference, TryAgainLater, BrokerClosed)
UNEXPECTED = "unexpected"
OUTCOMES = (UNEXPECTED, *(kind.__name__ for kind in HANDLED))
"""Values of the metric's label ``outcome`` for claims without success."""


def outcome_of(error: Exception, datastore: SharedDatastore) -> str:
    """The metric's label for a claim that ended with ``error``: one of OUTCOMES.

    If the datastore is full or unavailable, the outcome is TryAgainLater, whatever error this has caused, except for a
    withdrawn claim.  An error of no class in HANDLED, such as a fault of the code, is UNEXPECTED.
    """
    away = is_full(error, datastore) or is_away(error) or bool(datastore.problem())
    if isinstance(error, WorkEnded):
        return Withdrawn.__name__
    if away and not isinstance(error, Withdrawn):
        return TryAgainLater.__name__
    return next((kind.__name__ for kind in HANDLED if isinstance(error, kind)), UNEXPECTED)


def end_claim(
    error: Exception,
    claim: ClaimGranted,
    events: ClaimEvents,
    delivery: Delivery,
    datastore: SharedDatastore,
) -> None:
    """Publish why the claim failed; nothing if it has been withdrawn.  A TicketError's text is shown to the user,
    another error only logged.

    If the datastore is away or full, or no worker can run the inference, raises TryAgainLater, so that the delivery is
    retried; after the last attempt a full disk or a missing worker fails the ticket.  Raises BrokerClosed and
    TryAgainLater again.
    """
    facts = {"ticket": claim.ticket_id, "claim": claim.claim_id}
    match error:
        case Withdrawn() | WorkEnded():
            log.info("ticket withdrawn", extra=facts)
        case _ if is_away(error) or datastore.problem():
            log.warning("datastore lost", extra={**facts, "reason": repr(error)})
            raise TryAgainLater("the datastore is away") from error
        case _ if is_full(error, datastore):
            log.warning("disk full", extra={**facts, "reason": str(error)})
            _retry_later(events, NO_ROOM, delivery.attempt)
        case TicketError():
            log.info("ticket failed", extra=facts)  # without the reason, which may name a file
            events.failed(str(error))
        case NoInference():
            log.warning("no inference", extra={**facts, "reason": str(error)})
            _retry_later(events, str(error), delivery.attempt)
        case BrokerClosed() | TryAgainLater():
            raise error
        case _:
            _fail_unexpectedly(error, claim, events)


def _fail_unexpectedly(error: Exception, claim: ClaimGranted, events: ClaimEvents) -> None:
    """Log an error of the code with its traceback, and fail the ticket without naming the error to the user."""
    facts = {"ticket": claim.ticket_id, "claim": claim.claim_id}
    log.error("ticket broke the dispatcher", extra=facts, exc_info=error)
    events.failed(
        "An unexpected error stopped the work on this ticket. Please tell the operator "
        f"its number, {claim.ticket_id}."
    )


def _retry_later(events: ClaimEvents, reason: str, attempt: int) -> None:
    """Pause the claim and raise TryAgainLater.  After the last attempt, publish that the claim failed for ``reason``
    instead.  ``attempt`` counts from 1; the first adds a warning to the ticket's log.
    """
    if attempt > len(RETRY_DELAYS_S):
        events.failed(f"{reason} Please tell the operator, and submit again later.")
        return
    if attempt == 1:
        events.log(f"{reason} The ticket is tried again in a while.", "warning")
    events.pause(RETRY_DELAYS_S[attempt - 1])
    raise TryAgainLater(reason)
