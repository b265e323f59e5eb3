"""Portals as a server calls them, whose polls are answered before the framework."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from dss_portal.app import served
from dss_portal.changes.feed import Feed
from dss_portal.changes.watcher import CURRENT_S
from dss_portal.web.context import components_of
from support.portals import Portal

T = TypeVar("T")


@dataclass
class Replica:
    """A portal as a server calls it; ``framework`` are the paths that its polls did not answer."""

    client: httpx.AsyncClient
    framework: list[str] = field(default_factory=list)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Two replicas of one portal: the first answers the changes, the second only hears of them."""

    first: Replica
    second: Replica
    bare: Replica


async def within_a_second(look: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> None:
    """Fails if a look that began CURRENT_S or more after this call does not show what ``is_so``."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + CURRENT_S
    while True:
        began_s = loop.time()
        found = await look()
        if is_so(found):
            return
        assert began_s < deadline_s, f"still {found!r}"
        await asyncio.sleep(0.02)


async def replica(portal: Portal, clients: AsyncExitStack, feed: Feed | None) -> Replica:
    """``feed``: None for the framework alone."""
    seen: list[str] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await portal.app(scope, receive, send)

    asgi: Any = framework
    if feed is not None:
        asgi = served(portal.app, framework=framework, feed=feed)
    transport = httpx.ASGITransport(app=asgi, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
    return Replica(client=await clients.enter_async_context(client), framework=seen)


async def signed_in(portal: Portal, email: str, *, sysadmin: bool = False) -> dict[str, str]:
    """The cookie of a new session."""
    client = await portal.user(email, sysadmin=sysadmin)
    assert client.cookie_jar is not None
    (cookie,) = [c for c in client.cookie_jar if c.name == "webpy_session_id"]
    return {"Cookie": f"webpy_session_id={cookie.value}"}


@asynccontextmanager
async def two_replicas(portal: Portal) -> AsyncIterator[Site]:
    """Two replicas of a portal with a service; both follow the feed of changes."""
    await portal.announce_service()
    feed = Feed(portal.settings.database_url.get_secret_value())
    running = asyncio.create_task(feed.run())
    async with AsyncExitStack() as clients:
        first = await replica(portal, clients, components_of(portal.app).feed)
        second = await replica(portal, clients, feed)
        bare = await replica(portal, clients, None)
        assert await feed.wait_until_current(10)
        assert await components_of(portal.app).feed.wait_until_current(10)
        yield Site(first=first, second=second, bare=bare)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
