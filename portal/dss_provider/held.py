"""Stores on disk the numbers of claimed tickets, and the keys of requests for tickets, so that a publisher can
continue after a crash.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from dss_datastore.writing import write
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import ServiceFolder

MOST_PUBLISHERS = 64
"""Largest number of programs that publish the same service on one machine at the same time."""

OPENING_S = 10.0
"""Longest time in seconds to wait while another publisher opens its file, which takes milliseconds."""


class HeldTickets:
    """A file with the numbers of the claimed tickets, and the keys of requests for tickets.  Thread-safe.

    While this object exists, no other process can open the file.  Making it raises BlockingIOError if another process
    has the file open, and ServiceInvalid if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._file = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        if not _is_locked(self._file):
            self.close()
            raise BlockingIOError
        self._lock = threading.Lock()
        try:
            stored = _stored_in(path)
        except ServiceInvalid:
            self.close()
            raise
        self._numbers, self._asked = set(stored.tickets), set(stored.keys)

    def before(self) -> list[int]:
        """The numbers of the claimed tickets in the file, at the start those of earlier runs.  They stay in the file
        until they are removed.
        """
        with self._lock:
            return sorted(self._numbers)

    def keys(self) -> list[str]:
        """Keys of requests that have not got a ticket.  The response to such a request may have been lost."""
        with self._lock:
            return sorted(self._asked)

    def ask(self, key: str) -> None:
        with self._lock:
            self._asked.add(key)
            self._keep()

    def add(self, number: int, key: str = "") -> None:
        """Add a ticket.  ``key`` is the key of the request that got it."""
        with self._lock:
            self._numbers.add(number)
            self._asked.discard(key)
            self._keep()

    def remove(self, number: int) -> None:
        with self._lock:
            self._numbers.discard(number)
            self._keep()

    def take_over(self, other: "HeldTickets") -> None:
        """Add the numbers and keys of ``other``, then empty and close ``other``."""
        with self._lock:
            self._numbers |= set(other.before())
            self._asked |= set(other.keys())
            self._keep()
        other.clear()
        other.close()

    def clear(self) -> None:
        with self._lock:
            self._numbers, self._asked = set(), set()
            self._keep()

    def close(self) -> None:
        """Let other processes open the file, as happens when this process ends."""
        os.close(self._file)

    def _keep(self) -> None:
        """Store numbers and keys so that they survive a crash of the machine."""
        stored = _Stored(tickets=sorted(self._numbers), keys=sorted(self._asked))
        write(self._path, msgspec.json.encode(stored), mode=0o600)


class _Stored(msgspec.Struct):
    """The JSON content of a HeldTickets file."""

    tickets: list[int] = []
    keys: list[str] = []


def _stored_in(path: Path) -> _Stored:
    """The content of the file; empty if there is no file, or if it is damaged.

    Raises ServiceInvalid if the file cannot be read.  Such a file does not count as empty, because the next ticket
    would replace it, and the tickets in it would be forgotten.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _Stored()
    except OSError as error:
        raise ServiceInvalid(
            f"The file with the tickets of this folder, {path}, cannot be read ({error.strerror}): make it readable, "
            "or remove it to forget these tickets."
        ) from error
    try:
        if content.startswith(b"["):  # of version 0.1
            return _Stored(tickets=msgspec.json.decode(content, type=list[int]))
        return msgspec.json.decode(content, type=_Stored)
    except msgspec.MsgspecError:
        return _Stored()


def held_tickets_of(server: str, service: ServiceFolder) -> HeldTickets:
    """The file for one service on one server, in the user's application folder.

    Publishers of the same service that run at the same time have separate files; files of killed publishers are taken
    over.  Raises ServiceInvalid if MOST_PUBLISHERS run already, or if a file cannot be read.
    """
    address = server.strip().rstrip("/")
    key = hashlib.sha256(f"{address}\n{service.path.resolve()}".encode()).hexdigest()[:16]
    folder = Path(click.get_app_dir("dss", roaming=False))
    others = [folder / f"provider-{key}-{i}.json" for i in range(1, MOST_PUBLISHERS)]
    return open_first_free([folder / f"provider-{key}.json", *others])


def open_first_free(paths: list[Path]) -> HeldTickets:
    """The first of ``paths`` that no other process has open, with the content of all others that are free added to it.
    Raises ServiceInvalid if all are in use, if one cannot be read, or if another process does this for OPENING_S.

    A lock lets only one process do this at a time.  Otherwise, if a process is killed while it takes over a file, two
    others could open files with the same tickets.
    """
    with _alone(paths[0].with_suffix(".opening")):
        opened: HeldTickets | None = None
        for path in paths:
            if opened is not None and not path.exists():
                continue
            try:
                found = HeldTickets(path)
            except BlockingIOError:
                continue
            if opened is None:
                opened = found
            else:
                opened.take_over(found)
    if opened is None:
        raise ServiceInvalid(
            f"{len(paths)} programs publish this folder on this machine already, which is the most: end one of them."
        )
    return opened


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """A context that only one process at a time can enter.  Raises ServiceInvalid after OPENING_S."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock, end_s = os.open(path, os.O_CREAT | os.O_RDWR, 0o600), time.monotonic() + OPENING_S
    try:
        while not _is_locked(lock):
            if time.monotonic() > end_s:
                raise ServiceInvalid(
                    "Another program that publishes this folder hangs at its start: end it, and try again."
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(lock)


def _is_locked(file: int) -> bool:
    """Lock the open ``file``.  False if another process has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
