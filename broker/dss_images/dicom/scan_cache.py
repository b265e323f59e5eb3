"""Caches the tags of a DICOM source, for a program that reads one of its series after the other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Generic, TypeVar, cast

from dss_images.dicom.files import File, files_of, state_of

T = TypeVar("T")

Scan = Callable[[list[File]], T]
"""A function that reads the tags of all files of a source, and returns the result."""


class _ScanCache(Generic[T]):
    """A cache with the result of ``scan`` for the last source, and the state of the source's files before that scan."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._known: tuple[object, T] | None = None

    def of(self, source: Path, scan: Scan[T]) -> T:
        """The result of ``scan`` for ``source``.

        ``scan`` is not called if ``source`` is the last source and none of its files has changed since.  Raises
        DicomRefused, as ``files_of`` does.
        """
        state = (source.absolute(), state_of(source))
        if self._known is not None and self._known[0] == state:
            return self._known[1]
        self.close()
        found = scan(self._open.enter_context(files_of(source)))
        self._known = (state, found)
        return found

    def close(self) -> None:
        """Forget the last source, and remove the files that were unpacked from its archives."""
        self._known = None
        self._open.close()


_CACHE: ContextVar["_ScanCache[object] | None"] = ContextVar("_CACHE", default=None)


@contextmanager
def one_scan_per_source() -> Iterator[None]:
    """A context in which ``scanned`` caches the tags of the last source, until one of its files changes.

    Meanwhile the source's archives stay unpacked.  The cache belongs to the current thread or asyncio task.
    """
    cache: _ScanCache[object] = _ScanCache()
    token = _CACHE.set(cache)
    try:
        yield
    finally:
        _CACHE.reset(token)
        cache.close()


@contextmanager
def scanned(source: Path, scan: Scan[T]) -> Iterator[T]:
    """A context with the result of ``scan`` for ``source``, in which the source's files, unpacked ones too, may be
    read.

    In ``one_scan_per_source`` the result may come from the cache.  Raises DicomRefused.
    """
    cache = _CACHE.get()
    if cache is not None:
        yield cast("_ScanCache[T]", cache).of(source, scan)
        return
    with files_of(source) as files:
        yield scan(files)
