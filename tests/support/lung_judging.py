"""What the lung rules make of a chest, and how good that is."""

import time
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage as ndi

from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_inference.lungs.judging import judged_lungs
from dss_inference.lungs.quality import Quality
from dss_inference.lungs.segment import Lungs, lungs_in
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED
from dss_inference.lungs.view import Flags, scale_of
from support.chest_ct import ct_of
from support.lung_cases import dice
from support.lung_disease import Chest
from support.lung_pictures import write_picture

NONE, REFUSED = "none found", "refused"
PICTURED = 0.95
_LEAST_SHARE = 0.1
_SPINE_MM, _SPINE_ABOVE_FLESH_HU = 25.0, 230.0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """``verdict`` is NONE where the ticket succeeds without a lung, REFUSED where it fails; ``wrong_side``: the share of
    what was found on the other side.

    ``is_paired``: the image shows both lungs and the spine, by ``shows_both_and_spine``.  ``flags``: codes of what was
    said.  ``signs``: those that the verdict looks at, by name; empty where no lung was found.  ``seconds``: of
    processor time.
    """

    dice: float
    verdict: str
    wrong_side: float
    unknown_side: bool
    is_paired: bool
    true_ml: float
    flags: tuple[str, ...]
    seconds: float
    signs: dict[str, Any] = field(default_factory=dict)


def judged(chest: Chest, runner: Runner, picture: Path | None = None) -> Judged:
    """``picture`` is written where the Dice is below PICTURED."""
    start_s = time.process_time()
    lungs, verdict, quality = _answer(chest, runner)
    seconds = time.process_time() - start_s
    found = np.zeros_like(chest.truth) if lungs is None else lungs.sides
    both = (found > 0) & (chest.truth > 0)
    crossed = ((found == LEFT) & (chest.truth == RIGHT)) | (
        (found == RIGHT) & (chest.truth == LEFT)
    )
    score = dice(found > 0, chest.truth > 0)
    true_ml = float((chest.truth > 0).sum()) * prod(chest.spacing_mm) / 1000
    if picture is not None and score < PICTURED and true_ml > 0:
        write_picture(picture, chest, found > 0)
    return Judged(
        dice=score,
        verdict=verdict,
        wrong_side=float(crossed.sum()) / max(1.0, float(both.sum())),
        unknown_side=bool((found == UNSIDED).any()),
        is_paired=shows_both_and_spine(chest),
        true_ml=true_ml,
        flags=() if quality is None else tuple(flag.code for flag in quality.flags),
        seconds=seconds,
        signs={} if lungs is None or lungs.signs is None else asdict(lungs.signs),
    )


def _answer(chest: Chest, runner: Runner) -> tuple[Lungs | None, str, Quality | None]:
    """What was found, the verdict, and the assessment, as the bundle makes them."""
    lungs = None
    try:
        lungs = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None)
        quality = judged_lungs(lungs, ct_of(chest))
    except InferenceError:
        return lungs, REFUSED, None
    return lungs, NONE if quality is None else str(quality.verdict), quality


def shows_both_and_spine(chest: Chest) -> bool:
    """True if each lung has a tenth of the lung in view or more, and there is bone as thick as a spine.  A heart or a
    vessel full of contrast agent passes for one.
    """
    sizes = [float((chest.truth == side).sum()) for side in (LEFT, RIGHT)]
    return min(sizes) > _LEAST_SHARE * sum(sizes) and bool(_thick_bone(chest).any())


def _thick_bone(chest: Chest) -> Flags:
    """Voxels around which a cube of 25 mm, in an adult, is far denser than flesh on average."""
    width_mm = _SPINE_MM * scale_of(chest.hu.shape, chest.spacing_mm)
    cube = [max(1, round(width_mm / s)) for s in chest.spacing_mm]
    flesh = float(np.median(chest.hu[(chest.hu > -150) & (chest.hu < 250)]))
    mean = ndi.uniform_filter(chest.hu.astype(np.float32), cube, mode="constant", cval=flesh)
    return np.asarray(mean > flesh + _SPINE_ABOVE_FLESH_HU)
