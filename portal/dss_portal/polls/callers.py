"""Finds the user who sends a poll, by session cookie or Bearer token, and caches the user until the feed of changes
reports a change of the account.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tortoise.connection import get_connection
from werkzeug.http import parse_cookie

from dss_portal.accounts.store import digest
from dss_portal.database import clock
from dss_portal.polls.cache import Cache

MOST = 10_000
LONGEST_HEADER_BYTES = 512
"""Largest total size of the headers Cookie and Authorization for which a user is looked up; those of polls are shorter.
"""

_BY_SESSION = """
SELECT user_account.id, sysadmin, terms_accepted_at, NULL AS scopes, NULL AS expires_at
FROM session JOIN user_account ON user_account.id = session.user_id
WHERE session.sha256 = $1 AND revoked_at IS NULL AND NOT disabled
"""

_OF_BEARER = """
SELECT user_account.id, sysadmin, terms_accepted_at, scopes, expires_at
FROM api_token JOIN user_account ON user_account.id = api_token.user_id
WHERE api_token.sha256 = $1 AND revoked_at IS NULL AND NOT disabled
"""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The user who sends a request, with the rights of the session or token.  ``scopes`` is None for a session, which
    has all rights; ``expires_at`` is when the token expires, None if it never does.
    """

    id: int
    sysadmin: bool
    terms_accepted_at: datetime | None
    scopes: str | None
    expires_at: datetime | None

    def has_scope(self, scope: str) -> bool:
        """True if the caller has a session, or a token that has not expired and includes ``scope``."""
        if self.expires_at is not None and self.expires_at <= clock.now():
            return False
        return self.scopes is None or scope in self.scopes.split()


class Callers:
    """Finds the callers of requests, and caches them.  ``session_of`` returns the session id that a signed cookie
    contains; None if the signature is not valid.
    """

    def __init__(self, cookie_name: str, session_of: Callable[[str], str | None]) -> None:
        self._cookie_name = cookie_name
        self._session_of = session_of
        self._cache: Cache[tuple[bytes, bytes], Caller] = Cache(MOST)

    def known(self, cookie: bytes, authorization: bytes) -> Caller | None:
        return self._cache.get((cookie, authorization))

    async def load(self, cookie: bytes, authorization: bytes, *, keep: bool) -> Caller | None:
        """The caller that the headers identify, from the database; it is cached if ``keep`` is True.  None if they
        contain no valid session or Bearer token, if the user is disabled, or if they are longer than
        LONGEST_HEADER_BYTES.  An expired token does identify its user; ``Caller.may`` then returns False.
        """
        if len(cookie) + len(authorization) > LONGEST_HEADER_BYTES:
            return None
        if not keep:
            return await self._look_up(cookie, authorization)
        key = (cookie, authorization)
        return await self._cache.load(key, lambda: self._look_up(cookie, authorization))

    def forget(self, user_id: int) -> None:
        self._cache.forget_if(lambda _, caller: caller.id == user_id)

    def forget_all(self) -> None:
        self._cache.forget_all()

    async def _look_up(self, cookie: bytes, authorization: bytes) -> Caller | None:
        if authorization:
            kind, _, token = authorization.decode("latin-1").partition(" ")
            if kind.lower() != "bearer":
                return None
            return await _found(_OF_BEARER, token.strip())
        signed = parse_cookie(cookie.decode("latin-1")).get(self._cookie_name)
        session_id = self._session_of(signed) if signed else None
        return await _found(_BY_SESSION, session_id) if session_id else None


async def _found(statement: str, secret: str) -> Caller | None:
    rows = await get_connection("default").execute_query_dict(statement, [digest(secret)])
    return Caller(**rows[0]) if rows else None
