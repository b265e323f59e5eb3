"""Periodic cleaning: removes files of ended tickets that no client can download, expired login tokens and sessions,
abandoned uploads, idempotency keys of deleted tickets, and rows about programs that have ended.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import cast

from tortoise.functions import Max
from tortoise.transactions import in_transaction

from dss_datastore.volume import is_away
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.batches import for_each, uncounted
from dss_portal.database import waiting
from dss_portal.datastore import Datastore
from dss_portal.device_sign_in import store as device_sign_in
from dss_portal.estimates import runs
from dss_portal.intake import store as intakes
from dss_portal.models import Status, Ticket, TicketHistory
from dss_portal.result_links import store as result_links
from dss_portal.resumable import store as resumable
from dss_portal.sending import batch
from dss_portal.services import liveness
from dss_portal.settings import Settings
from dss_portal.tickets import removal, reservation, store
from dss_portal.tickets.creation_keys import KeyCleaning
from dss_portal.tickets.lifecycle import FINISHED

log = logging.getLogger(__name__)

_ENDED = [*FINISHED, Status.DELETED]

CLEANED_FOR = timedelta(days=1)
"""Only tickets that ended within this time are checked for leftover files."""

_PAGE_TICKETS = 300
"""Number of tickets whose files are checked at a time; other requests are served between two such pages."""

SETTLING_TIME = timedelta(hours=1)
"""Tickets that ended within this time are checked thoroughly: every file on disk is compared with the files that
clients can download.  For older ones only the existence of temporary files and working folders is checked.
"""


async def run(datastore: Datastore, settings: Settings) -> None:
    """Call ``clean_all`` every ``tidy_s`` seconds, until cancelled.  An error is logged, and the next round tries
    again.
    """
    keys = KeyCleaning()
    while True:
        await asyncio.sleep(settings.tidy_s)
        try:
            await clean_all(datastore, settings, keys)
        except Exception as error:
            if await waiting.for_schema(error):
                continue
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("files not cleaned, trying again", extra=facts, exc_info=trace)


async def clean_all(
    datastore: Datastore, settings: Settings, keys: KeyCleaning | None = None
) -> None:
    """Do every kind of cleaning once; that of idempotency keys goes on where ``keys`` stopped, or begins at the first key.
    If one kind fails, the error is logged and the others are done; only an outage of the database or the datastore, or a
    full disk, is raised and ends the round.
    """
    work: tuple[Callable[[], Awaitable[object]], ...] = (
        partial(clean_ended, datastore),
        partial(accounts.forget_expired, accounts.SESSION_LIFE_S),
        reservation.delete_dead,
        partial(resumable.remove_stale, datastore, settings),
        datastore.remove_abandoned,
        liveness.delete_expired,
        result_links.forget_expired,
        device_sign_in.forget_expired,
        intakes.forget_readers,
        batch.forget_old,
        runs.forget_old,
        (keys or KeyCleaning()).forget_old,
    )
    await for_each("tidying", work, uncounted)


async def clean_ended(datastore: Datastore) -> int:
    """For all tickets that ended within CLEANED_FOR, delete the files that no client can download.  A ticket that ended longer
    than SETTLING_TIME ago is cleaned only if it has temporary files or working folders, or if it is deleted and has files.

    Returns the number of tickets that were cleaned.
    """
    cleaned = 0
    async for ends in _ends():
        left = await _left_of(datastore, ends)
        cleaned += await for_each("tidying up a ticket", left, partial(_cleaned, datastore))
    return cleaned


async def _left_of(datastore: Datastore, ends: Mapping[int, datetime]) -> list[int]:
    """The numbers of those tickets that are still ended and have leftover files.  The keys of ``ends`` are the numbers
    of the tickets to check, the values the times at which they ended.  A ticket whose files cannot be examined is left
    out, and the error is logged.
    """
    ended = await Ticket.filter(id__in=list(ends), status__in=_ENDED).only("id", "status")
    since = store.now() - SETTLING_TIME
    shown = await store.shown_files(number for number, at in ends.items() if at > since)
    return await asyncio.to_thread(lambda: [t.id for t in ended if _is_left(datastore, t, shown)])


async def _cleaned(datastore: Datastore, ticket_id: int) -> bool:
    cleaned = await clean_up(datastore, ticket_id)
    if cleaned:
        log.info("files removed that nobody is shown", extra={"ticket": ticket_id})
    return cleaned


async def clean_up(datastore: Datastore, ticket_id: int) -> bool:
    """Remove the files of an ended ticket that no client can download; if the ticket is deleted or unknown, all files
    in its folder.

    Returns False, with nothing removed, if the ticket has not ended or if other tickets still need some of its files.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)  # prevents a retry meanwhile
        if await removal.is_needed(ticket_id):
            return False
        if ticket is None or ticket.status is Status.DELETED:
            await datastore.remove_ticket(ticket_id)
        elif ticket.status in FINISHED:
            results = await store.files(ticket_id, "results")
            await datastore.show_earlier_portals(ticket_id, [file.place for file in results])
            await datastore.remove_leftovers(ticket_id, partial(_shown, ticket_id))
        else:
            return False
    return True


async def _shown(ticket_id: int) -> Container[PurePosixPath]:
    return (await store.shown_files([ticket_id]))[ticket_id]


async def _ends() -> AsyncIterator[dict[int, datetime]]:
    """Yield the tickets that ended within CLEANED_FOR, in pages of at most _PAGE_TICKETS: the time of the last end by ticket
    number.  Some may have been restarted since.
    """
    last = 0
    while True:
        ends = TicketHistory.filter(
            at__gt=store.now() - CLEANED_FOR, status__in=_ENDED, ticket_id__gt=last
        )
        latest = ends.annotate(ended=Max("at")).group_by("ticket_id").order_by("ticket_id")
        rows = await latest.limit(_PAGE_TICKETS).values_list("ticket_id", "ended")
        if rows:
            yield {int(str(number)): cast("datetime", at) for number, at in rows}
            last = int(str(rows[-1][0]))
        if len(rows) < _PAGE_TICKETS:
            return


def _is_left(
    datastore: Datastore, ticket: Ticket, shown: Mapping[int, Container[PurePosixPath]]
) -> bool:
    try:
        if ticket.status is Status.DELETED:
            return datastore.has_ticket(ticket.id)
        return datastore.has_leftovers(ticket.id, shown.get(ticket.id))
    except OSError as error:
        if is_away(error):
            raise
        facts = {"ticket": ticket.id, "reason": repr(error)}
        log.warning("files of a ticket cannot be looked at", extra=facts)
        return False
