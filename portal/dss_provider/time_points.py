"""Chooses the time point of a 4-D image that the algorithm gets, and stores it as a 3-D image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dss_broker.dispatch_section import Dispatch, ProviderKind
from dss_images.errors import ImageRefused
from dss_images.reading import frame_of, read_header
from dss_provider.errors import AlgorithmFailed
from dss_provider.images import ONE_VOLUME, frames_of, suffix_for, write_in_grid
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import Folder
from dss_workspace.time_points import CHOSEN_TIME_POINT, chosen_time_point, tagged_time_points

MOST_NUMBERS = 3
"""Number of time points that a warning names."""


@dataclass(frozen=True, kw_only=True)
class TimePoint:
    """The time point ``number``, from 1, of an image with ``count`` time points."""

    number: int
    count: int

    @property
    def remark(self) -> str:
        return CHOSEN_TIME_POINT.format(self.count, self.number)


def chosen_of(workspace: Folder, dispatch: Dispatch, image: Path) -> TimePoint | None:
    """The time point that the user has tagged in ``workspace``.  None if the file ``image`` has only one time point, or
    if the service has no tag for time points.  Raises AlgorithmFailed if none or an impossible one is tagged.
    """
    if not dispatch.time_point or (count := frames_of(image)) == 1:
        return None
    try:
        number = chosen_time_point(workspace, dispatch.time_point, count)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error
    return TimePoint(number=number, count=count)


def whole_series_warning(workspace: Folder, dispatch: Dispatch, image: Path) -> str:
    """A warning for the user that a program gets all time points of the file ``image``, because the service has no tag
    for one; it names the time points that are tagged in ``workspace``.  "" if the image has only one time point or the
    service has a tag for it, and for a function, whose own process refuses a series.

    Raises AlgorithmFailed if the file is refused, or if the program can return nothing but a label map, which lies at
    one time point.
    """
    is_program = dispatch.provider is not ProviderKind.PYTHON
    if dispatch.time_point or not is_program or (count := frames_of(image)) == 1:
        return ""
    if not dispatch.takes_folder:
        raise AlgorithmFailed(ONE_VOLUME.format(count))
    tagged = tagged_time_points(workspace)
    numbers = " and ".join(str(number) for number in tagged[:MOST_NUMBERS])
    chosen = f" The tag of time point {numbers} had no effect." if tagged else ""
    return (
        f"The image has {count} time points. This service takes no choice of one: its program got all of them, and what "
        f"it found may be of any.{chosen}"
    )


def at_time_point(
    inputs: Mapping[str, Path], time_point: TimePoint | None, folder: Path
) -> dict[str, Path]:
    """``inputs``, which are files by tag; in place of each file with several time points, a new file in ``folder`` with
    the volume at ``time_point``.  If ``time_point`` is None, ``inputs`` unchanged.

    Raises AlgorithmFailed if a file has another number of time points than the main image, unless it has only one.
    """
    if time_point is None:
        return dict(inputs)
    found = {}
    for index, (tag, path) in enumerate(inputs.items()):
        count = frames_of(path)
        if count not in {1, time_point.count}:
            raise AlgorithmFailed(
                f"The image tagged '{tag}' has {count} time points, the main one {time_point.count}; both need the same, or "
                f"'{tag}' only one."
            )
        found[tag] = path if count == 1 else _frame(path, time_point, folder, index)
    return found


def _frame(path: Path, time_point: TimePoint, folder: Path, index: int) -> Path:
    target = folder / f"image_{index}_at_{time_point.number}{suffix_for(path)}"
    try:
        array = frame_of(read_header(path), time_point.number)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error
    write_in_grid(array, path, target, what="chosen time point")
    return target
