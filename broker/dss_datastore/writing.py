"""Files of the shared volume that survive a stopped machine."""

import os
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """The file, or the folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy where the volume has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
    sync(target)
