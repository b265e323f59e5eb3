"""What the publisher and the process of a provider's function exchange as JSON files: the call, and its outcome.
Arrays and meshes are in files beside them.
"""

from dataclasses import dataclass, field
from typing import Any

Point = tuple[float, float, float]
Rgb = tuple[int, int, int]

PARAMETERS = ("image", "images", "landmarks", "parameters", "progress")
"""Names of the parameters that a function may have."""
FILES = "files"
"""Sub-folder for the files that are attached to the ticket's log."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The call of a provider's function, which is named ``FILE:FUNCTION``.  ``inputs`` are image files by tag; ``tag``
    is that of the main image.  ``landmarks`` are in LPS, mm, by tag.  ``hounsfield``: the image's values should be
    Hounsfield units.  Without ``inputs`` the function is loaded and not called.
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
class NamedLabel:
    """A label of a segmentation: its value and its name.  ``rgb`` is None for a default colour."""

    value: int
    name: str
    rgb: Rgb | None = None


def default_name(value: int) -> str:
    """The name of a label to which the algorithm gives none."""
    return f"Label {value}"


@dataclass(frozen=True, kw_only=True)
class OutputImage:
    """A segmentation or a further image.  ``file`` is the name of a NumPy file with the array (z, y, x); ``called`` is
    the layer's name, "" for the service's own; ``labels`` are the labels that have voxels.
    """

    file: str
    called: str = ""
    labels: tuple[NamedLabel, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MeshFile:
    """A surface.  ``file`` is the name of a mesh file in a format that ITK-SNAP loads, in RAS, mm."""

    file: str
    called: str
    rgb: Rgb | None = None


@dataclass(frozen=True, kw_only=True)
class AlgorithmOutcome:
    """The outcome of an algorithm.  If it failed, ``error`` is a sentence for the user, and the other fields are empty.
    ``landmarks`` are in LPS, mm, by their text; ``files`` are names in the folder FILES; ``remarks`` are warnings for
    the user.
    """

    error: str = ""
    segmentations: tuple[OutputImage, ...] = ()
    images: tuple[OutputImage, ...] = ()
    meshes: tuple[MeshFile, ...] = ()
    landmarks: dict[str, Point] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (
            self.segmentations or self.images or self.meshes or self.landmarks or self.files
        )
