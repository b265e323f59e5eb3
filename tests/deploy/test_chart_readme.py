"""What the chart's README tells a person to type."""

import re
import shlex
import subprocess

import pytest
import yaml

from support import chart_tools
from support.charts import CHART, HELM_FOLDER, SITES, Manifest, containers, environment, of_kind

README = (CHART / "README.md").read_text(encoding="utf-8")
SECRETS = re.findall(r"^kubectl .*create secret (?:.*\\\n)*.*", README, re.MULTILINE)


def keys(command: str) -> tuple[str, set[str]]:
    """Name and keys of the Secret that the real kubectl makes of ``command``."""
    line = command.replace("\\\n", " ").replace("$(openssl rand -hex 32)", "0123")
    words = shlex.split(line)[1:]
    done = subprocess.run(
        [chart_tools.kubectl(), *words, "--dry-run=client", "--output=yaml"],
        check=True,
        capture_output=True,
    )
    made = yaml.safe_load(done.stdout)
    return made["metadata"]["name"], set(made["data"])


@pytest.mark.parametrize("site", SITES)
def test_the_secrets_that_it_makes_are_those_that_the_pods_ask_for(
    rendered: dict[str, list[Manifest]], site: str
) -> None:
    objects = rendered[site]
    made = dict(map(keys, SECRETS))
    wanted = {
        value.strip("<>")
        for d in of_kind(objects, "Deployment")
        for c in containers(d)
        for value in environment(c).values()
        if value.startswith("<")
    } | {
        f"{reference['name']}/{reference['key']}"
        for access in of_kind(objects, "TriggerAuthentication")
        for reference in access["spec"]["secretTargetRef"]
    }

    assert len(made) == 4
    assert wanted <= {f"{name}/{key}" for name, found in made.items() for key in found}


def test_the_objects_that_it_names_are_rendered(rendered: dict[str, list[Manifest]]) -> None:
    named = set(re.findall(r"\b(deployment|service)/(dss[a-z-]*[a-z])(?![A-Za-z-])", README))
    there = {
        (m["kind"].lower(), m["metadata"]["name"])
        for site in SITES
        for m in of_kind(rendered[site], "Deployment", "Service")
    }

    assert ("deployment", "dss-inference-gpu") in named
    assert named <= there


def test_it_tells_of_every_value_file() -> None:
    files = {path.name for path in (HELM_FOLDER / "values").glob("*.yaml")}

    assert files == {f"{site}.yaml" for site in SITES}
    assert set(re.findall(r"^\| `(\w+\.yaml)`", README, re.MULTILINE)) == files
