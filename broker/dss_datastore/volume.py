"""Checks the datastore's volume, which may not be mounted yet or may be lost."""

import errno
import os
from pathlib import Path

from dss_datastore.layout import TICKETS

_AWAY = (errno.ENODEV, errno.ESTALE)


def is_there(root: Path) -> bool:
    """True if TICKETS exists and is writable.  A mount point without its volume is an empty folder."""
    try:
        return (root / TICKETS).is_dir() and os.access(root, os.W_OK)
    except OSError:  # of a network file system whose server is gone
        return False


def is_away(error: BaseException) -> bool:
    """True if ``error`` says that the volume is no longer mounted."""
    return isinstance(error, OSError) and error.errno in _AWAY


def away() -> OSError:
    """The error for a mount point without its volume."""
    return OSError(errno.ENODEV, "The datastore is not there")


def make_folder(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents, except TICKETS; returns the folders that got a new entry, to be flushed.

    Raises FileNotFoundError in a mount point without its volume.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        return []
    except FileNotFoundError:
        if folder.parent.name == TICKETS:
            raise
        changed = make_folder(folder.parent)
        return changed + make_folder(folder)
    return [folder.parent]
