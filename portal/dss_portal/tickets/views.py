"""Formats tickets for clients, as CSV rows and JSON: log lines, attachments, state, progress and place in the queue.
Pure: no database, no clock.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from dss_portal.models import Attachment, Status, TicketLog

LOG_COLUMNS = ("id", "atime", "category", "attachments", "message")
ATTACHMENT_COLUMNS = ("id", "description", "mime_type", "url")


def atime(moment: datetime) -> str:
    """The time in UTC as ``YYYY-MM-DD HH:MM:SS.ffffff``, the only form that ITK-SNAP's window shows."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


class LogEntry(Protocol):
    """What clients are shown of a line of a ticket's log."""

    id: int
    at: datetime
    category: str
    message: str


class Attached(Protocol):
    """What clients are shown of an attachment."""

    id: int
    description: str
    mime_type: str
    public_id: str


class ShownLine(Protocol):
    """What clients are shown of a line of a ticket's log, with its attachments."""

    @property
    def entry(self) -> LogEntry: ...
    @property
    def attachments(self) -> Sequence[Attached]: ...


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a ticket's log with its attachments."""

    entry: TicketLog
    attachments: Sequence[Attachment]


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """The place of a waiting ticket in its queue, as numbers of tickets that are served before it: ``own`` of the same
    user, ``others`` of other users, and ``later``, the part of ``others`` that was submitted later.
    """

    own: int
    others: int
    later: int

    @property
    def number(self) -> int:
        """The place in the queue, from 1."""
        return self.own + self.others + 1

    @property
    def reason(self) -> str:
        """A sentence for the user that explains the place."""
        if self.number == 1:
            return "No other ticket comes before it."
        of_others = f"{self.others} of other users"
        if self.later:
            of_others += f", {self.later} of which came later (users take turns)"
        parts = [f"{self.own} of your own"] * bool(self.own) + [of_others] * bool(self.others)
        return (
            f"Before this ticket {'comes' if self.number == 2 else 'come'} {' and '.join(parts)}."
        )


def log_row(line: ShownLine) -> tuple[int, str, str, int, str]:
    """A row of the list of log lines, with the columns LOG_COLUMNS.  The column ``attachments`` is the number of
    attachments.
    """
    entry = line.entry
    return entry.id, atime(entry.at), entry.category, len(line.attachments), entry.message


def attachment_row(attachment: Attached, public_url: str) -> tuple[int, str, str, str]:
    """A row of the list of attachments, with the columns ATTACHMENT_COLUMNS.  Its link works in any browser, without a
    session.
    """
    link = f"{public_url.rstrip('/')}/blobs/{attachment.public_id}"
    return attachment.id, attachment.description, attachment.mime_type, link


def detail_around_log(status: Status, progress: float, place: QueuePlace | None) -> tuple[str, str]:
    """The JSON that ITK-SNAP polls, in two parts: the text before the lines of the log, and the text after them.

    While the ticket waits, its place in the queue is included, with the reason.
    """
    shown: dict[str, object] = {"status": status.value, "progress": progress}
    if status is Status.READY and place is not None:
        shown |= {"queue_position": place.number, "queue_reason": place.reason}
    return json.dumps({"result": {**shown, "log": []}}).removesuffix("]}}"), "]}}"


def log_object(line: ShownLine, public_url: str) -> dict[str, object]:
    """A log line as an object for the JSON of ``detail_around_log``, with its attachments as a list of objects."""
    rows = [attachment_row(attachment, public_url) for attachment in line.attachments]
    return {
        **dict(zip(LOG_COLUMNS, log_row(line), strict=True)),
        "attachments": [dict(zip(ATTACHMENT_COLUMNS, row, strict=True)) for row in rows],
    }
