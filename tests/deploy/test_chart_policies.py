"""Checkov's policies for Kubernetes, all but those that are named here with the reason."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import missing
from support import chart_tools
from support.charts import Manifest

LEFT_OUT = {
    "CKV_K8S_15": "Pull always: tags are versions, and a disconnected node starts what it has.",
    "CKV_K8S_35": "Secrets as files: programs read their settings from the environment.",
    "CKV_K8S_40": "High UID: OpenShift gives one of its own; where the chart names one, it is high.",
    "CKV_K8S_43": "Digests: the site gives those of its own registry (image.digests).",
}


@pytest.fixture(scope="module")
def checkov() -> Path:
    try:
        return chart_tools.checkov()
    except chart_tools.ToolMissing as error:
        missing(str(error))


@pytest.fixture(scope="module")
def broken(
    checkov: Path, rendered: dict[str, list[Manifest]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """Policies that the objects of a site break, by site."""
    folder = tmp_path_factory.mktemp("objects")
    for site, objects in rendered.items():
        (folder / f"{site}.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    words = ["--framework", "kubernetes", "--skip-download", "--output", "json"]
    done = subprocess.run(
        [checkov, *words, "--directory", folder], capture_output=True, encoding="utf-8", check=False
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["passed"] > 1000  # it has read them
    failed = report["results"]["failed_checks"]
    return {
        site: {c["check_id"] for c in failed if Path(c["file_path"]).stem == site}
        for site in rendered
    }


@pytest.mark.timeout(600)  # the first run installs checkov
def test_no_policy_is_broken_but_those_with_a_reason(broken: dict[str, set[str]]) -> None:
    assert set().union(*broken.values()) == set(LEFT_OUT)


def test_a_high_uid_is_named_where_the_chart_names_one(broken: dict[str, set[str]]) -> None:
    assert {site for site, found in broken.items() if "CKV_K8S_40" not in found} == {
        "laptop",
        "lab",
        "airgapped",
        "s3",
    }
