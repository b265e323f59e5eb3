"""Each request as a span, and the trace of whoever asks carried on to what comes of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from quart import Quart, Response, g, request

from dss_observability import tracing
from dss_observability.tracing import TRACEPARENT, Attributes, Kind
from dss_portal.models import OutboxMessage

UNTOLD = {"/healthz", "/readyz"}
"""Asked all the time by machines."""


def install(app: Quart) -> None:
    @app.before_request
    async def _begin() -> None:
        if request.path in UNTOLD:
            return
        route = request.url_rule.rule if request.url_rule else "none"
        g.dss_span = tracing.begin(
            f"{request.method} {route}",
            kind=Kind.SERVER,
            parent=tracing.valid(request.headers.get(TRACEPARENT)),
            attributes=_attributes(route),
        )
        tracing.current_traceparent.set(g.dss_span.traceparent)  # this task's, so of this request

    @app.after_request
    async def _answered(response: Response) -> Response:
        if "dss_span" in g:
            status = response.status_code
            g.dss_span.note({"http.response.status_code": status})
            g.dss_span.end(str(status) if status >= 500 else "")
        return response


@contextmanager
def sent_from_outbox(stored: OutboxMessage) -> Iterator[None]:
    """The block sends it: the end of its wait, which began with the commit that it belongs to."""
    waiting = tracing.begin(
        "outbox",
        parent=stored.traceparent,
        attributes={"dss.message": stored.type_name},
        began_ns=int(stored.created_at.timestamp() * 1e9),
    )
    with tracing.within(waiting.traceparent):
        try:
            yield
        finally:
            waiting.end()


def _attributes(route: str) -> Attributes:
    """Without the address itself: it may hold a token, or the name of a file."""
    ticket = (request.view_args or {}).get("ticket_id")
    asked = {
        "http.request.method": request.method,
        "http.route": route,
        "url.scheme": request.scheme,
    }
    return asked if ticket is None else {**asked, "dss.ticket": int(ticket)}
