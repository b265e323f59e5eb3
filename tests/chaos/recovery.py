"""When work goes on after a fault: everything that was in hand has moved, and something new is done."""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from chaos.faults import Fault
from chaos.site import Site

PATIENCE_S = 45.0
_GLANCE_S = 0.2

_SOMETHING_NEW_IS_DONE = """
SELECT EXISTS (
  SELECT 1 FROM ticket JOIN claim ON claim.id = ticket.claim_id
  WHERE ticket.status = 'success' AND claim.granted_at > $1)"""

_STILL_IN_HAND = """
SELECT count(*) FROM (
  SELECT DISTINCT ON (ticket_id) ticket_id, status, at FROM ticket_history
  ORDER BY ticket_id, id DESC) AS last
WHERE status = 'claimed' AND at <= $1 AND NOT ticket_id = ANY($2)"""


def wait_for(site: Site, fault: Fault, but: Sequence[int]) -> float:
    """Seconds that it took, whatever becomes of the tickets ``but``; infinite if PATIENCE_S is over."""
    return asyncio.run(_wait_for(site.postgres.database_url, fault, list(but)))


async def _wait_for(url: str, fault: Fault, but: list[int]) -> float:
    began, since = (datetime.fromtimestamp(s, UTC) for s in (fault.began_s, fault.from_s))
    connection = await asyncpg.connect(url)
    try:
        while time.time() < fault.from_s + PATIENCE_S:
            done = await connection.fetchval(_SOMETHING_NEW_IS_DONE, since)
            if done and not await connection.fetchval(_STILL_IN_HAND, began, but):
                return time.time() - fault.from_s
            await asyncio.sleep(_GLANCE_S)
        return math.inf
    finally:
        await connection.close()
