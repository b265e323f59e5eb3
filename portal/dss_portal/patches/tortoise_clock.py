"""Makes Tortoise take the times of ``auto_now`` and ``auto_now_add`` from another clock than that of the machine."""

from collections.abc import Callable
from datetime import datetime

from tortoise import timezone


def install(now: Callable[[], datetime]) -> None:
    """Make Tortoise take the times of ``auto_now`` and ``auto_now_add`` from ``now``.  Idempotent."""
    timezone.now = now
