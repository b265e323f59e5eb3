"""Makes the picture of an image with its segmentation, from arrays in memory or from files."""

from collections.abc import Generator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dss_images.default_colours import Rgb
from dss_images.header import Header
from dss_images.patient_axes import LpsOrder, lps_order
from dss_images.picture.drawing import draw_png
from dss_images.picture.planes import Cut, best_indices, cut, in_display_orientation, slices_of
from dss_images.picture.window import window_of
from dss_images.reading import read_header, slices_in

Voxels = npt.NDArray[Any]

IDENTITY = LpsOrder(axes=(0, 1, 2), flipped=())


def picture_of_arrays(
    voxels: Voxels,
    labels: Voxels,
    spacing_mm: tuple[float, float, float],
    colours: Mapping[int, Rgb],
) -> bytes:
    """The picture as the bytes of a PNG file.

    ``voxels`` and ``labels`` (z, y, x) are in LPS order; ``spacing_mm`` is along z, y, x.  ``colours`` are those of all
    labels by value.
    """
    z, y, x = labels.shape
    indices = best_indices(slices_of(labels), (z, y, x), list(colours))
    grey, marked = cut(slices_of(voxels), indices), cut(slices_of(labels), indices)
    return _picture(grey, marked, spacing_mm, IDENTITY, colours)


def picture_of_files(image: Path, segmentation: Path, colours: Mapping[int, Rgb]) -> bytes | None:
    """The picture, as the bytes of a PNG file, of an image file and a segmentation file with the same grid in space.

    Of a time series, the first time point with a label is shown; the first time point if there is no label.  None if
    the image has fewer than three axes or several values in each voxel.  Raises ImageRefused if a file is damaged or
    unusable.
    """
    header = read_header(image)
    if header.dimensions < 3 or header.components != 1:
        return None
    grid, marked = header.grid.volume, read_header(segmentation)
    i, j, k = grid.size
    frame = _labelled_frame(marked)
    with closing(_frame(marked, frame)) as slices:
        indices = best_indices(slices, (k, j, i), list(colours))
    spacing_mm = grid.spacing_mm[2], grid.spacing_mm[1], grid.spacing_mm[0]
    return _picture(
        _cut(header, frame, indices),
        _cut(marked, frame, indices),
        spacing_mm,
        lps_order(grid),
        colours,
    )


def _labelled_frame(marked: Header) -> int:
    """Number, from 0, of the first time point of a segmentation that has a label; 0 if there is no label."""
    if marked.grid.frames == 1:
        return 0
    with closing(slices_in(marked)) as slices:
        found = next((number for number, part in enumerate(slices) if part.any()), 0)
    return found // marked.grid.size[2]


def _cut(header: Header, frame: int, indices: tuple[int, int, int]) -> Cut:
    """The slices at ``indices`` (z, y, x) of the time point ``frame``, from 0; of the last one if there are fewer."""
    with closing(_frame(header, min(frame, header.grid.frames - 1))) as slices:
        return cut(slices, indices)


def _frame(header: Header, number: int) -> Generator[Voxels, None, None]:
    depth = header.grid.size[2]
    with closing(slices_in(header)) as slices:
        yield from islice(slices, number * depth, (number + 1) * depth)


def _picture(
    grey: Cut,
    labels: Cut,
    spacing_mm: tuple[float, float, float],
    order: LpsOrder,
    colours: Mapping[int, Rgb],
) -> bytes:
    planes = in_display_orientation(grey, labels, spacing_mm, order)
    return draw_png(planes, window_of(planes), colours)
