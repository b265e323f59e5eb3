"""Forecasts when waiting tickets will be done, by a simulation of the queues and the live workers.  Pure."""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dss_portal.estimates.durations import DurationPredictor, Run, TicketSize
from dss_portal.estimates.run_starts import BegunTickets, FinishedRuns, ServiceStarts

LEAST_REMAINING = 0.1
"""A run that has taken longer than expected is assumed to need at least this fraction of the
expected time in addition.
"""
TRUSTED_PROGRESS = 0.3
"""From this progress on, the progress itself predicts the duration as well as past runs do."""
UNKNOWN_DEVICE_COST = 3.0
"""The cost, as a logarithm, of the assumption that a ticket runs on a device without a past run of its service."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker, which runs one ticket at a time of any of ``services``.  If ``device`` is "", it is unknown, and past
    runs on all devices count.
    """

    device: str
    services: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A waiting ticket.  ``came_s`` is the time of its submission, on the clock of ``Site.now_s``."""

    ticket_id: int
    service: str
    size: TicketSize
    came_s: float


@dataclass(frozen=True, kw_only=True)
class Running:
    """A ticket that was claimed at ``began_s``.  ``progress`` 0..1 is the progress that was reported."""

    ticket_id: int
    service: str
    size: TicketSize
    began_s: float
    progress: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Seconds from now until the ticket's run begins (0 if it has begun) and until it ends."""

    begins_s: float
    ends_s: float


@dataclass(frozen=True, kw_only=True)
class Site:
    """The site's state at ``now_s`` (Unix time).  ``waiting`` has the tickets of each service in the order of its
    queue; ``runs`` are past runs in order of time.

    ``most_claims`` is, by service, the number of tickets that its dispatchers hold claims of at a time; a service is
    missing if that is not known.
    """

    now_s: float
    workers: Sequence[Worker]
    running: Sequence[Running]
    waiting: Mapping[str, Sequence[Waiting]]
    runs: Sequence[Run]
    most_claims: Mapping[str, int] = field(default_factory=dict)


class DurationPredictors:
    """Predicts the duration of a run for each service and device, from ``runs``, which are in order of time."""

    def __init__(self, runs: Sequence[Run]) -> None:
        grouped: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in runs:
            grouped[run.service, run.device].append(run)
            if run.device:
                grouped[run.service, ""].append(run)
        self._predictors = {key: DurationPredictor(found) for key, found in grouped.items()}

    def seconds(self, service: str, size: TicketSize, device: str) -> float | None:
        """The expected duration of a run in seconds; None if past runs do not determine it.  ``device`` "" stands for
        any device.
        """
        predictor = self._predictors.get((service, device))
        return predictor.seconds(size) if predictor else None

    def guess(self, service: str, size: TicketSize, device: str) -> float | None:
        """The expected duration of a run in seconds.  If past runs on ``device`` do not determine it, a less certain
        one, from fewer runs or runs on other devices; None if the service has no past run.
        """
        predictor = self._predictors.get((service, device)) or self._predictors.get((service, ""))
        return predictor.guess(size) if predictor else None


def forecasts(site: Site, predictors: DurationPredictors | None = None) -> dict[int, Forecast]:
    """Forecasts by ticket number.  A ticket is missing if no worker serves its service, or if there are too few past
    runs.

    ``predictors`` are those of ``site.runs``; a caller that asks several times may compute them once.
    """
    return _Simulation(site, predictors or DurationPredictors(site.runs)).forecasts()


@dataclass
class _SimulatedWorker:
    """A worker in the simulation.  ``free_s`` is the time when it becomes free, or became free; None if that is not
    known.  ``ends`` is the service of the ticket that it ends then; "" if it has none.
    """

    worker: Worker
    free_s: float | None
    ends: str = ""


@dataclass
class _Queue:
    """The tickets of one service that no worker has begun.  Workers take ``claimed`` ones, of all services that they
    serve, by ``came_s``, which is the time of the claim; those in ``waiting`` are claimed when another one has ended.
    """

    claimed: deque[Waiting]
    waiting: deque[Waiting]

    def claim(self, now_s: float) -> bool:
        """Claim the next waiting ticket at ``now_s``.  Returns False if none waits."""
        if not self.waiting:
            return False
        self.claimed.append(replace(self.waiting.popleft(), came_s=now_s))
        return True


@dataclass
class _Simulation:
    site: Site
    predictors: DurationPredictors
    found: dict[int, Forecast] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ends: dict[str, list[float]] = defaultdict(list)
        for run in self.site.runs:
            self._ends[run.device].append(run.ended_s)

    def forecasts(self) -> dict[int, Forecast]:
        idle = list(self.site.workers)
        busy: list[_SimulatedWorker] = []
        held: dict[str, list[Waiting]] = defaultdict(list)
        for running in self._running():
            worker = self._likely_worker(running, idle)
            if worker is None:  # the ticket is claimed and waits for a worker
                held[running.service].append(_as_waiting(running))
                continue
            idle.remove(worker)
            busy.append(_SimulatedWorker(worker, self._end(running, worker), running.service))
        self._simulate([*busy, *self._idle(idle)], self._queues(held))
        return self.found

    def _queues(self, held: Mapping[str, Sequence[Waiting]]) -> "dict[str, _Queue]":
        """By service, the tickets that no worker has begun.  ``held`` are those of them that are claimed.  If a service
        is not in ``most_claims``, all its tickets count as claimed when they were submitted.
        """
        claims = Counter(running.service for running in self.site.running)
        queues = {}
        for service in {*held, *self.site.waiting}:
            waiting, most = (
                deque(self.site.waiting.get(service, ())),
                self.site.most_claims.get(service),
            )
            queue = queues[service] = _Queue(deque(held.get(service, ())), waiting)
            if most is None:
                queue.claimed.extend(waiting)
                waiting.clear()
                continue
            for _ in range(max(most - claims[service], 0)):
                queue.claim(self.site.now_s)
        return queues

    def _expected(self, service: str, size: TicketSize, device: str) -> float | None:
        return self.predictors.seconds(service, size, device)

    def _running(self) -> list[Running]:
        """The claimed tickets: first those that workers have begun, in that order and with the time of that as
        ``began_s``; then those that wait for a worker, in the order of their claims.  A ticket that is claimed while all
        workers are busy begins later.
        """
        begun: list[Running] = []
        held: list[Running] = []
        starts = {
            service: self._starts(service) for service in {r.service for r in self.site.running}
        }
        times = BegunTickets()
        for running in sorted(self.site.running, key=lambda r: r.began_s):
            began_s = starts[running.service].next(running.began_s, times)
            if began_s is None:
                held.append(running)
            else:
                times.add(began_s)
                begun.append(replace(running, began_s=began_s))
        return [*sorted(begun, key=lambda r: r.began_s), *held]

    def _starts(self, service: str) -> ServiceStarts:
        able = [worker for worker in self.site.workers if service in worker.services]
        devices = {worker.device for worker in able}
        return ServiceStarts(workers=len(able), runs=FinishedRuns.on(devices, self.site.runs))

    def _likely_worker(self, running: Running, idle: Sequence[Worker]) -> Worker | None:
        """The worker that most probably runs the ticket; None if no worker is left."""
        able = [worker for worker in idle if running.service in worker.services]
        return min(able, key=lambda worker: self._cost(running, worker), default=None)

    def _cost(self, running: Running, worker: Worker) -> float:
        expected_s = self._expected(running.service, running.size, worker.device)
        if expected_s is None:
            return UNKNOWN_DEVICE_COST
        spent_s = self.site.now_s - running.began_s
        if running.progress >= TRUSTED_PROGRESS:
            return abs(math.log(max(spent_s, 1.0) / running.progress / expected_s))
        excess = math.log(max(spent_s, 1.0) / expected_s)
        return max(0.0, excess) + len(worker.services) * 1e-3

    def _end(self, running: Running, worker: Worker) -> float | None:
        where = (running.service, running.size, worker.device)
        is_told = self._expected(*where) is not None
        expected_s = self.predictors.guess(*where)
        if expected_s is None:
            return None
        spent_s = self.site.now_s - running.began_s
        if running.progress >= TRUSTED_PROGRESS:
            expected_s = math.sqrt(expected_s * max(spent_s, 1.0) / running.progress)
        left_s = max(expected_s - spent_s, LEAST_REMAINING * expected_s)
        if is_told:
            self.found[running.ticket_id] = Forecast(begins_s=0.0, ends_s=left_s)
        return self.site.now_s + left_s

    def _idle(self, workers: Sequence[Worker]) -> list[_SimulatedWorker]:
        """The idle workers, each with the time when it became free: the end of one of the newest runs on its device; 0
        if there is none.
        """
        ends = {device: sorted(found) for device, found in self._ends.items()}
        places = []
        for worker in workers:
            known = ends.get(worker.device)
            places.append(_SimulatedWorker(worker, known.pop() if known else 0.0))
        return places

    def _simulate(self, places: list[_SimulatedWorker], queues: "Mapping[str, _Queue]") -> None:
        """Simulate the future and store the forecasts of waiting tickets.  The worker that is free first takes the
        ticket that was claimed first of those that it serves, until no ticket is left.
        """
        places = [place for place in places if place.free_s is not None]
        resting: list[_SimulatedWorker] = []
        while places:
            place = min(places, key=lambda p: (max(p.free_s or 0.0, self.site.now_s), p.free_s))
            now_s = max(place.free_s or 0.0, self.site.now_s)
            if place.ends and (ended := queues.get(place.ends)) and ended.claim(now_s):
                places, resting = [*places, *resting], []
            place.ends = ""
            heads = [
                q.claimed[0] for s in place.worker.services if (q := queues.get(s)) and q.claimed
            ]
            if not heads:
                places.remove(place)
                resting.append(place)
                continue
            ticket = min(heads, key=lambda head: (head.came_s, head.ticket_id))
            queues[ticket.service].claimed.popleft()
            begins_s = max(now_s, ticket.came_s)
            where = (ticket.service, ticket.size, place.worker.device)
            needs_s = self.predictors.guess(*where)
            if needs_s is None:
                places.remove(place)
                continue
            place.free_s, place.ends = begins_s + needs_s, ticket.service
            if self._expected(*where) is not None:
                self.found[ticket.ticket_id] = Forecast(
                    begins_s=begins_s - self.site.now_s, ends_s=place.free_s - self.site.now_s
                )


def _as_waiting(running: Running) -> Waiting:
    return Waiting(
        ticket_id=running.ticket_id,
        service=running.service,
        size=running.size,
        came_s=running.began_s,
    )
