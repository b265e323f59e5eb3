"""Time points of a workspace's main image, and the tags that users assign to them.

Format: TimePointProperties.cxx of ITK-SNAP, which counts time points from 1.
"""

from collections.abc import Collection

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.landmarks import names
from dss_workspace.registry import Folder

_FOLDER = "TimePointProperties.TimePoints"
CHOSEN_TIME_POINT = "Of {} time points, number {} is looked at."
"""Template of a sentence for the user, with the count of time points and the number of the chosen one."""


def is_one_tagged(workspace: Folder, tags: Collection[str]) -> bool:
    """True if a time point has one of ``tags``, as one of its tags or as its nickname."""
    return not time_point_names(workspace).isdisjoint(tags)


def time_point_names(workspace: Folder) -> set[str]:
    """The tags and nicknames of all time points."""
    points = workspace.find(_FOLDER) or Folder()
    return {name for point in points.folders.values() for name in names(point, "Nickname")}


def chosen_time_point(workspace: Folder, tag: str, count: int) -> int:
    """The number, from 1, of the time point with ``tag`` (as one of its tags or as its nickname), for an image with
    ``count`` time points.

    Raises WorkspaceInvalid if none or several have the tag, or if the image has no time point of that number.
    """
    found = _tagged(workspace, tag)
    if len(found) != 1:
        have = f"{len(found)} of them are" if found else "none is"
        raise WorkspaceInvalid(
            f"The image has {count} time points, and {have} tagged '{tag}'. In ITK-SNAP, assign one of "
            f"them to '{tag}' on the Submit page."
        )
    if not 1 <= found[0] <= count:
        raise WorkspaceInvalid(
            f"Time point {found[0]} is tagged '{tag}', but the image has {count}."
        )
    return found[0]


def _tagged(workspace: Folder, tag: str) -> list[int]:
    points = workspace.find(_FOLDER) or Folder()
    found = [p for p in points.folders.values() if tag in names(p, "Nickname")]
    return [int(n) for n in (p.get("TimePoint") for p in found) if _is_number(n)]


def tagged_time_points(workspace: Folder) -> tuple[int, ...]:
    """The numbers, from 1, of the time points that have any tag or nickname."""
    points = workspace.find(_FOLDER) or Folder()
    found = [p for p in points.folders.values() if any(n.strip() for n in names(p, "Nickname"))]
    return tuple(sorted({int(n) for n in (p.get("TimePoint") for p in found) if _is_number(n)}))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def tag_time_point(workspace: Folder, number: int, tag: str, count: int) -> None:
    """Assign ``tag`` to the time point ``number``, from 1, of an image with ``count`` time points, as ITK-SNAP would
    write it, and remove it from the tags of all others.

    Raises WorkspaceInvalid if ``number`` is not between 1 and ``count``, or ``count`` is less than 2.
    """
    if count < 2 or not 1 <= number <= count:
        available = f"{count} time points" if count > 1 else "one time point"
        raise WorkspaceInvalid(
            f"There is no time point {number} to choose: the image has {available}."
        )
    points = workspace.make(_FOLDER)
    points.set("ArraySize", str(count))
    for each in range(1, count + 1):
        point = points.make(f"TimePoint[{each}]")
        point.set("TimePoint", str(each))
        tags = {
            name for name in point.get("Tags").split(",") if name.strip() and name.strip() != tag
        }
        point.set("Tags", ",".join([*sorted(tags), *([tag] if each == number else [])]))
