"""Our emulation of ITK-SNAP and the command line, proven against the server that ITK-SNAP uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_client.errors import ClientError, Refused, SignInRefused
from dss_client.itksnap import ItkSnap
from support import reference_server
from support.reference_server import Provider

pytestmark = pytest.mark.stack

server = reference_server.server
provider = reference_server.provider


@pytest.fixture
def client(server: str, provider: Provider) -> Iterator[ItkSnap]:
    """Signed in."""
    with ItkSnap(server) as client:
        client.login(provider.token())
        yield client


def test_a_one_time_token_signs_in_and_the_session_lasts_in_the_jar(
    server: str, provider: Provider, tmp_path: Path
) -> None:
    jar = tmp_path / "cookie.jar"
    with ItkSnap(server, jar) as client:
        email = client.login(provider.token())

    with ItkSnap(server, jar) as later:
        assert later.account() == email == "test@example.com"


def test_the_tool_signs_in_by_the_text_of_the_answer(server: str, provider: Provider) -> None:
    with ItkSnap(server) as client:
        assert client.login_as_tool(provider.token()) == "test@example.com"


def test_a_used_token_is_refused(server: str, provider: Provider) -> None:
    token = provider.token()
    with ItkSnap(server) as client:
        client.login(token)
        with pytest.raises(SignInRefused):
            client.login(token)


def test_a_service_is_listed_and_described(client: ItkSnap, provider: Provider) -> None:
    (row,) = client.services()

    assert (row.name, row.githash) == ("lung-segmentation", provider.githash)
    assert client.service_detail(row.githash).tags[0].type == "MainImage"


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_ticket_is_made_by_hash_and_by_name(
    client: ItkSnap, provider: Provider, by_hash: bool
) -> None:
    assert client.create_ticket(provider.githash if by_hash else "lung-segmentation") == 1


def test_an_unknown_service_is_refused_in_the_words_that_itksnap_shows(client: ItkSnap) -> None:
    with pytest.raises(Refused) as refused:
        client.create_ticket("nothing")

    assert str(refused.value) == "Response 400, Text: Unable to find service named nothing"


def test_an_uploaded_file_arrives_byte_for_byte(
    client: ItkSnap, provider: Provider, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4000
    path = tmp_path / "layer_000.nii.gz"
    path.write_bytes(content)
    ticket = client.create_ticket("lung-segmentation")

    client.upload(ticket, path)
    client.submit(ticket)

    assert provider.inputs(provider.claim()) == {"layer_000.nii.gz": content}


def test_the_log_is_told_once_and_the_waiting_ends_with_the_ticket(
    client: ItkSnap, provider: Provider
) -> None:
    ticket = client.create_ticket("lung-segmentation")
    client.submit(ticket)
    states = client.wait(ticket, every_s=0)
    first = next(states)
    provider.log(provider.claim(), "warning", "a word, 100 %")
    provider.finish(ticket, "failed")

    (last,) = states

    assert [line.message for line in first.log] == ["Ticket received and queued for processing"]
    assert [line.message for line in last.log][-1] == "a word, 100 %"
    assert (first.queue_position, last.status) == (1, "failed")


def test_results_come_back_byte_for_byte(
    client: ItkSnap, provider: Provider, tmp_path: Path
) -> None:
    ticket = client.create_ticket("lung-segmentation")
    client.submit(ticket)
    provider.give(provider.claim(), {"a.nii.gz": b"\x1f\x8b" * 300_000, "b, c.itksnap": b"<x/>"})

    paths = client.download_results(ticket, tmp_path / "here")

    assert {p.name: p.read_bytes() for p in paths} == {
        "a.nii.gz": b"\x1f\x8b" * 300_000,
        "b, c.itksnap": b"<x/>",
    }


def test_a_ticket_without_results_says_so(client: ItkSnap, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="Ticket 1 has no results"):
        client.download_results(client.create_ticket("lung-segmentation"), tmp_path)


def test_a_deleted_ticket_leaves_the_list(client: ItkSnap) -> None:
    ticket = client.create_ticket("lung-segmentation")
    assert [row.status for row in client.tickets()] == ["init"]

    client.delete(ticket)

    assert client.tickets() == []
