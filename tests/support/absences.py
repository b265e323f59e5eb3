"""A portal that looks for absent programs when a test asks it to, and its sysadmin."""

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.tickets import presence
from dss_portal.tickets.presence import Presence
from support.portals import Portal


@pytest.fixture
def checks(portal: Portal) -> Presence:
    """Only when a test asks it to: the portal's own is far slower than that."""
    return Presence(portal.broker)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PATIENCE_S", 0.0)


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)
