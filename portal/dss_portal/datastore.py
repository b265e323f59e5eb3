"""The portal's access to ticket files on the shared volume.  A file is written under a temporary name and published by
renaming it.

More than 300 lines: one class, with a short method for each thing that the portal does with a ticket's files, and the
functions that these methods run in threads.
"""

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Literal, ParamSpec, TypeAlias, TypeVar

import aiofiles

from dss_datastore import layout, volume
from dss_datastore.folder import FolderDatastore
from dss_datastore.layout import Area
from dss_datastore.s3.bucket import BucketFile
from dss_datastore.space import has_free, is_disk_full
from dss_datastore.writing import link, put_in_place, put_new, sync, write_at, write_new
from dss_observability import metrics
from dss_portal.receiving import BLOCK_BYTES, Writing
from dss_portal.refusals import Refused
from dss_portal.scrubbing.files import scrub
from dss_portal.shielding import run_shielded
from dss_workspace.registry import MAX_BYTES, Folder, parse

UploadFolder: TypeAlias = Area | Literal["attachments"]
"""The folder of a ticket to which a resumable upload goes."""

Stamps: TypeAlias = dict[str, tuple[int, int, int]]
"""By file name: inode (in a bucket: hash of the version), size in bytes, and modification time in ns.  Any change of a
file changes its stamp.
"""


Shown: TypeAlias = Callable[[], Awaitable[Container[PurePosixPath]]]
"""Reads from the database which files of a ticket clients can see."""

StoredFile: TypeAlias = Path | BucketFile
"""A file of a ticket, on the volume or in a bucket.  It need not exist."""

P = ParamSpec("P")
T = TypeVar("T")


class Mark(Enum):
    """A marker in the stream of pieces of a file that is being received.  AGAIN: another file follows; the pieces
    before it are void.
    """

    AGAIN = "another file follows, and counts instead"


Piece: TypeAlias = bytes | memoryview | Mark


SMALL_BYTES = 2 * BLOCK_BYTES
"""A file up to this size is collected in memory and written when it has been received completely."""


class Datastore:
    """The portal's access to the files of tickets.  No other module of the portal makes a path from a ticket number.

    Methods that read or write files raise OSError (ENODEV) while the volume is not mounted.  Without the check for it
    all files would seem to be missing, and new files would be lost below the mount point.

    ``name`` or ``place`` of a file of an area is its name, after the folder of its attempt and a slash if it has one:
    see ``layout.file_path``.  A *part* is the file in which a resumable upload is collected.
    """

    def __init__(self, root: Path, max_file_bytes: int) -> None:
        self._root = root
        self._max_file_bytes = max_file_bytes

    async def problem(self) -> str:
        """A sentence for operators about why files cannot be read or written now; "" if they can."""
        return await asyncio.to_thread(FolderDatastore(self._root).problem)

    async def _on_disk(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``act`` in a thread, because a network file system may be slow.  Raises OSError (ENODEV) if the volume
        is not mounted.
        """

        def guarded() -> T:
            self._require()
            try:
                return act(*args, **kwargs)
            except OSError:
                self._require()  # the volume may be gone by now
                raise

        return await asyncio.to_thread(guarded)

    def _require(self) -> None:
        if not volume.is_there(self._root):
            raise volume.away()

    def room_bytes(self) -> tuple[int, int]:
        """Size and free space of the file system.  Raises OSError if it is not mounted."""
        self._require()
        usage = shutil.disk_usage(self._root)
        return usage.total, usage.free

    async def prepare(self) -> None:
        """Create the folder of the tickets.  Raises OSError if that fails."""
        folder = self._root / layout.TICKETS
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)

    async def file(self, ticket_id: int, area: Area, name: str) -> StoredFile:
        """The file ``name`` of an area, which need not exist."""
        await asyncio.to_thread(self._require)
        return self._root / layout.file_path(ticket_id, area, name)

    async def examined(
        self,
        ticket_id: int,
        area: Area,
        names: Iterable[str],
        look: Callable[[Iterable[StoredFile]], T],
    ) -> T:
        """Call ``look`` in a thread, with the files ``names`` of an area, and return its result."""
        paths = [self._root / layout.file_path(ticket_id, area, name) for name in names]
        return await self._on_disk(look, paths)

    async def small_content(
        self, ticket_id: int, area: Area, name: str, most_bytes: int
    ) -> tuple[Path, bytes, os.stat_result] | None:
        """Path, content and ``stat`` of a file of at most ``most_bytes``; None for a larger file, or if the datastore
        is in a bucket.

        Raises FileNotFoundError if there is no such file.
        """
        path = self._root / layout.file_path(ticket_id, area, name)
        found = await self._on_disk(_content, path, most_bytes)
        return None if found is None else (path, *found)

    async def attachment(self, ticket_id: int, file_name: str) -> StoredFile:
        await asyncio.to_thread(self._require)
        return self._root / layout.attachments_dir(ticket_id) / file_name

    async def receive(
        self, ticket_id: int, area: Area, data: AsyncIterator[Piece]
    ) -> tuple[Path, int]:
        """Write ``data`` to a temporary file in the area, fsync it, and return its path and size.

        Raises Refused if the file is too large or the disk is full.  ``keep`` makes the file visible, ``discard``
        removes it; after an error it is already removed.
        """
        return await self._receive(self._root / layout.area_dir(ticket_id, area), data)

    async def _receive(self, folder: Path, data: AsyncIterator[Piece]) -> tuple[Path, int]:
        temporary = folder / f".{uuid.uuid4().hex}.part"
        try:
            with metrics.UPLOADS_IN_FLIGHT.track_inprogress(), room_needed():
                return temporary, await self._store(temporary, data)
        except BaseException:
            self.discard(temporary)
            raise

    async def _store(self, temporary: Path, data: AsyncIterator[Piece]) -> int:
        """Write ``data`` to the file ``temporary``, fsync it and return its size.  A small file takes only one call in
        the threads for disk work.
        """
        begun, is_whole = await _gathered(data, min(SMALL_BYTES, self._max_file_bytes))
        if is_whole:
            return await run_shielded(self._on_disk(_write_at_once, temporary, begun))
        await self._on_disk(_make_folder, temporary.parent)
        return await _write(temporary, _chained(begun, data), self._max_file_bytes)

    async def begin_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> None:
        """Make the empty file, named by ``part``, in which a resumable upload is collected.  Raises Refused if the disk
        has no room for ``size_bytes``.
        """
        path = self._part(ticket_id, part, folder)

        def begin() -> None:
            _make_folder(path.parent)
            if not has_free(path.parent, size_bytes):
                raise no_room()
            path.touch(exist_ok=False)
            sync(path.parent)

        await self._on_disk(begin)

    async def add_to_part(
        self,
        ticket_id: int,
        part: str,
        offset: int,
        block: bytes,
        folder: UploadFolder = "input",
    ) -> None:
        """Write ``block`` at ``offset`` of the file in which a resumable upload is collected, with fsync.  Raises
        Refused if the disk is full.
        """
        with room_needed():
            await self._on_disk(write_at, self._part(ticket_id, part, folder), offset, block)

    async def remove_part(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> None:
        await self._on_disk(self._part(ticket_id, part, folder).unlink, missing_ok=True)

    async def part_sha256(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> str:
        """The SHA-256 of the file in which a resumable upload is collected, in hexadecimal digits.  Raises
        FileNotFoundError.
        """
        return await self._on_disk(_sha256, self._part(ticket_id, part, folder))

    async def copy_of_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> Path:
        """Make a temporary file like that of ``receive``, with the content of a part (the file in which a resumable
        upload is collected), and return its path.  The part stays until ``remove_part``, so a portal that is killed
        while it stores the file can repeat this.

        Raises FileNotFoundError, also if the part does not have ``size_bytes``.
        """
        path = self._part(ticket_id, part, folder)
        twin = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            await run_shielded(self._on_disk(_link, path, twin, size_bytes))
        except BaseException:
            self.discard(twin)
            raise
        return twin

    def _part(self, ticket_id: int, part: str, folder: UploadFolder) -> Path:
        return self._root / upload_dir(ticket_id, folder) / f".{part}.part"

    async def scrub(self, temporary: Path, ticket_id: int) -> int:
        """Remove facts about the sender's machine from a received file, and return its new size.

        If the caller is cancelled, it waits for the thread, which could otherwise make the file again after
        ``discard``.  The same applies to ``receive`` and ``copy_of_part``.
        """
        return await run_shielded(scrub(temporary, f"/dss/{layout.ticket_dir(ticket_id)}"))

    async def receive_attachment(
        self, ticket_id: int, data: AsyncIterator[Piece]
    ) -> tuple[Path, int]:
        """Like ``receive``, but write to the folder of the ticket's attachments."""
        return await self._receive(self._root / layout.attachments_dir(ticket_id), data)

    async def take_attached(self, ticket_id: int, claim_id: str, name: str) -> tuple[Path, int]:
        """Make a temporary file, as ``receive_attachment`` does, with the content of the file ``name`` that the
        dispatcher of the claim has written.  Returns its path and size.

        Raises FileNotFoundError if there is no such file, or if it is a link.
        """
        source = self._root / layout.attached_dir(ticket_id, claim_id) / name
        target = self._root / layout.attachments_dir(ticket_id) / f".{uuid.uuid4().hex}.part"
        return target, await self._on_disk(_copy, source, target)

    async def take_read(self, ticket_id: int, folder: str, name: str) -> tuple[Path, int]:
        """Make a temporary file in the ticket's input, as ``receive`` does, with the content of the file ``name`` that
        an upload reader wrote to ``folder``.  Returns its path and size.

        Raises FileNotFoundError if there is no such file, or if it is a link.
        """
        source = self._root / folder / name
        target = self._root / layout.area_dir(ticket_id, "input") / f".{uuid.uuid4().hex}.part"

        def take() -> int:
            if source.is_symlink() or not source.is_file():
                raise FileNotFoundError(name)
            _make_folder(target.parent)
            link(source, target)
            return target.stat().st_size

        return target, await run_shielded(self._on_disk(take))

    async def remove_files(self, ticket_id: int, area: Area, places: Iterable[str]) -> None:
        """Delete files of the area.  Call it after the transaction that deletes their rows.  What cannot be deleted now
        is left for the next cleaning.
        """
        paths = [self._root / layout.file_path(ticket_id, area, place) for place in places]
        await asyncio.to_thread(_remove_files, paths, self._areas(ticket_id))

    async def remove_read(self, folder: str) -> None:
        """Delete the files that an upload reader wrote to ``folder``."""
        await asyncio.to_thread(shutil.rmtree, self._root / folder, ignore_errors=True)

    async def take_input(self, ticket_id: int, place: str) -> Path:
        """A temporary file, like that of ``receive``, with the content of an input file.  The caller may replace it,
        but not write into it.  Raises FileNotFoundError.
        """
        source = self._root / layout.file_path(ticket_id, "input", place)
        target = self._root / layout.area_dir(ticket_id, "input") / f".{uuid.uuid4().hex}.part"
        await run_shielded(self._on_disk(lambda: link(source, target, flush=False)))
        return target

    async def send(self, temporary: Path) -> None:
        """In a bucket: send a received file to the server under a temporary key, from which ``keep`` copies it.  Call
        it outside transactions, because it may take long.  In a folder: do nothing.
        """

    async def keep(
        self,
        temporary: Path,
        name: str,
        folder: PurePosixPath | None = None,
        *,
        is_flushed: bool = False,
    ) -> None:
        """Rename a received file to ``name``, replacing a file of that name.  It stays where it was received, or moves
        to ``folder``, a path below the datastore's root.

        ``is_flushed``: it has not changed since ``receive`` flushed it to disk.
        """
        target = (self._root / folder if folder else temporary.parent) / name

        def rename() -> None:
            if folder:
                _make_folder(target.parent)
            put_in_place(temporary, target, is_flushed=is_flushed)

        await self._on_disk(rename)

    async def keep_new(
        self, temporary: Path, target: PurePosixPath, *, is_flushed: bool = False
    ) -> None:
        """Like ``keep``, to the path ``target`` below the datastore's root, whose folder must exist.  Raises
        FileExistsError if there is a file: no file is replaced.
        """
        await self._on_disk(put_new, temporary, self._root / target, is_flushed=is_flushed)

    def discard(self, temporary: Path) -> None:
        temporary.unlink(missing_ok=True)

    async def stamps(self, ticket_id: int, area: Area, names: Iterable[str]) -> Stamps:
        """Stamps of the files ``names`` of an area, to see later whether a file has changed.  Raises Refused if one is
        missing.
        """
        paths = {name: self._root / layout.file_path(ticket_id, area, name) for name in names}
        try:
            return await self._on_disk(lambda: {n: _stamp(path) for n, path in paths.items()})
        except FileNotFoundError as error:
            raise Refused("A file of the ticket has gone; send it again.") from error

    async def publish_results(
        self,
        ticket_id: int,
        claim_id: str,
        names_and_sizes: Iterable[tuple[str, int]],
        staged_dir: str = "",  # noqa: ARG002 - on a folder, the attempts of a claim share one
    ) -> str:
        """Link the staged files of a claim into a new ``layout.attempt_dir``, and return the folder's name.
        ``staged_dir`` is their folder if it is not ``layout.staging_dir``; only a bucket uses it.

        Users see the folder when a committed row of TicketFile names it.  So a portal that has lost its transaction
        changes nothing that users see, however late its files arrive.  The staged files stay until the ticket is
        cleaned, so the next attempt can publish them.  Raises FileNotFoundError if a file is missing or has another
        size.
        """
        staged = layout.staging_dir(ticket_id, claim_id)
        return await self._gathered(
            ticket_id, {staged / flat(name): size for name, size in names_and_sizes}
        )

    async def freeze_results(self, ticket_id: int, places_and_sizes: Mapping[str, int]) -> str:
        """Link uploaded results into a new folder, in which they do not change any more, and return the folder's name.
        Raises FileNotFoundError if a file is missing or has another size.
        """
        return await self._gathered(
            ticket_id,
            {layout.file_path(ticket_id, "results", p): n for p, n in places_and_sizes.items()},
        )

    async def freeze_inputs(self, ticket_id: int, places_and_sizes: Mapping[str, int]) -> str:
        """Like ``freeze_results``, for input files, of which there may be none."""
        return await self._gathered(
            ticket_id,
            {layout.file_path(ticket_id, "input", p): n for p, n in places_and_sizes.items()},
        )

    async def retire_inputs(self, ticket_id: int, place: str, old_places: Iterable[str]) -> None:
        """Remove the files at ``old_places``, which no row names any more since a committed transaction has stored an
        input file at ``place``.

        The new file is linked to the name under which programs of release 0.1.0 look for it, which work beside this one
        during an upgrade.
        """
        shown = {layout.file_path(ticket_id, "input", place): layout.area_dir(ticket_id, "input")}
        with suppress(OSError):
            await self._on_disk(_link_again, self._root, shown)
        await self.remove_files(ticket_id, "input", [old for old in old_places if "/" in old])

    async def _gathered(self, ticket_id: int, sizes: Mapping[PurePosixPath, int]) -> str:
        """Link the files, whose sizes in bytes are given, into a new folder of an attempt, and return the folder's
        name.  Raises FileNotFoundError if a file is missing or has another size.
        """
        folder = uuid.uuid4().hex
        target = self._root / layout.attempt_dir(ticket_id, folder)
        await run_shielded(self._on_disk(_gather, self._root, target, sizes))
        return folder

    async def show_earlier_portals(self, ticket_id: int, places: Iterable[str]) -> None:
        """Link results to the names under which portals of release 0.1.0 look for them.  Such portals run beside this
        one during an upgrade, or after a rollback.  Call it when the ticket has ended, with the ticket locked.
        """
        shown = {
            layout.file_path(ticket_id, "results", place): layout.area_dir(ticket_id, "results")
            for place in places
            if "/" in place
        }
        with suppress(OSError):
            await self._on_disk(_link_again, self._root, shown)

    async def remove_ticket(self, ticket_id: int) -> None:
        for folder in (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id)):
            await asyncio.to_thread(shutil.rmtree, self._root / folder, ignore_errors=True)

    async def remove_abandoned(self) -> None:
        """In a bucket: remove incomplete uploads of killed programs, which no listing of files shows.  In a folder: do
        nothing.
        """

    async def remove_scraps(self, ticket_id: int, shown: Shown) -> None:
        """Delete the files of an ended ticket that clients cannot see, in a transaction that locks the ticket.

        These are working files of claims, interrupted uploads, and files of transactions that were rolled back.
        ``shown`` is called after the files were listed, and must raise if that transaction is lost: then nothing is
        deleted.  Files that are written later stay in any case.
        """
        files, working = await asyncio.to_thread(self._listed, ticket_id)
        hidden = self._hidden(files, await shown())
        await asyncio.to_thread(self._remove_listed, ticket_id, [*hidden, *working])

    def has_scraps(self, ticket_id: int, shown: Container[PurePosixPath] | None = None) -> bool:
        """True if ``remove_scraps`` would delete something.  If ``shown`` is None, only temporary files and the working
        folders of claims and upload readers count.  Blocks its thread.
        """
        return bool(self._scraps(ticket_id, shown))

    def has_ticket(self, ticket_id: int) -> bool:
        """True if ``remove_ticket`` would delete something.  Blocks its thread."""
        folders = (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id))
        return any((self._root / folder).exists() for folder in folders)

    def _areas(self, ticket_id: int) -> list[Path]:
        folders = (
            layout.area_dir(ticket_id, "input"),
            layout.area_dir(ticket_id, "results"),
            layout.attachments_dir(ticket_id),
        )
        return [self._root / folder for folder in folders]

    def _scraps(self, ticket_id: int, shown: Container[PurePosixPath] | None) -> list[Path]:
        files, working = self._listed(ticket_id)
        if shown is None:
            found = [p for p in files if p.name.startswith(".") and p.suffix == ".part"]
        else:
            found = self._hidden(files, shown)
        return found + working

    def _listed(self, ticket_id: int) -> tuple[list[Path], list[Path]]:
        """The files of the ticket, and what is in its two working folders, with these folders themselves last."""
        attempts = self._root / layout.attempt_dir(ticket_id, "")
        found = [p for area in (*self._areas(ticket_id), attempts) for p in area.rglob("*")]
        files = [p for p in found if not p.is_dir() or p.is_symlink()]
        folders = [folder for folder in self._working(ticket_id) if folder.exists()]
        return files, [*(p for folder in folders for p in folder.iterdir()), *folders]

    def _working(self, ticket_id: int) -> list[Path]:
        own = self._root / layout.ticket_dir(ticket_id)
        return [own / "work", own / "read"]

    def _hidden(self, files: Iterable[Path], shown: Container[PurePosixPath]) -> list[Path]:
        return [p for p in files if PurePosixPath(p.relative_to(self._root)) not in shown]

    def _remove_listed(self, ticket_id: int, paths: Iterable[Path]) -> None:
        for path in paths:
            if path in self._working(ticket_id):
                with suppress(OSError):  # a newer claim works there
                    path.rmdir()
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _remove_files([path], self._areas(ticket_id))


def flat_name(sent: str) -> str:
    """The file name that a client sent, without folders.  Raises Refused if it is empty, begins with a dot, is longer
    than 255 bytes, or has control characters.
    """
    name = sent.replace("\\", "/").rpartition("/")[2]
    if not name or name.startswith("."):
        raise Refused(f"A file needs a name that does not begin with a dot, not '{sent}'.")
    if len(name.encode()) > 255 or not name.isprintable():
        raise Refused("A file's name may have 255 bytes at most and no control characters.")
    return name


def flat(name: str) -> str:
    """``name`` unchanged.  Raises FileNotFoundError if it is not the name of a file, without folders."""
    if "/" in name or name in {"", ".", ".."}:
        raise FileNotFoundError(f"'{name}' is not the name of a file")
    return name


def content_of(file: StoredFile) -> bytes:
    """The content of a small file.  Raises FileNotFoundError."""
    with file.open("rb") as opened:
        return opened.read()


def workspace_in(file: StoredFile) -> Folder:
    """Parse the workspace in ``file``.  Raises WorkspaceInvalid or FileNotFoundError."""
    with file.open("rb") as opened:
        return parse(opened.read(MAX_BYTES + 1))


def upload_dir(ticket_id: int, folder: UploadFolder) -> PurePosixPath:
    """The path of the ticket's folder ``folder``, relative to the root of the datastore."""
    if folder == "attachments":
        return layout.attachments_dir(ticket_id)
    return layout.area_dir(ticket_id, folder)


@contextmanager
def room_needed() -> Iterator[None]:
    """A context that turns the error of a full disk or server into a refusal."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise no_room() from error
        raise


def no_room() -> Refused:
    return Refused(
        "The service has no room on its disk, and the file was not stored; please tell its operator.",
        507,
    )


def too_large(limit_bytes: int) -> Refused:
    return Refused(f"The file is larger than {limit_bytes} bytes.", 413)


async def _write(path: Path, data: AsyncIterator[Piece], limit_bytes: int) -> int:
    size_bytes = 0
    async with (
        aiofiles.open(path, "xb", buffering=0) as file,
        Writing(file) as writing,
    ):
        async for piece in data:
            if isinstance(piece, Mark):
                size_bytes = 0
                await writing.begin_anew()
                continue
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise too_large(limit_bytes)
            await writing.put(piece)
        await writing.end()
        await asyncio.to_thread(sync, path)
    return size_bytes


async def _gathered(
    data: AsyncIterator[Piece], most_bytes: int
) -> tuple[list[bytes | memoryview], bool]:
    """Read pieces of a file until they are more than ``most_bytes``, or the file ends.  Returns the pieces, and True if
    they are the complete file.
    """
    pieces: list[bytes | memoryview] = []
    size_bytes = 0
    async for piece in data:
        if isinstance(piece, Mark):
            pieces, size_bytes = [], 0
            continue
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > most_bytes:
            return pieces, False
    return pieces, True


async def _chained(
    begun: Iterable[bytes | memoryview], data: AsyncIterator[Piece]
) -> AsyncIterator[Piece]:
    for piece in begun:
        yield piece
    async for later in data:
        yield later


def _make_folder(folder: Path) -> None:
    """Make ``folder`` and its parents, and fsync what has changed."""
    _sync_all(volume.make_folder(folder))


def _write_at_once(path: Path, pieces: Iterable[bytes | memoryview]) -> int:
    """Write the pieces, fsync the file and new folders, and return the size."""
    changed = volume.make_folder(path.parent)
    size_bytes = write_new(path, pieces)
    _sync_all(changed)
    return size_bytes


def _content(path: Path, most_bytes: int) -> tuple[bytes, os.stat_result] | None:
    with path.open("rb", buffering=0) as file:
        stat = os.fstat(file.fileno())
        content = file.read(most_bytes + 1) if stat.st_size <= most_bytes else b""
    return (content, stat) if len(content) == stat.st_size else None


def _sync_all(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)


def _copy(source: Path, target: Path) -> int:
    """Copy a file, fsync the copy, and return its size.  After an error the copy is removed.

    Raises FileNotFoundError for a link, because it could lead to another patient's file.
    """
    if source.is_symlink() or not source.is_file():
        raise FileNotFoundError(source.name)
    _make_folder(target.parent)
    try:
        shutil.copyfile(source, target)
        sync(target)
        return target.stat().st_size
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _link(source: Path, target: Path, size_bytes: int) -> None:
    link(source, target)
    if _stamp(target)[1] != size_bytes:
        raise FileNotFoundError(f"{source.name} does not have {size_bytes} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    with path.open("rb") as file:  # opening makes a network file system update its cache
        found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def _gather(root: Path, target: Path, sizes: Mapping[PurePosixPath, int]) -> None:
    """Link files below ``root`` into the new folder ``target``, with fsync.  ``sizes``: size in bytes by path below
    ``root``.

    Raises FileNotFoundError if a file is a link, is missing or has another size.  Leaves nothing after an error.
    """
    _make_folder(target)
    try:
        for place, size_bytes in sizes.items():
            path = root / place
            if path.is_symlink() or path.stat().st_size != size_bytes:
                raise FileNotFoundError(f"{path.name} has not the {size_bytes} bytes announced")
            link(path, target / path.name)
        sync(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _link_again(root: Path, folders: Mapping[PurePosixPath, PurePosixPath]) -> None:
    """Link each file (key) into a second folder (value), replacing a file of the same name.  All paths are below
    ``root``.  Does no fsync: it does no harm if a crash undoes the links.
    """
    for file, folder in folders.items():
        target = root / folder / file.name
        _make_folder(target.parent)
        temporary = target.with_name(f".{uuid.uuid4().hex}.part")
        link(root / file, temporary, flush=False)
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # a rename to another link of the same file does nothing


def _remove_files(paths: Iterable[Path], areas: Container[Path]) -> None:
    """Remove the files that can be removed, and their folders if these become empty and are not in ``areas``."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
        if path.parent not in areas:
            with suppress(OSError):
                path.parent.rmdir()
