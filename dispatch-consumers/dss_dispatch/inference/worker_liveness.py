"""Tracks the announcements of the workers that serve a service's bundle."""

import math
import time

from dss_broker.broker import Delivery
from dss_broker.liveness import ALIVE_S
from dss_broker.messages import WorkerAnnounced


class WorkerLiveness:
    """Knows whether any worker of the bundle is alive.  ``heard_s`` is the time of the latest announcement of any of
    them, on the clock ``time.monotonic``; minus infinity before the first.
    """

    def __init__(self) -> None:
        self.heard_s = -math.inf
        self._alive: dict[str, float] = {}
        self._disconnected_s = time.monotonic()

    def handle(self, delivery: Delivery) -> None:
        """Handle an announcement, a message of the subscription ``topology.workers``: the worker is alive from now on,
        or, if it announces its end, no longer.
        """
        announced = delivery.message
        if not isinstance(announced, WorkerAnnounced):
            raise TypeError(f"{type(announced).__name__} is no announcement of a worker")
        if announced.ends:
            self._alive.pop(announced.instance, None)
            return
        self.heard_s = self._alive[announced.instance] = time.monotonic()

    def note(self, *, connected: bool) -> None:
        """Record whether the broker is connected; call it often.  Without a connection no worker counts as missing."""
        if not connected:
            self._disconnected_s = time.monotonic()

    @property
    def are_missing(self) -> bool:
        """True if no living worker has announced itself in the last ALIVE_S seconds, although the broker was connected
        all that time.
        """
        since_s = time.monotonic() - ALIVE_S
        return self._disconnected_s < since_s and all(
            heard_s < since_s for heard_s in list(self._alive.values())
        )
