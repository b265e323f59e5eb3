"""Measures how much of the lungs was searched for nodules, and what was left out, in ml and as a fraction."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dss_inference.ct.reading import Ct
from dss_inference.lungs.quality import Quality, Verdict
from dss_inference.lungs.segment import Lungs
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.view import Flags, Triple

_GRID_MM = 4.0
_BORDER_MM = 5.0
"""A nodule this close to the image's border may be cut, so that its shape cannot be judged."""
_LEFT_SHARE = (0.42, 0.5)
"""Smallest and largest fraction of the left lung in the volume of both, in health."""
_TILTS = tuple(np.tan(np.radians(range(-48, 49, 12))).tolist())
_ANGLES = np.deg2rad(np.arange(0, 360, 10))
_DOUBTFUL = {"other_side": 0.1, "other_air": 0.15, "suspect_air": 0.01}
"""By code of a part: the share from which on it may well be lung that was not searched."""


@dataclass(frozen=True, kw_only=True)
class ChestPart:
    """A part of the chest that was not searched for nodules, or only in part.  ``code`` is for programs and never
    changes. ``share`` (0..1) is ``volume_ml`` divided by the volume of the part and the searched lung together; the
    part ``cut_border`` is itself searched lung, so its share is that of the searched lung.
    """

    code: str
    volume_ml: float
    share: float

    @property
    def is_doubtful(self) -> bool:
        """True if the part may be lung that was not searched: its share reaches the limit for its ``code``.  False for
        a code without a limit.
        """
        return self.share >= _DOUBTFUL.get(self.code, 2.0)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was searched for nodules.  ``lung_ml`` is the volume of the searched lung; ``parts`` are the parts that were
    not searched, and the part ``cut_border``, which was searched and is included in ``lung_ml``.

    ``slices`` is the number of axial slices with searched lung, ``of_slices`` that of all.  ``verdict`` and ``reasons``
    are those of the lung segmentation.  ``borders`` are the borders of the image that the lungs touch.
    """

    verdict: str
    reasons: tuple[str, ...]
    lung_ml: float
    slices: int
    of_slices: int
    parts: tuple[ChestPart, ...]
    borders: tuple[str, ...] = ()

    @property
    def lacks_lung(self) -> bool:
        """True if the lungs reach the image's border, so that there is lung beyond it, or if a part that may be lung
        was not searched.
        """
        return bool(self.borders) or any(part.is_doubtful for part in self.parts)

    @property
    def conclusion(self) -> str:
        """The verdict on the result: the verdict on the lungs, but ``look at it`` instead of ``good`` if lung was, or
        may have been, left out of the search.
        """
        good = self.verdict == Verdict.GOOD and self.lacks_lung
        return str(Verdict.LOOK) if good else self.verdict


NO_SEARCH = Search(verdict="none", reasons=(), lung_ml=0.0, slices=0, of_slices=0, parts=())
"""Stands for a run in which no lung was found, so that nothing was searched."""


def search_of(lungs: Lungs, quality: Quality, ct: Ct) -> Search:
    """Measure what was searched in ``lungs``, which must not be empty.  Lung outside the box that the user marked
    counts as not searched.
    """
    inside = ct.inside(lungs.sides)
    voxel_ml = ct.grid.voxel_ml
    lung_ml = float(np.count_nonzero(inside)) * voxel_ml
    parts = [
        ChestPart(code=code, volume_ml=round(ml, 1), share=round(ml / max(ml + lung_ml, 1e-6), 4))
        for code, ml in _unsearched_ml(lungs, lung_ml, ct).items()
    ]
    cut_ml = float(_near_border(inside, ct.spacing_mm)) * voxel_ml
    share = round(cut_ml / max(lung_ml, 1e-6), 4)
    return Search(
        verdict=str(quality.verdict),
        reasons=tuple(flag.text for flag in quality.flags),
        lung_ml=round(lung_ml, 1),
        slices=int(inside.any(axis=(1, 2)).sum()),
        of_slices=inside.shape[0],
        parts=(*parts, ChestPart(code="cut_border", volume_ml=round(cut_ml, 1), share=share)),
        borders=quality.borders,
    )


def _unsearched_ml(lungs: Lungs, lung_ml: float, ct: Ct) -> dict[str, float]:
    """Volumes that were not searched, in millilitres, by the code of their part; ``lung_ml`` were searched."""
    every = tuple(slice(None, None, max(1, round(_GRID_MM / s))) for s in ct.spacing_mm)
    z_mm, y_mm, x_mm = (s * (e.step or 1) for s, e in zip(ct.spacing_mm, every, strict=True))
    sides = np.ascontiguousarray(lungs.sides[every])
    voxel_ml = ct.grid.voxel_ml
    coarse_ml = voxel_ml * lungs.sides.size / sides.size
    missing = 0.0 if _cut_at_side(lungs) else _missing(sides, (z_mm, y_mm, x_mm)) * coarse_ml
    return {
        "other_side": missing,
        "other_air": lungs.gas_ml,
        "suspect_air": lungs.suspect_ml,
        "chest": float(_chest_without(sides)) * coarse_ml,
        "outside_box": float(np.count_nonzero(lungs.sides)) * voxel_ml - lung_ml,
    }


def _cut_at_side(lungs: Lungs) -> bool:
    """True if the image cuts the lungs at a side, so that left and right cannot be compared."""
    return lungs.signs is not None and lungs.signs.cut_at_side


def _missing(sides: npt.NDArray[np.uint8], spacing_mm: Triple) -> float:
    """Number of voxels that one lung lacks compared with the other at the same height, of the lung that lacks more: the
    minimum over tilts of the patient to the left or right.  ``sides`` is (z, y, x); 0 if it has neither LEFT nor RIGHT.
    """
    z, _, x = np.nonzero(sides)
    side = sides[sides > 0]
    if not ((side == LEFT).any() or (side == RIGHT).any()):
        return 0.0
    scale = spacing_mm[2] / spacing_mm[0]
    return min(_missing_along(z + tilt * scale * x, side) for tilt in _TILTS)


def _missing_along(height: npt.NDArray[np.float64], side: npt.NDArray[np.uint8]) -> float:
    rows = np.rint(height - height.min()).astype(np.int64)
    count = int(rows.max()) + 1
    left, right = (np.bincount(rows[side == s], minlength=count) for s in (LEFT, RIGHT))
    least, most = (share / (1 - share) for share in _LEFT_SHARE)
    lacking = np.maximum(least * right - left, 0), np.maximum(left / most - right, 0)
    return float(max(one.sum() for one in lacking))


def _chest_without(sides: npt.NDArray[np.uint8]) -> int:
    """Number of voxels of ``sides`` (z, y, x) that are not lung, inside the convex outline of both lungs in each axial
    slice.
    """
    lung: Flags = sides > 0
    y, x = np.ogrid[: lung.shape[1], : lung.shape[2]]
    outline = np.ones(lung.shape, bool)
    for angle in _ANGLES:
        along = (np.sin(angle) * y + np.cos(angle) * x).astype(np.float32)
        farthest = np.where(lung, along, np.float32(-np.inf)).max(axis=(1, 2))
        outline &= along <= farthest[:, None, None]  # -inf in a slice without lung
    return int(np.count_nonzero(outline & ~lung))


def _near_border(lung: npt.NDArray[np.uint8], spacing_mm: Triple) -> int:
    """Number of lung voxels within _BORDER_MM of any border of the image."""
    inner = tuple(
        slice(n, max(n, size - n))
        for n, size in zip(
            (int(np.ceil(_BORDER_MM / s)) for s in spacing_mm), lung.shape, strict=True
        )
    )
    return int(np.count_nonzero(lung)) - int(np.count_nonzero(lung[inner]))
