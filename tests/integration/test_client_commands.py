"""What the command line says and returns when a server is not as hoped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from builders import image, write_image
from dss_client.__main__ import main
from recorder import COOKIE, Recorder, ok, recording, refusal

DETAIL = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true, "hint": ""}]}'
SERVICE = b'{"name": "lungs", "githash": "%s", "version": "1.0.0", "shortdesc": ""}' % (b"a" * 40)
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services": ok(b'{"result": [' + SERVICE + b"]}"),
    "GET /api/services/": ok(DETAIL),
    "POST /api/tickets": ok(b"1"),
}


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
        (refusal("500 Oops"), "The server refused. Response 500, Text: no"),
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
    recorder.answers["POST /api/tickets/1/files"] = refusal("413 Too Large")

    done = dss("send", scan, "--service", "lungs", *place)

    assert (done.exit_code, "Response 413, Text: no" in done.output) == (2, True)


def test_a_ticket_is_deleted_only_after_a_yes(recorder: Recorder, place: list[str]) -> None:
    recorder.answers["GET /api/tickets/1/delete"] = ok(b"deleted")

    kept = CliRunner().invoke(main, ["delete", "1", *place], input="n\n")
    gone = CliRunner().invoke(main, ["delete", "1", *place], input="y\n")

    assert (kept.exit_code, gone.exit_code) == (1, 0)
    assert [r.line for r in recorder.requests if "delete" in r.line] == [
        "GET /api/tickets/1/delete HTTP/1.1"
    ]
