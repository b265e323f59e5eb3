# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reads DICOM folders for the tests, and their refusals."""

from pathlib import Path

import pytest

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.reading import Volume, read

PT = {"Modality": "PT", "SeriesInstanceUID": "1.2.3", "SeriesNumber": 4}


SCOUT = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def notes(volume: Volume) -> str:
    return " ".join(note.text for note in volume.notes)


def refusal(source: Path, series: str = "") -> str:
    with pytest.raises(DicomRefused) as caught:
        read(source, series)
    return str(caught.value)
