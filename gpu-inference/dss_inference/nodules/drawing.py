"""Candidates as a label map in the image's own voxels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, Triple
from dss_inference.nodules.candidates import Candidate
from dss_inference.nodules.lungspace import LungSpace

_REACH = 1.35
"""Bumps may stand out so far; vessels that lead away are cut."""


def drawn(
    candidates: Sequence[Candidate],
    space: LungSpace,
    hu: npt.NDArray[np.int16],
    spacing_mm: Triple,
) -> npt.NDArray[np.uint8]:
    """1 for the first candidate, 2 for the second, ...; every one has a core of voxels, however faint."""
    labels = np.zeros(hu.shape, np.uint8)
    for value, candidate in reversed(list(enumerate(candidates, start=1))):
        box, part = _part(candidate, space, hu, spacing_mm)
        labels[box][part] = value
    return labels


def _part(
    candidate: Candidate, space: LungSpace, hu: npt.NDArray[np.int16], spacing_mm: Triple
) -> tuple[tuple[slice, ...], Flags]:
    """A box of the image, and which of its voxels are the candidate's."""
    centre = space.in_image(candidate.shape.centre)
    radius_mm = candidate.shape.radius_mm
    box = tuple(
        slice(max(0, int(c - _REACH * radius_mm / s)), int(c + _REACH * radius_mm / s) + 2)
        for c, s in zip(centre, spacing_mm, strict=True)
    )
    away_mm = _away_mm(hu[box].shape, centre - [b.start for b in box], spacing_mm)
    bright = (hu[box] > candidate.shape.edge_hu) & (away_mm <= _REACH * radius_mm)
    core = away_mm <= max(0.5 * radius_mm, float(away_mm.min()))
    found, _ = ndi.label(bright | core)
    return box, ndi.binary_fill_holes(found == found[core][0])


def _away_mm(
    shape: tuple[int, ...], centre: npt.NDArray[np.float64], spacing_mm: Triple
) -> npt.NDArray[np.float64]:
    """The distance of each voxel from ``centre``."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    squares = [((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing_mm, strict=True)]
    return np.asarray(np.sqrt(sum(squares)), np.float64)
