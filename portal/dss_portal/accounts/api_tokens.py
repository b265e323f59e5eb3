"""Long-lived tokens for programs: scoped, revocable, sent as ``Authorization: Bearer``."""

import secrets
from collections.abc import Iterable
from datetime import timedelta

from tortoise.expressions import Q

from dss_portal.accounts.store import digest
from dss_portal.database import clock
from dss_portal.models import ApiToken, User

PREFIX = "dss_"  # lets scanners for secrets recognise a leaked token
SCOPES = {
    "tickets": "what a user does: services, tickets, files",
    "provider": "claim and work on tickets",
    "admin": "manage providers and services, as far as the user may",
}


async def create(user: User, name: str, scopes: Iterable[str], life: timedelta | None) -> str:
    """Create a token and return its text, which cannot be read again later.  ``life`` is how long it is valid; None
    means without end.  Raises LookupError for an unknown scope.
    """
    wanted = sorted(set(scopes))
    if unknown := set(wanted) - set(SCOPES):
        known = ", ".join(SCOPES)
        raise LookupError(f"There is no scope '{min(unknown)}'; there are {known}.")
    token = PREFIX + secrets.token_urlsafe(32)
    await ApiToken.create(
        sha256=digest(token),
        user=user,
        name=name,
        scopes=" ".join(wanted),
        expires_at=None if life is None else clock.now() + life,
    )
    return token


async def find(token: str) -> ApiToken | None:
    """The token with its user; None if it is unknown, revoked or expired, or if the user is disabled."""
    now = clock.now()
    lives = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    valid = ApiToken.filter(lives, sha256=digest(token), revoked_at__isnull=True)
    found = await valid.select_related("user").first()
    return None if found is None or found.user.disabled else found


async def listed() -> list[ApiToken]:
    """All tokens that are not revoked, expired ones too, with their users, by number."""
    return await ApiToken.filter(revoked_at__isnull=True).select_related("user").order_by("id")


async def revoke(number: int) -> None:
    """Revoke the token with that number.  Raises LookupError if there is none or if it is revoked already."""
    valid = ApiToken.filter(id=number, revoked_at__isnull=True)
    if not await valid.update(revoked_at=clock.now()):
        raise LookupError(f"There is no token {number}.")
