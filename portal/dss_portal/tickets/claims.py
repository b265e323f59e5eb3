"""Grants and renews claims of tickets, for our dispatchers (over the broker) and for external providers (over HTTP).

A claim is a lease: it expires unless signs of life of its holder renew it.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimGranted, ClaimRefused, ClaimTicket
from dss_datastore import layout
from dss_portal.models import Claim, ProviderService, Service, Status, Ticket
from dss_portal.tickets import granting, input_files, queue, store
from dss_portal.tickets.deadlines import own_deadlines
from dss_portal.tickets.granting import Claimant, Grant
from dss_portal.tickets.lifecycle import Claimed
from dss_portal.tickets.store import now

RENEWED = "silence_s = greatest(silence_s, lease_s - extract(epoch FROM expires_at - now()))"
"""A part of the SET clause of each UPDATE of ``claim`` that renews its lease; the rest sets ``expires_at``.  It updates
``silence_s``, the longest time in seconds so far between two signs of life.
"""


async def answer(request: ClaimTicket, lease_s: float) -> ClaimGranted | ClaimRefused:
    """Answer a dispatcher's request: grant the next waiting ticket of its service, which may be another ticket than the
    message names, or refuse if none waits that its provider serves.  ``lease_s``: the lease for services that set none.

    One message leads to at most one ticket.  While its claim is current, a repeated request for the same delivery gets
    the same claim; a request for a later delivery gets a new claim of that ticket, and events of the old claim are
    ignored from then on (fencing).  Refused: a request for an earlier delivery, or after the message's claim has ended.
    """
    claimant = Claimant(
        provider=request.provider,
        instance=request.instance,
        lease_s=lease_s,
        delivery_id=request.delivery_id,
        deliveries=request.deliveries,
    )
    async with in_transaction():
        await queue.serialise([request.service])
        ticket = await _for_delivery(request)
        if ticket is None:
            return ClaimRefused(ticket_id=request.ticket_id, reason="No ticket waits any more.")
        granted = await _granted_before(ticket, claimant) or await _grant(ticket, claimant)
    folder = granted.input_folder
    return ClaimGranted(
        ticket_id=ticket.id,
        claim_id=granted.claim_id,
        attempt=ticket.attempt,
        lease_s=granted.lease_s,
        traceparent=ticket.traceparent,
        reads_reports=True,
        input_dir=str(layout.input_dir(ticket.id, folder)) if folder else "",
    )


async def _for_delivery(request: ClaimTicket) -> Ticket | None:
    """The ticket to grant for the request's message, with its row locked; None if no ticket waits or if the request
    must be refused.

    If the message has already led to a claim, only that claim's ticket can be granted, and only while the claim is
    current: the ticket fails if the message is moved to the dead letters, so the message must concern one ticket.  A
    request from an earlier delivery than the latest known one is refused, because its dispatcher has lost the message.
    """
    last = await Claim.filter(delivery_id=request.delivery_id).order_by("-deliveries").first()
    if last is not None:
        is_late = request.deliveries < last.deliveries
        return None if is_late else await held_by(request.delivery_id)
    return await queue.lock_next([request.service], await _versions_of(request))


async def _versions_of(request: ClaimTicket) -> list[int]:
    """Database ids of all versions of the requested service that the dispatcher's provider offers or has offered.

    So tickets for older versions can be granted, and tickets for another provider's service of the same name cannot.
    Empty if the provider was removed.
    """
    links = ProviderService.filter(
        provider__name=request.provider, provider__current=True, service__name=request.service
    )
    return [int(str(version)) for version in await links.values_list("service_id", flat=True)]


async def _granted_before(ticket: Ticket, claimant: Claimant) -> Grant | None:
    """The ticket's current claim, after renewing its lease, if it was granted to the same dispatcher process for the
    same delivery; otherwise None.
    """
    if ticket.status is not Status.CLAIMED or ticket.claim_id is None:
        return None
    claim = await Claim.get(id=ticket.claim_id)
    granted_to = (claim.provider, claim.instance, claim.delivery_id, claim.deliveries)
    requested_by = (claimant.provider, claimant.instance, claimant.delivery_id, claimant.deliveries)
    if granted_to != requested_by:
        return None
    await renew(claim.id)
    return await _as_grant(claim)


async def _as_grant(claim: Claim) -> Grant:
    return Grant(
        claim_id=claim.id,
        lease_s=claim.lease_s,
        input_folder=await input_files.folder_of(claim.ticket_id),
    )


async def next_waiting(services: Sequence[Service], claimant: Claimant) -> Ticket | None:
    """Claim the next waiting ticket of these services for ``claimant``, and return the ticket; None if no ticket waits.

    Call it in a transaction that has called ``queue.serialise`` for the names of these services.
    """
    names = sorted({service.name for service in services})
    ticket = await queue.lock_next(names, [service.id for service in services])
    if ticket is not None:
        (service,) = (s for s in services if s.id == ticket.service_id)
        await _grant(ticket, claimant, service)
    return ticket


async def held_by(delivery_id: str, services: Sequence[Service] = ()) -> Ticket | None:
    """The ticket in state ``claimed`` whose current claim was granted to the message or repeatable HTTP request
    ``delivery_id``, with its row locked; None if there is none.  If ``services`` are given, only a ticket of one of
    them.
    """
    granted = await Claim.filter(delivery_id=delivery_id).values_list("id", flat=True)
    tickets = Ticket.filter(claim_id__in=[str(i) for i in granted], status=Status.CLAIMED)
    if services:
        tickets = tickets.filter(service_id__in=[service.id for service in services])
    return await tickets.select_for_update().first() if granted else None


async def last_granted_to(delivery_id: str) -> int | None:
    """The number of the ticket that was last granted to the message ``delivery_id``, whatever the ticket's present
    state; None if the message has led to no ticket.
    """
    last = await Claim.filter(delivery_id=delivery_id).order_by("-granted_at").first()
    return last.ticket_id if last else None


async def _grant(ticket: Ticket, claimant: Claimant, service: Service | None = None) -> Grant:
    service = service or await Service.get(id=ticket.service_id)
    lease_s = own_deadlines(service).claim_s or claimant.lease_s
    if ticket.status is Status.READY:
        return await granting.write(ticket, service, claimant, lease_s)
    granted = await Claim.create(
        id=uuid.uuid4().hex,
        ticket_id=ticket.id,
        provider=claimant.provider,
        instance=claimant.instance,
        user_id=claimant.user_id,
        delivery_id=claimant.delivery_id,
        deliveries=claimant.deliveries,
        lease_s=lease_s,
        expires_at=now() + timedelta(seconds=lease_s),
    )
    await renew(granted.id)  # sets the lease by the database's clock
    await store.advance(ticket, Claimed(claim_id=granted.id))
    await store.clear_progress(ticket.id)
    await store.add_log(ticket.id, "info", claimant.line)
    return await _as_grant(granted)


async def renew(claim_id: str, pause_s: float = 0.0) -> None:
    """Renew the lease of a claim: it expires ``lease_s`` (of the claim) plus ``pause_s`` seconds from now.  One SQL
    statement, because every event of a claim calls this.
    """
    statement = f"UPDATE claim SET expires_at = now() + (lease_s + $2) * interval '1 s', {RENEWED} WHERE id = $1"  # noqa: S608 - no input
    await get_connection("default").execute_query(statement, [claim_id, pause_s])


async def renew_for(claim_id: str, user_id: int) -> None:
    """Renew the lease of a claim, if the claim belongs to that user."""
    if await Claim.exists(id=claim_id, user_id=user_id):
        await renew(claim_id)


async def lapsed(claim_id: str | None = None) -> list[tuple[int, str]]:
    """The ticket number and the claim id of every current claim whose lease has expired; with ``claim_id``, only of
    that claim.

    The lease is compared with the database's clock, because a portal's clock may be wrong by more than a lease.
    """
    statement = (
        "SELECT ticket.id, claim.id AS claim_id FROM ticket JOIN claim ON claim.id = ticket.claim_id "
        "WHERE ticket.status = 'claimed' AND claim.expires_at < now() "
        "AND ($1::text IS NULL OR claim.id = $1)"
    )
    rows = await get_connection("default").execute_query_dict(statement, [claim_id])
    return [(int(row["id"]), str(row["claim_id"])) for row in rows]
