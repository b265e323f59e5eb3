"""Takes the files that a program has written from a browser's upload as the input of the ticket, and then queues the
ticket.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tortoise.connection import get_connection
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from dss_portal.batches import for_each
from dss_portal.datastore import Datastore
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake, Status, Ticket, TicketFile, User
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.tickets import files, received_files, reservation, store, submitting
from dss_portal.tickets.quota import TooManyTickets

log = logging.getLogger(__name__)

WAITS = "You have as many open tickets as you may; this one is queued by itself as soon as there is a free place."
UPLOAD_READ = "an upload that was read"
"""Names what failed in the log."""

_FIRST_WAITING = """
SELECT min(ticket_id) AS ticket_id FROM intake JOIN ticket ON ticket.id = intake.ticket_id
WHERE intake.state = $1 GROUP BY ticket.user_id ORDER BY 1
"""


async def continue_ticket(datastore: Datastore, settings: Settings, ticket_id: int) -> bool:
    """Continue a ticket whose upload was read: take over its files, then queue it.  True if it is queued now or needs
    that no more; False if it must wait, was refused, or has no upload to continue.  Idempotent, also after a crash.
    """
    intake = await intakes.find(ticket_id)
    if intake is None:
        return False
    if intake.state == State.PLACING:
        await _place(datastore, settings, ticket_id)
        intake = await intakes.find(ticket_id)
    if intake is None or intake.state != State.WAITING:
        return False
    return await _queue(datastore, settings, ticket_id)


async def _place(datastore: Datastore, settings: Settings, ticket_id: int) -> None:
    """Link the files that were read into the ticket's input, where they replace the uploaded ones.  Refuses the upload
    if files are missing or exceed the user's quota.

    Does nothing if another portal has done it; ends the intake if the ticket is no longer open for uploads.
    """
    intake = await Intake.get(ticket_id=ticket_id)
    if intake.state != State.PLACING:  # another portal has done it
        return
    (image,) = intakes.images_of(intake)
    taken: list[_Taken] = []
    try:
        for file in image.files:
            found = await _take(datastore, ticket_id, image.folder, file.name)
            taken.append(found)  # at once: those taken before an error are discarded
        size_bytes = sum(file.size_bytes for file in image.files)
        uploaded = await _replace_input(datastore, settings, ticket_id, taken, size_bytes)
    except FileNotFoundError:
        await _refuse(
            ticket_id, "The files that were read have gone; send them again.", State.PLACING
        )
        return
    except Refused as error:
        await _refuse(ticket_id, error.for_people, State.PLACING)
        return
    finally:
        for file_taken in taken:
            datastore.discard(file_taken.temporary)
    if uploaded is None:
        return
    names = {file_taken.name for file_taken in taken}
    await datastore.remove_files(ticket_id, "input", [p for p in uploaded if p not in names])
    await _clear(datastore, image.folder)


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """A temporary file with the content of a file that was read, and its name in the ticket."""

    name: str
    temporary: Path
    size_bytes: int


async def _take(datastore: Datastore, ticket_id: int, folder: str, name: str) -> _Taken:
    """Take the file ``name`` that was read to ``folder``.  Raises FileNotFoundError."""
    temporary, size_bytes = await datastore.take_read(ticket_id, folder, name)
    try:
        if files.is_workspace(name):  # it contains the folder of the program that wrote it
            size_bytes = await datastore.scrub(temporary, ticket_id)
            await datastore.send(temporary)
    except BaseException:
        datastore.discard(temporary)
        raise
    return _Taken(name=_own_name(ticket_id, name), temporary=temporary, size_bytes=size_bytes)


async def _replace_input(
    datastore: Datastore,
    settings: Settings,
    ticket_id: int,
    taken: Sequence[_Taken],
    size_bytes: int,
) -> list[str] | None:
    """Make the files that were read, with ``size_bytes`` together, the only input files of the ticket.

    Returns the places of the uploaded files, which the ticket no longer has; None, with nothing stored, if another
    portal has done it or the ticket is no longer open for uploads.  Raises Refused if the files exceed the quota.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        intake = await Intake.get(ticket_id=ticket_id)
        if ticket is None or ticket.status is not Status.INIT:
            await _end(intake)
            return None
        if intake.state != State.PLACING:
            return None
        uploaded = [file.place for file in await store.files(ticket_id, "input")]
        await TicketFile.filter(ticket_id=ticket_id, area="input").delete()
        quota_use = await reservation.held_without(ticket, "input", "", settings)
        quota_use.require(size_bytes)
        for file in taken:
            await received_files.store_file(
                datastore,
                ticket_id,
                "input",
                file.temporary,
                name=file.name,
                size_bytes=file.size_bytes,
            )
        await intakes.save(intake, State.WAITING, reason="", images="[]")
    return uploaded


def _own_name(ticket_id: int, name: str) -> str:
    """The name that the file ``name`` gets in the ticket.  The name of a workspace contains the ticket's number, as
    ITK-SNAP's does.
    """
    return f"ticket_{ticket_id:08d}.itksnap" if files.is_workspace(name) else name


async def _clear(datastore: Datastore, folder: str) -> None:
    """Remove the files that were read from the upload to which ``folder`` belongs, if no ticket needs them any more."""
    whole = folder.rsplit("/", 2)[0]
    if not await Intake.exists(state=State.PLACING, images__contains=whole):
        await datastore.remove_read(whole)


async def _queue(datastore: Datastore, settings: Settings, ticket_id: int) -> bool:
    ticket = await Ticket.get(id=ticket_id)
    user = await User.get(id=ticket.user_id)
    intake = await Intake.get(ticket_id=ticket_id)
    if ticket.status is not Status.INIT:
        await _end(intake)
        return True
    try:
        await submitting.submit(
            datastore,
            ticket_id,
            user,
            scrubs=settings.scrub_inputs,
            quiet_s=settings.quiet_upload_s,
        )
    except TooManyTickets:
        if intake.reason != WAITS:
            await intakes.save(intake, State.WAITING, reason=WAITS)
        return False
    except Refused as error:
        await _refuse(ticket_id, error.for_people, State.WAITING)
        return False
    await _end(intake)
    return True


async def _end(intake: Intake) -> None:
    await intakes.save(intake, State.DONE, reason="", images="[]")


async def _refuse(ticket_id: int, reason: str, state: State) -> None:
    """Refuse the upload with ``reason``, unless another portal has changed its state from ``state`` meanwhile, or the
    ticket is no longer open for uploads.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        intake = await Intake.get(ticket_id=ticket_id)
        if ticket is None or ticket.status is not Status.INIT or intake.state != state:
            return
        await intakes.save(intake, State.REFUSED, reason=reason, images="[]")
        await store.add_log(ticket_id, "error", reason)


def placing() -> QuerySet[Intake]:
    """The intakes whose files were read and are not yet those of their tickets."""
    return Intake.filter(state=State.PLACING)


async def first_waiting() -> list[int]:
    """For each user with tickets that wait to be queued, the number of the oldest one."""
    rows = await get_connection("default").execute_query_dict(_FIRST_WAITING, [State.WAITING])
    return [int(row["ticket_id"]) for row in rows]


async def continue_tickets(datastore: Datastore, settings: Settings, ticket_id: int) -> int:
    """Call ``continue_ticket`` for the ticket, and then for the user's waiting tickets, the oldest first, until one has
    to wait.  An error with one is logged, and the next one is tried.  Returns the number of calls that returned True.
    """
    changed, must_wait = 0, False

    async def go_on(number: int) -> bool:
        nonlocal must_wait
        continued = await continue_ticket(datastore, settings, number)
        must_wait = not continued
        return continued

    user_id = (await Ticket.get(id=ticket_id)).user_id
    waiting = Intake.filter(state=State.WAITING, ticket__user_id=user_id)
    others = waiting.exclude(ticket_id=ticket_id).order_by("ticket_id")
    following, last = ticket_id, 0
    while not must_wait:
        changed += await for_each(UPLOAD_READ, [following], go_on)
        found = await others.filter(ticket_id__gt=last).first()
        if found is None:
            break
        following = last = found.ticket_id
    return changed
