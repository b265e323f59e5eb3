"""Groups the files of a folder into series, and keeps the files that belong to none."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dss_images.dicom.files import File
from dss_images.dicom.header import Damaged, DicomHeader, Foreign, Other, SeriesKey, read_header
from dss_images.dicom.slices import Slice, Vector, counted

Progress = Callable[[float], None]
"""Called with the fraction that is done, 0 to 1."""

_APPLE_DOUBLE = b"\x00\x05\x16\x07"
_AXES = {0: "sagittal", 1: "coronal", 2: "axial"}
_NEARLY = 0.99


@dataclass(frozen=True, kw_only=True)
class Series:
    """The files of one series that have the same modality.

    ``number`` is the number by which the user names it: the SeriesNumber if every series of the source has a different
    one, otherwise its place in the list, from 1.
    """

    number: int
    key: SeriesKey
    headers: tuple[DicomHeader, ...]

    @property
    def slices(self) -> tuple[Slice, ...]:
        return tuple(one for header in self.headers for one in header.slices)

    @property
    def modality(self) -> str:
        return self.headers[0].modality or "unknown"

    @property
    def description(self) -> str:
        return self.headers[0].description

    @property
    def is_localizer(self) -> bool:
        return all(one.localizer for one in self.slices)

    @property
    def places(self) -> int:
        """Largest number of different positions of slices with the same orientation and one value in each pixel.

        It is small for screen captures, views of a rotating model, and slices that are repeated at one position.
        """
        places: dict[Vector, set[float]] = {}
        for one in self.slices:
            if one.position_mm and one.orientation and one.spacing_mm and one.pixels.samples == 1:
                normal = np.cross(one.orientation[:3], one.orientation[3:])
                place = round(float(normal @ one.position_mm), 2)
                places.setdefault(tuple(np.round(normal, 2) + 0.0), set()).add(place)
        return max(map(len, places.values()), default=0)

    @property
    def phases(self) -> int:
        """Largest number of slices at one position; 1 if no slice has a position."""
        places = Counter(one.position_mm for one in self.slices if one.position_mm)
        return max(places.values(), default=1)

    @property
    def orientation(self) -> str:
        """The most frequent orientation of the slices, in words (see ``orientation_name``)."""
        seen = Counter(orientation_name(one) for one in self.slices)
        return seen.most_common(1)[0][0]

    @property
    def line(self) -> str:
        """A line that describes the series, in a list such as that of ``dss images``."""
        first = self.slices[0]
        parts = [
            f"{self.number:>4}  {self.modality:<7}  {counted(len(self.slices), 'slice'):>10}",
            f"{first.columns} x {first.rows}",
            self.orientation,
        ]
        if self.phases > 1:
            parts.append(f"each position up to {self.phases} times")
        if first.pixels.frames > 1:
            parts.append(counted(len(self.headers), "file"))
        return "  ".join([*parts, self.description]).rstrip()


@dataclass(frozen=True, kw_only=True)
class FolderContents:
    """The files of a DICOM source by kind.

    ``others`` are DICOM files without an image, ``foreign`` are files that are not DICOM or cannot be opened, without
    those that macOS adds (``._NAME``).
    """

    series: tuple[Series, ...]
    others: tuple[Other, ...]
    damaged: tuple[Damaged, ...]
    foreign: tuple[File, ...]


def orientation_name(one: Slice) -> str:
    """The slice's orientation in words, such as "axial" or "oblique axial"; "no orientation" if it is unknown."""
    if one.orientation is None:
        return "no orientation"
    normal = np.abs(np.cross(one.orientation[:3], one.orientation[3:]))
    axis = int(normal.argmax())
    return _AXES[axis] if normal[axis] > _NEARLY else f"oblique {_AXES[axis]}"


def scan(files: Sequence[File], progress: Progress) -> FolderContents:
    """Read the tags of all files, and group the files into series.

    ``progress`` is called with the fraction (0 to 1) of the files that are read.
    """
    headers: list[DicomHeader] = []
    others: list[Other] = []
    damaged: list[Damaged] = []
    foreign: list[File] = []
    for count, file in enumerate(files, start=1):
        match read_header(file):
            case DicomHeader() as header:
                headers.append(header)
            case Other() as other:
                others.append(other)
            case Damaged() as broken:
                damaged.append(broken)
            case Foreign():
                foreign.append(file)
        progress(count / len(files))
    return FolderContents(
        series=_grouped(headers),
        others=tuple(others),
        damaged=tuple(damaged),
        foreign=tuple(file for file in foreign if not _is_noise(file)),
    )


def _grouped(headers: Sequence[DicomHeader]) -> tuple[Series, ...]:
    groups: dict[tuple[SeriesKey, str], list[DicomHeader]] = {}
    for header in headers:
        groups.setdefault((header.key, header.modality), []).append(header)
    found = sorted(groups.values(), key=_place)
    own = [_number(group) for group in found]
    is_clear = None not in own and len(set(own)) == len(own)
    return tuple(
        Series(number=own[i] or 0 if is_clear else i + 1, key=group[0].key, headers=tuple(group))
        for i, group in enumerate(found)
    )


def _place(group: Sequence[DicomHeader]) -> tuple[int, str]:
    number = _number(group)
    return (number if number is not None else -1, group[0].key.uid)


def _number(group: Sequence[DicomHeader]) -> int | None:
    text = group[0].series_number
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def _is_noise(file: File) -> bool:
    """True for an AppleDouble file (``._NAME``), which macOS writes beside each file on a disk of another system."""
    if file.trouble or not Path(file.name).name.startswith("._"):
        return False
    with file.path.open("rb") as opened:
        return opened.read(4) == _APPLE_DOUBLE
