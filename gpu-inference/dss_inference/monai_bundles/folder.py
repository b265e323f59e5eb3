"""Reads a MONAI bundle's folder: its metadata, its configuration and the place of its weights.  Loads no torch.

Format: MONAI Bundle Specification (configs/metadata.json, configs/inference.json or .yaml, models/model.pt or model.ts,
large_files.yml).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.config import (
    WEIGHTS,
    is_detection,
    out_channels,
    read_config,
    weights_in,
)
from dss_inference.monai_bundles.output_channels import Channels, channels_of, names_of
from dss_inference.monai_bundles.transform_lists import Config


@dataclass(frozen=True, kw_only=True)
class BundleFolder:
    """The content of a bundle's folder.  ``labels`` are names by value in the label map; for a detection bundle, names
    by class as in the metadata, without class 0.  ``weights`` is the path of the weights, which need not exist.
    """

    root: Path
    metadata: dict[str, Any]
    config: Config
    labels: dict[int, str]
    weights: Path

    @property
    def name(self) -> str:
        """The bundle's name, which is that of its folder and also that of its queue."""
        return self.root.absolute().name

    @property
    def title(self) -> str:
        return str(self.metadata.get("name", self.name))

    @property
    def version(self) -> str:
        return str(self.metadata.get("version", ""))

    @property
    def is_detection(self) -> bool:
        return is_detection(self.config)

    @property
    def channels(self) -> Channels:
        """How the channels of a segmentation bundle become labels.  Raises InferenceError if metadata and configuration
        contradict each other or can be understood in several ways.
        """
        return read_channels(self.metadata, self.config)


def is_bundle(root: Path) -> bool:
    """True if the folder has the metadata that every MONAI bundle has."""
    return (root / "configs" / "metadata.json").is_file()


def read_folder(root: Path) -> BundleFolder:
    """Read a bundle without looking for other faults.  If it has no weights, ``weights`` is the path where they belong.
    Raises InferenceError if its metadata or its configuration cannot be read, or if it is not known how the channels of
    a segmentation bundle become labels.
    """
    metadata, config = read_metadata(root), read_config(root)
    found = labels_of(metadata)
    return BundleFolder(
        root=root,
        metadata=metadata,
        config=config,
        labels=found if is_detection(config) else read_channels(metadata, config).labels,
        weights=weights_in(root) or root / "models" / WEIGHTS[0],
    )


def read_metadata(root: Path) -> dict[str, Any]:
    """The content of ``configs/metadata.json`` of the bundle in ``root``.  Raises InferenceError if the file is
    missing, cannot be read, or is no JSON object.
    """
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        raise InferenceError("It has no configs/metadata.json, which every MONAI bundle has.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InferenceError(f"Its configs/metadata.json cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise InferenceError("Its configs/metadata.json is no JSON object.")
    return found


def part_of(metadata: dict[str, Any], side: str, name: str) -> dict[str, Any]:
    """The entry ``name`` of the ``side`` (inputs or outputs) of ``network_data_format``; {} if there is none."""
    found: object = metadata
    for key in ("network_data_format", side, name):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def labels_of(metadata: dict[str, Any]) -> dict[int, str]:
    """The names of labels by number from the bundle's metadata, without 0 and without entries that have no number."""
    names = names_of(part_of(metadata, "outputs", "pred").get("channel_def"))
    return {value: name for value, name in names.items() if value > 0}


def read_channels(metadata: dict[str, Any], config: Config) -> Channels:
    """How the channels of a segmentation bundle become labels.  Raises InferenceError if metadata and configuration
    contradict each other or can be understood in several ways.
    """
    output = part_of(metadata, "outputs", "pred")
    stated = output.get("num_channels")
    count = out_channels(config) or (stated if isinstance(stated, int) else None)
    return channels_of(names_of(output.get("channel_def")), count, config)


def not_installed(root: Path) -> str:
    """A sentence for a bundle without weights that says where to get them, as its large_files.yml (.yaml, .json) says;
    without such a file, that they belong into models/model.pt.  If the file does not say it, the sentence says that.
    """
    for name in ("large_files.yml", "large_files.yaml", "large_files.json"):
        if (root / name).is_file():
            return _where_from(root / name)
    return "Its weights are not installed: put them into models/model.pt."


def _where_from(path: Path) -> str:
    try:
        files = yaml.safe_load(path.read_text(encoding="utf-8"))["large_files"]
        file = next(f for f in files if str(f["path"]).endswith(WEIGHTS))
        digest = (
            f" ({file.get('hash_type', 'md5')} {file['hash_val']})" if "hash_val" in file else ""
        )
        return f"Its weights are not installed: fetch {file['url']}{digest} into {file['path']}."
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration):
        return f"Its weights are not installed, and {path.name} does not say where they are."
