"""Writes files from the pieces in which they are received."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import aiofiles

from dss_datastore import volume
from dss_datastore.writing import sync, write_new
from dss_portal.datastore.room import too_large
from dss_portal.receiving import BLOCK_BYTES, Writing


class Mark(Enum):
    """A marker in the stream of pieces of a file that is being received.  AGAIN: another file follows; the pieces
    before it are void.
    """

    AGAIN = "another file follows, and counts instead"


Piece: TypeAlias = bytes | memoryview | Mark

SMALL_BYTES = 2 * BLOCK_BYTES
"""A file up to this size is collected in memory and written when it has been received completely."""


async def write_pieces(path: Path, data: AsyncIterator[Piece], limit_bytes: int) -> int:
    """Write the pieces to the new file ``path`` while they arrive, fsync it, and return its size in bytes.  After a Mark
    the file begins anew.  Raises Refused (413) as soon as it has more than ``limit_bytes``.
    """
    size_bytes = 0
    async with (
        aiofiles.open(path, "xb", buffering=0) as file,
        Writing(file) as writing,
    ):
        async for piece in data:
            if isinstance(piece, Mark):
                size_bytes = 0
                await writing.restart()
                continue
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise too_large(limit_bytes)
            await writing.put(piece)
        await writing.end()
        await asyncio.to_thread(sync, path)
    return size_bytes


async def gathered(
    data: AsyncIterator[Piece], most_bytes: int
) -> tuple[list[bytes | memoryview], bool]:
    """Read pieces of a file until they have more than ``most_bytes``, or the file ends; after a Mark, begin anew.
    Returns the pieces, and True if they are the complete file.
    """
    pieces: list[bytes | memoryview] = []
    size_bytes = 0
    async for piece in data:
        if isinstance(piece, Mark):
            pieces, size_bytes = [], 0
            continue
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > most_bytes:
            return pieces, False
    return pieces, True


async def chained(
    begun: Iterable[bytes | memoryview], data: AsyncIterator[Piece]
) -> AsyncIterator[Piece]:
    for piece in begun:
        yield piece
    async for later in data:
        yield later


def make_folder_flushed(folder: Path) -> None:
    """Make ``folder`` and its parents, and fsync what has changed."""
    _sync_all(volume.make_folder(folder))


def write_at_once(path: Path, pieces: Iterable[bytes | memoryview]) -> int:
    """Write the pieces to the new file ``path``, whose folder is made if it is missing, fsync the file and new folders,
    and return the file's size in bytes.
    """
    changed = volume.make_folder(path.parent)
    size_bytes = write_new(path, pieces)
    _sync_all(changed)
    return size_bytes


def _sync_all(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)
