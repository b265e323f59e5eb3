"""A proxy that cuts connections."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CutWire:
    """A proxy to a server of this machine that cuts each connection after ``cut_bytes`` in either direction.

    ``sent_bytes`` counts what clients have sent, and ``answered_bytes`` what the server has.
    """

    def __init__(self, url: str, cut_bytes: int) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 80)
        self._cut_bytes = cut_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent_bytes = self.answered_bytes = self.cuts = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._server)
        except OSError:
            near.close()
            return
        back = threading.Thread(target=self._pass, args=(far, near, "answered_bytes"))
        back.start()
        self._pass(near, far, "sent_bytes")
        back.join()
        near.close()
        far.close()

    def _pass(self, source: socket.socket, target: socket.socket, counter: str) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                passed += len(data)
                self._count(counter, len(data), source)
                if passed >= self._cut_bytes:
                    self.cuts += 1
                    break
        self._end(source, target)

    def _end(self, source: socket.socket, target: socket.socket) -> None:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, counter: str, size_bytes: int, _source: socket.socket) -> None:
        with self._lock:
            setattr(self, counter, getattr(self, counter) + size_bytes)


@contextmanager
def cut_wire(url: str, cut_bytes: int) -> Iterator[CutWire]:
    wire = CutWire(url, cut_bytes)
    try:
        yield wire
    finally:
        wire.close()


class SlowWire(CutWire):
    """A proxy that passes at most ``rate`` bytes a second to the server, all connections together, and cuts all of them
    every ``cut_s`` seconds, which counts as one of ``cuts``.  Both ends see a reset.
    """

    def __init__(self, url: str, rate: int, cut_s: float) -> None:
        self._rate, self._cut_s = rate, cut_s
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._slow = threading.Lock()
        super().__init__(url, 1 << 62)
        self._cutter = threading.Thread(target=self._cut)
        self._cutter.start()

    def close(self) -> None:
        self._ended.set()
        self._cutter.join(10)
        super().close()

    def _cut(self) -> None:
        while not self._ended.wait(self._cut_s):
            self.cuts += bool(self._open)
            for end in list(self._open):
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RDWR)

    def _connect(self, near: socket.socket) -> None:
        self._open.add(near)
        try:
            super()._connect(near)
        finally:
            self._open.discard(near)

    def _count(self, counter: str, size_bytes: int, source: socket.socket) -> None:
        super()._count(counter, size_bytes, source)
        if counter == "sent_bytes":
            with self._slow:
                self._ended.wait(size_bytes / self._rate)


class SilentWire(CutWire):
    """A proxy that loses its connections without a word when clients have sent ``after_bytes``: it passes nothing more of
    those that are open then, not even their ends.  Later ones pass.
    """

    def __init__(self, url: str, after_bytes: int) -> None:
        self._after_bytes = after_bytes
        self._open: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        self._ended = threading.Event()
        super().__init__(url, 1 << 62)

    def close(self) -> None:
        self._ended.set()
        super().close()

    def _connect(self, near: socket.socket) -> None:
        self._open.add(near)
        super()._connect(near)
        self._open.discard(near)

    def _count(self, counter: str, size_bytes: int, source: socket.socket) -> None:
        super()._count(counter, size_bytes, source)
        if self.sent_bytes >= self._after_bytes and not self._lost:
            self._lost = set(self._open)
        if source in self._lost:
            self._ended.wait()

    def _end(self, source: socket.socket, target: socket.socket) -> None:
        if {source, target} & self._lost:
            self._ended.wait()
        super()._end(source, target)


@contextmanager
def silent_wire(url: str, after_bytes: int) -> Iterator[SilentWire]:
    wire = SilentWire(url, after_bytes)
    try:
        yield wire
    finally:
        wire.close()


@contextmanager
def slow_wire(url: str, rate: int, cut_s: float) -> Iterator[SlowWire]:
    wire = SlowWire(url, rate, cut_s)
    try:
        yield wire
    finally:
        wire.close()


def no_pause(_: float) -> None:
    """The wire is up again at once."""
