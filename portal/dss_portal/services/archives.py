"""Reads the service.json in an uploaded ZIP or tar archive, with limits on the decompressed size.

All functions block: call them in a thread.
"""

import bz2
import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import Protocol

from dss_portal.refusals import Refused

FILE = "service.json"
MAX_FILE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 32 * 2**20
MAX_ENTRIES = 10_000


def descriptor_file(name: str, data: bytes) -> bytes:
    """The content of the service.json in the archive ``data``; ``data`` itself if ``name``, the uploaded file's name,
    ends with .json.

    Raises Refused if ``data`` is no ZIP or tar archive, if the archive has no service.json at its top or one folder
    below, or if the service.json, the unpacked archive or the number of its entries is too large.
    """
    if name.endswith(".json"):
        if len(data) > MAX_FILE_BYTES:
            raise _too_large()
        return data
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            return _from_zip(data)
        with tarfile.open(fileobj=_unpacked(data), mode="r|") as archive:
            return _from_tar(archive)
    except Refused:
        raise
    except Exception as error:
        raise Refused("Send a service.json, a .zip or a .tar.gz; this file is none.") from error


class Readable(Protocol):
    """A stream of decompressed data."""

    def read(self, size: int, /) -> bytes: ...


class _Bounded(io.RawIOBase):
    """A stream that reads from ``source``, and raises Refused when it has read more than MAX_UNPACKED_BYTES in all."""

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source
        self._left_bytes = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(
            self._left_bytes + 1 if size < 0 else min(size, self._left_bytes + 1)
        )
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise Refused(f"The archive unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB.", 413)
        return data


def _unpacked(data: bytes) -> _Bounded:
    packed = io.BytesIO(data)
    if data.startswith(b"\x1f\x8b"):
        return _Bounded(gzip.GzipFile(fileobj=packed))
    if data.startswith(b"BZh"):
        return _Bounded(bz2.BZ2File(packed))
    return _Bounded(packed)


def _from_zip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = next((e for e in archive.infolist() if _wanted(e.filename)), None)
        if entry is None or stat.S_ISLNK(entry.external_attr >> 16):
            raise _no_file()
        if entry.file_size > MAX_FILE_BYTES:
            raise _too_large()
        with archive.open(entry) as file:
            return file.read(MAX_FILE_BYTES)


def _from_tar(archive: tarfile.TarFile) -> bytes:
    for count, entry in enumerate(archive):
        if count >= MAX_ENTRIES:
            raise Refused(f"The archive has more than {MAX_ENTRIES} entries.", 413)
        if _wanted(entry.name):
            return _content(archive, entry)
    raise _no_file()


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    if not entry.isreg():
        raise _no_file()
    if entry.size > MAX_FILE_BYTES:
        raise _too_large()
    file = archive.extractfile(entry)
    return file.read(MAX_FILE_BYTES) if file else b""


def _wanted(name: str) -> bool:
    """True if ``name`` is the path of a service.json at the top of the archive or one folder below, because archives of
    repositories have a single folder at the top.
    """
    path = PurePosixPath(name)
    return path.name == FILE and len(path.parts) <= 2 and ".." not in path.parts


def _no_file() -> Refused:
    return Refused("The archive has no service.json at its top.")


def _too_large() -> Refused:
    return Refused("The service.json is larger than 1 MB.", 413)
