"""What nobody tells: claims without a sign of life, stages that take too long, missed announcements."""

import asyncio
import logging
from datetime import timedelta

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from dss_broker.broker import Broker
from dss_portal import database
from dss_portal.batches import each
from dss_portal.datastore import Datastore
from dss_portal.models import Status, Ticket
from dss_portal.outbox import Relay
from dss_portal.settings import Settings
from dss_portal.tickets import deadlines, leases, store, submission

log = logging.getLogger(__name__)

PERIOD_S = 2.0

LONGEST_GRACE_S = 15.0
"""Everybody has connected to the broker again after so long, and given a sign of life."""
MAX_DOUBLINGS = 6
"""A ticket that waits for hours is announced about once in one, with the default setting."""


async def run(settings: Settings, datastore: Datastore, broker: Broker, relay: Relay) -> None:
    """Until cancelled.

    Begins one lease after the start, so that the signs of life that queued up while no portal ran
    are heard before anybody is declared dead.
    """
    await asyncio.sleep(settings.lease_s)
    overdue = leases.Overdue(broker, grace_s=min(settings.lease_s, LONGEST_GRACE_S))
    while True:
        try:
            await each("claims without a sign of life", [overdue], leases.Overdue.ask)
            if await sweep(settings, datastore):
                relay.wake()
        except Exception as error:
            facts, trace = {"reason": repr(error)}, database.trace_of(error)
            log.warning("sweep failed, trying again", extra=facts, exc_info=trace)
        await asyncio.sleep(PERIOD_S)


async def sweep(settings: Settings, datastore: Datastore) -> int:
    """End what is past its deadline, and announce forgotten tickets again; how many were touched."""
    touched = await deadlines.enforce(settings, datastore)
    forgotten = await _forgotten(settings.reconcile_s)
    return touched + await each("announcing a ticket again", forgotten, _announce_again)


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
