"""Writes estimates into the logs of tickets, where ITK-SNAP's users can read them."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tortoise.connection import get_connection

from dss_portal import database
from dss_portal.database import clock, waiting
from dss_portal.estimates import words
from dss_portal.estimates.estimates import Estimates
from dss_portal.estimates.forecast import Forecast
from dss_portal.estimates.reading import SiteSnapshot

log = logging.getLogger(__name__)

PERIOD_S = 3.0
SHORT_S = 10.0
"""An end that is expected within less than this time, in seconds, is not logged, because the ticket would be done
before the line is read.
"""
LATE_SHARE, LATE_S = 0.5, 60.0
"""The end that a log states is corrected if the new estimate is later by at least LATE_S seconds, and by at least
LATE_SHARE of the remaining time.
"""
LONG_SHARE = 0.25
"""The new estimate must also be later by at least this fraction of the time that the ticket has waited or run: so a run
that hangs for a day is corrected some twenty times, not each minute.
"""

# There is no forecast without a past run.
_MAY_BE_FORECAST = """
SELECT EXISTS (SELECT FROM run) AND EXISTS (SELECT FROM ticket WHERE status IN ('ready', 'claimed')) AS may_be
"""

# Only one portal writes a line: $3 is the time that the log stated before.  Tickets that another transaction has locked
# are left for the next round, so that this one does not wait while it holds locks.
_TELL = """
WITH due AS (
    SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::text[])
        AS due (id, expected_at, before, line)
), free AS (
    SELECT id FROM ticket WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED
), told AS (
    UPDATE ticket SET expected_at = due.expected_at FROM due JOIN free ON free.id = due.id
    WHERE ticket.id = due.id AND ticket.status IN ('ready', 'claimed')
        AND ticket.expected_at IS NOT DISTINCT FROM due.before
    RETURNING ticket.id, due.line
)
INSERT INTO ticket_log (ticket_id, at, category, message) SELECT id, $5, 'info', line FROM told
RETURNING id
"""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A line for a ticket's log, which states that the ticket is expected to end ``at``.  ``before`` is the end that
    the log has stated so far; None if it has stated none.
    """

    ticket_id: int
    at: datetime
    before: datetime | None
    line: str


async def run(estimates: Estimates) -> None:
    """Call ``write_due`` every PERIOD_S, until cancelled.  Its errors are logged."""
    while True:
        await asyncio.sleep(PERIOD_S)
        try:
            await write_due(estimates)
        except Exception as error:
            if await waiting.for_schema(error):
                continue
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("estimates not told", extra=facts, exc_info=trace)


async def write_due(estimates: Estimates) -> int:
    """Write new expected ends into the logs of tickets where they are due, and return the number of lines."""
    (row,) = await get_connection("default").execute_query_dict(_MAY_BE_FORECAST)
    if not row["may_be"]:
        return 0
    snapshot = await estimates.snapshot()
    found = await estimates.of_tickets(snapshot.promised)
    due = promises(snapshot, found)
    if not due:
        return 0
    values = [
        [promise.ticket_id for promise in due],
        [promise.at for promise in due],
        [promise.before for promise in due],
        [promise.line for promise in due],
        clock.now(),
    ]
    return len(await get_connection("default").execute_query_dict(_TELL, values))


def promises(snapshot: SiteSnapshot, found: Mapping[int, Forecast]) -> list[Promise]:
    """New lines for tickets with a forecast whose log states no expected end yet, or one that is now too early."""
    ahead = {
        place.ticket_id: number
        for places in snapshot.places.values()
        for number, place in enumerate(places)
    }
    spent_s = _spent_s(snapshot)
    due = []
    for ticket_id, forecast in found.items():
        promised_end = snapshot.promised.get(ticket_id)
        at = datetime.fromtimestamp(snapshot.site.now_s + forecast.ends_s, UTC)
        if _is_due(forecast, promised_end, at, spent_s.get(ticket_id, 0.0)):
            line = words.promise(
                forecast.ends_s, at, ahead.get(ticket_id, 0), again=promised_end is not None
            )
            due.append(Promise(ticket_id=ticket_id, at=at, before=promised_end, line=line))
    return due


def _spent_s(snapshot: SiteSnapshot) -> dict[int, float]:
    """By ticket number: the seconds for which the ticket has waited or, once claimed, has been claimed."""
    site = snapshot.site
    waits = {
        ticket.ticket_id: site.now_s - ticket.came_s for q in site.waiting.values() for ticket in q
    }
    return waits | {ticket.ticket_id: site.now_s - ticket.began_s for ticket in site.running}


def _is_due(
    forecast: Forecast, promised_end: datetime | None, at: datetime, spent_s: float
) -> bool:
    if promised_end is None:
        return forecast.ends_s >= SHORT_S
    late_s = max(LATE_S, LATE_SHARE * forecast.ends_s, LONG_SHARE * spent_s)
    return at - promised_end > timedelta(seconds=late_s)
