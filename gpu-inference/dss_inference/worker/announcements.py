"""Announces to the portal and the dispatchers which bundles the worker serves."""

import threading
from collections.abc import Iterable

from dss_broker.broker import Broker
from dss_broker.errors import BrokerClosed, MessageRefused, Unroutable
from dss_broker.liveness import ANNOUNCE_S
from dss_broker.messages import WorkerAnnounced
from dss_inference.bundle import Bundle

CONFIRM_TIMEOUT_S = 1.0
"""Interval in seconds between announcements while no portal receives them; also the longest wait for the broker to
confirm one announcement.
"""


class Announcements:
    """Announces the bundles of a worker to the portal and the dispatchers.  Methods may be called from any thread."""

    def __init__(
        self, broker: Broker, bundles: Iterable[Bundle], instance: str, stopping: threading.Event
    ) -> None:
        self._broker = broker
        self._bundles = {bundle.name: bundle for bundle in bundles}
        self._instance = instance
        self._stopping = stopping
        self._sending = threading.Lock()
        self._served: set[str] = set()
        self._changed = threading.Event()

    def add(self, bundle: str) -> None:
        """The worker serves ``bundle`` from now on; announce it at once."""
        self._served.add(bundle)
        self._changed.set()

    def is_served(self, bundle: str) -> bool:
        return bundle in self._served

    def keep_sending(self) -> None:
        """Announce every ANNOUNCE_S, and at once when a bundle is added, until the worker stops.  While no portal
        receives the announcements, the interval is CONFIRM_TIMEOUT_S.
        """
        while not self._stopping.is_set():
            self._changed.clear()
            self._changed.wait(ANNOUNCE_S if self._announce() else CONFIRM_TIMEOUT_S)

    def end(self) -> None:
        """Announce that the worker stops, if the broker is connected.  The event ``stopping`` must be set before, so
        that no other announcement follows.  Raises nothing if no portal receives it.
        """
        self._changed.set()
        with self._sending:
            self._send(ends=True)

    def _announce(self) -> bool:
        """Announce all bundles that the worker serves; True without any.  False if the broker is not connected or does
        not confirm in time, if no portal receives the announcements, or if the worker stops.
        """
        with self._sending:
            return not self._stopping.is_set() and self._send(ends=False)

    def _send(self, *, ends: bool) -> bool:
        if not self._broker.connected:
            return False
        sent = [
            self._broker.publish(
                WorkerAnnounced(bundle=b.name, instance=self._instance, device=b.device, ends=ends)
            )
            for b in self._bundles.values()
            if b.name in self._served
        ]
        try:
            for confirmed in sent:
                confirmed.result(timeout=CONFIRM_TIMEOUT_S)
        except (Unroutable, MessageRefused, BrokerClosed, TimeoutError):
            return False
        return True
