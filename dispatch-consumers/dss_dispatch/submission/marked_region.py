"""Reads the part of the image that the user has marked: landmarks at two corners of a box, a tag at a time point."""

import math
from dataclasses import dataclass, field

from dss_broker.dispatch_section import Dispatch
from dss_dispatch.errors import TicketError, workspace_errors
from dss_dispatch.ticket_images import ImageHeader
from dss_workspace.landmarks import landmarks_tagged
from dss_workspace.registry import Folder
from dss_workspace.time_points import CHOSEN_TIME_POINT, chosen_time_point

_AXES = "xyz"


@dataclass(frozen=True, kw_only=True)
class MarkedRegion:
    """The part of an image that the user has marked.  ``parameters`` are for the algorithm, ``remarks`` for the user;
    both are empty if nothing is marked, which a 4-D image does not allow.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@workspace_errors()
def read_marked_region(workspace: Folder, dispatch: Dispatch, image: ImageHeader) -> MarkedRegion:
    """The marked part of ``image``, which has the grid of the main image.

    Raises TicketError for a repeated or unusable mark, for one corner of a box without the other, and for a 4-D image
    without a marked time point.
    """
    parts = [_time_point(workspace, dispatch, image), _crop_box(workspace, dispatch, image)]
    return MarkedRegion(
        parameters={key: text for part in parts for key, text in part.parameters.items()},
        remarks=tuple(remark for part in parts for remark in part.remarks),
    )


def _time_point(workspace: Folder, dispatch: Dispatch, image: ImageHeader) -> MarkedRegion:
    if image.dimensions < 4:
        return MarkedRegion()
    count = image.size[3]
    number = chosen_time_point(workspace, dispatch.time_point, count)
    return MarkedRegion(
        parameters={"time_point": str(number)}, remarks=(CHOSEN_TIME_POINT.format(count, number),)
    )


def _crop_box(workspace: Folder, dispatch: Dispatch, image: ImageHeader) -> MarkedRegion:
    corners = {tag: _corner(workspace, tag) for tag in dispatch.crop_box}
    marked = [place for place in corners.values() if place is not None]
    if not marked:
        return MarkedRegion()
    if len(marked) < len(corners):
        needed = " and ".join(f"'{tag}'" for tag in corners)
        raise TicketError(
            f"One corner of the box is not marked: landmarks {needed} are needed, or neither."
        )
    first, end = _box_around(marked, image)
    sides = zip(first, end, image.spacing_mm, strict=True)
    size_mm = " x ".join(f"{(b - a) * spacing:.0f}" for a, b, spacing in sides)
    return MarkedRegion(
        parameters={"crop_box": " ".join(str(n) for n in (*first, *end))},
        remarks=(f"Only the marked box of {size_mm} mm is looked at.",),
    )


def _corner(workspace: Folder, tag: str) -> tuple[float, ...] | None:
    found = landmarks_tagged(workspace, tag)
    if len(found) > 1:
        raise TicketError(f"{len(found)} landmarks are tagged '{tag}'; only one may be.")
    return found[0] if found else None


def _box_around(
    corners: list[tuple[float, ...]], image: ImageHeader
) -> tuple[list[int], list[int]]:
    """The box between two corners, as voxel indices (x, y, z) from 0: its first voxel, and the voxel after its last
    one, both within the image.  Raises TicketError if it has fewer than two voxels along an axis.
    """
    first, end = [], []
    for axis, places in enumerate(zip(*corners, strict=True)):
        n = image.size[axis]
        first.append(max(0, math.floor(min(places))))
        end.append(min(n, math.ceil(max(places))))
        if first[axis] >= end[axis] and (max(places) <= 0 or min(places) >= n):
            raise TicketError("The marked box lies outside the image; put its corners inside.")
        if end[axis] - first[axis] < 2:
            raise TicketError(
                f"The marked box is flat: its corners have the same {_AXES[axis]}. Put them at "
                "opposite corners of what is to be looked at, in different slices of every view."
            )
    return first, end
