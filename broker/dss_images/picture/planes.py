"""Chooses the three slices of an image that show its labels best, and extracts them.

Arrays are (z, y, x) in any orientation.  Images and segmentations are read slice by slice, so they need not fit in
memory.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.patient_axes import LpsOrder

Voxels = npt.NDArray[Any]

_VALUES = 1 << 16
_MOST_CLASSES = 256
"""``best_indices`` counts the voxels of at most this many labels separately; further labels share these counts."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One slice as it is displayed: image values ``grey`` and ``labels``, both (row, column).

    ``spacing_mm`` is the distance between rows and between columns; ``edges`` are the letters of the patient's sides at
    the left, right, upper and lower side.
    """

    grey: Voxels
    labels: Voxels
    spacing_mm: tuple[float, float]
    edges: str


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Three slices of a volume at ``indices`` (z, y, x), one perpendicular to each axis: (y, x), (z, x) and (z, y)."""

    indices: tuple[int, int, int]
    slices: tuple[Voxels, Voxels, Voxels]


def best_indices(
    labels: Iterable[Voxels], shape: tuple[int, int, int], values: Collection[int]
) -> tuple[int, int, int]:
    """Indices (z, y, x) of the slices that show the most of the labels; of the middle slices if there is no label.

    Each label has the same weight, whatever its size.  ``labels`` are the slices (y, x) of a segmentation of ``shape``
    (z, y, x) in order; its voxels are 0 or one of ``values``.
    """
    classes = np.zeros(_VALUES, np.intp)
    for number, value in enumerate(sorted(set(values) - {0})):
        classes[value] = number % _MOST_CLASSES
    count = min(max(len(values), 1), _MOST_CLASSES)
    counts = [np.zeros((count, n), np.int64) for n in shape]
    for z, part in enumerate(labels):
        _count(part, z, classes, counts)
    return _best(counts[0]), _best(counts[1]), _best(counts[2])


def _count(part: Voxels, z: int, classes: Voxels, counts: list[Voxels]) -> None:
    flat = np.flatnonzero(part != 0)
    if not flat.size:
        return
    found = classes[part.ravel()[flat].astype(np.uint16)]
    rows, columns = np.divmod(flat, part.shape[1])
    for index, total in ((rows, counts[1]), (columns, counts[2])):
        together = np.bincount(found * total.shape[1] + index, minlength=total.size)
        np.add(total, together.reshape(total.shape), out=total)
    counts[0][:, z] += np.bincount(found, minlength=len(counts[0]))


def _best(counts: Voxels) -> int:
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.any():
        return int(counts.shape[1] // 2)
    return int((counts / np.maximum(totals, 1)).sum(axis=0).argmax())


def cut(slices: Iterable[Voxels], indices: tuple[int, int, int]) -> Cut:
    """Extract three slices at ``indices`` (z, y, x) from a volume, whose ``slices`` (y, x) are given in order.

    Raises ValueError if there is no slice z, IndexError if y or x is out of range.
    """
    z_at, y_at, x_at = indices
    axial: Voxels | None = None
    rows, columns = [], []
    for z, part in enumerate(slices):
        if z == z_at:
            axial = np.array(part)
        rows.append(np.array(part[y_at]))
        columns.append(np.array(part[:, x_at]))
    if axial is None:
        raise ValueError(f"there is no slice {z_at}")
    return Cut(indices=indices, slices=(axial, np.array(rows), np.array(columns)))


def in_display_orientation(
    grey: Cut, labels: Cut, spacing_mm: tuple[float, float, float], order: LpsOrder
) -> tuple[Plane, ...]:
    """Axial, coronal and sagittal plane: patient's right at the left, front at the top or left, head at the top.

    ``spacing_mm`` is along the array's axes (z, y, x); ``order`` maps these axes to the patient's.
    """
    return tuple(_seen(patient, grey, labels, spacing_mm, order) for patient in range(3))


_EDGES = ("RLAP", "RLSI", "APSI")


def _seen(
    patient: int, grey: Cut, labels: Cut, spacing_mm: tuple[float, float, float], order: LpsOrder
) -> Plane:
    """The plane perpendicular to the axis ``patient``: 0 is feet to head, 1 front to back, 2 right to left."""
    own = order.axes[patient]
    rows, columns = (spacing_mm[order.axes[axis]] for axis in range(3) if axis != patient)
    return Plane(
        grey=_turned(grey.slices[own], own, patient, order),
        labels=_turned(labels.slices[own], own, patient, order),
        spacing_mm=(rows, columns),
        edges=_EDGES[patient],
    )


def _turned(part: Voxels, own: int, patient: int, order: LpsOrder) -> Voxels:
    plane: Voxels = order.apply(np.expand_dims(part, own)).take(0, axis=patient)
    return plane if patient == 0 else plane[::-1]  # the first row is at the feet


def slices_of(voxels: Voxels) -> Iterator[Voxels]:
    """The slices (y, x) of an array (z, y, x), in order."""
    yield from voxels
