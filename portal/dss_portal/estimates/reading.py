"""Reads from the database the state of a site that estimates need."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.estimates import runs
from dss_portal.estimates.durations import TicketSize
from dss_portal.estimates.forecast import Running, Site, Waiting, Worker
from dss_portal.services import liveness
from dss_portal.services.liveness import MissingProgram, ServiceAvailability
from dss_portal.tickets import queue_places

MOST = 300
"""Most waiting tickets of a service, and most claimed tickets of the site, that are read.  Others get no estimate."""

_SIZE = """ticket.voxels, (
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM ticket_file
    WHERE ticket_id = ticket.id AND area = 'input') AS size_bytes"""

# $1: numbers of waiting tickets.
_WAITING = f"""
SELECT ticket.id, ticket.expected_at, service.current, service.id AS version, {_SIZE}
FROM ticket JOIN service ON service.id = ticket.service_id WHERE ticket.id = ANY($1)
"""  # noqa: S608 - constants of ours

# $1: MOST.
_RUNNING = f"""
SELECT ticket.id, service.name AS service, claim.granted_at, claim.user_id IS NOT NULL AS over_http,
    ticket.expected_at, {_SIZE}, coalesce((
        SELECT sum((chunk_end - chunk_start) * progress) FROM ticket_progress
        WHERE ticket_id = ticket.id), 0)::float8 AS progress
FROM ticket JOIN service ON service.id = ticket.service_id JOIN claim ON claim.id = ticket.claim_id
WHERE ticket.status = 'claimed' LIMIT $1
"""  # noqa: S608 - constants of ours


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """A waiting ticket's place in its service's queue.  The entry with the smallest ``(number, since, ticket_id)`` is
    served next.

    ``number`` counts the waiting tickets of one user from 1; ``since`` is the time of submission, corrected by priority
    and by the user's last claim.
    """

    ticket_id: int
    user_id: int
    number: int
    since: datetime


@dataclass(frozen=True, kw_only=True)
class SiteSnapshot:
    """The site's state.  ``availability`` and ``places`` are by service name; ``places`` are in the order of the queue.
    ``promised`` is, by ticket number, the expected end that the ticket's log states; None if the log states none.

    ``is_cut``: there may be more waiting or claimed tickets than MOST, so that a ticket that is missing here is not
    necessarily new.  Waiting tickets of versions that nobody takes, removed or not, are in ``promised`` alone.
    """

    site: Site
    availability: Mapping[str, ServiceAvailability]
    places: Mapping[str, Sequence[QueueEntry]]
    promised: Mapping[int, datetime | None]
    is_cut: bool


async def read_snapshot() -> SiteSnapshot:
    """Read from the database everything that estimates need."""
    availability = await liveness.availability()
    names = list(availability)
    connection, now = get_connection("default"), clock.now()
    waiting = await _first_waiting(names)
    running = await connection.execute_query_dict(_RUNNING, [MOST])
    queues: dict[str, list[Waiting]] = defaultdict(list)
    places: dict[str, list[QueueEntry]] = defaultdict(list)
    for row in waiting:
        available = availability[row["service"]]
        lacks = available.missing_for(row["version"], current=row["current"])
        if lacks in {MissingProgram.REMOVED, MissingProgram.VERSION}:
            continue
        queues[row["service"]].append(_waiting(row))
        places[row["service"]].append(_place(row))
    running_over_http = Counter(str(row["service"]) for row in running if row["over_http"])
    site = Site(
        now_s=now.timestamp(),
        workers=[*await _workers(), *_over_http(availability, running_over_http)],
        running=[_running(row) for row in running],
        waiting=queues,
        runs=await runs.newest(names),
        most_claims=await _most_claims(availability),
    )
    promised = {row["id"]: row["expected_at"] for row in (*waiting, *running)}
    lengths = [len(running), *Counter(row["service"] for row in waiting).values()]
    return SiteSnapshot(
        site=site,
        availability=availability,
        places=places,
        promised=promised,
        is_cut=max(lengths) >= MOST,
    )


async def _first_waiting(services: Sequence[str]) -> list[dict[str, Any]]:
    """Rows about the first MOST waiting tickets of each of the services, in the order of its queue."""
    rows = await queue_places.first(services, MOST)
    values = [[row["id"] for row in rows]]
    found = await get_connection("default").execute_query_dict(_WAITING, values)
    details = {row["id"]: row for row in found}
    return [row | details[row["id"]] for row in rows if row["id"] in details]


async def _workers() -> list[Worker]:
    """The live inference workers, each with the services that it serves, and one worker for each dispatcher that uses
    an HTTP server instead.
    """
    services: dict[str, set[str]] = defaultdict(set)
    found = []
    for dispatcher in await liveness.alive_dispatchers():
        services[dispatcher.bundle].add(dispatcher.service)
        if not dispatcher.bundle:
            found.append(Worker(device="", services=frozenset({dispatcher.service})))
    bundles: dict[tuple[str, str], set[str]] = defaultdict(set)
    for worker in await liveness.alive_workers():
        bundles[worker.instance, runs.kind_of(worker.device)] |= services[worker.bundle]
    found += [
        Worker(device=device, services=frozenset(served)) for (_, device), served in bundles.items()
    ]
    return found


async def _most_claims(availability: Mapping[str, ServiceAvailability]) -> dict[str, int]:
    """By service, the number of tickets that its live dispatchers claim at a time.  Services are missing if one of
    their dispatchers does not state it, or if a provider over HTTP claims tickets, too.
    """
    stated: dict[str, list[int]] = defaultdict(list)
    for dispatcher in await liveness.alive_dispatchers():
        stated[dispatcher.service].append(dispatcher.parallel)
    return {
        name: sum(numbers)
        for name, numbers in stated.items()
        if all(numbers) and not availability[name].polls
    }


def _over_http(
    availability: Mapping[str, ServiceAvailability], running_over_http: Mapping[str, int]
) -> list[Worker]:
    """Workers that stand for the providers over HTTP of each service.  Their number is that of the tickets that they
    hold now, or that their programs process at a time, whichever is larger; at least 1 if a provider polls for the
    service.
    """
    return [
        Worker(device="", services=frozenset({name}))
        for name, available in availability.items()
        for _ in range(
            max(running_over_http.get(name, 0), available.places, 1) if available.polls else 0
        )
    ]


def _size(row: Any) -> TicketSize:
    return TicketSize(voxels=row["voxels"], size_bytes=row["size_bytes"])


def _waiting(row: Any) -> Waiting:
    return Waiting(
        ticket_id=row["id"],
        service=row["service"],
        size=_size(row),
        came_s=row["came"].timestamp(),
    )


def _place(row: Any) -> QueueEntry:
    return QueueEntry(
        ticket_id=row["id"], user_id=row["user_id"], number=row["number"], since=row["since"]
    )


def _running(row: Any) -> Running:
    return Running(
        ticket_id=row["id"],
        service=row["service"],
        size=_size(row),
        began_s=row["granted_at"].timestamp(),
        progress=min(1.0, row["progress"]),
    )
