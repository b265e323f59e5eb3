"""How tests wait: for a condition, and no longer than it takes."""

import os
import time
from collections.abc import Callable

SHORT_S = 0.005
LONG_S = 0.05
"""Between two looks: at first, for what a thread does, and later, for what a program does."""

MOST_STRETCH = 5.0
"""Seconds of tests are those of a machine with a core for each process that runs; others wait so many times as long."""


def wait_until(
    is_so: Callable[[], object],
    within_s: float = 30,
    otherwise: Callable[[], str] = lambda: "",
) -> None:
    """Return once ``is_so``; fail with what ``otherwise`` says after ``within_s`` seconds, on a busy machine ``stretch``
    times as many.
    """
    began_s, most_s, pause_s = time.monotonic(), within_s, SHORT_S
    while not is_so():
        most_s = max(most_s, within_s * stretch())
        assert time.monotonic() < began_s + most_s, f"not within {most_s:.0f} s\n{otherwise()}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONG_S)


def stretch() -> float:
    """How many times as long as on an idle machine something may take now: processes that want to run for each core."""
    return min(MOST_STRETCH, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
