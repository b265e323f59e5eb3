"""Stores facts about a ticket's segmentation: its labels with their volumes, and the algorithm's verdict."""

from collections.abc import Sequence

from dss_broker.messages import Label
from dss_portal.models import Ticket, TicketLabel

MOST_LABELS = 1000


async def store(ticket: Ticket, labels: Sequence[Label], verdict: str = "") -> None:
    """Store the labels and the verdict of a ticket's results in place of those of an earlier attempt.  Call it in a
    transaction that has locked ``ticket``.

    Of labels with the same value, the last is stored; of more than MOST_LABELS, those with the smallest values; of the
    verdict, the first 32 characters.
    """
    await TicketLabel.filter(ticket_id=ticket.id).delete()
    known = {label.value: label for label in labels}
    rows = [_row(ticket.id, known[value]) for value in sorted(known)[:MOST_LABELS]]
    if rows:
        await TicketLabel.bulk_create(rows)
    await _judge(ticket, verdict[:32])


async def delete(ticket: Ticket) -> None:
    """Delete the labels and the verdict of a ticket.  Call it in a transaction that has locked ``ticket``."""
    await store(ticket, ())


async def _judge(ticket: Ticket, verdict: str) -> None:
    if ticket.verdict != verdict:
        ticket.verdict = verdict
        await ticket.save(update_fields=["verdict"])


async def labels(ticket_id: int) -> list[TicketLabel]:
    """The labels of a ticket, sorted by value."""
    return await TicketLabel.filter(ticket_id=ticket_id).order_by("value")


def _row(ticket_id: int, label: Label) -> TicketLabel:
    red, green, blue = label.rgb
    return TicketLabel(
        ticket_id=ticket_id,
        value=label.value,
        name=label.name,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        volume_ml=label.volume_ml,
    )
