"""Sign-ins of command lines: a machine asks for each, and a person answers it in a browser.

This is the device authorization grant (RFC 8628).  A machine may name a ``callback``, an address on itself (RFC 8252).
The token then also needs a secret that only the person's browser delivers, and it delivers that to its own machine.  So
an attacker who sends a person the link of a request gets no token.  Of each secret, only its SHA-256 is stored.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from tortoise.transactions import in_transaction

from dss_portal.accounts import api_tokens
from dss_portal.accounts.store import SESSION_LIFE_S, digest
from dss_portal.database import clock
from dss_portal.models import ApiToken, MachineSignIn, User
from dss_portal.refusals import Refused

LIFE_S = 600
"""Time in which a person must answer, in seconds."""
POLL_S = 2
"""Pause between a machine's questions, in seconds."""
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels and no digits, so that a code is not a word and is hard to misread (RFC 8628, 6.1)."""
CODE_LETTERS = 8
MACHINE_CHARACTERS = 80
NAME = "dss login on "
"""How the names of these tokens begin."""

_CALLBACK = re.compile(r"http://127\.0\.0\.1:[1-9]\d{0,4}/[\w-]{1,64}")


class NotGiven(Exception):
    """No token yet, or none at all: ``error`` is a word of RFC 8628, section 3.5."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What the machine keeps (``secret``) and what the person sees (``code``)."""

    secret: str
    code: str


async def begin(machine: str, scopes: Iterable[str], callback: str, address: str) -> Begun:
    """Store a request of ``machine``, which asks from ``address``.  Raises Refused if a part of it is not usable."""
    wanted = sorted(set(scopes))
    if not wanted or set(wanted) - set(api_tokens.SCOPES):
        raise Refused(f"The scopes are one or more of {', '.join(api_tokens.SCOPES)}.")
    if callback and not _CALLBACK.fullmatch(callback):
        raise Refused("The callback must be an address like http://127.0.0.1:PORT/NAME.")
    name = "".join(c for c in machine if c.isprintable()).strip()[:MACHINE_CHARACTERS]
    begun = Begun(
        secret=secrets.token_urlsafe(32),
        code="".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS)),
    )
    await MachineSignIn.create(
        sha256=digest(begun.secret),
        code=begun.code,
        machine=name or "a machine without a name",
        scopes=" ".join(wanted),
        callback=callback,
        address=address,
        expires_at=clock.now() + timedelta(seconds=LIFE_S),
    )
    return begun


def typed(text: str) -> str:
    """A code as a person types it, without hyphens and blanks, in capitals."""
    return "".join(c for c in text.upper() if c in LETTERS)[: CODE_LETTERS + 1]


def spelled(code: str) -> str:
    """A code as it is shown to people, in two groups."""
    return f"{code[:4]}-{code[4:]}"


async def waiting(code: str) -> MachineSignIn | None:
    """The request with that code, if it still waits for an answer."""
    return await MachineSignIn.get_or_none(
        code=code, allowed__isnull=True, expires_at__gt=clock.now()
    )


async def answer(code: str, user: User, *, allowed: bool) -> str:
    """Answer the request for ``user``, and return the address to which the browser goes on; "" if there is none.

    Raises Refused if the request does not wait any more.
    """
    found = await waiting(code)
    passed_on = secrets.token_urlsafe(24)
    values = {"allowed": allowed, "user_id": user.id, "passed_on": digest(passed_on)}
    if found is None or not await MachineSignIn.filter(
        sha256=found.sha256, allowed__isnull=True
    ).update(**values):
        raise Refused("This sign-in does not wait for an answer any more. Begin again.")
    if not found.callback:
        return ""
    return f"{found.callback}?{f'code={passed_on}' if allowed else 'error=access_denied'}"


async def redeem(secret: str, passed_on: str) -> str:
    """The token for the machine that knows ``secret``, once; ``passed_on`` is the secret that its browser
    has delivered, if it has a browser.

    Raises NotGiven.
    """
    async with in_transaction():
        found = await MachineSignIn.select_for_update().get_or_none(
            sha256=digest(secret), expires_at__gt=clock.now()
        )
        if found is None:
            raise NotGiven("expired_token")
        if found.allowed is None:
            raise NotGiven("authorization_pending")
        if found.callback and found.allowed and found.passed_on != digest(passed_on):
            raise NotGiven("invalid_grant")
        await found.delete()
        user = await User.get_or_none(id=found.user_id or 0)
    if not found.allowed or user is None or user.disabled:
        raise NotGiven("access_denied")
    life = timedelta(seconds=SESSION_LIFE_S)
    return await api_tokens.create(user, f"{NAME}{found.machine}", found.scopes.split(), life)


async def signed_in(user: User) -> list[ApiToken]:
    """The user's tokens that are not revoked, those of programs included."""
    return [token for token in await api_tokens.listed() if token.user.id == user.id]


async def sign_out(user: User, number: int) -> None:
    """Revoke one of the user's own tokens.  Raises Refused if there is none of that number."""
    valid = ApiToken.filter(id=number, user_id=user.id, revoked_at__isnull=True)
    if not await valid.update(revoked_at=clock.now()):
        raise Refused(f"You have no token {number}.")


async def forget_expired() -> None:
    await MachineSignIn.filter(expires_at__lt=clock.now()).delete()
