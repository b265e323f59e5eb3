"""Reads NRRD headers (.nrrd, .nhdr).  Format: https://teem.sourceforge.net/nrrd/format.html."""

import math
import re
from collections.abc import Sequence
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
_MAGIC = re.compile(rb"NRRD\d{4}\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_KINDS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_PACKINGS = {
    "raw": Packing.RAW,
    "gzip": Packing.DEFLATE,
    "gz": Packing.DEFLATE,
    "bzip2": Packing.BZIP2,
    "bz2": Packing.BZIP2,
    "ascii": Packing.DECIMAL,
    "text": Packing.DECIMAL,
    "txt": Packing.DECIMAL,
    "hex": Packing.HEX,
}
_TO_LPS = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_SPACE_KINDS = {"domain", "space", "???", "none", ""}
_TIMES = {"time"}

Fields = dict[str, str]
Step = tuple[float, ...] | None
"""The vector between neighbouring voxels along an axis, in the file's space; None for an axis that is not spatial."""


def is_nrrd(start: bytes) -> bool:
    """True if ``start``, the first bytes of a file, are the beginning of an NRRD header."""
    return _MAGIC.match(start) is not None


def read_nrrd(path: Path, *, pairs: bool = False) -> Header:
    """The header of the NRRD file ``path``.  Raises ImageRefused.

    ``pairs``: the voxels may be in another file of the same folder.
    """
    fields, end = _fields(path)
    if "data file" in fields and not pairs:
        raise ImageRefused(refusals.VOXELS_IN_OTHER_FILE)
    storage = _storage(path, fields, end)
    require_own_file(path, storage, pairs=pairs)
    count = _integer(fields, "dimension")
    sizes = [int(word) for word in _words(fields, "sizes", count)]
    if min(sizes, default=0) < 1:
        raise refusals.empty_dimension(sizes)
    steps = _steps(fields, count)
    first, last = _volume_axes(steps)
    components, frames = _other_axes(fields, sizes, first, last)
    size = [*sizes[first:last], *([frames] if frames > 1 else [])]
    return Header(
        format=Format.NRRD,
        grid=_grid(fields, size, steps[first:last], frames),
        kind=_kind(fields),
        components=components,
        storage=storage,
    )


def _fields(path: Path) -> tuple[Fields, int]:
    """The header's fields by name in lower case, and the size of the header in bytes.  Raises ImageDamaged."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    found = _END.search(start)
    text = start[: found.end()] if found else start
    fields: Fields = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if not line.strip() or line.startswith("#") or value.startswith("="):
            continue
        if not colon:
            raise _damaged("a line is not 'field: value'")
        name = name.strip().lower().replace("datafile", "data file")
        if fields.get(name, value.strip()) != value.strip():
            raise _damaged(f"it says '{name}' twice")
        fields[name] = value.strip()
        if name == "data file" and value.strip().startswith("LIST"):
            break  # the names of the files follow
    if found is None and "data file" not in fields:
        raise _damaged("it has no end")
    return fields, len(text)


def _steps(fields: Fields, count: int) -> list[Step]:
    """The step of each of the ``count`` axes, as the header has it (``space directions``).

    Raises ImageRefused if there are fewer than three axes, no steps, a wrong number of steps, or damaged ones.
    """
    if count < 3:
        raise refusals.wrong_dimensions(count)
    if "space directions" not in fields:
        raise refusals.unknown_orientation("it has no 'space directions'")
    words = re.findall(r"none|\([^)]*\)", fields["space directions"].lower())
    if len(words) != count:
        raise _damaged(f"it has {len(words)} space directions instead of {count}")
    return [None if word == "none" else _vector("space directions", word) for word in words]


def _volume_axes(steps: Sequence[Step]) -> tuple[int, int]:
    """The index of the first of the three spatial axes, and the index after the last of them.

    Raises ImageRefused unless there are three spatial axes side by side, or four with time as ITK writes it.
    """
    inside = [i for i, step in enumerate(steps) if step is not None]
    if len(inside) == 4 and len(steps) == 4:  # as ITK writes time points
        return 0, 3
    if len(inside) != 3 or inside[2] - inside[0] != 2:
        raise refusals.wrong_dimensions(len(inside))
    return inside[0], inside[2] + 1


def _other_axes(fields: Fields, sizes: list[int], first: int, last: int) -> tuple[int, int]:
    """The number of values in each voxel, and the number of time points, from the axes beside the spatial axes, which
    have the indices from ``first`` to before ``last``.

    An axis after them counts as time unless its kind is something else; it then has values of a voxel.  Raises
    ImageRefused if several axes follow and one of them is longer than 1.
    """
    components, after = math.prod(sizes[:first]), sizes[last:]
    kinds = _words(fields, "kinds", len(sizes)) if "kinds" in fields else [""] * len(sizes)
    if len(after) > 1 and math.prod(after) > 1:
        raise refusals.wrong_dimensions(len(sizes))
    frames = math.prod(after)
    if frames > 1 and kinds[last].lower() not in _TIMES | _SPACE_KINDS:
        return components * frames, 1
    return components, frames


def _grid(fields: Fields, size: list[int], steps: Sequence[Step], frames: int) -> FileGrid:
    signs = _signs(fields, frames)
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    scales = np.array([scale_of(unit) for unit in [*units, "", "", ""][:3]])
    inside = [step[:3] for step in steps if step is not None]
    if any(len(step) != 3 for step in inside):
        raise _damaged("its space directions do not have three numbers each")
    columns = np.array(inside, float).T
    origin = (
        _vector("space origin", fields["space origin"]) if "space origin" in fields else (0.0,) * 3
    )
    if len(origin) < 3:
        raise _damaged("its space origin does not have three numbers")
    turn = np.array(signs, float) * scales
    return grid_from(size, columns * turn[:, None], [float(x) for x in np.array(origin[:3]) * turn])


def _signs(fields: Fields, frames: int) -> tuple[int, int, int]:
    """Factors (x, y, z) of 1 or -1 that convert the file's space to LPS.

    A file with time points and the space dimension 4 is in LPS, as ITK writes it.  Raises ImageRefused if another file
    names no space, or a space that is not aligned with the patient in a known way.
    """
    space = fields.get("space", "").lower()
    if not space and frames > 1 and fields.get("space dimension") == "4":
        return 1, 1, 1  # ITK's four-dimensional files name no space
    name = (
        space.removesuffix("-time").removesuffix("t") if space.endswith(("-time", "t")) else space
    )
    if name not in _TO_LPS:
        raise refusals.unknown_orientation(
            f"its 'space' is '{space}'" if space else "it names no 'space'"
        )
    return _TO_LPS[name]


def _kind(fields: Fields) -> "np.dtype[Any]":
    name = " ".join(fields.get("type", "").lower().split())
    kind = next((kind for kind, names in _KINDS.items() if name in names), None)
    if kind is None:
        raise refusals.unknown_kind(name)
    endian = fields.get("endian", "").lower()
    text = _PACKINGS.get(fields.get("encoding", "").lower()) == Packing.DECIMAL
    if kind.endswith("1") or text:
        return np.dtype("<" + kind)
    if endian not in {"little", "big"}:
        raise _damaged("it does not say the order of its bytes (endian)")
    return np.dtype((">" if endian == "big" else "<") + kind)


def _storage(path: Path, fields: Fields, end: int) -> Storage:
    encoding = fields.get("encoding", "").lower()
    if encoding not in _PACKINGS:
        raise refusals.unknown_packing(encoding)
    lines = _integer(fields, "line skip", _integer(fields, "lineskip", 0))
    skipped = _integer(fields, "byte skip", _integer(fields, "byteskip", 0))
    if lines < 0 or skipped < -1 or (skipped == -1 and _PACKINGS[encoding] != Packing.RAW):
        raise _damaged("its skips are no numbers of lines or bytes")
    detached = fields.get("data file")
    return Storage(
        path=path if detached is None else path.parent / detached,
        packing=_PACKINGS[encoding],
        offset_bytes=end if detached is None else 0,
        skip_lines=lines,
        skip_bytes=max(0, skipped),
        from_end=skipped == -1,
    )


def _vector(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.strip().strip("()").split(","))
    except ValueError:
        raise _damaged(f"its {name} are no numbers") from None


def _words(fields: Fields, name: str, count: int) -> list[str]:
    words = fields.get(name, "").split()
    if len(words) != count:
        raise _damaged(f"its {name} are {len(words)} instead of {count}")
    if name == "sizes" and not all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        raise _damaged("its sizes are no whole numbers")
    return words


def _integer(fields: Fields, name: str, default: int | None = None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise _damaged(f"its {name} is no whole number")
    return int(text)


def _damaged(finding: str) -> ImageDamaged:
    return refusals.bad_header(Format.NRRD, finding)
