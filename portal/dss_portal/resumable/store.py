"""Resumable uploads in the database.  Each row says which request may write to the upload (its hold), how many bytes
are on disk, and when it expires.  The bytes are in a file, the upload's part.

Locks are taken in this order: ticket, upload, user.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import cast

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_portal.batches import for_each
from dss_portal.datastore import Datastore
from dss_portal.datastore.names import UploadFolder
from dss_portal.datastore.room import too_large
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused
from dss_portal.resumable.rules import AnnouncedFile, Rules
from dss_portal.settings import Settings
from dss_portal.tickets import files, store

CHECKSUM_MISMATCH = 460
"""The HTTP status that the protocol tus defines for a wrong checksum."""

HOLD_S = 5.0
"""A request that has given no sign of life for this time in seconds loses its hold on the upload: its connection is
lost, or its portal has ended.
"""


async def create(
    datastore: Datastore, settings: Settings, ticket_id: int, announced: AnnouncedFile, rules: Rules
) -> ResumableUpload:
    """Create an upload of a file to a ticket, with an empty file as its part.  From now on the announced size counts
    towards the user's quota.  Raises Refused if the rules forbid it, the file is too large (413), or the disk has no
    room for it (507).

    Earlier uploads to the ticket with the same file name that have received no byte, and to which no request writes, are
    deleted, except those of empty files.
    """
    if announced.size_bytes > settings.max_upload_bytes:
        raise too_large(settings.max_upload_bytes)
    async with in_transaction():
        claim_id = await rules.lock(ticket_id)
        lost = await _lost(ticket_id, announced)
        target = await rules.begin(ticket_id, announced)
        upload = await ResumableUpload.create(
            id=uuid.uuid4().hex,
            ticket_id=ticket_id,
            name=announced.name,
            length_bytes=announced.size_bytes,
            sha256=announced.sha256,
            heard_at=store.now(),
            area=target.folder,
            claim_id=claim_id,
            description=target.description,
            mime_type=target.mime_type,
        )
        await datastore.begin_part(ticket_id, upload.id, announced.size_bytes, target.folder)
    for other in lost:
        await datastore.remove_part(ticket_id, other.id, folder_of(other))
    return upload


async def _lost(ticket_id: int, announced: AnnouncedFile) -> list[ResumableUpload]:
    """Delete the uploads with the same file name that have received no byte and to which no request writes, and return
    them; not those of empty files.  Their clients did not get the response to the creation, and now repeat the request.
    """
    of_file = ResumableUpload.filter(ticket_id=ticket_id, name=announced.name)
    found = of_file.select_for_update().filter(received_bytes=0, holder="")
    lost = [upload for upload in await found if upload.length_bytes]
    await ResumableUpload.filter(id__in=[upload.id for upload in lost]).delete()
    return lost


async def find(ticket_id: int, upload_id: str) -> ResumableUpload:
    """The upload.  Raises Refused (404) if the ticket has no such upload."""
    found = await ResumableUpload.get_or_none(id=upload_id, ticket_id=ticket_id)
    if found is None:
        raise no_such_upload()
    return found


async def hold(ticket_id: int, upload_id: str) -> tuple[ResumableUpload, str]:
    """Give this request the hold on the upload: no other request can write to it.  Returns the upload and the hold's
    random name.

    Raises Refused: 423 while another request has the hold, 404 if there is no such upload.
    """
    holder = uuid.uuid4().hex
    async with in_transaction():
        upload = await locked(ticket_id, upload_id)
        lapsed = store.now() - timedelta(seconds=HOLD_S)
        if upload.holder and upload.heard_at > lapsed:
            raise Refused("Another request writes to this upload; try again in a second.", 423)
        upload.holder, upload.heard_at = holder, store.now()
        await upload.save(update_fields=["holder", "heard_at"])
    return upload, holder


async def locked(ticket_id: int, upload_id: str, holder: str = "") -> ResumableUpload:
    """The upload, with its row locked until the caller's transaction ends.

    Raises Refused (404) if it no longer exists and, if ``holder`` is given, Refused (409) if the hold ``holder`` was
    lost to another request.
    """
    found = ResumableUpload.select_for_update().filter(id=upload_id, ticket_id=ticket_id)
    upload = await found.first()
    if upload is None:
        raise no_such_upload()
    if holder and upload.holder != holder:
        raise Refused("Another request goes on with this upload.", 409)
    return upload


async def keep_hold(upload_id: str, holder: str) -> None:
    await _held_by(upload_id, holder, heard_at=store.now())


async def release(upload_id: str, holder: str) -> None:
    """Give up the hold on the upload, so that another request can write to it.  Does nothing if another request has the
    hold already.
    """
    await _held_by(upload_id, holder, holder="", heard_at=store.now())


async def _held_by(upload_id: str, by: str, **changes: object) -> None:
    await ResumableUpload.filter(id=upload_id, holder=by).update(**changes)


async def require_open(datastore: Datastore, rules: Rules, upload: ResumableUpload) -> None:
    """Raises Refused, and deletes the upload, if the rules do not allow its sender to continue it."""
    if refusal := await rules.refusal(upload):
        await remove(datastore, upload.ticket_id, upload.id)
        raise refusal


async def finish(datastore: Datastore, rules: Rules, upload: ResumableUpload, holder: str) -> None:
    """Make the upload's complete part a file of its ticket, and delete the part; it can be repeated after a crash.

    Raises Refused and deletes the upload if the checksum is wrong (460), or if the rules do not allow its sender to
    continue it.  Raises Refused, and the upload stays, if the ticket takes no such file any more, if the quota has no
    room, or if another request has the hold (409).
    """
    ticket_id, folder = upload.ticket_id, folder_of(upload)

    async def lock() -> None:
        if await rules.lock(ticket_id) != upload.claim_id:
            raise no_such_upload()

    async def check() -> None:
        async with in_transaction():
            await lock()

    await _check_sum(datastore, upload)
    async with files.receiving_file(datastore, ticket_id, check):
        temporary = await datastore.copy_of_part(ticket_id, upload.id, upload.length_bytes, folder)
        try:
            size_bytes = await rules.prepare(upload, temporary)
            await datastore.send(temporary)
            async with in_transaction():
                await lock()
                await locked(ticket_id, upload.id, holder)
                await rules.keep(upload, temporary, size_bytes)
                await ResumableUpload.filter(id=upload.id).update(finished=True)
        except Refused:
            await require_open(datastore, rules, upload)
            raise
        finally:
            datastore.discard(temporary)
    await datastore.remove_part(ticket_id, upload.id, folder)


async def _check_sum(datastore: Datastore, upload: ResumableUpload) -> None:
    """Raises Refused, and deletes the upload, if its checksum differs from the one that the client announced."""
    if not upload.sha256:
        return
    found = await datastore.part_sha256(upload.ticket_id, upload.id, folder_of(upload))
    if found != upload.sha256:
        await remove(datastore, upload.ticket_id, upload.id)
        raise Refused(
            f"The bytes of '{upload.name}' are not those that were announced (SHA-256); send the file "
            "again. Did it change while it was sent?",
            CHECKSUM_MISMATCH,
        )
    await ResumableUpload.filter(id=upload.id).update(
        sha256=""
    )  # checked, and invalid after scrubbing


async def remove(datastore: Datastore, ticket_id: int, upload_id: str) -> None:
    """Delete the upload, its part and its reservation of space.  A file that it has become stays.  Raises Refused (404)
    if there is no such upload.
    """
    async with in_transaction():
        upload = await locked(ticket_id, upload_id)
        await ResumableUpload.filter(id=upload_id).delete()
    await datastore.remove_part(ticket_id, upload_id, folder_of(upload))


def folder_of(upload: ResumableUpload) -> UploadFolder:
    """The folder of the ticket in which the upload's part is, and to which its file will belong."""
    return cast("UploadFolder", upload.area)


def expires_at(upload: ResumableUpload, settings: Settings) -> datetime:
    """The time after which the upload is deleted, unless a request writes to it before."""
    return upload.heard_at + timedelta(seconds=settings.abandoned_upload_s)


# A user's upload ends with the submission of the ticket, a provider's with its claim.
_CLOSED = """
SELECT upload.id FROM resumable_upload upload JOIN ticket ON ticket.id = upload.ticket_id
WHERE upload.heard_at < $1 OR CASE WHEN upload.claim_id = '' THEN ticket.status <> 'init'
    ELSE ticket.status <> 'claimed' OR ticket.claim_id IS DISTINCT FROM upload.claim_id END
LIMIT 1000
"""


async def remove_stale(datastore: Datastore, settings: Settings) -> None:
    """Delete uploads that received nothing for ``abandoned_upload_s`` seconds, and uploads whose ticket was submitted
    or whose claim has ended; at most 1000 at a time.  An error with one upload is logged; an outage of database or
    datastore is raised.
    """
    before = store.now() - timedelta(seconds=settings.abandoned_upload_s)
    rows = await get_connection("default").execute_query_dict(_CLOSED, [before])
    stale = await ResumableUpload.filter(id__in=[row["id"] for row in rows])
    await for_each("removing an upload", stale, partial(_remove_stale, datastore))


async def _remove_stale(datastore: Datastore, upload: ResumableUpload) -> int:
    removed = await ResumableUpload.filter(id=upload.id, heard_at=upload.heard_at).delete()
    if removed:
        await datastore.remove_part(upload.ticket_id, upload.id, folder_of(upload))
    return removed


@asynccontextmanager
async def delete_if_part_missing(upload: ResumableUpload) -> AsyncIterator[None]:
    """A context that turns FileNotFoundError into Refused (404) and deletes the upload, because its part is no longer
    on disk.
    """
    try:
        yield
    except FileNotFoundError as error:
        await ResumableUpload.filter(id=upload.id).delete()
        raise no_such_upload() from error


def no_such_upload() -> Refused:
    return Refused("There is no such upload any more; begin it anew.", 404)
