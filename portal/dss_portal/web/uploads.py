"""Receives uploaded files and sends downloads, in pieces, without keeping complete files in memory."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

from quart import Response, request, send_file
from werkzeug.sansio.multipart import Data, Field, File

from dss_portal import formats
from dss_portal.datastore.names import flat_name
from dss_portal.datastore.pieces import Mark, Piece
from dss_portal.datastore.room import too_large
from dss_portal.datastore.stored import StoredFile
from dss_portal.incoming import Incoming
from dss_portal.refusals import Refused
from dss_portal.web import parameters
from dss_portal.web.context import components
from dss_portal.web.stored_body import send_stored

_QUOTED_NAME = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_EXTENDED_NAME = re.compile(r";\s*filename\*", re.IGNORECASE)


async def file_part() -> Incoming:
    """The file in the part ``myfile`` of the request's multipart form; its bytes arrive while the caller iterates over
    its ``data``, and fields after the file are known at its end.  If a second part has that name, Mark.AGAIN comes in
    ``data``, and that file counts.

    Raises Refused if there is no such part, if the file's name is not allowed, or if the announced size is too large.
    """
    limits = components().settings
    if (request.content_length or 0) > limits.max_upload_bytes + limits.max_form_bytes:
        raise too_large(limits.max_upload_bytes)
    parts = parameters.multipart(limits.request_s)
    earlier = (
        parameters.FormFields()
    )  # the Python client sends fields before the file, ITK-SNAP after it
    async for part in parts:
        if isinstance(part, File) and part.name == "myfile":
            sent = Incoming(
                name=flat_name(_file_name(part)),
                fields=earlier.texts(),
                expected_bytes=request.content_length or 0,
            )
            sent.data = _data_of(parts, sent)
            return sent
        earlier.take(part)
    raise _no_file()


async def _data_of(
    parts: AsyncIterator[Field | File | Data], sent: Incoming
) -> AsyncIterator[Piece]:
    later, inside = parameters.FormFields(), True
    async for part in parts:
        if isinstance(part, Data) and inside:
            yield part.data
            continue
        if not isinstance(part, Data):
            inside = part.name == "myfile"
        if inside:
            if not isinstance(part, File):
                raise _no_file()
            sent.name = flat_name(_file_name(part))
            yield Mark.AGAIN
        later.take(part)
    sent.fields.update(later.texts())


def _file_name(part: File) -> str:
    """The name of the file as the client sent it.  Werkzeug would treat the backslashes of a Windows path as escapes."""
    sent = part.headers.get("Content-Disposition", "")
    found = _QUOTED_NAME.search(sent)
    if found is None or _EXTENDED_NAME.search(sent):
        return part.filename
    return found[1].replace('\\"', '"').replace("%22", '"')


def _no_file() -> Refused:
    return Refused("The form has no file named 'myfile'.")


async def as_download(file: StoredFile, name: str) -> Response:
    """The response that lets the client save the file as ``name``; if the request has a Range header, only that part of
    it; with status 304 if the client has the present version.  Raises Refused if the file no longer exists.
    """
    answer = _private(await _sent(file, "application/octet-stream"))
    answer.headers["Content-Disposition"] = formats.attachment(name)
    answer.headers["Content-Transfer-Encoding"] = "binary"
    answer.headers["X-Content-Type-Options"] = "nosniff"  # keeps pages from loading it as a script
    return answer


async def as_inline(file: StoredFile, mime_type: str) -> Response:
    """The response with which a browser displays the file, with exactly the media type ``mime_type``.  Raises Refused
    if the file no longer exists.
    """
    answer = _private(await _sent(file, mime_type))
    answer.headers["Content-Type"] = mime_type  # set again, because Quart adds a charset
    return answer


async def _sent(file: StoredFile, mime_type: str) -> Response:
    try:
        if not isinstance(file, Path):
            return await send_stored(file, mime_type)
        return await send_file(file, mimetype=mime_type, conditional=True)
    except FileNotFoundError as error:
        raise Refused("The file does not exist any more.") from error


def _private(answer: Response) -> Response:
    answer.timeout = None  # a download over a slow connection may take long
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers.pop("Expires", None)
    return answer
