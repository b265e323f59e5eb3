"""Reads a file of a bucket as a seekable stream, and continues after a lost connection."""

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dss_datastore.s3.client import Client, file_errors, is_of_the_library
from dss_datastore.volume import away

BUFFER_BYTES = 1 << 18
RESUMED = 3
"""Number of attempts to read bytes; if all of them lose the connection without a byte, reading raises an error."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The facts about a file of a bucket: its key, size, version and last change.

    ``version`` is the ETag, which changes with the content.
    """

    key: str
    size_bytes: int
    version: str
    changed_at: datetime


def opened(client: Client, place: dict[str, object], about: Stored) -> io.BufferedReader:
    """A buffered, seekable reader of the file and version ``about``; ``place`` has its bucket and its full key."""
    return io.BufferedReader(_File(client, place, about), BUFFER_BYTES)


class _File(io.RawIOBase):
    """A stream of one version of a file.

    The first read makes a request for all bytes from the position on.  ``seek`` and ``close`` end it.
    """

    def __init__(self, client: Client, place: dict[str, object], about: Stored) -> None:
        super().__init__()
        self._client, self._place, self._about = client, place, about
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._about.size_bytes}[whence]
        if start + offset != self._at:
            self._drop()
            self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        left = self._about.size_bytes - self._at
        if left <= 0:
            return 0
        wanted = min(len(buffer), left)
        data = self._read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        """Read 1 to ``size`` bytes.  Raises OSError (ENODEV) if the connection is lost repeatedly, FileReplaced if the
        file was replaced, FileNotFoundError if it was removed.
        """
        for _ in range(RESUMED):
            try:
                if data := self._stream().read(size):
                    return bytes(data)
            except Exception as error:
                if not is_of_the_library(error):
                    raise
            self._drop()
        raise away()

    def _stream(self) -> Any:
        if self._body is None:
            with file_errors(self._about.key):
                ranged = f"bytes={self._at}-{self._about.size_bytes - 1}"
                answer = self._client.get_object(
                    **self._place, Range=ranged, IfMatch=self._about.version
                )
            self._body = answer["Body"]
        return self._body

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._drop()
        super().close()
