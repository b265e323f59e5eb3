"""Unpacks a tar, in which a browser sends a folder or an image of several files."""

import errno
import tarfile
from pathlib import Path, PurePosixPath

from dss_dispatch.uploads.errors import UploadInvalid

MOST_FILES = 200_000
LONGEST_NAME_BYTES = 255
DEEPEST = 30
_CHUNK_BYTES = 1 << 20
_UNUSABLE = "The name of a file in the upload cannot be used; rename it."
_BROKEN = "The upload is damaged ({}); send the files again."


def unpack(archive: Path, target: Path) -> None:
    """Write the files of ``archive``, an uncompressed tar, below the new folder ``target``.

    Raises UploadInvalid for a link, a device, a name that leads elsewhere, is too long or too deep, or comes twice, a
    damaged archive, and too many files.  A tar is not compressed, so the files cannot be larger than the upload.
    """
    target.mkdir()
    try:
        with tarfile.open(archive, "r:") as opened:
            for count, member in enumerate(opened):
                if count >= MOST_FILES:
                    raise UploadInvalid(f"There are more than {MOST_FILES} files; send one study.")
                if not member.isdir():
                    _write(opened, member, target)
            if opened.offset > archive.stat().st_size:
                raise UploadInvalid(_BROKEN.format("it ends too early"))
    except tarfile.TarError as error:
        raise UploadInvalid(_BROKEN.format(error)) from error


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if not member.isreg() or member.issparse():
        raise UploadInvalid("The upload contains a link or a device; only plain files can be read.")
    path = target.joinpath(*_parts(member.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = opened.extractfile(member)
        if packed is None:
            raise UploadInvalid(_BROKEN.format("a file has no content"))
        left = member.size
        with packed, path.open("xb") as file:
            while left and (part := packed.read(min(_CHUNK_BYTES, left))):
                left -= len(part)
                file.write(part)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UploadInvalid("Two files of the upload have the same name.") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UploadInvalid(_UNUSABLE) from error
    if left:
        raise UploadInvalid(_BROKEN.format("a file ends too early"))


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the file name in ``name``.  Raises UploadInvalid if it leads out of the folder, is empty, has
    more than DEEPEST parts, or a part of more than LONGEST_NAME_BYTES.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    fits = all(0 < len(part.encode(errors="replace")) <= LONGEST_NAME_BYTES for part in parts)
    if not parts or not fits or len(parts) > DEEPEST or {"..", "/"} & set(parts) or "\0" in name:
        raise UploadInvalid(_UNUSABLE)
    return parts
