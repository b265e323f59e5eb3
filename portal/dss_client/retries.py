"""Repeats requests to a portal that is unavailable or busy, for programs that run unattended."""

import time
from collections.abc import Callable, Container
from typing import TypeVar

from dss_client.errors import Refused, Unreachable

T = TypeVar("T")
Pause = Callable[[float], object]
OnWait = Callable[[], object]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
BUSY = (429, 502, 503, 504)
"""Temporary status codes: of a rate limit, and of a proxy whose portal is unavailable."""


def _say_nothing() -> None:
    pass


def with_retries(
    call: Callable[[], T],
    within_s: float,
    pause: Pause = time.sleep,
    on_wait: OnWait = _say_nothing,
) -> T:
    """Call ``call`` until it succeeds, with growing pauses, and return its result.  ``on_wait`` is called once, before the
    first pause.

    A call that raises Unreachable, or Refused with a status in BUSY, is repeated; an error that occurs after
    ``within_s`` seconds is raised.  Any other error is raised at once.
    """
    end_s, pause_s = time.monotonic() + within_s, 0.0
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() > end_s:
                raise
        except Refused as error:
            if error.status not in BUSY or time.monotonic() > end_s:
                raise
        if pause_s == 0:
            on_wait()
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S) or FIRST_PAUSE_S
        pause(pause_s)


class Retries:
    """Waits after each temporary error, and raises it if there was no progress for ``within_s`` seconds; for callers
    with a loop of their own.

    Unreachable is temporary, and so is Refused with a status in BUSY or ``also``.
    """

    def __init__(
        self, within_s: float, pause: Pause = time.sleep, also: Container[int] = ()
    ) -> None:
        self._within_s = within_s
        self._pause = pause
        self._also = also
        self.reset()

    def reset(self) -> None:
        """Begin to count the time again, because there was progress."""
        self._end_s, self._pause_s = time.monotonic() + self._within_s, FIRST_PAUSE_S

    def wait(self, error: Unreachable | Refused) -> None:
        """Wait before the next attempt, each time longer.  Raises ``error`` if it is not temporary, or after
        ``within_s`` seconds without progress.
        """
        if time.monotonic() > self._end_s or not self._may_pass(error):
            raise error
        self._pause(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _may_pass(self, error: Unreachable | Refused) -> bool:
        if isinstance(error, Unreachable):
            return True
        return error.status in BUSY or error.status in self._also
