"""Lists the files below a folder that ``dss send --each`` does not send, so that the user is told of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dss_submission.parts import ENDINGS, WORKSPACE, files_of, is_dicom, may_hold_dicom

ARCHIVE = ".zip"
MAX_NAMED = 10
"""Most files of a kind that ``LeftOut.sentences`` names."""
_HEADERS = (".hdr", ".mhd", ".nhdr")
_OF_HEADERS = (".img", ".img.gz", ".raw", ".raw.gz", ".zraw", ".gz", ".bin")
"""Endings of files that contain the voxels for a header file in the same folder."""
_USUAL = (".csv", ".htm", ".html", ".inf", ".ini", ".json", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml")  # fmt: skip
_USUAL_NAMES = ("dicomdir", "readme", "license", "lockfile", "version", "thumbs.db")


@dataclass(frozen=True)
class LeftOut:
    """Files that are not sent.

    ``foreign`` are files that the user may take for images; ``workspaces`` are ITK-SNAP's; ``usual`` are files such as
    README that are often stored beside images: the user is told their number, not their names.
    """

    foreign: tuple[Path, ...] = ()
    workspaces: tuple[Path, ...] = ()
    usual: tuple[Path, ...] = ()

    def sentences(self) -> list[str]:
        """A sentence for the user about each of the three kinds, without kinds of which there are no files."""
        found = []
        if self.foreign:
            begin = _counted(
                self.foreign,
                "is not sent, since it is no image",
                "are not sent, since they are no images",
            )
            found.append(f"{begin} of NIfTI, NRRD, MetaImage or DICOM: {_names(self.foreign)}.")
        if self.workspaces:
            begin = _counted(self.workspaces, "is a workspace", "are workspaces")
            found.append(
                f"{begin} and not sent by --each; send it by its name: {_names(self.workspaces)}."
            )
        if self.usual:
            found.append(
                f"{_counted(self.usual, 'is', 'are')} left out (README, .txt, DICOMDIR and the like)."
            )
        return found


def left_out(sources: Sequence[Path]) -> LeftOut:
    """The files below the folders in ``sources`` that ``parts_of`` does not find, also archives without DICOM files.

    Sources that are files are ignored.  Raises ImageUnreadable for a folder that cannot be opened.
    """
    below = [path for source in sources if source.is_dir() for path in files_of(source)]
    workspaces = [path for path in below if path.name.lower().endswith(WORKSPACE)]
    others = [p for p in below if not _is_image(p) and p not in workspaces]
    usual = [path for path in others if _is_usual(path)]
    foreign = [path for path in others if not _is_usual(path) and not _is_dicom(path)]
    return LeftOut(tuple(foreign), tuple(workspaces), tuple(usual))


def _is_image(path: Path) -> bool:
    """True if the file has the ending of an image, is an archive with DICOM files, or has the ending of a voxel file
    and is in a folder with a header file.
    """
    name = path.name.lower()
    if name.endswith(ARCHIVE):
        return _is_dicom(path)
    if name.endswith(_OF_HEADERS) and not name.endswith(".nii.gz"):
        return any(p.name.lower().endswith(_HEADERS) for p in path.parent.iterdir())
    return name.endswith(ENDINGS)


def _is_usual(path: Path) -> bool:
    name = path.name.lower()
    return name.startswith(".") or name.endswith(_USUAL) or path.stem.lower() in _USUAL_NAMES or name in _USUAL_NAMES  # fmt: skip


def _is_dicom(path: Path) -> bool:
    """True for a DICOM file, and for an archive that may contain one.

    False for a file that cannot be read, so that the user is told its name.
    """
    try:
        return may_hold_dicom(path) if path.name.lower().endswith(ARCHIVE) else is_dicom(path)
    except OSError:
        return False


def _counted(files: Sequence[Path], one: str, several: str) -> str:
    return f"1 file {one}" if len(files) == 1 else f"{len(files)} files {several}"


def _names(files: Sequence[Path]) -> str:
    named = ", ".join(path.name for path in files[:MAX_NAMED])
    return named if len(files) <= MAX_NAMED else f"{named} and {len(files) - MAX_NAMED} others"
