"""Polls the table ``change`` of the database, in a thread and on an event loop of its own."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from dss_portal import database
from dss_portal.changes import reading
from dss_portal.changes.reading import Change, ChangeReader
from dss_portal.database.address import parse
from dss_portal.database.engine import arguments

log = logging.getLogger(__name__)

PERIOD_S = 0.3
CURRENT_S = 1.0
"""The followers are up to date while the last successful poll began less than this time ago, in seconds.  If two polls
are further apart, the followers are told that anything may have changed.
"""
FORGET_S = 60.0
"""Interval in seconds at which rows that every portal has read are deleted, and at which a resting feed polls."""
ANSWER_S = 5.0
RETRY_S = 1.0

Waiters = Sequence["asyncio.Future[bool]"]


@dataclass(frozen=True, kw_only=True)
class ChangePoll:
    """The result of one poll of the table ``change``.  ``began_s`` is its begin by ``time.monotonic``.  ``changes`` is
    None if anything may have changed.

    ``waiters`` are the futures of callers that wait for its end, which get ``is_complete``: False if the poll failed.  A
    failed poll has a ``began_s`` of long ago, so that the feed does not count as current.
    """

    began_s: float
    changes: Sequence[Change] | None
    waiters: Waiters = ()
    is_complete: bool = True


class Watcher:
    """Polls the table ``change`` every PERIOD_S, or every FORGET_S while ``rests`` returns True, and reports each poll.

    ``waiting`` is shared with the caller: each poll takes out the futures that are there when it begins, and reports
    them.
    """

    def __init__(
        self,
        database_url: str,
        rests: Callable[[], bool],
        waiting: "deque[asyncio.Future[bool]]",
    ) -> None:
        self._database_url = database_url
        self._rests = rests
        self._waiting = waiting
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._polled_s = -CURRENT_S
        self._forgot_s = time.monotonic()

    def poll_now(self) -> None:
        """Begin the next poll at once.  May be called in any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(self._wake.set)

    async def run(self, report: Callable[[ChangePoll], None]) -> None:
        """Poll the table until cancelled.  ``report`` is called in the watcher's thread."""
        main_loop, thread_loop = asyncio.get_running_loop(), asyncio.new_event_loop()
        ended: asyncio.Future[None] = main_loop.create_future()
        watching = thread_loop.create_task(self._watch(report))
        self._wake = asyncio.Event()  # an earlier one belongs to the loop of an earlier run
        self._loop = thread_loop

        def work() -> None:
            try:
                with suppress(asyncio.CancelledError):
                    thread_loop.run_until_complete(watching)
                thread_loop.run_until_complete(thread_loop.shutdown_default_executor())
            finally:
                thread_loop.close()
                with suppress(RuntimeError):  # the portal's loop is closed
                    main_loop.call_soon_threadsafe(_end, ended)

        threading.Thread(target=work, name="changes", daemon=True).start()
        try:
            await asyncio.shield(ended)
        finally:
            with suppress(RuntimeError):  # it has ended by itself
                thread_loop.call_soon_threadsafe(watching.cancel)
            await asyncio.shield(ended)

    async def _watch(self, report: Callable[[ChangePoll], None]) -> None:
        while True:
            try:
                await self._connected(report)
            except Exception as error:
                facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
                log.warning("feed of changes is down", extra=facts, exc_info=trace)
            self._polled_s = -CURRENT_S
            report(ChangePoll(began_s=-CURRENT_S, changes=None))
            await asyncio.sleep(RETRY_S)

    async def _connected(self, report: Callable[[ChangePoll], None]) -> None:
        connection = await asyncpg.connect(**await arguments(parse(self._database_url)))
        try:
            reader = ChangeReader()
            while True:
                await self._poll(connection, reader, report)
                await self._pause()
        finally:
            connection.terminate()

    async def _poll(
        self,
        connection: asyncpg.Connection,
        reader: ChangeReader,
        report: Callable[[ChangePoll], None],
    ) -> None:
        self._wake.clear()
        waiters = [self._waiting.popleft() for _ in range(len(self._waiting))]
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):  # wait_for may lose a cancellation
                found = await reader.read(connection)
        except BaseException:
            report(ChangePoll(began_s=-CURRENT_S, changes=(), waiters=waiters, is_complete=False))
            raise
        missed = began_s - self._polled_s >= CURRENT_S
        self._polled_s = began_s
        report(ChangePoll(began_s=began_s, changes=None if missed else found, waiters=waiters))
        if began_s - self._forgot_s > FORGET_S:
            self._forgot_s = began_s
            async with asyncio.timeout(ANSWER_S):
                await reading.forget(connection)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FORGET_S if self._rests() else PERIOD_S):
                await self._wake.wait()


def _end(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
