"""A ticket that a provider works on over HTTP, whose results a checker judges."""

from dataclasses import dataclass

from quart.typing import TestClientProtocol as Client

from support.portals import Portal, post, send_file, text


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
