"""Who works on which ticket.  There is one way to claim, for our dispatchers and for providers that poll."""

import logging
import uuid
from datetime import timedelta

from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimGranted, ClaimRefused, ClaimTicket
from dss_portal.models import Claim, Status, Ticket
from dss_portal.tickets import store
from dss_portal.tickets.lifecycle import Claimed
from dss_portal.tickets.store import now

log = logging.getLogger(__name__)


async def claim(request: ClaimTicket, lease_s: float) -> ClaimGranted | ClaimRefused:
    """Grant the ticket to whoever asks first; move it over if the same delivery comes from new hands."""
    async with in_transaction():
        ticket = await store.locked(request.ticket_id)
        refusal = await _refusal(ticket, request)
        if ticket is None or refusal:
            return ClaimRefused(ticket_id=request.ticket_id, reason=refusal)
        return await _grant(ticket, request, lease_s)


async def _refusal(ticket: Ticket | None, request: ClaimTicket) -> str:
    """Why not, or ""."""
    if ticket is None:
        return "There is no such ticket."
    if ticket.status is Status.READY:
        return ""
    if ticket.status is not Status.CLAIMED:
        return f"The ticket is in state {ticket.status}."
    held = await Claim.get(id=ticket.claim_id)
    if held.delivery_id == request.delivery_id:
        return ""  # the broker delivered it again: the holder has lost it
    return f"The ticket is claimed by {held.provider} instance {held.instance}."


async def _grant(ticket: Ticket, request: ClaimTicket, lease_s: float) -> ClaimGranted:
    granted = await Claim.create(
        id=uuid.uuid4().hex,
        ticket_id=ticket.id,
        provider=request.provider,
        instance=request.instance,
        delivery_id=request.delivery_id,
        expires_at=now() + timedelta(seconds=lease_s),
    )
    await store.advance(ticket, Claimed(claim_id=granted.id))
    await store.clear_progress(ticket.id)
    text = f"Ticket claimed by provider {request.provider} instance {request.instance}"
    await store.add_log(ticket.id, "info", text)
    return ClaimGranted(
        ticket_id=ticket.id, claim_id=granted.id, attempt=ticket.attempt, lease_s=lease_s
    )


async def renew(claim_id: str, lease_s: float) -> None:
    """A sign of life."""
    await Claim.filter(id=claim_id).update(expires_at=now() + timedelta(seconds=lease_s))


async def lapsed() -> list[tuple[int, str]]:
    """Ticket and claim of every current claim without a sign of life."""
    claimed = await Ticket.filter(status=Status.CLAIMED).values_list("id", "claim_id")
    current = {str(claim_id): int(ticket_id) for ticket_id, claim_id in claimed}
    late = await Claim.filter(id__in=list(current), expires_at__lt=now()).values_list(
        "id", flat=True
    )
    return [(current[str(claim_id)], str(claim_id)) for claim_id in late]


async def is_lapsed(claim_id: str) -> bool:
    return await Claim.exists(id=claim_id, expires_at__lt=now())
