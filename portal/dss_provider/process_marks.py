"""Marks in the names of a publisher's folders and containers, by which a later publisher recognizes and removes those
of a killed one.
"""

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path


def machine() -> str:
    """A text that differs between machines, and between containers that have process ids of their own.

    ``is_alive`` knows only the processes of this machine, while folders on a shared disk may belong to several
    machines.
    """
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def mark() -> str:
    """A text that identifies this process among all earlier and present processes of this machine; without /proc, only
    among the present ones.
    """
    return f"{os.getpid()}-{_began('self')}"


def is_alive(marked: str) -> bool:
    """True if the process with the mark ``marked`` still runs; False if it does not, or if ``marked`` is no mark.

    Without /proc (on macOS) other processes cannot be examined, and every process counts as alive.
    """
    if not _began("self"):
        return True
    pid, _, began = marked.partition("-")
    return bool(began) and _began(pid) == began


def is_orphan(marked: str, *, and_own: bool) -> bool:
    """True if a folder or container with this mark may be removed: its process has ended or, with ``and_own``, is this
    process.
    """
    return not is_alive(marked) or (and_own and marked == mark())


def _began(pid: str) -> str:
    """The time at which the process ``pid`` began, in clock ticks since the machine's start (proc(5)); "" if there is
    no such process or no /proc.
    """
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return ""
