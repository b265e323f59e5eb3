"""Who works on which ticket.  There is one way to claim, for our dispatchers and for providers that poll."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimGranted, ClaimRefused, ClaimTicket
from dss_portal.models import Claim, Status, Ticket
from dss_portal.tickets import store
from dss_portal.tickets.lifecycle import Claimed
from dss_portal.tickets.store import now


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """Who asks: a dispatcher with the delivery in its hands, or a provider's user over HTTP."""

    provider: str
    instance: str
    lease_s: float
    delivery_id: str | None = None
    user_id: int | None = None


async def answer(request: ClaimTicket, lease_s: float) -> ClaimGranted | ClaimRefused:
    """Grant the ticket to whoever asks first; move it over if the same delivery comes from new hands."""
    claimant = Claimant(
        provider=request.provider,
        instance=request.instance,
        lease_s=lease_s,
        delivery_id=request.delivery_id,
    )
    async with in_transaction():
        ticket = await store.locked(request.ticket_id)
        refusal = await _refusal(ticket, claimant)
        if ticket is None or refusal:
            return ClaimRefused(ticket_id=request.ticket_id, reason=refusal)
        granted = await _grant(ticket, claimant)
    return ClaimGranted(
        ticket_id=ticket.id, claim_id=granted.id, attempt=ticket.attempt, lease_s=lease_s
    )


async def next_ready(service_ids: Sequence[int], claimant: Claimant) -> Ticket | None:
    """Claim the waiting ticket with the lowest number of these services; None if there is none."""
    async with in_transaction():
        waiting = Ticket.filter(service_id__in=list(service_ids), status=Status.READY)
        # Rows that another claimer has locked are as good as taken.
        ticket = await waiting.order_by("id").select_for_update(skip_locked=True).first()
        if ticket is not None:
            await _grant(ticket, claimant)
    return ticket


async def _refusal(ticket: Ticket | None, claimant: Claimant) -> str:
    """Why not, or ""."""
    if ticket is None:
        return "There is no such ticket."
    if ticket.status is Status.READY:
        return ""
    if ticket.status is not Status.CLAIMED:
        return f"The ticket is in state {ticket.status}."
    held = await Claim.get(id=ticket.claim_id)
    if held.delivery_id is not None and held.delivery_id == claimant.delivery_id:
        return ""  # the broker delivered it again: the holder has lost it
    return f"The ticket is claimed by {held.provider} instance {held.instance}."


async def _grant(ticket: Ticket, claimant: Claimant) -> Claim:
    granted = await Claim.create(
        id=uuid.uuid4().hex,
        ticket_id=ticket.id,
        provider=claimant.provider,
        instance=claimant.instance,
        user_id=claimant.user_id,
        delivery_id=claimant.delivery_id,
        lease_s=claimant.lease_s,
        expires_at=now() + timedelta(seconds=claimant.lease_s),
    )
    await store.advance(ticket, Claimed(claim_id=granted.id))
    await store.clear_progress(ticket.id)
    text = f"Ticket claimed by provider {claimant.provider} instance {claimant.instance}"
    await store.add_log(ticket.id, "info", text)
    return granted


async def renew(claim_id: str) -> None:
    """A sign of life."""
    held = await Claim.get(id=claim_id)
    held.expires_at = now() + timedelta(seconds=held.lease_s)
    await held.save(update_fields=["expires_at"])


async def renew_for(claim_id: str, user_id: int) -> None:
    """A sign of life, if the claim is that user's."""
    if await Claim.exists(id=claim_id, user_id=user_id):
        await renew(claim_id)


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
