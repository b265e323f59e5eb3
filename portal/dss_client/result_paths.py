"""Checks, before an image is sent, that its results can be written, because inference may take hours."""

import os
import tempfile
from pathlib import Path

from dss_client.errors import ClientError


class OutputUnusable(ClientError):
    """The results cannot be written to the path that the user named."""


def check_folder(folder: Path | None) -> None:
    """Raises OutputUnusable if ``folder`` cannot be created or written to.  None stands for a new folder in the current
    one.
    """
    if folder is None:
        folder = Path("ticket")
    if folder.exists() and not folder.is_dir():
        raise OutputUnusable(f"{folder} is a file; the results need a folder.")
    existing = _existing(folder)
    if not existing.is_dir():
        raise OutputUnusable(f"{folder} cannot be made, because {existing} is a file.")
    _check_writable(existing)


def check_file(file: Path | None) -> None:
    """Raises OutputUnusable if ``file`` cannot be written.  None is accepted."""
    if file is None:
        return
    if file.is_dir():
        raise OutputUnusable(f"{file} is a folder; the outcome needs a file.")
    if not file.parent.is_dir():
        raise OutputUnusable(f"{file} cannot be written, because there is no folder {file.parent}.")
    _check_writable(file if file.exists() else file.parent)


def _existing(path: Path) -> Path:
    """``path``, or its nearest parent that exists."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.path.lexists(place))


def _check_writable(place: Path) -> None:
    """Raises OutputUnusable unless a file can be created in the folder ``place``, or the file ``place`` may be written.
    A folder's permissions are not enough to know, because a disk may be full or read-only.
    """
    try:
        if place.is_dir():
            with tempfile.TemporaryFile(dir=place):
                return
        usable = os.access(place, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        raise OutputUnusable(f"{place} cannot be written to; name another place.")
