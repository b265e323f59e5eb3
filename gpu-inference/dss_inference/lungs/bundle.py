"""``lung-segmentation``: both lungs of a CT as two labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dss_broker.messages import Label
from dss_inference.bundle import Outcome, Progress, Stages
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.ct.region import region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.runner import Runner
from dss_inference.lungs.notes import notes_on, require_usable
from dss_inference.lungs.quality import Quality, quality_of, quality_reports
from dss_inference.lungs.segment import Lungs, lungs_in
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.lungs.signs import signs_of
from dss_inference.pictures import picture_report

_NAMES = {LEFT: "left lung", RIGHT: "right lung", UNSIDED: "lung"}
_COLOURS = {LEFT: (84, 155, 224), RIGHT: (240, 146, 88), UNSIDED: (120, 200, 130)}


class LungSegmentation:
    """By rules, not by learning; on any device."""

    name = "lung-segmentation"

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def device(self) -> str:
        return self._runner.device

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        ct = read_ct(image_path, region_of(parameters), whole=True)
        lungs = stages.on_device(self._runner.compute, lambda: self._found(ct, stages))
        found = ct.inside(lungs.sides)
        stages.enter(0.85, "writing the segmentation")
        labels = labels_of(found, ct.grid.voxel_ml)
        judged = found.any() and not ct.is_cropped  # the limits are those of whole lungs
        quality = _quality(lungs, ct, labels) if judged else None
        return Outcome(
            segmentation=write_segmentation(found, ct, output_dir),
            labels=labels,
            notes=notes_on(quality) if judged or not found.any() else (),
            reports=(
                *(quality_reports(quality, output_dir) if quality else ()),
                *picture_report(ct, found, labels, output_dir, parameters),
            ),
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    def _found(self, ct: Ct, stages: Stages) -> Lungs:
        """The body around a box tells what is lung in it, so that the whole is segmented."""
        return lungs_in(
            ct.hu, ct.spacing_mm, self._runner, lambda f, stage: stages.enter(0.2 + 0.65 * f, stage)
        )


def _quality(lungs: Lungs, ct: Ct, labels: tuple[Label, ...]) -> Quality:
    """Raises InferenceError where the segmentation is not usable."""
    signs = signs_of(ct.hu, lungs, ct.spacing_mm)
    quality = quality_of(lungs.sides, ct.hu, labels, signs)
    require_usable(quality)
    return quality


def labels_of(found: Sides, voxel_ml: float) -> tuple[Label, ...]:
    """Left and right, also where they are empty; or a single lung whose side is not known."""
    counts = np.bincount(found.ravel(), minlength=UNSIDED + 1)
    sides = (UNSIDED,) if counts[UNSIDED] else (LEFT, RIGHT)
    return tuple(
        Label(
            value=s,
            name=_NAMES[s],
            rgb=_COLOURS[s],
            volume_ml=round(float(counts[s]) * voxel_ml, 1),
        )
        for s in sides
    )
