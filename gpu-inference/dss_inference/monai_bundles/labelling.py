"""Makes a label map from the channels that a MONAI bundle's postprocessing returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dss_inference.ct.counting import voxels_by_value
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import MOST_LABELS
from dss_inference.monai_bundles.network_watch import NOT_NUMBERS
from dss_inference.monai_bundles.output_channels import Channels, Rule
from dss_inference.monai_bundles.postprocessing_steps import HALF

if TYPE_CHECKING:
    import torch

_OVERLAP = 0.02
"""Probabilities that exclude each other may have a sum up to 1 plus this, because of interpolation and half precision.
"""
_ROUNDING = 1e-3
"""Tolerance for interpolated values: of a probability beyond 0..1, and of a label beside an integer."""

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """A label map.  ``voxels`` are (z, y, x); ``hidden`` is, by label, the number of voxels that belong to it but are
    shown as another label that has fewer voxels; labels without such voxels are left out.
    """

    voxels: Labels
    hidden: dict[int, int]


def label_map(
    pred: "torch.Tensor | npt.NDArray[Any]",
    channels: Channels,
    network_channels: int,
    shape: tuple[int, ...],
    seen: Flags | None = None,
) -> LabelMap:
    """Make the label map from ``pred`` (c, x, y, z), the postprocessed output of a network with ``network_channels``
    channels.
    ``channels`` is how they become labels; ``shape`` (z, y, x) is that of the image.  If the postprocessing made one
    channel of several, its values are the labels.  Voxels outside ``seen`` (x, y, z) get no label; None: all are seen.

    Raises InferenceError if the values do not determine the labels, a label has no name, or ``pred`` has another size
    than the image.
    """
    array = np.asarray(pred)
    if not np.isfinite(array).all():
        raise InferenceError(NOT_NUMBERS)
    merged = len(array) == 1 and network_channels > 1  # merged by the bundle's own postprocessing
    hidden: dict[int, int] = {}
    if channels.rule == Rule.INDEPENDENT and not merged:
        found, hidden = _passing(array, channels, seen)
    else:
        _require_same_values(channels, merged=merged)
        _require_apart(array)
        if merged:
            _require_integers(array[0], several=len(channels.labels) > 1)
        found = _values(array)
        found = found if seen is None else np.where(seen, found, np.uint8(0))
        _require_named(found, channels)
    voxels = np.ascontiguousarray(found.transpose(2, 1, 0))
    if voxels.shape != shape:
        raise InferenceError("The bundle's answer does not have the size of the image.")
    return LabelMap(voxels=voxels, hidden=hidden)


def require_all_channels(channels: int, network_channels: int) -> None:
    """Raises InferenceError if a step of the postprocessing leaves several of the ``network_channels`` channels of the
    network, but not all, because the number of a channel is its label.
    """
    if 1 < channels < network_channels:
        raise InferenceError(
            f"The bundle's postprocessing leaves {channels} of the network's {network_channels} channels, so that it is not known "
            "which channel is which label: keep all of them."
        )


def _require_same_values(channels: Channels, *, merged: bool) -> None:
    if merged and any(value != channel for value, channel in channels.channel_of.items()):
        raise InferenceError(
            "The bundle's postprocessing makes one channel of several, and its metadata name no background, so "
            "that it is not known which value is which label: name channel 0 'background' and count from 1."
        )


def _require_named(found: Labels, channels: Channels) -> None:
    """Raises InferenceError if ``found`` has a label that the metadata do not name."""
    unnamed = sorted(set(np.unique(found).tolist()) - {0, *channels.labels})
    if unnamed:
        raise InferenceError(
            f"The bundle answers with the label {unnamed[0]}, which its metadata do not name (channel_def)."
        )


def _require_integers(values: Floats, *, several: bool) -> None:
    """Raises InferenceError if a value is no integer, and the bundle has ``several`` labels or the largest value is
    above 1, because then labels were interpolated: the mean of 0 and 2 is 1, another label; or a probability of one
    label was left of all.  With one label between 0 and 1 rounding is right.
    """
    if (several or values.max() > 1 + _ROUNDING) and any(
        np.abs(plane - np.rint(plane)).max() > _ROUNDING for plane in values
    ):
        raise InferenceError(
            "The bundle's postprocessing gives values between its labels, since it goes back to the image's grid after the "
            "largest channel is taken, or keeps one channel of several: its Invertd needs nearest_interp true, or its place "
            "before that; and no channel may be left out."
        )


def require_not_activated(lowest: float, highest: float, channels: Channels) -> None:
    """Raises InferenceError if the postprocessing would apply a sigmoid or softmax to values that are probabilities
    already.

    ``lowest`` and ``highest`` are the smallest and the largest value of the network's output.  If all logits of an
    image were between 0 and 1, a sigmoid would put every voxel into every label.
    """
    if channels.activated and lowest >= 0 and highest <= 1:
        raise InferenceError(
            f"The bundle's network answers with values from {lowest:g} to {highest:g}, which are probabilities already, "
            "and its postprocessing applies a sigmoid or softmax again: leave its Activationsd out."
        )


def _require_apart(array: Floats) -> None:
    """Raises InferenceError if the label is to be the largest channel, but the channels are probabilities that do not
    exclude each other: their sum exceeds 1.
    """
    if len(array) == 1 or array.min() < -_ROUNDING or array.max() > 1 + _ROUNDING:
        return
    if float(array.sum(axis=0).max()) > 1 + _OVERLAP:
        raise InferenceError(
            "The channels that the bundle's postprocessing gives overlap, so they are independent, but nothing in it says "
            "so: add AsDiscreted, with a threshold if each may hold a label, with argmax if the largest is to win."
        )


def _values(array: Floats) -> Labels:
    """The labels (x, y, z) of ``array`` (c, x, y, z): the rounded values of a single channel, or otherwise the number
    of the largest channel, from 0.  Raises InferenceError if a label is below 0 or above MOST_LABELS.
    """
    values = array[0] if len(array) == 1 else array.argmax(0)
    lowest, highest = values.min(), values.max()
    if lowest < 0 or highest.round() > MOST_LABELS:
        raise InferenceError(
            f"The bundle answers with values from {lowest:g} to {highest:g}; labels go from 0 to {MOST_LABELS}."
        )
    return np.asarray(values.round(), np.uint8)


def _passing(
    array: Floats, channels: Channels, seen: Flags | None
) -> tuple[Labels, dict[int, int]]:
    """Two results: the label of each voxel in ``seen`` whose channel reaches the threshold, where labels with fewer voxels are
    drawn over those with more; and, by label, the number of voxels that are covered by other labels.  A single channel
    is that of every label.  Raises InferenceError if values are not in 0..1.
    """
    _require_probabilities(array)
    only = len(array) == 1
    inside: Flags | np.bool_ = np.True_ if seen is None else seen
    passes = {v: (array[0 if only else c] >= HALF) & inside for v, c in channels.channel_of.items()}
    counts = {value: int(np.count_nonzero(flags)) for value, flags in passes.items()}
    found = np.zeros(array.shape[1:], np.uint8)
    for value in sorted(counts, key=lambda v: (-counts[v], v)):
        found[passes[value]] = value
    shown = voxels_by_value(found)
    return found, {v: n - int(shown[v]) for v, n in counts.items() if n > shown[v]}


def _require_probabilities(array: Floats) -> None:
    lowest, highest = float(array.min()), float(array.max())
    if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise InferenceError(
            f"The bundle answers with values from {lowest:g} to {highest:g}; its channels are independent, and "
            "probabilities from 0 to 1 are needed: its postprocessing needs a sigmoid or a threshold."
        )
