"""Values: each is explained, and a wrong one is refused by a sentence that names it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from dss_dispatch.settings import Settings as DispatchSettings
from dss_inference.settings import Settings as InferenceSettings
from dss_portal.settings import Settings as PortalSettings
from support.charts import CHART, Chart, Refused, environment, named

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

COMMON = {"AMQP_URL", "DATASTORE", "INSTANCE", "LOG_JSON", "METRICS_BIND", "STOP_S"} | {
    "DATASTORE_URL",
    "S3_CA_FILE",
    "S3_ENDPOINT",
    "S3_REGION",
    "SCRATCH",
    "SCRATCH_BYTES",
}
OWN: dict[type[BaseSettings], set[str]] = {
    PortalSettings: COMMON
    | {"BIND", "DATABASE_URL", "GIT_CA_FILE", "PUBLIC_URL", "SECRET_KEY", "TRUSTED_PROXIES"}
    | {"PORTAL_PROCESSES"}
    | {"OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ISSUER", "PUBLISHED", "TEST_MODE"}
    | {"SMTP_CA_FILE", "SMTP_FROM", "SMTP_HOST", "SMTP_PASSWORD_FILE", "SMTP_PORT"}
    | {"SMTP_SECURITY", "SMTP_USER", "GIT_CREDENTIALS_FILE"},
    DispatchSettings: COMMON | {"PARALLEL_TICKETS", "SERVICE_CHANGES"},
    InferenceSettings: COMMON
    | {"BUNDLES", "DEVICE", "FACADE_BIND", "FACADE_DIR", "REQUESTS_AHEAD"},
}
"""Settings that the chart sets itself, or, as the test mode, never: everybody would be a sysadmin."""


def values_in(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in schema.get("properties", {}).items():
        yield f"{path}.{name}", value
        yield from values_in(value, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from values_in(inner, f"{path}[]")


def test_each_value_is_explained_by_a_sentence() -> None:
    texts = {path: value.get("description", "") for path, value in values_in(SCHEMA)}

    assert len(texts) > 100
    assert [
        p for p, text in texts.items() if not (text[:1].isupper() or text[:6] == "sha256")
    ] == []
    assert [p for p, text in texts.items() if not text.endswith(".")] == []


def test_no_part_of_the_values_takes_what_it_does_not_know() -> None:
    objects = {path: v for path, v in values_in(SCHEMA) if v.get("type") == "object"}
    named_by_kubernetes = {"ipBlock", "podSelector", "namespaceSelector", "global"}

    loose = {
        path.rpartition(".")[2] for path, v in objects.items() if "additionalProperties" not in v
    }

    assert loose == named_by_kubernetes
    assert SCHEMA["additionalProperties"] is False


def test_every_default_is_in_the_schema_and_every_value_has_a_default() -> None:
    def names(values: dict[str, Any], path: str = "") -> set[str]:
        inner = [names(v, f"{path}.{k}") for k, v in values.items() if isinstance(v, dict) and v]
        return {f"{path}.{k}" for k in values}.union(*inner)

    explained = {path for path, _ in values_in(SCHEMA) if "[]" not in path}
    free = (".settings.", ".resources.", ".services.", ".workers.")

    given = {p for p in names(DEFAULTS) if not any(f in p for f in free)}
    assert given == {p for p in explained if not any(f in p for f in free)} - {".global"}


@pytest.mark.parametrize(
    ("settings", "path"),
    [(PortalSettings, "portal"), (DispatchSettings, "dispatch"), (InferenceSettings, "inference")],
)
def test_the_settings_that_a_site_may_give_are_those_of_the_program(
    settings: type[BaseSettings], path: str
) -> None:
    offered = SCHEMA["properties"][path]["properties"]["settings"]["properties"]

    expected = {f"DSS_{name.upper()}" for name in settings.model_fields}
    assert set(offered) == expected - {f"DSS_{name}" for name in OWN[settings]}


@pytest.mark.parametrize("path", ["dispatch.services", "inference.workers"])
def test_what_holds_for_all_may_differ_for_each(path: str) -> None:
    group, _, inner = path.partition(".")
    whole = SCHEMA["properties"][group]["properties"]
    one = whole[inner]["additionalProperties"]["properties"]

    assert {name: one[name] for name in whole if name != inner} == {
        name: value for name, value in whole.items() if name != inner
    }


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["portal.replica=2"], "additional properties 'replica' not allowed"),
        (["portal.replicas=none"], "at '/portal/replicas': got string, want integer"),
        (["portal.settings.DSS_LEAES_S=60"], "'DSS_LEAES_S' not allowed"),
        (["portal.settings.DSS_TEST_MODE=everywhere"], "'DSS_TEST_MODE' not allowed"),
        (["portal.settings.DSS_PORTAL_PROCESSES=2"], "'DSS_PORTAL_PROCESSES' not allowed"),
        (["portal.processes=0"], "/portal/processes"),
        (["portal.settings.DSS_LEASE_S=0"], "/portal/settings/DSS_LEASE_S"),
        (["portal.autoscaling.cpuPercent=150"], "/portal/autoscaling/cpuPercent"),
        (["portal.trustedProxies={everyone}"], "/portal/trustedProxies/0"),
        (["image.tag=latest"], "/image/tag"),
        (["image.registry=https://registry.site.example"], "/image/registry"),
        (["image.registry=registry.site.example/"], "/image/registry"),
        (["image.digests.portal=abc"], "/image/digests/portal"),
        (["publicUrl=dss.example.org"], "/publicUrl"),
        (["publicUrl="], "publicUrl is blank: the address that users type into ITK-SNAP is needed"),
        (["datastore.size=500"], "/datastore/size"),
        (["datastore.accessMode=ReadOnlyMany"], "/datastore/accessMode"),
        (["security.runAsUser=0"], "/security/runAsUser"),
        (["inference.workers.rules.bundles={a.b}"], "/inference/workers/rules/bundles/0"),
        (["inference.workers.Rules.replicas=1"], "invalid propertyName 'Rules'"),
        (["dispatch.services.own.port=1"], "'port' not allowed"),
        (
            ["dispatch.services.lung_segmentation.replicas=1"],
            "invalid propertyName 'lung_segmentation'",
        ),
        (["networkPolicy.databasePorts={70000}"], "/networkPolicy/databasePorts/0"),
        (["monitoring.intervalS=0"], "/monitoring/intervalS"),
        (["route.timeout=300"], "/route/timeout"),
        (["datastore.accessMode=ReadWriteOnce"], "pods on different nodes need ReadWriteMany"),
        (
            ["portal.autoscaling.minReplicas=9"],
            "portal.autoscaling.minReplicas is 9, which is more than portal.autoscaling.maxReplicas, 6",
        ),
        (["ingress.enabled=true"], "portal.trustedProxies is empty"),
        (["route.enabled=true"], "portal.trustedProxies is empty"),
        (
            ["ingress.enabled=true", "portal.trustedProxies={10.0.0.0/8}"],
            "ingress.tlsSecret is blank: name the Secret with the certificate of dss.example.org",
        ),
        (
            [
                "route.enabled=true",
                "portal.trustedProxies={10.0.0.0/8}",
                "publicUrl=http://dss.a.b",
            ],
            "a Route ends TLS, so an address with https:// is needed",
        ),
        *(
            (
                ["ingress.enabled=true", "portal.trustedProxies={10.0.0.0/8}", f"publicUrl={url}"],
                "they need the name of a host in small letters",
            )
            for url in ("https://10.0.0.7", "https://[fd00::7]", "https://DSS.example.org")
        ),
        (["portal.mail.host=mail:25 "], "/portal/mail/host"),
        (["portal.mail.from=everybody"], "/portal/mail/from"),
        (["portal.mail.security=ssl"], "/portal/mail/security"),
        (["portal.mail.host=mail"], "portal.mail.host is mail, and portal.mail.from is blank"),
        (["portal.mail.from=a@b.c"], "portal.mail.host is blank, and other values"),
        (
            ["portal.mail.host=mail", "portal.mail.from=a@b.c", "portal.mail.user=dss"],
            "portal.mail.user is dss, and portal.mail.existingSecret is blank",
        ),
        (
            ["portal.mail.host=mail", "portal.mail.from=a@b.c", "portal.mail.existingSecret=mail"],
            "portal.mail.existingSecret is mail, and portal.mail.user is blank",
        ),
        (
            [
                "portal.mail.host=mail",
                "portal.mail.from=a@b.c",
                "portal.mail.user=dss",
                "portal.mail.existingSecret=mail",
                "portal.mail.security=none",
            ],
            "in the clear: starttls or tls is needed",
        ),
        (["portal.oidc.issuer=google"], "portal.oidc.existingSecret is blank"),
        (["portal.oidc.existingSecret=oidc"], "portal.oidc.issuer is blank"),
        (
            ["inference.autoscaling.enabled=true", "inference.workers.all.replicas=1"],
            "inference.workers.all.bundles is empty, and autoscaling is enabled",
        ),
        (
            [
                "inference.workers.rules.autoscaling.enabled=true",
                "inference.workers.rules.autoscaling.minReplicas=5",
            ],
            "inference.workers.rules.autoscaling.minReplicas is 5, which is more than its maxReplicas, 4",
        ),
        (
            ["inference.autoscaling.enabled=true", "rabbitmq.keys.management="],
            "rabbitmq.keys.management is blank",
        ),
        (
            ["inference.workers.rules.facade.enabled=true"],
            "inference.workers.rules.facade.existingClaim is blank",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_value_is_refused_by_a_sentence_that_names_it(
    chart: Chart, values: list[str], named: str
) -> None:
    with pytest.raises(Refused) as refused:
        chart.render(values=["publicUrl=https://dss.example.org", *values])

    assert named in str(refused.value)


def test_a_worker_may_take_back_what_holds_for_all(chart: Chart) -> None:
    """Helm's merging passes by values that are empty, unless it is told not to."""
    general = ["inference.gpu.count=1", "inference.autoscaling.enabled=true", "dispatch.replicas=3"]
    own = [
        "inference.workers.rules.gpu.count=0",
        "inference.workers.rules.autoscaling.enabled=false",
        "inference.workers.rules.replicas=0",
        "dispatch.services.lung-segmentation.replicas=0",
    ]

    objects = chart.render("laptop", [*general, *own])

    worker = named(objects, "Deployment", "dss-inference-rules")["spec"]
    assert worker["replicas"] == 0
    assert (
        "nvidia.com/gpu" not in worker["template"]["spec"]["containers"][0]["resources"]["limits"]
    )
    dispatchers = [
        named(objects, "Deployment", f"dss-dispatch-{name}")["spec"]["replicas"]
        for name in ("lung-segmentation", "nodule-detection")
    ]
    assert dispatchers == [0, 3]


def test_annotations_of_the_site_go_before_ours_and_stand_once(chart: Chart) -> None:
    """A key that stands twice is no YAML."""
    ingress, route = (
        "nginx.ingress.kubernetes.io/proxy-body-size",
        "haproxy.router.openshift.io/timeout",
    )
    own = [
        f"ingress.annotations.{ingress.replace('.', chr(92) + '.')}=8g",
        f"route.annotations.{route.replace('.', chr(92) + '.')}=30m",
    ]
    on = ["ingress.enabled=true", "ingress.tlsSecret=tls", *own]

    text = chart.text("openshift", on)

    assert [text.count(f"{key}:") for key in (ingress, route)] == [1, 1]
    assert f"{ingress}: 8g" in text
    assert f"{route}: 30m" in text


def test_a_large_number_stays_a_whole_one(chart: Chart) -> None:
    """YAML's 17179869184 is 1.7179869184e+10 to Helm."""
    objects = chart.render("laptop", ["portal.settings.DSS_MAX_UPLOAD_BYTES=17179869184"])

    portal = named(objects, "Deployment", "dss-portal")["spec"]["template"]["spec"]["containers"][0]
    assert environment(portal)["DSS_MAX_UPLOAD_BYTES"] == "17179869184"
