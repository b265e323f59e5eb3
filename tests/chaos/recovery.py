"""When work goes on after a fault: everything that was in hand has moved, and something new is done."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg

from chaos.faults import Fault
from chaos.site import Site

LONGEST_RECOVERY_S = 45.0
AFTERMATH_S = 2.0
"""So long a program that was thawed or cut off goes on with what it had begun: it may grant a claim that nobody waits for."""

_POLL_S = 0.2

_SOMETHING_NEW_IS_DONE = """
SELECT EXISTS (
  SELECT 1 FROM ticket JOIN claim ON claim.id = ticket.claim_id
  WHERE ticket.status = 'success' AND claim.granted_at > $1)"""

_STILL_IN_HAND = """
SELECT count(*) FROM ticket
WHERE status = 'claimed' AND NOT id = ANY($2) AND NOT EXISTS (
  SELECT FROM ticket_history WHERE ticket_id = ticket.id AND at > $1)"""


def wait_for(site: Site, fault: Fault, but: Sequence[int], *, fully: bool = True) -> float:
    """Seconds that it took, whatever becomes of the tickets ``but``; infinite if LONGEST_RECOVERY_S is over.

    Returns when its aftermath is over, too, so that the next fault finds nothing left of this one.  If not ``fully``,
    only a new ticket must be done: a site without one of its defences may never finish the earlier ones.
    """
    return asyncio.run(_wait_for(site.postgres.database_url, fault, list(but), fully=fully))


async def _wait_for(url: str, fault: Fault, but: list[int], *, fully: bool) -> float:
    connection = await asyncpg.connect(url)

    async def goes_on() -> bool:
        done = await connection.fetchval(_SOMETHING_NEW_IS_DONE, _moment(fault.from_s))
        return bool(done) and await has_moved(fault.began_s)

    async def has_moved(until_s: float) -> bool:
        if time.time() <= until_s:
            return False
        return not fully or not await connection.fetchval(_STILL_IN_HAND, _moment(until_s), but)

    try:
        seconds = await _seconds_until(goes_on, fault)
        over = await _seconds_until(lambda: has_moved(fault.from_s + AFTERMATH_S), fault)
        return seconds if math.isfinite(over) else over
    finally:
        await connection.close()


async def _seconds_until(is_so: Callable[[], Awaitable[bool]], fault: Fault) -> float:
    while time.time() < fault.from_s + LONGEST_RECOVERY_S:
        if await is_so():
            return time.time() - fault.from_s
        await asyncio.sleep(_POLL_S)
    return math.inf


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
