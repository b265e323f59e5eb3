"""A queue between the thread that receives messages and the threads that handle them."""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Received items whose handling has not started.  Every method may be called from any thread.

    Items with equal ``order_key`` are handled one after the other: an item can be taken when the one before it is
    ``done``.  By default all items are independent.
    """

    def __init__(self, order_key: Callable[[T], Hashable] = id) -> None:
        self._order_key = order_key
        self._waiting: deque[T] = deque()
        self._busy: set[Hashable] = set()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        with self._changed:
            self._waiting.append(item)
            self._changed.notify()

    def take(self) -> T | None:
        """Wait for the next item, and return it; None once the inbox is closed.

        Items are passed over while another item with the same ``order_key`` is being handled.
        """
        with self._changed:
            while not self._closed:
                if (item := self._next()) is not None:
                    return item
                self._changed.wait()
        return None

    def done(self, item: T) -> None:
        """Tell that the handling of ``item``, which ``take`` has returned, has ended."""
        with self._changed:
            self._busy.discard(self._order_key(item))
            self._changed.notify()

    def take_back(self) -> list[T]:
        """Remove and return the items that no thread has taken yet."""
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> T | None:
        item = next(
            (item for item in self._waiting if self._order_key(item) not in self._busy), None
        )
        if item is not None:
            self._waiting.remove(item)
            self._busy.add(self._order_key(item))
        return item
