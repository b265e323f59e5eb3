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
from dss_images.picture.drawing import drawn
from dss_images.picture.planes import Cut, as_seen, best_indices, cut, slices_of
from dss_images.picture.window import window_of
from dss_images.reading import read_header, slices_in

Voxels = npt.NDArray[Any]

IN_ORDER = LpsOrder(axes=(0, 1, 2), flipped=())


def of_arrays(
    voxels: Voxels,
    labels: Voxels,
    spacing_mm: tuple[float, float, float],
    colours: Mapping[int, Rgb],
) -> bytes:
    """The picture as a PNG file.  ``voxels`` and ``labels`` (z, y, x) are in LPS order, ``spacing_mm`` is along z, y,
    x.
    """
    z, y, x = labels.shape
    indices = best_indices(slices_of(labels), (z, y, x), list(colours))
    grey, marked = cut(slices_of(voxels), indices), cut(slices_of(labels), indices)
    return _picture(grey, marked, spacing_mm, IN_ORDER, colours)


def of_files(image: Path, segmentation: Path, colours: Mapping[int, Rgb]) -> bytes | None:
    """The PNG file for two files with the same grid; of a time series, the first time point is shown.

    None if the image has fewer than three axes or several values per voxel.  Raises ImageRefused.
    """
    header = read_header(image)
    if header.dimensions < 3 or header.components != 1:
        return None
    grid, marked = header.grid.volume, read_header(segmentation)
    i, j, k = grid.size
    with closing(_first_frame(marked)) as slices:
        indices = best_indices(slices, (k, j, i), list(colours))
    spacing_mm = grid.spacing_mm[2], grid.spacing_mm[1], grid.spacing_mm[0]
    return _picture(
        _cut(header, indices), _cut(marked, indices), spacing_mm, lps_order(grid), colours
    )


def _cut(header: Header, indices: tuple[int, int, int]) -> Cut:
    with closing(_first_frame(header)) as slices:
        return cut(slices, indices)


def _first_frame(header: Header) -> Generator[Voxels, None, None]:
    with closing(slices_in(header)) as slices:
        yield from islice(slices, header.grid.size[2])


def _picture(
    grey: Cut,
    labels: Cut,
    spacing_mm: tuple[float, float, float],
    order: LpsOrder,
    colours: Mapping[int, Rgb],
) -> bytes:
    planes = as_seen(grey, labels, spacing_mm, order)
    return drawn(planes, window_of(planes), colours)
