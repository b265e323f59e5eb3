"""Work that was finished before, for this claim or an earlier one of the ticket: it is not computed twice."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import msgspec

from dss_broker.messages import InferenceFinished, Note, ReportFile, RunInference
from dss_datastore import layout
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync

TAKEN_OVER = Note(
    level="info", text="An earlier attempt had finished this inference; its result is used."
)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """``image`` tells one file from another that was put in its place: size in bytes, time in ns."""

    request: RunInference
    finished: InferenceFinished
    image: tuple[int, int]


def record(
    folder: Path, request: RunInference, finished: InferenceFinished, datastore: Path
) -> None:
    """Beside the segmentation, and only once that is on disk."""
    known = _Record(request=request, finished=finished, image=_image(request, datastore))
    partial = folder / f"partial-{layout.OUTCOME}"
    partial.write_bytes(msgspec.json.encode(known))
    sync(partial)
    partial.replace(folder / layout.OUTCOME)


def earlier_answer(
    folder: Path, request: RunInference, datastore: Path
) -> InferenceFinished | None:
    """What the same work was answered with, if all its files are still there.

    Those of an earlier claim are linked into ``folder``, which is that of ``request``.
    """
    for file in _outcomes(folder, request, datastore):
        try:
            known = msgspec.json.decode(file.read_bytes(), type=_Record)
            if _is_same_work(known, request, datastore):
                return _answered(known, folder, request, datastore)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            continue  # its claim's folder is being removed, or was written by another version
    return None


def _outcomes(folder: Path, request: RunInference, datastore: Path) -> Iterator[Path]:
    """The claim's own first."""
    yield folder / layout.OUTCOME
    if folder == datastore / layout.inference_dir(request.ticket_id, request.claim_id):
        pattern = layout.inference_dir(request.ticket_id, "*") / layout.OUTCOME
        yield from datastore.glob(str(pattern))


def _is_same_work(known: _Record, request: RunInference, datastore: Path) -> bool:
    asked = known.request
    same = replace(
        asked,
        claim_id=request.claim_id,
        output_dir=request.output_dir,
        silence_s=request.silence_s,
    )
    is_own = asked.claim_id == request.claim_id
    is_in_place = is_own == (
        asked.output_dir == request.output_dir
    )  # a folder belongs to one claim
    return same == request and is_in_place and known.image == _image(request, datastore)


def _image(request: RunInference, datastore: Path) -> tuple[int, int]:
    facts = (datastore / request.image_path).stat()
    return facts.st_size, facts.st_mtime_ns


def _answered(
    known: _Record, folder: Path, request: RunInference, datastore: Path
) -> InferenceFinished:
    """Raises FileNotFoundError if a file of it is gone."""
    finished = known.finished
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
    record(folder, request, taken_over, datastore)
    return taken_over


def _moved(finished: InferenceFinished, request: RunInference) -> InferenceFinished:
    """The same for the files in the folder of ``request``."""

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
