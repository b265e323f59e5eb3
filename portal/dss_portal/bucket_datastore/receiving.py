"""Receives files of tickets in the scratch folder, and sends them to the bucket."""

from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path, PurePosixPath

from dss_datastore import layout
from dss_portal.bucket_datastore.access import BucketAccess
from dss_portal.datastore.pieces import Piece
from dss_portal.datastore.room import room_needed
from dss_portal.shielding import run_shielded


class BucketReceiving(BucketAccess):
    """Files on their way to a ticket.  A temporary file is in the scratch folder, in the bucket under a temporary key, or
    in both.
    """

    async def _receive(self, folder: Path, data: AsyncIterator[Piece]) -> tuple[Path, int]:
        temporary = self._temporary(PurePosixPath(folder.relative_to(self._root)))
        tickets = self._own(temporary) / layout.TICKETS
        await self._on_disk(tickets.mkdir, parents=True)
        return await super()._receive(temporary.parent, data)

    async def take_attached(self, ticket_id: int, claim_id: str, name: str) -> tuple[Path, int]:
        source = f"{layout.attached_dir(ticket_id, claim_id)}/{name}"
        target = self._temporary(layout.attachments_dir(ticket_id))
        found = await run_shielded(self._on_bucket(self._bucket.copy, source, self._key(target)))
        self._sent.add(target)
        return target, found.size_bytes

    async def take_read(self, ticket_id: int, folder: str, name: str) -> tuple[Path, int]:
        """As in Datastore.  Only a workspace is fetched, because facts about the sender must be removed from it; other
        files are copied within the server.
        """
        source, target = f"{folder}/{name}", self._temporary(layout.area_dir(ticket_id, "input"))

        if name.endswith(".itksnap"):
            return target, await run_shielded(self._on_bucket(self._fetch, source, target))
        found = await run_shielded(self._on_bucket(self._bucket.copy, source, self._key(target)))
        self._sent.add(target)
        return target, found.size_bytes

    async def take_input(self, ticket_id: int, place: str) -> Path:
        target = self._temporary(layout.area_dir(ticket_id, "input"))
        key = str(layout.file_path(ticket_id, "input", place))
        try:
            await run_shielded(self._on_bucket(self._fetch, key, target))
        except BaseException:
            self.discard(target)
            raise
        return target

    async def send(self, temporary: Path) -> None:
        """Send the temporary file to the server under a temporary key.  Raises Refused if the server is full."""

        def put() -> None:
            with temporary.open("rb") as file:
                self._bucket.put(self._key(temporary), file)

        self._sent.add(temporary)
        with room_needed():
            await run_shielded(self._on_bucket(put))

    async def keep(
        self,
        temporary: Path,
        name: str,
        folder: PurePosixPath | None = None,
        *,
        is_flushed: bool = False,  # noqa: ARG002 - the server flushes
    ) -> None:
        """Let the server copy the sent file to the key ``folder/name``, or to ``name`` in the folder where it was
        received.  A file that was not sent yet is sent first.  Discards ``temporary``.
        """
        target = f"{folder}/{name}" if folder else self._key(temporary.with_name(name))
        if temporary not in self._sent:
            await self.send(temporary)
        await run_shielded(self._on_bucket(self._bucket.copy, self._key(temporary), target))
        self.discard(temporary)

    async def keep_new(
        self,
        temporary: Path,
        target: PurePosixPath,
        *,
        is_flushed: bool = False,  # noqa: ARG002 - the server flushes
    ) -> None:
        """As in Datastore, with a request that looks for the file before the one that copies: not all servers have a
        copy that replaces nothing.
        """
        if temporary not in self._sent:
            await self.send(temporary)
        await run_shielded(self._on_bucket(self._copy_new, self._key(temporary), str(target)))
        self.discard(temporary)

    def _copy_new(self, source: str, target: str) -> None:
        if any(found.key == target for found in islice(self._bucket.list(target), 1)):
            raise FileExistsError(target)
        self._bucket.copy(source, target)
