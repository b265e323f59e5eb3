"""Reads small files of tickets, and builds the headers of their downloads, for responses in front of the framework."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.handlers import format_date_time

from tortoise.connection import get_connection

from dss_datastore.layout import Area
from dss_portal.datastore import Datastore
from dss_portal.datastore.pieces import SMALL_BYTES
from dss_portal.formats import attachment
from dss_portal.polls.callers import Caller

_FILE = """
SELECT ticket_file.name, ticket_file.folder FROM ticket JOIN ticket_file ON ticket_file.ticket_id = ticket.id
WHERE ticket.id = $1 AND ticket_file.area = $2 AND ticket_file.index = $3 AND ticket_file.size_bytes <= $4
    AND (ticket.user_id = $5 OR $6)
"""


@dataclass(frozen=True, kw_only=True)
class SmallFile:
    """The content of a small file, with the headers of the response that sends it."""

    content: bytes
    headers: Sequence[tuple[bytes, bytes]]


async def small_file(
    datastore: Datastore, ticket: int, area: Area, index: int, caller: Caller
) -> SmallFile | None:
    """The file with that index (from 0) in an area of a ticket, if the caller may read it.  None if not, if there is no
    such file, if it has more than SMALL_BYTES, or if it is in a bucket; the framework then responds.

    Raises FileNotFoundError if it is recorded but not on disk.
    """
    values = [ticket, area, index, SMALL_BYTES, caller.id, caller.sysadmin]
    rows = await get_connection("default").execute_query_dict(_FILE, values)
    if not rows:
        return None
    name, folder = str(rows[0]["name"]), str(rows[0]["folder"])
    place = f"{folder}/{name}" if folder else name
    found = await datastore.small_content(ticket, area, place, SMALL_BYTES)
    if found is None:
        return None
    path, content, stat = found
    return SmallFile(content=content, headers=_headers(path, name, stat))


def _headers(path: Path, name: str, stat: os.stat_result) -> Sequence[tuple[bytes, bytes]]:
    """The same headers as those that ``web.uploads.as_download`` sends.  The ETag equals that of Quart's ``send_file``,
    so that the framework can later serve ranges of the same file.
    """
    tag = f'"{stat.st_mtime}-{stat.st_size}-{zlib.adler32(bytes(path))}"'
    return (
        (b"content-type", b"application/octet-stream"),
        (b"last-modified", format_date_time(stat.st_mtime).encode()),
        (b"etag", tag.encode()),
        (b"cache-control", b"private, no-store"),
        (b"content-disposition", attachment(name).encode()),
        (b"content-transfer-encoding", b"binary"),
        (b"x-content-type-options", b"nosniff"),
    )
