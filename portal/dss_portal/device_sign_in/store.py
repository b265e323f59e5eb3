"""Stores sign-ins of command lines.  A program on a machine requests a sign-in, and a user answers the request in a
browser.

This is the device authorization grant (RFC 8628).  A request may name a ``callback``, an address on the machine itself
(RFC 8252).  To get the token, the program then also needs a second secret, which the user's browser delivers to the
callback on the browser's own machine.  So an attacker who sends the link of a request to a user gets no token.  Only
the SHA-256 of each secret is stored.
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
"""Pause that a command line must make between two requests for its token, in seconds."""
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""The letters of codes.  Vowels and digits are left out, so that a code is not a word and is hard to misread (RFC 8628,
6.1).
"""
CODE_LETTERS = 8
MACHINE_CHARACTERS = 80
NAME = "dss login on "
"""The beginning of the names of tokens that ``redeem`` makes."""

_CALLBACK = re.compile(r"http://127\.0\.0\.1:[1-9]\d{0,4}/[\w-]{1,64}")


class TokenNotIssued(Exception):
    """The token is not given: not yet, or not at all.  ``error`` is an error code of RFC 8628, section 3.5."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, kw_only=True)
class DeviceCodes:
    """The codes of a new sign-in request: the ``secret``, which only the command line knows, and the ``code``,
    which the user sees.
    """

    secret: str
    code: str


async def begin(machine: str, scopes: Iterable[str], callback: str, address: str) -> DeviceCodes:
    """Store a sign-in request of the machine named ``machine``, sent from ``address``; ``callback`` is "" or an address
    on that machine.  Raises Refused for unknown or no scopes, or a callback that is not on 127.0.0.1.
    """
    wanted = sorted(set(scopes))
    if not wanted or set(wanted) - set(api_tokens.SCOPES):
        raise Refused(f"The scopes are one or more of {', '.join(api_tokens.SCOPES)}.")
    if callback and not _CALLBACK.fullmatch(callback):
        raise Refused("The callback must be an address like http://127.0.0.1:PORT/NAME.")
    name = "".join(c for c in machine if c.isprintable()).strip()[:MACHINE_CHARACTERS]
    codes = DeviceCodes(
        secret=secrets.token_urlsafe(32),
        code="".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS)),
    )
    await MachineSignIn.create(
        sha256=digest(codes.secret),
        code=codes.code,
        machine=name or "a machine without a name",
        scopes=" ".join(wanted),
        callback=callback,
        address=address,
        expires_at=clock.now() + timedelta(seconds=LIFE_S),
    )
    return codes


def normalised_code(text: str) -> str:
    """``text``, a code as users type it, in the form in which it is stored: capitals, without all characters that are
    not in LETTERS.  At most one letter more than a code is kept.
    """
    return "".join(c for c in text.upper() if c in LETTERS)[: CODE_LETTERS + 1]


def displayed_code(code: str) -> str:
    """A code in the form in which users see it, in two groups."""
    return f"{code[:4]}-{code[4:]}"


async def waiting(code: str) -> MachineSignIn | None:
    """The request with ``code``, if it still waits for an answer; otherwise None."""
    return await MachineSignIn.get_or_none(
        code=code, allowed__isnull=True, expires_at__gt=clock.now()
    )


async def answer(code: str, user: User, *, allowed: bool) -> str:
    """Store the user's answer to the request with ``code``.  Returns the address to which the browser must go, which is
    the request's callback with the answer; "" if the request has no callback.

    Raises Refused if the request no longer waits.
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
    """Create the token and return it, once, to the command line that knows ``secret``.  ``passed_on`` is the secret
    that the browser has delivered to the callback; "" without a callback.

    Raises TokenNotIssued while the user has not answered or ``passed_on`` is wrong, after a refusal, if the request has
    expired, and if the user is disabled.
    """
    async with in_transaction():
        found = await MachineSignIn.select_for_update().get_or_none(
            sha256=digest(secret), expires_at__gt=clock.now()
        )
        if found is None:
            raise TokenNotIssued("expired_token")
        if found.allowed is None:
            raise TokenNotIssued("authorization_pending")
        if found.callback and found.allowed and found.passed_on != digest(passed_on):
            raise TokenNotIssued("invalid_grant")
        await found.delete()
        user = await User.get_or_none(id=found.user_id or 0)
    if not found.allowed or user is None or user.disabled:
        raise TokenNotIssued("access_denied")
    life = timedelta(seconds=SESSION_LIFE_S)
    return await api_tokens.create(user, f"{NAME}{found.machine}", found.scopes.split(), life)


async def signed_in(user: User) -> list[ApiToken]:
    """The user's tokens that are not revoked: those of command lines and all others."""
    return [token for token in await api_tokens.listed() if token.user.id == user.id]


async def sign_out(user: User, number: int) -> None:
    """Revoke the user's token with that number.  Raises Refused if the user has none with that number."""
    valid = ApiToken.filter(id=number, user_id=user.id, revoked_at__isnull=True)
    if not await valid.update(revoked_at=clock.now()):
        raise Refused(f"You have no token {number}.")


async def forget_expired() -> None:
    await MachineSignIn.filter(expires_at__lt=clock.now()).delete()
