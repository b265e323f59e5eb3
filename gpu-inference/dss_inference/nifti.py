# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What SimpleITK does not say about a NIfTI file."""

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.errors import InferenceError

NOT_NUMBERS = "The image has voxels that are not numbers; every voxel needs a value."
_CHUNK_BYTES = 1 << 20
_LARGEST_HEADER_BYTES = 64 << 20
_LITTLE_ENDIAN = {size.to_bytes(4, "little") for size in (348, 540)}
"""How a header of NIfTI-1 or NIfTI-2 begins."""
_FLOATS = {"16": "f4", "64": "f8"}


def check_nifti(header: sitk.ImageFileReader, path: Path) -> None:
    """SimpleITK fills up a file that ends too early with what happens to be there, and takes voxels
    that are not numbers for 0.  Raises InferenceError for both.
    """
    offset = _offset(header.GetMetaData("vox_offset"))
    left = math.prod(header.GetSize()) * int(header.GetMetaData("bitpix")) // 8
    kind = _FLOATS.get(header.GetMetaData("datatype"))
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            order = "<" if stream.read(offset)[:4] in _LITTLE_ENDIAN else ">"
            for chunk in _chunks(stream, left):
                if kind and not np.isfinite(np.frombuffer(chunk, order + kind)).all():
                    raise InferenceError(NOT_NUMBERS)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InferenceError("The image file is damaged: it ends too early.") from error


def _offset(stated: str) -> int:
    """Where the voxels begin.  Raises InferenceError for what could be no such place."""
    value = float(stated)
    if not 0 <= value <= _LARGEST_HEADER_BYTES:
        raise InferenceError("The image file is damaged: its header does not say where it ends.")
    return int(value)


def _chunks(stream: BinaryIO | gzip.GzipFile, size_bytes: int) -> Iterator[bytes]:
    """Raises EOFError where there is less."""
    while size_bytes:
        chunk = stream.read(min(_CHUNK_BYTES, size_bytes))
        if len(chunk) < min(_CHUNK_BYTES, size_bytes):
            raise EOFError
        size_bytes -= len(chunk)
        yield chunk
