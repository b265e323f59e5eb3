"""Checks names of files that clients and other programs send, and finds the folders of uploads."""

from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_portal.refusals import Refused

UploadFolder: TypeAlias = Area | Literal["attachments"]
"""The folder of a ticket to which a resumable upload goes."""


def flat_name(sent: str) -> str:
    """The file name that a client sent, without folders.  Raises Refused if it is empty, begins with a dot, is longer
    than 255 bytes, or has control characters.
    """
    name = sent.replace("\\", "/").rpartition("/")[2]
    if not name or name.startswith("."):
        raise Refused(f"A file needs a name that does not begin with a dot, not '{sent}'.")
    if len(name.encode()) > 255 or not name.isprintable():
        raise Refused("A file's name may have 255 bytes at most and no control characters.")
    return name


def flat(name: str) -> str:
    """``name`` unchanged.  Raises FileNotFoundError if it is not the name of a file, without folders."""
    if "/" in name or name in {"", ".", ".."}:
        raise FileNotFoundError(f"'{name}' is not the name of a file")
    return name


def upload_dir(ticket_id: int, folder: UploadFolder) -> PurePosixPath:
    """The path of the ticket's folder ``folder``, relative to the root of the datastore."""
    if folder == "attachments":
        return layout.attachments_dir(ticket_id)
    return layout.area_dir(ticket_id, folder)
