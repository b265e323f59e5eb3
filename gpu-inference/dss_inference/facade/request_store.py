"""Stores requests over HTTP and their results in a folder, so that a restarted process finds them."""

import logging
import re
import shutil
import time
from pathlib import Path, PurePosixPath
from uuid import uuid4

import msgspec

from dss_broker.messages import InferenceFailed, InferenceFinished, ReportFile, RunInference
from dss_datastore.writing import write

log = logging.getLogger(__name__)

_REQUEST, _ANSWER, _STARTS = "request.json", "answer.json", "starts"
_SEGMENTATION = "segmentation.nrrd"
_ID = re.compile(r"[0-9a-f]{32}")


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The stored answer to a request; exactly one of its fields is set."""

    finished: InferenceFinished | None = None
    failed: InferenceFailed | None = None


class RequestStore:
    """One folder for each request.  Its name is the only permission to read the result, so it is random."""

    def __init__(self, root: Path) -> None:
        """Raises OSError if ``root`` is not writable."""
        root.mkdir(parents=True, exist_ok=True)
        (root / ".writable").touch()
        self.root = root.resolve()

    def create(self) -> str:
        """Create a folder and return its id."""
        result_id = uuid4().hex
        (self.root / result_id).mkdir()
        return result_id

    def folder(self, result_id: str) -> Path:
        return self.root / result_id

    def exists(self, result_id: str) -> bool:
        return _ID.fullmatch(result_id) is not None and (self.root / result_id).is_dir()

    def segmentation(self, result_id: str) -> Path:
        return self.root / result_id / _SEGMENTATION

    def reports(self, result_id: str) -> dict[str, ReportFile]:
        """The report files of a finished request, by file name."""
        answer = self.answer(result_id)
        reports = answer.finished.reports if answer and answer.finished else ()
        return {PurePosixPath(report.path).name: report for report in reports}

    def remove(self, result_id: str) -> None:
        shutil.rmtree(self.root / result_id, ignore_errors=True)

    def keep_request(self, request: RunInference) -> None:
        """Store the request.  From then on this process or the next one answers it."""
        write(self.root / request.claim_id / _REQUEST, msgspec.json.encode(request))

    def keep_answer(self, result_id: str, answer: StoredAnswer) -> None:
        write(self.root / result_id / _ANSWER, msgspec.json.encode(answer))

    def answer(self, result_id: str) -> StoredAnswer | None:
        """The stored answer; None while there is none."""
        try:
            raw = (self.root / result_id / _ANSWER).read_bytes()
        except OSError:
            return None
        return msgspec.json.decode(raw, type=StoredAnswer)

    def count_start(self, result_id: str) -> int:
        """Add 1 to the number of processes that have started the request, and return that number."""
        file = self.root / result_id / _STARTS
        starts = _number_in(file) + 1
        file.write_text(str(starts), encoding="utf-8")
        return starts

    def unanswered(self) -> list[RunInference]:
        """Stored requests without an answer, oldest first."""
        waiting = [f for f in self.root.glob(f"*/{_REQUEST}") if not (f.parent / _ANSWER).exists()]
        waiting.sort(key=lambda file: file.stat().st_mtime)
        return [request for file in waiting if (request := _read(file)) is not None]

    def purge(self, older_than_s: float) -> int:
        """Remove requests that were answered, or whose upload was interrupted, more than ``older_than_s`` ago.
        Returns their number.
        """
        latest = time.time() - older_than_s
        old = [path for path in self.root.iterdir() if self._is_over(path, latest)]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    def _is_over(self, path: Path, latest: float) -> bool:
        waits = (path / _REQUEST).exists() and not (path / _ANSWER).exists()
        try:
            return self.exists(path.name) and not waits and path.stat().st_mtime < latest
        except OSError:
            return False  # removed meanwhile, or unreadable


def _number_in(file: Path) -> int:
    """The number in ``file``; 0 without a file, or if a process was killed while writing it."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def _read(file: Path) -> RunInference | None:
    """The stored request; None if the file is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunInference)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("request not read", extra={"id": file.parent.name, "reason": str(error)})
        return None
