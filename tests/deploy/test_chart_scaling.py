"""How the chart's pods start, stop, are watched and scaled."""

import pytest

from dss_broker import topology
from dss_portal.__main__ import ENDING_S
from support.charts import (
    Chart,
    Manifest,
    containers,
    environment,
    named,
    of_kind,
    part,
    programs,
)

ALL_SITES = pytest.mark.parametrize(
    "site", ["laptop", "lab", "openshift", "airgapped", "everything"]
)


@ALL_SITES
def test_a_stopping_program_has_more_time_than_it_asks_for(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for deployment in of_kind(rendered[site], "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        container = pod["containers"][0]
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        ending = ENDING_S if part(deployment) == "portal" else 0
        stop_s = float(environment(container)["DSS_STOP_S"])

        assert pod["terminationGracePeriodSeconds"] > waits + stop_s + ending


def test_a_worker_finishes_all_that_it_has_in_hand(chart: Chart) -> None:
    """Two bundles, two requests of each, one device."""
    values = ["inference.longestInferenceS=1000", "inference.requestsAhead=2"]

    worker = named(chart.render("laptop", values), "Deployment", "dss-inference-rules")

    assert environment(next(containers(worker)))["DSS_STOP_S"] == "4000"
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 4000


@ALL_SITES
def test_each_program_is_watched_on_its_port_of_metrics(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for _, container in programs(rendered[site]):
        if (
            container["name"] == "migrate"
            or environment(container).get("DSS_PORTAL_PROCESSES", "1") != "1"
        ):
            continue
        port = {p["name"]: p["containerPort"] for p in container["ports"]}["metrics"]

        assert environment(container)["DSS_METRICS_BIND"] == f"0.0.0.0:{port}"
        for probe, paths in {
            "startupProbe": {"/healthz"},
            "livenessProbe": {"/healthz"},
            "readinessProbe": {"/healthz", "/readyz"},
        }.items():
            assert container[probe]["httpGet"]["port"] == "metrics"
            assert container[probe]["httpGet"]["path"] in paths


def test_portals_and_workers_are_ready_when_nothing_is_missing(
    rendered: dict[str, list[Manifest]],
) -> None:
    for site in ("lab", "openshift"):
        for program, container in programs(rendered[site]):
            if program != "dispatch" and container["name"] != "migrate":
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_dispatcher_does_not_wait_for_workers_that_the_autoscaler_took_away(
    rendered: dict[str, list[Manifest]],
) -> None:
    """Its /readyz says no while no worker is there, and its rollout would never end."""
    paths = {
        site: {
            c["readinessProbe"]["httpGet"]["path"]
            for program, c in programs(rendered[site])
            if program == "dispatch"
        }
        for site in ("lab", "openshift")
    }

    assert paths == {"lab": {"/healthz"}, "openshift": {"/readyz"}}


def test_an_autoscaler_owns_the_number_of_its_pods(rendered: dict[str, list[Manifest]]) -> None:
    for objects in rendered.values():
        scaled = {
            m["spec"]["scaleTargetRef"]["name"]
            for m in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
        }
        for deployment in of_kind(objects, "Deployment"):
            owned = deployment["metadata"]["name"] in scaled

            assert ("replicas" in deployment["spec"]) is not owned


def test_workers_are_counted_by_the_queues_that_their_bundles_read(
    rendered: dict[str, list[Manifest]],
) -> None:
    (scaled,) = of_kind(rendered["lab"], "ScaledObject")
    triggers = [t["metadata"] for t in scaled["spec"]["triggers"]]
    expected = [topology.inference(n).queue for n in ("lung-segmentation", "nodule-detection")]

    assert [t["queueName"] for t in triggers] == expected
    assert {t["protocol"] for t in triggers} == {"http"}  # AMQP counts no request in hand
    assert {t["excludeUnacknowledged"] for t in triggers} == {"false"}
    assert scaled["spec"]["minReplicaCount"] == 0
    (access,) = of_kind(rendered["lab"], "TriggerAuthentication")
    assert {t["authenticationRef"]["name"] for t in scaled["spec"]["triggers"]} == {
        access["metadata"]["name"]
    }


def test_a_first_worker_declares_the_queues_before_all_may_go(
    rendered: dict[str, list[Manifest]],
) -> None:
    """A request to a queue that no worker has ever declared fails its ticket's attempt."""
    spec = of_kind(rendered["lab"], "ScaledObject")[0]["spec"]

    assert spec["initialCooldownPeriod"] >= 300
    assert spec["fallback"]["replicas"] >= 1


def test_requests_wait_longer_for_a_worker_where_the_last_one_may_go(
    rendered: dict[str, list[Manifest]],
) -> None:
    for program, container in programs(rendered["lab"]):
        if program == "dispatch":
            assert float(environment(container)["DSS_INFERENCE_SILENCE_S"]) >= 1800


def test_each_process_of_a_portal_is_probed_and_measured(
    rendered: dict[str, list[Manifest]],
) -> None:
    objects = rendered["everything"]
    (portal,) = [c for p, c in programs(objects) if p == "portal" and c["name"] == "portal"]
    ports = {
        p["name"]: p["containerPort"] for p in portal["ports"] if p["name"].startswith("metrics")
    }
    assert ports == {"metrics": 9100, "metrics-2": 9101, "metrics-3": 9102}
    assert environment(portal)["DSS_PORTAL_PROCESSES"] == "3"

    alive = ["python", "-m", "dss_observability.health", "--alive"]
    assert portal["startupProbe"]["exec"]["command"] == alive
    assert portal["livenessProbe"]["exec"]["command"] == alive
    assert portal["readinessProbe"]["exec"]["command"] == alive[:-1]
    service = named(objects, "Service", "dss-portal-metrics")
    monitor = named(objects, "ServiceMonitor", "dss-portal")
    measured = {p["targetPort"]: p["port"] for p in service["spec"]["ports"]}
    assert measured == ports
    assert [e["port"] for e in monitor["spec"]["endpoints"]] == list(ports)
