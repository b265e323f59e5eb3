"""Ends the claims of providers' users who have lost the right to serve the service.  Their tickets return to the queue."""

from tortoise.connection import get_connection

from dss_portal.tickets import store, submission
from dss_portal.tickets.lifecycle import HolderRemoved

# A claim continues if its service is removed, and ends if its provider or user is.
_ORPHANED = """
SELECT ticket.id, claim.id AS claim_id FROM ticket
    JOIN claim ON claim.id = ticket.claim_id
    JOIN user_account ON user_account.id = claim.user_id
WHERE ticket.status = 'claimed' AND (user_account.disabled OR NOT EXISTS (
    SELECT FROM provider_access access
        JOIN provider ON provider.id = access.provider_id AND provider.current
        JOIN provider_service offer ON offer.provider_id = provider.id
    WHERE access.user_id = claim.user_id AND offer.service_id = ticket.service_id))
ORDER BY ticket.id
"""


async def end_revoked_claims() -> None:
    """End every claim whose user may no longer serve its service, and queue its ticket again.  Call it in the
    transaction that takes the right away.
    """
    for row in await get_connection("default").execute_query_dict(_ORPHANED):
        ticket = await store.locked(int(row["id"]))
        event = HolderRemoved(claim_id=str(row["claim_id"]))
        if ticket is not None and await store.advance(ticket, event):
            await store.clear_progress(ticket.id)
            await store.add_log(
                ticket.id, "warning", "Its provider's user was removed; the ticket waits again."
            )
            await submission.announce(ticket)
