"""Alerts and targets: the one source of rules, and labels that rules find."""

from pathlib import Path
from typing import Any

import prometheus_client
import yaml

import dss_observability.metrics  # noqa: F401 - fills the registry
from charts import HELM_FOLDER, Chart, Manifest, of_kind

RULES = HELM_FOLDER.parents[1] / "observability" / "prometheus" / "rules"
ADDED_BY_THE_OPERATOR = {"namespace", "service", "pod", "container", "endpoint", "job", "instance"}


def groups_of(folder: Path) -> dict[str, Any]:
    files = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yml"))]
    return {group["name"]: group for file in files for group in file["groups"]}


def groups(objects: list[Manifest]) -> dict[str, Any]:
    (rule,) = of_kind(objects, "PrometheusRule")
    return {group["name"]: group for group in rule["spec"]["groups"]}


def alerts(found: dict[str, Any]) -> dict[str, str]:
    return {r["alert"]: r["expr"] for g in found.values() for r in g["rules"] if "alert" in r}


def test_the_rules_are_those_of_the_observability_folder(
    rendered: dict[str, list[Manifest]],
) -> None:
    assert groups(rendered["openshift"]) == groups_of(RULES)


def test_no_alert_fires_because_all_workers_have_been_let_go(
    rendered: dict[str, list[Manifest]],
) -> None:
    full, zero = alerts(groups_of(RULES)), alerts(groups(rendered["lab"]))

    assert set(full) - set(zero) == {"NoWorker"}
    assert {name for name in zero if zero[name] != full[name]} == {
        "JobMissing",
        "NoConsumer",
        "ProgramNotReady",
    }
    assert not any("inference" in zero[name] for name in ("JobMissing", "NoConsumer"))
    assert "dispatch" not in zero["ProgramNotReady"]


def test_targets_have_the_names_that_rules_ask_for(rendered: dict[str, list[Manifest]]) -> None:
    objects = rendered["everything"]
    jobs = set()
    for monitor in of_kind(objects, "ServiceMonitor"):
        spec = monitor["spec"]
        if "jobLabel" in spec:
            labels = [
                s["metadata"]["labels"]
                for s in of_kind(objects, "Service")
                if spec["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items()
            ]
            assert len(labels) == 1
            jobs.add(labels[0][spec["jobLabel"]])
        for endpoint in spec["endpoints"]:
            replaced = [r for r in endpoint["relabelings"] if r.get("targetLabel") == "job"]
            jobs |= {r["replacement"] for r in replaced}

    assert jobs == {"portal", "dispatch", "inference", "rabbitmq", "rabbitmq-queues"}


def test_no_label_of_a_target_hides_one_of_our_metrics(rendered: dict[str, list[Manifest]]) -> None:
    """The operator adds a label `service`; Prometheus would rename ours to `exported_service`."""
    ours = {
        label
        for collector in list(prometheus_client.REGISTRY._collector_to_names)
        for label in getattr(collector, "_labelnames", ())
    }
    assert "service" in ours

    for monitor in of_kind(rendered["everything"], "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            (dropped,) = [
                set(r["regex"].split("|"))
                for r in endpoint["relabelings"]
                if r.get("action") == "labeldrop"
            ]

            assert ours & ADDED_BY_THE_OPERATOR <= dropped


def test_rabbitmq_is_measured_as_the_configuration_of_prometheus_says(chart: Chart) -> None:
    configuration = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    by_queue = next(
        job for job in configuration["scrape_configs"] if job["job_name"] == "rabbitmq-queues"
    )

    objects = chart.render("lab")

    (monitor,) = [
        m for m in of_kind(objects, "ServiceMonitor") if m["metadata"]["name"] == "dss-rabbitmq"
    ]
    endpoint = monitor["spec"]["endpoints"][1]
    (drop,), (dropped,) = endpoint["metricRelabelings"], by_queue["metric_relabel_configs"]
    assert (endpoint["path"], endpoint["params"]) == (by_queue["metrics_path"], by_queue["params"])
    assert (drop["sourceLabels"], drop["regex"]) == (dropped["source_labels"], dropped["regex"])
