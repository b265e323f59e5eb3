"""Loads weights from a file into the network of a MONAI bundle, without running other code that the file may contain.

Training programs save weights in many forms.  Accepted are a dictionary that contains them under a usual name, numpy
numbers beside them, and a prefix that all names share.
"""

import argparse
import datetime
import pickle
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.weights_file import damaged_part, fault_in

_WRAPPINGS = ("model", "state_dict", "model_state_dict", "net", "network", "weights")
_MOST_NAMED = 3
_DEEPEST = 3
_DTYPES = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
_HARMLESS = [
    np.dtype,
    np.ndarray,
    *(kind for kind in _DTYPES if kind is not np.dtypes.ObjectDType),
    argparse.Namespace,
    datetime.datetime,
    datetime.timedelta,
]
"""Types that training programs save beside the weights; constructing them runs no foreign code."""

State = Mapping[str, torch.Tensor]


def load_weights(network: torch.nn.Module, path: Path, device: torch.device) -> None:
    """Load the weights in the file ``path`` into ``network``.  The first that fit under a usual name are used,
    otherwise the only ones that fit.  Raises InferenceError if the file is damaged or unsafe, if none or several fit,
    or if a weight is NaN or infinite.
    """
    require_undamaged(path)
    saved = _read(path, device)
    found = next(_fitting_states(network, _states(saved)), None)
    if found is None:
        found = _single_fit(network, saved)
    _require_finite(found)
    network.load_state_dict(found)


def _single_fit(network: torch.nn.Module, saved: object) -> State:
    """The one state (tensors by name) in ``saved`` that fits the network, under any name.  Raises InferenceError if
    none or several fit.
    """
    parts = saved if isinstance(saved, Mapping) else {}
    fitting = {
        str(name): list(_fitting_states(network, _all_states(part))) for name, part in parts.items()
    }
    found = [state for states in fitting.values() for state in states]
    if not found:
        raise InferenceError(f"Its weights do not fit its network: {_difference(network, saved)}.")
    if len(found) > 1:
        several = [name for name, states in fitting.items() if states]
        raise InferenceError(
            f"Its weights file holds weights that fit under {len(found)} names ({_first_names(several)}), and "
            f"none of them is a usual one: save the right ones alone, or as '{_WRAPPINGS[0]}'."
        )
    return found[0]


def require_undamaged(path: Path) -> None:
    """Raises InferenceError if the file is damaged or was not written by PyTorch."""
    if wrong := fault_in(path):
        raise InferenceError(wrong)
    if part := damaged_part(path):
        raise InferenceError(
            f"Its models/{path.name} is damaged (the checksum of '{part}' does not fit): fetch it again."
        )


def _read(path: Path, device: torch.device) -> object:
    """The content of the file: tensors, numbers, texts and containers of them.  Raises InferenceError if it is damaged,
    is TorchScript, or has other objects, which could run code; MemoryError if memory runs out.
    """
    try:
        with torch.serialization.safe_globals([*_HARMLESS, *_numpy_constructors()]):
            return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise InferenceError(_why_unreadable(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle raises errors of any kind
        if "TorchScript" in str(error):
            raise InferenceError(_scripted(path)) from error
        raise InferenceError(
            f"Its models/{path.name} is damaged or cut off, and cannot be read: fetch it again."
        ) from error


def _numpy_constructors() -> list[Any]:
    """Pairs of a function that a pickle calls to make a number or an array and the name by which it does so, in numpy 1
    and 2.
    """
    multiarray = import_module("numpy._core.multiarray")
    makers = {name: getattr(multiarray, name) for name in ("scalar", "_reconstruct")}
    places = ("numpy._core.multiarray", "numpy.core.multiarray")
    return [(maker, f"{place}.{name}") for name, maker in makers.items() for place in places]


def _why_unreadable(path: Path, error: str) -> str:
    try:
        objects = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged pickle raises errors of any kind
        objects = []
    known = {name for _, name in _numpy_constructors()}
    known |= {f"{kind.__module__}.{kind.__qualname__}" for kind in _HARMLESS}
    foreign = sorted(set(objects) - known)
    if "TorchScript" in error:
        return _scripted(path)
    if not foreign:
        return (
            f"Its models/{path.name} is damaged, cut off or holds more than weights, and cannot be read: "
            "fetch it again, or save the network's state_dict() alone."
        )
    return (
        f"Its models/{path.name} holds Python objects beside the weights ({_first_names(foreign)}), which could "
        "run any code, so it is not loaded: save the network's state_dict() alone."
    )


def _scripted(path: Path) -> str:
    return f"Its models/{path.name} holds TorchScript: name it model.ts."


def _fitting_states(network: torch.nn.Module, states: Iterable[State]) -> Iterator[State]:
    """Those of ``states`` (tensors by name) that have all tensors of ``network`` in the right sizes and no others.  A
    prefix that all names share is removed, so that they have the network's own names.
    """
    needed = network.state_dict()
    for state in states:
        for prefix in _prefixes(needed, state):
            own = {
                name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)
            }
            if not _wrong_names(needed, own) and not _wrong_shapes(needed, own):
                yield own


def _states(saved: object, depth: int = _DEEPEST) -> Iterator[State]:
    """The states (tensors by name) in ``saved``: ``saved`` itself if it has tensors, and those under the usual names."""
    if not isinstance(saved, Mapping):
        return
    tensors = {str(name): v for name, v in saved.items() if isinstance(v, torch.Tensor)}
    if tensors:
        yield tensors
    for name in _WRAPPINGS:
        if depth and name in saved:
            yield from _states(saved[name], depth - 1)


def _all_states(saved: object, depth: int = _DEEPEST) -> Iterator[State]:
    """The states (tensors by name) in ``saved`` and in all dictionaries within it, at most ``depth`` levels deep."""
    if not isinstance(saved, Mapping):
        return
    tensors = {str(name): v for name, v in saved.items() if isinstance(v, torch.Tensor)}
    if tensors:
        yield tensors
    for inner in saved.values() if depth else ():
        yield from _all_states(inner, depth - 1)


def _prefixes(needed: State, state: State) -> list[str]:
    """The prefixes that DataParallel, Lightning and torch.compile may have added to all names of ``state``, shortest
    first; "" among them if there is none.
    """
    first = next(iter(needed), "")
    return sorted({n.removesuffix(first) for n in state if n.endswith(first)}, key=len)


def _wrong_names(needed: State, state: State) -> list[str]:
    """Names that are in only one of ``needed`` and ``state``.  Counts of batches may be missing, as in torch, because
    older files lack them.
    """
    return sorted(
        name for name in needed.keys() ^ state.keys() if not name.endswith("num_batches_tracked")
    )


def _wrong_shapes(needed: State, state: State) -> list[str]:
    return [n for n, v in needed.items() if n in state and state[n].shape != v.shape]


def _difference(network: torch.nn.Module, saved: object) -> str:
    """How the state in ``saved`` that fits best differs from the network, as part of a sentence."""
    needed = network.state_dict()
    states = [
        {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
        for state in _all_states(saved)
        for prefix in ["", *_prefixes(needed, state)]
    ]
    if not states:
        return "the file holds no tensors under any name"
    best = max(states, key=lambda state: len(needed.keys() & state.keys()))
    if shapes := _wrong_shapes(needed, best):
        name = shapes[0]
        found, wanted = tuple(best[name].shape), tuple(needed[name].shape)
        return f"'{name}' has the size {found} instead of {wanted}"
    missing = [name for name in needed if name not in best]
    if missing:
        return f"{len(missing)} of its {len(needed)} tensors are missing ({_first_names(missing)})"
    unknown = [name for name in best if name not in needed]
    return f"the file holds {len(unknown)} tensors that it does not have ({_first_names(unknown)})"


def _first_names(names: list[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _require_finite(state: State) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InferenceError(
                f"Its weights have values that are not numbers (in '{name}'): fetch or train them again."
            )
