"""Writes a file to disk in blocks while the rest of it is being received."""

import asyncio
import os
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from dss_datastore.writing import write_all

BLOCK_BYTES = 1 << 20  # passed to the thread for disk work in one call
SYNC_BYTES = 8 * 2**20
"""After each of so many bytes an fdatasync begins in the background.  So the last fsync has about as many bytes left to
write.
"""


class WritableFile(Protocol):
    """The methods of an ``aiofiles`` file that ``Writing`` uses."""

    async def seek(self, offset: int, /) -> int: ...
    async def truncate(self) -> int: ...
    def fileno(self) -> int: ...


class Writing:
    """Writes pieces to a file in order, in the background.  Every method may raise the OSError of an earlier write.  To
    be used as an asynchronous context; call ``end`` before its end, or the last pieces are not written.
    """

    def __init__(self, file: WritableFile) -> None:
        self._file = file
        self._pieces: list[bytes | memoryview] = []
        self._bytes = 0
        self._unsynced_bytes = 0
        self._write: asyncio.Task[object] | None = None
        self._sync: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until no thread uses the file, so that the caller may close it."""
        tasks = [task for task in (self._write, self._sync) if task is not None]
        if tasks:
            await asyncio.wait(tasks)
            _ = [task.exception() for task in tasks if not task.cancelled()]

    async def put(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= BLOCK_BYTES:
            await self._begin_block()

    async def restart(self) -> None:
        """Discard all data that was written, and data that waits to be written.  The file is empty afterwards."""
        self._pieces, self._bytes = [], 0
        await self._ended()
        await self._file.seek(0)
        await self._file.truncate()

    async def end(self) -> None:
        """Wait until all data is passed to the operating system.  An fsync afterwards puts it on disk."""
        await self._begin_block()
        await self._ended()

    async def _begin_block(self) -> None:
        if self._write is not None:
            await self._write
        block, size_bytes, self._pieces, self._bytes = self._pieces, self._bytes, [], 0
        self._write = _task(asyncio.to_thread(write_all, self._file.fileno(), block))
        self._unsynced_bytes += size_bytes
        if self._unsynced_bytes >= SYNC_BYTES and (self._sync is None or self._sync.done()):
            if self._sync is not None:
                await self._sync
            self._unsynced_bytes = 0
            self._sync = _task(asyncio.to_thread(os.fdatasync, self._file.fileno()))

    async def _ended(self) -> None:
        for task in (self._write, self._sync):
            if task is not None:
                await task


def _task(work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    return asyncio.create_task(work)
