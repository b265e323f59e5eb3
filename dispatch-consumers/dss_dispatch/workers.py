"""Signs of life of the workers that a service depends on."""

import math
import time

from dss_broker.broker import Delivery
from dss_broker.messages import WorkerAnnounced


class Workers:
    """``heard_s`` is when one of them was last heard of, on the clock of ``time.monotonic``."""

    def __init__(self) -> None:
        self.heard_s = -math.inf

    def handle(self, delivery: Delivery) -> None:
        """Handler of ``topology.workers``."""
        if not isinstance(delivery.message, WorkerAnnounced):
            raise TypeError(f"{type(delivery.message).__name__} is no worker")
        self.heard_s = time.monotonic()
