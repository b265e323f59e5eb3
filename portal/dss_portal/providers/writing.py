"""Writes log lines and progress of a provider's ticket.  One SQL statement also checks that the user holds the claim,
and renews its lease.

So a write needs one round trip to the database and one commit.  If the user does not hold the ticket's claim, the
statement writes nothing; ``store.lock_held_ticket`` then finds the reason.
"""

from datetime import timedelta

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.providers.store import SIGN_OF_LIFE_INTERVAL_S
from dss_portal.tickets.claims import RENEWED

# $1: the ticket.  $2: the user.
_HELD = f"""
WITH held AS (
    SELECT ticket.id, ticket.service_id, claim.id AS claim_id
    FROM ticket JOIN claim ON claim.id = ticket.claim_id
    WHERE ticket.id = $1 AND ticket.status = 'claimed' AND claim.user_id = $2 AND EXISTS (
        SELECT FROM provider_service offer
            JOIN provider_access access ON access.provider_id = offer.provider_id
            JOIN provider ON provider.id = access.provider_id
        WHERE offer.service_id = ticket.service_id AND access.user_id = $2 AND provider.current)
    FOR UPDATE OF ticket
), renewed AS (
    UPDATE claim SET expires_at = now() + lease_s * interval '1 s', {RENEWED}
    FROM held WHERE claim.id = held.claim_id
)"""  # noqa: S608 - contains no input

_LINE = f"""{_HELD}, line AS (
    INSERT INTO ticket_log (ticket_id, at, category, message, message_id) SELECT id, $3, $4, $5, $6 FROM held
    ON CONFLICT (message_id) DO NOTHING
    RETURNING id, ticket_id
), adopted AS (
    UPDATE attachment SET log_id = line.id
    FROM line WHERE attachment.ticket_id = line.ticket_id AND attachment.log_id IS NULL
)
SELECT id FROM line
"""  # noqa: S608 - contains no input

# $7: if the service was heard since then, its row is not updated.  $8: true if the program polls and does not announce itself.
_PROGRESS = f"""{_HELD}, told AS (
    INSERT INTO ticket_progress (ticket_id, chunk_start, chunk_end, progress)
    SELECT id, $3, $4, $5 FROM held
    ON CONFLICT (ticket_id, chunk_start, chunk_end) DO UPDATE SET progress = excluded.progress
), heard AS (
    UPDATE service SET heard_at = $6, polled_at = $6 FROM held
    WHERE service.id = held.service_id AND $8 AND (polled_at IS NULL OR polled_at < $7)
)
SELECT id FROM held
"""  # noqa: S608 - contains no input


async def add_log(
    ticket_id: int, user_id: int, category: str, message: str, message_id: str | None
) -> int | None:
    """Add a line to the ticket's log, with the attachments that belong to no line yet, and return the line's number.

    None, with nothing written, if the user does not hold the ticket's claim, or if there is already a line with that
    ``message_id``.
    """
    return await _id(_LINE, ticket_id, user_id, clock.now(), category, message, message_id)


async def set_progress(
    ticket_id: int, user_id: int, start: float, end: float, progress: float, *, polls: bool
) -> bool:
    """Store the progress (0..1) of the part of the work from ``start`` to ``end``.  False, with nothing written, if the
    user does not hold the ticket's claim.

    ``polls``: the program does not announce itself, so this counts as a sign of life for the service.
    """
    now = clock.now()
    since = now - timedelta(seconds=SIGN_OF_LIFE_INTERVAL_S)
    found = await _id(_PROGRESS, ticket_id, user_id, start, end, progress, now, since, polls)
    return found is not None


async def _id(statement: str, ticket_id: int, *values: object) -> int | None:
    if ticket_id >= 2**31:
        return None
    rows = await get_connection("default").execute_query_dict(statement, [ticket_id, *values])
    return int(rows[0]["id"]) if rows else None
