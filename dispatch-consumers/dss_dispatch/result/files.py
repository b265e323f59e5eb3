"""Files of a result, and whether an error came of a full volume."""

import hashlib
from pathlib import Path

from dss_broker.messages import ResultFile
from dss_datastore.space import has_free, is_disk_full
from dss_dispatch.errors import ResultRefused

ROOM_BYTES = 1 << 20
"""A volume with less than this is full."""


def is_full(error: Exception, folder: Path) -> bool:
    """True if ``error`` came of a full disk.  ITK's errors do not say so; then the free space decides."""
    unclear = isinstance(error, RuntimeError | ResultRefused)
    return is_disk_full(error) or (unclear and not has_free(folder, ROOM_BYTES))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def result_file(path: Path) -> ResultFile:
    return ResultFile(name=path.name, size_bytes=path.stat().st_size, sha256=sha256(path))
