"""A portal as a server calls it, with the layers before the framework, beside its framework alone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from dss_portal.admin import store as admin
from dss_portal.app import served
from dss_portal.services import store as services
from dss_portal.web.context import components_of
from support.portals import Portal

LUNGS = {"name": "lung-segmentation"}


@dataclass
class Asked:
    """A client of the portal as a server calls it, or of its framework alone; ``framework`` are the paths that the
    framework answered.
    """

    client: httpx.AsyncClient
    framework: list[str] = field(default_factory=list)

    async def post(self, path: str, **form: str) -> httpx.Response:
        return await self.client.post(path, data=form)


@dataclass(frozen=True, kw_only=True)
class Both:
    layers: Asked
    bare: Asked
    githash: str


async def asked(
    portal: Portal, clients: AsyncExitStack, headers: dict[str, str], *, bare: bool
) -> Asked:
    seen: list[str] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await portal.framework(scope, receive, send)

    app: Any = framework if bare else served(portal.app, framework=framework)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
    return Asked(client=await clients.enter_async_context(client), framework=seen)


def scope_of(path: str, headers: dict[str, str]) -> dict[str, Any]:
    """A POST to ``path`` as a server passes it on."""
    return {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"spec_version": "2.1"},
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


def shown(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body, without what differs each time."""
    headers = [(k, v) for k, v in answer.headers.multi_items() if k != "x-request-id"]
    return answer.status_code, sorted(headers), answer.content


@asynccontextmanager
async def both_of(portal: Portal) -> AsyncIterator[Both]:
    """Clients of one user, who may claim tickets, too."""
    await portal.announce_service()
    visitor = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    assert visitor.cookie_jar is not None
    (cookie,) = [c for c in visitor.cookie_jar if c.name == "webpy_session_id"]
    headers = {"Cookie": f"webpy_session_id={cookie.value}"}
    assert await components_of(portal.app).feed.wait_until_current(60)
    async with AsyncExitStack() as clients:
        layers = await asked(portal, clients, headers, bare=False)
        bare = await asked(portal, clients, headers, bare=True)
        yield Both(layers=layers, bare=bare, githash=(await services.listed())[0].githash)


async def claimed(who: Asked, githash: str) -> int:
    """The number of the ticket that a claim gives; -1 for none."""
    answer = await who.post(f"/api/pro/services/{githash}/claims", provider="dss", code="one")
    return int(answer.text)
