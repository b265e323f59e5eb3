"""Alerts and targets: the one source of rules, and labels that rules find."""

import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

import dss_observability.metrics  # noqa: F401 - fills the registry
from conftest import SYSROOT, missing
from dss_stack.errors import ServerMissing
from dss_stack.servers import find_prometheus
from support.charts import HELM_FOLDER, Chart, Manifest, of_kind

RULES = HELM_FOLDER.parents[1] / "observability" / "prometheus" / "rules"
ADDED_BY_THE_OPERATOR = {"namespace", "service", "pod", "container", "endpoint", "job", "instance"}


def groups_of(folder: Path) -> dict[str, Any]:
    files = [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))
    ]
    return {group["name"]: group for file in files for group in file["groups"]}


def groups(objects: list[Manifest]) -> dict[str, Any]:
    (rule,) = of_kind(objects, "PrometheusRule")
    return {group["name"]: group for group in rule["spec"]["groups"]}


def alerts(found: dict[str, Any]) -> dict[str, str]:
    return {r["alert"]: r["expr"] for g in found.values() for r in g["rules"] if "alert" in r}


def test_the_rules_are_those_of_the_observability_folder(
    rendered: dict[str, list[Manifest]],
) -> None:
    assert groups(rendered["everything"]) == groups_of(RULES)


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


NO_WORKER = {
    'up{job="portal"}': 1,
    'up{job="dispatch"}': 1,
    'up{job="rabbitmq"}': 1,
    'rabbitmq_detailed_queue_consumers{vhost="dss", queue="dss.inference.lung-segmentation"}': 0,
    'rabbitmq_detailed_queue_consumers{vhost="dss", queue="dss.dispatch.lung-segmentation"}': 1,
    'dss_ready{job="dispatch", instance="d"}': 0,
    'process_start_time_seconds{job="dispatch", instance="d"}': 0,
    'dss_dispatch_bundle_info{service="lung-segmentation", bundle="lung-segmentation", instance="d"}': 1,
}
"""What is measured when nothing waits and KEDA has let the last worker go."""


NO_WORKER_POD = "inference.workers.rules=null"
NO_DISPATCHER = "dispatch.replicas=0"
RABBIT = "monitoring.rabbitmq.matchLabels.app=rabbit"


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        ([RABBIT], set()),
        ([], {"rabbitmq"}),
        ([RABBIT, NO_WORKER_POD], {"inference"}),
        ([RABBIT, "inference.workers.rules.replicas=0"], {"inference"}),
        ([NO_WORKER_POD, NO_DISPATCHER], {"dispatch", "inference", "rabbitmq"}),
    ],
)
def test_jobs_that_the_site_has_not_are_not_missed(
    chart: Chart, values: list[str], absent: set[str], tmp_path: Path
) -> None:
    """Others are."""
    objects = chart.render("laptop", ["monitoring.prometheusRules=true", *values])
    jobs = {"portal", "dispatch", "inference", "rabbitmq"}
    present = {f'up{{job="{job}"}}': 1 for job in jobs - absent}

    assert "JobMissing" not in firing(objects, present, tmp_path)
    for job in jobs - absent:
        less = {name: value for name, value in present.items() if job not in name}
        assert "JobMissing" in firing(objects, less or {"up": 1}, tmp_path)


def test_labels_of_the_site_go_before_ours(chart: Chart) -> None:
    own = r"monitoring.labels.app\.kubernetes\.io/part-of=kube-prometheus"
    objects = chart.render("openshift", [own])

    for kind in ("ServiceMonitor", "PrometheusRule"):
        for found in of_kind(objects, kind):
            assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kube-prometheus"


@pytest.mark.parametrize(
    ("site", "fire"),
    [("lab", set()), ("openshift", {"JobMissing", "NoConsumer", "NoWorker", "ProgramNotReady"})],
)
def test_an_idle_site_without_workers_is_a_fault_only_where_it_should_have_some(
    rendered: dict[str, list[Manifest]], site: str, fire: set[str], tmp_path: Path
) -> None:
    assert firing(rendered[site], NO_WORKER, tmp_path) == fire


def firing(objects: list[Manifest], series: dict[str, int], folder: Path) -> set[str]:
    """Alerts of the rendered rules after half an hour of constant ``series``, told by promtool."""
    try:
        promtool = find_prometheus(SYSROOT).path("promtool")
    except ServerMissing as error:
        missing(str(error))
    found = list(groups(objects).values())
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": found}), encoding="utf-8")
    inputs = [{"series": name, "values": f"{value}x60"} for name, value in series.items()]
    checks = [
        {
            "expr": f"count(ALERTS{{alertstate='firing', alertname='{alert}'}})",
            "eval_time": "30m",
            "exp_samples": [],
        }
        for alert in alerts(groups(objects))
    ]
    case = {"interval": "30s", "input_series": inputs, "promql_expr_test": checks}
    test = {"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": [case]}
    (folder / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    told = done.stdout + done.stderr
    return {alert for alert in alerts(groups(objects)) if f"alertname='{alert}'" in told}


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
    configuration = yaml.safe_load((RULES.parent / "prometheus.yml").read_text(encoding="utf-8"))
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
