"""The portal's access to the shared volume with the files of tickets, which may be slow or not mounted: finds, examines
and removes files.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from dss_datastore import layout, volume
from dss_datastore.folder import FolderDatastore
from dss_datastore.layout import Area
from dss_portal.datastore.stored import Stamps, StoredFile, content_and_stat, stamp_of
from dss_portal.refusals import Refused

P = ParamSpec("P")
T = TypeVar("T")


class Disk:
    """The files of tickets on the volume: where they are, and what is said about them."""

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
        """The file ``name`` of an area, which need not exist.  Raises OSError (ENODEV) if the volume is not mounted."""
        await asyncio.to_thread(self._require)
        return self._root / layout.file_path(ticket_id, area, name)

    async def apply_to_files(
        self,
        ticket_id: int,
        area: Area,
        names: Iterable[str],
        look: Callable[[Iterable[StoredFile]], T],
    ) -> T:
        """Call ``look`` in a thread, with the files ``names`` of an area, which need not exist, and return its result or
        raise its error.
        """
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
        found = await self._on_disk(content_and_stat, path, most_bytes)
        return None if found is None else (path, *found)

    async def attachment(self, ticket_id: int, file_name: str) -> StoredFile:
        await asyncio.to_thread(self._require)
        return self._root / layout.attachments_dir(ticket_id) / file_name

    async def stamps(self, ticket_id: int, area: Area, names: Iterable[str]) -> Stamps:
        """Stamps of the files ``names`` of an area, to see later whether a file has changed.  Raises Refused if one is
        missing.
        """
        paths = {name: self._root / layout.file_path(ticket_id, area, name) for name in names}
        try:
            return await self._on_disk(lambda: {n: stamp_of(path) for n, path in paths.items()})
        except FileNotFoundError as error:
            raise Refused("A file of the ticket has gone; send it again.") from error

    def discard(self, temporary: Path) -> None:
        temporary.unlink(missing_ok=True)

    async def remove_files(self, ticket_id: int, area: Area, places: Iterable[str]) -> None:
        """Delete files of the area, and the folders of attempts that become empty.  Call it after the transaction that
        deletes their rows.  What cannot be deleted now is left for the next cleaning; no error is raised.
        """
        paths = [self._root / layout.file_path(ticket_id, area, place) for place in places]
        await asyncio.to_thread(remove_from, paths, self._areas(ticket_id))

    def _areas(self, ticket_id: int) -> list[Path]:
        folders = (
            layout.area_dir(ticket_id, "input"),
            layout.area_dir(ticket_id, "results"),
            layout.attachments_dir(ticket_id),
        )
        return [self._root / folder for folder in folders]


def remove_from(paths: Iterable[Path], areas: Container[Path]) -> None:
    """Remove the files that can be removed, and their folders if these become empty and are not in ``areas``.  Errors
    are ignored.
    """
    for path in paths:
        with suppress(OSError):
            path.unlink()
        if path.parent not in areas:
            with suppress(OSError):
                path.parent.rmdir()
