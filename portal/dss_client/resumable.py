"""Uploads that continue after a lost connection, with tus 1.0.0 (``docs/pages/reference/rest.md``).  ITK-SNAP does
not use them.
"""

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from dss_client.errors import NotUnderstood, Refused, Unreachable
from dss_client.multipart import CHUNK_BYTES, Progress
from dss_client.retries import BUSY, Retries

SMALL_BYTES = 2**20
"""Files of at most this size in bytes are sent in one request, because the three requests of a resumable upload take
longer than repeating one.
"""
LARGEST_PATCH_BYTES, SMALLEST_PATCH_BYTES = 8 * 2**20, 2**20
"""Largest and smallest size in bytes of the part of the file in one request.  After an error the size is halved,
because a proxy may forward only complete requests, so that a lost connection loses all of a request.
"""
MAX_RESTARTS = 10
"""Largest number of times that an upload is begun.  It is begun again if the server has forgotten it."""
RETRY_S = 600.0
"""Longest time in seconds in which the server receives no further byte."""

VERSION = {"Tus-Resumable": "1.0.0"}
BODY_TYPE = "application/offset+octet-stream"
BUSY_ELSEWHERE = (HTTPStatus.CONFLICT, HTTPStatus.LOCKED, HTTPStatus.REQUEST_TIMEOUT)
"""Statuses that are temporary in an upload.  The server has another offset, is still reading from a lost connection, or
has received nothing for too long.
"""
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response with any status; names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def refusal(self) -> Refused:
        return Refused(self.status, self.body.decode(errors="replace"))


class Connection(Protocol):
    """Sends requests to one server."""

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] = b"",
    ) -> Reply:
        """Send a request, and return the response of any status.  Raises Unreachable if there is none."""


class _Gone(Exception):
    """The server no longer knows the upload."""


class _Unknown(Exception):
    """The server does not know the address of the uploads.  During an upgrade, an older instance of the portal may
    respond after a newer one has offered uploads.
    """


def _forgotten() -> Unreachable:
    return Unreachable("The server forgets the upload again and again.")


def upload(
    connection: Connection,
    ticket: int,
    file: Path,
    progress: Progress | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Upload ``file`` to the ticket's input area, over any number of connections.  False if the server has no resumable
    uploads.

    Raises Refused if the server refuses the file, NotUnderstood for a response of another protocol, and the last error
    if the server receives no further byte for RETRY_S.
    """
    retries = Retries(RETRY_S, pause, BUSY_ELSEWHERE)
    address = f"api/tickets/{ticket}/uploads"
    return upload_to(
        connection, FileToUpload(address=address, file=file, progress=progress), retries
    )


@dataclass(frozen=True, kw_only=True)
class FileToUpload:
    """A file to upload to ``address``.  ``metadata`` is sent in addition to the file's name and checksum."""

    address: str
    file: Path
    metadata: Mapping[str, str] = field(default_factory=dict)
    progress: Progress | None = None


def upload_to(connection: Connection, upload_file: FileToUpload, retries: Retries) -> bool:
    """Upload a file over any number of connections.  False if the server has no resumable uploads at that address.

    Raises Refused if the server refuses the file, NotUnderstood for a response of another protocol, the last error if
    ``retries`` has no time left, and Unreachable after MAX_RESTARTS.
    """
    if not _is_offered(connection, upload_file.address, retries):
        return False
    for _ in range(MAX_RESTARTS):
        try:
            _Transfer(connection, upload_file, retries).run()
        except _Unknown:
            return False
        except _Gone:
            retries.wait(_forgotten())
        else:
            return True
    raise _forgotten()


def until_it_succeeds(
    act: Callable[[], object], pause: Callable[[float], object] = time.sleep
) -> None:
    """Call ``act``, which must be safe to repeat, until it succeeds.  Raises Refused if the server refuses the request
    for good, and the last error after RETRY_S.
    """
    retries = Retries(RETRY_S, pause)
    while True:
        try:
            act()
        except (Unreachable, Refused) as error:
            retries.wait(error)
        else:
            return


def _is_offered(connection: Connection, address: str, retries: Retries) -> bool:
    while True:
        try:
            reply = connection.exchange("OPTIONS", address, {})
            if reply.status in BUSY:
                raise reply.refusal()
        except (Unreachable, Refused) as error:
            retries.wait(error)
        else:
            return reply.status == HTTPStatus.NO_CONTENT and "tus-version" in reply.headers


class _Transfer:
    """One upload on the server.  ``run`` sends the file; it raises _Gone if the server no longer has the upload, and
    _Unknown if the server has no resumable uploads.
    """

    def __init__(self, connection: Connection, upload_file: FileToUpload, retries: Retries) -> None:
        self._connection = connection
        self._path = upload_file.address
        self._file = upload_file.file
        self._size_bytes = upload_file.file.stat().st_size
        metadata = {
            "filename": self._file.name,
            "sha256": _sha256(self._file),
            **upload_file.metadata,
        }
        self._metadata = ",".join(f"{key} {_base64(text)}" for key, text in metadata.items())
        self._progress = upload_file.progress
        self._retries = retries
        self._patch_bytes = LARGEST_PATCH_BYTES
        self._offset = 0
        self._is_known = False
        """Whether the server has agreed to ``_offset``."""

    def run(self) -> None:
        while not (self._is_known and self._offset == self._size_bytes):
            before = self._offset
            try:
                self._go_on()
            except (Unreachable, Refused) as error:
                self._is_known = False
                self._patch_bytes = max(self._patch_bytes // 2, SMALLEST_PATCH_BYTES)
                self._retries.wait(error)
            if self._offset > before:
                self._retries.reset()

    def _go_on(self) -> None:
        if self._path.endswith("/uploads"):
            self._begin()
        elif not self._is_known:
            self._move(self._connection.exchange("HEAD", self._path, VERSION), HTTPStatus.OK)
        else:
            self._add()

    def _begin(self) -> None:
        length = {"Upload-Length": str(self._size_bytes), "Upload-Metadata": self._metadata}
        headers = {**VERSION, **length}
        reply = self._connection.exchange("POST", self._path, headers)
        if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            raise _Unknown
        if reply.status != HTTPStatus.CREATED:
            raise reply.refusal()
        name = reply.headers.get("location", "").rpartition("/")[2]
        if not _NAME.fullmatch(name):
            raise NotUnderstood("The server does not say where the upload goes on.")
        self._path += f"/{name}"
        self._is_known = True

    def _add(self) -> None:
        end = min(self._offset + self._patch_bytes, self._size_bytes)
        headers = {
            **VERSION,
            "Content-Length": str(end - self._offset),
            "Content-Type": BODY_TYPE,
            "Upload-Offset": str(self._offset),
        }
        reply = self._connection.exchange("PATCH", self._path, headers, self._part(end))
        self._move(reply, HTTPStatus.NO_CONTENT)
        self._patch_bytes = min(2 * self._patch_bytes, LARGEST_PATCH_BYTES)

    def _part(self, end: int) -> Iterator[bytes]:
        at = self._offset
        with self._file.open("rb") as file:
            file.seek(at)
            while at < end and (chunk := file.read(min(CHUNK_BYTES, end - at))):
                yield chunk
                at += len(chunk)
                if self._progress is not None:
                    self._progress(at, self._size_bytes)

    def _move(self, reply: Reply, status: int) -> None:
        if reply.status == HTTPStatus.NOT_FOUND:
            raise _Gone
        if reply.status != status:
            raise reply.refusal()
        text = reply.headers.get("upload-offset", "")
        if not text.isdecimal() or int(text) > self._size_bytes:
            raise NotUnderstood("The server does not say how much of the file it has.")
        self._offset, self._is_known = int(text), True


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
