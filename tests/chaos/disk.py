"""The datastore's volume: a small one of its own where that is allowed, so that it can be filled and lost."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

from dss_datastore.layout import TICKETS

ROOM_MB = 64
TICKET_MB = 0.05
"""A ticket's files have some 30 kB, in blocks of 4."""
_BLOCK = bytes(1 << 20)


OF_THE_DISK = frozenset({"fill the datastore", "unmount the datastore"})
"""Faults of a volume of its own."""


class Disk:
    """A datastore in ``folder``, where the volume is mounted; ``is_own`` is False if we may not mount.

    The volume itself lies beside it, so that it keeps its files while it is not mounted at ``folder``.
    """

    def __init__(self, folder: Path, tickets: int) -> None:
        """With room for so many, and some more."""
        self.folder, self._size_mb = folder, ROOM_MB + int(TICKET_MB * tickets)
        self.is_own = False
        self._volume = folder.with_name("volume")

    def open(self) -> None:
        self.folder.mkdir()
        self._volume.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={self._size_mb}m,mode=0700", "tmpfs"]
        self.is_own = _run("mount", *options, str(self._volume))
        if self.is_own:
            self.mount()

    def close(self) -> None:
        if self.is_own:
            self.unmount()
            _run("umount", "--lazy", str(self._volume))
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def faults(self) -> frozenset[str]:
        return OF_THE_DISK if self.is_own else frozenset()

    def settings(self, _program: str) -> dict[str, str]:
        return {"DSS_DATASTORE": str(self.folder)}

    def places(self) -> set[str]:
        """All files and folders, as paths in the datastore; a folder ends with a slash."""
        found = (p for name in (TICKETS, "attachments") for p in (self.folder / name).rglob("*"))
        return {f"{path.relative_to(self.folder)}{'/' * path.is_dir()}" for path in found}

    def content(self, place: str) -> bytes:
        return (self.folder / place).read_bytes()

    def mount(self) -> None:
        _run("mount", "--bind", str(self._volume), str(self.folder))

    def unmount(self) -> None:
        """Every program finds an empty folder."""
        _run("umount", "--lazy", str(self.folder))

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
        return self._volume / "filler"


def _run(*command: str) -> bool:
    """Did it work?"""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
