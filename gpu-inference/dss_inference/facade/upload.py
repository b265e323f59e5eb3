"""One image and its parameters out of a multipart body, straight into a folder."""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from werkzeug.formparser import parse_form_data

from dss_inference.errors import InferenceError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FIELD = "itk_image"
_HEADER_BYTES = 64 * 1024
_META = re.compile(rb"^\s*(ObjectType|NDims|Comment)\s*=", re.IGNORECASE)
_NRRD_DATA_FILE = re.compile(rb"^data ?file *:", re.IGNORECASE | re.MULTILINE)
_META_DATA_FILE = re.compile(rb"^ElementDataFile *= *(\S*)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """``image_name`` lies in the folder that was given; the other fields are parameters."""

    image_name: str
    parameters: dict[str, str]


def receive(environ: "WSGIEnvironment", folder: Path, max_bytes: int) -> Upload:
    """Read the body into ``folder``.  Raises InferenceError, HTTPException (too large), OSError."""
    with ExitStack() as opened:

        def stream(*_: object, **__: object) -> IO[bytes]:
            name = f"upload-{len(list(folder.iterdir()))}"
            return opened.enter_context((folder / name).open("w+b"))

        _, form, files = parse_form_data(environ, stream, max_content_length=max_bytes)
    if FIELD not in files:
        raise InferenceError(f"The request has no file in the multipart field '{FIELD}'.")
    path = Path(str(files[FIELD].stream.name))
    name = f"image{_suffix(path)}"
    path.rename(folder / name)
    for other in folder.glob("upload-*"):
        other.unlink()
    return Upload(image_name=name, parameters=form.to_dict())


def _suffix(path: Path) -> str:
    """By the content: old dispatchers call their files what they like.  Raises InferenceError."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES).replace(b"\r", b"")
    if head.startswith(b"NRRD"):
        _refuse_detached(_NRRD_DATA_FILE.search(head.partition(b"\n\n")[0]) is not None)
        return ".nrrd"
    if _META.match(head):
        data_file = _META_DATA_FILE.search(head)
        _refuse_detached(data_file is None or data_file[1].upper() != b"LOCAL")
        return ".mha"
    if head[:2] == b"\x1f\x8b":
        return ".nii.gz"
    if head[344:347] == b"n+1" or head[4:7] == b"n+2":
        return ".nii"
    raise InferenceError("The file is not an image in one file of NIfTI, NRRD or MetaImage.")


def _refuse_detached(is_detached: bool) -> None:  # noqa: FBT001
    """A header that names another file could name any file of this machine."""
    if is_detached:
        raise InferenceError("The image keeps its voxels in another file; one file is needed.")
