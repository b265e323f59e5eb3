"""Handles the messages of the programs that read uploads."""

import json
import logging
from collections.abc import Sequence

from tortoise.transactions import in_transaction

from dss_broker.messages import ReadImage, ReadUpload, UploadRead, UploadRefused
from dss_portal.database import clock
from dss_portal.datastore import Datastore
from dss_portal.intake import placing
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake, Status, Ticket
from dss_portal.settings import Settings
from dss_portal.tickets import creation, store

log = logging.getLogger(__name__)

UNEXPECTED = "The upload could not be read. Please tell the operator the ticket's number, or send it with the program dss."
NOT_SENT = "Series {} was not sent: {}"


async def on_read(datastore: Datastore, settings: Settings, event: UploadRead) -> None:
    """Give the files of the first image to the ticket, and those of each further image to a new ticket of its user;
    then continue these tickets.  An image that could not be read becomes a line in the ticket's log.

    A late or repeated answer is ignored, and the files of a late one are removed.
    """
    async with in_transaction():
        found = await _current(event.ticket_id, event.intake_id)
        if found is None:
            await _ignored(datastore, event)
            return
        numbers = await _assign_images(*found, event.images)
    for number in numbers:
        await placing.continue_ticket(datastore, settings, number)


async def on_refused(event: UploadRefused) -> None:
    async with in_transaction():
        found = await _current(event.ticket_id, event.intake_id)
        if found is None:
            return
        series = [{"word": one.word, "line": one.line} for one in event.series]
        await _refuse(found[1], event.reason, series)


async def on_parked(message: ReadUpload | UploadRead | UploadRefused) -> None:
    """Refuse the upload of a ticket, because the request to read it, or the answer, was moved to the dead letters.
    Ignored if that request is no longer the current one.
    """
    async with in_transaction():
        found = await _current(message.ticket_id, message.intake_id)
        if found is not None:
            await _refuse(found[1], UNEXPECTED, [])


async def _refuse(intake: Intake, reason: str, series: Sequence[dict[str, str]]) -> None:
    await intakes.save(intake, State.REFUSED, reason=reason, series=json.dumps(list(series)))
    await store.add_log(intake.ticket_id, "error", reason)


async def _current(ticket_id: int, attempt_id: str) -> tuple[Ticket, Intake] | None:
    """The locked ticket and its intake (the state of its upload); None if the answer belongs to an earlier request, if
    an answer was accepted before, or if the ticket is no longer open for uploads.
    """
    ticket, intake = await store.locked(ticket_id), await intakes.find(ticket_id)
    is_open = ticket is not None and ticket.status is Status.INIT
    if ticket is None or intake is None or not is_open or intake.state != State.READING:
        return None
    return (ticket, intake) if intake.attempt_id == attempt_id else None


async def _ignored(datastore: Datastore, event: UploadRead) -> None:
    """Remove the files of an answer that is not used, unless the same answer was accepted before."""
    facts = {"ticket": event.ticket_id, "intake": event.intake_id}
    log.info("answer about an old upload ignored", extra=facts)
    intake = await intakes.find(event.ticket_id)
    if intake is None or intake.attempt_id != event.intake_id:
        for image in event.images:
            if image.folder:
                await datastore.remove_read(image.folder.rsplit("/", 2)[0])


async def _assign_images(ticket: Ticket, intake: Intake, images: Sequence[ReadImage]) -> list[int]:
    """Assign the first image to ``ticket`` and each other one to a new ticket, and return the tickets' numbers.  An
    image that could not be read becomes a line in the ticket's log.
    """
    first, *others = [image for image in images if image.folder]
    await intakes.save(intake, State.PLACING, images=intakes.images_text([first]), reason="")
    for refused in (image for image in images if not image.folder):
        await store.add_log(
            ticket.id, "warning", NOT_SENT.format(refused.series or "?", refused.reason)
        )
    numbers = [ticket.id]
    title = ticket.title
    if others:
        await _set_title(ticket, title, first)
    return numbers + [await _add_ticket(ticket, intake, title, image) for image in others]


async def _add_ticket(ticket: Ticket, intake: Intake, title: str, image: ReadImage) -> int:
    """Make a ticket like ``ticket`` for the image of another series, and return its number.

    The user's quota of open tickets is not checked now, but before the new ticket is queued, which waits until the
    quota allows it.
    """
    number = await creation.create(ticket.user_id, await ticket.service)
    made = await Ticket.get(id=number)
    made.uploaded_at = clock.EPOCH
    await made.save(update_fields=["uploaded_at"])
    await _set_title(made, title, image)
    await Intake.create(
        ticket_id=number,
        attempt_id=f"{intake.attempt_id[:20]}{number}"[:32],
        state=State.PLACING,
        request=intake.request,
        images=intakes.images_text([image]),
    )
    return number


async def _set_title(ticket: Ticket, title: str, image: ReadImage) -> None:
    ticket.title = f"{title} series {image.series}".strip()[:120]
    await ticket.save(update_fields=["title"])
