"""Draws the picture: panels of the planes side by side at one scale, the image in grey, and each label's outline in its
colour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.default_colours import Rgb
from dss_images.picture.colours import Palette
from dss_images.picture.letters import stamp
from dss_images.picture.planes import Plane
from dss_images.picture.png import png
from dss_images.picture.window import Window

Voxels = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

PANEL_PIXELS = 512
"""Length of the longest side of the largest panel, in pixels."""
_GAP_PIXELS = 8
_LEAST_PIXELS = 16


def draw_png(planes: Sequence[Plane], window: Window, colours: Mapping[int, Rgb]) -> bytes:
    """The picture of ``planes`` as the bytes of a PNG file.  ``colours`` are the colours of labels by value; a label
    without one gets its default colour.
    """
    pixel_mm = max(max(_extent_mm(plane)) for plane in planes) / PANEL_PIXELS
    labels = [label_pixels(plane, pixel_mm) for plane in planes]
    shown = sorted({int(value) for part in labels for value in np.unique(part)} - {0})
    palette = Palette(shown, colours)
    panels = [
        _panel(plane, part, pixel_mm, window, palette)
        for plane, part in zip(planes, labels, strict=True)
    ]
    return png(_side_by_side(panels, palette.sheet), palette.colours)


def label_pixels(plane: Plane, pixel_mm: float) -> Voxels:
    """The plane's labels (row, column) at the panel's resolution: each pixel has the label at its centre.

    A label that is at no pixel's centre is drawn too.  ``pixel_mm`` is the size of a pixel.
    """
    rows, columns = (
        _middles(n, s, pixel_mm) for n, s in zip(plane.labels.shape, plane.spacing_mm, strict=True)
    )
    nearest = [
        np.clip(np.floor(at + 0.5).astype(np.intp), 0, n - 1)
        for at, n in zip((rows, columns), plane.labels.shape, strict=True)
    ]
    pixels = plane.labels[np.ix_(*nearest)]
    for value in set(np.unique(plane.labels)) - set(np.unique(pixels)):
        _draw_thin_label(plane.labels == value, value, pixels)
    return pixels


def outlines(labels: Voxels) -> Voxels:
    """The outlines of the labels: their values along the borders, 0 elsewhere.

    A line has one pixel inside the label and, where no other label is, one pixel outside.  The edge of the picture is
    not a border.
    """
    lines = np.zeros_like(labels)
    for inner, outer in _neighbours():
        differ = labels[inner] != labels[outer]
        np.copyto(lines[outer], labels[inner], where=differ & (labels[outer] == 0))
    for inner, outer in _neighbours():  # a label's own side goes before that of a neighbour
        differ = (labels[inner] != labels[outer]) & (labels[inner] != 0)
        np.copyto(lines[inner], labels[inner], where=differ)
    return lines


def _neighbours() -> list[tuple[Any, Any]]:
    """For each of four directions, two index expressions: the first selects pixels, the second their neighbours."""
    every, before, after = slice(None), slice(None, -1), slice(1, None)
    pairs = [((before, every), (after, every)), ((every, before), (every, after))]
    return [p for a, b in pairs for p in ((a, b), (b, a))]


def _draw_thin_label(where: Voxels, value: int, pixels: Voxels) -> None:
    """Write the label ``value`` into ``pixels`` where it is in the plane (``where``).

    It is for a label so thin that no pixel's centre is in it.
    """
    rows, columns = np.nonzero(where)
    scale = np.array(pixels.shape) / where.shape
    pixels[(rows * scale[0]).astype(np.intp), (columns * scale[1]).astype(np.intp)] = value


def _panel(
    plane: Plane, labels: Voxels, pixel_mm: float, window: Window, palette: Palette
) -> Pixels:
    grey = window.shades(_grey_pixels(plane, pixel_mm), palette.greys)
    stamp(grey, plane.edges, palette.white)
    lines = outlines(labels)
    for value in np.unique(lines[lines != 0]):
        grey[lines == value] = palette.place(int(value))
    return grey


def _grey_pixels(plane: Plane, pixel_mm: float) -> Voxels:
    """The plane's image values (row, column) at the panel's resolution, interpolated linearly."""
    values = np.asarray(plane.grey, np.float32)
    for axis in (0, 1):
        n = values.shape[axis]
        at = np.clip(_middles(n, plane.spacing_mm[axis], pixel_mm), 0, n - 1)
        low = np.minimum(at.astype(np.intp), max(n - 2, 0))
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        lower, upper = values.take(low, axis), values.take(np.minimum(low + 1, n - 1), axis)
        values = lower * (1 - share) + upper * share
    return values


def _middles(count: int, spacing_mm: float, pixel_mm: float) -> npt.NDArray[np.float64]:
    """Positions of the pixels' centres along an axis of ``count`` voxels, in voxels from the first centre."""
    pixels = max(round(count * spacing_mm / pixel_mm), 1)
    return (np.arange(pixels) + 0.5) * count / pixels - 0.5


def _extent_mm(plane: Plane) -> tuple[float, float]:
    (rows, columns), (down, right) = plane.grey.shape, plane.spacing_mm
    return rows * down, columns * right


def _side_by_side(panels: Sequence[Pixels], sheet: int) -> Pixels:
    """The three panels side by side.  If the second and the third together are not higher than the first, as for a
    slab, they are placed one below the other.  ``sheet`` is the palette index of pixels outside the panels.
    """
    first, *others = map(_widened, panels)
    if sum(panel.shape[0] for panel in others) + _GAP_PIXELS <= first.shape[0]:
        return _joined([first, _joined(others, 0, sheet)], 1, sheet)
    return _joined([first, *others], 1, sheet)


def _joined(panels: Sequence[Pixels], axis: int, sheet: int) -> Pixels:
    """The panels one after the other along ``axis``, with gaps, each in the middle of the other axis."""
    across = 1 - axis
    most = max(panel.shape[across] for panel in panels)
    parts = [_padded(panel, across, most - panel.shape[across], sheet) for panel in panels]
    gap = np.full((_GAP_PIXELS, most) if axis == 0 else (most, _GAP_PIXELS), sheet, np.uint8)
    return np.concatenate([part for panel in parts for part in (panel, gap)][:-1], axis)


def _padded(panel: Pixels, axis: int, pixels: int, sheet: int) -> Pixels:
    before = pixels // 2
    widths = [(0, 0), (0, 0)]
    widths[axis] = (before, pixels - before)
    return np.pad(panel, widths, constant_values=sheet)


def _widened(panel: Pixels) -> Pixels:
    """``panel``, with black columns added at its right side until it is _LEAST_PIXELS wide."""
    missing = max(_LEAST_PIXELS - panel.shape[1], 0)
    return np.pad(panel, ((0, 0), (0, missing)))
