"""Each program is installed with what it uses and nothing else, and says its version."""

import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import click
import grimp
import pytest
import typer
from click.testing import CliRunner as ClickRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

import dss_client.__main__ as client
import dss_dispatch.__main__ as dispatch
import dss_inference.__main__ as inference
import dss_phantom.__main__ as phantom
import dss_portal.__main__ as portal
import dss_stack.__main__ as stack
from conftest import CHECKOUT

OURS = [path.parent.name for path in CHECKOUT.glob("*/dss_*/__init__.py")]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
PROGRAMS = ("portal", "client", "images", "provider", "dispatch", "inference", "stack")
PARTS = {"provider": ("dss_provider", "dss_client"), "images": ("dss_client",)}
"""The commands of the one are commands of the other's program; the client without images is tried by test_thin_client.py."""
COMMANDS = {
    "dss": client.main,
    "dss-portal": portal.main,
    "dss-dispatch": dispatch.main,
    "dss-inference": inference.main,
    "dss-phantom": phantom.main,
    "dss-stack": stack.main,
}
WITHOUT_AN_IMPORT = {
    "asyncpg": "Tortoise's driver for PostgreSQL",
    "nibabel": "MONAI reads NIfTI with it",
    "nvidia-ml-py": "torch reads a GPU's state with it",
    "rich": "typer's tables",
}
PATCHED = ("hypercorn", "itsdangerous", "monai", "pika", "quart", "quart-auth", "tortoise-orm")
OPTIONAL = {"opentelemetry", "boto3", "botocore", "_typeshed"}
"""Imported where it is there: the extras 'tracing' and 's3'; and for types only."""
IMAGING = {"simpleitk", "numpy", "pydicom", "nibabel", "scipy"}
SERVERS = {"quart", "hypercorn", "tortoise-orm", "asyncpg", "werkzeug", "cheroot"}
BROKER = {"pika", "prometheus-client", "pydantic-settings"}
TORCH = {"torch", "monai"}
NOT_FOR = {
    "client": SERVERS | BROKER | TORCH | IMAGING | {"typer", "rich", "pygments"},
    "images": SERVERS | BROKER | TORCH | {"scipy", "nibabel"},
    "portal": IMAGING | TORCH | {"cheroot", "httpx"},
    "provider": SERVERS | BROKER | TORCH | {"scipy", "nibabel", "typer", "rich", "pygments"},
    "dispatch": SERVERS | TORCH | {"scipy", "nibabel"},
    "inference": (SERVERS - {"cheroot", "werkzeug"}) | {"pydicom", "httpx"},
    "stack": SERVERS | TORCH | IMAGING | {"pika", "prometheus-client"},
}


def own_requirements(program: str) -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    beside = extras["client"] if program == "images" else []
    lines = [*PROJECT["dependencies"], *beside, *extras[program]]
    return [Requirement(line) for line in lines]


@cache
def installed_with(program: str) -> frozenset[str]:
    """Names of all distributions that ``pip install project[program]`` installs here."""
    waiting, found = own_requirements(program), set[tuple[str, str]]()
    while waiting:
        needed = waiting.pop()
        for extra in ("", *needed.extras):
            name = canonicalize_name(needed.name)
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += _requirements_of(name, extra)
    return frozenset(name for name, _ in found)


def _requirements_of(name: str, extra: str) -> list[Requirement]:
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # for another build of a library than the one here
        return []
    parsed = [Requirement(line) for line in lines]
    return [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]


@cache
def imported_by(program: str) -> frozenset[str]:
    """Top-level names from outside that a program's modules, and those of ours that they need, import."""
    graph = grimp.build_graph(OURS[0], *OURS[1:], include_external_packages=True, cache_dir=None)
    own = PARTS.get(program, (f"dss_{program}",))
    modules = {module for part in own for module in (part, *graph.find_descendants(part))}
    found = {up.partition(".")[0] for m in modules for up in graph.find_upstream_modules(m)}
    later = {"numpy", "SimpleITK", "pydicom"} if program == "client" else set()
    return frozenset(found - set(OURS) - OPTIONAL - sys.stdlib_module_names - later)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_what_a_program_imports_is_installed_with_it(program: str) -> None:
    providers = packages_distributions()

    missing = {
        name
        for name in imported_by(program)
        if not {canonicalize_name(d) for d in providers[name]} & installed_with(program)
    }

    assert missing == set()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_a_program_names_each_library_that_it_imports_and_leaves_none_to_another(
    program: str,
) -> None:
    providers = packages_distributions()
    asked = {canonicalize_name(requirement.name) for requirement in own_requirements(program)}

    unnamed = {
        name
        for name in imported_by(program)
        if not {canonicalize_name(d) for d in providers[name]} & asked
    }

    assert unnamed == set()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_what_a_program_asks_for_is_imported_by_it(program: str) -> None:
    providers = packages_distributions()
    used = {canonicalize_name(d) for name in imported_by(program) for d in providers[name]}
    asked = {canonicalize_name(requirement.name) for requirement in own_requirements(program)}

    assert asked - used - set(WITHOUT_AN_IMPORT) == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_comes_with_a_program_that_belongs_to_another(program: str) -> None:
    assert installed_with(program) & NOT_FOR[program] == set()


@pytest.mark.parametrize("library", PATCHED)
def test_a_library_of_which_inner_parts_are_replaced_is_bounded_from_above(library: str) -> None:
    asked = [r for program in PROGRAMS for r in own_requirements(program) if r.name == library]

    assert asked
    assert all("<" in {s.operator for s in requirement.specifier} for requirement in asked)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_program_says_the_version_of_the_project(command: str) -> None:
    program = COMMANDS[command]
    runner = CliRunner() if isinstance(program, typer.Typer) else ClickRunner()
    said = runner.invoke(program, ["--version"])  # type: ignore[arg-type]  # each its own kind

    assert (said.exit_code, said.output) == (0, f"{command} {VERSION}\n")


def test_each_command_of_the_project_is_one_that_says_its_version() -> None:
    assert set(PROJECT["scripts"]) == set(COMMANDS)
    assert all(isinstance(command, typer.Typer | click.Command) for command in COMMANDS.values())


def test_chart_and_changelog_have_the_version_of_the_project() -> None:
    chart = (CHECKOUT / "infra/helm/dss/Chart.yaml").read_text(encoding="utf-8")
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.findall(r"^(?:appV|v)ersion: (.*)$", chart, re.MULTILINE) == [VERSION, VERSION]
    released = re.findall(r"^## (\S+) - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert released[0][0] == VERSION


def test_the_version_is_written_in_no_module() -> None:
    modules = [path for name in OURS for path in CHECKOUT.glob(f"*/{name}/**/*.py")]

    assert [path for path in modules if f'"{VERSION}"' in Path(path).read_text("utf-8")] == []
