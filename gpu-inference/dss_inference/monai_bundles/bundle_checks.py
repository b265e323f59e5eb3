"""Finds the faults for which a MONAI bundle cannot be served, as sentences.  Runs none of the bundle's code and loads
no torch.
"""

import ast
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.config import (
    is_detection,
    out_channels,
    read_config,
    references,
    texts_used,
    used_parts,
    weights_in,
)
from dss_inference.monai_bundles.folder import (
    BundleFolder,
    not_installed,
    part_of,
    read_channels,
    read_folder,
    read_metadata,
)
from dss_inference.monai_bundles.output_channels import names_of
from dss_inference.monai_bundles.transform_lists import (
    PARTS,
    Config,
    faults_of,
    kind_of,
    steps_of,
)
from dss_inference.monai_bundles.weights_file import fault_in

MOST_LABELS = 255
_NEED_SKIMAGE = ("KeepLargestConnectedComponent", "RemoveSmallObjects")
"""Transforms of MONAI that import the package ``skimage`` only when they are run."""
_PIP_NAMES = {"skimage": "scikit-image"}
"""Names of packages for pip, where they differ from the names for Python."""


def open_bundle(root: Path) -> BundleFolder:
    """Read the bundle in the folder ``root``.  Raises InferenceError with all its faults if it has any."""
    wrong = problems(root)
    if wrong:
        raise InferenceError(" ".join([f"The bundle '{root.name}' cannot be used.", *wrong]))
    return read_folder(root)


def problems(root: Path) -> list[str]:
    """A sentence for each fault of the bundle in ``root`` that shows without running its code and without loading its
    weights; [] if there is none.
    """
    found: list[str] = []
    metadata = _read_or_note(read_metadata, root, found)
    config = _read_or_note(read_config, root, found)
    if metadata:
        found += [*_wrong_input(metadata), *_wrong_output(metadata, config)]
    if config:
        found += [*_wrong_config(config), *_missing_packages(root, config)]
    weights = weights_in(root)
    wrong = not_installed(root) if weights is None else fault_in(weights)
    return [*found, wrong] if wrong else found


def _read_or_note(read: Callable[[Path], Config], root: Path, found: list[str]) -> Config:
    """The result of ``read(root)``.  If that raises InferenceError, adds the reason to ``found`` and returns {}."""
    try:
        return read(root)
    except InferenceError as error:
        found.append(str(error))
        return {}


def _wrong_input(metadata: Config) -> Iterator[str]:
    image = part_of(metadata, "inputs", "image")
    if not image:
        yield "Its metadata do not say what image it takes (network_data_format.inputs.image)."
    modality = str(image.get("modality", "CT"))
    if modality.upper() != "CT":
        yield f"It takes {modality} images; only CT can be given."
    if image.get("num_channels", 1) != 1:
        yield f"It takes {image['num_channels']} channels; an image has one."


def _wrong_output(metadata: Config, config: Config) -> Iterator[str]:
    if is_detection(config):
        return
    output = part_of(metadata, "outputs", "pred")
    names = names_of(output.get("channel_def"))
    if not names:
        yield (
            "Its metadata do not name the labels: network_data_format.outputs.pred.channel_def is "
            'missing or has no numbers as keys; it would be {"0": "background", "1": "spleen"}, for instance.'
        )
        return
    wrong = list(_wrong_count(output, names, config))
    yield from wrong or _wrong_reading(metadata, config)


def _wrong_count(output: Config, names: dict[int, str], config: Config) -> Iterator[str]:
    channels = output.get("num_channels", len(names))
    if channels not in (1, len(names)):
        yield f"Its metadata speak of {channels} output channels, but name {len(names)}."
    given = out_channels(config)
    if given not in (None, 1, len(names)):
        yield f"Its network gives {given} channels, but its metadata name {len(names)}."


def _wrong_reading(metadata: Config, config: Config) -> Iterator[str]:
    try:
        labels = read_channels(metadata, config).labels
    except InferenceError as error:
        yield str(error)
        return
    if not labels:
        yield "Its metadata name the background and no label (channel_def)."
    elif max(labels) > MOST_LABELS:
        yield f"It has labels up to {max(labels)}; at most {MOST_LABELS} are possible."


def _wrong_config(config: Config) -> Iterator[str]:
    for part in used_parts(config):
        if part not in config:
            yield f"Its inference configuration has no entry '{part}'."
    for part in ("preprocessing", "postprocessing"):
        steps = config.get(part)
        if part in used_parts(config) and steps is not None:
            yield from faults_of(part, steps)
    unknown: dict[str, str] = {}
    for where, text in texts_used(config):
        unknown |= {name: where for name in references(text) if name not in config}
    for name, where in unknown.items():
        yield f"Its '{where}' refers to '@{name}', which the configuration does not have."


def _missing_packages(root: Path, config: Config) -> Iterator[str]:
    """A sentence for each Python package that the configuration uses and that is neither installed nor in the bundle's
    folder; ``scripts``, the usual name of a bundle's own package, must be in the folder.
    """
    for name in sorted(_packages(config)):
        if name == "scripts" or (root / name).is_dir():
            if not (root / name).is_dir():
                yield f"It needs its own Python package '{name}', which is not in its folder."
        elif find_spec(name) is None:
            pip = _PIP_NAMES.get(name, name)
            yield f"It needs the Python package '{name}', which is not installed: pip install {pip}."


def _packages(config: Config) -> set[str]:
    imports = config.get("imports", [])
    names = {n for text in imports if isinstance(text, str) for n in _imported(text.lstrip("$ "))}
    for where, text in texts_used(config):
        if where.endswith("#_target_") and "." in text and not text.startswith(("$", "@")):
            names.add(text.partition(".")[0])
    steps = [step for part in PARTS for step in steps_of(config.get(part))]
    if any(kind_of(step).startswith(_NEED_SKIMAGE) for step in steps):
        names.add("skimage")
    return names


def _imported(statement: str) -> Iterator[str]:
    try:
        nodes = ast.parse(statement).body
    except SyntaxError:
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
