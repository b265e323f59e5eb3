"""``dss service new``: creates a folder with a working service."""

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from dss_broker.dispatch_section import Modality
from dss_provider.errors import ServiceInvalid

Action = Callable[[], None]
FILES = ("algorithm.py", "test_algorithm.py", "README.md")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,78}")


def make(folder: Path, modality: Modality) -> list[str]:
    """Create the folder and return the names of its files.  Raises ServiceInvalid if it exists or cannot be created."""
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise ServiceInvalid(
            f"'{name}' is no good name for a service: small letters, digits and hyphens, such as my-algorithm."
        )
    if folder.exists() and any(folder.iterdir()):
        raise ServiceInvalid(f"{folder} is there already; name a new folder.")
    template = resources.files("dss_provider") / "template"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "service.json").write_text(_service(name, modality), encoding="utf-8")
        for file in FILES:
            text = (template / f"{file}.txt").read_text(encoding="utf-8").replace("NAME", name)
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ServiceInvalid(f"{folder} cannot be written ({error.strerror}).") from error
    return ["service.json", *FILES]


def _service(name: str, modality: Modality) -> str:
    tag = "Image" if modality is Modality.ANY else modality.value
    described = {
        "name": name,
        "version": "1.0.0",
        "shortdesc": "One line that users read in the list of services",
        "longdesc": "What it segments, in which images, how well, and what it is not for.",
        "tags": [
            {
                "name": tag,
                "type": "MainImage",
                "hint": "The image to be segmented",
                "required": True,
            }
        ],
        "dispatch": {
            "provider": "python",
            "tag": tag,
            "modality": modality.value,
            "function": "algorithm.py:segment",
            "segmentation": "Bright tissue",
            "memory_gb": 8,
            "time_s": 3600,
        },
    }
    return json.dumps(described, indent=2) + "\n"
