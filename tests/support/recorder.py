"""A server on loopback that keeps each request as it came and gives canned answers."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

COOKIE = "webpy_session_id=0cda9e2edff9b872fd361d9ea7656554ef80df27"


@dataclass(frozen=True, kw_only=True)
class Request:
    """As bytes on the wire, in their order."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


@dataclass
class Recorder:
    """``answers`` by the beginning of the request line; the longest one counts.  A request without one is refused.

    What begins like one of ``silent`` is not answered.
    """

    address: str
    answers: dict[str, bytes]
    requests: list[Request] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    def answer(self, line: str) -> bytes:
        begun = [begin for begin in self.answers if line.startswith(begin)]
        return self.answers[max(begun, key=len)] if begun else refusal("501 No Such Answer Here")


def ok(body: bytes, *headers: str) -> bytes:
    """A whole answer with status 200."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def refusal(status: str, *headers: str) -> bytes:
    """A whole answer with another status, such as ``302 Found``."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 2", *headers, "", "no"]).encode()


@contextmanager
def recording(answers: dict[str, bytes]) -> Iterator[Recorder]:
    """One connection after the other, each for one request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder = Recorder(f"http://127.0.0.1:{listener.getsockname()[1]}", answers)
        thread = threading.Thread(target=_serve, args=(listener, recorder))
        thread.start()
        try:
            yield recorder
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join(10)


def _serve(listener: socket.socket, recorder: Recorder) -> None:
    with ExitStack() as unanswered:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with ExitStack() as open_things:
                open_things.enter_context(connection)
                stream = open_things.enter_context(connection.makefile("rwb"))
                line = stream.readline().decode().rstrip("\r\n")
                request = _read(line, iter(stream.readline, b"\r\n"), stream.read)
                recorder.requests.append(request)
                if any(line.startswith(begin) for begin in recorder.silent):
                    unanswered.push(open_things.pop_all())
                    continue
                answer = recorder.answer(line)
                stream.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


def _read(line: str, lines: Iterator[bytes], read: Callable[[int], bytes]) -> Request:
    headers = []
    for raw in lines:
        name, _, value = raw.decode().rstrip("\r\n").partition(": ")
        headers.append((name, value))
    return Request(line=line, headers=headers, body=read(_length(headers)))


def _length(headers: list[tuple[str, str]]) -> int:
    return int(dict(headers).get("Content-Length", "0"))
