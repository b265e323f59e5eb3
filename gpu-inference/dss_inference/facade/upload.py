"""Receives the body of a request for inference over HTTP, an image and its parameters, into a folder."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from werkzeug.formparser import parse_form_data

from dss_images.errors import ImageRefused
from dss_images.header import SUFFIXES
from dss_images.reading import format_of, read_header
from dss_images.requirements import require_volume
from dss_inference.errors import InferenceError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FIELD = "itk_image"


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """A received request.  ``image_name`` is the file in the folder; ``parameters`` are the other fields of the form."""

    image_name: str
    parameters: dict[str, str]


def receive(environ: "WSGIEnvironment", folder: Path, max_bytes: int) -> ReceivedRequest:
    """Read the multipart body of a WSGI request into ``folder`` and keep only the image there.  Returns its name
    and the fields of the form.

    Raises InferenceError (no file in the field FIELD, or no usable image), HTTPException (larger than ``max_bytes``),
    OSError.
    """
    with ExitStack() as opened:

        def stream(*_: object, **__: object) -> IO[bytes]:
            name = f"upload-{len(list(folder.iterdir()))}"
            return opened.enter_context((folder / name).open("w+b"))

        _, form, files = parse_form_data(environ, stream, max_content_length=max_bytes)
    if FIELD not in files:
        raise InferenceError(f"The request has no file in the multipart field '{FIELD}'.")
    path = Path(str(files[FIELD].stream.name))
    name = _named(path).name
    for other in folder.glob("upload-*"):
        other.unlink()
    return ReceivedRequest(image_name=name, parameters=form.to_dict())


def _named(path: Path) -> Path:
    """Rename the image file to ``image`` with the suffix of its format, because old dispatchers choose any name.
    Returns the new path.

    Checks the header, not the voxels.  Raises InferenceError if the file is no readable image with three dimensions.
    """
    try:
        named = path.rename(path.with_name(f"image{SUFFIXES[format_of(path)][0]}"))
        require_volume(read_header(named))
    except ImageRefused as error:
        raise InferenceError(str(error)) from error
    return named
