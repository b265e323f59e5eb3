"""A disk so small that a test can fill it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import missing

BALLAST = ".ballast"


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """``folder`` on a file system of its own, in memory.  Skipped where that may not be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0777", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    if mounted.returncode != 0:
        missing(f"No file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, but_bytes: int = 0) -> None:
    """Leave ``but_bytes`` on the disk, and not more."""
    with (disk / BALLAST).open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1 << 16))
    with (disk / BALLAST).open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1 << 10))
    os.truncate(disk / BALLAST, (disk / BALLAST).stat().st_size - but_bytes)


def make_room(disk: Path) -> None:
    """Take the filling away again."""
    (disk / BALLAST).unlink(missing_ok=True)
