"""Estimates when tickets will be done: for a user before a submission, and while a ticket waits."""

import asyncio
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Change, Subject
from dss_portal.database import clock
from dss_portal.estimates import reading, words
from dss_portal.estimates.durations import Run, TicketSize
from dss_portal.estimates.forecast import DurationPredictors, Forecast, Waiting, forecasts
from dss_portal.estimates.reading import QueueEntry, SiteSnapshot
from dss_portal.models import Service, Tier, User
from dss_portal.services.liveness import SENTENCES, MissingProgram

FRESH_S = 2.0
"""Shortest time in seconds between two readings of the site's state from the database, for any number of requests.
Forecasts are never older.
"""
QUIET_S = 6.0
"""Age in seconds up to which the state that was read is used while the feed tells of no change to a ticket or service.
The feed does not tell when a program that serves tickets starts or ends.
"""
AT_LEAST_S = 0.5
"""Shortest time in seconds between two readings if a request is about a ticket that is newer than the last reading."""
_CHANGE_STATE = frozenset({Subject.STATE, Subject.TICKET, Subject.SERVICE})
"""Subjects of changes after which the site's state is read again."""
NEW_TICKET = 0
"""The number that stands for a ticket which the user might submit."""


@dataclass(frozen=True, kw_only=True)
class NewTicketEstimate:
    """The estimate for a ticket that would be submitted now.  ``missing`` is the kind of program that is missing;
    ``before`` is the number of tickets that are served earlier, at most ``reading.MOST``; ``forecast`` is None if it is
    not known.
    """

    missing: MissingProgram
    before: int
    forecast: Forecast | None

    @property
    def sentence(self) -> str:
        if self.missing is not MissingProgram.NONE:
            return SENTENCES[self.missing]
        if self.forecast is None:
            ahead = words.before(self.before, at_least=self.before >= reading.MOST)
            return f"{words.UNKNOWN[:-1]}; {ahead}."
        takes = f"Takes {words.about(self.forecast.ends_s)}, {words.before(self.before)}"
        if self.forecast.begins_s < words.SOON_S:
            return f"{takes}."
        return f"{takes}; {words.worker(self.forecast)}."


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The estimate for a ticket that waits or is claimed.  ``missing`` is the kind of program that is missing;
    ``forecast`` is None if it is not known.
    """

    missing: MissingProgram
    forecast: Forecast | None

    @property
    def sentence(self) -> str:
        if self.forecast is not None:
            return words.left(self.forecast)
        return words.UNKNOWN if self.missing is MissingProgram.NONE else SENTENCES[self.missing]


@dataclass(frozen=True, kw_only=True)
class ServiceVersion:
    """A version, with its ``id``, of the service ``name``; ``current`` is False if it was removed."""

    id: int
    name: str
    current: bool


@dataclass(frozen=True, kw_only=True)
class Offers:
    """Estimates for new tickets, ``by_name`` of their services.  ``unserved`` are the ids of versions that nobody serves
    while others of their services are served.
    """

    by_name: Mapping[str, NewTicketEstimate]
    unserved: frozenset[int]

    def of(self, service: Service) -> NewTicketEstimate | None:
        """The estimate for a new ticket of this version; None if the service is not known yet."""
        found = self.by_name.get(service.name)
        if found is None or service.id not in self.unserved:
            return found
        return replace(found, missing=MissingProgram.VERSION, forecast=None)


def times_of(forecast: Forecast | None) -> tuple[float | None, float | None]:
    """Seconds from now until the ticket begins and until it ends, with one decimal; twice None without a forecast."""
    if forecast is None:
        return None, None
    return round(forecast.begins_s, 1), round(forecast.ends_s, 1)


class Estimates:
    """The estimates of one portal process.  Its callers share the state of the site that was last read from the
    database.  It is read again when the feed of changes tells of a change to a ticket or service.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._snapshot: SiteSnapshot | None = None
        self._predictors = DurationPredictors(())
        self._found: Mapping[int, Forecast] = {}
        self._began_s = -math.inf
        """The time when the last reading began, by ``time.monotonic``."""
        self._forecast_s = -math.inf
        """The time for which the forecasts were made, by ``time.monotonic``."""
        self._changes = self._known_changes = 0
        """How often the feed has told of changes, now and before the last reading."""
        feed.follow(self._take)

    async def offers(self, user: User, size: TicketSize | None = None) -> Offers:
        """Estimates for new tickets.  Without ``size``, they are for an image of the service's usual size."""
        snapshot = await self.snapshot()
        tier = await Tier.get(name=user.tier_id)
        since = clock.now() - timedelta(minutes=tier.priority_minutes)
        turns = {
            name: _turn(snapshot.places.get(name, ()), user, since)
            for name in snapshot.availability
        }
        found = await asyncio.to_thread(_offers, snapshot, self._predictors, turns, size)
        unserved = [each.unserved for each in snapshot.availability.values()]
        return Offers(by_name=found, unserved=frozenset().union(*unserved))

    async def of_tickets(self, ticket_ids: Iterable[int]) -> dict[int, Forecast]:
        """Forecasts by ticket number.  Only waiting and claimed tickets can have one, and some of these have none."""
        wanted = set(ticket_ids)
        snapshot = await self.snapshot()
        if wanted - snapshot.promised.keys() and not snapshot.is_cut:
            await self.snapshot(newer=True)
        return {number: self._found[number] for number in wanted & self._found.keys()}

    async def expected(self, services: Mapping[int, ServiceVersion]) -> dict[int, Expected]:
        """The estimates of tickets that wait or are claimed; ``services`` has the service of each ticket.  A service
        that the site does not know counts as one without a dispatcher.
        """
        found = await self.of_tickets(services)
        snapshot = await self.snapshot()
        claimed = {running.ticket_id for running in snapshot.site.running}
        return {
            number: Expected(
                missing=_missing(snapshot, service, is_claimed=number in claimed),
                forecast=found.get(number),
            )
            for number, service in services.items()
        }

    async def snapshot(self, *, newer: bool = False) -> SiteSnapshot:
        """The site's state, with forecasts that are at most FRESH_S old; with ``newer``, read after this call began."""
        asked_s = time.monotonic()
        async with self._lock:
            oldest_s = asked_s if newer else asked_s - self._usable_s()
            if self._snapshot is None or self._began_s < oldest_s:
                await asyncio.sleep(max(0.0, self._began_s + AT_LEAST_S - time.monotonic()))
                return await self._read()
            if self._forecast_s < asked_s - FRESH_S:
                return await self._forecast(_at(clock.now(), self._snapshot))
            return self._snapshot

    def _take(self, changes: Sequence[Change] | None) -> None:
        """Receive changes from the feed; None: anything may have changed."""
        if changes is None or any(change.subject in _CHANGE_STATE for change in changes):
            self._changes += 1

    def _usable_s(self) -> float:
        """Age in seconds up to which the last reading may be used.  ``Feed.knows`` comes first: it takes in what the
        feed has found.
        """
        return QUIET_S if self._feed.knows() and self._changes == self._known_changes else FRESH_S

    async def _read(self) -> SiteSnapshot:
        self._began_s = time.monotonic()
        changes = self._changes
        snapshot = await reading.read_snapshot()
        self._known_changes = changes
        self._predictors = await asyncio.to_thread(DurationPredictors, snapshot.site.runs)
        return await self._forecast(snapshot)

    async def _forecast(self, snapshot: SiteSnapshot) -> SiteSnapshot:
        self._forecast_s = time.monotonic()
        self._found = await asyncio.to_thread(forecasts, snapshot.site, self._predictors)
        self._snapshot = snapshot
        return snapshot


def _at(now: datetime, snapshot: SiteSnapshot) -> SiteSnapshot:
    """The same state of the site at a later time."""
    return replace(snapshot, site=replace(snapshot.site, now_s=now.timestamp()))


def _missing(
    snapshot: SiteSnapshot, service: ServiceVersion, *, is_claimed: bool
) -> MissingProgram:
    """The kind of program that a ticket of ``service`` lacks.  A claimed ticket is finished, although its version was
    removed meanwhile, or its program takes no other tickets any more.
    """
    available = snapshot.availability.get(service.name)
    if available is None:
        return MissingProgram.DISPATCHER
    missing = available.missing_for(service.id, current=service.current)
    of_waiting = {MissingProgram.REMOVED, MissingProgram.VERSION}
    return MissingProgram.NONE if is_claimed and missing in of_waiting else missing


def _turn(places: Sequence[QueueEntry], user: User, since: datetime) -> int:
    """The number of tickets in ``places`` that are served before one that the user submits now, by the rules of
    ``tickets.queue``.  ``since`` is now minus the priority of the user's tier.
    """
    number = sum(place.user_id == user.id for place in places) + 1
    return sum((place.number, place.since) <= (number, since) for place in places)


def _offers(
    snapshot: SiteSnapshot,
    predictors: DurationPredictors,
    turns: Mapping[str, int],
    size: TicketSize | None,
) -> dict[str, NewTicketEstimate]:
    """Estimates for new tickets, by service name.  ``turns``: the number of tickets before the new one, by service
    name.
    """
    return {
        name: _offer(snapshot, predictors, name, before, size) for name, before in turns.items()
    }


def _offer(
    snapshot: SiteSnapshot,
    predictors: DurationPredictors,
    service: str,
    before: int,
    size: TicketSize | None,
) -> NewTicketEstimate:
    missing = snapshot.availability[service].missing
    size = _complete(size, usual([run for run in snapshot.site.runs if run.service == service]))
    if size is None or missing is not MissingProgram.NONE or before >= reading.MOST:
        return NewTicketEstimate(missing=missing, before=before, forecast=None)
    queue = list(snapshot.site.waiting.get(service, ()))
    new = Waiting(ticket_id=NEW_TICKET, service=service, size=size, came_s=snapshot.site.now_s)
    queue.insert(before, new)
    site = replace(snapshot.site, waiting={**snapshot.site.waiting, service: queue})
    return NewTicketEstimate(
        missing=missing, before=before, forecast=forecasts(site, predictors).get(NEW_TICKET)
    )


def _complete(size: TicketSize | None, usual_size: TicketSize | None) -> TicketSize | None:
    """``size``; if it states no number of bytes, with that of ``usual_size``, because past runs may have no number of
    voxels.
    """
    if size is None or usual_size is None or size.size_bytes:
        return size or usual_size
    return replace(size, size_bytes=usual_size.size_bytes)


def usual(runs: Sequence[Run]) -> TicketSize | None:
    """The median size of the images of ``runs``; None without runs."""
    if not runs:
        return None
    voxels = [run.size.voxels for run in runs if run.size.voxels is not None]
    return TicketSize(
        voxels=int(statistics.median(voxels)) if voxels else None,
        size_bytes=int(statistics.median(run.size.size_bytes for run in runs)),
    )
