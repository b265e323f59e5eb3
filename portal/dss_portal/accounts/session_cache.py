"""A cache of sessions with their users.  The feed of changes invalidates its entries."""

from collections.abc import Sequence

from dss_portal.accounts import store
from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Change, Subject
from dss_portal.models import Session
from dss_portal.polls.cache import Cache

MOST = 10_000
CACHED_PATHS = ("/api/tickets", "/api/pro/")
"""Prefixes of the paths for which sessions are cached; pages and admin routes always read the database."""


class SessionCache:
    """The cache of one portal process.  A session that another process has ended stays valid in this one for at most a
    second.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._cache: Cache[str, Session] = Cache(MOST)
        feed.follow(self._take)

    async def find(self, session_id: str) -> Session | None:
        """The session with its user; None if there is none, if it was revoked, or if the user is disabled.  While the
        feed of changes is down, each call queries the database.
        """
        if not self._feed.is_current():
            return await store.find_session(session_id)
        key = store.digest(session_id)
        known = self._cache.get(key)
        return known or await self._cache.load(key, lambda: store.find_session(session_id))

    def _take(self, changes: Sequence[Change] | None) -> None:
        if changes is None:
            self._cache.forget_all()
            return
        for change in changes:
            if change.subject is Subject.USER:
                self._forget(change.number)

    def _forget(self, user_id: int) -> None:
        self._cache.forget_if(lambda _, session: session.user_id == user_id)
