"""``dss doctor`` names what is wrong with a connection, and what to do."""

import os
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from dss_client.__main__ import main
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.recorder import ok, recording, refusal
from support.sites import Site

pytestmark = pytest.mark.stack

NOT_SIGNED_IN = refusal("401 Unauthorized")
TOO_LARGE = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 13\r\n\r\n<html>.</html>"[:-1]


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, tmp_path_factory.mktemp("site"))
        try:
            yield running
        finally:
            running.stack.stop()


def doctor(server: str, **environment: str) -> Result:
    cleared = {name: None for name in os.environ if name.lower().endswith("_proxy")}
    return CliRunner().invoke(main, ["doctor", "--server", server], env={**cleared, **environment})


def test_nothing_is_wrong_with_a_portal_that_answers(site: Site) -> None:
    done = doctor(site.url, DSS_TOKEN=site.stack.token("ann@example.com"))

    assert done.exit_code == 0, done.output
    assert "problem" not in done.output
    assert "A segmentation service answers" in done.output
    assert "Nothing in front of the portal refuses 4 GB" in done.output
    assert "Signed in as ann@example.com" in done.output


def test_a_token_for_programs_is_tried_and_a_used_one_is_told(site: Site) -> None:
    site.stack.token("bob@example.com")
    program = site.stack.command("tokens", "create", "bob@example.com", "--scope", "tickets")

    assert "Signed in as bob@example.com" in doctor(site.url, DSS_TOKEN=program.split()[-1]).output
    wrong = doctor(site.url, DSS_TOKEN="x" * 48)
    assert wrong.exit_code == 1
    assert "The token is not accepted" in wrong.output


def test_a_wrong_token_for_programs_is_told_as_such(site: Site) -> None:
    done = doctor(site.url, DSS_TOKEN="dss_wrong")

    assert done.exit_code == 1
    assert "does not accept this token for programs" in done.output
    assert "/token;" not in done.output


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        ("dss.example.org", "begins with http:// or https://"),
        ("http://no-such-host.invalid", "The name no-such-host.invalid is not known"),
        (
            "http://127.0.0.1:9",
            "No server answers at http://127.0.0.1:9. Is the portal started (make up)? Is the",
        ),
    ],
)
def test_an_address_that_leads_nowhere(server: str, sentence: str) -> None:
    done = doctor(server)

    assert done.exit_code == 1
    assert sentence in done.output.replace("\n         ", " ")


@pytest.mark.parametrize(
    ("answers", "status", "sentence"),
    [
        (
            {"GET": refusal("301 Moved", "Location: https://other.example.org/")},
            1,
            "leads to https://other.example.org/; ITK-SNAP does not follow",
        ),
        ({"GET": ok(b"<html><title>Intranet</title></html>")}, 1, "A web page answers"),
        ({"GET": refusal("502 Bad Gateway")}, 1, "the portal behind it does not (status 502)"),
        (
            {"GET": NOT_SIGNED_IN, "POST": TOO_LARGE},
            1,
            "lets no large file through",
        ),
        (
            {
                "GET": refusal("401 Unauthorized", "Date: Tue, 01 Jan 2019 00:00:00 GMT"),
                "POST": NOT_SIGNED_IN,
            },
            0,
            "clock and the server's are",
        ),
    ],
)
def test_what_stands_between_is_named(
    answers: dict[str, bytes], status: int, sentence: str
) -> None:
    with recording(answers) as recorder:
        done = doctor(recorder.address)

    assert sentence in done.output.replace("\n         ", " ")
    assert done.exit_code == status


def test_a_proxy_variable_is_named() -> None:
    done = doctor("http://dss.example.org", http_proxy="http://user:secret@127.0.0.1:9")

    assert "http_proxy sends requests through 127.0.0.1" in done.output
    assert "secret" not in done.output
