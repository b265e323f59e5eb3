"""Records finished answers on disk, so that work is not computed again for the same claim or another claim of the
ticket.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import msgspec

from dss_broker.messages import InferenceFinished, Note, ReportFile, RunInference
from dss_datastore import layout
from dss_datastore.access import Access
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync, write
from dss_inference.errors import InferenceError
from dss_inference.worker.request import AnswerStep, Request
from dss_observability import metrics

log = logging.getLogger(__name__)

TAKEN_OVER = Note(
    level="info", text="An earlier attempt had finished this inference; its result is used."
)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """A recorded answer with its request.  ``image`` is the image's size in bytes and the time of its last change in
    ns; if the image has other values now, it was replaced, and the answer is not used.
    """

    request: RunInference
    finished: InferenceFinished
    image: tuple[int, int]


class RecordedAnswers:
    """A step in answering a request: returns an answer that is recorded for the same work and whose files exist;
    otherwise passes the request to the next step and records that step's answer.  Raises InferenceError if the
    datastore lacks the image.
    """

    def __init__(self, next_step: AnswerStep) -> None:
        self._next_step = next_step

    def answer(self, request: Request) -> InferenceFinished:
        message, access = request.message, request.access
        _fetch(request)
        earlier = _earlier_answer(request.output_dir, message, access)
        if earlier is not None:
            metrics.INFERENCE_REQUESTS.labels(message.bundle, "repeated").inc()
            log.info("inference finished before", extra=dict(request.facts))
            return earlier
        if not request.image_path.is_file():
            raise InferenceError("The image is not in the datastore.")
        make_folder(request.output_dir)
        finished = self._next_step.answer(request)
        _record(request.output_dir, message, finished, access)
        _measure(request, finished)
        return finished


def _fetch(request: Request) -> None:
    """Copy the image, the request's own output folder, and the answers that other claims of the ticket have recorded,
    from the datastore to ``request.access.root``, the local folder.  What is missing is left out.
    """
    message, access = request.message, request.access
    access.fetch(PurePosixPath(message.image_path))
    access.fetch(PurePosixPath(message.output_dir))
    work = layout.inference_dir(message.ticket_id, message.claim_id).parent.parent
    if PurePosixPath(message.output_dir).is_relative_to(work):
        access.fetch(work, only=layout.OUTCOME)


def _measure(request: Request, finished: InferenceFinished) -> None:
    metrics.INFERENCE_REQUESTS.labels(request.message.bundle, "finished").inc()
    for stage, seconds in finished.stage_seconds.items():
        metrics.INFERENCE_STAGE_SECONDS.labels(request.message.bundle, stage).observe(seconds)
    total_s = round(sum(finished.stage_seconds.values()), 2)
    log.info("inference finished", extra={**request.facts, "seconds": total_s})


def _record(
    folder: Path, request: RunInference, finished: InferenceFinished, access: Access
) -> None:
    """Write the answer to ``folder``, beside the segmentation, and put the folder into the datastore, the answer last."""
    known = _Record(request=request, finished=finished, image=_image(request, access.root))
    write(folder / layout.OUTCOME, msgspec.json.encode(known))
    access.put(PurePosixPath(request.output_dir), last=layout.OUTCOME)


def _earlier_answer(
    folder: Path, request: RunInference, access: Access
) -> InferenceFinished | None:
    """The first recorded answer to the same work that is readable and has all its files; None if there is none.

    Files of an earlier claim are linked into ``folder``, the output folder of ``request``, and recorded there, too.
    """
    for file in _records(folder, request, access.root):
        try:
            known = msgspec.json.decode(file.read_bytes(), type=_Record)
            if _is_same_work(known, request, access.root):
                return _answered(known, folder, request, access)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            continue  # the folder is being removed, or a program of another version wrote the record
    return None


def _records(folder: Path, request: RunInference, datastore: Path) -> Iterator[Path]:
    """Paths where answers may be recorded: that of the request's own claim, which may not exist, then those of other
    claims of the ticket, if ``folder`` is the output folder that ``layout`` gives the claim.
    """
    yield folder / layout.OUTCOME
    if folder == datastore / layout.inference_dir(request.ticket_id, request.claim_id):
        pattern = layout.inference_dir(request.ticket_id, "*") / layout.OUTCOME
        yield from datastore.glob(str(pattern))


def _is_same_work(known: _Record, request: RunInference, datastore: Path) -> bool:
    recorded = known.request
    same = replace(
        recorded,
        claim_id=request.claim_id,
        output_dir=request.output_dir,
        silence_s=request.silence_s,
    )
    is_same_claim = recorded.claim_id == request.claim_id
    is_same_folder = recorded.output_dir == request.output_dir  # a folder belongs to one claim
    is_same_image = known.image == _image(request, datastore)
    return same == request and is_same_claim == is_same_folder and is_same_image


def _image(request: RunInference, datastore: Path) -> tuple[int, int]:
    facts = (datastore / request.image_path).stat()
    return facts.st_size, facts.st_mtime_ns


def _answered(
    known: _Record, folder: Path, request: RunInference, access: Access
) -> InferenceFinished:
    """The recorded answer; that of another claim is adapted to the claim and the output folder of ``request``, its
    files are linked there, and it is recorded.  Raises FileNotFoundError if one of its files is missing.
    """
    finished, datastore = known.finished, access.root
    access.fetch(PurePosixPath(known.request.output_dir))
    files = [finished.segmentation_path, *(report.path for report in finished.reports)]
    if finished.claim_id == request.claim_id:
        for file in files:
            (datastore / file).stat()
        return finished
    make_folder(folder)
    for file in files:
        link(datastore / file, folder / PurePosixPath(file).name)
    sync(folder)
    taken_over = _moved(finished, request)
    _record(folder, request, taken_over, access)
    return taken_over


def _moved(finished: InferenceFinished, request: RunInference) -> InferenceFinished:
    """``finished`` with the claim and the output folder of ``request``, and a note that the result was taken over."""

    def moved(path: str) -> str:
        return f"{request.output_dir}/{PurePosixPath(path).name}"

    def moved_report(report: ReportFile) -> ReportFile:
        return replace(report, path=moved(report.path))

    notes = tuple(note for note in finished.notes if note != TAKEN_OVER)
    return replace(
        finished,
        claim_id=request.claim_id,
        segmentation_path=moved(finished.segmentation_path),
        reports=tuple(moved_report(report) for report in finished.reports),
        notes=(TAKEN_OVER, *notes),
    )
