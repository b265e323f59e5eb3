# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""Recognises postprocessing that needs only the index of the largest channel, not all channels."""

from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from monai.transforms.transform import Transform

from dss_inference.monai_bundles.monai_patches import with_nearest_interpolation

_CHANNEL_STEPS = (Activationsd, AsDiscreted)


def needs_only_argmax(postprocess: Compose) -> bool:
    """True if the postprocessing uses only the index of the largest channel."""
    discrete = [step for step in postprocess.transforms if isinstance(step, AsDiscreted)]
    others = [step for step in discrete if not all(step.argmax) or any(step.threshold)]
    sigmoid = any(
        any(step.sigmoid) for step in postprocess.transforms if isinstance(step, Activationsd)
    )
    return not others and not sigmoid


def without_argmax(postprocess: Compose) -> Compose:
    """The postprocessing without activation and argmax; inversion uses the nearest value, since labels must not be
    interpolated.
    """
    return Compose(
        [_nearest(s) for s in postprocess.transforms if not isinstance(s, _CHANNEL_STEPS)]
    )


def _nearest(step: Transform) -> Transform:
    return with_nearest_interpolation(step) if isinstance(step, Invertd) else step
