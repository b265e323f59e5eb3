# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The voxels of an image file whose header was checked."""

import math
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.inflating import GZIP, inflated
from dss_broker.packed import packed_voxels
from dss_inference.errors import InferenceError
from dss_inference.geometry import Voxels
from dss_inference.layout import DAMAGED, Layout, slices
from dss_inference.nifti import layout_of_nifti

CORRUPT = "The image file is damaged: its checksum does not fit. Send it again."


def slices_in(path: Path, header: sitk.ImageFileReader) -> Generator[Voxels, None, None]:
    """Of a file's volumes, (y, x) each, from z = 0 on, frame after frame.  To be read to the end: what is
    behind the last slice counts.

    Raises InferenceError where the file is damaged, RuntimeError where ITK cannot read it.
    """
    try:
        yield from _slices(path, header)
    except EOFError as error:
        raise InferenceError(DAMAGED) from error
    except zlib.error as error:
        raise InferenceError(CORRUPT) from error


def _slices(path: Path, header: sitk.ImageFileReader) -> Iterator[Voxels]:
    packed = packed_voxels(path)
    with path.open("rb") as file:
        if header.GetImageIOFromFileName(str(path)) == "NiftiImageIO":
            stream = inflated(file) if file.peek(2).startswith(GZIP) else file
            yield from slices(stream, layout_of_nifti(stream), _as_one(header))
            return
        if packed is not None:
            file.seek(packed.offset_bytes)
            layout = Layout(kind=_kind(header, is_big_endian=packed.is_big_endian))
            yield from slices(inflated(file), layout, _as_one(header))
            return
    image = sitk.ReadImage(path)  # to be held as long as it is looked at
    yield from sitk.GetArrayViewFromImage(image).reshape(_as_one(header)[::-1])


def _as_one(header: sitk.ImageFileReader) -> tuple[int, int, int]:
    """The size (x, y, z) of all frames one upon the other."""
    x, y, *rest = header.GetSize()
    return x, y, math.prod(rest)


def _kind(header: sitk.ImageFileReader, *, is_big_endian: bool) -> np.dtype[Any]:
    one = sitk.GetArrayFromImage(sitk.Image([1, 1, 1], header.GetPixelID()))
    return np.asarray(one).dtype.newbyteorder(">" if is_big_endian else "<")
