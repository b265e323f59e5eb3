"""Asks a portal that is away or busy again, for a program that nobody watches."""

import time
from collections.abc import Callable
from typing import TypeVar

from dss_client.errors import Refused, Unreachable

T = TypeVar("T")
Pause = Callable[[float], object]
Told = Callable[[], object]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
BUSY = (429, 502, 503, 504)
"""Too many requests, or the answers of a proxy while the portal behind it is away."""


def _say_nothing() -> None:
    pass


def patiently(
    ask: Callable[[], T], within_s: float, pause: Pause = time.sleep, told: Told = _say_nothing
) -> T:
    """The answer of ``ask``, which is repeated with growing pauses while nobody answers.

    ``told`` is called once, before the first pause.  Raises Unreachable or Refused after ``within_s``, and at once
    any other error of ``ask``.
    """
    end_s, pause_s = time.monotonic() + within_s, 0.0
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() > end_s:
                raise
        except Refused as error:
            if error.status not in BUSY or time.monotonic() > end_s:
                raise
        if pause_s == 0:
            told()
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S) or FIRST_PAUSE_S
        pause(pause_s)
