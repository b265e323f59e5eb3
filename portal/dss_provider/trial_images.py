"""Converts the DICOM input of ``dss service test`` to NIfTI files, as ``dss send`` does."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from dss_images.dicom.reading import is_dicom
from dss_submission.images import write_layer


def converted(
    images: Mapping[str, Path], series: Mapping[str, str], folder: Path, say: Callable[[str], None]
) -> dict[str, Path]:
    """``images``, by tag, where each DICOM folder, file or archive is replaced by a NIfTI file, made in ``folder``.
    ``series``, by tag, selects a series; ``say`` is called with each note on a conversion.

    Raises ImageUnreadable if the DICOM files cannot be read as one image, or if an image of ``series`` is not DICOM.
    """
    convert = partial(_converted, folder=folder, say=say)
    return {tag: convert(path, series.get(tag, "")) for tag, path in images.items()}


def _converted(path: Path, series: str, folder: Path, say: Callable[[str], None]) -> Path:
    if not (series or is_dicom(path)):
        return path
    say(f"Reading {path.name} as dss send does")
    layer = write_layer(path, folder, series)
    for note in layer.notes:
        say(note.text)
    return layer.path
