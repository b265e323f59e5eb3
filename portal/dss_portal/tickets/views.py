"""What clients see of a ticket.  Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dss_portal.models import Status, TicketLog

LOG_COLUMNS = ("id", "atime", "category", "attachments", "message")


def atime(moment: datetime) -> str:
    """UTC as ``YYYY-MM-DD HH:MM:SS.ffffff``, the only form that ITK-SNAP's window shows."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def log_row(entry: TicketLog) -> tuple[int, str, str, int, str]:
    """A line of the log list: LOG_COLUMNS, attachments as their number."""
    return entry.id, atime(entry.at), entry.category, 0, entry.message


def log_object(entry: TicketLog) -> dict[str, object]:
    """A line of the detail's log: attachments as a list."""
    return {
        "id": entry.id,
        "atime": atime(entry.at),
        "category": entry.category,
        "attachments": [],
        "message": entry.message,
    }


def detail(
    status: Status, progress: float, queue_position: int, log: Sequence[TicketLog]
) -> dict[str, object]:
    """What ITK-SNAP polls.  The queue position is shown while the ticket waits."""
    shown: dict[str, object] = {"status": status.value, "progress": progress}
    if status is Status.READY:
        shown["queue_position"] = queue_position
    return {"result": {**shown, "log": [log_object(entry) for entry in log]}}
