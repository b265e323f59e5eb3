"""The bundle ``lung-segmentation`` of the inference worker: segments both lungs of a chest CT as two labels, or as one
if left and right cannot be told apart, and reports whether the user should check the result.
"""

from pathlib import Path

from dss_inference.bundle import BundleOutcome, Progress, Stages
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.ct.region import region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.runner import Runner
from dss_inference.errors import IsCancelled
from dss_inference.lungs.judging import judged_lungs, labels_of
from dss_inference.lungs.notes import notes_on
from dss_inference.lungs.quality import quality_reports
from dss_inference.lungs.segment import Lungs, lungs_in
from dss_inference.pictures import picture_report


class LungSegmentation:
    """Segments the lungs by rules, without a trained network, on any device."""

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
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        ct = read_ct(image_path, region_of(parameters), with_surroundings=True)
        lungs = stages.on_device(self._runner.compute, lambda: self._found(ct, stages))
        found = ct.inside(lungs.sides)
        stages.enter(0.85, "writing the segmentation")
        labels = labels_of(found, ct.grid.voxel_ml)
        quality = judged_lungs(lungs, ct)
        return BundleOutcome(
            segmentation=write_segmentation(found, ct, output_dir),
            labels=labels,
            notes=notes_on(quality, boxed=ct.is_cropped, empty=not found.any()),
            reports=(
                *(quality_reports(quality, output_dir) if quality else ()),
                *picture_report(ct, found, labels, output_dir, parameters),
            ),
            verdict=str(quality.verdict) if quality else "",
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    def _found(self, ct: Ct, stages: Stages) -> Lungs:
        """The lungs in the complete image, even if the request marks a box: the body around the box is needed to
        recognise lung.
        """
        return lungs_in(
            ct.hu, ct.spacing_mm, self._runner, lambda f, stage: stages.enter(0.2 + 0.65 * f, stage)
        )
