"""Checks that no slice of a series is missing, using the damaged files beside it and the DICOMDIR."""

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
"""Relative difference in size up to which uncompressed files may be slices of one series; their texts differ in length.
"""
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".z"}
"""Suffixes of slices that were compressed one by one, which count as missing."""
_CHOSEN = {"", *MODALITIES}


def require_complete(series: Series, folder: FolderContents) -> None:
    """Raises DicomRefused if a file that is, or may be, a slice of ``series`` cannot be read."""
    broken = [d for d in folder.damaged if _may_be_of(series, d)]
    if broken:
        raise DicomRefused(_why_damaged(broken))
    _require_names(series, folder.foreign)
    _require_listed(series, folder)


def require_choosable(folder: FolderContents) -> None:
    """Raises DicomRefused if an unreadable file may belong to a better series than those found.  It is called only if
    the user has not named a series.
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
    told = "; ".join(f"{d.file.name} {d.why}" for d in broken[:MOST_LISTED])
    more = f"; and {len(broken) - MOST_LISTED} more" if len(broken) > MOST_LISTED else ""
    return (
        f"{counted(len(broken), 'DICOM file')} cannot be read whole: {told}{more}. Copy the series "
        "anew; if the file belongs to another series, give the folder of the wanted one alone."
    )


def _require_names(series: Series, foreign: Collection[File]) -> None:
    """Raises DicomRefused if a file that is not DICOM may be a damaged slice, because it is named like a slice in its
    folder.
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
        told = ", ".join(
            f"{f.name} ({f.trouble})" if f.trouble else f.name for f in rests[:MOST_LISTED]
        )
        raise DicomRefused(
            f"{counted(len(rests), 'file')} beside the slices may be slices, and cannot be read as DICOM: "
            f"{told}. Copy the series anew, or remove what is no slice."
        )


def _suffix(name: str) -> str:
    """The suffix of a file name; "" if the suffix is a number, because that is the last part of a UID."""
    suffix = PurePosixPath(name.lower()).suffix
    return "" if suffix[1:].isdigit() else suffix


def _may_be_slice(file: File, sizes: Collection[int]) -> bool:
    """True if the file may be what is left of a slice: it cannot be opened, begins with zeros, or is as large as a
    slice of ``sizes`` (bytes).
    """
    if file.trouble:
        return True
    size = file.path.stat().st_size
    if any(abs(size - other) <= _LIKE_SIZE * other for other in sizes):
        return True
    with file.path.open("rb") as opened:
        return not opened.read(_BEGINNING_BYTES).strip(b"\0")


def _patterns(name: str) -> set[str]:
    """Patterns that the names of one series share: the name with ``#`` for each number, and its suffix if that is one
    of DICOM's.
    """
    path = PurePosixPath(name.lower())
    if path.suffix in _PACKED:
        path = path.with_suffix("")
    found = {re.sub(r"[0-9]+", "#", path.name)} if re.search("[0-9]", path.name) else set()
    return found | ({path.suffix} if path.suffix in {".dcm", ".ima", ".dicom", ".dic"} else set())


def _require_listed(series: Series, folder: FolderContents) -> None:
    """Raises DicomRefused if an image that a DICOMDIR lists is missing."""
    listed = [entry for other in folder.others for entry in other.listing]
    there = {header.instance_uid for header in series.headers}
    lost = [
        number
        for uid, instance, number in listed
        if uid == series.key.uid and instance not in there
    ]
    if lost:
        told = ", ".join(lost[:MOST_LISTED]) + (" and more" if len(lost) > MOST_LISTED else "")
        raise DicomRefused(
            f"The DICOMDIR lists {counted(len(lost), 'slice')} of the series that are not in the folder: "
            f"InstanceNumber {told}. Copy the series anew."
        )
