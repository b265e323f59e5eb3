"""Keeps the tags of a source, for a program that reads one of its series after the other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Generic, TypeVar, cast

from dss_images.dicom.files import File, files_of, state_of

T = TypeVar("T")

Scan = Callable[[list[File]], T]
"""Reads the tags of all files of a source."""


class _Memory(Generic[T]):
    """The answer of ``scan`` for the last source, and the state that the source's files had before the scan."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._known: tuple[object, T] | None = None

    def of(self, source: Path, scan: Scan[T]) -> T:
        """The answer of ``scan`` for ``source``.  It is not called again if it was last called for this source and no
        file has changed since.
        """
        state = (source.absolute(), state_of(source))
        if self._known is not None and self._known[0] == state:
            return self._known[1]
        self.close()
        found = scan(self._open.enter_context(files_of(source)))
        self._known = (state, found)
        return found

    def close(self) -> None:
        """Forget the source, and remove its unpacked archives."""
        self._known = None
        self._open.close()


_MEMORY: ContextVar["_Memory[object] | None"] = ContextVar("_MEMORY", default=None)


@contextmanager
def one_scan_per_source() -> Iterator[None]:
    """While the block runs, cache the tags of the last source.  They are read again only if one of its files has
    changed.

    The archives of that source stay unpacked.
    """
    memory: _Memory[object] = _Memory()
    token = _MEMORY.set(memory)
    try:
        yield
    finally:
        _MEMORY.reset(token)
        memory.close()


@contextmanager
def scanned(source: Path, scan: Scan[T]) -> Iterator[T]:
    """What ``scan`` returns for the files of ``source``, which may be read while the block runs.  Raises DicomRefused."""
    memory = _MEMORY.get()
    if memory is not None:
        yield cast("_Memory[T]", memory).of(source, scan)
        return
    with files_of(source) as files:
        yield scan(files)
