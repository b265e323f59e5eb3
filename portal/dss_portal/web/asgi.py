"""Adapts Quart to old clients: accepts their paths, limits the part of a request's body that is kept in memory, and
lets a client that is still sending see the response.
"""

import asyncio
import re
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)
from quart import Quart, Request, Response, request
from quart.asgi import ASGIHTTPConnection
from quart.wrappers.request import Body

from dss_portal.refusals import Refused
from dss_portal.web.metering import counted

BUFFER_BYTES = 128 * 1024
LINGER_S = 1.0


class BoundedBody(Body):
    """The body of a request, which the application reads in the pieces in which they were received.  While BUFFER_BYTES
    or more wait to be read, ``has_space`` is cleared.
    """

    def __init__(self, *sizes: int | None) -> None:
        super().__init__(*sizes)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self.has_space = asyncio.Event()
        self.has_space.set()
        self.complete = asyncio.Event()
        self._unwanted = False

    def append(self, data: bytes) -> None:
        if self._unwanted or not data:
            return
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        self._has_data.set()
        if self._waiting_bytes >= BUFFER_BYTES:
            self.has_space.clear()

    def set_complete(self) -> None:
        super().set_complete()
        self.complete.set()

    def discard(self) -> None:
        """Discard the unread data, and all data that still arrives."""
        self._unwanted = True
        self.clear()
        self.has_space.set()

    def clear(self) -> None:
        self._pieces, self._waiting_bytes = [], 0

    async def __anext__(self) -> bytes:
        if not self._complete.is_set():
            await self._has_data.wait()
        if not self._pieces:
            raise StopAsyncIteration
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self.clear()
        self._has_data.clear()
        self.has_space.set()
        return data

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from self._complete.wait().__await__()
        return b"".join(self._pieces)


class BoundedRequest(Request):
    body_class: type[Body] = BoundedBody


class BoundedConnection(ASGIHTTPConnection):
    """Stops reading a request from the network while BUFFER_BYTES of its body are unread; Quart itself would keep the
    complete body in memory.

    If the response begins before the body has arrived, the rest of the body is read and discarded, and the end of the
    response waits for it up to LINGER_S seconds: a client whose connection is closed while it sends may never see the
    response.  Then the server closes the connection.
    """

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        body = _bounded(request)
        while True:
            await body.has_space.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if message["type"] == "http.request":
                body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    body.set_complete()

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        body = _bounded(request)

        async def send_and_linger(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                body.discard()
            ends = event["type"] == "http.response.body" and not event.get("more_body", False)
            if ends and not body.complete.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(body.complete.wait(), LINGER_S)
            await send(event)

        await super().handle_request(request, send_and_linger)


def _bounded(request: Request) -> BoundedBody:
    """The body of ``request``.  Raises TypeError if the request is not of the class that ``install`` sets."""
    if not isinstance(request.body, BoundedBody):
        raise TypeError(f"{type(request.body).__name__} is no BoundedBody")
    return request.body


def install(app: Quart) -> None:
    app.request_class = BoundedRequest
    app.asgi_http_class = BoundedConnection
    app.url_map.merge_slashes = False  # True makes Quart redirect, which ITK-SNAP does not follow
    # Sizes and pauses are limited by the functions that read bodies.
    app.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
    app.before_request(_refuse_two_lengths)
    app.after_request(_close_after_two_lengths)


def _has_two_lengths() -> bool:
    return "Content-Length" in request.headers and "Transfer-Encoding" in request.headers


async def _refuse_two_lengths() -> None:
    """Raises Refused for a request with both a Content-Length and a Transfer-Encoding (RFC 9112, section 6.1).  If a
    proxy has used the other header than this server, the body could contain a second, hidden request.
    """
    if _has_two_lengths():
        raise Refused("A request has a Content-Length or a Transfer-Encoding, not both.")


async def _close_after_two_lengths(response: Response) -> Response:
    if _has_two_lengths():
        response.headers["Connection"] = "close"
    return response


class NormalisedPaths:
    """ASGI middleware that makes one slash of several in a path (clients send them if the server's address ends with a
    slash), and removes the public path prefix ``prefix``.  It also counts the bytes of the bodies.
    """

    def __init__(self, app: ASGIFramework, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] == "http":
            path = re.sub("/{2,}", "/", scope["path"])
            if self._prefix and path.startswith(f"{self._prefix}/"):
                path = path.removeprefix(self._prefix)
            scope = {**scope, "path": path}
            receive, send = counted(receive, send)
        await self._app(scope, receive, send)
