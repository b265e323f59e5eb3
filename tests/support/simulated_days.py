"""Days of a site, simulated in time order: what its portal knows when a ticket comes, and when that ticket really ends.

A day has working hours with six times the arrivals of the night, users of whom some send many tickets at once, two
services, images of 3 to 400 million voxels (log-normal around 40), and three workers: ``gpu`` serves both services,
another ``gpu`` the nodules, and ``cpu``, four times slower, the lungs.  Once in the working hours the first worker dies
for 20 to 40 minutes, and what it worked on begins anew.

Noise: a run takes ``seconds + rate * voxels``, times a log-normal factor of sigma 0.08; one run of fifty takes twice as
long.  Progress is told in tenths and runs ahead of the time (its power of 0.8).  The order of the queue is that of
``dss_portal.tickets.queue``: users take turns, so later tickets may come first, which no estimate can know.
A worker takes the ticket that came first of those that are next; of idle workers the one that was idle longest.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

DAY_S = 86_400.0
SERVICES = {"lungs": (8.0, 0.9e-6), "nodules": (15.0, 2.2e-6)}
"""Seconds of a run on the fast device: for any image, and for each voxel."""
SLOWNESS = {"gpu": 1.0, "cpu": 4.0}
NOISE_SIGMA, ODD_SHARE, ODD_FACTOR = 0.08, 0.02, 2.0
ARRIVALS_PER_H = {"lungs": 18.0, "nodules": 20.0}
"""Arrivals per hour from 8 to 18 o'clock."""
NIGHT_SHARE, BATCH_SHARE, USERS = 1 / 6, 0.06, 12


@dataclass(kw_only=True)
class SimulatedTicket:
    """``started_s`` and ``needs_s`` are those of its present run."""

    number: int
    service: str
    user: int
    voxels: int
    came_s: float
    started_s: float = 0.0
    needs_s: float = 0.0
    ended_s: float = 0.0

    def progress(self, now_s: float) -> float:
        share = min(1.0, (now_s - self.started_s) / self.needs_s)
        return math.floor(10 * math.pow(share, 0.8)) / 10


@dataclass(kw_only=True, eq=False)
class SimulatedWorker:
    device: str
    services: frozenset[str]
    alive: bool = True
    idle_since_s: float = 0.0
    ticket: SimulatedTicket | None = None
    run: int = 0


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    service: str
    voxels: int
    device: str
    seconds: float
    ended_s: float


@dataclass(frozen=True, kw_only=True)
class Known:
    """The knowledge of a portal at ``now_s``: ``waiting`` in order of each service, ``running`` without their devices."""

    now_s: float
    runs: Sequence[EndedRun]
    running: Sequence[SimulatedTicket]
    waiting: dict[str, Sequence[SimulatedTicket]]
    workers: Sequence[tuple[str, frozenset[str]]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``told_s`` is the estimate at the submission, None for ``unknown``."""

    ticket: SimulatedTicket
    told_s: float | None

    @property
    def total_s(self) -> float:
        return self.ticket.ended_s - self.ticket.came_s


Ask = Callable[[Known, SimulatedTicket], float | None]


def arrivals(dice: random.Random) -> list[SimulatedTicket]:
    """The tickets of a day, by time."""
    found = []
    for service, rate in ARRIVALS_PER_H.items():
        at_s = 0.0
        while (at_s := at_s + dice.expovariate(rate / 3600)) < DAY_S:
            by_day = 8 <= at_s / 3600 < 18
            if not by_day and dice.random() > NIGHT_SHARE:
                continue
            user = dice.randrange(USERS)
            many = dice.randint(3, 8) if dice.random() < BATCH_SHARE else 1
            found += [(at_s + 4.0 * i, service, user, _voxels(dice)) for i in range(many)]
    return [
        SimulatedTicket(number=number, service=service, user=user, voxels=voxels, came_s=at_s)
        for number, (at_s, service, user, voxels) in enumerate(sorted(found), 1)
    ]


def _voxels(dice: random.Random) -> int:
    return int(min(400e6, max(3e6, 40e6 * dice.lognormvariate(0, 0.7))))


class Day:
    """``ask`` is asked for an estimate of each ticket when it comes."""

    def __init__(self, seed: int, ask: Ask, *, runs: Sequence[EndedRun] = ()) -> None:
        """``runs`` are those of the days before."""
        self._dice = random.Random(seed)
        self._ask = ask
        self.runs = list(runs)
        self.outcomes: list[Outcome] = []
        self._workers = [
            SimulatedWorker(device="gpu", services=frozenset(SERVICES)),
            SimulatedWorker(device="gpu", services=frozenset({"nodules"})),
            SimulatedWorker(device="cpu", services=frozenset({"lungs"})),
        ]
        self._waiting: list[SimulatedTicket] = []
        self._served: dict[tuple[str, int], float] = {}
        self._returned: set[int] = set()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def pass_by(self) -> list[Outcome]:
        """Every ticket of the day with its estimate and its end."""
        for ticket in arrivals(self._dice):
            self._at(ticket.came_s, partial(self._come, ticket))
        dies_s = self._dice.uniform(9, 17) * 3600
        self._at(dies_s, self._die)
        self._at(dies_s + self._dice.uniform(20, 40) * 60, self._revive)
        while self._events:
            now_s, _, event = heapq.heappop(self._events)
            event(now_s)
            self._give_out(now_s)
        return self.outcomes

    def _at(self, at_s: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), event))

    def _come(self, ticket: SimulatedTicket, now_s: float) -> None:
        self._waiting.append(ticket)
        known = Known(
            now_s=now_s,
            runs=self.runs,
            running=[w.ticket for w in self._workers if w.ticket is not None],
            waiting={service: self._queue(service) for service in SERVICES},
            workers=[(w.device, w.services) for w in self._workers if w.alive],
        )
        self.outcomes.append(Outcome(ticket=ticket, told_s=self._ask(known, ticket)))

    def _queue(self, service: str) -> list[SimulatedTicket]:
        own = sorted((t for t in self._waiting if t.service == service), key=lambda t: t.number)
        numbers: dict[int, int] = {}
        keys = {}
        for ticket in own:
            numbers[ticket.user] = numbers.get(ticket.user, 0) + 1
            served_s = self._served.get((service, ticket.user), 0.0)
            came_s = ticket.came_s
            since_s = came_s if ticket.number in self._returned else max(came_s, served_s)
            keys[ticket.number] = (numbers[ticket.user], since_s, ticket.number)
        return sorted(own, key=lambda t: keys[t.number])

    def _give_out(self, now_s: float) -> None:
        idle = [w for w in self._workers if w.alive and w.ticket is None]
        for worker in sorted(idle, key=lambda w: w.idle_since_s):
            heads = [q[0] for s in worker.services if (q := self._queue(s))]
            if heads:
                self._begin(worker, min(heads, key=lambda t: t.came_s), now_s)

    def _begin(self, worker: SimulatedWorker, ticket: SimulatedTicket, now_s: float) -> None:
        self._waiting.remove(ticket)
        self._served[ticket.service, ticket.user] = now_s
        each_s, rate_s = SERVICES[ticket.service]
        noise = self._dice.lognormvariate(0, NOISE_SIGMA)
        odd = ODD_FACTOR if self._dice.random() < ODD_SHARE else 1.0
        needs_s = (each_s + rate_s * ticket.voxels) * SLOWNESS[worker.device] * noise * odd
        ticket.started_s, ticket.needs_s = now_s, needs_s
        worker.ticket, worker.run = ticket, worker.run + 1
        run = worker.run
        self._at(now_s + needs_s, lambda at_s: self._end(worker, run, at_s))

    def _end(self, worker: SimulatedWorker, run: int, now_s: float) -> None:
        ticket = worker.ticket
        if ticket is None or worker.run != run:  # the worker died meanwhile
            return
        ticket.ended_s = now_s
        self.runs.append(
            EndedRun(
                service=ticket.service,
                voxels=ticket.voxels,
                device=worker.device,
                seconds=ticket.needs_s,
                ended_s=now_s,
            )
        )
        worker.ticket, worker.idle_since_s = None, now_s

    def _die(self, _now_s: float) -> None:
        worker = self._workers[0]
        worker.alive, worker.run = False, worker.run + 1
        if worker.ticket is not None:
            self._returned.add(worker.ticket.number)
            self._waiting.append(worker.ticket)
            worker.ticket = None

    def _revive(self, now_s: float) -> None:
        self._workers[0].alive, self._workers[0].idle_since_s = True, now_s
