"""Finds out which programs serve a service now, from their announcements and polls in the database.  The time limits
are in ``dss_broker.liveness``.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tortoise.connection import get_connection
from tortoise.queryset import QuerySet

from dss_broker.liveness import ALIVE_S, POLL_ALIVE_S, PUBLISHER_ALIVE_S
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Publisher, Service, Worker

EXPIRY = timedelta(days=1)
"""Programs that have sent nothing for this time are forgotten: no longer listed, and their rows deleted."""


class MissingProgram(StrEnum):
    """The kind of program that a service lacks, so that its tickets wait; NONE if it lacks none."""

    NONE = ""
    DISPATCHER = "dispatcher"
    WORKER = "worker"
    SILENT = "silent"
    """A provider over HTTP holds a ticket and has been silent for longer than usual, so it is not known whether it is
    alive.
    """


SENTENCES = {
    MissingProgram.DISPATCHER: "Nobody serves this at present; the ticket waits until the service is back.",
    MissingProgram.WORKER: "No inference worker serves this at present; the ticket waits until one is back.",
    MissingProgram.SILENT: "The provider of this service took a ticket and has been silent for longer than usual; "
    "the other tickets wait until it is heard of again.",
    MissingProgram.NONE: "The service is at work again.",
}
"""For each kind of program, what the owners of tickets are told if it is missing; for NONE, what they are told when
it is back.
"""


@dataclass(frozen=True, kw_only=True)
class ServiceAvailability:
    """The programs that serve a service at present.  A publisher is a provider's program that announces itself over
    HTTP; other providers over HTTP only poll for tickets.

    ``dispatchers`` counts live dispatcher processes and publishers; all other providers over HTTP that poll or hold a
    ticket count as one.  ``missing`` is the kind of program that the service lacks.  ``heard_at`` is the last sign of
    life of any program; None if there was none.  ``places`` is the number of tickets that live publishers process at a
    time.

    ``offered``: the service takes tickets.  ``has_dispatched``: one of our dispatchers has served it within EXPIRY.
    ``polls``: a provider over HTTP serves it.  ``was_polled``: the last sign of life came from a provider over HTTP.
    """

    dispatchers: int
    missing: MissingProgram
    heard_at: datetime | None
    offered: bool
    has_dispatched: bool
    polls: bool
    was_polled: bool
    places: int


def alive_workers() -> QuerySet[Worker]:
    return Worker.filter(heard_at__gt=_ago(ALIVE_S), ended=False)


def alive_dispatchers() -> QuerySet[Dispatcher]:
    return Dispatcher.filter(heard_at__gt=_ago(ALIVE_S), ended=False)


def alive_publishers() -> QuerySet[Publisher]:
    return Publisher.filter(heard_at__gt=_ago(PUBLISHER_ALIVE_S), ended=False)


def is_alive(process: Worker | Dispatcher) -> bool:
    return not process.ended and process.heard_at > _ago(ALIVE_S)


async def workers_at_work() -> int:
    """The number of live worker processes.  A process that serves several bundles counts once."""
    return len(set(await alive_workers().values_list("instance", flat=True)))


async def availability() -> dict[str, ServiceAvailability]:
    """The availability of every service that was ever registered, by its name; one for all versions of a service."""
    heard_at, polled = await _last_signs()
    current = await Service.filter(current=True).values_list("name", flat=True)
    offered = set(map(str, current))
    processes, bundles = await _dispatchers()
    known = set(map(str, await Dispatcher.all().distinct().values_list("service", flat=True)))
    served = set(map(str, await alive_workers().distinct().values_list("bundle", flat=True)))
    held, publishers = await _held_over_http(), await _publishers()
    found = {}
    for name in {*heard_at, *processes}:
        asks = polled.get(name, clock.EPOCH) > _ago(POLL_ALIVE_S)
        here = publishers.get(name, Publishers())
        works = asks or held.get(name, False) or here.alive > 0
        at_http = max(polled.get(name, clock.EPOCH), here.heard_at)
        missing = _missing_program(bundles[name], served, polls=works)
        is_silent = missing is MissingProgram.DISPATCHER and name in held
        found[name] = ServiceAvailability(
            dispatchers=len(processes[name]) + here.alive + (asks or name in held),
            missing=MissingProgram.SILENT if is_silent else missing,
            heard_at=heard_at.get(name),
            offered=name in offered,
            has_dispatched=name in known,
            polls=works,
            was_polled=at_http == heard_at.get(name),
            places=here.places,
        )
    return found


async def delete_expired() -> None:
    """Delete the rows of workers, dispatchers and publishers that have announced nothing for EXPIRY.  The names of
    ended processes are rarely used again, so their rows would accumulate.
    """
    before = clock.now() - EXPIRY
    await Worker.filter(heard_at__lt=before).delete()
    await Dispatcher.filter(heard_at__lt=before).delete()
    await Publisher.filter(heard_at__lt=before).delete()


def _missing_program(bundles: Iterable[str], served: set[str], *, polls: bool) -> MissingProgram:
    """The kind of program that a service lacks: DISPATCHER if it has no live dispatcher, WORKER if live workers serve
    none of the bundles that its dispatchers need.  NONE if it lacks none, or if a provider over HTTP serves it
    (``polls``).

    ``bundles`` are the bundles that the service's live dispatchers need ("" for a dispatcher that needs none);
    ``served`` are those that live workers serve.
    """
    needed = set(bundles)
    if polls or "" in needed or needed & served:
        return MissingProgram.NONE
    return MissingProgram.WORKER if needed else MissingProgram.DISPATCHER


async def _last_signs() -> tuple[dict[str, datetime | None], dict[str, datetime]]:
    """Times of the last signs of life, by service name: of any program that serves it (None if there was none), and of
    providers that poll (without services that were never polled).
    """
    heard_at: dict[str, datetime | None] = {}
    polled: dict[str, datetime] = {}
    for service in await Service.all().only("id", "name", "heard_at", "polled_at"):
        signs = [at for at in (heard_at.get(service.name), service.heard_at) if at is not None]
        heard_at[service.name] = max(signs, default=None)
        if service.polled_at is not None:
            last = polled.get(service.name, service.polled_at)
            polled[service.name] = max(last, service.polled_at)
    return heard_at, polled


async def _dispatchers() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By service name: the names of its live dispatcher processes, and the bundles that these need."""
    processes: dict[str, set[str]] = defaultdict(set)
    bundles: dict[str, set[str]] = defaultdict(set)
    for dispatcher in await alive_dispatchers():
        processes[dispatcher.service].add(dispatcher.instance)
        bundles[dispatcher.service].add(dispatcher.bundle)
    return processes, bundles


@dataclass(frozen=True, kw_only=True)
class Publishers:
    """Figures about the publishers of one service: how many are alive, how many tickets the live ones process at a
    time, and the last time at which any was heard.
    """

    alive: int = 0
    places: int = 0
    heard_at: datetime = clock.EPOCH


async def _publishers() -> dict[str, Publishers]:
    """Figures about publishers by service name.  A publisher that has announced nothing for EXPIRY may be missing."""
    found: dict[str, Publishers] = {}
    for each in await Publisher.all():
        before = found.get(each.service, Publishers())
        is_here = not each.ended and each.heard_at > _ago(PUBLISHER_ALIVE_S)
        found[each.service] = Publishers(
            alive=before.alive + is_here,
            places=before.places + (each.parallel if is_here else 0),
            heard_at=max(before.heard_at, each.heard_at),
        )
    return found


LONGEST_RUN_FACTOR = 1.5
"""A provider over HTTP that works on a ticket is taken for alive while its silence is at most this many times the
longest of the last 20 runs of the service or, if that is longer, its own longest silence since it claimed the ticket;
in any case for POLL_ALIVE_S seconds.
"""

# $1: now.  $2: a publisher that was heard since then is alive.  A provider that reports nothing before the end
# is silent during a complete run.  The state of a publisher is known from its announcements, so its tickets do not count.
_HELD = r"""
SELECT service.name, max(claim.expires_at - claim.lease_s * interval '1 s') FILTER (WHERE publisher.id IS NULL) AS heard_at,
    greatest(max(claim.silence_s),
    max((SELECT max(seconds) FROM (
        SELECT seconds FROM run WHERE run.service = service.name ORDER BY id DESC LIMIT 20) AS newest))) AS longest_s
FROM ticket JOIN service ON service.id = ticket.service_id JOIN claim ON claim.id = ticket.claim_id
    LEFT JOIN publisher ON publisher.user_id = claim.user_id AND publisher.service = service.name
        AND publisher.instance = regexp_replace(claim.instance, '-\d+$', '')
WHERE ticket.status = 'claimed' AND claim.user_id IS NOT NULL AND claim.expires_at > $1
    AND (publisher.id IS NULL OR (publisher.heard_at <= $2 AND NOT publisher.ended))
GROUP BY service.name
"""


async def _held_over_http() -> dict[str, bool]:
    """By name, the services with a ticket that a provider over HTTP holds, by a lease that has not expired.  The value is
    True if that provider counts as alive although it does not poll while it works, and False if it has been silent for
    longer than usual.

    Tickets of publishers that are alive or have announced their end are not considered, because their state is known.
    """
    values = [clock.now(), _ago(PUBLISHER_ALIVE_S)]
    rows = await get_connection("default").execute_query_dict(_HELD, values)
    return {
        str(row["name"]): (row["heard_at"] or clock.EPOCH)
        > _ago(max(POLL_ALIVE_S, LONGEST_RUN_FACTOR * (row["longest_s"] or 0)))
        for row in rows
    }


def _ago(seconds: float) -> datetime:
    return clock.now() - timedelta(seconds=seconds)
