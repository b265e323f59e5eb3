"""SHA-256 checksums of a ticket's results, with which clients verify their downloads."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import StoredFile
from dss_portal.refusals import Refused
from dss_portal.tickets import store

COLUMNS = ("index", "name", "sha256")

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="checksums")
"""Separate threads, so that hashing many large files does not occupy the threads that serve uploads and downloads."""


async def of_results(datastore: Datastore, ticket_id: int) -> list[tuple[int, str, str]]:
    """The index (from 0), the name and the SHA-256 in hexadecimal digits of each result file, for the columns COLUMNS
    and in the order of the index; empty if there are no results.  Every file is read completely.  Raises Refused if a
    file no longer exists.  The caller has checked who may read the ticket.
    """
    rows, loop = [], asyncio.get_running_loop()
    for file in await store.files(ticket_id, "results"):
        stored = await datastore.file(ticket_id, "results", file.place)
        rows.append((file.index, file.name, await loop.run_in_executor(_THREADS, _sha256, stored)))
    return rows


def _sha256(stored: StoredFile) -> str:
    try:
        with stored.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise Refused("The file does not exist any more.") from error
