"""Where Quart meets the server: paths as old clients send them, bodies no faster than we read them."""

import asyncio
import re
from typing import Any

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.wrappers.request import Body

from dss_portal.gauges import counted

BUFFER_BYTES = 4 * 2**20


class BoundedBody(Body):
    """A body that tells when enough of it waits to be read."""

    def __init__(self, *sizes: int | None) -> None:
        super().__init__(*sizes)
        self.room = asyncio.Event()
        self.room.set()

    def append(self, data: bytes) -> None:
        super().append(data)
        if len(self._data) >= BUFFER_BYTES:
            self.room.clear()

    async def __anext__(self) -> bytes:
        data = await super().__anext__()
        self.room.set()
        return data


class BoundedRequest(Request):
    body_class: type[Body] = BoundedBody


class BoundedConnection(ASGIHTTPConnection):
    """Quart takes whatever the network brings into memory; this stops reading when enough waits."""

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        body: Any = request.body
        while True:
            await body.room.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if message["type"] == "http.request":
                body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    body.set_complete()


def install(app: Quart) -> None:
    app.request_class = BoundedRequest
    app.asgi_http_class = BoundedConnection
    app.url_map.merge_slashes = False  # it would redirect; ITK-SNAP follows no redirect
    # Sizes and pauses are limited where bodies are read.
    app.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)


class OldPaths:
    """Accept doubled slashes (a server address with a trailing one) and the public path prefix."""

    def __init__(self, app: Quart, prefix: str) -> None:
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
