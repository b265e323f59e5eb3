"""Rules for the files of a ticket while they are received and before it is submitted: checks their names, removes the
files of a ticket that is deleted meanwhile, and removes mesh layers from workspaces.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from tortoise.transactions import in_transaction

from dss_datastore import file_names
from dss_datastore.layout import Area
from dss_portal.accounts.person import Person
from dss_portal.datastore import Datastore
from dss_portal.models import Status, Ticket, TicketFile
from dss_portal.refusals import Refused
from dss_portal.scrubbing import files as scrubbing
from dss_portal.tickets import input_files, removal, store

LEFT_OUT = "Mesh layers left out, since ITK-SNAP does not upload their files: {}."


def check_name(area: Area, name: str) -> None:
    """Raises Refused if a file called ``name`` cannot be stored.

    A result must have a name that every operating system can store.  An input may have characters that only Windows
    forbids, because ITK-SNAP makes its own names and scripts have long used unusual ones.
    """
    if fault := file_names.problem(name, everywhere=area == "results"):
        raise Refused(f"Not every system can store the file '{name}': {fault}. Rename it.")


async def check_twin(ticket_id: int, area: Area, name: str) -> None:
    """Raises Refused if the ticket has another result whose name some systems take for the same, such as one that
    differs only in case.  Inputs are not checked.  The caller has locked the ticket.
    """
    if area != "results":
        return
    other = file_names.same_file(name, [file.name for file in await store.files(ticket_id, area)])
    if other:
        raise Refused(f"'{name}' and '{other}' are the same file on some systems. Rename one.")


@asynccontextmanager
async def receiving_file(
    datastore: Datastore, ticket_id: int, check: Callable[[], Awaitable[object]]
) -> AsyncIterator[None]:
    """A context in which the caller receives a file and stores it in the ticket's folder.  If the caller's code raises
    an error and the ticket was deleted in the meantime, all its files are removed.  The error is raised again.

    ``check`` must raise Refused if the ticket no longer accepts files of this sender.  It is called if the error is a
    FileNotFoundError, so that the sender learns the reason; its Refused then replaces the error.
    """
    try:
        yield
    except BaseException as error:
        if await Ticket.exists(id=ticket_id, status=Status.DELETED):
            await removal.remove_files(datastore, ticket_id)  # receiving made its folder again
        if isinstance(error, FileNotFoundError):  # the file may be removed together with its ticket
            await check()
        raise


async def leave_out_meshes(datastore: Datastore, ticket_id: int, user: Person) -> None:
    """Remove the mesh layers whose files the ticket lacks from its workspaces, and tell the user in the ticket's log.
    Does nothing unless the ticket belongs to ``user`` and is not yet submitted.

    ITK-SNAP does not upload meshes, and it cannot open a workspace with a missing file, so it could not open the
    results either.
    """
    async with in_transaction():
        ticket = await store.locked(ticket_id)
        if ticket is None or ticket.user_id != user.id or ticket.status is not Status.INIT:
            return
        names = [file.name for file in await store.files(ticket_id, "input")]
        for name in filter(is_workspace, names):
            # without this file the ticket fails later, with a sentence
            with suppress(FileNotFoundError):
                await _leave_out_of(datastore, ticket_id, name, names)


async def _leave_out_of(
    datastore: Datastore, ticket_id: int, name: str, names: Sequence[str]
) -> None:
    file = await TicketFile.get(ticket_id=ticket_id, area="input", name=name)
    temporary = await datastore.take_input(ticket_id, file.place)
    try:
        dropped, size_bytes = await scrubbing.leave_out_meshes(temporary, names)
        if dropped:
            folder = await input_files.register(ticket_id, name, size_bytes)
            await input_files.keep(datastore, ticket_id, temporary, name, folder)
            await store.add_log(ticket_id, "info", LEFT_OUT.format(dropped))
    finally:
        datastore.discard(temporary)


def is_workspace(name: str) -> bool:
    return name.casefold().endswith(".itksnap")
