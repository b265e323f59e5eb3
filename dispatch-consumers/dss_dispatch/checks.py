"""``dss-dispatch check-results``: checks results of HTTP providers and reads uploads of browsers, for a site that has
no dispatcher.
"""

import threading

from dss_broker.broker import Broker
from dss_broker.liveness import ANNOUNCE_S
from dss_datastore.access import SharedDatastore
from dss_dispatch.result.check_requests import serve_checks
from dss_dispatch.uploads.handling import ReadLimits, UploadReader

NOT_SUBSCRIBED = "The program does not check results and read uploads yet."


class Checks:
    """Checks results and reads uploads in one process, from ``start`` to ``stop``."""

    def __init__(
        self, broker: Broker, datastore: SharedDatastore, *, instance: str, reads: ReadLimits
    ) -> None:
        self._broker = broker
        self._datastore = datastore
        self._stopping = threading.Event()
        self._uploads = UploadReader(broker, datastore, reads, instance, self._stopping)
        self._subscribed = False

    def start(self) -> None:
        """Subscribe to the requests, unless that was done before.  Returns when the broker delivers messages."""
        if not self._subscribed:
            serve_checks(self._broker, self._datastore)
            self._uploads.start()
            self._subscribed = True

    def keep_announcing(self) -> None:
        """Announce every ANNOUNCE_S seconds that uploads are read, until stopped."""
        while not self._stopping.wait(ANNOUNCE_S):
            self._uploads.announce()

    def problems(self) -> list[str]:
        """A sentence if the broker is connected but delivers no requests to this program yet; otherwise []."""
        early = self._broker.connected and not self._subscribed
        return [NOT_SUBSCRIBED] if early else []

    def stop(self, timeout_s: float) -> bool:
        """Take no new requests, announce that, and finish those in progress.  False if some take longer than
        ``timeout_s`` seconds.
        """
        self._stopping.set()
        self._uploads.announce(ends=True)
        return self._broker.stop_consuming(timeout_s)
