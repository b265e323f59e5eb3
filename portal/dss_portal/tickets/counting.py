"""Prometheus metrics of tickets: counts the events, and measures the durations of tickets that have ended."""

from typing import get_args

from dss_observability import metrics
from dss_portal.models import Status, Ticket, TicketHistory
from dss_portal.tickets.lifecycle import FINISHED, Event, StageOverdue

UPLOAD_GIVEN_UP = "UploadGivenUp"
"""Name in the metrics for the end of a ticket that its user did not submit in time.  It counts neither as a failure of
the service nor as a timeout.
"""

_STAGES = ("queued", "claimed", "total")


def create_series(service: str) -> None:
    """Create every metric series of the service with the value 0, because Prometheus does not count the first increase
    of a new series.
    """
    for name in (*(event.__name__ for event in get_args(Event)), UPLOAD_GIVEN_UP):
        metrics.TICKET_EVENTS.labels(service, name)
    for status in FINISHED:
        metrics.TICKETS_FINISHED.labels(service, status.value)
    for stage in _STAGES:
        metrics.TICKET_STAGE_SECONDS.labels(service, stage)


async def count(ticket: Ticket, event: Event, before: Status) -> None:
    """Count ``event``, which has changed ``ticket``; ``before`` is the ticket's earlier state.  If the ticket has
    finished, also count that and observe its durations, except for a ticket that was never submitted.

    Call it after the change was written to TicketHistory, from which the durations are computed.
    """
    service = (await ticket.service).name
    if isinstance(event, StageOverdue) and before is Status.INIT:
        metrics.TICKET_EVENTS.labels(service, UPLOAD_GIVEN_UP).inc()
        return
    count_event(service, event)
    if ticket.status in FINISHED:
        metrics.TICKETS_FINISHED.labels(service, ticket.status.value).inc()
        await _take_time(ticket, service)


def count_event(service: str, event: Event) -> None:
    """Count an event of a ticket of that service in the metrics, and nothing else.  For an event that may end the
    ticket, call ``count``, which also counts its end.
    """
    metrics.TICKET_EVENTS.labels(service, type(event).__name__).inc()


async def _take_time(ticket: Ticket, service: str) -> None:
    """Observe three durations of an ended ticket in seconds: the wait and the run of its last attempt, and the time
    from its first submission to its end.  Nothing is observed if it was never submitted, or not claimed in its last
    wait.
    """
    history = await TicketHistory.filter(ticket_id=ticket.id).order_by("id")
    at = {entry.status: entry.at for entry in history}  # the last time of each state
    first = next((e.at for e in history if e.status is Status.READY), None)
    if first is None or not {Status.READY, Status.CLAIMED, ticket.status} <= at.keys():
        return
    if at[Status.CLAIMED] < at[Status.READY]:  # it ended in the queue, after an earlier attempt
        return
    spans = (
        (at[Status.READY], at[Status.CLAIMED]),
        (at[Status.CLAIMED], at[ticket.status]),
        (first, at[ticket.status]),
    )
    for stage, (since, until) in zip(_STAGES, spans, strict=True):
        seconds = (until - since).total_seconds()
        metrics.TICKET_STAGE_SECONDS.labels(service, stage).observe(seconds)
