"""Links that give access to the results of one ticket to everyone who has the link, until it expires."""

import hashlib
import re
import secrets
from datetime import timedelta

from dss_portal.database import clock
from dss_portal.models import Opening, Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.tickets import store, submission

TOKEN_BYTES = 16
MOST_URL_BYTES = 4095
"""Longest URL that ITK-SNAP does not truncate."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""File names that need no escapes in a URL.  ITK-SNAP passes URLs to printf, so they must not contain %."""

NO_NAME = "A file's name has characters that no link can have; download the results instead."
NO_RESULTS = "This ticket has no results that ITK-SNAP could open."


async def open_results(ticket_id: int, user: User, life_s: float, public_url: str) -> str:
    """Make a link by which ITK-SNAP opens the ticket's results, valid for ``life_s`` seconds, and return it.  An
    earlier link of the ticket becomes invalid.

    Raises Refused if the user may not read the ticket, if its results do not have exactly one workspace, or if a file
    name does not fit into the link.
    """
    await submission.readable(ticket_id, user)
    names = [file.name for file in await store.files(ticket_id, "results")]
    workspaces = [name for name in names if name.endswith(".itksnap")]
    if len(workspaces) != 1:
        raise Refused(NO_RESULTS)
    token = secrets.token_hex(TOKEN_BYTES)
    address = f"itksnap-{public_url.rstrip('/')}/open/{token}/{workspaces[0]}"
    if not all(map(_PLAIN.fullmatch, names)) or "%" in address or len(address) > MOST_URL_BYTES:
        raise Refused(NO_NAME)
    await close_results(ticket_id, user)
    expires_at = clock.now() + timedelta(seconds=life_s)
    await Opening.create(sha256=_digest(token), ticket_id=ticket_id, expires_at=expires_at)
    return address


async def close_results(ticket_id: int, user: User) -> None:
    """Delete the ticket's link, if there is one.  Raises Refused if the user may not read the ticket."""
    await submission.readable(ticket_id, user)
    await Opening.filter(ticket_id=ticket_id).delete()


async def ticket_of(token: str) -> Ticket | None:
    """The ticket that the link opens; None if the link is unknown or has expired, or if the ticket's state is not
    success.
    """
    alive = Opening.filter(sha256=_digest(token), expires_at__gt=clock.now())
    found = await alive.select_related("ticket").first()
    return found.ticket if found and found.ticket.status is Status.SUCCESS else None


async def forget_expired() -> None:
    await Opening.filter(expires_at__lt=clock.now()).delete()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
