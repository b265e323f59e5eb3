"""Makes received files the input of a ticket.

No input file ever replaces another.  So a portal that has lost its transaction, and goes on with the disk, changes no
file that a row of the database names.  All input files of a ticket are in one folder, because dispatchers read them as
a folder; their rows name it (``TicketFile.folder``).
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tortoise.connection import get_connection

from dss_datastore import layout
from dss_portal.database.commits import after_commit
from dss_portal.datastore import Datastore
from dss_portal.models import TicketFile
from dss_portal.tickets import store

log = logging.getLogger(__name__)

_FOLDER = """
SELECT coalesce(max(folder), '') AS folder FROM ticket_file WHERE ticket_id = $1 AND area = 'input'
"""

_tidying: set["asyncio.Task[None]"] = set()


async def folder_of(ticket_id: int) -> str:
    """The folder of the ticket's input files, as in TicketFile: "" for the folder of the area ``input`` itself, also if
    there are none yet.
    """
    rows = await get_connection("default").execute_query_dict(_FOLDER, [ticket_id])
    return str(rows[0]["folder"])


async def register(ticket_id: int, name: str, size_bytes: int) -> str:
    """Add the row of an input file to a locked ticket, and return the folder (see ``folder_of``) that the row names.  A
    row with the same file name is replaced.
    """
    folder = await folder_of(ticket_id)
    await store.register_file(ticket_id, "input", name, size_bytes, folder)
    return folder


async def keep(
    datastore: Datastore,
    ticket_id: int,
    temporary: Path,
    name: str,
    folder: str,
    *,
    is_flushed: bool = False,
) -> None:
    """Bring a received file, whose row names ``folder``, to its place, within the transaction that adds the row.

    If the folder has a file of that name, even one without a row, all input files are brought into a new folder, which
    the rows then name; after the commit, a task removes the old files.  ``is_flushed``: the file is on disk already.
    """
    target = layout.input_dir(ticket_id, folder) / name
    try:
        await datastore.keep_new(temporary, target, is_flushed=is_flushed)
    except FileExistsError:
        await _keep_in_new_folder(datastore, ticket_id, temporary, name, folder)
        return
    if folder:
        _tidy_after_commit(datastore, ticket_id, f"{folder}/{name}", ())


async def _keep_in_new_folder(
    datastore: Datastore, ticket_id: int, temporary: Path, name: str, folder: str
) -> None:
    others = [file for file in await store.files(ticket_id, "input") if file.name != name]
    sizes = {file.place: file.size_bytes for file in others}
    fresh = await datastore.freeze(ticket_id, "input", sizes)
    await datastore.keep(temporary, name, layout.attempt_dir(ticket_id, fresh))
    await TicketFile.filter(ticket_id=ticket_id, area="input").update(folder=fresh)
    replaced = f"{folder}/{name}" if folder else name
    old = [replaced, *(file.place for file in others)]
    _tidy_after_commit(datastore, ticket_id, f"{fresh}/{name}", old)


def _tidy_after_commit(
    datastore: Datastore, ticket_id: int, place: str, old: Sequence[str]
) -> None:
    after_commit(partial(_begin_tidying, datastore, ticket_id, place, old))


def _begin_tidying(datastore: Datastore, ticket_id: int, place: str, old: Sequence[str]) -> None:
    task = asyncio.create_task(_tidied(datastore, ticket_id, place, old))
    _tidying.add(task)
    task.add_done_callback(_tidying.discard)


async def _tidied(datastore: Datastore, ticket_id: int, place: str, old: Sequence[str]) -> None:
    try:
        await datastore.retire_inputs(ticket_id, place, old)
    except OSError as error:  # ``cleanup`` removes them when the ticket has ended
        facts = {"ticket": ticket_id, "reason": repr(error)}
        log.warning("replaced input files not removed", extra=facts)
