"""Is all of an image file there?  ITK puts zeros where voxels of a NIfTI file are missing."""

import zlib
from pathlib import Path
from typing import BinaryIO

from dss_broker.inflating import GZIP, inflated
from dss_broker.packed import packed_voxels
from dss_dispatch.errors import ImageDamaged

_NIFTI_HEADER_BYTES = 352
_CHUNK_BYTES = 1 << 20


def require_whole(path: Path, voxels_bytes: int) -> None:
    """Raises ImageDamaged if ``path`` does not hold so much, or if its checksum does not fit.

    Only where ITK does not notice that itself.
    """
    try:
        is_whole = _holds(path, voxels_bytes)
    except (EOFError, zlib.error):
        is_whole = False
    if not is_whole:
        raise ImageDamaged(f"The file '{path.name}' is damaged or not complete; send it again.")


def _holds(path: Path, voxels_bytes: int) -> bool:
    packed = packed_voxels(path)
    with path.open("rb") as file:
        if packed is not None:
            file.seek(packed.offset_bytes)
            return _is_long(inflated(file), voxels_bytes)
        if path.name.lower().endswith((".nii", ".nii.gz")):
            stream = inflated(file) if file.peek(2).startswith(GZIP) else file
            return _is_long(stream, _NIFTI_HEADER_BYTES + voxels_bytes)
    return True


def _is_long(stream: BinaryIO, size_bytes: int) -> bool:
    """Has it so much?  It is read to its end, but not much beyond what is needed."""
    found = 0
    while found <= size_bytes + _CHUNK_BYTES and (part := stream.read(_CHUNK_BYTES)):
        found += len(part)
    return found >= size_bytes
