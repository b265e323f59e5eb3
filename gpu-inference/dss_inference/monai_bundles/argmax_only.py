# mypy: allow-untyped-calls
# (MONAI ships no types)
"""Whether a bundle's postprocessing needs all channels, and what is left of it if it does not."""

import copy
from typing import Any

from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd

_CHOOSING = (Activationsd, AsDiscreted)


def needs_only_winners(postprocess: Compose) -> bool:
    """True if all that it does with the channels is to look for the largest."""
    discrete = [step for step in postprocess.transforms if isinstance(step, AsDiscreted)]
    others = [step for step in discrete if not all(step.argmax) or any(step.threshold)]
    sigmoid = any(
        any(step.sigmoid) for step in postprocess.transforms if isinstance(step, Activationsd)
    )
    return not others and not sigmoid


def for_winners(postprocess: Compose) -> Compose:
    """The steps that are left when the largest channel is known; numbers are never interpolated."""
    return Compose([_nearest(s) for s in postprocess.transforms if not isinstance(s, _CHOOSING)])


def _nearest(step: Any) -> Any:
    if not isinstance(step, Invertd):
        return step
    nearest = copy.copy(step)
    nearest.nearest_interp = (True,) * len(step.keys)
    return nearest
