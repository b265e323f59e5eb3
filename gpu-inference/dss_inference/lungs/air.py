"""Separates air and lung inside the body from the air around the body, by position, shape and HU: the first step of the
lung segmentation (``segment.lungs_in``).

In each axial slice the connected dark parts are found.  Parts that touch the edge of the slice or the padding are
linked into chains from slice to slice (``edge_chains.Chain``); ``outside_air`` decides whether a chain is air outside
the body, or lung that the edge of the image cuts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.edge_chains import IN_SLICE, Labels, chains_of, labelled, parts_at_edge
from dss_inference.lungs.outside_air import (
    ABOVE_AIR_HU,
    SAMPLES,
    USUAL_AIR_HU,
    EdgePart,
    edge_parts,
    is_doubtful,
    is_outside,
)
from dss_inference.lungs.view import Flags, View, spread, thinned, walled_parts

AIR_HU = -400
"""Threshold half-way between lung and soft tissue: voxels below it are air or lung."""

_PADDING_HU = -1020
THICK_MM = 20.0
"""Smallest depth in mm, from the surface to the centre, of a part that may be lung; thinner parts are blurred edges."""
_DENSEST_HU = -500
_GRID_MM = 4.0
_CLEAR_ML = 300.0
_CLEAR_SHARE = 0.25
"""``Enclosed.air_hu`` is measured only if the volume of air that is certainly outside the body exceeds _CLEAR_ML and
this fraction of the padding's volume.  With less, the padding may be clamped air, and that air only the padding's
blurred edge.
"""


@dataclass(frozen=True, kw_only=True)
class Enclosed:
    """The air inside the body, as found by ``enclosed_air``.

    ``air``: flags (z, y, x) of air and lung in the body.  ``air_hu``: HU of the air around the body; None if the image
    shows too little of it.  ``clear_hu``: HU of air far from all tissue; that of padding, or a usual value, if the
    image shows less than 300 ml of such air.  ``noise_hu``: standard deviation of the noise in the air around the body;
    0 if ``air_hu`` is None.  ``doubtful_ml``: volume of what was counted as outside air although its shape and texture
    are those of lung that the edge of the image cuts.
    """

    air: Flags
    air_hu: float | None
    clear_hu: float
    noise_hu: float
    doubtful_ml: float


def enclosed_air(view: View) -> Enclosed:
    """Find the air and lung inside the body.  Air outside the body is searched in each axial slice separately.

    A three-dimensional search would enter the lungs through an open windpipe or a blank slice at the end.  Lung that
    the edge of the image cuts touches the side of a slice or the padding, as outside air does; position, shape and HU
    tell them apart.
    """
    dark = view.hu < AIR_HU
    padding = _padding(view) & dark
    air = dark & ~padding
    label, count = labelled(air)
    smooth = ndi.uniform_filter(view.hu, 3)
    chains = list(chains_of(label, parts_at_edge(label, padding)))
    parts = list(edge_parts(view, label, chains, smooth))
    air_hu = _air_hu(parts, float(padding.sum()) * view.voxel_ml)
    length = int((~padding).any(axis=(1, 2)).sum())
    outside = [p for p in parts if is_outside(p, air_hu, length, length * view.spacing_mm[0])]
    around = _voxels_of(outside, label, count)
    clear_hu = _clear_hu(view, smooth, around, padding)
    return Enclosed(
        air=air & ~(around & ~_cut_lung(view, smooth, around, clear_hu)),
        air_hu=air_hu,
        clear_hu=clear_hu,
        noise_hu=_noise(view.hu[around], smooth[around]) if air_hu is not None else 0.0,
        doubtful_ml=sum((part.volume_ml for part in outside if is_doubtful(part)), 0.0),
    )


def _air_hu(parts: list[EdgePart], padding_ml: float) -> float | None:
    """The lower quartile of the HU of air that is certainly outside the body; None if there is too little of it."""
    certain = [part for part in parts if part.surrounds]
    certain_ml = sum(part.volume_ml for part in certain)
    if certain_ml <= max(_CLEAR_ML, _CLEAR_SHARE * padding_ml):
        return None
    return float(np.percentile(np.concatenate([part.hu for part in certain]), 25))


def _voxels_of(parts: list[EdgePart], label: Labels, count: int) -> Flags:
    """Flags of the voxels of ``parts`` in ``label``, which has ``count`` connected parts."""
    chosen = np.zeros(count + 1, bool)
    chosen[[number for part in parts for number in part.chain.parts]] = True
    return np.asarray(chosen[label], bool)


def _cut_lung(view: View, smooth: npt.NDArray[np.int16], around: Flags, clear_hu: float) -> Flags:
    """Flags of lung that the edge of the image cuts and that is wrongly included in ``around``, the air around the
    body.

    It is denser than air at ``clear_hu``, thick, and next to tissue along a good part of its surface.  Foam of a table
    is not next to tissue.
    """
    steps = view.steps(_GRID_MM)
    few = view.thinned(smooth, steps)
    hu = ndi.uniform_filter(few.hu, 3)
    denser = (hu > clear_hu + ABOVE_AIR_HU) & (hu < _DENSEST_HU)
    denser &= ndi.binary_closing(thinned(around, steps))
    thick = ndi.binary_dilation(walled_parts(few, denser, THICK_MM))
    return around & spread(thick, steps, around.shape) & (smooth > clear_hu + ABOVE_AIR_HU)


def _clear_hu(view: View, smooth: npt.NDArray[np.int16], around: Flags, padding: Flags) -> float:
    """HU of air outside the body, far from tissue: the 10th percentile of the air ``around`` the body that is above the
    padding's value.  With less than 300 ml of such air, it is the padding's value; without padding, USUAL_AIR_HU.

    ``smooth`` is the mean HU of each voxel's neighbours.
    """
    clear = smooth[around & ~padding & (smooth > _PADDING_HU)]
    if clear.size * view.voxel_ml > _CLEAR_ML:
        return float(np.percentile(clear[:: clear.size // SAMPLES + 1], 10))
    return float(_PADDING_HU) if padding.any() else float(USUAL_AIR_HU)


def _noise(hu: npt.NDArray[np.int16], smooth: npt.NDArray[np.int16]) -> float:
    """Standard deviation of the noise in HU, estimated from the quartiles of ``hu`` minus ``smooth``, the mean HU of
    each voxel's neighbours; 0 if there are no voxels.
    """
    if not hu.size:
        return 0.0
    every = hu.size // SAMPLES + 1
    low, high = np.percentile(hu[::every] - smooth[::every], [25, 75])
    return float(high - low) / 1.35


def _padding(view: View) -> Flags:
    """Flags of padding, whose HU are below those of air, where it is connected to the side of its slice; the voxels
    next to it are included, because padding blurs them.  All False without padding.
    """
    even = ndi.maximum_filter(view.hu, (1, 3, 3)) <= _PADDING_HU
    if not even.any():
        return even
    label, count = labelled(even)
    table = np.zeros(count + 1, bool)
    table[parts_at_edge(label, np.zeros_like(even))] = True
    return np.asarray(ndi.binary_dilation(table[label], IN_SLICE, iterations=1))
