"""Finds padding whose value is that of air or lung: a scanner, or a program that cuts away what surrounds the patient,
may write any value there, and only -1024 and less is known to be no tissue.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.ct.reading import LOWEST_HU
from dss_inference.lungs.view import TISSUE_HU, Flags, View

_LEAST_SHARE = 0.9
"""Share of the corners of all slices that have the value of padding, and no other.  Air varies by the scanner's noise."""
_CORNERS = ([0, 0, -1, -1], [0, -1, 0, -1])
_SIDE = 3


def with_known_padding(view: View) -> View:
    """``view`` with -1024 in padding that has another value; ``view`` itself without such padding.

    Padding are parts without any noise that have the value of the slices' corners and are connected to them.  A value of
    tissue is left as it is, because it cannot be taken for lung.
    """
    value = _value_of_corners(view.hu)
    if value is None or not LOWEST_HU < value < TISSUE_HU:
        return view
    padding = _connected_to_corners(view.hu == value)
    return replace(view, hu=np.where(padding, np.int16(LOWEST_HU), view.hu))


def _value_of_corners(hu: npt.NDArray[np.int16]) -> int | None:
    """The value that nearly all corners of the slices have; None if they differ."""
    corners = hu[:, *_CORNERS].ravel()
    values, counts = np.unique(corners, return_counts=True)
    most = int(counts.argmax())
    return int(values[most]) if counts[most] > _LEAST_SHARE * corners.size else None


def _connected_to_corners(even: Flags) -> Flags:
    """The voxels of ``even`` that are at least 3 voxels thick in their slice and connected to a corner of a slice."""
    wide = np.pad(even, [(0, 0), (_SIDE, _SIDE), (_SIDE, _SIDE)], mode="edge")
    opened = ndi.binary_opening(wide, np.ones((1, _SIDE, _SIDE), bool))
    thick = opened[:, _SIDE:-_SIDE, _SIDE:-_SIDE]
    label, count = ndi.label(thick)
    at_corners = np.zeros(count + 1, bool)
    at_corners[np.unique(label[:, *_CORNERS])] = True
    at_corners[0] = False
    return np.asarray(at_corners[label])
