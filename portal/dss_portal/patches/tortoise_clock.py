"""Makes the ORM Tortoise take the times of ``auto_now`` and ``auto_now_add`` from a given clock instead of the
machine's.
"""

from collections.abc import Callable
from datetime import datetime

from tortoise import timezone


def install(now: Callable[[], datetime]) -> None:
    """Make Tortoise call ``now`` for the times of ``auto_now`` and ``auto_now_add``.  Idempotent."""
    timezone.now = now
