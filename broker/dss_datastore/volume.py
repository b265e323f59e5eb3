"""Checks the datastore's volume, which may not be mounted yet or may be lost."""

import errno
import os
from pathlib import Path

from dss_datastore.layout import TICKETS

_AWAY = (errno.ENODEV, errno.ESTALE)


def is_there(root: Path) -> bool:
    """True if the folder TICKETS is in ``root`` and ``root`` is writable.

    It is False for a mount point without its volume, which is an empty folder.
    """
    try:
        return (root / TICKETS).is_dir() and os.access(root, os.W_OK)
    except OSError:  # of a network file system whose server is gone
        return False


def is_away(error: BaseException) -> bool:
    """True if ``error`` says that the volume is no longer mounted, or its server is gone (ENODEV, ESTALE)."""
    return isinstance(error, OSError) and error.errno in _AWAY


def away() -> OSError:
    """A new OSError (ENODEV), for a datastore that is not mounted or cannot be reached."""
    return OSError(errno.ENODEV, "The datastore is not there")


def make_folder(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents, except TICKETS, which must exist.  Does nothing if ``folder`` exists.

    Returns the folders in which a folder was made; the caller may flush them to disk.  Raises FileNotFoundError if
    TICKETS is missing, because the volume is not mounted.
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
