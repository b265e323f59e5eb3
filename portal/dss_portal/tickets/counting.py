"""Counts the events of tickets, and measures the durations of ended tickets."""

from typing import get_args

from dss_observability import metrics
from dss_portal.models import Status, Ticket, TicketHistory
from dss_portal.tickets.lifecycle import FINISHED, Event, StageOverdue

UPLOAD_GIVEN_UP = "UploadGivenUp"
"""The event of a ticket that was never submitted: it counts neither as a failure of the service nor as a timeout."""

_STAGES = ("queued", "claimed", "total")


def begin(service: str) -> None:
    """Create every metric series of the service, because Prometheus does not count the first increase of a new
    series.
    """
    for name in (*(event.__name__ for event in get_args(Event)), UPLOAD_GIVEN_UP):
        metrics.TICKET_EVENTS.labels(service, name)
    for status in FINISHED:
        metrics.TICKETS_FINISHED.labels(service, status.value)
    for stage in _STAGES:
        metrics.TICKET_STAGE_SECONDS.labels(service, stage)


async def count(ticket: Ticket, event: Event, before: Status) -> None:
    """Count ``event``, which has changed ``ticket`` from the state ``before``.  Call it after the history is written."""
    service = (await ticket.service).name
    if isinstance(event, StageOverdue) and before is Status.INIT:
        metrics.TICKET_EVENTS.labels(service, UPLOAD_GIVEN_UP).inc()
        return
    count_event(service, event)
    if ticket.status in FINISHED:
        metrics.TICKETS_FINISHED.labels(service, ticket.status.value).inc()
        await _take_time(ticket, service)


def count_event(service: str, event: Event) -> None:
    """Count an event that does not end the ticket."""
    metrics.TICKET_EVENTS.labels(service, type(event).__name__).inc()


async def _take_time(ticket: Ticket, service: str) -> None:
    """Observe the wait and the run time of the last attempt, and the total time of the ticket."""
    history = await TicketHistory.filter(ticket_id=ticket.id).order_by("id")
    at = {entry.status: entry.at for entry in history}  # the last time of each state
    first = next((e.at for e in history if e.status is Status.READY), None)
    if first is None or not {Status.READY, Status.CLAIMED, ticket.status} <= at.keys():
        return
    spans = (
        (at[Status.READY], at[Status.CLAIMED]),
        (at[Status.CLAIMED], at[ticket.status]),
        (first, at[ticket.status]),
    )
    for stage, (since, until) in zip(_STAGES, spans, strict=True):
        seconds = (until - since).total_seconds()
        metrics.TICKET_STAGE_SECONDS.labels(service, stage).observe(seconds)
