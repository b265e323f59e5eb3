"""How much memory there is in use; knows no torch."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_SELF = Path("/proc/self")
_RESET_PEAK = "5"


class Memory(Protocol):
    """Of a device, as far as this process uses it."""

    def begin(self) -> None:
        """Forget the peak so far."""

    def peak_bytes(self) -> int:
        """Most that was in use since ``begin``."""

    def held_bytes(self) -> int:
        """In use now."""


class ProcessMemory:
    """What the kernel says of this process (proc(5)): all its threads, its libraries too."""

    def begin(self) -> None:
        with suppress(OSError):  # then the peak is that of the whole life
            (_SELF / "clear_refs").write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        return _status_bytes("VmHWM")

    def held_bytes(self) -> int:
        return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", (_SELF / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
