"""A network between a program and its server that a test may cut, mend and silence."""

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

Rewrite = Callable[[bytes], bytes]


class Wire:
    """Forwards connections to the server of an address (AMQP's port if it names none); ``url`` is that server behind the
    wire.  ``rewrite`` may change each piece of what the server says.
    """

    def __init__(self, url: str, rewrite: Rewrite = bytes) -> None:
        self.rewrite = rewrite
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._server = (parts.hostname, parts.port or 5672)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        self.made = 0
        self._up = True
        self._connections: list[_Connection] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones until ``mend``."""
        self._up = False
        for connection in self._connections:
            connection.break_off()
        self._connections.clear()

    def mend(self) -> None:
        self._up = True

    def silence(self) -> None:
        """Lose all that is said on the connections of this moment, without a word to either side."""
        for connection in self._connections:
            connection.silent = True

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._up:
                    self._join(near)
                else:
                    near.close()

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._server)
        except OSError:  # the server itself is down
            near.close()
            return
        self._connections.append(_Connection(near, far, self))
        self.made += 1  # last: a test that has seen the number may cut the connection


class _Connection:
    def __init__(self, near: socket.socket, far: socket.socket, wire: Wire) -> None:
        self.silent = False
        self._ends = (near, far)
        for source, target, rewrite in ((near, far, bytes), (far, near, wire.rewrite)):
            ways = (source, target, rewrite)
            threading.Thread(target=self._forward, args=ways, daemon=True).start()

    def break_off(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _forward(self, source: socket.socket, target: socket.socket, rewrite: Rewrite) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.silent:
                    target.sendall(rewrite(data))
        self.break_off()
