"""Lists the series of a DICOM folder, archive or file, and reads the image of one."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dss_images.dicom.completeness import require_choosable, require_complete
from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.files import is_archive
from dss_images.dicom.image import SeriesGrid, build, grid_of
from dss_images.dicom.notes import Note
from dss_images.dicom.parsing import looks_like_dicom
from dss_images.dicom.pixels import require_readable, values_of
from dss_images.dicom.plan import Plan, judge
from dss_images.dicom.scan_cache import scanned
from dss_images.dicom.series import FolderContents, Progress, Series, scan
from dss_images.dicom.series_choice import choose
from dss_images.dicom.slices import Slice, counted

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The image of ``series``, in LPS, with perpendicular and evenly spaced slices, and notes on its conversion."""

    image: "sitk.Image"
    series: Series
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class SeriesVerdict:
    """Whether one series can be read as an image.

    ``sentence`` describes the image, or says why there is none; ``grid`` is the image's grid, None if there is none.
    """

    series: Series
    sentence: str
    notes: tuple[Note, ...] = ()
    grid: SeriesGrid | None = None

    @property
    def refused(self) -> bool:
        return self.grid is None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All series of a source, and the series that is chosen if the user names none.

    ``chosen`` is the number of that series, None if the user must name one; ``choice`` is a sentence about this.
    """

    verdicts: tuple[SeriesVerdict, ...]
    choice: str
    chosen: int | None


def is_dicom(source: Path) -> bool:
    """True for any folder, for a zip archive and for a DICOM file.  Raises OSError if a file cannot be opened."""
    return source.is_dir() or is_archive(source) or (source.is_file() and looks_like_dicom(source))


def read(source: Path, series: str = "", progress: Progress = lambda _: None) -> Volume:
    """The image of the series that ``series`` names (see ``series_choice.choose``); if it is "", of the series chosen
    by rule.

    ``progress`` is called with 0 to 0.5 while tags are read, 0.5 to 1 while pixels are read.  Raises DicomRefused.
    """
    with _without_warnings(), _contents(source, lambda share: progress(share / 2)) as folder:
        chosen, phase = _chosen(folder, series, source.name)
        plan, notes = _planned(folder, chosen, phase)
        image, more = build(plan, lambda share: progress((1 + share) / 2))
        return Volume(image=image, series=chosen, notes=(*notes, *more))


def survey(source: Path, progress: Progress = lambda _: None) -> Survey:
    """Every series of ``source``, and whether it can be read as an image, found without building images.

    ``progress`` is called with the fraction (0 to 1) of the files whose tags are read.  Raises DicomRefused if the
    source cannot be read.
    """
    with _without_warnings(), _contents(source, progress) as folder:
        try:
            chosen = _chosen(folder, "", source.name)[0].number
            choice = f"Without --series, series {chosen} is taken."
        except DicomRefused as refusal:
            chosen, choice = None, str(refusal)
        verdicts = tuple(_verdict(folder, series) for series in folder.series)
        return Survey(verdicts=verdicts, choice=choice, chosen=chosen)


def _contents(source: Path, progress: Progress) -> AbstractContextManager[FolderContents]:
    return scanned(source, lambda files: scan(files, progress))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """A context without pydicom's warnings about unusual values, of which those that matter cause refusals or notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _chosen(folder: FolderContents, word: str, name: str) -> tuple[Series, int]:
    if not word:
        require_choosable(folder)
    return choose(folder, word, name)


def _verdict(folder: FolderContents, series: Series) -> SeriesVerdict:
    try:
        plan, notes = _planned(folder, series, 0)
        grid = grid_of(plan)
    except DicomRefused as refusal:
        return SeriesVerdict(series=series, sentence=str(refusal))
    size = " x ".join(str(n) for n in grid.size)
    spacing = " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
    sentence = f"An image of {size} voxels of {spacing} mm."
    return SeriesVerdict(series=series, sentence=sentence, notes=notes, grid=grid)


def _planned(folder: FolderContents, series: Series, phase: int) -> tuple[Plan, tuple[Note, ...]]:
    require_complete(series, folder)
    captures = [header for header in series.headers if header.is_capture]
    headers = [h for h in series.headers if not h.is_capture] or list(series.headers)
    slices = _with_telling_numbers([one for header in headers for one in header.slices])
    tables = [header for header in headers if header.has_lookup_table]
    if tables:
        raise DicomRefused(
            f"{tables[0].slices[0].called} turns its values into others by a table (ModalityLUTSequence), "
            "which is not read; export the series with slope and intercept."
        )
    for one in slices:
        require_readable(one)
    plan = judge(slices, phase, values_of)
    notes = [_what(folder, series), *(note for header in headers for note in header.notes)]
    if captures and len(captures) < len(series.headers):
        notes.append(
            Note(text=f"{counted(len(captures), 'screen capture')} of the series left out.")
        )
    return plan, (*notes, *_doubts(series), *plan.notes)


def _with_telling_numbers(slices: list[Slice]) -> list[Slice]:
    """The slices; if their InstanceNumbers are all equal, without these, so that sentences name slices by file."""
    if len(slices) > 1 and len({one.number for one in slices}) == 1:
        return [replace(one, number=None) for one in slices]
    return slices


def _what(folder: FolderContents, series: Series) -> Note:
    """A note that says which series was used, and what else the folder contains: the other images may be sent as well,
    as tickets of their own.
    """
    text = (
        f"DICOM series {series.number} ({series.modality}) of {counted(len(series.slices), 'slice')}, "
        "sorted by position."
    )
    others = [
        *(
            f"series {s.number} ({s.modality}, {counted(len(s.slices), 'slice')})"
            for s in folder.series
            if s is not series
        ),
        *sorted({f"{other.kind} files" for other in folder.others}),
    ]
    if folder.damaged:
        others.append(f"{counted(len(folder.damaged), 'damaged file')} of other series")
    if folder.foreign:
        others.append(f"{counted(len(folder.foreign), 'file')} other than DICOM")
    if others:
        text += f" Not part of this image: {', '.join(others)}."
    return Note(text=text)


def _doubts(series: Series) -> list[Note]:
    """At most one note that slices may be missing although there is no gap: some at an end, or every second one.

    The signs are ImagesInAcquisition and the InstanceNumbers.
    """
    numbers = [one.number for one in series.slices if one.number is not None]
    expected = max(header.expected for header in series.headers)
    if expected > len(series.slices):
        text = f"The tag ImagesInAcquisition says {expected}; {len(series.slices)} slices are here."
        return [Note(text=text, level="warning")]
    jumps = set(np.diff(sorted(set(numbers))).tolist())
    if len(jumps) == 1 and min(jumps) > 1:
        text = f"The InstanceNumbers go up by {min(jumps)}; slices between may be missing."
        return [Note(text=text, level="warning")]
    if len(numbers) == len(series.slices) and min(numbers) > 1:
        text = f"The InstanceNumbers begin at {min(numbers)}; slices before that may be missing."
        return [Note(text=text)]
    return []
