"""Collects the bytes of each resumable upload in a file of its own, the upload's part, until the upload is complete."""

import hashlib
import uuid
from pathlib import Path

from dss_datastore.space import has_free
from dss_datastore.writing import link, sync, write_at
from dss_portal.datastore.disk import Disk
from dss_portal.datastore.names import UploadFolder, upload_dir
from dss_portal.datastore.pieces import make_folder_flushed
from dss_portal.datastore.room import no_room, room_needed
from dss_portal.datastore.stored import stamp_of
from dss_portal.shielding import run_shielded


class Parts(Disk):
    """The parts of resumable uploads: the files in which their bytes are collected.  The argument ``part`` of a method is
    the id of the upload, ``folder`` the folder of the ticket to which its file will belong.
    """

    async def begin_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> None:
        """Make the empty file, named by ``part``, in which a resumable upload is collected.  Raises Refused if the disk
        has no room for ``size_bytes``.
        """
        path = self._part(ticket_id, part, folder)

        def begin() -> None:
            make_folder_flushed(path.parent)
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
        Refused (507) if the disk is full, FileNotFoundError if there is no such file or if it is shorter than
        ``offset``.
        """
        with room_needed():
            await self._on_disk(write_at, self._part(ticket_id, part, folder), offset, block)

    async def remove_part(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> None:
        await self._on_disk(self._part(ticket_id, part, folder).unlink, missing_ok=True)

    async def part_sha256(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> str:
        """The SHA-256 of the file in which a resumable upload is collected, in hexadecimal digits.  Raises
        FileNotFoundError if there is no such file.
        """
        return await self._on_disk(_sha256, self._part(ticket_id, part, folder))

    async def copy_of_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> Path:
        """Make a temporary file like that of ``receive``, with the content of a part (the file in which a resumable
        upload is collected), and return its path.  The part stays until ``remove_part``, so a portal that is killed
        while it stores the file can repeat this.

        Raises FileNotFoundError if there is no such part, or if it does not have ``size_bytes``.
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


def _link(source: Path, target: Path, size_bytes: int) -> None:
    link(source, target)
    if stamp_of(target)[1] != size_bytes:
        raise FileNotFoundError(f"{source.name} does not have {size_bytes} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
