"""Limits on how often a user or a client address may do something, counted in this process.

Memory is bounded: two numbers for each of the last MAX_KEYS that did something.  With several portals
each counts for itself, so the limits of a site are at most theirs times the number of portals.
"""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from dss_portal.refusals import Refused
from dss_portal.settings import Settings

WINDOW_S = 60.0
MAX_KEYS = 10_000  # beyond these, the keys that were quiet for longest are forgotten


@dataclass
class Count:
    """Events since ``began_s``, and in the minute before that."""

    began_s: float
    events: int = 0
    before: int = 0

    def recent(self, now_s: float) -> float:
        """Events within the last minute, estimated: those of the earlier window count in proportion."""
        age_s = now_s - self.began_s
        if age_s >= WINDOW_S:
            self.before = self.events if age_s < 2 * WINDOW_S else 0
            self.began_s = now_s - age_s % WINDOW_S
            self.events = 0
        return self.events + self.before * (1 - (now_s - self.began_s) / WINDOW_S)


class Window:
    """About ``limit`` events for each key within any minute; 0 is no limit."""

    def __init__(self, limit: int, sentence: str) -> None:
        self._limit = limit
        self._sentence = sentence
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def count(self, key: str) -> None:
        """Count an event.  Raises Refused, and counts none, if the limit is reached."""
        now_s = time.monotonic()
        count = self._counts.setdefault(key, Count(now_s))
        self._counts.move_to_end(key)
        if len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)
        if self._limit and count.recent(now_s) >= self._limit:
            wait_s = max(1, math.ceil(count.began_s + WINDOW_S - now_s))
            raise Refused(f"{self._sentence} Try again in {wait_s} seconds.", 429)
        count.events += 1


class Limits:
    """The windows of one portal."""

    def __init__(self, settings: Settings) -> None:
        self.failed_logins = Window(
            settings.failed_logins_per_minute, "Too many failed logins from this address."
        )
        self.requests = Window(settings.requests_per_minute, "Too many requests.")
