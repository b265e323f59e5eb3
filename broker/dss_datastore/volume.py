"""Checks the datastore's volume, which may not be mounted yet or may be lost."""

import errno
import logging
import os
import threading
from pathlib import Path

from dss_datastore.layout import TICKETS

log = logging.getLogger(__name__)

POLL_S = 1.0

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


def wait_until_there(root: Path, stopping: threading.Event) -> bool:
    """Wait until ``is_there``, because without the volume every ticket would seem to lack its files.  False if
    ``stopping`` is set first.
    """
    if is_there(root):
        return True
    log.warning("datastore away, waiting for it")
    while not is_there(root):
        if stopping.wait(POLL_S):
            return False
    log.info("datastore is back")
    return True
