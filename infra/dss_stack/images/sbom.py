"""Writes the bill of materials of a container image (CycloneDX 1.6, JSON) to standard output.

``python - NAME VERSION < sbom.py`` runs it within the image, with the image's own Python and the standard library only.
"""

import json
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import TypeAlias
from urllib.parse import quote

Component: TypeAlias = dict[str, object]

OURS = "itksnap-dss-"
_DPKG = ("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\n")


def sbom(name: str, version: str) -> dict[str, object]:
    """The bill of materials of the image ``name``: every Python distribution and every Debian package that is installed
    here.
    """
    components = sorted([*_of_python(), *_of_debian()], key=lambda c: str(c["bom-ref"]))
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": name, "name": name, "version": version}
        },
        "components": components,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {**content, "serialNumber": f"urn:uuid:{serial}"}


def _of_python() -> Iterator[Component]:
    for found in {d.metadata["Name"]: d for d in distributions()}.values():
        name = found.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        if name.startswith(OURS):
            yield {
                **_component("application", name, found.version, name),
                "licenses": _licenses(found),
            }
        else:
            purl = f"pkg:pypi/{name}@{quote(found.version, safe='')}"
            yield {
                **_component("library", name, found.version, purl),
                "purl": purl,
                "licenses": _licenses(found),
            }


def _of_debian() -> Iterator[Component]:
    distributor = platform.freedesktop_os_release()["ID"]
    listed = subprocess.run(_DPKG, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    for line in listed.stdout.splitlines():
        name, version, architecture = line.split()
        purl = f"pkg:deb/{distributor}/{quote(name)}@{quote(version, safe='')}?arch={architecture}"
        yield {**_component("library", name, version, purl), "purl": purl}


def _component(kind: str, name: str, version: str, ref: str) -> Component:
    return {"type": kind, "bom-ref": ref, "name": name, "version": version}


def _licenses(found: Distribution) -> list[dict[str, object]]:
    """The licences in the distribution's metadata, as CycloneDX has them: an SPDX expression, or free text."""
    if expression := _said(found, "License-Expression"):
        return [{"expression": expression}]
    words = [
        classifier.rpartition(" :: ")[2]
        for classifier in found.metadata.get_all("Classifier", [])
        if classifier.startswith("License :: ")
    ]
    license_text = _said(found, "License")
    if not words and license_text and "\n" not in license_text:
        words = [license_text]
    return [{"license": {"name": word}} for word in words]


def _said(found: Distribution, field: str) -> str:
    return found.metadata[field].strip() if field in found.metadata else ""


def main(name: str, version: str) -> None:
    json.dump(sbom(name, version), sys.stdout, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
