"""Determines from a MONAI segmentation bundle's metadata and configuration how its output channels become one label
map.  Loads no torch.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.postprocessing_steps import (
    HALF,
    LabellingSteps,
    labelling_steps,
    option_at,
    place_of_pred,
)
from dss_inference.monai_bundles.transform_lists import Config, saving_steps

_BACKGROUNDS = {"bg", "empty", "none", "nothing", "null", "other", "others", "outside", "rest"}
_UNLABELLED = ("background", "unlabeled", "unlabelled", "void")


class Rule(StrEnum):
    """The rule by which a voxel gets its label: that of the largest channel; of each channel that reaches a threshold,
    independently; or the value of the only channel.
    """

    LARGEST = "largest"
    INDEPENDENT = "independent"
    VALUES = "values"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """How the channels of a network become a label map.  ``labels`` are names by value in the label map, ``channel_of``
    is the channel of each value.

    ``why`` completes the sentence "One label map: ...".  ``activated``: the postprocessing applies a sigmoid or softmax
    before it compares the network's output with a threshold or with 0.5.  ``compares``: it takes an argmax or a
    softmax, which mean nothing for a single channel.
    """

    rule: Rule
    labels: dict[int, str]
    channel_of: dict[int, int]
    why: str
    activated: bool = False
    compares: bool = False

    @property
    def count(self) -> int:
        """The number of channels that the network should have according to the metadata."""
        return 1 if self.rule == Rule.VALUES else max(self.channel_of.values()) + 1

    @property
    def holds_labels(self) -> bool:
        """True if the network's one channel has the values of several labels, between which nothing may lie."""
        return self.rule == Rule.VALUES and len(self.labels) > 1


def names_of(channel_def: object) -> dict[int, str]:
    """Names by channel from the metadata's ``channel_def``, with the background; entries without a number are left out."""
    known = channel_def.items() if isinstance(channel_def, dict) else ()
    numbered = {int(value): str(name) for value, name in known if str(value).isdecimal()}
    return dict(sorted(numbered.items()))


def is_resampled_when_saved(config: Config) -> bool:
    """True if the postprocessing has a SaveImaged with ``resample`` for the network's answer: MONAI would bring it to
    the image's grid when it writes the file.
    """
    return any(
        (at := place_of_pred(step, config)) is not None
        and option_at(step.get("resample"), at, config) is True
        for step in saving_steps(config.get("postprocessing"))
    )


def is_background(name: str) -> bool:
    """True if ``name``, in upper or lower case, is a usual name of the background such as "bg", "none" or "other", or
    contains "background", "unlabeled" (also with two l) or "void".
    """
    plain = name.strip().lower()
    return plain in _BACKGROUNDS or any(word in plain for word in _UNLABELLED)


def channels_of(names: dict[int, str], count: int | None, config: Config) -> Channels:
    """How the ``count`` channels of a network, with ``names`` by channel, become labels; ``count`` is None if it is
    unknown.

    Raises InferenceError if metadata and configuration contradict each other or can be understood in several ways.
    """
    steps = labelling_steps(config)
    _require_one_order(steps)
    channels = _by_rule(names, count, steps)
    _require_labels_kept(steps, channels.labels)
    if channels.rule != Rule.VALUES:
        _require_counted(names)
    compares = steps.has("argmax") or steps.has("softmax")
    return replace(channels, activated=steps.activated, compares=compares)


def _by_rule(names: dict[int, str], count: int | None, steps: LabellingSteps) -> Channels:
    if steps.has("argmax"):
        return _largest(names, count, "its postprocessing takes the largest channel (argmax)")
    if steps.has("threshold"):
        return _independent(
            names, count, f"its postprocessing has a threshold of {steps.threshold}"
        )
    if steps.has("sigmoid"):
        return _independent(names, count, "its postprocessing has a sigmoid")
    if steps.has("softmax"):
        return _largest(names, count, "its postprocessing has a softmax")
    if steps.has("unknown"):
        raise InferenceError(
            "Its postprocessing has an Activationsd with a function (other) that is neither called sigmoid nor softmax: "
            "add AsDiscreted, with argmax if channels exclude each other, with a threshold if they are independent."
        )
    if count == 1:
        _require_background(names, "its one channel holds the values of the label map")
        labels = _without_background(names)
        why = "the network's one channel holds its values."
        return Channels(
            rule=Rule.VALUES, labels=labels, channel_of=dict.fromkeys(labels, 0), why=why
        )
    return _largest(names, count, "its postprocessing says nothing else")


def _require_one_order(steps: LabellingSteps) -> None:
    both = steps.has("argmax") and steps.has("threshold")
    if both and steps.order.index("threshold") < steps.order.index("argmax"):
        raise InferenceError(
            "Its postprocessing applies a threshold and then takes the largest channel (argmax), so that where "
            "several channels pass the first one wins: leave one of the two AsDiscreted out."
        )


def _require_labels_kept(steps: LabellingSteps, labels: dict[int, str]) -> None:
    """Raises InferenceError if several labels get other values than the metadata say: a transform renumbers them, or a
    threshold follows the argmax and turns every label into 1.  With ``to_onehot`` the labels are channels again, and
    kept.
    """
    if steps.has("renumbered") and len(labels) > 1:
        raise InferenceError(
            f"Its postprocessing changes the values of its {len(labels)} labels (MapLabelValued or LabelToMaskd), so that it "
            "is not known which name belongs to which value: leave that step out."
        )
    if not (steps.has("argmax") and steps.has("threshold")) or steps.has("to_onehot"):
        return
    if len(labels) > 1:
        raise InferenceError(
            "Its postprocessing takes the largest channel (argmax) and then applies a threshold, which makes one label of "
            f"all {len(labels)}: leave the threshold out."
        )


def _require_counted(names: dict[int, str]) -> None:
    numbers = sorted(names)
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        listed = ", ".join(map(str, numbers))
        raise InferenceError(
            f"Its metadata number the channels {listed}; channels are counted without gaps, so name each of them."
        )


def _largest(names: dict[int, str], count: int | None, reason: str) -> Channels:
    if count == 1:
        raise InferenceError(
            f"Its network has one channel, but {reason}; of one channel nothing would ever be found."
        )
    _require_background(names, f"{reason}, and gives every voxel to a channel")
    if 0 not in names and count is not None and count <= max(names):
        raise InferenceError(
            f"Its network has {count} channels, its metadata name {len(names)} and none of them is the background, "
            f"but {reason}, and gives every voxel to a channel: name channel 0, 'background' if it is that."
        )
    labels = _without_background(names)
    why = f"each voxel belongs to its largest channel, for {reason}; channel 0 is the background."
    return Channels(rule=Rule.LARGEST, labels=labels, channel_of={v: v for v in labels}, why=why)


def _require_background(names: dict[int, str], reason: str) -> None:
    if 0 in names and not is_background(names[0]):
        raise InferenceError(
            f"Its metadata call channel 0 '{names[0]}', but {reason}: call it 'background' if it is that; if "
            "channels are independent, its postprocessing needs Activationsd with sigmoid and AsDiscreted with a "
            "threshold."
        )


def _without_background(names: dict[int, str]) -> dict[int, str]:
    return {value: name for value, name in names.items() if value > 0}


def _independent(names: dict[int, str], count: int | None, reason: str) -> Channels:
    """How channels that may overlap become labels.  A label's value is its channel if channel 0 is the background,
    otherwise its channel plus one.  If channel 0 has no name, the value is the channel, too, unless the highest named
    number is ``count``, so that the names count from 1.  The only label of a network with one channel has channel 0.

    Raises InferenceError if names and ``count`` do not fit together.
    """
    labels, channel_of = _numbered(names, count)
    if count == 1 and len(labels) > 1:
        raise InferenceError(
            f"Its network has one channel and {reason}, which can tell one label from the background; its metadata "
            f"name {len(labels)} labels."
        )
    if len(labels) == 1 and count in (1, None):
        why = f"a voxel belongs to the label from {HALF} on, for {reason}."
        only = 0 if count == 1 else channel_of[min(labels)]
        channel_of = dict.fromkeys(labels, only)
    else:
        why = (
            f"the channels are independent, for {reason}; a voxel belongs to each label whose channel passes, where "
            "several do to the one that is smallest in this image, and where none does to the background."
        )
    return Channels(rule=Rule.INDEPENDENT, labels=labels, channel_of=channel_of, why=why)


def _numbered(names: dict[int, str], count: int | None) -> tuple[dict[int, str], dict[int, int]]:
    labels = _without_background(names)
    if 0 in names and is_background(names[0]):
        return labels, {value: value for value in labels}
    if 0 in names:
        shifted = {channel + 1: name for channel, name in names.items()}
        return shifted, {value: value - 1 for value in shifted}
    if count is None:
        raise InferenceError(
            "Its channels are independent, and its metadata name none with number 0: give num_channels, or name "
            "channel 0 ('background' if it is that)."
        )
    first = 1 if count == max(labels) else 0
    return labels, {value: value - first for value in labels}
