# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Recognises postprocessing that takes the largest channel, and keeps its labels from being interpolated."""

from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from monai.transforms.transform import Transform
from monai.transforms.utility.dictionary import EnsureTyped

from dss_inference.monai_bundles.monai_patches import with_nearest_interpolation

_CHANNEL_STEPS = (Activationsd, AsDiscreted)


def needs_only_argmax(postprocess: Compose) -> bool:
    """True if the postprocessing takes the largest channel, what it does before needs no channels, and no step after
    it would be left out by ``without_argmax``.
    """
    steps = list(postprocess.transforms)
    for number, step in enumerate(steps):
        if isinstance(step, AsDiscreted):
            rest = steps[number + 1 :]
            alone = not any(isinstance(later, _CHANNEL_STEPS) for later in rest)
            return alone and all(step.argmax) and not any(step.threshold)
        if not isinstance(step, Invertd | Activationsd | EnsureTyped) or _is_sigmoid(step):
            return False
    return True


def _is_sigmoid(step: Transform) -> bool:
    return isinstance(step, Activationsd) and any((*step.sigmoid, *step.other))


def inverts(postprocess: Compose) -> bool:
    """True if the postprocessing goes back to the image's grid."""
    return any(isinstance(step, Invertd) for step in postprocess.transforms)


def without_argmax(postprocess: Compose) -> Compose:
    """The postprocessing without activation and argmax; inversion uses the nearest value, since labels must not be
    interpolated.
    """
    return Compose(
        [_nearest(s) for s in postprocess.transforms if not isinstance(s, _CHANNEL_STEPS)]
    )


def without_interpolated_labels(postprocess: Compose) -> Compose:
    """The postprocessing; an inversion after an argmax uses the nearest value, since the value
    half-way between the labels 0 and 2 would be the unrelated label 1.
    """
    steps: list[Transform] = []
    for step in postprocess.transforms:
        labelled = any(isinstance(s, AsDiscreted) and any(s.argmax) for s in steps)
        steps.append(_nearest(step) if labelled else step)
    return Compose(steps)


def _nearest(step: Transform) -> Transform:
    return with_nearest_interpolation(step) if isinstance(step, Invertd) else step
