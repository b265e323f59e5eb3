"""A ZIP archive that is built while it is sent.  Its files are stored without compression (images are compressed
already), so the length of the archive is known beforehand.

Format: PKWARE's APPNOTE.TXT 6.3.10; ZIP64 if a file or the archive has 4 GB or more.  Each file is read twice, because
its checksum is written in front of its content; so every reader accepts the archive, and a range of the archive can be
sent alone.
"""

import struct
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from dss_portal.datastore.stored import StoredFile
from dss_portal.web.stored_body import read_in_thread

BLOCK_BYTES = 1 << 20
_LIMIT = 0xFFFFFFFF
_UTF_8 = 0x0800
_MADE_BY_UNIX = 3 << 8
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True, kw_only=True)
class ArchiveMember:
    """A file of the archive.  ``name`` is its path in the archive; ``size_bytes`` and ``changed_at`` must be those of
    ``file``.
    """

    name: str
    file: StoredFile
    size_bytes: int
    changed_at: datetime


class FileChanged(OSError):
    """A file no longer has the size that its ArchiveMember states, so the response with the archive must be aborted."""


class Archive:
    """A ZIP archive of ``members``, built while it is sent."""

    def __init__(self, members: Sequence[ArchiveMember]) -> None:
        self._members = members

    @property
    def size_bytes(self) -> int:
        offset = sum(len(_local(m, 0)) + m.size_bytes for m in self._members)
        return offset + len(self._directory([0] * len(self._members)))

    async def read(self, first: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of the archive from ``first`` up to, but not including, ``stop``.  Raises OSError if a file
        is missing or has another size than its ArchiveMember states.
        """
        end = self.size_bytes if stop is None else stop
        offset, sums = 0, []
        for member in self._members:
            sums.append(await read_in_thread(member.file, _checksum, member))
            header = _local(member, sums[-1])
            if piece := header[max(first - offset, 0) : max(end - offset, 0)]:
                yield piece
            offset += len(header)
            async for piece in _part(member, first - offset, end - offset):
                yield piece
            offset += member.size_bytes
            if offset >= end:
                return
        yield self._directory(sums)[max(first - offset, 0) : end - offset]

    def _directory(self, sums: Sequence[int]) -> bytes:
        offset, entries = 0, []
        for member, checksum in zip(self._members, sums, strict=True):
            entries.append(_central(member, checksum, offset))
            offset += len(_local(member, checksum)) + member.size_bytes
        whole = b"".join(entries)
        return whole + _end(len(entries), len(whole), offset)


def _checksum(member: ArchiveMember) -> int:
    checksum, size_bytes = 0, 0
    with member.file.open("rb") as file:
        for block in _blocks(file):
            checksum, size_bytes = zlib.crc32(block, checksum), size_bytes + len(block)
    if size_bytes != member.size_bytes:
        raise FileChanged(f"{size_bytes} bytes instead of {member.size_bytes}")
    return checksum


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK_BYTES), b"")


async def _part(member: ArchiveMember, first: int, stop: int) -> AsyncIterator[bytes]:
    at, end = max(first, 0), min(stop, member.size_bytes)
    if at >= end:
        return
    file = await read_in_thread(member.file, member.file.open, "rb")
    try:
        await read_in_thread(member.file, file.seek, at)
        while at < end:
            block = await read_in_thread(member.file, file.read, min(BLOCK_BYTES, end - at))
            if not block:
                raise FileChanged(f"it ends at byte {at}")
            at += len(block)
            yield block
    finally:
        file.close()


def _is_large(*numbers: int) -> bool:
    return max(numbers) >= _LIMIT


def _local(member: ArchiveMember, checksum: int) -> bytes:
    size, name = member.size_bytes, member.name.encode()
    extra = struct.pack("<HHQQ", 1, 16, size, size) if _is_large(size) else b""
    shown = _LIMIT if extra else size
    needs, (time, date) = (45 if extra else 20), _moment(member)
    fields = (needs, _UTF_8, 0, time, date, checksum, shown, shown, len(name), len(extra))
    return b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fields) + name + extra


def _central(member: ArchiveMember, checksum: int, offset: int) -> bytes:
    size, name = member.size_bytes, member.name.encode()
    is_large = _is_large(size, offset)
    extra = struct.pack("<HHQQQ", 1, 24, size, size, offset) if is_large else b""
    shown, place = (_LIMIT, _LIMIT) if is_large else (size, offset)
    needs, (time, date) = (45 if extra else 20), _moment(member)
    fields = (needs, _UTF_8, 0, time, date, checksum, shown, shown, len(name), len(extra), 0, 0, 0)
    made_by = struct.pack("<H", _MADE_BY_UNIX | 45)
    place_and_kind = struct.pack("<II", _PLAIN_FILE, place)
    return (
        b"PK\1\2" + made_by + struct.pack("<HHHHHIIIHHHHH", *fields) + place_and_kind + name + extra
    )


def _end(count: int, size: int, offset: int) -> bytes:
    large = b""
    if _is_large(offset, size):
        record = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)
        locator = struct.pack("<IQI", 0, offset + size, 1)
        large = b"PK\6\6" + record + b"PK\6\7" + locator
    shown = (_LIMIT, _LIMIT) if large else (size, offset)
    return large + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, *shown, 0)


def _moment(member: ArchiveMember) -> tuple[int, int]:
    """The time and the date at which a file was changed, in MS-DOS format, in UTC; the year is at least 1980."""
    at = member.changed_at.astimezone(UTC)
    time = at.hour << 11 | at.minute << 5 | at.second // 2
    return time, max(at.year - 1980, 0) << 9 | at.month << 5 | at.day
