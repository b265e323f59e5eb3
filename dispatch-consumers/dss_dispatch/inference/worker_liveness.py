"""Signs of life of the workers that a service depends on."""

import math
import time

from dss_broker.broker import Delivery
from dss_broker.liveness import ALIVE_S
from dss_broker.messages import WorkerAnnounced


class Workers:
    """``heard_s`` is when one of them was last heard of, on the clock of ``time.monotonic``."""

    def __init__(self) -> None:
        self.heard_s = -math.inf
        self._alive: dict[str, float] = {}
        self._deaf_s = time.monotonic()

    def handle(self, delivery: Delivery) -> None:
        """Handler of ``topology.workers``."""
        announced = delivery.message
        if not isinstance(announced, WorkerAnnounced):
            raise TypeError(f"{type(announced).__name__} is no worker")
        if announced.ends:
            self._alive.pop(announced.instance, None)
            return
        self.heard_s = self._alive[announced.instance] = time.monotonic()

    def note(self, *, connected: bool) -> None:
        """To be called often: while the broker is away, nobody is missed for being silent."""
        if not connected:
            self._deaf_s = time.monotonic()

    @property
    def are_missed(self) -> bool:
        """None is alive, and one would have been heard."""
        since_s = time.monotonic() - ALIVE_S
        return self._deaf_s < since_s and all(at < since_s for at in list(self._alive.values()))
