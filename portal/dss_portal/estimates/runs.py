"""Stores the durations of tickets that succeeded, and the numbers of voxels of waiting tickets."""

import re
from collections.abc import Iterable, Sequence

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import StoredFile
from dss_portal.estimates.durations import Run, TicketSize
from dss_portal.models import Status, Ticket
from dss_portal.scrubbing.image_headers import voxels_in

NEWEST = 300
"""Most runs of a service that estimates use, of all devices together."""
KEPT_RUNS = 1000
"""Number of runs of each service that remain after a cleanup."""
MOST_VOXELS = 2**62
"""Largest number of voxels that is believed: a header that states more is damaged."""

_KEEP = """
INSERT INTO run (service, device, voxels, size_bytes, seconds, ended_at)
SELECT service.name, $2, ticket.voxels, (
        SELECT coalesce(sum(size_bytes), 0)::bigint FROM ticket_file
        WHERE ticket_id = ticket.id AND area = 'input'), $3, $4
FROM ticket JOIN service ON service.id = ticket.service_id WHERE ticket.id = $1
"""

_NEWEST = """
SELECT newest.* FROM unnest($1::text[]) AS wanted (name), LATERAL (
    SELECT id, service, device, voxels, size_bytes, seconds, ended_at FROM run
    WHERE service = wanted.name ORDER BY id DESC LIMIT $2) AS newest
ORDER BY newest.id
"""

_FORGET = """
DELETE FROM run WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY service ORDER BY id DESC) AS number FROM run) AS numbered
    WHERE number > $1)
"""

_NUMBER = re.compile(r"^cuda:\d+")


async def store_run(ticket: Ticket, device: str, seconds: float) -> None:
    """Store the duration of a ticket that has just succeeded.  If ``seconds`` is 0, it was not measured and nothing
    is stored.
    """
    if seconds > 0:
        values = [ticket.id, kind_of(device), seconds, clock.now()]
        await get_connection("default").execute_query(_KEEP, values)


async def newest(services: Iterable[str]) -> list[Run]:
    """The NEWEST last runs of each of the services, in order of time."""
    rows = await get_connection("default").execute_query_dict(_NEWEST, [list(services), NEWEST])
    return [
        Run(
            service=row["service"],
            size=TicketSize(voxels=row["voxels"], size_bytes=row["size_bytes"]),
            device=row["device"],
            seconds=row["seconds"],
            ended_s=row["ended_at"].timestamp(),
        )
        for row in rows
    ]


async def forget_old() -> None:
    """Delete all but the newest KEPT_RUNS runs of each service."""
    await get_connection("default").execute_query(_FORGET, [KEPT_RUNS])


def kind_of(device: str) -> str:
    """The device's name without its number on the machine, because devices of one kind have the same speed."""
    return _NUMBER.sub("cuda", device)


async def largest(datastore: Datastore, ticket_id: int, places: Sequence[str]) -> int | None:
    """The number of voxels of the largest image among the input files at ``places``; None if no header states it."""
    if not places:
        return None
    return await datastore.apply_to_files(ticket_id, "input", places, _largest)


async def store_voxels(ticket_id: int, voxels: int | None) -> None:
    """Store the number of voxels of a ticket; None if it is not known.  Does nothing if the ticket is submitted
    already.
    """
    await Ticket.filter(id=ticket_id, status=Status.INIT).update(voxels=voxels)


def _largest(files: Iterable[StoredFile]) -> int | None:
    found = [voxels for file in files if (voxels := _voxels_in(file)) is not None]
    return max(found, default=None)


def _voxels_in(file: StoredFile) -> int | None:
    """The number of voxels of an image; None if it is not known, if it is not believed (MOST_VOXELS), or if the file is
    missing, which the service will report.
    """
    try:
        found = voxels_in(file)
    except FileNotFoundError:
        return None
    return found if found is not None and 0 < found < MOST_VOXELS else None
