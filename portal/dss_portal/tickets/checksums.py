"""SHA-256 of a ticket's results, with which clients verify their downloads."""

import asyncio
import hashlib
from pathlib import Path

from dss_portal.datastore import Datastore
from dss_portal.refusals import Refused
from dss_portal.tickets import store

COLUMNS = ("index", "name", "sha256")


async def of_results(datastore: Datastore, ticket_id: int) -> list[tuple[int, str, str]]:
    """COLUMNS for each result.  Reads every file.  Raises Refused if one does not exist any more."""
    rows = []
    for file in await store.files(ticket_id, "results"):
        path = await datastore.file(ticket_id, "results", file.name)
        rows.append((file.index, file.name, await asyncio.to_thread(_sha256, path)))
    return rows


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise Refused("The file does not exist any more.") from error
