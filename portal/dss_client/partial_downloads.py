"""Keeps the bytes of an incomplete download, so that a later run of the program can continue it.

Until the download is complete there are two hidden files beside ``target``: the bytes (``.part``), and a record of
the address and the strong ETag that they belong to (``.part-of``).  A process locks the record while it downloads.
Nothing is kept where files cannot be locked (Windows, some network drives), or while another process downloads the
same file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from dss_client.errors import Refused
from dss_datastore.writing import put_in_place, replacing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # there mypy would know it as missing

REWIND_BYTES = 1 << 16
"""Number of bytes at the end of an incomplete download that are fetched again: they may be damaged after a crash, and a
range must not be empty.
"""
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class PartialDownload:
    """A file at ``path`` to which a download is written.  ``version`` is the strong ETag of its bytes; "" if there is
    none, so that the download cannot be continued.
    """

    def __init__(self, path: Path, record: BinaryIO | None = None, address: str = "") -> None:
        self.path = path
        self.version = ""
        self._record = record
        self._address = address

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.version else 0

    def begin(self, version: str) -> None:
        """Empty the file, and record that the bytes that follow belong to ``version``."""
        self._note("")
        self.path.unlink(missing_ok=True)  # in a shared folder it may be another user's link
        self.path.open("xb").close()
        self._note(version)
        self.version = version

    def recall(self) -> None:
        """If an earlier process received bytes from the same address, keep them, except the last REWIND_BYTES, and set
        ``version``.
        """
        if self._record is None or not _is_own(self.path):
            return
        self._record.seek(0)
        self.version = _version_in(self._record.read(), self._address)
        if self.version:
            os.truncate(self.path, max(self.path.stat().st_size - REWIND_BYTES, 0))

    def _note(self, version: str) -> None:
        if self._record is None:
            return
        self._record.truncate(0)
        if version:
            self._record.write(json.dumps({"address": self._address, "version": version}).encode())
        self._record.flush()


@contextmanager
def partial_download(target: Path, address: str) -> Iterator[PartialDownload]:
    """A context in which the caller downloads from ``address`` into the draft.  Afterwards the draft replaces
    ``target``.

    If the block raises, ``target`` is unchanged.  The draft is then kept for a later download if it has a version and
    its record could be locked, unless the server no longer has the file.
    """
    # A hash, because the target's name may have the greatest length that is allowed.
    name = sha256(os.fsencode(target.name)).hexdigest()[:16]
    path, record_path = target.with_name(f".{name}.part"), target.with_name(f".{name}.part-of")
    record = _locked(record_path)
    if record is None:
        with replacing(target) as temporary:
            yield PartialDownload(temporary)
        return
    with record:
        draft = PartialDownload(path, record, address)
        gone = False
        try:
            draft.recall()
            yield draft
            put_in_place(path, target)
            draft.version = ""
        except Refused as error:
            gone = error.status in _GONE
            raise
        finally:
            if gone or not draft.size_bytes:
                path.unlink(missing_ok=True)
                record_path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO | None:
    """Open or create the file, and lock it until it is closed.  None if that is not possible, or if another user owns
    the file.
    """
    if fcntl is None:
        return None
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        file = os.fdopen(handle, "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        found = os.fstat(handle)
        if found.st_nlink and found.st_uid == os.getuid():
            return file
        file.close()
        if found.st_nlink:  # it belongs to another user
            return None


def _is_own(path: Path) -> bool:
    """True for a regular file of this user.  A link is refused, because another user may have put it into a shared
    folder.
    """
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _version_in(text: bytes, address: str) -> str:
    """The version that the record ``text`` has for ``address``; "" if it has none."""
    try:
        record = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(record, dict) or record.get("address") != address:
        return ""
    version = record.get("version")
    return version if isinstance(version, str) else ""
