"""Estimates the orientation of the patient's body in the image, and rotates images so that the body is upright.

The method uses the skin: its normals are rarest along the body's long axis, and most frequent towards front and back.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.edge_chains import IN_SLICE
from dss_inference.lungs.view import Flags, T, Triple, View

Axes: TypeAlias = npt.NDArray[np.float64]
"""Array (3, 3) whose rows are the unit vectors of the body's axes z (to the head), y (to the back) and x (to the left),
as components along the image's (z, y, x).
"""

_SMOOTH_MM = 8.0
_AWAY = 5
"""Smallest distance in voxels between skin and padding: a surface nearer to padding is where the image ends, not skin.
"""
_BORDER = 3
_LEAST_SKIN, _LEAST_SKIN_CUT = 0.5, 1.2
"""Smallest number of voxels of skin, and of what lies within some 16 mm of it, for each voxel of the view's four sides,
from which the axes are estimated: 0.6 to 5 in a view that shows the body's outline, 0 to 0.45 in one that ends in the
body or is round.  The second value applies where the image cuts the body at its side: in a corner of a chest, 1.0, the
slant of what skin there is looked like a turn of 31 degrees.
"""
_MOST_ALONG = 0.7
_MOST_LEVEL, _MOST_LEVEL_CUT = 0.8, 0.2
"""Largest frequency of normals along the second axis of ``_normals``, divided by that along the third, at which the
rotation about the body's long axis is known.  The second value applies where the image cuts the body at its side.
"""
_LEAST_DEG, _LEAST_CUT_DEG, _MOST_DEG = 10.0, 20.0, 75.0
"""Rotations, in degrees, that are corrected: from the first value, or from the second where the image cuts the body at
its side and the estimate is less exact; up to the third.
"""
_Z, _Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
PADDING_HU = -1023
"""Voxels with this value or less are padding, without image."""


def pose_of(view: View, inside: Flags, *, shows_both_sides: bool) -> Axes | None:
    """The body's axes; None if they cannot be determined, or if their rotation against the image is too small or too
    large to be corrected.

    ``inside`` are the voxels (z, y, x) of air in the body.  ``shows_both_sides``: the image does not cut the body at its left or
    right.
    """
    weights, axes = _normals(view, inside, _LEAST_SKIN if shows_both_sides else _LEAST_SKIN_CUT)
    if axes is None:
        return None
    level = weights[1] < (_MOST_LEVEL if shows_both_sides else _MOST_LEVEL_CUT) * weights[2]
    along = weights[0] < _MOST_ALONG * weights[1]
    z = axes[0] if along else _across(_Z, axes[2]) if level else _Z
    y = axes[2] if level else _across(_Y, z)
    z, y = z * np.sign(z[0]), y * np.sign(y[1])
    body = np.array([z, y, np.cross(z, y)], np.float64)
    turn = np.degrees(np.arccos(np.clip((np.trace(body) - 1) / 2, -1, 1)))
    return body if (_LEAST_DEG if shows_both_sides else _LEAST_CUT_DEG) < turn < _MOST_DEG else None


def _across(
    vector: npt.NDArray[np.float64], axis: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The direction, a unit vector, of the component of ``vector`` that is perpendicular to the unit vector ``axis``."""
    part = vector - (vector @ axis) * axis
    return np.asarray(part / np.linalg.norm(part))


def _normals(
    view: View, inside: Flags, least_skin: float
) -> tuple[npt.NDArray[np.float64], Axes | None]:
    """The frequency of the skin's normals along three perpendicular axes, (3,) in rising order, and these axes as rows
    (3, 3) in the image's (z, y, x), without sign.  None instead of the axes if there is less skin than ``least_skin``,
    as in _LEAST_SKIN.

    Holes in a slice, such as the windpipe and blurred surfaces of lung, are filled, since their walls are no skin.
    """
    spacing_mm = np.array(view.spacing_mm)
    filled = ndi.binary_fill_holes((view.hu > -300) | inside, IN_SLICE)
    body = ndi.binary_opening(filled, iterations=2)
    label, count = ndi.label(body)
    if not count:
        return np.zeros(3), None
    body = label == np.bincount(label.ravel())[1:].argmax() + 1
    soft = ndi.gaussian_filter(body.astype(np.float32), _SMOOTH_MM * view.scale / spacing_mm)
    slopes = np.array(np.gradient(soft, *spacing_mm))
    skin = (slopes**2).sum(axis=0) > 1e-4
    skin &= ~ndi.binary_dilation(view.hu <= PADDING_HU, iterations=_AWAY)
    edge = np.zeros_like(skin)
    edge[(slice(_BORDER, -_BORDER),) * 3] = True
    found = slopes[:, skin & edge]
    slices, rows, columns = body.shape
    if found.shape[1] < least_skin * 2 * slices * (rows + columns):
        return np.zeros(3), None
    weights, axes = np.linalg.eigh(found @ found.T)
    return weights, axes.T


def upright(values: npt.NDArray[T], spacing_mm: Triple, axes: Axes, outside: int) -> npt.NDArray[T]:
    """``values`` (z, y, x) resampled along the body's ``axes`` by nearest neighbours, in an array large enough for all
    of them, with the value ``outside`` beyond the image.

    The new voxels are cubes with a side of ``cube_mm(spacing_mm)``.
    """
    cube = cube_mm(spacing_mm)
    size_mm = np.array(values.shape) * spacing_mm
    shape = tuple(np.ceil(np.abs(axes) @ size_mm / cube).astype(int).tolist())
    steps = (axes.T * cube) / np.array(spacing_mm)[:, None]
    middle = (np.array(values.shape) - 1) / 2
    shift = middle - steps @ ((np.array(shape) - 1) / 2)
    return ndi.affine_transform(  # type: ignore[call-overload, no-any-return]  # its stubs know no offset that is an array
        values, steps, shift, output_shape=shape, order=0, cval=outside
    )


def cube_mm(spacing_mm: Triple) -> float:
    """The side, in millimetres, of a cube with the volume of a voxel."""
    return float(np.prod(spacing_mm) ** (1 / 3))
