"""Chooses by the free memory how many windows of an image a network computes at once."""

import math

from dss_inference.device.memory import Memory

_SHARE = 0.8
"""Fraction of the free memory that a batch may take if it is larger than the last one, since images need different
amounts.
"""
_RECOVERED = 1.5
"""A number of windows that did not fit is tried again when the free memory has grown by more than this factor."""


class WindowBatch:
    """Chooses the number of windows in a batch.  From image to image the number doubles while the free memory allows
    it, and is halved until it fits into the free memory.

    The caller reports the memory of each batch with ``fitted`` and each failure with ``failed``.  ``first`` is the
    number before the first report, ``most`` the largest number.
    """

    def __init__(self, *, first: int, most: int, memory: Memory) -> None:
        self.size = first
        self._most = most
        self._memory = memory
        self._window_bytes = math.inf
        self._too_large, self._free_then = math.inf, 0

    def choose(self) -> int:
        """Choose the number of windows in a batch for the next image, at least 1, and return it; ``first`` before the
        first measured batch.
        """
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
        """Report that a batch of ``size`` windows fitted; ``taken_bytes`` is the additional memory that it took, None
        if that was not measured.
        """
        self.size = size
        if taken_bytes is not None:
            self._window_bytes = taken_bytes / size

    def failed(self, size: int) -> None:
        """Report that memory ran out with ``size`` windows.  ``choose`` avoids that number and larger ones until the
        free memory has grown by more than half.
        """
        self._too_large, self._free_then = size, self._memory.free_bytes()
