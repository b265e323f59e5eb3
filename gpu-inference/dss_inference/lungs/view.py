# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The image at a resolution of about 2 mm, on which the rules for lungs work, with operations on arrays of that size."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

Flags: TypeAlias = npt.NDArray[np.bool_]
"""One truth value for each voxel, (z, y, x) unless stated otherwise; a voxel is set if its value is True."""
Triple: TypeAlias = tuple[float, float, float]
"""Lengths along (z, y, x)."""
T = TypeVar("T", bound=np.generic)

TISSUE_HU = -300
"""Voxels above this are soft tissue, fat or bone."""
_OPEN_WAYS = 3
_WALLED = 0.2
_LEAST_ACROSS_MM = 240.0
"""Width of an image from which on the patient counts as an adult.  Narrower images are those of infants, or of a part
of the body; the blocks of the 2 mm grid and other lengths are made smaller there in proportion.
"""


@dataclass(frozen=True, kw_only=True)
class View:
    """An image: ``hu`` (z, y, x) in LPS order, so that indices increase to the patient's head, back and left; at least
    -1024.  ``spacing_mm`` is in the order (z, y, x), too.
    """

    hu: npt.NDArray[np.int16]
    spacing_mm: Triple

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000

    @property
    def smooth(self) -> npt.NDArray[np.float32]:
        """The mean HU of the 27 voxels around each voxel."""
        return np.asarray(ndi.uniform_filter(self.hu.astype(np.float32), 3))

    @property
    def scale(self) -> float:
        """Size of the patient relative to an adult, by ``scale_of``: 1 for an adult, less if the image is narrow and
        shallow.
        """
        return scale_of(self.hu.shape, self.spacing_mm)

    def steps(self, length_mm: float) -> tuple[int, int, int]:
        """The number of voxels in ``length_mm`` along (z, y, x), at least 1."""
        z, y, x = (max(1, round(length_mm / s)) for s in self.spacing_mm)
        return z, y, x

    def thinned(self, hu: npt.NDArray[np.int16], steps: tuple[int, int, int]) -> "View":
        """A View of every ``steps``-th voxel of ``hu``, an array of this view's shape, with the larger spacing of these
        voxels.
        """
        dz, dy, dx = (s * k for s, k in zip(self.spacing_mm, steps, strict=True))
        return View(hu=thinned(hu, steps), spacing_mm=(dz, dy, dx))

    def cropped(self, box: tuple[slice, ...]) -> "View":
        return View(hu=self.hu[box], spacing_mm=self.spacing_mm)


def thinned(values: npt.NDArray[T], steps: tuple[int, int, int]) -> npt.NDArray[T]:
    """Every ``steps``-th voxel of ``values`` along (z, y, x), as a copy."""
    return np.ascontiguousarray(values[tuple(slice(None, None, k) for k in steps)])


def spread(flags: Flags, steps: tuple[int, int, int], shape: tuple[int, ...]) -> Flags:
    """``flags`` of a grid that ``thinned`` made: each value repeated for the ``steps`` voxels (z, y, x) that it stands
    for, in an array with the original grid's ``shape``.
    """
    for axis, k in enumerate(steps):
        flags = flags.repeat(k, axis)
    return flags[tuple(slice(n) for n in shape)]


def scale_of(shape: tuple[int, ...], spacing_mm: Triple) -> float:
    """Size of the patient relative to an adult: 1 if the image is at least 240 mm wide or deep, less in proportion for
    a smaller one, such as that of an infant.  ``shape`` is (z, y, x).
    """
    across_mm = max(n * s for n, s in zip(shape[1:], spacing_mm[1:], strict=True))
    return min(1.0, across_mm / _LEAST_ACROSS_MM)


def distance_mm(flags: Flags, spacing_mm: Triple) -> npt.NDArray[np.float32]:
    """Distance of each voxel from the nearest set voxel, in millimetres; 0 for set voxels, infinite if none is set.
    Exact Euclidean distance by Maurer's algorithm in SimpleITK.
    """
    if not flags.any():
        return np.full(flags.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(flags.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    signed: npt.NDArray[np.float32] = sitk.GetArrayFromImage(distance)
    return np.maximum(signed, 0)


def open_to_side(view: View) -> Flags:
    """Voxels from which a straight ray within the axial slice reaches the slice's edge without crossing tissue, in at
    least three of the four directions front, back, left and right.
    """
    tissue = view.hu > TISSUE_HU
    ways = np.zeros(tissue.shape, np.uint8)
    for axis in (1, 2):
        for way in (slice(None), slice(None, None, -1)):
            turned = (slice(None),) * axis + (way,)
            ways[turned] += ~np.logical_or.accumulate(tissue[turned], axis=axis)
    return ways >= _OPEN_WAYS


def eroded(flags: Flags, spacing_mm: Triple, depth_mm: float) -> Flags:
    """The set voxels that are more than ``depth_mm`` from all voxels that are not set.  Voxels beyond the image count
    as set.
    """
    return flags & (distance_mm(~flags, spacing_mm) > depth_mm)


def closed(flags: Flags, spacing_mm: Triple, gap_mm: float) -> Flags:
    """``flags`` with notches and holes filled that are up to about twice ``gap_mm`` wide.  The border of the image
    does not count as a wall.
    """
    pad = [int(np.ceil(gap_mm / s)) + 1 for s in spacing_mm]
    padded = np.pad(flags, [(p, p) for p in pad])
    grown = distance_mm(padded, spacing_mm) <= gap_mm
    shrunk = distance_mm(~grown, spacing_mm) > gap_mm
    inner = tuple(slice(p, -p) for p in pad)
    return shrunk[inner] | flags


def walled_parts(view: View, flags: Flags, least_mm: float) -> Flags:
    """The connected parts of ``flags`` that are somewhere at least ``least_mm`` deep, and border on flesh along a fifth
    of their surface or more.  Voxels beyond the image count as set.
    """
    label, count = ndi.label(flags)
    if not count:
        return flags
    depth_mm = distance_mm(~flags, view.spacing_mm)
    deepest_mm = np.atleast_1d(ndi.maximum(depth_mm, label, range(1, count + 1)))
    kept = np.zeros(flags.shape, bool)
    for i in np.flatnonzero(deepest_mm > least_mm) + 1:
        part = label == i
        around = ndi.binary_dilation(part, iterations=2) & ~flags
        if (view.hu[around] > TISSUE_HU).sum() > _WALLED * around.sum():
            kept |= part
    return kept


def box_around(flags: Flags, margin: tuple[int, ...]) -> tuple[slice, ...]:
    """The smallest box that contains every set voxel, enlarged by ``margin`` voxels on each side of each axis, as
    slices.

    Its start is at least 0; its end may lie beyond the image.  Raises ValueError if no voxel is set.
    """
    box = []
    for axis in range(flags.ndim):
        others = tuple(a for a in range(flags.ndim) if a != axis)
        found = np.flatnonzero(flags.any(axis=others))
        if not found.size:
            raise ValueError("no voxel is set")
        box.append(slice(max(0, int(found[0]) - margin[axis]), int(found[-1]) + 1 + margin[axis]))
    return tuple(box)
