"""Stored files, on the volume or in a bucket, and what their contents are."""

import os
from pathlib import Path
from typing import TypeAlias

from dss_datastore.s3.bucket import BucketFile
from dss_workspace.registry import MAX_BYTES, Folder, parse

StoredFile: TypeAlias = Path | BucketFile
"""A file of a ticket, on the volume or in a bucket.  It need not exist."""

Stamps: TypeAlias = dict[str, tuple[int, int, int]]
"""By file name: inode (in a bucket: hash of the version), size in bytes, and modification time in ns.  Any change of a
file changes its stamp.
"""


def content_of(file: StoredFile) -> bytes:
    """The content of a small file.  Raises FileNotFoundError if the file is missing.  Blocks its thread."""
    with file.open("rb") as opened:
        return opened.read()


def workspace_in(file: StoredFile) -> Folder:
    """Parse the workspace in ``file``.  Raises WorkspaceInvalid if it is none or has more than MAX_BYTES,
    FileNotFoundError if the file is missing.  Blocks its thread.
    """
    with file.open("rb") as opened:
        return parse(opened.read(MAX_BYTES + 1))


def content_and_stat(path: Path, most_bytes: int) -> tuple[bytes, os.stat_result] | None:
    with path.open("rb", buffering=0) as file:
        stat = os.fstat(file.fileno())
        content = file.read(most_bytes + 1) if stat.st_size <= most_bytes else b""
    return (content, stat) if len(content) == stat.st_size else None


def stamp_of(path: Path) -> tuple[int, int, int]:
    with path.open("rb") as file:  # opening makes a network file system update its cache
        found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns
