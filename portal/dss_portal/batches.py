"""Work on many items, in which a failing item neither stops nor undoes the others."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_portal import database

log = logging.getLogger(__name__)

SAY_AGAIN_S = 60.0
"""An item that fails in every round is logged once within this time."""

MOST_VALUES = 1000
"""Values in one statement: PostgreSQL takes 32,767; making objects of 1000 rows takes some milliseconds."""

PAGE_NUMBERS = 5000
"""Numbers alone, fetched at once."""

T = TypeVar("T")

_said_s: dict[tuple[str, str], float] = {}


async def each(what: str, items: Iterable[T], act: Callable[[T], Awaitable[int]]) -> int:
    """The sum of what ``act`` returns.  An item that fails is logged and left for the next round.

    Raises what ``act`` raises if database, schema or datastore is away, or the disk full: every item would fail.
    """
    total = 0
    for item in items:
        try:
            total += await act(item)
        except Exception as error:
            if _is_outage(error) or await database.misses_migrations(error):
                raise
            _say(what, item, error)
    return total


async def uncounted(work: Callable[[], Awaitable[object]]) -> int:
    """Adapts work without a result to ``each``: its count is 0."""
    await work()
    return 0


def in_parts(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Slices of MOST_VALUES."""
    whole = list(values)
    for begin in range(0, len(whole), MOST_VALUES):
        yield whole[begin : begin + MOST_VALUES]


def _is_outage(error: Exception) -> bool:
    return is_disk_full(error) or is_away(error) or database.is_away(error)


def _say(what: str, item: object, error: Exception) -> None:
    now_s = time.monotonic()
    for key in [key for key, at_s in _said_s.items() if at_s + SAY_AGAIN_S < now_s]:
        del _said_s[key]
    # A piece of work is another object in each round.
    named = getattr(item, "__qualname__", None) or repr(item)
    if (what, named) not in _said_s:
        _said_s[what, named] = now_s
        facts = {"what": what, "item": named, "reason": repr(error)}
        log.error("one of many failed", extra=facts, exc_info=error)
