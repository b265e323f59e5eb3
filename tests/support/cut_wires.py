"""A proxy that cuts connections."""

import socket
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
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(data))
                if passed >= self._cut_bytes:
                    self.cuts += 1
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_wire(url: str, cut_bytes: int) -> Iterator[CutWire]:
    wire = CutWire(url, cut_bytes)
    try:
        yield wire
    finally:
        wire.close()


def no_pause(_: float) -> None:
    """The wire is up again at once."""
