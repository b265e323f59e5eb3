"""Reads MetaImage headers (.mha, .mhd).

ITK's own reader is not used: if numbers of a header contradict each other, it writes past its arrays, which ends the
process.  Unknown keys are allowed: ITK writes keys of its own (``ITK_original_spacing``), and keys that it has read
from another format (``NRRD_kinds[0]``, ``pixdim[1]``).  Facts: https://itk.org/Wiki/ITK/MetaIO/Documentation and ITK's
results for the files of the tests.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dss_images import refusals
from dss_images.errors import ImageDamaged, ImageRefused
from dss_images.grid import FileGrid, grid_from
from dss_images.header import Format, Header, Storage, require_own_file
from dss_images.units import scale_of
from dss_images.unpacking import Packing

HEADER_BYTES = 1 << 20
_LINE = re.compile(rb"([^=\x00-\x1f\x7f-\xff]{1,255}?) *= ?([\x20-\x7e\x80-\xff\t]*)")
_KINDS = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LONGS = {"MET_LONG": ("i4", "i8"), "MET_ULONG": ("u4", "u8")}
"""Element types with two possible numpy types: 4 bytes by the format, 8 bytes as ITK on Linux writes them.  The size of
the voxel file decides; compressed values and text are read as 8 bytes.
"""
_TRUE = ("T", "t", "1")
_SAME = (("Offset", "Position", "Origin"), ("TransformMatrix", "Rotation", "Orientation"))
_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_WHOLE = {"DimSize", "NDims", "HeaderSize", "ElementNumberOfChannels"}
_MOST_AXES = 4

Fields = dict[str, str]


def is_meta(start: bytes) -> bool:
    """True if ``start``, the first bytes of a file, are the beginning of a MetaImage header."""
    first = re.match(rb"\s*(ObjectType|NDims|Comment|ObjectSubType)\s*=", start, re.IGNORECASE)
    return first is not None


def read_meta(path: Path, *, pairs: bool = False) -> Header:
    """The header of the MetaImage file ``path``.  Raises ImageRefused.

    ``pairs``: the voxels may be in another file of the same folder.
    """
    fields, end = _fields(path)
    storage = _storage(path, fields, end)
    require_own_file(path, storage, pairs=pairs)
    axes = _axes(fields)
    size = [int(n) for n in _numbers(fields, "DimSize", axes)]
    components = int(_numbers(fields, "ElementNumberOfChannels", 1, [1.0])[0])
    _require_own_values(fields)
    return Header(
        format=Format.META,
        grid=_grid(fields, axes, size),
        kind=_kind(fields, storage, math.prod(size) * components),
        components=components,
        storage=storage,
    )


def _fields(path: Path) -> tuple[Fields, int]:
    """The header's fields by key, and the size of the header in bytes.  Raises ImageDamaged."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    fields: Fields = {}
    end = 0
    for line in start.splitlines(keepends=True):
        end += len(line)
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip(b"\r\n"))
        if found is None:
            raise _damaged("a line is not 'key = value'")
        key, value = found[1].decode().strip(), found[2].decode("utf-8", "replace").strip()
        if fields.get(key, value) != value:
            raise _damaged(f"it says '{key}' twice")
        fields[key] = value
        if key == "ElementDataFile":
            return fields, end
    raise _damaged("it does not say where its voxels are (ElementDataFile)")


def _axes(fields: Fields) -> int:
    if fields.get("ObjectType", "Image").lower() != "image":
        raise _damaged("its ObjectType is not Image")
    (count,) = _numbers(fields, "NDims", 1)
    if count not in range(1, _MOST_AXES + 1):
        raise _damaged(f"its NDims is {count:g}")
    return int(count)


def _grid(fields: Fields, axes: int, size: list[int]) -> FileGrid:
    if min(size) < 1:
        raise refusals.empty_dimension(size)
    spacing = _numbers(fields, "ElementSpacing", axes, _numbers(fields, "ElementSize", axes, []))
    if not spacing:
        raise ImageRefused(refusals.INVALID_SPACING)
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        raise ImageRefused(refusals.INVALID_SPACING)
    names = [next((n for n in same if n in fields), same[0]) for same in _SAME]
    _require_one(fields)
    origin = _numbers(fields, names[0], axes, [0.0] * axes)
    # Each group of numbers is an axis of the image.
    matrix = np.reshape(
        _numbers(fields, names[1], axes**2, list(np.eye(axes).ravel())), (axes, axes)
    )
    scale = scale_of(fields.get("DistanceUnits", "mm"))
    volume = min(axes, 3)
    steps = np.zeros((3, volume))
    steps[:volume] = matrix[:volume, :volume].T * spacing[:volume]
    _require_unit_axes(matrix)
    frame_spacing = spacing[3] if axes > 3 else 1.0
    grid = grid_from(size, steps * scale, [x * scale for x in origin[:volume]], frame_spacing)
    written = _as_written(grid, spacing, matrix, scale)
    return _without_time(written) if len(size) > 3 and size[3] == 1 else written


def _without_time(grid: FileGrid) -> FileGrid:
    """``grid`` without its time axis, which has one time point.  In other formats such an axis is dropped, too."""
    volume = grid.volume
    return replace(
        grid,
        size=grid.size[:3],
        spacing_mm=volume.spacing_mm,
        origin_mm=volume.origin_mm,
        direction=volume.direction,
    )


def _as_written(grid: FileGrid, spacing: list[float], matrix: Any, scale: float) -> FileGrid:
    """``grid`` with the numbers of the header for spacing and direction, so that they are exact to the last bit.

    If the header's unit is not the millimetre (``scale`` is not 1), ``grid`` itself.
    """
    if scale != 1:
        return grid
    return replace(
        grid, spacing_mm=tuple(spacing), direction=tuple(float(c) for c in matrix.T.ravel())
    )


def _require_unit_axes(matrix: Any) -> None:
    lengths = np.linalg.norm(matrix, axis=1)
    if not np.isfinite(matrix).all():
        raise ImageRefused(refusals.INVALID_ORIGIN)
    if not np.allclose(lengths, 1, rtol=0, atol=1e-3):
        raise _damaged("the rows of its TransformMatrix are not of length 1")


def _require_one(fields: Fields) -> None:
    for same in _SAME:
        values = {fields[name] for name in same if name in fields}
        if len(values) > 1:
            raise _damaged(f"its {' and '.join(n for n in same if n in fields)} differ")


def _kind(fields: Fields, storage: Storage, count: int) -> "np.dtype[Any]":
    name = fields.get("ElementType", "")
    orders = {fields[n].startswith(_TRUE) for n in _ORDERS if n in fields}
    if len(orders) > 1:
        raise _damaged(f"its {' and '.join(_ORDERS)} differ")
    order = ">" if True in orders else "<"
    if name in _LONGS:
        short, long = _LONGS[name]
        if storage.packing != Packing.RAW:
            return np.dtype(order + long)
        there = storage.path.stat().st_size - storage.offset_bytes if storage.path.is_file() else 0
        return np.dtype(order + (long if there >= 8 * count else short))
    if name not in _KINDS:
        raise refusals.unknown_kind(name)
    return np.dtype(order + _KINDS[name])


def _storage(path: Path, fields: Fields, end: int) -> Storage:
    file = fields["ElementDataFile"]
    header_bytes = int(_numbers(fields, "HeaderSize", 1, [0.0])[0])
    if header_bytes < -1:
        raise _damaged(f"its HeaderSize is {header_bytes}")
    if file.upper() == "LOCAL" and header_bytes:
        raise _damaged("it has a HeaderSize though its voxels follow")
    packing = Packing.RAW
    if not fields.get("BinaryData", "True").startswith(_TRUE):
        packing = Packing.DECIMAL
    elif fields.get("CompressedData", "False").startswith(_TRUE):
        packing = Packing.DEFLATE
    if file.upper() == "LOCAL":
        return Storage(path=path, packing=packing, offset_bytes=end)
    return Storage(
        path=path.parent / file,
        packing=packing,
        offset_bytes=max(0, header_bytes),
        from_end=header_bytes < 0,
    )


def _require_own_values(fields: Fields) -> None:
    """Raises ImageRefused for a header that says that its values must be scaled, because no reader does so."""
    slope = _numbers(fields, "ElementToIntensityFunctionSlope", 1, [1.0])
    offset = _numbers(fields, "ElementToIntensityFunctionOffset", 1, [0.0])
    if (slope, offset) != ([1.0], [0.0]):
        raise ImageRefused(
            "The image says that its values are to be scaled (ElementToIntensityFunction), which no program "
            "does for a MetaImage; save it with its values as they are."
        )


def _numbers(
    fields: Fields, key: str, count: int, default: list[float] | None = None
) -> list[float]:
    if key not in fields:
        if default is None:
            raise _damaged(f"it has no {key}")
        return default
    try:
        numbers = [float(word) for word in fields[key].split()]
    except ValueError:
        raise _damaged(f"its {key} is no number") from None
    if len(numbers) != count:
        raise _damaged(f"its {key} has {len(numbers)} numbers instead of {count}")
    if key in _WHOLE and not all(math.isfinite(n) and n == int(n) for n in numbers):
        raise _damaged(f"its {key} is no whole number")
    return numbers


def _damaged(finding: str) -> ImageDamaged:
    return refusals.bad_header(Format.META, finding)
