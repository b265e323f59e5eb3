"""What Prometheus asks of names and units, and we of labels."""

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from dss_observability import metrics

OURS = [metric for metric in REGISTRY.collect() if metric.name.startswith("dss_")]

UNITS = ("seconds", "bytes", "ratio", "info")
COUNTED = (
    "dss_uploads_in_flight",
    "dss_tickets",
    "dss_ready",
    "dss_dispatchers",
    "dss_workers",
    "dss_outbox_messages",
    "dss_notifications_waiting",
    "dss_outbox_set_aside_messages",
    "dss_dispatch_tickets_in_hand",
    "dss_inference_busy",
    "dss_inference_requests_in_hand",
    "dss_inference_batch_windows",
    "dss_broker_connected",
)
"""Gauges and histograms of things, which need no unit."""

FORBIDDEN = {
    "ticket",
    "claim",
    "id",
    "user",
    "email",
    "file",
    "path",
    "instance",
    "worker",
    "token",
}


def labels_of(metric: Metric) -> set[str]:
    """As declared: a metric without a sample shows none."""
    known = {m._name: m._labelnames for m in vars(metrics).values() if hasattr(m, "_labelnames")}
    return set(known[metric.name])


@pytest.mark.parametrize("metric", OURS, ids=lambda m: m.name)
def test_every_metric_says_what_it_means(metric: Metric) -> None:
    assert metric.documentation.endswith(".")
    assert metric.type in {"counter", "gauge", "histogram"}


@pytest.mark.parametrize("metric", [m for m in OURS if m.type != "counter"], ids=lambda m: m.name)
def test_every_measure_names_its_base_unit(metric: Metric) -> None:
    assert metric.name.endswith(UNITS) or metric.name in COUNTED


@pytest.mark.parametrize("metric", OURS, ids=lambda m: m.name)
def test_no_label_holds_an_id(metric: Metric) -> None:
    assert labels_of(metric) & FORBIDDEN == set()
