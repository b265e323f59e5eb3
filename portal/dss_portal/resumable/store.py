"""Resumable uploads in the database: the request that writes to one, the bytes on disk, and its expiry.

Locks are taken in this order: ticket, upload, user.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from tortoise.transactions import in_transaction

from dss_portal.datastore import Datastore, too_large
from dss_portal.models import ResumableUpload, Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.tickets import files, reservation, store, submission

CHECKSUM_MISMATCH = 460
"""The status for a wrong checksum in the tus protocol."""

HOLD_S = 5.0
"""A request without a sign of life for this time may not write any more: its connection is lost, or its portal has
ended.
"""


async def create(
    datastore: Datastore,
    settings: Settings,
    ticket_id: int,
    user: User,
    *,
    name: str,
    size_bytes: int,
    sha256: str = "",
) -> ResumableUpload:
    """Create an upload of a file to a ticket that is not yet submitted, and reserve its size.  Raises Refused."""
    files.check_name("input", name)
    if size_bytes > settings.max_upload_bytes:
        raise too_large(settings.max_upload_bytes)
    async with in_transaction():
        ticket = await _open(ticket_id, user)
        lost = await _lost(ticket_id, name)
        await reservation.let_count(ticket, settings.quiet_upload_s)
        held = await reservation.held_without(ticket, "input", name, settings)
        held.require(size_bytes)
        upload = await ResumableUpload.create(
            id=uuid.uuid4().hex,
            ticket_id=ticket_id,
            name=name,
            length_bytes=size_bytes,
            sha256=sha256,
            heard_at=store.now(),
        )
        await _touch(ticket_id)
        await datastore.begin_part(ticket_id, upload.id, size_bytes)
    for other in lost:
        await datastore.remove_part(ticket_id, other)
    return upload


async def _lost(ticket_id: int, name: str) -> list[str]:
    """Delete uploads of that file that have no byte, and return their ids: their clients did not get the response, and
    ask again.
    """
    found = ResumableUpload.select_for_update().filter(
        ticket_id=ticket_id, name=name, received_bytes=0, holder=""
    )
    numbers = [upload.id for upload in await found if upload.length_bytes]
    await ResumableUpload.filter(id__in=numbers).delete()
    return numbers


async def find(ticket_id: int, upload_id: str) -> ResumableUpload:
    """The upload.  Raises Refused (404) if the ticket has no such upload."""
    found = await ResumableUpload.get_or_none(id=upload_id, ticket_id=ticket_id)
    if found is None:
        raise _gone()
    return found


async def hold(ticket_id: int, upload_id: str) -> tuple[ResumableUpload, str]:
    """Become the only request that writes to the upload; the second value names the hold.

    Raises Refused (423) while another request holds it.
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
    """The upload, locked until the caller's transaction ends.

    Raises Refused if it does not exist any more (404), or if another request than ``holder``, if given, writes to it
    (409).
    """
    found = ResumableUpload.select_for_update().filter(id=upload_id, ticket_id=ticket_id)
    upload = await found.first()
    if upload is None:
        raise _gone()
    if holder and upload.holder != holder:
        raise Refused("Another request goes on with this upload.", 409)
    return upload


async def keep_hold(upload_id: str, holder: str) -> None:
    await _held_by(upload_id, holder, heard_at=store.now())


async def release(upload_id: str, holder: str) -> None:
    """Let the next request write; does nothing if another request has become the holder."""
    await _held_by(upload_id, holder, holder="", heard_at=store.now())


async def _held_by(upload_id: str, by: str, **changes: object) -> None:
    await ResumableUpload.filter(id=upload_id, holder=by).update(**changes)


async def heard_of(ticket_id: int, quiet_s: float) -> None:
    """Record that a part of a file is received, so that the ticket is not quiet.

    Raises Refused if it was quiet, and its user has too many open tickets without it.
    """
    async with in_transaction():
        await reservation.let_count(await store.locked(ticket_id), quiet_s)
        await _touch(ticket_id)


async def _touch(ticket_id: int) -> None:
    await Ticket.filter(id=ticket_id).update(uploaded_at=store.now())


async def finish(
    datastore: Datastore, settings: Settings, user: User, upload: ResumableUpload, holder: str
) -> None:
    """Turn the complete part into a file of its ticket.  Idempotent, also after a crash.  Raises Refused."""
    ticket_id, name = upload.ticket_id, upload.name

    async def check() -> None:
        submission.require_open(await Ticket.get_or_none(id=ticket_id), ticket_id, user)

    await _check_sum(datastore, upload)
    async with files.coming(datastore, ticket_id, check):
        temporary = await datastore.twin_of_part(ticket_id, upload.id, upload.length_bytes)
        try:
            size_bytes = upload.length_bytes
            if settings.scrub_inputs:
                size_bytes = await datastore.scrub(temporary, ticket_id)
            async with in_transaction():
                ticket = await _open(ticket_id, user)
                await locked(ticket_id, upload.id, holder)
                await reservation.let_count(ticket, settings.quiet_upload_s)
                held = await reservation.held_without(
                    ticket, "input", name, settings, resumed=upload.id
                )
                held.require(size_bytes)
                await submission.store_file(
                    datastore, ticket_id, "input", temporary, name=name, size_bytes=size_bytes
                )
                await ResumableUpload.filter(id=upload.id).update(finished=True)
                await _touch(ticket_id)
        finally:
            datastore.discard(temporary)
    await datastore.remove_part(ticket_id, upload.id)


async def _check_sum(datastore: Datastore, upload: ResumableUpload) -> None:
    """Raises Refused, and deletes the upload, if its checksum is not the one that the client has announced."""
    if not upload.sha256:
        return
    if await datastore.part_sha256(upload.ticket_id, upload.id) != upload.sha256:
        await remove(datastore, upload.ticket_id, upload.id)
        raise Refused(
            f"The bytes of '{upload.name}' are not those that were announced (SHA-256); send the file "
            "again. Did it change while it was sent?",
            CHECKSUM_MISMATCH,
        )
    await ResumableUpload.filter(id=upload.id).update(sha256="")  # scrubbing changes the bytes


async def remove(datastore: Datastore, ticket_id: int, upload_id: str) -> None:
    """Delete the upload, its part and its reservation, but not a finished file.  Raises Refused."""
    async with in_transaction():
        await locked(ticket_id, upload_id)
        await ResumableUpload.filter(id=upload_id).delete()
    await datastore.remove_part(ticket_id, upload_id)


def expires_at(upload: ResumableUpload, settings: Settings) -> datetime:
    """The time at which the upload is deleted unless more bytes are received."""
    return upload.heard_at + timedelta(seconds=settings.abandoned_upload_s)


async def remove_stale(datastore: Datastore, settings: Settings) -> None:
    """Delete uploads that received nothing for ``abandoned_upload_s``, and those of submitted tickets."""
    before = store.now() - timedelta(seconds=settings.abandoned_upload_s)
    late = ResumableUpload.filter(heard_at__lt=before)
    submitted = ResumableUpload.exclude(ticket__status=Status.INIT)
    for found in (late, submitted):
        for upload in await found.limit(1000):
            if await ResumableUpload.filter(id=upload.id, heard_at=upload.heard_at).delete():
                await datastore.remove_part(upload.ticket_id, upload.id)


async def _open(ticket_id: int, user: User) -> Ticket:
    ticket = await store.locked(ticket_id)
    if ticket is None or ticket.status is not Status.INIT:
        raise submission.not_found(ticket_id, user)
    return ticket


@asynccontextmanager
async def part_needed(upload: ResumableUpload) -> AsyncIterator[None]:
    """A context that raises Refused (404), and deletes the upload, if its part is not on the disk any more."""
    try:
        yield
    except FileNotFoundError as error:
        await ResumableUpload.filter(id=upload.id).delete()
        raise _gone() from error


def _gone() -> Refused:
    return Refused("There is no such upload any more; begin it anew.", 404)
