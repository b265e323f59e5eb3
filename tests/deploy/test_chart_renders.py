"""What the real Helm makes of the chart: for each site all objects, and nothing else."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from support import chart_tools
from support.charts import (
    CHART,
    EVERYTHING,
    HELM_FOLDER,
    SITES,
    Chart,
    Manifest,
    containers,
    of_kind,
)

CHECKOUT = HELM_FOLDER.parents[1]

ALWAYS = {
    "Deployment": 4,
    "PersistentVolumeClaim": 1,
    "PodDisruptionBudget": 1,
    "Service": 1,
    "ServiceAccount": 1,
}
MEASURED = {"PrometheusRule": 1, "Service": 4}
SCALED = {"HorizontalPodAutoscaler": 1, "ScaledObject": 1, "TriggerAuthentication": 1}

KINDS = {
    "laptop": ALWAYS,
    "lab": ALWAYS | MEASURED | SCALED | {"Ingress": 1, "NetworkPolicy": 2, "ServiceMonitor": 4},
    "openshift": ALWAYS | MEASURED | SCALED | {"Route": 1, "NetworkPolicy": 2, "ServiceMonitor": 3},
    "airgapped": ALWAYS | {"HorizontalPodAutoscaler": 1, "Ingress": 1, "NetworkPolicy": 2},
    "everything": ALWAYS
    | MEASURED
    | SCALED
    | {
        "Deployment": 6,
        "Ingress": 1,
        "NetworkPolicy": 4,
        "PodDisruptionBudget": 5,
        "Route": 1,
        "Service": 5,
        "ServiceMonitor": 4,
    },
}
"""A hook whose annotation is misspelt, or an object behind a wrong condition, is dropped without a word."""


@pytest.mark.parametrize("site", KINDS)
def test_every_object_of_a_site_is_rendered(rendered: dict[str, list[Manifest]], site: str) -> None:
    found = Counter(m["kind"] for m in rendered[site])

    assert dict(found) == KINDS[site]


@pytest.mark.parametrize("site", SITES)
def test_helm_lints_the_chart_with_the_values_of_a_site(chart: Chart, site: str) -> None:
    chart.lint(site)


def test_no_two_objects_of_a_kind_have_one_name(rendered: dict[str, list[Manifest]]) -> None:
    for objects in rendered.values():
        names = Counter((m["kind"], m["metadata"]["name"]) for m in objects)

        assert names.most_common(1)[0][1] == 1


def test_every_object_lies_in_the_namespace_of_the_release(
    rendered: dict[str, list[Manifest]],
) -> None:
    found = {m["metadata"]["namespace"] for objects in rendered.values() for m in objects}

    assert found == {"dss"}


def test_names_fit_whatever_the_release_is_called(chart: Chart) -> None:
    name = "n" * 28
    worker = f"inference.workers.{name}"
    values = [*EVERYTHING, f"dispatch.services.{name}.replicas=2", f"{worker}.bundles={{a}}"]
    facade = [f"{worker}.facade.enabled=true", f"{worker}.facade.existingClaim=a"]

    objects = chart.render(values=[*values, *facade], release="r" * 53)

    assert max(len(m["metadata"]["name"]) for m in objects) == 63


def test_a_person_reads_what_comes_next(chart: Chart) -> None:
    notes = {site: chart.notes(site) for site in SITES}

    for site in SITES:
        assert "dss-portal users add YOU@EXAMPLE.ORG --sysadmin" in notes[site]
    assert [s for s in SITES if "port-forward service/dss-portal" in notes[s]] == ["laptop"]
    assert [s for s in SITES if "scaled to zero" in notes[s]] == ["lab"]


def test_one_value_sets_the_registry_of_all_images(rendered: dict[str, list[Manifest]]) -> None:
    images = {
        c["image"] for d in of_kind(rendered["everything"], "Deployment") for c in containers(d)
    }

    assert images == {
        f"registry.site.example:5000/dss/dss-{name}:0.1.0"
        for name in ("portal", "dispatch", "inference")
    }


def test_without_a_registry_images_are_plain_names(rendered: dict[str, list[Manifest]]) -> None:
    images = {c["image"] for d in of_kind(rendered["laptop"], "Deployment") for c in containers(d)}

    assert images == {"dss-portal:0.1.0", "dss-dispatch:0.1.0", "dss-inference:0.1.0"}


def test_a_worker_with_a_gpu_runs_the_image_with_cuda(rendered: dict[str, list[Manifest]]) -> None:
    images = {c["image"] for d in of_kind(rendered["lab"], "Deployment") for c in containers(d)}

    assert images == {"dss-portal:0.1.0", "dss-dispatch:0.1.0", "dss-inference-cuda:0.1.0"}


def test_a_digest_goes_before_the_tag(chart: Chart) -> None:
    digest = "sha256:" + "ab" * 32

    objects = chart.render("laptop", [f"image.digests.portal={digest}"])

    images = {c["image"] for d in of_kind(objects, "Deployment") for c in containers(d)}
    assert f"dss-portal@{digest}" in images


def test_the_chart_names_no_registry() -> None:
    hosts = re.compile(
        r"\b(docker\.io|quay\.io|ghcr\.io|gcr\.io|registry\.[a-z]|[a-z]+\.azurecr\.io)"
    )
    files = [p for p in HELM_FOLDER.rglob("*") if p.is_file() and p.suffix != ".md"]

    assert [p.name for p in files if hosts.search(p.read_text(encoding="utf-8"))] == []


def test_plain_manifests_are_those_of_the_chart_and_kubectl_reads_them(
    chart: Chart, tmp_path: Path
) -> None:
    out = tmp_path / "dss.yaml"
    values = "infra/helm/values/openshift.yaml"

    words = ["make", "--silent", "manifests", f"HELM={chart.helm}", f"VALUES={values}"]
    subprocess.run([*words, f"OUT={out}", "NAMESPACE=dss"], cwd=CHECKOUT, check=True)
    (tmp_path / "kustomization.yaml").write_text("resources: [dss.yaml]\n", encoding="utf-8")
    read = subprocess.run(
        [chart_tools.kubectl(), "kustomize", tmp_path], check=True, capture_output=True
    )

    objects = list(yaml.safe_load_all(read.stdout))
    key = lambda m: (m["kind"], m["metadata"]["name"])  # noqa: E731 - said once, used twice
    assert sorted(objects, key=key) == sorted(chart.render("openshift"), key=key)


def test_a_packaged_chart_renders_the_same(chart: Chart, tmp_path: Path) -> None:
    """The rules of Prometheus are a link in the checkout, and files in the package."""
    subprocess.run(
        [chart.helm, "package", CHART, "--destination", tmp_path], check=True, capture_output=True
    )
    package = next(tmp_path.glob("dss-*.tgz"))
    values = [word for value in EVERYTHING for word in ("--set", value)]

    words = [str(chart.helm), "template", "dss", str(package), "--namespace", "dss", *values]
    done = subprocess.run(words, check=True, capture_output=True)

    assert [m for m in yaml.safe_load_all(done.stdout) if m] == chart.render(values=EVERYTHING)
