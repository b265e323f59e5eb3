"""Finds when workers began the tickets that are claimed: a ticket that is claimed while all workers are busy begins
later.  Pure.
"""

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from dss_portal.estimates.durations import Run


@dataclass(frozen=True, kw_only=True)
class FinishedRuns:
    """The times, each in ascending order, at which past runs began and ended."""

    began_s: Sequence[float]
    ended_s: Sequence[float]

    @classmethod
    def on(cls, devices: Collection[str], runs: Iterable[Run]) -> "FinishedRuns":
        """The times of those of ``runs`` that ran on one of ``devices``."""
        found = [run for run in runs if run.device in devices]
        return cls(
            began_s=sorted(run.ended_s - run.seconds for run in found),
            ended_s=sorted(run.ended_s for run in found),
        )

    def at_work(self, time_s: float) -> int:
        """The number of runs that had begun at ``time_s`` and had not ended."""
        return bisect_right(self.began_s, time_s) - bisect_right(self.ended_s, time_s)


@dataclass(kw_only=True)
class BegunTickets:
    """The tickets that workers have begun.  ``times_s`` are the times of that, in ascending order."""

    times_s: list[float] = field(default_factory=list)

    def add(self, time_s: float) -> None:
        insort(self.times_s, time_s)

    def at_work(self, time_s: float) -> int:
        """The number of tickets that had begun at ``time_s``."""
        return bisect_right(self.times_s, time_s)


@dataclass(kw_only=True)
class ServiceStarts:
    """Finds when the claimed tickets of one service began.  ``workers`` is the number of workers that serve it,
    ``runs`` are the past runs on their devices.

    Tickets begin in the order of their claims, so no time before ``_from_s`` is examined again, and all calls together
    look at each end of a run once.
    """

    workers: int
    runs: FinishedRuns
    _from_s: float | None = float("-inf")
    """The time at which the last ticket began; None if a ticket has not begun yet."""

    def next(self, claimed_s: float, begun: BegunTickets) -> float | None:
        """The time when a worker began the ticket that was claimed at ``claimed_s``; None if all were busy since then.
        ``begun`` are the tickets that were claimed earlier and still run.  Call it in the order of the claims.
        """
        if self._from_s is not None:
            self._from_s = self._first_free(max(claimed_s, self._from_s), begun)
        return self._from_s

    def _first_free(self, time_s: float, begun: BegunTickets) -> float | None:
        """The first time from ``time_s`` on at which fewer workers are busy than there are; None if there is none."""
        ends_s = self.runs.ended_s
        while self.runs.at_work(time_s) + begun.at_work(time_s) >= self.workers:
            following = bisect_right(ends_s, time_s)
            if following == len(ends_s):
                return None
            time_s = ends_s[following]
        return time_s
