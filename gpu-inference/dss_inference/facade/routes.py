"""The routes of the facade, the worker's REST interface.  Responses are files or JSON; the JSON of an error contains a
sentence.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from dss_datastore.space import is_disk_full
from dss_inference.errors import InferenceError
from dss_inference.facade.submissions import Submissions
from dss_inference.facade.upload import receive
from dss_inference.worker.request_handler import EXHAUSTED, UNEXPECTED
from dss_observability import tracing
from dss_observability.tracing import TRACEPARENT, SpanKind

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

_FULL = "Too many images wait already; send this one again in a while."
_UNKNOWN = "There is no such result: it was removed, or has never been."
_INTERNAL = ("ticket_id", "claim_id", "segmentation_path", "reports")
_NOT_YET = {"Retry-After": "1"}
_SUBMIT = "/<bundle>/inference"

Handler: TypeAlias = Callable[[Request, Mapping[str, str]], Response]
"""Function that answers a request; it gets the request and the variable parts of the request's path."""


class Facade:
    """The WSGI application of the REST interface.  Refuses requests whose body is larger than ``max_bytes`` with status
    413.
    """

    def __init__(self, submissions: Submissions, max_bytes: int) -> None:
        self._submissions = submissions
        self._max_bytes = max_bytes
        self._routes = Map(
            [
                _rule("GET", "/", self._overview),
                _rule("GET", "/healthz", self._health),
                _rule("POST", _SUBMIT, self._submit),
                _rule("GET", "/results/<result_id>", self._result),
                _rule("DELETE", "/results/<result_id>", self._withdraw),
                _rule("GET", "/results/<result_id>/report", self._report),
                _rule("GET", "/results/<result_id>/reports", self._reports),
                _rule("GET", "/results/<result_id>/reports/<name>", self._report_file),
            ]
        )

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            # Clients concatenate {URL}{Endpoint}; if the URL ends in a slash, the path begins with two.
            path = re.sub("/{2,}", "/", request.path)
            handler: Handler
            handler, values = self._routes.bind_to_environ(request.environ).match(path)
            answer = handler(request, values)
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

    def _overview(self, _: Request, __: Mapping[str, str]) -> Response:
        bundles = [
            {"name": name, "endpoint": f"/{name}/inference", "device": bundle.device}
            for name, bundle in sorted(self._submissions.bundles.items())
        ]
        return _json({"bundles": bundles})

    def _health(self, _: Request, __: Mapping[str, str]) -> Response:
        return _json({"healthy": True})

    def _submit(self, request: Request, values: Mapping[str, str]) -> Response:
        bundle = values["bundle"]
        name = next(
            (n for n in (bundle, bundle.replace("_", "-")) if n in self._submissions.bundles), ""
        )
        if not name:
            known = ", ".join(sorted(self._submissions.bundles))
            return _refused(HTTPStatus.NOT_FOUND, f"There is no '{bundle}'; there is: {known}.")
        if self._submissions.is_full:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, _FULL)
        result_id = self._submissions.store.create()
        try:
            folder = self._submissions.store.folder(result_id)
            with _traced(request, name):
                upload = receive(request.environ, folder, self._max_bytes)
                self._submissions.submit(result_id, name, upload.image_name, upload.parameters)
        except BaseException:
            self._submissions.store.remove(result_id)
            raise
        log.info("image received", extra={"bundle": name, "bytes": request.content_length})
        return _json({"Endpoint": f"/results/{result_id}"})

    def _result(self, request: Request, values: Mapping[str, str]) -> Response:
        result_id = values["result_id"]
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        segmentation = self._submissions.store.segmentation(result_id)
        return _file(request, segmentation, "application/octet-stream")

    def _report(self, _: Request, values: Mapping[str, str]) -> Response:
        result_id = values["result_id"]
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        answer = self._submissions.store.answer(result_id)
        if answer is None:  # removed a moment ago
            return _refused(HTTPStatus.NOT_FOUND, _UNKNOWN)
        report = msgspec.to_builtins(answer.finished)
        fields = {name: value for name, value in report.items() if name not in _INTERNAL}
        return _json({**fields, "reports": self._report_entries(result_id)})

    def _reports(self, _: Request, values: Mapping[str, str]) -> Response:
        result_id = values["result_id"]
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        return _json({"reports": self._report_entries(result_id)})

    def _report_file(self, request: Request, values: Mapping[str, str]) -> Response:
        result_id, name = values["result_id"], values["name"]
        not_finished = self._not_finished(result_id)
        if not_finished is not None:
            return not_finished
        reports = self._submissions.store.reports(result_id)
        if name not in reports:
            known = ", ".join(sorted(reports)) or "none"
            return _refused(
                HTTPStatus.NOT_FOUND, f"There is no report '{name}'; there is: {known}."
            )
        path = self._submissions.store.root / reports[name].path
        return _file(request, path, reports[name].mime_type)

    def _report_entries(self, result_id: str) -> list[dict[str, str]]:
        """Name, description, MIME type and path (Endpoint) of each report file of a finished request."""
        return [
            {
                "name": name,
                "description": report.description,
                "mime_type": report.mime_type,
                "Endpoint": f"/results/{result_id}/reports/{name}",
            }
            for name, report in self._submissions.store.reports(result_id).items()
        ]

    def _withdraw(self, _: Request, values: Mapping[str, str]) -> Response:
        result_id = values["result_id"]
        if not self._submissions.store.exists(result_id):
            return _refused(HTTPStatus.NOT_FOUND, _UNKNOWN)
        self._submissions.withdraw(result_id)
        return Response(status=HTTPStatus.NO_CONTENT)

    def _not_finished(self, result_id: str) -> Response | None:
        """The response if the request has no result: 404 if it is unknown, 202 with the progress if it is not answered,
        422 or 500 with the reason if it failed.  None if it is finished.
        """
        if not self._submissions.store.exists(result_id):
            return _refused(HTTPStatus.NOT_FOUND, _UNKNOWN)
        # Read before the answer, because the answer is stored before the progress is removed.
        progress = self._submissions.progress(result_id)
        answer = self._submissions.store.answer(result_id)
        if answer is None:
            state = {"fraction": progress.fraction, "stage": progress.stage} if progress else {}
            return _json({"state": "working", **state}, HTTPStatus.ACCEPTED, _NOT_YET)
        if answer.failed is None:
            return None
        reason = answer.failed.reason
        unforeseen = reason in (UNEXPECTED, EXHAUSTED)
        return _refused(500 if unforeseen else HTTPStatus.UNPROCESSABLE_ENTITY, reason)


def _rule(method: str, path: str, handler: Handler) -> Rule:
    return Rule(path, endpoint=handler, methods=[method])


@contextmanager
def _traced(request: Request, bundle: str) -> Iterator[None]:
    """A context that continues the requester's trace, if the request names one, for the block and the work that it
    starts.
    """
    attributes = {"http.request.method": "POST", "http.route": _SUBMIT, "dss.bundle": bundle}
    with (
        tracing.in_span_of(tracing.valid(request.headers.get(TRACEPARENT))),
        tracing.span(f"POST {_SUBMIT}", kind=SpanKind.SERVER, attributes=attributes),
    ):
        yield


def _file(request: Request, path: Path, mime_type: str) -> Response:
    try:
        return send_file(path, request.environ, mime_type, as_attachment=True, etag=False)
    except FileNotFoundError:  # removed a moment ago
        return _refused(HTTPStatus.NOT_FOUND, _UNKNOWN)


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(content), status, headers=headers, mimetype="application/json"
    )


def _refused(status: int, sentence: str) -> Response:
    """An error response that closes the connection, because the rest of a body may still arrive on it."""
    return _json({"error": sentence}, status, {"Connection": "close"})
