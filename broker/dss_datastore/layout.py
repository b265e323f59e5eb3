"""Where a ticket's files lie in the datastore that all programs share.

Answers are paths relative to the datastore's root, so that each program may mount it where it likes.
"""

from pathlib import PurePosixPath
from typing import Literal, TypeAlias

Area: TypeAlias = Literal["input", "results"]

TICKETS = "tickets"
"""Made once, by the portal of a fresh site, and by nobody else: it is the sign that the volume is there."""


def ticket_dir(ticket_id: int) -> PurePosixPath:
    return PurePosixPath(TICKETS, f"{ticket_id:08d}")


def area_dir(ticket_id: int, area: Area) -> PurePosixPath:
    """Files that the user sent, or may fetch."""
    return ticket_dir(ticket_id) / area


def attachments_dir(ticket_id: int) -> PurePosixPath:
    """Files that belong to log lines."""
    return PurePosixPath("attachments", f"{ticket_id:08d}")


def work_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """Scratch space of one claim; nobody else writes there, so an old claim spoils nothing."""
    return ticket_dir(ticket_id) / "work" / claim_id


def staging_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """Where a dispatcher gathers the result files, until the portal publishes them by renaming."""
    return work_dir(ticket_id, claim_id) / "results"


def inference_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """Where a worker leaves what it was asked for."""
    return work_dir(ticket_id, claim_id) / "inference"


OUTCOME = "outcome.json"
"""In that folder: what the worker answered.  Written last, so its presence says that the rest is there."""


def attached_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """Where a dispatcher leaves files for log lines, until the portal has taken them over."""
    return work_dir(ticket_id, claim_id) / "attached"
