"""A cache of values that are loaded when they are needed.  Simultaneous requests for the same value load it once, and a
value can be invalidated while it is being loaded.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A cache of at most ``most`` values, which evicts the least recently used value.

    If a value is invalidated while it is being loaded, the requests that already wait for it get it, but it is not
    cached.
    """

    def __init__(self, most: int, removed: Callable[[V], object] = lambda _: None) -> None:
        """``removed`` is called with each value that is not cached any more."""
        self._most = most
        self._removed = removed
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loading: dict[K, asyncio.Future[V | None]] = {}

    def get(self, key: K) -> V | None:
        """The cached value; None if none is cached."""
        found = self._values.get(key)
        if found is not None:
            self._values.move_to_end(key)
        return found

    async def load(self, key: K, load: Callable[[], Awaitable[V | None]]) -> V | None:
        """Load the value by calling ``load``, even if there is a cached one; return it, and cache it unless it is None.
        If the value for ``key`` is being loaded already, wait for that result instead.  An error of ``load`` is raised
        to all that wait; nothing is cached then.
        """
        loading = self._loading.get(key)
        if loading is None:
            loading = asyncio.ensure_future(load())
            self._loading[key] = loading
            loading.add_done_callback(partial(self._loaded, key))
        return await asyncio.shield(loading)

    def holds(self, key: K, value: V) -> bool:
        """True if this very object is the cached value for ``key``."""
        return self._values.get(key) is value

    def forget(self, key: K) -> None:
        self._drop(key)
        self._loading.pop(key, None)

    def forget_oldest(self) -> bool:
        """Evict the least recently used value.  False if none is cached."""
        key = next(iter(self._values), None)
        if key is not None:
            self._drop(key)
        return key is not None

    def forget_if(self, is_so: Callable[[K, V], bool]) -> None:
        """Invalidate the values for which ``is_so`` returns True, and all values that are being loaded."""
        for key in [key for key, value in self._values.items() if is_so(key, value)]:
            self._drop(key)
        self._loading.clear()

    def forget_all(self) -> None:
        for key in list(self._values):
            self._drop(key)
        self._loading.clear()

    def _drop(self, key: K) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._removed(value)

    def _loaded(self, key: K, loading: "asyncio.Future[V | None]") -> None:
        is_wanted = self._loading.get(key) is loading
        if is_wanted:
            del self._loading[key]
        if loading.cancelled() or loading.exception() is not None:
            return
        value = loading.result()
        if is_wanted and value is not None:
            self._drop(key)
            self._values[key] = value
            if len(self._values) > self._most:
                self.forget_oldest()
