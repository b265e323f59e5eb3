"""Makes a file that has arrived one of a ticket's inputs or results, if the ticket accepts it."""

from pathlib import Path

from tortoise.transactions import in_transaction

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_portal.accounts import store as accounts
from dss_portal.accounts.person import Person
from dss_portal.datastore import Datastore
from dss_portal.models import Ticket
from dss_portal.tickets import (
    files,
    input_files,
    store,
    submission,
)
from dss_portal.tickets.reservation import Reservation


async def receive_file(
    datastore: Datastore, reservation: Reservation, user: Person, *, scrubs: bool
) -> None:
    """Receive a file of a ticket that is not yet submitted; a sysadmin may also add files to a waiting ticket.  Raises
    Refused if the ticket accepts no file of ``user`` in its state, the name is not allowed, the user is disabled, or
    the quota has no room.  The caller has checked who owns the ticket.

    ``scrubs``: facts about the sender's machine, such as paths, are removed from an input before it is stored.
    """
    ticket_id, area, sent = reservation.ticket.id, reservation.area, reservation.sent
    submission.require_open(reservation.ticket, ticket_id, user)
    files.check_name(area, sent.name)

    async def check() -> None:
        submission.require_open(await Ticket.get_or_none(id=ticket_id), ticket_id, user)

    async with reservation, files.receiving_file(datastore, ticket_id, check):
        temporary, size_bytes = await datastore.receive(ticket_id, area, reservation.watched())
        try:
            if scrubs and area == "input":
                size_bytes = await datastore.scrub(temporary, ticket_id)
            await datastore.send(temporary)
            await _store_received(datastore, reservation, user, temporary, size_bytes)
        except BaseException:
            datastore.discard(temporary)
            raise


async def _store_received(
    datastore: Datastore,
    reservation: Reservation,
    user: Person,
    temporary: Path,
    size_bytes: int,
) -> None:
    """Make the received file ``temporary`` an input file or a result of the ticket, in one transaction.

    Raises Refused if the ticket no longer accepts files, if the user is disabled or the quota has no room, or if the name
    of a result differs from that of another one only in case.  Then the caller discards ``temporary``.
    """
    ticket_id, area, name = reservation.ticket.id, reservation.area, reservation.sent.name
    async with in_transaction():
        if area == "input":
            folder = await reservation.register(size_bytes, submission.accepting_states(user))
            if folder is not None:
                await input_files.keep(datastore, ticket_id, temporary, name, folder)
                return
        submission.require_open(await store.locked(ticket_id), ticket_id, user)
        await accounts.require_enabled(user.id)
        await files.check_twin(ticket_id, area, name)
        await reservation.convert(size_bytes)
        await store_file(datastore, ticket_id, area, temporary, name=name, size_bytes=size_bytes)


async def store_file(
    datastore: Datastore,
    ticket_id: int,
    area: Area,
    temporary: Path,
    *,
    name: str,
    size_bytes: int,
    folder: str = "",
) -> None:
    """Move a received file from ``temporary`` to its place, and record it as one of the locked ticket's files, within
    the caller's transaction.  ``folder`` is that of a result, as in TicketFile.
    """
    if area == "input":
        folder = await input_files.register(ticket_id, name, size_bytes)
        await input_files.keep(datastore, ticket_id, temporary, name, folder)
        return
    await datastore.keep(temporary, name, layout.attempt_dir(ticket_id, folder) if folder else None)
    await store.register_file(ticket_id, area, name, size_bytes, folder)
