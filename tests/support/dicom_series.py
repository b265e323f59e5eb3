"""Small DICOM series with known places and values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

Values = npt.NDArray[Any]
Vector = Sequence[float]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TILTED = (1.0, 0.0, 0.0, 0.0, 0.966, -0.259)
SERIES = "1.2.826.0.1.3680043.2.1125.1"
STUDY = "1.2.826.0.1.3680043.2.1125.9"


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One slice to be written.  ``values`` are those stored; ``tags`` come on top of all others."""

    position: Vector
    orientation: Vector = AXIAL
    spacing: tuple[float, float] = (1.0, 1.0)
    stored: Values
    number: int | None = 1
    name: str = "slice.dcm"
    slope: float = 1.0
    intercept: float = 0.0
    tags: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        return self.stored.astype(np.float64) * self.slope + self.intercept

    def point(self, column: npt.ArrayLike, row: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Of a pixel, or of each of many, in the words of the standard (C.7.6.2.1.1); LPS in millimetres."""
        x, y = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        across, down = np.asarray(column)[..., np.newaxis], np.asarray(row)[..., np.newaxis]
        return np.asarray(
            np.array(self.position) + x * self.spacing[1] * across + y * self.spacing[0] * down
        )


def ramp(point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A value for each place; points are along the last axis."""
    return np.asarray(point @ np.array([9.0, 7.0, 5.0]) + 100.0)


def plane(  # noqa: PLR0917  (as a slice is described: place, number, orientation, matrix, pixels)
    position: Vector,
    number: int | None = 1,
    orientation: Vector = AXIAL,
    size: tuple[int, int] = (16, 16),
    spacing: tuple[float, float] = (1.0, 1.0),
    more: float = 0.0,
    **changes: Any,
) -> Plane:
    """Shows the ramp (plus ``more``); ``size`` is rows and columns."""
    empty = Plane(
        position=position, orientation=orientation, spacing=spacing, stored=np.zeros(size)
    )
    rows, columns = np.indices(size)
    stored = np.rint(ramp(empty.point(columns, rows)) + more).astype(np.int16)
    name = changes.pop("name", f"CT.{number or 0:04d}.dcm")
    return replace(empty, stored=stored, number=number, name=name, **changes)


def stack(
    count: int = 20,
    step: float = 3.0,
    orientation: Vector = AXIAL,
    start: Vector = (-20.0, 30.0, -400.0),
    **changes: Any,
) -> list[Plane]:
    """Upright and even: InstanceNumber 1 lies at ``start``."""
    normal = np.cross(orientation[:3], orientation[3:])
    places = [(np.array(start) + normal * step * k).tolist() for k in range(count)]
    return [plane(p, k + 1, orientation, **changes) for k, p in enumerate(places)]


def dataset(one: Plane, instance: str = "") -> Dataset:
    """As it is written."""
    data, meta = Dataset(), FileMetaDataset()
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = UID(instance or f"{SERIES}.{crc32(f'{one.name} {one.number}'.encode())}")
    data.Modality, data.SeriesInstanceUID, data.StudyInstanceUID = "CT", SERIES, STUDY
    data.SeriesNumber, data.SeriesDescription = 3, "THORAX"
    if one.number is not None:
        data.InstanceNumber = one.number
    data.ImagePositionPatient = [f"{x:.10g}" for x in one.position]
    data.ImageOrientationPatient = [f"{x:.10g}" for x in one.orientation]
    data.PixelSpacing = [f"{x:.10g}" for x in one.spacing]
    data.SliceThickness = 3
    data.RescaleSlope, data.RescaleIntercept = f"{one.slope:.10g}", f"{one.intercept:.10g}"
    _pixels(data, one.stored)
    for keyword, value in one.tags.items():
        if value is None:
            delattr(data, keyword)
        elif not keyword.startswith("_"):
            setattr(data, keyword, value)
    meta.TransferSyntaxUID = one.tags.get("_syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = data.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta = meta
    return data


def _pixels(data: Dataset, stored: Values) -> None:
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = stored.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()


def write(folder: Path, planes: Sequence[Plane]) -> Path:
    """Each plane into a file of its own; names may have folders in them."""
    for one in planes:
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset(one).save_as(path, enforce_file_format=True)
    return folder


def write_frames(folder: Path, planes: Sequence[Plane], **tags: Any) -> Path:
    """All planes as frames of one plain file, which has the position of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    all_values = np.stack([one.stored for one in planes])
    data = dataset(replace(planes[0], tags=tags))
    data.NumberOfFrames = len(planes)
    data.PixelData = all_values.tobytes()
    data.save_as(folder / "frames.dcm", enforce_file_format=True)
    return folder


def write_enhanced(folder: Path, planes: Sequence[Plane]) -> Path:
    """One file with functional groups for each frame, by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    drop = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope")
    enhanced = UID("1.2.840.10008.5.1.4.1.1.2.1")
    tags = dict.fromkeys([*drop, "RescaleIntercept"]) | {"SOPClassUID": enhanced}
    data = dataset(replace(planes[0], tags=tags))
    data.NumberOfFrames = len(planes)
    data.PixelData = np.stack([one.stored for one in planes]).tobytes()
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = list(planes[0].spacing)
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [_groups(one) for one in planes]
    data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder


def _groups(one: Plane) -> Dataset:
    group, place, turn, scale = Dataset(), Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = [f"{x:.10g}" for x in one.position]
    turn.ImageOrientationPatient = [f"{x:.10g}" for x in one.orientation]
    scale.RescaleSlope, scale.RescaleIntercept = f"{one.slope:.10g}", f"{one.intercept:.10g}"
    group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [turn]
    group.PixelValueTransformationSequence = [scale]
    content = Dataset()
    if "_time" in one.tags:
        content.TemporalPositionIndex = one.tags["_time"]
    if "_stack" in one.tags:
        content.StackID = one.tags["_stack"]
    if len(content):
        group.FrameContentSequence = [content]
    return group
