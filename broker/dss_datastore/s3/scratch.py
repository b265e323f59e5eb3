"""The folder of a program for files on their way from and to the S3 server."""

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
    """A folder of this process in ``parent``, with at most ``most_bytes`` of fetched files."""

    def __init__(self, parent: Path, most_bytes: int) -> None:
        """Makes the folder, and removes those of processes that have ended.  Raises OSError."""
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
        """Count ``size_bytes`` more.  Raises OSError (no space) if there is no room for them."""
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
        """A folder that is removed at the end."""
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
    """A new folder, and the handle of its lock."""
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
    """Remove the folder if the process that made it has ended, which gave its lock back.

    The lock is held meanwhile, so that a process that has just made the folder, and waits for the lock, sees it.
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
