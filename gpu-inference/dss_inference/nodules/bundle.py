"""The bundle ``nodule-detection`` of the inference worker: marks round structures in the lungs of a CT as candidates
that a reader has to check.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dss_broker.messages import Label, Note
from dss_images.default_colours import default_colour
from dss_inference.bundle import BundleOutcome, Progress, Stages
from dss_inference.ct.counting import voxels_by_value
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.ct.region import region_of
from dss_inference.ct.writing import write_segmentation
from dss_inference.device.runner import Runner
from dss_inference.errors import IsCancelled
from dss_inference.findings import Finding
from dss_inference.lungs.judging import judged_lungs
from dss_inference.lungs.notes import NO_LUNG, verdict_on
from dss_inference.lungs.quality import Quality
from dss_inference.lungs.segment import lungs_in
from dss_inference.nodules.candidates import MOST, Candidate, candidates_in
from dss_inference.nodules.lungspace import LungSpace, lung_space
from dss_inference.nodules.outline import Outline, label_map_of, outline_of
from dss_inference.nodules.search import NO_SEARCH, Search, search_of
from dss_inference.nodules.search_report import none_found, search_notes, search_reports
from dss_inference.pictures import picture_report
from dss_inference.reports import landmarks_of, write_finding_reports

_LIMITS = (
    "These are candidates by their shape, not diagnoses: vessels are among them, and nodules may be "
    "missing, above all faint ones, those under 4 mm, those no larger than a slice is thick, and those that lie "
    f"in the chest wall or the mediastinum for a good part. At most {MOST} are shown."
)
NOT_SEARCHED = f"{NO_LUNG} Nothing was searched."
NOT_IN_BOX = "No lung was found in the marked box. Nothing was searched."
_THICK_MM = 3.0


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a run has found: the findings, their label map ``voxels`` (z, y, x) in the order of ``Ct.hu``, the notes for
    the user, and how much of the lungs was searched.
    """

    voxels: npt.NDArray[np.uint8]
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    search: Search


class NoduleDetection:
    """Detects nodules by rules, without a trained network, on any device."""

    name = "nodule-detection"

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
        found = stages.on_device(self._runner.compute, lambda: self._found(ct, stages))
        stages.enter(0.9, "writing the segmentation")
        labels = labels_of(found.findings, found.voxels, ct.grid.voxel_ml)
        return BundleOutcome(
            segmentation=write_segmentation(found.voxels, ct, output_dir),
            labels=labels,
            notes=found.notes,
            landmarks=landmarks_of(found.findings, labels),
            reports=(
                *write_finding_reports(
                    found.findings, output_dir, {"search": asdict(found.search)}
                ),
                *search_reports(found.search, output_dir),
                *picture_report(ct, found.voxels, labels, output_dir, parameters),
            ),
            verdict=found.search.conclusion if found.search is not NO_SEARCH else "",
            stage_seconds=stages.seconds(),
            peak_memory_bytes=stages.peak_memory_bytes,
        )

    def _found(self, ct: Ct, stages: Stages) -> _Found:
        whole = lungs_in(
            ct.hu, ct.spacing_mm, self._runner, lambda f, s: stages.enter(0.15 + 0.35 * f, s)
        )
        quality = judged_lungs(whole, ct)
        if quality is None:
            return _nothing(ct, NO_SEARCH, NOT_SEARCHED)
        search = search_of(whole, quality, ct)
        notes = (*quality_notes(quality), *search_notes(search))
        lungs = ct.inside(whole.sides)
        if not lungs.any():
            return _nothing(ct, search, NOT_IN_BOX, *notes)
        stages.enter(0.5, "enlarging the lungs")
        space = lung_space(ct.hu, lungs, ct.spacing_mm, self._runner)
        candidates = candidates_in(space, lambda f, s: stages.enter(0.55 + 0.35 * f, s))
        outlines = [outline_of(c.shape, space, ct.hu, ct.spacing_mm) for c in candidates]
        findings = findings_of(candidates, outlines, space, ct)
        return _Found(
            voxels=label_map_of(outlines, ct.hu.shape),
            findings=findings,
            notes=(*notes, *notes_on(findings, ct, search)),
            search=search,
        )


def quality_notes(quality: Quality) -> Iterator[Note]:
    """Notes for the user on the lungs in which nodules are searched: the verdict on them, then its reasons."""
    yield verdict_on(quality)
    for flag in quality.flags:
        yield Note(level="warning", text=flag.text)


def _nothing(ct: Ct, search: Search, why: str, *before: Note) -> _Found:
    return _Found(
        voxels=np.zeros(ct.hu.shape, np.uint8),
        findings=(),
        notes=(Note(level="warning", text=why), *before),
        search=search,
    )


def findings_of(
    candidates: Sequence[Candidate], outlines: Sequence[Outline], space: LungSpace, ct: Ct
) -> tuple[Finding, ...]:
    """Findings, numbered from 1 in the given order as in the label map, with their centres in the patient (LPS, mm).
    The outline at a position belongs to the candidate at the same position.
    """
    return tuple(
        Finding(
            number=number,
            name="candidate",
            centre_mm=_place_mm(candidate, space, ct),
            diameter_mm=round(outline.diameter_mm, 2),
            score=round(candidate.score, 4),
        )
        for number, (candidate, outline) in enumerate(
            zip(candidates, outlines, strict=True), start=1
        )
    )


def _place_mm(candidate: Candidate, space: LungSpace, ct: Ct) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in ct.point_mm(space.in_image(candidate.shape.centre)))
    return round(x, 2), round(y, 2), round(z, 2)


def labels_of(
    findings: Sequence[Finding], voxels: npt.NDArray[np.uint8], voxel_ml: float
) -> tuple[Label, ...]:
    """The labels of the findings, with their volumes in the label map ``voxels``.  A label's value is the finding's
    number; its name contains the diameter and the score.  ``voxel_ml`` is the volume of a voxel.
    """
    counts = voxels_by_value(voxels)
    return tuple(
        Label(
            value=finding.number,
            name=finding.title,
            rgb=default_colour(finding.number),
            volume_ml=round(float(counts[finding.number]) * voxel_ml, 3),
        )
        for finding in findings
    )


def notes_on(findings: Sequence[Finding], ct: Ct, search: Search) -> tuple[Note, ...]:
    """Notes for the user: a warning if voxels are longer than 3 mm; the position of each finding, or that there is
    none; then limits that the user should know.
    """
    lines = [finding.sentence for finding in findings]
    info = [Note(level="info", text=line) for line in [*lines, _LIMITS]]
    if not findings:
        info.insert(0, none_found(search))
    if max(ct.spacing_mm) <= _THICK_MM:
        return tuple(info)
    thick = f"The voxels are up to {max(ct.spacing_mm):g} mm long; small nodules cannot be seen."
    return (Note(level="warning", text=thick), *info)
