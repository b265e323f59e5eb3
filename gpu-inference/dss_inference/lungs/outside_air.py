"""Decides which chains of dark parts at the edge of the image (``edge_chains``) are air outside the body, and which are
lung that the edge of the image cuts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.edge_chains import Chain, Labels
from dss_inference.lungs.view import View, open_to_side

HU: TypeAlias = npt.NDArray[np.int16]

USUAL_AIR_HU = -1000
ABOVE_AIR_HU = 65

SAMPLES = 20_000
"""Largest number of voxels, about, from which percentiles are estimated."""
_LIGHTEST_AIR_HU = -850
_SURROUNDS_SOLIDITY = 0.55
_SURROUNDS_SHARE = 0.02
_LUNG_SOLIDITY = 0.68
_CORNER_ABOVE_AIR_HU = 30
_POCKET_ABOVE_AIR_HU = 15
_LARGE_ML = 300.0
_DOUBTFUL_ML = 50.0
_MOSTLY = 0.6
_ACROSS, _ACROSS_ABOVE_AIR_HU = 0.25, 80
"""``is_outside`` applies these to a chain that is not convex.  If more than the fraction _ACROSS of its area spans a
slice's complete front or back edge, it is outside air as long as the lower quartile of its HU is less than
_ACROSS_ABOVE_AIR_HU above air: a thin layer of air behind the body is that dense because its edges are blurred.
"""
_LAYER_MM = 30.0
"""Largest mean depth of such a thin layer from front to back.  A deeper chain between flesh may be both lungs, joined
where the image cuts them at the back.
"""
_CUT_LUNG_SOLIDITY, _CUT_LUNG_SAMENESS, _CUT_LUNG_SPREAD_HU = 0.85, 0.3, 16.0
"""A chain is lung that the edge of the image cuts if its solidity is above the first value, its sameness is below the
second, and the lower quartile and the median of its HU differ by more than the third.  Air around the body is alike
from slice to slice and, without vessels, even.
"""
_SMALLEST_ML = 3.0
_FOAM = ((30.0, 0.92), (100.0, 0.75))
_LONG_MM = 200.0
"""Pairs of an image length in mm and a sameness.  In a longer image, a small chain through nearly all slices whose
sameness is higher is foam of the patient table, because the sections of a lung change along the body.  In an image
longer than _LONG_MM so is a chain of any volume, or it is air between table and patient, if its HU are as even as those
of air around the body.
"""


@dataclass(frozen=True, kw_only=True)
class EdgePart:
    """A chain with what decides whether it is air outside the body.

    ``hu`` are values of at most about 20,000 of its voxels.  ``surrounds``: it is certainly outside the body, by
    position, shape and HU.  ``depth_mm`` is its depth from front to back, as a mean over its slices and all columns of
    the image.  ``is_open``: most of it is open to the image's side (see ``open_to_side``).
    """

    chain: Chain
    volume_ml: float
    depth_mm: float
    hu: HU
    surrounds: bool
    is_open: bool

    @property
    def spread_hu(self) -> float:
        """The difference between the median and the lower quartile of its HU."""
        return float(np.median(self.hu)) - self.low_hu

    @property
    def low_hu(self) -> float:
        """The lower quartile of its HU."""
        return float(np.percentile(self.hu, 25))


def edge_parts(view: View, label: Labels, chains: list[Chain], smooth: HU) -> Iterator[EdgePart]:
    """Measure each of the ``chains`` of parts in ``label``.  ``smooth`` is the mean HU of each voxel's neighbours."""
    _, _, columns = label.shape
    opened = np.bincount(label.ravel(), open_to_side(view).ravel(), int(label.max()) + 1)
    for chain, hu in zip(chains, _values_of(smooth, label, chains), strict=True):
        yield EdgePart(
            chain=chain,
            volume_ml=chain.area * view.voxel_ml,
            depth_mm=chain.area / (chain.slices * columns) * view.spacing_mm[1],
            hu=hu,
            surrounds=_surrounds(chain, hu, label.size),
            is_open=float(opened[list(chain.parts)].sum()) > _MOSTLY * chain.area,
        )


def _values_of(hu: HU, label: Labels, chains: list[Chain]) -> list[HU]:
    """For each chain, the values ``hu`` of at most about 20,000 of its voxels, evenly spread."""
    number = np.zeros(int(label.max()) + 1, np.int32)
    for i, chain in enumerate(chains, start=1):
        number[list(chain.parts)] = i
    numbers = number[label].ravel()
    places = np.flatnonzero(numbers)
    order = places[np.argsort(numbers[places], kind="stable")]
    ends = np.cumsum(np.bincount(numbers[places], minlength=len(chains) + 1)[1:])
    parts = np.split(order, ends[:-1]) if chains else []
    return [hu.ravel()[part[:: part.size // SAMPLES + 1]] for part in parts]


def _surrounds(chain: Chain, hu: HU, voxels: int) -> bool:
    """True if the chain, with the HU ``hu``, is certainly air outside the body: it is dark, and most of it covers the
    complete front or back edge of its slices, or it is large and not convex.  ``voxels`` is the size of the image.
    """
    if np.percentile(hu, 25) > _LIGHTEST_AIR_HU:
        return False
    wraps = chain.solidity < _SURROUNDS_SOLIDITY and chain.area > _SURROUNDS_SHARE * voxels
    return chain.across > 0.5 or wraps


def is_outside(part: EdgePart, air_hu: float | None, length: int, length_mm: float) -> bool:
    """True if the part is air outside the body or foam of a table; False if it is lung.

    ``air_hu`` is the HU of the air that is certainly outside, None if unknown.  ``length`` is the number of slices that
    are not blank, ``length_mm`` their length.
    """
    if part.surrounds or _is_foam(part, length, length_mm):
        return True
    chain = part.chain
    above = part.low_hu - (USUAL_AIR_HU if air_hu is None else air_hu)
    if chain.across > _ACROSS and chain.solidity < _CUT_LUNG_SOLIDITY:
        is_layer = part.is_open or air_hu is None or part.depth_mm < _LAYER_MM
        return above < (_ACROSS_ABOVE_AIR_HU if is_layer else _CORNER_ABOVE_AIR_HU)
    if chain.solidity < _LUNG_SOLIDITY or part.volume_ml < _SMALLEST_ML:
        return above < ABOVE_AIR_HU
    if part.volume_ml > _LARGE_ML and _is_like_cut_lung(part):
        return False
    if chain.corner > 0.5 or part.is_open:
        return above < _CORNER_ABOVE_AIR_HU
    return above < _POCKET_ABOVE_AIR_HU and part.volume_ml < _LARGE_ML


def _is_foam(part: EdgePart, length: int, length_mm: float) -> bool:
    """True for a part through nearly all slices that hardly changes from slice to slice, by _FOAM and _LONG_MM."""
    if part.chain.slices < 0.9 * length:
        return False
    is_even = part.spread_hu <= _CUT_LUNG_SPREAD_HU
    if part.volume_ml >= _LARGE_ML and (length_mm < _LONG_MM or not is_even):
        return False
    return any(length_mm > least_mm and part.chain.sameness > same for least_mm, same in _FOAM)


def is_doubtful(part: EdgePart) -> bool:
    """True for a part of more than 50 ml whose shape and texture are those of lung that the edge of the image cuts."""
    return part.volume_ml > _DOUBTFUL_ML and _is_like_cut_lung(part)


def _is_like_cut_lung(part: EdgePart) -> bool:
    chain = part.chain
    is_convex = chain.solidity > _CUT_LUNG_SOLIDITY
    return (
        is_convex and chain.sameness < _CUT_LUNG_SAMENESS and part.spread_hu > _CUT_LUNG_SPREAD_HU
    )
