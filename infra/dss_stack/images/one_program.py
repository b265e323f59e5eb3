"""Writes the source of a wheel with one program and those of this project's packages that it imports.

``one_program.py PROGRAM CHECKOUT TARGET``, with the standard library alone.  The project is developed as one
distribution; each container image installs one of these wheels.
"""

import json
import shutil
import sys
import tomllib
from pathlib import Path

PACKAGES = {
    "portal": (
        "broker/dss_broker",
        "broker/dss_datastore",
        "broker/dss_process",
        "broker/dss_workspace",
        "observability/dss_observability",
        "portal/dss_portal",
    ),
    "dispatch": (
        "broker/dss_broker",
        "broker/dss_datastore",
        "broker/dss_images",
        "broker/dss_process",
        "broker/dss_submission",
        "broker/dss_workspace",
        "observability/dss_observability",
        "dispatch-consumers/dss_dispatch",
    ),
    "inference": (
        "broker/dss_broker",
        "broker/dss_datastore",
        "broker/dss_images",
        "broker/dss_process",
        "observability/dss_observability",
        "gpu-inference/dss_inference",
        "gpu-inference/dss_phantom",
    ),
    "client": (
        "broker/dss_broker",
        "broker/dss_datastore",
        "broker/dss_images",
        "broker/dss_process",
        "broker/dss_submission",
        "broker/dss_workspace",
        "portal/dss_client",
        "portal/dss_provider",
    ),
}
"""The project's packages that each program imports, and phantoms beside the worker; a test compares it with the
imports.
"""

OPTIONAL = {
    "client": ("images", "keyring", "provider"),
    "portal": ("s3",),
    "dispatch": ("s3",),
    "inference": ("s3",),
}
"""Optional extras of a program's distribution, in addition to ``tracing``, which each program has."""

COMMANDS = {
    "portal": "dss-portal",
    "dispatch": "dss-dispatch",
    "inference": "dss-inference",
    "client": "dss",
}


def write(program: str, checkout: Path, target: Path) -> None:
    """Write the source of the wheel for ``program`` to ``target``, which must not exist."""
    target.mkdir(parents=True)
    for package in PACKAGES[program]:
        source = checkout / package
        shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / "LICENSE", target)
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    (target / "pyproject.toml").write_text(_pyproject(program, project), encoding="utf-8")


def _pyproject(program: str, project: dict[str, dict[str, object]]) -> str:
    """The content of the wheel's pyproject.toml.  Values are written as JSON, whose strings and lists are valid TOML."""
    facts = project["project"]
    extras, commands = facts["optional-dependencies"], facts["scripts"]
    if not isinstance(extras, dict) or not isinstance(commands, dict):
        sys.exit("pyproject.toml has no table of extras or of scripts.")
    own = [*_list(facts["dependencies"]), *_list(extras[program])]
    command = COMMANDS[program]
    optional = {name: _list(extras[name]) for name in ("tracing", *OPTIONAL.get(program, ()))}
    names = [Path(package).name for package in PACKAGES[program]]
    return f"""\
[build-system]
requires = {json.dumps(project["build-system"]["requires"])}
build-backend = "hatchling.build"

[project]
name = "itksnap-dss-{program}"
version = {json.dumps(facts["version"])}
license = {json.dumps(facts["license"])}
license-files = ["LICENSE"]
requires-python = {json.dumps(facts["requires-python"])}
dependencies = {json.dumps(own)}

[project.optional-dependencies]
{"".join(f"{name} = {json.dumps(needed)}" + chr(10) for name, needed in optional.items())}
[project.scripts]
{command} = {json.dumps(commands[command])}

[tool.hatch.build.targets.wheel]
packages = {json.dumps(names)}
"""


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
