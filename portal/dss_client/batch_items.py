"""The items of a batch: images, and series of DICOM folders, each with a unique name."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_client.volumes import LabelVolume

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".zip", ".itksnap")

WAITING, SUBMITTED, SUCCESS, REFUSED = "waiting", "submitted", "success", "not sent"
"""States of an item.  A ticket that failed gives its item the server's own word instead."""


@dataclass
class Item:
    """One image of the batch, with its current state.  ``series`` is "", or the number of a series as ``dss images``
    lists it.  ``service`` is the user's name for the service, "" until ``for_services``.
    """

    name: str
    source: Path
    series: str = ""
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
    found = [pair for source in sources for pair in (_within(source) if each else [(source, "")])]
    if not found:
        raise ImageUnreadable("There is no image in what was named.")
    return [
        Item(name=name, source=source, series=series)
        for name, (source, series) in zip(_names(found), found, strict=True)
    ]


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


def _within(source: Path) -> list[tuple[Path, str]]:
    """Image files below a folder, and the usable series of its DICOM files."""
    if not source.is_dir():
        return _series(source) if _is_dicom(source) else [(source, "")]
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.name.endswith(ENDINGS))
    pairs = [(p, "") for p in files if not p.name.endswith((".img", ".zip", ".itksnap"))]
    return pairs + _series(source)


def _is_dicom(source: Path) -> bool:
    from dss_images.dicom.reading import is_dicom  # noqa: PLC0415  (pydicom is slow to load)

    return is_dicom(source)


def _series(source: Path) -> list[tuple[Path, str]]:
    """The folder with the number of each DICOM series that is not a localizer; empty without DICOM."""
    from dss_images.dicom.reading import survey  # noqa: PLC0415
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    try:
        found = survey(source)
    except ImageRefused:
        return []
    return [(source, str(v.series.number)) for v in found.verdicts if not v.series.is_localizer]


def _names(pairs: Iterable[tuple[Path, str]]) -> list[str]:
    """Names for folders and tables: the file's name without its ending, numbered if several files have it."""
    stems = [_stem(source) + (f"_series_{series}" if series else "") for source, series in pairs]
    counts, names = Counter(stems), []
    seen: Counter[str] = Counter()
    for stem in stems:
        seen[stem] += 1
        names.append(f"{stem}_{seen[stem]}" if counts[stem] > 1 else stem)
    return names


def _stem(source: Path) -> str:
    name = source.resolve().name
    ending = next((e for e in ENDINGS if name.endswith(e) and name != e), "")
    return name.removesuffix(ending) or "image"
