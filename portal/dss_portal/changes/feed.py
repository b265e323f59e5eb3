"""The feed of changes.  It reports every change that any portal of the site has committed to the followers in this
process.

It polls the table ``change`` every PERIOD_S, and at once on request.  ``LISTEN`` would need no polls, but a
``NOTIFY`` in each transaction makes PostgreSQL commit transactions one after the other, with an fsync each; and a
poll works through any pooler.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg

from dss_portal import database
from dss_portal.changes import reading
from dss_portal.changes.reading import Change, ChangeReader, Subject
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments

log = logging.getLogger(__name__)

PERIOD_S = 0.3
CURRENT_S = 1.0
"""Followers know every change that is older than this; otherwise they are told that anything may have changed."""
IDLE_S = 30.0
"""After this time without a call of ``is_current`` the feed rests: it polls only every FORGET_S."""
FORGET_S = 60.0
"""Interval at which rows that every portal has read are deleted."""
ANSWER_S = 5.0
RETRY_S = 1.0

Follower = Callable[[Sequence[Change] | None], None]
"""Gets the changes, in order; None if anything may have changed."""


class Feed:
    """The feed of one portal.  ``run`` polls the table."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._followers: list[Follower] = []
        self._looked_s = -CURRENT_S
        self._asked_s = -IDLE_S
        self._forgot_s = time.monotonic()
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[bool]] = []

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call ``follower`` with each later change.  Returns a function that ends this subscription."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def is_current(self) -> bool:
        """True if the followers know every change that was committed up to CURRENT_S ago.  A resting feed begins to
        poll again.
        """
        now_s = time.monotonic()
        rests = now_s - self._asked_s > IDLE_S
        self._asked_s = now_s
        if rests:
            self._wake.set()
        return self.knows()

    def knows(self) -> bool:
        """Like ``is_current``, but a resting feed stays at rest."""
        return time.monotonic() - self._looked_s < CURRENT_S

    def note(self, subject: Subject, number: int, owner: int | None) -> None:
        """Report at once, to the followers, a change that this portal has committed.  The next poll reports it a
        second time.
        """
        self._tell([Change(subject=subject, number=number, owner=owner, version=0)])

    async def caught_up(self, within_s: float = CURRENT_S) -> bool:
        """Wait for the end of a poll that begins after this call.  False if none ends within ``within_s`` seconds."""
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        self._asked_s = time.monotonic()
        self._wake.set()
        try:
            return await asyncio.wait_for(ended, within_s)
        except TimeoutError:
            return False

    async def run(self) -> None:
        """Poll the table until cancelled."""
        while True:
            try:
                await self._connected()
            except Exception as error:
                facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
                log.warning("feed of changes is down", extra=facts, exc_info=trace)
            self._looked_s = -CURRENT_S
            self._tell(None)
            await asyncio.sleep(RETRY_S)

    async def _connected(self) -> None:
        connection = await asyncpg.connect(**await arguments(parse(self._database_url)))
        try:
            reader = ChangeReader()
            while True:
                await self._look(connection, reader)
                await self._pause()
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection, reader: ChangeReader) -> None:
        self._wake.clear()
        asked, self._waiting = self._waiting, []
        began_s = time.monotonic()
        try:
            found = await asyncio.wait_for(reader.look(connection), ANSWER_S)
        except BaseException:
            _answer(asked, is_so=False)
            raise
        missed = began_s - self._looked_s >= CURRENT_S
        self._tell(None if missed else found)
        self._looked_s = began_s
        _answer(asked, is_so=True)
        if began_s - self._forgot_s > FORGET_S:
            self._forgot_s = began_s
            await asyncio.wait_for(reading.forget(connection), ANSWER_S)

    async def _pause(self) -> None:
        rests = time.monotonic() - self._asked_s > IDLE_S
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), FORGET_S if rests else PERIOD_S)

    def _tell(self, found: Sequence[Change] | None) -> None:
        if found is None or found:
            for follower in tuple(self._followers):
                follower(found)


def _answer(asked: Sequence["asyncio.Future[bool]"], *, is_so: bool) -> None:
    for future in asked:
        if not future.done():
            future.set_result(is_so)
