"""Finds the steps of a bundle's postprocessing that turn the network's channels into labels."""

from dataclasses import dataclass
from typing import Any

from dss_inference.monai_bundles.transform_lists import Config, kind_of, steps_of

HALF = 0.5
"""Probability from which on a voxel belongs to an independent channel."""
PRED = "pred"
"""The key of the network's output in the transforms of a bundle."""
_FUNCTIONS = ("sigmoid", "softmax", "argmax")
_DISCRETE = ("argmax", "to_onehot", "threshold")
_RENUMBERING = ("MapLabelValue", "LabelToMask")


@dataclass(frozen=True, kw_only=True)
class LabellingSteps:
    """The operations of the postprocessing on the channels: ``order`` has their names, first to last, such as argmax,
    threshold or sigmoid; "unknown" is any other function, "renumbered" a step that changes the labels' values.
    ``threshold`` is the value of the threshold, HALF if there is none.
    """

    order: tuple[str, ...]
    threshold: object

    def has(self, name: str) -> bool:
        return name in self.order

    @property
    def activated(self) -> bool:
        """True if a sigmoid, or a softmax together with a threshold, is applied and no argmax."""
        return not self.has("argmax") and (
            self.has("sigmoid") or (self.has("softmax") and self.has("threshold"))
        )


def labelling_steps(config: Config) -> LabellingSteps:
    order: list[str] = []
    threshold: object = HALF
    for step in steps_of(config.get("postprocessing")):
        kind = kind_of(step).removesuffix("ict").rstrip("dD")
        at = place_of_pred(step, config)
        if at is None:
            continue
        if kind == "Activations":
            order += [n for n in ("sigmoid", "softmax") if _is_set(step.get(n), at, config)]
            order += _named_function(step.get("other"), at, config)
        elif kind == "Lambda":
            order += [n for n in _FUNCTIONS if n in str(step.get("func", ""))]
        elif kind == "AsDiscrete":
            used = [n for n in _DISCRETE if _is_set(step.get(n), at, config)]
            if "threshold" in used:
                threshold = option_at(step.get("threshold"), at, config)
            order += used
        elif kind in _RENUMBERING:
            order.append("renumbered")
    return LabellingSteps(order=tuple(order), threshold=threshold)


def place_of_pred(step: dict[str, Any], config: Config) -> int | None:
    """The position, from 0, of the network's output among the keys of a transform; None if the transform does not use
    it.  A key given as Python code counts as the output.
    """
    keys = _plain(step.get("keys", PRED), config)
    if not isinstance(keys, list):
        return 0 if _plain(keys, config) == PRED or _is_code(keys) else None
    places = [i for i, key in enumerate(keys) if _plain(key, config) == PRED or _is_code(key)]
    return places[0] if places else None


def _is_code(value: object) -> bool:
    return isinstance(value, str) and value.startswith("$")


def _named_function(value: object, at: int, config: Config) -> list[str]:
    """The name of the function that a transform's option ``value`` gives as Python code, for its key number ``at``:
    sigmoid, softmax or unknown; [] if none is given.
    """
    function = option_at(value, at, config)
    if function is None:
        return []
    return [n for n in ("sigmoid", "softmax") if n in str(function).lower()] or ["unknown"]


def _is_set(value: object, at: int, config: Config) -> bool:
    """True if the option ``value`` of a transform is set for its key number ``at`` (from 0)."""
    one = option_at(value, at, config)
    return one is not None and one is not False


def option_at(value: object, at: int, config: Config) -> object:
    """The option ``value`` of a transform for its key number ``at`` (from 0).  An option is one value for all keys, or
    a list with one value for each; None if the list is too short.
    """
    plain = _plain(value, config)
    if isinstance(plain, list):
        return _plain(plain[at], config) if at < len(plain) else None
    return plain


def _plain(value: object, config: Config) -> object:
    """``value`` itself or, if it is a reference ("@name"), the value of the entry of the configuration that it refers
    to, None if there is no such entry.
    """
    if isinstance(value, str) and value.startswith("@"):
        return config.get(value[1:])
    return value
