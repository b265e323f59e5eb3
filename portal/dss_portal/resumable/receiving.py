"""Receives the bytes of a resumable upload, one request at a time, and stores the file when it is complete."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tortoise.transactions import in_transaction

from dss_observability import metrics
from dss_portal.database import clock
from dss_portal.datastore import Datastore
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused
from dss_portal.resumable import store
from dss_portal.resumable.rules import Rules
from dss_portal.shielding import run_shielded

BLOCK_BYTES = 4 * 2**20
BLOCK_S = 1.0
"""A block of received bytes is written when it has BLOCK_BYTES, with the first piece that arrives later than BLOCK_S
seconds after the previous block, and at the end of the request.  A portal that is killed loses no more than one block.
"""
ACTIVITY_INTERVAL_S = 10.0


class Receiver:
    """Receives resumable uploads of one sender, to whom ``rules`` apply."""

    def __init__(self, datastore: Datastore, rules: Rules) -> None:
        self._datastore = datastore
        self._rules = rules

    async def take(
        self, ticket_id: int, upload_id: str, offset: int, data: AsyncIterator[bytes]
    ) -> ResumableUpload:
        """Append ``data``, which begins at ``offset``, to the upload, and store the file if it is then complete.  If
        the connection is lost, the bytes received until then are kept.  Returns the upload as it is afterwards.  To an
        upload whose file is stored already, nothing is appended.

        Raises Refused: 404 if there is no such upload, 409 if it does not have ``offset`` bytes, 413 if it gets more
        than announced, 423 while another request writes to it; also if ``store.finish`` cannot store the file, or if
        the rules do not allow its sender to continue it (then it is deleted).
        """
        async with self._held(ticket_id, upload_id) as (upload, holder):
            if upload.received_bytes != offset:
                raise Refused(
                    f"The upload has {upload.received_bytes} bytes; go on from there, not from {offset}.",
                    409,
                )
            if not upload.finished:
                async with store.delete_if_part_missing(upload):
                    await store.require_open(self._datastore, self._rules, upload)
                    await self._receive(upload, holder, data)
                await self._finish(upload, holder)
        return await store.find(ticket_id, upload_id)

    async def find_and_finish(self, ticket_id: int, upload_id: str) -> ResumableUpload:
        """The upload, to report its state.  If it is complete but its file is not stored yet, because a portal died in
        between, the file is stored now.

        Raises Refused if there is no such upload (404), if its file must be stored but another request writes to it
        (423) or ``store.finish`` cannot store it, or if the rules do not allow its sender to continue it (then it is
        deleted).
        """
        upload = await store.find(ticket_id, upload_id)
        await store.require_open(self._datastore, self._rules, upload)
        if upload.finished or upload.received_bytes < upload.length_bytes:
            return upload
        async with self._held(ticket_id, upload_id) as (upload, holder):
            await self._finish(upload, holder)
        return await store.find(ticket_id, upload_id)

    @asynccontextmanager
    async def _held(
        self, ticket_id: int, upload_id: str
    ) -> AsyncIterator[tuple[ResumableUpload, str]]:
        upload, holder = await store.hold(ticket_id, upload_id)
        try:
            with metrics.UPLOADS_IN_FLIGHT.track_inprogress():
                yield upload, holder
        finally:
            await store.release(upload_id, holder)

    async def _receive(
        self, upload: ResumableUpload, holder: str, data: AsyncIterator[bytes]
    ) -> None:
        blocks = _Blocks(self._datastore, self._rules, upload, holder)
        try:
            async for piece in data:
                await blocks.put(piece)
        finally:  # also if the connection is lost
            await blocks.write()

    async def _finish(self, upload: ResumableUpload, holder: str) -> None:
        """Store the file if the upload is complete, even if the request is cancelled meanwhile.

        Storing a large file takes longer than many clients and proxies wait; a cancelled attempt would have to begin
        again each time.
        """
        if upload.finished or upload.received_bytes < upload.length_bytes:
            return
        await run_shielded(self._stored(upload, holder))

    async def _stored(self, upload: ResumableUpload, holder: str) -> None:
        async with _hold_kept(upload.id, holder), store.delete_if_part_missing(upload):
            await store.finish(self._datastore, self._rules, upload, holder)


class _Blocks:
    """Collects the received pieces of an upload, writes them to disk in blocks, and updates ``upload.received_bytes``."""

    def __init__(
        self, datastore: Datastore, rules: Rules, upload: ResumableUpload, holder: str
    ) -> None:
        self._datastore = datastore
        self._rules = rules
        self._upload = upload
        self._holder = holder
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._began_s = time.monotonic()
        self._told_s = 0.0

    async def put(self, piece: bytes) -> None:
        """Add a piece, and write the block if it is due.  Raises Refused (413) if the upload gets more bytes than were
        announced.
        """
        if self._upload.received_bytes + self._bytes + len(piece) > self._upload.length_bytes:
            raise Refused(
                f"The upload was announced with {self._upload.length_bytes} bytes; there are more.",
                413,
            )
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= BLOCK_BYTES or time.monotonic() > self._began_s + BLOCK_S:
            await self.write()

    async def write(self) -> None:
        """Write the collected pieces as one block.  The block is on disk and counted completely or not at all, even if
        the request is cancelled.
        """
        block, self._pieces, self._bytes = b"".join(self._pieces), [], 0
        self._began_s = time.monotonic()
        if not block:
            return
        if self._began_s > self._told_s + ACTIVITY_INTERVAL_S:
            await self._rules.record_activity(self._upload)
            self._told_s = self._began_s
        await run_shielded(self._written(block))

    async def _written(self, block: bytes) -> None:
        """Write the block while the upload's row is locked, so that no other portal writes before these bytes are on
        disk and counted.

        Raises Refused, after deleting the upload, if the rules no longer allow it; also if the upload no longer exists
        (404), or if another request now has the hold on it (409).
        """
        ticket_id, upload_id = self._upload.ticket_id, self._upload.id
        async with in_transaction():
            upload = await store.locked(ticket_id, upload_id, self._holder)
            refusal = await self._rules.refusal(upload)
            if refusal is None:
                at, folder = upload.received_bytes, store.folder_of(upload)
                await self._datastore.add_to_part(ticket_id, upload_id, at, block, folder)
                received_bytes = at + len(block)
                await ResumableUpload.filter(id=upload_id).update(
                    received_bytes=received_bytes, heard_at=clock.now()
                )
        if refusal is not None:
            await store.remove(self._datastore, ticket_id, upload_id)
            raise refusal
        self._upload.received_bytes = received_bytes


@asynccontextmanager
async def _hold_kept(upload_id: str, holder: str) -> AsyncIterator[None]:
    """A context in which this request's hold on the upload is renewed periodically, so that it does not expire while a
    large file is stored.
    """

    async def beat() -> None:
        while True:
            await asyncio.sleep(store.HOLD_S / 4)
            await store.keep_hold(upload_id, holder)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
