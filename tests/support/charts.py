"""The Helm chart, rendered by the real Helm."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HELM_FOLDER = Path(__file__).parents[2] / "infra" / "helm"
CHART = HELM_FOLDER / "dss"
SITES = ("laptop", "lab", "openshift", "airgapped", "s3")
"""Value files in ``infra/helm/values``."""

Manifest = dict[str, Any]
Container = dict[str, Any]

EVERYTHING = (
    "publicUrl=https://dss.example.org/dss",
    "image.registry=registry.site.example:5000/dss",
    "portal.trustedProxies={10.0.0.0/8}",
    "portal.processes=3",
    "portal.oidc.issuer=https://issuer.example",
    "portal.oidc.existingSecret=dss-oidc",
    "portal.proxy.url=http://proxy.site.example:3128",
    "portal.proxy.exceptions={.site.example,10.0.0.0/8}",
    "portal.mail.host=mail.site.example",
    "portal.mail.port=465",
    "portal.mail.security=tls",
    "portal.mail.from=dss@site.example",
    "portal.mail.user=dss",
    "portal.mail.existingSecret=dss-mail",
    "portal.git.existingSecret=dss-git",
    "portal.settings.DSS_NOTIFY_NETWORKS=10.1.0.0/16",
    "portal.settings.DSS_MAX_UPLOAD_BYTES=17179869184",
    "certificates.configMap=authorities",
    "tracing.endpoint=http://collector:4318",
    "dispatch.replicas=2",
    "dispatch.serviceChanges=changes",
    "dispatch.services.own.definition=own-service",
    "dispatch.services.old.url=http://worker:8080",
    "inference.bundlesClaim=bundles",
    "inference.autoscaling.enabled=true",
    "inference.workers.rules.facade.enabled=true",
    "inference.workers.rules.facade.existingClaim=facade",
    "ingress.enabled=true",
    "ingress.tlsSecret=tls",
    "route.enabled=true",
    "monitoring.serviceMonitors=true",
    "monitoring.prometheusRules=true",
    "monitoring.rabbitmq.matchLabels.app=rabbit",
)
"""Values under which the chart makes everything that it knows."""


class Refused(Exception):
    """Helm's own words."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    helm: Path

    def render(
        self, site: str = "", values: Sequence[str] = (), *, release: str = "dss"
    ) -> list[Manifest]:
        """Objects of a site's value file, with ``values`` (``name=value``) on top.  Raises Refused."""
        return [m for m in yaml.safe_load_all(self.text(site, values, release=release)) if m]

    def text(self, site: str = "", values: Sequence[str] = (), *, release: str = "dss") -> str:
        """The same as Helm prints it."""
        words = ["template", release, str(CHART), "--namespace", "dss", *_given(site, values)]
        return self._run(words)

    def notes(self, site: str) -> str:
        """What a person reads after an installation."""
        words = ["install", "dss", str(CHART), "--namespace", "dss", "--dry-run=client"]
        return self._run([*words, *_given(site, ())]).partition("NOTES:")[2]

    def lint(self, site: str) -> None:
        """Raises Refused."""
        self._run(["lint", "--strict", str(CHART), *_given(site, ())])

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            [self.helm, *words], capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout


def _given(site: str, values: Sequence[str]) -> list[str]:
    file = ["--values", str(HELM_FOLDER / "values" / f"{site}.yaml")] if site else []
    return [*file, *(word for value in values for word in ("--set", value))]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [m for m in manifests if m["kind"] in kinds]


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    return next(m for m in of_kind(manifests, kind) if m["metadata"]["name"] == name)


def part(manifest: Manifest) -> str:
    """portal, dispatch or inference; "" for what belongs to all."""
    return str(manifest["metadata"]["labels"].get("app.kubernetes.io/component", ""))


def containers(deployment: Manifest) -> Iterator[Container]:
    pod = deployment["spec"]["template"]["spec"]
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def environment(container: Container) -> Mapping[str, str]:
    """Variables and their values; of a secret, ``<secret/key>``."""
    return {e["name"]: e.get("value", _secret(e)) for e in container["env"]}


def _secret(entry: Mapping[str, Any]) -> str:
    found = entry.get("valueFrom", {}).get("secretKeyRef", {})
    return f"<{found.get('name')}/{found.get('key')}>"


def programs(objects: list[Manifest]) -> Iterator[tuple[str, Container]]:
    for deployment in of_kind(objects, "Deployment"):
        for container in containers(deployment):
            yield part(deployment), container
