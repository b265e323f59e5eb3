"""Measures whether axial slices are missing, repeated or out of order, or whether the patient breathed between them."""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags

_LOWEST_HU, _HIGHEST_HU = -1000, 200
"""HU are limited to this range, so that metal, contrast agent and padding do not outweigh the rest."""
_AROUND, _USUAL = 9, 60
"""The change between two slices is compared with a percentile, the second value, of the changes around it: as many as the
first value.
"""
_LEAST_SECTION = 0.1
"""Slices that show less lung than this fraction of the largest section are left out: at the lungs' tips few voxels are
compared.
"""
_LEAST_SLICES = 6
_BLOCK = 4


def largest_jump(hu: npt.NDArray[np.int16], found: Flags) -> float:
    """The largest mean change of HU between two neighbouring slices, in and beside the lungs, divided by the usual change
    between slices around them.  0 with fewer than 6 slices of lung.

    ``hu`` and ``found``, flags of lung, are (z, y, x) in LPS order on a grid of about 4 mm.
    """
    lung = ndi.binary_dilation(found)
    areas = lung.sum(axis=(1, 2))
    wide = np.flatnonzero(areas > _LEAST_SECTION * areas.max())
    if wide.size < _LEAST_SLICES:
        return 0.0
    part = slice(wide[0], wide[-1] + 1)
    changes = _changes(_limited(hu[part]).astype(np.float32), lung[part])
    usual = ndi.percentile_filter(changes, _USUAL, size=_AROUND, mode="nearest")
    return float((changes / np.maximum(usual, 1.0)).max())


def disorder(hu: npt.NDArray[np.int16]) -> float:
    """The mean change of HU from each slice to the next one, divided by that to the next but one: below 1 in a body, 1 in
    noise, more where every second slice is of another place.  0 with fewer than 6 slices.

    ``hu`` (z, y, x) is the image in LPS order, in its own resolution.
    """
    if hu.shape[0] < _LEAST_SLICES:
        return 0.0
    few = np.array([_block_sums(plane) for plane in hu], np.float32)
    near, far = (float(np.abs(few[k:] - few[:-k]).mean()) for k in (1, 2))
    return near / far if far > 0 else 0.0


def _block_sums(plane: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Sums of blocks of 4 x 4 voxels, whose means have less noise; the rest at the end is left out.  16 limited HU fit
    into 16 bits, in which they are added three times as fast.
    """
    height, width = (max(1, min(_BLOCK, n)) for n in plane.shape)
    y, x = plane.shape[0] // height, plane.shape[1] // width
    cut = _limited(plane[: y * height, : x * width])
    rows = cut.reshape(y, height, -1).sum(axis=1, dtype=np.int16)
    return np.asarray(rows.reshape(y, x, width).sum(axis=2, dtype=np.int16))


def _limited(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    return np.clip(hu, _LOWEST_HU, _HIGHEST_HU)


def _changes(hu: npt.NDArray[np.float32], lung: Flags) -> npt.NDArray[np.float64]:
    """The mean change of HU between each slice and the next one, where one of both shows lung."""
    pairs = zip(hu[:-1], hu[1:], lung[:-1] | lung[1:], strict=True)
    return np.array(
        [float(np.abs(b - a)[there].mean()) if there.any() else 0.0 for a, b, there in pairs]
    )
