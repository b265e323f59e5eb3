"""Collects the bytes of each resumable upload in the bucket, as pieces that are objects of their own."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dss_datastore.s3.pieces import Piece, in_order, key_of
from dss_datastore.space import has_free
from dss_portal.bucket_datastore.access import BucketAccess
from dss_portal.datastore.names import UploadFolder, upload_dir
from dss_portal.datastore.room import no_room, room_needed
from dss_portal.shielding import run_shielded

_BEGUN = "begun"


class BucketParts(BucketAccess):
    """The parts of resumable uploads in the bucket.  As in ``datastore.parts.Parts``."""

    async def begin_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> None:
        if not has_free(self._root, size_bytes):
            raise no_room()
        begun = _parts_below(ticket_id, part, folder) + _BEGUN
        await self._on_bucket(self._bucket.put_bytes, begun, b"")

    async def add_to_part(
        self,
        ticket_id: int,
        part: str,
        offset: int,
        block: bytes,
        folder: UploadFolder = "input",
    ) -> None:
        """Store ``block`` as an object of its own, whose key contains offset and size: only a block with the same
        offset and size replaces it.  Raises FileNotFoundError without ``begin_part``, and Refused if the server is
        full.
        """
        below = _parts_below(ticket_id, part, folder)
        if await self._on_bucket(self._bucket.find, below + _BEGUN) is None:
            raise FileNotFoundError(part)
        name = key_of(Piece(offset=offset, size_bytes=len(block)))
        with room_needed():
            await self._on_bucket(self._bucket.put_bytes, below + name, block)

    async def remove_part(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> None:
        below = _parts_below(ticket_id, part, folder)
        await self._on_bucket(self._bucket.remove_below, below)

    async def part_sha256(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> str:
        def digest() -> str:
            found = hashlib.sha256()
            for block in self._blocks(_parts_below(ticket_id, part, folder)):
                found.update(block)
            return found.hexdigest()

        return await self._on_bucket(digest)

    async def copy_of_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> Path:
        twin = self._temporary(upload_dir(ticket_id, folder))
        below = _parts_below(ticket_id, part, folder)

        def gather() -> None:
            twin.parent.mkdir(parents=True, exist_ok=True)
            with twin.open("xb") as file:
                for block in self._blocks(below):
                    file.write(block)
                if file.tell() != size_bytes:
                    raise FileNotFoundError(f"{part} has {file.tell()} bytes, not {size_bytes}")

        try:
            await run_shielded(self._on_bucket(gather))
        except BaseException:
            self.discard(twin)
            raise
        return twin

    def _blocks(self, below: str) -> Iterator[bytes]:
        """Yield the content of a part (a file in which a resumable upload is collected) in order; the keys of its
        pieces begin with ``below``.  Raises FileNotFoundError if there is no such part, or a piece is missing.
        """
        pieces = {found.key.removeprefix(below): found for found in self._bucket.list(below)}
        if pieces.pop(_BEGUN, None) is None:
            raise FileNotFoundError(below)
        for name, skipped in in_order(pieces):
            with self._bucket.open_found(pieces[name]) as file:
                yield file.read()[skipped:]


def _parts_below(ticket_id: int, part: str, folder: UploadFolder) -> str:
    """The prefix of the keys of all pieces of ``part``, the file in which a resumable upload is collected."""
    return f"{upload_dir(ticket_id, folder)}/.{part}.part/"
