# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""CT images in, segmentations out."""

import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_datastore.space import disk_full, has_free
from dss_datastore.writing import put_in_place
from dss_images.errors import ImageRefused
from dss_images.grid import FileGrid, Grid, file_grid_of
from dss_images.header import Header
from dss_images.judging import require_volume
from dss_images.patient_axes import LpsOrder, Voxels, lps_order
from dss_images.reading import read_header, require_numbers, slices_in
from dss_images.unpacking import inflated
from dss_inference.ct.region import WHOLE, Box, Place, Region, place_in
from dss_inference.errors import InferenceError

_SHORTEST_MM = 20.0
LOWEST_HU, HIGHEST_HU = -1024, 3071
_NO_HU_ABOVE = -50
"""A CT has air or at least fat in it; an image without anything so dark is not in Hounsfield units."""


@dataclass(frozen=True, kw_only=True)
class Ct:
    """``hu`` is (z, y, x) in LPS order, clamped: padding of -2048 or -3024 poisons every mean.

    ``grid`` is that of ``hu`` in the file's own order, ``place`` where that lies in the file, and ``box``
    the part of the place that is to be looked at.
    """

    hu: npt.NDArray[np.int16]
    grid: Grid
    order: LpsOrder
    place: Place
    box: Box

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of ``hu``'s axes."""
        return self.order.spacing_mm(self.grid)

    def point_mm(self, index: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """In LPS, of an index (z, y, x) into ``hu``."""
        return self.grid.point_mm(self.order.own_index(index, self.hu.shape)[::-1])

    @property
    def is_cropped(self) -> bool:
        """Was less than the file's whole volume asked for?"""
        return self.box.of(self.place.grid.volume) != self.place.grid.volume

    def inside(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """``labels`` in the order of ``hu``, with 0 outside the box."""
        if self.box == self.place.box:
            return labels
        kept, part = np.zeros_like(labels), self.box.slices
        self.order.undo(kept)[part] = self.order.undo(labels)[part]
        return kept


def limit_threads(threads: int) -> None:
    """For all that SimpleITK does in this process."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def read_ct(path: Path, region: Region = WHOLE, *, whole: bool = False) -> Ct:
    """NIfTI, NRRD or MetaImage.  ``whole``: with what lies around the region's box, too.

    Raises InferenceError where it is not a CT volume in Hounsfield units, or has no such region.
    """
    try:
        header = read_header(path)
        require_volume(header)
        _require_chest(header.grid.volume)
        asked = place_in(header.grid, region)
        place = place_in(asked.grid, replace(region, box=None)) if whole else asked
        with closing(slices_in(header)) as slices:
            voxels = _clamped(slices, place, header)
    except ImageRefused as error:
        raise InferenceError(str(error)) from error
    grid = place.box.of(place.grid.volume)
    order = lps_order(grid)
    hu = np.ascontiguousarray(order.apply(voxels))
    return Ct(hu=hu, grid=grid, order=order, place=place, box=asked.box)


def _require_chest(grid: Grid) -> None:
    longest_mm = max(n * s for n, s in zip(grid.size, grid.spacing_mm, strict=True))
    if longest_mm < _SHORTEST_MM:
        raise InferenceError(
            f"The image is {longest_mm:g} mm long, which no chest is: check its spacing."
        )


def _clamped(slices: Iterator[Voxels], place: Place, header: Header) -> npt.NDArray[np.int16]:
    """Slice by slice, so that no copy of a floating-point image is made.  The whole frame is checked."""
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


def write_segmentation(labels: npt.NDArray[np.uint8], ct: Ct, folder: Path) -> Path:
    """``labels`` are in the order of ``ct.hu``; the file is in the image's own grid, bit for bit, 0 outside.

    NIfTI keeps spacing and origin in single precision; where that would move the grid, it is NRRD, and
    where that would too (it has no spacing of its own), MetaImage.
    """
    grid = ct.place.grid
    image = sitk.GetImageFromArray(ct.place.put_back(ct.order.undo(labels)), isVector=False)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = _write(image, folder, f"segmentation{suffix}", grid)
        if path is not None:
            return path
    raise InferenceError("The image's position in space cannot be kept in a file.")


def _write(image: sitk.Image, folder: Path, name: str, grid: FileGrid) -> Path | None:
    """Under a temporary name, fsynced, renamed.  None, and no file, if the grid did not survive."""
    partial = folder / f"partial-{name}"
    try:
        sitk.WriteImage(image, partial, useCompression=True, compressionLevel=1)
    except RuntimeError:
        _raise_if_full(folder, image.GetNumberOfPixels())
        raise
    if name.endswith(".gz"):
        _check_whole(partial, image.GetNumberOfPixels())
    if not _grid_in(partial).holds(grid):
        partial.unlink()
        return None
    put_in_place(partial, folder / name)
    return folder / name


def save_as_nrrd(segmentation: Path, target: Path) -> None:
    """The same voxels in the same grid, fsynced and renamed."""
    partial = target.with_name(f"partial-{target.name}")
    sitk.WriteImage(sitk.ReadImage(segmentation), partial, useCompression=True, compressionLevel=1)
    put_in_place(partial, target)


def _check_whole(path: Path, size_bytes: int) -> None:
    """Raises OSError (no space) if ``path`` unpacks to less, or to something else than was packed.

    On a full disk ITK writes NIfTI without an error, and reads the cut-off file with zeros at its end.
    """
    try:
        with path.open("rb") as file:
            stream = inflated(file)
            found = sum(len(part) for part in iter(lambda: stream.read(1 << 20), b""))
    except (EOFError, zlib.error):
        found = 0
    if found < size_bytes:
        raise disk_full()


def _raise_if_full(folder: Path, size_bytes: int) -> None:
    """SimpleITK has one error for everything; the file system tells whether it was this one."""
    if not has_free(folder, size_bytes):
        raise disk_full()


def _grid_in(path: Path) -> FileGrid:
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    return file_grid_of(header)
