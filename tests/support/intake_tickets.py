# mypy: allow-untyped-calls
"""Uploads of a browser at a portal, and what becomes of them."""

from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from support.builders import image, write_image
from support.intakes import Sent, one
from support.portals import Portal, text


async def inputs(client: Client, ticket: int) -> list[str]:
    listed = await text(client, f"/api/tickets/{ticket}/files/input")
    return sorted(line.split(",")[1] for line in listed.splitlines())


def on_disk(portal: Portal, ticket: int) -> list[str]:
    folder = portal.datastore / layout.ticket_dir(ticket)
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


async def owned(client: Client) -> list[int]:
    return [int(row.split(",")[0]) for row in (await text(client, "/api/tickets")).splitlines()]


@pytest.fixture
def scan(tmp_path: Path) -> Sent:
    return one(write_image(tmp_path / "scan.nrrd", image()))
