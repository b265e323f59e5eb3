"""Landmarks of a workspace: points of the main image with a text.

Format: ImageAnnotationData.cxx of ITK-SNAP.  In a workspace, positions are in voxels of the main image, from the corner
of the first voxel: the centre of voxel (0, 0, 0) is at (0.5, 0.5, 0.5), as in AnnotationModel.cxx.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import Folder

_FOLDER = "Annotations"
_ELEMENTS = f"{_FOLDER}.Annotations"
_ARROW_MM = "8 8"
"""Offset of the text from its point in a slice, in millimetres: to the right and up."""
_AXIAL = "2"


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """A point with a text.  ``index`` (x, y, z) is in voxels; the centre of the first voxel is (0, 0, 0), unlike in the
    file.  ``rgb`` is 0 to 255.
    """

    text: str
    index: tuple[float, float, float]
    rgb: tuple[int, int, int]


def add_landmarks(workspace: Folder, landmarks: Sequence[Landmark]) -> None:
    """Append ``landmarks`` to the workspace, after the landmarks of the user."""
    if not landmarks:
        return
    folder = workspace.make(_FOLDER)
    folder.set("Format", "ITK-SNAP Annotation File")
    folder.set("FormatDate", "20150624")
    elements = folder.make("Annotations")
    count = _count(elements)
    for index, landmark in enumerate(landmarks, start=count):
        elements.folders[f"Element[{index}]"] = _element(landmark)
    elements.set("ArraySize", str(count + len(landmarks)))


def landmarks_tagged(workspace: Folder, tag: str) -> list[tuple[float, ...]]:
    """Positions (x, y, z) of the landmarks that have ``tag`` as one of their tags, or as their text, as in ITK-SNAP.

    They are in voxels of the main image, from the corner of the first voxel, whose centre is (0.5, 0.5, 0.5).  Raises
    WorkspaceInvalid if such a landmark has no valid position.
    """
    found = [element for element in _marks(workspace) if tag in names(element, "Text")]
    return [_position(element, tag) for element in found]


def landmark_names(workspace: Folder) -> set[str]:
    """The tags and texts of all landmarks."""
    return {name for element in _marks(workspace) for name in names(element, "Text")}


def invalid_positions(workspace: Folder) -> list[str]:
    """The positions, as text, of the landmarks whose position is not three finite numbers."""
    texts = [element.get("Pos") for element in _marks(workspace)]
    return [text for text in texts if not _numbers(text)]


def landmark_positions(workspace: Folder) -> list[tuple[str, tuple[float, ...]]]:
    """Text and position (x, y, z) of each landmark whose position is three finite numbers.

    Positions are in voxels of the main image, from the corner of the first voxel, whose centre is (0.5, 0.5, 0.5).
    """
    found = [(e.get("Text"), _numbers(e.get("Pos"))) for e in _marks(workspace)]
    return [(text, position) for text, position in found if position]


def uncounted(workspace: Folder) -> int:
    """The number of annotations that ITK-SNAP does not read, because they are beyond the list's ArraySize."""
    elements = workspace.find(_ELEMENTS) or Folder()
    return len(elements.folders) - len(elements.counted("ArraySize"))


def _marks(workspace: Folder) -> list[Folder]:
    elements = workspace.find(_ELEMENTS) or Folder()
    found = elements.counted("ArraySize")
    return [element for element in found if element.get("Type") == "LandmarkAnnotation"]


def names(folder: Folder, title: str) -> set[str]:
    """The names of the object in ``folder`` (a landmark or a time point) that ITK-SNAP accepts as a tag of a service.

    They are its tags and the value of its entry ``title``.
    """
    tags = (tag.strip() for tag in folder.get("Tags").split(","))
    return {name for name in (*tags, folder.get(title)) if name}


def _position(element: Folder, tag: str) -> tuple[float, ...]:
    position = _numbers(element.get("Pos"))
    if not position:
        raise WorkspaceInvalid(
            f"The landmark tagged '{tag}' has no place in the image; set it again."
        )
    return position


def _numbers(text: str) -> tuple[float, ...]:
    """The three finite numbers in ``text``; () if it is anything else."""
    try:
        found = tuple(float(word) for word in text.split())
    except ValueError:
        return ()
    return found if len(found) == 3 and all(math.isfinite(n) for n in found) else ()


def _count(elements: Folder) -> int:
    size = elements.get("ArraySize")
    return int(size) if size.isdecimal() else 0


def _element(landmark: Landmark) -> Folder:
    entries = {
        "Selected": "0",
        "VisibleInAllSlices": "0",
        "VisibleInAllPlanes": "1",
        "Plane": _AXIAL,
        "Color": _listed(value / 255 for value in landmark.rgb),
        "Tags": "",
        "Type": "LandmarkAnnotation",
        "Pos": _listed(place + 0.5 for place in landmark.index),
        "Offset": _ARROW_MM,
        "Text": landmark.text,
    }
    return Folder(entries=entries)


def _listed(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.6g}" for number in numbers)
