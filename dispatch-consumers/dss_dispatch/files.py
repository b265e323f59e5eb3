"""Files of the shared volume: written whole, with what proves it."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

from dss_broker.messages import ResultFile
from dss_datastore.writing import sync
from dss_dispatch.errors import ResultRefused

FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM_BYTES = 1 << 20
"""A volume with less than this is full."""


def is_full(error: Exception, folder: Path) -> bool:
    """Did ``error`` come of a full disk?  What ITK raises does not say, so the volume is asked."""
    if isinstance(error, OSError):
        return error.errno in FULL
    unclear = isinstance(error, RuntimeError | ResultRefused)
    return unclear and shutil.disk_usage(folder).free < ROOM_BYTES


def write(target: Path, data: bytes) -> None:
    """Whole or not at all, even if the machine stops."""
    temporary = target.with_name(f".{target.name}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync(target.parent)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(path: Path) -> ResultFile:
    return ResultFile(name=path.name, size_bytes=path.stat().st_size, sha256=sha256(path))
