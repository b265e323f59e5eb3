"""Parses and formats points in time."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def moment_in(text: str) -> datetime | None:
    """The moment in ``text``: ``2026-11-29``, ``2026-11-29T12:00`` (this machine's time zone), or a time span before
    now: ``7d``, ``12h``, ``30m``.  None for other text.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        return None


def local(iso: str) -> str:
    """The ISO 8601 time ``iso`` as date and time in this machine's time zone; "" if ``iso`` is ""."""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}" if iso else ""
