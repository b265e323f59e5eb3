"""Verifies downloaded files by the server's checksums, and an archive by its own.  Damaged files are removed."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from dss_client.errors import NotUnderstood


def require_same(files: Iterable[Path], sums: Mapping[str, str]) -> None:
    """Raises NotUnderstood, and removes the file, if a file differs from its checksum.  ``sums`` are SHA-256 by file
    name; files that are missing in it are not checked.
    """
    for path in files:
        expected = sums.get(path.name)
        if expected is None:
            continue
        if _sha256(path) != expected:
            path.unlink()
            raise NotUnderstood(f"{path.name} has come damaged; download the ticket again.")


def is_there(path: Path, sums: Mapping[str, str]) -> bool:
    """True if ``path`` exists and has its SHA-256 in ``sums``, which are by file name; False if they do not have it."""
    return path.name in sums and path.is_file() and _sha256(path) == sums[path.name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sound(archive: Path) -> None:
    """Raises NotUnderstood, and removes ``archive``, if one of the checksums in it does not match."""
    try:
        with zipfile.ZipFile(archive) as opened:
            damaged = opened.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError):
        damaged = archive.name
    if damaged is not None:
        archive.unlink()
        raise NotUnderstood(f"The archive {archive.name} has come damaged; download it again.")
