"""Responses with a file that is stored in an S3 bucket.  The portal sends the bytes itself, because ITK-SNAP does not
follow a redirect to the bucket.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ParamSpec, TypeVar

from quart import Response, request
from quart.wrappers.response import ResponseBody

from dss_datastore.s3.bucket import BucketFile
from dss_datastore.s3.reading import Stored
from dss_portal.datastore.stored import StoredFile
from dss_portal.patches.quart import requested

BLOCK_BYTES = 1 << 18
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="download")

P = ParamSpec("P")
T = TypeVar("T")


async def read_in_thread(
    file: StoredFile, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run ``act``, which reads from ``file``, in a thread, and return its result.

    Files in a bucket have separate threads, so that a bucket that does not answer does not delay other work of the
    portal.
    """
    threads = None if isinstance(file, Path) else _THREADS
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads, partial(act, *args, **kwargs))


async def send_stored(file: BucketFile, mime_type: str) -> Response:
    """The response with the file or, if the request has a Range header, with that part of it; with status 304 if the
    client has the present version.  Raises FileNotFoundError if the bucket has no such file, and Werkzeug's
    RequestedRangeNotSatisfiable (416) for a range outside of the file.
    """
    facts = await read_in_thread(file, file.facts)
    answer = Response(_StoredBody(file, facts), mimetype=mime_type)
    answer.content_length = facts.size_bytes
    answer.last_modified = facts.changed_at
    answer.set_etag(facts.version.strip('"'))
    await answer.make_conditional(request, accept_ranges=True, complete_length=facts.size_bytes)
    return answer


class _StoredBody(ResponseBody):
    """The body of a response with a file in a bucket.  One block is in memory at a time.  Ranges work as with Quart's
    ``FileBody``.

    If the file was replaced after the headers were sent, the connection is closed, so that no bytes of another version
    are sent.
    """

    def __init__(self, file: BucketFile, facts: Stored) -> None:
        self._file, self._facts = file, facts
        self.size, self.begin, self.end = facts.size_bytes, 0, facts.size_bytes
        self._opened: list[BinaryIO] = []

    async def __aenter__(self) -> AsyncIterator[bytes]:
        opened = self._file.open_found(self._facts)
        self._opened.append(opened)
        await read_in_thread(self._file, opened.seek, self.begin)
        return self._blocks(opened)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._opened:
            await read_in_thread(self._file, self._opened.pop().close)

    async def _blocks(self, opened: BinaryIO) -> AsyncIterator[bytes]:
        at = self.begin
        while at < self.end:
            block = await read_in_thread(self._file, opened.read, min(BLOCK_BYTES, self.end - at))
            if not block:
                raise OSError(f"it ends at byte {at}")
            at += len(block)
            yield block

    async def make_conditional(self, begin: int, end: int | None) -> int:
        """Limit the body to the bytes from ``begin`` up to, but not including, ``end``; a negative ``begin`` means that
        many bytes at the end.  Returns the size of the complete file.
        """
        self.begin, self.end = requested(begin, end, self.size)
        return self.size
