"""Keeps a claimed ticket alive while its algorithm runs: renews the claim, and reports progress."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dss_client.errors import ClientError, Refused
from dss_provider.portal import Portal

SEND_S = 1.0
RARE_TEXT_S = 30.0
"""Shortest time in seconds between two texts once MANY_TEXTS were sent, because a user reads them all."""
MANY_TEXTS = 100
SMALLEST_STEP = 0.02
"""Smallest change of the progress (0 to 1) that is sent."""

Connect = Callable[[], Portal]


class Heartbeat:
    """A thread with its own connection that renews the claim of the ticket ``number`` every ``beat_s`` seconds and
    sends progress.  It is a context manager: the thread ends with the block.

    ``ended`` is set when the portal refuses the request or says that the ticket is not claimed any more.  Other errors
    are ignored.
    """

    def __init__(self, number: int, connect: Connect, beat_s: float) -> None:
        self.ended = threading.Event()
        self._number = number
        self._connect = connect
        self._beat_s = beat_s
        self._done = threading.Event()
        self._unsent = _Unsent()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def report(self, fraction: float, text: str) -> None:
        """Report progress, and return at once; the thread sends it.  Of several texts within SEND_S seconds, or within
        RARE_TEXT_S after MANY_TEXTS, only the last one is sent; smaller steps than SMALLEST_STEP are not sent.
        """
        self._unsent.put(fraction, text)

    def report_rest(self, portal: Portal) -> None:
        """Send the progress and the text that were not sent yet, through the caller's connection.  Steps smaller than
        SMALLEST_STEP are not sent, and errors are ignored.
        """
        self._tell(portal, seldom=False)

    def _beat(self) -> None:
        portal, beat_at_s = self._connect(), time.monotonic() + self._beat_s
        try:
            while not self._done.wait(min(SEND_S, self._beat_s)):
                self._tell(portal, seldom=True)
                if time.monotonic() >= beat_at_s:
                    self._renew(portal)
                    beat_at_s = time.monotonic() + self._beat_s
        finally:
            portal.close()

    def _renew(self, portal: Portal) -> None:
        try:
            if portal.status(self._number) != "claimed":
                self.ended.set()
        except Refused:
            self.ended.set()
        except (ClientError, ValueError):
            pass  # the portal is away, or a proxy responds; a later request will get the ticket's state

    def _tell(self, portal: Portal, *, seldom: bool) -> None:
        fraction, text = self._unsent.take(seldom=seldom)
        try:
            if text:
                portal.log(self._number, "info", text)
            if fraction is not None:
                portal.progress(self._number, fraction)
        except ClientError:
            pass  # the work continues; ``_renew`` finds out whether the claim is lost


class _Unsent:
    """The latest progress and text that were not sent yet.  Thread-safe.  The progress never decreases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fraction = self._told_fraction = 0.0
        self._text = self._told_text = ""
        self._texts = 0
        self._next_text_s = 0.0

    def put(self, fraction: float, text: str) -> None:
        with self._lock:
            self._fraction = max(self._fraction, fraction)
            self._text = text or self._text

    def take(self, *, seldom: bool) -> tuple[float | None, str]:
        """Remove and return the progress and the text that are to be sent; None if the progress has grown by less than
        SMALLEST_STEP, "" without a new text.  ``seldom``: hold back a text that would follow the last one too soon.
        """
        with self._lock:
            return self._new_fraction(), self._new_text(seldom=seldom)

    def _new_fraction(self) -> float | None:
        if self._fraction < self._told_fraction + SMALLEST_STEP:
            return None
        self._told_fraction = self._fraction
        return self._fraction

    def _new_text(self, *, seldom: bool) -> str:
        now_s = time.monotonic()
        if self._text == self._told_text or (seldom and now_s < self._next_text_s):
            return ""
        self._texts += 1
        self._next_text_s = now_s + (RARE_TEXT_S if self._texts > MANY_TEXTS else 0)
        self._told_text = self._text
        return self._text
