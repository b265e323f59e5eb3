"""Progress replies: not too many, and never silence."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType

SHORTEST_GAP_S = 0.25
LONGEST_GAP_S = 10.0


class Reporter:
    """Sends the latest progress from a thread of its own, from ``with`` to its end.

    A change is sent within ``shortest_gap_s``; without one, the last is repeated every
    ``longest_gap_s``, so that the requester knows that somebody is still at work.
    """

    def __init__(
        self,
        send: Callable[[float, str], object],
        *,
        shortest_gap_s: float = SHORTEST_GAP_S,
        longest_gap_s: float = LONGEST_GAP_S,
    ) -> None:
        self._send = send
        self._shortest_gap_s = shortest_gap_s
        self._longest_gap_s = longest_gap_s
        self._latest = (0.0, "starting")
        self._ended = threading.Event()
        send_on = partial(copy_context().run, self._keep_sending)  # of the same trace
        self._thread = threading.Thread(target=send_on, name="progress", daemon=True)

    def __call__(self, fraction: float, stage: str) -> None:
        self._latest = (fraction, stage)

    def __enter__(self) -> "Reporter":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is sent after this."""
        self._ended.set()
        self._thread.join()

    def _keep_sending(self) -> None:
        sent: tuple[float, str] | None = None
        sent_s = 0.0
        while True:
            latest = self._latest
            if latest != sent or time.monotonic() - sent_s >= self._longest_gap_s:
                self._send(*latest)
                sent, sent_s = latest, time.monotonic()
            if self._ended.wait(self._shortest_gap_s):
                return
