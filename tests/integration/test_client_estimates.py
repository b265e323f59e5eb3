"""What the command line says of the time that a ticket takes."""

import io
import json
from pathlib import Path

import pytest

from dss_client import terminal
from dss_client.estimate_polling import EstimatePoller
from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.screen import Screen
from support import dss_commands
from support.dss_commands import dss
from support.recorder import Recorder, ok, refusal

recorder = dss_commands.recorder
place = dss_commands.place
scan = dss_commands.scan


TAKES = b"Takes about 40 s, 3 before you."
ESTIMATES = {
    "GET /api/services/estimates": ok(
        b'{"result": [{"githash": "%s", "sentence": "%s"}]}' % (b"a" * 40, TAKES)
    ),
    "GET /api/tickets/estimates": ok(
        b'{"result": [{"id": 1, "sentence": "About 30 s left.", "ends_s": 30.0}]}'
    ),
}


def test_the_services_are_listed_with_the_time_that_a_ticket_takes(
    recorder: Recorder, place: list[str]
) -> None:
    recorder.answers |= ESTIMATES

    shown = dss("services", *place).output
    (told,) = json.loads(dss("services", "--json", *place).output)

    assert f"    {TAKES.decode()}\n" in shown
    assert told["estimate"] == TAKES.decode()


@pytest.mark.parametrize("answer", [refusal("404 Not Found"), refusal("500 Oops"), ok(b"<html>")])
def test_a_server_that_gives_no_estimates_lists_its_services_without(
    recorder: Recorder, place: list[str], answer: bytes
) -> None:
    recorder.answers["GET /api/services/estimates"] = answer

    done = dss("services", *place)

    assert (done.exit_code, done.output.splitlines()) == (0, ["lungs  1.0.0  "])


def test_what_is_sent_is_told_the_time_before_and_while_it_waits(
    recorder: Recorder, place: list[str], scan: str, tmp_path: Path
) -> None:
    """On a terminal; elsewhere the ticket's log tells it."""
    recorder.answers |= ESTIMATES | {
        "POST /api/tickets/1/": ok(b"success"),
        "GET /api/tickets/1/detail": ok(b'{"result": {"status": "failed", "log": []}}'),
    }

    shown = dss("send", scan, "--service", "lungs", "--output", str(tmp_path / "out"), *place)

    lines = shown.output.splitlines()
    assert lines.index(TAKES.decode()) < lines.index("Ticket 1 is open.")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_when_the_ticket_will_be_done(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "DRAW_S", 0.0)
    recorder.answers |= ESTIMATES
    stream = Tty()
    with ItkSnap(recorder.address) as client, Screen(terminal.Terminal(stream)) as screen:
        waits = Detail(status="ready", queue_position=2)
        screen.expected(EstimatePoller(client, 1).after(waits))
        screen.polled(waits)

    assert "About 30 s left. (ready, number 2 in the q" in stream.getvalue()
    with ItkSnap(recorder.address) as client:
        assert EstimatePoller(client, 1).after(Detail(status="success")) == ""
        assert EstimatePoller(client, 2).after(Detail(status="ready")) == ""


@pytest.mark.parametrize(("status", "told"), [("ready", True), ("success", False)])
def test_show_says_when_an_open_ticket_will_be_done(
    recorder: Recorder, place: list[str], status: str, *, told: bool
) -> None:
    detail = f'{{"result": {{"status": "{status}", "log": []}}}}'
    recorder.answers |= ESTIMATES | {
        "GET /api/tickets/summary": ok(b'{"result": []}'),
        "GET /api/tickets/1/detail": ok(detail.encode()),
        "GET /api/tickets/1/files/results": ok(b"0\tworkspace.itksnap\n"),
    }

    shown = dss("show", "1", *place).output
    as_json = json.loads(dss("show", "1", "--json", *place).output)

    assert ("Estimate: About 30 s left." in shown) is told
    assert as_json["estimate"] == ("About 30 s left." if told else "")
