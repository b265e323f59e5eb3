"""Gives each request an id, which is in all its log lines, and a span in the client's trace (W3C Trace Context)."""

import re
import uuid

from quart import Quart, Response, g, request

from dss_observability import tracing
from dss_observability.logs import add_log_facts
from dss_observability.tracing import TRACEPARENT, Attributes, SpanKind

REQUEST_ID = "X-Request-Id"
"""Header with the request's id.  The client or its proxy may send one; otherwise the portal makes it.  The response
repeats it.
"""

UNTRACED_PATHS = {"/healthz", "/readyz"}
"""Paths without a span, because probes request them all the time."""


def install(app: Quart) -> None:
    @app.before_request
    async def _name() -> None:
        g.dss_request = _given_id() or uuid.uuid4().hex
        add_log_facts(request=g.dss_request, ticket=(request.view_args or {}).get("ticket_id"))

    @app.before_request
    async def _begin() -> None:
        if request.path in UNTRACED_PATHS:
            return
        route = request.url_rule.rule if request.url_rule else "none"
        g.dss_span = tracing.begin(
            f"{request.method} {route}",
            kind=SpanKind.SERVER,
            parent=tracing.valid(request.headers.get(TRACEPARENT)),
            attributes=_attributes(route),
        )
        tracing.current_traceparent.set(g.dss_span.traceparent)  # only for this request's task

    @app.after_request
    async def _answered(response: Response) -> Response:
        if "dss_request" in g:
            response.headers[REQUEST_ID] = g.dss_request
        if "dss_span" in g:
            status = response.status_code
            g.dss_span.note({"http.response.status_code": status})
            g.dss_span.end(str(status) if status >= 500 else "")
        return response


def _given_id() -> str | None:
    """The id that the client has sent for its request, if it is safe to log; otherwise None."""
    header = request.headers.get(REQUEST_ID, "")
    return header if re.fullmatch(r"[A-Za-z0-9-]{8,64}", header) else None


def _attributes(route: str) -> Attributes:
    """The attributes of the request's span.  The URL is not among them, because it may contain a token or a file name."""
    ticket = (request.view_args or {}).get("ticket_id")
    attributes = {
        "http.request.method": request.method,
        "http.route": route,
        "url.scheme": request.scheme,
    }
    return attributes if ticket is None else {**attributes, "dss.ticket": int(ticket)}
