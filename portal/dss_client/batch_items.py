"""The items of a batch: images, and series of DICOM folders, each with a unique name."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_client.volumes import LabelVolume

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".zip", ".itksnap")

WAITING, SUBMITTED, SUCCESS, REFUSED = "waiting", "submitted", "success", "not sent"
NOT_DOWNLOADED = "not downloaded"
"""States of an item.  A ticket that failed gives its item the server's own word instead."""


@dataclass
class Item:
    """One image of the batch, with its current state.  ``series`` is "", or the number of a series as ``dss images``
    lists it; that may change with the folder, so ``uid`` is its SeriesInstanceUID, "" if other series have it too.
    ``service`` is the user's name for the service, "" until ``for_services``.
    """

    name: str
    source: Path
    series: str = ""
    uid: str = ""
    service: str = ""
    ticket: int = 0
    status: str = WAITING
    reason: str = ""
    labels: tuple[LabelVolume, ...] = field(default=())

    @property
    def ended(self) -> bool:
        return self.status not in {WAITING, SUBMITTED}


def items_of(sources: Sequence[Path], *, each: bool) -> list[Item]:
    """One item for each source, or with ``each`` one for each image below a folder and for each of its DICOM series.

    Names are unique; the name of a series ends with its number.  Raises ImageUnreadable if there is no image.
    """
    within = [_within(source) if each else [_Part(source)] for source in sources]
    if not any(within):
        raise ImageUnreadable("There is no image in what was named.")
    found = [
        part
        for source, parts in zip(sources, within, strict=True)
        for part in parts or [_Part(source)]  # it will be told why there is none
    ]
    return [
        Item(name=name, source=part.source, series=part.series, uid=part.uid)
        for name, part in zip(_names(found), found, strict=True)
    ]


@dataclass(frozen=True)
class _Part:
    """An image, or a series of a source."""

    source: Path
    series: str = ""
    uid: str = ""


def for_services(items: Sequence[Item], services: Sequence[str]) -> list[Item]:
    """One item for each pair of an item and a service; with several services, its name contains the service."""
    several = len(services) > 1
    return [
        replace(
            item, name=f"{item.name}_{_name_in(service)}" if several else item.name, service=service
        )
        for item in items
        for service in services
    ]


def _name_in(service: str) -> str:
    """The text as a part of a folder's name."""
    return re.sub(r"[^\w.-]", "_", service)


def _within(source: Path) -> list[_Part]:
    """Image files below a folder, and the usable series of its DICOM files."""
    if not source.is_dir():
        return (_series(source) if _is_dicom(source) else []) or [_Part(source)]
    files = [path for path in _files(source) if path.name.lower().endswith(ENDINGS)]
    parts = [_Part(p) for p in files if not p.name.lower().endswith((".img", ".zip", ".itksnap"))]
    return parts + _series(source)


def _files(folder: Path) -> list[Path]:
    """All files below ``folder``.  Raises ImageUnreadable for a folder that cannot be opened."""

    def refuse(error: OSError) -> None:
        raise ImageUnreadable(f"{error.filename} cannot be opened: {error.strerror}.") from error

    found = os.walk(folder, onerror=refuse)
    paths = (Path(place) / name for place, _, names in found for name in names)
    return sorted(path for path in paths if path.is_file())


def _is_dicom(source: Path) -> bool:
    from dss_images.dicom.reading import is_dicom  # noqa: PLC0415  (pydicom is slow to load)

    return is_dicom(source)


def _series(source: Path) -> list[_Part]:
    """The folder with number and UID of each DICOM series that is not a localizer; empty without DICOM."""
    from dss_images.dicom.reading import survey  # noqa: PLC0415
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    try:
        found = survey(source)
    except ImageRefused:
        return _apart(source)
    uses = Counter(v.series.key.uid for v in found.verdicts)
    return [
        _Part(source, str(series.number), series.key.uid if uses[series.key.uid] == 1 else "")
        for series in (v.series for v in found.verdicts)
        if not series.is_localizer
    ]


def _apart(source: Path) -> list[_Part]:
    """The parts of what cannot be read as a whole, such as a folder with a damaged archive.

    A part that cannot be read either is an image that will be refused with its reason.
    """
    if not source.is_dir():
        return [_Part(source)]
    inside = sorted(source.iterdir())
    parts = [path for path in inside if path.is_dir() or path.suffix.lower() == ".zip"]
    has_own = any(_is_dicom(path) for path in inside if path.is_file() and path not in parts)
    return [found for part in parts for found in _series(part)] + [_Part(source)] * has_own


def _names(parts: Iterable[_Part]) -> list[str]:
    """Names for folders and tables: the file's name without its ending, numbered if several files have it."""
    stems = [_stem(p.source) + (f"_series_{p.series}" if p.series else "") for p in parts]
    counts = Counter(stems)
    taken = {stem for stem in stems if counts[stem] == 1}
    names = []
    for stem in stems:
        name = stem if counts[stem] == 1 else _unused(stem, taken)
        taken.add(name)
        names.append(name)
    return names


def _unused(stem: str, taken: Collection[str]) -> str:
    return next(name for n in count(1) if (name := f"{stem}_{n}") not in taken)


def _stem(source: Path) -> str:
    name = source.resolve().name
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)] or "image"
