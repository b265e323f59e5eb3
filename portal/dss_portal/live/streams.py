"""Streams of events for open pages (server-sent events, HTML Living Standard section 9.2), each to one page of a
browser.

An event names only the topics that have changed.  The page then loads its content again, which shows what its user may
see.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Change, Subject
from dss_portal.refusals import Refused

HEARTBEAT_S = 5.0
"""Longest time without an event, in seconds.  A browser that receives nothing for longer assumes that the connection is
cut or that a proxy holds events back.
"""
MIN_INTERVAL_S = 0.3
"""Changes within this time, in seconds, are sent as one event."""
QUEUE_INTERVAL_S = 2.0
"""Shortest time between two events about places in queues, in seconds."""
MOST_OF_A_USER, MOST_OF_ALL = 20, 2000

EVERYTHING, TICKETS, QUEUE, SERVICES, ALL_TICKETS = (
    "everything",
    "tickets",
    "queue",
    "services",
    "all-tickets",
)

TOO_MANY = "This user has too many live pages open; pages ask again and again instead."


class Stream:
    """The stream of events to one page.  It collects the topics that have changed since its last event."""

    def __init__(self, user_id: int, *, sysadmin: bool) -> None:
        self.user_id, self.sysadmin = user_id, sysadmin
        self.ended = False
        self._topics: set[str] = set()
        self._news = asyncio.Event()

    def notify(self, topics: Iterable[str]) -> None:
        self._topics.update(topics)
        self._news.set()

    def end(self) -> None:
        """End the stream.  The browser then reconnects with the user's current rights."""
        self.ended = True
        self._news.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield server-sent events until the stream is ended: the changed topics, or an event without topics (a beat)
        after HEARTBEAT_S without a change.
        """
        yield b"retry: 2000\nevent: beat\ndata: hello\n\n"
        while not self.ended:
            with suppress(TimeoutError):
                # ``wait_for`` loses a cancellation that comes with the news.
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._news.wait()
            if self._topics:
                topics, self._topics = sorted(self._topics), set()
                self._news.clear()
                yield f"event: change\ndata: {' '.join(topics)}\n\n".encode()
                await asyncio.sleep(MIN_INTERVAL_S)
            elif not self.ended:
                yield b"event: beat\ndata: \n\n"


class Streams:
    """The event streams of one portal process, by user.  ``waiting_users`` returns the users who have a ticket in a
    queue.
    """

    def __init__(self, feed: Feed, waiting_users: Callable[[], Awaitable[set[int]]]) -> None:
        self._feed = feed
        self._waiting_users = waiting_users
        self._streams: dict[int, set[Stream]] = defaultdict(set)
        self._queue_moved = asyncio.Event()
        self._ended = False
        feed.follow(self.follow)

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    async def opened(self, user_id: int, *, sysadmin: bool) -> AsyncIterator[bytes]:
        """The events for a page of this user, until the browser disconnects, the user's account changes, or the portal
        stops.  Raises Refused if too many streams are open.
        """
        if len(self._streams.get(user_id, ())) >= MOST_OF_A_USER or len(self) >= MOST_OF_ALL:
            raise Refused(TOO_MANY, 503)
        return self._events(Stream(user_id, sysadmin=sysadmin))

    async def _events(self, stream: Stream) -> AsyncIterator[bytes]:
        of_user = self._streams[stream.user_id]
        of_user.add(stream)
        if self._ended:
            stream.end()
        try:
            async for event in stream.events():
                self._feed.is_current()  # keeps the feed from resting
                yield event
        finally:
            of_user.discard(stream)
            if not of_user:
                self._streams.pop(stream.user_id, None)

    def follow(self, changes: Sequence[Change] | None) -> None:
        """Receive changes from the feed (None: anything may have changed), and send events to the pages that they
        affect.
        """
        if not self._streams:
            return
        if changes is None:
            self._tell_all({EVERYTHING})
            return
        for change in changes:
            self._follow(change)

    def _follow(self, change: Change) -> None:
        match change.subject:
            case Subject.STATE | Subject.TICKET:
                self._tell_of_ticket(change)
            case Subject.SERVICE:
                self._tell_all({SERVICES})
            case Subject.USER:
                for stream in tuple(self._streams.get(change.number, ())):
                    stream.end()
            case Subject.TIER:
                pass

    def _tell_of_ticket(self, change: Change) -> None:
        topics = {f"ticket-{change.number}", TICKETS}
        for stream in self._streams.get(change.owner or 0, ()):
            stream.notify(topics)
        for stream in self._sysadmins():
            stream.notify({f"ticket-{change.number}", ALL_TICKETS})
        if change.subject is Subject.STATE and self._streams:
            self._queue_moved.set()

    def notify_services(self) -> None:
        """Send an event to all pages, because the programs that serve a service have changed."""
        self._tell_all({SERVICES})

    async def notify_queues(self) -> None:
        """Send an event to the users with waiting tickets whenever their places in queues may have changed, until
        cancelled.
        """
        told_s = 0.0
        while True:
            await self._queue_moved.wait()
            await asyncio.sleep(max(0.0, told_s + QUEUE_INTERVAL_S - time.monotonic()))
            told_s = time.monotonic()
            self._queue_moved.clear()
            waiting = await self._waiting_users() if self._streams else set()
            for user_id in waiting & self._streams.keys():
                for stream in self._streams[user_id]:
                    stream.notify({QUEUE})

    def end(self) -> None:
        """End all streams, because the portal stops and waits for its open responses."""
        self._ended = True
        for streams in self._streams.values():
            for stream in streams:
                stream.end()

    def _tell_all(self, topics: set[str]) -> None:
        for streams in self._streams.values():
            for stream in streams:
                stream.notify(topics)

    def _sysadmins(self) -> Iterable[Stream]:
        return [s for streams in self._streams.values() for s in streams if s.sysadmin]
