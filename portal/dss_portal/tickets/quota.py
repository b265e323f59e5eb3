"""The limit on a user's open tickets, and the lock that makes the limits on stored bytes and files exact.

The limits hold for any number of simultaneous requests and portals: every check runs in a transaction that holds the
lock on the user's row.  Code that also locks a ticket must lock the ticket first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tortoise.connection import get_connection
from tortoise.expressions import Q

from dss_portal.models import Status, Ticket, Tier, User
from dss_portal.refusals import Refused
from dss_portal.tickets import store

_THAT_COUNT = "SELECT id, status FROM tickets_that_count($1, $2, $3)"

MAX_NAMED = 20
"""Largest number of tickets that a refusal lists, because ITK-SNAP shows only 1023 characters of a message."""


class TooManyTickets(Refused):
    """The user may open no further ticket until one of the open tickets has ended."""


async def lock(user_id: int) -> User:
    """The user, locked until the caller's transaction ends."""
    return await User.select_for_update().get(id=user_id)


def is_quiet(ticket: Ticket, quiet_s: float) -> bool:
    """True for a ticket in state ``init`` if its last upload, or its creation if nothing was uploaded, is more than
    ``quiet_s`` seconds ago.  Such a ticket does not count towards the quota.
    """
    last = ticket.uploaded_at or ticket.created_at
    return ticket.status is Status.INIT and is_past(last, quiet_s)


def is_past(at: datetime, quiet_s: float) -> bool:
    return at < quiet_since(quiet_s)


def quiet_since(quiet_s: float) -> datetime:
    """The time ``quiet_s`` seconds ago.  A ticket in state ``init`` that was created and last received a part of a file
    before it is quiet, and does not count towards the quota.
    """
    return store.now() - timedelta(seconds=quiet_s)


def quiet_condition(quiet_s: float) -> Q:
    """A query condition that selects the tickets for which ``is_quiet`` is True."""
    before = quiet_since(quiet_s)
    silent = Q(uploaded_at__lt=before) | Q(uploaded_at__isnull=True, created_at__lt=before)
    return Q(Q(status=Status.INIT), silent)


async def check_tickets(user_id: int, quiet_s: float, *, but: int | None = None) -> None:
    """Raises TooManyTickets if the user may not have one more open ticket.  The ticket with the number ``but``, which
    is about to be opened, and quiet tickets are not counted.  Locks the user until the caller's transaction ends.
    """
    user = await lock(user_id)
    tier = await Tier.get(name=user.tier_id)
    counted = await _counted_tickets(user_id, quiet_s, but)
    if len(counted) >= tier.max_tickets:
        raise TooManyTickets(_too_many(tier.max_tickets, counted))


async def _counted_tickets(
    user_id: int, quiet_s: float, but: int | None
) -> list[tuple[int, Status]]:
    values = [user_id, quiet_since(quiet_s), but or 0]
    rows = await get_connection("default").execute_query_dict(_THAT_COUNT, values)
    return [(row["id"], Status(row["status"])) for row in rows]


def _too_many(limit: int, counted: Sequence[tuple[int, Status]]) -> str:
    """The text of the refusal.  Its first sentence must stay as it is, because clients compare it."""
    named = ", ".join(f"{number} ({status.value})" for number, status in counted[:MAX_NAMED])
    more = f" and {len(counted) - MAX_NAMED} more" if len(counted) > MAX_NAMED else ""
    return (
        f"Maximum allowed number of open tickets ({limit}) exceeded. These count: {named}{more}. "
        "Delete those that you do not need, or wait until they are done."
    )
