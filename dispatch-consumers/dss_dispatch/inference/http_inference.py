"""Inference by a server over HTTP, with the REST interface of the original inference server.

``POST {url}/<bundle>/inference`` responds with ``{"Endpoint": "/..."}``.  ``GET {url}{Endpoint}`` is repeated until it
responds 200 with the segmentation as NRRD.  Our own server adds progress, reasons of failures and a report.
"""

import io
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dss_broker.messages import (
    InferenceFinished,
    InferenceProgressed,
    Label,
    Note,
    ReportFile,
    RunInference,
)
from dss_datastore.access import Access
from dss_datastore.volume import make_folder
from dss_datastore.writing import replacing
from dss_dispatch.errors import NoInference, TicketError, Withdrawn
from dss_dispatch.inference.http_replies import (
    NOT_UNDERSTOOD,
    ReportEntry,
    ResultReport,
    endpoint_in,
    fields_in,
    reason_in,
    report_in,
)
from dss_dispatch.inference.interface import ProgressListener
from dss_dispatch.ticket_images import IN_GRID, in_grid_of, label_volumes
from dss_images.default_colours import default_colour
from dss_observability import tracing

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two requests for the result."""

EMPTY = "Nothing was found: no voxel has a label."
_SEGMENTATION = "segmentation.nrrd"
_REPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_RETRYABLE = {408, 425, 429, 500, 502, 503, 504, 507}
"""Response statuses after which a later upload may succeed."""
_AWAY = "The inference server of this service does not answer."
_BUSY = "The inference server of this service takes no image now."
_LOST = "The inference server of this service has lost the image."


class HttpInference:
    """Implements ``interface.Inference`` with the server at ``url``.

    Raises NoInference if the server cannot be reached, accepts no image now, has lost the image, answers in a way that
    is not understood, or gives no sign of life for ``silence_s`` seconds.
    """

    def __init__(self, url: str, silence_s: float, proxy: str = "") -> None:
        """``proxy`` is the address of the proxy for ``url``; "" for a direct connection."""
        self._url = url.rstrip("/")
        self._proxy = proxy or None
        self._silence_s = silence_s

    def run(
        self,
        request: RunInference,
        access: Access,
        *,
        on_progress: ProgressListener,
        withdrawn: threading.Event,
    ) -> InferenceFinished:
        target = access.root / request.output_dir / _SEGMENTATION
        make_folder(target.parent)
        with (
            httpx.Client(
                timeout=_TIMEOUT,
                headers=_trace_headers(),
                verify=httpx.create_ssl_context(),  # with SSL_CERT_FILE, which trust_env=False would ignore
                proxy=self._proxy,
                trust_env=False,
            ) as client
        ):
            image = _ServerImage(client=client, url=self._url, request=request, withdrawn=withdrawn)
            endpoint = image.upload(access.root / request.image_path)
            try:
                image.wait_for(endpoint, target, on_progress, self._silence_s)
                target = in_grid_of(target, access.root / request.image_path)
                report = image.report(endpoint, target)
                files = image.download(endpoint, report.reports, target.parent)
                return _finished(request, target, report, files)
            finally:
                image.delete(endpoint)


@dataclass(frozen=True, kw_only=True)
class _ServerImage:
    """One image on the server, from its upload to its deletion there."""

    client: httpx.Client
    url: str
    request: RunInference
    withdrawn: threading.Event
    began_s: float = field(default_factory=time.monotonic)

    def upload(self, image: Path) -> str:
        """Send the image; returns the endpoint of its result.  Raises NoInference if the server is away, busy, or does
        not offer the bundle; TicketError with the server's reason if it refuses the image; Withdrawn.
        """
        address = f"{self.url}/{self.request.bundle.replace('-', '_')}/inference"
        with _WithdrawableFile(image, self.withdrawn) as file, _reachable():
            answer = self.client.post(
                address, files={"itk_image": (image.name, file)}, data=self.request.parameters
            )
        if answer.status_code == httpx.codes.OK:
            return endpoint_in(answer)
        log.warning("image not taken", extra={"status": answer.status_code})
        if answer.status_code in _RETRYABLE or (reason := reason_in(answer)) is None:
            raise NoInference(_BUSY)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NoInference(f"The inference server does not offer '{self.request.bundle}'.")
        raise TicketError(reason)

    def wait_for(
        self, endpoint: str, target: Path, on_progress: ProgressListener, silence_s: float
    ) -> None:
        """Poll until the segmentation is at ``target``.  Errors of the transport are retried.  Raises NoInference after
        ``silence_s`` seconds without a sign of life or if the image is lost; TicketError or Withdrawn.
        """
        heard_s = time.monotonic()
        while True:
            with suppress(httpx.TransportError):
                progress = self._poll(endpoint, target)
                if progress is None:
                    return
                if progress.stage:
                    heard_s = time.monotonic()
                    on_progress(progress)
            if time.monotonic() - heard_s > silence_s:
                raise NoInference(_AWAY)
            if self.withdrawn.wait(POLL_S):
                raise Withdrawn

    def _poll(self, endpoint: str, target: Path) -> InferenceProgressed | None:
        """Request the result once.  Returns the progress, with an empty ``stage`` if the response has no JSON object;
        None once the segmentation is at ``target``.

        Raises TicketError if the inference failed, NoInference if the server has lost the image, Withdrawn, and
        httpx.TransportError.
        """
        with self.client.stream("GET", self.url + endpoint) as answer:
            if answer.status_code == httpx.codes.OK:
                _store(answer.iter_bytes(), target, self.withdrawn)
                return None
            answer.read()
        if (reason := reason_in(answer)) is None:
            return self._progress(answer)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NoInference(_LOST)
        raise TicketError(reason)

    def _progress(self, answer: httpx.Response) -> InferenceProgressed:
        fields = fields_in(answer)
        return InferenceProgressed(
            ticket_id=self.request.ticket_id,
            claim_id=self.request.claim_id,
            fraction=float(fields.get("fraction", 0.0)),
            stage=str(fields.get("stage", "waiting" if fields else "")),
        )

    def report(self, endpoint: str, segmentation: Path) -> ResultReport:
        """Get the report of a result.  If the server has none, like the original server, the labels are read from the
        segmentation.  Raises NoInference if the server is away or the report cannot be read.
        """
        with _reachable():
            answer = self.client.get(f"{self.url}{endpoint}/report")
        if answer.status_code == httpx.codes.OK:
            return report_in(answer)
        labels = tuple(
            Label(
                value=value, name=f"Label {value}", rgb=default_colour(value), volume_ml=volume_ml
            )
            for value, volume_ml in label_volumes(segmentation).items()
        )
        return ResultReport(
            labels=labels,
            notes=() if labels else (Note(level="warning", text=EMPTY),),
            stage_seconds={"remote inference": time.monotonic() - self.began_s},
        )

    def download(
        self, endpoint: str, entries: tuple[ReportEntry, ...], folder: Path
    ) -> tuple[ReportFile, ...]:
        """Download the files of a report into ``folder``, except entries without a name.  Raises NoInference if a file
        has an impossible name or is missing, or if the server is away; Withdrawn.
        """
        return tuple(self._download(endpoint, entry, folder) for entry in entries if entry.name)

    def _download(self, endpoint: str, entry: ReportEntry, folder: Path) -> ReportFile:
        if not _REPORT_NAME.fullmatch(entry.name) or entry.name in {_SEGMENTATION, IN_GRID}:
            raise NoInference(NOT_UNDERSTOOD)
        with (
            _reachable(),
            self.client.stream("GET", f"{self.url}{endpoint}/reports/{entry.name}") as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise NoInference(_LOST)
            _store(answer.iter_bytes(), folder / entry.name, self.withdrawn)
        return ReportFile(
            path=f"{self.request.output_dir}/{entry.name}",
            description=entry.description,
            mime_type=entry.mime_type,
        )

    def delete(self, endpoint: str) -> None:
        """Delete the image and the result on the server, because a patient's image must not stay there.  Errors are
        ignored.
        """
        with suppress(httpx.HTTPError):
            self.client.delete(self.url + endpoint, timeout=5.0)


class _WithdrawableFile(io.FileIO):
    """A file to upload, whose ``read`` raises Withdrawn once the ticket is withdrawn.  This ends the upload."""

    def __init__(self, path: Path, withdrawn: threading.Event) -> None:
        super().__init__(path, "rb")
        self._withdrawn = withdrawn

    def read(self, size: int | None = -1, /) -> bytes:
        if self._withdrawn.is_set():
            raise Withdrawn
        return super().read(-1 if size is None else size) or b""


@contextmanager
def _reachable() -> Iterator[None]:
    """A context that turns errors of the HTTP transport into NoInference."""
    try:
        yield
    except httpx.TransportError as error:
        log.warning("inference server away", extra={"reason": repr(error)})
        raise NoInference(_AWAY) from error


def _store(content: Iterator[bytes], target: Path, withdrawn: threading.Event) -> None:
    with replacing(target) as temporary, temporary.open("wb") as file:
        for chunk in content:
            if withdrawn.is_set():
                raise Withdrawn
            file.write(chunk)


def _trace_headers() -> dict[str, str]:
    """The HTTP header with which the server continues the ticket's trace; {} without a trace."""
    traceparent = tracing.current_traceparent.get()
    return {tracing.TRACEPARENT: traceparent} if traceparent else {}


def _finished(
    request: RunInference, segmentation: Path, report: ResultReport, files: tuple[ReportFile, ...]
) -> InferenceFinished:
    return InferenceFinished(
        ticket_id=request.ticket_id,
        claim_id=request.claim_id,
        segmentation_path=f"{request.output_dir}/{segmentation.name}",
        labels=report.labels,
        notes=report.notes,
        device=report.device,
        stage_seconds=report.stage_seconds,
        peak_memory_bytes=report.peak_memory_bytes,
        landmarks=report.landmarks,
        reports=files,
        verdict=report.verdict,
    )
