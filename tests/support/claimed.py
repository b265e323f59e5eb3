"""Status and log of a ticket as its user reads them."""

import json

from quart.typing import TestClientProtocol as Client

from support.portals import (
    eventually,
    text,
)


async def status_becomes(client: Client, ticket_id: int, expected: str) -> None:
    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/status"), lambda now: now == expected
    )


async def log_of(client: Client, ticket_id: int) -> list[str]:
    found = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))
    return [line["message"] for line in found["result"]]
