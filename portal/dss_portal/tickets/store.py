"""Reads and changes tickets in the database.  ``advance`` applies an event to a locked ticket; only ``granting`` and
``submitting`` change states with statements of their own.

More than 300 lines: one short function for each read and change of a ticket.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import cast

from tortoise.connection import get_connection

from dss_broker.messages import TicketWithdrawn
from dss_datastore import layout
from dss_datastore.layout import Area
from dss_observability.tracing import current_traceparent
from dss_portal.attachments import store as attachments
from dss_portal.batches import in_parts
from dss_portal.database import clock
from dss_portal.formats import PAGE_ROWS, Rows
from dss_portal.models import (
    Attachment,
    ResumableUpload,
    Status,
    Ticket,
    TicketFile,
    TicketLog,
    TicketProgress,
)
from dss_portal.notifications import outbox as notifications
from dss_portal.outbox import store as outbox
from dss_portal.refusals import Refused
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import counting, lifecycle
from dss_portal.tickets.lifecycle import TicketState
from dss_portal.tickets.views import LogLine

log = logging.getLogger(__name__)

PAGE_LINES = 100

_REGISTER_FILE = "SELECT register_file($1, $2, $3, $4, $5)"

_SAVE_STATE = """
WITH changed AS (
    UPDATE ticket SET status = $2, attempt = $3, claim_id = $4, announcements = $5,
        queued_at = $6, claimed_at = $7, traceparent = $8,
        expected_at = CASE WHEN $2::varchar = 'ready' THEN NULL ELSE expected_at END
    WHERE id = $1
)
INSERT INTO ticket_history (ticket_id, status, at) VALUES ($1, $2, $9)
"""

# $6: true if the new line gets the attachments that have no line yet.
_ADD_LOG = """
WITH line AS (
    INSERT INTO ticket_log (ticket_id, at, category, message, message_id) VALUES ($1, $2, $3, $4, $5)
    RETURNING id
), adopted AS (
    UPDATE attachment SET log_id = line.id FROM line WHERE ticket_id = $1 AND log_id IS NULL AND $6
)
SELECT id FROM line
"""


def now() -> datetime:
    return clock.now()


async def locked(ticket_id: int) -> Ticket | None:
    """The ticket, locked until the caller's transaction ends; None if there is no such ticket."""
    return await Ticket.select_for_update().get_or_none(id=ticket_id)


def state_of(ticket: Ticket) -> TicketState:
    return TicketState(status=ticket.status, attempt=ticket.attempt, claim_id=ticket.claim_id)


async def advance(ticket: Ticket, event: lifecycle.Event) -> bool:
    """Apply ``event`` to a locked ticket within the caller's transaction.  Returns False if that changes nothing.

    Otherwise saves the new state and history, notifies the user if the ticket has finished, and counts the event.  If
    that ends a claim, and neither its holder nor a deletion is the reason, tells the holder to stop and forgets results
    that it has uploaded.  Raises IllegalAction if a user's action is not allowed in the ticket's state.
    """
    before = state_of(ticket)
    after = lifecycle.apply(before, event)
    if after is before:
        return False
    ticket.status, ticket.attempt, ticket.claim_id = after.status, after.attempt, after.claim_id
    _note_time(ticket, before)
    await _save_state(ticket)
    if ticket.missed and shows_return(ticket, event):
        await add_log(ticket.id, "info", SENTENCES[MissingProgram.NONE])
        await begin_waiting(ticket)
    if claim_id := lifecycle.claim_to_withdraw(before, after, event):
        await withdraw_claim(ticket, claim_id)
        await forget_files(ticket.id, "results")  # a provider may have uploaded a part of them
    if ticket.status in lifecycle.FINISHED:
        await notifications.put(ticket)
    await counting.count(ticket, event, before.status)
    facts = {"ticket": ticket.id, "event": type(event).__name__, "claim": after.claim_id}
    log.info("ticket changed", extra={**facts, "status": after.status.value})
    return True


def shows_return(ticket: Ticket, event: lifecycle.Event) -> bool:
    """True if the ticket's log reports a program as missing, and ``event`` shows that it is back."""
    had_to_wait = ticket.missed in {
        MissingProgram.DISPATCHER,
        MissingProgram.REMOVED,
        MissingProgram.SILENT,
    }
    is_taken = isinstance(event, lifecycle.Claimed) and had_to_wait
    return is_taken or isinstance(event, lifecycle.Succeeded)


async def begin_waiting(ticket: Ticket) -> None:
    """Forget which missing program the ticket's log last reported, so that a missing program is reported again in the
    new wait.
    """
    if ticket.missed:
        ticket.missed = ""
        await ticket.save(update_fields=["missed"])


async def withdraw_claim(ticket: Ticket, claim_id: str) -> None:
    """Tell the holder of the claim to stop, by a TicketWithdrawn in the outbox.  Call it within a transaction.

    If the ticket is deleted, the message names no claim, so that every holder of a claim of it stops.
    """
    service = await ticket.service
    claim_id = "" if ticket.status is Status.DELETED else claim_id
    withdrawn = TicketWithdrawn(ticket_id=ticket.id, service=service.name, claim_id=claim_id)
    await outbox.put(withdrawn)


def _note_time(ticket: Ticket, before: TicketState) -> None:
    """Set ``queued_at`` and the trace when the ticket begins to wait, and ``claimed_at`` when an attempt begins.  A
    ticket whose claim was lost keeps its ``queued_at``, and so its place in the queue.
    """
    if ticket.status is Status.READY:
        ticket.announcements = 0
        if ticket.attempt == 1 and ticket.claim_id is None:
            ticket.queued_at, ticket.traceparent = now(), current_traceparent.get()
    if ticket.status is Status.CLAIMED and before.status is Status.READY:
        ticket.claimed_at = now()


async def _save_state(ticket: Ticket) -> None:
    values = [ticket.id, ticket.status.value, ticket.attempt, ticket.claim_id, ticket.announcements]
    times = [ticket.queued_at, ticket.claimed_at, ticket.traceparent, now()]
    await get_connection("default").execute_query(_SAVE_STATE, values + times)


async def listed(user_id: int) -> AsyncIterator[Rows]:
    """Yield pages of rows with the number, service name and status of the user's tickets that are not deleted, ordered
    by number.

    Every client polls this list, so rows are not converted to objects.
    """
    last = 0
    while True:
        own = Ticket.filter(user_id=user_id, id__gt=last).exclude(status=Status.DELETED)
        found = (
            await own.order_by("id").limit(PAGE_ROWS).values_list("id", "service__name", "status")
        )
        rows = [(int(str(n)), str(name), Status(str(status)).value) for n, name, status in found]
        if rows:
            yield rows
            last = rows[-1][0]
        if len(rows) < PAGE_ROWS:
            return


async def add_log(
    ticket_id: int,
    category: str,
    message: str,
    message_id: str | None = None,
    *,
    adopts: bool = True,
) -> int:
    """Add a line to the ticket's log and return its number.  If there is a line with that ``message_id``, change nothing
    and return the number of that line.

    ``adopts``: the line gets the ticket's attachments that have no line yet.
    """
    if message_id is not None:
        known = await TicketLog.get_or_none(message_id=message_id)
        if known is not None:
            return int(known.id)
    values = [ticket_id, now(), category, message, message_id, adopts]
    rows = await get_connection("default").execute_query_dict(_ADD_LOG, values)
    return int(rows[0]["id"])


async def has_log(message_id: str) -> bool:
    """True if there is a log line with that ``message_id``."""
    return await TicketLog.exists(message_id=message_id)


async def log_since(ticket_id: int, since: int) -> AsyncIterator[list[LogLine]]:
    """Yield the log lines with ids above ``since``, in order and in pages, because a line may have 64 kB."""
    while True:
        later = TicketLog.filter(ticket_id=ticket_id, id__gt=since).order_by("id")
        entries = await later.limit(PAGE_LINES)
        if entries:
            yield await _with_attachments(entries)
            since = int(entries[-1].id)
        if len(entries) < PAGE_LINES:
            return


async def newest_log(ticket_id: int, limit: int) -> list[LogLine]:
    """The last ``limit`` lines of the log, in order."""
    entries = await TicketLog.filter(ticket_id=ticket_id).order_by("-id").limit(limit)
    return await _with_attachments(entries[::-1])


async def _with_attachments(entries: Sequence[TicketLog]) -> list[LogLine]:
    attached = await attachments.of_lines(entry.id for entry in entries)
    return [LogLine(entry=e, attachments=attached.get(e.id, [])) for e in entries]


async def set_progress(ticket_id: int, start: float, end: float, progress: float) -> None:
    row = TicketProgress(ticket_id=ticket_id, chunk_start=start, chunk_end=end, progress=progress)
    key = ("ticket_id", "chunk_start", "chunk_end")
    await TicketProgress.bulk_create([row], on_conflict=key, update_fields=("progress",))


async def clear_progress(ticket_id: int, start: float = 0.0, end: float = 1.0) -> None:
    """Delete the progress of all chunks that lie completely between ``start`` and ``end`` (0..1)."""
    await TicketProgress.filter(
        ticket_id=ticket_id, chunk_start__gte=start, chunk_end__lte=end
    ).delete()


async def progress_chunks(ticket_id: int) -> list[TicketProgress]:
    """The ticket's chunks in the order of their creation, so that the rounding of their sum does not vary."""
    return await TicketProgress.filter(ticket_id=ticket_id).order_by("id")


async def shown_files(ticket_ids: Iterable[int]) -> dict[int, set[PurePosixPath]]:
    """By ticket number, the paths of the files and attachments that clients can download, relative to the datastore."""
    shown: dict[int, set[PurePosixPath]] = {ticket_id: set() for ticket_id in ticket_ids}
    for part in in_parts(shown):
        files = await TicketFile.filter(ticket_id__in=part)
        attached = await Attachment.filter(ticket_id__in=part)
        await asyncio.to_thread(_add_paths, shown, files, attached)
    return shown


def _add_paths(
    shown: dict[int, set[PurePosixPath]], files: list[TicketFile], attached: list[Attachment]
) -> None:
    for file in files:
        shown[file.ticket_id] |= {
            layout.file_path(file.ticket_id, cast("Area", file.area), place)
            for place in {file.place, file.name}  # name: a link of ``show_earlier_portals``
        }
    for attachment in attached:
        folder = layout.attachments_dir(attachment.ticket_id)
        shown[attachment.ticket_id].add(folder / attachment.file_name)


async def files(ticket_id: int, area: Area) -> list[TicketFile]:
    return await TicketFile.filter(ticket_id=ticket_id, area=area).order_by("index")


async def file(ticket_id: int, area: Area, index: int) -> TicketFile:
    """The file with that index (from 0) in that area.  Raises Refused if the ticket has none."""
    found = None
    if index < 2**31:
        found = await TicketFile.get_or_none(ticket_id=ticket_id, area=area, index=index)
    if found is None:
        raise Refused(f"Ticket {ticket_id} has no file {index} in its {area} area")
    return found


async def register_file(
    ticket_id: int, area: Area, name: str, size_bytes: int, folder: str = ""
) -> None:
    """Record a stored file as one of a locked ticket's files.  If the area has a file of the same name, its row is
    replaced, and the new one gets its index; otherwise the new one gets the next index, from 0.

    ``folder`` is the name of the folder of the attempt that made the file; "" for the folder of the area.
    """
    values = [ticket_id, area, name, size_bytes, folder]
    await get_connection("default").execute_query(_REGISTER_FILE, values)


async def forget_files(ticket_id: int, area: Area | None = None) -> None:
    """Delete the database rows of a ticket's files in ``area``; without ``area``, of all its files and of its resumable
    uploads.  The files on disk stay.
    """
    found = TicketFile.filter(ticket_id=ticket_id)
    await (found.filter(area=area) if area else found).delete()
    if area is None:
        await ResumableUpload.filter(ticket_id=ticket_id).delete()
