"""Removes from a received file what tells of its sender."""

import asyncio
import threading
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dss_datastore.writing import write
from dss_portal.scrubbing.image_headers import scrub_volume
from dss_portal.scrubbing.workspaces import without_meshes, without_paths
from dss_workspace.registry import MAX_BYTES

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="scrubbing")
"""Packing a large image anew takes seconds; the threads that serve other files are not held up."""

_ONE_WORKSPACE = threading.Lock()
"""One of 16 MB takes a quarter of a gigabyte."""

_BEGINNING_BYTES = 4096


async def scrub(path: Path, location: str) -> int:
    """Scrub the file ``path``, whatever its name; its size in bytes after that.

    A workspace says then that it was saved in ``location``.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _scrub, path, location)


async def leave_out_meshes(path: Path, names: Container[str]) -> tuple[int, int]:
    """The mesh layers of the workspace ``path`` that need another file than ``names``: how many those were,
    and the size of what is left, in bytes.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _leave_out, path, names)


def _leave_out(path: Path, names: Container[str]) -> tuple[int, int]:
    if path.stat().st_size > MAX_BYTES:
        return 0, path.stat().st_size
    with _ONE_WORKSPACE:
        after, dropped = without_meshes(path.read_bytes(), names)
    if dropped:
        write(path, after)
    return dropped, path.stat().st_size


def _scrub(path: Path, location: str) -> int:
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING_BYTES)
    if b"<registry" in beginning and path.stat().st_size <= MAX_BYTES:
        _scrub_workspace(path, location)
    else:
        scrub_volume(path)
    return path.stat().st_size


def _scrub_workspace(path: Path, location: str) -> None:
    before = path.read_bytes()
    with _ONE_WORKSPACE:
        after = without_paths(before, location)
    if after != before:
        write(path, after)
