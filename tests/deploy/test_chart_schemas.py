"""Every rendered object, held against the schema of its kind, offline."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from support.charts import Manifest, of_kind

CRDS = {
    json.loads(path.read_text(encoding="utf-8"))["title"]: json.loads(
        path.read_text(encoding="utf-8")
    )
    for path in sorted((Path(__file__).parents[1] / "data" / "crds").glob("*.json"))
}
"""Schemas of our own, by kind: the fields that the chart uses, as their projects' manuals describe them.

https://keda.sh/docs/latest/reference/scaledobject-spec, https://prometheus-operator.dev/docs/api-reference/api,
https://docs.openshift.com (Route, route.openshift.io/v1).
"""

RELEASES = ("1.30", "1.37")
"""The oldest Kubernetes that the chart admits, and the newest whose schemas are at hand."""


def check(manifest: Manifest, release: str) -> None:
    """Raises jsonschema.ValidationError, or the same of kubernetes_validate."""
    if manifest["kind"] in CRDS:
        jsonschema.validate(manifest, CRDS[manifest["kind"]])
    else:
        kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("site", ["laptop", "lab", "openshift", "airgapped", "s3", "everything"])
def test_every_object_is_valid(
    rendered: dict[str, list[Manifest]], site: str, release: str
) -> None:
    for manifest in rendered[site]:
        check(manifest, release)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 1),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "imagePolicy"), "Always"),
        ("HorizontalPodAutoscaler", ("spec", "minReplicas"), "two"),
        ("Ingress", ("spec", "rules", 0, "hosts"), ["a"]),
        ("ScaledObject", ("spec", "minReplicas"), 0),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "value"), 1),
        ("ServiceMonitor", ("spec", "endpoints", 0, "relabelConfigs"), []),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expression"), "up"),
        ("Route", ("spec", "tls", "termination"), "edgy"),
        ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "secret"), "x"),
    ],
)
def test_a_misspelt_field_is_noticed(
    rendered: dict[str, list[Manifest]], kind: str, path: tuple[str | int, ...], value: object
) -> None:
    manifest = deepcopy(of_kind(rendered["everything"], kind)[0])
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(
        (jsonschema.ValidationError, kubernetes_validate.ValidationError),
    ):
        check(manifest, RELEASES[-1])
