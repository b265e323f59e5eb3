"""Uploads of a browser, as its script sends them."""

import json
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from quart.typing import TestClientProtocol as Client

from dss_dispatch.uploads.handling import READ_LIMITS, UploadReader
from support.portals import Portal, eventually, new_ticket, post, text
from support.tus import add, begun


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file to send, for the main image or for a tag."""

    name: str
    data: bytes
    tag: str = ""


LETTER = Sent(name="letter.nii", data=b"Dear colleague")


def one(path: Path) -> Sent:
    ending = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
    return Sent(name=f"main{ending}", data=path.read_bytes())


async def declare(
    client: Client,
    ticket: int,
    *files: Sent,
    series: str = "",
    as_it_is: bool = False,
    title: str = "",
) -> tuple[int, str]:
    named = [{"name": f.name, "size_bytes": len(f.data), "tag": f.tag} for f in files]
    request = json.dumps({"files": named, "series": series, "as_it_is": as_it_is})
    return await post(client, f"/api/tickets/{ticket}/intake", request=request, title=title)


async def upload(client: Client, ticket: int, *files: Sent) -> None:
    for file in files:
        address = await begun(client, ticket, file.name, len(file.data))
        assert (await add(client, address, 0, file.data)).status_code == 204


async def send(client: Client, *files: Sent, series: str = "", title: str = "") -> int:
    """A ticket whose files have all come."""
    ticket = await new_ticket(client)
    answer = await declare(client, ticket, *files, series=series, title=title)
    assert answer == (200, "success")
    await upload(client, ticket, *files)
    return ticket


async def status(client: Client, ticket: int) -> str:
    return await text(client, f"/api/tickets/{ticket}/status")


async def until(client: Client, ticket: int, wanted: str) -> None:
    """Waits for a status of the ticket, or a state of its intake."""

    async def look() -> tuple[str, str]:
        told = json.loads(await text(client, f"/api/tickets/{ticket}/intake"))["result"]
        return await status(client, ticket), told["state"]

    await eventually(look, lambda found: wanted in found)


async def sentence(client: Client, ticket: int) -> str:
    told = json.loads(await text(client, f"/api/tickets/{ticket}/intake"))["result"]
    return str(told["sentence"])


def reading(portal: Portal) -> UploadReader:
    """A program that reads uploads comes up."""
    reader = UploadReader(
        portal.broker, portal.settings.shared_datastore(), READ_LIMITS, "reader-1", Event()
    )
    reader.start()
    return reader
