"""A proxy that loses answers: the server carries a request out, and the client does not learn of it."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from support.cut_wires import CutWire


class LostAnswers(CutWire):
    """A proxy to a server of this machine.  It cuts a connection when the answer to a request that begins with
    ``request`` comes, ``most`` times in all; ``lost`` counts them.
    """

    def __init__(self, url: str, request: bytes, most: int) -> None:
        self._request, self._most = request, most
        self.lost = 0
        super().__init__(url, cut_bytes=sys.maxsize)

    def _connect(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._server) as far:
            cut = threading.Event()
            back = threading.Thread(target=_pass_back, args=(far, near, cut), daemon=True)
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


def _pass_back(far: socket.socket, near: socket.socket, cut: threading.Event) -> None:
    with suppress(OSError):
        while (data := far.recv(65536)) and not cut.is_set():
            near.sendall(data)
    with suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing(url: str, request: bytes, most: int) -> Iterator[LostAnswers]:
    with closing(LostAnswers(url, request, most)) as proxy:
        yield proxy
