"""Chooses a colour for labels that have none."""

from colorsys import hsv_to_rgb
from typing import TypeAlias

Rgb: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0..255."""

_GOLDEN_RATIO = 0.618034
"""Step on the colour circle from one label value to the next, as a fraction of the circle."""


def default_colour(value: int) -> Rgb:
    """The colour of the label ``value``: always the same for a value, and clearly different for neighbouring values."""
    red, green, blue = hsv_to_rgb(value * _GOLDEN_RATIO % 1.0, 0.6, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)
