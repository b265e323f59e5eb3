"""Scrubs received files: recognises workspaces and NIfTI images by their content, and rewrites them in threads."""

import asyncio
import threading
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dss_datastore.writing import write
from dss_portal.scrubbing.image_headers import may_be_image, scrub_volume
from dss_portal.scrubbing.workspaces import without_meshes, without_paths
from dss_workspace.registry import MAX_BYTES

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="scrubbing")
"""Separate threads, because recompressing a large image takes seconds and must not delay work on other files."""

_ONE_WORKSPACE = threading.Lock()
"""Only one workspace is parsed at a time: one of 16 MB takes 250 MB of memory."""

_BEGINNING_BYTES = 4096


async def scrub(path: Path, location: str) -> int:
    """Remove paths or texts from the file ``path``, a workspace or NIfTI image by its content, not by its name.  Other
    files, damaged images and workspaces that cannot be read are not changed.  Returns the new size in bytes.

    In a workspace, ``location`` replaces the path of the folder in which it was saved.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _scrub, path, location)


def may_change(pieces: Iterable[bytes | memoryview]) -> bool:
    """False if the first 4 kB of a file, given in ``pieces``, show that ``scrub`` would not change it; otherwise True."""
    beginning = b""
    for piece in pieces:
        beginning += piece[:_BEGINNING_BYTES]
        if len(beginning) >= _BEGINNING_BYTES:
            break
    return b"<registry" in beginning[:_BEGINNING_BYTES] or may_be_image(beginning)


async def leave_out_meshes(path: Path, names: Container[str]) -> tuple[int, int]:
    """Remove those mesh layers of the workspace ``path`` whose files are not in ``names``.  Returns the number of
    removed layers, and the new size of the file in bytes.  A file that is no workspace, or that has more than MAX_BYTES,
    is not changed; the number is then 0.
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
