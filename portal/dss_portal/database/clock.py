"""The time by the database's clock, which is the same for every portal of a site.

One portal writes a lease, a deadline or a token's expiry, and another one compares it with the time.  If their
machines' clocks differed by a minute, a claim could have expired when it is granted.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

from tortoise.connection import get_connection

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PERIOD_S = 10.0
TOLERANCE = timedelta(seconds=0.5)
"""Smaller differences between this machine's clock and the database's are ignored: they may be the duration of the
query.
"""

_began, _began_s = datetime.now(UTC), time.monotonic()
_ahead = timedelta()


def now() -> datetime:
    return _here() + _ahead


def _here() -> datetime:
    """The time of this machine, which follows the monotonic clock since the start of the program.

    So a step of the machine's clock (by NTP or an operator) changes nothing.  Otherwise a portal would delete tickets
    and end leases too early for some seconds.
    """
    return _began + timedelta(seconds=time.monotonic() - _began_s)


async def measure_regularly() -> None:
    """Measure the difference of the clocks every PERIOD_S, until cancelled."""
    while True:
        try:
            await measure()
        except Exception as error:  # other code reports that the database is away
            log.debug("clock not compared", extra={"reason": repr(error)})
        await asyncio.sleep(PERIOD_S)


async def measure() -> None:
    """Measure the difference between this machine's clock and the database's.

    ``now`` then adds it.  A difference up to TOLERANCE counts as 0; a measurement that takes longer than TOLERANCE is
    dropped, and the earlier value stays.
    """
    global _ahead  # noqa: PLW0603 - a process has one clock
    began = _here()
    rows = await get_connection("default").execute_query_dict("SELECT clock_timestamp() AS now")
    took = _here() - began
    if took > TOLERANCE:
        return
    difference: timedelta = rows[0]["now"] - (began + took / 2)
    ahead = difference if abs(difference) > TOLERANCE else timedelta()
    if abs(ahead - _ahead) > TOLERANCE:
        facts = {"behind_s": round(difference.total_seconds(), 1)}
        log.warning("this machine's clock differs from the database's, which counts", extra=facts)
    _ahead = ahead
