"""What the command line says and returns when a server is not as hoped."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dss_client import terminal
from dss_client.__main__ import main
from dss_client.expectations import Expectation
from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.screen import Screen
from support.builders import image, write_image
from support.dicom_series import TILTED, plane, stack, write
from support.recorder import COOKIE, Recorder, ok, recording, refusal
from support.waiting import wait_until

DETAIL = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true, "hint": ""}]}'
SERVICE = b'{"name": "lungs", "githash": "%s", "version": "1.0.0", "shortdesc": ""}' % (b"a" * 40)
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services": ok(b'{"result": [' + SERVICE + b"]}"),
    "GET /api/services/": ok(DETAIL),
    "POST /api/tickets": ok(b"1"),
    "GET /api/tickets/1/delete": ok(b"deleted"),
}


def html(status: str) -> bytes:
    """What a proxy answers: a page, not a sentence."""
    page = b"<html><head><title>Oops</title></head><body>nginx/1.22</body></html>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(page)}\r\n\r\n".encode() + page


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture
def place(recorder: Recorder, tmp_path: Path) -> list[str]:
    """The options that name the server and the session."""
    return ["--server", recorder.address, "--jar", str(tmp_path / "jar")]


@pytest.fixture
def scan(tmp_path: Path) -> str:
    return str(write_image(tmp_path / "scan.nrrd", image()))


def dss(*words: str, token: str = "") -> Result:
    return CliRunner().invoke(main, words, env={"DSS_TOKEN": token})


def test_a_token_signs_in_and_is_not_printed(recorder: Recorder, place: list[str]) -> None:
    done = dss("services", *place, token="secret")

    assert recorder.requests[0].body == b"token=secret"
    assert (done.exit_code, "secret" in done.output) == (0, False)


def test_without_a_token_the_stored_session_is_used(recorder: Recorder, place: list[str]) -> None:
    dss("login", *place, token="secret")

    dss("services", *place)

    assert recorder.requests[1].line == "GET /api/login?format=json HTTP/1.1"
    assert recorder.requests[1].header("Cookie") == COOKIE


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            refusal("401 Unauthorized"),
            "does not know you. Get a token at {}/token; each works once.",
        ),
        (refusal("404 Not Found"), "There is no segmentation service at {}; check the address."),
        (
            refusal("301 Moved", "Location: https://a/"),
            "{} leads to another address; give that one.",
        ),
        (refusal("500 Oops"), "{} answered with status 500 and no reason that can be shown."),
        (html("502 Bad Gateway"), "the portal behind it does not (status 502)"),
        (html("413 Too Large"), "does not let a file of this size through (status 413)"),
        (ok(b"<html>"), "The answer is not that of a Distributed Segmentation Service"),
        (b"nonsense\r\n\r\n", "The connection to {} broke."),
    ],
)
def test_a_bad_answer_is_one_sentence_and_exit_status_2(
    recorder: Recorder, place: list[str], answer: bytes, sentence: str
) -> None:
    recorder.answers["POST /api/login"] = answer

    done = dss("services", *place, token="secret")

    assert done.exit_code == 2
    assert sentence.format(recorder.address) in done.output
    assert len(done.output.splitlines()) == 1


def test_an_image_that_is_cut_off_is_refused_before_a_ticket_is_made(
    recorder: Recorder, place: list[str], tmp_path: Path
) -> None:
    path = write_image(tmp_path / "scan.nii", image())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    done = dss("send", str(path), "--service", "lungs", *place)

    assert done.exit_code == 2
    assert "The image file is damaged: it ends too early." in done.output
    assert not [r.line for r in recorder.requests if r.line.startswith("POST /api/tickets")]


def test_a_service_that_wants_a_landmark_is_refused_before_a_ticket_is_made(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    recorder.answers["GET /api/services/"] = ok(DETAIL.replace(b"MainImage", b"PointLandmark"))

    done = dss("send", scan, "--service", "lungs", *place)

    assert (done.exit_code, "needs 'CT' (PointLandmark)" in done.output) == (2, True)
    assert not any(request.line.startswith("POST") for request in recorder.requests)


def test_a_ticket_without_a_number_is_refused(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    recorder.answers["POST /api/tickets"] = ok(b"created")

    done = dss("send", scan, "--service", "lungs", *place)

    assert (done.exit_code, "the number of a ticket" in done.output) == (2, True)


def test_a_refused_upload_is_told_in_the_server_s_words(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    said = b"7 MB are allowed, and this file has 9."
    length = b"\r\nContent-Length: %d\r\n\r\n" % len(said)
    recorder.answers["POST /api/tickets/1/files"] = b"HTTP/1.1 413 Too Large" + length + said

    done = dss("send", scan, "--service", "lungs", *place)

    assert (done.exit_code, "The server refused. 7 MB are" in done.output) == (2, True)


def test_a_ticket_whose_upload_was_refused_is_withdrawn(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    recorder.answers["POST /api/tickets/1/files"] = refusal("413 Too Large")

    done = dss("send", scan, "--service", "lungs", *place)

    assert recorder.requests[-1].line == "GET /api/tickets/1/delete HTTP/1.1"
    assert "Ticket 1 was withdrawn, since it was not submitted." in done.output
    assert "To remove it" not in done.output


def test_a_ticket_that_cannot_be_withdrawn_is_named(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    recorder.answers["POST /api/tickets/1/files"] = refusal("413 Too Large")
    recorder.answers["GET /api/tickets/1/delete"] = refusal("502 Bad Gateway")

    done = dss("send", scan, "--service", "lungs", *place)

    assert f"dss delete 1 --server {recorder.address}" in done.output
    assert done.exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_ticket_whose_upload_is_interrupted_is_withdrawn(
    recorder: Recorder, place: list[str], scan: str, number: signal.Signals
) -> None:
    recorder.silent.add("POST /api/tickets/1/files")
    command = [sys.executable, "-m", "dss_client", "send", scan, "--service", "lungs", *place]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )

    wait_until(lambda: any("/files" in r.line for r in recorder.requests), 30)
    running.send_signal(number)
    said, _ = running.communicate(timeout=120)

    assert recorder.requests[-1].line == "GET /api/tickets/1/delete HTTP/1.1"
    assert "Ticket 1 was withdrawn" in said
    assert running.returncode == 130


def test_a_ticket_is_deleted_only_after_a_yes(recorder: Recorder, place: list[str]) -> None:

    kept = CliRunner().invoke(main, ["delete", "1", *place], input="n\n")
    gone = CliRunner().invoke(main, ["delete", "1", *place], input="y\n")

    assert (kept.exit_code, gone.exit_code) == (1, 0)
    assert [r.line for r in recorder.requests if "delete" in r.line] == [
        "GET /api/tickets/1/delete HTTP/1.1"
    ]


def test_a_token_in_the_environment_serves_several_commands(
    recorder: Recorder, place: list[str]
) -> None:
    done = [dss("services", *place, token="secret") for _ in range(3)]

    logins = [r for r in recorder.requests if r.line.startswith("POST /api/login")]
    assert [run.exit_code for run in done] == [0, 0, 0]
    assert [request.body for request in logins] == [b"token=secret"]


def test_another_token_signs_in_anew(recorder: Recorder, place: list[str]) -> None:
    dss("services", *place, token="of-ann")

    dss("services", *place, token="of-bob")

    logins = [r for r in recorder.requests if r.line.startswith("POST /api/login")]
    assert [request.body for request in logins] == [b"token=of-ann", b"token=of-bob"]


def test_a_token_whose_session_has_ended_is_tried_again(
    recorder: Recorder, place: list[str]
) -> None:
    dss("services", *place, token="secret")
    recorder.answers["GET /api/login"] = refusal("401 Unauthorized")

    dss("services", *place, token="secret")

    assert len([r for r in recorder.requests if r.line.startswith("POST /api/login")]) == 2


def test_the_token_itself_is_not_stored(place: list[str], tmp_path: Path) -> None:
    dss("services", *place, token="secret")

    stored = [path for path in tmp_path.iterdir() if path.is_file()]
    assert stored
    assert all("secret" not in path.read_text(encoding="utf-8") for path in stored)
    assert all(path.stat().st_mode & 0o077 == 0 for path in stored)


@pytest.mark.parametrize("options", [["--output", "taken"], ["--output", "taken/below"]])
def test_an_output_that_is_a_file_is_refused_before_anything_is_sent(
    recorder: Recorder, place: list[str], scan: str, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "taken").touch()
    output = str(tmp_path / options[1])

    done = dss("send", scan, "--service", "lungs", "--output", output, *place)

    assert (done.exit_code, "is a file" in done.output) == (2, True)
    assert recorder.requests == []


@pytest.mark.parametrize("place_of_report", [".", "missing/report.json"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_sent(
    recorder: Recorder, place: list[str], scan: str, tmp_path: Path, place_of_report: str
) -> None:
    report = str(tmp_path / place_of_report)

    done = dss("send", scan, "--service", "lungs", "--json", report, *place)

    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert recorder.requests == []


def test_names_and_lines_of_others_cannot_steer_the_terminal(
    recorder: Recorder, place: list[str]
) -> None:
    line = {"id": 1, "atime": "2026-11-28 10:00:00.0", "category": "info"}
    line["message"] = "\x1b]0;owned\x07\x1b[2J\x9b31mred\n10:00:01  error    forged \u202eevil"
    detail = {"result": {"status": "success", "progress": 1.0, "log": [line]}}
    recorder.answers["GET /api/tickets/1/detail"] = ok(json.dumps(detail).encode())

    done = dss("log", "1", *place, token="secret")

    assert done.exit_code == 0
    assert not set(done.output) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert not any(text.startswith("10:00:01") for text in done.output.splitlines())


def test_a_ticket_of_somebody_else_is_told_without_the_number_of_an_account(
    recorder: Recorder, place: list[str]
) -> None:
    words = b"Ticket 7 not found for user 3"
    head = b"HTTP/1.1 400 bad request\r\nContent-Length: %d\r\n\r\n" % len(words)
    recorder.answers["GET /api/tickets/7/delete"] = head + words

    done = dss("delete", "7", "--yes", *place)

    assert done.output == "There is no ticket 7 of yours that this can be done with.\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A CT of 10 slices, and a PET of 20 that is tilted."""
    pet = {"Modality": "PT", "SeriesInstanceUID": "1.2.3", "SeriesNumber": 4}
    tilted = [
        plane((0, 0, 3.0 * k), k, TILTED, tags=pet, name=f"pet{k:03d}.dcm") for k in range(1, 21)
    ]
    return write(tmp_path / "study", [*stack(10), *tilted])


def test_what_is_in_a_folder_is_listed_without_a_server(study: Path) -> None:
    done = dss("images", str(study))

    assert done.exit_code == 0
    assert "3  CT        10 slices  16 x 16  axial  THORAX" in done.output
    assert "4  PT        20 slices  16 x 16  oblique axial  THORAX" in done.output
    assert "An image of 16 x 16 x 10 voxels of 1 x 1 x 3 mm." in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output
    assert done.output.endswith("Without --series, series 3 is taken.\n")


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(study: Path) -> None:
    done = dss("send", str(study), "--dry-run", "--series", "4", "--server", "http://127.0.0.1:1")

    assert done.exit_code == 0
    assert "16 x 31 x 20 voxels would be sent." in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output


def test_a_series_that_cannot_be_sent_is_one_sentence_and_exit_status_2(study: Path) -> None:
    (study / "CT.0005.dcm").unlink()

    done = dss("send", str(study), "--dry-run")

    assert done.exit_code == 2
    assert "Slices are missing: 1 slice between InstanceNumber 4" in done.output


def test_a_series_of_what_is_no_dicom_is_refused(scan: str) -> None:
    done = dss("send", scan, "--dry-run", "--series", "4")

    assert (done.exit_code, "is no DICOM folder" in done.output) == (2, True)


def test_a_series_that_is_sent_is_the_chosen_one_and_its_notes_are_shown(
    recorder: Recorder, place: list[str], study: Path
) -> None:
    recorder.answers["POST /api/tickets/1/files"] = refusal("413 Too Large")

    done = dss("send", str(study), "--service", "lungs", "--series", "4", *place)

    assert "DICOM series 4 (PT) of 20 slices" in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output


def test_a_service_is_needed_to_send(scan: str) -> None:
    done = dss("send", scan)

    assert (done.exit_code, "the name of a service is missing" in done.output) == (2, True)


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
        screen.expected(Expectation(client, 1).after(waits))
        screen.polled(waits)

    assert "About 30 s left. (ready, number 2 in the q" in stream.getvalue()
    with ItkSnap(recorder.address) as client:
        assert Expectation(client, 1).after(Detail(status="success")) == ""
        assert Expectation(client, 2).after(Detail(status="ready")) == ""
