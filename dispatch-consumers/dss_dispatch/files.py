"""Files of the shared volume: linked or written whole, safely on disk, with what proves it."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

from dss_broker.messages import ResultFile
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


def link(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy where the volume has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
    fsync(target)


def write(target: Path, data: bytes) -> None:
    """Whole or not at all, even if the machine stops."""
    temporary = target.with_name(f".{target.name}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    fsync(target.parent)


def fsync(path: Path) -> None:
    """Of a file or of a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(path: Path) -> ResultFile:
    return ResultFile(name=path.name, size_bytes=path.stat().st_size, sha256=sha256(path))
