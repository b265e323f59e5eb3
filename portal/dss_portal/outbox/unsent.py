"""Messages of the outbox that cannot be sent.  They are set aside with a reason; operators see them among the dead
letters.

The ticket of such a message keeps waiting, and is announced again from time to time.  When an announcement succeeds,
the message that was set aside is deleted.
"""

import logging
from dataclasses import replace

from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from dss_broker.dead_letters import MAX_LETTERS, DeadLetter, dead_letter
from dss_broker.envelope import MAX_REASON_CHARS, Envelope
from dss_broker.messages import TicketReady
from dss_portal.database import clock
from dss_portal.models import OutboxMessage, Ticket, TicketLog
from dss_portal.outbox import store

log = logging.getLogger(__name__)

ORIGIN = "outbox"
"""The name of the queue that operators see for a message that could not be sent."""

UNSENT_SENTENCE = (
    "The service could not be told of this ticket, which waits until it can. Please tell the "
    "operator its number: he can see the reason among the dead letters."
)


def storable_reason(reason: str) -> str:
    """``reason`` without characters that PostgreSQL cannot store, cut to MAX_REASON_CHARS."""
    text = reason.replace("\0", " ").encode(errors="replace").decode()
    return text[:MAX_REASON_CHARS]


async def set_aside(row_id: int, reason: str) -> None:
    """Set the message of row ``row_id`` aside with ``reason``; nothing happens if there is no such row, or if it is set
    aside already.  If the message announces a ticket, it replaces an earlier announcement that was set aside; if there
    is none, a line in the ticket's log tells the owner.
    """
    async with in_transaction():
        row = await OutboxMessage.select_for_update().get_or_none(id=row_id)
        if row is None or row.set_aside_at is not None:
            return
        row.set_aside_at, row.reason = clock.now(), storable_reason(reason)
        row.ticket_id = (
            row.ticket_id or dead_letter(_sealed(row)).ticket_id
        )  # missing in rows of an older portal
        await row.save(update_fields=["set_aside_at", "reason", "ticket_id"])
        facts = {"type": row.type_name, "ticket": row.ticket_id, "reason": row.reason}
        log.error("message set aside", extra=facts)
        if row.type_name == TicketReady.__name__ and not await _replaces_earlier(row):
            await _tell(row.ticket_id)


async def listed() -> list[DeadLetter]:
    """The first MAX_LETTERS messages that were set aside, the oldest first."""
    return [_letter(row) for row in await _letters().order_by("id").limit(MAX_LETTERS)]


async def send_again(letter_id: str) -> None:
    """Make the message that was set aside due again.  Its attempts are counted from 0.  Does nothing if there is none
    with the id ``letter_id``.
    """
    await store.make_due(_letters().filter(message_id=letter_id))


async def discard(letter_id: str) -> None:
    await _letters().filter(message_id=letter_id).delete()


async def count() -> int:
    return await _letters().count()


def _letters() -> QuerySet[OutboxMessage]:
    return OutboxMessage.filter(set_aside_at__isnull=False)


async def _replaces_earlier(row: OutboxMessage) -> bool:
    """Delete earlier messages of the same type about the same ticket that were set aside; True if there was one."""
    same = _letters().filter(type_name=row.type_name, ticket_id=row.ticket_id)
    return await same.exclude(id=row.id).delete() > 0


async def _tell(ticket_id: int | None) -> None:
    if ticket_id is not None and await Ticket.exists(id=ticket_id):
        await TicketLog.create(ticket_id=ticket_id, category="warning", message=UNSENT_SENTENCE)


def _sealed(row: OutboxMessage) -> Envelope:
    return Envelope(type_name=row.type_name, body=bytes(row.body), message_id=row.message_id)


def _letter(row: OutboxMessage) -> DeadLetter:
    return replace(
        dead_letter(_sealed(row)),
        ticket_id=row.ticket_id,
        reason=row.reason or "",
        queue=ORIGIN,
        program="portal",
        attempt=row.tries,
        deliveries=0,
        parked_at=row.set_aside_at,
        traceparent=row.traceparent,
    )
