"""The bill of materials beside an image, here of this machine."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from conftest import CHECKOUT

SCRIPT = CHECKOUT / "infra/dss_stack/images/sbom.py"


@pytest.fixture(scope="module")
def components() -> dict[str, dict[str, object]]:
    """Components by reference; the bill is made as ``make images`` makes it."""
    words = [sys.executable, "-", "dss-portal", "1.2.3"]
    bill = json.loads(subprocess.check_output(words, input=SCRIPT.read_bytes()))
    assert bill["metadata"]["component"]["version"] == "1.2.3"
    found: list[dict[str, object]] = bill["components"]
    by_reference = {str(component["bom-ref"]): component for component in found}
    assert len(by_reference) == len(found)
    return by_reference


def test_distributions_of_python_stand_in_it_with_version_and_licence(
    components: dict[str, dict[str, object]],
) -> None:
    found = components[f"pkg:pypi/pika@{version('pika')}"]

    assert found["version"] == version("pika")
    assert found["licenses"] == [{"license": {"name": "BSD License"}}]


def test_packages_of_debian_stand_in_it(components: dict[str, dict[str, object]]) -> None:
    names = {c["name"] for ref, c in components.items() if ref.startswith("pkg:deb/debian/")}

    assert {"libc6", "dpkg"} <= names


def test_a_version_with_a_plus_keeps_it_in_its_address(
    components: dict[str, dict[str, object]],
) -> None:
    addresses = [str(c["purl"]) for c in components.values() if "purl" in c]

    assert any("%2B" in address for address in addresses)
    assert not any("+" in address for address in addresses)


def test_the_same_contents_have_the_same_bill() -> None:
    words = [sys.executable, str(SCRIPT), "dss-portal", "1.2.3"]

    first, second = (subprocess.check_output(words) for _ in range(2))

    assert first == second
