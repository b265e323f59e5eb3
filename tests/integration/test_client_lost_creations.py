"""The answer to the creation of a ticket is lost: ``dss`` and its library get the same ticket, and no second one stays."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_client import flows
from dss_client.asynchronous import AsyncClient
from dss_client.batch import Batch
from dss_client.batch_items import REFUSED, Item, for_services, items_of
from dss_client.batch_screen import BatchScreen
from dss_client.client import Client
from dss_client.errors import Unreachable
from dss_client.itksnap import ItkSnap
from dss_client.send_options import SendOptions
from dss_client.sending import selected_service
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.builders import image, write_image
from support.lost_answers import losing
from support.recorder import ok, recording, refusal
from support.sites import Site

CREATION = b"POST /api/tickets HTTP/1.1\r\n"
SERVICE = "lung-segmentation"


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("lost")
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, folder)
        try:
            running.offer(folder, "dss")
            yield running
        finally:
            running.stack.stop()


@pytest.fixture
def token(site: Site, request: pytest.FixtureRequest) -> str:
    """Of a user without tickets."""
    email = f"{request.node.name[:40].replace('[', '-').replace(']', '')}@example.com"
    site.stack.token(email)
    made = site.stack.command("tokens", "create", email, "--scope", "tickets")
    return made.split()[-1]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    write_image(path, image())
    return path


def all_tickets(site: Site, token: str) -> dict[int, str]:
    """The states of all tickets of the token's user, by number; also of deleted ones."""
    with Client(site.url, token=token) as client:
        email = client.account()
    rows = site.sql(
        "SELECT ticket.id, status FROM ticket JOIN user_account ON user_account.id = user_id WHERE email = $1",
        email,
    )
    return {int(str(number)): str(status) for number, status in rows}


@pytest.mark.stack
def test_the_library_gets_the_ticket_that_was_created(site: Site, token: str, scan: Path) -> None:
    with losing(site.url, CREATION, 2) as wire, Client(wire.url, token=token) as client:
        number = client.send(scan, SERVICE)

    assert wire.lost == 2
    assert all_tickets(site, token) == {number: "ready"}


@pytest.mark.stack
async def test_the_library_for_asyncio_gets_it_too(site: Site, token: str, scan: Path) -> None:
    with losing(site.url, CREATION, 2) as wire:
        async with AsyncClient(wire.url, token=token) as client:
            number = await client.send(scan, SERVICE)

    assert wire.lost == 2
    assert all_tickets(site, token) == {number: "ready"}


class Killed(BaseException):
    """Ends a batch as a kill does."""


def batch(address: str, token: str, scan: Path, folder: Path, *, killed: bool) -> list[Item]:
    """Run a batch of one image; with ``killed``, until it waits before another attempt."""

    def kill(_: float) -> None:
        raise Killed

    items = for_services(items_of([scan], each=False), [SERVICE])
    with ItkSnap(address) as client, BatchScreen(1) as screen:
        if token:
            client.use_token(token)
        services = {SERVICE: selected_service(client, SERVICE)}
        options = SendOptions(wait=False)
        pause = {"pause": kill} if killed else {}
        Batch(client, services, folder, screen, options=options, **pause).run(items)
    return items


@pytest.mark.stack
def test_a_batch_that_was_killed_before_the_answer_continues_with_the_ticket(
    site: Site, token: str, scan: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    with losing(site.url, CREATION, 1) as wire:
        # The table names the portal, so both runs go through the proxy.
        with pytest.raises(Killed):
            batch(wire.url, token, scan, folder, killed=True)
        (left,) = all_tickets(site, token).items()
        assert left[1] == "init"

        (item,) = batch(wire.url, token, scan, folder, killed=False)

    assert item.ticket == left[0]
    assert all_tickets(site, token) == {item.ticket: "ready"}
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["ticket"], row["key"]) == (str(item.ticket), "")


@pytest.mark.stack
def test_a_batch_replaces_the_ticket_of_an_earlier_run_that_was_deleted(
    site: Site, token: str, scan: Path, tmp_path: Path
) -> None:
    """That run may have deleted it when it was interrupted, before it could note the number."""
    with losing(site.url, CREATION, 1) as wire:
        with pytest.raises(Killed):
            batch(wire.url, token, scan, tmp_path / "out", killed=True)
        (gone,) = all_tickets(site, token)
        with Client(site.url, token=token) as client:
            client.delete(gone)

        (item,) = batch(wire.url, token, scan, tmp_path / "out", killed=False)

    assert item.ticket != gone
    assert all_tickets(site, token) == {gone: "deleted", item.ticket: "ready"}


def answers(creation: bytes, description: bytes) -> dict[str, bytes]:
    """Those of a server with one service: to the creation of a ticket, and for its description of the API."""
    row = f'{{"name": "{SERVICE}", "githash": "{"a" * 40}", "version": "1.0.0", "shortdesc": ""}}'
    return {
        "POST /api/tickets ": creation,
        "GET /api/openapi.json": description,
        "GET /api/services?": ok(f'{{"result": [{row}]}}'.encode()),
        "GET /api/services/": ok(
            b'{"tags": [{"name": "CT", "type": "MainImage", "required": true}]}'
        ),
    }


@pytest.mark.parametrize(
    "description", [refusal("404 Not Found"), ok(b'{"paths": {}}'), ok(b"<html>")]
)
def test_a_server_that_knows_no_keys_is_not_asked_twice(
    scan: Path, description: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "PAUSES_S", (0.0, 0.0))
    with (
        recording(answers(b"", description)) as recorder,
        Client(recorder.address, token="dss_x") as client,
        pytest.raises(Unreachable),
    ):
        client.send(scan, SERVICE)

    creations = [each for each in recorder.requests if each.line.startswith("POST")]
    assert len(creations) == 1
    assert creations[0].header("Idempotency-Key").strip('"').isalnum()


def test_a_server_that_refuses_every_key_is_asked_once_and_the_image_is_refused(
    scan: Path, tmp_path: Path
) -> None:
    with recording(answers(refusal("422 Unprocessable Entity"), ok(b"{}"))) as recorder:
        (item,) = batch(recorder.address, "", scan, tmp_path / "out", killed=False)

    assert (item.status, item.reason) == (REFUSED, "no")
    creations = [each for each in recorder.requests if each.line.startswith("POST")]
    assert len(creations) == 1
