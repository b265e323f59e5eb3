"""Files in and out of the portal, streamed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from quart import Response, send_file
from quart.wrappers.response import FileBody
from werkzeug.sansio.multipart import Data, Field, File

from dss_portal import parameters
from dss_portal.datastore import flat_name
from dss_portal.errors import Refused

FileBody.buffer_size = 256 * 1024  # Quart's 8 KB makes downloads ten times slower


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A file on its way in.  Reading ``data`` to its end also checks what follows the file."""

    name: str
    data: AsyncIterator[bytes]


async def file_part() -> Incoming:
    """The multipart part ``myfile``.  Raises Refused if there is none."""
    parts = parameters.multipart()
    async for part in parts:
        if isinstance(part, File) and part.name == "myfile":
            return Incoming(name=flat_name(part.filename), data=_data_of(parts))
    raise Refused("The form has no file named 'myfile'.")


async def _data_of(parts: AsyncIterator[Field | File | Data]) -> AsyncIterator[bytes]:
    inside = True
    async for part in parts:
        if inside and isinstance(part, Data):
            yield part.data
            inside = part.more_data


async def as_download(path: Path, name: str) -> Response:
    """The file with its length, in ranges if asked.  Raises Refused if it has gone meanwhile."""
    try:
        answer = await send_file(path, mimetype="application/octet-stream", conditional=True)
    except FileNotFoundError as error:
        raise Refused("The file does not exist any more.") from error
    answer.timeout = None  # a slow link may take as long as it needs
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers.pop("Expires", None)
    answer.headers["Content-Disposition"] = _attachment(name)
    answer.headers["Content-Transfer-Encoding"] = "binary"
    return answer


def _attachment(name: str) -> str:
    """RFC 6266: the plain form that old clients read, and the exact one if that cannot hold the name."""
    simple = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_")
    disposition = f'attachment; filename="{simple}"'
    return disposition if simple == name else f"{disposition}; filename*=UTF-8''{quote(name)}"
