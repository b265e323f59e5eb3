"""``dss send`` over a connection that is cut again and again: little is sent twice, and what arrives is identical."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dss_client import resumable
from dss_client.cookie_jar import CookieJar
from dss_client.rest import RestClient
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.cut_wires import cut_wire, no_pause
from support.sites import Site

MB = 2**20


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cut")
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, folder)
        try:
            running.offer(folder, "dss")
            yield running
        finally:
            running.stack.stop()


@contextmanager
def client_of(site: Site, address: str) -> Iterator[RestClient]:
    site.stack.token("ann@example.com")
    token = site.stack.command("tokens", "create", "ann@example.com", "--scope", "tickets")
    client = RestClient(address, CookieJar(None), bearer=token.split()[-1])
    try:
        yield client
    finally:
        client.close()


@pytest.mark.stack
def test_an_upload_that_is_cut_again_and_again_sends_little_twice(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(os.urandom(16 * MB))
    moved: list[int] = []

    with cut_wire(site.url, 3 * MB) as wire, client_of(site, wire.url) as client:
        ticket = int(client.post("api/tickets", "name=lung-segmentation"))
        done = resumable.upload(client, ticket, file, lambda at, _: moved.append(at), short_pause)

        assert done
        assert wire.cuts >= 4
        assert wire.sent_bytes - 16 * MB < wire.cuts * MB
        assert moved[-1] == 16 * MB

    with client_of(site, site.url) as client:
        path = f"api/tickets/{ticket}/files/input"
        assert client.get(path) == b"0,a.raw\r\n"
        client.download(f"{path}/0", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def short_pause(seconds: float) -> None:
    """Time in which the portal notices that the connection is gone."""
    threading.Event().wait(min(seconds, 0.1))


@pytest.mark.stack
def test_a_download_that_is_cut_again_and_again_goes_on_where_it_was(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(os.urandom(16 * MB))
    with client_of(site, site.url) as client:
        ticket = int(client.post("api/tickets", "name=lung-segmentation"))
        path = f"api/tickets/{ticket}/files/input"
        client.upload(path, file)

    with cut_wire(site.url, 3 * MB) as wire, client_of(site, wire.url) as client:
        client.download(f"{path}/0", tmp_path / "back", pause=no_pause)

        assert wire.cuts >= 4
        assert wire.answered_bytes - 16 * MB < MB
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


class _Ended(Exception):
    """Ends a download as a killed process would."""


@pytest.mark.stack
def test_a_download_goes_on_in_a_later_run_of_the_program(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(os.urandom(16 * MB))
    back = tmp_path / "back"

    def end_at_the_half(done_bytes: int, _: int) -> None:
        if done_bytes >= 8 * MB:
            raise _Ended

    with client_of(site, site.url) as client:
        ticket = int(client.post("api/tickets", "name=lung-segmentation"))
        path = f"api/tickets/{ticket}/files/input"
        client.upload(path, file)

    # each run goes to the same address, through another connection
    with cut_wire(site.url, 64 * MB) as wire:
        with client_of(site, wire.url) as client, pytest.raises(_Ended):
            client.download(f"{path}/0", back, end_at_the_half)
        before = wire.answered_bytes
        assert not back.exists()

        with client_of(site, wire.url) as client:
            client.download(f"{path}/0", back)

        assert wire.answered_bytes - before < 9 * MB
    assert back.read_bytes() == file.read_bytes()
    assert list(tmp_path.glob(".*")) == []
