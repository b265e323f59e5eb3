"""Finds out which programs serve a service now, from their announcements and polls in the database.  The time limits
are in ``dss_broker.liveness``.

More than 300 lines: the queries and the sentences stand beside the one function that combines them.
"""

from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tortoise.connection import get_connection
from tortoise.queryset import QuerySet

from dss_broker.liveness import ALIVE_S, POLL_ALIVE_S, PUBLISHER_ALIVE_S
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Publisher, Worker

EXPIRY = timedelta(days=1)
"""Programs that have sent nothing for this time are forgotten: no longer listed, and their rows deleted."""


class MissingProgram(StrEnum):
    """The kind of program that a service lacks, so that its tickets wait; NONE if it lacks none."""

    NONE = ""
    DISPATCHER = "dispatcher"
    WORKER = "worker"
    REMOVED = "removed"
    """The service was removed from the site, and no dispatcher serves the tickets that still wait."""
    VERSION = "version"
    """Another version of the service is served, this one is not."""
    SILENT = "silent"
    """A provider over HTTP holds a ticket and has been silent for longer than usual, so it is not known whether it is
    alive.
    """


SENTENCES = {
    MissingProgram.DISPATCHER: "Nobody serves this at present; the ticket waits until the service is back.",
    MissingProgram.REMOVED: "This service was removed from this site, so nobody takes the ticket. Delete it, or ask the "
    "operator of this site.",
    MissingProgram.VERSION: "Nobody serves this version of the service at present, although another version is served; "
    "the ticket waits until this version is back.",
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
    ticket count as one.  ``heard_at`` is the last sign of life of any program; None if there was none.  ``places`` is
    the number of tickets that live publishers process at a time.

    ``missing`` is the kind of program that the service lacks; ``missing_of_removed`` the kind that its removed versions
    lack, whose tickets only our dispatchers take.  ``has_removed``: it has such versions.  ``unserved`` are the ids of
    the offered versions that nobody serves while providers over HTTP serve others; a dispatcher of ours serves all.

    ``offered``: the service takes tickets.  ``has_dispatched``: one of our dispatchers has served it within EXPIRY.
    ``polls``: a provider over HTTP serves it.  ``was_polled``: the last sign of life came from a provider over HTTP.
    """

    dispatchers: int
    missing: MissingProgram
    missing_of_removed: MissingProgram
    has_removed: bool
    heard_at: datetime | None
    offered: bool
    has_dispatched: bool
    polls: bool
    was_polled: bool
    places: int
    unserved: frozenset[int] = frozenset()

    def missing_for(self, version: int, *, current: bool) -> MissingProgram:
        """The kind of program that the tickets of the version with the id ``version`` lack; ``current`` is False for a
        removed version.
        """
        if not current:
            return self.missing_of_removed
        return MissingProgram.VERSION if version in self.unserved else self.missing


# Several rounds of the portal read these every few seconds, so rows are not converted to objects.  "alive" counts those
# that were heard since $1 and have not ended.
_SERVICES = """
SELECT name, bool_or(current) AS offered, max(heard_at) AS heard_at, max(polled_at) AS polled_at,
    bool_or(NOT current) AS has_removed,
    bool_or(NOT current AND EXISTS (
        SELECT FROM provider_service AS offer JOIN provider ON provider.id = offer.provider_id AND provider.current
        WHERE offer.service_id = service.id)) AS removed_is_claimable
FROM service GROUP BY name
"""
_NOT_REGISTERED: dict[str, Any] = {
    "offered": False,
    "heard_at": None,
    "polled_at": None,
    "has_removed": False,
    "removed_is_claimable": False,
}

_DISPATCHERS = """
SELECT service, count(DISTINCT instance) FILTER (WHERE heard_at > $1 AND NOT ended) AS alive,
    coalesce(array_agg(DISTINCT bundle) FILTER (WHERE heard_at > $1 AND NOT ended), '{}') AS bundles
FROM dispatcher GROUP BY service
"""
_NO_DISPATCHER: dict[str, Any] = {"alive": 0, "bundles": ()}

_PUBLISHERS = """
SELECT service, count(*) FILTER (WHERE heard_at > $1 AND NOT ended) AS alive,
    coalesce(sum(parallel) FILTER (WHERE heard_at > $1 AND NOT ended), 0) AS places, max(heard_at) AS heard_at
FROM publisher GROUP BY service
"""

_POLLED = "SELECT id, name, polled_at FROM service WHERE current"

_PUBLISHED = "SELECT service, versions FROM publisher WHERE heard_at > $1 AND NOT ended"

_NO_PUBLISHER: dict[str, Any] = {"alive": 0, "places": 0, "heard_at": clock.EPOCH}

# A provider over HTTP that does not announce itself does not poll while it works.  What a publisher serves is known.
_WORKED_ON = r"""
SELECT DISTINCT ticket.service_id AS id
FROM ticket JOIN service ON service.id = ticket.service_id JOIN claim ON claim.id = ticket.claim_id
    LEFT JOIN publisher ON publisher.user_id = claim.user_id AND publisher.service = service.name
        AND publisher.instance = regexp_replace(claim.instance, '-\d+$', '')
WHERE ticket.status = 'claimed' AND claim.user_id IS NOT NULL AND claim.expires_at > $1 AND publisher.id IS NULL
"""

_WORKERS = """
SELECT bundle, count(*) FILTER (WHERE heard_at > $1 AND NOT ended) AS alive FROM worker GROUP BY bundle
"""


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
    services = await _rows_by("name", _SERVICES)
    dispatchers = await _rows_by("service", _DISPATCHERS, _ago(ALIVE_S))
    publishers = await _rows_by("service", _PUBLISHERS, _ago(PUBLISHER_ALIVE_S))
    served = {bundle for bundle, workers in (await workers_by_bundle()).items() if workers}
    held = await _held_over_http()
    unserved = await _unserved_versions({name for name, row in dispatchers.items() if row["alive"]})
    found = {}
    for name in {*services, *(name for name, row in dispatchers.items() if row["alive"])}:
        registered = services.get(name, _NOT_REGISTERED)
        ours, here = dispatchers.get(name, _NO_DISPATCHER), publishers.get(name, _NO_PUBLISHER)
        polled_at = registered["polled_at"] or clock.EPOCH
        asks = polled_at > _ago(POLL_ALIVE_S)
        works = asks or held.get(name, False) or here["alive"] > 0
        missing = _missing_program(ours["bundles"], served, polls=works)
        is_silent = missing is MissingProgram.DISPATCHER and name in held
        claimants = ours["bundles"] if registered["removed_is_claimable"] else ()
        of_removed = _missing_of_removed(claimants, served)
        found[name] = ServiceAvailability(
            dispatchers=ours["alive"] + here["alive"] + (asks or name in held),
            missing=of_removed
            if not registered["offered"]
            else MissingProgram.SILENT
            if is_silent
            else missing,
            missing_of_removed=of_removed,
            has_removed=registered["has_removed"],
            heard_at=registered["heard_at"],
            offered=registered["offered"],
            has_dispatched=name in dispatchers,
            polls=works if registered["offered"] else held.get(name, False),
            was_polled=max(polled_at, here["heard_at"]) == registered["heard_at"],
            places=here["places"],
            unserved=unserved.get(name, frozenset()),
        )
    return found


def ids_in(versions: str) -> set[int]:
    """The ids in a publisher's ``versions``."""
    return {int(word) for word in versions.split()}


async def _unserved_versions(dispatched: Set[str]) -> dict[str, frozenset[int]]:
    """By name, the ids of the offered versions that no provider over HTTP serves, of services of which such a provider
    serves another version.  Services in ``dispatched`` have a dispatcher of ours, which serves all versions.
    """
    connection = get_connection("default")
    services = await connection.execute_query_dict(_POLLED)
    offered: dict[str, set[int]] = defaultdict(set)
    for row in services:
        offered[row["name"]].add(row["id"])
    several = {name: ids for name, ids in offered.items() if len(ids) > 1}
    if not several.keys() - dispatched:
        return {}
    served = {r["id"] for r in services if (r["polled_at"] or clock.EPOCH) > _ago(POLL_ALIVE_S)}
    served |= {row["id"] for row in await connection.execute_query_dict(_WORKED_ON, [clock.now()])}
    unknown = set(dispatched)
    for row in await connection.execute_query_dict(_PUBLISHED, [_ago(PUBLISHER_ALIVE_S)]):
        served |= ids_in(row["versions"])
        unknown |= set() if row["versions"] else {row["service"]}
    return {
        name: frozenset(ids - served)
        for name, ids in several.items()
        if name not in unknown and ids & served
    }


async def workers_by_bundle() -> dict[str, int]:
    """The number of live workers by the bundle that they serve; 0 for a bundle whose workers have all ended."""
    rows = await _rows_by("bundle", _WORKERS, _ago(ALIVE_S))
    return {bundle: int(row["alive"]) for bundle, row in rows.items()}


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


def _missing_of_removed(bundles: Iterable[str], served: set[str]) -> MissingProgram:
    """The kind of program that the removed versions of a service lack; ``bundles`` are those of the dispatchers that may
    take their tickets, because their provider is not removed.  Providers over HTTP cannot take them.
    """
    missing = _missing_program(bundles, served, polls=False)
    return MissingProgram.REMOVED if missing is MissingProgram.DISPATCHER else missing


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


async def _rows_by(key: str, statement: str, *values: object) -> dict[str, dict[str, Any]]:
    """The rows of ``statement``, by their column ``key``."""
    rows = await get_connection("default").execute_query_dict(statement, list(values))
    return {str(row[key]): row for row in rows}


def _ago(seconds: float) -> datetime:
    return clock.now() - timedelta(seconds=seconds)
