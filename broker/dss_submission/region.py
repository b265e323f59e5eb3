"""The part of the image that the user wants to be segmented: a box, a time point, or both.

It is written into the workspace as ITK-SNAP would write it: corners of a box as landmarks, a time point by its tag.
"""

import re
from dataclasses import dataclass

from dss_submission.errors import ImageUnreadable, ServiceUnfit
from dss_submission.needs import TIME_POINT, ServiceDetail
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.landmarks import Landmark, add_landmarks
from dss_workspace.registry import Folder
from dss_workspace.time_points import is_one_tagged, tag_time_point

LANDMARK = "PointLandmark"
"""The type of a tag for a landmark (DistributedSegmentationModel.cxx)."""
CORNERS = ("CropFrom", "CropTo")
"""Tags of the landmarks at the first and the last corner of a box, in the services that come with the programs.  For a
service with two other landmark tags, those are used.
"""
_BOX = re.compile(r"(\d{1,6}):(\d{1,6}),(\d{1,6}):(\d{1,6}),(\d{1,6}):(\d{1,6})")
_YELLOW = (255, 255, 0)


@dataclass(frozen=True, kw_only=True)
class Region:
    """The part to segment; None stands for no limit.

    ``box`` is the first voxel and the voxel after the last one, each (x, y, z), counted from 0; ``time_point`` is
    counted from 1.
    """

    box: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    time_point: int | None = None


def box_in(text: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The box, as in Region, that ``text`` describes as ``X0:X1,Y0:Y1,Z0:Z1``.

    None if ``text`` has another form, or the box has fewer than two voxels along an axis.
    """
    found = _BOX.fullmatch(text.replace(" ", ""))
    if found is None:
        return None
    numbers = [int(word) for word in found.groups()]
    first, end = tuple(numbers[0::2]), tuple(numbers[1::2])
    return (first, end) if all(b - a >= 2 for a, b in zip(first, end, strict=True)) else None


def require_fit(region: Region, service: ServiceDetail) -> None:
    """Raises ServiceUnfit if ``region`` has a box and the service has neither CORNERS nor exactly two landmark tags, or
    if it has a time point and the service has not exactly one tag for time points.
    """
    if region.box is not None:
        _corners(service)
    if region.time_point is not None:
        _time_tag(service)


def tags_of(region: Region, service: ServiceDetail) -> set[str]:
    """The service's tags that ``mark`` gives for ``region``.  Raises ServiceUnfit as ``require_fit``."""
    corners = _corners(service) if region.box is not None else ()
    times = () if region.time_point is None else (_time_tag(service),)
    return {*corners, *times}


def mark(root: Folder, region: Region, service: ServiceDetail, size: tuple[int, ...]) -> None:
    """Write ``region`` into the workspace ``root``, whose main image has ``size`` voxels: (x, y, z) or (x, y, z, t).

    Raises ImageUnreadable if the box or time point is outside the image, or the image has only one time point;
    ServiceUnfit as ``require_fit``.
    """
    if region.box is not None:
        first, end = region.box
        if any(stop > n for stop, n in zip(end, size, strict=False)):
            voxels = " x ".join(str(n) for n in size[:3])
            raise ImageUnreadable(f"The box of --crop ends outside the image of {voxels} voxels.")
        places = zip(_corners(service), (first, end), strict=True)
        marks = [Landmark(text=tag, index=_at(place), rgb=_YELLOW) for tag, place in places]
        add_landmarks(root, marks)
    if region.time_point is not None:
        try:
            tag_time_point(root, region.time_point, _time_tag(service), _frames(size))
        except WorkspaceInvalid as error:
            raise ImageUnreadable(str(error)) from error


def require_time_point(root: Folder, service: ServiceDetail, size: tuple[int, ...]) -> str:
    """Raises ImageUnreadable if an image of ``size`` voxels has several time points, the service has a tag for one, and
    the workspace ``root`` chooses none.

    Returns a warning for the user if the image has several time points and the service has no tag for one, so that it
    may refuse the image; otherwise "".
    """
    count = _frames(size)
    tags = {tag.name for tag in service.tags if tag.type == TIME_POINT}
    if count == 1 or is_one_tagged(root, tags):
        return ""
    if tags:
        raise ImageUnreadable(
            f"The image has {count} time points; the service works on one of them. Choose it: dss send with "
            f"--time-point N (1 to {count}), or in ITK-SNAP by the tag '{min(tags)}'."
        )
    return (
        f"The image has {count} time points. A service that takes one volume refuses it; then send one time point "
        "as an image of its own."
    )


def _frames(size: tuple[int, ...]) -> int:
    return size[3] if len(size) > 3 else 1


def _at(corner: tuple[int, ...]) -> tuple[float, float, float]:
    """The first corner of the voxel ``corner`` (x, y, z), where the centre of the first voxel is (0, 0, 0)."""
    x, y, z = (number - 0.5 for number in corner)
    return x, y, z


def _corners(service: ServiceDetail) -> tuple[str, ...]:
    found = tuple(tag.name for tag in service.tags if tag.type == LANDMARK)
    if set(CORNERS) <= set(found):
        return CORNERS
    if len(found) != 2:
        raise ServiceUnfit(
            "The service takes no --crop: it has no two landmarks for the corners of a box."
        )
    return found


def _time_tag(service: ServiceDetail) -> str:
    found = [tag.name for tag in service.tags if tag.type == TIME_POINT]
    if len(found) != 1:
        raise ServiceUnfit("The service takes no --time-point: it has no tag for one.")
    return found[0]
