"""The last step of answering a request: runs the bundle that the request names."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dss_broker.messages import InferenceFinished, ReportFile
from dss_inference.bundle import Bundle, Report
from dss_inference.worker.request import Request


class Computation:
    """Runs bundles by name and makes the answer.  Paths in the answer are relative to the datastore."""

    def __init__(self, bundles: Mapping[str, Bundle]) -> None:
        self._bundles = bundles

    def answer(self, request: Request) -> InferenceFinished:
        message = request.message
        bundle = self._bundles[message.bundle]
        outcome = bundle.run(
            request.image_path,
            request.output_dir,
            message.parameters,
            request.tell,
            partial(request.interest.work_is_unwanted, request.alone_s),
        )
        return InferenceFinished(
            ticket_id=message.ticket_id,
            claim_id=message.claim_id,
            segmentation_path=_relative(outcome.segmentation, request.access.root),
            labels=outcome.labels,
            notes=outcome.notes,
            device=bundle.device,
            stage_seconds=outcome.stage_seconds,
            peak_memory_bytes=outcome.peak_memory_bytes,
            landmarks=outcome.landmarks,
            reports=tuple(_report(each, request.access.root) for each in outcome.reports),
            verdict=outcome.verdict,
        )


def _report(report: Report, root: Path) -> ReportFile:
    return ReportFile(
        path=_relative(report.path, root),
        description=report.description,
        mime_type=report.mime_type,
    )


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
