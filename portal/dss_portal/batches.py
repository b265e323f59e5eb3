"""Applies an action to many items, one by one.  An error of one item is logged and skipped; an outage stops the batch.
Also splits long lists of values for SQL statements.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tortoise.queryset import QuerySet

from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_portal import database

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 60.0
"""Shortest time between two log lines about the same failing item, in seconds."""

MOST_VALUES = 1000
"""Most values in one SQL statement: PostgreSQL allows 32,767; creating objects of 1000 rows takes a
few milliseconds.
"""

PAGE_NUMBERS = 5000
"""Most rows to fetch at once if each row is only a number."""

T = TypeVar("T")

_logged_s: dict[tuple[str, str], float] = {}


async def for_each(what: str, items: Iterable[T], act: Callable[[T], Awaitable[int]]) -> int:
    """Call ``act`` for each item and return the sum of its results.  If ``act`` raises an error for an item, the error
    is logged and the item is skipped.  ``what`` names the batch in the log.

    Raises an error that every item would have: database or datastore unavailable, schema out of date, or disk full.
    """
    total = 0
    for item in items:
        try:
            total += await act(item)
        except Exception as error:
            if _is_outage(error) or await database.misses_migrations(error):
                raise
            _log_failure(what, item, error)
    return total


async def pages_of(found: QuerySet[Any], column: str, size: int) -> AsyncIterator[list[int]]:
    """Yield the numbers in ``column`` of the rows of ``found``, in order, in pages of at most ``size``.  A page begins
    after the last number of the page before it, so that rows which nobody changes are yielded once.
    """
    last = 0
    while True:
        page = found.filter(**{f"{column}__gt": last}).order_by(column).limit(size)
        numbers = [int(str(number)) for number in await page.values_list(column, flat=True)]
        if numbers:
            yield numbers
            last = numbers[-1]
        if len(numbers) < size:
            return


async def for_some(
    what: str, found: QuerySet[Any], column: str, most: int, act: Callable[[int], Awaitable[int]]
) -> int:
    """Call ``act`` as ``for_each`` does, for the numbers in ``column`` of the rows of ``found``, page by page, until
    the sum of its results is at least ``most``.  So a call does not take long, and items that fail in each call do not
    keep those after them from their turn.
    """
    total = 0
    async for numbers in pages_of(found, column, most):
        total += await for_each(what, numbers, act)
        if total >= most:
            break
    return total


async def uncounted(work: Callable[[], Awaitable[object]]) -> int:
    """Run ``work`` and return 0, so that work without a result can be an item of ``for_each``."""
    await work()
    return 0


def in_parts(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Split ``values`` into parts of at most MOST_VALUES, for one statement each."""
    whole = list(values)
    for begin in range(0, len(whole), MOST_VALUES):
        yield whole[begin : begin + MOST_VALUES]


def _is_outage(error: Exception) -> bool:
    return is_disk_full(error) or is_away(error) or database.is_away(error)


def _log_failure(what: str, item: object, error: Exception) -> None:
    now_s = time.monotonic()
    for key in [key for key, at_s in _logged_s.items() if at_s + LOG_INTERVAL_S < now_s]:
        del _logged_s[key]
    # Not its repr, which contains a memory address and so differs in each round.
    named = getattr(item, "__qualname__", None) or repr(item)
    if (what, named) not in _logged_s:
        _logged_s[what, named] = now_s
        facts = {"what": what, "item": named, "reason": repr(error)}
        log.error("one of many failed", extra=facts, exc_info=error)
