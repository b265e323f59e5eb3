"""The types of the arguments and of the return value of a provider's function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Progress(Protocol):
    """Shows the progress to the user: ``progress(0.3)`` or ``progress(0.3, "Smoothing")``, with the fraction that is
    done, 0 to 1, and a text.
    """

    def __call__(self, fraction: float, text: str = "") -> None: ...


class CannotSegment(Exception):
    """A provider's function raises this error with a sentence for the user.  The ticket then fails with that
    sentence.
    """


@dataclass(frozen=True, kw_only=True)
class Image:
    """A volume.

    ``array`` is (z, y, x) in the file's values (Hounsfield units of a CT); (z, y, x, components) where a
    voxel has several.  ``spacing_mm`` and ``origin_mm`` are (x, y, z) in LPS; the columns of ``direction``
    (3, 3) are the axes x, y, z in LPS.
    """

    array: Array
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: Array = field(default_factory=lambda: np.eye(3))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000

    def point_mm(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """The position in LPS, in millimetres, of the voxel index (x, y, z), which may be fractional."""
        steps = self.direction * np.asarray(self.spacing_mm)
        found = np.asarray(self.origin_mm) + steps @ np.asarray([x, y, z])
        return (float(found[0]), float(found[1]), float(found[2]))


Inputs = Mapping[str, Image]
"""Images by the name of their tag, for a function with several images."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """The name and the colour of a label.  ``rgb`` values are 0 to 255; None means a default colour."""

    name: str
    rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Segmentation:
    """A label map: ``array`` (z, y, x) of whole numbers 0 to 65535 in the image's grid; ``labels`` are the labels'
    names by value.

    ``called`` is the name of the layer in ITK-SNAP; "" means the name that ``service.json`` gives.
    """

    array: Array
    labels: Mapping[int, str | Label] = field(default_factory=dict)
    called: str = ""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A surface.  ``points_mm`` (n, 3) are in LPS, as ``image.point_mm`` returns them; ``triangles`` (m, 3) are indices
    of points, from 0.

    ``rgb`` values are 0 to 255; None means a default colour.
    """

    points_mm: Array
    triangles: Array
    rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result with other parts than one segmentation.  Each part is optional, but at least one is needed.

    ``meshes`` are surfaces by name, which become layers of the workspace.  ``images`` are further images in the
    image's grid, (z, y, x), such as a probability map; they become overlays.  ``landmarks`` are points (x, y, z) in
    LPS, mm, by their text (``image.point_mm`` converts an index).  ``files`` are attached to the ticket's log, by
    name: a table (``candidates.csv``), a report.  ``remarks`` are warnings for the user.
    """

    segmentations: Sequence[Segmentation] = ()
    meshes: Mapping[str, Mesh] = field(default_factory=dict)
    images: Mapping[str, Array] = field(default_factory=dict)
    landmarks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    remarks: Sequence[str] = ()
