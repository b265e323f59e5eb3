"""Facts about the files of a result, and the check whether an error means a full disk."""

import hashlib
from pathlib import Path

from dss_broker.messages import ResultFile
from dss_datastore.access import SharedDatastore
from dss_datastore.space import is_disk_full
from dss_dispatch.errors import ResultRefused

ALMOST_FULL_BYTES = 1 << 20
"""A datastore with fewer free bytes than this counts as full."""


def is_full(error: Exception, datastore: SharedDatastore) -> bool:
    """True if a full disk caused ``error``.  A RuntimeError, such as ITK's, and a ResultRefused do not name their
    cause; for these, True if less than ALMOST_FULL_BYTES are free.
    """
    unclear = isinstance(error, RuntimeError | ResultRefused)
    return is_disk_full(error) or (unclear and datastore.lacks_room(ALMOST_FULL_BYTES))


def sha256(path: Path) -> str:
    """The SHA-256 of the file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def result_file(path: Path) -> ResultFile:
    """Name, size and SHA-256 of a result file, which the portal publishes."""
    return ResultFile(name=path.name, size_bytes=path.stat().st_size, sha256=sha256(path))
