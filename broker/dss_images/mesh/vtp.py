"""Reads polygonal data from a file in VTK's XML format (.vtp).

Its arrays may be ASCII, binary (base64) or appended, uncompressed or compressed with zlib or LZMA.
"""

import base64
import lzma
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from dss_images.errors import ImageRefused
from dss_images.mesh.surface import Array, Surface, damaged
from dss_images.mesh.text import numbers_in

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_APPENDED = re.compile(rb"<AppendedData[^>]*>\s*_")
_TYPES = {
    "Int8": "i1",
    "UInt8": "u1",
    "Int16": "i2",
    "UInt16": "u2",
    "Int32": "i4",
    "UInt32": "u4",
    "Int64": "i8",
    "UInt64": "u8",
    "Float32": "f4",
    "Float64": "f8",
}
_CELLS = ("Verts", "Lines", "Strips", "Polys")
MOST_BYTES = 2**31
"""Limit for the decompressed size of all arrays: a compressed file may claim any size, and several arrays of a file may
refer to the same data.
"""


def read_vtp(data: bytes) -> Surface:
    """The surface in the bytes of a .vtp file, with all its pieces.

    Raises ImageRefused if it has other data, an unknown compression or is too large; ImageRefused or ValueError if it
    is damaged.
    """
    head, appended = _split(data)
    root = _root(head)
    reader = _Reader(
        order="<" if root.get("byte_order", "LittleEndian") == "LittleEndian" else ">",
        header="u8" if root.get("header_type") == "UInt64" else "u4",
        compressor=root.get("compressor", ""),
        appended=appended,
        is_raw=(node := root.find("AppendedData")) is not None and node.get("encoding") == "raw",
    )
    pieces = [_piece(piece, reader) for piece in root.iterfind("PolyData/Piece")]
    return _joined(pieces)


def _root(head: bytes) -> "Element":
    """The root of the XML document ``head``.  Raises ImageRefused if it is damaged or no PolyData."""
    try:
        root = fromstring(head, forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError) as error:  # LookupError: its encoding
        raise damaged() from error
    if root.tag != "VTKFile" or root.get("type") != "PolyData":
        raise ImageRefused(
            f"The mesh file holds {root.get('type', root.tag)}; ITK-SNAP loads PolyData."
        )
    return root


def _joined(pieces: Sequence[Surface]) -> Surface:
    """One surface with the points and cells of all pieces.  Raises ImageRefused without a piece, or if a cell has a
    point that its own piece does not have.
    """
    if not pieces:
        raise damaged()
    starts = np.cumsum([0] + [len(piece.points_mm) for piece in pieces])
    corners = [p.corners + start for p, start in zip(pieces, starts[:-1], strict=True)]
    for piece in pieces:  # a point number beyond its own piece must not name a point of another one
        own = piece.corners
        if own.size and (int(own.min()) < 0 or int(own.max()) >= len(piece.points_mm)):
            raise ImageRefused("The mesh has a cell with a point that it does not have.")
    return Surface(
        points_mm=np.concatenate([piece.points_mm for piece in pieces]),
        corners=np.concatenate(corners),
    )


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The XML without the appended data, which may be binary, and the appended data (b"" if none).

    Raises ImageRefused if the end of the appended data is missing.
    """
    found = _APPENDED.search(data)
    if found is None:
        return data, b""
    end = data.rfind(b"</AppendedData>")
    if end < 0:
        raise damaged()
    return data[: found.end() - 1] + data[end:], data[found.end() : end]


def _piece(piece: "Element", reader: "_Reader") -> Surface:
    node = piece.find("Points/DataArray")
    points = np.empty(0) if node is None else reader.array(node)
    corners = [np.empty(0, np.int64)]
    for name in _CELLS:
        found = piece.find(f"{name}/DataArray[@Name='connectivity']")
        if found is not None and piece.get(f"NumberOf{name}", "0") != "0":
            corners.append(reader.array(found).astype(np.int64))
    if points.size != 3 * int(piece.get("NumberOfPoints", "0")):
        raise damaged()
    return Surface(
        points_mm=points.reshape(-1, 3).astype(np.float64), corners=np.concatenate(corners)
    )


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Decodes the data arrays of one file.

    ``order`` is numpy's letter for the byte order, ``header`` numpy's name of the type of the sizes before the data;
    ``is_raw``: the data ``appended`` to the file are not in base64.
    """

    order: str
    header: str
    compressor: str
    appended: bytes
    is_raw: bool
    sizes: list[int] = field(default_factory=list)
    """Decompressed size in bytes of each array that was read."""

    def array(self, node: "Element") -> Array:
        """The numbers of the element DataArray ``node``.  Raises ImageRefused or ValueError."""
        found = self._array(node)
        self._count(found.nbytes)
        return found

    def _count(self, size_bytes: int) -> None:
        self.sizes.append(size_bytes)
        if sum(self.sizes) > MOST_BYTES:
            raise ImageRefused("The mesh is larger than 2 GB; reduce its triangles.")

    def _array(self, node: "Element") -> Array:
        kind = np.dtype(self.order + _TYPES[_known(node.get("type", ""))])
        match node.get("format"):
            case "appended":
                data = self._unpacked(
                    self.appended[int(node.get("offset", "0")) :], is_raw=self.is_raw
                )
            case "binary":
                data = self._unpacked((node.text or "").strip().encode(), is_raw=False)
            case _:
                return numbers_in(node.text or "", kind.kind)
        return np.frombuffer(data, kind)

    def _unpacked(self, data: bytes, *, is_raw: bool) -> bytes:
        sizes = _Sizes(data, np.dtype(self.order + self.header), is_raw=is_raw)
        if not self.compressor:
            return sizes.body(1, [sizes.numbers(1)[0]])
        blocks, block_bytes, last_bytes = sizes.numbers(3)
        if blocks * block_bytes > MOST_BYTES - sum(self.sizes):
            raise ImageRefused("The mesh is larger than 2 GB; reduce its triangles.")
        if blocks > len(data) or last_bytes > block_bytes or (blocks and not block_bytes):
            raise damaged()  # to zlib, a size of 0 means no limit
        packed = sizes.numbers(3 + blocks)[3:]
        body, at, found = sizes.body(3 + blocks, packed), 0, []
        for i, size in enumerate(packed):
            whole = last_bytes if i == blocks - 1 and last_bytes else block_bytes
            found.append(self._block(body[at : at + size], whole))
            at += size
        return b"".join(found)

    def _block(self, data: bytes, size: int) -> bytes:
        try:
            found = self._inflated(data, size)
        except (zlib.error, lzma.LZMAError) as error:
            raise damaged() from error
        if len(found) != size:
            raise damaged()
        return found

    def _inflated(self, data: bytes, size: int) -> bytes:
        match self.compressor:
            case "vtkZLibDataCompressor":
                return zlib.decompressobj().decompress(data, size)
            case "vtkLZMADataCompressor":
                return lzma.LZMADecompressor().decompress(data, size)
            case other:
                raise ImageRefused(
                    f"The mesh is packed with {other}; write it with zlib, or without compression."
                )


@dataclass(frozen=True)
class _Sizes:
    """The bytes of a data array, with the sizes of its blocks, of the type ``kind``, before the blocks.

    Unless ``is_raw``, they are in base64; of a compressed array, the sizes and the blocks are encoded separately.
    """

    data: bytes
    kind: np.dtype[Any]
    is_raw: bool

    def numbers(self, count: int) -> list[int]:
        """The first ``count`` numbers before the blocks.  Raises ValueError if bytes are missing."""
        needed = count * self.kind.itemsize
        start = self.data[:needed] if self.is_raw else _decoded(self.data, needed)
        return [int(number) for number in np.frombuffer(start, self.kind, count)]

    def body(self, count: int, sizes: list[int]) -> bytes:
        """The blocks, which follow ``count`` numbers.  ``sizes`` are the sizes of the blocks in bytes.

        Uncompressed data are one block, with one number, and both are encoded together.  Raises ImageRefused if bytes
        are missing.
        """
        head, needed = count * self.kind.itemsize, sum(sizes)
        if self.is_raw:
            found = self.data[head : head + needed]
        elif count == 1:
            found = _decoded(self.data, head + needed)[head:]
        else:
            found = _decoded(self.data[_encoded_length(head) :], needed)
        if len(found) != needed:
            raise damaged()
        return found


def _encoded_length(size: int) -> int:
    return -(-size // 3) * 4


def _decoded(data: bytes, size: int) -> bytes:
    return base64.b64decode(data[: _encoded_length(size)])[:size]


def _known(kind: str) -> str:
    if kind not in _TYPES:
        raise damaged()
    return kind
