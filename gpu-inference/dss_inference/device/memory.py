"""Measures the memory that this process uses, or could still use.  Imports no torch."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_SELF = Path("/proc/self")
_CGROUP = Path("/sys/fs/cgroup")
_RESET_PEAK = "5"


class Memory(Protocol):
    """Measures the memory of one device, a CPU or a GPU, that this process uses."""

    def begin(self) -> None:
        """Reset the peak that ``peak_bytes`` returns."""

    def peak_bytes(self) -> int:
        """Most memory of the device that this process has used since ``begin``, in bytes."""

    def held_bytes(self) -> int:
        """Memory of the device that this process uses now, in bytes."""

    def free_bytes(self) -> int:
        """Memory of the device that this process could allocate now, in bytes."""


class ProcessMemory:
    """The memory of this process, with its threads and libraries, from /proc (proc(5)): the ``Memory`` of a CPU.  If
    the kernel does not let it reset the peak, the peak is that since an earlier ``begin`` or the start of the process.
    """

    def begin(self) -> None:
        with suppress(OSError):  # then peak_bytes includes the time before
            (_SELF / "clear_refs").write_text(_RESET_PEAK, encoding="utf-8")

    def peak_bytes(self) -> int:
        return _bytes_in(_SELF / "status", "VmHWM")

    def held_bytes(self) -> int:
        return _bytes_in(_SELF / "status", "VmRSS")

    def free_bytes(self) -> int:
        """Available memory of the machine, or of the container if that is less (cgroup v2)."""
        free = _bytes_in(Path("/proc/meminfo"), "MemAvailable")
        with suppress(OSError, ValueError):  # no container, or one without a limit
            limit, used = (
                int((_CGROUP / f"memory.{n}").read_text(encoding="utf-8"))
                for n in ("max", "current")
            )
            free = min(free, max(0, limit - used))
        return free


def _bytes_in(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
