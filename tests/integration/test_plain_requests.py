"""Plain requests are answered without h11, as h11 would answer them; all others reach the application as before."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest
from hypercorn.asyncio import run as hypercorn_run
from hypercorn.asyncio import serve
from hypercorn.config import Config

from dss_portal.serving import layer_attempt
from dss_portal.serving.connections import Connection
from dss_portal.serving.layer_attempt import FrameworkGuard
from support.stacks import free_port

GET = b"GET /api/tickets HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
ODD = b"X-Odd: \xe9\r\n\r\n"
"""A header that makes a request one for h11."""

Answering = Callable[["Asked", Any, Any], Awaitable[bool]]


@dataclass
class Asked:
    """A layer that answers with ``answer``, before a framework that says what it got; both note their requests."""

    answer: Answering
    layer: list[str] = field(default_factory=list)
    framework: list[str] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if layer_attempt.earlier_attempt(scope) is None:
            self.layer.append(scope["path"])
            self.began.set()
            if await self.answer(self, receive, send):
                return
            scope = {**scope, layer_attempt.ERROR: ValueError("it failed")}
        await FrameworkGuard(self._framework)(scope, receive, send)

    async def _framework(self, scope: Any, receive: Any, send: Any) -> None:
        self.framework.append(scope["path"])
        found = layer_attempt.earlier_attempt(scope)
        body = await read(receive)
        await say(send, b"%s after %r" % (body, str(found.error if found else "").encode()))


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        body, more = body + event["body"], event["more_body"]
    return body


async def say(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"text/csv"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def echo(_: Asked, receive: Any, send: Any) -> bool:
    await say(send, b"got " + await read(receive))
    return True


async def pass_on(_: Asked, receive: Any, send: Any) -> bool:
    return False


async def fail(_: Asked, receive: Any, send: Any) -> bool:
    raise RuntimeError("a fault of the layer")


async def wait(asked: Asked, receive: Any, send: Any) -> bool:
    await read(receive)
    waiting = {asyncio.ensure_future(receive()), asyncio.ensure_future(asked.go_on.wait())}
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    if asked.go_on.is_set():
        await say(send, b"at last")
    elif done.pop().result() == {"type": "http.disconnect"}:
        asked.gone.set()
    return True


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(hypercorn_run, "TCPServer", Connection)
    return free_port()


@asynccontextmanager
async def serving(app: Asked, port: int, **settings: float) -> AsyncIterator[asyncio.Event]:
    """The application on a server; the event makes that stop."""
    config, stop = Config(), asyncio.Event()
    config.bind, config.errorlog = [f"127.0.0.1:{port}"], None
    config.graceful_timeout = 20.0
    for name, value in settings.items():
        setattr(config, name, value)
    running = asyncio.ensure_future(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield stop
    finally:
        stop.set()
        await running


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """Head and body, without the time."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None
    body = await asyncio.wait_for(reader.readexactly(int(found[1])), 20)
    return re.sub(rb"date: [^\r]+", b"date: now", head + body)


async def test_a_plain_request_is_answered_as_by_h11(port: int) -> None:
    app = Asked(echo)
    async with serving(app, port):
        reader, writer = await connected(port)
        answers = []
        for request in (GET, GET[:-2] + ODD, POST % 3 + b"abc", (POST % 3)[:-2] + ODD + b"abc"):
            writer.write(request)
            answers.append(await answer_of(reader))
        writer.close()

    assert answers[0] == answers[1]
    assert answers[2] == answers[3]
    assert answers[2].endswith(b"got abc")
    assert len(app.layer) == 4


async def test_requests_come_in_any_pieces_and_several_at_once(port: int) -> None:
    app = Asked(echo)
    async with serving(app, port):
        reader, writer = await connected(port)
        for piece in (GET[:9], GET[9:], POST % 4, b"ab", b"cd"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)  # else they would come as one
        writer.write(GET + POST % 2 + b"ef" + GET)
        answers = [await answer_of(reader) for _ in range(5)]
        writer.close()

    assert [answer.rpartition(b"\r\n")[2] for answer in answers] == [
        b"got ",
        b"got abcd",
        b"got ",
        b"got ef",
        b"got ",
    ]


async def test_what_the_layer_passes_on_reaches_the_framework_once_with_its_error(
    port: int,
) -> None:
    app, large = Asked(pass_on), b"x" * 300_000
    async with serving(app, port):
        reader, writer = await connected(port)
        answers = []
        for body in (b"abc", large, b""):
            writer.write(POST % len(body) + body)
            answers.append(await answer_of(reader))
        app.answer = echo
        writer.write(GET)
        answers.append(await answer_of(reader))
        writer.close()

    assert answers[0].endswith(b"abc after b'it failed'")
    assert large + b" after b'it failed'" in answers[1]
    assert answers[3].endswith(b"got ")
    assert (len(app.layer), len(app.framework)) == (4, 3)


async def test_a_request_that_fails_is_not_repeated(port: int) -> None:
    app = Asked(fail)
    async with serving(app, port):
        reader, writer = await connected(port)
        writer.write(GET)
        rest = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert rest == b""
    assert (len(app.layer), app.framework) == (1, [])


async def test_a_waiting_request_hears_that_its_client_has_gone(port: int) -> None:
    app = Asked(wait)
    async with serving(app, port):
        _, writer = await connected(port)
        writer.write(POST % 1 + b"x")
        await writer.drain()
        writer.close()
        await asyncio.wait_for(app.gone.wait(), 20)


async def is_answered_and_closed(
    app: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Let the waiting request go on; the server sends its answer, then closes the connection."""
    app.go_on.set()
    assert (await answer_of(reader)).endswith(b"at last")
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_only_an_idle_connection_is_closed_after_a_time(port: int) -> None:
    app = Asked(wait)
    async with serving(app, port, keep_alive_timeout=0.3):
        reader, writer = await connected(port)
        writer.write(GET)
        await asyncio.sleep(0.8)  # longer than an idle connection lives
        await is_answered_and_closed(app, reader, writer)


async def test_a_server_that_stops_finishes_its_requests(port: int) -> None:
    app = Asked(wait)
    async with serving(app, port) as stop:
        reader, writer = await connected(port)
        writer.write(GET)
        await asyncio.wait_for(app.began.wait(), 20)
        stop.set()
        await asyncio.sleep(0.1)
        await is_answered_and_closed(app, reader, writer)


async def test_a_server_that_stops_cuts_off_a_long_request_without_an_error(port: int) -> None:
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    app = Asked(wait)
    async with serving(app, port, graceful_timeout=0.2):
        reader, writer = await connected(port)
        writer.write(GET)
        await asyncio.wait_for(app.began.wait(), 20)

    assert await asyncio.wait_for(reader.read(), 20) == b""
    await asyncio.sleep(0)
    writer.close()
    assert faults == []


async def test_a_connection_ends_after_as_many_requests_as_with_h11(port: int) -> None:
    app = Asked(echo)
    async with serving(app, port, keep_alive_max_requests=3):
        reader, writer = await connected(port)
        answers = []
        for _ in range(4):
            writer.write(GET)
            answers.append(await answer_of(reader))
        rest = await asyncio.wait_for(reader.read(), 20)
        writer.close()

    assert [b"connection: close" in answer for answer in answers] == [False, False, False, True]
    assert rest == b""


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes h11 gets, in the order of the calls."""
    found: list[int] = []
    receive = h11.Connection.receive_data

    def noted(connection: h11.Connection, data: bytes) -> None:
        found.append(len(data))
        receive(connection, data)

    monkeypatch.setattr(h11.Connection, "receive_data", noted)
    return found


LARGE = bytes(range(256)) * 16384
"""4 MB."""


async def test_a_large_body_arrives_complete_although_h11_sees_little_of_it(
    port: int, fed: list[int]
) -> None:
    app = Asked(echo)
    async with serving(app, port):
        reader, writer = await connected(port)
        answers = []
        for cut in (7, 70_000, len(LARGE)):  # the last one arrives with the head of the next
            head = (POST % len(LARGE))[:-2] + ODD
            writer.write(head + LARGE[:cut])
            await writer.drain()
            writer.write(LARGE[cut:] + GET[:-2] + ODD)
            answers += [await answer_of(reader), await answer_of(reader)]
        writer.close()

    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [
        b"got " + LARGE,
        b"got ",
    ] * 3
    assert sum(fed) < len(LARGE)


async def test_a_large_body_in_chunks_arrives_complete(port: int) -> None:
    app = Asked(echo)
    async with serving(app, port):
        reader, writer = await connected(port)
        writer.write(
            b"POST /api/tickets HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(LARGE), 100_000):
            piece = LARGE[start : start + 100_000]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        answer = await answer_of(reader)
        writer.close()

    assert answer.endswith(b"got " + LARGE)


async def test_a_client_that_goes_away_within_a_large_body_is_noticed(port: int) -> None:
    async def heard(asked: Asked, receive: Any, _: Any) -> bool:
        while (await receive())["type"] == "http.request":
            asked.began.set()
        asked.gone.set()
        return True

    app = Asked(heard)
    async with serving(app, port):
        _, writer = await connected(port)
        writer.write((POST % len(LARGE))[:-2] + ODD + LARGE[:500_000])
        await asyncio.wait_for(app.began.wait(), 20)
        writer.close()
        await asyncio.wait_for(app.gone.wait(), 20)


async def test_a_request_that_is_answered_within_its_body_ends_its_connection(port: int) -> None:
    async def early(_: Asked, receive: Any, send: Any) -> bool:
        await receive()
        await say(send, b"early")
        return True

    app = Asked(early)
    async with serving(app, port):
        reader, writer = await connected(port)
        writer.write((POST % len(LARGE))[:-2] + ODD + LARGE[:500_000])
        answer = await answer_of(reader)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    assert answer.endswith(b"early")
