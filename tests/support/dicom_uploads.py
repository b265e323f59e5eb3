"""Folders of DICOM files, packed as a browser sends them."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

from support import dicom_series


def tarred(folder: Path) -> bytes:
    """All files of the folder, in a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return packed.getvalue()


def write_two_series(folder: Path) -> Path:
    """Numbers 3 and 9, of 8 slices each, so that no rule chooses, and a localizer."""
    other = {"SeriesInstanceUID": "1.2.3.4", "SeriesNumber": 9}
    scout = {"SeriesInstanceUID": "1.2.3.5", "SeriesNumber": 1}
    scout |= {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    for number, tags in enumerate(({}, other, scout)):
        planes = dicom_series.stack(1 if tags is scout else 8, tags=tags)
        named = [replace(one, name=f"{number}{one.name}") for one in planes]
        dicom_series.write(folder / str(number), named)
    return folder


def two_series(folder: Path) -> bytes:
    return tarred(write_two_series(folder / "study"))
