"""What the portal measures: requests as they pass, tickets and the outbox by looking."""

import asyncio
import logging
import time
from datetime import UTC, datetime

from quart import Quart, Response, g, request
from tortoise.functions import Count

from dss_observability import metrics
from dss_portal.models import OutboxMessage, Status, Ticket, TicketHistory

log = logging.getLogger(__name__)

LOOK_S = 5.0


def install(app: Quart) -> None:
    """Count and time every request, by the address's rule and not by the address."""

    @app.before_request
    async def _begin() -> None:
        g.dss_began_s = time.monotonic()

    @app.after_request
    async def _end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        metrics.HTTP_REQUESTS.labels(request.method, route, response.status_code).inc()
        if "dss_began_s" in g:
            metrics.HTTP_SECONDS.labels(route).observe(time.monotonic() - g.dss_began_s)
        return response


async def watch() -> None:
    """Look at the database every LOOK_S, until cancelled."""
    while True:
        try:
            await look()
        except Exception:
            log.exception("metrics not refreshed")
        await asyncio.sleep(LOOK_S)


async def look() -> None:
    counts = (
        await Ticket.exclude(status=Status.DELETED)
        .annotate(count=Count("id"))
        .group_by("service__name", "status")
        .values_list("service__name", "status", "count")
    )
    metrics.TICKETS.clear()
    for service, status, count in counts:
        metrics.TICKETS.labels(str(service), Status(str(status)).value).set(int(str(count)))
    metrics.OUTBOX_MESSAGES.set(await OutboxMessage.all().count())
    oldest = await OutboxMessage.all().order_by("id").first()
    age_s = (datetime.now(UTC) - oldest.created_at).total_seconds() if oldest else 0.0
    metrics.OUTBOX_AGE_SECONDS.set(age_s)


async def observe_finished(ticket: Ticket) -> None:
    """How long the last attempt of a finished ticket waited and was worked on, and the whole took."""
    history = await TicketHistory.filter(ticket_id=ticket.id).order_by("id")
    at = {entry.status: entry.at for entry in history}  # the last of each
    first = next((e.at for e in history if e.status is Status.READY), None)
    if first is None or not {Status.READY, Status.CLAIMED, ticket.status} <= at.keys():
        return
    service = (await ticket.service).name
    for stage, begin, end in (
        ("queued", at[Status.READY], at[Status.CLAIMED]),
        ("claimed", at[Status.CLAIMED], at[ticket.status]),
        ("total", first, at[ticket.status]),
    ):
        seconds = (end - begin).total_seconds()
        metrics.TICKET_STAGE_SECONDS.labels(service, stage).observe(seconds)
