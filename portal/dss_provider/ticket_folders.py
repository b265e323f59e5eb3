"""The temporary folders in which tickets are processed.  They contain images of patients, so they are removed when
their ticket has ended, or by the next publisher if this one is killed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dss_provider import process_marks

_PREFIX = "dss-ticket-"


@contextmanager
def ticket_folder() -> Iterator[Path]:
    """A context with a new folder for one ticket, which only this user can read.  The folder is removed at the end."""
    prefix = f"{_prefix()}{process_marks.mark()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_orphans(*, and_own: bool = False) -> None:
    """Remove the folders that killed publishers of this user and machine have left; with ``and_own``, those of this
    process, too.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*-*-*"):
        marked = folder.name.removeprefix(_prefix()).rpartition("-")[0]
        if process_marks.is_orphan(marked, and_own=and_own) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """True if the folder exists and belongs to this user."""
    with suppress(FileNotFoundError):
        return folder.lstat().st_uid == os.geteuid() and not folder.is_symlink()
    return False


def _prefix() -> str:
    return f"{_PREFIX}{process_marks.machine()}-"
