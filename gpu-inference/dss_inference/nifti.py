# mypy: allow-untyped-calls
# (nibabel has types in part)
"""How a NIfTI file keeps its voxels.

SimpleITK is not asked for them: it fills up a file that ends too early with zeros, and takes voxels that
are not numbers for 0.
"""

import math
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from dss_inference.errors import InferenceError
from dss_inference.layout import DAMAGED, UNREADABLE, Layout

_SINGLE_FILE = b"n+1"
_LARGEST_HEADER_BYTES = 64 << 20


def layout_of_nifti(stream: BinaryIO) -> Layout:
    """``stream`` is at its beginning, and then at the voxels.  Raises InferenceError, and what reading it does."""
    header = _header_in(stream)
    try:
        kind: np.dtype[Any] = header.get_data_dtype()
    except HeaderDataError as error:
        raise InferenceError(UNREADABLE) from error
    if kind.kind not in "iuf" or kind.itemsize > 8 or header["magic"].item() != _SINGLE_FILE:
        raise InferenceError(UNREADABLE)
    _skip(stream, float(header["vox_offset"]) - header.sizeof_hdr)
    slope, intercept = (_number(header[field]) for field in ("scl_slope", "scl_inter"))
    return Layout(kind=kind, slope=slope or 1.0, intercept=intercept)


def _header_in(stream: BinaryIO) -> nib.Nifti1Header:
    """ITK reads no NIfTI-2, so that here is none."""
    data = stream.read(nib.Nifti1Header.sizeof_hdr)
    if len(data) < nib.Nifti1Header.sizeof_hdr:
        raise InferenceError(DAMAGED)
    return nib.Nifti1Header(binaryblock=data, check=False)


def _skip(stream: BinaryIO, size_bytes: float) -> None:
    """Extensions of the header.  An offset within the header is none, as in ITK."""
    if not size_bytes <= _LARGEST_HEADER_BYTES:
        raise InferenceError("The image file is damaged: its header does not say where it ends.")
    stream.read(int(max(0.0, size_bytes)))


def _number(field: Any) -> float:
    """0 for what is none, as ITK has it."""
    value = float(field)
    return value if math.isfinite(value) else 0.0
