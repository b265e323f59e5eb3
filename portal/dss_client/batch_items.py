"""The items of a batch, each with a unique name: image files, and series of DICOM folders."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from dss_client.batch_content import content_of
from dss_client.errors import ImageUnreadable
from dss_client.volumes import LabelVolume
from dss_submission.left_out import left_out
from dss_submission.parts import ENDINGS, SourcePart, parts_of

WAITING, SUBMITTED, SUCCESS, REFUSED = "waiting", "submitted", "success", "not sent"
LEFT_OUT = "left out"
"""State of a file that is no image: it is not sent and has only a row in ``results.csv``."""
NOT_DOWNLOADED = "not downloaded"
"""State of an item whose ticket succeeded but whose results could not be downloaded.  An item whose ticket did not
succeed has the ticket's own state, such as "failed".
"""

_LONGEST_NAME = 200
"""Bytes of an item's name with those of its folders.  A name of a file has 255 at most, and the service's may follow."""


@dataclass
class Item:
    """One image of the batch, with its current state.  ``name`` is unique in the batch and names the folder of its
    results.

    ``series`` is "", or the number of a series as ``dss images`` lists it.  The number may change with the folder's
    content, so ``uid`` is the SeriesInstanceUID, or "" if another series has the same.  ``service`` is the user's name
    for the service, "" until ``for_services`` sets it; ``title`` is the item's name without the service.  ``content``
    changes when a file of the image is added, removed or written to.  ``key`` identifies a ticket whose creation was
    requested and whose number is not known yet; "" if there is none.  ``segmentations`` are the paths of the downloaded
    label maps in the batch's folder, separated by " ; ", and ``workspace`` is that of the result workspace.
    """

    name: str
    source: Path
    series: str = ""
    uid: str = ""
    service: str = ""
    title: str = ""
    content: str = ""
    ticket: int = 0
    key: str = ""
    status: str = WAITING
    reason: str = ""
    segmentations: str = ""
    workspace: str = ""
    labels: tuple[LabelVolume, ...] = field(default=())

    @property
    def ended(self) -> bool:
        return self.status not in {WAITING, SUBMITTED}


def items_of(sources: Sequence[Path], *, each: bool) -> list[Item]:
    """One item for each source; with ``each``, one for each image below a folder and for each of its DICOM series.  A
    source without an image gets one item, whose sending then fails with the reason.

    Names are unique, see ``_names``; the name of a series ends with its number.  Raises ImageUnreadable if no source
    contains an image.
    """
    within = [parts_of(source) if each else [SourcePart(source)] for source in sources]
    if not any(within):
        raise ImageUnreadable(
            " ".join(["There is no image in what was named.", *left_out(sources).sentences()])
        )
    found = [
        part
        for source, parts in zip(sources, within, strict=True)
        for part in parts or [SourcePart(source)]  # without parts, its row will give the reason
    ]
    return [
        Item(
            name=name,
            title=name,
            source=part.source,
            series=part.series,
            uid=part.uid,
            content=content_of(part),
        )
        for name, part in zip(_names(found), found, strict=True)
    ]


def unsent(files: Iterable[Path]) -> list[Item]:
    """Items for files that are not sent and only have a row in ``results.csv``."""
    reason = "not an image of NIfTI, NRRD, MetaImage or DICOM"
    return [Item(name=f.name, source=f, status=LEFT_OUT, reason=reason) for f in files]


def for_services(items: Sequence[Item], services: Sequence[str]) -> list[Item]:
    """One item for each pair of an item and a service.  If there are several services, the name of the new item ends
    with the service's.
    """
    several = len(services) > 1
    return [
        replace(
            item, name=f"{item.name}_{_name_in(service)}" if several else item.name, service=service
        )
        for item in items
        for service in services
    ]


def _name_in(service: str) -> str:
    """``service`` as a part of a folder's name: "_" replaces all but letters, digits, "_", "." and "-"."""
    return re.sub(r"[^\w.-]", "_", service)


def _names(parts: Iterable[SourcePart]) -> list[str]:
    """A unique name for each part, in the same order.

    A file has its name without the suffix, behind that of its folder if several files have the same; a series has the
    names of its folders below the source, and its number.  A running number is added to what is not unique even so.
    """
    parts = list(parts)
    counts = Counter(_stem(part) for part in parts)
    stems = [
        _stem(part) if part.series or counts[_stem(part)] == 1 else _stem_in_folder(part.source)
        for part in parts
    ]
    counts = Counter(stems)
    taken = {stem for stem in stems if counts[stem] == 1}
    names = []
    for stem in stems:
        name = stem if counts[stem] == 1 else _unused(stem, taken)
        taken.add(name)
        names.append(name)
    return names


def _stem(part: SourcePart) -> str:
    if not part.series:
        return stem_of(part.source)
    inside = f"{_folders_of_series(part)}_series_{part.series}"
    if inside.startswith("_series") or not _fits(inside):
        return f"{stem_of(part.source)}_series_{part.series}"
    return inside


def _folders_of_series(part: SourcePart) -> str:
    """The folders between the source and the series' files, joined by "_", such as "P001_CT"; "" if there are none."""
    source = part.source.absolute()
    folder = os.path.commonpath([file.parent.absolute() for file in part.files])
    if not Path(folder).is_relative_to(source):  # files of an archive are unpacked elsewhere
        return ""
    return "_".join(Path(folder).relative_to(source).parts)


def _stem_in_folder(source: Path) -> str:
    """The name of an image behind that of its folder: "3_ct" for "scans/3/ct.nii.gz"."""
    path = source.resolve()
    name = f"{path.parent.name}_{stem_of(path)}"
    return name if path.parent.name and _fits(name) else stem_of(path)


def _fits(name: str) -> bool:
    return len(os.fsencode(name)) <= _LONGEST_NAME


def _unused(stem: str, taken: Collection[str]) -> str:
    return next(name for n in count(1) if (name := f"{stem}_{n}") not in taken)


def stem_of(source: Path) -> str:
    """The name of a file or folder without the suffix of an image; "image" if nothing is left."""
    name = source.resolve().name
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)] or "image"
