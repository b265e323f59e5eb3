"""A provider over HTTP, his service, and a ticket that he has claimed."""

import json

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.admin import store as admin
from support.portals import Portal, post, submitted_ticket, text


@pytest.fixture
async def githash(portal: Portal) -> str:
    await portal.announce_service()
    listed = json.loads(await text(await portal.user(), "/api/services?format=json"))["result"]
    return str(listed[0]["githash"])


@pytest.fixture
async def provider(portal: Portal, githash: str) -> Client:
    """Somebody who works for the provider of the service."""
    client = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    return client


async def claim(client: Client, githash: str) -> str:
    path = f"/api/pro/services/{githash}/claims"
    status, answer = await post(client, path, provider="dss", code="gpu1")
    assert status == 200, answer
    return answer


@pytest.fixture
async def claimed(portal: Portal, provider: Client, githash: str) -> int:
    """The number of a ticket of Ann's that the provider has claimed."""
    ticket_id = await submitted_ticket(await portal.user())
    assert await claim(provider, githash) == str(ticket_id)
    return ticket_id
