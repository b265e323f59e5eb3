"""Shows what would be sent, without sending it."""

import tempfile
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_submission.images import Progress, write_layer


def preview(source: Path, series: str, progress: Progress) -> list[str]:
    """Read and convert the image as for sending, and return lines with its size and notes.  Raises ImageUnreadable."""
    with tempfile.TemporaryDirectory(prefix="alfabis_") as folder:
        layer = write_layer(source, Path(folder), series, progress)
    size = " x ".join(str(n) for n in layer.size)
    return [f"{size} voxels would be sent.", *(note.text for note in layer.notes)]


def list_series(source: Path, progress: Progress) -> list[str]:
    """Lines about each series of a DICOM folder: whether it would be accepted, judged by its tags.

    For a file that is not DICOM, its ``preview``.  Raises ImageUnreadable.
    """
    from dss_images.dicom.reading import is_dicom, survey  # noqa: PLC0415  (pydicom is slow to load)
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    if not is_dicom(source):
        return preview(source, "", progress)
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
