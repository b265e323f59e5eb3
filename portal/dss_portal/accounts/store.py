"""Users, tiers, one-time tokens and sessions in the database.  Only the SHA-256 of each secret is stored, not the
secret.
"""

import hashlib
import re
import secrets
from datetime import timedelta

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from dss_portal.database import clock
from dss_portal.models import LoginToken, ProviderAccess, Session, Tier, User
from dss_portal.refusals import NotSignedIn, Refused

TEST_USER = "test@example.com"
SESSION_LIFE_S = 365 * 24 * 3600  # a year
TOKEN_BYTES = 24  # 48 hexadecimal digits, as ITK-SNAP's token box expects

_QUOTES = "\"'`\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e<>"

GIB = 2**30
TIERS = {"guest": (10, 50 * GIB), "poweruser": (60, 500 * GIB), "xnat": (100_000, 50_000 * GIB)}
"""By tier: the number of open tickets, which is that of the reference server, and the number of stored bytes."""
FILES_PER_TICKET = 100
"""A tier's users may store this number of files for each open ticket that they may have."""


def address(text: str) -> str:
    """The e-mail address as it is stored: in lower case, without blanks around it."""
    return text.strip().lower()


_ADDRESS = re.compile(r"[^\s@,;:<>()\"\\]+@[^\s@,;:<>()\"\\]+")
_ADDRESS_CHARACTERS = 254
"""Longest address that mail can be sent to (RFC 5321, 4.5.3.1.3)."""


def valid_address(text: str) -> str:
    """The e-mail address in ``text``, as it is stored.  Raises Refused if mail cannot be sent there."""
    found = address(text)
    if not (
        _ADDRESS.fullmatch(found) and found.isprintable() and len(found) <= _ADDRESS_CHARACTERS
    ):
        raise Refused(
            f"'{found[:_ADDRESS_CHARACTERS]}' is no e-mail address; one like jane@example.com is needed."
        )
    return found


def strip_pasted(token: str) -> str:
    """``token`` without blanks, line breaks, quotes and unprintable characters, wherever they were pasted into it."""
    return "".join(c for c in token if not c.isspace() and c not in _QUOTES and c.isprintable())


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def make_tiers() -> None:
    """Create the built-in tiers that are missing."""
    for name, (max_tickets, max_stored_bytes) in TIERS.items():
        limits = {
            "max_tickets": max_tickets,
            "max_stored_bytes": max_stored_bytes,
            "max_files": max_tickets * FILES_PER_TICKET,
        }
        await Tier.get_or_create(name=name, defaults=limits)


async def tiers() -> list[Tier]:
    """All tiers, ordered by the number of tickets that they allow."""
    return await Tier.all().order_by("max_tickets")


async def set_priority(name: str, minutes: int) -> None:
    """Order the tier's tickets in queues as if they had been submitted ``minutes`` earlier.  Raises LookupError for
    an unknown tier.
    """
    if not await Tier.filter(name=name).update(priority_minutes=minutes):
        raise LookupError(f"There is no tier '{name}'; there are {', '.join(TIERS)}.")


async def save_user(email: str, *, sysadmin: bool | None = None, tier: str | None = None) -> User:
    """Create a user, or update and enable an existing one; an argument that is None changes nothing.  A new user is a
    guest unless ``tier`` says otherwise.

    Raises LookupError for an unknown tier, Refused for a new user without a valid e-mail address.
    """
    if tier is not None and not await Tier.exists(name=tier):
        raise LookupError(f"There is no tier '{tier}'; there are {', '.join(TIERS)}.")
    stored = address(email)
    if not (stored.isprintable() and await User.exists(email=stored)):
        stored = valid_address(email)  # accounts made before this rule stay usable
    user, _ = await User.get_or_create(email=stored, defaults={"tier_id": tier or "guest"})
    user.sysadmin = user.sysadmin if sysadmin is None else sysadmin
    user.tier_id = tier or user.tier_id
    user.disabled = False
    await user.save()
    return user


async def new_login_token(user: User, life_s: float) -> str:
    """Make a token with which ``user`` can sign in once, within ``life_s`` seconds, and return it."""
    token = secrets.token_hex(TOKEN_BYTES)
    expires_at = clock.now() + timedelta(seconds=life_s)
    await LoginToken.create(sha256=digest(token), user=user, expires_at=expires_at)
    return token


async def use_login_token(token: str) -> User | None:
    """Use up the token and return its user; None if it is unknown, used or expired, or if the user is disabled.  If
    several calls use a token at once, only one succeeds.
    """
    now = clock.now()
    valid = LoginToken.filter(sha256=digest(token), used_at__isnull=True, expires_at__gt=now)
    if not await valid.update(used_at=now):
        return None
    used = await LoginToken.get(sha256=digest(token)).select_related("user")
    return None if used.user.disabled else used.user


async def open_session(user: User) -> str:
    """Open a session and return its id for the client's cookie."""
    session_id = secrets.token_hex(20)
    await Session.create(sha256=digest(session_id), user=user)
    return session_id


async def find_session(session_id: str) -> Session | None:
    """The session with its user; None if there is none, if it was revoked, or if the user is disabled."""
    found = await Session.get_or_none(
        sha256=digest(session_id), revoked_at__isnull=True
    ).select_related("user")
    return None if found is None or found.user.disabled else found


async def forget_expired(session_life_s: float) -> None:
    """Delete the rows of expired one-time tokens, of revoked sessions, and of sessions older than
    ``session_life_s``.
    """
    now = clock.now()
    await LoginToken.filter(expires_at__lt=now).delete()
    too_old = Q(created_at__lt=now - timedelta(seconds=session_life_s))
    await Session.filter(too_old | Q(revoked_at__isnull=False)).delete()


async def accept_terms(session: Session, *, accepted: bool) -> None:
    """Store in the session, where clients see it, whether the user accepts the terms of use; if so, store the time in
    the user's record.
    """
    session.terms_accepted = accepted
    await session.save(update_fields=["terms_accepted"])
    if accepted:
        await User.filter(id=session.user_id).update(terms_accepted_at=clock.now())


async def has_accepted_terms(user: User) -> bool:
    """True if the user has accepted the terms of use.  Reads the database, because ``user`` may be out of date."""
    return await User.exists(id=user.id, terms_accepted_at__isnull=False)


async def revoke_session(session: Session) -> None:
    session.revoked_at = clock.now()
    await session.save(update_fields=["revoked_at"])


async def disable_user(email: str) -> None:
    """Disable a user.  All sessions and tokens of the user are refused, at the latest after a second by portals that
    cache them; the tickets that the user has claimed return to the queue.

    The user's rights with providers are locked first, so that a claim that is just being granted ends as well.  Raises
    LookupError if there is no such user.
    """
    async with in_transaction():
        rights = ProviderAccess.filter(user__email=address(email)).values_list("id", flat=True)
        numbers = [int(str(number)) for number in await rights]
        await ProviderAccess.filter(id__in=numbers).order_by("id").select_for_update()
        if not await User.filter(email=address(email)).update(disabled=True):
            raise LookupError(f"There is no user '{email}'.")
        from dss_portal.tickets import revocation  # noqa: PLC0415 - all of tickets, for this one command

        await revocation.end_revoked_claims()


async def require_enabled(user_id: int) -> None:
    """Raises NotSignedIn if the user is disabled or does not exist.  Call it in the transaction that writes: the user
    may have been disabled since the request began, or since the portal cached the user.
    """
    if not await User.exists(id=user_id, disabled=False):
        raise NotSignedIn


async def user_named(email: str) -> User:
    """The user with that e-mail address.  Raises LookupError if there is none."""
    user = await User.get_or_none(email=address(email))
    if user is None:
        raise LookupError(f"There is no user '{email}'.")
    return user


async def signed_in_by_issuer(email: str, name: str) -> User:
    """The user with that e-mail address, created as a guest if there is none.  Raises Refused for an invalid address
    or a disabled user.
    """
    user, _ = await User.get_or_create(
        email=valid_address(email), defaults={"tier_id": "guest", "display_name": name}
    )
    if user.disabled:
        raise Refused("This account has been disabled. Please ask an administrator.", 401)
    return user
