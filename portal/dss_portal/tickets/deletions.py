"""Deletions that users start on a web page.  They take effect after a minute (UNDO_S); until then the user can undo
them.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from tortoise.transactions import in_transaction

from dss_portal import database
from dss_portal.batches import for_each, pages_of
from dss_portal.database import waiting
from dss_portal.datastore import Datastore
from dss_portal.models import Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.tickets import removal, store, submission

log = logging.getLogger(__name__)

UNDO_S = 60.0
PERIOD_S = 2.0
PAGE_TICKETS = 100


async def plan(ticket_id: int, user: User, after_s: float = UNDO_S) -> None:
    """Schedule the deletion of a ticket in ``after_s`` seconds.  Does nothing if the deletion is already scheduled or
    done; a second call does not change the time.

    Raises Refused if ``user`` may not see the ticket.
    """
    async with in_transaction():
        ticket = await _locked(ticket_id, user)
        if ticket.delete_at is None and ticket.status is not Status.DELETED:
            ticket.delete_at = store.now() + timedelta(seconds=after_s)
            await ticket.save(update_fields=["delete_at"])


async def undo(ticket_id: int, user: User) -> None:
    """Cancel the planned deletion of a ticket.  Raises Refused if the ticket is deleted already, or if ``user`` may not
    see it.
    """
    async with in_transaction():
        ticket = await _locked(ticket_id, user)
        if ticket.status is Status.DELETED:
            raise Refused(f"Ticket {ticket_id} has been deleted; that cannot be undone any more.")
        ticket.delete_at = None
        await ticket.save(update_fields=["delete_at"])


async def run(datastore: Datastore) -> None:
    """Call ``delete_due`` every PERIOD_S seconds, until cancelled.  An error is logged, and the next round tries again."""
    while True:
        try:
            await delete_due(datastore)
        except Exception as error:
            if not await waiting.for_schema(error):
                facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
                log.warning("tickets not deleted, trying again", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def delete_due(datastore: Datastore) -> int:
    """Delete all tickets whose planned time of deletion has passed, and return their number.

    Several portals may call it at the same time.  An error with one ticket is logged and does not stop the others,
    however many such tickets there are; an outage of database or datastore is raised.
    """
    deleted = 0
    due = Ticket.filter(delete_at__lte=store.now())
    async for numbers in pages_of(due, "id", PAGE_TICKETS):
        deleted += await for_each("deleting a ticket", numbers, partial(_delete, datastore))
    return deleted


async def _delete(datastore: Datastore, ticket_id: int) -> bool:
    """Delete a ticket; False if its deletion was undone, or done by another portal, in the meantime.

    The files are removed after the commit: if the transaction is rolled back, the ticket still exists with its files.
    If the portal crashes in between, ``cleanup`` removes them.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or ticket.delete_at is None or ticket.delete_at > store.now():
            return False
        await submission.forget(ticket)
        await Ticket.filter(id=ticket_id).update(delete_at=None)
    await removal.remove_files(datastore, ticket_id)
    return True


async def _locked(ticket_id: int, user: User) -> Ticket:
    await submission.readable(ticket_id, user)
    ticket = await store.locked(ticket_id)
    if ticket is None:
        raise submission.not_found(ticket_id, user)
    return ticket
