"""What nobody tells: claims without a sign of life, stages that take too long, missed announcements."""

import asyncio
import logging
from datetime import timedelta

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from dss_observability import metrics
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.accounts.sessions import YEAR_S
from dss_portal.datastore import Datastore
from dss_portal.models import Status, Ticket
from dss_portal.outbox import Relay
from dss_portal.settings import Settings
from dss_portal.tickets import claims, deadlines, store, submission
from dss_portal.tickets.lifecycle import LeaseLapsed

log = logging.getLogger(__name__)

PERIOD_S = 2.0
MAX_DOUBLINGS = 6
"""A ticket that waits for hours is announced about once in one, with the default setting."""


async def run(settings: Settings, datastore: Datastore, relay: Relay) -> None:
    """Until cancelled.

    Begins one lease after the start, so that the signs of life that queued up while no portal ran
    are heard before anybody is declared dead.
    """
    await asyncio.sleep(settings.lease_s)
    while True:
        try:
            if await sweep(settings, datastore):
                relay.wake()
            await accounts.forget_expired(YEAR_S)
        except Exception as error:
            facts, trace = {"reason": repr(error)}, database.trace_of(error)
            log.warning("sweep failed, trying again", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def sweep(settings: Settings, datastore: Datastore) -> int:
    """End what has lapsed or is overdue, and announce forgotten tickets again; how many were touched."""
    touched = 0
    for ticket_id, claim_id in await claims.lapsed():
        touched += await _lapse(ticket_id, claim_id, settings.max_attempts)
    touched += await deadlines.enforce(settings, datastore)
    for ticket_id in await _forgotten(settings.reconcile_s):
        touched += await _announce_again(ticket_id)
    return touched


async def _lapse(ticket_id: int, claim_id: str, max_attempts: int) -> bool:
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or not await claims.is_lapsed(claim_id):
            return False
        event = LeaseLapsed(claim_id=claim_id, max_attempts=max_attempts)
        if not await store.advance(ticket, event):
            return False
        metrics.LEASES_LAPSED.inc()
        await store.add_log(ticket_id, "warning", _sentence(ticket, max_attempts))
        if ticket.status is Status.READY:
            await submission.announce(ticket)
    return True


def _sentence(ticket: Ticket, max_attempts: int) -> str:
    if ticket.status is Status.TIMEOUT:
        return f"The service did not answer in {max_attempts} attempts; the ticket was given up."
    return f"The service stopped answering; attempt {ticket.attempt} of {max_attempts} is queued."


async def _forgotten(reconcile_s: float) -> list[int]:
    """Waiting tickets whose last message may be lost.

    Each announcement doubles the time until the next, because a long queue loses nothing and one
    message too many for every ticket and minute would fill it.
    """
    before = store.now() - timedelta(seconds=reconcile_s)
    late = Q(announced_at__lt=before) | Q(announced_at__isnull=True)
    found = await Ticket.filter(late, status=Status.READY).only(
        "id", "announced_at", "announcements"
    )
    return [ticket.id for ticket in found if _is_due(ticket, reconcile_s)]


def _is_due(ticket: Ticket, reconcile_s: float) -> bool:
    doublings = min(max(ticket.announcements - 1, 0), MAX_DOUBLINGS)
    wait = timedelta(seconds=reconcile_s * 2**doublings)
    return ticket.announced_at is None or ticket.announced_at < store.now() - wait


async def _announce_again(ticket_id: int) -> bool:
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or ticket.status is not Status.READY:
            return False
        await submission.announce(ticket)
    return True
