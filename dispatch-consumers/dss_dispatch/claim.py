"""Processes one claimed ticket in its stages: read the input, run the inference, build the result, check the result."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dss_broker.messages import (
    AttachedFile,
    ClaimGranted,
    InferenceFinished,
    InferenceProgressed,
    ReportFile,
    RunInference,
)
from dss_datastore import layout
from dss_datastore.access import Access
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync
from dss_dispatch.claim_events import ClaimEvents, ClaimOutcome
from dss_dispatch.errors import TicketError, Withdrawn
from dss_dispatch.inference.interface import Inference
from dss_dispatch.result.gate import check_results
from dss_dispatch.result.presentation import PICTURE, labels_left_out, labels_that_fit
from dss_dispatch.result.staging import Segmentation, stage
from dss_dispatch.service import Service
from dss_dispatch.submission.reading import Submission, is_plain_file, read_submission
from dss_observability import metrics, tracing
from dss_observability.tracing import Attributes
from dss_workspace.notes import read_notes

READING, INFERENCE, BUILDING, CHECKING = (0.0, 0.1), (0.1, 0.9), (0.9, 0.95), (0.95, 1.0)
"""The parts of the progress bar, from 0 to 1, one for each stage."""


@dataclass(frozen=True, kw_only=True)
class ClaimedTicket:
    """A ticket that the portal has granted to this dispatcher.

    ``withdrawn`` is set when the claim has ended.  ``silence_s`` is the time in seconds after which a worker without a
    sign of life is given up.
    """

    claim: ClaimGranted
    service: Service
    access: Access
    events: ClaimEvents
    inference: Inference
    withdrawn: threading.Event
    silence_s: float

    def process(self) -> ClaimOutcome:
        """Read the input, run the inference, build and check the result, and return it.

        Raises TicketError, Withdrawn or NoInference; errors of the datastore (OSError, WorkEnded) and of the broker are
        let through.
        """
        began_s = time.monotonic()
        with self._timed("read"):
            submission = self._read()
        asked_s = time.monotonic()
        with self._timed("inference"):
            finished = self._infer(submission)
        waited_s = _waited_s(finished, time.monotonic() - asked_s)
        self._log_findings(finished)
        with self._timed("build"):
            outcome = self._build(submission, finished)
        return replace(outcome, work_s=time.monotonic() - began_s - waited_s)

    def clear(self) -> None:
        """Remove all files of the claim from the datastore."""
        self.access.remove(layout.work_dir(self.claim.ticket_id, self.claim.claim_id))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """A context that traces a stage, and records its duration as a metric if the stage succeeds."""
        began_s = time.monotonic()
        claim = self.claim
        about: Attributes = {"dss.ticket": claim.ticket_id, "dss.claim": claim.claim_id}
        with tracing.span(stage, attributes=about):
            yield
        seconds = metrics.DISPATCH_STAGE_SECONDS.labels(self.service.name, stage)
        seconds.observe(time.monotonic() - began_s)

    @property
    def _input_dir(self) -> PurePosixPath:
        claim = self.claim
        if claim.input_dir:
            return PurePosixPath(claim.input_dir)
        return layout.area_dir(claim.ticket_id, "input")

    @property
    def _output_dir(self) -> PurePosixPath:
        return layout.inference_dir(self.claim.ticket_id, self.claim.claim_id)

    def _read(self) -> Submission:
        self._enter("Reading the workspace.")
        area = self._input_dir
        self.access.fetch(area)
        submission = read_submission(self.access.root / area, self.service)
        size = " x ".join(str(n) for n in submission.image.size)
        self.events.log(f"The layer tagged '{self.service.dispatch.tag}' has {size} voxels.")
        for note in read_notes(submission.workspace):
            self.events.log(f"From the sender: {note.text}", note.level)
        for remark in submission.region.remarks:
            self.events.log(remark)
        self.events.progressed(READING, 1.0)
        return submission

    def _infer(self, submission: Submission) -> InferenceFinished:
        dispatch = self.service.dispatch
        self._enter(f"Asking for inference with '{dispatch.algorithm}'.")
        area = self._input_dir
        request = RunInference(
            ticket_id=self.claim.ticket_id,
            claim_id=self.claim.claim_id,
            bundle=dispatch.algorithm,
            image_path=str(area / submission.target.file_name),
            output_dir=str(self._output_dir),
            parameters={
                **dispatch.texts,
                **dispatch.colour_parameters,
                **submission.region.parameters,
            },
            silence_s=self.silence_s,
        )
        listener = _InferenceProgress(self.events)
        finished = self.inference.run(
            request, self.access, on_progress=listener, withdrawn=self.withdrawn
        )
        self.events.progressed(INFERENCE, 1.0)
        return finished

    def _log_findings(self, finished: InferenceFinished) -> None:
        """Log the algorithm's notes, the volume of each label and the duration; attach the reports."""
        for note in finished.notes:
            self.events.log(note.text, note.level)
        for label in self.service.styled(finished.labels):
            self.events.log(f"{label.name}: {label.volume_ml:.0f} ml")
        self._attach(finished)
        seconds = sum(finished.stage_seconds.values())
        self.events.log(f"Inference took {seconds:.1f} s on {finished.device}.")

    def _attach(self, finished: InferenceFinished) -> None:
        """Link the reports into the folder from which the portal takes attachments.  Add a log line for the pictures
        and one for the other files; without reports do nothing.
        """
        if not finished.reports:
            return
        place = layout.attached_dir(self.claim.ticket_id, self.claim.claim_id)
        folder = self.access.root / place
        make_folder(folder)
        files = [self._left(report, folder) for report in finished.reports]
        sync(folder)
        self.access.put(place)
        pictures = tuple(file for file in files if file.mime_type.startswith("image/"))
        others = tuple(file for file in files if file not in pictures)
        if pictures:
            self.events.log(PICTURE, attachments=pictures)
        if others:
            self.events.log("What was found is attached to this line.", attachments=others)

    def _left(self, report: ReportFile, folder: Path) -> AttachedFile:
        path = self._own_file(report.path)
        link(path, folder / path.name)
        return AttachedFile(
            name=path.name, description=report.description, mime_type=report.mime_type
        )

    def _build(self, submission: Submission, finished: InferenceFinished) -> ClaimOutcome:
        self._enter("Building the result workspace.")
        segmentation = Segmentation(
            path=self._own_file(finished.segmentation_path),
            nickname=self.service.dispatch.segmentation,
            labels=self.service.styled(finished.labels),
            landmarks=finished.landmarks,
        )
        place = layout.staging_dir(self.claim.ticket_id, self.claim.claim_id)
        folder = self.access.root / place
        staged = stage(self.claim.ticket_id, submission, segmentation, folder)
        for remark in (*staged.remarks, *labels_left_out(staged.labels)):
            self.events.log(remark)
        self.events.progressed(BUILDING, 1.0)
        self._enter("Checking the result.")
        files = check_results(folder, staged.segmentation)
        staged_dir = self.access.put_results(place)
        self.events.progressed(CHECKING, 1.0)
        return ClaimOutcome(
            files=files,
            labels=labels_that_fit(staged.labels),
            verdict=finished.verdict,
            device=finished.device,
            staged_dir=str(staged_dir),
        )

    def _own_file(self, written: str) -> Path:
        """The path in the datastore of a file that the worker has written.  Raises TicketError unless it is a regular
        file, no link, directly in the claim's output folder.
        """
        path = PurePosixPath(written)
        if path.parent != self._output_dir or not is_plain_file(self.access.root / path):
            raise TicketError(
                "The inference worker has not left its files where it was asked to. "
                "Please tell the operator the ticket's number."
            )
        return self.access.root / path

    def _enter(self, sentence: str) -> None:
        """Begin a stage, and log ``sentence``.  Raises Withdrawn if the claim has ended."""
        if self.withdrawn.is_set():
            raise Withdrawn
        self.events.log(sentence)


def _waited_s(finished: InferenceFinished, passed_s: float) -> float:
    """The part of ``passed_s`` in which the request waited for a worker.  ``passed_s`` is the time from the request to
    its outcome, in seconds.  Returns 0 if the outcome has no stage times.
    """
    if not finished.stage_seconds:
        return 0.0
    return max(0.0, passed_s - sum(finished.stage_seconds.values()))


class _InferenceProgress:
    """Publishes an inference's progress, and logs each new stage."""

    def __init__(self, events: ClaimEvents) -> None:
        self._events = events
        self._stage = ""

    def __call__(self, progress: InferenceProgressed, /) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._events.log(f"Inference: {progress.stage}.")
        self._events.progressed(INFERENCE, progress.fraction)
