"""Intakes in the database.  The intake of a ticket says what a browser uploads for it, and how far that has been read.
A ticket has at most one.

States, in order: ``coming`` until all files are uploaded, ``reading`` until a program has answered, ``placing`` until
the files that were read are those of the ticket, ``waiting`` until the ticket may be queued, ``done``; or ``refused``,
with a reason.  Each request has an ``attempt_id`` of its own, so that a late answer to an earlier one is ignored.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from tortoise.expressions import Subquery
from tortoise.transactions import in_transaction

from dss_broker.liveness import ALIVE_S
from dss_broker.messages import FoundSeries, ReadImage, ReadUpload, UploadedImage
from dss_datastore import layout
from dss_portal.database import clock
from dss_portal.intake import requests
from dss_portal.intake.requests import Request
from dss_portal.intake.states import State
from dss_portal.models import (
    Intake,
    ResumableUpload,
    Status,
    Ticket,
    TicketFile,
    UploadReaderProgram,
    User,
)
from dss_portal.outbox import store as outbox
from dss_portal.refusals import Refused
from dss_portal.tickets import input_files, store, submission, titles

CONTINUING = (State.READING, State.PLACING, State.WAITING)
"""States in which the portal continues without the user, so that the ticket is not given up as abandoned."""

NO_READER = "Nobody reads uploads at present; yours is kept, and is read as soon as a program that does so is back."
READING = "The upload is being read; after that the ticket is queued by itself."
INCOMPLETE = "The files are not complete; choose them again on the page where you sent them."


async def find(ticket_id: int) -> Intake | None:
    return await Intake.get_or_none(ticket_id=ticket_id)


async def declare(ticket_id: int, user: User, request: Request, title: str) -> Intake:
    """Store what the browser will upload for the ticket, and its title.  The upload is read as soon as it is complete.
    Idempotent.

    A new request replaces an earlier one and its files, except images whose names it repeats.  Raises Refused if the
    user has no such ticket or has submitted it, the files do not suit the service, or the images have been read already.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id) if ticket_id < 2**31 else None
        if ticket is None or ticket.user_id != user.id or ticket.status is not Status.INIT:
            raise submission.not_open(ticket, ticket_id, user)
        requests.require_fit(request, await ticket.service)
        intake = await _declared(ticket, request)
        if title:
            await titles.set_title(ticket, title)
        await ask_if_complete(ticket, intake)
    return intake


async def _declared(ticket: Ticket, request: Request) -> Intake:
    intake = await find(ticket.id)
    text = requests.encoded(request)
    if intake is None:
        return await Intake.create(
            ticket_id=ticket.id, attempt_id=uuid.uuid4().hex, state=State.COMING, request=text
        )
    if intake.state in {State.PLACING, State.WAITING, State.DONE}:
        raise Refused("The ticket's images have been read already.")
    if intake.request == text and intake.state != State.REFUSED:
        return intake
    wanted = (
        [] if request.as_it_is else [file.name for file in request.files]
    )  # kept if still needed
    await TicketFile.filter(ticket_id=ticket.id, area="input").exclude(name__in=wanted).delete()
    intake.request = text
    await save(intake, State.COMING, attempt_id=uuid.uuid4().hex, reason="", series="[]")
    return intake


async def save(intake: Intake, state: State, **changes: Any) -> None:
    """Store the new state, the request, and the columns ``changes``."""
    intake.update_from_dict({"state": state, **changes})
    await intake.save(update_fields=["state", "request", *changes])


def request_of(intake: Intake) -> Request:
    return requests.decoded(intake.request)


def series_of(intake: Intake) -> list[FoundSeries]:
    """The DICOM series of the upload that the user may choose from."""
    return msgspec.json.decode(intake.series, type=list[FoundSeries])


async def ask_if_complete(ticket: Ticket, intake: Intake, *, finished: str = "") -> bool:
    """If all files of the locked ticket are uploaded, request that they are read, and return True; otherwise, or if
    that was done before, return False.  An upload that is used as it is needs no reading, and waits to be queued.

    ``finished`` is the id of the resumable upload that has just been stored; "" if none was.
    """
    request = request_of(intake)
    if intake.state != State.COMING or not await _is_complete(ticket.id, request, finished):
        return False
    if request.as_it_is:
        await save(intake, State.WAITING)
    else:
        await _ask(ticket, intake)
    return True


async def _is_complete(ticket_id: int, request: Request, finished: str) -> bool:
    sizes = {file.name: file.size_bytes for file in await store.files(ticket_id, "input")}
    names = [file.name for file in request.files]
    if request.as_it_is:  # sizes are not compared, because the portal has scrubbed the files
        begun = ResumableUpload.filter(ticket_id=ticket_id, name__in=names, finished=False)
        return set(names) <= sizes.keys() and not await begun.exclude(id=finished).exists()
    return all(sizes.get(file.name) == file.size_bytes for file in request.files)


async def is_raw(ticket_id: int, name: str) -> bool:
    """True if the file is an upload that a program still has to convert, and not a file that the service gets."""
    intake = await find(ticket_id)
    if intake is None or intake.state == State.DONE:
        return False
    request = request_of(intake)
    return not request.as_it_is and name in {file.name for file in request.files}


async def _ask(ticket: Ticket, intake: Intake) -> None:
    request = request_of(intake)
    folder = await input_files.folder_of(ticket.id)
    await outbox.put(
        ReadUpload(
            ticket_id=ticket.id,
            intake_id=intake.attempt_id,
            upload_dir=str(layout.input_dir(ticket.id, folder)),
            images=tuple(UploadedImage(name=f.name, tag=f.tag) for f in request.files),
            tags=requests.needed_tags(await ticket.service),
            series=request.series,
        )
    )
    await save(intake, State.READING, asked_at=clock.now())


async def ask_again(ticket_id: int) -> bool:
    """Repeat the request to read an upload, in case it was lost.  An answer to either of the requests is accepted.
    False if no answer is expected for the ticket.
    """
    async with in_transaction():
        ticket, intake = await store.locked(ticket_id), await find(ticket_id)
        if ticket is None or intake is None or intake.state != State.READING:
            return False
        await _ask(ticket, intake)
    return True


async def choose_series(ticket_id: int, user: User, series: str) -> None:
    """Read the uploaded files again, with the DICOM series that the user has chosen; ``each`` for all of them.  Raises
    Refused if the user has no such ticket, there is nothing to choose, or the series or the files do not exist.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id) if ticket_id < 2**31 else None
        if ticket is None or ticket.user_id != user.id:
            raise submission.not_found(ticket_id, user)
        intake = await find(ticket_id)
        is_open = ticket.status is Status.INIT
        if not is_open or intake is None or intake.state != State.REFUSED:
            raise Refused("There is nothing to choose for this ticket.")
        words = {found.word for found in series_of(intake)}
        if series != "each" and series not in words:
            raise Refused(f"There is no series {series} to choose.")
        intake.request = requests.encoded(Request(files=request_of(intake).files, series=series))
        await save(intake, State.COMING, attempt_id=uuid.uuid4().hex, reason="", series="[]")
        if not await ask_if_complete(ticket, intake):
            raise Refused("The files have gone; send them again.")


def continuing() -> Subquery:
    """A subquery for the numbers of the tickets whose upload the portal continues without the user."""
    return Subquery(Intake.filter(state__in=CONTINUING).values("ticket_id"))


async def is_continuing(ticket_id: int) -> bool:
    return await Intake.exists(ticket_id=ticket_id, state__in=CONTINUING)


def images_of(intake: Intake) -> list[ReadImage]:
    """The images that were read from the upload.  Empty once the ticket has taken their files."""
    return msgspec.json.decode(intake.images, type=list[ReadImage])


def images_text(images: Sequence[ReadImage]) -> str:
    return msgspec.json.encode(list(images)).decode()


async def record_reader(instance: str, *, ends: bool) -> None:
    """Store that the program ``instance`` reads uploads or, with ``ends``, that it has stopped."""
    program = UploadReaderProgram(instance=instance, heard_at=clock.now(), ended=ends)
    await UploadReaderProgram.bulk_create(
        [program], on_conflict=("instance",), update_fields=("heard_at", "ended")
    )


async def is_read_now() -> bool:
    """True if a program that reads uploads is alive."""
    since = clock.now() - timedelta(seconds=ALIVE_S)
    return await UploadReaderProgram.exists(heard_at__gt=since, ended=False)


async def forget_readers() -> None:
    """Delete the rows of programs that have announced nothing for a day."""
    await UploadReaderProgram.filter(heard_at__lt=clock.now() - timedelta(days=1)).delete()


async def sentence(intake: Intake) -> str:
    """The state of the intake as a sentence for its owner; "" if nothing needs to be said."""
    match State(intake.state):
        case State.READING | State.PLACING:
            return READING if await is_read_now() else NO_READER
        case State.WAITING:
            return intake.reason or "The files are good; the ticket is queued in a moment."
        case State.COMING:
            return INCOMPLETE
        case State.REFUSED:
            return intake.reason
        case State.DONE:
            return ""
