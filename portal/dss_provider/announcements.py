"""Announces to the portal, again and again, that a publisher serves a service; and when the publisher stops, that it
claims no more tickets.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from dss_broker.liveness import PUBLISHER_ALIVE_S, PUBLISHER_ANNOUNCE_S
from dss_client.errors import ClientError
from dss_client.output import OutputLost
from dss_provider.portal import Portal, PublisherAnnouncement

END_TRIES = 2
"""Number of attempts to announce the end.  The first one may fail because an idle connection was closed.  If both fail,
the portal notices the end when the announcements are missing.
"""


class Announcements:
    """A thread that sends the announcement ``announcement`` every PUBLISHER_ANNOUNCE_S seconds until ``stop`` is set, and then
    the announcement of the end.  Only this thread may use ``portal``.  ``say`` is called once if other programs serve
    the service.
    """

    def __init__(
        self,
        portal: Portal,
        announcement: PublisherAnnouncement,
        stop: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        self._portal = portal
        self._announcement = announcement
        self._stop = stop
        self._say = say
        self._has_asked = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until the end is announced, or the time limits of that request have passed."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._announced(ends=False)
                self._stop.wait(PUBLISHER_ANNOUNCE_S)
            for _ in range(END_TRIES):
                if self._announced(ends=True):
                    return
        finally:
            self._portal.close()

    def _announced(self, *, ends: bool) -> bool:
        """Send an announcement.  False if there was no response, or if the portal refused the announcement, as an older
        portal does.
        """
        try:
            asks = not (self._has_asked or ends)
            others = self._portal.announce(self._announcement, ends=ends, asks=asks)
        except ClientError:
            return False
        self._has_asked = True
        if asks and others:
            with suppress(OutputLost):
                self._say(_beside(others))
        return True


def _beside(others: int) -> str:
    programs = "1 other program serves" if others == 1 else f"{others} other programs serve"
    killed = f"one that was killed counts for {PUBLISHER_ALIVE_S:.0f} s"
    return f"{programs} this service, too ({killed}); each gets a part of the tickets."
