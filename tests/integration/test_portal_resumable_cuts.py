"""Resumable uploads (tus) to portal processes that are cut off and killed, and to two of them."""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback, sites
from support.brokers import fresh_vhost
from support.sites import Site
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.stack

MB = 2**20
TAKEN, OTHER_OFFSET, HELD = 204, 409, 423
TUS = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename YS5yYXc="}
ADDING = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True, kw_only=True)
class Two:
    """Two portals of one site; the same session with each of them."""

    site: Site
    first: httpx.Client
    second: httpx.Client

    def begin(self, size_bytes: int) -> tuple[int, str]:
        """A ticket, and the address of an upload for it."""
        ticket = int(self.first.post("/api/tickets", data={"name": "lung-segmentation"}).text)
        length = {"Upload-Length": str(size_bytes)}
        answer = self.first.post(f"/api/tickets/{ticket}/uploads", headers={**TUS, **length})
        assert answer.status_code == 201, answer.text
        return ticket, answer.headers["Location"]


@pytest.fixture(scope="module")
def two(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("cuts")
    with fresh_vhost(rabbit) as amqp_url:
        site = sites.start(amqp_url, postgres, folder)
        try:
            bind = f"127.0.0.1:{free_port()}"
            site.stack.start_one("other", "dss_portal", "serve", DSS_BIND=bind)
            site.offer(folder, "dss")
            with site.program("ann@example.com") as first:
                cookies = first.cookies
                with loopback.client(base_url=f"http://{bind}", cookies=cookies) as second:
                    wait_until(lambda: site.stack.ready("other"), 60, site.stack.logs)
                    yield Two(site=site, first=first, second=second)
        finally:
            site.stack.stop()


def offset(client: httpx.Client, address: str) -> int:
    answer = client.head(address, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def add(client: httpx.Client, address: str, at: int, data: bytes) -> int:
    """The status; a request that is cut off holds the upload for some seconds."""
    headers = {**ADDING, "Upload-Offset": str(at)}
    statuses: list[int] = []

    def is_taken() -> bool:
        statuses.append(client.patch(address, headers=headers, content=data).status_code)
        return statuses[-1] != HELD

    wait_until(is_taken, 30)
    return statuses[-1]


def go_on(client: httpx.Client, address: str, data: bytes) -> int:
    """Send what the portal says that it lacks, until it takes it; from where that began."""
    status, at = 0, 0
    while status != TAKEN:
        at = offset(client, address)
        status = add(client, address, at, data[at:])
        assert status in {TAKEN, OTHER_OFFSET}
    return at


def begin_to_send(client: httpx.Client, address: str, announced_bytes: int) -> socket.socket:
    """A connection on which a PATCH from the beginning of the file is under way."""
    base = urlsplit(str(client.base_url))
    connection = socket.create_connection((base.hostname, base.port), timeout=10)
    (cookie,) = [c for c in client.cookies.jar if c.name == "webpy_session_id"]
    headers = {
        **ADDING,
        "Host": base.netloc,
        "Cookie": f"{cookie.name}={cookie.value}",
        "Upload-Offset": "0",
        "Content-Length": str(announced_bytes),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"PATCH {address} HTTP/1.1\r\n{lines}\r\n".encode())
    return connection


def end(connection: socket.socket, *, by_reset: bool) -> None:
    """A firewall resets connections."""
    if by_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stored(client: httpx.Client, ticket: int) -> bytes:
    return client.get(f"/api/tickets/{ticket}/files/input/0").content


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_what_came_before_a_cut_is_kept(two: Two, how: str) -> None:
    data = os.urandom(8 * MB)
    ticket, address = two.begin(len(data))

    connection = begin_to_send(two.first, address, len(data))
    connection.sendall(data[: 5 * MB])
    kept_bytes = some_bytes(two.first, address)
    end(connection, by_reset=how == "reset")
    if how == "closed":  # a reset throws away what the portal has not read
        kept_bytes = 5 * MB
        wait_until(lambda: offset(two.first, address) == kept_bytes, 30)

    assert go_on(two.first, address, data) >= kept_bytes
    assert stored(two.first, ticket) == data


def some_bytes(client: httpx.Client, address: str) -> int:
    """The number of bytes that are on disk once there are any."""
    seen: list[int] = []

    def has_some() -> bool:
        seen.append(offset(client, address))
        return seen[-1] > 0

    wait_until(has_some, 30)
    return seen[-1]


def test_any_portal_of_a_site_goes_on_with_an_upload(two: Two) -> None:
    data = os.urandom(3 * MB)
    ticket, address = two.begin(len(data))

    for at in range(0, len(data), MB):
        client = two.second if at == MB else two.first
        assert add(client, address, at, data[at : at + MB]) == 204
        assert offset(two.second, address) == at + MB

    assert stored(two.second, ticket) == data


def test_the_memory_of_a_portal_does_not_grow_with_the_file(two: Two) -> None:
    size_bytes = 256 * MB
    _, address = two.begin(size_bytes)
    add(two.first, address, 0, bytes(16 * MB))
    seen = [resident_bytes(two.site)]

    def rest() -> Iterator[bytes]:
        for _ in range(size_bytes // MB - 16):
            seen.append(resident_bytes(two.site))
            yield bytes(MB)

    headers = {**ADDING, "Upload-Offset": str(16 * MB)}
    length = {"Content-Length": str(size_bytes - 16 * MB)}
    answer = two.first.patch(address, headers={**headers, **length}, content=rest())

    assert answer.status_code == 204
    assert max(seen) - seen[0] < 48 * MB


def resident_bytes(site: Site) -> int:
    statm = Path(f"/proc/{site.stack.running['portal'].pid}/statm")
    return int(statm.read_text(encoding="utf-8").split()[1]) * 4096


def test_another_portal_goes_on_when_one_is_killed_while_it_receives(two: Two) -> None:
    data = os.urandom(8 * MB)
    ticket, address = two.begin(len(data))

    with begin_to_send(two.first, address, len(data)) as connection:
        connection.sendall(data[: 6 * MB])
        kept_bytes = some_bytes(two.second, address)
        two.site.stack.kill("portal")
    at = go_on(two.second, address, data)
    two.site.stack.start_one("portal")
    wait_until(two.site.stack.portal_ready, 60, two.site.stack.logs)

    assert at >= kept_bytes
    assert stored(two.second, ticket) == data
