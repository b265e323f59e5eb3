"""Finds the images below a folder, and the series of DICOM sources, each of which becomes a ticket."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dss_submission.errors import ImageUnreadable

WORKSPACE = ".itksnap"
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".zip", WORKSPACE)


@dataclass(frozen=True)
class SourcePart:
    """One image to send: an image file, or a series of a DICOM source.

    ``series`` is the number of the series in the list of ``dss images``, ``uid`` its SeriesInstanceUID; both are "" for
    an image file, and ``uid`` also if several series of the source have it.  ``files`` are the series' files, of which
    those of an archive do not exist any more; () for an image file.
    """

    source: Path
    series: str = ""
    uid: str = ""
    files: tuple[Path, ...] = ()


def parts_of(source: Path) -> list[SourcePart]:
    """The image files below the folder ``source``, and the series of its DICOM files, without localizers.

    For a file: its DICOM series, or the file itself if it has none.  Raises ImageUnreadable for a folder that cannot be
    opened.
    """
    if not source.is_dir():
        return (_series(source) if is_dicom(source) else []) or [SourcePart(source)]
    return [SourcePart(path) for path in image_files(source)] + _series(source)


def image_files(folder: Path) -> list[Path]:
    """The files below ``folder`` that are images other than DICOM, by their names."""
    files = [path for path in files_of(folder) if path.name.lower().endswith(ENDINGS)]
    return [p for p in files if not p.name.lower().endswith((".img", ".zip", WORKSPACE))]


def files_of(folder: Path) -> list[Path]:
    """All files below ``folder``, each once even if links lead to it, sorted by path (scan9 before scan10).

    Links to folders are not followed.  Raises ImageUnreadable for a folder that cannot be opened.
    """

    def refuse(error: OSError) -> None:
        raise ImageUnreadable(f"{error.filename} cannot be opened: {error.strerror}.") from error

    found = os.walk(folder, onerror=refuse)
    paths = (Path(place) / name for place, _, names in found for name in names)
    images = sorted((path for path in paths if path.is_file()), key=_natural_order)
    first: dict[Path, Path] = {}
    for path in images:
        first.setdefault(_without_links(path), path)
    return list(first.values())


def _without_links(path: Path) -> Path:
    """``path`` with symbolic links resolved.  ``Path.resolve`` is not used, because it raises for a link to itself."""
    return Path(os.path.realpath(path))


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key that compares numbers in the path as numbers: it puts scan9 before scan10."""
    pieces = re.split(r"([0-9]+)", str(path))
    return [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(pieces)]


def is_dicom(source: Path) -> bool:
    """``dss_images.dicom.reading.is_dicom``: True for any folder, an archive or a DICOM file.  Raises OSError."""
    from dss_images.dicom import reading  # noqa: PLC0415  (pydicom is slow to load)

    return reading.is_dicom(source)


def may_hold_dicom(archive: Path) -> bool:
    """``dss_images.dicom.files.may_hold_dicom``: False if no file in the zip archive begins like a DICOM file; True if
    one does, or the archive contains another archive, is damaged or is encrypted.  Raises OSError if it cannot be read.
    """
    from dss_images.dicom import files  # noqa: PLC0415  (needs the extra ``images``)

    return files.may_hold_dicom(archive)


def _series(source: Path, entered: frozenset[Path] = frozenset()) -> list[SourcePart]:
    """A part for each DICOM series of ``source`` that is not a localizer.  Does not raise for a source that cannot be
    read; see ``_parts_separately``.
    """
    from dss_images.dicom.reading import survey  # noqa: PLC0415  (needs the extra ``images``)
    from dss_images.errors import ImageRefused  # noqa: PLC0415  (needs the extra ``images``)

    try:
        found = survey(source)
    except ImageRefused:
        return _parts_separately(source, entered)
    uses = Counter(v.series.key.uid for v in found.verdicts)
    return [
        SourcePart(
            source,
            str(series.number),
            series.key.uid if uses[series.key.uid] == 1 else "",
            tuple(header.file.path for header in series.headers),
        )
        for series in (v.series for v in found.verdicts)
        if not series.is_localizer
    ]


def _parts_separately(source: Path, entered: frozenset[Path]) -> list[SourcePart]:
    """The parts of a source that cannot be read as a whole, such as a folder with a damaged archive: those of each
    folder and archive in it.

    A file, or a folder's own DICOM files, that cannot be read are returned as one image; the user gets the reason when
    that image is refused.  Folders in ``entered``, to which links may lead back, are left out.
    """
    if not source.is_dir():
        return [SourcePart(source)]
    entered |= {_without_links(source)}
    inside = [path for path in sorted(source.iterdir()) if _without_links(path) not in entered]
    parts = [path for path in inside if path.is_dir() or path.suffix.lower() == ".zip"]
    has_own = any(is_dicom(path) for path in inside if path.is_file() and path not in parts)
    return [found for part in parts for found in _series(part, entered)] + [
        SourcePart(source)
    ] * has_own
