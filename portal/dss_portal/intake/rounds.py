"""A background task that continues uploads of browsers for which no message comes: after a crash, if a request was
lost, or when the user's quota allows another open ticket.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from dss_portal import database
from dss_portal.batches import for_each, for_some
from dss_portal.database import clock, waiting
from dss_portal.datastore import Datastore
from dss_portal.intake import placing
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake
from dss_portal.settings import Settings

log = logging.getLogger(__name__)

PERIOD_S = 2.0
MOST_PLACED, MOST_ASKED = 1000, 200
"""About the largest number of uploads that are continued, and of requests that are repeated, in one round."""
AGAIN_S = 600.0
"""A request without an answer is repeated after this time: the broker may have lost it, or there was no queue."""


async def run(datastore: Datastore, settings: Settings) -> None:
    """Call ``run_once`` every PERIOD_S, until cancelled.  Its errors are logged."""
    while True:
        try:
            await run_once(datastore, settings)
        except Exception as error:
            if await waiting.for_schema(error):
                continue
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("uploads not looked after, trying again", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def run_once(datastore: Datastore, settings: Settings) -> int:
    """Continue every upload that can be continued, repeat requests to read uploads that were not answered, and return
    the number of changes.
    """
    act, what = partial(placing.continue_tickets, datastore, settings), placing.UPLOAD_READ
    changed = await for_some(what, placing.placing(), "ticket_id", MOST_PLACED, act)
    changed += await for_each(what, await placing.first_waiting(), act)
    return changed + await _ask_again()


async def _ask_again() -> int:
    """Repeat requests to read uploads that were not answered, about MOST_ASKED; none while no program reads uploads, so
    that requests do not pile up.
    """
    if not await intakes.is_read_now():
        return 0
    before = clock.now() - timedelta(seconds=AGAIN_S)
    late = Intake.filter(state=State.READING, asked_at__lt=before)
    what = "a request to read an upload"
    return await for_some(what, late, "ticket_id", MOST_ASKED, intakes.ask_again)
