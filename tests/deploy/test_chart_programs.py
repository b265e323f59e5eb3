"""What the chart tells the programs is what they understand, and what they need is there."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from dss_dispatch.__main__ import main as dispatch_program
from dss_dispatch.service import builtin_services, load_service
from dss_dispatch.settings import Settings as DispatchSettings
from dss_dispatch.settings import service_url
from dss_inference.__main__ import main as inference_program
from dss_inference.bundle_catalogue import BUNDLES, installed_in
from dss_inference.settings import Settings as InferenceSettings
from dss_portal.__main__ import main as portal_program
from dss_portal.settings import DatabaseSettings
from dss_portal.settings import Settings as PortalSettings
from support.charts import (
    Chart,
    Manifest,
    containers,
    environment,
    named,
    of_kind,
    programs,
)
from support.tls import certificate

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
    file, _ = certificate(tmp_path, "a server of the site")
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
