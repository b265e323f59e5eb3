"""Groups the dark parts of axial slices that touch the edge of the image or padding into chains, from slice to slice.
``air`` decides which chains are air outside the body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError

from dss_inference.lungs.view import Flags

Labels: TypeAlias = npt.NDArray[np.integer]

IN_SLICE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))], bool)
_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A group of parts of consecutive slices, each overlapping the next, that touch the edge of the image or padding.

    ``parts`` are the parts' numbers in the label array.  ``area`` is in voxels.  ``solidity`` is the area divided by
    that of the convex hulls: near 1 for sections of a lung, small for air around a body.  ``corner`` and ``across`` are
    fractions of the area: of parts that contain a corner of the slice, and of parts that contain both corners of its
    front or back edge.  ``slices`` is the number of slices from the first to the last.  ``sameness`` compares the
    first, middle and last section: 1 if they are equal, as those of a table are.
    """

    parts: tuple[int, ...]
    area: float
    solidity: float
    corner: float
    across: float
    slices: int
    sameness: float


def labelled(flags: Flags) -> tuple[Labels, int]:
    """Label the connected parts of each slice (axis z) separately.  Returns an array (z, y, x) with 0 for the
    background and numbers that rise from slice to slice, and the number of parts.
    """
    label, count = ndi.label(flags, IN_SLICE)
    return label, int(count)


def parts_at_edge(label: Labels, padding: Flags) -> list[int]:
    """The labels of the parts that touch the side of a slice or the ``padding``; ``label`` is the array of
    ``labelled``.
    """
    sides = (label[:, 0], label[:, -1], label[:, :, 0], label[:, :, -1])
    ends = [side.ravel() for side in sides]
    if padding.any():
        ends.append(label[ndi.binary_dilation(padding, IN_SLICE) & (label > 0)])
    return [int(i) for i in np.unique(np.concatenate(ends)) if i]


def chains_of(label: Labels, at_edge: list[int]) -> Iterator[Chain]:
    """Link the parts of neighbouring slices that overlap by at least half of the smaller part and whose labels are in
    ``at_edge``.  Yields one Chain for each group of linked parts, also for a single part.
    """
    if not at_edge:
        return
    boxes = ndi.find_objects(label)
    corners = {int(i) for i in np.unique(label[:, [0, 0, -1, -1], [0, -1, 0, -1]])}
    across = {int(i) for y in (0, -1) for i in label[label[:, y, 0] == label[:, y, -1], y, 0]}
    areas = np.bincount(label.ravel(), minlength=len(boxes) + 1)
    hulls = {i: _hull_area(label[boxes[i - 1]][0] == i) for i in at_edge}
    for parts in _linked(label, at_edge, areas):
        area = float(areas[parts].sum())
        yield Chain(
            parts=tuple(parts),
            area=area,
            solidity=area / max(sum(hulls[i] for i in parts), area),
            corner=float(areas[[i for i in parts if i in corners]].sum()) / area,
            across=float(areas[[i for i in parts if i in across]].sum()) / area,
            slices=boxes[parts[-1] - 1][0].stop - boxes[parts[0] - 1][0].start,
            sameness=_sameness(label, parts, boxes),
        )


def _sameness(label: Labels, parts: list[int], boxes: list[tuple[slice, ...]]) -> float:
    """The smaller one of two overlaps (intersection over union, 0..1): of the first and the middle section, and of the
    middle and the last section.  Relies on labels that rise from slice to slice.
    """
    ends = [boxes[parts[i] - 1][0].start for i in (0, len(parts) // 2, -1)]
    first, middle, last = (np.isin(label[z], parts) for z in ends)
    pairs = ((first, middle), (middle, last))
    return min(float((a & b).sum()) / float((a | b).sum()) for a, b in pairs)


def _hull_area(part: Flags) -> float:
    """Area of the part's convex hull in pixels, measured at the pixels' corners, or the number of its pixels if the
    hull cannot be computed; ``part`` is flags (y, x) of one slice.
    """
    rows = np.flatnonzero(part.any(axis=1))
    first, last = part[rows].argmax(axis=1), part.shape[1] - part[rows][:, ::-1].argmax(axis=1)
    ends = [(rows + dy, x) for dy in (0, 1) for x in (first, last)]
    points = np.concatenate([np.stack(pair, axis=1) for pair in ends])
    try:
        return float(ConvexHull(points).volume)
    except QhullError:
        return float(part.sum())


def _linked(label: Labels, at_edge: list[int], areas: Labels) -> list[list[int]]:
    number = np.zeros(int(label.max()) + 1, np.int64)
    number[at_edge] = np.arange(1, len(at_edge) + 1)
    numbers = number[label]
    pairs = [_pairs(below, above, areas[at_edge]) for below, above in pairwise(numbers)]
    first, second = np.concatenate(pairs or [np.zeros((2, 0), np.int64)], axis=1)
    graph = coo_array((np.ones(first.size), (first, second)), shape=(len(at_edge), len(at_edge)))
    count, member = connected_components(graph, directed=False)
    groups: list[list[int]] = [[] for _ in range(count)]
    for value, group in zip(at_edge, member, strict=True):
        groups[group].append(value)
    return groups


def _pairs(below: Labels, above: Labels, areas: Labels) -> Labels:
    """Array (2, pairs) of overlapping parts of two neighbouring slices, as positions from 0 in the list of labels.
    The overlap is at least _OVERLAP of the smaller part.

    ``below`` and ``above``, (y, x), hold positions from 1, and 0 elsewhere; ``areas`` are by position.
    """
    both = (below > 0) & (above > 0)
    keys = below[both] * (areas.size + 1) + above[both]
    values, counts = np.unique(keys, return_counts=True)
    one, other = np.divmod(values, areas.size + 1)
    linked = counts >= _OVERLAP * np.minimum(areas[one - 1], areas[other - 1])
    return np.stack([one[linked] - 1, other[linked] - 1])
