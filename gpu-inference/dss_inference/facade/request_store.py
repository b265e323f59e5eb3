"""Stores the requests that arrive over HTTP, and their results, in a folder, so that a restarted process finds them."""

import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from uuid import uuid4

import msgspec

from dss_broker.messages import InferenceFailed, InferenceFinished, ReportFile, RunInference
from dss_datastore.writing import write

log = logging.getLogger(__name__)

_REQUEST, _ANSWER, _STARTS = "request.json", "answer.json", "starts"
_FOUND_ANSWERED, _FOUND_BEGUN = ".found_answered_s", ".found_begun_s"
"""Files with the RunningTime at which the request was first found answered, or was first found being uploaded."""
_SEGMENTATION = "segmentation.nrrd"
_ID = re.compile(r"[0-9a-f]{32}")


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The stored answer to a request; exactly one of its fields is set."""

    finished: InferenceFinished | None = None
    failed: InferenceFailed | None = None


class RequestStore:
    """A folder with one subfolder for each request, named by the request's id.  A client that knows the id may read the
    result, so the id is random.
    """

    def __init__(self, root: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """``root`` is created if it is missing; ``clock_s`` returns seconds that never decrease.  Raises OSError if
        ``root`` is not writable.
        """
        root.mkdir(parents=True, exist_ok=True)
        (root / ".writable").touch()
        self.root = root.resolve()
        self._running = RunningTime(self.root / ".running_s", clock_s)

    def create(self) -> str:
        """Create the folder of a new request and return the request's id."""
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
        """The report files of a finished request, by file name; {} if the request failed or has no answer.  Raises
        OSError if the answer cannot be read.
        """
        answer = self.answer(result_id)
        reports = answer.finished.reports if answer and answer.finished else ()
        return {PurePosixPath(report.path).name: report for report in reports}

    def remove(self, result_id: str) -> None:
        shutil.rmtree(self.root / result_id, ignore_errors=True)

    def keep_request(self, request: RunInference) -> None:
        """Store the request durably in the folder with the name of its ``claim_id``.  From then on this process answers
        it, or a later process after a restart.  Raises OSError.
        """
        write(self.root / request.claim_id / _REQUEST, msgspec.json.encode(request))

    def keep_answer(self, result_id: str, answer: StoredAnswer) -> None:
        write(self.root / result_id / _ANSWER, msgspec.json.encode(answer))

    def answer(self, result_id: str) -> StoredAnswer | None:
        """The stored answer; None while there is none, or for an unknown request.  Raises OSError if it cannot be read,
        msgspec.MsgspecError if it is damaged.
        """
        try:
            raw = (self.root / result_id / _ANSWER).read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(raw, type=StoredAnswer)

    def count_start(self, result_id: str) -> int:
        """Add 1 to the number of processes that have started the request, and return that number."""
        file = self.root / result_id / _STARTS
        starts = _number_in(file) + 1
        file.write_text(str(starts), encoding="utf-8")
        return starts

    def unanswered(self) -> list[RunInference]:
        """Stored requests without an answer, oldest first.  Damaged or unreadable ones are left out, which is logged."""
        waiting = [f for f in self.root.glob(f"*/{_REQUEST}") if not (f.parent / _ANSWER).exists()]
        waiting.sort(key=lambda file: file.stat().st_mtime)
        return [request for file in waiting if (request := _read(file)) is not None]

    def purge(self, older_than_s: float) -> int:
        """Remove requests that were first seen answered, and interrupted uploads that were first seen, more than
        ``older_than_s`` seconds ago.  A request that waits for its answer is kept.  Returns the number of removed
        folders.

        Only time in which a process runs counts (``RunningTime``).  The clocks of the machine and of the volume are not
        used, because a step of either would remove uploads in progress, or keep results for ever.
        """
        now_s = self._running.keep()
        old = [path for path in self.root.iterdir() if self._is_old(path, now_s, older_than_s)]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    def _is_old(self, path: Path, now_s: float, older_than_s: float) -> bool:
        is_answered = (path / _ANSWER).exists()
        waits = (path / _REQUEST).exists() and not is_answered
        if not self.exists(path.name) or waits:
            return False
        note = path / (_FOUND_ANSWERED if is_answered else _FOUND_BEGUN)
        try:
            return now_s - _noted_s(note, now_s) > older_than_s
        except OSError:
            return False  # removed meanwhile, or unreadable


class RunningTime:
    """Measures for how many seconds, in all, processes with this ``file`` have run, from 0 if there is no such file;
    the time never decreases.  A process' time after its last call of ``keep`` is lost.  ``clock_s`` returns seconds of
    a monotonic clock.
    """

    def __init__(self, file: Path, clock_s: Callable[[], float]) -> None:
        self._file, self._clock_s = file, clock_s
        self._began_s = clock_s() - (_seconds_in(file) or 0.0)

    def keep(self) -> float:
        """The running time until now, in seconds.  It is stored in the file, so that the next process continues from
        it.
        """
        now_s = self._clock_s() - self._began_s
        write(self._file, str(now_s).encode())
        return now_s


def _noted_s(file: Path, now_s: float) -> float:
    """The running time in seconds that is noted in ``file``.  If there is none, or it is later than ``now_s``,
    ``now_s`` is written to the file and returned.  Raises OSError.
    """
    noted_s = _seconds_in(file)
    if noted_s is None or noted_s > now_s:  # the file of RunningTime was lost
        write(file, str(now_s).encode())
        return now_s
    return noted_s


def _seconds_in(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _number_in(file: Path) -> int:
    """The number in ``file``; 0 without a file, or if a process was killed while writing it."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def _read(file: Path) -> RunInference | None:
    """The stored request; None if the file is damaged or cannot be read, which is logged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunInference)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("request not read", extra={"id": file.parent.name, "reason": str(error)})
        return None
