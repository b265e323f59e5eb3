"""Keeps what a download has received, so that a later run of the program can go on with it.

Beside ``target`` lie two hidden files until it is complete: the bytes (``.part``), and what they are part of
(``.part-of``): the address and the strong ETag.  The second is locked while a process downloads; where there are no
locks (Windows, some network drives), or while another process downloads the same, nothing is kept.
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
"""Bytes that are fetched again: the last ones may be incomplete after a crash, and a range must not be empty."""
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class Draft:
    """A file that is being downloaded to ``path``.  ``version`` is the strong ETag of its bytes; "" if it has none that
    can be gone on with.
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
        """Empty the file, for bytes of ``version``."""
        self._note("")
        self.path.unlink(
            missing_ok=True
        )  # it may be a link that others have laid into a shared folder
        self.path.open("xb").close()
        self._note(version)
        self.version = version

    def recall(self) -> None:
        """Go on with what an earlier process has received from the same address, if there is anything."""
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
def draft_of(target: Path, address: str) -> Iterator[Draft]:
    """A context in which the caller downloads from ``address`` into the draft, which afterwards replaces ``target``.

    If the block raises, ``target`` is unchanged.  The draft is kept if it has a version, unless the server has the file
    no more.
    """
    name = sha256(os.fsencode(target.name)).hexdigest()[
        :16
    ]  # a name may be as long as names can be
    path, record_path = target.with_name(f".{name}.part"), target.with_name(f".{name}.part-of")
    record = _locked(record_path)
    if record is None:
        with replacing(target) as temporary:
            yield Draft(temporary)
        return
    with record:
        draft = Draft(path, record, address)
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
    """The file, open and locked until it is closed; None if that is not possible."""
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
        if found.st_nlink:  # somebody else's
            return None


def _is_own(path: Path) -> bool:
    """True if it is a file of this user and no link, which others may have laid into a shared folder."""
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _version_in(text: bytes, address: str) -> str:
    """The version that a record tells for ``address``; "" if there is none."""
    try:
        told = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(told, dict) or told.get("address") != address:
        return ""
    version = told.get("version")
    return version if isinstance(version, str) else ""
