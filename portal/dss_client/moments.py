"""Points in time, as people write and read them."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def moment_in(text: str) -> datetime | None:
    """``2026-11-29``, ``2026-11-29T12:00`` (this machine's zone), or how long ago: ``7d``, ``12h``, ``30m``; else None."""
    if ago := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        return None


def local(iso: str) -> str:
    """Date and time of this machine's zone; "" for none."""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}" if iso else ""
