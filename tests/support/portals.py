"""A whole portal for tests: real PostgreSQL, an in-memory broker, no sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from queue import Empty, Queue
from typing import Any, TypeVar

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client
from werkzeug.datastructures import FileStorage

from dss_broker import topology
from dss_broker.broker import Broker, Delivery
from dss_broker.messages import ClaimGranted, ClaimRefused, ClaimTicket, Message, ServiceAnnounced
from dss_datastore.s3.bucket import MARK
from dss_portal.accounts import store as accounts
from dss_portal.app import served
from dss_portal.components import Components
from dss_portal.settings import Settings
from dss_portal.tickets import leases, reaper
from dss_portal.web.context import components_of
from support.waiting import stretch

DESCRIPTOR = {
    "name": "lung-segmentation",
    "version": "1.0.0",
    "shortdesc": "Lungs",
    "longdesc": "Left and right lung.",
    "tags": [{"name": "CT", "type": "MainImage", "hint": "A chest CT", "required": True}],
}

M = TypeVar("M", bound=Message)

DATASTORES = pytest.mark.parametrize("settings", ["folder", "s3"], indirect=True)
"""For tests of what a datastore must do wherever it is."""


def answer_posts_as_served(app: Quart) -> None:
    """Let test clients' POSTs take the way through the layers before the framework, as those of a server do."""
    plain: Any = app.asgi_app
    layers: Any = served(app, framework=plain)

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await plain(scope, receive, send)
            return
        headers = [h for h in scope["headers"] if h[0] != b"remote-addr"]  # of Quart's client only
        await layers({**scope, "headers": headers}, receive, send)

    app.asgi_app = asgi_app  # type: ignore[method-assign]  # as Quart's documentation does


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Portal:
    """What a test may ask of the portal and of the world around it."""

    app: Quart
    broker: Broker
    settings: Settings
    ready: "Queue[Delivery]" = field(default_factory=Queue)

    @property
    def components(self) -> Components:
        return components_of(self.app)

    @property
    def datastore(self) -> Path:
        assert self.settings.datastore is not None
        return self.settings.datastore

    @property
    def files(self) -> set[str]:
        """The places of all files in the datastore, in a folder or a bucket; of one being received with ``.part``."""
        if self.settings.is_s3:
            return {found.key for found in self.settings.bucket().list("")} - {MARK}
        return {
            str(path.relative_to(self.datastore))
            for path in self.datastore.rglob("*")
            if path.is_file()
        }

    async def has_no_parts(self) -> bool:
        """True as soon as nothing is left of files that were received; a bucket's are removed behind the answer."""

        async def parts() -> set[str]:
            found = await asyncio.to_thread(lambda: self.files)
            return {name for name in found if ".part" in name}

        return await eventually(parts, lambda found: not found) == set()

    def write(self, place: PurePosixPath, content: bytes) -> None:
        """Write a file as a dispatcher does."""
        if self.settings.is_s3:
            self.settings.bucket().put_bytes(str(place), content)
            return
        target = self.datastore / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def read(self, place: PurePosixPath) -> bytes:
        """The content of a file in the datastore."""
        if self.settings.is_s3:
            with self.settings.bucket().open(str(place)) as file:
                return file.read()
        return (self.datastore / place).read_bytes()

    async def user(self, email: str = "ann@example.com", *, sysadmin: bool = False) -> Client:
        """A client that has signed in as ITK-SNAP does."""
        token = await accounts.new_login_token(
            await accounts.save_user(email, sysadmin=sysadmin), life_s=60
        )
        client = self.app.test_client()
        answer = await client.post("/api/login", form={"token": token})
        assert answer.status_code == 200
        return client

    async def announce_service(self, **changes: object) -> None:
        """A dispatcher comes up: its service is listed when this returns."""
        descriptor = {**DESCRIPTOR, **changes}
        name = str(descriptor["name"])
        message = ServiceAnnounced(
            service=name, provider="dss", instance="test", descriptor=descriptor
        )
        client = await self.user("lister@example.com")
        before = await text(client, "/api/services")
        await asyncio.wrap_future(self.broker.publish(message))
        await eventually(lambda: text(client, "/api/services"), lambda now: now != before)

    async def framework(self, scope: Any, receive: Any, send: Any) -> None:
        """The framework as an ASGI application, without the layers before it."""
        await Quart.asgi_app(self.app, scope, receive, send)

    def serve(self, service: str = "lung-segmentation") -> None:
        """Collect the service's announced tickets in ``ready``; they are acknowledged at once."""
        self.broker.consume(topology.dispatch(service), self.ready.put)

    async def next_ready(self) -> Delivery:
        return await asyncio.to_thread(self.ready.get, timeout=60)

    async def sweep(self) -> int:
        """The reaper looks once, as it does by itself from a lease after the start; what it changed."""
        datastore = self.components.datastore
        touched = await leases.OverdueClaims(self.broker, grace_s=0).ask()
        touched += await reaper.sweep(self.settings, datastore)
        return touched

    def nothing_ready(self, within_s: float = 0.3) -> bool:
        try:
            self.ready.get(timeout=within_s)
        except Empty:
            return True
        return False

    async def claim(
        self, ticket_id: int, delivery_id: str = "d1", instance: str = "i1", deliveries: int = 1
    ) -> ClaimGranted | ClaimRefused:
        """Ask as a dispatcher does."""
        request = ClaimTicket(
            ticket_id=ticket_id,
            service="lung-segmentation",
            provider="dss",
            instance=instance,
            delivery_id=delivery_id,
            deliveries=deliveries,
        )
        conversation = self.broker.request(request)
        answer = await asyncio.to_thread(conversation.next, 60)
        conversation.close()
        assert isinstance(answer, ClaimGranted | ClaimRefused)
        return answer

    async def granted(
        self, ticket_id: int, delivery_id: str = "d1", deliveries: int = 1
    ) -> ClaimGranted:
        answer = await self.claim(ticket_id, delivery_id, deliveries=deliveries)
        assert isinstance(answer, ClaimGranted)
        return answer

    async def tell(self, message: Message, message_id: str | None = None) -> None:
        """An event from a dispatcher; delivered when this returns, perhaps not yet handled."""
        await asyncio.wrap_future(self.broker.publish(message, message_id=message_id))


async def text(client: Client, path: str) -> str:
    answer = await client.get(path)
    return await answer.get_data(as_text=True)


async def post(client: Client, path: str, **form: str) -> tuple[int, str]:
    answer = await client.post(path, form=form)
    return answer.status_code, await answer.get_data(as_text=True)


async def send_file(
    client: Client, path: str, name: str, data: bytes, **more: str
) -> tuple[int, str]:
    """Upload as ITK-SNAP does: ``myfile``, then ``submit``, then ``more``."""
    file = FileStorage(BytesIO(data), filename=name)
    answer = await client.post(path, files={"myfile": file}, form={"submit": "send", **more})
    return answer.status_code, await answer.get_data(as_text=True)


async def new_ticket(client: Client, service: str = "lung-segmentation") -> int:
    status, number = await post(client, "/api/tickets", name=service)
    assert status == 200, number
    return int(number)


async def submitted_ticket(client: Client) -> int:
    ticket_id = await new_ticket(client)
    await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.itksnap", b"<registry/>")
    assert await post(client, f"/api/tickets/{ticket_id}/status", status="ready") == (200, "ready")
    return ticket_id


T = TypeVar("T")


async def eventually(
    look: Callable[[], Awaitable[T]], is_so: Callable[[T], bool], within_s: float = 60
) -> T:
    """What ``look`` shows once ``is_so``; fails after ``within_s`` seconds, on a busy machine ``stretch`` times as many."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while True:
        found = await look()
        if is_so(found):
            return found
        assert loop.time() < began_s + within_s * stretch(), f"still {found!r}"
        await asyncio.sleep(0.02)
