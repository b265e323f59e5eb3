"""A portal that looks for absent programs when a test asks it to, and its sysadmin."""

import asyncio

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support.portals import Portal


@pytest.fixture
def checks(portal: Portal) -> ServiceWatch:
    """Only when a test asks it to: ``impatient`` keeps the portal's own from looking."""
    return ServiceWatch(portal.broker)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for.  The portal's own rounds would tell owners before the test does, on a busy machine."""
    monkeypatch.setattr(service_watch, "GRACE_S", 0.0)
    monkeypatch.setattr(ServiceWatch, "run", _rest)


async def _rest(_: ServiceWatch) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)
