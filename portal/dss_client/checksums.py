"""Compares downloaded files with the server's checksums."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from dss_client.errors import NotUnderstood


def require_same(files: Iterable[Path], sums: Mapping[str, str]) -> None:
    """Compare files with ``sums``, SHA-256 by file name; a name that is missing there is not compared.

    Raises NotUnderstood, and removes the file that differs.
    """
    for path in files:
        expected = sums.get(path.name)
        if expected is None:
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            path.unlink()
            raise NotUnderstood(f"{path.name} has come damaged; download the ticket again.")


def require_sound(archive: Path) -> None:
    """Raises NotUnderstood, and removes the archive, if a checksum in it does not match."""
    try:
        with zipfile.ZipFile(archive) as opened:
            damaged = opened.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError):
        damaged = archive.name
    if damaged is not None:
        archive.unlink()
        raise NotUnderstood(f"The archive {archive.name} has come damaged; download it again.")
