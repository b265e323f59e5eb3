"""Bundles stay loaded as long as there is memory for them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dss_inference.bundle import Bundle, BundleOutcome, Progress
from dss_inference.bundle_cache import BundleCache, CachedBundle
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.device.memory import ProcessMemory
from dss_inference.errors import IsCancelled

pytestmark = pytest.mark.slow


@dataclass
class Device:
    """A ``Memory`` that bundles take from when they are loaded."""

    held: int = 1000
    loads: list[str] = field(default_factory=list)

    def begin(self) -> None:
        pass

    def peak_bytes(self) -> int:
        return self.held

    def held_bytes(self) -> int:
        return self.held

    def free_bytes(self) -> int:
        return 1 << 40

    def loader(self, name: str, size_bytes: int) -> Callable[[], Bundle]:
        def load() -> Bundle:
            self.loads.append(name)
            self.held += size_bytes
            return Named(name)

        return load


@dataclass(frozen=True)
class Named:
    name: str
    device: str = "cpu"

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        return BundleOutcome(
            segmentation=output_dir / self.name, labels=(), notes=(), stage_seconds={}
        )


def cache(device: Device, limit_bytes: int) -> BundleCache:
    return BundleCache(device, limit_bytes, lambda: None)


def test_a_bundle_is_loaded_once() -> None:
    device = Device()
    kept = cache(device, 100)

    first = kept.bundle("spleen", device.loader("spleen", 60))
    second = kept.bundle("spleen", device.loader("spleen", 60))

    assert first is second
    assert device.loads == ["spleen"]


def test_the_least_recently_used_makes_room() -> None:
    device = Device()
    kept = cache(device, 100)
    for name in ("spleen", "liver", "spleen", "heart"):
        kept.bundle(name, device.loader(name, 40))

    assert kept.names == ["spleen", "heart"]
    kept.bundle("liver", device.loader("liver", 40))
    assert kept.names == ["heart", "liver"]
    assert device.loads == ["spleen", "liver", "heart", "liver"]


def test_a_bundle_that_is_larger_than_the_limit_works_alone() -> None:
    device = Device()
    kept = cache(device, 100)

    kept.bundle("spleen", device.loader("spleen", 40))
    kept.bundle("whole body", device.loader("whole body", 400))

    assert kept.names == ["whole body"]


def test_a_bundle_that_cannot_be_loaded_unloads_nobody() -> None:
    device = Device()
    kept = cache(device, 100)
    kept.bundle("spleen", device.loader("spleen", 40))

    def fail() -> Bundle:
        raise MemoryError

    with pytest.raises(MemoryError):
        kept.bundle("heart", fail)

    assert kept.names == ["spleen"]


def test_a_shelved_bundle_is_loaded_when_it_is_run(tmp_path: Path) -> None:
    device = Device()
    kept = cache(device, 50)
    spleen = CachedBundle("spleen", "cpu", kept, device.loader("spleen", 40))
    liver = CachedBundle("liver", "cpu", kept, device.loader("liver", 40))

    for bundle in (spleen, liver, spleen):
        outcome = bundle.run(tmp_path, tmp_path, {}, lambda *_: None, lambda: False)
        assert outcome.segmentation.name == bundle.name

    assert device.loads == ["spleen", "liver", "spleen"]


def test_the_peak_of_a_process_is_that_since_it_began() -> None:
    memory = ProcessMemory()

    def work() -> int:
        memory.begin()
        return len(b"x" * 200_000_000)

    ComputeThread(memory)(work, lambda: False)
    high = memory.peak_bytes()
    memory.begin()

    assert high - memory.peak_bytes() > 150_000_000
    assert memory.held_bytes() > 10_000_000
