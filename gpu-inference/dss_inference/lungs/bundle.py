"""``lung-segmentation``: both lungs of a CT as two labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dss_broker.messages import Label
from dss_inference.bundle import Outcome, Progress, Stages
from dss_inference.images import Ct, read_ct, write_segmentation
from dss_inference.lungs.notes import notes_on
from dss_inference.lungs.quality import quality_of, quality_reports
from dss_inference.lungs.segment import segment_lungs
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.regions import region_of
from dss_inference.runner import Runner

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
        found = stages.alone(self._runner.compute, lambda: self._found(ct, stages))
        stages.enter(0.85, "writing the segmentation")
        labels = labels_of(found, ct.grid.voxel_ml)
        judged = found.any() and not ct.is_cropped  # the limits are those of whole lungs
        quality = quality_of(found, ct.hu, labels) if judged else None
        return Outcome(
            segmentation=write_segmentation(found, ct, output_dir),
            labels=labels,
            notes=notes_on(quality) if judged or not found.any() else (),
            reports=quality_reports(quality, output_dir) if quality else (),
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    def _found(self, ct: Ct, stages: Stages) -> Sides:
        """The body around a box tells what is lung in it, so that the whole is segmented."""
        found = segment_lungs(
            ct.hu, ct.spacing_mm, self._runner, lambda f, stage: stages.enter(0.2 + 0.65 * f, stage)
        )
        return ct.inside(found)


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
