"""A look at the event loop: how late it is."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

EVERY_S = 0.02
LATE_S = 0.5
"""Lateness that keeps people waiting.  Smaller limits fail on a busy machine, which alone has made 0.4 s of 0.01 s."""


@dataclass
class Lateness:
    """``worst_s`` is how much longer than EVERY_S the loop needed to come back, at worst.

    Where other programs kept this one from running, its lateness counts as far as it worked itself.
    """

    worst_s: float = 0.0


@asynccontextmanager
async def lateness_s() -> AsyncIterator[Lateness]:
    found = Lateness()
    gc.collect()
    gc.freeze()  # what other tests have left in this process would be walked through meanwhile
    probe = asyncio.create_task(_probe(found))
    try:
        yield found
    finally:
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        gc.unfreeze()


async def _probe(found: Lateness) -> None:
    while True:
        began_s, worked_s = time.monotonic(), time.process_time()
        await asyncio.sleep(EVERY_S)
        late_s = time.monotonic() - began_s - EVERY_S
        found.worst_s = max(found.worst_s, min(late_s, time.process_time() - worked_s))
