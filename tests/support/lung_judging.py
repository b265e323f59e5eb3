"""What the lung rules make of a chest, and how good that is."""

import time
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dss_inference.device.runner import Runner
from dss_inference.lungs.judging import labels_of
from dss_inference.lungs.quality import Quality, quality_of
from dss_inference.lungs.segment import Lungs, lungs_in
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED
from support.lung_cases import dice
from support.lung_disease import Chest
from support.lung_pictures import write_picture

NONE = "none found"
PICTURED = 0.95


@dataclass(frozen=True, kw_only=True)
class Judged:
    """``verdict`` is NONE where no lung was found; ``wrong_side``: the share of what was found on the other side.

    ``flags``: codes of what was said.  ``seconds``: of processor time.
    """

    dice: float
    verdict: str
    wrong_side: float
    unknown_side: bool
    true_ml: float
    flags: tuple[str, ...]
    seconds: float


def judged(chest: Chest, runner: Runner, picture: Path | None = None) -> Judged:
    """``picture`` is written where the Dice is below PICTURED."""
    start_s = time.process_time()
    lungs = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None)
    seconds = time.process_time() - start_s
    found, voxel_ml = lungs.sides, prod(chest.spacing_mm) / 1000
    both = (found > 0) & (chest.truth > 0)
    crossed = ((found == LEFT) & (chest.truth == RIGHT)) | (
        (found == RIGHT) & (chest.truth == LEFT)
    )
    score = dice(found > 0, chest.truth > 0)
    true_ml = float((chest.truth > 0).sum()) * voxel_ml
    if picture is not None and score < PICTURED and true_ml > 0:
        write_picture(picture, chest, found > 0)
    quality = _quality(chest, lungs, voxel_ml)
    return Judged(
        dice=score,
        verdict=NONE if quality is None else str(quality.verdict),
        wrong_side=float(crossed.sum()) / max(1.0, float(both.sum())),
        unknown_side=bool((found == UNSIDED).any()),
        true_ml=true_ml,
        flags=() if quality is None else tuple(flag.code for flag in quality.flags),
        seconds=seconds,
    )


def _quality(chest: Chest, lungs: Lungs, voxel_ml: float) -> Quality | None:
    if lungs.signs is None:
        return None
    return quality_of(lungs.sides, chest.hu, labels_of(lungs.sides, voxel_ml), lungs.signs)
