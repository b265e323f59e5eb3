# mypy: allow-untyped-calls
# (SimpleITK ships no types; it is imported where it is used, because it takes a second to load)
"""Reads the values of a slice: the stored values times the slope, plus the intercept.

Uncompressed values are read directly from the file.  Compressed values are decompressed by SimpleITK (GDCM) from a
temporary file that contains only them: with the tags of the original file, GDCM inverts MONOCHROME1, replaces a slope
of 0 by 1, and gives all frames the slope of one frame.
"""

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.uid import UID, CTImageStorage

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.parsing import BIG_ENDIAN, DEFLATED, IMPLICIT, inflate
from dss_images.dicom.slices import PixelEncoding, Slice

Array = npt.NDArray[np.generic]

_NATIVE = {IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED}
_PACKED = {
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}
_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32)
_DATA_SET_AT = 132


def require_readable(one: Slice) -> None:
    """Raises DicomRefused unless each pixel is one integer, in an encoding that ``stored_values`` reads."""
    pixels = one.pixels
    if pixels.samples != 1 or not pixels.photometric.startswith("MONOCHROME"):
        raise DicomRefused(
            f"{one.called} is in colour ({pixels.photometric}, {pixels.samples} values in each pixel); "
            "a CT or MR has one value in each. Send the original series."
        )
    if pixels.is_float:
        raise DicomRefused(
            f"{one.called} keeps its pixels as floating-point numbers (FloatPixelData); integers can be read. "
            "Export the series as it was taken."
        )
    allocated, stored, high = pixels.bits
    if (
        allocated not in {8, 16, 32}
        or not 0 < stored <= allocated
        or not stored <= high + 1 <= allocated
    ):
        raise DicomRefused(
            f"{one.called} keeps {stored} bits of {allocated} in each pixel; 8, 16 or 32 can be read."
        )
    if pixels.syntax not in _NATIVE and pixels.syntax not in _PACKED:
        raise DicomRefused(
            f"{one.called} is compressed in a way that cannot be read (transfer syntax {pixels.syntax}); "
            "export the series uncompressed."
        )
    if (pixels.length is None) != (pixels.syntax in _PACKED):
        raise DicomRefused(
            f"{one.called} is not stored as its transfer syntax {pixels.syntax} says; export it anew."
        )


def value_type(slices: "list[Slice] | tuple[Slice, ...]") -> np.dtype[np.generic]:
    """The first of uint8, int16, uint16 and int32 that holds every value which ``slices`` can have by their number of
    bits; float64 if none does, or a slope or an intercept is not an integer.
    """
    ends = [_ends(one) for one in slices]
    if not all(one.slope.is_integer() and one.intercept.is_integer() for one in slices):
        return np.dtype(np.float64)
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    for kind in _INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float64)


def _ends(one: Slice) -> tuple[float, float]:
    stored = one.pixels.bits[1]
    low, high = (
        (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if one.pixels.signed else (0, 2**stored - 1)
    )
    ends = sorted((low * one.slope + one.intercept, high * one.slope + one.intercept))
    return ends[0], ends[1]


def values_of(one: Slice, kind: np.dtype[np.generic] | None = None) -> Array:
    """The values (rows, columns) of a slice as ``kind``, by default ``value_type([one])``.  Raises DicomRefused."""
    kind = kind or value_type([one])
    stored = stored_values(one)
    if one.slope == 1 and one.intercept == 0:
        return stored.astype(kind, copy=False)
    values = stored.astype(kind)
    if one.slope != 1:
        values *= kind.type(one.slope)
    values += kind.type(one.intercept)
    return values


def stored_values(one: Slice) -> Array:
    """The stored integers (rows, columns), without slope and intercept.  Raises DicomRefused."""
    require_readable(one)
    try:
        values = _unpacked(one) if one.pixels.syntax in _PACKED else _native(one)
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise DicomRefused(
            f"The pixels of {one.called} are damaged or cannot be unpacked; copy the series anew."
        ) from error
    return values.reshape(one.rows, one.columns)


def _native(one: Slice) -> Array:
    pixels = one.pixels
    size = one.rows * one.columns * pixels.bits[0] // 8
    order = "<" if pixels.little_endian else ">"
    data = _bytes(one.path, pixels, pixels.offset + one.frame * size, size)
    if pixels.bits[0] == 8:
        swapped = not pixels.little_endian and pixels.vr == "OW"
        flat = np.frombuffer(data, np.uint8)
        return _cleaned(flat.reshape(-1, 2)[:, ::-1].ravel() if swapped else flat, pixels)
    flat = np.frombuffer(data, f"{order}u{pixels.bits[0] // 8}")
    return _cleaned(flat.astype(flat.dtype.newbyteorder("="), copy=False), pixels)


def _bytes(path: Path, pixels: PixelEncoding, offset: int, size: int) -> bytes:
    if pixels.syntax == DEFLATED:
        data = _inflated(path, path.stat().st_mtime_ns)[offset : offset + size]
    else:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    if len(data) != size:
        raise EOFError("pixels are missing")
    return data


@lru_cache(maxsize=1)
def _inflated(path: Path, _changed_ns: int) -> bytes:
    """The decompressed data set of a deflated file.

    It is cached for further frames of the file; ``_changed_ns`` is the time of the file's last change.  Raises OSError,
    and zlib.error if the data are damaged.
    """
    with path.open("rb") as file:
        file.seek(_DATA_SET_AT)
        read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        return inflate(file.read())


def _cleaned(flat: "npt.NDArray[np.unsignedinteger]", pixels: PixelEncoding) -> Array:
    """The stored values without the bits of a pixel that are not part of its value (see ``PixelEncoding.bits``).

    In signed data the highest stored bit is the sign.
    """
    allocated, stored, high = pixels.bits
    above, below = allocated - 1 - high, high + 1 - stored
    signed = flat.view(flat.dtype.str.replace("u", "i")) if pixels.signed else flat
    if not above and not below:
        return signed
    return (signed << above) >> (above + below)


def _unpacked(one: Slice) -> Array:
    import SimpleITK as sitk  # noqa: PLC0415, N813  (slow to import)

    with one.path.open("rb") as file:
        file.seek(one.pixels.offset)
        packed = get_frame(file, one.frame, number_of_frames=one.pixels.frames)
    with tempfile.TemporaryDirectory(prefix="dss_frame_") as folder:
        path = Path(folder) / "frame.dcm"
        _write_frame(path, one, packed)
        warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(warnings)
    if image.GetSize()[:2] != (one.columns, one.rows) or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError("the unpacked image has another size")
    return np.asarray(sitk.GetArrayFromImage(image))


def _write_frame(path: Path, one: Slice, packed: bytes) -> None:
    """Write a DICOM file with the compressed frame ``packed`` and only the tags that a decoder needs.

    With other tags, the decoder could change the values.
    """
    meta, data = FileMetaDataset(), Dataset()
    meta.TransferSyntaxUID = UID(one.pixels.syntax)
    meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID("2.25.1")
    data.Rows, data.Columns, data.SamplesPerPixel = one.rows, one.columns, 1
    data.BitsAllocated, data.BitsStored, data.HighBit = one.pixels.bits
    data.PixelRepresentation = int(one.pixels.signed)
    data.PhotometricInterpretation = "MONOCHROME2"
    data.file_meta = meta
    data.PixelData = encapsulate([packed])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)
