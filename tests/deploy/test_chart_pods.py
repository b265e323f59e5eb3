"""Rights, volumes, ports and selectors of the chart's pods."""

import re

import pytest

from support.charts import (
    Manifest,
    containers,
    environment,
    named,
    of_kind,
    part,
    programs,
)

ON_A_VOLUME = ["laptop", "lab", "openshift", "airgapped", "everything"]
ALL_SITES = pytest.mark.parametrize("site", [*ON_A_VOLUME, "s3"])


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
        named = ("HOME", "TMPDIR", "DSS_DATASTORE", "DSS_FACADE_DIR", "DSS_SCRATCH")

        assert {told[n] for n in named if told.get(n)} <= mounts


def test_programs_with_a_bucket_share_no_volume(rendered: dict[str, list[Manifest]]) -> None:
    objects = rendered["s3"]

    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        told = environment(pod["containers"][0])
        assert told["DSS_DATASTORE"] == ""
        assert told["DSS_DATASTORE_URL"] == "s3://dss/site"
        assert told["DSS_SCRATCH_BYTES"] == str(48 << 30)  # of 64Gi: a pod beyond that is evicted
        assert told["DSS_SCRATCH"] == "/scratch"
        assert told["AWS_SECRET_ACCESS_KEY"] == "<dss-s3/secret-access-key>"
        assert not [v for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert not of_kind(objects, "PersistentVolumeClaim")


@pytest.mark.parametrize("site", ON_A_VOLUME)
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
