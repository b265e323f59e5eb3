"""How many windows a network is given at once, by the memory that there is."""

import math

from dss_inference.device.memory import Memory

_SHARE = 0.8
"""Of the free memory, for more windows than before: no image takes just what the last one took."""
_RECOVERED = 1.5
"""What was once too much is tried again when so many times as much is free."""


class WindowBatch:
    """Doubled from image to image while there is room for it, halved when there is not.

    What a window takes is measured; until it was, and where that was wrong, running out of memory tells.
    """

    def __init__(self, *, first: int, most: int, memory: Memory) -> None:
        self.size = first
        self._most = most
        self._memory = memory
        self._window_bytes = math.inf
        self._too_large, self._free_then = math.inf, 0

    def choose(self) -> int:
        """For the next image, at least 1."""
        free_bytes = self._memory.free_bytes()
        if math.isfinite(self._window_bytes):
            self.size = self._fitting(min(self._most, 2 * self.size), free_bytes)
        return self.size

    def _fitting(self, size: int, free_bytes: int) -> int:
        while size > 1 and not self._fits(size, free_bytes):
            size //= 2
        return size

    def _fits(self, size: int, free_bytes: int) -> bool:
        share = _SHARE if size > self.size else 1.0
        untried = size < self._too_large or free_bytes > _RECOVERED * self._free_then
        return untried and size * self._window_bytes <= share * free_bytes

    def fitted(self, size: int, taken_bytes: int | None) -> None:
        """``taken_bytes`` beyond what was held before; None if that was not measured."""
        self.size = size
        if taken_bytes is not None:
            self._window_bytes = taken_bytes / size

    def failed(self, size: int) -> None:
        """Memory ran out with so many."""
        self._too_large, self._free_then = size, self._memory.free_bytes()
