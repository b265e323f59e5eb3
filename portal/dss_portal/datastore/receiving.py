"""Receives files of tickets from clients and from other programs as temporary files, and brings these to their places."""

import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_datastore.writing import link, put_in_place, put_new, sync
from dss_observability import metrics
from dss_portal.datastore.disk import Disk
from dss_portal.datastore.pieces import (
    SMALL_BYTES,
    Piece,
    chained,
    gathered,
    make_folder_flushed,
    write_at_once,
    write_pieces,
)
from dss_portal.datastore.room import room_needed
from dss_portal.scrubbing.files import scrub
from dss_portal.shielding import run_shielded


class Receiving(Disk):
    """Files on their way to a ticket: each is a temporary file until ``keep`` makes it visible."""

    async def receive(
        self, ticket_id: int, area: Area, data: AsyncIterator[Piece]
    ) -> tuple[Path, int]:
        """Write ``data`` to a temporary file in the area, fsync it, and return its path and size.

        Raises Refused if the file is too large (413) or the disk is full (507).  ``keep`` makes the file visible,
        ``discard`` removes it; after an error it is already removed.
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
        begun, is_whole = await gathered(data, min(SMALL_BYTES, self._max_file_bytes))
        if is_whole:
            return await run_shielded(self._on_disk(write_at_once, temporary, begun))
        await self._on_disk(make_folder_flushed, temporary.parent)
        return await write_pieces(temporary, chained(begun, data), self._max_file_bytes)

    async def receive_attachment(
        self, ticket_id: int, data: AsyncIterator[Piece]
    ) -> tuple[Path, int]:
        """Write ``data`` to a temporary file in the folder of the ticket's attachments, fsync it, and return its path
        and size.  Raises Refused if the file is too large (413) or the disk is full (507).
        """
        return await self._receive(self._root / layout.attachments_dir(ticket_id), data)

    async def scrub(self, temporary: Path, ticket_id: int) -> int:
        """Remove facts about the sender's machine from a received file, and return its new size.

        If the caller is cancelled, it waits for the thread, which could otherwise make the file again after
        ``discard``.  The same applies to ``receive`` and ``copy_of_part``.
        """
        return await run_shielded(scrub(temporary, f"/dss/{layout.ticket_dir(ticket_id)}"))

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
            make_folder_flushed(target.parent)
            link(source, target)
            return target.stat().st_size

        return target, await run_shielded(self._on_disk(take))

    async def take_input(self, ticket_id: int, place: str) -> Path:
        """A temporary file, like that of ``receive``, with the content of an input file.  The caller may replace it,
        but not write into it.  Raises FileNotFoundError if there is no such file.
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
        """Rename a received file to ``name``, replacing a file of that name.  It stays in the folder in which it was
        received, or moves to ``folder``, a path below the datastore's root, which is made if it is missing.

        ``is_flushed``: it has not changed since ``receive`` flushed it to disk.
        """
        target = (self._root / folder if folder else temporary.parent) / name

        def rename() -> None:
            if folder:
                make_folder_flushed(target.parent)
            put_in_place(temporary, target, is_flushed=is_flushed)

        await self._on_disk(rename)

    async def keep_new(
        self, temporary: Path, target: PurePosixPath, *, is_flushed: bool = False
    ) -> None:
        """Move a received file to the path ``target`` below the datastore's root, whose folder must exist.  Raises
        FileExistsError if there is a file: no file is replaced.

        ``is_flushed``: the file has not changed since ``receive`` flushed it to disk.
        """
        await self._on_disk(put_new, temporary, self._root / target, is_flushed=is_flushed)


def _copy(source: Path, target: Path) -> int:
    """Copy a file, fsync the copy, and return its size.  After an error the copy is removed.

    Raises FileNotFoundError for a link, because it could lead to another patient's file.
    """
    if source.is_symlink() or not source.is_file():
        raise FileNotFoundError(source.name)
    make_folder_flushed(target.parent)
    try:
        shutil.copyfile(source, target)
        sync(target)
        return target.stat().st_size
    except OSError:
        target.unlink(missing_ok=True)
        raise
