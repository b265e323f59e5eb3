"""Several processes of one portal: they share a port, are begun again, and end together."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from dss_portal.changes.watcher import CURRENT_S
from support import loopback
from support.brokers import Node, fresh_vhost
from support.stacks import Stack, free_port, two_free_ports
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

MANY = 40
"""Connections of which each process gets some: the kernel deals them out by a hash of the addresses."""


@pytest.fixture
def stack(rabbit: Node, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    with fresh_vhost(rabbit) as amqp_url:
        stack = Stack(
            folder=tmp_path,
            amqp_url=amqp_url,
            database_url=database_url,
            settings={"DSS_PORTAL_PROCESSES": "2", "DSS_REQUESTS_PER_MINUTE": "0"},
            health_ports={"portal": two_free_ports()},
        )
        stack.datastore.mkdir()
        stack.start_one("portal")
        yield stack
        stack.stop()


def processes(stack: Stack) -> list[int]:
    pid = stack.running["portal"].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in children.split()]


def both_ready(stack: Stack) -> bool:
    first = stack.health_ports["portal"]
    with suppress(httpx.TransportError):
        return all(
            loopback.get(f"http://127.0.0.1:{port}/readyz").is_success
            for port in (first, first + 1)
        )
    return False


def counted(port: int) -> float:
    """Requests for the page /about, as the process with that port for operators counts them."""
    page = loopback.get(f"http://127.0.0.1:{port}/metrics").text
    found = re.findall(
        r'^dss_http_requests_total{[^}]*route="/about"[^}]*} ([\d.]+)', page, re.MULTILINE
    )
    return sum(map(float, found))


def test_each_process_answers_some_and_tells_its_own_metrics(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)

    for _ in range(MANY):
        assert loopback.get(f"{stack.url}/about").is_success

    first = stack.health_ports["portal"]
    by_process = [counted(port) for port in (first, first + 1)]
    assert sum(by_process) == MANY
    assert min(by_process) > 0


def test_what_one_process_was_told_the_other_shows_within_a_second(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    (stack.folder / "service.json").write_text(
        '{"name": "s", "version": "1.0.0", "shortdesc": "S", "longdesc": "", "tags": []}',
        encoding="utf-8",
    )
    stack.command("providers", "add", "p")
    stack.command("services", "add", "p", str(stack.folder / "service.json"))
    token = stack.token()
    with loopback.client(base_url=stack.url) as client:
        client.post("/api/login", data={"token": token}).raise_for_status()
        cookies = client.cookies
        made: list[str] = []

        for _ in range(3):
            for _ in range(MANY // 4):
                listed(stack, cookies)  # both keep the answer in memory
            made.append(client.post("/api/tickets", data={"name": "s"}).raise_for_status().text)
            time.sleep(CURRENT_S)
            assert [listed(stack, cookies) for _ in range(MANY // 4)] == [made] * (MANY // 4)


def listed(stack: Stack, cookies: httpx.Cookies) -> list[str]:
    """Ticket numbers, over a connection of its own."""
    answer = loopback.get(f"{stack.url}/api/tickets", cookies=cookies).raise_for_status()
    return [line.split(",")[0] for line in answer.text.splitlines()]


def test_a_process_that_dies_is_begun_again_while_the_other_serves(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    before = processes(stack)
    assert len(before) == 2

    os.kill(before[1], signal.SIGKILL)

    wait_until(lambda: len(set(processes(stack)) - set(before)) == 1, 60, stack.logs)
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    assert before[0] in processes(stack)
    assert "task ended unforeseen, beginning it again" in stack.logs()


def test_all_end_when_the_portal_is_stopped_and_an_upload_may_finish(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    children = processes(stack)
    with socket.create_connection(("127.0.0.1", stack.port)) as slow:
        slow.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\nto")
        for _ in range(
            MANY // 4
        ):  # whichever process has the slow one has accepted it before the last of these
            loopback.get(f"{stack.url}/about").raise_for_status()

        stack.running["portal"].send_signal(signal.SIGTERM)
        slow.sendall(b"ken=x")

        assert slow.recv(1000).startswith(b"HTTP/1.1 401")

    assert stack.running["portal"].wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_no_process_outlives_the_first(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    children = processes(stack)

    stack.kill("portal")

    wait_until(lambda: not any(is_running(pid) for pid in children), 60, stack.logs)


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def test_a_portal_that_cannot_start_says_so_and_ends(stack: Stack) -> None:
    wait_until(lambda: both_ready(stack), 60, stack.logs)
    taken = stack.health_ports["portal"] + 1

    stack.port = free_port()
    stack.start_one("other", "dss_portal", "serve", DSS_METRICS_BIND=f"127.0.0.1:{taken}")

    assert stack.running.pop("other").wait(60) == 2
    assert f"DSS_METRICS_BIND: 127.0.0.1:{taken}" in (stack.folder / "other.log").read_text(
        encoding="utf-8"
    )
