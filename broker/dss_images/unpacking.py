"""Decodes voxels that are stored with gzip, zlib or bzip2, with their checksums verified, or as text."""

import bz2
import io
import zlib
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

import numpy as np

from dss_images import refusals

_CHUNK_BYTES = 1 << 18
_MOST_TEXT_BYTES = 32 << 20
_EITHER = 47
"""The parameter ``wbits`` of zlib with which it accepts both gzip and zlib, and verifies the checksum."""
GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"


class Packing(StrEnum):
    """How the voxels are encoded in the file: as bytes, compressed or as text."""

    RAW = "raw"
    DEFLATE = "gzip or zlib"
    BZIP2 = "bzip2"
    DECIMAL = "decimal"
    HEX = "hex"

    @property
    def most_inflated(self) -> int:
        """Largest possible ratio of the size of decoded data to their size in the file."""
        return {Packing.RAW: 1, Packing.DEFLATE: 1032, Packing.BZIP2: 100_000}.get(self, 8)


class _Stream(Protocol):
    """The common interface of ``zlib.decompressobj`` and ``bz2.BZ2Decompressor``."""

    def part(self, packed: bytes, most: int) -> tuple[bytes, bytes]:
        """Decompress ``packed``; returns at most ``most`` bytes, and the compressed data that were not used, which must
        be given again (b"" if the decompressor keeps them itself).
        """

    @property
    def eof(self) -> bool: ...

    @property
    def rest(self) -> bytes:
        """The bytes that were given after the end of the compressed stream."""


class _Deflate:
    begins = GZIP

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_EITHER)

    def part(self, packed: bytes, most: int) -> tuple[bytes, bytes]:
        return self._stream.decompress(packed, most), self._stream.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data


class _Bzip2:
    begins = _BZIP2

    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()

    def part(self, packed: bytes, most: int) -> tuple[bytes, bytes]:
        return self._stream.decompress(packed, most), b""  # bz2 keeps the rest itself

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data


class _Unpacking(io.RawIOBase):
    """A stream of the decompressed content of ``file``.

    Reading raises EOFError if the file is truncated, zlib.error or OSError if it is damaged.  Another stream of gzip,
    or of bzip2 after bzip2, may follow the first one; other data at the end are ignored, as by ``gunzip``.
    """

    def __init__(self, file: BinaryIO, kind: type[_Deflate | _Bzip2]) -> None:
        self._file = file
        self._packed = b""
        self._kind = kind
        self._stream: _Stream = kind()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]", /) -> int:  # type: ignore[override]  # wider there
        while self._goes_on():
            unpacked, self._packed = self._stream.part(self._packed, len(buffer))
            if unpacked:
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)
            if not self._stream.eof and not self._packed:
                self._packed = self._file.read(_CHUNK_BYTES)
                if not self._packed:
                    raise EOFError
        return 0

    def _goes_on(self) -> bool:
        """True if more data follow.  At the end of a compressed stream it begins the next one, if there is one."""
        if not self._stream.eof:
            return True
        following = self._stream.rest + self._file.read(_CHUNK_BYTES)
        if not following.startswith(self._kind.begins):
            return False
        self._packed, self._stream = following, self._kind()
        return True


def inflated(file: BinaryIO) -> io.BufferedReader:
    """A reader of the decompressed gzip or zlib data in ``file``, from its position on.  It uses constant memory.

    Reading raises EOFError if the data are truncated, zlib.error if they are damaged.
    """
    return io.BufferedReader(_Unpacking(file, _Deflate), _CHUNK_BYTES)


def unpacked(file: BinaryIO, packing: Packing, number_kind: np.dtype[Any]) -> BinaryIO:
    """A stream of the decoded content of ``file``, from its position on; for Packing.RAW it is ``file`` itself.

    Text is decoded at once: raises ValueError if that is impossible, ImageRefused if it is too large.  ``number_kind``
    is the numpy type of numbers in decimal text.  Reading compressed data raises EOFError, zlib.error or OSError.
    """
    match packing:
        case Packing.RAW:
            return file
        case Packing.DEFLATE:
            return inflated(file)
        case Packing.BZIP2:
            return io.BufferedReader(_Unpacking(file, _Bzip2), _CHUNK_BYTES)
        case Packing.HEX:
            return io.BytesIO(bytes.fromhex(_text(file)))
        case Packing.DECIMAL:
            return io.BytesIO(_numbers(_text(file), number_kind))


def _text(file: BinaryIO) -> str:
    """The rest of the text in ``file``.

    Raises ImageRefused if it is larger than _MOST_TEXT_BYTES, because its numbers need many times its memory, and
    UnicodeDecodeError if it is not ASCII.
    """
    text = file.read(_MOST_TEXT_BYTES + 1)
    if len(text) > _MOST_TEXT_BYTES:
        raise refusals.unknown_packing(f"text of more than {_MOST_TEXT_BYTES >> 20} MB")
    return text.decode("ascii")


def _numbers(text: str, kind: np.dtype[Any]) -> bytes:
    words = text.replace(",", " ").split()
    whole = np.dtype(kind).kind in "iu"
    numbers = [int(w) for w in words] if whole else [float(w) for w in words]
    try:
        return np.array(numbers, dtype=kind).tobytes()
    except OverflowError as error:
        raise ValueError(str(error)) from error
