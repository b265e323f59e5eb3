"""Stores a small file that has arrived completely as an input file.  Unlike the general route, it reserves no space
first.
"""

from collections.abc import AsyncIterator
from functools import partial

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_portal.accounts.person import Person
from dss_portal.datastore import Datastore
from dss_portal.datastore.names import flat_name
from dss_portal.datastore.pieces import Piece
from dss_portal.models import Ticket
from dss_portal.scrubbing import files as scrubbing
from dss_portal.settings import Settings
from dss_portal.tickets import files, input_files, quota, reservation, submission
from dss_portal.writes.multipart import LoneFile

_ACCEPTS = """
SELECT status, user_id, coalesce(uploaded_at, created_at) AS touched_at FROM ticket WHERE id = $1
"""


async def accepts_files(ticket_id: int, person: Person, quiet_s: float) -> bool:
    """True if the ticket accepts files of the user at present, and counts towards the quota of open tickets already."""
    rows = await get_connection("default").execute_query_dict(_ACCEPTS, [ticket_id])
    return any(
        (person.sysadmin or row["user_id"] == person.id)
        and row["status"] in submission.accepting_states(person)
        and not quota.is_past(row["touched_at"], quiet_s)
        for row in rows
    )


async def receive(
    datastore: Datastore, settings: Settings, ticket_id: int, file: LoneFile, person: Person
) -> bool:
    """Make ``file`` an input file of the ticket; it is on disk before the transaction commits.

    Returns False, with nothing changed, if the framework's route must handle the request: the file is empty or too
    large, or the owner of the ticket is disabled or has no room in the quota.  Raises Refused, with nothing changed, if
    the ticket accepts no file with that name from ``person``.
    """
    name, size_bytes = flat_name(file.name), file.size_bytes
    files.check_name("input", name)
    if not 0 < size_bytes <= settings.max_upload_bytes:
        return False
    check = partial(_require_open, ticket_id, person)
    async with files.receiving_file(datastore, ticket_id, check):
        temporary, size_bytes = await datastore.receive(ticket_id, "input", _pieces(file))
        try:
            is_flushed = not (settings.scrub_inputs and scrubbing.may_change(file.pieces))
            if not is_flushed:
                size_bytes = await datastore.scrub(temporary, ticket_id)
            await datastore.send(temporary)
            states = submission.accepting_states(person)
            async with in_transaction():
                folder = await reservation.registered(
                    ticket_id, name, size_bytes, states=states, settings=settings
                )
                if folder is not None:
                    await input_files.keep(
                        datastore, ticket_id, temporary, name, folder, is_flushed=is_flushed
                    )
                    return True
                await check()  # if it raises, ``receiving_file`` removes a deleted ticket's folder
                return False
        finally:
            datastore.discard(temporary)


async def _require_open(ticket_id: int, person: Person) -> None:
    submission.require_open(await Ticket.get_or_none(id=ticket_id), ticket_id, person)


async def _pieces(file: LoneFile) -> AsyncIterator[Piece]:
    for piece in file.pieces:
        yield piece
