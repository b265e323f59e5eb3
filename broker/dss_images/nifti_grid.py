"""Reads the grid of an image from a NIfTI header: its qform, its sform, and spacing alone."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images import refusals
from dss_images.grid import FileGrid, Grid, apart_mm, grid_from
from dss_images.header import Format
from dss_images.requirements import require_grid

_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_PRECISION = 1e-3
"""Largest relative error of a rotation that is stored as three single-precision numbers."""
Record = Any
"""A NIfTI header as a numpy record, with the fields that ``nifti`` reads."""


def grid_of_record(record: Record, size: list[int]) -> FileGrid:
    """The grid by the sform or, if there is none, by the qform.

    Raises ImageRefused if there is neither, a quaternion is no rotation, or the unit is unknown; with three axes or
    more, also if sform, qform and pixdim contradict each other, or spacing or axes are unusable.
    """
    scale = _MM.get(int(record["xyzt_units"]) & 7)
    if scale is None:
        raise refusals.unknown_unit(f"xyzt_units {int(record['xyzt_units']) & 7}")
    frame_spacing = abs(float(record["pixdim"][4])) or 1.0
    frame_spacing = frame_spacing if math.isfinite(frame_spacing) else 1.0
    forms = [_sform(record)] if int(record["sform_code"]) > 0 else []
    forms += [_qform(record)] if int(record["qform_code"]) > 0 else []
    if not forms:
        raise refusals.unknown_orientation("its qform and its sform are not set")
    grids = [_grid_of(form * scale, size, frame_spacing) for form in forms]
    if len(size) > 2:
        for grid in grids:
            require_grid(grid)
        if int(record["sform_code"]) > 0:
            _require_one_spacing(record, grids[0], scale)
        if len(grids) == 2:
            _require_agreement(grids[0].volume, grids[1].volume)
    return grids[0]


def _grid_of(form: npt.NDArray[np.float64], size: list[int], frame_spacing: float) -> FileGrid:
    """The grid, in LPS, that ``form`` describes: a matrix (3, 4) from a voxel index to RAS, in millimetres.

    ``frame_spacing`` is the spacing of time points.
    """
    with np.errstate(invalid="ignore"):  # NaN is refused later
        lps = _RAS_TO_LPS @ form
    steps = lps[:, : min(3, len(size))]
    return grid_from(size, steps, [float(x) for x in lps[:, 3]], frame_spacing)


def _sform(record: Record) -> npt.NDArray[np.float64]:
    return np.asarray(record["srow"], np.float64)


def _qform(record: Record) -> npt.NDArray[np.float64]:
    """The matrix (3, 4) from a voxel index to RAS, in the file's unit, by the quaternion (method 2 of nifti1.h).

    Negative lengths of voxels, which some programs write, are taken as positive.  Raises ImageRefused if the quaternion
    is no rotation.
    """
    b, c, d = (float(q) for q in record["quatern"])
    square = 1.0 - (b * b + c * c + d * d)
    if not square >= -_PRECISION:
        version = Format.NIFTI_2 if bytes(record["magic"])[2:3] == b"2" else Format.NIFTI_1
        raise refusals.bad_header(version, "its quaternion is no rotation")
    a = math.sqrt(square) if square > 1e-7 else 0.0
    if a == 0.0:
        norm = math.sqrt(b * b + c * c + d * d) or 1.0
        b, c, d = b / norm, c / norm, d / norm
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    lengths = np.abs(np.asarray(record["pixdim"][1:4], np.float64))
    lengths[2] *= -1 if float(record["pixdim"][0]) < 0 else 1
    return np.column_stack([turn * lengths, np.asarray(record["qoffset"], np.float64)])


def _require_one_spacing(record: Record, grid: FileGrid, scale: float) -> None:
    """Raises ImageRefused if the voxel sizes of pixdim, none of which is 0, and of the sform (``grid``) differ, because
    ITK uses those of pixdim.  ``scale`` is the number of millimetres in the file's unit.
    """
    lengths = np.abs(np.asarray(record["pixdim"][1:4], np.float64)) * scale
    stated = [float(n) for n in lengths]
    if lengths.all() and not np.allclose(lengths, grid.spacing_mm[:3], rtol=_PRECISION, atol=0):
        raise refusals.spacings_disagree(stated, grid.spacing_mm[:3])


def _require_agreement(sform: Grid, qform: Grid) -> None:
    reach = float(np.linalg.norm(np.multiply(sform.size, sform.spacing_mm)))
    apart = apart_mm(sform, qform)
    if not apart <= 0.01 + _PRECISION * reach:
        raise refusals.forms_disagree(apart)
