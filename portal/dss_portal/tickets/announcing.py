"""Announces waiting tickets to the dispatchers again (message TicketReady), because the earlier announcement may be
lost.  The reaper calls it with many tickets at a time.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from tortoise.transactions import in_transaction

from dss_broker.codec import encode
from dss_broker.messages import TicketReady
from dss_observability.tracing import current_traceparent
from dss_portal.batches import for_each
from dss_portal.outbox import store as outbox
from dss_portal.tickets import store

# A ticket that another transaction has locked is being changed; the next round announces it if it still waits.
_WAITING = """
SELECT ticket.id, ticket.attempt, ticket.traceparent, service.name, service.githash
FROM ticket JOIN service ON service.id = ticket.service_id
WHERE ticket.id = ANY($1::int[]) AND ticket.status = 'ready'
ORDER BY ticket.id FOR UPDATE OF ticket SKIP LOCKED
"""

_NOTE = outbox.StoringStatement("""
WITH told AS (
    {insert}
    SELECT message_id, type_name, body, traceparent, $1, ticket_id
    FROM unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::int[])
        AS message (message_id, type_name, body, traceparent, ticket_id)
)
UPDATE ticket SET announced_at = $1, announcements = announcements + 1 WHERE id = ANY($6::int[])
""")


async def announce_again(ticket_ids: Sequence[int]) -> int:
    """Announce again those of the tickets that still wait and that no other transaction has locked, by messages in the
    outbox, all in one transaction.  Returns the number of announced tickets.

    If that fails for several tickets, each is announced in a transaction of its own; the error of one ticket is then
    logged and does not stop the others.  The error is raised for a single ticket, or if the database is unavailable.
    """
    try:
        return await _announce_in_one_transaction(ticket_ids)
    except Exception:
        if len(ticket_ids) == 1:
            raise
        return await for_each(
            "announcing a ticket again", [[number] for number in ticket_ids], announce_again
        )


async def _announce_in_one_transaction(ticket_ids: Sequence[int]) -> int:
    async with in_transaction() as connection:
        waiting = await connection.execute_query_dict(_WAITING, [list(ticket_ids)])
        if waiting:
            await _store_announcements(waiting)
    return len(waiting)


async def _store_announcements(waiting: Sequence[dict[str, Any]]) -> None:
    """Store an announcement in the outbox, and count it, for each of the locked tickets.  ``waiting`` are rows of
    ``_WAITING``.
    """
    encoded = [encode(message_of(row)) for row in waiting]
    current = current_traceparent.get()
    values = [
        store.now(),
        [uuid.uuid4().hex for _ in waiting],
        [type_name for type_name, _ in encoded],
        [body for _, body in encoded],
        [row["traceparent"] or current for row in waiting],
        [row["id"] for row in waiting],
    ]
    await _NOTE.execute(values)


def message_of(row: dict[str, Any]) -> TicketReady:
    return TicketReady(
        ticket_id=row["id"],
        service=row["name"],
        service_hash=row["githash"],
        attempt=row["attempt"],
    )
