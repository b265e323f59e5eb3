"""Converts dead letters to rows of a table."""

from dss_broker.dead_letters import DeadLetter
from dss_portal.database import clock
from dss_portal.formats import Cell

COLUMNS = (
    "id",
    "type",
    "ticket",
    "reason",
    "queue",
    "program",
    "instance",
    "attempt",
    "deliveries",
    "age_s",
    "traceparent",
)


def row(letter: DeadLetter) -> tuple[Cell, ...]:
    return (
        letter.id,
        letter.type_name,
        "" if letter.ticket_id is None else letter.ticket_id,
        letter.reason,
        letter.queue,
        letter.program,
        letter.instance,
        letter.attempt,
        letter.deliveries,
        "" if (age := age_s(letter)) is None else round(age),
        letter.traceparent or "",
    )


def age_s(letter: DeadLetter) -> float | None:
    """Seconds since the letter was moved to the dead letters; None if that time is not known."""
    return (clock.now() - letter.parked_at).total_seconds() if letter.parked_at else None
