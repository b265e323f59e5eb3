"""A Hypercorn connection that responds to plain requests itself.

h11 and the objects that Hypercorn makes for each request take four fifths of the time of a poll.  So the head of a
plain request is parsed here, the layers in front of the framework are called, and their response is sent in one piece.
If these layers pass a request on, Hypercorn gets the same bytes, and handles it as it handles all other requests.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, HTTPScope

from dss_portal.serving import bodies, layer_attempt
from dss_portal.serving.heads import Head, head
from dss_portal.serving.layer_attempt import NotHandled

log = logging.getLogger(__name__)

POLL_S = 0.05
"""Interval in seconds at which a request that is being answered checks whether its client has disconnected, and at which
a connection that must be closed checks whether its request has been answered.
"""


class Exchange:
    """One plain request and its response, with ASGI's ``receive`` and ``send``.  The body is read from the network when
    ``receive`` is called.
    """

    def __init__(self, connection: "Connection", request_head: Head, received: bytes) -> None:
        self._reader, self._config = connection.reader, connection.config
        self._first = received[request_head.size_bytes :]
        self._missing_bytes = request_head.body_bytes
        self._is_complete = False
        self.received = [received]
        """All bytes that were read so far, from the first of the request on; the last may belong to the next request."""
        self.ahead = b""
        """The bytes that were read beyond the end of the request; they belong to the next one."""
        self.headers: Sequence[tuple[bytes, bytes]] | None = None
        self.body = b""
        self.is_answered = False

    async def receive(self) -> ASGIReceiveEvent:
        if self._is_complete:
            while not self._reader.at_eof():  # noqa: ASYNC110 - nothing can await a reader's end without reading
                await asyncio.sleep(POLL_S)
            return {"type": "http.disconnect"}
        piece, self._first = self._first, b""
        if not piece and self._missing_bytes:
            piece = await self._reader.read(bodies.MOST_RECEIVED_BYTES)
            if not piece:
                return {"type": "http.disconnect"}
            self.received.append(piece)
        if len(piece) > self._missing_bytes:
            piece, self.ahead = piece[: self._missing_bytes], piece[self._missing_bytes :]
        self._missing_bytes -= len(piece)
        self._is_complete = not self._missing_bytes
        return {"type": "http.request", "body": piece, "more_body": not self._is_complete}

    async def send(self, event: ASGISendEvent) -> None:
        """Store the response, for ``response``.  The layers send only responses with status 200, in one piece and with
        a Content-Length.
        """
        if event["type"] == "http.response.start":
            self.headers = list(event.get("headers", ()))
        elif event["type"] == "http.response.body":
            self.body, self.is_answered = event.get("body", b""), True

    def response(self) -> bytes:
        every = self._config.response_headers("h11")
        fields = [b"%s: %s\r\n" % pair for pair in (*(self.headers or ()), *every)]
        return b"HTTP/1.1 200 \r\n%s\r\n%s" % (b"".join(fields), self.body)


class Connection(TCPServer):
    """A Hypercorn connection that lets the layers in front of the framework respond to plain requests (see
    ``serving.heads``), and leaves all others to Hypercorn.  Overrides ``run``, ``_read_data`` and ``_idle_timeout``.
    """

    _used_s = 0.0
    _is_busy = False

    async def run(self) -> None:
        """Serve the connection until it ends, as TCPServer does.  If the server cancels it at a stop, because it
        outlasts ``graceful_timeout``, it is closed and CancelledError is not raised: asyncio of Python 3.11 would log
        that as an error.
        """
        try:
            await super().run()
        except asyncio.CancelledError:
            if not self.context.terminated.is_set():
                raise

    async def _read_data(self) -> None:
        ahead: deque[bytes] = deque()
        while ahead or not self.reader.at_eof():
            try:
                data = ahead.popleft() if ahead else await self._received()
            except (OSError, TimeoutError):
                break
            if await bodies.pass_on(self.protocol.protocol, data):
                continue
            request_head = head(data) if self._is_plain() else None
            if request_head is None:
                await self.protocol.handle(RawData(data))
                continue
            exchange = Exchange(self, request_head, data)
            if not await self._answered(request_head, exchange):
                break
            if exchange.ahead:
                ahead.append(exchange.ahead)
        await self.protocol.handle(Closed())

    async def _received(self) -> bytes:
        is_body = bodies.is_receiving(self.protocol.protocol)
        size_bytes = bodies.MOST_RECEIVED_BYTES if is_body else MAX_RECV
        return await asyncio.wait_for(self.reader.read(size_bytes), self.config.read_timeout)

    def _is_plain(self) -> bool:
        """True if the next bytes may be a plain request: the connection uses HTTP/1.1, no request is in progress, and
        Hypercorn does not want to close it.
        """
        protocol = self.protocol.protocol
        return (
            isinstance(protocol, H11Protocol)
            and protocol.stream is None
            and protocol.connection.their_state is h11.IDLE
            and protocol.connection.our_state is h11.IDLE
            and not protocol.connection.trailing_data[0]
            and protocol.keep_alive_requests < self.config.keep_alive_max_requests
            and not self.context.terminated.is_set()
        )

    async def _answered(self, request_head: Head, exchange: Exchange) -> bool:
        """Let the layers in front of the framework respond to the request or, if they pass it on, give it to Hypercorn.
        False if the connection must be closed: the client has gone, or a layer has raised an error, which is logged.
        """
        self._is_busy = True
        try:
            await cast("ASGIWrapper", self.app).app(
                self._scope(request_head), exchange.receive, exchange.send
            )
        except NotHandled as not_handled:
            await self._hand_over(exchange, not_handled)
            return True
        except Exception:  # something may have been written: it is not tried again
            log.exception("request failed", extra={"path": request_head.path})
            return False
        finally:
            self._is_busy, self._used_s = False, time.monotonic()
        if not exchange.is_answered:  # the client has gone
            return False
        cast("H11Protocol", self.protocol.protocol).keep_alive_requests += 1
        await self.protocol_send(RawData(exchange.response()))
        return True

    async def _hand_over(self, exchange: Exchange, not_handled: NotHandled) -> None:
        """Give Hypercorn the bytes that were read of the request.  The layers find ``not_handled`` in its state, and
        pass the request to the framework without trying it again.
        """
        received, exchange.ahead = exchange.received, b""
        protocol = cast("H11Protocol", self.protocol.protocol)
        previous = protocol.connection_state
        protocol.connection_state = layer_attempt.with_attempt(previous, not_handled)
        try:
            await protocol.handle(RawData(received[0]))
        finally:
            protocol.connection_state = previous
        for piece in received[1:]:
            await self.protocol.handle(RawData(piece))

    def _scope(self, request_head: Head) -> HTTPScope:
        return {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": request_head.method,
            "scheme": "https" if self.protocol.ssl else "http",
            "path": request_head.path,
            "raw_path": request_head.raw_path,
            "query_string": request_head.query,
            "root_path": self.config.root_path,
            "headers": request_head.headers,
            "client": self.protocol.client,
            "server": self.protocol.server,
            "state": layer_attempt.attempt_state(),
            "extensions": {},
        }

    async def _idle_timeout(self) -> None:
        """Close the connection when it has been idle for ``keep_alive_timeout`` seconds, or when the server stops.  It
        is not idle while a request is answered on the fast path, of which Hypercorn does not know.
        """
        began_s = time.monotonic()
        while not self.context.terminated.is_set():
            idle_s = 0.0 if self._is_busy else time.monotonic() - max(began_s, self._used_s)
            left_s = self.config.keep_alive_timeout - idle_s
            if left_s <= 0:
                break
            try:
                await asyncio.wait_for(self.context.terminated.wait(), left_s)
            except TimeoutError:
                continue
        while self._is_busy:  # noqa: ASYNC110 - once in a connection's life; an event would be set for each request
            await asyncio.sleep(POLL_S)
        await asyncio.shield(self._initiate_server_close())
