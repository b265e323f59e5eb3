"""Writes files so that they survive a crash of the machine, and readers never see them incomplete."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

MOST_PIECES = 1024
"""Most pieces that one call of ``writev`` accepts (IOV_MAX of Linux)."""


def sync(path: Path) -> None:
    """Flush the file, or the folder's list of names, to disk.  Does nothing on Windows, which has no such call."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_in_place(temporary: Path, target: Path, *, is_flushed: bool = False) -> None:
    """Flush the file or folder ``temporary`` to disk, unless it ``is_flushed``, and rename it to ``target``.

    Both must be on the same volume.  A file replaces an existing file; a folder ``target`` must not exist.
    """
    if not is_flushed:
        sync(temporary)
    temporary.replace(target)
    sync(target.parent)


def put_new(temporary: Path, target: Path, *, is_flushed: bool = False) -> None:
    """Flush the file ``temporary`` to disk, unless it ``is_flushed``, and rename it to ``target`` on the same volume.

    Never replaces a file: raises FileExistsError if ``target`` exists; then ``temporary`` stays.
    """
    if not is_flushed:
        sync(temporary)
    try:
        os.link(temporary, target, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a volume without hard links
        target.touch(exist_ok=False)
        temporary.replace(target)
    temporary.unlink(missing_ok=True)
    sync(target.parent)


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Write ``data`` into the existing file from ``offset`` on, and flush it to disk.

    Raises FileNotFoundError if the file is shorter than ``offset``, because the gap would be filled with zeros.
    """
    with path.open("r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END) < offset:
            raise FileNotFoundError(f"{path.name} has fewer than {offset} bytes")
        file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def write_new(path: Path, pieces: Iterable[bytes | memoryview]) -> int:
    """Write the pieces into the new file ``path``, flush it to disk, and return its size in bytes.

    Raises FileExistsError.  After another error, such as a full disk, the incomplete file stays.
    """
    with path.open("xb", buffering=0) as file:
        size_bytes = write_all(file.fileno(), pieces)
        os.fsync(file.fileno())
    return size_bytes


def write_all(descriptor: int, pieces: Iterable[bytes | memoryview]) -> int:
    """Write the pieces to the open file ``descriptor``, from its position on, without joining them in memory or
    flushing them to disk.  Returns their total size in bytes.
    """
    left = [memoryview(piece) for piece in pieces if len(piece)]
    size_bytes = sum(map(len, left))
    while left:
        written = (
            os.writev(descriptor, left[:MOST_PIECES])
            if os.name != "nt"
            else os.write(descriptor, left[0])
        )
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return size_bytes


@contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A context in which the caller writes to a temporary path beside ``target``, which afterwards replaces ``target``.

    If the block raises, ``target`` is unchanged.  The temporary name begins with a dot and ends with ``.part``; only a
    killed process leaves such a file behind.  With ``mode``, the temporary file is made with these permissions, empty;
    otherwise the caller makes it.
    """
    temporary = target.with_name(f".{uuid4().hex}.part")
    try:
        if mode is not None:
            temporary.touch(mode=mode, exist_ok=False)
        yield temporary
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write(target: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write ``data`` to ``target``, completely or not at all, and flush it to disk.  An existing file is replaced.

    ``mode`` are the permissions of the new file; None for those by the umask.
    """
    with replacing(target, mode=mode) as temporary:
        temporary.write_bytes(data)


def link(source: Path, target: Path, *, flush: bool = True) -> None:
    """Make ``target`` a hard link to ``source``, or a copy if that is impossible.  An existing ``target`` is replaced.

    With ``flush``, the file is flushed to disk.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
    if flush:
        sync(target)
