"""One inference, asked of a server over HTTP instead of the queue: the REST interface of the old one.

``POST {url}/<bundle>/inference`` answers ``{"Endpoint": "/..."}``; ``GET {url}{Endpoint}`` is asked until it
answers 200 with the segmentation as NRRD.  Ours says more (progress, reasons, a report) than the old one did.
"""

import io
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from dss_broker.messages import (
    InferenceFinished,
    InferenceProgressed,
    Label,
    Landmark,
    Note,
    ReportFile,
    RunInference,
)
from dss_datastore.writing import replacing
from dss_dispatch.errors import NoInference, TicketError, Withdrawn
from dss_dispatch.ticket_images import label_volumes
from dss_observability import tracing

log = logging.getLogger(__name__)

ASK_S = 1.0
"""How long is waited between two questions."""

_NAME = "segmentation.nrrd"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""Names of reports."""
_TIMES = httpx.Timeout(60.0, connect=10.0)
_PASSING = {408, 425, 429, 500, 502, 503, 504, 507}
"""To an upload: another try may be taken."""
_AWAY = "The inference server of this service does not answer."
_BUSY = "The inference server of this service takes no image now."
_LOST = "The inference server of this service has lost the image."
_NOT_OURS = "The inference server of this service answers in a way that is not understood."


class _File(msgspec.Struct, kw_only=True):
    """A list of findings or a report; a server of an earlier version names none."""

    name: str = ""
    description: str = ""
    mime_type: str = "application/octet-stream"


class _Report(msgspec.Struct, kw_only=True):
    """What our server says of a result; an old one says nothing."""

    labels: tuple[Label, ...]
    notes: tuple[Note, ...] = ()
    device: str = "a remote server"
    stage_seconds: dict[str, float] = {}
    peak_memory_bytes: int = 0
    landmarks: tuple[Landmark, ...] = ()
    reports: tuple[_File, ...] = ()


def infer_at(
    url: str,
    datastore: Path,
    request: RunInference,
    *,
    on_progress: Callable[[InferenceProgressed], None],
    withdrawn: threading.Event,
    silence_s: float,
) -> InferenceFinished:
    """Wait for the end of it, hours if need be.

    Raises TicketError with the server's reason, Withdrawn, or NoInference if the server cannot be
    reached, takes nothing now, or is not heard of for ``silence_s``.
    """
    with httpx.Client(timeout=_TIMES, headers=_trace()) as client:
        remote = _Remote(client=client, url=url.rstrip("/"), request=request, withdrawn=withdrawn)
        endpoint = remote.send(datastore / request.image_path)
        try:
            target = datastore / request.output_dir / _NAME
            remote.wait_for(endpoint, target, on_progress, silence_s)
            report = remote.report(endpoint, target)
            files = remote.fetch(endpoint, report.reports, target.parent)
            return _finished(request, target, report, files)
        finally:
            remote.remove(endpoint)


@dataclass(frozen=True, kw_only=True)
class _Remote:
    client: httpx.Client
    url: str
    request: RunInference
    withdrawn: threading.Event
    began_s: float = field(default_factory=time.monotonic)

    def send(self, image: Path) -> str:
        """Where the answer will be."""
        address = f"{self.url}/{self.request.bundle.replace('-', '_')}/inference"
        with _Watched(image, self.withdrawn) as file, _reachable():
            answer = self.client.post(
                address, files={"itk_image": (image.name, file)}, data=self.request.parameters
            )
        if answer.status_code == httpx.codes.OK:
            return _endpoint(answer)
        log.warning("image not taken", extra={"status": answer.status_code})
        if answer.status_code in _PASSING or (reason := _reason(answer)) is None:
            raise NoInference(_BUSY)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NoInference(f"The inference server does not offer '{self.request.bundle}'.")
        raise TicketError(reason)

    def wait_for(
        self,
        endpoint: str,
        target: Path,
        on_progress: Callable[[InferenceProgressed], None],
        silence_s: float,
    ) -> None:
        """Returns when the segmentation is at ``target``."""
        heard_s = time.monotonic()
        while True:
            with suppress(httpx.TransportError):
                progress = self._ask(endpoint, target)
                if progress is None:
                    return
                if progress.stage:
                    heard_s = time.monotonic()
                    on_progress(progress)
            if time.monotonic() - heard_s > silence_s:
                raise NoInference(_AWAY)
            if self.withdrawn.wait(ASK_S):
                raise Withdrawn

    def _ask(self, endpoint: str, target: Path) -> InferenceProgressed | None:
        """None once the segmentation was fetched.  Without a stage, the server said nothing useful."""
        with self.client.stream("GET", self.url + endpoint) as answer:
            if answer.status_code == httpx.codes.OK:
                _store(answer.iter_bytes(), target, self.withdrawn)
                return None
            answer.read()
        if (reason := _reason(answer)) is None:
            return self._progress(answer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NoInference(_LOST)
        raise TicketError(reason)

    def _progress(self, answer: httpx.Response) -> InferenceProgressed:
        told = _json(answer)
        return InferenceProgressed(
            ticket_id=self.request.ticket_id,
            claim_id=self.request.claim_id,
            fraction=float(told.get("fraction", 0.0)),
            stage=str(told.get("stage", "waiting" if told else "")),
        )

    def report(self, endpoint: str, mask: Path) -> _Report:
        """An old server has none: there the values speak for themselves."""
        with _reachable():
            answer = self.client.get(f"{self.url}{endpoint}/report")
        if answer.status_code == httpx.codes.OK:
            with _understood():
                return msgspec.json.decode(answer.content, type=_Report)
        return _Report(
            labels=tuple(
                Label(value=value, name=f"Label {value}", rgb=(255, 0, 0), volume_ml=volume_ml)
                for value, volume_ml in label_volumes(mask).items()
            ),
            stage_seconds={"remote inference": time.monotonic() - self.began_s},
        )

    def fetch(
        self, endpoint: str, files: tuple[_File, ...], folder: Path
    ) -> tuple[ReportFile, ...]:
        """What lies beside the segmentation, into ``folder`` too."""
        return tuple(self._fetched(endpoint, file, folder) for file in files if file.name)

    def _fetched(self, endpoint: str, file: _File, folder: Path) -> ReportFile:
        if not _PLAIN.fullmatch(file.name) or file.name == _NAME:
            raise NoInference(_NOT_OURS)
        with (
            _reachable(),
            self.client.stream("GET", f"{self.url}{endpoint}/reports/{file.name}") as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise NoInference(_LOST)
            _store(answer.iter_bytes(), folder / file.name, self.withdrawn)
        return ReportFile(
            path=f"{self.request.output_dir}/{file.name}",
            description=file.description,
            mime_type=file.mime_type,
        )

    def remove(self, endpoint: str) -> None:
        """It is ours now, or nobody's: a patient's image stays nowhere longer than needed."""
        with suppress(httpx.HTTPError):
            self.client.delete(self.url + endpoint, timeout=5.0)


class _Watched(io.FileIO):
    """A file whose upload ends when the ticket is withdrawn."""

    def __init__(self, path: Path, withdrawn: threading.Event) -> None:
        super().__init__(path, "rb")
        self._withdrawn = withdrawn

    def read(self, size: int | None = -1, /) -> bytes:
        if self._withdrawn.is_set():
            raise Withdrawn
        return super().read(-1 if size is None else size) or b""


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        log.warning("inference server away", extra={"reason": repr(error)})
        raise NoInference(_AWAY) from error


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except msgspec.MsgspecError as error:
        raise NoInference(_NOT_OURS) from error


def _endpoint(answer: httpx.Response) -> str:
    endpoint = _json(answer).get("Endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith("/"):
        raise NoInference(_NOT_OURS)
    return endpoint


def _reason(answer: httpx.Response) -> str | None:
    """The sentence of an error; None if it has none, as those of old servers and of proxies."""
    reason = _json(answer).get("error")
    return reason if isinstance(reason, str) and reason.isprintable() else None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _store(content: Iterator[bytes], target: Path, withdrawn: threading.Event) -> None:
    with replacing(target) as temporary, temporary.open("wb") as file:
        for chunk in content:
            if withdrawn.is_set():
                raise Withdrawn
            file.write(chunk)


def _trace() -> dict[str, str]:
    """For the server to go on with."""
    traceparent = tracing.current_traceparent.get()
    return {tracing.TRACEPARENT: traceparent} if traceparent else {}


def _finished(
    request: RunInference, mask: Path, report: _Report, files: tuple[ReportFile, ...]
) -> InferenceFinished:
    return InferenceFinished(
        ticket_id=request.ticket_id,
        claim_id=request.claim_id,
        segmentation_path=f"{request.output_dir}/{mask.name}",
        labels=report.labels,
        notes=report.notes,
        device=report.device,
        stage_seconds=report.stage_seconds,
        peak_memory_bytes=report.peak_memory_bytes,
        landmarks=report.landmarks,
        reports=files,
    )
