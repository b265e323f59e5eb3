"""Shows what would be sent, without sending it."""

import tempfile
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_client.plain_shipment import Silent
from dss_submission.images import Progress
from dss_submission.needs import ServiceDetail, Tag
from dss_submission.preparing import Source, prepare
from dss_workspace.layers import Role, layers
from dss_workspace.registry import read

_ROLES = {
    Role.MAIN: "Main image",
    Role.OVERLAY: "Further image",
    Role.SEGMENTATION: "Segmentation",
}


class _Notes(Silent):
    """Collects the notes about the images."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self._progress = progress

    def note(self, text: str) -> None:
        self.notes.append(text)

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        self._progress(done_bytes / max(total_bytes, 1))


def preview(source: Source, progress: Progress) -> list[str]:
    """Read and convert the images as for sending, and return lines with their sizes and notes.

    Raises ImageUnreadable.
    """
    told = _Notes(progress)
    tags = [Tag(name=name, type="OverlayImage", required=False) for name in source.tagged]
    with tempfile.TemporaryDirectory(prefix="alfabis_") as folder:
        workspace = prepare(source, ServiceDetail(tags=tuple(tags)), Path(folder), told)(0)
        found = [
            (
                _ROLES.get(Role(layer.role), layer.role),
                layer.tags,
                _size(Path(folder) / layer.file_name),
            )
            for layer in layers(read(workspace))
        ]
    if len(found) == 1:
        return [f"{found[0][2]} voxels would be sent.", *told.notes]
    named = [f"{role}{_told(tags)}: {size} voxels" for role, tags, size in found]
    return [f"{len(found)} images would be sent.", *named, *told.notes]


def _told(tags: tuple[str, ...]) -> str:
    return f" ({', '.join(tags)})" if tags else ""


def _size(path: Path) -> str:
    from dss_images.reading import read_header  # noqa: PLC0415  (SimpleITK is slow to load)

    return " x ".join(str(n) for n in read_header(path).grid.size)


def list_series(source: Path, progress: Progress) -> list[str]:
    """Lines about each series of a DICOM folder: whether it would be accepted, judged by its tags.

    For a file that is not DICOM, its ``preview``.  Raises ImageUnreadable.
    """
    from dss_images.dicom.reading import is_dicom, survey  # noqa: PLC0415  (pydicom is slow to load)
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    if not is_dicom(source):
        return preview(Source(path=source), progress)
    try:
        found = survey(source, progress)
    except ImageRefused as error:
        raise ImageUnreadable(str(error)) from error
    lines = []
    for verdict in found.verdicts:
        told = f"Refused: {verdict.sentence}" if verdict.refused else verdict.sentence
        lines += [verdict.series.line, f"      {told}"]
        lines += [f"      {note.text}" for note in verdict.notes]
    return [*lines, found.choice]
