"""How much memory there is in use; knows no torch."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_SELF = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup")
_RESET_PEAK = "5"


class Memory(Protocol):
    """Of a device, as far as this process uses it."""

    def begin(self) -> None:
        """Forget the peak so far."""

    def peak_bytes(self) -> int:
        """Most that was in use since ``begin``."""

    def held_bytes(self) -> int:
        """In use now."""

    def free_bytes(self) -> int:
        """Could be had now, as far as others leave it."""


class ProcessMemory:
    """What the kernel says of this process (proc(5)): all its threads, its libraries too."""

    def begin(self) -> None:
        with suppress(OSError):  # then the peak is that of the whole life
            (_SELF / "clear_refs").write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        return _told_bytes(_SELF / "status", "VmHWM")

    def held_bytes(self) -> int:
        return _told_bytes(_SELF / "status", "VmRSS")

    def free_bytes(self) -> int:
        """Of the machine, or of the container (cgroup v2) if that has less."""
        free = _told_bytes(Path("/proc/meminfo"), "MemAvailable")
        with suppress(OSError, ValueError):  # no container, or one without a limit
            limit, used = (int((_CGROUP / f"memory.{n}").read_text()) for n in ("max", "current"))
            free = min(free, max(0, limit - used))
        return free


def _told_bytes(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
