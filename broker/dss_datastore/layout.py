"""The places of a ticket's files in the datastore that all programs share.

All functions return paths relative to the datastore's root, so that each program may mount it anywhere.
"""

from pathlib import PurePosixPath
from typing import Literal, TypeAlias

Area: TypeAlias = Literal["input", "results"]

TICKETS = "tickets"
"""Created once, by the portal of a new site: its existence shows that the volume is mounted."""


def ticket_dir(ticket_id: int) -> PurePosixPath:
    """The folder of all files of a ticket."""
    return PurePosixPath(TICKETS, f"{ticket_id:08d}")


def area_dir(ticket_id: int, area: Area) -> PurePosixPath:
    """The folder of the user's files (``input``) or of those for the user (``results``)."""
    return ticket_dir(ticket_id) / area


def attempt_dir(ticket_id: int, folder: str) -> PurePosixPath:
    """A folder of results of one attempt, which counts if the database names it.

    It is not in the folder ``results``, from which portals of release 0.1.0 remove what they do not know.
    """
    return ticket_dir(ticket_id) / "attempts" / folder


def file_path(ticket_id: int, area: Area, place: str) -> PurePosixPath:
    """The path of a file.  ``place`` is its name if it is in the area's folder, else ``FOLDER/NAME`` (``attempt_dir``).

    Raises FileNotFoundError if ``place`` is no such path.
    """
    folder, _, name = place.rpartition("/")
    if not name or {name, folder} & {".", ".."} or "/" in folder or place.startswith("/"):
        raise FileNotFoundError(f"'{place}' is not the path of a file")
    return (attempt_dir(ticket_id, folder) if folder else area_dir(ticket_id, area)) / name


def attachments_dir(ticket_id: int) -> PurePosixPath:
    """The folder of the attachments of log lines."""
    return PurePosixPath("attachments", f"{ticket_id:08d}")


def work_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """Scratch space of one claim.  Only this claim writes there, so an old claim cannot damage a newer one."""
    return ticket_dir(ticket_id) / "work" / claim_id


def staging_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The result files of a claim, until the portal publishes them by renaming the folder."""
    return work_dir(ticket_id, claim_id) / "results"


def inference_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of the files that a worker writes for a claim."""
    return work_dir(ticket_id, claim_id) / "inference"


OUTCOME = "outcome.json"
"""The file with the worker's answer, in that folder.  It is written last: if it exists, the other files are complete.
"""


def attached_dir(ticket_id: int, claim_id: str) -> PurePosixPath:
    """The folder of a claim's attachments, until the portal has copied them."""
    return work_dir(ticket_id, claim_id) / "attached"


def read_dir(ticket_id: int, intake_id: str) -> PurePosixPath:
    """The folder of the files that were made from an upload, until the portal makes them the input of tickets."""
    return ticket_dir(ticket_id) / "read" / intake_id
