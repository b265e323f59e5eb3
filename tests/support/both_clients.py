"""One conversation by the blocking and by the asynchronous client."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from dss_client import (
    AsyncClient,
    Client,
    Detail,
)
from support.recorder import COOKIE, Recorder, ok, recording

T = TypeVar("T")

HASH = "a" * 40
SERVICE = b'{"name": "lungs", "githash": "%s", "version": "1.0.0", "shortdesc": "Lungs"}' % (
    HASH.encode()
)
DETAIL = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true, "hint": ""}]}'


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


DONE = b'{"result": {"status": "success", "progress": 1.0, "log": []}}'
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services?": ok(b'{"result": [' + SERVICE + b"]}"),
    "GET /api/services/": ok(DETAIL),
    "GET /api/tickets?": ok(b'{"result": [{"id": 7, "service": "lungs", "status": "ready"}]}'),
    "GET /api/tickets/summary": ok(
        b'{"result": [{"id": 7, "service": "lungs", "status": "ready"}]}'
    ),
    "GET /api/tickets/7/checksums": ok(
        b'{"result": [{"index": 0, "name": "a.nii.gz", "sha256": "%s"}]}'
        % hashlib.sha256(b"content").hexdigest().encode()
    ),
    "GET /api/tickets/7/archive": ok(zipped({"a.nii.gz": b"content"})),
    "POST /api/tickets": ok(b"7"),
    "POST /api/tickets/7/": ok(b"success"),
    "GET /api/tickets/7/detail": ok(DONE),
    "GET /api/tickets/7/delete": ok(b"deleted"),
    "GET /api/tickets/7/retry": ok(b"success"),
    "GET /api/tickets/7/files/results": ok(b"0,a.nii.gz\r\n1,b.itksnap\r\n"),
    "GET /api/tickets/7/files/results/": ok(b"content"),
}


Do = Callable[[Client], T]


Run = Callable[[str, Do[object], str], object]


def blocking(server: str, do: Do[T], token: str) -> T:
    with Client(server, token=token) as client:
        return do(client)


class Blocking:
    """An AsyncClient with the methods of Client, so that one test is for both."""

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*words: object, **options: object) -> object:
            made = getattr(self._client, name)(*words, **options)
            if name == "watch":
                return self._loop.run_until_complete(collected(made))
            return self._loop.run_until_complete(made)

        return call


async def collected(details: object) -> list[Detail]:
    return [detail async for detail in details]  # type: ignore[attr-defined]  # an async iterator


def asynchronous(server: str, do: Do[T], token: str) -> T:
    with asyncio.Runner() as runner:
        client = AsyncClient(server, token=token)
        try:
            return do(Blocking(client, runner.get_loop()))  # type: ignore[arg-type]  # by its methods
        finally:
            runner.run(client.close())


def lines(recorder: Recorder) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in recorder.requests]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture(params=[blocking, asynchronous], ids=["sync", "async"])
def run(request: pytest.FixtureRequest, recorder: Recorder) -> Callable[..., object]:
    def through(do: Do[object], token: str = "", server: str = "") -> object:
        made: Run = request.param
        return made(server or recorder.address, do, token)

    return through
