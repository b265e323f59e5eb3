"""Tells whether the files of an image have changed since an earlier run of a batch."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from dss_client.errors import ImageUnreadable
from dss_submission.parts import WORKSPACE, SourcePart, files_of
from dss_submission.preparing import workspace_files

_HEADERS = (".hdr", ".mhd", ".nhdr")
"""Suffixes of headers whose voxels may be in another file, which has the same name up to the suffix."""


def content_of(part: SourcePart) -> str:
    """The number of files of an image, their size, and the time (UTC) of the last change of one: a text that changes
    when a file is added, removed or written to.  "" if they cannot be read: the image is then refused when it is sent.
    """
    try:
        files = set(part.files or _files(part.source))
        if part.source.is_file():
            files.add(part.source)
        found = [path.stat() for path in files if path.is_file()]
    except (ImageUnreadable, OSError):
        return ""
    changed_s = max((one.st_mtime for one in found), default=0.0)
    changed = datetime.fromtimestamp(changed_s, UTC).isoformat(timespec="microseconds")
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    return f"{count}, {sum(one.st_size for one in found)} bytes, {changed}"


def _files(source: Path) -> Iterable[Path]:
    suffix = source.suffix.lower()
    if source.is_dir():
        return files_of(source)
    if suffix == WORKSPACE:
        return workspace_files(source)
    return source.parent.glob(f"{_literal(source.stem)}.*") if suffix in _HEADERS else ()


def _literal(name: str) -> str:
    """``name`` with the special characters of ``Path.glob`` quoted."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
