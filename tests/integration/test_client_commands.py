"""What the command line says and returns when a server is not as hoped."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dss_client.__main__ import main
from dss_client.commands import following
from support import dss_commands
from support.builders import image, write_image
from support.dss_commands import DETAIL, dss
from support.recorder import Recorder, ok, refusal
from support.waiting import wait_until


def html(status: str) -> bytes:
    """What a proxy answers: a page, not a sentence."""
    page = b"<html><head><title>Oops</title></head><body>nginx/1.22</body></html>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(page)}\r\n\r\n".encode() + page


_WORDS = b"Ticket 7 not found for user 3"
NOT_FOUND = b"HTTP/1.1 400 bad request\r\nContent-Length: %d\r\n\r\n" % len(_WORDS) + _WORDS

recorder = dss_commands.recorder
place = dss_commands.place
scan = dss_commands.scan


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            refusal("401 Unauthorized"),
            "{} does not accept the token of DSS_TOKEN: it is mistyped, expired",
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
    recorder.answers["GET /api/tickets/1/detail"] = ok(b'{"result": {"status": "success"}}')

    kept = CliRunner().invoke(main, ["delete", "1", *place], input="n\n")
    gone = CliRunner().invoke(main, ["delete", "1", *place], input="y\n")

    assert (kept.exit_code, gone.exit_code) == (1, 0)
    assert [r.line for r in recorder.requests if "delete" in r.line] == [
        "GET /api/tickets/1/delete HTTP/1.1"
    ]


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


def logged(recorder: Recorder, status: str, *messages: str) -> None:
    """Give ticket 1 this state and these log lines."""
    lines = [
        {"id": n, "atime": "2026-11-28 10:00:00.0", "category": "info", "message": text}
        for n, text in enumerate(messages, start=1)
    ]
    detail = {"result": {"status": status, "progress": 1.0, "log": lines}}
    recorder.answers["GET /api/tickets/1/detail"] = ok(json.dumps(detail).encode())


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("failed", 1), ("claimed", 0)])
def test_a_log_is_a_list_for_programs(
    recorder: Recorder, place: list[str], status: str, code: int
) -> None:
    logged(recorder, status, "begun", "\x1b[2Jred")

    done = dss("log", "1", "--json", *place, token="secret")

    assert done.exit_code == code
    assert [line["message"] for line in json.loads(done.stdout)] == ["begun", "\x1b[2Jred"]
    assert "\x1b" not in done.stdout
    assert set(json.loads(done.stdout)[0]) == {"id", "atime", "category", "message", "attachments"}


def test_a_log_that_is_followed_is_one_list_at_the_end(
    recorder: Recorder, place: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(recorder, "claimed", "begun")
    monkeypatch.setattr(following, "POLL_S", 0.0)
    answer = recorder.answer

    def next_answer(line: str) -> bytes:
        found = answer(line)
        if "/detail" in line:
            logged(recorder, "success", "begun", "done")
            lines = [{"id": 2, "atime": 0, "category": "info", "message": "done"}]
            result = {"result": {"status": "success", "progress": 1.0, "log": lines}}
            recorder.answers["GET /api/tickets/1/detail?since=1 "] = ok(json.dumps(result).encode())
        return found

    monkeypatch.setattr(recorder, "answer", next_answer)

    done = dss("log", "1", "--json", "--follow", *place, token="secret")

    assert [line["message"] for line in json.loads(done.stdout)] == ["begun", "done"]


def test_a_ticket_of_somebody_else_is_told_without_the_number_of_an_account(
    recorder: Recorder, place: list[str]
) -> None:
    recorder.answers["GET /api/tickets/7/delete"] = NOT_FOUND

    done = dss("delete", "7", "--yes", *place)

    assert done.output == "Ticket 7 does not exist, or it belongs to another user.\n"


def test_without_an_answer_no_ticket_is_deleted(recorder: Recorder, place: list[str]) -> None:
    recorder.answers["GET /api/tickets/7/detail"] = ok(b'{"result": {"status": "success"}}')

    done = dss("delete", "7", *place)

    assert done.exit_code == 2
    assert "Nobody is there to answer; --yes does." in done.output
    assert not [r.line for r in recorder.requests if "delete" in r.line]


def test_an_upload_to_a_ticket_that_was_submitted_meanwhile_is_told(
    recorder: Recorder, place: list[str], scan: str
) -> None:
    text = _WORDS.replace(b"7", b"1")
    head = b"HTTP/1.1 400 bad request\r\nContent-Length: %d\r\n\r\n" % len(text)
    recorder.answers["POST /api/tickets/1/"] = head + text

    done = dss("send", scan, "--service", "lungs", *place)

    assert "Ticket 1 takes no more files: it was deleted, given up or submitted" in done.output


def test_a_ticket_that_cannot_be_retried_is_told_with_its_state(
    recorder: Recorder, place: list[str]
) -> None:
    recorder.answers["GET /api/tickets/7/retry"] = NOT_FOUND
    recorder.answers["GET /api/tickets/7/detail"] = ok(b'{"result": {"status": "success"}}')
    own = dss("retry", "7", *place)
    recorder.answers["GET /api/tickets/7/detail"] = NOT_FOUND
    of_another = dss("retry", "7", *place)

    only = "only a ticket that failed or timed out can be retried."
    assert own.output == f"Ticket 7 has succeeded; {only}\n"
    assert of_another.output == "Ticket 7 does not exist, or it belongs to another user.\n"
    assert own.exit_code == of_another.exit_code == 2


def test_a_service_is_needed_to_send(scan: str) -> None:
    done = dss("send", scan)

    assert (done.exit_code, "the name of a service is missing" in done.output) == (2, True)
