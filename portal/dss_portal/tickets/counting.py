"""Counts what happens to tickets, and takes the time of those that are finished."""

from dss_observability import metrics
from dss_portal.models import Status, Ticket, TicketHistory
from dss_portal.tickets.lifecycle import FINISHED, Event


async def count(ticket: Ticket, event: Event) -> None:
    """``event`` has just changed ``ticket``, and its history is written."""
    service = (await ticket.service).name
    metrics.TICKET_EVENTS.labels(service, type(event).__name__).inc()
    if ticket.status in FINISHED:
        metrics.TICKETS_FINISHED.labels(service, ticket.status.value).inc()
        await _take_time(ticket, service)


async def _take_time(ticket: Ticket, service: str) -> None:
    """How long the last attempt waited and was worked on, and how long the whole took."""
    history = await TicketHistory.filter(ticket_id=ticket.id).order_by("id")
    at = {entry.status: entry.at for entry in history}  # the last of each
    first = next((e.at for e in history if e.status is Status.READY), None)
    if first is None or not {Status.READY, Status.CLAIMED, ticket.status} <= at.keys():
        return
    for stage, begin, end in (
        ("queued", at[Status.READY], at[Status.CLAIMED]),
        ("claimed", at[Status.CLAIMED], at[ticket.status]),
        ("total", first, at[ticket.status]),
    ):
        seconds = (end - begin).total_seconds()
        metrics.TICKET_STAGE_SECONDS.labels(service, stage).observe(seconds)
