"""A proxy that loses answers: the server carries a request out, and the client does not learn of it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class LostAnswers:
    """A proxy to a server of this machine.  It cuts a connection when the answer to a request that begins with
    ``request`` comes, ``most`` times in all; ``lost`` counts them.
    """

    def __init__(self, url: str, request: bytes, most: int) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 80)
        self._request, self._most = request, most
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
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
        with near, socket.create_connection(self._server) as far:
            cut = threading.Event()
            back = threading.Thread(target=self._pass_back, args=(far, near, cut), daemon=True)
            back.start()
            with suppress(OSError):
                while data := near.recv(65536):
                    if data.startswith(self._request) and self.lost < self._most:
                        self.lost += 1
                        cut.set()
                    far.sendall(data)
            with suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pass_back(far: socket.socket, near: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while (data := far.recv(65536)) and not cut.is_set():
                near.sendall(data)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing(url: str, request: bytes, most: int) -> Iterator[LostAnswers]:
    proxy = LostAnswers(url, request, most)
    try:
        yield proxy
    finally:
        proxy.close()
