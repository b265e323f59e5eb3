"""The inside of the lungs on a 1 mm grid, in which nodules are searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.device.runner import Runner
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.view import Flags, Triple, box_around, closed

Floats: TypeAlias = npt.NDArray[np.float32]

LUNG_HU = -850.0
"""Value for everything that is not lung, so that walls and the mediastinum have no edges."""
_MARGIN_MM = 3.0
_COARSE_MM = 4.0
_NOTCH_MM = 30.0
"""A bulge of the chest wall into a lung may be a nodule at the wall if it is at most about twice as wide as this."""
_HIGHEST_HU = 150.0
"""Upper limit of HU: calcium and contrast medium are brighter, but not rounder."""


@dataclass(frozen=True, kw_only=True)
class LungSpace:
    """The lungs on a grid of about 1 mm.  ``hu`` and ``inside`` are (z, y, x); ``hu`` is LUNG_HU outside ``inside``.
    ``box`` are the slices (z, y, x) of the image that they cover; ``steps`` is the number of their voxels for each
    voxel of the image along (z, y, x).
    """

    hu: Floats
    inside: Flags
    box: tuple[slice, ...]
    steps: tuple[float, ...]

    def in_image(self, point: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Convert an index (z, y, x) in this space to one in the image; both may be fractional."""
        first = np.array([part.start for part in self.box])
        return np.asarray(first + (point + 0.5) / self.steps - 0.5, np.float64)

    def inside_at(self, places: Sequence[npt.NDArray[np.float64]]) -> Flags:
        """The values of ``inside`` at the voxels of an image grid; beyond ``box``, those at its border.  ``places`` has
        the image indices along z, y and x, one list for each axis.
        """
        rows = [
            np.clip(np.rint((at - part.start + 0.5) * step - 0.5), 0, n - 1).astype(int)
            for at, part, step, n in zip(
                places, self.box, self.steps, self.inside.shape, strict=True
            )
        ]
        return np.asarray(self.inside[np.ix_(*rows)], bool)


def at_the_wall(lungs: npt.NDArray[np.uint8], spacing_mm: Triple) -> npt.NDArray[np.uint8]:
    """An array with 1 where the chest wall bulges into a LEFT or RIGHT lung, as it does at a nodule on the wall; lung
    of unknown side is not examined.  It has every n-th voxel of ``lungs`` (z, y, x), so that its voxels are about 4 mm
    wide.

    Tissue as dense as the wall is not in ``lungs``.  Bulges towards the mediastinum are not included, because vessels,
    aorta and hilum bulge there.
    """
    every = tuple(slice(None, None, max(1, round(_COARSE_MM / s))) for s in spacing_mm)
    coarse_mm = tuple(s * (e.step or 1) for s, e in zip(spacing_mm, every, strict=True))
    sides = np.ascontiguousarray(lungs[every])
    filled = np.zeros(sides.shape, np.uint8)
    for side, towards_middle in ((LEFT, 1), (RIGHT, -1)):
        lung: Flags = sides == side
        if lung.any():
            notch = closed(lung, (coarse_mm[0], coarse_mm[1], coarse_mm[2]), _NOTCH_MM) & (
                sides == 0
            )
            has_lung_inward = np.logical_or.accumulate(lung[..., ::towards_middle], axis=2)
            filled |= notch & has_lung_inward[..., ::towards_middle]
    return filled


def lung_space(
    hu: npt.NDArray[np.int16], lungs: npt.NDArray[np.uint8], spacing_mm: Triple, runner: Runner
) -> LungSpace:
    """Resample the lungs, with holes in a slice and bulges of the chest wall filled, to a LungSpace.  ``hu`` and
    ``lungs`` (LEFT, RIGHT or UNSIDED; 0: no lung) are (z, y, x) of the complete image.  Raises ValueError if there is
    no lung.
    """
    margin = tuple(int(np.ceil(_MARGIN_MM / s)) for s in spacing_mm)
    box = tuple(
        slice(part.start, min(part.stop, n))
        for part, n in zip(box_around(lungs > 0, margin), hu.shape, strict=True)
    )
    shape = tuple(
        max(3, round((part.stop - part.start) * s)) for part, s in zip(box, spacing_mm, strict=True)
    )
    inside = runner.resized((lungs[box] > 0).astype(np.uint8), shape) > 0.5
    inside = np.stack([ndi.binary_fill_holes(row) for row in inside])
    inside |= runner.resized(at_the_wall(lungs[box], spacing_mm), shape) > 0.5
    values = np.clip(runner.resized(hu[box], shape), None, _HIGHEST_HU)
    values[~inside] = LUNG_HU
    steps = tuple(n / (part.stop - part.start) for n, part in zip(shape, box, strict=True))
    return LungSpace(hu=values, inside=inside, box=box, steps=steps)
