"""The paths of a ticket's files in the datastore that all programs share.

All functions return paths relative to the datastore's root, so that each program may mount it anywhere.
"""

from pathlib import PurePosixPath
from typing import Literal, TypeAlias

Area: TypeAlias = Literal["input", "results"]

TICKETS = "tickets"
"""The folder of all tickets.  The portal of a new site makes it; if it exists, the datastore's volume is mounted."""


def ticket_dir(ticket_id: int) -> PurePosixPath:
    """The folder of all files of a ticket."""
    return PurePosixPath(TICKETS, f"{ticket_id:08d}")


def area_dir(ticket_id: int, area: Area) -> PurePosixPath:
    """The folder of the files from the user (``input``) or of the files for the user (``results``)."""
    return ticket_dir(ticket_id) / area


def attempt_dir(ticket_id: int, folder: str) -> PurePosixPath:
    """A folder with the results of one attempt, or with the input files if one of them was replaced.  Its files are
    those of the ticket only if the database names it.

    It is not in the folder ``results``, because portals of release 0.1.0 remove unknown files from that folder.
    """
    return ticket_dir(ticket_id) / "attempts" / folder


def input_dir(ticket_id: int, folder: str) -> PurePosixPath:
    """The folder of all input files of a ticket.  ``folder`` is that of the files' rows in the database: "" until one
    of the files is replaced.
    """
    return attempt_dir(ticket_id, folder) if folder else area_dir(ticket_id, "input")


def file_path(ticket_id: int, area: Area, place: str) -> PurePosixPath:
    """The path of a file of the user or for the user.

    ``place`` is NAME for a file in the folder of ``area``, and FOLDER/NAME for a file in ``attempt_dir(ticket_id,
    FOLDER)``.  Raises FileNotFoundError if ``place`` has another form.
    """
    folder, _, name = place.rpartition("/")
    if not name or {name, folder} & {".", ".."} or "/" in folder or place.startswith("/"):
        raise FileNotFoundError(f"'{place}' is not the path of a file")
    return (attempt_dir(ticket_id, folder) if folder else area_dir(ticket_id, area)) / name


def attachments_dir(ticket_id: int) -> PurePosixPath:
    """The folder of the files that are attached to lines of the ticket's log."""
    return PurePosixPath("attachments", f"{ticket_id:08d}")


def work_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of one claim's files.  Only this claim writes there, so an old claim cannot damage a newer one."""
    return ticket_dir(ticket_id) / "work" / claim_id


def staging_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of a claim's result files, until the portal publishes them.  In S3 they are in a new folder below it
    (``access.Access.put_results``).
    """
    return work_dir(ticket_id, claim_id) / "results"


def inference_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of the files that a worker writes for a claim."""
    return work_dir(ticket_id, claim_id) / "inference"


OUTCOME = "outcome.json"
"""The file with the worker's answer, in ``inference_dir``.  It is written last, so if it exists, the other files are
complete.
"""


def attached_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of a claim's attachments, until the portal has copied them."""
    return work_dir(ticket_id, claim_id) / "attached"


def read_dir(ticket_id: int, intake_id: str) -> PurePosixPath:
    """The folder of the files that were made from an upload, until the portal makes them the input of tickets."""
    return ticket_dir(ticket_id) / "read" / intake_id
