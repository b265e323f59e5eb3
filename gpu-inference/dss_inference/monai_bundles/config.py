"""Reads a MONAI bundle's inference configuration and adapts it to this program.  Loads no torch.

Format: MONAI Bundle Specification; values that begin with ``@`` refer to another entry, those with ``$`` are Python.
Nothing is evaluated here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.transform_lists import (
    PARTS,
    Config,
    disable_file_transforms,
    write_out_lists,
)

WEIGHTS = ("model.pt", "model.ts")
"""Names of the file with the weights; the first that exists is used: ``.pt`` is a state_dict; ``.ts`` is TorchScript,
which contains its own network, so that the network in the configuration is not used.
"""

OVERRIDES = "dss.json"
"""Name of the file in ``configs`` with a site's changes of the configuration, by path:
``{"preprocessing#transforms#2#pixdim": [3, 3, 3]}``.
"""

_NOT_RESAMPLED = {"whether_raw_luna16": True}
"""Value that an entry of this name gets in a configuration that has it: it tells the official nodule detection bundle
that the image was not resampled for it.
"""
_SCRIPTED = "dss_inference.monai_bundles.bundle_parts.ScriptedNetwork"
_SEGMENTATION = ("network", "preprocessing", "inferer", "postprocessing")
_DETECTION = ("network", "preprocessing", "detector", "detector_ops")
_REFERENCE = re.compile(r"@([A-Za-z_]\w*)")


def config_file(root: Path) -> Path | None:
    """The path of the inference configuration of the bundle in ``root``: inference.json, .yaml or .yml in ``configs``,
    the first that exists; None if there is none.
    """
    names = ("inference.json", "inference.yaml", "inference.yml")
    return next(
        (root / "configs" / name for name in names if (root / "configs" / name).is_file()), None
    )


def weights_in(root: Path) -> Path | None:
    """The path of the weights of the bundle in ``root``: the first of WEIGHTS that exists in ``models``; None if there
    are none.
    """
    return next((p for p in (root / "models" / name for name in WEIGHTS) if p.is_file()), None)


def read_config(root: Path) -> Config:
    """Read the configuration of the bundle in ``root``, apply the site's changes (OVERRIDES), replace references to
    lists of transforms by the lists, and disable the transforms that read or write files.  For TorchScript weights,
    ``network`` is a ScriptedNetwork.

    Raises InferenceError if a file is missing or cannot be read, or if a change is for an entry that does not exist.
    """
    path = config_file(root)
    if path is None:
        raise InferenceError("It has no configs/inference.json or inference.yaml.")
    config = _mapping(path)
    changes = {name: value for name, value in _NOT_RESAMPLED.items() if name in config}
    if (root / "configs" / OVERRIDES).is_file():
        changes |= _mapping(root / "configs" / OVERRIDES)
    for key, value in changes.items():
        _change(config, key, value)
    write_out_lists(config)
    for part in PARTS:
        disable_file_transforms(config.get(part))
    weights = weights_in(root)
    if weights is not None and weights.suffix == ".ts":
        config["network"] = {"_target_": _SCRIPTED, "path": str(weights)}
    return config


def is_detection(config: Config) -> bool:
    """True if the bundle finds boxes instead of labelling voxels."""
    return "detector" in config


def out_channels(config: Config) -> int | None:
    """The number of output channels of the network; None if the configuration does not state it as a number."""
    for part in ("network_def", "network"):
        network = config.get(part)
        value = network.get("out_channels") if isinstance(network, dict) else None
        if isinstance(value, str) and value.startswith("@"):
            value = config.get(value[1:])
        if isinstance(value, int):
            return value
    return None


def used_parts(config: Config) -> tuple[str, ...]:
    """The names of the configuration's entries that this program uses.  Entries that they refer to are not included."""
    return _DETECTION if is_detection(config) else _SEGMENTATION


def texts_used(config: Config) -> Iterator[tuple[str, str]]:
    """Path in the configuration and value of each text in the used entries and in the entries that they refer to."""
    waiting, seen = list(used_parts(config)), set[str]()
    while waiting:
        part = waiting.pop()
        if part in seen or part not in config:
            continue
        seen.add(part)
        for where, text in _texts(config[part], part):
            yield where, text
            waiting += references(text)


def references(text: str) -> list[str]:
    """The names of the entries that a value of the configuration refers to (``@name``); [] for an ordinary text."""
    return _REFERENCE.findall(text) if text.startswith(("@", "$")) else []


def _mapping(path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InferenceError(f"Its configs/{path.name} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise InferenceError(f"Its configs/{path.name} is no object with named entries.")
    return found


def _change(config: Config, path: str, value: object) -> None:
    """Set the entry at ``path`` (keys separated by ``#`` or ``::``) to ``value``.  Raises InferenceError if there is no
    such entry, except that a component (with ``_target_``) may get a new option.
    """
    *way, last = re.split(r"#|::", path)
    here: Any = config
    try:
        for key in way:
            here = here[_key(here, key)]
        if "_target_" not in here:  # a component may get further options
            here[_key(here, last)]
        here[_key(here, last)] = value
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InferenceError(
            f"Its configs/{OVERRIDES} changes '{path}', which the configuration does not have."
        ) from error


def _key(here: object, key: str) -> Any:
    return int(key) if isinstance(here, list) else key


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}#{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{where}#{number}")
