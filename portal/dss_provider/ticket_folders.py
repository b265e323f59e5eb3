"""The folders in which tickets are processed.  They hold images of patients, so none outlives its ticket for long."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dss_provider import publishers

_PREFIX = "dss-ticket-"


@contextmanager
def ticket_folder() -> Iterator[Path]:
    """A folder for one ticket, which only this user can read; it is removed afterwards."""
    prefix = f"{_PREFIX}{publishers.mark()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_orphans(*, and_own: bool = False) -> None:
    """Remove the folders of this user's publishers that were killed; with ``and_own`` those of this process, too."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        marked = folder.name.removeprefix(_PREFIX).rpartition("-")[0]
        is_ours = folder.lstat().st_uid == os.geteuid() and not folder.is_symlink()
        is_left = not publishers.is_alive(marked) or (and_own and marked == publishers.mark())
        if is_ours and is_left:
            shutil.rmtree(folder, ignore_errors=True)
