"""The feed of changes.  It tells its followers, which are caches and streams in this process, of each change that a
portal of the site has committed to the database.

It polls the table ``change`` every PERIOD_S, and at once on request.  ``LISTEN`` would need no polls, but a ``NOTIFY``
in each transaction makes PostgreSQL commit transactions one after the other, with an fsync each; and a poll works
through any connection pooler.

A thread of its own polls, so that changes are known in time even if the event loop is late: while the feed is out of
date, each request queries the database, which would delay the loop further.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from dss_portal.changes.reading import Change, Subject
from dss_portal.changes.watcher import CURRENT_S, ChangePoll, Watcher

IDLE_S = 30.0
"""Seconds after the last call of ``is_current`` after which the feed rests: it polls only every FORGET_S."""

Follower = Callable[[Sequence[Change] | None], None]
"""Is called with the changes, in order, or with None if anything may have changed."""


class Feed:
    """The feed of changes of one portal process.  It tells its followers of changes while ``run`` polls the table.  All
    methods are called on one event loop.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._followers: list[Follower] = []
        self._polled_s = -CURRENT_S
        self._asked_s = -IDLE_S
        self._arrived: deque[ChangePoll] = deque()
        """Results of polls that the watcher has completed and that the followers do not know yet."""
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._watcher = Watcher(database_url, self._rests, self._waiting)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call ``follower`` with all later changes, in order, or with None if anything may have changed.  Returns a
        function that ends this subscription.
        """
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def is_current(self) -> bool:
        """True if the followers know every change that was committed more than CURRENT_S ago.  A resting feed begins to
        poll again.
        """
        rests = self._rests()
        self._asked_s = time.monotonic()
        if rests:
            self._watcher.poll_now()
        return self.knows()

    def knows(self) -> bool:
        """True if the followers know every change that was committed more than CURRENT_S ago.

        Unlike ``is_current``, this does not wake a feed that polls only seldom because nobody has waiters for IDLE_S; for
        such a feed it is mostly False.
        """
        self._take_in()
        return time.monotonic() - self._polled_s < CURRENT_S

    def publish(self, subject: Subject, number: int, owner: int | None) -> None:
        """Tell the followers at once of a change that this portal has committed.  The next poll tells them again."""
        self._notify([Change(subject=subject, number=number, owner=owner, version=0)])

    async def wait_until_current(self, within_s: float = CURRENT_S) -> bool:
        """Wait for the end of a poll that begins after this call.  False if that poll fails, or none ends within
        ``within_s`` seconds.
        """
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        self._asked_s = time.monotonic()
        self._watcher.poll_now()
        try:
            return await asyncio.wait_for(ended, within_s)
        except TimeoutError:
            return False

    async def run(self) -> None:
        """Poll the table until cancelled."""
        loop = asyncio.get_running_loop()

        def arrive(poll: ChangePoll) -> None:
            self._arrived.append(poll)
            loop.call_soon_threadsafe(self._take_in)

        await self._watcher.run(arrive)

    def _rests(self) -> bool:
        return time.monotonic() - self._asked_s > IDLE_S

    def _take_in(self) -> None:
        """Tell the followers what the watcher's polls have found, and wake the callers of ``wait_until_current``."""
        while self._arrived:
            poll = self._arrived.popleft()
            self._polled_s = poll.began_s
            self._notify(poll.changes)
            for future in poll.waiters:
                if not future.done():
                    future.set_result(poll.is_complete)

    def _notify(self, found: Sequence[Change] | None) -> None:
        if found is None or found:
            for follower in tuple(self._followers):
                follower(found)
