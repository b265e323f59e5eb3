# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""A MONAI detection bundle as a ``Bundle``: the boxes that it finds become labelled ellipsoids and a list with scores.

The detector of the configuration is called directly.  Windows and the conversion of boxes to world coordinates are done
here, for any orientation.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dss_broker.messages import Label, Note
from dss_images.default_colours import default_colour
from dss_inference.bundle import BundleOutcome, Progress, Report, Stages
from dss_inference.ct.counting import voxels_by_value
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.ct.region import region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.device.runner import device_name, memory_errors
from dss_inference.errors import InferenceError, IsCancelled
from dss_inference.findings import Finding
from dss_inference.monai_bundles import boxes as bx
from dss_inference.monai_bundles.bundle_parts import BundleParts
from dss_inference.monai_bundles.detector_inference import DetectorInference
from dss_inference.monai_bundles.folder import BundleFolder, part_of
from dss_inference.monai_bundles.monai_patches import replace_torchvision
from dss_inference.monai_bundles.network_input import as_tensor, prepared_image
from dss_inference.monai_bundles.network_watch import count_batches, watch_network
from dss_inference.pictures import picture_report
from dss_inference.reports import landmarks_of, write_finding_reports
from dss_inference.worker_metrics import note_batch

LEAST_SCORE = 0.5
MOST = 50
"""Default of the service's parameter ``most``, the largest number of findings; LEAST_SCORE is the default of
``least_score``, the smallest score of a finding.
"""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Findings with their label map ``voxels``, (z, y, x) in the order of ``Ct.hu``."""

    voxels: npt.NDArray[np.uint8]
    findings: tuple[Finding, ...]


class MonaiDetection:
    """One detection bundle with its loaded network.  ``compute`` is the device's thread, which all bundles share; None:
    a thread of its own.
    """

    def __init__(
        self, folder: BundleFolder, device: str, compute: ComputeThread | None = None
    ) -> None:
        replace_torchvision()
        self._folder = folder
        self._compute = compute or ComputeThread()
        self._device = torch.device(device)
        parts = BundleParts(folder, device)
        self._key = parts.image_key
        self._network = parts.network()
        self._preprocess = parts.make("preprocessing")
        detector = parts.make("detector").to(self._device).eval()
        if "detector_ops" in folder.config:
            parts.make("detector_ops")
        self._detect = DetectorInference(detector, self._device, self._compute.memory)

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def device(self) -> str:
        return device_name(self._device)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        least_score = number_in(parameters, "least_score", LEAST_SCORE, 0, 1)
        most = int(number_in(parameters, "most", MOST, 1, 255))
        stages = Stages(progress, cancelled)
        stages.enter(0.0, "reading the image")
        ct = read_ct(image_path, region_of(parameters))
        boxes, affine = stages.on_device(
            self._compute, lambda: self._boxes(ct, stages, progress, cancelled)
        )
        stages.enter(0.85, "drawing what was found")
        sure = bx.sure_boxes(boxes, least_score)
        found = self._found(sure[:most], ct, affine)
        stages.enter(0.9, "writing the segmentation")
        labels = _labels(found, ct.grid.voxel_ml)
        return BundleOutcome(
            segmentation=write_segmentation(found.voxels, ct, output_dir),
            labels=labels,
            notes=(*_left_out(sure, most), *self._notes(found.findings, least_score)),
            landmarks=landmarks_of(found.findings, labels),
            reports=_reports(found, ct, labels, output_dir, parameters),
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    @memory_errors()
    @torch.inference_mode()
    def _boxes(
        self, ct: Ct, stages: Stages, progress: Progress, cancelled: IsCancelled
    ) -> tuple[list[bx.DetectedBox], npt.NDArray[np.float64]]:
        """The boxes that the detector finds, in voxel indices of the preprocessed image, and the affine (4x4) from
        these indices to RAS in mm.  Raises InferenceError for values that are NaN or infinite, MemoryError, Cancelled,
        and the bundle's errors.
        """
        stages.enter(0.05, "preparing the image")
        image = prepared_image(self._preprocess({self._key: as_tensor(ct)}), self._key)
        stages.enter(0.15, "running the network")
        batches = count_batches(self._detect.inferer_for(image), image)
        note = partial(note_batch, self.name)
        with watch_network(self._network, batches, progress, cancelled, note):
            return self._detect(image.as_tensor()), image.affine.numpy()

    def _found(
        self, boxes: list[bx.DetectedBox], ct: Ct, affine: npt.NDArray[np.float64]
    ) -> _Found:
        """Number the boxes as findings and draw their label map; ``affine`` (4x4) maps indices of the prepared image to
        RAS.
        """
        to_prepared = np.linalg.inv(affine) @ as_tensor(ct).affine.numpy()
        voxels = bx.ellipsoids(boxes, to_prepared, ct.hu.shape[::-1]).transpose(2, 1, 0)
        findings = tuple(
            Finding(
                number=number,
                name=self._kind(box.label),
                centre_mm=bx.centre_mm(box, affine),
                diameter_mm=bx.diameter_mm(box, affine),
                score=box.score,
            )
            for number, box in enumerate(boxes, start=1)
        )
        return _Found(voxels=np.ascontiguousarray(voxels), findings=findings)

    def _kind(self, label: int) -> str:
        names = part_of(self._folder.metadata, "outputs", "pred").get("channel_def")
        return str(names.get(str(label), "finding")) if isinstance(names, dict) else "finding"

    def _notes(self, findings: tuple[Finding, ...], least_score: float) -> tuple[Note, ...]:
        lines = [finding.sentence for finding in findings]
        lines = lines or [f"Nothing was found with a score of {least_score:g} or more."]
        origin = f"Found by the MONAI bundle '{self._folder.title}' {self._folder.version}."
        return tuple(Note(level="info", text=text) for text in [*lines, origin])


def _reports(
    found: _Found, ct: Ct, labels: tuple[Label, ...], folder: Path, parameters: dict[str, str]
) -> tuple[Report, ...]:
    """Write the table of the findings and their picture into ``folder``, and return them as reports."""
    return (
        *write_finding_reports(found.findings, folder),
        *picture_report(ct, found.voxels, labels, folder, parameters),
    )


def _left_out(sure: list[bx.DetectedBox], most: int) -> tuple[Note, ...]:
    """A warning if there are more findings than ``most``, the best of which are shown; otherwise ()."""
    if len(sure) <= most:
        return ()
    text = f"{len(sure)} findings reach the score; the {most} with the highest scores are shown."
    return (Note(level="warning", text=text),)


def number_in(
    parameters: dict[str, str], name: str, default: float, least: float, most: float
) -> float:
    """The number in the parameter ``name``, or ``default`` if it is missing.  Raises InferenceError unless it is a
    number from ``least`` to ``most``.
    """
    text = parameters.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise InferenceError(
            f"The parameter {name} is '{text}'; it must be from {least:g} to {most:g}."
        )
    return value


def _labels(found: _Found, voxel_ml: float) -> tuple[Label, ...]:
    counts = voxels_by_value(found.voxels)
    return tuple(
        Label(
            value=finding.number,
            name=finding.title,
            rgb=default_colour(finding.number),
            volume_ml=round(float(counts[finding.number]) * voxel_ml, 3),
        )
        for finding in found.findings
    )
