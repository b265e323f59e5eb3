"""Reads NIfTI headers (.nii, .nii.gz, .hdr) of both versions and byte orders.

Facts: nifti1.h and nifti2.h (https://nifti.nimh.nih.gov).  A header that ITK and nibabel interpret differently is
ambiguous, and is refused.
"""

import math
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from dss_images import refusals
from dss_images.errors import ImageRefused
from dss_images.header import Format, Header, Storage, require_own_file
from dss_images.nifti_grid import Record, grid_of_record
from dss_images.unpacking import GZIP, Packing, inflated

_HEADER_BYTES = {Format.NIFTI_1: 348, Format.NIFTI_2: 540}
_LEAST_OFFSET = {Format.NIFTI_1: 352, Format.NIFTI_2: 544}
_MOST_HEADER_BYTES = 64 << 20
_FIELDS_1 = {
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112),
    "scl_inter": ("f4", 116),
    "xyzt_units": ("u1", 123),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quatern": ("3f4", 256),
    "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
_FIELDS_2 = {
    "magic": ("S8", 4),
    "datatype": ("i2", 12),
    "dim": ("8i8", 16),
    "pixdim": ("8f8", 104),
    "vox_offset": ("i8", 168),
    "scl_slope": ("f8", 176),
    "scl_inter": ("f8", 184),
    "qform_code": ("i4", 344),
    "sform_code": ("i4", 348),
    "quatern": ("3f8", 352),
    "qoffset": ("3f8", 376),
    "srow": ("(3,4)f8", 400),
    "xyzt_units": ("i4", 500),
}
_KINDS = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_COMPLEX = {32, 1792, 2048}
_COLOURS = {128: 3, 2304: 4}

Order = Literal["<", ">"]


def is_nifti(start: bytes) -> bool:
    """True if ``start``, the first bytes of a file, decompressed, are those of a NIfTI or ANALYZE 7.5 header."""
    return (
        int.from_bytes(start[:4], "little") in _SIZES or int.from_bytes(start[:4], "big") in _SIZES
    )


_SIZES = frozenset(_HEADER_BYTES.values())


def read_nifti(path: Path, *, pairs: bool = False) -> Header:
    """The header of the NIfTI file ``path``.  ``pairs``: the voxels may be in another file of the same folder.

    Raises ImageRefused; EOFError or zlib.error if compressed data are damaged.
    """
    with path.open("rb") as file:
        packing = Packing.DEFLATE if file.peek(2).startswith(GZIP) else Packing.RAW
        format_, order, record = _record(inflated(file) if packing == Packing.DEFLATE else file)
    _require_magic(record, path.name)
    storage = _storage(path, format_, record, packing)
    require_own_file(path, storage, pairs=pairs)
    size, components = _size(format_, record)
    code = int(record["datatype"])
    slope, intercept = _scale(record)
    return Header(
        format=format_,
        grid=grid_of_record(record, size),
        kind=_kind(code, order),
        components=components * _COLOURS.get(code, 1),
        slope=slope,
        intercept=intercept,
        storage=storage,
        notes=_notes(record),
    )


def _record(stream: BinaryIO) -> tuple[Format, Order, Record]:
    data = stream.read(4)
    size = next(
        (n for n in (int.from_bytes(data, "little"), int.from_bytes(data, "big")) if n in _SIZES), 0
    )
    if not size:
        raise ImageRefused(refusals.UNKNOWN_FORMAT)
    order: Order = "<" if int.from_bytes(data, "little") == size else ">"
    data += stream.read(size - 4)
    if len(data) < size:
        raise refusals.damaged(refusals.ENDS_EARLY)
    format_ = Format.NIFTI_1 if size == _HEADER_BYTES[Format.NIFTI_1] else Format.NIFTI_2
    return format_, order, np.frombuffer(data, _TYPES[format_].newbyteorder(order))[0]


def _type(format_: Format) -> "np.dtype[Any]":
    """The numpy type that describes the layout of a header of the given version of NIfTI."""
    fields = _FIELDS_1 if format_ == Format.NIFTI_1 else _FIELDS_2
    names, offsets = list(fields), [offset for _, offset in fields.values()]
    formats: list[np.dtype[Any]] = [np.dtype(kind) for kind, _ in fields.values()]
    layout: Any = {
        "names": names,
        "formats": formats,
        "offsets": offsets,
        "itemsize": _HEADER_BYTES[format_],
    }
    kind: np.dtype[Any] = np.dtype(layout)
    return kind


# Made once: NumPy parses "8i2" as Python, which in several threads at once may fail (python/cpython#106905).
_TYPES = {format_: _type(format_) for format_ in _HEADER_BYTES}


def _require_magic(record: Record, name: str) -> None:
    magic = bytes(record["magic"])[:3]
    if magic not in {b"n+1", b"ni1", b"n+2", b"ni2"}:
        raise refusals.unknown(name) if magic.strip() else ImageRefused(refusals.ANALYZE)


def _size(format_: Format, record: Record) -> tuple[list[int], int]:
    """The size, [x, y, z] or [x, y, z, t] with several time points (shorter if the file has fewer axes), and the number
    of values in each voxel.  Raises ImageRefused if an axis is shorter than 1, or further axes are longer than 1.
    """
    count = int(record["dim"][0])
    if not 1 <= count <= 7:
        raise refusals.bad_header(format_, f"it says {count} dimensions")
    dims = [int(n) for n in record["dim"][1 : count + 1]]
    if min(dims) < 1:
        raise refusals.empty_dimension(dims)
    space, frames, others = dims[:3], [*dims, 1, 1][3] if count > 3 else 1, math.prod(dims[4:])
    if others > 1 and math.prod(dims[5:]) > 1:
        raise refusals.wrong_dimensions(count)
    return [*space, *([frames] if frames > 1 else [])], others


def _kind(code: int, order: Order) -> "np.dtype[Any]":
    if code in _COMPLEX:
        raise ImageRefused(refusals.COMPLEX)
    if code in _COLOURS:
        return np.dtype("u1")
    if code not in _KINDS:
        raise refusals.unknown_kind(f"datatype {code}")
    return np.dtype(order + _KINDS[code])


def _scale(record: Record) -> tuple[float, float]:
    """Slope and intercept of the values.  A slope that is 0 or not finite means no scaling: 1 and 0.

    Raises ImageRefused if such a slope has an intercept other than 0, or another slope an intercept that is not finite.
    """
    slope, intercept = float(record["scl_slope"]), float(record["scl_inter"])
    if slope and math.isfinite(slope):
        if not math.isfinite(intercept):
            raise ImageRefused(refusals.INVALID_SCALING)
        return slope, intercept
    if intercept and math.isfinite(intercept):
        raise ImageRefused(refusals.INVALID_SCALING)
    return 1.0, 0.0


def _storage(path: Path, format_: Format, record: Record, packing: Packing) -> Storage:
    is_pair = bytes(record["magic"])[:2] == b"ni"
    least = 0 if is_pair else _LEAST_OFFSET[format_]
    offset = float(record["vox_offset"])
    if not least <= offset <= _MOST_HEADER_BYTES or offset != int(offset):
        raise refusals.bad_header(format_, "it does not say where its voxels begin (vox_offset)")
    if is_pair:
        path = _voxel_file(path)
        packing = _packing_of(path)
    if packing == Packing.RAW:
        return Storage(path=path, offset_bytes=int(offset))
    return Storage(path=path, packing=packing, skip_bytes=int(offset))


def _voxel_file(path: Path) -> Path:
    """The path of the voxel file that belongs to the header file ``path``; if there is none, where it should be."""
    name = path.name[: -len(".hdr")] if path.name.lower().endswith(".hdr") else path.stem
    found = [path.with_name(name + end) for end in (".img", ".IMG", ".img.gz")]
    return next((p for p in found if p.is_file()), found[0])


def _packing_of(path: Path) -> Packing:
    if not path.is_file():
        return Packing.RAW
    with path.open("rb") as file:
        return Packing.DEFLATE if file.read(2) == GZIP else Packing.RAW


def _notes(record: Record) -> tuple[str, ...]:
    if (np.asarray(record["pixdim"][1:4]) < 0).any():
        return ("The image has a negative spacing (pixdim), which was read as its length.",)
    return ()
