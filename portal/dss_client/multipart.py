"""The body of a file upload as ITK-SNAP sends it: a multipart form with one file, streamed from disk, formatted like
libcurl's.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

CHUNK_BYTES = 256 * 1024

Progress = Callable[[int, int], None]
"""A function that is called with the bytes that are done and the total bytes."""


class FileForm:
    """A form with the parts ``myfile``, ``filename`` and ``submit`` (RESTClient.cxx, UploadFile), followed by
    ``fields``.
    """

    def __init__(self, path: Path, fields: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._boundary = "-" * 24 + secrets.token_hex(8)
        self._head = self._file_head()
        self._tail = b"\r\n" + self._field("filename", path.name) + self._field("submit", "send")
        for name, value in (fields or {}).items():
            self._tail += self._field(name, value)
        self._tail += f"--{self._boundary}--\r\n".encode()
        self.length_bytes = len(self._head) + path.stat().st_size + len(self._tail)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    def chunks(self, progress: Progress | None = None) -> Iterator[bytes]:
        """The body in pieces; the file is read from disk while it is sent.  After each piece ``progress`` is called
        with the bytes of the body sent so far, and all of them.
        """
        sent = 0
        for chunk in self._body():
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(sent, self.length_bytes)

    def _body(self) -> Iterator[bytes]:
        yield self._head
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
        yield self._tail

    def _file_head(self) -> bytes:
        name = _quoted(self._path.name)
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="myfile"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()

    def _field(self, name: str, value: str) -> bytes:
        head = f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        return f"{head}{value}\r\n".encode()


def _quoted(name: str) -> str:
    """``name`` with quotation marks and line breaks escaped as by libcurl since 7.81."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
