"""Compares the signs that the image itself is wrong with limits, and flags what they show."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.doubts import Flag
from dss_inference.lungs.image_signs import ImageSigns
from dss_inference.lungs.slice_order import disorder

MOST_JUMP = 2.2
"""Largest accepted ``jump`` in ``ImageSigns``: up to 1.3 in health, 2.4 where 12 mm are missing."""
LEAST_TALL, MOST_TALL = 0.6, 1.6
"""Smallest and largest accepted ``tall`` in ``ImageSigns``: 0.8 to 1.2 in inspiration, and the half or the double of
this if the spacing of the slices is wrong by 2.
"""
MOST_DISORDER = 1.15
"""Largest accepted ``disorder`` of an image: below 1 in a body, 1 in noise."""
LEAST_HEART = -0.012
"""Smallest accepted ``heart`` in ``ImageSigns``: 0.02 or more in health, and the negative of this in a mirrored image."""


def is_mixed(hu: npt.NDArray[np.int16]) -> bool:
    """True if the slices of ``hu`` (z, y, x), the image in LPS order and its own resolution, are those of two places in
    turn.
    """
    return disorder(hu) > MOST_DISORDER


def image_flags(signs: ImageSigns, hu: npt.NDArray[np.int16]) -> Iterator[Flag]:
    """The flags of all ``signs`` that exceed their limits, and of the order of the slices of ``hu`` (z, y, x), the image in
    LPS order and its own resolution.
    """
    if is_mixed(hu):
        text = (
            "Every second slice is more like the next but one than like its neighbour: slices of two places may be mixed, "
            "and volumes may be wrong."
        )
        yield Flag(code="slices_mixed", text=text)
    if signs.jump > MOST_JUMP:
        text = (
            f"Between two slices the image changes {signs.jump:.1f} times as much as around them: slices may be missing, "
            "repeated or out of order, or the patient breathed. Volumes may be wrong."
        )
        yield Flag(code="slices_jump", text=text)
    if signs.tall is not None and (
        signs.tall > MOST_TALL or (signs.is_whole and signs.tall < LEAST_TALL)
    ):
        text = (
            f"The lungs are {signs.tall:.2f} times as high as wide, which is unusual (0.8 to 1.2): if the spacing of the "
            "slices is wrong, the volumes are wrong by the same factor."
        )
        yield Flag(code="height_unusual", text=text)
    yield from _orientation_flags(signs)


def _orientation_flags(signs: ImageSigns) -> Iterator[Flag]:
    if signs.spine_in_front:
        text = (
            "The spine lies in front of the lungs by the orientation that the image states: this orientation is "
            "wrong, and left and right may be exchanged."
        )
        yield Flag(code="spine_in_front", text=text)
    elif signs.heart is not None and signs.heart < LEAST_HEART:
        text = (
            "The heart lies to the right: the image may be mirrored, and left and right exchanged. Otherwise the heart "
            "is displaced or lies so from birth."
        )
        yield Flag(code="heart_to_right", text=text)
