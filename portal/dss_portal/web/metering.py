"""Prometheus metrics of requests: number, duration and bytes."""

import time

from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
)
from quart import Quart, Response, g, request

from dss_observability import metrics

SERVER_ERROR = 500
PROBES = ("/readyz", "/healthz")
"""Routes that probes request.  Their status 503 is a normal response, so it is not counted as an error."""


_COMING, _GOING = metrics.HTTP_BYTES.labels("in"), metrics.HTTP_BYTES.labels("out")


def install(app: Quart) -> None:
    """Count and time every request of ``app``, and count separately the server errors that are no answers of probes.  The
    metrics are labelled with the URL rule, not with the URL.  The counters of sign-ins begin at 0.
    """
    for way in ("token", "issuer"):
        for outcome in ("accepted", "refused"):
            metrics.SIGN_INS.labels(way, outcome)

    @app.before_request
    async def _begin() -> None:
        g.dss_began_s = time.monotonic()

    @app.after_request
    async def _end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        metrics.HTTP_REQUESTS.labels(request.method, route, response.status_code).inc()
        if response.status_code >= SERVER_ERROR and route not in PROBES:
            metrics.HTTP_ERRORS.inc()
        if "dss_began_s" in g:
            metrics.HTTP_SECONDS.labels(route).observe(time.monotonic() - g.dss_began_s)
        return response


def counted(
    receive: ASGIReceiveCallable, send: ASGISendCallable
) -> tuple[ASGIReceiveCallable, ASGISendCallable]:
    """Wrap ASGI's ``receive`` and ``send`` so that they count the bytes of request and response bodies."""

    async def receive_counted() -> ASGIReceiveEvent:
        event = await receive()
        if event["type"] == "http.request":
            _COMING.inc(len(event.get("body", b"")))
        return event

    async def send_counted(event: ASGISendEvent) -> None:
        if event["type"] == "http.response.body":
            _GOING.inc(len(event.get("body", b"")))
        await send(event)

    return receive_counted, send_counted
