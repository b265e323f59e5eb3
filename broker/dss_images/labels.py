"""Reads the label values of a segmentation as ITK-SNAP reads them.

ITK-SNAP's labels are unsigned 16-bit integers.  It accepts any image as a segmentation, cuts off fractions, and wraps
other values round (-1 becomes 65535).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.header import Header
from dss_images.reading import read_header, require_numbers, slices_in

_VALUES = 1 << 16


def label_values(path: Path) -> frozenset[int]:
    """The label values, as ITK-SNAP reads them (16 bits), that occur in a segmentation, without 0.

    Raises ImageRefused if the file is damaged or unusable, or a voxel is not finite.
    """
    return frozenset(int(value) for value in np.flatnonzero(_counts(read_header(path))) if value)


def label_volumes(path: Path) -> dict[int, float]:
    """The volume of each label in millilitres, by label value as ITK-SNAP reads it (16 bits), without 0; of a time
    series, the sum over all time points.  Raises ImageRefused as ``label_values``.
    """
    header = read_header(path)
    counts = _counts(header)
    voxel_ml = float(np.prod(header.grid.spacing_mm[:3])) / 1000
    return {int(v): float(counts[v]) * voxel_ml for v in np.flatnonzero(counts) if v}


def label_range(path: Path) -> tuple[int, int]:
    """The lowest and the highest voxel value, 0 included, without their fractions, but not wrapped to 16 bits.  Raises
    ImageRefused as ``label_values``.
    """
    ends = [(int(part.min()), int(part.max())) for part in _numbers(read_header(path))]
    return min(low for low, _ in ends), max(high for _, high in ends)


def same_voxels(path: Path, other: Path) -> bool:
    """True if two images, whose grids must be equal, have equal voxels (one with NaN equals none).

    Raises ImageRefused if a file is damaged or unusable, ValueError if one has more slices.
    """
    pairs = zip(slices_in(read_header(path)), slices_in(read_header(other)), strict=True)
    return (
        sum(not np.array_equal(*pair) for pair in pairs) == 0
    )  # reads all slices, because damage is found at the end


def _counts(header: Header) -> npt.NDArray[np.int64]:
    counts = np.zeros(_VALUES, dtype=np.int64)
    for part in _numbers(header):
        values = part if part.dtype == np.uint8 else _wrapped(part)
        found = np.bincount(values.ravel(), minlength=256)
        counts[: len(found)] += found
    return counts


def _numbers(header: Header) -> Iterator[npt.NDArray[Any]]:
    for number, part in enumerate(slices_in(header)):
        require_numbers(part, number, header)
        yield part


def _wrapped(part: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    whole = part.astype(np.int64) if part.dtype.kind == "f" else part
    return whole.astype(np.uint16)
