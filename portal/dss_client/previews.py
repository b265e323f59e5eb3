"""Shows which images would be sent, and of which size, without sending them: for ``dss send --dry-run`` and ``dss
images``.  In all functions, ``progress`` is called with the fraction that is done, 0 to 1.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dss_client.errors import ImageUnreadable
from dss_submission.images import Progress
from dss_submission.needs import ServiceDetail, Tag
from dss_submission.preparing import Silent, Source, prepare
from dss_workspace.layers import Layer, Role, layers
from dss_workspace.registry import read

if TYPE_CHECKING:
    from dss_images.dicom.reading import SeriesVerdict, Survey

_ROLES = {
    Role.MAIN: "Main image",
    Role.OVERLAY: "Further image",
    Role.SEGMENTATION: "Segmentation",
}


class _Notes(Silent):
    """Collects the notes about images while they are prepared, and passes the fraction that is done to ``progress``."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self._progress = progress

    def note(self, text: str) -> None:
        self.notes.append(text)

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        self._progress(done_bytes / max(total_bytes, 1))


def preview(source: Source, progress: Progress) -> list[str]:
    """Read and convert the images as for sending, and return lines with their sizes and notes.

    Raises ImageUnreadable if an image would be refused.
    """
    found, notes = _prepared(source, progress)
    if len(found) == 1:
        return [f"{_size(found[0])} voxels would be sent.", *notes]
    named = [f"{image.role}{_told(image.tags)}: {_size(image)} voxels" for image in found]
    return [f"{len(found)} images would be sent.", *named, *notes]


def _prepared(source: Source, progress: Progress) -> "tuple[list[FoundImage], list[str]]":
    """The images that would be sent, and the notes on them."""
    display = _Notes(progress)
    tags = [Tag(name=name, type="OverlayImage", required=False) for name in source.tagged]
    with tempfile.TemporaryDirectory(prefix="alfabis_") as folder:
        workspace = prepare(source, ServiceDetail(tags=tuple(tags)), Path(folder), display)(0)
        found = [_found(layer, Path(folder)) for layer in layers(read(workspace))]
    return found, display.notes


def _found(layer: Layer, folder: Path) -> "FoundImage":
    from dss_images.reading import read_header  # noqa: PLC0415  (SimpleITK is slow to load)

    grid = read_header(folder / layer.file_name).grid
    return FoundImage(
        role=_ROLES.get(Role(layer.role), layer.role),
        tags=layer.tags,
        size=grid.size,
        spacing_mm=grid.spacing_mm,
    )


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image that would be sent.  ``role`` is its role in the workspace, in words; ``size`` is in voxels (x, y, z)."""

    role: str
    tags: tuple[str, ...]
    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """A series of a DICOM source.  ``sentence`` describes its image or, if ``refused``, says why the series gives no
    image; ``size`` is in voxels (x, y, z), None without an image, like ``spacing_mm``.

    ``series`` is the value of ``--series`` that selects it.  ``chosen``: it is sent if the user names no series.
    """

    series: str
    modality: str
    description: str
    orientation: str
    slices: int
    phases: int
    size: tuple[int, ...] | None
    spacing_mm: tuple[float, ...] | None
    refused: bool
    sentence: str
    notes: tuple[str, ...]
    chosen: bool


def found_in(source: Path, progress: Progress) -> list[FoundSeries] | list[FoundImage]:
    """Each series of a DICOM source, also those that would be refused.  For another source, each image that would be
    sent; the first one has the notes on all of them.

    Raises ImageUnreadable if the source cannot be read or its image would be refused.
    """
    survey = _surveyed(source, progress)
    if survey is not None:
        return [
            _series(verdict, verdict.series.number == survey.chosen) for verdict in survey.verdicts
        ]
    first, *others = (found := _prepared(Source(path=source), progress))[0]
    return [replace(first, notes=tuple(found[1])), *others]


def _series(verdict: "SeriesVerdict", chosen: bool) -> FoundSeries:  # noqa: FBT001  (a field's value)
    series, grid = verdict.series, verdict.grid
    return FoundSeries(
        series=str(series.number),
        modality=series.modality,
        description=series.description,
        orientation=series.orientation,
        slices=len(series.slices),
        phases=series.phases,
        size=grid.size if grid else None,
        spacing_mm=grid.spacing_mm if grid else None,
        refused=verdict.refused,
        sentence=verdict.sentence,
        notes=tuple(note.text for note in verdict.notes),
        chosen=chosen,
    )


def _told(tags: tuple[str, ...]) -> str:
    return f" ({', '.join(tags)})" if tags else ""


def _size(image: FoundImage) -> str:
    return " x ".join(str(n) for n in image.size)


def list_series(source: Path, progress: Progress) -> list[str]:
    """Lines about each series of a DICOM folder, which say whether it would be accepted, judged by its DICOM attributes
    without its voxels; the last line names the series that is sent by default.  For a source that is not DICOM, the
    lines of ``preview``.

    Raises ImageUnreadable.
    """
    found = _surveyed(source, progress)
    if found is None:
        return preview(Source(path=source), progress)
    lines = []
    for verdict in found.verdicts:
        sentence = f"Refused: {verdict.sentence}" if verdict.refused else verdict.sentence
        lines += [verdict.series.line, f"      {sentence}"]
        lines += [f"      {note.text}" for note in verdict.notes]
    return [*lines, found.choice]


def _surveyed(source: Path, progress: Progress) -> "Survey | None":
    """What was found out about each series of a DICOM source; None if the source is not DICOM.  Raises ImageUnreadable
    if it cannot be read.
    """
    from dss_images.dicom.reading import is_dicom, survey  # noqa: PLC0415  (pydicom is slow to load)
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    if not is_dicom(source):
        return None
    try:
        return survey(source, progress)
    except ImageRefused as error:
        raise ImageUnreadable(str(error)) from error
