"""The call of an algorithm and its outcome, as files in a folder with a description in JSON."""

from dataclasses import dataclass, field
from typing import Any

Point = tuple[float, float, float]
Rgb = tuple[int, int, int]

OFFERS = ("image", "images", "landmarks", "parameters", "progress")
"""Names of the parameters that a function may have."""
FILES = "files"
"""Sub-folder for the files that are attached to the ticket's log."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The call to make.  ``inputs`` are image files by tag; ``tag`` is that of the main image.  ``landmarks`` are in
    LPS, mm.  ``hounsfield``: the image's values must be Hounsfield units.
    """

    folder: str
    function: str
    tag: str
    inputs: dict[str, str]
    landmarks: dict[str, Point] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    memory_bytes: int | None = None
    hounsfield: bool = False


@dataclass(frozen=True, kw_only=True)
class Named:
    """A label of a segmentation, with its name."""

    value: int
    name: str
    rgb: Rgb | None = None


def default_name(value: int) -> str:
    """The name of a label to which the algorithm gives none."""
    return f"Label {value}"


@dataclass(frozen=True, kw_only=True)
class Map:
    """A label map; ``file`` is a NumPy array (z, y, x)."""

    file: str
    called: str = ""
    labels: tuple[Named, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MeshFile:
    """A surface.  ``file`` is a mesh in a format that ITK-SNAP loads, in RAS."""

    file: str
    called: str
    rgb: Rgb | None = None


@dataclass(frozen=True, kw_only=True)
class AlgorithmOutcome:
    """The outcome of an algorithm.  If ``error``, a sentence for the user, is set, the other fields are empty.
    ``landmarks`` are in LPS, mm, by their text.
    """

    error: str = ""
    segmentations: tuple[Map, ...] = ()
    images: tuple[Map, ...] = ()
    meshes: tuple[MeshFile, ...] = ()
    landmarks: dict[str, Point] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (
            self.segmentations or self.images or self.meshes or self.landmarks or self.files
        )
