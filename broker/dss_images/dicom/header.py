"""Reads the tags of one file and classifies it: with slices of a series, other DICOM, damaged DICOM, or not DICOM."""

import re
from dataclasses import dataclass

from pydicom.multival import MultiValue

from dss_images.dicom.files import File
from dss_images.dicom.frames import slices_of
from dss_images.dicom.notes import Note
from dss_images.dicom.parsing import PIXEL_DATA, PixelElement, Tags, parse
from dss_images.dicom.slices import PixelEncoding, Slice, counted

_CT = "1.2.840.10008.5.1.4.1.1.2"
_MR = "1.2.840.10008.5.1.4.1.1.4"
_MODALITIES = {
    _CT: "CT",
    f"{_CT}.1": "CT",
    f"{_CT}.2": "CT",
    _MR: "MR",
    f"{_MR}.1": "MR",
    f"{_MR}.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
}
"""Modality by SOP class UID, for SOP classes whose files always have pixels."""

_WITHOUT_PIXELS = {"RTSTRUCT", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "DOC", "FID", "PLAN"}

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MOST_DESCRIBED = 64
"""Most characters of a SeriesDescription, as in the DICOM standard.  Line breaks in it become blanks, so that it cannot
look like a further line in a list of series.
"""

_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, kw_only=True)
class SeriesKey:
    """The tags that are equal in all files of one series: PatientID, StudyInstanceUID, SeriesInstanceUID."""

    patient: str
    study: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """A DICOM file with one or more slices.

    ``is_capture``: it is a screen capture; ``has_lookup_table``: its values need a ModalityLUTSequence; ``expected`` is
    the tag ImagesInAcquisition, the number of slices of the acquisition, 0 if unknown.
    """

    file: File
    key: SeriesKey
    instance_uid: str
    series_number: str
    description: str
    modality: str
    is_capture: bool
    has_lookup_table: bool
    expected: int
    slices: tuple[Slice, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Other:
    """A DICOM file without an image, such as a structure set, a report or a DICOMDIR.

    ``kind`` is its modality, "DICOMDIR" or "unknown".

    ``listing`` has each image that a DICOMDIR names: the SeriesInstanceUID, the SOPInstanceUID, and the InstanceNumber.
    """

    kind: str
    listing: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A damaged DICOM file.  ``why`` is the end of a sentence; ``series_uid`` and ``modality`` are "" if unreadable."""

    file: File
    why: str
    series_uid: str = ""
    modality: str = ""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A file that is not DICOM, or that cannot be opened."""

    file: File


def read_header(file: File) -> DicomHeader | Other | Damaged | Foreign:
    """Read the tags of a file and classify it.  Does not raise."""
    if file.trouble:
        return Foreign(file=file)
    try:
        tags = parse(file.path)
    except OSError:
        return Damaged(file=file, why="cannot be read from the disk")
    if tags == "foreign":
        return Foreign(file=file)
    if tags == "damaged":
        return Damaged(file=file, why="is damaged")
    if tags.pixels is None:
        return _without_pixels(file, tags)
    return (
        _image(file, tags, tags.pixels)
        if tags.has_all_bytes
        else _damaged(file, tags, "is cut off")
    )


def _without_pixels(file: File, tags: Tags) -> Other | Damaged:
    if tags.sop_class == _DIRECTORY:
        return Other(kind="DICOMDIR", listing=tuple(_listing(tags)) if tags.has_all_bytes else ())
    modality = _word(tags.text("Modality"))
    if tags.is_complete("Modality") and modality in _WITHOUT_PIXELS:
        return Other(kind=modality)
    if not tags.has_all_bytes:
        return _damaged(file, tags, "is cut off before its pixels")
    is_image = tags.sop_class in _MODALITIES or not tags.sop_class
    if is_image or tags.text("ImagePositionPatient"):
        return _damaged(file, tags, "has no pixels")
    return Other(kind=modality or "unknown")


def _word(text: str) -> str:
    """``text`` if it can be a modality (16 capital letters and digits at most); otherwise "".

    The modality is shown in notes, and other text might name the patient.
    """
    return text if re.fullmatch("[A-Z0-9]{1,16}", text) else ""


def _damaged(file: File, tags: Tags, why: str) -> Damaged:
    uid, modality = (
        tags.text(keyword) if tags.is_complete(keyword) else ""
        for keyword in ("SeriesInstanceUID", "Modality")
    )
    return Damaged(file=file, why=why, series_uid=uid, modality=modality)


def _image(file: File, tags: Tags, element: PixelElement) -> DicomHeader | Damaged:
    pixels = _pixels(tags, element)
    if fault := _pixel_fault(pixels, tags):
        return _damaged(file, tags, fault)
    try:
        slices, notes = slices_of(file, tags, pixels)
    except (ValueError, KeyError, AttributeError, IndexError, TypeError, NotImplementedError):
        return _damaged(file, tags, "does not describe each of its frames")
    return DicomHeader(
        file=file,
        key=SeriesKey(
            patient=tags.text("PatientID"),
            study=tags.text("StudyInstanceUID"),
            uid=tags.text("SeriesInstanceUID"),
        ),
        instance_uid=tags.text("SOPInstanceUID"),
        series_number=tags.text("SeriesNumber"),
        description=" ".join(tags.decoded("SeriesDescription").split())[:_MOST_DESCRIBED],
        modality=_word(tags.text("Modality")) or _MODALITIES.get(tags.sop_class, ""),
        is_capture=tags.sop_class.startswith(SECONDARY_CAPTURE),
        has_lookup_table="ModalityLUTSequence" in tags.data,
        expected=int((tags.numbers("ImagesInAcquisition") or (0.0,))[0]),
        slices=slices,
        notes=notes,
    )


def _pixel_fault(pixels: PixelEncoding, tags: Tags) -> str:
    """What is wrong with the size of the file's pixel data, as the end of a sentence; "" if it fits its frames."""
    rows, columns = tags.count("Rows", 0), tags.count("Columns", 0)
    needed = rows * columns * pixels.bits[0] * pixels.frames // 8
    if not needed:
        return "does not say its Rows, Columns and BitsAllocated"
    if _has_room(pixels, needed, tags.fragments):
        return ""
    if pixels.length is None:
        return f"has {counted(tags.fragments, 'piece')} of compressed pixels for {pixels.frames} frames"
    return f"has {pixels.length} bytes of pixels where {needed} are needed"


def _has_room(pixels: PixelEncoding, needed: int, fragments: int) -> bool:
    """True if the file's pixel data have the size that all frames need, or one byte more; with several values per
    pixel, at least that size; if they are compressed, at least as many fragments as frames.

    ``needed`` is the size of uncompressed pixels in bytes, with one value per pixel; ``fragments`` the number of pieces
    of compressed pixels.
    """
    if pixels.length is None:
        return pixels.frames <= fragments
    if pixels.samples > 1:
        return needed <= pixels.length
    return needed <= pixels.length <= needed + 1


def _pixels(tags: Tags, element: PixelElement) -> PixelEncoding:
    allocated = tags.count("BitsAllocated", 16)
    stored = tags.count("BitsStored", allocated)
    return PixelEncoding(
        syntax=tags.syntax,
        offset=element.offset,
        length=element.length,
        vr=element.vr,
        bits=(allocated, stored, tags.count("HighBit", stored - 1)),
        signed=tags.count("PixelRepresentation", 0) == 1,
        photometric=tags.text("PhotometricInterpretation") or "MONOCHROME2",
        samples=tags.count("SamplesPerPixel", 1),
        frames=max(int((tags.numbers("NumberOfFrames") or (1.0,))[0]), 1),
        is_float=element.tag != PIXEL_DATA,
    )


def _listing(tags: Tags) -> list[tuple[str, str, str]]:
    """SeriesInstanceUID, SOPInstanceUID and InstanceNumber of each image that a DICOMDIR names."""
    series, listed = "", []
    for record in tags.data.get("DirectoryRecordSequence", []):
        kind = str(record.get("DirectoryRecordType", ""))
        if kind == "SERIES":
            series = str(record.get("SeriesInstanceUID", ""))
        elif kind == "IMAGE":
            uid = str(record.get("ReferencedSOPInstanceUIDInFile", ""))
            number = record.get("InstanceNumber", "")
            number = number[0] if isinstance(number, MultiValue) else number
            listed.append((series, uid, str(number)))
    return listed
