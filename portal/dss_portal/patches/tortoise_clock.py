"""Times that Tortoise writes by itself, of ``auto_now`` and ``auto_now_add``, are of another clock than the machine's."""

from collections.abc import Callable
from datetime import datetime

from tortoise import timezone


def install(now: Callable[[], datetime]) -> None:
    """May be repeated."""
    timezone.now = now
