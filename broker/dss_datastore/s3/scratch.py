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


class Scratch:
    """A folder of this process in ``parent``, with at most ``most_bytes`` of fetched files."""

    def __init__(self, parent: Path, most_bytes: int) -> None:
        """Makes the folder, and removes those of processes that have ended.  Raises OSError."""
        parent.mkdir(parents=True, exist_ok=True)
        _remove_left(parent)
        self.folder = (parent / f"dss-{uuid4().hex}").resolve()
        self.folder.mkdir(mode=0o700)
        self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._most_bytes = most_bytes
        self._used_bytes = 0
        self._changing = threading.Lock()

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


def _remove_left(parent: Path) -> None:
    for folder in parent.glob("dss-*"):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """True if the process that made the folder has ended, which gave its lock back."""
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)
