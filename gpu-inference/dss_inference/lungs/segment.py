"""Segments the lungs of a CT by rules, without a trained network.

Steps: outside air slice by slice; airway by region growing; enclosed air with the texture of lung; left and right;
closing over vessels and the hilum; refinement to the image's resolution.  Not found: consolidated or collapsed lung,
effusion, large pleural masses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.device.runner import CERTAIN, NEAR, Runner
from dss_inference.lungs.air import AIR_HU, Enclosed, enclosed_air
from dss_inference.lungs.airway import airway
from dss_inference.lungs.choice import lung_air
from dss_inference.lungs.haze import hazy_lung
from dss_inference.lungs.hounsfield import require_hounsfield_units
from dss_inference.lungs.outside_air import USUAL_AIR_HU
from dss_inference.lungs.padding import with_known_padding
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Body, Sides, body_of, sided
from dss_inference.lungs.signs import Signs, signs_of
from dss_inference.lungs.unexplained import left_out_ml, other_air_ml
from dss_inference.lungs.view import Flags, Triple, View, box_around, closed, scale_of, thinned

_VIEW_MM = 2.0
_MARGIN_MM = 12.0
_CLOSING_MM = 7.0
_ADULT_MM = 140.0
_SIGNS_MM = 4.0

Step = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Lungs:
    """The result of ``lungs_in``.  ``sides`` is the segmentation, (z, y, x); ``air_hu`` is the HU of air in this image.

    ``gas_ml`` is the volume of air in the body, without the airways, that was not segmented as lung.  ``suspect_ml`` is
    the volume of it that may be lung; if no lung was found, it includes denser tissue that may be lung.
    """

    sides: Sides
    air_hu: float
    gas_ml: float
    suspect_ml: float
    signs: Signs | None
    """Measured signs that the segmentation may be wrong; None if no lung was found."""


def lungs_in(hu: npt.NDArray[np.int16], spacing_mm: Triple, runner: Runner, step: Step) -> Lungs:
    """Segment the lungs in ``hu``, (z, y, x) in LPS order and at least -1024.  ``Lungs.sides`` has the same shape and
    holds LEFT, RIGHT or UNSIDED in lung, otherwise NONE.

    ``step`` is called with the finished fraction (0..1) and the name of the next stage; it may raise an error to end
    the work.  Raises InferenceError if the values are not Hounsfield units.
    """
    require_hounsfield_units(hu)
    factors = _factors(spacing_mm, hu.shape)
    step(0.0, "shrinking the image")
    view = with_known_padding(
        View(hu=runner.block_mean(hu, factors), spacing_mm=_times(spacing_mm, factors))
    )
    step(0.25, "looking for lungs")
    air = _body_air(view)
    lungs = _coarse_lungs(view, air)
    sides, coarse_sides = np.zeros(hu.shape, np.uint8), np.zeros(view.hu.shape, np.uint8)
    if lungs.any():
        box = box_around(lungs, tuple(math.ceil(_MARGIN_MM / s) for s in view.spacing_mm))
        certainty, near = _closed_sides(view, lungs, air, box, step)
        coarse_sides[box] = np.where(certainty > 0, near, 0)
        step(0.8, "going back to full resolution")
        fine = tuple(slice(s.start * f, s.stop * f) for s, f in zip(box, factors, strict=True))
        sides[fine] = runner.refine(hu[fine], certainty, near, factors, AIR_HU)
    step(0.95, "judging the lungs")
    return _with_signs(sides, _chest(view, coarse_sides, air, runner), air)


@dataclass(frozen=True, kw_only=True)
class _BodyAir:
    """The air in the body: flags (z, y, x) of the coarse view.  ``airways`` include a margin of one voxel."""

    enclosed: Enclosed
    body: Body
    airways: Flags

    @property
    def air_hu(self) -> float:
        """HU of air in this image; a usual value if the image shows too little air around the body."""
        return USUAL_AIR_HU if self.enclosed.air_hu is None else self.enclosed.air_hu

    @property
    def outside_airways(self) -> Flags:
        return self.enclosed.air & ~self.airways


def _body_air(view: View) -> _BodyAir:
    enclosed = enclosed_air(view)
    body = body_of(view, enclosed.air)
    airways = ndi.binary_dilation(airway(view, enclosed.air, body.middle_x))
    return _BodyAir(enclosed=enclosed, body=body, airways=airways)


def _coarse_lungs(view: View, air: _BodyAir) -> Flags:
    """Voxels of lung in the coarse view, haze beside the lungs included; vessels and the hilum are not filled yet."""
    lungs = lung_air(view, air.outside_airways, air.air_hu, air.enclosed.noise_hu)
    if lungs.any():
        lungs |= hazy_lung(view, lungs, air.body.middle_x) & ~air.airways
    return lungs


def _closed_sides(
    view: View, lungs: Flags, air: _BodyAir, box: tuple[slice, ...], step: Step
) -> tuple[Sides, Sides]:
    """In ``box``, the arrays of ``_shares`` for ``lungs``, after left and right were separated."""
    step(0.5, "telling left from right")
    body = Body(
        middle_x=air.body.middle_x - box[2].start, shows_both_sides=air.body.shows_both_sides
    )
    sides = sided(view.cropped(box), lungs[box], body)
    step(0.65, "closing over vessels")
    return _shares(sides, air.airways[box], view.spacing_mm, _closing_mm(view, lungs))


def _chest(view: View, sides: Sides, air: _BodyAir, runner: Runner) -> SegmentedChest:
    steps = view.steps(_SIGNS_MM * view.scale)
    return SegmentedChest(
        view=View(hu=runner.block_mean(view.hu, steps), spacing_mm=_times(view.spacing_mm, steps)),
        sides=thinned(sides, steps),
        air=thinned(air.outside_airways, steps),
        clear_hu=air.enclosed.clear_hu,
    )


def _with_signs(sides: Sides, chest: SegmentedChest, air: _BodyAir) -> Lungs:
    """The answer of ``lungs_in`` for the segmentation ``sides`` and the same on a coarse grid, ``chest``."""
    found = bool(sides.any())
    gas_ml, suspect_ml = other_air_ml(chest)
    if not found:
        suspect_ml += left_out_ml(chest) + air.enclosed.doubtful_ml
    return Lungs(
        sides=sides,
        air_hu=air.air_hu,
        gas_ml=gas_ml,
        suspect_ml=suspect_ml,
        signs=signs_of(chest, gas_ml) if found else None,
    )


def _closing_mm(view: View, lungs: Flags) -> float:
    """Radius in millimetres of the closing over vessels and the hilum: 7 mm, less in proportion for lungs that are
    shorter than 140 mm, as an infant's are.
    """
    longest_mm = max(
        (part.stop - part.start) * s
        for part, s in zip(box_around(lungs, (0, 0, 0)), view.spacing_mm, strict=True)
    )
    return _CLOSING_MM * min(1.0, float(longest_mm) / _ADULT_MM)


def _shares(
    sides: Sides, tubes: Flags, spacing_mm: Triple, closing_mm: float
) -> tuple[Sides, Sides]:
    """The two coarse arrays (z, y, x) that ``Runner.refine`` needs: the lungs with vessels closed, as NEAR or CERTAIN,
    and their sides, which extend one voxel beyond the lungs.

    CERTAIN are the inner voxels and those that the closing added.  The closing, by ``closing_mm``, leaves out the
    airways ``tubes``.
    """
    wider = sides.copy()
    for side in (LEFT, RIGHT, UNSIDED):
        added = _closed(sides == side, tubes | (sides > 0), spacing_mm, closing_mm)
        wider[added & (wider == 0)] = side
    lungs = wider > 0
    certain = lungs & ((sides == 0) | ndi.binary_erosion(lungs, border_value=1))
    coarse = (np.uint8(NEAR) * lungs + np.uint8(CERTAIN - NEAR) * certain).astype(np.uint8)
    return coarse, np.where(lungs, wider, ndi.maximum_filter(wider, 3)).astype(np.uint8)


def _closed(lung: Flags, taken: Flags, spacing_mm: Triple, closing_mm: float) -> Flags:
    if not lung.any():
        return lung
    box = box_around(lung, (0, 0, 0))
    answer = lung.copy()
    answer[box] |= closed(lung[box], spacing_mm, closing_mm) & ~taken[box]
    return answer


def _factors(spacing_mm: Triple, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Size of the coarse blocks in voxels (z, y, x): about 2 mm, less if the image is as narrow as an infant's chest."""
    block_mm = _VIEW_MM * scale_of(shape, spacing_mm)
    z, y, x = (max(1, round(block_mm / s)) for s in spacing_mm)
    return z, y, x


def _times(spacing_mm: Triple, factors: tuple[int, int, int]) -> Triple:
    z, y, x = (s * f for s, f in zip(spacing_mm, factors, strict=True))
    return z, y, x
