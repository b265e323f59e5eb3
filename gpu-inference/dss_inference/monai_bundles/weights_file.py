"""Checks, before a file is loaded, whether it can contain weights.  Loads no torch."""

import re
import zipfile
import zlib
from pathlib import Path

_LFS = b"version https://git-lfs"
_ZIP, _ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
_PICKLE = b"\x80"
_END_BYTES = 66_000
"""Largest distance of the directory of a zip archive from the end of the file."""


def fault_in(path: Path) -> str:
    """A sentence that says what is wrong with the file; "" if it may contain weights."""
    name, size_bytes = f"models/{path.name}", path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(max(0, size_bytes - _END_BYTES))
        end = file.read()
    if start.startswith(_LFS):
        return _pointer(name, start)
    if not start.strip():
        return f"Its {name} is empty ({size_bytes} bytes): fetch the weights again."
    if start.startswith(_ZIP):
        is_complete = _ZIP_END in end
        return (
            ""
            if is_complete
            else f"Its {name} is cut off after {size_bytes} bytes: fetch it again."
        )
    if start.startswith(_PICKLE):
        return ""
    kind = "a web page" if b"<html" in start.lower() or b"<!doctype" in start.lower() else "a file"
    return f"Its {name} is {kind} that PyTorch has not written: put the weights there."


def _pointer(name: str, text: bytes) -> str:
    """The sentence for a bundle that was cloned with git without its large files, so that a small text file stands in
    for the weights.
    """
    size = re.search(rb"^size (\d+)", text, re.MULTILINE)
    full = f" of the {int(size[1]):,} bytes that it stands for" if size else ""
    return (
        f"Its {name} is a Git-LFS pointer and holds none{full}: run 'git lfs pull' where the bundle "
        "was cloned, or fetch the file by hand."
    )


def damaged_part(path: Path) -> str:
    """The name of the first part of a zip archive whose checksum is wrong, or why the archive cannot be read; "" if all
    is right, or the file is no archive.  torch does not verify checksums.
    """
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() or ""
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        return str(error) or "its directory"
