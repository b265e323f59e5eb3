"""A background task that continues uploads of browsers for which no message comes: after a crash, if a request was
lost, or when the user's quota allows another open ticket.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from dss_portal import database
from dss_portal.batches import for_each
from dss_portal.database import clock, waiting
from dss_portal.datastore import Datastore
from dss_portal.intake import placing
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake
from dss_portal.settings import Settings

log = logging.getLogger(__name__)

PERIOD_S = 2.0
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
    act = partial(placing.continue_tickets, datastore, settings)
    changed = await for_each("an upload that was read", await placing.due(), act)
    return changed + await for_each(
        "a request to read an upload", await _unanswered(), intakes.ask_again
    )


async def _unanswered() -> list[int]:
    """Numbers of the tickets whose request to read the upload must be repeated; none while no program reads uploads, so
    that requests do not pile up.
    """
    if not await intakes.is_read_now():
        return []
    before = clock.now() - timedelta(seconds=AGAIN_S)
    late = Intake.filter(state=State.READING, asked_at__lt=before).order_by("ticket_id").limit(200)
    return [int(str(number)) for number in await late.values_list("ticket_id", flat=True)]
