"""Removes the files of deleted tickets, and files of ended tickets that clients cannot see."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Container, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from dss_datastore import layout
from dss_portal.datastore.disk import Disk, remove_from

Shown: TypeAlias = Callable[[], Awaitable[Container[PurePosixPath]]]
"""Reads from the database which files of a ticket clients can see."""


class Removing(Disk):
    """Removes all files of a ticket, or those that clients cannot see."""

    async def remove_ticket(self, ticket_id: int) -> None:
        for folder in (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id)):
            await asyncio.to_thread(shutil.rmtree, self._root / folder, ignore_errors=True)

    async def remove_read(self, folder: str) -> None:
        """Delete ``folder``, a path below the datastore's root, with the files that an upload reader wrote there.
        Errors are ignored.
        """
        await asyncio.to_thread(shutil.rmtree, self._root / folder, ignore_errors=True)

    async def remove_abandoned(self) -> None:
        """In a bucket: remove incomplete uploads of killed programs, which no listing of files shows.  In a folder: do
        nothing.
        """

    async def remove_leftovers(self, ticket_id: int, shown: Shown) -> None:
        """Delete the files of an ended ticket that clients cannot see, in a transaction that locks the ticket.

        These are working files of claims, interrupted uploads, and files of transactions that were rolled back.
        ``shown`` is called after the files were listed, and must raise if that transaction is lost: then nothing is
        deleted.  Files that are written later stay in any case.
        """
        files, working = await asyncio.to_thread(self._listed, ticket_id)
        hidden = self._hidden(files, await shown())
        await asyncio.to_thread(self._remove_listed, ticket_id, [*hidden, *working])

    def has_leftovers(self, ticket_id: int, shown: Container[PurePosixPath] | None = None) -> bool:
        """True if ``remove_leftovers`` would delete something.  If ``shown`` is None, only temporary files and the working
        folders of claims and upload readers count.  Blocks its thread.
        """
        return bool(self._leftovers(ticket_id, shown))

    def has_ticket(self, ticket_id: int) -> bool:
        """True if ``remove_ticket`` would delete something.  Blocks its thread."""
        folders = (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id))
        return any((self._root / folder).exists() for folder in folders)

    def _leftovers(self, ticket_id: int, shown: Container[PurePosixPath] | None) -> list[Path]:
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
                remove_from([path], self._areas(ticket_id))
