"""Prepares a NIfTI file to be sent unchanged, without an imaging library: checks the header, and puts the file into the
folder of the ticket.

Format: nifti1.h and nifti2.h of the NIfTI Data Format Working Group.
"""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_client.extras import command_for
from dss_datastore.writing import link
from dss_submission.layer import Layer

_HEADS = {348: ("h", 40, 344, b"n+1\0"), 540: ("q", 16, 4, b"n+2\0")}
"""By the header's size in bytes, ``sizeof_hdr``: the struct type and the offset of ``dim``, and the offset and the text
of ``magic`` in a file that has both header and voxels.
"""
_HEADER_BYTES = 540
_PIECE_BYTES = 1024 * 1024


def copy_unchanged(source: Path, folder: Path) -> Layer:
    """Put ``source`` unchanged into ``folder`` and return its Layer.  Its new name is made from a hash of its content,
    because its own name may name the patient.

    Only the NIfTI header is checked; the service checks everything else.  Raises ImageUnreadable if ``source`` is not a
    NIfTI file or cannot be read.
    """
    if source.is_dir():
        raise ImageUnreadable(
            f"{source.name} is a folder, and only a NIfTI file is sent as it is. For a folder of DICOM files: "
            f"{command_for('images')}"
        )
    try:
        size = nifti_size(source)
        digest = _digest(source)
        ending = ".nii.gz" if source.name.lower().endswith(".gz") else ".nii"
        path = folder / f"layer_000_{digest}{ending}"
        link(source.resolve(), path)
    except FileNotFoundError as error:
        raise ImageUnreadable(f"There is no file {source}.") from error
    except OSError as error:
        raise ImageUnreadable(f"{source.name} cannot be read: {error.strerror}.") from error
    return Layer(path=path, size=size)


def nifti_size(source: Path) -> tuple[int, ...]:
    """Number of voxels along each axis, in the order of the header.  Raises ImageUnreadable if ``source`` is not a
    NIfTI file or its compression is damaged, OSError if it cannot be read.
    """
    head = _head(source)
    for order in "<>":
        found = _HEADS.get(struct.unpack_from(f"{order}i", head)[0]) if len(head) >= 4 else None
        if found is not None and head[found[2] :].startswith(found[3]) and len(head) >= 348:
            kind, place = found[:2]
            dims: tuple[int, ...] = struct.unpack_from(f"{order}8{kind}", head, place)
            size = dims[1 : dims[0] + 1]
            if 1 <= dims[0] <= 7 and min(size) > 0:
                return size
    if source.name.lower().endswith((".nii", ".nii.gz")):
        raise ImageUnreadable(f"{source.name} is not a NIfTI file, whatever its name says.")
    raise ImageUnreadable(
        f"{source.name} is not a NIfTI file (.nii, .nii.gz), the only kind that is sent as it is. "
        f"For other images: {command_for('images')}"
    )


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return file.read(_HEADER_BYTES)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(_HEADER_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ImageUnreadable(f"{source.name} is damaged: it cannot be unpacked.") from error


def _digest(source: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with source.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
