"""Draws the letters of the patient's sides (R, L, A, P, S, I) at the edges of a panel, without a font."""

import numpy as np
import numpy.typing as npt

_GLYPHS = {
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "A": (".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "P": ("####.", "#...#", "#...#", "####.", "#....", "#....", "#...."),
    "S": (".####", "#....", "#....", ".###.", "....#", "....#", "####."),
    "I": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "#####"),
}
_SCALE = 2
_MARGIN = 3


def stamp(pixels: npt.NDArray[np.uint8], edges: str, white: int) -> None:
    """Draw the four letters ``edges`` into ``pixels``, at the left, right, upper and lower side, if there is room.

    ``white`` is the index of white in the palette.
    """
    left, right, upper, lower = (_drawn(letter, white) for letter in edges)
    height, width = left.shape
    rows, columns = pixels.shape
    if rows < 6 * height or columns < 6 * width:
        return
    middle, centre = (rows - height) // 2, (columns - width) // 2
    places = (
        (left, middle, _MARGIN),
        (right, middle, columns - width - _MARGIN),
        (upper, _MARGIN, centre),
        (lower, rows - height - _MARGIN, centre),
    )
    for glyph, top, begin in places:
        pixels[top : top + height, begin : begin + width] = glyph


def _drawn(letter: str, white: int) -> npt.NDArray[np.uint8]:
    """The pixels of a letter in white on black, with a black border."""
    dots = np.array([[dot == "#" for dot in row] for row in _GLYPHS[letter]], np.uint8) * white
    return np.pad(np.kron(dots.astype(np.uint8), np.ones((_SCALE, _SCALE), np.uint8)), _SCALE)
