"""Announces to the portals, again and again, that this dispatcher serves a service, and at the end that it stops."""

import threading
from dataclasses import replace

from dss_broker.broker import Broker
from dss_broker.errors import BrokerClosed, MessageRefused, Unroutable
from dss_broker.messages import ServiceAnnounced

CONFIRM_TIMEOUT_S = 1.0
"""Seconds between announcements while no portal receives them; also the longest wait for the broker to confirm one."""


class Announcements:
    """Announces one service.  Methods may be called from any thread.  Once ``stopping`` is set, only ``end``
    publishes.
    """

    def __init__(
        self, broker: Broker, announced: ServiceAnnounced, stopping: threading.Event
    ) -> None:
        self._broker = broker
        self._announced = announced
        self._stopping = stopping
        self._publishing = threading.Lock()

    def state_parallel(self, parallel: int) -> None:
        """State in all further announcements that the dispatcher claims up to ``parallel`` tickets at a time."""
        with self._publishing:
            self._announced = replace(self._announced, parallel=parallel)

    def publish(self) -> bool:
        """Announce the service.  True if the broker confirms within CONFIRM_TIMEOUT_S that a portal's queue has received it;
        False otherwise, also without a connection and once ``stopping`` is set.
        """
        with self._publishing:
            return not self._stopping.is_set() and self._publish(self._announced)

    def end(self) -> None:
        """Tell the portals that this dispatcher stops serving.  Does nothing if the broker is not connected, and
        ignores errors.
        """
        with self._publishing:
            self._publish(replace(self._announced, ends=True))

    def _publish(self, announced: ServiceAnnounced) -> bool:
        if not self._broker.connected:
            return False
        try:
            self._broker.publish(announced).result(timeout=CONFIRM_TIMEOUT_S)
        except (Unroutable, MessageRefused, BrokerClosed, TimeoutError):
            return False
        return True
