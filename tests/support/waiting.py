"""How tests wait: for a condition, and no longer than it takes."""

import time
from collections.abc import Callable

SHORT_S = 0.005
LONG_S = 0.05
"""Between two looks: at first, for what a thread does, and later, for what a program does."""


def wait_until(
    is_so: Callable[[], object],
    within_s: float = 30,
    otherwise: Callable[[], str] = lambda: "",
) -> None:
    """Return once ``is_so``; fail with what ``otherwise`` says after ``within_s`` seconds."""
    deadline = time.monotonic() + within_s
    pause_s = SHORT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s:g} s\n{otherwise()}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONG_S)
