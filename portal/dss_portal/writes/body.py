"""Reads the body of a request in front of the framework, and gives it to the framework again if that must handle the
request.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent

T = TypeVar("T")


class ClientGone(Exception):
    """The client has disconnected before the response was sent."""


class RequestBody:
    """The body of one request, read from ASGI's ``receive``.  Cancelling a call of ``receive`` must lose no data, as is
    true for Hypercorn's.
    """

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self._events: list[ASGIReceiveEvent] = []

    async def read_all(self, most_bytes: int, within_s: float) -> list[bytes] | None:
        """The complete body, in the pieces in which it arrived.  None if it is longer than ``most_bytes``, if it is not
        complete after ``within_s`` seconds, or if the client has disconnected.
        """
        pieces: list[bytes] = []
        size_bytes = 0
        try:
            async with asyncio.timeout(within_s):
                while True:
                    event = await self._receive()
                    self._events.append(event)
                    if event["type"] != "http.request":
                        return None
                    piece = event.get("body", b"")
                    pieces.append(piece)
                    size_bytes += len(piece)
                    if size_bytes > most_bytes:
                        return None
                    if not event.get("more_body", False):
                        return pieces
        except TimeoutError:
            return None

    async def next_event(self) -> ASGIReceiveEvent:
        """The next ASGI event for the framework: first the events that were received already, then new ones."""
        return self._events.pop(0) if self._events else await self._receive()

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` and return its result, or raise its error.  Call it after ``read_all``.

        If the client disconnects first, ``work`` is cancelled and ClientGone is raised.
        """
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientGone
            return working.result()
        finally:
            working.cancel()
            if not gone.cancel():
                self._events.append(gone.result())
