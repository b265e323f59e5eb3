"""A ticket that a provider works on over HTTP, whose results a checker judges."""

import json
from dataclasses import dataclass

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.admin import store as admin
from dss_portal.settings import Settings
from support.portals import Portal, post, send_file, submitted_ticket, text

SENTENCE = (
    "The results cannot be accepted. {} Mend them, send them again, and set the status again."
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A ticket of Ann's in the hands of a provider."""

    portal: Portal
    provider: Client
    ticket: int
    githash: str

    @property
    def base(self) -> str:
        return f"/api/pro/tickets/{self.ticket}"

    async def give(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            answer = await send_file(self.provider, f"{self.base}/files/results", name, data)
            assert answer == (200, "success")

    async def succeed(self) -> tuple[int, str]:
        return await post(self.provider, f"{self.base}/status", status="success")

    async def status(self) -> str:
        return await text(await self.portal.user(), f"/api/tickets/{self.ticket}/status")


@pytest.fixture
async def work(portal: Portal) -> Work:
    await portal.announce_service()
    ann, provider = await portal.user(), await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    listed = json.loads(await text(ann, "/api/services?format=json"))["result"]
    githash = str(listed[0]["githash"])
    ticket = await submitted_ticket(ann)
    claimed = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss", code="g")
    assert claimed == (200, str(ticket))
    return Work(portal=portal, provider=provider, ticket=ticket, githash=githash)


@pytest.fixture
def patient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a verdict longer than a moment."""
    monkeypatch.setitem(settings.__dict__, "check_results_s", 0.3)
