"""The interface by which dispatchers and workers reach the datastore's files, in a shared folder or in an S3 bucket."""

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
    """Access to the files that are needed for one claim, or for one request for inference.

    Paths are those of ``layout``, relative to ``root``.  Methods raise OSError, such as ENODEV while the datastore
    cannot be reached, and ENOSPC if it or the scratch folder is full.  Those that copy files (``fetch``, ``put`` and
    ``put_results`` in S3) raise WorkEnded if the claim or request ends meanwhile.
    """

    @property
    def root(self) -> Path:
        """The local folder in which the program reads and writes the files; its path has no links."""
        ...

    def make(self, folder: PurePosixPath) -> None:
        """Make ``folder``, so that other programs see that it is there."""
        ...

    def is_made(self, folder: PurePosixPath) -> bool:
        """True if a program has made ``folder`` and none has removed it."""
        ...

    def fetch(self, place: PurePosixPath, *, only: str = "") -> None:
        """Make the file ``place``, or all files below the folder ``place``, available below ``root``.

        With ``only``, ``place`` is a folder, and only files of that name are fetched.  Missing files are ignored.
        """
        ...

    def put(self, folder: PurePosixPath, *, last: str = "") -> None:
        """Make the files that the program has written below ``folder`` visible to other programs.

        Each file becomes visible when it is complete; the file named ``last`` after all others.  S3 leaves out links.
        """
        ...

    def put_results(self, folder: PurePosixPath) -> PurePosixPath:
        """Make the files below ``folder`` visible to other programs, in a folder that no other claim or request writes
        to: ``folder`` itself in a shared folder, a new one in S3.  Returns that folder.
        """
        ...

    def remove(self, folder: PurePosixPath) -> None:
        """Remove all files below ``folder``.  Errors are ignored: the portal removes what is left."""
        ...


class SharedDatastore(Protocol):
    """The datastore of a site, as a dispatcher or worker uses it.  A folder and an S3 bucket implement it."""

    def problem(self) -> str:
        """A sentence for operators about why the files cannot be read or written now; "" if they can."""
        ...

    def access(self, has_ended: Callable[[], bool] = never) -> AbstractContextManager[Access]:
        """A context with access to the files of one claim or request.

        ``has_ended`` returns True when the claim or request has ended; then copying stops with WorkEnded.
        """
        ...

    def lacks_room(self, size_bytes: int) -> bool:
        """True if the folder that the program writes to (for S3 the scratch folder) has less free space than
        ``size_bytes``.  Raises OSError if the folder is gone.
        """
        ...


def wait_until_there(datastore: SharedDatastore, stopping: threading.Event) -> bool:
    """Wait until ``datastore`` has no problem.  True then; False if ``stopping`` is set first.

    A program that did not wait would fail each ticket, because its files seem to be missing.
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
