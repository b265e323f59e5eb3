"""Tickets that wait since a time that the test says."""

from datetime import UTC, datetime, timedelta

from dss_portal.models import Service, Status, Ticket, User

START = datetime(2026, 1, 1, tzinfo=UTC)


async def waiting(
    service: Service, user: User, minute: float | None = None, attempt: int = 1
) -> int:
    """A ticket that has waited since ``minute``, long ago, or without one since now."""
    ticket = await Ticket.create(
        user=user,
        service=service,
        status=Status.READY,
        attempt=attempt,
        queued_at=datetime.now(UTC) if minute is None else START + timedelta(minutes=minute),
    )
    return ticket.id
