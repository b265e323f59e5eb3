"""compose.yaml: what it hands on is what the programs understand, and each setting is explained."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from conftest import CHECKOUT
from deploy.printed import commands_below
from dss_dispatch.settings import Settings as DispatchSettings
from dss_inference.settings import Settings as InferenceSettings
from dss_portal.settings import DatabaseSettings
from dss_portal.settings import Settings as PortalSettings
from dss_process.secret_files import SECRETS

TEXT = (CHECKOUT / "infra/compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
S3_TEXT = (CHECKOUT / "infra/compose.s3.yaml").read_text(encoding="utf-8")
IN_BUCKET: dict[str, Any] = yaml.safe_load(S3_TEXT)
EXAMPLE = (CHECKOUT / "infra/compose.env.example").read_text(encoding="utf-8")

NOT_OURS = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
OF_SERVERS = {"POSTGRES_HOST_AUTH_METHOD"}
"""A variable of the old documentation, which from-the-old-system.md explains."""


def test_four_printed_commands_lead_from_nothing_to_the_first_ticket() -> None:
    """`make test-deploy` runs them as they are printed."""
    up = "podman-compose --file infra/compose.yaml up --detach"
    expected = ["make images", "make site-secrets", up, "make first-ticket"]

    assert commands_below("In containers") == expected


def test_the_log_of_each_container_has_a_limit_that_docker_and_podman_understand() -> None:
    """Of the two options, podman ignores max-file."""
    for name, service in COMPOSE["services"].items():
        assert service["logging"]["driver"] == "json-file", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_all_that_goes_on_is_started_with_the_machine() -> None:
    """The service podman-restart of podman 4.3 starts what is to be restarted always, and nothing else."""
    policies = {name: service["restart"] for name, service in COMPOSE["services"].items()}
    by_hand = {name for name, service in COMPOSE["services"].items() if service["restart"] == "no"}

    assert by_hand == {"phantom", "client", "backup", "restore"}
    assert policies.pop("migrate") == "on-failure"
    assert set(policies.values()) == {"always", "no"}


def test_the_worker_for_gpus_is_the_image_that_make_builds() -> None:
    dry = ["make", "--dry-run", "--no-print-directory", "image-inference-cuda"]
    said = subprocess.run(dry, cwd=CHECKOUT, check=True, capture_output=True, encoding="utf-8")

    assert "--target inference --build-arg DEVICE=cuda" in said.stdout
    assert COMPOSE["services"]["inference-gpu"]["image"].split("}")[1].split(":")[0] in said.stdout


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("migrate", DatabaseSettings),
        ("portal", PortalSettings),
        ("dispatch-lungs", DispatchSettings),
        ("dispatch-nodules", DispatchSettings),
        ("inference", InferenceSettings),
    ],
)
def test_every_variable_is_a_setting_of_its_program(
    service: str, settings: type[BaseSettings]
) -> None:
    known = {f"DSS_{name.upper()}" for name in settings.model_fields}
    known |= {f"{name}_FILE" for name in SECRETS if name in known}

    given = set(COMPOSE["services"][service]["environment"])
    given |= set(IN_BUCKET["services"].get(service, {}).get("environment", ()))
    assert given - known <= NOT_OURS


def test_each_variable_of_the_site_is_explained_and_each_that_is_explained_is_one() -> None:
    explained = set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", EXAMPLE))

    assert set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT + S3_TEXT)) == explained | OF_SERVERS


def test_defaults_are_those_that_the_example_shows() -> None:
    shown = dict(re.findall(r"^([A-Z][A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT))

    assert {name: defaults.get(name, "") for name in shown} | {"DSS_AUTHORITIES": ""} == shown


def test_each_file_that_a_variable_names_is_a_secret_of_its_service() -> None:
    for name in COMPOSE["services"]:
        parts = [file["services"].get(name, {}) for file in (COMPOSE, IN_BUCKET)]
        given = [v for part in parts for v in part.get("environment", {}).values()]
        named = {Path(p).name for v in given for p in re.findall(r"/run/secrets/[\w.]+", v)}

        assert named <= {secret for part in parts for secret in part.get("secrets", [])}, name
