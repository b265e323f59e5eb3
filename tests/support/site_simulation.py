"""A site as a network of queues, on measured costs: how fast a batch of tickets passes, and how long a poll waits.

Each program is a server that does one thing at a time (Python's lock), each core another; a piece of work holds both.
A ticket is a chain of pieces whose CPU times add up to what was measured.  Nothing is fitted: the simulation knows CPU
times of a ticket, the number of programs and the cores, and is compared with tickets/s of real runs.
"""

import math
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, Any, None]
PARALLEL = 2
"""Tickets that a dispatcher holds at a time."""
SUBMITTED = ("sender", "portal", "postgres") * 4
"""Create, two files, ready."""
HANDED_OUT = ("portal", "rabbit", "dispatch", "portal", "postgres", "rabbit", "dispatch")
"""The event of a ticket, its claim, and the grant."""
COMPUTED = ("rabbit", "worker", "dispatch", "rabbit", "portal", "postgres") * 3
FINISHED = ("dispatch", "rabbit", "portal", "postgres")
"""Uploading, and the end of the claim."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``cpu_ms`` of a ticket by program.  ``cores`` may be a fraction: what other programs of the machine leave.

    ``senders`` is how many tickets are submitted at a time, by threads of one program.
    """

    cpu_ms: dict[str, float]
    cores: float
    programs: int
    tickets: int
    senders: int


def tickets_per_s(batch: Batch, seed: int = 1) -> float:
    """Tickets per second, from the first submission to the end of the last ticket."""
    site = _Site(batch, random.Random(seed))
    numbers = iter(range(batch.tickets))
    for _ in range(batch.senders):
        site.world.process(site.sending(numbers))
    site.world.run()
    return batch.tickets / site.world.now


class _Site:
    def __init__(self, batch: Batch, chance: random.Random) -> None:
        self.world = simpy.Environment()
        self._chance = chance
        whole = max(1, math.ceil(batch.cores))
        self._slowness = whole / batch.cores
        self._cores = simpy.Resource(self.world, whole)
        counts = {"dispatch": batch.programs, "worker": batch.programs}
        self._servers = {
            name: [simpy.Resource(self.world, 1) for _ in range(counts.get(name, 1))]
            for name in batch.cpu_ms
        }
        self._hands = simpy.Resource(self.world, PARALLEL * batch.programs)
        chain = [*SUBMITTED, *HANDED_OUT, *COMPUTED, *FINISHED]
        self._piece_s = {n: ms / 1e3 / chain.count(n) for n, ms in batch.cpu_ms.items()}

    def sending(self, numbers: Iterator[int]) -> Steps:
        """One thread of the sender: submits the next of ``numbers`` until none is left."""
        for number in numbers:
            for program in SUBMITTED:
                yield from self._work(program, number)
            self.world.process(self._dispatched(number))

    def _dispatched(self, number: int) -> Steps:
        with self._hands.request() as hand:
            yield hand
            for program in (*HANDED_OUT, *COMPUTED, *FINISHED):
                yield from self._work(program, number)

    def _work(self, program: str, number: int) -> Steps:
        servers = self._servers[program]
        with servers[number % len(servers)].request() as server:
            yield server
            with self._cores.request() as core:
                yield core
                yield self.world.timeout(
                    self._chance.expovariate(1) * self._piece_s[program] * self._slowness
                )


@dataclass(frozen=True, kw_only=True)
class Load:
    """The work of one process: ``per_s`` pieces of work each second of ``ms`` CPU time each, by name."""

    per_s: dict[str, float]
    ms: dict[str, float]

    @property
    def utilisation(self) -> float:
        return sum(rate * self.ms[name] / 1e3 for name, rate in self.per_s.items())


def wait_p95_ms(load: Load, seconds: float, seed: int = 1) -> float:
    """95th percentile of the time in one process of its most frequent kind of work, waiting and computing."""
    world, chance = simpy.Environment(), random.Random(seed)
    process = simpy.Resource(world, 1)
    most = max(load.per_s, key=lambda name: load.per_s[name])
    took_s: list[float] = []

    def one(name: str) -> Steps:
        came_s = world.now
        with process.request() as turn:
            yield turn
            yield world.timeout(load.ms[name] / 1e3)
        if name == most:
            took_s.append(world.now - came_s)

    def arrivals(name: str, rate: float) -> Steps:
        while True:
            yield world.timeout(chance.expovariate(rate))
            world.process(one(name))

    for name, rate in load.per_s.items():
        if rate:
            world.process(arrivals(name, rate))
    world.run(until=seconds)
    return sorted(took_s)[int(0.95 * len(took_s))] * 1e3 if took_s else 0.0
