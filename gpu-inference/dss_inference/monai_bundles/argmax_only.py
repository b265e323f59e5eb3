# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Recognises whether a MONAI bundle's postprocessing only takes the largest channel, and keeps postprocessing from
interpolating between labels.
"""

from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from monai.transforms.transform import Transform
from monai.transforms.utility.dictionary import EnsureTyped

from dss_inference.monai_bundles.monai_patches import with_nearest_interpolation

_CHANNEL_STEPS = (Activationsd, AsDiscreted)


def needs_only_argmax(postprocess: Compose) -> bool:
    """True if the first AsDiscreted of ``postprocess``, a Compose without nested ones, takes the largest channel and
    has no threshold, if only Invertd, Activationsd without sigmoid and EnsureTyped precede it, and if no Activationsd
    or AsDiscreted follows; if it makes channels of the labels (``to_onehot``), only Invertd and EnsureTyped may
    follow.  ``without_argmax`` then gives the same labels.  True without an AsDiscreted.
    """
    steps = list(postprocess.transforms)
    for number, step in enumerate(steps):
        if isinstance(step, AsDiscreted):
            rest = steps[number + 1 :]
            alone = not any(isinstance(later, _CHANNEL_STEPS) for later in rest)
            if any(step.to_onehot):
                alone = all(isinstance(later, Invertd | EnsureTyped) for later in rest)
            return alone and all(step.argmax) and not any(step.threshold)
        if not isinstance(step, Invertd | Activationsd | EnsureTyped) or _is_sigmoid(step):
            return False
    return True


def _is_sigmoid(step: Transform) -> bool:
    return isinstance(step, Activationsd) and any((*step.sigmoid, *step.other))


def inverts(postprocess: Compose) -> bool:
    """True if the postprocessing resamples the network's output back to the image's grid."""
    return any(isinstance(step, Invertd) for step in postprocess.transforms)


def without_argmax(postprocess: Compose) -> Compose:
    """The postprocessing without its Activationsd and AsDiscreted, for an output that already is the argmax.  Each
    Invertd uses nearest-neighbour interpolation, because labels must not be averaged.
    """
    return Compose(
        [_nearest(s) for s in postprocess.transforms if not isinstance(s, _CHANNEL_STEPS)]
    )


def without_interpolated_labels(postprocess: Compose, *, from_start: bool) -> Compose:
    """The postprocessing, with nearest-neighbour interpolation in each inversion after an argmax, or in all of them if
    the network itself answers with labels (``from_start``).  Otherwise the mean of the labels 0 and 2 would be the
    unrelated label 1.
    """
    steps: list[Transform] = []
    for step in postprocess.transforms:
        labelled = from_start or any(isinstance(s, AsDiscreted) and any(s.argmax) for s in steps)
        steps.append(_nearest(step) if labelled else step)
    return Compose(steps)


def _nearest(step: Transform) -> Transform:
    return with_nearest_interpolation(step) if isinstance(step, Invertd) else step
