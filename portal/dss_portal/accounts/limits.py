"""Limits on how often a user or a client address may do something, counted in this process.

Memory is bounded: at most MAX_KEYS keys are counted.  Each portal counts separately, so the limit of a site is at
most the configured one times the number of portals.
"""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from dss_portal.refusals import Refused
from dss_portal.settings import Settings

WINDOW_S = 60.0
TRIALS_PER_MINUTE = 6
MACHINE_SIGN_INS_PER_MINUTE = 30
MAX_KEYS = 10_000  # more keys replace the least recently used ones


@dataclass
class Count:
    """Events of one key: ``events`` since ``began_s`` (on the clock ``time.monotonic``), and ``before`` in the 60 s
    before that.
    """

    began_s: float
    events: int = 0
    before: int = 0

    def recent(self, now_s: float) -> float:
        """Estimated number of events in the 60 s before ``now_s``: ``events``, and the share of ``before`` that
        corresponds to the rest of the 60 s.  Begins a new window if the current one has lasted 60 s.
        """
        age_s = now_s - self.began_s
        if age_s >= WINDOW_S:
            self.before = self.events if age_s < 2 * WINDOW_S else 0
            self.began_s = now_s - age_s % WINDOW_S
            self.events = 0
        return self.events + self.before * (1 - (now_s - self.began_s) / WINDOW_S)


class RateWindow:
    """Allows about ``limit`` events for each key in any 60 s; 0 is no limit."""

    def __init__(self, limit: int, sentence: str) -> None:
        self._limit = limit
        self._sentence = sentence
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def count(self, key: str) -> None:
        """Count an event of ``key``.  Raises Refused (429) if the limit is reached; that event is not counted."""
        now_s = time.monotonic()
        count = self._counts.setdefault(key, Count(now_s))
        self._counts.move_to_end(key)
        if len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)
        if self._limit and count.recent(now_s) >= self._limit:
            wait_s = max(1, math.ceil(count.began_s + WINDOW_S - now_s))
            raise Refused(f"{self._sentence} Try again in {wait_s} seconds.", 429)
        count.events += 1

    def uncount(self, key: str) -> None:
        """Undo one call of ``count`` for ``key``, because the same event will be counted a second time."""
        count = self._counts.get(key)
        if count is not None:
            count.events = max(0, count.events - 1)


class RateLimits:
    """The rate limits of one portal process."""

    def __init__(self, settings: Settings) -> None:
        self.failed_logins = RateWindow(
            settings.failed_logins_per_minute, "Too many failed logins from this address."
        )
        self.machine_sign_ins = RateWindow(
            MACHINE_SIGN_INS_PER_MINUTE, "Too many sign-ins are begun from this address."
        )
        self.trials = RateWindow(TRIALS_PER_MINUTE, "Too many trials.")
        self.requests = RateWindow(settings.requests_per_minute, "Too many requests.")
