"""Brings results, and input files of which one was replaced, into folders that do not change any more."""

import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_datastore.writing import link, sync
from dss_portal.datastore.disk import Disk
from dss_portal.datastore.names import flat
from dss_portal.datastore.pieces import make_folder_flushed
from dss_portal.shielding import run_shielded


class Publishing(Disk):
    """Makes folders of results or input files, with links to the files.  The files become those of the ticket when rows
    of the database name their folder.
    """

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
        cleaned, so the next attempt can publish them.  Raises FileNotFoundError if a file is missing, is a link or has
        another size, or if a name contains a folder.
        """
        staged = layout.staging_dir(ticket_id, claim_id)
        return await self._gathered(
            ticket_id, {staged / flat(name): size for name, size in names_and_sizes}
        )

    async def freeze(self, ticket_id: int, area: Area, places_and_sizes: Mapping[str, int]) -> str:
        """Link files of an area into a new folder, in which they do not change any more, and return the folder's name.
        There may be no files.  The sizes are in bytes.  Raises FileNotFoundError if a file is missing, is a link or has
        another size.
        """
        return await self._gathered(
            ticket_id,
            {layout.file_path(ticket_id, area, p): n for p, n in places_and_sizes.items()},
        )

    async def _gathered(self, ticket_id: int, sizes: Mapping[PurePosixPath, int]) -> str:
        """Link the files, whose sizes in bytes are given, into a new folder of an attempt, and return the folder's
        name.  Raises FileNotFoundError if a file is missing, is a link or has another size.
        """
        folder = uuid.uuid4().hex
        target = self._root / layout.attempt_dir(ticket_id, folder)
        await run_shielded(self._on_disk(_gather, self._root, target, sizes))
        return folder

    async def retire_inputs(self, ticket_id: int, place: str, old_places: Iterable[str]) -> None:
        """Remove the files at ``old_places``, which no row names any more since a committed transaction has stored an
        input file at ``place``; those directly in the folder of the area stay.

        The new file is linked to the name there, under which programs of release 0.1.0 look for it, which work beside
        this one during an upgrade.  If that fails, the error is ignored.
        """
        shown = {layout.file_path(ticket_id, "input", place): layout.area_dir(ticket_id, "input")}
        with suppress(OSError):
            await self._on_disk(_link_again, self._root, shown)
        await self.remove_files(ticket_id, "input", [old for old in old_places if "/" in old])

    async def show_earlier_portals(self, ticket_id: int, places: Iterable[str]) -> None:
        """Link results to the names under which portals of release 0.1.0 look for them.  Such portals run beside this
        one during an upgrade, or after a rollback.  Call it when the ticket has ended, with the ticket locked.  If it
        fails, the error is ignored.
        """
        shown = {
            layout.file_path(ticket_id, "results", place): layout.area_dir(ticket_id, "results")
            for place in places
            if "/" in place
        }
        with suppress(OSError):
            await self._on_disk(_link_again, self._root, shown)


def _gather(root: Path, target: Path, sizes: Mapping[PurePosixPath, int]) -> None:
    """Link files below ``root`` into the new folder ``target``, with fsync.  ``sizes``: size in bytes by path below
    ``root``.

    Raises FileNotFoundError if a file is a link, is missing or has another size.  Leaves nothing after an error.
    """
    make_folder_flushed(target)
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
    """Make each file (key) appear in a second folder (value), too, by a hard link or a copy that replaces a file of the
    same name.  All paths are below ``root``.  There is no fsync: it does no harm if a crash undoes the links.
    """
    for file, folder in folders.items():
        target = root / folder / file.name
        make_folder_flushed(target.parent)
        temporary = target.with_name(f".{uuid.uuid4().hex}.part")
        link(root / file, temporary, flush=False)
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # a rename to another link of the same file does nothing
