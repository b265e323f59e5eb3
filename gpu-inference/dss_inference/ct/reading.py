# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reads CT images from files into arrays of Hounsfield units, for the bundles of the inference worker."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.errors import ImageRefused
from dss_images.grid import Grid
from dss_images.header import Header
from dss_images.patient_axes import LpsOrder, Voxels, lps_order
from dss_images.reading import read_header, require_numbers, slices_in
from dss_images.requirements import require_volume
from dss_inference.ct.region import UNRESTRICTED, Box, FileRegion, Region, place_in
from dss_inference.errors import InferenceError

_SHORTEST_MM = 20.0
LOWEST_HU, HIGHEST_HU = -1024, 3071
_NO_HU_ABOVE = -50
"""Every CT contains air or fat, and denser tissue, so an image whose voxels are all above this, or all below, is not in
Hounsfield units.
"""


@dataclass(frozen=True, kw_only=True)
class Ct:
    """A CT image.  ``hu`` is (z, y, x) in LPS order (indices increase to the patient's head, back and left), clamped to
    LOWEST_HU..HIGHEST_HU, because padding of -2048 would distort every mean.

    ``order`` leads from the file's order of axes to that of ``hu``; ``grid`` is the grid of the voxels in ``hu`` in the
    file's own order, ``place`` their position in the file, and ``box`` the part of the image to segment, also in the
    file's order.
    """

    hu: npt.NDArray[np.int16]
    grid: Grid
    order: LpsOrder
    place: FileRegion
    box: Box

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing of ``hu`` along its axes (z, y, x)."""
        return self.order.spacing_mm(self.grid)

    def point_mm(self, index: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The point (x, y, z) in LPS at an index (z, y, x) into ``hu``; the index may be fractional."""
        return self.grid.point_mm(self.order.own_index(index, self.hu.shape)[::-1])

    @property
    def is_cropped(self) -> bool:
        """True if the box to segment is smaller than the image."""
        return self.box.of(self.place.grid.volume) != self.place.grid.volume

    def inside(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """``labels``, an array like ``hu``, with 0 outside ``box``; ``labels`` itself if the box is all that was read."""
        if self.box == self.place.box:
            return labels
        inner_labels, part = np.zeros_like(labels), self.box.slices
        self.order.undo(inner_labels)[part] = self.order.undo(labels)[part]
        return inner_labels


def limit_threads(threads: int) -> None:
    """Limit the number of threads that SimpleITK's filters use in this process."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def read_ct(path: Path, region: Region = UNRESTRICTED, *, with_surroundings: bool = False) -> Ct:
    """Read a CT from NIfTI, NRRD or MetaImage.  ``with_surroundings``: also read all voxels of the frame around the
    region's box.

    Raises InferenceError if the file is no CT volume in Hounsfield units, is shorter than 20 mm, does not contain the
    region, or has several frames and the region names none.
    """
    try:
        header = read_header(path)
        require_volume(header)
        _require_chest(header.grid.volume)
        requested = place_in(header.grid, region)
        place = (
            place_in(requested.grid, replace(region, box=None)) if with_surroundings else requested
        )
        with closing(slices_in(header)) as slices:
            voxels = _clamped(slices, place, header)
    except ImageRefused as error:
        raise InferenceError(str(error)) from error
    grid = place.box.of(place.grid.volume)
    order = lps_order(grid)
    hu = np.ascontiguousarray(order.apply(voxels))
    return Ct(hu=hu, grid=grid, order=order, place=place, box=requested.box)


def _require_chest(grid: Grid) -> None:
    longest_mm = max(n * s for n, s in zip(grid.size, grid.spacing_mm, strict=True))
    if longest_mm < _SHORTEST_MM:
        raise InferenceError(
            f"The image is {longest_mm:g} mm long, which no chest is: check its spacing."
        )


def _clamped(slices: Iterator[Voxels], place: FileRegion, header: Header) -> npt.NDArray[np.int16]:
    """The voxels (z, y, x) of ``place`` in the file's order, clamped slice by slice, so that a floating-point image is
    never in memory as a whole.

    All slices of the frame are checked: raises ImageRefused if values are no numbers, InferenceError if they are not
    Hounsfield units.
    """
    depth, (z_part, *part) = place.grid.size[2], place.box.slices
    hu = np.empty(place.box.of(place.grid.volume).size[::-1], np.int16)
    ranges = np.empty((depth, 2))
    for number, values in enumerate(slices):
        frame, z = divmod(number, depth)
        if frame + 1 != place.time_point:
            continue
        require_numbers(values, number, header)
        ranges[z] = values.min(), values.max()
        if z_part.start <= z < z_part.stop:
            hu[z - z_part.start] = np.clip(values[tuple(part)], LOWEST_HU, HIGHEST_HU)
    _check_range(float(ranges[:, 0].min()), float(ranges[:, 1].max()))
    return hu


def _check_range(lowest: float, highest: float) -> None:
    if lowest > _NO_HU_ABOVE or highest < _NO_HU_ABOVE:
        raise InferenceError(
            f"The image's values go from {lowest:g} to {highest:g}; a CT in Hounsfield units is needed, "
            "where air is about -1000 and water 0."
        )
