"""A program of which only its own wheel is installed, as in its image, says its version wherever it is asked."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import CHECKOUT
from dss_stack.images.one_program import COMMANDS, write

SITE_PACKAGES = next(Path(path) for path in sys.path if path.endswith("site-packages"))
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
RUN = """
import sys
sys.path[:0] = sys.argv[1:3]
"""
SAID = """
from dss_process.version import installed_version
print(installed_version(sys.argv[3]))
"""
DESCRIPTION = """
from dss_portal.openapi.description import description
print(description("https://dss.example.org")["info"]["version"])
"""
RESOURCE = """
from dss_observability import telemetry, tracing
program = sys.argv[3]
end = telemetry.start_tracing(program, "1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
print(tracing._holder.tracer.tracer.resource.attributes["service.version"])
end()
"""
UNREADABLE = """
from dss_observability import telemetry
def unreadable(program):
    raise telemetry.PackageNotFoundError("opentelemetry-sdk")
telemetry.installed_version = unreadable
telemetry.start_tracing("portal", "1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})()
"""


@dataclass(frozen=True)
class Alone:
    """The files of one program's wheel, and all libraries but this project."""

    program: str
    own: Path
    libraries: Path

    def say(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run ``script`` in a Python that knows neither the checkout nor its distribution."""
        paths = [str(self.own), str(self.libraries), self.program]
        command = [sys.executable, "-I", "-S", "-c", RUN + script, *paths]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8")


@pytest.fixture
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Alone:
    program = str(request.param)
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for path in SITE_PACKAGES.iterdir():
        if "itksnap_dss" not in path.name:
            (libraries / path.name).symlink_to(path)
    own = tmp_path / "own"
    write(program, CHECKOUT, own)
    facts = tomllib.loads((own / "pyproject.toml").read_text("utf-8"))["project"]
    name, version = facts["name"], facts["version"]
    metadata = own / f"{name.replace('-', '_')}-{version}.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    return Alone(program, own, libraries)


@pytest.mark.parametrize("alone", COMMANDS, indirect=True)
def test_a_program_without_the_project_says_its_version(alone: Alone) -> None:
    assert alone.say(SAID).stdout == f"{VERSION}\n"


@pytest.mark.parametrize("alone", ["portal"], indirect=True)
def test_a_portal_without_the_project_describes_its_api(alone: Alone) -> None:
    assert alone.say(DESCRIPTION).stdout == f"{VERSION}\n"


@pytest.mark.parametrize("alone", ["portal", "dispatch", "inference"], indirect=True)
def test_a_program_without_the_project_sends_traces_with_its_version(alone: Alone) -> None:
    done = alone.say(RESOURCE)

    assert (done.stdout, done.stderr) == (f"{VERSION}\n", "")


@pytest.mark.parametrize("alone", ["portal"], indirect=True)
def test_a_version_that_cannot_be_read_is_not_called_a_missing_extra(alone: Alone) -> None:
    assert alone.say(UNREADABLE).stderr == "no traces: a version cannot be read\n"
