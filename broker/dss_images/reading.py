# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reads and checks the header of an image file of any format, and reads its voxels slice by slice.

Every program must read image files with this module, from the original file.  If a file were first read and rewritten
by another library, damage in it would not be noticed.
"""

import math
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dss_images import refusals
from dss_images.errors import ImageRefused
from dss_images.header import HEADER_SUFFIXES, SUFFIXES, Format, Header
from dss_images.itk_agreement import checked_by_itk
from dss_images.metaimage import is_meta, read_meta
from dss_images.nifti import is_nifti, read_nifti
from dss_images.nrrd import is_nrrd, read_nrrd
from dss_images.requirements import require_grid
from dss_images.unpacking import GZIP, Packing, inflated, unpacked

_START_BYTES = 4096
_SURPLUS_BYTES = 1 << 20

Voxels = npt.NDArray[Any]


def format_of(path: Path) -> Format:
    """The format of an image file, by its content; a file of ANALYZE 7.5 counts as NIfTI-1.

    Raises ImageRefused if the file is empty, damaged or in none of these formats.
    """
    with _refusing_damage():
        found = _format_in(path)
    if found is None:
        raise refusals.unknown(path.name) if path.stat().st_size else ImageRefused(refusals.EMPTY)
    return found


def _format_in(path: Path) -> Format | None:
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
        if start.startswith(GZIP):
            file.seek(0)
            return _nifti_in(inflated(file).read(4))
    if is_nrrd(start):
        return Format.NRRD
    return Format.META if is_meta(start) else _nifti_in(start)


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """A context that turns errors of decompression and decoding into ImageRefused.  Errors of the disk stay OSError."""
    try:
        yield
    except EOFError as error:
        raise refusals.damaged(refusals.ENDS_EARLY) from error
    except zlib.error as error:
        is_sum = "check" in str(error)
        raise refusals.damaged(refusals.CORRUPT if is_sum else refusals.NOT_DECOMPRESSED) from error
    except ValueError as error:
        raise refusals.damaged(refusals.NOT_DECOMPRESSED) from error
    except OSError as error:
        if (
            error.errno is not None
        ):  # an error of the disk; that of a damaged bzip2 file has no number
            raise
        raise refusals.damaged(refusals.NOT_DECOMPRESSED) from error


def _nifti_in(start: bytes) -> Format | None:
    if len(start) < 4 or not is_nifti(start):
        return None
    return Format.NIFTI_2 if 540 % 256 in (start[0], start[3]) else Format.NIFTI_1


def read_header(path: Path, *, pairs: bool = False) -> Header:
    """Read and check the header of the image file ``path``.  The grid of an image with fewer than three axes is not
    checked.

    Raises ImageRefused if the file is damaged, too short, misnamed or of an unknown format, or its grid is unusable.
    ``pairs``: the voxels may be in another file of the same folder, as on a user's own machine.  It must be False where
    files of several people are stored.
    """
    header = _read(path, pairs=pairs)
    _require_name(path, header, pairs=pairs)
    _require_length(header)
    if header.dimensions < 3:
        return header
    require_grid(header.grid)
    return replace(header, grid=checked_by_itk(path, header))


def _read(path: Path, *, pairs: bool) -> Header:
    match format_of(path):
        case Format.NIFTI_1 | Format.NIFTI_2:
            with _refusing_damage():
                return read_nifti(path, pairs=pairs)
        case Format.NRRD:
            return read_nrrd(path, pairs=pairs)
        case Format.META:
            return read_meta(path, pairs=pairs)


def _require_name(path: Path, header: Header, *, pairs: bool) -> None:
    """Raises ImageRefused unless the file has a suffix of its format, by which other programs recognise the format.

    With ``pairs``, the suffixes of header files whose voxels are in another file are accepted, too.
    """
    ends = SUFFIXES[header.format] + (HEADER_SUFFIXES[header.format] if pairs else ())
    if not path.name.lower().endswith(ends):
        raise refusals.misnamed(header.format, path.suffix)


def _require_length(header: Header) -> None:
    """Raises ImageRefused if the voxel file is too short for the voxels that the header states, even if they are
    compressed as much as possible.  Called before memory is allocated for them.
    """
    storage = header.storage
    there = storage.path.stat().st_size - storage.offset_bytes
    if header.voxels_bytes > there * storage.packing.most_inflated:
        raise refusals.damaged(refusals.ENDS_EARLY)


def slices_in(header: Header) -> Generator[Voxels, None, None]:
    """All slices (y, x) from z = 0 on, time point after time point; (y, x, values) with several values in each voxel.

    Their values are scaled by the header's slope and intercept, and may be in the file's byte order.  Raises
    ImageRefused when damage is reached; checksums and surplus data are checked only after the last slice.
    """
    with _refusing_damage():
        yield from _slices(header)


def array_of(header: Header) -> Voxels:
    """All voxels, scaled, in this machine's byte order: (z, y, x), or (t, z, y, x) with time points; with several
    values in each voxel there is a further last axis.

    Raises ImageRefused if the file is damaged or a voxel is not finite.
    """
    found = _stacked(header, range(math.prod(header.grid.size[2:])))
    return found.reshape(*header.grid.size[::-1], *found.shape[3:])


def frame_of(header: Header, time_point: int) -> Voxels:
    """The scaled voxels (z, y, x) of one time point, counted from 1, in this machine's byte order; with several values
    in each voxel there is a further last axis.

    The other time points are read too, but not kept, and may have voxels that are not finite.  Raises ImageRefused if
    the file is damaged, a voxel of the time point is not finite, or there is no such time point.
    """
    count = math.prod(header.grid.size[3:])
    if not 1 <= time_point <= count:
        raise refusals.no_time_point(time_point, count)
    depth = header.grid.size[2]
    return _stacked(header, range((time_point - 1) * depth, time_point * depth))


def _stacked(header: Header, wanted: range) -> Voxels:
    found: Voxels | None = None
    for number, values in enumerate(slices_in(header)):
        if number not in wanted:
            continue
        require_numbers(values, number, header)
        if found is None:
            kind = values.dtype.newbyteorder("=")
            found = np.empty((len(wanted), *values.shape), kind)
        found[number - wanted.start] = values
    if found is None:
        raise refusals.empty_dimension(header.grid.size)
    return found


def check_voxels(header: Header) -> None:
    """Read all voxels.  Raises ImageRefused if the file is damaged or a voxel is not finite."""
    for number, values in enumerate(slices_in(header)):
        require_numbers(values, number, header)


def first_not_finite(header: Header) -> tuple[int, int, int] | None:
    """The index (x, y, z), within its time point, of the first voxel that is not finite; None if all voxels are finite.

    Reads the whole file.  Raises ImageRefused if the file is damaged.
    """
    found = None
    for number, values in enumerate(slices_in(header)):
        found = found or _not_finite(values, number, header)
    return found


def _not_finite(values: Voxels, number: int, header: Header) -> tuple[int, int, int] | None:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return None
    y, x = (int(i[0]) for i in np.nonzero(~np.isfinite(values))[:2])
    return x, y, number % header.grid.size[2] if header.dimensions > 2 else 0


def require_numbers(values: Voxels, number: int, header: Header) -> None:
    """Raises ImageRefused unless all ``values`` of a slice, (y, x) or (y, x, values), are finite.

    ``number`` is the slice's number, from 0, among those of ``slices_in``; it gives the position in the sentence.
    """
    if index := _not_finite(values, number, header):
        raise refusals.not_finite(index)


def _slices(header: Header) -> Iterator[Voxels]:
    x, y, *rest = (*header.grid.size, 1, 1)
    shape = (y, x) if header.components == 1 else (y, x, header.components)
    slice_bytes = math.prod(shape) * header.kind.itemsize
    with header.storage.path.open("rb") as file:
        stream = _at_voxels(file, header)
        for _ in range(math.prod(rest)):
            data = stream.read(slice_bytes)
            if len(data) < slice_bytes:
                raise EOFError
            yield _values(data, header).reshape(shape)
        if len(stream.read(_SURPLUS_BYTES)) == _SURPLUS_BYTES:
            raise refusals.damaged(refusals.TRAILING_BYTES)


def _at_voxels(file: BinaryIO, header: Header) -> BinaryIO:
    storage = header.storage
    if storage.from_end:
        file.seek(max(0, storage.path.stat().st_size - header.voxels_bytes))
        return file
    file.seek(storage.offset_bytes)
    for _ in range(storage.skip_lines):
        if not file.readline(_SURPLUS_BYTES):
            raise EOFError
    stream = unpacked(file, storage.packing, header.kind)
    if storage.packing != Packing.RAW:
        if len(stream.read(storage.skip_bytes)) < storage.skip_bytes:
            raise EOFError
        return stream
    file.seek(storage.skip_bytes, 1)
    return stream


def _values(data: bytes, header: Header) -> Voxels:
    """The numbers in ``data``, scaled by the header's slope and intercept.

    Without a scaling they have the stored type; with it they are float32, as in ITK, or float64 if the stored numbers
    have more digits than float32.
    """
    stored = np.frombuffer(data, header.kind)
    if (header.slope, header.intercept) == (1.0, 0.0):
        return stored
    with np.errstate(over="ignore", invalid="ignore"):  # NaN is refused later
        scaled: npt.NDArray[np.float64] = stored * np.float64(header.slope) + header.intercept
        wide = header.kind.itemsize == 8 or header.kind.str[1:] in {"i4", "u4"}
        return scaled if wide else scaled.astype(np.float32)
