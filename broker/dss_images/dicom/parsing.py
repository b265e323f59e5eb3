"""Parses the tags of one DICOM file without its pixels, and checks that the file is complete."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, Literal

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

MOST_INFLATED_BYTES = 4 * 2**30
"""Most bytes of a data set after decompression; a file with 500 slices has fewer."""

_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
_BINARY = {"US", "SS", "UL", "SL", "FL", "FD"}
_UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
_PIXELS = {0x7FE00008, 0x7FE00009, PIXEL_DATA}
"""Tags of elements with pixel data: FloatPixelData, DoubleFloatPixelData and PixelData."""
MARKS = (
    "TemporalPositionIdentifier",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "KVP",
    "ConvolutionKernel",
    "ImageType",
    "StackID",
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContentTime",
)
"""Keywords of tags that may distinguish the phases of a series, the most reliable first."""

_WANTED = (
    *MARKS,
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "ImagesInAcquisition",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "GridFrameOffsetVector",
    "FrameIncrementPointer",
    "GantryDetectorTilt",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DirectoryRecordSequence",
)
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in _WANTED]


@dataclass(frozen=True, kw_only=True)
class PixelElement:
    """The location of the pixel data in a file: ``offset`` and ``length`` in bytes.

    ``length`` is None if the pixels are encapsulated (compressed in fragments).
    """

    offset: int
    length: int | None
    vr: str
    tag: int


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The parsed tags of a file.  ``syntax`` is the transfer syntax UID; ``pixels`` is None without pixel data.

    ``has_all_bytes`` is False if the file ends too early; ``fragments`` is the number of fragments of encapsulated pixels, 0
    for others.
    """

    data: Dataset
    syntax: str
    sop_class: str
    pixels: PixelElement | None
    has_all_bytes: bool
    fragments: int = 0

    def text(self, keyword: str) -> str:
        """The value of a tag as text, as stored in the file, without blanks at its ends; "" if there is none."""
        return text_of(self.data, keyword)

    def decoded(self, keyword: str) -> str:
        """The value of a tag as text, decoded with the file's character set, or as ``text`` if that is impossible."""
        try:
            return str(self.data.get(keyword, "")).strip()
        except (ValueError, LookupError):
            return self.text(keyword)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        return numbers_of(self.data, keyword)

    def is_complete(self, keyword: str) -> bool:
        """True if the tag exists and its value is not cut off."""
        raw = self.data.get_item(keyword)
        return raw is not None and len(raw.value or b"") == getattr(raw, "length", -1)

    def count(self, keyword: str, missing: int) -> int:
        """The value of a tag that is an unsigned 16-bit integer; ``missing`` if there is none."""
        raw = self.data.get_item(keyword)
        value = raw.value if raw is not None else None
        if isinstance(value, bytes) and len(value) >= 2:
            return int(struct.unpack("<H" if self.syntax != BIG_ENDIAN else ">H", value[:2])[0])
        return int(value) if isinstance(value, int) else missing


Unparsed = Literal["foreign", "damaged"]


def looks_like_dicom(path: Path) -> bool:
    """True if the file begins like a DICOM file, with or without a preamble.  Raises OSError."""
    with path.open("rb") as file:
        return begins_like_dicom(file)


def begins_like_dicom(file: IO[bytes]) -> bool:
    """True if the bytes that are read next from ``file`` begin like a DICOM file, with or without a preamble."""
    head = file.read(_PREAMBLE_BYTES + len(_MAGIC))
    return head[_PREAMBLE_BYTES:] == _MAGIC or _begins_like_a_data_set(head)


def parse(path: Path) -> Tags | Unparsed:
    """Read the tags of a file.  Returns ``foreign`` for a file that is not DICOM, ``damaged`` if its tags cannot be
    read.

    Raises OSError if the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(_PREAMBLE_BYTES + len(_MAGIC))
        if head[_PREAMBLE_BYTES:] != _MAGIC:
            if not _begins_like_a_data_set(head):
                return "foreign"
            file.seek(0)
        try:
            return _parsed(file, path.stat().st_size)
        except Exception:  # pydicom raises many kinds of errors on bytes that are not tags
            return "damaged"


def _begins_like_a_data_set(head: bytes) -> bool:
    """True if ``head`` begins with one of the first elements (up to 0018) of DICOM's group 0002 or 0008, as old files
    do, which have no preamble.
    """
    if len(head) < 8:
        return False
    group, element = struct.unpack("<HH", head[:4])
    return group in {0x0002, 0x0008} and element <= 0x0018


def _parsed(file: BinaryIO, size: int) -> Tags:
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2
    )
    syntax = text_of(meta, "TransferSyntaxUID") or _guess(file)
    if syntax == DEFLATED:
        inflated = inflate(file.read())
        file, size = BytesIO(inflated), len(inflated)
    watch = _Watch(file)
    data = read_dataset(
        file,
        is_implicit_VR=syntax == IMPLICIT,
        is_little_endian=syntax != BIG_ENDIAN,
        stop_when=watch.look,
        specific_tags=_TAGS,
    )
    sop_class = text_of(data, "SOPClassUID") or text_of(meta, "MediaStorageSOPClassUID")
    ends_at = file.tell() if watch.ends_at is None else watch.ends_at
    found = _pieces(file, watch.pixels, size) if watch.pixels else None
    return Tags(
        data=data,
        syntax=syntax,
        sop_class=sop_class,
        pixels=watch.pixels,
        has_all_bytes=found is not None if watch.pixels else ends_at == size,
        fragments=found or 0,
    )


class _Watch:
    """Records where each element ends that pydicom reads, because pydicom does not report a truncated file.

    ``ends_at`` is the end of the last element, None if its length is undefined; ``pixels`` is the pixel data, if found.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.ends_at: int | None = 0
        self.pixels: PixelElement | None = None

    def look(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        """Called by pydicom before each element.  True at the pixel data, where pydicom must stop reading."""
        offset = self._file.tell()
        if tag in _PIXELS:
            known = None if length == _UNDEFINED else length
            self.pixels = PixelElement(offset=offset, length=known, vr=vr or "OW", tag=int(tag))
            return True
        self.ends_at = offset + length if length != _UNDEFINED else None
        return False


def _guess(file: BinaryIO) -> str:
    """The transfer syntax UID of a file that does not name it: explicit or implicit VR, as its first element looks."""
    start = file.read(6)
    file.seek(-len(start), 1)
    return "1.2.840.10008.1.2.1" if start[4:6].isalpha() and start[4:6].isupper() else IMPLICIT


def inflate(packed: bytes) -> bytes:
    """Decompress ``packed``, a deflated data set.

    Raises zlib.error if it is damaged or truncated, or the result is larger than MOST_INFLATED_BYTES.
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    data = engine.decompress(packed, MOST_INFLATED_BYTES)
    if not engine.eof:
        raise zlib.error("not complete, or too large")
    return data


def _pieces(file: BinaryIO, pixels: PixelElement, size: int) -> int | None:
    """Number of fragments of encapsulated pixels, 0 for other pixels; None if the file ends before the pixels do, or
    the fragments are damaged.

    ``size`` is the file's size in bytes.
    """
    if pixels.length is not None:
        return 0 if pixels.offset + pixels.length <= size else None
    file.seek(pixels.offset)
    items = 0
    while len(head := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            return max(items - 1, 0)  # the first one is the table of offsets
        if (group, element) != (0xFFFE, 0xE000) or file.tell() + length > size:
            return None
        items += 1
        file.seek(length, 1)
    return None


def text_of(data: Dataset, keyword: str) -> str:
    """The value of the tag ``keyword`` as text, bytes as Latin-1; "" if there is none.  A backslash separates values."""
    found = data.get_item(keyword)
    value = found.value if found is not None else None
    if isinstance(value, bytes) and _BINARY & {found.VR, dictionary_VR(keyword)}:
        value = data[keyword].value
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if value is None:
        return ""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return str(value).strip()
    return "\\".join(str(part) for part in value)


def numbers_of(data: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of the tag ``keyword`` as numbers; () if there is none or one of them is not a number."""
    try:
        return tuple(float(part) for part in text_of(data, keyword).split("\\") if part.strip())
    except ValueError:
        return ()
