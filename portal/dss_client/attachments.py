"""Downloads the files that are attached to the lines of a ticket's log: tables, reports, pictures."""

import mimetypes
import re
from collections.abc import Iterable
from pathlib import Path

from dss_client import protocol
from dss_client.multipart import Progress
from dss_client.records import LogLine
from dss_client.steps import Download, Steps, body_of
from dss_datastore import file_names

_ADDRESS = re.compile(r"/(blobs/[0-9A-Za-z]{8,64})$")
"""The part of an attachment's URL after the server's address.  That address may differ from the one that the client
uses, for example behind a proxy.
"""
_LONGEST = 100


def download_attachments(
    ticket: int, folder: Path, moved: Progress | None = None
) -> Steps[list[Path]]:
    """Download the attachments of a ticket to ``folder``, and return their paths; [] if there are none.  The folder is
    created only if there are attachments.
    """
    detail = yield from protocol.detail(ticket)
    paths = []
    for address, name in paths_and_names(detail.log):
        folder.mkdir(parents=True, exist_ok=True)
        body_of((yield Download(path=address, target=folder / name, progress=moved)))
        paths.append(folder / name)
    return paths


def paths_and_names(log: Iterable[LogLine]) -> list[tuple[str, str]]:
    """For each attachment of the lines ``log``: its path on the server, ``blobs/...``, and a unique file name that is
    made from the provider's description.  Attachments with another address are left out.
    """
    found: dict[str, str] = {}
    for line in log:
        for attachment in line.attachments:
            if match := _ADDRESS.search(attachment.url):
                name = _plain(attachment.description or "", attachment.mime_type or "")
                found[_unique(name, found)] = match[1]
    return [(address, name) for name, address in found.items()]


def _plain(description: str, mime_type: str) -> str:
    """``description`` as a file name that every system can store.  Without a suffix it gets that of the media type, if
    there is one; a name that cannot be stored begins with "attachment_".
    """
    name = "".join(c if c.isprintable() and c not in '/\\:<>"|?*' else "_" for c in description)
    name = name.strip(" .")[:_LONGEST].strip(" .")
    if not Path(name).suffix:
        name += mimetypes.guess_extension(mime_type.partition(";")[0].strip()) or ""
    return f"attachment_{name}" if file_names.problem(name) else name


def _unique(name: str, others: Iterable[str]) -> str:
    path, number = Path(name), 1
    while name in others or file_names.same_file(name, others):
        number += 1
        name = f"{path.stem} ({number}){path.suffix}"
    return name
