"""What the chart tells the programs is what they understand, and what they need is there."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from dss_broker import topology
from dss_dispatch.__main__ import main as dispatch_program
from dss_dispatch.service import builtin_services, load_service
from dss_dispatch.settings import Settings as DispatchSettings
from dss_dispatch.settings import service_url
from dss_inference.__main__ import main as inference_program
from dss_inference.bundle_catalogue import BUNDLES, installed_in
from dss_inference.settings import Settings as InferenceSettings
from dss_portal.__main__ import ENDING_S
from dss_portal.__main__ import main as portal_program
from dss_portal.settings import DatabaseSettings
from dss_portal.settings import Settings as PortalSettings
from support.charts import (
    Chart,
    Container,
    Manifest,
    containers,
    environment,
    named,
    of_kind,
    part,
)

SETTINGS: Mapping[str, type[BaseSettings]] = {
    "portal": PortalSettings,
    "dispatch": DispatchSettings,
    "inference": InferenceSettings,
}
PROGRAMS = {
    "portal": portal_program,
    "dispatch": dispatch_program,
    "inference": inference_program,
}
SECRETS = {
    "DSS_AMQP_URL": "amqp://user:password@rabbit:5672/dss",
    "DSS_DATABASE_URL": "postgres://user:password@postgres:5432/dss",
    "DSS_SECRET_KEY": "k" * 32,
    "DSS_OIDC_CLIENT_ID": "client",
    "DSS_OIDC_CLIENT_SECRET": "secret",
}
ITS_SECRETS = {
    "portal": set(SECRETS),
    "dispatch": {"DSS_AMQP_URL"},
    "inference": {"DSS_AMQP_URL"},
}
NOT_OURS = {"HOME", "TMPDIR", "USER", "SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT"} | {
    "HTTPS_PROXY",
    "NO_PROXY",
}

ALL_SITES = pytest.mark.parametrize(
    "site", ["laptop", "lab", "openshift", "airgapped", "everything"]
)


def programs(objects: list[Manifest]) -> Iterator[tuple[str, Container]]:
    for deployment in of_kind(objects, "Deployment"):
        for container in containers(deployment):
            yield part(deployment), container


@ALL_SITES
def test_every_variable_is_a_setting_of_its_program(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for program, container in programs(rendered[site]):
        known = {f"DSS_{name.upper()}" for name in SETTINGS[program].model_fields}
        given = {n for n in environment(container) if not n.endswith("_SERVICE_URL")}

        assert given - known <= NOT_OURS


@ALL_SITES
def test_each_program_takes_the_settings_that_it_is_given(
    rendered: dict[str, list[Manifest]],
    site: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "of a volume"
    file.write_text("something", encoding="utf-8")
    for program, container in programs(rendered[site]):
        kind = DatabaseSettings if container["name"] == "migrate" else SETTINGS[program]
        with monkeypatch.context() as within:
            for name, value in environment(container).items():
                given = SECRETS[name] if value.startswith("<") else value
                within.setenv(name, str(file) if name.endswith("_FILE") else given)

            kind()


@ALL_SITES
def test_each_file_that_a_setting_names_lies_on_a_volume_of_the_container(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for deployment in of_kind(rendered[site], "Deployment"):
        volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
        for container in containers(deployment):
            there = {
                f"{mount['mountPath']}/{item['path']}"
                for mount in container["volumeMounts"]
                for source in ("configMap", "secret")
                for item in volumes[mount["name"]].get(source, {}).get("items", [])
            }
            wanted = {v for n, v in environment(container).items() if n.endswith("_FILE")}

            assert wanted <= there


@ALL_SITES
def test_a_program_gets_no_secret_but_its_own(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for program, container in programs(rendered[site]):
        secrets = {n: v for n, v in environment(container).items() if v.startswith("<")}

        assert set(secrets) <= ITS_SECRETS[program]
        assert secrets.get("DSS_AMQP_URL") in {None, f"<dss-rabbitmq/{program}>"}


@ALL_SITES
def test_each_program_knows_the_command_that_it_is_given(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for program, container in programs(rendered[site]):
        commands = {
            c.name or str(c.callback and c.callback.__name__)
            for c in PROGRAMS[program].registered_commands
        }

        assert container["args"][0] in commands
        assert "command" not in container  # the image's own first process passes signals on


def test_services_and_bundles_of_the_sites_are_those_that_exist(
    rendered: dict[str, list[Manifest]],
) -> None:
    for site in ("laptop", "lab", "openshift", "airgapped"):
        for program, container in programs(rendered[site]):
            words = container["args"][1:]
            if program == "dispatch":
                assert set(words) <= set(builtin_services())
            if program == "inference":
                assert set(words) - {"--bundle"} <= {*BUNDLES, *installed_in(None)}


@ALL_SITES
def test_each_service_of_a_site_finds_a_worker_that_has_its_bundle(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    told = {"dispatch": set[str](), "inference": set[str](), "portal": set[str]()}
    for program, container in programs(rendered[site]):
        told[program] |= set(container["args"][1:])
    services = [
        load_service(f) for name, f in builtin_services().items() if name in told["dispatch"]
    ]

    assert len(services) == 2
    assert {s.dispatch.algorithm for s in services} <= told["inference"]


def test_a_service_over_http_has_its_address_in_the_variable_that_is_read(
    rendered: dict[str, list[Manifest]],
) -> None:
    old = named(rendered["everything"], "Deployment", "dss-dispatch-old")

    assert service_url("old", environment(next(containers(old)))) == "http://worker:8080"


def test_a_service_may_have_a_name_that_no_object_can_have(chart: Chart) -> None:
    values = ["dispatch.services.own.name=Own.Service_2", "dispatch.services.own.url=http://a:8080"]

    container = next(
        containers(named(chart.render("laptop", values), "Deployment", "dss-dispatch-own"))
    )

    assert container["args"] == ["serve", "Own.Service_2"]
    assert service_url("Own.Service_2", environment(container)) == "http://a:8080"


def test_the_variable_of_a_service_with_a_dash_is_the_documented_one(chart: Chart) -> None:
    url = "http://inference-server:8080"
    objects = chart.render("laptop", [f"dispatch.services.lung-segmentation.url={url}"])

    found = environment(
        next(containers(named(objects, "Deployment", "dss-dispatch-lung-segmentation")))
    )

    assert found["LUNG_SEGMENTATION_SERVICE_URL"] == service_url("lung-segmentation", found) == url


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
        if container["name"] == "migrate":
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


@ALL_SITES
def test_the_schema_is_new_before_a_portal_serves(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    pod = named(rendered[site], "Deployment", "dss-portal")["spec"]["template"]["spec"]

    assert [c["args"] for c in pod["initContainers"]] == [["migrate"]]
    assert pod["initContainers"][0]["image"] == pod["containers"][0]["image"]


@ALL_SITES
def test_nothing_runs_with_more_rights_than_restricted_v2_gives(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for deployment in of_kind(rendered[site], "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        allowed = {"emptyDir", "persistentVolumeClaim", "configMap", "secret"}

        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # a Service named dss would set DSS_... variables
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert {key for v in pod["volumes"] for key in v} - {"name"} <= allowed
        for container in containers(deployment):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_openshift_decides_whom_the_programs_run_as(rendered: dict[str, list[Manifest]]) -> None:
    for deployment in of_kind(rendered["openshift"], "Deployment"):
        context = deployment["spec"]["template"]["spec"]["securityContext"]

        assert not {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} & set(context)


@ALL_SITES
def test_every_place_that_is_written_is_a_volume(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    for _, container in programs(rendered[site]):
        mounts = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
        told = environment(container)
        places = {
            told[n] for n in ("HOME", "TMPDIR", "DSS_DATASTORE", "DSS_FACADE_DIR") if n in told
        }

        assert places <= mounts


@ALL_SITES
def test_all_programs_share_one_datastore_at_the_documented_places(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    places = {"portal": "/app/datastore", "dispatch": "/datastore", "inference": "/datastore"}
    claims = set()
    for deployment in of_kind(rendered[site], "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        volume = next(v for v in pod["volumes"] if v["name"] == "datastore")
        claims.add(volume["persistentVolumeClaim"]["claimName"])

        told = environment(pod["containers"][0])["DSS_DATASTORE"]
        assert told == places[part(deployment)]

    assert claims == {"dss-datastore"}
    annotations = named(rendered[site], "PersistentVolumeClaim", "dss-datastore")["metadata"]
    assert annotations["annotations"] == {"helm.sh/resource-policy": "keep"}


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


@ALL_SITES
def test_selectors_find_the_pods_of_their_own_and_no_others(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    deployments = of_kind(rendered[site], "Deployment")
    pods = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"].items()
        for d in deployments
    }
    for deployment in deployments:
        wanted = deployment["spec"]["selector"]["matchLabels"].items()
        # What an upgrade changes must not be among them: Kubernetes takes no other selector.
        assert not {"app.kubernetes.io/version", "helm.sh/chart"} & {key for key, _ in wanted}

        found = {name for name, labels in pods.items() if wanted <= labels}
        assert found == {deployment["metadata"]["name"]}
    for service in of_kind(rendered[site], "Service"):
        wanted = service["spec"]["selector"].items()

        assert [name for name, labels in pods.items() if wanted <= labels]


@ALL_SITES
def test_ports_that_are_named_are_there(rendered: dict[str, list[Manifest]], site: str) -> None:
    objects = rendered[site]
    for service in of_kind(objects, "Service"):
        wanted = service["spec"]["selector"].items()
        for deployment in of_kind(objects, "Deployment"):
            template = deployment["spec"]["template"]
            if wanted <= template["metadata"]["labels"].items():
                names = {p["name"] for p in template["spec"]["containers"][0]["ports"]}

                assert {p["targetPort"] for p in service["spec"]["ports"]} <= names


def test_ingress_and_route_lead_to_the_public_address(rendered: dict[str, list[Manifest]]) -> None:
    (rule,) = of_kind(rendered["everything"], "Ingress")[0]["spec"]["rules"]
    route = of_kind(rendered["everything"], "Route")[0]["spec"]

    assert (rule["host"], rule["http"]["paths"][0]["path"]) == ("dss.example.org", "/dss")
    assert (route["host"], route["path"], route["to"]["name"]) == (
        "dss.example.org",
        "/dss",
        "dss-portal",
    )


def test_names_of_pods_fit_into_the_name_of_a_process(rendered: dict[str, list[Manifest]]) -> None:
    label = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    for objects in rendered.values():
        for manifest in objects:
            assert label.match(manifest["metadata"]["name"])
