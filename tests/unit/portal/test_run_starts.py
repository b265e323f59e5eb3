"""When workers began the tickets that are claimed: as by the definition, with a number of comparisons that is linear."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest

from dss_portal.estimates.durations import Run, TicketSize
from dss_portal.estimates.forecast import Running, Site, Worker, forecasts
from dss_portal.estimates.run_starts import BegunTickets, FinishedRuns, ServiceStarts

SIZE = TicketSize(voxels=1000, size_bytes=1000)


@dataclass
class Comparisons:
    count: int = 0


class CountedTime(float):
    """A time in seconds that counts its comparisons."""

    counter = Comparisons()

    def _compare(self, holds: Callable[[float], bool], other: float) -> bool:
        self.counter.count += 1
        return holds(float(other))

    def __lt__(self, other: float) -> bool:
        return self._compare(super().__lt__, other)

    def __le__(self, other: float) -> bool:
        return self._compare(super().__le__, other)

    def __gt__(self, other: float) -> bool:
        return self._compare(super().__gt__, other)

    def __ge__(self, other: float) -> bool:
        return self._compare(super().__ge__, other)

    def __sub__(self, other: float) -> "CountedTime":
        return CountedTime(float(self) - other)


def _run(ended_s: float, seconds: float = 10.0) -> Run:
    return Run(service="lungs", size=SIZE, device="gpu", seconds=seconds, ended_s=ended_s)


def _by_definition(
    claimed_s: float, runs: Sequence[Run], begun_s: Sequence[float], workers: int
) -> float | None:
    """The first of the claim and the later ends of runs at which a worker was free, looked for one after the other."""
    ends = sorted(run.ended_s for run in runs if run.ended_s > claimed_s)
    for time_s in (claimed_s, *ends):
        at_work = sum(run.ended_s - run.seconds <= time_s < run.ended_s for run in runs)
        if at_work + sum(each <= time_s for each in begun_s) < workers:
            return time_s
    return None


@pytest.mark.parametrize("seed", range(200))
def test_starts_are_those_of_the_definition(seed: int) -> None:
    """Two services with workers of their own; times are whole seconds, so that many are equal."""
    random = Random(seed)
    runs = [
        _run(float(random.randrange(60)), random.randrange(20)) for _ in range(random.randrange(25))
    ]
    numbers = {"lungs": random.randrange(4), "nodules": random.randrange(4)}
    finished = FinishedRuns.on({"gpu"}, runs)
    starts = {s: ServiceStarts(workers=n, runs=finished) for s, n in numbers.items()}
    begun, times = BegunTickets(), list[float]()

    for claimed_s in sorted(float(random.randrange(60)) for _ in range(12)):
        service = random.choice(list(numbers))
        expected = _by_definition(claimed_s, runs, times, numbers[service])
        found = starts[service].next(claimed_s, begun)
        assert found == expected
        if found is not None:
            begun.add(found)
            times.append(found)


def _comparisons(tickets: int) -> int:
    """The comparisons of times for a site with that many claimed tickets and as many past runs, and four workers, one
    of which is free from time to time.
    """
    runs = [_run(CountedTime(10.0 * n), 39.0) for n in range(1, tickets + 1)]
    running = [
        Running(
            ticket_id=number,
            service="lungs",
            size=SIZE,
            began_s=CountedTime(5.0 * number),
            progress=0.0,
        )
        for number in range(1, tickets + 1)
    ]
    site = Site(
        now_s=10.0 * tickets,
        workers=[Worker(device="gpu", services=frozenset({"lungs"}))] * 4,
        running=running,
        waiting={},
        runs=runs,
    )
    CountedTime.counter.count = 0
    forecasts(site)
    return CountedTime.counter.count


def test_comparisons_grow_with_the_number_of_claimed_tickets() -> None:
    few, many = _comparisons(40), _comparisons(320)

    assert few > 40
    # Eight times as many tickets; each search in a sorted list takes up to 1.6 times as many steps.
    assert many < 8 * 1.6 * few
