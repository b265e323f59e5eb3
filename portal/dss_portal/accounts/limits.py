"""How often somebody may do something, counted in this process."""

import time
from collections import deque

from dss_portal.errors import Refused
from dss_portal.settings import Settings

WINDOW_S = 60.0
MAX_KEYS = 10_000  # beyond so many, those that have been quiet are forgotten


class Window:
    """At most ``limit`` events for each key within the last minute; 0 is no limit."""

    def __init__(self, limit: int, sentence: str) -> None:
        self._limit = limit
        self._sentence = sentence
        self._events: dict[str, deque[float]] = {}

    def check(self, key: str) -> None:
        """Raises Refused if the limit is reached."""
        recent = self._recent(key)
        if self._limit and len(recent) >= self._limit:
            wait_s = WINDOW_S - (time.monotonic() - recent[0])
            raise Refused(f"{self._sentence} Try again in {wait_s:.0f} seconds.", 429)

    def count(self, key: str) -> None:
        """Note an event.  Raises Refused if the limit is reached."""
        self.check(key)
        self._events.setdefault(key, deque(maxlen=self._limit or 1)).append(time.monotonic())
        if len(self._events) > MAX_KEYS:
            self._events = {k: v for k, v in self._events.items() if self._recent(k)}

    def _recent(self, key: str) -> deque[float]:
        events = self._events.get(key, deque())
        while events and events[0] < time.monotonic() - WINDOW_S:
            events.popleft()
        return events


class Limits:
    """The windows of one portal."""

    def __init__(self, settings: Settings) -> None:
        self.failed_logins = Window(
            settings.failed_logins_per_minute, "Too many failed logins from this address."
        )
        self.requests = Window(settings.requests_per_minute, "Too many requests.")
