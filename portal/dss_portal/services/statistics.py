"""Statistics of services: how many tickets ended within a day, how long they took, and how many wait."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.models import Service

WINDOW = timedelta(hours=24)
KEPT_TIMES = 20
"""Counts are kept for this many times the duration of counting, at most KEPT_AT_MOST_S seconds, so that counting takes at
most a twentieth of the time.
"""
KEPT_AT_MOST_S = 10.0

# $1: the beginning of WINDOW.  Each table is read once, whatever the number of services: a look-up for each ticket
# took seconds for 100,000 tickets of one day.
_COUNTS = """
WITH ended AS (
    SELECT ticket.service_id,
        count(*) FILTER (WHERE history.status = 'success') AS n_success,
        count(*) FILTER (WHERE history.status <> 'success') AS n_failed,
        avg(extract(epoch FROM history.at - ticket.claimed_at))
            FILTER (WHERE history.status = 'success')::float8 AS mean_s
    FROM ticket_history history JOIN ticket ON ticket.id = history.ticket_id
    WHERE history.at > $1 AND history.status IN ('success', 'failed', 'timeout')
    GROUP BY ticket.service_id
), waiting AS (
    SELECT service_id, count(*) AS queue_length FROM ticket WHERE status = 'ready' GROUP BY service_id
)
SELECT service_id, coalesce(n_success, 0) AS n_success, coalesce(n_failed, 0) AS n_failed, mean_s,
    coalesce(queue_length, 0) AS queue_length
FROM ended FULL JOIN waiting USING (service_id)
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The ends of tickets of a service (one version) within WINDOW, and the number of its waiting tickets
    (``queue_length``).

    ``n_success`` counts tickets; ``n_failed`` counts failures and timeouts, of a retried ticket each one.  ``mean_s`` is
    the mean time from the claim of the last attempt to success in seconds, None without a success.
    """

    n_success: int = 0
    n_failed: int = 0
    mean_s: float | None = None
    queue_length: int = 0


@dataclass(frozen=True, kw_only=True)
class Stats(Counts):
    """Statistics of a service.  ``silent_s`` is the time in seconds since the last sign of life of a program that serves
    it, None if there was none; ``listed_s`` is the time since its registration.
    """

    silent_s: int | None
    listed_s: int


class Statistics:
    """The statistics of all services of a site.  The counts are read from the database again when they are older than
    KEPT_TIMES times the duration of counting, or than KEPT_AT_MOST_S seconds.
    """

    def __init__(self) -> None:
        self._counts: dict[int, Counts] = {}
        self._kept_until_s = 0.0
        self._counting = asyncio.Lock()

    async def of(self, services: Sequence[Service]) -> list[Stats]:
        """The statistics of each of ``services``, in the same order; the counts may be up to KEPT_AT_MOST_S old."""
        async with self._counting:
            if time.monotonic() >= self._kept_until_s:
                await self._count()
            counts = self._counts
        return [_stats(service, counts.get(service.id, Counts())) for service in services]

    async def _count(self) -> None:
        began_s = time.monotonic()
        rows = await get_connection("default").execute_query_dict(_COUNTS, [clock.now() - WINDOW])
        self._counts = {row.pop("service_id"): Counts(**row) for row in rows}
        now_s = time.monotonic()
        self._kept_until_s = now_s + min(KEPT_TIMES * (now_s - began_s), KEPT_AT_MOST_S)


def _stats(service: Service, counts: Counts) -> Stats:
    now = clock.now()
    heard_at, listed_at = service.heard_at, service.created_at or now
    return Stats(
        n_success=counts.n_success,
        n_failed=counts.n_failed,
        mean_s=counts.mean_s,
        queue_length=counts.queue_length,
        silent_s=None if heard_at is None else int((now - heard_at).total_seconds()),
        listed_s=int((now - listed_at).total_seconds()),
    )
