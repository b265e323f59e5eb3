"""A slice, which is one frame of a DICOM file: its geometry, the location of its pixels, and its name in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Vector = tuple[float, ...]

MOST_NAMED = 6
"""Most slices that a sentence names.  Of further slices it gives only the number."""


@dataclass(frozen=True, kw_only=True)
class PixelEncoding:
    """The location and the encoding of a file's pixel values.

    ``offset`` and ``length`` are in bytes, in the file or, if ``syntax`` is the deflated transfer syntax, in the
    decompressed data set; ``length`` is None for encapsulated pixels.  ``bits`` are BitsAllocated, BitsStored and
    HighBit; ``samples`` is the number of values in each pixel.
    """

    syntax: str
    offset: int
    length: int | None
    vr: str
    bits: tuple[int, int, int]
    signed: bool
    photometric: str
    samples: int
    frames: int
    is_float: bool = False

    @property
    def little_endian(self) -> bool:
        return self.syntax != "1.2.840.10008.1.2.2"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One frame of a DICOM file.  ``frame`` is its index in the file, from 0; ``number`` is the InstanceNumber (None if
    there is none) or, in a file with several frames, the number of the frame, from 1.

    ``position_mm`` is the middle of the first pixel in LPS; ``orientation`` the directions of a row and of a column;
    ``spacing_mm`` the distances between rows and between columns.  These are None if their tag is missing or is not
    numbers.  ``shares_position``: the file has one position for several frames, and does not give their distance.
    ``marks`` are the values of the tags MARKS, which may distinguish phases, by keyword.
    """

    path: Path
    name: str
    frame: int
    number: int | None
    position_mm: Vector | None
    orientation: Vector | None
    spacing_mm: Vector | None
    rows: int
    columns: int
    slope: float
    intercept: float
    pixels: PixelEncoding
    localizer: bool = False
    shares_position: bool = False
    frame_of_reference: str = ""
    tilt_degrees: float = 0.0
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The name of the slice in a sentence: its InstanceNumber, or its file name if it has none; if the file has
        several frames, the number of the frame and the file name.
        """
        if self.pixels.frames > 1:
            return f"frame {self.frame + 1} of {self.name}"
        return f"InstanceNumber {self.number}" if self.number is not None else self.name


def named(slices: Sequence[Slice], places_mm: Sequence[float] | None = None) -> str:
    """Part of a sentence with the names of the first slices, MOST_NAMED at most, and the number of the others.

    With ``places_mm``, the position of each slice is added.
    """
    places = places_mm if places_mm is not None else [None] * len(slices)
    parts = [
        one.called if place is None else f"{one.called} (at {place:.1f} mm)"
        for one, place in zip(slices[:MOST_NAMED], places, strict=False)
    ]
    if len(slices) > MOST_NAMED:
        parts.append(f"{len(slices) - MOST_NAMED} more")
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def counted(count: int, noun: str) -> str:
    """``count`` with ``noun``, which gets a plural "s" unless the count is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
