"""Calculates a ticket's progress from the chunks of work that its worker has reported.  Pure: no database, no clock."""

from collections.abc import Iterable
from typing import Protocol

from dss_portal.models import Status
from dss_portal.tickets.lifecycle import FINISHED


class Chunk(Protocol):
    """The part of the work from ``chunk_start`` to ``chunk_end`` (0..1), of which the fraction ``progress`` (0..1) is
    done.
    """

    chunk_start: float
    chunk_end: float
    progress: float


def total(chunks: Iterable[Chunk]) -> float:
    """The fraction of the work that is done, 0..1: the sum over all chunks, each weighted by its length.  It is limited
    to 1, because chunks may overlap.
    """
    done = sum((c.chunk_end - c.chunk_start) * c.progress for c in chunks)
    return min(1.0, max(0.0, done))


def shown(status: Status, chunks: Iterable[Chunk]) -> float:
    """The value of ITK-SNAP's progress bar, 0..1: ``total`` while the ticket is claimed, 1 when it has succeeded,
    failed or timed out, otherwise 0.
    """
    if status is Status.CLAIMED:
        return total(chunks)
    return 1.0 if status in FINISHED else 0.0
