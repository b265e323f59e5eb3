"""A periodic task that acts if expected messages do not arrive: it ends claims whose lease has expired and stages that
take too long, and announces tickets again whose announcement may be lost.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from tortoise.connection import get_connection

from dss_broker.broker import Broker
from dss_broker.descriptor import MAX_DEADLINE_S
from dss_portal import database
from dss_portal.batches import for_each
from dss_portal.database import waiting
from dss_portal.datastore import Datastore
from dss_portal.models import Service
from dss_portal.services import liveness
from dss_portal.settings import Settings
from dss_portal.tickets import announcing, deadlines, leases, store

log = logging.getLogger(__name__)

PERIOD_S = 2.0

LONGEST_GRACE_S = 15.0
"""Longest time in seconds that a program needs to reconnect to the broker and to renew its lease."""
MAX_DOUBLINGS = 6
"""Largest number of times that the interval between two announcements of a ticket is doubled.  With the default
setting, a ticket that waits for hours is then announced about once an hour.
"""
ANNOUNCE_S = 10.0
"""Time limit for the announcements of one round, in seconds; the page of tickets that has been begun is finished."""
PAGE_TICKETS = 200
MOST_UNSENT = 5000
"""If the outbox has at least this number of announcements, none is added: those of tickets that wait for long would be
stored faster than they are sent.
"""

# $1: number of the last ticket on the previous page.  $2: now.  $3: the first wait, in seconds.  $6: ids of the services
# that a dispatcher serves now.  The relay sets ``announcements`` to 0 if no queue took the announcement.
_DUE = """
SELECT id FROM ticket
WHERE status = 'ready' AND id > $1 AND (announced_at IS NULL OR (announced_at <
    $2::timestamptz - $3::float8 * 2 ^ least(greatest(announcements - 1, 0), $4::int) * interval '1 second'
    AND (announcements > 0 OR service_id = ANY($6::int[]))))
ORDER BY id LIMIT $5
"""

# $1: MOST_UNSENT.
_UNSENT = """
SELECT count(*) AS unsent FROM (
    SELECT FROM outbox WHERE type_name = 'TicketReady' AND set_aside_at IS NULL LIMIT $1) AS stored
"""


async def run(settings: Settings, datastore: Datastore, broker: Broker) -> None:
    """Every PERIOD_S seconds until cancelled, publish LeaseOverdue for claims whose lease seems to have expired, and
    call ``sweep``.  An error is logged, and the next round tries again.

    The first round is one lease after the start, because events that arrived while no portal ran may renew leases.
    """
    await asyncio.sleep(settings.lease_s)
    overdue = leases.OverdueClaims(broker, grace_s=min(settings.lease_s, LONGEST_GRACE_S))
    while True:
        try:
            await for_each("claims without a sign of life", [overdue], leases.OverdueClaims.ask)
            await sweep(settings, datastore)
        except Exception as error:
            if await waiting.for_schema(error):
                continue
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("sweep failed, trying again", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def sweep(settings: Settings, datastore: Datastore) -> int:
    """End tickets and attempts that are past their deadline, and announce waiting tickets again, for about ANNOUNCE_S
    seconds; the next call announces the others.  While the outbox has MOST_UNSENT announcements, none is added.  Returns
    the number of tickets that were changed or announced.
    """
    touched = await deadlines.enforce(settings, datastore)
    if await _has_many_unsent():
        return touched
    until_s = time.monotonic() + ANNOUNCE_S
    async for forgotten in _forgotten(settings.reconcile_s):
        touched += await announcing.announce_again(forgotten)
        if time.monotonic() > until_s:  # the next sweep does the rest
            break
    return touched


async def _has_many_unsent() -> bool:
    (row,) = await get_connection("default").execute_query_dict(_UNSENT, [MOST_UNSENT])
    return int(row["unsent"]) >= MOST_UNSENT


async def _forgotten(reconcile_s: float) -> AsyncIterator[list[int]]:
    """Yield the numbers of the waiting tickets that are to be announced now, in pages of PAGE_TICKETS: tickets that were
    never announced, and others again.  ``reconcile_s`` is the time until the first repetition, in seconds.

    A ticket whose announcement no queue took is announced again once a dispatcher serves its service, which then has a
    queue.  Each other announcement doubles the time until the next one, up to MAX_DOUBLINGS times: the ticket may wait only because
    the queue is long, and its announcements would fill that queue.
    """
    last, now = 0, store.now()
    served = await _served_ids()
    while True:
        first_s = min(reconcile_s, MAX_DEADLINE_S)
        values = [last, now, first_s, MAX_DOUBLINGS, PAGE_TICKETS, served]
        rows = await get_connection("default").execute_query_dict(_DUE, values)
        numbers = [int(row["id"]) for row in rows]
        if numbers:
            yield numbers
            last = numbers[-1]
        if len(numbers) < PAGE_TICKETS:
            return


async def _served_ids() -> list[int]:
    """Database ids of all versions of the services that a live dispatcher serves."""
    names = await liveness.alive_dispatchers().distinct().values_list("service", flat=True)
    found = await Service.filter(name__in=list(map(str, names))).values_list("id", flat=True)
    return [int(str(number)) for number in found]
