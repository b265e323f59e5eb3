"""Checks that no slice of a series is missing.  The signs are unreadable files in its folder, and a DICOMDIR."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.files import File
from dss_images.dicom.header import Damaged
from dss_images.dicom.series import FolderContents, Series
from dss_images.dicom.series_choice import MODALITIES
from dss_images.dicom.slices import counted

MOST_LISTED = 5
_BEGINNING_BYTES = 132
_LIKE_SIZE = 0.01
"""Largest relative difference between the sizes of two files that may be slices of one series: texts in their tags
differ in length.
"""
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".z"}
"""Suffixes of compressed files.  A slice that was compressed as a file counts as missing, because it is not read."""
_CHOSEN = {"", *MODALITIES}


def require_complete(series: Series, folder: FolderContents) -> None:
    """Raises DicomRefused if a file that is, or may be, a slice of ``series`` is unreadable or missing."""
    broken = [d for d in folder.damaged if _may_be_of(series, d)]
    if broken:
        raise DicomRefused(_why_damaged(broken))
    _require_names(series, folder.foreign)
    _require_listed(series, folder)


def require_choosable(folder: FolderContents) -> None:
    """Raises DicomRefused if an unreadable file may belong to a series that was not found, and that might be chosen.

    Called only if the user has not named a series.
    """
    known = {series.key.uid for series in folder.series}
    broken = [d for d in folder.damaged if d.series_uid not in known and d.modality in _CHOSEN]
    if broken:
        raise DicomRefused(_why_damaged(broken))


def _may_be_of(series: Series, broken: Damaged) -> bool:
    if broken.series_uid:
        return broken.series_uid == series.key.uid
    return broken.modality in {"", series.modality}


def _why_damaged(broken: list[Damaged]) -> str:
    listed = "; ".join(f"{d.file.name} {d.why}" for d in broken[:MOST_LISTED])
    more = f"; and {len(broken) - MOST_LISTED} more" if len(broken) > MOST_LISTED else ""
    return (
        f"{counted(len(broken), 'DICOM file')} cannot be read whole: {listed}{more}. Copy the series "
        "anew; if the file belongs to another series, give the folder of the wanted one alone."
    )


def _require_names(series: Series, foreign: Collection[File]) -> None:
    """Raises DicomRefused if one of the non-DICOM files ``foreign`` may be a damaged slice.

    That is a file in a folder with slices of ``series`` that is named like them, or has their suffix and looks like a
    damaged slice (``_may_be_slice``).
    """
    like = {(h.file.folder, pattern) for h in series.headers for pattern in _patterns(h.file.name)}
    kinds = {(h.file.folder, _suffix(h.file.name)) for h in series.headers}
    sizes = {h.file.path.stat().st_size for h in series.headers} if foreign else set()
    rests = [
        f
        for f in foreign
        if any((f.folder, p) in like for p in _patterns(f.name))
        or ((f.folder, _suffix(f.name)) in kinds and _may_be_slice(f, sizes))
    ]
    if rests:
        listed = ", ".join(
            f"{f.name} ({f.trouble})" if f.trouble else f.name for f in rests[:MOST_LISTED]
        )
        raise DicomRefused(
            f"{counted(len(rests), 'file')} beside the slices may be slices, and cannot be read as DICOM: "
            f"{listed}. Copy the series anew, or remove what is no slice."
        )


def _suffix(name: str) -> str:
    """The suffix of a file name, in lower case; "" if it is a number, because the name then is a UID."""
    suffix = PurePosixPath(name.lower()).suffix
    return "" if suffix[1:].isdigit() else suffix


def _may_be_slice(file: File, sizes: Collection[int]) -> bool:
    """True if the file may be a damaged slice: it cannot be opened, is empty, its first _BEGINNING_BYTES are zeros, or
    it has about one of the sizes of the slices, ``sizes`` (bytes).
    """
    if file.trouble:
        return True
    size = file.path.stat().st_size
    if any(abs(size - other) <= _LIKE_SIZE * other for other in sizes):
        return True
    with file.path.open("rb") as opened:
        return not opened.read(_BEGINNING_BYTES).strip(b"\0")


def _patterns(name: str) -> set[str]:
    """Patterns by which slices of one series may be recognised, from the file name ``name`` of a slice.

    They are the name with ``#`` in place of each number, if it has one, and the suffix, if it is usual for DICOM, both
    without a suffix of compression such as .gz.
    """
    path = PurePosixPath(name.lower())
    if path.suffix in _PACKED:
        path = path.with_suffix("")
    found = {re.sub(r"[0-9]+", "#", path.name)} if re.search("[0-9]", path.name) else set()
    return found | ({path.suffix} if path.suffix in {".dcm", ".ima", ".dicom", ".dic"} else set())


def _require_listed(series: Series, folder: FolderContents) -> None:
    """Raises DicomRefused if a DICOMDIR in the folder lists an image of ``series`` that is missing."""
    listed = [entry for other in folder.others for entry in other.listing]
    there = {header.instance_uid for header in series.headers}
    lost = [
        number
        for uid, instance, number in listed
        if uid == series.key.uid and instance not in there
    ]
    if lost:
        names = ", ".join(lost[:MOST_LISTED]) + (" and more" if len(lost) > MOST_LISTED else "")
        raise DicomRefused(
            f"The DICOMDIR lists {counted(len(lost), 'slice')} of the series that are not in the folder: "
            f"InstanceNumber {names}. Copy the series anew."
        )
