"""Bundles that stay loaded, as many as their memory allows."""

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dss_inference.bundle import Bundle, Outcome, Progress
from dss_inference.device.memory import Memory
from dss_inference.worker_metrics import loading, note_unloaded

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    bundle: Bundle
    size_bytes: int


class Shelf:
    """Loads a bundle when it is asked for, and lets the least recently used go when all take too much.

    What a bundle takes is measured while it is loaded, so one is loaded at a time.  A bundle that lets
    go while it still works keeps its memory until it is done.
    """

    def __init__(self, memory: Memory, limit_bytes: int, release: Callable[[], object]) -> None:
        """``release`` gives memory that nobody uses any more back to the device."""
        self._memory = memory
        self._limit_bytes = limit_bytes
        self._release = release
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What is loaded, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def bundle(self, name: str, load: Callable[[], Bundle]) -> Bundle:
        """Loaded, or loaded now.  Raises what ``load`` raises."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name, load)
                self._unload_others(name)
            self._loaded.move_to_end(name)
            return self._loaded[name].bundle

    def _load(self, name: str, load: Callable[[], Bundle]) -> _Loaded:
        before = self._memory.held_bytes()
        with loading(name):
            bundle = load()
        size_bytes = max(0, self._memory.held_bytes() - before)
        log.info("bundle loaded", extra={"bundle": name, "bytes": size_bytes})
        return _Loaded(bundle=bundle, size_bytes=size_bytes)

    def _unload_others(self, name: str) -> None:
        while sum(one.size_bytes for one in self._loaded.values()) > self._limit_bytes:
            oldest = next((other for other in self._loaded if other != name), None)
            if oldest is None:
                return
            gone = self._loaded.pop(oldest)
            note_unloaded(oldest)
            log.info("bundle unloaded", extra={"bundle": oldest, "bytes": gone.size_bytes})
            del gone
            gc.collect()
            self._release()


class ShelvedBundle:
    """A ``Bundle`` that is loaded when it is needed."""

    def __init__(self, name: str, device: str, shelf: Shelf, load: Callable[[], Bundle]) -> None:
        self.name = name
        self.device = device
        self._shelf = shelf
        self._load = load

    def warm(self) -> None:
        """Load it now.  Raises InferenceError if it cannot be used."""
        self._shelf.bundle(self.name, self._load)

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        progress(0.0, "loading the bundle")
        bundle = self._shelf.bundle(self.name, self._load)
        return bundle.run(image_path, output_dir, parameters, progress, cancelled)
