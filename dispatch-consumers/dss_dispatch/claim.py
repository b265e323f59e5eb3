"""The work on one claimed ticket, stage by stage."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from dss_broker.broker import Broker
from dss_broker.messages import (
    AttachedFile,
    ClaimGranted,
    InferenceFinished,
    InferenceProgressed,
    ReportFile,
    ResultFile,
    RunInference,
)
from dss_datastore import layout
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync
from dss_dispatch.claim_events import Reporter
from dss_dispatch.errors import TicketError, Withdrawn
from dss_dispatch.inference.http_inference import infer_at
from dss_dispatch.inference.queue_inference import infer
from dss_dispatch.inference.worker_liveness import Workers
from dss_dispatch.result.gate import check_results
from dss_dispatch.result.picture import PICTURE
from dss_dispatch.result.staging import Segmentation, stage
from dss_dispatch.service import Service
from dss_dispatch.submission.reading import Submission, is_plain_file, read_submission
from dss_observability import metrics, tracing
from dss_observability.tracing import Attributes
from dss_workspace.notes import read_notes

READING, INFERENCE, BUILDING, CHECKING = (0.0, 0.1), (0.1, 0.9), (0.9, 0.95), (0.95, 1.0)
"""The parts of the progress bar, one for each stage."""


@dataclass(frozen=True, kw_only=True)
class ClaimedTicket:
    """A ticket in our hands.  ``withdrawn`` is set when nobody wants it any more.

    Inference is asked of the server at ``service_url``; if that is blank, of the queue.
    """

    claim: ClaimGranted
    service: Service
    datastore: Path
    broker: Broker
    reporter: Reporter
    withdrawn: threading.Event
    workers: Workers
    silence_s: float
    service_url: str = ""

    def process(self) -> tuple[ResultFile, ...]:
        """From the user's files to staged and checked result files.

        Raises TicketError, Withdrawn or NoInference.
        """
        with self._timed("read"):
            submission = self._read()
        with self._timed("inference"):
            finished = self._infer(submission)
        self._tell(finished)
        with self._timed("build"):
            return self._build(submission, finished)

    def clear(self) -> None:
        """Remove all files of the claim."""
        folder = self.datastore / layout.work_dir(self.claim.ticket_id, self.claim.claim_id)
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """A span, and, of stages that come to their end only, a measurement."""
        began_s = time.monotonic()
        claim = self.claim
        about: Attributes = {"dss.ticket": claim.ticket_id, "dss.claim": claim.claim_id}
        with tracing.span(stage, attributes=about):
            yield
        seconds = metrics.DISPATCH_STAGE_SECONDS.labels(self.service.name, stage)
        seconds.observe(time.monotonic() - began_s)

    @property
    def _output_dir(self) -> PurePosixPath:
        return layout.inference_dir(self.claim.ticket_id, self.claim.claim_id)

    @property
    def _scratch(self) -> Path:
        return self.datastore / self._output_dir

    def _read(self) -> Submission:
        self._enter("Reading the workspace.")
        area = self.datastore / layout.area_dir(self.claim.ticket_id, "input")
        submission = read_submission(area, self.service)
        size = " x ".join(str(n) for n in submission.image.size)
        self.reporter.log(f"The layer tagged '{self.service.dispatch.tag}' has {size} voxels.")
        for note in read_notes(submission.workspace):
            self.reporter.log(f"From the sender: {note.text}", note.level)
        for remark in submission.region.remarks:
            self.reporter.log(remark)
        self.reporter.progressed(READING, 1.0)
        return submission

    def _infer(self, submission: Submission) -> InferenceFinished:
        dispatch = self.service.dispatch
        self._enter(f"Asking for inference with '{dispatch.algorithm}'.")
        make_folder(self._scratch)
        area = layout.area_dir(self.claim.ticket_id, "input")
        request = RunInference(
            ticket_id=self.claim.ticket_id,
            claim_id=self.claim.claim_id,
            bundle=dispatch.algorithm,
            image_path=str(area / submission.target.file_name),
            output_dir=str(self._output_dir),
            parameters={
                **dispatch.parameters,
                **dispatch.colour_parameters,
                **submission.region.parameters,
            },
            silence_s=self.silence_s,
        )
        finished = self._ask(
            request,
            on_progress=_Narrator(self.reporter).tell,
            withdrawn=self.withdrawn,
            silence_s=self.silence_s,
        )
        self.reporter.progressed(INFERENCE, 1.0)
        return finished

    @property
    def _ask(self) -> Callable[..., InferenceFinished]:
        if self.service_url:
            return partial(infer_at, self.service_url, self.datastore)
        return partial(infer, self.broker, self.workers)

    def _tell(self, finished: InferenceFinished) -> None:
        """What the algorithm has to say, and how large each label is."""
        for note in finished.notes:
            self.reporter.log(note.text, note.level)
        for label in self.service.styled(finished.labels):
            self.reporter.log(f"{label.name}: {label.volume_ml:.0f} ml")
        self._attach(finished)
        seconds = sum(finished.stage_seconds.values())
        self.reporter.log(f"Inference took {seconds:.1f} s on {finished.device}.")

    def _attach(self, finished: InferenceFinished) -> None:
        """Put the reports where the portal takes them over; the user finds them at a line of the log."""
        if not finished.reports:
            return
        folder = self.datastore / layout.attached_dir(self.claim.ticket_id, self.claim.claim_id)
        make_folder(folder)
        files = [self._left(report, folder) for report in finished.reports]
        sync(folder)
        pictures = tuple(file for file in files if file.mime_type.startswith("image/"))
        others = tuple(file for file in files if file not in pictures)
        if pictures:
            self.reporter.log(PICTURE, attachments=pictures)
        if others:
            self.reporter.log("What was found is attached to this line.", attachments=others)

    def _left(self, report: ReportFile, folder: Path) -> AttachedFile:
        path = self._own_file(report.path)
        link(path, folder / path.name)
        return AttachedFile(
            name=path.name, description=report.description, mime_type=report.mime_type
        )

    def _build(self, submission: Submission, finished: InferenceFinished) -> tuple[ResultFile, ...]:
        self._enter("Building the result workspace.")
        segmentation = Segmentation(
            path=self._own_file(finished.segmentation_path),
            nickname=self.service.dispatch.segmentation,
            labels=self.service.styled(finished.labels),
            landmarks=finished.landmarks,
        )
        folder = self.datastore / layout.staging_dir(self.claim.ticket_id, self.claim.claim_id)
        staged = stage(self.claim.ticket_id, submission, segmentation, folder)
        for remark in staged.remarks:
            self.reporter.log(remark)
        self.reporter.progressed(BUILDING, 1.0)
        self._enter("Checking the result.")
        files = check_results(folder, staged.segmentation)
        self.reporter.progressed(CHECKING, 1.0)
        return files

    def _own_file(self, written: str) -> Path:
        """Raises TicketError if the worker names a file that it was not asked to write."""
        path = PurePosixPath(written)
        if path.parent != self._output_dir or not is_plain_file(self.datastore / path):
            raise TicketError(
                "The inference worker has not left its files where it was asked to. "
                "Please tell the operator the ticket's number."
            )
        return self.datastore / path

    def _enter(self, sentence: str) -> None:
        if self.withdrawn.is_set():
            raise Withdrawn
        self.reporter.log(sentence)


class _Narrator:
    """Passes an inference's progress on, and a line whenever it enters another stage."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._stage = ""

    def tell(self, progress: InferenceProgressed) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._reporter.log(f"Inference: {progress.stage}.")
        self._reporter.progressed(INFERENCE, progress.fraction)
