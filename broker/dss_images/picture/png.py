"""Writes PNG files with a palette (RFC 2083), without an imaging library, which workers and dispatchers then do not
need.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dss_images.default_colours import Rgb

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE_8_BIT = bytes((8, 3, 0, 0, 0))
_LEVEL = 6


def png(pixels: npt.NDArray[np.uint8], palette: Sequence[Rgb]) -> bytes:
    """The bytes of a PNG file.  ``pixels`` (row, column) are indices in ``palette``, which has at most 256 colours."""
    rows, columns = pixels.shape
    unfiltered = np.zeros((rows, columns + 1), np.uint8)  # each row begins with its filter, 0
    unfiltered[:, 1:] = pixels
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">II", columns, rows) + _PALETTE_8_BIT),
            _chunk(b"PLTE", bytes(part for colour in palette for part in colour)),
            _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), _LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
