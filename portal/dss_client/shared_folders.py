"""Protects the results of other tickets in a folder to which results are downloaded."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dss_client.checksums import is_there
from dss_client.errors import ClientError
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import read

_WORKSPACE = re.compile(r"ticket_(\d{8,})(_results)?\.itksnap")
"""The names of the workspaces that the portal makes, and that ITK-SNAP makes for a ticket."""


class BelongsToAnother(ClientError):
    """A download would replace a file of another ticket's results."""


def require_no_others_files(ticket: int, paths: Sequence[Path], sums: Mapping[str, str]) -> None:
    """Raises BelongsToAnother if one of ``paths``, to which the results of ``ticket`` are to be downloaded, is a file of
    another ticket's results whose SHA-256 differs from that in ``sums``, which are by file name, or is missing there.

    A folder has the results of another ticket if it has their workspace.  If it has a workspace of ``ticket``, too, the
    file is the other's only if the other's workspace names it, so that a changed file can be fetched again.
    """
    is_repeated = any(path.suffix == ".itksnap" and path.is_file() for path in paths)
    for path in paths:
        others = list(other_workspaces(ticket, path.parent)) if path.is_file() else []
        if not others or is_there(path, sums):
            continue
        for workspace, other in others:
            if not is_repeated or _names(workspace, path.name):
                how = "differs" if path.name in sums else "may differ"
                raise BelongsToAnother(_sentence(path, other, ticket, how))


def other_workspaces(ticket: int, folder: Path) -> Iterator[tuple[Path, int]]:
    """The workspaces in ``folder`` of other tickets than ``ticket``, with their tickets' numbers."""
    for path in sorted(folder.glob("ticket_*.itksnap")):
        match = _WORKSPACE.fullmatch(path.name)
        if match and int(match[1]) != ticket:
            yield path, int(match[1])


def _names(workspace: Path, name: str) -> bool:
    """True if ``workspace`` has the name ``name``, or an entry that is a path which ends with it, and if it cannot be
    read.
    """
    try:
        folders = list(read(workspace).walk())
    except (WorkspaceInvalid, OSError):
        return True
    values = (value for folder in folders for value in folder.entries.values())
    return name in {workspace.name, *(re.split(r"[/\\]", value)[-1] for value in values)}


def _sentence(path: Path, other: int, ticket: int, how: str) -> str:
    return (
        f"{path.name} in the folder {path.parent} belongs to the results of ticket {other} and {how} from that "
        f"of ticket {ticket}; name another folder (dss download {ticket} FOLDER, or --output of dss send)."
    )
