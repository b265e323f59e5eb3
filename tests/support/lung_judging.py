"""What the lung rules make of a chest, and how good that is."""

from dataclasses import dataclass
from math import prod

from dss_inference.device.runner import Runner
from dss_inference.lungs.judging import labels_of
from dss_inference.lungs.quality import quality_of
from dss_inference.lungs.segment import Lungs, lungs_in
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED
from support.lung_cases import dice
from support.lung_disease import Chest

NONE = "none found"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """``verdict`` is NONE where no lung was found; ``wrong_side``: the share of what was found on the other side."""

    dice: float
    verdict: str
    wrong_side: float
    unknown_side: bool
    true_ml: float


def judged(chest: Chest, runner: Runner) -> Judged:
    lungs = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None)
    found, voxel_ml = lungs.sides, prod(chest.spacing_mm) / 1000
    both = (found > 0) & (chest.truth > 0)
    crossed = ((found == LEFT) & (chest.truth == RIGHT)) | (
        (found == RIGHT) & (chest.truth == LEFT)
    )
    return Judged(
        dice=dice(found > 0, chest.truth > 0),
        verdict=_verdict(chest, lungs, voxel_ml),
        wrong_side=float(crossed.sum()) / max(1.0, float(both.sum())),
        unknown_side=bool((found == UNSIDED).any()),
        true_ml=float((chest.truth > 0).sum()) * voxel_ml,
    )


def _verdict(chest: Chest, lungs: Lungs, voxel_ml: float) -> str:
    if lungs.signs is None:
        return NONE
    labels = labels_of(lungs.sides, voxel_ml)
    return str(quality_of(lungs.sides, chest.hu, labels, lungs.signs).verdict)
