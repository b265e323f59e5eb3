"""A portal that looks for absent programs when a test asks it to, and its sysadmin."""

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support.portals import Portal


@pytest.fixture
def checks(portal: Portal) -> ServiceWatch:
    """Only when a test asks it to: the portal's own is far slower than that."""
    return ServiceWatch(portal.broker)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_watch, "GRACE_S", 0.0)


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)
