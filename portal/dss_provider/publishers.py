"""Marks what belongs to a publisher, so that the next one can remove what a killed one has left."""

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path


def machine() -> str:
    """A text that differs between machines, and between containers with processes of their own.

    Only within one of them ``is_alive`` knows all processes; the folders may lie on a disk that several share.
    """
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def mark() -> str:
    """A text that no other process of this machine has."""
    return f"{os.getpid()}-{_began('self')}"


def is_alive(marked: str) -> bool:
    """Whether the process with that mark still runs; False for a text that is no mark.

    Without /proc (macOS) nothing is known of other processes, and every one counts as alive.
    """
    if not _began("self"):
        return True
    pid, _, began = marked.partition("-")
    return bool(began) and _began(pid) == began


def is_orphan(marked: str, *, and_own: bool) -> bool:
    """Whether what has that mark may be removed: its process has ended, or with ``and_own`` is this one."""
    return not is_alive(marked) or (and_own and marked == mark())


def _began(pid: str) -> str:
    """The start of a process in ticks since the machine's start (proc(5)); "" if there is no such process."""
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return ""
