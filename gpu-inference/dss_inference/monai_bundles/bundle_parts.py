# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Makes the network, the transforms and the inferer of a MONAI bundle from its configuration.  This runs the bundle's
code, so only an administrator may install bundles.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser

from dss_inference.errors import InferenceError, innermost
from dss_inference.monai_bundles.config import used_parts
from dss_inference.monai_bundles.folder import BundleFolder
from dss_inference.monai_bundles.transform_lists import kind_of, steps_of
from dss_inference.monai_bundles.weights import load_weights, require_undamaged

_OWN_PACKAGE = "scripts"

warnings.filterwarnings("ignore", category=FutureWarning, module=r"monai\.utils\.")
"""MONAI warns its callers of future changes; here the callers are bundles of others."""


class ScriptedNetwork(torch.nn.Module):
    """A module that wraps the TorchScript network in the file ``path``, because TorchScript itself accepts no hooks.
    Raises RuntimeError if the file contains no network, ValueError if there is no such file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._inner: torch.nn.Module = torch.jit.load(path, map_location="cpu")

    def forward(self, images: torch.Tensor) -> object:
        return self._inner(images)


class BundleParts:
    """Makes the objects that a bundle's configuration describes (network, transforms, inferer or detector), each once.

    The constructor raises InferenceError if this process already uses another bundle with Python code of its own.
    """

    def __init__(self, folder: BundleFolder, device: str) -> None:
        self._folder = folder
        self._device = torch.device(device)
        _find_own_package(folder)
        needed = {
            name: folder.config[name] for name in folder.config if not _has_side_effects(name)
        }
        self._parser = ConfigParser(config=_with_channel_axis(needed))
        self._parser["bundle_root"] = str(folder.root)
        self._parser["device"] = f"$torch.device('{device}')"

    @property
    def image_key(self) -> str:
        return str(self._folder.config.get("image_key", "image"))

    def make(self, name: str) -> Any:
        """The object that the entry ``name`` of the configuration describes; a second call returns the same object.
        Raises InferenceError, with the cause in its sentence, if making it raises any error.
        """
        try:
            return self._parser.get_parsed_content(name)
        except Exception as error:  # the bundle's own code may raise anything
            why = innermost(error)
            raise InferenceError(
                f"The bundle '{self._folder.name}' cannot be used: its '{name}' fails with "
                f"{type(why).__name__}: {why}."
            ) from error

    def network(self) -> torch.nn.Module:
        """The network with its weights, on the device and in evaluation mode.  Raises InferenceError if the
        configuration does not give a network, or if the weights file is damaged, unsafe or does not fit the network.
        """
        if self._folder.weights.suffix == ".ts":
            self._naming_bundle(lambda: require_undamaged(self._folder.weights))
        network: torch.nn.Module = self.make("network").to(self._device)
        if not isinstance(network, ScriptedNetwork):
            self._naming_bundle(lambda: load_weights(network, self._folder.weights, self._device))
        return network.eval()

    def _naming_bundle(self, load: Callable[[], None]) -> None:
        """Call ``load``; if it raises InferenceError, raise one that names the bundle as well."""
        try:
            load()
        except InferenceError as error:
            raise InferenceError(
                f"The bundle '{self._folder.name}' cannot be used. {error}"
            ) from error


def _has_side_effects(name: str) -> bool:
    """True for the names of entries that load data, write files or run something when they are made; these are not
    used.
    """
    return name in {"dataset", "dataloader", "handlers", "evaluator", "initialize", "run"}


def _with_channel_axis(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration.  If no transform of the preprocessing has ``ChannelFirst`` in its class name, an
    EnsureChannelFirstd comes first: it adds the channel axis in front of the other axes, as MONAI's loader would.
    """
    if any("ChannelFirst" in kind_of(step) for step in steps_of(config["preprocessing"])):
        return config
    steps = config["preprocessing"]["transforms"]
    first = {"_target_": "EnsureChannelFirstd", "keys": config.get("image_key", "image")}
    return config | {"preprocessing": config["preprocessing"] | {"transforms": [first, *steps]}}


def _find_own_package(folder: BundleFolder) -> None:
    """Make the bundle's own Python package ``scripts`` importable, if it has one and its configuration uses it.  All
    bundles give it this name, so a process can use only one: raises InferenceError if that of another bundle is
    imported already.
    """
    if not (folder.root / _OWN_PACKAGE).is_dir() or not _calls_own_package(folder):
        return
    known = getattr(sys.modules.get(_OWN_PACKAGE), "__path__", [str(folder.root / _OWN_PACKAGE)])
    if str(folder.root / _OWN_PACKAGE) not in list(known):
        raise InferenceError(
            f"The bundle '{folder.name}' brings Python code of its own, as another bundle of this "
            f"worker does: serve it by a worker of its own (dss-inference serve --bundle {folder.name})."
        )
    sys.path.insert(0, str(folder.root))


def _calls_own_package(folder: BundleFolder) -> bool:
    return any(f"{_OWN_PACKAGE}." in str(folder.config.get(p)) for p in used_parts(folder.config))
