"""A real server of the S3 protocol on loopback, moto's, which keeps everything in memory; and a way to cut its link."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from dss_datastore.s3.bucket import Bucket, Place
from dss_datastore.s3.client import Server, client
from support.stacks import free_port

KEYS = {
    "AWS_ACCESS_KEY_ID": "site",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
START_S = 60.0


@dataclass(frozen=True)
class S3Server:
    """``endpoint`` is its address."""

    endpoint: str

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoint.removeprefix("http://").partition(":")
        return host, int(port)

    def new_bucket(self, prefix: str = "site/") -> Bucket:
        """A bucket that no other test has, with the datastore of a site."""
        place = Place(bucket=f"dss-{uuid4().hex}", prefix=prefix)
        server = Server(endpoint=self.endpoint)
        client(server).create_bucket(Bucket=place.bucket)
        bucket = Bucket(server, place)
        bucket.make()
        return bucket


def settings_of(bucket: Bucket, endpoint: str, scratch: Path) -> dict[str, str]:
    """What a program's environment has for the datastore in ``bucket``."""
    return {
        **KEYS,
        "DSS_DATASTORE": "",
        "DSS_DATASTORE_URL": f"s3://{bucket.place.bucket}/{bucket.place.prefix}",
        "DSS_S3_ENDPOINT": endpoint,
        "DSS_SCRATCH": str(scratch),
    }


@contextmanager
def s3_server(folder: Path, **settings: str) -> Iterator[S3Server]:
    """A running server with those variables; its log is in ``folder``."""
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, **KEYS, **settings},
        )
    try:
        _wait(endpoint, process)
        yield S3Server(endpoint)
    finally:
        process.kill()
        process.wait()


def _wait(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until_s:
        with suppress(httpx.TransportError):
            if httpx.get(f"{endpoint}/moto-api/", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError("moto's server did not start; see s3.log")


@dataclass
class Link:
    """A link to ``target`` (host, port) that fails as it is told.

    ``cut_after``: each connection is cut when it has carried so many bytes, in either direction; None is never.
    ``cut_at``: a connection is cut when the client sends these bytes; empty is never.  ``is_cut``: none is answered.
    ``refuses``: the number of next connections that get 503.  ``connections`` counts.
    """

    target: tuple[str, int]
    cut_after: int | None = None
    cut_at: bytes = b""
    is_cut: bool = False
    refuses: int = 0
    pause_s: float = 0.0
    connections: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket = field(init=False)

    def __enter__(self) -> "Link":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Cut all connections, and those to come."""
        self.is_cut = True
        self._drop()

    def fail(self) -> None:
        """Cut all connections, and refuse those to come."""
        self.refuses = 1 << 30
        self._drop()

    def mend(self) -> None:
        """Carry everything again."""
        self.cut_after, self.cut_at, self.is_cut, self.refuses = None, b"", False, 0
        self.pause_s = 0.0

    def _drop(self) -> None:
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                incoming, _ = self._listener.accept()
                self.connections += 1
                self._open.add(incoming)
                threading.Thread(target=self._serve, args=(incoming,), daemon=True).start()

    def _serve(self, incoming: socket.socket) -> None:
        with closing(incoming), suppress(OSError), self._listed(incoming):
            if self.is_cut:
                return
            if self.refuses > 0:
                self.refuses -= 1
                incoming.recv(1 << 16)
                incoming.sendall(
                    b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            with closing(socket.create_connection(self.target)) as outgoing:
                budget = _Budget(self.cut_after)
                back = threading.Thread(
                    target=self._carry, args=(outgoing, incoming, budget), daemon=True
                )
                back.start()
                self._carry(incoming, outgoing, budget)
                back.join()

    @contextmanager
    def _listed(self, connection: socket.socket) -> Iterator[None]:
        try:
            yield
        finally:
            self._open.discard(connection)

    def _carry(self, source: socket.socket, target: socket.socket, budget: "_Budget") -> None:
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and budget.allows(len(data)):
                if self.cut_at and self.cut_at in data:
                    break
                time.sleep(self.pause_s)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Budget:
    """The bytes that a connection may still carry."""

    def __init__(self, most: int | None) -> None:
        self._left = most
        self._lock = threading.Lock()

    def allows(self, count: int) -> bool:
        with self._lock:
            if self._left is not None:
                self._left -= count
            return self._left is None or self._left >= 0
