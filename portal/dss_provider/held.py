"""Stores the numbers of claimed tickets, so that a publisher continues them after a crash."""

import fcntl
import hashlib
import json
import os
import threading
from pathlib import Path

import typer

from dss_provider.folder import ServiceFolder

MOST_PUBLISHERS = 64
"""Most publishers of one service on one machine."""


class Held:
    """A file with the numbers of the claimed tickets.  Thread-safe.

    While this object exists, no other process can open the file: raises BlockingIOError if another one has it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._file = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise
        self._lock = threading.Lock()
        self._numbers: set[int] = set(_numbers_in(path))

    def before(self) -> list[int]:
        """Tickets of earlier runs, which stay in the file until they are removed."""
        with self._lock:
            return sorted(self._numbers)

    def add(self, number: int) -> None:
        with self._lock:
            self._numbers.add(number)
            self._keep()

    def remove(self, number: int) -> None:
        with self._lock:
            self._numbers.discard(number)
            self._keep()

    def take_over(self, other: "Held") -> None:
        """Take the numbers of ``other``, which is closed."""
        for number in other.before():
            self.add(number)
            other.remove(number)
        other.close()

    def close(self) -> None:
        """Release the file for other processes, as the end of this process also does."""
        os.close(self._file)

    def _keep(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(sorted(self._numbers)), encoding="utf-8")
        draft.replace(self._path)


def _numbers_in(path: Path) -> list[int]:
    try:
        return [int(number) for number in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return []


def held_by(server: str, service: ServiceFolder) -> Held:
    """A file for one service on one server, in the user's application folder.

    Publishers of the same service that run at the same time have separate files; files of killed publishers are taken
    over.
    """
    key = hashlib.sha256(f"{server}\n{service.path.resolve()}".encode()).hexdigest()[:16]
    folder = Path(typer.get_app_dir("dss", roaming=False))
    others = [folder / f"provider-{key}-{i}.json" for i in range(1, MOST_PUBLISHERS)]
    return held_in([folder / f"provider-{key}.json", *others])


def held_in(paths: list[Path]) -> Held:
    """The first of ``paths`` that no other process has, with the numbers of the others.  Raises BlockingIOError if all
    are in use.
    """
    mine: Held | None = None
    for path in paths:
        if mine is not None and not path.exists():
            continue
        try:
            found = Held(path)
        except BlockingIOError:
            continue
        if mine is None:
            mine = found
        else:
            mine.take_over(found)
    if mine is None:
        raise BlockingIOError
    return mine
