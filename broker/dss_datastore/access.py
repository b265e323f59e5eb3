"""How dispatchers and workers reach the datastore's files, wherever these are kept."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Protocol

log = logging.getLogger(__name__)

POLL_S = 1.0


class WorkEnded(Exception):
    """Copying stopped before its end, because the claim or request that needs the files has ended."""


def never() -> bool:
    return False


class Access(Protocol):
    """The files of one piece of work: a claim, or a request for inference.

    Their places are those of ``layout``, below ``root``.  Methods raise OSError: ENODEV while the datastore cannot be
    reached, ENOSPC if it or the scratch folder is full.  They raise WorkEnded if the work ends meanwhile.
    """

    @property
    def root(self) -> Path:
        """The local folder in which the program reads and writes the files; a resolved path."""
        ...

    def make(self, folder: PurePosixPath) -> None:
        """Make ``folder``, so that other programs see that it is there."""
        ...

    def is_made(self, folder: PurePosixPath) -> bool:
        """True if a program has made ``folder`` and none has removed it."""
        ...

    def fetch(self, place: PurePosixPath, *, only: str = "") -> None:
        """Copy the file ``place``, or all files below the folder ``place``, to ``root``.  With ``only``, copy only
        files of that name.  Missing files are ignored.
        """
        ...

    def put(self, folder: PurePosixPath, *, last: str = "") -> None:
        """Make the files below ``folder`` readable for other programs.  Each becomes visible when complete; the file
        ``last`` becomes visible after all others.
        """
        ...

    def put_results(self, folder: PurePosixPath) -> PurePosixPath:
        """Like ``put``, into a folder that no other claim or request writes to.  Returns that folder."""
        ...

    def remove(self, folder: PurePosixPath) -> None:
        """Remove all files below ``folder``.  Errors are ignored: the portal removes what is left."""
        ...


class SharedDatastore(Protocol):
    """The datastore that the programs of a site share."""

    def problem(self) -> str:
        """A sentence for operators about why the files cannot be read or written now; "" if they can."""
        ...

    def access(self, has_ended: Callable[[], bool] = never) -> AbstractContextManager[Access]:
        """A context with the files of one piece of work; ``has_ended`` says whether that work is no longer wanted."""
        ...

    def lacks_room(self, size_bytes: int) -> bool:
        """True if the place that the program writes to has less free space than ``size_bytes``."""
        ...


def wait_until_there(datastore: SharedDatastore, stopping: threading.Event) -> bool:
    """Wait until ``datastore`` has no problem, because without it every ticket would seem to lack its files.

    False if ``stopping`` is set first.
    """
    reason = datastore.problem()
    if not reason:
        return True
    log.warning("datastore away, waiting for it", extra={"reason": reason})
    while datastore.problem():
        if stopping.wait(POLL_S):
            return False
    log.info("datastore is back")
    return True
