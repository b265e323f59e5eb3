"""Separates air and lung inside the body from the air around the body, by position, shape and HU: the first step of the
lung segmentation (``segment.lungs_in``).

In each axial slice the connected dark parts are found.  Parts that touch the edge of the slice or the padding are
linked into chains from slice to slice (``edge_chains.Chain``); a chain is either air outside the body, or lung that the edge of
the image cuts.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.edge_chains import IN_SLICE, Chain, chains_of, labelled, parts_at_edge
from dss_inference.lungs.view import Flags, View, open_to_side, spread, thinned, walled_parts

Labels: TypeAlias = npt.NDArray[np.integer]

AIR_HU = -400
"""Threshold half-way between lung and soft tissue: voxels below it are air or lung."""
USUAL_AIR_HU = -1000

_PADDING_HU = -1020
_SAMPLES = 20_000
_LIGHTEST_AIR_HU = -850
_SURROUNDS_SOLIDITY = 0.55
_SURROUNDS_SHARE = 0.02
_LUNG_SOLIDITY = 0.68
ABOVE_AIR_HU = 65
THICK_MM = 20.0
"""Smallest depth in mm, from the surface to the centre, of a part that may be lung; thinner parts are blurred edges."""
_DENSEST_HU = -500
_GRID_MM = 4.0
_CORNER_ABOVE_AIR_HU = 30
_POCKET_ABOVE_AIR_HU = 15
_LARGE_ML = 300.0
_DOUBTFUL_ML = 50.0
_MOSTLY = 0.6
_ACROSS, _ACROSS_ABOVE_AIR_HU = 0.25, 80
"""``_is_outside`` applies these to a chain that is not convex.  If more than the fraction _ACROSS of its area spans a
slice's complete front or back edge, it is outside air as long as the lower quartile of its HU is less than
_ACROSS_ABOVE_AIR_HU above air: a thin layer of air behind the body is that dense because its edges are blurred.
"""
_CUT_LUNG_SOLIDITY, _CUT_LUNG_SAMENESS, _CUT_LUNG_SPREAD_HU = 0.85, 0.3, 16.0
"""A chain is lung that the edge of the image cuts if its solidity is above the first value, its sameness is below the
second, and the lower quartile and the median of its HU differ by more than the third.  Air around the body is alike
from slice to slice and, without vessels, even.
"""
_SMALLEST_ML = 3.0
_CLEAR_ML = 300.0
_CLEAR_SHARE = 0.25
"""``Enclosed.air_hu`` is measured only if the volume of air that is certainly outside the body exceeds _CLEAR_ML and
this fraction of the padding's volume.  With less, the padding may be clamped air, and that air only the padding's
blurred edge.
"""
_FOAM = ((30.0, 0.92), (100.0, 0.75))
"""Pairs of an image length in mm and a sameness.  In a longer image, a small chain through nearly all slices whose
sameness is higher is foam of the patient table, because the sections of a lung change along the body.
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
    chains = list(chains_of(label, parts_at_edge(label, padding)))
    smooth = ndi.uniform_filter(view.hu, 3)
    values = _values_of(smooth, label, chains)
    sure = [_surrounds(c, hu, label.size) for c, hu in zip(chains, values, strict=True)]
    sure_ml = sum(c.area for c, s in zip(chains, sure, strict=True) if s) * view.voxel_ml
    least_ml = max(_CLEAR_ML, _CLEAR_SHARE * float(padding.sum()) * view.voxel_ml)
    known = [hu for hu, s in zip(values, sure, strict=True) if s and sure_ml > least_ml]
    air_hu = _quartile(known)
    length = int((~padding).any(axis=(1, 2)).sum())
    opened = np.bincount(label.ravel(), open_to_side(view).ravel(), count + 1)
    outside = np.zeros(count + 1, bool)
    doubtful_ml = 0.0
    for chain, hu, surrounds in zip(chains, values, sure, strict=True):
        is_open = float(opened[list(chain.parts)].sum()) > _MOSTLY * chain.area
        is_outside = surrounds or _is_outside(chain, hu, air_hu, view, length, is_open=is_open)
        outside[list(chain.parts)] = is_outside
        volume_ml = chain.area * view.voxel_ml
        if is_outside and volume_ml > _DOUBTFUL_ML and _is_cut_lung(chain, hu):
            doubtful_ml += volume_ml
    around = outside[label]
    noise_hu = _noise(view.hu[around], smooth[around]) if air_hu is not None else 0.0
    clear_hu = _clear_hu(view, smooth, around, padding)
    around &= ~_cut_lung(view, smooth, around, clear_hu)
    return Enclosed(
        air=air & ~around,
        air_hu=air_hu,
        clear_hu=clear_hu,
        noise_hu=noise_hu,
        doubtful_ml=doubtful_ml,
    )


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
        return float(np.percentile(clear[:: clear.size // _SAMPLES + 1], 10))
    return float(_PADDING_HU) if padding.any() else float(USUAL_AIR_HU)


def _noise(hu: npt.NDArray[np.int16], smooth: npt.NDArray[np.int16]) -> float:
    """Standard deviation of the noise in HU, estimated from the quartiles of ``hu`` minus ``smooth``, the mean HU of
    each voxel's neighbours; 0 if there are no voxels.
    """
    if not hu.size:
        return 0.0
    every = hu.size // _SAMPLES + 1
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


def _values_of(
    hu: npt.NDArray[np.int16], label: Labels, chains: list[Chain]
) -> list[npt.NDArray[np.int16]]:
    """For each chain, the values ``hu`` of at most about 20,000 of its voxels, evenly spread."""
    number = np.zeros(int(label.max()) + 1, np.int32)
    for i, chain in enumerate(chains, start=1):
        number[list(chain.parts)] = i
    numbers = number[label].ravel()
    places = np.flatnonzero(numbers)
    order = places[np.argsort(numbers[places], kind="stable")]
    ends = np.cumsum(np.bincount(numbers[places], minlength=len(chains) + 1)[1:])
    parts = np.split(order, ends[:-1]) if chains else []
    return [hu.ravel()[part[:: part.size // _SAMPLES + 1]] for part in parts]


def _quartile(values: list[npt.NDArray[np.int16]]) -> float | None:
    return float(np.percentile(np.concatenate(values), 25)) if values else None


def _surrounds(chain: Chain, hu: npt.NDArray[np.int16], voxels: int) -> bool:
    """True if the chain, with the HU ``hu``, is certainly air outside the body: it is dark, and most of it covers the
    complete front or back edge of its slices, or it is large and not convex.  ``voxels`` is the size of the image.
    """
    if np.percentile(hu, 25) > _LIGHTEST_AIR_HU:
        return False
    wraps = chain.solidity < _SURROUNDS_SOLIDITY and chain.area > _SURROUNDS_SHARE * voxels
    return chain.across > 0.5 or wraps


def _is_outside(
    chain: Chain,
    hu: npt.NDArray[np.int16],
    air_hu: float | None,
    view: View,
    length: int,
    *,
    is_open: bool,
) -> bool:
    """True if the chain, with the HU ``hu``, is air outside the body or foam of a table; False if it is lung.

    ``air_hu`` is the HU of the air that is certainly outside, None if unknown.  ``length`` is the number of slices that
    are not blank.  ``is_open`` means that most of the chain is open to the image's side (see ``open_to_side``).
    """
    volume_ml = chain.area * view.voxel_ml
    if chain.slices >= 0.9 * length and volume_ml < _LARGE_ML:
        length_mm = length * view.spacing_mm[0]
        if any(length_mm > least_mm and chain.sameness > same for least_mm, same in _FOAM):
            return True
    above = float(np.percentile(hu, 25)) - (USUAL_AIR_HU if air_hu is None else air_hu)
    if chain.across > _ACROSS and chain.solidity < _CUT_LUNG_SOLIDITY:
        return above < _ACROSS_ABOVE_AIR_HU
    if chain.solidity < _LUNG_SOLIDITY or volume_ml < _SMALLEST_ML:
        return above < ABOVE_AIR_HU
    if volume_ml > _LARGE_ML and _is_cut_lung(chain, hu):
        return False
    if chain.corner > 0.5 or is_open:
        return above < _CORNER_ABOVE_AIR_HU
    return above < _POCKET_ABOVE_AIR_HU and volume_ml < _LARGE_ML


def _is_cut_lung(chain: Chain, hu: npt.NDArray[np.int16]) -> bool:
    low, middle = np.percentile(hu, [25, 50])
    spread = float(middle - low)
    is_convex = chain.solidity > _CUT_LUNG_SOLIDITY
    return is_convex and chain.sameness < _CUT_LUNG_SAMENESS and spread > _CUT_LUNG_SPREAD_HU
