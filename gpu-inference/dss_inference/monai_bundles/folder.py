"""A bundle's folder: what it says of itself, and what is missing.  Loads no torch.

Format: MONAI Bundle Specification (configs/metadata.json, configs/inference.json or .yaml,
models/model.pt or model.ts, large_files.yml).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dss_inference.errors import InferenceError

_CONFIGS = ("inference.json", "inference.yaml", "inference.yml")
_WEIGHTS = ("model.pt", "model.ts")


@dataclass(frozen=True, kw_only=True)
class BundleFolder:
    """``labels`` are the names of the output's channels by value, the background left out."""

    root: Path
    title: str
    version: str
    labels: dict[int, str]
    config: Path
    weights: Path

    @property
    def name(self) -> str:
        """What its queue is called."""
        return self.root.name


def is_bundle(root: Path) -> bool:
    return (root / "configs" / "metadata.json").is_file()


def open_bundle(root: Path) -> BundleFolder:
    """Raises InferenceError with every thing that is wrong."""
    metadata = _metadata(root)
    wrong = problems(root)
    if wrong:
        raise InferenceError(" ".join([f"The bundle '{root.name}' cannot be used.", *wrong]))
    return BundleFolder(
        root=root,
        title=str(metadata.get("name", root.name)),
        version=str(metadata.get("version", "")),
        labels=_labels(metadata),
        config=_first(root / "configs", _CONFIGS) or root,
        weights=_first(root / "models", _WEIGHTS) or root,
    )


def problems(root: Path) -> list[str]:
    """A sentence for each thing that keeps the bundle from being used."""
    try:
        metadata = _metadata(root)
    except InferenceError as error:
        return [str(error)]
    found = []
    if _first(root / "configs", _CONFIGS) is None:
        found.append("It has no configs/inference.json or inference.yaml.")
    if _first(root / "models", _WEIGHTS) is None:
        found.append(f"Its weights are not installed: {_where_from(root)}")
    if not _labels(metadata):
        found.append(
            "Its metadata name no channels (network_data_format.outputs.pred.channel_def)."
        )
    image = _part(metadata, "inputs", "image")
    if str(image.get("modality", "CT")).upper() != "CT":
        found.append(f"It takes {image['modality']} images; only CT can be given.")
    if int(image.get("num_channels", 1)) != 1:
        found.append(f"It takes {image['num_channels']} channels; an image has one.")
    return found


def _metadata(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InferenceError("It has no readable configs/metadata.json.") from error
    if not isinstance(found, dict):
        raise InferenceError("Its configs/metadata.json is no JSON object.")
    return found


def _part(metadata: dict[str, Any], side: str, name: str) -> dict[str, Any]:
    found = metadata.get("network_data_format", {}).get(side, {}).get(name, {})
    return found if isinstance(found, dict) else {}


def _labels(metadata: dict[str, Any]) -> dict[int, str]:
    channels = _part(metadata, "outputs", "pred").get("channel_def", {})
    return {int(value): str(name) for value, name in channels.items() if int(value) > 0}


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _where_from(root: Path) -> str:
    """What large_files.yml says of the weights; its few lines need no YAML reader."""
    try:
        text = (root / "large_files.yml").read_text(encoding="utf-8")
    except OSError:
        return "put them into models/model.pt."
    address = re.search(r"url:\s*\"?([^\s\"]+)", text)
    digest = re.search(r"hash_val:\s*\"?(\w+)", text)
    if address is None:
        return "put them into models/model.pt."
    known = f" (MD5 {digest[1]})" if digest else ""
    return f"fetch {address[1]}{known} into models/model.pt."
