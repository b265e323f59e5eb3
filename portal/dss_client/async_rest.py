"""Performs flows (generators of requests, see ``steps``) with asyncio, for ``AsyncClient``."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TypeVar, assert_never, cast

import httpx

from dss_client.cookie_jar import CookieJar
from dss_client.multipart import Progress
from dss_client.rest import TIMEOUT, RestClient, tls
from dss_client.steps import Answer, Download, Pause, Request, Step, Steps, Upload
from dss_client.unreachable import unreachable

T = TypeVar("T")

CANCEL_S = 1.0
"""Longest time in seconds that a cancelled task waits for its file transfer to stop."""


class AsyncRest:
    """Performs flows with asyncio.

    A RestClient builds the requests and stores the cookies.  It also transfers the files, one at a time and in a
    thread, because reading and writing files blocks.
    """

    def __init__(self, server: str, jar: Path | None, token: str) -> None:
        self._server = server
        self._rest = RestClient(server, CookieJar(jar), bearer=token)
        self._moving = asyncio.Lock()
        proxy = self._rest.proxy
        self._http = httpx.AsyncClient(
            verify=tls(server),
            timeout=TIMEOUT,
            proxy=proxy.address if proxy else None,
            trust_env=False,
        )

    async def close(self) -> None:
        self._rest.close()
        await self._http.aclose()

    async def run(self, steps: Steps[T]) -> T:
        """Perform the flow and return its value.  Errors of a request, and a cancellation, are raised inside the flow."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    async def _perform(self, step: Step) -> Answer:
        match step:
            case Request():
                return await self._response(step)
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return Answer()
            case Upload() | Download():
                async with self._moving:
                    return await self._moved(step)
            case _:
                assert_never(step)

    async def _response(self, request: Request) -> Answer:
        try:
            response = await self._http.send(
                self._rest.request_of(request), stream=True, auth=None, follow_redirects=False
            )
            try:
                self._rest.keep(request, response)
                parts = [part async for part in response.aiter_raw()]
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise unreachable(self._server, self._rest.proxy, error) from error
        return Answer(status=response.status_code, body=b"".join(parts))

    async def _moved(self, step: Upload | Download) -> Answer:
        stopped = Event()
        watched = _until(stopped, step)
        pause = _pause_until(stopped)
        moving = asyncio.ensure_future(asyncio.to_thread(self._rest.perform, watched, pause))
        try:
            return await asyncio.shield(moving)
        except asyncio.CancelledError:
            stopped.set()
            with suppress(Exception):
                await asyncio.wait_for(asyncio.shield(moving), CANCEL_S)
            moving.add_done_callback(_forget)
            raise


class _Stopped(Exception):
    """Raised in the thread of a transfer to stop it."""


def _until(stopped: Event, step: Upload | Download) -> Upload | Download:
    """A copy of ``step`` whose transfer raises _Stopped after its next chunk once ``stopped`` is set."""
    return replace(step, progress=_watched(stopped, step.progress))


def _pause_until(stopped: Event) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise _Stopped

    return pause


def _watched(stopped: Event, progress: Progress | None) -> Callable[[int, int], None]:
    def moved(done_bytes: int, total_bytes: int) -> None:
        if stopped.is_set():
            raise _Stopped
        if progress is not None:
            progress(done_bytes, total_bytes)

    return moved


def _forget(moving: "asyncio.Future[Answer]") -> None:
    """Retrieve the error of a stopped transfer when it has ended, because asyncio logs errors that are never retrieved."""
    if not moving.cancelled():
        moving.exception()
