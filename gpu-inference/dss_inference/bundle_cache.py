"""A cache of loaded MONAI bundles, bounded by the memory that they use."""

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dss_inference.bundle import Bundle, BundleOutcome, Progress
from dss_inference.device.memory import Memory
from dss_inference.errors import IsCancelled
from dss_inference.worker_metrics import loading, note_unloaded

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    bundle: Bundle
    size_bytes: int


class BundleCache:
    """Loads a bundle when it is needed.  Above ``limit_bytes`` it evicts the least recently used bundles, but never the
    one that it has just loaded, even if that alone is larger.

    Loads one bundle at a time, because it measures the memory meanwhile.  A bundle that is evicted while it runs keeps
    its memory until the run ends.
    """

    def __init__(self, memory: Memory, limit_bytes: int, release: Callable[[], object]) -> None:
        """``memory`` is that of the device that holds the bundles; ``release`` returns unused memory to that device."""
        self._memory = memory
        self._limit_bytes = limit_bytes
        self._release = release
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Loaded bundles, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def bundle(self, name: str, load: Callable[[], Bundle]) -> Bundle:
        """The bundle ``name``, loaded by ``load`` unless it is in the cache.  Raises the errors of ``load``."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name, load)
                self._evict_others(name)
            self._loaded.move_to_end(name)
            return self._loaded[name].bundle

    def _load(self, name: str, load: Callable[[], Bundle]) -> _Loaded:
        before = self._memory.held_bytes()
        with loading(name):
            bundle = load()
        size_bytes = max(0, self._memory.held_bytes() - before)
        log.info("bundle loaded", extra={"bundle": name, "bytes": size_bytes})
        return _Loaded(bundle=bundle, size_bytes=size_bytes)

    def _evict_others(self, name: str) -> None:
        while sum(one.size_bytes for one in self._loaded.values()) > self._limit_bytes:
            oldest = next((other for other in self._loaded if other != name), None)
            if oldest is None:
                return
            evicted = self._loaded.pop(oldest)
            note_unloaded(oldest)
            log.info("bundle unloaded", extra={"bundle": oldest, "bytes": evicted.size_bytes})
            del evicted
            gc.collect()
            self._release()


class CachedBundle:
    """A ``Bundle`` that is loaded through a BundleCache when it is needed, and again after an eviction."""

    def __init__(
        self, name: str, device: str, cache: BundleCache, load: Callable[[], Bundle]
    ) -> None:
        self.name = name
        self.device = device
        self._cache = cache
        self._load = load

    def load(self) -> None:
        """Load the bundle now, unless it is in the cache.  Raises InferenceError if it cannot be used, and other errors
        of its own code.
        """
        self._cache.bundle(self.name, self._load)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        progress(0.0, "loading the bundle")
        bundle = self._cache.bundle(self.name, self._load)
        return bundle.run(image_path, output_dir, parameters, progress, cancelled)
