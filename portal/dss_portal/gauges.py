"""Sets the gauges of tickets, outbox, notifications and disk at regular intervals."""

import asyncio
import logging
from datetime import datetime

from tortoise.connection import get_connection

from dss_observability import metrics
from dss_portal import database, tallies
from dss_portal.batches import for_each, uncounted
from dss_portal.database import clock, waiting
from dss_portal.datastore import Datastore
from dss_portal.models import OutboxMessage, Service, Status
from dss_portal.notifications import outbox as notifications
from dss_portal.notifications.channels import ChannelKind
from dss_portal.outbox import unsent
from dss_portal.tickets import counting, queue_places

log = logging.getLogger(__name__)

PERIOD_S = 5.0


async def watch(datastore: Datastore) -> None:
    """Set the gauges every PERIOD_S, until cancelled.  An error is logged, and the next round tries again."""

    async def refresh_disk() -> None:
        await asyncio.to_thread(_refresh_disk, datastore)

    while True:
        try:
            await for_each("gauges", (refresh, refresh_disk), uncounted)
        except Exception as error:
            if await waiting.for_schema(error):
                continue
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("metrics not refreshed", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def refresh() -> int:
    """Set all gauges that are read from the database, and fold the tallies; returns 0.  The error of a query is logged and leaves the other
    gauges unaffected; an outage of the database is raised.
    """
    work = (_refresh_tickets, _refresh_outbox, _refresh_notifications, tallies.fold)
    return await for_each("gauges", work, uncounted)


async def _refresh_outbox() -> None:
    waiting = OutboxMessage.filter(set_aside_at__isnull=True)
    metrics.OUTBOX_MESSAGES.set(await waiting.count())
    oldest = await waiting.order_by("id").first()
    metrics.OUTBOX_AGE_SECONDS.set(_age_s(oldest.created_at) if oldest else 0.0)
    metrics.OUTBOX_SET_ASIDE.set(await unsent.count())


async def _refresh_notifications() -> None:
    found = await notifications.waiting()
    for kind in ChannelKind:
        count, since = found.get(kind.value, (0, None))
        metrics.NOTIFICATIONS_WAITING.labels(kind.value).set(count)
        metrics.NOTIFICATION_AGE_SECONDS.labels(kind.value).set(_age_s(since) if since else 0.0)


async def _refresh_tickets() -> None:
    """Set two kinds of gauges for every service: the number of its tickets in each state except deleted, and the
    seconds for which its longest-waiting ticket has waited.

    Zeros are set as well: a gauge that is not set keeps its old number, and an alert on it would not end.
    """
    found, since = await tallies.tickets(), await _waiting_since()
    counts = {key: count for key, count in found.items() if key[1] is not Status.DELETED}
    offered = await Service.filter(current=True).values_list("name", flat=True)
    for service in {*map(str, offered), *(name for name, _ in counts)}:
        counting.create_series(service)
        for status in Status:
            if status is not Status.DELETED:
                count = counts.get((service, status), 0)
                metrics.TICKETS.labels(service, status.value).set(count)
        age_s = _age_s(since[service]) if service in since else 0.0
        metrics.OLDEST_WAITING_SECONDS.labels(service).set(age_s)


# A ticket that was never claimed waits since it came.  One that came back waits since the last time that it became ready;
# it is asked for only if it came before the first that was never claimed, since all others have waited less than that one.
_WAITING_SINCE = f"""
WITH RECURSIVE {queue_places.WALK.format(versions="ARRAY(SELECT id FROM service)")}
SELECT service.name, min(waiting.since) AS since
FROM walk JOIN service ON service.id = walk.service_id LEFT JOIN LATERAL (
        SELECT coalesce(queued_at, created_at) AS since FROM ticket
        WHERE status = 'ready' AND service_id = walk.service_id AND user_id = walk.user_id
            AND attempt <= 1 AND claim_id IS NULL
        ORDER BY coalesce(queued_at, created_at), id LIMIT 1
    ) AS fresh ON true CROSS JOIN LATERAL (
        SELECT fresh.since
        UNION ALL
        SELECT (SELECT max(at) FROM ticket_history WHERE ticket_id = back.id AND status = 'ready') FROM ticket back
        WHERE back.status = 'ready' AND back.service_id = walk.service_id AND back.user_id = walk.user_id
            AND coalesce(queued_at, created_at) < coalesce(fresh.since, 'infinity')
    ) AS waiting
WHERE walk.user_id IS NOT NULL GROUP BY service.name
"""  # noqa: S608 - constants of ours


async def _waiting_since() -> dict[str, datetime]:
    """For each service with waiting tickets, by its name: the earliest time at which one of them began its current
    wait.
    """
    rows = await get_connection("default").execute_query_dict(_WAITING_SINCE)
    return {str(row["name"]): row["since"] for row in rows}


def _refresh_disk(datastore: Datastore) -> None:
    try:
        total_bytes, free_bytes = datastore.room_bytes()
    except OSError:  # /readyz and the log report it; the old values are removed
        metrics.DATASTORE_BYTES.clear()
        return
    metrics.DATASTORE_BYTES.labels("total").set(total_bytes)
    metrics.DATASTORE_BYTES.labels("free").set(free_bytes)


def _age_s(at: datetime) -> float:
    return max(0.0, (clock.now() - at).total_seconds())
