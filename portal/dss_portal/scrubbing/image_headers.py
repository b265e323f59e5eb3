"""Overwrites the text fields of NIfTI headers, which may name people, patients, programs and files; also reads the
number of voxels.  Layout: nifti1.h and nifti2.h of NIfTI-1 and NIfTI-2.

Voxels and grid stay as they are, bit for bit.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal, Protocol

from dss_datastore.writing import replacing, sync

GZIP = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20
LONGEST_HEAD_BYTES = 16 << 20
FAST = 1
"""Compression level of a rewritten file: low, because the sender waits meanwhile, and the file is kept only for a
while.
"""


class _Openable(Protocol):
    def open(self, mode: Literal["rb"], /) -> BufferedReader: ...


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Positions and types of fields in a NIfTI header.  Positions are in bytes from its start, types in the notation of
    ``struct``; ``texts`` has the start and the end of each text field.
    """

    size_bytes: int
    texts: tuple[tuple[int, int], ...]
    dim: str
    dim_at: int
    bits_at: int
    start: str
    start_at: int
    magic_at: int


_NIFTI_1 = _Layout(
    size_bytes=348,
    texts=((4, 32), (148, 228), (228, 252)),  # data_type and db_name, descrip, aux_file
    dim="8h",
    dim_at=40,
    bits_at=72,
    start="f",
    start_at=108,
    magic_at=344,
)
_NIFTI_2 = _Layout(
    size_bytes=540,
    texts=((240, 320), (320, 344)),  # descrip, aux_file
    dim="8q",
    dim_at=16,
    bits_at=14,
    start="q",
    start_at=168,
    magic_at=4,
)
_MAGIC = (b"n+", b"ni")
"""The magic numbers of a file that also contains the voxels (``n+``), and of a header whose voxels are in another file
(``ni``).
"""

_SIZES = {
    struct.pack(f"{order}i", layout.size_bytes): (layout, order)
    for layout in (_NIFTI_1, _NIFTI_2)
    for order in "<>"
}
"""The layout and the byte order of a header, by the first four bytes of the file."""

_EXTENDER_BYTES = 4
"""Size of the field after the header.  It says whether extensions follow, which contain text, XML or DICOM."""


def scrub_volume(path: Path) -> None:
    """Overwrite the texts and extensions in the header of the NIfTI file ``path`` with zeros; the file may be
    compressed with gzip.  Any other file is not changed.

    A compressed file that is damaged, or whose content is much longer than its header says, is not changed either,
    because after a rewrite it would look intact.
    """
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = _Head.read(stream)
            if head is None or head.scrubbed == head.data:
                return
            if packed and not _rewrite(path, head, stream):
                return
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
    if not packed:
        _overwrite(path, head.scrubbed)


def may_be_image(beginning: bytes) -> bool:
    """True if a file with this ``beginning`` may be NIfTI, compressed or not."""
    return beginning.startswith(GZIP) or beginning[:4] in _SIZES


def voxels_in(image: _Openable) -> int | None:
    """The number of voxels that the header of a NIfTI file states, over all its dimensions; None for any other file, and
    for one whose compressed header is damaged.  Raises FileNotFoundError if the file is missing.
    """
    with image.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        try:
            head = _Head.read(gzip.GzipFile(fileobj=file) if packed else file)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    return head.voxels if head else None


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The part of a NIfTI file before the voxels: as it is (``data``) and with zeros for texts (``scrubbed``); and the
    number of ``voxels`` that it states, with their size in bytes.
    """

    data: bytes
    scrubbed: bytes
    voxels: int
    voxels_bytes: int

    @classmethod
    def read(cls, stream: _Stream) -> "_Head | None":
        """Read the part before the voxels from the start of ``stream``; None if the file is not NIfTI."""
        data = stream.read(4)
        found = _SIZES.get(data)
        return cls._read(stream, data, *found) if found else None

    @classmethod
    def _read(cls, stream: _Stream, begun: bytes, layout: _Layout, order: str) -> "_Head | None":
        data = begun + stream.read(layout.size_bytes + _EXTENDER_BYTES - len(begun))
        magic = data[layout.magic_at :][:2]
        if len(data) < layout.size_bytes or magic not in _MAGIC:
            return None
        start = _unpacked(data, order + layout.start, layout.start_at)[0]
        if magic == b"ni":
            start = LONGEST_HEAD_BYTES  # read up to the longest header
        if len(data) < start <= LONGEST_HEAD_BYTES:
            data += stream.read(int(start) - len(data))
        dim = _unpacked(data, order + layout.dim, layout.dim_at)
        bits = _unpacked(data, order + "h", layout.bits_at)[0]
        count = math.prod(max(1, int(n)) for n in dim[1 : 1 + max(0, min(7, int(dim[0])))])
        has_room = (
            start >= layout.size_bytes + _EXTENDER_BYTES
        )  # otherwise the voxels follow the header directly
        return cls(
            data=data,
            scrubbed=_without_words(data, layout, extensions=has_room),
            voxels=count,
            voxels_bytes=count * max(0, int(bits)) // 8,
        )


def _unpacked(data: bytes, kind: str, at: int) -> tuple[float, ...]:
    return struct.unpack_from(kind, data, at)


def _without_words(head: bytes, layout: _Layout, *, extensions: bool) -> bytes:
    """The header ``head`` with zeros in place of its texts; with ``extensions``, also in place of everything after the
    header.
    """
    blank = bytearray(head)
    for first, end in layout.texts:
        blank[first:end] = bytes(end - first)
    if extensions:
        blank[layout.size_bytes :] = bytes(len(head) - layout.size_bytes)
    return bytes(blank)


def _overwrite(path: Path, head: bytes) -> None:
    with path.open("r+b") as file:
        file.write(head)
    sync(path)


def _rewrite(path: Path, head: _Head, rest: _Stream) -> bool:
    """Rewrite the gzip-compressed file ``path`` with the scrubbed header, and with the rest of its decompressed data
    ``rest``.  Returns False, with nothing changed, if the file is much longer than its header says.

    Raises the errors of GzipFile if the file is damaged.
    """
    try:
        with replacing(path) as target, target.open("xb") as file:
            packer = zlib.compressobj(FAST, wbits=31)
            file.write(packer.compress(head.scrubbed))
            for chunk in _limited(rest, head.voxels_bytes + CHUNK_BYTES):
                file.write(packer.compress(chunk))
            file.write(packer.flush())
    except OverflowError:
        return False
    return True


def _limited(stream: _Stream, most_bytes: int) -> Iterator[bytes]:
    """Yield the data of ``stream`` in pieces.  Raises OverflowError after ``most_bytes``, because a small compressed
    file could decompress to terabytes.
    """
    while chunk := stream.read(CHUNK_BYTES):
        most_bytes -= len(chunk)
        if most_bytes < 0:
            raise OverflowError
        yield chunk
