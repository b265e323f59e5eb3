"""Requests of tus 1.0.0 as a client sends them."""

import base64

from quart import Response
from quart.typing import TestClientProtocol as Client

TUS = {"Tus-Resumable": "1.0.0"}


def named(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()}"


async def begin(client: Client, ticket: int, name: str, size_bytes: int) -> Response:
    headers = {**TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": named(name)}
    return await client.post(f"/api/tickets/{ticket}/uploads", headers=headers)


async def begun(client: Client, ticket: int, name: str, size_bytes: int) -> str:
    answer = await begin(client, ticket, name, size_bytes)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return str(answer.headers["Location"])


async def add(client: Client, address: str, offset: int, data: bytes) -> Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return await client.patch(address, headers={**TUS, **kind}, data=data)
