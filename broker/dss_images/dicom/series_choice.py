"""Chooses a series of a DICOM source: the series that the user has named, or one by rule."""

import re
from collections.abc import Sequence

from dss_images.dicom.errors import DicomRefused, NoSeries
from dss_images.dicom.series import FolderContents, Series
from dss_images.dicom.slices import counted

MODALITIES = ("CT", "MR")
FEWEST_SLICES = 3
NEEDED = (
    "A series of DICOM images is needed; an image of NIfTI, NRRD or MetaImage is sent as a file of its own, not in a zip "
    "or a folder."
)


def choose(folder: FolderContents, word: str, name: str) -> tuple[Series, int]:
    """The chosen series, and the number of the chosen phase, from 1; 0 if the user did not name a phase.

    ``word`` is the user's choice: the number of a series, ``3.2`` for the second phase of series 3, or a
    SeriesInstanceUID.  If it is "", the series with the most slices is chosen among those of CT and MR (of unknown
    modality if there is none), without localizers and series of few positions if others remain.  ``name`` is the
    source's name for sentences.  Raises DicomRefused if no series fits ``word`` or the rule, or several have the most
    slices; NoSeries if there is no series.
    """
    if not folder.series:
        raise NoSeries(f"There is no DICOM image in {name}; it holds {_contents(folder)}. {NEEDED}")
    if word:
        return _named(folder.series, word)
    return _by_rule(folder.series), 0


def _contents(folder: FolderContents) -> str:
    """What a source without a series holds, as part of a sentence."""
    parts = []
    if folder.others:
        kinds = sorted({other.kind for other in folder.others})[:3]
        parts.append(f"{counted(len(folder.others), 'DICOM file')} of {', '.join(kinds)}")
    if folder.damaged:
        parts.append(counted(len(folder.damaged), "damaged DICOM file"))
    if folder.foreign:
        first, *more = [file.name for file in folder.foreign]
        parts.append(
            f"{1 + len(more)} files that are not DICOM, such as {first}"
            if more
            else f"the file {first}, which is not DICOM"
        )
    return " and ".join(parts) or "no file"


def listing(found: Sequence[Series]) -> str:
    """The list of series for the user, one line each."""
    return "\n".join(series.line for series in found)


def _named(found: Sequence[Series], word: str) -> tuple[Series, int]:
    number, _, phase = word.partition(".")
    for series in found:
        if series.key.uid == word:
            return series, 0
        if re.fullmatch(r"[0-9]+(\.[1-9][0-9]*)?", word) and series.number == int(number):
            return series, int(phase or 0)
    raise DicomRefused(f"There is no series {word}; there are\n{listing(found)}")


def _by_rule(found: Sequence[Series]) -> Series:
    fit = [s for s in found if s.modality in MODALITIES]
    fit = fit or [s for s in found if s.modality == "unknown"]
    if not fit:
        raise DicomRefused(
            f"There is no CT or MR series; choose one with --series:\n{listing(found)}"
        )
    fit = [s for s in fit if s.places >= FEWEST_SLICES and not s.is_localizer] or fit
    most = max(len(series.slices) for series in fit)
    best = [series for series in fit if len(series.slices) == most]
    if len(best) > 1:
        raise DicomRefused(
            f"{len(best)} series have {most} slices each; choose one with --series:\n{listing(found)}"
        )
    return best[0]
