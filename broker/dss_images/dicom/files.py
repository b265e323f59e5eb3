"""Lists the files of a folder, a zip archive or a DICOMDIR, whatever their names."""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.parsing import begins_like_dicom

MOST_FILES = 200_000
MOST_UNPACKED_BYTES = 16 * 2**30
"""Limit for the unpacked files of all archives of a source together.  The largest CT series have some 2 GB."""
MOST_RATIO = 200
HARMLESS_BYTES = 2**30
"""An archive whose files have more bytes than this is refused if they have more than MOST_RATIO times the bytes of the
archive: images do not compress so well.
"""

_KEPT_FREE = 0.1
"""Fraction of the disk that unpacking leaves free."""

_CHUNK_BYTES = 1 << 20
_MAC_COPIES = "__MACOSX/"
_DEEPEST = 3
"""Most levels of archives inside archives; the limit stops an archive that contains itself."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a DICOM source, which may have been unpacked from an archive to ``path``.

    ``name`` is its path in the source, for sentences; ``folder`` identifies its original folder; ``trouble`` says why
    the file cannot be opened, as part of a sentence; "" if it can.
    """

    path: Path
    name: str
    folder: str
    trouble: str = ""


@contextmanager
def files_of(source: Path) -> Iterator[list[File]]:
    """A context with the list of all files of ``source``: a folder with its sub-folders, a zip archive, a DICOMDIR (its
    folder), or one file.

    Links are followed, and each file is listed once.  Archives ``*.zip`` are unpacked, and removed when the context
    ends.  Raises DicomRefused.
    """
    with tempfile.TemporaryDirectory(prefix="dss_dicom_") as unpacked:
        yield list(_listed(source, Path(unpacked)))


def is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def may_hold_dicom(archive: Path) -> bool:
    """True if a file in the zip archive begins like a DICOM file.

    Also True if the archive contains another archive, is damaged or is encrypted, because that is examined only when it
    is unpacked.  Raises OSError if it cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return any(_may_be_dicom(opened, member) for member in opened.infolist())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return True


def _may_be_dicom(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not _is_wanted(member):
        return False
    if member.filename.lower().endswith(".zip"):
        return True
    with opened.open(member) as file:
        return begins_like_dicom(file)


def state_of(source: Path) -> tuple[object, ...]:
    """A value that changes if one of the first MOST_FILES files of ``source`` is added, removed, replaced or written
    to.

    Raises DicomRefused for a folder that may not be opened.
    """
    return tuple(_state(file) for file in islice(_found(source), MOST_FILES))


def _state(file: File) -> tuple[object, ...]:
    try:
        found = file.path.stat()
    except OSError:
        return (file.path,)
    return (
        file.path,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _found(source: Path) -> Iterator[File]:
    """The files of ``source`` as they are on the disk: an archive is one file.  For a DICOMDIR, those of its folder."""
    if source.name.upper() == "DICOMDIR" and source.is_file():
        source = source.parent
    return _walk(source) if source.is_dir() else iter([_file(source, source.parent)])


class _Room:
    """How many files and bytes may still be unpacked from the archives of one source, nested archives included."""

    def __init__(self) -> None:
        self.files = MOST_FILES
        self.bytes = MOST_UNPACKED_BYTES


def _listed(source: Path, unpacked: Path) -> Iterator[File]:
    room = _Room()
    for count, file in enumerate(_found(source)):
        if count >= MOST_FILES:
            raise DicomRefused(
                f"There are more than {MOST_FILES} files in {source.name}; give the folder of one study."
            )
        if is_archive(file.path):
            yield from _unpack(file, unpacked / str(count), room)
        else:
            yield file


def _walk(top: Path) -> Iterator[File]:
    """Files below ``top``: those of a folder in the order of their names, then those of its sub-folders.

    A folder or file to which several links lead is visited once; sockets, pipes and devices are left out.
    Raises DicomRefused for a folder that may not be opened.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if not _is_new(folder, seen):
            continue
        below = []
        for path in _inside(folder):
            if path.is_dir():
                below.append(path)
            elif _may_be_read(path) and _is_new(path, seen):
                yield _file(path, top)
        waiting += reversed(below)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except PermissionError as error:
        raise DicomRefused(
            f"The folder {folder.name} cannot be opened, and slices may lie in it."
        ) from error


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        found = path.stat()
    except OSError:
        return path.is_symlink()  # a broken link, which _file reports
    key = (found.st_dev, found.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def _may_be_read(path: Path) -> bool:
    """True for a file and for a broken link.  False for a socket, pipe or device: reading it could block for ever."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _file(path: Path, top: Path) -> File:
    name = path.relative_to(top).as_posix()
    trouble = "" if os.access(path, os.R_OK) else "cannot be opened"
    if not path.exists():
        trouble = "is a link to a file that is not there"
    return File(path=path, name=name, folder=str(path.parent), trouble=trouble)


def _unpack(archive: File, target: Path, room: _Room, depth: int = 1) -> Iterator[File]:
    """Unpack an archive, and archives inside it, into ``target``, and yield each file when it is unpacked.

    The unpacked files are named by numbers, because names in an archive could lead out of ``target``.  Raises
    DicomRefused if the archive is damaged, encrypted, too large or too deep (``depth``, from 1).
    """
    if depth > _DEEPEST:
        raise DicomRefused(
            f"The archive {archive.name} lies in {_DEEPEST} others, one in the other; unpack them first."
        )
    target.mkdir()
    try:
        with zipfile.ZipFile(archive.path) as opened:
            members = [m for m in opened.infolist() if _is_wanted(m)]
            _require_room(archive, members, target, room)
            for number, member in enumerate(members):
                path = target / str(number)
                room.bytes -= _copy(opened, member, path, room.bytes)
                room.files -= 1
                folder = f"{archive.path}/{os.path.dirname(member.filename)}"  # noqa: PTH120 (no path of this disk)
                inside = File(path=path, name=member.filename, folder=folder)
                if member.filename.lower().endswith(".zip"):
                    yield from _unpack(inside, target / f"{number}_unpacked", room, depth + 1)
                else:
                    yield inside
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DicomRefused(
            f"The archive {archive.name} is damaged ({error}); pack the series anew, or give its folder."
        ) from error
    except RuntimeError as error:  # how zipfile says that a password is needed
        raise DicomRefused(f"The archive {archive.name} is encrypted; unpack it first.") from error


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    mode = member.external_attr >> 16
    return not (member.is_dir() or stat.S_ISLNK(mode) or member.filename.startswith(_MAC_COPIES))


def _require_room(archive: File, members: list[zipfile.ZipInfo], target: Path, room: _Room) -> None:
    size = sum(member.file_size for member in members)
    disk = shutil.disk_usage(target)
    if size > max(HARMLESS_BYTES, MOST_RATIO * archive.path.stat().st_size):
        raise DicomRefused(
            f"The archive {archive.name} would unpack to more than {MOST_RATIO} times its size, which images do not; "
            "give the folder."
        )
    if len(members) > room.files or size > room.bytes:
        raise DicomRefused(
            f"The archive {archive.name} holds {len(members)} files of {size / 2**30:.1f} GiB in all; "
            f"at most {MOST_FILES} files of {MOST_UNPACKED_BYTES / 2**30:.0f} GiB are unpacked, with "
            "other archives beside it."
        )
    if size > disk.free - _KEPT_FREE * disk.total:
        raise DicomRefused(
            f"The archive {archive.name} needs {size / 2**30:.1f} GiB unpacked, and the disk for "
            "temporary files has no room for them; unpack it where there is room."
        )


def _copy(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int) -> int:
    """Unpack the file ``member`` to ``path`` and return its size in bytes.

    Raises zipfile.BadZipFile if it is larger than the archive announced, or than ``left`` bytes.
    """
    written = 0
    with opened.open(member) as packed, path.open("xb") as file:
        while part := packed.read(_CHUNK_BYTES):
            written += len(part)
            if written > min(member.file_size, left):
                raise zipfile.BadZipFile(f"{member.filename} is larger than announced")
            file.write(part)
    return written
