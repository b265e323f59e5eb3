"""The folder in which a program keeps files that it copies from and to the S3 server."""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from dss_datastore.space import disk_full, has_free

_LOCK = ".lock"
GONE = "This program's folder in DSS_SCRATCH was removed or cannot be written: restart the program."


class Scratch:
    """A folder of this process in ``parent``.  The fetched files in it have at most ``most_bytes`` together."""

    def __init__(self, parent: Path, most_bytes: int) -> None:
        """Make the folder, and remove the folders of processes that have ended.  Raises OSError."""
        parent.mkdir(parents=True, exist_ok=True)
        _remove_left(parent)
        self.folder, self._lock = _locked_folder(parent)
        self._most_bytes = most_bytes
        self._used_bytes = 0
        self._changing = threading.Lock()

    def problem(self) -> str:
        """A sentence for operators about why the folder cannot be used now; "" if it can."""
        return "" if os.access(self.folder, os.W_OK) else GONE

    def take(self, size_bytes: int) -> None:
        """Reserve ``size_bytes`` for a fetched file.

        Raises OSError (ENOSPC) if ``most_bytes`` would be exceeded or the disk lacks space.
        """
        with self._changing:
            is_over = self._used_bytes + size_bytes > self._most_bytes
            if is_over or not has_free(self.folder, size_bytes):
                raise disk_full()
            self._used_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        with self._changing:
            self._used_bytes -= size_bytes

    @contextmanager
    def subfolder(self) -> Iterator[Path]:
        """A context with a new folder, which is removed at its end."""
        made = self.folder / uuid4().hex
        made.mkdir()
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Make a folder and lock it.  Returns its path and the open descriptor that holds the lock."""
    while True:
        folder = (parent / f"dss-{uuid4().hex}").resolve()
        folder.mkdir(mode=0o700)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)  # another program that starts has removed the folder before it was locked


def _remove_left(parent: Path) -> None:
    for folder in parent.glob("dss-*"):
        _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove the folder if the process that made it has ended, and so released its lock.  A folder without a lock file
    stays.

    The lock is held during the removal.  A process that has just made the folder waits for the lock, then sees that the
    folder is gone, and makes another.
    """
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is in use
        return
    finally:
        os.close(handle)
