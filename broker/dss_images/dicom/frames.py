"""Makes Slice objects from the tags of a DICOM file: one for the file, or one for each of its frames."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from dss_images.dicom.files import File
from dss_images.dicom.notes import Note
from dss_images.dicom.parsing import MARKS, Tags, numbers_of, text_of
from dss_images.dicom.slices import PixelEncoding, Slice, Vector

_GROUPS = {
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "NominalPercentageOfCardiacPhase": (
        "CardiacSynchronizationSequence",
        "NominalPercentageOfCardiacPhase",
    ),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "KVP": ("CTXRayDetailsSequence", "KVP"),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel"),
    "StackID": ("FrameContentSequence", "StackID"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "AcquisitionTime": ("FrameContentSequence", "FrameAcquisitionDateTime"),
}
"""For each tag that distinguishes phases, the functional group and the tag in it where an enhanced (multi-frame) file
has the value of each frame.
"""

_STEP_TAGS = ("SpacingBetweenSlices", "SliceThickness")


def slices_of(
    file: File, tags: Tags, pixels: PixelEncoding
) -> tuple[tuple[Slice, ...], tuple[Note, ...]]:
    """The slices of a file in the order of its frames, and notes for the user.

    Raises ValueError, or other errors of pydicom, if the tags contradict each other.
    """
    file_slice = _file_slice(file, tags, pixels)
    if "PerFrameFunctionalGroupsSequence" in tags.data:
        return _enhanced(file_slice, tags, pixels.frames), ()
    if pixels.frames > 1:
        return _stacked(file_slice, tags, pixels.frames)
    return (file_slice,), ()


def _file_slice(file: File, tags: Tags, pixels: PixelEncoding) -> Slice:
    """A slice from the tags at the top level of the file.  For a file with one slice these are all its tags."""
    numbers = tags.numbers("InstanceNumber")
    tilt = tags.numbers("GantryDetectorTilt")
    return Slice(
        path=file.path,
        name=file.name,
        frame=0,
        number=int(numbers[0]) if numbers and math.isfinite(numbers[0]) else None,
        position_mm=_vector(tags.data, "ImagePositionPatient", 3),
        orientation=_vector(tags.data, "ImageOrientationPatient", 6),
        spacing_mm=_vector(tags.data, "PixelSpacing", 2),
        rows=tags.count("Rows", 0),
        columns=tags.count("Columns", 0),
        slope=_rescale(tags.data, "RescaleSlope", 1.0),
        intercept=_rescale(tags.data, "RescaleIntercept", 0.0),
        pixels=pixels,
        localizer="LOCALIZER" in tags.text("ImageType").upper(),
        frame_of_reference=tags.text("FrameOfReferenceUID"),
        tilt_degrees=tilt[0] if tilt and math.isfinite(tilt[0]) else 0.0,
        marks={keyword: tags.text(keyword) for keyword in MARKS},
    )


def _vector(data: Dataset, keyword: str, length: int) -> Vector | None:
    numbers = numbers_of(data, keyword)
    return numbers if len(numbers) == length and np.isfinite(numbers).all() else None


def _rescale(data: Dataset, keyword: str, missing: float) -> float:
    """The number in the tag ``keyword``; ``missing`` if the tag is missing or empty; NaN if its value is not one
    number.

    A slice with NaN is refused later, with a sentence that names the slice.
    """
    if not text_of(data, keyword):
        return missing
    numbers = numbers_of(data, keyword)
    return numbers[0] if len(numbers) == 1 else math.nan


def _enhanced(file_slice: Slice, tags: Tags, frames: int) -> tuple[Slice, ...]:
    shared_items = tags.data.get("SharedFunctionalGroupsSequence") or [Dataset()]
    each = tags.data["PerFrameFunctionalGroupsSequence"].value
    if len(each) != frames:
        raise ValueError("not one group for each frame")
    return tuple(_frame(file_slice, k, each[k], shared_items[0]) for k in range(frames))


def _frame(file_slice: Slice, index: int, own: Dataset, shared: Dataset) -> Slice:
    def group(keyword: str) -> Dataset:
        """The functional group ``keyword`` of the frame; otherwise the group that all frames share; otherwise an empty
        one.
        """
        found = own.get(keyword) or shared.get(keyword) or [Dataset()]
        item = found[0]
        return item if isinstance(item, Dataset) else Dataset()

    values = group("PixelValueTransformationSequence")
    marks = {
        keyword: text_of(group(sequence), inner) or file_slice.marks[keyword]
        for keyword, (sequence, inner) in _GROUPS.items()
    }
    return replace(
        file_slice,
        frame=index,
        number=index + 1 if file_slice.pixels.frames > 1 else file_slice.number,
        position_mm=_vector(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_vector(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        spacing_mm=_vector(group("PixelMeasuresSequence"), "PixelSpacing", 2),
        slope=_rescale(values, "RescaleSlope", file_slice.slope),
        intercept=_rescale(values, "RescaleIntercept", file_slice.intercept),
        marks={**file_slice.marks, **marks},
    )


def _stacked(
    file_slice: Slice, tags: Tags, frames: int
) -> tuple[tuple[Slice, ...], tuple[Note, ...]]:
    """The slices, and notes, of a file that has one position for all its frames, as in RT Dose and nuclear medicine.

    If a tag gives the step between frames, they are stacked along the normal.  Otherwise, and if the frames follow each
    other in time or the file has no orientation, they get no position, and ``shares_position`` if the file has one.
    """
    offsets, tag = _offsets_mm(tags, frames)
    if file_slice.position_mm is None or file_slice.orientation is None or not offsets:
        none = replace(
            file_slice, position_mm=None, shares_position=file_slice.position_mm is not None
        )
        return tuple(replace(none, frame=k, number=k + 1) for k in range(frames)), ()
    normal = np.cross(file_slice.orientation[:3], file_slice.orientation[3:])
    places = [np.add(file_slice.position_mm, normal * (mm - offsets[0])).tolist() for mm in offsets]
    slices = [
        replace(file_slice, frame=k, number=k + 1, position_mm=tuple(place))
        for k, place in enumerate(places)
    ]
    text = f"The file gives one position for {frames} frames; the others follow from its {tag}."
    return tuple(slices), (Note(text=text, level="warning"),)


def _offsets_mm(tags: Tags, frames: int) -> tuple[Sequence[float], str]:
    """Positions of the frames along the normal, relative to each other, in millimetres, and the name of the tag from
    which they were read.

    Returns () and "" if there is no such tag, or if the frames follow each other in time.
    """
    pointer = tags.data.get("FrameIncrementPointer")
    if pointer is not None and any(word in str(pointer) for word in ("0018,1063", "0018,1065")):
        return (), ""
    offsets = tags.numbers("GridFrameOffsetVector")
    if len(offsets) == frames:
        return offsets, "GridFrameOffsetVector"
    for tag in _STEP_TAGS:
        step = tags.numbers(tag)
        if len(step) == 1 and math.isfinite(step[0]) and step[0] != 0:
            return [k * step[0] for k in range(frames)], tag
    return (), ""
