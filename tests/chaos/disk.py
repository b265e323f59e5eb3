"""The datastore's file system: a small one of its own where that is allowed, so that it can be filled."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

SIZE_MB = 128
_BLOCK = bytes(1 << 20)


class Disk:
    """``folder`` is where it is mounted; ``can_fill`` is False if we may not mount."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.can_fill = False

    def open(self) -> None:
        self.folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "tmpfs"]
        done = subprocess.run(
            ["mount", *options, str(self.folder)], check=False, capture_output=True
        )
        self.can_fill = done.returncode == 0

    def close(self) -> None:
        if self.can_fill:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self) -> None:
        """Until nothing more fits."""
        try:
            with self._filler.open("wb", buffering=0) as file:
                while file.write(_BLOCK):
                    pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        os.truncate(self._filler, self._filler.stat().st_size)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"
