"""Which address does what.  Every answer but the segmentation is JSON; every error a sentence."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from dss_datastore.space import is_disk_full
from dss_inference.errors import InferenceError
from dss_inference.facade.submissions import Desk
from dss_inference.facade.upload import receive
from dss_inference.worker.handling import EXHAUSTED, UNEXPECTED
from dss_observability import tracing
from dss_observability.tracing import TRACEPARENT, Kind

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

_FULL = "Too many images wait already; send this one again in a while."
_GONE = "There is no such result: it was removed, or has never been."
_OWN = ("ticket_id", "claim_id", "segmentation_path", "reports")
_NOT_YET = {"Retry-After": "1"}
_SUBMIT = "/<bundle>/inference"
_ROUTES = Map(
    [
        Rule("/", endpoint="overview", methods=["GET"]),
        Rule("/healthz", endpoint="health", methods=["GET"]),
        Rule(_SUBMIT, endpoint="submit", methods=["POST"]),
        Rule("/results/<result_id>", endpoint="result", methods=["GET"]),
        Rule("/results/<result_id>", endpoint="withdraw", methods=["DELETE"]),
        Rule("/results/<result_id>/report", endpoint="report", methods=["GET"]),
        Rule("/results/<result_id>/reports", endpoint="reports", methods=["GET"]),
        Rule("/results/<result_id>/reports/<name>", endpoint="report_file", methods=["GET"]),
    ]
)


class Facade:
    """A WSGI application."""

    def __init__(self, desk: Desk, max_bytes: int) -> None:
        self._desk = desk
        self._max_bytes = max_bytes

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            path = re.sub(
                "/{2,}", "/", request.path
            )  # {URL}{Endpoint}, and the URL ends in a slash
            endpoint, values = _ROUTES.bind_to_environ(request.environ).match(path)
            answer: Response = getattr(self, f"_{endpoint}")(request, **values)
        except RequestEntityTooLarge:
            sentence = f"The request is larger than the {self._max_bytes} bytes that are taken."
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
        except HTTPException as error:
            return _refused(error.code or 500, error.description or error.name)
        except InferenceError as error:
            return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except OSError as error:
            if not is_disk_full(error):
                raise
            return _refused(HTTPStatus.INSUFFICIENT_STORAGE, EXHAUSTED)
        return answer

    def _overview(self, _: Request) -> Response:
        bundles = [
            {"name": name, "endpoint": f"/{name}/inference", "device": bundle.device}
            for name, bundle in sorted(self._desk.bundles.items())
        ]
        return _json({"bundles": bundles})

    def _health(self, _: Request) -> Response:
        return _json({"healthy": True})

    def _submit(self, request: Request, bundle: str) -> Response:
        name = next((n for n in (bundle, bundle.replace("_", "-")) if n in self._desk.bundles), "")
        if not name:
            known = ", ".join(sorted(self._desk.bundles))
            return _refused(HTTPStatus.NOT_FOUND, f"There is no '{bundle}'; there is: {known}.")
        if self._desk.is_full:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, _FULL)
        result_id = self._desk.results.create()
        try:
            folder = self._desk.results.folder(result_id)
            with _traced(request, name):
                upload = receive(request.environ, folder, self._max_bytes)
                self._desk.submit(result_id, name, upload.image_name, upload.parameters)
        except BaseException:
            self._desk.results.remove(result_id)
            raise
        log.info("image received", extra={"bundle": name, "bytes": request.content_length})
        return _json({"Endpoint": f"/results/{result_id}"})

    def _result(self, request: Request, result_id: str) -> Response:
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        mask = self._desk.results.mask(result_id)
        return _file(request, mask, "application/octet-stream")

    def _report(self, _: Request, result_id: str) -> Response:
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        answer = self._desk.results.answer(result_id)
        if answer is None:  # removed in this moment
            return _refused(HTTPStatus.NOT_FOUND, _GONE)
        report = msgspec.to_builtins(answer.finished)
        told = {name: value for name, value in report.items() if name not in _OWN}
        return _json({**told, "reports": self._listed(result_id)})

    def _reports(self, _: Request, result_id: str) -> Response:
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        return _json({"reports": self._listed(result_id)})

    def _report_file(self, request: Request, result_id: str, name: str) -> Response:
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        reports = self._desk.results.reports(result_id)
        if name not in reports:
            known = ", ".join(sorted(reports)) or "none"
            return _refused(
                HTTPStatus.NOT_FOUND, f"There is no report '{name}'; there is: {known}."
            )
        path = self._desk.results.root / reports[name].path
        return _file(request, path, reports[name].mime_type)

    def _listed(self, result_id: str) -> list[dict[str, str]]:
        """Of each file beside the mask: what it is, and where."""
        return [
            {
                "name": name,
                "description": report.description,
                "mime_type": report.mime_type,
                "Endpoint": f"/results/{result_id}/reports/{name}",
            }
            for name, report in self._desk.results.reports(result_id).items()
        ]

    def _withdraw(self, _: Request, result_id: str) -> Response:
        if not self._desk.results.exists(result_id):
            return _refused(HTTPStatus.NOT_FOUND, _GONE)
        self._desk.withdraw(result_id)
        return Response(status=HTTPStatus.NO_CONTENT)

    def _not_finished(self, result_id: str) -> Response | None:
        """What to say instead of the result; None if there is one."""
        if not self._desk.results.exists(result_id):
            return _refused(HTTPStatus.NOT_FOUND, _GONE)
        progress = self._desk.progress(result_id)  # before the answer, which comes first
        answer = self._desk.results.answer(result_id)
        if answer is None:
            state = {"fraction": progress.fraction, "stage": progress.stage} if progress else {}
            return _json({"state": "working", **state}, HTTPStatus.ACCEPTED, _NOT_YET)
        if answer.failed is None:
            return None
        reason = answer.failed.reason
        unforeseen = reason in (UNEXPECTED, EXHAUSTED)
        return _refused(500 if unforeseen else HTTPStatus.UNPROCESSABLE_ENTITY, reason)


@contextmanager
def _traced(request: Request, bundle: str) -> Iterator[None]:
    """The block is part of the trace of whoever asks, and so is the work that it begins."""
    asked = {"http.request.method": "POST", "http.route": _SUBMIT, "dss.bundle": bundle}
    with (
        tracing.within(tracing.valid(request.headers.get(TRACEPARENT))),
        tracing.span(f"POST {_SUBMIT}", kind=Kind.SERVER, attributes=asked),
    ):
        yield


def _file(request: Request, path: Path, mime_type: str) -> Response:
    try:
        return send_file(path, request.environ, mime_type, as_attachment=True, etag=False)
    except FileNotFoundError:  # removed in this moment
        return _refused(HTTPStatus.NOT_FOUND, _GONE)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(content), status, headers=headers, mimetype="application/json"
    )


def _refused(status: int, sentence: str) -> Response:
    """The connection ends, because the rest of a body may still be on its way."""
    return _json({"error": sentence}, status, {"Connection": "close"})
