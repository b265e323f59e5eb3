"""What the programs of a real stack write while tickets succeed, fail and are withdrawn."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.sending import send
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.builders import workspace_xml, write_image
from support.sites import whole_stack
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

EMAIL = "mueller.log@example.com"
PATIENT = "mueller-hans-1951"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "req-of-the-proxy"
PROGRAMS = ("portal", "dispatch", "inference")
OF_CLAIMS = {
    "ticket claimed",
    "ticket done",
    "ticket failed",
    "ticket withdrawn",
    "inference finished",
    "inference cancelled",
}

Line = dict[str, Any]


@dataclass
class Written:
    lines: list[Line] = field(default_factory=list)
    text: str = ""
    secrets: list[str] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    withdrawn: int = 0

    def of(self, ticket: int) -> list[tuple[str, str]]:
        return [(e["program"], e["message"]) for e in self.lines if e.get("ticket") == ticket]


class Deletes(Quiet):
    """Changes its mind as soon as the work has begun."""

    def __init__(self, client: ItkSnap) -> None:
        self._client = client
        self.ticket = 0

    def created(self, ticket: int) -> None:
        self.ticket = ticket

    def polled(self, detail: Detail) -> None:
        if any(line.message.startswith("Inference:") for line in detail.log):
            self._client.delete(self.ticket)


@pytest.fixture(scope="module")
def written(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Written:
    """Three tickets, and every line that was written about them and the programs' start and end."""
    found, folder = Written(), tmp_path_factory.mktemp("logs")
    with whole_stack(rabbit, postgres, folder, DSS_LOG_JSON="true") as stack:
        token = stack.token(EMAIL)
        found.secrets = [token, EMAIL, "mueller", "k" * 32, stack.amqp_url, stack.database_url]
        found.secrets.append(rabbit.password)
        with ItkSnap(stack.url) as client:
            client.login(token)
            _three_tickets(stack, client, found, tmp_path_factory.mktemp("scans"))
    found.text = "".join(
        (folder / f"{program}.log").read_text(encoding="utf-8") for program in PROGRAMS
    )
    found.lines = [json.loads(line) for line in found.text.splitlines()]
    return found


def _three_tickets(stack: Stack, client: ItkSnap, found: Written, folder: Path) -> None:
    small = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    scan = write_image(folder / f"{PATIENT}.nii.gz", small.ct)
    sent = send(client, scan, "lung-segmentation", folder / "results", Quiet())
    assert sent.status == "success", sent.log
    found.succeeded = sent.ticket
    found.failed = _without_its_image(stack, found)
    spec = PhantomSpec(size=(240, 240, 180), spacing_mm=(1.6, 1.6, 1.75))
    write_image(scan, make_phantom(spec, Runner("cpu")).ct)
    deletes = Deletes(client)
    assert send(client, scan, "lung-segmentation", folder / "none", deletes).results is None
    found.withdrawn = deletes.ticket
    log = stack.folder / "inference.log"
    wait_until(lambda: "inference cancelled" in log.read_text(encoding="utf-8"), 60, stack.logs)


def _without_its_image(stack: Stack, found: Written) -> int:
    """A workspace that names a patient's file, which was not sent; by a client with a trace of its own."""
    token = stack.token(EMAIL)
    found.secrets.append(token)
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": REQUEST}
    workspace = re.sub(rb"[\w-]+\.nii\.gz", PATIENT.encode() + b".nii.gz", workspace_xml())
    with loopback.client(base_url=stack.url) as client:
        client.post("/api/login", data={"token": token})
        number = int(client.post("/api/tickets", data={"name": "lung-segmentation"}).text)
        sent = {"myfile": (f"{PATIENT}.itksnap", workspace)}
        client.post(f"/api/tickets/{number}/files/input", files=sent)
        answer = client.post(
            f"/api/tickets/{number}/status", data={"status": "ready"}, headers=headers
        )
        assert answer.headers["X-Request-Id"] == REQUEST
        status = f"/api/tickets/{number}/status"
        wait_until(lambda: client.get(status).text == "failed", 30, stack.logs)
        assert PATIENT in client.get(f"/api/tickets/{number}/log").text  # its user is told which
    return number


def test_every_line_is_one_event_with_constant_text(written: Written) -> None:
    for line in written.lines:
        assert {"time", "level", "logger", "message", "program"} <= set(line), line
        assert not re.search(r"\d|[{}%]|\b[0-9a-f]{8,}\b", line["message"]), line


def test_a_line_about_a_ticket_names_it_and_its_claim(written: Written) -> None:
    told = [line for line in written.lines if re.search("ticket|claim|^inference", line["message"])]

    assert {line["message"] for line in told} >= OF_CLAIMS
    assert not [line for line in told if not isinstance(line.get("ticket"), int)]
    claims = [line for line in told if line["message"] in OF_CLAIMS]
    assert not [line for line in claims if not line.get("claim")]


def test_the_lines_of_a_ticket_tell_its_story(written: Written) -> None:
    assert set(written.of(written.succeeded)) >= {
        ("portal", "ticket changed"),
        ("dispatch", "ticket claimed"),
        ("inference", "inference finished"),
        ("dispatch", "ticket done"),
    }
    assert ("dispatch", "ticket failed") in written.of(written.failed)
    assert {("inference", "inference cancelled"), ("dispatch", "ticket withdrawn")} <= set(
        written.of(written.withdrawn)
    )


def test_a_request_s_lines_carry_its_id_and_what_follows_carries_its_trace(
    written: Written,
) -> None:
    asked = [line for line in written.lines if line.get("request") == REQUEST]
    followed = {(e["program"], e["message"]) for e in written.lines if e.get("trace") == TRACE}

    assert [line["status"] for line in asked] == ["ready"]
    assert {("portal", "ticket changed"), ("dispatch", "ticket failed")} <= followed


def test_no_line_holds_a_token_a_password_an_address_or_the_name_of_a_file(
    written: Written,
) -> None:
    for secret in written.secrets:
        assert secret not in written.text, secret
