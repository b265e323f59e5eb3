"""Tells whether a disk is full, by the same rule in every program."""

import errno
import os
import shutil
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: BaseException) -> bool:
    """True if ``error`` says that the disk, or the user's quota on it, has no space left."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full() -> OSError:
    """A new OSError (ENOSPC), for a full disk that a library has reported in another way."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def has_free(folder: Path, size_bytes: int) -> bool:
    """True if the volume of ``folder`` has space for ``size_bytes`` more."""
    return shutil.disk_usage(folder).free >= size_bytes
