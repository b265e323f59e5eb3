"""Gzip and zlib files, unpacked bit by bit and checked to their end."""

import io
import zlib
from typing import BinaryIO

_CHUNK_BYTES = 1 << 18
_EITHER = 47
"""For zlib: gzip or zlib, whichever it is, with its checksum."""
GZIP = b"\x1f\x8b"
"""How such a file begins."""


class _Inflating(io.RawIOBase):
    """Reads as what is packed in ``file``.

    Raises EOFError where that ends too early, zlib.error where its checksum does not fit.  Another
    gzip stream may follow the first; whatever else follows is ignored, as ``gunzip`` does.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = b""
        self._stream = zlib.decompressobj(_EITHER)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]", /) -> int:  # type: ignore[override]  # wider there
        while self._goes_on():
            self._packed = self._packed or self._file.read(_CHUNK_BYTES)
            if not self._packed:
                raise EOFError
            unpacked = self._stream.decompress(self._packed, len(buffer))
            self._packed = self._stream.unconsumed_tail
            if unpacked:
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)
        return 0

    def _goes_on(self) -> bool:
        """False at the end.  Where one stream ends, the next one is begun."""
        if not self._stream.eof:
            return True
        following = self._stream.unused_data + self._file.read(_CHUNK_BYTES)
        if not following.startswith(GZIP):
            return False
        self._packed, self._stream = following, zlib.decompressobj(_EITHER)
        return True


def inflated(file: BinaryIO) -> io.BufferedReader:
    """What is packed in ``file`` from its position on; memory does not grow with it."""
    return io.BufferedReader(_Inflating(file), _CHUNK_BYTES)
