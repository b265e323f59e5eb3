"""A client over HTTP/1.1 as lean as the loads need, for every side."""

import http.client
import os
from urllib.parse import urlencode, urlsplit

from bench.side_by_side.sides import Side, User

MB = 2**20
BLOCK = os.urandom(MB)
FORM = "application/x-www-form-urlencoded"
BOUNDARY = f"{'-' * 24}{os.urandom(8).hex()}"
"""Like that of ITK-SNAP's libcurl."""


class Client:
    """One connection of one user, kept alive, and opened anew for each request to a server that closes it."""

    def __init__(self, side: Side, user: User) -> None:
        address = urlsplit(side.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, 60)
        self._keeps_connections = side.keeps_connections
        self._cookie = user.cookie

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = FORM) -> bytes:
        """The answer's body.  Raises AssertionError unless it is 200."""
        headers = {"Cookie": self._cookie}
        if body:
            headers["Content-Type"] = kind
        connection = self._open()
        connection.request(method, path, body or None, headers)
        return _content(connection.getresponse())

    def post(self, path: str, **form: str) -> str:
        return self.ask("POST", path, urlencode(form).encode()).decode()

    def send_file(self, path: str, size_bytes: int) -> None:
        """In blocks that are made once."""
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="myfile"; filename="image.nii"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()
        length = str(len(head) + size_bytes + len(tail))
        connection = self._open()
        connection.putrequest("POST", path)
        for name, value in (
            ("Cookie", self._cookie),
            ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),
            ("Content-Length", length),
        ):
            connection.putheader(name, value)
        connection.endheaders(head)
        for start in range(0, size_bytes, MB):
            connection.send(BLOCK[: min(MB, size_bytes - start)])
        connection.send(tail)
        _content(connection.getresponse())

    def fetch(self, path: str) -> int:
        """How many bytes came."""
        connection = self._open()
        connection.request("GET", path, headers={"Cookie": self._cookie})
        answer = connection.getresponse()
        assert answer.status == http.client.OK, answer.read(200)
        total = 0
        while block := answer.read(MB):
            total += len(block)
        return total

    def _open(self) -> http.client.HTTPConnection:
        """The connection for the next request.

        uWSGI closes each one after its answer, and does not say so; a request that is sent before the close arrives
        would end with a broken pipe.
        """
        if not self._keeps_connections:
            self._connection.close()
        return self._connection


def _content(answer: http.client.HTTPResponse) -> bytes:
    """The body.  Raises AssertionError unless the answer is 200."""
    content = answer.read()
    assert answer.status == http.client.OK, content[:200]
    return content
