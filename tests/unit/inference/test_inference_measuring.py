"""Series of a worker: all there from the start, and never the ruin of the others."""

import math
from dataclasses import dataclass

import pytest
from prometheus_client import REGISTRY

from dss_inference import worker_metrics
from dss_inference.device import runner


@dataclass(frozen=True)
class Bundle:
    name: str
    device: str


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_nothing_has_to_happen_for_a_series_to_exist() -> None:
    worker_metrics.measure([Bundle("fresh", "cpu")])

    for outcome in worker_metrics.OUTCOMES:
        assert value("dss_inference_requests_total", bundle="fresh", outcome=outcome) == 0
    assert value("dss_gpu_memory_bytes", kind="free") == 0
    assert value("dss_gpu_utilisation_ratio") == 0


def test_a_gpu_is_looked_at_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "gpu_memory_bytes", lambda device, kind: len(device + kind))
    monkeypatch.setattr(runner, "gpu_utilisation", lambda _: 0.25)

    worker_metrics.measure([Bundle("fresh", "cuda:0 (A Card)")])

    assert value("dss_gpu_memory_bytes", kind="total") == len("cuda:0total")
    assert value("dss_gpu_utilisation_ratio") == 0.25


def test_a_driver_that_does_not_answer_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        raise RuntimeError("no NVML here")

    monkeypatch.setattr(runner, "gpu_utilisation", broken)
    monkeypatch.setattr(runner, "gpu_memory_bytes", broken)

    worker_metrics.measure([Bundle("fresh", "cuda:0 (A Card)")])

    assert math.isnan(value("dss_gpu_utilisation_ratio") or 0)


def test_the_time_to_load_a_bundle_is_taken() -> None:
    with worker_metrics.loading("slow"):
        pass

    assert value("dss_inference_bundle_load_seconds_count", bundle="slow") == 1
