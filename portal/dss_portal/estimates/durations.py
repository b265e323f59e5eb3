"""Predicts the duration of a run for an image of a certain size, learned from past runs.  Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NEWEST = 60
"""Number of past runs that a prediction uses, the newest ones.  Later runs have more weight,
because a service changes.
"""
DECAY = 0.97
MIN_RUNS_FOR_LINE = 3
"""With at least this many runs, a line is fitted; with fewer, the durations are scaled."""
MAX_SIZE_FACTOR = 3.0
"""With few runs, no prediction is made for sizes that differ from all known ones by more than this factor."""
ROUNDS = 3
"""Number of fits of a line, each with weights from the last one."""
OUTLIER_FACTOR, OUTLIER_SPREADS = 1.6, 4.5
"""A line is fitted without runs that differ from the usual by more than this factor, and by more than this many times
the median of such differences (as logarithms): where all runs differ much, because others use the device, none is odd.
"""


@dataclass(frozen=True, kw_only=True)
class TicketSize:
    """The size of a ticket's images.  ``voxels`` is None if the portal does not know it; ``size_bytes`` is the size
    of the stored files.
    """

    voxels: int | None
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that succeeded.  ``device`` is the worker's name for its device, "" for a provider over HTTP; ``ended_s``
    is its end as Unix time.
    """

    service: str
    size: TicketSize
    device: str
    seconds: float
    ended_s: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """A duration that depends linearly on the size: ``each_s`` seconds for any image, plus ``rate_s`` seconds for
    each unit of its size.
    """

    each_s: float
    rate_s: float

    def at(self, size: float) -> float:
        return self.each_s + self.rate_s * size


class DurationPredictor:
    """Predicts the duration of runs of a service on one device, from past ``runs``, which are in order of time."""

    def __init__(self, runs: Iterable[Run]) -> None:
        newest = list(runs)[-NEWEST:]
        with_voxels = [run for run in newest if run.size.voxels is not None]
        self._by_voxels = _DurationBySize([(r.size.voxels or 0, r.seconds) for r in with_voxels])
        self._by_bytes = _DurationBySize([(r.size.size_bytes, r.seconds) for r in newest])
        self._knows_voxels = len(with_voxels) >= min(MIN_RUNS_FOR_LINE, len(newest))

    def seconds(self, size: TicketSize) -> float | None:
        """The expected duration in seconds of a run for an image of ``size``; None if past runs do not determine it."""
        by_size, number = self._durations_for(size)
        return by_size.at(number)

    def guess(self, size: TicketSize) -> float:
        """The expected duration in seconds of a run for an image of ``size``.  If past runs do not determine it, a less
        certain one, scaled from their median.  There must be a past run.  Used for the tickets before the ticket whose
        time is forecast.
        """
        by_size, number = self._durations_for(size)
        found = by_size.at(number)
        return by_size.scaled(number) if found is None else found

    def _durations_for(self, size: TicketSize) -> "tuple[_DurationBySize, int]":
        if size.voxels is not None and self._knows_voxels:
            return self._by_voxels, size.voxels
        return self._by_bytes, size.size_bytes


class _DurationBySize:
    def __init__(self, known: Sequence[tuple[int, float]]) -> None:
        """``known``: sizes and seconds, in order of time."""
        self._points = [(float(max(s, 1)), max(seconds, 0.001)) for s, seconds in known]
        self._line = _line(self._points) if len(self._points) >= MIN_RUNS_FOR_LINE else None

    def at(self, size: int) -> float | None:
        if self._line is not None:
            return self._line.at(max(size, 1))
        near = min((abs(math.log(known / max(size, 1))) for known, _ in self._points), default=None)
        return None if near is None or near > math.log(MAX_SIZE_FACTOR) else self.scaled(size)

    def scaled(self, size: int) -> float:
        """The median of the past durations, each multiplied by the square root of (``size`` / its own size).  That is
        between a duration that does not depend on the size and one that is proportional to it.

        There must be a run.
        """
        share = max(size, 1)
        return statistics.median(s * math.sqrt(share / known) for known, s in self._points)


def _line(points: Sequence[tuple[float, float]]) -> Line:
    """The line fitted to ``points``: sizes and seconds, in order of time.  Outliers are left out if enough points
    remain.
    """
    first = _weighted(points, [seconds for _, seconds in points])
    off = [math.log(seconds / first.at(size)) for size, seconds in points]
    usual = statistics.median(off)
    spread = statistics.median(abs(each - usual) for each in off)
    most = max(math.log(OUTLIER_FACTOR), OUTLIER_SPREADS * spread)
    usual_points = [p for p, each in zip(points, off, strict=True) if abs(each - usual) < most]
    return fit(usual_points if len(usual_points) >= MIN_RUNS_FOR_LINE else points)


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The line through ``points`` (sizes and seconds, in order of time) with the smallest relative errors.  Neither
    ``each_s`` nor ``rate_s`` is negative.

    Errors are relative to the line, which needs ROUNDS fits: relative to the points, runs that took long would count
    less than short ones of the same size, and a line through runs that differ much would be too low.
    """
    line = _weighted(points, [seconds for _, seconds in points])
    for _ in range(ROUNDS - 1):
        line = _weighted(points, [line.at(size) for size, _ in points])
    return line


def _weighted(points: Sequence[tuple[float, float]], scales: Sequence[float]) -> Line:
    """As ``fit``, with errors relative to ``scales``, one for each point."""
    ages = range(len(points))[::-1]
    weights = [DECAY**age / scale**2 for age, scale in zip(ages, scales, strict=True)]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_s = sum(w * s for w, (_, s) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    common = sum(w * (x - mean_x) * (s - mean_s) for w, (x, s) in zip(weights, points, strict=True))
    rate_s = max(0.0, common / spread) if spread > (1e-3 * mean_x) ** 2 * total else 0.0
    each_s = mean_s - rate_s * mean_x
    if each_s >= 0:
        return Line(each_s=each_s, rate_s=rate_s)
    squares = sum(w * x * x for w, (x, _) in zip(weights, points, strict=True))
    return Line(
        each_s=0.0,
        rate_s=sum(w * x * s for w, (x, s) in zip(weights, points, strict=True)) / squares,
    )
